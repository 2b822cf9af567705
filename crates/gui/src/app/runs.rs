//! Where scenarios are opened, edits are run, and runs come and go.

use std::path::PathBuf;
use std::sync::mpsc::channel;

use brokerlab_lab::event::{Model, Time};
use brokerlab_lab::reporting::grouped;
use brokerlab_lab::{Experiment, Request};
use eframe::egui::Context;

use super::{App, BUILT_IN, Ghost, Screen};
use crate::bench::{Answer, Finished, Job, MANY_EVENTS, expected_events};
use crate::charts::Slot;
use crate::document::{Document, Edit};
use crate::platform;
use crate::player::Player;
use crate::stage::Selection;

impl App {
    /// Opens a bundled scenario or a file.
    pub(crate) fn open(&mut self, ctx: &Context, scenario: String) {
        self.window = None;
        self.open_request(ctx, Request { scenario, ..Request::default() });
    }

    pub(super) fn open_request(&mut self, ctx: &Context, request: Request) {
        let (sender, receiver) = channel();
        let repaint = ctx.clone();
        platform::spawn(move || {
            // Nobody listens any more where the window was closed meanwhile.
            let _ = sender.send(Document::open(request));
            repaint.request_repaint();
        });
        self.opening = Some(receiver);
    }

    fn opened(&mut self, ctx: &Context, document: Document) {
        let path = PathBuf::from(document.origin());
        self.watched = platform::changed(&path).map(|changed| (path, changed));
        self.stale = false;
        if document.origin() != BUILT_IN || self.screen == Screen::Compare {
            self.settings.opened(document.origin());
            self.remember();
        }
        self.export.file = format!("{}.toml", document.name());
        self.ghost = None;
        self.document = Some(document);
        self.pending = None;
        self.run(ctx, true);
    }

    /// Makes a change and runs it. `from` is when the change begins to matter, where that is known.
    pub(crate) fn edit(&mut self, ctx: &Context, edit: Edit, from: Option<Time>) {
        let Some(document) = &mut self.document else { return };
        document.edit(edit);
        let difference = document.last_edit().unwrap_or_default();
        self.pending = Some((difference, from));
        self.run(ctx, false);
    }

    fn run(&mut self, ctx: &Context, is_new: bool) {
        let Some(document) = &mut self.document else { return };
        let experiment = match document.experiment() {
            Ok(experiment) => experiment,
            Err(error) => {
                document.drop_last_edit();
                self.pending = None;
                self.reset_values();
                return self.complain(error.to_string());
            }
        };
        self.problem = None;
        let events = expected_events(&experiment);
        if is_new && events > MANY_EVENTS {
            self.large = Some((experiment, events));
            return;
        }
        self.start(ctx, experiment);
    }

    pub(super) fn start(&mut self, ctx: &Context, experiment: Experiment) {
        let repaint = ctx.clone();
        self.job = Some(Job::start(experiment, move || repaint.request_repaint()));
    }

    fn reset_values(&mut self) {
        let values = self.finished.as_ref().map(|finished| finished.experiment.scenario.values());
        self.values = values.unwrap_or_default().into_iter().map(|value| (value.clone(), value.value)).collect();
    }

    /// Takes what threads have brought.
    pub(super) fn receive(&mut self, ctx: &Context) {
        let told = std::mem::take(&mut *self.told.lock().expect("nobody panics while holding it"));
        for told in told {
            match told {
                Ok(text) => self.tell(text),
                Err(text) => self.complain(text),
            }
        }
        if let Some(receiver) = &self.opening
            && let Ok(answer) = receiver.try_recv()
        {
            self.opening = None;
            match answer {
                Ok(document) => self.opened(ctx, document),
                Err(error) => self.complain(error.to_string()),
            }
        }
        self.take_answer(ctx);
        match self.job.as_ref().map(Job::answer) {
            Some(Answer::Done(finished)) => self.arrived(*finished),
            Some(Answer::GivenUp) => {
                self.job = None;
                if self.pending.take().is_some()
                    && let Some(document) = &mut self.document
                {
                    document.drop_last_edit();
                }
                self.tell("the run was given up".into());
            }
            Some(Answer::Pending) | None => {}
        }
    }

    fn arrived(&mut self, mut finished: Finished) {
        self.job = None;
        self.lives.clear();
        let same = self.finished.as_ref().is_some_and(|old| old.experiment.name == finished.experiment.name);
        let time = if same { self.player.time } else { Time::ZERO };
        match (self.pending.take(), self.finished.take()) {
            (Some((difference, from)), Some(old)) => {
                if let Some(from) = from {
                    let differing = finished.differing_before(&old, from);
                    if !differing.is_empty() {
                        // A promise of the program that is not kept: this is a mistake in it.
                        self.problem =
                            Some(format!("what came before the poke has changed in {}", differing.join(", ")));
                    }
                }
                self.status = String::new();
                self.ghost = Some(Ghost { plots: old.plots, difference });
            }
            _ => self.status = format!("{} events", grouped(finished.events() as u64)),
        }
        if !same {
            self.selection = Selection::default();
            self.reach = None;
            self.player = Player::default();
            (self.crosshair, self.stretch) = Default::default();
            let deciding = finished.plots.first().map_or("backlog".into(), |plot| plot.name.clone());
            let others = ["backlog", "latency", "throughput", "delivery"].into_iter().filter(|plot| *plot != deciding);
            let shown: Vec<Slot> = [&*deciding].into_iter().chain(others).take(4).map(Slot::new).collect();
            self.slots = shown.try_into().expect("there are four names at least");
        }
        let last = finished.lanes.len().saturating_sub(1);
        self.shown = self.shown.map(|lane| lane.min(last));
        if !same || self.shown[0] == self.shown[1] {
            self.shown = side_by_side(&finished);
        }
        self.player.seek(time, &mut finished.lanes);
        self.finished = Some(finished);
        self.reset_values();
    }

    /// Takes an edit back, or makes it again.
    pub(super) fn travel(&mut self, ctx: &Context, back: bool) {
        let (Some(document), None) = (&mut self.document, &self.job) else { return };
        let edit = document.last_edit();
        if !(if back { document.undo() } else { document.redo() }) {
            return self.tell(if back { "nothing to take back".into() } else { "nothing to make again".into() });
        }
        let difference = match back {
            true => format!("without {}", edit.unwrap_or_default()),
            false => document.last_edit().unwrap_or_default(),
        };
        self.pending = Some((difference, None));
        self.run(ctx, false);
    }
}

/// The lanes that are shown first: the first, and the first that keeps messages in another way.
fn side_by_side(finished: &Finished) -> [usize; 2] {
    let is_log = |lane: usize| matches!(finished.lanes[lane].header.model, Model::Log | Model::Stream);
    let other = (1..finished.lanes.len()).find(|lane| is_log(*lane) != is_log(0));
    [0, other.unwrap_or(1.min(finished.lanes.len().saturating_sub(1)))]
}
