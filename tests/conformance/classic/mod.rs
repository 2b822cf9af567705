//! The stepwise cases of classic queues, as messages to a [`Node`].

mod answers;
mod setup;

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_broker::config::{ExchangeId, RoutingKey};
use brokerlab_broker::message::DeliveryTag;
use brokerlab_broker::properties::{FieldTable, FieldValue, Properties};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, NodeId, StoreId, Time};
use serde_json::Value;

use super::known_fields;

/// The one connection of every case.
fn client() -> ClientId {
    ClientId::new(0)
}

/// A node with one connection, whose channels and queues have the names of the case.
struct Rig {
    node: Node<()>,
    now: Time,
    names: setup::Names,
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
    known_fields(case, &["id", "setup", "steps", "note", "basis", "profile"])?;
    let mut rig = Rig::new(case)?;
    for (index, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        rig.step(step).map_err(|problem| format!("step {} ({}): {problem}", index + 1, text(step, "op")))?;
    }
    Ok(())
}

impl Rig {
    fn new(case: &Value) -> Result<Rig, String> {
        let (deployment, names) = setup::deployment(case)?;
        let node = Node::new(NodeId::new(0), &deployment);
        let (channels, consumers, bodies) = (vec![], vec![], vec![]);
        Ok(Rig { node, now: Time::ZERO, names, channels, consumers, bodies, latest: BTreeMap::new() })
    }

    /// Passes a message to the node and returns what it sends back once the disk has done its part.
    fn settle(&mut self, message: Message<()>) -> Vec<Message<()>> {
        let mut out = Outbox::default();
        self.node.handle_message(self.now, Address::Client(client()), message, &mut out, &mut ());
        self.drain(out)
    }

    fn drain(&mut self, mut out: Outbox<()>) -> Vec<Message<()>> {
        let mut answers = Vec::new();
        while let Some(effect) = out.pop() {
            let report = match effect {
                Effect::Send { message, .. } => {
                    answers.push(message);
                    continue;
                }
                Effect::Write { store, until, .. } => Message::Written { store, until },
                Effect::Flush { store, until, .. } => Message::Flushed { store, until },
            };
            self.node.handle_message(self.now, Address::Disk, report, &mut out, &mut ());
        }
        answers
    }

