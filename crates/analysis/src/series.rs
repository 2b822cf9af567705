//! The run in equal bins.

use brokerlab_event::{Duration, Time};

use crate::{ApplicationBin, Bin, Series};

/// The counts of the bin that is open, and the bins that are closed.
#[derive(Clone)]
pub(crate) struct SeriesRecorder {
    width: u64,
    horizon: Time,
    /// When the open bin ends.
    pub next: Time,
    pub open: Bin,
    pub open_applications: Vec<ApplicationBin>,
    bins: Vec<Bin>,
    applications: Vec<Vec<ApplicationBin>>,
    /// Arrivals in the backlog of each application up to the end of each bin.
    arrived: Vec<Vec<u64>>,
}

/// What an application's levels are when a bin closes.
pub(crate) struct Levels {
    pub backlog: u64,
    pub arrived: u64,
    pub in_flight: u64,
    pub consumers_up: u32,
    /// Since the last bin was closed.
    pub unread: Option<Duration>,
}

/// The shortest bin of 1, 2 or 5 times a power of ten nanoseconds of which this many cover the run.
fn bin_width(horizon: Time, bins_max: u64) -> u64 {
    let least = horizon.as_nanos().div_ceil(bins_max.max(1)).max(1);
    let mut decade = 1_u64;
    loop {
        for step in [1, 2, 5] {
            match decade.checked_mul(step) {
                Some(width) if width >= least => return width,
                Some(_) => {}
                None => return u64::MAX,
            }
        }
        let Some(next) = decade.checked_mul(10) else { return u64::MAX };
        decade = next;
    }
}

impl SeriesRecorder {
    pub fn new(horizon: Time, bins_max: u64, applications: usize) -> SeriesRecorder {
        let width = bin_width(horizon, bins_max);
        SeriesRecorder {
            width,
            horizon,
            next: Time::from_nanos(width),
            open: Bin::default(),
            open_applications: vec![ApplicationBin::default(); applications],
            bins: Vec::new(),
            applications: vec![Vec::new(); applications],
            arrived: vec![Vec::new(); applications],
        }
    }

    /// True where the open bin must be closed before something of this moment is counted. What happens at the very
    /// end of the run still belongs to the last bin.
    pub fn is_due(&self, time: Time) -> bool {
        self.next < time || (self.next == time && time != self.horizon)
    }

    /// Closes the open bin; the levels of the stores are already in it.
    pub fn close(&mut self, mut levels: impl FnMut(usize) -> Levels) {
        self.bins.push(core::mem::take(&mut self.open));
        for (index, open) in self.open_applications.iter_mut().enumerate() {
            let Levels { backlog, arrived, in_flight, consumers_up, unread } = levels(index);
            let counts = core::mem::take(open);
            self.applications[index].push(ApplicationBin { backlog, in_flight, consumers_up, unread, ..counts });
            self.arrived[index].push(arrived);
        }
        self.next = self.next.saturating_add(Duration::from_nanos(self.width));
    }

    /// True where something of the run is in no closed bin; every series has at least one.
    pub fn has_open_bin(&self, end: Time) -> bool {
        let start = Time::from_nanos(self.width.saturating_mul(self.bins.len() as u64));
        let empty = self.open == Bin::default() && self.open_applications.iter().all(|bin| *bin == Default::default());
        start < end || self.bins.is_empty() || !empty
    }

    /// The series, and each application's column of it.
    pub fn finish(self, end: Time) -> (Series, Vec<Vec<ApplicationBin>>) {
        let series = Series { bin: Duration::from_nanos(self.width), end, bins: self.bins };
        let mut columns = self.applications;
        for (column, arrived) in columns.iter_mut().zip(&self.arrived) {
            for (index, bin) in column.iter_mut().enumerate() {
                bin.backlog_age = backlog_age(&series, arrived, index, bin.backlog);
            }
        }
        (series, columns)
    }
}

/// How long ago the arrivals stood where the departures stand at the end of this bin: the horizontal distance
/// between the two curves, which is the age of the oldest message where the first to come is the first to leave.
fn backlog_age(series: &Series, arrived: &[u64], index: usize, backlog: u64) -> Duration {
    if backlog == 0 {
        return Duration::ZERO;
    }
    let left = arrived[index].saturating_sub(backlog);
    let bin = arrived[..=index].partition_point(|&count| count <= left).min(index);
    let before = if bin == 0 { 0 } else { arrived[bin - 1] };
    let length = series.length_of(bin).as_nanos();
    let within =
        u128::from(length) * u128::from(left.saturating_sub(before)) / u128::from((arrived[bin] - before).max(1));
    let arrival = series.start_of(bin) + Duration::from_nanos(within as u64);
    (series.start_of(index) + series.length_of(index)).saturating_since(arrival)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_are_round_and_not_too_many() {
        for (seconds, expected) in [(1, 2_000_000), (60, 100_000_000), (120, 200_000_000), (1_000, 2_000_000_000)] {
            let horizon = Time::ZERO + Duration::from_secs(seconds);
            assert_eq!(bin_width(horizon, 600), expected, "{seconds} s");
        }
        assert_eq!(bin_width(Time::ZERO, 600), 1);
        assert!(bin_width(Time::MAX, 600) > 0);
    }

    #[test]
    fn the_age_of_a_backlog_is_that_of_its_oldest_message() {
        let series = Series { bin: Duration::from_secs(1), end: Time::from_nanos(4_000_000_000), bins: Vec::new() };
        // Ten messages a second arrive; after four seconds 25 are left, so the oldest came at 1.5 s.
        assert_eq!(backlog_age(&series, &[10, 20, 30, 40], 3, 25), Duration::from_millis(2_500));
        assert_eq!(backlog_age(&series, &[10, 20, 30, 40], 3, 40), Duration::from_secs(4));
        assert_eq!(backlog_age(&series, &[10, 20, 30, 40], 3, 0), Duration::ZERO);
        assert_eq!(backlog_age(&series, &[10, 10, 10, 10], 3, 5), Duration::from_millis(3_500));
    }
}
