//! Reads a document into a scenario.

use std::collections::BTreeMap;

use brokerlab_broker::config::BrokerSessions;
use brokerlab_event::{Duration, KeyId, Time};
use toml_edit::{Document, DocumentMut, TableLike};

use crate::edit;
use crate::options::{MOST_ATTEMPTS, MOST_BATCHES, MOST_CONSUMERS, MOST_MESSAGES, MOST_NODES, NETWORK, ROOT};
use crate::parse_contender::{contender, heartbeat};
use crate::parse_demand::demand;
use crate::parse_fault::fault;
use crate::parse_rest::{Names, expectation, flip};
use crate::problem::{Excerpt, Place, Problem, Problems, ScenarioError};
use crate::reader::{Reader, found};
use crate::scenario::{Application, Arrivals, ClusterSpec, Contender, DemandSpec, ModelOptions, Network, Scenario};
use crate::source::Source;
use crate::{demand::expected_messages, units};

/// The longest explanation, in words.
const MOST_WORDS: usize = 150;

impl Scenario {
    /// Reads a scenario, after applying settings such as `contender.queue.prefetch=1` to it.
    pub fn parse(source: &Source, settings: &[String]) -> Result<Scenario, ScenarioError> {
        let _ = Document::parse(source.text()).map_err(|error| syntax(source, &error))?;
        let mut document: DocumentMut = source.text().parse().map_err(|error| syntax(source, &error))?;
        let mut applied = Vec::new();
        for setting in settings {
            applied.push(edit::apply(&mut document, setting)?);
        }
        let text = if settings.is_empty() { source.text().to_string() } else { document.to_string() };
        let document = Document::parse(text.as_str()).map_err(|error| syntax(source, &error))?;
        let places = applied
            .iter()
            .filter_map(|applied| Some((edit::locate(document.as_table(), applied)?, applied.path.clone())))
            .collect();
        let problems = Problems::new(source.name(), &text, places);
        let scenario = read(document.as_table(), source, &text, &problems, Flips::of(settings));
        problems.finish()?;
        Ok(scenario.expect("a scenario without problems is whole"))
    }

    /// The text that the scenario was read from, with every setting applied.
    pub fn text(&self) -> &str {
        &self.text
    }
}

/// Reads a changed text to see whether it is valid; its flip is left aside.
pub(crate) fn valid_without_flip(source: &Source, text: &str) -> Result<(), ScenarioError> {
    let document = Document::parse(text).map_err(|error| syntax(source, &error))?;
    let problems = Problems::new(source.name(), text, Vec::new());
    read(document.as_table(), source, text, &problems, Flips::Ignored);
    problems.finish()
}

/// What is done about a flip.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flips {
    /// It is read, and what it leads to is checked.
    Checked,
    /// It is read. Settings may have made it moot, among them its own.
    Read,
    /// It is left aside.
    Ignored,
}

impl Flips {
    fn of(settings: &[String]) -> Flips {
        if settings.is_empty() { Flips::Checked } else { Flips::Read }
    }
}

pub(crate) fn syntax(source: &Source, error: &toml_edit::TomlError) -> ScenarioError {
    let span = error.span().unwrap_or(0..0);
    let excerpt = Excerpt::of(source.text(), span);
    let message = error.message().trim().replace('\n', ", ");
    let place = Place::Line { file: source.name().to_string(), line: excerpt.line, column: excerpt.column };
    Problem { place, message: format!("this is not TOML: {message}"), excerpt: Some(excerpt) }.into()
}

fn read(table: &dyn TableLike, source: &Source, text: &str, problems: &Problems<'_>, flips: Flips) -> Option<Scenario> {
    if let Some(format) = table.get("format")
        && format.as_integer() != Some(1)
    {
        let span = format.span().unwrap_or(0..0);
        problems
            .add(span, format!("format must be 1, the only version that this program reads, found {}", found(format)));
        return None;
    }
    let root = Reader::new(table, &ROOT, 0..0, problems, &[], |_| None);
    let title = root.text("title");
    let question = root.text("question");
    let explanation = explanation(&root);
    let duration = root.duration("duration");
    let seed = root.whole("seed");
    let warm_up = root.duration("warm_up");
    if let (Some(duration), Some(warm_up)) = (duration, warm_up)
        && warm_up >= duration
    {
        root.complain("warm_up", format!("warm_up must be shorter than the run of {duration}, found {warm_up}"));
    }
    let plot = root.choice("plot").map(str::to_string);
    let network = network(&root);
    let cluster = cluster(&root);
    let demand = root.table("demand").map(|reader| (demand(&reader, source, duration), reader));
    let names = names(&root);
    let contenders = contenders(&root, &names, duration);
    let (demand, demand_reader) = match demand {
        Some((demand, reader)) => (demand, Some(reader)),
        None => (None, None),
    };
    if let (Some(demand), Some(reader)) = (&demand, &demand_reader) {
        limits(demand, reader, contenders.iter().flatten());
        if let Some(duration) = duration {
            endless_attempts(&root, demand, &contenders, duration);
        }
    }
    let faults: Vec<_> = root
        .tables("fault")
        .into_iter()
        .map(|(table, span)| fault(table, span, problems, &names, &contenders, duration))
        .collect();
    let expectations: Vec<_> =
        root.tables("expect").into_iter().map(|(table, span)| expectation(table, span, problems, &names)).collect();
    let flip = match flips {
        Flips::Ignored => None,
        flips => flip(&root, &expectations, source, text, flips == Flips::Checked),
    };
    Some(Scenario {
        title: title?,
        question,
        explanation,
        duration: duration?,
        seed: seed?,
        warm_up: warm_up?,
        plot,
        network: network?,
        cluster: cluster?,
        demand: demand?,
        contenders: contenders.into_iter().collect::<Option<_>>()?,
        faults: faults.into_iter().collect::<Option<_>>()?,
        expectations: expectations.into_iter().collect::<Option<_>>()?,
        flip,
        text: text.to_string(),
    })
}

