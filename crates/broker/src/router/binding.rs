//! What may be bound to what.

use thiserror::Error;

use super::headers::Mode;
use crate::config::{ExchangeConfig, ExchangeKind, Profile};
use crate::message::ReplyCode;
use crate::properties::FieldTable;

/// A binding that somebody asks for, with what was found under the names of its two ends.
#[derive(Clone, Copy, Debug)]
pub struct BindingRequest<'a> {
    /// The source, where there is such an exchange.
    pub source: Option<&'a ExchangeConfig>,
    /// The destination.
    pub destination: BindingEnd<'a>,
    /// The text of the binding key.
    pub key: &'a str,
    /// The arguments.
    pub arguments: &'a FieldTable,
}

/// What was found under the name of a binding's destination.
#[derive(Clone, Copy, Debug)]
pub enum BindingEnd<'a> {
    /// Nothing.
    Missing,
    /// A queue.
    Queue,
    /// An exchange.
    Exchange(&'a ExchangeConfig),
}

/// Why a binding is refused.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum BindingError {
    /// One of its ends is the default exchange.
    #[error("the default exchange takes no bindings: it already leads to every queue under the queue's name")]
    DefaultExchange,
    /// The source does not exist.
    #[error("there is no such exchange to bind to")]
    NoSource,
    /// The destination does not exist.
    #[error("there is no such queue or exchange to be bound")]
    NoDestination,
    /// One of its ends is a broadcast.
    #[error("a broadcast has no bindings: its messages go to whoever is connected")]
    Broadcast,
    /// The argument `x-match` of a headers exchange has no meaning.
    #[error("x-match must be \"all\", \"any\", \"all-with-x\" or \"any-with-x\", not {found}")]
    UnknownMatch {
        /// What it says instead.
        found: String,
    },
    /// The pattern of a topic exchange has too many words `#`.
    #[error("the binding key {key:?} has {found} words `#`, and a topic exchange takes {max} at most")]
    TooManyHashes {
        /// The pattern.
        key: String,
        /// How many it has.
        found: usize,
        /// How many it may have.
        max: u8,
    },
}

impl BindingError {
    /// The code with which a broker closes the channel.
    pub fn code(&self) -> ReplyCode {
        match self {
            BindingError::DefaultExchange => ReplyCode::AccessRefused,
            BindingError::NoSource | BindingError::NoDestination => ReplyCode::NotFound,
            BindingError::Broadcast | BindingError::UnknownMatch { .. } | BindingError::TooManyHashes { .. } => {
                ReplyCode::PreconditionFailed
            }
        }
    }
}

/// Whether a binding may be made. The checks come in the order in which RabbitMQ makes them.
pub fn check_binding(request: &BindingRequest<'_>, profile: &Profile) -> Result<(), BindingError> {
    let destination = match request.destination {
        BindingEnd::Exchange(exchange) => Some(exchange),
        BindingEnd::Missing | BindingEnd::Queue => None,
    };
    let mut ends = request.source.into_iter().chain(destination);
    if ends.clone().any(|exchange| exchange.name.is_empty()) {
        return Err(BindingError::DefaultExchange);
    }
    let source = request.source.ok_or(BindingError::NoSource)?;
    if matches!(request.destination, BindingEnd::Missing) {
        return Err(BindingError::NoDestination);
    }
    if ends.any(|exchange| exchange.kind == ExchangeKind::Broadcast) {
        return Err(BindingError::Broadcast);
    }
    match source.kind {
        ExchangeKind::Topic => check_pattern(request.key, profile),
        ExchangeKind::Headers => Mode::of(request.arguments).map(|_| ()),
        ExchangeKind::Direct | ExchangeKind::Fanout | ExchangeKind::Broadcast => Ok(()),
    }
}

fn check_pattern(key: &str, profile: &Profile) -> Result<(), BindingError> {
    let found = key.split('.').filter(|word| *word == "#").count();
    match profile.topic_hash_words_max {
        Some(max) if found > usize::from(max) => Err(BindingError::TooManyHashes { key: key.to_string(), found, max }),
        _ => Ok(()),
    }
}

/// A name that nobody may declare (403): the broker keeps those that begin with `amq.` for itself.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("names that begin with \"amq.\" are reserved")]
pub struct ReservedName;

impl ReservedName {
    /// The code with which a broker closes the channel.
    pub fn code(self) -> ReplyCode {
        ReplyCode::AccessRefused
    }
}

