//! Where a consumer starts, and which windows its commits leave: the types that a group member reads with, beside the
//! coordinator and the partition of a node.

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_broker::assignor::Assignor;
use brokerlab_broker::client::reading::{AutoCommit, NoPosition, Owned};
use brokerlab_broker::config::{Isolation, OffsetReset};
use brokerlab_broker::group::{Group, GroupAnswer, GroupTimes};
use brokerlab_broker::message::{Envelope, Member, MemberMetadata, Position};
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Offset, StoreId, Time};
use serde_json::Value;

use super::{compare, known_fields};

const STORE: StoreId = StoreId::MAX;

pub(super) fn run(case: &Value) -> Result<(), String> {
    match case["kind"].as_str() {
        Some("position_on_start") => run_start(case),
        Some("commit_window") => run_window(case),
        other => Err(format!("cannot express the kind {other:?}")),
    }
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is not a whole number"))
}

fn run_start(case: &Value) -> Result<(), String> {
    let known = [
        "id",
        "kind",
        "note",
        "basis",
        "profile",
        "log_start_offset",
        "log_end_offset_visible",
        "committed_offset",
        "auto_offset_reset",
        "expect",
    ];
    known_fields(case, &known)?;
    let expect = &case["expect"];
    known_fields(expect, &["position", "error", "lost_records", "reread"])?;
    let (start, end) = (number(&case["log_start_offset"])?, number(&case["log_end_offset_visible"])?);
    let committed = if case["committed_offset"].is_null() { None } else { Some(number(&case["committed_offset"])?) };
    let reset = match case["auto_offset_reset"].as_str() {
        Some("earliest") => OffsetReset::Earliest,
        Some("latest") => OffsetReset::Latest,
        Some("none") => OffsetReset::None,
        other => return Err(format!("cannot express the reset policy {other:?}")),
    };
    let position = Position {
        store: STORE,
        committed: committed.map(Offset::new),
        sought: false,
        is_unstable: false,
        is_coordinated: true,
        is_led: true,
        epoch: 0,
        log_start: Offset::new(start),
        log_end: Offset::new(end),
        high_watermark: Offset::new(end),
        at_time: Offset::new(end),
    };
    let found = position.start(reset).map(Offset::get);
    let error = found.err().map(|error| match error {
        NoPosition::NoOffset => "NoOffsetForPartition",
        NoPosition::OutOfRange => "OffsetOutOfRange",
    });
    compare("error", expect["error"].as_str(), error)?;
    if !expect["position"].is_null() {
        compare("position", Ok(number(&expect["position"])?), found)?;
    }
    let (Ok(found), Some(committed)) = (found, committed) else { return Ok(()) };
    if !expect["lost_records"].is_null() {
        compare("lost_records", number(&expect["lost_records"])?, found.saturating_sub(committed))?;
    }
    if !expect["reread"].is_null() {
        compare("reread", number(&expect["reread"])?, committed.min(end).saturating_sub(found))?;
    }
    Ok(())
}

fn run_window(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "kind", "note", "basis", "profile", "auto_commit_interval_ms", "steps"])?;
    let steps = case["steps"].as_array().ok_or("has no steps")?;
    let manual = steps.iter().any(|step| step["op"] == "commit_sync");
    let interval = match &case["auto_commit_interval_ms"] {
        Value::Null => Duration::from_secs(5),
        given => Duration::from_millis(number(given)?),
    };
    let mut reader = Reader::new((!manual).then_some(interval))?;
    for (index, step) in steps.iter().enumerate() {
        let place = |error: String| format!("step {} ({}): {error}", index + 1, step["op"]);
        let returned = reader.step(step).map_err(place)?;
        reader.check(&step["expect"], returned).map_err(place)?;
    }
    Ok(())
}

/// A consumer that is alone in its group, with the coordinator and the partition that it reads.
struct Reader {
    now: Time,
    group: Group,
    member: Member,
    log: PartitionLog<()>,
    /// The interval of automatic commits, where there are such.
    interval: Option<Duration>,
    automatic: Option<AutoCommit>,
    owned: Owned<()>,
}

impl Reader {
    fn new(interval: Option<Duration>) -> Result<Reader, String> {
        let times = GroupTimes {
            session: Duration::MAX,
            rebalance: Duration::from_secs(60),
            initial_delay: Duration::ZERO,
            offsets_retention: Duration::MAX,
        };
        let rules = PartitionRules {
            max_message_bytes: 1 << 20,
            segment_bytes: 1 << 30,
            segment_time: Duration::MAX,
            retention_time: None,
            ..PartitionRules::default()
        };
        let mut reader = Reader {
            now: Time::ZERO,
            group: Group::new(times),
            member: Member { client: ClientId::new(0), incarnation: 0 },
            log: PartitionLog::new(rules),
            interval,
            automatic: None,
            owned: Owned::new(STORE, Offset::ZERO, 0, None),
        };
        reader.start()?;
        Ok(reader)
    }