fn explanation(root: &Reader<'_>) -> Option<String> {
    let text = root.text("explanation")?;
    let words = text.split_whitespace().count();
    if words > MOST_WORDS {
        root.complain("explanation", format!("explanation must have at most {MOST_WORDS} words, found {words}"));
    }
    Some(text.trim().to_string())
}

fn network(root: &Reader<'_>) -> Option<Network> {
    let latency = match root.table("network") {
        Some(reader) => reader.duration("latency"),
        None if root.has("network") => None,
        None => {
            let text = NETWORK.find("latency").and_then(|option| option.default).expect("latency has a default");
            units::duration(text.trim_matches('"')).ok()
        }
    };
    Some(Network { latency: latency? })
}

fn cluster(root: &Reader<'_>) -> Option<ClusterSpec> {
    let Some(reader) = root.table("cluster") else {
        return (!root.has("cluster")).then_some(ClusterSpec { nodes: 1, sessions: BrokerSessions::default() });
    };
    let nodes = reader.small("nodes");
    let timeout = reader.duration("session_timeout");
    let heartbeat_interval = reader.duration("heartbeat_interval");
    heartbeat(&reader, heartbeat_interval, timeout);
    let balance_interval = reader.duration_or_none("leader_balance_interval");
    let sessions = BrokerSessions {
        timeout: timeout?,
        heartbeat_interval: heartbeat_interval?,
        balance_interval: balance_interval?,
    };
    Some(ClusterSpec { nodes: nodes? as u16, sessions })
}

fn contenders(root: &Reader<'_>, names: &Names, run: Option<Duration>) -> Vec<Option<Contender>> {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    let mut contenders = Vec::new();
    for (index, (table, span)) in root.tables("contender").into_iter().enumerate() {
        let contender = contender(table, span.clone(), root.problems, names, run);
        if let Some(Contender { options: ModelOptions::Queue(options) | ModelOptions::Fanout(options), .. }) =
            &contender
            && let Some(message) = options.topology.misfit(names.nodes, names.answers)
        {
            root.problems.add(span.clone(), message);
        }
        if let Some(name) = table.get("name").and_then(|item| item.as_str())
            && let Some(earlier) = first.insert(name.to_string(), index)
        {
            let at = table.get("name").and_then(|item| item.span()).unwrap_or(span);
            let message = format!(
                "contender {} is called \"{name}\" already: every contender needs a name of its own",
                earlier + 1
            );
            root.problems.add(at, message);
        }
        contenders.push(contender);
    }
    contenders
}

/// The names that faults and expectations may use, also of what is not valid otherwise.
fn names(root: &Reader<'_>) -> Names {
    let list = |item: Option<&toml_edit::Item>| -> Vec<(String, u32)> {
        let tables = item.and_then(crate::reader::list_of_tables).unwrap_or_default();
        let size = |table: &dyn TableLike| table.get("consumers").and_then(|item| item.as_integer());
        tables
            .into_iter()
            .filter_map(|(table, _)| {
                Some((
                    table.get("name")?.as_str()?.to_string(),
                    size(table).unwrap_or(1).clamp(0, MOST_CONSUMERS as i64) as u32,
                ))
            })
            .collect()
    };
    let demand = root.table.get("demand").and_then(|item| item.as_table_like());
    let producers = demand.and_then(|demand| demand.get("producers")).and_then(|item| item.as_integer()).unwrap_or(1);
    let answers = |table: &dyn TableLike| table.get("answer").and_then(|item| item.as_bool()) == Some(true);
    let applications = demand.and_then(|demand| demand.get("application"));
    let mut applications = applications.and_then(crate::reader::list_of_tables).unwrap_or_default().into_iter();
    let cluster = root.table.get("cluster").and_then(|item| item.as_table_like());
    let nodes = cluster.and_then(|cluster| cluster.get("nodes")).and_then(|item| item.as_integer()).unwrap_or(1);
    Names {
        nodes: nodes.clamp(1, MOST_NODES as i64) as u16,
        answers: applications.any(|(table, _)| answers(table)),
        producers: producers.clamp(0, MOST_CONSUMERS as i64) as u32,
        applications: list(demand.and_then(|demand| demand.get("application"))),
        kinds: list(demand.and_then(|demand| demand.get("kind"))).into_iter().map(|(name, _)| name).collect(),
        wants: wants(demand.and_then(|demand| demand.get("application"))),
        contenders: list(root.table.get("contender")).into_iter().map(|(name, _)| name).collect(),
    }
}

