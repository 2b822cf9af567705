//! What a cluster has besides its nodes: a controller, and an onlooker who knows whose log counts.

use brokerlab_broker::chronicle::Chronicle;
use brokerlab_broker::config::Deployment;
use brokerlab_broker::controller::Controller;
use brokerlab_broker::log::Crash;
use brokerlab_broker::node::Durable;
use brokerlab_broker::partition::PartitionLog;
use brokerlab_broker::{Address, Message, Node};
use brokerlab_event::{NodeId, Observer, Offset, StoreId, Time};

use crate::simulation::Simulation;

/// The controller, which never goes down, and the story that is told of partitions.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub controller: Controller,
    pub chronicle: Chronicle,
    /// The queues.
    queues: Vec<StoreId>,
    /// Nodes that the controller has let go.
    stopping: Vec<NodeId>,
    /// The earliest entry that the agenda has for the controller.
    scheduled: Time,
}

impl Cluster {
    pub fn new(deployment: &Deployment) -> Cluster {
        let (controller, chronicle) = (Controller::new(deployment), Chronicle::new(deployment));
        let queues = deployment.queues.iter().map(|queue| queue.store).collect();
        Cluster { controller, chronicle, queues, stopping: Vec::new(), scheduled: Time::MAX }
    }

    /// The log of each partition: that of the node which leads it, or was the last to.
    pub fn logs<'a>(&self, nodes: &[&'a Node<()>]) -> Vec<(StoreId, &'a PartitionLog<()>)> {
        let log = |(store, leader): (StoreId, NodeId)| Some((store, nodes[leader.index()].partition(store)?));
        self.chronicle.leaders().filter_map(log).collect()
    }

    /// The quorum queues of which this node knows most, each with how much of its log has been told.
    pub fn queues_told_by(&self, node: NodeId, nodes: &[&Node<()>]) -> Vec<(StoreId, Offset)> {
        let knows_most = |store: &StoreId| {
            let ends = nodes.iter().filter_map(|own| Some((own.quorum_log_end(*store)?, own.id())));
            ends.max().is_some_and(|(_, first)| first == node)
        };
        self.queues
            .iter()
            .copied()
            .filter(knows_most)
            .map(|store| (store, self.chronicle.told_of_queue(store)))
            .collect()
    }
}

impl Simulation {
    /// The connection between two nodes, or between a node and the controller, that stands now. A node that goes down
    /// takes all of its own with it.
    #[cold]
    #[inline(never)]
    pub(crate) fn incarnation_between(&self, from: Address, to: Address) -> u32 {
        let of = |end| match end {
            Address::Node(node) => self.nodes[node.index()].incarnation,
            _ => 0,
        };
        of(from) + of(to)
    }

    /// True where a message was sent on a connection that is gone.
    #[cold]
    #[inline(never)]
    pub(crate) fn is_lost_between(&self, from: Address, to: Address, sent: Option<u32>) -> bool {
        let is_inside = matches!(from, Address::Node(_) | Address::Controller);
        is_inside && sent.is_some_and(|incarnation| incarnation != self.incarnation_between(from, to))
    }

    #[cold]
    #[inline(never)]
    pub(crate) fn tell_controller(&mut self, from: Address, sent: Option<u32>, message: &mut Message<()>) {
        if self.is_lost_between(from, Address::Controller, sent) {
            return;
        }
        let cluster = self.cluster.as_deref_mut().expect("only a cluster has somebody who writes to its controller");
        cluster.controller.handle_message(self.now, from, message.take(), &mut self.out);
        self.schedule_controller();
    }

    /// Nodes that may go down do, and the controller does what is due.
    pub(crate) fn wake_controller(&mut self, observer: &mut impl Observer) {
        let cluster = self.cluster.as_deref_mut().expect("only a cluster has a controller to wake");
        for node in std::mem::take(&mut cluster.stopping) {
            self.crash_node(node, Crash::Process, observer);
            // Whoever wanted it to go down may have wanted it back meanwhile.
            self.start_node(node, observer);
        }
        let cluster = self.cluster.as_deref_mut().expect("it is still there");
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

    /// A node does something, and what it tells of partitions is told by whoever's log counts. It is not what a node does
    /// that is alone, so that this costs that one nothing.
    #[cold]
    #[inline(never)]
    pub(crate) fn call_in_cluster(&mut self, node: NodeId, observer: &mut dyn Observer, call: Call<'_>) {
        let Some(cluster) = self.cluster.as_deref_mut() else { return };
        let (now, out) = (self.now, &mut self.out);
        let Some(machine) = &mut self.nodes[node.index()].machine else { return };
        let mut watch = cluster.chronicle.watch(node, observer);
        match call {
            Call::Message(from, message) => machine.handle(now, from, message, out, &mut watch),
            Call::Written(store, until) => machine.handle_written(now, store, until, out, &mut watch),
            Call::Flushed(store, until) => machine.handle_flushed(now, store, until, out, &mut watch),
            Call::Timeout if machine.next_timeout().is_some_and(|due| due <= now) => {
                machine.handle_timeout(now, out, &mut watch);
            }
            Call::Timeout => {}
            Call::PrepareToStop => machine.prepare_to_stop(now, out, &mut watch),
        }
        cluster.chronicle.settle(now, machine, observer);
        if machine.may_stop() && !cluster.stopping.contains(&node) {
            cluster.stopping.push(node);
            self.agenda.push(now, self.machines() + 3);
        }
        self.schedule_node(node.index());
    }

    /// A node goes down.
    pub(crate) fn crash_machine(
        &mut self,
        machine: Node<()>,
        node: NodeId,
        kind: Crash,
        observer: &mut impl Observer,
    ) -> Durable<()> {
        match self.cluster.as_deref_mut() {
            Some(cluster) => machine.crash(self.now, kind, &mut cluster.chronicle.watch(node, observer)),
            None => machine.crash(self.now, kind, observer),
        }
    }

    /// The other nodes learn that their connections with this one have ended.
    pub(crate) fn cut_off_nodes(&mut self, gone: NodeId, observer: &mut dyn Observer) {
        for node in (0..self.nodes.len() as u16).map(NodeId::new).filter(|node| *node != gone) {
            let message = &mut Message::ConnectionLost;
            self.call_in_cluster(node, observer, Call::Message(Address::Node(gone), message));
        }
    }
}

/// What a node is asked to do.
pub(crate) enum Call<'a> {
    Message(Address, &'a mut Message<()>),
    Written(StoreId, Offset),
    Flushed(StoreId, Offset),
    Timeout,
    PrepareToStop,
}
