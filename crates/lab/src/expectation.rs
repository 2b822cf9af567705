//! Judging what a scenario expects.

use brokerlab_analysis::{Fate, Histogram, Stage, Summary};
use brokerlab_event::Duration;
use brokerlab_scenario::{Clause, Expectation, Metric, Quantity, Scenario};

use crate::run::Run;

/// How one clause of an expectation came out for one contender.
#[derive(Clone, PartialEq, Debug)]
pub struct Finding {
    /// Which expectation of the scenario, an index.
    pub expectation: usize,
    /// The contender's name.
    pub contender: String,
    /// The application's name; nothing for all together.
    pub application: Option<String>,
    /// The kind of messages; nothing for all kinds.
    pub kind: Option<String>,
    /// The metric.
    pub metric: &'static Metric,
    /// What was expected, as the file has it.
    pub expected: String,
    /// What was found; nothing where nothing was measured.
    pub found: Option<f64>,
    /// Whether the clause holds. What was not measured does not hold.
    pub holds: bool,
}

/// Judges every expectation whose contenders were run.
pub fn judge(scenario: &Scenario, runs: &[Run]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, expectation) in scenario.expectations.iter().enumerate() {
        for run in runs {
            let wanted = expectation.contender.map(|contender| &scenario.contenders[contender].name);
            if wanted.is_some_and(|name| *name != run.header.contender) {
                continue;
            }
            for clause in &expectation.clauses {
                findings.extend(judge_clause(scenario, runs, run, index, expectation, clause));
            }
        }
    }
    findings
}

/// Nothing where the clause compares with a contender that was not run, or with the contender itself.
fn judge_clause(
    scenario: &Scenario,
    runs: &[Run],
    run: &Run,
    index: usize,
    expectation: &Expectation,
    clause: &Clause,
) -> Option<Finding> {
    let Expectation { application, kind, .. } = *expectation;
    let found = measure(run, application, kind, clause.metric);
    let mut other_number = Some(f64::NAN);
    if let Some(other) = clause.comparison.other() {
        let name = &scenario.contenders[other].name;
        if *name == run.header.contender {
            return None;
        }
        let other = runs.iter().find(|run| run.header.contender == *name)?;
        other_number = measure(other, application, kind, clause.metric);
    }
    let holds = found.zip(other_number).is_some_and(|(found, other)| clause.comparison.holds(found, |_| other));
    Some(Finding {
        expectation: index,
        contender: run.header.contender.clone(),
        application: application.map(|index| run.header.applications[index].name.clone()),
        kind: kind.map(|kind| run.header.kinds.names[kind].clone()),
        metric: clause.metric,
        expected: clause.text.clone(),
        found,
        holds,
    })
}

fn measure(run: &Run, application: Option<usize>, kind: Option<usize>, metric: &Metric) -> Option<f64> {
    if let Some(kind) = kind {
        return measure_kind(run, application, kind, metric);
    }
    let summary = match application {
        Some(index) => &run.results.applications[index].summary,
        None => &run.results.total,
    };
    value(summary, metric)
}

/// A metric of one kind of messages, for one application or all together.
fn measure_kind(run: &Run, application: Option<usize>, kind: usize, metric: &Metric) -> Option<f64> {
    let applications = run.results.applications.iter().enumerate();
    let wanted = applications.filter(|(index, _)| application.is_none_or(|wanted| wanted == *index));
    let (mut processed, mut latency) = (0, Histogram::default());
    for (_, results) in wanted {
        let Some(figures) = results.kinds.get(kind) else {
            return measure(run, application, None, metric); // all messages are of this kind
        };
        processed += figures.processed;
        latency.merge(&figures.latency);
    }
    if metric.name == "processed" {
        return Some(processed as f64);
    }
    let which = metric.name.strip_prefix("latency_")?;
    percentile_of(&latency, which).map(|duration| duration.as_nanos() as f64)
}

