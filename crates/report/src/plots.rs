//! The plots of a run, made from the same rows that the CSV files hold.

use brokerlab_analysis::{Fate, Stage};
use brokerlab_event::Model;

use crate::columns::{ALL, SummaryRow, TimeseriesRow};
use crate::number::{decimal, grouped};
use crate::palette::{Look, looks};
use crate::report::Report;
use crate::spec::{Axis, Body, Chart, Draw, Guide, Inset, Matrix, MatrixRow, PlotSpec, Scale, Series, Span};
use crate::table::Thousandths;
use crate::words::{bytes, bytes_unit, human_millis, share_of};

const NOTE: &str = "Modelled, not measured";
/// More panels than this are too small to read.
const MAX_PANELS: usize = 6;

impl Report {
    /// Every plot of the run, the deciding one first.
    pub fn plots(&self) -> Vec<PlotSpec> {
        let mut plots =
            vec![self.backlog(), self.delivery(), self.latency(), self.throughput(), self.storage(), self.ordering()];
        plots.sort_by_key(|plot| plot.name != self.meta.deciding_plot);
        plots
    }

    /// How each contender looks in every plot.
    pub fn looks(&self) -> Vec<Look> {
        let model = |name: &str| Model::ALL.into_iter().find(|model| model.name() == name);
        let models: Vec<Model> = self.meta.contenders.iter().map(|c| model(&c.model).unwrap_or(Model::Queue)).collect();
        looks(&models)
    }

    fn contenders(&self) -> impl Iterator<Item = (&str, Look)> {
        self.meta.contenders.iter().map(|contender| contender.name.as_str()).zip(self.looks())
    }

    /// What panels are about: the applications, without a heading where there is but one.
    fn panels(&self) -> Vec<(&str, String)> {
        let names = self.applications();
        let several = names.len() > 1;
        names.into_iter().take(MAX_PANELS).map(|n| (n, if several { n.to_owned() } else { String::new() })).collect()
    }

