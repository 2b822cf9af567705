//! What nobody means to do: random keys and clicks, and files that cannot be.

use brokerlab_gui::App;
use brokerlab_lab::Request;
use brokerlab_lab::event::Time;
use eframe::egui::accesskit::Role;
use eframe::egui::{Event, Key, Modifiers, PointerButton, Pos2};
use egui_kittest::Harness;
use egui_kittest::kittest::Queryable;

use super::{CTRL, Window, press, prints, settle, window};

/// Keys that do something, and some that do not. The letters of file names are not among them, so nothing is written but
/// where the test says.
const KEYS: [Key; 25] = [
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
    Key::O,
    Key::Num5,
    Key::Backspace,
    Key::F11,
];
/// How many events each screen takes, and how many of them between two pictures.
const EVENTS: usize = 10_000;
const AT_ONCE: usize = 20;
/// After so many pictures the screen that is tested is opened again, where a key has left it.
const AGAIN: usize = 40;

/// Numbers from a seed (xorshift).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }

    fn place(&mut self) -> Pos2 {
        Pos2::new(self.below(1280) as f32, self.below(800) as f32)
    }

    /// A key, a move of the pointer, a click, a turn of its wheel, or a letter.
    fn events(&mut self) -> Vec<Event> {
        match self.below(10) {
            0..=3 => {
                let modifiers = [Modifiers::NONE, Modifiers::NONE, CTRL, Modifiers::SHIFT][self.below(4)];
                let key = KEYS[self.below(KEYS.len())];
                // Nothing is written into the folder that the test runs in.
                let writes = modifiers.ctrl && key == Key::S;
                let event = |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers };
                if writes { Vec::new() } else { vec![event(true), event(false)] }
            }
            4 => vec![Event::PointerMoved(self.place())],
            5 => vec![Event::Text(["5", "/", "é", "\"", " "][self.below(5)].into())],
            _ => {
                let (modifiers, button) = (Modifiers::NONE, PointerButton::Primary);
                let (pos, to) = (self.place(), self.place());
                // Every other click is a drag.
                let to = if self.below(2) == 0 { pos } else { to };
                let event = |pos, pressed| Event::PointerButton { pos, button, pressed, modifiers };
                vec![Event::PointerMoved(pos), event(pos, true), Event::PointerMoved(to), event(to, false)]
            }
        }
    }
}

/// A click may find the buttons that write files, so they are to write where nothing can be.
fn be_harmless(window: &mut Window) {
    press(window, Modifiers::NONE, Key::Escape);
    press(window, CTRL, Key::E);
    if window.query_by_role_and_label(Role::TextInput, "Folder").is_some() {
        write(window, "Folder", "/dev/null/nowhere");
        write(window, "Scenario file", "/dev/null/nowhere.toml");
    }
    press(window, Modifiers::NONE, Key::Escape);
}

/// Pelts a window; `show` opens the screen that is meant.
fn pelt(seed: u64, mut window: Window, show: impl Fn(&mut Window)) {
    let mut random = Random(seed);
    for frame in 0..EVENTS / AT_ONCE {
        if frame % AGAIN == 0 {
            be_harmless(&mut window);
            show(&mut window);
        }
        let mut count = 0;
        while count < AT_ONCE {
            let events = random.events();
            count += events.len();
            window.input_mut().events.extend(events);
        }
        window.step();
        assert!(window.state().player().time <= Time::MAX);
    }
    settle(&mut window);
    assert!(window.state().finished().is_some(), "seed {seed}: the runs are still there");
}

fn small() -> Window {
    let request = Request { scenario: "one-receiver-or-many".into(), ..Request::default() };
    with_files_by_path(Some(request))
}

/// A window without file dialogs: a random click would open one on the screen of whoever runs the tests.
fn with_files_by_path(request: Option<Request>) -> Window {
    let harness = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(60);
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, request, None).without_file_dialogs());
    settle(&mut window);
    window
}

#[test]
fn nothing_makes_the_first_screen_panic() {
    pelt(0x9E37_79B9_7F4A_7C15, with_files_by_path(None), |_| {});
}

#[test]
fn nothing_makes_the_lanes_and_plots_panic() {
    pelt(0xD1B5_4A32_D192_ED03, small(), |_| {});
}

#[test]
fn nothing_makes_the_help_panic() {
    pelt(0x8CB9_2BA7_2F3D_8DD7, small(), |window| press(window, Modifiers::NONE, Key::F1));
}

#[test]
fn nothing_makes_the_choice_of_a_scenario_panic() {
    pelt(0xAEF1_7502_108E_F2D9, small(), |window| press(window, CTRL, Key::O));
}

/// Writes into a field that has a name, instead of what stands there.
fn write(window: &mut Window, field: &str, text: &str) {
    window.get_by_role_and_label(Role::TextInput, field).click();
    window.run_steps(2);
    press(window, CTRL, Key::A);
    window.get_by_role_and_label(Role::TextInput, field).type_text(text);
    window.run_steps(2);
}

#[test]
fn nothing_makes_the_export_panic() {
    pelt(0x2545_F491_4F6C_DD1D, small(), |window| press(window, CTRL, Key::E));
}

#[test]
fn a_folder_that_cannot_be_written_is_told_and_the_window_stays() {
    let mut window = window("slow-consumer");
    let plain = prints(&window);
    press(&mut window, CTRL, Key::E);
    write(&mut window, "Folder", "/dev/null/nowhere");
    write(&mut window, "Scenario file", "/dev/null/nowhere.toml");
    window.get_by_label("Save").click();
    window.run_steps(3);
    assert!(window.query_by_label_contains("/dev/null/nowhere.toml cannot be written").is_some());
    window.get_by_label("Write the folder").click();
    for _ in 0..2_000 {
        window.step();
        if window.query_by_label_contains("nothing can be written to /dev/null/nowhere").is_some() {
            assert_eq!(prints(&window), plain);
            assert!(window.query_by_label("Play").is_some());
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    panic!("nobody tells that the folder cannot be written");
}

#[test]
fn settings_that_cannot_be_read_are_told_until_somebody_has_read_it() {
    let folder = tempfile::tempdir().expect("there is room");
    let file = folder.path().join("settings.toml");
    std::fs::write(&file, "theme = [").expect("a file can be written");
    let (request, settings) = (Request { scenario: "slow-consumer".into(), ..Request::default() }, Some(file.clone()));
    let harness = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(60);
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), settings));
    settle(&mut window);
    assert!(window.query_by_label_contains("are left aside").is_some());
    press(&mut window, Modifiers::NONE, Key::Escape);
    assert!(window.query_by_label_contains("are left aside").is_none(), "it was read");
}

#[test]
fn a_large_run_asks_first_and_says_how_large() {
    let settings = vec!["demand.rate=\"100000/s\"".to_string()];
    let request = Request { scenario: "slow-consumer".into(), settings, ..Request::default() };
    let harness = Harness::builder().with_size([1280.0, 800.0]).with_max_steps(60);
    let mut window = harness.build_eframe(|cc| App::new(&cc.egui_ctx, Some(request), None));
    settle(&mut window);
    assert!(window.state().finished().is_none());
    assert!(window.query_by_label_contains("million events").is_some());
    window.get_by_label("Leave it").click();
    window.run_steps(3);
    assert!(window.query_by_label_contains("million events").is_none() && window.state().finished().is_none());
}
