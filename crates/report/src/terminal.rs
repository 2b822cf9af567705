//! The comparison table for terminals: contenders side by side, one block per application.

use crate::columns::{ALL, SummaryRow};
use crate::number::grouped;
use crate::palette::{Palette, Theme};
use crate::report::Report;
use crate::words::{bytes, human_millis};
use brokerlab_analysis::Fate;

/// Reads a count out of a row.
type Count = fn(&SummaryRow) -> u64;

/// A line of the comparison: its name, and a value for each contender.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Line {
    /// What is compared.
    pub name: String,
    /// One value for each contender, `–` where there is none.
    pub values: Vec<String>,
    /// Which values deserve attention.
    pub alarming: Vec<bool>,
}

/// The lines of an application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Block {
    /// The application.
    pub application: String,
    /// The lines in order.
    pub lines: Vec<Line>,
}

impl Report {
    /// The comparison, application by application, as terminals and pages show it. Fates that no contender has
    /// are left out.
    pub fn comparison(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        for application in self.applications() {
            blocks.push(Block { application: application.to_owned(), lines: self.lines(application) });
        }
        let stored = |show: fn(&SummaryRow) -> String| -> Vec<String> { self.values(ALL, show) };
        // What a broker stores is not divided among applications: a log keeps one copy for all.
        let mut whole = vec![
            line("most stored, messages", stored(|row| grouped(row.stored_messages_max))),
            line("most stored, bytes", stored(|row| bytes(row.stored_bytes_max))),
        ];
        if !self.channel_errors.is_empty() {
            whole.push(line("channels closed", stored(|row| grouped(row.channel_errors))));
        }
        let seldom: [(&str, Count); 6] = [
            ("connections lost", |row| row.connections_lost),
            ("sent again", |row| row.sent_again),
            ("sends expired", |row| row.sends_expired),
            ("repeats recognised", |row| row.deduplicated),
            ("aborted", |row| row.aborted),
            ("dirty reads", |row| row.dirty_reads),
        ];
        for (name, count) in seldom {
            if self.summary.iter().any(|row| count(row) > 0) {
                whole.push(line(name, self.values(ALL, |row| grouped(count(row)))));
            }
        }
        let blocked = |row: &SummaryRow| row.blocked_memory_s.0 + row.blocked_credit_s.0 + row.blocked_buffer_s.0;
        if self.summary.iter().any(|row| blocked(row) > 0) {
            whole.push(line("producers blocked", self.values(ALL, |row| human_millis(blocked(row)))));
        }
        blocks.push(Block { application: "broker".into(), lines: whole });
        blocks
    }

    fn values(&self, application: &str, show: impl Fn(&SummaryRow) -> String) -> Vec<String> {
        let value = |name: &str| self.summary_of(name, application).map_or("–".to_owned(), |(_, row)| show(row));
        self.meta.contenders.iter().map(|contender| value(&contender.name)).collect()
    }

    fn lines(&self, application: &str) -> Vec<Line> {
        let rows: Vec<&SummaryRow> = self.summary.iter().filter(|row| row.application == application).collect();
        let values = |show: &dyn Fn(&SummaryRow) -> String| self.values(application, show);
        let mut lines = vec![line("offered", values(&|row| grouped(row.offered)))];
        for fate in Fate::ALL {
            if fate != Fate::Processed && rows.iter().all(|row| row.fate(fate) == 0) {
                continue;
            }
            let mut line = line(&fate.name().replace('_', " "), values(&|row| grouped(row.fate(fate))));
            if !matches!(fate, Fate::Processed | Fate::InBacklog | Fate::NotWanted) {
                line.alarming = line.values.iter().map(|value| value != "0" && value != "–").collect();
            }
            lines.push(line);
        }
        if self.answers(application) {
            lines.push(line("answered", values(&|row| grouped(row.replied))));
        }
        let latency = |value: Option<crate::table::Millis>| value.map_or("–".into(), |ms| human_millis(ms.0));
        let tenths = |thousandths: u64| (thousandths + 50) / 100;
        let rate = |thousandths| format!("{}.{}/s", grouped(tenths(thousandths) / 10), tenths(thousandths) % 10);
        let incidents: [(&str, Count); 11] = [
            ("expired", |row| row.expired),
            ("overflowed", |row| row.overflowed),
            ("over delivery limit", |row| row.delivery_limit),
            ("declined", |row| row.declined),
            ("attempts failed", |row| row.failed),
            ("dead letters", |row| row.dead_letters),
            ("queues deleted", |row| row.queue_deletions),
            ("set aside", |row| row.set_aside),
            ("positions reset", |row| row.position_resets),
            ("consumers stranded", |row| row.stranded),
            ("offsets forgotten", |row| row.offsets_forgotten),
        ];
        for (name, count) in incidents {
            if rows.iter().any(|row| count(row) > 0) {
                lines.push(line(name, values(&|row| grouped(count(row)))));
            }
        }
        lines.push(line("redelivered", values(&|row| grouped(row.redeliveries))));
        lines.push(line("processed again", values(&|row| grouped(row.duplicates))));
        if rows.iter().any(|row| row.replayed > 0) {
            lines.push(line("  on purpose", values(&|row| grouped(row.replayed))));
        }
        lines.push(line("out of key order", values(&|row| grouped(row.key_order_violations))));
        lines.push(line("throughput", values(&|row| row.throughput_per_s.map_or("–".into(), |r| rate(r.0)))));
        lines.push(line("latency p50", values(&|row| latency(row.latency_ms_p50))));
        lines.push(line("latency p99", values(&|row| latency(row.latency_ms_p99))));
        lines.push(line("latency max", values(&|row| latency(row.latency_ms_max))));
        lines.push(line("most waiting", values(&|row| grouped(row.backlog_max))));
        lines.push(line("longest stall", values(&|row| human_millis(row.longest_stall_s.0))));
        lines.extend(self.verdict_lines(application));
        lines
    }

