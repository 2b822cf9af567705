//! Whom a fault hits: names and roles as they are at the moment it begins.

use std::collections::BTreeMap;

use brokerlab_broker::Node;
use brokerlab_broker::partition::PartitionLog;
use brokerlab_event::{ApplicationId, ClientId, ClientRole, KeyId, NodeId, Offset, Party, StoreId};
use brokerlab_scenario::{FaultAction, NodeRole, PartitionChoice, Role, Target};

use crate::simulation::Simulation;

impl Simulation {
    /// Whom a fault hits in this contender, in the order of numbers. A role is resolved at the moment the fault begins;
    /// ties go to the lowest number.
    pub(crate) fn resolve(&self, fault: usize) -> Vec<Party> {
        let clients = match self.faults[fault].target {
            Target::Node(node) => return vec![Party::Node(node)],
            Target::NodeRole { role, of } => return self.node_in_role(role, of).map(Party::Node).into_iter().collect(),
            Target::Client(client) => vec![client],
            Target::Application(application) => self.consumers_of(application).collect(),
            Target::Producers if self.faults[fault].action == FaultAction::Replace => {
                self.stand_ins.iter().map(|stand_in| stand_in.replaced).collect()
            }
            Target::Producers => {
                let clients = (0..self.clients.len() as u32).map(ClientId::new);
                clients.filter(|client| self.clients[client.index()].role == ClientRole::Producer).collect()
            }
            Target::Role { role, application } => self.consumer_in_role(role, application).into_iter().collect(),
        };
        clients.into_iter().map(Party::Client).collect()
    }

    fn consumer_in_role(&self, role: Role, application: ApplicationId) -> Option<ClientId> {
        let up = self.consumers_of(application).filter(|client| self.clients[client.index()].connections.is_up());
        let unsettled = |client: &ClientId| self.clients[client.index()].machine.unsettled();
        match role {
            Role::MostUnsettled => up.min_by_key(|client| std::cmp::Reverse(unsettled(client))),
            Role::LeastUnsettled => up.min_by_key(unsettled),
            Role::Any => up.min(),
        }
    }

    fn node_in_role(&self, role: NodeRole, of: PartitionChoice) -> Option<NodeId> {
        let is_up = |node: &NodeId| self.nodes[node.index()].machine.is_some();
        let topic = self.deployment.topics.first().map(|topic| &topic.partitions);
        let Some(stores) = topic.or(self.deployment.streams.first().map(|stream| &stream.partitions)) else {
            return self.node_of_queue(role);
        };
        let store = match of {
            PartitionChoice::Number(number) => *stores.get(number as usize - 1)?,
            PartitionChoice::HottestKey => self.hottest_partition(stores)?,
        };
        let Some(cluster) = &self.cluster else {
            return Some(NodeId::new(0)).filter(|_| role == NodeRole::Leader).filter(is_up);
        };
        let state = cluster.controller.partition(store)?;
        match role {
            NodeRole::Leader => state.leader.filter(is_up),
            NodeRole::FollowerInSync => {
                state.in_sync.into_iter().filter(|node| state.leader != Some(*node)).filter(is_up).min()
            }
        }
    }

    /// Of queues the first counts. A classic one has no copy elsewhere.
    fn node_of_queue(&self, role: NodeRole) -> Option<NodeId> {
        let first = self.deployment.queues.first();
        let nodes = || self.nodes.iter().filter_map(|host| host.machine.as_ref());
        let Some(queue) = first.filter(|queue| queue.members(self.deployment.nodes).len() > 1) else {
            let own = nodes().map(Node::id).find(|node| *node == NodeId::new(0));
            return own.filter(|_| role == NodeRole::Leader);
        };
        let leader = nodes().find(|node| node.leads(queue.store)).map(Node::id);
        let members = nodes().filter(|node| node.quorum_log_end(queue.store).is_some()).map(Node::id);
        match role {
            NodeRole::Leader => leader,
            NodeRole::FollowerInSync => members.into_iter().find(|node| Some(*node) != leader),
        }
    }

    /// The partition that has most records of the key of which there are most.
    fn hottest_partition(&self, stores: &[StoreId]) -> Option<StoreId> {
        let mut counts: BTreeMap<KeyId, BTreeMap<StoreId, u64>> = BTreeMap::new();
        for &store in stores {
            let Some(partition) = self.copy_that_counts(store) else { continue };
            for (_, record) in partition.log().entries_from(Offset::ZERO).filter(|(_, record)| record.kind.is_message())
            {
                *counts.entry(record.key).or_default().entry(store).or_default() += 1;
            }
        }
        let total = |stores: &BTreeMap<StoreId, u64>| stores.values().sum::<u64>();
        let hottest = counts.values().rev().max_by_key(|stores| total(stores));
        let fullest = hottest.and_then(|stores| stores.iter().rev().max_by_key(|(_, count)| **count));
        fullest.map(|(store, _)| *store).or(stores.first().copied())
    }

    /// The log of a partition on the node that leads it, if that is up.
    fn copy_that_counts(&self, store: StoreId) -> Option<&PartitionLog<()>> {
        let leader = match &self.cluster {
            Some(cluster) => cluster.controller.partition(store)?.leader?,
            None => NodeId::new(0),
        };
        self.nodes[leader.index()].machine.as_ref()?.partition(store)
    }
}
