//! Streams: stories of a node, its publishers and its readers, and long random runs against a naive list of messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_broker::client::{StreamConsumer, StreamPublisher};
use brokerlab_broker::config::{
    ConsumerConfig, ConsumerKind, Deployment, OffsetTracking, ProducerConfig, ProducerKind, SeekTo, StreamConfig,
    StreamConsumerConfig, StreamCredit, StreamOffset, StreamPublisherConfig,
};
use brokerlab_broker::log::Crash;
use brokerlab_broker::stream::StreamRules;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{
    ApplicationId, ClientId, Distribution, Duration, Event, EventLog, FailureLaw, Generator, KeyId, MessageId, NodeId,
    Offset, StoreId, Stream, Time, WorkLaw,
};

use crate::rig::{Plan, ms, secs};

const NODE: fn() -> NodeId = || NodeId::new(0);
/// The only producer; readers follow it in number.
const PRODUCER: usize = 0;

/// What a story may choose.
#[derive(Clone)]
struct Choice {
    partitions: u32,
    readers: u32,
    rules: StreamRules,
    publisher: StreamPublisherConfig,
    reader: StreamConsumerConfig,
    work: Duration,
    poison: u32,
}

impl Default for Choice {
    fn default() -> Choice {
        let publisher = StreamPublisherConfig { batch_size: 2, ..StreamPublisherConfig::new(Vec::new()) };
        let reader = StreamConsumerConfig {
            partitions: Vec::new(),
            from: StreamOffset::First,
            credit: StreamCredit::Chunks(1),
            single_active_consumer: true,
            tracking: Some(OffsetTracking { every: 2, interval: secs(100) }),
            max_attempts: 2,
        };
        let rules = StreamRules { max_segment_size_bytes: 400, ..StreamRules::default() };
        Choice { partitions: 1, readers: 1, rules, publisher, reader, work: secs(1), poison: 0 }
    }
}

/// A stream on one node, its publisher and its readers, who are joined to it without delay.
struct Rig {
    now: Time,
    deployment: Deployment,
    node: Node<()>,
    publisher: StreamPublisher<()>,
    readers: Vec<StreamConsumer>,
    /// By client: it runs and is connected.
    up: Vec<bool>,
    events: EventLog,
    out: Outbox<()>,
    offered: u64,
}

impl Choice {
    fn rig(self) -> Rig {
        let mut deployment = Plan { partitions: 1, members: 0, ..Plan::default() }.deployment();
        (deployment.groups, deployment.topics) = (Vec::new(), Vec::new());
        let partitions: Vec<StoreId> = (0..self.partitions).map(StoreId::new).collect();
        let is_super = self.partitions > 1;
        deployment.streams =
            vec![StreamConfig { partitions: partitions.clone(), is_super, node: NODE(), rules: self.rules }];
        let publisher = StreamPublisherConfig { partitions: partitions.clone(), ..self.publisher };
        let kind = ProducerKind::Stream(publisher);
        deployment.producers = vec![ProducerConfig { client: ClientId::new(0), node: NODE(), kind }];
        let own = StreamConsumerConfig { partitions, ..self.reader };
        let failures = FailureLaw { poison: self.poison, transient: 0, stream: Stream::new(1, "failures") };
        let config = |number: u32| ConsumerConfig {
            client: ClientId::new(number),
            name: "audit".into(),
            application: ApplicationId::new(0),
            node: NODE(),
            work: WorkLaw {
                distribution: Distribution::Constant(self.work.as_secs_f64()),
                stream: Stream::new(1, "work"),
            },
            failures: (self.poison > 0).then_some(failures),
            answers: false,
            kind: ConsumerKind::Stream(own.clone()),
        };
        deployment.consumers = (1..=self.readers).map(config).collect();
        // Keys are numbered like the partitions that they go to, whatever their bytes.
        let hashes: Arc<[u32]> = (0..self.partitions).collect();
        let mut rig = Rig {
            now: Time::ZERO,
            node: Node::new(NODE(), &deployment),
            publisher: StreamPublisher::new(&deployment.producers[0], hashes),
            readers: deployment.consumers.iter().map(StreamConsumer::new).collect(),
            up: vec![false; self.readers as usize + 1],
            deployment,
            events: EventLog::default(),
            out: Outbox::default(),
            offered: 0,
        };
        rig.up[PRODUCER] = true;
        rig.publisher.start(rig.now, &mut rig.out, &mut rig.events);
        rig.settle();
        rig
    }
}

