//! One node (or several), producers and group members, joined by a network and a disk that take no time.

use std::collections::BTreeMap;
use std::ops::Range;

use brokerlab_broker::assignor::Assignor;
use brokerlab_broker::client::{Batcher, GroupMember};
use brokerlab_broker::config::{
    Acks, BatcherConfig, BrokerSessions, CommitPolicy, ConsumerConfig, ConsumerKind, Deployment, FetchLimits,
    FlushPolicy, GroupConfig, GroupMemberConfig, GroupProtocol, Isolation, OffsetReset, ProducerConfig, ProducerKind,
    Profile, ReplicationConfig, SeekTo, TopicConfig,
};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{
    ApplicationId, ClientId, Distribution, Duration, Event, EventLog, FailureLaw, Generator, KeyId, KeyTable, Kinds,
    MessageId, Model, NodeId, Record, RunHeader, StoreId, Stream, Time, WorkLaw,
};

pub const fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// What a story may choose.
pub struct Plan {
    pub partitions: u32,
    pub members: u32,
    pub nodes: u16,
    pub work: Duration,
    pub acks: Acks,
    pub linger: Duration,
    pub fetch: FetchLimits,
    pub member: GroupMemberConfig,
    pub retention_time: Option<Duration>,
    pub segment_bytes: u64,
    pub session_timeout: Duration,
    pub offsets_retention: Duration,
    pub protocol: GroupProtocol,
    pub failures: Option<FailureLaw>,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            partitions: 2,
            members: 2,
            nodes: 1,
            work: ms(100),
            acks: Acks::All,
            linger: Duration::ZERO,
            fetch: FetchLimits::default(),
            protocol: GroupProtocol::Classic,
            member: GroupMemberConfig {
                assignors: vec![Assignor::Range, Assignor::CooperativeSticky],
                is_static: false,
                heartbeat_interval: secs(1),
                max_poll_records: 500,
                max_poll_interval: secs(300),
                reset: OffsetReset::Earliest,
                commit: CommitPolicy::Automatic { every: secs(5) },
                max_attempts: 10,
                retry: None,
                isolation: Isolation::ReadUncommitted,
                metadata_max_age: None,
                is_cluster: false,
            },
            retention_time: None,
            segment_bytes: 1 << 30,
            session_timeout: secs(6),
            offsets_retention: secs(604_800),
            failures: None,
        }
    }
}

/// How many partitions a story may add.
const LATER: u32 = 2;

/// The only producer; members follow it in number.
pub const PRODUCER: u32 = 0;

#[derive(Clone)]
pub struct Rig {
    pub now: Time,
    pub nodes: Vec<Node<()>>,
    pub producer: Batcher<()>,
    pub members: Vec<GroupMember<()>>,
    pub events: EventLog,
    /// By member: not connected; paused with what has arrived.
    up: Vec<bool>,
    paused: BTreeMap<usize, Vec<Message<()>>>,
    out: Outbox<()>,
    offered: u64,
}

impl Plan {
    fn member_config(&self, number: u32) -> ConsumerConfig {
        let work = Distribution::Constant(self.work.as_secs_f64());
        ConsumerConfig {
            client: ClientId::new(number),
            name: format!("billing/{number}").into(),
            application: ApplicationId::new(0),
            node: NodeId::new(0),
            work: WorkLaw { distribution: work, stream: Stream::new(1, "work") },
            failures: self.failures,
            answers: false,
            kind: ConsumerKind::Group(self.member.clone()),
        }
    }

    pub fn deployment(&self) -> Deployment {
        let partitions: Vec<StoreId> = (0..self.partitions).map(StoreId::new).collect();
        let topic = TopicConfig {
            partitions: partitions.clone(),
            replication: ReplicationConfig {
                nodes: self.nodes,
                copies: self.nodes,
                ..ReplicationConfig::single(NodeId::new(0))
            },
            max_message_bytes: 1 << 20,
            segment_bytes: self.segment_bytes,
            segment_time: secs(7 * 86_400),
            retention_time: self.retention_time,
            retention_bytes: None,
            retention_check_interval: secs(10),
            compaction: None,
            flush: FlushPolicy::default(),
        };
        // Topics of records that are tried again, and of those that are not.
        let retry = self.member.retry.iter();
        let retried: Vec<StoreId> =
            retry.clone().flat_map(|retry| &retry.topics).flat_map(|topic| topic.partitions.clone()).collect();
        let dead = retry.flat_map(|retry| retry.dead_letters.clone());
        let further = retried.iter().copied().chain(dead);
        let further = further.map(|store| TopicConfig { partitions: vec![store], ..topic.clone() });
        let topics = std::iter::once(topic.clone()).chain(further).collect();
        let group = GroupConfig {
            application: ApplicationId::new(0),
            node: NodeId::new(0),
            partitions: partitions.iter().copied().chain(retried).collect(),
            session_timeout: self.session_timeout,
            rebalance_timeout: secs(60),
            initial_rebalance_delay: secs(3),
            offsets_retention: self.offsets_retention,
            protocol: self.protocol,
        };
        let batcher = ProducerKind::Batcher(BatcherConfig {
            acks: self.acks,
            linger: self.linger,
            batch_bytes: 1000,
            metadata_max_age: self.member.metadata_max_age,
            ..BatcherConfig::new(partitions)
        });
        Deployment {
            model: Model::Log,
            nodes: self.nodes,
            seed: 1,
            broker_sessions: BrokerSessions::default(),
            profile: Profile::default(),
            routing_keys: Vec::new(),
            exchanges: Vec::new(),
            queues: Vec::new(),
            memory_watermark: None,
            page_cache: None,
            bindings: Vec::new(),
            topics,
            groups: vec![group],
            share_groups: vec![],
            streams: vec![],
            fetch: self.fetch,
            producers: vec![ProducerConfig { client: ClientId::new(0), node: NodeId::new(0), kind: batcher }],
            consumers: (1..=self.members).map(|number| self.member_config(number)).collect(),
        }
    }

