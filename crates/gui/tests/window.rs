//! The window as somebody meets it who uses keys, or a screen reader: through the tree of accessible names.

use std::collections::BTreeSet;
use std::time::Duration;

use brokerlab_gui::App;
use brokerlab_lab::analysis::View;
use brokerlab_lab::event::Time;
use brokerlab_lab::reporting::Body;
use brokerlab_lab::{Keep, Request};
use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2, Theme};
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
            window.get_by_label(&format!("{plot} on the right")).click();
            window.run_steps(3);
        }
        let finished = window.state().finished().expect("there are runs");
        for lane in &finished.lanes {
            assert!(lane.timeline.log().len() > 100, "{scenario}");
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
        let offers = records.filter(|record| matches!(record.event(), brokerlab_lab::event::Event::Offered { .. }));
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

#[test]
fn without_motion_only_figures_change() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "motion = \"none\"\n").expect("a file can be written");
    let request = Request { scenario: "slow-consumer".into(), ..Request::default() };
    let mut window = Harness::builder()
        .with_size([1280.0, 800.0])
        .build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), Some(file)));
    settle(&mut window);
    assert!(window.query_by_label_contains("settings").is_none(), "the settings were understood");
    press(&mut window, Modifiers::NONE, Key::Space);
    window.run_steps(5);
    assert!(seconds(&window) > 0.0);
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

/// Five thousand keys and clicks from a seed, two to a frame.
#[test]
fn no_keys_and_no_clicks_make_it_panic() {
    let mut window = window("one-receiver-or-many");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut random = move |below: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % below
    };
    let keys = [
        Key::Space,
        Key::ArrowLeft,
        Key::ArrowRight,
        Key::Home,
        Key::End,
        Key::K,
        Key::S,
        Key::P,
        Key::N,
        Key::T,
        Key::F9,
        Key::OpenBracket,
        Key::CloseBracket,
        Key::Minus,
        Key::Comma,
        Key::Tab,
        Key::Enter,
        Key::Escape,
        Key::F1,
        Key::Z,
        Key::Y,
        Key::E,
        Key::O,
        Key::Num5,
        Key::Backspace,
    ];
    for frame in 0..2_500 {
        for _ in 0..2 {
            match random(4) {
                0 | 1 => {
                    // Nothing is written into the folder that the test runs in.
                    let modifiers = [Modifiers::NONE, Modifiers::NONE, CTRL, Modifiers::SHIFT][random(4) as usize];
                    let key = keys[random(keys.len() as u64) as usize];
                    if !(modifiers.ctrl && key == Key::S) {
                        window.key_press_modifiers(modifiers, key);
                    }
                }
                2 => window.hover_at(Pos2::new(random(1280) as f32, random(800) as f32)),
                _ => {
                    let pos = Pos2::new(random(1280) as f32, 40.0 + random(760) as f32);
                    for pressed in [true, false] {
                        window.event(Event::PointerButton {
                            pos,
                            button: PointerButton::Primary,
                            pressed,
                            modifiers: Modifiers::NONE,
                        });
                    }
                }
            }
        }
        window.step();
        if frame % 100 == 0 {
            assert!(window.state().player().time <= Time::MAX);
        }
    }
    settle(&mut window);
}
