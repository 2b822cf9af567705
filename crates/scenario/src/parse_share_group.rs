//! Reads a `[[contender]]` of the model `share-group`.

use brokerlab_broker::config::{OnShareFailure, ShareAcknowledge, ShareConsumerConfig};
use brokerlab_broker::share_partition::{AcquireMode, ShareRules};

use brokerlab_event::Duration;

use crate::parse_contender::{fetch, heartbeat, reset, topic};
use crate::parse_log_profile::max_record_locks;
use crate::reader::Reader;
use crate::scenario::ShareGroupOptions;

/// The bounds of `group.share.record.lock.duration.ms`.
const SHORTEST_LOCK: Duration = Duration::from_secs(1);
const LONGEST_LOCK: Duration = Duration::from_secs(3600);

pub(crate) fn share_group(reader: &Reader<'_>, run: Option<Duration>) -> Option<ShareGroupOptions> {
    let topic = topic(reader, run);
    let session_timeout = reader.duration("session_timeout");
    let rules = rules(reader);
    let member = member(reader, rules.as_ref());
    heartbeat(reader, member.map(|member| member.heartbeat_interval), session_timeout);
    let reset = reset(reader);
    let fetch = fetch(reader);
    Some(ShareGroupOptions {
        topic: topic?,
        session_timeout: session_timeout?,
        member: member?,
        rules: rules?,
        reset: reset?,
        fetch: fetch?,
    })
}

fn rules(reader: &Reader<'_>) -> Option<ShareRules> {
    let lock_duration = reader.duration("record_lock_duration");
    let delivery_count_limit = reader.small("delivery_count_limit");
    let max_record_locks = max_record_locks(reader);
    if lock_duration.is_some_and(|lock| lock < SHORTEST_LOCK || lock > LONGEST_LOCK) {
        let message = format!("record_lock_duration must be from {SHORTEST_LOCK} to {LONGEST_LOCK}");
        reader.complain("record_lock_duration", message);
    }
    let acquire_mode = reader.choice("acquire_mode").map(|mode| match mode {
        "record-limit" => AcquireMode::RecordLimit,
        _ => AcquireMode::BatchOptimized,
    });
    Some(ShareRules {
        lock_duration: lock_duration?,
        delivery_count_limit: delivery_count_limit?,
        max_record_locks: max_record_locks?,
        acquire_mode: acquire_mode?,
    })
}

fn member(reader: &Reader<'_>, rules: Option<&ShareRules>) -> Option<ShareConsumerConfig> {
    let heartbeat_interval = reader.duration("heartbeat_interval");
    let max_poll_records = reader.small("max_poll_records");
    let on_failure = reader.choice("on_failure").map(|deed| match deed {
        "reject" => OnShareFailure::Reject,
        _ => OnShareFailure::Release,
    });
    let explicit = reader.choice("acknowledge").map(|mode| mode == "explicit");
    let renew = reader.flag("renew");
    if explicit == Some(false) {
        for (option, used) in
            [("renew", renew == Some(true)), ("on_failure", on_failure == Some(OnShareFailure::Reject))]
        {
            if used {
                reader.complain(option, format!("{option} is for acknowledge = \"explicit\""));
            }
        }
    }
    let acknowledge = if explicit? { ShareAcknowledge::Explicit(on_failure?) } else { ShareAcknowledge::Implicit };
    Some(ShareConsumerConfig {
        heartbeat_interval: heartbeat_interval?,
        max_poll_records: max_poll_records?,
        acknowledge,
        renew_every: if renew? { Some(rules?.lock_duration.per_million(500_000)) } else { None },
    })
}
