//! Reads what a contender says of exchanges, queues, bindings and consumers. What comes by itself in the short form and
//! what is declared in full become one topology; what RabbitMQ would refuse is refused here, with its code.

use core::ops::Range;

use brokerlab_broker::config::{ExchangeConfig, ExchangeId, ExchangeKind, OnFailure, Profile, QueueKind};
use brokerlab_broker::message::ReplyCode;
use brokerlab_broker::properties::FieldTable;
use brokerlab_broker::router::{BindingEnd, BindingError, BindingRequest, check_binding, check_name};
use brokerlab_event::ApplicationId;

use crate::options_queue::{BINDING, CONSUMER, EXCHANGE, QUEUE, SHORT_FORM};
use crate::parse_contender::publish;
use crate::parse_queue::{complain_of_shared_prefetch, queue_arguments};
use crate::parse_rest::{Names, unknown};
use crate::reader::{Reader, refused};
use crate::scenario::QueueOptions;
use crate::topology::{BindingSpec, BoundTo, ConsumerSpec, QueueLifetime, QueueSpec, Topology};

/// How many queues of which names there are in the short form.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Short {
    /// One for all applications.
    Shared,
    /// One for each application, behind an exchange of this kind.
    Each(ExchangeKind),
}

/// What consumers are told.
#[derive(Clone, Copy)]
struct Consuming {
    prefetch: u32,
    automatic_ack: bool,
    exclusive: bool,
    priority: i32,
    on_failure: OnFailure,
}

pub(crate) fn queue_side(reader: &Reader<'_>, names: &Names, short: Option<Short>) -> Option<QueueOptions> {
    let profile = reader.choice("profile").and_then(Profile::named);
    let memory_watermark = reader.size("memory_watermark");
    let publish = publish(reader);
    // What follows needs some profile to go on with; a wrong one has been told.
    let mut side = Side::new(reader, names, profile.clone().unwrap_or_default());
    let whole = side.read(short?);
    Some(QueueOptions { profile: profile?, memory_watermark, publish: publish?, topology: whole? })
}

/// A topology in the making.
struct Side<'a> {
    reader: &'a Reader<'a>,
    names: &'a Names,
    profile: Profile,
    topology: Topology,
    /// Where each queue says how long it exists, and where consumers want their queue for themselves.
    lifetimes: Vec<Range<usize>>,
    exclusive: Vec<Range<usize>>,
    /// Something in it is wrong, and told.
    broken: bool,
}

