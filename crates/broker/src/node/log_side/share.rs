//! The share groups that a node coordinates, and the partitions that it leads as they read them.
//!
//! Every member may fetch from every partition of its group (Kafka's simple share assignor), so nothing is ever
//! redistributed. A member's session ends with its connection, and what it had acquired is released then; a member that
//! stands still keeps its records until their locks end.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use brokerlab_event::{ApplicationId, ClientId, Event, NodeId, Observer, Offset, Removal, StoreId, Time};

use super::LogSide;
use crate::config::{Deployment, OffsetReset, ShareGroupConfig};
use crate::deadlines::Deadlines;
use crate::message::{Address, Member, Message, SharedPartition};
use crate::node::Context;
use crate::partition::PartitionLog;
use crate::record::Record;
use crate::share_partition::{Acknowledged, Change, DurableShare, RecordState, SharePartition, Turn};

/// A share group.
#[derive(Clone, Debug)]
struct HostedShare {
    config: ShareGroupConfig,
    stores: Arc<[StoreId]>,
    /// Each partition with its place in `stores`, in the order of their numbers, to be searched.
    by_store: Vec<(StoreId, usize)>,
    /// In the order of `stores`. Nothing where no member has asked for the partition yet.
    partitions: Vec<Option<SharePartition>>,
    /// The members that the coordinator knows.
    members: BTreeMap<ClientId, Member>,
    /// Clients that have fetched since they connected, members or not: what they hold is released when their
    /// connection ends.
    readers: BTreeSet<ClientId>,
    /// By client: when its session ends.
    sessions: Deadlines,
    /// The place of the partition that the next fetch begins with, so that all of them are served.
    first: usize,
    /// Places of the partitions in which there may be records to acquire. In the others nothing has changed since somebody
    /// has found nothing there.
    promising: BTreeSet<usize>,
}

/// A fetch for which there is nothing yet.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    group: usize,
    member: Member,
    correlation: u32,
    max_records: u32,
    until: Time,
}

/// The share groups of a node.
#[derive(Clone, Debug)]
pub(super) struct Shares {
    groups: Vec<HostedShare>,
    /// In the order in which they came, which is that in which their waits end.
    waiting: VecDeque<Waiting>,
    /// When locks end, by number of the group and the partition in it.
    locks: Deadlines,
    /// The most partitions that a group reads.
    stride: usize,
}

/// What is left of a share group when its coordinator has gone down.
#[derive(Clone, Debug)]
pub(super) struct DurableShareGroup(Vec<Option<DurableShare>>);

impl Shares {
    pub fn new(node: NodeId, deployment: &Deployment) -> Shares {
        let here = deployment.share_groups.iter().filter(|config| config.node == node);
        let groups: Vec<HostedShare> = here.map(HostedShare::new).collect();
        let stride = groups.iter().map(|group| group.stores.len()).max().unwrap_or(0);
        Shares { groups, waiting: VecDeque::new(), locks: Deadlines::default(), stride }
    }

    /// The topic of a partition has more of them from now on. Members hear of that with their next heartbeat, and
    /// their fetches ask for everything that the group reads.
    pub fn extend_topic(&mut self, beside: StoreId, stores: &[StoreId]) {
        for hosted in self.groups.iter_mut().filter(|hosted| hosted.stores.contains(&beside)) {
            hosted.extend(stores);
        }
        self.stride = self.groups.iter().map(|group| group.stores.len()).max().unwrap_or(0);
        self.locks = Deadlines::default();
        for group in 0..self.groups.len() {
            for index in 0..self.groups[group].stores.len() {
                self.note_lock(group, index);
            }
        }
    }

    fn index(&self, application: ApplicationId) -> Option<usize> {
        self.groups.iter().position(|hosted| hosted.config.application == application)
    }

    /// True where there is any share group.
    #[inline]
    pub fn any(&self) -> bool {
        !self.groups.is_empty()
    }

    pub fn next_timeout(&self) -> Option<Time> {
        let wait = self.waiting.front().map(|waiting| waiting.until);
        let sessions = self.groups.iter().filter_map(|hosted| hosted.sessions.next());
        sessions.chain(wait).chain(self.locks.next()).min()
    }

