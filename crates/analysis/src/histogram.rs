//! Durations by the million in a few kilobytes, with integer arithmetic only.

use brokerlab_event::Duration;

/// Buckets an octave: values are kept to within one part in this many.
const PRECISION: u64 = 1 << PRECISION_BITS;
const PRECISION_BITS: u32 = 10;

/// A log-linear histogram of durations: every power of two is divided into 1024 equal buckets, so a value is
/// known to one part in a thousand, and values below 2048 ns exactly. The buckets are the same for every
/// histogram, therefore histograms can be merged; counts and sums are integers, therefore the result does not
/// depend on the order of recording.
///
/// ```
/// use brokerlab_analysis::Histogram;
/// use brokerlab_event::Duration;
///
/// let mut histogram = Histogram::default();
/// for millis in 1..=100 {
///     histogram.record(Duration::from_millis(millis));
/// }
/// let median = histogram.percentile(500_000).unwrap();
/// assert!(median.as_millis_f64() >= 50.0 && median.as_millis_f64() < 50.1);
/// assert_eq!(histogram.mean(), Some(Duration::from_micros(50_500)));
/// assert_eq!(histogram.maximum(), Some(Duration::from_millis(100)));
/// ```
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u64>,
    count: u64,
    sum: u128,
    maximum: u64,
}

/// Equal where the same values (up to their bucket) were recorded.
impl PartialEq for Histogram {
    fn eq(&self, other: &Histogram) -> bool {
        let occupied = |h: &Histogram| h.counts.iter().rposition(|&count| count > 0).map_or(0, |last| last + 1);
        let (ours, theirs) = (occupied(self), occupied(other));
        (self.count, self.sum, self.maximum) == (other.count, other.sum, other.maximum)
            && self.counts[..ours] == other.counts[..theirs]
    }
}

impl Eq for Histogram {}

/// A point of a percentile curve.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CurvePoint {
    /// The share of values that are at most `value`, in millionths.
    pub millionths: u32,
    /// The value.
    pub value: Duration,
}

#[inline]
fn bucket(nanos: u64) -> usize {
    let shift = (64 - PRECISION_BITS - 1).saturating_sub((nanos | 1).leading_zeros());
    (u64::from(shift) * PRECISION + (nanos >> shift)) as usize
}

/// The largest value that falls into the bucket.
fn upper_edge(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * PRECISION {
        return bucket;
    }
    let shift = bucket / PRECISION - 1;
    let mantissa = bucket - shift * PRECISION;
    (((u128::from(mantissa) + 1) << shift) - 1) as u64
}

impl Histogram {
    /// Takes note of one value.
    #[inline]
    pub fn record(&mut self, value: Duration) {
        let nanos = value.as_nanos();
        let bucket = bucket(nanos);
        if bucket >= self.counts.len() {
            self.reach(bucket);
        }
        self.counts[bucket] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.maximum = self.maximum.max(nanos);
    }

    /// Takes note of values in nanoseconds.
    fn record_all(&mut self, values: &[u64]) {
        let (mut sum, mut largest) = (0_u128, self.maximum);
        let mut rest = values;
        while let Some(&nanos) = rest.first() {
            // Where nothing costs anything all values are the same, and a place that is counted up again and again
            // would have to be waited for each time.
            let same = rest.iter().position(|other| *other != nanos).unwrap_or(rest.len());
            let bucket = bucket(nanos);
            if bucket >= self.counts.len() {
                self.reach(bucket);
            }
            self.counts[bucket] += same as u64;
            sum += u128::from(nanos) * same as u128;
            largest = largest.max(nanos);
            rest = &rest[same..];
        }
        self.count += values.len() as u64;
        self.sum += sum;
        self.maximum = largest;
    }

    /// Grows by whole octaves, so that it happens a few times in a run only.
    #[cold]
    fn reach(&mut self, bucket: usize) {
        self.counts.resize((bucket / PRECISION as usize + 1) * PRECISION as usize, 0);
    }

    /// Adds everything that another histogram recorded.
    pub fn merge(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (own, their) in self.counts.iter_mut().zip(&other.counts) {
            *own += their;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.maximum = self.maximum.max(other.maximum);
    }

    /// How many values were recorded.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The mean, exact up to the rounding to a nanosecond below; nothing where there are no values.
    pub fn mean(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos((self.sum / u128::from(self.count)) as u64))
    }

    /// The largest value, exactly.
    pub fn maximum(&self) -> Option<Duration> {
        (self.count > 0).then(|| Duration::from_nanos(self.maximum))
    }

    /// The least value of which at least this share (in millionths: 990000 is the 99th percentile) of all values
    /// is not above it; rounded up to the edge of its bucket, but never beyond the maximum.
    pub fn percentile(&self, millionths: u32) -> Option<Duration> {
        let rank = self.rank(millionths)?;
        let mut seen = 0;
        let found = self.counts.iter().position(|&count| {
            seen += count;
            seen >= rank
        });
        let bucket = found.expect("the counts sum to the number of values, and a rank is not above it");
        Some(self.value_of(bucket))
    }

