//! What a log costs: `cargo bench -p brokerlab-broker --bench log`.
//!
//! Appending and fetching at several batch sizes (per message it must become cheaper with the size of the batch), the
//! compaction of a million keys, what is done over 1,000 and 10,000 partitions of one node (for each it must cost the
//! same), and the rebalances of a group of 1,000 members.
//!
//! Each figure is the median of some rounds; sizes take turns, because the machine's speed drifts. What eight groups cost
//! that read one log, beside the plainest program that does the same, is measured by `cargo bench --bench engine`.
#![expect(clippy::disallowed_types, reason = "a benchmark is about the clock on the wall")]

mod group;
mod paths;

use std::time::Instant;

use brokerlab_broker::cleaner::Cleaner;
use brokerlab_broker::config::*;
use brokerlab_broker::message::{FetchPosition, FetchedPartition};
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::{Address, Batch, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Model, NodeId, Offset, StoreId, Time};

const ROUNDS: usize = 5;
const BATCHES: [u64; 3] = [1, 16, 500];
const MESSAGES: u64 = 200_000;
const KEYS: u64 = 1_000_000;
const PARTITIONS: [u32; 2] = [1_000, 10_000];
const MEMBERS: u32 = 1_000;

fn client() -> ClientId {
    ClientId::new(0)
}

fn envelope(number: u64, key: u64) -> Envelope<()> {
    Envelope {
        message: MessageId::new(number),
        key: KeyId::new(key as u32),
        size: 100,
        timestamp: Time::ZERO,
        sender: client(),
        tombstone: false,
        payload: (),
    }
}

fn batch(first: u64, count: u64) -> Batch<()> {
    (first..first + count).map(|number| envelope(number, number % KEYS)).collect::<Vec<_>>().into()
}

/// One topic on one node.
fn deployment(partitions: u32, fetch: FetchLimits) -> Deployment {
    let topic = TopicConfig {
        partitions: (0..partitions).map(StoreId::new).collect(),
        replication: ReplicationConfig::single(NodeId::new(0)),
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 30,
        segment_time: Duration::from_secs(7 * 86_400),
        retention_time: None,
        retention_bytes: None,
        retention_check_interval: Duration::from_secs(300),
        compaction: None,
        flush: FlushPolicy::default(),
    };
    Deployment {
        model: Model::Log,
        nodes: 1,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile: Profile::default(),
        routing_keys: vec![],
        exchanges: vec![],
        queues: vec![],
        memory_watermark: None,
        page_cache: None,
        bindings: vec![],
        topics: vec![topic],
        groups: vec![],
        share_groups: vec![],
        streams: vec![],
        fetch,
        producers: vec![],
        consumers: vec![],
    }
}

/// A node with one topic.
struct Bench {
    node: Node<()>,
    out: Outbox<()>,
    /// Memory of the last answer to a fetch.
    spare: Vec<FetchedPartition<()>>,
}

impl Bench {
    fn new(partitions: u32, max_partition_bytes: u32) -> Bench {
        let limits = FetchLimits { max_partition_bytes, ..FetchLimits::default() };
        Bench::of(&deployment(partitions, limits))
    }

    fn of(deployment: &Deployment) -> Bench {
        Bench { node: Node::new(NodeId::new(0), deployment), out: Outbox::default(), spare: Vec::new() }
    }

    /// A client asks; the disk answers at once. Returns how many records the client is sent.
    fn ask(&mut self, message: Message<()>) -> u64 {
        let mut sent = 0;
        self.node.handle_message(Time::ZERO, Address::Client(client()), message, &mut self.out, &mut ());
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Write { store, until, .. } => {
                    self.node.handle_written(Time::ZERO, store, until, &mut self.out, &mut ());
                }
                Effect::Send { message: Message::Fetched { partitions, .. }, .. } => {
                    sent += partitions.iter().map(|p| p.records.as_ref().map_or(0, |r| r.len() as u64)).sum::<u64>();
                    self.spare = partitions;
                }
                _ => {}
            }
        }
        sent
    }

    fn produce(&mut self, store: u32, batch: Batch<()>) {
        self.ask(Message::Produce { store: StoreId::new(store), correlation: 0, acks: Acks::All, batch });
    }

    fn fetch(&mut self, positions: Vec<FetchPosition>) -> u64 {
        let spare = std::mem::take(&mut self.spare);
        self.ask(Message::Fetch { correlation: 0, isolation: Isolation::ReadUncommitted, positions, spare })
    }
}

/// Nanoseconds for each of so many.
fn each(count: u64, work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_nanos() as f64 / count as f64
}

