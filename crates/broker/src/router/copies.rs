//! Sender-selected distribution: the headers `CC` and `BCC` name further routing keys.

use std::sync::Arc;

use crate::message::ReplyCode;
use crate::properties::{FieldValue, Properties};

const CC: &str = "CC";
const BCC: &str = "BCC";

/// Whether a message names further keys, well or badly.
pub(super) fn has_extra_keys(properties: &Properties) -> bool {
    !properties.blind_copies.is_empty() || [CC, BCC].into_iter().any(|name| properties.headers.get(name).is_some())
}

/// Calls `add` with each further key. A header that is no array refuses the publish; in an array, RabbitMQ passes
/// over what is no text.
pub(super) fn extra_keys(properties: &Properties, mut add: impl FnMut(&str)) -> Result<(), ReplyCode> {
    for value in [CC, BCC].into_iter().filter_map(|name| properties.headers.get(name)) {
        let FieldValue::Array(entries) = value else { return Err(ReplyCode::PreconditionFailed) };
        texts(entries).for_each(|text| add(text));
    }
    properties.blind_copies.iter().for_each(|text| add(text));
    Ok(())
}

fn texts(entries: &[FieldValue]) -> impl Iterator<Item = &Arc<str>> {
    entries.iter().filter_map(|entry| match entry {
        FieldValue::Text(text) => Some(text),
        _ => None,
    })
}

/// The keys that the `CC` header names.
pub fn carbon_copies(properties: &Properties) -> Vec<Arc<str>> {
    match properties.headers.get(CC) {
        Some(FieldValue::Array(entries)) => texts(entries).cloned().collect(),
        _ => Vec::new(),
    }
}

/// Takes the blind copies off a message: whoever receives it must not see them, while `CC` stays. The broker
/// remembers them, because a dead letter goes to all its keys again.
pub fn strip_blind_copies(properties: &mut Option<Arc<Properties>>) {
    if let Some(properties) = properties
        && let Some(FieldValue::Array(entries)) = properties.headers.get(BCC)
    {
        let keys = texts(entries).cloned().collect();
        let properties = Arc::make_mut(properties);
        properties.headers.remove(BCC);
        properties.blind_copies = keys;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties(name: &str, value: FieldValue) -> Properties {
        Properties { headers: [(name, value)].into_iter().collect(), ..Properties::default() }
    }

    fn keys(properties: &Properties) -> Result<Vec<String>, ReplyCode> {
        let mut found = Vec::new();
        extra_keys(properties, |key| found.push(key.to_string()))?;
        Ok(found)
    }

    #[test]
    fn keys_come_from_arrays_of_texts() {
        let texts =
            FieldValue::Array(vec![FieldValue::Text("a".into()), FieldValue::Integer(5), FieldValue::Text("b".into())]);
        for name in ["CC", "BCC"] {
            assert_eq!(keys(&properties(name, texts.clone())), Ok(vec!["a".to_string(), "b".to_string()]));
            for bad in [FieldValue::Text("a".into()), FieldValue::Void, FieldValue::Integer(1)] {
                assert_eq!(keys(&properties(name, bad)), Err(ReplyCode::PreconditionFailed));
            }
        }
        let others = properties("cc", FieldValue::Integer(1));
        assert!(!has_extra_keys(&others) && keys(&others) == Ok(vec![]));
    }

    #[test]
    fn blind_copies_are_taken_off_and_others_stay() {
        let mut sent = properties("CC", FieldValue::Array(vec![]));
        sent.headers.push("BCC", FieldValue::Array(vec![FieldValue::Text("b".into())]));
        let published = Arc::new(sent);
        let mut delivered = Some(Arc::clone(&published));
        strip_blind_copies(&mut delivered);
        let mut expected = properties("CC", FieldValue::Array(vec![]));
        expected.blind_copies = vec!["b".into()];
        assert_eq!(*delivered.unwrap(), expected);
        assert_eq!(keys(&expected), Ok(vec!["b".to_string()]), "they still count as keys");
        assert!(published.headers.get("BCC").is_some());
    }
}
