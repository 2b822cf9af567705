//! The same fault on every target that it could have hit as well: which is best, and which is worst.

use std::cmp::Reverse;

use crate::columns::{SummaryRow, TargetRow};
use crate::number::grouped;
use crate::report::Report;
use crate::words::human_millis;

const BEST: &str = "best";
const WORST: &str = "worst";

impl TargetRow {
    /// What a run came to in which a fault hit this target.
    pub fn new(summary: &SummaryRow, fault: &str, target: &str, failing: usize) -> TargetRow {
        TargetRow {
            contender: summary.contender.clone(),
            application: summary.application.clone(),
            fault: fault.to_owned(),
            target: target.to_owned(),
            rank: String::new(),
            failing: failing as u64,
            lost: summary.lost,
            not_processed: summary.not_processed,
            in_backlog: summary.in_backlog,
            duplicates: summary.duplicates,
            key_order_violations: summary.key_order_violations,
            latency_ms_p99: summary.latency_ms_p99,
            latency_ms_max: summary.latency_ms_max,
            longest_stall_s: summary.longest_stall_s,
        }
    }

    /// What counts first comes first: messages, then time. Expectations do not count: one may well say that messages are
    /// lost.
    fn badness(&self) -> impl Ord + use<> {
        let counts = [
            self.lost,
            self.not_processed,
            self.duplicates,
            self.key_order_violations,
            self.in_backlog,
            self.longest_stall_s.0,
        ];
        (counts, self.latency_ms_p99, self.latency_ms_max)
    }

    fn is_beside(&self, other: &TargetRow) -> bool {
        (&self.fault, &self.contender, &self.application) == (&other.fault, &other.contender, &other.application)
    }
}

/// A table of targets for a reader: the same fault, contender and application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TargetTable {
    /// The fault as the scenario names it.
    pub fault: String,
    /// The contender and the application.
    pub of: String,
    /// What is compared. Counts that are zero everywhere are left out.
    pub headings: Vec<&'static str>,
    /// Each target with its values.
    pub rows: Vec<(String, Vec<String>)>,
}

/// A column for readers: its heading, its value, and whether it is left out where there is nothing but zero.
type Shown = (&'static str, fn(&TargetRow) -> String, bool);

const SHOWN: [Shown; 10] = [
    ("lost", |row| grouped(row.lost), false),
    ("not processed", |row| grouped(row.not_processed), true),
    ("in backlog", |row| grouped(row.in_backlog), true),
    ("processed again", |row| grouped(row.duplicates), false),
    ("out of key order", |row| grouped(row.key_order_violations), true),
    ("latency p99", |row| row.latency_ms_p99.map_or("–".to_owned(), |ms| human_millis(ms.0)), false),
    ("latency max", |row| row.latency_ms_max.map_or("–".to_owned(), |ms| human_millis(ms.0)), false),
    ("longest stall", |row| human_millis(row.longest_stall_s.0), false),
    ("expectations failing", |row| grouped(row.failing), true),
    ("", |row| row.rank.clone(), false),
];

impl Report {
    /// Takes what every target came to, ranks the targets of each fault, contender and application, and keeps the rows.
    pub fn rank_targets(&mut self, mut rows: Vec<TargetRow>) {
        for index in 0..rows.len() {
            let beside = || rows.iter().enumerate().filter(|(_, row)| row.is_beside(&rows[index]));
            // Of several alike the first is named.
            let best = beside().min_by_key(|(_, row)| row.badness());
            let worst = beside().max_by_key(|(place, row)| (row.badness(), Reverse(*place)));
            let Some(((best, _), (worst, _))) = best.zip(worst) else { continue };
            if best != worst && index == best {
                rows[index].rank = BEST.to_owned();
            } else if best != worst && index == worst {
                rows[index].rank = WORST.to_owned();
            }
        }
        self.targets = Some(rows);
    }

    /// The targets as tables for readers, in the order of the faults.
    pub fn target_tables(&self) -> Vec<TargetTable> {
        let rows = self.targets.as_deref().unwrap_or_default();
        let mut groups: Vec<Vec<&TargetRow>> = Vec::new();
        for row in rows {
            match groups.iter_mut().find(|group| group[0].is_beside(row)) {
                Some(group) => group.push(row),
                None => groups.push(vec![row]),
            }
        }
        groups.iter().map(|group| table(group)).collect()
    }

    /// The same as text.
    pub fn targets_text(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for table in self.target_tables() {
            if last.as_ref() != Some(&table.fault) {
                text.push_str(&format!("  {}\n", table.fault));
            }
            table.write(&mut text);
            last = Some(table.fault);
        }
        text
    }
}

fn table(group: &[&TargetRow]) -> TargetTable {
    let is_told = |(_, value, is_optional): &&Shown| !is_optional || group.iter().any(|row| value(row) != "0");
    let shown: Vec<&Shown> = SHOWN.iter().filter(is_told).collect();
    TargetTable {
        fault: group[0].fault.clone(),
        of: format!("{}, {}", group[0].contender, group[0].application),
        headings: shown.iter().map(|(heading, ..)| *heading).collect(),
        rows: group
            .iter()
            .map(|row| (row.target.clone(), shown.iter().map(|(_, value, _)| value(row)).collect()))
            .collect(),
    }
}

impl TargetTable {
    fn write(&self, text: &mut String) {
        let length = |text: &str| text.chars().count();
        let first = self.rows.iter().map(|(target, _)| length(target) + 2).chain([length(&self.of)]).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().map(|(_, values)| length(&values[column]));
            cells.chain([length(self.headings[column])]).max().unwrap_or(0)
        };
        let mut line = |name: &str, values: &mut dyn Iterator<Item = &str>| {
            let cells = values.enumerate().map(|(column, value)| format!("  {value:>width$}", width = width(column)));
            let line = format!("    {name:first$}{}", cells.collect::<String>());
            text.push_str(line.trim_end());
            text.push('\n');
        };
        line(&self.of, &mut self.headings.iter().copied());
        for (target, values) in &self.rows {
            line(&format!("  {target}"), &mut values.iter().map(String::as_str));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::Decimal;

    fn row(target: &str, lost: u64, stall_s: u64) -> TargetRow {
        let summary = SummaryRow {
            contender: "log".into(),
            application: "billing".into(),
            lost,
            longest_stall_s: Decimal(stall_s * 1_000_000_000),
            ..SummaryRow::default()
        };
        TargetRow::new(&summary, "crash broker/2", target, 0)
    }

    fn ranked(rows: Vec<TargetRow>) -> Report {
        let mut report = Report::default();
        report.rank_targets(rows);
        report
    }

    #[test]
    fn losses_count_before_time_and_the_first_of_several_is_named() {
        let report = ranked(vec![row("a", 0, 9), row("b", 2, 1), row("c", 0, 1), row("d", 0, 1), row("e", 2, 1)]);
        let ranks: Vec<&str> = report.targets.iter().flatten().map(|row| row.rank.as_str()).collect();
        assert_eq!(ranks, ["", "worst", "best", "", ""]);
        insta::assert_snapshot!(report.targets_text());
    }

    #[test]
    fn where_all_are_alike_none_is_best() {
        let report = ranked(vec![row("a", 1, 1), row("b", 1, 1)]);
        assert!(report.targets.iter().flatten().all(|row| row.rank.is_empty()));
    }
}
