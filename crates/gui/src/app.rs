//! The window: which screen shows, and what keys and buttons do.

pub(crate) mod ask;
mod compare;
mod runs;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use brokerlab_lab::event::{MessageId, Record, Time};
use brokerlab_lab::reporting::PlotSpec;
use brokerlab_lab::scenario::SettableValue;
use brokerlab_lab::{Experiment, LabError, Request};
use eframe::egui::{self, CentralPanel, Context, Panel, Rect, Ui, vec2};

use crate::bench::{Finished, Job};
use crate::charts::{Crosshair, Slot};
use crate::document::{BROKER, Document, PokeAction};
use crate::export::Export;
use crate::keys::{self, Command};
use crate::panel::Tab;
use crate::player::{Player, notable_text};
use crate::scrubber::Stretch;
use crate::settings::{Settings, ThemeChoice};
use crate::stage::Selection;
use crate::{start, style};

/// What is run when nothing else is asked for.
const BUILT_IN: &str = "consumer-dies";
/// Windows narrower than this begin without the panel at the side.
const WIDE: f32 = 1200.0;

/// What the window shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Screen {
    /// Ways to begin.
    Start,
    /// The lanes and the plots.
    Compare,
}

/// A window in the window.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Window {
    /// Keys and settings.
    Help,
    /// Files.
    Export,
    /// Which scenario.
    Open,
    /// Which time.
    GoTo,
}

/// The runs before the last change, as far as they are still shown.
pub struct Ghost {
    /// Their plots.
    pub plots: Vec<Arc<PlotSpec>>,
    /// What was changed since, in words.
    pub difference: String,
}

/// The window of the lab.
pub struct App {
    pub(crate) screen: Screen,
    pub(crate) window: Option<Window>,
    pub(crate) settings: Settings,
    settings_file: Option<PathBuf>,
    pub(crate) document: Option<Document>,
    pub(crate) finished: Option<Finished>,
    pub(crate) ghost: Option<Ghost>,
    pub(crate) job: Option<Job>,
    /// A change that the job is about, and the time that it begins at.
    pending: Option<(String, Option<Time>)>,
    opening: Option<Receiver<Result<Document, LabError>>>,
    asking: Option<ask::Asking>,
    has_file_dialogs: bool,
    /// A run that is asked about first, and how many events it would have.
    large: Option<(Experiment, u64)>,
    pub(crate) player: Player,
    pub(crate) selection: Selection,
    pub(crate) reach: Option<String>,
    /// Which lanes stand side by side.
    shown: [usize; 2],
    slots: [Slot; 4],
    pub(crate) crosshair: Crosshair,
    pub(crate) stretch: Stretch,
    /// The time that the stretch has followed last.
    pub(crate) stretch_seen: Option<Time>,
    go_to: String,
    pub(crate) tab: Tab,
    pub(crate) filter: String,
    pub(crate) values: Vec<(SettableValue, String)>,
    pub(crate) lives: HashMap<(MessageId, usize), Vec<Record>>,
    pub(crate) export: Export,
    pub(crate) questions: Vec<(String, String)>,
    path: String,
    status: String,
    /// What is wrong with what was asked for; the next run that can be made clears it.
    problem: Option<String>,
    /// What is wrong with the settings, until somebody has read it.
    settings_problem: Option<String>,
    /// What an export has come to, said by whoever writes it.
    pub(crate) told: Arc<Mutex<Vec<Result<String, String>>>>,
    watched: Option<(PathBuf, SystemTime)>,
    looked: f64,
    stale: bool,
}

impl App {
    /// A window that opens a scenario, or the built-in one below the ways to begin. `settings_file` is where settings
    /// are remembered; nothing remembers nothing.
    pub fn new(ctx: &Context, request: Option<Request>, settings_file: Option<PathBuf>) -> App {
        style::install(ctx);
        let (settings, settings_problem) = Settings::load(settings_file.as_deref());
        settings.apply(ctx);
        let mut app = App {
            screen: if request.is_some() { Screen::Compare } else { Screen::Start },
            window: None,
            settings,
            settings_file,
            document: None,
            finished: None,
            ghost: None,
            job: None,
            pending: None,
            opening: None,
            asking: None,
            has_file_dialogs: true,
            large: None,
            player: Player::default(),
            selection: Selection::default(),
            reach: None,
            shown: [0, 1],
            slots: ["backlog", "latency", "throughput", "delivery"].map(Slot::new),
            crosshair: Crosshair::default(),
            stretch: Stretch::default(),
            stretch_seen: None,
            go_to: String::new(),
            tab: Tab::default(),
            filter: String::new(),
            values: Vec::new(),
            lives: HashMap::new(),
            export: Export::default(),
            questions: start::questions(),
            path: String::new(),
            status: String::new(),
            problem: None,
            settings_problem,
            told: Arc::default(),
            watched: None,
            looked: 0.0,
            stale: false,
        };
        let request = request.unwrap_or(Request { scenario: BUILT_IN.into(), ..Request::default() });
        app.open_request(ctx, request);
        app
    }

    /// The same window where no file dialog may open: files are named by their path.
    pub fn without_file_dialogs(self) -> App {
        App { has_file_dialogs: false, ..self }
    }

    /// The time that is looked at.
    pub fn player(&self) -> &Player {
        &self.player
    }

    /// The runs on the screen, where there are any.
    pub fn finished(&self) -> Option<&Finished> {
        self.finished.as_ref()
    }

    /// Whether runs are being made, or a scenario is being read.
    pub fn is_busy(&self) -> bool {
        self.job.is_some() || self.opening.is_some()
    }

    /// Something went well.
    pub(crate) fn tell(&mut self, text: String) {
        self.status = text;
    }

    /// Something went wrong.
    pub(crate) fn complain(&mut self, text: String) {
        self.problem = Some(text);
    }

