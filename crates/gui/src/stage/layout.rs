//! Where everything stands in a lane.

use brokerlab_lab::event::{ApplicationId, ClientId, ClientRole, StoreId};
use brokerlab_lab::scenario::{WireEnd, WireKind};
use eframe::egui::{Pos2, Rect, pos2, vec2};

use crate::bench::Lane;

/// More stores than this do not fit; the others are named in a line below.
const MOST_STORES: usize = 8;
/// A store that is lower than this has no room for its name.
const LEAST_STORE: f32 = 15.0;
/// Room for the name of a store.
const TITLE: f32 = 17.0;
/// Room for the name of an application.
const HEAD: f32 = 18.0;
/// The height of an exchange that shows its name and its kind.
const EXCHANGE: f32 = 36.0;
/// Room at the left of queues in which dead letters go from one to the other.
const BEND: f32 = 24.0;

/// Where everything stands.
pub(super) struct Layout {
    /// The lane.
    pub rect: Rect,
    /// The broker.
    pub broker: Rect,
    /// Every client with its centre.
    pub clients: Vec<(ClientId, Pos2)>,
    /// How large clients are.
    pub radius: f32,
    /// The stores that are shown, each with its room.
    pub stores: Vec<(StoreId, Rect)>,
    /// How many stores are not.
    pub hidden: usize,
    /// The exchanges, each with its room.
    pub exchanges: Vec<(usize, Rect)>,
    /// Each application with the room for its name.
    pub applications: Vec<(ApplicationId, Rect)>,
}

impl Layout {
    pub(super) fn new(lane: &Lane, rect: Rect) -> Layout {
        let inner = rect.shrink2(vec2(10.0, 8.0));
        // Exchanges need room beside the queues that they lead to.
        let is_wired = !lane.wiring.exchanges.is_empty() && !lane.header.stores.is_empty();
        let (from, until) = if is_wired { (0.19, 0.74) } else { (0.24, 0.72) };
        let broker = Rect::from_min_max(
            pos2(inner.left() + from * inner.width(), inner.top()),
            pos2(inner.left() + until * inner.width(), inner.bottom()),
        );
        let (mut producers, mut consumers) = (Vec::new(), Vec::new());
        for (index, client) in lane.header.clients.iter().enumerate() {
            match client.role {
                ClientRole::Producer => producers.push(ClientId::new(index as u32)),
                ClientRole::Consumer(application) => consumers.push((application, ClientId::new(index as u32))),
            }
        }
        let names = lane.header.applications.len();
        let left = Rect::from_min_max(inner.min, pos2(broker.left() - 22.0, inner.bottom()));
        let right = Rect::from_min_max(pos2(broker.right() + 26.0, inner.top()), inner.max);
        let heads = HEAD * names as f32;
        let radius = radius_for(producers.len(), left.width(), left.height()).min(radius_for(
            consumers.len(),
            right.width(),
            right.height() - heads,
        ));
        let mut clients = Vec::new();
        let column = Column { rect: left, radius, outer: -1.0 };
        clients.extend(producers.iter().copied().zip(column.places(producers.len())));
        let column = Column { rect: right, radius, outer: 1.0 };
        // Each application has a part of the column as large as it has consumers, with its name above.
        let mut applications = Vec::new();
        let mut top = right.top();
        // Whoever has but one consumer among many needs room for that one.
        let least = (2.0 * radius + 2.0).min((right.height() - heads).max(0.0) / names.max(1) as f32);
        let rest = right.height() - heads - least * names as f32;
        for index in 0..names {
            let own: Vec<ClientId> =
                consumers.iter().filter(|(id, _)| id.index() == index).map(|(_, client)| *client).collect();
            let share = own.len() as f32 / consumers.len().max(1) as f32;
            let height = HEAD + least + rest * share;
            let head = Rect::from_min_size(pos2(right.left() - 20.0, top), vec2(right.width() + 20.0, HEAD - 2.0));
            applications.push((ApplicationId::new(index as u16), head));
            let part = Rect::from_min_max(pos2(right.left(), top + HEAD), pos2(right.right(), top + height));
            clients.extend(own.iter().copied().zip(Column { rect: part, ..column }.places(own.len())));
            top += height;
        }
        let fitting = |height: f32| ((height / LEAST_STORE) as usize).clamp(1, MOST_STORES);
        let (stores, height) = (lane.header.stores.len(), broker.height() - 14.0);
        // Where not all fit, a line below says so.
        let shown = if stores <= fitting(height) { stores } else { fitting(height - TITLE) };
        let hidden = lane.header.stores.len() - shown;
        let room = broker.shrink(7.0);
        let room = if hidden > 0 { room.with_max_y(room.bottom() - TITLE) } else { room };
        let (column, room) = divided(lane, room);
        let height = room.height() / shown.max(1) as f32;
        let store = |index: usize| {
            let top = room.top() + index as f32 * height;
            let gap = if height > 50.0 { 6.0 } else { 2.0 };
            (StoreId::new(index as u32), Rect::from_min_size(pos2(room.left(), top), vec2(room.width(), height - gap)))
        };
        let stores: Vec<(StoreId, Rect)> = (0..shown).map(store).collect();
        let exchanges = exchanges(lane, column, &stores);
        Layout { rect, broker, clients, radius, stores, hidden, exchanges, applications }
    }

