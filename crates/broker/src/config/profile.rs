//! Rules that differ between versions of the real brokers.

use brokerlab_event::Duration;

use crate::config::CONSUMER_TIMEOUT;
use crate::quorum::Version;

/// The protocol of transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionVersion {
    /// A producer tells the coordinator of every partition before it writes there, and keeps its epoch.
    V1,
    /// Each end of a transaction moves the epoch on, so that late requests are refused, and a partition takes part by
    /// being written to (KIP-890, the default since 4.0).
    V2,
}

/// Rules that differ between versions of Kafka, each by its name. The default is the newest version.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogProfile {
    /// The protocol of transactions.
    pub transactions: TransactionVersion,
}

impl Default for LogProfile {
    fn default() -> Self {
        LogProfile { transactions: TransactionVersion::V2 }
    }
}

impl LogProfile {
    /// The rules of a version: `kafka-3.9`, `kafka-4.0` to `kafka-4.2`.
    pub fn named(name: &str) -> Option<LogProfile> {
        match name {
            "kafka-4.0" | "kafka-4.1" | "kafka-4.2" => Some(LogProfile::default()),
            "kafka-3.9" => Some(LogProfile { transactions: TransactionVersion::V1 }),
            _ => None,
        }
    }
}

/// Rules that differ between versions of RabbitMQ, each by its name, and those of logs. The default is the newest
/// version of both.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Most words `#` in a binding key of a topic exchange (2 since 4.3). `None`: any number.
    pub topic_hash_words_max: Option<u8>,
    /// A prefetch that all consumers of a channel share is permitted (not by default since 4.3, where it acts as one
    /// for each consumer).
    pub shared_prefetch: bool,
    /// The state machine of quorum queues.
    pub quorum: Version,
    /// A channel is closed (406) when a delivery on it is not settled for this long (`consumer_timeout`, 30 minutes,
    /// looked at every minute). Since 4.3 only quorum queues look, each for itself.
    pub channel_timeout: Option<Duration>,
    /// The rules of logs.
    pub log: LogProfile,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            topic_hash_words_max: Some(2),
            shared_prefetch: false,
            quorum: Version::V4_3,
            channel_timeout: None,
            log: LogProfile::default(),
        }
    }
}

impl Profile {
    /// The rules of a version: `rabbit-3.13`, `rabbit-4.0` to `rabbit-4.3`.
    pub fn named(name: &str) -> Option<Profile> {
        match name {
            "rabbit-4.3" => Some(Profile::default()),
            "rabbit-3.13" | "rabbit-4.0" | "rabbit-4.1" | "rabbit-4.2" => {
                let quorum = if name == "rabbit-3.13" { Version::V3_13 } else { Version::V4_0 };
                let channel_timeout = Some(CONSUMER_TIMEOUT);
                let log = LogProfile::default();
                Some(Profile { topic_hash_words_max: None, shared_prefetch: true, quorum, channel_timeout, log })
            }
            _ => None,
        }
    }
}
