//! Consumers that join at times of their own, and consumers that an autoscaler starts and stops.

use brokerlab_event::{Event, EventLog};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

/// When consumers come and go: `4 up 2, 9 down 2` with seconds and the numbers of consumers.
fn story(application: &str, contender: &str, faults: &str) -> String {
    let text = format!(
        r#"
format = 1
title = "elastic"
duration = "100s"
network = {{ latency = "0s" }}

[demand]
schedule = [["1/s", "20s"], ["30/s", "20s"], ["1/s", "1h"]]
arrivals = "constant"

[[demand.application]]
name = "billing"
consumers = 4
work = "100ms"
{application}

[[contender]]
name = "it"
{contender}
{faults}
"#
    );
    let scenario = Scenario::parse(&Source::new("elastic", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    let told = log.records().iter().filter_map(|record| {
        let (client, what) = match record.event() {
            Event::Connected { client } => (client, "up"),
            Event::Disconnected { client, .. } => (client, "down"),
            _ => return None,
        };
        let number = client.get();
        (number > 0).then(|| format!("{} {what} {number}", record.time.as_nanos() / 1_000_000_000))
    });
    told.collect::<Vec<_>>().join(", ")
}

const QUEUE: &str = "model = \"queue\"\nprefetch = 1";
const LOG: &str = "model = \"log\"\npartitions = 4\ncommit = \"after-each\"\ninitial_rebalance_delay = \"100ms\"";

#[test]
fn each_consumer_may_join_at_a_time_of_its_own() {
    let joins = r#"joins = ["0s", "30s", "7s", "0s"]"#;
    for contender in [QUEUE, LOG] {
        assert_eq!(story(joins, contender, ""), "0 up 1, 0 up 4, 7 up 3, 30 up 2");
    }
}

#[test]
fn consumers_come_with_the_lag_and_go_after_the_cooldown() {
    let autoscale = r#"autoscale = { lag = 50, least = 1, every = "5s", cooldown = "20s" }"#;
    // In the rush 30 a second come and a consumer does 10, so that a little more than 100 wait at 25 s: worth three,
    // which keep up. At 40 s the lag still asks for three; the cooldown after that look is over at 65 s.
    let queue = story(autoscale, QUEUE, "");
    assert_eq!(queue, "0 up 1, 25 up 2, 25 up 3, 65 down 2, 65 down 3");
    let log = story(autoscale, LOG, "");
    // Each that joins makes the group rebalance, and what comes meanwhile asks for yet another.
    assert_eq!(log, "0 up 1, 25 up 2, 25 up 3, 30 up 4, 65 down 3, 65 down 4, 70 down 2");
}

#[test]
fn who_was_stopped_does_not_come_back_when_a_fault_ends() {
    let autoscale = r#"autoscale = { lag = 50, least = 1, every = "5s", cooldown = "20s" }"#;
    let crash = "[[fault]]\nat = \"45s\"\nfor = \"40s\"\ncrash = \"billing/2\"";
    let queue = story(autoscale, QUEUE, crash);
    assert!(queue.contains("45 down 2") && !queue.contains("85 up 2"), "{queue}");
}
