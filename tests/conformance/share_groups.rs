//! The stepwise cases of share groups, on a [`SharePartition`].

use brokerlab_broker::message::Member;
use brokerlab_broker::share_partition::{
    Acknowledged, Acknowledgement, AcquireMode, Acquired, RecordState, ShareError, SharePartition, ShareRules,
};
use brokerlab_event::{ClientId, Duration, Offset, Time};
use serde_json::{Map, Value, json};

use super::{compare, known_fields};

/// A share partition, whose members have the names of the case.
struct Rig {
    partition: SharePartition,
    now: Time,
    members: Vec<String>,
}

/// Runs a case.
pub fn run(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "profile", "config", "steps"])?;
    let partition = SharePartition::new(rules(case)?, Offset::ZERO);
    let mut rig = Rig { partition, now: Time::ZERO, members: Vec::new() };
    for (index, step) in case["steps"].as_array().ok_or("no steps")?.iter().enumerate() {
        rig.step(step).map_err(|problem| format!("step {} ({}): {problem}", index + 1, step["op"]))?;
    }
    Ok(())
}

fn rules(case: &Value) -> Result<ShareRules, String> {
    let config = &case["config"];
    known_fields(config, &["max_in_flight", "max_delivery_count", "lock_ms", "acquire_mode"])?;
    let acquire_mode = match &config["acquire_mode"] {
        Value::Null => AcquireMode::BatchOptimized,
        mode if mode == "batch_optimized" => AcquireMode::BatchOptimized,
        mode if mode == "record_limit" => AcquireMode::RecordLimit,
        other => return Err(format!("cannot express the acquire mode {other}")),
    };
    Ok(ShareRules {
        lock_duration: Duration::from_millis(number(config, "lock_ms")?),
        delivery_count_limit: number(config, "max_delivery_count")? as u32,
        max_record_locks: number(config, "max_in_flight")? as u32,
        acquire_mode,
    })
}

fn number(object: &Value, field: &str) -> Result<u64, String> {
    object[field].as_u64().ok_or_else(|| format!("{field} is no whole number in {object}"))
}

fn list<'a>(object: &'a Value, field: &str) -> Result<&'a Vec<Value>, String> {
    object[field].as_array().ok_or_else(|| format!("{field} is no list in {object}"))
}

fn range(pair: &Value) -> Result<(Offset, Offset), String> {
    match (pair[0].as_u64(), pair[1].as_u64()) {
        (Some(first), Some(last)) => Ok((Offset::new(first), Offset::new(last))),
        _ => Err(format!("{pair} is no range")),
    }
}

fn acknowledged(batch: &Value) -> Result<Acknowledged, String> {
    known_fields(batch, &["first", "last", "types"])?;
    let kind = |word: &Value| match word.as_str() {
        Some("accept") => Ok(Acknowledgement::Accept),
        Some("release") => Ok(Acknowledgement::Release),
        Some("reject") => Ok(Acknowledgement::Reject),
        Some("gap") => Ok(Acknowledgement::Gap),
        Some("renew") => Ok(Acknowledgement::Renew),
        _ => Err(format!("cannot express the acknowledgement {word}")),
    };
    let kinds = list(batch, "types")?.iter().map(kind).collect::<Result<_, _>>()?;
    Ok(Acknowledged { first: Offset::new(number(batch, "first")?), last: Offset::new(number(batch, "last")?), kinds })
}

impl Rig {
    fn member(&mut self, step: &Value) -> Result<Member, String> {
        let name = step["member"].as_str().ok_or("no member")?;
        let index = self.members.iter().position(|known| known == name).unwrap_or_else(|| {
            self.members.push(name.to_string());
            self.members.len() - 1
        });
        Ok(Member { client: ClientId::new(index as u32), incarnation: 1 })
    }

    fn step(&mut self, step: &Value) -> Result<(), String> {
        let fields: &[&str] = match step["op"].as_str().unwrap_or_default() {
            "acquire" => &["op", "note", "member", "batches", "max_records", "expect"],
            "acknowledge" => &["op", "note", "member", "batches", "expect"],
            "close_member" => &["op", "note", "member", "expect"],
            "log_start_moved" => &["op", "note", "offset", "expect"],
            "advance_time" => &["op", "note", "ms", "expect"],
            other => return Err(format!("cannot express the operation {other}")),
        };
        known_fields(step, fields)?;
        let (mut acquired, mut result) = (None, "ok");
        match fields[2] {
            "member" if fields.contains(&"max_records") => acquired = Some(self.acquire(step)?),
            "member" if fields.contains(&"batches") => result = self.acknowledge(step)?,
            "member" => {
                let member = self.member(step)?;
                self.partition.release_member(member);
            }
            "offset" => self.partition.log_start_moved(Offset::new(number(step, "offset")?)),
            _ => self.advance(Duration::from_millis(number(step, "ms")?)),
        }
        self.judge(&step["expect"], acquired, result)
    }

    fn acquire(&mut self, step: &Value) -> Result<Value, String> {
        let member = self.member(step)?;
        let found = list(step, "batches")?.iter().map(range).collect::<Result<Vec<_>, _>>()?;
        let most = step["max_records"].as_u64().map_or(u32::MAX, |most| most as u32);
        let acquired = self.partition.acquire(self.now, member, most, &found);
        let row = |own: &Acquired| json!([own.first.get(), own.last.get(), own.delivery_count]);
        Ok(acquired.iter().map(row).collect())
    }

    fn acknowledge(&mut self, step: &Value) -> Result<&'static str, String> {
        let member = self.member(step)?;
        let said = list(step, "batches")?.iter().map(acknowledged).collect::<Result<Vec<_>, _>>()?;
        Ok(match self.partition.acknowledge(self.now, member, &said) {
            Ok(_) => "ok",
            Err(ShareError::InvalidRecordState) => "InvalidRecordStateException",
            Err(ShareError::InvalidRequest) => "InvalidRequestException",
        })
    }

    /// Every lock that ends on the way ends at its own time.
    fn advance(&mut self, by: Duration) {
        let until = self.now + by;
        while let Some(at) = self.partition.next_timeout().filter(|at| *at <= until) {
            self.partition.handle_timeout(at);
        }
        self.now = until;
    }

    fn judge(&self, expect: &Value, acquired: Option<Value>, result: &str) -> Result<(), String> {
        let known = ["acquired", "result", "next_fetch_offset", "can_acquire", "spso", "end_offset", "in_flight"];
        known_fields(expect, &known)?;
        let found = |field: &str| match field {
            "acquired" => acquired.clone().unwrap_or(Value::Null),
            "result" => json!(result),
            "next_fetch_offset" => json!(self.partition.next_fetch_offset().get()),
            "can_acquire" => json!(self.partition.can_acquire()),
            "spso" => json!(self.partition.start().get()),
            "end_offset" => json!(self.partition.end().get()),
            _ => self.in_flight(),
        };
        let expected = expect.as_object().expect("its fields were looked at just now");
        expected.iter().try_for_each(|(field, value)| compare(field, value, &found(field)))
    }

    fn in_flight(&self) -> Value {
        let word = |state| match state {
            RecordState::Available => "AVAILABLE",
            RecordState::Acquired => "ACQUIRED",
            RecordState::Acknowledged => "ACKNOWLEDGED",
            RecordState::Archived => "ARCHIVED",
        };
        let row = |(offset, state, count): (Offset, _, u32)| (offset.get().to_string(), json!([word(state), count]));
        Value::Object(self.partition.in_flight().map(row).collect::<Map<_, _>>())
    }
}
