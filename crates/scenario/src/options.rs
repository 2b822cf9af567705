//! Every option of the format, once. Reading, "did you mean", defaults, and the JSON Schema all come from this
//! table, so they cannot disagree.

use crate::options_log::{LOG_MODEL, SHARE_GROUP_MODEL};
use crate::options_queue::{FANOUT_MODEL, QUEUE_MODEL};
use crate::options_stream::STREAM_MODEL;
use crate::scenario::PLOTS;

/// The tables of one shape: the whole file, `[demand]`, a `[[contender]]` of the model `log`.
pub(crate) struct Spec {
    /// What a message calls it: `[demand]`.
    pub title: &'static str,
    /// Its options.
    pub options: &'static [Opt],
}

/// An option.
#[derive(Clone, Copy)]
pub(crate) struct Opt {
    /// Its key.
    pub name: &'static str,
    /// What it may be.
    pub kind: Kind,
    /// The text of its default in TOML.
    pub default: Option<&'static str>,
    /// It has to be there.
    pub required: bool,
    /// What it says, as one or two sentences.
    pub doc: &'static str,
}

/// What the value of an option may be.
#[derive(Clone, Copy)]
pub(crate) enum Kind {
    Text,
    /// A routing key or binding key, which may be empty.
    Key,
    /// A name of which words are made: letters, digits, `-`, `_`, joined by dots.
    Label,
    /// A list of such names.
    Labels,
    /// A table of texts, whole numbers and truth values under any names.
    Fields,
    /// A name that can be part of a path and of a file name.
    Name,
    Flag,
    Whole {
        least: u64,
        most: u64,
    },
    WholeOrNone,
    /// A whole number that may be negative.
    Integer,
    /// A whole number of priority levels, as RabbitMQ takes them.
    Levels,
    /// A time that RabbitMQ takes: whole milliseconds.
    Millis {
        zero: bool,
    },
    /// A number within bounds; the lower bound itself is allowed where `from` says so.
    Number {
        least: f64,
        from: bool,
        most: f64,
    },
    Duration {
        zero: bool,
    },
    DurationOrNone,
    /// A duration, or a list of them, one for each consumer.
    Joins,
    /// How often something is done: not so often that a run is busy with nothing else.
    Interval,
    Rate,
    Schedule,
    Size {
        least: u64,
        most: u64,
    },
    SizeOrNone,
    Moment,
    Choice(&'static [&'static str]),
    /// One of the names, or a list of some of them.
    Choices(&'static [&'static str]),
    /// One of the names, or a table.
    ChoiceOr(&'static [&'static str], &'static Spec),
    /// A law of durations: a duration, or a table.
    WorkLaw,
    /// A law of sizes: a size, or a table.
    SizeLaw,
    Target,
    Table(&'static Spec),
    Tables(&'static Spec),
    /// A table of settings: any path with any value.
    Settings,
    /// `[[contender]]`: which options there are depends on the model.
    Contenders,
}

impl Spec {
    /// The option of this name.
    pub(crate) fn find(&self, name: &str) -> Option<&'static Opt> {
        self.options.iter().find(|option| option.name == name)
    }
}

pub(crate) const fn required(name: &'static str, kind: Kind, doc: &'static str) -> Opt {
    Opt { name, kind, default: None, required: true, doc }
}

pub(crate) const fn optional(name: &'static str, kind: Kind, doc: &'static str) -> Opt {
    Opt { name, kind, default: None, required: false, doc }
}

pub(crate) const fn default(name: &'static str, kind: Kind, default: &'static str, doc: &'static str) -> Opt {
    Opt { name, kind, default: Some(default), required: false, doc }
}

pub(crate) const POSITIVE: Kind = Kind::Duration { zero: false };
pub(crate) const FROM_ZERO: Kind = Kind::Duration { zero: true };
pub(crate) const ANY_WHOLE: Kind = Kind::Whole { least: 0, most: i64::MAX as u64 };