    /// A new process joins the group and asks where to begin.
    fn start(&mut self) -> Result<(), String> {
        let mut answers = Vec::new();
        self.group.leave(self.now, self.member, &mut answers);
        self.member.incarnation += 1;
        let assignors = vec![Assignor::Range];
        let metadata =
            MemberMetadata { name: "reader".into(), instance: None, assignors, owned: Vec::new(), generation: None };
        self.group.join(self.now, self.member, Arc::new(metadata), &mut answers);
        self.group.sync(self.now, self.member, self.group.generation(), Vec::new(), &mut answers);
        if !matches!(answers.last(), Some(GroupAnswer::Synced { result: Ok(_), .. })) {
            return Err(format!("the consumer does not get into its group: {answers:?}"));
        }
        let committed = self.group.committed(STORE);
        let (log_start, log_end) = (self.log.log().start(), self.log.log().end());
        let (high_watermark, at_time) = (log_end, log_end);
        let found = Position {
            store: STORE,
            committed,
            sought: false,
            is_unstable: false,
            is_coordinated: true,
            is_led: true,
            epoch: 0,
            log_start,
            log_end,
            high_watermark,
            at_time,
        };
        let position = found.start(OffsetReset::Earliest).map_err(|error| format!("{error:?}"))?;
        self.owned = Owned::new(STORE, position, 0, committed);
        self.automatic = self.interval.map(|interval| AutoCommit::new(self.now, interval));
        Ok(())
    }

    fn commit(&mut self) -> Result<(), String> {
        let (offsets, generation) = ([(STORE, self.owned.position)], self.group.generation());
        self.group.commit(self.now, self.member, generation, &offsets).map_err(|error| format!("{error:?}"))
    }

    fn poll(&mut self, most: usize) -> Result<Vec<u64>, String> {
        if self.automatic.as_mut().is_some_and(|automatic| automatic.take_due(self.now)) {
            self.commit()?;
        }
        let mut batch = VecDeque::new();
        while batch.len() < most {
            if let Some(from) = self.owned.wanted() {
                let from = from.offset;
                self.provide(from.get() + most as u64);
                let mut fetched =
                    self.log.fetch(from, u32::MAX, Isolation::ReadUncommitted).map_err(|error| format!("{error:?}"))?;
                self.owned.fetched(&mut fetched.records, fetched.next);
            }
            self.owned.poll(most - batch.len(), &mut batch);
        }
        Ok(batch.iter().map(|in_hand| in_hand.offset.get()).collect())
    }

    /// There are always enough records.
    fn provide(&mut self, until: u64) {
        while self.log.log().end().get() < until {
            let (message, sender) = (MessageId::new(0), ClientId::new(0));
            let (key, size, timestamp, tombstone, payload) = (KeyId::NONE, 100, self.now, false, ());
            let record = Envelope { message, key, size, timestamp, sender, tombstone, payload };
            self.log.append(vec![record].into(), self.now).expect("it fits into a segment");
        }
        let end = self.log.log().end();
        self.log.mark_written(end);
        self.log.advance_high_watermark(end);
    }

    fn step(&mut self, step: &Value) -> Result<Vec<u64>, String> {
        let operation = step["op"].as_str().ok_or("has no op")?;
        let argument = match operation {
            "poll" => "n",
            "process" => "offsets",
            "advance_ms" => "ms",
            "commit_sync" | "crash_and_restart" | "close" => "note",
            other => return Err(format!("cannot express the operation {other}")),
        };
        known_fields(step, &["op", "note", "expect", argument])?;
        match operation {
            "poll" => return self.poll(number(&step["n"])? as usize),
            // What the application does moves nothing.
            "process" => {}
            "commit_sync" => self.commit()?,
            "crash_and_restart" => self.start()?,
            "close" if self.automatic.is_some() => self.commit()?,
            "close" => {}
            _ => self.now += Duration::from_millis(number(&step["ms"])?),
        }
        Ok(Vec::new())
    }

    fn check(&self, expect: &Value, returned: Vec<u64>) -> Result<(), String> {
        if expect.is_null() {
            return Ok(());
        }
        known_fields(expect, &["returned", "committed", "position"])?;
        let committed = self.group.committed(STORE).map_or(0, Offset::get);
        let found = [
            ("returned", Value::from(returned)),
            ("committed", committed.into()),
            ("position", self.owned.position.get().into()),
        ];
        for (name, found) in found {
            if let Some(expected) = expect.get(name) {
                compare(name, expected, &found)?;
            }
        }
        Ok(())
    }
}
