//! How long producers are held up.

use brokerlab_event::{Blockage, Duration, Time};

use crate::BlockedTime;

/// Adds up the time of all blocked producers.
#[derive(Clone, Default)]
pub(crate) struct Blocking {
    /// Why each client is blocked, by client.
    clients: Vec<Option<Blockage>>,
    memory: Producers,
    credit: Producers,
    buffer: Producers,
    /// What was added up when the last bin was closed.
    told: Duration,
}

/// The producers that are blocked for one reason.
#[derive(Clone, Copy, Default)]
struct Producers {
    now: u64,
    since: Time,
    total: Duration,
}

impl Producers {
    /// Adds the time up to this moment, from which on so many are blocked.
    fn change(&mut self, time: Time, now: u64) {
        let passed = time.saturating_since(self.since).as_nanos();
        self.total = self.total + Duration::from_nanos(passed.saturating_mul(self.now));
        (self.since, self.now) = (time, now);
    }
}

impl Blocking {
    pub fn new(clients: usize) -> Blocking {
        Blocking { clients: vec![None; clients], ..Blocking::default() }
    }

    fn of(&mut self, cause: Blockage) -> &mut Producers {
        match cause {
            Blockage::Memory => &mut self.memory,
            Blockage::Credit => &mut self.credit,
            Blockage::Buffer => &mut self.buffer,
        }
    }

    /// A client is blocked for this reason from now on, or not any more.
    pub fn set(&mut self, time: Time, client: usize, cause: Option<Blockage>) {
        if let Some(before) = core::mem::replace(&mut self.clients[client], cause) {
            let producers = self.of(before);
            producers.change(time, producers.now - 1);
        }
        if let Some(cause) = cause {
            let producers = self.of(cause);
            producers.change(time, producers.now + 1);
        }
    }

    /// The time up to this moment.
    pub fn until(&mut self, time: Time) -> BlockedTime {
        self.memory.change(time, self.memory.now);
        self.credit.change(time, self.credit.now);
        self.buffer.change(time, self.buffer.now);
        BlockedTime { memory: self.memory.total, credit: self.credit.total, buffer: self.buffer.total }
    }

    /// The time since this was last asked.
    pub fn since_last(&mut self, time: Time) -> Duration {
        let all = self.until(time).sum();
        let before = core::mem::replace(&mut self.told, all);
        Duration::from_nanos(all.as_nanos() - before.as_nanos())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_times_of_all_producers_add_up_by_reason() {
        let at = Time::from_nanos;
        let nanos = Duration::from_nanos;
        let mut blocking = Blocking::new(2);
        blocking.set(at(10), 0, Some(Blockage::Memory));
        blocking.set(at(20), 1, Some(Blockage::Memory));
        assert_eq!(blocking.since_last(at(30)), nanos(30), "20 of the one, 10 of the other");
        blocking.set(at(40), 0, None);
        blocking.set(at(50), 1, None);
        blocking.set(at(60), 0, Some(Blockage::Credit));
        assert_eq!(blocking.until(at(100)), BlockedTime { memory: nanos(60), credit: nanos(40), buffer: nanos(0) });
        assert_eq!(blocking.since_last(at(100)), nanos(70));
        blocking.set(at(110), 1, None);
        assert_eq!(blocking.until(at(110)).credit, nanos(50), "nobody is unblocked who was not blocked");
    }
}
