//! The options of contenders with logs, and the tables that only these have.

use crate::options::{
    ANY_WHOLE, CONTENDER_NAME, FROM_ZERO, Kind, MODEL, MOST_NODES, MOST_PARTITIONS, Opt, POSITIVE, SHARE, Spec, count,
    default, join, optional, required,
};

/// The strategies of assignment that members of a classic group may know.
pub(crate) const ASSIGNORS: &[&str] = &["range", "roundrobin", "sticky", "cooperative-sticky"];
/// How often a consumer shows life where the broker assigns.
pub(crate) const CONSUMER_HEARTBEAT: &str = "5s";

const LOG_PARTS: &[&[Opt]] = &[
    &[CONTENDER_NAME, MODEL, PROFILE],
    PRODUCING,
    REPLICATING,
    GROWING,
    GROUP,
    RETENTION,
    COMPACTION,
    FETCH_MIN,
    FETCH,
];
const SHARE_GROUP_PARTS: &[&[Opt]] =
    &[&[CONTENDER_NAME, MODEL, SHARE_PROFILE], PRODUCING, GROWING, SHARING, RETENTION, FETCH];
pub(crate) const LOG_MODEL: &[Opt] = &LOG;
pub(crate) const SHARE_GROUP_MODEL: &[Opt] = &SHARE_GROUP;
const LOG: [Opt; count(LOG_PARTS)] = join(LOG_PARTS);
const SHARE_GROUP: [Opt; count(SHARE_GROUP_PARTS)] = join(SHARE_GROUP_PARTS);

/// Versions of Kafka that are known, the newest first.
pub(crate) const PROFILES: &[&str] = &["kafka-4.2", "kafka-4.1", "kafka-4.0", "kafka-3.9"];
/// How long a batch waits for company by default before Kafka 4.0.
pub(crate) const LINGER_BEFORE_4_0: &str = "0s";
/// How many records of a partition a share group may hold by default in Kafka 4.0.
pub(crate) const RECORD_LOCKS_IN_4_0: &str = "200";
const PROFILE: Opt = default(
    "profile",
    Kind::Choice(PROFILES),
    "\"kafka-4.2\"",
    "Whose rules hold. kafka-3.9 has the older protocol of transactions, classic groups only, and a linger of 0s where \
     nothing else is said.",
);
const SHARE_PROFILE: Opt = default(
    "profile",
    Kind::Choice(&["kafka-4.2", "kafka-4.1", "kafka-4.0"]),
    "\"kafka-4.2\"",
    "Whose rules hold. There are no share groups before kafka-4.0.",
);

