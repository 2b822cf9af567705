//! What is left of queues, messages and exchanges when a broker's process was killed and started again.

use std::sync::Arc;

use brokerlab_broker::config::*;
use brokerlab_broker::log::Crash;
use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::node::Durable;
use brokerlab_broker::properties::{FieldTable, Properties};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{ClientId, KeyId, MessageId, Model, NodeId, StoreId, Time};
use serde_json::Value;

use super::{compare, groups, known_fields};

const CHANNEL: u16 = 1;
/// Routing keys: the queue's name, and the key by which it is bound.
const NAME: RoutingKey = RoutingKey(0);
const KEY: RoutingKey = RoutingKey(1);

/// One or two nodes, the first of which has a queue and an exchange that is bound to it.
struct Rig {
    deployment: Deployment,
    nodes: Vec<Node<()>>,
    exchange: ExchangeId,
}

/// Runs a case.
pub fn run(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "queue", "exchange", "message", "expect", "note", "basis"])?;
    match (case["queue"].as_str(), case["exchange"].as_str()) {
        (Some(queue), None) => run_queue(case, queue),
        (None, Some("transient")) => run_exchange(case, false),
        (None, Some("durable")) => run_exchange(case, true),
        (queue, exchange) => Err(format!("cannot express queue {queue:?} and exchange {exchange:?}")),
    }
}

fn run_queue(case: &Value, text: &str) -> Result<(), String> {
    if let Some((members, down)) = group(text) {
        return groups::run(case, members, down);
    }
    let mut queue = QueueConfig::new(queue_id(), NodeId::new(0), NAME);
    let (kind, elsewhere) = match text.split_once(", ") {
        None => (text, false),
        Some((kind, "no consumer yet")) => (kind, false),
        Some((kind, "one node of a cluster hosts it, that node is down")) => (kind, true),
        Some((_, other)) => return Err(format!("cannot express a queue with {other:?}")),
    };
    match kind {
        "durable" => {}
        "transient" => queue.durable = false,
        "exclusive" => queue.lifetime = Lifetime::Exclusive(client()),
        "durable auto-delete" => queue.lifetime = Lifetime::AutoDelete,
        "transient auto-delete" => (queue.lifetime, queue.durable) = (Lifetime::AutoDelete, false),
        "quorum" => queue.kind = QueueKind::Quorum(QuorumOptions::default()),
        other => return Err(format!("cannot express the queue {other:?}")),
    }
    let mut rig = Rig::new(queue, true, if elsewhere { 2 } else { 1 });
    let (delivery, fate) = case["message"].as_str().ok_or("no message")?.split_once(", ").unwrap_or_else(|| {
        let whole = case["message"].as_str().unwrap_or_default();
        (whole, "confirmed")
    });
    let is_transient = match delivery {
        "persistent" => false,
        "transient" => true,
        other => return Err(format!("cannot express a message that is {other:?}")),
    };
    let is_written = fate != "crash before the confirm was sent";
    let confirmed = rig.publish(ExchangeId::DEFAULT, NAME, is_transient, is_written);
    compare("confirmed before the crash", is_written, confirmed.contains(&"confirmed"))?;
    match fate {
        "confirmed" | "crash before the confirm was sent" => {}
        "delivered but unacked" => compare("delivered", vec!["message"], rig.get(0, false))?,
        "acked" => compare("delivered", vec!["message"], rig.get(0, true))?,
        other => return Err(format!("cannot express a message that is {other:?}")),
    }
    let durable = rig.crash();
    let mut found = vec![];
    if elsewhere {
        found.push(("queue_available", rig.get(1, true) != ["not found"]));
    }
    rig.recover(durable);
    let is_there = rig.ask(0, Message::InspectQueue { channel: CHANNEL, queue: queue_id() }) != ["not found"];
    found.push(("queue_survives", is_there));
    rig.ask(0, Message::CloseChannel { channel: CHANNEL });
    let message = rig.get(0, true) == ["message"];
    found.push(("message_survives", message));
    found.push(("ready_again", message));
    hold_against(&case["expect"], &found)
}

/// "quorum, 5 members, 2 down".
fn group(text: &str) -> Option<(u16, u16)> {
    let (members, down) = text.strip_prefix("quorum, ")?.split_once(" members, ")?;
    Some((members.parse().ok()?, down.strip_suffix(" down")?.parse().ok()?))
}

fn run_exchange(case: &Value, durable: bool) -> Result<(), String> {
    let mut rig = Rig::new(QueueConfig::new(queue_id(), NodeId::new(0), NAME), durable, 1);
    compare("routed before the crash", vec!["confirmed"], rig.publish(rig.exchange, KEY, false, true))?;
    compare("stored", vec!["message"], rig.get(0, true))?;
    let kept = rig.crash();
    rig.recover(kept);
    let exchange = rig.publish(rig.exchange, KEY, false, true) != ["not found"];
    rig.ask(0, Message::CloseChannel { channel: CHANNEL });
    let binding = rig.get(0, true) == ["message"];
    hold_against(&case["expect"], &[("exchange_survives", exchange), ("binding_to_durable_queue_survives", binding)])
}

