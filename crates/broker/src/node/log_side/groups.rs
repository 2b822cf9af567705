//! The groups that a node coordinates, and where they begin to read.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_event::{ApplicationId, ClientId, Count, Event, NodeId, Observer, Offset, StoreId, Time};

use super::{ABSENT, LogSide};
use crate::config::{ConsumerKind, Deployment, GroupConfig, GroupProtocol, Isolation, OffsetReset, SeekTo};
use crate::deadlines::Deadlines;
use crate::group::{ConsumerGroup, DurableConsumerGroup, DurableGroup, Group, GroupAnswer, GroupTimes};
use crate::message::{Address, GroupError, Member, Message, Position};
use crate::node::Context;
use crate::partition::PartitionLog;
use crate::transaction::GroupOffsets;

/// A group in the protocol of its deployment.
#[derive(Clone, Debug)]
enum Coordinator {
    Classic(Group),
    Consumer(ConsumerGroup),
}

impl Coordinator {
    fn new(config: &GroupConfig, topics: &Arc<[Vec<StoreId>]>) -> Coordinator {
        let times = GroupTimes::from(config);
        match config.protocol {
            GroupProtocol::Classic => Coordinator::Classic(Group::new(times)),
            GroupProtocol::Consumer(assignor) => {
                Coordinator::Consumer(ConsumerGroup::new(times, assignor, Arc::clone(topics)))
            }
        }
    }

    fn committed(&self, store: StoreId) -> Option<Offset> {
        match self {
            Coordinator::Classic(group) => group.committed(store),
            Coordinator::Consumer(group) => group.committed(store),
        }
    }

    fn commit(
        &mut self,
        now: Time,
        member: Member,
        generation: u32,
        offsets: &[(StoreId, Offset)],
    ) -> Result<(), GroupError> {
        match self {
            Coordinator::Classic(group) => group.commit(now, member, generation, offsets),
            Coordinator::Consumer(group) => group.commit(member, generation, offsets),
        }
    }

    fn has_members(&self) -> bool {
        match self {
            Coordinator::Classic(group) => group.members().len() > 0,
            Coordinator::Consumer(group) => group.members().len() > 0,
        }
    }

    fn handle_timeout(&mut self, now: Time, answers: &mut Vec<GroupAnswer>) {
        match self {
            Coordinator::Classic(group) => group.handle_timeout(now, answers),
            Coordinator::Consumer(group) => group.handle_timeout(now, answers),
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        match self {
            Coordinator::Classic(group) => group.next_timeout(),
            Coordinator::Consumer(group) => group.next_timeout(),
        }
    }

    fn crash(self) -> DurableGroupCoordinator {
        match self {
            Coordinator::Classic(group) => DurableGroupCoordinator::Classic(group.crash()),
            Coordinator::Consumer(group) => DurableGroupCoordinator::Consumer(group.crash()),
        }
    }

    fn seek(&mut self, now: Time, store: StoreId, offset: Offset) {
        match self {
            Coordinator::Classic(group) => group.seek(now, store, offset),
            Coordinator::Consumer(group) => group.seek(now, store, offset),
        }
    }

    fn tell_where(&mut self, client: ClientId, store: StoreId) -> bool {
        match self {
            Coordinator::Classic(group) => group.tell_where(client, store),
            Coordinator::Consumer(group) => group.tell_where(client, store),
        }
    }
}

/// What is left of a coordinator that has gone down.
#[derive(Clone, Debug)]
pub(super) enum DurableGroupCoordinator {
    Classic(DurableGroup),
    Consumer(DurableConsumerGroup),
}

#[derive(Clone, Debug)]
struct HostedGroup {
    application: ApplicationId,
    group: Coordinator,
    /// The partitions that it reads, topic by topic.
    topics: Arc<[Vec<StoreId>]>,
    /// The same partitions in the order of their numbers, to be searched.
    stores: Vec<StoreId>,
    /// What its members do without a committed offset.
    reset: OffsetReset,
    isolation: Isolation,
    /// Where members were last told to begin that have no committed offset, by partition.
    begun: BTreeMap<StoreId, Offset>,
}

#[derive(Clone, Debug)]
pub(super) struct Groups {
    groups: Vec<HostedGroup>,
    /// From the number of an application to its place in `groups`.
    places: Vec<u32>,
    deadlines: Deadlines,
    /// Kept for its memory.
    answers: Vec<GroupAnswer>,
}

impl Groups {
    pub fn new(node: NodeId, deployment: &Deployment) -> Groups {
        let here = deployment.groups.iter().filter(|config| config.node == node);
        let groups: Vec<_> = here.map(|config| HostedGroup::new(config, deployment)).collect();
        let mut places = Vec::new();
        for (place, hosted) in (0..).zip(&groups) {
            let index = hosted.application.index();
            places.resize(places.len().max(index + 1), ABSENT);
            places[index] = place;
        }
        Groups { groups, places, deadlines: Deadlines::default(), answers: Vec::new() }
    }

