//! What each consumer does over time: a row for each, in step with the plots over time.
//!
//! How much of a column of pixels is filled says how much of that time the consumer works, so that a row is right
//! whether a column is a millisecond or a minute. What is rare shows wherever there is any of it.

use std::sync::Arc;

use brokerlab_lab::analysis::{Doing, Track};
use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::{Look, Palette, Span};
use eframe::egui::{self, Align2, Color32, Mesh, Rangef, Rect, Role, Sense, Shape, Stroke, Ui, WidgetInfo, pos2, vec2};

use crate::bench::Lane;
use crate::charts::{Context, round_step};
use crate::style;
use crate::table::{self, Row};

/// The name of this plot among the others.
pub const NAME: &str = "consumers";

/// The width of a column in points.
const COLUMN: f32 = 2.0;
/// The lowest and the highest row, in points.
const ROWS: (f32, f32) = (18.0, 34.0);
/// Longer names of consumers are cut.
const NAMES: f32 = 130.0;
/// Room for the axis of time.
const AXIS: f32 = 34.0;
/// What is wide enough says in a word what it is.
const WORD: f32 = 74.0;

/// What was drawn last.
#[derive(Clone, Debug)]
pub struct Kept {
    tracks: Arc<[Track]>,
    stretch: (f64, f64),
    columns: usize,
    /// The columns of each row that was seen.
    shares: Vec<Option<Vec<[f32; 5]>>>,
}

impl Kept {
    /// What was kept, if it is of these.
    fn of<'a>(kept: &'a mut Option<Kept>, tracks: &Arc<[Track]>, stretch: (f64, f64), columns: usize) -> &'a mut Kept {
        let same =
            |kept: &Kept| Arc::ptr_eq(&kept.tracks, tracks) && (kept.stretch, kept.columns) == (stretch, columns);
        if !kept.as_ref().is_some_and(same) {
            *kept = None;
        }
        let shares = || vec![None; tracks.len()];
        kept.get_or_insert_with(|| Kept { tracks: tracks.clone(), stretch, columns, shares: shares() })
    }

    fn row(&mut self, index: usize) -> &[[f32; 5]] {
        let (track, columns) = (&self.tracks[index], self.columns);
        let (from, until) = (time(self.stretch.0), time(self.stretch.1));
        self.shares[index].get_or_insert_with(|| track.shares(from, until, columns))
    }
}

fn time(seconds: f64) -> Time {
    Time::from_nanos((seconds.max(0.0) * 1e9).round() as u64)
}

/// The row above: what the fillings mean.
pub fn legend(ui: &mut Ui, look: Look) {
    let palette = style::palette(ui.ctx());
    for doing in Doing::ALL {
        let (rect, _) = ui.allocate_exact_size(vec2(24.0, ui.spacing().interact_size.y), Sense::hover());
        let rect = rect.shrink2(vec2(0.0, 2.0));
        paint(ui.painter(), &palette, look, doing, rect);
        ui.label(doing.word());
    }
}

/// Shows the consumers of a lane. Returns the time that was clicked on, where one was.
pub fn show(ui: &mut Ui, place: &str, lane: &Lane, spans: &[Span], context: &mut Context<'_>) -> Option<f64> {
    if context.slot.as_table {
        as_table(ui, place, lane, context);
        return None;
    }
    if lane.tracks.is_empty() {
        ui.label("Nobody receives.");
        return None;
    }
    let full = ui.available_rect_before_wrap();
    let font = style::regular(style::SMALL);
    let name = |track: &Track| lane.header.clients[track.client().index()].name.as_str();
    let wide = |text: &str| ui.painter().layout_no_wrap(text.to_string(), font.clone(), Color32::BLACK).size().x;
    // The longest names are the widest, near enough.
    let longest = lane.tracks.iter().map(name).max_by_key(|name| name.len()).unwrap_or_default();
    let names = (wide(longest) + 10.0).min(NAMES);
    let field = Rect::from_min_max(full.min + vec2(names, 2.0), full.max - vec2(16.0, AXIS));
    if field.width() < 40.0 || field.height() < ROWS.0 {
        return None;
    }
    let (from, until) = context.stretch;
    let frame = Field { rect: field, from, until: until.max(from + 1e-9) };
    let whole = ui.interact(field, ui.scope_id().with((NAME, place)), Sense::click());
    let label = described(lane, context.now);
    whole.widget_info(|| WidgetInfo::labeled(Role::Image, true, &label));
    let palette = style::palette(ui.ctx());
    frame.background(ui, &palette, spans);
    let count = lane.tracks.len();
    let height = (field.height() / count as f32).clamp(ROWS.0, ROWS.1);
    let mut room = ui.new_child(egui::UiBuilder::new().max_rect(full.with_max_y(field.bottom())).id_salt(place));
    room.spacing_mut().item_spacing.y = 0.0;
    let columns = (field.width() / COLUMN) as usize;
    let kept = Kept::of(&mut context.slot.rows, &lane.tracks, context.stretch, columns);
    egui::ScrollArea::vertical().auto_shrink(false).show_rows(&mut room, height, count, |ui, shown| {
        for index in shown {
            let (rect, _) = ui.allocate_exact_size(vec2(full.width() - 16.0, height), Sense::empty());
            let track = &lane.tracks[index];
            row(ui, (lane, track, name(track)), kept.row(index), (rect, field.x_range()), context.now);
        }
    });
    let at = context.crosshair.pinned.or(context.crosshair.hovered);
    frame.foreground(ui, &palette, context.now, at);
    let pointed = whole.hover_pos().map(|at| frame.seconds(at.x));
    *context.hovered = pointed.or(*context.hovered);
    pointed.filter(|_| whole.clicked())
}

