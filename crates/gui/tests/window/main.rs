//! The window as somebody meets it who uses keys, or a screen reader: through the tree of accessible names. Every harness
//! refuses a control without a name and a letter that no font has.
//!
//! | what must hold | kept by |
//! |---|---|
//! | every screen has names and glyphs | `every_screen_has_names_and_glyphs` |
//! | Tab reaches every control once, the bar first | `tab_reaches_every_control_once_and_the_bar_first` |
//! | Space plays, unless a text is written | `space_plays_and_pauses_unless_a_text_is_written` |
//! | one time for lanes, plots and labels | `the_slider_moves_every_lane_and_every_plot` |
//! | a step back leads to exactly the state before | `steps_forth_and_back_lead_to_exactly_the_state_before` |
//! | the picture follows from the time alone | `the_picture_depends_on_nothing_but_the_time` |
//! | a poke changes nothing before it and can be undone | `a_poke_reaches_every_lane_leaves_what_came_before_and_can_be_undone` |
//! | a poke reaches one lane where that is asked | `a_poke_at_one_lane_leaves_the_others` |
//! | the same demand for everybody, a fate for every message | `contenders_share_the_demand_and_every_message_has_a_fate` |
//! | what is exported is what the command line writes | `what_is_exported_is_what_the_headless_tool_writes`, `.ci/window` |
//! | contrast | `report/palette.rs`, `gui/style.rs` |
//! | without motion only figures change; idle paints nothing | `without_motion_no_message_travels`, `nothing_is_painted_where_nothing_happens` |
//! | a frame, a seek and a start are fast | `gui/benches/window.rs` |
//! | a real window opens, takes keys, exports and closes | `.ci/window` |
//! | what is wrong is told and the window stays | `what_cannot_be_opened_is_told_and_the_window_stays`, `robust` |
//! | nothing that is pressed or clicked makes it panic | `robust` |

mod consumers;
mod robust;
mod tables;

use std::collections::BTreeSet;
use std::time::Duration;

use brokerlab_gui::App;
use brokerlab_lab::analysis::View;
use brokerlab_lab::event::{Event as LabEvent, Record};
use brokerlab_lab::reporting::Body;
use brokerlab_lab::{Keep, Request};
use eframe::egui::accesskit::Role;
use eframe::egui::{Color32, Key, Modifiers, Pos2, Rect, Shape, Theme};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

type Window = Harness<'static, App>;

/// The Ctrl key as windows report it.
const CTRL: Modifiers = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };

/// A window with a scenario in it, once its runs are there.
fn window(scenario: &str) -> Window {
    sized(scenario, (1280.0, 800.0))
}

fn sized(scenario: &str, (width, height): (f32, f32)) -> Window {
    let request = Request { scenario: scenario.into(), ..Request::default() };
    let harness = Harness::builder().with_size([width, height]).with_theme(Theme::Light).with_max_steps(60);
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), None));
    settle(&mut window);
    window
}

