//! How long partitions have nobody who reads them.

use brokerlab_event::{Duration, Model, RunHeader, StoreKind, Time};

/// Adds up the time of the partitions of an application's group that no consumer reads.
#[derive(Clone, Copy, Default)]
pub(crate) struct Unread {
    partitions: u64,
    since: Time,
    total: Duration,
    /// What was added up when the last bin was closed.
    told: Duration,
}

impl Unread {
    /// For each application, the partitions that are there from the start: nobody reads them yet. Nothing where the
    /// model knows no owners of partitions.
    pub fn of(header: &RunHeader) -> Option<Vec<Unread>> {
        if !matches!(header.model, Model::Log | Model::Stream) {
            return None;
        }
        let mut all = vec![Unread::default(); header.applications.len()];
        let partitions = header
            .stores
            .iter()
            .filter(|store| matches!(store.kind, StoreKind::Partition { .. }) && !store.comes_later);
        for application in partitions.flat_map(|store| &store.applications) {
            all[application.index()].partitions += 1;
        }
        Some(all)
    }

    /// Another partition has nobody who reads it.
    pub fn add(&mut self, now: Time) {
        self.pass(now);
        self.partitions += 1;
    }

    /// Somebody reads one of them.
    pub fn take(&mut self, now: Time) {
        self.pass(now);
        self.partitions -= 1;
    }

    /// The time up to this moment, that of each partition added to the others'.
    pub fn until(&mut self, now: Time) -> Duration {
        self.pass(now);
        self.total
    }

    /// The time since this was last asked.
    pub fn since_last(&mut self, now: Time) -> Duration {
        let all = self.until(now);
        let before = core::mem::replace(&mut self.told, all);
        Duration::from_nanos(all.as_nanos() - before.as_nanos())
    }

    fn pass(&mut self, now: Time) {
        let passed = now.saturating_since(self.since).as_nanos();
        self.total = self.total + Duration::from_nanos(passed.saturating_mul(self.partitions));
        self.since = now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_partitions_add_up() {
        let (at, nanos) = (Time::from_nanos, Duration::from_nanos);
        let mut unread = Unread { partitions: 3, ..Unread::default() };
        unread.take(at(10));
        assert_eq!(unread.since_last(at(20)), nanos(50), "three for 10, two for 10");
        unread.take(at(20));
        unread.take(at(30));
        assert_eq!(unread.since_last(at(40)), nanos(10));
        unread.add(at(90));
        assert_eq!(unread.until(at(100)), nanos(70));
    }
}
