//! Reads faults.

use core::ops::Range;

use brokerlab_event::{ApplicationId, BROKER, ClientId, Duration, Millionths, NodeId, Time};
use toml_edit::{Item, TableLike};

use crate::fault::{FaultAction, FaultPlan, Role, Target};
use crate::options::{ACTIONS, FAULT, MOST_CONSUMERS, ROLE};
use crate::parse::end;
use crate::parse_rest::Names;
use crate::problem::Problems;
use crate::reader::{Reader, one_of};

pub(crate) fn fault(
    table: &dyn TableLike,
    span: Range<usize>,
    problems: &Problems<'_>,
    names: &Names,
    run: Option<Duration>,
) -> Option<FaultPlan> {
    let reader = Reader::new(table, &FAULT, span, problems, &[], |_| None);
    let at = reader.duration("at");
    let length = reader.duration("for");
    if let (Some(at), Some(run)) = (at, run)
        && at >= run
    {
        reader.complain("at", format!("the fault begins at {at}, and the run ends at {run}"));
    }
    let contender = match reader.named("contender").map(|name| names.contender(&name)) {
        None => None,
        Some(Ok(index)) => Some(index),
        Some(Err(message)) => {
            reader.complain("contender", message);
            None
        }
    };
    let factor = reader.number("factor");
    let given: Vec<&str> = ACTIONS.iter().copied().filter(|name| reader.has(name)).collect();
    let action = match given.as_slice() {
        [one] => *one,
        [] => {
            reader.problems.add(reader.span.clone(), format!("[[fault]] needs one of {}", one_of(ACTIONS)));
            return None;
        }
        [first, second, ..] => {
            reader.complain(second, format!("a fault does one thing: {second} has no place beside {first}"));
            return None;
        }
    };
    match (action, reader.has("factor")) {
        ("slow", false) => {
            reader.problems.add(reader.span.clone(), "slow needs \"factor\": how many times longer the work takes")
        }
        ("slow", true) | (_, false) => {}
        (_, true) => reader.complain("factor", format!("factor belongs to slow, and this fault is a {action}")),
    }
    let target = target(&reader, action, names);
    let action = match action {
        "crash" => FaultAction::Crash,
        "power_off" => FaultAction::PowerOff,
        "lose_disk" => FaultAction::LoseDisk,
        "pause" => FaultAction::Pause,
        "leave" => FaultAction::Leave,
        "reset" => FaultAction::Reset,
        "replace" => FaultAction::Replace,
        _ => FaultAction::Slow(Millionths::new((libm::round(factor? * 1e6) as u32).max(1))),
    };
    let at = Time::ZERO + at?;
    let until = match reader.has("for") {
        true => Some(at.saturating_add(length?)),
        // A connection that breaks can be made again at once.
        false if action == FaultAction::Reset => Some(at),
        false => None,
    };
    // A fault that outlasts the run never ends within it.
    let until = until.filter(|until| run.is_none_or(|run| *until < end(run)));
    Some(FaultPlan { at, until, contender, action, target: target? })
}

/// What happens to brokers alone.
const OF_BROKERS: &[&str] = &["power_off", "lose_disk"];

fn target(reader: &Reader<'_>, action: &str, names: &Names) -> Option<Target> {
    if OF_BROKERS.contains(&action) && reader.table.get(action).is_some_and(Item::is_table_like) {
        reader.complain(action, format!("{action} is for a broker; roles are among consumers"));
        return None;
    }
    if reader.table.get(action).is_some_and(Item::is_table_like) {
        if action == "replace" {
            reader.complain(action, "replace is for producers: a group replaces its consumers by itself");
            return None;
        }
        let role = reader.table_of(action, &ROLE)?;
        let chosen = role.choice("role");
        let of = role.named("of")?;
        let application = match names.application(&of) {
            Ok(index) => ApplicationId::new(index as u16),
            Err(message) => {
                role.complain("of", message);
                return None;
            }
        };
        let role = match chosen? {
            "most-unsettled" => Role::MostUnsettled,
            "least-unsettled" => Role::LeastUnsettled,
            _ => Role::Any,
        };
        return Some(Target::Role { role, application });
    }
    let text = reader.text(action)?;
    match names.target(&text) {
        Ok(Target::Producers | Target::Client(_))
            if !["crash", "reset", "replace"].contains(&action) && text.starts_with("producer") =>
        {
            let message = format!(
                "a producer can only crash, have its connection reset or be replaced; {action} is for consumers"
            );
            reader.complain(action, message);
            None
        }
        Ok(Target::Node(_)) if !["crash", "leave"].contains(&action) && !OF_BROKERS.contains(&action) => {
            let message = format!("a broker can only crash, leave, power_off or lose_disk; {action} is for clients");
            reader.complain(action, message);
            None
        }
        Ok(target) if OF_BROKERS.contains(&action) && !matches!(target, Target::Node(_)) => {
            reader.complain(action, format!("{action} is for \"{BROKER}\"; a client can crash"));
            None
        }
        Ok(Target::Client(_) | Target::Application(_)) if action == "replace" && !text.starts_with("producer") => {
            reader.complain(action, "replace is for producers: a group replaces its consumers by itself");
            None
        }
        Ok(target) => Some(target),
        Err(message) => {
            reader.complain(action, message);
            None
        }
    }
}

impl Names {
    /// The client or clients, or the node, that a text names.
    fn target(&self, text: &str) -> Result<Target, String> {
        let (name, number) = match text.split_once('/') {
            Some((name, number)) => (name, Some(number)),
            None => (text, None),
        };
        if name == BROKER {
            return match number.map(str::parse::<u16>) {
                None => Ok(Target::Node(NodeId::new(0))),
                Some(Ok(number)) if (1..=self.nodes).contains(&number) => Ok(Target::Node(NodeId::new(number - 1))),
                Some(_) if self.nodes == 1 => Err(format!(
                    "there is no {text}; there is only {BROKER}/1: [cluster] says how many nodes there are"
                )),
                Some(_) => Err(format!("there is no {text}; there are {BROKER}/1 to {BROKER}/{}", self.nodes)),
            };
        }
        let (first, count) = if name == "producer" {
            (0, self.producers)
        } else {
            let index = self.application(name)?;
            // Too many consumers are complained of elsewhere; here they must only not overflow.
            let consumers = self.applications[..index].iter().map(|(_, consumers)| *consumers);
            let before = consumers.fold(0, u32::saturating_add).min(MOST_CONSUMERS as u32);
            if number.is_none() {
                return Ok(Target::Application(ApplicationId::new(index as u16)));
            }
            (self.producers + before, self.applications[index].1)
        };
        match number.map(str::parse::<u32>) {
            None => Ok(Target::Producers),
            Some(Ok(number)) if (1..=count).contains(&number) => Ok(Target::Client(ClientId::new(first + number - 1))),
            Some(_) if count == 1 => Err(format!("there is no {text}; there is only {name}/1")),
            Some(_) => Err(format!("there is no {text}; there are {name}/1 to {name}/{count}")),
        }
    }
}
