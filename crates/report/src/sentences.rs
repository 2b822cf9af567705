//! What happened, one sentence per contender and application, composed from figures. Every number is a cell of a CSV file and
//! says which, so that a sentence can be checked against the files.

use core::fmt;

use brokerlab_analysis::Fate;

use crate::columns::{ALL, ChannelErrorRow, FaultRow, SummaryRow};
use crate::number::grouped;
use crate::report::Report;
use crate::table::{Row, Seconds};

/// A piece of a sentence.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Part {
    /// Words.
    Text(String),
    /// A figure or name out of a file.
    Figure {
        /// As it reads: with separators, perhaps rounded.
        shown: String,
        /// The CSV file.
        file: &'static str,
        /// The row in the file, from 0, the headings not counted.
        row: usize,
        /// The column.
        column: &'static str,
    },
}

/// What is said about a contender: a sentence for each application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sentence {
    /// The contender, which the sentence itself does not name.
    pub contender: String,
    /// The pieces in order.
    pub parts: Vec<Part>,
}

impl fmt::Display for Sentence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.parts.iter().try_for_each(|part| match part {
            Part::Text(text) => f.write_str(text),
            Part::Figure { shown, .. } => f.write_str(shown),
        })
    }
}

/// A sentence in the making.
#[derive(Default)]
struct Draft(Vec<Part>);

impl Draft {
    fn say(&mut self, text: &str) {
        match self.0.last_mut() {
            Some(Part::Text(before)) => before.push_str(text),
            _ => self.0.push(Part::Text(text.to_owned())),
        }
    }

    fn cite<R: Row>(&mut self, row: usize, column: &'static str, shown: String) {
        self.0.push(Part::Figure { shown, file: R::FILE, row, column });
    }

    /// `, ` and ` and ` between clauses.
    fn join(&mut self, index: usize, count: usize) {
        match index {
            0 => {}
            _ if index + 1 == count => self.say(" and "),
            _ => self.say(", "),
        }
    }
}

/// Stalls shorter than this are the ordinary gaps between messages.
const STALL: u64 = 1_000_000_000;

/// Producers that were blocked for less are not worth a word.
const BLOCKED: u64 = 50_000_000;

impl Report {
    /// What happened in each contender.
    pub fn sentences(&self) -> Vec<Sentence> {
        let applications = self.applications();
        let sentence = |contender: &str| {
            let mut draft = Draft::default();
            for (index, application) in applications.iter().enumerate() {
                if let Some((row, summary)) = self.summary_of(contender, application) {
                    draft.say(if index > 0 { ". " } else { "" });
                    self.tell(&mut draft, row, summary);
                }
            }
            self.tell_of_broker(&mut draft, contender);
            draft.say(".");
            Sentence { contender: contender.to_owned(), parts: draft.0 }
        };
        self.meta.contenders.iter().map(|contender| sentence(&contender.name)).collect()
    }

    fn tell(&self, draft: &mut Draft, row: usize, summary: &SummaryRow) {
        let figure = |draft: &mut Draft, column, count| draft.cite::<SummaryRow>(row, column, grouped(count));
        draft.say(&format!("{} processed ", summary.application));
        if summary.processed == summary.offered && summary.offered > 1 {
            draft.say("all ");
        } else if summary.processed == 0 {
            draft.say("none of ");
        } else {
            figure(draft, "processed", summary.processed);
            draft.say(" of ");
        }
        figure(draft, "offered", summary.offered);
        draft.say(if summary.offered == 1 { " message" } else { " messages" });

        let others: Vec<Fate> = Fate::ALL.into_iter().skip(1).filter(|fate| summary.fate(*fate) > 0).collect();
        for (index, fate) in others.iter().enumerate() {
            draft.say(if index == 0 { ": " } else { "" });
            draft.join(index, others.len());
            figure(draft, fate.name(), summary.fate(*fate));
            draft.say(&phrase(*fate, summary.fate(*fate)));
        }
        if self.answers(&summary.application) {
            draft.say("; the sender got ");
            match summary.replied {
                0 => draft.say("no answer"),
                count => {
                    draft.cite::<SummaryRow>(row, "replied", grouped(count));
                    draft.say(if count == 1 { " answer" } else { " answers" });
                }
            }
        }
        tell_incidents(draft, row, summary);
        self.tell_consequences(draft, row, summary);
        let harmless = [Fate::Processed, Fate::InBacklog, Fate::NotWanted, Fate::NotSent];
        if others.iter().all(|fate| harmless.contains(fate)) {
            draft.say("; nothing was lost");
        }
    }