/// A consumer: its name, and what it does.
fn row(
    ui: &mut Ui,
    (lane, track, name): (&Lane, &Track, &str),
    shares: &[[f32; 5]],
    (rect, x): (Rect, Rangef),
    now: f64,
) {
    let palette = style::palette(ui.ctx());
    let text = style::colour(palette.text);
    let shown = style::elided(ui.painter(), name, style::regular(style::SMALL), text, x.min - rect.left() - 6.0);
    ui.painter().galley(pos2(rect.left(), rect.center().y - shown.size().y / 2.0), shown, text);
    let field = Rect::from_x_y_ranges(x, rect.y_range().shrink(if rect.height() > 22.0 { 4.0 } else { 2.0 }));
    let left = |column: usize| field.left() + column as f32 * COLUMN;
    ui.painter().hline(x, field.bottom(), Stroke::new(1.0, style::colour(palette.muted)));
    let colour = style::colour(palette.of(lane.look));
    let mut mesh = Mesh::default();
    let mut column = 0;
    for part in shares.chunk_by(|a, b| a[0] == b[0]) {
        // A pixel at least, so that a little work is not none.
        let high = (part[0][0].min(1.0) * field.height()).max(1.0);
        let corners = [pos2(left(column), field.bottom() - high), pos2(left(column + part.len()), field.bottom())];
        if part[0][0] > 0.0 {
            mesh.add_colored_rect(Rect::from_min_max(corners[0], corners[1]), colour);
        }
        column += part.len();
    }
    ui.painter().add(Shape::mesh(mesh));
    for doing in [Doing::Rebalancing, Doing::Paused, Doing::Down] {
        let is_so = |share: &[f32; 5]| share[doing as usize] > 0.0;
        let mut column = 0;
        for part in shares.chunk_by(|a, b| is_so(a) == is_so(b)) {
            if is_so(&part[0]) {
                let band = Rect::from_x_y_ranges(left(column)..=left(column + part.len()), field.y_range());
                paint(ui.painter(), &palette, lane.look, doing, band);
                word(ui, &palette, doing, band);
            }
            column += part.len();
        }
    }
    let label = told(track, name, now, shares);
    let response = ui.interact(rect, ui.scope_id().with(("row", name)), Sense::hover());
    response.widget_info(|| WidgetInfo::labeled(Role::Label, true, &label));
    response.on_hover_text(label);
}

/// Says what a band is, where there is room.
fn word(ui: &Ui, palette: &Palette, doing: Doing, band: Rect) {
    let visible = band.intersect(ui.clip_rect());
    if visible.width() < WORD || band.height() < 13.0 {
        return;
    }
    let text = style::colour(palette.text);
    let shown = ui.painter().layout_no_wrap(doing.word().into(), style::regular(style::SMALL), text);
    let rect = Align2::CENTER_CENTER.anchor_size(visible.center(), shown.size());
    ui.painter().rect_filled(rect.expand2(vec2(3.0, 0.0)), 2.0, style::colour(palette.panel));
    ui.painter().galley(rect.min, shown, text);
}

/// What a consumer does, as a filling that can be told from the others without colours.
fn paint(painter: &egui::Painter, palette: &Palette, look: Look, doing: Doing, rect: Rect) {
    let (text, muted) = (style::colour(palette.text), style::colour(palette.muted));
    let inside = painter.with_clip_rect(rect.intersect(painter.clip_rect()));
    match doing {
        Doing::Working => {
            painter.rect_filled(rect, 0.0, style::colour(palette.of(look)));
        }
        Doing::Waiting => {
            painter.hline(rect.x_range(), rect.bottom(), Stroke::new(1.0, muted));
        }
        Doing::Rebalancing => {
            let mut x = rect.left() - rect.height();
            while x < rect.right() {
                let ends = [pos2(x, rect.bottom()), pos2(x + rect.height(), rect.top())];
                inside.line_segment(ends, Stroke::new(1.2, muted));
                x += 6.0;
            }
        }
        Doing::Paused => {
            painter.rect_filled(rect, 0.0, style::colour(palette.span));
            painter.rect_stroke(rect, 0.0, Stroke::new(1.2, muted), egui::StrokeKind::Inside);
        }
        Doing::Down => {
            let (size, mut x) = (3.5, rect.left() + 6.0_f32.min(rect.width() / 2.0));
            while x <= rect.right() {
                let at = pos2(x, rect.center().y);
                for turned in [vec2(size, size), vec2(size, -size)] {
                    inside.line_segment([at - turned, at + turned], Stroke::new(1.4, text));
                }
                x += 13.0;
            }
        }
    }
}

