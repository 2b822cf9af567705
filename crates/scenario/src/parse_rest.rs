//! Reads expectations and the flip, and the names that they and faults may use.

use core::ops::Range;

use toml_edit::{DocumentMut, Item, TableLike, Value};

use crate::expect::{Clause, Comparison, Expectation, Flip, METRICS, Metric, Quantity, Relation};
use crate::options::EXPECT;
use crate::parse::valid_without_flip;
use crate::problem::Problems;
use crate::reader::{Reader, found};
use crate::source::Source;
use crate::{edit, suggest, units};

/// The names that faults and expectations may use.
pub(crate) struct Names {
    /// How many broker nodes there are.
    pub nodes: u16,
    /// Some application answers.
    pub answers: bool,
    pub producers: u32,
    /// Each application with its number of consumers.
    pub applications: Vec<(String, u32)>,
    /// The kinds of messages.
    pub kinds: Vec<String>,
    /// The kinds that each application wants; nothing where it wants all.
    pub wants: Vec<Option<Vec<String>>>,
    pub contenders: Vec<String>,
}

impl Names {
    pub(crate) fn application(&self, name: &str) -> Result<usize, String> {
        let names: Vec<&str> = self.applications.iter().map(|(name, _)| name.as_str()).collect();
        names.iter().position(|own| *own == name).ok_or_else(|| unknown("application", name, &names))
    }

    fn kind(&self, name: &str) -> Result<usize, String> {
        let names: Vec<&str> = self.kinds.iter().map(String::as_str).collect();
        names.iter().position(|own| *own == name).ok_or_else(|| unknown("kind", name, &names))
    }

    pub(crate) fn contender(&self, name: &str) -> Result<usize, String> {
        let names: Vec<&str> = self.contenders.iter().map(String::as_str).collect();
        names.iter().position(|own| *own == name).ok_or_else(|| unknown("contender", name, &names))
    }
}

pub(crate) fn unknown(what: &str, name: &str, names: &[&str]) -> String {
    let hint = suggest::did_you_mean(name, names.iter().copied());
    let hint = match names {
        [] => String::new(),
        _ if hint.is_empty() => format!("; there is {}", names.join(", ")),
        _ => hint,
    };
    format!("there is no {what} \"{name}\"{hint}")
}

pub(crate) fn expectation(
    table: &dyn TableLike,
    span: Range<usize>,
    problems: &Problems<'_>,
    names: &Names,
) -> Option<Expectation> {
    let metrics: Vec<&'static str> = METRICS.iter().map(|metric| metric.name).collect();
    let reader = Reader::new(table, &EXPECT, span, problems, &metrics, |_| None);
    let look_up = |option: &str, find: &dyn Fn(&str) -> Result<usize, String>| match reader.named(option) {
        None => Some(None).filter(|_| !reader.has(option)),
        Some(name) => match find(&name) {
            Ok(index) => Some(Some(index)),
            Err(message) => {
                reader.complain(option, message);
                None
            }
        },
    };
    let contender = look_up("contender", &|name| names.contender(name));
    let application = look_up("application", &|name| names.application(name));
    let kind = look_up("kind", &|name| names.kind(name));
    let name = reader.text("name");
    let mut clauses = Vec::new();
    for (key, item) in table.iter() {
        let Some(metric) = METRICS.iter().find(|metric| metric.name == key) else { continue };
        if !metric.is_of_kind() && reader.has("kind") {
            reader.complain(key, format!("{key} is not known of each kind, only processed and latency_* are"));
        }
        match clause(metric, item, names) {
            Ok(clause) => {
                let itself = clause.comparison.other().is_some_and(|other| Some(Some(other)) == contender);
                if itself {
                    reader.complain(key, format!("{key} would be compared with itself"));
                }
                clauses.push(clause);
            }
            Err(message) => reader.complain(key, message),
        }
    }
    if table.iter().all(|(key, _)| EXPECT.find(key).is_some()) {
        reader
            .problems
            .add(reader.span.clone(), "[[expect]] needs a metric, such as lost = 0 or latency_p99 = \"< 200ms\"");
    }
    Some(Expectation { name, contender: contender?, application: application?, kind: kind?, clauses })
}

fn clause(metric: &'static Metric, item: &Item, names: &Names) -> Result<Clause, String> {
    let example = match metric.quantity {
        Quantity::Count => "a number, a comparison such as \">= 50\" or \"< 2 * queue\", or a range such as \"0..5\"",
        Quantity::Duration => "a comparison such as \"< 200ms\" or \"< queue\", or a range such as \"1s..5s\"",
        Quantity::Bytes => "a comparison such as \"< 10MiB\" or \"< queue\", or a range such as \"1MiB..5MiB\"",
        Quantity::Rate => "a comparison such as \"> 30/s\" or \"> queue\", or a range such as \"30/s..50/s\"",
    };
    let wrong = || format!("{} must be {example}, found {}", metric.name, found(item));
    let (comparison, text) = match item {
        Item::Value(Value::Integer(number)) if metric.quantity == Quantity::Count && *number.value() >= 0 => {
            (Comparison::Value(Relation::Equal, *number.value() as f64), number.value().to_string())
        }
        Item::Value(Value::String(text)) => {
            let text = text.value().trim();
            (
                comparison(text, metric.quantity, names).map_err(|reason| match reason {
                    Some(reason) => format!("{} cannot be compared so, found {}: {reason}", metric.name, found(item)),
                    None => wrong(),
                })?,
                text.to_string(),
            )
        }
        _ => return Err(wrong()),
    };
    Ok(Clause { metric, comparison, text })
}

