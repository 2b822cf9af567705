//! What is drawn of a chart: its points, thinned and placed on the axes. It is kept for as long as the same stretch of
//! the same runs is looked at, so that a frame costs what is seen and not what was measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use brokerlab_lab::reporting::{Chart, Draw, MAX_MARKS, PlotSpec, Scale, Series, thinned};
use egui_plot::PlotPoint;

use crate::charts::{Spread, TIME};

/// Curves are thinned to this many columns of pixels.
const COLUMNS: usize = 1_200;
/// The radius of the marks on a curve.
const ON_CURVE: f32 = 5.0;
/// The radius of the marks of a scatter.
const SCATTERED: f32 = 3.2;
/// Of a scatter with too many points, the radii of the marks that stand for few and for many.
const SIZES: [f32; 5] = [1.2, 2.0, 2.8, 3.6, 4.6];
/// Into so many columns and rows such a scatter is divided.
const FIELD: (f64, f64) = (80.0, 36.0);

/// A chart as it is drawn.
#[derive(Debug)]
pub struct Drawn {
    spec: Arc<PlotSpec>,
    ghost: Option<Arc<PlotSpec>>,
    panel: usize,
    stretch: (f64, f64),
    /// The lower left corner of what is seen.
    pub low: [f64; 2],
    /// The upper right corner.
    pub high: [f64; 2],
    /// What is drawn of each series, in their order.
    pub series: Vec<Placed>,
    /// The curves of the runs before the last change.
    pub ghosts: Vec<Vec<PlotPoint>>,
}

/// What is drawn of a series.
#[derive(Debug, Default)]
pub struct Placed {
    /// Its curve, where it has one.
    pub line: Vec<PlotPoint>,
    /// Its marks: a radius, and where they stand.
    pub marks: Vec<(f32, Vec<PlotPoint>)>,
}

impl Drawn {
    /// What is drawn of a panel of a plot in a stretch of time: what was kept, where it is of just that.
    pub fn kept(
        kept: &mut Option<Arc<Drawn>>,
        (spec, ghost): (&Arc<PlotSpec>, Option<&Arc<PlotSpec>>),
        (panel, charts): (usize, (&Chart, Option<&Chart>)),
        stretch: (f64, f64),
    ) -> Arc<Drawn> {
        let same = |old: &Arc<Drawn>| {
            Arc::ptr_eq(&old.spec, spec)
                && old.ghost.as_ref().map(Arc::as_ptr) == ghost.map(Arc::as_ptr)
                && (old.panel, old.stretch) == (panel, stretch)
        };
        if let Some(old) = kept.as_ref().filter(|old| same(old)) {
            return old.clone();
        }
        let (low, high) = corners(charts.0, stretch);
        let spread = (Spread(charts.0.x.scale), Spread(charts.0.y.scale));
        let count = charts.0.series.len();
        let placed = |(index, series)| Placed::new(series, spread, (low, high), (index, count));
        let series = charts.0.series.iter().enumerate().map(placed).collect();
        let own = charts.1.iter().flat_map(|chart| &chart.series);
        let ghosts = own.map(|series| line(series, spread, (low[0], high[0]))).collect();
        let (spec, ghost) = (spec.clone(), ghost.cloned());
        let new = Arc::new(Drawn { spec, ghost, panel, stretch, low, high, series, ghosts });
        *kept = Some(new.clone());
        new
    }

    /// How many points of curves lie in a part of the picture. `from` and `until` are shares of its width and height,
    /// from the lower left.
    pub fn points_within(&self, from: [f64; 2], until: [f64; 2]) -> usize {
        let at = |axis: usize, share: f64| self.low[axis] + share * (self.high[axis] - self.low[axis]);
        let is_within = |point: &&PlotPoint| {
            (at(0, from[0])..=at(0, until[0])).contains(&point.x)
                && (at(1, from[1])..=at(1, until[1])).contains(&point.y)
        };
        self.series.iter().flat_map(|series| &series.line).filter(is_within).count()
    }
}

