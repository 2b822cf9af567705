//! The same with a node of the engine between: without simulation, clients, metrics and verdicts.

use std::sync::Arc;

use brokerlab_broker::assignor::Assignor;
use brokerlab_broker::config::{
    Acks, BrokerSessions, Deployment, FetchLimits, FlushPolicy, GroupConfig, GroupProtocol, Isolation, Profile,
    ReplicationConfig, TopicConfig,
};
use brokerlab_broker::message::{FetchPosition, FetchedPartition, Member, MemberMetadata};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{ApplicationId, ClientId, Duration, KeyId, MessageId, Model, NodeId, Offset, StoreId, Time};

use super::{GROUPS, Middle, run};

/// A member of a group, as far as it talks to the broker. It asks for more while it works on what it was given.
#[derive(Default)]
struct Reader {
    /// The records that it works on; those before `done` are done.
    batch: Vec<(Offset, Envelope<()>)>,
    done: usize,
    /// Fetched meanwhile.
    ahead: Vec<(Offset, Envelope<()>)>,
    generation: u32,
    correlation: u32,
    /// Where to fetch from; the memory of the last request.
    positions: Vec<FetchPosition>,
    /// The memory of the last answer.
    spare: Vec<FetchedPartition<()>>,
    /// The memory of the last commit; there is nothing in it.
    offsets: Vec<(StoreId, Offset)>,
}

impl Reader {
    /// Works on what it has been given, if there is anything, and asks for more.
    fn poll(&mut self, group: usize, out: &mut Outbox<()>) -> bool {
        if self.ahead.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.batch, &mut self.ahead);
        (self.done, _) = (0, self.ahead.clear());
        self.fetch(group, out);
        true
    }

    fn fetch(&mut self, group: usize, out: &mut Outbox<()>) {
        self.correlation = self.correlation.wrapping_add(1);
        let (correlation, isolation) = (self.correlation, Isolation::ReadUncommitted);
        let (positions, spare) = (std::mem::take(&mut self.positions), std::mem::take(&mut self.spare));
        out.send(address(group), Address::Node(node()), Message::Fetch { correlation, isolation, positions, spare });
    }

    fn commit(&mut self, group: usize, next: Offset, out: &mut Outbox<()>) {
        self.correlation = self.correlation.wrapping_add(1);
        let (correlation, generation) = (self.correlation, self.generation);
        let (group, member, mut offsets) = (application(group), member(group), std::mem::take(&mut self.offsets));
        offsets.push((store(), next));
        let commit = Message::CommitOffsets { correlation, group, member, generation, offsets };
        out.send(Address::Client(member.client), Address::Node(node()), commit);
    }
}

struct Broker {
    node: Node<()>,
    out: Box<Outbox<()>>,
    round: Box<Outbox<()>>,
    readers: [Reader; GROUPS],
    messages: u64,
}

fn store() -> StoreId {
    StoreId::new(0)
}

fn node() -> NodeId {
    NodeId::new(0)
}

fn application(group: usize) -> ApplicationId {
    ApplicationId::new(group as u16)
}

/// Members are numbered like their groups, and the producer comes behind them.
fn member(group: usize) -> Member {
    Member { client: ClientId::new(group as u32), incarnation: 1 }
}

fn address(group: usize) -> Address {
    Address::Client(member(group).client)
}

/// A unit of the loop's time is a millisecond, so that hardly any fetch waits for as long as it may.
fn time(now: f64) -> Time {
    Time::from_nanos((now * 1e6) as u64)
}

fn deployment() -> Deployment {
    let forever = Duration::from_secs(1 << 33);
    let topic = TopicConfig {
        partitions: vec![store()],
        replication: ReplicationConfig::single(node()),
        max_message_bytes: 1 << 20,
        segment_bytes: 1 << 18,
        segment_time: forever,
        retention_time: Some(Duration::from_secs(1)),
        retention_bytes: None,
        retention_check_interval: Duration::from_secs(1),
        compaction: None,
        flush: FlushPolicy::default(),
    };
    let group = |number: usize| GroupConfig {
        application: application(number),
        node: node(),
        partitions: vec![store()],
        session_timeout: forever,
        rebalance_timeout: forever,
        initial_rebalance_delay: Duration::ZERO,
        offsets_retention: forever,
        protocol: GroupProtocol::Classic,
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
        groups: (0..GROUPS).map(group).collect(),
        share_groups: vec![],
        streams: vec![],
        fetch: FetchLimits::default(),
        producers: vec![],
        consumers: vec![],
    }
}

