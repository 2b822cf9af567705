//! What the window asks: which scenario to open, whether a large run is meant, and what was dropped on it.

use std::sync::mpsc::{Receiver, TryRecvError, channel};

use eframe::egui::{self, Context, Ui, vec2};

use super::{App, Screen, Window};
use crate::platform::{self, Chosen};
use crate::player::time_of;

/// What a file is asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Asked {
    /// To be opened.
    Open,
    /// The scenario is to be saved into it.
    Save,
}

/// A file dialog that is open beside the window.
pub(super) struct Asking {
    asked: Asked,
    answer: Receiver<Chosen>,
}

impl App {
    /// Opens a file dialog beside the window. One at a time: a second would only hide behind the first.
    pub(crate) fn ask(&mut self, ctx: &Context, asked: Asked) {
        if !self.can_ask() {
            return;
        }
        let (sender, answer) = channel();
        let repaint = ctx.clone();
        let tell = move |chosen: Chosen| {
            // Nobody listens any more where the window was closed meanwhile.
            let _ = sender.send(chosen);
            repaint.request_repaint();
        };
        match asked {
            Asked::Open => platform::ask_for_scenario(tell),
            Asked::Save => platform::ask_where_to_save(&self.export.file, tell),
        }
        self.asking = Some(Asking { asked, answer });
    }

    /// Whether a file dialog can be opened now.
    pub(crate) fn can_ask(&self) -> bool {
        self.has_file_dialogs && self.asking.is_none()
    }

    /// Takes the answer of a file dialog, where there is one by now.
    pub(super) fn take_answer(&mut self, ctx: &Context) {
        let Some(Asking { asked, answer }) = &self.asking else { return };
        let (asked, chosen) = (*asked, answer.try_recv());
        if chosen == Err(TryRecvError::Empty) {
            return;
        }
        self.asking = None;
        match (asked, chosen.ok().flatten()) {
            (_, None) => self.tell("no file was chosen".into()),
            (Asked::Open, Some(path)) => {
                self.screen = Screen::Compare;
                self.open(ctx, path.display().to_string());
            }
            (Asked::Save, Some(path)) => {
                self.export.file = path.display().to_string();
                self.save_to(path);
            }
        }
    }

    /// Asks about a large run, opens what is dropped, and tells of a file that has changed.
    pub(super) fn outside(&mut self, ui: &mut Ui) {
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

    pub(super) fn open_dialog(&mut self, ui: &mut Ui) {
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
                    if ui.add_enabled(self.can_ask(), egui::Button::new("Browse")).clicked() {
                        self.ask(ui.ctx(), Asked::Open);
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
    /// Asks for the time to go to.
    pub(super) fn go_to_window(&mut self, ui: &mut Ui) {
        if self.window != Some(Window::GoTo) {
            return;
        }
        let (mut open, mut entered) = (true, false);
        let window = egui::Window::new("Go to time").open(&mut open).collapsible(false).resizable(false);
        window.anchor(egui::Align2::CENTER_BOTTOM, vec2(0.0, -90.0)).show(ui.ctx(), |ui| {
            ui.horizontal(|ui| {
                let label = ui.label("Time");
                let field =
                    egui::TextEdit::singleline(&mut self.go_to).hint_text("12.5s, 1m30s, 1:30").desired_width(150.0);
                let field = ui.add(field).labelled_by(label.id);
                entered = field.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                if !field.has_focus() && !entered && self.go_to.is_empty() {
                    field.request_focus();
                }
                entered |= ui.button("Go").clicked();
            });
        });
        if entered {
            match (time_of(&self.go_to), &mut self.finished) {
                (Some(time), Some(finished)) => {
                    self.player.playing = false;
                    self.player.seek(time, &mut finished.lanes);
                    open = false;
                }
                _ => self.complain(format!("\"{}\" is no time: write 12.5s, 250ms, 1m30s or 1:30", self.go_to)),
            }
        }
        if !open {
            self.window = None;
        }
    }
}
