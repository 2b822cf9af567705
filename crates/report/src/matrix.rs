//! Lays out a matrix of counts: each cell a number, a share of its row and a bar.

use crate::chart::Area;
use crate::lettering::{self, Weight};
use crate::number::{grouped, percent};
use crate::palette::Palette;
use crate::scene::{Anchor, Scene, Style};
use crate::spec::{Matrix, MatrixRow};

const HEAD: f64 = 15.0;

/// Names longer than this are cut, sooner where they stand beside each other: numbers are what a matrix is for.
const NAME: f64 = 230.0;
const LOW_NAME: f64 = 150.0;
/// Rows from this height on have room for two lines: the number above its bar, the application below the name.
const TALL: f64 = 46.0;

/// Where the columns lie: the names, then counts, the sum, and the attributes. All rows have one height.
struct Columns {
    x: f64,
    names: f64,
    count: f64,
    total: f64,
    attribute: f64,
    height: f64,
}

impl Columns {
    fn tall(&self) -> bool {
        self.height >= TALL
    }

    /// Size of the figures: smaller where many rows share the height.
    fn figure(&self) -> f64 {
        (self.height * 0.58).clamp(8.0, 17.0)
    }

    fn name(&self) -> f64 {
        if self.tall() { NAME } else { LOW_NAME }
    }

    fn lettering(&self) -> f64 {
        self.figure().min(HEAD)
    }
}

pub(crate) fn draw(scene: &mut Scene, palette: &Palette, matrix: &Matrix, area: Area) {
    let columns = columns(matrix, area);
    let used = columns.names
        + columns.count * matrix.columns.len() as f64
        + columns.total
        + columns.attribute * matrix.attributes.len() as f64;
    head(scene, palette, matrix, &columns, area.y);
    let mut previous = None;
    for (index, row) in matrix.rows.iter().enumerate() {
        let y = area.y + 40.0 + columns.height * index as f64;
        // A rule parts contenders; the applications of one stay together.
        let first = previous != Some(&row.name);
        let inset = if first { 0.0 } else { columns.names };
        scene.rect(area.x + inset, y, used - inset, if first { 1.2 } else { 0.8 }, palette.grid);
        draw_row(scene, palette, row, &columns, y, first);
        previous = Some(&row.name);
    }
}

fn columns(matrix: &Matrix, area: Area) -> Columns {
    let height = ((area.height - 40.0) / matrix.rows.len().max(1) as f64).min(110.0);
    let measure = |text: &str, weight| lettering::width(text, HEAD, weight) * 1.08;
    let widest = |text: fn(&MatrixRow) -> &String, weight| {
        let most = if height >= TALL { NAME } else { LOW_NAME };
        let widths = matrix.rows.iter().map(|row| measure(text(row), weight).min(most));
        widths.fold(0.0, f64::max)
    };
    let (name, detail) = (widest(|row| &row.name, Weight::Bold), widest(|row| &row.detail, Weight::Regular));
    // Low rows have name and application beside each other.
    let names = if height >= TALL { name.max(detail).max(90.0) } else { (name + 14.0 + detail).max(90.0) } + 46.0;
    let total = measure(&matrix.total, Weight::Bold).max(80.0) + 24.0;
    let attribute = matrix.attributes.iter().map(|name| measure(name, Weight::Regular)).fold(76.0, f64::max) + 28.0;
    let fixed = names + total + attribute * matrix.attributes.len() as f64;
    let count = ((area.width - fixed) / matrix.columns.len().max(1) as f64).max(0.0);
    Columns { x: area.x, names, count, total, attribute, height }
}

fn head(scene: &mut Scene, palette: &Palette, matrix: &Matrix, columns: &Columns, y: f64) {
    let baseline = y + 26.0;
    let style = Style::new(HEAD, palette.text).bold();
    for (index, name) in matrix.columns.iter().enumerate() {
        let name = lettering::fitted(name, HEAD, Weight::Bold, columns.count - 12.0);
        scene.text(columns.x + columns.names + columns.count * index as f64, baseline, name, style);
    }
    let mut right = columns.x + columns.names + columns.count * matrix.columns.len() as f64 + columns.total;
    scene.text(right - 16.0, baseline, matrix.total.clone(), style.anchored(Anchor::End));
    for name in &matrix.attributes {
        right += columns.attribute;
        let style = Style::new(HEAD, palette.muted).anchored(Anchor::End);
        scene.text(right, baseline, name.clone(), style);
    }
}

