//! Which consumer gets the next message of a queue: a ring of those that can take one.

use std::collections::VecDeque;

use brokerlab_event::ClientId;

use crate::message::{Channel, ConsumerTag};

/// A consumer of a queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Subscription {
    /// Its connection.
    pub client: ClientId,
    /// Its channel.
    pub channel: Channel,
    /// Its tag on the connection.
    pub tag: ConsumerTag,
    /// Deliveries are settled as they are sent.
    pub auto_ack: bool,
    /// At most this many unsettled; 0 for no limit.
    pub prefetch: u32,
    unsettled: u32,
    waiting: bool,
}

/// A consumer's place in its queue. Places are never given out twice, so that a late settlement of a consumer
/// that is gone cannot be taken for one of its successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u32);

/// The consumers of one queue, in round robin: a consumer goes to the end of the ring after each delivery, and
/// one that has all it may hold leaves the ring until it settles something.
#[derive(Clone, Debug, Default)]
pub struct ConsumerRing {
    /// By place; empty where a consumer has gone.
    subscriptions: Vec<Option<Subscription>>,
    count: u32,
    /// Places of subscriptions that can take a message.
    ring: VecDeque<u32>,
}

impl Subscription {
    /// A consumer that was just started.
    pub fn new(client: ClientId, channel: Channel, tag: ConsumerTag, auto_ack: bool, prefetch: u32) -> Subscription {
        Subscription { client, channel, tag, auto_ack, prefetch, unsettled: 0, waiting: false }
    }

    #[inline]
    fn has_credit(&self) -> bool {
        self.auto_ack || self.prefetch == 0 || self.unsettled < self.prefetch
    }
}

impl ConsumerRing {
    /// How many consumers there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// True where nobody consumes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds a consumer at the end of the ring.
    pub fn add(&mut self, subscription: Subscription) -> Place {
        let place = Place(self.subscriptions.len() as u32);
        self.subscriptions.push(Some(subscription));
        self.count += 1;
        self.unblock(place);
        place
    }

    /// Removes a consumer.
    pub fn remove(&mut self, place: Place) {
        if self.subscriptions[place.0 as usize].take().is_some_and(|gone| gone.waiting) {
            self.ring.retain(|other| *other != place.0);
        }
        self.count -= 1;
    }

    /// The consumer whose turn it is. [`ConsumerRing::delivered`] or [`ConsumerRing::skip`] goes on to the next.
    #[inline]
    pub fn turn(&self) -> Option<(Place, Subscription)> {
        let place = *self.ring.front()?;
        let subscription = self.subscriptions[place as usize].expect("the ring holds only consumers that are there");
        Some((Place(place), subscription))
    }

    /// The consumer whose turn it is cannot take a message now: it leaves the ring.
    pub fn skip(&mut self) {
        let place = self.ring.pop_front().expect("it is somebody's turn");
        if let Some(subscription) = &mut self.subscriptions[place as usize] {
            subscription.waiting = false;
        }
    }

    /// The consumer whose turn it is got a message: it goes to the end of the ring, or leaves it where it has all it
    /// may hold.
    #[inline]
    pub fn delivered(&mut self, place: Place) {
        let subscription = self.subscriptions[place.0 as usize].as_mut().expect("its turn has just come");
        subscription.unsettled += u32::from(!subscription.auto_ack);
        if !subscription.has_credit() {
            self.skip();
        } else if self.ring.len() > 1 {
            self.ring.rotate_left(1);
        }
    }

    /// A delivery of this consumer was settled or returned. It may have gone meanwhile.
    #[inline]
    pub fn settled(&mut self, place: Place) {
        if let Some(subscription) = &mut self.subscriptions[place.0 as usize] {
            subscription.unsettled -= 1;
        }
        self.unblock(place);
    }

    /// Puts the consumer into the ring if it can take a message and is not there already.
    #[inline]
    pub fn unblock(&mut self, place: Place) {
        if let Some(subscription) = &mut self.subscriptions[place.0 as usize]
            && !subscription.waiting
            && subscription.has_credit()
        {
            subscription.waiting = true;
            self.ring.push_back(place.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(prefetches: &[u32]) -> ConsumerRing {
        let mut ring = ConsumerRing::default();
        for (number, prefetch) in prefetches.iter().enumerate() {
            ring.add(Subscription::new(ClientId::new(number as u32), 1, 7, false, *prefetch));
        }
        ring
    }

    fn deliver(ring: &mut ConsumerRing) -> Option<u32> {
        let (place, subscription) = ring.turn()?;
        ring.delivered(place);
        Some(subscription.client.get())
    }

    #[test]
    fn turns_go_round_and_skip_those_that_hold_all_they_may() {
        let mut ring = ring(&[0, 1, 2]);
        let turns: Vec<_> = (0..6).map(|_| deliver(&mut ring).unwrap()).collect();
        assert_eq!(turns, [0, 1, 2, 0, 2, 0]);
        ring.settled(Place(1));
        assert_eq!((deliver(&mut ring), deliver(&mut ring), deliver(&mut ring)), (Some(0), Some(1), Some(0)));
    }

    #[test]
    fn a_consumer_that_goes_leaves_the_others_their_turns() {
        let mut ring = ring(&[0, 0, 0]);
        assert_eq!(deliver(&mut ring), Some(0));
        ring.remove(Place(1));
        assert_eq!((deliver(&mut ring), deliver(&mut ring), deliver(&mut ring)), (Some(2), Some(0), Some(2)));
        ring.remove(Place(0));
        ring.remove(Place(2));
        ring.settled(Place(2));
        assert_eq!((deliver(&mut ring), ring.is_empty()), (None, true));
    }
}
