//! One exchange with its bindings.

use std::collections::BTreeMap;

use brokerlab_event::StoreId;

use super::headers::HeadersBinding;
use super::keys::{Keys, MessageKeys};
use super::targets::{Found, Targets};
use super::topic::{Trie, Walk};
use crate::config::{Destination, ExchangeConfig, ExchangeKind, RoutingKey};
use crate::properties::FieldTable;

/// An exchange: what is bound to it, and a table that finds the bindings of a message.
#[derive(Clone, Debug)]
pub(super) struct Exchange {
    pub config: ExchangeConfig,
    /// Everything bound. Bindings that differ only in their arguments are different bindings.
    bindings: BTreeMap<(Destination, RoutingKey), Vec<FieldTable>>,
    table: Table,
    /// A routing key is all that it takes to find the queues: no other exchange has a say.
    pub plain: bool,
    /// It is plain, and open to publishers.
    straight: bool,
}

#[derive(Clone, Debug)]
enum Table {
    /// By binding key.
    Direct(Vec<Targets>),
    Fanout(Targets),
    Topic(Trie),
    Headers(Vec<HeadersBinding>),
    Broadcast,
}

impl Exchange {
    pub fn new(config: ExchangeConfig) -> Exchange {
        let table = match config.kind {
            ExchangeKind::Direct => Table::Direct(Vec::new()),
            ExchangeKind::Fanout => Table::Fanout(Targets::default()),
            ExchangeKind::Topic => Table::Topic(Trie::new()),
            ExchangeKind::Headers => Table::Headers(Vec::new()),
            ExchangeKind::Broadcast => Table::Broadcast,
        };
        let mut exchange = Exchange { config, bindings: BTreeMap::new(), table, plain: false, straight: false };
        exchange.judge_plain();
        exchange
    }

    fn judge_plain(&mut self) {
        let looked_up = matches!(self.table, Table::Direct(_) | Table::Fanout(_) | Table::Broadcast);
        // Exchanges are the last among the destinations.
        let to_queues = !matches!(self.bindings.last_key_value(), Some(((Destination::Exchange(_), _), _)));
        self.plain = looked_up && to_queues && self.config.alternate.is_none();
        self.straight = self.plain && !self.config.internal;
    }

    /// True where nothing is bound to it.
    pub fn is_unbound(&self) -> bool {
        self.bindings.is_empty()
    }

    /// Whether anything leads there.
    pub fn leads_to(&self, destination: Destination) -> bool {
        self.bindings.range(rows(destination)).next().is_some()
    }

    /// Binds. A binding that is there already changes nothing.
    pub fn bind(&mut self, destination: Destination, key: RoutingKey, arguments: &FieldTable, keys: &Keys) {
        let arguments = sorted(arguments);
        let alike = self.bindings.entry((destination, key)).or_default();
        if alike.contains(&arguments) {
            return;
        }
        alike.push(arguments.clone());
        match &mut self.table {
            Table::Direct(rows) => {
                let row = key.0 as usize;
                if row >= rows.len() {
                    rows.resize_with(row + 1, Targets::default);
                }
                rows[row].insert(destination);
            }
            Table::Fanout(targets) => targets.insert(destination),
            Table::Topic(trie) => trie.insert(keys.words(key), destination),
            Table::Headers(bindings) => bindings.push(HeadersBinding::new(destination, key, arguments)),
            Table::Broadcast => unreachable!("nothing is bound to a broadcast"),
        }
        self.judge_plain();
    }

    /// Takes one binding away; says whether it was there.
    pub fn unbind(&mut self, destination: Destination, key: RoutingKey, arguments: &FieldTable, keys: &Keys) -> bool {
        let arguments = sorted(arguments);
        let Some(alike) = self.bindings.get_mut(&(destination, key)) else { return false };
        let Some(place) = alike.iter().position(|own| *own == arguments) else { return false };
        alike.remove(place);
        let last = alike.is_empty();
        if let Table::Headers(bindings) = &mut self.table {
            bindings.retain(|own| (own.destination, own.key) != (destination, key) || own.arguments != arguments);
        }
        if last {
            self.forget(destination, key, keys);
        }
        self.judge_plain();
        true
    }

    /// Takes everything away that leads there; says whether there was anything.
    pub fn unbind_all(&mut self, destination: Destination, keys: &Keys) -> bool {
        let bound: Vec<RoutingKey> = self.bindings.range(rows(destination)).map(|((_, key), _)| *key).collect();
        for &key in &bound {
            self.forget(destination, key, keys);
        }
        if let Table::Headers(bindings) = &mut self.table {
            bindings.retain(|own| own.destination != destination);
        }
        self.judge_plain();
        !bound.is_empty()
    }

    /// Takes the last of the bindings with this key from the tables that go by keys.
    fn forget(&mut self, destination: Destination, key: RoutingKey, keys: &Keys) {
        self.bindings.remove(&(destination, key));
        let reached_otherwise = self.leads_to(destination);
        match &mut self.table {
            Table::Direct(rows) => rows[key.0 as usize].remove(destination),
            Table::Fanout(targets) if !reached_otherwise => targets.remove(destination),
            Table::Topic(trie) => trie.remove(keys.words(key), destination),
            Table::Fanout(_) | Table::Headers(_) | Table::Broadcast => {}
        }
    }

    /// The queues of a routing key, where the exchange is [plain](Exchange::plain).
    #[inline]
    pub fn queues(&self, key: RoutingKey) -> &[StoreId] {
        match &self.table {
            Table::Direct(rows) => rows.get(key.0 as usize).map_or(&[], |row| &row.queues),
            Table::Fanout(targets) => &targets.queues,
            Table::Topic(_) | Table::Headers(_) | Table::Broadcast => &[],
        }
    }

    /// The queue that a routing key leads publishers to, where it is a single one and nothing has to be searched.
    #[inline(always)]
    pub fn only_queue(&self, key: RoutingKey) -> Option<StoreId> {
        match &self.table {
            Table::Direct(rows) if self.straight => match *rows.get(key.0 as usize)?.queues {
                [store] => Some(store),
                _ => None,
            },
            _ => None,
        }
    }

    /// Adds where a message goes from here.
    pub fn search(&self, message: &MessageKeys, headers: &FieldTable, keys: &Keys, walk: &mut Walk, found: &mut Found) {
        match &self.table {
            Table::Direct(rows) => {
                message.interned().filter_map(|key| rows.get(key.0 as usize)).for_each(|row| found.add(row));
            }
            Table::Fanout(targets) => found.add(targets),
            Table::Topic(trie) => message.words(keys).for_each(|words| trie.search(words, walk, |row| found.add(row))),
            Table::Headers(bindings) => {
                let fitting = bindings.iter().filter(|binding| binding.matches(headers));
                fitting.for_each(|binding| found.push(binding.destination));
            }
            Table::Broadcast => {}
        }
    }
}

/// The bindings that lead to one destination.
fn rows(destination: Destination) -> std::ops::RangeInclusive<(Destination, RoutingKey)> {
    (destination, RoutingKey(0))..=(destination, RoutingKey(u32::MAX))
}

/// Arguments in the order of their names, since the order in which they were written makes no other binding.
fn sorted(arguments: &FieldTable) -> FieldTable {
    let mut entries: Vec<_> = arguments.iter().map(|(name, value)| (name, value.clone())).collect();
    entries.sort_by_key(|(name, _)| *name);
    entries.into_iter().collect()
}
