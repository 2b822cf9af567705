//! The walking skeleton: the interfaces on which everything stands, in one place. Two nodes with a replicated
//! log, a power loss that cuts the unflushed tail, inputs recorded and replayed, a seek in time.

use brokerlab_analysis::Timeline;
use brokerlab_broker::config::{
    Acks, BrokerSessions, Deployment, ExchangeConfig, ExchangeId, ExchangeKind, FetchLimits, FlushPolicy, Profile,
    QueueConfig, ReplicationConfig, RoutingKey, TopicConfig,
};
use brokerlab_broker::log::Crash;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{
    ClientId, Duration, Event, EventLog, Fingerprint, KeyId, MessageId, Model, NodeId, Observer, StoreId, Time,
};
use brokerlab_lab::{Keep, run_contender};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

/// One partition that node 0 leads and node 1 follows, and one durable queue on node 0.
fn deployment() -> Deployment {
    Deployment {
        model: Model::Log,
        nodes: 2,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile: Profile::default(),
        routing_keys: vec!["work".into()],
        exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct)],
        queues: vec![QueueConfig::new(StoreId::new(1), NodeId::new(0), RoutingKey(0))],
        memory_watermark: None,
        page_cache: None,
        bindings: vec![],
        topics: vec![TopicConfig {
            partitions: vec![StoreId::new(0)],
            replication: ReplicationConfig { nodes: 2, copies: 2, ..ReplicationConfig::single(NodeId::new(0)) },
            max_message_bytes: 1 << 20,
            segment_bytes: 1 << 30,
            segment_time: Duration::from_secs(600),
            retention_time: None,
            retention_bytes: None,
            retention_check_interval: Duration::from_secs(300),
            compaction: None,
            flush: FlushPolicy::default(),
        }],
        groups: vec![],
        share_groups: vec![],
        streams: vec![],
        fetch: FetchLimits::default(),
        producers: vec![],
        consumers: vec![],
    }
}

fn envelope(number: u64) -> Envelope<()> {
    let (message, sender) = (MessageId::new(number), ClientId::new(0));
    Envelope { message, key: KeyId::NONE, size: 10, timestamp: Time::ZERO, sender, tombstone: false, payload: () }
}

/// Nodes without a network between them: messages to other nodes wait until they are carried by hand.
struct Rig<O> {
    nodes: Vec<Node<()>>,
    /// Everything that a node was told, in order.
    inputs: Vec<(NodeId, Address, Message<()>)>,
    to_clients: Vec<Message<()>>,
    on_the_wire: Vec<(NodeId, NodeId, Message<()>)>,
    /// The disk flushes what it is asked to; otherwise everything stays in the page cache.
    flushes: bool,
    observer: O,
}

impl<O: Observer> Rig<O> {
    fn new(observer: O) -> Rig<O> {
        let nodes = (0..2).map(|id| Node::new(NodeId::new(id), &deployment())).collect();
        Rig { nodes, inputs: vec![], to_clients: vec![], on_the_wire: vec![], flushes: true, observer }
    }

    /// Tells a node something and carries out what follows, but for messages to the other node.
    fn tell(&mut self, node: u16, from: Address, message: Message<()>) {
        let mut out = Outbox::default();
        let mut inputs = vec![(NodeId::new(node), from, message)];
        while let Some((node, from, message)) = inputs.pop() {
            self.inputs.push((node, from, message.clone()));
            self.nodes[node.index()].handle_message(Time::ZERO, from, message, &mut out, &mut self.observer);
            while let Some(effect) = out.pop() {
                match effect {
                    Effect::Send { to: Address::Client(_), message, .. } => self.to_clients.push(message),
                    Effect::Send { to: Address::Node(to), message, .. } => self.on_the_wire.push((node, to, message)),
                    Effect::Send { to: Address::Controller, .. } => {}
                    Effect::Send { to, .. } => panic!("nobody writes to {to:?}"),
                    Effect::Write { store, until, .. } => {
                        inputs.push((node, Address::Disk, Message::Written { store, until }));
                    }
                    Effect::Flush { store, until, .. } if self.flushes => {
                        inputs.push((node, Address::Disk, Message::Flushed { store, until }));
                    }
                    Effect::Flush { .. } => {}
                }
            }
        }
    }

