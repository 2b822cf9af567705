//! What can be said of something in a lane at the moment: in a line for those who hear it, and in full for the panel.

use brokerlab_lab::analysis::{ContentView, GroupView, StoreView};
use brokerlab_lab::event::{ApplicationId, Blockage, ClientId, ClientRole, MessageId, StoreId};
use brokerlab_lab::reporting::grouped;
use brokerlab_lab::scenario::{Wire, WireEnd, WireKind};

use super::stores::absence;
use super::{Node, is_broker_down};
use crate::bench::Lane;

/// A line of the panel.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fact {
    /// What it is about: `ready`.
    pub word: String,
    /// How it stands.
    pub value: String,
    /// The message that it speaks of, which can be followed.
    pub message: Option<MessageId>,
}

fn fact(word: impl Into<String>, value: impl Into<String>) -> Fact {
    Fact { word: word.into(), value: value.into(), message: None }
}

/// The name of something in a lane.
pub fn name(lane: &Lane, node: Node) -> String {
    match node {
        Node::Client(id) => lane.header.clients[id.index()].name.clone(),
        Node::Store(id) => lane.header.stores[id.index()].name.clone(),
        Node::Exchange(index) => format!("exchange {}", lane.wiring.exchanges[index].name),
        Node::Application(id) => lane.header.applications[id.index()].name.clone(),
    }
}

/// A node with its state in a line.
pub fn describe(lane: &Lane, node: Node) -> String {
    let name = name(lane, node);
    match node {
        Node::Client(id) => format!("{name}{}", client_line(lane, id)),
        Node::Store(id) => {
            let store = &lane.timeline.view().stores[id.index()];
            match &store.content {
                ContentView::Queue { unacked, .. } => {
                    format!("{name}, {} ready, {} unacknowledged", grouped(store.ready()), grouped(unacked.len()))
                }
                ContentView::Partition { start, .. } => {
                    format!("{name}, offsets {} to {}, {} kept", start, store.end, grouped(store.messages))
                }
            }
        }
        Node::Exchange(index) => {
            let own = |wire: &&Wire| wire.from == WireEnd::Exchange(index);
            let ends: Vec<String> = lane.wiring.wires.iter().filter(own).map(|wire| wire_text(lane, wire)).collect();
            let kind = lane.wiring.exchanges[index].kind;
            match ends.is_empty() {
                true => format!("{name}, {kind}"),
                false => format!("{name}, {kind}, to {}", ends.join(", ")),
            }
        }
        Node::Application(id) => {
            let state = &lane.timeline.view().applications[id.index()];
            let (up, of) = consumers_up(lane, id);
            let moving = if state.rebalancing { ", redistributes its partitions" } else { "" };
            format!("{name}, {up} of {of} up, {} processed{moving}", grouped(state.processed))
        }
    }
}

fn client_line(lane: &Lane, id: ClientId) -> String {
    let client = &lane.timeline.view().clients[id.index()];
    let mut text = format!(", {}", state_of(lane, id));
    let factor = f64::from(client.speed.get()) / 1e6;
    if factor != 1.0 {
        text += &format!(", takes {factor} times as long");
    }
    if let Some(message) = client.working_on {
        text += &format!(", works on message {message}");
    }
    match client.held() {
        0 => {}
        held => text += &format!(", {} in hand", grouped(held)),
    }
    if client.blocked.is_some() {
        text += ", held up by the broker";
    }
    text
}

fn state_of(lane: &Lane, id: ClientId) -> &'static str {
    let client = &lane.timeline.view().clients[id.index()];
    match (client.connected, client.paused) {
        (false, _) => "down",
        (true, true) => "paused",
        (true, false) => "up",
    }
}

fn consumers_up(lane: &Lane, application: ApplicationId) -> (usize, usize) {
    let own: Vec<ClientId> = lane.header.consumers_of(application).collect();
    let view = lane.timeline.view();
    (own.iter().filter(|client| view.clients[client.index()].connected).count(), own.len())
}

/// A node with everything that is known of its state.
pub fn facts(lane: &Lane, node: Node) -> Vec<Fact> {
    match node {
        Node::Client(id) => client(lane, id),
        Node::Store(id) => store(lane, id),
        Node::Exchange(index) => exchange(lane, index),
        Node::Application(id) => application(lane, id),
    }
}

