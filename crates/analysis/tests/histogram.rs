//! The histogram against hdrhistogram, on values from nanoseconds to hours.

use brokerlab_analysis::Histogram;
use brokerlab_event::{Distribution, Duration, Stream};

#[test]
fn percentiles_agree_with_hdrhistogram() {
    let stream = Stream::new(3, "histogram");
    for (case, sigma) in [0.3, 1.0, 2.5].into_iter().enumerate() {
        let law = Distribution::Lognormal { mean: 0.02, sigma };
        let mut ours = Histogram::default();
        let mut theirs = hdrhistogram::Histogram::<u64>::new_with_max(1 << 50, 3).expect("its bounds are valid");
        for n in 0..200_000 {
            let value = Duration::from_secs_f64(law.sample(stream.within(case as u64).at(n)));
            ours.record(value);
            theirs.record(value.as_nanos()).expect("the value is within its bounds");
        }
        for millionths in [0, 1, 500_000, 900_000, 950_000, 990_000, 999_000, 999_990, 1_000_000] {
            let (a, b) = (ours.percentile(millionths), theirs.value_at_quantile(f64::from(millionths) / 1e6));
            let a = a.expect("there are values").as_nanos();
            assert!(a.abs_diff(b) <= b / 900 + 1, "{millionths}: {a} and {b}");
        }
        assert_eq!(ours.count(), theirs.len());
        let mean = ours.mean().expect("there are values").as_nanos() as f64;
        assert!((mean / theirs.mean() - 1.0).abs() < 0.001);
    }
}