impl Placed {
    fn new(
        series: &Series,
        spread: (Spread, Spread),
        (low, high): ([f64; 2], [f64; 2]),
        place: (usize, usize),
    ) -> Placed {
        if series.draw == Draw::Points {
            return Placed { line: Vec::new(), marks: scatter(series, spread, (low, high)) };
        }
        let line = line(series, spread, (low[0], high[0]));
        if series.draw == Draw::Theory {
            return Placed { line, marks: Vec::new() };
        }
        // A few marks, at other places for each series so that equal curves do not hide each other's.
        let step = (high[0] - low[0]) / 8.0;
        let mut next = low[0] + step * (place.0 as f64 + 0.5) / place.1 as f64;
        let mut marks = Vec::new();
        for (x, y) in &series.points {
            let x = spread.0.to(*x);
            if x >= next && x <= high[0] {
                marks.push(PlotPoint::new(x, spread.1.to(*y)));
                next = x + step;
            }
        }
        Placed { line, marks: vec![(ON_CURVE, marks)] }
    }
}

/// Smallest and largest place of everything on the axes; over time, of the stretch that is looked at.
fn corners(chart: &Chart, stretch: (f64, f64)) -> ([f64; 2], [f64; 2]) {
    let spread = (Spread(chart.x.scale), Spread(chart.y.scale));
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let range = |known: Option<(f64, f64)>, values: &mut dyn Iterator<Item = f64>, spread: Spread| {
        let known = known.map(|(low, high)| (spread.to(low), spread.to(high)));
        let (low, high) = known.unwrap_or_else(|| {
            values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
                (low.min(spread.to(value)), high.max(spread.to(value)))
            })
        });
        let (low, high) = if low.is_finite() && high.is_finite() { (low, high) } else { (0.0, 1.0) };
        let low = if matches!(spread.0, Scale::Linear) { low.min(0.0) } else { low };
        (low, if high > low { high } else { low + 1.0 })
    };
    let x = range(chart.x.range, &mut points().map(|point| point.0), spread.0);
    let y = range(chart.y.range, &mut points().map(|point| point.1), spread.1);
    let x = if chart.x.label == TIME && stretch.1 > stretch.0 { stretch } else { x };
    let (wide, high) = (x.1 - x.0, y.1 - y.0);
    ([x.0 - 0.01 * wide, y.0 - 0.02 * high], [x.1 + 0.01 * wide, y.1 + 0.08 * high])
}

fn line(series: &Series, spread: (Spread, Spread), (from, until): (f64, f64)) -> Vec<PlotPoint> {
    if series.draw == Draw::Points {
        return Vec::new();
    }
    let (from, until) = (spread.0.from(from), spread.0.from(until));
    // What is far outside would be thinned as finely as what is seen; the neighbours lead the line to the edges.
    let first = series.points.partition_point(|point| point.0 < from).saturating_sub(1);
    let last = series.points.partition_point(|point| point.0 <= until).saturating_add(1).min(series.points.len());
    // A step has two points where a line has one.
    let columns = if series.draw == Draw::Steps { COLUMNS / 2 } else { COLUMNS };
    let thin = thinned(&series.points[first.min(last)..last], from, until, columns);
    let mut places: Vec<PlotPoint> = Vec::with_capacity(thin.len());
    for (x, y) in thin {
        let at = PlotPoint::new(spread.0.to(x), spread.1.to(y));
        if series.draw == Draw::Steps
            && let Some(last) = places.last().copied()
        {
            places.push(PlotPoint::new(at.x, last.y));
        }
        places.push(at);
    }
    places
}

