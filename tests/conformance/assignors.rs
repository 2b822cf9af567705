//! The cases of assignors: who reads which partition.

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_broker::assignor::{self, Subscriber};
use brokerlab_event::StoreId;
use serde_json::Value;

use super::{compare, known_fields};

/// A partition as cases write it.
type Partition = (String, u64);
type Order = fn(&mut [Partition]);
type Assign = fn(&[Vec<StoreId>], &[Subscriber<'_>]) -> Vec<Vec<StoreId>>;

/// A member of a case.
struct Reader {
    id: String,
    instance: Option<String>,
    topics: Vec<usize>,
    owned: Vec<Partition>,
    generation: Option<u32>,
}

fn partition(value: &Value) -> Result<Partition, String> {
    let problem = || format!("{value} is no partition");
    let [topic, number] = value.as_array().ok_or_else(problem)?.as_slice() else { return Err(problem()) };
    Ok((topic.as_str().ok_or_else(problem)?.to_owned(), number.as_u64().ok_or_else(problem)?))
}

fn partitions(value: &Value) -> Result<Vec<Partition>, String> {
    value.as_array().ok_or_else(|| format!("{value} is no list of partitions"))?.iter().map(partition).collect()
}

fn text(value: &Value) -> Result<&str, String> {
    value.as_str().ok_or_else(|| format!("{value} is no text"))
}

fn number(value: &Value) -> Result<u64, String> {
    value.as_u64().ok_or_else(|| format!("{value} is no whole number"))
}

fn reader(value: &Value, topics: &[(&str, u64)]) -> Result<Reader, String> {
    known_fields(value, &["id", "subscription", "owned", "generation", "group_instance_id"])?;
    let wanted = value["subscription"].as_array().ok_or("a member has no subscription")?;
    let wanted: BTreeSet<&str> = wanted.iter().map(text).collect::<Result<_, _>>()?;
    // A member may want topics that do not exist.
    let topics = (0..topics.len()).filter(|topic| wanted.contains(topics[*topic].0)).collect();
    let optional = |field: &str| Some(&value[field]).filter(|value| !value.is_null());
    Ok(Reader {
        id: text(&value["id"])?.to_owned(),
        instance: optional("group_instance_id").map(text).transpose()?.map(str::to_owned),
        topics,
        owned: optional("owned").map(partitions).transpose()?.unwrap_or_default(),
        // Negative numbers stand for none.
        generation: value["generation"].as_i64().and_then(|generation| u32::try_from(generation).ok()),
    })
}

/// Runs the assignor of a case. Stores are numbered through all topics in the order of their names, and what does
/// not exist gets a number behind them.
fn assign(assign: Assign, topics: &[(&str, u64)], readers: &[Reader]) -> Result<Vec<Vec<Partition>>, String> {
    let (mut names, mut stores): (Vec<Partition>, _) = (Vec::new(), Vec::new());
    for (topic, count) in topics {
        let first = names.len() as u32;
        names.extend((0..*count).map(|number| (topic.to_string(), number)));
        stores.push((first..names.len() as u32).map(StoreId::new).collect::<Vec<_>>());
    }
    let numbers: BTreeMap<&Partition, u32> = names.iter().zip(0..).collect();
    let missing = names.len() as u32;
    let store = |partition: &Partition| StoreId::new(numbers.get(partition).copied().unwrap_or(missing));
    let owned: Vec<Vec<StoreId>> = readers.iter().map(|reader| reader.owned.iter().map(store).collect()).collect();
    let subscriber = |(reader, owned)| {
        let (Reader { id, instance, topics, generation, .. }, owned): (&Reader, &Vec<StoreId>) = (reader, owned);
        Subscriber { id, instance: instance.as_deref(), topics, owned, generation: *generation }
    };
    let subscribers: Vec<Subscriber<'_>> = readers.iter().zip(&owned).map(subscriber).collect();
    let shares = assign(&stores, &subscribers);
    compare("shares", readers.len(), shares.len())?;
    Ok(shares.iter().map(|share| share.iter().map(|store| names[store.index()].clone()).collect()).collect())
}

/// Runs one case.
pub fn run(case: &Value) -> Result<(), String> {
    let known = [
        "id",
        "note",
        "basis",
        "profile",
        "assignor",
        "topics",
        "members",
        "check",
        "expect",
        "expect_sizes",
        "expect_kept",
        "expect_assigned_total",
        "one_valid_result",
    ];
    known_fields(case, &known)?;
    let topics = case["topics"].as_object().ok_or("topics is no object")?;
    let topics = topics.iter().map(|(name, count)| Ok((name.as_str(), number(count)?)));
    let mut topics: Vec<(&str, u64)> = topics.collect::<Result<_, String>>()?;
    topics.sort_unstable();
    let members = case["members"].as_array().ok_or("members is no list")?;
    let readers: Vec<Reader> = members.iter().map(|member| reader(member, &topics)).collect::<Result<_, _>>()?;
    let by: Assign = match text(&case["assignor"])? {
        "range" | "server-range" => assignor::range,
        "roundrobin" => assignor::round_robin,
        "sticky" => assignor::sticky,
        "cooperative-sticky" => assignor::cooperative_sticky,
        "server-uniform" => assignor::uniform,
        other => return Err(format!("cannot express the assignor {other}")),
    };
    let shares = assign(by, &topics, &readers)?;
    check_shape(&topics, &readers, &shares)?;
    // Range deals each topic for itself, in the order of a hash table: the order of topics means nothing there.
    let by_topic: Order = |share| share.sort_by(|a, b| a.0.cmp(&b.0));
    let by_range = text(&case["assignor"])?.ends_with("range");
    match text(&case["check"])? {
        "exact" => check_shares(case, &readers, &shares, if by_range { by_topic } else { |_| {} }),
        "set" => check_shares(case, &readers, &shares, |share| share.sort_unstable()),
        "balanced" | "balanced-cooperative" => check_numbers(case, &readers, &shares),
        other => Err(format!("cannot express the check {other}")),
    }
}

/// What holds for every assignment: nobody gets what it does not read, and nothing is given twice.
fn check_shape(topics: &[(&str, u64)], readers: &[Reader], shares: &[Vec<Partition>]) -> Result<(), String> {
    let mut given = BTreeSet::new();
    for (reader, share) in readers.iter().zip(shares) {
        for partition in share {
            if !reader.topics.iter().any(|topic| topics[*topic].0 == partition.0) {
                return Err(format!("{} gets {partition:?}, which it does not read", reader.id));
            }
            if !given.insert(partition) {
                return Err(format!("{partition:?} is given twice"));
            }
        }
    }
    Ok(())
}

/// Compares shares after their order was brought into what matters.
fn check_shares(case: &Value, readers: &[Reader], shares: &[Vec<Partition>], order: Order) -> Result<(), String> {
    let expected = case["expect"].as_object().ok_or("expect is no object")?;
    compare("members", expected.len(), readers.len())?;
    for (reader, share) in readers.iter().zip(shares) {
        let mut expected = partitions(&case["expect"][&reader.id])?;
        let mut share = share.clone();
        order(&mut expected);
        order(&mut share);
        compare(&reader.id, expected, share)?;
    }
    Ok(())
}

fn check_numbers(case: &Value, readers: &[Reader], shares: &[Vec<Partition>]) -> Result<(), String> {
    let mut sizes: Vec<u64> = shares.iter().map(|share| share.len() as u64).collect();
    sizes.sort_unstable();
    let expected = case["expect_sizes"].as_array().ok_or("expect_sizes is no list")?;
    compare("sizes", expected.iter().map(number).collect::<Result<_, _>>()?, sizes)?;
    let kept = |(reader, share): (&Reader, &Vec<Partition>)| share.iter().filter(|p| reader.owned.contains(p)).count();
    let kept: usize = readers.iter().zip(shares).map(kept).sum();
    compare("kept", number(&case["expect_kept"])?, kept as u64)?;
    let total: usize = shares.iter().map(Vec::len).sum();
    compare("assigned", number(&case["expect_assigned_total"])?, total as u64)
}
