//! Topics that get more partitions while they are in use.

use brokerlab_event::{Event, NodeId, Observer, StoreId, Time};

use super::{Context, LogSide};
use crate::config::TopicConfig;

/// Partitions that were added to a topic after the start, with one that was there before: the cluster's metadata, which
/// survive whatever happens to the node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Addition {
    pub beside: StoreId,
    pub stores: Vec<StoreId>,
}

impl<P: Clone + Default> LogSide<P> {
    /// Somebody adds partitions to the topic of a partition that is hosted here. Groups that their coordinator assigns
    /// are given them at once; in the others the leader has to notice.
    pub fn grow_topic<O: Observer>(&mut self, beside: StoreId, stores: &[StoreId], context: &mut Context<'_, P, O>) {
        let addition = Addition { beside, stores: stores.to_vec() };
        if !self.extend_topic(context.node, &addition, context.now) {
            return;
        }
        for store in stores {
            context.observe(Event::PartitionAdded { store: *store });
        }
        self.groups.tell_of_partitions(beside, context);
        self.note_rare_due();
    }

    /// The partitions begin empty, with the rules and the nodes of the one beside. False where that is not here.
    pub(super) fn extend_topic(&mut self, node: NodeId, addition: &Addition, now: Time) -> bool {
        let Addition { beside, stores } = addition;
        let Some(place) = self.place(*beside) else { return false };
        let Some(topic) = self.topics.iter().find(|topic| topic.partitions.contains(beside)) else { return false };
        let more = TopicConfig { partitions: stores.clone(), ..topic.clone() };
        let number = self.partitions_of(*beside).len() as u32;
        let places = self.host_partitions(node, &more, number, now);
        self.upkeep.add_beside(place as u32, places);
        self.groups.extend_topic(*beside, stores);
        self.shares.extend_topic(*beside, stores);
        self.additions.push(addition.clone());
        true
    }

    /// The partitions of the topic that one of them was deployed with, in the order of their numbers.
    pub(super) fn partitions_of(&self, store: StoreId) -> Vec<StoreId> {
        let Some(topic) = self.topics.iter().find(|topic| topic.partitions.contains(&store)) else { return Vec::new() };
        let added = self.additions.iter().filter(|addition| topic.partitions.contains(&addition.beside));
        topic.partitions.iter().chain(added.flat_map(|addition| &addition.stores)).copied().collect()
    }
}
