//! What a scenario compiles to.

use brokerlab_event::{Guarantee, Model, Time};
use brokerlab_scenario::{FaultAction, Plan, Role, Scenario, Source, Target, compile};

/// A scenario of these tests' own, so that those of the library can change their stories.
fn one_dies(settings: &[&str]) -> Scenario {
    let source = Source::new("one-dies.toml", include_str!("one-dies.toml"));
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    Scenario::parse(&source, &settings).unwrap_or_else(|error| panic!("{error}"))
}

fn plan(settings: &[&str], contender: usize) -> Plan {
    compile(&one_dies(settings), contender)
}

fn allowed(plan: &Plan, guarantee: Guarantee) -> Vec<&str> {
    let promise = plan.header.promises.iter().find(|p| p.guarantee == guarantee).expect("each has a promise");
    promise.allowed.iter().map(String::as_str).collect()
}

#[test]
fn a_scenario_has_its_clients_and_stores() {
    let named = ["fault.0.crash=billing/2"];
    let plans: Vec<Plan> = (0..3).map(|contender| plan(&named, contender)).collect();
    for plan in &plans {
        let names: Vec<&str> = plan.header.clients.iter().map(|client| client.name.as_str()).collect();
        assert_eq!(names, ["producer/1", "producer/2", "billing/1", "billing/2", "billing/3"]);
        assert_eq!(plan.header.demand_digest, plans[0].header.demand_digest);
        assert_eq!(plan.header.horizon, Time::from_nanos(120_000_000_000));
        assert_eq!(plan.header.keys.len(), 1000);
        assert_eq!(plan.faults.len(), 1);
        assert_eq!(plan.faults[0].action, FaultAction::Crash);
        assert_eq!(plan.faults[0].until, Some(Time::from_nanos(40_000_000_000)));
        assert!(matches!(plan.faults[0].target, Target::Client(client) if client.get() == 3));
        assert_eq!(plan.header.faults[0].name, "crash billing/2");
        for (index, consumer) in plan.deployment.consumers.iter().enumerate() {
            assert_eq!(consumer.client.index(), index + 2);
        }
    }
    let models: Vec<Model> = plans.iter().map(|plan| plan.header.model).collect();
    assert_eq!(models, [Model::Queue, Model::Fanout, Model::Log]);
    assert_eq!(plans.iter().map(|plan| plan.header.stores.len()).collect::<Vec<_>>(), [1, 1, 6]);
    assert_eq!(plans[2].header.stores[3].name, "events-3");
}

#[test]
fn a_role_stays_a_role_until_the_fault_happens() {
    let plan = plan(&[], 0);
    let Target::Role { role, application } = plan.faults[0].target else { panic!("{:?}", plan.faults[0]) };
    assert_eq!((role, application.get()), (Role::MostUnsettled, 0));
    assert_eq!(plan.header.faults[0].name, "crash the consumer of billing with most unsettled messages");
}

#[test]
fn promises_come_from_the_configuration() {
    let (queue, log) = (plan(&[], 0), plan(&[], 2));
    assert!(allowed(&queue, Guarantee::Delivery).is_empty());
    assert_eq!(allowed(&queue, Guarantee::NoDuplicates), ["work that was not acknowledged is done again"]);
    assert_eq!(allowed(&queue, Guarantee::KeyOrder), ["competing consumers overtake each other"]);
    assert!(allowed(&log, Guarantee::Delivery).is_empty());
    assert!(allowed(&log, Guarantee::KeyOrder).is_empty());
    let automatic = plan(&["contender.queue.ack=automatic"], 0);
    assert!(allowed(&automatic, Guarantee::NoDuplicates).is_empty());
    assert_eq!(allowed(&automatic, Guarantee::Delivery), ["a message counts as settled when it is sent to a consumer"]);
    let at_most_once = plan(&["contender.log.commit=before-work"], 2);
    assert_eq!(allowed(&at_most_once, Guarantee::Delivery), ["positions are committed before the work"]);
    assert!(allowed(&at_most_once, Guarantee::NoDuplicates).is_empty());
}

#[test]
fn what_is_set_aside_when_the_connection_breaks_may_be_set_aside_twice() {
    let text = include_str!("one-dies.toml");
    let settings = [
        "contender.log.commit=before-work",
        "contender.log.retry={ attempts = 2 }",
        "demand.application.0.failures={ poison = 0.1 }",
    ];
    let settings = settings.map(str::to_string);
    let duplicates = |text: String| -> Vec<String> {
        let scenario = Scenario::parse(&Source::new("one-dies.toml", text), &settings);
        let plan = compile(&scenario.unwrap_or_else(|error| panic!("{error}")), 2);
        allowed(&plan, Guarantee::NoDuplicates).into_iter().map(str::to_string).collect()
    };
    let reason = "a record that is set aside for a later try is set aside again where the answer was lost";
    assert_eq!(duplicates(text.replace("crash =", "reset =")), [reason]);
    assert!(duplicates(text.to_string()).is_empty(), "a crash sends nothing twice");
}

