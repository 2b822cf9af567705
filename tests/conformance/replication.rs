//! Copies of partitions: which replicas are in sync and what is confirmed then, where logs part, and who leads.

use brokerlab_broker::log::Epochs;
use brokerlab_broker::replication::{
    Change, Election, ElectionRules, NotEnoughReplicas, Registration, ReplicaRules, ReplicaSet,
};
use brokerlab_event::{Duration, NodeId, Offset, Time};
use serde_json::{Value, json};

use super::{compare, known_fields};

pub(super) fn run(case: &Value) -> Result<(), String> {
    match case["kind"].as_str() {
        Some("hw_isr") => run_in_sync(case),
        Some("offset_for_leader_epoch") => run_epoch(case),
        Some("divergence_truncation") => run_divergence(case),
        other => Err(format!("cannot express the kind {other:?}")),
    }
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is no whole number"))
}

fn offset(value: &Value) -> Result<Offset, String> {
    number(value).map(Offset::new)
}

fn small(value: &Value) -> Result<u32, String> {
    u32::try_from(number(value)?).map_err(|_| format!("{value} is too large"))
}

fn node(value: &Value) -> Result<NodeId, String> {
    u16::try_from(number(value)?).map(NodeId::new).map_err(|_| format!("{value} is no node"))
}

fn list(value: &Value) -> Result<&[Value], String> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| format!("{value} is no list"))
}

fn nodes(value: &Value) -> Result<Vec<NodeId>, String> {
    list(value)?.iter().map(node).collect()
}

fn ids(nodes: &[NodeId]) -> Vec<usize> {
    nodes.iter().map(|node| node.index()).collect()
}

/// A leader, its followers, and the producers that wait.
struct Leader {
    now: Time,
    end: Offset,
    high_watermark: Offset,
    replicas: ReplicaSet,
    /// Name and where it began and ended.
    pending: Vec<(String, Offset, Offset)>,
    completed: Vec<Value>,
}

const LEADER: u64 = 1;

fn run_in_sync(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "kind", "note", "basis", "config", "steps"])?;
    let config = &case["config"];
    known_fields(config, &["replicas", "min_isr", "isr"])?;
    let in_sync = match config.get("isr") {
        Some(list) => nodes(list)?,
        None => (1..=number(&config["replicas"])?).map(|id| NodeId::new(id as u16)).collect(),
    };
    let followers = (LEADER + 1..=number(&config["replicas"])?).map(|id| NodeId::new(id as u16));
    let rules = ReplicaRules { min_in_sync: small(&config["min_isr"])?, ..ReplicaRules::default() };
    let followers = followers.map(|node| (node, in_sync.contains(&node)));
    let replicas = ReplicaSet::new(rules, followers, Offset::ZERO, Time::ZERO);
    let (now, end) = (Time::ZERO, Offset::ZERO);
    let mut leader = Leader { now, end, high_watermark: end, replicas, pending: Vec::new(), completed: Vec::new() };
    for (index, step) in list(&case["steps"])?.iter().enumerate() {
        let at = |problem| format!("step {}: {problem}", index + 1);
        leader.step(step).map_err(at)?;
        leader.check(&step["expect"]).map_err(at)?;
    }
    Ok(())
}

