//! The scenario as it lies open: where it came from, and the edits made to it since.

use brokerlab_lab::event::{Duration, Time};
use brokerlab_lab::scenario::Source;
use brokerlab_lab::{Experiment, LabError, Request};

/// Something done to somebody at a time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Poke {
    /// What.
    pub action: PokeAction,
    /// To whom: the name of a client, such as `billing/2`, or the [`BROKER`].
    pub target: String,
    /// When it begins.
    pub at: Time,
    /// When it is over. `None`: not within the run.
    pub until: Option<Time>,
    /// The contender that alone it reaches. `None`: it reaches all.
    pub contender: Option<String>,
}

/// How scenarios name the broker.
pub const BROKER: &str = "broker";

/// What can be done to a client, and the first of it to the broker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PokeAction {
    /// Its process dies.
    Kill,
    /// Its work takes five times as long.
    Slow,
    /// It stands still, without even a heartbeat.
    Pause,
    /// Its connection breaks, and no other can be made.
    CutOff,
}

impl PokeAction {
    /// Every action.
    pub const ALL: [PokeAction; 4] = [PokeAction::Kill, PokeAction::Slow, PokeAction::Pause, PokeAction::CutOff];

    /// What a button says: `Kill`.
    pub fn verb(self) -> &'static str {
        match self {
            PokeAction::Kill => "Kill",
            PokeAction::Slow => "Slow",
            PokeAction::Pause => "Pause",
            PokeAction::CutOff => "Cut off",
        }
    }

    /// What the button says while it is on: `Restore`.
    pub fn undoing(self) -> &'static str {
        match self {
            PokeAction::Kill => "Restore",
            PokeAction::Slow => "Speed up",
            PokeAction::Pause => "Resume",
            PokeAction::CutOff => "Reconnect",
        }
    }

    /// The word of scenario files.
    fn word(self) -> &'static str {
        match self {
            PokeAction::Kill => "crash",
            PokeAction::Slow => "slow",
            PokeAction::Pause => "pause",
            PokeAction::CutOff => "reset",
        }
    }

    /// Producers cannot be slowed or paused: the demand says when they send.
    pub fn is_for_producers(self) -> bool {
        matches!(self, PokeAction::Kill | PokeAction::CutOff)
    }
}

/// By how much slow is slower.
const SLOWER: &str = "5";

impl Poke {
    /// What the scrubber calls it: `kill billing/2`.
    pub fn label(&self) -> String {
        format!("{} {}", self.action.verb().to_lowercase(), self.target)
    }

    /// True where it is going on at this time, in a contender.
    pub fn is_on(&self, time: Time, contender: Option<&str>) -> bool {
        let reaches = self.contender.is_none() || contender.is_none() || self.contender.as_deref() == contender;
        reaches && self.at <= time && self.until.is_none_or(|until| time < until)
    }

    /// The poke as an entry of `fault` in the scenario.
    fn setting(&self) -> String {
        let at = Duration::from_nanos(self.at.as_nanos());
        let mut fault = format!("fault+={{ at = \"{at}\"");
        if let Some(until) = self.until {
            fault += &format!(", for = \"{}\"", Duration::from_nanos(until.as_nanos() - self.at.as_nanos()));
        } else if self.action == PokeAction::CutOff {
            // A reset without an end is over at once.
            fault += ", for = \"10000d\"";
        }
        fault += &format!(", {} = \"{}\"", self.action.word(), self.target);
        if self.action == PokeAction::Slow {
            fault += &format!(", factor = {SLOWER}.0");
        }
        if let Some(contender) = &self.contender {
            fault += &format!(", contender = \"{contender}\"");
        }
        fault + " }"
    }
}

/// A step that can be undone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Edit {
    /// Somebody is poked.
    Poke(Poke),
    /// A poke, by its place among all, ends.
    Restore {
        /// Which.
        poke: usize,
        /// When.
        at: Time,
    },
    /// A value of the scenario is another: a path and a value, as for `--set`.
    Set {
        /// The path: `contender.queue.prefetch`.
        path: String,
        /// The value as TOML.
        value: String,
    },
}

/// A scenario with the edits made to it.
#[derive(Clone, Debug)]
pub struct Document {
    /// What was opened: a bundled name or a path, with settings of the command line.
    request: Request,
    name: String,
    source: Source,
    edits: Vec<Edit>,
    /// How many of the edits hold; those behind can be done again.
    done: usize,
    saved: usize,
}

impl Document {
    /// Opens a scenario as the command line does.
    pub fn open(request: Request) -> Result<Document, LabError> {
        let Experiment { name, source, request, .. } = Experiment::open(request)?;
        Ok(Document { request, name, source, edits: Vec::new(), done: 0, saved: 0 })
    }

    /// Its short name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it was opened by: a bundled name or a path.
    pub fn origin(&self) -> &str {
        &self.request.scenario
    }

    /// The pokes that hold, in the order in which they were made, with what ended them.
    pub fn pokes(&self) -> Vec<Poke> {
        let mut pokes = Vec::new();
        for edit in &self.edits[..self.done] {
            match edit {
                Edit::Poke(poke) => pokes.push(poke.clone()),
                Edit::Restore { poke, at } => pokes[*poke].until = Some(*at),
                Edit::Set { .. } => {}
            }
        }
        pokes
    }

