//! What messages of a contender pass through: its exchanges, and where these and its queues hand them on. Plain names
//! and numbers, for those who draw it.

use brokerlab_broker::config::{ExchangeConfig, ExchangeId, ExchangeKind, Overflow, QueueKind};
use brokerlab_event::StoreId;

use crate::scenario::{Contender, ModelOptions, Scenario};
use crate::topology::{BoundTo, QueueSpec, Topology};

/// What messages of a contender pass through. Nothing for logs and streams, whose producers choose partitions.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Wiring {
    /// The exchanges that messages can come to.
    pub exchanges: Vec<WiredExchange>,
    /// Who hands messages on to whom.
    pub wires: Vec<Wire>,
    /// What each queue was told, as pairs of a word and a value, in the order of the stores. Empty without queues.
    pub rules: Vec<Vec<(String, String)>>,
}

/// An exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WiredExchange {
    /// Its name, `(default)` for the default exchange.
    pub name: String,
    /// How it chooses: `direct`, `fanout`, `topic`, `headers`, `broadcast`.
    pub kind: &'static str,
    /// Producers publish to it.
    pub is_entry: bool,
}

/// Somebody who hands messages on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireEnd {
    /// An exchange, an index into [`Wiring::exchanges`].
    Exchange(usize),
    /// A queue.
    Store(StoreId),
}

/// Why a message is handed on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WireKind {
    /// By a binding.
    Binding,
    /// Because no binding takes it.
    Alternate,
    /// As a dead letter.
    DeadLetter,
}

/// A way from one to the other.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Wire {
    /// From whom.
    pub from: WireEnd,
    /// To whom.
    pub to: WireEnd,
    /// Why.
    pub kind: WireKind,
    /// The binding key, the arguments of a headers binding, or the routing key that dead letters are given; empty
    /// where there is none.
    pub key: String,
}

impl Wiring {
    /// The wiring of a contender.
    pub fn of(scenario: &Scenario, contender: &Contender) -> Wiring {
        match &contender.options {
            ModelOptions::Queue(options) | ModelOptions::Fanout(options) => {
                let kinds = scenario.demand.kinds.iter().map(|kind| kind.name.as_str()).collect();
                Builder { topology: &options.topology, kinds, known: Vec::new(), wiring: Wiring::default() }.build()
            }
            ModelOptions::Broadcast(_) => {
                let exchange = WiredExchange { name: "events".into(), kind: "broadcast", is_entry: true };
                Wiring { exchanges: vec![exchange], ..Wiring::default() }
            }
            ModelOptions::Log(_) | ModelOptions::ShareGroup(_) | ModelOptions::Stream(_) => Wiring::default(),
        }
    }
}

struct Builder<'a> {
    topology: &'a Topology,
    kinds: Vec<&'a str>,
    /// The exchanges that are part of the wiring, in its order.
    known: Vec<ExchangeId>,
    wiring: Wiring,
}

impl Builder<'_> {
    fn build(mut self) -> Wiring {
        self.wiring.rules = self.topology.queues.iter().map(rules).collect();
        let entry = self.topology.publish_to;
        // The default exchange before a single queue is as good as none.
        let by_default = self.by_name(self.keys());
        if entry != ExchangeId::DEFAULT || by_default.len() > 1 {
            self.exchange(entry);
        }
        for (index, queue) in self.topology.queues.iter().enumerate() {
            let Some(dead_letter) = &queue.dead_letter else { continue };
            let from = WireEnd::Store(StoreId::new(index as u32));
            let key = dead_letter.routing_key.clone();
            if dead_letter.exchange == ExchangeId::DEFAULT {
                // The default exchange goes by the names of queues, so what it does is known.
                for to in self.by_name(key.as_deref().map_or(self.keys(), |key| vec![key])) {
                    self.wire(from, WireEnd::Store(to), WireKind::DeadLetter, String::new());
                }
            } else {
                let to = self.exchange(dead_letter.exchange);
                self.wire(from, to, WireKind::DeadLetter, key.unwrap_or_default());
            }
        }
        self.wiring
    }

    /// The routing keys that messages may have at first.
    fn keys(&self) -> Vec<&str> {
        match &self.topology.routing_key {
            Some(key) => vec![key],
            None => self.kinds.clone(),
        }
    }

    /// The queues that have one of these names.
    fn by_name(&self, names: Vec<&str>) -> Vec<StoreId> {
        let queues = self.topology.queues.iter().enumerate();
        let named = queues.filter(|(_, queue)| names.contains(&queue.name.as_str()));
        named.map(|(index, _)| StoreId::new(index as u32)).collect()
    }

    fn wire(&mut self, from: WireEnd, to: WireEnd, kind: WireKind, key: String) {
        let wire = Wire { from, to, kind, key };
        if !self.wiring.wires.contains(&wire) {
            self.wiring.wires.push(wire);
        }
    }

    /// An exchange with everything that it leads to.
    fn exchange(&mut self, id: ExchangeId) -> WireEnd {
        if let Some(known) = self.known.iter().position(|known| *known == id) {
            return WireEnd::Exchange(known);
        }
        let config = &self.topology.exchanges[usize::from(id.0)];
        let own = WireEnd::Exchange(self.known.len());
        self.known.push(id);
        self.wiring.exchanges.push(WiredExchange {
            name: shown_name(config),
            kind: kind_name(config.kind),
            is_entry: self.topology.publish_to == id,
        });
        if id == ExchangeId::DEFAULT {
            for to in self.by_name(self.keys()) {
                self.wire(own, WireEnd::Store(to), WireKind::Binding, String::new());
            }
        }
        for binding in self.topology.bindings.iter().filter(|binding| binding.source == id) {
            let to = match binding.destination {
                BoundTo::Queue(index) => WireEnd::Store(StoreId::new(index as u32)),
                BoundTo::Exchange(next) => self.exchange(next),
            };
            // A fan-out does not look at keys.
            let key = if config.kind == ExchangeKind::Fanout { String::new() } else { binding.key.clone() };
            self.wire(own, to, WireKind::Binding, key);
        }
        if let Some(alternate) = config.alternate {
            let to = self.exchange(alternate);
            self.wire(own, to, WireKind::Alternate, String::new());
        }
        own
    }
}

