//! Lays out a matrix of counts: each cell a number, a share of its row and a bar.

use crate::chart::Area;
use crate::lettering::{self, Weight};
use crate::number::{grouped, percent};
use crate::palette::Palette;
use crate::scene::{Anchor, Scene, Style};
use crate::spec::{Matrix, MatrixRow};

const HEAD: f64 = 15.0;

/// Where the columns lie: the names, then counts, the sum, and the attributes.
struct Columns {
    x: f64,
    names: f64,
    count: f64,
    total: f64,
    attribute: f64,
}

pub(crate) fn draw(scene: &mut Scene, palette: &Palette, matrix: &Matrix, area: Area) {
    let measure = |text: &str, weight| lettering::width(text, HEAD, weight) * 1.08;
    let names =
        matrix.rows.iter().map(|row| measure(&row.name, Weight::Bold).max(measure(&row.detail, Weight::Regular)));
    let names = names.fold(90.0, f64::max) + 46.0;
    let total = measure(&matrix.total, Weight::Bold).max(80.0) + 24.0;
    let attribute = matrix.attributes.iter().map(|name| measure(name, Weight::Regular)).fold(70.0, f64::max) + 20.0;
    let fixed = names + total + attribute * matrix.attributes.len() as f64;
    let count = ((area.width - fixed) / matrix.columns.len().max(1) as f64).min(380.0);
    let columns = Columns { x: area.x, names, count, total, attribute };
    let used = fixed + count * matrix.columns.len() as f64;
    let height = ((area.height - 40.0) / matrix.rows.len().max(1) as f64).min(96.0);
    head(scene, palette, matrix, &columns, area.y);
    let mut previous = None;
    for (index, row) in matrix.rows.iter().enumerate() {
        let y = area.y + 40.0 + height * index as f64;
        // A rule parts contenders; the applications of one stay together.
        let first = previous != Some(&row.name);
        let inset = if first { 0.0 } else { names };
        scene.rect(area.x + inset, y, used - inset, if first { 1.2 } else { 0.8 }, palette.grid);
        draw_row(scene, palette, row, &columns, (y, height), first);
        previous = Some(&row.name);
    }
}

fn head(scene: &mut Scene, palette: &Palette, matrix: &Matrix, columns: &Columns, y: f64) {
    let baseline = y + 26.0;
    let style = Style::new(HEAD, palette.text).bold();
    for (index, name) in matrix.columns.iter().enumerate() {
        scene.text(columns.x + columns.names + columns.count * index as f64, baseline, name.clone(), style);
    }
    let mut right = columns.x + columns.names + columns.count * matrix.columns.len() as f64 + columns.total;
    scene.text(right - 16.0, baseline, matrix.total.clone(), style.anchored(Anchor::End));
    for name in &matrix.attributes {
        right += columns.attribute;
        let style = Style::new(HEAD, palette.muted).anchored(Anchor::End);
        scene.text(right, baseline, name.clone(), style);
    }
}

fn draw_row(
    scene: &mut Scene,
    palette: &Palette,
    row: &MatrixRow,
    columns: &Columns,
    (y, height): (f64, f64),
    first: bool,
) {
    let middle = y + height / 2.0;
    let colour = palette.of(row.look);
    let tall = height >= 46.0;
    // With little height the bar lies under the number, else the number stands above its bar.
    let baseline = if tall { middle - 2.0 } else { middle + 1.0 };
    if first {
        let open = row.look.variant.then_some(palette.background);
        scene.mark(row.look.mark, (columns.x + 8.0, baseline - 5.0), 5.5, colour, open);
        scene.text(columns.x + 24.0, baseline, row.name.clone(), Style::new(HEAD, palette.text).bold());
    }
    if !row.detail.is_empty() {
        let detail = Style::new(HEAD, palette.muted);
        if tall {
            let below = if first { 19.0 } else { 0.0 };
            scene.text(columns.x + 24.0, baseline + below, row.detail.clone(), detail);
        } else {
            let x = columns.x + columns.names - 22.0;
            scene.text(x, baseline, row.detail.clone(), detail.anchored(Anchor::End));
        }
    }
    for (index, count) in row.counts.iter().enumerate() {
        let x = columns.x + columns.names + columns.count * index as f64;
        cell(scene, palette, (*count, row.total), (x, baseline, columns.count - 24.0), colour);
    }
    let mut right = columns.x + columns.names + columns.count * row.counts.len() as f64 + columns.total;
    let number = Style::new(17.0, palette.text).anchored(Anchor::End);
    scene.text(right - 16.0, baseline, grouped(row.total), number);
    for count in &row.attributes {
        right += columns.attribute;
        let colour = if *count > 0 { palette.text } else { palette.muted };
        scene.text(right, baseline, grouped(*count), Style { colour, ..number });
    }
}

fn cell(
    scene: &mut Scene,
    palette: &Palette,
    (count, total): (u64, u64),
    (x, baseline, width): (f64, f64, f64),
    colour: crate::palette::Rgb,
) {
    if count == 0 {
        return scene.text(x, baseline, "0", Style::new(17.0, palette.muted));
    }
    let number = grouped(count);
    scene.text(x, baseline, number.clone(), Style::new(17.0, palette.text).bold());
    let share = x + lettering::width(&number, 17.0, Weight::Bold) * 1.08 + 9.0;
    scene.text(share, baseline, percent(count, total), Style::new(14.0, palette.muted));
    let top = baseline + 9.0;
    scene.rect(x, top, width, 8.0, palette.span);
    // At least a sliver, because one message of a million is not none.
    let length = (width * count as f64 / total.max(1) as f64).max(2.0);
    scene.rect(x, top, length, 8.0, colour);
}