/// The number of a metric in the unit of its quantity: nanoseconds, bytes, messages, messages a second. Nothing
/// where nothing was measured.
pub fn value(summary: &Summary, metric: &Metric) -> Option<f64> {
    let count = |count: u64| Some(count as f64);
    let time = |duration: Duration| Some(duration.as_nanos() as f64);
    if let Some(fate) = Fate::ALL.into_iter().find(|fate| fate.name() == metric.name) {
        return count(summary.fates[fate]);
    }
    match metric.name {
        "offered" => count(summary.offered),
        "sent" => count(summary.sent),
        "confirmed" => count(summary.confirmed),
        "replied" => count(summary.replied),
        "not_processed" => count(summary.not_processed()),
        "dead_letters" => count(summary.incidents.dead_letters),
        "expired" => count(summary.incidents.expired),
        "overflowed" => count(summary.incidents.overflowed),
        "delivery_limit" => count(summary.incidents.delivery_limit),
        "declined" => count(summary.incidents.declined),
        "failed" => count(summary.incidents.failed),
        "channel_errors" => count(summary.incidents.channel_errors),
        "queue_deletions" => count(summary.incidents.queue_deletions),
        "connections_lost" => count(summary.incidents.connections_lost),
        "sent_again" => count(summary.incidents.sent_again),
        "sends_expired" => count(summary.incidents.sends_expired),
        "set_aside" => count(summary.incidents.set_aside),
        "position_resets" => count(summary.incidents.position_resets),
        "stranded" => count(summary.incidents.stranded),
        "offsets_forgotten" => count(summary.incidents.offsets_forgotten),
        "deduplicated" => count(summary.incidents.deduplicated),
        "aborted" => count(summary.incidents.aborted),
        "dirty_reads" => count(summary.incidents.dirty_reads),
        "blocked_time" => time(summary.blocked.sum()),
        "deliveries" => count(summary.deliveries),
        "redeliveries" => count(summary.redeliveries),
        "duplicates" => count(summary.duplicates),
        "replayed" => count(summary.replayed),
        "key_order_violations" => count(summary.key_order_violations),
        "keys_out_of_order" => count(summary.keys_out_of_order),
        "throughput" => summary.throughput(),
        "backlog_max" => count(summary.backlog_max),
        "stored_messages_max" => count(summary.stored_messages_max),
        "stored_bytes_max" => count(summary.stored_bytes_max),
        "longest_stall" => time(summary.longest_stall),
        "rebalances" => count(summary.rebalances),
        "rebalancing" => time(summary.rebalancing),
        name => percentile(summary, name).map(|duration| duration.as_nanos() as f64),
    }
}

/// `confirm_p99_9` and the like.
fn percentile(summary: &Summary, name: &str) -> Option<Duration> {
    let (stage, which) = name.split_once('_')?;
    let stage = match stage {
        "confirm" => Stage::Confirm,
        "deliver" => Stage::Deliver,
        "latency" => Stage::Process,
        _ => return None,
    };
    percentile_of(summary.latency(stage), which)
}

/// `max`, `p99_9` and the like.
fn percentile_of(histogram: &Histogram, which: &str) -> Option<Duration> {
    match which {
        "max" => histogram.maximum(),
        _ => histogram.percentile(millionths(which)?),
    }
}

/// `p99_9` as millionths of the whole.
fn millionths(which: &str) -> Option<u32> {
    let digits = which.strip_prefix('p')?.replacen('_', ".", 1);
    let (whole, part) = digits.split_once('.').unwrap_or((&digits, ""));
    let part: u32 = format!("{part:0<4}").parse().ok()?;
    Some(whole.parse::<u32>().ok()? * 10_000 + part)
}

/// A number in the unit of its quantity, for people.
pub fn display(quantity: Quantity, number: f64) -> String {
    match quantity {
        Quantity::Count => format!("{number}"),
        Quantity::Duration => Duration::from_nanos(number as u64).to_string(),
        Quantity::Bytes => format!("{number} B"),
        Quantity::Rate => format!("{number:.1}/s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_scenario::METRICS;

    #[test]
    fn percentiles_are_read_from_their_names() {
        assert_eq!((millionths("p50"), millionths("p99_9"), millionths("x")), (Some(500_000), Some(999_000), None));
    }

    #[test]
    fn every_metric_of_the_format_has_a_value() {
        let mut summary = Summary { measured: Duration::from_secs(1), ..Summary::default() };
        for histogram in &mut summary.latency {
            histogram.record(Duration::from_millis(5));
        }
        for metric in METRICS {
            assert!(value(&summary, metric).is_some(), "{}", metric.name);
        }
    }
}
