//! What is done with folders and files: verifying, drawing again, running alone, starting a scenario.

use super::{Rig, contents};

#[test]
fn a_folder_verifies_until_it_is_touched() {
    let rig = Rig::new();
    rig.exits(0, &["run", "small.toml", "--out", "out", "--no-plots", "--messages"]);
    let told = rig.exits(0, &["verify", "out/small"]);
    assert_eq!(told.out.matches("  same\n").count(), 2, "{}", told.out);

    let summary = rig.text("out/small/summary.csv");
    rig.put("out/small/summary.csv", &summary.replacen("billing,", "billing,1", 1));
    let told = rig.exits(1, &["verify", "out/small"]);
    assert!(told.err.contains("out/small/summary.csv is not what the run gives"), "{}", told.err);
    rig.put("out/small/summary.csv", &summary);

    let scenario = rig.text("out/small/scenario.toml");
    rig.put("out/small/scenario.toml", &scenario.replace("partitions = 2", "partitions = 3"));
    let told = rig.exits(1, &["verify", "out/small"]);
    let differing: Vec<&str> = told.out.lines().filter(|line| line.ends_with("  differs")).collect();
    assert!(differing.len() == 1 && differing[0].contains("log"), "only the log differs:\n{}", told.out);

    rig.put("out/small/scenario.toml", "no scenario");
    rig.exits(2, &["verify", "out/small"]);
    rig.exits(2, &["verify", "out"]);
}

#[test]
fn a_folder_can_be_run_alone() {
    let rig = Rig::new();
    rig.exits(0, &["new", "here/recorded.toml", "--template", "trace"]);
    rig.exits(0, &["run", "here/recorded.toml", "--no-plots", "--out", "first", "--set", "demand.trace.scale=100"]);
    std::fs::remove_dir_all(rig.path("here")).expect("it is there");
    let scenario = "first/recorded/scenario.toml";
    rig.exits(0, &["run", scenario, "--no-plots", "--out", "second"]);
    let (mut first, mut second) = (contents(&rig.path("first/recorded")), contents(&rig.path("second/recorded")));
    for told in ["summary.json", "report.html"] {
        // These tell the command, which is another one.
        assert!(first.remove(told).is_some() && second.remove(told).is_some());
    }
    assert_eq!(first.keys().collect::<Vec<_>>(), second.keys().collect::<Vec<_>>());
    for (name, bytes) in &first {
        assert!(second[name] == *bytes, "{name} differs");
    }
    assert!(first.contains_key("trace/orders.csv"));
}

#[test]
fn a_flipped_run_verifies_too() {
    let rig = Rig::new();
    rig.exits(1, &["run", "small.toml", "--flip", "--no-plots", "--contender", "queue", "--out", "out"]);
    let told = rig.exits(0, &["verify", "out/small--flip"]);
    assert_eq!(told.out.lines().count(), 1, "only what was run is run again: {}", told.out);
    rig.exits(0, &["check", "out/small--flip/scenario.toml"]);
}

#[test]
fn plots_are_drawn_again_from_the_tables() {
    let rig = Rig::new();
    rig.exits(0, &["run", "small.toml", "--out", "out"]);
    let drawn = contents(&rig.path("out/small/plots"));
    std::fs::remove_file(rig.path("out/small/scenario.toml")).expect("it is there");
    rig.exits(0, &["plot", "out/small", "--out", "again"]);
    assert!(contents(&rig.path("again/plots")) == drawn, "the same plots from the tables alone");

    let told = rig.exits(0, &["plot", "out/small", "--out", "slides", "--format", "png", "--size", "640x360"]);
    assert_eq!(told.out.lines().count(), 8, "{}", told.out);
    let png = std::fs::read(rig.path("slides/plots/backlog.png")).expect("it was drawn");
    assert_eq!((&png[1..4], &png[16..24]), (&b"PNG"[..], &[0, 0, 2, 128, 0, 0, 1, 104][..]));

    let dark = ["plot", "out/small", "--out", "dark", "--format", "svg", "--theme", "dark", "--greyscale"];
    rig.exits(0, &dark);
    assert_ne!(rig.text("dark/plots/backlog.svg"), rig.text("again/plots/backlog.svg"));
    let told = rig.exits(2, &["plot", "nowhere"]);
    assert!(told.err.contains("nowhere/summary.json"), "{}", told.err);
}

#[test]
fn a_new_scenario_is_valid_and_nothing_is_replaced_unasked() {
    let rig = Rig::new();
    for template in ["minimal", "compare", "trace"] {
        let file = format!("{template}.toml");
        rig.exits(0, &["new", &file, "--template", template]);
        let told = rig.exits(0, &["check", &file]);
        assert!(told.out.starts_with(&format!("{template}: valid")), "{}", told.out);
        assert_eq!(rig.exits(0, &["new", "-", "--template", template]).out, rig.text(&file));
    }
    rig.put("minimal.toml", "mine");
    let told = rig.exits(2, &["new", "minimal.toml"]);
    assert!(told.err.contains("minimal.toml is there already"), "{}", told.err);
    let told = rig.exits(2, &["new", "other.toml", "--template", "trace"]);
    assert!(told.err.contains("orders.csv is there already"), "also files beside it: {}", told.err);
    assert_eq!(rig.text("minimal.toml"), "mine");
    rig.exits(0, &["new", "minimal.toml", "--force"]);
    rig.exits(0, &["check", "minimal.toml"]);
}
