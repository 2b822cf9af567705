//! The library of scenarios: each is whole, says something true, and its flip turns it.
//!
//! What every run comes to is stored in `library/figures.csv`, and the digests of its events beside it, so that a
//! change of the engine shows where it is felt. After a change that was meant, write them anew:
//!
//! ```sh
//! BROKERLAB_BLESS=1 cargo test --test main library
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use brokerlab_analysis::{Fate, Stage, Summary};
use brokerlab_lab::{Finding, Keep, Run, judge, run};
use brokerlab_scenario::{Scenario, Source, library};

/// A scenario with what came of it, as it stands and flipped.
struct Outcome {
    name: &'static str,
    scenario: Scenario,
    runs: Vec<Run>,
    findings: Vec<Finding>,
    flipped: Vec<Finding>,
}

fn parse(name: &str, settings: &[String]) -> Scenario {
    let source = Source::bundled(name).expect("it is bundled");
    Scenario::parse(&source, settings).unwrap_or_else(|error| panic!("{error}"))
}

fn run_all(scenario: &Scenario, keep: Keep) -> Vec<Run> {
    let contenders: Vec<usize> = (0..scenario.contenders.len()).collect();
    run(scenario, &contenders, keep, &())
}

/// Every scenario of the library with its flip, run once for all tests.
fn outcomes() -> &'static [Outcome] {
    static OUTCOMES: OnceLock<Vec<Outcome>> = OnceLock::new();
    OUTCOMES.get_or_init(|| {
        let outcome = |&(name, _): &(&'static str, &str)| {
            let scenario = parse(name, &[]);
            let flip = scenario.flip.as_ref().unwrap_or_else(|| panic!("{name} has no flip"));
            let changed = parse(name, &flip.sets);
            let runs = run_all(&scenario, Keep::default());
            let findings = judge(&scenario, &runs);
            let flipped = judge(&changed, &run_all(&changed, Keep::default()));
            Outcome { name, scenario, runs, findings, flipped }
        };
        library::SCENARIOS.iter().map(outcome).collect()
    })
}

fn told(scenario: &Scenario, finding: &Finding) -> String {
    let expectation = scenario.expectations[finding.expectation].name.as_deref().unwrap_or("without a name");
    let Finding { contender, application, metric, expected, found, .. } = finding;
    let application = application.as_deref().unwrap_or("all");
    format!("\"{expectation}\": {contender}, {application}: {} {expected}, found {found:?}", metric.name)
}

#[test]
fn the_folder_and_the_list_agree() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let files = std::fs::read_dir(folder).expect("the folder is there");
    let files = files.map(|entry| entry.expect("it can be listed").path());
    let files: BTreeSet<PathBuf> = files.filter_map(|path| Some(PathBuf::from(path.file_name()?))).collect();
    let listed = library::SCENARIOS.iter().map(|(name, _)| PathBuf::from(format!("{name}.toml"))).collect();
    assert_eq!(files, listed);
}

#[test]
fn the_readme_names_every_scenario() {
    let readme = include_str!("../README.md");
    for (name, _) in library::SCENARIOS {
        assert!(readme.contains(&format!("`{name}`")), "{name} is in none of its rows");
    }
}

#[test]
fn every_scenario_says_what_it_asks_and_answers() {
    let mut titles = BTreeSet::new();
    for Outcome { name, scenario, .. } in outcomes() {
        let question = scenario.question.as_deref().unwrap_or_default();
        assert!(question.ends_with('?'), "{name} asks: {question:?}");
        let words = scenario.explanation.as_deref().unwrap_or_default().split_whitespace().count();
        assert!((40..=150).contains(&words), "{name} is explained in {words} words");
        assert!(scenario.plot.is_some(), "{name} names no deciding plot");
        let flip = scenario.flip.as_ref().expect("each has one");
        assert_eq!(flip.sets.len(), 1, "{name}: one change flips it");
        assert!(flip.because.as_ref().is_some_and(|because| because.ends_with('.')), "{name}: why does it flip?");
        assert!(scenario.expectations.iter().all(|expectation| expectation.name.is_some()), "{name}");
        assert!(titles.insert(&scenario.title), "two scenarios are called {:?}", scenario.title);
    }
}

