//! Expectations: what turns a scenario into a test. Read here, judged by whoever has the results.

/// What the numbers of a metric are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quantity {
    /// A count.
    Count,
    /// A duration, in nanoseconds.
    Duration,
    /// Bytes.
    Bytes,
    /// Messages a second.
    Rate,
}

/// Something that can be expected of a run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Metric {
    /// Its name, as in `summary.csv`.
    pub name: &'static str,
    /// What its numbers are.
    pub quantity: Quantity,
    /// What it is, as a phrase.
    pub meaning: &'static str,
}

const fn metric(name: &'static str, quantity: Quantity, meaning: &'static str) -> Metric {
    Metric { name, quantity, meaning }
}

/// Every metric. A new one is one line here and one arm where results are looked up.
pub const METRICS: &[Metric] = &[
    metric("offered", Quantity::Count, "messages that the demand asked to be sent"),
    metric("sent", Quantity::Count, "messages handed to the network"),
    metric("confirmed", Quantity::Count, "messages that a confirm came for"),
    metric("replied", Quantity::Count, "answers that reached senders, of any application"),
    metric("processed", Quantity::Count, "messages that the application finished"),
    metric("dead_lettered", Quantity::Count, "messages moved to a dead-letter queue"),
    metric(
        "dropped_by_policy",
        Quantity::Count,
        "messages given up before they were processed: by a policy, or rejected",
    ),
    metric("missed", Quantity::Count, "messages sent while nobody was connected"),
    metric("skipped", Quantity::Count, "messages settled or passed over without being processed"),
    metric("lost", Quantity::Count, "messages confirmed and gone"),
    metric("in_backlog", Quantity::Count, "messages stored and still to be had at the end"),
    metric("refused", Quantity::Count, "messages that the broker refused"),
    metric("returned", Quantity::Count, "messages returned to the sender"),
    metric("not_wanted", Quantity::Count, "messages that the application does not want"),
    metric("not_processed", Quantity::Count, "wanted messages that were not processed and cannot be had any more"),
    metric("unconfirmed", Quantity::Count, "messages sent, never confirmed and never processed"),
    metric("not_sent", Quantity::Count, "messages that the producer never came to send"),
    metric("deliveries", Quantity::Count, "deliveries of any kind"),
    metric("dead_letters", Quantity::Count, "dead letters that queues took"),
    metric("expired", Quantity::Count, "copies whose time to live was over"),
    metric("overflowed", Quantity::Count, "copies that a queue at its limit of length dropped"),
    metric("delivery_limit", Quantity::Count, "copies given up because they were returned too often"),
    metric("declined", Quantity::Count, "copies that queues declined"),
    metric("failed", Quantity::Count, "attempts to process a message that failed"),
    metric("channel_errors", Quantity::Count, "channels that the broker closed because of an error"),
    metric("queue_deletions", Quantity::Count, "queues that were deleted or had been unused for too long"),
    metric("connections_lost", Quantity::Count, "connections that broke while the process went on"),
    metric("sent_again", Quantity::Count, "messages handed to the network again, each time counted"),
    metric("sends_expired", Quantity::Count, "messages whose producer was told that no confirm had come in time"),
    metric("set_aside", Quantity::Count, "records of a log written to a retry topic"),
    metric(
        "position_resets",
        Quantity::Count,
        "readers of a log that their reset policy sent to another place, or that went back to the end of a log which has lost what they had read",
    ),
    metric("stranded", Quantity::Count, "consumers that ended because they had no position to read from"),
    metric("offsets_forgotten", Quantity::Count, "groups whose committed offsets were forgotten"),
    metric("deduplicated", Quantity::Count, "records that a partition had already when they came again"),
    metric("aborted", Quantity::Count, "records whose transaction was aborted"),
    metric("dirty_reads", Quantity::Count, "messages that were processed although they were aborted for good"),
    metric("blocked_time", Quantity::Duration, "how long producers were blocked, all of them added up"),
    metric("redeliveries", Quantity::Count, "deliveries marked as made before"),
    metric("duplicates", Quantity::Count, "processings after the first of the same message"),
    metric("replayed", Quantity::Count, "those of them that somebody asked for"),
    metric("key_order_violations", Quantity::Count, "messages processed after a later message of their key"),
    metric("keys_out_of_order", Quantity::Count, "keys with at least one such message"),
    metric("throughput", Quantity::Rate, "messages processed a second after the warm-up"),
    metric("backlog_max", Quantity::Count, "the most messages that waited at any moment"),
    metric("stored_messages_max", Quantity::Count, "the most messages stored at any moment"),
    metric("stored_bytes_max", Quantity::Bytes, "the most bytes stored at any moment"),
    metric("longest_stall", Quantity::Duration, "the longest time without progress while there was a backlog"),
    metric("rebalances", Quantity::Count, "how often a group redistributed its partitions"),
    metric("rebalancing", Quantity::Duration, "how long groups were redistributing, all in all"),
    metric("confirm_p50", Quantity::Duration, "from the intended send time to the confirm, median"),
    metric("confirm_p90", Quantity::Duration, "to the confirm, 90th percentile"),
    metric("confirm_p95", Quantity::Duration, "to the confirm, 95th percentile"),
    metric("confirm_p99", Quantity::Duration, "to the confirm, 99th percentile"),
    metric("confirm_p99_9", Quantity::Duration, "to the confirm, 99.9th percentile"),
    metric("confirm_max", Quantity::Duration, "to the confirm, longest"),
    metric("deliver_p50", Quantity::Duration, "from the intended send time to the first delivery, median"),
    metric("deliver_p90", Quantity::Duration, "to the first delivery, 90th percentile"),
    metric("deliver_p95", Quantity::Duration, "to the first delivery, 95th percentile"),
    metric("deliver_p99", Quantity::Duration, "to the first delivery, 99th percentile"),
    metric("deliver_p99_9", Quantity::Duration, "to the first delivery, 99.9th percentile"),
    metric("deliver_max", Quantity::Duration, "to the first delivery, longest"),
    metric("latency_p50", Quantity::Duration, "from the intended send time to the end of the work, median"),
    metric("latency_p90", Quantity::Duration, "to the end of the work, 90th percentile"),
    metric("latency_p95", Quantity::Duration, "to the end of the work, 95th percentile"),
    metric("latency_p99", Quantity::Duration, "to the end of the work, 99th percentile"),
    metric("latency_p99_9", Quantity::Duration, "to the end of the work, 99.9th percentile"),
    metric("latency_max", Quantity::Duration, "to the end of the work, longest"),
];

