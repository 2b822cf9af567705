//! What a cluster has besides its nodes: a controller, and an onlooker who knows whose log counts.

use brokerlab_broker::chronicle::Chronicle;
use brokerlab_broker::config::Deployment;
use brokerlab_broker::controller::Controller;
use brokerlab_broker::partition::PartitionLog;
use brokerlab_broker::{Address, Message, Node};
use brokerlab_event::{NodeId, Observer, StoreId, Time};

use crate::simulation::Simulation;

/// The controller, which never goes down, and the story that is told of partitions.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub controller: Controller,
    pub chronicle: Chronicle,
    /// The earliest entry that the agenda has for the controller.
    scheduled: Time,
}

impl Cluster {
    pub fn new(deployment: &Deployment) -> Cluster {
        let (controller, chronicle) = (Controller::new(deployment), Chronicle::new(deployment));
        Cluster { controller, chronicle, scheduled: Time::MAX }
    }

    /// The log of each partition: that of the node which leads it, or was the last to.
    pub fn logs<'a>(&self, nodes: &[&'a Node<()>]) -> Vec<(StoreId, &'a PartitionLog<()>)> {
        let log = |(store, leader): (StoreId, NodeId)| Some((store, nodes[leader.index()].partition(store)?));
        self.chronicle.leaders().filter_map(log).collect()
    }
}

impl Simulation {
    /// The connection between two nodes, or between a node and the controller, that stands now. A node that goes down
    /// takes all of its own with it.
    pub(crate) fn incarnation_between(&self, from: Address, to: Address) -> u32 {
        let of = |end| match end {
            Address::Node(node) => self.nodes[node.index()].incarnation,
            _ => 0,
        };
        of(from) + of(to)
    }

    /// True where a message was sent on a connection that is gone.
    pub(crate) fn is_lost_between(&self, from: Address, to: Address, sent: Option<u32>) -> bool {
        let is_inside = matches!(from, Address::Node(_) | Address::Controller);
        is_inside && sent.is_some_and(|incarnation| incarnation != self.incarnation_between(from, to))
    }

    pub(crate) fn tell_controller(&mut self, from: Address, sent: Option<u32>, message: &mut Message<()>) {
        if self.is_lost_between(from, Address::Controller, sent) {
            return;
        }
        let cluster = self.cluster.as_deref_mut().expect("only a cluster has somebody who writes to its controller");
        cluster.controller.handle_message(self.now, from, message.take(), &mut self.out);
        self.schedule_controller();
    }

    pub(crate) fn wake_controller(&mut self) {
        let cluster = self.cluster.as_deref_mut().expect("only a cluster has a controller to wake");
        if cluster.scheduled > self.now {
            return;
        }
        cluster.scheduled = Time::MAX;
        cluster.controller.handle_timeout(self.now, &mut self.out);
        self.schedule_controller();
    }

    pub(crate) fn schedule_controller(&mut self) {
        let slot = self.machines() + 3;
        let Some(cluster) = self.cluster.as_deref_mut() else { return };
        if let Some(next) = cluster.controller.next_timeout()
            && next < cluster.scheduled
        {
            cluster.scheduled = next;
            self.agenda.push(next.max(self.now), slot);
        }
    }

    /// The other nodes learn that their connections with this one have ended.
    pub(crate) fn cut_off_nodes(&mut self, gone: NodeId, observer: &mut impl Observer) {
        for node in (0..self.nodes.len() as u16).map(NodeId::new).filter(|node| *node != gone) {
            self.call(node, observer, |node, now, out, watch| {
                node.handle_message(now, Address::Node(gone), Message::ConnectionLost, out, watch);
            });
            self.schedule_node(node.index());
        }
    }
}
