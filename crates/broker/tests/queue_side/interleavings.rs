//! Every interleaving of what up to three messages and two consumers can do.

use std::collections::BTreeSet;

use brokerlab_broker::Message;
use brokerlab_broker::config::QueueConfig;
use brokerlab_broker::properties::Properties;
use brokerlab_event::{ClientId, Duration, Event, Offset, Removal, StoreId, Time};

use crate::ledger::Ledger;
use crate::rig::{Rig, Topology, ms};

const MESSAGES: u64 = 3;

const PUBLISHER: u32 = 0;
/// The consumers by number.
const CONSUMERS: [u32; 2] = [1, 2];
/// By number: how many messages one may hold; 0 for as many as there are.
const PREFETCH: [u32; 3] = [0, 1, 0];
const CHANNEL: u16 = 1;

/// The only queue.
fn queue() -> StoreId {
    StoreId::new(0)
}

/// What may happen next. Deliveries need no step: the node makes them as soon as it can.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Publish,
    /// The disk does what it was asked for.
    Flush,
    /// As much time passes as messages live.
    Wait,
    Consume(u32),
    Get(u32),
    Crash(u32),
    /// A client settles some of what it holds.
    Settle(u32, Which, How),
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum Which {
    Oldest,
    Newest,
    /// All with one request.
    All,
}

#[derive(Clone, Copy, PartialEq, Debug)]
enum How {
    Ack,
    Requeue,
    Reject,
}

#[derive(Clone)]
struct World {
    rig: Rig,
    ledger: Ledger,
    /// By place in the queue: when the message arrived.
    arrivals: Vec<Time>,
    /// Who consumes, in the order in which they began.
    consumers: Vec<u32>,
    /// Deliveries that were pushed and not asked for: those that count against the prefetch.
    pushed: BTreeSet<(u32, u64)>,
    answered: u64,
    path: Vec<Step>,
}

impl World {
    fn new(slow_disk: bool, change: impl FnOnce(&mut QueueConfig)) -> World {
        let mut topology = Topology::default();
        topology.queue("work", change);
        let mut rig = Rig::new(topology);
        rig.slow_disk = slow_disk;
        rig.ask(PUBLISHER, Message::ConfirmSelect { channel: CHANNEL });
        World {
            rig,
            ledger: Ledger::default(),
            arrivals: vec![],
            consumers: vec![],
            pushed: BTreeSet::new(),
            answered: 0,
            path: vec![],
        }
    }

    fn config(&self) -> &QueueConfig {
        &self.rig.topology.queues[0]
    }

    fn held(&self, client: u32) -> Vec<u64> {
        self.ledger.held(ClientId::new(client))
    }

    fn steps(&self) -> Vec<Step> {
        use How::{Ack, Reject, Requeue};
        use Which::{All, Newest, Oldest};
        let mut steps = Vec::new();
        if self.rig.published < MESSAGES {
            steps.push(Step::Publish);
        }
        if self.rig.is_asked_to_flush() {
            steps.push(Step::Flush);
        }
        if self.config().message_ttl.is_some() && self.path.last() != Some(&Step::Wait) {
            steps.push(Step::Wait);
        }
        for consumer in CONSUMERS {
            let held = self.held(consumer).len();
            steps.push(Step::Get(consumer));
            match self.consumers.contains(&consumer) {
                true => steps.push(Step::Crash(consumer)),
                false => steps.push(Step::Consume(consumer)),
            }
            if held > 0 {
                steps.extend([Ack, Requeue, Reject].map(|how| Step::Settle(consumer, Oldest, how)));
            }
            if held > 1 {
                steps.extend([Ack, Requeue].map(|how| Step::Settle(consumer, Newest, how)));
                steps.extend([Ack, Requeue].map(|how| Step::Settle(consumer, All, how)));
            }
        }
        steps
    }

    fn ask(&mut self, step: Step) {
        let (channel, queue) = (CHANNEL, queue());
        match step {
            Step::Publish => {
                let priority = Some((self.rig.published % 2) as u8);
                let properties = Properties { priority, ..Properties::default() };
                self.rig.publish(PUBLISHER, "", "work", Some(properties));
            }
            Step::Flush => drop(self.rig.flush()),
            Step::Wait => drop(self.rig.advance(self.config().message_ttl.expect("messages expire"))),
            Step::Consume(client) => {
                self.consumers.push(client);
                self.rig.consume(client, queue, PREFETCH[client as usize]);
            }
            Step::Get(client) => drop(self.rig.ask(client, Message::Get { channel, queue, auto_ack: false })),
            Step::Crash(client) => {
                self.consumers.retain(|other| *other != client);
                self.pushed.retain(|(other, _)| *other != client);
                self.rig.ask(client, Message::ConnectionLost);
            }
            Step::Settle(client, which, how) => {
                let held = self.held(client);
                let tag = if which == Which::Oldest { held.first() } else { held.last() };
                let (tag, multiple) = (*tag.expect("it holds something"), which == Which::All);
                let message = match how {
                    How::Ack => Message::Ack { channel, tag, multiple },
                    How::Requeue => Message::Nack { channel, tag, multiple, requeue: true },
                    How::Reject => Message::Reject { channel, tag, requeue: false },
                };
                self.rig.ask(client, message);
            }
        }
    }

    /// The place of the message that is next: the first of those that are ready, in the highest level of priority
    /// where the queue has levels.
    fn next(&self) -> Option<Offset> {
        let levels = self.config().max_priority.is_some();
        let level = |message: u64| if levels { message % 2 } else { 0 };
        let ready = self.ledger.ready(queue()).map(|(offset, copy)| (level(copy.message.get()), offset));
        ready.max_by_key(|(level, offset)| (*level, core::cmp::Reverse(*offset))).map(|(_, offset)| offset)
    }

