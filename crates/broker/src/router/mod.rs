//! Exchanges and bindings: which queues a message goes to.
//!
//! ```
//! use brokerlab_broker::config::*;
//! use brokerlab_broker::properties::FieldTable;
//! use brokerlab_broker::router::Router;
//! # use brokerlab_event::{Model, NodeId, StoreId};
//!
//! # let queue = |number, name| QueueConfig::new(StoreId::new(number), NodeId::new(0), name);
//! # let (work, all) = (queue(0, RoutingKey(0)), queue(1, RoutingKey(1)));
//! let events = ExchangeId(1);
//! let bind = |store, key| BindingConfig {
//!     exchange: events,
//!     destination: Destination::Queue(store),
//!     key,
//!     arguments: FieldTable::default(),
//! };
//! let deployment = Deployment {
//!     routing_keys: ["work", "all", "order.*", "#", "order.paid"].map(String::from).into(),
//!     exchanges: vec![
//!         ExchangeConfig::new("", ExchangeKind::Direct),
//!         ExchangeConfig::new("events", ExchangeKind::Topic),
//!     ],
//!     bindings: vec![bind(work.store, RoutingKey(2)), bind(all.store, RoutingKey(3))],
//!     queues: vec![work, all],
//! #   model: Model::Queue,
//! #   nodes: 1,
//! #   seed: 1,
//! #   broker_sessions: BrokerSessions::default(),
//! #   memory_watermark: None,
//! #   page_cache: None,
//! #   profile: Profile::default(),
//! #   topics: vec![],
//! #   groups: vec![],
//! #   share_groups: vec![],
//! #   streams: vec![],
//! #   fetch: FetchLimits::default(),
//! #   producers: vec![],
//! #   consumers: vec![],
//! };
//! let mut router = Router::new(&deployment);
//! let (paid, name) = (RoutingKey(4), RoutingKey(0));
//! assert_eq!(router.route(events, paid, None).unwrap(), [StoreId::new(0), StoreId::new(1)]);
//! // Every queue is bound to the default exchange under its name.
//! assert_eq!(router.route(ExchangeId::DEFAULT, name, None).unwrap(), [StoreId::new(0)]);
//! ```

mod binding;
mod copies;
mod edges;
mod exchange;
mod headers;
mod keys;
mod targets;
mod topic;

use std::sync::Arc;

use brokerlab_event::StoreId;

pub use self::binding::{BindingEnd, BindingError, BindingRequest, ReservedName, check_binding, check_name};
pub use self::copies::{carbon_copies, strip_blind_copies};
use self::exchange::Exchange;
use self::keys::{Keys, MessageKeys};
use self::targets::Found;
use self::topic::Walk;
use crate::config::{BindingConfig, Deployment, Destination, ExchangeId, ExchangeKind, Profile, RoutingKey};
use crate::message::ReplyCode;
use crate::properties::{FieldTable, Properties};

/// The exchanges of a broker with their bindings.
#[derive(Clone, Debug)]
pub struct Router {
    /// By id; nothing where an exchange has gone.
    exchanges: Vec<Option<Exchange>>,
    keys: Arc<Keys>,
    profile: Profile,
    scratch: Scratch,
}

/// Memory that searches reuse, so that routing does not allocate.
#[derive(Clone, Debug, Default)]
struct Scratch {
    message: MessageKeys,
    walk: Walk,
    found: Found,
    /// Exchanges that the message has come to, and how many of them have had their say.
    visited: Vec<ExchangeId>,
    /// The search in which each exchange was visited last.
    seen: Vec<u64>,
    search: u64,
}

impl Router {
    /// The exchanges and bindings of a deployment. Every queue is bound to the default exchange under its name.
    ///
    /// # Panics
    /// Panics where a text stands twice among the routing keys, and where [`check_binding`] refuses a binding:
    /// whoever compiles a deployment asks that first.
    pub fn new(deployment: &Deployment) -> Router {
        let mut exchanges: Vec<Option<Exchange>> =
            deployment.exchanges.iter().map(|config| Some(Exchange::new(config.clone()))).collect();
        if let Some(Some(default)) = exchanges.first_mut() {
            assert!(default.config.kind == ExchangeKind::Direct, "the first exchange is the default exchange");
        }
        let scratch = Scratch { seen: vec![0; exchanges.len()], ..Scratch::default() };
        let keys = Arc::new(Keys::new(&deployment.routing_keys));
        let mut router = Router { exchanges, keys, profile: deployment.profile.clone(), scratch };
        for queue in &deployment.queues {
            router.add_queue(queue.store, queue.name);
        }
        for binding in &deployment.bindings {
            let bound = router.bind(binding);
            bound.unwrap_or_else(|error| panic!("a deployment's bindings are checked: {binding:?}: {error}"));
        }
        router
    }

