//! The commands except `run`: each turns what was typed into a call of the laboratory, and its answer into text.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use brokerlab_lab::reporting::{File, write_folder};
use brokerlab_lab::scenario::{Arrivals, Scenario, Source, library, schema, sections, sections_of, template};
use brokerlab_lab::{ENGINE, Experiment, Request, redraw, reopen, verify};
use clap::CommandFactory;
use clap_complete::Shell;

use crate::BAD_INPUT;
use crate::args::{Cli, PlotArgs};
use crate::interrupt::undisturbed;
use crate::progress::Bars;
use crate::show;
use crate::terminal::{columns, print, say};

/// Opens a scenario; `-` is standard input.
pub fn open(request: Request) -> anyhow::Result<Experiment> {
    if request.scenario != "-" {
        return Ok(Experiment::open(request)?);
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).context("cannot read a scenario from standard input")?;
    Ok(Experiment::from_source("stdin".to_string(), Source::new("standard input", text), request)?)
}

/// `list`
pub fn list(names: bool) -> anyhow::Result<ExitCode> {
    let mut text = String::new();
    let width = library::SCENARIOS.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    for (name, _) in library::SCENARIOS {
        if names {
            text.push_str(&format!("{name}\n"));
            continue;
        }
        let scenario = Experiment::open(Request { scenario: name.to_string(), ..Request::default() })?.scenario;
        let question = scenario.question.unwrap_or(scenario.title);
        text.push_str(&format!("{name:width$}  {question}\n"));
    }
    print(&text)?;
    if !names {
        say("`brokerlab run NAME` runs one of them, `brokerlab new FILE` starts one of your own");
    }
    Ok(ExitCode::SUCCESS)
}

/// `check`: every scenario is looked at, also after one that is not valid.
pub fn check(scenarios: Vec<String>, settings: &[String]) -> anyhow::Result<ExitCode> {
    let mut valid = true;
    for scenario in scenarios {
        let request = Request { scenario, settings: settings.to_vec(), ..Request::default() };
        match open(request) {
            Ok(experiment) => print(&format!("{}: {}\n", experiment.name, contents(&experiment.scenario)))?,
            Err(error) => {
                crate::complain(&error);
                valid = false;
            }
        }
    }
    Ok(if valid { ExitCode::SUCCESS } else { ExitCode::from(crate::BAD_INPUT) })
}

/// What a valid scenario consists of.
fn contents(scenario: &Scenario) -> String {
    let counted = |count: usize, one: &str, many: &str| match count {
        1 => format!("1 {one}"),
        _ => format!("{count} {many}"),
    };
    let recorded = match &scenario.demand.arrivals {
        Arrivals::Trace(trace) => format!(", {} recorded messages", trace.rows().len()),
        Arrivals::Law { .. } => String::new(),
    };
    format!(
        "valid, {}, {}, {}, {}{recorded}",
        counted(scenario.contenders.len(), "contender", "contenders"),
        counted(scenario.demand.applications.len(), "application", "applications"),
        counted(scenario.faults.len(), "fault", "faults"),
        counted(scenario.expectations.len(), "expectation", "expectations"),
    )
}

/// `plot`
pub fn plot(args: &PlotArgs) -> anyhow::Result<ExitCode> {
    let files = redraw(&args.folder, &args.options(), args.formats())?;
    let out = args.out.as_ref().unwrap_or(&args.folder);
    undisturbed(|| write_folder(out, &files))?;
    let paths: Vec<String> = files.iter().map(|(name, _)| format!("{}\n", out.join(name).display())).collect();
    print(&paths.concat())?;
    Ok(ExitCode::SUCCESS)
}

/// `verify`
pub fn verify_folder(folder: &Path) -> anyhow::Result<ExitCode> {
    let (experiment, recorded) = reopen(folder)?;
    let bars = Bars::new(&experiment, false);
    let verification = verify(folder, (&experiment, &recorded), &bars)?;
    bars.clear();
    print(&show::verification(&verification))?;
    for table in &verification.tables {
        say(&format!("{} is not what the run gives", folder.join(table).display()));
    }
    if verification.holds() {
        return Ok(ExitCode::SUCCESS);
    }
    if verification.engine != ENGINE {
        say(&format!("the folder was made by brokerlab {}, and this is {ENGINE}", verification.engine));
    }
    Ok(ExitCode::from(crate::FAILED))
}

/// `new`
pub fn new(file: &Path, name: &str, force: bool) -> anyhow::Result<ExitCode> {
    let template = template(name).with_context(|| format!("there is no template \"{name}\""))?;
    if file == Path::new("-") {
        print(template.text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let scenario = file.file_name().with_context(|| format!("{} is no name of a file", file.display()))?;
    let folder = file.parent().unwrap_or(Path::new(""));
    let mut files: Vec<File> = vec![(scenario.to_string_lossy().into_owned(), template.text.as_bytes().to_vec())];
    files.extend(template.files.iter().map(|(name, text)| (name.to_string(), text.as_bytes().to_vec())));
    let paths: Vec<PathBuf> = files.iter().map(|(name, _)| folder.join(name)).collect();
    if let Some(there) = paths.iter().find(|path| path.exists() && !force) {
        bail!("{} is there already; --force replaces it", there.display());
    }
    undisturbed(|| write_folder(folder, &files))?;
    print(&paths.iter().map(|path| format!("{}\n", path.display())).collect::<String>())?;
    say(&format!("check it with `brokerlab check {0}`, run it with `brokerlab run {0}`", file.display()));
    Ok(ExitCode::SUCCESS)
}

/// `schema`
pub fn print_schema() -> anyhow::Result<ExitCode> {
    print(&format!("{:#}\n", schema()))?;
    Ok(ExitCode::SUCCESS)
}

/// `options`
pub fn options(section: Option<&str>) -> anyhow::Result<ExitCode> {
    match section {
        Some(section) => print(&show::options(&sections_of(section)?, columns()))?,
        None => {
            print(&show::contents(&sections()))?;
            say("`brokerlab options SECTION` explains the options of a section, with those of the sections below it");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// `completions`
pub fn completions(shell: Shell) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "brokerlab", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitCode::SUCCESS)
}

/// `gui`: the window is a program of its own, so that this one stays small. It stands beside this one, or on the path.
pub fn gui(scenario: Option<String>, settings: &[String], seed: Option<u64>) -> anyhow::Result<ExitCode> {
    let name = format!("brokerlab-gui{}", std::env::consts::EXE_SUFFIX);
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name(&name)).filter(|path| path.is_file());
    let mut window = std::process::Command::new(beside.unwrap_or(PathBuf::from(&name)));
    window.args(scenario);
    window.args(settings.iter().flat_map(|setting| ["--set", setting]));
    window.args(seed.map(|seed| format!("--seed={seed}")));
    match window.status() {
        Ok(status) => Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(BAD_INPUT))),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
            "{name} is neither beside this program nor on the path; `cargo install --path crates/gui` installs it"
        ),
        Err(error) => Err(anyhow::Error::new(error).context(format!("{name} cannot be started"))),
    }
}