pub(crate) const MOST_CONSUMERS: u64 = 100_000;
pub(crate) const MOST_PARTITIONS: u64 = 10_000;
pub(crate) const MOST_NODES: u64 = 64;
/// Each producer keeps an open batch for each partition.
pub(crate) const MOST_BATCHES: u64 = 10_000_000;
/// The most attempts at records that are tried for ever, by the mean of the work: more, and a run has no end in sight.
pub(crate) const MOST_ATTEMPTS: f64 = 1e7;
pub(crate) const MOST_KEYS: u64 = 1_000_000;
pub(crate) const MOST_MESSAGES: f64 = 1e10;
pub(crate) const LARGEST_SIZE: u64 = crate::demand::LARGEST_MESSAGE as u64;

pub(crate) static ROOT: Spec = Spec {
    title: "the scenario",
    options: &[
        required("format", Kind::Whole { least: 1, most: 1 }, "The version of the file format: 1."),
        required("title", Kind::Text, "What the scenario is called."),
        optional("question", Kind::Text, "The question that it answers."),
        optional("explanation", Kind::Text, "The answer, in at most 150 words."),
        required("duration", POSITIVE, "How long a run lasts."),
        default("seed", ANY_WHOLE, "42", "The seed of all chance. Another seed is another run of the same experiment."),
        default("warm_up", FROM_ZERO, "\"0s\"", "How much of the beginning is left out of latencies and throughput."),
        optional("plot", Kind::Choice(PLOTS), "The plot that decides the question."),
        optional("network", Kind::Table(&NETWORK), "The network."),
        optional("cluster", Kind::Table(&CLUSTER), "The brokers of each contender, where there is more than one."),
        required("demand", Kind::Table(&DEMAND), "Who sends what, when, and who needs it."),
        required("contender", Kind::Contenders, "The brokers that are compared."),
        optional("fault", Kind::Tables(&FAULT), "What goes wrong, and when."),
        optional("expect", Kind::Tables(&EXPECT), "What must come true."),
        optional("flip", Kind::Table(&FLIP), "The one change that flips the outcome."),
    ],
};

pub(crate) static NETWORK: Spec = Spec {
    title: "[network]",
    options: &[default("latency", FROM_ZERO, "\"500us\"", "How long a message takes, each way.")],
};

pub(crate) static CLUSTER: Spec = Spec {
    title: "[cluster]",
    options: &[
        required(
            "nodes",
            Kind::Whole { least: 1, most: MOST_NODES },
            "How many broker nodes each contender has. The partitions of a log are dealt to them in turn, from broker/2 \
             on. Whatever has one copy is on broker/1: queues and streams, and the coordinators of groups.",
        ),
        default(
            "session_timeout",
            POSITIVE,
            "\"9s\"",
            "A node that the controller has not heard from for this long leads nothing any more \
             (broker.session.timeout.ms).",
        ),
        default(
            "heartbeat_interval",
            POSITIVE,
            "\"2s\"",
            "How often a node shows the controller that it is there (broker.heartbeat.interval.ms).",
        ),
        default(
            "leader_balance_interval",
            Kind::DurationOrNone,
            "\"5min\"",
            "How often partitions are given back to the nodes that should lead them, where those are in sync \
             (leader.imbalance.check.interval.seconds). \"none\": never (auto.leader.rebalance.enable).",
        ),
    ],
};

pub(crate) static DEMAND: Spec = Spec {
    title: "[demand]",
    options: &[
        default("producers", Kind::Whole { least: 1, most: MOST_CONSUMERS }, "1", "How many producers there are."),
        optional("rate", Kind::Rate, "Messages a second, by all producers together."),
        optional(
            "schedule",
            Kind::Schedule,
            "Rates and how long each holds: [[\"500/s\", \"30s\"], [\"2000/s\", \"10s\"]]. After the last the first \
             follows again.",
        ),
        optional("trace", Kind::Table(&TRACE), "A recording that says when messages are sent."),
        default(
            "arrivals",
            Kind::ChoiceOr(&["poisson", "constant"], &BURSTS),
            "\"poisson\"",
            "The law of the gaps between messages: poisson, constant, or bursts { on, off } during which the rate \
             applies.",
        ),
        optional("keys", Kind::Table(&KEYS), "How messages get their keys. Without it they have none."),
        default("size", Kind::SizeLaw, "\"1KiB\"", "The size of a message: a size or a law of sizes."),
        optional("kind", Kind::Tables(&KIND), "The kinds of messages. Without any, all messages are of one kind."),
        optional("until", POSITIVE, "When producers stop. By default they send until the end of the run."),
        required("application", Kind::Tables(&APPLICATION), "Who needs the messages."),
    ],
};