/// Waits for what goes on aside.
fn settle(window: &mut Window) {
    for _ in 0..12_000 {
        window.step();
        if !window.state().is_busy() {
            window.run_steps(4);
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the runs do not come to an end");
}

fn views(window: &Window) -> Vec<View> {
    let finished = window.state().finished().expect("there are runs");
    finished.lanes.iter().map(|lane| lane.timeline.view().clone()).collect()
}

fn prints(window: &Window) -> Vec<u64> {
    let finished = window.state().finished().expect("there are runs");
    finished.outcome.runs.iter().map(|run| run.fingerprint.full()).collect()
}

fn seconds(window: &Window) -> f64 {
    window.state().player().time.as_nanos() as f64 / 1e9
}

/// Chooses a plot for a place.
fn choose(window: &mut Window, plot: &str, place: &str) {
    window.get_by_label_contains(&format!("Plot on the {place}: ")).click();
    window.run_steps(3);
    window.get_by_label(&format!("{plot} on the {place}")).click();
    window.run_steps(3);
}

fn go_to(window: &mut Window, seconds: f64) {
    window.get_by_role_and_label(Role::Slider, "Virtual time").set_value_accesskit(seconds);
    window.run_steps(4);
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run_steps(3);
}

#[test]
fn every_scenario_of_the_library_opens_and_shows_every_plot() {
    // Small and different ones; all of them run headless elsewhere.
    for scenario in ["consumer-dies", "one-receiver-or-many", "slow-consumer", "share-group", "retries"] {
        let mut window = window(scenario);
        go_to(&mut window, 5.0);
        for plot in ["Backlog", "Delivery", "Latency", "Throughput", "Storage", "Ordering"] {
            choose(&mut window, plot, "right");
            window.run_steps(3);
        }
        let finished = window.state().finished().expect("there are runs");
        for lane in &finished.lanes {
            assert!(lane.timeline.log().len() > 100, "{scenario}");
        }
    }
}

/// Goes everywhere; whoever paints a control without a name, or a letter that no font has, makes the harness panic.
#[test]
fn every_screen_has_names_and_glyphs() {
    for theme in [Theme::Light, Theme::Dark] {
        let harness = Harness::builder().with_size([1024.0, 700.0]).with_theme(theme).with_max_steps(60);
        let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, None, None));
        settle(&mut window);
        assert!(window.query_by_label("Open scenario").is_some());
        for (modifiers, key, title) in [
            (Modifiers::NONE, Key::F1, "Help and settings"),
            (CTRL, Key::E, "Export"),
            (CTRL, Key::O, "Open a scenario"),
        ] {
            press(&mut window, modifiers, key);
            assert!(window.query_all_by_label(title).count() > 0, "{title}");
            press(&mut window, Modifiers::NONE, Key::Escape);
        }
        window.get_by_label("Compare queue and log").click();
        window.run_steps(3);
        press(&mut window, Modifiers::NONE, Key::F9);
        for tab in ["Story", "What if", "Inspector"] {
            window.get_by_label(tab).click();
            window.run_steps(3);
        }
        // What a node says when the pointer rests on it is text, too.
        let nodes = window.query_all_by_role(Role::Button).filter(|node| node.rect().top() > 100.0);
        let places: Vec<Pos2> = nodes.map(|node| node.rect().center()).collect();
        for place in places {
            window.hover_at(place);
            window.run_steps(2);
        }
    }
}

#[test]
fn space_plays_and_pauses_unless_a_text_is_written() {
    let mut window = window("consumer-dies");
    assert!(window.query_by_label("Play").is_some());
    press(&mut window, Modifiers::NONE, Key::Space);
    assert!(window.query_by_label("Pause").is_some() && window.state().player().playing);
    window.run_steps(5);
    let reached = seconds(&window);
    assert!(reached > 0.0, "time goes on");
    press(&mut window, Modifiers::NONE, Key::Space);
    assert!(!window.state().player().playing);
    window.get_by_label("What if").click();
    window.run_steps(3);
    window.get_by_role_and_label(Role::TextInput, "demand.rate").click();
    window.run_steps(3);
    press(&mut window, Modifiers::NONE, Key::Space);
    assert!(!window.state().player().playing, "a space in a text is a space");
}

#[test]
fn the_slider_moves_every_lane_and_every_plot() {
    let mut window = window("slow-consumer");
    go_to(&mut window, 40.0);
    assert_eq!(seconds(&window), 40.0);
    assert!(window.query_by_label("t = 40.00 s").is_some());
    let lanes = window.query_all_by_label_contains("lane at t = 40.00 s").count();
    assert_eq!(lanes, 2, "both lanes tell it");
    assert!(window.query_by_label_contains("backlog plot at t = 40.00 s").is_some());
}

#[test]
fn a_click_on_the_line_goes_there_and_so_does_one_on_a_plot_over_time() {
    let mut window = window("slow-consumer");
    window.get_by_role_and_label(Role::Slider, "Virtual time").click();
    window.run_steps(4);
    assert!((seconds(&window) - 60.0).abs() < 1.0, "the middle of 120 s, not {}", seconds(&window));
    let plot = window.get_by_label_contains("backlog plot").rect();
    let at = plot.left_center() + (plot.right_center() - plot.left_center()) * 0.25;
    window.hover_at(at);
    window.run_steps(2);
    window.drag_at(at);
    window.run_steps(1);
    window.drop_at(at);
    window.run_steps(4);
    assert!((25.0..35.0).contains(&seconds(&window)), "a quarter of 120 s, not {}", seconds(&window));
}

