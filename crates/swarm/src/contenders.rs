//! One contender of each model with random options. What is written for every contender lets much happen within a few
//! seconds; what some have is anything else that a file can say.

use crate::writer::{Choices, Writer};

pub fn queue(writer: &mut Writer) {
    writer.line(format_args!("[[contender]]\nname = \"queue\"\nmodel = \"queue\""));
    writer.all_of(&[
        ("prefetch", &["0", "1", "3", "50"]),
        ("ack", &["\"manual\"", "\"manual\"", "\"automatic\""]),
        ("queues", &["\"shared\"", "\"each\""]),
        ("durable", &["true", "false"]),
        ("max_unconfirmed", &["1", "5", "1000"]),
    ]);
}

/// Quorum queues with members on some of so many nodes.
pub fn quorum(writer: &mut Writer, model: &str, nodes: u64) {
    writer.line(format_args!("[[contender]]\nname = \"{model}\"\nmodel = \"{model}\"\nqueue_type = \"quorum\""));
    let group_size = 2 + writer.below(nodes - 1);
    writer.line(format_args!("group_size = {group_size}"));
    writer.all_of(&[
        ("prefetch", &["0", "1", "3", "50"]),
        ("confirms", &["true", "true", "false"]),
        ("max_unconfirmed", &["1", "5", "1000"]),
    ]);
    if model == "queue" {
        writer.all_of(&[("queues", &["\"shared\"", "\"each\""])]);
    }
    match writer.below(4) {
        0 => writer.line(format_args!("max_length = 20\noverflow = \"reject-publish\"")),
        1 => writer.all_of(&[("max_length", &["10", "50"])]),
        _ => {}
    }
    writer.some_of(&[
        ("ack", &["\"automatic\""]),
        ("delivery_limit", &["1", "5", "\"none\""]),
        ("delayed_retry", &["{ messages = \"all\", min = \"200ms\", max = \"1s\" }"]),
        ("consumer_timeout", &["\"1s\"", "\"5s\""]),
        ("message_ttl", &["\"500ms\"", "\"4s\""]),
        ("single_active_consumer", &["true"]),
        ("on_failure", &["\"return\"", "\"reject\""]),
    ]);
}

pub fn fanout(writer: &mut Writer) {
    writer.line(format_args!("[[contender]]\nname = \"fanout\"\nmodel = \"fanout\"\nprefetch = 5"));
    writer.all_of(&[("confirms", &["true", "false"])]);
}

pub fn broadcast(writer: &mut Writer) {
    writer.line(format_args!("[[contender]]\nname = \"broadcast\"\nmodel = \"broadcast\""));
    writer.all_of(&[("confirms", &["true", "false"])]);
    writer.some_of(&[("max_unconfirmed", &["1", "5"])]);
}

pub fn log(writer: &mut Writer, is_keyed: bool) {
    writer.line(format_args!("[[contender]]\nname = \"log\"\nmodel = \"log\""));
    any_log(writer, is_keyed, true);
}

/// A log with copies on some of so many nodes.
pub fn clustered_log(writer: &mut Writer, is_keyed: bool, nodes: u64) {
    writer.line(format_args!("[[contender]]\nname = \"log\"\nmodel = \"log\""));
    let replicas = 1 + writer.below(nodes.min(3));
    let min_in_sync = 1 + writer.below(replicas);
    writer.line(format_args!("replicas = {replicas}\nmin_in_sync = {min_in_sync}"));
    writer.some_of(&[("replica_lag_max", &["\"1s\"", "\"3s\""]), ("unclean_election", &["true"])]);
    any_log(writer, is_keyed, false);
}

