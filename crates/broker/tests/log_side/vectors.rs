//! Known answers, from the project's vectors.

use std::collections::BTreeMap;

use brokerlab_broker::message::LogError;
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::{Envelope, Record};
use brokerlab_event::{ClientId, KeyId, MessageId, Offset, Time};
use serde_json::Value;

use crate::rig::ms;

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
