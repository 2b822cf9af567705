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
    /// Consumers of lower priority get messages only while none of this one can take any.
    pub priority: i32,
    unsettled: u32,
    /// It can take a message.
    waiting: bool,
}

/// A consumer's place in its queue. Places are never given out twice, so that a late settlement of a consumer
/// that is gone cannot be taken for one of its successor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place(u32);

/// The consumers of one queue. Those of the highest priority are served in round robin: a consumer goes to the end
/// of its ring after each delivery, and one that has all it may hold leaves the ring until it settles something.
///
/// A queue with a *single active consumer* serves one only. The others wait in the order in which they came; when
/// the active one goes, the first of the highest priority follows.
#[derive(Clone, Debug, Default)]
pub struct ConsumerRing {
    /// By place; empty where a consumer has gone.
    subscriptions: Vec<Option<Subscription>>,
    count: u32,
    /// From the highest priority down. With a single active consumer: those that wait to become it.
    levels: Vec<Level>,
    /// Nothing where all consumers are served.
    single: Option<Single>,
    /// The consumer that wants the queue for itself.
    exclusive: Option<Place>,
}

/// Consumers of one priority that can take a message. Some may have gone meanwhile.
#[derive(Clone, Debug)]
struct Level {
    priority: i32,
    ring: VecDeque<u32>,
}

#[derive(Clone, Debug, Default)]
struct Single {
    active: Option<Place>,
}

impl Subscription {
    /// A consumer that was just started.
    pub fn new(client: ClientId, channel: Channel, tag: ConsumerTag, auto_ack: bool, prefetch: u32) -> Subscription {
        Subscription { client, channel, tag, auto_ack, prefetch, priority: 0, unsettled: 0, waiting: false }
    }

    #[inline]
    fn has_credit(&self) -> bool {
        self.auto_ack || self.prefetch == 0 || self.unsettled < self.prefetch
    }
}

impl ConsumerRing {
    /// Nobody yet; `single_active` for a queue that serves one consumer only.
    pub fn new(single_active: bool) -> ConsumerRing {
        ConsumerRing { single: single_active.then(Single::default), ..ConsumerRing::default() }
    }

    /// How many consumers there are.
    pub fn len(&self) -> u32 {
        self.count
    }

    /// True where nobody consumes.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True where one consumer has the queue for itself.
    pub fn is_exclusive(&self) -> bool {
        self.exclusive.is_some()
    }

    /// Adds a consumer behind the others of its priority.
    pub fn add(&mut self, subscription: Subscription) -> Place {
        let place = Place(self.subscriptions.len() as u32);
        self.subscriptions.push(Some(subscription));
        self.count += 1;
        match &mut self.single {
            Some(single) if single.active.is_some() => self.enter(place),
            Some(single) => {
                single.active = Some(place);
                self.unblock(place);
            }
            None => self.unblock(place),
        }
        place
    }

    /// Adds a consumer that has the queue for itself. The caller has made sure that there is no other.
    pub fn add_exclusive(&mut self, subscription: Subscription) -> Place {
        let place = self.add(subscription);
        self.exclusive = Some(place);
        place
    }

    /// Removes a consumer. Its entry in a ring is skipped when its turn comes.
    pub fn remove(&mut self, place: Place) {
        self.subscriptions[place.0 as usize] = None;
        self.count -= 1;
        if self.exclusive == Some(place) {
            self.exclusive = None;
        }
        if self.single.as_ref().is_some_and(|single| single.active == Some(place)) {
            let next = self.pop_waiting();
            self.single = Some(Single { active: next });
            if let Some(next) = next {
                self.unblock(next);
            }
        }
    }

    /// The first of the highest priority in the rings.
    fn pop_waiting(&mut self) -> Option<Place> {
        for level in &mut self.levels {
            while let Some(place) = level.ring.pop_front() {
                if self.subscriptions[place as usize].is_some() {
                    return Some(Place(place));
                }
            }
        }
        None
    }

    /// The consumer whose turn it is. [`ConsumerRing::delivered`] or [`ConsumerRing::skip`] goes on to the next.
    #[inline]
    pub fn turn(&mut self) -> Option<(Place, Subscription)> {
        if let Some(single) = &self.single {
            let place = single.active?;
            return self.subscriptions[place.0 as usize].filter(|active| active.waiting).map(|active| (place, active));
        }
        for level in &mut self.levels {
            while let Some(&place) = level.ring.front() {
                match self.subscriptions[place as usize] {
                    Some(subscription) => return Some((Place(place), subscription)),
                    None => level.ring.pop_front(),
                };
            }
        }
        None
    }

