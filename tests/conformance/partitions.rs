//! The cases of producers: which partition a record goes to.

use brokerlab_broker::partitioner::{KeyHash, LoadTable, Sticky, murmur2};
use brokerlab_event::Generator;
use serde_json::{Value, json};

use super::{compare, known_fields};

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is no whole number"))
}

fn list(value: &Value) -> Result<&Vec<Value>, String> {
    value.as_array().ok_or_else(|| format!("{value} is no list"))
}

fn bytes(hex: &str) -> Result<Vec<u8>, String> {
    let byte = |at: usize| hex.get(at..at + 2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
    (0..hex.len()).step_by(2).map(byte).collect::<Option<_>>().ok_or_else(|| format!("{hex} is not hexadecimal"))
}

/// A key and the partition that it has among different numbers of partitions.
pub fn run_key(case: &Value) -> Result<(), String> {
    let known = [
        "id",
        "note",
        "basis",
        "partitioner",
        "key_hex",
        "key_utf8",
        "partition",
        "murmur2_int32",
        "positive",
        "hash_uint32",
    ];
    known_fields(case, &known)?;
    let client = case["partitioner"].as_str().unwrap_or_default();
    let hash = match client.split(' ').next().unwrap_or_default() {
        "java-default" | "librdkafka-murmur2" => KeyHash::Murmur2,
        "librdkafka-consistent" => KeyHash::Crc32,
        "librdkafka-fnv1a" => KeyHash::Fnv1a,
        _ => return Err(format!("cannot express the partitioner {client:?}")),
    };
    // librdkafka's partitioners without "random" hash a missing key like an empty one.
    let key = match case["key_hex"].as_str() {
        Some(hex) => bytes(hex)?,
        None if case["key_hex"].is_null() && client.starts_with("librdkafka") => Vec::new(),
        None => return Err("cannot place a record without a key by its key".to_string()),
    };
    if let Some(text) = case["key_utf8"].as_str() {
        compare("key", text.as_bytes(), &key)?;
    }
    if let Some(signed) = case.get("murmur2_int32") {
        compare("murmur2_int32", signed, &json!(murmur2(&key) as i32))?;
    }
    for field in ["positive", "hash_uint32"] {
        if let Some(expected) = case.get(field) {
            compare(field, number(expected)?, u64::from(hash.of(&key)))?;
        }
    }
    let partitions = case["partition"].as_object().filter(|map| !map.is_empty()).ok_or("expects no partition")?;
    for (count, expected) in partitions {
        let among = count.parse().map_err(|_| format!("{count} is no number of partitions"))?;
        compare(&format!("partition of {count}"), number(expected)?, u64::from(hash.partition(&key, among)))?;
    }
    Ok(())
}

/// Records without a key: when they move to another partition, and how likely each is to be chosen.
pub fn run_keyless(case: &Value) -> Result<(), String> {
    match case["kind"].as_str() {
        Some("adaptive_weights") => weights(case),
        Some("sticky_switch") => switches(case),
        _ => Err(format!("cannot express the kind {}", case["kind"])),
    }
}

fn weights(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "kind", "queue_sizes", "excluded", "expect", "picks"])?;
    let sizes: Vec<u64> = list(&case["queue_sizes"])?.iter().map(number).collect::<Result<_, _>>()?;
    let excluded: Vec<u64> = list(&case["excluded"])?.iter().map(number).collect::<Result<_, _>>()?;
    let queues = (0..).zip(&sizes).map(|(partition, size)| (partition as u32, *size as u32));
    let mut loads = LoadTable::default();
    loads.weigh(queues.filter(|(partition, _)| !excluded.contains(&u64::from(*partition))), sizes.len());
    let (partitions, cumulative): (Vec<u32>, Vec<u64>) = loads.weights().unzip();
    let found = match cumulative.as_slice() {
        [] => json!("uniform"),
        sums => {
            let before = std::iter::once(&0).chain(sums);
            let weights: Vec<u64> = sums.iter().zip(before).map(|(sum, before)| sum - before).collect();
            json!({"eligible_partitions": partitions, "weights": weights, "cumulative": cumulative})
        }
    };
    compare("weights", &case["expect"], &found)?;
    for (random, partition) in case["picks"].as_object().into_iter().flatten() {
        let random = random.parse().map_err(|_| format!("{random} is no number"))?;
        compare(&format!("pick of {random}"), Some(number(partition)?), loads.pick(random).map(u64::from))?;
    }
    Ok(())
}

fn switches(case: &Value) -> Result<(), String> {
    known_fields(case, &["id", "note", "basis", "kind", "batch_size", "appends", "expect_partition_ordinal"])?;
    let mut sticky = Sticky::new(3, number(&case["batch_size"])? as u32, Generator::new(1, "sticky"));
    let (mut ordinal, mut found) = (0, Vec::new());
    for append in list(&case["appends"])? {
        known_fields(append, &["bytes", "switch_allowed"])?;
        found.push(ordinal);
        let allowed = append["switch_allowed"].as_bool().ok_or("an append does not say whether it allows a switch")?;
        if sticky.appended(number(&append["bytes"])? as u32, allowed) {
            sticky.move_on(&LoadTable::default());
            ordinal += 1;
        }
    }
    compare("partitions", &case["expect_partition_ordinal"], &json!(found))
}
