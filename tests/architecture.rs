//! The shape of the house: who may build on whom, and what the core must not use.

use std::fs;
use std::path::{Path, PathBuf};

/// Each crate with the crates of ours that it may use. The two columns (writing and reading events) meet only in
/// `event`; `lab` is the first to know both.
const MAY_USE: &[(&str, &[&str])] = &[
    ("event", &[]),
    ("broker", &["event"]),
    ("scenario", &["event", "broker"]),
    ("sim", &["event", "broker", "scenario"]),
    ("analysis", &["event"]),
    ("report", &["event", "analysis"]),
    ("lab", &["event", "broker", "scenario", "sim", "analysis", "report"]),
    ("swarm", &["event", "scenario", "sim", "analysis", "lab"]),
    ("cli", &["lab", "swarm"]),
    ("gui", &["lab"]),
];

/// Words that must not occur in the sources of the state machines: they have no clock, threads, I/O or async.
const FORBIDDEN: &[&str] = &[
    "std::time",
    "std::thread",
    "std::fs",
    "std::net",
    "std::io",
    "std::env",
    "async ",
    "HashMap",
    "HashSet",
    "RefCell",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn dependencies(manifest: &str) -> Vec<String> {
    let section = manifest.split("\n[dependencies]").nth(1).unwrap_or("");
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let name = |line: &str| Some(line.split(['.', ' ', '=']).next()?.strip_prefix("brokerlab-")?.to_string());
    lines.filter_map(name).collect()
}

#[test]
fn crates_use_only_what_the_map_allows() {
    let mut seen = Vec::new();
    for entry in fs::read_dir(root().join("crates")).expect("the crates folder is there") {
        let folder = entry.expect("the crates folder can be read").path();
        let Ok(manifest) = fs::read_to_string(folder.join("Cargo.toml")) else { continue };
        let name = folder.file_name().and_then(|name| name.to_str()).expect("crates have plain names").to_string();
        let allowed =
            MAY_USE.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name} is not on the map")).1;
        for used in dependencies(&manifest) {
            assert!(allowed.contains(&used.as_str()), "{name} must not use {used}");
        }
        seen.push(name);
    }
    assert_eq!(seen.len(), MAY_USE.len(), "the map names a crate that is not there: {seen:?}");
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a source folder is there") {
        let path = entry.expect("a source folder can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

#[test]
fn state_machines_have_no_clock_no_threads_and_no_io() {
    let mut files = Vec::new();
    sources(&root().join("crates/event/src"), &mut files);
    sources(&root().join("crates/broker/src"), &mut files);
    assert!(files.len() > 15, "the search found only {} files", files.len());
    for file in files {
        let text = fs::read_to_string(&file).expect("a source file can be read");
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for word in FORBIDDEN {
            assert!(!code.contains(word), "{} uses `{word}`", file.display());
        }
    }
}
