//! The stepwise cases of idempotent and transactional producers, and of what readers see of transactions, on the
//! state that a partition keeps of its producers.

use brokerlab_broker::message::LogError;
use brokerlab_broker::producer_state::{Checked, CompletedTransaction, EndMarker, ProducerState};
use brokerlab_broker::record::{BatchProducer, ProducerId};
use brokerlab_event::{Duration, Offset, Time};
use serde_json::{Value, json};

use super::{compare, known_fields};

/// `producer.id.expiration.ms`, whose default every case takes.
const EXPIRATION: Duration = Duration::from_millis(86_400_000);

/// A partition without records: what its producers wrote, and how far it is replicated.
#[derive(Default)]
struct Partition {
    producers: ProducerState,
    end: Offset,
    high_watermark: Offset,
    now: Time,
}

fn number(step: &Value, field: &str) -> Result<u64, String> {
    step[field].as_u64().ok_or_else(|| format!("{field} is no whole number"))
}

fn small<T: TryFrom<u64>>(step: &Value, field: &str) -> Result<T, String> {
    T::try_from(number(step, field)?).map_err(|_| format!("cannot express the size of {field}"))
}

/// The name that the real project gives to an error.
fn exception(error: LogError) -> String {
    match error {
        LogError::OutOfOrderSequence => "OutOfOrderSequenceException".into(),
        LogError::InvalidProducerEpoch => "InvalidProducerEpochException".into(),
        LogError::InvalidTransactionState => "InvalidTxnStateException".into(),
        LogError::CoordinatorFenced => "TransactionCoordinatorFencedException".into(),
        other => format!("{other:?}"),
    }
}

/// Runs a case about what a partition takes from its producers.
pub fn run(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "steps"])?;
    match case["profile"].as_str().unwrap_or("kafka-4.0") {
        "kafka-3.9" | "kafka-4.0" | "kafka-4.2" => {}
        other => return Err(format!("cannot express the profile {other}")),
    }
    let mut partition = Partition::default();
    for (index, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        partition.step(step).map_err(|problem| format!("step {} ({}): {problem}", index + 1, step["op"]))?;
    }
    Ok(())
}

impl Partition {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        let mut seen = match step["op"].as_str() {
            Some("append") => self.append(step)?,
            Some("end_txn_marker") => self.end_transaction(step)?,
            Some("high_watermark") => {
                known_fields(step, &["op", "offset", "expect"])?;
                self.replicate(Offset::new(number(step, "offset")?));
                json!({"result": "OK"})
            }
            Some("advance_time") => {
                known_fields(step, &["op", "ms", "expect"])?;
                self.now = self.now.saturating_add(Duration::from_millis(number(step, "ms")?));
                self.producers.expire(self.now, EXPIRATION);
                json!({"result": "OK"})
            }
            _ => return Err(format!("cannot express the operation {}", step["op"])),
        };
        seen["log_end_offset"] = json!(self.end.get());
        seen["high_watermark"] = json!(self.high_watermark.get());
        seen["last_stable_offset"] = json!(self.last_stable_offset().get());
        seen["active_producers"] = json!(self.producers.len());
        for (field, expected) in step["expect"].as_object().into_iter().flatten() {
            compare(field, expected, seen.get(field).unwrap_or(&Value::Null))?;
        }
        Ok(())
    }

    fn append(&mut self, step: &Value) -> Result<Value, String> {
        known_fields(step, &["op", "pid", "epoch", "base_seq", "count", "txn", "expect"])?;
        let producer = BatchProducer {
            id: ProducerId::new(small(step, "pid")?),
            epoch: small(step, "epoch")?,
            sequence: small(step, "base_seq")?,
            transactional: step.get("txn").is_some_and(|txn| *txn == true),
        };
        let count = small(step, "count")?;
        Ok(match self.producers.check(&producer, count) {
            Ok(Checked::Next) => {
                let first = self.end;
                self.producers.append(&producer, count, first, self.now);
                self.end = Offset::new(first.get() + u64::from(count));
                json!({"result": "OK", "base_offset": first.get()})
            }
            Ok(Checked::Duplicate(first)) => json!({"result": "DUPLICATE", "base_offset": first.get()}),
            Err(error) => json!({"result": exception(error)}),
        })
    }

    fn end_transaction(&mut self, step: &Value) -> Result<Value, String> {
        known_fields(step, &["op", "pid", "epoch", "type", "coordinator_epoch", "expect"])?;
        let marker = EndMarker {
            producer: ProducerId::new(small(step, "pid")?),
            epoch: small(step, "epoch")?,
            coordinator_epoch: small(step, "coordinator_epoch")?,
            committed: match step["type"].as_str() {
                Some("commit") => true,
                Some("abort") => false,
                _ => return Err(format!("cannot express the type {}", step["type"])),
            },
        };
        if let Err(error) = self.producers.check_marker(&marker) {
            return Ok(json!({"result": exception(error)}));
        }
        let offset = self.end;
        self.end = offset.next();
        let mut seen = json!({"result": "OK", "base_offset": offset.get()});
        if let Some(completed) = self.producers.end(&marker, offset, self.now) {
            let CompletedTransaction { first, last, committed, decided_below, .. } = completed;
            seen["completed_first_offset"] = json!(first.get());
            seen["completed_last_offset"] = json!(last.get());
            seen["aborted"] = json!(!committed);
            seen["lso_after_txn_index_entry"] = json!(decided_below.get());
        }
        Ok(seen)
    }

    fn replicate(&mut self, until: Offset) {
        self.high_watermark = self.high_watermark.max(until.min(self.end));
        self.producers.replicated(self.high_watermark);
    }

    fn last_stable_offset(&self) -> Offset {
        self.producers.first_unstable().map_or(self.high_watermark, |first| first.min(self.high_watermark))
    }
}

