//! Reads what a contender of the model `log` says of its producers.

use brokerlab_broker::config::{Acks, BatcherConfig, Partitioner};
use brokerlab_broker::partitioner::KeyHash;
use brokerlab_broker::transaction::MAX_TIMEOUT;
use brokerlab_event::Duration;

use crate::parse_log_profile::linger;
use crate::reader::Reader;
use crate::scenario::TransactionOptions;

/// The options of producers, for partitions that are not known yet.
pub(crate) fn producer(reader: &Reader<'_>) -> Option<BatcherConfig> {
    let acks = reader.choice("acks").map(|acks| match acks {
        "all" => Acks::All,
        "leader" => Acks::Leader,
        _ => Acks::None,
    });
    let linger = linger(reader);
    let batch_bytes = reader.size("batch_size");
    let max_in_flight = reader.small("max_in_flight");
    let retries = reader.small("retries");
    let delivery_timeout = reader.duration("delivery_timeout");
    let request_timeout = reader.duration("request_timeout");
    if let (Some(linger), Some(delivery), Some(request)) = (linger, delivery_timeout, request_timeout)
        && delivery < linger + request
    {
        let place = ["delivery_timeout", "request_timeout", "linger"].into_iter().find(|option| reader.has(option));
        reader.complain(
            place.unwrap_or("delivery_timeout"),
            format!(
                "delivery_timeout ({delivery}) must not be less than linger ({linger}) and request_timeout ({request})"
            ),
        );
    }
    let idempotence = idempotence(reader, acks, max_in_flight, retries);
    let retry_backoff = reader.duration("retry_backoff");
    let retry_backoff_max = reader.duration("retry_backoff_max");
    let buffer_bytes = reader.size("buffer_memory");
    if let (Some(batch), Some(buffer)) = (batch_bytes, buffer_bytes)
        && buffer < batch
    {
        let place = if reader.has("buffer_memory") { "buffer_memory" } else { "batch_size" };
        reader.complain(place, "buffer_memory must not be less than batch_size: a batch takes that much of it");
    }
    let max_block = reader.duration("max_block");
    let max_request_bytes = reader.size("max_request_size");
    let partitioner = partitioner(reader);
    let adaptive = reader.flag("adaptive_partitioning");
    Some(BatcherConfig {
        partitions: Vec::new(),
        acks: acks?,
        linger: linger?,
        batch_bytes: batch_bytes? as u32,
        max_in_flight: max_in_flight?,
        idempotence: idempotence?,
        retries: retries?,
        delivery_timeout: delivery_timeout?,
        request_timeout: request_timeout?,
        retry_backoff: retry_backoff?,
        retry_backoff_max: retry_backoff_max?,
        buffer_bytes: buffer_bytes?,
        max_block: max_block?,
        max_request_bytes: max_request_bytes? as u32,
        partitioner: partitioner?,
        adaptive: adaptive?,
        transactions: None,
        metadata_max_age: None,
        is_cluster: false,
    })
}

/// How long a transaction may be open where nothing else is said (`transaction.timeout.ms`).
const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(60);

/// How producers put what they send into transactions, if they do.
pub(crate) fn transactions(reader: &Reader<'_>, idempotence: Option<bool>) -> Option<Option<TransactionOptions>> {
    let timeout = match reader.has("transaction_timeout") {
        true => reader.duration("transaction_timeout"),
        false => Some(TRANSACTION_TIMEOUT),
    };
    if !reader.has("transactions") {
        if reader.has("transaction_timeout") {
            reader.complain("transaction_timeout", "transaction_timeout means nothing without transactions");
        }
        return Some(None);
    }
    if let Some(timeout) = timeout
        && timeout > MAX_TIMEOUT
    {
        let most = "the most that the broker allows (transaction.max.timeout.ms)";
        reader
            .complain("transaction_timeout", format!("transaction_timeout ({timeout}) is above {MAX_TIMEOUT}, {most}"));
    }
    if idempotence == Some(false) {
        let place =
            ["enable_idempotence", "acks", "max_in_flight", "retries"].into_iter().find(|name| reader.has(name));
        reader.complain(place.unwrap_or("transactions"), "transactions need enable_idempotence");
    }
    let own = reader.table("transactions")?;
    if !own.has("messages") && !own.has("every") {
        reader.complain("transactions", "transactions needs messages or every: when one is committed");
        return None;
    }
    let messages = if own.has("messages") { own.small("messages").map(Some) } else { Some(None) };
    let every = if own.has("every") { own.duration("every").map(Some) } else { Some(None) };
    let aborts = own.number("abort").map(|share| libm::round(share * 1e6) as u32);
    let stable_id = own.choice("transactional_id").map(|id| id == "stable");
    let restarts = own.choice("on_fenced").map(|deed| deed == "restart");
    Some(Some(TransactionOptions {
        messages: messages?,
        every: every?,
        aborts: aborts?,
        timeout: timeout?,
        stable_id: stable_id?,
        restarts: restarts?,
    }))
}

/// Most requests under way among which the broker can still tell what comes in order.
const MOST_IN_FLIGHT: u32 = 5;

/// Idempotence is on unless something rules it out; who asks for it must not rule it out.
fn idempotence(
    reader: &Reader<'_>,
    acks: Option<Acks>,
    max_in_flight: Option<u32>,
    retries: Option<u32>,
) -> Option<bool> {
    let (acks, max_in_flight, retries) = (acks?, max_in_flight?, retries?);
    let against = if acks != Acks::All {
        Some(("acks", "acks = \"all\"".to_string()))
    } else if max_in_flight > MOST_IN_FLIGHT {
        Some(("max_in_flight", format!("max_in_flight of at most {MOST_IN_FLIGHT}")))
    } else if retries == 0 {
        Some(("retries", "retries above 0".to_string()))
    } else {
        None
    };
    if !reader.has("enable_idempotence") {
        return Some(against.is_none());
    }
    let wanted = reader.flag("enable_idempotence")?;
    match against {
        Some((option, need)) if wanted => {
            reader.complain(option, format!("enable_idempotence = true needs {need}"));
            None
        }
        _ => Some(wanted),
    }
}

fn partitioner(reader: &Reader<'_>) -> Option<Partitioner> {
    let by_key = reader.choice("partitioner").map(|name| match name {
        "default" => Partitioner::ByKey(KeyHash::Murmur2),
        "crc32" => Partitioner::ByKey(KeyHash::Crc32),
        "fnv1a" => Partitioner::ByKey(KeyHash::Fnv1a),
        _ => Partitioner::RoundRobin,
    });
    let ignores_keys = reader.flag("partitioner_ignore_keys")?;
    match by_key? {
        Partitioner::RoundRobin if ignores_keys => {
            let message =
                "partitioner_ignore_keys has no place beside partitioner = \"round-robin\", which ignores keys";
            reader.complain("partitioner_ignore_keys", message);
            None
        }
        _ if ignores_keys => Some(Partitioner::Sticky),
        other => Some(other),
    }
}
