//! What can be typed.

use std::path::PathBuf;

use brokerlab_lab::reporting::{Format, Options, Theme};
use brokerlab_lab::scenario::TEMPLATES;
use brokerlab_swarm::Kind;
use clap::builder::PossibleValuesParser;
use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

const EXITS: &str = "\
Exit codes: 0 all expectations hold; 1 some do not, or a folder does not verify; 2 bad input or usage.

Without a command the built-in scenario consumer-dies is run.";

/// A laboratory for message brokers: the same demand and the same faults on a queue, a fan-out and a log
#[derive(Parser, Debug)]
#[command(name = "brokerlab", version, after_help = EXITS)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// A command.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// List the scenarios that come with the program
    #[command(after_help = "Example:\n  brokerlab list")]
    List {
        /// Print nothing but names, one a line
        #[arg(long)]
        names: bool,
    },
    /// Run scenarios: compare their contenders, judge their expectations, write tables and plots
    #[command(after_help = RUN_EXAMPLES)]
    Run(RunArgs),
    /// Check that scenarios are valid, without running them
    #[command(after_help = "Example:\n  brokerlab check my.toml --set demand.rate=80/s")]
    Check {
        /// Scenario files (`-` for standard input), or names of bundled scenarios
        #[arg(required = true, value_name = "SCENARIO")]
        scenarios: Vec<String>,
        /// Change a value of the scenario; may be given several times
        #[arg(long = "set", value_name = "PATH=VALUE")]
        settings: Vec<String>,
    },
    /// Draw the plots of a run again, from its tables
    #[command(
        after_help = "Example:\n  brokerlab plot brokerlab-out/consumer-dies --size 1920x1080 --theme dark --out slides"
    )]
    Plot(PlotArgs),
    /// Run again what made a folder, and compare fingerprints and tables
    #[command(after_help = "Example:\n  brokerlab verify brokerlab-out/consumer-dies")]
    Verify {
        /// The folder of a run
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
    /// Write a commented scenario to start from
    #[command(after_help = "Example:\n  brokerlab new my.toml --template compare && brokerlab run my.toml")]
    New {
        /// The file to write (`-` for standard output)
        file: PathBuf,
        /// What to start from
        #[arg(long, value_name = "NAME", default_value = TEMPLATES[0].name, value_parser = templates())]
        template: String,
        /// Replace files that are there already
        #[arg(long)]
        force: bool,
    },
    /// Judge random scenarios: whether books balance, judges agree, and promises hold
    #[command(after_help = SWARM_EXAMPLES)]
    Swarm(SwarmArgs),
    /// Print the JSON Schema of the scenario format, for editors
    #[command(after_help = "Example:\n  brokerlab schema > scenario.schema.json")]
    Schema,
    /// Explain the options of scenario files: what each means, what it may be, and its default
    #[command(after_help = OPTIONS_EXAMPLES)]
    Options {
        /// A section such as `demand`, `application`, `contender.log` or `fault`; without it, the sections are listed
        #[arg(value_name = "SECTION")]
        section: Option<String>,
    },
    /// Open the desktop lab in a window: play, scrub back, kill a consumer, see the contenders diverge
    #[command(
        after_help = "Examples:\n  brokerlab gui\n  brokerlab gui slow-consumer\n  brokerlab gui my.toml --set demand.rate=80/s"
    )]
    Gui {
        /// A scenario file, or the name of a bundled scenario; without it, ways to begin are shown
        #[arg(value_name = "SCENARIO")]
        scenario: Option<String>,
        /// Change a value of the scenario; may be given several times
        #[arg(long = "set", value_name = "PATH=VALUE")]
        settings: Vec<String>,
        /// Another seed
        #[arg(long)]
        seed: Option<u64>,
    },
    /// Print the completions of a shell
    #[command(
        after_help = "Example:\n  brokerlab completions bash > ~/.local/share/bash-completion/completions/brokerlab"
    )]
    Completions {
        /// The shell
        shell: Shell,
    },
}

const OPTIONS_EXAMPLES: &str = "\
Examples:
  brokerlab options
  brokerlab options contender.log
  brokerlab options autoscale";

const RUN_EXAMPLES: &str = "\
Examples:
  brokerlab run consumer-dies
  brokerlab run consumer-dies --set contender.queue.prefetch=1 --set demand.rate=60/s
  brokerlab run my.toml --contender log --seed 7 --format json | jq .summary
  brokerlab run consumer-dies --flip
  brokerlab run leader-dies-acks-1 --every-target

With --flip the exit code tells of the one expectation that the flip is to break: 1 where it fails, as it should, and 0 where it holds nevertheless. With --every-target it is 0 only where all expectations hold on every target.";

