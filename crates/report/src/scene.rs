//! What is drawn, as plain shapes in logical pixels: both painters take the same list, so SVG and PNG agree.

use crate::lettering::Weight;
use crate::palette::{Mark, Rgb};

/// Where a text stands relative to its point.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Anchor {
    Start,
    Middle,
    End,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Text {
    pub x: f64,
    /// The baseline.
    pub y: f64,
    pub text: String,
    pub size: f64,
    pub weight: Weight,
    pub colour: Rgb,
    pub anchor: Anchor,
    /// Turned to read upwards.
    pub upwards: bool,
}

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Shape {
    Rect { x: f64, y: f64, width: f64, height: f64, fill: Rgb },
    Line { points: Vec<(f64, f64)>, colour: Rgb, width: f64 },
    Polygon { points: Vec<(f64, f64)>, fill: Rgb },
    Disc { x: f64, y: f64, radius: f64, fill: Rgb },
    Text(Text),
}

/// Shapes in drawing order on a ground.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Scene {
    pub width: f64,
    pub height: f64,
    pub background: Rgb,
    pub shapes: Vec<Shape>,
}

impl Scene {
    pub fn rect(&mut self, x: f64, y: f64, width: f64, height: f64, fill: Rgb) {
        self.shapes.push(Shape::Rect { x, y, width, height, fill });
    }

    pub fn line(&mut self, points: Vec<(f64, f64)>, colour: Rgb, width: f64) {
        if points.len() > 1 {
            self.shapes.push(Shape::Line { points, colour, width });
        }
    }

    /// A dashed line, cut into its dashes here because neither painter is trusted to agree on them.
    pub fn dashed(&mut self, points: &[(f64, f64)], colour: Rgb, width: f64) {
        const DASH: [f64; 2] = [8.0, 5.0];
        let (mut phase, mut left, mut dash) = (0, DASH[0], Vec::new());
        for pair in points.windows(2) {
            let ((mut x, mut y), (end_x, end_y)) = (pair[0], pair[1]);
            loop {
                if phase == 0 {
                    dash.push((x, y));
                }
                let rest = libm::hypot(end_x - x, end_y - y);
                if rest <= left {
                    left -= rest;
                    break;
                }
                (x, y) = (x + (end_x - x) * left / rest, y + (end_y - y) * left / rest);
                if phase == 0 {
                    dash.push((x, y));
                    self.line(core::mem::take(&mut dash), colour, width);
                }
                phase = 1 - phase;
                left = DASH[phase];
            }
        }
        dash.extend(points.last().filter(|_| phase == 0));
        self.line(dash, colour, width);
    }

    pub fn polygon(&mut self, points: Vec<(f64, f64)>, fill: Rgb) {
        self.shapes.push(Shape::Polygon { points, fill });
    }

    /// A mark of about `radius`, filled, or with `open` its inside in that colour.
    pub fn mark(&mut self, mark: Mark, (x, y): (f64, f64), radius: f64, colour: Rgb, open: Option<Rgb>) {
        self.filled_mark(mark, (x, y), radius, colour);
        if let Some(inside) = open {
            // Triangles have less room inside at the same stroke, hence the smaller core.
            let core = if matches!(mark, Mark::Triangle | Mark::Wedge | Mark::Plus) { 0.42 } else { 0.55 };
            self.filled_mark(mark, (x, y), radius * core, inside);
        }
    }

    fn filled_mark(&mut self, mark: Mark, (x, y): (f64, f64), r: f64, fill: Rgb) {
        let corners: &[(f64, f64)] = match mark {
            Mark::Circle => return self.shapes.push(Shape::Disc { x, y, radius: r, fill }),
            Mark::Square => return self.rect(x - 0.9 * r, y - 0.9 * r, 1.8 * r, 1.8 * r, fill),
            Mark::Triangle => &[(0.0, -1.2), (1.15, 0.85), (-1.15, 0.85)],
            Mark::Wedge => &[(0.0, 1.2), (1.15, -0.85), (-1.15, -0.85)],
            Mark::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Mark::Plus => {
                self.rect(x - 1.2 * r, y - 0.45 * r, 2.4 * r, 0.9 * r, fill);
                return self.rect(x - 0.45 * r, y - 1.2 * r, 0.9 * r, 2.4 * r, fill);
            }
        };
        self.polygon(corners.iter().map(|(dx, dy)| (x + dx * r, y + dy * r)).collect(), fill);
    }

    /// A text with its baseline at `y`.
    pub fn text(&mut self, x: f64, y: f64, text: impl Into<String>, style: Style) {
        let Style { size, weight, colour, anchor, upwards } = style;
        self.shapes.push(Shape::Text(Text { x, y, text: text.into(), size, weight, colour, anchor, upwards }));
    }
}

/// How a text is set.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    pub size: f64,
    pub weight: Weight,
    pub colour: Rgb,
    pub anchor: Anchor,
    pub upwards: bool,
}

impl Style {
    pub fn new(size: f64, colour: Rgb) -> Style {
        Style { size, weight: Weight::Regular, colour, anchor: Anchor::Start, upwards: false }
    }

    pub fn bold(self) -> Style {
        Style { weight: Weight::Bold, ..self }
    }

    pub fn anchored(self, anchor: Anchor) -> Style {
        Style { anchor, ..self }
    }

    pub fn upwards(self) -> Style {
        Style { upwards: true, ..self }
    }
}
