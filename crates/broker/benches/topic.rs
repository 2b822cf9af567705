//! Routing through a topic exchange of 1, 100 and 10,000 bindings, of which one matches:
//! `cargo bench -p brokerlab-broker --bench topic`. What does not match must not cost.
//!
//! Sizes take turns in one process and ratios are taken within a round, because the machine's speed drifts.
#![expect(clippy::disallowed_types, reason = "a benchmark is about the clock on the wall")]

use std::hint::black_box;
use std::time::Instant;

use brokerlab_broker::config::{
    BindingConfig, BrokerSessions, Deployment, Destination, ExchangeConfig, ExchangeId, ExchangeKind, FetchLimits,
    Profile, QueueConfig, RoutingKey,
};
use brokerlab_broker::properties::FieldTable;
use brokerlab_broker::router::Router;
use brokerlab_event::{Model, NodeId, StoreId};

const ROUNDS: usize = 9;
const ROUTES: usize = 1_000_000;
const SIZES: [usize; 3] = [1, 100, 10_000];

const TOPIC: ExchangeId = ExchangeId(1);
const QUEUE: StoreId = StoreId::MAX;
/// The first routing key of every deployment here.
const MESSAGE: (&str, RoutingKey) = ("plant.north.press.7.temperature", RoutingKey(0));
const MATCHING: &str = "plant.*.press.#";

/// Patterns that do not match. Like those of one system they share their first words with the message and with each
/// other, and two of three have a wildcard.
fn other_pattern(number: usize) -> String {
    match number % 3 {
        0 => format!("plant.north.press.{}.pressure", number + 8),
        1 => format!("plant.south{number}.press.*.temperature"),
        _ => format!("site{number}.north.#.temperature"),
    }
}

/// A router whose topic exchange has this many bindings.
fn router(bindings: usize) -> Router {
    let mut routing_keys: Vec<String> = vec![MESSAGE.0.into(), MATCHING.into()];
    routing_keys.extend((0..bindings - 1).map(other_pattern));
    let binding = |key: usize| BindingConfig {
        exchange: TOPIC,
        destination: Destination::Queue(QUEUE),
        key: RoutingKey(key as u32),
        arguments: FieldTable::default(),
    };
    Router::new(&Deployment {
        model: Model::Queue,
        nodes: 1,
        seed: 1,
        broker_sessions: BrokerSessions::default(),
        profile: Profile::default(),
        memory_watermark: None,
        page_cache: None,
        bindings: (1..routing_keys.len()).map(binding).collect(),
        routing_keys,
        exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct), ExchangeConfig::new("t", ExchangeKind::Topic)],
        queues: vec![QueueConfig::new(QUEUE, NodeId::new(0), MESSAGE.1)],
        topics: vec![],
        groups: vec![],
        share_groups: vec![],
        streams: vec![],
        fetch: FetchLimits::default(),
        producers: vec![],
        consumers: vec![],
    })
}

/// Nanoseconds that a route takes.
fn measure(router: &mut Router) -> f64 {
    let start = Instant::now();
    for _ in 0..ROUTES {
        let queues = router.route(TOPIC, black_box(MESSAGE.1), None);
        assert!(black_box(queues) == Ok(&[QUEUE]), "the message goes to its one queue");
    }
    start.elapsed().as_nanos() as f64 / ROUTES as f64
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn main() {
    let mut routers = SIZES.map(router);
    let rounds: Vec<[f64; 3]> = (0..ROUNDS).map(|_| std::array::from_fn(|size| measure(&mut routers[size]))).collect();
    println!("{:>10} {:>12} {:>16}   (median of {ROUNDS} rounds)", "bindings", "ns a route", "÷ one binding");
    for (place, size) in SIZES.iter().enumerate() {
        let time = median(rounds.iter().map(|round| round[place]).collect());
        let ratio = median(rounds.iter().map(|round| round[place] / round[0]).collect());
        println!("{size:>10} {time:>12.1} {ratio:>16.2}");
    }
}
