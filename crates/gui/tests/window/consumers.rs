//! What consumers do over time, and what theory says of them.

use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Shape, vec2};
use egui_kittest::kittest::Queryable;

use super::tables::choose;
use super::{Window, go_to, press, seconds, settle, window};

#[test]
fn each_consumer_has_a_row_that_says_what_it_does() {
    let mut window = window("consumer-dies");
    choose(&mut window, "Consumers");
    go_to(&mut window, 33.0);
    let plot = "consumers plot of queue at t = 33.00 s: ";
    assert!(window.query_by_label_contains(plot).is_some());
    assert!(window.query_by_label_contains("1 down").is_some(), "one of them has died at 30 s");
    let rows = window.query_all_by_label_contains("of the time shown").count();
    assert_eq!(rows, 4, "three of billing and one of audit");
    assert_eq!(window.query_all_by_label_contains("billing/3: down at t = 33.00 s").count(), 1);
    go_to(&mut window, 20.0);
    assert_eq!(window.query_all_by_label_contains("billing/3: down at t = 20.00 s").count(), 0);
    // The other contenders are parts of the same plot.
    window.get_by_label("Part on the left: queue").click();
    window.run_steps(3);
    window.query_all_by_role_and_label(Role::Button, "log").last().expect("it is in the list").click();
    window.run_steps(3);
    assert!(window.query_by_label_contains("consumers plot of log at t = 20.00 s").is_some());
}

#[test]
fn a_click_on_a_row_goes_to_that_time() {
    let mut window = window("consumer-dies");
    choose(&mut window, "Consumers");
    let plot = window.get_by_label_contains("consumers plot").rect();
    let at = plot.left_center() + (plot.right_center() - plot.left_center()) * 0.5;
    window.hover_at(at);
    window.run_steps(2);
    window.drag_at(at);
    window.run_steps(1);
    window.drop_at(at);
    window.run_steps(4);
    assert!((seconds(&window) - 50.0).abs() < 1.0, "the middle of 100 s, not {}", seconds(&window));
}

/// A plain queue with three consumers that can do fifty messages a second together.
fn textbook(rate: u32) -> String {
    format!(
        r#"
        format = 1
        title = "The textbook's queue"
        duration = "100s"
        [demand]
        rate = "{rate}/s"
        application = [{{ name = "server", consumers = 3, work = {{ mean = "60ms", distribution = "exponential" }} }}]
        [[contender]]
        name = "queue"
        model = "queue"
        prefetch = 1
        "#
    )
}

#[test]
fn theory_has_a_line_where_its_assumptions_hold_and_gives_the_reason_where_they_do_not() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("textbook.toml");
    std::fs::write(&file, textbook(40)).expect("a file can be written");
    let stable = window(&file.display().to_string());
    let entries = stable.query_all_by(|node| {
        let is_entry = node.role() == Role::CheckBox;
        is_entry && node.label().is_some_and(|label| label.contains("theory M/M/3, mean"))
    });
    assert_eq!(entries.count(), 2, "in the legends of the backlog and the latency");
    assert!(stable.query_by_label_contains("no theory").is_none());
    std::fs::write(&file, textbook(60)).expect("a file can be written");
    let unstable = window(&file.display().to_string());
    assert!(unstable.query_by_label_contains("theory M/M/3").is_none());
    let reason = "no theory: arrival rate at or above capacity (60/s against 50/s): no steady state";
    assert_eq!(unstable.query_all_by_label(reason).count(), 2);
}

#[test]
fn the_broker_can_be_killed_and_started_again() {
    let mut window = window("slow-consumer");
    go_to(&mut window, 30.0);
    assert!(window.query_by_label_contains("broker down").is_none());
    press(&mut window, Modifiers::NONE, Key::X);
    settle(&mut window);
    go_to(&mut window, 40.0);
    let lanes = |window: &Window| window.query_all_by_label_contains("consumers up, broker down").count();
    assert_eq!(lanes(&window), 2, "in both lanes");
    let is_queue = |label: String| label.contains(" ready, ");
    window
        .query_all_by(|node| node.role() == Role::Button && node.label().is_some_and(is_queue))
        .next()
        .expect("a queue is on the stage")
        .click();
    window.run_steps(3);
    window.get_by_label("Inspector").click();
    window.run_steps(3);
    assert!(window.query_by_label_contains("down: nobody writes or reads").is_some(), "the inspector says it, too");
    press(&mut window, Modifiers::NONE, Key::X);
    settle(&mut window);
    go_to(&mut window, 39.0);
    assert_eq!(lanes(&window), 2);
    go_to(&mut window, 41.0);
    assert_eq!(lanes(&window), 0, "it was started again at 40 s");
    window.get_by_label("Kill broker").click();
    settle(&mut window);
    go_to(&mut window, 42.0);
    assert_eq!(lanes(&window), 2, "by the button, too");
}

/// Faults so close together that their names would run into each other.
const CLOSE: &str = r#"
    [[fault]]
    at = "50s"
    pause = "server/1"
    for = "4s"
    [[fault]]
    at = "51s"
    crash = "broker"
    for = "1s"
"#;

#[test]
fn whoever_points_at_a_fault_reads_what_it_is() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("close.toml");
    std::fs::write(&file, textbook(20) + CLOSE).expect("a file can be written");
    let mut window = window(&file.display().to_string());
    let slider = window.get_by_role_and_label(Role::Slider, "Virtual time").rect();
    let above = slider.center_top() + (slider.right_top() - slider.center_top()) * 0.03 - vec2(0.0, 8.0);
    window.hover_at(above);
    window.run_steps(60);
    let both = "pause server/1 at 50 s, until 54 s\ncrash broker/1 at 51 s, until 52 s";
    assert!(window.query_by_label(both).is_some(), "as a tooltip");
    let painted = |text: &str| window.output().shapes.iter().any(|clipped| has_text(&clipped.shape, text));
    assert!(painted("+1"), "the second has no room for its name, and is counted once for all contenders");
    assert!(!painted("+2") && !painted("+3"));
}

/// Whether this is painted as a text of its own.
fn has_text(shape: &Shape, wanted: &str) -> bool {
    match shape {
        Shape::Vec(shapes) => shapes.iter().any(|shape| has_text(shape, wanted)),
        Shape::Text(text) => text.galley.text() == wanted,
        _ => false,
    }
}
