//! Exchanges and bindings: which queues a message goes to.

use brokerlab_event::StoreId;

use crate::config::{Deployment, ExchangeId, ExchangeKind, RoutingKey};

/// The routing tables of a node.
#[derive(Clone, Debug)]
pub struct Router {
    /// Destinations by exchange, then by routing key. A fanout exchange has one row, for every key.
    tables: Vec<Table>,
}

#[derive(Clone, Debug)]
struct Table {
    kind: ExchangeKind,
    rows: Vec<Vec<StoreId>>,
}

impl Router {
    /// The tables of a deployment. Every queue is bound to the default exchange under its name.
    pub fn new(deployment: &Deployment) -> Router {
        let keys = deployment.routing_keys.len();
        let table = |kind| Table { kind, rows: vec![Vec::new(); if kind == ExchangeKind::Direct { keys } else { 1 }] };
        let mut router = Router { tables: deployment.exchanges.iter().map(|exchange| table(exchange.kind)).collect() };
        for queue in &deployment.queues {
            router.bind(ExchangeId::DEFAULT, queue.name, queue.store);
        }
        for binding in &deployment.bindings {
            router.bind(binding.exchange, binding.key, binding.queue);
        }
        router
    }

    /// Binds a queue. Binding it twice under one key changes nothing: a queue gets one copy.
    fn bind(&mut self, exchange: ExchangeId, key: RoutingKey, queue: StoreId) {
        let table = &mut self.tables[usize::from(exchange.0)];
        let row = if table.kind == ExchangeKind::Direct { key.0 as usize } else { 0 };
        if !table.rows[row].contains(&queue) {
            table.rows[row].push(queue);
        }
    }

    /// How this exchange chooses; nothing for an exchange that does not exist.
    pub fn kind(&self, exchange: ExchangeId) -> Option<ExchangeKind> {
        self.tables.get(usize::from(exchange.0)).map(|table| table.kind)
    }

    /// The queues that get a copy, each once.
    #[inline]
    pub fn route(&self, exchange: ExchangeId, key: RoutingKey) -> &[StoreId] {
        let table = &self.tables[usize::from(exchange.0)];
        match table.kind {
            ExchangeKind::Direct => table.rows.get(key.0 as usize).map_or(&[], Vec::as_slice),
            ExchangeKind::Fanout => &table.rows[0],
            ExchangeKind::Broadcast => &[],
        }
    }
}
