//! The streams that a node leads: chunks that are appended, readers that they are sent to, and what is noted of both.
//!
//! A subscription is sent chunks for as long as it has credit. Consumers that share a name take turns; the others read
//! everything. Confirms wait for the copies and not for a disk.

use std::collections::BTreeMap;

use brokerlab_event::{ApplicationId, Bytes, ClientId, Event, NodeId, Observer, Offset, StoreId, Time};

use super::hosted::{Hosted, PendingAck};
use super::{ABSENT, LogSide, refuse};
use crate::config::{Acks, ConsumerKind, Deployment, ReaderName, SeekTo, StreamConfig, StreamCredit, StreamOffset};
use crate::message::{Address, Effect, Envelope, LogError, Message};
use crate::node::Context;
use crate::partition::PartitionLog;
use crate::record::Batch;
use crate::stream::{ConsumerTurn, SEGMENT_CHUNKS, SingleActive, StreamRules, Tracking};

/// A reader that is connected.
#[derive(Clone, Debug)]
struct Subscription {
    client: ClientId,
    reader: ReaderName,
    from: StreamOffset,
    tracked: bool,
    limit: StreamCredit,
    /// What is left of it.
    credit: u32,
    /// Where it began, and what it is sent next; nothing while somebody else reads under its name.
    reads: Option<(Offset, Offset)>,
    /// Somebody has sent it elsewhere, and it has not subscribed anew.
    is_sought: bool,
}

/// A stream, or a partition of a super stream.
#[derive(Clone, Debug)]
struct HostedStream {
    store: StoreId,
    /// Of a super stream: its number.
    partition: Option<u32>,
    rules: StreamRules,
    tracking: Tracking,
    subscriptions: Vec<Subscription>,
    active: BTreeMap<ReaderName, SingleActive>,
    /// Chunks in the segment that is being written.
    chunks: u32,
    /// Everybody who may ever read it, and where they begin.
    readers: Vec<(ReaderName, StreamOffset)>,
}

/// The streams of a node.
#[derive(Clone, Debug)]
pub(super) struct Streams {
    streams: Vec<HostedStream>,
    /// From the number of a store to its place in `streams`.
    places: Vec<u32>,
}

impl Streams {
    pub fn new(node: NodeId, deployment: &Deployment) -> Streams {
        let here = deployment.streams.iter().filter(|config| config.node == node);
        let hosted = here.flat_map(|config| (0..).zip(&config.partitions).map(move |part| (config, part)));
        let streams: Vec<_> =
            hosted.map(|(config, (number, store))| HostedStream::new(config, number, *store, deployment)).collect();
        let mut places = Vec::new();
        for (place, stream) in (0..).zip(&streams) {
            let index = stream.store.index();
            places.resize(places.len().max(index + 1), ABSENT);
            places[index] = place;
        }
        Streams { streams, places }
    }

    #[inline]
    fn index(&self, store: StoreId) -> Option<usize> {
        self.places.get(store.index()).filter(|place| **place != ABSENT).map(|place| *place as usize)
    }

    pub fn crash(self) -> Vec<Tracking> {
        self.streams.into_iter().map(|stream| stream.tracking).collect()
    }
}

impl HostedStream {
    fn new(config: &StreamConfig, number: u32, store: StoreId, deployment: &Deployment) -> HostedStream {
        let mut readers: Vec<(ReaderName, StreamOffset)> = Vec::new();
        for consumer in &deployment.consumers {
            if let ConsumerKind::Stream(own) = &consumer.kind
                && own.partitions.contains(&store)
            {
                readers.push((own.reader(consumer.application, consumer.client), own.from));
            }
        }
        readers.sort_by_key(|(reader, _)| *reader);
        readers.dedup_by_key(|(reader, _)| *reader);
        HostedStream {
            store,
            partition: config.is_super.then_some(number),
            rules: config.rules,
            tracking: Tracking::default(),
            subscriptions: Vec::new(),
            active: BTreeMap::new(),
            chunks: 0,
            readers,
        }
    }

