//! What is left of a quorum queue with members on several nodes when some of these are down.

use std::collections::BTreeSet;

use brokerlab_broker::config::*;
use brokerlab_broker::log::Crash;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Model, NodeId, StoreId, Time};
use serde_json::Value;

use super::compare;
use super::restart::{hold_against, word};

const CHANNEL: u16 = 1;
const NAME: RoutingKey = RoutingKey(0);

fn queue_id() -> StoreId {
    StoreId::new(0)
}

fn client() -> ClientId {
    ClientId::new(0)
}

/// Runs a case: the message is confirmed, and then so many members die, whichever they are.
pub fn run(case: &Value, members: u16, down: u16) -> Result<(), String> {
    compare("message", Some("confirmed"), case["message"].as_str())?;
    if members == 0 || down > members {
        return Err(format!("cannot express {members} members with {down} down"));
    }
    for choice in choices(members, down) {
        let mut cluster = Cluster::new(members);
        let confirmed = cluster.publish(0);
        compare("confirmed before the crash", vec!["confirmed"], confirmed)?;
        choice.iter().for_each(|node| cluster.crash(*node));
        cluster.run_for(Duration::from_secs(10));
        // It is available if it answers at every node that is left.
        let left: Vec<u16> = (0..members).filter(|node| !choice.contains(node)).collect();
        let again: Vec<_> = left.iter().map(|node| cluster.publish(*node)).collect();
        let available = !again.is_empty() && again.iter().all(|words| words.contains(&"confirmed"));
        let survives = left.first().is_some_and(|node| cluster.get(*node) == ["message"]);
        let found = [("queue_available", available), ("message_survives", survives)];
        hold_against(&case["expect"], &found).map_err(|problem| format!("with {choice:?} down: {problem}"))?;
    }
    Ok(())
}

/// Every way to choose so many of the nodes.
fn choices(nodes: u16, count: u16) -> Vec<BTreeSet<u16>> {
    let all = 0..1u32 << nodes;
    let chosen = all.filter(|bits| bits.count_ones() == u32::from(count));
    chosen.map(|bits| (0..nodes).filter(|node| bits & 1 << node != 0).collect()).collect()
}

/// Nodes that reach each other at once, and have a member each.
struct Cluster {
    now: Time,
    nodes: Vec<Option<Node<()>>>,
    published: u64,
}

impl Cluster {
    fn new(members: u16) -> Cluster {
        let mut queue = QueueConfig::new(queue_id(), NodeId::new(0), NAME);
        queue.kind = QueueKind::Quorum(QuorumOptions { group_size: members, ..QuorumOptions::default() });
        let deployment = Deployment {
            model: Model::Queue,
            nodes: members,
            seed: 1,
            broker_sessions: BrokerSessions::default(),
            profile: Profile::default(),
            routing_keys: vec!["queue".into()],
            exchanges: ExchangeConfig::predeclared(),
            queues: vec![queue],
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
        let nodes = (0..members).map(|node| Some(Node::new(NodeId::new(node), &deployment))).collect();
        Cluster { now: Time::ZERO, nodes, published: 0 }
    }

    /// Passes a message to a node; what clients are answered within ten seconds, in a word each.
    fn ask(&mut self, node: u16, message: Message<()>) -> Vec<&'static str> {
        let mut out = Outbox::default();
        out.send(Address::Client(client()), Address::Node(NodeId::new(node)), message);
        let mut words = self.settle(out);
        words.extend(self.run_for(Duration::from_secs(10)));
        words
    }

    fn publish(&mut self, node: u16) -> Vec<&'static str> {
        let message = MessageId::new(self.published);
        self.published += 1;
        let envelope = Envelope {
            message,
            key: KeyId::NONE,
            size: 10,
            timestamp: self.now,
            sender: client(),
            tombstone: false,
            payload: (),
        };
        let publication = Publication { envelope, exchange: ExchangeId::DEFAULT, routing_key: NAME, properties: None };
        self.ask(node, Message::ConfirmSelect { channel: CHANNEL });
        self.ask(node, Message::Publish { channel: CHANNEL, mandatory: false, publication })
    }

    fn get(&mut self, node: u16) -> Vec<&'static str> {
        self.ask(node, Message::Get { channel: CHANNEL, queue: queue_id(), auto_ack: true })
    }

    fn crash(&mut self, node: u16) {
        let Some(machine) = self.nodes[usize::from(node)].take() else { return };
        machine.crash(self.now, Crash::Process, &mut ());
        let mut out = Outbox::default();
        for other in 0..self.nodes.len() as u16 {
            out.send(Address::Node(NodeId::new(node)), Address::Node(NodeId::new(other)), Message::ConnectionLost);
        }
        self.settle(out);
    }

    /// Carries out everything that takes no time.
    fn settle(&mut self, mut out: Outbox<()>) -> Vec<&'static str> {
        let mut words = Vec::new();
        while let Some(effect) = out.pop() {
            let (from, to, message) = match effect {
                Effect::Send { from, to: Address::Node(node), message } => (from, node, message),
                Effect::Send { message, .. } => {
                    words.extend(word(&message));
                    continue;
                }
                Effect::Write { node, store, until } => (Address::Disk, node, Message::Written { store, until }),
                Effect::Flush { node, store, until } => (Address::Disk, node, Message::Flushed { store, until }),
            };
            if let Some(node) = &mut self.nodes[to.index()] {
                node.handle_message(self.now, from, message, &mut out, &mut ());
            }
        }
        words
    }

    fn run_for(&mut self, time: Duration) -> Vec<&'static str> {
        let (until, mut words) = (self.now.saturating_add(time), Vec::new());
        loop {
            let due = |(index, node): (usize, &Option<Node<()>>)| Some((node.as_ref()?.next_timeout()?, index));
            let next = self.nodes.iter().enumerate().filter_map(due).min().filter(|(at, _)| *at <= until);
            let Some((at, index)) = next else { break };
            self.now = self.now.max(at);
            let mut out = Outbox::default();
            if let Some(node) = &mut self.nodes[index] {
                node.handle_timeout(self.now, &mut out, &mut ());
            }
            words.extend(self.settle(out));
        }
        self.now = until;
        words
    }
}
