//! The folder of a run: what goes into it beside the report, checking it, and drawing from it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use brokerlab_report::{File, FolderError, Format, Options, Report, write_folder};
use brokerlab_scenario::{Arrivals, PLOTS, Source};

use crate::error::LabError;
use crate::experiment::{Experiment, Outcome, Request};
use crate::run::{Keep, Progress};

/// The scenario in a folder, as it was run.
const SCENARIO: &str = "scenario.toml";

impl Experiment {
    /// Everything that belongs into the folder of a run. `plots` says how the plots are drawn; nothing leaves
    /// them out.
    pub fn files(&self, outcome: &Outcome, plots: Option<&Options>) -> Result<Vec<File>, LabError> {
        let mut files = outcome.report.files();
        files.extend(self.scenario_files()?);
        if let Some(options) = plots {
            files.extend(outcome.report.plot_files(options, &[Format::Svg, Format::Png]));
        }
        Ok(files)
    }

    /// The scenario with every setting applied and every default written out, and the recording that it plays:
    /// the folder can be run again without anything outside it.
    fn scenario_files(&self) -> Result<Vec<File>, LabError> {
        // A flip is claimed of the scenario as its author wrote it, not of every change that somebody makes.
        let scenario = self.scenario.clone();
        let scenario = if self.is_changed() { scenario.without_flip() } else { scenario };
        let source = Source::new(SCENARIO, scenario.resolved());
        let Arrivals::Trace(trace) = &scenario.demand.arrivals else {
            return Ok(vec![(SCENARIO.into(), source.text().as_bytes().to_vec())]);
        };
        let file_name = Path::new(trace.file()).file_name().unwrap_or_default().to_string_lossy().into_owned();
        let copy = format!("trace/{file_name}");
        let path = serde_json::Value::String(copy.clone());
        let source = source.with_settings(&[format!("demand.trace.file={path}")])?;
        let (_, bytes) = self.source.file(trace.file()).map_err(|error| unreadable(trace.file(), &error))?;
        Ok(vec![(SCENARIO.into(), source.text().as_bytes().to_vec()), (copy, bytes)])
    }

    /// The folder of this experiment below `out`. A flipped run has one of its own, beside the other.
    pub fn folder(&self, out: &Path) -> PathBuf {
        out.join(if self.flip.is_some() { format!("{}--flip", self.name) } else { self.name.clone() })
    }
}

/// The recording was read a moment ago, so this is a matter of the file system.
fn unreadable(file: &str, error: &str) -> LabError {
    let source = io::Error::other(error.to_string());
    LabError::Folder(FolderError::Io { action: "read", path: file.into(), source })
}

/// Writes files into a folder, each complete or not at all. Plots of an earlier run that are not drawn anew are
/// removed, because they would show something else than the tables beside them.
pub fn write(folder: &Path, files: &[File]) -> Result<(), LabError> {
    write_folder(folder, files)?;
    for (plot, format) in PLOTS.iter().flat_map(|plot| [Format::Svg, Format::Png].map(|format| (plot, format))) {
        let name = format!("plots/{plot}.{}", format.ending());
        let path = folder.join(&name);
        if files.iter().any(|(written, _)| *written == name) {
            continue;
        }
        match fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(FolderError::Io { action: "remove", path, source }.into());
            }
            _ => {}
        }
    }
    // An empty folder of plots says nothing; where something else lies in it, it stays.
    let _ = fs::remove_dir(folder.join("plots"));
    Ok(())
}

/// Draws the plots of a folder again from its tables. `formats` says in which forms.
pub fn redraw(folder: &Path, options: &Options, formats: &[Format]) -> Result<Vec<File>, LabError> {
    Ok(Report::read(folder)?.plot_files(options, formats))
}

/// What running a folder's scenario again has shown.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verification {
    /// The scenario's short name.
    pub name: String,
    /// Each contender.
    pub contenders: Vec<ContenderVerification>,
    /// The tables that are not what the run gives.
    pub tables: Vec<String>,
    /// The version of the engine that made the folder.
    pub engine: String,
}

/// A contender then and now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ContenderVerification {
    /// Its name.
    pub name: String,
    /// The digests in the folder: of what clients saw, and of everything.
    pub recorded: (u64, u64),
    /// The digests of the run made now.
    pub found: (u64, u64),
}

impl ContenderVerification {
    /// Whether they are the same.
    pub fn holds(&self) -> bool {
        self.recorded == self.found
    }
}

impl Verification {
    /// Whether everything is the same.
    pub fn holds(&self) -> bool {
        self.tables.is_empty() && self.contenders.iter().all(ContenderVerification::holds)
    }
}

/// Opens the scenario of a folder with the contenders that were run.
pub fn reopen(folder: &Path) -> Result<(Experiment, Report), LabError> {
    let recorded = Report::read(folder)?;
    let request = Request {
        scenario: folder.join(SCENARIO).display().to_string(),
        contenders: recorded.meta.contenders.iter().map(|contender| contender.name.clone()).collect(),
        every_target: recorded.targets.is_some(),
        ..Request::default()
    };
    Ok((Experiment::open(request)?, recorded))
}

/// Runs again what made a folder, and compares fingerprints and tables.
pub fn verify(
    folder: &Path,
    (experiment, recorded): (&Experiment, &Report),
    progress: &dyn Progress,
) -> Result<Verification, LabError> {
    let outcome = experiment.run(Keep { messages: recorded.messages.is_some(), events: false }, progress);
    let mut contenders = Vec::new();
    for run in &outcome.runs {
        let known = recorded.meta.contenders.iter().find(|contender| contender.name == run.header.contender);
        contenders.push(ContenderVerification {
            name: run.header.contender.clone(),
            recorded: known.map_or((0, 0), |known| (known.client_fingerprint, known.fingerprint)),
            found: (run.fingerprint.client(), run.fingerprint.full()),
        });
    }
    let mut tables = Vec::new();
    for (name, bytes) in outcome.report.files().into_iter().filter(|(name, _)| name.ends_with(".csv")) {
        let path = folder.join(&name);
        let there = fs::read(&path).map_err(|source| FolderError::Io { action: "read", path, source })?;
        if there != bytes {
            tables.push(name);
        }
    }
    let meta = &recorded.meta;
    Ok(Verification { name: meta.name.clone(), contenders, tables, engine: meta.engine.clone() })
}
