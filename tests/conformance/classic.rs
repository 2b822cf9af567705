//! The stepwise cases of classic queues, as messages to a [`Node`].

use std::collections::BTreeMap;

use brokerlab_broker::config::{
    Deployment, ExchangeConfig, ExchangeId, ExchangeKind, FetchLimits, Profile, QueueConfig, RoutingKey,
};
use brokerlab_broker::message::{DeliveryTag, ReplyCode};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{ClientId, KeyId, MessageId, Model, NodeId, StoreId, Time};
use serde_json::{Value, json};

/// The one connection of every case.
fn client() -> ClientId {
    ClientId::new(0)
}

/// A node with one connection, whose channels and queues have the names of the case.
struct Rig {
    node: Node<()>,
    queues: Vec<String>,
    channels: Vec<String>,
    consumers: Vec<String>,
    bodies: Vec<String>,
    /// Where each body was delivered last: channel and tag.
    latest: BTreeMap<String, (u16, DeliveryTag)>,
}

fn number(names: &mut Vec<String>, name: &str) -> usize {
    names.iter().position(|known| known == name).unwrap_or_else(|| {
        names.push(name.to_string());
        names.len() - 1
    })
}

fn text<'a>(value: &'a Value, field: &str) -> &'a str {
    value[field].as_str().unwrap_or("")
}

fn flag(value: &Value, field: &str) -> bool {
    value[field].as_bool().unwrap_or(false)
}

/// Runs a case: all effects of a step settle before the next.
pub fn run(case: &Value) -> Result<(), String> {
    let mut rig = Rig::new(case)?;
    for (index, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        rig.step(step).map_err(|problem| format!("step {} ({}): {problem}", index + 1, text(step, "op")))?;
    }
    Ok(())
}