#[test]
fn every_expectation_holds() {
    let failed = |outcome: &Outcome| -> Vec<String> {
        let failed = outcome.findings.iter().filter(|finding| !finding.holds);
        failed.map(|finding| format!("{}: {}", outcome.name, told(&outcome.scenario, finding))).collect()
    };
    let failed: Vec<String> = outcomes().iter().flat_map(failed).collect();
    assert!(failed.is_empty(), "\n{}", failed.join("\n"));
    for Outcome { name, scenario, findings, .. } in outcomes() {
        let judged: BTreeSet<usize> = findings.iter().map(|finding| finding.expectation).collect();
        assert_eq!(judged.len(), scenario.expectations.len(), "{name}: an expectation is never judged");
    }
}

#[test]
fn every_flip_fails_what_it_names() {
    for Outcome { name, scenario, flipped, .. } in outcomes() {
        let fails = scenario.flip.as_ref().expect("each has one").fails;
        let failed = flipped.iter().any(|finding| finding.expectation == fails && !finding.holds);
        assert!(failed, "{name}: {:?} holds all the same", scenario.expectations[fails].name);
    }
}

#[test]
fn every_message_has_one_fate_for_each_application() {
    for Outcome { name, runs, .. } in outcomes() {
        for run in runs {
            let contender = &run.header.contender;
            let offered = run.results.total.offered;
            assert!(offered > 0, "{name}: nothing was sent");
            for (application, info) in run.results.applications.iter().zip(&run.header.applications) {
                let whose = format!("{name}, {contender}, {}", info.name);
                assert_eq!(application.summary.offered, offered, "{whose}: everybody is offered the same");
                assert_eq!(application.summary.fates.sum(), offered, "{whose}");
                assert_eq!(application.summary.fates[Fate::Unknown], 0, "{whose}");
            }
            assert_eq!(run.header.demand_digest, runs[0].header.demand_digest, "{name}: the demand is one");
        }
    }
}

/// A whole number of milliseconds, or nothing where nothing was measured.
fn milliseconds(summary: &Summary, stage: Stage, millionths: u32) -> String {
    let at = summary.latency(stage).percentile(millionths);
    at.map_or(String::new(), |at| (at.as_nanos() / 1_000_000).to_string())
}

fn figures() -> String {
    let fates: Vec<Fate> =
        [Fate::Processed, Fate::DroppedByPolicy, Fate::Missed, Fate::Skipped, Fate::Lost, Fate::InBacklog].into();
    let mut csv = String::from("scenario,contender,application,offered,confirmed,replied");
    fates.iter().for_each(|fate| write!(csv, ",{}", fate.name()).expect("a text can be written"));
    csv += ",redeliveries,duplicates,key_order_violations,backlog_max,stored_messages_max,rebalances,\
            latency_p50_ms,latency_p99_ms,latency_max_ms\n";
    for Outcome { name, runs, .. } in outcomes() {
        for run in runs {
            for (application, info) in run.results.applications.iter().zip(&run.header.applications) {
                let own = &application.summary;
                let (contender, application) = (&run.header.contender, &info.name);
                let mut row = vec![name.to_string(), contender.clone(), application.clone()];
                row.extend([own.offered, own.confirmed, own.replied].map(|count| count.to_string()));
                row.extend(fates.iter().map(|fate| own.fates[*fate].to_string()));
                let counts = [own.redeliveries, own.duplicates, own.key_order_violations];
                row.extend(counts.map(|count| count.to_string()));
                let most = [own.backlog_max, own.stored_messages_max, own.rebalances];
                row.extend(most.map(|count| count.to_string()));
                row.extend([500_000, 990_000, 1_000_000].map(|at| milliseconds(own, Stage::Process, at)));
                csv += &row.join(",");
                csv.push('\n');
            }
        }
    }
    csv
}

/// The digests of what clients saw and of every event, apart from the figures: a change of the encoding of events
/// moves all of these and none of those.
fn fingerprints() -> String {
    let mut csv = String::from("scenario,contender,client,full\n");
    for Outcome { name, runs, .. } in outcomes() {
        for run in runs {
            let (contender, print) = (&run.header.contender, &run.fingerprint);
            writeln!(csv, "{name},{contender},{:016x},{:016x}", print.client(), print.full()).expect("it is a text");
        }
    }
    csv
}

