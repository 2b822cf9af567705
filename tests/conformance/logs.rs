//! Retention and compaction of one partition.

use std::collections::BTreeMap;

use brokerlab_broker::cleaner::{Cleaner, Dirt, batches};
use brokerlab_broker::config::CompactionConfig;
use brokerlab_broker::message::LogError;
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::producer_state::EndMarker;
use brokerlab_broker::record::{BatchProducer, ProducerId, RecordKind};
use brokerlab_broker::{Batch, Envelope, Record};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Offset, Time};
use serde_json::{Value, json};

use super::{compare, known_fields};

/// A value of the vectors; nothing for a tombstone.
type Payload = Option<String>;

fn ms(value: &Value) -> Result<Duration, String> {
    value.as_u64().map(Duration::from_millis).ok_or_else(|| format!("{value} is no number of milliseconds"))
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is no whole number"))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{value} is no list"))
}

/// The number of an optional field; negative numbers mean *none*.
fn optional(config: &Value, field: &str) -> Result<Option<Option<u64>>, String> {
    match &config[field] {
        Value::Null => Ok(None),
        value => {
            value.as_i64().map(|number| Some(u64::try_from(number).ok())).ok_or_else(|| format!("{field}: {value}"))
        }
    }
}

fn rules(config: &Value) -> Result<PartitionRules, String> {
    let fields = ["segment_bytes", "segment_ms", "retention_bytes", "retention_ms", "cleanup_policy"];
    if !config.is_null() {
        known_fields(config, &fields)?;
    }
    let (compacts, deletes) = match config["cleanup_policy"].as_str().unwrap_or("delete") {
        "delete" => (false, true),
        "compact" => (true, false),
        "compact,delete" | "delete,compact" => (true, true),
        other => return Err(format!("cannot express the policy {other}")),
    };
    let default = PartitionRules::default();
    let or = |field: &str, default: u64| Ok::<_, String>(optional(config, field)?.flatten().unwrap_or(default));
    let time = optional(config, "retention_ms")?.map(|limit| limit.map(Duration::from_millis));
    Ok(PartitionRules {
        segment_bytes: or("segment_bytes", default.segment_bytes)?,
        segment_time: Duration::from_millis(or("segment_ms", default.segment_time.as_nanos() / 1_000_000)?),
        retention_time: time.unwrap_or(default.retention_time).filter(|_| deletes),
        retention_bytes: optional(config, "retention_bytes")?.flatten().filter(|_| deletes),
        compaction: compacts.then(CompactionConfig::default),
        ..default
    })
}

/// A partition at a time.
struct Bench {
    log: PartitionLog<Payload>,
    now: Time,
    next_message: u64,
    /// Keys by their number.
    keys: Vec<String>,
    /// The last stable offset, where the case fixes it.
    stable_until: Option<Offset>,
}

impl Bench {
    fn new(rules: PartitionRules) -> Bench {
        let log = PartitionLog::new(rules);
        Bench { log, now: Time::ZERO, next_message: 0, keys: Vec::new(), stable_until: None }
    }

    fn envelope(&mut self, key: &Value, value: Payload, size: u32, timestamp: Time) -> Envelope<Payload> {
        let key = match key {
            Value::Null => KeyId::NONE,
            key => {
                let name = key.as_str().map_or_else(|| key.to_string(), str::to_string);
                let index = self.keys.iter().position(|known| *known == name).unwrap_or_else(|| {
                    self.keys.push(name);
                    self.keys.len() - 1
                });
                KeyId::new(index as u32)
            }
        };
        let message = MessageId::new(self.next_message);
        self.next_message += 1;
        let tombstone = value.is_none();
        Envelope { message, key, size, timestamp, sender: ClientId::new(0), tombstone, payload: value }
    }

    /// The time of a step: its own, or now.
    fn timestamp(&self, step: &Value) -> Result<Time, String> {
        match &step["timestamp"] {
            Value::Null => Ok(self.now),
            at => Ok(Time::ZERO + ms(at)?),
        }
    }

    fn written(&mut self, replicated: bool) {
        let end = self.log.log().end();
        self.log.mark_written(end);
        if replicated {
            self.log.advance_high_watermark(self.stable_until.unwrap_or(end));
        }
    }
}

pub fn run_retention(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "config", "steps"])?;
    let mut bench = Bench::new(rules(&case["config"])?);
    for (index, step) in list(&case["steps"])?.iter().enumerate() {
        retention_step(&mut bench, step).map_err(|problem| format!("step {}: {problem}", index + 1))?;
    }
    Ok(())
}

