//! The part of a group member that notices partitions which were added to what it reads.

use brokerlab_event::{Observer, StoreId, Time};

use super::{GroupMember, Membership, Phase, Rejoin};
use crate::message::{Message, Outbox};

impl<P: Clone> GroupMember<P> {
    /// Asks which partitions there are, where there may be others than before. Only the leader of a group does
    /// something about them: the others are told what is theirs.
    pub(super) fn refresh(&mut self, now: Time, out: &mut Outbox<P>) {
        let Some(age) = self.config.metadata_max_age else { return };
        self.refresh_at = Some(now.saturating_add(age));
        if let Some(store) = self.dealt.as_ref().and_then(|dealt| dealt.first()) {
            self.send(Message::FindPartitions { store: *store }, out);
        }
    }

    /// The topic has these partitions. Where they are not those that were dealt out, the leader joins again, and with it
    /// all the others.
    pub(super) fn learn_partitions<O: Observer>(
        &mut self,
        now: Time,
        stores: &[StoreId],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let is_news = self.dealt.as_ref().is_some_and(|dealt| dealt != stores);
        if !is_news || self.has_left || matches!(self.membership, Membership::Joining | Membership::Syncing) {
            return;
        }
        self.rejoin = self.rejoin.max(Some(Rejoin::Rebalance));
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }
}
