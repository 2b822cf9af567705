//! Made-up figures for tests: a consumer dies half-way, told by formulas.

use brokerlab_event::Model;

use crate::columns::*;
use crate::palette::looks;
use crate::report::{ContenderMeta, Expectation, Meta, Report};
use crate::spec::*;
use crate::table::{Decimal, Seconds};

const S: u64 = 1_000_000_000;
const OFFERED: u64 = 4_832;

/// A contender of the sample: name, model, how fast its backlog grows while a consumer is down.
struct Shape(&'static str, &'static str, f64, u64);

const SHAPES: [Shape; 3] =
    [Shape("queue", "queue", 4.0, 96), Shape("fanout", "fanout", 5.0, 104), Shape("log", "log", 26.0, 310)];

fn seconds(value: f64) -> Seconds {
    Decimal(libm::round(value * 1e9) as u64)
}

/// Three contenders and these applications.
pub(crate) fn report(applications: &[&str]) -> Report {
    let mut report = Report::new(Meta {
        name: "consumer-dies".into(),
        title: "A consumer dies".into(),
        question: "Who finishes the work of a consumer that dies half-way?".into(),
        explanation: "Three consumers share the work. At 30 s one of them dies.\n\nA queue gives what it held to the \
                      others at once; a log waits until the session times out & the group rebalances."
            .into(),
        command: "brokerlab run consumer-dies --seed 42".into(),
        engine: "0.1.0".into(),
        seed: 42,
        demand_digest: 0x1234_5678_9abc_def0,
        horizon: seconds(120.0),
        expectations: vec![
            Expectation { text: "queue: lost = 0".into(), holds: true, found: "lost is 0".into() },
            Expectation { text: "log: duplicates = 0".into(), holds: false, found: "duplicates is 57".into() },
        ],
        ..Meta::default()
    });
    for shape in &SHAPES {
        add(&mut report, shape, applications);
    }
    report
}

fn add(report: &mut Report, shape: &Shape, applications: &[&str]) {
    let Shape(name, model, _, latency) = shape;
    report.meta.contenders.push(ContenderMeta {
        name: (*name).into(),
        model: (*model).into(),
        events: 60_123,
        client_fingerprint: 0xfeed_0000_0000_0001,
        fingerprint: 0xfeed_0000_0000_0002,
    });
    for application in applications.iter().chain(&[ALL]) {
        let times = if *application == ALL { applications.len() as u64 } else { 1 };
        report.summary.push(summary(shape, application, times));
        report.timeseries.extend((0..600).map(|bin| bin_row(shape, application, times, bin)));
        report.latency.extend((1..=1_000).map(|n| LatencyRow {
            contender: (*name).into(),
            application: (*application).into(),
            kind: String::new(),
            stage: "publish_to_process".into(),
            share: Decimal(n * 1_000),
            latency_ms: Decimal(libm::round(-libm::log(1.0 - n as f64 / 1_000.3) * *latency as f64 * 1e6) as u64),
        }));
    }
    if *name != "log" {
        report.ordering.extend((0..300_u64).map(|n| OrderingRow {
            contender: (*name).into(),
            application: applications[0].into(),
            time_s: Decimal(n * n * 37 % 120_000 * S / 1_000),
            key: format!("key-{}", n % 10),
            message: n * 10,
            overtaken_by: n * 10 + 1 + n * n % 23,
            behind: 1 + n * n % 23,
        }));
    }
    report.faults.push(FaultRow {
        contender: (*name).into(),
        fault: "crash billing/2".into(),
        target: "billing/2".into(),
        from_s: seconds(30.0),
        until_s: Some(seconds(40.0)),
    });
    for (guarantee, verdict) in [("delivery", "held"), ("no-duplicates", "allowed to break and broke")] {
        report.verdicts.push(VerdictRow {
            contender: (*name).into(),
            application: applications[0].into(),
            guarantee: guarantee.into(),
            verdict: verdict.into(),
            breaks: u64::from(guarantee != "delivery") * 3,
            allowed: "a consumer that dies may have done the work".into(),
        });
    }
}

