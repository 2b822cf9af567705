//! Opens the desktop lab.

use std::process::ExitCode;

use brokerlab_gui::{App, platform};
use brokerlab_lab::Request;
use clap::Parser;
use eframe::egui::ViewportBuilder;

/// The desktop lab: the same messages and the same faults through a queue and through a log.
#[derive(Parser)]
#[command(
    version,
    after_help = "Examples:\n  brokerlab-gui\n  brokerlab-gui burst\n  brokerlab-gui my.toml --set demand.rate=80/s"
)]
struct Arguments {
    /// The name of a bundled scenario, or a scenario file.
    scenario: Option<String>,
    /// A change to the scenario, such as demand.rate=80/s; may be given several times.
    #[arg(long = "set", value_name = "PATH=VALUE")]
    settings: Vec<String>,
    /// Another seed.
    #[arg(long)]
    seed: Option<u64>,
    /// The width and height of the window, such as 1280x800.
    #[arg(long, value_parser = size, default_value = "1280x800")]
    size: (f32, f32),
}

fn size(text: &str) -> Result<(f32, f32), String> {
    let wrong = || format!("a size is written like 1280x800, found \"{text}\"");
    let (width, height) = text.split_once('x').ok_or_else(wrong)?;
    let side = |text: &str| text.parse::<u16>().ok().filter(|side| (400..=8000).contains(side)).map(f32::from);
    Ok((side(width).ok_or_else(wrong)?, side(height).ok_or_else(wrong)?))
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let is_default = arguments.scenario.is_none() && arguments.settings.is_empty() && arguments.seed.is_none();
    let request = (!is_default).then(|| Request {
        scenario: arguments.scenario.unwrap_or("consumer-dies".into()),
        settings: arguments.settings,
        seed: arguments.seed,
        ..Request::default()
    });
    let viewport = ViewportBuilder::default()
        .with_title("brokerlab")
        .with_inner_size([arguments.size.0, arguments.size.1])
        .with_min_inner_size([1024.0, 700.0]);
    let options = eframe::NativeOptions { viewport, ..Default::default() };
    let file = platform::settings_file();
    match eframe::run_native("brokerlab", options, Box::new(|cc| Ok(Box::new(App::new(&cc.egui_ctx, request, file))))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: no window can be opened: {error}");
            eprintln!("without one, the same runs are made by: brokerlab run");
            ExitCode::from(2)
        }
    }
}
