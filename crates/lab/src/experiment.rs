//! From a scenario's name to an outcome: what every front end does first.

use std::path::Path;
use std::sync::atomic::AtomicBool;

use brokerlab_report::Report;
use brokerlab_scenario::{Expectation, Flip, Scenario, Source, closest, library};

use crate::error::LabError;
use crate::expectation::{Finding, judge};
use crate::report::report;
use crate::run::{Keep, Progress, Run, UNCANCELLED, run_cancellable};
use crate::targets::{Part, Variation};

/// Which scenario is to be run, and how it is changed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Request {
    /// The name of a bundled scenario, or a scenario file.
    pub scenario: String,
    /// Settings such as `demand.rate=80/s`.
    pub settings: Vec<String>,
    /// Another seed.
    pub seed: Option<u64>,
    /// The names of the contenders to be run; none for all.
    pub contenders: Vec<String>,
    /// Whether the change that flips the outcome is made.
    pub flip: bool,
    /// Whether everything is run once more for each target that a fault could hit as well.
    pub every_target: bool,
}

/// A scenario ready to be run.
#[derive(Clone, Debug)]
pub struct Experiment {
    /// Its short name, which is also the name of its folder.
    pub name: String,
    /// What was asked for.
    pub request: Request,
    /// Where its text and files come from.
    pub source: Source,
    /// The scenario with every setting and the flip applied.
    pub scenario: Scenario,
    /// The flip that was applied.
    pub flip: Option<Flip>,
    /// The contenders to be run, as indices in order of the scenario.
    pub contenders: Vec<usize>,
}

/// What an experiment came to.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The runs, in the order of [`Experiment::contenders`].
    pub runs: Vec<Run>,
    /// How the expectations came out.
    pub findings: Vec<Finding>,
    /// Everything that is told about it.
    pub report: Report,
    /// All in a word.
    pub conclusion: Conclusion,
}

/// How an experiment came out as a test.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Conclusion {
    /// Every expectation holds.
    Holds,
    /// Some do not.
    Fails,
    /// The flip made the expectation fail that it names.
    Flipped,
    /// The flip was made, and the expectation that should fail holds nevertheless.
    NotFlipped,
}

impl Outcome {
    /// Whether every expectation holds, on every target where that was asked for.
    pub fn holds(&self) -> bool {
        let targets = self.report.targets.iter().flatten();
        self.findings.iter().all(|finding| finding.holds) && targets.into_iter().all(|row| row.failing == 0)
    }
}

impl Experiment {
    /// Finds and reads the scenario, and checks everything that can be wrong with the request.
    pub fn open(request: Request) -> Result<Experiment, LabError> {
        let (name, source) = find(&request.scenario)?;
        Experiment::from_source(name, source, request)
    }

    /// The same for a scenario that is there already; the request's name of it counts only for messages.
    pub fn from_source(name: String, source: Source, request: Request) -> Result<Experiment, LabError> {
        let seed = request.seed.map(|seed| format!("seed={seed}"));
        let mut settings: Vec<String> = seed.into_iter().chain(request.settings.iter().cloned()).collect();
        let mut scenario = Scenario::parse(&source, &settings)?;
        let mut flip = None;
        if request.flip {
            let change = scenario.flip.clone().ok_or_else(|| LabError::NoFlip { scenario: name.clone() })?;
            settings.extend(change.sets.iter().cloned());
            scenario = Scenario::parse(&source, &settings)?;
            flip = Some(change);
        }
        let contenders = choose(&name, &scenario, &request.contenders)?;
        let experiment = Experiment { name, request, source, scenario, flip, contenders };
        experiment.check_flip()?;
        if experiment.request.every_target && Variation::all(&experiment.scenario).is_empty() {
            return Err(LabError::NoOtherTarget { scenario: experiment.name });
        }
        Ok(experiment)
    }