fn summary(Shape(name, model, growth, latency): &Shape, application: &str, times: u64) -> SummaryRow {
    let log = *name == "log";
    let backlog = if log { 132 } else { 0 };
    SummaryRow {
        contender: (*name).into(),
        model: (*model).into(),
        application: application.into(),
        offered: OFFERED * times,
        sent: OFFERED * times,
        confirmed: OFFERED * times,
        processed: (OFFERED - backlog) * times,
        in_backlog: backlog * times,
        deliveries: (OFFERED + 12) * times,
        redeliveries: 12 * times,
        duplicates: if log { 57 } else { 3 } * times,
        throughput_per_s: Some(Decimal(39_917 * times)),
        latency_ms_mean: Some(Decimal(latency * 1_000_000)),
        latency_ms_p50: Some(Decimal(latency * 693_147)),
        latency_ms_p90: Some(Decimal(latency * 2_302_585)),
        latency_ms_p95: Some(Decimal(latency * 2_995_732)),
        latency_ms_p99: Some(Decimal(latency * 4_605_170)),
        latency_ms_p99_9: Some(Decimal(latency * 6_907_755)),
        latency_ms_max: Some(Decimal(latency * 8_111_728)),
        backlog_max: (12.0 + 10.0 * growth) as u64 * times,
        stored_messages_max: if log { OFFERED } else { 30 },
        stored_bytes_max: if log { OFFERED } else { 30 } * 1_024,
        key_order_violations: if log { 0 } else { 300 },
        keys_out_of_order: if log { 0 } else { 10 },
        longest_stall_s: seconds(if log { 6.2 } else { 0.4 }),
        rebalances: if log { 2 } else { 0 },
        rebalancing_s: seconds(if log { 3.1 } else { 0.0 }),
        unread_s: log.then(|| seconds(20.0 * times as f64)),
        ..SummaryRow::default()
    }
}

fn bin_row(Shape(name, _, growth, _): &Shape, application: &str, times: u64, bin: u64) -> TimeseriesRow {
    let t = bin as f64 / 5.0;
    let wave = 3.0 * libm::sin(t * (1.3 + growth / 7.0)) + 2.0 * libm::sin(t * 7.1);
    let level = match t {
        30.0..40.0 => 9.0 + (t - 30.0) * growth,
        40.0.. => (9.0 + 10.0 * growth - (t - 40.0) * 4.0).max(9.0),
        _ => 9.0,
    };
    let all = application == ALL;
    let down = (30.0..40.0).contains(&t);
    let stored = if *name == "log" { (t * 40.0) as u64 } else { (level + wave).max(0.0) as u64 };
    TimeseriesRow {
        contender: (*name).into(),
        application: application.into(),
        time_s: Decimal(bin * S / 5),
        length_s: Decimal(S / 5),
        offered_per_s: all.then(|| Decimal(40_000 + bin % 7 * 1_000)),
        sent_per_s: all.then_some(Decimal(40_000)),
        confirmed_per_s: all.then_some(Decimal(40_000)),
        delivered_per_s: Decimal(40_000 * times),
        processed_per_s: Decimal(
            (if down { 40_000 - (growth * 900.0) as u64 } else { 39_000 + bin % 5 * 1_000 }) * times,
        ),
        duplicates_per_s: Decimal(0),
        backlog: (level + wave).max(0.0) as u64 * times,
        backlog_s: seconds(level / 40.0),
        in_flight: 9 * times,
        stored_messages: all.then_some(stored),
        stored_bytes: all.then_some(stored * 1_024),
        copies: all.then_some(Decimal(1_000)),
        consumers_up: (if down { 2 } else { 3 }) * times,
        blocked_s: all.then_some(Decimal(0)),
        unread_partitions: (*name == "log").then(|| Decimal(if down { 2_000 * times } else { 0 })),
    }
}

/// Every plot of a run, and one with what no run draws yet: theory, a band, and many contenders.
pub(crate) fn plots() -> Vec<PlotSpec> {
    let mut plots = report(&["billing"]).plots();
    let looks = looks(&[Model::Queue, Model::Queue, Model::Log, Model::Fanout, Model::Broadcast, Model::Log]);
    let axis = |label: &str, unit: &str, scale| Axis { label: label.into(), unit: unit.into(), scale, range: None };
    let mut series: Vec<Series> = looks
        .into_iter()
        .enumerate()
        .map(|(i, look)| {
            let value = |x: f64| (i as f64 + 2.0) / (1.02 - x);
            let points: Vec<_> = (0..=19).map(|n| (f64::from(n) / 20.0, value(f64::from(n) / 20.0))).collect();
            let band = points.iter().map(|(x, y)| (*x, y * 0.9, y * 1.1)).filter(|_| i == 0).collect();
            Series { name: format!("contender-{i}"), look, draw: Draw::Line, points, band }
        })
        .collect();
    let theory = (0..=19).map(|n| f64::from(n) / 20.0).map(|x| (x, 2.0 / (1.02 - x))).collect();
    series.push(Series {
        name: "theory".into(),
        look: series[0].look,
        draw: Draw::Theory,
        points: theory,
        band: Vec::new(),
    });
    let chart = Chart {
        heading: String::new(),
        x: axis("utilisation", "share", Scale::Linear),
        y: axis("mean wait", "ms", Scale::Log),
        series,
        spans: Vec::new(),
        guides: Vec::new(),
        inset: None,
        empty: String::new(),
    };
    plots.push(PlotSpec {
        name: "six".into(),
        title: "Six contenders and theory".into(),
        subtitle: "Can they all be told apart?".into(),
        body: Body::Charts(vec![chart]),
        note: "Modelled, not measured".into(),
    });
    plots
}
