//! Reads `[demand]`.

use std::sync::Arc;

use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::properties::{FieldValue, Properties};
use brokerlab_event::{BROKER, Distribution, Duration, Time};
use toml_edit::{Item, Value};

use crate::options::{APPLICATION, KIND, LAWS, MOST_KINDS, SIZE_LAW, Spec, WORK_LAW};
use crate::parse_rest::unknown;
use crate::problem::{Excerpt, Place, Problem};
use crate::reader::{Reader, Wrong, duration, list_of_tables, refused, size};
use crate::scenario::{Application, ArrivalLaw, Arrivals, Autoscale, DemandSpec, Failures, Keys, MessageKind};
use crate::source::Source;
use crate::trace::{Trace, TraceOptions};
use crate::units;

pub(crate) fn demand(reader: &Reader<'_>, source: &Source, run: Option<Duration>) -> Option<DemandSpec> {
    let producers = reader.small("producers");
    let arrivals = arrivals(reader, source);
    let keys = if reader.has("keys") { reader.table("keys").map(|reader| keys(&reader)) } else { Some(Some(None)) };
    let size = law(reader, "size", &SIZE_LAW);
    let until = match reader.has("until") {
        true => reader.duration("until"),
        false => run,
    };
    if let (Some(until), Some(run)) = (until, run)
        && until > run
    {
        reader.complain("until", format!("until is {until}, and the run ends at {run}"));
    }
    let kinds = kinds(reader);
    let applications = applications(reader);
    Some(DemandSpec {
        producers: producers?,
        arrivals: arrivals?,
        keys: keys??,
        size: size?,
        until: Time::ZERO + until?,
        kinds: kinds.into_iter().collect::<Option<_>>()?,
        applications: applications.into_iter().collect::<Option<_>>()?,
    })
}

fn arrivals(reader: &Reader<'_>, source: &Source) -> Option<Arrivals> {
    let given: Vec<&str> = ["rate", "schedule", "trace"].into_iter().filter(|name| reader.has(name)).collect();
    match given.as_slice() {
        [] => {
            let message = "[demand] needs a \"rate\", a \"schedule\" of rates, or a \"trace\": when messages are sent";
            reader.problems.add(reader.span.clone(), message);
            None
        }
        [one] if *one == "trace" => {
            for (name, reason) in [("arrivals", "when messages are sent"), ("keys", "which key each has")] {
                let keyed =
                    reader.table.get("trace").and_then(Item::as_table_like).is_some_and(|t| t.contains_key("key"));
                if reader.has(name) && (name != "keys" || keyed) {
                    reader.complain(name, format!("{name} has no place beside a trace, which says {reason}"));
                }
            }
            trace(&reader.table("trace")?, source).map(|trace| Arrivals::Trace(Arc::new(trace)))
        }
        [_] => {
            let schedule = match reader.has("rate") {
                // One rate for ever is a schedule of one entry; how long it holds does not matter.
                true => reader.rate("rate").map(|rate| vec![(rate, Duration::from_secs(3_600))]),
                false => schedule(reader),
            };
            let (law, bursts) = gaps(reader)?;
            Some(Arrivals::Law { law, schedule: schedule?, bursts })
        }
        [first, second, ..] => {
            let message = format!(
                "{second} has no place beside {first}: one of rate, schedule and trace says when messages are sent"
            );
            reader.complain(second, message);
            None
        }
    }
}

fn gaps(reader: &Reader<'_>) -> Option<(ArrivalLaw, Option<(Duration, Duration)>)> {
    let law = |name: &'static str| if name == "constant" { ArrivalLaw::Constant } else { ArrivalLaw::Poisson };
    if reader.table.get("arrivals").is_some_and(Item::is_table_like) {
        let bursts = reader.table("arrivals")?;
        let (on, off, gaps) = (bursts.duration("on"), bursts.duration("off"), bursts.choice("gaps"));
        return Some((law(gaps?), Some((on?, off?))));
    }
    reader.choice("arrivals").map(|name| (law(name), None))
}