    fn rows<'a>(&'a self, contender: &'a str, application: &'a str) -> impl Iterator<Item = &'a TimeseriesRow> {
        self.timeseries.iter().filter(move |row| row.contender == contender && row.application == application)
    }

    /// Titles count all applications together, panels each by itself; where there are several, titles say so.
    fn scope(&self) -> &'static str {
        if self.applications().len() > 1 { " (all applications)" } else { "" }
    }

    /// One shaded stretch per fault, whether it hit all contenders alike or each its own.
    fn spans(&self) -> Vec<Span> {
        let mut spans: Vec<Span> = Vec::new();
        for row in &self.faults {
            let (from, until) = (row.from_s.value(), row.until_s.map(|until| until.value()));
            let known = spans.iter().any(|s| s.label == row.fault && s.from == from);
            if !known {
                spans.push(Span { from, until, label: row.fault.clone() });
            }
        }
        spans.sort_by(|a, b| a.from.total_cmp(&b.from));
        spans
    }

    fn time_chart(&self, heading: &str, y: Axis, series: Vec<Series>) -> Chart {
        let end = self.meta.horizon.value();
        let x = Axis {
            label: "virtual time".into(),
            unit: "s".into(),
            scale: Scale::Linear,
            range: (end > 0.0).then_some((0.0, end)),
        };
        let (heading, spans) = (heading.to_owned(), self.spans());
        Chart { heading, x, y, series, spans, guides: Vec::new(), inset: None, empty: String::new() }
    }

    fn series(&self, draw: Draw, points: impl Fn(&str) -> Vec<(f64, f64)>) -> Vec<Series> {
        self.contenders()
            .map(|(name, look)| Series { name: name.into(), look, draw, points: points(name), band: Vec::new() })
            .collect()
    }

    /// `most` of each contender in words, the largest first; from least to most where there are many.
    fn compared<T: Ord + Copy>(
        &self,
        value: impl Fn(&SummaryRow) -> Option<T>,
        show: impl Fn(T) -> String,
    ) -> Option<String> {
        let totals = self.summary.iter().filter(|row| row.application == ALL);
        let mut found: Vec<(T, &str)> = totals.filter_map(|row| Some((value(row)?, row.contender.as_str()))).collect();
        found.sort_by_key(|(value, _)| core::cmp::Reverse(*value));
        let part = |(value, name): &(T, &str)| format!("{} on {name}", show(*value));
        match found.as_slice() {
            [] => None,
            [first, middle @ .., last] if found.len() > 3 => {
                Some(format!("{}, {} ({} between)", part(first), part(last), middle.len()))
            }
            few => Some(few.iter().map(part).collect::<Vec<_>>().join(", ")),
        }
    }

    fn backlog(&self) -> PlotSpec {
        let charts = self.panels().into_iter().map(|(application, heading)| {
            let points = |name: &str| {
                // A level stands at the end of its bin.
                let row = |row: &TimeseriesRow| (row.time_s.value() + row.length_s.value(), row.backlog as f64);
                self.rows(name, application).map(row).collect()
            };
            self.time_chart(&heading, linear("backlog", "messages"), self.series(Draw::Line, points))
        });
        let most = self.compared(|row| Some(row.backlog_max), grouped);
        PlotSpec {
            name: "backlog".into(),
            title: most.map_or("Backlog".into(), |most| format!("Most messages waiting{}: {most}", self.scope())),
            subtitle: "How many messages wait for the application, and how fast is the pile worked off?".into(),
            body: Body::Charts(charts.collect()),
            note: NOTE.into(),
        }
    }

    fn throughput(&self) -> PlotSpec {
        let first = self.meta.contenders.first().map_or("", |contender| contender.name.as_str());
        let demand: Vec<&TimeseriesRow> = self.rows(first, ALL).collect();
        let size = pool_size(&demand);
        let width = demand.first().map_or(0, |row| row.length_s.0 * size as u64);
        let charts = self.panels().into_iter().map(|(application, heading)| {
            let processed = |row: &TimeseriesRow| Some(row.processed_per_s);
            let mut series = self.series(Draw::Line, |name| pooled(self.rows(name, application), size, processed));
            // The same for all contenders, a reference like theory and drawn like it.
            series.extend(self.looks().first().map(|look| Series {
                name: "offered".into(),
                look: *look,
                draw: Draw::Theory,
                points: pooled(demand.iter().copied(), size, |row| row.offered_per_s),
                band: Vec::new(),
            }));
            self.time_chart(&heading, linear("processed", "messages/s"), series)
        });
        let rates = self.compared(
            |row| row.throughput_per_s,
            |rate| {
                let tenths = (rate.0 + 50) / 100;
                format!("{}.{}/s", grouped(tenths / 10), tenths % 10)
            },
        );
        PlotSpec {
            name: "throughput".into(),
            title: rates.map_or("Throughput".into(), |rates| format!("Throughput{}: {rates}", self.scope())),
            subtitle: format!(
                "How much work is finished, against how much is offered? Each point is the mean of {} s.",
                decimal(width, 9)
            ),
            body: Body::Charts(charts.collect()),
            note: NOTE.into(),
        }
    }

    fn storage(&self) -> PlotSpec {
        let most = self.summary.iter().map(|row| row.stored_bytes_max).max().unwrap_or(0);
        let (unit, size) = bytes_unit(most);
        let points = |name: &str| {
            let end = |row: &TimeseriesRow| row.time_s.value() + row.length_s.value();
            self.rows(name, ALL).filter_map(|row| Some((end(row), row.stored_bytes? as f64 / size as f64))).collect()
        };
        let chart = self.time_chart("", linear("stored", unit), self.series(Draw::Line, points));
        let most = self.compared(|row| Some(row.stored_bytes_max), bytes);
        PlotSpec {
            name: "storage".into(),
            title: most.map_or("Storage".into(), |most| format!("Most stored: {most}")),
            subtitle: "What does the broker keep? A queue drains as messages are settled; a log keeps them until \
                       retention cuts it."
                .into(),
            body: Body::Charts(vec![chart]),
            note: NOTE.into(),
        }
    }

    fn latency(&self) -> PlotSpec {
        let panels = self.panels();
        let charts = panels.iter().map(|(application, heading)| {
            let points = |name: &str| -> Vec<(f64, f64)> {
                let rows = self.latency.iter().filter(|row| {
                    row.contender == name
                        && row.application == *application
                        && row.stage == Stage::Process.name()
                        // The quickest per cent would stretch the axis and tells nothing.
                        && row.share.0 >= 10_000
                });
                rows.map(|row| (row.latency_ms.value(), row.share.value())).collect()
            };
            let series = self.series(Draw::Line, points);
            let inset = (panels.len() <= 4).then(|| self.percentiles(application));
            latency_chart(heading, series, inset)
        });
        let mut charts: Vec<Chart> = charts.collect();
        share_scale(&mut charts);
        let slow = self.compared(|row| row.latency_ms_p99, |latency| human_millis(latency.0));
        PlotSpec {
            name: "latency".into(),
            title: slow.map_or("Latency".into(), |slow| format!("99% are processed within {slow}")),
            subtitle: "How long does it take from the intended send time until the work on a message is done?".into(),
            body: Body::Charts(charts),
            note: NOTE.into(),
        }
    }

    fn percentiles(&self, application: &str) -> Inset {
        let rows = self.contenders().filter_map(|(name, look)| {
            let (_, row) = self.summary_of(name, application)?;
            let figures = [row.latency_ms_p50, row.latency_ms_p90, row.latency_ms_p99];
            let show = |figure: Option<crate::table::Millis>| figure.map_or("–".into(), |ms| human_millis(ms.0));
            Some((look, core::iter::once(name.to_owned()).chain(figures.map(show)).collect()))
        });
        Inset { head: ["", "p50", "p90", "p99"].map(String::from).into(), rows: rows.collect() }
    }

    fn ordering(&self) -> PlotSpec {
        let furthest = self.ordering.iter().map(|row| row.behind).max().unwrap_or(0);
        let scale = if furthest > 100 { Scale::Log } else { Scale::Linear };
        let charts = self.contenders().take(MAX_PANELS).map(|(name, look)| {
            let rows = self.ordering.iter().filter(|row| row.contender == name);
            let points = rows.map(|row| (row.time_s.value(), row.behind as f64)).collect();
            let y = Axis { label: "behind by".into(), unit: "messages".into(), scale, range: None };
            let series = Series { name: name.into(), look, draw: Draw::Points, points, band: Vec::new() };
            let count = self.summary_of(name, ALL).map_or(0, |(_, row)| row.key_order_violations);
            let heading = match count {
                0 => format!("{name}: none"),
                _ => format!("{name}: {}", share_of(count, self.summary_of(name, ALL).map_or(0, |r| r.1.processed))),
            };
            let mut chart = self.time_chart(&heading, y, vec![series]);
            chart.empty = "nothing was overtaken within its key".into();
            chart
        });
        let count = self.compared(
            |row| Some(row.key_order_violations),
            |count| match count {
                0 => "none".to_owned(),
                _ => grouped(count),
            },
        );
        PlotSpec {
            name: "ordering".into(),
            title: count.map_or("Order".into(), |count| format!("Out of order within their key: {count}")),
            subtitle: "Each mark is a message that was processed after a later one of its key; how far behind did it \
                       come?"
                .into(),
            body: Body::Charts(charts.collect()),
            note: NOTE.into(),
        }
    }

    fn delivery(&self) -> PlotSpec {
        let rows: Vec<(&SummaryRow, Look)> = self
            .contenders()
            .flat_map(|(name, look)| {
                let own = move |row: &&SummaryRow| row.contender == name && row.application != ALL;
                self.summary.iter().filter(own).map(move |row| (row, look))
            })
            .collect();
        let fates: Vec<Fate> = Fate::ALL
            .into_iter()
            .filter(|fate| *fate == Fate::Processed || rows.iter().any(|(row, _)| row.fate(*fate) > 0))
            .collect();
        let matrix = Matrix {
            columns: fates.iter().map(|fate| fate.name().replace('_', " ")).collect(),
            total: "= offered".into(),
            attributes: ["redelivered", "repeated"].map(String::from).into(),
            rows: rows
                .iter()
                .map(|(row, look)| MatrixRow {
                    look: *look,
                    name: row.contender.clone(),
                    detail: row.application.clone(),
                    counts: fates.iter().map(|fate| row.fate(*fate)).collect(),
                    total: row.offered,
                    attributes: vec![row.redeliveries, row.duplicates],
                })
                .collect(),
        };
        let processed = self.compared(
            |row| Some((row.processed, row.offered)),
            |(part, whole)| {
                if part == whole { format!("all {}", grouped(whole)) } else { share_of(part, whole) }
            },
        );
        PlotSpec {
            name: "delivery".into(),
            title: processed.map_or("The fate of every message".into(), |p| format!("Processed{}: {p}", self.scope())),
            subtitle: "What became of every message, for each application? The fates of a row sum to what was \
                       offered."
                .into(),
            body: Body::Matrix(matrix),
            note: NOTE.into(),
        }
    }
}