    fn verdict_lines(&self, application: &str) -> Vec<Line> {
        let mut guarantees: Vec<&str> = Vec::new();
        for row in self.verdicts.iter().filter(|row| row.application == application) {
            if !guarantees.contains(&row.guarantee.as_str()) {
                guarantees.push(&row.guarantee);
            }
        }
        let verdict = |contender: &str, guarantee: &str| {
            let mut rows = self.verdicts.iter();
            let of = rows
                .find(|row| row.contender == contender && row.application == application && row.guarantee == guarantee);
            match of.map(|row| row.verdict.as_str()) {
                Some("allowed to break and broke") => "broke (allowed)".to_owned(),
                other => other.unwrap_or("–").to_owned(),
            }
        };
        let line = |guarantee: &&str| {
            let values: Vec<String> = self.meta.contenders.iter().map(|c| verdict(&c.name, guarantee)).collect();
            let alarming = values.iter().map(|value| value == "broken").collect();
            Line { name: format!("{}?", guarantee.replace('-', " ")), values, alarming }
        };
        guarantees.iter().map(line).collect()
    }

    /// The comparison as text of at most `columns` letters a line, where the names allow it: contenders that do
    /// not fit beside each other follow below. `colour` puts escape sequences in; whether the reader is a
    /// terminal, and whether it wants colours, is for the caller to know.
    pub fn table(&self, columns: usize, colour: bool) -> String {
        let blocks = self.comparison();
        let names: Vec<&str> = self.meta.contenders.iter().map(|contender| contender.name.as_str()).collect();
        let lines = || blocks.iter().flat_map(|block| &block.lines);
        let first = lines().map(|line| length(&line.name) + 2).chain([18]).max().unwrap_or(18);
        let width = |index: usize| {
            let values = lines().map(|line| length(&line.values[index]));
            values.chain([length(names[index])]).max().unwrap_or(0) + 3
        };
        let mut text = String::new();
        let mut from = 0;
        while from < names.len() {
            let (mut until, mut used) = (from + 1, first + width(from));
            while until < names.len() && used + width(until) <= columns {
                used += width(until);
                until += 1;
            }
            let widths: Vec<usize> = (from..until).map(width).collect();
            self.section(&mut text, &blocks, (from, first), &widths, colour);
            from = until;
        }
        text
    }

    fn section(
        &self,
        text: &mut String,
        blocks: &[Block],
        (from, first): (usize, usize),
        widths: &[usize],
        colour: bool,
    ) {
        let palette = Palette::new(Theme::Dark, false);
        let looks = self.looks();
        let paint = |text: String, code: &str| if colour { format!("\x1b[{code}m{text}\x1b[0m") } else { text };
        let pad = |text: &str, width: usize| " ".repeat(width.saturating_sub(length(text)));
        text.push_str(&" ".repeat(first));
        for (index, width) in widths.iter().enumerate() {
            let name = &self.meta.contenders[from + index].name;
            let hue = palette.of(looks[from + index]);
            let code = format!("1;38;2;{};{};{}", hue.0, hue.1, hue.2);
            text.push_str(&pad(name, *width));
            text.push_str(&paint(name.clone(), &code));
        }
        text.push('\n');
        text.push_str(&paint("─".repeat(first + widths.iter().sum::<usize>()), "2"));
        text.push('\n');
        for block in blocks {
            text.push_str(&paint(block.application.clone(), "1"));
            text.push('\n');
            for line in &block.lines {
                text.push_str(&format!("  {}{}", line.name, pad(&line.name, first - 2)));
                for (index, width) in widths.iter().enumerate() {
                    let value = &line.values[from + index];
                    let code = match value.as_str() {
                        _ if line.alarming[from + index] => "1;31",
                        "0" | "–" | "0.00 ms" | "not applicable" => "2",
                        _ => "0",
                    };
                    text.push_str(&pad(value, *width));
                    text.push_str(&paint(value.clone(), code));
                }
                text.push('\n');
            }
        }
    }
}

fn line(name: &str, values: Vec<String>) -> Line {
    Line { name: name.to_owned(), alarming: vec![false; values.len()], values }
}

fn length(text: &str) -> usize {
    text.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_table_reads_well() {
        insta::assert_snapshot!("table", samples::report(&["billing", "audit"]).table(100, false));
    }

    #[test]
    fn a_narrow_terminal_gets_contenders_below_each_other() {
        let report = samples::report(&["billing"]);
        let text = report.table(50, false);
        assert!(text.lines().all(|line| length(line) <= 50), "{text}");
        assert_eq!(text.matches("offered").count(), 3, "{text}");
    }

    #[test]
    fn colours_are_only_there_on_request_and_do_not_change_the_text() {
        let report = samples::report(&["billing"]);
        let plain = report.table(100, false);
        let coloured = report.table(100, true);
        assert!(!plain.contains('\x1b'));
        let mut stripped = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            stripped.push_str(before);
            rest = after.split_once('m').expect("an escape sequence ends").1;
        }
        assert_eq!(stripped + rest, plain);
    }
}