    /// Disorder, redeliveries, repeats and stalls. Second deliveries are put down to the fault where there was only
    /// one; disorder and stalls may have other causes and stand for themselves.
    fn tell_consequences(&self, draft: &mut Draft, row: usize, summary: &SummaryRow) {
        if summary.key_order_violations > 0 {
            draft.say("; ");
            draft.cite::<SummaryRow>(row, "key_order_violations", grouped(summary.key_order_violations));
            draft.say(if summary.key_order_violations == 1 { " was" } else { " were" });
            draft.say(" overtaken within the same key");
        }
        let again = [
            ("redeliveries", summary.redeliveries, "redelivered"),
            ("duplicates", summary.duplicates, "processed again"),
        ];
        let again: Vec<_> = again.into_iter().filter(|(_, count, _)| *count > 0).collect();
        for (index, (column, count, words)) in again.iter().enumerate() {
            match self.only_fault(summary) {
                _ if index > 0 => draft.say(" and "),
                Some((fault, hit)) => {
                    draft.say("; after ");
                    draft.cite::<FaultRow>(fault, "target", hit.target.clone());
                    draft.say(&format!(" {}, ", past_tense(&hit.fault)));
                }
                None => draft.say("; "),
            }
            draft.cite::<SummaryRow>(row, column, grouped(*count));
            draft.say(&format!(" {} {words}", if *count == 1 { "was" } else { "were" }));
        }
        if summary.replayed > 0 {
            draft.say(", ");
            draft.cite::<SummaryRow>(row, "replayed", grouped(summary.replayed));
            draft.say(" on purpose");
        }
        if summary.longest_stall_s.0 >= STALL {
            draft.say("; for ");
            draft.cite::<SummaryRow>(row, "longest_stall_s", tenths(summary.longest_stall_s));
            draft.say(" s messages waited and none was processed");
        }
    }

    /// What the broker did to its clients: channels that it closed, producers that it did not read from.
    fn tell_of_broker(&self, draft: &mut Draft, contender: &str) {
        let Some((row, summary)) = self.summary_of(contender, ALL) else { return };
        let errors = self.channel_errors.iter().enumerate().filter(|(_, errors)| errors.contender == contender);
        let errors: Vec<_> = errors.collect();
        for (index, (row, closed)) in errors.iter().enumerate() {
            draft.say(if index == 0 { ". The broker closed " } else { "" });
            draft.join(index, errors.len());
            draft.cite::<ChannelErrorRow>(*row, "channels", grouped(closed.channels));
            draft.say(if closed.channels == 1 { " channel with " } else { " channels with " });
            draft.cite::<ChannelErrorRow>(*row, "code", closed.code.to_string());
            draft.say(&format!(" ({})", closed.name));
        }
        let blocked = [
            ("blocked_memory_s", summary.blocked_memory_s, " s by the memory alarm"),
            ("blocked_credit_s", summary.blocked_credit_s, " s for want of credit"),
            ("blocked_buffer_s", summary.blocked_buffer_s, " s by full buffers of their own"),
        ];
        let blocked: Vec<_> = blocked.into_iter().filter(|(_, time, _)| time.0 >= BLOCKED).collect();
        for (index, (column, time, words)) in blocked.iter().enumerate() {
            draft.say(if index == 0 { ". Producers were blocked for " } else { "" });
            draft.join(index, blocked.len());
            draft.cite::<SummaryRow>(row, column, tenths(*time));
            draft.say(words);
        }
    }