pub(crate) static BURSTS: Spec = Spec {
    title: "arrivals",
    options: &[
        required("on", Kind::Interval, "How long messages are sent, at the rate."),
        required("off", Kind::Interval, "How long nothing is sent."),
        default("gaps", Kind::Choice(&["poisson", "constant"]), "\"poisson\"", "The law of the gaps in a burst."),
    ],
};

pub(crate) static TRACE: Spec = Spec {
    title: "[demand.trace]",
    options: &[
        required("file", Kind::Text, "A CSV file with a header, beside the scenario."),
        default("time", Kind::Text, "\"time\"", "The column of the times: ISO 8601, or seconds. In ascending order."),
        optional("key", Kind::Text, "The column of the keys."),
        optional("size", Kind::Text, "The column of the sizes in bytes."),
        default(
            "scale",
            Kind::Number { least: 0.0, from: false, most: 1e9 },
            "1.0",
            "How many seconds of the recording pass in a second of the run.",
        ),
        optional("start", Kind::Moment, "The time of the recording at which the run begins; by default its first."),
    ],
};

pub(crate) static KEYS: Spec = Spec {
    title: "keys",
    options: &[
        required("count", Kind::Whole { least: 1, most: MOST_KEYS }, "How many keys there are."),
        default("distribution", Kind::Choice(&["uniform", "zipf"]), "\"uniform\"", "How often each is used."),
        optional(
            "exponent",
            Kind::Number { least: 0.0, from: false, most: 10.0 },
            "The exponent of Zipf's law (1 by default): key n is used in proportion to 1 / n to this power.",
        ),
    ],
};

pub(crate) const MOST_KINDS: usize = 10_000;

pub(crate) static KIND: Spec = Spec {
    title: "[[demand.kind]]",
    options: &[
        required("name", Kind::Label, "Its name, which is also its routing key: words joined by dots."),
        default(
            "share",
            Kind::Number { least: 0.0, from: false, most: 1e6 },
            "1.0",
            "How many of the messages are of this kind, in proportion to the shares of the others.",
        ),
        optional(
            "priority",
            Kind::Whole { least: 0, most: 255 },
            "The priority of the message, for queues with levels.",
        ),
        optional("ttl", Kind::Millis { zero: true }, "How long a message waits at most in a queue (expiration)."),
        default("transient", Kind::Flag, "false", "The message need not survive the broker (delivery mode 1)."),
        optional("headers", Kind::Fields, "Headers, for exchanges that go by them."),
        optional("size", Kind::SizeLaw, "The size of a message of this kind, instead of that of the demand."),
        default(
            "tombstone",
            Kind::Flag,
            "false",
            "The message says that its key is no more: a compacted log forgets the key. Its size is that of key and \
             headers.",
        ),
    ],
};

pub(crate) static FAILURES: Spec = Spec {
    title: "failures",
    options: &[
        default("poison", SHARE, "0.0", "The share of messages on which the work fails at every attempt."),
        default("transient", SHARE, "0.0", "The chance that an attempt at any other message fails."),
    ],
};

pub(crate) const SHARE: Kind = Kind::Number { least: 0.0, from: true, most: 1.0 };

pub(crate) static APPLICATION: Spec = Spec {
    title: "[[demand.application]]",
    options: &[
        required("name", Kind::Name, "Its name."),
        default("consumers", Kind::Whole { least: 1, most: MOST_CONSUMERS }, "1", "How many consumers it has."),
        required("work", Kind::WorkLaw, "The work on a message: a duration or a law of durations."),
        default(
            "joins",
            Kind::Joins,
            "\"0s\"",
            "When its consumers connect for the first time: a time for all of them, or a list with a time for each.",
        ),
        optional("autoscale", Kind::Table(&AUTOSCALE), "Starts and stops its consumers as its lag demands."),
        optional("wants", Kind::Labels, "The kinds of messages that it needs. By default it needs all."),
        optional("failures", Kind::Table(&FAILURES), "On which messages its work fails."),
        default("answer", Kind::Flag, "false", "It answers the sender when the work on a message is done."),
    ],
};

