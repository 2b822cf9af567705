//! The part of a node that hosts partitions and coordinates groups.

mod adding;
mod fetches;
mod groups;
mod hosted;
mod leadership;
mod page_cache;
mod replication;
mod share;
mod streams;
mod transactions;
mod upkeep;

use std::cmp::Ordering;
use std::ops::Range;

use brokerlab_event::{ApplicationId, Bytes, ClientId, Event, NodeId, Observer, Offset, StoreId, Time};

use self::adding::Addition;
use self::fetches::{Fetches, WaitingFetch};
use self::groups::Groups;
use self::hosted::{Hosted, Leader, PendingAck, Role};
use self::page_cache::{Notes, PageCache};
use self::share::Shares;
use self::streams::Streams;
use self::transactions::Transactions;
use self::upkeep::Upkeep;
use super::Context;
use crate::config::{Acks, Deployment, FetchLimits, Isolation, TopicConfig};
use crate::log::{Crash, Entry};
use crate::message::{Address, Effect, FetchPosition, FetchedPartition, LogError, Message, PartitionLeader};
use crate::partition::{Appended, DurablePartition, PartitionLog, PartitionRules};
use crate::record::Batch;

/// No partition with this id is hosted here.
const ABSENT: u32 = u32::MAX;

/// Partitions, waiting fetches, and the groups that this node coordinates.
#[derive(Clone, Debug)]
pub struct LogSide<P> {
    limits: FetchLimits,
    partitions: Vec<Hosted<P>>,
    /// From the number of a store to its place in `partitions`.
    places: Vec<u32>,
    fetches: Fetches<P>,
    groups: Groups,
    transactions: Transactions,
    /// The topics as they were deployed.
    topics: Vec<TopicConfig>,
    /// What was added to topics since, in that order.
    additions: Vec<Addition>,
    upkeep: Upkeep,
    page_cache: PageCache,
    shares: Shares,
    streams: Streams,
    /// There is a controller, which says who leads. Otherwise this node does.
    is_controlled: bool,
    /// Who leads the partitions of the cluster, by the number of the store; nothing for queues, and where there is no
    /// controller.
    leaders: Vec<Option<PartitionLeader>>,
    /// Nodes that the controller counts on no more.
    fenced: Vec<NodeId>,
    /// When this node asks the leaders of its copies (again).
    replicate_at: Option<Time>,
    /// When it looks whether its followers lag.
    in_sync_check_at: Option<Time>,
    /// When something is due that is not a fetch: worked out anew only where that may have changed.
    rare_due: Time,
    /// Clients whose fetch an append has completed; kept for its memory.
    woken: Vec<ClientId>,
}

/// How far readers of either isolation may read.
#[derive(Clone, Copy)]
struct Readable {
    uncommitted: Offset,
    committed: Offset,
}

impl Readable {
    fn of<P: Clone>(log: &PartitionLog<P>) -> Readable {
        Readable { uncommitted: log.high_watermark(), committed: log.last_stable_offset() }
    }

    fn by(self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.uncommitted,
            Isolation::ReadCommitted => self.committed,
        }
    }
}

/// How many bytes readers of either isolation may read that they might not before; nothing where nobody has asked.
#[derive(Default)]
struct NewBytes {
    uncommitted: Option<u64>,
    committed: Option<u64>,
}

impl NewBytes {
    #[inline]
    fn of(&mut self, isolation: Isolation) -> &mut Option<u64> {
        match isolation {
            Isolation::ReadUncommitted => &mut self.uncommitted,
            Isolation::ReadCommitted => &mut self.committed,
        }
    }
}

/// What is left of a node's log side when the node has gone down.
#[derive(Clone, Debug)]
pub struct DurableLogs<P> {
    additions: Vec<Addition>,
    partitions: Vec<DurablePartition<P>>,
    page_cache: PageCache,
    notes: Notes,
}

