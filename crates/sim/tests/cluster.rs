//! Several broker nodes: leaders that go down, and clients that find the next ones.

use std::collections::BTreeMap;

use brokerlab_event::{Event, EventLog, KeyId, NodeId, Party, Record, StoreId};
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

const SCENARIO: &str = r#"
format = 1
title = "cluster"
duration = "80s"
seed = 5
network = { latency = "1ms" }
cluster = { nodes = 3 }
demand = { rate = "50/s", until = "40s", size = "100B", keys = { count = 30 }, application = [{ name = "billing", consumers = 2, work = "2ms" }] }
"#;

/// Partition 0 is led by broker/2, partition 1 by broker/3; broker/1 coordinates, and leads partition 2.
fn run(contender: &str, faults: &[&str]) -> Vec<Record> {
    run_model("log", &format!("partitions = 3\n{contender}"), faults)
}

fn run_model(model: &str, options: &str, faults: &[&str]) -> Vec<Record> {
    run_under(SCENARIO, model, options, faults)
}

fn run_under(demand: &str, model: &str, options: &str, faults: &[&str]) -> Vec<Record> {
    let contender = format!("[[contender]]\nname = \"{model}\"\nmodel = \"{model}\"\n{options}\n");
    let faults: String = faults.iter().map(|fault| format!("[[fault]]\n{fault}\n")).collect();
    let source = Source::new("cluster", demand.to_string() + &faults + &contender);
    let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
    let plan = compile(&scenario, 0);
    let mut log = EventLog::default();
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut log);
    log.records().to_vec()
}

const REPLICATED: &str = "replicas = 3\nmin_in_sync = 2";
const LEADER_DIES: &str = "at = \"15s\"\nfor = \"20s\"\ncrash = \"broker/2\"";

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

fn everything_once(records: &[Record]) {
    let times = times_processed(records);
    assert!(times.len() > 1_500);
    let odd: Vec<(usize, &u32)> = times.iter().enumerate().filter(|(_, times)| **times != 1).collect();
    assert_eq!(odd, []);
}

/// When leaders began, in seconds, and who.
fn elections(records: &[Record]) -> Vec<(u64, StoreId, NodeId)> {
    let election = |record: &Record| match record.event() {
        Event::LeaderElected { store, node, .. } => Some((record.time.as_nanos() / 1_000_000_000, store, node)),
        _ => None,
    };
    records.iter().filter_map(election).collect()
}

/// Seconds in which something of a partition was processed.
fn busy_seconds(records: &[Record], wanted: u32) -> Vec<u64> {
    let processed = |record: &Record| match record.event() {
        Event::Processed { store, .. } if store == StoreId::new(wanted) => Some(record.time.as_nanos() / 1_000_000_000),
        _ => None,
    };
    let mut seconds: Vec<u64> = records.iter().filter_map(processed).collect();
    seconds.dedup();
    seconds
}

#[test]
fn without_faults_all_partitions_are_read_wherever_they_are() {
    for copies in ["", "replicas = 2", REPLICATED, "acks = \"leader\"", "group_protocol = \"consumer\""] {
        let records = run(copies, &[]);
        everything_once(&records);
        assert!(elections(&records).is_empty());
    }
}

#[test]
fn another_node_leads_once_the_session_of_the_dead_one_is_over() {
    let records = run(REPLICATED, &[LEADER_DIES]);
    everything_once(&records);
    let (store, successor) = (StoreId::new(0), NodeId::new(2));
    assert_eq!(elections(&records), [(23, store, successor)], "it was last heard of at 14 s");
    for partition in 0..3 {
        let silent: Vec<u64> = (16..23).filter(|at| !busy_seconds(&records, partition).contains(at)).collect();
        assert!(silent.len() >= 6, "partition {partition}: readers see what all in sync have, and found {silent:?}");
        assert!(busy_seconds(&records, partition).contains(&25), "partition {partition} goes on");
    }
}

