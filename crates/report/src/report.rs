//! Everything that is told about a run, as rows: the one source of files, plots, sentences and pages.

use brokerlab_analysis::{ApplicationResults, CurvePoint, Fate, Histogram, Results, Stage, Summary};
use brokerlab_event::{ClientRole, Duration, KeyId, RunHeader, Time};

use serde::{Deserialize, Serialize};

use crate::columns::{
    ALL, ChannelErrorRow, FaultRow, LatencyRow, MessageRow, OrderingRow, SummaryRow, TargetRow, TimeseriesRow,
    VerdictRow,
};
use crate::table::{Decimal, Millis, Seconds, Thousandths};

/// The target of a fault that found nobody to hit.
pub const NOBODY: &str = "nobody";

/// What is known of a run beside its figures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Meta {
    /// Short name of the scenario: `consumer-dies`.
    pub name: String,
    /// Its title.
    pub title: String,
    /// The question that it answers.
    pub question: String,
    /// A few paragraphs on what to see, separated by empty lines.
    pub explanation: String,
    /// The plot that decides the question, first on the page: `backlog`. Empty for the usual order.
    pub deciding_plot: String,
    /// The command that makes this run again.
    pub command: String,
    /// Version of the engine.
    pub engine: String,
    /// The seed.
    pub seed: u64,
    /// Digest of the demand.
    #[serde(with = "crate::json::hex")]
    pub demand_digest: u64,
    /// Digest of the trace file, where the demand comes from one.
    #[serde(with = "crate::json::optional_hex")]
    pub trace_digest: Option<u64>,
    /// When the run ended.
    #[serde(rename = "horizon_s", with = "crate::json::exact")]
    pub horizon: Seconds,
    /// What came earlier does not count in latency and throughput.
    #[serde(rename = "warm_up_s", with = "crate::json::exact")]
    pub warm_up: Seconds,
    /// The applications that are to answer the sender.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub answering: Vec<String>,
    /// The contenders in order.
    pub contenders: Vec<ContenderMeta>,
    /// What queueing theory says, for each application for which it says something.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub theory: Vec<TheoryMeta>,
    /// What the scenario expected, and how it came out.
    pub expectations: Vec<Expectation>,
}

/// An application whose messages wait as the textbook has it: independent arrivals at one rate, one queue, consumers whose
/// work is exponential, nothing else.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct TheoryMeta {
    /// The application.
    pub application: String,
    /// The contenders of which that is true.
    pub contenders: Vec<String>,
    /// Messages a second.
    #[serde(with = "crate::json::exact")]
    pub arrivals_per_s: Decimal<6>,
    /// The mean time of the work.
    #[serde(with = "crate::json::exact")]
    pub work_s: Seconds,
    /// How many consumers share it.
    pub consumers: u32,
}

/// What is known of a contender beside its figures.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ContenderMeta {
    /// Its name.
    pub name: String,
    /// Its model.
    pub model: String,
    /// How many events its run had.
    pub events: u64,
    /// Digest of what clients saw.
    #[serde(with = "crate::json::hex")]
    pub client_fingerprint: u64,
    /// Digest of all events.
    #[serde(with = "crate::json::hex")]
    pub fingerprint: u64,
}

/// An expectation of the scenario.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Expectation {
    /// What was expected, in words: `queue: lost = 0`.
    pub text: String,
    /// Whether it holds.
    pub holds: bool,
    /// What was found: `lost is 3`.
    pub found: String,
}

/// A run as it is told.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// What is known beside the figures.
    pub meta: Meta,
    /// `summary.csv`.
    pub summary: Vec<SummaryRow>,
    /// `timeseries.csv`.
    pub timeseries: Vec<TimeseriesRow>,
    /// `latency.csv`.
    pub latency: Vec<LatencyRow>,
    /// `ordering.csv`.
    pub ordering: Vec<OrderingRow>,
    /// `faults.csv`.
    pub faults: Vec<FaultRow>,
    /// `channel_errors.csv`.
    pub channel_errors: Vec<ChannelErrorRow>,
    /// `verdicts.csv`.
    pub verdicts: Vec<VerdictRow>,
    /// `messages.csv`, where it was asked for.
    pub messages: Option<Vec<MessageRow>>,
    /// `targets.csv`, where it was asked for.
    pub targets: Option<Vec<TargetRow>>,
}

