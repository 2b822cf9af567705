//! What faults do to a consumer when they overlap, and before it has ever connected.

use brokerlab_event::{Event, EventLog};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

const SCENARIO: &str = r#"
format = 1
title = "faults"
duration = "30s"
network = { latency = "0s" }
demand = { rate = "5/s", application = [{ name = "billing", work = "1ms", joins = "JOINS" }] }
contender = [{ name = "queue", model = "queue" }, { name = "log", model = "log" }]
"#;

/// What the one consumer goes through under these faults, given as action, begin, length and what else there is to say.
fn story(contender: usize, joins: &str, faults: &[(&str, &str, &str, &str)]) -> String {
    let mut text = SCENARIO.replace("JOINS", joins);
    for (action, at, lasts, more) in faults {
        text += &format!("[[fault]]\n{action} = \"billing/1\"\nat = \"{at}\"\nfor = \"{lasts}\"\n{more}\n");
    }
    let scenario = Scenario::parse(&Source::new("faults", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, contender);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    let consumer = plan.deployment.consumers[0].client;
    let told = log.records().iter().filter_map(|record| {
        let (client, what) = match record.event() {
            Event::Connected { client } => (client, "up".to_string()),
            Event::Disconnected { client, .. } => (client, "down".to_string()),
            Event::Paused { client } => (client, "still".to_string()),
            Event::Resumed { client } => (client, "on".to_string()),
            Event::SpeedChanged { client, factor } => (client, format!("x{}", f64::from(factor.get()) / 1e6)),
            _ => return None,
        };
        (client == consumer).then(|| format!("{} {what}", record.time.as_nanos() / 1_000_000_000))
    });
    told.collect::<Vec<_>>().join(", ")
}

fn check(joins: &str, faults: &[(&str, &str, &str, &str)], expected: &str) {
    for contender in 0..2 {
        assert_eq!(story(contender, joins, faults), expected, "{faults:?}");
    }
}

#[test]
fn a_fault_that_ends_leaves_the_work_of_another_alone() {
    check("0s", &[("crash", "4s", "8s", ""), ("crash", "5s", "1s", "")], "0 up, 4 down, 12 up");
    check("0s", &[("crash", "4s", "2s", ""), ("leave", "5s", "7s", "")], "0 up, 4 down, 12 up");
    check("0s", &[("pause", "4s", "8s", ""), ("pause", "5s", "1s", "")], "0 up, 4 still, 12 on");
    check(
        "0s",
        &[("slow", "2s", "10s", "factor = 5"), ("slow", "3s", "1s", "factor = 50")],
        "0 up, 2 x5, 3 x50, 4 x5, 12 x1",
    );
    check("0s", &[("crash", "4s", "3s", ""), ("crash", "7s", "3s", "")], "0 up, 4 down, 7 up, 7 down, 10 up");
    check("0s", &[("pause", "4s", "9s", ""), ("crash", "5s", "2s", "")], "0 up, 4 still, 5 down, 7 up");
}

#[test]
fn nobody_connects_before_their_time_or_while_a_fault_keeps_them_down() {
    check("10s", &[("crash", "2s", "2s", "")], "10 up");
    check("3s", &[("leave", "2s", "8s", "")], "10 up");
    check("10s", &[("crash", "2s", "8s", "")], "10 up");
}

#[test]
fn members_of_a_share_group_come_back_once_they_are_let_in() {
    let text = SCENARIO.replace("JOINS", "0s").replace(
        r#"{ name = "log", model = "log" }"#,
        r#"{ name = "log", model = "share-group", partitions = 1, reset = "earliest" }"#,
    );
    for latency in ["0s", "500us"] {
        let text = text.replace(r#"latency = "0s""#, &format!(r#"latency = "{latency}""#))
            + "[[fault]]\nreset = \"billing/1\"\nat = \"4s\"\nfor = \"5s\"\n";
        let scenario = Scenario::parse(&Source::new("faults", text), &[]).unwrap_or_else(|error| panic!("{error}"));
        let plan = compile(&scenario, 1);
        let mut log = EventLog::default();
        Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
        let seconds = |wanted: fn(&Event) -> bool| -> Vec<u64> {
            let found = log.records().iter().filter(|record| wanted(&record.event()));
            found.map(|record| record.time.as_nanos() / 1_000_000_000).collect()
        };
        assert_eq!(seconds(|event| matches!(event, Event::ConnectionLost { .. })), [4]);
        assert_eq!(seconds(|event| matches!(event, Event::Reconnected { .. })), [9]);
        let processed = seconds(|event| matches!(event, Event::Processed { .. }));
        assert!(processed.iter().all(|second| !(5..9).contains(second)), "nothing is had meanwhile: {processed:?}");
        assert!(processed.last() >= Some(&28), "and everything afterwards: {processed:?}");
    }
}

#[test]
fn who_starts_within_an_outage_is_not_let_in_before_it_is_over() {
    for latency in ["0s", "500us"] {
        for contender in 0..2 {
            let text = SCENARIO.replace("JOINS", "0s").replace(r#""0s" }"#, &format!(r#""{latency}" }}"#));
            let text = text.replace(r#"model = "log""#, r#"model = "log", session_timeout = "6s""#)
                + "[[fault]]\nreset = \"billing/1\"\nat = \"4s\"\nfor = \"10s\"\n"
                + "[[fault]]\ncrash = \"billing/1\"\nat = \"5s\"\nfor = \"1s\"\n";
            let scenario = Scenario::parse(&Source::new("faults", text), &[]).unwrap_or_else(|error| panic!("{error}"));
            let plan = compile(&scenario, contender);
            let mut log = EventLog::default();
            Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
            let seconds = |wanted: fn(&Event) -> bool| -> Vec<u64> {
                let found = log.records().iter().filter(|record| wanted(&record.event()));
                found.map(|record| record.time.as_nanos() / 1_000_000_000).collect()
            };
            assert_eq!(seconds(|event| matches!(event, Event::Connected { client } if client.get() > 0)), [0, 6]);
            // The one tries every five seconds, the other all the time.
            assert_eq!(seconds(|event| matches!(event, Event::Reconnected { .. })), [[16], [14]][contender]);
            let delivered = seconds(|event| matches!(event, Event::Delivered { .. }));
            assert!(delivered.iter().all(|second| !(5..14).contains(second)), "{contender}: {delivered:?}");
            assert!(delivered.last() >= Some(&28), "{contender}: {delivered:?}");
        }
    }
}

/// How often each message was processed.
fn times_processed(text: String) -> Vec<u32> {
    let scenario = Scenario::parse(&Source::new("faults", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    let mut times = Vec::new();
    for record in log.records() {
        match record.event() {
            Event::Offered { .. } => times.push(0),
            Event::Processed { message, .. } => times[message.index()] += 1,
            _ => {}
        }
    }
    times
}

#[test]
fn what_must_be_committed_before_the_work_is_never_done_twice_whatever_becomes_of_the_connection() {
    // A backlog, so that the one that is cut off has records in stock, and an outage longer than its session.
    for lasts in ["3s", "20s"] {
        let times = times_processed(format!(
            r#"
format = 1
title = "before the work"
duration = "90s"
demand = {{ rate = "30/s", until = "40s", application = [{{ name = "billing", consumers = 2, work = "100ms" }}] }}

[[contender]]
name = "log"
model = "log"
partitions = 2
commit = "before-work"
max_poll_records = 10
session_timeout = "10s"

[[fault]]
reset = "billing/1"
at = "12s"
for = "{lasts}"
"#
        ));
        assert!(times.len() > 1_000 && times.iter().filter(|times| **times == 1).count() > 1_000);
        assert_eq!(times.iter().max(), Some(&1), "an outage of {lasts}");
    }
}

#[test]
fn batches_that_changed_places_with_the_connection_are_given_up_when_their_time_is_over() {
    let text = r#"
format = 1
title = "changed places"
duration = "8s"
network = { latency = "50ms" }
demand = { rate = "40/s", arrivals = "constant", application = [{ name = "billing", work = "1ms" }] }

[[contender]]
name = "log"
model = "log"
enable_idempotence = false
batch_size = "1B"
request_timeout = "1s"
delivery_timeout = "1200ms"

[[fault]]
reset = "producer/1"
at = "3s"
for = "2s"
"#;
    let scenario = Scenario::parse(&Source::new("faults", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    let (mut offered, mut ages) = (Vec::new(), Vec::new());
    for record in log.records() {
        match record.event() {
            Event::Offered { .. } => offered.push(record.time),
            Event::SendExpired { message, .. } => {
                let offered = offered[message.index()];
                ages.push((offered.as_nanos() / 100_000_000, (record.time - offered).as_nanos() / 1_000_000));
            }
            _ => {}
        }
    }
    // From those that were under way when the connection broke to those that were still young when it was back.
    assert!(ages.first().is_some_and(|(offered, _)| *offered == 29), "{ages:?}");
    assert!(ages.len() > 30 && ages.iter().all(|(_, age)| *age == 1_200), "{ages:?}");
}

#[test]
fn a_process_that_ends_before_the_broker_has_heard_of_it_is_not_taken_for_the_next() {
    let text = r#"
format = 1
title = "short-lived"
duration = "30s"
network = { latency = "50ms" }
demand = { rate = "50/s", until = "20s", application = [{ name = "billing", work = "1ms" }] }
contender = [
    { name = "queue", model = "queue" },
    { name = "stream", model = "stream" },
    { name = "log", model = "log", session_timeout = "6s" },
]
"#;
    for action in ["crash", "leave"] {
        for (contender, begins) in (0..3).flat_map(|contender| [(contender, "0s"), (contender, "20ms")]) {
            let fault = format!("[[fault]]\n{action} = \"billing/1\"\nat = \"{begins}\"\nfor = \"1ms\"\n");
            let source = Source::new("faults", text.to_string() + &fault);
            let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
            let plan = compile(&scenario, contender);
            let mut log = EventLog::default();
            Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
            let events = || log.records().iter().map(|record| record.event());
            let odd = |event: &Event| matches!(event, Event::Reconnected { .. } | Event::ChannelClosed { .. });
            assert_eq!(events().find(odd), None, "{action} at {begins} in {contender}");
            let deliveries = events().filter(|event| matches!(event, Event::Delivered { .. })).count();
            let offered = events().filter(|event| matches!(event, Event::Offered { .. })).count();
            assert_eq!(deliveries, offered, "{action} at {begins} in {contender}");
        }
    }
}