pub(crate) static AUTOSCALE: Spec = Spec {
    title: "autoscale",
    options: &[
        required(
            "lag",
            Kind::Whole { least: 1, most: 1_000_000_000 },
            "How many waiting messages are worth a consumer. As many run as the lag divided by this, rounded up.",
        ),
        default(
            "least",
            Kind::Whole { least: 1, most: MOST_CONSUMERS },
            "1",
            "How many always run; at most `consumers` do.",
        ),
        default("every", Kind::Interval, "\"30s\"", "How often the lag is looked at."),
        default(
            "cooldown",
            FROM_ZERO,
            "\"5min\"",
            "Consumers are stopped only when this long no moment has asked for more of them.",
        ),
    ],
};

/// The laws, and the parameters that each needs.
pub(crate) const LAWS: &[(&str, &[&str])] = &[
    ("constant", &["mean"]),
    ("exponential", &["mean"]),
    ("erlang", &["mean", "shape"]),
    ("lognormal", &["mean", "sigma"]),
    ("bimodal", &["low", "high", "chance"]),
    ("uniform", &["low", "high"]),
];
const LAW_NAMES: Kind = Kind::Choice(&["constant", "exponential", "erlang", "lognormal", "bimodal", "uniform"]);

const SHAPE: Opt = optional("shape", Kind::Whole { least: 1, most: 1000 }, "erlang: how many exponentials are summed.");
const SIGMA: Opt = optional(
    "sigma",
    Kind::Number { least: 0.0, from: true, most: 5.0 },
    "lognormal: the standard deviation of the logarithm.",
);
const CHANCE: Opt =
    optional("chance", Kind::Number { least: 0.0, from: true, most: 1.0 }, "bimodal: how likely `high` is.");

pub(crate) static WORK_LAW: Spec = Spec {
    title: "a law of durations",
    options: &[
        required("distribution", LAW_NAMES, "The law."),
        optional("mean", FROM_ZERO, "The mean."),
        SHAPE,
        SIGMA,
        optional("low", FROM_ZERO, "uniform: the least; bimodal: the usual."),
        optional("high", FROM_ZERO, "uniform: the most; bimodal: the other."),
        CHANCE,
    ],
};

const LAW_SIZE: Kind = Kind::Size { least: 1, most: LARGEST_SIZE };

pub(crate) static SIZE_LAW: Spec = Spec {
    title: "a law of sizes",
    options: &[
        required("distribution", LAW_NAMES, "The law."),
        optional("mean", LAW_SIZE, "The mean."),
        SHAPE,
        SIGMA,
        optional("low", LAW_SIZE, "uniform: the least; bimodal: the usual."),
        optional("high", LAW_SIZE, "uniform: the most; bimodal: the other."),
        CHANCE,
    ],
};

pub(crate) const CONTENDER_NAME: Opt = required("name", Kind::Name, "Its name.");
pub(crate) const MODEL: Opt = required("model", Kind::Choice(MODELS), "Its shape.");
pub(crate) const CONFIRMS: Opt =
    default("confirms", Kind::Flag, "true", "The broker confirms messages to the producer.");
pub(crate) const MAX_UNCONFIRMED: Opt = default(
    "max_unconfirmed",
    Kind::Whole { least: 1, most: 1_000_000 },
    "1000",
    "How many messages of a producer may be unconfirmed before it holds back.",
);
pub(crate) const MANDATORY: Opt =
    default("mandatory", Kind::Flag, "false", "Messages that no queue takes are returned.");

/// The names of the models.
pub(crate) const MODELS: &[&str] = &["queue", "fanout", "broadcast", "log", "share-group", "stream"];

/// The options of a contender of each model, in the order of [`MODELS`].
pub(crate) static CONTENDERS: [Spec; 6] = [
    Spec { title: "a contender of the model queue", options: QUEUE_MODEL },
    Spec { title: "a contender of the model fanout", options: FANOUT_MODEL },
    Spec {
        title: "a contender of the model broadcast",
        options: &[
            CONTENDER_NAME,
            MODEL,
            default("confirms", Kind::Flag, "false", "The broker confirms messages to the producer."),
            MAX_UNCONFIRMED,
        ],
    },
    Spec { title: "a contender of the model log", options: LOG_MODEL },
    Spec { title: "a contender of the model share-group", options: SHARE_GROUP_MODEL },
    Spec { title: "a contender of the model stream", options: STREAM_MODEL },
];

