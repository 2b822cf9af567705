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
fn late_applications_start_late() {
    let plan = plan(&["demand.application.billing.joins=10s"], 0);
    let starts: Vec<(u32, Time)> = plan.starts.iter().map(|(client, time)| (client.get(), *time)).collect();
    let ten = Time::from_nanos(10_000_000_000);
    assert_eq!(starts, [(2, ten), (3, ten), (4, ten)]);
}