fn schedule(reader: &Reader<'_>) -> Option<Vec<(f64, Duration)>> {
    let schedule = reader.read("schedule", |value, _| {
        let list = value.as_array().filter(|list| !list.is_empty()).ok_or(Wrong::Kind)?;
        let entry = |(index, entry): (usize, &Value)| {
            let number = index + 1;
            let pair: Vec<&str> = entry.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let [rate, hold] = pair.as_slice() else {
                let reason = "is not a rate and a duration such as [\"500/s\", \"30s\"]";
                return Err(Wrong::Because(format!("number {number} {reason}")));
            };
            let wrong = |text: &str, reason: String| Wrong::Because(format!("\"{text}\" in number {number}: {reason}"));
            let rate = units::rate(rate).map_err(|reason| wrong(rate, reason))?;
            let length = units::duration(hold).map_err(|reason| wrong(hold, reason))?;
            match length < Duration::from_millis(1) {
                true => Err(wrong(hold, format!("an entry holds for at least 1ms, found {length}"))),
                false => Ok((rate, length)),
            }
        };
        list.iter().enumerate().map(entry).collect::<Result<Vec<_>, Wrong>>()
    })?;
    if schedule.iter().all(|(rate, _)| *rate == 0.0) {
        reader.complain("schedule", "schedule needs a rate above zero: nothing would ever be sent");
        return None;
    }
    Some(schedule)
}

fn keys(reader: &Reader<'_>) -> Option<Option<Keys>> {
    let count = reader.small("count");
    let zipf = reader.choice("distribution").map(|distribution| distribution == "zipf");
    let exponent = reader.number("exponent");
    if zipf == Some(false) && reader.has("exponent") {
        reader.complain("exponent", "exponent belongs to distribution = \"zipf\"; uniform keys have none");
    }
    Some(Some(Keys { count: count?, zipf: zipf?.then(|| exponent.unwrap_or(1.0)) }))
}

fn kinds(reader: &Reader<'_>) -> Vec<Option<MessageKind>> {
    let mut names: Vec<&str> = Vec::new();
    let mut kinds = Vec::new();
    let tables = reader.tables("kind");
    if tables.len() > MOST_KINDS {
        reader.complain("kind", format!("a demand has at most {MOST_KINDS} kinds, found {}", tables.len()));
        return vec![None];
    }
    for (table, span) in tables {
        let own = Reader::new(table, &KIND, span, reader.problems, &[], |_| None);
        if let Some(name) = table.get("name").and_then(Item::as_str) {
            if names.contains(&name) {
                own.complain("name", format!("a kind is called \"{name}\" already: every one needs a name of its own"));
            }
            names.push(name);
        }
        kinds.push(kind(&own));
    }
    kinds
}

fn kind(reader: &Reader<'_>) -> Option<MessageKind> {
    let name = reader.label("name");
    let share = reader.number("share").map(|share| (libm::round(share * 1e6) as u64).max(1));
    let priority = if reader.has("priority") { reader.small("priority").map(Some) } else { Some(None) };
    let ttl = if reader.has("ttl") { reader.millis("ttl").map(Some) } else { Some(None) };
    let transient = reader.flag("transient");
    let tombstone = reader.flag("tombstone");
    let headers = reader.fields("headers");
    for name in ["CC", "BCC"] {
        let value = headers.as_ref().and_then(|headers| headers.get(name));
        if value.is_some_and(|value| !matches!(value, FieldValue::Array(_))) {
            let code = refused(ReplyCode::PreconditionFailed);
            reader.complain("headers", format!("{name} must be a list of routing keys such as [\"audit\"] {code}"));
        }
    }
    let size = if reader.has("size") { law(reader, "size", &SIZE_LAW).map(Some) } else { Some(None) };
    let expiration = ttl?.map(|ttl| Arc::from((ttl.as_nanos() / 1_000_000).to_string()));
    let properties = Properties {
        priority: priority?.map(|priority| priority as u8),
        expiration,
        transient: transient?,
        headers: headers?,
        ..Properties::default()
    };
    Some(MessageKind { name: name?, share: share?, size: size?, properties, tombstone: tombstone? })
}

