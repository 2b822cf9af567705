//! How fast the window is, without a screen, with four plots below the lanes: what a frame costs the processor (layout,
//! shapes, triangles), and how long one waits. The limits are those of a person: 60 pictures a second, an answer that seems immediate, a start that does
//! not make anybody look elsewhere. Ends with 1 where one of them is broken.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use brokerlab_gui::App;
use brokerlab_lab::Request;
use eframe::App as _;
use eframe::egui::{Context, Event, Key, Modifiers, PointerButton, Pos2, RawInput, Rect, ViewportId, pos2, vec2};

const SIZE: (f32, f32) = (1280.0, 800.0);
/// Where the line of time is.
const LINE: (f32, f32) = (18.0, 1262.0);

/// A window that nobody sees.
struct Window {
    ctx: Context,
    app: App,
    frame: eframe::Frame,
    time: f64,
    /// Where it remembers that four plots are shown.
    _settings: tempfile::TempDir,
    /// When it wants to be painted again.
    again: Duration,
}

impl Window {
    fn open(request: Option<Request>) -> Window {
        let ctx = Context::default();
        let folder = tempfile::tempdir().expect("there is a place for temporary files");
        let settings = folder.path().join("settings.toml");
        std::fs::write(&settings, "plots = \"four\"\n").expect("it can be written to");
        let app = App::new(&ctx, request, Some(settings));
        let frame = eframe::Frame::_new_kittest();
        Window { ctx, app, frame, time: 0.0, _settings: folder, again: Duration::ZERO }
    }

    /// Paints once, a 60th of a second after the last time, and tells how long that took.
    fn paint(&mut self, events: Vec<Event>) -> Duration {
        self.time += 1.0 / 60.0;
        let screen_rect = Some(Rect::from_min_size(Pos2::ZERO, vec2(SIZE.0, SIZE.1)));
        let input =
            RawInput { screen_rect, time: Some(self.time), predicted_dt: 1.0 / 60.0, events, ..RawInput::default() };
        let begun = Instant::now();
        let mut output = self.ctx.run_ui(input, |ui| self.app.ui(ui, &mut self.frame));
        let shapes = std::mem::take(&mut output.shapes);
        let triangles = self.ctx.tessellate(shapes, output.pixels_per_point);
        let took = begun.elapsed();
        assert!(!triangles.is_empty(), "there is something to see");
        output.textures_delta.clear();
        self.again = output.viewport_output[&ViewportId::ROOT].repaint_delay;
        took
    }

    /// Waits for what goes on aside.
    fn settle(&mut self) {
        while self.app.is_busy() {
            self.paint(Vec::new());
            std::thread::sleep(Duration::from_millis(5));
        }
        self.idle(10);
    }

    /// So many pictures in which nobody does anything.
    fn idle(&mut self, pictures: usize) {
        for _ in 0..pictures {
            self.paint(Vec::new());
        }
    }

    fn press(&mut self, key: Key) -> Duration {
        let event =
            |pressed| Event::Key { key, physical_key: None, pressed, repeat: false, modifiers: Modifiers::NONE };
        self.paint(vec![event(true), event(false)])
    }

    /// A click, with the picture that it leads to.
    fn click(&mut self, pos: Pos2) -> Duration {
        let button =
            |pressed| Event::PointerButton { pos, button: PointerButton::Primary, pressed, modifiers: Modifiers::NONE };
        let moved = self.paint(vec![Event::PointerMoved(pos)]);
        moved + self.paint(vec![button(true)]) + self.paint(vec![button(false)])
    }

    fn events(&self) -> usize {
        self.app.finished().map_or(0, |finished| finished.events())
    }
}

/// A demand of so many messages a second for a minute, through a queue and a log.
fn demand(rate: u32) -> Request {
    let work = format!("demand.application.billing.work=\"{}us\"", 2_000_000 / rate);
    let settings = vec![format!("demand.rate=\"{rate}/s\""), work];
    Request { scenario: "scaling".into(), settings, ..Request::default() }
}

fn at(times: &mut [Duration], part: f64) -> Duration {
    times.sort_unstable();
    times[((times.len() - 1) as f64 * part).round() as usize]
}

/// What was measured, and its limits.
struct Table {
    holds: bool,
}

impl Table {
    fn row(&mut self, name: &str, mut times: Vec<Duration>, limit: Duration) {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let (median, late) = (at(&mut times, 0.5), at(&mut times, 0.99));
        let holds = median < limit;
        self.holds &= holds;
        println!(
            "{name:<58} {:>9.2} {:>9.2} {:>8.0}  {}",
            millis(median),
            millis(late),
            millis(limit),
            if holds { "holds" } else { "BROKEN" }
        );
    }
}

fn main() -> ExitCode {
    println!("{:<58} {:>9} {:>9} {:>8}", "milliseconds, 1280x800", "median", "p99", "limit");
    let mut table = Table { holds: true };
    start(&mut table);
    play(&mut table);
    seek(&mut table);
    if table.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// From nothing to the picture of the built-in run.
fn start(table: &mut Table) {
    let once = || {
        let begun = Instant::now();
        let mut window = Window::open(None);
        while window.app.finished().is_none() {
            window.paint(Vec::new());
            std::thread::sleep(Duration::from_millis(1));
        }
        window.paint(Vec::new());
        begun.elapsed()
    };
    table.row(
        "start, until the built-in run is on the screen",
        (0..5).map(|_| once()).collect(),
        Duration::from_secs(3),
    );
}

/// While it plays, and while it stands still.
fn play(table: &mut Table) {
    let mut window = Window::open(Some(demand(1_000)));
    window.settle();
    let millions = window.events() as f64 / 1e6;
    let limit = Duration::from_millis(16);
    for (speed, keys) in [("1x", 0), ("256x", 8)] {
        // From the middle, where both lanes hold most.
        window.click(pos2((LINE.0 + LINE.1) / 2.0, 760.0));
        for _ in 0..keys {
            window.press(Key::CloseBracket);
        }
        window.press(Key::Space);
        let before = window.app.player().time;
        let times = (0..300).map(|_| window.paint(Vec::new())).collect();
        assert!(window.app.player().time > before, "it plays");
        table.row(&format!("a frame while playing at {speed}, {millions:.1} million events"), times, limit);
        if window.app.player().playing {
            window.press(Key::Space);
        }
    }
    window.idle(60);
    assert!(window.again > Duration::from_millis(900), "it wants to be painted again after {:?}", window.again);
    println!("idle: painted again only when something happens");
}

/// A click somewhere on the line of time, in a long run.
fn seek(table: &mut Table) {
    let mut window = Window::open(Some(demand(10_000)));
    window.settle();
    let millions = window.events() as f64 / 1e6;
    let mut place = 0.5f32;
    let mut jump = || {
        // The golden ratio never comes near where it was.
        place = (place + 0.618_034).fract();
        window.click(pos2(LINE.0 + (LINE.1 - LINE.0) * place, 760.0))
    };
    let times: Vec<Duration> = (0..200).map(|_| jump()).collect();
    table.row(&format!("a click on the line of time, {millions:.1} million events"), times, Duration::from_millis(50));
}
