//! The part of a group member that takes up what it was given: positions to start from, partitions to give up, and
//! all of the protocol in which the coordinator assigns (KIP-848).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brokerlab_event::{Count, Duration, Event, Observer, Offset, StoreId, Time};

use super::{GroupMember, Membership, Phase, RETRY_BACKOFF, Rejoin};
use crate::client::reading::{AutoCommit, Lost, Owned};
use crate::config::CommitPolicy;
use crate::group::JOIN;
use crate::message::{GroupError, Message, Outbox, Position};

impl<P: Clone> GroupMember<P> {
    /// Whether the coordinator assigns: the newer protocol.
    pub(super) fn is_assigned_by_coordinator(&self) -> bool {
        self.config.assignors.is_empty()
    }

    /// Whether it keeps what it owns while the group is rebalanced.
    pub(super) fn keeps_reading(&self) -> bool {
        self.is_assigned_by_coordinator() || self.config.is_cooperative()
    }

    /// What it owns, with what it waits to be told the position of.
    pub(super) fn all_owned(&self) -> Vec<StoreId> {
        self.owned.iter().map(|owned| owned.store).chain(self.awaited.iter().copied()).collect()
    }

    /// Takes up what the coordinator has given, if that is news. It happens in a poll, so nothing of what is given up
    /// is still being worked on.
    pub(super) fn take_assignment<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let Some(stores) = self.assignment.take() else { return };
        let before: BTreeSet<StoreId> = self.all_owned().into_iter().collect();
        let added: Vec<StoreId> = stores.iter().copied().filter(|store| !before.contains(store)).collect();
        let stores: BTreeSet<StoreId> = stores.into_iter().collect();
        let gone: BTreeSet<StoreId> = before.difference(&stores).copied().collect();
        if !self.is_assigned_by_coordinator() {
            let waits = !self.keeps_reading() || !added.is_empty();
            self.membership = if waits { Membership::Positioning } else { Membership::Active };
        }
        if !gone.is_empty() {
            self.give_up_partitions(now, &gone, out, observer);
            if !self.is_assigned_by_coordinator() {
                // What it has given up goes to others in a second rebalance.
                self.rejoin = self.rejoin.max(Some(Rejoin::Rebalance));
            }
        }
        if !added.is_empty() || self.membership == Membership::Positioning {
            self.awaited.extend(&added);
            self.find_positions(added.clone(), self.config.reset.time(now), out);
        }
        if self.is_assigned_by_coordinator() && (!gone.is_empty() || !added.is_empty()) {
            let owned = Some(self.all_owned());
            self.beat(now, owned, out);
        }
    }

    /// Gives some partitions up. Their positions are committed first, by the application that is told of this or, with
    /// automatic commits, by the client of the newer protocol; the classic one committed before it joined, and what
    /// polls have returned since is read again by the next owner.
    fn give_up_partitions<O: Observer>(
        &mut self,
        now: Time,
        gone: &BTreeSet<StoreId>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if !self.is_automatic() || self.is_assigned_by_coordinator() {
            self.commit_positions_of(|store| gone.contains(&store), out);
        }
        let generation = Count::saturating(self.generation.into());
        for owned in self.owned.extract_if(.., |owned| gone.contains(&owned.store)) {
            observer.observe(now, Event::Revoked { consumer: self.client, store: owned.store, generation });
        }
        self.awaited.retain(|store| !gone.contains(store));
        self.buffered.retain(|store| !gone.contains(store));
    }

    /// The broker has told where partitions may be read: those that have just been assigned, or one whose
    /// position was out of range.
    pub(super) fn positioned<O: Observer>(
        &mut self,
        now: Time,
        positions: &[Position],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let (consumer, reset) = (self.client, self.config.reset);
        let generation = Count::saturating(self.generation.into());
        let mut awaited: BTreeSet<StoreId> = self.awaited.iter().copied().collect();
        for position in positions {
            let store = position.store;
            // What an open transaction says of it may soon be where it starts (`UNSTABLE_OFFSET_COMMIT`, KIP-447).
            if position.is_unstable && !position.sought && awaited.contains(&store) {
                self.ask_again_at = Some(now.saturating_add(RETRY_BACKOFF));
                continue;
            }
            if !awaited.remove(&store) {
                continue;
            }
            let Ok(offset) = position.sought().ok_or(()).or_else(|()| position.start(reset)) else {
                self.stranded = Some(store);
                continue;
            };
            observer.observe(now, Event::Assigned { consumer, store, offset, generation });
            if !position.sought && position.committed.is_some_and(|committed| committed != offset) {
                observer.observe(now, Event::PositionReset { consumer, store, offset });
            }
            let mut owned = Owned::new(store, offset, position.epoch, position.committed);
            // It takes note of that below, like those that read it already.
            owned.lost = position.sought.then_some(Lost::Asking);
            owned.delay = self.config.retry.as_ref().map_or(Duration::ZERO, |retry| retry.delay(store));
            self.owned.push(owned);
        }
        self.awaited.retain(|store| awaited.contains(store));
        self.find_again(now, positions, observer);
        if self.membership == Membership::Positioning {
            self.membership = Membership::Active;
        }
        self.go_where_sent(now, positions, out, observer);
        if let CommitPolicy::Automatic { every } = self.config.commit
            && self.automatic.is_none()
            && self.membership == Membership::Active
        {
            self.automatic = Some(AutoCommit::new(now, every));
        }
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }

    /// Asks where partitions may be read.
    pub(super) fn find_positions(&self, stores: Vec<StoreId>, time: Option<Time>, out: &mut Outbox<P>) {
        self.send(Message::FindPositions { group: self.application, stores, time }, out);
    }

    /// Leaves every position, and asks for those that somebody wants instead. What a fetch that is under way brings
    /// is of no use any more.
    pub(super) fn begin_seek(&mut self, now: Time, out: &mut Outbox<P>) {
        self.asks_where = false;
        self.links.iter_mut().for_each(|link| link.fetching = None);
        self.buffered.clear();
        for owned in &mut self.owned {
            owned.lose(Lost::Asking);
        }
        self.find_lost(now, out);
    }

    /// Asks where to go on in the partitions that have no position.
    pub(super) fn find_lost(&self, now: Time, out: &mut Outbox<P>) {
        let lost: Vec<StoreId> =
            self.owned.iter().filter(|owned| is_without_position(owned)).map(|owned| owned.store).collect();
        if !lost.is_empty() {
            self.find_positions(lost, self.config.reset.time(now), out);
        }
    }

    /// Goes on where partitions that had no position may be read.
    fn find_again<O: Observer>(&mut self, now: Time, positions: &[Position], observer: &mut O) {
        let (consumer, reset) = (self.client, self.config.reset);
        let answers = by_store(positions);
        for owned in self.owned.iter_mut().filter(|owned| owned.lost.is_some()) {
            let Some(position) = answers.get(&owned.store) else { continue };
            let store = owned.store;
            if owned.lost != Some(Lost::Fenced) {
                owned.epoch = position.epoch;
            }
            match owned.lost.filter(|_| !position.sought) {
                Some(Lost::OutOfRange) => {
                    let Ok(offset) = position.reset(reset) else {
                        self.stranded = Some(store);
                        continue;
                    };
                    owned.seek(offset);
                    observer.observe(now, Event::PositionReset { consumer, store, offset });
                }
                // It has been there already.
                Some(Lost::Asking) => owned.seek(owned.position),
                Some(Lost::Fenced) | None => {}
            }
        }
    }

    /// Goes where somebody has sent the group, and commits that at once, or as soon as it may.
    fn go_where_sent<O: Observer>(&mut self, now: Time, positions: &[Position], out: &mut Outbox<P>, observer: &mut O) {
        let consumer = self.client;
        let mut sought: Vec<(StoreId, Offset)> = Vec::new();
        let answers = by_store(positions);
        for owned in self.owned.iter_mut().filter(|owned| owned.lost.is_some()) {
            let store = owned.store;
            let Some(offset) = answers.get(&store).and_then(|position| position.sought()) else { continue };
            owned.seek(offset);
            owned.epoch = answers[&store].epoch;
            owned.committed = None;
            observer.observe(now, Event::Sought { consumer, store, offset });
            sought.push((store, offset));
        }
        if !sought.is_empty() && self.may_commit() {
            self.commit(sought, out);
        }
    }

    /// There is no position to read a partition from. The consumer throws, and the application ends; on its way out
    /// it closes the consumer.
    pub(super) fn strand<O: Observer>(&mut self, now: Time, store: StoreId, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Stranded { consumer: self.client, store });
        self.leave(now, out, observer);
    }

    /// Says that it is there, or that it joins, and what it owns where that has changed.
    pub(super) fn beat(&mut self, now: Time, owned: Option<Vec<StoreId>>, out: &mut Outbox<P>) {
        self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_interval));
        let (group, member) = (self.application, self.member());
        let (epoch, metadata) = match self.membership {
            Membership::Joining => (JOIN, Some(Arc::new(self.metadata()))),
            _ => (self.generation as i32, None),
        };
        self.send(Message::GroupHeartbeat { group, member, epoch, metadata, owned }, out);
    }

    /// The coordinator has answered a heartbeat.
    pub(super) fn beaten<O: Observer>(
        &mut self,
        now: Time,
        result: Result<(u32, Option<Vec<StoreId>>), GroupError>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        match result {
            Ok((epoch, assignment)) => {
                (self.membership, self.generation) = (Membership::Active, epoch);
                if assignment.is_some() {
                    self.assignment = assignment;
                    if self.phase == Phase::Polling {
                        self.poll(now, out, observer);
                    }
                }
            }
            // It is still joining: the next heartbeat tries again.
            Err(GroupError::UnreleasedInstance) => {}
            Err(error) => {
                self.membership = Membership::Active;
                self.turned_away(now, error, out, observer);
            }
        }
    }
}

/// A group may read thousands of partitions, so they are not looked for one by one.
/// Whether the broker has to tell where to go on.
fn is_without_position<P>(owned: &Owned<P>) -> bool {
    matches!(owned.lost, Some(Lost::OutOfRange | Lost::Asking))
}

fn by_store(positions: &[Position]) -> BTreeMap<StoreId, &Position> {
    positions.iter().map(|position| (position.store, position)).collect()
}