impl Broker {
    /// Every group has joined and waits for the first message.
    fn new() -> Broker {
        let node = Node::new(node(), &deployment());
        let mut broker =
            Broker { node, out: Box::default(), round: Box::default(), readers: Default::default(), messages: 0 };
        for group in 0..GROUPS {
            let metadata = Arc::new(MemberMetadata {
                name: format!("member-{group}").into(),
                instance: None,
                assignors: vec![Assignor::Range],
                owned: vec![],
                generation: None,
            });
            let join = Message::JoinGroup { group: application(group), member: member(group), metadata };
            broker.out.send(address(group), Address::Node(self::node()), join);
            broker.readers[group].positions.push(FetchPosition { store: store(), epoch: 1, offset: Offset::ZERO });
            broker.readers[group].fetch(group, &mut broker.out);
        }
        broker.carry_out(0.0, &mut Vec::new());
        broker
    }

    /// Whatever is asked is answered at once, and written at once. Groups that have waited for a record are noted.
    fn carry_out(&mut self, now: f64, begins: &mut Vec<usize>) {
        let Broker { node, out, round, readers, .. } = self;
        let now = time(now);
        while let Some(effects) = round.next_round(out) {
            for effect in effects {
                match effect {
                    Effect::Send { from, to: Address::Node(_), message } => {
                        node.handle(now, *from, message, out, &mut ());
                    }
                    Effect::Send { to: Address::Client(client), message, .. } if client.index() < GROUPS => {
                        answered(client.index(), &mut readers[client.index()], message, out, begins);
                    }
                    &mut Effect::Write { store, until, .. } => node.handle_written(now, store, until, out, &mut ()),
                    _ => {}
                }
            }
        }
        if node.next_timeout().is_some_and(|due| due <= now) {
            node.handle_timeout(now, out, &mut ());
        }
    }
}

fn answered(
    group: usize,
    reader: &mut Reader,
    message: &mut Message<()>,
    out: &mut Outbox<()>,
    begins: &mut Vec<usize>,
) {
    match message {
        Message::Fetched { partitions, positions, .. } => {
            std::mem::swap(&mut reader.positions, positions);
            for partition in partitions.iter_mut() {
                std::mem::swap(&mut reader.ahead, partition.records.as_mut().expect("the reader is in range"));
                reader.positions[0].offset = partition.next;
            }
            std::mem::swap(&mut reader.spare, partitions);
            if reader.ahead.is_empty() {
                reader.fetch(group, out);
            } else if reader.done == reader.batch.len() && reader.poll(group, out) {
                begins.push(group);
            }
        }
        &mut Message::Joined { group, member, generation, .. } => {
            reader.generation = generation;
            let assignment = vec![(member, vec![store()])];
            let sync = Message::SyncGroup { group, member, generation, assignment };
            out.send(Address::Client(member.client), Address::Node(node()), sync);
        }
        Message::OffsetsCommitted { result, offsets, .. } => {
            assert_eq!(*result, Ok(()));
            std::mem::swap(&mut reader.offsets, offsets);
            reader.offsets.clear();
        }
        _ => {}
    }
}

impl Middle for Broker {
    fn arrive(&mut self, now: f64, begins: &mut Vec<usize>) {
        let (sender, timestamp) = (ClientId::new(GROUPS as u32), time(now));
        let message = MessageId::new(self.messages);
        let record =
            Envelope { message, key: KeyId::NONE, size: 100, timestamp, sender, tombstone: false, payload: () };
        let batch = vec![record].into();
        let produce = Message::Produce { store: store(), correlation: self.messages as u32, acks: Acks::All, batch };
        self.messages += 1;
        self.out.send(Address::Client(sender), Address::Node(node()), produce);
        self.carry_out(now, begins);
    }

    fn depart(&mut self, now: f64, group: usize) -> (f64, bool) {
        let reader = &mut self.readers[group];
        let (offset, record) = &reader.batch[reader.done];
        let (arrived, next) = (record.timestamp.as_nanos() as f64 / 1e6, offset.next());
        reader.done += 1;
        if reader.done < reader.batch.len() {
            return (arrived, true);
        }
        reader.commit(group, next, &mut self.out);
        let more = reader.poll(group, &mut self.out);
        self.carry_out(now, &mut Vec::new());
        (arrived, more)
    }
}

/// With a broker.
pub fn broker(messages: u64, seed: u64) -> f64 {
    run(messages, seed, &mut Broker::new())
}
