//! Reads the options of one table: looks each up in the table of options, checks it, and fills in its default.

use core::ops::Range;

use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::properties::{FieldTable, FieldValue};
use brokerlab_event::Duration;
use toml_edit::{Item, TableLike, Value};

use crate::options::{Kind, Opt, Spec};
use crate::problem::Problems;
use crate::{suggest, trace, units};

/// The longest key, in bytes: AMQP's short strings end there.
const LONGEST_KEY: usize = 255;

/// The most entries of a list of tables.
const MOST_ENTRIES: usize = 10_000;

/// A table of the document under the options that it may have.
pub(crate) struct Reader<'a> {
    pub table: &'a dyn TableLike,
    pub spec: &'static Spec,
    /// Where problems of the table as a whole are shown.
    pub span: Range<usize>,
    pub problems: &'a Problems<'a>,
}

impl<'a> Reader<'a> {
    /// A reader; complains of keys that are no options. `others` are keys that the caller knows beyond the table
    /// of options, and `elsewhere` says where a key would be at home.
    pub(crate) fn new(
        table: &'a dyn TableLike,
        spec: &'static Spec,
        span: Range<usize>,
        problems: &'a Problems<'a>,
        others: &[&'static str],
        elsewhere: impl Fn(&str) -> Option<String>,
    ) -> Reader<'a> {
        let reader = Reader { table, spec, span, problems };
        // What a misspelt key was probably meant to be is not missed as well.
        let mut meant: Vec<&str> = Vec::new();
        for (key, item) in table.iter() {
            if spec.find(key).is_some() || others.contains(&key) {
                continue;
            }
            let message = elsewhere(key).unwrap_or_else(|| {
                let names: Vec<&str> =
                    spec.options.iter().map(|option| option.name).chain(others.iter().copied()).collect();
                let hint = suggest::did_you_mean(key, names.iter().copied());
                meant.extend(suggest::closest(key, names.iter().copied()));
                let known = if names.len() > 24 { String::new() } else { format!(" (it has {})", names.join(", ")) };
                format!("{} has no option \"{key}\"{}", spec.title, if hint.is_empty() { known } else { hint })
            });
            problems.add(reader.key_span(key, item), message);
        }
        let missing =
            |option: &&Opt| option.required && !table.contains_key(option.name) && !meant.contains(&option.name);
        for option in spec.options.iter().filter(missing) {
            let doc = option.doc.split_once(". ").map_or(option.doc.trim_end_matches('.'), |(first, _)| first);
            problems.add(reader.span.clone(), format!("{} needs \"{}\": {}", spec.title, option.name, lower(doc)));
        }
        reader
    }

    fn key_span(&self, key: &str, item: &Item) -> Range<usize> {
        let own = self.table.get_key_value(key).and_then(|(key, _)| key.span());
        own.or_else(|| item.span()).unwrap_or_else(|| self.span.clone())
    }

    /// Where the value of an option stands; where the table does if it is not there.
    pub(crate) fn span_of(&self, name: &str) -> Range<usize> {
        self.table.get(name).and_then(Item::span).unwrap_or_else(|| self.span.clone())
    }

