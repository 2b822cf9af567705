//! The part of a group member that keeps its membership in the classic protocol: joining, syncing, and losing what
//! it owned. What it is given is taken up in [`super::share`].

use std::sync::Arc;

use brokerlab_event::{Count, Departure, Event, Observer, StoreId, Time};

use super::{GroupMember, InHand, Membership, Phase, Rejoin};
use crate::assignor::{Assignor, Subscriber};
use crate::config::CommitPolicy;
use crate::group::{LEAVE, LEAVE_STATIC};
use crate::message::{GroupError, Member, MemberMetadata, Message, Outbox};

impl<P: Clone> GroupMember<P> {
    /// Joins the group, as a new member or again.
    pub(super) fn join(&mut self, now: Time, out: &mut Outbox<P>) {
        self.membership = Membership::Joining;
        (self.rejoin, self.next_heartbeat, self.assignment, self.has_left) = (None, None, None, false);
        if self.owned.is_empty() {
            self.automatic = None;
            self.links.iter_mut().for_each(|link| link.fetching = None);
        }
        if self.is_assigned_by_coordinator() {
            return self.beat(now, None, out);
        }
        let (group, member, metadata) = (self.application, self.member(), Arc::new(self.metadata()));
        self.send(Message::JoinGroup { group, member, metadata }, out);
    }

    /// What it says of itself. Only sticky strategies look at what it owns: one that gives everything back before it
    /// joins tells of what it had.
    pub(super) fn metadata(&self) -> MemberMetadata {
        let (mut owned, mut generation) = (Vec::new(), None);
        if self.config.assignors.iter().any(|assignor| assignor.is_sticky()) && self.generation > 0 {
            owned = if self.config.is_cooperative() { self.all_owned() } else { self.had.clone() };
            generation = Some(self.generation);
        }
        MemberMetadata {
            name: format!("{}-{}", self.name, self.incarnation).into(),
            instance: self.config.is_static.then(|| Arc::clone(&self.name)),
            assignors: self.config.assignors.clone(),
            owned,
            generation,
        }
    }

    /// Joins again. Before a rebalance takes partitions that are still its own, an automatic commit covers what polls
    /// have returned, all of which is done by now. Everything is given back, except in a cooperative rebalance.
    pub(super) fn join_again<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.rejoin == Some(Rejoin::Rebalance) {
            if self.is_automatic() {
                self.commit_positions(out);
            }
            if self.config.is_cooperative() {
                return self.join(now, out);
            }
        }
        self.revoke(now, observer);
        self.incarnation += u32::from(self.rejoin == Some(Rejoin::Expelled));
        self.join(now, out);
    }

    pub(super) fn revoke<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let generation = Count::saturating(self.generation.into());
        self.had = self.all_owned();
        self.awaited.clear();
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
            GroupError::IllegalGeneration | GroupError::FencedMemberEpoch => Rejoin::Lost,
            GroupError::UnknownMember => Rejoin::Expelled,
            GroupError::FencedInstance | GroupError::InconsistentProtocol => return self.give_up(now, out, observer),
            // The next heartbeat brings the epoch that counts, or the chance to join.
            GroupError::StaleMemberEpoch | GroupError::UnreleasedInstance => return,
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
        assignor: Assignor,
        members: &[(Member, Arc<MemberMetadata>)],
        topics: &[Vec<StoreId>],
        out: &mut Outbox<P>,
    ) {
        self.generation = generation;
        self.membership = Membership::Syncing;
        self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_interval));
        self.dealt = topics.first().filter(|_| !members.is_empty()).cloned();
        let all: Vec<usize> = (0..topics.len()).collect();
        let mut readers = Vec::with_capacity(members.len());
        for (_, metadata) in members {
            let MemberMetadata { name, instance, owned, generation, .. } = &**metadata;
            let (id, instance) = (&**name, instance.as_deref());
            readers.push(Subscriber { id, instance, topics: &all, owned, generation: *generation });
        }
        let shares = assignor.assign(topics, &readers);
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
                self.assignment = Some(stores);
                if self.phase == Phase::Polling {
                    self.poll(now, out, observer);
                }
            }
            Err(error) => self.turned_away(now, error, out, observer),
        }
    }

    /// It must not go on as a member: the process ends.
    pub(super) fn give_up<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        (0..self.links.len()).for_each(|link| self.send_to(link, Message::Disconnect, out));
        self.revoke(now, observer);
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// Tells the coordinator that it leaves. A static member of a classic group says nothing, so that its share waits
    /// for it until its session ends.
    pub(super) fn say_goodbye(&mut self, out: &mut Outbox<P>) {
        let (group, member) = (self.application, self.member());
        if self.is_assigned_by_coordinator() {
            let epoch = if self.config.is_static { LEAVE_STATIC } else { LEAVE };
            self.send(Message::GroupHeartbeat { group, member, epoch, metadata: None, owned: None }, out);
        } else if !self.config.is_static {
            self.send(Message::LeaveGroup { group, member }, out);
        }
    }

    /// Leaves the group because the application has not polled for too long. It learns of that in its next poll.
    pub(super) fn leave_after_too_long(&mut self, out: &mut Outbox<P>) {
        self.has_left = true;
        self.rejoin = Some(Rejoin::Expelled);
        self.next_heartbeat = None;
        self.say_goodbye(out);
    }

    /// The last connection broke: nothing that was asked on it will be answered, so it is asked again. The membership
    /// goes on as far as the coordinator remembers it.
    pub(super) fn reconnected<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.links[0].fetching = None;
        if self.membership == Membership::Down {
            return;
        }
        if !self.awaited.is_empty() || self.membership == Membership::Positioning {
            self.find_positions(self.awaited.clone(), self.config.reset.time(now), out);
        }
        self.find_lost(now, out);
        self.find_ends(out);
        self.refresh(now, out);
        match self.membership {
            Membership::Joining => self.join(now, out),
            Membership::Syncing => self.rejoin = self.rejoin.max(Some(Rejoin::Lost)),
            // Nobody heard that it left.
            Membership::Active if self.has_left => self.say_goodbye(out),
            Membership::Active if self.is_assigned_by_coordinator() && self.rejoin < Some(Rejoin::Lost) => {
                let owned = Some(self.all_owned());
                self.beat(now, owned, out);
            }
            _ => {}
        }
        match self.phase {
            // Whether it was stored is not known. Work that must not begin before its commit waits for another; what
            // cannot be committed is not begun.
            Phase::Committing { .. } if self.config.commit == CommitPolicy::BeforeBatch => {
                match self.commit_positions(out) {
                    Some(correlation) => self.phase = Phase::Committing { correlation },
                    None => {
                        self.put_back();
                        self.phase = Phase::Polling;
                        self.poll(now, out, observer);
                    }
                }
            }
            // Otherwise the next commit covers it.
            Phase::Committing { .. } => self.go_on(now, out, observer),
            Phase::Polling => self.poll(now, out, observer),
            Phase::SettingAside { .. } => {
                if let Some(&InHand { store, offset, .. }) = self.batch.front() {
                    // Whether it was stored is not known, so it may be there twice.
                    self.set_aside(now, store, offset, out);
                }
            }
            Phase::Working => self.fetch(out),
        }
    }
}