#[test]
fn a_log_promises_no_single_processing_where_a_batch_can_outlast_the_poll_interval() {
    let repeats = |work: &str, records: u32, more: &[&str]| {
        let work = format!("demand.application.billing.work={work}");
        let records = format!("contender.log.max_poll_records={records}");
        let settings = [&[work.as_str(), records.as_str(), "contender.log.max_poll_interval=10s"], more].concat();
        let mut scenario = one_dies(&settings);
        scenario.faults.clear();
        let plan = compile(&scenario, 2);
        !allowed(&plan, Guarantee::NoDuplicates).is_empty()
    };
    assert!(!repeats("\"1s\"", 9, &[]) && repeats("\"1s\"", 10, &[]), "work that is always the same adds up");
    // Half the interval on average, but one message in 20 000 takes ten times the mean.
    assert!(repeats("{ mean = \"1s\", distribution = \"exponential\" }", 1, &[]));
    assert!(!repeats("{ mean = \"100ms\", distribution = \"exponential\" }", 10, &[]));
    assert!(repeats("{ mean = \"60ms\", distribution = \"lognormal\", sigma = 4.0 }", 1, &[]));
    assert!(repeats("{ low = \"1ms\", high = \"11s\", chance = 0.001, distribution = \"bimodal\" }", 1, &[]));
    let each = ["contender.log.commit=after-each", "network.latency=600ms"];
    assert!(repeats("\"1ms\"", 10, &each), "waiting for commits takes time, too");
    assert!(!repeats("\"1ms\"", 10, &each[1..]));
}

#[test]
fn a_log_promises_order_only_where_keys_stay_together_and_nobody_jumps() {
    let reasons = |settings: &[&str]| -> Vec<String> {
        let text = include_str!("one-dies.toml");
        let settings: Vec<String> = settings.iter().map(|setting| format!("contender.log.{setting}")).collect();
        let scenario = Scenario::parse(&Source::new("one-dies.toml", text), &settings);
        let plan = compile(&scenario.unwrap_or_else(|error| panic!("{error}")), 2);
        allowed(&plan, Guarantee::KeyOrder).into_iter().map(str::to_string).collect()
    };
    let scatters = "records of one key go to several partitions";
    assert_eq!(reasons(&["partitioner=round-robin"]), [scatters]);
    assert_eq!(reasons(&["partitioner_ignore_keys=true"]), [scatters]);
    assert!(reasons(&["partitioner_ignore_keys=true", "partitions=1"]).is_empty());
    assert!(reasons(&["partitioner=crc32"]).is_empty());

    let jumps = "a group that is sent back reads what it had passed over after what lies behind it";
    let to = |place: &str| format!("seek=[{{ at = \"9s\", application = \"billing\", to = {place} }}]");
    assert_eq!(reasons(&[&to("\"latest\"")]), [jumps]);
    assert_eq!(reasons(&[&to("{ offset = 7 }")]), [jumps]);
    assert!(reasons(&[&to("\"earliest\"")]).is_empty(), "it has read everything there");
    assert!(reasons(&[&to("\"earliest\""), "reset=latest"]).contains(&jumps.to_string()), "it began at the end");
}

#[test]
fn late_applications_start_late() {
    let plan = plan(&["demand.application.billing.joins=10s"], 0);
    let starts: Vec<(u32, Time)> = plan.starts.iter().map(|(client, time)| (client.get(), *time)).collect();
    let ten = Time::from_nanos(10_000_000_000);
    assert_eq!(starts, [(2, ten), (3, ten), (4, ten)]);
}

#[test]
fn an_answer_that_comes_too_late_for_the_producer_may_repeat_its_batch() {
    let plan = |latency: &str| {
        let latency = format!("network.latency={latency}");
        plan(&["contender.log.enable_idempotence=false", "contender.log.request_timeout=100ms", &latency], 2)
    };
    let repeats =
        |plan: &Plan| allowed(plan, Guarantee::NoDuplicates).iter().any(|reason| reason.contains("sent again"));
    assert!(!repeats(&plan("49ms")) && repeats(&plan("50ms")));
}

#[test]
fn a_queue_promises_no_transient_message_where_its_node_goes_down() {
    let reason = "what a queue keeps in memory only goes with its node";
    let lost = |kind: &str, crash: &str| {
        let text = include_str!("one-dies.toml");
        let source = Source::new("it.toml", format!("{text}\n[[demand.kind]]\nname = \"plain\"\n{kind}\n"));
        let scenario =
            Scenario::parse(&source, &[format!("fault.0.crash={crash}")]).unwrap_or_else(|error| panic!("{error}"));
        allowed(&compile(&scenario, 0), Guarantee::Delivery).contains(&reason)
    };
    let (node, consumer) = ("broker", "billing/1");
    assert!(lost("transient = true", node));
    assert!(!lost("transient = false", node), "a disk keeps persistent messages");
    assert!(!lost("transient = true", consumer));
}