    fn index(&self, application: ApplicationId) -> Option<usize> {
        self.places.get(application.index()).filter(|place| **place != ABSENT).map(|place| *place as usize)
    }

    /// Handles what members ask. There is nobody to answer where the group lives elsewhere: deployments name
    /// the coordinator.
    pub fn handle<P: Clone, O: Observer>(&mut self, request: Message<P>, context: &mut Context<'_, P, O>) {
        let application = match &request {
            Message::JoinGroup { group, .. }
            | Message::SyncGroup { group, .. }
            | Message::Heartbeat { group, .. }
            | Message::GroupHeartbeat { group, .. }
            | Message::LeaveGroup { group, .. } => *group,
            _ => return,
        };
        let Some(index) = self.index(application) else { return };
        match &mut self.groups[index].group {
            Coordinator::Classic(group) => classic(group, &mut self.answers, request, context),
            Coordinator::Consumer(group) => consumer(group, &mut self.answers, request, context),
        }
        self.finish(index, context);
    }

    /// A member says how far its group has read.
    pub fn commit<P: Clone, O: Observer>(
        &mut self,
        correlation: u32,
        group: ApplicationId,
        member: Member,
        generation: u32,
        mut offsets: Vec<(StoreId, Offset)>,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.index(group) else { return };
        let own = &mut self.groups[index].group;
        let result = own.commit(context.now, member, generation, &offsets);
        offsets.retain(|(store, offset)| result.is_err() || own.committed(*store) == Some(*offset));
        let message = Message::OffsetsCommitted { correlation, group, member, generation, offsets, result };
        context.send(Address::Client(member.client), message);
        self.schedule(index);
    }

    /// The topic of a partition has more of them from now on.
    pub fn extend_topic(&mut self, beside: StoreId, stores: &[StoreId]) {
        for hosted in &mut self.groups {
            let mut topics = hosted.topics.to_vec();
            let Some(topic) = topics.iter_mut().find(|topic| topic.contains(&beside)) else { continue };
            topic.extend(stores);
            hosted.topics = topics.into();
            hosted.stores.extend(stores);
            hosted.stores.sort_unstable();
        }
    }

    /// Coordinators that assign give out the partitions that were added beside this one; the leaders of other groups
    /// ask for them in their own time.
    pub fn tell_of_partitions<P: Clone, O: Observer>(&mut self, beside: StoreId, context: &mut Context<'_, P, O>) {
        for index in 0..self.groups.len() {
            let hosted = &mut self.groups[index];
            if !hosted.reads(beside) {
                continue;
            }
            if let Coordinator::Consumer(group) = &mut hosted.group {
                group.set_topics(Arc::clone(&hosted.topics), &mut self.answers);
            }
            self.finish(index, context);
        }
    }

    /// Whether a member may say how far the group has read. It shows life by asking.
    pub fn may_commit(
        &mut self,
        now: Time,
        application: ApplicationId,
        member: Member,
        generation: u32,
    ) -> Result<(), GroupError> {
        let index = self.index(application).ok_or(GroupError::UnknownMember)?;
        let answer = self.groups[index].group.commit(now, member, generation, &[]);
        if let Some(at) = self.groups[index].group.next_timeout() {
            self.deadlines.set(index as u32, at);
        }
        answer
    }

    /// A transaction was committed that says how far a group has read.
    pub fn commit_decided(&mut self, decided: &GroupOffsets) {
        let (Some(index), Some(reader)) = (self.index(decided.group), decided.reader) else { return };
        match &mut self.groups[index].group {
            Coordinator::Classic(group) => group.commit_decided(reader, &decided.offsets),
            Coordinator::Consumer(group) => group.commit_decided(reader, &decided.offsets),
        }
    }

