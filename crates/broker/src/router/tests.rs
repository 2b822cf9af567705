//! Routing through whole topologies.

use brokerlab_event::{Model, NodeId, StoreId};

use super::*;
use crate::config::{BrokerSessions, ExchangeConfig, FetchLimits, QueueConfig};
use crate::properties::FieldValue;

/// A topology by names. Queues are named `q0`, `q1`, …; every name and every key is interned as it is met.
struct Rig {
    deployment: Deployment,
}

impl Rig {
    fn new(queues: usize) -> Rig {
        let mut rig = Rig {
            deployment: Deployment {
                model: Model::Queue,
                nodes: 1,
                seed: 1,
                broker_sessions: BrokerSessions::default(),
                profile: Profile::default(),
                routing_keys: vec![],
                exchanges: vec![ExchangeConfig::new("", ExchangeKind::Direct)],
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
            },
        };
        for number in 0..queues {
            let name = rig.key(&format!("q{number}"));
            let (store, node) = (StoreId::new(number as u32), NodeId::new(0));
            rig.deployment.queues.push(QueueConfig::new(store, node, name));
        }
        rig
    }

    fn key(&mut self, text: &str) -> RoutingKey {
        let keys = &mut self.deployment.routing_keys;
        let place = keys.iter().position(|known| known == text).unwrap_or_else(|| {
            keys.push(text.to_string());
            keys.len() - 1
        });
        RoutingKey(place as u32)
    }

    fn exchange(&mut self, config: ExchangeConfig) -> ExchangeId {
        self.deployment.exchanges.push(config);
        ExchangeId(self.deployment.exchanges.len() as u16 - 1)
    }

    fn plain(&mut self, name: &str, kind: ExchangeKind) -> ExchangeId {
        self.exchange(ExchangeConfig::new(name, kind))
    }

    fn binding(&mut self, exchange: ExchangeId, destination: Destination, key: &str) -> BindingConfig {
        BindingConfig { exchange, destination, key: self.key(key), arguments: FieldTable::default() }
    }

    fn bind(&mut self, exchange: ExchangeId, destination: Destination, key: &str) {
        let binding = self.binding(exchange, destination, key);
        self.deployment.bindings.push(binding);
    }

    fn router(&self) -> Router {
        Router::new(&self.deployment)
    }

    /// The numbers of the queues that a message goes to.
    fn route(&mut self, router: &mut Router, exchange: ExchangeId, key: &str) -> Vec<u32> {
        let key = self.key(key);
        numbers(router.route(exchange, key, None))
    }
}

fn queue(number: u32) -> Destination {
    Destination::Queue(StoreId::new(number))
}

fn numbers(found: Result<&[StoreId], ReplyCode>) -> Vec<u32> {
    found.expect("the message is routed").iter().map(|store| store.get()).collect()
}

fn texts(keys: &[&str]) -> FieldValue {
    FieldValue::Array(keys.iter().map(|key| FieldValue::Text((*key).into())).collect())
}

fn with_headers(headers: &[(&str, FieldValue)]) -> Properties {
    Properties { headers: headers.iter().cloned().collect(), ..Properties::default() }
}

const NONE: &[u32] = &[];

#[test]
fn each_kind_chooses_in_its_way() {
    let mut rig = Rig::new(3);
    let (direct, fanout) = (rig.plain("d", ExchangeKind::Direct), rig.plain("f", ExchangeKind::Fanout));
    let (topic, headers) = (rig.plain("t", ExchangeKind::Topic), rig.plain("h", ExchangeKind::Headers));
    for exchange in [direct, fanout, topic, headers] {
        rig.bind(exchange, queue(2), "a.b");
        rig.bind(exchange, queue(0), "a.*");
        rig.bind(exchange, queue(2), "#");
    }
    rig.key("a.c");
    let mut router = rig.router();
    let mut found = |exchange, key| rig.route(&mut router, exchange, key);
    assert_eq!((found(direct, "a.b"), found(direct, "a.*"), found(direct, "a.c")), (vec![2], vec![0], vec![]));
    assert_eq!((found(fanout, "a.b"), found(fanout, "a.c")), (vec![0, 2], vec![0, 2]));
    assert_eq!((found(topic, "a.b"), found(topic, "a.c"), found(topic, "q1")), (vec![0, 2], vec![0, 2], vec![2]));
    // Without arguments nothing is wanted, and that is there.
    assert_eq!(found(headers, "a.c"), [0, 2]);
    assert_eq!((found(ExchangeId::DEFAULT, "q1"), found(ExchangeId::DEFAULT, "a.c")), (vec![1], vec![]));
}