#[test]
fn steps_forth_and_back_lead_to_exactly_the_state_before() {
    let mut window = window("consumer-dies");
    go_to(&mut window, 24.0);
    let before = views(&window);
    for _ in 0..25 {
        press(&mut window, CTRL, Key::ArrowRight);
    }
    let events = |views: &[View]| views.iter().map(|view| view.events).sum::<u64>();
    assert_eq!(events(&views(&window)), events(&before) + 25, "one event at a time, of any lane");
    for _ in 0..25 {
        press(&mut window, CTRL, Key::ArrowLeft);
    }
    assert_eq!(views(&window), before);
}

#[test]
fn the_picture_depends_on_nothing_but_the_time() {
    let mut window = window("consumer-dies");
    go_to(&mut window, 24.0);
    let direct = views(&window);
    for time in [100.0, 0.0, 61.5, 24.0] {
        go_to(&mut window, time);
    }
    assert_eq!(views(&window), direct);
}

#[test]
fn a_poke_reaches_every_lane_leaves_what_came_before_and_can_be_undone() {
    let mut window = window("slow-consumer");
    let plain = prints(&window);
    go_to(&mut window, 30.0);
    let before = views(&window);
    for (label, undoing) in [
        ("Kill billing/2", "Restore billing/2"),
        ("Slow billing/2", "Speed up billing/2"),
        ("Pause billing/2", "Resume billing/2"),
        ("Cut off billing/2", "Reconnect billing/2"),
    ] {
        window.get_by_label(label).click();
        settle(&mut window);
        assert!(window.query_by_label(undoing).is_some(), "{label} is on");
        let poked = prints(&window);
        assert!(poked.iter().zip(&plain).all(|(poked, plain)| poked != plain), "{label} reaches every lane");
        assert!(window.query_by_label_contains("Only difference").is_some());
        assert!(window.query_by_label_contains("has changed").is_none(), "what came before is as it was");
        press(&mut window, CTRL, Key::Z);
        settle(&mut window);
        assert_eq!(prints(&window), plain, "{label} is taken back");
        assert_eq!(views(&window), before);
    }
    window.get_by_label("Kill billing/2").click();
    settle(&mut window);
    go_to(&mut window, 31.0);
    assert_eq!(window.query_all_by_label_contains("2 of 3 consumers up").count(), 2);
    window.get_by_label("Restore billing/2").click();
    settle(&mut window);
    go_to(&mut window, 33.0);
    assert_eq!(window.query_all_by_label_contains("3 of 3 consumers up").count(), 2);
}

#[test]
fn a_poke_at_one_lane_leaves_the_others() {
    let mut window = window("slow-consumer");
    let plain = prints(&window);
    go_to(&mut window, 30.0);
    window.get_by_label("Pokes apply to: in each").click();
    window.run_steps(3);
    window.get_by_label("only in log").click();
    window.run_steps(3);
    window.get_by_label("Kill billing/2").click();
    settle(&mut window);
    let differing = prints(&window).iter().zip(&plain).filter(|(a, b)| a != b).count();
    assert_eq!(differing, 1);
}

#[test]
fn contenders_share_the_demand_and_every_message_has_a_fate() {
    let window = window("consumer-dies");
    let finished = window.state().finished().expect("there are runs");
    let offers = |lane: usize| {
        let records = finished.lanes[lane].timeline.log().records().iter();
        let offers = records.filter(|record| matches!(record.event(), LabEvent::Offered { .. }));
        offers.map(|record| (record.time, format!("{:?}", record.event()))).collect::<Vec<_>>()
    };
    assert!(offers(0).len() > 1_000 && offers(0) == offers(1) && offers(0) == offers(2));
    assert!(window.query_by_label_contains(&format!("seed {}", finished.experiment.scenario.seed)).is_some());
    let Body::Matrix(matrix) = &finished.plot("delivery").expect("every run has it").body else {
        panic!("the delivery plot is a matrix");
    };
    for row in &matrix.rows {
        assert_eq!(row.counts.iter().sum::<u64>(), row.total, "{} {}", row.name, row.detail);
    }
}