impl<'a> Side<'a> {
    fn new(reader: &'a Reader<'a>, names: &'a Names, profile: Profile) -> Side<'a> {
        let declares = ["exchange", "queue", "binding", "consumer", "publish_to", "dead_letter_exchange"];
        let exchanges = match declares.iter().any(|name| reader.has(name)) {
            true => ExchangeConfig::predeclared(),
            false => vec![ExchangeConfig::new("", ExchangeKind::Direct)],
        };
        let topology = Topology {
            exchanges,
            queues: Vec::new(),
            bindings: Vec::new(),
            consumers: Vec::new(),
            publish_to: ExchangeId::DEFAULT,
            routing_key: reader.key("routing_key"),
        };
        Side { reader, names, profile, topology, lifetimes: Vec::new(), exclusive: Vec::new(), broken: false }
    }

    fn read(&mut self, short: Short) -> Option<Topology> {
        self.exchanges();
        let full = self.reader.has("consumer");
        if full {
            self.refuse_short_form();
        } else {
            self.short_form(short);
        }
        self.queues();
        self.bindings();
        if full {
            self.consumers();
        }
        if full || self.reader.has("publish_to") {
            self.publishing();
        }
        self.rules();
        (!self.broken).then(|| self.topology.clone())
    }

    /// Notes a problem with an option of this table.
    fn complain(&mut self, reader: &Reader<'_>, option: &str, message: impl Into<String>) {
        self.broken = true;
        reader.complain(option, message);
    }

    /// The exchange of this name, complained of where there is none.
    fn exchange(&mut self, reader: &Reader<'_>, option: &str) -> Option<ExchangeId> {
        let name = reader.key(option)?;
        let found = find_exchange(&self.topology.exchanges, &name);
        if found.is_none() {
            let known: Vec<&str> = self.topology.exchanges.iter().map(|own| own.name.as_str()).collect();
            let message = format!("{} {}", unknown("exchange", &name, &known[1..]), refused(ReplyCode::NotFound));
            self.complain(reader, option, message);
        }
        found
    }

    /// The queue of this name, likewise.
    fn queue(&mut self, reader: &Reader<'_>, option: &str) -> Option<usize> {
        let name = reader.key(option)?;
        let found = self.topology.queues.iter().position(|queue| queue.name == name);
        if found.is_none() {
            let known: Vec<&str> = self.topology.queues.iter().map(|queue| queue.name.as_str()).collect();
            let message = format!("{} {}", unknown("queue", &name, &known), refused(ReplyCode::NotFound));
            self.complain(reader, option, message);
        }
        found
    }

    fn reserved(&mut self, reader: &Reader<'_>, name: &str) -> bool {
        let reserved = check_name(name).err();
        if let Some(error) = reserved {
            self.complain(reader, "name", format!("\"{name}\": {error} {}", refused(error.code())));
        }
        reserved.is_some()
    }

    /// Exchanges may name others that stand below them, so names come first.
    fn exchanges(&mut self) {
        let reader = self.reader;
        let predeclared = self.topology.exchanges.len();
        let mut alternates = Vec::new();
        for (table, span) in reader.tables("exchange") {
            let own = Reader::new(table, &EXCHANGE, span, reader.problems, &[], |_| None);
            let (name, kind) = (own.label("name"), own.choice("type").map(exchange_kind));
            let (internal, auto_delete) = (own.flag("internal"), own.flag("auto_delete"));
            let (Some(name), Some(kind), Some(internal), Some(auto_delete)) = (name, kind, internal, auto_delete)
            else {
                self.broken = true;
                continue;
            };
            if self.reserved(&own, &name) {
                continue;
            }
            let exchange = ExchangeConfig { internal, auto_delete, ..ExchangeConfig::new(name, kind) };
            let known = self.topology.exchanges[predeclared..].iter().position(|known| known.name == exchange.name);
            let alternate = own.key("alternate");
            match known {
                None => {
                    self.topology.exchanges.push(exchange);
                    alternates.push((own, alternate));
                }
                Some(index) => {
                    if self.topology.exchanges[predeclared + index] != exchange || alternates[index].1 != alternate {
                        let message = declared_twice("exchange", &exchange.name);
                        self.complain(&own, "name", message);
                    }
                }
            }
        }
        for (index, (own, _)) in alternates.iter().enumerate() {
            if own.has("alternate") {
                self.topology.exchanges[predeclared + index].alternate = self.exchange(own, "alternate");
            }
        }
    }

    fn refuse_short_form(&mut self) {
        let reader = self.reader;
        for option in SHORT_FORM.iter().filter(|option| reader.has(option.name)) {
            let name = option.name;
            let message = format!(
                "{name} speaks of the queues and consumers that come by themselves, and there are none beside \
                 [[contender.consumer]]: say it there or of a [[contender.queue]]"
            );
            self.complain(reader, name, message);
        }
    }

    /// The queues and consumers that come by themselves.
    fn short_form(&mut self, short: Short) {
        let reader = self.reader;
        let arguments = queue_arguments(reader, "work".to_string(), &self.topology.exchanges, &self.profile);
        let (Some(arguments), Some(consuming)) = (arguments, consuming(reader)) else {
            self.broken = true;
            return;
        };
        let applications = self.names.applications.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        match short {
            Short::Shared => self.topology.queues.push(arguments),
            Short::Each(_) => {
                let queues = applications.into_iter().map(|name| QueueSpec { name, ..arguments.clone() });
                self.topology.queues.extend(queues);
            }
        }
        for (index, (_, count)) in self.names.applications.iter().enumerate() {
            let queue = if short == Short::Shared { 0 } else { index };
            let application = ApplicationId::new(index as u16);
            self.topology.consumers.push(consumer(application, queue, *count, consuming));
            self.exclusive.push(reader.span_of("exclusive"));
        }
        self.lifetimes = vec![reader.span_of("lifetime"); self.topology.queues.len()];
        if reader.has("publish_to") {
            return;
        }
        match short {
            Short::Shared => {
                self.topology.routing_key.get_or_insert_with(|| "work".to_string());
            }
            Short::Each(kind) => {
                let name = implicit_exchange(kind);
                if find_exchange(&self.topology.exchanges, name).is_some() {
                    reader.complain("exchange", declared_twice("exchange", name));
                }
                self.publish_to_each(kind);
            }
        }
    }

    /// An exchange that every application's queue is bound to: a direct one leads only to those that want the kind.
    fn publish_to_each(&mut self, kind: ExchangeKind) {
        let name = implicit_exchange(kind);
        let by_kind = kind == ExchangeKind::Direct && self.names.wants.iter().any(Option::is_some);
        let source = ExchangeId(self.topology.exchanges.len() as u16);
        self.topology.exchanges.push(ExchangeConfig::new(name, kind));
        self.topology.publish_to = source;
        if !by_kind {
            self.topology.routing_key.get_or_insert_with(|| name.to_string());
        }
        for queue in 0..self.names.applications.len() {
            let wanted = self.names.wants[queue].as_ref().filter(|_| by_kind);
            let keys: Vec<String> = match (wanted, &self.topology.routing_key) {
                (_, Some(key)) => vec![key.clone()],
                (Some(wanted), None) => wanted.clone(),
                (None, None) => self.names.kinds.clone(),
            };
            let bind =
                |key| BindingSpec { source, destination: BoundTo::Queue(queue), key, arguments: FieldTable::default() };
            self.topology.bindings.extend(keys.into_iter().map(bind));
        }
    }

    fn queues(&mut self) {
        let reader = self.reader;
        for (table, span) in reader.tables("queue") {
            let own = Reader::new(table, &QUEUE, span, reader.problems, &[], |_| None);
            let name = own.label("name");
            let serves = self.serves(&own);
            let arguments =
                queue_arguments(&own, name.clone().unwrap_or_default(), &self.topology.exchanges, &self.profile);
            let (Some(arguments), Some(name)) = (arguments, name) else {
                self.broken = true;
                continue;
            };
            if self.reserved(&own, &name) {
                continue;
            }
            let queue = QueueSpec { serves, ..arguments };
            match self.topology.queues.iter().find(|known| known.name == name) {
                None => {
                    self.topology.queues.push(queue);
                    self.lifetimes.push(own.span_of("lifetime"));
                }
                Some(known) if *known == queue => {}
                Some(_) => self.complain(&own, "name", declared_twice("queue", &name)),
            }
        }
    }

    fn serves(&mut self, reader: &Reader<'_>) -> Option<Vec<ApplicationId>> {
        if !reader.has("serves") {
            return None;
        }
        let names = reader.labels("serves")?;
        let mut serves = Vec::new();
        for name in names {
            match self.names.application(&name) {
                Ok(index) => serves.push(ApplicationId::new(index as u16)),
                Err(message) => self.complain(reader, "serves", message),
            }
        }
        serves.sort();
        serves.dedup();
        Some(serves)
    }

    fn bindings(&mut self) {
        let reader = self.reader;
        for (table, span) in reader.tables("binding") {
            let own = Reader::new(table, &BINDING, span.clone(), reader.problems, &[], |_| None);
            let source = if own.has("source") { self.exchange(&own, "source") } else { None };
            let destination = match (own.has("queue"), own.has("exchange")) {
                (true, false) => self.queue(&own, "queue").map(BoundTo::Queue),
                (false, true) => self.exchange(&own, "exchange").map(BoundTo::Exchange),
                (true, true) => {
                    let message = "a binding leads to a queue or to an exchange: exchange has no place beside queue";
                    self.complain(&own, "exchange", message);
                    None
                }
                (false, false) => {
                    own.problems.add(span, "[[contender.binding]] needs \"queue\" or \"exchange\": what is bound");
                    None
                }
            };
            let (key, arguments) = (own.key("key"), own.fields("arguments"));
            let (Some(source), Some(destination), Some(key), Some(arguments)) = (source, destination, key, arguments)
            else {
                self.broken = true;
                continue;
            };
            self.bind(&own, BindingSpec { source, destination, key, arguments });
        }
    }

    fn bind(&mut self, reader: &Reader<'_>, binding: BindingSpec) {
        let exchange = |id: ExchangeId| &self.topology.exchanges[usize::from(id.0)];
        let destination = match binding.destination {
            BoundTo::Queue(_) => BindingEnd::Queue,
            BoundTo::Exchange(id) => BindingEnd::Exchange(exchange(id)),
        };
        let request = BindingRequest {
            source: Some(exchange(binding.source)),
            destination,
            key: &binding.key,
            arguments: &binding.arguments,
        };
        match check_binding(&request, &self.profile) {
            Ok(()) => self.topology.bindings.push(binding),
            Err(error) => {
                let option = match error {
                    BindingError::TooManyHashes { .. } => "key",
                    BindingError::UnknownMatch { .. } => "arguments",
                    _ if exchange(binding.source).name.is_empty() => "source",
                    _ => "exchange",
                };
                let message = format!("{error} {}", refused(error.code()));
                self.complain(reader, option, message);
            }
        }
    }

    fn consumers(&mut self) {
        let reader = self.reader;
        let mut entries = Vec::new();
        for (table, span) in reader.tables("consumer") {
            let own = Reader::new(table, &CONSUMER, span, reader.problems, &[], |_| None);
            let application = own.named("application").and_then(|name| match self.names.application(&name) {
                Ok(index) => Some(index),
                Err(message) => {
                    self.complain(&own, "application", message);
                    None
                }
            });
            let queue = if own.has("queue") { self.queue(&own, "queue") } else { None };
            let (count, consuming) = (own.small("count"), consuming(&own));
            let is_quorum = |queue: usize| matches!(self.topology.queues[queue].kind, QueueKind::Quorum(_));
            if own.choice("prefetch_scope") == Some("channel") && queue.is_some_and(is_quorum) {
                complain_of_shared_prefetch(&own);
                self.broken = true;
            }
            match (application, queue, consuming) {
                (Some(application), Some(queue), Some(consuming)) if count.is_some() || !own.has("count") => {
                    entries.push((own, application, queue, count, consuming));
                }
                _ => self.broken = true,
            }
        }
        if self.broken {
            return;
        }
        for (index, (name, consumers)) in self.names.applications.iter().enumerate() {
            let own = || entries.iter().filter(|(_, application, ..)| *application == index);
            let counted = own().filter_map(|(_, _, _, count, _)| *count).fold(0, u32::saturating_add);
            let rest = own().filter(|(_, _, _, count, _)| count.is_none()).count() as u32;
            let fits = match rest {
                0 => counted == *consumers,
                _ => counted < *consumers && (consumers - counted) % rest == 0,
            };
            if fits {
                continue;
            }
            self.broken = true;
            let Some((last, ..)) = own().next_back() else {
                let message = format!("no [[contender.consumer]] says what the consumers of \"{name}\" consume");
                self.reader.complain("consumer", message);
                continue;
            };
            let option = if last.has("count") { "count" } else { "application" };
            let message = match rest {
                0 => format!("the entries count {counted} consumers of \"{name}\", which has {consumers}"),
                _ => format!(
                    "the {consumers} consumers of \"{name}\", {counted} of them counted elsewhere, cannot be shared \
                     equally by {rest} entries without a count"
                ),
            };
            last.complain(option, message);
        }
        if self.broken {
            return;
        }
        for (entry, application, queue, count, consuming) in &entries {
            let own = || entries.iter().filter(|(_, other, ..)| other == application);
            let counted: u32 = own().filter_map(|(_, _, _, count, _)| *count).sum();
            let rest = own().filter(|(_, _, _, count, _)| count.is_none()).count() as u32;
            let count = count.unwrap_or_else(|| (self.names.applications[*application].1 - counted) / rest);
            let application = ApplicationId::new(*application as u16);
            self.topology.consumers.push(consumer(application, *queue, count, *consuming));
            self.exclusive.push(entry.span_of("exclusive"));
        }
    }

    /// Where messages are published to. Where only one exchange or one queue is declared, there is no doubt.
    fn publishing(&mut self) {
        let reader = self.reader;
        let own = ExchangeConfig::predeclared().len();
        if reader.has("publish_to") {
            let Some(exchange) = self.exchange(reader, "publish_to") else {
                self.broken = true;
                return;
            };
            self.topology.publish_to = exchange;
        } else if self.topology.exchanges.len() == own + 1 {
            self.topology.publish_to = ExchangeId(own as u16);
        } else if self.topology.exchanges.len() == own && self.topology.queues.len() == 1 {
            let name = self.topology.queues[0].name.clone();
            self.topology.routing_key.get_or_insert(name);
        } else {
            let message = "the contender needs \"publish_to\": the exchange that messages are published to";
            reader.problems.add(reader.span.clone(), message);
            self.broken = true;
            return;
        }
        let exchange = self.topology.exchanges[usize::from(self.topology.publish_to.0)].clone();
        if exchange.internal {
            let message =
                format!("the exchange \"{}\" is internal {}", exchange.name, refused(ReplyCode::AccessRefused));
            self.complain(reader, "publish_to", message);
        }
        if self.names.kinds.is_empty() && self.topology.routing_key.is_none() {
            if matches!(exchange.kind, ExchangeKind::Direct | ExchangeKind::Topic) {
                let message = "the contender needs \"routing_key\": messages without kinds have no names to go by";
                reader.problems.add(reader.span.clone(), message);
                self.broken = true;
            }
            self.topology.routing_key = Some(String::new());
        }
    }

    /// What depends on queues and their consumers together.
    fn rules(&mut self) {
        if self.broken {
            return;
        }
        let problems = self.reader.problems;
        for (index, queue) in self.topology.queues.iter().enumerate() {
            let own = |consumer: &&ConsumerSpec| consumer.queue == index;
            let count: u32 = self.topology.consumers.iter().filter(own).map(|consumer| consumer.count).sum();
            let (name, locked) = (&queue.name, refused(ReplyCode::ResourceLocked));
            if queue.lifetime == QueueLifetime::Exclusive && count != 1 {
                let message = format!(
                    "an exclusive queue belongs to the connection of one consumer, and \"{name}\" has {count} {locked}"
                );
                problems.add(self.lifetimes[index].clone(), message);
                self.broken = true;
            }
            let access = refused(ReplyCode::AccessRefused);
            let exclusive = self.topology.consumers.iter().zip(&self.exclusive).filter(|(consumer, _)| own(consumer));
            for (_, span) in exclusive.filter(|(consumer, _)| consumer.exclusive) {
                let message = match (queue.single_active_consumer, queue.kind) {
                    (true, _) => format!("\"{name}\" has a single active consumer and takes no exclusive one {access}"),
                    // A quorum queue does not look at the wish.
                    (false, QueueKind::Classic) if count > 1 => {
                        format!("an exclusive consumer is the only one, and \"{name}\" has {count} {access}")
                    }
                    _ => continue,
                };
                problems.add(span.clone(), message);
                self.broken = true;
            }
        }
    }
}

/// The exchange that comes by itself where every application has a queue.
fn implicit_exchange(kind: ExchangeKind) -> &'static str {
    if kind == ExchangeKind::Fanout { "events" } else { "work" }
}