    /// Carries the oldest message between the nodes.
    fn carry(&mut self) {
        let (from, to, message) = self.on_the_wire.remove(0);
        self.tell(to.get(), Address::Node(from), message);
    }

    fn produce(&mut self, numbers: std::ops::Range<u64>, acks: Acks) {
        let batch = numbers.map(envelope).collect::<Vec<_>>().into();
        let produce = Message::Produce { store: StoreId::new(0), correlation: 7, acks, batch };
        self.tell(0, Address::Client(ClientId::new(0)), produce);
    }

    fn wake(&mut self, node: u16) {
        let mut out = Outbox::default();
        self.nodes[usize::from(node)].handle_timeout(Time::ZERO, &mut out, &mut self.observer);
        while let Some(effect) = out.pop() {
            if let Effect::Send { to: Address::Node(to), message, .. } = effect {
                self.on_the_wire.push((NodeId::new(node), to, message));
            }
        }
    }

    /// Takes node 0 down and brings it back with what survived.
    fn crash(&mut self, kind: Crash) {
        let node = self.nodes[0].clone();
        self.nodes[0] = Node::recover(Time::ZERO, node.crash(Time::ZERO, kind, &mut ()), &deployment());
    }

    fn depth_of_the_queue(&mut self) -> u64 {
        self.tell(0, Address::Client(ClientId::new(1)), Message::InspectQueue { channel: 1, queue: StoreId::new(1) });
        match self.to_clients.pop() {
            Some(Message::QueueState { ready, .. }) => ready,
            other => panic!("expected the state of the queue, got {other:?}"),
        }
    }

    fn publish(&mut self, number: u64) {
        let publish = Message::Publish {
            channel: 1,
            mandatory: false,
            publication: Publication {
                envelope: envelope(number),
                exchange: ExchangeId::DEFAULT,
                routing_key: RoutingKey(0),
                properties: None,
            },
        };
        self.tell(0, Address::Client(ClientId::new(0)), publish);
    }
}

fn is_produced(message: &Message<()>) -> bool {
    matches!(message, Message::Produced { result: Ok(_), .. })
}

#[test]
fn acks_all_is_answered_one_round_trip_after_the_follower_has_the_records() {
    let mut rig = Rig::new(());
    rig.wake(1);
    while !rig.on_the_wire.is_empty() {
        rig.carry(); // the follower asks from 0 and is kept waiting
    }
    rig.produce(0..3, Acks::All);
    assert!(!rig.to_clients.iter().any(is_produced), "no replica has it");
    rig.carry(); // the records reach the follower
    assert!(!rig.to_clients.iter().any(is_produced), "the follower has it, but the leader does not know");
    rig.carry(); // the follower's next fetch says so
    assert!(rig.to_clients.iter().any(is_produced));
}

#[test]
fn a_leader_answers_acks_1_before_any_follower_has_the_record() {
    let mut rig = Rig::new(());
    rig.produce(0..3, Acks::Leader);
    assert!(rig.to_clients.iter().any(is_produced));
    assert!(rig.on_the_wire.is_empty());
}

#[test]
fn a_power_loss_cuts_what_was_not_flushed_and_a_process_crash_does_not() {
    for (kind, survive) in [(Crash::Process, 0), (Crash::Power, 0), (Crash::Disk, 0)] {
        let mut rig = Rig::new(());
        rig.flushes = false;
        rig.publish(0);
        rig.crash(kind);
        assert_eq!(rig.depth_of_the_queue(), survive, "{kind:?}: it was in the memory of the process only");
    }
    for (kind, survive) in [(Crash::Process, 2), (Crash::Power, 2), (Crash::Disk, 0)] {
        let mut rig = Rig::new(());
        rig.publish(0);
        rig.publish(1);
        rig.flushes = false;
        rig.publish(2);
        rig.crash(kind);
        assert_eq!(rig.depth_of_the_queue(), survive, "{kind:?}: two were flushed");
    }
}

