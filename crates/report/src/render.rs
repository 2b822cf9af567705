//! A [`PlotSpec`] as SVG or PNG.

use crate::chart::{self, Area};
use crate::lettering::{self, Weight};
use crate::matrix;
use crate::paint;
use crate::palette::{Palette, Theme};
use crate::scene::{Anchor, Scene, Style};
use crate::spec::{Body, Chart, PlotSpec, Series};

/// How a plot is to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Width in pixels, clamped to 320..=8192.
    pub width: u32,
    /// Height in pixels, clamped to 240..=8192.
    pub height: u32,
    /// Light or dark.
    pub theme: Theme,
    /// Greys instead of colours.
    pub greyscale: bool,
}

impl Default for Options {
    fn default() -> Options {
        Options { width: 1280, height: 720, theme: Theme::Light, greyscale: false }
    }
}

impl Options {
    fn size(&self) -> (u32, u32) {
        (self.width.clamp(320, 8192), self.height.clamp(240, 8192))
    }
}

impl PlotSpec {
    /// The plot as an SVG document. The same bytes for the same plot and options.
    pub fn svg(&self, options: &Options) -> String {
        paint::svg(&self.scene(options), options.size(), &format!("{}. {}", self.title, self.subtitle))
    }

    /// The plot as a PNG image. The same bytes for the same plot and options.
    pub fn png(&self, options: &Options) -> Vec<u8> {
        paint::png(&self.scene(options), options.size())
    }

    fn scene(&self, options: &Options) -> Scene {
        let (width, height) = options.size();
        // Everything grows with the picture, so that a slide and a poster look the same.
        let zoom = (f64::from(width) / 1280.0).min(f64::from(height) / 720.0);
        let palette = Palette::new(options.theme, options.greyscale);
        let (width, height) = (f64::from(width) / zoom, f64::from(height) / zoom);
        let mut scene = Scene { width, height, background: palette.background, shapes: Vec::new() };
        let area = Area { x: 40.0, y: 30.0, width: width - 80.0, height: height - 30.0 - 44.0 };
        let (size, lines) = title_lines(&self.title, area.width, Weight::Bold);
        let mut top = area.y + 20.0;
        for line in &lines {
            scene.text(area.x, top, line.clone(), Style::new(size, palette.text).bold());
            top += 28.0;
        }
        let subtitle = lettering::fitted(&self.subtitle, 16.0, Weight::Regular, area.width / 1.1);
        scene.text(area.x, top, subtitle, Style::new(16.0, palette.muted));
        let body = Area { y: top + 24.0, height: area.bottom() - top - 24.0, ..area };
        match &self.body {
            Body::Charts(charts) => draw_charts(&mut scene, &palette, charts, body),
            Body::Matrix(table) => matrix::draw(&mut scene, &palette, table, body),
        }
        let footer = Style::new(13.0, palette.muted).anchored(Anchor::End);
        scene.text(area.x + area.width, height - 18.0, self.note.clone(), footer);
        scene
    }
}

/// Whoever reads the SVG without our font may have one that is this much wider.
const WIDER: f64 = 1.28;

/// A title on one line, a little smaller where it is long, or on two lines where that would not do; and cut where two
/// do not hold it.
fn title_lines(text: &str, width: f64, weight: Weight) -> (f64, Vec<String>) {
    const SIZES: [f64; 3] = [26.0, 24.0, 22.0];
    let room = width / WIDER;
    let fits = |text: &str, size: f64| lettering::width(text, size, weight) <= room;
    if let Some(size) = SIZES.into_iter().find(|size| fits(text, *size)) {
        return (size, vec![text.to_owned()]);
    }
    let size = SIZES[SIZES.len() - 1];
    // Between two clauses if both lines hold, else as late as possible.
    let spaces: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let clause = |at: &&usize| text[..**at].ends_with([',', ';', ':']) && fits(&text[**at + 1..], size);
    let early: Vec<usize> = spaces.into_iter().take_while(|at| fits(&text[..*at], size)).collect();
    let at = early.iter().rfind(clause).or(early.last()).copied().unwrap_or(0);
    let (first, rest) = text.split_at(at);
    (size, vec![first.to_owned(), lettering::fitted(rest.trim_start(), size, weight, room)])
}