#[test]
fn a_partition_with_one_copy_waits_for_its_node_and_the_others_go_on() {
    let records = run("replicas = 1", &[LEADER_DIES]);
    everything_once(&records);
    assert_eq!(elections(&records), [(35, StoreId::new(0), NodeId::new(1))], "it leads again");
    assert!((16..35).all(|at| !busy_seconds(&records, 0).contains(&at)));
    assert!((16..35).all(|at| busy_seconds(&records, 1).contains(&at)));
}

#[test]
fn without_its_coordinator_a_group_reads_on() {
    let records = run(REPLICATED, &["at = \"15s\"\nfor = \"3s\"\ncrash = \"broker/1\""]);
    everything_once(&records);
    let committed = |record: &Record| matches!(record.event(), Event::Committed { .. }).then_some(record.time);
    let seconds = records.iter().filter_map(committed).map(|time| time.as_nanos() / 1_000_000_000);
    assert!(seconds.into_iter().all(|at| !(16..18).contains(&at)), "nothing is committed meanwhile");
}

#[test]
fn all_nodes_may_die_at_once_and_nothing_that_was_flushed_is_lost() {
    let all = ["1", "2", "3"].map(|node| format!("at = \"15s\"\nfor = \"5s\"\npower_off = \"broker/{node}\""));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let records = run(&format!("{REPLICATED}\nflush_messages = 1"), &all);
    // What groups have noted is flushed less often, so that some of it is done again.
    assert!(times_processed(&records).iter().all(|times| *times >= 1));
}

#[test]
fn nodes_that_are_stopped_hand_over_and_nobody_waits() {
    let rolling = ["2", "3"].map(|node| format!("at = \"{node}0s\"\nfor = \"5s\"\nleave = \"broker/{node}\""));
    let rolling: Vec<&str> = rolling.iter().map(String::as_str).collect();
    let records = run(REPLICATED, &rolling);
    everything_once(&records);
    assert!(elections(&records).iter().any(|(at, ..)| *at == 20), "{:?}", elections(&records));
    for partition in 0..3 {
        let busy = busy_seconds(&records, partition);
        assert!((8..39).all(|at| busy.contains(&at)), "partition {partition} goes on: {busy:?}");
    }
}

#[test]
fn nodes_may_be_restarted_one_after_the_other() {
    let rolling = ["1", "2", "3"].map(|node| format!("at = \"{node}0s\"\nfor = \"2s\"\ncrash = \"broker/{node}\""));
    let rolling: Vec<&str> = rolling.iter().map(String::as_str).collect();
    let records = run(REPLICATED, &rolling);
    everything_once(&records);
    assert!(elections(&records).len() >= 3, "each has led something");
}

/// Whom faults hit, with the second at which they began.
fn hit(records: &[Record]) -> Vec<(u64, NodeId)> {
    let hit = |record: &Record| match record.event() {
        Event::FaultStarted { target: Party::Node(node), .. } => Some((record.time.as_nanos() / 1_000_000_000, node)),
        _ => None,
    };
    records.iter().filter_map(hit).collect()
}

#[test]
fn a_fault_hits_whoever_has_the_role_when_it_begins() {
    let crash = |at: u64, role: &str, of: &str| {
        format!("at = \"{at}s\"\nfor = \"5s\"\ncrash = {{ role = \"{role}\", of = \"{of}\" }}")
    };
    let faults = [crash(10, "leader", "partition/1"), crash(30, "leader", "partition/1")];
    let records = run(REPLICATED, &[&faults[0], &faults[1]]);
    everything_once(&records);
    let (first, next) = (NodeId::new(1), NodeId::new(2));
    assert_eq!(hit(&records), [(10, first), (30, next)], "the first is back and follows whoever took over");
    let follower = crash(10, "follower-in-sync", "partition/1");
    assert_eq!(hit(&run(REPLICATED, &[&follower])), [(10, NodeId::new(0))]);
    assert_eq!(hit(&run("replicas = 1", &[&follower])), [], "there is none");
}