/// One entry of a log that is read.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Plain,
    Transactional(ProducerId),
    Marker,
}

/// Runs a case about what readers of either isolation level see.
pub fn run_reading(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "log", "high_watermark", "expect"])?;
    known_fields(&case["expect"], &["last_stable_offset", "read_uncommitted_offsets", "read_committed_offsets"])?;
    let (mut partition, mut kinds) = (Partition::default(), Vec::new());
    for entry in case["log"].as_array().ok_or("no log")? {
        known_fields(entry, &["offset", "producer", "kind"])?;
        compare("offset", partition.end.get(), number(entry, "offset")?)?;
        kinds.push(partition.enter(entry)?);
    }
    partition.replicate(Offset::new(number(case, "high_watermark")?));
    let stable = partition.last_stable_offset();
    let is_aborted = |offset, kind| match kind {
        Kind::Transactional(producer) => partition.producers.is_aborted(producer, Offset::new(offset)),
        Kind::Plain | Kind::Marker => false,
    };
    let read = |below: Offset, committed: bool| -> Vec<u64> {
        let all = kinds.iter().zip(0_u64..below.get()).filter(|(kind, _)| **kind != Kind::Marker);
        all.filter(|(kind, offset)| !committed || !is_aborted(*offset, **kind)).map(|(_, offset)| offset).collect()
    };
    let seen = json!({
        "last_stable_offset": stable.get(),
        "read_uncommitted_offsets": read(partition.high_watermark, false),
        "read_committed_offsets": read(stable, true),
    });
    for (field, expected) in case["expect"].as_object().into_iter().flatten() {
        compare(field, expected, &seen[field])?;
    }
    Ok(())
}

impl Partition {
    /// Appends an entry of a case's log, which the real broker has taken.
    fn enter(&mut self, entry: &Value) -> Result<Kind, String> {
        let producer = match entry["producer"] {
            Value::Null => None,
            _ => Some(ProducerId::new(small(entry, "producer")?)),
        };
        let offset = self.end;
        self.end = offset.next();
        match (entry["kind"].as_str(), producer) {
            (Some("data"), None) => Ok(Kind::Plain),
            (Some("data"), Some(id)) => {
                let last = self.producers.last_sequence(id).and_then(|(_, last)| last);
                let sequence = last.map_or(0, |last| last + 1);
                let batch = BatchProducer { id, epoch: 0, sequence, transactional: true };
                compare("taken", Ok(Checked::Next), self.producers.check(&batch, 1))?;
                self.producers.append(&batch, 1, offset, self.now);
                Ok(Kind::Transactional(id))
            }
            (Some(kind @ ("commit" | "abort")), Some(producer)) => {
                let marker = EndMarker { producer, epoch: 0, coordinator_epoch: 0, committed: kind == "commit" };
                self.producers.end(&marker, offset, self.now);
                Ok(Kind::Marker)
            }
            _ => Err(format!("cannot express the entry {entry}")),
        }
    }
}
