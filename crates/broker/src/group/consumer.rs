//! The coordinator of a consumer group in the newer protocol (KIP-848). There is no round in which all take part: the
//! coordinator computes a target whenever the group changes, and with each heartbeat a member comes a step nearer to
//! its own part of that. First it gives up what is somebody else's; then its epoch becomes that of the target, and it
//! gets what is free.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use brokerlab_event::{ClientId, Offset, StoreId, Time};

use super::members::{Instances, Sessions};
use super::offsets::Offsets;
use super::{GroupAnswer, GroupTimes};
use crate::assignor::{ServerAssignor, Subscriber};
use crate::message::{GroupError, Member, MemberMetadata};

/// The epoch in the heartbeat of a member that joins.
pub const JOIN: i32 = 0;
/// The epoch in the heartbeat of a member that leaves.
pub const LEAVE: i32 = -1;
/// The epoch in the heartbeat of a static member that leaves for a while.
pub const LEAVE_STATIC: i32 = -2;

/// Where a member stands on the way to its target.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    /// It has what it should have.
    Stable,
    /// It has to give up partitions first.
    Unrevoked,
    /// It waits for partitions that others have to give up.
    Unreleased,
}

#[derive(Clone, Debug)]
struct MemberState {
    metadata: Arc<MemberMetadata>,
    epoch: u32,
    /// The epoch before: a member whose answer was lost still names that.
    previous_epoch: u32,
    stage: Stage,
    assigned: BTreeSet<StoreId>,
    /// What it has to give up.
    revoking: BTreeSet<StoreId>,
    /// A static member that has left and may come back.
    away: bool,
    slot: u32,
}

/// What is left of a group when its coordinator has gone down: this protocol writes down every step.
#[derive(Clone, Debug)]
pub struct DurableConsumerGroup(Box<ConsumerGroup>);

/// The coordinator's side of one group.
#[derive(Clone, Debug)]
pub struct ConsumerGroup {
    times: GroupTimes,
    assignor: ServerAssignor,
    topics: Arc<[Vec<StoreId>]>,
    epoch: u32,
    /// The epoch of the target.
    target_epoch: u32,
    target: BTreeMap<Member, BTreeSet<StoreId>>,
    members: BTreeMap<Member, MemberState>,
    /// Who has each partition, or has not yet given it up.
    held: BTreeMap<StoreId, Member>,
    sessions: Sessions,
    /// Until when members have to give up what they have to; by the slots of their sessions.
    revocations: Sessions,
    instances: Instances,
    offsets: Offsets,
    /// Somebody is on the way to the target.
    moving: bool,
}

impl ConsumerGroup {
    /// A group without members that reads these partitions, topic by topic.
    pub fn new(times: GroupTimes, assignor: ServerAssignor, topics: Arc<[Vec<StoreId>]>) -> ConsumerGroup {
        ConsumerGroup {
            times,
            assignor,
            topics,
            epoch: 0,
            target_epoch: 0,
            target: BTreeMap::new(),
            members: BTreeMap::new(),
            held: BTreeMap::new(),
            sessions: Sessions::default(),
            revocations: Sessions::default(),
            instances: Instances::default(),
            offsets: Offsets::default(),
            moving: false,
        }
    }

    /// The topics have other partitions from now on: whoever is a member gets its part of them with its heartbeats.
    pub fn set_topics(&mut self, topics: Arc<[Vec<StoreId>]>, answers: &mut Vec<GroupAnswer>) {
        if self.topics == topics {
            return;
        }
        self.topics = topics;
        if !self.members.is_empty() {
            self.epoch += 1;
            self.tell(answers);
        }
    }

