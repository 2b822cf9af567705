//! What a quorum queue is built from.

use brokerlab_event::Duration;

/// The default delivery limit since RabbitMQ 4.0.
pub const DEFAULT_DELIVERY_LIMIT: u32 = 20;
/// How many dead letters may be on their way to their targets at once.
pub const DEAD_LETTER_PREFETCH: usize = 32;
/// What a consumer without a limit of its own may hold at most.
pub const UNLIMITED_PREFETCH: u32 = 2000;

/// Everything that a queue's arguments say.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QuorumConfig {
    /// Whose rules hold.
    pub version: Version,
    /// A message is given up when it has failed more often than this; `None` for never.
    pub delivery_limit: Option<u32>,
    /// Time to live of every message.
    pub message_ttl: Option<Duration>,
    /// At most this many messages are ready.
    pub max_length: Option<u64>,
    /// At most this many bytes are ready.
    pub max_bytes: Option<u64>,
    /// What happens above these limits.
    pub overflow: Overflow,
    /// What becomes of messages that are given up.
    pub dead_lettering: DeadLettering,
    /// Only one consumer gets messages, the others wait.
    pub single_active_consumer: bool,
    /// Whether returned messages wait before they are delivered again.
    pub delayed_retry: Option<DelayedRetry>,
}

impl Default for QuorumConfig {
    fn default() -> Self {
        QuorumConfig {
            version: Version::V4_3,
            delivery_limit: Some(DEFAULT_DELIVERY_LIMIT),
            message_ttl: None,
            max_length: None,
            max_bytes: None,
            overflow: Overflow::DropHead,
            dead_lettering: DeadLettering::Disabled,
            single_active_consumer: false,
            delayed_retry: None,
        }
    }
}

impl QuorumConfig {
    /// What becomes of messages that are given up. At-least-once has to be able to stop publishers, so a queue that
    /// drops from its head falls back to at-most-once (`rabbit_quorum_queue`, function `dlh`).
    pub fn effective_dead_lettering(&self) -> DeadLettering {
        match (self.dead_lettering, self.overflow) {
            (DeadLettering::AtLeastOnce, Overflow::DropHead) => DeadLettering::AtMostOnce,
            (strategy, _) => strategy,
        }
    }
}

/// The versions whose state machines differ.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Version {
    /// 3.13: no priorities; every return counts against the delivery limit; expiry looks at the next message only;
    /// a waiting consumer never displaces the active one.
    V3_13,
    /// 4.0 to 4.2: two priority levels; every return counts against the delivery limit; expiry looks at the next
    /// message only.
    V4_0,
    /// 4.3: 32 strict priority levels, each with its own head for expiry; only failed deliveries count.
    V4_3,
}

/// What happens above the length limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Overflow {
    /// The message that would be delivered next is given up.
    DropHead,
    /// Publishers are told to stop until four fifths of the limits are reached. What is under way is accepted.
    RejectPublish,
}

/// What becomes of messages that are given up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeadLettering {
    /// They are dropped.
    Disabled,
    /// They are handed over and forgotten.
    AtMostOnce,
    /// They are kept, and counted, until their targets have confirmed them. Needs [`Overflow::RejectPublish`].
    AtLeastOnce,
}

/// Returned messages wait before they are delivered again: `min` for each failed delivery, up to `max`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DelayedRetry {
    /// Which messages wait.
    pub kind: RetryKind,
    /// The wait after the first failure.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// Which returned messages wait.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RetryKind {
    /// Every returned message.
    All,
    /// Those whose delivery counts as failed.
    Failed,
    /// Those whose delivery does not.
    Returned,
}
