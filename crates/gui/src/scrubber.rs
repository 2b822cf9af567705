//! The line at the bottom: one time for all lanes, with what happened above it.

use brokerlab_lab::event::Time;
use eframe::egui::{self, Align2, Color32, Pos2, Rect, Sense, Slider, Stroke, Ui, pos2, vec2};

use crate::app::App;
use crate::bench::Lane;
use crate::charts::round_step;
use crate::style;

/// The radius of the slider's handle, as egui computes it.
fn handle(height: f32) -> f32 {
    height / 2.5
}

/// The closest that the line can be looked at, in seconds.
const CLOSEST: f64 = 1e-4;

/// The stretch of the run that the line and the plots over time show.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Stretch {
    /// From when until when, in seconds. `None`: all of it.
    part: Option<(f64, f64)>,
}

impl Stretch {
    /// From when until when, of a run that ends at a time.
    fn within(self, end: f64) -> (f64, f64) {
        match self.part {
            Some((from, until)) if from < end => (from, until.min(end)),
            _ => (0.0, end),
        }
    }

    /// The same for the runs of these lanes.
    pub fn shown(self, lanes: &[Lane]) -> (f64, f64) {
        self.within(lanes.first().map_or(0.0, |lane| lane.header.horizon.as_nanos() as f64 / 1e9))
    }

    /// Shows a stretch that is so many times as long, and keeps a time where it is.
    fn zoom(&mut self, factor: f64, around: f64, end: f64) {
        let (from, until) = self.within(end);
        let length = ((until - from) * factor).max(CLOSEST.min(end));
        let from = around - (around - from) / (until - from).max(1e-12) * length;
        self.part = (length < end).then(|| moved((from, from + length), end));
    }

    /// Moves the stretch by so many of its lengths.
    fn pan(&mut self, lengths: f64, end: f64) {
        if let Some((from, until)) = self.part {
            let by = lengths * (until - from);
            self.part = Some(moved((from + by, until + by), end));
        }
    }

    /// Follows a time that leaves the stretch.
    fn follow(&mut self, time: f64, end: f64) {
        if let Some((from, until)) = self.part
            && !(from..=until).contains(&time)
        {
            // What comes is of more interest than what was.
            let start = time - 0.1 * (until - from);
            self.part = Some(moved((start, start + until - from), end));
        }
    }
}

/// A stretch of the same length that lies within the run.
fn moved((from, until): (f64, f64), end: f64) -> (f64, f64) {
    let start = from.min(end - (until - from)).max(0.0);
    (start, (start + until - from).min(end))
}

/// The names of faults above the rail. Those that would run into each other are left out and counted; whoever points at
/// one reads them all.
struct Names {
    /// Nothing is written from here on.
    free: f32,
    left_out: u32,
    /// Those of the faults that the pointer is at.
    here: Vec<String>,
}

impl Names {
    /// Says how many were left out before what comes next, where there is room for it.
    fn count(&mut self, ui: &Ui, (top, next): (f32, f32), ink: Color32) {
        let left_out = std::mem::take(&mut self.left_out);
        let galley = ui.painter().layout_no_wrap(format!("+{left_out}"), style::regular(style::SMALL), ink);
        if left_out > 0 && self.free + galley.size().x < next {
            ui.painter().galley(pos2(self.free, top), galley, ink);
        }
    }
}