#[test]
fn keys_that_nobody_interned_match_no_literal() {
    let mut rig = Rig::new(2);
    let (direct, topic) = (rig.plain("d", ExchangeKind::Direct), rig.plain("t", ExchangeKind::Topic));
    rig.bind(direct, queue(0), "a");
    rig.bind(topic, queue(0), "a");
    rig.bind(topic, queue(1), "*");
    let mut router = rig.router();
    let foreign = RoutingKey(u32::MAX);
    assert_eq!(numbers(router.route(direct, foreign, None)), NONE);
    assert_eq!(numbers(router.route(topic, foreign, None)), [1]);
}

#[test]
fn publishers_need_an_exchange_that_is_there_and_open() {
    let mut rig = Rig::new(1);
    let internal = ExchangeConfig { internal: true, ..ExchangeConfig::new("i", ExchangeKind::Fanout) };
    let internal = rig.exchange(internal);
    let open = rig.plain("o", ExchangeKind::Fanout);
    rig.bind(internal, queue(0), "");
    rig.bind(open, Destination::Exchange(internal), "");
    let mut router = rig.router();
    assert_eq!(router.admit(open), Ok(ExchangeKind::Fanout));
    assert_eq!(router.admit(internal), Err(ReplyCode::AccessRefused));
    assert_eq!(router.admit(ExchangeId(7)), Err(ReplyCode::NotFound));
    assert_eq!(router.route(ExchangeId(7), RoutingKey(0), None), Err(ReplyCode::NotFound));
    // Other exchanges reach it, and so do dead letters.
    assert_eq!(rig.route(&mut router, open, ""), [0]);
    assert_eq!(rig.route(&mut router, internal, ""), [0]);
}

#[test]
fn exchanges_pass_on_with_the_same_key_and_cycles_end() {
    let mut rig = Rig::new(3);
    let (topic, direct) = (rig.plain("t", ExchangeKind::Topic), rig.plain("d", ExchangeKind::Direct));
    let fanout = rig.plain("f", ExchangeKind::Fanout);
    rig.bind(topic, Destination::Exchange(direct), "ev.#");
    rig.bind(direct, queue(1), "ev.a");
    rig.bind(direct, Destination::Exchange(fanout), "ev.c");
    rig.bind(fanout, Destination::Exchange(topic), "");
    rig.bind(fanout, Destination::Exchange(fanout), "");
    rig.bind(fanout, queue(2), "");
    rig.bind(topic, queue(2), "#.c");
    rig.bind(topic, queue(0), "ev.c");
    let mut router = rig.router();
    assert_eq!(rig.route(&mut router, topic, "ev.a"), [1]);
    assert_eq!(rig.route(&mut router, topic, "q0"), NONE);
    // Whoever the message comes to first, it goes once round the cycle, and queue 2 gets one copy.
    for exchange in [topic, direct, fanout] {
        assert_eq!(rig.route(&mut router, exchange, "ev.c"), [0, 2], "{exchange:?}");
    }
}

#[test]
fn alternates_take_what_an_exchange_does_not() {
    let mut rig = Rig::new(3);
    let with = |name: &str, to| ExchangeConfig {
        alternate: Some(ExchangeId(to)),
        ..ExchangeConfig::new(name, ExchangeKind::Direct)
    };
    let (first, second) = (rig.exchange(with("1", 2)), rig.exchange(with("2", 3)));
    let (third, lost) = (rig.exchange(with("3", 1)), rig.exchange(with("4", 99)));
    let last = rig.exchange(with("5", 0));
    rig.bind(first, queue(0), "a");
    rig.bind(second, queue(1), "b");
    rig.bind(third, queue(2), "c");
    rig.key("d");
    let mut router = rig.router();
    let mut found = |exchange, key| rig.route(&mut router, exchange, key);
    // A chain, used only where it is needed, that ends where it has been.
    assert_eq!((found(first, "a"), found(first, "b"), found(first, "c")), (vec![0], vec![1], vec![2]));
    assert_eq!((found(second, "a"), found(first, "d")), (vec![0], vec![]));
    assert_eq!(found(lost, "a"), NONE);
    assert_eq!((found(last, "q2"), found(last, "a")), (vec![2], vec![]));
}

