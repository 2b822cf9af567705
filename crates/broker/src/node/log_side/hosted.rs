//! A partition as a node hosts it: the log, who waits for it, and who copies it.

use std::collections::VecDeque;

use brokerlab_event::{ClientId, NodeId, Offset, StoreId};

use crate::partition::PartitionLog;
use crate::record::Record;

/// A produce request that is answered once everything below an offset is safe.
#[derive(Clone, Copy, Debug)]
pub(super) struct PendingAck {
    pub client: ClientId,
    pub correlation: u32,
    pub first: Offset,
    pub until: Offset,
}

/// A copy on another node, as its leader knows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Follower {
    pub node: NodeId,
    /// It has everything below, which it said with its last fetch.
    pub end: Offset,
    /// Its fetch that waits for something to tell: the offset and the epoch that it named.
    pub asked: Option<(Offset, u32)>,
}

/// What this node is to a partition.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Leader(Vec<Follower>),
    Follower { leader: NodeId },
}

#[derive(Clone, Debug)]
pub(super) struct Hosted<P> {
    pub store: StoreId,
    pub log: PartitionLog<P>,
    pub role: Role,
    /// Clients whose fetch may wait for this partition.
    pub readers: Vec<ClientId>,
    /// Answered once the leader has the records.
    pub until_written: VecDeque<PendingAck>,
    /// Answered once all in-sync replicas have them.
    pub until_replicated: VecDeque<PendingAck>,
}

impl<P: Clone> Hosted<P> {
    pub fn new(store: StoreId, log: PartitionLog<P>, role: Role) -> Hosted<P> {
        let (until_written, until_replicated) = (VecDeque::new(), VecDeque::new());
        Hosted { store, log, role, readers: Vec::new(), until_written, until_replicated }
    }

    pub fn is_led(&self) -> bool {
        matches!(self.role, Role::Leader(_))
    }

    /// Moves the high watermark of a leader to what every replica has. True if it moved.
    pub fn settle_high_watermark(&mut self) -> bool {
        let Role::Leader(followers) = &self.role else { return false };
        let safe = followers.iter().map(|follower| follower.end).fold(self.log.log().written(), Offset::min);
        self.log.advance_high_watermark(safe)
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