impl Rig {
    /// Offers this many messages of 100 bytes, dealt to the partitions in turn.
    fn offer(&mut self, count: u64) -> &mut Rig {
        for _ in 0..count {
            let partitions = self.deployment.streams[0].partitions.len() as u64;
            let envelope = Envelope {
                message: MessageId::new(self.offered),
                key: KeyId::new((self.offered % partitions) as u32),
                size: 100,
                timestamp: self.now,
                sender: ClientId::new(0),
                tombstone: false,
                payload: (),
            };
            self.offered += 1;
            let mut offer = Message::Offer { kind: 0, envelope };
            self.publisher.handle(self.now, &mut offer, &mut self.out, &mut self.events);
            self.settle();
        }
        self
    }

    fn start(&mut self, number: usize) -> &mut Rig {
        self.up[number] = true;
        self.readers[number - 1].start(self.now, &mut self.out, &mut self.events);
        self.settle();
        self
    }

    fn crash(&mut self, number: usize) -> &mut Rig {
        self.up[number] = false;
        self.readers[number - 1].crash(self.now, &mut self.events);
        self.tell_node(number, Message::ConnectionLost);
        self
    }

    fn leave(&mut self, number: usize) -> &mut Rig {
        self.readers[number - 1].leave(self.now, &mut self.out, &mut self.events);
        self.settle();
        self.up[number] = false;
        self
    }

    /// The connection of a client breaks, with what is under way on it.
    fn cut(&mut self, number: usize) -> &mut Rig {
        self.up[number] = false;
        self.tell_node(number, Message::ConnectionLost);
        self.tell_client(number, Message::ConnectionBroken { node: NodeId::new(0) });
        self
    }

    fn reconnect(&mut self, number: usize) -> &mut Rig {
        self.up[number] = true;
        self.tell_client(number, Message::ConnectionRestored { node: NodeId::new(0) });
        self
    }

    fn seek(&mut self, number: usize, to: SeekTo) -> &mut Rig {
        self.node.seek(self.now, ApplicationId::new(0), to);
        self.readers[number - 1].ask_where(&mut self.out);
        self.settle();
        self
    }

    fn restart_node(&mut self, kind: Crash) -> &mut Rig {
        let node = std::mem::replace(&mut self.node, Node::new(NODE(), &self.deployment));
        self.node = Node::recover(self.now, node.crash(self.now, kind, &mut self.events), &self.deployment);
        self
    }

    fn tell_node(&mut self, number: usize, message: Message<()>) {
        let from = Address::Client(ClientId::new(number as u32));
        self.node.handle_message(self.now, from, message, &mut self.out, &mut self.events);
        self.settle();
    }