pub(crate) const fn count(parts: &[&[Opt]]) -> usize {
    let (mut count, mut part) = (0, 0);
    while part < parts.len() {
        count += parts[part].len();
        part += 1;
    }
    count
}

/// Tables that several models share, one after the other.
pub(crate) const fn join<const N: usize>(parts: &[&[Opt]]) -> [Opt; N] {
    let mut all = [MODEL; N];
    let (mut place, mut part) = (0, 0);
    while part < parts.len() {
        let mut option = 0;
        while option < parts[part].len() {
            all[place] = parts[part][option];
            (place, option) = (place + 1, option + 1);
        }
        part += 1;
    }
    all
}

/// What a fault may do.
pub(crate) const ACTIONS: &[&str] = &["crash", "power_off", "lose_disk", "pause", "slow", "leave", "reset", "replace"];

pub(crate) static FAULT: Spec = Spec {
    title: "[[fault]]",
    options: &[
        required("at", FROM_ZERO, "When it begins."),
        optional("contender", Kind::Name, "Which contender alone it hits; without it, each of them."),
        optional("for", POSITIVE, "How long it lasts. Without it, to the end of the run."),
        optional(
            "crash",
            Kind::Target,
            "Whose process dies: of a client, or of the \"broker\". It is started again when the fault ends.",
        ),
        optional(
            "power_off",
            Kind::Target,
            "Which \"broker\" loses its power, and with it what is not flushed to its disk. Nobody is told: clients notice \
             when nothing has answered for too long. The power is back when the fault ends.",
        ),
        optional(
            "lose_disk",
            Kind::Target,
            "Which \"broker\" goes down and loses its disk. It comes back with an empty one when the fault ends.",
        ),
        optional("pause", Kind::Target, "Who stands still, without even a heartbeat, and goes on when the fault ends."),
        optional("slow", Kind::Target, "Whose work takes longer, by the factor."),
        optional(
            "reset",
            Kind::Target,
            "Whose connection breaks: what is under way on it, to and fro, is lost. No other can be made until the fault ends; \
             without \"for\", one can be made at once.",
        ),
        optional(
            "replace",
            Kind::Target,
            "Which producer stands still and is thought dead: another process takes its place at once and sends what it has \
             seen no confirm of. When the fault ends, the first goes on beside it.",
        ),
        optional(
            "leave",
            Kind::Target,
            "Who goes in an orderly way, and comes back when the fault ends: a client that disconnects, or a \"broker\" that is \
             stopped. In a cluster others lead first what it leads (controlled shutdown).",
        ),
        optional(
            "factor",
            Kind::Number { least: 0.0, from: false, most: 4_000.0 },
            "slow: how many times longer the work takes.",
        ),
    ],
};

pub(crate) const ROLES: &[&str] = &["most-unsettled", "least-unsettled", "any", "leader", "follower-in-sync"];

pub(crate) static ROLE: Spec = Spec {
    title: "a target by role",
    options: &[
        required(
            "role",
            Kind::Choice(ROLES),
            "Who, at the time of the fault: the first three are roles of consumers, the others of broker nodes.",
        ),
        required(
            "of",
            Kind::Text,
            "Of a consumer: the application. Of a node: the partition, such as \"partition/1\", or \"hottest-key\" for that \
             which has most records of the key of which there are most. A queue's node leads whatever is asked for.",
        ),
    ],
};

pub(crate) static EXPECT: Spec = Spec {
    title: "[[expect]]",
    options: &[
        optional("name", Kind::Text, "What is expected, in words. The flip refers to it."),
        optional("contender", Kind::Name, "Of which contender; without it, of each."),
        optional("application", Kind::Name, "For which application; without it, for all together."),
        optional("kind", Kind::Label, "Of which kind of messages; without it, of all. Only processed and latency_*."),
    ],
};

pub(crate) static FLIP: Spec = Spec {
    title: "[flip]",
    options: &[
        required("set", Kind::Settings, "The change: paths and their values, as for --set."),
        required("fails", Kind::Text, "The name of the [[expect]] that must fail then."),
        optional("because", Kind::Text, "Why, in a sentence."),
    ],
};