    /// What somebody should read first.
    fn problem(&self) -> Option<&str> {
        self.problem.as_deref().or(self.settings_problem.as_deref())
    }

    /// It has been read.
    fn dismiss_problem(&mut self) {
        if self.problem.take().is_none() {
            self.settings_problem = None;
        }
    }

    pub(crate) fn remember(&mut self) {
        if let Some(problem) = self.settings.save(self.settings_file.as_deref()) {
            self.settings_problem = Some(problem);
        }
    }

    /// Does what a key or a button asks for.
    pub(crate) fn command(&mut self, ctx: &Context, command: Command) {
        if self.screen == Screen::Start && command == Command::Toggle {
            return self.begin();
        }
        let lanes = self.finished.as_mut().map(|finished| &mut finished.lanes[..]).unwrap_or_default();
        match command {
            Command::Toggle => self.player.toggle(lanes),
            Command::Shift(tenths) => self.player.shift(f64::from(tenths) / 10.0, lanes),
            Command::Step => self.player.step(lanes),
            Command::StepBack => self.player.step_back(lanes),
            Command::GoTo if lanes.is_empty() => self.tell("there is no run yet".into()),
            Command::GoTo => {
                self.go_to.clear();
                self.open_window(Window::GoTo);
            }
            Command::Pin => self.crosshair.pin(self.player.time),
            Command::Start => self.player.seek(Time::ZERO, lanes),
            Command::End => self.player.seek(Time::MAX, lanes),
            Command::NextNotable | Command::PreviousNotable => {
                let found = match command {
                    Command::NextNotable => self.player.next_notable(lanes),
                    _ => self.player.previous_notable(lanes),
                };
                let text =
                    found.map(|(kind, lane)| format!("{}: {}", lanes[lane].header.contender, notable_text(kind)));
                self.tell(text.unwrap_or("nothing further stands out".into()));
            }
            Command::Slower => self.player.set_speed(self.player.speed() - 1),
            Command::Faster => self.player.set_speed(self.player.speed() + 1),
            Command::Kill => self.poke(ctx, PokeAction::Kill),
            Command::KillBroker => self.poke_at(ctx, PokeAction::Kill, BROKER.to_string()),
            Command::Slow => self.poke(ctx, PokeAction::Slow),
            Command::Pause => self.poke(ctx, PokeAction::Pause),
            Command::CutOff => self.poke(ctx, PokeAction::CutOff),
            Command::Undo | Command::Redo => self.travel(ctx, command == Command::Undo),
            Command::Theme => {
                let is_dark = ctx.theme() == egui::Theme::Dark;
                self.settings.theme = if is_dark { ThemeChoice::Light } else { ThemeChoice::Dark };
                self.settings.apply(ctx);
                self.remember();
            }
            Command::Panel => {
                self.settings.panel = !self.settings.panel;
                self.remember();
            }
            Command::FullScreen => {
                let full = ctx.input(|input| input.viewport().fullscreen.unwrap_or(false));
                ctx.send_viewport_cmd(egui::ViewportCommand::Fullscreen(!full));
            }
            Command::Open => self.open_window(Window::Open),
            Command::Save => {
                let path = PathBuf::from(self.export.file.trim());
                self.save_to(path);
            }
            Command::ExportNow => self.write_folder(ctx),
            Command::Export => self.open_window(Window::Export),
            Command::Quit => ctx.send_viewport_cmd(egui::ViewportCommand::Close),
            Command::Help => self.open_window(Window::Help),
            Command::Escape => match (self.window.take(), self.selection == Selection::default()) {
                (None, false) => self.selection = Selection::default(),
                (None, true) => {
                    self.crosshair.pinned = None;
                    self.dismiss_problem();
                }
                _ => {}
            },
        }
    }
}

impl eframe::App for App {
    fn ui(&mut self, ui: &mut Ui, _: &mut eframe::Frame) {
        let ctx = ui.ctx().clone();
        self.receive(&ctx);
        for command in keys::pressed(&ctx) {
            self.command(&ctx, command);
        }
        if self.player.playing
            && let Some(finished) = &mut self.finished
        {
            let passed = ctx.input(|input| input.stable_dt).min(0.1);
            self.player.tick(f64::from(passed), &mut finished.lanes);
            ctx.request_repaint();
        }
        Panel::top("transport").show(ui, |ui| {
            ui.add_space(4.0);
            self.transport(ui);
            ui.add_space(2.0);
            self.strip(ui);
            ui.add_space(3.0);
        });
        Panel::bottom("scrubber").exact_size(64.0).show(ui, |ui| self.scrubber(ui));
        let is_wide = ui.ctx().content_rect().width() >= WIDE;
        if self.settings.panel == is_wide {
            Panel::right("panel").exact_size(290.0).resizable(false).show(ui, |ui| self.panel(ui));
        }
        CentralPanel::default().show(ui, |ui| {
            let full = ui.available_rect_before_wrap();
            let rows = self.settings.plots.rows(full.size());
            let part = if rows == 1 { 0.5 } else { 0.4 };
            let stage = Rect::from_min_size(full.min, vec2(full.width(), (full.height() * part).max(170.0)));
            let plots = Rect::from_min_max(egui::pos2(full.left(), stage.bottom() + 8.0), full.max);
            ui.scope_builder(egui::UiBuilder::new().max_rect(stage), |ui| self.lanes(ui));
            ui.scope_builder(egui::UiBuilder::new().max_rect(plots), |ui| self.plots(ui, rows));
        });
        if self.screen == Screen::Start {
            self.start_screen(ui);
        }
        self.help(ui);
        self.export_window(ui);
        self.open_dialog(ui);
        self.go_to_window(ui);
        self.outside(ui);
    }
}
