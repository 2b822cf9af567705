//! The part of a group member that notices partitions which were added to what it reads.

use brokerlab_event::{Observer, Time};

use super::{GroupMember, Membership, Phase, Rejoin};
use crate::message::{Message, Outbox, PartitionLeader};

impl<P: Clone> GroupMember<P> {
    /// Asks which partitions there are, where there may be others than before, and who leads them, where that may change.
    /// Only the leader of a group does something about new ones: the others are told what is theirs.
    pub(super) fn refresh(&mut self, now: Time, out: &mut Outbox<P>) {
        let Some(age) = self.config.metadata_max_age else { return };
        self.refresh_at = Some(now.saturating_add(age));
        let of_group = || self.dealt.as_ref().and_then(|dealt| dealt.first()).copied();
        let any = || self.followed().next().filter(|_| self.config.is_cluster);
        let Some(store) = self.without_leader().or_else(of_group).or_else(any) else { return };
        if let Some(link) = self.links.iter().position(|link| !link.is_cut_off) {
            self.send_to(link, Message::FindPartitions { store }, out);
        }
    }

    /// The topic has these partitions. Where they are not those that were dealt out, the leader joins again, and with it
    /// all the others.
    pub(super) fn learn_partitions<O: Observer>(
        &mut self,
        now: Time,
        partitions: &[PartitionLeader],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if self.config.is_cluster {
            self.learn_leaders(now, partitions, out);
        }
        let stores = partitions.iter().map(|partition| &partition.store);
        let is_news = self.dealt.as_ref().is_some_and(|dealt| !dealt.iter().eq(stores));
        if !is_news || self.has_left || matches!(self.membership, Membership::Joining | Membership::Syncing) {
            return;
        }
        self.rejoin = self.rejoin.max(Some(Rejoin::Rebalance));
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }
}