impl Leader {
    fn step(&mut self, step: &Value) -> Result<(), String> {
        self.completed.clear();
        match step["op"].as_str() {
            Some("produce") => {
                known_fields(step, &["op", "id", "acks", "count", "expect"])?;
                self.produce(step)?;
            }
            Some("follower_fetch") => {
                known_fields(step, &["op", "replica", "fetch_offset", "expect"])?;
                let (node, offset) = (node(&step["replica"])?, offset(&step["fetch_offset"])?);
                if self.replicas.fetched(node, offset, self.end, self.high_watermark, self.now) {
                    let joined: Vec<NodeId> = self.replicas.in_sync().chain([node]).collect();
                    self.replicas.set_in_sync(&joined);
                }
            }
            Some("isr_check") => {
                known_fields(step, &["op", "expect"])?;
                let lagging: Vec<NodeId> = self.replicas.lagging(self.end, self.now).collect();
                let left: Vec<NodeId> = self.replicas.in_sync().filter(|node| !lagging.contains(node)).collect();
                self.replicas.set_in_sync(&left);
            }
            Some("advance_ms") => {
                known_fields(step, &["op", "ms", "expect"])?;
                self.now = self.now.saturating_add(Duration::from_millis(number(&step["ms"])?));
                return Ok(());
            }
            other => return Err(format!("cannot express the operation {other:?}")),
        }
        self.advance();
        Ok(())
    }

    fn produce(&mut self, step: &Value) -> Result<(), String> {
        let id = step["id"].as_str().ok_or("has no id")?.to_string();
        let acks = step["acks"].as_i64().ok_or("has no acks")?;
        if acks == -1 && !self.replicas.is_enough() {
            self.complete(&id, Err(NotEnoughReplicas::Refused), Offset::ZERO);
            return Ok(());
        }
        let first = self.end;
        self.end = Offset::new(first.get() + number(&step["count"])?);
        match acks {
            -1 => self.pending.push((id, first, self.end)),
            0 => self.completed.push(json!({"id": id, "result": "OK", "base_offset": -1})),
            1 => self.complete(&id, Ok(()), first),
            other => return Err(format!("cannot express acks {other}")),
        }
        Ok(())
    }

    fn complete(&mut self, id: &str, result: Result<(), NotEnoughReplicas>, first: Offset) {
        self.completed.push(match result {
            Ok(()) => json!({"id": id, "result": "OK", "base_offset": first.get()}),
            Err(NotEnoughReplicas::Refused) => json!({"id": id, "result": "NOT_ENOUGH_REPLICAS"}),
            Err(NotEnoughReplicas::AfterAppend) => json!({"id": id, "result": "NOT_ENOUGH_REPLICAS_AFTER_APPEND"}),
        });
    }

    /// Moves the high watermark, and answers who waited for it.
    fn advance(&mut self) {
        if let Some(agreed) = self.replicas.high_watermark(self.end, self.now) {
            self.high_watermark = self.high_watermark.max(agreed);
        }
        for (id, first, until) in std::mem::take(&mut self.pending) {
            match self.replicas.answer(until, self.high_watermark) {
                Some(result) => self.complete(&id, result, first),
                None => self.pending.push((id, first, until)),
            }
        }
    }

    fn check(&self, expect: &Value) -> Result<(), String> {
        known_fields(expect, &["isr", "high_watermark", "log_end_offset", "pending", "completed"])?;
        let in_sync: Vec<u64> = [LEADER].into_iter().chain(self.replicas.in_sync().map(|n| n.index() as u64)).collect();
        let pending: Vec<&str> = self.pending.iter().map(|(id, ..)| id.as_str()).collect();
        compare("isr", &expect["isr"], &json!(in_sync))?;
        compare("high_watermark", number(&expect["high_watermark"])?, self.high_watermark.get())?;
        compare("log_end_offset", number(&expect["log_end_offset"])?, self.end.get())?;
        compare("pending", &expect["pending"], &json!(pending))?;
        let completed = expect.get("completed").map_or(&[][..], |list| list.as_array().map_or(&[], Vec::as_slice));
        compare("completed", completed, &self.completed[..])
    }
}

fn epochs(value: &Value) -> Result<Epochs, String> {
    list(value)?.iter().map(|entry| Ok((small(&entry[0])?, offset(&entry[1])?))).collect()
}