/// `is_alone`: with what only a log on a single node can have.
fn any_log(writer: &mut Writer, is_keyed: bool, is_alone: bool) {
    let protocol = writer.one_of(&["classic", "classic", "consumer", "3.9"]);
    producing(writer, is_alone);
    cleanup(writer, is_keyed);
    writer.some_of(FETCH);
    writer.all_of(&[
        (
            "commit",
            &[
                "{ every = \"2s\" }",
                "\"after-batch\"",
                "\"after-each\"",
                "\"before-work\"",
                "\"after-batch-async\"",
                "\"after-each-async\"",
            ],
        ),
        ("max_poll_records", &["1", "10", "500"]),
        ("session_timeout", &["\"3s\""]),
        ("heartbeat_interval", &["\"1s\""]),
        ("max_poll_interval", &["\"5s\""]),
        ("initial_rebalance_delay", &["\"0s\"", "\"500ms\""]),
    ]);
    match protocol {
        "consumer" => {
            writer.line(format_args!("group_protocol = \"consumer\""));
            writer.some_of(&[("remote_assignor", &["\"range\"", "\"uniform\""])]);
        }
        protocol => {
            if protocol == "3.9" {
                writer.line(format_args!("profile = \"kafka-3.9\""));
            }
            writer.some_of(&[
                ("group_protocol", &["\"classic\""]),
                (
                    "assignors",
                    &[
                        "\"range\"",
                        "\"roundrobin\"",
                        "\"sticky\"",
                        "\"cooperative-sticky\"",
                        "[\"range\", \"cooperative-sticky\"]",
                    ],
                ),
            ]);
        }
    }
    let resets: &[&str] = match protocol {
        "3.9" => &["\"latest\"", "\"none\""],
        _ => &["\"latest\"", "\"none\"", "{ by_duration = \"2s\" }"],
    };
    writer.some_of(&[
        ("reset", resets),
        ("static_members", &["true"]),
        ("isolation", &["\"read_uncommitted\"", "\"read_committed\""]),
        ("offsets_retention", &["\"1s\"", "\"5s\""]),
        ("fetch_min_bytes", &["\"1KiB\""]),
    ]);
}

pub fn share_group(writer: &mut Writer) {
    writer.line(format_args!("[[contender]]\nname = \"share\"\nmodel = \"share-group\""));
    producing(writer, true);
    writer.some_of(SEGMENTS);
    retention(writer);
    writer.some_of(FETCH);
    writer.all_of(&[
        ("max_poll_records", &["1", "10", "500"]),
        ("session_timeout", &["\"3s\""]),
        ("heartbeat_interval", &["\"1s\""]),
        ("acquire_mode", &["\"batch-optimized\"", "\"record-limit\""]),
        ("record_lock_duration", &["\"1s\"", "\"3s\"", "\"30s\""]),
        ("max_record_locks", &["10", "2000"]),
    ]);
    if writer.once_in(2) {
        writer.line(format_args!("acknowledge = \"explicit\""));
        writer.some_of(&[("renew", &["true"]), ("on_failure", &["\"reject\"", "\"release\""])]);
    }
    writer.some_of(&[
        ("reset", &["\"latest\"", "{ by_duration = \"2s\" }"]),
        ("delivery_count_limit", &["2", "3"]),
        ("profile", &["\"kafka-4.2\""]),
    ]);
}

pub fn stream(writer: &mut Writer) {
    writer.line(format_args!("[[contender]]\nname = \"stream\"\nmodel = \"stream\""));
    writer.all_of(&[
        ("stream_offset", &["\"first\"", "\"first\"", "\"next\"", "\"last\"", "{ interval = \"2s\" }"]),
        ("batch_size", &["1", "5", "100"]),
        ("deduplication", &["true", "false"]),
        ("stream_max_segment_size_bytes", &["\"8KiB\""]),
    ]);
    writer.some_of(&[
        ("max_age", &["\"4s\""]),
        ("max_length_bytes", &["\"10KiB\""]),
        ("max_unconfirmed", &["1", "5"]),
        ("batch_publishing_delay", &["\"0s\"", "\"10ms\""]),
        ("confirm_timeout", &["\"300ms\"", "\"3s\""]),
        ("max_attempts", &["1", "2"]),
    ]);
    if writer.once_in(4) {
        return writer.all_of(&[("prefetch", &["1", "3"])]);
    }
    writer.all_of(&[("partitions", &["1", "2", "5"]), ("initial_credit", &["1", "2", "10"])]);
    writer.some_of(&[("single_active_consumer", &["false"])]);
    match writer.once_in(4) {
        true => writer.line(format_args!("offset_tracking = false")),
        false => writer.some_of(&[("store_offset_every", &["5"]), ("store_offset_interval", &["\"2s\""])]),
    }
}

/// What becomes of old records. Only those with keys can be compacted.
fn cleanup(writer: &mut Writer, is_keyed: bool) {
    writer.some_of(SEGMENTS);
    let compacts = is_keyed && writer.once_in(4);
    let deletes = !compacts || writer.once_in(2);
    if compacts {
        let policy = if deletes { "compact,delete" } else { "compact" };
        writer.line(format_args!("cleanup_policy = \"{policy}\""));
        writer.some_of(&[
            ("min_cleanable_dirty_ratio", &["0.0", "0.8"]),
            ("min_compaction_lag", &["\"1s\""]),
            ("max_compaction_lag", &["\"3s\""]),
            ("delete_retention", &["\"0s\"", "\"2s\""]),
        ]);
        writer.all_of(&[("cleaner_backoff", &["\"1s\""])]);
    }
    if deletes {
        retention(writer);
    }
}

