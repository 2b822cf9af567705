//! Where a scenario meets the assumptions of queueing theory, and where it does not, why.

use brokerlab_analysis::Theory;
use brokerlab_event::{ApplicationId, Distribution, Duration, Time};
use brokerlab_report::table::Decimal;
use brokerlab_report::{Meta, TheoryMeta};
use brokerlab_scenario::{Application, ArrivalLaw, Arrivals, ModelOptions, QueueOptions, Scenario};

/// What the textbook leaves out may take this part of a message's work at the most.
const NEGLIGIBLE: f64 = 0.05;

/// Why theory has nothing to say, in words. Those further down are found where everything above holds.
#[derive(Clone, PartialEq, Debug, thiserror::Error)]
pub enum NoTheory {
    /// Partitions, or nothing at all, instead of a queue.
    #[error("messages do not wait in one queue that all consumers share")]
    NoQueue,
    /// Something happens to the queue's messages other than that they are worked on in order.
    #[error("the queue is not one for all messages in order of arrival: it has {0}")]
    Rules(&'static str),
    /// Arrivals are not independent of each other at one rate.
    #[error("arrivals are not independent of each other at one rate")]
    Arrivals,
    /// Work is not exponential.
    #[error("the time of the work is not exponential")]
    Work,
    /// Not all consumers are there all the time.
    #[error("consumers come and go")]
    Consumers,
    /// Work fails.
    #[error("work fails")]
    Failures,
    /// Something is done to it.
    #[error("there are faults")]
    Faults,
    /// Messages are dealt out ahead, so that they wait for one consumer while another has nothing to do.
    #[error("a prefetch other than 1 deals messages out before a consumer is free")]
    Prefetch,
    /// A consumer waits for its next message for longer than can be left out.
    #[error("the way between broker and consumer takes too long to be left out beside the work")]
    Network,
    /// The backlog grows for as long as it goes on.
    #[error("arrival rate at or above capacity ({arrivals}/s against {capacity}/s): no steady state")]
    Unstable {
        /// Messages a second.
        arrivals: String,
        /// What the consumers can do together, in messages a second.
        capacity: String,
    },
}

impl NoTheory {
    /// How much held before this did not.
    fn rank(&self) -> u8 {
        match self {
            NoTheory::NoQueue => 0,
            NoTheory::Rules(_) => 1,
            NoTheory::Arrivals => 2,
            NoTheory::Work => 3,
            NoTheory::Consumers => 4,
            NoTheory::Failures => 5,
            NoTheory::Faults => 6,
            NoTheory::Prefetch => 7,
            NoTheory::Network => 8,
            NoTheory::Unstable { .. } => 9,
        }
    }
}

/// What theory says of an application of a contender: M/M/c, where independent arrivals at one rate wait in one queue for
/// consumers whose work is exponential, and nothing else happens.
///
/// ```
/// use brokerlab_lab::scenario::{Scenario, Source};
///
/// let text = r#"
///     format = 1
///     title = "a textbook's queue"
///     duration = "100s"
///     demand = { rate = "8/s", application = [
///         { name = "server", consumers = 1, work = { mean = "100ms", distribution = "exponential" } },
///     ] }
///     contender = [{ name = "queue", model = "queue", prefetch = 1 }, { name = "log", model = "log" }]
/// "#;
/// let scenario = Scenario::parse(&Source::new("textbook", text), &[])?;
/// assert_eq!(brokerlab_lab::theory(&scenario, 0, 0).map(|theory| theory.name()), Ok("M/M/1".to_string()));
/// assert_eq!(brokerlab_lab::theory(&scenario, 1, 0), Err(brokerlab_lab::NoTheory::NoQueue));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn theory(scenario: &Scenario, contender: usize, application: usize) -> Result<Theory, NoTheory> {
    let (arrivals, work, consumers) = assumed(scenario, contender, application)?;
    let unstable = || NoTheory::Unstable { arrivals: short(arrivals), capacity: short(f64::from(consumers) / work) };
    Theory::new(arrivals, work, consumers).ok_or_else(unstable)
}