fn run_epoch(case: &Value) -> Result<(), String> {
    let known =
        ["id", "kind", "note", "basis", "leader_epoch_cache", "leader_log_end_offset", "requested_epoch", "expect"];
    known_fields(case, &known)?;
    known_fields(&case["expect"], &["epoch", "end_offset"])?;
    let epochs = epochs(&case["leader_epoch_cache"])?;
    let answer = epochs.end_of(small(&case["requested_epoch"])?, offset(&case["leader_log_end_offset"])?);
    let found = match answer {
        Some(answer) => json!({"epoch": answer.epoch, "end_offset": answer.end.get()}),
        None => json!({"epoch": -1, "end_offset": -1}),
    };
    compare("answer", &case["expect"], &found)
}

fn run_divergence(case: &Value) -> Result<(), String> {
    let known = [
        "id",
        "kind",
        "note",
        "basis",
        "follower_epoch_cache",
        "follower_log_end_offset",
        "leader_epoch_cache",
        "leader_log_end_offset",
        "expect_truncate_to",
    ];
    known_fields(case, &known)?;
    let (mut own, leader) = (epochs(&case["follower_epoch_cache"])?, epochs(&case["leader_epoch_cache"])?);
    let (mut end, leader_end) = (offset(&case["follower_log_end_offset"])?, offset(&case["leader_log_end_offset"])?);
    // As long as the leader names epochs that the follower does not have, it asks about an earlier one.
    loop {
        let Some(answer) = own.latest().and_then(|latest| leader.end_of(latest, leader_end)) else {
            return Err("cannot express that the leader knows less than the follower".to_string());
        };
        let (kept, is_agreed) = own.agreed_end(end, answer);
        end = kept;
        own.truncate(end);
        if is_agreed {
            return compare("truncate_to", offset(&case["expect_truncate_to"])?, end);
        }
    }
}

pub(super) fn run_election(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "input", "expect"])?;
    let input = &case["input"];
    let known = [
        "leader",
        "leader_epoch",
        "elr",
        "last_known_elr",
        "min_isr",
        "elr_enabled",
        "election",
        "replicas",
        "isr",
        "alive",
        "target_isr",
        "unclean_shutdown",
    ];
    known_fields(input, &known)?;
    let leader = |value: &Value| if value.as_i64() == Some(-1) { Ok(None) } else { node(value).map(Some) };
    let before = Registration {
        replicas: nodes(&input["replicas"])?,
        in_sync: nodes(&input["isr"])?,
        leader: leader(&input["leader"])?,
        leader_epoch: small(&input["leader_epoch"])?,
        eligible: nodes(&input["elr"])?,
        last_known_leader: nodes(&input["last_known_elr"])?.first().copied(),
    };
    let election = match input["election"].as_str() {
        Some("ONLINE") => Election::Online,
        Some("PREFERRED") => Election::Preferred,
        Some("UNCLEAN") => Election::Unclean,
        other => return Err(format!("cannot express the election {other:?}")),
    };
    let in_sync = input.get("target_isr").map_or(Ok(before.in_sync.clone()), nodes)?;
    let unclean_shutdown = input.get("unclean_shutdown").map_or(Ok(Vec::new()), nodes)?;
    let alive = nodes(&input["alive"])?;
    let change = Change { in_sync: &in_sync, alive: &alive, unclean_shutdown: &unclean_shutdown };
    let keeps_eligible = input["elr_enabled"].as_bool().ok_or("does not say whether the ELR is on")?;
    let rules = ElectionRules { min_in_sync: small(&input["min_isr"])?, keeps_eligible };
    let (after, is_unclean) = before.after(&change, election, &rules);
    let found = json!({
        "changed": after != before,
        "leader": after.leader.map_or(-1, |leader| leader.index() as i64),
        "isr": ids(&after.in_sync),
        "elr": ids(&after.eligible),
        "last_known_elr": ids(&Vec::from_iter(after.last_known_leader)),
        "leader_epoch": after.leader_epoch,
        "unclean_recovery": is_unclean,
    });
    compare("afterwards", &case["expect"], &found)
}
