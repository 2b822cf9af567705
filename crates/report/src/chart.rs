//! Lays out a chart: axes, shading, curves, marks, direct labels. Sizes are in logical pixels.

use std::collections::BTreeMap;

use crate::lettering::{self, Weight};
use crate::number::{self, Tick};
use crate::palette::{Look, Palette, TONES};
use crate::scene::{Anchor, Scene, Style};
use crate::spec::{Chart, Draw, Inset, MAX_MARKS, Scale, Series};

/// A rectangle on the page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub x: f64,
    pub y: f64,
    pub width: f64,
    pub height: f64,
}

impl Area {
    fn right(self) -> f64 {
        self.x + self.width
    }

    pub fn bottom(self) -> f64 {
        self.y + self.height
    }
}

const TICK: f64 = 14.0;
const LABEL: f64 = 14.0;
const LINE: f64 = 2.2;
const MARK: f64 = 4.6;

/// Where values lie on the page.
#[derive(Clone, Copy, Debug)]
struct Frame {
    area: Area,
    x: ((f64, f64), Scale),
    y: ((f64, f64), Scale),
}

fn share(((low, high), scale): ((f64, f64), Scale), value: f64) -> f64 {
    match scale {
        Scale::Linear => (value - low) / (high - low),
        Scale::Log => libm::log10(value.max(low) / low) / libm::log10(high / low),
    }
}

impl Frame {
    fn x(&self, value: f64) -> f64 {
        self.area.x + share(self.x, value).clamp(0.0, 1.0) * self.area.width
    }

    fn y(&self, value: f64) -> f64 {
        self.area.bottom() - share(self.y, value).clamp(0.0, 1.0) * self.area.height
    }

    fn point(&self, (x, y): (f64, f64)) -> (f64, f64) {
        (self.x(x), self.y(y))
    }
}

/// The vertical range that holds every point of some charts, so that panels can be compared.
pub(crate) fn shared_ranges(charts: &[Chart]) -> ((f64, f64), (f64, f64)) {
    let first = &charts[0];
    let points = || charts.iter().flat_map(|chart| &chart.series).flat_map(|series| &series.points);
    let bands = || charts.iter().flat_map(|chart| &chart.series).flat_map(|series| &series.band);
    let x = number::range(&first.x, points().map(|p| p.0).chain(bands().map(|b| b.0)), 8);
    // Marks and curves keep a little distance from the upper edge, and more where the names of faults stand there.
    let air = if charts.iter().any(|chart| !chart.spans.is_empty()) { 1.1 } else { 1.03 };
    let all = || charts.iter().flat_map(|chart| &chart.series);
    let heights = all().flat_map(|series| series.points.iter().flat_map(move |p| [p.1, p.1 * air]));
    let y = number::range(&first.y, heights.chain(bands().flat_map(|b| [b.1, b.2])), 6);
    (x, y)
}

/// How much room the letters of a panel take.
const HEADING: f64 = 28.0;
const ABOVE: f64 = 12.0;
const EDGE: f64 = 18.0;

/// The axes of a panel, below a strip of `top` pixels and with `ends` pixels to the right of them.
fn framed(chart: &Chart, area: Area, ranges: ((f64, f64), (f64, f64)), (top, ends): (f64, f64)) -> Frame {
    let left = widest(&y_ticks(chart, area, ranges)) + 12.0 + 26.0;
    let height = area.height - top - 50.0;
    let area = Area { x: area.x + left, y: area.y + top, width: area.width - left - ends, height };
    Frame { area, x: (ranges.0, chart.x.scale), y: (ranges.1, chart.y.scale) }
}

fn y_ticks(chart: &Chart, area: Area, ranges: ((f64, f64), (f64, f64))) -> Vec<Tick> {
    number::ticks(&chart.y, ranges.1, (area.height / 70.0).clamp(3.0, 6.0) as usize)
}

fn widest(ticks: &[Tick]) -> f64 {
    ticks.iter().map(|tick| lettering::width(&tick.label, TICK, Weight::Regular)).fold(0.0, f64::max)
}

fn heading(chart: &Chart) -> f64 {
    if chart.heading.is_empty() { 0.0 } else { HEADING }
}

