//! Every single value of a scenario with its path: what a front end can offer to change.

use toml_edit::{Document, Item, TableLike};

use crate::options::{CONTENDERS, Kind, MODELS, ROOT, Spec};
use crate::reader::list_of_tables;
use crate::scenario::Scenario;

/// A value that a setting can change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SettableValue {
    /// Its path, as settings name it: `contender.queue.prefetch`.
    pub path: String,
    /// What it is, as TOML: `10`, `"40/s"`.
    pub value: String,
    /// What it says, as one or two sentences.
    pub doc: &'static str,
}

impl Scenario {
    /// Every single value of the demand, the network and the contenders, defaults among them, in the order of the
    /// file format.
    ///
    /// ```
    /// use brokerlab_scenario::{Scenario, Source};
    ///
    /// let source = Source::bundled("consumer-dies").expect("it is bundled");
    /// let values = Scenario::parse(&source, &[])?.values();
    /// let prefetch = values.iter().find(|value| value.path == "contender.queue.prefetch");
    /// assert_eq!(prefetch.map(|value| value.value.as_str()), Some("10"));
    /// # Ok::<(), brokerlab_scenario::ScenarioError>(())
    /// ```
    pub fn values(&self) -> Vec<SettableValue> {
        let text = self.resolved();
        let document = Document::parse(text.as_str()).expect("a resolved scenario is valid");
        let mut values = Vec::new();
        collect(document.as_table(), &ROOT, "", &mut values);
        let is_offered = |value: &SettableValue| {
            let part = value.path.split('.').next().unwrap_or_default();
            matches!(part, "duration" | "seed" | "warm_up" | "network" | "demand" | "contender")
        };
        values.retain(is_offered);
        values
    }
}

fn collect(table: &dyn TableLike, spec: &'static Spec, path: &str, values: &mut Vec<SettableValue>) {
    for option in spec.options {
        let Some(item) = table.get(option.name) else { continue };
        // The name of a table is its identity, and its model decides which options there are.
        if !path.is_empty() && ["name", "model"].contains(&option.name) {
            continue;
        }
        let path = if path.is_empty() { option.name.to_string() } else { format!("{path}.{}", option.name) };
        let inner = match option.kind {
            Kind::Table(spec) | Kind::ChoiceOr(_, spec) => item.as_table_like().map(|table| (table, spec)),
            _ => None,
        };
        match (option.kind, inner) {
            (_, Some((table, spec))) => collect(table, spec, &path, values),
            (Kind::Tables(spec), _) => each(item, &path, values, |_| Some(spec)),
            (Kind::Contenders, _) => each(item, &path, values, |table| {
                let model = table.get("model").and_then(Item::as_str);
                MODELS.iter().position(|name| Some(*name) == model).map(|index| &CONTENDERS[index])
            }),
            _ => {
                if let Some(value) = item.as_value() {
                    values.push(SettableValue { path, value: value.to_string().trim().to_string(), doc: option.doc });
                }
            }
        }
    }
}

fn each(
    item: &Item,
    path: &str,
    values: &mut Vec<SettableValue>,
    spec: impl Fn(&dyn TableLike) -> Option<&'static Spec>,
) {
    for (index, (table, _)) in list_of_tables(item).unwrap_or_default().into_iter().enumerate() {
        let name = table.get("name").and_then(Item::as_str).map_or(index.to_string(), str::to_string);
        // A name with a dot in it cannot be part of a path, and its number can.
        let name = if name.contains('.') { index.to_string() } else { name };
        if let Some(spec) = spec(table) {
            collect(table, spec, &format!("{path}.{name}"), values);
        }
    }
}