    /// Everything is set up and the producer runs; members are started by the story.
    pub fn rig(&self) -> Rig {
        let deployment = self.deployment();
        // Keys are numbered like the partitions that they go to, whatever their bytes; the last are for those that come
        // later.
        let placement = (0..self.partitions + LATER).collect();
        let mut rig = Rig {
            now: Time::ZERO,
            nodes: (0..self.nodes).map(|node| Node::new(NodeId::new(node), &deployment)).collect(),
            producer: Batcher::new(
                &deployment.producers[0],
                placement,
                Generator::new(1, "sticky"),
                Generator::new(1, "jitter"),
            ),
            members: deployment.consumers.iter().map(GroupMember::new).collect(),
            events: EventLog::default(),
            up: vec![false; self.members as usize],
            paused: BTreeMap::new(),
            out: Outbox::default(),
            offered: 0,
        };
        rig.producer.start(rig.now, &mut rig.out, &mut rig.events);
        rig
    }
}

impl Rig {
    /// Offers this many records of 100 bytes, dealt to the partitions in turn, at this moment.
    pub fn offer(&mut self, count: u64, partitions: u32) -> &mut Rig {
        for _ in 0..count {
            let key = KeyId::new((self.offered % u64::from(partitions)) as u32);
            self.offer_with(key, 100);
        }
        self
    }

    pub fn offer_with(&mut self, key: KeyId, size: u32) {
        let message = MessageId::new(self.offered);
        self.offered += 1;
        let sender = ClientId::new(PRODUCER);
        let envelope = Envelope { message, key, size, timestamp: self.now, sender, tombstone: false, payload: () };
        self.producer.handle_message(self.now, Message::Offer { kind: 0, envelope }, &mut self.out, &mut self.events);
        self.settle();
    }

    fn member_index(number: u32) -> usize {
        number as usize - 1
    }

    pub fn start(&mut self, number: u32) -> &mut Rig {
        let index = Rig::member_index(number);
        self.up[index] = true;
        self.members[index].start(self.now, &mut self.out, &mut self.events);
        self.settle();
        self
    }

    pub fn crash(&mut self, number: u32) -> &mut Rig {
        let index = Rig::member_index(number);
        self.up[index] = false;
        self.paused.remove(&index);
        self.members[index].crash(self.now, &mut self.events);
        let lost = Address::Client(ClientId::new(number));
        self.nodes[0].handle_message(self.now, lost, Message::ConnectionLost, &mut self.out, &mut self.events);
        self.settle();
        self
    }

    pub fn leave(&mut self, number: u32) -> &mut Rig {
        let index = Rig::member_index(number);
        self.members[index].leave(self.now, &mut self.out, &mut self.events);
        self.up[index] = false;
        self.settle();
        self
    }

    /// Somebody sends the group elsewhere.
    pub fn seek(&mut self, to: SeekTo) -> &mut Rig {
        self.nodes[0].seek(self.now, ApplicationId::new(0), to);
        for member in &mut self.members {
            member.ask_where(self.now, &mut self.out, &mut self.events);
        }
        self.settle();
        self
    }

    /// Somebody adds partitions of these numbers to the topic.
    pub fn add_partitions(&mut self, numbers: Range<u32>) -> &mut Rig {
        let stores: Vec<StoreId> = numbers.map(StoreId::new).collect();
        let first = StoreId::new(0);
        self.nodes[0].add_partitions(self.now, first, &stores, &mut self.out, &mut self.events);
        self.settle();
        self
    }