    /// Where the name of a store stands.
    pub(super) fn title_of(&self, store: Rect) -> Rect {
        let is_slim = store.height() < 40.0;
        let width = if is_slim { 74.0_f32.min(store.width() / 3.0) } else { store.width() };
        Rect::from_min_size(store.min, vec2(width, if is_slim { store.height() } else { TITLE }))
    }

    /// Where what a store holds is drawn.
    pub(super) fn content_of(&self, store: Rect) -> Rect {
        let title = self.title_of(store);
        if title.height() < store.height() {
            Rect::from_min_max(pos2(store.left(), title.bottom() + 2.0), store.max)
        } else {
            Rect::from_min_max(pos2(title.right() + 4.0, store.top() + 2.0), store.max)
        }
    }

    /// The centre of a client.
    pub(super) fn client(&self, client: ClientId) -> Option<Pos2> {
        self.clients.iter().find(|(id, _)| *id == client).map(|(_, at)| *at)
    }

    /// Where messages from this side enter or leave a store; the broker's edge where the store is not shown.
    pub(super) fn door(&self, lane: &Lane, store: Option<StoreId>, enters: bool) -> Pos2 {
        let is_entry = |(index, _): &&(usize, Rect)| lane.wiring.exchanges[*index].is_entry;
        if enters && let Some((_, entry)) = self.exchanges.iter().find(is_entry) {
            return pos2(self.broker.left(), entry.center().y);
        }
        let room = store.and_then(|store| self.stores.iter().find(|(id, _)| *id == store));
        let y = room.map_or(self.broker.center().y, |(_, rect)| rect.center().y);
        pos2(if enters { self.broker.left() } else { self.broker.right() }, y)
    }
}

/// The room of a broker, divided into that of its exchanges and that of its stores. What leads from one to the other
/// is drawn between them.
fn divided(lane: &Lane, room: Rect) -> (Rect, Rect) {
    let wiring = &lane.wiring;
    if lane.header.stores.is_empty() {
        return (Rect::from_center_size(room.center(), vec2(room.width().min(120.0), room.height())), room);
    }
    let width = match wiring.exchanges.is_empty() {
        true => 0.0,
        false => (0.26 * room.width()).clamp(46.0, 110.0),
    };
    let between = match (wiring.exchanges.is_empty(), wiring.wires.iter().any(|wire| !wire.key.is_empty())) {
        (true, _) if wiring.wires.is_empty() => 0.0,
        (true, _) => BEND,
        (false, true) => (0.27 * room.width()).clamp(BEND, 96.0),
        (false, false) => (0.14 * room.width()).clamp(BEND, 60.0),
    };
    let column = Rect::from_min_size(room.min, vec2(width, room.height()));
    (column, room.with_min_x(column.right() + between + if between > 0.0 { 4.0 } else { 0.0 }))
}