fn linear(label: &str, unit: &str) -> Axis {
    Axis { label: label.into(), unit: unit.into(), scale: Scale::Linear, range: None }
}

/// How many bins of the offered load to put together so that chance does not hide the story: at most 120 points,
/// of 60 messages or more each as long as that leaves 24 points.
fn pool_size(rows: &[&TimeseriesRow]) -> usize {
    let counts = rows.iter().map(|row| row.offered_per_s.unwrap_or_default().value() * row.length_s.value());
    let mean = counts.sum::<f64>() / rows.len().max(1) as f64;
    let enough =
        |size: usize| size >= rows.len().div_ceil(120) && (mean * size as f64 >= 60.0 || size * 48 > rows.len());
    [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000].into_iter().find(|size| enough(*size)).unwrap_or(1_000)
}

/// A rate over longer bins of `size` rows, each point in the middle of its bin.
fn pooled<'a>(
    rows: impl Iterator<Item = &'a TimeseriesRow>,
    size: usize,
    rate: impl Fn(&TimeseriesRow) -> Option<Thousandths>,
) -> Vec<(f64, f64)> {
    let rows: Vec<_> = rows.collect();
    let width = rows.first().map_or(0.0, |row| row.length_s.value() * size as f64);
    let points = rows.chunks(size).filter_map(|rows| {
        let length: f64 = rows.iter().map(|row| row.length_s.value()).sum();
        let count: f64 = rows.iter().map(|row| rate(row).unwrap_or_default().value() * row.length_s.value()).sum();
        // A last bin that is cut short would look like a collapse.
        (length > 0.99 * width).then(|| (rows[0].time_s.value() + length / 2.0, count / length))
    });
    points.collect()
}

/// Panels that are compared have one scale: a logarithmic one where any of their latencies differ a hundredfold.
fn share_scale(charts: &mut [Chart]) {
    let points = charts.iter().flat_map(|chart| &chart.series).flat_map(|series| &series.points);
    let values = points.map(|point| point.0).filter(|ms| *ms > 0.0);
    let (least, most) = values.fold((f64::INFINITY, 0.0), |(low, high), ms| (ms.min(low), ms.max(high)));
    if most > 100.0 * least {
        charts.iter_mut().for_each(|chart| chart.x.scale = Scale::Log);
    }
}

fn latency_chart(heading: &str, series: Vec<Series>, inset: Option<Inset>) -> Chart {
    let guides = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99")];
    Chart {
        heading: heading.to_owned(),
        x: linear("latency", "ms"),
        y: Axis {
            label: "share of messages".into(),
            unit: "%".into(),
            scale: Scale::Linear,
            range: Some((0.0, 100.0)),
        },
        series,
        spans: Vec::new(),
        guides: guides.map(|(at, label)| Guide { at, label: label.into() }).into(),
        inset,
        empty: "nothing was processed".into(),
    }
}
