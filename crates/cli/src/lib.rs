//! The command line: typed flags become a request to the laboratory, and its answer becomes text.
//!
//! Results go to standard output, talk to standard error. Exit codes: 0 all expectations hold, 1 some do not, 2 bad
//! input or usage. This crate holds no logic of its own: whatever another front end would need too lives in
//! `brokerlab-lab`.
//!
//! ```
//! use clap::Parser;
//!
//! let cli = brokerlab_cli::Cli::try_parse_from(["brokerlab", "run", "consumer-dies", "--seed", "7"])?;
//! assert!(matches!(cli.command, Some(brokerlab_cli::Command::Run(args)) if args.seed == Some(7)));
//! # Ok::<(), clap::Error>(())
//! ```

mod args;
mod commands;
mod interrupt;
mod progress;
mod run;
mod show;
mod swarm;
mod terminal;

use std::process::ExitCode;

use clap::Parser;

pub use args::{Cli, Command, Output, PlotArgs, PlotFormat, PlotTheme, RunArgs, SwarmArgs, SwarmKind};

/// Some expectations do not hold, or a folder does not verify.
const FAILED: u8 = 1;
/// Bad input or usage.
const BAD_INPUT: u8 = 2;

/// Does what the command line says.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            // Help is told on standard output, and a reader who has left is no failure.
            let _ = told.print();
            return ExitCode::from(told.exit_code() as u8);
        }
    };
    interrupt::watch();
    match execute(cli) {
        Ok(code) => code,
        Err(error) => {
            complain(&error);
            ExitCode::from(BAD_INPUT)
        }
    }
}

fn execute(cli: Cli) -> anyhow::Result<ExitCode> {
    let Some(command) = cli.command else {
        return execute(Cli::parse_from(["brokerlab", "run", "consumer-dies"]));
    };
    match command {
        Command::List { names } => commands::list(names),
        Command::Run(args) => run::run(&args),
        Command::Check { scenarios, settings } => commands::check(scenarios, &settings),
        Command::Plot(args) => commands::plot(&args),
        Command::Verify { folder } => commands::verify_folder(&folder),
        Command::New { file, template, force } => commands::new(&file, &template, force),
        Command::Options { section } => commands::options(section.as_deref()),
        Command::Swarm(args) => swarm::swarm(&args),
        Command::Schema => commands::print_schema(),
        Command::Gui { scenario, settings, seed } => commands::gui(scenario, &settings, seed),
        Command::Completions { shell } => commands::completions(shell),
    }
}

/// Says what went wrong, and why where the message itself does not say it.
fn complain(error: &anyhow::Error) {
    let mut text = format!("error: {error}");
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(&format!(": {cause}"));
        }
    }
    terminal::say(&text);
}