fn compare(file: &str, found: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/library").join(file);
    if std::env::var_os("BROKERLAB_BLESS").is_some() {
        std::fs::write(&path, found).expect("the file can be written");
    }
    let stored = std::fs::read_to_string(&path).expect("the stored file is there");
    let (before, after): (Vec<&str>, Vec<&str>) = (stored.lines().collect(), found.lines().collect());
    let gone = before.iter().filter(|line| !after.contains(line)).map(|line| format!("- {line}"));
    let new = after.iter().filter(|line| !before.contains(line)).map(|line| format!("+ {line}"));
    let changed: Vec<String> = gone.chain(new).collect();
    assert!(stored == found, "{file} (BROKERLAB_BLESS=1 writes it anew):\n{}", changed.join("\n"));
}

#[test]
fn figures_are_as_they_were() {
    compare("figures.csv", &figures());
}

#[test]
fn fingerprints_are_as_they_were() {
    compare("fingerprints.csv", &fingerprints());
}

/// An event of the recording that belongs to a flight: departed first and landed afterwards.
struct Flight {
    departed: usize,
    landed: usize,
    tail: String,
}

/// The flights of the bundled recording, their events as numbers of rows. A row is a message of the same number.
fn flights() -> Vec<Flight> {
    let bytes = library::asset("flights-2013-thanksgiving.csv").expect("it is bundled");
    let text = std::str::from_utf8(bytes).expect("the recording is plain text");
    let mut under_way: BTreeMap<String, usize> = BTreeMap::new();
    let mut flights = Vec::new();
    for (row, line) in text.lines().skip(1).enumerate() {
        let cells: Vec<&str> = line.split(',').collect();
        let tail = cells[2].to_string();
        let flight = [cells[2], cells[4], cells[5], cells[6]].join(" ");
        match cells[1] {
            "departed" => assert!(under_way.insert(flight, row).is_none(), "row {row} departs twice"),
            "landed" => {
                let departed = under_way.remove(&flight).unwrap_or_else(|| panic!("row {row} never departed"));
                flights.push(Flight { departed, landed: row, tail });
            }
            other => panic!("row {row} says {other:?}"),
        }
    }
    assert!(under_way.is_empty(), "some never land");
    flights
}

#[test]
fn no_aircraft_of_the_recording_lands_before_it_departs_but_two_overlap() {
    let flights = flights();
    assert_eq!(flights.len(), 6025);
    assert!(flights.iter().all(|flight| flight.departed < flight.landed));
    let mut of_tail: BTreeMap<&str, Vec<&Flight>> = BTreeMap::new();
    flights.iter().for_each(|flight| of_tail.entry(&flight.tail).or_default().push(flight));
    let overlapping = of_tail.values_mut().map(|flights| {
        flights.sort_by_key(|flight| flight.departed);
        flights.windows(2).filter(|pair| pair[1].departed < pair[0].landed).count()
    });
    // One flight departs before the one before it of the same aircraft has landed, by the recorded minutes. Order is
    // judged by the order of the rows, so it counts as a violation nowhere.
    assert_eq!(overlapping.sum::<usize>(), 1);
}

#[test]
fn aircraft_land_before_they_depart_on_the_queue_and_never_on_the_log() {
    let scenario = parse("fleet-tracking", &[]);
    let flights = flights();
    let landed_first = |run: &Run| {
        let rows = run.results.messages.as_ref().expect("they were to be kept");
        let done = |row: usize| rows[row].processed.expect("every event is processed");
        flights.iter().filter(|flight| done(flight.landed) < done(flight.departed)).count()
    };
    let runs = run_all(&scenario, Keep { messages: true, events: false });
    let [queue, log] = &runs[..] else { panic!("the scenario has two contenders") };
    let found = (landed_first(queue), landed_first(log));
    assert!(found.0 >= 50 && found.1 == 0, "landed before departed: {} on the queue, {} on the log", found.0, found.1);
}
