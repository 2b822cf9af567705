//! Sender-selected distribution: the headers `CC` and `BCC` name further routing keys.

use std::sync::Arc;

use crate::message::ReplyCode;
use crate::properties::{FieldValue, Properties};

const CC: &str = "CC";
const BCC: &str = "BCC";

/// Whether a message names further keys, well or badly.
pub(super) fn has_extra_keys(properties: &Properties) -> bool {
    [CC, BCC].into_iter().any(|name| properties.headers.get(name).is_some())
}

/// Calls `add` with each further key. A header that is no array refuses the publish; in an array, RabbitMQ passes
/// over what is no text.
pub(super) fn extra_keys(properties: &Properties, mut add: impl FnMut(&str)) -> Result<(), ReplyCode> {
    for value in [CC, BCC].into_iter().filter_map(|name| properties.headers.get(name)) {
        let FieldValue::Array(entries) = value else { return Err(ReplyCode::PreconditionFailed) };
        for entry in entries {
            if let FieldValue::Text(text) = entry {
                add(text);
            }
        }
    }
    Ok(())
}

/// Takes the blind copies off a message: whoever receives it must not see them, while `CC` stays.
#[inline]
pub fn strip_blind_copies(properties: &mut Option<Arc<Properties>>) {
    if let Some(properties) = properties {
        strip(properties);
    }
}

/// Kept apart, since most messages have no properties.
#[inline(never)]
fn strip(properties: &mut Arc<Properties>) {
    if properties.headers.get(BCC).is_some() {
        Arc::make_mut(properties).headers.remove(BCC);
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
        sent.headers.push("BCC", FieldValue::Array(vec![]));
        let published = Arc::new(sent);
        let mut delivered = Some(Arc::clone(&published));
        strip_blind_copies(&mut delivered);
        assert_eq!(*delivered.unwrap(), properties("CC", FieldValue::Array(vec![])));
        assert!(published.headers.get("BCC").is_some());
    }
}