    /// Every setting that the edits come to. Of several values of one path the last holds.
    pub fn settings(&self) -> Vec<String> {
        let mut settings = self.request.settings.clone();
        let mut set: Vec<(&str, &str)> = Vec::new();
        for edit in &self.edits[..self.done] {
            if let Edit::Set { path, value } = edit {
                set.retain(|(known, _)| known != path);
                set.push((path, value));
            }
        }
        settings.extend(set.into_iter().map(|(path, value)| format!("{path}={value}")));
        settings.extend(self.pokes().iter().map(Poke::setting));
        settings
    }

    /// The last edit in words, where there is one: `contender.queue.prefetch = 1`.
    pub fn last_edit(&self) -> Option<String> {
        match self.edits[..self.done].last()? {
            Edit::Poke(poke) => Some(format!("{} at {} s", poke.label(), poke.at.as_nanos() as f64 / 1e9)),
            Edit::Restore { poke, at } => {
                let poke = &self.pokes()[*poke];
                Some(format!("{} {} at {} s", poke.action.undoing(), poke.target, at.as_nanos() as f64 / 1e9))
            }
            Edit::Set { path, value } => Some(format!("{path} = {value}")),
        }
    }

    /// Makes an edit. What was undone before can no longer be done again.
    pub fn edit(&mut self, edit: Edit) {
        self.edits.truncate(self.done);
        self.edits.push(edit);
        self.done += 1;
    }

    /// Takes the last edit back. Nothing where there is none.
    pub fn undo(&mut self) -> bool {
        let can = self.can_undo();
        self.done -= usize::from(can);
        can
    }

    /// Makes the edit again that was taken back last.
    pub fn redo(&mut self) -> bool {
        let can = self.can_redo();
        self.done += usize::from(can);
        can
    }

    /// Whether there is something to take back.
    pub fn can_undo(&self) -> bool {
        self.done > 0
    }

    /// Whether something was taken back.
    pub fn can_redo(&self) -> bool {
        self.done < self.edits.len()
    }

    /// The last edit came to nothing that can be run, so it is as if it had not been made.
    pub fn drop_last_edit(&mut self) {
        if self.undo() {
            self.edits.truncate(self.done);
        }
    }

    /// Whether edits were made since it was opened or saved.
    pub fn is_changed(&self) -> bool {
        self.done != self.saved
    }

    /// Ready to be run. An edit may have led to something that no scenario can be.
    pub fn experiment(&self) -> Result<Experiment, LabError> {
        let request = Request { settings: self.settings(), ..self.request.clone() };
        Experiment::from_source(self.name.clone(), self.source.clone(), request)
    }

    /// The scenario's text with every edit in it, its comments kept.
    pub fn text(&self) -> Result<String, LabError> {
        Ok(self.source.with_settings(&self.settings())?.text().to_string())
    }

    /// The text as it was opened.
    pub fn original(&self) -> &str {
        self.source.text()
    }

    /// It was written to a file, and everything is there.
    pub fn mark_saved(&mut self) {
        self.saved = self.done;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn opened() -> Document {
        Document::open(Request { scenario: "consumer-dies".into(), ..Request::default() }).expect("it is bundled")
    }

    fn kill(target: &str, seconds: u64) -> Edit {
        let target = target.to_string();
        Edit::Poke(Poke { action: PokeAction::Kill, target, at: at(seconds), until: None, contender: None })
    }

    #[test]
    fn edits_become_settings_and_can_be_undone_and_done_again() {
        let mut document = opened();
        document.edit(kill("billing/1", 5));
        document.edit(Edit::Restore { poke: 0, at: at(8) });
        document.edit(Edit::Set { path: "demand.rate".into(), value: "\"10/s\"".into() });
        document.edit(Edit::Set { path: "demand.rate".into(), value: "\"20/s\"".into() });
        let all = ["demand.rate=\"20/s\"", "fault+={ at = \"5s\", for = \"3s\", crash = \"billing/1\" }"];
        assert_eq!(document.settings(), all);
        assert!(document.undo() && document.undo() && document.undo());
        assert_eq!(document.settings(), ["fault+={ at = \"5s\", crash = \"billing/1\" }"]);
        assert!(document.redo());
        assert_eq!(document.pokes()[0].until, Some(at(8)));
        document.edit(kill("billing/2", 9));
        assert!(!document.redo(), "a new edit ends what could be done again");
    }

    #[test]
    fn every_poke_is_a_fault_that_scenario_files_know() {
        for action in PokeAction::ALL {
            for (until, contender) in [(None, None), (Some(at(9)), Some("log".to_string()))] {
                let mut document = opened();
                let poke = Poke { action, target: "billing/2".into(), at: at(5), until, contender };
                document.edit(Edit::Poke(poke));
                let before = opened().experiment().expect("it is bundled").scenario.faults.len();
                let experiment = document.experiment().unwrap_or_else(|error| panic!("{action:?}: {error}"));
                assert_eq!(experiment.scenario.faults.len(), before + 1, "{action:?}");
                assert!(document.text().expect("it is TOML").contains("billing/2"));
            }
        }
    }
}
