//! Figures as tables.

use brokerlab_lab::analysis::Fate;
use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, OutputCommand};
use egui_kittest::kittest::Queryable;

use super::{Window, go_to, press, window};

/// What was copied in the last frame.
fn copied(window: &Window) -> Option<String> {
    let commands = &window.output().platform_output.commands;
    commands.iter().find_map(|command| match command {
        OutputCommand::CopyText(text) => Some(text.clone()),
        _ => None,
    })
}

/// Shows a plot in the first place.
pub fn choose(window: &mut Window, plot: &str) {
    window.get_by_label_contains("Plot on the left").click();
    window.run_steps(3);
    window.get_by_label(&format!("{plot} on the left")).click();
    window.run_steps(3);
    press(window, Modifiers::NONE, Key::Escape);
}

fn copy(window: &mut Window) -> String {
    window.query_all_by_role_and_label(Role::CheckBox, "as table").next().expect("it can be a table").click();
    window.run_steps(3);
    window.get_by_label("Copy the table on the left").click();
    for _ in 0..3 {
        window.step();
        if let Some(text) = copied(window) {
            return text;
        }
    }
    panic!("nothing was copied");
}

#[test]
fn the_fates_are_a_table_in_which_they_sum_to_what_was_offered() {
    let mut window = window("consumer-dies");
    choose(&mut window, "Delivery");
    let text = copy(&mut window);
    let rows: Vec<Vec<&str>> = text.lines().map(|line| line.split('\t').collect()).collect();
    assert_eq!(rows[0], ["contender", "application", "fate", "messages", "share"]);
    let sums = rows.iter().filter(|row| row[2] == "sum = offered").count();
    let lanes = &window.state().finished().expect("there are runs").lanes;
    let expected: usize = lanes.iter().map(|lane| lane.header.applications.len()).sum();
    assert!(expected > lanes.len(), "there are several applications");
    assert_eq!(sums, expected);
    let (mut sum, mut checked) = (0, 0);
    for row in &rows[1..] {
        let count: u64 = row[3].replace(',', "").parse().expect("a number");
        match row[2] {
            "sum = offered" => {
                assert_eq!((sum, row[4]), (count, "100%"), "{text}");
                checked += 1;
            }
            "redelivered" => sum = 0,
            "repeated" => sum = 0,
            _ => sum += count,
        }
    }
    assert_eq!(checked, sums);
    assert!(window.query_all_by_label("sum = offered").count() > 0, "it is text");
}

#[test]
fn the_figures_of_a_chart_are_a_table() {
    let mut window = window("slow-consumer");
    choose(&mut window, "Backlog");
    let text = copy(&mut window);
    let head = text.lines().next().expect("it has a head");
    assert!(head.starts_with("virtual time (s)\t") && head.contains("log (messages)"), "{head}");
    assert!(
        text.lines().count() > 100 && text.lines().all(|line| line.split('\t').count() == head.split('\t').count())
    );
}

/// How many messages a lane says were lost by now.
fn lost(window: &Window, contender: &str) -> u64 {
    let lanes = &window.state().finished().expect("there are runs").lanes;
    lanes.iter().find(|lane| lane.header.contender == contender).expect("it is there").lost()
}

#[test]
fn what_is_lost_with_the_power_is_counted_message_by_message() {
    let mut window = window("power-loss");
    go_to(&mut window, 59.0);
    assert_eq!(lost(&window, "log"), 0);
    go_to(&mut window, 61.0);
    let fates = &window.state().finished().expect("there are runs").outcome.runs;
    let found = (lost(&window, "log"), lost(&window, "queue"));
    assert_eq!(found, (fates[1].results.total.fates[Fate::Lost], 0));
}
