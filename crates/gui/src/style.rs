//! How the window looks: the palette of the plots, the fonts of the plots, edges that can be seen.

use std::sync::Arc;

use brokerlab_lab::reporting::{FONT_BOLD, FONT_REGULAR, Look, Mark, Palette, Rgb, Theme as PlotTheme};
use eframe::egui::text::{LayoutJob, TextWrapping};
use eframe::egui::{
    self, Color32, Context, FontData, FontDefinitions, FontFamily, FontId, Galley, Id, Painter, Pos2, RichText, Shape,
    Stroke, TextStyle, Theme, Vec2,
};

/// The smallest text, in points.
pub const SMALL: f32 = 12.0;
/// Most text.
pub const NORMAL: f32 = 14.0;
/// Titles.
pub const LARGE: f32 = 17.0;

/// A colour of the palette as egui takes it.
pub fn colour(rgb: Rgb) -> Color32 {
    Color32::from_rgb(rgb.0, rgb.1, rgb.2)
}

/// The theme that plots are drawn in.
pub fn plot_theme(theme: Theme) -> PlotTheme {
    match theme {
        Theme::Light => PlotTheme::Light,
        Theme::Dark => PlotTheme::Dark,
    }
}

/// The palette of the window's theme, in colours or in greys.
pub fn palette(ctx: &Context) -> Palette {
    let is_grey = ctx.data(|data| data.get_temp(Id::unique(GREYS))).unwrap_or(false);
    Palette::new(plot_theme(ctx.theme()), is_grey)
}

/// Where the context keeps whether the palette is grey.
const GREYS: &str = "greys";

/// From now on the palette is grey, or has its colours.
pub fn set_greys(ctx: &Context, is_grey: bool) {
    ctx.data_mut(|data| data.insert_temp(Id::unique(GREYS), is_grey));
}

/// The bold font.
pub fn bold(size: f32) -> FontId {
    FontId::new(size, FontFamily::Name("bold".into()))
}

/// The regular font.
pub fn regular(size: f32) -> FontId {
    FontId::new(size, FontFamily::Proportional)
}

/// A title.
pub fn title(text: impl Into<String>) -> RichText {
    RichText::new(text).font(bold(LARGE))
}

/// What matters in a line.
pub fn strong(text: impl Into<String>) -> RichText {
    RichText::new(text).font(bold(NORMAL))
}

/// A line of text that is cut, with an ellipsis, where there is no more room.
pub fn elided(painter: &Painter, text: &str, font: FontId, colour: Color32, width: f32) -> Arc<Galley> {
    let mut job = LayoutJob::simple_singleline(text.to_string(), font, colour);
    job.wrap = TextWrapping::truncate_at_width(width.max(1.0));
    painter.layout_job(job)
}

/// The first so many letters of a name, with an ellipsis in place of what is left out. A number at the end stays.
pub fn shortened(name: &str, letters: usize) -> String {
    if name.chars().count() <= letters {
        return name.to_string();
    }
    let end = name.rfind('/').map_or("", |at| &name[at..]);
    let kept = letters.saturating_sub(1 + end.chars().count());
    format!("{}…{end}", name.chars().take(kept).collect::<String>())
}

/// The end of a line of text, after an ellipsis, where there is no room for all of it.
pub fn end_of(painter: &Painter, text: &str, font: FontId, colour: Color32, width: f32) -> Arc<Galley> {
    let whole = painter.layout_no_wrap(text.to_string(), font.clone(), colour);
    if whole.size().x <= width {
        return whole;
    }
    let ends = text.char_indices().skip(1).map(|(at, _)| format!("…{}", &text[at..]));
    let mut galleys = ends.map(|end| painter.layout_no_wrap(end, font.clone(), colour));
    galleys.find(|galley| galley.size().x <= width).unwrap_or(whole)
}

/// Fonts, sizes and colours, once at the start.
pub fn install(ctx: &Context) {
    let mut fonts = FontDefinitions::default();
    for (name, bytes) in [("plex", FONT_REGULAR), ("plex-bold", FONT_BOLD)] {
        fonts.font_data.insert(name.into(), Arc::new(FontData::from_static(bytes)));
    }
    fonts.families.entry(FontFamily::Proportional).or_default().insert(0, "plex".into());
    let mut family = vec!["plex-bold".to_string()];
    family.extend(fonts.families[&FontFamily::Proportional].iter().cloned());
    fonts.families.insert(FontFamily::Name("bold".into()), family);
    ctx.set_fonts(fonts);
    for theme in [Theme::Light, Theme::Dark] {
        let palette = Palette::new(plot_theme(theme), false);
        ctx.style_mut_of(theme, |style| dress(style, theme, &palette));
    }
}

