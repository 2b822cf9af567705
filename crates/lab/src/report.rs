//! What is told about an experiment.

use brokerlab_report::table::Decimal;
use brokerlab_report::{Expectation, Meta, Report};
use brokerlab_scenario::{Arrivals, Scenario};

use crate::expectation::{Finding, display};
use crate::experiment::Experiment;
use crate::run::{Keep, Run};
use crate::theory;

/// The version of the engine, which is part of a run's identity.
pub const ENGINE: &str = env!("CARGO_PKG_VERSION");

/// Everything that is told about the runs of an experiment.
pub(crate) fn report(experiment: &Experiment, runs: &[Run], findings: &[Finding], keep: Keep) -> Report {
    let scenario = &experiment.scenario;
    let mut report = Report::new(Meta {
        name: experiment.name.clone(),
        title: scenario.title.clone(),
        question: scenario.question.clone().unwrap_or_default(),
        explanation: scenario.explanation.clone().unwrap_or_default(),
        deciding_plot: scenario.plot.clone().unwrap_or_default(),
        command: experiment.command(keep),
        engine: ENGINE.to_string(),
        seed: scenario.seed,
        demand_digest: runs.first().map_or(0, |run| run.header.demand_digest),
        trace_digest: trace_digest(scenario),
        horizon: Decimal(scenario.duration.as_nanos()),
        warm_up: Decimal(scenario.warm_up.as_nanos()),
        answering: answering(scenario),
        contenders: Vec::new(),
        theory: Vec::new(),
        expectations: findings.iter().map(|finding| expectation(scenario, finding)).collect(),
    });
    theory::note(&mut report.meta, scenario, &experiment.contenders);
    for run in runs {
        report.add(&run.header, &run.results, (run.fingerprint.client(), run.fingerprint.full()));
    }
    report
}

fn answering(scenario: &Scenario) -> Vec<String> {
    let applications = scenario.demand.applications.iter();
    applications.filter(|application| application.answer).map(|application| application.name.clone()).collect()
}

fn trace_digest(scenario: &Scenario) -> Option<u64> {
    match &scenario.demand.arrivals {
        Arrivals::Trace(trace) => Some(trace.file_digest()),
        Arrivals::Law { .. } => None,
    }
}

fn expectation(scenario: &Scenario, finding: &Finding) -> Expectation {
    let name = scenario.expectations[finding.expectation].name.as_ref();
    let name = name.map(|name| format!("{name} · ")).unwrap_or_default();
    Expectation {
        text: format!("{name}{}", finding.claim()),
        holds: finding.holds,
        found: format!("{} is {}", finding.metric.name, finding.found_text()),
    }
}

impl Finding {
    /// What was expected: `queue, billing: lost = 0`.
    pub fn claim(&self) -> String {
        let of: String = self.application.iter().chain(&self.kind).map(|name| format!(", {name}")).collect();
        let signed = self.expected.starts_with(['=', '!', '<', '>']);
        let sign = if signed { "" } else { "= " };
        format!("{}{of}: {} {sign}{}", self.contender, self.metric.name, self.expected)
    }

    /// What was found, with its unit.
    pub fn found_text(&self) -> String {
        self.found.map_or("nothing".to_string(), |found| display(self.metric.quantity, found))
    }
}