/// True where the inset of a panel of this size would hide data in every corner and has to stand above the axes.
pub(crate) fn inset_above(chart: &Chart, (width, height): (f64, f64), ranges: ((f64, f64), (f64, f64))) -> bool {
    let area = Area { x: 0.0, y: 0.0, width, height };
    let frame = framed(chart, area, ranges, (heading(chart), EDGE));
    chart.inset.as_ref().is_some_and(|table| {
        let size = inset_size(table, frame.area.width);
        empty_corner(chart, frame, size).is_none()
    })
}

/// Draws one panel. `labels` asks for names at the ends of the curves, `above` for the inset above the axes, where
/// it stands in every panel if it does in one.
pub(crate) fn draw(
    scene: &mut Scene,
    palette: &Palette,
    chart: &Chart,
    area: Area,
    ranges: ((f64, f64), (f64, f64)),
    (labels, above): (bool, bool),
) {
    let y_ticks = y_ticks(chart, area, ranges);
    // An inset names the curves already, and there it can be done without crowding.
    let labels = labels && chart.inset.is_none();
    let ends = if labels { end_label_width(chart, area.width) } else { EDGE };
    let frame = framed(chart, area, ranges, (heading(chart), ends));
    let size = chart.inset.as_ref().map(|table| inset_size(table, frame.area.width));
    let (frame, corner) = match size {
        Some(size) if above => {
            let frame = framed(chart, area, ranges, (heading(chart) + size.1 + ABOVE, ends));
            (frame, Some((frame.area.x, area.y + heading(chart))))
        }
        Some(size) => (frame, empty_corner(chart, frame, size)),
        None => (frame, None),
    };
    let inner = frame.area;
    if !chart.heading.is_empty() {
        let heading = lettering::fitted(&chart.heading, 16.0, Weight::Bold, inner.width);
        scene.text(inner.x, area.y + 16.0, heading, Style::new(16.0, palette.text).bold());
    }
    scene.rect(inner.x, inner.y, inner.width, inner.height, palette.panel);
    spans(scene, palette, chart, frame);
    axes(scene, palette, chart, frame, &y_ticks);
    guides(scene, palette, chart, frame);
    for (index, series) in chart.series.iter().enumerate() {
        // Of equal curves only the last would show; the ones below are drawn wider and show at its edges.
        let same = |later: &&Series| later.draw == series.draw && later.points == series.points;
        let hidden = chart.series[index + 1..].iter().filter(same).count();
        curve(scene, palette, series, frame, LINE + 2.8 * hidden as f64);
    }
    for (index, series) in chart.series.iter().enumerate() {
        marks(scene, palette, series, frame, (index, chart.series.len()));
    }
    if chart.series.iter().all(|series| series.points.is_empty()) && !chart.empty.is_empty() {
        let style = Style::new(16.0, palette.muted).anchored(Anchor::Middle);
        let (x, y) = (inner.x + inner.width / 2.0, inner.y + inner.height / 2.0);
        let half = lettering::width(&chart.empty, style.size, style.weight) / 2.0 + 10.0;
        scene.rect(x - half, y - 20.0, 2.0 * half, 30.0, palette.panel);
        scene.text(x, y, chart.empty.clone(), style);
    }
    span_labels(scene, palette, chart, frame);
    if labels {
        end_labels(scene, palette, chart, frame, ends);
    }
    if let (Some(table), Some(corner)) = (&chart.inset, corner) {
        inset(scene, palette, table, corner, inner.width);
    }
}

fn spans(scene: &mut Scene, palette: &Palette, chart: &Chart, frame: Frame) {
    let area = frame.area;
    for span in &chart.spans {
        let from = frame.x(span.from);
        // A fault without an end, or one that lasts but a moment, still shows as a line.
        let until = frame.x(span.until.unwrap_or(f64::INFINITY)).max(from + 1.5);
        scene.rect(from, area.y, until - from, area.height, palette.span);
    }
    for span in &chart.spans {
        scene.rect(frame.x(span.from), area.y, 1.5, area.height, palette.muted);
    }
}

