//! Messages that nobody holds: fresh ones in their priority levels, returned ones, and those that wait for a retry.

use std::collections::{BTreeMap, VecDeque};

use brokerlab_event::{Offset, Time};

use super::config::Version;
use crate::log::Entry;
use crate::message::Publication;

/// The priority of a message that names none (`rabbit_fifo`, `DEFAULT_PRIORITY`).
const DEFAULT_PRIORITY: u8 = 4;
/// The highest of the strict levels.
const MAX_PRIORITY: u8 = 31;
/// Of so many messages in a row, all but the last prefer the high one of two levels (`rabbit_fifo_q`, `WEIGHT`).
const WEIGHT: u8 = 2;
/// Below this capacity an empty list is not worth shrinking.
const KEPT_CAPACITY: usize = 64;

/// A message in the queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Message<P> {
    pub publication: Publication<P>,
    /// Its place by order of arrival, which names it.
    pub position: Offset,
    /// Index of the command that put it in line. Only this one changes when it is put to the end again.
    pub age: u64,
    /// When it expires; [`Time::MAX`] for never.
    pub deadline: Time,
    /// Deliveries that failed.
    pub delivery_count: u32,
    /// Deliveries that ended otherwise than done.
    pub acquired_count: u32,
}

impl<P> Message<P> {
    pub fn expired(&self, now: Time) -> bool {
        now >= self.deadline && self.deadline < Time::MAX
    }
}

impl<P> Entry for Message<P> {
    fn bytes(&self) -> u64 {
        self.publication.bytes()
    }
    fn timestamp(&self) -> Time {
        self.publication.timestamp()
    }
}

/// A list that gives its memory back when most of it stands empty.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Fifo<T>(VecDeque<T>);

impl<T> Default for Fifo<T> {
    fn default() -> Self {
        Fifo(VecDeque::new())
    }
}

impl<T> Fifo<T> {
    pub fn push(&mut self, item: T) {
        self.0.push_back(item);
    }

    /// Puts an item before all others.
    pub fn push_first(&mut self, item: T) {
        self.0.push_front(item);
    }

    pub fn first(&self) -> Option<&T> {
        self.0.front()
    }

    pub fn pop(&mut self) -> Option<T> {
        let item = self.0.pop_front();
        // Halving at a quarter leaves as many pops as items moved until the next time, so a pop stays cheap.
        if self.0.capacity() > KEPT_CAPACITY && self.0.len() < self.0.capacity() / 4 {
            self.0.shrink_to(self.0.capacity() / 2);
        }
        item
    }

    pub fn pop_if(&mut self, wanted: impl Fn(&T) -> bool) -> Option<T> {
        if self.first().is_some_and(wanted) { self.pop() } else { None }
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter()
    }
}

/// Everything that nobody holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Ready<P> {
    version: Version,
    /// Fresh messages by level; the highest level is the last.
    levels: Vec<Fifo<Message<P>>>,
    /// A bit for each level that is not empty.
    occupied: u32,
    fresh: u64,
    /// Messages taken from two levels since the low one was preferred last.
    taken: u8,
    returned: Fifo<Message<P>>,
    /// By the time at which they are ready, then in line. The position tells apart what one command put in line.
    delayed: BTreeMap<(Time, u64, Offset), Message<P>>,
    bytes: u64,
}

impl<P> Ready<P> {
    pub fn new(version: Version) -> Ready<P> {
        let levels = match version {
            Version::V3_13 => 1,
            Version::V4_0 => 2,
            Version::V4_3 => usize::from(MAX_PRIORITY) + 1,
        };
        Ready {
            version,
            levels: (0..levels).map(|_| Fifo::default()).collect(),
            occupied: 0,
            fresh: 0,
            taken: 0,
            returned: Fifo::default(),
            delayed: BTreeMap::new(),
            bytes: 0,
        }
    }

    /// How many could be delivered now.
    pub fn len(&self) -> u64 {
        self.fresh + self.returned.len() as u64
    }

    /// How many there are with those that wait for a retry. This is what limits count.
    pub fn len_with_delayed(&self) -> u64 {
        self.len() + self.delayed.len() as u64
    }

    /// The bytes of all, those that wait included.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Puts a message at the end of the level of its priority.
    pub fn push(&mut self, message: Message<P>) {
        let level = self.level_of(&message);
        self.push_at(level, message);
    }

    /// Puts a message at the end of the level of those without a priority.
    pub fn push_last(&mut self, message: Message<P>) {
        let level = if self.version == Version::V4_3 { usize::from(DEFAULT_PRIORITY) } else { 0 };
        self.push_at(level, message);
    }

    fn push_at(&mut self, level: usize, message: Message<P>) {
        self.bytes += message.bytes();
        self.fresh += 1;
        self.occupied |= 1 << level;
        self.levels[level].push(message);
    }

    fn level_of(&self, message: &Message<P>) -> usize {
        let priority = message.publication.properties.as_ref().and_then(|properties| properties.priority);
        let priority = priority.unwrap_or(DEFAULT_PRIORITY);
        match self.version {
            Version::V3_13 => 0,
            Version::V4_0 => usize::from(priority > DEFAULT_PRIORITY),
            Version::V4_3 => usize::from(priority.min(MAX_PRIORITY)),
        }
    }

    /// Puts a message at the end of those that came back.
    pub fn push_returned(&mut self, message: Message<P>) {
        self.bytes += message.bytes();
        self.returned.push(message);
    }