    /// Lets time pass, and everything happen that is due meanwhile.
    fn advance(&mut self, duration: Duration) -> Vec<Message<()>> {
        let until = self.now.saturating_add(duration);
        let mut answers = Vec::new();
        while let Some(due) = self.node.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            let mut out = Outbox::default();
            self.node.handle_timeout(self.now, &mut out, &mut ());
            answers.extend(self.drain(out));
        }
        self.now = until;
        answers
    }

    fn request(&mut self, step: &Value) -> Result<Vec<Message<()>>, String> {
        const FIELDS: [&str; 18] = [
            "op",
            "expect",
            "channel",
            "queue",
            "consumer",
            "auto_ack",
            "prefetch",
            "global",
            "priority",
            "exclusive",
            "msg",
            "multiple",
            "requeue",
            "exchange",
            "routing_key",
            "body",
            "props",
            "mandatory",
        ];
        let operation = text(step, "op");
        known_fields(step, if operation == "advance_ms" { &["op", "ms", "expect"] } else { &FIELDS })?;
        let name = step["channel"].as_str().unwrap_or("ch");
        let channel = number(&mut self.channels, name) as u16;
        let queue = self.names.queue(text(step, "queue")).unwrap_or(StoreId::MAX);
        let (settled, tag) = self.latest.get(text(step, "msg")).copied().unwrap_or((channel, u64::MAX));
        let (auto_ack, multiple, requeue) = (flag(step, "auto_ack"), flag(step, "multiple"), flag(step, "requeue"));
        let message = match operation {
            "advance_ms" => {
                let millis = step["ms"].as_u64().ok_or("ms is no number")?;
                return Ok(self.advance(Duration::from_millis(millis)));
            }
            "publish" => self.publish(channel, step)?,
            "get" => Message::Get { channel, queue, auto_ack },
            "consume" => {
                let mut answers = Vec::new();
                if let Some(prefetch) = step["prefetch"].as_u64() {
                    let global = flag(step, "global");
                    answers = self.settle(Message::Qos { channel, prefetch: prefetch as u32, global });
                }
                let tag = number(&mut self.consumers, text(step, "consumer")) as u32;
                let priority = step["priority"].as_i64().unwrap_or(0) as i32;
                let exclusive = flag(step, "exclusive");
                let consume = Message::Consume { channel, queue, tag, auto_ack, exclusive, priority };
                answers.extend(self.settle(consume));
                return Ok(answers);
            }
            "cancel" => Message::Cancel { channel, tag: number(&mut self.consumers, text(step, "consumer")) as u32 },
            "ack" => Message::Ack { channel: settled, tag, multiple },
            "nack" => Message::Nack { channel: settled, tag, multiple, requeue },
            "reject" => Message::Reject { channel: settled, tag, requeue },
            "recover" => Message::Recover { channel },
            "purge" => Message::Purge { channel, queue },
            "depth" => Message::InspectQueue { channel, queue },
            "close_channel" => Message::CloseChannel { channel },
            "confirm_select" => Message::ConfirmSelect { channel },
            other => return Err(format!("cannot express the operation {other}")),
        };
        Ok(self.settle(message))
    }

    fn publish(&mut self, channel: u16, step: &Value) -> Result<Message<()>, String> {
        let body = text(step, "body");
        let envelope = Envelope {
            message: MessageId::new(number(&mut self.bodies, body) as u64),
            key: KeyId::NONE,
            size: body.len() as u32,
            timestamp: self.now,
            sender: client(),
            tombstone: false,
            payload: (),
        };
        let exchange = match step["exchange"].as_str() {
            None => ExchangeId::DEFAULT,
            Some(name) => self.names.exchange(name),
        };
        let routing_key: RoutingKey = self.names.key(text(step, "routing_key"));
        let properties = match &step["props"] {
            Value::Null => None,
            props => Some(Arc::new(properties(props)?)),
        };
        let publication = Publication { envelope, exchange, routing_key, properties };
        Ok(Message::Publish { channel, mandatory: flag(step, "mandatory"), publication })
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let answers = self.request(step)?;
        let found = self.observations(step, answers)?;
        let expected = step["expect"].as_object().cloned().unwrap_or_default();
        for (field, value) in &expected {
            let actual =
                found.get(field.as_str()).ok_or_else(|| format!("{field}: expected {value}, found nothing of it"))?;
            if actual != value {
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
}

fn properties(props: &Value) -> Result<Properties, String> {
    known_fields(props, &["expiration", "priority", "headers", "delivery_mode"])?;
    Ok(Properties {
        expiration: props["expiration"].as_str().map(Arc::from),
        priority: props["priority"].as_u64().map(|priority| priority.min(255) as u8),
        transient: props["delivery_mode"].as_u64() == Some(1),
        headers: table(&props["headers"])?,
        ..Properties::default()
    })
}

fn table(fields: &Value) -> Result<FieldTable, String> {
    let Some(fields) = fields.as_object() else { return Ok(FieldTable::default()) };
    fields.iter().map(|(name, field)| Ok((name.as_str(), value(field)?))).collect()
}

fn value(field: &Value) -> Result<FieldValue, String> {
    Ok(match field {
        Value::Null => FieldValue::Void,
        Value::Bool(truth) => FieldValue::Bool(*truth),
        Value::Number(number) => FieldValue::Integer(number.as_i64().ok_or(format!("{number} is no integer"))?),
        Value::String(text) => FieldValue::Text(text.as_str().into()),
        Value::Array(entries) => FieldValue::Array(entries.iter().map(value).collect::<Result<_, _>>()?),
        Value::Object(_) => return Err(format!("cannot express the field {field}")),
    })
}
