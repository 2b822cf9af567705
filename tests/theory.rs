//! Simulated means against queueing theory, where a formula exists. Nothing costs anything here but the work, so
//! a queue with its consumers is the textbook's system.
//!
//! Samples of one run are strongly correlated, so each case is a set of independent replications; the mean of
//! their means must lie within four standard errors of the formula.

use brokerlab_analysis::{Stage, Theory};
use brokerlab_lab::{Keep, Run, run_contender};
use brokerlab_scenario::{Scenario, Source};

const REPLICATIONS: u64 = 16;

/// One queue, nothing else. λ is a rate a second, `work` a law in the scenario's words.
fn run(lambda: f64, servers: u32, work: &str, messages: u64, seed: u64) -> Run {
    let seconds = (messages as f64 / lambda) as u64;
    let text = format!(
        r#"
        format = 1
        title = "theory"
        duration = "{seconds}s"
        warm_up = "{}s"
        seed = {seed}
        network = {{ latency = "0s" }}
        demand = {{ producers = 1, rate = "{lambda}/s", size = "1B", application = [
            {{ name = "server", consumers = {servers}, work = {work} }},
        ] }}
        contender = [{{ name = "queue", model = "queue", prefetch = 1 }}]
        "#,
        seconds / 20
    );
    let scenario = Scenario::parse(&Source::new("theory", text), &[]).expect("a valid scenario");
    run_contender(&scenario, 0, Keep::default(), &())
}

fn exponential(mean: f64) -> String {
    format!(r#"{{ mean = "{mean}s", distribution = "exponential" }}"#)
}

/// Holds the mean time in the system against a formula.
fn check(name: &str, lambda: f64, servers: u32, work: &str, theory: f64) {
    let mean = |seed| {
        let results = run(lambda, servers, work, 40_000, seed).results;
        results.total.latency(Stage::Process).mean().expect("messages were processed").as_secs_f64()
    };
    let means: Vec<f64> = (1..=REPLICATIONS).map(mean).collect();
    let average = means.iter().sum::<f64>() / means.len() as f64;
    let variance = means.iter().map(|m| (m - average) * (m - average)).sum::<f64>() / (means.len() - 1) as f64;
    let error = (variance / means.len() as f64).sqrt();
    assert!((average - theory).abs() < 4.0 * error, "{name}: theory {theory}, simulated {average} ± {error}");
    assert!(error < theory / 20.0, "{name}: the standard error {error} is too large to tell anything");
}

#[test]
fn one_server_with_exponential_work() {
    check("M/M/1 at 0.5", 1.0, 1, &exponential(0.5), 1.0);
    check("M/M/1 at 0.8", 8.0, 1, &exponential(0.1), 0.5);
}

#[test]
fn several_servers_with_exponential_work() {
    for (lambda, servers, mean) in [(3.0, 2, 0.5), (8.0, 3, 0.3), (20.0, 8, 0.3)] {
        let theory = Theory::new(lambda, mean, servers).expect("they keep up");
        check(&theory.name(), lambda, servers, &exponential(mean), theory.mean_time());
    }
}

#[test]
fn one_server_with_other_work() {
    // Pollaczek and Khinchine: the wait is λ E[S²] / 2(1 - ρ).
    check("M/D/1", 3.0, 1, r#""250ms""#, 0.625);
    let erlang = r#"{ mean = "250ms", distribution = "erlang", shape = 4 }"#;
    check("M/E4/1", 3.0, 1, erlang, 0.718_75);
    let uniform = r#"{ distribution = "uniform", low = "100ms", high = "300ms" }"#;
    let (mean, second) = (0.2, 0.04 + 0.2 * 0.2 / 12.0);
    check("M/U/1", 3.0, 1, uniform, mean + 3.0 * second / (2.0 * (1.0 - 0.6)));
}

#[test]
fn consumers_without_end_never_make_a_message_wait() {
    check("M/M/64, all but infinite", 20.0, 64, &exponential(0.25), 0.25);
}

/// Little's law holds for any system: the mean number in it is the arrival rate times the mean time in it.
#[test]
fn the_mean_backlog_is_the_rate_times_the_mean_time() {
    let results = run(8.0, 1, &exponential(0.1), 200_000, 3).results;
    let series = &results.series;
    let bins = &results.applications[0].bins;
    let warm = bins.len() / 20;
    let mean_backlog = bins[warm..].iter().map(|bin| bin.backlog as f64).sum::<f64>() / (bins.len() - warm) as f64;
    let offered: u64 = series.bins[warm..].iter().map(|bin| bin.offered).sum();
    let rate = offered as f64 / (series.end.as_secs_f64() * 0.95);
    let time = results.total.latency(Stage::Process).mean().expect("messages were processed").as_secs_f64();
    // The backlog is looked at 600 times only, so the two agree within some percent.
    assert!((mean_backlog / (rate * time) - 1.0).abs() < 0.25, "L = {mean_backlog}, λW = {}", rate * time);
}

/// A run may end with messages under way to consumers: they are neither lost nor skipped.
#[test]
fn what_is_under_way_at_the_end_is_still_to_be_had() {
    let text = r#"
        format = 1
        title = "under way"
        duration = "10s"
        seed = 5
        network = { latency = "1s" }
        demand = { producers = 1, rate = "50/s", size = "1B", application = [
            { name = "server", consumers = 2, work = "1ms" },
        ] }
        contender = [
            { name = "broadcast", model = "broadcast" },
            { name = "automatic", model = "queue", ack = "automatic" },
            { name = "log", model = "log", partitions = 2, initial_rebalance_delay = "0s" },
        ]
    "#;
    let scenario = Scenario::parse(&Source::new("under way", text), &[]).expect("a valid scenario");
    for contender in 0..scenario.contenders.len() {
        let run = run_contender(&scenario, contender, Keep::default(), &());
        let fates = run.results.total.fates;
        for fate in [brokerlab_analysis::Fate::Lost, brokerlab_analysis::Fate::Skipped] {
            assert_eq!(fates[fate], 0, "{}: {}", run.header.contender, fate.name());
        }
        assert!(fates[brokerlab_analysis::Fate::InBacklog] > 0, "{}", run.header.contender);
    }
}