    /// Whether the file has this option.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.table.contains_key(name)
    }

    /// Complains of the value of an option.
    pub(crate) fn complain(&self, name: &str, message: impl Into<String>) {
        self.problems.add(self.span_of(name), message);
    }

    /// The value of an option, from the file or its default. Nothing where there is neither, or where it is wrong,
    /// which is then noted.
    pub(crate) fn read<T>(&self, name: &str, read: impl Fn(&Value, &Kind) -> Result<T, Wrong>) -> Option<T> {
        let option = self.spec.find(name).expect("only options of the table are read");
        let Some(item) = self.table.get(name) else {
            let text = option.default?;
            let value: Value = text.parse().expect("defaults are valid TOML");
            return Some(read(&value, &option.kind).unwrap_or_else(|_| panic!("the default of {name} is valid")));
        };
        let result = match as_value(item) {
            Some(value) => read(&value, &option.kind),
            None => Err(Wrong::Kind),
        };
        match result {
            Ok(value) => Some(value),
            Err(wrong) => {
                self.complain(name, wrong.message(option, item));
                None
            }
        }
    }

    pub(crate) fn text(&self, name: &str) -> Option<String> {
        self.read(name, |value, _| text(value))
    }

    pub(crate) fn name(&self) -> Option<String> {
        self.named("name")
    }

    pub(crate) fn named(&self, option: &str) -> Option<String> {
        self.read(option, |value, _| {
            let name = text(value)?;
            let good = name.starts_with(|c: char| c.is_ascii_alphabetic())
                && name.len() <= 40
                && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
            if good { Ok(name) } else { Err(Wrong::Kind) }
        })
    }

    /// A text that may be empty: a key, or the name of an exchange.
    pub(crate) fn key(&self, option: &str) -> Option<String> {
        self.read(option, |value, _| {
            value.as_str().filter(|key| key.len() <= LONGEST_KEY).map(str::to_string).ok_or(Wrong::Kind)
        })
    }

    pub(crate) fn label(&self, option: &str) -> Option<String> {
        self.read(option, |value, _| label(value))
    }

    pub(crate) fn labels(&self, option: &str) -> Option<Vec<String>> {
        self.read(option, |value, _| {
            let list = value.as_array().filter(|list| !list.is_empty()).ok_or(Wrong::Kind)?;
            list.iter().map(label).collect()
        })
    }

    /// A table of headers or arguments; an empty one where there is none.
    pub(crate) fn fields(&self, option: &str) -> Option<FieldTable> {
        if !self.has(option) {
            return Some(FieldTable::default());
        }
        self.read(option, |value, _| {
            let table = value.as_inline_table().ok_or(Wrong::Kind)?;
            let field = |(name, value): (&str, &Value)| match value {
                Value::String(text) => Ok((name.to_string(), FieldValue::Text(text.value().as_str().into()))),
                Value::Integer(number) => Ok((name.to_string(), FieldValue::Integer(*number.value()))),
                Value::Boolean(flag) => Ok((name.to_string(), FieldValue::Bool(*flag.value()))),
                Value::Array(entries) => {
                    let text = |entry: &Value| entry.as_str().map(|text| FieldValue::Text(text.into()));
                    let texts: Option<Vec<FieldValue>> = entries.iter().map(text).collect();
                    Ok((name.to_string(), FieldValue::Array(texts.ok_or(Wrong::Kind)?)))
                }
                _ => Err(Wrong::Kind),
            };
            table.iter().map(field).collect()
        })
    }

    pub(crate) fn integer(&self, option: &str) -> Option<i32> {
        self.read(option, |value, _| {
            value.as_integer().and_then(|number| i32::try_from(number).ok()).ok_or(Wrong::Kind)
        })
    }

    pub(crate) fn whole_or_none(&self, option: &str) -> Option<Option<u32>> {
        self.read(option, |value, _| match value.as_str() {
            Some("none") => Ok(None),
            _ => value.as_integer().and_then(|number| u32::try_from(number).ok()).map(Some).ok_or(Wrong::Kind),
        })
    }

    pub(crate) fn levels(&self, option: &str) -> Option<u8> {
        self.read(option, |value, _| {
            let number = value.as_integer().ok_or(Wrong::Kind)?;
            let reason = || format!("it must be from 1 to 255 {}", refused(ReplyCode::PreconditionFailed));
            u8::try_from(number).ok().filter(|number| *number > 0).ok_or_else(|| Wrong::Because(reason()))
        })
    }

    /// A time that RabbitMQ takes as whole milliseconds.
    pub(crate) fn millis(&self, option: &str) -> Option<Duration> {
        self.read(option, |value, kind| {
            let code = refused(ReplyCode::PreconditionFailed);
            let text = value.as_str().ok_or(Wrong::Kind)?;
            if text.trim_start().starts_with('-') {
                return Err(Wrong::Because(format!("it is negative {code}")));
            }
            let time = units::duration(text).map_err(Wrong::Because)?;
            if time.is_zero() && matches!(kind, Kind::Millis { zero: false }) {
                return Err(Wrong::Because(format!("it must be more than zero {code}")));
            }
            match time.as_nanos() % 1_000_000 {
                0 => Ok(time),
                _ => Err(Wrong::Because("RabbitMQ counts it in whole milliseconds".to_string())),
            }
        })
    }

    pub(crate) fn flag(&self, name: &str) -> Option<bool> {
        self.read(name, |value, _| value.as_bool().ok_or(Wrong::Kind))
    }

    pub(crate) fn whole(&self, name: &str) -> Option<u64> {
        self.read(name, |value, kind| {
            let Kind::Whole { least, most } = kind else { unreachable!("{name} is a whole number") };
            let number = value.as_integer().and_then(|number| u64::try_from(number).ok());
            number.filter(|number| (least..=most).contains(&number)).ok_or(Wrong::Kind)
        })
    }

    /// A whole number that the table of options keeps below 2³².
    pub(crate) fn small(&self, name: &str) -> Option<u32> {
        self.whole(name).map(|number| u32::try_from(number).expect("the bounds are those of 32 bits"))
    }

    pub(crate) fn number(&self, name: &str) -> Option<f64> {
        self.read(name, |value, kind| {
            let Kind::Number { least, from, most } = kind else { unreachable!("{name} is a number") };
            let number = value.as_float().or_else(|| value.as_integer().map(|number| number as f64));
            let good = |number: &f64| number <= most && (number > least || (*from && number == least));
            number.filter(good).ok_or(Wrong::Kind)
        })
    }

    pub(crate) fn duration(&self, name: &str) -> Option<Duration> {
        self.read(name, duration)
    }

    pub(crate) fn duration_or_none(&self, name: &str) -> Option<Option<Duration>> {
        self.read(name, |value, kind| match value.as_str() {
            Some("none") => Ok(None),
            _ => duration(value, kind).map(Some),
        })
    }

    pub(crate) fn size(&self, name: &str) -> Option<u64> {
        self.read(name, size)
    }

    pub(crate) fn size_or_none(&self, name: &str) -> Option<Option<u64>> {
        self.read(name, |value, kind| match value.as_str() {
            Some("none") => Ok(None),
            _ => size(value, kind).map(Some),
        })
    }

    pub(crate) fn rate(&self, name: &str) -> Option<f64> {
        self.read(name, |value, _| match units::rate(value.as_str().ok_or(Wrong::Kind)?) {
            Ok(rate) if rate > 0.0 => Ok(rate),
            Ok(_) => Err(Wrong::Because("it must be more than zero".to_string())),
            Err(reason) => Err(Wrong::Because(reason)),
        })
    }

    /// One of the names of a choice.
    pub(crate) fn choice(&self, name: &str) -> Option<&'static str> {
        self.read(name, |value, kind| {
            let (Kind::Choice(names) | Kind::ChoiceOr(names, _)) = kind else { unreachable!("{name} is a choice") };
            choice(value, names)
        })
    }

    /// One name, or a list of different ones.
    pub(crate) fn choices(&self, name: &str) -> Option<Vec<&'static str>> {
        self.read(name, |value, kind| {
            let Kind::Choices(names) = kind else { unreachable!("{name} is a list of choices") };
            let Some(list) = value.as_array() else { return choice(value, names).map(|one| vec![one]) };
            let mut chosen = Vec::new();
            for entry in list {
                let entry = choice(entry, names)?;
                if chosen.contains(&entry) {
                    return Err(Wrong::Because(format!("{entry} is there twice")));
                }
                chosen.push(entry);
            }
            if chosen.is_empty() { Err(Wrong::Kind) } else { Ok(chosen) }
        })
    }

    pub(crate) fn moment(&self, name: &str) -> Option<i128> {
        self.read(name, |value, _| {
            let text = match value {
                Value::String(text) => text.value().clone(),
                Value::Datetime(moment) => moment.value().to_string(),
                Value::Integer(seconds) => seconds.value().to_string(),
                Value::Float(seconds) => seconds.value().to_string(),
                _ => return Err(Wrong::Kind),
            };
            trace::parse_moment(&text).map_err(Wrong::Because)
        })
    }

    /// The table of an option, where the value is one.
    pub(crate) fn table(&self, name: &str) -> Option<Reader<'a>> {
        let option = self.spec.find(name).expect("only options of the table are read");
        let (Kind::Table(spec) | Kind::ChoiceOr(_, spec)) = option.kind else { unreachable!("{name} is a table") };
        self.table_of(name, spec)
    }

    /// The table of an option under these options, where the value is one.
    pub(crate) fn table_of(&self, name: &str, spec: &'static Spec) -> Option<Reader<'a>> {
        let option = self.spec.find(name).expect("only options of the table are read");
        let item = self.table.get(name)?;
        match item.as_table_like() {
            Some(table) => Some(Reader::new(table, spec, self.span_of(name), self.problems, &[], |_| None)),
            None => {
                self.complain(name, Wrong::Kind.message(option, item));
                None
            }
        }
    }

    /// The tables of a list, each with where it stands.
    pub(crate) fn tables(&self, name: &str) -> Vec<(&'a dyn TableLike, Range<usize>)> {
        let option = self.spec.find(name).expect("only options of the table are read");
        let Some(item) = self.table.get(name) else { return Vec::new() };
        let tables = list_of_tables(item);
        match &tables {
            None => self.complain(name, Wrong::Kind.message(option, item)),
            Some(tables) if tables.len() > MOST_ENTRIES => {
                self.complain(name, format!("{name} has at most {MOST_ENTRIES} entries, found {}", tables.len()));
            }
            Some(tables) if tables.is_empty() => self.complain(name, format!("{name} needs at least one entry")),
            Some(_) => {}
        }
        let span = self.span_of(name);
        tables
            .unwrap_or_default()
            .into_iter()
            .map(|(table, own)| (table, own.unwrap_or_else(|| span.clone())))
            .collect()
    }
}

