//! The program among others: closed pipes, full disks, signals.

use std::io::Write;
use std::process::Stdio;

use super::{Rig, SMALL, contents};

#[test]
fn a_reader_who_has_seen_enough_is_no_failure() {
    let rig = Rig::new();
    let calls = [&["run", "small.toml", "--no-plots", "--out", "out"][..], &["schema"], &["--help"], &["list"]];
    for arguments in calls {
        let mut command = rig.command(arguments);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        drop(child.stdout.take());
        let output = child.wait_with_output().expect("the program ends");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{arguments:?}: {said}");
        assert!(!said.contains("error") && !said.contains("panic"), "{arguments:?}: {said}");
    }
    assert!(rig.path("out/small/summary.csv").exists(), "the work is done all the same");
}

#[test]
#[cfg(target_os = "linux")]
fn a_full_disk_behind_standard_output_is_told() {
    let rig = Rig::new();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let output = rig.command(&["schema"]).stdout(full).output().expect("the program starts");
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.starts_with("error: cannot write to standard output: "), "{said}");
}

#[test]
#[cfg(unix)]
fn an_interrupted_run_leaves_nothing_behind() {
    let rig = Rig::new();
    let mut command = rig.command(&["run", "-", "--out", "out"]);
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the program starts");
    let endless = SMALL.replace("4s", "40000s").replace("50/s", "20000/s").replace("\"60ms\"", "\"50us\"");
    // Longer than any pipe is deep: once it is written, the program is reading, and has set up its handler before.
    let padding = format!("#{}\n", " ".repeat(100)).repeat(20_000);
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all((padding + &endless).as_bytes()).expect("the program reads");
    drop(input);
    let interrupt = std::process::Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupt.expect("every Unix has kill").success());
    assert_eq!(child.wait().expect("the program ends").code(), Some(130));
    assert_eq!(contents(rig.folder.path()).into_keys().collect::<Vec<_>>(), ["small.toml"]);
}

#[test]
fn colours_can_be_declined() {
    let rig = Rig::new();
    let output = rig.command(&["run", "small.toml", "--no-plots"]).env("NO_COLOR", "1").output();
    let output = output.expect("the program starts");
    assert!(output.status.success());
    assert!(!output.stdout.contains(&0x1b) && !output.stderr.contains(&0x1b));
}

#[test]
#[cfg(unix)]
fn the_window_is_started_with_what_was_typed_and_missed_where_it_is_not_installed() {
    let rig = Rig::new();
    let program = rig.path("brokerlab");
    std::fs::copy(env!("CARGO_BIN_EXE_brokerlab"), &program).expect("the program can be copied");
    let call = || {
        let mut command = std::process::Command::new(&program);
        command.args(["gui", "small.toml", "--set", "demand.rate=80/s", "--seed", "7"]).env("PATH", "");
        command.output().expect("the program starts")
    };
    let missing = call();
    assert_eq!(missing.status.code(), Some(2));
    let said = String::from_utf8_lossy(&missing.stderr).into_owned();
    assert!(said.contains("brokerlab-gui is neither beside this program nor on the path"), "{said}");
    rig.put("brokerlab-gui", "#!/bin/sh\necho \"$@\"\nexit 3\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(rig.path("brokerlab-gui"), mode).expect("it is ours");
    let started = call();
    assert_eq!(started.status.code(), Some(3), "its exit code is that of the window");
    assert_eq!(String::from_utf8_lossy(&started.stdout), "small.toml --set demand.rate=80/s --seed=7\n");
}

#[test]
fn a_swarm_is_judged_or_printed() {
    let rig = Rig::new();
    let told = rig.exits(0, &["swarm", "--seeds", "3", "--threads", "2"]);
    assert_eq!(
        told.out,
        "mixed: all 3 hold from seed 0 on\nlogs: all 3 hold from seed 0 on\nclusters: all 3 hold from seed 0 on\n\
         quorums: all 3 hold from seed 0 on\n"
    );
    assert!(told.err.contains("a second on 2 threads"), "{}", told.err);
    let told = rig.exits(0, &["swarm", "--kind", "clusters", "--from", "5", "--seeds", "1", "--print"]);
    rig.put("clusters-5.toml", &told.out);
    rig.exits(0, &["check", "clusters-5.toml"]);
    rig.exits(2, &["swarm", "--seeds", "0"]);
}
