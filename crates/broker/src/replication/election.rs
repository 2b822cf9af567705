//! Who leads a partition.

use brokerlab_event::NodeId;

/// What the controller knows of a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registration {
    /// All replicas in the order of their assignment. The first is the preferred leader.
    pub replicas: Vec<NodeId>,
    /// Those in sync.
    pub in_sync: Vec<NodeId>,
    /// `None` where nobody can lead: the partition is offline.
    pub leader: Option<NodeId>,
    /// Counts the leaders.
    pub leader_epoch: u32,
    /// Replicas out of sync that hold all that readers were ever shown, because too few were in sync for the high
    /// watermark to move since (eligible leader replicas,
    /// [KIP-966](https://cwiki.apache.org/confluence/display/KAFKA/KIP-966%3A+Eligible+Leader+Replicas)). Rising.
    pub eligible: Vec<NodeId>,
    /// Who led before nobody was in sync any more.
    pub last_known_leader: Option<NodeId>,
}

/// What a topic says about elections.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ElectionRules {
    /// Replicas that have to be in sync (`min.insync.replicas`), no more than there are.
    pub min_in_sync: u32,
    /// Eligible leader replicas are kept (`eligible.leader.replicas.version` 1; on in clusters that began with
    /// version 4.1).
    pub keeps_eligible: bool,
}

/// Why a leader is looked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Election {
    /// Nodes came or went.
    Online,
    /// The preferred leader is to lead again, if it can.
    Preferred,
    /// As [`Online`](Election::Online); where nobody holds everything, somebody who does not will do
    /// (`unclean.leader.election.enable`).
    Unclean,
}

/// What has changed about the replicas.
#[derive(Clone, Copy, Debug)]
pub struct Change<'a> {
    /// Those in sync from now on.
    pub in_sync: &'a [NodeId],
    /// Nodes that are up.
    pub alive: &'a [NodeId],
    /// Nodes that went down without having told where their logs end, and may have lost what readers saw.
    pub unclean_shutdown: &'a [NodeId],
}

impl Registration {
    /// The partition after this change. The leader stays while it can; else the first replica in the order of
    /// assignment that is alive and in sync leads, or, where none is in sync, that is eligible. The second part of the
    /// answer is true for a leader that may lack what was confirmed.
    ///
    /// The rules are those of Kafka's `PartitionChangeBuilder`. The last known leader is elected once it is alive;
    /// Kafka may name it before.
    #[must_use]
    pub fn after(&self, change: &Change<'_>, election: Election, rules: &ElectionRules) -> (Registration, bool) {
        let mut next = self.clone();
        next.in_sync = change.in_sync.to_vec();
        next.eligible = self.eligible_after(change, rules);
        let (leader, is_unclean) = match next.clean_leader(change.alive, election) {
            Some(leader) => (Some(leader), false),
            None => {
                let leader = next.unclean_leader(change.alive, election, rules);
                (leader, leader.is_some())
            }
        };
        if leader != self.leader {
            next.leader = leader;
            next.leader_epoch += 1;
        }
        match leader.filter(|_| leader != self.leader) {
            Some(leader) if is_unclean => (next.in_sync, next.eligible) = (vec![leader], Vec::new()),
            Some(leader) if next.eligible.contains(&leader) => {
                next.in_sync = vec![leader];
                next.eligible.retain(|node| *node != leader);
            }
            _ => {}
        }
        if next.in_sync.is_empty() && !rules.keeps_eligible {
            next.in_sync.clone_from(&self.in_sync);
        }
        if rules.keeps_eligible {
            next.remember_leader(self);
        }
        (next, is_unclean)
    }

    /// Whoever was in sync or eligible and is not in sync now has missed nothing while too few are in sync.
    fn eligible_after(&self, change: &Change<'_>, rules: &ElectionRules) -> Vec<NodeId> {
        if !rules.keeps_eligible || change.in_sync.len() >= rules.min_in_sync as usize {
            return Vec::new();
        }
        let stays = |node: &NodeId| !change.in_sync.contains(node) && !change.unclean_shutdown.contains(node);
        let mut eligible: Vec<NodeId> = self.eligible.iter().chain(&self.in_sync).copied().filter(stays).collect();
        eligible.sort();
        eligible.dedup();
        eligible
    }

    /// Somebody who holds everything that readers saw.
    fn clean_leader(&self, alive: &[NodeId], election: Election) -> Option<NodeId> {
        let is_valid = |node: &NodeId| {
            let holds_all = if self.in_sync.is_empty() { &self.eligible } else { &self.in_sync };
            holds_all.contains(node) && alive.contains(node)
        };
        let preferred = self.replicas.first().copied().filter(|_| election == Election::Preferred);
        let candidates = preferred.into_iter().chain(self.leader).chain(self.replicas.iter().copied());
        candidates.into_iter().find(is_valid)
    }

    /// Somebody who may not.
    fn unclean_leader(&self, alive: &[NodeId], election: Election, rules: &ElectionRules) -> Option<NodeId> {
        let is_alive = |node: &NodeId| alive.contains(node);
        let nobody_holds_all = self.in_sync.is_empty() && self.eligible.is_empty();
        let last_known = self.last_known_leader.filter(|_| rules.keeps_eligible && nobody_holds_all).filter(is_alive);
        let any = || self.replicas.iter().copied().filter(|_| election == Election::Unclean).find(is_alive);
        last_known.or_else(any)
    }

    /// Remembers who led when the last replica in sync went, until somebody leads.
    fn remember_leader(&mut self, before: &Registration) {
        if self.leader.is_some() {
            self.last_known_leader = None;
        } else if self.in_sync.is_empty() && before.leader.is_some() {
            self.last_known_leader = before.leader;
        }
    }
}
