//! The table of percentiles in a corner of the latency curve.

use brokerlab_lab::reporting::Inset;
use eframe::egui::{
    self, Align2, Frame, Grid, Margin, Rect, RichText, Role, Stroke, Ui, UiBuilder, Vec2, WidgetInfo, vec2,
};

use crate::drawn::Drawn;
use crate::style;

/// The height of a row.
const ROW: f32 = 19.0;

/// Shows the table in the corner of a plot in which it hides least of the curves.
pub fn show(ui: &mut Ui, inset: &Inset, drawn: &Drawn, plot: Rect) {
    let palette = style::palette(ui.ctx());
    let font = style::regular(style::SMALL);
    let columns = inset.head.len();
    let wide = |text: &String| ui.painter().layout_no_wrap(text.clone(), font.clone(), egui::Color32::BLACK).size().x;
    let column = |index: usize| {
        let cells = inset.rows.iter().filter_map(|(_, cells)| cells.get(index)).chain(inset.head.get(index));
        cells.map(wide).fold(0.0, f32::max)
    };
    let width = (1..columns).map(column).sum::<f32>() + 8.0 * columns as f32 + 24.0;
    let height = ROW * (inset.rows.len() + 1) as f32 + 10.0;
    if width > plot.width() * 0.62 || height > plot.height() * 0.8 {
        return;
    }
    let room = plot.shrink(6.0);
    let share =
        |x: f32, y: f32| [f64::from((x - plot.left()) / plot.width()), f64::from((plot.bottom() - y) / plot.height())];
    let hidden = |rect: &Rect| {
        let around = rect.expand(6.0);
        drawn.points_within(share(around.left(), around.bottom()), share(around.right(), around.top()))
    };
    let corners = [Align2::RIGHT_BOTTOM, Align2::LEFT_TOP, Align2::RIGHT_TOP, Align2::LEFT_BOTTOM];
    let rects = corners.map(|corner| corner.align_size_within_rect(vec2(width, height), room));
    let Some(rect) = rects.into_iter().min_by_key(hidden) else { return };
    let mut own = ui.new_child(UiBuilder::new().max_rect(rect).id_salt("percentiles"));
    let edge = Stroke::new(1.0, style::colour(palette.grid));
    let frame = Frame::new().fill(style::colour(palette.panel)).stroke(edge).inner_margin(Margin::symmetric(6, 3));
    frame.show(&mut own, |ui| {
        ui.spacing_mut().item_spacing = vec2(6.0, 2.0);
        ui.spacing_mut().interact_size.y = ROW - 2.0;
        Grid::new("percentiles").num_columns(columns).spacing([8.0, 2.0]).min_col_width(10.0).show(ui, |ui| {
            ui.label("");
            for text in &inset.head[1..] {
                ui.label(RichText::new(text).size(style::SMALL).weak());
            }
            ui.end_row();
            for (look, cells) in &inset.rows {
                let (room, mark) = ui.allocate_exact_size(Vec2::splat(11.0), egui::Sense::hover());
                style::mark(ui.painter(), &palette, *look, room.center(), 4.0);
                // The legend above names the marks; here the name would hide more of the curves.
                let name = cells.first().map_or("", String::as_str);
                mark.widget_info(|| WidgetInfo::labeled(Role::Label, true, name));
                mark.on_hover_text(name);
                for cell in &cells[1..] {
                    ui.label(RichText::new(cell).size(style::SMALL));
                }
                ui.end_row();
            }
        });
    });
}
