//! The coordinator of a consumer group: Kafka's classic protocol. What members do with their partitions while they
//! join, all to be given back (eager) or kept (cooperative, KIP-429), is theirs to decide.
//!
//! A dynamic member that restarts is a new one, and the old one stays until its session ends. A static member that
//! restarts takes the place of what it was before, with the same share.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_event::{ClientId, Duration, Offset, StoreId, Time};

use super::members::{Instances, Sessions};
use super::offsets::Offsets;
use super::{GroupAnswer, GroupTimes};
use crate::assignor::Assignor;
use crate::message::{GroupError, Member, MemberMetadata};

/// Where a group stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum GroupState {
    /// It has no members.
    Empty,
    /// It waits for its members to join (again).
    PreparingRebalance,
    /// It waits for its leader to say who gets what.
    CompletingRebalance,
    /// Everybody knows what is theirs.
    Stable,
}

#[derive(Clone, Debug)]
struct MemberState {
    metadata: Arc<MemberMetadata>,
    /// Its number among the session deadlines.
    slot: u32,
    /// It has joined and waits for the others. Its session cannot end meanwhile.
    awaits_join: bool,
    /// It waits for the leader's assignment. Its session cannot end meanwhile.
    awaits_sync: bool,
    assignment: Vec<StoreId>,
}

/// The rebalance that a group prepares.
#[derive(Clone, Copy, Debug)]
struct Preparation {
    /// When it goes on with whoever has joined.
    deadline: Time,
    /// The first one of an empty group waits in turns: how long it may wait after this one, and whether
    /// somebody joined in this turn. A later rebalance ends as soon as everybody has joined.
    initial: Option<(Duration, bool)>,
}

/// What the coordinator writes down of a group whenever its members have got their shares, or the last has gone.
#[derive(Clone, Default, Debug)]
struct Written {
    generation: u32,
    leader: Option<Member>,
    assignor: Option<Assignor>,
    members: Vec<(Member, Arc<MemberMetadata>, Vec<StoreId>)>,
}

/// What is left of a group when its coordinator has gone down: offsets, and who was a member when it was stable last. Real
/// coordinators write it to an internal topic; here it always survives, which is what a replicated topic comes to.
#[derive(Clone, Debug)]
pub struct DurableGroup {
    times: GroupTimes,
    written: Written,
    offsets: Offsets,
}

/// The coordinator's side of one group.
#[derive(Clone, Debug)]
pub struct Group {
    times: GroupTimes,
    generation: u32,
    state: GroupState,
    preparation: Option<Preparation>,
    members: BTreeMap<Member, MemberState>,
    /// How many members have joined in this preparation.
    joined: usize,
    leader: Option<Member>,
    /// The strategy of this generation.
    assignor: Assignor,
    sessions: Sessions,
    instances: Instances,
    offsets: Offsets,
    written: Written,
}

impl Group {
    /// A group without members.
    pub fn new(times: GroupTimes) -> Group {
        Group {
            times,
            generation: 0,
            state: GroupState::Empty,
            preparation: None,
            members: BTreeMap::new(),
            joined: 0,
            leader: None,
            assignor: Assignor::Range,
            sessions: Sessions::default(),
            instances: Instances::default(),
            offsets: Offsets::default(),
            written: Written::default(),
        }
    }

    /// Where it stands.
    pub fn state(&self) -> GroupState {
        self.state
    }

    /// The current generation.
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// Its members, in the order of their numbers.
    pub fn members(&self) -> impl ExactSizeIterator<Item = Member> + '_ {
        self.members.keys().copied()
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

    /// A client asks where to read a partition. Whether somebody has sent the group there, where it is a member.
    pub fn tell_where(&mut self, client: ClientId, store: StoreId) -> bool {
        let memberships = Member { client, incarnation: 0 }..=Member { client, incarnation: u32::MAX };
        self.members.range(memberships).next().is_some() && self.offsets.tell(store, client)
    }

    /// A member joins, or joins again. The answer comes when all members have.
    pub fn join(&mut self, now: Time, member: Member, metadata: Arc<MemberMetadata>, answers: &mut Vec<GroupAnswer>) {
        if let Err(error) = self.admit(member, &metadata) {
            return answers.push(GroupAnswer::Refused { member, error });
        }
        if let Some(before) = self.instances.other(metadata.instance.as_ref(), member) {
            return self.replace(now, before, member, metadata, answers);
        }
        match self.members.get_mut(&member) {
            None => {
                self.add(member, metadata);
                if let Some(Preparation { initial: Some((_, extended)), .. }) = &mut self.preparation {
                    *extended = true;
                }
            }
            Some(state) => {
                let is_news = std::mem::replace(&mut state.metadata, Arc::clone(&metadata)) != metadata;
                let answered = match self.state {
                    GroupState::CompletingRebalance => true,
                    GroupState::Stable => self.leader != Some(member),
                    GroupState::Empty | GroupState::PreparingRebalance => false,
                };
                if answered && !is_news {
                    // Its last join was answered, and nothing has changed since: the answer is the same.
                    answers.push(self.joined_answer(member));
                    self.prolong(now, member);
                    return;
                }
            }
        }
        self.await_join(now, member, answers);
    }