/// One `[[expect]]` of a scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct Expectation {
    /// Its name, by which the flip refers to it.
    pub name: Option<String>,
    /// The contender that it speaks of, an index; nothing for each of them.
    pub contender: Option<usize>,
    /// The application that it speaks of, an index; nothing for all together.
    pub application: Option<usize>,
    /// The kind of messages that it speaks of, an index; nothing for all kinds. Only some metrics are of a kind.
    pub kind: Option<usize>,
    /// What must be true, all of it.
    pub clauses: Vec<Clause>,
}

/// A comparison of one metric.
#[derive(Clone, PartialEq, Debug)]
pub struct Clause {
    /// The metric.
    pub metric: &'static Metric,
    /// What it is compared with.
    pub comparison: Comparison,
    /// The comparison as the file has it: `>= 50`, `0`, `< 2 * queue`.
    pub text: String,
}

/// What a metric is compared with.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Comparison {
    /// A number, in the unit of the metric's quantity.
    Value(Relation, f64),
    /// A range, both ends included.
    Range(f64, f64),
    /// The same metric of another contender, times a factor.
    Contender(Relation, f64, usize),
}

/// How two numbers are compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Relation {
    /// `=`
    Equal,
    /// `!=`
    Unequal,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    More,
    /// `>=`
    AtLeast,
}

impl Metric {
    /// True where it is known of each kind of message.
    pub fn is_of_kind(&self) -> bool {
        self.name == "processed" || self.name.starts_with("latency_")
    }
}

impl Relation {
    /// Its sign.
    pub fn sign(self) -> &'static str {
        match self {
            Relation::Equal => "=",
            Relation::Unequal => "!=",
            Relation::Less => "<",
            Relation::AtMost => "<=",
            Relation::More => ">",
            Relation::AtLeast => ">=",
        }
    }

    /// Whether it holds between these.
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Relation::Equal => left == right,
            Relation::Unequal => left != right,
            Relation::Less => left < right,
            Relation::AtMost => left <= right,
            Relation::More => left > right,
            Relation::AtLeast => left >= right,
        }
    }
}

impl Comparison {
    /// The contender whose number is needed to judge.
    pub fn other(&self) -> Option<usize> {
        match self {
            Comparison::Contender(_, _, contender) => Some(*contender),
            _ => None,
        }
    }

    /// Whether it holds for this number. `other` gives the number of another contender.
    pub fn holds(&self, number: f64, other: impl FnOnce(usize) -> f64) -> bool {
        match *self {
            Comparison::Value(relation, value) => relation.holds(number, value),
            Comparison::Range(low, high) => (low..=high).contains(&number),
            Comparison::Contender(relation, factor, contender) => relation.holds(number, factor * other(contender)),
        }
    }
}

/// The one change that flips a scenario's outcome.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Flip {
    /// What is set, as `path=value`.
    pub sets: Vec<String>,
    /// The expectation that must fail then, an index.
    pub fails: usize,
    /// Why, in a sentence.
    pub because: Option<String>,
}
