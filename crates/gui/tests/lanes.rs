//! What stands in the lanes, what the panel says of it, and how one moves through time, through the tree of accessible
//! names.

use std::time::Duration;

use brokerlab_gui::App;
use brokerlab_lab::Request;
use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, MouseWheelSource, MouseWheelUnit, Rect, Theme, TouchPhase, vec2};
use egui_kittest::Harness;
use egui_kittest::kittest::{NodeT, Queryable};

type Window = Harness<'static, App>;

/// A window with a scenario in it, at a time, once its runs are there.
fn window(scenario: &str, seconds: f64) -> Window {
    sized([1280.0, 800.0], scenario, seconds)
}

fn sized(size: [f32; 2], scenario: &str, seconds: f64) -> Window {
    let request = Request { scenario: scenario.into(), ..Request::default() };
    let harness = Harness::builder().with_size(size).with_theme(Theme::Light).with_max_steps(60);
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), None));
    for _ in 0..12_000 {
        window.step();
        if !window.state().is_busy() {
            window.run_steps(4);
            window.get_by_role_and_label(Role::Slider, "Virtual time").set_value_accesskit(seconds);
            window.run_steps(4);
            return window;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("the runs do not come to an end");
}

fn click(window: &mut Window, part_of_label: &str) {
    let node = window.get_all_by_label_contains(part_of_label).next();
    node.unwrap_or_else(|| panic!("{part_of_label}")).click();
    window.run_steps(3);
}

/// Chooses a plot for a place.
fn choose(window: &mut Window, plot: &str, place: &str) {
    click(window, &format!("Plot on the {place}: "));
    window.get_by_label(&format!("{plot} on the {place}")).click();
    window.run_steps(3);
}

/// Opens the panel that tells of what is selected.
fn inspect(window: &mut Window) {
    window.get_by_label("Inspector").click();
    window.run_steps(3);
}

#[test]
fn exchanges_stand_before_their_queues_and_tell_where_they_lead() {
    let mut window = window("topic-routing", 20.0);
    let exchange = "exchange events, topic, to payments by payment.*, europe by *.eu, archive by #";
    let room = window.get_by_label(exchange).rect();
    for queue in ["payments", "europe", "archive"] {
        let of_queue = |name: &str| window.get_by_label_contains(name).rect();
        let title: Rect = of_queue(&format!("{queue}, 0 ready"));
        assert!(room.right() < title.left(), "{queue} stands behind the exchange");
    }
    inspect(&mut window);
    click(&mut window, exchange);
    assert!(window.query_by_label("exchange events in topic").is_some(), "only the lane that has it tells of it");
    assert!(window.query_by_label("payments by payment.*").is_some());
    assert!(window.query_by_label("every producer").is_some());
}

#[test]
fn a_queue_tells_its_rules_and_where_its_dead_letters_go() {
    let mut window = window("retries", 50.0);
    let combo = window.get_by_label_contains("Left lane").rect();
    window.get_by_label_contains("Left lane").click();
    window.run_steps(3);
    let entries = window.query_all_by_label("delay-queue");
    entries.max_by(|a, b| a.rect().top().total_cmp(&b.rect().top())).expect("it can be chosen").click();
    window.run_steps(3);
    inspect(&mut window);
    assert!(combo.width() > 50.0);
    click(&mut window, "wait, ");
    assert!(window.query_by_label("wait in delay-queue").is_some());
    assert!(window.query_by_label("messages expire after").is_some() && window.query_by_label("2s").is_some());
    assert!(window.query_by_label("dead letters go to").is_some());
}

#[test]
fn an_application_tells_of_its_group_in_every_lane() {
    let mut window = window("consumer-dies", 40.0);
    inspect(&mut window);
    click(&mut window, "billing, ");
    let lanes = window.state().finished().expect("there are runs").lanes.len();
    assert_eq!(window.query_all_by_label_contains("billing in ").count(), lanes);
    assert_eq!(window.query_all_by_label("consumers up").count(), lanes);
    assert!(window.query_all_by_label("lag").count() >= 1, "a log tells how far behind its group is");
}

#[test]
fn a_consumer_tells_its_work_and_the_message_can_be_followed_from_there() {
    let mut window = window("slow-consumer", 40.0);
    inspect(&mut window);
    click(&mut window, "billing/1, ");
    assert!(window.query_all_by_label("works on").count() >= 2);
    let work = window.query_all_by_label_contains("message ").find(|node| node.rect().left() > 990.0);
    work.expect("somebody works").click();
    window.run_steps(3);
    assert!(window.query_by_label_contains("Message ").is_some(), "its life is told");
    assert!(window.query_all_by_label("is to be sent").count() >= 2, "in every lane");
}

#[test]
fn a_time_can_be_asked_for_and_what_is_none_is_refused() {
    let mut window = window("slow-consumer", 0.0);
    for (text, seconds) in [("12.5s", 12.5), ("1m", 60.0), ("1:30", 90.0)] {
        window.key_press(Key::G);
        window.run_steps(4);
        window.get_by_role_and_label(Role::TextInput, "Time").type_text(text);
        window.run_steps(2);
        window.key_press(Key::Enter);
        window.run_steps(4);
        assert_eq!(window.state().player().time.as_nanos() as f64 / 1e9, seconds, "{text}");
        assert!(window.query_by_role_and_label(Role::TextInput, "Time").is_none(), "the question is gone");
    }
    window.key_press(Key::G);
    window.run_steps(4);
    window.get_by_role_and_label(Role::TextInput, "Time").type_text("soon");
    window.run_steps(2);
    window.get_by_label("Go").click();
    window.run_steps(4);
    assert!(window.query_by_label_contains("is no time").is_some());
}

#[test]
fn the_wheel_looks_closer_at_the_line_and_a_click_shows_all_again() {
    let mut window = window("slow-consumer", 60.0);
    assert!(window.query_by_label_contains("show all").is_none());
    let line = window.get_by_role_and_label(Role::Slider, "Virtual time").rect();
    window.hover_at(line.center());
    window.run_steps(2);
    for _ in 0..3 {
        window.event(Event::MouseWheel {
            unit: MouseWheelUnit::Point,
            delta: vec2(0.0, 200.0),
            phase: TouchPhase::Move,
            modifiers: Modifiers::NONE,
            source: MouseWheelSource::Wheel,
        });
        window.run_steps(20);
    }
    window.run_steps(10);
    let told = window.get_by_label_contains("show all").rect();
    assert!(told.right() <= 1280.0);
    assert_eq!(window.state().player().time.as_nanos(), 60_000_000_000, "looking closer moves no time");
    window.get_by_role_and_label(Role::Slider, "Virtual time").set_value_accesskit(61.0);
    window.run_steps(4);
    assert_eq!(window.state().player().time.as_nanos(), 61_000_000_000);
    window.get_by_label_contains("show all").click();
    window.run_steps(4);
    assert!(window.query_by_label_contains("show all").is_none());
}

#[test]
fn the_backlog_has_two_units_and_latencies_have_percentiles() {
    let mut window = window("slow-consumer", 40.0);
    choose(&mut window, "Backlog", "left");
    let of_messages = |window: &Window| window.query_all_by_label_contains("backlog plot at t = 40.00 s").count();
    let before = of_messages(&window);
    window.get_by_label("in seconds on the left").click();
    window.run_steps(3);
    let told = window.get_by_label_contains("backlog-age plot at t = 40.00 s");
    assert!(told.rect().left() < 400.0, "on the left");
    assert_eq!(of_messages(&window), before - 1, "in place of the other");
    choose(&mut window, "Latency", "right");
    assert!(window.query_by_label("p99.9").is_some());
    window.get_by_label("percentiles").click();
    window.run_steps(3);
    assert!(window.query_by_label("p99.9").is_none());
}

#[test]
fn a_large_window_shows_four_plots_and_none_of_them_twice() {
    let mut window = sized([1920.0, 1080.0], "slow-consumer", 40.0);
    let shown = |window: &Window| {
        let at = |place: &str| {
            let list = format!("Plot on the {place}: ");
            window.get_by_label_contains(&list).accesskit_node().label().expect("it has a name").replace(&list, "")
        };
        ["upper left", "upper right", "lower left", "lower right"].map(at)
    };
    assert_eq!(shown(&window), ["Latency", "Backlog", "Throughput", "Delivery"]);
    choose(&mut window, "Throughput", "upper right");
    assert_eq!(shown(&window), ["Latency", "Throughput", "Backlog", "Delivery"], "they change places");
    let window = sized([1024.0, 700.0], "slow-consumer", 40.0);
    assert!(window.query_by_label_contains("Plot on the lower left: ").is_none());
    assert!(window.query_by_label_contains("Plot on the left: Latency").is_some());
}