/// What the shaded stretches are, above the curves so that none runs through the words.
fn span_labels(scene: &mut Scene, palette: &Palette, chart: &Chart, frame: Frame) {
    const ROW: f64 = 19.0;
    let area = frame.area;
    let mut rows: Vec<f64> = Vec::new();
    for span in &chart.spans {
        let from = frame.x(span.from);
        // A label that would run out of the panel moves left, but not far: then it is broken, and cut at last.
        let room = (area.right() - from).max(area.width * 0.45) - 14.0;
        let lines = broken(&span.label, room);
        let widest = lines.iter().map(|line| lettering::width(line, TICK, Weight::Regular)).fold(0.0, f64::max);
        let width = widest + 12.0;
        let x = from.min(area.right() - width).max(area.x);
        // One that would run into an earlier one moves down until all its lines are free.
        let free = |row: usize| (row..row + lines.len()).all(|row| rows.get(row).is_none_or(|end| *end <= x));
        let row = (0..).find(|row| free(*row)).expect("below all labels there is room");
        rows.resize(rows.len().max(row + lines.len()), f64::NEG_INFINITY);
        for (index, line) in lines.into_iter().enumerate() {
            rows[row + index] = x + width + 8.0;
            let y = area.y + 18.0 + ROW * (row + index) as f64;
            if y < area.bottom() - 10.0 {
                scene.rect(x + 3.0, y - 14.0, width - 4.0, 18.0, palette.panel);
                scene.text(x + 7.0, y, line, Style::new(TICK, palette.muted));
            }
        }
    }
}

/// A label on one line, or on two where it is too long for one.
fn broken(label: &str, room: f64) -> Vec<String> {
    let fits = |text: &str| lettering::width(text, TICK, Weight::Regular) <= room;
    let spaces = label.char_indices().filter(|(_, letter)| *letter == ' ').map(|(at, _)| at);
    match spaces.take_while(|at| fits(&label[..*at])).last() {
        Some(at) if !fits(label) => {
            vec![label[..at].to_owned(), lettering::fitted(&label[at + 1..], TICK, Weight::Regular, room)]
        }
        _ => vec![lettering::fitted(label, TICK, Weight::Regular, room)],
    }
}

fn axes(scene: &mut Scene, palette: &Palette, chart: &Chart, frame: Frame, y_ticks: &[Tick]) {
    let area = frame.area;
    let style = Style::new(TICK, palette.text);
    for tick in y_ticks {
        let y = frame.y(tick.at);
        scene.rect(area.x, y - 0.5, area.width, 1.0, palette.grid);
        scene.text(area.x - 9.0, y + 0.34 * TICK, tick.label.clone(), style.anchored(Anchor::End));
    }
    let steps = (area.width / 90.0).clamp(3.0, 10.0) as usize;
    let mut free = f64::NEG_INFINITY;
    for tick in number::ticks(&chart.x, frame.x.0, steps) {
        let x = frame.x(tick.at);
        scene.rect(x - 0.5, area.y, 1.0, area.height, palette.grid);
        let half = lettering::width(&tick.label, TICK, Weight::Regular) / 2.0;
        if x - half > free {
            scene.text(x, area.bottom() + 20.0, tick.label, style.anchored(Anchor::Middle));
            free = x + half + 12.0;
        }
    }
    scene.rect(area.x, area.bottom() - 0.75, area.width, 1.5, palette.text);
    let name = |label: &str, unit: &str| format!("{label} ({unit})");
    let label = Style::new(LABEL, palette.muted).anchored(Anchor::Middle);
    scene.text(area.x + area.width / 2.0, area.bottom() + 42.0, name(&chart.x.label, &chart.x.unit), label);
    let x = area.x - widest(y_ticks) - 22.0;
    scene.text(x, area.y + area.height / 2.0, name(&chart.y.label, &chart.y.unit), label.upwards());
}

fn guides(scene: &mut Scene, palette: &Palette, chart: &Chart, frame: Frame) {
    let area = frame.area;
    for guide in &chart.guides {
        let y = frame.y(guide.at);
        scene.dashed(&[(area.x, y), (area.right(), y)], palette.theory, 1.2);
        scene.text(area.x + 8.0, y + 15.0, guide.label.clone(), Style::new(TICK, palette.theory));
    }
}

/// The points of a series on the page, as many as the panel has room for.
fn placed(series: &Series, frame: Frame) -> Vec<(f64, f64)> {
    let (from, until) = frame.x.0;
    match series.draw {
        Draw::Points => series.points.iter().map(|point| frame.point(*point)).collect(),
        _ => {
            let thin = series.thinned(from, until, frame.area.width as usize);
            thin.into_iter().map(|point| frame.point(point)).collect()
        }
    }
}

