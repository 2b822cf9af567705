//! What is stored and what waits, for each application and for all together.

use brokerlab_event::{Duration, Time};

/// A number that goes up and down, and the most it has been.
#[derive(Clone, Copy, Default)]
pub(crate) struct Level {
    pub now: u64,
    pub max: u64,
}

impl Level {
    #[inline]
    pub fn add(&mut self, count: u64) {
        self.now += count;
        self.max = self.max.max(self.now);
    }

    /// Takes away what is there at most: a driver that sees only part of the broker may report a removal of
    /// something whose arrival nobody saw.
    #[inline]
    pub fn take(&mut self, count: u64) {
        self.now = self.now.saturating_sub(count);
    }
}

/// What is stored.
#[derive(Clone, Copy, Default)]
pub(crate) struct Storage {
    pub messages: Level,
    pub bytes: Level,
}

impl Storage {
    #[inline]
    pub fn add(&mut self, bytes: u64) {
        self.messages.add(1);
        self.bytes.add(bytes);
    }

    #[inline]
    pub fn take(&mut self, messages: u64, bytes: u64) {
        self.messages.take(messages);
        self.bytes.take(bytes);
    }
}

/// What all applications together have.
#[derive(Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Each copy of a message once, whomever it is for.
    pub storage: Storage,
    /// Each copy once for each application that has it to do.
    pub backlog: Level,
}

/// The backlog of an application, and how long it stood still.
#[derive(Clone, Copy, Default)]
pub(crate) struct Backlog {
    pub level: Level,
    /// Messages that ever came into the backlog.
    pub arrived: u64,
    /// Since when there has been a backlog and nothing was processed; meaningless without a backlog.
    stalled_since: Time,
    longest_stall: Duration,
}

impl Backlog {
    #[inline]
    pub fn arrive(&mut self, now: Time) {
        self.arrived += 1;
        self.grow(now, 1);
    }

    /// More to do, though nothing new: a group was set back.
    #[inline]
    pub fn grow(&mut self, now: Time, count: u64) {
        if self.level.now == 0 {
            self.stalled_since = now;
        }
        self.level.add(count);
    }

    #[inline]
    pub fn shrink(&mut self, now: Time, count: u64) {
        if self.level.now > 0 && self.level.now <= count {
            self.note_stall(now);
        }
        self.level.take(count);
    }

    /// The application processed something.
    #[inline]
    pub fn progress(&mut self, now: Time) {
        if self.level.now > 0 {
            self.note_stall(now);
        }
        self.stalled_since = now;
    }

    /// The longest stall, one that lasts until the end included.
    pub fn longest_stall(&self, end: Time) -> Duration {
        let last = if self.level.now > 0 { end.saturating_since(self.stalled_since) } else { Duration::ZERO };
        self.longest_stall.max(last)
    }

    #[inline]
    fn note_stall(&mut self, now: Time) {
        self.longest_stall = self.longest_stall.max(now.saturating_since(self.stalled_since));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_needs_a_backlog_and_ends_with_progress() {
        let at = Time::from_nanos;
        let mut backlog = Backlog::default();
        backlog.arrive(at(100));
        backlog.progress(at(130));
        backlog.shrink(at(131), 1);
        backlog.arrive(at(900));
        backlog.progress(at(905));
        assert_eq!(backlog.longest_stall(at(906)), Duration::from_nanos(30), "idle time is no stall");
        assert_eq!(backlog.longest_stall(at(990)), Duration::from_nanos(85), "the last may last to the end");
        backlog.shrink(at(1000), 1);
        assert_eq!(backlog.longest_stall(at(9000)), Duration::from_nanos(95));
    }
}
