//! Random topologies and random operations: what every client is told is held against the reference, and where every
//! message is against the ledger.
//!
//! `QUEUE_SIDE_CASES=50000` tries more cases than usual.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_broker::config::*;
use brokerlab_broker::message::{Channel, ReplyCode};
use brokerlab_broker::properties::{FieldTable, FieldValue, Properties};
use brokerlab_broker::{Message, Publication};
use brokerlab_event::{ClientId, Event, NodeId, Removal, StoreId};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner};

use crate::ledger::Ledger;
use crate::reference::Reference;
use crate::rig::{Rig, Topology, ms};

const QUEUES: [&str; 4] = ["a", "a.b", "b.a.b", "c"];
const KEYS: [&str; 8] = ["a", "a.b", "b.a.b", "c", "", "b", "a..b", "a.c.b"];
const PATTERNS: [&str; 8] = ["a", "#", "*", "a.#", "*.b", "#.b", "a.*.b", "#.a.#"];

/// A client and one of its channels.
type Session = (u32, Channel);

/// What happens, still without what depends on the state: picks are numbers of what there is then.
#[derive(Clone, Debug)]
enum Operation {
    Publish { by: Session, exchange: usize, key: &'static str, size: u32, mandatory: bool, properties: Properties },
    ConfirmSelect { by: Session },
    Qos { by: Session, prefetch: u32, global: bool },
    Consume { by: Session, queue: usize, auto_ack: bool, exclusive: bool, priority: i32 },
    Cancel { by: Session, pick: usize },
    Get { by: Session, queue: usize, auto_ack: bool },
    Ack { by: Session, pick: usize, multiple: bool },
    Nack { by: Session, pick: usize, multiple: bool, requeue: bool },
    Reject { by: Session, pick: usize, requeue: bool },
    Recover { by: Session },
    Purge { by: Session, queue: usize },
    Close { by: Session },
    Lose { client: u32 },
    Advance { millis: u64 },
}

fn texts(keys: Vec<&'static str>) -> FieldValue {
    FieldValue::Array(keys.into_iter().map(|key| FieldValue::Text(key.into())).collect())
}

fn field_value() -> impl Strategy<Value = FieldValue> {
    select(vec![FieldValue::Integer(1), FieldValue::Integer(2), FieldValue::Text("1".into()), FieldValue::Void])
}

fn queues() -> impl Strategy<Value = Vec<QueueConfig>> {
    let overflow = select(vec![Overflow::DropHead, Overflow::RejectPublish, Overflow::RejectPublishDlx]);
    let dead_letter = (0..5u16, prop::option::weighted(0.6, 0..QUEUES.len() as u32));
    let dead_letter = dead_letter.prop_map(|(exchange, key)| DeadLetterConfig {
        // Mostly the default exchange, sometimes one that does not exist.
        exchange: ExchangeId(if exchange == 4 { 0 } else { exchange }),
        routing_key: key.map(RoutingKey),
    });
    let queue = (
        any::<bool>(),
        prop::option::weighted(0.3, 0..12u64),
        prop::option::weighted(0.35, 0..4u64),
        prop::option::weighted(0.15, 0..30u64),
        overflow,
        prop::option::weighted(0.6, dead_letter),
        prop::option::weighted(0.3, 1..4u8),
        prop::bool::weighted(0.2),
    );
    let config = |(index, queue): (usize, _)| {
        let (durable, ttl, max_length, max_bytes, overflow, dead_letter, max_priority, single_active_consumer): (
            _,
            Option<u64>,
            _,
            _,
            _,
            _,
            _,
            _,
        ) = queue;
        let name = RoutingKey(index as u32); // the names are the first keys
        QueueConfig {
            durable,
            message_ttl: ttl.map(ms),
            max_length,
            max_bytes,
            overflow,
            dead_letter,
            max_priority,
            single_active_consumer,
            ..QueueConfig::new(StoreId::new(index as u32), NodeId::new(0), name)
        }
    };
    vec(queue, 1..=QUEUES.len()).prop_map(move |queues| queues.into_iter().enumerate().map(config).collect())
}

fn exchanges() -> impl Strategy<Value = Vec<(ExchangeKind, Option<u16>, bool)>> {
    let kinds = vec![ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
    vec((select(kinds), prop::option::weighted(0.4, 0..5u16), prop::bool::weighted(0.1)), 0..=3)
}

/// A binding still without regard to what there is: source, destination among queues or exchanges, key, arguments.
type Bond = (usize, bool, usize, &'static str, FieldTable);

fn bonds() -> impl Strategy<Value = Vec<Bond>> {
    let modes = ["all", "any", "all-with-x", "any-with-x"].map(|mode| FieldValue::Text(mode.into()));
    let arguments = (
        prop::option::of(select(modes.to_vec())),
        prop::option::of(field_value()),
        prop::option::weighted(0.3, field_value()),
    );
    let arguments = arguments.prop_map(|(mode, plain, hidden)| {
        let named = [("x-match", mode), ("k", plain), ("x-k", hidden)];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    });
    let key = prop_oneof![select(KEYS.to_vec()), select(PATTERNS.to_vec())];
    vec((0..3usize, prop::bool::weighted(0.25), 0..4usize, key, arguments), 0..8)
}

fn topology() -> impl Strategy<Value = Topology> {
    (queues(), exchanges(), bonds(), any::<bool>()).prop_map(|(queues, exchanges, bonds, shared_prefetch)| {
        let mut topology = Topology::default();
        topology.profile.shared_prefetch = shared_prefetch;
        for key in QUEUES.into_iter().chain(KEYS) {
            topology.key(key);
        }
        let (queue_count, exchange_count) = (queues.len(), exchanges.len());
        topology.queues = queues;
        for (index, (kind, alternate, internal)) in exchanges.into_iter().enumerate() {
            topology.exchange(&format!("x{index}"), kind);
            let config = topology.exchanges.last_mut().expect("it was just added");
            (config.alternate, config.internal) = (alternate.map(ExchangeId), internal);
        }
        for (source, to_exchange, to, key, arguments) in bonds {
            if exchange_count == 0 {
                break;
            }
            let exchange = |index: usize| ExchangeId((index % exchange_count) as u16 + 1);
            let destination = match to_exchange {
                true => Destination::Exchange(exchange(to)),
                false => Destination::Queue(StoreId::new((to % queue_count) as u32)),
            };
            topology.bind(exchange(source), destination, key, arguments);
        }
        topology
    })
}

fn properties() -> impl Strategy<Value = Properties> {
    let expiration = select(vec!["0", "1", "3", "7", "20", "-1", "soon"]);
    let copies = || vec(select(KEYS.to_vec()), 0..3).prop_map(texts);
    let headers = (
        prop::option::weighted(0.3, field_value()),
        prop::option::weighted(0.2, field_value()),
        prop::option::weighted(0.15, copies()),
        prop::option::weighted(0.15, copies()),
    );
    let headers = headers.prop_map(|(plain, hidden, copies, blind)| {
        let named = [("k", plain), ("x-k", hidden), ("CC", copies), ("BCC", blind)];
        named.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    });
    let properties = (
        prop::option::weighted(0.5, 0..6u8),
        prop::option::weighted(0.3, expiration),
        prop::bool::weighted(0.2),
        prop_oneof![19 => headers, 1 => Just(FieldTable::from_iter([("CC", FieldValue::Void)]))],
    );
    properties.prop_map(|(priority, expiration, transient, headers)| Properties {
        priority,
        expiration: expiration.map(Arc::from),
        transient,
        headers,
        ..Properties::default()
    })
}

fn operations() -> impl Strategy<Value = Vec<Operation>> {
    use Operation::*;
    let by = || (0..3u32, 1..=2u16);
    let plain = prop_oneof![1 => Just(Properties::default()), 1 => properties()];
    let publish = (
        by(),
        0..30usize,
        prop_oneof![2 => select(QUEUES.to_vec()), 1 => select(KEYS.to_vec())],
        0..12u32,
        any::<bool>(),
        plain,
    );
    let operation = prop_oneof![
        14 => publish.prop_map(|(by, exchange, key, size, mandatory, properties)| {
            Publish { by, exchange, key, size, mandatory, properties }
        }),
        5 => by().prop_map(|by| ConfirmSelect { by }),
        2 => (by(), 0..3u32, any::<bool>()).prop_map(|(by, prefetch, global)| Qos { by, prefetch, global }),
        5 => (by(), 0..30usize, prop::bool::weighted(0.2), prop::bool::weighted(0.1), -1..2i32).prop_map(
            |(by, queue, auto_ack, exclusive, priority)| Consume { by, queue, auto_ack, exclusive, priority }
        ),
        1 => (by(), 0..4usize).prop_map(|(by, pick)| Cancel { by, pick }),
        3 => (by(), 0..30usize, any::<bool>()).prop_map(|(by, queue, auto_ack)| Get { by, queue, auto_ack }),
        6 => (by(), 0..30usize, any::<bool>()).prop_map(|(by, pick, multiple)| Ack { by, pick, multiple }),
        5 => (by(), 0..30usize, any::<bool>(), any::<bool>()).prop_map(|(by, pick, multiple, requeue)| {
            Nack { by, pick, multiple, requeue }
        }),
        3 => (by(), 0..30usize, any::<bool>()).prop_map(|(by, pick, requeue)| Reject { by, pick, requeue }),
        1 => by().prop_map(|by| Recover { by }),
        1 => (by(), 0..4usize).prop_map(|(by, queue)| Purge { by, queue }),
        1 => by().prop_map(|by| Close { by }),
        1 => (0..3u32).prop_map(|client| Lose { client }),
        5 => (0..8u64).prop_map(|millis| Advance { millis }),
    ];
    vec(operation, 30..=60)
}

/// A node in step with the reference and the ledger.
struct Bench {
    rig: Rig,
    reference: Reference,
    ledger: Ledger,
    /// Why messages were removed in the latest step.
    removals: Vec<Removal>,
    /// The next consumer's tag; tags are not used again.
    tag: u32,
}

impl Bench {
    fn new(topology: Topology) -> Bench {
        let rig = Rig::new(topology);
        let reference = Reference::new(Arc::clone(&rig.topology));
        Bench { rig, reference, ledger: Ledger::default(), removals: vec![], tag: 0 }
    }

    /// A channel with deliveries that are not settled, if there is one, and one of those. Now and then a tag that
    /// nobody gave, and 0 where there is none.
    fn pick(&self, by: Session, pick: usize) -> (Session, u64) {
        let held = |(client, channel): Session| self.reference.unsettled(ClientId::new(client), channel);
        let others = (0..3).flat_map(|client| [(client, 1), (client, 2)]);
        let by = std::iter::once(by).chain(others).find(|session| !held(*session).is_empty()).unwrap_or(by);
        let held = held(by);
        let tag = if pick == 29 { 99 } else { held.get(pick % held.len().max(1)).copied().unwrap_or(0) };
        (by, tag)
    }

    fn queue(&self, number: usize) -> StoreId {
        // Mostly one that is there.
        let count = self.rig.topology.queues.len();
        StoreId::new(if number == 29 { count } else { number % count } as u32)
    }

    /// What a client sends; nothing where the operation makes no sense now.
    fn message(&mut self, operation: Operation) -> Option<(u32, Message<()>)> {
        use Operation::*;
        Some(match operation {
            Publish { by: (client, channel), exchange, key, size, mandatory, properties } => {
                // Half of what there is goes to the default exchange, very little to one that does not exist.
                let count = self.rig.topology.exchanges.len();
                let exchange = if exchange == 29 { count } else { exchange % 2 * (exchange % count) };
                let exchange = ExchangeId(exchange as u16);
                let routing_key = self.rig.topology.keys.iter().position(|known| known == key)?;
                let properties = (properties != Properties::default()).then(|| Arc::new(properties));
                let envelope = self.rig.envelope(client, size);
                let routing_key = RoutingKey(routing_key as u32);
                let publication = Publication { envelope, exchange, routing_key, properties };
                (client, Message::Publish { channel, mandatory, publication })
            }
            ConfirmSelect { by: (client, channel) } => (client, Message::ConfirmSelect { channel }),
            Qos { by: (client, channel), prefetch, global } => (client, Message::Qos { channel, prefetch, global }),
            Consume { by: (client, channel), queue, auto_ack, exclusive, priority } => {
                self.tag += 1;
                let (queue, tag) = (self.queue(queue), self.tag);
                (client, Message::Consume { channel, queue, tag, auto_ack, exclusive, priority })
            }
            Cancel { by: (client, channel), pick } => {
                let tags = self.reference.consumers(ClientId::new(client), channel);
                (client, Message::Cancel { channel, tag: *tags.get(pick % tags.len().max(1))? })
            }
            Get { by: (client, channel), queue, auto_ack } => {
                (client, Message::Get { channel, queue: self.queue(queue), auto_ack })
            }
            Ack { by, pick, multiple } => {
                let (by, tag) = self.pick(by, pick);
                (by.0, Message::Ack { channel: by.1, tag, multiple: multiple || tag == 0 })
            }
            Nack { by, pick, multiple, requeue } => {
                let (by, tag) = self.pick(by, pick);
                (by.0, Message::Nack { channel: by.1, tag, multiple: multiple || tag == 0, requeue })
            }
            Reject { by, pick, requeue } => {
                let (by, tag) = self.pick(by, pick);
                if tag == 0 {
                    return None;
                }
                (by.0, Message::Reject { channel: by.1, tag, requeue })
            }
            Recover { by: (client, channel) } => (client, Message::Recover { channel }),
            Purge { by: (client, channel), queue } => (client, Message::Purge { channel, queue: self.queue(queue) }),
            Close { by: (client, channel) } => (client, Message::CloseChannel { channel }),
            Lose { client } => (client, Message::ConnectionLost),
            Advance { .. } => return None,
        })
    }

    fn step(&mut self, operation: Operation) -> Result<(), TestCaseError> {
        if let Operation::Advance { millis } = operation {
            self.rig.advance(ms(millis));
            self.reference.advance(self.rig.now);
        } else {
            let Some((client, message)) = self.message(operation) else { return Ok(()) };
            self.rig.ask(client, message.clone());
            self.reference.ask(ClientId::new(client), message);
        }
        let found = self.by_channel(&self.rig.sent);
        let expected = self.by_channel(&self.reference.told);
        let shown = |side: &BTreeMap<_, Vec<Message<()>>>| {
            let lines = side.iter().flat_map(|((client, ..), messages): (&(ClientId, _, _), _)| {
                messages.iter().map(|message| self.rig.topology.show(client.get(), message))
            });
            lines.collect::<Vec<_>>().join("\n  ")
        };
        prop_assert!(
            found == expected,
            "the node tells\n  {}\nthe reference\n  {}\n{found:?}\n{expected:?}",
            shown(&found),
            shown(&expected)
        );
        self.removals.clear();
        for event in self.rig.events() {
            self.ledger.note(event);
            if let Event::Removed { cause, .. } = event {
                self.removals.push(*cause);
            }
        }
        for (client, message) in &self.rig.sent {
            self.ledger.deliver(*client, message);
        }
        self.ledger.check(&self.rig);
        self.check_depth()
    }

    /// What is told on one channel has an order: that of deliveries, and that of answers to publishes.
    fn by_channel(&self, sent: &[(ClientId, Message<()>)]) -> BTreeMap<(ClientId, Channel, u8), Vec<Message<()>>> {
        let mut sorted: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (client, message) in sent {
            let (channel, class) = match message {
                Message::Deliver { channel, .. } | Message::GetAnswer { channel, .. } => (*channel, 0),
                Message::Confirm { channel, .. } | Message::Return { channel, .. } => (*channel, 1),
                Message::ChannelError { channel, .. } => (*channel, 2),
                other => panic!("nobody asked for {other:?}"),
            };
            sorted.entry((*client, channel, class)).or_default().push(message.clone());
        }
        sorted
    }

    /// Counts what has happened in the latest step.
    fn tally(&self, seen: &mut BTreeMap<&'static str, u64>) {
        let removed = self.removals.iter().map(|cause| match cause {
            Removal::Acked => "acked",
            Removal::AutoAcked => "settled when sent",
            Removal::Rejected => "rejected",
            Removal::Expired => "expired",
            Removal::MaxLength => "too long",
            _ => "purged",
        });
        let told = self.reference.told.iter().map(|(_, message)| match message {
            Message::Deliver { redelivered: true, .. } => "redelivered",
            Message::Deliver { publication, .. } if is_dead(publication) => "dead letters delivered",
            Message::Deliver { .. } => "delivered",
            Message::GetAnswer { found: Some((.., publication)), .. } if is_dead(publication) => "dead letters got",
            Message::GetAnswer { found: Some(_), .. } => "got",
            Message::GetAnswer { .. } => "nothing to get",
            Message::Confirm { result: Ok(()), .. } => "confirmed",
            Message::Confirm { .. } => "refused",
            Message::Return { .. } => "returned",
            Message::ChannelError { code: ReplyCode::PreconditionFailed, .. } => "406",
            Message::ChannelError { code: ReplyCode::NotFound, .. } => "404",
            _ => "403",
        });
        removed.chain(told).for_each(|kind| *seen.entry(kind).or_default() += 1);
    }

    fn check_depth(&mut self) -> Result<(), TestCaseError> {
        for index in 0..self.reference.queues.len() {
            let queue = StoreId::new(index as u32);
            let state = self.rig.ask(9, Message::InspectQueue { channel: 1, queue });
            let own = &self.reference.queues[index];
            let (ready, consumers) = (own.ready.len(), own.consumers.len());
            prop_assert_eq!(state, format!("c9.1 {} ready, {} consumers", ready, consumers), "queue {}", index);
            prop_assert_eq!(self.ledger.ready(queue).count(), ready, "queue {}", index);
        }
        Ok(())
    }
}

fn is_dead(publication: &Publication<()>) -> bool {
    publication.properties.as_ref().is_some_and(|properties| !properties.deaths.is_empty())
}

/// What has to happen in one case of a hundred at least.
const KINDS: [&str; 18] = [
    "acked",
    "settled when sent",
    "rejected",
    "expired",
    "too long",
    "purged",
    "redelivered",
    "dead letters delivered",
    "delivered",
    "dead letters got",
    "got",
    "nothing to get",
    "confirmed",
    "refused",
    "returned",
    "406",
    "404",
    "403",
];

#[test]
fn every_topology_does_what_the_reference_does() {
    let cases = std::env::var("QUEUE_SIDE_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(3_000);
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let seen = RefCell::new(BTreeMap::new());
    let outcome = runner.run(&(topology(), operations()), |(topology, operations)| {
        let mut bench = Bench::new(topology);
        for (number, operation) in operations.into_iter().enumerate() {
            bench.step(operation).map_err(|failure| TestCaseError::fail(format!("operation {number}: {failure}")))?;
            bench.tally(&mut seen.borrow_mut());
        }
        Ok(())
    });
    if let Err(failure) = outcome {
        let TestError::Fail(reason, (topology, operations)) = failure else { panic!("{failure}") };
        let lines: Vec<String> = operations.iter().map(|operation| format!("{operation:?}")).collect();
        panic!("{reason}\nin {topology:?}\nafter\n  {}", lines.join("\n  "));
    }
    let seen = seen.into_inner();
    for kind in KINDS {
        assert!(seen.get(kind).is_some_and(|times| *times >= u64::from(cases / 100)), "hardly any {kind}: {seen:?}");
    }
}
