//! Transactions on a node: requests by hand, a disk that waits to be told, and crashes in between.

use brokerlab_broker::config::{
    Acks, BrokerSessions, Deployment, FetchLimits, FlushPolicy, GroupConfig, GroupProtocol, Isolation, LogProfile,
    PageCacheConfig, Profile, ReplicationConfig, SeekTo, TopicConfig, TransactionVersion,
};
use brokerlab_broker::log::Crash;
use brokerlab_broker::message::{FetchPosition, LogError};
use brokerlab_broker::record::{Batch, BatchProducer};
use brokerlab_broker::transaction::{Instance, TransactionalId};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{
    ApplicationId, ClientId, Duration, Event, EventLog, KeyId, MessageId, Model, NodeId, Offset, StoreId, Time,
};

use crate::rig::secs;

pub const ID: TransactionalId = TransactionalId(0);

/// A node, whoever asks it, and what its disk has been asked for.
pub struct Rig {
    pub deployment: Deployment,
    pub node: Node<()>,
    now: Time,
    out: Outbox<()>,
    events: EventLog,
    writes: Vec<(StoreId, Offset)>,
    flushes: Vec<(StoreId, Offset)>,
    messages: u64,
    /// How often the node has come up: the leader epoch of its partitions.
    starts: u32,
}

const GROUP: fn() -> ApplicationId = || ApplicationId::new(0);

pub fn client() -> ClientId {
    ClientId::new(0)
}

pub fn store(number: u32) -> StoreId {
    StoreId::new(number)
}

pub fn rig(version: TransactionVersion) -> Rig {
    rig_on(version, None)
}

/// On a machine whose operating system writes its page cache back.
fn rig_on(version: TransactionVersion, page_cache: Option<PageCacheConfig>) -> Rig {
    let topic = TopicConfig {
        partitions: vec![store(0), store(1)],
        replication: ReplicationConfig::single(NodeId::new(0)),
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 20,
        segment_time: secs(7 * 86_400),
        retention_time: None,
        retention_bytes: None,
        retention_check_interval: secs(300),
        compaction: None,
        flush: FlushPolicy::default(),
    };
    let group = GroupConfig {
        application: GROUP(),
        node: NodeId::new(0),
        partitions: topic.partitions.clone(),
        session_timeout: secs(45),
        rebalance_timeout: secs(60),
        initial_rebalance_delay: secs(3),
        offsets_retention: secs(7 * 86_400),
        protocol: GroupProtocol::Classic,
    };
    let log = LogProfile { transactions: version };
    let deployment = Deployment {
        model: Model::Log,
        nodes: 1,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile: Profile { log, ..Profile::default() },
        routing_keys: Vec::new(),
        exchanges: Vec::new(),
        queues: Vec::new(),
        memory_watermark: None,
        page_cache,
        bindings: Vec::new(),
        topics: vec![topic],
        groups: vec![group],
        share_groups: Vec::new(),
        streams: Vec::new(),
        fetch: FetchLimits { max_wait: Duration::ZERO, ..FetchLimits::default() },
        producers: Vec::new(),
        consumers: Vec::new(),
    };
    Rig {
        node: Node::new(NodeId::new(0), &deployment),
        deployment,
        now: Time::ZERO,
        out: Outbox::default(),
        events: EventLog::default(),
        writes: Vec::new(),
        flushes: Vec::new(),
        messages: 0,
        starts: 1,
    }
}

