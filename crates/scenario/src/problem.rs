//! What is wrong with a scenario, told so that it can be put right: file, line, column, what was found, what is
//! allowed, and the line itself.

use core::fmt;
use core::ops::Range;
use std::cell::RefCell;

/// How many problems are told at once.
const MOST_PROBLEMS: usize = 10;

/// Something wrong in an input file or a setting.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// Where.
    pub place: Place,
    /// What is wrong and what would be right, as a sentence without a full stop.
    pub message: String,
    /// The line that it stands in, and the columns to point at.
    pub excerpt: Option<Excerpt>,
}

/// Where something is wrong.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Place {
    /// In a line of a file.
    Line {
        /// The file.
        file: String,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
    },
    /// In a file as a whole.
    File(String),
    /// In a setting.
    Setting(String),
}

/// A line of a file with what to point at.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Excerpt {
    /// The number of the line, from 1.
    pub line: usize,
    /// The line.
    pub text: String,
    /// Where to begin to point, from 1, in characters.
    pub column: usize,
    /// How many characters to point at.
    pub width: usize,
}

/// Everything that is wrong with a scenario, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ScenarioError {
    /// The problems, at most ten.
    pub problems: Vec<Problem>,
    /// How many more there are.
    pub omitted: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Line { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Place::File(file) => f.write_str(file),
            Place::Setting(path) => write!(f, "--set {path}"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)?;
        if let Some(excerpt) = &self.excerpt {
            let number = excerpt.line.to_string();
            let margin = " ".repeat(number.len());
            let (text, column) = excerpt.cropped();
            // A tab before the mark stays a tab, so that the mark stands where the terminal puts the text.
            let lead: String = text.chars().take(column - 1).map(|c| if c == '\t' { c } else { ' ' }).collect();
            let marks = "^".repeat(excerpt.width.clamp(1, text.chars().count().saturating_sub(column - 1).max(1)));
            write!(f, "\n{margin} |\n{number} | {text}\n{margin} | {lead}{marks}")?;
        }
        Ok(())
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, problem) in self.problems.iter().enumerate() {
            if index > 0 {
                f.write_str("\n\n")?;
            }
            problem.fmt(f)?;
        }
        if self.omitted > 0 {
            write!(f, "\n\nand {} more", self.omitted)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioError {}

impl From<Problem> for ScenarioError {
    fn from(problem: Problem) -> Self {
        ScenarioError { problems: vec![problem], omitted: 0 }
    }
}

/// How much of a long line is shown, in characters, and how much of it before the place to point at.
const WINDOW: (usize, usize) = (110, 40);

impl Excerpt {
    /// The line with the column to point at, or the part around it where the line is long.
    fn cropped(&self) -> (String, usize) {
        let length = self.text.chars().count();
        if length <= WINDOW.0 {
            return (self.text.clone(), self.column);
        }
        let from = (self.column - 1).saturating_sub(WINDOW.1);
        let part: String = self.text.chars().skip(from).take(WINDOW.0).collect();
        let (before, after) = (if from > 0 { "…" } else { "" }, if from + WINDOW.0 < length { "…" } else { "" });
        (format!("{before}{part}{after}"), self.column - from + before.chars().count())
    }

    /// The part of a text that a span lies in, and its line and column. A span over several lines is pointed at
    /// in its first.
    pub(crate) fn of(text: &str, span: Range<usize>) -> Excerpt {
        let start = (0..=span.start.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        let line_start = text[..start].rfind('\n').map_or(0, |at| at + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |at| start + at);
        let end =
            (span.end.clamp(start, line_end)..=line_end).find(|at| text.is_char_boundary(*at)).unwrap_or(line_end);
        Excerpt {
            line: text[..line_start].matches('\n').count() + 1,
            text: text[line_start..line_end].trim_end_matches('\r').to_string(),
            column: text[line_start..start].chars().count() + 1,
            width: text[start..end].trim_end().chars().count().max(1),
        }
    }
}

/// Collects problems while a document is read.
pub(crate) struct Problems<'a> {
    file: &'a str,
    text: &'a str,
    /// Where values stand that came from settings, and the settings.
    settings: Vec<(Range<usize>, String)>,
    found: RefCell<Vec<(usize, Problem)>>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str, settings: Vec<(Range<usize>, String)>) -> Problems<'a> {
        Problems { file, text, settings, found: RefCell::default() }
    }

    /// Notes a problem at a place in the document.
    pub(crate) fn add(&self, span: Range<usize>, message: impl Into<String>) {
        let setting = self.settings.iter().find(|(range, _)| range.start <= span.start && span.end <= range.end);
        let excerpt = Excerpt::of(self.text, span.clone());
        let problem = match setting {
            Some((_, path)) => Problem { place: Place::Setting(path.clone()), message: message.into(), excerpt: None },
            None => Problem {
                place: Place::Line { file: self.file.to_string(), line: excerpt.line, column: excerpt.column },
                message: message.into(),
                excerpt: Some(excerpt),
            },
        };
        self.found.borrow_mut().push((span.start, problem));
    }

    /// Notes a problem that lies elsewhere, at the place in the document that led there.
    pub(crate) fn add_elsewhere(&self, at: usize, problem: Problem) {
        self.found.borrow_mut().push((at, problem));
    }

    /// All of them, or nothing where there are none.
    pub(crate) fn finish(self) -> Result<(), ScenarioError> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return Ok(());
        }
        found.sort_by_key(|(at, _)| *at);
        let mut problems: Vec<Problem> = found.into_iter().map(|(_, problem)| problem).collect();
        let omitted = problems.len().saturating_sub(MOST_PROBLEMS);
        problems.truncate(MOST_PROBLEMS);
        Err(ScenarioError { problems, omitted })
    }
}
