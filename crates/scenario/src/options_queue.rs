//! The options of contenders with exchanges and queues: those of the short form, which speak of the queues that come
//! by themselves, and the tables that declare everything in full.

use crate::options::{
    ANY_WHOLE, CONFIRMS, CONTENDER_NAME, Kind, MANDATORY, MAX_UNCONFIRMED, MODEL, MOST_CONSUMERS, MOST_NODES, Opt,
    POSITIVE, Spec, default, optional, required,
};

const QUEUES: Opt = default(
    "queues",
    Kind::Choice(&["shared", "each"]),
    "\"shared\"",
    "shared: one queue, named work, for all applications. each: a queue for every application, under its name.",
);

const QUEUE_TYPE: Opt = default(
    "queue_type",
    Kind::Choice(&["classic", "quorum"]),
    "\"classic\"",
    "classic: on one node. quorum: a replicated log (x-queue-type).",
);
const DURABLE: Opt = default("durable", Kind::Flag, "true", "Messages are on disk before they are confirmed.");
const LIFETIME: Opt = default(
    "lifetime",
    Kind::Choice(&["permanent", "auto-delete", "exclusive"]),
    "\"permanent\"",
    "permanent: until it expires. auto-delete: until its last consumer goes. exclusive: until its only consumer's \
     connection ends.",
);
const MESSAGE_TTL: Opt =
    optional("message_ttl", Kind::Millis { zero: true }, "How long messages wait at most (x-message-ttl).");
const EXPIRES: Opt = optional(
    "expires",
    Kind::Millis { zero: false },
    "How long the queue may be unused before it is deleted (x-expires).",
);
const MAX_LENGTH: Opt = optional("max_length", ANY_WHOLE, "How many messages may be ready (x-max-length).");
const MAX_LENGTH_BYTES: Opt = optional(
    "max_length_bytes",
    Kind::Size { least: 0, most: 1 << 50 },
    "How large the bodies of all ready messages may be together (x-max-length-bytes).",
);
const OVERFLOW: Opt = default(
    "overflow",
    Kind::Choice(&["drop-head", "reject-publish", "reject-publish-dlx"]),
    "\"drop-head\"",
    "What happens at the limit (x-overflow): the oldest message goes, or the new one is refused; with -dlx it is a \
     dead letter too.",
);
const DEAD_LETTER_EXCHANGE: Opt = optional(
    "dead_letter_exchange",
    Kind::Key,
    "Where messages go that were rejected, expired, or one too many (x-dead-letter-exchange); \"\" is the default \
     exchange.",
);
const DEAD_LETTER_ROUTING_KEY: Opt = optional(
    "dead_letter_routing_key",
    Kind::Key,
    "The routing key of dead letters (x-dead-letter-routing-key). By default they keep their own.",
);
const DEAD_LETTER_STRATEGY: Opt = optional(
    "dead_letter_strategy",
    Kind::Choice(&["at-most-once", "at-least-once"]),
    "quorum: whether dead letters are kept until they have arrived (x-dead-letter-strategy).",
);
const MAX_PRIORITY: Opt =
    optional("max_priority", Kind::Levels, "classic: the highest priority that it tells apart (x-max-priority).");
const SINGLE_ACTIVE: Opt = default(
    "single_active_consumer",
    Kind::Flag,
    "false",
    "Only one consumer gets messages; another takes over when it goes (x-single-active-consumer).",
);
const GROUP_SIZE: Opt = optional(
    "group_size",
    Kind::Whole { least: 1, most: MOST_NODES },
    "quorum: on how many nodes of the cluster it has a member (x-quorum-initial-group-size). By default 3, or as many as \
     there are. A message is confirmed once most of them have it on their disks.",
);
const DELIVERY_LIMIT: Opt = optional(
    "delivery_limit",
    Kind::WholeOrNone,
    "quorum: how often a message may fail before it is given up, or \"none\" (x-delivery-limit). By default 20; none \
     in rabbit-3.13.",
);
const DELAYED_RETRY: Opt = optional(
    "delayed_retry",
    Kind::Table(&RETRY),
    "quorum: returned messages wait before they are delivered again (since rabbit-4.3).",
);
const CONSUMER_TIMEOUT: Opt = optional(
    "consumer_timeout",
    POSITIVE,
    "quorum: a delivery that is unsettled for so long is taken back (x-consumer-timeout). By default 30min.",
);

