//! Transactional producers whose processes die, whose connections break, and whose transactions take too long, against
//! what a reader of committed data may expect.

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_broker::config::{ProducerKind, TransactionVersion};
use brokerlab_event::{ClientId, Event, EventLog, Generator, MessageId, Offset, Refusal, StoreId, Time};
use brokerlab_scenario::{Plan, Scenario, Source, compile};
use brokerlab_sim::Simulation;

const SCENARIO: &str = r#"
format = 1
title = "transactions"
duration = "120s"
network = { latency = "LATENCY" }

[demand]
producers = 2
rate = "40/s"
keys = { count = 6 }
size = "100B"
until = "30s"

[[demand.application]]
name = "reader"
work = "0s"

[[contender]]
name = "log"
model = "log"
partitions = 3
isolation = "read_committed"
CONTENDER
"#;

fn plan(latency: &str, contender: &str, faults: &str, version: TransactionVersion) -> Plan {
    let text = SCENARIO.replace("LATENCY", latency).replace("CONTENDER", contender) + faults;
    let scenario = Scenario::parse(&Source::new("transactions", text), &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut plan = compile(&scenario, 0);
    plan.deployment.profile.log.transactions = version;
    for producer in &mut plan.deployment.producers {
        if let ProducerKind::Batcher(own) = &mut producer.kind
            && let Some(transactions) = &mut own.transactions
        {
            transactions.version = version;
        }
    }
    plan
}

fn run(plan: &Plan) -> EventLog {
    let mut log = EventLog::default();
    Simulation::new(plan).run_until(plan.header.horizon, &plan.header, &mut log);
    log
}

/// What happened, from the side of the application that reads and the applications that send.
#[derive(Default)]
struct Story {
    /// What producers sent and were told nothing of, in order.
    open: BTreeMap<ClientId, BTreeSet<MessageId>>,
    /// Groups of messages of which a reader must see all or none.
    groups: Vec<BTreeSet<MessageId>>,
    confirmed: BTreeMap<(ClientId, Time), BTreeSet<MessageId>>,
    aborted: BTreeSet<MessageId>,
    read: Vec<(MessageId, StoreId, Offset)>,
    sender: BTreeMap<MessageId, ClientId>,
}

impl Story {
    fn of(log: &EventLog) -> Story {
        let mut story = Story::default();
        for record in log.records() {
            match record.event() {
                Event::Sent { message, producer, .. } => {
                    story.sender.insert(message, producer);
                    story.open.entry(producer).or_default().insert(message);
                }
                Event::Confirmed { message, producer } => {
                    story.open.entry(producer).or_default().remove(&message);
                    story.confirmed.entry((producer, record.time)).or_default().insert(message);
                }
                Event::Refused { message, producer, reason } => {
                    story.open.entry(producer).or_default().remove(&message);
                    assert!(matches!(reason, Refusal::Aborted | Refusal::Fenced), "{reason:?}");
                    if reason == Refusal::Aborted {
                        story.aborted.insert(message);
                    }
                }
                // Whoever dies in the middle of a transaction never learns how it ended.
                Event::Disconnected { client, .. } => {
                    story.groups.extend(story.open.remove(&client));
                }
                Event::Delivered { message, store, offset, .. } => story.read.push((message, store, offset)),
                _ => {}
            }
        }
        story.groups.extend(std::mem::take(&mut story.open).into_values());
        story
    }

    /// What a reader of committed data may expect, whatever happened.
    fn judge(&self) {
        let read: BTreeSet<MessageId> = self.read.iter().map(|(message, ..)| *message).collect();
        assert_eq!(read.len(), self.read.len(), "nothing is stored twice");
        // What was committed shortly before the end may still be on its way to the reader.
        let early = self.confirmed.iter().filter(|((_, at), _)| *at < Time::from_nanos(115_000_000_000));
        for (_, group) in early {
            assert!(group.is_subset(&read), "what was committed is seen whole: {group:?}");
        }
        for group in &self.groups {
            let seen = group.intersection(&read).count();
            assert!(seen == 0 || seen == group.len(), "{seen} of {group:?}");
        }
        assert!(self.aborted.is_disjoint(&read), "what was aborted is not seen");
        let mut last: BTreeMap<(ClientId, StoreId), MessageId> = BTreeMap::new();
        for (message, store, _) in &self.read {
            if let Some(before) = last.insert((self.sender[message], *store), *message) {
                assert!(before < *message, "{message} of a producer came behind {before}");
            }
        }
    }
}

fn random_case(seed: u64) -> (String, String, String) {
    let mut chance = Generator::new(seed, "transactions");
    let latency = ["0s", "1ms", "60ms"][chance.below(3) as usize];
    let linger = ["0s", "5ms", "300ms"][chance.below(3) as usize];
    let end = ["end", "restart"][chance.below(2) as usize];
    let timeout = ["2s", "15s"][chance.below(2) as usize];
    let contender = format!(
        "linger = \"{linger}\"\nbatch_size = \"{}B\"\nrequest_timeout = \"2s\"\ndelivery_timeout = \"{}s\"\n\
         transaction_timeout = \"{timeout}\"\n\
         transactions = {{ messages = {}, every = \"{}ms\", abort = 0.2, on_fenced = \"{end}\" }}",
        200 + chance.below(800),
        3 + chance.below(5),
        1 + chance.below(12),
        200 + chance.below(4000),
    );
    let mut faults = String::new();
    for _ in 0..chance.below(6) {
        let action = ["crash", "reset", "reset"][chance.below(3) as usize];
        let (target, at) = (1 + chance.below(2), 1000 + chance.below(28_000));
        let lasts = ["for = \"300ms\"", "for = \"4s\"", "for = \"20s\""][chance.below(3) as usize];
        faults += &format!("[[fault]]\nat = \"{at}ms\"\n{action} = \"producer/{target}\"\n{lasts}\n");
    }
    (latency.into(), contender, faults)
}

#[test]
fn a_reader_of_committed_data_sees_all_of_a_transaction_or_nothing() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let (mut confirmed, mut aborted) = (0, 0);
        for seed in 0..60 {
            let (latency, contender, faults) = random_case(seed);
            let log = run(&plan(&latency, &contender, &faults, version));
            let story = Story::of(&log);
            let judged = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| story.judge()));
            judged.unwrap_or_else(|_| panic!("{version:?}, seed {seed}: latency {latency}\n{contender}\n{faults}"));
            confirmed += story.confirmed.len();
            aborted += story.aborted.len();
        }
        assert!(confirmed > 1000 && aborted > 1000, "{confirmed} transactions, {aborted} aborted messages");
    }
}

