//! Known answers: cases taken from live brokers and from the suites of the real projects, run against the engine.
//!
//! `cargo test --test main conformance -- --nocapture` prints a line per file. `BROKERLAB_VECTORS=DIR` runs the
//! files of another folder instead of the bundled ones.

mod classic;

use std::path::PathBuf;

use serde_json::Value;

/// Runs one case; an error says what was expected and what was found.
type Runner = fn(&Value) -> Result<(), String>;

/// Every file that the harness knows.
const FILES: &[(&str, Runner)] = &[("rabbit_fifo_requeue.json", classic::run)];

fn folder() -> PathBuf {
    match std::env::var_os("BROKERLAB_VECTORS") {
        Some(folder) => folder.into(),
        None => PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/vectors"),
    }
}

/// A case that panics has failed like any other, and does not keep the rest from running.
fn run_case(run: Runner, case: &Value) -> Result<(), String> {
    std::panic::catch_unwind(|| run(case)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        Err(format!("panicked: {}", text.or(panic.downcast_ref::<&str>().map(|s| s.to_string())).unwrap_or_default()))
    })
}

#[test]
fn conformance() {
    let mut failures = Vec::new();
    let mut files = 0;
    for (name, run) in FILES {
        let path = folder().join(name);
        let Ok(text) = std::fs::read_to_string(&path) else {
            assert!(std::env::var_os("BROKERLAB_VECTORS").is_some(), "{} is missing", path.display());
            continue;
        };
        files += 1;
        let document: Value = serde_json::from_str(&text).expect("a vector file is JSON");
        let cases = document["cases"].as_array().expect("a vector file has cases");
        let mut passed = 0;
        for case in cases {
            match run_case(*run, case) {
                Ok(()) => passed += 1,
                Err(problem) => failures.push(format!("{name}: {}: {problem}", case["id"].as_str().unwrap_or("?"))),
            }
        }
        println!("{name}: passed {passed} of {}", cases.len());
    }
    assert!(files > 0, "no known file in {}", folder().display());
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