pub(crate) static RETRY: Spec = Spec {
    title: "delayed_retry",
    options: &[
        default(
            "messages",
            Kind::Choice(&["all", "failed", "returned"]),
            "\"all\"",
            "Which messages wait: all that come back, those that failed, or those that did not.",
        ),
        required("min", POSITIVE, "The wait after the first failure; it grows with each."),
        required("max", POSITIVE, "The longest wait."),
    ],
};

const PREFETCH: Opt = default(
    "prefetch",
    Kind::Whole { least: 0, most: 65_535 },
    "0",
    "How many deliveries of a consumer may be unsettled; 0, the default of AMQP, is no limit.",
);
const PREFETCH_SCOPE: Opt = default(
    "prefetch_scope",
    Kind::Choice(&["consumer", "channel"]),
    "\"consumer\"",
    "Whom the prefetch holds for (global). Each consumer has a channel of its own, so both come to the same, but \
     quorum queues refuse channel.",
);
const ACK: Opt = default(
    "ack",
    Kind::Choice(&["manual", "automatic"]),
    "\"manual\"",
    "manual: settled when the work is done. automatic: settled when it is sent.",
);
const EXCLUSIVE: Opt = default("exclusive", Kind::Flag, "false", "The consumer wants the queue for itself.");
const CONSUMER_PRIORITY: Opt = default(
    "priority",
    Kind::Integer,
    "0",
    "Consumers of lower priority get messages only while those of higher priority cannot take any (x-priority).",
);
const ON_FAILURE: Opt = default(
    "on_failure",
    Kind::Choice(&["requeue", "return", "reject"]),
    "\"requeue\"",
    "What is done with a message on which work fails: requeue (nack, to be delivered again), return (reject with \
     requeue, which a quorum queue counts), or reject (a dead letter).",
);

const MEMORY: Opt = optional(
    "memory_watermark",
    Kind::Size { least: 1, most: 1 << 50 },
    "Publishers are blocked while queues hold more than this (vm_memory_high_watermark).",
);
const PROFILE: Opt = default(
    "profile",
    Kind::Choice(&["rabbit-4.3", "rabbit-4.2", "rabbit-4.1", "rabbit-4.0", "rabbit-3.13"]),
    "\"rabbit-4.3\"",
    "Whose rules hold.",
);
const PUBLISH_TO: Opt =
    optional("publish_to", Kind::Key, "The exchange that messages are published to; \"\" is the default exchange.");
const ROUTING_KEY: Opt =
    optional("routing_key", Kind::Key, "The routing key of all messages. By default it is the name of their kind.");
const EXCHANGES: Opt = optional("exchange", Kind::Tables(&EXCHANGE), "Exchanges.");
const QUEUE_TABLES: Opt = optional("queue", Kind::Tables(&QUEUE), "Queues beside those of the short form.");
const BINDINGS: Opt = optional("binding", Kind::Tables(&BINDING), "What is bound to exchanges.");
const CONSUMERS: Opt =
    optional("consumer", Kind::Tables(&CONSUMER), "Who consumes what. With it, only declared queues exist.");

/// The options that speak of the queues of the short form and their consumers.
pub(crate) const SHORT_FORM: &[Opt] = &[
    QUEUES,
    PREFETCH,
    PREFETCH_SCOPE,
    ACK,
    EXCLUSIVE,
    ON_FAILURE,
    QUEUE_TYPE,
    DURABLE,
    LIFETIME,
    MESSAGE_TTL,
    EXPIRES,
    MAX_LENGTH,
    MAX_LENGTH_BYTES,
    OVERFLOW,
    DEAD_LETTER_EXCHANGE,
    DEAD_LETTER_ROUTING_KEY,
    DEAD_LETTER_STRATEGY,
    MAX_PRIORITY,
    SINGLE_ACTIVE,
    GROUP_SIZE,
    DELIVERY_LIMIT,
    DELAYED_RETRY,
    CONSUMER_TIMEOUT,
];