/// Where time is.
struct Field {
    rect: Rect,
    from: f64,
    until: f64,
}

impl Field {
    fn x(&self, seconds: f64) -> f32 {
        let part = ((seconds - self.from) / (self.until - self.from)).clamp(0.0, 1.0);
        self.rect.left() + part as f32 * self.rect.width()
    }

    fn seconds(&self, x: f32) -> f64 {
        let part = f64::from(((x - self.rect.left()) / self.rect.width()).clamp(0.0, 1.0));
        self.from + part * (self.until - self.from)
    }

    fn shows(&self, seconds: f64) -> bool {
        (self.from..=self.until).contains(&seconds)
    }

    /// Faults, and the axis.
    fn background(&self, ui: &Ui, palette: &Palette, spans: &[Span]) {
        let muted = style::colour(palette.muted);
        ui.painter().rect_filled(self.rect, 0.0, style::colour(palette.panel));
        for span in spans {
            let until = span.until.unwrap_or(self.until);
            if until >= self.from && span.from <= self.until {
                let band = self.x(span.from)..=self.x(until).max(self.x(span.from) + 1.0);
                let rect = Rect::from_x_y_ranges(band, self.rect.y_range());
                ui.painter().rect_filled(rect, 0.0, style::colour(palette.span));
            }
        }
        let edge = Stroke::new(1.0, style::colour(palette.grid));
        ui.painter().rect_stroke(self.rect, 0.0, edge, egui::StrokeKind::Outside);
        let step = round_step((self.until - self.from) / f64::from((self.rect.width() / 90.0).clamp(1.0, 12.0)));
        let mut tick = (self.from / step).ceil() * step;
        while tick <= self.until {
            let x = self.x(tick);
            ui.painter().vline(x, self.rect.y_range(), edge);
            let text = format!("{}", (tick * 1e6).round() / 1e6);
            let at = pos2(x, self.rect.bottom() + 2.0);
            let font = style::regular(style::SMALL);
            ui.painter().text(at, Align2::CENTER_TOP, text, font, style::colour(palette.text));
            tick += step;
        }
        let at = pos2(self.rect.center().x, self.rect.bottom() + AXIS);
        let font = style::regular(style::SMALL + 1.0);
        ui.painter().text(at, Align2::CENTER_BOTTOM, "virtual time (s)", font, muted);
    }

    /// The time that is looked at, and the crosshair.
    fn foreground(&self, ui: &Ui, palette: &Palette, now: f64, at: Option<f64>) {
        let text = style::colour(palette.text);
        if self.shows(now) {
            ui.painter().vline(self.x(now), self.rect.y_range(), Stroke::new(2.0, text));
        }
        if let Some(at) = at.filter(|at| self.shows(*at)) {
            let stroke = Stroke::new(1.0, style::colour(palette.muted));
            ui.painter().vline(self.x(at), self.rect.y_range(), stroke);
        }
    }
}

/// A consumer in words: what it does now, and how much of the stretch that is shown it does what.
fn told(track: &Track, name: &str, now: f64, shares: &[[f32; 5]]) -> String {
    let mut text = format!("{name}: {} at t = {now:.2} s", track.at(time(now)).word());
    let of = |doing: Doing| shares.iter().map(|share| share[doing as usize]).sum::<f32>() / shares.len().max(1) as f32;
    for doing in Doing::ALL {
        if of(doing) > 0.0 {
            text += &format!(", {} {}", doing.word(), part(of(doing)));
        }
    }
    text + " of the time shown"
}

fn part(part: f32) -> String {
    format!("{:.1}%", part * 100.0)
}

/// All consumers in words: how many do what.
fn described(lane: &Lane, now: f64) -> String {
    let mut counts = [0_usize; 5];
    lane.tracks.iter().for_each(|track| counts[track.at(time(now)) as usize] += 1);
    let counts = Doing::ALL.into_iter().zip(counts).filter(|(_, count)| *count > 0);
    let counts: Vec<String> = counts.map(|(doing, count)| format!("{count} {}", doing.word())).collect();
    format!("{NAME} plot of {} at t = {now:.2} s: {}", lane.header.contender, counts.join(", "))
}

fn as_table(ui: &mut Ui, place: &str, lane: &Lane, context: &Context<'_>) {
    let words = Doing::ALL.map(|doing| doing.word().to_string());
    let head: Vec<String> = ["consumer".to_string(), "now".to_string()].into_iter().chain(words).collect();
    let (from, until) = (time(context.stretch.0), time(context.stretch.1));
    table::show(ui, place, &head, lane.tracks.len(), |index| {
        let track = &lane.tracks[index];
        let shares = track.shares(from, until, 1)[0];
        let name = lane.header.clients[track.client().index()].name.clone();
        let cells = [name, track.at(time(context.now)).word().to_string()];
        Row::new(cells.into_iter().chain(shares.map(part)).collect())
    });
}
