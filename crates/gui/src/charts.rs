//! The plots: the same [`PlotSpec`] that becomes SVG, PNG and CSV headless, drawn with a cursor at the time that is
//! looked at.

use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::{
    Body, Chart, Draw, MAX_MARKS, Mark, Palette, PlotSpec, Scale, Series, grouped, thinned,
};
use eframe::egui::{self, Color32, Id, Rangef, Role, Stroke, Ui, WidgetInfo, vec2};
use egui_plot::{
    AxisHints, GridInput, GridMark, HLine, Line, LineStyle, MarkerShape, Plot, PlotBounds, PlotPoint, PlotPoints,
    Points, Polygon, Text, VLine,
};

use crate::{matrix, percentiles, style};

/// Charts over virtual time share their horizontal axis and their crosshair.
const TIME: &str = "virtual time";

/// The backlog has two units: messages, and seconds in a plot of its own.
pub const UNITS: [(&str, &str); 2] = [("backlog", "messages"), ("backlog-age", "seconds")];

/// What a plot shows beside its figures.
pub struct Context<'a> {
    /// The time that is looked at, in seconds.
    pub now: f64,
    /// The same plot of the runs before the last change.
    pub ghost: Option<&'a PlotSpec>,
    /// What the window remembers of this place for a plot.
    pub slot: &'a mut Slot,
    /// The crosshair that all charts over time share.
    pub crosshair: Crosshair,
    /// The stretch of time that these show, in seconds.
    pub stretch: (f64, f64),
    /// Where the pointer is over one of them.
    pub hovered: &'a mut Option<f64>,
}

/// The crosshair of all charts over time, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Crosshair {
    /// Where the pointer was in the last frame.
    pub hovered: Option<f64>,
    /// Where it is held.
    pub pinned: Option<f64>,
}

impl Crosshair {
    /// Holds it where the pointer is, or else at the time that is looked at; or lets it go.
    pub fn pin(&mut self, now: Time) {
        self.pinned = match self.pinned {
            Some(_) => None,
            None => Some(self.hovered.unwrap_or(now.as_nanos() as f64 / 1e9)),
        };
    }

    fn at(self, now: f64) -> f64 {
        self.pinned.or(self.hovered).unwrap_or(now)
    }
}

/// A place for a plot.
#[derive(Clone, PartialEq, Debug)]
pub struct Slot {
    /// The name of the plot that it shows.
    pub plot: String,
    /// Which panel of it, where there are several.
    pub panel: usize,
    /// Names of series that are hidden.
    pub hidden: Vec<String>,
    /// Figures instead of a picture.
    pub as_table: bool,
    /// Percentiles beside the curve, where there are any.
    pub percentiles: bool,
    /// Where the pointer is, on an axis that is not time.
    hovered: Option<f64>,
}

impl Slot {
    /// A place that shows this plot.
    pub fn new(plot: &str) -> Slot {
        Slot { plot: plot.to_string(), panel: 0, hidden: Vec::new(), as_table: false, percentiles: true, hovered: None }
    }
}

/// Shows a plot in the space that is there. Returns the time that was clicked on, where one was.
pub fn show(ui: &mut Ui, place: usize, spec: &PlotSpec, mut context: Context<'_>) -> Option<f64> {
    match &spec.body {
        Body::Matrix(table) => {
            matrix::show(ui, table);
            None
        }
        Body::Charts(charts) => {
            let panel = context.slot.panel.min(charts.len().saturating_sub(1));
            let chart = charts.get(panel)?;
            panels(ui, place, charts, context.slot);
            let read =
                if chart.x.label == TIME { Some(context.crosshair.at(context.now)) } else { context.slot.hovered };
            legend(ui, chart, read, context.slot);
            if context.slot.as_table {
                table(ui, chart);
                return None;
            }
            let ghost = context.ghost.and_then(|ghost| match &ghost.body {
                Body::Charts(charts) => charts.get(panel),
                Body::Matrix(_) => None,
            });
            draw(ui, place, spec, (chart, ghost), &mut context)
        }
    }
}

