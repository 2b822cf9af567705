//! The window: which screen shows, what keys and buttons do, and where runs come and go.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex};
use std::time::SystemTime;

use brokerlab_lab::event::{MessageId, Model, Record, Time};
use brokerlab_lab::reporting::{PlotSpec, grouped};
use brokerlab_lab::scenario::SettableValue;
use brokerlab_lab::{Experiment, LabError, Request};
use eframe::egui::{self, CentralPanel, Context, Panel, Rect, RichText, Role, Ui, WidgetInfo, vec2};

use crate::bench::{Answer, Finished, Job, MANY_EVENTS, expected_events};
use crate::charts::{self, Slot};
use crate::document::{Document, Edit, PokeAction};
use crate::export::Export;
use crate::keys::{self, Command};
use crate::panel::Tab;
use crate::player::{Player, notable_text};
use crate::settings::{Motion, Settings, ThemeChoice};
use crate::stage::{self, Selection};
use crate::{platform, start, style};

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
    /// A run that is asked about first, and how many events it would have.
    large: Option<(Experiment, u64)>,
    pub(crate) player: Player,
    pub(crate) selection: Selection,
    pub(crate) reach: Option<String>,
    /// Which lanes stand side by side.
    shown: [usize; 2],
    slots: [Slot; 2],
    pub(crate) tab: Tab,
    pub(crate) filter: String,
    pub(crate) values: Vec<(SettableValue, String)>,
    pub(crate) lives: HashMap<(MessageId, usize), Vec<Record>>,
    pub(crate) export: Export,
    pub(crate) questions: Vec<(String, String)>,
    path: String,
    status: String,
    problem: Option<String>,
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
        let (settings, problem) = Settings::load(settings_file.as_deref());
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
            large: None,
            player: Player::default(),
            selection: Selection::default(),
            reach: None,
            shown: [0, 1],
            slots: [Slot::new("backlog"), Slot::new("latency")],
            tab: Tab::default(),
            filter: String::new(),
            values: Vec::new(),
            lives: HashMap::new(),
            export: Export::default(),
            questions: start::questions(),
            path: String::new(),
            status: String::new(),
            problem,
            told: Arc::default(),
            watched: None,
            looked: 0.0,
            stale: false,
        };
        let request = request.unwrap_or(Request { scenario: BUILT_IN.into(), ..Request::default() });
        app.open_request(ctx, request);
        app
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

    pub(crate) fn remember(&mut self) {
        if let Some(problem) = self.settings.save(self.settings_file.as_deref()) {
            self.complain(problem);
        }
    }

    /// Opens a bundled scenario or a file.
    pub(crate) fn open(&mut self, ctx: &Context, scenario: String) {
        self.window = None;
        self.open_request(ctx, Request { scenario, ..Request::default() });
    }

    fn open_request(&mut self, ctx: &Context, request: Request) {
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
        self.problem = None;
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

    fn start(&mut self, ctx: &Context, experiment: Experiment) {
        let repaint = ctx.clone();
        self.job = Some(Job::start(experiment, move || repaint.request_repaint()));
    }

    fn reset_values(&mut self) {
        let values = self.finished.as_ref().map(|finished| finished.experiment.scenario.values());
        self.values = values.unwrap_or_default().into_iter().map(|value| (value.clone(), value.value)).collect();
    }

    /// Takes what threads have brought.
    fn receive(&mut self, ctx: &Context) {
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
            let deciding = finished.plots.first().map_or("backlog".into(), |plot| plot.name.clone());
            let other = if deciding == "backlog" { "latency" } else { "backlog" };
            self.slots = [Slot::new(&deciding), Slot::new(other)];
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
                (None, true) => self.problem = None,
                _ => {}
            },
        }
    }

    /// Takes an edit back, or makes it again.
    fn travel(&mut self, ctx: &Context, back: bool) {
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

    /// Asks about a large run, opens what is dropped, and tells of a file that has changed.
    fn outside(&mut self, ui: &mut Ui) {
        let dropped = ui.ctx().input(|input| input.raw.dropped_files.first().map(|file| file.path().to_path_buf()));
        if let Some(path) = dropped {
            self.screen = Screen::Compare;
            self.open(ui.ctx(), path.display().to_string());
        }
        // Once a second is often enough for a file that an editor writes.
        let now = ui.ctx().input(|input| input.time);
        if now - self.looked > 1.0 {
            self.looked = now;
            if let Some((path, seen)) = &self.watched {
                self.stale = platform::changed(path).is_some_and(|changed| changed != *seen);
            }
        }
        let Some((experiment, events)) = self.large.take() else { return };
        let gigabytes = events as f64 * 40.0 / 1e9;
        let mut answer = None;
        egui::Window::new("A large run").collapsible(false).anchor(egui::Align2::CENTER_CENTER, vec2(0.0, 0.0)).show(
            ui.ctx(),
            |ui| {
                ui.label(format!(
                    "{} will have about {} million events, which take {gigabytes:.1} GB of memory. Without a window, \
                 `{}` takes far less.",
                    experiment.name,
                    events / 1_000_000,
                    experiment.command(Default::default()),
                ));
                ui.horizontal(|ui| {
                    for (text, value) in [("Run it", true), ("Leave it", false)] {
                        if ui.button(text).clicked() {
                            answer = Some(value);
                        }
                    }
                });
            },
        );
        match answer {
            None => self.large = Some((experiment, events)),
            Some(true) => self.start(ui.ctx(), experiment),
            Some(false) => {}
        }
    }

    fn open_dialog(&mut self, ui: &mut Ui) {
        if self.window != Some(Window::Open) {
            return;
        }
        let mut open = true;
        egui::Window::new("Open a scenario").open(&mut open).collapsible(false).default_width(430.0).show(
            ui.ctx(),
            |ui| {
                ui.horizontal(|ui| {
                    let label = ui.label("File or name");
                    let field =
                        ui.add(egui::TextEdit::singleline(&mut self.path).desired_width(220.0)).labelled_by(label.id);
                    let entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                    if (ui.button("Open").clicked() || entered) && !self.path.trim().is_empty() {
                        self.screen = Screen::Compare;
                        self.open(ui.ctx(), self.path.trim().to_string());
                    }
                    if ui.button("Browse").clicked() {
                        match platform::ask_for_scenario() {
                            Some(path) => {
                                self.screen = Screen::Compare;
                                self.open(ui.ctx(), path.display().to_string());
                            }
                            None => self.tell("no file was chosen".into()),
                        }
                    }
                });
                ui.separator();
                let mut chosen = None;
                egui::ScrollArea::vertical().max_height(300.0).show(ui, |ui| {
                    for (name, question) in &self.questions {
                        if ui.link(name.as_str()).on_hover_text(question).clicked() {
                            chosen = Some(name.clone());
                        }
                    }
                });
                if let Some(chosen) = chosen {
                    self.screen = Screen::Compare;
                    self.open(ui.ctx(), chosen);
                }
            },
        );
        if !open {
            self.window = None;
        }
    }

    /// What is run, what differs, what is wrong.
    fn strip(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            if let Some(finished) = &self.finished {
                let scenario = &finished.experiment.scenario;
                let changed = self.document.as_ref().is_some_and(Document::is_changed);
                ui.label(style::strong(format!("{}{}", scenario.title, if changed { " (changed)" } else { "" })));
                let demand = finished.lanes.first().map_or(0, |lane| lane.timeline.view().counters.offered);
                let text = format!("the same {} messages so far, seed {}", grouped(demand), scenario.seed);
                ui.label(RichText::new(text).weak());
            }
            if let Some(ghost) = &self.ghost {
                let chip = egui::Button::new(format!("Only difference: {}", ghost.difference)).frame(true);
                if ui.add(chip).on_hover_text("the faint lines are the run before; click to let them go").clicked() {
                    self.ghost = None;
                }
            }
            if self.stale {
                ui.label(style::strong("The file has changed."));
                if ui.button("Reload").clicked()
                    && let Some(document) = &self.document
                {
                    let origin = document.origin().to_string();
                    self.open(ui.ctx(), origin);
                }
            }
            if let Some(job) = &self.job {
                ui.add(egui::ProgressBar::new(job.part()).desired_width(140.0).text("running"));
                if ui.button("Cancel").clicked() {
                    job.cancel();
                }
            }
            ui.add(egui::Label::new(RichText::new(&self.status).weak()).truncate());
        });
        if let Some(problem) = self.problem.clone() {
            ui.horizontal_top(|ui| {
                if ui.button("Close").clicked() {
                    self.problem = None;
                }
                let text = RichText::new(problem).monospace();
                let response = ui.label(text);
                response.widget_info(|| {
                    WidgetInfo::labeled(Role::Alert, true, self.problem.as_deref().unwrap_or_default())
                });
            });
        }
    }

    fn lanes(&mut self, ui: &mut Ui) {
        let Some(finished) = &self.finished else {
            if self.job.is_some() || self.opening.is_some() {
                ui.label("The runs are being made.");
            }
            return;
        };
        let count = finished.lanes.len();
        if count > 2 {
            ui.horizontal_wrapped(|ui| {
                ui.label("Side by side:");
                for (side, place) in self.shown.iter_mut().enumerate() {
                    let name = &finished.lanes[*place].header.contender;
                    let combo = egui::ComboBox::from_id_salt(("lane", side)).selected_text(name).width(150.0);
                    let response = combo.show_ui(ui, |ui| {
                        for (index, lane) in finished.lanes.iter().enumerate() {
                            ui.selectable_value(place, index, &lane.header.contender);
                        }
                    });
                    let label = format!("{} lane: {name}", if side == 0 { "Left" } else { "Right" });
                    response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
                }
            });
        }
        let shown: Vec<usize> = if count == 1 { vec![0] } else { self.shown.to_vec() };
        let motion = self.settings.motion == Motion::Full;
        columns(ui, shown.len(), |ui, column| {
            let lane = (shown[column], &finished.lanes[shown[column]]);
            stage::show(ui, lane, &self.player, motion, &mut self.selection);
        });
    }

    fn plots(&mut self, ui: &mut Ui) {
        let Some(finished) = &mut self.finished else { return };
        let now = self.player.time.as_nanos() as f64 / 1e9;
        let mut jump = None;
        let slots = &mut self.slots;
        columns(ui, 2, |ui, place| {
            let slot = &mut slots[place];
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing.x = 4.0;
                for plot in &finished.plots {
                    let button = egui::Button::selectable(slot.plot == plot.name, title_case(&plot.name));
                    let response = ui.add(button.frame_when_inactive(true)).on_hover_text(&plot.title);
                    let label =
                        format!("{} on the {}", title_case(&plot.name), if place == 0 { "left" } else { "right" });
                    response.widget_info(|| WidgetInfo::selected(Role::Button, true, slot.plot == plot.name, &label));
                    if response.clicked() {
                        *slot = Slot::new(&plot.name);
                    }
                }
            });
            let Some(plot) = finished.plot(&slot.plot).or(finished.plots.first()).cloned() else { return };
            let ghosts = self.ghost.iter().flat_map(|ghost| &ghost.plots);
            let ghost = ghosts.filter(|ghost| ghost.name == plot.name).map(|ghost| &**ghost).next();
            jump = charts::show(ui, place, &plot, charts::Context { now, ghost, slot }).or(jump);
        });
        if let Some(seconds) = jump {
            self.player.playing = false;
            self.player.seek(Time::from_nanos((seconds.max(0.0) * 1e9) as u64), &mut finished.lanes);
        }
    }
}