    fn tell_client(&mut self, number: usize, mut message: Message<()>) {
        let (now, out, events) = (self.now, &mut self.out, &mut self.events);
        match number {
            PRODUCER => self.publisher.handle(now, &mut message, out, events),
            reader => self.readers[reader - 1].handle(now, &mut message, out, events),
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { from: Address::Client(client), message, .. } if !self.up[client.index()] => {
                    assert!(!matches!(message, Message::PublishChunk { .. }), "it knows that nobody hears it");
                }
                Effect::Send { from, to: Address::Node(_), message } => {
                    self.node.handle_message(self.now, from, message, &mut self.out, &mut self.events);
                }
                Effect::Send { to: Address::Client(client), message, .. } if self.up[client.index()] => {
                    self.tell_client(client.index(), message);
                }
                Effect::Send { .. } => {}
                Effect::Write { store, until, .. } => {
                    self.node.handle_written(self.now, store, until, &mut self.out, &mut self.events);
                }
                Effect::Flush { .. } => panic!("streams leave flushing to the operating system"),
            }
        }
    }

    /// Lets this much time pass.
    fn run(&mut self, duration: Duration) -> &mut Rig {
        let until = self.now + duration;
        for _ in 0..1_000_000 {
            let readers = self.readers.iter().filter_map(StreamConsumer::next_timeout);
            let next = readers.chain(self.publisher.next_timeout()).min().filter(|at| *at <= until);
            let Some(at) = next else {
                self.now = until;
                return self;
            };
            self.now = self.now.max(at);
            self.publisher.handle_timeout(self.now, &mut self.out, &mut self.events);
            for reader in &mut self.readers {
                reader.handle_timeout(self.now, &mut self.out, &mut self.events);
            }
            self.settle();
        }
        panic!("a million timeouts within {duration}: something does not move on");
    }

    /// The numbers of the messages that a reader has processed, in order.
    fn processed_by(&self, number: u32) -> Vec<u64> {
        let own = self.events.records().iter().filter_map(|record| match record.event() {
            Event::Processed { message, consumer, .. } if consumer == ClientId::new(number) => Some(message.get()),
            _ => None,
        });
        own.collect()
    }

    fn count(&self, name: &str) -> usize {
        self.events.records().iter().filter(|record| record.event().name() == name).count()
    }

    /// What is told of the stores in events of this name: store and offset.
    fn offsets(&self, name: &str) -> Vec<(u32, u64)> {
        let events = self.events.records().iter().map(|record| record.event());
        let place = |event: Event| match event {
            Event::Assigned { store, offset, .. }
            | Event::Sought { store, offset, .. }
            | Event::Committed { store, offset, .. }
            | Event::SegmentRolled { store, offset }
            | Event::Trimmed { store, until: offset, .. } => (store.get(), offset.get()),
            other => panic!("{other:?} tells of no offset"),
        };
        events.filter(|event| event.name() == name).map(place).collect()
    }

    fn remaining(&mut self) -> Vec<(u64, u64)> {
        let before = self.events.len();
        self.node.census(self.now, &crate::rig::header(), &[], &[], &mut self.events);
        let told = self.events.records()[before..].iter().map(|record| record.event());
        let range = |event| match event {
            Event::RemainingRange { from, until, .. } => Some((from.get(), until.get())),
            _ => None,
        };
        told.filter_map(range).collect()
    }
}

#[test]
fn messages_are_gathered_confirmed_and_read_by_whoever_comes_late() {
    let mut rig = Choice { readers: 2, ..Choice::default() }.rig();
    rig.offer(5);
    assert_eq!((rig.count("Stored"), rig.count("Confirmed")), (4, 4), "two full chunks");
    rig.run(ms(100));
    assert_eq!((rig.count("Stored"), rig.count("Confirmed")), (5, 5), "the rest does not wait longer than this");
    rig.start(1).run(secs(5));
    assert_eq!(rig.processed_by(1), [0, 1, 2, 3, 4]);
    assert_eq!(rig.count("Removed") + rig.count("Trimmed"), 0, "reading takes nothing away");
    rig.leave(1);
    assert_eq!(rig.offsets("Committed"), [(0, 2), (0, 4), (0, 5)], "every second message, and at the end");
    rig.start(2).run(secs(5));
    assert_eq!(rig.processed_by(2), [] as [u64; 0], "it goes on where the other was");
    assert_eq!(rig.remaining(), [(5, 5)]);
}

