//! The stepwise cases of quorum queues, as commands to a [`QuorumQueue`].

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_broker::config::{ExchangeId, RoutingKey};
use brokerlab_broker::properties::Properties;
use brokerlab_broker::quorum::{
    Command, ConsumerKey, ConsumerOptions, DeadLettering, Delivery, Effect, QuorumConfig, QuorumQueue, Settlement,
    Version,
};
use brokerlab_broker::{Envelope, Publication};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Time};
use serde_json::{Value, json};

use super::{compare, known_fields};

/// A queue, whose messages and consumers have the names of the case. Every consumer has a channel of its own.
struct Rig {
    queue: QuorumQueue<()>,
    now: Time,
    index: u64,
    messages: Vec<String>,
    consumers: Vec<String>,
    /// The latest delivery of each message to each consumer.
    latest: BTreeMap<(usize, usize), u64>,
}

/// What the outside saw during a step.
#[derive(Default)]
struct Seen {
    delivered: BTreeMap<String, Vec<Value>>,
    dead_lettered: Vec<Value>,
    got: Option<Value>,
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

fn config(case: &Value) -> Result<QuorumConfig, String> {
    let config = &case["config"];
    let known = ["delivery_limit", "max_length", "max_bytes", "msg_ttl", "single_active_consumer_on"];
    known_fields(config, &known)?;
    let version = match case["profile"].as_str().unwrap_or("rabbit-4.3") {
        "rabbit-4.3" => Version::V4_3,
        "rabbit-4.0" | "rabbit-4.1" | "rabbit-4.2" => Version::V4_0,
        "rabbit-3.13" => Version::V3_13,
        other => return Err(format!("cannot express the profile {other}")),
    };
    Ok(QuorumConfig {
        version,
        delivery_limit: config["delivery_limit"].as_u64().map(|limit| limit as u32),
        message_ttl: config["msg_ttl"].as_u64().map(Duration::from_millis),
        max_length: config["max_length"].as_u64(),
        max_bytes: config["max_bytes"].as_u64(),
        single_active_consumer: config["single_active_consumer_on"].as_bool().unwrap_or(false),
        dead_lettering: DeadLettering::AtMostOnce,
        ..QuorumConfig::default()
    })
}

fn key(consumer: usize) -> ConsumerKey {
    ConsumerKey::subscription(ClientId::new(consumer as u32), 1, 0)
}

/// Runs a case: what comes due during a step happens before the next.
pub fn run(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "config", "steps"])?;
    let mut rig = Rig {
        queue: QuorumQueue::new(config(case)?),
        now: Time::ZERO,
        index: 0,
        messages: vec![],
        consumers: vec![],
        latest: BTreeMap::new(),
    };
    for (index, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        rig.step(step).map_err(|problem| format!("step {} ({}): {problem}", index + 1, text(step, "op")))?;
    }
    Ok(())
}

impl Rig {
    fn apply(&mut self, command: Command<()>, seen: &mut Seen) {
        self.index += 1;
        let mut effects = Vec::new();
        self.queue.apply(self.index, self.now, command, &mut effects);
        for effect in effects {
            self.observe(effect, seen);
        }
    }

    fn observe(&mut self, effect: Effect<()>, seen: &mut Seen) {
        match effect {
            Effect::Delivered { consumer, delivery } => {
                let consumer = consumer.session.client.index();
                self.latest.insert((consumer, delivery.publication.envelope.message.index()), delivery.number);
                let name = self.consumers[consumer].clone();
                let value = json!({
                    "consumer": name,
                    "msg": self.name(&delivery),
                    "delivery_count": delivery.delivery_count,
                    "acquired_count": delivery.acquired_count,
                });
                seen.delivered.entry(name).or_default().push(value);
            }
            Effect::DeadLettered(letter) => {
                let name = &self.messages[letter.publication.envelope.message.index()];
                seen.dead_lettered.push(json!([name, letter.reason.word()]));
            }
            Effect::GetAnswered { delivery, .. } => {
                seen.got = Some(delivery.map_or(Value::Null, |delivery| json!(self.name(&delivery))));
            }
            _ => {}
        }
    }

    fn name(&self, delivery: &Delivery<()>) -> &str {
        &self.messages[delivery.publication.envelope.message.index()]
    }

