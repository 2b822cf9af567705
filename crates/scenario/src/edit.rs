//! Settings: `path=value` applied to a document, with everything else in it left as it is, comments too.

use core::ops::Range;

use toml_edit::{ArrayOfTables, DocumentMut, InlineTable, Item, Table, TableLike, Value};

use crate::problem::{Place, Problem};
use crate::suggest;

/// A setting that has been applied.
pub(crate) struct Applied {
    /// The path.
    pub path: String,
    /// The first step of the path that was not there before.
    created: usize,
}

/// Applies a setting such as `contender.queue.prefetch=1` to a document. The entries of a list are named by their
/// `name` or by their number, from 0. What is not there yet is added. A value that is no TOML is a text. A path that
/// ends with `+` names a list of tables, and a table is added to it: `fault+={at="30s",crash="billing/2"}`.
pub(crate) fn apply(document: &mut DocumentMut, setting: &str) -> Result<Applied, Problem> {
    let wrong =
        |path: &str, message: String| Problem { place: Place::Setting(path.to_string()), message, excerpt: None };
    let Some((path, value)) = setting.split_once('=') else {
        return Err(wrong(setting, "a setting is a path and a value, such as demand.rate=80/s".to_string()));
    };
    let (path, value) = (path.trim(), value.trim());
    let (path, adds) = path.strip_suffix('+').map_or((path, false), |list| (list.trim(), true));
    let steps: Vec<&str> = path.split('.').map(str::trim).collect();
    if steps.iter().any(|step| step.is_empty()) {
        return Err(wrong(path, "the path has an empty step; it is written like demand.rate".to_string()));
    }
    let value: Value = value.parse().unwrap_or_else(|_| Value::from(value));
    if adds {
        let path = add(document, &steps, value).map_err(|message| wrong(path, message))?;
        return Ok(Applied { path, created: steps.len() });
    }
    match set(document.as_table_mut(), &steps, 0, value, false) {
        Ok(created) => Ok(Applied { path: path.to_string(), created }),
        Err(message) => Err(wrong(path, message)),
    }
}

/// Sets the value at the end of the path and returns the first step that was not there.
fn set(table: &mut dyn TableLike, steps: &[&str], at: usize, value: Value, inline: bool) -> Result<usize, String> {
    let step = steps[at];
    if at + 1 == steps.len() {
        let there = table.contains_key(step);
        if table.get(step).is_some_and(Item::is_array_of_tables) {
            let message = "is a list of tables: name one of them and what to set in it";
            return Err(format!("{step} {message}, like {step}.0.name"));
        }
        match table.get_mut(step).and_then(Item::as_value_mut) {
            Some(old) => {
                let decor = old.decor().clone();
                *old = value;
                *old.decor_mut() = decor;
            }
            None => {
                table.insert(step, Item::Value(value));
                if inline {
                    table.fmt();
                }
            }
        }
        return Ok(if there { steps.len() - 1 } else { at });
    }
    if !table.contains_key(step) {
        let new = if inline { Item::Value(InlineTable::new().into()) } else { Item::Table(Table::new()) };
        table.insert(step, new);
        let inner = table.get_mut(step).and_then(Item::as_table_like_mut).expect("it was just inserted");
        return set(inner, steps, at + 1, value, inline).map(|_| at);
    }
    let item = table.get_mut(step).expect("it is there");
    match item {
        Item::ArrayOfTables(list) => {
            let index =
                entry(list.iter().map(|table| table as &dyn TableLike), step, steps[at + 1], steps.len() > at + 2)?;
            set(list.get_mut(index).expect("the entry was found"), steps, at + 2, value, false)
        }
        Item::Value(Value::Array(list)) if list.iter().all(Value::is_inline_table) => {
            let tables = list.iter().filter_map(|value| value.as_inline_table().map(|table| table as &dyn TableLike));
            let index = entry(tables, step, steps[at + 1], steps.len() > at + 2)?;
            let table = list.get_mut(index).and_then(Value::as_inline_table_mut).expect("the entry was found");
            set(table, steps, at + 2, value, true)
        }
        item => {
            let inline = item.is_inline_table();
            match item.as_table_like_mut() {
                Some(inner) => set(inner, steps, at + 1, value, inline),
                None => Err(format!("{step} is not a table: set {} as a whole", steps[..=at].join("."))),
            }
        }
    }
}

