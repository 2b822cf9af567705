//! The two painters: a scene as SVG text or as a PNG image, through the backends of plotters.

use core::convert::Infallible;

use plotters_backend::text_anchor::{HPos, Pos, VPos};
use plotters_backend::{
    BackendColor, BackendStyle, BackendTextStyle, DrawingBackend, DrawingErrorKind, FontFamily, FontStyle,
    FontTransform,
};
use plotters_bitmap::BitMapBackend;
use plotters_svg::SVGBackend;

use crate::lettering::{self, FAMILIES, Weight};
use crate::palette::Rgb;
use crate::scene::{Anchor, Scene, Shape, Text};

/// Plotters draws on whole pixels. An SVG is therefore drawn ten times larger and shown through its view box.
const SVG_SCALE: f64 = 10.0;

struct Stroke(Rgb, u32);

impl BackendStyle for Stroke {
    fn color(&self) -> BackendColor {
        BackendColor { alpha: 1.0, rgb: (self.0.0, self.0.1, self.0.2) }
    }

    fn stroke_width(&self) -> u32 {
        self.1
    }
}

struct Letters<'a>(&'a Text, f64);

impl BackendTextStyle for Letters<'_> {
    type FontError = Infallible;

    fn color(&self) -> BackendColor {
        Stroke(self.0.colour, 0).color()
    }

    fn size(&self) -> f64 {
        // The SVG backend divides by this factor.
        self.0.size * self.1 * 1.24
    }

    fn transform(&self) -> FontTransform {
        if self.0.upwards { FontTransform::Rotate270 } else { FontTransform::None }
    }

    fn style(&self) -> FontStyle {
        match self.0.weight {
            Weight::Regular => FontStyle::Normal,
            Weight::Bold => FontStyle::Bold,
        }
    }

    fn anchor(&self) -> Pos {
        let horizontal = match self.0.anchor {
            Anchor::Start => HPos::Left,
            Anchor::Middle => HPos::Center,
            Anchor::End => HPos::Right,
        };
        Pos::new(horizontal, VPos::Top)
    }

    fn family(&self) -> FontFamily<'_> {
        FontFamily::Name(FAMILIES)
    }

    fn layout_box(&self, _: &str) -> Result<((i32, i32), (i32, i32)), Infallible> {
        Ok(((0, 0), (0, 0)))
    }

    fn draw<E, F: FnMut(i32, i32, BackendColor) -> Result<(), E>>(
        &self,
        _: &str,
        _: (i32, i32),
        _: F,
    ) -> Result<Result<(), E>, Infallible> {
        Ok(Ok(()))
    }
}

fn whole(value: f64, scale: f64) -> i32 {
    libm::round(value * scale) as i32
}

fn all_whole(points: &[(f64, f64)], scale: f64) -> Vec<(i32, i32)> {
    points.iter().map(|(x, y)| (whole(*x, scale), whole(*y, scale))).collect()
}

/// A scene as an SVG document of `size` pixels; `label` is read out by screen readers.
pub(crate) fn svg(scene: &Scene, size: (u32, u32), label: &str) -> String {
    let mut text = String::new();
    let canvas = (whole(scene.width, SVG_SCALE) as u32, whole(scene.height, SVG_SCALE) as u32);
    {
        let mut backend = SVGBackend::with_string(&mut text, canvas);
        let ground = Shape::Rect { x: 0.0, y: 0.0, width: scene.width, height: scene.height, fill: scene.background };
        for shape in core::iter::once(&ground).chain(&scene.shapes) {
            svg_shape(&mut backend, shape).expect("drawing into a string does not fail");
        }
        backend.present().expect("drawing into a string does not fail");
    }
    // The backend states the canvas as the size; the reader wants the size, a name and round joins.
    let body = text.find('>').map_or("", |end| &text[end + 1..]);
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" viewBox=\"0 0 {} {}\" role=\"img\" \
         aria-label=\"{}\" stroke-linejoin=\"round\" stroke-linecap=\"round\" \
         style=\"font-variant-numeric: tabular-nums\">{body}",
        size.0,
        size.1,
        canvas.0,
        canvas.1,
        escape(label),
    )
}