fn draw_charts(scene: &mut Scene, palette: &Palette, charts: &[Chart], area: Area) {
    if charts.is_empty() {
        return;
    }
    let mut named: Vec<&Series> = Vec::new();
    for series in charts.iter().flat_map(|chart| &chart.series) {
        if !named.iter().any(|known| known.name == series.name) {
            named.push(series);
        }
    }
    // Where every panel shows one series and says so, a legend would only repeat the headings.
    let headed = charts.iter().all(|chart| chart.series.len() <= 1 && !chart.heading.is_empty());
    let top = match headed {
        true => 0.0,
        false => chart::legend(scene, palette, &named, (area.x, area.y), area.width) + 10.0,
    };
    let area = Area { y: area.y + top, height: area.height - top, ..area };
    let columns = match charts.len() {
        1 => 1,
        2 | 4 => 2,
        _ => 3,
    };
    let rows = charts.len().div_ceil(columns);
    let gap = 22.0;
    let width = (area.width - gap * (columns - 1) as f64) / columns as f64;
    let height = (area.height - gap * (rows - 1) as f64) / rows as f64;
    let ranges = chart::shared_ranges(charts);
    // Panels beside each other stay wide: the legend above serves them all.
    let labels = charts.len() == 1;
    let above = charts.iter().any(|panel| chart::inset_above(panel, (width, height), ranges));
    for (index, panel) in charts.iter().enumerate() {
        let x = area.x + (width + gap) * (index % columns) as f64;
        let y = area.y + (height + gap) * (index / columns) as f64;
        chart::draw(scene, palette, panel, Area { x, y, width, height }, ranges, (labels, above));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn decoded(bytes: &[u8]) -> (u32, u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().expect("a PNG");
        let mut pixels = vec![0; reader.output_buffer_size().expect("it fits into memory")];
        let info = reader.next_frame(&mut pixels).expect("one image");
        (info.width, info.height, pixels)
    }

    #[test]
    fn a_png_has_the_asked_size_many_colours_and_the_same_bytes_again() {
        let options = Options { width: 800, height: 450, ..Options::default() };
        for plot in samples::plots() {
            let bytes = plot.png(&options);
            let (width, height, pixels) = decoded(&bytes);
            assert_eq!((width, height), (800, 450));
            let colours: std::collections::BTreeSet<_> = pixels.chunks_exact(3).collect();
            assert!(colours.len() > 50, "{}: {} colours", plot.name, colours.len());
            assert_eq!(plot.png(&options), bytes, "{}", plot.name);
        }
    }

    #[test]
    fn a_long_title_takes_two_lines_and_a_longer_one_is_cut() {
        let lines = |text: &str| title_lines(text, 600.0, Weight::Bold).1;
        assert_eq!(lines("Most messages waiting"), ["Most messages waiting"]);
        let long = "Most messages waiting: 135 on log, 37 on fanout";
        assert_eq!(lines(long).len(), 2);
        assert_eq!(lines(long).join(" "), long, "nothing is lost");
        let longer = lines(&long.repeat(4));
        assert_eq!(longer.len(), 2);
        assert!(longer[1].ends_with('…'), "{longer:?}");
    }

    #[test]
    fn greyscale_is_grey_and_an_svg_names_every_axis_with_its_unit() {
        let plot = &samples::plots()[0];
        let (_, _, pixels) = decoded(&plot.png(&Options { greyscale: true, ..Options::default() }));
        assert!(pixels.chunks_exact(3).all(|pixel| pixel[0] == pixel[1] && pixel[1] == pixel[2]));
        let svg = plot.svg(&Options::default());
        assert!(svg.starts_with("<svg xmlns=") && svg.trim_end().ends_with("</svg>"));
        let Body::Charts(charts) = &plot.body else { panic!("the first sample is a chart") };
        for axis in [&charts[0].x, &charts[0].y] {
            assert!(!axis.unit.is_empty());
            assert!(svg.contains(&format!("{} ({})", axis.label, axis.unit)));
        }
    }
}
