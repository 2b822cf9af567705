//! The texts of the random scenarios: a demand that any contender can serve, one contender of each model, and faults.

use crate::contenders;
use crate::writer::Writer;

/// Every model under one small demand.
pub fn mixed(seed: u64) -> String {
    let mut writer = Writer::new(seed, "swarm", "14s");
    let (applications, is_keyed) = demand(&mut writer, true);
    contenders::queue(&mut writer);
    contenders::fanout(&mut writer);
    contenders::broadcast(&mut writer);
    contenders::log(&mut writer, is_keyed);
    contenders::share_group(&mut writer);
    contenders::stream(&mut writer);
    faults(&mut writer, &applications, "log");
    writer.into_text()
}

/// Logs whose consumers fail, set records aside, are sent elsewhere, and lose their connections.
pub fn logs(seed: u64) -> String {
    let mut writer = Writer::new(seed, "swarm of logs", "20s");
    let failures = writer.one_of(&["{ poison = 0.1 }", "{ transient = 0.2 }", "{ poison = 0.0 }"]);
    let (rate, consumers) = (5 + writer.below(30), 1 + writer.below(3));
    writer.line(format_args!("[demand]\nrate = \"{rate}/s\"\nkeys = {{ count = 5 }}\nuntil = \"12s\""));
    writer.line(format_args!(
        "[[demand.application]]\nname = \"app0\"\nconsumers = {consumers}\nwork = \"20ms\"\nfailures = {failures}"
    ));
    contenders::log(&mut writer, true);
    retries(&mut writer);
    seeks(&mut writer);
    contenders::stream(&mut writer);
    seeks(&mut writer);
    let applications = [("app0".to_string(), consumers)];
    faults(&mut writer, &applications, "log");
    faults(&mut writer, &applications, "log");
    writer.into_text()
}

/// Logs with copies on several nodes, which go down and come back with their disks or without.
pub fn clusters(seed: u64) -> String {
    let mut writer = Writer::new(seed, "swarm of clusters", "25s");
    let nodes = 2 + writer.below(4);
    writer.line(format_args!("[cluster]\nnodes = {nodes}\nheartbeat_interval = \"300ms\""));
    writer.all_of(&[("session_timeout", &["\"1s\"", "\"3s\""])]);
    writer.some_of(&[("leader_balance_interval", &["\"2s\"", "\"none\""])]);
    let (applications, is_keyed) = demand(&mut writer, true);
    contenders::clustered_log(&mut writer, is_keyed, nodes);
    nodes_go_down(&mut writer, nodes, |writer, node| match writer.below(6) {
        0 => "{ role = \"leader\", of = \"hottest-key\" }".to_owned(),
        1 => "{ role = \"follower-in-sync\", of = \"partition/1\" }".to_owned(),
        _ => format!("\"broker/{node}\""),
    });
    faults(&mut writer, &applications, "log");
    writer.into_text()
}

/// Quorum queues with members on several nodes, likewise.
pub fn quorums(seed: u64) -> String {
    let mut writer = Writer::new(seed, "swarm of quorums", "40s");
    let nodes = 2 + writer.below(4);
    writer.line(format_args!("[cluster]\nnodes = {nodes}"));
    let (applications, _) = demand(&mut writer, false);
    contenders::quorum(&mut writer, "queue", nodes);
    contenders::quorum(&mut writer, "fanout", nodes);
    nodes_go_down(&mut writer, nodes, |_, node| format!("\"broker/{node}\""));
    faults(&mut writer, &applications, "queue");
    writer.into_text()
}

/// Some nodes, chosen as is said, go down for a while.
fn nodes_go_down(writer: &mut Writer, nodes: u64, whom: impl Fn(&mut Writer, u64) -> String) {
    // Half of the clusters keep what two nodes have, as long as their disks do.
    let deeds: &[&str] =
        if writer.once_in(2) { &["crash", "leave"] } else { &["crash", "leave", "power_off", "lose_disk"] };
    for _ in 0..1 + writer.below(3) {
        let (at, node, deed) = (1 + writer.below(14), 1 + writer.below(nodes), writer.one_of(deeds));
        let whom = whom(writer, node);
        writer.line(format_args!("[[fault]]\nat = \"{at}s\"\n{deed} = {whom}"));
        writer.all_of(&[("for", &["\"500ms\"", "\"2s\"", "\"4s\"", "\"6s\""])]);
    }
}

/// What a log does with records on which work fails.
fn retries(writer: &mut Writer) {
    writer.all_of(&[("max_attempts", &["1", "2", "3"])]);
    writer.some_of(&[(
        "retry",
        &[
            "{ attempts = 2, delay = \"1s\" }",
            "{ attempts = 3, delay = \"500ms\", multiplier = 2.0, dead_letter = false }",
            "{ dead_letter = true }",
        ],
    )]);
}

fn seeks(writer: &mut Writer) {
    for _ in 0..writer.below(3) {
        let (at, offset) = (3 + writer.below(12), writer.below(40));
        let to = writer.one_of(&["\"earliest\"", "\"latest\"", "{ time = \"5s\" }", "{ offset = N }"]);
        let to = to.replace('N', &offset.to_string());
        writer.line(format_args!("[[contender.seek]]\nat = \"{at}s\"\napplication = \"app0\"\nto = {to}"));
    }
}