    pub fn handle_timeout<P: Clone, O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        while let Some(index) = self.deadlines.pop_due(context.now) {
            self.groups[index as usize].group.handle_timeout(context.now, &mut self.answers);
            self.finish(index as usize, context);
        }
    }

    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }

    /// Sends what a group has to say and notes when it wants to be called.
    fn finish<P: Clone, O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let HostedGroup { application: group, topics, .. } = &self.groups[index];
        let (group, application) = (*group, *group);
        for answer in self.answers.drain(..) {
            let (member, message): (Member, Message<P>) = match answer {
                GroupAnswer::Joined { member, generation, assignor, members } => {
                    let topics = topics.clone();
                    (member, Message::Joined { group, member, generation, assignor, members, topics })
                }
                GroupAnswer::Refused { member, error } => (member, Message::JoinRefused { group, member, error }),
                GroupAnswer::Beaten { member, result } => {
                    (member, Message::GroupHeartbeatAnswer { group, member, result })
                }
                GroupAnswer::Synced { member, generation, result } => {
                    (member, Message::Synced { group, member, generation, result })
                }
                GroupAnswer::Started { generation } => {
                    let generation = Count::saturating(generation.into());
                    context.observe(Event::RebalanceStarted { application, generation });
                    continue;
                }
                GroupAnswer::Completed { generation, members } => {
                    let generation = Count::saturating(generation.into());
                    let members = Count::saturating(members as u64);
                    context.observe(Event::RebalanceCompleted { application, generation, members });
                    continue;
                }
                GroupAnswer::OffsetsForgotten => {
                    context.observe(Event::OffsetsForgotten { application });
                    continue;
                }
            };
            context.send(Address::Client(member.client), message);
        }
        self.schedule(index);
    }

    /// For each group that reads this partition: the first offset that it has still to read.
    pub fn remaining<P: Clone>(
        &self,
        store: StoreId,
        log: &PartitionLog<P>,
    ) -> impl Iterator<Item = (ApplicationId, Isolation, Offset)> + use<'_, P> {
        let (start, end) = (log.log().start(), log.log().end());
        let readers = self.groups.iter().filter(move |hosted| hosted.reads(store));
        readers.map(move |hosted| (hosted.application, hosted.isolation, hosted.first_unread(store, start, end)))
    }

    /// The partitions that a group reads, with the place of the group.
    pub fn read_by(&self, application: ApplicationId) -> Option<(usize, impl Iterator<Item = StoreId>)> {
        let index = self.index(application)?;
        Some((index, self.groups[index].topics.iter().flatten().copied()))
    }

    /// The first offset of a partition that a group has still to read.
    pub fn first_unread<P: Clone>(&self, index: usize, store: StoreId, log: &PartitionLog<P>) -> Offset {
        self.groups[index].first_unread(store, log.log().start(), log.log().end())
    }

    pub fn crash(self) -> Vec<DurableGroupCoordinator> {
        self.groups.into_iter().map(|hosted| hosted.group.crash()).collect()
    }

    pub fn recover(&mut self, now: Time, durable: Vec<DurableGroupCoordinator>) {
        for (index, durable) in durable.into_iter().enumerate() {
            self.groups[index].group = match durable {
                DurableGroupCoordinator::Classic(group) => Coordinator::Classic(Group::recover(now, group)),
                DurableGroupCoordinator::Consumer(group) => Coordinator::Consumer(ConsumerGroup::recover(now, group)),
            };
            self.schedule(index);
        }
    }

    fn schedule(&mut self, index: usize) {
        self.deadlines.set_or_clear(index as u32, self.groups[index].group.next_timeout());
    }
}

/// Handles what a member of a classic group asks; what belongs to the other protocol is passed over.
fn classic<P: Clone, O: Observer>(
    group: &mut Group,
    answers: &mut Vec<GroupAnswer>,
    request: Message<P>,
    context: &mut Context<'_, P, O>,
) {
    let now = context.now;
    match request {
        Message::JoinGroup { member, metadata, .. } => group.join(now, member, metadata, answers),
        Message::SyncGroup { member, generation, assignment, .. } => {
            group.sync(now, member, generation, assignment, answers);
        }
        Message::Heartbeat { group: application, member, generation } => {
            let result = group.heartbeat(now, member, generation);
            let message = Message::HeartbeatAnswer { group: application, member, generation, result };
            context.send(Address::Client(member.client), message);
        }
        Message::LeaveGroup { member, .. } => group.leave(now, member, answers),
        _ => {}
    }
}