/// When each of these happened, in seconds.
fn times(log: &EventLog, of: impl Fn(&Event) -> bool) -> Vec<f64> {
    let found = log.records().iter().filter(|record| of(&record.event()));
    found.map(|record| (record.time.as_nanos() / 1_000_000) as f64 / 1e3).collect()
}

const OPEN: &str = "transactions = { messages = 100000, every = \"10s\" }\ntransaction_timeout = \"25s\"";

#[test]
fn who_comes_back_aborts_what_was_left_open() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        for (id, expected) in [("stable", 16.0), ("random", 40.0)] {
            let contender = OPEN.replace("every", &format!("transactional_id = \"{id}\", every"));
            let fault = "[[fault]]\nat = \"15s\"\ncrash = \"producer/1\"\nfor = \"1s\"\n";
            let log = run(&plan("0s", &contender, fault, version));
            let ends = times(&log, |event| matches!(event, Event::TransactionEnded { committed: false, .. }));
            // One marker in each partition that the producer's keys lead to.
            assert!((1..=3).contains(&ends.len()) && ends.iter().all(|end| *end == expected), "{version:?} {ends:?}");
        }
    }
}

#[test]
fn who_takes_too_long_is_shut_out() {
    let contender = "transactions = { messages = 100000, ON }\ntransaction_timeout = \"5s\"";
    for (on, ended) in [("on_fenced = \"end\"", 2), ("on_fenced = \"restart\"", 0)] {
        for version in [TransactionVersion::V1, TransactionVersion::V2] {
            let log = run(&plan("1ms", &contender.replace("ON", on), "", version));
            let fenced = |event: &Event| matches!(event, Event::Refused { reason: Refusal::Fenced, .. });
            assert!(times(&log, fenced).len() > 100);
            assert_eq!(times(&log, |event| matches!(event, Event::Disconnected { .. })).len(), ended);
            assert_eq!(times(&log, |event| matches!(event, Event::Delivered { .. })).len(), 0);
            let opened = times(&log, |event| matches!(event, Event::TransactionOpened { .. })).len();
            assert_eq!(opened > 6, ended == 0, "who goes on begins further transactions: {opened}");
        }
    }
}

const REPLACED: &str = "[[fault]]\nat = \"15.3s\"\nfor = \"8s\"\nreplace = \"producer/1\"\n";

#[test]
fn who_was_replaced_under_its_own_id_is_shut_out_when_it_wakes() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        let run = |id: &str| {
            let contender =
                format!("linger = \"50ms\"\ntransactions = {{ every = \"1s\", transactional_id = \"{id}\" }}");
            run(&plan("5ms", &contender, REPLACED, version))
        };
        let log = run("stable");
        Story::of(&log).judge();
        let left = times(&log, |event| matches!(event, Event::Disconnected { .. }));
        assert!(left.len() == 1 && (23.3..24.5).contains(&left[0]), "{version:?}: it learns of it soon: {left:?}");
        let fenced = times(&log, |event| matches!(event, Event::Refused { reason: Refusal::Fenced, .. }));
        assert!(!fenced.is_empty(), "its messages were its successor's by then");
        let offered = times(&log, |event| matches!(event, Event::Offered { .. })).len();
        let read = times(&log, |event| matches!(event, Event::Delivered { .. })).len();
        assert_eq!(offered, read, "{version:?}: every message once");

        let log = run("random");
        assert!(times(&log, |event| matches!(event, Event::Disconnected { .. })).is_empty());
        assert!(
            times(&log, |event| matches!(event, Event::Delivered { .. })).len() > offered,
            "{version:?}: some twice"
        );
    }
}