/// Text as it may stand in XML content and attributes.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

fn svg_shape(backend: &mut SVGBackend<'_>, shape: &Shape) -> Result<(), DrawingErrorKind<std::io::Error>> {
    const S: f64 = SVG_SCALE;
    match shape {
        Shape::Rect { x, y, width, height, fill } => {
            let end = (whole(x + width, S), whole(y + height, S));
            backend.draw_rect((whole(*x, S), whole(*y, S)), end, &Stroke(*fill, 0), true)
        }
        Shape::Line { points, colour, width } => {
            backend.draw_path(all_whole(points, S), &Stroke(*colour, whole(*width, S) as u32))
        }
        Shape::Polygon { points, fill } => backend.fill_polygon(all_whole(points, S), &Stroke(*fill, 0)),
        Shape::Disc { x, y, radius, fill } => {
            backend.draw_circle((whole(*x, S), whole(*y, S)), whole(*radius, S) as u32, &Stroke(*fill, 0), true)
        }
        Shape::Text(text) => {
            // The backend moves text down by 0.76 em, whatever the font; undo that to stand on the baseline.
            let rise = 0.76 * text.size;
            let rotated = text.upwards;
            let (x, y) = if rotated { (text.x - rise, text.y) } else { (text.x, text.y - rise) };
            backend.draw_text(&text.text, &Letters(text, S), (whole(x, S), whole(y, S)))
        }
    }
}

/// A scene as a PNG image of `size` pixels.
pub(crate) fn png(scene: &Scene, size: (u32, u32)) -> Vec<u8> {
    // Drawn larger and averaged down: smoother edges than the backend's own, the same for every shape. Very
    // large images are fine enough by themselves and would take too much memory.
    let pixels = u64::from(size.0) * u64::from(size.1);
    let factor = if pixels <= 4_000_000 { 3 } else { 1 };
    let canvas = (size.0 * factor, size.1 * factor);
    let scale = f64::from(canvas.0) / scene.width;
    let mut buffer = vec![0; canvas.0 as usize * canvas.1 as usize * 3];
    for pixel in buffer.chunks_exact_mut(3) {
        pixel.copy_from_slice(&[scene.background.0, scene.background.1, scene.background.2]);
    }
    let mut rest = scene.shapes.as_slice();
    while !rest.is_empty() {
        // Text goes straight into the buffer, which the backend borrows while it draws the other shapes.
        let run = rest.iter().take_while(|shape| !matches!(shape, Shape::Text(_))).count();
        if run > 0 {
            let mut backend = BitMapBackend::with_buffer(&mut buffer, canvas);
            for shape in &rest[..run] {
                bitmap_shape(&mut backend, shape, scale).expect("drawing into memory does not fail");
            }
        }
        if let Some(Shape::Text(text)) = rest.get(run) {
            bitmap_text(&mut buffer, canvas, text, scale);
        }
        rest = &rest[(run + 1).min(rest.len())..];
    }
    rgb_png(&averaged(&buffer, size, factor as usize), size)
}

type Bitmap<'a> = BitMapBackend<'a>;

fn bitmap_shape(
    backend: &mut Bitmap<'_>,
    shape: &Shape,
    scale: f64,
) -> Result<(), DrawingErrorKind<plotters_bitmap::BitMapBackendError>> {
    match shape {
        Shape::Rect { x, y, width, height, fill } => {
            // The backend includes the far edge of a rectangle.
            let end = (whole(x + width, scale) - 1, whole(y + height, scale) - 1);
            backend.draw_rect((whole(*x, scale), whole(*y, scale)), end, &Stroke(*fill, 0), true)
        }
        Shape::Line { points, colour, width } => bitmap_line(backend, points, *colour, width * scale, scale),
        Shape::Polygon { points, fill } => backend.fill_polygon(all_whole(points, scale), &Stroke(*fill, 0)),
        Shape::Disc { x, y, radius, fill } => {
            let center = (whole(*x, scale), whole(*y, scale));
            backend.draw_circle(center, whole(*radius, scale) as u32, &Stroke(*fill, 0), true)
        }
        Shape::Text(_) => Ok(()),
    }
}

