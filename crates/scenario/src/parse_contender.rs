//! Reads a `[[contender]]`.

use core::ops::Range;

use brokerlab_broker::assignor::{Assignor, ServerAssignor};
use brokerlab_broker::config::{
    CommitPolicy, CompactionConfig, ExchangeKind, FetchLimits, FlushPolicy, GroupMemberConfig, GroupProtocol,
    Isolation, OffsetReset, SeekTo,
};
use brokerlab_broker::replication::ReplicaRules;
use brokerlab_event::{ApplicationId, Duration, Millionths, Offset, Time};
use toml_edit::TableLike;

use crate::options::{CONTENDERS, Kind, MODELS};
use crate::options_log::{CONSUMER_HEARTBEAT, MORE_PARTITIONS, SEEK};
use crate::parse_log_profile::log_profile;
use crate::parse_producer::{producer, transactions};
use crate::parse_queue_side::{Short, queue_side};
use crate::parse_rest::Names;
use crate::parse_share_group::share_group;
use crate::parse_stream::stream;
use crate::problem::Problems;
use crate::reader::{Reader, Wrong, duration};
use crate::scenario::{
    Contender, LogOptions, ModelOptions, MorePartitions, PublishOptions, ReplicationOptions, RetryOptions, SeekPlan,
    TopicOptions,
};
use crate::units;

pub(crate) fn contender(
    table: &dyn TableLike,
    span: Range<usize>,
    problems: &Problems<'_>,
    names: &Names,
    run: Option<Duration>,
) -> Option<Contender> {
    // The model decides which options there are, so it is read first.
    let model = table.get("model").and_then(|item| item.as_str());
    let Some(index) = MODELS.iter().position(|name| Some(*name) == model) else {
        let spec = &CONTENDERS[0];
        let elsewhere = CONTENDERS.iter().flat_map(|spec| spec.options).map(|option| option.name).collect::<Vec<_>>();
        let reader = Reader::new(table, spec, span, problems, &elsewhere, |_| None);
        reader.choice("model");
        reader.name();
        return None;
    };
    let reader = Reader::new(table, &CONTENDERS[index], span, problems, &[], |key| {
        let owners: Vec<&str> = MODELS
            .iter()
            .zip(&CONTENDERS)
            .filter(|(_, spec)| spec.find(key).is_some())
            .map(|(name, _)| *name)
            .collect();
        let owners = match owners.as_slice() {
            [] => return None,
            [one] => format!("the model {one}"),
            [first @ .., last] => format!("the models {} and {last}", first.join(", ")),
        };
        Some(format!("{key} is an option of {owners}, and this contender is a {}", MODELS[index]))
    });
    let name = reader.name();
    let options = match MODELS[index] {
        "queue" => {
            let short = reader.choice("queues").map(|queues| match queues {
                "each" => Short::Each(ExchangeKind::Direct),
                _ => Short::Shared,
            });
            queue_side(&reader, names, short).map(ModelOptions::Queue)
        }
        "fanout" => queue_side(&reader, names, Some(Short::Each(ExchangeKind::Fanout))).map(ModelOptions::Fanout),
        "broadcast" => publish(&reader).map(ModelOptions::Broadcast),
        "log" => log(&reader, names, run).map(|options| ModelOptions::Log(Box::new(options))),
        "stream" => stream(&reader, names, run).map(|options| ModelOptions::Stream(Box::new(options))),
        _ => share_group(&reader, run).map(|options| ModelOptions::ShareGroup(Box::new(options))),
    };
    Some(Contender { name: name?, options: options? })
}

pub(crate) fn publish(reader: &Reader<'_>) -> Option<PublishOptions> {
    let confirms = reader.flag("confirms");
    let max_unconfirmed = reader.small("max_unconfirmed");
    let mandatory = if reader.spec.find("mandatory").is_some() { reader.flag("mandatory") } else { Some(false) };
    Some(PublishOptions { confirms: confirms?, max_unconfirmed: max_unconfirmed?, mandatory: mandatory? })
}

