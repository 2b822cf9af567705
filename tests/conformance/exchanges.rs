//! The cases of single exchanges: what a message matches, and which bindings are refused.

use std::collections::BTreeSet;

use brokerlab_broker::config::{
    BindingConfig, BrokerSessions, Deployment, Destination, ExchangeConfig, ExchangeId, FetchLimits, Profile,
    QueueConfig, RoutingKey,
};
use brokerlab_broker::properties::{FieldTable, FieldValue, Properties};
use brokerlab_broker::router::Router;
use brokerlab_event::{Model, NodeId, StoreId};
use serde_json::Value;

use super::{compare, known_fields};

/// A deployment with the predeclared exchanges and as many queues, and these keys besides the names of the queues.
fn deployment(queues: usize, keys: &[&str], profile: Profile) -> Deployment {
    let mut routing_keys: Vec<String> = (0..queues).map(|number| format!("the queue {number}")).collect();
    for key in keys {
        if !routing_keys.iter().any(|known| known == key) {
            routing_keys.push(key.to_string());
        }
    }
    let queue = |number| QueueConfig::new(StoreId::new(number), NodeId::new(0), RoutingKey(number));
    Deployment {
        model: Model::Queue,
        nodes: 1,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile,
        routing_keys,
        exchanges: ExchangeConfig::predeclared(),
        queues: (0..queues as u32).map(queue).collect(),
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
    }
}

fn exchange(deployment: &Deployment, name: &str) -> ExchangeId {
    let place = deployment.exchanges.iter().position(|exchange| exchange.name == name);
    ExchangeId(place.expect("it is predeclared") as u16)
}

fn interned(deployment: &Deployment, text: &str) -> RoutingKey {
    let place = deployment.routing_keys.iter().position(|key| key == text);
    RoutingKey(place.expect("the keys of the case are interned") as u32)
}

fn text<'a>(case: &'a Value, field: &str) -> Result<&'a str, String> {
    case[field].as_str().ok_or_else(|| format!("{field} is no text"))
}

fn flag(case: &Value, field: &str) -> Result<bool, String> {
    case[field].as_bool().ok_or_else(|| format!("{field} is not true or false"))
}

fn texts<'a>(case: &'a Value, field: &str) -> Result<Vec<&'a str>, String> {
    let entries = case[field].as_array().ok_or_else(|| format!("{field} is no array"))?;
    entries.iter().map(|entry| entry.as_str().ok_or_else(|| format!("{field} has an entry that is no text"))).collect()
}

/// The version that a case names, or else this one.
fn profile(case: &Value, otherwise: &str) -> Result<Profile, String> {
    let name = case["profile"].as_str().unwrap_or(otherwise);
    Profile::named(name).ok_or_else(|| format!("cannot express the profile {name}"))
}

/// Runs a case of a topic exchange.
pub fn run_topic(case: &Value) -> Result<(), String> {
    match case["kind"].as_str() {
        None => run_match(case),
        Some("binding_validation") => run_validation(case),
        Some(other) => Err(format!("cannot express the kind {other}")),
    }
}

/// One queue per binding key, and one message.
fn run_match(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "binding_keys", "routing_key", "matched"])?;
    let (patterns, routing_key) = (texts(case, "binding_keys")?, text(case, "routing_key")?);
    let keys: Vec<&str> = patterns.iter().copied().chain([routing_key]).collect();
    // What matches is the same in all versions; the older ones take every binding key.
    let deployment = deployment(patterns.len(), &keys, profile(case, "rabbit-4.2")?);
    let topic = exchange(&deployment, "amq.topic");
    let mut router = Router::new(&deployment);
    for (number, pattern) in patterns.iter().enumerate() {
        let binding = BindingConfig {
            exchange: topic,
            destination: Destination::Queue(StoreId::new(number as u32)),
            key: interned(&deployment, pattern),
            arguments: FieldTable::default(),
        };
        router.bind(&binding).map_err(|error| error.to_string())?;
    }
    let routed = router.route(topic, interned(&deployment, routing_key), None);
    let routed = routed.map_err(|code| format!("the publish was refused with {}", code as u16))?;
    let found: BTreeSet<&str> = routed.iter().map(|queue| patterns[queue.index()]).collect();
    compare("copies", routed.iter().collect::<BTreeSet<_>>().len(), routed.len())?;
    compare("matched", texts(case, "matched")?.into_iter().collect(), found)
}

fn run_validation(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "kind", "binding_key", "accepted"])?;
    let key = text(case, "binding_key")?;
    let deployment = deployment(1, &[key], profile(case, "rabbit-4.3")?);
    let binding = BindingConfig {
        exchange: exchange(&deployment, "amq.topic"),
        destination: Destination::Queue(StoreId::new(0)),
        key: interned(&deployment, key),
        arguments: FieldTable::default(),
    };
    let answer = Router::new(&deployment).bind(&binding).map_err(|error| error.code() as u16);
    compare("accepted", if flag(case, "accepted")? { Ok(()) } else { Err(406) }, answer)
}

/// A value of a field table.
fn field(value: &Value) -> Result<FieldValue, String> {
    Ok(match value {
        Value::Null => FieldValue::Void,
        Value::Bool(value) => FieldValue::Bool(*value),
        Value::String(value) => FieldValue::Text(value.as_str().into()),
        Value::Array(values) => FieldValue::Array(values.iter().map(field).collect::<Result<_, _>>()?),
        Value::Number(number) => {
            FieldValue::Integer(number.as_i64().ok_or_else(|| format!("cannot express the number {number}"))?)
        }
        Value::Object(_) => return Err(format!("cannot express the table {value}")),
    })
}

fn table(case: &Value, name: &str) -> Result<FieldTable, String> {
    let entries = case[name].as_object().ok_or_else(|| format!("{name} is no object"))?;
    entries.iter().map(|(name, value)| Ok((name.as_str(), field(value)?))).collect()
}

/// Runs a case of a headers exchange: one binding and one message.
pub fn run_headers(case: &Value) -> Result<(), String> {
    let known = ["id", "note", "basis", "profile", "x_match", "arguments", "message_headers", "routed", "bind_error"];
    known_fields(case, &known)?;
    let deployment = deployment(1, &[""], profile(case, "rabbit-4.3")?);
    let (headers, key) = (exchange(&deployment, "amq.headers"), interned(&deployment, ""));
    let mut arguments = table(case, "arguments")?;
    match &case["x_match"] {
        Value::String(none) if none == "(not given)" => {}
        mode => arguments.push("x-match", field(mode)?),
    }
    let destination = Destination::Queue(StoreId::new(0));
    let mut router = Router::new(&deployment);
    let bound = router.bind(&BindingConfig { exchange: headers, destination, key, arguments });
    let expected = match &case["bind_error"] {
        Value::Null => Ok(()),
        code => Err(code.as_u64().ok_or("bind_error is no number")?),
    };
    compare("bind", expected, bound.map_err(|error| error.code() as u64))?;
    let properties = Properties { headers: table(case, "message_headers")?, ..Properties::default() };
    let routed = router.route(headers, key, Some(&properties));
    let routed = routed.map_err(|code| format!("the publish was refused with {}", code as u16))?;
    compare("routed", flag(case, "routed")?, !routed.is_empty())
}
