//! `summary.json`: the figures of `summary.csv` with everything that identifies the run.

use serde_json::{Map, Value};

use crate::report::{Meta, Report};
use crate::table::Row;

/// Version of the format of `summary.json`; grows when a key changes its meaning or goes away.
pub const FORMAT: u64 = 1;

/// Digests as text, since many readers of JSON keep only 53 bits of a number.
pub(crate) mod hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &u64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&format!("{digest:016x}"))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
        let text = String::deserialize(deserializer)?;
        u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom(format!("\"{text}\" is not a digest")))
    }
}

/// The same where there may be none.
pub(crate) mod optional_hex {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(digest: &Option<u64>, serializer: S) -> Result<S::Ok, S::Error> {
        match digest {
            Some(digest) => super::hex::serialize(digest, serializer),
            None => serializer.serialize_none(),
        }
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
        let read = |text: String| {
            u64::from_str_radix(&text, 16).map_err(|_| D::Error::custom(format!("\"{text}\" is not a digest")))
        };
        Option::<String>::deserialize(deserializer)?.map(read).transpose()
    }
}

/// An exact decimal number in a text.
pub(crate) mod exact {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    use crate::table::{Cell, Decimal};

    pub fn serialize<const PLACES: u32, S: Serializer>(
        number: &Decimal<PLACES>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&number.write())
    }

    pub fn deserialize<'de, const PLACES: u32, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Decimal<PLACES>, D::Error> {
        let text = String::deserialize(deserializer)?;
        Decimal::read(&text).ok_or_else(|| D::Error::custom(format!("\"{text}\" is not a number")))
    }
}

impl Report {
    /// The run as JSON: what identifies it, its expectations, and the rows of `summary.csv`, `verdicts.csv`,
    /// `faults.csv` and `channel_errors.csv` under those names, and those of `targets.csv` where it was asked for.
    pub fn json(&self) -> Value {
        let meta = serde_json::to_value(&self.meta).expect("plain data always has a JSON form");
        let Value::Object(mut map) = meta else { unreachable!("a struct becomes an object") };
        map.insert("format".into(), FORMAT.into());
        map.insert("sentences".into(), self.sentences().iter().map(told).collect());
        map.insert("summary".into(), self.summary.iter().map(object).collect());
        map.insert("verdicts".into(), self.verdicts.iter().map(object).collect());
        map.insert("channel_errors".into(), self.channel_errors.iter().map(object).collect());
        map.insert("faults".into(), self.faults.iter().map(object).collect());
        if let Some(targets) = &self.targets {
            map.insert("targets".into(), targets.iter().map(object).collect());
        }
        Value::Object(map)
    }

    /// [`json`](Report::json) as the text of a file.
    pub fn json_text(&self) -> String {
        let mut text = serde_json::to_string_pretty(&self.json()).expect("values always have a text form");
        text.push('\n');
        text
    }
}

/// What `summary.json` knows beside the figures.
pub(crate) fn read_meta(text: &[u8]) -> Result<Meta, serde_json::Error> {
    serde_json::from_slice(text)
}

fn told(sentence: &crate::sentences::Sentence) -> Value {
    Value::String(format!("{}: {sentence}", sentence.contender))
}

/// A row as an object: columns with a unit are numbers, empty cells are null.
fn object<R: Row>(row: &R) -> Value {
    let value = |unit: &str, cell: String| match unit {
        _ if cell.is_empty() && !unit.is_empty() => Value::Null,
        "" => Value::String(cell),
        _ => match cell.parse::<u64>() {
            Ok(whole) => whole.into(),
            Err(_) => cell.parse::<f64>().map_or(Value::Null, Value::from),
        },
    };
    let cells = R::COLUMNS.iter().zip(row.cells());
    let entries: Map<String, Value> =
        cells.map(|(column, cell)| (column.name.to_owned(), value(column.unit, cell))).collect();
    Value::Object(entries)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    #[test]
    fn the_json_holds_the_summary_and_what_identifies_the_run() {
        let report = samples::report(&["billing"]);
        let json: Value = serde_json::from_str(&report.json_text()).expect("our own JSON");
        assert_eq!(json["summary"][0]["processed"], 4_832);
        assert_eq!(json["summary"][0]["throughput_per_s"], 39.917);
        assert_eq!(json["demand_digest"], "123456789abcdef0");
        assert_eq!(json["faults"][0]["target"], "billing/2");
        assert_eq!(read_meta(report.json_text().as_bytes()).expect("our own JSON"), report.meta);
    }
}