/// The units of a plot that has two, and its panels where there are several, in one row.
fn panels(ui: &mut Ui, place: usize, charts: &[Chart], slot: &mut Slot) {
    let has_units = UNITS.iter().any(|(name, _)| *name == slot.plot);
    if !has_units && charts.len() < 2 {
        return;
    }
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing.x = 4.0;
        for (name, unit) in UNITS.into_iter().filter(|_| has_units) {
            let is_shown = slot.plot == name;
            let response = ui.add(egui::Button::selectable(is_shown, unit).frame_when_inactive(true));
            let label = format!("in {unit} on the {}", if place == 0 { "left" } else { "right" });
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_shown, &label));
            if response.clicked() {
                slot.plot = name.to_string();
            }
        }
        if has_units && charts.len() > 1 {
            ui.add_space(12.0);
        }
        for (index, chart) in charts.iter().enumerate().filter(|_| charts.len() > 1) {
            let button = egui::Button::selectable(slot.panel == index, &chart.heading).frame_when_inactive(true);
            if ui.add(button).clicked() {
                slot.panel = index;
            }
        }
    });
}

/// A line, a mark and a name for each series; a click hides it. Reads the values at the crosshair, too.
fn legend(ui: &mut Ui, chart: &Chart, read: Option<f64>, slot: &mut Slot) {
    let palette = style::palette(ui.ctx());
    ui.horizontal_wrapped(|ui| {
        for series in &chart.series {
            let mut shown = !slot.hidden.contains(&series.name);
            let (rect, _) = ui.allocate_exact_size(vec2(26.0, 14.0), egui::Sense::empty());
            let colour = series_colour(&palette, series);
            match series.draw {
                Draw::Theory => {
                    let ends = [rect.left_center(), rect.right_center()];
                    ui.painter().extend(egui::Shape::dashed_line(&ends, Stroke::new(1.8, colour), 5.0, 4.0));
                }
                Draw::Points => style::mark(ui.painter(), &palette, series.look, rect.center(), 4.5),
                Draw::Line | Draw::Steps => {
                    ui.painter().hline(rect.x_range(), rect.center().y, Stroke::new(2.0, colour));
                    style::mark(ui.painter(), &palette, series.look, rect.center(), 4.5);
                }
            }
            let name = value_at(series, read)
                .map_or(series.name.clone(), |value| format!("{} {}", series.name, figure(value)));
            if ui.checkbox(&mut shown, name).changed() {
                slot.hidden.retain(|name| *name != series.name);
                if !shown {
                    slot.hidden.push(series.name.clone());
                }
            }
        }
        ui.checkbox(&mut slot.as_table, "as table");
        if chart.inset.is_some() && !slot.as_table {
            ui.checkbox(&mut slot.percentiles, "percentiles");
        }
    });
}

/// The value of a series at a place of the horizontal axis: that of the last point before it.
fn value_at(series: &Series, x: Option<f64>) -> Option<f64> {
    let x = x.filter(|_| series.draw != Draw::Points)?;
    let index = series.points.partition_point(|point| point.0 <= x).checked_sub(1)?;
    Some(series.points[index].1)
}

fn figure(value: f64) -> String {
    match value.abs() {
        10_000.0.. => grouped(value.abs() as u64),
        100.0.. => format!("{value:.0}"),
        _ => format!("{value:.1}"),
    }
}

fn series_colour(palette: &Palette, series: &Series) -> Color32 {
    match series.draw {
        Draw::Theory => style::colour(palette.theory),
        _ => style::colour(palette.of(series.look)),
    }
}

/// Where values lie on an axis, and what its ticks say.
#[derive(Clone, Copy)]
struct Spread(Scale);

impl Spread {
    fn to(self, value: f64) -> f64 {
        match self.0 {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
        }
    }

