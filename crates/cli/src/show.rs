//! What a run came to, for people.

use std::fmt::Write;
use std::path::Path;

use brokerlab_lab::reporting::Report;
use brokerlab_lab::scenario::Section;
use brokerlab_lab::{Conclusion, Experiment, Finding, Outcome, Verification};

/// Everything that is said on the screen about a run.
pub fn outcome(experiment: &Experiment, outcome: &Outcome, columns: usize, colour: bool) -> String {
    let mut page = Page { text: String::new(), columns, colour };
    let report = &outcome.report;
    page.heading(&report.meta.title);
    if !report.meta.question.is_empty() {
        page.paragraph("", &report.meta.question);
    }
    if let Some(flip) = &experiment.flip {
        page.paragraph("", &format!("Flipped: {}", flip.sets.join(", ")));
    }
    page.text.push('\n');
    page.text.push_str(&report.table(columns, colour));
    page.sentences(report);
    page.faults(report);
    page.targets(report);
    page.expectations(experiment, outcome);
    page.fingerprints(report);
    page.text
}

/// The sections of the format with the names of their options.
pub fn contents(sections: &[Section]) -> String {
    let width = sections.iter().map(|section| section.path.len()).max().unwrap_or(0);
    let line = |section: &Section| {
        let names: Vec<&str> = section.options.iter().map(|option| option.name).take(8).collect();
        let more = if section.options.len() > names.len() { ", …" } else { "" };
        format!("{:width$}  {}{more}\n", section.path, names.join(", "))
    };
    sections.iter().map(line).collect()
}

/// The options of sections with all that is known of them.
pub fn options(sections: &[Section], columns: usize) -> String {
    let mut page = Page { text: String::new(), columns, colour: false };
    for section in sections {
        if !page.text.is_empty() {
            page.text.push('\n');
        }
        page.text.push_str(&format!("{} ({})\n", section.path, section.title));
        for option in &section.options {
            let stands = match (option.required, option.default) {
                (true, _) => format!("{} (required)", option.name),
                (false, Some(default)) => format!("{} = {default}", option.name),
                (false, None) => option.name.to_string(),
            };
            page.text.push_str(&format!("  {stands}\n"));
            page.paragraph("      ", &format!("{} It is {}.", option.meaning, option.values));
        }
    }
    page.text
}