#[test]
fn the_hottest_key_is_the_one_of_which_there_are_most_records() {
    let records = run(REPLICATED, &["at = \"15s\"\npower_off = { role = \"leader\", of = \"hottest-key\" }"]);
    let began = records.iter().position(|record| matches!(record.event(), Event::FaultStarted { .. })).expect("it did");
    let (mut keys, mut counts) = (Vec::new(), BTreeMap::<(KeyId, StoreId), u32>::new());
    for record in &records[..began] {
        match record.event() {
            Event::Offered { key, .. } => keys.push(key),
            Event::Stored { message, store, .. } => *counts.entry((keys[message.index()], store)).or_default() += 1,
            _ => {}
        }
    }
    // Each key has one partition. Partitions are led from the second node on.
    let most = *counts.values().max().expect("something was stored");
    let (_, store) = *counts.iter().find(|(_, count)| **count == most).expect("it is there").0;
    assert_eq!(hit(&records), [(15, NodeId::new((store.index() as u16 + 1) % 3))]);
}

#[test]
fn the_node_of_a_queue_leads_it_and_nobody_follows() {
    let leader = "at = \"15s\"\nfor = \"5s\"\ncrash = { role = \"leader\", of = \"hottest-key\" }";
    let follower = "at = \"15s\"\nfor = \"5s\"\ncrash = { role = \"follower-in-sync\", of = \"hottest-key\" }";
    assert_eq!(hit(&run_model("queue", "", &[leader])), [(15, NodeId::new(0))]);
    assert_eq!(hit(&run_model("queue", "", &[follower])), []);
    // One with members on all of them has both.
    let again = "at = \"25s\"\nfor = \"5s\"\ncrash = { role = \"leader\", of = \"hottest-key\" }";
    let hit_of_quorum = hit(&run_quorum(&[leader, follower, again]));
    assert_eq!(hit_of_quorum[..2], [(15, NodeId::new(0)), (15, NodeId::new(1))]);
    assert!(hit_of_quorum[2].0 == 25 && hit_of_quorum.len() == 3);
}

/// With a member, a producer and a consumer or none at every node; broker/1 leads.
fn run_quorum(faults: &[&str]) -> Vec<Record> {
    let demand = SCENARIO.replace("{ rate", "{ producers = 3, rate");
    run_under(&demand, "queue", "queue_type = \"quorum\"\nprefetch = 5", faults)
}

#[test]
fn a_quorum_queue_without_faults_serves_clients_at_every_node() {
    let records = run_quorum(&[]);
    everything_once(&records);
    assert_eq!(busy_seconds(&records, 0).len(), 40);
}

#[test]
fn a_quorum_queue_goes_on_without_its_leader_within_a_second() {
    let records = run_quorum(&["at = \"15s\"\nfor = \"20s\"\ncrash = \"broker/1\""]);
    let times = times_processed(&records);
    assert!(times.len() > 1_500 && times.iter().all(|times| (1..=2).contains(times)));
    // A second without its leader is not seen.
    assert_eq!(busy_seconds(&records, 0).len(), 40);
}

#[test]
fn a_leader_without_power_is_missed_by_its_silence() {
    let records = run_quorum(&["at = \"15s\"\nfor = \"20s\"\npower_off = \"broker/1\""]);
    assert!(times_processed(&records).iter().all(|times| *times >= 1));
    let busy = busy_seconds(&records, 0);
    assert!(!busy.contains(&16) && busy.contains(&21), "{busy:?}");
}

#[test]
fn without_a_majority_a_quorum_queue_takes_nothing_and_loses_nothing() {
    let two =
        ["at = \"15s\"\nfor = \"10s\"\ncrash = \"broker/2\"", "at = \"15s\"\nfor = \"10s\"\ncrash = \"broker/3\""];
    let records = run_quorum(&two);
    assert!(times_processed(&records).iter().all(|times| *times >= 1));
    let busy = busy_seconds(&records, 0);
    assert!((16..25).all(|second| !busy.contains(&second)) && busy.contains(&32), "{busy:?}");
}

#[test]
fn a_lost_disk_takes_nothing_from_a_quorum_queue_that_two_others_have() {
    let one_by_one =
        [1, 2, 3].map(|node| format!("at = \"{}s\"\nfor = \"4s\"\nlose_disk = \"broker/{node}\"", 4 + 8 * node));
    let records = run_quorum(&one_by_one.each_ref().map(String::as_str));
    assert!(times_processed(&records).iter().all(|times| *times >= 1));
}