    /// Notes when a lock of a share partition ends.
    fn note_lock(&mut self, group: usize, index: usize) {
        let until = self.groups[group].partitions[index].as_ref().and_then(SharePartition::next_timeout);
        self.locks.set_or_clear((group * self.stride + index) as u32, until);
    }

    pub fn crash(self) -> Vec<DurableShareGroup> {
        let durable = |hosted: HostedShare| {
            DurableShareGroup(hosted.partitions.into_iter().map(|share| share.map(SharePartition::crash)).collect())
        };
        self.groups.into_iter().map(durable).collect()
    }
}

impl HostedShare {
    fn new(config: &ShareGroupConfig) -> HostedShare {
        let mut by_store: Vec<_> = config.partitions.iter().enumerate().map(|(index, store)| (*store, index)).collect();
        by_store.sort_unstable();
        HostedShare {
            by_store,
            stores: config.partitions.as_slice().into(),
            partitions: vec![None; config.partitions.len()],
            config: config.clone(),
            members: BTreeMap::new(),
            readers: BTreeSet::new(),
            sessions: Deadlines::default(),
            first: 0,
            promising: (0..config.partitions.len()).collect(),
        }
    }

    fn extend(&mut self, stores: &[StoreId]) {
        self.promising.extend(self.stores.len()..self.stores.len() + stores.len());
        self.stores = self.stores.iter().chain(stores).copied().collect();
        self.partitions.resize(self.stores.len(), None);
        self.by_store = self.stores.iter().enumerate().map(|(index, store)| (*store, index)).collect();
        self.by_store.sort_unstable();
    }

    fn index(&self, store: StoreId) -> Option<usize> {
        let found = self.by_store.binary_search_by_key(&store, |(own, _)| *own);
        found.ok().map(|found| self.by_store[found].1)
    }

    /// Where the group begins to read a partition of which nobody has asked for anything.
    fn begins<P: Clone + Default>(&self, now: Time, log: &PartitionLog<P>) -> Offset {
        match self.config.reset {
            OffsetReset::Earliest => log.log().start(),
            OffsetReset::Latest | OffsetReset::None => log.high_watermark(),
            OffsetReset::ByDuration(age) => {
                let oldest = Time::ZERO + now.saturating_since(Time::ZERO + age);
                log.offset_at(oldest).min(log.high_watermark())
            }
        }
    }

    /// The first offset that nobody of the group was ever given.
    fn first_untouched<P: Clone + Default>(&self, now: Time, index: usize, log: &PartitionLog<P>) -> Offset {
        let touched = self.partitions[index].as_ref().map(SharePartition::first_untouched);
        touched.unwrap_or_else(|| self.begins(now, log)).max(log.log().start())
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// Handles what members of share groups ask.
    pub(super) fn handle_share<O: Observer>(&mut self, request: Message<P>, context: &mut Context<'_, P, O>) {
        let (Message::ShareHeartbeat { group, .. }
        | Message::LeaveShareGroup { group, .. }
        | Message::ShareFetch { group, .. }
        | Message::ShareAcknowledge { group, .. }) = request
        else {
            return;
        };
        // There is nobody to answer where the group lives elsewhere: deployments name the coordinator.
        let Some(index) = self.shares.index(group) else { return };
        let hosted = &mut self.shares.groups[index];
        match request {
            Message::ShareHeartbeat { member, .. } => {
                hosted.members.insert(member.client, member);
                let until = context.now.saturating_add(hosted.config.session_timeout);
                hosted.sessions.set(member.client.get(), until);
                let stores = Arc::clone(&hosted.stores);
                context.send(Address::Client(member.client), Message::ShareAssigned { group, member, stores });
            }
            Message::LeaveShareGroup { member, .. } => {
                hosted.members.remove(&member.client);
                hosted.sessions.clear(member.client.get());
                self.release(index, context, |share| share.release_member(member));
            }
            Message::ShareAcknowledge { member, acknowledged, .. } => {
                self.acknowledge(index, member, acknowledged, context);
            }
            Message::ShareFetch { member, correlation, max_records, acknowledged, .. } => {
                self.shares.waiting.retain(|waiting| waiting.member.client != member.client);
                hosted.readers.insert(member.client);
                self.acknowledge(index, member, acknowledged, context);
                let until = context.now.saturating_add(self.limits.max_wait);
                let fetch = Waiting { group: index, member, correlation, max_records, until };
                if !self.answer_member(fetch, context) {
                    self.shares.waiting.push_back(fetch);
                }
            }
            _ => unreachable!("no other request names a share group above"),
        }
    }

    /// Ends waits, sessions and locks.
    pub(super) fn handle_share_timeout<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        let now = context.now;
        while let Some(waiting) = self.shares.waiting.pop_front_if(|waiting| waiting.until <= now) {
            let (correlation, partitions) = (waiting.correlation, Vec::new());
            context.send(Address::Client(waiting.member.client), Message::ShareFetched { correlation, partitions });
        }
        for hosted in &mut self.shares.groups {
            while let Some(client) = hosted.sessions.pop_due(now) {
                hosted.members.remove(&ClientId::new(client));
            }
        }
        while let Some(number) = self.shares.locks.pop_due(now) {
            let (group, index) = (number as usize / self.shares.stride, number as usize % self.shares.stride);
            let share = self.shares.groups[group].partitions[index].as_mut().expect("it had locks");
            let changes = share.handle_timeout(now);
            self.changed(group, index, &changes, context);
        }
    }

