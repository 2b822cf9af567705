//! The plots: the same [`PlotSpec`] that becomes SVG, PNG and CSV headless, drawn with a cursor at the time that is
//! looked at.

use std::sync::Arc;

use brokerlab_lab::NoTheory;
use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::{Axis, Body, Chart, Draw, Mark, Palette, PlotSpec, Scale, Series, grouped};
use eframe::egui::{self, Color32, ComboBox, Id, Rangef, Role, Stroke, Ui, WidgetInfo, vec2};
use egui_plot::{
    AxisHints, GridInput, GridMark, HLine, Line, LineStyle, MarkerShape, Plot, PlotBounds, PlotPoint, PlotPoints,
    Points, Polygon, Text, VLine,
};

use crate::bench::Lane;
use crate::drawn::{Drawn, Placed};
use crate::table::Row;
use crate::{gantt, matrix, percentiles, style, table};

/// The room that a mark of the legend and the box beside it take.
const ROOM_OF_MARK: f32 = 58.0;

/// Longer names are cut.
const LETTERS: usize = 22;

/// Charts over virtual time share their horizontal axis and their crosshair.
pub(crate) const TIME: &str = "virtual time";

/// The backlog has two units: messages, and seconds in a plot of its own.
pub const UNITS: [(&str, &str); 2] = [("backlog", "messages"), ("backlog-age", "seconds")];

/// The plots in which theory has a line.
const THEORY: [&str; 2] = ["backlog", "latency"];

/// What a plot shows beside its figures.
pub struct Context<'a> {
    /// The time that is looked at, in seconds.
    pub now: f64,
    /// The plots of the runs before the last change.
    pub ghosts: &'a [Arc<PlotSpec>],
    /// For each application why theory says nothing of it, where it does not.
    pub no_theory: &'a [Option<NoTheory>],
    /// The runs themselves, for what is drawn of their events.
    pub lanes: &'a [Lane],
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
#[derive(Clone, Debug)]
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
    /// What was drawn last.
    drawn: Option<Arc<Drawn>>,
    /// The rows of consumers that were drawn last.
    pub rows: Option<gantt::Kept>,
}

impl Slot {
    /// A place that shows this plot.
    pub fn new(plot: &str) -> Slot {
        Slot {
            plot: plot.to_string(),
            panel: 0,
            hidden: Vec::new(),
            as_table: false,
            percentiles: true,
            hovered: None,
            drawn: None,
            rows: None,
        }
    }
}

/// Shows one of the plots, with what chooses which, in the space that is there. `place` names that: `upper left`.
/// Returns the time that was clicked on, where one was.
pub fn show(ui: &mut Ui, place: &str, plots: &[Arc<PlotSpec>], mut context: Context<'_>) -> Option<f64> {
    let named = |plots: &'_ [Arc<PlotSpec>], name: &str| plots.iter().find(|plot| plot.name == name).cloned();
    ui.spacing_mut().interact_size.y = 18.0;
    if context.slot.plot == gantt::NAME {
        return consumers(ui, place, plots, &mut context);
    }
    let spec = named(plots, &context.slot.plot).or(plots.first().cloned())?;
    match &spec.body {
        Body::Matrix(table) => {
            ui.horizontal(|ui| {
                choose(ui, place, plots, context.slot);
                ui.checkbox(&mut context.slot.as_table, "as table");
            });
            match context.slot.as_table {
                true => matrix::as_table(ui, place, table),
                false => matrix::show(ui, place, table),
            }
            None
        }
        Body::Charts(charts) => {
            let panel = context.slot.panel.min(charts.len().saturating_sub(1));
            let chart = charts.get(panel)?;
            let read =
                if chart.x.label == TIME { Some(context.crosshair.at(context.now)) } else { context.slot.hovered };
            ui.horizontal_wrapped(|ui| {
                ui.spacing_mut().item_spacing = vec2(5.0, 3.0);
                choose(ui, place, plots, context.slot);
                let headings: Vec<&str> = charts.iter().map(|chart| chart.heading.as_str()).collect();
                panels(ui, place, &headings, context.slot);
                legend(ui, &spec, chart, read, context.slot);
                if THEORY.contains(&spec.name.as_str()) {
                    let why = context.no_theory.get(panel).or(context.no_theory.last());
                    no_theory(ui, why.and_then(Option::as_ref));
                }
            });
            if context.slot.as_table {
                figures(ui, place, chart);
                return None;
            }
            let before = named(context.ghosts, &spec.name);
            let ghost = before.as_ref().and_then(|ghost| match &ghost.body {
                Body::Charts(charts) => charts.get(panel),
                Body::Matrix(_) => None,
            });
            let specs = (&spec, before.as_ref());
            let drawn = Drawn::kept(&mut context.slot.drawn, specs, (panel, (chart, ghost)), context.stretch);
            draw(ui, place, &spec, (chart, ghost), (&mut context, &drawn))
        }
    }
}

