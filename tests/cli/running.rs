//! Running: what is said, what is written, what the exit code tells.

use serde_json::Value;

use super::{Rig, SMALL, contents};

#[test]
fn without_a_command_the_built_in_scenario_is_run() {
    let rig = Rig::new();
    let told = rig.exits(0, &[]);
    for expected in ["A consumer dies", "What happened", "Expectations", "Fingerprints", "report.html"] {
        assert!(told.out.contains(expected), "{expected} is missing:\n{}", told.out);
    }
    let files = rig.files();
    for expected in ["summary.csv", "summary.json", "report.html", "scenario.toml", "plots/backlog.png"] {
        assert!(files.contains(&format!("brokerlab-out/consumer-dies/{expected}")), "{files:?}");
    }
}

#[test]
fn a_run_says_everything_and_writes_whole_files() {
    let rig = Rig::new();
    let told = rig.exits(0, &["run", "small.toml", "--out", "out"]);
    let files: Vec<String> = contents(&rig.path("out/small")).into_keys().collect();
    insta::assert_snapshot!("files_of_a_run", files.join("\n"));
    assert!(told.out.contains("1 s  crash billing/1: billing/1 everywhere"), "{}", told.out);
    assert!(told.out.contains("All 3 hold."), "{}", told.out);
    assert!(told.out.contains("out/small/report.html"), "{}", told.out);
    assert!(!told.out.contains('\x1b'), "no colours where nobody sees them");
    assert_eq!(told.err, "", "no progress where nobody sees it");
}

#[test]
fn the_exit_code_tells_whether_expectations_hold() {
    let rig = Rig::new();
    let told = rig.exits(1, &["run", "small.toml", "--no-plots", "--set", "expect.0.lost=>= 1"]);
    assert!(told.out.contains("FAILS  queue: lost >= 1"), "{}", told.out);
    let told = rig.exits(1, &["run", "small.toml", "--no-plots", "--flip"]);
    assert!(told.out.contains("The flip breaks \"nothing is skipped\", as it should."), "{}", told.out);
    rig.put(
        "unflipped.toml",
        &SMALL.replace("\"contender.queue.ack\" = \"automatic\"", "\"contender.queue.prefetch\" = 3"),
    );
    let told = rig.exits(0, &["run", "unflipped.toml", "--no-plots", "--flip"]);
    assert!(told.out.contains("The flip should break \"nothing is skipped\", but it holds."), "{}", told.out);
    let told = rig.exits(1, &["run", "unflipped.toml", "--no-plots", "--flip", "--set", "expect.0.lost=7"]);
    assert!(told.out.contains("but it holds."), "another expectation fails all the same: {}", told.out);
}

#[test]
fn several_scenarios_are_run_and_the_worst_decides() {
    let rig = Rig::new();
    rig.put("failing.toml", &SMALL.replace("lost = 0", "lost = 7"));
    let told = rig.exits(1, &["run", "failing.toml", "small.toml", "--no-plots", "--out", "out"]);
    assert!(told.out.contains("out/failing") && told.out.contains("out/small"), "{}", told.out);
    let told = rig.exits(2, &["run", "small.toml", "small.toml"]);
    assert!(told.err.contains("two scenarios are called \"small\""), "{}", told.err);
}

#[test]
fn json_is_json_and_talk_goes_elsewhere() {
    let rig = Rig::new();
    let told = rig.exits(0, &["run", "small.toml", "--format", "json", "--no-plots", "--out", "out"]);
    let json: Value = serde_json::from_str(&told.out).expect("standard output is JSON");
    assert_eq!(json["name"], "small");
    assert_eq!(json["contenders"][1]["name"], "log");
    assert!(told.err.contains("out/small"), "{}", told.err);
    assert_eq!(told.out, rig.text("out/small/summary.json"));
    let quiet = rig.exits(0, &["run", "small.toml", "--format", "json", "--no-plots", "--quiet"]);
    assert_eq!((quiet.out, quiet.err.as_str()), (told.out, ""));
}

#[test]
fn one_contender_alone_behaves_as_beside_others() {
    let rig = Rig::new();
    let fingerprints = |arguments: &[&str]| -> Value {
        let base = ["run", "small.toml", "--format", "json", "--no-plots"];
        let told = rig.exits(0, &[&base, arguments].concat());
        let json: Value = serde_json::from_str(&told.out).expect("standard output is JSON");
        json["contenders"].clone()
    };
    let both = fingerprints(&[]);
    assert_eq!(fingerprints(&["--contender", "log"]), Value::Array(vec![both[1].clone()]));
    assert_ne!(fingerprints(&["--seed", "43"]), both);
    assert_ne!(fingerprints(&["--set", "demand.rate=51/s"]), both);
}