    fn from(self, place: f64) -> f64 {
        match self.0 {
            Scale::Linear => place,
            Scale::Log => 10f64.powf(place),
        }
    }

    fn tick(self, mark: GridMark) -> String {
        match self.0 {
            Scale::Log if mark.value.fract().abs() > 1e-6 => String::new(),
            _ => {
                let value = self.from(mark.value);
                if value.abs() >= 10_000.0 {
                    return grouped(value.round() as u64);
                }
                let text = format!("{value:.3}");
                let text = text.trim_end_matches('0').trim_end_matches('.');
                if text.is_empty() || text == "-0" { "0".into() } else { text.into() }
            }
        }
    }
}

/// Where the lines of a grid are, at least so many pixels apart: at round numbers, or at powers of ten.
fn marks(input: GridInput, apart: f64, spread: Spread) -> Vec<GridMark> {
    let (low, high) = input.bounds;
    // egui_plot asks for lines eight pixels apart.
    let least = input.base_step_size * apart / 8.0;
    let step = match spread.0 {
        Scale::Log => least.ceil().max(1.0),
        Scale::Linear => round_step(least),
    };
    let first = (low / step).ceil() as i64;
    let last = (high / step).floor() as i64;
    // All lines count alike, so each says that it stands for the widest step.
    (first..=last.min(first + 60)).map(|n| GridMark { value: n as f64 * step, step_size: high - low }).collect()
}

/// The smallest round number that is no less.
pub(crate) fn round_step(least: f64) -> f64 {
    let power = 10f64.powf(least.max(1e-12).log10().floor());
    [1.0, 2.0, 5.0].into_iter().map(|factor| factor * power).find(|step| *step >= least).unwrap_or(10.0 * power)
}

/// Smallest and largest place of everything on an axis.
fn bounds(chart: &Chart, spread: (Spread, Spread)) -> ([f64; 2], [f64; 2]) {
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let range = |known: Option<(f64, f64)>, values: &mut dyn Iterator<Item = f64>, spread: Spread, from_zero: bool| {
        let known = known.map(|(low, high)| (spread.to(low), spread.to(high)));
        let (low, high) = known.unwrap_or_else(|| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(spread.to(value)), high.max(spread.to(value)))
            })
        });
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let low = if from_zero && matches!(spread.0, Scale::Linear) { low.min(0.0) } else { low };
        (low, if high > low { high } else { low + 1.0 })
    };
    let x = range(chart.x.range, &mut points().map(|point| point.0), spread.0, true);
    let y = range(chart.y.range, &mut points().map(|point| point.1), spread.1, true);
    let (wide, high) = (x.1 - x.0, y.1 - y.0);
    ([x.0 - 0.01 * wide, y.0 - 0.02 * high], [x.1 + 0.01 * wide, y.1 + 0.08 * high])
}