type SpannedTable<'a> = (&'a dyn TableLike, Option<Range<usize>>);

/// The tables of `[[name]]`, or of an array of inline tables.
pub(crate) fn list_of_tables(item: &Item) -> Option<Vec<SpannedTable<'_>>> {
    if let Some(tables) = item.as_array_of_tables() {
        return Some(tables.iter().map(|table| (table as &dyn TableLike, table.span())).collect());
    }
    item.as_array()?.iter().map(|value| Some((value.as_inline_table()? as &dyn TableLike, value.span()))).collect()
}

/// Why a value is wrong.
pub(crate) enum Wrong {
    /// It is not what the option may be.
    Kind,
    /// It nearly is, but for this.
    Because(String),
}

impl Wrong {
    fn message(&self, option: &Opt, item: &Item) -> String {
        match self {
            Wrong::Kind => format!("{} must be {}, found {}", option.name, option.kind.describe(), found(item)),
            Wrong::Because(reason) if item.is_array() => format!("{} has a wrong entry: {reason}", option.name),
            Wrong::Because(reason) => format!("{} cannot be {}: {reason}", option.name, found(item)),
        }
    }
}

/// A value of the document, also where it is written as a table of its own.
fn as_value(item: &Item) -> Option<Value> {
    item.as_value()
        .cloned()
        .or_else(|| item.as_table().map(|table| Value::InlineTable(table.clone().into_inline_table())))
}

