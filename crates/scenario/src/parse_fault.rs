//! Reads faults.

use core::ops::Range;

use brokerlab_event::{ApplicationId, BROKER, ClientId, Duration, Millionths, NodeId, Time};
use toml_edit::{Item, TableLike};

use crate::fault::{FaultAction, FaultPlan, NodeRole, PARTITION, PartitionChoice, Role, Target};
use crate::options::{ACTIONS, FAULT, MOST_CONSUMERS, ROLE};
use crate::parse::end;
use crate::parse_rest::Names;
use crate::problem::Problems;
use crate::reader::{Reader, one_of};
use crate::scenario::Contender;
use crate::suggest;

pub(crate) fn fault(
    table: &dyn TableLike,
    span: Range<usize>,
    problems: &Problems<'_>,
    names: &Names,
    contenders: &[Option<Contender>],
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
    if let Some(Target::NodeRole { of: PartitionChoice::Number(number), .. }) = target {
        let hit = contenders.iter().enumerate().filter(|(index, _)| contender.is_none_or(|only| only == *index));
        let partitions = hit.filter_map(|(_, contender)| contender.as_ref()?.options.partitions()).max();
        if let Some(partitions) = partitions.filter(|partitions| *partitions < number) {
            reader.complain(
                action,
                format!("there is no {PARTITION}/{number} in any contender: the most are {partitions}"),
            );
        }
    }
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

/// What may happen to brokers, among them what may happen to clients as well.
const MEANT_FOR_BROKERS: &[&str] = &["crash", "leave", "power_off", "lose_disk"];

fn target(reader: &Reader<'_>, action: &str, names: &Names) -> Option<Target> {
    if reader.table.get(action).is_some_and(Item::is_table_like) {
        return role(reader, action, names);
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
        Ok(Target::Node(_)) if !MEANT_FOR_BROKERS.contains(&action) => {
            reader.complain(action, only_for_clients(action));
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

fn only_for_clients(action: &str) -> String {
    format!("a broker can only {}; {action} is for clients", one_of(MEANT_FOR_BROKERS))
}

/// Whoever has a role.
fn role(reader: &Reader<'_>, action: &str, names: &Names) -> Option<Target> {
    let table = reader.table_of(action, &ROLE)?;
    let (role, of) = (table.choice("role")?, table.text("of")?);
    let node_role = match role {
        "leader" => Some(NodeRole::Leader),
        "follower-in-sync" => Some(NodeRole::FollowerInSync),
        _ => None,
    };
    if let Some(role) = node_role {
        if !MEANT_FOR_BROKERS.contains(&action) {
            reader.complain(action, only_for_clients(action));
            return None;
        }
        return match partition(&of) {
            Ok(of) => Some(Target::NodeRole { role, of }),
            Err(message) => {
                table.complain("of", message);
                None
            }
        };
    }
    if action == "replace" {
        reader.complain(action, "replace is for producers: a group replaces its consumers by itself");
        return None;
    }
    if OF_BROKERS.contains(&action) {
        let message =
            format!("{action} is for a broker: a leader or a follower-in-sync, and \"{role}\" is a role of consumers");
        reader.complain(action, message);
        return None;
    }
    let application = match names.application(&of) {
        Ok(index) => ApplicationId::new(index as u16),
        Err(message) => {
            table.complain("of", message);
            return None;
        }
    };
    let role = match role {
        "most-unsettled" => Role::MostUnsettled,
        "least-unsettled" => Role::LeastUnsettled,
        _ => Role::Any,
    };
    Some(Target::Role { role, application })
}

/// The partition that a text names.
fn partition(text: &str) -> Result<PartitionChoice, String> {
    const HOTTEST_KEY: &str = "hottest-key";
    let wrong = || {
        let hint = suggest::did_you_mean(text, [HOTTEST_KEY].into_iter());
        format!("a node leads or follows \"{PARTITION}/1\" and so on, or \"{HOTTEST_KEY}\", found \"{text}\"{hint}")
    };
    if text == HOTTEST_KEY {
        return Ok(PartitionChoice::HottestKey);
    }
    let number = text.strip_prefix(PARTITION).and_then(|rest| rest.strip_prefix('/')).ok_or_else(wrong)?;
    number.parse::<u32>().ok().filter(|number| *number > 0).map(PartitionChoice::Number).ok_or_else(wrong)
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
