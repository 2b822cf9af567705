//! Reads the arguments of a queue, and refuses what RabbitMQ refuses of the queue's type.

use brokerlab_broker::config::{ExchangeConfig, Overflow, Profile, QueueKind, QuorumOptions};
use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::quorum::{DelayedRetry, RetryKind, Version};

use crate::parse_queue_side::find_exchange;
use crate::parse_rest::unknown;
use crate::reader::{Reader, refused};
use crate::topology::{DeadLetterSpec, QueueLifetime, QueueSpec};

/// What only a quorum queue can be told.
const QUORUM_ONLY: &[&str] =
    &["group_size", "delivery_limit", "dead_letter_strategy", "delayed_retry", "consumer_timeout"];

pub(crate) fn queue_arguments(
    reader: &Reader<'_>,
    name: String,
    exchanges: &[ExchangeConfig],
    profile: &Profile,
) -> Option<QueueSpec> {
    let kind = reader.choice("queue_type");
    let durable = reader.flag("durable");
    let lifetime = reader.choice("lifetime").map(|lifetime| match lifetime {
        "auto-delete" => QueueLifetime::AutoDelete,
        "exclusive" => QueueLifetime::Exclusive,
        _ => QueueLifetime::Permanent,
    });
    let overflow = reader.choice("overflow").map(|overflow| match overflow {
        "reject-publish" => Overflow::RejectPublish,
        "reject-publish-dlx" => Overflow::RejectPublishDlx,
        _ => Overflow::DropHead,
    });
    let (expires, message_ttl) =
        (given(reader, "expires", Reader::millis), given(reader, "message_ttl", Reader::millis));
    let max_length = given(reader, "max_length", Reader::whole);
    let max_bytes = given(reader, "max_length_bytes", Reader::size);
    let max_priority = given(reader, "max_priority", Reader::levels);
    let dead_letter = dead_letter(reader, exchanges);
    let single_active_consumer = reader.flag("single_active_consumer");
    let quorum = quorum(reader, profile);
    let fits = match kind? {
        "quorum" => fits_quorum(reader),
        _ => fits_classic(reader),
    };
    let kind = if kind? == "quorum" { QueueKind::Quorum(quorum?) } else { QueueKind::Classic };
    fits.then_some(())?;
    Some(QueueSpec {
        name,
        kind,
        durable: durable?,
        lifetime: lifetime?,
        expires: expires?,
        message_ttl: message_ttl?,
        max_length: max_length?,
        max_bytes: max_bytes?,
        overflow: overflow?,
        dead_letter: dead_letter?,
        max_priority: max_priority?,
        single_active_consumer: single_active_consumer?,
        serves: None,
    })
}

/// An option that may be absent. Nothing where it is there and wrong.
fn given<'a, T>(reader: &Reader<'a>, name: &str, read: impl Fn(&Reader<'a>, &str) -> Option<T>) -> Option<Option<T>> {
    if reader.has(name) { read(reader, name).map(Some) } else { Some(None) }
}

fn dead_letter(reader: &Reader<'_>, exchanges: &[ExchangeConfig]) -> Option<Option<DeadLetterSpec>> {
    let routing_key = given(reader, "dead_letter_routing_key", Reader::key);
    let Some(name) = given(reader, "dead_letter_exchange", Reader::key)? else {
        if reader.has("dead_letter_routing_key") {
            let code = refused(ReplyCode::PreconditionFailed);
            let message = format!("dead_letter_routing_key needs a dead_letter_exchange {code}");
            reader.complain("dead_letter_routing_key", message);
            return None;
        }
        return Some(None);
    };
    let Some(exchange) = find_exchange(exchanges, &name) else {
        let known: Vec<&str> = exchanges[1..].iter().map(|own| own.name.as_str()).collect();
        let message = unknown("exchange", &name, &known);
        reader.complain("dead_letter_exchange", format!("{message} (RabbitMQ would drop dead letters silently)"));
        return None;
    };
    Some(Some(DeadLetterSpec { exchange, routing_key: routing_key? }))
}