fn retention_step(bench: &mut Bench, step: &Value) -> Result<(), String> {
    let mut known = vec!["op", "expect"];
    let (mut deleted, mut error) = (Value::Null, Value::Null);
    match step["op"].as_str().unwrap_or_default() {
        "append" => {
            known.extend(["count", "size", "timestamp", "replicated"]);
            let (size, timestamp) = (number(&step["size"])? as u32, bench.timestamp(step)?);
            for _ in 0..number(&step["count"])? {
                let envelope = bench.envelope(&json!("key"), Some(String::new()), size, timestamp);
                if let Err(refusal) = bench.log.append(vec![envelope].into(), bench.now) {
                    error = name_of(refusal).into();
                }
            }
            bench.written(step["replicated"] != false);
        }
        "roll" => {
            bench.log.roll(bench.now);
        }
        "advance_ms" => {
            known.push("ms");
            bench.now += ms(&step["ms"])?;
        }
        "high_watermark" => {
            known.push("offset");
            bench.log.advance_high_watermark(Offset::new(number(&step["offset"])?));
        }
        "delete_records" => {
            known.push("before_offset");
            if let Err(refusal) = bench.log.delete_records(Offset::new(number(&step["before_offset"])?)) {
                error = name_of(refusal).into();
            }
        }
        "run_retention" => deleted = bench.log.retain(bench.now).segments.into(),
        other => return Err(format!("cannot express the operation {other}")),
    }
    known_fields(step, &known)?;
    let log = bench.log.log();
    let of_segments = |of: fn(&brokerlab_broker::log::Segment<Record<Payload>>) -> u64| -> Value {
        log.segments().map(of).collect::<Vec<_>>().into()
    };
    let found = BTreeMap::from([
        ("deleted_segments", deleted),
        ("error", error),
        ("segment_base_offsets", of_segments(|segment| segment.base().get())),
        ("segment_bytes_used", of_segments(|segment| segment.bytes())),
        ("log_start_offset", log.start().get().into()),
        ("log_end_offset", log.end().get().into()),
        ("high_watermark", bench.log.high_watermark().get().into()),
    ]);
    hold_against(&step["expect"], &found)
}

fn name_of(error: LogError) -> String {
    match error {
        LogError::LargerThanSegment => "RecordBatchTooLarge".to_string(),
        LogError::TooLarge => "RecordTooLarge".to_string(),
        other => format!("{other:?}"),
    }
}

/// Compares what is expected; an error that nobody expects is one, too.
fn hold_against(expect: &Value, found: &BTreeMap<&str, Value>) -> Result<(), String> {
    let expect = expect.as_object().ok_or("there is nothing to expect")?;
    for (field, expected) in expect {
        let found = found.get(field.as_str()).ok_or_else(|| format!("cannot express the field {field}"))?;
        compare(field, expected, found)?;
    }
    let error = found.get("error").unwrap_or(&Value::Null);
    if expect.contains_key("error") { Ok(()) } else { compare("error", &Value::Null, error) }
}

pub fn run_compaction(case: &Value) -> Result<(), String> {
    match case["kind"].as_str() {
        None => run_steps(case),
        Some("cleanable_ratio") => run_ratio(case),
        Some("batches") => run_batches(case),
        Some(other) => Err(format!("cannot express the kind {other}")),
    }
}

fn run_ratio(case: &Value) -> Result<(), String> {
    let sizes = ["clean_bytes", "cleanable_bytes", "min_cleanable_dirty_ratio", "max_compaction_lag_exceeded"];
    known_fields(case, &[&["id", "kind", "note", "basis", "profile", "expect"], &sizes[..]].concat())?;
    let min_ratio = case["min_cleanable_dirty_ratio"].as_f64().ok_or("there is no smallest ratio")?;
    let dirt = Dirt {
        first_dirty: Offset::ZERO,
        first_uncleanable: Offset::ZERO,
        clean_bytes: number(&case["clean_bytes"])?,
        cleanable_bytes: number(&case["cleanable_bytes"])?,
        is_overdue: case["max_compaction_lag_exceeded"].as_bool().ok_or("is the largest lag exceeded?")?,
    };
    known_fields(&case["expect"], &["ratio", "eligible"])?;
    let eligible = dirt.is_eligible((min_ratio * 1e6).round() as u32);
    compare("eligible", case["expect"]["eligible"].as_bool(), Some(eligible))?;
    compare("ratio", case["expect"]["ratio"].as_f64(), Some(dirt.ratio()))
}

fn run_steps(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "config", "steps"])?;
    let config = &case["config"];
    known_fields(config, &["delete_retention_ms", "min_compaction_lag_ms", "last_stable_offset"])?;
    let mut compaction = CompactionConfig::default();
    if let Some(retention) = optional(config, "delete_retention_ms")?.flatten() {
        compaction.delete_retention = Duration::from_millis(retention);
    }
    if let Some(lag) = optional(config, "min_compaction_lag_ms")?.flatten() {
        compaction.min_lag = Duration::from_millis(lag);
    }
    // Records without a key can only be found where the topic was not compacted when they came.
    let mut bench = Bench::new(PartitionRules::default());
    bench.stable_until = optional(config, "last_stable_offset")?.flatten().map(Offset::new);
    for (index, step) in list(&case["steps"])?.iter().enumerate() {
        compaction_step(&mut bench, &compaction, step).map_err(|problem| format!("step {}: {problem}", index + 1))?;
    }
    Ok(())
}

