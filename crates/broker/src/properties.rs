//! What a publisher may say about a message besides its routing key, and what dead-lettering adds to it.

use std::sync::Arc;

use brokerlab_event::{StoreId, Time};

use crate::config::{ExchangeId, RoutingKey};

/// A value in a table of headers or arguments. Values are equal where their kind and their value are: the number
/// 5 is not the text "5" (AMQP 0-9-1, field tables).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum FieldValue {
    /// No value. As a binding argument of a headers exchange: the header only has to be there.
    Void,
    /// A truth value.
    Bool(bool),
    /// A signed integer of any width.
    Integer(i64),
    /// A long string.
    Text(Arc<str>),
    /// An array.
    Array(Vec<FieldValue>),
}

/// A table of headers or arguments in the order in which it was written.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct FieldTable(Vec<(Arc<str>, FieldValue)>);

impl FieldTable {
    /// The value under this name; of several, the first.
    pub fn get(&self, name: &str) -> Option<&FieldValue> {
        self.0.iter().find(|(own, _)| &**own == name).map(|(_, value)| value)
    }

    /// Adds a value at the end.
    pub fn push(&mut self, name: impl Into<Arc<str>>, value: FieldValue) {
        self.0.push((name.into(), value));
    }

    /// Takes out everything under this name.
    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| &**own != name);
    }

    /// Everything, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &FieldValue)> {
        self.0.iter().map(|(name, value)| (&**name, value))
    }

    /// True where it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<N: Into<Arc<str>>> FromIterator<(N, FieldValue)> for FieldTable {
    fn from_iter<I: IntoIterator<Item = (N, FieldValue)>>(entries: I) -> Self {
        FieldTable(entries.into_iter().map(|(name, value)| (name.into(), value)).collect())
    }
}

/// The properties of a message that a broker looks at. Most messages have none, and those of one kind share one
/// table, so messages carry `Option<Arc<Properties>>`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Properties {
    /// Its priority, for queues that have levels.
    pub priority: Option<u8>,
    /// Time to live in milliseconds, as the publisher wrote it: a decimal number not below zero.
    pub expiration: Option<Arc<str>>,
    /// Delivery mode 1: it need not survive the broker.
    pub transient: bool,
    /// Headers. `CC` and `BCC`, arrays of texts, name further routing keys; `BCC` is not delivered.
    pub headers: FieldTable,
    /// Where it was dead-lettered, most recent first (`x-death`).
    pub deaths: Vec<Death>,
    /// Queue, reason and exchange of its first death (`x-first-death-*`).
    pub first_death: Option<(StoreId, DeathReason, ExchangeId)>,
    /// The same of its latest death (`x-last-death-*`).
    pub last_death: Option<(StoreId, DeathReason, ExchangeId)>,
    /// The keys that its `BCC` header named before the broker took that header away.
    pub blind_copies: Vec<Arc<str>>,
}

/// Why a queue gave a message up.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum DeathReason {
    /// A consumer rejected it without wanting it back.
    Rejected,
    /// Its time to live was over.
    Expired,
    /// The queue was too long.
    MaxLength,
    /// It was returned too often.
    DeliveryLimit,
}

impl DeathReason {
    /// The word that `x-death` uses.
    pub fn word(self) -> &'static str {
        match self {
            DeathReason::Rejected => "rejected",
            DeathReason::Expired => "expired",
            DeathReason::MaxLength => "maxlen",
            DeathReason::DeliveryLimit => "delivery_limit",
        }
    }
}

/// An entry of `x-death`: there is one for each queue and reason.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Death {
    /// The queue.
    pub queue: StoreId,
    /// The reason.
    pub reason: DeathReason,
    /// How often.
    pub count: u64,
    /// The exchange to which it had been published when this happened first.
    pub exchange: ExchangeId,
    /// The routing key with which it had been published then.
    pub routing_key: RoutingKey,
    /// The further keys that its `CC` header named then. Those of `BCC` are nobody's business.
    pub carbon_copies: Vec<Arc<str>>,
    /// When this happened first.
    pub time: Time,
    /// The time to live that it had of its own, which dead-lettering takes away.
    pub original_expiration: Option<Arc<str>>,
}