/// By age, by size, by both or not at all.
fn retention(writer: &mut Writer) {
    match writer.below(6) {
        0 => writer.line(format_args!("retention_time = \"none\"")),
        1 | 2 => {
            writer.line(format_args!("retention_time = \"4s\"\nretention_check_interval = \"1s\""));
            writer.some_of(&[("retention_bytes", &["\"5KiB\"", "\"20KiB\""])]);
        }
        3 => {
            writer.all_of(&[("retention_bytes", &["\"5KiB\"", "\"20KiB\""])]);
            writer.some_of(&[("retention_time", &["\"none\""])]);
            writer.line(format_args!("retention_check_interval = \"1s\""));
        }
        _ => {}
    }
}

/// A topic and its producers: careless ones, or numbered ones with or without transactions.
fn producing(writer: &mut Writer, is_alone: bool) {
    writer.all_of(&[("partitions", &["1", "2", "4", "6"])]);
    if is_alone && writer.once_in(4) {
        let at = 1 + writer.below(10);
        writer.line(format_args!("add_partitions = [{{ at = \"{at}s\", to = 8 }}]"));
        writer.all_of(&[("metadata_max_age", &["\"500ms\"", "\"3s\""])]);
    }
    writer.some_of(&[("flush_messages", &["1", "10"]), ("flush_interval", &["\"1s\""])]);
    match writer.below(3) {
        0 => {
            let acks = writer.one_of(&["all", "leader", "none"]);
            writer.line(format_args!("acks = \"{acks}\"\nenable_idempotence = false"));
            writer.some_of(&[("max_in_flight", &["1", "8"])]);
            if acks != "none" {
                writer.some_of(&[("retries", &["0", "3"])]);
            }
        }
        1 if is_alone => {
            writer.line(format_args!("transaction_timeout = \"2s\""));
            let (every, aborts) = (100 + writer.below(1500), writer.one_of(&["0.0", "0.3"]));
            let (id, fenced) = (writer.one_of(&["stable", "random"]), writer.one_of(&["end", "restart"]));
            writer.line(format_args!(
                "transactions = {{ messages = 20, every = \"{every}ms\", abort = {aborts}, transactional_id = \"{id}\", \
                 on_fenced = \"{fenced}\" }}"
            ));
        }
        _ => writer.some_of(&[("enable_idempotence", &["true"]), ("max_in_flight", &["1", "5"]), ("retries", &["2"])]),
    }
    writer.some_of(PRODUCING);
    if writer.once_in(4) {
        writer.all_of(&[("request_timeout", &["\"90ms\"", "\"1s\""]), ("delivery_timeout", &["\"1200ms\"", "\"3s\""])]);
    }
    if writer.once_in(4) {
        writer.all_of(&[("partitioner", &["\"default\"", "\"crc32\"", "\"fnv1a\"", "\"round-robin\""])]);
    } else {
        writer.some_of(&[("partitioner_ignore_keys", &["true"])]);
    }
}

const PRODUCING: Choices = &[
    ("linger", &["\"0s\"", "\"5ms\"", "\"200ms\""]),
    ("batch_size", &["\"1B\"", "\"300B\""]),
    ("retry_backoff", &["\"10ms\""]),
    ("retry_backoff_max", &["\"100ms\"", "\"300ms\""]),
    ("buffer_memory", &["\"40KiB\""]),
    ("max_block", &["\"0s\"", "\"200ms\""]),
    ("max_request_size", &["\"1500B\""]),
    ("max_message_bytes", &["\"250B\"", "\"1KiB\""]),
    ("adaptive_partitioning", &["false"]),
];

const SEGMENTS: Choices = &[("segment_bytes", &["\"2KiB\"", "\"8KiB\""]), ("segment_time", &["\"2s\""])];

const FETCH: Choices = &[
    ("fetch_max_wait", &["\"50ms\"", "\"1s\""]),
    ("max_partition_fetch_bytes", &["\"1B\"", "\"2KiB\""]),
    ("fetch_max_bytes", &["\"1B\"", "\"5KiB\""]),
];