    #[inline]
    fn exchange(&self, exchange: ExchangeId) -> Option<&Exchange> {
        self.exchanges.get(usize::from(exchange.0))?.as_ref()
    }

    /// The kind of an exchange that somebody publishes to. There may be no such exchange (404), and internal ones
    /// take nothing from publishers (403).
    #[inline]
    pub fn admit(&self, exchange: ExchangeId) -> Result<ExchangeKind, ReplyCode> {
        match self.exchange(exchange) {
            Some(Exchange { config, .. }) if !config.internal => Ok(config.kind),
            Some(_) => Err(ReplyCode::AccessRefused),
            None => Err(ReplyCode::NotFound),
        }
    }

    /// The queue that a message without extra routing keys goes to, where that needs no search and it is a single
    /// one: what most publishes are. Nothing says nothing.
    #[inline(always)]
    pub fn only_queue(&self, exchange: ExchangeId, key: RoutingKey) -> Option<StoreId> {
        self.exchange(exchange)?.only_queue(key)
    }

    /// The queues that get a copy, each once and ascending, however many ways lead there.
    ///
    /// This is how the broker routes; whether a publisher may use the exchange, [`Router::admit`] says. There may be
    /// no such exchange (404), or `CC` or `BCC` may be no array (406). A routing key outside the deployment's table
    /// is a word that stands in no binding.
    #[inline]
    pub fn route(
        &mut self,
        exchange: ExchangeId,
        key: RoutingKey,
        properties: Option<&Properties>,
    ) -> Result<&[StoreId], ReplyCode> {
        let plain = self.exchange(exchange).is_some_and(|exchange| exchange.plain);
        if !plain || properties.is_some_and(copies::has_extra_keys) {
            return self.search(exchange, key, properties);
        }
        Ok(self.exchange(exchange).map_or(&[], |exchange| exchange.queues(key)))
    }

    /// Follows a message from exchange to exchange, each of which it visits once.
    #[inline(never)]
    fn search(
        &mut self,
        exchange: ExchangeId,
        key: RoutingKey,
        properties: Option<&Properties>,
    ) -> Result<&[StoreId], ReplyCode> {
        self.exchange(exchange).ok_or(ReplyCode::NotFound)?;
        let none = FieldTable::default();
        let headers = properties.map_or(&none, |properties| &properties.headers);
        let Router { exchanges, keys, scratch, .. } = self;
        scratch.message.clear();
        scratch.message.push(key);
        if let Some(properties) = properties {
            copies::extra_keys(properties, |text| scratch.message.push_text(text, keys))?;
        }
        scratch.found.clear();
        scratch.visited.clear();
        scratch.search += 1;
        scratch.visit(exchange);
        let mut next = 0;
        while let Some(&id) = scratch.visited.get(next) {
            next += 1;
            // An alternate exchange that does not exist takes nothing.
            let Some(Some(exchange)) = exchanges.get(usize::from(id.0)) else { continue };
            let before = scratch.found.queues.len();
            exchange.search(&scratch.message, headers, keys, &mut scratch.walk, &mut scratch.found);
            // As in RabbitMQ, each exchange on the way decides by its own bindings alone, and one that leads to an
            // exchange has taken the message, whatever becomes of it there.
            let taken = scratch.found.queues.len() > before || !scratch.found.exchanges.is_empty();
            if let (false, Some(alternate)) = (taken, exchange.config.alternate) {
                scratch.visit(alternate);
            }
            while let Some(exchange) = scratch.found.exchanges.pop() {
                scratch.visit(exchange);
            }
        }
        let queues = &mut self.scratch.found.queues;
        queues.sort_unstable();
        queues.dedup();
        Ok(queues)
    }