/// What `run` is told.
#[derive(Args, Debug)]
pub struct RunArgs {
    /// Scenario files (`-` for standard input), or names of bundled scenarios
    #[arg(required = true, value_name = "SCENARIO")]
    pub scenarios: Vec<String>,
    /// Write a folder for each scenario below this one
    #[arg(long, value_name = "DIR", default_value = "brokerlab-out")]
    pub out: PathBuf,
    /// Run with another seed
    #[arg(long, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Change a value of the scenario; may be given several times
    #[arg(long = "set", value_name = "PATH=VALUE")]
    pub settings: Vec<String>,
    /// Run only this contender; may be given several times
    #[arg(long = "contender", value_name = "NAME")]
    pub contenders: Vec<String>,
    /// Make the one change that flips the outcome
    #[arg(long)]
    pub flip: bool,
    /// Run everything once more for each target that a fault could hit as well (each node for a node or its role, each
    /// consumer for a consumer), and tell the best and the worst; targets.csv has them all
    #[arg(long)]
    pub every_target: bool,
    /// Write messages.csv too: one row for each message, application and contender
    #[arg(long)]
    pub messages: bool,
    /// Draw no plots
    #[arg(long)]
    pub no_plots: bool,
    /// How results are printed: a table, or one JSON document for each scenario
    #[arg(long, value_enum, default_value_t = Output::Table)]
    pub format: Output,
    /// No progress and no remarks, only results and errors
    #[arg(long, short)]
    pub quiet: bool,
}

const SWARM_EXAMPLES: &str = "\
Examples:
  brokerlab swarm --seeds 10000
  brokerlab swarm --kind clusters --from 677 --seeds 1
  brokerlab swarm --kind clusters --from 677 --seeds 1 --print > clusters-677.toml

A seed always makes the same scenario. The exit code is 1 where one breaks something.";

/// What `swarm` is told.
#[derive(Args, Debug)]
pub struct SwarmArgs {
    /// What the scenarios are about; may be given several times [default: all of these]
    #[arg(long = "kind", value_name = "KIND", value_enum)]
    pub kinds: Vec<SwarmKind>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub from: u64,
    /// How many seeds of each kind
    #[arg(long, value_name = "COUNT", default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    pub seeds: u64,
    /// On how many threads [default: as many as the machine has cores]
    #[arg(long, value_name = "COUNT", value_parser = clap::builder::RangedU64ValueParser::<usize>::new().range(1..=1024))]
    pub threads: Option<usize>,
    /// Print the scenarios instead
    #[arg(long)]
    pub print: bool,
    /// No progress and no remarks, only results and errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// What random scenarios are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum SwarmKind {
    /// One contender of every model under one demand
    Mixed,
    /// Logs and streams: failing work, retries, seeks, resets
    Logs,
    /// Logs with copies on several nodes, which go down and come back
    Clusters,
    /// Quorum queues with members on several nodes, likewise
    Quorums,
}

impl SwarmKind {
    pub(crate) fn kind(self) -> Kind {
        match self {
            SwarmKind::Mixed => Kind::Mixed,
            SwarmKind::Logs => Kind::Logs,
            SwarmKind::Clusters => Kind::Clusters,
            SwarmKind::Quorums => Kind::Quorums,
        }
    }
}

/// How results are printed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// For programs.
    Json,
}

/// What `plot` is told.
#[derive(Args, Debug)]
pub struct PlotArgs {
    /// The folder of a run
    #[arg(value_name = "DIR")]
    pub folder: PathBuf,
    /// Width and height in pixels, from 320x240 to 8192x8192
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "1280x720", value_parser = size)]
    pub size: (u32, u32),
    /// Only this format [default: both]
    #[arg(long, value_enum)]
    pub format: Option<PlotFormat>,
    /// Light or dark
    #[arg(long, value_enum, default_value_t = PlotTheme::Light)]
    pub theme: PlotTheme,
    /// Greys instead of colours
    #[arg(long)]
    pub greyscale: bool,
    /// Write the plots below this folder instead of DIR
    #[arg(long, value_name = "DIR")]
    pub out: Option<PathBuf>,
}

/// In which form plots are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PlotFormat {
    /// Scalable.
    Svg,
    /// Pixels.
    Png,
}

/// How plots look.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum PlotTheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

impl PlotArgs {
    /// How the plots are to look.
    pub fn options(&self) -> Options {
        let theme = match self.theme {
            PlotTheme::Light => Theme::Light,
            PlotTheme::Dark => Theme::Dark,
        };
        Options { width: self.size.0, height: self.size.1, theme, greyscale: self.greyscale }
    }

    /// In which forms they are written.
    pub fn formats(&self) -> &'static [Format] {
        match self.format {
            None => &[Format::Svg, Format::Png],
            Some(PlotFormat::Svg) => &[Format::Svg],
            Some(PlotFormat::Png) => &[Format::Png],
        }
    }
}

fn templates() -> PossibleValuesParser {
    TEMPLATES.iter().map(|template| clap::builder::PossibleValue::new(template.name).help(template.about)).into()
}

fn size(text: &str) -> Result<(u32, u32), String> {
    let (width, height) = text.split_once('x').ok_or("a size is written like 1280x720")?;
    let side = |text: &str, least: u32| match text.parse::<u32>() {
        Ok(side) if (least..=8192).contains(&side) => Ok(side),
        _ => Err(format!("found \"{text}\", allowed are whole numbers from {least} to 8192")),
    };
    Ok((side(width, 320)?, side(height, 240)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent_and_have_examples() {
        let command = Cli::command();
        command.clone().debug_assert();
        for command in command.get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("brokerlab "), "{} has no example", command.get_name());
        }
    }

    #[test]
    fn sizes_are_bounded() {
        assert_eq!(size("1280x720"), Ok((1280, 720)));
        for wrong in ["1280", "x", "12x720", "1280x9000", "-1x720"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