#[test]
fn an_exchange_that_leads_to_an_exchange_has_taken_the_message() {
    let mut rig = Rig::new(2);
    let source = ExchangeConfig { alternate: Some(ExchangeId(3)), ..ExchangeConfig::new("s", ExchangeKind::Fanout) };
    let source = rig.exchange(source);
    let via = ExchangeConfig { alternate: Some(ExchangeId(4)), ..ExchangeConfig::new("v", ExchangeKind::Direct) };
    let via = rig.exchange(via);
    let (unused, caught) = (rig.plain("u", ExchangeKind::Fanout), rig.plain("c", ExchangeKind::Fanout));
    rig.bind(source, Destination::Exchange(via), "");
    rig.bind(unused, queue(0), "");
    rig.bind(caught, queue(1), "");
    let mut router = rig.router();
    assert_eq!(rig.route(&mut router, source, "k"), [1]);
}

#[test]
fn copies_go_to_further_keys_and_to_a_queue_once() {
    let mut rig = Rig::new(4);
    let topic = rig.plain("t", ExchangeKind::Topic);
    rig.bind(topic, queue(3), "new.*");
    rig.bind(topic, queue(2), "new.#");
    let key = rig.key("q0");
    let mut router = rig.router();
    let copies = with_headers(&[("CC", texts(&["q1", "q0", "nobody"])), ("BCC", texts(&["q3", "q1"]))]);
    assert_eq!(numbers(router.route(ExchangeId::DEFAULT, key, Some(&copies))), [0, 1, 3]);
    // Patterns match keys that nobody has interned.
    let copies = with_headers(&[("CC", texts(&["new.thing", "new.a.b"]))]);
    assert_eq!(numbers(router.route(topic, key, Some(&copies))), [2, 3]);
    let bad = with_headers(&[("BCC", FieldValue::Text("q1".into()))]);
    assert_eq!(router.route(ExchangeId::DEFAULT, key, Some(&bad)), Err(ReplyCode::PreconditionFailed));
    let others = with_headers(&[("cc", FieldValue::Integer(1))]);
    assert_eq!(numbers(router.route(ExchangeId::DEFAULT, key, Some(&others))), [0]);
}

#[test]
fn headers_are_compared_by_kind_and_value() {
    let mut rig = Rig::new(2);
    let exchange = rig.plain("h", ExchangeKind::Headers);
    let key = rig.key("");
    let mut router = rig.router();
    let mut matches = |mode: &str, arguments: &[(&str, FieldValue)], headers: &[(&str, FieldValue)]| {
        let mode = ("x-match", FieldValue::Text(mode.into()));
        let arguments: FieldTable = arguments.iter().cloned().chain([mode]).collect();
        let binding = BindingConfig { exchange, destination: queue(0), key, arguments };
        router.bind(&binding).expect("the binding is valid");
        let found = numbers(router.route(exchange, key, Some(&with_headers(headers))));
        router.unbind(&binding).expect("the binding is there");
        assert_eq!(numbers(router.route(exchange, key, None)), NONE);
        !found.is_empty()
    };
    let text = |value: &str| FieldValue::Text(value.into());
    let (five, void) = (FieldValue::Integer(5), FieldValue::Void);
    for (mode, arguments, headers, expected) in [
        ("all", vec![("n", five.clone())], vec![("n", five.clone())], true),
        ("all", vec![("n", five.clone())], vec![("n", text("5"))], false),
        ("all", vec![("n", void.clone())], vec![("n", text("5"))], true),
        ("all", vec![("n", void.clone())], vec![], false),
        ("all", vec![("n", text("5"))], vec![("n", void.clone())], false),
        ("all", vec![("a", void.clone()), ("n", five.clone())], vec![("n", five.clone())], false),
        ("any", vec![("a", void.clone()), ("n", five.clone())], vec![("n", five.clone())], true),
        ("any", vec![], vec![("n", five.clone())], false),
        ("all", vec![], vec![], true),
        ("all", vec![("x-n", five.clone())], vec![], true),
        ("any", vec![("x-n", five.clone())], vec![("x-n", five.clone())], false),
        ("all-with-x", vec![("x-n", five.clone())], vec![], false),
        ("all-with-x", vec![], vec![], true),
        ("any-with-x", vec![("x-n", five.clone())], vec![("x-n", five.clone())], true),
        ("any-with-x", vec![], vec![("x-match", text("any-with-x"))], false),
    ] {
        assert_eq!(matches(mode, &arguments, &headers), expected, "{mode} {arguments:?} {headers:?}");
    }
}

