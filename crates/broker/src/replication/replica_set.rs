//! What a leader knows of its followers.

use brokerlab_event::{Duration, NodeId, Offset, Time};

/// When a replica counts as in sync, and how many have to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicaRules {
    /// Replicas, the leader among them, without which nothing is confirmed to a producer that asked for all
    /// (`min.insync.replicas`, by default 1). More than there are replicas means all of them.
    pub min_in_sync: u32,
    /// A follower that has not been caught up for longer is out of sync (`replica.lag.time.max.ms`, by default 30 s).
    pub max_lag: Duration,
}

impl Default for ReplicaRules {
    fn default() -> ReplicaRules {
        ReplicaRules { min_in_sync: 1, max_lag: Duration::from_secs(30) }
    }
}

impl ReplicaRules {
    /// How often a leader looks whether followers lag: every half of the time that they may.
    pub fn check_interval(&self) -> Duration {
        self.max_lag.per_million(500_000)
    }
}

/// Too few replicas are in sync for a record that all of them are to have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum NotEnoughReplicas {
    /// Nothing was stored (`NOT_ENOUGH_REPLICAS`).
    #[error("fewer replicas are in sync than have to be")]
    Refused,
    /// The record is in the log, and readers see it (`NOT_ENOUGH_REPLICAS_AFTER_APPEND`).
    #[error("fewer replicas are in sync than have to be, since the record was stored")]
    AfterAppend,
}

/// The followers of a partition as their leader knows them: how far each has come, and which are in sync. It learns
/// both from their fetches alone: who asks for what lies at an offset has everything below.
///
/// Which replicas are in sync is decided by the controller: the leader proposes ([`fetched`](ReplicaSet::fetched),
/// [`lagging`](ReplicaSet::lagging)), and what was decided it is told ([`set_in_sync`](ReplicaSet::set_in_sync)).
///
/// ```
/// use brokerlab_broker::replication::{ReplicaRules, ReplicaSet};
/// use brokerlab_event::{NodeId, Offset, Time};
/// let (now, end) = (Time::ZERO, Offset::new(5));
/// let follower = NodeId::new(2);
/// let mut replicas = ReplicaSet::new(ReplicaRules::default(), [(follower, true)], Offset::ZERO, now);
/// assert_eq!(replicas.high_watermark(end, now), Some(Offset::ZERO));
/// // It asks for the record at 3, so it has those before.
/// replicas.fetched(follower, Offset::new(3), end, Offset::ZERO, now);
/// assert_eq!(replicas.high_watermark(end, now), Some(Offset::new(3)));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ReplicaSet {
    rules: ReplicaRules,
    /// Where the epoch of this leader began. A follower that has not come that far may hold something else.
    epoch_start: Offset,
    followers: Vec<Follower>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Follower {
    node: NodeId,
    is_in_sync: bool,
    /// The leader has proposed that it is.
    is_joining: bool,
    /// The controller counts on it no more, so nobody waits for it.
    is_fenced: bool,
    /// It has everything below. Nothing is known before its first fetch.
    end: Option<Offset>,
    /// When it had everything that the leader had; never, where it was out of sync from the start.
    caught_up: Option<Time>,
    /// Its latest fetch, and the end of the leader's log then.
    asked: Option<(Time, Offset)>,
}

impl Follower {
    fn is_caught_up(&self, leader_end: Offset, now: Time, max_lag: Duration) -> bool {
        self.end == Some(leader_end) || self.caught_up.is_some_and(|time| now.saturating_since(time) <= max_lag)
    }
}

impl ReplicaSet {
    /// The followers of a leader that begins its epoch here, each with whether it is in sync.
    pub fn new(
        rules: ReplicaRules,
        followers: impl IntoIterator<Item = (NodeId, bool)>,
        epoch_start: Offset,
        now: Time,
    ) -> ReplicaSet {
        let follower = |(node, is_in_sync): (NodeId, bool)| Follower {
            node,
            is_in_sync,
            is_joining: false,
            is_fenced: false,
            end: None,
            caught_up: is_in_sync.then_some(now),
            asked: None,
        };
        ReplicaSet { rules, epoch_start, followers: followers.into_iter().map(follower).collect() }
    }

    /// How many replicas have to be in sync, the leader among them: no more than there are.
    pub fn min_in_sync(&self) -> u32 {
        self.rules.min_in_sync.min(self.followers.len() as u32 + 1)
    }