fn draw(
    ui: &mut Ui,
    place: usize,
    spec: &PlotSpec,
    (chart, ghost): (&Chart, Option<&Chart>),
    context: &mut Context<'_>,
) -> Option<f64> {
    let palette = style::palette(ui.ctx());
    let (text, muted) = (style::colour(palette.text), style::colour(palette.muted));
    let spread = (Spread(chart.x.scale), Spread(chart.y.scale));
    let over_time = chart.x.label == TIME;
    let (mut low, mut high) = bounds(chart, spread);
    if over_time && context.stretch.1 > context.stretch.0 {
        let margin = 0.01 * (context.stretch.1 - context.stretch.0);
        (low[0], high[0]) = (context.stretch.0 - margin, context.stretch.1 + margin);
    }
    let name = |label: &str, unit: &str| egui::RichText::new(format!("{label} ({unit})")).size(style::SMALL + 1.0);
    let axis = |hints: AxisHints<'static>, spread: Spread, spacing: Rangef, label| {
        hints
            .label(label)
            .formatter(move |mark, _| spread.tick(mark))
            .label_spacing(spacing)
            .tick_label_color(text)
            .tick_label_font(style::regular(style::SMALL))
    };
    let x_axis = axis(AxisHints::new_x(), spread.0, Rangef::new(28.0, 30.0), name(&chart.x.label, &chart.x.unit));
    let y_axis = axis(AxisHints::new_y(), spread.1, Rangef::new(16.0, 18.0), name(&chart.y.label, &chart.y.unit));
    let mut plot = Plot::new(("plot", place, &spec.name, context.slot.panel))
        .custom_x_axes(vec![x_axis])
        .custom_y_axes(vec![y_axis])
        .allow_drag(false)
        .allow_scroll(false)
        .allow_boxed_zoom(false)
        .allow_axis_zoom_drag(false)
        .allow_zoom(false)
        .show_crosshair(false)
        .grid_color(style::colour(palette.grid))
        .set_margin_fraction(vec2(0.0, 0.0))
        .x_grid_spacer(move |input| marks(input, 90.0, spread.0))
        .y_grid_spacer(move |input| marks(input, 34.0, spread.1))
        // The last number of the horizontal axis stands half outside.
        .width(ui.available_width() - 14.0)
        .label_formatter(|_| None)
        .height(ui.available_height().max(60.0));
    if over_time {
        plot = plot.link_cursor(Id::unique("time"), [true, false]);
    }
    let bounds = PlotBounds::from_min_max(low, high);
    ui.spacing_mut().item_spacing.y = 0.0;
    let hidden = context.slot.hidden.clone();
    let (now, crosshair) = (context.now, context.crosshair);
    let response = plot.show(ui, |plot| {
        plot.set_plot_bounds(bounds);
        for span in &chart.spans {
            let until = span.until.unwrap_or(high[0]).max(span.from + (high[0] - low[0]) / 500.0);
            let corners = vec![[span.from, low[1]], [until, low[1]], [until, high[1]], [span.from, high[1]]];
            let fill = style::colour(palette.span);
            plot.polygon(
                Polygon::new("", PlotPoints::from(corners)).fill_color(fill).stroke(Stroke::NONE).allow_hover(false),
            );
            plot.vline(VLine::new("", span.from).stroke(Stroke::new(1.2, muted)).allow_hover(false));
        }
        for guide in &chart.guides {
            let dashed = LineStyle::Dashed { length: 6.0 };
            plot.hline(HLine::new("", spread.1.to(guide.at)).color(muted).width(1.0).style(dashed).allow_hover(false));
            let at = PlotPoint::new(low[0] + 0.012 * (high[0] - low[0]), spread.1.to(guide.at));
            let label = egui::RichText::new(&guide.label).size(style::SMALL);
            plot.text(Text::new("", at, label).anchor(egui::Align2::LEFT_BOTTOM).color(muted).allow_hover(false));
        }
        if let Some(ghost) = ghost {
            for series in ghost.series.iter().filter(|series| is_curve(series) && !hidden.contains(&series.name)) {
                let colour = series_colour(&palette, series).gamma_multiply(0.45);
                let line = Line::new("", points_of(series, spread, (low[0], high[0])));
                plot.line(line.color(colour).width(1.4).allow_hover(false));
            }
        }
        let count = chart.series.len();
        for (index, series) in chart.series.iter().enumerate() {
            if hidden.contains(&series.name) {
                continue;
            }
            match series.draw {
                Draw::Points => scatter(plot, &palette, series, spread),
                _ => curve(plot, &palette, series, spread, (low[0], high[0]), (index, count)),
            }
        }
        if over_time {
            plot.vline(VLine::new("", now).stroke(Stroke::new(2.0, text)).allow_hover(false));
            if let Some(at) = crosshair.pinned.or(crosshair.hovered) {
                let width = if crosshair.pinned.is_some() { 1.6 } else { 1.0 };
                plot.vline(VLine::new("", at).stroke(Stroke::new(width, muted)).allow_hover(false));
                let from_left = (at - low[0]) / (high[0] - low[0]) < 0.8;
                let align = if from_left { egui::Align2::LEFT_TOP } else { egui::Align2::RIGHT_TOP };
                let label = egui::RichText::new(format!(" {at:.2} s ")).size(style::SMALL);
                plot.text(
                    Text::new("", PlotPoint::new(at, high[1]), label).anchor(align).color(text).allow_hover(false),
                );
            }
        }
        if chart.series.iter().all(|series| series.points.is_empty()) && !chart.empty.is_empty() {
            let middle = PlotPoint::new((low[0] + high[0]) / 2.0, (low[1] + high[1]) / 2.0);
            plot.text(Text::new("", middle, egui::RichText::new(&chart.empty).size(style::NORMAL)).color(muted));
        }
        plot.pointer_coordinate()
    });
    let label = described(spec, chart, over_time.then_some(now));
    response.response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    let hovered = response.response.hovered().then_some(response.inner).flatten();
    match over_time {
        true => *context.hovered = hovered.map(|at| at.x.clamp(low[0], high[0])).or(*context.hovered),
        false => context.slot.hovered = hovered.map(|at| spread.0.from(at.x)),
    }
    if let Some(inset) = chart.inset.as_ref().filter(|_| context.slot.percentiles) {
        percentiles::show(ui, inset, response.response.rect);
    }
    let clicked = response.response.clicked() && over_time;
    hovered.filter(|_| clicked).map(|at| at.x)
}

