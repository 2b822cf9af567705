//! What must hold of every scenario.

use brokerlab_analysis::{Fate, Judgement, oracle};
use brokerlab_event::{ApplicationId, RunHeader};
use brokerlab_lab::{Keep, Run, run_prepared};
use brokerlab_scenario::{Scenario, Source};

use brokerlab_sim::Simulation;

use crate::Kind;

/// Runs the scenario of a seed with every contender, twice, and holds it against everything that must hold.
///
/// # Panics
/// Panics at the first thing that does not hold.
pub fn judge(kind: Kind, seed: u64) {
    judge_prepared(kind, seed, &|_| ());
}

/// [`judge`], where something is done to every simulation before it begins.
///
/// # Panics
/// Panics at the first thing that does not hold.
pub fn judge_prepared(kind: Kind, seed: u64, prepare: &dyn Fn(&mut Simulation)) {
    let source = Source::new(format!("swarm-{seed}.toml"), kind.scenario(seed));
    let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut digests = Vec::new();
    for contender in 0..scenario.contenders.len() {
        let run = run_prepared(&scenario, contender, Keep { events: true, messages: false }, prepare);
        balances(&run);
        agrees_with_the_oracle(&run);
        keeps_its_promises(&run);
        let again = run_prepared(&scenario, contender, Keep::default(), prepare);
        assert_eq!(run.fingerprint, again.fingerprint, "{}: a second run", run.header.contender);
        assert_eq!(run.results, again.results, "{}: with and without the event log", run.header.contender);
        digests.push((run.header.demand_digest, run.results.total.offered));
    }
    assert!(digests.windows(2).all(|pair| pair[0].0 == pair[1].0), "every contender gets the same demand");
}

fn balances(run: &Run) {
    for own in &run.results.applications {
        assert_eq!(own.summary.fates.sum(), own.summary.offered, "{}: one fate for each", run.header.contender);
        if !may_go_with_its_node(&run.header) {
            let lost = own.summary.fates[Fate::Lost];
            assert_eq!(lost, 0, "{}: what a disk has no node loses", run.header.contender);
        }
    }
}

/// Whether what a queue or a log keeps may go with its node.
fn may_go_with_its_node(header: &RunHeader) -> bool {
    let reasons = header.promises.iter().flat_map(|promise| &promise.allowed);
    let causes = ["in memory only", "lost with the power", "a disk that is lost", "leader", "may lead"];
    reasons.into_iter().any(|reason| causes.iter().any(|cause| reason.contains(cause)))
}

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

fn keeps_its_promises(run: &Run) {
    for verdict in &run.results.verdicts {
        let own = &run.results.applications[verdict.application.index()];
        let what = (verdict.guarantee.name(), verdict.application, verdict.breaks, own.out_of_order.first());
        assert_ne!(verdict.judgement, Judgement::Broken, "{}: {what:?}", run.header.contender);
    }
}
