//! Help and settings.

use eframe::egui::{self, Grid, ScrollArea, Ui};

use crate::app::{App, Window};
use crate::keys::SHORTCUTS;
use crate::settings::{Motion, Plots, ThemeChoice, Tones};
use crate::style;

impl App {
    /// Shows the help with the settings, where they are open.
    pub(crate) fn help(&mut self, ui: &mut Ui) {
        let mut open = self.window == Some(Window::Help);
        let before = self.settings.clone();
        egui::Window::new("Help and settings").open(&mut open).collapsible(false).default_width(420.0).show(ui.ctx(), |ui| {
            ui.label(style::strong("Settings"));
            self.choices(ui);
            ui.separator();
            ui.label(style::strong("Keys"));
            ScrollArea::vertical().max_height(330.0).show(ui, |ui| {
                Grid::new("keys").striped(true).num_columns(2).show(ui, |ui| {
                    for shortcut in SHORTCUTS {
                        ui.label(ui.ctx().format_shortcut(&shortcut.keys));
                        ui.label(shortcut.does);
                        ui.end_row();
                    }
                });
            });
            ui.separator();
            ui.label("Circle, square, triangle: which system. Ring: delivered again. Hollow cell: read by every group. Bar: where a group reads next. Cross: down.");
        });
        if !open && self.window == Some(Window::Help) {
            self.window = None;
        }
        if self.settings != before {
            self.settings.apply(ui.ctx());
            self.remember();
        }
    }

    fn choices(&mut self, ui: &mut Ui) {
        let settings = &mut self.settings;
        ui.horizontal(|ui| {
            ui.label("Theme");
            ui.radio_value(&mut settings.theme, ThemeChoice::System, "as the system");
            ui.radio_value(&mut settings.theme, ThemeChoice::Light, "light");
            ui.radio_value(&mut settings.theme, ThemeChoice::Dark, "dark");
        });
        ui.horizontal(|ui| {
            ui.label("Palette");
            ui.radio_value(&mut settings.tones, Tones::Colours, "colours");
            ui.radio_value(&mut settings.tones, Tones::Greys, "greys");
        });
        ui.horizontal(|ui| {
            ui.label("Motion");
            ui.radio_value(&mut settings.motion, Motion::Full, "messages travel");
            ui.radio_value(&mut settings.motion, Motion::None, "only figures change");
        });
        ui.horizontal(|ui| {
            ui.label("Plots");
            ui.radio_value(&mut settings.plots, Plots::Fitting, "as many as fit");
            ui.radio_value(&mut settings.plots, Plots::Two, "two");
            ui.radio_value(&mut settings.plots, Plots::Four, "four");
        });
        ui.horizontal(|ui| {
            ui.label("Size of everything");
            for zoom in [0.8, 1.0, 1.25, 1.5, 2.0, 3.0] {
                let button = egui::Button::selectable(settings.zoom == zoom, format!("{} %", zoom * 100.0));
                if ui.add(button.frame_when_inactive(true)).clicked() {
                    settings.zoom = zoom;
                }
            }
        });
    }
}