impl App {
    /// Shows the line.
    pub(crate) fn scrubber(&mut self, ui: &mut Ui) {
        let Some(finished) = &mut self.finished else { return };
        let end = finished.horizon().as_nanos() as f64 / 1e9;
        let palette = style::palette(ui.ctx());
        let (labels, height) = (16.0, ui.spacing().interact_size.y);
        let full = ui.available_rect_before_wrap();
        let slider = Rect::from_min_size(full.min + vec2(10.0, labels + 2.0), vec2(full.width() - 20.0, height));
        let rail = slider.x_range().shrink(handle(height));
        let mut seconds = self.player.time.as_nanos() as f64 / 1e9;
        if self.stretch_seen != Some(self.player.time) {
            // Only who moves the time moves the stretch; who pans looks elsewhere.
            self.stretch.follow(seconds, end);
            self.stretch_seen = Some(self.player.time);
        }
        wheel(ui, &mut self.stretch, (rail, slider.expand2(vec2(0.0, 20.0))), end);
        let (first, last) = self.stretch.within(end);
        let x = |seconds: f64| {
            let place = (seconds - first) / (last - first).max(1e-9);
            rail.min + place.clamp(-0.01, 1.01) as f32 * rail.span()
        };
        let font = style::regular(style::SMALL);
        let muted = style::colour(palette.muted);
        let room = whole(ui, &mut self.stretch, full, end);
        let faults = &finished.outcome.report.faults;
        let mut names = Names { free: f32::NEG_INFINITY, left_out: 0, here: Vec::new() };
        let pointer = ui.ctx().pointer_latest_pos().filter(|at| full.contains(*at));
        for (index, fault) in faults.iter().enumerate() {
            // A fault that hits several contenders is told for each, and is one all the same.
            let is_told = faults[..index].iter().any(|other| {
                (&other.fault, other.from_s, other.until_s) == (&fault.fault, fault.from_s, fault.until_s)
            });
            if is_told {
                continue;
            }
            let (from, until) = (fault.from_s.value(), fault.until_s.map_or(end, |until| until.value()));
            if until < first || from > last {
                continue;
            }
            let span = Rect::from_x_y_ranges(x(from)..=x(until).max(x(from) + 2.0), slider.y_range());
            ui.painter().rect_filled(span, 2.0, style::colour(palette.text.mixed(palette.background, 82)));
            ui.painter().vline(x(from), slider.y_range(), Stroke::new(1.4, muted));
            let galley = ui.painter().layout_no_wrap(fault.fault.clone(), font.clone(), muted);
            let left = x(from).min(full.right() - galley.size().x - room - 4.0);
            let is_here = |at: Pos2| (span.left() - 4.0..=span.right() + 4.0).contains(&at.x);
            if pointer.is_some_and(is_here) {
                let until =
                    fault.until_s.map_or("to the end".to_string(), |until| format!("until {} s", until.value()));
                names.here.push(format!("{} at {from} s, {until}", fault.fault));
            }
            if left > names.free {
                names.count(ui, (full.top(), left), muted);
                names.free = left + galley.size().x + 10.0;
                ui.painter().galley(pos2(left, full.top()), galley, muted);
            } else {
                names.left_out += 1;
            }
        }
        names.count(ui, (full.top(), full.right() - room), muted);
        if !names.here.is_empty() {
            let row = Rect::from_x_y_ranges(full.x_range(), full.top()..=slider.top());
            let response = ui.interact(row, ui.scope_id().with("faults"), Sense::hover());
            response.on_hover_text_at_pointer(names.here.join("\n"));
        }
        let warm_up = finished.outcome.report.meta.warm_up.value();
        if warm_up > 0.0 {
            let mut at = rail.min;
            while at < x(warm_up) {
                let ends = [pos2(at, slider.bottom() - 4.0), pos2((at + 5.0).min(x(warm_up)), slider.top() + 4.0)];
                ui.painter().line_segment(ends, Stroke::new(1.0, muted.gamma_multiply(0.6)));
                at += 5.0;
            }
        }
        ui.spacing_mut().slider_width = slider.width();
        let elsewhere = !(first..=last).contains(&seconds);
        let before = seconds;
        let response = ui.put(slider, Slider::new(&mut seconds, first..=last).show_value(false).smart_aim(false));
        if response.double_clicked() {
            self.stretch = Stretch::default();
        }
        response.widget_info(|| egui::WidgetInfo::slider(true, seconds, "Virtual time"));
        // A tap that is over within one frame goes past the slider itself.
        let tap = |input: &egui::InputState| input.pointer.latest_pos().filter(|_| input.pointer.primary_clicked());
        let tapped = ui.ctx().input(tap).filter(|at| response.hovered() && slider.contains(*at));
        if let Some(at) = tapped {
            seconds = (first + f64::from((at.x - rail.min) / rail.span()) * (last - first)).clamp(first, last);
        }
        // A slider keeps to its stretch; a time outside of it is left alone until somebody moves the handle.
        let is_moved = response.dragged() || response.has_focus() || !elsewhere;
        if (response.changed() && is_moved && seconds != before) || tapped.is_some() {
            self.player.playing = false;
            self.player.seek(Time::from_nanos((seconds * 1e9).round() as u64), &mut finished.lanes);
        }
        let steps = (full.width() / 110.0).clamp(2.0, 12.0);
        let step = round_step((last - first) / f64::from(steps));
        let mut tick = (first / step).ceil() * step;
        while tick <= last + 1e-9 {
            let at = pos2(x(tick), slider.bottom());
            ui.painter().vline(at.x, at.y - 3.0..=at.y + 2.0, Stroke::new(1.0, muted));
            let text = format!("{} s", (tick * 1e6).round() / 1e6);
            ui.painter().text(at + vec2(0.0, 2.0), Align2::CENTER_TOP, text, font.clone(), muted);
            tick += step;
        }
        ui.advance_cursor_after_rect(Rect::from_min_max(full.min, pos2(full.right(), slider.bottom() + 18.0)));
    }
}