impl Report {
    /// A report without contenders.
    pub fn new(meta: Meta) -> Report {
        Report { meta, ..Report::default() }
    }

    /// Adds a contender. Its name and model are taken from the header; the fingerprints are those of
    /// `client` scope and of everything.
    pub fn add(&mut self, header: &RunHeader, results: &Results, (client_fingerprint, fingerprint): (u64, u64)) {
        self.meta.contenders.push(ContenderMeta {
            name: header.contender.clone(),
            model: header.model.name().to_owned(),
            events: results.events,
            client_fingerprint,
            fingerprint,
        });
        let source = Source { header, results };
        self.summary.extend(source.summary());
        self.timeseries.extend(source.timeseries());
        self.latency.extend(source.latency());
        self.ordering.extend(source.ordering());
        self.faults.extend(source.faults());
        self.channel_errors.extend(source.channel_errors());
        self.verdicts.extend(source.verdicts());
        if let Some(rows) = source.messages() {
            self.messages.get_or_insert_default().extend(rows);
        }
    }

    /// The names of the applications, in the order of the demand.
    pub fn applications(&self) -> Vec<&str> {
        let mut names: Vec<&str> = Vec::new();
        for row in &self.summary {
            if row.application != ALL && !names.contains(&row.application.as_str()) {
                names.push(&row.application);
            }
        }
        names
    }

    /// True where answers are worth a word: an application, or any one for [`ALL`], is to answer or did.
    pub fn answers(&self, application: &str) -> bool {
        let about = |name: &str| application == ALL || name == application;
        self.meta.answering.iter().any(|name| about(name))
            || self.summary.iter().any(|row| row.replied > 0 && about(&row.application))
    }

    /// The summary row of a contender and application with its index in the file.
    pub fn summary_of(&self, contender: &str, application: &str) -> Option<(usize, &SummaryRow)> {
        let mut rows = self.summary.iter().enumerate();
        rows.find(|(_, row)| row.contender == contender && row.application == application)
    }
}

fn seconds(duration: Duration) -> Seconds {
    Decimal(duration.as_nanos())
}

fn moment(time: Time) -> Seconds {
    Decimal(time.as_nanos())
}

fn millis(duration: Duration) -> Millis {
    Decimal(duration.as_nanos())
}

/// `count` in `length`, in thousandths a second, rounded to the nearest.
fn rate(count: u64, length: Duration) -> Option<Thousandths> {
    let nanos = u128::from(length.as_nanos());
    (nanos > 0).then(|| Decimal(((u128::from(count) * 1_000_000_000_000 + nanos / 2) / nanos) as u64))
}

/// How many there were on average, of what adds up over time.
fn mean(sum: Duration, length: Duration) -> Thousandths {
    let nanos = u128::from(length.as_nanos()).max(1);
    Decimal(((u128::from(sum.as_nanos()) * 1_000 + nanos / 2) / nanos) as u64)
}

/// The name of an AMQP reply code.
fn reply_name(code: u16) -> &'static str {
    match code {
        311 => "content-too-large",
        312 => "no-route",
        313 => "no-consumers",
        320 => "connection-forced",
        402 => "invalid-path",
        403 => "access-refused",
        404 => "not-found",
        405 => "resource-locked",
        406 => "precondition-failed",
        501 => "frame-error",
        502 => "syntax-error",
        503 => "command-invalid",
        504 => "channel-error",
        505 => "unexpected-frame",
        506 => "resource-error",
        530 => "not-allowed",
        540 => "not-implemented",
        541 => "internal-error",
        _ => "unknown",
    }
}