/// All points as marks, or a field of marks, the larger the more points lie there.
fn scatter(series: &Series, spread: (Spread, Spread), (low, high): ([f64; 2], [f64; 2])) -> Vec<(f32, Vec<PlotPoint>)> {
    let places = series.points.iter().map(|(x, y)| PlotPoint::new(spread.0.to(*x), spread.1.to(*y)));
    if series.points.len() <= MAX_MARKS {
        return vec![(SCATTERED, places.collect())];
    }
    let (wide, tall) = (high[0] - low[0], high[1] - low[1]);
    let mut cells = BTreeMap::<(i64, i64), u32>::new();
    for at in places {
        let column = ((at.x - low[0]) / wide * FIELD.0) as i64;
        let row = ((at.y - low[1]) / tall * FIELD.1) as i64;
        *cells.entry((column, row)).or_default() += 1;
    }
    let most = cells.values().copied().max().unwrap_or(1);
    let mut marks: Vec<(f32, Vec<PlotPoint>)> = SIZES.into_iter().map(|size| (size, Vec::new())).collect();
    for ((column, row), count) in cells {
        // By the logarithm, so that a single message stays visible beside a cell of a thousand.
        let share = f64::from(1 + count).ln() / f64::from(1 + most).ln();
        let step = (share * (SIZES.len() - 1) as f64 + 0.5) as usize;
        let x = low[0] + (column as f64 + 0.5) / FIELD.0 * wide;
        let y = low[1] + (row as f64 + 0.5) / FIELD.1 * tall;
        marks[step].1.push(PlotPoint::new(x, y));
    }
    marks
}

#[cfg(test)]
mod tests {
    use brokerlab_lab::event::Model;
    use brokerlab_lab::reporting::{Axis, Body, MAX_POINTS, looks};

    use super::*;

    fn spec(draw: Draw, points: Vec<(f64, f64)>) -> Arc<PlotSpec> {
        let axis = |label: &str| Axis { label: label.into(), unit: "s".into(), scale: Scale::Linear, range: None };
        let look = looks(&[Model::Queue])[0];
        let series = vec![Series { name: "queue".into(), look, draw, points, band: Vec::new() }];
        let (x, y) = (axis(TIME), axis("backlog"));
        let (heading, empty) = (String::new(), String::new());
        let chart = Chart { heading, x, y, series, spans: vec![], guides: vec![], inset: None, empty };
        let (name, title, subtitle, note) = ("backlog".into(), String::new(), String::new(), String::new());
        Arc::new(PlotSpec { name, title, subtitle, body: Body::Charts(vec![chart]), note })
    }

    fn drawn(kept: &mut Option<Arc<Drawn>>, spec: &Arc<PlotSpec>, stretch: (f64, f64)) -> Arc<Drawn> {
        let Body::Charts(charts) = &spec.body else { panic!("it has charts") };
        Drawn::kept(kept, (spec, None), (0, (&charts[0], None)), stretch)
    }

    #[test]
    fn however_much_was_measured_a_series_hands_over_a_bounded_number_of_points() {
        let many: Vec<(f64, f64)> =
            (0..300_000).map(|n| (f64::from(n) * 1e-3, f64::from(n % 1_000 * 7919 % 1_000))).collect();
        for draw in [Draw::Line, Draw::Steps, Draw::Points, Draw::Theory] {
            let drawn = drawn(&mut None, &spec(draw, many.clone()), (0.0, 300.0));
            let placed = &drawn.series[0];
            let marks = placed.marks.iter().map(|(_, at)| at.len()).sum::<usize>();
            assert!(placed.line.len() + marks <= MAX_POINTS, "{draw:?}: {} and {marks}", placed.line.len());
            assert!(placed.line.len() + marks > 1_000, "{draw:?}: {} and {marks}", placed.line.len());
        }
    }

    #[test]
    fn what_is_drawn_is_kept_until_the_run_or_the_stretch_is_another() {
        let spec_of = |top: f64| spec(Draw::Line, vec![(0.0, 0.0), (10.0, top), (20.0, 0.0)]);
        let (spec, mut kept) = (spec_of(5.0), None);
        let first = drawn(&mut kept, &spec, (0.0, 20.0));
        assert!(Arc::ptr_eq(&first, &drawn(&mut kept, &spec, (0.0, 20.0))));
        let closer = drawn(&mut kept, &spec, (0.0, 8.0));
        assert!(closer.high[0] < 9.0 && closer.series[0].line.len() == 2, "with the neighbour that leads to the edge");
        let other = drawn(&mut kept, &spec_of(50.0), (0.0, 8.0));
        assert!(other.high[1] > 50.0);
    }
}