#[test]
fn each_begins_where_it_asks_to() {
    let cases = [
        (StreamOffset::First, 0),
        (StreamOffset::Last, 4),
        (StreamOffset::Next, 6),
        (StreamOffset::Offset(Offset::new(3)), 3),
        (StreamOffset::Offset(Offset::new(99)), 6),
        (StreamOffset::Time(Time::ZERO + secs(5)), 2),
        (StreamOffset::Time(Time::ZERO + secs(11)), 4),
        (StreamOffset::Interval(secs(15)), 2),
        (StreamOffset::Interval(secs(99)), 0),
    ];
    for (from, expected) in cases {
        let reader = StreamConsumerConfig { from, ..Choice::default().reader };
        let mut rig = Choice { reader, ..Choice::default() }.rig();
        rig.offer(2).run(secs(10)).offer(2).run(secs(10)).offer(2).start(1);
        assert_eq!(rig.offsets("Assigned"), [(0, expected)], "{from:?}");
    }
}

#[test]
fn a_reader_is_sent_a_chunk_for_each_that_it_begins_with() {
    let mut rig = Choice::default().rig();
    rig.offer(10).start(1);
    assert_eq!(rig.count("Delivered"), 4, "one in hand, one in advance");
    rig.run(ms(2500));
    assert_eq!(rig.count("Delivered"), 6);
    let reader = StreamConsumerConfig { credit: StreamCredit::Messages(3), ..Choice::default().reader };
    let mut rig = Choice { reader, ..Choice::default() }.rig();
    rig.offer(10).start(1);
    assert_eq!(rig.count("Delivered"), 3, "a prefetch counts messages");
    rig.run(ms(1500));
    assert_eq!((rig.count("Delivered"), rig.count("Settled")), (4, 1), "acknowledging is asking for more");
}

#[test]
fn a_reader_that_dies_does_again_what_it_had_not_stored() {
    let mut rig = Choice::default().rig();
    rig.offer(6).start(1).run(ms(3500));
    rig.crash(1).start(1).run(secs(10));
    assert_eq!(rig.processed_by(1), [0, 1, 2, 2, 3, 4, 5], "two were stored as done");
    let reader = StreamConsumerConfig { tracking: None, ..Choice::default().reader };
    let mut rig = Choice { reader, ..Choice::default() }.rig();
    rig.offer(3).run(ms(100)).start(1).run(secs(2)).crash(1).start(1).run(secs(10));
    assert_eq!(rig.processed_by(1), [0, 1, 0, 1, 2], "without a name it begins anew");
}

#[test]
fn a_reader_alone_goes_on_from_memory_when_its_connection_is_back() {
    let own = StreamConsumerConfig { single_active_consumer: false, ..Choice::default().reader };
    for (reader, expected) in [(own.clone(), vec![0, 1, 2, 3]), (Choice::default().reader, vec![0, 0, 1, 2, 3])] {
        let mut rig = Choice { reader, ..Choice::default() }.rig();
        rig.offer(4).start(1).run(ms(500)).cut(1).run(ms(100)).reconnect(1).run(secs(10));
        assert_eq!(rig.processed_by(1), expected);
    }
    let mut rig = Choice { readers: 2, reader: own, ..Choice::default() }.rig();
    rig.offer(2).start(1).start(2).run(secs(10));
    assert_eq!([rig.processed_by(1), rig.processed_by(2)], [[0, 1], [0, 1]], "readers do not compete");
}

#[test]
fn one_reader_of_a_name_at_a_time_is_active() {
    let mut rig = Choice { readers: 2, ..Choice::default() }.rig();
    rig.offer(4).start(1).start(2).run(ms(2500));
    assert_eq!((rig.processed_by(1).len(), rig.processed_by(2).len()), (2, 0));
    rig.leave(1).run(secs(10));
    assert_eq!(rig.processed_by(2), [2, 3]);
}

#[test]
fn partitions_of_a_super_stream_go_over_to_whoever_joins() {
    let mut rig = Choice { partitions: 2, readers: 2, ..Choice::default() }.rig();
    rig.offer(8).start(1);
    assert_eq!(rig.offsets("Assigned"), [(0, 0), (1, 0)]);
    rig.run(ms(2500)).start(2);
    assert_eq!(rig.count("Revoked"), 1, "the second partition goes to the second reader");
    rig.run(secs(20));
    let (first, second) = (rig.processed_by(1), rig.processed_by(2));
    assert_eq!(first, [0, 2, 1, 4, 6], "the work in hand goes on, although it is somebody else's turn");
    assert_eq!(second, [1, 3, 5, 7], "and from where the first reader had got to the second");
    rig.crash(2);
    assert_eq!(rig.offsets("Assigned").last(), Some(&(1, 4)), "it comes back to who is left");
}