/// Appending and fetching in batches of this size, in nanoseconds a message.
fn append_and_fetch(size: u64) -> [f64; 2] {
    let mut bench = Bench::new(1, size as u32 * 100);
    let batches: Vec<Batch<()>> = (0..MESSAGES / size).map(|number| batch(number * size, size)).collect();
    let messages = MESSAGES / size * size;
    let append = each(messages, || batches.into_iter().for_each(|batch| bench.produce(0, batch)));
    let mut read = 0;
    let fetch = each(messages, || {
        while read < messages {
            read += bench.fetch(vec![FetchPosition { store: StoreId::new(0), epoch: 1, offset: Offset::new(read) }]);
        }
    });
    assert_eq!(read, messages);
    [append, fetch]
}

/// A log with two records of each of a million keys, compacted: nanoseconds a record, and those left.
fn compaction() -> (f64, u64) {
    let compaction = CompactionConfig::default();
    let rules = PartitionRules { compaction: Some(compaction), segment_bytes: 16 << 20, ..PartitionRules::default() };
    let mut log: PartitionLog<()> = PartitionLog::new(rules);
    for number in 0..2 * KEYS / 500 {
        log.append(batch(number * 500, 500), Time::ZERO).expect("it fits");
    }
    log.roll(Time::ZERO);
    log.mark_written(log.log().end());
    log.advance_high_watermark(log.log().end());
    let mut cleaner = Cleaner::default();
    let mut removed = 0;
    let time = each(2 * KEYS, || {
        let pass = log.clean(&mut cleaner, &compaction, Time::ZERO, |_, _| removed += 1);
        assert_eq!(pass.map(|pass| pass.removed), Some(KEYS));
    });
    (time, 2 * KEYS - removed)
}

/// A batch for each of so many partitions, and one fetch of them all: nanoseconds a partition.
fn many_partitions(partitions: u32) -> [f64; 2] {
    let mut bench = Bench::new(partitions, 1 << 20);
    let batches: Vec<(u32, Batch<()>)> = (0..partitions).map(|store| (store, batch(u64::from(store), 1))).collect();
    let count = u64::from(partitions);
    let append = each(count, || batches.into_iter().for_each(|(store, batch)| bench.produce(store, batch)));
    let positions =
        (0..partitions).map(|store| FetchPosition { store: StoreId::new(store), epoch: 1, offset: Offset::ZERO });
    let positions = positions.collect();
    let mut found = 0;
    let fetch = each(count, || found = bench.fetch(positions));
    assert_eq!(found, count);
    [append, fetch]
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

fn batching() {
    let mut appended = [const { Vec::new() }; BATCHES.len()];
    let mut fetched = [const { Vec::new() }; BATCHES.len()];
    for _ in 0..ROUNDS {
        for (index, size) in BATCHES.iter().enumerate() {
            let [append, fetch] = append_and_fetch(*size);
            appended[index].push(append);
            fetched[index].push(fetch);
        }
    }
    println!("nanoseconds a message in batches of {BATCHES:?}");
    println!("  append      {:?}", appended.map(|figures| median(figures).round()));
    println!("  fetch       {:?}", fetched.map(|figures| median(figures).round()));
}

fn partitions() {
    let mut figures = PARTITIONS.map(|_| [Vec::new(), Vec::new()]);
    for _ in 0..ROUNDS {
        for (figures, partitions) in figures.iter_mut().zip(PARTITIONS) {
            for (figures, figure) in figures.iter_mut().zip(many_partitions(partitions)) {
                figures.push(figure);
            }
        }
    }
    for (partitions, figures) in PARTITIONS.iter().zip(figures) {
        let [append, fetch] = figures.map(median);
        println!("a round over {partitions} partitions: append {append:.0} ns, fetch {fetch:.0} ns a partition");
    }
    println!("among {PARTITIONS:?}");
    for (name, path) in paths::PATHS {
        let [few, many] = PARTITIONS.map(|count| median((0..ROUNDS).map(|_| path(count)).collect()));
        println!("  {name:<60} {few:>8.0} ns {many:>8.0} ns   {:.2} times", many / few);
    }
}

fn compacting() {
    let rounds = (0..ROUNDS).map(|_| {
        let (time, left) = compaction();
        assert_eq!(left, KEYS, "the latest of every key is left");
        time
    });
    println!("compaction of {KEYS} keys, two records of each: {:.0} ns a record", median(rounds.collect()));
}

fn groups() {
    println!("a group of {MEMBERS} members and as many partitions: all but one join, then the last");
    for (name, assignors, protocol) in group::PROTOCOLS {
        let rounds: Vec<[f64; 2]> = (0..ROUNDS).map(|_| group::rebalance(MEMBERS, assignors, protocol)).collect();
        let [all, last] = [0, 1].map(|place| median(rounds.iter().map(|round| round[place]).collect()));
        println!("  {name:<30} {all:>8.1} ms {last:>8.1} ms");
    }
}

/// All of it, or what is named.
fn main() {
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let parts: [(&str, fn()); 4] =
        [("batching", batching), ("partitions", partitions), ("compacting", compacting), ("groups", groups)];
    for (name, part) in parts {
        if named.is_empty() || named.iter().any(|own| own == name) {
            part();
        }
    }
}
