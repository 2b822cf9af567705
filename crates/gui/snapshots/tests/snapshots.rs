//! Pictures of the window, held against stored ones: both themes, three sizes of screen, few and many of everything.
//!
//! `UPDATE_SNAPSHOTS=1 .ci/snapshots` stores them anew. Then look at each: a picture is right because somebody saw that
//! it is, not because it is stored.

use std::fs::File;
use std::time::Duration;

use brokerlab_gui::App;
use brokerlab_lab::Request;
use eframe::egui::accesskit::Role;
use eframe::egui::{Key, Modifiers, Theme};
use egui_kittest::kittest::{NodeT, Queryable};
use egui_kittest::{Harness, Node, SnapshotResults};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

type Window = Harness<'static, App>;

const SMALL: (f32, f32) = (1024.0, 700.0);
const USUAL: (f32, f32) = (1280.0, 800.0);
const LARGE: (f32, f32) = (1920.0, 1080.0);

/// The Ctrl key as windows report it.
const CTRL: Modifiers = Modifiers { ctrl: true, command: true, ..Modifiers::NONE };

fn request(scenario: &str, settings: &[&str]) -> Request {
    let settings = settings.iter().map(|setting| setting.to_string()).collect();
    Request { scenario: scenario.into(), settings, ..Request::default() }
}

/// A window once its runs are there; without a request it begins with the first screen.
fn open(theme: Theme, (width, height): (f32, f32), request: Option<Request>) -> Window {
    let harness = Harness::builder().with_size([width, height]).with_theme(theme).with_max_steps(60);
    let harness = harness.with_render_cursor(false).wgpu();
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, request, None));
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

fn go_to(window: &mut Window, seconds: f64) {
    window.get_by_role_and_label(Role::Slider, "Virtual time").set_value_accesskit(seconds);
    window.run_steps(4);
}

fn press(window: &mut Window, modifiers: Modifiers, key: Key) {
    window.key_press_modifiers(modifiers, key);
    window.run_steps(4);
}

fn click(window: &mut Window, label: &str) {
    window.get_by_label(label).click_accesskit();
    window.run_steps(4);
}

/// Chooses the plots of the upper, or the only, row.
fn shows(window: &mut Window, left: &str, right: &str) {
    for (side, plot) in [("left", left), ("right", right)] {
        let part = format!("{side}: ");
        let list = window.query_all_by_label_contains(&part).next().expect("there is a list");
        let label = list.accesskit_node().label().expect("it has a name");
        let (_, place) = label.split_once("Plot on the ").expect("that of plots comes first");
        let place = place.split_once(": ").expect("it tells what is chosen").0.to_string();
        click(window, &label);
        click(window, &format!("{plot} on the {place}"));
    }
}

/// The pictures of a test: all are compared before it fails.
#[derive(Default)]
struct Pictures {
    results: SnapshotResults,
}

impl Pictures {
    /// Compares what the window shows with the stored picture, or stores it.
    fn take(&mut self, window: &mut Window, name: &str) {
        self.results.add(window.try_snapshot(name));
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            squeeze(&format!("tests/snapshots/{name}.png"));
        }
    }
}

/// Writes a picture again, with the same pixels in fewer bytes.
fn squeeze(path: &str) {
    let picture = image::open(path).expect("it has just been written");
    let file = File::create(path).expect("it can be written again");
    let encoder = PngEncoder::new_with_quality(file, CompressionType::Best, FilterType::Up);
    picture.to_rgb8().write_with_encoder(encoder).expect("there is room for it");
}

/// Pictures are the same to the pixel only where they were drawn by the same renderer.
#[test]
fn the_renderer_is_the_software_renderer_that_drew_the_stored_pictures() {
    let setup = egui_kittest::wgpu::default_wgpu_setup();
    let state = egui_kittest::wgpu::create_render_state(setup, egui_wgpu::RendererOptions::PREDICTABLE);
    let name = state.adapter.get_info().name;
    assert!(name.starts_with("llvmpipe"), "{name}; install mesa-vulkan-drivers");
}

#[test]
fn start() {
    let mut pictures = Pictures::default();
    pictures.take(&mut open(Theme::Light, USUAL, None), "start-light");
    pictures.take(&mut open(Theme::Dark, SMALL, None), "start-dark");
}

#[test]
fn compare() {
    let mut pictures = Pictures::default();
    for (theme, name) in [(Theme::Light, "compare-light"), (Theme::Dark, "compare-dark")] {
        let mut window = open(theme, USUAL, Some(request("consumer-dies", &[])));
        go_to(&mut window, 33.0);
        pictures.take(&mut window, name);
    }
}

#[test]
fn compare_at_the_start_in_a_small_window() {
    let mut pictures = Pictures::default();
    let mut window = open(Theme::Light, SMALL, Some(request("slow-consumer", &[])));
    pictures.take(&mut window, "compare-at-the-start");
    press(&mut window, Modifiers::NONE, Key::F9);
    go_to(&mut window, 30.0);
    pictures.take(&mut window, "compare-small-with-panel");
}

#[test]
fn compare_at_the_end_in_a_large_window() {
    let mut window = open(Theme::Dark, LARGE, Some(request("consumer-dies", &[])));
    press(&mut window, Modifiers::NONE, Key::End);
    shows(&mut window, "Ordering", "Delivery");
    Pictures::default().take(&mut window, "compare-at-the-end");
}

#[test]
fn one_contender() {
    let mut alone = request("share-group", &[]);
    alone.contenders = vec!["share".into()];
    let mut window = open(Theme::Dark, USUAL, Some(alone));
    go_to(&mut window, 20.0);
    shows(&mut window, "Throughput", "Storage");
    Pictures::default().take(&mut window, "one-contender");
}