    /// The percentile curve: every percent, then every tenth, hundredth and thousandth of a percent towards the
    /// slow end. Empty where there are no values.
    pub fn curve(&self) -> Vec<CurvePoint> {
        let mut points = Vec::new();
        let (mut bucket, mut seen) = (0, self.counts.first().copied().unwrap_or(0));
        for millionths in curve_steps() {
            let Some(rank) = self.rank(millionths) else { break };
            while seen < rank {
                bucket += 1;
                seen += self.counts[bucket];
            }
            points.push(CurvePoint { millionths, value: self.value_of(bucket) });
        }
        points
    }

    /// How many values lie at or below the percentile, 1 to count.
    fn rank(&self, millionths: u32) -> Option<u64> {
        let parts = u128::from(millionths.min(1_000_000));
        let rank = (u128::from(self.count) * parts).div_ceil(1_000_000) as u64;
        (self.count > 0).then_some(rank.max(1))
    }

    fn value_of(&self, bucket: usize) -> Duration {
        Duration::from_nanos(upper_edge(bucket).min(self.maximum))
    }
}

/// A histogram on which values wait until there are several. Their places are far apart in a table that is seldom in the
/// processor's cache; those that are looked up together are waited for together.
#[derive(Clone, Default)]
pub(crate) struct Recorder {
    histogram: Histogram,
    waiting: [u64; Recorder::BATCH],
    count: usize,
}

impl Recorder {
    const BATCH: usize = 32;

    /// Takes note of one value.
    #[inline(always)]
    pub fn record(&mut self, value: Duration) {
        self.waiting[self.count % Recorder::BATCH] = value.as_nanos();
        self.count += 1;
        if self.count == Recorder::BATCH {
            self.pass_on();
        }
    }

    #[inline(never)]
    fn pass_on(&mut self) {
        self.histogram.record_all(&self.waiting[..self.count]);
        self.count = 0;
    }

    /// What was recorded so far.
    pub fn histogram(&self) -> Histogram {
        let mut all = self.clone();
        all.pass_on();
        all.histogram
    }
}

fn curve_steps() -> impl Iterator<Item = u32> {
    let percents = (0..99).map(|n| n * 10_000);
    let tails = [(990_000, 1_000), (999_000, 100), (999_900, 10)];
    let tail = tails.into_iter().flat_map(|(from, step)| (0..9).map(move |n| from + n * step));
    percents.chain(tail).chain([999_990, 1_000_000])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_tight() {
        let mut previous = bucket(0);
        for exponent in 2..64 {
            for near in [-1_i128, 0, 1] {
                let value = (1_i128 << exponent) + near;
                let Ok(value) = u64::try_from(value) else { continue };
                let at = bucket(value);
                assert!(at >= previous);
                assert!(upper_edge(at) >= value);
                assert!(upper_edge(at) - value <= value / PRECISION);
                assert!(at == 0 || upper_edge(at - 1) < value);
                previous = at;
            }
        }
        assert_eq!(upper_edge(bucket(u64::MAX)), u64::MAX);
    }

    #[test]
    fn curve_agrees_with_percentiles_and_ends_at_the_maximum() {
        let mut histogram = Histogram::default();
        for n in 0..10_000_u64 {
            histogram.record(Duration::from_nanos(n * n * 17));
        }
        let curve = histogram.curve();
        assert!(curve.windows(2).all(|pair| pair[0].millionths < pair[1].millionths));
        for point in &curve {
            assert_eq!(Some(point.value), histogram.percentile(point.millionths), "{point:?}");
        }
        assert_eq!(curve.last().map(|point| point.value), histogram.maximum());
    }

    #[test]
    fn nothing_has_no_percentiles() {
        let nothing = Histogram::default();
        assert_eq!((nothing.percentile(500_000), nothing.mean(), nothing.maximum()), (None, None, None));
        assert!(nothing.curve().is_empty());
    }

    #[test]
    fn values_that_wait_are_not_forgotten() {
        let (mut recorder, mut histogram) = (Recorder::default(), Histogram::default());
        for n in 0..100_u64 {
            let value = Duration::from_nanos(n * 7_919 * n);
            recorder.record(value);
            histogram.record(value);
            assert_eq!(recorder.histogram(), histogram);
        }
    }

    #[test]
    fn merging_is_recording_together() {
        let (mut left, mut right, mut both) = (Histogram::default(), Histogram::default(), Histogram::default());
        for n in 0..1_000_u64 {
            let value = Duration::from_nanos(n * 7_919 % 1_000_003);
            (if n % 3 == 0 { &mut left } else { &mut right }).record(value);
            both.record(value);
        }
        left.merge(&right);
        assert_eq!(left, both);
    }
}
