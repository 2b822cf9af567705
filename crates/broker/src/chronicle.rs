//! What is told of partitions with copies, and of quorum queues: one story of each, though several nodes tell it.

use brokerlab_event::{Bytes, Event, NodeId, Observer, Offset, Removal, StoreId, Time};

use crate::config::Deployment;
use crate::log::Epochs;
use crate::node::Node;

/// One log for each partition of a cluster, as an onlooker has it who sees all nodes.
///
/// A node tells what it stores. That is what happened to the partition while the node leads; what a former leader
/// takes that has not heard of its successor yet is stored nowhere that lasts. Unless the successor has copied it
/// before it heard of its election itself: so when a leader begins, its log is compared with the one told so far, by
/// the epochs that leaders count. What it lacks is gone, and what it has besides is stored now.
///
/// Nodes tell what they see through a [`Watch`]. After each call [`settle`](Chronicle::settle) completes the story.
#[derive(Clone, Debug)]
pub struct Chronicle {
    /// By the number of the store; nothing for queues.
    partitions: Vec<Option<Told>>,
    /// Leaders that have begun, and have not been compared yet.
    begun: Vec<StoreId>,
    /// How much has been told of the log of each quorum queue, by the number of the store.
    queues: Vec<Offset>,
}

/// What has been told of a partition.
#[derive(Clone, Debug)]
struct Told {
    leader: NodeId,
    leader_epoch: u32,
    epochs: Epochs,
    start: Offset,
    end: Offset,
}

impl Chronicle {
    /// Of a cluster that has just been started.
    pub fn new(deployment: &Deployment) -> Chronicle {
        let mut chronicle = Chronicle { partitions: Vec::new(), begun: Vec::new(), queues: Vec::new() };
        for topic in deployment.topics.iter().cloned().chain(deployment.streams.iter().map(|stream| stream.topic())) {
            for (number, store) in (0..).zip(&topic.partitions) {
                let leader = topic.replication.replicas(number).next();
                let begin = |leader| {
                    let epochs = Epochs::from_iter([(1, Offset::ZERO)]);
                    Told { leader, leader_epoch: 1, epochs, start: Offset::ZERO, end: Offset::ZERO }
                };
                chronicle.partitions.resize(chronicle.partitions.len().max(store.index() + 1), None);
                chronicle.partitions[store.index()] = leader.map(begin);
            }
        }
        chronicle
    }

    /// The node whose log is the partition's, as far as is told.
    pub fn leader(&self, store: StoreId) -> Option<NodeId> {
        self.partitions.get(store.index())?.as_ref().map(|told| told.leader)
    }

    /// The partitions, each with the node whose log it is, as far as is told.
    pub fn leaders(&self) -> impl Iterator<Item = (StoreId, NodeId)> {
        let told = (0..).zip(&self.partitions);
        told.filter_map(|(store, told)| Some((StoreId::new(store), told.as_ref()?.leader)))
    }

    /// How much has been told of the log of a quorum queue's group: everything below.
    pub fn told_of_queue(&self, store: StoreId) -> Offset {
        self.queues.get(store.index()).copied().unwrap_or_default()
    }

    /// A node tells something. True if it belongs to the story as it is.
    fn takes(&mut self, node: NodeId, event: &Event) -> bool {
        match *event {
            Event::Stored { store, offset, .. } => self.told(store, node, |told| {
                told.end = offset.next();
                true
            }),
            // Each copy is cut back by itself, and one leader may only come to where another has been before.
            Event::Trimmed { store, until, .. } => self.told(store, node, |told| {
                let before = told.start;
                told.start = before.max(until);
                until > before
            }),
            Event::SegmentRolled { store, .. }
            | Event::Removed { store, .. }
            | Event::Flushed { store, .. }
            | Event::TransactionOpened { store, .. }
            | Event::TransactionEnded { store, .. }
            | Event::Aborted { store, .. } => self.told(store, node, |_| true),
            Event::LeaderElected { store, .. } => {
                self.begun.push(store);
                false
            }
            _ => true,
        }
    }

    /// What the leader tells is told unless it is known; and whatever is about no partition.
    fn told(&mut self, store: StoreId, node: NodeId, note: impl FnOnce(&mut Told) -> bool) -> bool {
        match self.partitions.get_mut(store.index()) {
            Some(Some(told)) if told.leader == node => note(told),
            Some(Some(_)) => false,
            _ => true,
        }
    }

    /// Sees what this node tells.
    pub fn watch<'a>(&'a mut self, node: NodeId, observer: &'a mut dyn Observer) -> Watch<'a> {
        Watch { chronicle: self, node, observer }
    }

    /// A node has been called: tells of the partitions that it leads since.
    pub fn settle<P: Clone + Default>(&mut self, now: Time, node: &Node<P>, observer: &mut dyn Observer) {
        for store in std::mem::take(&mut self.begun) {
            let (Some(Some(told)), Some(partition)) = (self.partitions.get_mut(store.index()), node.partition(store))
            else {
                continue;
            };
            if partition.epoch() <= told.leader_epoch {
                continue; // another node has been elected since, and has heard of that before
            }
            let log = partition.log();
            let common = told.epochs.common_end(told.end, log.epochs(), log.end());
            // Below its start a log has nothing to disagree with.
            let end = common.max(log.start().min(told.end));
            let before = told.start.min(end);
            *told = Told {
                leader: node.id(),
                leader_epoch: partition.epoch(),
                epochs: log.epochs().clone(),
                start: before.max(log.start()),
                end: log.end(),
            };
            observer.observe(now, Event::LeaderElected { store, node: node.id(), end });
            for (offset, record) in log.entries_from(end).filter(|(_, record)| record.kind.is_message()) {
                let size = Bytes::new(record.size);
                observer.observe(now, Event::Stored { message: record.message, store, offset, size });
            }
            if log.start() > before {
                let by_time = partition.rules().retention_time.is_some();
                let cause = if by_time { Removal::RetentionTime } else { Removal::RetentionSize };
                observer.observe(now, Event::Trimmed { store, until: log.start(), cause });
            }
        }
    }
}

/// Sees what one node tells, and passes on what belongs to the story.
pub struct Watch<'a> {
    chronicle: &'a mut Chronicle,
    node: NodeId,
    observer: &'a mut dyn Observer,
}

impl Observer for Watch<'_> {
    fn observe(&mut self, time: Time, event: Event) {
        if self.chronicle.takes(self.node, &event) {
            self.observer.observe(time, event);
        }
    }

    fn is_news(&mut self, store: StoreId, place: Offset) -> bool {
        let queues = &mut self.chronicle.queues;
        if store.index() >= queues.len() {
            queues.resize(store.index() + 1, Offset::ZERO);
        }
        let told = &mut queues[store.index()];
        let is_news = place >= *told;
        *told = (*told).max(place.next());
        is_news
    }
}