pub(crate) fn text(value: &Value) -> Result<String, Wrong> {
    value.as_str().map(str::to_string).filter(|text| !text.trim().is_empty()).ok_or(Wrong::Kind)
}

/// What RabbitMQ answers, for the end of a message.
pub(crate) fn refused(code: ReplyCode) -> String {
    let name = match code {
        ReplyCode::NoRoute => "NO_ROUTE",
        ReplyCode::AccessRefused => "ACCESS_REFUSED",
        ReplyCode::NotFound => "NOT_FOUND",
        ReplyCode::ResourceLocked => "RESOURCE_LOCKED",
        ReplyCode::PreconditionFailed => "PRECONDITION_FAILED",
        ReplyCode::NotAllowed => "NOT_ALLOWED",
        ReplyCode::NotImplemented => "NOT_IMPLEMENTED",
    };
    format!("(RabbitMQ answers {} {name})", code as u16)
}

fn label(value: &Value) -> Result<String, Wrong> {
    let name = text(value)?;
    let good = name.len() <= 100 && name.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c));
    if good { Ok(name) } else { Err(Wrong::Kind) }
}

pub(crate) fn choice(value: &Value, names: &'static [&'static str]) -> Result<&'static str, Wrong> {
    let text = value.as_str().ok_or(Wrong::Kind)?;
    names.iter().copied().find(|name| *name == text).ok_or_else(|| {
        let hint = suggest::did_you_mean(text, names.iter().copied());
        if hint.is_empty() { Wrong::Kind } else { Wrong::Because(format!("it must be {}{hint}", one_of(names))) }
    })
}

/// What is done more often keeps a run busy with nothing else; without a pause, in one moment for ever.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(1);

pub(crate) fn duration(value: &Value, kind: &Kind) -> Result<Duration, Wrong> {
    let duration = units::duration(value.as_str().ok_or(Wrong::Kind)?).map_err(Wrong::Because)?;
    let zero = !matches!(kind, Kind::Duration { zero: false } | Kind::DurationOrNone);
    if duration.is_zero() && !zero {
        return Err(Wrong::Because("it must be more than zero".to_string()));
    }
    if matches!(kind, Kind::Interval) && duration < SHORTEST_INTERVAL {
        return Err(Wrong::Because(format!("it must be at least {SHORTEST_INTERVAL}")));
    }
    Ok(duration)
}

pub(crate) fn size(value: &Value, kind: &Kind) -> Result<u64, Wrong> {
    let size = units::size(value.as_str().ok_or(Wrong::Kind)?).map_err(Wrong::Because)?;
    let (least, most) = match kind {
        Kind::Size { least, most } => (*least, *most),
        _ => (1, u64::MAX),
    };
    match (least..=most).contains(&size) {
        true => Ok(size),
        false if size < least => Err(Wrong::Because(format!("it must be at least {least}B"))),
        false => Err(Wrong::Because(format!("it must be at most {most}B"))),
    }
}