    /// The consumer whose turn it is cannot take a message now: it leaves the ring.
    pub fn skip(&mut self, place: Place) {
        let subscription = self.subscriptions[place.0 as usize].as_mut().expect("it is its turn");
        subscription.waiting = false;
        let priority = subscription.priority;
        if self.single.is_none() {
            self.ring(priority).pop_front();
        }
    }

    /// The consumer whose turn it is got a message: it goes to the end of the ring, or leaves it where it has all it
    /// may hold.
    #[inline(always)]
    pub fn delivered(&mut self, place: Place) {
        let subscription = self.subscriptions[place.0 as usize].as_mut().expect("its turn has just come");
        subscription.unsettled += u32::from(!subscription.auto_ack);
        if !subscription.has_credit() {
            return self.skip(place);
        }
        let priority = subscription.priority;
        if self.single.is_none() {
            let ring = self.ring(priority);
            if ring.len() > 1 {
                ring.rotate_left(1);
            }
        }
    }

    /// A delivery of this consumer was settled or returned. It may have gone meanwhile.
    #[inline(always)]
    pub fn settled(&mut self, place: Place) {
        if let Some(subscription) = &mut self.subscriptions[place.0 as usize] {
            subscription.unsettled -= 1;
        }
        self.unblock(place);
    }

    /// Puts the consumer into the ring if it can take a message and is not there already.
    #[inline(always)]
    pub fn unblock(&mut self, place: Place) {
        if let Some(subscription) = &mut self.subscriptions[place.0 as usize]
            && !subscription.waiting
            && subscription.has_credit()
        {
            match self.single {
                Some(Single { active }) if active != Some(place) => {}
                Some(_) => subscription.waiting = true,
                None => {
                    subscription.waiting = true;
                    self.enter(place);
                }
            }
        }
    }

    /// Puts the consumer at the end of the ring of its priority.
    #[inline]
    fn enter(&mut self, place: Place) {
        let priority = self.subscriptions[place.0 as usize].map_or(0, |subscription| subscription.priority);
        self.ring(priority).push_back(place.0);
    }

    #[inline]
    fn ring(&mut self, priority: i32) -> &mut VecDeque<u32> {
        let index = match self.levels.first() {
            Some(level) if level.priority == priority => 0,
            _ => self.find_level(priority),
        };
        &mut self.levels[index].ring
    }

    #[cold]
    fn find_level(&mut self, priority: i32) -> usize {
        let index = self.levels.partition_point(|level| level.priority > priority);
        if self.levels.get(index).is_none_or(|level| level.priority != priority) {
            self.levels.insert(index, Level { priority, ring: VecDeque::new() });
        }
        index
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

    fn with_priorities(ring: &mut ConsumerRing, priorities: &[i32]) -> Vec<Place> {
        let subscription = |(number, priority): (usize, &i32)| Subscription {
            priority: *priority,
            ..Subscription::new(ClientId::new(number as u32), 1, 7, false, 1)
        };
        priorities.iter().enumerate().map(subscription).map(|subscription| ring.add(subscription)).collect()
    }

    #[test]
    fn lower_priorities_are_served_only_while_no_higher_one_can_take_a_message() {
        let mut ring = ConsumerRing::default();
        let places = with_priorities(&mut ring, &[-1, 5, 0, 5]);
        let turns: Vec<_> = (0..4).map(|_| deliver(&mut ring).unwrap()).collect();
        assert_eq!((turns, deliver(&mut ring)), (vec![1, 3, 2, 0], None));
        ring.settled(places[0]);
        ring.settled(places[3]);
        assert_eq!((deliver(&mut ring), deliver(&mut ring)), (Some(3), Some(0)));
    }

    #[test]
    fn a_single_active_consumer_is_followed_by_the_first_of_the_highest_priority() {
        let mut ring = ConsumerRing::new(true);
        let places = with_priorities(&mut ring, &[0, 0, 3, 3]);
        assert_eq!((deliver(&mut ring), deliver(&mut ring)), (Some(0), None), "blocked, and the others wait");
        ring.settled(places[0]);
        assert_eq!(deliver(&mut ring), Some(0), "a later one of higher priority does not displace it");
        ring.remove(places[2]);
        ring.remove(places[0]);
        assert_eq!((deliver(&mut ring), ring.len()), (Some(3), 2));
        ring.remove(places[3]);
        assert_eq!(deliver(&mut ring), Some(1));
        ring.remove(places[1]);
        assert_eq!((deliver(&mut ring), ring.is_empty()), (None, true));
    }
}
