//! Who consumes, and whose turn it is.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};

use brokerlab_event::Time;

use super::command::{ConsumerKey, ConsumerOptions, DeliveryNumber, Receiver, Session};
use super::config::UNLIMITED_PREFETCH;
use super::ready::Message;

/// A consumer's number: the index of the command that started it.
pub(super) type Number = u64;

/// How a consumer stands to the queue.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Status {
    /// It wants messages.
    Up,
    /// It is the single active one and has to make way for another as soon as it holds nothing.
    Quiescing,
    /// It was cancelled, or asked for one message only, and is here for what it holds.
    Leaving,
}

/// A message that a consumer holds.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Held<P> {
    pub message: Message<P>,
    /// When it is returned if it is not settled; [`Time::MAX`] for never.
    pub deadline: Time,
}

/// Somebody who gets messages.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Consumer<P> {
    pub key: ConsumerKey,
    pub options: ConsumerOptions,
    pub status: Status,
    /// How many more messages it may get.
    pub credit: u32,
    next_delivery: DeliveryNumber,
    pub held: BTreeMap<DeliveryNumber, Held<P>>,
    /// Deliveries that were returned as they took too long and that it has not settled since.
    pub overdue: Vec<DeliveryNumber>,
    /// It stands in the service queue.
    queued: bool,
}

impl<P> Consumer<P> {
    pub fn new(key: ConsumerKey, options: ConsumerOptions) -> Consumer<P> {
        let mut consumer = Consumer {
            key,
            options,
            status: Status::Up,
            credit: 0,
            next_delivery: 0,
            held: BTreeMap::new(),
            overdue: Vec::new(),
            queued: false,
        };
        consumer.merge(options);
        consumer
    }

    /// Somebody who asked for one message, and has got it.
    pub fn for_one(key: ConsumerKey, options: ConsumerOptions) -> Consumer<P> {
        Consumer { status: Status::Leaving, credit: 0, ..Consumer::new(key, options) }
    }

    /// Starts it anew with other options; what it holds counts against its credit.
    pub fn merge(&mut self, options: ConsumerOptions) {
        self.options = options;
        self.status = Status::Up;
        self.overdue.clear();
        self.credit = self.limit().saturating_sub(self.held.len() as u32);
    }

    fn limit(&self) -> u32 {
        if self.options.prefetch == 0 { UNLIMITED_PREFETCH } else { self.options.prefetch }
    }

    /// Gives credit back for deliveries that it no longer holds.
    pub fn refill(&mut self, count: u32) {
        if self.status != Status::Leaving {
            self.credit = self.limit().min(self.credit + count);
        }
    }

    /// It wants messages and may have them.
    fn can_take(&self) -> bool {
        self.status == Status::Up && self.overdue.is_empty() && (self.credit > 0 || self.options.auto_ack)
    }

    /// It wants messages, but may be waiting for something.
    pub fn wants(&self) -> bool {
        self.status != Status::Leaving
    }

    /// Notes that it answered for deliveries that took too long.
    pub fn answered(&mut self, deliveries: &[DeliveryNumber]) {
        if !self.overdue.is_empty() {
            self.overdue.retain(|number| !deliveries.contains(number));
        }
    }

    /// It holds a message now. Tells the number of the delivery, and when it must be settled.
    pub fn take(&mut self, message: Message<P>, now: Time) -> (DeliveryNumber, Time) {
        let deadline = self.options.timeout.map_or(Time::MAX, |timeout| now.saturating_add(timeout));
        let number = self.skip_delivery();
        self.credit = self.credit.saturating_sub(1);
        self.held.insert(number, Held { message, deadline });
        (number, deadline)
    }

    /// Counts a delivery that is settled as it is sent.
    pub fn skip_delivery(&mut self) -> DeliveryNumber {
        self.next_delivery += 1;
        self.next_delivery - 1
    }
}

/// The consumers of a queue, with the service queue: those that can take a message, by priority, in round robin.
///
/// An entry stays in line when its consumer can take nothing any more, and is passed over when its turn comes while
/// there is a message; a consumer that can take something again by then has kept its place. This is how
/// `rabbit_fifo` does it, and it decides who is first.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Consumers<P> {
    by_key: BTreeMap<ConsumerKey, Number>,
    by_number: BTreeMap<Number, Consumer<P>>,
    service: BTreeMap<Reverse<i32>, VecDeque<Number>>,
    /// Only one consumer gets messages.
    single: bool,
    /// That one.
    pub active: Option<Number>,
    /// Not later than the first deadline of a message that is held.
    next_deadline: Time,
}

impl<P> Consumers<P> {
    pub fn new(single: bool) -> Consumers<P> {
        Consumers {
            by_key: BTreeMap::new(),
            by_number: BTreeMap::new(),
            service: BTreeMap::new(),
            single,
            active: None,
            next_deadline: Time::MAX,
        }
    }

    pub fn single(&self) -> bool {
        self.single
    }