    /// Adds a queue, bound to the default exchange under its name.
    pub fn add_queue(&mut self, queue: StoreId, name: RoutingKey) {
        let default = self.exchanges.first_mut().and_then(Option::as_mut);
        let default = default.expect("where there are queues, there is a default exchange");
        default.bind(Destination::Queue(queue), name, &FieldTable::default(), &self.keys);
    }

    /// Takes a queue away with all its bindings. This may take exchanges away that delete themselves.
    pub fn remove_queue(&mut self, queue: StoreId) {
        self.unbind_everywhere(Destination::Queue(queue));
    }

    /// Takes an exchange away with all its bindings, those that lead to it as well. The default exchange stays.
    pub fn remove_exchange(&mut self, exchange: ExchangeId) {
        if exchange == ExchangeId::DEFAULT {
            return;
        }
        if let Some(slot) = self.exchanges.get_mut(usize::from(exchange.0))
            && slot.take().is_some()
        {
            self.unbind_everywhere(Destination::Exchange(exchange));
        }
    }

    /// Takes away everything that leads to a destination, and then exchanges that thereby delete themselves.
    fn unbind_everywhere(&mut self, destination: Destination) {
        for index in 0..self.exchanges.len() {
            if let Some(source) = &mut self.exchanges[index]
                && source.unbind_all(destination, &self.keys)
            {
                self.delete_unbound(ExchangeId(index as u16));
            }
        }
    }

    /// After the loss of a binding: an exchange that deletes itself goes with the last binding that leads from it.
    fn delete_unbound(&mut self, exchange: ExchangeId) {
        if self.exchange(exchange).is_some_and(|exchange| exchange.config.auto_delete && exchange.is_unbound()) {
            self.remove_exchange(exchange);
        }
    }

    /// Binds. A binding that is there already changes nothing: a queue gets one copy of a message.
    pub fn bind(&mut self, binding: &BindingConfig) -> Result<(), BindingError> {
        self.check(binding)?;
        let BindingConfig { exchange, destination, key, ref arguments } = *binding;
        let source = self.exchanges[usize::from(exchange.0)].as_mut().expect("it was just checked");
        source.bind(destination, key, arguments, &self.keys);
        Ok(())
    }

    /// Takes a binding away. One that is not there changes nothing, as long as its ends are.
    pub fn unbind(&mut self, binding: &BindingConfig) -> Result<(), BindingError> {
        match self.check(binding) {
            Ok(()) => {}
            // Nothing of the kind can have been bound.
            Err(BindingError::UnknownMatch { .. } | BindingError::TooManyHashes { .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let BindingConfig { exchange, destination, key, ref arguments } = *binding;
        let source = self.exchanges[usize::from(exchange.0)].as_mut().expect("it was just checked");
        if source.unbind(destination, key, arguments, &self.keys) {
            self.delete_unbound(exchange);
        }
        Ok(())
    }

    fn check(&self, binding: &BindingConfig) -> Result<(), BindingError> {
        let default = self.exchange(ExchangeId::DEFAULT);
        let destination = match binding.destination {
            // Every queue is bound to the default exchange as long as it exists.
            to @ Destination::Queue(_) if default.is_some_and(|default| default.leads_to(to)) => BindingEnd::Queue,
            Destination::Queue(_) => BindingEnd::Missing,
            Destination::Exchange(id) => {
                self.exchange(id).map_or(BindingEnd::Missing, |exchange| BindingEnd::Exchange(&exchange.config))
            }
        };
        let request = BindingRequest {
            source: self.exchange(binding.exchange).map(|exchange| &exchange.config),
            destination,
            key: self.keys.text(binding.key).expect("a binding key is interned"),
            arguments: &binding.arguments,
        };
        check_binding(&request, &self.profile)
    }
}

impl Scratch {
    /// Puts an exchange on the way, unless the message has been there or there is none.
    fn visit(&mut self, exchange: ExchangeId) {
        if let Some(seen) = self.seen.get_mut(usize::from(exchange.0))
            && *seen != self.search
        {
            *seen = self.search;
            self.visited.push(exchange);
        }
    }
}

#[cfg(test)]
mod tests;
