//! A plot as plain data. The same [`PlotSpec`] feeds SVG, PNG and, elsewhere, the screen.

use crate::palette::Look;

/// Curves are thinned to at most this many points before they are drawn.
pub const MAX_POINTS: usize = 5_000;
/// A scatter of more points than this is drawn as a field of cells, each as strong as it has points.
pub const MAX_MARKS: usize = 1_500;

/// One plot.
#[derive(Clone, PartialEq, Debug)]
pub struct PlotSpec {
    /// Its short name, also the file name without an ending: `backlog`.
    pub name: String,
    /// What to see.
    pub title: String,
    /// The question that the plot answers, or how to read it.
    pub subtitle: String,
    /// What is drawn.
    pub body: Body,
    /// Small print below, such as `modelled, not measured`.
    pub note: String,
}

/// What a plot shows.
#[derive(Clone, PartialEq, Debug)]
pub enum Body {
    /// Curves or points over axes, in one panel or several of the same axes.
    Charts(Vec<Chart>),
    /// Numbers with bars.
    Matrix(Matrix),
}

/// Curves or points over two axes.
#[derive(Clone, PartialEq, Debug)]
pub struct Chart {
    /// Heading of the panel; empty where there is only one.
    pub heading: String,
    /// The horizontal axis.
    pub x: Axis,
    /// The vertical axis.
    pub y: Axis,
    /// What is drawn, in drawing order.
    pub series: Vec<Series>,
    /// Shaded stretches of the horizontal axis, such as faults.
    pub spans: Vec<Span>,
    /// Horizontal reference lines.
    pub guides: Vec<Guide>,
    /// A small table in the emptiest corner.
    pub inset: Option<Inset>,
    /// What to write where there is nothing to draw.
    pub empty: String,
}

/// An axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Axis {
    /// What it measures.
    pub label: String,
    /// In which unit; never empty.
    pub unit: String,
    /// How values are spread over it.
    pub scale: Scale,
    /// Smallest and largest value, where they do not follow from the points.
    pub range: Option<(f64, f64)>,
}

/// How values are spread over an axis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scale {
    /// Equal steps for equal differences.
    Linear,
    /// Equal steps for equal ratios.
    Log,
}

/// How the points of a series are drawn.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Draw {
    /// Joined by straight lines, with a few marks.
    Line,
    /// Each value holds until the next, with a few marks.
    Steps,
    /// A mark for each point; a field of cells where there are more than [`MAX_MARKS`].
    Points,
    /// A dashed line without marks, only for theory.
    Theory,
}

/// Points that belong together.
#[derive(Clone, PartialEq, Debug)]
pub struct Series {
    /// Its name in the legend.
    pub name: String,
    /// Its colour and mark.
    pub look: Look,
    /// How it is drawn.
    pub draw: Draw,
    /// The points, x never falling (except for [`Draw::Points`]).
    pub points: Vec<(f64, f64)>,
    /// Lower and upper bounds around it, such as a confidence band: x, low, high.
    pub band: Vec<(f64, f64, f64)>,
}

/// A shaded stretch of the horizontal axis.
#[derive(Clone, PartialEq, Debug)]
pub struct Span {
    /// Where it begins.
    pub from: f64,
    /// Where it ends; `None` for the end of the axis.
    pub until: Option<f64>,
    /// What happened, in a few words.
    pub label: String,
}

/// A horizontal reference line.
#[derive(Clone, PartialEq, Debug)]
pub struct Guide {
    /// At which value.
    pub at: f64,
    /// What it is.
    pub label: String,
}

/// A small table inside a chart.
#[derive(Clone, PartialEq, Debug)]
pub struct Inset {
    /// Column headings; the first stands above the names.
    pub head: Vec<String>,
    /// A look, a name and the values of each row.
    pub rows: Vec<(Look, Vec<String>)>,
}

/// Counts per row and column, each a number, a share of the row and a bar.
#[derive(Clone, PartialEq, Debug)]
pub struct Matrix {
    /// Headings of the counted columns.
    pub columns: Vec<String>,
    /// Heading of the sum.
    pub total: String,
    /// Headings of what is counted beside the sum.
    pub attributes: Vec<String>,
    /// The rows.
    pub rows: Vec<MatrixRow>,
}

/// A row of a [`Matrix`].
#[derive(Clone, PartialEq, Debug)]
pub struct MatrixRow {
    /// Colour and mark.
    pub look: Look,
    /// The contender.
    pub name: String,
    /// The application.
    pub detail: String,
    /// One count for each column; they sum to `total`.
    pub counts: Vec<u64>,
    /// What the counts sum to.
    pub total: u64,
    /// One count for each attribute.
    pub attributes: Vec<u64>,
}

impl Series {
    /// The points that are drawn on `columns` pixel columns between two values of x, see [`thinned`].
    pub fn thinned(&self, from: f64, until: f64, columns: usize) -> Vec<(f64, f64)> {
        thinned(&self.points, from, until, columns)
    }
}

/// The points that are drawn on `columns` pixel columns between two values of x: for each column the first,
/// smallest, largest and last, so that a spike of a single point survives. Few points stay as they are.
pub fn thinned(points: &[(f64, f64)], from: f64, until: f64, columns: usize) -> Vec<(f64, f64)> {
    let columns = columns.clamp(1, MAX_POINTS / 4);
    if points.len() <= columns * 4 || until <= from {
        return points.to_vec();
    }
    let column = |x: f64| ((x - from) / (until - from) * columns as f64) as i64;
    let mut thin = Vec::with_capacity(columns * 4);
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let extreme = |better: fn(f64, f64) -> bool| {
            (1..group.len()).fold(0, |best, i| if better(group[i].1, group[best].1) { i } else { best })
        };
        let mut kept = [0, extreme(|a, b| a < b), extreme(|a, b| a > b), group.len() - 1];
        kept.sort_unstable();
        let mut previous = None;
        for index in kept {
            if previous != Some(index) {
                thin.push(group[index]);
            }
            previous = Some(index);
        }
    }
    thin
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::palette::looks;
    use brokerlab_event::Model;

    #[test]
    fn thinning_keeps_spikes_and_the_bound() {
        let mut points: Vec<(f64, f64)> = (0..200_000).map(|i| (f64::from(i), f64::from(i % 7))).collect();
        points[123_456].1 = 1_000.0;
        points[77].1 = -5.0;
        let look = looks(&[Model::Queue])[0];
        let series = Series { name: "spiky".into(), look, draw: Draw::Line, points, band: Vec::new() };
        let thin = series.thinned(0.0, 200_000.0, 1_200);
        assert!(thin.len() <= MAX_POINTS, "{} points", thin.len());
        assert!(thin.contains(&(123_456.0, 1_000.0)) && thin.contains(&(77.0, -5.0)));
        assert_eq!((thin[0], thin[thin.len() - 1].0), ((0.0, 0.0), 199_999.0));
        assert!(thin.is_sorted_by(|a, b| a.0 <= b.0));
        assert_eq!(series.thinned(0.0, 200_000.0, 1_200), thin, "thinning is a pure function");
    }
}
