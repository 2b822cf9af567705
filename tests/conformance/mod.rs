//! Known answers: cases taken from live brokers and from the suites of the real projects, run against the engine.
//!
//! `cargo test --test main conformance` prints a line per file, and below it the cases that failed with what was
//! expected and what was found. `BROKERLAB_VECTORS=DIR` runs the files of another folder instead of the bundled ones.

mod assignors;
mod classic;
mod exchanges;
mod groups;
mod logs;
mod offsets;
mod partitions;
mod producers;
mod quorum;
mod replication;
mod restart;
mod share_groups;

use std::fmt::Write as _;
use std::io::Write as _;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Runs one case; an error says what was expected and what was found, or what the engine cannot express. That
/// includes every field that the runner does not know: see [`known_fields`].
type Runner = fn(&Value) -> Result<(), String>;

/// Every file that the harness knows.
const FILES: &[(&str, Runner)] = &[
    ("kafka_assignors.json", assignors::run),
    ("kafka_log_compaction.json", logs::run_compaction),
    ("kafka_log_retention.json", logs::run_retention),
    ("kafka_partitioner.json", partitions::run_key),
    ("kafka_sticky_adaptive_partitioner.json", partitions::run_keyless),
    ("kafka_leader_election.json", replication::run_election),
    ("kafka_replication.json", replication::run),
    ("kafka_share_groups.json", share_groups::run),
    ("kafka_idempotent_producer.json", producers::run),
    ("kafka_read_committed.json", producers::run_reading),
    ("kafka_transactions.json", producers::run),
    ("kafka_consumer_offsets.json", offsets::run),
    ("rabbit_confirm_return.json", classic::run),
    ("rabbit_dead_letter.json", classic::run),
    ("rabbit_dispatch.json", classic::run),
    ("rabbit_fifo_requeue.json", classic::run),
    ("rabbit_maxlen.json", classic::run),
    ("rabbit_priority_queue.json", classic::run),
    ("rabbit_ttl.json", classic::run),
    ("rabbit_headers_exchange.json", exchanges::run_headers),
    ("rabbit_quorum_queue.json", quorum::run),
    ("rabbit_restart.json", restart::run),
    ("rabbit_topic_exchange.json", exchanges::run_topic),
];

/// An error where an object has fields that nobody would look at: what is passed over must not count as passed.
fn known_fields(object: &Value, known: &[&str]) -> Result<(), String> {
    let fields = object.as_object().ok_or_else(|| format!("{object} is no object"))?;
    match fields.keys().find(|field| !known.contains(&field.as_str())) {
        Some(field) => Err(format!("cannot express the field {field}")),
        None => Ok(()),
    }
}

/// An error where something was found other than what was expected.
fn compare<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, found: T) -> Result<(), String> {
    if expected == found { Ok(()) } else { Err(format!("{what}: expected {expected:?}, found {found:?}")) }
}

/// How the cases of one file went.
#[derive(Debug, Default)]
struct Outcome {
    cases: usize,
    /// The ids of the cases that failed, each with its reason.
    failed: Vec<(String, String)>,
}

/// Runs all cases of a file; an error where it is none.
fn run_file(text: &str, run: Runner) -> Result<Outcome, String> {
    let document: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    let cases = document["cases"].as_array().filter(|cases| !cases.is_empty()).ok_or("has no cases")?;
    let mut outcome = Outcome { cases: cases.len(), failed: Vec::new() };
    for (index, case) in cases.iter().enumerate() {
        if let Err(problem) = run_case(run, case) {
            let id = case["id"].as_str().map_or_else(|| format!("case {}", index + 1), str::to_string);
            outcome.failed.push((id, problem));
        }
    }
    Ok(outcome)
}

/// A case that panics has failed like any other, and does not keep the rest from running.
fn run_case(run: Runner, case: &Value) -> Result<(), String> {
    catch_unwind(|| run(case)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
        Err(format!("panicked: {}", text.unwrap_or_default()))
    })
}

/// Runs the known files of a folder. Returns the report, and whether everything passed. Of another folder than the
/// bundled one it is not known which files it has, but it must have some.
fn run_folder(folder: &Path, files: &[(&str, Runner)], bundled: bool) -> (String, bool) {
    let (mut report, mut passed, mut found) = (String::new(), true, 0);
    for (name, run) in files {
        let outcome = match std::fs::read_to_string(folder.join(name)) {
            Ok(text) => run_file(&text, *run),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !bundled => continue,
            Err(error) => Err(format!("cannot be read: {error}")),
        };
        found += 1;
        match outcome {
            Ok(Outcome { cases, failed }) => {
                let _ = writeln!(report, "{name}: passed {} of {cases}", cases - failed.len());
                passed &= failed.is_empty();
                for (id, problem) in failed {
                    let _ = writeln!(report, "  {id}: {problem}");
                }
            }
            Err(problem) => {
                let _ = writeln!(report, "{name}: {problem}");
                passed = false;
            }
        }
    }
    if found == 0 {
        let _ = writeln!(report, "{}: has no known file", folder.display());
    }
    (report, passed && found > 0)
}

#[test]
fn conformance() {
    let bundled = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let other = std::env::var_os("BROKERLAB_VECTORS").map(PathBuf::from);
    let (report, passed) = run_folder(other.as_ref().unwrap_or(&bundled), FILES, other.is_none());
    // Written past the capture of the test runner, which would keep it to itself where everything passes.
    let _ = std::io::stdout().write_all(format!("\n{report}").as_bytes());
    assert!(passed, "some known answers were not met; they are listed above");
}

/// What the harness itself promises.
mod harness {
    use super::*;

    fn even(case: &Value) -> Result<(), String> {
        known_fields(case, &["id", "number"])?;
        let number = case["number"].as_u64().expect("a number");
        compare("rest", 0, number % 2)
    }

    fn odd(case: &Value) -> Result<(), String> {
        compare("rest", 1, case["number"].as_u64().unwrap_or(0) % 2)
    }

    #[test]
    fn every_file_is_reported_and_nothing_is_passed_over() {
        let folder = tempfile::tempdir().expect("a folder for the test");
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).expect("it can be written");
        write(
            "a.json",
            r#"{"cases": [{"id": "two", "number": 2}, {"id": "three", "number": 3}, {"id": "more", "number": 4, "x": 1},
                {"number": "four"}]}"#,
        );
        write("b.json", "{");
        write("c.json", r#"{"cases": []}"#);
        write("d.json", r#"{"cases": [{"id": "one", "number": 1}]}"#);
        write("unknown.json", "{");
        let files: [(&str, Runner); 5] =
            [("a.json", even), ("b.json", even), ("c.json", even), ("d.json", odd), ("missing.json", odd)];
        let (report, passed) = run_folder(folder.path(), &files, false);
        assert!(!passed);
        let expected = "a.json: passed 1 of 4\n  three: rest: expected 0, found 1\n  more: cannot express the field x\n  \
                        case 4: panicked: a number\nb.json: is not JSON: EOF while parsing an object at line 1 column 1\n\
                        c.json: has no cases\nd.json: passed 1 of 1\n";
        assert_eq!(report, expected);

        assert!(run_folder(folder.path(), &files[3..4], true).1);
        assert!(run_folder(folder.path(), &files[3..], false).1);
        let (report, passed) = run_folder(folder.path(), &files[3..], true);
        assert!(!passed && report.contains("missing.json: cannot be read"), "{report}");
        let (report, passed) = run_folder(folder.path(), &files[4..], false);
        assert!(!passed && report.contains("has no known file"), "{report}");
    }
}
