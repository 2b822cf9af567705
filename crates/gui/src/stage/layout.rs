//! Where everything stands in a lane.

use brokerlab_lab::event::{ClientId, ClientRole, StoreId};
use eframe::egui::{Pos2, Rect, pos2, vec2};

use crate::bench::Lane;

/// More stores than this do not fit; the others are named in a line below.
const MOST_STORES: usize = 8;
/// Room for the name of a store.
const TITLE: f32 = 17.0;

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
    /// The name of each application with the place for it, where there are several.
    pub applications: Vec<(String, Pos2)>,
}

impl Layout {
    pub(super) fn new(lane: &Lane, rect: Rect) -> Layout {
        let inner = rect.shrink2(vec2(10.0, 8.0));
        let broker = Rect::from_min_max(
            pos2(inner.left() + 0.26 * inner.width(), inner.top()),
            pos2(inner.left() + 0.72 * inner.width(), inner.bottom()),
        );
        let (mut producers, mut consumers) = (Vec::new(), Vec::new());
        for (index, client) in lane.header.clients.iter().enumerate() {
            match client.role {
                ClientRole::Producer => producers.push(ClientId::new(index as u32)),
                ClientRole::Consumer(application) => consumers.push((application, ClientId::new(index as u32))),
            }
        }
        let names = lane.header.applications.len();
        let left = Rect::from_min_max(inner.min, pos2(broker.left() - 26.0, inner.bottom()));
        let right = Rect::from_min_max(pos2(broker.right() + 26.0, inner.top()), inner.max);
        let heads = if names > 1 { names } else { 0 };
        let most = producers.len().max(consumers.len() + heads);
        let radius = radius_for(most, left.width().min(right.width()), inner.height());
        let mut clients = Vec::new();
        let column = Column { rect: left, radius, outer: -1.0 };
        clients.extend(producers.iter().copied().zip(column.places(producers.len())));
        let column = Column { rect: right, radius, outer: 1.0 };
        let mut applications = Vec::new();
        if heads == 0 {
            clients.extend(consumers.iter().map(|(_, client)| *client).zip(column.places(consumers.len())));
        } else {
            // Each application has a part of the column as large as it has consumers, with its name above.
            let all = (consumers.len() + heads) as f32;
            let mut top = right.top();
            for (index, info) in lane.header.applications.iter().enumerate() {
                let own: Vec<ClientId> =
                    consumers.iter().filter(|(id, _)| id.index() == index).map(|(_, client)| *client).collect();
                let height = right.height() * (own.len() + 1) as f32 / all;
                applications.push((info.name.clone(), pos2(right.right(), top + 2.0)));
                let part = Rect::from_min_max(pos2(right.left(), top + 16.0), pos2(right.right(), top + height));
                clients.extend(own.iter().copied().zip(Column { rect: part, ..column }.places(own.len())));
                top += height;
            }
        }
        let shown = lane.header.stores.len().min(MOST_STORES);
        let hidden = lane.header.stores.len() - shown;
        let room = broker.shrink(7.0);
        let room = if hidden > 0 { room.with_max_y(room.bottom() - TITLE) } else { room };
        let height = room.height() / shown.max(1) as f32;
        let store = |index: usize| {
            let top = room.top() + index as f32 * height;
            let gap = if height > 50.0 { 6.0 } else { 2.0 };
            (StoreId::new(index as u32), Rect::from_min_size(pos2(room.left(), top), vec2(room.width(), height - gap)))
        };
        Layout { rect, broker, clients, radius, stores: (0..shown).map(store).collect(), hidden, applications }
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
    pub(super) fn door(&self, store: Option<StoreId>, enters: bool) -> Pos2 {
        let room = store.and_then(|store| self.stores.iter().find(|(id, _)| *id == store));
        let y = room.map_or(self.broker.center().y, |(_, rect)| rect.center().y);
        pos2(if enters { self.broker.left() } else { self.broker.right() }, y)
    }
}

/// The largest circles of which so many stand in a column, or in as many columns as fit.
fn radius_for(count: usize, width: f32, height: f32) -> f32 {
    let fits = |radius: f32| {
        let columns = ((width - radius) / (2.6 * radius)).floor().max(1.0);
        let rows = (height / (2.9 * radius)).floor().max(1.0);
        (columns.min(6.0) * rows) as usize >= count
    };
    let sizes = [19.0, 17.0, 15.0, 13.0, 11.0, 9.0, 7.5, 6.0, 5.0, 4.0];
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
    /// The centres of so many clients, from the top, in the outermost column first.
    fn places(self, count: usize) -> Vec<Pos2> {
        let rows = ((self.rect.height() / (2.9 * self.radius)).floor() as usize).clamp(1, count.max(1));
        let columns = count.div_ceil(rows.max(1)).max(1);
        let rows = count.div_ceil(columns).max(1);
        let step = self.rect.height() / rows as f32;
        let edge = if self.outer > 0.0 { self.rect.right() } else { self.rect.left() };
        // At the right there is room for what a client is doing.
        let words = if self.outer > 0.0 && self.radius >= 13.0 && columns == 1 { 52.0 } else { 10.0 };
        let first = edge - self.outer * (self.radius + words).min(self.rect.width() - self.radius);
        let place = |index: usize| {
            let (column, row) = (index / rows, index % rows);
            let x = first - self.outer * column as f32 * 2.6 * self.radius;
            pos2(x, self.rect.top() + (row as f32 + 0.5) * step)
        };
        (0..count).map(place).collect()
    }
}
