//! The part of a consumer that works: one message at a time, for as long as the demand says, at its own speed.

use brokerlab_event::{ClientId, Duration, Event, MessageId, Millionths, Observer, Time, WorkLaw};

/// The work of one consumer. A pause stops the work in hand, which goes on afterwards where it stood.
#[derive(Clone, Debug)]
pub struct Worker {
    client: ClientId,
    law: WorkLaw,
    speed: Millionths,
    done_at: Option<Time>,
    paused_at: Option<Time>,
}

impl Worker {
    /// An idle worker at normal speed.
    pub fn new(client: ClientId, law: WorkLaw) -> Worker {
        Worker { client, law, speed: Millionths::ONE, done_at: None, paused_at: None }
    }

    /// True while there is work in hand.
    #[inline]
    pub fn is_busy(&self) -> bool {
        self.done_at.is_some()
    }

    /// True between [`Worker::pause`] and [`Worker::resume`].
    #[inline]
    pub fn is_paused(&self) -> bool {
        self.paused_at.is_some()
    }

    /// When the work in hand is done, if nothing comes between.
    #[inline]
    pub fn done_at(&self) -> Option<Time> {
        if self.paused_at.is_some() { None } else { self.done_at }
    }

    /// The work that this message is, at normal speed.
    #[inline]
    pub fn work(&self, message: MessageId) -> Duration {
        self.law.of(message)
    }

    /// Begins the work on a message.
    ///
    /// # Panics
    /// Panics where there is work in hand already.
    #[inline]
    pub fn begin(&mut self, now: Time, message: MessageId, observer: &mut impl Observer) {
        self.begin_known(now, message, self.work(message), observer);
    }

    /// Begins the work on a message, which [`Worker::work`] has told before. To draw it takes long beside what is done
    /// about it, and what is done next hangs on when the work ends, so a consumer with messages in hand draws ahead.
    ///
    /// # Panics
    /// Panics where there is work in hand already.
    #[inline]
    pub fn begin_known(&mut self, now: Time, message: MessageId, work: Duration, observer: &mut impl Observer) {
        assert!(self.done_at.is_none(), "a worker does one message at a time");
        self.done_at = Some(now.saturating_add(self.speed.of(work)));
        observer.observe(now, Event::Started { message, consumer: self.client });
    }

    /// True once the work in hand is done; it is then no longer in hand.
    #[inline]
    pub fn finish(&mut self, now: Time) -> bool {
        let done = self.done_at().is_some_and(|at| at <= now);
        if done {
            self.done_at = None;
        }
        done
    }

    /// Drops the work in hand: the process died. A new process is not paused; the machine's speed stays.
    pub fn abandon(&mut self) {
        self.done_at = None;
        self.paused_at = None;
    }

    /// From now on work takes this many millionths of its usual time. The work in hand is not affected.
    pub fn set_speed(&mut self, now: Time, factor: Millionths, observer: &mut impl Observer) {
        self.speed = factor;
        observer.observe(now, Event::SpeedChanged { client: self.client, factor });
    }

    /// Stops.
    pub fn pause(&mut self, now: Time, observer: &mut impl Observer) {
        if self.paused_at.is_none() {
            self.paused_at = Some(now);
            observer.observe(now, Event::Paused { client: self.client });
        }
    }

    /// Goes on; the work in hand is done later by as long as the pause was.
    pub fn resume(&mut self, now: Time, observer: &mut impl Observer) {
        if let Some(paused_at) = self.paused_at.take() {
            self.done_at = self.done_at.map(|at| at.saturating_add(now - paused_at));
            observer.observe(now, Event::Resumed { client: self.client });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_event::{Distribution, Duration, Stream};

    fn at(secs: u64) -> Time {
        Time::ZERO + Duration::from_secs(secs)
    }

    #[test]
    fn speed_and_pauses_stretch_the_work() {
        let law = WorkLaw { distribution: Distribution::Constant(4.0), stream: Stream::new(1, "work") };
        let mut worker = Worker::new(ClientId::new(0), law);
        worker.set_speed(at(0), Millionths::new(500_000), &mut ());
        worker.begin(at(0), MessageId::new(0), &mut ());
        assert_eq!(worker.done_at(), Some(at(2)));
        worker.pause(at(1), &mut ());
        assert_eq!((worker.done_at(), worker.finish(at(5))), (None, false));
        worker.resume(at(11), &mut ());
        assert!(!worker.finish(at(11)) && worker.finish(at(12)) && !worker.is_busy());
    }
}
