//! Which queues a message goes to, by looking at every binding.

use std::sync::Arc;

use brokerlab_broker::config::{BindingConfig, Destination, ExchangeId, ExchangeKind, RoutingKey};
use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::properties::{FieldTable, FieldValue, Properties};
use brokerlab_event::StoreId;

use crate::rig::Topology;

/// Whether a key fits a pattern of a topic exchange, word by word.
fn fits(pattern: &[&str], key: &[&str]) -> bool {
    match (pattern.split_first(), key.split_first()) {
        (None, _) => key.is_empty(),
        (Some((&"#", rest)), None) => fits(rest, key),
        (Some((&"#", rest)), Some((_, fewer))) => fits(rest, key) || fits(pattern, fewer),
        (Some(_), None) => false,
        (Some((word, rest)), Some((other, fewer))) => (*word == "*" || word == other) && fits(rest, fewer),
    }
}

/// The words of a key. The empty key has none.
fn words(key: &str) -> Vec<&str> {
    if key.is_empty() { vec![] } else { key.split('.').collect() }
}

/// Whether headers fit the arguments of a binding.
fn headers_fit(arguments: &FieldTable, headers: &FieldTable) -> bool {
    let (all, with_x) = match arguments.get("x-match") {
        Some(FieldValue::Text(text)) => (text.starts_with("all"), text.ends_with("-with-x")),
        _ => (true, false),
    };
    let compared = arguments.iter().filter(|(name, _)| *name != "x-match" && (with_x || !name.starts_with("x-")));
    let mut fitting = compared.map(|(name, wanted)| match (wanted, headers.get(name)) {
        (_, None) => false,
        (FieldValue::Void, Some(_)) => true,
        (wanted, Some(found)) => wanted == found,
    });
    if all { fitting.all(|fits| fits) } else { fitting.any(|fits| fits) }
}

/// The texts in a header that must be an array.
pub fn keys_in(headers: &FieldTable, name: &str) -> Result<Vec<Arc<str>>, ReplyCode> {
    match headers.get(name) {
        None => Ok(vec![]),
        Some(FieldValue::Array(entries)) => Ok(entries
            .iter()
            .filter_map(|entry| match entry {
                FieldValue::Text(text) => Some(Arc::clone(text)),
                _ => None,
            })
            .collect()),
        Some(_) => Err(ReplyCode::PreconditionFailed),
    }
}

/// The queues that get a copy, ascending.
pub fn route(topology: &Topology, exchange: ExchangeId, key: RoutingKey, properties: &Properties) -> Vec<StoreId> {
    let mut keys: Vec<Arc<str>> = keys_in(&properties.headers, "CC").expect("it was looked at when it came");
    keys.extend(properties.blind_copies.iter().cloned());
    keys.push(topology.keys[key.0 as usize].as_str().into());
    let (mut way, mut queues) = (vec![exchange], vec![]);
    let mut next = 0;
    // Each exchange on the way decides by its own bindings, once.
    while let Some(&id) = way.get(next) {
        next += 1;
        let Some(exchange) = topology.exchanges.get(usize::from(id.0)) else { continue };
        let text = |key: RoutingKey| topology.keys[key.0 as usize].as_str();
        let bound = |binding: &&BindingConfig| {
            let own = text(binding.key);
            binding.exchange == id
                && match exchange.kind {
                    ExchangeKind::Direct => keys.iter().any(|key| **key == *own),
                    ExchangeKind::Fanout => true,
                    ExchangeKind::Topic => keys.iter().any(|key| fits(&words(own), &words(key))),
                    ExchangeKind::Headers => headers_fit(&binding.arguments, &properties.headers),
                    ExchangeKind::Broadcast => false,
                }
        };
        let mut found: Vec<Destination> = topology.bindings.iter().filter(bound).map(|own| own.destination).collect();
        if id == ExchangeId::DEFAULT {
            let named = topology.queues.iter().filter(|queue| keys.iter().any(|key| **key == *text(queue.name)));
            found.extend(named.map(|queue| Destination::Queue(queue.store)));
        }
        if found.is_empty() {
            found.extend(exchange.alternate.map(Destination::Exchange));
        }
        for destination in found {
            match destination {
                Destination::Queue(queue) => queues.push(queue),
                Destination::Exchange(exchange) if way.contains(&exchange) => {}
                Destination::Exchange(exchange) => way.push(exchange),
            }
        }
    }
    queues.sort();
    queues.dedup();
    queues
}