/// The wheel over the line zooms around the pointer; sideways, or with Shift, it pans.
fn wheel(ui: &Ui, stretch: &mut Stretch, (rail, room): (egui::Rangef, Rect), end: f64) {
    let Some(at) = ui.ctx().pointer_hover_pos().filter(|at| room.contains(*at)) else { return };
    let (turned, zoomed) = ui.ctx().input(|input| (input.smooth_scroll_delta(), input.zoom_delta()));
    let (first, last) = stretch.within(end);
    let around = first + f64::from(((at.x - rail.min) / rail.span()).clamp(0.0, 1.0)) * (last - first);
    if turned.y != 0.0 || zoomed != 1.0 {
        stretch.zoom((-f64::from(turned.y) / 200.0).exp() / f64::from(zoomed), around, end);
    }
    if turned.x != 0.0 {
        stretch.pan(-f64::from(turned.x) / f64::from(rail.span()), end);
    }
}

/// Says at the right which part is shown, where it is not all, and shows all on a click. Returns the room it takes.
fn whole(ui: &mut Ui, stretch: &mut Stretch, full: Rect, end: f64) -> f32 {
    if stretch.part.is_none() {
        return 0.0;
    }
    let (first, last) = stretch.within(end);
    let text = format!("{:.2} to {:.2} of {end:.0} s: show all", first, last);
    let width = 210.0;
    let room = Rect::from_min_size(pos2(full.right() - width, full.top() - 3.0), vec2(width, 19.0));
    let link = egui::Link::new(egui::RichText::new(text).size(style::SMALL));
    if ui.put(room, link).on_hover_text("turn the wheel over the line to look closer, with Shift to move").clicked() {
        *stretch = Stretch::default();
    }
    width
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stretch_stays_within_the_run_and_keeps_what_is_under_the_pointer() {
        let mut stretch = Stretch::default();
        assert_eq!(stretch.within(60.0), (0.0, 60.0));
        stretch.zoom(0.5, 15.0, 60.0);
        let (from, until) = stretch.within(60.0);
        assert!((from - 7.5).abs() < 1e-9 && (until - 37.5).abs() < 1e-9, "a quarter stays a quarter: {from} {until}");
        stretch.pan(-1.0, 60.0);
        assert_eq!(stretch.within(60.0).0, 0.0);
        stretch.follow(50.0, 60.0);
        assert_eq!(stretch.within(60.0), (30.0, 60.0), "as far as the run goes");
        stretch.zoom(1e-9, 40.0, 60.0);
        assert!(stretch.within(60.0).1 - stretch.within(60.0).0 >= CLOSEST * 0.99);
        stretch.zoom(1e9, 40.0, 60.0);
        assert_eq!(stretch, Stretch::default(), "further out there is nothing");
    }
}