impl<P: Clone + Default> LogSide<P> {
    /// What the deployment places on this node.
    pub fn new(node: NodeId, deployment: &Deployment) -> LogSide<P> {
        let (groups, transactions) = (Groups::new(node, deployment), Transactions::new(node, deployment));
        let (shares, streams) = (Shares::new(node, deployment), Streams::new(node, deployment));
        let blank = Notes {
            groups: groups.clone().crash(),
            transactions: transactions.clone().crash(),
            shares: shares.clone().crash(),
            streams: streams.clone().crash(),
        };
        let mut side = LogSide {
            limits: deployment.fetch,
            partitions: Vec::new(),
            places: Vec::new(),
            fetches: Fetches::default(),
            groups,
            transactions,
            topics: deployment.topics.clone(),
            additions: Vec::new(),
            upkeep: Upkeep::default(),
            page_cache: PageCache::new(deployment.page_cache, blank),
            shares,
            streams,
            is_controlled: deployment.nodes > 1,
            leaders: Vec::new(),
            fenced: Vec::new(),
            replicate_at: None,
            in_sync_check_at: None,
            rare_due: Time::MAX,
            woken: Vec::new(),
        };
        for topic in &deployment.topics {
            side.host(node, topic);
        }
        for stream in &deployment.streams {
            side.host(node, &stream.topic());
        }
        side.note_rare_due();
        side
    }

    fn host(&mut self, node: NodeId, topic: &TopicConfig) {
        let places = self.host_partitions(node, topic, 0, Time::ZERO);
        if !places.is_empty() {
            self.upkeep.add(topic, places);
        }
    }

    /// Partitions that begin empty, all copies in sync, the first of them numbered like this in their topic. Tells their
    /// places: none where they are not this node's.
    fn host_partitions(&mut self, node: NodeId, topic: &TopicConfig, number: u32, now: Time) -> Range<u32> {
        let first = self.partitions.len() as u32;
        for (number, store) in (number..).zip(&topic.partitions) {
            let replicas: Vec<NodeId> = topic.replication.replicas(number).collect();
            if self.is_controlled {
                self.learn_leader(PartitionLeader { store: *store, leader: replicas.first().copied(), epoch: 1 });
            }
            let mut log = PartitionLog::new(PartitionRules::from(topic));
            let role = match replicas.iter().position(|replica| *replica == node) {
                Some(0) => {
                    log.begin_epoch(1);
                    let followers: Vec<(NodeId, bool)> = replicas[1..].iter().map(|replica| (*replica, true)).collect();
                    if !followers.is_empty() {
                        self.in_sync_check_at = Some(now.saturating_add(topic.replication.replicas.check_interval()));
                    }
                    Role::Leader(Leader::new(topic.replication.replicas, &followers, Offset::ZERO, now))
                }
                Some(_) => {
                    log.follow(1);
                    self.replicate_at = Some(now);
                    Role::follower(Some(replicas[0]))
                }
                None => continue,
            };
            self.set_place(*store, self.partitions.len() as u32);
            self.partitions.push(Hosted::new(*store, log, role, topic));
        }
        first..self.partitions.len() as u32
    }

    /// True where this partition is hosted here.
    #[inline]
    pub fn hosts(&self, store: StoreId) -> bool {
        self.place(store).is_some()
    }

    fn set_place(&mut self, store: StoreId, place: u32) {
        if store.index() >= self.places.len() {
            self.places.resize(store.index() + 1, ABSENT);
        }
        self.places[store.index()] = place;
    }

    /// The place of a partition that is hosted here.
    #[inline]
    fn place(&self, store: StoreId) -> Option<usize> {
        self.places.get(store.index()).filter(|place| **place != ABSENT).map(|place| *place as usize)
    }

    /// The place of a partition that this node leads.
    #[inline]
    fn led(&self, store: StoreId) -> Option<usize> {
        self.place(store).filter(|place| self.partitions[*place].is_led())
    }

    /// A partition that is hosted here.
    pub fn partition(&self, store: StoreId) -> Option<&PartitionLog<P>> {
        self.place(store).map(|place| &self.partitions[place].log)
    }

