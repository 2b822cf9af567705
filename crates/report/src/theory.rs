//! What queueing theory says, as dashed lines in the plots that show the same of the runs.

use brokerlab_analysis::Theory;

use crate::number::decimal;
use crate::report::{Report, TheoryMeta};
use crate::spec::{Chart, Draw, Series};
use crate::words::human_millis;

/// A curve of theory has so many points.
const POINTS: u32 = 200;

impl Report {
    /// What theory says of an application, where it says something.
    fn theory_of(&self, application: &str) -> Option<(&TheoryMeta, Theory)> {
        let meta = self.meta.theory.iter().find(|meta| meta.application == application)?;
        Some((meta, Theory::new(meta.arrivals_per_s.value(), meta.work_s.value(), meta.consumers)?))
    }

    fn theory_series(&self, name: String, points: Vec<(f64, f64)>) -> Option<Series> {
        let look = *self.looks().first()?;
        Some(Series { name, look, draw: Draw::Theory, points, band: Vec::new() })
    }

    /// The backlog that lasts, from the start of the run to its end.
    pub(crate) fn theory_of_backlog(&self, application: &str) -> Option<Series> {
        let (_, theory) = self.theory_of(application)?;
        let mean = theory.mean_number();
        let name = format!("theory {}, mean {mean:.1}", theory.name());
        self.theory_series(name, vec![(0.0, mean), (self.meta.horizon.value(), mean)])
    }

    /// The share of messages that are done within each latency that a chart shows. `size` is its unit in milliseconds.
    pub(crate) fn theory_of_latency(&self, application: &str, size: f64, shown: &[Series]) -> Option<Series> {
        let (_, theory) = self.theory_of(application)?;
        let latencies = shown.iter().flat_map(|series| &series.points).map(|point| point.0).filter(|x| *x > 0.0);
        let (least, most) = latencies.fold((f64::INFINITY, 0.0_f64), |(low, high), x| (low.min(x), high.max(x)));
        let step = libm::log(most / least) / f64::from(POINTS);
        let points = (0..=POINTS).filter(|_| step > 0.0 && step.is_finite()).map(|index| {
            // Equal ratios: there are enough points at the left end of a logarithmic axis, too.
            let latency = least * libm::exp(f64::from(index) * step);
            (latency, 100.0 * theory.share_within(latency * size / 1_000.0))
        });
        let mean = human_millis((theory.mean_time() * 1e9) as u64);
        self.theory_series(format!("theory {}, mean {mean}", theory.name()), points.collect())
    }

    /// The formulas behind the dashed lines and what they assume, where any are drawn.
    pub(crate) fn theory_note(&self, charts: &[Chart]) -> Option<String> {
        let is_drawn = charts.iter().flat_map(|chart| &chart.series).any(|series| series.draw == Draw::Theory);
        let (meta, theory) = self.meta.theory.iter().find_map(|meta| self.theory_of(&meta.application))?;
        is_drawn.then(|| {
            format!(
                "{} of {}: L = λW, W = 1/μ + C/(cμ - λ), C by Erlang; independent arrivals, λ = {}/s, exponential work \
                 of 1/μ = {} s, one queue, c = {}, no faults, no time on the way",
                theory.name(),
                meta.contenders.join(", "),
                decimal(meta.arrivals_per_s.0, 6),
                decimal(meta.work_s.0, 9),
                meta.consumers,
            )
        })
    }
}