    fn subscription(&mut self, client: ClientId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.client == client)
    }

    /// Where a reader of this name would go on: where it has got to as far as anybody has noted, or where it begins.
    fn first_unread<P: Clone>(
        &self,
        reader: ReaderName,
        from: StreamOffset,
        log: &PartitionLog<P>,
        now: Time,
    ) -> Offset {
        let reads = || {
            let own = self.subscriptions.iter().filter(|subscription| subscription.reader == reader);
            own.filter_map(|subscription| subscription.reads).map(|(begun, _)| begun).next()
        };
        let noted = self.tracking.stored(reader);
        let begun = noted.map(|next| log.stream_offset(StreamOffset::Offset(next), now)).or_else(reads);
        begun.unwrap_or_else(|| log.stream_offset(from, now)).max(log.log().start())
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// Handles what publishers and readers of streams ask.
    pub(super) fn handle_stream<O: Observer>(
        &mut self,
        client: ClientId,
        request: Message<P>,
        context: &mut Context<'_, P, O>,
    ) {
        match request {
            Message::PublishChunk { store, correlation, deduplicate, messages } => {
                self.publish_chunk(client, store, correlation, deduplicate, messages, context);
            }
            Message::SubscribeStream { store, reader, from, tracked, credit } => {
                let (limit, credit, reads, is_sought) = (credit, 0, None, false);
                let own = Subscription { client, reader, from, tracked, limit, credit, reads, is_sought };
                self.subscribe(store, own, context);
            }
            Message::CreditStream { store, count } => {
                let Some(index) = self.streams.index(store) else { return };
                if let Some(subscription) = self.streams.streams[index].subscription(client) {
                    subscription.credit = subscription.credit.saturating_add(count);
                }
                self.feed(index, context);
            }
            Message::StoreStreamOffset { store, reader, offset } => {
                let Some(index) = self.streams.index(store) else { return };
                let stream = &mut self.streams.streams[index];
                // Whoever was sent elsewhere does not know of it yet.
                if stream.subscription(client).is_some_and(|own| !own.is_sought) {
                    stream.tracking.store(reader, offset.next());
                }
            }
            Message::SteppedDown { store, reader } => {
                let Some(index) = self.streams.index(store) else { return };
                let active = self.streams.streams[index].active.get_mut(&reader);
                let turn = active.and_then(|active| active.stepped_down(client));
                self.take_turns(index, turn, context);
            }
            _ => {}
        }
    }

    fn publish_chunk<O: Observer>(
        &mut self,
        client: ClientId,
        store: StoreId,
        correlation: u32,
        deduplicate: bool,
        mut messages: Vec<Envelope<P>>,
        context: &mut Context<'_, P, O>,
    ) {
        let (Some(place), Some(index)) = (self.led(store), self.streams.index(store)) else {
            return refuse(client, store, correlation, Acks::All, LogError::NotLeader, context);
        };
        let (hosted, stream) = (&mut self.partitions[place], &mut self.streams.streams[index]);
        messages.retain(|envelope| {
            let known = stream.tracking.duplicate(client, envelope.message).filter(|_| deduplicate);
            if let Some(offset) = known {
                context.observe(Event::Deduplicated { message: envelope.message, store, offset });
            }
            known.is_none()
        });
        let first = hosted.log.log().end();
        if !messages.is_empty() {
            append_chunk(hosted, stream, messages, context);
        }
        let until = hosted.log.log().end();
        hosted.until_replicated.push_back(PendingAck { client, correlation, first, until });
        // What is safe already is confirmed with the rest of what is written now.
        context.out.push(Effect::Write { node: context.node, store, until });
    }

    fn subscribe<O: Observer>(&mut self, store: StoreId, own: Subscription, context: &mut Context<'_, P, O>) {
        let Some(index) = self.streams.index(store) else { return };
        let stream = &mut self.streams.streams[index];
        let (client, reader, partition) = (own.client, own.reader, stream.partition);
        let again = stream.subscription(client).map(|former| former.reads.is_some());
        match stream.subscription(client) {
            Some(former) => *former = own,
            None => stream.subscriptions.push(own),
        }
        let turn = match again {
            Some(reads) => reads.then_some(ConsumerTurn::Activate(client)),
            None if reader.consumer.is_some() => Some(ConsumerTurn::Activate(client)),
            None => stream.active.entry(reader).or_insert_with(|| SingleActive::new(partition)).join(client),
        };
        self.take_turns(index, turn, context);
    }

    /// The connection of a client is gone, or a new one begins: it reads nothing any more.
    pub(super) fn end_subscriptions<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        for index in 0..self.streams.streams.len() {
            let stream = &mut self.streams.streams[index];
            let Some(at) = stream.subscriptions.iter().position(|own| own.client == client) else { continue };
            let Subscription { reader, .. } = stream.subscriptions.remove(at);
            let turn = stream.active.get_mut(&reader).and_then(|active| active.leave(client));
            self.take_turns(index, turn, context);
        }
    }

    /// Tells a consumer whose turn it is, or is not any more.
    fn take_turns<O: Observer>(&mut self, index: usize, turn: Option<ConsumerTurn>, context: &mut Context<'_, P, O>) {
        let Some(turn) = turn else { return };
        let (ConsumerTurn::Activate(client) | ConsumerTurn::StepDown(client)) = turn;
        let stream = &mut self.streams.streams[index];
        let (store, place) = (stream.store, self.led(self.streams.streams[index].store));
        let (Some(place), stream) = (place, &mut self.streams.streams[index]) else { return };
        let stored = |own: &Subscription| stream.tracking.stored(own.reader).filter(|_| own.tracked);
        let Some(at) = stream.subscriptions.iter().position(|own| own.client == client) else { return };
        if turn == ConsumerTurn::StepDown(client) {
            stream.subscriptions[at].reads = None;
            return context.send(Address::Client(client), Message::StepDown { store });
        }
        let own = &stream.subscriptions[at];
        let from = stored(own).map_or(own.from, StreamOffset::Offset);
        let offset = self.partitions[place].log.stream_offset(from, context.now);
        let own = &mut stream.subscriptions[at];
        let (StreamCredit::Chunks(credit) | StreamCredit::Messages(credit)) = own.limit;
        (own.reads, own.credit) = (Some((offset, offset)), credit);
        context.send(Address::Client(client), Message::StreamStarted { store, offset });
        self.feed(index, context);
    }

    /// Somebody sends all readers of an application elsewhere.
    pub(super) fn seek_streams(&mut self, now: Time, application: ApplicationId, to: SeekTo) {
        let from = match to {
            SeekTo::Earliest => StreamOffset::First,
            SeekTo::Latest => StreamOffset::Next,
            SeekTo::Time(time) => StreamOffset::Time(time),
            SeekTo::Offset(offset) => StreamOffset::Offset(offset),
        };
        for index in 0..self.streams.streams.len() {
            let Some(place) = self.led(self.streams.streams[index].store) else { continue };
            let offset = self.partitions[place].log.stream_offset(from, now);
            let HostedStream { tracking, readers, subscriptions, .. } = &mut self.streams.streams[index];
            for (reader, _) in readers.iter().filter(|(reader, _)| reader.application == application) {
                tracking.store(*reader, offset);
            }
            for own in subscriptions.iter_mut().filter(|own| own.reader.application == application) {
                own.is_sought = true;
            }
        }
    }

    /// More of a stream may be read.
    pub(super) fn wake_subscriptions<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        if let Some(index) = self.streams.index(self.partitions[place].store) {
            self.feed(index, context);
        }
    }

    /// Sends to every subscription what there is for it, as far as its credit goes.
    fn feed<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let store = self.streams.streams[index].store;
        let Some(place) = self.led(store) else { return };
        let log = &self.partitions[place].log;
        for own in &mut self.streams.streams[index].subscriptions {
            while let Some((_, position)) = &mut own.reads
                && own.credit > 0
            {
                // Retention does not wait for readers.
                *position = (*position).max(log.log().start());
                let most = match own.limit {
                    StreamCredit::Chunks(_) => usize::MAX,
                    StreamCredit::Messages(_) => own.credit as usize,
                };
                let chunk = log.chunk(*position).take(most);
                let messages: Vec<_> = chunk.map(|(offset, record)| (offset, record.envelope())).collect();
                let Some((last, _)) = messages.last() else { break };
                *position = last.next();
                own.credit -= match own.limit {
                    StreamCredit::Chunks(_) => 1,
                    StreamCredit::Messages(_) => messages.len() as u32,
                };
                context.send(Address::Client(own.client), Message::DeliverChunk { store, messages });
            }
        }
    }

    /// For each application that reads streams: stream, and the first offset that one of its readers has not read.
    fn unread(&self, now: Time) -> impl Iterator<Item = (ApplicationId, StoreId, Offset, Offset)> + use<'_, P> {
        self.streams.streams.iter().flat_map(move |stream| {
            let log = self.led(stream.store).map(|place| &self.partitions[place].log);
            let of_one = stream.readers.chunk_by(|(one, _), (other, _)| one.application == other.application);
            of_one.filter_map(move |readers| {
                let log = log?;
                let first = readers.iter().map(|(reader, from)| stream.first_unread(*reader, *from, log, now));
                Some((readers[0].0.application, stream.store, first.min()?, log.log().end()))
            })
        })
    }

    /// How many messages of streams an application has still to read, as far as the broker knows.
    pub(super) fn stream_lag(&self, application: ApplicationId) -> u64 {
        let own = self.unread(Time::ZERO).filter(|(reader, ..)| *reader == application);
        own.map(|(_, _, from, until)| until.get().saturating_sub(from.get())).sum()
    }

    /// Tells what each application has still to read of streams.
    pub(super) fn stream_census<O: Observer>(&self, context: &mut Context<'_, P, O>) {
        for (application, store, from, until) in self.unread(context.now) {
            context.observe(Event::RemainingRange { store, application, from, until });
        }
    }

    /// The streams of a node that comes back.
    pub(super) fn recover_streams(&mut self, durable: Vec<Tracking>) {
        for (index, tracking) in durable.into_iter().enumerate() {
            let Some(place) = self.led(self.streams.streams[index].store) else { continue };
            let (log, stream) = (&self.partitions[place].log, &mut self.streams.streams[index]);
            stream.tracking = tracking;
            stream.tracking.recover(log);
            let active = log.log().active().entries().iter();
            stream.chunks = active.filter(|record| record.flags.begins_batch()).count() as u32;
        }
    }
}

