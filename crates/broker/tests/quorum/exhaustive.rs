//! Every interleaving of what up to three messages and two consumers can do.

use brokerlab_broker::quorum::*;
use brokerlab_event::Time;

use crate::ledger::Ledger;
use crate::rig::{consumer, publication};

const MESSAGES: u64 = 3;
const PREFETCH: [u32; 2] = [1, 2];

/// What may happen next. Deliveries need no step: the queue makes them as soon as it can.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Step {
    Publish,
    Start(u32),
    Cancel(u32),
    Crash(u32),
    /// A consumer settles the oldest or the newest of what it holds.
    Settle(u32, bool, Settlement),
    /// A consumer returns all that it holds, the newest first.
    ReturnAll(u32),
}

#[derive(Clone)]
struct World {
    queue: QuorumQueue<u64>,
    ledger: Ledger,
    index: u64,
    path: Vec<Step>,
}

impl World {
    fn held(&self, number: u32) -> Vec<u64> {
        self.queue.held().filter(|(key, ..)| *key == consumer(number)).map(|(_, delivery, ..)| delivery).collect()
    }

    fn subscribed(&self, number: u32) -> bool {
        let started = self.path.iter().rposition(|step| *step == Step::Start(number));
        let stopped = self.path.iter().rposition(|step| *step == Step::Cancel(number) || *step == Step::Crash(number));
        started > stopped
    }

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.ledger.taken < MESSAGES {
            steps.push(Step::Publish);
        }
        for number in 0..2 {
            let held = self.held(number);
            match self.subscribed(number) {
                true => steps.extend([Step::Cancel(number), Step::Crash(number)]),
                false => steps.push(Step::Start(number)),
            }
            if !self.subscribed(number) && !held.is_empty() {
                steps.push(Step::Crash(number));
            }
            let ways = [Settlement::Ack, Settlement::NackRequeue, Settlement::RejectRequeue, Settlement::Discard];
            for settlement in ways.into_iter().filter(|_| !held.is_empty()) {
                steps.push(Step::Settle(number, true, settlement));
            }
            if held.len() > 1 {
                steps.extend([Step::Settle(number, false, Settlement::Ack), Step::ReturnAll(number)]);
            }
        }
        steps
    }

    fn command(&self, step: Step) -> Command<u64> {
        let settle =
            |number, deliveries, settlement| Command::Settle { consumer: consumer(number), deliveries, settlement };
        match step {
            Step::Publish => {
                let publication = publication(self.ledger.taken, 1, None, None);
                Command::Enqueue { publication, sequence: None }
            }
            Step::Start(number) => {
                let options = ConsumerOptions { prefetch: PREFETCH[number as usize], ..ConsumerOptions::default() };
                Command::Register { consumer: consumer(number), options }
            }
            Step::Cancel(number) => Command::Cancel { consumer: consumer(number) },
            Step::Crash(number) => Command::Down(consumer(number).session),
            Step::Settle(number, oldest, settlement) => {
                let held = self.held(number);
                let delivery = if oldest { held.first() } else { held.last() };
                settle(number, delivery.into_iter().copied().collect(), settlement)
            }
            Step::ReturnAll(number) => {
                settle(number, self.held(number).into_iter().rev().collect(), Settlement::RejectRequeue)
            }
        }
    }

    fn take(&self, step: Step) -> World {
        let mut next = self.clone();
        next.path.push(step);
        next.index += 1;
        let mut effects = Vec::new();
        next.queue.apply(next.index, Time::ZERO, self.command(step), &mut effects);
        for effect in &effects {
            if let Effect::Delivered { delivery, consumer: to } = effect {
                assert_eq!(Some(delivery.position), next.ledger.next(), "out of turn after {:?}", next.path);
                let number = to.session.client.get();
                assert!(next.subscribed(number), "delivered to a consumer that is not there: {:?}", next.path);
            }
            next.ledger.note(effect);
        }
        next.ledger.check(&next.queue);
        next.nobody_idles();
        next
    }

    /// Nothing is ready while a consumer that may have it has room for it.
    fn nobody_idles(&self) {
        let single = self.queue.config().single_active_consumer;
        for number in (0..2).filter(|number| self.subscribed(*number)) {
            let held = self.held(number).len() as u32;
            assert!(held <= PREFETCH[number as usize] || self.path.contains(&Step::Cancel(number)));
            let may = !single || self.queue.active_consumer() == Some(consumer(number));
            let idle = may && held < PREFETCH[number as usize];
            assert!(self.queue.ready() == 0 || !idle, "consumer {number} idles after {:?}", self.path);
        }
        if single && (self.subscribed(0) || self.subscribed(1)) {
            assert!(self.queue.active_consumer().is_some(), "nobody is active after {:?}", self.path);
        }
    }
}

fn explore(world: &World, depth: u32) -> u64 {
    if depth == 0 {
        return 1;
    }
    world.steps().into_iter().map(|step| explore(&world.take(step), depth - 1)).sum()
}

fn all_paths(config: QuorumConfig, depth: u32) -> u64 {
    let queue = QuorumQueue::new(config);
    explore(&World { queue, ledger: Ledger::default(), index: 0, path: vec![] }, depth)
}

#[test]
fn competing_consumers() {
    assert!(all_paths(QuorumConfig::default(), 7) > 20_000);
}

#[test]
fn competing_consumers_without_a_delivery_limit() {
    all_paths(QuorumConfig { delivery_limit: None, ..QuorumConfig::default() }, 7);
}

#[test]
fn a_single_active_consumer() {
    all_paths(QuorumConfig { single_active_consumer: true, ..QuorumConfig::default() }, 7);
}

#[test]
fn a_delivery_limit_of_one_and_dead_letters_that_are_kept() {
    let config = QuorumConfig {
        delivery_limit: Some(1),
        overflow: Overflow::RejectPublish,
        dead_lettering: DeadLettering::AtLeastOnce,
        ..QuorumConfig::default()
    };
    all_paths(config, 7);
}

#[test]
fn a_queue_of_at_most_one_message() {
    let config =
        QuorumConfig { max_length: Some(1), dead_lettering: DeadLettering::AtMostOnce, ..QuorumConfig::default() };
    all_paths(config, 7);
}