    /// The connection of a client is gone, or a new one begins: its share session ends with it, and what it had
    /// acquired is released. Its membership stays until the coordinator misses its heartbeats.
    pub(super) fn end_share_session<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        self.shares.waiting.retain(|waiting| waiting.member.client != client);
        for group in 0..self.shares.groups.len() {
            if self.shares.groups[group].readers.remove(&client) {
                self.release(group, context, |share| share.release_client(client));
            }
        }
    }

    fn release<O: Observer>(
        &mut self,
        group: usize,
        context: &mut Context<'_, P, O>,
        release: impl Fn(&mut SharePartition) -> Vec<Change>,
    ) {
        for index in 0..self.shares.groups[group].partitions.len() {
            if let Some(share) = &mut self.shares.groups[group].partitions[index] {
                let changes = release(share);
                self.changed(group, index, &changes, context);
            }
        }
    }

    /// Takes a member's word, partition by partition: all that it says of one, or nothing.
    fn acknowledge<O: Observer>(
        &mut self,
        group: usize,
        member: Member,
        mut acknowledged: Vec<(StoreId, Acknowledged)>,
        context: &mut Context<'_, P, O>,
    ) {
        acknowledged.sort_by_key(|(store, _)| *store);
        for said in acknowledged.chunk_by(|(one, _), (other, _)| one == other) {
            let store = said[0].0;
            let hosted = &mut self.shares.groups[group];
            let Some(index) = hosted.index(store) else { continue };
            let Some(share) = &mut hosted.partitions[index] else { continue };
            let said: Vec<Acknowledged> = said.iter().map(|(_, said)| said.clone()).collect();
            match share.acknowledge(context.now, member, &said) {
                Ok(changes) => self.changed(group, index, &changes, context),
                Err(error) => context.send(Address::Client(member.client), Message::ShareRefused { store, error }),
            }
        }
    }

    /// Tells what became of records that were acquired, and gives what is available again to those who wait.
    fn changed<O: Observer>(
        &mut self,
        group: usize,
        index: usize,
        changes: &[Change],
        context: &mut Context<'_, P, O>,
    ) {
        self.shares.note_lock(group, index);
        // Where the start of the partition has moved, there may be room for new records.
        self.shares.groups[group].promising.insert(index);
        let HostedShare { config, stores, .. } = &self.shares.groups[group];
        let (application, store) = (config.application, stores[index]);
        let Some(place) = self.led(store) else { return };
        for Change { first, last, to } in changes {
            for (offset, record) in messages(&self.partitions[place].log, *first, *last) {
                let message = record.message;
                let archived = |cause| Event::Archived { message, store, offset, application, cause };
                context.observe(match to {
                    Turn::Available => Event::Released { message, store, offset, application },
                    Turn::Accepted => archived(Removal::Acked),
                    Turn::Rejected => archived(Removal::Rejected),
                    Turn::Exhausted => archived(Removal::DeliveryLimit),
                    // That there is no record, or not any more, is known already.
                    Turn::Gone => continue,
                });
            }
        }
        if !changes.is_empty() {
            self.wake_group(group, context);
        }
    }

    /// More of a partition may be read.
    pub(super) fn wake_members<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let store = self.partitions[place].store;
        for group in 0..self.shares.groups.len() {
            let hosted = &mut self.shares.groups[group];
            if let Some(index) = hosted.index(store) {
                hosted.promising.insert(index);
                self.wake_group(group, context);
            }
        }
    }

    /// Logs have new starts, so that there may be room for new records anywhere.
    pub(super) fn look_everywhere(&mut self) {
        for hosted in &mut self.shares.groups {
            hosted.promising.extend(0..hosted.stores.len());
        }
    }

    /// Answers those who have waited longest, as long as there is anything for them.
    fn wake_group<O: Observer>(&mut self, group: usize, context: &mut Context<'_, P, O>) {
        while let Some(found) = self.shares.waiting.iter().position(|waiting| waiting.group == group)
            && self.answer_member(self.shares.waiting[found], context)
        {
            self.shares.waiting.remove(found);
        }
    }

    /// Acquires records for a member and sends them. False where there are none.
    fn answer_member<O: Observer>(&mut self, fetch: Waiting, context: &mut Context<'_, P, O>) -> bool {
        let Waiting { group, member, correlation, max_records, .. } = fetch;
        let count = self.shares.groups[group].stores.len();
        let begin = self.shares.groups[group].first;
        let (mut partitions, mut left, mut bytes) = (Vec::new(), max_records, 0);
        // Once around, from where the last fetch has ended.
        let (mut from, mut until) = (begin, count);
        loop {
            let Some(index) = self.shares.groups[group].promising.range(from..until).next().copied() else {
                if until == begin {
                    break;
                }
                (from, until) = (0, begin);
                continue;
            };
            from = index + 1;
            if let Some(shared) = self.acquire(group, index, member, left, context) {
                let taken: u64 = shared.acquired.iter().map(|own| own.last.get() - own.first.get() + 1).sum();
                left = left.saturating_sub(taken.min(u64::from(u32::MAX)) as u32);
                bytes += shared.records.iter().map(|(_, record)| u64::from(record.size)).sum::<u64>();
                self.shares.groups[group].first = (index + 1) % count;
                partitions.push(shared);
            } else {
                self.shares.groups[group].promising.remove(&index);
            }
            if left == 0 || bytes >= u64::from(self.limits.max_bytes) {
                break;
            }
        }
        let any = !partitions.is_empty();
        if any {
            context.send(Address::Client(member.client), Message::ShareFetched { correlation, partitions });
        }
        any
    }

    /// Acquires records of one partition for a member.
    fn acquire<O: Observer>(
        &mut self,
        group: usize,
        index: usize,
        member: Member,
        most: u32,
        context: &mut Context<'_, P, O>,
    ) -> Option<SharedPartition<P>> {
        let store = self.shares.groups[group].stores[index];
        let log = &self.partitions[self.led(store)?].log;
        let hosted = &mut self.shares.groups[group];
        if hosted.partitions[index].is_none() {
            let offset = hosted.begins(context.now, log);
            context.observe(Event::ShareStarted { store, application: hosted.config.application, offset });
            hosted.partitions[index] = Some(SharePartition::new(hosted.config.rules, offset));
        }
        let share = hosted.partitions[index].as_mut().expect("it is there now");
        share.log_start_moved(log.log().start());
        let from = share.next_fetch_offset();
        if from >= log.high_watermark() || !share.can_acquire() {
            return None;
        }
        let found = batches(log, from, most, self.limits.max_partition_bytes);
        let acquired = share.acquire(context.now, member, most, &found);
        let mut records = Vec::new();
        for own in &acquired {
            records.extend(messages(log, own.first, own.last).map(|(offset, record)| (offset, record.envelope())));
        }
        self.shares.note_lock(group, index);
        (!acquired.is_empty()).then_some(SharedPartition { store, acquired, records })
    }

    /// How many records the share group of an application has still to do. Where nobody has come yet who could say how
    /// old is too old, all that is kept counts.
    pub(super) fn share_lag(&self, application: ApplicationId) -> u64 {
        let Some(hosted) = self.shares.index(application).map(|index| &self.shares.groups[index]) else { return 0 };
        let lag = |(index, store): (usize, &StoreId)| {
            let log = &self.partitions[self.led(*store)?].log;
            let unread = log.log().messages_from(hosted.first_untouched(Time::ZERO, index, log));
            let unfinished = hosted.partitions[index].iter().flat_map(SharePartition::unfinished);
            let unfinished = unfinished.map(|(first, last)| messages(log, first, last).count() as u64);
            Some(unread + unfinished.sum::<u64>())
        };
        hosted.stores.iter().enumerate().filter_map(lag).sum()
    }

    /// Tells what each share group has still to do: what somebody had in hand, and what nobody ever had.
    pub(super) fn share_census<O: Observer>(&self, context: &mut Context<'_, P, O>) {
        for hosted in &self.shares.groups {
            let application = hosted.config.application;
            for (index, &store) in hosted.stores.iter().enumerate() {
                let Some(place) = self.led(store) else { continue };
                let log = &self.partitions[place].log;
                for (first, last) in hosted.partitions[index].iter().flat_map(SharePartition::unfinished) {
                    for (_, record) in messages(log, first, last) {
                        context.observe(Event::Remaining { message: record.message, application });
                    }
                }
                let (from, until) = (hosted.first_untouched(context.now, index, log), log.log().end());
                context.observe(Event::RemainingRange { store, application, from, until });
            }
        }
    }

    /// The node goes down: nothing is acquired any more.
    pub(super) fn release_shares<O: Observer>(&self, context: &mut Context<'_, P, O>) {
        for hosted in &self.shares.groups {
            let application = hosted.config.application;
            let led = hosted.stores.iter().zip(&hosted.partitions);
            for (store, share) in led.filter_map(|(store, share)| Some((*store, share.as_ref()?))) {
                let Some(place) = self.led(store) else { continue };
                let held = share.in_flight().filter(|(_, state, _)| *state == RecordState::Acquired);
                for (offset, ..) in held {
                    for (offset, record) in messages(&self.partitions[place].log, offset, offset) {
                        let message = record.message;
                        context.observe(Event::Released { message, store, offset, application });
                    }
                }
            }
        }
    }

    /// The share groups of a node that comes back.
    pub(super) fn recover_shares(&mut self, durable: Vec<DurableShareGroup>) {
        for (group, DurableShareGroup(partitions)) in durable.into_iter().enumerate() {
            for (index, share) in partitions.into_iter().enumerate() {
                let Some(place) = self.led(self.shares.groups[group].stores[index]) else { continue };
                let end = self.partitions[place].log.log().end();
                let hosted = &mut self.shares.groups[group];
                let rules = hosted.config.rules;
                hosted.partitions[index] = share.map(|share| SharePartition::recover(share, rules, end));
            }
        }
    }
}