/// The plot in words, for those who hear it: `Backlog at t = 24.00 s: queue 46, log 38 messages`.
fn described(spec: &PlotSpec, chart: &Chart, now: Option<f64>) -> String {
    let figures: Vec<String> = chart
        .series
        .iter()
        .filter_map(|series| Some(format!("{} {}", series.name, figure(value_at(series, now)?))))
        .collect();
    match now {
        Some(now) if !figures.is_empty() => {
            format!("{} plot at t = {now:.2} s: {} {}", spec.name, figures.join(", "), chart.y.unit)
        }
        _ => format!("{} plot. {}", spec.name, spec.title),
    }
}

fn is_curve(series: &Series) -> bool {
    matches!(series.draw, Draw::Line | Draw::Steps)
}

fn points_of(series: &Series, spread: (Spread, Spread), (from, until): (f64, f64)) -> PlotPoints<'static> {
    let (from, until) = (spread.0.from(from), spread.0.from(until));
    // What is far outside would be thinned as finely as what is seen; the neighbours lead the line to the edges.
    let first = series.points.partition_point(|point| point.0 < from).saturating_sub(1);
    let last = series.points.partition_point(|point| point.0 <= until).saturating_add(1).min(series.points.len());
    let thin = thinned(&series.points[first.min(last)..last], from, until, 1_200);
    let mut places: Vec<[f64; 2]> = Vec::with_capacity(thin.len());
    for (x, y) in thin {
        let at = [spread.0.to(x), spread.1.to(y)];
        if series.draw == Draw::Steps
            && let Some(last) = places.last().copied()
        {
            places.push([at[0], last[1]]);
        }
        places.push(at);
    }
    PlotPoints::from(places)
}

fn curve(
    plot: &mut egui_plot::PlotUi<'_>,
    palette: &Palette,
    series: &Series,
    spread: (Spread, Spread),
    range: (f64, f64),
    (index, count): (usize, usize),
) {
    let colour = series_colour(palette, series);
    let line = Line::new(series.name.clone(), points_of(series, spread, range)).color(colour).allow_hover(false);
    match series.draw {
        Draw::Theory => plot.line(line.width(1.6).style(LineStyle::Dashed { length: 7.0 })),
        _ => {
            plot.line(line.width(2.2));
            // A few marks, at other places for each series so that equal curves do not hide each other's.
            let step = (range.1 - range.0) / 8.0;
            let mut next = range.0 + step * (index as f64 + 0.5) / count as f64;
            let mut marks = Vec::new();
            for (x, y) in &series.points {
                let x = spread.0.to(*x);
                if x >= next && x <= range.1 {
                    marks.push([x, spread.1.to(*y)]);
                    next = x + step;
                }
            }
            plot.points(marks_of(series, palette, marks, 5.0));
        }
    }
}