    /// The fault that hit a consumer of this application in this contender, if it is the only one that hit
    /// anybody there.
    fn only_fault(&self, summary: &SummaryRow) -> Option<(usize, &FaultRow)> {
        let mut hits = self.faults.iter().enumerate().filter(|(_, row)| row.contender == summary.contender);
        let only = hits.next().filter(|_| hits.next().is_none())?;
        let owner = only.1.target.rsplit_once('/').map_or(only.1.target.as_str(), |(owner, _)| owner);
        (owner == summary.application).then_some(only)
    }
}

/// What queues gave up or declined, and what failed.
fn tell_incidents(draft: &mut Draft, row: usize, summary: &SummaryRow) {
    let told = [
        ("expired", summary.expired, "copy expired", "copies expired"),
        ("overflowed", summary.overflowed, "was pushed out of a full queue", "were pushed out of a full queue"),
        ("delivery_limit", summary.delivery_limit, "was returned too often", "were returned too often"),
        ("declined", summary.declined, "was declined by a full queue", "were declined by a full queue"),
        ("failed", summary.failed, "attempt failed", "attempts failed"),
        (
            "dead_letters",
            summary.dead_letters,
            "dead letter went to another queue",
            "dead letters went to other queues",
        ),
    ];
    let told: Vec<_> = told.into_iter().filter(|(_, count, ..)| *count > 0).collect();
    for (index, (column, count, one, several)) in told.iter().enumerate() {
        draft.say(if index == 0 { "; " } else { "" });
        draft.join(index, told.len());
        draft.cite::<SummaryRow>(row, column, grouped(*count));
        draft.say(&format!(" {}", if *count == 1 { one } else { several }));
    }
}

/// Seconds with one decimal.
fn tenths(seconds: Seconds) -> String {
    let tenths = (seconds.0 + 50_000_000) / 100_000_000;
    format!("{}.{}", grouped(tenths / 10), tenths % 10)
}

/// What is said of so many messages of a fate.
fn phrase(fate: Fate, count: u64) -> String {
    let (was, is) = if count == 1 { ("was", "is") } else { ("were", "are") };
    let words = match fate {
        Fate::Processed => format!("{was} processed"),
        Fate::DeadLettered => format!("{was} dead-lettered"),
        Fate::DroppedByPolicy => format!("{was} dropped before being processed"),
        Fate::Missed => format!("{was} missed because nobody was connected"),
        Fate::Skipped => format!("{was} skipped without being processed"),
        Fate::Lost => format!("{was} lost although confirmed"),
        Fate::InBacklog => format!("{is} still in the backlog"),
        Fate::Refused => format!("{was} refused by the broker"),
        Fate::Returned => format!("{was} returned to the sender"),
        Fate::Unconfirmed => format!("{was} never confirmed nor processed"),
        Fate::NotSent => format!("{was} never sent"),
        Fate::NotWanted => format!("{was} not wanted"),
        Fate::Unknown => format!("{is} unaccounted for"),
    };
    format!(" {words}")
}

