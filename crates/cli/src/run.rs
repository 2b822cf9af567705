//! `run`

use std::path::Path;
use std::process::ExitCode;

use brokerlab_lab::reporting::Options;
use brokerlab_lab::{Experiment, Keep, LabError, Outcome, Request, write};

use crate::args::{Output, RunArgs};
use crate::commands::open;
use crate::interrupt::undisturbed;
use crate::progress::Bars;
use crate::show;
use crate::terminal::{colours, columns, print, say};

/// Runs scenarios one after the other. All are read before the first is run, so that bad input costs nothing.
pub fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let mut experiments: Vec<Experiment> = Vec::new();
    for scenario in &args.scenarios {
        let experiment = open(Request {
            scenario: scenario.clone(),
            settings: args.settings.clone(),
            seed: args.seed,
            contenders: args.contenders.clone(),
            flip: args.flip,
            every_target: args.every_target,
        })?;
        if experiments.iter().any(|other| other.name == experiment.name) {
            return Err(LabError::SameName { name: experiment.name }.into());
        }
        experiments.push(experiment);
    }
    let mut code = ExitCode::SUCCESS;
    for (index, experiment) in experiments.iter().enumerate() {
        let separator = if index > 0 && args.format == Output::Table { "\n\n" } else { "" };
        print(separator)?;
        if !run_one(experiment, args)? {
            code = ExitCode::from(crate::FAILED);
        }
    }
    Ok(code)
}

/// Says whether every expectation holds.
fn run_one(experiment: &Experiment, args: &RunArgs) -> anyhow::Result<bool> {
    let bars = Bars::new(experiment, args.quiet);
    let outcome = experiment.run(Keep { messages: args.messages, events: false }, &bars);
    bars.clear();
    let folder = experiment.folder(&args.out);
    let written = write_outcome(experiment, &outcome, &folder, !args.no_plots);
    // The results are told even where they could not be written: the run may have taken long.
    print(&match args.format {
        Output::Table => show::outcome(experiment, &outcome, columns(), colours()),
        Output::Json => outcome.report.json_text(),
    })?;
    written?;
    let files = show::files(&folder, !args.no_plots);
    match args.format {
        Output::Table => print(&format!("\n{files}\n"))?,
        Output::Json if !args.quiet => say(&files),
        Output::Json => {}
    }
    Ok(outcome.holds())
}

fn write_outcome(experiment: &Experiment, outcome: &Outcome, folder: &Path, plots: bool) -> Result<(), LabError> {
    let options = Options::default();
    let files = experiment.files(outcome, plots.then_some(&options))?;
    undisturbed(|| write(folder, &files))
}