    /// Whether a member may join with this.
    fn admit(&self, member: Member, metadata: &MemberMetadata) -> Result<(), GroupError> {
        if self.instances.is_fenced(member) {
            return Err(GroupError::FencedInstance);
        }
        let replaced = self.instances.other(metadata.instance.as_ref(), member);
        let others = self.members.iter().filter(|(other, _)| **other != member && Some(**other) != replaced);
        let others: Vec<&MemberMetadata> = others.map(|(_, state)| &*state.metadata).collect();
        let is_known = |assignor: &Assignor| others.iter().all(|other| other.assignors.contains(assignor));
        if metadata.assignors.iter().any(is_known) { Ok(()) } else { Err(GroupError::InconsistentProtocol) }
    }

    /// A static member has restarted. Where the group is stable it gets what it had, and nobody else notices.
    fn replace(
        &mut self,
        now: Time,
        before: Member,
        member: Member,
        metadata: Arc<MemberMetadata>,
        answers: &mut Vec<GroupAnswer>,
    ) {
        let mut state = self.members.remove(&before).expect("whoever stands for an instance is a member");
        if state.awaits_join || state.awaits_sync {
            answers.push(GroupAnswer::Refused { member: before, error: GroupError::FencedInstance });
        }
        self.joined -= usize::from(state.awaits_join);
        (state.awaits_join, state.awaits_sync) = (false, false);
        let keeps = state.metadata.assignors == metadata.assignors;
        self.sessions.hand_over(state.slot, member);
        self.instances.enter(metadata.instance.as_ref(), member);
        state.metadata = metadata;
        self.members.insert(member, state);
        if self.leader == Some(before) {
            self.leader = Some(member);
        }
        if self.state == GroupState::Stable && keeps {
            // Also a leader is not to deal out anything.
            let (generation, assignor) = (self.generation, self.assignor);
            answers.push(GroupAnswer::Joined { member, generation, assignor, members: Vec::new() });
            self.prolong(now, member);
            self.write_down();
        } else {
            self.await_join(now, member, answers);
        }
    }

    /// The member waits until all have joined.
    fn await_join(&mut self, now: Time, member: Member, answers: &mut Vec<GroupAnswer>) {
        if self.state != GroupState::PreparingRebalance {
            self.prepare(now, answers);
        }
        let state = self.members.get_mut(&member).expect("it was there or has been added");
        if !state.awaits_join {
            state.awaits_join = true;
            self.joined += 1;
            self.sessions.clear(state.slot);
        }
        self.complete_if_all_joined(now, answers);
    }

    /// A member asks for its assignment; the leader brings everybody's.
    pub fn sync(
        &mut self,
        now: Time,
        member: Member,
        generation: u32,
        assignment: Vec<(Member, Vec<StoreId>)>,
        answers: &mut Vec<GroupAnswer>,
    ) {
        let refuse = |error| GroupAnswer::Synced { member, generation, result: Err(error) };
        let unknown = self.unknown(member);
        let Some(state) = self.members.get_mut(&member) else { return answers.push(refuse(unknown)) };
        if generation != self.generation {
            return answers.push(refuse(GroupError::IllegalGeneration));
        }
        match self.state {
            GroupState::Empty => unreachable!("a group with a member is not empty"),
            GroupState::PreparingRebalance => answers.push(refuse(GroupError::RebalanceInProgress)),
            GroupState::Stable => {
                let result = Ok(state.assignment.clone());
                answers.push(GroupAnswer::Synced { member, generation, result });
                self.prolong(now, member);
            }
            GroupState::CompletingRebalance => {
                state.awaits_sync = true;
                self.sessions.clear(state.slot);
                if self.leader == Some(member) {
                    self.distribute(now, assignment, answers);
                }
            }
        }
    }

    /// A member says that it is there.
    pub fn heartbeat(&mut self, now: Time, member: Member, generation: u32) -> Result<(), GroupError> {
        self.check(member, generation)?;
        self.prolong(now, member);
        match self.state {
            GroupState::PreparingRebalance => Err(GroupError::RebalanceInProgress),
            _ => Ok(()),
        }
    }