/// What both models have: the short form but for the choice of queues, and what is declared in full.
macro_rules! queue_side {
    ($($first:expr),*) => {
        &[
            $($first,)*
            PREFETCH,
            PREFETCH_SCOPE,
            ACK,
            EXCLUSIVE,
            ON_FAILURE,
            QUEUE_TYPE,
            DURABLE,
            LIFETIME,
            MESSAGE_TTL,
            EXPIRES,
            MAX_LENGTH,
            MAX_LENGTH_BYTES,
            OVERFLOW,
            DEAD_LETTER_EXCHANGE,
            DEAD_LETTER_ROUTING_KEY,
            DEAD_LETTER_STRATEGY,
            MAX_PRIORITY,
            SINGLE_ACTIVE,
            GROUP_SIZE,
            DELIVERY_LIMIT,
            DELAYED_RETRY,
            CONSUMER_TIMEOUT,
            CONFIRMS,
            MAX_UNCONFIRMED,
            MANDATORY,
            MEMORY,
            PROFILE,
            PUBLISH_TO,
            ROUTING_KEY,
            EXCHANGES,
            QUEUE_TABLES,
            BINDINGS,
            CONSUMERS,
        ]
    };
}

pub(crate) static QUEUE_MODEL: &[Opt] = queue_side![CONTENDER_NAME, MODEL, QUEUES];
pub(crate) static FANOUT_MODEL: &[Opt] = queue_side![CONTENDER_NAME, MODEL];

pub(crate) static EXCHANGE: Spec = Spec {
    title: "[[contender.exchange]]",
    options: &[
        required("name", Kind::Label, "Its name."),
        default(
            "type",
            Kind::Choice(&["direct", "fanout", "topic", "headers"]),
            "\"direct\"",
            "How it chooses among its bindings.",
        ),
        optional("alternate", Kind::Key, "The exchange that gets what no binding takes (alternate-exchange)."),
        default("internal", Kind::Flag, "false", "Only other exchanges and dead letters reach it."),
        default("auto_delete", Kind::Flag, "false", "It goes when its last binding goes."),
    ],
};

pub(crate) static QUEUE: Spec = Spec {
    title: "[[contender.queue]]",
    options: &[
        required("name", Kind::Label, "Its name."),
        QUEUE_TYPE,
        DURABLE,
        LIFETIME,
        MESSAGE_TTL,
        EXPIRES,
        MAX_LENGTH,
        MAX_LENGTH_BYTES,
        OVERFLOW,
        DEAD_LETTER_EXCHANGE,
        DEAD_LETTER_ROUTING_KEY,
        DEAD_LETTER_STRATEGY,
        MAX_PRIORITY,
        SINGLE_ACTIVE,
        GROUP_SIZE,
        DELIVERY_LIMIT,
        DELAYED_RETRY,
        CONSUMER_TIMEOUT,
        optional(
            "serves",
            Kind::Labels,
            "For which applications a message in it is still to be had. By default for those that consume it, and \
             where nobody does, for those that its dead letters come to.",
        ),
    ],
};

pub(crate) static BINDING: Spec = Spec {
    title: "[[contender.binding]]",
    options: &[
        required("source", Kind::Key, "The exchange."),
        optional("queue", Kind::Key, "The queue that is bound to it."),
        optional("exchange", Kind::Key, "The exchange that is bound to it, instead of a queue."),
        default("key", Kind::Key, "\"\"", "The binding key; for a topic exchange a pattern with * and #."),
        optional("arguments", Kind::Fields, "Arguments, such as { x-match = \"all\", region = \"eu\" }."),
    ],
};

pub(crate) static CONSUMER: Spec = Spec {
    title: "[[contender.consumer]]",
    options: &[
        required("application", Kind::Name, "The application that consumes."),
        required("queue", Kind::Key, "The queue that it consumes."),
        optional(
            "count",
            Kind::Whole { least: 1, most: MOST_CONSUMERS },
            "How many of the application's consumers; by default all that no other entry counts.",
        ),
        PREFETCH,
        PREFETCH_SCOPE,
        ACK,
        EXCLUSIVE,
        CONSUMER_PRIORITY,
        ON_FAILURE,
    ],
};
