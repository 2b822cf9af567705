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
const LOG: usize = 2;
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

fn power_off(at: &str, more: &str) -> String {
    format!("\n[[fault]]\nat = \"{at}\"\npower_off = \"broker\"\n{more}\n")
}

fn truncations(records: &[Record]) -> Vec<(u64, u64)> {
    let cut = |record: &Record| match record.event() {
        Event::Truncated { end, .. } => Some((record.time.as_nanos() / 1_000_000_000, end.get())),
        _ => None,
    };
    records.iter().filter_map(cut).collect()
}

/// What was stored last in each partition before this second.
fn stored_before(records: &[Record], second: u64) -> u64 {
    let stored = records.iter().filter(|record| record.time.as_nanos() < second * 1_000_000_000);
    stored.filter(|record| matches!(record.event(), Event::Stored { .. })).count() as u64
}

#[test]
fn a_power_loss_takes_the_last_half_minute_of_a_log_and_nothing_of_a_queue() {
    for contender in 0..CONTENDERS {
        let records = run(contender, &power_off("38s", "for = \"2s\""));
        assert_eq!(seconds(&records, is_node_event), [38, 40], "{contender}");
        let cuts = truncations(&records);
        if contender < 2 {
            assert!(cuts.is_empty(), "{contender}: a queue flushes what it confirms");
            let remaining = records.iter().filter_map(|record| match record.event() {
                Event::Remaining { message, .. } => Some(message.index()),
                _ => None,
            });
            let mut times = times_processed(&records);
            remaining.for_each(|message| times[message] += 1);
            assert!(times.iter().all(|times| *times >= 1), "{contender}: {times:?}");
            continue;
        }
        // What the operating system saw at 5 s it has written at 35 s, and nothing since.
        let kept: u64 = cuts.iter().map(|(_, end)| end).sum();
        assert!(cuts.iter().all(|(second, _)| *second == 38), "{contender}: {cuts:?}");
        assert_eq!(kept, stored_before(&records, 5), "{contender}: {cuts:?}");
    }
}

#[test]
fn a_log_that_is_flushed_in_time_loses_less() {
    let with = |option: &str| SCENARIO.replace("session_timeout", &format!("{option}\nsession_timeout"));
    let run = |option: &str| {
        let source = Source::new("nodes", with(option) + &power_off("38s", "for = \"2s\""));
        let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
        let plan = compile(&scenario, LOG);
        let mut log = EventLog::default();
        Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
        log.records().to_vec()
    };
    assert!(truncations(&run("flush_messages = 1")).is_empty(), "each record is flushed before it is confirmed");
    for (option, at_most) in [("flush_messages = 20", 2 * 20), ("flush_interval = \"1s\"", 25)] {
        let records = run(option);
        let kept: u64 = truncations(&records).iter().map(|(_, end)| end).sum();
        let lost = stored_before(&records, 38) - kept;
        assert!((1..=at_most).contains(&lost), "{option}: {lost}");
    }
}

#[test]
fn a_process_that_dies_takes_nothing_and_its_machine_may_lose_its_power_later() {
    for contender in LOG..CONTENDERS {
        let faults = crash("20s", "for = \"10s\"") + &power_off("22s", "for = \"3s\"");
        let cuts = truncations(&run(contender, &faults));
        assert!(
            !cuts.is_empty() && cuts.iter().all(|(second, end)| (*second, *end) == (22, 0)),
            "{contender}: {cuts:?}"
        );
        let faults = crash("20s", "for = \"1s\"") + &power_off("45s", "for = \"3s\"");
        let records = run(contender, &faults);
        let kept: u64 = truncations(&records).iter().map(|(_, end)| end).sum();
        let written_back = stored_before(&records, 16);
        assert!(kept > 0 && kept <= written_back, "{contender}: {kept} of {written_back}, whoever wrote them");
    }
}

#[test]
fn nobody_is_told_of_a_machine_without_power() {
    let lost = |contender: usize, faults: &str| {
        seconds(&run(contender, faults), |event| matches!(event, Event::ConnectionLost { .. }))
    };
    // The producer's first message was sent again after 0.2, 0.6, 1.4, 3 and 6.2 s; the last time somebody answered.
    let queue = lost(0, &power_off("20s", "for = \"5s\""));
    assert_eq!(queue, [26, 50, 50], "consumers of a queue say nothing but that they are there, each half minute");
    let log = lost(LOG, &power_off("20s", "for = \"5s\""));
    assert!(log.len() == 3 && log.iter().all(|second| (26..=32).contains(second)), "everybody asks or sends: {log:?}");
    let silence = lost(LOG, &power_off("20s", ""));
    assert_eq!(silence, [50; 3], "a request that nobody answers is given up after half a minute");
    assert!(lost(0, &power_off("20s", "")).is_empty(), "and a queue's clients after a minute, when the run is over");
}

#[test]
fn a_broker_that_loses_its_disk_begins_anew() {
    for contender in 0..CONTENDERS {
        let records = run(contender, "\n[[fault]]\nat = \"20s\"\nlose_disk = \"broker\"\nfor = \"5s\"\n");
        assert!(truncations(&records).iter().all(|(_, end)| *end == 0), "{contender}");
        let first_after = records.iter().filter(|record| record.time.as_nanos() >= 25_000_000_000);
        let offset = first_after.clone().find_map(|record| match record.event() {
            Event::Stored { offset, .. } => Some(offset.get()),
            _ => None,
        });
        assert_eq!(offset, Some(0), "{contender}");
        let times = times_processed(&records);
        assert!(times.iter().filter(|times| **times == 0).count() < 20, "{contender}: what was to come comes");
    }
}
