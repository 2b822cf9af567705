//! The part of a group member that keeps its membership: joining, syncing, and losing what it owned.

use std::sync::Arc;

use brokerlab_event::{Count, Event, Observer, Offset, StoreId, Time};

use super::{GroupMember, Membership, Phase, Rejoin};
use crate::assignor::{self, Subscriber};
use crate::client::reading::Lost;
use crate::client::reading::{AutoCommit, Owned};
use crate::config::{CommitPolicy, SeekTo};
use crate::message::{GroupError, Member, Message, Outbox, Position};

impl<P: Clone> GroupMember<P> {
    pub(super) fn join(&mut self, out: &mut Outbox<P>) {
        self.membership = Membership::Joining;
        (self.rejoin, self.fetching, self.next_heartbeat, self.automatic) = (None, None, None, None);
        self.has_left = false;
        let name: Arc<str> = format!("{}-{}", self.name, self.incarnation).into();
        self.send(Message::JoinGroup { group: self.application, member: self.member(), name }, out);
    }

    /// Gives everything back and joins again. Before a rebalance takes partitions that are still its own, an
    /// automatic commit covers what polls have returned, all of which is done by now.
    pub(super) fn join_again<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.rejoin == Some(Rejoin::Rebalance) && self.is_automatic() {
            self.commit_positions(out);
        }
        self.revoke(now, observer);
        self.incarnation += u32::from(self.rejoin == Some(Rejoin::Expelled));
        self.join(out);
    }

    pub(super) fn revoke<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let generation = Count::saturating(self.generation.into());
        for owned in self.owned.drain(..) {
            observer.observe(now, Event::Revoked { consumer: self.client, store: owned.store, generation });
        }
        self.buffered.clear();
    }

    /// The coordinator has said that the membership cannot go on as it is. The application learns of it in its
    /// next poll, which may be under way.
    pub(super) fn turned_away<O: Observer>(
        &mut self,
        now: Time,
        error: GroupError,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        if self.membership == Membership::Joining {
            // It is about what was before it joined.
            return;
        }
        let reason = match error {
            GroupError::RebalanceInProgress => Rejoin::Rebalance,
            GroupError::IllegalGeneration => Rejoin::Lost,
            GroupError::UnknownMember => Rejoin::Expelled,
        };
        self.rejoin = self.rejoin.max(Some(reason));
        if self.rejoin >= Some(Rejoin::Lost) {
            self.next_heartbeat = None;
        }
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }

    /// The join is complete. The leader deals out the partitions.
    pub(super) fn joined(
        &mut self,
        now: Time,
        generation: u32,
        members: Vec<(Member, Arc<str>)>,
        topics: &[Vec<StoreId>],
        out: &mut Outbox<P>,
    ) {
        self.generation = generation;
        self.membership = Membership::Syncing;
        self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_interval));
        let all: Vec<usize> = (0..topics.len()).collect();
        let reader = |id| Subscriber { id, instance: None, topics: &all, owned: &[], generation: None };
        let readers: Vec<_> = members.iter().map(|(_, name)| reader(&**name)).collect();
        let shares = assignor::range(topics, &readers);
        let assignment = members.iter().map(|(member, _)| *member).zip(shares).collect();
        let (group, member) = (self.application, self.member());
        self.send(Message::SyncGroup { group, member, generation, assignment }, out);
    }

    pub(super) fn synced<O: Observer>(
        &mut self,
        now: Time,
        result: Result<Vec<StoreId>, GroupError>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        match result {
            Ok(stores) => {
                self.membership = Membership::Positioning;
                self.find_positions(stores, self.config.reset.time(now), out);
            }
            Err(error) => self.turned_away(now, error, out, observer),
        }
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
        match self.membership {
            Membership::Positioning => {
                let (consumer, reset) = (self.client, self.config.reset);
                let generation = Count::saturating(self.generation.into());
                for position in positions {
                    let store = position.store;
                    let Ok(offset) = position.start(reset) else {
                        self.stranded = Some(store);
                        continue;
                    };
                    observer.observe(now, Event::Assigned { consumer, store, offset, generation });
                    if position.committed.is_some_and(|committed| committed != offset) {
                        observer.observe(now, Event::PositionReset { consumer, store, offset });
                    }
                    self.owned.push(Owned::new(store, offset, position.committed));
                }
                self.membership = Membership::Active;
                if let CommitPolicy::Automatic { every } = self.config.commit {
                    self.automatic = Some(AutoCommit::new(now, every));
                }
            }
            Membership::Active => {
                self.find_again(now, positions, out, observer);
            }
            // An answer to an earlier membership.
            Membership::Down | Membership::Joining | Membership::Syncing => return,
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
        let Some(to) = self.seek.take() else { return };
        self.fetching = None;
        self.buffered.clear();
        for owned in &mut self.owned {
            owned.lose(Lost::Seeking(to));
        }
        self.find_lost(now, out);
    }

    /// Asks where to go on in the partitions that have no position.
    fn find_lost(&self, now: Time, out: &mut Outbox<P>) {
        let lost: Vec<_> = self.owned.iter().filter_map(|owned| Some((owned.store, owned.lost?))).collect();
        let Some((_, why)) = lost.first() else { return };
        let time = match why {
            Lost::OutOfRange => self.config.reset.time(now),
            Lost::Seeking(SeekTo::Time(time)) => Some(*time),
            Lost::Seeking(_) => None,
        };
        self.find_positions(lost.iter().map(|(store, _)| *store).collect(), time, out);
    }

    /// Goes on where partitions that had no position may be read.
    fn find_again<O: Observer>(&mut self, now: Time, positions: &[Position], out: &mut Outbox<P>, observer: &mut O) {
        let (consumer, reset) = (self.client, self.config.reset);
        let mut sought: Vec<(StoreId, Offset)> = Vec::new();
        for position in positions {
            let store = position.store;
            let Some(owned) = self.owned.iter_mut().find(|owned| owned.store == store) else { continue };
            match owned.lost {
                Some(Lost::OutOfRange) => {
                    let Ok(offset) = position.reset(reset) else {
                        self.stranded = Some(store);
                        continue;
                    };
                    owned.seek(offset);
                    observer.observe(now, Event::PositionReset { consumer, store, offset });
                }
                Some(Lost::Seeking(to)) => {
                    let offset = position.seek(to);
                    owned.seek(offset);
                    observer.observe(now, Event::Sought { consumer, store, offset });
                    sought.push((store, offset));
                }
                None => {}
            }
        }
        if !sought.is_empty() {
            self.commit(sought, out);
        }
    }

    /// There is no position to read a partition from. The consumer throws, and the application ends; on its way out
    /// it closes the consumer.
    pub(super) fn strand<O: Observer>(&mut self, now: Time, store: StoreId, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Stranded { consumer: self.client, store });
        self.leave(now, out, observer);
    }

    /// Leaves the group because the application has not polled for too long. It learns of that in its next poll.
    pub(super) fn leave_after_too_long(&mut self, out: &mut Outbox<P>) {
        self.has_left = true;
        self.rejoin = Some(Rejoin::Expelled);
        self.next_heartbeat = None;
        self.send(Message::LeaveGroup { group: self.application, member: self.member() }, out);
    }

    /// The connection broke: nothing that was asked will be answered, so it is asked again on a new one. The
    /// membership goes on as far as the coordinator remembers it.
    pub(super) fn reconnect<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.send(Message::Connect, out);
        self.fetching = None;
        match self.membership {
            Membership::Down => {}
            Membership::Joining => self.join(out),
            Membership::Syncing | Membership::Positioning => {
                self.rejoin = self.rejoin.max(Some(Rejoin::Lost));
                self.poll(now, out, observer);
            }
            Membership::Active => {
                if self.phase == Phase::Committing {
                    // Whether it was stored is not known; the next commit covers it.
                    self.go_on(now, out, observer);
                } else {
                    self.find_lost(now, out);
                    self.fetch(out);
                }
            }
        }
    }
}
