//! The parts of the Compare screen, put together: what is run, the lanes, the plots.

use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::grouped;
use eframe::egui::{self, Rect, RichText, Role, Ui, WidgetInfo, vec2};

use super::App;
use crate::bench::Lane;
use crate::charts::{self, Slot};
use crate::document::Document;
use crate::settings::Motion;
use crate::{stage, style};

/// What the places of plots are called, where there is one row of them and where there are two.
const PLACES: [[&str; 4]; 2] = [["left", "right", "", ""], ["upper left", "upper right", "lower left", "lower right"]];

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
        let shown: Vec<usize> = if count == 1 { vec![0] } else { self.shown.to_vec() };
        let motion = self.settings.motion == Motion::Full;
        grid(ui, (1, shown.len()), |ui, column| {
            let (index, lane) = (shown[column], &finished.lanes[shown[column]]);
            // To find a life means to read the whole log, so it is kept for as long as it is followed.
            let life = self.selection.message.map(|message| {
                let life = self.lives.entry((message, index)).or_insert_with(|| lane.life(message));
                life.as_slice()
            });
            let chosen = &mut self.shown[column];
            // Where there are more lanes than places, the name of each is a list of all.
            let title = |ui: &mut Ui| match count > 2 {
                true => which(ui, column, chosen, &finished.lanes),
                false => title(ui, lane),
            };
            let whose = (index, lane, life.unwrap_or_default());
            stage::show(ui, title, whose, &self.player, motion, &mut self.selection);
        });
    }

    /// Shows the plots in so many rows of two.
    pub(super) fn plots(&mut self, ui: &mut Ui, rows: usize) {
        let Some(finished) = &mut self.finished else { return };
        let now = self.player.time.as_nanos() as f64 / 1e9;
        let (mut jump, mut hovered) = (None, None);
        let (crosshair, stretch) = (self.crosshair, self.stretch.shown(&finished.lanes));
        let ghosts = self.ghost.as_ref().map_or(&[][..], |ghost| &ghost.plots);
        let places = &PLACES[if rows == 1 { 0 } else { 1 }];
        grid(ui, (rows, 2), |ui, place| {
            let before = self.slots[place].plot.clone();
            let slot = &mut self.slots[place];
            let (lanes, no_theory, hovered) = (&finished.lanes, &finished.no_theory, &mut hovered);
            let context = charts::Context { now, ghosts, lanes, no_theory, slot, crosshair, stretch, hovered };
            jump = charts::show(ui, places[place], &finished.plots, context).or(jump);
            // What is shown elsewhere already changes places.
            let chosen = self.slots[place].plot.clone();
            let mut others = (0..rows * 2).filter(|other| *other != place);
            if chosen != before
                && let Some(other) = others.find(|other| self.slots[*other].plot == chosen)
            {
                self.slots[other] = Slot::new(&before);
            }
        });
        self.crosshair.hovered = hovered;
        if let Some(seconds) = jump {
            self.player.playing = false;
            self.player.seek(Time::from_nanos((seconds.max(0.0) * 1e9) as u64), &mut finished.lanes);
        }
    }
}

/// The name of a lane.
fn title(ui: &mut Ui, lane: &Lane) {
    let title = egui::Label::new(style::title(lane.header.contender.clone())).truncate();
    ui.add(title).on_hover_text(stage::rule(lane.header.model));
}

/// The name of a lane, and a list of the others that may stand in its place.
fn which(ui: &mut Ui, side: usize, place: &mut usize, lanes: &[Lane]) {
    let name = &lanes[*place].header.contender;
    let text = style::title(style::shortened(name, 28));
    let response = egui::ComboBox::from_id_salt(("lane", side)).selected_text(text).width(80.0).show_ui(ui, |ui| {
        for (index, lane) in lanes.iter().enumerate() {
            if ui.selectable_value(place, index, &lane.header.contender).clicked() {
                ui.close();
            }
        }
    });
    let label = format!("{} lane: {name}", if side == 0 { "Left" } else { "Right" });
    response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
}

/// Rows and columns of equal size that fill the space.
fn grid(ui: &mut Ui, (rows, columns): (usize, usize), mut fill: impl FnMut(&mut Ui, usize)) {
    let full = ui.available_rect_before_wrap();
    let gap = 10.0;
    let part = |length: f32, count: usize| (length - gap * (count - 1) as f32) / count as f32;
    let size = vec2(part(full.width(), columns), part(full.height(), rows));
    for place in 0..rows * columns {
        let (row, column) = (place / columns, place % columns);
        let corner = full.min + vec2(column as f32 * (size.x + gap), row as f32 * (size.y + gap));
        let rect = Rect::from_min_size(corner, size);
        let mut own = ui.new_child(egui::UiBuilder::new().max_rect(rect).id_salt(("place", place)));
        own.set_clip_rect(rect.expand(2.0).intersect(ui.clip_rect()));
        fill(&mut own, place);
    }
    ui.advance_cursor_after_rect(full);
}