#[test]
fn messages_are_written_on_request_and_do_not_outlive_their_run() {
    let rig = Rig::new();
    rig.exits(0, &["run", "small.toml", "--out", "out", "--messages"]);
    let rows = rig.text("out/small/messages.csv").lines().count() - 1;
    let json: Value = serde_json::from_str(&rig.text("out/small/summary.json")).expect("it is JSON");
    assert_eq!(Value::from(rows / 2), json["summary"][0]["offered"], "a row for each message and contender");
    rig.exits(0, &["run", "small.toml", "--out", "out", "--no-plots"]);
    let files = rig.files();
    assert!(!files.iter().any(|name| name.contains("messages.csv") || name.contains("plots/")), "{files:?}");
}

#[test]
fn a_scenario_may_come_from_standard_input() {
    use std::io::Write;
    let rig = Rig::new();
    let mut command = rig.command(&["check", "-"]);
    command.stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().expect("the program starts");
    child.stdin.take().expect("it is piped").write_all(SMALL.as_bytes()).expect("the program reads");
    let output = child.wait_with_output().expect("the program ends");
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"stdin: valid, 2 contenders, 1 application, 1 fault, 2 expectations"));
}

#[test]
fn a_fault_that_finds_nobody_is_told_of() {
    let rig = Rig::new();
    let faults = "[[fault]]\nat = \"1s\"\nleave = \"billing\"\n\n[[fault]]\nat = \"2s\"\n\
                  crash = { role = \"most-unsettled\", of = \"billing\" }\n";
    rig.put("deserted.toml", &format!("{}\n{faults}", SMALL.split("[[fault]]").next().expect("there is a head")));
    let told = rig.exits(0, &["run", "deserted.toml", "--no-plots", "--out", "out"]);
    assert!(told.out.contains("nobody everywhere"), "{}", told.out);
    let rows = rig.text("out/deserted/faults.csv");
    assert!(rows.lines().any(|row| row.contains(",nobody,")), "{rows}");
}

#[test]
fn every_target_is_told_with_best_and_worst() {
    let rig = Rig::new();
    let told = rig.exits(0, &["run", "small.toml", "--no-plots", "--every-target"]);
    let section = told.out.split("The same faults on every target\n").nth(1).expect("there is a section");
    let section = section.split("\n\n").next().expect("it ends somewhere");
    insta::assert_snapshot!("targets_on_the_screen", section);
    // The run of the target that the scenario names is the run itself.
    let value: Value = serde_json::from_str(&rig.text("brokerlab-out/small/summary.json")).expect("it is JSON");
    let find = |rows: &str, key: &str, wanted: &str| -> Value {
        let rows = value[rows].as_array().expect("rows").iter();
        let is_it = |row: &&Value| row["contender"] == "log" && row["application"] == "billing" && row[key] == wanted;
        rows.into_iter().find(is_it).expect("it is there").clone()
    };
    let (target, summary) = (find("targets", "target", "billing/1"), find("summary", "model", "log"));
    for figure in ["lost", "duplicates", "latency_ms_p99", "longest_stall_s"] {
        assert_eq!(target[figure], summary[figure], "{figure}");
    }
    assert!(
        rig.text("brokerlab-out/small/targets.csv").starts_with("contender,application,fault,target,rank,failing,")
    );
    assert!(rig.text("brokerlab-out/small/report.html").contains("Every target of crash billing/1: queue, billing"));
    rig.exits(0, &["verify", "brokerlab-out/small"]);
    // An expectation that fails on any target counts.
    let on_any = ["run", "small.toml", "--no-plots", "--every-target", "--set", "expect.0.latency_max=< 1ms"];
    assert!(rig.exits(1, &on_any).out.contains("Not all hold on every target."));
    rig.exits(0, &["run", "small.toml", "--no-plots"]);
    assert!(!rig.files().iter().any(|file| file.ends_with("targets.csv")), "it would belong to another run");
    let told = rig.exits(2, &["run", "ordering", "--every-target"]);
    assert!(told.err.contains("ordering has no fault that could hit somebody else"), "{}", told.err);
}
