//! A leader and a follower, with every message between them in the story's hands.

use std::collections::VecDeque;

use brokerlab_broker::config::Acks;
use brokerlab_broker::log::Crash;
use brokerlab_broker::node::{Context, LogSide};
use brokerlab_broker::{Address, Effect, Envelope, Message, Outbox};
use brokerlab_event::{ClientId, KeyId, MessageId, NodeId, Offset, StoreId, Time};

use crate::rig::Plan;

const STORE: u32 = 0;

fn node(index: usize) -> NodeId {
    NodeId::new(index as u16)
}

/// Two nodes; disks answer at once, the network when it is told to.
struct Pair {
    plan: Plan,
    sides: [Option<LogSide<()>>; 2],
    out: Outbox<()>,
    between: VecDeque<(usize, Message<()>)>,
    to_client: Vec<Message<()>>,
    sent: u64,
}

impl Pair {
    fn new() -> Pair {
        let plan = Plan { partitions: 1, nodes: 2, members: 0, ..Plan::default() };
        let deployment = plan.deployment();
        let side = |index| Some(LogSide::new(node(index), &deployment));
        let sides = [side(0), side(1)];
        Pair { plan, sides, out: Outbox::default(), between: VecDeque::new(), to_client: Vec::new(), sent: 0 }
    }

    fn with(&mut self, index: usize, act: impl FnOnce(&mut LogSide<()>, &mut Context<'_, (), ()>)) {
        let Some(side) = &mut self.sides[index] else { return };
        let (now, observer) = (Time::ZERO, &mut ());
        act(side, &mut Context { now, node: node(index), out: &mut self.out, observer });
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { to: Address::Node(to), message, .. } => self.between.push_back((to.index(), message)),
                Effect::Send { message, .. } => self.to_client.push(message),
                Effect::Write { node, store, until } => {
                    let side = self.sides[node.index()].as_mut().expect("its node is up");
                    let context = &mut Context { now: Time::ZERO, node, out: &mut self.out, observer: &mut () };
                    side.handle(Address::Disk, &mut Message::Written { store, until }, context);
                }
                Effect::Flush { .. } => panic!("the log side leaves flushing to the operating system"),
            }
        }
    }

    fn wake(&mut self) -> &mut Pair {
        self.with(1, |side, context| side.handle_timeout(context));
        self
    }

    fn produce(&mut self) -> &mut Pair {
        let (message, sender) = (MessageId::new(self.sent), ClientId::new(0));
        let records = vec![Envelope {
            message,
            key: KeyId::NONE,
            size: 1,
            timestamp: Time::ZERO,
            sender,
            tombstone: false,
            payload: (),
        }];
        let (store, correlation, acks) = (StoreId::new(STORE), self.sent as u32, Acks::All);
        self.sent += 1;
        let mut message = Message::Produce { store, correlation, acks, batch: records.into() };
        self.with(0, |side, context| side.handle(Address::Client(sender), &mut message, context));
        self
    }

    /// Carries one message between the nodes.
    fn carry(&mut self) -> &mut Pair {
        let (to, mut message) = self.between.pop_front().expect("a message is under way");
        self.with(to, |side, context| side.handle(Address::Node(node(1 - to)), &mut message, context));
        self
    }

    fn carry_all(&mut self) -> &mut Pair {
        while !self.between.is_empty() {
            self.carry();
        }
        self
    }

    /// A node goes down and comes back at once; its connections break.
    fn restart(&mut self, index: usize, kind: Crash) -> &mut Pair {
        let side = self.sides[index].take().expect("it is up");
        let mut context =
            Context { now: Time::ZERO, node: node(index), out: &mut Outbox::default(), observer: &mut () };
        let durable = side.crash(kind, &mut context);
        self.between.clear();
        self.with(1 - index, |side, context| {
            side.handle(Address::Node(node(index)), &mut Message::ConnectionLost, context);
        });
        self.sides[index] = Some(LogSide::recover(node(index), &self.plan.deployment(), Time::ZERO, durable));
        // The follower asks again, a while after its connection broke or as soon as it is back.
        let Some(follower) = &mut self.sides[1] else { return self };
        let (now, observer) = (follower.next_timeout().expect("it will ask"), &mut ());
        follower.handle_timeout(&mut Context { now, node: node(1), out: &mut self.out, observer });
        self.settle();
        self
    }

    /// Log end and high watermark of leader and follower, and how many requests were confirmed.
    fn marks(&self) -> ([(u64, u64); 2], usize) {
        let marks = |index: usize| {
            let side: &LogSide<()> = self.sides[index].as_ref().expect("it is up");
            let partition = side.partition(StoreId::new(STORE)).expect("it is hosted");
            (partition.log().end().get(), partition.high_watermark().get())
        };
        ([marks(0), marks(1)], self.to_client.len())
    }

    fn contents(&self, index: usize) -> Vec<u64> {
        let side: &LogSide<()> = self.sides[index].as_ref().expect("it is up");
        let log = side.partition(StoreId::new(STORE)).expect("it is hosted").log();
        log.entries_from(Offset::ZERO).map(|(_, record)| record.message.get()).collect()
    }
}

#[test]
fn a_record_is_confirmed_by_the_followers_next_fetch() {
    let mut pair = Pair::new();
    pair.wake().carry_all();
    pair.produce();
    assert_eq!(pair.marks(), ([(1, 0), (0, 0)], 0), "the leader has it, alone");
    pair.carry();
    assert_eq!(pair.marks(), ([(1, 0), (1, 0)], 0), "both have it, and the leader does not know");
    pair.carry();
    assert_eq!(pair.marks(), ([(1, 1), (1, 0)], 1), "the next fetch said so");
    pair.produce().carry_all();
    assert_eq!(pair.marks(), ([(2, 2), (2, 1)], 2), "followers learn of the high watermark a round trip later");
}

#[test]
fn a_follower_catches_up_after_it_was_away() {
    for kind in [Crash::Process, Crash::Power, Crash::Disk] {
        let mut pair = Pair::new();
        pair.wake().carry_all();
        pair.produce().produce().carry_all();
        pair.restart(1, kind).produce().carry_all();
        assert_eq!((pair.contents(0), pair.contents(1)), (vec![0, 1, 2], vec![0, 1, 2]), "{kind:?}");
        assert_eq!(pair.marks().1, 3, "{kind:?}");
    }
}

#[test]
fn a_leader_that_lost_its_tail_makes_its_follower_forget_it_too() {
    let mut pair = Pair::new();
    pair.wake().carry_all();
    pair.produce().produce().carry_all();
    // Nothing was flushed. The lost records must not come back at offsets that get other records.
    pair.restart(0, Crash::Power).produce().produce().produce().carry_all();
    assert_eq!((pair.contents(0), pair.contents(1)), (vec![2, 3, 4], vec![2, 3, 4]));
    let mut pair = Pair::new();
    pair.wake().carry_all();
    pair.produce().produce().carry_all();
    pair.restart(0, Crash::Process).produce().carry_all();
    assert_eq!((pair.contents(0), pair.contents(1)), (vec![0, 1, 2], vec![0, 1, 2]), "the page cache survives");
}
