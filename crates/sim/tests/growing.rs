//! Topics that get more partitions while they are in use, as scenarios say it.

use brokerlab_event::{Event, EventLog, StoreId};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

/// What comes of a topic of two partitions that has four from 10 s on, of which clients hear at 12 s.
fn run(contender: &str) -> EventLog {
    let text = format!(
        r#"
format = 1
title = "growing"
duration = "30s"
network = {{ latency = "1ms" }}

[demand]
rate = "40/s"
until = "25s"
arrivals = "constant"
keys = {{ count = 100 }}

[[demand.application]]
name = "billing"
consumers = 2
work = "10ms"

[[contender]]
name = "it"
partitions = 2
metadata_max_age = "6s"
add_partitions = [{{ at = "10s", to = 4 }}]
{contender}
"#
    );
    let scenario = Scenario::parse(&Source::new("growing", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    assert!(plan.header.stores.iter().map(|store| store.comes_later).eq([false, false, true, true]));
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    log
}

fn count(log: &EventLog, wanted: impl Fn(&Event) -> bool) -> usize {
    log.records().iter().filter(|record| wanted(&record.event())).count()
}

#[test]
fn every_model_of_a_log_reads_all_that_is_written_to_new_partitions() {
    for contender in [
        "model = \"log\"\ninitial_rebalance_delay = \"50ms\"\nassignors = \"range\"",
        "model = \"log\"\ninitial_rebalance_delay = \"50ms\"\nassignors = \"cooperative-sticky\"\nreset = \"earliest\"",
        "model = \"log\"\ngroup_protocol = \"consumer\"",
        "model = \"log\"\ntransactions = { messages = 5, every = \"1s\" }\nisolation = \"read_committed\"\nprofile = \"kafka-3.9\"",
        "model = \"share-group\"",
    ] {
        let log = run(contender);
        assert_eq!(count(&log, |event| matches!(event, Event::PartitionAdded { .. })), 2, "{contender}");
        let is_new = |store: &StoreId| store.get() >= 2;
        let stored: Vec<_> = log
            .records()
            .iter()
            .filter(|record| matches!(record.event(), Event::Stored { store, .. } if is_new(&store)))
            .collect();
        assert!(stored.len() > 100, "{contender}: {} records in new partitions", stored.len());
        assert!(stored[0].time.as_nanos() >= 12_000_000_000, "{contender}: {:?}", stored[0]);
        let offered = count(&log, |event| matches!(event, Event::Offered { .. }));
        let mut processed: Vec<_> = log
            .records()
            .iter()
            .filter_map(|record| match record.event() {
                Event::Processed { message, .. } => Some(message),
                _ => None,
            })
            .collect();
        processed.sort();
        processed.dedup();
        assert_eq!(processed.len(), offered, "{contender}");
    }
}
