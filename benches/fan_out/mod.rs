//! One producer (λ = 0.8) and eight groups that each work on every message, with mean services from 0.3 to 1, FIFO.
//!
//! [`bare`] is the plainest event-list program for that: std's `BinaryHeap` of 24-byte events, one list of arrival times
//! and an offset for each group. A message is nine events and nine exponential draws. [`broker`] has the same loop, and
//! in place of the list a node of the engine: every message is a batch of its own that is appended and acknowledged, and
//! every group fetches, and commits before it fetches again. Both return the mean sojourn (theory: 1.875).
use rand::SeedableRng;
use rand_distr::{Distribution, Exp1};
use rand_xoshiro::Xoshiro256PlusPlus;
use std::cmp::{Ordering, Reverse};
use std::collections::{BinaryHeap, VecDeque};

mod broker;

pub use broker::broker;

/// How many groups there are.
pub const GROUPS: usize = 8;

#[derive(Clone, Copy)]
struct Event {
    time: f64,
    sequence: u64,
    kind: u32,
}
impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}
impl Eq for Event {}
impl PartialOrd for Event {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Event {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time.total_cmp(&other.time).then(self.sequence.cmp(&other.sequence))
    }
}

/// Departures have the number of their group.
const ARRIVAL: u32 = GROUPS as u32;

/// What stands between the producer and the groups.
trait Middle {
    /// A message arrives. Idle groups that get it are noted.
    fn arrive(&mut self, now: f64, begins: &mut Vec<usize>);
    /// A group has done its oldest message: when that arrived, and whether there is another.
    fn depart(&mut self, now: f64, group: usize) -> (f64, bool);
}

fn run(messages: u64, seed: u64, middle: &mut impl Middle) -> f64 {
    let mut arrivals = Xoshiro256PlusPlus::seed_from_u64(2 * seed + 1);
    let mut services = Xoshiro256PlusPlus::seed_from_u64(2 * seed + 2);
    let draw = |generator: &mut Xoshiro256PlusPlus| -> f64 { Exp1.sample(generator) };
    let mean = |group: usize| 0.3 + 0.1 * group as f64;
    let mut agenda = BinaryHeap::new();
    let mut sequence = 0;
    let mut schedule = |agenda: &mut BinaryHeap<Reverse<Event>>, time: f64, kind: u32| {
        agenda.push(Reverse(Event { time, sequence, kind }));
        sequence += 1;
    };
    let (mut left, mut total, mut begins) = (messages, 0.0, Vec::new());
    schedule(&mut agenda, draw(&mut arrivals) / 0.8, ARRIVAL);
    while let Some(Reverse(Event { time: now, kind, .. })) = agenda.pop() {
        if kind == ARRIVAL {
            middle.arrive(now, &mut begins);
            for group in begins.drain(..) {
                schedule(&mut agenda, now + draw(&mut services) * mean(group), group as u32);
            }
            left -= 1;
            if left > 0 {
                schedule(&mut agenda, now + draw(&mut arrivals) / 0.8, ARRIVAL);
            }
        } else {
            let group = kind as usize;
            let (arrived, more) = middle.depart(now, group);
            total += now - arrived;
            if more {
                schedule(&mut agenda, now + draw(&mut services) * mean(group), kind);
            }
        }
    }
    total / (messages * GROUPS as u64) as f64
}

/// Arrival times from the oldest on that a group has not done, and what each group has.
#[derive(Default)]
struct List {
    arrived: VecDeque<f64>,
    first: u64,
    done: [u64; GROUPS],
}

impl Middle for List {
    fn arrive(&mut self, now: f64, begins: &mut Vec<usize>) {
        let end = self.first + self.arrived.len() as u64;
        begins.extend((0..GROUPS).filter(|group| self.done[*group] == end));
        self.arrived.push_back(now);
    }

    fn depart(&mut self, _now: f64, group: usize) -> (f64, bool) {
        let own = self.done[group];
        let arrived = self.arrived[(own - self.first) as usize];
        self.done[group] += 1;
        if own == self.first && self.done.iter().all(|done| *done > own) {
            self.arrived.pop_front();
            self.first += 1;
        }
        (arrived, self.done[group] < self.first + self.arrived.len() as u64)
    }
}

/// Without a broker.
pub fn bare(messages: u64, seed: u64) -> f64 {
    run(messages, seed, &mut List::default())
}