impl Rig {
    /// What the node sends. What it asks of its disk is noted.
    fn drain(&mut self) -> Vec<Message<()>> {
        let mut sent = Vec::new();
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { message, .. } => sent.push(message),
                Effect::Write { store, until, .. } => self.writes.push((store, until)),
                Effect::Flush { store, until, .. } => self.flushes.push((store, until)),
            }
        }
        sent
    }

    pub fn ask(&mut self, request: Message<()>) -> Message<()> {
        self.node.handle_message(self.now, Address::Client(client()), request, &mut self.out, &mut self.events);
        self.drain().pop().expect("every request here is answered at once")
    }

    /// The disk takes everything that it was asked for.
    fn write(&mut self) -> Vec<Message<()>> {
        for (store, until) in std::mem::take(&mut self.writes) {
            let written = Message::Written { store, until };
            self.node.handle_message(self.now, Address::Disk, written, &mut self.out, &mut self.events);
        }
        self.drain()
    }

    pub fn wait(&mut self, time: Duration) {
        let until = self.now.saturating_add(time);
        while let Some(due) = self.node.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.node.handle_timeout(self.now, &mut self.out, &mut self.events);
        }
        self.now = until;
        assert!(self.drain().is_empty());
    }

    /// The disk has flushed what it was asked to.
    fn flush(&mut self) {
        for (store, until) in std::mem::take(&mut self.flushes) {
            let flushed = Message::Flushed { store, until };
            self.node.handle_message(self.now, Address::Disk, flushed, &mut self.out, &mut self.events);
        }
        assert!(self.drain().is_empty());
    }

    /// The process dies and comes back.
    pub fn crash(&mut self) {
        self.go_down(Crash::Process);
    }

    fn go_down(&mut self, kind: Crash) {
        self.writes.clear();
        let durable = self.node.clone().crash(self.now, kind, &mut ());
        self.node = Node::recover(self.now, durable, &self.deployment);
        self.starts += 1;
    }

    pub fn init(&mut self, known: Option<Instance>) -> Result<Instance, LogError> {
        let (transactional, timeout) = (Some(ID), secs(60));
        match self.ask(Message::InitProducerId { correlation: 0, transactional, timeout, known }) {
            Message::ProducerIdAssigned { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    fn produce(
        &mut self,
        to: u32,
        (id, epoch): Instance,
        sequence: u32,
        transactional: bool,
    ) -> Result<Offset, LogError> {
        let producer = BatchProducer { id, epoch, sequence, transactional };
        self.append(to, Some(producer))
    }

    fn append(&mut self, to: u32, producer: Option<BatchProducer>) -> Result<Offset, LogError> {
        let (message, size) = (MessageId::new(self.messages), 10);
        self.messages += 1;
        let (key, timestamp, sender) = (KeyId::NONE, self.now, client());
        let record = Envelope { message, key, size, timestamp, sender, tombstone: false, payload: () };
        let batch = Batch { producer, records: vec![record] };
        let (store, correlation, acks) = (store(to), 0, Acks::All);
        let request = Message::Produce { store, correlation, acks, batch };
        self.node.handle_message(self.now, Address::Client(client()), request, &mut self.out, &mut self.events);
        let mut answers = self.drain();
        answers.extend(self.write());
        match answers.pop() {
            Some(Message::Produced { result, .. }) => result,
            other => panic!("{other:?}"),
        }
    }

    fn add(&mut self, producer: Instance, to: u32) -> Result<(), LogError> {
        let (transactional, stores) = (ID, vec![store(to)]);
        match self.ask(Message::AddPartitionsToTransaction { correlation: 0, transactional, producer, stores }) {
            Message::PartitionsAdded { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    pub fn end(&mut self, producer: Instance, committed: bool) -> Result<Instance, LogError> {
        match self.ask(Message::EndTransaction { correlation: 0, transactional: ID, producer, committed }) {
            Message::TransactionEnded { result, .. } => result,
            other => panic!("{other:?}"),
        }
    }

    /// The offsets that a reader is given who reads a partition from its beginning.
    fn read(&mut self, from: u32, isolation: Isolation) -> Vec<u64> {
        let positions = vec![FetchPosition { store: store(from), epoch: self.starts, offset: Offset::ZERO }];
        let request = Message::Fetch { correlation: 0, isolation, positions, spare: vec![] };
        self.node.handle_message(self.now, Address::Client(client()), request, &mut self.out, &mut self.events);
        self.node.handle_timeout(self.now, &mut self.out, &mut self.events);
        match self.drain().pop() {
            Some(Message::Fetched { partitions, .. }) => {
                let records = partitions.into_iter().flat_map(|partition| partition.records.expect("it is led here"));
                records.map(|(offset, _)| offset.get()).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    fn committed(&mut self, from: u32) -> Vec<u64> {
        self.read(from, Isolation::ReadCommitted)
    }

    fn happened(&self, of: impl Fn(&Event) -> bool) -> usize {
        self.events.records().iter().filter(|record| of(&record.event())).count()
    }
}

#[test]
fn a_transaction_over_two_partitions_is_seen_whole_or_not_at_all() {
    for committed in [true, false] {
        let mut rig = rig(TransactionVersion::V2);
        rig.node.seek(rig.now, GROUP(), SeekTo::Earliest);
        let producer = rig.init(None).unwrap();
        assert_eq!(rig.produce(0, producer, 0, true), Ok(Offset::ZERO));
        assert_eq!(rig.produce(1, producer, 0, true), Ok(Offset::ZERO));
        assert_eq!(rig.append(0, None), Ok(Offset::new(1)), "somebody else's record behind it");
        assert_eq!((rig.committed(0), rig.read(0, Isolation::ReadUncommitted)), (vec![], vec![0, 1]));
        let next = rig.end(producer, committed).unwrap();
        assert_eq!(next, (producer.0, producer.1 + 1));
        assert_eq!(rig.committed(0), Vec::<u64>::new(), "decided, but the marker is not safe yet");
        assert_eq!(rig.produce(0, next, 0, true), Err(LogError::ConcurrentTransactions));
        rig.write();
        let expected = if committed { (vec![0, 1], vec![0]) } else { (vec![1], vec![]) };
        assert_eq!((rig.committed(0), rig.committed(1)), expected);
        assert_eq!(rig.happened(|event| matches!(event, Event::TransactionOpened { .. })), 2);
        assert_eq!(rig.happened(|event| matches!(event, Event::TransactionEnded { .. })), 2);
        assert_eq!(rig.happened(|event| matches!(event, Event::Aborted { .. })), if committed { 0 } else { 2 });
        // The marker took offset 2, and is nothing that anybody has still to do.
        assert_eq!(rig.node.lag(GROUP(), |store| rig.node.partition(store)), 3);
        assert_eq!(rig.produce(0, next, 0, true), Ok(Offset::new(3)));
    }
}

#[test]
fn a_repeated_batch_is_answered_with_its_old_offset() {
    let mut rig = rig(TransactionVersion::V2);
    let request = Message::InitProducerId { correlation: 7, transactional: None, timeout: secs(60), known: None };
    let Message::ProducerIdAssigned { correlation: 7, result: Ok(producer) } = rig.ask(request) else { panic!() };
    assert_eq!(rig.append(0, None), Ok(Offset::ZERO));
    assert_eq!(rig.produce(0, producer, 0, false), Ok(Offset::new(1)));
    assert_eq!(rig.produce(0, producer, 0, false), Ok(Offset::new(1)));
    assert_eq!(rig.produce(0, producer, 2, false), Err(LogError::OutOfOrderSequence));
    rig.crash();
    assert_eq!(rig.produce(0, producer, 0, false), Ok(Offset::new(1)), "the log tells it after a crash");
    assert_eq!(rig.produce(0, producer, 1, false), Ok(Offset::new(2)));
    assert_eq!(rig.happened(|event| matches!(event, Event::Deduplicated { .. })), 2);
    assert_eq!(rig.happened(|event| matches!(event, Event::Stored { .. })), 3);
}

#[test]
fn no_producer_id_is_given_out_twice_whatever_is_forgotten() {
    for kind in [Crash::Process, Crash::Power, Crash::Disk] {
        let mut rig = rig_on(TransactionVersion::V2, Some(PageCacheConfig { age: secs(10), every: secs(5) }));
        let init = |rig: &mut Rig| {
            let request =
                Message::InitProducerId { correlation: 7, transactional: None, timeout: secs(60), known: None };
            let Message::ProducerIdAssigned { result: Ok((id, _)), .. } = rig.ask(request) else { panic!() };
            id
        };
        let before = init(&mut rig);
        rig.go_down(kind);
        assert_ne!(init(&mut rig), before, "{kind:?}");
    }
}

#[test]
fn with_version_1_partitions_are_added_first_and_the_epoch_stays() {
    let mut rig = rig(TransactionVersion::V1);
    let producer = rig.init(None).unwrap();
    assert_eq!(rig.produce(0, producer, 0, true), Err(LogError::TransactionAbortable));
    assert_eq!(rig.add(producer, 0), Ok(()));
    assert_eq!(rig.produce(0, producer, 0, true), Ok(Offset::ZERO));
    assert_eq!(rig.end(producer, true), Ok(producer));
    assert_eq!(rig.end(producer, true), Err(LogError::ConcurrentTransactions));
    rig.write();
    assert_eq!(rig.end(producer, true), Ok(producer), "asked once more");
    assert_eq!(rig.end(producer, false), Err(LogError::InvalidTransactionState));
    assert_eq!(rig.committed(0), [0]);
    assert_eq!(rig.add(producer, 0), Ok(()));
    assert_eq!(rig.produce(0, producer, 1, true), Ok(Offset::new(2)));
}

#[test]
fn a_producer_that_comes_back_has_its_old_transaction_aborted_and_shuts_the_old_one_out() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let mut rig = rig(version);
        let old = rig.init(None).unwrap();
        if version == TransactionVersion::V1 {
            rig.add(old, 0).unwrap();
        }
        rig.produce(0, old, 0, true).unwrap();
        assert_eq!(rig.init(None), Err(LogError::ConcurrentTransactions), "it is being aborted");
        assert_eq!(rig.init(None), Err(LogError::ConcurrentTransactions), "the marker is not written yet");
        rig.write();
        let new = rig.init(None).unwrap();
        assert!(new.0 == old.0 && new.1 > old.1);
        assert_eq!(rig.committed(0), Vec::<u64>::new());
        assert_eq!(rig.produce(0, old, 1, true), Err(LogError::InvalidProducerEpoch));
        assert_eq!(rig.end(old, true), Err(LogError::ProducerFenced));
        assert_eq!(rig.init(Some(old)), Err(LogError::ProducerFenced));
    }
}

#[test]
fn a_transaction_that_is_open_too_long_is_aborted() {
    let mut rig = rig(TransactionVersion::V2);
    let producer = rig.init(None).unwrap();
    rig.produce(0, producer, 0, true).unwrap();
    rig.append(0, None).unwrap();
    // Sixty seconds are allowed, and every ten seconds the coordinator looks for what takes longer.
    rig.wait(secs(69));
    rig.write();
    assert_eq!(rig.committed(0), Vec::<u64>::new());
    rig.wait(secs(1));
    rig.write();
    assert_eq!(rig.committed(0), [1]);
    assert_eq!(rig.produce(0, producer, 1, true), Err(LogError::InvalidProducerEpoch));
    assert_eq!(rig.end(producer, true), Err(LogError::ProducerFenced));
}

#[test]
fn what_was_decided_is_completed_after_a_crash() {
    for committed in [true, false] {
        let mut rig = rig(TransactionVersion::V2);
        let producer = rig.init(None).unwrap();
        rig.produce(0, producer, 0, true).unwrap();
        rig.produce(1, producer, 0, true).unwrap();
        let next = rig.end(producer, committed).unwrap();
        // The node dies before its markers are in the page cache.
        rig.crash();
        assert_eq!(rig.committed(0), Vec::<u64>::new());
        rig.wait(secs(0));
        rig.write();
        let expected: &[u64] = if committed { &[0] } else { &[] };
        assert_eq!((rig.committed(0), rig.committed(1)), (expected.to_vec(), expected.to_vec()));
        assert_eq!(rig.produce(0, next, 0, true), Ok(Offset::new(2)));
    }
}

#[test]
fn a_marker_that_went_with_the_power_is_written_again() {
    for (version, committed) in [
        (TransactionVersion::V1, true),
        (TransactionVersion::V2, true),
        (TransactionVersion::V1, false),
        (TransactionVersion::V2, false),
    ] {
        let mut rig = rig_on(version, Some(PageCacheConfig { age: secs(10), every: secs(5) }));
        let producer = rig.init(None).unwrap();
        if version == TransactionVersion::V1 {
            rig.add(producer, 0).unwrap();
        }
        rig.produce(0, producer, 0, true).unwrap();
        // The operating system writes back the record and the decision; the marker comes no further than the page cache.
        let next = rig.end(producer, committed).unwrap();
        rig.wait(secs(5));
        rig.write();
        rig.wait(secs(10));
        rig.flush();
        rig.go_down(Crash::Power);
        rig.append(0, None).unwrap();
        rig.wait(secs(0));
        rig.write();
        let expected: &[u64] = if committed { &[0, 1] } else { &[1] };
        assert_eq!(rig.committed(0), expected, "{version:?}");
        let sequence = u32::from(version == TransactionVersion::V1);
        if version == TransactionVersion::V1 {
            rig.add(next, 0).unwrap();
        }
        assert_eq!(rig.produce(0, next, sequence, true), Ok(Offset::new(3)), "{version:?}");
    }
}

#[test]
fn an_open_transaction_survives_a_crash_and_can_be_committed() {
    let mut rig = rig(TransactionVersion::V2);
    let producer = rig.init(None).unwrap();
    rig.produce(0, producer, 0, true).unwrap();
    rig.crash();
    rig.produce(0, producer, 1, true).unwrap();
    rig.end(producer, true).unwrap();
    rig.write();
    assert_eq!(rig.committed(0), [0, 1]);
}

#[test]
fn a_marker_that_was_written_before_the_crash_is_written_twice_and_counts_once() {
    let mut rig = rig(TransactionVersion::V2);
    let producer = rig.init(None).unwrap();
    rig.produce(0, producer, 0, true).unwrap();
    rig.produce(1, producer, 0, true).unwrap();
    rig.end(producer, false).unwrap();
    // Only the first partition's marker reaches the page cache.
    let (first, until) = rig.writes[0];
    rig.writes = vec![(first, until)];
    rig.write();
    rig.crash();
    rig.wait(secs(0));
    rig.write();
    assert_eq!((rig.committed(0), rig.committed(1)), (vec![], vec![]));
    assert_eq!(
        rig.happened(|event| matches!(event, Event::Aborted { .. })),
        3,
        "told again of the marker that was lost"
    );
    let next = rig.init(None).unwrap();
    rig.produce(1, next, 0, true).unwrap();
    rig.end(next, true).unwrap();
    rig.write();
    assert_eq!(rig.committed(1), [2]);
}

#[test]
fn epochs_that_run_out_lead_to_a_new_producer_id() {
    let mut rig = rig(TransactionVersion::V2);
    let first = rig.init(None).unwrap();
    let mut producer = first;
    while producer.0 == first.0 {
        rig.produce(0, producer, 0, true).unwrap();
        producer = rig.end(producer, true).unwrap();
        rig.write();
    }
    assert_eq!(producer.1, 0);
    rig.produce(0, producer, 0, true).unwrap();
    let last = rig.end(producer, true).unwrap();
    rig.write();
    assert_eq!(last, (producer.0, 1));
    assert_eq!(rig.committed(0).len(), 1 << 15);
}