fn comparison(text: &str, quantity: Quantity, names: &Names) -> Result<Comparison, Option<String>> {
    if let Some((low, high)) = text.split_once("..") {
        let (low, high) = (amount(low, quantity)?, amount(high, quantity)?);
        return match low <= high {
            true => Ok(Comparison::Range(low, high)),
            false => Err(Some("the range ends before it begins".to_string())),
        };
    }
    let relations =
        [Relation::AtMost, Relation::AtLeast, Relation::Unequal, Relation::Less, Relation::More, Relation::Equal];
    let found = relations.iter().find_map(|relation| Some((*relation, text.strip_prefix(relation.sign())?)));
    let (relation, rest) = found.unwrap_or((Relation::Equal, text));
    let rest = rest.trim();
    let (factor, name) = match rest.split_once('*') {
        Some((factor, name)) => {
            let factor = factor.trim().parse::<f64>().ok().filter(|factor| factor.is_finite() && *factor > 0.0);
            (
                factor.ok_or_else(|| Some("before * stands a factor above zero, such as 2 * queue".to_string()))?,
                name.trim(),
            )
        }
        None => (1.0, rest),
    };
    if factor != 1.0 || name.starts_with(|c: char| c.is_ascii_alphabetic()) {
        let contender = names.contender(name).map_err(Some)?;
        return Ok(Comparison::Contender(relation, factor, contender));
    }
    amount(rest, quantity).map(|amount| Comparison::Value(relation, amount))
}

/// A number with the unit of its quantity.
fn amount(text: &str, quantity: Quantity) -> Result<f64, Option<String>> {
    let text = text.trim();
    match quantity {
        Quantity::Count => text.replace('_', "").parse::<u64>().map(|count| count as f64).map_err(|_| None),
        Quantity::Duration => units::duration(text).map(|duration| duration.as_nanos() as f64).map_err(Some),
        Quantity::Bytes => units::size(text).map(|size| size as f64).map_err(Some),
        Quantity::Rate => units::rate(text).map_err(Some),
    }
}

pub(crate) fn flip(
    root: &Reader<'_>,
    expectations: &[Option<Expectation>],
    source: &Source,
    text: &str,
    check: bool,
) -> Option<Flip> {
    let reader = root.table("flip")?;
    let sets = settings(&reader);
    if check && let Some(sets) = &sets {
        check_flip(&reader, sets, source, text);
    }
    let fails = reader.text("fails").and_then(|wanted| {
        let names: Vec<Option<&str>> = expectations.iter().map(|e| e.as_ref()?.name.as_deref()).collect();
        let found = names.iter().position(|name| *name == Some(wanted.as_str()));
        if found.is_none() && expectations.iter().all(Option::is_some) {
            let known: Vec<&str> = names.into_iter().flatten().collect();
            let hint = suggest::did_you_mean(&wanted, known.iter().copied());
            reader.complain("fails", format!("no [[expect]] has the name \"{wanted}\"{hint}"));
        }
        found
    });
    let because = reader.text("because");
    Some(Flip { sets: sets?, fails: fails?, because })
}

fn settings(reader: &Reader<'_>) -> Option<Vec<String>> {
    let item = reader.table.get("set")?;
    let Some(table) = item.as_table_like().filter(|table| !table.is_empty()) else {
        reader.complain(
            "set",
            format!(
                "set must be a table such as {{ \"contender.log.commit\" = \"after-each\" }}, found {}",
                found(item)
            ),
        );
        return None;
    };
    let mut sets = Vec::new();
    for (path, item) in table.iter() {
        let value = match item {
            Item::Value(value) => value.clone().decorated("", "").to_string(),
            other => {
                reader.complain(
                    "set",
                    format!("\"{path}\" needs a value, found {}; a path with dots is written in quotes", found(other)),
                );
                return None;
            }
        };
        sets.push(format!("{path}={value}"));
    }
    Some(sets)
}

/// The flip must lead to a valid scenario that is another one.
fn check_flip(reader: &Reader<'_>, sets: &[String], source: &Source, text: &str) {
    // The text was a valid document a moment ago.
    let Ok(mut document) = text.parse::<DocumentMut>() else { return };
    for setting in sets {
        if let Err(problem) = edit::apply(&mut document, setting) {
            reader.complain("set", format!("the change cannot be made: {}", problem.message));
            return;
        }
    }
    let changed = document.to_string();
    if changed == text {
        reader.complain("set", "the change changes nothing: these values are there already");
        return;
    }
    // Where the text itself is not valid its own problems are told, and once is enough.
    if valid_without_flip(source, text).is_ok()
        && let Err(error) = valid_without_flip(source, &changed)
    {
        reader.complain("set", format!("with this change the scenario is not valid: {}", error.problems[0].message));
    }
}
