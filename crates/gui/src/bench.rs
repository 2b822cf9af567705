//! Runs of a document, made aside, and what is kept of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, TryRecvError, channel};

use brokerlab_lab::analysis::{ContentView, GroupView, NotableKind, Timeline, Track, tracks};
use brokerlab_lab::event::{Duration, Event, EventLog, MessageId, Record, RunHeader, Time};
use brokerlab_lab::reporting::{Look, PlotSpec};
use brokerlab_lab::scenario::Wiring;
use brokerlab_lab::{Experiment, Keep, NoTheory, Outcome, Progress, no_theory};

use crate::platform;

/// A run of more events than this is asked for twice: it takes gigabytes.
pub const MANY_EVENTS: u64 = 30_000_000;
/// How many events a message is expected to have for each contender and application, at the most.
const EVENTS_A_MESSAGE: u64 = 8;

/// Among so many events after that of its removal a message is looked for as a dead letter.
const DEAD_LETTER_WITHIN: usize = 64;

/// The finished run of one contender, with the moment in it that is looked at.
pub struct Lane {
    /// Names and topology.
    pub header: RunHeader,
    /// Its events and the state at the moment.
    pub timeline: Timeline,
    /// How it looks in every plot.
    pub look: Look,
    /// How long a message travels between a client and the broker.
    pub latency: Duration,
    /// Its exchanges, and where they and its queues hand messages on.
    pub wiring: Wiring,
    /// What its consumers do over time.
    pub tracks: Arc<[Track]>,
    notables: Notables,
}

/// When what stands out happened: for each kind the places of its events in the log.
#[derive(Default)]
struct Notables {
    repeated: Vec<usize>,
    overtaken: Vec<usize>,
    /// With how many messages were lost up to there.
    lost: Vec<(usize, u64)>,
}

impl Lane {
    fn new(header: RunHeader, log: EventLog, look: Look, latency: Duration, wiring: Wiring) -> Lane {
        let tracks = tracks(&header, &log).into();
        let mut timeline = Timeline::new(&header, log);
        let (mut notables, mut lost) = (Notables::default(), 0);
        for notable in timeline.notables().to_vec() {
            match notable.kind {
                NotableKind::Duplicate => notables.repeated.push(notable.index),
                NotableKind::OutOfOrder => notables.overtaken.push(notable.index),
                NotableKind::Dropped if becomes_dead_letter(timeline.log().records(), notable.index) => {}
                NotableKind::NotAccepted | NotableKind::Dropped => {
                    lost += gone(&header, &mut timeline, notable.index);
                    notables.lost.push((notable.index, lost));
                }
                _ => {}
            }
        }
        timeline.seek_position(0);
        Lane { header, timeline, look, latency, wiring, tracks, notables }
    }

    fn before_now(&self, places: &[usize]) -> usize {
        let position = self.timeline.position();
        places.partition_point(|place| *place < position)
    }

    /// How many messages had been processed again by now.
    pub fn repeated(&self) -> usize {
        self.before_now(&self.notables.repeated)
    }

    /// How many messages had been processed after a later one of their key by now.
    pub fn overtaken(&self) -> usize {
        self.before_now(&self.notables.overtaken)
    }

    /// How many messages had been refused, dropped or given up by now.
    pub fn lost(&self) -> u64 {
        let position = self.timeline.position();
        let before = self.notables.lost.partition_point(|(place, _)| *place < position);
        before.checked_sub(1).map_or(0, |last| self.notables.lost[last].1)
    }

    /// Every event of a message, in order.
    pub fn life(&self, message: MessageId) -> Vec<Record> {
        let records = self.timeline.log().records().iter();
        records.filter(|record| message_of(record.event()) == Some(message)).copied().collect()
    }
}

/// How many messages go with an event: where a partition loses an end, those that not every group has been given.
fn gone(header: &RunHeader, timeline: &mut Timeline, index: usize) -> u64 {
    let (id, from, until) = match timeline.log().records()[index].event() {
        Event::Trimmed { store, until, .. } => (store, 0, until.get()),
        Event::Truncated { store, end } | Event::LeaderElected { store, end, .. } => (store, end.get(), u64::MAX),
        _ => return 1,
    };
    let store = &timeline.seek_position(index).stores[id.index()];
    let ContentView::Partition { start, groups, .. } = &store.content else { return 0 };
    let end = store.end.min(until);
    let unread = |group: &GroupView| end.saturating_sub(group.delivered.max(*start).max(from));
    header.served_by(id).iter().map(|application| unread(&groups[application.index()])).max().unwrap_or(0)
}