    pub fn pause(&mut self, number: u32) -> &mut Rig {
        self.members[Rig::member_index(number)].worker().pause(self.now, &mut self.events);
        self.paused.insert(Rig::member_index(number), Vec::new());
        self
    }

    pub fn resume(&mut self, number: u32) -> &mut Rig {
        let index = Rig::member_index(number);
        self.members[index].worker().resume(self.now, &mut self.events);
        for message in self.paused.remove(&index).expect("it was paused") {
            self.members[index].handle_message(self.now, message, &mut self.out, &mut self.events);
        }
        self.settle();
        self
    }

    /// Carries out what is wanted, until nothing is.
    fn settle(&mut self) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { from, to, message } => self.deliver(from, to, message),
                Effect::Write { node, store, until } => {
                    let written = Message::Written { store, until };
                    self.hand_to_node(node, Address::Disk, written);
                }
                Effect::Flush { .. } => panic!("the log side leaves flushing to the operating system"),
            }
        }
    }

    fn hand_to_node(&mut self, node: NodeId, from: Address, message: Message<()>) {
        self.nodes[node.index()].handle_message(self.now, from, message, &mut self.out, &mut self.events);
    }

    fn deliver(&mut self, from: Address, to: Address, message: Message<()>) {
        match to {
            Address::Node(node) => self.hand_to_node(node, from, message),
            Address::Client(client) if client.get() == PRODUCER => {
                self.producer.handle_message(self.now, message, &mut self.out, &mut self.events);
            }
            Address::Client(client) => {
                let index = Rig::member_index(client.get());
                if let Some(waiting) = self.paused.get_mut(&index) {
                    waiting.push(message);
                } else if self.up[index] {
                    self.members[index].handle_message(self.now, message, &mut self.out, &mut self.events);
                }
            }
            Address::Controller => {}
            Address::Demand | Address::Disk => panic!("nobody writes to {to:?}"),
        }
    }

    /// Lets this much time pass.
    pub fn run(&mut self, duration: Duration) -> &mut Rig {
        let until = self.now + duration;
        for _ in 0..1_000_000 {
            self.settle();
            let next = self.next_timeout().filter(|at| *at <= until);
            let Some(at) = next else {
                self.now = until;
                return self;
            };
            self.now = self.now.max(at);
            self.timeouts();
        }
        panic!("a million timeouts within {duration}: something does not move on");
    }

    fn next_timeout(&self) -> Option<Time> {
        let nodes = self.nodes.iter().filter_map(Node::next_timeout);
        let members = self.members.iter().filter_map(GroupMember::next_timeout);
        nodes.chain(members).chain(self.producer.next_timeout()).min()
    }

    fn timeouts(&mut self) {
        let (now, out, events) = (self.now, &mut self.out, &mut self.events);
        let is_due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        for node in self.nodes.iter_mut().filter(|node| is_due(node.next_timeout())) {
            node.handle_timeout(now, out, events);
        }
        if is_due(self.producer.next_timeout()) {
            self.producer.handle_timeout(now, out, events);
        }
        for member in self.members.iter_mut().filter(|member| is_due(member.next_timeout())) {
            member.handle_timeout(now, out, events);
        }
    }

    pub fn census(&mut self) -> Vec<Event> {
        let before = self.events.len();
        let header = header();
        for node in &self.nodes {
            node.census(self.now, &header, &node.partitions().collect::<Vec<_>>(), &[], &mut self.events);
        }
        for member in &self.members {
            member.census(self.now, &mut self.events);
        }
        self.events.records()[before..].iter().map(|record| record.event()).collect()
    }

    /// What happened, as text, without the kinds named; one line each.
    pub fn story(&self, kinds: &[&str]) -> String {
        let wanted = self.events.records().iter().filter(|record| kinds.contains(&record.event().name()));
        let line = |record: &Record| format!("{} {:?}\n", record.time, record.event());
        wanted.map(line).collect::<String>().replace('{', "").replace(" }", "")
    }

    pub fn count(&self, kind: &str) -> usize {
        self.events.records().iter().filter(|record| record.event().name() == kind).count()
    }

    /// How many times each offered message was processed.
    pub fn processed(&self) -> Vec<u32> {
        let mut counts = vec![0; self.offered as usize];
        for record in self.events.records() {
            if let Event::Processed { message, .. } = record.event() {
                counts[message.index()] += 1;
            }
        }
        counts
    }
}

pub fn header() -> RunHeader {
    RunHeader {
        title: String::new(),
        contender: String::new(),
        model: Model::Log,
        seed: 0,
        demand_digest: 0,
        horizon: Time::MAX,
        warm_up: Time::ZERO,
        applications: Vec::new(),
        clients: Vec::new(),
        stores: Vec::new(),
        faults: Vec::new(),
        keys: KeyTable::default(),
        kinds: Kinds::default(),
        promises: Vec::new(),
    }
}
