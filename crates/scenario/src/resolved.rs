//! A scenario with every default written out, so that it says everything that its outcome depends on.

use toml_edit::{DocumentMut, Item, Table, TableLike, Value};

use crate::edit;
use crate::options::{CONTENDERS, Kind, MODELS, Opt, ROOT, Spec};
use crate::options_log::CONSUMER_HEARTBEAT;
use crate::options_queue::SHORT_FORM;
use crate::parse_contender::options_without_effect;
use crate::parse_log_profile::default_of_version;
use crate::problem::ScenarioError;
use crate::scenario::Scenario;
use crate::source::Source;

impl Scenario {
    /// The text of the scenario with every setting applied and every default filled in. It reads as a scenario
    /// equal to this one, and its comments are kept.
    pub fn resolved(&self) -> String {
        let mut document: DocumentMut = self.text.parse().expect("the text of a scenario is valid");
        let root = document.as_table_mut();
        if !root.contains_key("network") {
            root.insert("network", Item::Table(Table::new()));
        }
        fill(root, &ROOT);
        let demand = root.get_mut("demand").and_then(Item::as_table_like_mut).expect("a scenario has a demand");
        if !demand.contains_key("until") {
            demand.insert("until", Item::Value(self.duration.to_string().into()));
        }
        if let Some(keys) = demand.get_mut("keys").and_then(Item::as_table_like_mut)
            && keys.get("distribution").and_then(Item::as_str) == Some("zipf")
            && !keys.contains_key("exponent")
        {
            keys.insert("exponent", Item::Value(1.0.into()));
        }
        self.tell_idempotence(document.as_table_mut());
        document.to_string()
    }

    /// Whether producers of a log are idempotent hangs on other options where it is not said.
    fn tell_idempotence(&self, root: &mut Table) {
        let topics = self.contenders.iter().map(|contender| contender.options.topic());
        let mut told = topics.map(|topic| topic.map(|topic| topic.producer.idempotence));
        let mut tell = |table: &mut dyn TableLike| {
            if let Some(Some(idempotence)) = told.next()
                && !table.contains_key("enable_idempotence")
            {
                table.insert("enable_idempotence", Item::Value(idempotence.into()));
            }
        };
        let Some(contenders) = root.get_mut("contender") else { return };
        if let Some(tables) = contenders.as_array_of_tables_mut() {
            tables.iter_mut().for_each(|table| tell(table));
        } else if let Some(list) = contenders.as_array_mut() {
            for table in list.iter_mut().filter_map(Value::as_inline_table_mut) {
                tell(table);
                table.fmt();
            }
        }
    }

    /// The scenario without the change that flips it: for variants of a scenario, of which nobody claims that the
    /// change flips them too.
    pub fn without_flip(mut self) -> Scenario {
        let mut document: DocumentMut = self.text.parse().expect("the text of a scenario is valid");
        if document.remove("flip").is_some() {
            self.text = document.to_string();
            self.flip = None;
        }
        self
    }
}

impl Source {
    /// The source with settings such as `demand.rate=80/s` applied to its text. Comments are kept.
    pub fn with_settings(&self, settings: &[String]) -> Result<Source, ScenarioError> {
        // A text that is no TOML is told of as it is when a scenario is read from it.
        let mut document: DocumentMut = self.text().parse().map_err(|error| crate::parse::syntax(self, &error))?;
        for setting in settings {
            edit::apply(&mut document, setting)?;
        }
        Ok(self.with_text(document.to_string()))
    }
}

/// Writes the defaults of options that are not there, here and in the tables within.
fn fill(table: &mut dyn TableLike, spec: &'static Spec) {
    let is_contender = spec.options.iter().any(|option| option.name == "model");
    for option in spec.options {
        // Where consumers are declared, the queues of the short form do not exist.
        let is_short = SHORT_FORM.iter().any(|short| short.name == option.name);
        if is_contender && is_short && table.contains_key("consumer") {
            continue;
        }
        // A trace says itself when messages are sent.
        if option.name == "arrivals" && table.contains_key("trace") {
            continue;
        }
        if let Some(item) = table.get_mut(option.name) {
            fill_within(item, &option.kind);
        } else if let Some(text) = default_of(option, table) {
            let value: Value = text.parse().expect("defaults are valid TOML");
            table.insert(option.name, Item::Value(value));
        }
    }
}

/// The default of an option, which may depend on others of its table; nothing where the option means nothing.
fn default_of(option: &Opt, table: &dyn TableLike) -> Option<String> {
    let is_stream = table.get("model").and_then(Item::as_str) == Some("stream");
    let by_broker = table.get("group_protocol").and_then(Item::as_str) == Some("consumer");
    // Only streams have a prefetch beside a credit.
    let by_amqp = is_stream && table.contains_key("prefetch");
    // Queues and streams have no such option, so what is said of logs leaves theirs alone.
    if options_without_effect(table).iter().any(|without| without.name == option.name) {
        return None;
    }
    match option.name {
        "assignors" if by_broker => None,
        "initial_credit" if by_amqp => None,
        "single_active_consumer" | "offset_tracking" if by_amqp => Some("false".to_string()),
        "remote_assignor" if !by_broker => None,
        "heartbeat_interval" if by_broker => Some(format!("\"{CONSUMER_HEARTBEAT}\"")),
        "linger" => {
            let own = default_of_version(option.name, table);
            own.map(|text| format!("\"{text}\"")).or(option.default.map(str::to_string))
        }
        "max_record_locks" => default_of_version(option.name, table).or(option.default).map(str::to_string),
        _ => option.default.map(str::to_string),
    }
}

fn fill_within(item: &mut Item, kind: &Kind) {
    match *kind {
        Kind::Table(spec) | Kind::ChoiceOr(_, spec) => {
            if let Some(table) = item.as_table_like_mut() {
                fill(table, spec);
            }
            if let Some(table) = item.as_inline_table_mut() {
                table.fmt();
            }
        }
        Kind::Tables(spec) => each(item, |_| spec),
        Kind::Contenders => each(item, |table| {
            let model = table.get("model").and_then(Item::as_str);
            let index = MODELS.iter().position(|name| Some(*name) == model);
            &CONTENDERS[index.expect("a contender of a scenario has a model")]
        }),
        _ => {}
    }
}

fn each(item: &mut Item, spec: impl Fn(&dyn TableLike) -> &'static Spec) {
    if let Some(tables) = item.as_array_of_tables_mut() {
        for table in tables.iter_mut() {
            let spec = spec(table);
            fill(table, spec);
        }
    } else if let Some(list) = item.as_array_mut() {
        for table in list.iter_mut().filter_map(Value::as_inline_table_mut) {
            let spec = spec(table);
            fill(table, spec);
            table.fmt();
        }
    }
}
