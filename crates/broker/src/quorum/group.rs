//! What the members of a quorum queue's group agree on: the queue, and what was heard of whom.

use std::collections::BTreeMap;

use brokerlab_event::Time;

use super::command::{Command, Effect, Home};
use super::{QuorumConfig, QuorumQueue};
use crate::log::Entry;
use crate::raft;

/// A command, and who asks for it.
#[derive(Clone, PartialEq, Debug)]
pub struct Order<P> {
    /// The node for whose channels it is, and its number among the orders of that node for this queue, from 1. None
    /// where the leader itself asks.
    pub origin: Option<(Home, u64)>,
    /// The command.
    pub command: Command<P>,
}

impl<P: Clone> raft::Command for Order<P> {
    fn bytes(&self) -> u64 {
        match &self.command {
            Command::Enqueue { publication, .. } => publication.bytes(),
            _ => 0,
        }
    }
}

/// A member of the group.
pub type GroupMember<P> = raft::Member<Order<P>, Agreed<P>>;
/// What is left of one when its node has gone down.
pub type DurableGroupMember<P> = raft::DurableMember<Order<P>, Agreed<P>>;
/// What members say to each other.
pub type GroupMessage<P> = raft::Message<Order<P>, Agreed<P>>;

/// What the group has agreed on. Orders may arrive twice, as a node that hears of a new leader sends again what it has no
/// answer to; each is carried out once. RabbitMQ does so for publishes only (`rabbit_fifo`'s enqueuers).
#[derive(Clone, PartialEq, Debug)]
pub struct Agreed<P> {
    /// The queue.
    pub queue: QuorumQueue<P>,
    /// The last order of each node.
    heard: BTreeMap<Home, u64>,
}

/// What an order has met with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reception {
    /// It was carried out.
    Done,
    /// It had been carried out before.
    Repeated,
    /// One before it is missing. It will come, and this one again behind it.
    TooEarly,
}

impl<P: Clone> Agreed<P> {
    /// An empty queue.
    pub fn new(config: QuorumConfig) -> Agreed<P> {
        Agreed { queue: QuorumQueue::new(config), heard: BTreeMap::new() }
    }

    /// Carries out an order: its index in the log, and the time that its leader gave it.
    pub fn apply(&mut self, index: u64, time: Time, order: Order<P>, effects: &mut Vec<Effect<P>>) -> Reception {
        if let Some((home, number)) = order.origin {
            let last = self.heard.entry(home).or_insert(0);
            if number <= *last {
                return Reception::Repeated;
            }
            if number > *last + 1 {
                return Reception::TooEarly;
            }
            *last = number;
        }
        if let Command::NodeDown { node, starts } = order.command {
            self.heard.retain(|home, _| home.node != node || home.start >= starts);
        }
        self.queue.apply(index, time, order.command, effects);
        Reception::Done
    }
}