/// Adds a table to the list at the end of the path, and returns the path of the new entry.
fn add(document: &mut DocumentMut, steps: &[&str], value: Value) -> Result<String, String> {
    let path = steps.join(".");
    let Value::InlineTable(entry) = value else {
        return Err(format!("{path}+ adds a table to a list: it is written like {path}+={{name=\"value\"}}"));
    };
    let (last, rest) = steps.split_last().expect("a path has a step");
    let mut table: &mut dyn TableLike = document.as_table_mut();
    let mut at = 0;
    while at < rest.len() {
        let step = rest[at];
        let item = table.get_mut(step).ok_or_else(|| format!("there is no {step}"))?;
        if let Item::ArrayOfTables(list) = item {
            let name = rest.get(at + 1).ok_or_else(|| format!("{step} is a list of tables: name one of them"))?;
            let index = self::entry(list.iter().map(|table| table as &dyn TableLike), step, name, true)?;
            table = list.get_mut(index).expect("the entry was found");
            at += 2;
        } else {
            table = item.as_table_like_mut().ok_or_else(|| format!("{step} is not a table"))?;
            at += 1;
        }
    }
    let list = table.entry(last).or_insert(Item::ArrayOfTables(ArrayOfTables::new()));
    let index = match list {
        Item::ArrayOfTables(list) => {
            list.push(entry.into_table());
            list.len() - 1
        }
        Item::Value(Value::Array(list)) => {
            list.push(entry);
            list.len() - 1
        }
        _ => return Err(format!("{last} is not a list of tables")),
    };
    Ok(format!("{path}.{index}"))
}

/// The entry of a list that a step names.
fn entry<'a>(
    list: impl Iterator<Item = &'a dyn TableLike>,
    name: &str,
    step: &str,
    more: bool,
) -> Result<usize, String> {
    let names: Vec<Option<&str>> = list.map(|table| table.get("name").and_then(Item::as_str)).collect();
    let found =
        names.iter().position(|name| *name == Some(step)).or_else(|| step.parse().ok().filter(|at| *at < names.len()));
    match found {
        Some(index) if more => Ok(index),
        Some(_) => Err(format!("{name}.{step} is a table: say what to set in it")),
        None => {
            let known: Vec<&str> = names.iter().flatten().copied().collect();
            let all = match known.is_empty() {
                true => format!("its entries are numbered from 0 to {}", names.len().saturating_sub(1)),
                false => format!("its entries are {}", known.join(", ")),
            };
            Err(format!("{name} has no entry \"{step}\"; {all}{}", suggest::did_you_mean(step, known.iter().copied())))
        }
    }
}

/// Where what a setting changed stands in the document, from the first key that it added to the end of its value.
pub(crate) fn locate(root: &dyn TableLike, applied: &Applied) -> Option<Range<usize>> {
    let steps: Vec<&str> = applied.path.split('.').map(str::trim).collect();
    let mut table = root;
    let mut start = None;
    let mut at = 0;
    loop {
        let (key, item) = table.get_key_value(steps[at])?;
        if at >= applied.created && start.is_none() {
            start = key.span().map(|span| span.start);
        }
        if at + 1 == steps.len() {
            let value = item.span()?;
            return Some(start.unwrap_or(value.start)..value.end);
        }
        at += 1;
        if let Some(inner) = item.as_table_like() {
            table = inner;
            continue;
        }
        let list = crate::reader::list_of_tables(item)?;
        let index = entry(list.iter().map(|(table, _)| *table), "", steps[at], true).ok()?;
        let (inner, span) = list.get(index)?;
        at += 1;
        if at == steps.len() {
            // The span of a table under a header is that of the header alone.
            let ends = inner.iter().filter_map(|(_, item)| item.span()).map(|span| span.end);
            let span = span.clone()?;
            return Some(span.start..ends.fold(span.end, usize::max));
        }
        table = *inner;
    }
}
