//! Messages come in: numbers of channels, deadlines, limits.

use std::collections::BTreeMap;

use brokerlab_event::{Duration, Time};

use super::command::{Effect, Session};
use super::config::Overflow;
use super::ready::Message;
use super::{DeathReason, Envelope, Publication, QuorumQueue};

/// What the queue knows of a channel that publishes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Publisher {
    /// The number that its next message must have.
    next: u64,
    /// It was told to stop.
    stopped: bool,
}

/// The channels that publish.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Sessions {
    publishers: BTreeMap<Session, Publisher>,
    /// How many of them were told to stop.
    stopped: usize,
}

impl Sessions {
    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = Session> {
        self.publishers.keys().copied()
    }

    fn add(&mut self, session: Session) -> &mut Publisher {
        self.publishers.entry(session).or_insert(Publisher { next: 1, stopped: false })
    }

    /// Tells a channel, or all that were not told yet, to stop or to go on.
    fn stop<P>(&mut self, stop: bool, effects: &mut Vec<Effect<P>>) {
        let settled = if stop { self.publishers.len() } else { 0 };
        if self.stopped == settled {
            return;
        }
        for (session, publisher) in self.publishers.iter_mut().filter(|(_, publisher)| publisher.stopped != stop) {
            publisher.stopped = stop;
            effects.push(match stop {
                true => Effect::PublishingStopped(*session),
                false => Effect::PublishingResumed(*session),
            });
        }
        self.stopped = settled;
    }

    pub fn remove(&mut self, session: Session) {
        if self.publishers.remove(&session).is_some_and(|publisher| publisher.stopped) {
            self.stopped -= 1;
        }
    }
}

impl<P: Clone> QuorumQueue<P> {
    /// A channel that starts to publish learns at once that it must not.
    pub(super) fn register_session(&mut self, session: Session, effects: &mut Vec<Effect<P>>) {
        self.sessions.add(session);
        if self.config.overflow == Overflow::RejectPublish && self.over_limit() {
            self.sessions.stop(true, effects);
        }
    }

    pub(super) fn enqueue(
        &mut self,
        publication: Publication<P>,
        sequence: Option<(Session, u64)>,
        effects: &mut Vec<Effect<P>>,
    ) {
        if let Some((session, number)) = sequence {
            let publisher = self.sessions.add(session);
            if number < publisher.next {
                return effects.push(Effect::Repeated { sequence: (session, number) });
            }
            if number > publisher.next {
                return effects.push(Effect::OutOfSequence { sequence: (session, number) });
            }
            publisher.next += 1;
        }
        let position = self.end;
        let Envelope { message: id, size, .. } = publication.envelope;
        self.end = position.next();
        let deadline = self.deadline(&publication);
        let age = self.applied;
        self.ready.push(Message { publication, position, age, deadline, delivery_count: 0, acquired_count: 0 });
        effects.push(Effect::Enqueued { position, message: id, size, sequence });
        self.serve(effects);
    }

    /// The smaller of the queue's time to live and the message's own. Zero counts as a millisecond: the message may
    /// be consumed within the millisecond in which it came.
    fn deadline(&self, publication: &Publication<P>) -> Time {
        let own = publication.properties.as_ref().and_then(|properties| properties.expiration.as_deref());
        // An expiration that is no number is refused where it is published. One that no integer holds means never.
        let own = own.map(|text| text.parse().map_or(Duration::MAX, milliseconds));
        let Some(ttl) = own.into_iter().chain(self.config.message_ttl).min() else { return Time::MAX };
        self.now.saturating_add(if ttl.is_zero() { Duration::from_millis(1) } else { ttl })
    }

    /// Enforces the length limits.
    pub(super) fn limit(&mut self, effects: &mut Vec<Effect<P>>) {
        match self.config.overflow {
            Overflow::DropHead => {
                while self.over_limit() {
                    let Some(message) = self.ready.pop() else { return };
                    self.give_up(DeathReason::MaxLength, message, effects);
                }
            }
            Overflow::RejectPublish if self.over_limit() => self.sessions.stop(true, effects),
            Overflow::RejectPublish if self.below_soft_limit() => self.sessions.stop(false, effects),
            Overflow::RejectPublish => {}
        }
    }

    /// How many messages and bytes count: what is ready, what waits for a retry, and dead letters that are kept.
    fn counted(&self) -> (u64, u64) {
        (self.ready.len_with_delayed() + self.backlog.len(), self.ready.bytes() + self.backlog.bytes())
    }

    fn over_limit(&self) -> bool {
        let (length, bytes) = self.counted();
        let over = |count: u64, max: Option<u64>| max.is_some_and(|max| count > max);
        over(length, self.config.max_length) || over(bytes, self.config.max_bytes)
    }

    /// At four fifths of the limits publishers may go on.
    fn below_soft_limit(&self) -> bool {
        let (length, bytes) = self.counted();
        let below = |count: u64, max: Option<u64>| max.is_none_or(|max| count <= max / 5 * 4 + max % 5 * 4 / 5);
        below(length, self.config.max_length) && below(bytes, self.config.max_bytes)
    }
}

fn milliseconds(millis: u64) -> Duration {
    Duration::from_nanos(millis.saturating_mul(1_000_000))
}

impl<P> QuorumQueue<P> {
    /// How many bytes are ready or wait for a retry.
    pub fn bytes(&self) -> u64 {
        self.ready.bytes()
    }

    /// True where this channel was told to stop publishing.
    pub fn publishing_stopped(&self, session: Session) -> bool {
        self.sessions.publishers.get(&session).is_some_and(|publisher| publisher.stopped)
    }
}