fn marks_of(series: &Series, palette: &Palette, at: Vec<[f64; 2]>, radius: f32) -> Points<'static> {
    let shape = match series.look.mark {
        Mark::Circle => MarkerShape::Circle,
        Mark::Square => MarkerShape::Square,
        Mark::Triangle => MarkerShape::Up,
        Mark::Diamond => MarkerShape::Diamond,
        Mark::Wedge => MarkerShape::Down,
        Mark::Plus => MarkerShape::Plus,
    };
    let points = Points::new(series.name.clone(), PlotPoints::from(at)).shape(shape).radius(radius).allow_hover(false);
    points.color(style::colour(palette.of(series.look))).filled(!series.look.variant)
}

/// All points as marks, or a field of cells, the larger the more points lie there.
fn scatter(plot: &mut egui_plot::PlotUi<'_>, palette: &Palette, series: &Series, spread: (Spread, Spread)) {
    let place = |(x, y): &(f64, f64)| [spread.0.to(*x), spread.1.to(*y)];
    if series.points.len() <= MAX_MARKS {
        let points = series.points.iter().map(place).collect();
        plot.points(marks_of(series, palette, points, 3.2));
        return;
    }
    let view = plot.plot_bounds();
    let (columns, rows) = (80.0, 36.0);
    let mut cells = std::collections::BTreeMap::<(i64, i64), u32>::new();
    for [x, y] in series.points.iter().map(place) {
        let column = ((x - view.min()[0]) / view.width() * columns) as i64;
        let row = ((y - view.min()[1]) / view.height() * rows) as i64;
        *cells.entry((column, row)).or_default() += 1;
    }
    let most = cells.values().copied().max().unwrap_or(1);
    let sizes = [1.2f32, 2.0, 2.8, 3.6, 4.6];
    for (step, size) in sizes.into_iter().enumerate() {
        let is_of = |count: u32| {
            let share = f64::from(1 + count).ln() / f64::from(1 + most).ln();
            (share * (sizes.len() - 1) as f64 + 0.5) as usize == step
        };
        let centre = |(column, row): &(i64, i64)| {
            [
                view.min()[0] + (*column as f64 + 0.5) / columns * view.width(),
                view.min()[1] + (*row as f64 + 0.5) / rows * view.height(),
            ]
        };
        let own = cells.iter().filter(|(_, count)| is_of(**count)).map(|(cell, _)| centre(cell)).collect();
        plot.points(marks_of(series, palette, own, size));
    }
}

/// The figures of a chart: those of the first series name the rows.
fn table(ui: &mut Ui, chart: &Chart) {
    let rows: Vec<f64> = chart.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
    let mut rows: Vec<f64> = rows.into_iter().filter(|x| x.is_finite()).collect();
    rows.sort_by(f64::total_cmp);
    rows.dedup();
    let height = ui.text_style_height(&egui::TextStyle::Body);
    let width = 110.0;
    let cell = |ui: &mut Ui, text: String| {
        ui.add_sized([width, height], egui::Label::new(text).truncate());
    };
    ui.horizontal(|ui| {
        cell(ui, format!("{} ({})", chart.x.label, chart.x.unit));
        chart.series.iter().for_each(|series| cell(ui, format!("{} ({})", series.name, chart.y.unit)));
    });
    egui::ScrollArea::both().auto_shrink(false).show_rows(ui, height, rows.len(), |ui, shown| {
        for x in &rows[shown] {
            ui.horizontal(|ui| {
                cell(ui, figure(*x));
                for series in &chart.series {
                    cell(ui, value_at(series, Some(*x)).map_or(String::new(), figure));
                }
            });
        }
    });
}