#[test]
fn a_named_publisher_repeats_nothing() {
    for deduplication in [false, true] {
        let publisher = StreamPublisherConfig { deduplication, ..Choice::default().publisher };
        let mut rig = Choice { publisher, ..Choice::default() }.rig();
        rig.offer(2);
        // The confirm of the second chunk is lost with the connection.
        rig.up[PRODUCER] = false;
        let chunk = |messages: &[u64]| -> Vec<Envelope<()>> {
            let envelope = |number: &u64| Envelope {
                message: MessageId::new(*number),
                key: KeyId::NONE,
                size: 100,
                timestamp: Time::ZERO,
                sender: ClientId::new(0),
                tombstone: false,
                payload: (),
            };
            messages.iter().map(envelope).collect()
        };
        let publish = |correlation, deduplicate, messages: &[u64]| Message::PublishChunk {
            store: StoreId::new(0),
            correlation,
            deduplicate,
            messages: chunk(messages),
        };
        rig.tell_node(PRODUCER, publish(2, deduplication, &[2, 3]));
        rig.tell_node(PRODUCER, publish(3, deduplication, &[2, 3]));
        rig.restart_node(Crash::Process);
        rig.tell_node(PRODUCER, publish(4, deduplication, &[3, 4]));
        let expected = if deduplication { (5, 3) } else { (8, 0) };
        assert_eq!((rig.count("Stored"), rig.count("Deduplicated")), expected, "also after the node was down");
    }
}

#[test]
fn what_is_not_confirmed_is_published_again_on_the_next_connection() {
    let mut rig = Choice::default().rig();
    rig.cut(PRODUCER).offer(3).run(secs(1));
    assert_eq!(rig.count("Sent"), 0, "it gathers while it is cut off");
    rig.reconnect(PRODUCER);
    assert_eq!((rig.count("Sent"), rig.count("Confirmed")), (3, 3));
    let publisher = StreamPublisherConfig { max_unconfirmed: 2, ..Choice::default().publisher };
    let mut rig = Choice { publisher, ..Choice::default() }.rig();
    rig.node = Node::new(NODE(), &Plan { partitions: 0, ..Plan::default() }.deployment());
    rig.offer(5).run(secs(1));
    assert_eq!((rig.count("Sent"), rig.count("Refused")), (5, 5), "a stream that is not there");
}

#[test]
fn a_stream_is_cut_back_by_whole_segments_when_one_begins() {
    let rules = StreamRules { max_length_bytes: Some(600), max_segment_size_bytes: 400, max_age: None };
    let mut rig = Choice { rules, ..Choice::default() }.rig();
    rig.offer(8);
    assert_eq!((rig.offsets("SegmentRolled"), rig.count("Trimmed")), (vec![(0, 4)], 0));
    // The segment of 200 bytes that begins now counts, and 800 lie behind it.
    rig.offer(2);
    assert_eq!(rig.offsets("Trimmed"), [(0, 4)]);
    let rules = StreamRules { max_length_bytes: None, max_age: Some(secs(5)), ..rules };
    let mut rig = Choice { rules, ..Choice::default() }.rig();
    rig.offer(4).run(secs(100));
    assert_eq!(rig.count("Trimmed"), 0, "nobody looks until a segment begins");
    rig.offer(2);
    assert_eq!(rig.offsets("Trimmed"), [(0, 4)]);
    rig.start(1);
    assert_eq!(rig.offsets("Assigned"), [(0, 4)]);
}

#[test]
fn work_that_fails_is_tried_again_in_place_and_then_passed_over() {
    let mut rig = Choice { poison: 1_000_000, ..Choice::default() }.rig();
    rig.offer(2).start(1).run(secs(10));
    assert_eq!((rig.count("Failed"), rig.count("Processed")), (4, 0));
    assert_eq!(rig.offsets("Committed"), [(0, 2)]);
}