#[test]
fn what_is_exported_is_what_the_headless_tool_writes() {
    let folder = tempfile::tempdir().expect("there is room");
    let mut window = window("slow-consumer");
    go_to(&mut window, 30.0);
    window.get_by_label("Kill billing/2").click();
    settle(&mut window);
    let finished = window.state().finished().expect("there are runs");
    let scenario = folder.path().join("slow-consumer.toml");
    let text = finished.experiment.scenario.text().to_string();
    std::fs::write(&scenario, text).expect("a file can be written");
    let request = Request { scenario: scenario.display().to_string(), ..Request::default() };
    let headless = brokerlab_lab::Experiment::open(request).expect("what was saved is valid");
    let outcome = headless.run(Keep::default(), &());
    let tables = |files: Vec<(String, Vec<u8>)>| {
        files.into_iter().filter(|(name, _)| name.ends_with(".csv")).collect::<Vec<_>>()
    };
    assert_eq!(tables(outcome.report.files()), tables(finished.outcome.report.files()));
    let command = window.state().shell_command();
    assert!(command.starts_with("brokerlab run slow-consumer --set 'fault+="), "{command}");
}

#[test]
fn a_value_is_changed_and_the_run_before_stays_as_a_ghost() {
    let mut window = window("slow-consumer");
    let plain = prints(&window);
    window.get_by_label("What if").click();
    window.run_steps(3);
    let field = || "contender.fair.prefetch";
    window.get_by_role_and_label(Role::TextInput, "Find a value").click();
    window.run_steps(3);
    window.get_by_role_and_label(Role::TextInput, "Find a value").type_text("fair.prefetch");
    window.run_steps(3);
    window.get_by_role_and_label(Role::TextInput, field()).click();
    window.run_steps(3);
    press(&mut window, CTRL, Key::A);
    window.get_by_role_and_label(Role::TextInput, field()).type_text("0.5");
    window.run_steps(2);
    press(&mut window, Modifiers::NONE, Key::Enter);
    settle(&mut window);
    assert!(window.query_by_label_contains("prefetch must be").is_some(), "what is wrong is told");
    assert_eq!(prints(&window), plain, "and the last good run stays");
    window.get_by_role_and_label(Role::TextInput, field()).click();
    window.run_steps(3);
    press(&mut window, CTRL, Key::A);
    window.get_by_role_and_label(Role::TextInput, field()).type_text("7");
    window.run_steps(2);
    press(&mut window, Modifiers::NONE, Key::Enter);
    settle(&mut window);
    assert!(window.query_by_label_contains("Only difference: contender.fair.prefetch = 7").is_some());
    assert_ne!(prints(&window), plain);
}

#[test]
fn tab_reaches_every_control_once_and_the_bar_first() {
    let mut window = window("slow-consumer");
    let mut seen: Vec<String> = Vec::new();
    for _ in 0..120 {
        press(&mut window, Modifiers::NONE, Key::Tab);
        let focused = window.root().children_recursive().find(|node| node.accesskit_node().is_focused());
        let Some(node) = focused else { continue };
        let node = node.accesskit_node();
        let name = format!(
            "{:?} {} {:?}",
            node.role(),
            node.label().unwrap_or_default(),
            node.raw_bounds().map(|b| b.x0 as i32)
        );
        if seen.first() == Some(&name) {
            break;
        }
        seen.push(name);
    }
    let different: BTreeSet<&String> = seen.iter().collect();
    assert_eq!(different.len(), seen.len(), "{seen:#?}");
    assert!(seen.len() > 25, "{seen:#?}");
    let place =
        |name: &str| seen.iter().position(|seen| seen.contains(name)).unwrap_or_else(|| panic!("{name}: {seen:#?}"));
    assert!(place("Button Start") < place("Virtual time") && place("Virtual time") < place("Story"));
    assert!(place("Story") < place("producer/1"));
}

#[test]
fn nothing_is_painted_where_nothing_happens() {
    let mut window = window("slow-consumer");
    window.run_steps(10);
    // Once everything stands still, the window asks for no frame but now and then.
    let steps = window.try_run().expect("it comes to rest");
    assert!(steps <= 3, "{steps}");
}