fn applications(reader: &Reader<'_>) -> Vec<Option<Application>> {
    let kinds = reader.table.get("kind").and_then(list_of_tables).unwrap_or_default();
    let kinds: Vec<&str> = kinds.into_iter().filter_map(|(table, _)| table.get("name")?.as_str()).collect();
    let mut names: Vec<String> = Vec::new();
    let mut applications = Vec::new();
    for (table, span) in reader.tables("application") {
        let reader = Reader::new(table, &APPLICATION, span, reader.problems, &[], |_| None);
        let application = application(&reader, &kinds);
        if let Some(name) = table.get("name").and_then(Item::as_str) {
            if name == "producer" {
                reader.complain("name", "an application cannot be called \"producer\": producer/1 is a producer");
            } else if name == BROKER {
                reader.complain("name", "an application cannot be called \"broker\": broker/1 is a broker node");
            } else if names.iter().any(|known| known == name) {
                let message = format!("an application is called \"{name}\" already: every one needs a name of its own");
                reader.complain("name", message);
            }
            names.push(name.to_string());
        }
        applications.push(application);
    }
    applications
}

/// Which kinds an application wants.
fn wants(reader: &Reader<'_>, kinds: &[&str]) -> Option<Option<Vec<bool>>> {
    if !reader.has("wants") {
        return Some(None);
    }
    let names = reader.labels("wants")?;
    let mut wanted = vec![false; kinds.len()];
    for name in &names {
        match kinds.iter().position(|kind| kind == name) {
            Some(index) => wanted[index] = true,
            None => reader.complain("wants", unknown("kind of messages", name, kinds)),
        }
    }
    // Who names all of them wants everything.
    Some((!wanted.iter().all(|wanted| *wanted)).then_some(wanted))
}

fn failures(reader: &Reader<'_>) -> Option<Failures> {
    if !reader.has("failures") {
        return Some(Failures::default());
    }
    let own = reader.table("failures")?;
    let millionths = |name| own.number(name).map(|share| libm::round(share * 1e6) as u32);
    let (poison, transient) = (millionths("poison"), millionths("transient"));
    Some(Failures { poison: poison?, transient: transient? })
}

fn application(reader: &Reader<'_>, kinds: &[&str]) -> Option<Application> {
    let name = reader.name();
    let consumers = reader.small("consumers");
    let work = if reader.has("work") { law(reader, "work", &WORK_LAW) } else { None };
    let joins = joins(reader, consumers);
    let autoscale = autoscale(reader, consumers);
    let answer = reader.flag("answer");
    let wants = wants(reader, kinds);
    let failures = failures(reader);
    // What fails is tried again, and without any work that would never let the clock go on.
    if reader.has("failures") && work.is_some_and(|work| work.is_often_zero()) {
        reader.complain("failures", "work that can fail must take some time, and here it can take none".to_string());
    }
    Some(Application {
        name: name?,
        consumers: consumers?,
        work: work?,
        joins: joins?,
        autoscale: autoscale?,
        wants: wants?,
        failures: failures?,
        answer: answer?,
    })
}

fn joins(reader: &Reader<'_>, consumers: Option<u32>) -> Option<Vec<Time>> {
    let joins = reader.read("joins", |value, kind| {
        let each = |value: &Value| duration(value, kind).map(|delay| Time::ZERO + delay);
        match value.as_array() {
            Some(list) => list.iter().map(each).collect(),
            None => each(value).map(|joins| vec![joins]),
        }
    })?;
    let is_list = reader.table.get("joins").is_some_and(Item::is_array);
    if is_list && consumers.is_some_and(|consumers| consumers as usize != joins.len()) {
        let consumers = consumers.expect("looked at just now");
        reader.complain(
            "joins",
            format!("a list in joins has a time for each of the {consumers} consumers, found {}", joins.len()),
        );
        return None;
    }
    Some(joins)
}

fn autoscale(reader: &Reader<'_>, consumers: Option<u32>) -> Option<Option<Autoscale>> {
    if !reader.has("autoscale") {
        return Some(None);
    }
    let own = reader.table("autoscale")?;
    let (lag, least) = (own.whole("lag"), own.small("least"));
    let (every, cooldown) = (own.duration("every"), own.duration("cooldown"));
    if let (Some(least), Some(consumers)) = (least, consumers)
        && least > consumers
    {
        own.complain("least", format!("least must not be above consumers, of which there are {consumers}"));
    }
    if reader.table.get("joins").is_some_and(Item::is_array) {
        reader.complain(
            "autoscale",
            "either autoscale or a list of times in joins says when consumers connect, not both",
        );
    }
    Some(Some(Autoscale { lag: lag?, least: least?, every: every?, cooldown: cooldown? }))
}