/// A topic of a log, and those who write it.
const PRODUCING: &[Opt] = &[
    default("partitions", Kind::Whole { least: 1, most: MOST_PARTITIONS }, "1", "How many partitions the topic has."),
    default("acks", Kind::Choice(&["all", "leader", "none"]), "\"all\"", "When the broker answers a producer (acks)."),
    default("linger", FROM_ZERO, "\"5ms\"", "How long a batch waits for company (linger.ms)."),
    default(
        "batch_size",
        Kind::Size { least: 1, most: 1 << 30 },
        "\"16KiB\"",
        "A batch of this size is full (batch.size).",
    ),
    default(
        "max_in_flight",
        Kind::Whole { least: 1, most: 1_000 },
        "5",
        "Requests of a producer on their way (max.in.flight.requests.per.connection).",
    ),
    optional(
        "enable_idempotence",
        Kind::Flag,
        "Producers number their records, so that none is stored twice (enable.idempotence). Needs acks = \"all\", \
         max_in_flight of at most 5 and retries; where these allow it, it is on by default.",
    ),
    default(
        "retries",
        Kind::Whole { least: 0, most: i32::MAX as u64 },
        "2147483647",
        "How often a batch that failed is sent again (retries).",
    ),
    default(
        "delivery_timeout",
        POSITIVE,
        "\"2min\"",
        "A batch older than this is given up, whatever became of it (delivery.timeout.ms).",
    ),
    default(
        "request_timeout",
        POSITIVE,
        "\"30s\"",
        "A request that is not answered within this breaks the connection (request.timeout.ms).",
    ),
    default("retry_backoff", Kind::Interval, "\"100ms\"", "How long a batch that failed waits (retry.backoff.ms)."),
    default(
        "retry_backoff_max",
        Kind::Interval,
        "\"1s\"",
        "It waits twice as long each time, up to this, or always this where retry_backoff is longer \
         (retry.backoff.max.ms).",
    ),
    default(
        "buffer_memory",
        Kind::Size { least: 1, most: 1 << 40 },
        "\"32MiB\"",
        "Memory of a producer for batches that are not confirmed; a batch takes batch_size of it (buffer.memory).",
    ),
    default("max_block", FROM_ZERO, "\"1min\"", "How long a producer waits for memory for a record (max.block.ms)."),
    default(
        "max_request_size",
        Kind::Size { least: 1, most: 1 << 30 },
        "\"1MiB\"",
        "The largest request of a producer, and so the largest record (max.request.size).",
    ),
    default(
        "partitioner",
        Kind::Choice(&["default", "crc32", "fnv1a", "round-robin"]),
        "\"default\"",
        "Which partition a record goes to: by the murmur2 of its key as Java clients do (default), by its CRC-32 or FNV-1a \
         as librdkafka can, or to the next in turn (partitioner.class).",
    ),
    default(
        "partitioner_ignore_keys",
        Kind::Flag,
        "false",
        "Records with a key are spread like those without one (partitioner.ignore.keys).",
    ),
    default(
        "adaptive_partitioning",
        Kind::Flag,
        "true",
        "Records without a key go rather to partitions with short queues (partitioner.adaptive.partitioning.enable).",
    ),
    optional(
        "transactions",
        Kind::Table(&TRANSACTIONS),
        "Producers send in transactions, one after the other: readers with isolation = \"read_committed\" see each whole \
         or not at all, and a message is confirmed when its transaction is committed. Share groups read what is not \
         committed, too (share.isolation.level = read_uncommitted, the default). Needs enable_idempotence.",
    ),
    optional(
        "transaction_timeout",
        POSITIVE,
        "transactions: the broker aborts one that is open for longer, which it looks for every 10s; 1min by default, and \
         at most 15min (transaction.timeout.ms).",
    ),
];

/// Consumer groups.
const GROUP: &[Opt] = &[
    default(
        "commit",
        Kind::ChoiceOr(COMMITS, &COMMIT),
        "{ every = \"5s\" }",
        "When positions are committed: { every = \"5s\" } (enable.auto.commit), after-batch, after-each (commitSync), \
         either of them -async (commitAsync: the work does not wait for the answer), or before-work, which is at most \
         once.",
    ),
    default(
        "group_protocol",
        Kind::Choice(&["classic", "consumer"]),
        "\"classic\"",
        "How groups give out partitions: their members by turns (classic), or the broker (consumer) (group.protocol).",
    ),
    default(
        "assignors",
        Kind::Choices(ASSIGNORS),
        "[\"range\", \"cooperative-sticky\"]",
        "The strategies that members know, the one that they prefer first (partition.assignment.strategy). Rebalances \
         are cooperative where they know cooperative-sticky only. Not with group_protocol = \"consumer\".",
    ),
    default(
        "remote_assignor",
        Kind::Choice(&["uniform", "range"]),
        "\"uniform\"",
        "How the broker gives out partitions with group_protocol = \"consumer\" (group.remote.assignor).",
    ),
    default(
        "static_members",
        Kind::Flag,
        "false",
        "Consumers are static members by their names (group.instance.id): one that restarts within session_timeout \
         keeps its partitions, and the group is not rebalanced.",
    ),
    default(
        "session_timeout",
        POSITIVE,
        "\"45s\"",
        "A silent consumer is removed after this long (session.timeout.ms).",
    ),
    default(
        "heartbeat_interval",
        Kind::Interval,
        "\"3s\"",
        "How often a consumer shows life (heartbeat.interval.ms). With group_protocol = \"consumer\" 5s is the default \
         (group.consumer.heartbeat.interval.ms).",
    ),
    default(
        "max_poll_records",
        Kind::Whole { least: 1, most: 1_000_000 },
        "500",
        "The most records that a poll returns (max.poll.records).",
    ),
    default(
        "max_poll_interval",
        POSITIVE,
        "\"5min\"",
        "A consumer that takes longer between polls leaves the group (max.poll.interval.ms).",
    ),
    default(
        "max_attempts",
        Kind::Whole { least: 0, most: 1_000_000 },
        "10",
        "How often a record is tried on which work fails, while all behind it wait, before it is set aside (retry) or \
         passed over. 0: for ever.",
    ),
    optional(
        "retry",
        Kind::Table(&RETRY),
        "Records on which work has failed go to retry topics, one after the other, which the group reads as well, and in \
         the end to a dead-letter topic: those behind need not wait. Each application has its own, of one partition \
         each. Without it they are passed over.",
    ),
    default(
        "initial_rebalance_delay",
        FROM_ZERO,
        "\"3s\"",
        "How long an empty group waits for more members (group.initial.rebalance.delay.ms).",
    ),
    default(
        "reset",
        Kind::ChoiceOr(&["earliest", "latest", "none"], &RESET),
        "\"earliest\"",
        "Where a group starts that has no committed position in range (auto.offset.reset); with none its consumers end \
         with an exception. Kafka's own default, latest, would pass over what is sent before a group has formed.",
    ),
    default(
        "isolation",
        Kind::Choice(&["read_uncommitted", "read_committed"]),
        "\"read_uncommitted\"",
        "Whether consumers see records of transactions that are open or aborted (isolation.level). Committed records \
         are seen only up to the first transaction that is still open.",
    ),
    default(
        "offsets_retention",
        POSITIVE,
        "\"7d\"",
        "How long a group without consumers keeps its committed positions (offsets.retention.minutes).",
    ),
    optional("seek", Kind::Tables(&SEEK), "Who is sent to another place in the log, and when."),
];