fn declared_twice(what: &str, name: &str) -> String {
    let code = refused(ReplyCode::PreconditionFailed);
    format!("the {what} \"{name}\" is declared already, with other arguments {code}")
}

pub(crate) fn find_exchange(exchanges: &[ExchangeConfig], name: &str) -> Option<ExchangeId> {
    exchanges.iter().position(|own| own.name == name).map(|index| ExchangeId(index as u16))
}

fn exchange_kind(name: &str) -> ExchangeKind {
    match name {
        "direct" => ExchangeKind::Direct,
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        _ => ExchangeKind::Headers,
    }
}

fn consumer(application: ApplicationId, queue: usize, count: u32, consuming: Consuming) -> ConsumerSpec {
    let Consuming { prefetch, automatic_ack, exclusive, priority, on_failure } = consuming;
    ConsumerSpec { application, queue, count, prefetch, automatic_ack, exclusive, priority, on_failure }
}

fn consuming(reader: &Reader<'_>) -> Option<Consuming> {
    let prefetch = reader.small("prefetch");
    let automatic_ack = reader.choice("ack").map(|ack| ack == "automatic");
    let exclusive = reader.flag("exclusive");
    let priority = if reader.spec.find("priority").is_some() { reader.integer("priority") } else { Some(0) };
    let on_failure = reader.choice("on_failure").map(|deed| match deed {
        "return" => OnFailure::Return,
        "reject" => OnFailure::Reject,
        _ => OnFailure::Requeue,
    });
    Some(Consuming {
        prefetch: prefetch?,
        automatic_ack: automatic_ack?,
        exclusive: exclusive?,
        priority: priority?,
        on_failure: on_failure?,
    })
}