/// Why there is no theory of an application of any of these contenders: what stands against that which comes closest.
pub fn no_theory(scenario: &Scenario, contenders: &[usize], application: usize) -> Option<NoTheory> {
    let found = contenders.iter().map(|contender| theory(scenario, *contender, application));
    let mut closest: Option<NoTheory> = None;
    for answer in found {
        let why = answer.err()?;
        if closest.as_ref().is_none_or(|known| known.rank() < why.rank()) {
            closest = Some(why);
        }
    }
    closest
}

/// Writes into the account of a run of these contenders what theory says of it.
pub(crate) fn note(meta: &mut Meta, scenario: &Scenario, contenders: &[usize]) {
    for (index, application) in scenario.demand.applications.iter().enumerate() {
        let holds = contenders.iter().filter(|contender| theory(scenario, **contender, index).is_ok());
        let holds: Vec<usize> = holds.copied().collect();
        let Some(Ok((arrivals, work, consumers))) = holds.first().map(|first| assumed(scenario, *first, index)) else {
            continue;
        };
        meta.theory.push(TheoryMeta {
            application: application.name.clone(),
            contenders: holds.iter().map(|contender| scenario.contenders[*contender].name.clone()).collect(),
            arrivals_per_s: Decimal((arrivals * 1e6).round() as u64),
            work_s: Decimal((work * 1e9).round() as u64),
            consumers,
        });
    }
}

/// Arrivals a second, the mean time of the work in seconds, and how many consumers, where everything is as it has to be.
fn assumed(scenario: &Scenario, contender: usize, application: usize) -> Result<(f64, f64, u32), NoTheory> {
    let options = match &scenario.contenders[contender].options {
        ModelOptions::Queue(options) | ModelOptions::Fanout(options) => options,
        _ => return Err(NoTheory::NoQueue),
    };
    let own = &scenario.demand.applications[application];
    let prefetch = queue_of(scenario, options, application)?;
    let arrivals = rate(scenario).ok_or(NoTheory::Arrivals)?;
    let Distribution::Exponential { mean: work } = own.work else { return Err(NoTheory::Work) };
    if !stays(own, scenario) {
        return Err(NoTheory::Consumers);
    }
    if own.failures.poison > 0 || own.failures.transient > 0 {
        return Err(NoTheory::Failures);
    }
    if scenario.faults.iter().any(|fault| fault.contender.is_none_or(|hit| hit == contender)) {
        return Err(NoTheory::Faults);
    }
    if prefetch != 1 && own.consumers > 1 {
        return Err(NoTheory::Prefetch);
    }
    // With one message at a time, a consumer waits for the next while its answer travels there and the message back.
    let way = 2.0 * scenario.network.latency.as_secs_f64();
    if way > NEGLIGIBLE * work {
        return Err(NoTheory::Network);
    }
    Ok((arrivals, work, own.consumers))
}

/// The prefetch of consumers that share one plain queue, which gets all messages and has no other consumers.
fn queue_of(scenario: &Scenario, options: &QueueOptions, application: usize) -> Result<u32, NoTheory> {
    let (topology, id) = (&options.topology, ApplicationId::new(application as u16));
    let mut own = topology.consumers_of(id);
    let first = own.next().ok_or(NoTheory::Consumers)?;
    if own.any(|other| other.queue != first.queue || other.prefetch != first.prefetch) {
        return Err(NoTheory::NoQueue);
    }
    let is_shared = topology.consumers.iter().any(|other| other.queue == first.queue && other.application != id);
    let queue = &topology.queues[first.queue];
    let is_limited = queue.max_length.is_some() || queue.max_bytes.is_some() || options.memory_watermark.is_some();
    let rules = [
        (is_shared, "consumers of several applications"),
        (!scenario.demand.kinds.is_empty(), "messages of several kinds"),
        (is_limited, "a limit"),
        (queue.message_ttl.is_some() || queue.expires.is_some(), "a time to live"),
        (queue.max_priority.is_some() || first.priority != 0, "priorities"),
        (queue.single_active_consumer || first.exclusive, "one active consumer"),
        (first.automatic_ack, "automatic acknowledgement"),
    ];
    match rules.into_iter().find(|(broken, _)| *broken) {
        Some((_, rule)) => Err(NoTheory::Rules(rule)),
        None => Ok(first.prefetch),
    }
}

