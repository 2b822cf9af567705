//! The line at the bottom: one time for all lanes, with what happened above it.

use brokerlab_lab::event::Time;
use eframe::egui::{self, Align2, Rect, Slider, Stroke, Ui, pos2, vec2};

use crate::app::App;
use crate::charts::round_step;
use crate::style;

/// The radius of the slider's handle, as egui computes it.
fn handle(height: f32) -> f32 {
    height / 2.5
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
        let x = |seconds: f64| rail.min + (seconds / end.max(1e-9)) as f32 * rail.span();
        let font = style::regular(style::SMALL);
        let muted = style::colour(palette.muted);
        let faults = &finished.outcome.report.faults;
        let mut free = f32::NEG_INFINITY;
        for fault in faults {
            let (from, until) = (fault.from_s.value(), fault.until_s.map_or(end, |until| until.value()));
            let span = Rect::from_x_y_ranges(x(from)..=x(until).max(x(from) + 2.0), slider.y_range());
            ui.painter().rect_filled(span, 2.0, style::colour(palette.text.mixed(palette.background, 82)));
            ui.painter().vline(x(from), slider.y_range(), Stroke::new(1.4, muted));
            let galley = ui.painter().layout_no_wrap(fault.fault.clone(), font.clone(), muted);
            let left = x(from).min(full.right() - galley.size().x - 4.0);
            // Names that would run into each other are left out; the plots and the inspector have them all.
            if left > free {
                free = left + galley.size().x + 10.0;
                ui.painter().galley(pos2(left, full.top()), galley, muted);
            }
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
        let mut seconds = self.player.time.as_nanos() as f64 / 1e9;
        ui.spacing_mut().slider_width = slider.width();
        let response = ui.put(slider, Slider::new(&mut seconds, 0.0..=end).show_value(false).smart_aim(false));
        response.widget_info(|| egui::WidgetInfo::slider(true, seconds, "Virtual time"));
        // A tap that is over within one frame goes past the slider itself.
        let tap = |input: &egui::InputState| input.pointer.latest_pos().filter(|_| input.pointer.primary_clicked());
        let tapped = ui.ctx().input(tap).filter(|at| response.hovered() && slider.contains(*at));
        if let Some(at) = tapped {
            seconds = (f64::from((at.x - rail.min) / rail.span()) * end).clamp(0.0, end);
        }
        if response.changed() || tapped.is_some() {
            self.player.playing = false;
            self.player.seek(Time::from_nanos((seconds * 1e9).round() as u64), &mut finished.lanes);
        }
        let steps = (full.width() / 110.0).clamp(2.0, 12.0);
        let step = round_step(end / f64::from(steps));
        let mut tick = 0.0;
        while tick <= end + 1e-9 {
            let at = pos2(x(tick), slider.bottom());
            ui.painter().vline(at.x, at.y - 3.0..=at.y + 2.0, Stroke::new(1.0, muted));
            let text = format!("{} s", (tick * 1000.0).round() / 1000.0);
            ui.painter().text(at + vec2(0.0, 2.0), Align2::CENTER_TOP, text, font.clone(), muted);
            tick += step;
        }
        ui.advance_cursor_after_rect(Rect::from_min_max(full.min, pos2(full.right(), slider.bottom() + 18.0)));
    }
}
