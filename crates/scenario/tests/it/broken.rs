//! Every file of `tests/broken` is refused, with the message that its snapshot has.

use std::path::Path;

use brokerlab_scenario::{Scenario, ScenarioError, Source};

fn message(path: &Path) -> ScenarioError {
    match Source::open(path).and_then(|source| Scenario::parse(&source, &[])) {
        Ok(_) => panic!("{} is accepted", path.display()),
        Err(error) => error,
    }
}

#[test]
fn every_broken_file_is_refused_with_its_message() {
    let mut paths: Vec<_> = std::fs::read_dir("tests/broken")
        .expect("the corpus is there")
        .map(|entry| entry.expect("the corpus can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .collect();
    paths.sort();
    assert!(paths.len() >= 45, "the corpus has shrunk to {} files", paths.len());
    let mut settings = insta::Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_snapshot_path("../broken/messages");
    settings.set_omit_expression(true);
    for path in paths {
        let name = path.file_stem().and_then(|stem| stem.to_str()).expect("names are plain");
        settings.bind(|| insta::assert_snapshot!(name, message(&path).to_string()));
    }
}

#[test]
fn a_missing_file_is_told() {
    let error = message(Path::new("tests/broken/nowhere.toml"));
    assert_eq!(error.to_string(), "tests/broken/nowhere.toml: the scenario cannot be read: there is no such file");
}