    /// The contenders that the flip's expectation speaks of must all be run.
    fn check_flip(&self) -> Result<(), LabError> {
        let Some(flip) = &self.flip else { return Ok(()) };
        let expectation = &self.scenario.expectations[flip.fails];
        let others = expectation.clauses.iter().filter_map(|clause| clause.comparison.other());
        match expectation.contender.into_iter().chain(others).find(|needed| !self.contenders.contains(needed)) {
            Some(missing) => Err(LabError::FlipNotJudged {
                scenario: self.name.clone(),
                contender: self.scenario.contenders[missing].name.clone(),
            }),
            None => Ok(()),
        }
    }

    /// How many expectations cannot be judged (whole), because they speak of a contender that is left out.
    pub fn unjudged(&self) -> usize {
        let is_left_out = |contender: usize| !self.contenders.contains(&contender);
        let speaks_of_missing = |expectation: &&Expectation| {
            let others = expectation.clauses.iter().filter_map(|clause| clause.comparison.other());
            expectation.contender.into_iter().chain(others).any(is_left_out)
        };
        self.scenario.expectations.iter().filter(speaks_of_missing).count()
    }

    /// Whether anything differs from the scenario as its author wrote it.
    pub(crate) fn is_changed(&self) -> bool {
        self.flip.is_some() || self.request.seed.is_some() || !self.request.settings.is_empty()
    }

    /// Runs the contenders, as many at once as the machine has cores, and judges the expectations.
    pub fn run(&self, keep: Keep, progress: &dyn Progress) -> Outcome {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        self.run_on(cores.min(self.contenders.len()), keep, progress)
    }

    /// [`run`](Experiment::run) on a given number of threads, which changes nothing about the outcome.
    pub fn run_on(&self, threads: usize, keep: Keep, progress: &dyn Progress) -> Outcome {
        self.run_cancellable(threads, keep, progress, &AtomicBool::new(false)).expect(UNCANCELLED)
    }

    /// [`run_on`](Experiment::run_on), given up soon after somebody sets the flag; then there is nothing.
    pub fn run_cancellable(
        &self,
        threads: usize,
        keep: Keep,
        progress: &dyn Progress,
        cancelled: &AtomicBool,
    ) -> Option<Outcome> {
        let variations = if self.request.every_target { Variation::all(&self.scenario) } else { Vec::new() };
        let part = |place| Part { whole: progress, place, of: variations.len() + 1 };
        let runs = run_cancellable(threads, &self.scenario, &self.contenders, keep, (&part(0), cancelled))?;
        let mut outcome = self.outcome(runs, keep);
        if self.request.every_target {
            let mut rows = Vec::new();
            for (variation, place) in variations.iter().zip(1..) {
                rows.extend(variation.run(&self.contenders, threads, (&part(place), cancelled))?);
            }
            outcome.report.rank_targets(rows);
        }
        Some(outcome)
    }

    fn outcome(&self, runs: Vec<Run>, keep: Keep) -> Outcome {
        let findings = judge(&self.scenario, &runs);
        let conclusion = self.conclude(&findings);
        Outcome { report: report(self, &runs, &findings, keep), runs, findings, conclusion }
    }

    fn conclude(&self, findings: &[Finding]) -> Conclusion {
        let mut failing = findings.iter().filter(|finding| !finding.holds);
        match &self.flip {
            Some(flip) if failing.any(|finding| finding.expectation == flip.fails) => Conclusion::Flipped,
            Some(_) => Conclusion::NotFlipped,
            None if failing.next().is_some() => Conclusion::Fails,
            None => Conclusion::Holds,
        }
    }