fn compaction_step(bench: &mut Bench, compaction: &CompactionConfig, step: &Value) -> Result<(), String> {
    let mut known = vec!["op", "expect"];
    let mut removed = Value::Null;
    match step["op"].as_str().unwrap_or_default() {
        "append" => {
            known.extend(["records", "timestamp"]);
            let timestamp = bench.timestamp(step)?;
            for record in list(&step["records"])? {
                let value = record[1].as_str().map(str::to_string);
                let envelope = bench.envelope(&record[0], value, 10, timestamp);
                let taken = bench.log.append(vec![envelope].into(), bench.now);
                taken.map_err(|error| format!("a record was refused: {error:?}"))?;
            }
            bench.written(true);
        }
        "roll" => {
            bench.log.roll(bench.now);
        }
        "advance_ms" => {
            known.push("ms");
            bench.now += ms(&step["ms"])?;
        }
        "clean" => {
            known.push("max_distinct_keys");
            let most = optional(step, "max_distinct_keys")?.flatten();
            let mut cleaner = most.map_or_else(Cleaner::default, |most| Cleaner::new(most as usize));
            let pass = bench.log.clean(&mut cleaner, compaction, bench.now, |_, _| {});
            removed = pass.map_or(0, |pass| pass.removed).into();
        }
        other => return Err(format!("cannot express the operation {other}")),
    }
    known_fields(step, &known)?;
    let records = messages(&bench.log).map(|(offset, record)| {
        let key = record.key.some().map(|key| &bench.keys[key.index()]);
        json!([offset.get(), key, record.payload])
    });
    let found = BTreeMap::from([
        ("removed", removed),
        ("records", records.collect()),
        ("first_dirty_offset", bench.log.first_dirty().get().into()),
        ("log_end_offset", bench.log.log().end().get().into()),
    ]);
    hold_against(&step["expect"], &found)
}

fn messages(log: &PartitionLog<Payload>) -> impl Iterator<Item = (Offset, &Record<Payload>)> {
    log.log().entries_from(Offset::ZERO).filter(|(_, record)| record.kind.is_message())
}

fn run_batches(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "kind", "note", "basis", "profile", "batches", "clean_all", "expect"])?;
    compare("clean_all", Some(true), case["clean_all"].as_bool())?;
    let mut bench = Bench::new(PartitionRules::default());
    for batch in list(&case["batches"])? {
        append_batch(&mut bench, batch)?;
    }
    bench.written(true);
    bench.log.roll(bench.now);
    bench.log.clean(&mut Cleaner::default(), &CompactionConfig::default(), bench.now, |_, _| {});
    let log = bench.log.log();
    let left = log.entries_from(Offset::ZERO).filter(|(_, record)| record.kind != RecordKind::Remnant);
    let keys = messages(&bench.log).map(|(_, record)| record.key.some().map(|key| &bench.keys[key.index()]));
    let keys = keys.map(|key| key.map_or(Value::Null, |key| serde_json::from_str(key).unwrap_or_else(|_| json!(key))));
    let ends = log.segments().flat_map(batches).map(|batch| batch.end.get() - 1);
    let mut sequences: BTreeMap<String, u32> = BTreeMap::new();
    for (_, record) in log.entries_from(Offset::ZERO).filter(|(_, record)| !record.kind.is_marker()) {
        if let Some(producer) = record.producer.some() {
            sequences.insert(producer.get().to_string(), record.sequence);
        }
    }
    let found = BTreeMap::from([
        ("record_offsets", left.map(|(offset, _)| offset.get()).collect::<Vec<_>>().into()),
        ("keys", keys.collect()),
        ("last_offset_of_each_batch", ends.collect::<Vec<_>>().into()),
        ("last_sequence", json!(sequences)),
    ]);
    hold_against(&case["expect"], &found)
}

fn append_batch(bench: &mut Bench, batch: &Value) -> Result<(), String> {
    known_fields(batch, &["pid", "epoch", "seq", "keys", "txn", "marker"])?;
    let id = batch["pid"].as_u64().map(|id| ProducerId::new(id as u32));
    let epoch = batch["epoch"].as_u64().unwrap_or(0) as u16;
    if let Some(marker) = batch["marker"].as_str() {
        let commits = match marker {
            "commit" => true,
            "abort" => false,
            other => return Err(format!("cannot express the marker {other}")),
        };
        let producer = id.ok_or("a marker without a producer id")?;
        let marker = EndMarker { producer, epoch, coordinator_epoch: 0, committed: commits };
        let taken = bench.log.append_marker(&marker, bench.now);
        return taken.map(|_| ()).map_err(|error| format!("a marker was refused: {error:?}"));
    }
    let producer = match id {
        None => None,
        Some(id) => {
            let (sequence, transactional) = (number(&batch["seq"])? as u32, batch["txn"] == true);
            Some(BatchProducer { id, epoch, sequence, transactional })
        }
    };
    let now = bench.now;
    let keys = list(&batch["keys"])?;
    let records = keys.iter().map(|key| bench.envelope(key, Some(String::new()), 10, now)).collect();
    let taken = bench.log.append(Batch { producer, records }, now);
    taken.map_err(|error| format!("a batch was refused: {error:?}"))?;
    Ok(())
}