/// Whether a message that a queue gives up is taken by another as a dead letter, which happens in the same instant.
fn becomes_dead_letter(records: &[Record], index: usize) -> bool {
    let Event::Removed { message: given_up, .. } = records[index].event() else { return false };
    let at_once =
        records[index..].iter().take_while(|record| record.time == records[index].time).take(DEAD_LETTER_WITHIN);
    let mut events = at_once.map(|record| record.event());
    events.any(|event| matches!(event, Event::DeadLettered { message, .. } if message == given_up))
}

/// The message that an event is about, where it is about one.
pub fn message_of(event: Event) -> Option<MessageId> {
    match event {
        Event::Offered { message, .. }
        | Event::Sent { message, .. }
        | Event::Confirmed { message, .. }
        | Event::Refused { message, .. }
        | Event::Returned { message, .. }
        | Event::Replied { message, .. }
        | Event::Delivered { message, .. }
        | Event::Started { message, .. }
        | Event::Processed { message, .. }
        | Event::Settled { message, .. }
        | Event::Stored { message, .. }
        | Event::Removed { message, .. }
        | Event::Requeued { message, .. }
        | Event::Missed { message, .. }
        | Event::Unrouted { message, .. }
        | Event::DeadLettered { message, .. }
        | Event::Declined { message, .. }
        | Event::Failed { message, .. }
        | Event::Deduplicated { message, .. }
        | Event::Aborted { message, .. }
        | Event::SendExpired { message, .. }
        | Event::SetAside { message, .. }
        | Event::Released { message, .. }
        | Event::Archived { message, .. } => Some(message),
        _ => None,
    }
}

/// Everything that is kept of the runs of a document.
pub struct Finished {
    /// What was run.
    pub experiment: Arc<Experiment>,
    /// What it came to; its events are in the lanes.
    pub outcome: Arc<Outcome>,
    /// The contenders.
    pub lanes: Vec<Lane>,
    /// The plots, the deciding one first.
    pub plots: Vec<Arc<PlotSpec>>,
    /// For each application why queueing theory says nothing of it, where it does not.
    pub no_theory: Vec<Option<NoTheory>>,
}

impl Finished {
    fn new(experiment: Experiment, mut outcome: Outcome) -> Finished {
        let looks = outcome.report.looks();
        let scenario = &experiment.scenario;
        let runs = outcome.runs.iter_mut().zip(looks).zip(&experiment.contenders);
        let lanes = runs.map(|((run, look), contender)| {
            let log = run.events.take().expect("the events were to be kept");
            let wiring = Wiring::of(scenario, &scenario.contenders[*contender]);
            Lane::new(run.header.clone(), log, look, scenario.network.latency, wiring)
        });
        let lanes = lanes.collect();
        let plots = outcome.report.plots().into_iter().map(Arc::new).collect();
        let applications = 0..scenario.demand.applications.len();
        let no_theory = applications.map(|index| no_theory(scenario, &experiment.contenders, index)).collect();
        Finished { experiment: Arc::new(experiment), outcome: Arc::new(outcome), lanes, plots, no_theory }
    }

    /// When the runs end.
    pub fn horizon(&self) -> Time {
        self.lanes.first().map_or(Time::ZERO, |lane| lane.header.horizon)
    }

    /// The plot of this name.
    pub fn plot(&self, name: &str) -> Option<&Arc<PlotSpec>> {
        self.plots.iter().find(|plot| plot.name == name)
    }

    /// How many events the runs have.
    pub fn events(&self) -> usize {
        self.lanes.iter().map(|lane| lane.timeline.log().len()).sum()
    }

    /// The contenders whose events before a time are not those of another run: none, where all that was done to the
    /// scenario begins at that time.
    pub fn differing_before(&self, other: &Finished, time: Time) -> Vec<&str> {
        let before = |lane: &Lane| {
            let records = lane.timeline.log().records();
            records.partition_point(|record| record.time < time)
        };
        let differs = |lane: &&Lane| {
            let name = &lane.header.contender;
            let Some(own) = other.lanes.iter().find(|own| own.header.contender == *name) else { return true };
            lane.timeline.log().records()[..before(lane)] != own.timeline.log().records()[..before(own)]
        };
        self.lanes.iter().filter(differs).map(|lane| lane.header.contender.as_str()).collect()
    }
}

/// How many events the runs of an experiment will have, roughly and rather too many.
pub fn expected_events(experiment: &Experiment) -> u64 {
    let applications = experiment.scenario.demand.applications.len() as u64;
    let messages = experiment.scenario.expected_messages() as u64;
    let runs = experiment.contenders.len() as u64;
    messages.saturating_mul(runs).saturating_mul(4 + EVENTS_A_MESSAGE * applications)
}

/// Runs that are being made aside.
pub struct Job {
    answers: Receiver<Finished>,
    told: Arc<Told>,
}