/// Shows what the consumers of one contender do.
fn consumers(ui: &mut Ui, place: &str, plots: &[Arc<PlotSpec>], context: &mut Context<'_>) -> Option<f64> {
    let lane = context.lanes.get(context.slot.panel).or(context.lanes.first())?;
    ui.horizontal_wrapped(|ui| {
        ui.spacing_mut().item_spacing = vec2(5.0, 3.0);
        choose(ui, place, plots, context.slot);
        let names: Vec<&str> = context.lanes.iter().map(|lane| lane.header.contender.as_str()).collect();
        panels(ui, place, &names, context.slot);
        gantt::legend(ui, lane.look);
        ui.checkbox(&mut context.slot.as_table, "as table");
    });
    // Faults are the same in every plot over time.
    let charts = plots.iter().find_map(|plot| match &plot.body {
        Body::Charts(charts) => charts.iter().find(|chart| chart.x.label == TIME),
        Body::Matrix(_) => None,
    });
    gantt::show(ui, place, lane, charts.map_or(&[], |chart| &chart.spans), context)
}

/// Which plot is shown, and in which unit where it has two. A list takes less room than a button for each.
fn choose(ui: &mut Ui, place: &str, plots: &[Arc<PlotSpec>], slot: &mut Slot) {
    let is_unit = |name: &str| UNITS.iter().any(|(plot, _)| *plot == name);
    // The two units of the backlog are one plot in the list.
    let listed = |name: &str| if is_unit(name) { UNITS[0].0.to_string() } else { name.to_string() };
    let shown = listed(&slot.plot);
    let combo = ComboBox::from_id_salt(("plot", place)).selected_text(style::strong(title_case(&shown)));
    let response = combo.width(86.0).height(300.0).show_ui(ui, |ui| {
        let own = plots.iter().filter(|plot| plot.name == listed(&plot.name));
        let own = own.map(|plot| (plot.name.as_str(), plot.title.as_str()));
        for (name, title) in own.chain([(gantt::NAME, "What each consumer does over time")]) {
            let text = title_case(name);
            let response = ui.selectable_label(shown == name, &text).on_hover_text(title);
            let label = format!("{text} on the {place}");
            response.widget_info(|| WidgetInfo::selected(Role::Button, true, shown == name, &label));
            if response.clicked() {
                *slot = Slot::new(name);
                // A click by voice or by keys closes no list by itself.
                ui.close();
            }
        }
    });
    let label = format!("Plot on the {place}: {}", title_case(&shown));
    response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
    let units = if is_unit(&slot.plot) { &UNITS[..] } else { &[] };
    for &(name, unit) in units {
        let is_shown = slot.plot == name;
        let response = ui.add(egui::Button::selectable(is_shown, unit).frame_when_inactive(true));
        let label = format!("in {unit} on the {place}");
        response.widget_info(|| WidgetInfo::selected(Role::Button, true, is_shown, &label));
        if response.clicked() {
            slot.plot = name.to_string();
        }
    }
}