fn draw_row(scene: &mut Scene, palette: &Palette, row: &MatrixRow, columns: &Columns, y: f64, first: bool) {
    let middle = y + columns.height / 2.0;
    let colour = palette.of(row.look);
    let baseline = if columns.tall() { middle - 2.0 } else { middle + columns.figure() * 0.12 };
    let size = columns.lettering();
    if first {
        let open = row.look.variant.then_some(palette.background);
        scene.mark(row.look.mark, (columns.x + 8.0, baseline - size / 3.0), 5.5, colour, open);
        let name = lettering::fitted(&row.name, size, Weight::Bold, columns.name());
        scene.text(columns.x + 24.0, baseline, name, Style::new(size, palette.text).bold());
    }
    if !row.detail.is_empty() {
        let style = Style::new(size, palette.muted);
        let detail = lettering::fitted(&row.detail, size, Weight::Regular, columns.name());
        if columns.tall() {
            let below = if first { 19.0 } else { 0.0 };
            scene.text(columns.x + 24.0, baseline + below, detail, style);
        } else {
            let x = columns.x + columns.names - 22.0;
            scene.text(x, baseline, detail, style.anchored(Anchor::End));
        }
    }
    for (index, count) in row.counts.iter().enumerate() {
        let x = columns.x + columns.names + columns.count * index as f64;
        cell(scene, palette, columns, (*count, row.total), (x, baseline), colour);
    }
    let mut right = columns.x + columns.names + columns.count * row.counts.len() as f64 + columns.total;
    let number = Style::new(columns.figure(), palette.text).anchored(Anchor::End);
    scene.text(right - 16.0, baseline, grouped(row.total), number);
    for count in &row.attributes {
        right += columns.attribute;
        if *count == 0 {
            scene.text(right, baseline, "0", Style { colour: palette.muted, ..number });
            continue;
        }
        scene.text(right, baseline, grouped(*count), number.bold());
        // Attributes have bars of the same meaning as fates, a share of what was offered; no more than all of it.
        let room = columns.attribute - 24.0;
        let length = (room * *count as f64 / row.total.max(1) as f64).clamp(2.0, room);
        let (below, thick) = bar(columns);
        scene.rect(right - room, baseline + below, room, thick, palette.span);
        scene.rect(right - room, baseline + below, length, thick, colour);
    }
}

/// How far below the baseline of its number a bar begins, and how thick it is.
fn bar(columns: &Columns) -> (f64, f64) {
    if columns.tall() { (9.0, 8.0) } else { (columns.figure() * 0.25, (columns.height * 0.15).min(5.0)) }
}

fn cell(
    scene: &mut Scene,
    palette: &Palette,
    columns: &Columns,
    (count, total): (u64, u64),
    (x, baseline): (f64, f64),
    colour: crate::palette::Rgb,
) {
    let (size, width) = (columns.figure(), columns.count - 24.0);
    if count == 0 {
        return scene.text(x, baseline, "0", Style::new(size, palette.muted));
    }
    let number = grouped(count);
    scene.text(x, baseline, number.clone(), Style::new(size, palette.text).bold());
    let share = x + lettering::width(&number, size, Weight::Bold) * 1.08 + 9.0;
    let (of, small) = (percent(count, total), size.min(14.0));
    if share + lettering::width(&of, small, Weight::Regular) <= x + width + 14.0 {
        scene.text(share, baseline, of, Style::new(small, palette.muted));
    }
    let (below, thick) = bar(columns);
    scene.rect(x, baseline + below, width, thick, palette.span);
    // At least a sliver, because one message of a million is not none.
    let length = (width * count as f64 / total.max(1) as f64).max(2.0);
    scene.rect(x, baseline + below, length, thick, colour);
}
