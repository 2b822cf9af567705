//! What operations on a queue cost while it holds 1,000, 100,000 or 1,000,000 messages:
//! `cargo bench -p brokerlab-broker --bench queues`. Nothing may grow with the length of the queue, except for the
//! logarithm of a search tree and for memory that lies farther away: each dead letter has a record of its own of how
//! it died, so a million of them fit into no cache.
//!
//! Each figure is the median of some rounds; sizes take turns, because the machine's speed drifts.
#![expect(clippy::disallowed_types, reason = "a benchmark is about the clock on the wall")]

use std::sync::Arc;
use std::time::Instant;

use brokerlab_broker::config::*;
use brokerlab_broker::properties::Properties;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Model, NodeId, StoreId, Time};

const ROUNDS: usize = 3;
const SIZES: [u64; 3] = [1_000, 100_000, 1_000_000];
const CHANNEL: u16 = 1;
const PUBLISHER: u32 = 0;
const CONSUMER: u32 = 1;

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A node with one queue, and one more for dead letters.
struct Bench {
    node: Node<()>,
    out: Outbox<()>,
    now: Time,
    published: u64,
}

impl Bench {
    fn new(change: impl FnOnce(&mut QueueConfig)) -> Bench {
        let queue = |number| {
            let config = QueueConfig::new(StoreId::new(number), NodeId::new(0), RoutingKey(number));
            QueueConfig { durable: false, ..config }
        };
        let mut work = queue(0);
        change(&mut work);
        let deployment = Deployment {
            model: Model::Queue,
            nodes: 1,
            seed: 1,
            broker_sessions: BrokerSessions::default(),
            profile: Profile::default(),
            routing_keys: vec!["work".into(), "dead".into()],
            exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct)],
            queues: vec![work, queue(1)],
            memory_watermark: None,
            page_cache: None,
            bindings: vec![],
            topics: vec![],
            groups: vec![],
            share_groups: vec![],
            streams: vec![],
            fetch: FetchLimits::default(),
            producers: vec![],
            consumers: vec![],
        };
        Bench { node: Node::new(NodeId::new(0), &deployment), out: Outbox::default(), now: Time::ZERO, published: 0 }
    }

    fn filled(messages: u64, change: impl FnOnce(&mut QueueConfig)) -> Bench {
        let mut bench = Bench::new(change);
        (0..messages).for_each(|_| bench.publish(None));
        bench
    }

    /// A client sends something; what the node sends is thrown away.
    fn ask(&mut self, client: u32, message: Message<()>) -> u64 {
        self.node.handle_message(self.now, Address::Client(ClientId::new(client)), message, &mut self.out, &mut ());
        self.drain()
    }

    /// How many deliveries there were.
    fn drain(&mut self) -> u64 {
        let mut deliveries = 0;
        while let Some(effect) = self.out.pop() {
            deliveries += u64::from(matches!(effect, Effect::Send { message: Message::Deliver { .. }, .. }));
        }
        deliveries
    }

    fn publish(&mut self, properties: Option<&Arc<Properties>>) {
        self.published += 1;
        let envelope = Envelope {
            message: MessageId::new(self.published),
            key: KeyId::NONE,
            size: 100,
            timestamp: self.now,
            sender: ClientId::new(PUBLISHER),
            tombstone: false,
            payload: (),
        };
        let (exchange, routing_key, properties) = (ExchangeId::DEFAULT, RoutingKey(0), properties.cloned());
        let publication = Publication { envelope, exchange, routing_key, properties };
        self.ask(PUBLISHER, Message::Publish { channel: CHANNEL, mandatory: false, publication });
    }

    fn consume(&mut self, client: u32, prefetch: u32) -> u64 {
        let (channel, queue) = (CHANNEL, StoreId::new(0));
        let (tag, auto_ack, exclusive, priority) = (0, false, false, 0);
        self.ask(client, Message::Qos { channel, prefetch, global: false });
        self.ask(client, Message::Consume { channel, queue, tag, auto_ack, exclusive, priority })
    }

    fn lose(&mut self, client: u32) {
        self.ask(client, Message::ConnectionLost);
    }

    fn get(&mut self, client: u32) {
        self.ask(client, Message::Get { channel: CHANNEL, queue: StoreId::new(0), auto_ack: false });
    }

    fn nack(&mut self, tag: u64) {
        self.ask(CONSUMER, Message::Nack { channel: CHANNEL, tag, multiple: false, requeue: true });
    }

    fn ack(&mut self, tag: u64) {
        self.ask(CONSUMER, Message::Ack { channel: CHANNEL, tag, multiple: false });
    }

    fn ready(&mut self, queue: u32) -> u64 {
        let (channel, queue) = (CHANNEL, StoreId::new(queue));
        let client = Address::Client(ClientId::new(9));
        let inspect = Message::InspectQueue { channel, queue };
        self.node.handle_message(self.now, client, inspect, &mut self.out, &mut ());
        match self.out.pop() {
            Some(Effect::Send { message: Message::QueueState { ready, .. }, .. }) => ready,
            other => panic!("a queue tells its state, not {other:?}"),
        }
    }

    /// Does what is due up to a moment.
    fn advance(&mut self, until: Time) {
        while let Some(due) = self.node.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now, &mut self.out, &mut ());
            self.drain();
        }
        self.now = until;
    }
}

/// Nanoseconds that each of so many operations takes.
fn timed(operations: u64, run: impl FnOnce()) -> f64 {
    let start = Instant::now();
    run();
    start.elapsed().as_nanos() as f64 / operations as f64
}