    /// Stores how far the group has read. While a rebalance is being prepared, members of the generation that
    /// ends may still commit; between two generations nobody may.
    pub fn commit(
        &mut self,
        now: Time,
        member: Member,
        generation: u32,
        offsets: &[(StoreId, Offset)],
    ) -> Result<(), GroupError> {
        self.check(member, generation)?;
        if self.state == GroupState::CompletingRebalance {
            return Err(GroupError::RebalanceInProgress);
        }
        self.prolong(now, member);
        self.offsets.commit(member.client, offsets);
        Ok(())
    }

    /// A member leaves. One that is not known has left already.
    pub fn leave(&mut self, now: Time, member: Member, answers: &mut Vec<GroupAnswer>) {
        if self.members.contains_key(&member) {
            self.remove(now, member, answers);
        }
    }

    /// Ends sessions and waiting times that are over.
    pub fn handle_timeout(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        while let Some(member) = self.sessions.pop_due(now) {
            self.remove(now, member, answers);
        }
        if let Some(preparation) = self.preparation
            && preparation.deadline <= now
        {
            match preparation.initial {
                Some((rest, true)) if !rest.is_zero() => {
                    let turn = self.times.initial_delay.min(rest);
                    let rest = Duration::from_nanos(rest.as_nanos() - turn.as_nanos());
                    let deadline = preparation.deadline.saturating_add(turn);
                    self.preparation = Some(Preparation { deadline, initial: Some((rest, false)) });
                }
                _ => self.complete(now, answers),
            }
        }
        if self.offsets.forget_due(now) {
            answers.push(GroupAnswer::OffsetsForgotten);
        }
    }

