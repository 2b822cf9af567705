//! A partition as a node hosts it: the log, who waits for it, and who copies it.

use std::collections::VecDeque;

use brokerlab_event::{ClientId, NodeId, Offset, StoreId, Time};

use crate::config::FlushPolicy;
use crate::partition::PartitionLog;
use crate::record::Record;
use crate::replication::{ReplicaRules, ReplicaSet};

/// A produce request that is answered once everything below an offset is safe.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingAck {
    pub client: ClientId,
    pub correlation: u32,
    pub first: Offset,
    pub until: Offset,
}

/// What a leader knows of the copies on other nodes.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    pub replicas: ReplicaSet,
    /// Fetches that wait for something to tell, in order of arrival.
    pub asking: Vec<Asking>,
}

/// A follower's fetch, with the offset and the epoch that it named.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub node: NodeId,
    pub offset: Offset,
    pub epoch: u32,
}

/// What this node is to a partition.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Leader(Leader),
    Follower { leader: NodeId },
}

impl Role {
    /// A leader whose followers are all in sync.
    pub fn leader(followers: &[NodeId], now: Time) -> Role {
        let followers = followers.iter().map(|node| (*node, true));
        let replicas = ReplicaSet::new(ReplicaRules::default(), followers, Offset::ZERO, now);
        Role::Leader(Leader { replicas, asking: Vec::new() })
    }
}

#[derive(Clone, Debug)]
pub(super) struct Hosted<P> {
    pub store: StoreId,
    pub log: PartitionLog<P>,
    pub role: Role,
    /// Once so many records are not flushed the broker flushes them itself.
    pub flush_messages: u64,
    /// Clients whose fetch may wait for this partition.
    pub readers: Vec<ClientId>,
    /// Answered once the leader has the records.
    pub until_written: VecDeque<PendingAck>,
    /// Answered once all in-sync replicas have them.
    pub until_replicated: VecDeque<PendingAck>,
}

impl<P: Clone> Hosted<P> {
    pub fn new(store: StoreId, log: PartitionLog<P>, role: Role, flush: FlushPolicy) -> Hosted<P> {
        let (until_written, until_replicated) = (VecDeque::new(), VecDeque::new());
        let flush_messages = flush.messages.unwrap_or(u64::MAX);
        Hosted { store, log, role, flush_messages, readers: Vec::new(), until_written, until_replicated }
    }

    pub fn is_led(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Moves the high watermark of a leader to what all replicas in sync have. True if it moved.
    pub fn settle_high_watermark(&mut self, now: Time) -> bool {
        let Role::Leader(leader) = &self.role else { return false };
        let safe = leader.replicas.high_watermark(self.log.log().written(), now);
        safe.is_some_and(|safe| self.log.advance_high_watermark(safe))
    }

    /// A produce request that can be answered now.
    #[inline]
    pub fn pop_safe(&mut self) -> Option<PendingAck> {
        let (written, replicated) = (self.log.log().written(), self.log.high_watermark());
        self.until_written
            .pop_front_if(|ack| ack.until <= written)
            .or_else(|| self.until_replicated.pop_front_if(|ack| ack.until <= replicated))
    }

    /// What a follower that asks from this offset is sent: where it has to begin, and the records from there. A
    /// follower whose last epoch is older than the leader's may hold records that the leader never had, or lost;
    /// it goes back to where that epoch ended here.
    pub fn replica_records(&self, from: Offset, epoch: u32, max_bytes: u32) -> (Offset, Vec<(Offset, Record<P>)>) {
        let log = self.log.log();
        let begin = if epoch < self.log.epoch() { from.min(log.end_of_epoch(epoch)) } else { from };
        let begin = begin.max(log.start()).min(log.end());
        (begin, self.log.records(begin, log.written(), max_bytes))
    }
}
