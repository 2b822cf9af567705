//! How fast the whole engine is, beside the bare event loops that speed is stated against: `cargo bench --bench engine`.
//! For a queue that is the yardstick, for a log the same kind of loop with eight groups, also with only the broker in it.
//!
//! Rounds take turns in one process and ratios are taken within a round, because the machine's speed drifts.
//! `cargo bench --bench engine -- CASE MESSAGES` runs one case alone, for a profiler or for counting
//! instructions (see `benches/instructions`).

mod fan_out;
mod yardstick;

use std::time::Instant;

use brokerlab_analysis::{Analysis, Options, Stage};
use brokerlab_event::Fingerprint;
use brokerlab_scenario::{Scenario, Source, compile};
use brokerlab_sim::Simulation;

const ROUNDS: usize = 7;

/// λ = 0.8, μ = 1, one queue, acks and confirms, nothing costs anything: the mean sojourn is 5 s.
const QUEUE: &str = r#"
format = 1
title = "M/M/1"
duration = "DURATION"
seed = 1
network = { latency = "0s" }
demand = { producers = 1, rate = "0.8/s", size = "100B", application = [
    { name = "server", consumers = 1, work = { mean = "1s", distribution = "exponential" } },
] }
contender = [{ name = "queue", model = "queue", prefetch = 0 }]
"#;

/// The same arrivals on a log that eight groups read, with mean services from 0.3 to 1 s.
const LOG: &str = r#"
format = 1
title = "fan-out"
duration = "DURATION"
seed = 1
network = { latency = "0s" }
demand = { producers = 1, rate = "0.8/s", size = "100B", application = [APPLICATIONS] }
contender = [{ name = "log", model = "log", partitions = 1, linger = "0s", retention_time = "1h" }]
"#;

fn log_text() -> String {
    let application = |n: u32| {
        let mean = 300 + 100 * n;
        format!(r#"{{ name = "g{n}", consumers = 1, work = {{ mean = "{mean}ms", distribution = "exponential" }} }}"#)
    };
    LOG.replace("APPLICATIONS", &(0..8).map(application).collect::<Vec<_>>().join(", "))
}

/// Runs the first contender with fates, metrics and fingerprint on. Returns the mean sojourn of processed
/// messages in seconds.
fn engine(text: &str, messages: u64) -> f64 {
    let text = text.replace("DURATION", &format!("{}s", (messages as f64 / 0.8) as u64));
    let scenario = Scenario::parse(&Source::new("bench", text), &[]).expect("the benchmark's scenario is valid");
    let plan = compile(&scenario, 0);
    let mut observers = (Fingerprint::default(), Analysis::new(&plan.header, Options::default()));
    Simulation::new(&plan).run_until(plan.header.horizon, &plan.header, &mut observers);
    let results = observers.1.finish(plan.header.horizon);
    results.total.latency(Stage::Process).mean().map_or(0.0, |mean| mean.as_secs_f64())
}

type Case = (&'static str, u64, Box<dyn Fn(u64) -> f64>);

fn cases() -> Vec<Case> {
    let log = log_text();
    vec![
        ("yardstick", 1, Box::new(|messages| yardstick::mm1(messages, 1))),
        ("queue", 1, Box::new(|messages| engine(QUEUE, messages))),
        ("fan-out", 8, Box::new(|messages| fan_out::bare(messages / 8, 1))),
        ("log-broker", 8, Box::new(|messages| fan_out::broker(messages / 8, 1))),
        ("log-8-groups", 8, Box::new(move |messages| engine(&log, messages / 8))),
    ]
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    let cases = cases();
    if let [name, messages] = arguments.as_slice() {
        let (_, _, run) = cases.iter().find(|(known, ..)| known == name).expect("the name of a case");
        println!("mean sojourn {} s", run(messages.parse().expect("a number of messages")));
        return;
    }
    let messages = 400_000;
    let mut times = vec![Vec::new(); cases.len()];
    for _ in 0..ROUNDS {
        for (place, (_, _, run)) in times.iter_mut().zip(&cases) {
            let start = Instant::now();
            std::hint::black_box(run(messages));
            place.push(start.elapsed().as_nanos() as f64 / messages as f64);
        }
    }
    println!(
        "{:<14} {:>14} {:>16}   (median of {ROUNDS} rounds; a log counts deliveries)",
        "", "ns a message", "÷ bare loop"
    );
    let reference = |name: &str| cases.iter().position(|(known, ..)| *known == name).expect("one of the cases");
    for ((name, count, _), place) in cases.iter().zip(&times) {
        let bare = &times[reference(if *count > 1 { "fan-out" } else { "yardstick" })];
        let ratios = place.iter().zip(bare).map(|(own, bare)| own / bare).collect();
        println!("{name:<14} {:>14.1} {:>16.2}", median(place.clone()), median(ratios));
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
