//! The delivery matrix: what became of every message, for each contender and application.

use brokerlab_lab::reporting::{Matrix, grouped, percent};
use eframe::egui::{self, Grid, RichText, ScrollArea, Ui, Vec2};

use crate::style;
use crate::table::{self, Row};

/// Shows the matrix as a table: a row for each fate of each application, and under them the row that they sum to; then
/// what is counted beside the fates.
pub fn as_table(ui: &mut Ui, place: &str, matrix: &Matrix) {
    let head = ["contender", "application", "fate", "messages", "share"].map(String::from);
    let palette = style::palette(ui.ctx());
    let mut rows: Vec<(usize, &str, u64)> = Vec::new();
    for (index, row) in matrix.rows.iter().enumerate() {
        rows.extend(matrix.columns.iter().zip(&row.counts).map(|(name, count)| (index, name.as_str(), *count)));
        rows.push((index, SUM, row.total));
        rows.extend(matrix.attributes.iter().zip(&row.attributes).map(|(name, count)| (index, name.as_str(), *count)));
    }
    table::show(ui, place, &head, rows.len(), |index| {
        let (of, name, count) = rows[index];
        let row = &matrix.rows[of];
        let share = percent(count, row.total);
        let cells = [row.name.clone(), row.detail.clone(), name.to_string(), grouped(count), share];
        let part = count as f32 / row.total.max(1) as f32;
        Row { cells: cells.into(), bar: Some((part, style::colour(palette.of(row.look)))), sum: name == SUM }
    });
}

/// What the fates of a row come to.
const SUM: &str = "sum = offered";

/// Shows the matrix: a number, a share and a bar in each field.
pub fn show(ui: &mut Ui, place: &str, matrix: &Matrix) {
    let palette = style::palette(ui.ctx());
    // The name of the one application there is would say the same in each row.
    let has_one = matrix.rows.iter().all(|row| row.detail == matrix.rows[0].detail);
    ScrollArea::both().id_salt(place).auto_shrink(false).show(ui, |ui| {
        Grid::new(("matrix", place)).striped(true).spacing([14.0, 6.0]).show(ui, |ui| {
            ui.label("");
            for column in matrix.columns.iter().chain([&matrix.total]).chain(&matrix.attributes) {
                // Long headings take two lines, so that more columns fit.
                let heading = if column.len() > 12 { column.replacen(' ', "\n", 1) } else { column.clone() };
                ui.label(RichText::new(heading).font(style::bold(style::SMALL + 1.0)));
            }
            ui.end_row();
            for row in &matrix.rows {
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(Vec2::splat(13.0), egui::Sense::empty());
                    style::mark(ui.painter(), &palette, row.look, rect.center(), 5.0);
                    let name = RichText::new(style::shortened(&row.name, 20)).font(style::bold(style::NORMAL));
                    ui.label(name).on_hover_text(format!("{}, {}", row.name, row.detail));
                    if !has_one {
                        ui.label(style::shortened(&row.detail, 20)).on_hover_text(&row.detail);
                    }
                });
                for count in &row.counts {
                    field(ui, *count, row.total, style::colour(palette.of(row.look)));
                }
                ui.label(grouped(row.total));
                for count in &row.attributes {
                    ui.label(grouped(*count));
                }
                ui.end_row();
            }
        });
    });
}

fn field(ui: &mut Ui, count: u64, total: u64, colour: egui::Color32) {
    ui.vertical(|ui| {
        ui.spacing_mut().item_spacing.y = 1.0;
        ui.horizontal(|ui| {
            ui.spacing_mut().item_spacing.x = 5.0;
            ui.label(grouped(count));
            if count > 0 {
                ui.label(RichText::new(percent(count, total)).size(style::SMALL).weak());
            }
        });
        let (rect, _) = ui.allocate_exact_size(Vec2::new(58.0, 4.0), egui::Sense::empty());
        let share = count as f32 / total.max(1) as f32;
        // Even one message of a million shows.
        let width = if count == 0 { 0.0 } else { (share * rect.width()).max(1.5) };
        ui.painter().rect_filled(egui::Rect::from_min_size(rect.min, Vec2::new(width, rect.height())), 0.0, colour);
    });
}