/// The lanes that are shown first: the first, and the first that keeps messages in another way.
fn side_by_side(finished: &Finished) -> [usize; 2] {
    let is_log = |lane: usize| matches!(finished.lanes[lane].header.model, Model::Log | Model::Stream);
    let other = (1..finished.lanes.len()).find(|lane| is_log(*lane) != is_log(0));
    [0, other.unwrap_or(1.min(finished.lanes.len().saturating_sub(1)))]
}

/// `Backlog`.
fn title_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Columns of equal width that fill the space.
fn columns(ui: &mut Ui, count: usize, mut fill: impl FnMut(&mut Ui, usize)) {
    let full = ui.available_rect_before_wrap();
    let gap = 10.0;
    let width = (full.width() - gap * (count.max(1) - 1) as f32) / count.max(1) as f32;
    for column in 0..count {
        let left = full.left() + column as f32 * (width + gap);
        let rect = Rect::from_min_size(egui::pos2(left, full.top()), vec2(width, full.height()));
        let mut own = ui.new_child(egui::UiBuilder::new().max_rect(rect).id_salt(("column", column)));
        own.set_clip_rect(rect.expand(2.0).intersect(ui.clip_rect()));
        fill(&mut own, column);
    }
    ui.advance_cursor_after_rect(full);
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
            let stage = Rect::from_min_size(full.min, vec2(full.width(), (full.height() * 0.5).max(170.0)));
            let plots = Rect::from_min_max(egui::pos2(full.left(), stage.bottom() + 8.0), full.max);
            ui.scope_builder(egui::UiBuilder::new().max_rect(stage), |ui| self.lanes(ui));
            ui.scope_builder(egui::UiBuilder::new().max_rect(plots), |ui| self.plots(ui));
        });
        if self.screen == Screen::Start {
            self.start_screen(ui);
        }
        self.help(ui);
        self.export_window(ui);
        self.open_dialog(ui);
        self.outside(ui);
    }
}