fn dress(style: &mut egui::Style, theme: Theme, palette: &Palette) {
    let sizes = [
        (TextStyle::Small, SMALL),
        (TextStyle::Body, NORMAL),
        (TextStyle::Button, NORMAL),
        (TextStyle::Monospace, 13.0),
    ];
    for (kind, size) in sizes {
        let family = if kind == TextStyle::Monospace { FontFamily::Monospace } else { FontFamily::Proportional };
        style.text_styles.insert(kind, FontId::new(size, family));
    }
    style.text_styles.insert(TextStyle::Heading, bold(LARGE));
    style.spacing.item_spacing = Vec2::new(8.0, 5.0);
    style.spacing.button_padding = Vec2::new(8.0, 3.0);
    let text = colour(palette.text);
    let edge = if theme == Theme::Light { Color32::from_gray(0x6E) } else { Color32::from_gray(0x8C) };
    let visuals = &mut style.visuals;
    visuals.override_text_color = None;
    visuals.panel_fill = colour(palette.background);
    visuals.window_fill = colour(palette.panel);
    visuals.extreme_bg_color = colour(palette.panel);
    visuals.faint_bg_color = colour(palette.span);
    visuals.weak_text_color = Some(colour(palette.muted));
    visuals.selection.stroke = Stroke::new(2.0, text);
    visuals.widgets.noninteractive.fg_stroke.color = text;
    for widget in [
        &mut visuals.widgets.inactive,
        &mut visuals.widgets.hovered,
        &mut visuals.widgets.active,
        &mut visuals.widgets.open,
    ] {
        widget.fg_stroke.color = text;
        widget.bg_stroke = Stroke::new(widget.bg_stroke.width.max(1.0), edge);
    }
}

/// The mark of a look.
pub fn mark(painter: &Painter, palette: &Palette, look: Look, at: Pos2, radius: f32) {
    let shown = colour(palette.of(look));
    let (fill, stroke) = match look.variant {
        true => (colour(palette.panel), Stroke::new(1.6, shown)),
        false => (shown, Stroke::NONE),
    };
    let corner = |dx: f32, dy: f32| Pos2::new(at.x + dx * radius, at.y + dy * radius);
    let shape = match look.mark {
        Mark::Circle => Shape::Circle(egui::epaint::CircleShape { center: at, radius, fill, stroke }),
        Mark::Square => {
            polygon(&[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)].map(|(x, y)| corner(x, y)), fill, stroke)
        }
        Mark::Diamond => {
            polygon(&[(0.0, -1.2), (1.2, 0.0), (0.0, 1.2), (-1.2, 0.0)].map(|(x, y)| corner(x, y)), fill, stroke)
        }
        Mark::Triangle => polygon(&[(0.0, -1.1), (1.1, 0.9), (-1.1, 0.9)].map(|(x, y)| corner(x, y)), fill, stroke),
        Mark::Wedge => polygon(&[(0.0, 1.1), (1.1, -0.9), (-1.1, -0.9)].map(|(x, y)| corner(x, y)), fill, stroke),
        Mark::Plus => {
            let stroke = Stroke::new(2.2, shown);
            painter.line_segment([corner(-1.0, 0.0), corner(1.0, 0.0)], stroke);
            Shape::line_segment([corner(0.0, -1.0), corner(0.0, 1.0)], stroke)
        }
    };
    painter.add(shape);
}

fn polygon(points: &[Pos2], fill: Color32, stroke: Stroke) -> Shape {
    Shape::convex_polygon(points.to_vec(), fill, stroke)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much lighter one is than the other, as WCAG 2 counts it.
    fn contrast(a: Color32, b: Color32) -> f64 {
        let luminance = |colour: Color32| {
            let linear = |channel: u8| {
                let part = f64::from(channel) / 255.0;
                if part <= 0.04045 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
            };
            0.2126 * linear(colour.r()) + 0.7152 * linear(colour.g()) + 0.0722 * linear(colour.b())
        };
        let (a, b) = (luminance(a) + 0.05, luminance(b) + 0.05);
        a.max(b) / a.min(b)
    }

    #[test]
    fn text_and_the_edges_of_controls_can_be_seen_in_both_themes() {
        let ctx = Context::default();
        install(&ctx);
        for theme in [Theme::Light, Theme::Dark] {
            let style = ctx.style_of(theme);
            let visuals = &style.visuals;
            for ground in [visuals.panel_fill, visuals.window_fill, visuals.extreme_bg_color] {
                for widget in [&visuals.widgets.inactive, &visuals.widgets.hovered, &visuals.widgets.active] {
                    assert!(contrast(widget.fg_stroke.color, ground) >= 4.5, "{theme:?}");
                    assert!(contrast(widget.bg_stroke.color, ground) >= 3.0, "{theme:?}");
                    assert!(contrast(widget.fg_stroke.color, widget.weak_bg_fill) >= 4.5, "{theme:?}");
                }
                assert!(contrast(visuals.weak_text_color(), ground) >= 4.5, "{theme:?}");
                assert!(contrast(visuals.text_color(), ground) >= 4.5, "{theme:?}");
            }
        }
    }
}