#[test]
fn a_reader_can_be_sent_back() {
    let mut rig = Choice::default().rig();
    rig.offer(4).start(1).run(secs(10)).seek(1, SeekTo::Offset(Offset::new(2))).run(secs(10));
    assert_eq!(rig.offsets("Sought"), [(0, 2)]);
    assert_eq!(rig.processed_by(1), [0, 1, 2, 3, 2, 3]);
}

/// Random stories of a super stream with readers that come, go and die: what a reader begins with, and what it does
/// after that, is what a plain list of the messages says, and in the end everything is done.
#[test]
fn random_readers_see_the_list_in_order() {
    for seed in 0..60 {
        let mut chance = Generator::new(seed, "stream stories");
        let single_active_consumer = chance.below(3) > 0;
        let credit = if chance.below(2) == 0 { StreamCredit::Chunks(2) } else { StreamCredit::Messages(3) };
        let tracking = Some(OffsetTracking { every: 1 + chance.below(4) as u32, interval: secs(3) });
        let reader = StreamConsumerConfig { single_active_consumer, credit, tracking, ..Choice::default().reader };
        let partitions = 1 + chance.below(3) as u32;
        let mut rig = Choice { partitions, readers: 3, reader, ..Choice::default() }.rig();
        for _ in 0..80 {
            let reader = 1 + chance.below(3) as usize;
            match chance.below(6) {
                0 | 1 => rig.offer(1 + chance.below(4)),
                2 if !rig.up[reader] => rig.start(reader),
                3 if rig.up[reader] => rig.crash(reader),
                4 if rig.up[reader] => rig.leave(reader),
                _ => rig.run(ms(700)),
            };
        }
        rig.run(secs(1));
        for reader in 1..=3 {
            if !rig.up[reader] {
                rig.start(reader);
            }
        }
        rig.run(secs(600));
        check_against_list(&rig, single_active_consumer, seed);
    }
}

fn check_against_list(rig: &Rig, shared: bool, seed: u64) {
    // By partition: the messages in the order in which they were stored.
    let mut lists: BTreeMap<StoreId, Vec<MessageId>> = BTreeMap::new();
    // By reader and partition: the offset that it is to be given next, while it reads.
    let mut next: BTreeMap<(ClientId, StoreId), u64> = BTreeMap::new();
    let mut done: BTreeMap<(ClientId, MessageId), u32> = BTreeMap::new();
    for record in rig.events.records() {
        match record.event() {
            Event::Stored { message, store, offset, .. } => {
                let list = lists.entry(store).or_default();
                assert_eq!(offset.get(), list.len() as u64, "seed {seed}: offsets are dense");
                list.push(message);
            }
            Event::Assigned { consumer, store, offset, .. } => {
                let others = next.keys().filter(|(_, other)| *other == store).count();
                assert!(!shared || others == 0, "seed {seed}: one at a time reads a partition");
                next.insert((consumer, store), offset.get());
            }
            Event::Revoked { consumer, store, .. } => drop(next.remove(&(consumer, store))),
            Event::Disconnected { client, .. } => next.retain(|(consumer, _), _| *consumer != client),
            Event::Delivered { message, consumer, store, offset, .. } => {
                let expected = next.get_mut(&(consumer, store)).expect("it reads the partition");
                assert_eq!((offset.get(), lists[&store][offset.index()]), (*expected, message), "seed {seed}");
                *expected += 1;
            }
            Event::Processed { message, consumer, .. } => *done.entry((consumer, message)).or_default() += 1,
            _ => {}
        }
    }
    for message in lists.values().flatten() {
        let readers = (1..=3).filter(|reader| done.contains_key(&(ClientId::new(*reader), *message))).count();
        assert!(if shared { readers >= 1 } else { readers == 3 }, "seed {seed}: {message:?} by {readers}");
    }
}
