//! The JSON Schema of the format, for editors. Made from the table of options that reading uses.

use serde_json::{Map, Value, json};

use crate::expect::{METRICS, Quantity};
use crate::options::{CONTENDERS, Kind, MODELS, Opt, ROLE, ROOT, SIZE_LAW, Spec, WORK_LAW};

/// The JSON Schema (draft 7) of scenario files.
pub fn schema() -> Value {
    let mut schema = table(&ROOT);
    schema["$schema"] = json!("http://json-schema.org/draft-07/schema#");
    schema["title"] = json!("brokerlab scenario");
    schema
}

const NUMBER: &str = "^ *[0-9][0-9_]*([.][0-9]+)?([eE][0-9]+)? *";

fn amount(units: &str) -> Value {
    json!({ "type": "string", "pattern": format!("{NUMBER}({units}) *$") })
}

fn duration() -> Value {
    amount("ns|us|ms|s|min|h|d")
}

fn size() -> Value {
    amount("B|kB|KiB|MB|MiB|GB|GiB|TiB")
}

fn label() -> Value {
    json!({ "type": "string", "pattern": "^[A-Za-z0-9_.-]{1,100}$" })
}

fn rate() -> Value {
    amount("/s|/min|/h|/d")
}

fn table(spec: &Spec) -> Value {
    let mut properties: Map<String, Value> =
        spec.options.iter().map(|option| (option.name.to_string(), described(option))).collect();
    // The expectations' metrics are a table of their own.
    if spec.title == "[[expect]]" {
        properties.extend(METRICS.iter().map(|metric| {
            let kinds = if metric.quantity == Quantity::Count { json!(["integer", "string"]) } else { json!("string") };
            (metric.name.to_string(), json!({ "type": kinds, "description": sentence(metric.meaning) }))
        }));
    }
    let required: Vec<&str> = spec.options.iter().filter(|option| option.required).map(|option| option.name).collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

fn sentence(phrase: &str) -> String {
    let mut characters = phrase.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", characters.as_str())
}

fn described(option: &Opt) -> Value {
    let mut value = of_kind(&option.kind);
    value["description"] = json!(option.doc);
    if let Some(text) = option.default {
        value["default"] = json_of(&text.parse().expect("defaults are valid TOML"));
    }
    value
}

fn of_kind(kind: &Kind) -> Value {
    match *kind {
        Kind::Text => json!({ "type": "string", "minLength": 1 }),
        Kind::Name => json!({ "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_-]{0,39}$" }),
        Kind::Key => json!({ "type": "string", "maxLength": 255 }),
        Kind::Label => label(),
        Kind::Choices(names) => {
            let list = json!({ "type": "array", "minItems": 1, "uniqueItems": true, "items": { "enum": names } });
            json!({ "anyOf": [{ "enum": names }, list] })
        }
        Kind::Labels => json!({ "type": "array", "minItems": 1, "items": label() }),
        Kind::Fields => {
            let list = json!({ "type": "array", "items": { "type": "string" } });
            let value = json!({ "anyOf": [{ "type": ["string", "integer", "boolean"] }, list] });
            json!({ "type": "object", "additionalProperties": value })
        }
        Kind::WholeOrNone => json!({ "anyOf": [{ "const": "none" }, { "type": "integer", "minimum": 0 }] }),
        Kind::Integer => json!({ "type": "integer" }),
        Kind::Levels => json!({ "type": "integer", "minimum": 1, "maximum": 255 }),
        Kind::Flag => json!({ "type": "boolean" }),
        Kind::Whole { least, most } => json!({ "type": "integer", "minimum": least, "maximum": most }),
        Kind::Number { least, from: true, most } => json!({ "type": "number", "minimum": least, "maximum": most }),
        Kind::Number { least, from: false, most } => {
            json!({ "type": "number", "exclusiveMinimum": least, "maximum": most })
        }
        Kind::Duration { .. } | Kind::Interval | Kind::Millis { .. } => duration(),
        Kind::Joins => json!({ "anyOf": [duration(), { "type": "array", "items": duration(), "minItems": 1 }] }),
        Kind::DurationOrNone => json!({ "anyOf": [{ "const": "none" }, duration()] }),
        Kind::Rate => rate(),
        Kind::Schedule => json!({
            "type": "array", "minItems": 1,
            "items": { "type": "array", "items": [rate(), duration()], "minItems": 2, "maxItems": 2 },
        }),
        Kind::Size { .. } => size(),
        Kind::SizeOrNone => json!({ "anyOf": [{ "const": "none" }, size()] }),
        Kind::Moment => json!({ "type": ["string", "number"] }),
        Kind::Choice(names) => json!({ "enum": names }),
        Kind::ChoiceOr(names, spec) => json!({ "anyOf": [{ "enum": names }, table(spec)] }),
        Kind::WorkLaw => json!({ "anyOf": [duration(), table(&WORK_LAW)] }),
        Kind::SizeLaw => json!({ "anyOf": [size(), table(&SIZE_LAW)] }),
        Kind::Target => json!({ "anyOf": [{ "type": "string", "minLength": 1 }, table(&ROLE)] }),
        Kind::Table(spec) => table(spec),
        Kind::Tables(spec) => json!({ "type": "array", "items": table(spec), "minItems": 1 }),
        Kind::Settings => json!({ "type": "object", "minProperties": 1 }),
        Kind::Contenders => {
            let models: Vec<Value> =
                MODELS.iter().zip(&CONTENDERS).map(|(model, spec)| contender(model, spec)).collect();
            json!({ "type": "array", "items": { "oneOf": models }, "minItems": 1 })
        }
    }
}

fn contender(model: &str, spec: &Spec) -> Value {
    let mut value = table(spec);
    value["properties"]["model"] = json!({ "const": model });
    value
}

/// A TOML value as JSON.
fn json_of(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => json!(text.value()),
        toml_edit::Value::Integer(number) => json!(number.value()),
        toml_edit::Value::Float(number) => json!(number.value()),
        toml_edit::Value::Boolean(flag) => json!(flag.value()),
        toml_edit::Value::Datetime(moment) => json!(moment.value().to_string()),
        toml_edit::Value::Array(list) => list.iter().map(json_of).collect(),
        toml_edit::Value::InlineTable(table) => {
            table.iter().map(|(key, value)| (key.to_string(), json_of(value))).collect::<Map<_, _>>().into()
        }
    }
}
