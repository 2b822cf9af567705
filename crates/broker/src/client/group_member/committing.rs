//! The part of a group member that commits its positions, and waits for that where it must.

use std::collections::BTreeSet;

use brokerlab_event::{Event, Observer, Offset, StoreId, Time};

use super::fetching::place_of;
use super::{GroupMember, InHand, Membership, Phase};
use crate::client::reading::Owned;
use crate::config::CommitPolicy;
use crate::message::{GroupError, Message, Outbox};

impl<P: Clone> GroupMember<P> {
    /// Between two generations nobody may commit.
    pub(super) fn may_commit(&self) -> bool {
        matches!(self.membership, Membership::Active | Membership::Positioning)
    }

    pub(super) fn is_automatic(&self) -> bool {
        matches!(self.config.commit, CommitPolicy::Automatic { .. })
    }

    /// Commits everything that polls have returned and that is not committed. The request, where there was such.
    pub(super) fn commit_positions(&mut self, out: &mut Outbox<P>) -> Option<u32> {
        self.commit_positions_of(|_| true, out)
    }

    /// The same for some of the partitions.
    pub(super) fn commit_positions_of(&mut self, which: impl Fn(StoreId) -> bool, out: &mut Outbox<P>) -> Option<u32> {
        if !self.may_commit() {
            return None;
        }
        let is_due = |owned: &&Owned<P>| owned.lost.is_none() && owned.committed != Some(owned.position);
        let moved = self.owned.iter().filter(|owned| which(owned.store)).filter(is_due);
        let mut offsets = std::mem::take(&mut self.offsets);
        offsets.extend(moved.map(|owned| (owned.store, owned.position)));
        if offsets.is_empty() {
            self.offsets = offsets;
            return None;
        }
        Some(self.commit(offsets, out))
    }

    /// Goes back to the first records that polls have returned and the application has not done.
    pub(super) fn put_back(&mut self) {
        let mut returned = BTreeSet::new();
        while let Some(InHand { store, offset, .. }) = self.batch.pop_back() {
            let Some(place) = place_of(&self.owned, self.recent, store) else { continue };
            let owned = &mut self.owned[place];
            if owned.lost.is_none() {
                owned.seek(offset);
                returned.insert(store);
            }
        }
        self.buffered.retain(|buffered| !returned.contains(buffered));
    }

    /// Commits these. The request.
    pub(super) fn commit(&mut self, offsets: Vec<(StoreId, Offset)>, out: &mut Outbox<P>) -> u32 {
        self.correlation = self.correlation.wrapping_add(1);
        let (correlation, group, member, generation) =
            (self.correlation, self.application, self.member(), self.generation);
        self.send(Message::CommitOffsets { correlation, group, member, generation, offsets }, out);
        correlation
    }

    /// The broker has stored a commit, for which the application may wait.
    pub(super) fn committed<O: Observer>(
        &mut self,
        now: Time,
        mut offsets: Vec<(StoreId, Offset)>,
        is_current: bool,
        waits: bool,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        for (store, offset) in offsets.drain(..) {
            observer.observe(now, Event::Committed { consumer: self.client, store, offset });
            if let Some(place) = place_of(&self.owned, self.recent, store).filter(|_| is_current) {
                self.owned[place].committed = Some(offset);
                self.recent = place;
            }
        }
        self.offsets = offsets;
        if waits {
            self.go_on(now, out, observer);
        }
    }

    /// A commit failed, so the partitions are somebody else's or about to be, or the commit must be tried again: what
    /// was not committed will be read again, here or there.
    pub(super) fn not_committed<O: Observer>(
        &mut self,
        now: Time,
        error: GroupError,
        waits: bool,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if waits {
            self.put_back();
            self.phase = Phase::Polling;
        }
        self.turned_away(now, error, out, observer);
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }
}