/// Where exchanges stand: each beside what it leads to, as far as they do not stand on each other.
fn exchanges(lane: &Lane, column: Rect, stores: &[(StoreId, Rect)]) -> Vec<(usize, Rect)> {
    let count = lane.wiring.exchanges.len();
    let step = (column.height() / count.max(1) as f32).min(EXCHANGE + 10.0);
    let size = vec2(column.width(), (step - 6.0).max(8.0));
    let wanted = |index: usize| {
        let own = |wire: &&brokerlab_lab::scenario::Wire| {
            wire.from == WireEnd::Exchange(index) && wire.kind == WireKind::Binding
        };
        let ends = lane.wiring.wires.iter().filter(own).filter_map(|wire| match wire.to {
            WireEnd::Store(store) => stores.iter().find(|(id, _)| *id == store),
            WireEnd::Exchange(_) => None,
        });
        let places: Vec<f32> = ends.map(|(_, rect)| rect.center().y).collect();
        match places.len() {
            0 => column.center().y,
            count => places.iter().sum::<f32>() / count as f32,
        }
    };
    let mut order: Vec<(f32, usize)> = (0..count).map(|index| (wanted(index), index)).collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0).then(a.1.cmp(&b.1)));
    let mut free = column.top();
    let place = |(place, (wanted, index)): (usize, (f32, usize))| {
        // Those that follow need their room, too.
        let last = column.bottom() - (count - place) as f32 * step;
        let top = (wanted - step / 2.0).min(last).max(free);
        free = top + step;
        (index, Rect::from_min_size(pos2(column.left(), top + 3.0), size))
    };
    order.into_iter().enumerate().map(place).collect()
}

/// The largest circles of which so many stand in a column, or in as many columns as fit.
fn radius_for(count: usize, width: f32, height: f32) -> f32 {
    let fits = |radius: f32| {
        let columns = ((width - radius) / (2.6 * radius)).floor().max(1.0);
        let rows = (height / (2.4 * radius)).floor().max(1.0);
        (columns.min(6.0) * rows) as usize >= count
    };
    let sizes = [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.5, 6.0, 5.0, 4.0];
    // A few stand one below the other, so that no line passes through one of them to the next.
    let stands = |radius: &f32| count as f32 * 2.4 * radius <= height && *radius >= 13.0;
    if let Some(radius) = sizes.into_iter().find(|radius| (count <= 6 || *radius < 16.0) && stands(radius)) {
        return radius;
    }
    sizes.into_iter().find(|radius| (count <= 6 || *radius < 16.0) && fits(*radius)).unwrap_or(3.0)
}

/// A part of the lane in which clients stand.
#[derive(Clone, Copy)]
struct Column {
    rect: Rect,
    radius: f32,
    /// -1 where the left edge is the outer one, 1 where the right edge is.
    outer: f32,
}

impl Column {
    /// The centres of so many clients, column by column from the left, each from the top.
    fn places(self, count: usize) -> Vec<Pos2> {
        let rows = ((self.rect.height() / (2.4 * self.radius)).floor() as usize).clamp(1, count.max(1));
        let columns = count.div_ceil(rows.max(1)).max(1);
        let rows = count.div_ceil(columns).max(1);
        let step = self.rect.height() / rows as f32;
        let edge = if self.outer > 0.0 { self.rect.right() } else { self.rect.left() };
        // At the right there is room for what a client is doing.
        let words = if self.outer > 0.0 && self.radius >= 13.0 && columns == 1 { 52.0 } else { 10.0 };
        let first = edge - self.outer * (self.radius + words).min(self.rect.width() - self.radius);
        let place = |index: usize| {
            let (column, row) = (index / rows, index % rows);
            let inward = if self.outer > 0.0 { columns - 1 - column } else { column };
            let x = first - self.outer * inward as f32 * 2.6 * self.radius;
            pos2(x, self.rect.top() + (row as f32 + 0.5) * step)
        };
        (0..count).map(place).collect()
    }
}