/// Whether an exchange or a queue of this name may be declared.
pub fn check_name(name: &str) -> Result<(), ReservedName> {
    if name.starts_with("amq.") { Err(ReservedName) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::properties::FieldValue;

    fn check(
        source: Option<ExchangeKind>,
        destination: BindingEnd<'_>,
        key: &str,
        arguments: &[(&str, FieldValue)],
    ) -> String {
        let source = source.map(|kind| ExchangeConfig::new("x", kind));
        let arguments = arguments.iter().cloned().collect();
        let request = BindingRequest { source: source.as_ref(), destination, key, arguments: &arguments };
        match check_binding(&request, &Profile::default()) {
            Ok(()) => "ok".to_string(),
            Err(error) => format!("{} {error}", error.code() as u16),
        }
    }

    #[test]
    fn both_ends_must_exist_and_be_open_to_bindings() {
        let default = ExchangeConfig::new("", ExchangeKind::Direct);
        let broadcast = ExchangeConfig::new("b", ExchangeKind::Broadcast);
        let fanout = ExchangeConfig::new("f", ExchangeKind::Fanout);
        let direct = Some(ExchangeKind::Direct);
        assert_eq!(check(direct, BindingEnd::Queue, "#.#.#", &[]), "ok");
        assert_eq!(check(direct, BindingEnd::Exchange(&fanout), "", &[]), "ok");
        assert!(check(direct, BindingEnd::Exchange(&default), "", &[]).starts_with("403 the default exchange"));
        assert!(check(None, BindingEnd::Exchange(&default), "", &[]).starts_with("403"));
        assert!(check(None, BindingEnd::Queue, "", &[]).starts_with("404 there is no such exchange"));
        assert!(check(direct, BindingEnd::Missing, "", &[]).starts_with("404 there is no such queue or exchange"));
        assert!(check(direct, BindingEnd::Exchange(&broadcast), "", &[]).starts_with("406 a broadcast"));
        assert!(check(Some(ExchangeKind::Broadcast), BindingEnd::Queue, "", &[]).starts_with("406 a broadcast"));
        let request = BindingRequest {
            source: Some(&default),
            destination: BindingEnd::Queue,
            key: "",
            arguments: &FieldTable::default(),
        };
        assert_eq!(check_binding(&request, &Profile::default()), Err(BindingError::DefaultExchange));
    }

    #[test]
    fn patterns_have_two_hashes_since_the_newest_version() {
        let topic = |key| check(Some(ExchangeKind::Topic), BindingEnd::Queue, key, &[]);
        for key in ["", "#", "#.a.#", "##.##.##", "a#b.#.#"] {
            assert_eq!(topic(key), "ok", "{key}");
        }
        let refused = "406 the binding key \"#.*.#.#\" has 3 words `#`, and a topic exchange takes 2 at most";
        assert_eq!(topic("#.*.#.#"), refused);
        assert_eq!(check_pattern("#.#.#.#", &Profile { topic_hash_words_max: None, ..Profile::default() }), Ok(()));
    }

    #[test]
    fn x_match_is_one_of_four_words() {
        let headers = |value| check(Some(ExchangeKind::Headers), BindingEnd::Queue, "", &[("x-match", value)]);
        for word in ["all", "any", "all-with-x", "any-with-x"] {
            assert_eq!(headers(FieldValue::Text(word.into())), "ok");
        }
        assert_eq!(check(Some(ExchangeKind::Headers), BindingEnd::Queue, "", &[]), "ok");
        let refused = [
            (FieldValue::Text("All".into()), "\"All\""),
            (FieldValue::Integer(1), "1"),
            (FieldValue::Bool(true), "true"),
            (FieldValue::Void, "nothing"),
            (FieldValue::Array(vec![]), "an array"),
        ];
        for (value, told) in refused {
            let expected = "406 x-match must be \"all\", \"any\", \"all-with-x\" or \"any-with-x\", not ";
            assert_eq!(headers(value), format!("{expected}{told}"));
        }
        // Other kinds of exchanges do not look at it.
        let odd = [("x-match", FieldValue::Integer(1))];
        assert_eq!(check(Some(ExchangeKind::Topic), BindingEnd::Queue, "", &odd), "ok");
    }

    #[test]
    fn names_of_the_broker_are_reserved() {
        assert_eq!(check_name("amq.gen").map_err(ReservedName::code), Err(ReplyCode::AccessRefused));
        assert_eq!(check_name("amqp.events"), Ok(()));
    }
}
