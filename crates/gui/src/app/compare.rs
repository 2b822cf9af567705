//! The parts of the Compare screen, put together: what is run, the lanes, the plots.

use std::sync::Arc;

use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::{PlotSpec, grouped};
use eframe::egui::{self, Rect, RichText, Role, Ui, WidgetInfo, vec2};

use super::App;
use crate::charts::{self, Slot, UNITS};
use crate::document::Document;
use crate::settings::Motion;
use crate::{stage, style};

impl App {
    /// What is run, what differs, what is wrong.
    pub(super) fn strip(&mut self, ui: &mut Ui) {
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
        if let Some(problem) = self.problem().map(str::to_string) {
            ui.horizontal_top(|ui| {
                if ui.button("Close").clicked() {
                    self.dismiss_problem();
                }
                let text = RichText::new(&problem).monospace();
                let response = ui.label(text);
                response.widget_info(|| WidgetInfo::labeled(Role::Alert, true, &problem));
            });
        }
    }

    pub(super) fn lanes(&mut self, ui: &mut Ui) {
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
            let (index, lane) = (shown[column], &finished.lanes[shown[column]]);
            // To find a life means to read the whole log, so it is kept for as long as it is followed.
            let life = self.selection.message.map(|message| {
                let life = self.lives.entry((message, index)).or_insert_with(|| lane.life(message));
                life.as_slice()
            });
            stage::show(ui, (index, lane, life.unwrap_or_default()), &self.player, motion, &mut self.selection);
        });
    }

    pub(super) fn plots(&mut self, ui: &mut Ui) {
        let Some(finished) = &mut self.finished else { return };
        let now = self.player.time.as_nanos() as f64 / 1e9;
        let (mut jump, mut hovered) = (None, None);
        let (slots, crosshair, stretch) = (&mut self.slots, self.crosshair, self.stretch.shown(&finished.lanes));
        columns(ui, 2, |ui, place| {
            let slot = &mut slots[place];
            choose(ui, place, &finished.plots, slot);
            let Some(plot) = finished.plot(&slot.plot).or(finished.plots.first()).cloned() else { return };
            let ghosts = self.ghost.iter().flat_map(|ghost| &ghost.plots);
            let ghost = ghosts.filter(|ghost| ghost.name == plot.name).map(|ghost| &**ghost).next();
            let context = charts::Context { now, ghost, slot, crosshair, stretch, hovered: &mut hovered };
            jump = charts::show(ui, place, &plot, context).or(jump);
        });
        self.crosshair.hovered = hovered;
        if let Some(seconds) = jump {
            self.player.playing = false;
            self.player.seek(Time::from_nanos((seconds.max(0.0) * 1e9) as u64), &mut finished.lanes);
        }
    }
}

/// A button for each plot; the two units of the backlog share one.
fn choose(ui: &mut Ui, place: usize, plots: &[Arc<PlotSpec>], slot: &mut Slot) {
    let side = if place == 0 { "left" } else { "right" };
    let shown = slot.plot.clone();
    let is_unit = UNITS.iter().any(|(name, _)| *name == shown);
    let mut button = |ui: &mut Ui, (plot, is_shown): (&PlotSpec, bool), text: String| {
        let button = egui::Button::selectable(is_shown, &text).frame_when_inactive(true);
        let response = ui.add(button).on_hover_text(&plot.title);
        let label = format!("{text} on the {side}");
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_shown, &label));
        if response.clicked() {
            *slot = Slot::new(&plot.name);
        }
    };
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for plot in plots.iter().filter(|plot| plot.name != UNITS[1].0) {
            let is_shown = shown == plot.name || (plot.name == UNITS[0].0 && is_unit);
            button(ui, (plot, is_shown), title_case(&plot.name));
        }
    });
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
