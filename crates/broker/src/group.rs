//! The coordinator of a consumer group: Kafka's classic protocol with eager rebalancing. Members are dynamic: a
//! process that restarts is a new member, and the old one stays until its session ends.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_event::{Duration, Offset, StoreId, Time};

use crate::config::GroupConfig;
use crate::deadlines::Deadlines;
use crate::message::{GroupError, Member};

/// The times that a coordinator waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupTimes {
    /// A member that is silent for this long is removed.
    pub session: Duration,
    /// How long a rebalance waits for members to join again.
    pub rebalance: Duration,
    /// How long the first join of an empty group waits for others.
    pub initial_delay: Duration,
    /// How long the group keeps its offsets once it is empty.
    pub offsets_retention: Duration,
}

impl From<&GroupConfig> for GroupTimes {
    fn from(config: &GroupConfig) -> GroupTimes {
        GroupTimes {
            session: config.session_timeout,
            rebalance: config.rebalance_timeout,
            initial_delay: config.initial_rebalance_delay,
            offsets_retention: config.offsets_retention,
        }
    }
}

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

/// What a coordinator says to members, and what it tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupAnswer {
    /// The join of a member is complete.
    Joined {
        /// The member.
        member: Member,
        /// The new generation.
        generation: u32,
        /// For the leader: everybody. For others: empty.
        members: Vec<(Member, Arc<str>)>,
    },
    /// The assignment of a member, or why there is none.
    Synced {
        /// The member.
        member: Member,
        /// The generation that it asked about.
        generation: u32,
        /// What it gets.
        result: Result<Vec<StoreId>, GroupError>,
    },
    /// A rebalance began; this generation ends.
    Started {
        /// The generation that ends.
        generation: u32,
    },
    /// The group is stable again, or empty.
    Completed {
        /// The generation that begins.
        generation: u32,
        /// How many members it has.
        members: usize,
    },
    /// It has been empty for so long that its offsets are forgotten.
    OffsetsForgotten,
}

#[derive(Clone, Debug)]
struct MemberState {
    name: Arc<str>,
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
    sessions: Deadlines,
    slots: Vec<Option<Member>>,
    free: Vec<u32>,
    offsets: BTreeMap<StoreId, Offset>,
    /// While it is empty: when its offsets are forgotten.
    forgets_at: Option<Time>,
}

/// What is left of a group when its coordinator has gone down. Real coordinators write it to an internal topic;
/// here it always survives, which is what a replicated internal topic comes to. Memberships do not: everybody
/// joins again.
#[derive(Clone, PartialEq, Debug)]
pub struct DurableGroup {
    generation: u32,
    offsets: BTreeMap<StoreId, Offset>,
    forgets_at: Option<Time>,
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
            sessions: Deadlines::default(),
            slots: Vec::new(),
            free: Vec::new(),
            offsets: BTreeMap::new(),
            forgets_at: None,
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

    /// The committed offset of a partition.
    pub fn committed(&self, store: StoreId) -> Option<Offset> {
        self.offsets.get(&store).copied()
    }

