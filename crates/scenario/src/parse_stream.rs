//! Reads a `[[contender]]` of the model `stream`.

use brokerlab_broker::config::{
    OffsetTracking, StreamConsumerConfig, StreamCredit, StreamOffset, StreamPublisherConfig,
};
use brokerlab_broker::stream::StreamRules;
use brokerlab_event::{Duration, Offset, Time};

use crate::parse_contender::seeks;
use crate::parse_rest::Names;
use crate::reader::Reader;
use crate::scenario::StreamOptions;

pub(crate) fn stream(reader: &Reader<'_>, names: &Names, run: Option<Duration>) -> Option<StreamOptions> {
    let partitions = reader.small("partitions");
    let (publisher, rules) = (publisher(reader), rules(reader));
    let consumer = consumer(reader, partitions);
    let seeks = seeks(reader, names, run);
    Some(StreamOptions {
        partitions: partitions?,
        publisher: publisher?,
        rules: rules?,
        consumer: consumer?,
        seeks: seeks?,
    })
}

fn publisher(reader: &Reader<'_>) -> Option<StreamPublisherConfig> {
    let (batch_size, delay) = (reader.small("batch_size"), reader.duration("batch_publishing_delay"));
    let max_unconfirmed = reader.small("max_unconfirmed");
    let confirm_timeout = reader.duration("confirm_timeout");
    let deduplication = reader.flag("deduplication");
    Some(StreamPublisherConfig {
        partitions: Vec::new(),
        batch_size: batch_size?,
        batch_publishing_delay: delay?,
        max_unconfirmed: max_unconfirmed?,
        confirm_timeout: confirm_timeout?,
        deduplication: deduplication?,
    })
}

fn rules(reader: &Reader<'_>) -> Option<StreamRules> {
    let max_age = reader.duration_or_none("max_age");
    let max_length_bytes = reader.size_or_none("max_length_bytes");
    let max_segment_size_bytes = reader.size("stream_max_segment_size_bytes");
    Some(StreamRules {
        max_age: max_age?,
        max_length_bytes: max_length_bytes?,
        max_segment_size_bytes: max_segment_size_bytes?,
    })
}

fn consumer(reader: &Reader<'_>, partitions: Option<u32>) -> Option<StreamConsumerConfig> {
    let from = stream_offset(reader);
    let by_amqp = reader.has("prefetch");
    let (single_active, tracked) = (reader.flag("single_active_consumer"), reader.flag("offset_tracking"));
    if by_amqp {
        let said = |option: &str, value: Option<bool>| reader.has(option) && value == Some(true);
        let conflicts = [
            ("partitions", partitions.is_some_and(|partitions| partitions > 1)),
            ("single_active_consumer", said("single_active_consumer", single_active)),
            ("offset_tracking", said("offset_tracking", tracked)),
            ("initial_credit", reader.has("initial_credit")),
        ];
        for (option, _) in conflicts.into_iter().filter(|(_, conflicts)| *conflicts) {
            reader.complain(option, format!("{option} is of the stream protocol, and a prefetch of AMQP 0-9-1"));
        }
    }
    let credit = if by_amqp {
        reader.small("prefetch").map(StreamCredit::Messages)
    } else {
        reader.small("initial_credit").map(StreamCredit::Chunks)
    };
    let (every, interval) = (reader.small("store_offset_every"), reader.duration("store_offset_interval"));
    let max_attempts = reader.small("max_attempts");
    let tracking = OffsetTracking { every: every?, interval: interval? };
    Some(StreamConsumerConfig {
        partitions: Vec::new(),
        from: from?,
        credit: credit?,
        single_active_consumer: single_active? && !by_amqp,
        tracking: (tracked? && !by_amqp).then_some(tracking),
        max_attempts: max_attempts?,
    })
}

fn stream_offset(reader: &Reader<'_>) -> Option<StreamOffset> {
    if !reader.table.get("stream_offset").is_some_and(|item| item.is_table_like()) {
        return reader.choice("stream_offset").map(|from| match from {
            "last" => StreamOffset::Last,
            "next" => StreamOffset::Next,
            _ => StreamOffset::First,
        });
    }
    let from = reader.table("stream_offset")?;
    match (from.has("offset"), from.has("time"), from.has("interval")) {
        (true, false, false) => from.whole("offset").map(|offset| StreamOffset::Offset(Offset::new(offset))),
        (false, true, false) => from.duration("time").map(|time| StreamOffset::Time(Time::ZERO + time)),
        (false, false, true) => from.duration("interval").map(StreamOffset::Interval),
        _ => {
            reader.complain("stream_offset", "stream_offset needs one of offset, time and interval");
            None
        }
    }
}