/// The circles in the lane of the queue: its messages, its clients, and whatever is on its way.
fn circles(window: &Window) -> Vec<(Pos2, f32, Color32)> {
    fn collect(shape: &Shape, lane: Rect, found: &mut Vec<(Pos2, f32, Color32)>) {
        match shape {
            Shape::Vec(shapes) => shapes.iter().for_each(|shape| collect(shape, lane, found)),
            Shape::Circle(circle) if lane.contains(circle.center) => {
                found.push((circle.center, circle.radius, circle.fill));
            }
            _ => {}
        }
    }
    let lane = window.query_all_by_label_contains("fair lane").next().expect("it is shown").rect();
    let mut found = Vec::new();
    window.output().shapes.iter().for_each(|clipped| collect(&clipped.shape, lane, &mut found));
    found
}

/// Two moments between which nothing happens, while a message of the first lane is on its way to the broker.
fn under_way(window: &Window) -> (f64, f64) {
    let lane = &window.state().finished().expect("there are runs").lanes[0];
    let (records, latency) = (lane.timeline.log().records(), lane.latency.as_nanos());
    let is_alone = |pair: &&[Record]| {
        matches!(pair[0].event(), LabEvent::Sent { .. })
            && pair[0].time.as_nanos() > 10_000_000_000
            && pair[1].time.as_nanos() - pair[0].time.as_nanos() >= latency
    };
    let sent = records.windows(2).find(is_alone).expect("some message is sent alone")[0].time.as_nanos();
    ((sent + latency / 5) as f64 / 1e9, (sent + latency * 3 / 5) as f64 / 1e9)
}

#[test]
fn without_motion_no_message_travels() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("settings.toml");
    for (motion, travels) in [("full", true), ("none", false)] {
        std::fs::write(&file, format!("motion = \"{motion}\"\n")).expect("a file can be written");
        let request = Request { scenario: "slow-consumer".into(), ..Request::default() };
        let settings = Some(file.clone());
        let harness = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(60);
        let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), settings));
        settle(&mut window);
        assert!(window.query_by_label_contains("settings").is_none(), "the settings were understood");
        let (early, late) = under_way(&window);
        go_to(&mut window, early);
        let before = circles(&window);
        go_to(&mut window, late);
        assert!(before.len() >= 5, "five clients");
        assert_eq!(before != circles(&window), travels, "motion is {motion}");
        press(&mut window, Modifiers::NONE, Key::Space);
        window.run_steps(5);
        assert!(seconds(&window) > late, "it plays all the same");
    }
}

#[test]
fn in_greys_nothing_on_the_stage_has_a_colour() {
    let mut window = window("slow-consumer");
    go_to(&mut window, 45.0);
    let coloured = |window: &Window| {
        let all = circles(window);
        assert!(all.len() > 20, "messages wait: {}", all.len());
        let is_grey = |fill: &Color32| fill.r().abs_diff(fill.g()) < 4 && fill.g().abs_diff(fill.b()) < 4;
        all.iter().filter(|(_, _, fill)| !is_grey(fill)).count()
    };
    assert!(coloured(&window) > 0);
    press(&mut window, Modifiers::NONE, Key::F1);
    window.get_by_label("greys").click();
    press(&mut window, Modifiers::NONE, Key::Escape);
    settle(&mut window);
    assert_eq!(coloured(&window), 0);
}

#[test]
fn what_cannot_be_opened_is_told_and_the_window_stays() {
    let mut window = window("slow-consumer");
    let plain = prints(&window);
    press(&mut window, CTRL, Key::O);
    window.get_by_role_and_label(Role::TextInput, "File or name").click();
    window.run_steps(2);
    window.get_by_role_and_label(Role::TextInput, "File or name").type_text("no-such-file.toml");
    window.run_steps(2);
    press(&mut window, Modifiers::NONE, Key::Enter);
    settle(&mut window);
    assert!(window.query_by_label_contains("there is no such file").is_some());
    assert_eq!(prints(&window), plain);
    assert!(window.query_by_label("Play").is_some());
}