fn log(reader: &Reader<'_>, names: &Names, run: Option<Duration>) -> Option<LogOptions> {
    let topic = topic(reader, run);
    let replication = replication(reader, names.nodes);
    let session_timeout = reader.duration("session_timeout");
    let initial_rebalance_delay = reader.duration("initial_rebalance_delay");
    let protocol = group_protocol(reader);
    let member = member(reader, protocol);
    heartbeat(reader, member.as_ref().map(|member| member.heartbeat_interval), session_timeout);
    let fetch = fetch(reader);
    let retry = if reader.has("retry") { retry(reader).map(Some) } else { Some(None) };
    let offsets_retention = reader.duration("offsets_retention");
    let seeks = seeks(reader, names, run);
    Some(LogOptions {
        topic: TopicOptions { replication: Some(replication?), ..topic? },
        session_timeout: session_timeout?,
        initial_rebalance_delay: initial_rebalance_delay?,
        protocol: protocol?,
        member: member?,
        fetch: fetch?,
        retry: retry?,
        offsets_retention: offsets_retention?,
        seeks: seeks?,
    })
}

/// Heartbeats must come in time.
pub(crate) fn heartbeat(reader: &Reader<'_>, interval: Option<Duration>, session: Option<Duration>) {
    if let (Some(interval), Some(session)) = (interval, session)
        && interval >= session
    {
        let place = if reader.has("heartbeat_interval") { "heartbeat_interval" } else { "session_timeout" };
        reader.complain(
            place,
            format!("heartbeat_interval ({interval}) must be shorter than session_timeout ({session})"),
        );
    }
}

/// The topic of a log.
pub(crate) fn topic(reader: &Reader<'_>, run: Option<Duration>) -> Option<TopicOptions> {
    let profile = log_profile(reader);
    let partitions = reader.small("partitions");
    let additions = more_partitions(reader, partitions, run);
    let metadata_max_age = reader.duration("metadata_max_age");
    let producer = producer(reader);
    let transactions = transactions(reader, producer.as_ref().map(|producer| producer.idempotence));
    let max_message_bytes = reader.size("max_message_bytes");
    let segment_bytes = reader.size("segment_bytes");
    let segment_time = reader.duration("segment_time");
    let retention_time = reader.duration_or_none("retention_time");
    let retention_bytes = reader.size_or_none("retention_bytes");
    let retention_check_interval = reader.duration("retention_check_interval");
    let flush_messages = reader.has("flush_messages").then(|| reader.small("flush_messages"));
    let flush_interval = reader.has("flush_interval").then(|| reader.duration("flush_interval"));
    let may_compact = reader.spec.find("cleanup_policy").is_some();
    let cleanup = if may_compact { reader.choice("cleanup_policy") } else { Some("delete") };
    for option in options_without_effect(reader.table) {
        if reader.has(option.name) {
            let (name, without) = (option.name, option.without);
            reader.complain(name, format!("{name} means nothing without {without}"));
        }
    }
    let deletes = cleanup != Some("compact");
    let compaction = if may_compact { compaction(reader).map(Some) } else { Some(None) };
    Some(TopicOptions {
        profile: profile?,
        partitions: partitions?,
        producer: producer?,
        transactions: transactions?,
        max_message_bytes: max_message_bytes? as u32,
        segment_bytes: segment_bytes?,
        segment_time: segment_time?,
        retention_time: retention_time?.filter(|_| deletes),
        retention_bytes: retention_bytes?.filter(|_| deletes),
        retention_check_interval: retention_check_interval?,
        flush: FlushPolicy { messages: flush_messages.flatten().map(u64::from), interval: flush_interval.flatten() },
        compaction: compaction?.filter(|_| cleanup != Some("delete")),
        additions: additions?,
        metadata_max_age: metadata_max_age?,
        replication: None,
    })
}