fn client(lane: &Lane, id: ClientId) -> Vec<Fact> {
    let client = &lane.timeline.view().clients[id.index()];
    let mut facts = vec![fact("state", state_of(lane, id))];
    match client.blocked {
        None => {}
        Some(Blockage::Memory) => facts.push(fact("held up", "the broker holds too much")),
        Some(Blockage::Credit) => facts.push(fact("held up", "the broker gives no credit")),
        Some(Blockage::Buffer) => facts.push(fact("held up", "its own buffer is full")),
    }
    let ClientRole::Consumer(application) = lane.header.clients[id.index()].role else { return facts };
    facts.push(fact("works for", &lane.header.applications[application.index()].name));
    let factor = f64::from(client.speed.get()) / 1e6;
    if factor != 1.0 {
        facts.push(fact("its work takes", format!("{factor} times as long")));
    }
    facts.push(match client.working_on {
        Some(message) => Fact { message: Some(message), ..fact("works on", format!("message {message}")) },
        None => fact("works on", "nothing"),
    });
    if let Some((message, ..)) = client.failed {
        facts.push(Fact { message: Some(message), ..fact("failed at", format!("message {message}")) });
    }
    facts.push(fact("in hand", grouped(client.held())));
    if client.unsettled > 0 {
        facts.push(fact("not settled", grouped(client.unsettled)));
    }
    if client.holds.len() > 1 {
        for (store, places) in &client.holds {
            let from = lane.header.stores.get(store.index()).map_or("the exchange", |info| &info.name);
            facts.push(fact(format!("from {from}"), grouped(places.len())));
        }
    }
    let reads = |store: &(usize, &std::sync::Arc<StoreView>)| match &store.1.content {
        ContentView::Partition { groups, shares, .. } => {
            shares.is_empty() && groups[application.index()].owner == Some(id)
        }
        ContentView::Queue { .. } => false,
    };
    let owned: Vec<String> = (lane.timeline.view().stores.iter().enumerate())
        .filter(reads)
        .map(|(index, _)| lane.header.stores[index].name.clone())
        .collect();
    if !owned.is_empty() {
        facts.push(fact("reads", owned.join(", ")));
    }
    facts
}

fn store(lane: &Lane, id: StoreId) -> Vec<Fact> {
    let store = &lane.timeline.view().stores[id.index()];
    let mut facts = Vec::new();
    if is_broker_down(lane) {
        facts.push(fact("broker", "down: nobody writes or reads"));
    }
    if let Some(word) = absence(store) {
        facts.push(fact("state", word));
    }
    match &store.content {
        ContentView::Queue { fresh, returned, unacked } => {
            facts.push(fact("ready", grouped(fresh.len() + returned.len())));
            if !returned.is_empty() {
                facts.push(fact("of these returned", grouped(returned.len())));
            }
            facts.push(fact("unacknowledged", grouped(unacked.len())));
            facts.push(fact("stored", format!("{} bytes", grouped(store.bytes))));
            facts.push(fact("ever stored", grouped(store.end)));
        }
        ContentView::Partition { start, compacted, segments, open, groups, shares, .. } => {
            facts.push(fact("offsets", format!("{} to {}", grouped(*start), grouped(store.end))));
            facts.push(fact(
                "kept",
                format!("{} in {} segments", grouped(store.messages), grouped(segments.len() as u64)),
            ));
            facts.push(fact("stored", format!("{} bytes", grouped(store.bytes))));
            if !compacted.is_empty() {
                facts.push(fact("compacted away", grouped(compacted.len())));
            }
            if let Some(first) = open.first() {
                facts.push(fact("open transactions", format!("{}, the first from {first} on", open.len())));
            }
            for (index, group) in groups.iter().enumerate() {
                facts.extend(reader(lane, store.end, index, group));
            }
            for (share, info) in shares.iter().zip(&lane.header.applications) {
                facts.push(fact(format!("locked for {}", info.name), grouped(share.acquired.len())));
                facts.push(fact("to be had again", grouped(share.released.len())));
            }
        }
    }
    facts.extend(lane.wiring.rules.get(id.index()).into_iter().flatten().map(|(word, value)| fact(word, value)));
    for wire in &lane.wiring.wires {
        match (wire.from, wire.to, wire.kind) {
            (from, to, WireKind::DeadLetter) if from == WireEnd::Store(id) => {
                facts.push(fact("dead letters go to", end_text(lane, to)));
            }
            (from, to, _) if to == WireEnd::Store(id) => {
                let key = if wire.key.is_empty() { String::new() } else { format!(" by {}", wire.key) };
                facts.push(fact("comes from", format!("{}{key}", end_text(lane, from))));
            }
            _ => {}
        }
    }
    facts
}