/// Copies of partitions on several nodes.
const REPLICATING: &[Opt] = &[
    default(
        "replicas",
        Kind::Whole { least: 1, most: MOST_NODES },
        "1",
        "How many copies there are of each partition, each on a node of its own (replication.factor). By default Kafka \
         keeps one (default.replication.factor).",
    ),
    default(
        "min_in_sync",
        Kind::Whole { least: 1, most: MOST_NODES },
        "1",
        "How many copies, the leader's among them, have to be in sync for a record that is confirmed with acks = \"all\" \
         (min.insync.replicas).",
    ),
    default(
        "replica_lag_max",
        POSITIVE,
        "\"30s\"",
        "A copy that has not caught up with its leader for this long is out of sync (replica.lag.time.max.ms).",
    ),
    default(
        "unclean_election",
        Kind::Flag,
        "false",
        "Where no copy is left that was in sync, another becomes the leader, and what it does not have is lost \
         (unclean.leader.election.enable). Otherwise the partition waits for one that was.",
    ),
];

/// A topic that gets more partitions.
const GROWING: &[Opt] = &[
    default(
        "metadata_max_age",
        Kind::Interval,
        "\"5min\"",
        "How often clients ask which partitions there are (metadata.max.age.ms).",
    ),
    optional(
        "add_partitions",
        Kind::Tables(&MORE_PARTITIONS),
        "When the topic gets more partitions: keys move to others, and nobody moves what is there already. Super streams \
         have no such option: their partitions are given when they are declared.",
    ),
];