/// The copies of the partitions of a log. What a cluster cannot do yet is refused.
fn replication(reader: &Reader<'_>, nodes: u16) -> Option<ReplicationOptions> {
    let replicas = reader.small("replicas");
    let min_in_sync = reader.small("min_in_sync");
    let max_lag = reader.duration("replica_lag_max");
    let unclean_election = reader.flag("unclean_election");
    if let Some(replicas) = replicas.filter(|replicas| *replicas > u32::from(nodes)) {
        let nodes = match nodes {
            1 => "there is one broker node: [cluster] nodes = 3 makes three of it".to_string(),
            nodes => format!("there are {nodes} broker nodes ([cluster] nodes)"),
        };
        reader.complain("replicas", format!("each copy needs a node of its own, and {nodes}, found {replicas}"));
    }
    if let (Some(replicas), Some(min_in_sync)) = (replicas, min_in_sync)
        && min_in_sync > replicas
    {
        let message = format!("min_in_sync ({min_in_sync}) must not be more than there are replicas ({replicas})");
        reader.complain(if reader.has("min_in_sync") { "min_in_sync" } else { "replicas" }, message);
    }
    for name in ["retry", "transactions", "add_partitions"] {
        if nodes > 1 && reader.has(name) {
            reader.complain(name, format!("{name} needs a single broker node as yet: leave out [cluster]"));
        }
    }
    Some(ReplicationOptions {
        replicas: replicas? as u16,
        rules: ReplicaRules { min_in_sync: min_in_sync?, max_lag: max_lag? },
        unclean_election: unclean_election?,
    })
}

/// An option that has no effect, for want of another.
pub(crate) struct WithoutEffect {
    pub name: &'static str,
    without: &'static str,
}