#[test]
fn bindings_come_and_go() {
    for kind in [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers] {
        let mut rig = Rig::new(2);
        let exchange = rig.plain("x", kind);
        let first = rig.binding(exchange, queue(0), "a");
        let mut other = first.clone();
        other.arguments = [("b", FieldValue::Void), ("a", FieldValue::Integer(1))].into_iter().collect();
        let mut rewritten = first.clone();
        rewritten.arguments = [("a", FieldValue::Integer(1)), ("b", FieldValue::Void)].into_iter().collect();
        let to_itself = rig.binding(exchange, Destination::Exchange(exchange), "a");
        let headers = with_headers(&[("a", FieldValue::Integer(1)), ("b", FieldValue::Bool(true))]);
        let mut router = rig.router();
        let key = rig.key("a");
        let check = |router: &mut Router, expected: &[u32]| {
            assert_eq!(numbers(router.route(exchange, key, Some(&headers))), expected, "{kind:?}");
        };
        check(&mut router, NONE);
        for binding in [&first, &first, &other, &rewritten, &to_itself] {
            router.bind(binding).expect("the binding is valid");
            check(&mut router, &[0]);
        }
        // Bound twice alike is bound once; bound with other arguments is bound twice.
        router.unbind(&first).expect("the binding is there");
        check(&mut router, &[0]);
        router.unbind(&first).expect("an unknown binding changes nothing");
        router.unbind(&to_itself).expect("the binding is there");
        check(&mut router, &[0]);
        router.unbind(&rewritten).expect("the binding is there");
        check(&mut router, NONE);
        router.bind(&first).expect("the binding is valid");
        check(&mut router, &[0]);
    }
}

#[test]
fn a_fanout_keeps_a_queue_until_its_last_binding() {
    let mut rig = Rig::new(1);
    let exchange = rig.plain("f", ExchangeKind::Fanout);
    let bindings = [rig.binding(exchange, queue(0), "a"), rig.binding(exchange, queue(0), "b")];
    let mut router = rig.router();
    bindings.iter().for_each(|binding| router.bind(binding).unwrap());
    router.unbind(&bindings[0]).unwrap();
    assert_eq!(rig.route(&mut router, exchange, "a"), [0]);
    router.unbind(&bindings[1]).unwrap();
    assert_eq!(rig.route(&mut router, exchange, "a"), NONE);
}

#[test]
fn refusals_tell_their_code() {
    let mut rig = Rig::new(1);
    let (topic, headers) = (rig.plain("t", ExchangeKind::Topic), rig.plain("h", ExchangeKind::Headers));
    let mut code = |exchange, destination, key: &str, mode: Option<&str>| {
        let mut binding = rig.binding(exchange, destination, key);
        mode.into_iter().for_each(|mode| binding.arguments.push("x-match", FieldValue::Text(mode.into())));
        rig.router().bind(&binding).map_err(|error| error.code() as u16)
    };
    assert_eq!(code(ExchangeId::DEFAULT, queue(0), "k", None), Err(403));
    assert_eq!(code(topic, Destination::Exchange(ExchangeId::DEFAULT), "k", None), Err(403));
    assert_eq!(code(ExchangeId(9), queue(0), "k", None), Err(404));
    assert_eq!(code(topic, queue(1), "k", None), Err(404));
    assert_eq!(code(topic, Destination::Exchange(ExchangeId(9)), "k", None), Err(404));
    assert_eq!(code(topic, queue(0), "#.#.#", None), Err(406));
    assert_eq!(code(headers, queue(0), "#.#.#", Some("some")), Err(406));
    assert_eq!(code(headers, queue(0), "#.#.#", Some("any")), Ok(()));
    rig.deployment.profile.topic_hash_words_max = None;
    let older = rig.binding(topic, queue(0), "#.#.#");
    assert_eq!(rig.router().bind(&older), Ok(()));
}

#[test]
fn a_queue_takes_its_bindings_along() {
    let mut rig = Rig::new(2);
    let kinds = [ExchangeKind::Direct, ExchangeKind::Fanout, ExchangeKind::Topic, ExchangeKind::Headers];
    let exchanges = kinds.map(|kind| rig.plain("x", kind));
    for exchange in exchanges {
        rig.bind(exchange, queue(0), "q0");
        rig.bind(exchange, queue(0), "other");
        rig.bind(exchange, queue(1), "q0");
    }
    let mut router = rig.router();
    router.remove_queue(StoreId::new(0));
    for exchange in exchanges {
        assert_eq!(rig.route(&mut router, exchange, "q0"), [1]);
    }
    assert_eq!(rig.route(&mut router, ExchangeId::DEFAULT, "q0"), NONE);
    let again = rig.binding(exchanges[0], queue(0), "q0");
    assert_eq!(router.bind(&again), Err(BindingError::NoDestination));
    router.add_queue(StoreId::new(0), RoutingKey(0));
    assert_eq!(router.bind(&again), Ok(()));
    assert_eq!(rig.route(&mut router, exchanges[0], "q0"), [0, 1]);
    assert_eq!(rig.route(&mut router, exchanges[1], "q0"), [1]);
}