/// `Backlog`.
fn title_case(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// The panels of a plot, where there are several.
fn panels(ui: &mut Ui, place: &str, headings: &[&str], slot: &mut Slot) {
    let Some(shown) = headings.get(slot.panel).or(headings.last()).filter(|_| headings.len() > 1) else { return };
    let combo = ComboBox::from_id_salt(("panel", place)).width(60.0);
    let combo = combo.selected_text(style::shortened(shown, LETTERS + 6));
    let response = combo.show_ui(ui, |ui| {
        for (index, heading) in headings.iter().enumerate() {
            if ui.selectable_value(&mut slot.panel, index, *heading).clicked() {
                ui.close();
            }
        }
    });
    let label = format!("Part on the {place}: {shown}");
    response.response.widget_info(|| WidgetInfo::labeled(Role::ComboBox, true, &label));
}

/// A line, a mark and a name for each series; a click hides it. Reads the values at the crosshair, too.
fn legend(ui: &mut Ui, spec: &PlotSpec, chart: &Chart, read: Option<f64>, slot: &mut Slot) {
    let palette = style::palette(ui.ctx());
    for series in &chart.series {
        let mut shown = !slot.hidden.contains(&series.name);
        let value = value_at(series, read).map_or(String::new(), |value| format!(" {}", figure(value)));
        let (whole, name) = (&series.name, format!("{}{value}", style::shortened(&series.name, LETTERS)));
        // A mark stays with its name.
        let font = egui::TextStyle::Button.resolve(ui.style());
        let wide = ui.painter().layout_no_wrap(name.clone(), font, style::colour(palette.text)).size().x;
        if ui.available_size_before_wrap().x < wide + ROOM_OF_MARK {
            ui.end_row();
        }
        let (rect, _) = ui.allocate_exact_size(vec2(22.0, ui.spacing().interact_size.y), egui::Sense::empty());
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
        // What theory assumes stands in the small print.
        let hint = if whole.starts_with("theory") { format!("{whole}. {}", spec.note) } else { whole.clone() };
        let response = ui.checkbox(&mut shown, name).on_hover_text(hint);
        let label = format!("{whole}{value}");
        response.widget_info(|| WidgetInfo::selected(Role::CheckBox, true, shown, &label));
        if response.changed() {
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
}

/// Says why there is no line of theory, where there is none; when nothing but the rate stands against it, in view.
fn no_theory(ui: &mut Ui, why: Option<&NoTheory>) {
    let Some(why) = why else { return };
    let is_unstable = matches!(why, NoTheory::Unstable { .. });
    let text = if is_unstable { "no theory: no steady state" } else { "no theory" };
    let text = egui::RichText::new(text).size(style::SMALL).weak();
    let response = ui.add(egui::Label::new(text).extend());
    let label = format!("no theory: {why}");
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    response.on_hover_text(label);
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
pub(crate) struct Spread(pub(crate) Scale);

impl Spread {
    pub(crate) fn to(self, value: f64) -> f64 {
        match self.0 {
            Scale::Linear => value,
            Scale::Log => value.max(1e-9).log10(),
        }
    }

    pub(crate) fn from(self, place: f64) -> f64 {
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

fn draw(
    ui: &mut Ui,
    place: &str,
    spec: &PlotSpec,
    (chart, ghost): (&Chart, Option<&Chart>),
    (context, drawn): (&mut Context<'_>, &Drawn),
) -> Option<f64> {
    let palette = style::palette(ui.ctx());
    let (text, muted) = (style::colour(palette.text), style::colour(palette.muted));
    let spread = (Spread(chart.x.scale), Spread(chart.y.scale));
    let over_time = chart.x.label == TIME;
    let (low, high) = (drawn.low, drawn.high);
    let (room, height) = (ui.painter().clone(), ui.available_height().max(60.0));
    let name = |axis: &Axis, length: f32| {
        let text = format!("{} ({})", axis.label, axis.unit);
        let wide = room.layout_no_wrap(text.clone(), style::regular(style::SMALL + 1.0), muted).size().x;
        // Where a name is longer than its axis, the unit is what has to be said.
        egui::RichText::new(if wide < length { text } else { axis.unit.clone() }).size(style::SMALL + 1.0)
    };
    let axis = |hints: AxisHints<'static>, spread: Spread, spacing: Rangef, label| {
        hints
            .label(label)
            .formatter(move |mark, _| spread.tick(mark))
            .label_spacing(spacing)
            .tick_label_color(text)
            .tick_label_font(style::regular(style::SMALL))
    };
    let x_axis =
        axis(AxisHints::new_x(), spread.0, Rangef::new(28.0, 30.0), name(&chart.x, ui.available_width() - 60.0));
    let y_axis = axis(AxisHints::new_y(), spread.1, Rangef::new(16.0, 18.0), name(&chart.y, height - 36.0));
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
        .height(height);
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
        let mut named = f64::NEG_INFINITY;
        for guide in &chart.guides {
            let dashed = LineStyle::Dashed { length: 6.0 };
            plot.hline(HLine::new("", spread.1.to(guide.at)).color(muted).width(1.0).style(dashed).allow_hover(false));
            let at = PlotPoint::new(low[0] + 0.012 * (high[0] - low[0]), spread.1.to(guide.at));
            // Where names would stand on each other, those of later lines are left out.
            let apart = (at.y - named) / (high[1] - low[1]) * f64::from(height - 36.0);
            if apart < 13.0 {
                continue;
            }
            named = at.y;
            let label = egui::RichText::new(&guide.label).size(style::SMALL);
            plot.text(Text::new("", at, label).anchor(egui::Align2::LEFT_BOTTOM).color(muted).allow_hover(false));
        }
        if let Some(ghost) = ghost {
            let curves = ghost.series.iter().zip(&drawn.ghosts);
            for (series, points) in curves.filter(|(series, _)| is_curve(series) && !hidden.contains(&series.name)) {
                let colour = series_colour(&palette, series).gamma_multiply(0.45);
                let line = Line::new("", PlotPoints::from(&points[..]));
                plot.line(line.color(colour).width(1.4).allow_hover(false).allow_band(false));
            }
        }
        for (series, placed) in chart.series.iter().zip(&drawn.series) {
            if !hidden.contains(&series.name) {
                paint(plot, &palette, series, placed);
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
        percentiles::show(ui, inset, drawn, response.response.rect);
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

/// A series in a plot: its curve, and its marks.
fn paint<'a>(plot: &mut egui_plot::PlotUi<'a>, palette: &Palette, series: &Series, placed: &'a Placed) {
    let colour = series_colour(palette, series);
    if !placed.line.is_empty() {
        let line = Line::new(series.name.clone(), PlotPoints::from(&placed.line[..])).color(colour).allow_hover(false);
        // The points are few already; bands would fill the corner between a steep rise and what follows it.
        let line = line.allow_band(false);
        plot.line(match series.draw {
            Draw::Theory => line.width(1.6).style(LineStyle::Dashed { length: 7.0 }),
            _ => line.width(2.2),
        });
    }
    let shape = match series.look.mark {
        Mark::Circle => MarkerShape::Circle,
        Mark::Square => MarkerShape::Square,
        Mark::Triangle => MarkerShape::Up,
        Mark::Diamond => MarkerShape::Diamond,
        Mark::Wedge => MarkerShape::Down,
        Mark::Plus => MarkerShape::Plus,
    };
    for (radius, at) in &placed.marks {
        let points = Points::new(series.name.clone(), PlotPoints::from(&at[..])).shape(shape).radius(*radius);
        plot.points(points.allow_hover(false).color(colour).filled(!series.look.variant));
    }
}

/// The figures of a chart: a row for each place on the horizontal axis at which there is one.
fn figures(ui: &mut Ui, place: &str, chart: &Chart) {
    let rows: Vec<f64> = chart.series.iter().flat_map(|series| &series.points).map(|point| point.0).collect();
    let mut rows: Vec<f64> = rows.into_iter().filter(|x| x.is_finite()).collect();
    rows.sort_by(f64::total_cmp);
    rows.dedup();
    let series = chart.series.iter().map(|series| format!("{} ({})", series.name, chart.y.unit));
    let head: Vec<String> = [format!("{} ({})", chart.x.label, chart.x.unit)].into_iter().chain(series).collect();
    table::show(ui, place, &head, rows.len(), |index| {
        let x = rows[index];
        let values = chart.series.iter().map(|series| value_at(series, Some(x)).map_or(String::new(), figure));
        Row::new([figure(x)].into_iter().chain(values).collect())
    });
}
