//! Figures as a table, for whoever reads or hears rather than looks, and for other programs.

use eframe::egui::{self, Color32, Label, RichText, Role, ScrollArea, TextStyle, Ui, Vec2, WidgetInfo};

use crate::style;

/// The width of a column of figures.
const COLUMN: f32 = 110.0;
/// The length of a bar that stands for everything.
const BAR: f32 = 90.0;

/// A row of a table.
pub struct Row {
    /// A text for each column.
    pub cells: Vec<String>,
    /// A bar at the end: which part of the whole, and its colour.
    pub bar: Option<(f32, Color32)>,
    /// It sums up what is above it.
    pub sum: bool,
}

impl Row {
    /// A row of texts.
    pub fn new(cells: Vec<String>) -> Row {
        Row { cells, bar: None, sum: false }
    }
}

/// Shows a table of so many rows, of which only those are made that are seen, with a button that copies it all.
pub fn show(ui: &mut Ui, place: &str, head: &[String], count: usize, row: impl Fn(usize) -> Row) {
    let response = ui.button("Copy").on_hover_text("the whole table, as spreadsheets take it");
    let label = format!("Copy the table on the {place}");
    response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &label));
    if response.clicked() {
        ui.ctx().copy_text(copied(head, (0..count).map(&row)));
    }
    let height = ui.text_style_height(&TextStyle::Body);
    ScrollArea::horizontal().id_salt(("wide", place)).auto_shrink(false).show(ui, |ui| {
        ui.horizontal(|ui| head.iter().for_each(|name| cell(ui, name, height, true)));
        let rows = ScrollArea::vertical().id_salt(("rows", place)).auto_shrink(false);
        rows.show_rows(ui, height, count, |ui, shown| {
            for row in shown.map(&row) {
                ui.horizontal(|ui| {
                    row.cells.iter().for_each(|text| cell(ui, text, height, row.sum));
                    if let Some((part, colour)) = row.bar {
                        bar(ui, part, colour, height);
                    }
                });
            }
        });
    });
}

fn cell(ui: &mut Ui, text: &str, height: f32, strong: bool) {
    let shown = if strong { style::strong(text) } else { RichText::new(text) };
    ui.add_sized([COLUMN, height], Label::new(shown).truncate().halign(egui::Align::Min)).on_hover_text(text);
}

fn bar(ui: &mut Ui, part: f32, colour: Color32, height: f32) {
    let (room, _) = ui.allocate_exact_size(Vec2::new(BAR, height), egui::Sense::empty());
    let full = room.shrink2(Vec2::new(0.0, 4.0));
    ui.painter().rect_filled(full, 0.0, ui.visuals().faint_bg_color);
    // Even one message of a million shows.
    let width = if part > 0.0 { (part * full.width()).clamp(1.5, full.width()) } else { 0.0 };
    ui.painter().rect_filled(full.with_max_x(full.left() + width), 0.0, colour);
}

/// The table as lines of fields between tabs; what is in a field breaks neither.
fn copied(head: &[String], rows: impl Iterator<Item = Row>) -> String {
    let line = |cells: &[String]| {
        let plain: Vec<String> = cells.iter().map(|cell| cell.replace(['\t', '\n'], " ")).collect();
        plain.join("\t") + "\n"
    };
    let mut text = line(head);
    rows.for_each(|row| text += &line(&row.cells));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_copied_as_lines_of_fields() {
        let head = ["fate".to_string(), "messages".to_string()];
        let rows = [["a\tb", "1,234"], ["sum = offered", "0"]];
        let rows = rows.into_iter().map(|cells| Row::new(cells.map(String::from).into()));
        assert_eq!(copied(&head, rows), "fate\tmessages\na b\t1,234\nsum = offered\t0\n");
    }
}