/// The applications with the number of their consumers, and whether messages have keys.
fn demand(writer: &mut Writer, may_answer: bool) -> (Vec<(String, u64)>, bool) {
    let (producers, rate) = (1 + writer.below(3), 5 + writer.below(40));
    writer.line(format_args!("[demand]\nproducers = {producers}\nuntil = \"9s\""));
    match writer.below(3) {
        0 => writer.line(format_args!("schedule = [[\"{rate}/s\", \"3s\"], [\"1/s\", \"2s\"]]")),
        _ => writer.line(format_args!("rate = \"{rate}/s\"")),
    }
    writer.some_of(&[
        (
            "arrivals",
            &["\"constant\"", "{ on = \"1s\", off = \"2s\" }", "{ on = \"1s\", off = \"2s\", gaps = \"constant\" }"],
        ),
        ("size", &["\"100B\"", "{ distribution = \"exponential\", mean = \"2KiB\" }"]),
    ]);
    let is_keyed = !writer.once_in(3);
    if is_keyed {
        writer.all_of(&[(
            "keys",
            &[
                "{ count = 5 }",
                "{ count = 50, distribution = \"zipf\" }",
                "{ count = 9, distribution = \"zipf\", exponent = 2.0 }",
            ],
        )]);
    }
    let has_kinds = writer.once_in(4);
    if has_kinds {
        kinds(writer, is_keyed);
    }
    let applications =
        (0..1 + writer.below(3)).map(|number| application(writer, number, has_kinds, may_answer)).collect();
    (applications, is_keyed)
}

fn kinds(writer: &mut Writer, is_keyed: bool) {
    for name in ["plain", "other"] {
        writer.line(format_args!("[[demand.kind]]\nname = \"{name}\""));
        writer.some_of(&[
            ("share", &["0.5", "3.0"]),
            ("priority", &["0", "3"]),
            ("ttl", &["\"500ms\"", "\"3s\""]),
            ("transient", &["true"]),
            ("headers", &["{ region = \"eu\" }"]),
        ]);
        if is_keyed && name == "other" && writer.once_in(2) {
            writer.line(format_args!("tombstone = true"));
        } else {
            writer.some_of(&[("size", &["\"3KiB\""])]);
        }
    }
}

fn application(writer: &mut Writer, number: u64, has_kinds: bool, may_answer: bool) -> (String, u64) {
    let (name, consumers) = (format!("app{number}"), 1 + writer.below(4));
    writer.line(format_args!("[[demand.application]]\nname = \"{name}\"\nconsumers = {consumers}"));
    let mean = 5 + writer.below(100);
    match writer.below(6) {
        0 => writer.line(format_args!("work = \"{mean}ms\"")),
        1 => writer.line(format_args!("work = {{ distribution = \"erlang\", mean = \"{mean}ms\", shape = 3 }}")),
        2 => writer.line(format_args!("work = {{ distribution = \"lognormal\", mean = \"{mean}ms\", sigma = 0.5 }}")),
        3 => writer.line(format_args!(
            "work = {{ distribution = \"bimodal\", low = \"{mean}ms\", high = \"500ms\", chance = 0.1 }}"
        )),
        _ => writer.line(format_args!("work = {{ distribution = \"exponential\", mean = \"{mean}ms\" }}")),
    }
    if may_answer {
        writer.some_of(&[("answer", &["true", "false"])]);
    }
    writer
        .some_of(&[("failures", &["{ poison = 0.05 }", "{ transient = 0.2 }", "{ poison = 0.02, transient = 0.1 }"])]);
    match writer.below(8) {
        0 => writer.line(format_args!("autoscale = {{ lag = 20, least = 1, every = \"1s\", cooldown = \"2s\" }}")),
        1 | 2 => writer.all_of(&[("joins", &["\"3s\""])]),
        3 => {
            let joins: Vec<String> = (0..consumers).map(|number| format!("\"{number}s\"")).collect();
            writer.line(format_args!("joins = [{}]", joins.join(", ")));
        }
        _ => {}
    }
    if has_kinds {
        writer.some_of(&[("wants", &["[\"plain\"]"])]);
    }
    (name, consumers)
}

/// Some faults; now and then one of them hits one contender alone.
fn faults(writer: &mut Writer, applications: &[(String, u64)], alone: &str) {
    for _ in 0..writer.below(4) {
        let (name, consumers) = &applications[writer.below(applications.len() as u64) as usize];
        let (at, number) = (1 + writer.below(12), 1 + writer.below(*consumers));
        writer.line(format_args!("[[fault]]\nat = \"{at}s\""));
        let deed = writer.one_of(&["crash", "crash", "pause", "slow", "leave", "reset"]);
        match writer.below(10) {
            0 => writer.all_of(&[("crash", &["\"producer/1\"", "\"producer\""])]),
            1 => writer.all_of(&[("replace", &["\"producer/1\""])]),
            2 => writer.all_of(&[("reset", &["\"producer/1\"", "\"producer\""])]),
            5 | 6 => {
                let deed = writer.one_of(&["crash", "crash", "power_off", "power_off", "lose_disk"]);
                writer.line(format_args!("{deed} = \"broker\""));
            }
            3 => {
                let role = writer.one_of(&["most-unsettled", "least-unsettled", "any"]);
                writer.line(format_args!("{deed} = {{ role = \"{role}\", of = \"{name}\" }}"));
                if deed == "slow" {
                    writer.line(format_args!("factor = 5"));
                }
            }
            4 => writer.line(format_args!("leave = \"{name}\"")),
            _ => {
                writer.line(format_args!("{deed} = \"{name}/{number}\""));
                if deed == "slow" {
                    writer.line(format_args!("factor = 5"));
                }
            }
        }
        if !writer.once_in(4) {
            writer.all_of(&[("for", &["\"500ms\"", "\"2s\"", "\"4s\"", "\"6s\""])]);
        }
        writer.some_of(&[("contender", &[&format!("\"{alone}\"")])]);
    }
}