/// A law of durations in seconds, or of sizes in bytes.
fn law(reader: &Reader<'_>, name: &str, spec: &'static Spec) -> Option<Distribution> {
    if !reader.table.get(name).is_some_and(Item::is_table_like) {
        return reader.read(name, |value, kind| constant(value, kind, spec)).map(Distribution::Constant);
    }
    let own = reader.table_of(name, spec)?;
    let law = own.choice("distribution")?;
    let (_, needed) = LAWS.iter().find(|(known, _)| *known == law).expect("the choice is one of the laws");
    let shared = ["mean", "shape", "sigma", "low", "high", "chance"];
    for parameter in shared {
        match (needed.contains(&parameter), own.has(parameter)) {
            (true, false) => {
                let all = needed.join(", ");
                own.problems.add(
                    own.span.clone(),
                    format!("a law with the distribution \"{law}\" needs \"{parameter}\" (it has {all})"),
                );
            }
            (false, true) => {
                own.complain(
                    parameter,
                    format!("{parameter} is no parameter of \"{law}\", which has {}", needed.join(", ")),
                );
            }
            _ => {}
        }
    }
    let value =
        |parameter: &str| own.has(parameter).then(|| own.read(parameter, |value, kind| constant(value, kind, spec)))?;
    let mean = value("mean");
    let (low, high) = (value("low"), value("high"));
    let (shape, sigma, chance) = (own.small("shape"), own.number("sigma"), own.number("chance"));
    if let (Some(low), Some(high)) = (low, high)
        && low > high
    {
        own.complain("high", "high must not be below low");
    }
    Some(match law {
        "constant" => Distribution::Constant(mean?),
        "exponential" => Distribution::Exponential { mean: mean? },
        "erlang" => Distribution::Erlang { mean: mean?, shape: shape? },
        "lognormal" => Distribution::Lognormal { mean: mean?, sigma: sigma? },
        "bimodal" => Distribution::Bimodal { low: low?, high: high?, chance: chance? },
        _ => Distribution::Uniform { low: low?, high: high? },
    })
}

fn constant(value: &Value, kind: &crate::options::Kind, spec: &'static Spec) -> Result<f64, Wrong> {
    if core::ptr::eq(spec, &WORK_LAW) {
        return duration(value, kind).map(Duration::as_secs_f64);
    }
    let bytes = size(value, kind)?;
    match bytes <= crate::options::LARGEST_SIZE {
        true => Ok(bytes as f64),
        false => Err(Wrong::Because("a message is at most 1GiB".to_string())),
    }
}

fn trace(reader: &Reader<'_>, source: &Source) -> Option<Trace> {
    let file = reader.text("file");
    let (time, key, size) = (reader.text("time"), reader.text("key"), reader.text("size"));
    let (scale, start) = (reader.number("scale"), reader.moment("start"));
    let options = TraceOptions { time: time?, key, size, scale: scale?, start };
    let file = file?;
    let (name, bytes) = match source.file(&file) {
        Ok(found) => found,
        Err(reason) => {
            reader.complain("file", format!("the trace \"{file}\" cannot be read: {reason}"));
            return None;
        }
    };
    match Trace::read(&file, &bytes, &options) {
        Ok(trace) => Some(trace),
        Err(problem) => {
            let Some(line) = problem.line else {
                reader.complain("file", format!("{}: {name}", problem.message));
                return None;
            };
            let text = String::from_utf8_lossy(&bytes);
            let excerpt = text.lines().nth(line - 1).map(|text| excerpt(line, text, problem.column));
            let place = Place::Line { file: name, line, column: problem.column };
            let problem = Problem { place, message: problem.message, excerpt };
            reader.problems.add_elsewhere(reader.span_of("file").start, problem);
            None
        }
    }
}

/// A row of a trace, pointing at the field that begins at this column.
fn excerpt(line: usize, text: &str, column: usize) -> Excerpt {
    let field = text.chars().skip(column - 1).take_while(|character| *character != ',').count();
    Excerpt { line, text: text.to_string(), column, width: field.max(1) }
}
