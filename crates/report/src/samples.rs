//! Made-up figures for tests: a run in which a consumer dies, told by formulas.

use brokerlab_event::Model;

use crate::palette::looks;
use crate::spec::*;

fn axis(label: &str, unit: &str, scale: Scale) -> Axis {
    Axis { label: label.into(), unit: unit.into(), scale, range: None }
}

fn chart(x: Axis, y: Axis, series: Vec<Series>) -> Chart {
    Chart {
        heading: String::new(),
        x,
        y,
        series,
        spans: vec![Span { from: 30.0, until: Some(40.0), label: "billing/2 is down".into() }],
        guides: Vec::new(),
        inset: None,
        empty: String::new(),
    }
}

fn plot(name: &str, title: &str, subtitle: &str, body: Body) -> PlotSpec {
    let note = "Modelled, not measured".to_owned();
    PlotSpec { name: name.into(), title: title.into(), subtitle: subtitle.into(), body, note }
}

/// One plot of each kind.
pub(crate) fn plots() -> Vec<PlotSpec> {
    let looks = looks(&[Model::Queue, Model::Fanout, Model::Log, Model::Log]);
    let names = ["queue", "fanout", "log", "log-6"];
    let wave = |seed: f64, t: f64| 3.0 * libm::sin(t * (1.3 + seed)) + 2.0 * libm::sin(t * 7.1 + seed);
    let backlog = |i: usize| -> Vec<(f64, f64)> {
        let level = |t: f64| match t {
            30.0..40.0 => 12.0 + (t - 30.0) * [4.0, 5.0, 30.0, 22.0][i],
            40.0.. => (12.0 + 10.0 * [4.0, 5.0, 30.0, 22.0][i] - (t - 40.0) * 4.0).max(9.0),
            _ => 9.0,
        };
        (0..600).map(|n| f64::from(n) / 5.0).map(|t| (t, (level(t) + wave(i as f64, t)).max(0.0))).collect()
    };
    let series = |points: &dyn Fn(usize) -> Vec<(f64, f64)>, draw: Draw| -> Vec<Series> {
        (0..4)
            .map(|i| Series { name: names[i].into(), look: looks[i], draw, points: points(i), band: Vec::new() })
            .collect()
    };
    let time = || axis("virtual time", "s", Scale::Linear);
    let mut waiting = chart(time(), axis("waiting", "messages", Scale::Linear), series(&backlog, Draw::Steps));
    waiting.series.push(Series {
        name: "theory".into(),
        look: looks[0],
        draw: Draw::Theory,
        points: vec![(0.0, 9.0), (120.0, 9.0)],
        band: Vec::new(),
    });
    let cdf = |i: usize| -> Vec<(f64, f64)> {
        let mean = [60.0, 66.0, 180.0, 140.0][i];
        (0..400)
            .map(|n| (0.5 * libm::exp(f64::from(n) / 42.0), 0.0))
            .map(|(x, _)| (x, 100.0 * (1.0 - libm::exp(-x / mean))))
            .collect()
    };
    let mut latency = chart(
        axis("latency from intended send to processed", "ms", Scale::Log),
        axis("share of messages", "%", Scale::Linear),
        series(&cdf, Draw::Line),
    );
    latency.spans.clear();
    latency.guides =
        [(50.0, "p50"), (90.0, "p90"), (99.0, "p99")].map(|(at, label)| Guide { at, label: label.into() }).into();
    latency.inset = Some(Inset {
        head: ["ms", "p50", "p90", "p99"].map(String::from).into(),
        rows: (0..4).map(|i| (looks[i], vec![names[i].into(), "42".into(), "1,138".into(), "6,276".into()])).collect(),
    });
    let panels = (0..4)
        .map(|i| {
            let points = (0..if i == 2 { 0 } else { 300 })
                .map(|n| (f64::from(n * 37 % 120), 1.0 + f64::from(n * n % [17, 23, 5, 9][i])))
                .collect();
            let mut one = series(&|_| Vec::new(), Draw::Points).swap_remove(i);
            one.points = points;
            let mut chart = chart(time(), axis("overtaken by", "messages", Scale::Linear), vec![one]);
            chart.heading = format!("{}: 300 of 4,832 out of order", names[i]);
            chart.empty = "in order: nothing was overtaken".into();
            chart
        })
        .collect();
    let row = |i: usize, application: &str, counts: [u64; 4]| MatrixRow {
        look: looks[i],
        name: names[i].into(),
        detail: application.into(),
        total: counts.iter().sum(),
        counts: counts.into(),
        attributes: vec![12, 3],
    };
    let matrix = Matrix {
        columns: ["processed", "skipped", "lost", "in backlog"].map(String::from).into(),
        total: "= offered".into(),
        attributes: ["redelivered", "duplicates"].map(String::from).into(),
        rows: vec![
            row(0, "billing", [4_832, 0, 0, 0]),
            row(0, "audit", [4_200, 600, 32, 0]),
            row(1, "billing", [4_700, 0, 0, 132]),
            row(1, "audit", [4_831, 0, 1, 0]),
            row(2, "billing", [4_700, 0, 0, 132]),
            row(3, "billing", [2_400, 0, 2_000, 432]),
        ],
    };
    vec![
        plot(
            "backlog",
            "Messages waiting",
            "How much work piles up, and how fast is it worked off?",
            Body::Charts(vec![waiting]),
        ),
        plot("latency", "Latency", "How long does a message take?", Body::Charts(vec![latency])),
        plot(
            "ordering",
            "Messages processed out of order",
            "How far behind its own key does a message come?",
            Body::Charts(panels),
        ),
        plot(
            "delivery",
            "The fate of every message",
            "What became of each message that was offered?",
            Body::Matrix(matrix),
        ),
    ]
}