/// What the workers and the window tell each other.
struct Told {
    /// How far each contender of the scenario is, in thousandths.
    parts: Vec<AtomicU32>,
    contenders: Vec<usize>,
    cancelled: AtomicBool,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl Progress for Told {
    fn advance(&self, contender: usize, part: f64) {
        self.parts[contender].store((part * 1000.0) as u32, Ordering::Relaxed);
        (self.wake)();
    }
}

/// What has become of a job.
pub enum Answer {
    /// It is going on.
    Pending,
    /// It is done.
    Done(Box<Finished>),
    /// It was given up.
    GivenUp,
}

impl Job {
    /// Begins the runs of an experiment. `wake` is called whenever there is something new to see.
    pub fn start(experiment: Experiment, wake: impl Fn() + Send + Sync + 'static) -> Job {
        let parts = experiment.scenario.contenders.iter().map(|_| AtomicU32::new(0)).collect();
        let contenders = experiment.contenders.clone();
        let told = Told { parts, contenders, cancelled: AtomicBool::new(false), wake: Box::new(wake) };
        let told = Arc::new(told);
        let (sender, answers) = channel();
        let teller = told.clone();
        platform::spawn(move || {
            let threads = platform::cores().min(experiment.contenders.len());
            let keep = Keep { events: true, messages: false };
            let outcome = experiment.run_cancellable(threads, keep, &*teller, &teller.cancelled);
            if let Some(outcome) = outcome {
                // Nobody listens any more where the window was closed meanwhile.
                let _ = sender.send(Finished::new(experiment, outcome));
            }
            drop(sender);
            (teller.wake)();
        });
        Job { answers, told }
    }

    /// How far it is, from 0 to 1.
    pub fn part(&self) -> f32 {
        let parts = self.told.contenders.iter().map(|contender| self.told.parts[*contender].load(Ordering::Relaxed));
        parts.sum::<u32>() as f32 / (1000 * self.told.contenders.len().max(1)) as f32
    }

    /// Has it given up soon.
    pub fn cancel(&self) {
        self.told.cancelled.store(true, Ordering::Relaxed);
    }

    /// What has become of it by now.
    pub fn answer(&self) -> Answer {
        match self.answers.try_recv() {
            Ok(finished) => Answer::Done(Box::new(finished)),
            Err(TryRecvError::Empty) => Answer::Pending,
            Err(TryRecvError::Disconnected) => Answer::GivenUp,
        }
    }

    /// What becomes of it, however long that takes.
    pub fn wait(self) -> Option<Finished> {
        self.answers.recv().ok()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.cancel();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Document, Edit, Poke, PokeAction};
    use brokerlab_lab::Request;

    fn run(document: &Document) -> Finished {
        let experiment = document.experiment().expect("it can be run");
        Job::start(experiment, || {}).wait().expect("nobody gives it up")
    }

    fn opened() -> Document {
        Document::open(Request { scenario: "consumer-dies".into(), ..Request::default() }).expect("it is bundled")
    }

    #[test]
    fn a_poke_leaves_everything_before_it_as_it_was_and_can_be_undone() {
        let mut document = opened();
        let plain = run(&document);
        let at = Time::from_nanos(10_000_000_000);
        let poke = Poke { action: PokeAction::Kill, target: "billing/1".into(), at, until: None, contender: None };
        document.edit(Edit::Poke(poke));
        let poked = run(&document);
        assert!(poked.differing_before(&plain, at).is_empty(), "what came before is the same");
        assert_eq!(poked.differing_before(&plain, plain.horizon()).len(), 3, "it reaches every contender");
        assert!(document.undo());
        let again = run(&document);
        let prints = |finished: &Finished| finished.outcome.runs.iter().map(|r| r.fingerprint).collect::<Vec<_>>();
        assert_eq!(prints(&again), prints(&plain));
        assert_ne!(prints(&again), prints(&poked));
    }

    #[test]
    fn a_poke_at_one_contender_leaves_the_other_as_it_was() {
        let mut document = opened();
        let plain = run(&document);
        let (at, contender) = (Time::from_nanos(10_000_000_000), Some("queue".to_string()));
        document.edit(Edit::Poke(Poke {
            action: PokeAction::Pause,
            target: "billing/1".into(),
            at,
            until: None,
            contender,
        }));
        let poked = run(&document);
        assert_eq!(poked.differing_before(&plain, plain.horizon()), ["queue"]);
    }

    #[test]
    fn a_job_that_is_cancelled_gives_up() {
        let job = Job::start(opened().experiment().expect("it can be run"), || {});
        job.cancel();
        assert!(job.wait().is_none_or(|finished| finished.events() > 0));
    }

    #[test]
    fn the_events_of_a_run_are_expected_within_bounds() {
        let document = opened();
        let expected = expected_events(&document.experiment().expect("it can be run"));
        let real = run(&document).events() as u64;
        assert!(real <= expected && expected < 4 * real, "{expected} expected, {real} found");
    }
}