/// Handles what a member of a group in the newer protocol asks; what belongs to the classic one is passed over.
fn consumer<P: Clone, O: Observer>(
    group: &mut ConsumerGroup,
    answers: &mut Vec<GroupAnswer>,
    request: Message<P>,
    context: &mut Context<'_, P, O>,
) {
    if let Message::GroupHeartbeat { member, epoch, metadata, owned, .. } = request {
        group.heartbeat(context.now, member, epoch, metadata, owned.as_deref(), answers);
    }
}

impl HostedGroup {
    fn new(config: &GroupConfig, deployment: &Deployment) -> HostedGroup {
        let mut stores = config.partitions.clone();
        stores.sort_unstable();
        let of_topic = |topic: &[StoreId]| -> Vec<StoreId> {
            topic.iter().copied().filter(|store| stores.binary_search(store).is_ok()).collect()
        };
        let topics = deployment.topics.iter().map(|topic| of_topic(&topic.partitions));
        let member = deployment.consumers.iter().find_map(|consumer| match &consumer.kind {
            ConsumerKind::Group(member) if consumer.application == config.application => Some(member),
            _ => None,
        });
        let topics: Arc<[Vec<StoreId>]> = topics.filter(|topic| !topic.is_empty()).collect();
        HostedGroup {
            application: config.application,
            group: Coordinator::new(config, &topics),
            topics,
            stores,
            reset: member.map_or(OffsetReset::Latest, |member| member.reset),
            isolation: member.map_or(Isolation::default(), |member| member.isolation),
            begun: BTreeMap::new(),
        }
    }

    fn reads(&self, store: StoreId) -> bool {
        self.stores.binary_search(&store).is_ok()
    }

    /// A group that has committed nothing and does not begin with the oldest record has still to read what came since
    /// its members were told where to begin. Without members it would be told so anew. A group that begins nowhere
    /// waits for somebody to tell it where, and has missed nothing yet.
    fn first_unread(&self, store: StoreId, start: Offset, end: Offset) -> Offset {
        match self.group.committed(store) {
            Some(committed) if start <= committed && committed <= end => committed,
            _ if matches!(self.reset, OffsetReset::Earliest | OffsetReset::None) => start,
            _ if !self.group.has_members() => end,
            _ => self.begun.get(&store).map_or(end, |begun| (*begun).max(start)),
        }
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// Somebody sends a group that is coordinated here to another place in every partition that it reads, or the readers
    /// of streams.
    pub fn seek(&mut self, now: Time, group: ApplicationId, to: SeekTo) {
        self.seek_streams(now, group, to);
        let Some(index) = self.groups.index(group) else { return };
        let topics = Arc::clone(&self.groups.groups[index].topics);
        for store in topics.iter().flatten() {
            let Some(place) = self.led(*store) else { continue };
            let log = &self.partitions[place].log;
            let offset = match to {
                SeekTo::Earliest => log.log().start(),
                SeekTo::Latest => log.high_watermark(),
                SeekTo::Time(time) => log.offset_at(time),
                SeekTo::Offset(offset) => offset.max(log.log().start()).min(log.log().end()),
            };
            self.groups.groups[index].group.seek(now, *store, offset);
        }
        self.groups.schedule(index);
        self.note_rare_due();
    }

    /// What this node knows of where a group may start: by what it was told as the coordinator, or by what it has as the
    /// leader of a partition.
    pub(super) fn find_positions(
        &mut self,
        client: ClientId,
        group: ApplicationId,
        stores: Vec<StoreId>,
        time: Option<Time>,
    ) -> Vec<Position> {
        let index = self.groups.index(group);
        let position = |store| {
            let place = self.led(store);
            let mut position = Position { store, ..Position::default() };
            if let Some(place) = place {
                let log = &self.partitions[place].log;
                position.is_led = true;
                position.epoch = log.epoch();
                (position.log_start, position.log_end) = (log.log().start(), log.log().end());
                position.high_watermark = log.high_watermark();
                position.at_time = time.map_or(log.high_watermark(), |time| log.offset_at(time));
            }
            if let Some(index) = index {
                let hosted = &mut self.groups.groups[index];
                position.is_coordinated = true;
                position.committed = hosted.group.committed(store);
                position.sought = hosted.group.tell_where(client, store);
                position.is_unstable = self.transactions.has_pending_offset(group, store);
                if position.is_led {
                    let by_duration = matches!(hosted.reset, OffsetReset::ByDuration(_));
                    let begins = if by_duration { position.at_time } else { position.high_watermark };
                    hosted.begun.insert(store, begins);
                }
            }
            position
        };
        let positions = stores.into_iter().map(position);
        positions.filter(|position| position.is_coordinated || position.is_led).collect()
    }
}