/// Where the group of an application is in a partition.
fn reader(lane: &Lane, end: u64, index: usize, group: &GroupView) -> [Fact; 3] {
    let owner = group.owner.map_or("nobody", |owner| &lane.header.clients[owner.index()].name);
    let committed = group.committed.map_or("nothing".to_string(), grouped);
    [
        fact(format!("{} reads by", lane.header.applications[index].name), owner),
        fact(
            "position",
            format!("{}, {} behind", grouped(group.position), grouped(end.saturating_sub(group.position))),
        ),
        fact("committed", committed),
    ]
}

fn exchange(lane: &Lane, index: usize) -> Vec<Fact> {
    let info = &lane.wiring.exchanges[index];
    let mut facts = vec![fact("kind", info.kind)];
    if info.is_entry {
        facts.push(fact("published to by", "every producer"));
    }
    for wire in &lane.wiring.wires {
        if wire.from == WireEnd::Exchange(index) {
            let word = if wire.kind == WireKind::Alternate { "what nobody takes to" } else { "to" };
            facts.push(fact(word, wire_text(lane, wire)));
        } else if wire.to == WireEnd::Exchange(index) {
            let word = if wire.kind == WireKind::DeadLetter { "dead letters of" } else { "from" };
            facts.push(fact(word, end_text(lane, wire.from)));
        }
    }
    let counters = &lane.timeline.view().counters;
    if info.is_entry {
        facts.push(fact("came here", format!("{} messages confirmed", grouped(counters.confirmed))));
        if counters.unrouted + counters.returned > 0 {
            let text = format!("{} dropped, {} returned", grouped(counters.unrouted), grouped(counters.returned));
            facts.push(fact("without a queue", text));
        }
    }
    facts
}

fn application(lane: &Lane, id: ApplicationId) -> Vec<Fact> {
    let view = lane.timeline.view();
    let state = &view.applications[id.index()];
    let (up, of) = consumers_up(lane, id);
    let mut facts = vec![
        fact("consumers up", format!("{up} of {of}")),
        fact("delivered", grouped(state.delivered)),
        fact("redelivered", grouped(state.redelivered)),
        fact("processed", grouped(state.processed)),
    ];
    if state.failed > 0 {
        facts.push(fact("attempts failed", grouped(state.failed)));
    }
    if state.missed > 0 {
        facts.push(fact("missed", grouped(state.missed)));
    }
    let lags = view.stores.iter().filter_map(|store| match &store.content {
        ContentView::Partition { groups, .. } => Some(store.end.saturating_sub(groups[id.index()].position)),
        ContentView::Queue { .. } => None,
    });
    let lags: Vec<u64> = lags.collect();
    if !lags.is_empty() {
        facts.push(fact("lag", grouped(lags.iter().sum())));
        facts.push(fact("most in a partition", grouped(lags.iter().copied().max().unwrap_or(0))));
        if state.generation > 0 {
            facts.push(fact("generation of its group", state.generation.to_string()));
        }
        facts.push(fact("group", if state.rebalancing { "redistributes its partitions" } else { "is stable" }));
    }
    facts
}

fn end_text(lane: &Lane, end: WireEnd) -> String {
    match end {
        WireEnd::Exchange(index) => name(lane, Node::Exchange(index)),
        WireEnd::Store(store) => name(lane, Node::Store(store)),
    }
}

fn wire_text(lane: &Lane, wire: &Wire) -> String {
    let to = end_text(lane, wire.to);
    if wire.key.is_empty() { to } else { format!("{to} by {}", wire.key) }
}
