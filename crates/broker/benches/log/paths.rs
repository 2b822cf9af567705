//! What must not cost more because there is more of everything else: each in nanoseconds for one of so many.

use brokerlab_broker::config::*;
use brokerlab_broker::message::Member;
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::producer_state::EndMarker;
use brokerlab_broker::record::{BatchProducer, ProducerId};
use brokerlab_broker::share_partition::{Acknowledged, Acknowledgement, ShareRules};
use brokerlab_broker::transaction::TransactionalId;
use brokerlab_broker::{Address, Batch, Effect, Message};
use brokerlab_event::{ApplicationId, Duration, NodeId, StoreId, Time};

use crate::{Bench, batch, client, deployment, each};

/// Nanoseconds for one of so many.
type Measure = fn(u32) -> f64;

/// What is measured, and how.
pub const PATHS: [(&str, Measure); 4] = [
    ("the lag of a group, a partition", lag),
    ("a record for a share group, with so many partitions", share),
    ("a transactional batch, with so many producers", transactional),
    ("an aborted transaction and a new segment, after so many", aborted),
];

fn stores(count: u32) -> Vec<StoreId> {
    (0..count).map(StoreId::new).collect()
}

fn group() -> ApplicationId {
    ApplicationId::new(0)
}

fn lag(partitions: u32) -> f64 {
    let mut deployment = deployment(partitions, FetchLimits::default());
    deployment.groups.push(GroupConfig {
        application: group(),
        node: NodeId::new(0),
        partitions: stores(partitions),
        session_timeout: Duration::from_secs(45),
        rebalance_timeout: Duration::from_secs(300),
        initial_rebalance_delay: Duration::ZERO,
        offsets_retention: Duration::from_secs(604_800),
        protocol: GroupProtocol::Classic,
    });
    let bench = Bench::of(&deployment);
    each(10 * u64::from(partitions), || {
        for _ in 0..10 {
            let node = std::hint::black_box(&bench.node);
            assert_eq!(node.lag(group(), |store| node.partition(store)), 0);
        }
    })
}

/// A member waits, is given a record, and accepts it with its next fetch.
fn share(partitions: u32) -> f64 {
    let mut deployment = deployment(partitions, FetchLimits::default());
    deployment.share_groups.push(ShareGroupConfig {
        application: group(),
        node: NodeId::new(0),
        partitions: stores(partitions),
        session_timeout: Duration::from_secs(45),
        rules: ShareRules::default(),
        reset: OffsetReset::Earliest,
    });
    let mut bench = Bench::of(&deployment);
    let member = Member { client: client(), incarnation: 1 };
    let fetch = |acknowledged| {
        let (group, correlation, max_records) = (group(), 0, 500);
        Message::ShareFetch { group, member, correlation, max_records, acknowledged }
    };
    bench.ask(Message::ShareHeartbeat { group: group(), member });
    bench.ask(fetch(vec![]));
    let count = 10_000;
    each(count, || {
        for number in 0..count {
            let store = StoreId::new((number % u64::from(partitions)) as u32);
            let batch = batch(number, 1);
            let given = bench.answers(Message::Produce { store, correlation: 0, acks: Acks::None, batch });
            let offset = given.iter().find_map(|message| match message {
                Message::ShareFetched { partitions, .. } => Some(partitions[0].acquired[0].first),
                _ => None,
            });
            let first = offset.expect("whoever waits is given the record");
            let accepted = Acknowledged { first, last: first, kinds: vec![Acknowledgement::Accept] };
            bench.ask(fetch(vec![(store, accepted)]));
        }
    })
}

/// As many producers as are asked for have a transaction open, and each appends a batch.
fn transactional(producers: u32) -> f64 {
    let mut bench = Bench::of(&deployment(1, FetchLimits::default()));
    let timeout = Duration::from_secs(60);
    let mut instances = Vec::new();
    for number in 0..producers {
        let transactional = Some(TransactionalId(number));
        let answers = bench.answers(Message::InitProducerId { correlation: 0, transactional, timeout, known: None });
        instances.extend(answers.iter().filter_map(|message| match message {
            Message::ProducerIdAssigned { result: Ok(instance), .. } => Some(*instance),
            _ => None,
        }));
    }
    let batches: Vec<Batch<()>> = instances
        .iter()
        .map(|(id, epoch)| {
            let producer = BatchProducer { id: *id, epoch: *epoch, sequence: 0, transactional: true };
            Batch { producer: Some(producer), ..batch(0, 1) }
        })
        .collect();
    for (number, producer) in (0..).zip(instances) {
        let (transactional, stores) = (TransactionalId(number), stores(1));
        bench.ask(Message::AddPartitionsToTransaction { correlation: 0, transactional, producer, stores });
    }
    each(u64::from(producers), || {
        for batch in batches {
            let request = Message::Produce { store: StoreId::new(0), correlation: 0, acks: Acks::All, batch };
            let answers = bench.answers(request);
            assert!(matches!(answers[..], [Message::Produced { result: Ok(_), .. }]), "it is taken");
        }
    })
}

/// One producer aborts all of its transactions, and each needs a segment of its own.
fn aborted(transactions: u32) -> f64 {
    let rules = PartitionRules { segment_bytes: 100, retention_time: None, ..PartitionRules::default() };
    let mut log: PartitionLog<()> = PartitionLog::new(rules);
    let id = ProducerId::new(0);
    each(u64::from(transactions), || {
        for sequence in 0..transactions {
            let producer = BatchProducer { id, epoch: 0, sequence, transactional: true };
            let batch = Batch { producer: Some(producer), ..batch(u64::from(sequence), 1) };
            log.append(batch, Time::ZERO).expect("it fits");
            let marker = EndMarker { producer: id, epoch: 0, coordinator_epoch: 0, committed: false };
            log.append_marker(&marker, Time::ZERO).expect("the transaction is open");
            log.mark_written(log.log().end());
            log.advance_high_watermark(log.log().end());
        }
    })
}

impl Bench {
    /// Like [`Bench::ask`], for what is answered.
    fn answers(&mut self, message: Message<()>) -> Vec<Message<()>> {
        let from = Address::Client(client());
        self.node.handle_message(Time::ZERO, from, message, &mut self.out, &mut ());
        let mut answers = Vec::new();
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Write { store, until, .. } => {
                    self.node.handle_written(Time::ZERO, store, until, &mut self.out, &mut ());
                }
                Effect::Send { message, .. } => answers.push(message),
                Effect::Flush { .. } => {}
            }
        }
        answers
    }
}