    /// The followers that are in sync.
    pub fn in_sync(&self) -> impl Iterator<Item = NodeId> {
        self.followers.iter().filter(|follower| follower.is_in_sync).map(|follower| follower.node)
    }

    /// The followers that the leader would have in sync, and that are not yet.
    pub fn joining(&self) -> impl Iterator<Item = NodeId> {
        self.followers.iter().filter(|follower| follower.is_joining).map(|follower| follower.node)
    }

    /// There are copies on other nodes.
    pub fn has_followers(&self) -> bool {
        !self.followers.is_empty()
    }

    /// As many replicas are in sync as have to be.
    #[inline]
    pub fn is_enough(&self) -> bool {
        self.followers.is_empty() || self.in_sync().count() as u32 + 1 >= self.min_in_sync()
    }

    /// A follower asks for what lies at this offset and beyond. True if it is to be proposed as in sync: it is not,
    /// and has what readers see, and what this leader found when it began. Somebody unknown is passed over.
    pub fn fetched(
        &mut self,
        node: NodeId,
        offset: Offset,
        leader_end: Offset,
        high_watermark: Offset,
        now: Time,
    ) -> bool {
        let epoch_start = self.epoch_start;
        let Some(follower) = self.followers.iter_mut().find(|follower| follower.node == node) else { return false };
        if offset >= leader_end {
            follower.caught_up = follower.caught_up.max(Some(now));
        } else if let Some((asked_at, end_then)) = follower.asked
            && offset >= end_then
        {
            follower.caught_up = follower.caught_up.max(Some(asked_at));
        }
        follower.end = Some(offset);
        follower.asked = Some((now, leader_end));
        follower.is_joining =
            !follower.is_in_sync && !follower.is_fenced && offset >= high_watermark && offset >= epoch_start;
        follower.is_joining
    }

    /// The followers that are in sync and should be no longer. Asked every half of
    /// [`max_lag`](ReplicaRules::max_lag).
    pub fn lagging(&self, leader_end: Offset, now: Time) -> impl Iterator<Item = NodeId> {
        let max_lag = self.rules.max_lag;
        let lags = move |follower: &&Follower| follower.is_in_sync && !follower.is_caught_up(leader_end, now, max_lag);
        self.followers.iter().filter(lags).map(|follower| follower.node)
    }

    /// The controller has decided that these are in sync, and no others. Who is put out of sync is not waited for before
    /// it has caught up again: it may be gone.
    pub fn set_in_sync(&mut self, nodes: &[NodeId]) {
        for follower in &mut self.followers {
            let is_in_sync = nodes.contains(&follower.node);
            if follower.is_in_sync && !is_in_sync {
                (follower.caught_up, follower.asked) = (None, None);
            }
            follower.is_in_sync = is_in_sync;
            follower.is_joining = false;
        }
    }

    /// The controller has told which nodes it counts on no more: they are not in sync, and will not be soon.
    pub fn set_fenced(&mut self, nodes: &[NodeId]) {
        for follower in &mut self.followers {
            follower.is_fenced = nodes.contains(&follower.node);
            follower.is_joining &= !follower.is_fenced;
        }
    }

    /// How far readers may see by what is known now: up to where every replica has the records that is in sync or
    /// soon will be. Nothing moves while too few are in sync
    /// ([KIP-966](https://cwiki.apache.org/confluence/display/KAFKA/KIP-966%3A+Eligible+Leader+Replicas)). A high
    /// watermark never goes back: where this is below the one that stands, that one stays.
    #[inline]
    pub fn high_watermark(&self, leader_end: Offset, now: Time) -> Option<Offset> {
        let max_lag = self.rules.max_lag;
        let counts = |follower: &&Follower| {
            let soon_will_be = follower.is_joining || follower.is_caught_up(leader_end, now, max_lag);
            follower.is_in_sync || (soon_will_be && !follower.is_fenced)
        };
        let ends = self.followers.iter().filter(counts).map(|follower| follower.end.unwrap_or(Offset::ZERO));
        self.is_enough().then(|| ends.fold(leader_end, Offset::min))
    }

    /// What a producer that asked for all replicas is told of a record below `until`: nothing yet where readers do
    /// not see it.
    pub fn answer(&self, until: Offset, high_watermark: Offset) -> Option<Result<(), NotEnoughReplicas>> {
        let told = if self.is_enough() { Ok(()) } else { Err(NotEnoughReplicas::AfterAppend) };
        (until <= high_watermark).then_some(told)
    }
}