    pub fn find(&self, key: ConsumerKey) -> Option<Number> {
        self.by_key.get(&key).copied()
    }

    pub fn contains(&self, number: Number) -> bool {
        self.by_number.contains_key(&number)
    }

    pub fn get(&self, number: Number) -> &Consumer<P> {
        self.by_number.get(&number).expect("consumers are looked up while they are there")
    }

    pub fn get_mut(&mut self, number: Number) -> &mut Consumer<P> {
        self.by_number.get_mut(&number).expect("consumers are looked up while they are there")
    }

    pub fn iter(&self) -> impl Iterator<Item = (Number, &Consumer<P>)> {
        self.by_number.iter().map(|(number, consumer)| (*number, consumer))
    }

    pub fn insert(&mut self, number: Number, consumer: Consumer<P>) {
        self.by_key.insert(consumer.key, number);
        self.by_number.insert(number, consumer);
    }

    pub fn remove(&mut self, number: Number) {
        let Some(consumer) = self.by_number.remove(&number) else { return };
        self.by_key.remove(&consumer.key);
        if self.active == Some(number) {
            self.active = None;
        }
        if consumer.queued {
            let line = self.service.values_mut().find_map(|line| {
                let place = line.iter().position(|other| *other == number)?;
                line.remove(place)
            });
            debug_assert!(line.is_some(), "whoever is marked as queued stands in line");
            self.service.retain(|_, line| !line.is_empty());
        }
    }

    /// The consumers of a channel, as they were started; those that asked for one message come last.
    pub fn of_session(&self, session: Session) -> Vec<Number> {
        let first = ConsumerKey { session, receiver: Receiver::Subscription(0) };
        let own = self.by_key.range(first..).take_while(|(key, _)| key.session == session);
        let mut numbers: Vec<_> =
            own.map(|(key, number)| (matches!(key.receiver, Receiver::Get(_)), *number)).collect();
        numbers.sort_unstable();
        numbers.into_iter().map(|(_, number)| number).collect()
    }

    /// True for a consumer that messages may go to now.
    pub fn serviceable(&self, number: Number) -> bool {
        (!self.single || self.active == Some(number)) && self.get(number).can_take()
    }

    /// Puts a consumer in line where it can take a message and is not there already.
    pub fn queue(&mut self, number: Number) {
        if !self.serviceable(number) {
            return;
        }
        let consumer = self.get_mut(number);
        if !consumer.queued {
            consumer.queued = true;
            let priority = Reverse(consumer.options.priority);
            self.service.entry(priority).or_default().push_back(number);
        }
    }

    /// Takes whoever is first in line.
    pub fn pop(&mut self) -> Option<Number> {
        let mut line = self.service.first_entry()?;
        let number = line.get_mut().pop_front().expect("lines that are kept are not empty");
        if line.get().is_empty() {
            line.remove();
        }
        self.get_mut(number).queued = false;
        Some(number)
    }

    /// Those that wait to become the single active one, the next first. By priority those come first that are not
    /// held up, then by priority, by credit, and as they were started.
    pub fn waiting(&self, by_priority: bool) -> Vec<Number> {
        let waits = |(number, consumer): &(Number, &Consumer<P>)| self.active != Some(*number) && consumer.wants();
        let mut waiting: Vec<_> = self.iter().filter(|entry| self.single && waits(entry)).collect();
        if by_priority {
            waiting.sort_by_key(|(number, consumer)| {
                let held_up = !consumer.overdue.is_empty();
                (held_up, Reverse(consumer.options.priority), Reverse(consumer.credit), *number)
            });
        }
        waiting.into_iter().map(|(number, _)| number).collect()
    }

    /// Lowers the time at which to look for overdue deliveries.
    pub fn expect_settlement(&mut self, deadline: Time) {
        self.next_deadline = self.next_deadline.min(deadline);
    }

    /// When to look for overdue deliveries: not later than the first deadline, but maybe too early, as settling one
    /// leaves this time as it is.
    pub fn next_deadline(&self) -> Option<Time> {
        (self.next_deadline < Time::MAX).then_some(self.next_deadline)
    }

    /// Deliveries that are overdue, by consumer.
    pub fn overdue(&self, now: Time) -> Vec<(Number, Vec<DeliveryNumber>)> {
        let late = |consumer: &Consumer<P>| -> Vec<_> {
            let held = consumer.held.iter();
            held.filter(|(_, held)| held.deadline <= now && held.deadline < Time::MAX).map(|(id, _)| *id).collect()
        };
        self.iter().map(|(number, consumer)| (number, late(consumer))).filter(|(_, late)| !late.is_empty()).collect()
    }

    /// Looks for the first deadline of a message that is held.
    pub fn refresh_deadline(&mut self) {
        let held = self.by_number.values().flat_map(|consumer| consumer.held.values());
        self.next_deadline = held.map(|held| held.deadline).min().unwrap_or(Time::MAX);
    }
}