    /// Lets time pass up to a moment; whatever is due happens at its own time.
    fn run_until(&mut self, end: Time, seen: &mut Seen) {
        while let Some(due) = self.queue.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.apply(Command::Tick, seen);
        }
        self.now = end;
    }

    fn publication(&mut self, step: &Value) -> Publication<()> {
        let envelope = Envelope {
            message: MessageId::new(number(&mut self.messages, text(step, "msg")) as u64),
            key: KeyId::NONE,
            size: step["size"].as_u64().unwrap_or(1) as u32,
            timestamp: self.now,
            sender: ClientId::new(0),
            tombstone: false,
            payload: (),
        };
        let properties = Properties {
            priority: step["prio"].as_i64().map(|priority| priority.clamp(0, 255) as u8),
            expiration: step["ttl"].as_u64().map(|ttl| ttl.to_string().into()),
            ..Properties::default()
        };
        let properties = Some(Arc::new(properties));
        Publication { envelope, exchange: ExchangeId::DEFAULT, routing_key: RoutingKey(0), properties }
    }

    fn command(&mut self, step: &Value) -> Result<Command<()>, String> {
        let consumer = number(&mut self.consumers, text(step, "consumer"));
        let settlement = match text(step, "op") {
            "publish" => return Ok(Command::Enqueue { publication: self.publication(step), sequence: None }),
            "consume" => {
                let prefetch = step["prefetch"].as_u64().unwrap_or(0) as u32;
                let priority = step["priority"].as_i64().unwrap_or(0) as i32;
                let options = ConsumerOptions { prefetch, priority, ..ConsumerOptions::default() };
                return Ok(Command::Register { consumer: key(consumer), options });
            }
            "cancel" => return Ok(Command::Cancel { consumer: key(consumer) }),
            "consumer_down" => return Ok(Command::Down(key(consumer).session)),
            "get" => {
                let consumer = ConsumerKey::get(ClientId::new(consumer as u32), 2, self.index);
                let options = ConsumerOptions { auto_ack: true, ..ConsumerOptions::default() };
                return Ok(Command::Get { consumer, options });
            }
            "purge" => return Ok(Command::Purge),
            "ack" => Settlement::Ack,
            "nack_requeue" => Settlement::NackRequeue,
            "reject_requeue" => Settlement::RejectRequeue,
            "discard" => Settlement::Discard,
            other => return Err(format!("cannot express the operation {other}")),
        };
        let mut deliveries = Vec::new();
        for name in step["msgs"].as_array().ok_or("no messages to settle")? {
            let message = number(&mut self.messages, name.as_str().unwrap_or(""));
            deliveries.push(*self.latest.get(&(consumer, message)).ok_or("it never got this message")?);
        }
        Ok(Command::Settle { consumer: key(consumer), deliveries, settlement })
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let known =
            ["op", "msg", "prio", "ttl", "size", "consumer", "prefetch", "priority", "msgs", "ms", "note", "expect"];
        known_fields(step, &known)?;
        let mut seen = Seen::default();
        let end = match text(step, "op") {
            "advance_ms" => {
                let ms = step["ms"].as_u64().ok_or("no time to advance by")?;
                self.now.saturating_add(Duration::from_millis(ms))
            }
            _ => {
                let command = self.command(step)?;
                self.apply(command, &mut seen);
                self.now
            }
        };
        self.run_until(end, &mut seen);
        self.compare(&step["expect"], seen)
    }

    /// Deliveries to several consumers are unordered between them.
    fn compare(&self, expect: &Value, seen: Seen) -> Result<(), String> {
        known_fields(expect, &["ready", "unacked", "waiting_consumers", "got", "delivered", "dead_lettered"])?;
        let mut delivered: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for delivery in expect["delivered"].as_array().into_iter().flatten() {
            known_fields(delivery, &["consumer", "msg", "delivery_count", "acquired_count"])?;
            delivered.entry(text(delivery, "consumer").to_string()).or_default().push(delivery.clone());
        }
        compare("delivered", json!(delivered), json!(seen.delivered))?;
        let dead_lettered = expect["dead_lettered"].as_array().cloned().unwrap_or_default();
        compare("dead_lettered", dead_lettered, seen.dead_lettered)?;
        let name = |publication: &Publication<()>| self.messages[publication.envelope.message.index()].clone();
        let consumer = |key: ConsumerKey| self.consumers[key.session.client.index()].clone();
        let mut unacked: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (key, _, _, publication) in self.queue.held() {
            unacked.entry(consumer(key)).or_default().push(name(publication));
        }
        let ready: Vec<_> = self.queue.ready_messages().map(|(_, publication)| name(publication)).collect();
        let waiting: Vec<_> = self.queue.waiting_consumers().into_iter().map(consumer).collect();
        let found = [
            ("ready", json!(ready)),
            ("unacked", json!(unacked)),
            ("waiting_consumers", json!(waiting)),
            ("got", seen.got.unwrap_or(json!("no answer"))),
        ];
        let mut named = found.into_iter().filter(|(field, _)| expect.get(*field).is_some());
        named.try_for_each(|(field, found)| compare(field, expect[field].clone(), found))
    }
}
