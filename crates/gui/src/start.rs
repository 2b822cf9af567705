//! The first screen: three ways to begin, over the paused picture of a run.

use brokerlab_lab::scenario::library;
use eframe::egui::{self, Align2, Button, ScrollArea, Ui, vec2};

use crate::app::{App, Screen};
use crate::keys::Command;
use crate::style;

impl App {
    /// Shows the ways to begin over what is there already.
    pub(crate) fn start_screen(&mut self, ui: &mut Ui) {
        let size = ui.ctx().content_rect().size();
        let width = (size.x - 80.0).min(720.0);
        egui::Window::new("brokerlab")
            .title_bar(false)
            .resizable(false)
            .movable(false)
            .anchor(Align2::CENTER_CENTER, vec2(0.0, 0.0))
            .fixed_size(vec2(width, (size.y - 120.0).min(560.0)))
            .show(ui.ctx(), |ui| {
                ui.add_space(6.0);
                ui.label(egui::RichText::new("brokerlab").font(style::bold(30.0)));
                ui.label("The same messages and the same faults, through a queue and through a log.");
                ui.add_space(10.0);
                ui.horizontal(|ui| {
                    let wide = vec2((width - 40.0) / 2.0, 46.0);
                    let large =
                        |text: &str| Button::new(egui::RichText::new(text).font(style::bold(16.0))).min_size(wide);
                    if ui.add(large("Compare queue and log")).on_hover_text("Space").clicked() {
                        self.begin();
                    }
                    if ui
                        .add(large("Open scenario"))
                        .on_hover_text("a file (Ctrl+O); or drop one on the window")
                        .clicked()
                    {
                        self.command(ui.ctx(), Command::Open);
                    }
                });
                ui.add_space(8.0);
                let mut chosen = None;
                ScrollArea::vertical().auto_shrink(false).show(ui, |ui| {
                    if !self.settings.recent.is_empty() {
                        ui.label(style::strong("Opened last"));
                        for recent in &self.settings.recent {
                            if ui.link(recent).clicked() {
                                chosen = Some(recent.clone());
                            }
                        }
                        ui.add_space(6.0);
                    }
                    ui.label(style::strong("Experiments"));
                    for (name, question) in &self.questions {
                        ui.horizontal_wrapped(|ui| {
                            if ui.link(name.as_str()).clicked() {
                                chosen = Some(name.clone());
                            }
                            ui.label(egui::RichText::new(question).weak());
                        });
                    }
                });
                if let Some(chosen) = chosen {
                    self.open(ui.ctx(), chosen);
                    self.screen = Screen::Compare;
                }
                ui.label(egui::RichText::new(self.footer()).size(style::SMALL).weak());
            });
    }

    /// Goes to the lanes and plays.
    pub(crate) fn begin(&mut self) {
        self.screen = Screen::Compare;
        if let Some(finished) = &mut self.finished {
            self.player.toggle(&mut finished.lanes);
        }
    }

    fn footer(&self) -> String {
        let seed = self
            .finished
            .as_ref()
            .map_or(String::new(), |finished| format!(", seed {}", finished.experiment.scenario.seed));
        format!("version {}{seed}", brokerlab_lab::ENGINE)
    }
}

/// Every experiment of the library with its question.
pub(crate) fn questions() -> Vec<(String, String)> {
    let question = |text: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix("question = "));
        line.map_or(String::new(), |line| line.trim().trim_matches('"').to_string())
    };
    library::SCENARIOS.iter().map(|(name, text)| (name.to_string(), question(text))).collect()
}
