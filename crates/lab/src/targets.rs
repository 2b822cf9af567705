//! The same faults on every target that they could have hit as well.

use std::sync::atomic::AtomicBool;

use brokerlab_report::Report;
use brokerlab_report::columns::{ALL, SummaryRow, TargetRow};
use brokerlab_scenario::{Scenario, Target};

use crate::expectation::judge;
use crate::run::{Keep, Progress, run_cancellable};

/// A scenario in which those faults that have one target hit another instead.
pub(crate) struct Variation {
    /// The faults as the scenario names them.
    fault: String,
    /// Whom they hit.
    target: String,
    scenario: Scenario,
}

impl Variation {
    /// Every fault on each of its targets in turn, while the others stay as they are. Faults on one and the same target
    /// move together.
    pub fn all(scenario: &Scenario) -> Vec<Variation> {
        let mut targets: Vec<Target> = Vec::new();
        for fault in &scenario.faults {
            if !targets.contains(&fault.target) {
                targets.push(fault.target);
            }
        }
        targets.into_iter().flat_map(|target| Variation::of(scenario, target)).collect()
    }

    fn of(scenario: &Scenario, target: Target) -> Vec<Variation> {
        let faults = scenario.faults.iter().filter(|fault| fault.target == target);
        let mut names: Vec<String> = Vec::new();
        for name in faults.map(|fault| scenario.fault_name(fault)) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        let hit = |other: &Target| {
            let mut varied = scenario.clone();
            varied.faults.iter_mut().filter(|fault| fault.target == target).for_each(|fault| fault.target = *other);
            Variation { fault: names.join(", "), target: scenario.target_name(*other), scenario: varied }
        };
        scenario.equals(target).iter().map(hit).collect()
    }

    /// What it comes to. Nothing where the run was cancelled.
    pub fn run(
        &self,
        contenders: &[usize],
        threads: usize,
        (progress, cancelled): (&dyn Progress, &AtomicBool),
    ) -> Option<Vec<TargetRow>> {
        let runs = run_cancellable(threads, &self.scenario, contenders, Keep::default(), (progress, cancelled))?;
        let findings = judge(&self.scenario, &runs);
        let mut report = Report::default();
        for run in &runs {
            report.add(&run.header, &run.results, (run.fingerprint.client(), run.fingerprint.full()));
        }
        let row = |summary: &SummaryRow| {
            let failing = findings.iter().filter(|finding| !finding.holds && finding.contender == summary.contender);
            TargetRow::new(summary, &self.fault, &self.target, failing.count())
        };
        Some(report.summary.iter().filter(|summary| summary.application != ALL).map(row).collect())
    }
}

/// One of several runs in a row, which all together are told as one.
pub(crate) struct Part<'p> {
    pub whole: &'p dyn Progress,
    pub place: usize,
    pub of: usize,
}

impl Progress for Part<'_> {
    fn advance(&self, contender: usize, part: f64) {
        self.whole.advance(contender, (self.place as f64 + part) / self.of as f64);
    }
}