    /// The command that makes this run again.
    pub fn command(&self, keep: Keep) -> String {
        let request = &self.request;
        let mut words = vec!["brokerlab".to_string(), "run".to_string(), quoted(&request.scenario)];
        let mut option = |name: &str, value: &str| words.extend([name.to_string(), quoted(value)]);
        if let Some(seed) = request.seed {
            option("--seed", &seed.to_string());
        }
        request.settings.iter().for_each(|setting| option("--set", setting));
        request.contenders.iter().for_each(|contender| option("--contender", contender));
        let flags = [("--flip", request.flip), ("--every-target", request.every_target), ("--messages", keep.messages)];
        for (flag, given) in flags {
            words.extend(given.then(|| flag.to_string()));
        }
        words.join(" ")
    }
}

/// The scenario of a name: a bundled one, or a file. What has an ending or a folder in it is a file.
fn find(name: &str) -> Result<(String, Source), LabError> {
    let path = Path::new(name);
    let is_path = path.extension().is_some() || path.components().count() > 1;
    if !is_path && let Some(source) = Source::bundled(name) {
        return Ok((name.to_string(), source));
    }
    if is_path || path.is_file() {
        return Ok((short_name(path), Source::open(path)?));
    }
    let names = library::SCENARIOS.iter().map(|(name, _)| *name);
    Err(LabError::UnknownScenario { name: name.to_string(), hint: did_you_mean(name, names) })
}

/// The file's name without its ending. The `scenario.toml` in the folder of a run is called like its folder.
fn short_name(path: &Path) -> String {
    let text = |part: Option<&std::ffi::OsStr>| part.map(|part| part.to_string_lossy().into_owned());
    let stem = text(path.file_stem()).unwrap_or_default();
    if stem != "scenario" {
        return stem;
    }
    text(path.parent().and_then(Path::file_name)).unwrap_or(stem)
}

fn choose(name: &str, scenario: &Scenario, wanted: &[String]) -> Result<Vec<usize>, LabError> {
    let names = || scenario.contenders.iter().map(|contender| contender.name.as_str());
    if let Some(unknown) = wanted.iter().find(|wanted| !names().any(|name| name == **wanted)) {
        return Err(LabError::UnknownContender {
            scenario: name.to_string(),
            name: unknown.clone(),
            known: names().collect::<Vec<_>>().join(", "),
            hint: did_you_mean(unknown, names()),
        });
    }
    let chosen = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    Ok(names().enumerate().filter(|(_, name)| chosen(name)).map(|(index, _)| index).collect())
}

fn did_you_mean<'a>(found: &str, names: impl Iterator<Item = &'a str>) -> String {
    closest(found, names).map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default()
}

/// A word as a shell reads it.
fn quoted(word: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "_-./:,=@%+".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_string();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_folder_gives_its_scenario_its_name() {
        assert_eq!(short_name(Path::new("out/burst/scenario.toml")), "burst");
        assert_eq!(short_name(Path::new("scenario.toml")), "scenario");
        assert_eq!(short_name(Path::new("mine/burst.toml")), "burst");
    }

    #[test]
    fn a_command_can_be_pasted_into_a_shell() {
        let request = Request {
            scenario: "consumer-dies".to_string(),
            settings: vec![r#"title="it's mine""#.to_string()],
            seed: Some(7),
            contenders: vec!["queue".to_string()],
            ..Request::default()
        };
        let experiment = Experiment::open(request).expect("a bundled scenario");
        assert_eq!(
            experiment.command(Keep { messages: true, events: false }),
            r#"brokerlab run consumer-dies --seed 7 --set 'title="it'\''s mine"' --contender queue --messages"#
        );
    }

    #[test]
    fn what_is_unknown_is_told_with_what_is_known() {
        let open = |scenario: &str, contender: &str| {
            let contenders = vec![contender.to_string()];
            let request = Request { scenario: scenario.to_string(), contenders, ..Request::default() };
            Experiment::open(request).expect_err("it is unknown").to_string()
        };
        assert!(open("consumer-die", "queue").contains("did you mean \"consumer-dies\"?"));
        assert!(open("consumer-dies", "queu").ends_with("did you mean \"queue\"?"));
        assert!(open("consumer-die.toml", "queue").contains("there is no such file"));
    }
}