/// A contender's figures on their way into rows.
struct Source<'a> {
    header: &'a RunHeader,
    results: &'a Results,
}

impl Source<'_> {
    fn applications(&self) -> impl Iterator<Item = (&str, &ApplicationResults)> {
        self.header.applications.iter().map(|info| info.name.as_str()).zip(&self.results.applications)
    }

    fn contender(&self) -> String {
        self.header.contender.clone()
    }

    fn key(&self, key: KeyId) -> String {
        key.some().map_or_else(String::new, |key| String::from_utf8_lossy(self.header.keys.bytes(key)).into_owned())
    }

    fn client(&self, client: brokerlab_event::ClientId) -> String {
        self.header.clients[client.index()].name.clone()
    }

    fn summary(&self) -> impl Iterator<Item = SummaryRow> {
        let each = self.applications().map(|(name, results)| self.summary_row(name, &results.summary));
        each.chain(core::iter::once(self.summary_row(ALL, &self.results.total)))
    }

    fn summary_row(&self, application: &str, summary: &Summary) -> SummaryRow {
        let latency = summary.latency(Stage::Process);
        let percentile = |millionths| latency.percentile(millionths).map(millis);
        let fates = &summary.fates;
        SummaryRow {
            contender: self.contender(),
            model: self.header.model.name().to_owned(),
            application: application.to_owned(),
            offered: fates.sum(),
            sent: summary.sent,
            confirmed: summary.confirmed,
            replied: summary.replied,
            processed: fates[Fate::Processed],
            dead_lettered: fates[Fate::DeadLettered],
            dropped_by_policy: fates[Fate::DroppedByPolicy],
            missed: fates[Fate::Missed],
            skipped: fates[Fate::Skipped],
            lost: fates[Fate::Lost],
            in_backlog: fates[Fate::InBacklog],
            refused: fates[Fate::Refused],
            returned: fates[Fate::Returned],
            unconfirmed: fates[Fate::Unconfirmed],
            not_sent: fates[Fate::NotSent],
            not_wanted: fates[Fate::NotWanted],
            unknown: fates[Fate::Unknown],
            deliveries: summary.deliveries,
            redeliveries: summary.redeliveries,
            duplicates: summary.duplicates,
            throughput_per_s: rate(summary.processed_after_warm_up, summary.measured),
            latency_ms_mean: latency.mean().map(millis),
            latency_ms_p50: percentile(500_000),
            latency_ms_p90: percentile(900_000),
            latency_ms_p95: percentile(950_000),
            latency_ms_p99: percentile(990_000),
            latency_ms_p99_9: percentile(999_000),
            latency_ms_max: latency.maximum().map(millis),
            backlog_max: summary.backlog_max,
            stored_messages_max: summary.stored_messages_max,
            stored_bytes_max: summary.stored_bytes_max,
            key_order_violations: summary.key_order_violations,
            keys_out_of_order: summary.keys_out_of_order,
            longest_stall_s: seconds(summary.longest_stall),
            rebalances: summary.rebalances,
            rebalancing_s: seconds(summary.rebalancing),
            not_processed: summary.not_processed(),
            dead_letters: summary.incidents.dead_letters,
            expired: summary.incidents.expired,
            overflowed: summary.incidents.overflowed,
            delivery_limit: summary.incidents.delivery_limit,
            declined: summary.incidents.declined,
            failed: summary.incidents.failed,
            channel_errors: summary.incidents.channel_errors,
            queue_deletions: summary.incidents.queue_deletions,
            connections_lost: summary.incidents.connections_lost,
            sent_again: summary.incidents.sent_again,
            sends_expired: summary.incidents.sends_expired,
            deduplicated: summary.incidents.deduplicated,
            aborted: summary.incidents.aborted,
            blocked_memory_s: seconds(summary.blocked.memory),
            blocked_credit_s: seconds(summary.blocked.credit),
            blocked_buffer_s: seconds(summary.blocked.buffer),
            blocked_share: self.share_of_producers(summary.blocked.sum()),
            replayed: summary.replayed,
            position_resets: summary.incidents.position_resets,
            stranded: summary.incidents.stranded,
            set_aside: summary.incidents.set_aside,
            offsets_forgotten: summary.incidents.offsets_forgotten,
            unread_s: summary.unread.map(seconds),
            dirty_reads: summary.incidents.dirty_reads,
        }
    }

    /// This time as a share of the time of all producers, in percent.
    fn share_of_producers(&self, time: Duration) -> Option<Decimal<4>> {
        let producers = self.header.clients.iter().filter(|client| client.role == ClientRole::Producer).count();
        let whole = u128::from(self.results.end.as_nanos()) * producers as u128;
        (whole > 0).then(|| Decimal(((u128::from(time.as_nanos()) * 1_000_000 + whole / 2) / whole) as u64))
    }

    fn timeseries(&self) -> Vec<TimeseriesRow> {
        let series = &self.results.series;
        let mut rows = Vec::with_capacity(series.bins.len() * (self.results.applications.len() + 1));
        for (name, results) in self.applications() {
            for (index, bin) in results.bins.iter().enumerate() {
                let length = series.length_of(index);
                let rate = |count| rate(count, length).unwrap_or_default();
                rows.push(TimeseriesRow {
                    contender: self.contender(),
                    application: name.to_owned(),
                    time_s: moment(series.start_of(index)),
                    length_s: seconds(length),
                    delivered_per_s: rate(bin.delivered),
                    processed_per_s: rate(bin.processed),
                    duplicates_per_s: rate(bin.duplicates),
                    backlog: bin.backlog,
                    backlog_s: seconds(bin.backlog_age),
                    in_flight: bin.in_flight,
                    consumers_up: u64::from(bin.consumers_up),
                    unread_partitions: bin.unread.map(|unread| mean(unread, length)),
                    ..TimeseriesRow::default()
                });
            }
        }
        rows.extend((0..series.bins.len()).map(|index| self.timeseries_total(index)));
        rows
    }

    fn timeseries_total(&self, index: usize) -> TimeseriesRow {
        let series = &self.results.series;
        let (bin, length) = (&series.bins[index], series.length_of(index));
        let own: Vec<_> = self.results.applications.iter().map(|results| results.bins[index]).collect();
        let sum = |value: fn(&brokerlab_analysis::ApplicationBin) -> u64| own.iter().map(value).sum::<u64>();
        let sum_rate = |value| rate(sum(value), length).unwrap_or_default();
        let oldest = own.iter().map(|bin| bin.backlog_age).max().unwrap_or_default();
        let copies = u128::from(bin.stored_messages) * 1_000;
        let distinct = u128::from(bin.stored_distinct);
        TimeseriesRow {
            contender: self.contender(),
            application: ALL.to_owned(),
            time_s: moment(series.start_of(index)),
            length_s: seconds(length),
            offered_per_s: rate(bin.offered, length),
            sent_per_s: rate(bin.sent, length),
            confirmed_per_s: rate(bin.confirmed, length),
            delivered_per_s: sum_rate(|bin| bin.delivered),
            processed_per_s: sum_rate(|bin| bin.processed),
            duplicates_per_s: sum_rate(|bin| bin.duplicates),
            backlog: sum(|bin| bin.backlog),
            backlog_s: seconds(oldest),
            in_flight: sum(|bin| bin.in_flight),
            stored_messages: Some(bin.stored_messages),
            stored_bytes: Some(bin.stored_bytes),
            copies: (distinct > 0).then(|| Decimal(((copies + distinct / 2) / distinct) as u64)),
            consumers_up: sum(|bin| u64::from(bin.consumers_up)),
            blocked_s: Some(seconds(bin.blocked)),
            unread_partitions: own
                .iter()
                .filter_map(|bin| bin.unread)
                .reduce(|a, b| a + b)
                .map(|all| mean(all, length)),
        }
    }

    fn latency(&self) -> Vec<LatencyRow> {
        let each = self.applications().map(|(name, results)| (name, &results.summary));
        let mut rows = Vec::new();
        for (name, summary) in each.chain(core::iter::once((ALL, &self.results.total))) {
            for stage in Stage::ALL {
                rows.extend(self.curve(name, "", stage, summary.latency(stage)));
            }
        }
        for (name, results) in self.applications() {
            for (kind, figures) in self.header.kinds.names.iter().zip(&results.kinds) {
                rows.extend(self.curve(name, kind, Stage::Process, &figures.latency));
            }
        }
        rows
    }

    fn curve(&self, application: &str, kind: &str, stage: Stage, latency: &Histogram) -> Vec<LatencyRow> {
        let row = |point: CurvePoint| LatencyRow {
            contender: self.contender(),
            application: application.to_owned(),
            kind: kind.to_owned(),
            stage: stage.name().to_owned(),
            share: Decimal(u64::from(point.millionths)),
            latency_ms: millis(point.value),
        };
        latency.curve().into_iter().map(row).collect()
    }

    fn ordering(&self) -> impl Iterator<Item = OrderingRow> {
        self.applications().flat_map(move |(name, results)| {
            results.out_of_order.iter().map(move |point| OrderingRow {
                contender: self.contender(),
                application: name.to_owned(),
                time_s: moment(point.time),
                key: self.key(point.key),
                message: point.message.get(),
                overtaken_by: point.overtaken_by.get(),
                behind: point.overtaken_by.get().saturating_sub(point.message.get()),
            })
        })
    }

    /// Whom each fault hit; one that found nobody has a row that says so.
    fn faults(&self) -> impl Iterator<Item = FaultRow> {
        let hits = self.results.faults.iter().map(|hit| FaultRow {
            contender: self.contender(),
            fault: self.header.faults[hit.fault.index()].name.clone(),
            target: self.header.party(hit.target),
            from_s: moment(hit.started),
            until_s: hit.ended.map(moment),
        });
        let idle = |index: usize| !self.results.faults.iter().any(|hit| hit.fault.index() == index);
        let missed = self.header.faults.iter().enumerate().filter(move |(index, _)| idle(*index));
        hits.chain(missed.map(|(_, fault)| FaultRow {
            contender: self.contender(),
            fault: fault.name.clone(),
            target: NOBODY.to_owned(),
            from_s: moment(fault.start),
            until_s: fault.end.map(moment),
        }))
    }

    fn channel_errors(&self) -> impl Iterator<Item = ChannelErrorRow> {
        self.results.channel_errors.iter().map(|errors| ChannelErrorRow {
            contender: self.contender(),
            code: u64::from(errors.code),
            name: reply_name(errors.code).to_owned(),
            channels: errors.count,
        })
    }

    fn verdicts(&self) -> impl Iterator<Item = VerdictRow> {
        self.results.verdicts.iter().map(|verdict| VerdictRow {
            contender: self.contender(),
            application: self.header.applications[verdict.application.index()].name.clone(),
            guarantee: verdict.guarantee.name().to_owned(),
            verdict: verdict.judgement.name().to_owned(),
            breaks: verdict.breaks,
            allowed: verdict.allowed.join("; "),
        })
    }

    fn messages(&self) -> Option<impl Iterator<Item = MessageRow>> {
        let rows = self.results.messages.as_ref()?;
        Some(rows.iter().map(|row| MessageRow {
            contender: self.contender(),
            application: self.header.applications[row.application.index()].name.clone(),
            message: row.message.get(),
            key: self.key(row.key),
            size_bytes: u64::from(row.size),
            intended_s: moment(row.intended),
            sent_s: row.sent.map(moment),
            confirmed_s: row.confirmed.map(moment),
            delivered_s: row.delivered.map(moment),
            processed_s: row.processed.map(moment),
            deliveries: u64::from(row.deliveries),
            processings: u64::from(row.processings),
            consumer: row.consumer.map_or_else(String::new, |client| self.client(client)),
            fate: row.fate.name().to_owned(),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_analysis::{Analysis, Options};
    use brokerlab_event::{
        ApplicationId, ApplicationInfo, Bytes, ClientId, ClientInfo, ClientRole, Count, Event, KeyTable, Kinds,
        MessageId, Model, Observer, Offset, Outcome, Removal, StoreId, StoreInfo, StoreKind,
    };

    fn header() -> RunHeader {
        let client = |name: &str, role| ClientInfo { name: name.into(), role };
        let mut keys = KeyTable::default();
        keys.push(b"key");
        RunHeader {
            title: "One message".into(),
            contender: "queue".into(),
            model: Model::Queue,
            seed: 1,
            demand_digest: 2,
            horizon: Time::from_nanos(2_000_000_000),
            warm_up: Time::ZERO,
            applications: vec![ApplicationInfo::new("billing")],
            clients: vec![
                client("producer/1", ClientRole::Producer),
                client("billing/1", ClientRole::Consumer(ApplicationId::new(0))),
            ],
            stores: vec![StoreInfo {
                name: "work".into(),
                kind: StoreKind::Queue,
                applications: vec![ApplicationId::new(0)],
                comes_later: false,
            }],
            faults: Vec::new(),
            keys,
            kinds: Kinds::default(),
            promises: Vec::new(),
        }
    }

    /// One message on its way through a queue.
    fn results(header: &RunHeader) -> Results {
        let mut analysis = Analysis::new(header, Options { messages: true, ..Options::default() });
        let (message, store, offset) = (MessageId::new(0), StoreId::new(0), Offset::ZERO);
        let (producer, consumer, size) = (ClientId::new(0), ClientId::new(1), Bytes::new(1_024));
        let redelivered = false;
        let events = [
            (0, Event::Connected { client: producer }),
            (0, Event::Connected { client: consumer }),
            (100, Event::Offered { message, producer, key: KeyId::new(0), size }),
            (100, Event::Sent { message, producer, attempt: Count::new(1) }),
            (101, Event::Stored { message, store, offset, size }),
            (102, Event::Confirmed { message, producer }),
            (102, Event::Delivered { message, consumer, store, offset, redelivered }),
            (160, Event::Processed { message, consumer, store, offset }),
            (160, Event::Settled { message, consumer, store, offset, outcome: Outcome::Ack }),
            (161, Event::Removed { message, store, offset, size, cause: Removal::Acked }),
        ];
        for (millis, event) in events {
            analysis.observe(Time::from_nanos(millis * 1_000_000), event);
        }
        analysis.finish(header.horizon)
    }

    #[test]
    fn results_become_rows_of_every_file() {
        let header = header();
        let mut report = Report::new(Meta { horizon: Decimal(2_000_000_000), ..Meta::default() });
        report.add(&header, &results(&header), (3, 4));
        let row = &report.summary[0];
        assert_eq!((row.application.as_str(), row.offered, row.processed), ("billing", 1, 1));
        assert_eq!(row.latency_ms_max, Some(Decimal(60_000_000)), "from the intended send time, in milliseconds");
        assert_eq!(row.throughput_per_s, Some(Decimal(500)), "one message in two seconds");
        assert_eq!(report.summary[1].application, ALL);
        let messages = report.messages.as_ref().expect("they were asked for");
        assert_eq!((messages[0].key.as_str(), messages[0].fate.as_str()), ("key", "processed"));
        assert_eq!(messages[0].consumer, "billing/1");
        let stored = report.timeseries.iter().filter(|row| row.stored_messages == Some(1)).count();
        assert!(stored > 0, "the message was stored for a while");
        assert_eq!(report.sentences()[0].to_string(), "billing processed 1 of 1 message; nothing was lost.");
    }
}
