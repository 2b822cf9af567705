//! A broker that goes down, with everything that may happen beside it.

use brokerlab_event::{Event, EventLog, Record};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

const SCENARIO: &str = r#"
format = 1
title = "nodes"
duration = "60s"
seed = 5
network = { latency = "1ms" }
demand = { rate = "20/s", until = "40s", application = [{ name = "billing", consumers = 2, work = "20ms" }] }

[[contender]]
name = "queue"
model = "queue"

[[contender]]
name = "quorum"
model = "queue"
queue_type = "quorum"

[[contender]]
name = "log"
model = "log"
partitions = 2
session_timeout = "6s"

[[contender]]
name = "share-group"
model = "share-group"
partitions = 2

[[contender]]
name = "stream"
model = "stream"
single_active_consumer = true
"#;

const CONTENDERS: usize = 5;
const STREAM: usize = 4;

fn run(contender: usize, more: &str) -> Vec<Record> {
    let source = Source::new("nodes", SCENARIO.to_string() + more);
    let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, contender);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    log.records().to_vec()
}

fn crash(at: &str, more: &str) -> String {
    format!("\n[[fault]]\nat = \"{at}\"\ncrash = \"broker\"\n{more}\n")
}

fn seconds(records: &[Record], wanted: fn(&Event) -> bool) -> Vec<u64> {
    let found = records.iter().filter(|record| wanted(&record.event()));
    found.map(|record| record.time.as_nanos() / 1_000_000_000).collect()
}

/// How often each message was processed.
fn times_processed(records: &[Record]) -> Vec<u32> {
    let mut times = Vec::new();
    for record in records {
        match record.event() {
            Event::Offered { .. } => times.push(0),
            Event::Processed { message, .. } => times[message.index()] += 1,
            _ => {}
        }
    }
    times
}

fn is_delivery(event: &Event) -> bool {
    matches!(event, Event::Delivered { .. })
}

fn is_node_event(event: &Event) -> bool {
    matches!(event, Event::NodeDown { .. } | Event::NodeUp { .. })
}

#[test]
fn a_broker_that_restarts_has_kept_everything_and_nobody_is_served_meanwhile() {
    for contender in 0..CONTENDERS {
        let records = run(contender, &crash("20s", "for = \"5s\""));
        assert_eq!(seconds(&records, is_node_event), [20, 25], "{contender}");
        let lost = seconds(&records, |event| matches!(event, Event::ConnectionLost { .. }));
        assert_eq!(lost, [20; 3], "{contender}: a producer and two consumers");
        let delivered = seconds(&records, is_delivery);
        assert!(delivered.iter().all(|second| !(20..25).contains(second)), "{contender}: {delivered:?}");
        let times = times_processed(&records);
        assert!(times.len() > 700 && times.iter().all(|times| *times >= 1), "{contender}: {times:?}");
        let again: u32 = times.iter().map(|times| times - 1).sum();
        // What was in hand and what was not confirmed; a reader of a stream goes back to where it last said it was, which
        // it says every five seconds.
        let allowed = if contender == STREAM { 5 * 20 + 4 } else { 4 };
        assert!(again <= allowed, "{contender}: {again} times again");
    }
}

#[test]
fn outages_that_overlap_are_one() {
    for contender in 0..CONTENDERS {
        let faults = crash("20s", "for = \"5s\"") + &crash("22s", "for = \"8s\"") + &crash("23s", "for = \"1s\"");
        assert_eq!(seconds(&run(contender, &faults), is_node_event), [20, 30], "{contender}");
        let faults = crash("20s", "for = \"5s\"") + &crash("25s", "for = \"5s\"");
        assert_eq!(seconds(&run(contender, &faults), is_node_event), [20, 25, 25, 30], "{contender}");
    }
}

#[test]
fn what_a_broker_has_that_never_comes_back_is_still_to_be_had() {
    for contender in 0..CONTENDERS {
        let records = run(contender, &crash("20s", ""));
        assert_eq!(seconds(&records, is_node_event), [20], "{contender}");
        let remaining = |event: &Event| matches!(event, Event::Remaining { .. } | Event::RemainingRange { .. });
        assert!(seconds(&records, remaining).iter().all(|second| *second == 60), "{contender}");
        let confirmed = seconds(&records, |event| matches!(event, Event::Confirmed { .. }));
        assert!(confirmed.iter().all(|second| *second <= 20), "{contender}: nobody confirms anything");
    }
}

/// Whoever stands still, starts, dies or wants something of a broker that is down finds it when it is back.
#[test]
fn everybody_finds_the_broker_again() {
    let others = [
        "[[fault]]\nat = \"19s\"\npause = \"billing/1\"\nfor = \"3s\"",
        "[[fault]]\nat = \"19s\"\npause = \"billing/1\"\nfor = \"10s\"",
        "[[fault]]\nat = \"22s\"\npause = \"billing/1\"\nfor = \"1s\"",
        "[[fault]]\nat = \"19s\"\ncrash = \"billing/1\"\nfor = \"3s\"",
        "[[fault]]\nat = \"22s\"\ncrash = \"billing/1\"\nfor = \"1s\"",
        "[[fault]]\nat = \"22s\"\nleave = \"billing\"\nfor = \"10s\"",
        "[[fault]]\nat = \"22s\"\nreset = \"billing\"\nfor = \"6s\"",
        "[[fault]]\nat = \"22s\"\ncrash = \"producer/1\"\nfor = \"1s\"",
    ];
    for contender in 0..CONTENDERS {
        for other in others {
            let records = run(contender, &(crash("20s", "for = \"5s\"") + other));
            let times = times_processed(&records);
            // What a producer has in memory goes with it; nothing else is missing.
            let missing = times.iter().filter(|times| **times == 0).count();
            let allowed = if other.contains("producer") { 90 } else { 0 };
            assert!(missing <= allowed, "{contender}: {missing} are missing after {other}");
            assert!(seconds(&records, is_delivery).last() >= Some(&39), "{contender}: {other}");
        }
    }
}

#[test]
fn partitions_and_seeks_wait_until_the_broker_is_back() {
    let text = SCENARIO.split("[[contender]]").next().expect("it begins somehow").to_string()
        + "[[contender]]\nname = \"log\"\nmodel = \"log\"\npartitions = 2\nmetadata_max_age = \"1s\"\n"
        + "add_partitions = [{ at = \"22s\", to = 3 }]\n"
        + "[[contender.seek]]\nat = \"23s\"\napplication = \"billing\"\nto = \"earliest\"\n"
        + &crash("20s", "for = \"5s\"");
    let scenario = Scenario::parse(&Source::new("nodes", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    assert_eq!(seconds(log.records(), |event| matches!(event, Event::PartitionAdded { .. })), [25]);
    let sought = seconds(log.records(), |event| matches!(event, Event::Sought { .. }));
    assert!(!sought.is_empty() && sought.iter().all(|second| (25..30).contains(second)), "{sought:?}");
}
