//! The options of contenders with streams.

use crate::options::{CONTENDER_NAME, FROM_ZERO, Kind, MODEL, MOST_PARTITIONS, Opt, POSITIVE, Spec, default, optional};
use crate::options_log::SEEK;

const MOST: u64 = 1_000_000;

/// Streams and super streams.
pub(crate) const STREAM_MODEL: &[Opt] = &[
    CONTENDER_NAME,
    MODEL,
    default(
        "partitions",
        Kind::Whole { least: 1, most: MOST_PARTITIONS },
        "1",
        "1 for a stream. More make a super stream: as many streams, and messages go to one of them by the hash of their \
         key.",
    ),
    default(
        "batch_size",
        Kind::Whole { least: 1, most: MOST },
        "100",
        "So many messages a producer publishes together, as one chunk (batchSize).",
    ),
    default(
        "batch_publishing_delay",
        FROM_ZERO,
        "\"100ms\"",
        "Fewer it publishes after this long (batchPublishingDelay).",
    ),
    default(
        "max_unconfirmed",
        Kind::Whole { least: 1, most: MOST },
        "10000",
        "How many messages of a producer may be unconfirmed before it holds back (maxUnconfirmedMessages).",
    ),
    default(
        "confirm_timeout",
        POSITIVE,
        "\"30s\"",
        "What is not confirmed after this long has failed, as far as its producer knows (confirmTimeout).",
    ),
    default(
        "deduplication",
        Kind::Flag,
        "false",
        "Producers have names and number what they publish, so that nothing is stored twice.",
    ),
    default(
        "max_age",
        Kind::DurationOrNone,
        "\"none\"",
        "Segments whose messages are all older are dropped when another segment begins (max-age).",
    ),
    default(
        "max_length_bytes",
        Kind::SizeOrNone,
        "\"none\"",
        "A stream is cut back to this, by whole segments, when another segment begins (max-length-bytes).",
    ),
    default(
        "stream_max_segment_size_bytes",
        Kind::Size { least: 1024, most: 3_000_000_000 },
        "\"500MB\"",
        "Another segment begins once the last has this size (stream-max-segment-size-bytes).",
    ),
    default(
        "stream_offset",
        Kind::ChoiceOr(&["first", "last", "next"], &STREAM_OFFSET),
        "\"first\"",
        "Where a consumer begins, unless the broker knows where it was (x-stream-offset): first, last (with the last \
         chunk), next, or a place. RabbitMQ's own default, next, would pass over what is sent before it has subscribed.",
    ),
    default(
        "single_active_consumer",
        Kind::Flag,
        "true",
        "Of an application's consumers one at a time reads each partition (single-active-consumer), and takes over where \
         the last one was. Off, as by RabbitMQ's own default, each consumer reads everything.",
    ),
    default(
        "initial_credit",
        Kind::Whole { least: 1, most: 65_535 },
        "10",
        "How many chunks a consumer is sent in advance (initialCredits).",
    ),
    optional(
        "prefetch",
        Kind::Whole { least: 1, most: 65_535 },
        "Consumers use AMQP 0-9-1, where so many messages are sent in advance, and acknowledging only asks for more. It \
         has no super streams, no single active consumer and no offset tracking.",
    ),
    default(
        "offset_tracking",
        Kind::Flag,
        "true",
        "Consumers let the broker keep where they are, and go on there when they start again.",
    ),
    default(
        "store_offset_every",
        Kind::Whole { least: 1, most: MOST },
        "10000",
        "After so many messages a consumer stores where it is (messageCountBeforeStorage).",
    ),
    default(
        "store_offset_interval",
        Kind::Interval,
        "\"5s\"",
        "After this long it stores where it is, however few they were (flushInterval).",
    ),
    default(
        "max_attempts",
        Kind::Whole { least: 0, most: MOST },
        "10",
        "How often a message is tried on which work fails, while all behind it wait, before it is passed over. 0: for \
         ever.",
    ),
    optional("seek", Kind::Tables(&SEEK), "Who is sent to another place in the stream, and when."),
];

pub(crate) static STREAM_OFFSET: Spec = Spec {
    title: "stream_offset",
    options: &[
        optional("offset", crate::options::ANY_WHOLE, "With this offset, or as near as the stream goes."),
        optional("time", FROM_ZERO, "With the first chunk of this time of the run or later."),
        optional("interval", POSITIVE, "With the first chunk that is no older than this."),
    ],
};
