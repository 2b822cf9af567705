//! Running a scenario: each contender by itself, side by side on threads.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use brokerlab_analysis::{Analysis, Laws, Options as AnalysisOptions, Results};
use brokerlab_event::{Duration, EventLog, Fingerprint, RunHeader, Time};
use brokerlab_scenario::{Plan, Scenario, compile};
use brokerlab_sim::Simulation;

/// What a run keeps beside its results.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Keep {
    /// A row for every message and application.
    pub messages: bool,
    /// Every event.
    pub events: bool,
}

/// One contender's run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Names, topology and promises.
    pub header: RunHeader,
    /// What it came to.
    pub results: Results,
    /// Digest of its events.
    pub fingerprint: Fingerprint,
    /// Its events, where they were to be kept.
    pub events: Option<EventLog>,
}

/// Who is told how far the runs are. Called from several threads.
pub trait Progress: Sync {
    /// A contender has come this far, in parts of the whole from 0 to 1.
    fn advance(&self, contender: usize, part: f64);
}

/// Nobody.
impl Progress for () {
    fn advance(&self, _: usize, _: f64) {}
}

/// How often a run reports its progress.
const REPORTS: u64 = 200;

/// What a run is that nobody may cancel.
pub(crate) const UNCANCELLED: &str = "a run comes to its end where nobody cancels it";

/// Runs one contender of a scenario.
pub fn run_contender(scenario: &Scenario, contender: usize, keep: Keep, progress: &dyn Progress) -> Run {
    run_one(scenario, contender, keep, progress, &AtomicBool::new(false)).expect(UNCANCELLED)
}

/// [`run_contender`], where something is done to the simulation before it begins.
pub fn run_prepared(scenario: &Scenario, contender: usize, keep: Keep, prepare: &dyn Fn(&mut Simulation)) -> Run {
    let plan = compile(scenario, contender);
    let mut simulation = Simulation::new(&plan);
    prepare(&mut simulation);
    observe(&plan, simulation, keep, |_| true).expect(UNCANCELLED)
}

fn run_one(
    scenario: &Scenario,
    contender: usize,
    keep: Keep,
    progress: &dyn Progress,
    cancelled: &AtomicBool,
) -> Option<Run> {
    let plan = compile(scenario, contender);
    let report = |part| {
        progress.advance(contender, part);
        !cancelled.load(Ordering::Relaxed)
    };
    let simulation = Simulation::new(&plan);
    observe(&plan, simulation, keep, report)
}

/// Lets everybody observe a simulation to its end.
fn observe(plan: &Plan, mut simulation: Simulation, keep: Keep, report: impl Fn(f64) -> bool) -> Option<Run> {
    let analysis = Analysis::new(&plan.header, AnalysisOptions { messages: keep.messages, ..Default::default() });
    // Whatever was asked for, every run is held against the laws of logs and groups.
    let judges = (Fingerprint::default(), analysis, Laws::new(&plan.header));
    // Two instantiations of the engine: with the event log and without.
    let ((fingerprint, analysis, _), events) = if keep.events {
        let mut observers = (judges, EventLog::default());
        drive(&mut simulation, plan, &mut observers, report)?;
        (observers.0, Some(observers.1))
    } else {
        let mut judges = judges;
        drive(&mut simulation, plan, &mut judges, report)?;
        (judges, None)
    };
    let results = analysis.finish(plan.header.horizon);
    Some(Run { header: plan.header.clone(), results, fingerprint, events })
}

/// Runs to the end, or to where a report is answered with `false`: then there is nothing.
fn drive(
    simulation: &mut Simulation,
    plan: &Plan,
    observers: &mut impl brokerlab_event::Observer,
    report: impl Fn(f64) -> bool,
) -> Option<()> {
    let horizon = plan.header.horizon;
    let stretch = Duration::from_nanos((horizon.as_nanos() / REPORTS).max(1));
    let mut until = Time::ZERO;
    while !simulation.is_finished() {
        until = until.saturating_add(stretch).min(horizon);
        simulation.run_until(until, &plan.header, observers);
        if !report(until.as_nanos() as f64 / horizon.as_nanos() as f64) {
            return None;
        }
    }
    Some(())
}

/// Runs several contenders, each on a thread of its own as far as the machine has cores. The results are in the
/// order asked for and the same with any number of threads, since runs share nothing.
pub fn run(scenario: &Scenario, contenders: &[usize], keep: Keep, progress: &dyn Progress) -> Vec<Run> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(contenders.len());
    run_on(threads, scenario, contenders, keep, progress)
}

/// [`run`] on a given number of threads.
pub fn run_on(
    threads: usize,
    scenario: &Scenario,
    contenders: &[usize],
    keep: Keep,
    progress: &dyn Progress,
) -> Vec<Run> {
    run_cancellable(threads, scenario, contenders, keep, (progress, &AtomicBool::new(false))).expect(UNCANCELLED)
}

/// [`run_on`], given up soon after somebody sets the flag; then there is nothing.
pub fn run_cancellable(
    threads: usize,
    scenario: &Scenario,
    contenders: &[usize],
    keep: Keep,
    (progress, cancelled): (&dyn Progress, &AtomicBool),
) -> Option<Vec<Run>> {
    let runs: Vec<Mutex<Option<Run>>> = contenders.iter().map(|_| Mutex::new(None)).collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((place, &contender)) = {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    runs.get(index).zip(contenders.get(index))
                } {
                    let run = run_one(scenario, contender, keep, progress, cancelled);
                    *place.lock().expect("nobody panics while holding it") = run;
                }
            });
        }
    });
    runs.into_iter().map(|place| place.into_inner().expect("nobody panics while holding it")).collect()
}
