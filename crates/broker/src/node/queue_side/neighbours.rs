//! What a node knows of the other nodes of its cluster, as far as quorum queues care: who is there.
//!
//! Every node shows itself to every other once a [poll](POLL_INTERVAL), where RabbitMQ's failure detector
//! ([aten](https://github.com/rabbitmq/aten)) sends ten heartbeats and decides by their distribution: with a network
//! whose delays do not vary that comes to the same, at a tenth of the messages.

use brokerlab_event::{Duration, NodeId, Observer, Time};

use super::QueueSide;
use crate::message::{Address, Message};
use crate::node::Context;
use crate::quorum::Home;
use crate::raft::POLL_INTERVAL;

/// How long a node may be silent that shows itself once a poll.
const PATIENCE: Duration = Duration::from_millis(1500);

/// The other nodes.
#[derive(Clone, Debug)]
pub(super) struct Neighbours {
    /// This node.
    pub home: Home,
    others: Vec<Neighbour>,
}

#[derive(Clone, Debug)]
struct Neighbour {
    /// The node, and which start of it was last heard of.
    home: Home,
    heard_at: Time,
    is_there: bool,
}

impl Neighbours {
    /// Those of a node in a cluster of so many. In the beginning all are there; a node that comes back knows nothing.
    pub fn new(home: Home, nodes: u16, now: Time) -> Neighbours {
        let others = (0..nodes).map(NodeId::new).filter(|other| *other != home.node);
        let is_there = home.start == Home::default().start;
        let neighbour = |node| Neighbour { home: Home { node, ..Home::default() }, heard_at: now, is_there };
        Neighbours { home, others: others.map(neighbour).collect() }
    }

    pub fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.others.iter().map(|other| other.home.node)
    }

    /// Up to which life all those of a node are over: the present one, or all there have been where it is not there.
    pub fn lives_over(&self, node: NodeId) -> u32 {
        let other = self.others.iter().find(|other| other.home.node == node);
        other.map_or(self.home.start, |other| if other.is_there { other.home.start } else { u32::MAX })
    }

    /// A node shows itself. True where it was not there before, or in another life.
    fn heard(&mut self, home: Home, now: Time) -> bool {
        let Some(other) = self.others.iter_mut().find(|other| other.home.node == home.node) else { return false };
        let is_news = !other.is_there || other.home != home;
        *other = Neighbour { home, heard_at: now, is_there: true };
        is_news
    }

    /// A node is not there any more. False where that was known.
    fn lost(&mut self, node: NodeId) -> bool {
        let other = self.others.iter_mut().find(|other| other.home.node == node);
        other.is_some_and(|other| std::mem::replace(&mut other.is_there, false))
    }

    /// Those that have not shown themselves for longer than they should have.
    fn overdue(&self, now: Time) -> Vec<NodeId> {
        let overdue = |other: &&Neighbour| other.is_there && other.heard_at.saturating_add(PATIENCE) < now;
        self.others.iter().filter(overdue).map(|other| other.home.node).collect()
    }
}

impl<P: Clone> QueueSide<P> {
    /// Another node speaks, or the connection with it has ended.
    pub fn handle_node<O: Observer>(&mut self, node: NodeId, message: Message<P>, context: &mut Context<'_, P, O>) {
        match message {
            Message::NodeHeartbeat { start } => {
                if self.neighbours.heard(Home { node, start }, context.now) {
                    let start = self.neighbours.home.start; // it may not know of this one either
                    context.send(Address::Node(node), Message::NodeHeartbeat { start });
                    self.node_is_back(node, context);
                }
            }
            Message::ConnectionLost => {
                self.neighbours.lost(node);
                self.node_is_lost(node, context);
            }
            Message::QuorumGroup { store, message } => self.member_spoke(node, store, *message, context),
            Message::QuorumOrder { store, order } => self.take_order(store, *order, context),
            Message::QuorumTold { store, term, told } => self.hear_leader(node, store, (term, told), context),
            Message::QuorumLeads { store, term, stopped } => self.follow_leader(node, store, (term, stopped), context),
            _ => unreachable!("a node sends no such message to the queues of another"),
        }
        self.bury(context);
    }

    /// Shows itself, and looks who else did.
    pub(super) fn look_round<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        let start = self.neighbours.home.start;
        for other in self.neighbours.others() {
            context.send(Address::Node(other), Message::NodeHeartbeat { start });
        }
        for node in self.neighbours.overdue(context.now) {
            self.neighbours.lost(node);
            self.node_is_suspected(node, context);
        }
        self.timers.set(self.round_number(), context.now.saturating_add(POLL_INTERVAL));
    }
}
