//! What a coordinator keeps of how far its group has read. It outlives the coordinator.

use std::collections::BTreeMap;

use brokerlab_event::{ClientId, Duration, Offset, StoreId, Time};

/// The offsets of a group.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Offsets {
    committed: BTreeMap<StoreId, Offset>,
    /// Partitions whose committed offset somebody from outside has set, until their reader commits from there; and who
    /// was told of it. What others commit meanwhile is out of date.
    sought: BTreeMap<StoreId, Option<ClientId>>,
    /// While the group is empty: when they are forgotten.
    forgets_at: Option<Time>,
}

impl Offsets {
    pub fn of(&self, store: StoreId) -> Option<Offset> {
        self.committed.get(&store).copied()
    }

    /// Stores how far a member has read.
    pub fn commit(&mut self, client: ClientId, offsets: &[(StoreId, Offset)]) {
        if self.sought.is_empty() {
            return self.committed.extend(offsets.iter().copied());
        }
        for (store, offset) in offsets {
            match self.sought.get(store) {
                Some(told) if *told != Some(client) => continue,
                Some(_) => _ = self.sought.remove(store),
                None => {}
            }
            self.committed.insert(*store, *offset);
        }
    }

    /// The group is to go on from here in this partition, whoever reads it.
    pub fn seek(&mut self, store: StoreId, offset: Offset) {
        self.committed.insert(store, offset);
        self.sought.insert(store, None);
    }

    /// A member that asks where to read is told. Whether somebody wants it to go there, of which its next commit will
    /// say that it has.
    pub fn tell(&mut self, store: StoreId, client: ClientId) -> bool {
        self.sought.get_mut(&store).map(|told| *told = Some(client)).is_some()
    }

    /// The group is empty from now on, or has become so that long ago that nobody knows: without members, offsets are
    /// kept for this long.
    pub fn empty(&mut self, now: Time, retention: Duration) {
        if !self.committed.is_empty() && self.forgets_at.is_none() {
            self.forgets_at = Some(now.saturating_add(retention));
        }
    }

    /// The group has members.
    pub fn keep(&mut self) {
        self.forgets_at = None;
    }

    pub fn forgets_at(&self) -> Option<Time> {
        self.forgets_at
    }

    /// True where it is time to forget them, which happens here.
    pub fn forget_due(&mut self, now: Time) -> bool {
        let due = self.forgets_at.is_some_and(|at| at <= now);
        if due {
            *self = Offsets::default();
        }
        due
    }
}
