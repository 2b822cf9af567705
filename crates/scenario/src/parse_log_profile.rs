//! Whose rules hold on the log side, and what a version does not have yet.

use brokerlab_broker::config::LogProfile;
use brokerlab_event::Duration;
use toml_edit::TableLike;

use crate::options_log::{LINGER_BEFORE_4_0, PROFILES, RECORD_LOCKS_IN_4_0};
use crate::reader::Reader;
use crate::units;

/// Something that came with a version.
struct Newcomer {
    option: &'static str,
    /// The value that is new; `None`: the option, except where it is switched off.
    value: Option<&'static str>,
    /// What the value is a table with, where it is one.
    key: Option<&'static str>,
    since: &'static str,
}

/// What versions added, by the release that supports it in production: the server-side protocol of groups (KIP-848)
/// and resets by duration (KIP-1106) came with 4.0, strict polls of share groups (KIP-1206) and the renewal of their
/// locks (KIP-1222) with 4.2. Share groups as such have no profile before 4.0, which brought them (KIP-932).
const NEWCOMERS: [Newcomer; 4] = [
    Newcomer { option: "group_protocol", value: Some("consumer"), key: None, since: "kafka-4.0" },
    Newcomer { option: "reset", value: None, key: Some("by_duration"), since: "kafka-4.0" },
    Newcomer { option: "acquire_mode", value: Some("record-limit"), key: None, since: "kafka-4.2" },
    Newcomer { option: "renew", value: None, key: None, since: "kafka-4.2" },
];

impl Newcomer {
    fn is_used(&self, reader: &Reader<'_>) -> bool {
        let Some(item) = reader.table.get(self.option) else { return false };
        match (self.value, self.key) {
            (Some(value), _) => item.as_str() == Some(value),
            (None, Some(key)) => item.as_table_like().is_some_and(|table| table.contains_key(key)),
            (None, None) => item.as_bool() == Some(true),
        }
    }

    fn name(&self) -> String {
        match (self.value, self.key) {
            (Some(value), _) => format!("{} = \"{value}\"", self.option),
            (None, Some(key)) => format!("{} = {{ {key} = … }}", self.option),
            (None, None) => self.option.to_string(),
        }
    }
}

/// The rules of the version that the contender names. Options that it lacks are refused.
pub(crate) fn log_profile(reader: &Reader<'_>) -> Option<LogProfile> {
    let version = reader.choice("profile")?;
    for newcomer in NEWCOMERS.iter().filter(|own| age(own.since) < age(version) && own.is_used(reader)) {
        let message = format!("{} exists since {}, and this contender is a {version}", newcomer.name(), newcomer.since);
        reader.complain(newcomer.option, message);
    }
    LogProfile::named(version)
}

/// How many versions are newer.
fn age(version: &str) -> usize {
    PROFILES.iter().position(|own| *own == version).expect("a version is one of the list")
}

/// How long a batch waits for company. Where nothing is said it did not wait before 4.0 (KIP-1030).
pub(crate) fn linger(reader: &Reader<'_>) -> Option<Duration> {
    match default_of_version("linger", reader.table).filter(|_| !reader.has("linger")) {
        Some(text) => Some(units::duration(text).expect("defaults are valid")),
        None => reader.duration("linger"),
    }
}

/// How many records of a partition a share group may hold. Where nothing is said they were fewer in 4.0.
pub(crate) fn max_record_locks(reader: &Reader<'_>) -> Option<u32> {
    match default_of_version("max_record_locks", reader.table).filter(|_| !reader.has("max_record_locks")) {
        Some(text) => Some(text.parse().expect("defaults are valid")),
        None => reader.small("max_record_locks"),
    }
}

/// The default of an option in the version that a contender names, where that has one of its own: a linger before
/// 4.0 (KIP-1030), and a limit of the locks of share groups in 4.0, their preview. As in a file.
pub(crate) fn default_of_version(option: &str, table: &dyn TableLike) -> Option<&'static str> {
    match (option, table.get("profile")?.as_str()?) {
        ("linger", "kafka-3.9") => Some(LINGER_BEFORE_4_0),
        ("max_record_locks", "kafka-4.0") => Some(RECORD_LOCKS_IN_4_0),
        _ => None,
    }
}