/// Of what is unknown nothing is said.
pub(super) fn hold_against(expect: &Value, found: &[(&str, bool)]) -> Result<(), String> {
    for (field, expected) in expect.as_object().ok_or("there is nothing to expect")? {
        let found = found.iter().find(|(name, _)| name == field);
        let (_, found) = found.ok_or_else(|| format!("cannot express the field {field}"))?;
        match expected {
            Value::Bool(expected) => compare(field, *expected, *found)?,
            Value::String(text) if text == "unknown" => {}
            other => return Err(format!("cannot express {field}: {other}")),
        }
    }
    Ok(())
}

/// The queue of every case.
fn queue_id() -> StoreId {
    StoreId::new(0)
}

fn client() -> ClientId {
    ClientId::new(0)
}

impl Rig {
    fn new(queue: QueueConfig, durable: bool, nodes: u16) -> Rig {
        let mut exchanges = ExchangeConfig::predeclared();
        let exchange = ExchangeId(exchanges.len() as u16);
        exchanges.push(ExchangeConfig { durable, ..ExchangeConfig::new("e", ExchangeKind::Direct) });
        let (destination, arguments) = (Destination::Queue(queue_id()), FieldTable::default());
        let deployment = Deployment {
            model: Model::Queue,
            nodes,
            seed: 1,
            broker_sessions: BrokerSessions::default(),
            profile: Profile::default(),
            routing_keys: vec!["queue".into(), "key".into()],
            exchanges,
            queues: vec![queue],
            memory_watermark: None,
            page_cache: None,
            bindings: vec![BindingConfig { exchange, destination, key: KEY, arguments }],
            topics: vec![],
            groups: vec![],
            share_groups: vec![],
            streams: vec![],
            fetch: FetchLimits::default(),
            producers: vec![],
            consumers: vec![],
        };
        let nodes = (0..nodes).map(|node| Node::new(NodeId::new(node), &deployment)).collect();
        Rig { deployment, nodes, exchange }
    }

    /// Passes a message to a node; what it answers once the disk has done its part, in a word each.
    fn ask(&mut self, node: usize, message: Message<()>) -> Vec<&'static str> {
        self.settle(node, message, true)
    }

    /// The disk may not get around to its part.
    fn settle(&mut self, node: usize, message: Message<()>, disk: bool) -> Vec<&'static str> {
        let mut out = Outbox::default();
        let mut answers = Vec::new();
        let node = &mut self.nodes[node];
        node.handle_message(Time::ZERO, Address::Client(client()), message, &mut out, &mut ());
        loop {
            while let Some(effect) = out.pop() {
                let report = match effect {
                    Effect::Send { message, .. } => {
                        answers.extend(word(&message));
                        continue;
                    }
                    Effect::Write { store, until, .. } => Message::Written { store, until },
                    Effect::Flush { store, until, .. } => Message::Flushed { store, until },
                };
                if disk {
                    node.handle_message(Time::ZERO, Address::Disk, report, &mut out, &mut ());
                }
            }
            // What a queue is told of it does as soon as it can.
            if node.next_timeout() != Some(Time::ZERO) {
                return answers;
            }
            node.handle_timeout(Time::ZERO, &mut out, &mut ());
        }
    }

    fn publish(&mut self, exchange: ExchangeId, key: RoutingKey, transient: bool, disk: bool) -> Vec<&'static str> {
        let (message, timestamp) = (MessageId::new(0), Time::ZERO);
        let envelope = Envelope {
            message,
            key: KeyId::NONE,
            size: 10,
            timestamp,
            sender: client(),
            tombstone: false,
            payload: (),
        };
        let properties = Some(Arc::new(Properties { transient, ..Properties::default() }));
        let publication = Publication { envelope, exchange, routing_key: key, properties };
        self.ask(0, Message::ConfirmSelect { channel: CHANNEL });
        self.settle(0, Message::Publish { channel: CHANNEL, mandatory: false, publication }, disk)
    }

    fn get(&mut self, node: usize, auto_ack: bool) -> Vec<&'static str> {
        self.ask(node, Message::Get { channel: CHANNEL, queue: queue_id(), auto_ack })
    }

    /// The process of the first node dies.
    fn crash(&mut self) -> Durable<()> {
        let fresh = Node::new(NodeId::new(0), &self.deployment);
        std::mem::replace(&mut self.nodes[0], fresh).crash(Time::ZERO, Crash::Process, &mut ())
    }

    fn recover(&mut self, durable: Durable<()>) {
        // Nobody has connected who would declare again what is gone.
        self.nodes[0] = Node::recover(Time::ZERO, durable, &self.deployment);
    }
}

/// What an answer comes to.
pub(super) fn word(message: &Message<()>) -> Option<&'static str> {
    match message {
        Message::Confirm { result: Ok(()), .. } => Some("confirmed"),
        Message::GetAnswer { found: Some(_), .. } => Some("message"),
        Message::GetAnswer { found: None, .. } => Some("empty"),
        Message::ChannelError { code: ReplyCode::NotFound, .. } => Some("not found"),
        _ => None,
    }
}