/// Share groups.
const SHARING: &[Opt] = &[
    default(
        "session_timeout",
        POSITIVE,
        "\"45s\"",
        "A silent consumer is removed after this long (group.share.session.timeout.ms).",
    ),
    default(
        "heartbeat_interval",
        Kind::Interval,
        "\"5s\"",
        "How often a consumer shows life (group.share.heartbeat.interval.ms).",
    ),
    default(
        "max_poll_records",
        Kind::Whole { least: 1, most: 1_000_000 },
        "500",
        "How many records a poll asks for (max.poll.records).",
    ),
    default(
        "acquire_mode",
        Kind::Choice(&["batch-optimized", "record-limit"]),
        "\"batch-optimized\"",
        "Whether a poll gets whole batches of the producer, even where they are more than it asked for, or never more \
         than that (share.acquire.mode).",
    ),
    default(
        "record_lock_duration",
        POSITIVE,
        "\"30s\"",
        "How long a consumer may hold a record before somebody else gets it, from 1s to 1h \
         (group.share.record.lock.duration.ms). As they are configured by default, brokers take 15s to 60s only \
         (group.share.min.record.lock.duration.ms and group.share.max.record.lock.duration.ms).",
    ),
    default(
        "delivery_count_limit",
        Kind::Whole { least: 2, most: 10 },
        "5",
        "How often a record is delivered before it is given up (group.share.delivery.count.limit).",
    ),
    default(
        "max_record_locks",
        Kind::Whole { least: 1, most: 10_000 },
        "2000",
        "Records of a partition that are in the hands of consumers, or lie between such records \
         (group.share.partition.max.record.locks). 200 by default with kafka-4.0. Brokers take no fewer than 100; here \
         fewer show within a short run what happens at the limit.",
    ),
    default(
        "acknowledge",
        Kind::Choice(&["implicit", "explicit"]),
        "\"implicit\"",
        "With the next poll a consumer accepts everything that the last one returned, also where its work failed, or \
         says of each record what became of it (share.acknowledgement.mode).",
    ),
    default(
        "on_failure",
        Kind::Choice(&["release", "reject"]),
        "\"release\"",
        "explicit: what becomes of a record on which work failed. It is released, to be tried again, or rejected, which \
         is the end of it.",
    ),
    default(
        "renew",
        Kind::Flag,
        "false",
        "explicit: while a consumer works, it renews the locks of what it holds, when half of their time is over.",
    ),
    default(
        "reset",
        Kind::ChoiceOr(&["earliest", "latest"], &RESET),
        "\"earliest\"",
        "Where a group begins to read a partition (share.auto.offset.reset). Kafka's own default, latest, would pass \
         over what is sent before a consumer has connected.",
    ),
];

/// What fits into segments, and how long they are kept.
const RETENTION: &[Opt] = &[
    default(
        "max_message_bytes",
        Kind::Size { least: 1, most: 1 << 30 },
        "\"1048588B\"",
        "The largest batch that the broker takes (max.message.bytes). A producer sends a larger one again in parts, and \
         is refused a record that is larger by itself.",
    ),
    default(
        "segment_bytes",
        Kind::Size { least: 1024, most: 1 << 40 },
        "\"1GiB\"",
        "Size of a segment (segment.bytes).",
    ),
    default("segment_time", POSITIVE, "\"7d\"", "Age of a segment (segment.ms)."),
    default("retention_time", Kind::DurationOrNone, "\"7d\"", "Older records are dropped (retention.ms)."),
    default("retention_bytes", Kind::SizeOrNone, "\"none\"", "Partitions are cut back to this (retention.bytes)."),
    default(
        "retention_check_interval",
        Kind::Interval,
        "\"5min\"",
        "How often retention is looked at (log.retention.check.interval.ms).",
    ),
    optional(
        "flush_messages",
        Kind::Whole { least: 1, most: 1_000_000_000 },
        "Once so many records of a partition are not flushed, the broker flushes them before it answers \
         (flush.messages). Without it, that is left to the operating system, which does so after 30s.",
    ),
    optional("flush_interval", POSITIVE, "How often the broker flushes each partition (flush.ms). Without it, never."),
];

/// Compaction.
const COMPACTION: &[Opt] = &[
    default(
        "cleanup_policy",
        Kind::Choice(&["delete", "compact", "compact,delete"]),
        "\"delete\"",
        "What becomes of old records: retention deletes them, compaction keeps the latest of each key, or both \
         (cleanup.policy).",
    ),
    default(
        "min_cleanable_dirty_ratio",
        SHARE,
        "0.5",
        "compact: a larger part of a partition than this must be dirty (min.cleanable.dirty.ratio).",
    ),
    default(
        "min_compaction_lag",
        FROM_ZERO,
        "\"0s\"",
        "compact: younger records are left alone (min.compaction.lag.ms).",
    ),
    default(
        "max_compaction_lag",
        Kind::DurationOrNone,
        "\"none\"",
        "compact: older records are compacted however few they are (max.compaction.lag.ms).",
    ),
    default(
        "delete_retention",
        FROM_ZERO,
        "\"24h\"",
        "compact: how long tombstones stay for readers to see them (delete.retention.ms).",
    ),
    default(
        "cleaner_backoff",
        Kind::Interval,
        "\"15s\"",
        "compact: how often partitions are looked at (log.cleaner.backoff.ms).",
    ),
];