    /// A member joins, or joins again. The answer comes when all members have.
    pub fn join(&mut self, now: Time, member: Member, name: Arc<str>, answers: &mut Vec<GroupAnswer>) {
        if !self.members.contains_key(&member) {
            self.add(member, name);
            if self.state == GroupState::PreparingRebalance
                && let Some(Preparation { initial: Some((_, extended)), .. }) = &mut self.preparation
            {
                *extended = true;
            }
        } else if self.state == GroupState::CompletingRebalance
            || (self.state == GroupState::Stable && self.leader != Some(member))
        {
            // Its last join was answered, and nothing has changed since: the answer is the same.
            answers.push(self.joined_answer(member));
            self.prolong(now, member);
            return;
        }
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
        let Some(state) = self.members.get_mut(&member) else {
            return answers.push(refuse(GroupError::UnknownMember));
        };
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
        self.offsets.extend(offsets.iter().copied());
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
        while let Some(slot) = self.sessions.pop_due(now) {
            if let Some(member) = self.slots[slot as usize] {
                self.remove(now, member, answers);
            }
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
        if self.forgets_at.is_some_and(|at| at <= now) {
            self.forgets_at = None;
            self.offsets.clear();
            answers.push(GroupAnswer::OffsetsForgotten);
        }
    }

    /// When to call [`Group::handle_timeout`].
    pub fn next_timeout(&self) -> Option<Time> {
        let deadline = self.preparation.map(|preparation| preparation.deadline);
        [deadline, self.sessions.next(), self.forgets_at].into_iter().flatten().min()
    }

    /// What survives when the coordinator goes down.
    pub fn crash(self) -> DurableGroup {
        DurableGroup { generation: self.generation, offsets: self.offsets, forgets_at: self.forgets_at }
    }

    /// The group of a coordinator that comes back. Generations go on, so that nobody's old one is taken for new.
    pub fn recover(durable: DurableGroup, times: GroupTimes) -> Group {
        let DurableGroup { generation, offsets, forgets_at } = durable;
        Group { generation, offsets, forgets_at, ..Group::new(times) }
    }

    fn check(&self, member: Member, generation: u32) -> Result<(), GroupError> {
        if !self.members.contains_key(&member) {
            return Err(GroupError::UnknownMember);
        }
        if generation != self.generation { Err(GroupError::IllegalGeneration) } else { Ok(()) }
    }

    /// The session of a member begins anew, unless it waits for the coordinator and has no session to lose.
    fn prolong(&mut self, now: Time, member: Member) {
        let state = &self.members[&member];
        if !state.awaits_join && !state.awaits_sync {
            self.sessions.set(state.slot, now.saturating_add(self.times.session));
        }
    }

    fn add(&mut self, member: Member, name: Arc<str>) {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            (self.slots.len() - 1) as u32
        });
        self.slots[slot as usize] = Some(member);
        let state = MemberState { name, slot, awaits_join: false, awaits_sync: false, assignment: Vec::new() };
        self.members.insert(member, state);
        self.leader = self.leader.or(Some(member));
        self.forgets_at = None;
    }

    fn forget(&mut self, member: Member) {
        let state = self.members.remove(&member).expect("only members are forgotten");
        self.sessions.clear(state.slot);
        self.slots[state.slot as usize] = None;
        self.free.push(state.slot);
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

    /// Goes on with whoever has joined; the others are members no more.
    fn complete(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        let missing: Vec<Member> =
            self.members.iter().filter(|(_, state)| !state.awaits_join).map(|(member, _)| *member).collect();
        for member in missing {
            self.forget(member);
        }
        self.preparation = None;
        self.joined = 0;
        self.generation += 1;
        if self.members.is_empty() {
            self.state = GroupState::Empty;
            let retention = self.times.offsets_retention;
            self.forgets_at = (!self.offsets.is_empty()).then(|| now.saturating_add(retention));
            answers.push(GroupAnswer::Completed { generation: self.generation, members: 0 });
            return;
        }
        self.state = GroupState::CompletingRebalance;
        let session_end = now.saturating_add(self.times.session);
        for state in self.members.values_mut() {
            state.awaits_join = false;
            state.assignment.clear();
            self.sessions.set(state.slot, session_end);
        }
        for member in self.members.keys() {
            answers.push(self.joined_answer(*member));
        }
    }

    fn joined_answer(&self, member: Member) -> GroupAnswer {
        let members = if self.leader == Some(member) {
            self.members.iter().map(|(member, state)| (*member, state.name.clone())).collect()
        } else {
            Vec::new()
        };
        GroupAnswer::Joined { member, generation: self.generation, members }
    }

    /// The leader has said who gets what: whoever waits for it is told, the others will ask.
    fn distribute(&mut self, now: Time, assignment: Vec<(Member, Vec<StoreId>)>, answers: &mut Vec<GroupAnswer>) {
        for (member, stores) in assignment {
            if let Some(state) = self.members.get_mut(&member) {
                state.assignment = stores;
            }
        }
        self.state = GroupState::Stable;
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
