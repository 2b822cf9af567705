//! The plots of a run, made from the same rows that the CSV files hold.

use brokerlab_analysis::{Fate, Stage};
use brokerlab_event::Model;

use crate::columns::{ALL, LatencyRow, SummaryRow, TimeseriesRow};
use crate::number::{decimal, grouped};
use crate::palette::{Look, looks};
use crate::report::Report;
use crate::spec::{Axis, Body, Chart, Draw, Guide, Inset, MAX_MARKS, Matrix, MatrixRow, PlotSpec, Scale, Series, Span};
use crate::table::Thousandths;
use crate::words::{bytes, bytes_unit, human_millis, share_of};

const NOTE: &str = "Modelled, not measured";
/// The columns of the table beside latency curves.
const PERCENTILES: [&str; 5] = ["", "p50", "p90", "p99", "p99.9"];
/// More panels than this are too small to read.
const MAX_PANELS: usize = 6;

impl Report {
    /// Every plot of the run, the deciding one first.
    pub fn plots(&self) -> Vec<PlotSpec> {
        let mut plots = vec![
            self.backlog(),
            self.backlog_age(),
            self.delivery(),
            self.latency(),
            self.throughput(),
            self.storage(),
            self.ordering(),
        ];
        plots.extend(self.rebalances());
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

    /// A figure of each contender in words, the largest first, those that show the same together; from most to least
    /// where there are many.
    fn compared<T: Ord + Copy>(
        &self,
        value: impl Fn(&SummaryRow) -> Option<T>,
        show: impl Fn(T) -> String,
    ) -> Option<String> {
        let totals = self.summary.iter().filter(|row| row.application == ALL);
        let mut found: Vec<(T, &str)> = totals.filter_map(|row| Some((value(row)?, row.contender.as_str()))).collect();
        self.compared_values(&mut found, show)
    }

    fn compared_values<T: Ord + Copy>(&self, found: &mut [(T, &str)], show: impl Fn(T) -> String) -> Option<String> {
        found.sort_by_key(|(value, _)| core::cmp::Reverse(*value));
        let shown: Vec<(String, &str)> = found.iter().map(|(value, name)| (show(*value), *name)).collect();
        let groups: Vec<&[(String, &str)]> = shown.chunk_by(|a, b| a.0 == b.0).collect();
        let part = |group: &&[(String, &str)]| {
            let names: Vec<&str> = group.iter().map(|(_, name)| *name).collect();
            // Three on both would leave open whether it is three or six.
            let each = names.len() > 1 && group[0].0.starts_with(|letter: char| letter.is_ascii_digit());
            format!("{}{} on {}", group[0].0, if each { " each" } else { "" }, listed(&names))
        };
        match groups.as_slice() {
            [] => None,
            [all] if all.len() > 1 && all.len() == self.meta.contenders.len() => {
                Some(format!("{} everywhere", all[0].0))
            }
            [first, .., last] if groups.len() > 3 || (groups.len() == 3 && shown.len() > 4) => {
                let between = shown.len() - first.len() - last.len();
                Some(format!("{}, {} ({between} between)", part(first), part(last)))
            }
            few => Some(few.iter().map(part).collect::<Vec<_>>().join(", ")),
        }
    }

    fn backlog(&self) -> PlotSpec {
        // The title's figure belongs into the picture, though between two samples of the curve it may not show.
        let each = self.summary.iter().filter(|row| row.application != ALL);
        let range = Some(messages_range(each.map(|row| row.backlog_max).max().unwrap_or(0)));
        let charts = self.panels().into_iter().map(|(application, heading)| {
            let points = |name: &str| {
                // A level stands at the end of its bin.
                let row = |row: &TimeseriesRow| (row.time_s.value() + row.length_s.value(), row.backlog as f64);
                self.rows(name, application).map(row).collect()
            };
            let y = Axis { range, ..linear("backlog", "messages") };
            let mut series = self.series(Draw::Line, points);
            series.extend(self.theory_of_backlog(application));
            self.time_chart(&heading, y, series)
        });
        let charts: Vec<Chart> = charts.collect();
        let most = self.compared(|row| Some(row.backlog_max), grouped);
        PlotSpec {
            name: "backlog".into(),
            title: most.map_or("Backlog".into(), |most| format!("Most messages waiting{}: {most}", self.scope())),
            subtitle: "How many messages wait for the application, and how fast is the pile worked off?".into(),
            note: self.note(&charts),
            body: Body::Charts(charts),
        }
    }

    /// Where partitions have owners: how many have none.
    fn rebalances(&self) -> Option<PlotSpec> {
        let has_partitions = |row: &SummaryRow| row.unread_s.is_some();
        if !self.summary.iter().any(has_partitions) {
            return None;
        }
        let charts = self.panels().into_iter().map(|(application, heading)| {
            let points = |name: &str| -> Vec<(f64, f64)> {
                let figure = |row: &TimeseriesRow| Some((row.time_s.value(), row.unread_partitions?.value()));
                self.rows(name, application).filter_map(figure).collect()
            };
            let mut series = self.series(Draw::Steps, points);
            series.retain(|series| !series.points.is_empty());
            let mut chart = self.time_chart(&heading, linear("without a reader", "partitions"), series);
            chart.empty = "no partition was without a reader".into();
            chart
        });
        // A tenth of a second is as much as a curve can show.
        let tenths = |time: crate::table::Seconds| format!("{} s", decimal((time.0 + 50_000_000) / 100_000_000, 1));
        let most = self.compared(|row| row.unread_s, tenths);
        Some(PlotSpec {
            name: "rebalances".into(),
            title: most
                .map_or("Rebalances".into(), |most| format!("Partition time without a reader{}: {most}", self.scope())),
            subtitle: "How many partitions wait because a group redistributes them, or nobody has noticed that their \
                       reader is gone?"
                .into(),
            body: Body::Charts(charts.collect()),
            note: NOTE.into(),
        })
    }

    /// The backlog in seconds: a pile of many quick messages and one of a few slow ones are compared by this.
    fn backlog_age(&self) -> PlotSpec {
        let charts = self.panels().into_iter().map(|(application, heading)| {
            let points = |name: &str| {
                let row = |row: &TimeseriesRow| (row.time_s.value() + row.length_s.value(), row.backlog_s.value());
                self.rows(name, application).map(row).collect()
            };
            self.time_chart(&heading, linear("age of the oldest waiting", "s"), self.series(Draw::Line, points))
        });
        let oldest = |name: &str| self.rows(name, ALL).map(|row| row.backlog_s.0).max().unwrap_or(0);
        let mut found: Vec<(u64, &str)> = self.contenders().map(|(name, _)| (oldest(name), name)).collect();
        let longest = self.compared_values(&mut found, human_millis);
        PlotSpec {
            name: "backlog-age".into(),
            title: longest.map_or("Backlog in seconds".into(), |longest| {
                format!("Longest wait so far{}: {longest}", self.scope())
            }),
            subtitle: "How long ago did the oldest message arrive that still waits?".into(),
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
        if let [application] = self.applications()[..]
            && let kinds @ [_, _, ..] = &self.kinds(application)[..]
        {
            return self.latency_by_kind(application, kinds);
        }
        let panels = self.panels();
        let process = self.latency.iter().filter(|row| row.stage == Stage::Process.name());
        let slowest = process.map(|row| row.latency_ms.0).max().unwrap_or(0);
        let (unit, size) = if slowest >= 10_000_000_000 { ("s", 1_000.0) } else { ("ms", 1.0) };
        let charts = panels.iter().map(|(application, heading)| {
            let points = |name: &str| -> Vec<(f64, f64)> {
                let rows = self.latency.iter().filter(|row| {
                    row.contender == name
                        && row.application == *application
                        && row.kind.is_empty()
                        && row.stage == Stage::Process.name()
                        // The quickest per cent would stretch the axis and tells nothing.
                        && row.share.0 >= 10_000
                });
                rows.map(|row| (row.latency_ms.value() / size, row.share.value())).collect()
            };
            let mut series = self.series(Draw::Line, points);
            series.extend(self.theory_of_latency(application, size, &series));
            let inset = (panels.len() <= 4).then(|| self.percentiles(application));
            latency_chart(heading, unit, series, inset)
        });
        let mut charts: Vec<Chart> = charts.collect();
        share_scale(&mut charts);
        let slow = self.compared(|row| row.latency_ms_p99, |latency| human_millis(latency.0));
        PlotSpec {
            name: "latency".into(),
            title: slow.map_or("Latency".into(), |slow| format!("99% are processed{} within {slow}", self.scope())),
            subtitle: "How long does it take from the intended send time until the work on a message is done?".into(),
            note: self.note(&charts),
            body: Body::Charts(charts),
        }
    }

    /// The small print, with what a theory assumes.
    fn note(&self, charts: &[Chart]) -> String {
        self.theory_note(charts).map_or(NOTE.into(), |theory| format!("{theory}. {NOTE}"))
    }

    /// The kinds of messages that the application has figures for, where there are several, in their order.
    fn kinds(&self, application: &str) -> Vec<&str> {
        let mut kinds: Vec<&str> = Vec::new();
        for row in self.latency.iter().filter(|row| row.application == application && !row.kind.is_empty()) {
            if !kinds.contains(&row.kind.as_str()) {
                kinds.push(&row.kind);
            }
        }
        kinds.truncate(MAX_PANELS);
        kinds
    }

    /// Where one application gets messages of several kinds: a panel for each, because they may fare differently.
    fn latency_by_kind(&self, application: &str, kinds: &[&str]) -> PlotSpec {
        let rows = |name: &str, kind: &str| -> Vec<&LatencyRow> {
            let own = |row: &&LatencyRow| row.contender == name && row.application == application && row.kind == kind;
            self.latency.iter().filter(own).collect()
        };
        let at = |name: &str, kind: &str, share: u64| -> Option<crate::table::Millis> {
            rows(name, kind).into_iter().find(|row| row.share.0 >= share).map(|row| row.latency_ms)
        };
        let slowest = self.latency.iter().filter(|row| !row.kind.is_empty()).map(|row| row.latency_ms.0).max();
        let (unit, size) = if slowest.unwrap_or(0) >= 10_000_000_000 { ("s", 1_000.0) } else { ("ms", 1.0) };
        let charts = kinds.iter().map(|kind| {
            let points = |name: &str| -> Vec<(f64, f64)> {
                let shown = rows(name, kind).into_iter().filter(|row| row.share.0 >= 10_000);
                shown.map(|row| (row.latency_ms.value() / size, row.share.value())).collect()
            };
            let figures = self.contenders().map(|(name, look)| {
                let shown = [500_000, 900_000, 990_000, 999_000].map(|share| at(name, kind, share));
                let shown = shown.map(|figure| figure.map_or("–".into(), |ms| human_millis(ms.0)));
                (look, core::iter::once(name.to_owned()).chain(shown).collect())
            });
            let head = PERCENTILES.map(String::from).into();
            let inset = (kinds.len() <= 4).then(|| Inset { head, rows: figures.collect() });
            latency_chart(kind, unit, self.series(Draw::Line, points), inset)
        });
        let mut charts: Vec<Chart> = charts.collect();
        share_scale(&mut charts);
        // The title tells of the kind for which the choice of contender matters most.
        let p99 = |kind: &str| -> Vec<(u64, &str)> {
            self.contenders().filter_map(|(name, _)| Some((at(name, kind, 990_000)?.0, name))).collect()
        };
        let spread = |kind: &&&str| {
            let values = p99(kind);
            let (least, most) = (values.iter().map(|(ms, _)| *ms).min(), values.iter().map(|(ms, _)| *ms).max());
            most.unwrap_or(0) / least.unwrap_or(1).max(1)
        };
        let told = kinds.iter().max_by_key(spread);
        let title = told.and_then(|kind| Some((kind, self.compared_values(&mut p99(kind), human_millis)?)));
        PlotSpec {
            name: "latency".into(),
            title: title.map_or("Latency".into(), |(kind, slow)| format!("99% of {kind} are processed within {slow}")),
            subtitle: "How long does it take from the intended send time until the work on a message is done?".into(),
            body: Body::Charts(charts),
            note: NOTE.into(),
        }
    }

    fn percentiles(&self, application: &str) -> Inset {
        let rows = self.contenders().filter_map(|(name, look)| {
            let (_, row) = self.summary_of(name, application)?;
            let figures = [row.latency_ms_p50, row.latency_ms_p90, row.latency_ms_p99, row.latency_ms_p99_9];
            let show = |figure: Option<crate::table::Millis>| figure.map_or("–".into(), |ms| human_millis(ms.0));
            Some((look, core::iter::once(name.to_owned()).chain(figures.map(show)).collect()))
        });
        Inset { head: PERCENTILES.map(String::from).into(), rows: rows.collect() }
    }

    fn ordering(&self) -> PlotSpec {
        let furthest = self.ordering.iter().map(|row| row.behind).max().unwrap_or(0);
        let (scale, range) =
            if furthest > 100 { (Scale::Log, None) } else { (Scale::Linear, Some(messages_range(furthest))) };
        let (mut most, mut cut) = (0, false);
        let charts: Vec<Chart> = self
            .contenders()
            .take(MAX_PANELS)
            .map(|(name, look)| {
                let rows = self.ordering.iter().filter(|row| row.contender == name);
                let points: Vec<(f64, f64)> = rows.map(|row| (row.time_s.value(), row.behind as f64)).collect();
                let (count, processed) =
                    self.summary_of(name, ALL).map_or((0, 0), |(_, row)| (row.key_order_violations, row.processed));
                let drawn = points.len() as u64;
                most = most.max(points.len());
                cut |= drawn < count;
                let heading = match count {
                    0 => format!("{name}: none"),
                    _ if drawn < count => format!("{name}: {} ({} drawn)", grouped(count), grouped(drawn)),
                    _ => format!("{name}: {}", share_of(count, processed)),
                };
                let y = Axis { label: "behind by".into(), unit: "messages".into(), scale, range };
                let series = Series { name: name.into(), look, draw: Draw::Points, points, band: Vec::new() };
                let mut chart = self.time_chart(&heading, y, vec![series]);
                chart.empty = "nothing was overtaken within its key".into();
                chart
            })
            .collect();
        let count = self.compared(|row| Some(row.key_order_violations), |count| grouped_or(count, "none"));
        let any = self.summary.iter().any(|row| row.key_order_violations > 0);
        let mut subtitle = String::from(if most > MAX_MARKS {
            "The stronger a cell, the more messages were processed after a later one of their key; how far behind?"
        } else {
            "Each mark is a message that was processed after a later one of its key; how far behind did it come?"
        });
        if cut {
            subtitle.push_str(" Only the first of each application are kept and drawn.");
        }
        PlotSpec {
            name: "ordering".into(),
            title: match count {
                Some(count) if any => format!("Out of order within their key: {count}"),
                _ => "Nothing was overtaken within its key".into(),
            },
            subtitle,
            body: Body::Charts(charts),
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
        // Answers stand beside the fates where an application gives any.
        let answers = self.answers(ALL);
        let attributes = ["redelivered", "repeated"].into_iter().chain(answers.then_some("answered"));
        let matrix = Matrix {
            columns: fates.iter().map(|fate| fate.name().replace('_', " ")).collect(),
            total: "= offered".into(),
            attributes: attributes.map(String::from).collect(),
            rows: rows
                .iter()
                .map(|(row, look)| MatrixRow {
                    look: *look,
                    name: row.contender.clone(),
                    detail: row.application.clone(),
                    counts: fates.iter().map(|fate| row.fate(*fate)).collect(),
                    total: row.offered,
                    attributes: [row.redeliveries, row.duplicates]
                        .into_iter()
                        .chain(answers.then_some(row.replied))
                        .collect(),
                })
                .collect(),
        };
        PlotSpec {
            name: "delivery".into(),
            title: self.delivery_title(),
            subtitle: "What became of every message, for each application? The fates of a row sum to what was \
                       offered."
                .into(),
            body: Body::Matrix(matrix),
            note: NOTE.into(),
        }
    }

    /// What differs between the contenders: how much was processed, or where that is the same or nearly so what
    /// happened to the few others; then repeats and answers.
    fn delivery_title(&self) -> String {
        let totals: Vec<&SummaryRow> = self.summary.iter().filter(|row| row.application == ALL).collect();
        let differs = |value: &dyn Fn(&SummaryRow) -> u64| totals.windows(2).any(|p| value(p[0]) != value(p[1]));
        let mut clauses: Vec<String> = Vec::new();
        if differs(&|row| row.processed) {
            let others = Fate::ALL.into_iter().filter(|fate| *fate != Fate::Processed);
            let others: Vec<Fate> = others.filter(|fate| totals.iter().any(|row| row.fate(*fate) > 0)).collect();
            let nearly_all = totals.iter().all(|row| row.processed * 100 >= row.offered * 95);
            match others.as_slice() {
                [only] if nearly_all => {
                    clauses.extend(self.told(&fate_name(*only), |row| row.fate(*only), grouped_count))
                }
                _ => clauses.extend(self.told("Processed", |row| row.processed, all_or_share)),
            }
        } else {
            // As much was processed everywhere, but what became of the rest may differ: the worst of that comes first.
            let worst = [Fate::Lost, Fate::Skipped, Fate::Missed].into_iter();
            let fates = worst.chain(Fate::ALL.into_iter().filter(|fate| *fate != Fate::Processed));
            if let Some(fate) = fates.into_iter().find(|fate| differs(&|row| row.fate(*fate))) {
                clauses.extend(self.told(&fate_name(fate), |row| row.fate(fate), grouped_count));
            }
        }
        let attributes: [(&str, Count, Shown); 3] = [
            ("Repeated", |row| row.duplicates, grouped_count),
            ("Answered", |row| row.replied, all_or_share),
            ("Redelivered", |row| row.redeliveries, grouped_count),
        ];
        for (name, value, show) in attributes.into_iter().filter(|(_, value, _)| differs(value)) {
            match clauses.first_mut() {
                None => clauses.extend(self.told(name, value, show)),
                // Further differences are added as long as the title stays readable, and only where there are any.
                Some(_) if name == "Redelivered" => {}
                Some(first) => {
                    let few = totals.iter().filter(|row| value(row) > 0);
                    let few: Vec<String> =
                        few.map(|row| format!("{} on {}", grouped(value(row)), row.contender)).collect();
                    let more = format!("; {}: {}", name.to_lowercase(), few.join(", "));
                    if first.chars().count() + more.chars().count() <= 110 {
                        first.push_str(&more);
                    }
                }
            }
        }
        let same = || self.told("Processed", |row| row.processed, all_or_share);
        clauses.into_iter().next().or_else(same).unwrap_or("The fate of every message".into())
    }

    fn told(&self, what: &str, value: impl Fn(&SummaryRow) -> u64, show: Shown) -> Option<String> {
        let compared = self.compared(|row| Some((value(row), row.offered)), |(count, offered)| show(count, offered));
        Some(format!("{what}{}: {}", self.scope(), compared?))
    }
}

/// A count of a summary.
type Count = fn(&SummaryRow) -> u64;
/// A count in words, and what it is a part of.
type Shown = fn(u64, u64) -> String;

fn grouped_or(count: u64, none: &str) -> String {
    if count == 0 { none.to_owned() } else { grouped(count) }
}

fn grouped_count(count: u64, _: u64) -> String {
    grouped_or(count, "none")
}

fn all_or_share(part: u64, whole: u64) -> String {
    match part {
        0 => "none".to_owned(),
        _ if part == whole => format!("all {}", grouped(whole)),
        _ => share_of(part, whole),
    }
}

/// `Dropped by policy`.
fn fate_name(fate: Fate) -> String {
    let name = fate.name().replace('_', " ");
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// `queue`, `queue and log`, `queue, fanout and log`, `queue and 3 others`.
fn listed(names: &[&str]) -> String {
    match names {
        [first, rest @ ..] if rest.len() > 2 => format!("{first} and {} others", rest.len()),
        [init @ .., last] if !init.is_empty() => format!("{} and {last}", init.join(", ")),
        _ => names.concat(),
    }
}

/// The range of an axis of messages: there are no halves of them, so it never has fewer than four steps; and a
/// little air above the largest.
fn messages_range(most: u64) -> (f64, f64) {
    let axis = linear("", "messages");
    crate::number::range(&axis, [0.0, (most as f64 * 1.05).max(4.0)].into_iter(), 6)
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
    let values = points.map(|point| point.0).filter(|latency| *latency > 0.0);
    let (least, most) = values.fold((f64::INFINITY, 0.0), |(low, high), value| (value.min(low), value.max(high)));
    if most > 100.0 * least {
        charts.iter_mut().for_each(|chart| chart.x.scale = Scale::Log);
    }
}

fn latency_chart(heading: &str, unit: &str, series: Vec<Series>, inset: Option<Inset>) -> Chart {
    let guides = [(50.0, "p50"), (90.0, "p90"), (99.0, "p99")];
    Chart {
        heading: heading.to_owned(),
        x: linear("latency", unit),
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    fn titled(report: &Report, name: &str) -> PlotSpec {
        report.plots().into_iter().find(|plot| plot.name == name).expect("a plot of that name")
    }

    /// Three contenders that processed everything once.
    fn calm() -> Report {
        let mut report = samples::report(&["billing"]);
        for row in &mut report.summary {
            (row.processed, row.in_backlog) = (row.offered, 0);
            (row.duplicates, row.redeliveries, row.key_order_violations) = (0, 0, 0);
        }
        report
    }

    fn with(report: &Report, contender: &str, change: impl Fn(&mut SummaryRow)) -> Report {
        let mut report = report.clone();
        report.summary.iter_mut().filter(|row| row.contender == contender).for_each(change);
        report
    }

    #[test]
    fn the_title_of_the_fates_names_what_differs() {
        let delivery = |report: &Report| titled(report, "delivery").title;
        let calm = calm();
        assert_eq!(delivery(&calm), "Processed: all 4,832 everywhere");
        let repeated = with(&calm, "log", |row| row.duplicates = 181);
        assert_eq!(delivery(&repeated), "Repeated: 181 on log, none on queue and fanout");
        let skipped = with(&repeated, "queue", |row| (row.processed, row.skipped) = (4_824, 8));
        assert_eq!(delivery(&skipped), "Skipped: 8 on queue, none on fanout and log; repeated: 181 on log");
        let lost = with(&calm, "queue", |row| (row.processed, row.lost) = (1_208, 3_624));
        assert_eq!(delivery(&lost), "Processed: all 4,832 on fanout and log, 1,208 of 4,832 (25%) on queue");
        let dead =
            |report: &Report, name: &str| with(report, name, |row| (row.processed, row.dead_lettered) = (4_786, 46));
        let given_up = with(&dead(&dead(&calm, "queue"), "fanout"), "log", |row| {
            (row.processed, row.skipped, row.redeliveries) = (4_786, 46, 500);
        });
        assert_eq!(delivery(&given_up), "Skipped: 46 on log, none on queue and fanout");
        let answered = with(&calm, "fanout", |row| row.replied = 4_832);
        assert_eq!(delivery(&answered), "Answered: all 4,832 on fanout, none on queue and log");
    }

    #[test]
    fn answers_have_a_column_where_there_are_any() {
        let columns = |report: &Report| match titled(report, "delivery").body {
            Body::Matrix(matrix) => matrix.attributes,
            Body::Charts(_) => Vec::new(),
        };
        assert_eq!(columns(&calm()), ["redelivered", "repeated"]);
        let mut asked = calm();
        asked.meta.answering = vec!["billing".into()];
        assert_eq!(columns(&asked), ["redelivered", "repeated", "answered"]);
    }

    #[test]
    fn equal_figures_are_told_once_and_each() {
        let report = with(&calm(), "log", |row| row.backlog_max = 700);
        let report = with(&report, "queue", |row| row.backlog_max = 40);
        let report = with(&report, "fanout", |row| row.backlog_max = 40);
        assert_eq!(titled(&report, "backlog").title, "Most messages waiting: 700 on log, 40 each on queue and fanout");
        assert_eq!(titled(&report, "ordering").title, "Nothing was overtaken within its key");
    }

    #[test]
    fn a_crowd_out_of_order_becomes_cells_and_says_how_many_are_drawn() {
        let mut report = samples::report(&["billing"]);
        let row = report.ordering[0].clone();
        report.ordering.extend(core::iter::repeat_n(row, 2 * MAX_MARKS));
        let report = with(&report, "queue", |row| row.key_order_violations = 4_000);
        let plot = titled(&report, "ordering");
        assert!(plot.subtitle.starts_with("The stronger a cell"), "{}", plot.subtitle);
        assert!(plot.subtitle.ends_with("Only the first of each application are kept and drawn."));
        let svg = plot.svg(&crate::Options::default());
        assert!(svg.contains("queue: 4,000 (3,300 drawn)"));
        let marks = svg.matches("<circle").count();
        assert!(marks < 10, "{marks} marks");
    }
}
