//! The table of percentiles in a corner of the latency curve.

use brokerlab_lab::reporting::Inset;
use eframe::egui::{self, Frame, Grid, Margin, Rect, RichText, Stroke, Ui, UiBuilder, Vec2, pos2, vec2};

use crate::style;

/// The height of a row.
const ROW: f32 = 19.0;

/// Shows the table in the lower right corner of a plot, where the curves of latencies leave room.
pub fn show(ui: &mut Ui, inset: &Inset, plot: Rect) {
    let palette = style::palette(ui.ctx());
    let font = style::regular(style::SMALL);
    let columns = inset.head.len();
    let wide = |text: &String| ui.painter().layout_no_wrap(text.clone(), font.clone(), egui::Color32::BLACK).size().x;
    let column = |index: usize| {
        let cells = inset.rows.iter().filter_map(|(_, cells)| cells.get(index)).chain(inset.head.get(index));
        cells.map(wide).fold(0.0, f32::max)
    };
    let names = column(0).min(96.0);
    let width = (1..columns).map(column).sum::<f32>() + names + 8.0 * columns as f32 + 24.0;
    let height = ROW * (inset.rows.len() + 1) as f32 + 10.0;
    let corner = pos2(plot.right() - 6.0, plot.bottom() - 6.0);
    if width > plot.width() * 0.8 || height > plot.height() * 0.8 {
        return;
    }
    let rect = Rect::from_min_max(corner - vec2(width, height), corner);
    let mut own = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("percentiles"));
    let edge = Stroke::new(1.0, style::colour(palette.grid));
    let frame = Frame::new().fill(style::colour(palette.panel)).stroke(edge).inner_margin(Margin::symmetric(6, 3));
    frame.show(&mut own, |ui| {
        ui.spacing_mut().item_spacing = vec2(6.0, 2.0);
        ui.spacing_mut().interact_size.y = ROW - 2.0;
        Grid::new("percentiles").num_columns(columns + 1).spacing([8.0, 2.0]).min_col_width(10.0).show(ui, |ui| {
            ui.label("");
            for text in &inset.head {
                ui.label(RichText::new(text).size(style::SMALL).weak());
            }
            ui.end_row();
            for (look, cells) in &inset.rows {
                let (room, _) = ui.allocate_exact_size(Vec2::splat(11.0), egui::Sense::empty());
                style::mark(ui.painter(), &palette, *look, room.center(), 4.0);
                let name = cells.first().map_or("", String::as_str);
                let shown = style::elided(ui.painter(), name, font.clone(), style::colour(palette.text), names);
                ui.label(shown).on_hover_text(name);
                for cell in &cells[1..] {
                    ui.label(RichText::new(cell).size(style::SMALL));
                }
                ui.end_row();
            }
        });
    });
}