/// A line as one quadrilateral a segment with round joins: the backend's own thick paths grow spikes at sharp
/// turns, and a backlog is full of them.
fn bitmap_line(
    backend: &mut Bitmap<'_>,
    points: &[(f64, f64)],
    colour: Rgb,
    width: f64,
    scale: f64,
) -> Result<(), DrawingErrorKind<plotters_bitmap::BitMapBackendError>> {
    let half = (width / 2.0).max(0.5);
    let style = Stroke(colour, 0);
    for pair in points.windows(2) {
        let ((ax, ay), (bx, by)) = (pair[0], pair[1]);
        let (ax, ay, bx, by) = (ax * scale, ay * scale, bx * scale, by * scale);
        let length = libm::hypot(bx - ax, by - ay);
        if length > 0.0 {
            let (nx, ny) = ((ay - by) / length * half, (bx - ax) / length * half);
            let corners = [(ax + nx, ay + ny), (bx + nx, by + ny), (bx - nx, by - ny), (ax - nx, ay - ny)];
            backend.fill_polygon(all_whole(&corners, 1.0), &style)?;
        }
        if half >= 1.5 {
            backend.draw_circle((whole(bx, 1.0), whole(by, 1.0)), whole(half, 1.0) as u32, &style, true)?;
        }
    }
    Ok(())
}

fn bitmap_text(buffer: &mut [u8], canvas: (u32, u32), text: &Text, scale: f64) {
    let width = lettering::width(&text.text, text.size, text.weight);
    let back = match text.anchor {
        Anchor::Start => 0.0,
        Anchor::Middle => width / 2.0,
        Anchor::End => width,
    };
    let (x, y) = if text.upwards { (text.x, text.y + back) } else { (text.x - back, text.y) };
    let (x, y) = (whole(x, scale), whole(y, scale));
    lettering::rasterise(&text.text, text.size * scale, text.weight, |dx, dy, coverage| {
        let (px, py) = if text.upwards { (x + dy, y - dx) } else { (x + dx, y + dy) };
        if px < 0 || py < 0 || px >= canvas.0 as i32 || py >= canvas.1 as i32 {
            return;
        }
        let start = (py as usize * canvas.0 as usize + px as usize) * 3;
        let ink = [text.colour.0, text.colour.1, text.colour.2];
        for (channel, ink) in buffer[start..start + 3].iter_mut().zip(ink) {
            let mixed = f32::from(*channel) + (f32::from(ink) - f32::from(*channel)) * coverage.clamp(0.0, 1.0);
            *channel = (mixed + 0.5) as u8;
        }
    });
}

fn averaged(buffer: &[u8], (width, height): (u32, u32), factor: usize) -> Vec<u8> {
    let (width, height) = (width as usize, height as usize);
    let row = width * factor * 3;
    let count = (factor * factor) as u32;
    let mut image = vec![0; width * height * 3];
    for (index, value) in image.iter_mut().enumerate() {
        let (pixel, channel) = (index / 3, index % 3);
        let corner = pixel / width * factor * row + pixel % width * factor * 3 + channel;
        let sum: u32 = (0..factor * factor)
            .map(|sample| u32::from(buffer[corner + sample / factor * row + sample % factor * 3]))
            .sum();
        *value = ((sum + count / 2) / count) as u8;
    }
    image
}

/// Pixels, three bytes each (red, green, blue) and row after row, as a PNG image.
pub fn rgb_png(image: &[u8], size: (u32, u32)) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, size.0, size.1);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("writing into memory does not fail");
    writer.write_image_data(image).expect("the image has the size that its header states");
    writer.finish().expect("writing into memory does not fail");
    bytes
}