const FETCH_MIN: &[Opt] = &[default(
    "fetch_min_bytes",
    Kind::Size { least: 1, most: 1 << 30 },
    "\"1B\"",
    "A fetch waits for this (fetch.min.bytes).",
)];

/// What a fetch waits for and takes.
const FETCH: &[Opt] = &[
    default("fetch_max_wait", Kind::Interval, "\"500ms\"", "A fetch waits no longer (fetch.max.wait.ms)."),
    default(
        "max_partition_fetch_bytes",
        Kind::Size { least: 1, most: 1 << 30 },
        "\"1MiB\"",
        "The most that a fetch takes of a partition (max.partition.fetch.bytes).",
    ),
    default(
        "fetch_max_bytes",
        Kind::Size { least: 1, most: 1 << 30 },
        "\"50MiB\"",
        "The most that a fetch takes of all partitions together (fetch.max.bytes).",
    ),
];

/// When positions may be committed, besides from time to time.
const COMMITS: &[&str] = &["after-batch", "after-batch-async", "after-each", "after-each-async", "before-work"];

pub(crate) static TRANSACTIONS: Spec = Spec {
    title: "transactions",
    options: &[
        optional(
            "messages",
            Kind::Whole { least: 1, most: 1_000_000_000 },
            "A transaction is committed after this many messages.",
        ),
        optional("every", Kind::Interval, "A transaction is committed this long after its first message."),
        default("abort", SHARE, "0.0", "The share of transactions that the application aborts instead."),
        default(
            "transactional_id",
            Kind::Choice(&["stable", "random"]),
            "\"stable\"",
            "Whether a process that takes the place of another has its id (transactional.id), which shuts the other out \
             and aborts what it left open, or draws one of its own.",
        ),
        default(
            "on_fenced",
            Kind::Choice(&["end", "restart"]),
            "\"end\"",
            "What an application does whose producer was shut out (ProducerFencedException): it ends, or goes on with a new \
             producer.",
        ),
    ],
};

pub(crate) static RETRY: Spec = Spec {
    title: "retry",
    options: &[
        default(
            "attempts",
            Kind::Whole { least: 1, most: 20 },
            "3",
            "How many topics a record is tried in, the first included; max_attempts times in each.",
        ),
        default("delay", POSITIVE, "\"10s\"", "How long a record waits in the first retry topic."),
        default(
            "multiplier",
            Kind::Number { least: 1.0, from: true, most: 100.0 },
            "1.0",
            "How much longer it waits in each further one.",
        ),
        default("dead_letter", Kind::Flag, "true", "What fails in the last goes to a dead-letter topic."),
    ],
};

pub(crate) static RESET: Spec = Spec {
    title: "reset",
    options: &[required("by_duration", POSITIVE, "With records that are no older than this (by_duration).")],
};

pub(crate) static MORE_PARTITIONS: Spec = Spec {
    title: "[[contender.add_partitions]]",
    options: &[
        required("at", FROM_ZERO, "When."),
        required(
            "to",
            Kind::Whole { least: 2, most: MOST_PARTITIONS },
            "How many partitions there are from then on (kafka-topics --alter --partitions).",
        ),
    ],
};

pub(crate) static SEEK: Spec = Spec {
    title: "[[contender.seek]]",
    options: &[
        required("at", FROM_ZERO, "When."),
        required("application", Kind::Name, "The application whose consumers go."),
        required(
            "to",
            Kind::ChoiceOr(&["earliest", "latest"], &SEEK_TO),
            "Where to, in every partition (kafka-consumer-groups --reset-offsets): earliest, latest, { time = \"30s\" } \
             for what was sent from that time of the run on, or { offset = 0 }.",
        ),
    ],
};

pub(crate) static SEEK_TO: Spec = Spec {
    title: "to",
    options: &[
        optional("time", FROM_ZERO, "The time of the run (--to-datetime)."),
        optional("offset", ANY_WHOLE, "The offset (--to-offset), or as near as the partition goes."),
    ],
};

pub(crate) static COMMIT: Spec = Spec {
    title: "commit",
    options: &[required("every", Kind::Interval, "The interval of automatic commits (auto.commit.interval.ms).")],
};