/// Appends a chunk, in a new segment where the last one is full; older ones may have to go then.
fn append_chunk<P: Clone + Default, O: Observer>(
    hosted: &mut Hosted<P>,
    stream: &mut HostedStream,
    mut messages: Vec<Envelope<P>>,
    context: &mut Context<'_, P, O>,
) {
    let (store, now) = (stream.store, context.now);
    let active = hosted.log.log().active();
    let is_full = active.bytes() >= stream.rules.max_segment_size_bytes || stream.chunks >= SEGMENT_CHUNKS;
    if is_full && hosted.log.roll(now) {
        stream.chunks = 0;
        context.observe(Event::SegmentRolled { store, offset: hosted.log.log().end() });
    }
    // A chunk bears the time at which the broker wrote it.
    for envelope in &mut messages {
        envelope.timestamp = now;
    }
    let appended = hosted.log.append(Batch::from(messages), now).expect("a stream refuses nothing by size or time");
    stream.chunks += 1;
    for (offset, record) in hosted.log.log().entries_from(appended.first) {
        let (message, size) = (record.message, Bytes::new(record.size));
        context.observe(Event::Stored { message, store, offset, size });
        stream.tracking.published(record.sender, message, offset);
    }
    if stream.chunks == 1 {
        for (until, cause) in hosted.log.cut_back(&stream.rules, now).trimmed {
            context.observe(Event::Trimmed { store, until, cause });
        }
    }
}