    /// The epoch of the group.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Its members, in the order of their numbers.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> + '_ {
        self.members.keys().copied()
    }

    /// Whether everybody has what it should have.
    pub fn is_stable(&self) -> bool {
        let rests = |state: &MemberState| state.stage == Stage::Stable && state.epoch == self.epoch;
        self.target_epoch == self.epoch && self.members.values().all(|state| state.away || rests(state))
    }

    /// Who has a partition, or has not yet given it up.
    pub fn holder(&self, store: StoreId) -> Option<Member> {
        self.held.get(&store).copied()
    }

    /// A transaction was committed that says how far the group has read. Whether its sender was a member was looked at
    /// when it said so.
    pub fn commit_decided(&mut self, reader: ClientId, offsets: &[(StoreId, Offset)]) {
        self.offsets.commit(reader, offsets);
    }

    /// The committed offset of a partition.
    pub fn committed(&self, store: StoreId) -> Option<Offset> {
        self.offsets.of(store)
    }

    /// The group is to go on from here in this partition, whoever reads it. Until that member has committed from there,
    /// other commits do not count.
    pub fn seek(&mut self, now: Time, store: StoreId, offset: Offset) {
        self.offsets.seek(store, offset);
        if self.members.is_empty() {
            self.offsets.empty(now, self.times.offsets_retention);
        }
    }

    /// A client asks where to read a partition. Whether somebody has sent the group there, where the partition is its
    /// own.
    pub fn tell_where(&mut self, client: ClientId, store: StoreId) -> bool {
        self.holder(store).is_some_and(|holder| holder.client == client) && self.offsets.tell(store, client)
    }

    /// All that a member says: that it joins, is there, owns this now, leaves. See [`JOIN`], [`LEAVE`] and
    /// [`LEAVE_STATIC`].
    pub fn heartbeat(
        &mut self,
        now: Time,
        member: Member,
        epoch: i32,
        metadata: Option<Arc<MemberMetadata>>,
        owned: Option<&[StoreId]>,
        answers: &mut Vec<GroupAnswer>,
    ) {
        match epoch {
            LEAVE => return self.remove(now, member, answers),
            LEAVE_STATIC => {
                if let Some(state) = self.members.get_mut(&member) {
                    state.away = true;
                }
                return self.tell(answers);
            }
            _ => {}
        }
        let before = self.members.get(&member).map(|state| state.assigned.clone());
        let entered = match metadata {
            Some(metadata) if epoch == JOIN => self.enter(now, member, metadata),
            _ => self.check_epoch(member, epoch, owned),
        };
        if let Err(error) = entered {
            return answers.push(GroupAnswer::Beaten { member, result: Err(error) });
        }
        self.retarget();
        let joins = epoch == JOIN;
        self.reconcile(now, member, if joins { Some(&[]) } else { owned });
        let state = &self.members[&member];
        self.sessions.set(state.slot, now.saturating_add(self.times.session));
        let is_news = joins || owned.is_some() || before.as_ref() != Some(&state.assigned);
        let assignment = is_news.then(|| state.assigned.iter().copied().collect());
        answers.push(GroupAnswer::Beaten { member, result: Ok((state.epoch, assignment)) });
        self.tell(answers);
    }

    /// Stores how far the group has read.
    pub fn commit(&mut self, member: Member, epoch: u32, offsets: &[(StoreId, Offset)]) -> Result<(), GroupError> {
        let Some(state) = self.members.get(&member) else { return Err(self.unknown(member)) };
        if state.epoch != epoch {
            return Err(GroupError::StaleMemberEpoch);
        }
        self.offsets.commit(member.client, offsets);
        Ok(())
    }

    /// Removes members that are silent, or do not give up what they should, for too long.
    pub fn handle_timeout(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        while let Some(member) = self.sessions.pop_due(now) {
            self.remove(now, member, answers);
        }
        while let Some(member) = self.revocations.pop_due(now) {
            self.remove(now, member, answers);
        }
        if self.offsets.forget_due(now) {
            answers.push(GroupAnswer::OffsetsForgotten);
        }
    }

    /// When to call [`ConsumerGroup::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Time> {
        [self.sessions.next(), self.revocations.next(), self.offsets.forgets_at()].into_iter().flatten().min()
    }

    /// What survives when the coordinator goes down.
    pub fn crash(self) -> DurableConsumerGroup {
        DurableConsumerGroup(Box::new(self))
    }

    /// The group of a coordinator that comes back: its members' sessions begin anew, and so does the time in which they
    /// have to give up what they have to.
    pub fn recover(now: Time, durable: DurableConsumerGroup) -> ConsumerGroup {
        let mut group = *durable.0;
        for state in group.members.values() {
            group.sessions.set(state.slot, now.saturating_add(group.times.session));
            if state.stage == Stage::Unrevoked {
                group.revocations.set(state.slot, now.saturating_add(group.times.rebalance));
            }
        }
        if group.members.is_empty() {
            group.offsets.empty(now, group.times.offsets_retention);
        }
        group
    }

    fn unknown(&self, member: Member) -> GroupError {
        if self.instances.is_fenced(member) { GroupError::FencedInstance } else { GroupError::UnknownMember }
    }

    /// Lets a member in, or a static one back in.
    fn enter(&mut self, now: Time, member: Member, metadata: Arc<MemberMetadata>) -> Result<(), GroupError> {
        if self.instances.is_fenced(member) {
            return Err(GroupError::FencedInstance);
        }
        if let Some(before) = self.instances.other(metadata.instance.as_ref(), member) {
            if !self.members[&before].away {
                return Err(GroupError::UnreleasedInstance);
            }
            return self.come_back(before, member, metadata);
        }
        if let Some(state) = self.members.get_mut(&member) {
            // It asks again, because the answer was lost.
            state.away = false;
            return Ok(());
        }
        let slot = self.sessions.add(member);
        let also = self.revocations.add(member);
        assert_eq!(slot, also, "both are added to and removed from together");
        self.instances.enter(metadata.instance.as_ref(), member);
        self.sessions.set(slot, now.saturating_add(self.times.session));
        let state = MemberState {
            metadata,
            epoch: 0,
            previous_epoch: 0,
            stage: Stage::Stable,
            assigned: BTreeSet::new(),
            revoking: BTreeSet::new(),
            away: false,
            slot,
        };
        self.members.insert(member, state);
        self.offsets.keep();
        self.epoch += 1;
        Ok(())
    }

    /// A static member comes back and gets what it had: the group does not change.
    fn come_back(&mut self, before: Member, member: Member, metadata: Arc<MemberMetadata>) -> Result<(), GroupError> {
        let mut state = self.members.remove(&before).expect("whoever stands for an instance is a member");
        self.sessions.hand_over(state.slot, member);
        self.revocations.hand_over(state.slot, member);
        self.instances.enter(metadata.instance.as_ref(), member);
        for store in state.assigned.iter().chain(&state.revoking) {
            self.held.insert(*store, member);
        }
        let share = self.target.remove(&before).unwrap_or_default();
        self.target.insert(member, share);
        (state.metadata, state.away, state.epoch, state.previous_epoch) = (metadata, false, 0, 0);
        self.members.insert(member, state);
        Ok(())
    }

    fn check_epoch(&self, member: Member, epoch: i32, owned: Option<&[StoreId]>) -> Result<(), GroupError> {
        let Some(state) = self.members.get(&member) else { return Err(self.unknown(member)) };
        let is_own = |store: &StoreId| state.assigned.contains(store);
        // The answer that raised its epoch may have been lost, as long as it has nothing that is not its own.
        let missed_one = epoch == state.previous_epoch as i32 && owned.is_some_and(|owned| owned.iter().all(is_own));
        if epoch == state.epoch as i32 || missed_one { Ok(()) } else { Err(GroupError::FencedMemberEpoch) }
    }

    /// Computes who should have what, if the group has changed since.
    fn retarget(&mut self) {
        if self.target_epoch == self.epoch {
            return;
        }
        let all: Vec<usize> = (0..self.topics.len()).collect();
        let of = |member: &Member| self.target.get(member).map(|share| share.iter().copied().collect());
        let owned: Vec<Vec<StoreId>> = self.members.keys().map(|member| of(member).unwrap_or_default()).collect();
        let mut subscribers = Vec::with_capacity(owned.len());
        for (MemberState { metadata, .. }, owned) in self.members.values().zip(&owned) {
            let (id, instance) = (&*metadata.name, metadata.instance.as_deref());
            subscribers.push(Subscriber { id, instance, topics: &all, owned, generation: None });
        }
        let shares = self.assignor.assign(&self.topics, &subscribers);
        let shares = shares.into_iter().map(|share| share.into_iter().collect());
        self.target = self.members.keys().copied().zip(shares).collect();
        self.target_epoch = self.epoch;
    }

    /// Brings a member a step nearer to its target.
    fn reconcile(&mut self, now: Time, member: Member, owned: Option<&[StoreId]>) {
        let state = self.members.get_mut(&member).expect("it has been let in");
        let still_owns = |stores: &BTreeSet<StoreId>| {
            let any = |owned: &[StoreId]| owned.iter().any(|store| stores.contains(store));
            owned.is_none_or(any)
        };
        let mut epoch = state.epoch;
        match state.stage {
            Stage::Stable if state.epoch == self.target_epoch => return,
            Stage::Unrevoked if still_owns(&state.revoking) => return,
            Stage::Unrevoked => {
                epoch += 1;
                for store in std::mem::take(&mut state.revoking) {
                    self.held.remove(&store);
                }
            }
            Stage::Stable | Stage::Unreleased => {}
        }
        let target = &self.target[&member];
        let keeps: BTreeSet<StoreId> = state.assigned.intersection(target).copied().collect();
        let revoking: BTreeSet<StoreId> = state.assigned.difference(target).copied().collect();
        state.previous_epoch = state.epoch;
        if !revoking.is_empty() && still_owns(&revoking) {
            (state.assigned, state.revoking) = (keeps, revoking);
            (state.stage, state.epoch) = (Stage::Unrevoked, epoch);
            self.revocations.set(state.slot, now.saturating_add(self.times.rebalance));
            return;
        }
        for store in revoking {
            self.held.remove(&store);
        }
        state.assigned = keeps;
        state.stage = Stage::Stable;
        for store in target.difference(&state.assigned.clone()) {
            if self.held.contains_key(store) {
                state.stage = Stage::Unreleased;
            } else {
                self.held.insert(*store, member);
                state.assigned.insert(*store);
            }
        }
        state.epoch = self.target_epoch;
        self.revocations.clear(state.slot);
    }

    fn remove(&mut self, now: Time, member: Member, answers: &mut Vec<GroupAnswer>) {
        let Some(state) = self.members.remove(&member) else { return };
        self.sessions.remove(state.slot);
        self.revocations.remove(state.slot);
        self.instances.leave(state.metadata.instance.as_ref());
        self.held.retain(|_, holder| *holder != member);
        self.target.remove(&member);
        self.epoch += 1;
        if self.members.is_empty() {
            self.target_epoch = self.epoch;
            self.offsets.empty(now, self.times.offsets_retention);
        }
        self.tell(answers);
    }

    /// Tells where a rebalance began or ended.
    fn tell(&mut self, answers: &mut Vec<GroupAnswer>) {
        let stable = self.is_stable();
        if self.moving && stable {
            let all: usize = self.topics.iter().map(Vec::len).sum();
            let rests = self.members.is_empty() || self.members.values().any(|state| state.away);
            assert!(rests || self.held.len() == all, "each partition of a group at rest has an owner");
            answers.push(GroupAnswer::Completed { generation: self.epoch, members: self.members.len() });
        } else if !self.moving && !stable {
            answers.push(GroupAnswer::Started { generation: self.epoch.saturating_sub(1) });
        }
        self.moving = !stable;
    }
}