#[test]
fn asking_for_confirms_again_does_not_number_publishes_anew() {
    let mut rig = Rig::new(());
    for number in 0..3 {
        rig.tell(0, Address::Client(ClientId::new(0)), Message::ConfirmSelect { channel: 1 });
        rig.publish(number);
    }
    let sequence = |message: &Message<()>| match message {
        Message::Confirm { sequence, result: Ok(()), .. } => Some(*sequence),
        _ => None,
    };
    assert_eq!(rig.to_clients.iter().filter_map(sequence).collect::<Vec<_>>(), [1, 2, 3]);
}

/// A story with both sides of the node in it.
fn story<O: Observer>(observer: O) -> Rig<O> {
    let mut rig = Rig::new(observer);
    rig.wake(1);
    rig.carry();
    for number in 0..5 {
        rig.publish(number);
        rig.produce(number * 2..number * 2 + 2, Acks::All);
        while !rig.on_the_wire.is_empty() && rig.inputs.len() < 200 {
            rig.carry();
        }
    }
    rig
}

#[test]
fn recorded_inputs_replay_to_the_same_fingerprint() {
    let recorded = story(Fingerprint::default());
    let stored = story(EventLog::default()).observer;
    let is_stored = |event: &Event| matches!(event, Event::Stored { .. });
    assert!(stored.records().iter().filter(|record| is_stored(&record.event())).count() >= 15, "there is a story");

    let mut nodes: Vec<Node<()>> = (0..2).map(|id| Node::new(NodeId::new(id), &deployment())).collect();
    let (mut out, mut fingerprint) = (Outbox::default(), Fingerprint::default());
    nodes[1].handle_timeout(Time::ZERO, &mut out, &mut fingerprint);
    for (node, from, message) in recorded.inputs {
        nodes[node.index()].handle_message(Time::ZERO, from, message, &mut out, &mut fingerprint);
    }
    assert_eq!(fingerprint, recorded.observer);
}

fn built_in() -> Scenario {
    Scenario::parse(&Source::bundled("consumer-dies").expect("it is built in"), &[]).expect("it is valid")
}

#[test]
fn a_clone_of_a_simulation_goes_on_to_the_same_end() {
    let scenario = built_in();
    for contender in 0..scenario.contenders.len() {
        let plan = compile(&scenario, contender);
        let horizon = plan.header.horizon;
        let mut simulation = Simulation::new(&plan);
        let mut first_half = EventLog::default();
        simulation.run_until(Time::from_nanos(horizon.as_nanos() / 2), &plan.header, &mut first_half);
        let mut clone = simulation.clone();
        let (mut one, mut other) = (Fingerprint::default(), Fingerprint::default());
        simulation.run_until(horizon, &plan.header, &mut one);
        while clone.step(&plan.header, &mut other) {}
        assert!(one.events() > 1_000);
        assert_eq!(one, other, "stepping and running are the same");
    }
}

#[test]
fn a_seek_shows_the_moment_that_the_events_lead_to() {
    let scenario = built_in();
    let run = run_contender(&scenario, 0, Keep { events: true, ..Keep::default() }, &());
    let log = run.events.expect("events were kept");
    let (half, end) = (Time::from_nanos(run.header.horizon.as_nanos() / 2), run.header.horizon);
    let mut timeline = Timeline::new(&run.header, log.clone());
    let there = timeline.seek(half).clone();
    timeline.seek(end);
    assert_eq!(*timeline.seek(half), there, "coming back shows the same");
    let before = log.records().partition_point(|record| record.time <= half);
    assert_eq!(timeline.position(), before);
}
