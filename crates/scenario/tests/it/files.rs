//! The files that come with the program: scenarios, recordings and templates; and what is written from them.

use std::path::PathBuf;

use brokerlab_event::Time;
use brokerlab_scenario::{Arrivals, Demand, Scenario, Source, TEMPLATES, compile, library, schema};
use serde_json::Value;

fn parse(source: &Source) -> Scenario {
    Scenario::parse(source, &[]).unwrap_or_else(|error| panic!("{error}"))
}

/// Bundled scenarios and templates, with their names.
fn everything() -> Vec<(String, Source)> {
    let bundled =
        library::SCENARIOS.iter().map(|(name, _)| (name.to_string(), Source::bundled(name).expect("it is bundled")));
    let templates = TEMPLATES.iter().map(|template| {
        let path = PathBuf::from(format!("templates/{}.toml", template.name));
        (template.name.to_string(), Source::open(&path).expect("it is there"))
    });
    bundled.chain(templates).collect()
}

#[test]
fn no_scenario_of_the_library_is_forgotten() {
    let mut files: Vec<String> = std::fs::read_dir("../../scenarios")
        .expect("the folder is there")
        .map(|entry| entry.expect("it can be listed").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| path.file_stem().and_then(|stem| stem.to_str()).expect("names are plain").to_string())
        .collect();
    files.sort();
    let mut names: Vec<&str> = library::SCENARIOS.iter().map(|(name, _)| *name).collect();
    names.sort();
    assert_eq!(files, names);
}

#[test]
fn bundled_scenarios_read_the_same_from_their_files() {
    for (name, _) in library::SCENARIOS {
        let bundled = parse(&Source::bundled(name).expect("it is bundled"));
        let path = PathBuf::from(format!("../../scenarios/{name}.toml"));
        assert_eq!(bundled, parse(&Source::open(&path).expect("it is there")), "{name}");
    }
}

#[test]
fn bundled_scenarios_are_whole_and_their_flips_are_valid() {
    for (name, _) in library::SCENARIOS {
        let source = Source::bundled(name).expect("it is bundled");
        let scenario = parse(&source);
        assert!(scenario.question.is_some() && scenario.explanation.is_some() && scenario.plot.is_some(), "{name}");
        assert!(!scenario.expectations.is_empty(), "{name}");
        let flip = scenario.flip.unwrap_or_else(|| panic!("{name} names no change that flips it"));
        let flipped = Scenario::parse(&source, &flip.sets).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(flipped.expectations.len(), scenario.expectations.len());
    }
}

#[test]
fn templates_are_valid_and_bring_their_files() {
    for template in TEMPLATES {
        let path = PathBuf::from(format!("templates/{}.toml", template.name));
        let source = Source::open(&path).expect("it is there");
        assert_eq!(source.text(), template.text);
        let scenario = parse(&source);
        let named = match &scenario.demand.arrivals {
            Arrivals::Trace(trace) => vec![trace.file()],
            Arrivals::Law { .. } => Vec::new(),
        };
        assert_eq!(template.files.iter().map(|(name, _)| *name).collect::<Vec<_>>(), named);
    }
}

/// The text as it would be read where the files that the original names are at hand.
fn beside(name: &str, text: String) -> Source {
    let Some(template) = TEMPLATES.iter().find(|template| template.name == name) else {
        return Source::new(name, text).with_bundled_files();
    };
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("resolved");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    for (file, contents) in template.files {
        std::fs::write(folder.join(file), contents).expect("the folder can be written");
    }
    let path = folder.join(format!("{name}.toml"));
    std::fs::write(&path, text).expect("the folder can be written");
    Source::open(&path).expect("it was just written")
}

#[test]
fn the_resolved_text_means_the_same() {
    for (name, source) in everything() {
        let scenario = parse(&source);
        let text = scenario.resolved();
        let again = parse(&beside(&name, text.clone()));
        assert_eq!(again.resolved(), text, "{name}: everything is written out the first time");
        for contender in 0..scenario.contenders.len() {
            let (first, second) = (compile(&scenario, contender), compile(&again, contender));
            assert_eq!(first.header, second.header, "{name}");
            assert_eq!(first.deployment, second.deployment, "{name}");
            assert_eq!(first.faults, second.faults, "{name}");
        }
    }
}

#[test]
fn nothing_set_changes_nothing() {
    for (_, source) in everything() {
        assert_eq!(source.with_settings(&[]).expect("nothing changes"), source);
    }
}

#[test]
fn the_resolved_built_in_scenario() {
    insta::assert_snapshot!("resolved", parse(&Source::bundled("consumer-dies").expect("it is bundled")).resolved());
}