/// `crash billing/2` is told as `crashed`.
fn past_tense(fault: &str) -> &'static str {
    match fault.split(' ').next() {
        Some("crash") => "crashed",
        Some("pause") => "was paused",
        Some("slow") => "was slowed down",
        Some("disconnect") => "disconnected",
        _ => "was hit by the fault",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;
    use crate::table::{Decimal, write_csv};

    /// What a sentence may say of a cell: the same with separators, or rounded to the decimals it shows.
    fn agrees(shown: &str, cell: &str) -> bool {
        let plain = shown.replace(',', "");
        let decimals = plain.split_once('.').map_or(0, |(_, fraction)| fraction.len() as i32);
        match (plain.parse::<f64>(), cell.parse::<f64>()) {
            (Ok(a), Ok(b)) => {
                libm::fabs(a - b) <= 0.5 * libm::pow(10.0, f64::from(-decimals)) + 1e-9 && (decimals > 0 || a == b)
            }
            _ => plain == cell,
        }
    }

    #[test]
    fn every_figure_in_a_sentence_is_a_cell_of_a_file() {
        let report = samples::report(&["billing", "audit"]);
        let files = [(SummaryRow::FILE, write_csv(&report.summary)), (FaultRow::FILE, write_csv(&report.faults))];
        let mut figures = 0;
        for part in report.sentences().into_iter().flat_map(|sentence| sentence.parts) {
            match part {
                Part::Text(text) => {
                    assert!(!text.contains(|letter: char| letter.is_ascii_digit()), "a bare number in {text:?}");
                }
                Part::Figure { shown, file, row, column } => {
                    let (_, text) = files.iter().find(|(name, _)| *name == file).expect("a file that is cited exists");
                    let mut reader = csv::Reader::from_reader(text.as_slice());
                    let index = reader.headers().expect("headings").iter().position(|name| name == column);
                    let record = reader.records().nth(row).expect("a row that is cited exists").expect("a record");
                    let cell = &record[index.expect("a column that is cited exists")];
                    assert!(agrees(&shown, cell), "{shown} is said of {cell} ({column})");
                    figures += 1;
                }
            }
        }
        assert!(figures > 20, "{figures} figures were checked");
        assert!(!agrees("4,833", "4832") && !agrees("6.3", "6.2"), "the check can fail");
    }

    #[test]
    fn what_queues_and_brokers_did_is_told_with_its_figures() {
        let mut report = samples::report(&["billing"]);
        let row = &mut report.summary[0];
        (row.processed, row.dead_lettered, row.dropped_by_policy) = (4_712, 118, 2);
        (row.expired, row.dead_letters, row.failed) = (120, 118, 1);
        let all = &mut report.summary[1];
        (all.blocked_memory_s, all.blocked_credit_s) = (Decimal(12_310_000_000), Decimal(40_000_000));
        for (code, name, channels) in [(404, "not-found", 1), (406, "precondition-failed", 3)] {
            let (contender, name) = ("queue".into(), name.into());
            report.channel_errors.push(ChannelErrorRow { contender, code, name, channels });
        }
        let sentences = report.sentences();
        let told = sentences[0].to_string();
        assert!(
            told.contains("; 120 copies expired, 1 attempt failed and 118 dead letters went to other queues"),
            "{told}"
        );
        let broker = ". The broker closed 1 channel with 404 (not-found) and 3 channels with 406 (precondition-failed). \
                      Producers were blocked for 12.3 s by the memory alarm.";
        assert!(told.ends_with(broker), "{told}");
        let cells = sentences[0].parts.iter().filter(|part| matches!(part, Part::Figure { .. })).count();
        let numbers = told.split(|letter: char| !letter.is_ascii_digit() && letter != '.' && letter != ',');
        assert!(cells >= numbers.filter(|number| number.chars().any(|c| c.is_ascii_digit())).count(), "{told}");
    }

    #[test]
    fn sentences_read_well() {
        let mut report = samples::report(&["billing"]);
        let told = |report: &Report| {
            let lines = report.sentences().into_iter().map(|s| format!("{}: {s}", s.contender));
            lines.collect::<Vec<_>>().join("\n")
        };
        insta::assert_snapshot!("sentences", told(&report));
        let row = &mut report.summary[0];
        (row.processed, row.lost, row.missed, row.skipped) = (4_000, 1, 800, 31);
        (row.redeliveries, row.duplicates, row.key_order_violations) = (0, 1, 0);
        report.faults.clear();
        insta::assert_snapshot!("sentences_of_loss", told(&report));

        assert!(!told(&report).contains("answer"), "no application answers");
        report.meta.answering = vec!["billing".into()];
        report.summary[0].replied = 3_999;
        let told = told(&report);
        let line = |contender: &str| told.lines().find(|line| line.starts_with(contender)).expect("a sentence");
        assert!(line("queue").contains("; the sender got 3,999 answers;"), "{told}");
        assert!(line("log").contains("; the sender got no answer;"), "{told}");
    }
}