    /// Handles a request of a client or another node, a report of the disk, or the end of a connection. What is left
    /// of the message means nothing.
    #[inline]
    pub fn handle<O: Observer>(&mut self, from: Address, message: &mut Message<P>, context: &mut Context<'_, P, O>) {
        match (from, message) {
            (Address::Client(client), Message::Fetch { correlation, isolation, positions, spare }) => {
                let (correlation, isolation, available) = (*correlation, *isolation, 0);
                let (positions, spare) = (std::mem::take(positions), std::mem::take(spare));
                self.fetch(client, WaitingFetch { correlation, isolation, positions, spare, available }, context);
            }
            (Address::Client(client), Message::Produce { store, correlation, acks, batch }) => {
                let batch = Batch { producer: batch.producer, records: std::mem::take(&mut batch.records) };
                self.produce(client, *store, *correlation, *acks, batch, context);
            }
            (Address::Client(_), Message::CommitOffsets { correlation, group, member, generation, offsets }) => {
                let offsets = std::mem::take(offsets);
                let due = self.groups.next_timeout();
                self.groups.commit(*correlation, *group, *member, *generation, offsets, context);
                if self.groups.next_timeout() != due {
                    self.note_rare_due();
                }
            }
            (from, message) => {
                self.handle_seldom(from, message.take(), context);
                self.note_rare_due();
            }
        }
    }

    /// Whatever does not come with every few records.
    #[inline(never)]
    fn handle_seldom<O: Observer>(&mut self, from: Address, message: Message<P>, context: &mut Context<'_, P, O>) {
        match (from, message) {
            (
                Address::Client(_),
                request @ (Message::ShareHeartbeat { .. }
                | Message::LeaveShareGroup { .. }
                | Message::ShareFetch { .. }
                | Message::ShareAcknowledge { .. }),
            ) => self.handle_share(request, context),
            (Address::Client(client), Message::FindPositions { group, stores, time }) => {
                let positions = self.find_positions(client, group, stores, time);
                context.send(Address::Client(client), Message::Positions { group, positions });
            }
            (Address::Client(client), Message::FindEpochEnds { positions }) => {
                let ends = positions.into_iter().filter_map(|position| self.epoch_end(position)).collect();
                context.send(Address::Client(client), Message::EpochEnds { ends });
            }
            (Address::Client(client), Message::FindPartitions { store }) => {
                let partitions = self.leaders_of(store, context.node);
                context.send(Address::Client(client), Message::Partitions { partitions });
            }
            (Address::Disk, Message::Written { store, until }) => self.written(store, until, context),
            (Address::Disk, Message::Flushed { store, until }) => self.flushed(store, until, context),
            (Address::Node(node), Message::ReplicaFetch { store, epoch, offset, last_epoch }) => {
                self.replica_fetch(node, store, epoch, (offset, last_epoch), context);
            }
            (Address::Node(_), Message::ReplicaFetched { store, epoch, answer, high_watermark }) => {
                self.replica_fetched(store, epoch, answer, high_watermark, context);
            }
            (Address::Controller, Message::PartitionsChanged { partitions, fenced }) => {
                self.nodes_changed(fenced, context);
                self.partitions_changed(&partitions, context);
            }
            (Address::Client(client), Message::Connect | Message::Disconnect | Message::ConnectionLost) => {
                self.forget_client(client);
                self.end_share_session(client, context);
                self.end_subscriptions(client, context);
            }
            (Address::Node(node), Message::ConnectionLost) => self.forget_node(node, context.now),
            (
                Address::Client(client),
                request @ (Message::InitProducerId { .. }
                | Message::AddPartitionsToTransaction { .. }
                | Message::AddOffsetsToTransaction { .. }
                | Message::CommitOffsetsInTransaction { .. }
                | Message::EndTransaction { .. }),
            ) => self.handle_transaction(client, request, context),
            (
                Address::Client(client),
                request @ (Message::PublishChunk { .. }
                | Message::SubscribeStream { .. }
                | Message::CreditStream { .. }
                | Message::StoreStreamOffset { .. }
                | Message::SteppedDown { .. }),
            ) => self.handle_stream(client, request, context),
            (Address::Client(_), request) => self.groups.handle(request, context),
            _ => {}
        }
    }