/// The rate of independent arrivals, where it is one from the start to the end.
fn rate(scenario: &Scenario) -> Option<f64> {
    let end = Time::ZERO + scenario.duration;
    match &scenario.demand.arrivals {
        Arrivals::Law { law: ArrivalLaw::Poisson, schedule, bursts: None } if scenario.demand.until >= end => {
            let (first, _) = schedule.first()?;
            schedule.iter().all(|(rate, _)| rate == first).then_some(*first)
        }
        _ => None,
    }
}

/// Whether its consumers are there from the start to the end.
fn stays(application: &Application, scenario: &Scenario) -> bool {
    // What joins while the run warms up is there when it counts.
    let warm = Time::ZERO + scenario.warm_up.max(Duration::from_nanos(1_000_000_000));
    application.consumers > 0 && application.autoscale.is_none() && application.joins.iter().all(|join| *join <= warm)
}

/// A rate with no more places than it needs.
fn short(rate: f64) -> String {
    let text = format!("{rate:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_scenario::Source;

    fn parsed(demand: &str, contender: &str, more: &str) -> Scenario {
        let text = format!(
            r#"
            format = 1
            title = "theory"
            duration = "60s"
            {more}
            [demand]
            {demand}
            [[contender]]
            name = "queue"
            {contender}
            "#
        );
        Scenario::parse(&Source::new("theory", text), &[]).expect("a valid scenario")
    }

    const WORK: &str = r#"work = { mean = "60ms", distribution = "exponential" }"#;

    fn demand(rate: &str, consumers: u32, work: &str) -> String {
        format!("{rate}\napplication = [{{ name = \"server\", consumers = {consumers}, {work} }}]")
    }

    const QUEUE: &str = "model = \"queue\"\nprefetch = 1";

    #[test]
    fn a_plain_queue_is_the_textbooks() {
        let scenario = parsed(&demand("rate = \"40/s\"", 3, WORK), QUEUE, "");
        let theory = theory(&scenario, 0, 0).expect("it meets the assumptions");
        assert_eq!((theory.name().as_str(), (theory.utilisation() * 1e6).round()), ("M/M/3", 800_000.0));
        assert_eq!(no_theory(&scenario, &[0], 0), None);
    }

    #[test]
    fn whatever_is_otherwise_is_named() {
        let rate = "rate = \"40/s\"";
        let usual = demand(rate, 3, WORK);
        let fault = "fault = [{ at = \"10s\", crash = \"server/1\" }]";
        let cases: [(&str, &str, &str, &str); 9] = [
            (&demand("rate = \"50/s\"", 3, WORK), QUEUE, "", "50/s against 50/s): no steady state"),
            (&usual, "model = \"log\"", "", "one queue"),
            (&usual, "model = \"queue\"", "", "prefetch"),
            (&usual, "model = \"queue\"\nprefetch = 1\nmax_length = 10", "", "a limit"),
            (&demand(rate, 3, "work = \"60ms\""), QUEUE, "", "exponential"),
            (&demand("rate = \"40/s\"\narrivals = \"constant\"", 3, WORK), QUEUE, "", "independent"),
            (&demand(rate, 3, &format!("{WORK}, joins = \"20s\"")), QUEUE, "", "come and go"),
            (&usual, QUEUE, fault, "faults"),
            (&usual, QUEUE, "network = { latency = \"10ms\" }", "the way between"),
        ];
        for (demand, contender, more, expected) in cases {
            let why = no_theory(&parsed(demand, contender, more), &[0], 0).expect("something is otherwise").to_string();
            assert!(why.contains(expected), "{why}, not {expected}");
        }
    }

    #[test]
    fn one_consumer_may_hold_as_much_as_it_likes() {
        let scenario = parsed(&demand("rate = \"10/s\"", 1, WORK), "model = \"queue\"\nprefetch = 100", "");
        assert_eq!(theory(&scenario, 0, 0).map(|theory| theory.name()), Ok("M/M/1".to_string()));
    }
}