/// The options of a log and its producers that have no effect beside what else the contender says.
pub(crate) fn options_without_effect(table: &dyn TableLike) -> Vec<WithoutEffect> {
    let says = |name: &str| table.get(name).and_then(|item| item.as_str());
    let cleanup = says("cleanup_policy").unwrap_or("delete");
    let mut all = Vec::new();
    let mut add =
        |names: &[&'static str], without| all.extend(names.iter().map(|name| WithoutEffect { name, without }));
    if cleanup == "delete" {
        add(COMPACTION_ONLY, "compaction (cleanup_policy)");
    }
    // Where retention is only switched off by its own values, how often it is looked at may stay behind.
    if cleanup == "compact" {
        add(&["retention_time", "retention_bytes", "retention_check_interval"], "deletion (cleanup_policy)");
    }
    if says("acks") == Some("none") {
        add(&["retries"], "answers (acks)");
    }
    all
}

/// Options of compaction.
const COMPACTION_ONLY: &[&str] =
    &["min_cleanable_dirty_ratio", "min_compaction_lag", "max_compaction_lag", "delete_retention", "cleaner_backoff"];

/// When the topic gets more partitions. It cannot lose any.
fn more_partitions(reader: &Reader<'_>, partitions: Option<u32>, run: Option<Duration>) -> Option<Vec<MorePartitions>> {
    let (mut before, mut all) = ((Time::ZERO, partitions), Some(Vec::new()));
    for (table, span) in reader.tables("add_partitions") {
        let own = Reader::new(table, &MORE_PARTITIONS, span, reader.problems, &[], |_| None);
        let (at, to) = (own.duration("at").map(|at| Time::ZERO + at), own.small("to"));
        if let (Some(at), Some(run)) = (at, run)
            && at >= Time::ZERO + run
        {
            own.complain("at", format!("the partitions come at {}, and the run ends at {run}", at - Time::ZERO));
        }
        if at.is_some_and(|at| at < before.0) {
            own.complain("at", "what comes later stands later: order [[contender.add_partitions]] by time");
        }
        if let (Some(to), (_, Some(partitions))) = (to, before)
            && to <= partitions
        {
            own.complain("to", format!("there are {partitions} partitions by then, and a topic never has fewer again"));
        }
        before = (at.unwrap_or(before.0), to.or(before.1));
        all = all.zip(at.zip(to)).map(|(mut all, (at, to))| {
            all.push(MorePartitions { at, to });
            all
        });
    }
    all
}

fn compaction(reader: &Reader<'_>) -> Option<CompactionConfig> {
    let ratio = reader.number("min_cleanable_dirty_ratio");
    let min_lag = reader.duration("min_compaction_lag");
    let max_lag = reader.duration_or_none("max_compaction_lag");
    if let (Some(min), Some(Some(max))) = (min_lag, max_lag)
        && min > max
    {
        let message = format!("min_compaction_lag ({min}) must not be longer than max_compaction_lag ({max})");
        reader.complain("min_compaction_lag", message);
    }
    let delete_retention = reader.duration("delete_retention");
    let cleaner_backoff = reader.duration("cleaner_backoff");
    Some(CompactionConfig {
        min_cleanable_dirty_ratio: libm::round(ratio? * 1e6) as u32,
        min_lag: min_lag?,
        max_lag: max_lag?,
        delete_retention: delete_retention?,
        cleaner_backoff: cleaner_backoff?,
        ..CompactionConfig::default()
    })
}

/// How groups give out partitions. An option of the other protocol is refused.
fn group_protocol(reader: &Reader<'_>) -> Option<GroupProtocol> {
    let by_broker = reader.choice("group_protocol")? == "consumer";
    let (foreign, own, name) = if by_broker {
        ("assignors", "remote_assignor", "consumer")
    } else {
        ("remote_assignor", "assignors", "classic")
    };
    if reader.has(foreign) {
        let who = if by_broker { "the broker assigns" } else { "members assign" };
        reader.complain(
            foreign,
            format!("{foreign} means nothing with group_protocol = \"{name}\", where {who}; it goes by {own}"),
        );
    }
    if !by_broker {
        return Some(GroupProtocol::Classic);
    }
    reader.choice("remote_assignor").map(|assignor| match assignor {
        "range" => GroupProtocol::Consumer(ServerAssignor::Range),
        _ => GroupProtocol::Consumer(ServerAssignor::Uniform),
    })
}

/// The strategies that members know: none where the broker assigns.
fn assignors(reader: &Reader<'_>, protocol: Option<GroupProtocol>) -> Option<Vec<Assignor>> {
    if protocol? != GroupProtocol::Classic {
        return Some(Vec::new());
    }
    let named = |name: &str| match name {
        "range" => Assignor::Range,
        "roundrobin" => Assignor::RoundRobin,
        "sticky" => Assignor::Sticky,
        _ => Assignor::CooperativeSticky,
    };
    Some(reader.choices("assignors")?.into_iter().map(named).collect())
}

fn member(reader: &Reader<'_>, protocol: Option<GroupProtocol>) -> Option<GroupMemberConfig> {
    let by_broker = matches!(protocol, Some(GroupProtocol::Consumer(_)));
    let heartbeat_interval = if by_broker && !reader.has("heartbeat_interval") {
        Some(units::duration(CONSUMER_HEARTBEAT).expect("defaults are valid"))
    } else {
        reader.duration("heartbeat_interval")
    };
    let assignors = assignors(reader, protocol);
    let is_static = reader.flag("static_members");
    let max_poll_records = reader.small("max_poll_records");
    let max_poll_interval = reader.duration("max_poll_interval");
    let max_attempts = reader.small("max_attempts");
    let reset = reset(reader);
    let isolation = reader.choice("isolation").map(|isolation| match isolation {
        "read_committed" => Isolation::ReadCommitted,
        _ => Isolation::ReadUncommitted,
    });
    let commit = commit(reader);
    Some(GroupMemberConfig {
        assignors: assignors?,
        is_static: is_static?,
        heartbeat_interval: heartbeat_interval?,
        max_poll_records: max_poll_records?,
        max_poll_interval: max_poll_interval?,
        reset: reset?,
        commit: commit?,
        max_attempts: max_attempts?,
        retry: None,
        isolation: isolation?,
        metadata_max_age: None,
        is_cluster: false,
    })
}

fn commit(reader: &Reader<'_>) -> Option<CommitPolicy> {
    let is_table = reader.table.get("commit").is_some_and(|item| item.is_table_like());
    if is_table {
        return reader.table("commit")?.duration("every").map(|every| CommitPolicy::Automatic { every });
    }
    if !reader.has("commit") {
        return reader.read("commit", |value, _| {
            let every = value.as_inline_table().and_then(|table| table.get("every")).ok_or(Wrong::Kind)?;
            Ok(CommitPolicy::Automatic { every: duration(every, &Kind::Interval)? })
        });
    }
    reader.choice("commit").map(|commit| match commit {
        "after-batch" => CommitPolicy::AfterBatch,
        "after-batch-async" => CommitPolicy::AfterBatchAsync,
        "after-each" => CommitPolicy::AfterEach,
        "after-each-async" => CommitPolicy::AfterEachAsync,
        _ => CommitPolicy::BeforeBatch,
    })
}

/// What a fetch waits for and takes; where there is no option for a minimum, any record will do.
pub(crate) fn fetch(reader: &Reader<'_>) -> Option<FetchLimits> {
    let least = FetchLimits::default().min_bytes.into();
    let min_bytes =
        if reader.spec.find("fetch_min_bytes").is_some() { reader.size("fetch_min_bytes") } else { Some(least) };
    let max_wait = reader.duration("fetch_max_wait");
    let max_partition_bytes = reader.size("max_partition_fetch_bytes");
    let max_bytes = reader.size("fetch_max_bytes");
    Some(FetchLimits {
        min_bytes: min_bytes? as u32,
        max_wait: max_wait?,
        max_partition_bytes: max_partition_bytes? as u32,
        max_bytes: max_bytes? as u32,
    })
}

fn retry(reader: &Reader<'_>) -> Option<RetryOptions> {
    let own = reader.table("retry")?;
    if reader.table.get("max_attempts").and_then(|item| item.as_integer()) == Some(0) {
        reader.complain("retry", "retry needs a max_attempts above 0: what is tried for ever is never set aside");
        return None;
    }
    let (attempts, delay, multiplier) = (own.small("attempts"), own.duration("delay"), own.number("multiplier"));
    let dead_letter = own.flag("dead_letter");
    let multiplier = Millionths::new(libm::round(multiplier? * 1e6) as u32);
    Some(RetryOptions { attempts: attempts?, delay: delay?, multiplier, dead_letter: dead_letter? })
}

pub(crate) fn reset(reader: &Reader<'_>) -> Option<OffsetReset> {
    if reader.table.get("reset").is_some_and(|item| item.is_table_like()) {
        return reader.table("reset")?.duration("by_duration").map(OffsetReset::ByDuration);
    }
    reader.choice("reset").map(|reset| match reset {
        "latest" => OffsetReset::Latest,
        "none" => OffsetReset::None,
        _ => OffsetReset::Earliest,
    })
}

/// Who is sent elsewhere, and when.
pub(crate) fn seeks(reader: &Reader<'_>, names: &Names, run: Option<Duration>) -> Option<Vec<SeekPlan>> {
    let seeks: Vec<_> =
        reader.tables("seek").into_iter().map(|(table, span)| seek(table, span, reader, names, run)).collect();
    seeks.into_iter().collect()
}

fn seek(
    table: &dyn TableLike,
    span: Range<usize>,
    contender: &Reader<'_>,
    names: &Names,
    run: Option<Duration>,
) -> Option<SeekPlan> {
    let reader = Reader::new(table, &SEEK, span, contender.problems, &[], |_| None);
    let at = reader.duration("at");
    if let (Some(at), Some(run)) = (at, run)
        && at >= run
    {
        reader.complain("at", format!("the seek is at {at}, and the run ends at {run}"));
    }
    let application = reader.named("application").and_then(|name| match names.application(&name) {
        Ok(index) => Some(ApplicationId::new(index as u16)),
        Err(message) => {
            reader.complain("application", message);
            None
        }
    });
    let to = seek_to(&reader);
    Some(SeekPlan { at: Time::ZERO + at?, application: application?, to: to? })
}

fn seek_to(reader: &Reader<'_>) -> Option<SeekTo> {
    if !reader.table.get("to").is_some_and(|item| item.is_table_like()) {
        return reader.choice("to").map(|to| if to == "latest" { SeekTo::Latest } else { SeekTo::Earliest });
    }
    let to = reader.table("to")?;
    match (to.has("time"), to.has("offset")) {
        (true, false) => to.duration("time").map(|time| SeekTo::Time(Time::ZERO + time)),
        (false, true) => to.whole("offset").map(|offset| SeekTo::Offset(Offset::new(offset))),
        _ => {
            reader.complain("to", "to needs either time or offset");
            None
        }
    }
}