    fn take(&self, step: Step) -> World {
        let mut next = self.clone();
        next.path.push(step);
        next.ask(step);
        next.follow();
        next.expect(step, self);
        next.nobody_idles();
        next
    }

    /// Writes down what has happened since the step before, event by event and delivery by delivery.
    fn follow(&mut self) {
        for event in self.rig.events().to_vec() {
            match event {
                Event::Stored { .. } => self.arrivals.push(self.rig.now),
                Event::Removed { offset, cause: Removal::MaxLength | Removal::Expired, .. } => {
                    assert_eq!(Some(offset), self.next(), "not given up at the head: {:?}", self.path);
                }
                _ => {}
            }
            self.ledger.note(&event);
        }
        for (client, message) in core::mem::take(&mut self.rig.sent) {
            let next = self.next();
            match message {
                Message::Confirm { sequence, .. } => {
                    self.answered += 1;
                    assert_eq!(sequence, self.answered, "not in turn after {:?}", self.path);
                }
                Message::GetAnswer { found: None, .. } => assert_eq!(next, None, "held back after {:?}", self.path),
                Message::Deliver { tag, .. } => drop(self.pushed.insert((client.get(), tag))),
                _ => {}
            }
            if let Some((_, offset)) = self.ledger.deliver(client, &message) {
                assert_eq!(Some(offset), next, "out of turn after {:?}", self.path);
                assert!(self.deadline(offset) > self.rig.now, "delivered too late after {:?}", self.path);
            }
        }
        self.ledger.check(&self.rig);
    }

    fn deadline(&self, offset: Offset) -> Time {
        let ttl = self.config().message_ttl.unwrap_or(Duration::MAX);
        self.arrivals[offset.get() as usize].saturating_add(ttl)
    }

    /// What the step alone must have done.
    fn expect(&mut self, step: Step, before: &World) {
        let told = |wanted: fn(&Event) -> bool| self.rig.events().iter().filter(|event| wanted(event)).count();
        let acked = told(|event| matches!(event, Event::Removed { cause: Removal::Acked, .. }));
        let rejected = told(|event| matches!(event, Event::Removed { cause: Removal::Rejected, .. }));
        let requeued = told(|event| matches!(event, Event::Requeued { .. }));
        let settled = |client, which| if which == Which::All { before.held(client).len() } else { 1 };
        let expected = match step {
            Step::Settle(client, which, How::Ack) => (settled(client, which), 0, 0),
            Step::Settle(client, which, How::Reject) => (0, settled(client, which), 0),
            Step::Settle(client, which, How::Requeue) => (0, 0, settled(client, which)),
            Step::Crash(client) => (0, 0, before.held(client).len()),
            _ => (0, 0, 0),
        };
        assert_eq!((acked, rejected, requeued), expected, "after {:?}", self.path);
        let waiting = if self.rig.is_asked_to_flush() { before.answered } else { self.rig.published };
        assert_eq!(self.answered, waiting, "confirmed too early or too late after {:?}", self.path);
        self.pushed.retain(|(client, tag)| {
            self.ledger.copies.values().any(|copy| copy.holder == Some((ClientId::new(*client), CHANNEL, *tag)))
        });
    }

    /// Nothing is ready while a consumer that may have it has room for it, nothing is ready that has expired, and no
    /// more is ready than the limit allows.
    fn nobody_idles(&mut self) {
        let ready: Vec<Offset> = self.ledger.ready(queue()).map(|(offset, _)| offset).collect();
        let first = if self.config().single_active_consumer { 1 } else { self.consumers.len() };
        for (place, consumer) in self.consumers.iter().enumerate() {
            let held = self.pushed.iter().filter(|(client, _)| client == consumer).count();
            let prefetch = PREFETCH[*consumer as usize] as usize;
            assert!(prefetch == 0 || held <= prefetch, "consumer {consumer} has too much: {:?}", self.path);
            let room = place < first && (prefetch == 0 || held < prefetch);
            assert!(ready.is_empty() || !room, "consumer {consumer} idles after {:?}", self.path);
            assert!(place < first || held == 0, "consumer {consumer} is not active: {:?}", self.path);
        }
        assert!(ready.iter().all(|offset| self.deadline(*offset) > self.rig.now), "kept too long: {:?}", self.path);
        let max = self.config().max_length.unwrap_or(u64::MAX);
        assert!(ready.len() as u64 <= max, "too many after {:?}", self.path);
        let (channel, queue) = (CHANNEL, queue());
        let (ready, consumers) = (ready.len(), self.consumers.len());
        let state = self.rig.ask(PUBLISHER, Message::InspectQueue { channel, queue });
        assert_eq!(state, format!("c0.1 {ready} ready, {consumers} consumers"), "after {:?}", self.path);
    }
}

fn explore(world: &World, depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    world.steps().into_iter().map(|step| explore(&world.take(step), depth - 1)).sum()
}

#[test]
fn competing_consumers() {
    assert!(explore(&World::new(false, |_| {}), 7) > 200_000);
}

#[test]
fn a_disk_that_takes_its_time() {
    explore(&World::new(true, |_| {}), 6);
}

#[test]
fn two_levels_of_priority() {
    explore(&World::new(false, |config| config.max_priority = Some(1)), 7);
}

#[test]
fn a_single_active_consumer() {
    explore(&World::new(false, |config| config.single_active_consumer = true), 7);
}

#[test]
fn a_limit_of_one_message() {
    explore(&World::new(false, |config| config.max_length = Some(1)), 7);
}

#[test]
fn messages_that_expire() {
    explore(&World::new(false, |config| config.message_ttl = Some(ms(1))), 6);
}