/// The messages that a partition has from one offset to another.
fn messages<P: Clone + Default>(
    log: &PartitionLog<P>,
    first: Offset,
    last: Offset,
) -> impl Iterator<Item = (Offset, &Record<P>)> {
    let until = last.min(Offset::new(log.log().end().get().saturating_sub(1)));
    let found = log.log().entries_from(first).take_while(move |(offset, _)| *offset <= until);
    found.filter(|(_, record)| record.kind.is_message())
}

/// First and last offsets of the batches from an offset on that consumers may read: as many as hold that many records,
/// within a size; the first always fits.
fn batches<P: Clone + Default>(
    log: &PartitionLog<P>,
    from: Offset,
    most: u32,
    max_bytes: u32,
) -> Vec<(Offset, Offset)> {
    let mut batches: Vec<(Offset, Offset)> = Vec::new();
    let (mut count, mut bytes) = (0, 0);
    let readable = log.log().entries_from(from).take_while(|(offset, _)| *offset < log.high_watermark());
    for (offset, record) in readable.filter(|(_, record)| record.kind.is_message()) {
        match batches.last_mut().filter(|_| !record.flags.begins_batch()) {
            Some((_, last)) => *last = offset,
            None if count >= most || (count > 0 && bytes >= u64::from(max_bytes)) => break,
            None => batches.push((offset, offset)),
        }
        count += 1;
        bytes += u64::from(record.size);
    }
    batches
}