/// Gives one of many back, and gets it again.
fn requeue_one(messages: u64) -> f64 {
    let mut bench = Bench::filled(messages, |_| {});
    bench.consume(CONSUMER, 1);
    let operations = 100_000;
    let time = timed(operations, || (1..=operations).for_each(|tag| bench.nack(tag)));
    assert_eq!(bench.ready(0), messages - 1);
    time
}

/// A connection is lost with a tenth of all messages unsettled. For each of those.
fn lose_unsettled(messages: u64) -> f64 {
    let mut bench = Bench::filled(messages, |_| {});
    let held = messages / 10;
    assert_eq!(bench.consume(CONSUMER, held as u32), held);
    let time = timed(held, || bench.lose(CONSUMER));
    assert_eq!(bench.ready(0), messages);
    time
}

/// Ten thousand consumers of one queue crash, one connection after the other. For each connection.
fn mass_crash(messages: u64) -> f64 {
    let consumers = 10_000;
    let mut bench = Bench::filled(messages, |_| {});
    let taken: u64 = (1..=consumers).map(|client| bench.consume(client, 1)).sum();
    assert_eq!(taken, messages.min(u64::from(consumers)));
    let time = timed(u64::from(consumers), || (1..=consumers).for_each(|client| bench.lose(client)));
    assert_eq!(bench.ready(0), messages);
    time
}

fn with_ttl(config: &mut QueueConfig) {
    config.message_ttl = Some(millis(1_000_000_000));
    config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(RoutingKey(1)) });
}

/// Publishes to a queue whose messages expire.
fn publish_with_ttl(messages: u64) -> f64 {
    let mut bench = Bench::filled(messages, with_ttl);
    let operations = 100_000;
    timed(operations, || (0..operations).for_each(|_| bench.publish(None)))
}

/// Messages that came one by one expire one by one, each a dead letter.
fn expire_one_by_one(messages: u64) -> f64 {
    let mut bench = Bench::new(with_ttl);
    for _ in 0..messages {
        bench.publish(None);
        bench.now = bench.now.saturating_add(millis(1));
    }
    let operations = messages.min(100_000);
    let until = Time::ZERO.saturating_add(millis(1_000_000_000 + operations - 1));
    let time = timed(operations, || bench.advance(until));
    assert_eq!((bench.ready(0), bench.ready(1)), (messages - operations, operations));
    time
}

/// Everything expires at the same moment, into the queue of dead letters.
fn expire_at_once(messages: u64) -> f64 {
    let mut bench = Bench::filled(messages, with_ttl);
    let time = timed(messages, || bench.advance(Time::ZERO.saturating_add(millis(1_000_000_000))));
    assert_eq!((bench.ready(0), bench.ready(1)), (0, messages));
    time
}

/// Publishes at ten levels of priority, and takes from the highest.
fn priorities(messages: u64) -> f64 {
    let mut bench = Bench::new(|config| config.max_priority = Some(9));
    let level = |priority| Arc::new(Properties { priority: Some(priority), ..Properties::default() });
    let levels: Vec<_> = (0..10).map(level).collect();
    (0..messages as usize).for_each(|number| bench.publish(Some(&levels[number % 10])));
    let operations = 100_000;
    let time = timed(operations, || {
        for number in 0..operations as usize {
            bench.publish(Some(&levels[number % 10]));
            bench.get(CONSUMER);
            bench.ack(number as u64 + 1);
        }
    });
    assert_eq!(bench.ready(0), messages);
    time
}

/// Publishes to a queue that is full, and so drops its head.
fn drop_head(messages: u64) -> f64 {
    let mut bench = Bench::filled(messages, |config| config.max_length = Some(messages));
    let operations = 100_000;
    let time = timed(operations, || (0..operations).for_each(|_| bench.publish(None)));
    assert_eq!(bench.ready(0), messages);
    time
}

/// Messages come and go behind one that stays unsettled, as many as the size says before it is measured.
fn behind_an_old_one(messages: u64) -> f64 {
    let mut bench = Bench::new(|_| {});
    bench.consume(CONSUMER, 2);
    bench.publish(None);
    let mut tag = 1;
    let mut pass = |bench: &mut Bench, count| {
        for _ in 0..count {
            tag += 1;
            bench.publish(None);
            bench.ack(tag);
        }
    };
    pass(&mut bench, messages);
    let operations = 100_000;
    timed(operations, || pass(&mut bench, operations))
}

type Case = (&'static str, fn(u64) -> f64);

const CASES: [Case; 9] = [
    ("return one of many, and get it again", requeue_one),
    ("lose a connection that holds a tenth", lose_unsettled),
    ("lose 10,000 connections", mass_crash),
    ("publish where messages expire", publish_with_ttl),
    ("expire one by one into dead letters", expire_one_by_one),
    ("expire all at once into dead letters", expire_at_once),
    ("publish, get and ack with priorities", priorities),
    ("publish and drop the head", drop_head),
    ("pass behind an old unsettled message", behind_an_old_one),
];

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    println!(
        "{:<40} {:>12} {:>12} {:>12} {:>8}",
        "ns per operation, with messages:", SIZES[0], SIZES[1], SIZES[2], "ratio"
    );
    for (name, run) in CASES {
        let rounds: Vec<[f64; 3]> = (0..ROUNDS).map(|_| SIZES.map(run)).collect();
        let times: [f64; 3] = std::array::from_fn(|size| median(rounds.iter().map(|round| round[size]).collect()));
        let ratio = median(rounds.iter().map(|round| round[2] / round[0]).collect());
        println!("{name:<40} {:>12.1} {:>12.1} {:>12.1} {ratio:>8.2}", times[0], times[1], times[2]);
    }
}
