//! Small random scenarios, run through every model: whatever the demand, the options and the faults, the books
//! balance, the streaming judges agree with an oracle that judges by definition, promises hold, and a second run
//! is the same run.
//!
//! A failure prints its seed and the scenario. `BROKERLAB_SWARM_SEED=N cargo test --test main swarm` runs that one
//! alone; `BROKERLAB_SWARM=N` runs more of them.

mod contenders;
mod texts;
mod writer;

use brokerlab_analysis::{Fate, Judgement, oracle};
use brokerlab_event::{ApplicationId, RunHeader};
use brokerlab_lab::{Keep, Run, run_contender};
use brokerlab_scenario::{Scenario, Source};

/// How many of each kind run by default: together some seconds of an optimised build.
const MIXED: u64 = 40;
const LOGS: u64 = 200;
const CLUSTERS: u64 = 200;

/// Whether two judges agree on everything that both judge.
fn agrees_with_the_oracle(run: &Run) {
    let log = run.events.as_ref().expect("events were kept");
    for (index, own) in run.results.applications.iter().enumerate() {
        let truth = oracle::findings(&run.header, log.records(), ApplicationId::new(index as u16));
        for fate in Fate::ALL {
            assert_eq!(own.summary.fates[fate], truth.count(fate), "{}: {}", run.header.contender, fate.name());
        }
        let own = &own.summary;
        let (order, dirty) = (own.key_order_violations, own.incidents.dirty_reads);
        let found = (own.duplicates, own.replayed, own.redeliveries, order, dirty);
        let order = (truth.key_order_violations, truth.dirty_reads);
        let expected = (truth.duplicates, truth.replayed, truth.redeliveries, order.0, order.1);
        let what = "duplicates, replayed, redeliveries, violations of key order, dirty reads";
        assert_eq!(found, expected, "{}: {what}", run.header.contender);
    }
}

/// Whether what a queue or a log keeps may go with its node.
fn may_go_with_its_node(header: &RunHeader) -> bool {
    let reasons = header.promises.iter().flat_map(|promise| &promise.allowed);
    let causes = ["in memory only", "lost with the power", "a disk that is lost", "leader", "may lead"];
    reasons.into_iter().any(|reason| causes.iter().any(|cause| reason.contains(cause)))
}

fn judge(seed: u64, text: fn(u64) -> String) {
    let source = Source::new(format!("swarm-{seed}.toml"), text(seed));
    let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut digests = Vec::new();
    for contender in 0..scenario.contenders.len() {
        let run = run_contender(&scenario, contender, Keep { events: true, messages: false }, &());
        agrees_with_the_oracle(&run);
        for own in &run.results.applications {
            assert_eq!(own.summary.fates.sum(), own.summary.offered);
            if !may_go_with_its_node(&run.header) {
                let lost = own.summary.fates[Fate::Lost];
                assert_eq!(lost, 0, "{}: what a disk has no node loses", run.header.contender);
            }
        }
        for verdict in &run.results.verdicts {
            let own = &run.results.applications[verdict.application.index()];
            let what = (verdict.guarantee.name(), verdict.application, verdict.breaks, own.out_of_order.first());
            assert_ne!(verdict.judgement, Judgement::Broken, "{}: {what:?}", run.header.contender);
        }
        let again = run_contender(&scenario, contender, Keep::default(), &());
        assert_eq!(run.fingerprint, again.fingerprint, "{}: a second run", run.header.contender);
        assert_eq!(run.results, again.results, "{}: with and without the event log", run.header.contender);
        digests.push((run.header.demand_digest, run.results.total.offered));
    }
    assert!(digests.windows(2).all(|pair| pair[0].0 == pair[1].0), "every contender gets the same demand");
}

/// Runs as many seeds as are asked for, or the one.
fn judge_all(name: &str, seeds: u64, text: fn(u64) -> String) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("BROKERLAB_SWARM_SEED") {
        println!("{}", text(seed));
        return judge(seed, text);
    }
    for seed in 0..number("BROKERLAB_SWARM").unwrap_or(seeds) {
        if let Err(panic) = std::panic::catch_unwind(|| judge(seed, text)) {
            eprintln!("replay: BROKERLAB_SWARM_SEED={seed} cargo test --test main {name} -- --nocapture");
            std::panic::resume_unwind(panic);
        }
    }
}

#[test]
fn small_random_scenarios_balance_their_books() {
    judge_all("small_random_scenarios", MIXED, texts::mixed);
}

#[test]
fn random_clusters_whose_nodes_go_down_balance_their_books() {
    judge_all("random_clusters", CLUSTERS, texts::clusters);
}

#[test]
fn random_logs_with_failures_seeks_and_resets_balance_their_books() {
    judge_all("random_logs", LOGS, texts::logs);
}
