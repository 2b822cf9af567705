//! Where bindings lead to, without repetition and in order.

use brokerlab_event::StoreId;

use crate::config::{Destination, ExchangeId};

/// The destinations that one row of a table leads to, each once and ascending.
#[derive(Clone, Debug, Default)]
pub(super) struct Targets {
    pub queues: Vec<StoreId>,
    pub exchanges: Vec<ExchangeId>,
}

fn insert<T: Ord>(into: &mut Vec<T>, item: T) {
    if let Err(place) = into.binary_search(&item) {
        into.insert(place, item);
    }
}

fn remove<T: Ord>(from: &mut Vec<T>, item: T) {
    if let Ok(place) = from.binary_search(&item) {
        from.remove(place);
    }
}

impl Targets {
    pub fn insert(&mut self, destination: Destination) {
        match destination {
            Destination::Queue(queue) => insert(&mut self.queues, queue),
            Destination::Exchange(exchange) => insert(&mut self.exchanges, exchange),
        }
    }

    pub fn remove(&mut self, destination: Destination) {
        match destination {
            Destination::Queue(queue) => remove(&mut self.queues, queue),
            Destination::Exchange(exchange) => remove(&mut self.exchanges, exchange),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.queues.is_empty() && self.exchanges.is_empty()
    }
}

/// What a search has come upon so far, with repetitions.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    pub queues: Vec<StoreId>,
    pub exchanges: Vec<ExchangeId>,
}

impl Found {
    pub fn clear(&mut self) {
        self.queues.clear();
        self.exchanges.clear();
    }

    pub fn add(&mut self, targets: &Targets) {
        self.queues.extend_from_slice(&targets.queues);
        self.exchanges.extend_from_slice(&targets.exchanges);
    }

    pub fn push(&mut self, destination: Destination) {
        match destination {
            Destination::Queue(queue) => self.queues.push(queue),
            Destination::Exchange(exchange) => self.exchanges.push(exchange),
        }
    }
}
