//! What the client saw, in the words of the vectors.

use std::collections::BTreeMap;

use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::properties::{Death, FieldValue, Properties};
use brokerlab_broker::{Message, Publication};
use serde_json::{Map, Value, json};

use super::{Rig, text};

type Found = BTreeMap<&'static str, Value>;

impl Rig {
    pub(super) fn observations(&mut self, step: &Value, answers: Vec<Message<()>>) -> Result<Found, String> {
        let mut found = Found::new();
        let mut delivered: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for answer in answers {
            match answer {
                Message::Deliver { channel, consumer, tag, redelivered, publication, .. } => {
                    let body = self.body(&publication);
                    let consumer = self.consumers[consumer as usize].clone();
                    delivered.entry(consumer).or_default().push(json!([body, redelivered]));
                    self.latest.insert(body, (channel, tag));
                }
                Message::GetAnswer { found: None, .. } => {
                    found.insert("got", Value::Null);
                }
                Message::GetAnswer { channel, found: Some((tag, redelivered, _, publication)), ready, .. } => {
                    let body = self.body(&publication);
                    self.latest.insert(body.clone(), (channel, tag));
                    found.insert("got", json!(body));
                    found.insert("redelivered", json!(redelivered));
                    found.insert("ready_left", json!(ready));
                    self.describe(&publication, &mut found);
                }
                Message::QueueState { ready, consumers, .. } => {
                    found.insert("ready", json!(ready));
                    found.insert("consumers", json!(consumers));
                }
                Message::Confirm { result, .. } => {
                    let previous = found.insert("confirm", json!(if result.is_ok() { "ack" } else { "nack" }));
                    if previous.is_some() {
                        return Err("confirmed twice".into());
                    }
                }
                Message::Return { code, publication, .. } => {
                    found.insert("returned", json!([self.body(&publication)]));
                    found.insert("return_code", json!(code as u16));
                }
                Message::ChannelError { code, .. } => {
                    let asynchronous = matches!(text(step, "op"), "publish" | "ack" | "nack" | "reject");
                    let field = if asynchronous { "channel_error" } else { "error" };
                    found.insert(field, json!(code as u16));
                }
                // A deleted queue takes its consumers with it; the vectors have no word for that.
                Message::ConsumerCancelled { .. } => {}
                other => return Err(format!("the node sent {other:?}")),
            }
        }
        if !delivered.is_empty() {
            found.insert("delivered", json!(delivered));
        }
        Ok(found)
    }

    fn body(&self, publication: &Publication<()>) -> String {
        self.bodies[publication.envelope.message.index()].clone()
    }

    fn describe(&self, publication: &Publication<()>, found: &mut Found) {
        let none = Properties::default();
        let properties = publication.properties.as_deref().unwrap_or(&none);
        found.insert("exchange", json!(self.names.exchanges[usize::from(publication.exchange.0)]));
        found.insert("routing_key", json!(self.names.keys[publication.routing_key.0 as usize]));
        found.insert("expiration", json!(properties.expiration.as_deref()));
        found.insert("priority", json!(properties.priority));
        found.insert("headers", Value::Object(self.headers(properties)));
    }

    fn headers(&self, properties: &Properties) -> Map<String, Value> {
        let mut headers: Map<String, Value> =
            properties.headers.iter().map(|(name, value)| (name.to_string(), plain(value))).collect();
        for (which, death) in [("first", properties.first_death), ("last", properties.last_death)] {
            let Some((queue, reason, exchange)) = death else { continue };
            headers.insert(format!("x-{which}-death-queue"), json!(self.names.queues[queue.index()]));
            headers.insert(format!("x-{which}-death-reason"), json!(reason.word()));
            headers.insert(format!("x-{which}-death-exchange"), json!(self.names.exchanges[usize::from(exchange.0)]));
        }
        if !properties.deaths.is_empty() {
            headers.insert("x-death".into(), properties.deaths.iter().map(|death| self.death(death)).collect());
        }
        headers
    }

    fn death(&self, death: &Death) -> Value {
        let key = self.names.keys[death.routing_key.0 as usize].as_str();
        let keys: Vec<&str> = std::iter::once(key).chain(death.carbon_copies.iter().map(|key| &**key)).collect();
        let mut entry = json!({
            "count": death.count,
            "reason": death.reason.word(),
            "queue": self.names.queues[death.queue.index()],
            "exchange": self.names.exchanges[usize::from(death.exchange.0)],
            "routing-keys": keys,
        });
        if let Some(expiration) = &death.original_expiration {
            entry["original-expiration"] = json!(&**expiration);
        }
        entry
    }
}

fn plain(value: &FieldValue) -> Value {
    match value {
        FieldValue::Void => Value::Null,
        FieldValue::Bool(truth) => json!(truth),
        FieldValue::Integer(number) => json!(number),
        FieldValue::Text(text) => json!(**text),
        FieldValue::Array(entries) => entries.iter().map(plain).collect(),
    }
}

/// The codes of the vectors are those of the protocol.
#[test]
fn reply_codes_are_amqps() {
    let codes = [ReplyCode::NoRoute, ReplyCode::AccessRefused, ReplyCode::NotFound, ReplyCode::PreconditionFailed];
    assert_eq!(codes.map(|code| code as u16), [312, 403, 404, 406]);
}