impl Rig {
    fn new(case: &Value) -> Result<Rig, String> {
        let mut queues = Vec::new();
        for entry in case["setup"].as_array().ok_or("no setup")? {
            match entry["queue"].as_str() {
                Some(name) if entry["args"].as_object().is_none_or(|args| args.is_empty()) => {
                    queues.push(name.to_string());
                }
                _ => return Err(format!("cannot express the setup {entry}")),
            }
        }
        let config = |(index, _): (usize, &String)| QueueConfig {
            store: StoreId::new(index as u32),
            node: NodeId::new(0),
            name: RoutingKey(index as u32),
            durable: true,
        };
        let deployment = Deployment {
            model: Model::Queue,
            nodes: 1,
            profile: Profile::default(),
            routing_keys: queues.clone(),
            exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct)],
            queues: queues.iter().enumerate().map(config).collect(),
            bindings: vec![],
            topics: vec![],
            groups: vec![],
            fetch: FetchLimits::default(),
            producers: vec![],
            consumers: vec![],
        };
        let node = Node::new(NodeId::new(0), &deployment);
        let (channels, consumers, bodies) = (vec![], vec![], vec![]);
        Ok(Rig { node, queues, channels, consumers, bodies, latest: BTreeMap::new() })
    }

    /// Passes a message to the node and returns what it sends back once the disk has done its part.
    fn settle(&mut self, message: Message<()>) -> Vec<Message<()>> {
        let (mut out, mut answers) = (Outbox::default(), Vec::new());
        self.node.handle_message(Time::ZERO, Address::Client(client()), message, &mut out, &mut ());
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { message, .. } => answers.push(message),
                Effect::Write { store, until, .. } => {
                    let report = Message::Written { store, until };
                    self.node.handle_message(Time::ZERO, Address::Disk, report, &mut out, &mut ());
                }
                Effect::Flush { store, until, .. } => {
                    let report = Message::Flushed { store, until };
                    self.node.handle_message(Time::ZERO, Address::Disk, report, &mut out, &mut ());
                }
            }
        }
        answers
    }

    fn request(&mut self, step: &Value) -> Result<Vec<Message<()>>, String> {
        let name = step["channel"].as_str().unwrap_or("ch");
        let channel = number(&mut self.channels, name) as u16;
        let queue = self.queues.iter().position(|known| known == text(step, "queue"));
        let queue = queue.map_or(StoreId::MAX, |index| StoreId::new(index as u32));
        let settled = self.latest.get(text(step, "msg")).copied().unwrap_or((channel, u64::MAX));
        let multiple = flag(step, "multiple");
        let message = match text(step, "op") {
            "publish" => {
                let routing_key = self.queues.iter().position(|known| known == text(step, "routing_key"));
                let routing_key = RoutingKey(routing_key.map_or(u32::MAX, |index| index as u32));
                let body = text(step, "body");
                let envelope = Envelope {
                    message: MessageId::new(number(&mut self.bodies, body) as u64),
                    key: KeyId::NONE,
                    size: body.len() as u32,
                    timestamp: Time::ZERO,
                    sender: client(),
                    payload: (),
                };
                let mandatory = flag(step, "mandatory");
                let exchange = ExchangeId::DEFAULT;
                let publication = Publication { envelope, exchange, routing_key, properties: None };
                Message::Publish { channel, mandatory, publication }
            }
            "get" => Message::Get { channel, queue, auto_ack: flag(step, "auto_ack") },
            "consume" => {
                let mut answers = Vec::new();
                if let Some(prefetch) = step["prefetch"].as_u64() {
                    let global = flag(step, "global");
                    answers = self.settle(Message::Qos { channel, prefetch: prefetch as u32, global });
                }
                let tag = number(&mut self.consumers, text(step, "consumer")) as u32;
                let consume = Message::Consume { channel, queue, tag, auto_ack: flag(step, "auto_ack") };
                answers.extend(self.settle(consume));
                return Ok(answers);
            }
            "cancel" => Message::Cancel { channel, tag: number(&mut self.consumers, text(step, "consumer")) as u32 },
            "ack" => Message::Ack { channel: settled.0, tag: settled.1, multiple },
            "nack" => Message::Nack { channel: settled.0, tag: settled.1, multiple, requeue: flag(step, "requeue") },
            "reject" => {
                let requeue = flag(step, "requeue");
                Message::Nack { channel: settled.0, tag: settled.1, multiple: false, requeue }
            }
            "recover" => Message::Recover { channel },
            "purge" => Message::Purge { channel, queue },
            "depth" => Message::InspectQueue { channel, queue },
            "close_channel" => Message::CloseChannel { channel },
            "confirm_select" => Message::ConfirmSelect { channel },
            other => return Err(format!("cannot express the operation {other}")),
        };
        Ok(self.settle(message))
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let answers = self.request(step)?;
        let found = self.observations(step, answers);
        let expected = step["expect"].as_object().cloned().unwrap_or_default();
        for (field, value) in &expected {
            let actual = found.get(field).cloned().unwrap_or(Value::Null);
            if actual != *value {
                return Err(format!("{field}: expected {value}, found {actual}"));
            }
        }
        for field in ["delivered", "returned", "confirm", "error", "channel_error"] {
            if let (None, Some(actual)) = (expected.get(field), found.get(field)) {
                return Err(format!("{field}: expected none, found {actual}"));
            }
        }
        Ok(())
    }

    /// What the client saw, in the words of the vectors.
    fn observations(&mut self, step: &Value, answers: Vec<Message<()>>) -> BTreeMap<String, Value> {
        let mut found = BTreeMap::new();
        let mut delivered: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for answer in answers {
            match answer {
                Message::Deliver { channel, consumer, tag, redelivered, publication, .. } => {
                    let body = self.bodies[publication.envelope.message.index()].clone();
                    let consumer = self.consumers[consumer as usize].clone();
                    delivered.entry(consumer).or_default().push(json!([body, redelivered]));
                    self.latest.insert(body, (channel, tag));
                }
                Message::GetAnswer { found: None, .. } => {
                    found.insert("got".into(), Value::Null);
                }
                Message::GetAnswer { channel, found: Some((tag, redelivered, _, publication)), ready, .. } => {
                    let body = self.bodies[publication.envelope.message.index()].clone();
                    self.latest.insert(body.clone(), (channel, tag));
                    found.insert("got".into(), json!(body));
                    found.insert("redelivered".into(), json!(redelivered));
                    found.insert("ready_left".into(), json!(ready));
                }
                Message::QueueState { ready, consumers, .. } => {
                    found.insert("ready".into(), json!(ready));
                    found.insert("consumers".into(), json!(consumers));
                }
                Message::Confirm { result, .. } => {
                    found.insert("confirm".into(), json!(if result.is_ok() { "ack" } else { "nack" }));
                }
                Message::Return { code, publication, .. } => {
                    found.insert("returned".into(), json!([self.bodies[publication.envelope.message.index()]]));
                    found.insert("return_code".into(), json!(code as u16));
                }
                Message::ChannelError { code, .. } => {
                    let asynchronous = matches!(text(step, "op"), "publish" | "ack" | "nack" | "reject");
                    let field = if asynchronous { "channel_error" } else { "error" };
                    found.insert(field.into(), json!(code as u16));
                }
                other => panic!("the node sent {other:?}"),
            }
        }
        if !delivered.is_empty() {
            found.insert("delivered".into(), json!(delivered));
        }
        found
    }
}

/// The codes of the vectors are those of the protocol.
#[test]
fn reply_codes_are_amqps() {
    assert_eq!((ReplyCode::NoRoute as u16, ReplyCode::PreconditionFailed as u16), (312, 406));
}