fn curve(scene: &mut Scene, palette: &Palette, series: &Series, frame: Frame, width: f64) {
    let colour = palette.of(series.look);
    if !series.band.is_empty() {
        let upper = series.band.iter().map(|(x, _, high)| frame.point((*x, *high)));
        let lower = series.band.iter().rev().map(|(x, low, _)| frame.point((*x, *low)));
        scene.polygon(upper.chain(lower).collect(), palette.tone(series.look, 0));
    }
    let points = placed(series, frame);
    match series.draw {
        Draw::Points => {}
        Draw::Theory => scene.dashed(&points, palette.theory, 1.8),
        Draw::Line => scene.line(points, colour, width),
        Draw::Steps => {
            let mut steps = Vec::with_capacity(points.len() * 2);
            for (index, point) in points.iter().enumerate() {
                if index > 0 {
                    steps.push((point.0, points[index - 1].1));
                }
                steps.push(*point);
            }
            scene.line(steps, colour, width);
        }
    }
}

/// A field of cells, each as strong as it has points, where thousands of marks would only cover each other.
fn cells(scene: &mut Scene, palette: &Palette, look: Look, points: &[(f64, f64)], area: Area) {
    const CELL: f64 = 9.0;
    let mut counts: BTreeMap<(u32, u32), u32> = BTreeMap::new();
    for (x, y) in points {
        let cell = (((x - area.x) / CELL) as u32, ((area.bottom() - y) / CELL) as u32);
        *counts.entry(cell).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or(1);
    for ((column, row), count) in counts {
        // By the logarithm, so that a single message stays visible beside a cell of a thousand.
        let share = libm::log(f64::from(1 + count)) / libm::log(f64::from(1 + most));
        let (x, y) = (area.x + f64::from(column) * CELL, area.bottom() - f64::from(row + 1) * CELL);
        let (width, top) = (CELL.min(area.right() - x), y.max(area.y));
        let step = (share * (TONES.len() - 1) as f64 + 0.5) as usize;
        scene.rect(x, top, width, y + CELL - top, palette.tone(look, step));
    }
}

/// Every point of a scatter; of a curve a few, at other places for each series so that equal curves do not hide
/// each other's.
fn marks(scene: &mut Scene, palette: &Palette, series: &Series, frame: Frame, (index, count): (usize, usize)) {
    let colour = palette.of(series.look);
    let open = series.look.variant.then_some(palette.panel);
    let points = placed(series, frame);
    let spacing = frame.area.width / 8.0;
    let mut next = frame.area.x + spacing * (index as f64 + 0.5) / count as f64;
    match series.draw {
        Draw::Theory => {}
        Draw::Points if points.len() > MAX_MARKS => cells(scene, palette, series.look, &points, frame.area),
        Draw::Points => {
            let radius = match points.len() {
                0..200 => 4.0,
                200..1_000 => 3.2,
                _ => 2.6,
            };
            for point in points {
                scene.mark(series.look.mark, point, radius, colour, open);
            }
        }
        Draw::Line | Draw::Steps => {
            for point in points {
                if point.0 >= next {
                    scene.mark(series.look.mark, point, MARK, colour, open);
                    next += spacing * libm::floor(1.0 + (point.0 - next) / spacing);
                }
            }
        }
    }
}

/// Names at the ends of curves take at most this share of a panel, and are cut there.
const END_SHARE: f64 = 0.24;

fn end_label_width(chart: &Chart, width: f64) -> f64 {
    let names = chart.series.iter().filter(|series| series.draw != Draw::Points && !series.points.is_empty());
    // A tenth more than measured: readers of the SVG may have a wider font.
    let widths = names.map(|series| lettering::width(&series.name, LABEL, Weight::Bold) * 1.1 + 30.0);
    widths.fold(EDGE, f64::max).min(width * END_SHARE)
}

/// Names at the right ends of the curves, pushed apart where they would overlap.
fn end_labels(scene: &mut Scene, palette: &Palette, chart: &Chart, frame: Frame, width: f64) {
    const PITCH: f64 = 20.0;
    let mut labels: Vec<(f64, &Series)> = chart
        .series
        .iter()
        .filter(|series| series.draw != Draw::Points)
        .filter_map(|series| Some((frame.y(series.points.last()?.1), series)))
        .collect();
    labels.sort_by(|a, b| a.0.total_cmp(&b.0));
    let wanted: Vec<f64> = labels.iter().map(|label| label.0).collect();
    let places = spread(&wanted, PITCH, frame.area.y + 4.0, frame.area.bottom() - 4.0);
    for ((_, series), y) in labels.iter().zip(places) {
        let x = frame.area.right() + 14.0;
        let look = series.look;
        if series.draw == Draw::Theory {
            scene.line(vec![(x - 8.0, y), (x - 3.0, y)], palette.theory, 1.8);
            scene.line(vec![(x, y), (x + 5.0, y)], palette.theory, 1.8);
        } else {
            scene.mark(look.mark, (x, y), MARK, palette.of(look), look.variant.then_some(palette.background));
        }
        let name = lettering::fitted(&series.name, LABEL, Weight::Bold, (width - 29.0) / 1.1);
        scene.text(x + 11.0, y + 0.34 * LABEL, name, Style::new(LABEL, palette.text).bold());
    }
}

/// Moves sorted positions as little as needed to be `pitch` apart and, where there is room, inside the bounds:
/// neighbours that collide form a block that sits around their mean.
fn spread(wanted: &[f64], pitch: f64, low: f64, high: f64) -> Vec<f64> {
    let mut blocks: Vec<(f64, usize)> = Vec::new();
    for place in wanted {
        let (mut first, mut size) = (place.clamp(low, high.max(low)), 1);
        while let Some((above, count)) = blocks.last().copied() {
            if above + pitch * count as f64 <= first {
                break;
            }
            // Each block is described by its first place: the mean of the members' wishes for that place.
            let sum = above * count as f64 + (first - pitch * count as f64) * size as f64;
            size += count;
            first = (sum / size as f64).clamp(low, (high - pitch * (size - 1) as f64).max(low));
            blocks.pop();
        }
        blocks.push((first, size));
    }
    blocks.iter().flat_map(|(first, size)| (0..*size).map(move |i| first + pitch * i as f64)).collect()
}

const INSET_ROW: f64 = 24.0;

/// Around the columns of an inset: its mark and margins.
const INSET_EDGE: f64 = 40.0;

/// The widths of an inset's columns; the names give way where the panel has no more room.
fn inset_columns(table: &Inset, room: f64) -> Vec<f64> {
    let width = |text: &String| lettering::width(text, TICK, Weight::Bold) * 1.08;
    let column = |i: usize| {
        let cells = table.rows.iter().filter_map(|(_, cells)| cells.get(i));
        cells.chain(table.head.get(i)).map(width).fold(0.0, f64::max) + 22.0
    };
    let mut widths: Vec<f64> = (0..table.head.len()).map(column).collect();
    let figures: f64 = widths.iter().skip(1).sum();
    if let Some(names) = widths.first_mut() {
        *names = names.min((room - INSET_EDGE - figures).max(30.0));
    }
    widths
}

fn inset_size(table: &Inset, room: f64) -> (f64, f64) {
    let width = inset_columns(table, room).iter().sum::<f64>() + INSET_EDGE;
    (width, INSET_ROW * (table.rows.len() + 1) as f64 + 14.0)
}

fn inset(scene: &mut Scene, palette: &Palette, table: &Inset, (x, y): (f64, f64), room: f64) {
    let widths = inset_columns(table, room);
    let (width, height) = inset_size(table, room);
    scene.rect(x - 1.0, y - 1.0, width + 2.0, height + 2.0, palette.grid);
    scene.rect(x, y, width, height, palette.panel);
    let mut line = |row: usize, cells: &[String], style: Style| {
        let baseline = y + 4.0 + INSET_ROW * (row as f64 + 0.75);
        let mut right = x + 24.0;
        for (index, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            right += width;
            let (x, anchor) = if index == 0 { (x + 28.0, Anchor::Start) } else { (right, Anchor::End) };
            // A name of which only a letter or two would fit is left to its mark.
            let cell = match index {
                0 => Some(lettering::fitted(cell, TICK, style.weight, width - 12.0))
                    .filter(|name| name == cell || *width >= 70.0)
                    .unwrap_or_default(),
                _ => cell.clone(),
            };
            scene.text(x, baseline, cell, style.anchored(anchor));
        }
    };
    line(0, &table.head, Style::new(TICK, palette.muted));
    for (row, (_, cells)) in table.rows.iter().enumerate() {
        line(row + 1, cells, Style::new(TICK, palette.text));
    }
    for (row, (look, _)) in table.rows.iter().enumerate() {
        let center = (x + 15.0, y + 4.0 + INSET_ROW * (row as f64 + 1.55));
        scene.mark(look.mark, center, MARK, palette.of(*look), look.variant.then_some(palette.panel));
    }
}

/// A corner where a box hides no point: the lower right if nothing speaks against it.
fn empty_corner(chart: &Chart, frame: Frame, (width, height): (f64, f64)) -> Option<(f64, f64)> {
    const GAP: f64 = 14.0;
    let area = frame.area;
    // The names of guides stand at the left edge, and stay there.
    let names = chart.guides.iter().map(|guide| lettering::width(&guide.label, TICK, Weight::Regular) + 16.0);
    let (left, right) = (area.x + names.fold(GAP, f64::max), area.right() - width - GAP);
    let (top, bottom) = (area.y + GAP + 6.0, area.bottom() - height - GAP);
    let free = |(x, y): &(f64, f64)| {
        let mut points = chart.series.iter().flat_map(|series| &series.points).map(|point| frame.point(*point));
        let inside =
            |p: (f64, f64)| (x - 6.0..=x + width + 6.0).contains(&p.0) && (y - 6.0..=y + height + 6.0).contains(&p.1);
        width + 2.0 * GAP < area.width && !points.any(inside)
    };
    [(right, bottom), (left, top), (right, top), (left, bottom)].into_iter().find(free)
}

/// A legend on one row, or more where it does not fit: line, mark and name. Returns its height.
pub(crate) fn legend(scene: &mut Scene, palette: &Palette, series: &[&Series], at: (f64, f64), width: f64) -> f64 {
    const ROW: f64 = 26.0;
    let (mut x, mut y) = at;
    for series in series {
        let name = lettering::fitted(&series.name, 15.0, Weight::Regular, 260.0);
        let length = 44.0 + lettering::width(&name, 15.0, Weight::Regular) * 1.1 + 26.0;
        if x + length > at.0 + width && x > at.0 {
            (x, y) = (at.0, y + ROW);
        }
        let middle = y + 8.0;
        let colour = palette.of(series.look);
        match series.draw {
            Draw::Theory => scene.dashed(&[(x, middle), (x + 34.0, middle)], palette.theory, 1.8),
            Draw::Line | Draw::Steps => scene.line(vec![(x, middle), (x + 34.0, middle)], colour, LINE),
            Draw::Points => {}
        }
        if series.draw != Draw::Theory {
            let open = series.look.variant.then_some(palette.background);
            scene.mark(series.look.mark, (x + 17.0, middle), MARK, colour, open);
        }
        scene.text(x + 44.0, middle + 5.0, name, Style::new(15.0, palette.text));
        x += length;
    }
    y + ROW - at.1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inset_names_its_rows_where_there_is_room_for_more_than_a_letter() {
        let look = crate::palette::looks(&[brokerlab_event::Model::Queue])[0];
        let texts = |name: &str, room: f64| -> Vec<String> {
            let cells = [name, "51 ms", "1.2 s", "6.4 s"].map(String::from).into();
            let table = Inset { head: ["", "p50", "p90", "p99"].map(String::from).into(), rows: vec![(look, cells)] };
            let palette = Palette::new(crate::palette::Theme::Light, false);
            let mut scene = Scene { width: 500.0, height: 300.0, background: palette.panel, shapes: Vec::new() };
            inset(&mut scene, &palette, &table, (0.0, 0.0), room);
            let texts = scene.shapes.into_iter().filter_map(|shape| match shape {
                crate::scene::Shape::Text(text) => Some(text.text),
                _ => None,
            });
            texts.collect()
        };
        assert!(texts("queue", 400.0).contains(&"queue".to_owned()), "short names stay");
        let cut = texts("queue-with-a-very-long-name-that-does-not-fit", 330.0);
        assert!(cut.iter().any(|text| text.starts_with("queue-") && text.ends_with('…')), "{cut:?}");
        assert!(
            !texts("queue-with-a-very-long-name", 240.0).iter().any(|text| text.starts_with('q')),
            "left to its mark"
        );
    }

    #[test]
    fn labels_keep_their_distance_and_stay_inside() {
        let cases: [&[f64]; 5] = [&[50.0], &[10.0, 12.0, 90.0], &[99.0, 99.0, 99.0], &[0.0, 1.0, 2.0, 3.0], &[50.0; 6]];
        for wanted in cases {
            let places = spread(wanted, 15.0, 0.0, 100.0);
            assert_eq!(places.len(), wanted.len());
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 15.0 - 1e-9), "{wanted:?} became {places:?}");
            assert!(places.iter().all(|place| (-1e-9..=100.0 + 1e-9).contains(place)), "{places:?}");
        }
        assert_eq!(spread(&[10.0, 60.0], 15.0, 0.0, 100.0), [10.0, 60.0], "labels with room do not move");
    }
}