    /// Lets a message that came back wait.
    pub fn delay(&mut self, until: Time, message: Message<P>) {
        self.bytes += message.bytes();
        self.delayed.insert((until, message.age, message.position), message);
    }

    /// The message that is delivered next.
    pub fn first(&self) -> Option<&Message<P>> {
        self.returned.first().or_else(|| self.levels[self.turn()?].first())
    }

    /// Takes the message that is delivered next.
    pub fn pop(&mut self) -> Option<Message<P>> {
        let message = match self.returned.pop() {
            Some(message) => message,
            None => {
                let level = self.turn()?;
                self.taken = if self.taken == WEIGHT { 0 } else { self.taken + 1 };
                self.pop_level(level, |_| true)?
            }
        };
        self.bytes -= message.bytes();
        Some(message)
    }

    fn pop_level(&mut self, level: usize, wanted: impl Fn(&Message<P>) -> bool) -> Option<Message<P>> {
        let message = self.levels[level].pop_if(wanted)?;
        self.fresh -= 1;
        if self.levels[level].is_empty() {
            self.occupied &= !(1 << level);
        }
        Some(message)
    }

    /// The level whose turn it is: the highest that is not empty. Of two levels, every third message prefers the
    /// low one, unless the head of the high one is older anyway.
    fn turn(&self) -> Option<usize> {
        if self.occupied == 0 {
            return None;
        }
        if self.version == Version::V4_0 && self.occupied == 0b11 && self.taken == WEIGHT {
            let age = |level: usize| self.levels[level].first().map(|message| message.age);
            return Some(usize::from(age(1) < age(0)));
        }
        Some(self.occupied.ilog2() as usize)
    }

    /// Takes the message that is delivered next where it has expired.
    pub fn pop_expired(&mut self, now: Time) -> Option<Message<P>> {
        if self.first()?.expired(now) { self.pop() } else { None }
    }

    /// Takes one message that has expired at the head of the returned ones or of a level: returned ones first, then
    /// the highest level. Up to 4.2 only the next message is looked at.
    pub fn pop_expired_anywhere(&mut self, now: Time) -> Option<Message<P>> {
        if self.version != Version::V4_3 {
            return self.pop_expired(now);
        }
        let message = self.returned.pop_if(|message| message.expired(now)).or_else(|| {
            let mut levels = Bits(self.occupied);
            levels.find_map(|level| self.pop_level(level, |message| message.expired(now)))
        })?;
        self.bytes -= message.bytes();
        Some(message)
    }

    /// Moves one message that has waited long enough to those that came back.
    pub fn promote(&mut self, now: Time) -> Option<Offset> {
        let entry = self.delayed.first_entry().filter(|entry| entry.key().0 <= now)?;
        let message = entry.remove();
        let position = message.position;
        self.returned.push(message);
        Some(position)
    }

    /// When the first message expires at a head or has waited long enough.
    pub fn next_timeout(&self) -> Option<Time> {
        let expiry = if self.version == Version::V4_3 {
            let heads = Bits(self.occupied).filter_map(|level| self.levels[level].first());
            heads.chain(self.returned.first()).map(|message| message.deadline).min()
        } else {
            self.first().map(|message| message.deadline)
        };
        let retry = self.delayed.first_key_value().map(|((until, ..), _)| *until);
        expiry.filter(|deadline| *deadline < Time::MAX).into_iter().chain(retry).min()
    }

    /// Takes everything: returned messages, level by level from the highest, and those that wait.
    pub fn drain(&mut self, mut gone: impl FnMut(Message<P>)) -> u64 {
        let count = self.len_with_delayed();
        let Ready { levels, returned, delayed, .. } = std::mem::replace(self, Ready::new(self.version));
        let fresh = levels.into_iter().rev().flat_map(|level| level.0);
        returned.0.into_iter().chain(fresh).chain(delayed.into_values()).for_each(&mut gone);
        count
    }

    /// What can be delivered: returned messages first, then level by level from the highest.
    pub fn iter(&self) -> impl Iterator<Item = &Message<P>> {
        self.returned.iter().chain(self.levels.iter().rev().flat_map(Fifo::iter))
    }

    /// What came back and can be delivered.
    pub fn returned(&self) -> impl Iterator<Item = &Message<P>> {
        self.returned.iter()
    }

    /// What waits for a retry, in order of time.
    pub fn delayed(&self) -> impl Iterator<Item = &Message<P>> {
        self.delayed.values()
    }
}

/// The set bits of a word from the highest.
struct Bits(u32);

impl Iterator for Bits {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let level = self.0.checked_ilog2()?;
        self.0 &= !(1 << level);
        Some(level as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_was_long_gives_its_memory_back_as_it_empties() {
        let mut list = Fifo::default();
        (0..100_000).for_each(|number| list.push(number));
        for number in 0..100_000 {
            assert_eq!(list.pop(), Some(number));
            assert!(list.0.capacity() <= (4 * (list.len() + 1)).max(KEPT_CAPACITY));
        }
        assert!(list.0.capacity() <= KEPT_CAPACITY);
    }

    #[test]
    fn levels_are_visited_from_the_highest() {
        assert_eq!(Bits(1 << 31 | 1 << 4 | 1).collect::<Vec<_>>(), [31, 4, 0]);
        assert_eq!(Bits(0).next(), None);
    }
}
