//! Every short history of two consumers and their coordinator, in every protocol: a partition has one owner at most, and
//! once everybody has come to rest exactly one; nothing is lost.

use std::collections::BTreeMap;

use brokerlab_broker::assignor::{Assignor, ServerAssignor};
use brokerlab_broker::config::{CommitPolicy, GroupProtocol};
use brokerlab_event::{ClientId, Event, StoreId};

use crate::rig::{Plan, Rig, ms, secs};

const PARTITIONS: u32 = 3;

#[derive(Clone)]
struct History {
    rig: Rig,
    up: [bool; 2],
    owners: BTreeMap<StoreId, ClientId>,
    /// How many of the events have been looked at.
    seen: usize,
    offered: u64,
    path: Vec<(&'static str, u32)>,
}

impl History {
    fn new(plan: &Plan) -> History {
        History { rig: plan.rig(), up: [false; 2], owners: BTreeMap::new(), seen: 0, offered: 0, path: Vec::new() }
    }

    fn steps(&self) -> Vec<(&'static str, u32)> {
        let mut steps = vec![("second", 0), ("session", 0), ("records", 0)];
        for number in [1, 2] {
            match self.up[number as usize - 1] {
                true => steps.extend([("leave", number), ("crash", number)]),
                false => steps.push(("start", number)),
            }
        }
        steps
    }

    fn take(&mut self, step: &'static str, number: u32) {
        self.path.push((step, number));
        match step {
            "second" => self.rig.run(secs(1)),
            "session" => self.rig.run(secs(7)),
            "records" => {
                // What is committed while it is on its way is committed; the rest is done again by somebody.
                self.offered += 6;
                self.rig.offer(6, PARTITIONS).run(ms(15))
            }
            "start" => self.rig.start(number),
            "leave" => self.rig.leave(number),
            "crash" => self.rig.crash(number),
            other => panic!("no such step: {other}"),
        };
        if number > 0 {
            self.up[number as usize - 1] = step == "start";
        }
        self.look();
    }

    fn look(&mut self) {
        let records = self.rig.events.records();
        for record in &records[self.seen..] {
            match record.event() {
                Event::Assigned { consumer, store, .. } => {
                    let before = self.owners.insert(store, consumer);
                    assert_eq!(before, None, "{store:?} is given to {consumer:?}: {:?}", self.path);
                }
                Event::Revoked { consumer, store, .. } => {
                    assert_eq!(self.owners.remove(&store), Some(consumer), "{store:?}: {:?}", self.path);
                }
                Event::Disconnected { client, .. } => self.owners.retain(|_, owner| *owner != client),
                _ => {}
            }
        }
        self.seen = records.len();
    }

    /// From here on nothing happens to anybody: each partition gets exactly one owner, and each record is done.
    fn settle(mut self) {
        for number in [1, 2] {
            if !self.up[number as usize - 1] {
                self.take("start", number);
            }
        }
        self.take("records", 0);
        self.rig.run(secs(30));
        self.look();
        let owned: Vec<u32> = self.owners.keys().map(|store| store.get()).collect();
        assert_eq!(owned, (0..PARTITIONS).collect::<Vec<_>>(), "{:?}", self.path);
        let of = |number| self.owners.values().filter(|owner| owner.get() == number).count();
        assert_eq!(of(1).abs_diff(of(2)), 1, "both have their share: {:?}", self.path);
        let processed = self.rig.processed();
        assert_eq!(processed.len() as u64, self.offered);
        assert!(!processed.contains(&0), "{processed:?} after {:?}", self.path);
    }
}

fn every_history(change: impl Fn(&mut Plan)) {
    fn explore(history: &History, depth: u32, count: &mut u64) {
        if depth == 0 {
            *count += 1;
            return history.clone().settle();
        }
        for (step, number) in history.steps() {
            let mut next = history.clone();
            next.take(step, number);
            explore(&next, depth - 1, count);
        }
    }
    let mut plan = Plan { partitions: PARTITIONS, work: ms(10), ..Plan::default() };
    plan.member.commit = CommitPolicy::AfterEach;
    change(&mut plan);
    let mut count = 0;
    let fresh = History::new(&plan);
    explore(&fresh, 4, &mut count);
    let mut at_rest = fresh;
    for (step, number) in [("start", 1), ("start", 2), ("session", 0), ("second", 0)] {
        at_rest.take(step, number);
    }
    explore(&at_rest, 3, &mut count);
    assert!(count > 1_000, "only {count} histories");
}

#[test]
fn an_eager_group_gives_each_partition_one_owner() {
    every_history(|plan| plan.member.assignors = vec![Assignor::Range]);
}

#[test]
fn a_cooperative_group_gives_each_partition_one_owner() {
    every_history(|plan| plan.member.assignors = vec![Assignor::CooperativeSticky]);
}

#[test]
fn static_members_give_each_partition_one_owner() {
    every_history(|plan| plan.member.is_static = true);
}

#[test]
fn a_group_whose_coordinator_assigns_gives_each_partition_one_owner() {
    every_history(|plan| {
        plan.protocol = GroupProtocol::Consumer(ServerAssignor::Uniform);
        plan.member.assignors = Vec::new();
    });
}

#[test]
fn static_members_of_such_a_group_give_each_partition_one_owner() {
    every_history(|plan| {
        plan.protocol = GroupProtocol::Consumer(ServerAssignor::Range);
        plan.member.assignors = Vec::new();
        plan.member.is_static = true;
    });
}