/// A value in the words of a message.
pub(crate) fn found(item: &Item) -> String {
    match item {
        Item::Value(Value::String(text)) => format!("\"{}\"", text.value()),
        Item::Value(Value::Array(_)) | Item::ArrayOfTables(_) => "a list".to_string(),
        Item::Value(Value::InlineTable(_)) | Item::Table(_) => "a table".to_string(),
        Item::Value(value) => value.to_string().trim().to_string(),
        Item::None => "nothing".to_string(),
    }
}

/// Names as `"a", "b", or "c"`.
pub(crate) fn one_of(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    match quoted.as_slice() {
        [one] => one.clone(),
        [first, second] => format!("{first} or {second}"),
        [first @ .., last] => format!("{}, or {last}", first.join(", ")),
        [] => "nothing".to_string(),
    }
}

/// The first letter in lower case, unless the word is a name.
fn lower(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map(|first| first.to_lowercase().chain(characters).collect()).unwrap_or_default()
}

impl Kind {
    /// What the value may be, as a phrase after "must be".
    pub(crate) fn describe(&self) -> String {
        match *self {
            Kind::Text => "a text that is not empty".to_string(),
            Kind::Name => "a name of at most 40 letters, digits, \"-\" and \"_\" that begins with a letter".to_string(),
            Kind::Key => format!("a text of at most {LONGEST_KEY} bytes"),
            Kind::Label => "a name of at most 100 letters, digits, \"-\", \"_\" and \".\"".to_string(),
            Kind::Choices(names) => format!("{}, or a list of some of these", one_of(names)),
            Kind::Labels => "a list of names such as [\"orders\"]".to_string(),
            Kind::Fields => {
                "a table of texts, whole numbers, truth values and lists of texts such as { region = \"eu\" }"
                    .to_string()
            }
            Kind::WholeOrNone => "a whole number from 0, or \"none\"".to_string(),
            Kind::Integer => "a whole number of 32 bits".to_string(),
            Kind::Levels => "a whole number from 1 to 255".to_string(),
            Kind::Flag => "true or false".to_string(),
            Kind::Whole { least, most } if least == most => format!("{least}"),
            Kind::Whole { least, most } if most > 1 << 40 => format!("a whole number from {least}"),
            Kind::Whole { least, most } => format!("a whole number from {least} to {most}"),
            Kind::Number { least, from: true, most } => format!("a number from {least} to {most}"),
            Kind::Number { least, from: false, most } => format!("a number above {least}, at most {most}"),
            Kind::Duration { .. } | Kind::Interval | Kind::Millis { .. } => units::DURATION.to_string(),
            Kind::Joins => format!("{}, or a list with one for each consumer", units::DURATION),
            Kind::DurationOrNone => format!("{}, or \"none\"", units::DURATION),
            Kind::Rate => units::RATE.to_string(),
            Kind::Schedule => {
                "a list of rates and durations such as [[\"500/s\", \"30s\"], [\"2000/s\", \"10s\"]]".to_string()
            }
            Kind::Size { .. } => units::SIZE.to_string(),
            Kind::SizeOrNone => format!("{}, or \"none\"", units::SIZE),
            Kind::Moment => trace::MOMENT.to_string(),
            Kind::Choice(names) => one_of(names),
            Kind::ChoiceOr(names, spec) => {
                let keys: Vec<&str> = spec.options.iter().filter(|o| o.required).map(|o| o.name).collect();
                format!("{}, or a table with {}", one_of(names), keys.join(" and "))
            }
            Kind::WorkLaw => {
                format!("{} or a law such as {{ mean = \"60ms\", distribution = \"exponential\" }}", units::DURATION)
            }
            Kind::SizeLaw => {
                format!("{} or a law such as {{ mean = \"1KiB\", distribution = \"exponential\" }}", units::SIZE)
            }
            Kind::Target => {
                "a client such as \"billing/2\" or \"producer/1\", an application, \"broker\", or a role such as \
                             { role = \"most-unsettled\", of = \"billing\" }"
                    .to_string()
            }
            Kind::Table(spec) => format!("a table ({})", spec.title),
            Kind::Tables(spec) => format!("a list of tables ({})", spec.title),
            Kind::Contenders => "a list of tables ([[contender]])".to_string(),
            Kind::Settings => "a table such as { \"contender.log.commit\" = \"after-each\" }".to_string(),
        }
    }
}