/// How a folder's run compares with the one made now.
pub fn verification(verification: &Verification) -> String {
    let width = verification.contenders.iter().map(|contender| contender.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for contender in &verification.contenders {
        let (client, full) = contender.found;
        let word = if contender.holds() { "same" } else { "differs" };
        let name = &contender.name;
        writeln!(text, "{}  {name:width$}  client {client:016x}  all {full:016x}  {word}", verification.name)
            .expect(TEXT);
        if !contender.holds() {
            let (client, full) = contender.recorded;
            let indent = verification.name.len() + 2;
            writeln!(text, "{:indent$}{:width$}  client {client:016x}  all {full:016x}  in the folder", "", "")
                .expect(TEXT);
        }
    }
    text
}

/// Why writing into a text cannot fail.
const TEXT: &str = "a text takes everything";

struct Page {
    text: String,
    columns: usize,
    colour: bool,
}

impl Page {
    fn painted(&self, text: &str, code: &str) -> String {
        if self.colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_string() }
    }

    fn heading(&mut self, text: &str) {
        let heading = self.painted(text, "1");
        self.text.push_str(&heading);
        self.text.push('\n');
    }

    fn section(&mut self, text: &str) {
        self.text.push('\n');
        self.heading(text);
    }

    /// Words after a first column, broken into lines that fit.
    fn paragraph(&mut self, first: &str, words: &str) {
        let indent = first.chars().count();
        self.text.push_str(first);
        let mut at = indent;
        for word in words.split_whitespace() {
            let length = word.chars().count();
            if at > indent && at + 1 + length > self.columns.max(indent + 20) {
                self.text.push('\n');
                self.text.push_str(&" ".repeat(indent));
                at = indent;
            } else if at > indent {
                self.text.push(' ');
                at += 1;
            }
            self.text.push_str(word);
            at += length;
        }
        self.text.push('\n');
    }

    fn sentences(&mut self, report: &Report) {
        self.section("What happened");
        let width = names(report);
        for sentence in report.sentences() {
            self.paragraph(&format!("  {:width$}  ", sentence.contender), &sentence.to_string());
        }
    }

    /// Each fault, and whom it hit in each contender.
    fn faults(&mut self, report: &Report) {
        let mut faults: Vec<(&str, f64)> = Vec::new();
        for row in &report.faults {
            let fault = (row.fault.as_str(), row.from_s.value());
            if !faults.contains(&fault) {
                faults.push(fault);
            }
        }
        if faults.is_empty() {
            return;
        }
        faults.sort_by(|a, b| a.1.total_cmp(&b.1));
        self.section("Faults, and whom they hit");
        for (fault, from) in faults {
            let rows = report.faults.iter().filter(|row| row.fault == fault && row.from_s.value() == from);
            let mut hits: Vec<(&str, Vec<&str>)> = Vec::new();
            for row in rows {
                match hits.iter_mut().find(|(contender, _)| *contender == row.contender) {
                    Some((_, targets)) => targets.push(&row.target),
                    None => hits.push((&row.contender, vec![&row.target])),
                }
            }
            let alike = hits.len() == report.meta.contenders.len() && hits.iter().all(|(_, who)| *who == hits[0].1);
            let told = match alike {
                true => format!("{} everywhere", list(&hits[0].1)),
                false => {
                    let told = |(contender, who): &(&str, Vec<&str>)| format!("{} in {contender}", list(who));
                    hits.iter().map(told).collect::<Vec<_>>().join(", ")
                }
            };
            self.paragraph(&format!("  {from} s  "), &format!("{fault}: {told}"));
        }
    }

    /// What each fault does to each target that it could hit as well.
    fn targets(&mut self, report: &Report) {
        if report.targets.is_some() {
            self.section("The same faults on every target");
            self.text.push_str(&report.targets_text());
        }
    }

    fn expectations(&mut self, experiment: &Experiment, outcome: &Outcome) {
        if outcome.findings.is_empty() {
            return;
        }
        self.section("Expectations");
        let claims: Vec<String> = outcome.findings.iter().map(Finding::claim).collect();
        let width = claims.iter().map(|claim| claim.chars().count()).max().unwrap_or(0);
        let mut last = None;
        for (finding, claim) in outcome.findings.iter().zip(&claims) {
            let name = experiment.scenario.expectations[finding.expectation].name.as_deref();
            if last != Some(finding.expectation)
                && let Some(name) = name
            {
                self.text.push_str(&format!("  {name}\n"));
            }
            last = Some(finding.expectation);
            let (word, code) = if finding.holds { ("holds", "32") } else { ("FAILS", "1;31") };
            let line = format!("{claim:width$}  found {}", finding.found_text());
            let word = self.painted(word, code);
            self.text.push_str(&format!("    {word}  {line}\n"));
        }
        let mut conclusion = conclusion(experiment, outcome);
        if outcome.report.targets.iter().flatten().any(|row| row.failing > 0) {
            conclusion.push_str(" Not all hold on every target.");
        }
        self.paragraph("", &conclusion);
    }

    fn fingerprints(&mut self, report: &Report) {
        self.section(&format!("Fingerprints of brokerlab {}, seed {}", report.meta.engine, report.meta.seed));
        let width = names(report);
        for contender in &report.meta.contenders {
            let (client, full) = (contender.client_fingerprint, contender.fingerprint);
            let events = brokerlab_lab::reporting::grouped(contender.events);
            let name = &contender.name;
            self.text.push_str(&format!("  {name:width$}  client {client:016x}  all {full:016x}  {events} events\n"));
        }
    }
}

/// A word on the whole.
fn conclusion(experiment: &Experiment, outcome: &Outcome) -> String {
    let all = outcome.findings.len();
    let failing = outcome.findings.iter().filter(|finding| !finding.holds).count();
    let counted = match failing {
        0 => format!("All {all} hold."),
        _ => format!("{failing} of {all} fail."),
    };
    let counted = match experiment.unjudged() {
        0 => counted,
        1 => format!("{counted} One more speaks of a contender that was left out."),
        more => format!("{counted} {more} more speak of contenders that were left out."),
    };
    let Some(flip) = &experiment.flip else { return counted };
    let name = experiment.scenario.expectations[flip.fails].name.as_deref().unwrap_or_default();
    match outcome.conclusion {
        Conclusion::Flipped => {
            let because = flip.because.as_deref().unwrap_or_default();
            format!("{counted} The flip breaks \"{name}\", as it should. {because}")
        }
        _ => format!("{counted} The flip should break \"{name}\", but it holds."),
    }
}

/// Where the files are.
pub fn files(folder: &Path, plots: bool) -> String {
    let page = folder.join("report.html");
    let plots = if plots { ", plots" } else { "" };
    format!("Tables{plots} and the scenario are in {}, all on one page in {}", folder.display(), page.display())
}

fn names(report: &Report) -> usize {
    report.meta.contenders.iter().map(|contender| contender.name.chars().count()).max().unwrap_or(0)
}

/// A few names; the rest is counted.
fn list(names: &[&str]) -> String {
    const SHOWN: usize = 4;
    match names.len() {
        0..=SHOWN => names.join(" and "),
        count => format!("{} and {} more", names[..SHOWN - 1].join(", "), count + 1 - SHOWN),
    }
}