fn shown_name(exchange: &ExchangeConfig) -> String {
    if exchange.name.is_empty() { "(default)".into() } else { exchange.name.clone() }
}

fn kind_name(kind: ExchangeKind) -> &'static str {
    match kind {
        ExchangeKind::Direct => "direct",
        ExchangeKind::Fanout => "fanout",
        ExchangeKind::Topic => "topic",
        ExchangeKind::Headers => "headers",
        ExchangeKind::Broadcast => "broadcast",
    }
}

/// What a queue was told that is not as usual.
fn rules(queue: &QueueSpec) -> Vec<(String, String)> {
    let mut rules: Vec<(String, String)> = Vec::new();
    let mut rule = |word: &str, value: Option<String>| rules.extend(value.map(|value| (word.to_string(), value)));
    match queue.kind {
        QueueKind::Classic => rule("kind", Some("classic".into())),
        QueueKind::Quorum(options) => {
            rule("kind", Some("quorum".into()));
            rule("delivery limit", options.delivery_limit.map(|limit| limit.to_string()));
        }
    }
    rule("messages expire after", queue.message_ttl.map(|ttl| ttl.to_string()));
    rule("unused, it goes after", queue.expires.map(|expires| expires.to_string()));
    rule("most messages", queue.max_length.map(|length| length.to_string()));
    rule("most bytes", queue.max_bytes.map(|bytes| bytes.to_string()));
    if queue.max_length.is_some() || queue.max_bytes.is_some() {
        let at_limit = match queue.overflow {
            Overflow::DropHead => "drops the oldest",
            Overflow::RejectPublish => "refuses new ones",
            Overflow::RejectPublishDlx => "refuses new ones, as dead letters",
        };
        rule("at its limit it", Some(at_limit.into()));
    }
    rule("levels of priority", queue.max_priority.map(|levels| levels.to_string()));
    rule("single active consumer", queue.single_active_consumer.then(|| "yes".into()));
    rules
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Source;

    fn wired(scenario: &str, contender: &str) -> Wiring {
        let source = Source::bundled(scenario).expect("it is bundled");
        let scenario = Scenario::parse(&source, &[]).expect("it is valid");
        let contender = scenario.contenders.iter().find(|own| own.name == contender).expect("it has it");
        Wiring::of(&scenario, contender)
    }

    fn told(wiring: &Wiring, wires: impl Fn(&Wire) -> bool) -> Vec<String> {
        let end = |end: WireEnd| match end {
            WireEnd::Exchange(index) => wiring.exchanges[index].name.clone(),
            WireEnd::Store(store) => format!("queue {}", store.index()),
        };
        let told = wiring.wires.iter().filter(|wire| wires(wire));
        told.map(|wire| format!("{} > {} {}", end(wire.from), end(wire.to), wire.key)).collect()
    }

    #[test]
    fn a_topic_exchange_leads_to_its_queues_by_their_keys() {
        let wiring = wired("topic-routing", "topic");
        assert_eq!(wiring.exchanges, [WiredExchange { name: "events".into(), kind: "topic", is_entry: true }]);
        let all = told(&wiring, |wire| wire.kind == WireKind::Binding);
        assert_eq!(all, ["events > queue 0 payment.*", "events > queue 1 *.eu", "events > queue 2 #"]);
        assert_eq!(wiring.wires.len(), 3);
    }

    #[test]
    fn dead_letters_go_from_queue_to_queue_and_the_default_exchange_before_one_queue_is_left_out() {
        let wiring = wired("retries", "delay-queue");
        assert_eq!(wiring.exchanges, []);
        let all = told(&wiring, |wire| wire.kind == WireKind::DeadLetter);
        assert_eq!(all, ["queue 0 > queue 1 ", "queue 1 > queue 0 "]);
        assert!(wiring.rules[1].contains(&("messages expire after".into(), "2s".into())));
    }

    #[test]
    fn a_fan_out_has_no_keys_and_a_log_no_exchanges() {
        let wiring = wired("topic-routing", "fanout");
        assert_eq!(wiring.exchanges[0].kind, "fanout");
        assert!(wiring.wires.len() == 3 && wiring.wires.iter().all(|wire| wire.key.is_empty()));
        assert_eq!(wired("topic-routing", "log"), Wiring::default());
    }
}
