//! Known answers, from the project's vectors.

use std::collections::{BTreeMap, VecDeque};

use brokerlab_broker::client::reading::{AutoCommit, NoPosition, Owned};
use brokerlab_broker::config::{Isolation, OffsetReset};
use brokerlab_broker::group::{Group, GroupAnswer, GroupTimes};
use brokerlab_broker::message::{LogError, Member, Position};
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::{Envelope, Record};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Offset, StoreId, Time};
use serde_json::Value;

use crate::rig::{ms, secs};

fn cases(file: &str) -> Vec<Value> {
    let path = format!("{}/../../tests/vectors/{file}.json", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let document: Value = serde_json::from_str(&text).expect("vectors are JSON");
    document["cases"].as_array().expect("a file of vectors has cases").clone()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("{value} is not a whole number"))
}

fn offset(value: &Value) -> Offset {
    Offset::new(number(value))
}

fn record(size: u32, timestamp: Time) -> Envelope<()> {
    let (message, sender) = (MessageId::new(0), ClientId::new(0));
    Envelope { message, key: KeyId::NONE, size, timestamp, sender, tombstone: false, payload: () }
}

fn rules(config: &Value) -> PartitionRules {
    let or = |key: &str, default: i64| config[key].as_i64().unwrap_or(default);
    let week = 7 * 86_400_000;
    let deletes = config["cleanup_policy"] != "compact";
    let positive = |value: i64| u64::try_from(value).ok().filter(|_| deletes);
    PartitionRules {
        segment_bytes: or("segment_bytes", 1 << 30) as u64,
        segment_time: ms(or("segment_ms", week) as u64),
        retention_time: positive(or("retention_ms", week)).map(ms),
        retention_bytes: positive(or("retention_bytes", -1)),
    }
}

/// One step on a partition: what it deleted, if it was a retention pass, and its error.
fn retention_step(log: &mut PartitionLog<()>, now: &mut Time, step: &Value) -> (Option<usize>, Option<LogError>) {
    match step["op"].as_str().expect("a step has an operation") {
        "append" => {
            let timestamp = step["timestamp"].as_u64().map_or(*now, |at| Time::ZERO + ms(at));
            for _ in 0..number(&step["count"]) {
                log.append(vec![record(number(&step["size"]) as u32, timestamp)].into(), *now).expect("it fits");
            }
            let end = log.log().end();
            log.mark_written(end);
            if step["replicated"] != false {
                log.advance_high_watermark(end);
            }
        }
        "roll" => assert!(log.roll(*now), "a step that rolls finds something to roll"),
        "advance_ms" => *now += ms(number(&step["ms"])),
        "high_watermark" => assert!(log.advance_high_watermark(offset(&step["offset"]))),
        "delete_records" => return (None, log.delete_records(offset(&step["before_offset"])).err()),
        "run_retention" => return (Some(log.retain(*now).segments), None),
        other => panic!("no such operation: {other}"),
    }
    (None, None)
}

#[test]
fn logs_roll_and_retain_as_told() {
    let all = cases("kafka_log_retention");
    assert_eq!(all.len(), 17);
    for case in all {
        let mut log = PartitionLog::new(rules(&case["config"]));
        let mut now = Time::ZERO;
        for (at, step) in case["steps"].as_array().expect("a list").iter().enumerate() {
            let place = format!("{} step {at}: {step}", case["id"]);
            let (deleted, error) = retention_step(&mut log, &mut now, step);
            let segments = |of: fn(&brokerlab_broker::log::Segment<Record<()>>) -> u64| -> Value {
                log.log().segments().map(of).collect::<Vec<_>>().into()
            };
            let got = BTreeMap::from([
                ("deleted_segments", deleted.into()),
                ("error", error.map_or(Value::Null, |error| format!("{error:?}").into())),
                ("segment_base_offsets", segments(|segment| segment.base().get())),
                ("segment_bytes_used", segments(|segment| segment.bytes())),
                ("log_start_offset", log.log().start().get().into()),
                ("log_end_offset", log.log().end().get().into()),
                ("high_watermark", log.high_watermark().get().into()),
            ]);
            for (key, expected) in step["expect"].as_object().expect("a map") {
                assert_eq!(&got[key.as_str()], expected, "{key}, {place}");
            }
            assert_eq!(error.is_some(), !step["expect"]["error"].is_null(), "{place}");
        }
    }
}

fn check_start(case: &Value) {
    let (log_start, log_end) = (offset(&case["log_start_offset"]), offset(&case["log_end_offset_visible"]));
    let committed = case["committed_offset"].as_u64().map(Offset::new);
    let position = Position { store: StoreId::new(0), committed, log_start, log_end, high_watermark: log_end };
    let reset = match case["auto_offset_reset"].as_str().expect("a policy") {
        "earliest" => Some(OffsetReset::Earliest),
        "latest" => Some(OffsetReset::Latest),
        _ => None,
    };
    let expect = &case["expect"];
    let expected = match expect["error"].as_str() {
        None => Ok(offset(&expect["position"])),
        Some("NoOffsetForPartition") => Err(NoPosition::NoOffset),
        Some("OffsetOutOfRange") => Err(NoPosition::OutOfRange),
        Some(other) => panic!("no such error: {other}"),
    };
    let got = position.start(reset);
    assert_eq!(got, expected, "{}", case["id"]);
    let difference = |a: u64, b: u64| a.saturating_sub(b);
    if let (Ok(got), Some(committed)) = (got, committed) {
        let lost = expect["lost_records"].as_u64().unwrap_or(0);
        assert_eq!(difference(got.get(), committed.get()), lost, "{}", case["id"]);
        let reread = expect["reread"].as_u64().unwrap_or(0);
        assert_eq!(difference(committed.get().min(log_end.get()), got.get()), reread, "{}", case["id"]);
    }
}