fn quorum(reader: &Reader<'_>, profile: &Profile) -> Option<QuorumOptions> {
    let defaults = QuorumOptions::default();
    let group_size = match reader.has("group_size") {
        true => reader.whole("group_size").map(|size| size as u16),
        false => Some(defaults.group_size),
    };
    let delivery_limit = match reader.has("delivery_limit") {
        true => reader.whole_or_none("delivery_limit"),
        false if profile.quorum == Version::V3_13 => Some(None),
        false => Some(defaults.delivery_limit),
    };
    let at_least_once = match reader.has("dead_letter_strategy") {
        true => reader.choice("dead_letter_strategy").map(|strategy| strategy == "at-least-once"),
        false => Some(false),
    };
    let consumer_timeout = match reader.has("consumer_timeout") {
        true => reader.duration("consumer_timeout").map(Some),
        false => Some(defaults.consumer_timeout),
    };
    let delayed_retry = if reader.has("delayed_retry") { delayed_retry(reader, profile).map(Some) } else { Some(None) };
    Some(QuorumOptions {
        group_size: group_size?,
        delivery_limit: delivery_limit?,
        at_least_once: at_least_once?,
        delayed_retry: delayed_retry?,
        consumer_timeout: consumer_timeout?,
    })
}

fn delayed_retry(reader: &Reader<'_>, profile: &Profile) -> Option<DelayedRetry> {
    let own = reader.table("delayed_retry")?;
    let kind = own.choice("messages").map(|messages| match messages {
        "failed" => RetryKind::Failed,
        "returned" => RetryKind::Returned,
        _ => RetryKind::All,
    });
    let (min, max) = (own.duration("min"), own.duration("max"));
    if let (Some(min), Some(max)) = (min, max)
        && max < min
    {
        own.complain("max", format!("max must not be shorter than min ({min}), found {max}"));
        return None;
    }
    if profile.quorum != Version::V4_3 {
        let code = refused(ReplyCode::PreconditionFailed);
        reader.complain("delayed_retry", format!("delayed_retry exists since rabbit-4.3 {code}"));
        return None;
    }
    Some(DelayedRetry { kind: kind?, min: min?, max: max? })
}

fn fits_classic(reader: &Reader<'_>) -> bool {
    let code = refused(ReplyCode::PreconditionFailed);
    let foreign: Vec<&str> = QUORUM_ONLY.iter().copied().filter(|name| reader.has(name)).collect();
    for name in &foreign {
        reader.complain(name, format!("{name} is an argument of quorum queues, and this queue is classic {code}"));
    }
    foreign.is_empty()
}

fn fits_quorum(reader: &Reader<'_>) -> bool {
    let code = refused(ReplyCode::PreconditionFailed);
    let text = |name: &str| reader.table.get(name).and_then(|item| item.as_str());
    let wrong = [
        ("durable", reader.table.get("durable").and_then(|item| item.as_bool()) == Some(false), "is always durable"),
        ("lifetime", text("lifetime") == Some("exclusive"), "cannot be exclusive"),
        ("lifetime", text("lifetime") == Some("auto-delete"), "cannot delete itself"),
        ("max_priority", reader.has("max_priority"), "has no max_priority: its levels are those of its version"),
        ("overflow", text("overflow") == Some("reject-publish-dlx"), "does not know reject-publish-dlx"),
    ];
    let mut fits = true;
    for (name, _, why) in wrong.into_iter().filter(|(_, is_wrong, _)| *is_wrong) {
        reader.complain(name, format!("a quorum queue {why} {code}"));
        fits = false;
    }
    let keeps = text("dead_letter_strategy") == Some("at-least-once");
    if keeps && text("overflow") != Some("reject-publish") {
        let message = "at-least-once needs overflow = \"reject-publish\": what waits for its target cannot be dropped";
        reader.complain("dead_letter_strategy", message);
        fits = false;
    }
    if text("prefetch_scope") == Some("channel") {
        complain_of_shared_prefetch(reader);
        fits = false;
    }
    fits
}

pub(crate) fn complain_of_shared_prefetch(reader: &Reader<'_>) {
    let code = refused(ReplyCode::NotImplemented);
    let message = format!("a quorum queue takes no prefetch that a channel shares {code}");
    reader.complain("prefetch_scope", message);
}
