//! Bad input: one clear message, exit code 2, nothing written.

use super::{Rig, SMALL};

fn refused(rig: &Rig, arguments: &[&str], expected: &str) {
    let told = rig.exits(2, arguments);
    assert!(told.err.contains(expected), "{arguments:?} said:\n{}", told.err);
    assert_eq!(told.out, "", "{arguments:?}");
}

#[test]
fn nothing_is_written_on_bad_input() {
    let rig = Rig::new();
    for (arguments, expected) in [
        (&["run", "consumer-dyes"][..], "did you mean \"consumer-dies\"?"),
        (&["run", "consumer-dyes"], "brokerlab list"),
        (&["run", "missing.toml"], "missing.toml: the scenario cannot be read: there is no such file"),
        (&["run", "small.toml", "missing.toml"], "missing.toml"),
        (&["run", "small.toml", "--contender", "que"], "it has queue, log; did you mean \"queue\"?"),
        (&["run", "small.toml", "--set", "demand.rate=-1/s"], "--set demand.rate: "),
        (&["run", "small.toml", "--set", "demand.rat=1/s"], "did you mean \"rate\"?"),
        (&["run", "small.toml", "--seed", "-1"], "-1"),
        (&["run", "small.toml", "--flip", "--contender", "log"], "contender \"queue\", which was left out"),
        (&["run", "small.toml", "--fromat", "json"], "--format"),
        (&["run"], "<SCENARIO>"),
        (&["chek"], "'check'"),
        (&["plot", "out", "--size", "big"], "1280x720"),
        (&["new", "x.toml", "--template", "mini"], "minimal"),
    ] {
        refused(&rig, arguments, expected);
    }
    assert_eq!(rig.files(), Vec::<String>::new());
}

#[test]
fn a_broken_file_is_told_with_line_and_column_and_others_are_still_checked() {
    let rig = Rig::new();
    rig.put("broken.toml", &SMALL.replace("rate = \"50/s\"", "rate = \"fast\""));
    rig.put("unflippable.toml", SMALL.split("[flip]").next().expect("it has a flip"));
    let told = rig.exits(2, &["check", "broken.toml", "small.toml"]);
    assert!(told.err.starts_with("error: broken.toml:8:8: "), "{}", told.err);
    assert!(told.err.contains("^^^^^^"), "{}", told.err);
    assert_eq!(told.out, "small: valid, 2 contenders, 1 application, 1 fault, 2 expectations\n");
    refused(&rig, &["run", "unflippable.toml", "--flip"], "has no [flip]");
}

#[test]
fn a_folder_that_cannot_be_written_is_named_once() {
    let rig = Rig::new();
    let told = rig.exits(2, &["run", "small.toml", "--no-plots", "--out", "small.toml/out"]);
    assert!(told.err.starts_with("error: cannot create the folder small.toml/out/small: "), "{}", told.err);
    assert_eq!(told.err.lines().count(), 1);
    assert!(told.out.contains("What happened"), "what took so long to find out is told all the same");
    assert_eq!(rig.files(), Vec::<String>::new());
    assert_eq!(rig.text("small.toml"), SMALL);
}