/// A consumer that is alone in its group, with the coordinator and the partition that it reads.
struct Reader {
    now: Time,
    group: Group,
    member: Member,
    log: PartitionLog<()>,
    interval: Duration,
    automatic: Option<AutoCommit>,
    owned: Owned<()>,
}

impl Reader {
    fn new(case: &Value) -> Reader {
        let times = GroupTimes { session: secs(1000), rebalance: secs(60), initial_delay: Duration::ZERO };
        let mut log = PartitionLog::new(rules(&Value::Null));
        log.append(vec![record(100, Time::ZERO); 100].into(), Time::ZERO).expect("it fits");
        log.mark_written(Offset::new(100));
        log.advance_high_watermark(Offset::new(100));
        let manual = case["steps"].as_array().expect("a list").iter().any(|step| step["op"] == "commit_sync");
        let interval = ms(case["auto_commit_interval_ms"].as_u64().unwrap_or(5000));
        let mut reader = Reader {
            now: Time::ZERO,
            group: Group::new(times),
            member: Member { client: ClientId::new(0), incarnation: 0 },
            log,
            interval,
            automatic: (!manual).then(|| AutoCommit::new(Time::ZERO, interval)),
            owned: Owned::new(StoreId::new(0), Offset::ZERO, None),
        };
        reader.start();
        reader
    }

    fn start(&mut self) {
        let mut answers = Vec::new();
        self.group.leave(self.now, self.member, &mut answers);
        self.member.incarnation += 1;
        self.group.join(self.now, self.member, "reader".into(), &mut answers);
        self.group.sync(self.now, self.member, self.group.generation(), Vec::new(), &mut answers);
        assert!(matches!(answers.last(), Some(GroupAnswer::Synced { result: Ok(_), .. })), "{answers:?}");
        let (log_start, log_end) = (self.log.log().start(), self.log.log().end());
        let committed = self.group.committed(StoreId::new(0));
        let found = Position { store: StoreId::new(0), committed, log_start, log_end, high_watermark: log_end };
        let position = found.start(Some(OffsetReset::Earliest)).expect("there is a policy");
        self.owned = Owned::new(StoreId::new(0), position, committed);
        self.automatic = self.automatic.map(|_| AutoCommit::new(self.now, self.interval));
    }

    fn commit(&mut self) {
        let offsets = [(self.owned.store, self.owned.position)];
        self.group.commit(self.now, self.member, self.group.generation(), &offsets).expect("it is a member");
    }

    fn poll(&mut self, most: usize) -> Vec<u64> {
        if self.automatic.as_mut().is_some_and(|automatic| automatic.take_due(self.now)) {
            self.commit();
        }
        if let Some(from) = self.owned.wanted() {
            let fetched = self.log.fetch(from, u32::MAX, Isolation::ReadUncommitted).expect("it is in range");
            self.owned.fetched(fetched.records, fetched.next);
        }
        let mut batch = VecDeque::new();
        self.owned.poll(most, &mut batch);
        batch.iter().map(|in_hand| in_hand.offset.get()).collect()
    }

    fn step(&mut self, step: &Value) -> Vec<u64> {
        match step["op"].as_str().expect("a step has an operation") {
            "poll" => return self.poll(number(&step["n"]) as usize),
            "process" => {}
            "commit_sync" => self.commit(),
            "crash_and_restart" => self.start(),
            "close" => {
                if self.automatic.is_some() {
                    self.commit();
                }
            }
            "advance_ms" => self.now += ms(number(&step["ms"])),
            other => panic!("no such operation: {other}"),
        }
        Vec::new()
    }
}

#[test]
fn consumers_start_and_commit_as_told() {
    let all = cases("kafka_consumer_offsets");
    assert_eq!(all.len(), 13);
    for case in all {
        if case["kind"] == "position_on_start" {
            check_start(&case);
            continue;
        }
        let mut reader = Reader::new(&case);
        for (at, step) in case["steps"].as_array().expect("a list").iter().enumerate() {
            let returned = reader.step(step);
            let committed = reader.group.committed(StoreId::new(0)).map_or(0, Offset::get);
            let got = BTreeMap::from([
                ("returned", Value::from(returned)),
                ("committed", committed.into()),
                ("position", reader.owned.position.get().into()),
            ]);
            for (key, expected) in step["expect"].as_object().expect("a map") {
                assert_eq!(&got[key.as_str()], expected, "{} step {at}: {step}", case["id"]);
            }
        }
    }
}
