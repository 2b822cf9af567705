//! What a case sets up, as a deployment.

use brokerlab_broker::config::*;
use brokerlab_broker::properties::FieldTable;
use brokerlab_event::{Duration, Model, NodeId, StoreId};
use serde_json::Value;

use super::super::known_fields;
use super::{table, text};

/// The names of a case and the ids that stand for them.
pub struct Names {
    pub queues: Vec<String>,
    pub exchanges: Vec<String>,
    pub keys: Vec<String>,
}

impl Names {
    pub fn queue(&self, name: &str) -> Option<StoreId> {
        let index = self.queues.iter().position(|known| known == name)?;
        Some(StoreId::new(index as u32))
    }

    /// The exchange; for one that does not exist an id that nobody has.
    pub fn exchange(&self, name: &str) -> ExchangeId {
        let index = self.exchanges.iter().position(|known| known == name);
        ExchangeId(index.map_or(u16::MAX, |index| index as u16))
    }

    pub fn key(&self, key: &str) -> RoutingKey {
        let index = self.keys.iter().position(|known| known == key);
        RoutingKey(index.map_or(u32::MAX, |index| index as u32))
    }
}

/// Every text of a case may be a key.
fn texts(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => found.push(text.clone()),
        Value::Array(entries) => entries.iter().for_each(|entry| texts(entry, found)),
        Value::Object(fields) => fields.values().for_each(|field| texts(field, found)),
        _ => {}
    }
}

pub fn deployment(case: &Value) -> Result<(Deployment, Names), String> {
    let setup = case["setup"].as_array().ok_or("no setup")?;
    let mut keys = vec![String::new()];
    texts(&case["setup"], &mut keys);
    texts(&case["steps"], &mut keys);
    keys.sort();
    keys.dedup();
    let named = |field: &'static str| {
        let names = setup.iter().filter_map(move |entry| entry[field].as_str());
        names.map(str::to_string)
    };
    let predeclared = ExchangeConfig::predeclared();
    let exchanges = predeclared.iter().map(|exchange| exchange.name.clone()).chain(named("exchange")).collect();
    let names = Names { queues: named("queue").collect(), exchanges, keys };
    let mut deployment = Deployment {
        model: Model::Queue,
        nodes: 1,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile: profile(case)?,
        routing_keys: names.keys.clone(),
        exchanges: predeclared,
        queues: vec![],
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
    for entry in setup {
        declare(entry, &names, &mut deployment)
            .map_err(|problem| format!("cannot express the setup {entry}: {problem}"))?;
    }
    Ok((deployment, names))
}

fn profile(case: &Value) -> Result<Profile, String> {
    match case["profile"].as_str() {
        None => Ok(Profile::default()),
        Some(name) => Profile::named(name).ok_or(format!("cannot express the profile {name}")),
    }
}

fn declare(entry: &Value, names: &Names, deployment: &mut Deployment) -> Result<(), String> {
    if let Some(name) = entry["exchange"].as_str() {
        known_fields(entry, &["exchange", "type", "args"])?;
        deployment.exchanges.push(exchange(name, entry, names)?);
    } else if let Some(name) = entry["queue"].as_str() {
        known_fields(entry, &["queue", "args"])?;
        deployment.queues.push(queue(name, &entry["args"], names)?);
    } else {
        known_fields(entry, &["bind", "bind_exchange", "source", "key", "args"])?;
        let destination = match (entry["bind"].as_str(), entry["bind_exchange"].as_str()) {
            (Some(queue), None) => Destination::Queue(names.queue(queue).ok_or("no such queue")?),
            (None, Some(exchange)) => Destination::Exchange(names.exchange(exchange)),
            _ => return Err("neither exchange, queue nor binding".into()),
        };
        let arguments: FieldTable = table(&entry["args"])?;
        let (exchange, key) = (names.exchange(text(entry, "source")), names.key(text(entry, "key")));
        deployment.bindings.push(BindingConfig { exchange, destination, key, arguments });
    }
    Ok(())
}

fn exchange(name: &str, entry: &Value, names: &Names) -> Result<ExchangeConfig, String> {
    let kind = match text(entry, "type") {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "headers" => ExchangeKind::Headers,
        other => return Err(format!("type {other}")),
    };
    let mut exchange = ExchangeConfig::new(name, kind);
    if entry["args"].is_object() {
        known_fields(&entry["args"], &["alternate-exchange"])?;
        exchange.alternate = entry["args"]["alternate-exchange"].as_str().map(|name| names.exchange(name));
    }
    Ok(exchange)
}

fn queue(name: &str, args: &Value, names: &Names) -> Result<QueueConfig, String> {
    let store = names.queue(name).expect("every queue of the case has an id");
    let mut queue = QueueConfig::new(store, NodeId::new(0), names.key(name));
    let millis = |value: &Value| value.as_u64().map(Duration::from_millis).ok_or(format!("{value} is no duration"));
    let count = |value: &Value| value.as_u64().ok_or(format!("{value} is no count"));
    let (mut exchange, mut routing_key) = (None, None);
    for (argument, value) in args.as_object().into_iter().flatten() {
        match argument.as_str() {
            "x-message-ttl" => queue.message_ttl = Some(millis(value)?),
            "x-expires" => queue.expires = Some(millis(value)?),
            "x-max-length" => queue.max_length = Some(count(value)?),
            "x-max-length-bytes" => queue.max_bytes = Some(count(value)?),
            "x-max-priority" => {
                queue.max_priority = Some(count(value)?.try_into().map_err(|_| "more than 255 levels")?)
            }
            "x-single-active-consumer" => queue.single_active_consumer = value.as_bool().ok_or("no truth value")?,
            "x-overflow" => {
                queue.overflow = match value.as_str() {
                    Some("drop-head") => Overflow::DropHead,
                    Some("reject-publish") => Overflow::RejectPublish,
                    Some("reject-publish-dlx") => Overflow::RejectPublishDlx,
                    _ => return Err(format!("overflow {value}")),
                }
            }
            "x-dead-letter-exchange" => exchange = value.as_str().map(|name| names.exchange(name)),
            "x-dead-letter-routing-key" => routing_key = value.as_str().map(|key| names.key(key)),
            _ => return Err(format!("argument {argument}")),
        }
    }
    queue.dead_letter = exchange.map(|exchange| DeadLetterConfig { exchange, routing_key });
    Ok(queue)
}
