//! A partition as a node hosts it: the log, who waits for it, and who copies it.

use std::collections::VecDeque;

use brokerlab_event::{ClientId, NodeId, Offset, StoreId, Time};

use crate::config::TopicConfig;
use crate::message::{LogError, ReplicaAnswer};
use crate::partition::PartitionLog;
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
    /// The controller was told of other replicas in sync, and has not answered.
    pub has_proposed: bool,
}

/// A follower's fetch, as it was sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asking {
    pub node: NodeId,
    pub offset: Offset,
    pub last_epoch: Option<u32>,
}

/// What this node is to a partition.
#[derive(Clone, Debug)]
pub(super) enum Role {
    Leader(Leader),
    Follower {
        /// Whom it copies, where that is known.
        leader: Option<NodeId>,
        /// What it is about.
        copying: Copying,
    },
}

/// What a follower is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Copying {
    /// It has still to ask.
    Idle,
    /// It has asked its leader for what comes next.
    Asked,
    /// What the leader has sent is being written.
    Writing,
}

impl Leader {
    /// A leader of a new epoch, that begins at the end of its log.
    pub fn new(rules: ReplicaRules, followers: &[(NodeId, bool)], epoch_start: Offset, now: Time) -> Leader {
        let replicas = ReplicaSet::new(rules, followers.iter().copied(), epoch_start, now);
        Leader { replicas, asking: Vec::new(), has_proposed: false }
    }
}

impl Role {
    /// A follower that has still to ask.
    pub fn follower(leader: Option<NodeId>) -> Role {
        Role::Follower { leader, copying: Copying::Idle }
    }
}

#[derive(Clone, Debug)]
pub(super) struct Hosted<P> {
    pub store: StoreId,
    pub log: PartitionLog<P>,
    pub role: Role,
    /// Once so many records are not flushed the broker flushes them itself.
    pub flush_messages: u64,
    /// What its topic asks of copies.
    pub rules: ReplicaRules,
    /// Clients whose fetch may wait for this partition.
    pub readers: Vec<ClientId>,
    /// Answered once the leader has the records.
    pub until_written: VecDeque<PendingAck>,
    /// Answered once all in-sync replicas have them.
    pub until_replicated: VecDeque<PendingAck>,
}

impl<P: Clone> Hosted<P> {
    pub fn new(store: StoreId, log: PartitionLog<P>, role: Role, topic: &TopicConfig) -> Hosted<P> {
        Hosted {
            store,
            log,
            role,
            flush_messages: topic.flush.messages.unwrap_or(u64::MAX),
            rules: topic.replication.replicas,
            readers: Vec::new(),
            until_written: VecDeque::new(),
            until_replicated: VecDeque::new(),
        }
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

    /// True where a record that all replicas are to have may be taken.
    #[inline]
    pub fn has_enough_replicas(&self) -> bool {
        matches!(&self.role, Role::Leader(leader) if leader.replicas.is_enough())
    }

    /// A produce request that can be answered now, and how.
    #[inline]
    pub fn pop_safe(&mut self) -> Option<(PendingAck, Result<Offset, LogError>)> {
        let (written, replicated) = (self.log.log().written(), self.log.high_watermark());
        if let Some(ack) = self.until_written.pop_front_if(|ack| ack.until <= written) {
            return Some((ack, Ok(ack.first)));
        }
        let ack = self.until_replicated.pop_front_if(|ack| ack.until <= replicated)?;
        let enough = self.has_enough_replicas();
        Some((ack, if enough { Ok(ack.first) } else { Err(LogError::NotEnoughReplicasAfterAppend) }))
    }

    /// What a follower that asks like this is told; nothing where it has all that there is.
    pub fn answer_replica(&self, asking: &Asking, max_bytes: u32) -> Option<ReplicaAnswer<P>> {
        let log = self.log.log();
        let last = asking.last_epoch.and_then(|epoch| Some((epoch, log.epochs().end_of(epoch, log.end())?)));
        if let Some((epoch, known)) = last
            && (known.epoch < epoch || known.end < asking.offset)
        {
            return Some(ReplicaAnswer::Diverging(known));
        }
        let offset = asking.offset.max(log.start());
        let records = self.log.records(offset, log.written(), max_bytes);
        let is_news = offset != asking.offset || !records.records.is_empty();
        is_news.then_some(ReplicaAnswer::Copied { offset, records })
    }
}