#[test]
fn the_flights_are_read() {
    let text = "format = 1\ntitle = \"Flights\"\nduration = \"400s\"\n[demand]\nproducers = 3\n[demand.trace]\n\
                file = \"../assets/flights-2013-thanksgiving.csv\"\nkey = \"tail\"\nscale = 2000\n\
                [[demand.application]]\nname = \"tracking\"\nwork = \"800ms\"\n[[contender]]\nname = \"queue\"\n\
                model = \"queue\"\n";
    let scenario = parse(&Source::new("flights.toml", text).with_bundled_files());
    let plan = compile(&scenario, 0);
    let arrivals: Vec<_> = plan.demand.clone().collect();
    assert_eq!(arrivals.len(), 12_050);
    assert_eq!(arrivals[0].time, Time::ZERO);
    assert_eq!(plan.header.keys.bytes(arrivals[0].key), b"N192UW");
    // Five minutes later, two thousand times as fast.
    assert_eq!(arrivals[1].time, Time::from_nanos(150_000_000));
    assert!(arrivals.windows(2).all(|pair| pair[0].time <= pair[1].time));
    let digest = Demand::new(&scenario.demand, scenario.seed).digest();
    assert_eq!(digest, plan.header.demand_digest);
}

/// As much of JSON Schema as the schema uses, but for patterns.
fn accepts(schema: &Value, value: &Value) -> bool {
    if let Some(any) = schema.get("anyOf").or(schema.get("oneOf")).and_then(Value::as_array) {
        return any.iter().any(|schema| accepts(schema, value));
    }
    if let Some(names) = schema.get("enum").and_then(Value::as_array) {
        return names.contains(value);
    }
    if let Some(constant) = schema.get("const") {
        return constant == value;
    }
    let kind = |kind: &str| match kind {
        "object" => value.is_object(),
        "array" => value.is_array(),
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64(),
        "number" => value.is_number(),
        other => panic!("the schema uses the type {other}"),
    };
    let right = match &schema["type"] {
        Value::String(name) => kind(name),
        Value::Array(names) => names.iter().filter_map(Value::as_str).any(kind),
        other => panic!("the schema has the type {other}"),
    };
    let within = |bound: &str, holds: fn(f64, f64) -> bool| {
        schema.get(bound).and_then(Value::as_f64).is_none_or(|bound| value.as_f64().is_some_and(|n| holds(n, bound)))
    };
    let entries = value
        .as_array()
        .is_none_or(|list| schema["items"].is_array() || list.iter().all(|entry| accepts(&schema["items"], entry)));
    let members = value.as_object().is_none_or(|members| {
        let known = |key: &String| schema["properties"].get(key);
        let free = schema.get("additionalProperties") != Some(&Value::Bool(false));
        let required = schema.get("required").and_then(Value::as_array);
        members.iter().all(|(key, value)| known(key).map_or(free, |schema| accepts(schema, value)))
            && required
                .is_none_or(|names| names.iter().filter_map(Value::as_str).all(|name| members.contains_key(name)))
    });
    right && within("minimum", |n, bound| n >= bound) && within("maximum", |n, bound| n <= bound) && entries && members
}

fn json(text: &str) -> Value {
    fn item(value: &toml_edit::Item) -> Value {
        match value {
            toml_edit::Item::Value(toml_edit::Value::String(text)) => text.value().as_str().into(),
            toml_edit::Item::Value(toml_edit::Value::Integer(number)) => (*number.value()).into(),
            toml_edit::Item::Value(toml_edit::Value::Float(number)) => (*number.value()).into(),
            toml_edit::Item::Value(toml_edit::Value::Boolean(flag)) => (*flag.value()).into(),
            toml_edit::Item::Value(toml_edit::Value::Array(list)) => {
                list.iter().map(|value| item(&toml_edit::Item::Value(value.clone()))).collect()
            }
            toml_edit::Item::ArrayOfTables(list) => {
                list.iter().map(|table| item(&toml_edit::Item::Table(table.clone()))).collect()
            }
            other => {
                let table = other.as_table_like().expect("what is left are tables");
                Value::Object(table.iter().map(|(key, value)| (key.to_string(), item(value))).collect())
            }
        }
    }
    item(text.parse::<toml_edit::DocumentMut>().expect("it is TOML").as_item())
}

#[test]
fn the_schema_accepts_what_is_read_and_refuses_what_is_not() {
    let schema = schema();
    for (name, source) in everything() {
        assert!(accepts(&schema, &json(source.text())), "{name}");
        assert!(accepts(&schema, &json(&parse(&source).resolved())), "{name}, resolved");
    }
    for name in ["misspelt-key", "misspelt-option", "negative-number", "zero-partitions", "partitions-on-a-queue"] {
        let text = std::fs::read_to_string(format!("tests/broken/{name}.toml")).expect("it is there");
        assert!(!accepts(&schema, &json(&text)), "{name}");
    }
}

#[test]
fn the_schema_is_stable() {
    insta::assert_snapshot!("schema", serde_json::to_string_pretty(&schema()).expect("it is JSON"));
}

#[test]
fn a_variant_without_its_flip_is_a_scenario() {
    for (name, _) in library::SCENARIOS {
        let source = Source::bundled(name).expect("it is bundled");
        let flip = parse(&source).flip.expect("bundled scenarios have a flip");
        let flipped = Scenario::parse(&source, &flip.sets).unwrap_or_else(|error| panic!("{error}")).without_flip();
        let written = Source::new("scenario.toml", flipped.resolved()).with_bundled_files();
        let read = parse(&written);
        assert_eq!((read.flip, read.expectations), (None, flipped.expectations), "{name}");
        assert_eq!(read.contenders, flipped.contenders, "{name}");
    }
}