    /// When to call [`Group::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Time> {
        let deadline = self.preparation.map(|preparation| preparation.deadline);
        [deadline, self.sessions.next(), self.offsets.forgets_at()].into_iter().flatten().min()
    }

    /// What survives when the coordinator goes down.
    pub fn crash(self) -> DurableGroup {
        DurableGroup { times: self.times, written: self.written, offsets: self.offsets }
    }

    /// The group of a coordinator that comes back, as it was written down: its members have their shares, and their
    /// sessions begin anew. Whoever has joined since joins again.
    pub fn recover(now: Time, durable: DurableGroup) -> Group {
        let DurableGroup { times, written, offsets } = durable;
        let Written { generation, leader, assignor, members } = written.clone();
        let mut group = Group { generation, leader, offsets, written, ..Group::new(times) };
        group.assignor = assignor.unwrap_or(group.assignor);
        if members.is_empty() {
            group.offsets.empty(now, times.offsets_retention);
            return group;
        }
        group.state = GroupState::Stable;
        for (member, metadata, assignment) in members {
            group.add(member, metadata);
            group.members.entry(member).and_modify(|state| state.assignment = assignment);
            group.prolong(now, member);
        }
        group
    }

    fn write_down(&mut self) {
        let member =
            |(member, state): (&Member, &MemberState)| (*member, Arc::clone(&state.metadata), state.assignment.clone());
        let (generation, leader, assignor) = (self.generation, self.leader, Some(self.assignor));
        self.written = Written { generation, leader, assignor, members: self.members.iter().map(member).collect() };
    }

    fn check(&self, member: Member, generation: u32) -> Result<(), GroupError> {
        if !self.members.contains_key(&member) {
            return Err(self.unknown(member));
        }
        if generation != self.generation { Err(GroupError::IllegalGeneration) } else { Ok(()) }
    }

    /// Why somebody is not a member.
    fn unknown(&self, member: Member) -> GroupError {
        if self.instances.is_fenced(member) { GroupError::FencedInstance } else { GroupError::UnknownMember }
    }

    /// The session of a member begins anew, unless it waits for the coordinator and has no session to lose.
    fn prolong(&mut self, now: Time, member: Member) {
        let state = &self.members[&member];
        if !state.awaits_join && !state.awaits_sync {
            self.sessions.set(state.slot, now.saturating_add(self.times.session));
        }
    }

    fn add(&mut self, member: Member, metadata: Arc<MemberMetadata>) {
        let slot = self.sessions.add(member);
        self.instances.enter(metadata.instance.as_ref(), member);
        let state = MemberState { metadata, slot, awaits_join: false, awaits_sync: false, assignment: Vec::new() };
        self.members.insert(member, state);
        self.leader = self.leader.or(Some(member));
        self.offsets.keep();
    }

    fn forget(&mut self, member: Member) {
        let state = self.members.remove(&member).expect("only members are forgotten");
        self.sessions.remove(state.slot);
        self.instances.leave(state.metadata.instance.as_ref());
        self.joined -= usize::from(state.awaits_join);
        if self.leader == Some(member) {
            self.leader = self.members.keys().next().copied();
        }
    }

    fn remove(&mut self, now: Time, member: Member, answers: &mut Vec<GroupAnswer>) {
        self.forget(member);
        if self.state != GroupState::PreparingRebalance {
            self.prepare(now, answers);
        }
        self.complete_if_all_joined(now, answers);
    }

    fn prepare(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        let generation = self.generation;
        if self.state == GroupState::CompletingRebalance {
            let session_end = now.saturating_add(self.times.session);
            for (member, state) in self.members.iter_mut().filter(|(_, state)| state.awaits_sync) {
                state.awaits_sync = false;
                self.sessions.set(state.slot, session_end);
                let result = Err(GroupError::RebalanceInProgress);
                answers.push(GroupAnswer::Synced { member: *member, generation, result });
            }
        }
        let GroupTimes { rebalance, initial_delay, .. } = self.times;
        let (wait, initial) = match self.state {
            GroupState::Empty if !initial_delay.is_zero() => {
                let rest = rebalance.as_nanos().saturating_sub(initial_delay.as_nanos());
                (initial_delay, Some((Duration::from_nanos(rest), false)))
            }
            _ => (rebalance, None),
        };
        self.preparation = Some(Preparation { deadline: now.saturating_add(wait), initial });
        self.state = GroupState::PreparingRebalance;
        answers.push(GroupAnswer::Started { generation });
    }

    fn complete_if_all_joined(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        let at_once = self.preparation.is_some_and(|preparation| preparation.initial.is_none());
        if at_once && self.joined == self.members.len() {
            self.complete(now, answers);
        }
    }

    /// Goes on with whoever has joined; the others are members no more, unless they are static: these stay, without a
    /// share, until their sessions end.
    fn complete(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        let is_missing = |state: &MemberState| !state.awaits_join && state.metadata.instance.is_none();
        let missing: Vec<Member> =
            self.members.iter().filter(|(_, state)| is_missing(state)).map(|(member, _)| *member).collect();
        for member in missing {
            self.forget(member);
        }
        if self.joined == 0 && !self.members.is_empty() {
            // Nobody is there who could lead.
            let deadline = now.saturating_add(self.times.rebalance);
            self.preparation = Some(Preparation { deadline, initial: None });
            return;
        }
        self.preparation = None;
        self.joined = 0;
        self.generation += 1;
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            self.offsets.empty(now, self.times.offsets_retention);
            self.write_down();
            answers.push(GroupAnswer::Completed { generation: self.generation, members: 0 });
            return;
        }
        self.state = GroupState::CompletingRebalance;
        self.assignor = Assignor::choose(self.members.values().map(|state| state.metadata.assignors.as_slice()));
        let session_end = now.saturating_add(self.times.session);
        let mut joined = Vec::new();
        for (member, state) in &mut self.members {
            state.assignment.clear();
            if std::mem::take(&mut state.awaits_join) {
                self.sessions.set(state.slot, session_end);
                joined.push(*member);
            }
        }
        if !self.leader.is_some_and(|leader| joined.contains(&leader)) {
            self.leader = joined.first().copied();
        }
        for member in joined {
            answers.push(self.joined_answer(member));
        }
    }

    fn joined_answer(&self, member: Member) -> GroupAnswer {
        let members = if self.leader == Some(member) {
            self.members.iter().map(|(member, state)| (*member, Arc::clone(&state.metadata))).collect()
        } else {
            Vec::new()
        };
        GroupAnswer::Joined { member, generation: self.generation, assignor: self.assignor, members }
    }

    /// The leader has said who gets what: whoever waits for it is told, the others will ask.
    fn distribute(&mut self, now: Time, assignment: Vec<(Member, Vec<StoreId>)>, answers: &mut Vec<GroupAnswer>) {
        let mut dealt: Vec<StoreId> = assignment.iter().flat_map(|(_, stores)| stores).copied().collect();
        dealt.sort_unstable();
        assert!(dealt.windows(2).all(|pair| pair[0] != pair[1]), "a partition has one owner at most");
        for (member, stores) in assignment {
            if let Some(state) = self.members.get_mut(&member) {
                state.assignment = stores;
            }
        }
        self.state = GroupState::Stable;
        self.write_down();
        answers.push(GroupAnswer::Completed { generation: self.generation, members: self.members.len() });
        let session_end = now.saturating_add(self.times.session);
        for (member, state) in self.members.iter_mut().filter(|(_, state)| state.awaits_sync) {
            state.awaits_sync = false;
            self.sessions.set(state.slot, session_end);
            let result = Ok(state.assignment.clone());
            answers.push(GroupAnswer::Synced { member: *member, generation: self.generation, result });
        }
    }
}