    /// Does what is due: waiting fetches, session timeouts, rebalances, retention, compaction, replication.
    pub fn handle_timeout<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        while let Some((client, fetch)) = self.fetches.pop_due(context.now) {
            self.answer(client, fetch, context);
        }
        if context.now < self.rare_due {
            return;
        }
        self.groups.handle_timeout(context);
        self.transactions_timeout(context);
        self.handle_share_timeout(context);
        self.keep_up(context);
        self.write_back(context);
        self.check_in_sync(context);
        if self.replicate_at.is_some_and(|at| at <= context.now) {
            self.replicate_at = None;
            self.ask_leaders(context);
        }
        self.note_rare_due();
    }

    /// When the next of these is due.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        debug_assert_eq!(self.rare_due, self.rare_timeout(), "something has changed unnoticed");
        let next = self.fetches.next_timeout().map_or(self.rare_due, |at| at.min(self.rare_due));
        (next < Time::MAX).then_some(next)
    }

    /// When anything but a fetch is due. There are a few topics at most, whose tasks are looked through.
    fn rare_timeout(&self) -> Time {
        let or_never = |at: Option<Time>| at.unwrap_or(Time::MAX);
        or_never(self.groups.next_timeout())
            .min(or_never(self.transactions.next_timeout()))
            .min(or_never(self.shares.next_timeout()))
            .min(or_never(self.replicate_at))
            .min(or_never(self.in_sync_check_at))
            .min(self.upkeep.next_timeout())
            .min(self.page_cache.next_timeout())
    }

    fn note_rare_due(&mut self) {
        self.rare_due = self.rare_timeout();
    }

    /// How many records a group has still to read of these logs.
    pub fn lag<'a>(&'a self, group: ApplicationId, log: impl Fn(StoreId) -> Option<&'a PartitionLog<P>>) -> u64 {
        let of_group = self.groups.read_by(group).map_or(0, |(index, stores)| {
            let unread = |(store, log): (StoreId, &PartitionLog<P>)| {
                log.log().messages_from(self.groups.first_unread(index, store, log))
            };
            stores.filter_map(|store| Some((store, log(store)?))).map(unread).sum()
        });
        of_group + self.share_lag(group) + self.stream_lag(group)
    }

    /// Partitions that are hosted here, led or not.
    pub fn partitions(&self) -> impl Iterator<Item = (StoreId, &PartitionLog<P>)> {
        self.partitions.iter().map(|hosted| (hosted.store, &hosted.log))
    }

    /// Tells what each group that is coordinated here has still to read, of the logs of all partitions.
    pub fn census<O: Observer>(&self, logs: &[(StoreId, &PartitionLog<P>)], context: &mut Context<'_, P, O>) {
        self.share_census(context);
        self.stream_census(context);
        for &(store, partition) in logs {
            let log = partition.log();
            for (application, isolation, mut from) in self.groups.remaining(store, partition) {
                // What readers of committed data are never given does not remain for them.
                if isolation == Isolation::ReadCommitted && !partition.producers().aborted().is_empty() {
                    for (until, _) in log.entries_from(from).filter(|(at, record)| partition.is_aborted(*at, record)) {
                        if from < until {
                            context.observe(Event::RemainingRange { store, application, from, until });
                        }
                        from = until.next();
                    }
                }
                let until = log.end();
                context.observe(Event::RemainingRange { store, application, from, until });
            }
        }
    }

    #[inline]
    fn produce<O: Observer>(
        &mut self,
        client: ClientId,
        store: StoreId,
        correlation: u32,
        acks: Acks,
        batch: Batch<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(place) = self.led(store) else {
            return refuse(client, store, correlation, acks, LogError::NotLeader, context);
        };
        let checked = match &batch.producer {
            Some(producer) if producer.transactional => self.check_transactional(context.now, store, producer),
            _ => Ok(()),
        };
        let hosted = &mut self.partitions[place];
        if acks == Acks::All && !hosted.has_enough_replicas() {
            return refuse(client, store, correlation, acks, LogError::NotEnoughReplicas, context);
        }
        let appended = match checked.and_then(|()| hosted.log.append(batch, context.now)) {
            Ok(appended) => appended,
            Err(error) => return refuse(client, store, correlation, acks, error, context),
        };
        if appended.is_duplicate {
            return self.acknowledge_duplicate(place, client, correlation, acks, appended, context);
        }
        if appended.begins_transaction {
            context.observe(Event::TransactionOpened { store, offset: appended.first, producer: client });
        }
        if appended.rolled {
            context.observe(Event::SegmentRolled { store, offset: appended.first });
        }
        for (offset, record) in hosted.log.log().entries_from(appended.first) {
            let (message, size) = (record.message, Bytes::new(record.size));
            context.observe(Event::Stored { message, store, offset, size });
        }
        let ack = PendingAck { client, correlation, first: appended.first, until: appended.end };
        match acks {
            Acks::None => {}
            Acks::Leader => hosted.until_written.push_back(ack),
            Acks::All => hosted.until_replicated.push_back(ack),
        }
        let (node, until) = (context.node, appended.end);
        if appended.rolled && self.page_cache.is_modelled() {
            // What a segment holds that is not appended to any more is flushed, in the background.
            context.out.push(Effect::Flush { node, store, until: appended.first });
        }
        let unflushed = until.get() - hosted.log.log().flushed().get();
        context.out.push(match unflushed >= hosted.flush_messages {
            true => Effect::Flush { node, store, until },
            false => Effect::Write { node, store, until },
        });
    }

    /// A batch that is there already is acknowledged like the first time, at once where that is safe already.
    fn acknowledge_duplicate<O: Observer>(
        &mut self,
        place: usize,
        client: ClientId,
        correlation: u32,
        acks: Acks,
        appended: Appended,
        context: &mut Context<'_, P, O>,
    ) {
        let hosted = &mut self.partitions[place];
        let (store, Appended { first, end, .. }) = (hosted.store, appended);
        for (offset, record) in hosted.log.log().entries_from(first).take_while(|(offset, _)| *offset < end) {
            context.observe(Event::Deduplicated { message: record.message, store, offset });
        }
        let ack = PendingAck { client, correlation, first, until: end };
        match acks {
            Acks::None => {}
            Acks::Leader if hosted.log.log().written() < end => hosted.until_written.push_back(ack),
            Acks::All if hosted.log.high_watermark() < end => hosted.until_replicated.push_back(ack),
            Acks::Leader | Acks::All => {
                context.send(Address::Client(client), Message::Produced { store, correlation, result: Ok(first) });
            }
        }
    }

    /// The disk has taken records into the page cache, which is where real logs stop, too: the operating system
    /// flushes in its own time, and copies on other nodes are what makes a record safe.
    #[inline]
    pub(super) fn written<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        let Some(place) = self.place(store) else { return };
        self.partitions[place].log.mark_written(until);
        match self.partitions[place].role {
            Role::Leader(_) => self.advanced(place, context),
            Role::Follower { .. } => self.copied(place, context),
        }
    }

    /// The disk has made records durable.
    pub fn flushed<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        let Some(place) = self.place(store) else { return };
        let hosted = &mut self.partitions[place];
        let before = hosted.log.log().flushed();
        hosted.log.mark_flushed(until);
        let (node, offset) = (context.node, hosted.log.log().flushed());
        if offset > before && hosted.is_led() {
            context.observe(Event::Flushed { node, store, offset });
        }
        self.written(store, until, context);
    }

    /// More of a partition is safe: answers whoever waited for that.
    fn advanced<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let before = Readable::of(&hosted.log);
        let moved = hosted.settle_high_watermark(context.now);
        while let Some((PendingAck { client, correlation, .. }, result)) = hosted.pop_safe() {
            let message = Message::Produced { store: hosted.store, correlation, result };
            context.send(Address::Client(client), message);
        }
        self.feed_followers(place, context);
        if moved {
            self.markers_safe(place);
            self.wake_readers(place, before, context);
            self.wake_members(place, context);
            self.wake_subscriptions(place, context);
        }
        if self.shares.any() {
            // Members that have waited may have acquired records.
            self.note_rare_due();
        }
    }

    /// Consumers may read more: answers the fetches that have enough now. Readers that have turned to other
    /// partitions are taken off the list here and put themselves on it again when they come back.
    fn wake_readers<O: Observer>(&mut self, place: usize, before: Readable, context: &mut Context<'_, P, O>) {
        let Hosted { store, log, readers, .. } = &mut self.partitions[place];
        let (min_bytes, woken, fetches) = (u64::from(self.limits.min_bytes), &mut self.woken, &mut self.fetches);
        // Most readers have read everything, and to all of these the same is new.
        let mut news = NewBytes::default();
        readers.retain(|client| {
            let Some(fetch) = fetches.of(*client) else { return true };
            let Some(position) = fetch.positions.iter().find(|other| other.store == *store) else { return false };
            let offset = &position.offset;
            let (before, until) = (before.by(fetch.isolation), log.readable_until(fetch.isolation));
            fetch.available += match before.cmp(offset) {
                Ordering::Less => log.size_between(*offset, until, min_bytes),
                _ => *news.of(fetch.isolation).get_or_insert_with(|| log.size_between(before, until, min_bytes)),
            };
            if fetch.available >= min_bytes {
                woken.push(*client);
            }
            true
        });
        let mut woken = std::mem::take(&mut self.woken);
        for client in woken.drain(..) {
            let fetch = self.fetches.take(client).expect("its fetch was found waiting just now");
            self.answer(client, fetch, context);
        }
        self.woken = woken;
    }

    #[inline]
    fn fetch<O: Observer>(&mut self, client: ClientId, mut fetch: WaitingFetch<P>, context: &mut Context<'_, P, O>) {
        if self.fetches.waits(client) {
            self.fetches.take(client);
        }
        let min_bytes = u64::from(self.limits.min_bytes);
        let (mut available, isolation) = (0, fetch.isolation);
        for &FetchPosition { store, epoch, offset } in &fetch.positions {
            available += match self.led(store).map(|place| &self.partitions[place].log) {
                // An error is answered at once, below.
                Some(log) if log.epoch() != epoch => min_bytes,
                // Most readers have read everything.
                Some(log) if log.readable_until(isolation) == offset => 0,
                Some(log) if log.is_in_range(offset) => {
                    log.size_between(offset, log.readable_until(isolation), min_bytes)
                }
                // An error is answered at once.
                _ => min_bytes,
            };
        }
        fetch.available = available;
        if available >= min_bytes {
            return self.answer(client, fetch, context);
        }
        for position in &fetch.positions {
            let place = self.led(position.store).expect("looked up just above");
            let readers = &mut self.partitions[place].readers;
            if !readers.contains(&client) {
                readers.push(client);
            }
        }
        self.fetches.wait(context.now, client, fetch, &self.limits);
    }

    fn answer<O: Observer>(&mut self, client: ClientId, fetch: WaitingFetch<P>, context: &mut Context<'_, P, O>) {
        let WaitingFetch { correlation, isolation, positions, spare: mut partitions, .. } = fetch;
        let mut said = 0;
        let mut left = u64::from(self.limits.max_bytes);
        for &FetchPosition { store, epoch, offset } in &positions {
            let refused = match self.led(store) {
                None => Some(LogError::NotLeader),
                Some(place) => match self.partitions[place].log.epoch().cmp(&epoch) {
                    Ordering::Less => Some(LogError::NotLeader), // it has still to hear that another leads
                    Ordering::Equal => None,
                    Ordering::Greater => Some(LogError::FencedLeaderEpoch),
                },
            };
            if let Some(error) = refused {
                let (records, high_watermark, next) = (Err(error), Offset::ZERO, offset);
                say(&mut partitions, &mut said, FetchedPartition { store, records, high_watermark, next });
                continue;
            }
            let place = self.led(store).expect("looked up just above");
            let log = &self.partitions[place].log;
            if log.readable_until(isolation) == offset {
                continue;
            }
            let most = u64::from(self.limits.max_partition_bytes).min(left) as u32;
            let spare = partitions.get_mut(said).and_then(|spare| spare.records.as_mut().ok());
            let mut found = spare.map(std::mem::take).unwrap_or_default();
            found.clear();
            let (records, next) = match log.fetch_into(&mut found, offset, most, isolation) {
                Ok(next) => (Ok(found), next),
                Err(error) => (Err(error), offset),
            };
            if let Ok(records) = &records {
                let bytes: u64 = records.iter().map(|(_, record)| record.bytes()).sum();
                // The first record of an answer always fits, so that readers get on; those of further partitions wait
                // for another fetch.
                if next == offset || (bytes > left && said > 0) {
                    continue;
                }
                left = left.saturating_sub(bytes);
            }
            let high_watermark = log.high_watermark();
            say(&mut partitions, &mut said, FetchedPartition { store, records, high_watermark, next });
        }
        partitions.truncate(said);
        let (from, to) = (Address::Node(context.node), Address::Client(client));
        let place = context.out.place();
        place.fill(Effect::Send { from, to, message: Message::Fetched { correlation, partitions, positions } });
    }

    /// Where the epoch ended here in which a reader came to its position, with the epoch that it is now.
    fn epoch_end(&self, position: FetchPosition) -> Option<FetchPosition> {
        let log = &self.partitions[self.led(position.store)?].log;
        if position.epoch > log.epoch() {
            return None; // this node has still to hear that another leads
        }
        let offset = log.log().end_of_epoch(position.epoch);
        Some(FetchPosition { store: position.store, epoch: log.epoch(), offset })
    }

    /// The connection of a client is gone, or a new one begins: nobody waits for answers any more. Memberships
    /// stay until their session ends.
    fn forget_client(&mut self, client: ClientId) {
        self.fetches.take(client);
        for hosted in &mut self.partitions {
            hosted.until_written.retain(|ack| ack.client != client);
            hosted.until_replicated.retain(|ack| ack.client != client);
        }
    }

    /// What survives when the node goes down.
    pub fn crash<O: Observer>(self, kind: Crash, context: &mut Context<'_, P, O>) -> DurableLogs<P> {
        self.release_shares(context);
        // In a cluster, what is left of a partition shows once somebody leads it.
        let alone = self.partitions.iter().filter(|hosted| hosted.is_led() && !self.is_controlled);
        for hosted in alone {
            let (log, store) = (hosted.log.log(), hosted.store);
            let end = log.kept_by(kind).min(log.end());
            if end < log.end() {
                context.observe(Event::Truncated { store, end });
            }
        }
        let latest = self.look(context.now);
        let (page_cache, notes) = self.page_cache.crash(kind, latest);
        let partitions = self.partitions.into_iter().map(|hosted| hosted.log.crash(kind)).collect();
        DurableLogs { additions: self.additions, partitions, page_cache, notes }
    }

    /// The log side of a node that comes back. Alone it leads again, in a new epoch; in a cluster it waits to be told
    /// who does.
    pub fn recover(node: NodeId, deployment: &Deployment, now: Time, durable: DurableLogs<P>) -> LogSide<P> {
        let mut side = LogSide::new(node, deployment);
        for addition in &durable.additions {
            side.extend_topic(node, addition, now);
        }
        assert_eq!(side.partitions.len(), durable.partitions.len(), "a node comes back to its own deployment");
        for (hosted, durable) in side.partitions.iter_mut().zip(durable.partitions) {
            hosted.log = PartitionLog::recover(durable);
            if side.is_controlled {
                hosted.role = Role::follower(None);
            } else {
                hosted.log.begin_epoch(hosted.log.epoch() + 1);
                hosted.settle_high_watermark(now);
            }
        }
        (side.replicate_at, side.in_sync_check_at) = (None, None);
        side.leaders.clear();
        side.recover_page_cache(now, durable.page_cache);
        let Notes { groups, transactions, shares, streams } = durable.notes;
        side.groups.recover(now, groups);
        side.transactions.recover(now, transactions, &side.partitions);
        side.recover_shares(shares);
        side.recover_streams(streams);
        side.upkeep.restart(now);
        side.note_rare_due();
        side
    }
}

/// Adds to what an answer says, in the place of what stands there from an earlier one.
#[inline]
fn say<P>(partitions: &mut Vec<FetchedPartition<P>>, said: &mut usize, partition: FetchedPartition<P>) {
    match partitions.get_mut(*said) {
        Some(place) => *place = partition,
        None => partitions.push(partition),
    }
    *said += 1;
}

fn refuse<P, O: Observer>(
    client: ClientId,
    store: StoreId,
    correlation: u32,
    acks: Acks,
    error: LogError,
    context: &mut Context<'_, P, O>,
) {
    if acks != Acks::None {
        context.send(Address::Client(client), Message::Produced { store, correlation, result: Err(error) });
    }
}