#[test]
fn five_contenders_with_long_names() {
    let mut pictures = Pictures::default();
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/five-contenders.toml");
    let mut window = open(Theme::Light, USUAL, Some(request(file, &[])));
    go_to(&mut window, 14.0);
    shows(&mut window, "Delivery", "Backlog");
    pictures.take(&mut window, "five-contenders");
}

#[test]
fn nobody_receives_yet() {
    let mut window = open(Theme::Light, SMALL, Some(request("late-receiver", &[])));
    go_to(&mut window, 5.0);
    Pictures::default().take(&mut window, "nobody-receives-yet");
}

#[test]
fn fifty_consumers() {
    let settings = [
        "demand.application.billing.consumers=50",
        "demand.rate=\"900/s\"",
        "duration=\"20s\"",
        "demand.until=\"15s\"",
    ];
    let mut window = open(Theme::Light, LARGE, Some(request("scaling", &settings)));
    go_to(&mut window, 8.0);
    Pictures::default().take(&mut window, "fifty-consumers");
}

#[test]
fn a_consumer_was_killed_and_a_message_is_followed() {
    let mut pictures = Pictures::default();
    let mut window = open(Theme::Light, USUAL, Some(request("slow-consumer", &[])));
    go_to(&mut window, 30.0);
    click(&mut window, "Kill billing/2");
    settle(&mut window);
    go_to(&mut window, 36.0);
    click(&mut window, "What if");
    shows(&mut window, "Backlog", "Latency");
    pictures.take(&mut window, "after-a-poke");
    click(&mut window, "Inspector");
    // The first consumer works on a message; a click on its number follows it.
    window.query_all_by_label_contains("billing/1, up").next().expect("it is shown").click_accesskit();
    window.run_steps(4);
    window.query_all_by_label_contains("message ").next().expect("it works on one").click_accesskit();
    window.run_steps(4);
    pictures.take(&mut window, "inspector");
}

#[test]
fn export_and_help() {
    let mut pictures = Pictures::default();
    let mut window = open(Theme::Light, SMALL, Some(request("slow-consumer", &[])));
    press(&mut window, CTRL, Key::E);
    pictures.take(&mut window, "export");
    press(&mut window, Modifiers::NONE, Key::Escape);
    press(&mut window, Modifiers::NONE, Key::T);
    press(&mut window, Modifiers::NONE, Key::F1);
    pictures.take(&mut window, "help");
}

#[test]
fn something_is_wrong() {
    let mut window = open(Theme::Dark, SMALL, Some(request("slow-consumer", &[])));
    go_to(&mut window, 60.0);
    press(&mut window, CTRL, Key::O);
    window.get_by_role_and_label(Role::TextInput, "File or name").click();
    window.run_steps(2);
    window.get_by_role_and_label(Role::TextInput, "File or name").type_text("slow-consumr");
    press(&mut window, Modifiers::NONE, Key::Enter);
    settle(&mut window);
    Pictures::default().take(&mut window, "what-is-wrong-is-told");
}

/// Who cannot tell colours apart still sees which system is which: by marks of another shape, each dark enough.
#[test]
fn without_colours_the_systems_are_still_told_apart() {
    for theme in [Theme::Light, Theme::Dark] {
        let mut window = open(theme, USUAL, Some(request("consumer-dies", &[])));
        let picture = image::DynamicImage::from(window.render().expect("there is a renderer")).to_luma8();
        let marks = ["queue", "fanout", "log"].map(|name| {
            let in_legend = |node: &Node<'_>| node.accesskit_node().role() == Role::CheckBox;
            let found = window.get_all_by_label_contains(name).find(in_legend).expect("it stands in the legend").rect();
            // The mark stands on its line, left of the name.
            let (x, y) = (found.left() as u32 - 16, found.center().y as u32);
            let inks = (y - 7..y + 7).flat_map(|y| (x - 8..x + 8).map(move |x| (x, y)));
            inks.map(|(x, y)| picture.get_pixel(x, y).0[0]).collect::<Vec<u8>>()
        });
        let paper = if theme == Theme::Light { 250u8 } else { 27 };
        let is_ink = |grey: &u8| grey.abs_diff(paper) > 60;
        for (index, mark) in marks.iter().enumerate() {
            assert!(mark.iter().filter(|grey| is_ink(grey)).count() > 30, "{theme:?}, {index}: the mark is seen");
            let strongest = mark.iter().map(|grey| contrast(*grey, paper)).fold(1.0, f64::max);
            assert!(strongest >= 3.0, "{theme:?}, {index}: {strongest:.2} to 1 against the paper");
            for (other, shape) in marks.iter().enumerate().skip(index + 1) {
                let differing = mark.iter().zip(shape).filter(|(a, b)| is_ink(a) != is_ink(b)).count();
                assert!(differing >= 8, "{theme:?}: {index} and {other} differ in {differing} pixels only");
            }
        }
    }
}

/// The contrast of two greys, as the Web Content Accessibility Guidelines 2.2 define it: 1 to 21.
fn contrast(a: u8, b: u8) -> f64 {
    let luminance = |grey: u8| {
        let share = f64::from(grey) / 255.0;
        if share <= 0.04045 { share / 12.92 } else { ((share + 0.055) / 1.055).powf(2.4) }
    };
    let (a, b) = (luminance(a), luminance(b));
    (a.max(b) + 0.05) / (a.min(b) + 0.05)
}
