//! What the queue side of a scenario compiles to: kinds, exchanges, queues, bindings, consumers.

use brokerlab_broker::config::{ConsumerKind, OnFailure, Overflow, QueueConsumerConfig, QueueKind};
use brokerlab_event::{ApplicationId, Guarantee};
use brokerlab_scenario::{Plan, Scenario, Source, compile};

fn orders() -> Scenario {
    let source = Source::new("orders.toml", include_str!("orders.toml"));
    Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(contender: &str) -> Plan {
    let scenario = orders();
    let index = scenario.contenders.iter().position(|own| own.name == contender).expect("it is one of them");
    compile(&scenario, index)
}

fn served(plan: &Plan, queue: &str) -> Vec<u16> {
    let store = plan.header.stores.iter().find(|store| store.name == queue).expect("there is such a queue");
    store.applications.iter().map(|application| application.get()).collect()
}

fn consumers(plan: &Plan) -> Vec<QueueConsumerConfig> {
    let told = plan.deployment.consumers.iter().map(|consumer| match consumer.kind {
        ConsumerKind::Queue(told) => told,
        _ => panic!("they consume queues"),
    });
    told.collect()
}

fn allowed(plan: &Plan, application: u16, guarantee: Guarantee) -> Vec<&str> {
    let own = |p: &&brokerlab_event::Promise| p.guarantee == guarantee && p.application.get() == application;
    let promise = plan.header.promises.iter().find(own).expect("each has a promise");
    promise.allowed.iter().map(String::as_str).collect()
}

#[test]
fn kinds_are_the_same_for_every_contender_and_known_from_the_header() {
    let plans = ["short", "short-each", "full"].map(plan);
    let messages: Vec<_> = plans[0].demand.clone().take(2_000).collect();
    for plan in &plans {
        assert_eq!(plan.header.demand_digest, plans[0].header.demand_digest);
        assert_eq!(plan.header.kinds.names, ["order.eu.paid", "order.us.paid", "audit.login"]);
        assert!(plan.demand.clone().take(2_000).eq(messages.iter().copied()));
    }
    let mut counts = [0; 3];
    for arrival in &messages {
        let kind = plans[0].header.kinds.law.of(arrival.message);
        assert_eq!(arrival.kind, kind);
        assert_eq!(arrival.size, if kind == 2 { 200 } else { 1_024 });
        assert_eq!(plans[0].header.wants(ApplicationId::new(0), arrival.message), kind < 2);
        assert_eq!(plans[0].header.wants(ApplicationId::new(1), arrival.message), kind == 2);
        counts[usize::from(kind)] += 1;
    }
    assert!((900..1_100).contains(&counts[0]) && (570..760).contains(&counts[1]), "{counts:?}");
}

#[test]
fn the_short_form_brings_its_queues() {
    let (shared, each, fanout) = (plan("short"), plan("short-each"), plan("retries"));
    let names = |plan: &Plan| -> Vec<String> { plan.header.stores.iter().map(|store| store.name.clone()).collect() };
    assert_eq!((names(&shared), served(&shared, "work")), (vec!["work".to_string()], vec![0, 1]));
    assert_eq!(names(&each), ["billing", "security"]);
    assert_eq!(each.deployment.bindings.len(), 3, "each queue is bound for the kinds that its application wants");
    let QueueKind::Quorum(options) = each.deployment.queues[0].kind else { panic!("it is a quorum queue") };
    assert_eq!(options.delivery_limit, Some(5));
    assert!(consumers(&each).iter().all(|told| told.on_failure == OnFailure::Return));
    assert_eq!(names(&fanout), ["billing", "security", "parking"]);
    assert!(served(&fanout, "parking").is_empty());
    assert!(fanout.deployment.queues[..2].iter().all(|queue| queue.dead_letter.is_some()));
    assert_eq!(fanout.deployment.queues[2].dead_letter, None);
}

#[test]
fn what_is_declared_in_full_is_there() {
    let plan = plan("full");
    let told = consumers(&plan);
    assert_eq!(told.iter().map(|told| told.queue.get()).collect::<Vec<_>>(), [0, 0, 0, 2]);
    assert_eq!(told.iter().map(|told| told.prefetch).collect::<Vec<_>>(), [1, 1, 10, 0]);
    assert_eq!(told.iter().map(|told| told.priority).collect::<Vec<_>>(), [0, 0, -1, 0]);
    assert!(told[3].auto_ack && told[0].on_failure == OnFailure::Reject);
    assert_eq!(plan.deployment.queues[2].overflow, Overflow::RejectPublish);
    assert_eq!((served(&plan, "orders"), served(&plan, "logins")), (vec![0], vec![1]));
    assert_eq!(served(&plan, "orders.later"), [0], "what waits there comes back");
    assert!(served(&plan, "parking").is_empty());
    let failures = plan.deployment.consumers[0].failures.expect("the work of billing fails at times");
    assert_eq!((failures.poison, failures.transient), (1_000, 50_000));
    assert_eq!(plan.deployment.consumers[3].failures, None);
}

#[test]
fn promises_know_what_limits_rejects_and_retries_take_away() {
    let (shared, each, fanout, full) = (plan("short"), plan("short-each"), plan("retries"), plan("full"));
    let delivery = Guarantee::Delivery;
    let shares = "a shared queue gives each message to one application only";
    assert_eq!(allowed(&shared, 0, delivery), [shares]);
    assert_eq!(allowed(&shared, 1, delivery), [shares, "messages expire"]);
    let limit = "a message that comes back too often is given up at the delivery limit";
    assert_eq!(allowed(&each, 0, delivery), [limit]);
    assert!(allowed(&fanout, 0, delivery).contains(&"messages on which the work fails are rejected"));
    // In full, rejected messages come back after a while.
    assert_eq!(allowed(&full, 0, delivery), [limit]);
    let behind = "a dead letter that comes back is behind later messages";
    assert!(allowed(&full, 0, Guarantee::KeyOrder).contains(&behind));
    assert!(!allowed(&full, 1, Guarantee::KeyOrder).contains(&behind));
}

#[test]
fn the_resolved_text_of_a_full_declaration_means_the_same() {
    let scenario = orders();
    let again = Scenario::parse(&Source::new("orders.toml", scenario.resolved()), &[]);
    let again = again.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(again.resolved(), scenario.resolved());
    assert_eq!((again.contenders, again.demand), (scenario.contenders, scenario.demand));
}