#[test]
fn exchanges_delete_themselves_with_the_last_binding_from_them() {
    let mut rig = Rig::new(1);
    let short = |name: &str| ExchangeConfig { auto_delete: true, ..ExchangeConfig::new(name, ExchangeKind::Fanout) };
    let (first, second) = (rig.exchange(short("1")), rig.exchange(short("2")));
    let (never_bound, lasting) = (rig.exchange(short("3")), rig.plain("4", ExchangeKind::Fanout));
    rig.bind(first, Destination::Exchange(second), "");
    rig.bind(second, queue(0), "");
    // Being a destination keeps nobody.
    rig.bind(lasting, Destination::Exchange(first), "");
    rig.bind(lasting, Destination::Exchange(never_bound), "");
    let mut router = rig.router();
    assert_eq!(rig.route(&mut router, lasting, ""), [0]);
    router.remove_queue(StoreId::new(0));
    let gone = Err(ReplyCode::NotFound);
    assert_eq!((router.admit(first), router.admit(second)), (gone, gone));
    assert_eq!(
        (router.admit(never_bound), router.admit(lasting)),
        (Ok(ExchangeKind::Fanout), Ok(ExchangeKind::Fanout))
    );
    router.remove_exchange(lasting);
    router.remove_exchange(ExchangeId::DEFAULT);
    assert_eq!(router.admit(lasting), gone);
    assert!(router.admit(ExchangeId::DEFAULT).is_ok());
}

mod against_a_naive_matcher {
    use proptest::prelude::*;

    use super::*;

    /// The rule as it is told, word by word.
    fn fits(pattern: &[&str], words: &[&str]) -> bool {
        match (pattern.split_first(), words.split_first()) {
            (None, None) => true,
            (Some((&"#", rest)), None) => fits(rest, &[]),
            (Some((&"#", rest)), Some((_, tail))) => fits(rest, words) || fits(pattern, tail),
            (Some((&"*", rest)), Some((_, tail))) => fits(rest, tail),
            (Some((literal, rest)), Some((word, tail))) => literal == word && fits(rest, tail),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn words(key: &str) -> Vec<&str> {
        if key.is_empty() { Vec::new() } else { key.split('.').collect() }
    }

    fn key(words: &'static [&'static str]) -> impl Strategy<Value = String> {
        proptest::collection::vec(proptest::sample::select(words), 0..6).prop_map(|words| words.join("."))
    }

    proptest! {
        #[test]
        fn topics(
            patterns in proptest::collection::vec(key(&["a", "b", "", "*", "#", "a#"]), 1..20),
            removed in proptest::collection::vec(any::<bool>(), 20),
            messages in proptest::collection::vec(key(&["a", "b", "", "c", "*", "#"]), 1..10),
            copied in any::<bool>(),
        ) {
            let mut rig = Rig::new(patterns.len());
            rig.deployment.profile.topic_hash_words_max = None;
            let topic = rig.plain("t", ExchangeKind::Topic);
            for (number, pattern) in patterns.iter().enumerate() {
                rig.bind(topic, queue(number as u32), pattern);
            }
            // As a further key a message's key need not be interned; as the routing key it must.
            messages.iter().filter(|_| !copied).for_each(|message| _ = rig.key(message));
            let mut router = rig.router();
            for (binding, _) in rig.deployment.bindings.iter().zip(&removed).filter(|(_, removed)| **removed) {
                router.unbind(binding).unwrap();
            }
            let none = RoutingKey(0);
            for message in &messages {
                let expected: Vec<u32> = (0..patterns.len())
                    .filter(|&number| !removed[number])
                    .filter(|&number| {
                        let pattern = words(&patterns[number]);
                        fits(&pattern, &words(message)) || copied && fits(&pattern, &["q0"])
                    })
                    .map(|number| number as u32)
                    .collect();
                let found = if copied {
                    let headers = with_headers(&[("CC", texts(&[message]))]);
                    numbers(router.route(topic, none, Some(&headers)))
                } else {
                    rig.route(&mut router, topic, message)
                };
                prop_assert_eq!(found, expected, "{} among {:?}", message, patterns);
            }
        }
    }
}
