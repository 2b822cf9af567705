//! What the program says about itself.

use serde_json::Value;

use super::Rig;

#[test]
fn every_command_has_help() {
    let rig = Rig::new();
    insta::assert_snapshot!("help", rig.exits(0, &["--help"]).out);
    for command in ["list", "run", "check", "plot", "verify", "new", "options", "schema", "gui", "completions"] {
        insta::assert_snapshot!(format!("help_{command}"), rig.exits(0, &[command, "--help"]).out);
    }
    assert!(rig.exits(0, &["--version"]).out.starts_with("brokerlab "));
}

#[test]
fn the_list_shows_every_bundled_scenario_with_its_question() {
    let rig = Rig::new();
    let bundled: Vec<&str> = brokerlab_scenario::library::SCENARIOS.iter().map(|(name, _)| *name).collect();
    let names = rig.exits(0, &["list", "--names"]).out;
    assert_eq!(names.lines().collect::<Vec<_>>(), bundled);
    let list = rig.exits(0, &["list"]).out;
    for (line, name) in list.lines().zip(&bundled) {
        assert!(line.starts_with(name) && line.ends_with('?'), "{line}");
    }
    assert_eq!(list.lines().count(), bundled.len());
}

#[test]
fn options_are_explained_section_by_section() {
    let rig = Rig::new();
    let sections = rig.exits(0, &["options"]).out;
    assert!(sections.lines().any(|line| line.starts_with("contender.log ") && line.contains("partitions")));
    let log = rig.exits(0, &["options", "contender.log"]).out;
    assert!(log.starts_with("contender.log (a contender of the model log)\n  name (required)\n"), "{log}");
    assert!(log.contains("\n  partitions = 1\n      How many partitions"), "{log}");
    assert!(log.lines().all(|line| line.chars().count() <= 100), "{log}");
    insta::assert_snapshot!("options_autoscale", rig.exits(0, &["options", "autoscale"]).out);
    let told = rig.exits(2, &["options", "partition"]).err;
    assert!(told.starts_with("error: the format has no section \"partition\""), "{told}");
}

#[test]
fn the_schema_is_json_and_completions_know_the_commands() {
    let rig = Rig::new();
    let schema: Value = serde_json::from_str(&rig.exits(0, &["schema"]).out).expect("it is JSON");
    assert!(schema["properties"]["demand"].is_object());
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = rig.exits(0, &["completions", shell]).out;
        assert!(script.contains("verify") && script.contains("no-plots"), "{shell}");
    }
}