/// What each application with a name says that it wants.
fn wants(applications: Option<&toml_edit::Item>) -> Vec<Option<Vec<String>>> {
    let tables = applications.and_then(crate::reader::list_of_tables).unwrap_or_default();
    let named = tables.iter().filter(|(table, _)| table.get("name").is_some_and(|name| name.is_str()));
    let wanted = |table: &dyn TableLike| -> Option<Vec<String>> {
        let list = table.get("wants")?.as_array()?;
        Some(list.iter().filter_map(|kind| kind.as_str()).map(str::to_string).collect())
    };
    named.map(|(table, _)| wanted(*table)).collect()
}

/// What is too much for a run.
fn limits<'a>(demand: &DemandSpec, reader: &Reader<'_>, contenders: impl Iterator<Item = &'a Contender>) {
    let messages = expected_messages(demand);
    if messages > MOST_MESSAGES {
        let option = if reader.has("rate") { "rate" } else { "schedule" };
        let message = format!("this demand is about {messages:.1e} messages; a run has at most 10^10");
        reader.complain(option, message);
    }
    let consumers: u64 = demand.applications.iter().map(|application| u64::from(application.consumers)).sum();
    if consumers > MOST_CONSUMERS {
        let message =
            format!("all applications together have {consumers} consumers; a run has at most {MOST_CONSUMERS}");
        reader.complain("application", message);
    }
    for contender in contenders {
        let Some(options) = contender.options.topic() else { continue };
        let is_keyed = match &demand.arrivals {
            Arrivals::Trace(trace) => trace.rows().iter().all(|row| row.key != KeyId::NONE),
            Arrivals::Law { .. } => demand.keys.is_some(),
        };
        if options.compaction.is_some() && !is_keyed {
            let message = format!(
                "the log \"{}\" is compacted by keys and refuses messages without one; give [demand] \"keys\"",
                contender.name
            );
            reader.problems.add(reader.span.clone(), message);
        }
        let (producers, partitions) = (demand.producers, options.partitions);
        if u64::from(producers) * u64::from(partitions) > MOST_BATCHES {
            let message = format!(
                "{producers} producers with a batch for each of the {partitions} partitions of \"{}\" are too many; \
                 together they may have {MOST_BATCHES} batches",
                contender.name
            );
            reader.complain("producers", message);
        }
    }
}

/// Refuses consumers that try a record for ever whose work is so short that the run would be busy with nothing else.
fn endless_attempts(root: &Reader<'_>, demand: &DemandSpec, contenders: &[Option<Contender>], run: Duration) {
    let tables = root.table.get("contender").and_then(crate::reader::list_of_tables).unwrap_or_default();
    for (contender, (table, own)) in contenders.iter().zip(tables) {
        let most = match contender.as_ref().map(|contender| &contender.options) {
            Some(ModelOptions::Log(options)) => options.member.max_attempts,
            Some(ModelOptions::Stream(options)) => options.consumer.max_attempts,
            _ => continue,
        };
        if most > 0 {
            continue;
        }
        // Only a poisoned record fails at every attempt; any other succeeds some time.
        let attempts = |application: &Application| {
            let own = run.as_secs_f64() / application.work.mean() * f64::from(application.consumers);
            if application.failures.poison > 0 { own } else { 0.0 }
        };
        let worst = demand.applications.iter().max_by(|a, b| attempts(a).total_cmp(&attempts(b)));
        if let Some(worst) = worst.filter(|application| attempts(application) > MOST_ATTEMPTS) {
            let at = table.get("max_attempts").and_then(|item| item.span()).or(own).unwrap_or_default();
            let message = format!(
                "max_attempts = 0 may try a poisoned record of \"{}\" for all of the run, about {:.1e} times; a run has \
                 at most 10^7 such attempts: let its work take longer, or give max_attempts",
                worst.name,
                attempts(worst)
            );
            root.problems.add(at, message);
        }
    }
}

/// The end of the run as a moment.
pub(crate) fn end(duration: Duration) -> Time {
    Time::ZERO + duration
}
