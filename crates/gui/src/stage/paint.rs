//! Paints a lane.

use brokerlab_lab::analysis::{ContentView, GroupView, PlaceSet, StoreView};
use brokerlab_lab::event::{ClientId, ClientRole, Event, MessageId, Model, Offset, Record, StoreId};
use brokerlab_lab::reporting::{Look, Palette, grouped};
use eframe::egui::{
    Align2, Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, pos2, vec2,
};

use super::layout::Layout;
use super::traffic::{self, Dot};
use super::{Node, Selection};
use crate::bench::Lane;
use crate::player::Player;
use crate::style;

/// How far apart the messages of a queue stand.
const GRID: f32 = 9.0;
/// The narrowest cell of a partition that is still one.
const CELL: f32 = 6.0;
/// For how long, in seconds of the person who looks, an arrival shows.
const TRAIL: f64 = 0.25;

/// What a lane is painted on.
pub(super) struct Canvas<'a> {
    painter: Painter,
    palette: Palette,
    lane: &'a Lane,
    layout: &'a Layout,
    selection: Selection,
    index: usize,
    /// Where the message lies that is followed.
    followed: Vec<(StoreId, Offset)>,
    /// What a click finds: where, and which message.
    pub spots: Vec<(Rect, MessageId)>,
}

impl<'a> Canvas<'a> {
    pub(super) fn new(
        ui: &Ui,
        (index, lane, life): (usize, &'a Lane, &[Record]),
        layout: &'a Layout,
        selection: &Selection,
    ) -> Canvas<'a> {
        let stored = life.iter().filter_map(|record| match record.event() {
            Event::Stored { store, offset, .. } => Some((store, offset)),
            _ => None,
        });
        let followed = stored.collect();
        let (painter, palette) = (ui.painter_at(layout.rect.expand(1.0)), style::palette(ui.ctx()));
        Canvas { painter, palette, lane, layout, selection: *selection, index, followed, spots: Vec::new() }
    }

    fn ink(&self) -> Color32 {
        style::colour(self.palette.text)
    }

    fn muted(&self) -> Color32 {
        style::colour(self.palette.muted)
    }

    fn paper(&self) -> Color32 {
        style::colour(self.palette.panel)
    }

    fn hue(&self) -> Color32 {
        style::colour(self.palette.of(self.lane.look))
    }

    fn look(&self) -> Look {
        self.lane.look
    }

    pub(super) fn paint(&mut self, player: &Player, motion: bool) {
        let edge = Stroke::new(1.0, style::colour(self.palette.grid));
        self.painter.rect(self.layout.rect, 6.0, self.paper(), edge, StrokeKind::Inside);
        self.edges();
        self.painter.rect(self.layout.broker, 5.0, self.paper(), Stroke::new(1.6, self.ink()), StrokeKind::Inside);
        self.stores();
        for (name, at) in &self.layout.applications {
            self.painter.text(*at, Align2::RIGHT_TOP, name, style::bold(style::SMALL), self.ink());
        }
        if motion {
            let trail = (TRAIL * player.factor() * 1e9) as u64;
            let dots = traffic::dots(self.lane, player.time, trail);
            dots.iter().rev().for_each(|dot| self.dot(dot));
        }
        let clients = self.layout.clients.clone();
        clients.iter().for_each(|(client, at)| self.client(*client, *at));
    }

    fn up(&self, client: ClientId) -> bool {
        self.lane.timeline.view().clients[client.index()].connected
    }

    /// Who speaks with whom: producers with the broker, consumers with what they read.
    fn edges(&mut self) {
        let view = self.lane.timeline.view();
        let line = Stroke::new(1.2, self.muted().gamma_multiply(0.6));
        for (client, at) in &self.layout.clients {
            let role = self.lane.header.clients[client.index()].role;
            let doors: Vec<Pos2> = match role {
                ClientRole::Producer => vec![self.layout.door(None, true)],
                ClientRole::Consumer(application) => {
                    let reads = |store: &StoreId| match &view.stores[store.index()].content {
                        ContentView::Partition { groups, shares, .. } if shares.is_empty() => {
                            groups[application.index()].owner == Some(*client)
                        }
                        _ => self.lane.header.stores[store.index()].applications.contains(&application),
                    };
                    let shown = self.layout.stores.iter().map(|(store, _)| *store);
                    let doors: Vec<Pos2> =
                        shown.filter(reads).map(|store| self.layout.door(Some(store), false)).collect();
                    // Who reads what is not shown, or nothing, stands before the closed wall.
                    let hides = self.layout.hidden > 0 || self.lane.header.stores.is_empty();
                    if doors.is_empty() && hides { vec![self.layout.door(None, false)] } else { doors }
                }
            };
            for door in doors {
                let end = *at + (door - *at).normalized() * self.layout.radius;
                match self.up(*client) {
                    true => drop(self.painter.line_segment([door, end], line)),
                    false => self.painter.extend(Shape::dashed_line(&[door, end], line, 4.0, 4.0)),
                }
            }
        }
    }

    fn stores(&mut self) {
        if self.lane.header.stores.is_empty() {
            let centre = self.layout.broker.center();
            let text = "keeps nothing";
            self.painter.text(centre, Align2::CENTER_CENTER, text, style::regular(style::NORMAL), self.muted());
        }
        let view = self.lane.timeline.view();
        for (id, rect) in self.layout.stores.clone() {
            let store = &view.stores[id.index()];
            self.store_title(id, store, rect);
            let room = self.layout.content_of(rect);
            match &store.content {
                ContentView::Queue { fresh, returned, .. } => self.queue(id, (fresh, returned), room),
                ContentView::Partition { start, groups, compacted, .. } => {
                    self.partition((id, store.end), (*start, compacted), groups, room);
                }
            }
        }
        if self.layout.hidden > 0 {
            let at = self.layout.broker.left_bottom() + vec2(8.0, -5.0);
            let text = format!("and {} more", grouped(self.layout.hidden as u64));
            self.painter.text(at, Align2::LEFT_BOTTOM, text, style::regular(style::SMALL), self.muted());
        }
    }

    fn store_title(&mut self, id: StoreId, store: &StoreView, rect: Rect) {
        let title = self.layout.title_of(rect);
        let is_selected = self.selection.node == Some(Node::Store(id)) && self.selection.lane == self.index;
        if is_selected {
            let fill = style::colour(self.palette.span);
            self.painter.rect(title, 3.0, fill, Stroke::new(1.5, self.ink()), StrokeKind::Inside);
        }
        let name = &self.lane.header.stores[id.index()].name;
        let font = style::regular(style::SMALL);
        let text = match &store.content {
            _ if !store.absent => name.clone(),
            ContentView::Queue { .. } => format!("{name} (deleted)"),
            ContentView::Partition { .. } => format!("{name} (not there yet)"),
        };
        let is_slim = title.width() < rect.width();
        let at = if is_slim { title.left_center() } else { title.left_top() + vec2(2.0, 0.0) };
        let align = if is_slim { Align2::LEFT_CENTER } else { Align2::LEFT_TOP };
        let painter = self.painter.with_clip_rect(title);
        painter.text(at, align, text, font.clone(), self.ink());
        if !is_slim {
            let figure = match &store.content {
                ContentView::Queue { unacked, .. } if !unacked.is_empty() => {
                    format!("{} ready, {} out", grouped(store.ready()), grouped(unacked.len()))
                }
                ContentView::Queue { .. } => format!("{} ready", grouped(store.ready())),
                ContentView::Partition { .. } => format!("{} kept", grouped(store.messages)),
            };
            let used = painter.layout_no_wrap(name.clone(), font.clone(), self.ink()).size().x;
            if used + 90.0 < title.width() {
                painter.text(title.right_top() - vec2(2.0, 0.0), Align2::RIGHT_TOP, figure, font, self.muted());
            }
        }
    }

    /// Waiting messages in the order in which they came, the first at the right, where consumers are.
    fn queue(&mut self, id: StoreId, (fresh, returned): (&PlaceSet, &PlaceSet), room: Rect) {
        let columns = (room.width() / GRID).floor().max(1.0) as usize;
        let rows = (room.height() / GRID).floor().max(1.0) as usize;
        let waiting = fresh.len() + returned.len();
        let all = (columns * rows) as u64;
        let fits = if waiting > all { ((rows.max(2) - 1) * columns) as u64 } else { all };
        let mut places = first_places(fresh, fits as usize, false);
        places.extend(first_places(returned, fits as usize, true));
        places.sort_unstable();
        places.truncate(fits as usize);
        let (hue, paper) = (self.hue(), self.paper());
        for (index, (place, is_returned)) in places.into_iter().enumerate() {
            let (row, column) = (index / columns, index % columns);
            let at = pos2(room.right() - (column as f32 + 0.5) * GRID, room.top() + (row as f32 + 0.5) * GRID);
            match is_returned {
                false => self.painter.circle(at, 3.1, hue, Stroke::NONE),
                true => self.painter.circle(at, 3.0, paper, Stroke::new(1.5, hue)),
            };
            self.spot(id, Offset::new(place), Rect::from_center_size(at, Vec2::splat(GRID)));
        }
        if waiting > fits {
            let text = format!("+{} more", grouped(waiting - fits));
            self.painter.text(room.left_bottom(), Align2::LEFT_BOTTOM, text, style::regular(style::SMALL), self.ink());
        }
    }

    /// A row of cells, the oldest at the left: what everybody has read is hollow, and a bar stands for each group at
    /// the place that it reads next.
    fn partition(
        &mut self,
        (id, end): (StoreId, u64),
        (start, compacted): (u64, &PlaceSet),
        groups: &[GroupView],
        room: Rect,
    ) {
        let height = room.height().min(26.0);
        let room = Rect::from_center_size(room.center(), vec2(room.width(), height)).translate(vec2(0.0, 2.0));
        let read = groups.iter().map(|group| group.position.clamp(start, end)).min().unwrap_or(start);
        let cells = (room.width() / CELL).floor().max(1.0) as u64;
        // Where not everything has a cell, the newest have, as long as all that is unread has one of them.
        let first = if end - start > cells && end - read <= cells { end - cells } else { start };
        let count = end.saturating_sub(first);
        let (hue, outline) = (self.hue(), Stroke::new(1.0, self.hue()));
        let each = if count <= cells {
            CELL.max((room.width() / cells.max(1) as f32).min(9.0))
        } else {
            room.width() / count as f32
        };
        let at = |offset: u64| room.left() + (offset.saturating_sub(first)) as f32 * each;
        if count <= cells {
            for offset in first..end {
                let cell = Rect::from_min_max(pos2(at(offset), room.top()), pos2(at(offset + 1) - 1.5, room.bottom()));
                if compacted.contains(offset) {
                    self.painter.hline(cell.x_range(), cell.center().y, Stroke::new(1.0, self.muted()));
                    continue;
                }
                match offset < read {
                    true => self.painter.rect_stroke(cell, CornerRadius::ZERO, outline, StrokeKind::Inside),
                    false => self.painter.rect_filled(cell, CornerRadius::ZERO, hue),
                };
                self.spot(id, Offset::new(offset), cell);
            }
        } else {
            let part = |from: u64, until: u64| Rect::from_x_y_ranges(at(from)..=at(until), room.y_range());
            self.painter.rect_stroke(part(first, read), CornerRadius::ZERO, outline, StrokeKind::Inside);
            self.painter.rect_filled(part(read, end), CornerRadius::ZERO, hue);
        }
        if count == 0 {
            self.painter.hline(room.x_range(), room.bottom(), Stroke::new(1.0, style::colour(self.palette.grid)));
        }
        // Each group has its own part of the height, so that two at one place are seen side by side.
        let part = (room.height() + 6.0) / groups.len().max(1) as f32;
        for (index, group) in groups.iter().enumerate() {
            let x = at(group.position.clamp(first, end));
            let top = room.top() - 3.0 + index as f32 * part;
            self.painter.vline(
                x,
                top..=(top + part - if groups.len() > 1 { 1.5 } else { 0.0 }),
                Stroke::new(2.6, self.ink()),
            );
        }
    }

    /// A message lies here: a click finds it, and a halo shows where it is the one that is followed.
    fn spot(&mut self, store: StoreId, offset: Offset, rect: Rect) {
        if self.followed.contains(&(store, offset)) {
            self.halo(rect.center(), rect.size().max_elem() / 2.0 + 3.0);
        }
        // To find the message means to search the log, so it is done for what is under the pointer only.
        if self.painter.ctx().input(|input| input.pointer.latest_pos()).is_some_and(|at| rect.expand(3.0).contains(at))
            && let Some(message) = self.lane.timeline.message_at(store, offset)
        {
            self.spots.push((rect, message));
        }
    }

    fn halo(&self, at: Pos2, radius: f32) {
        self.painter.circle_stroke(at, radius, Stroke::new(2.4, self.ink()));
    }

    /// A message under way, or just arrived: the fainter the longer ago.
    fn dot(&mut self, dot: &Dot) {
        let Some(client) = self.layout.client(dot.client) else { return };
        let door = self.layout.door(dot.store, dot.inward);
        let end = client + (door - client).normalized() * self.layout.radius;
        let (from, to) = if dot.inward { (end, door) } else { (door, end) };
        let at = from + (to - from) * dot.way;
        let hue = self.hue().gamma_multiply(1.0 - 0.85 * dot.age.clamp(0.0, 1.0));
        let size = 3.6;
        let is_square = matches!(self.lane.header.model, Model::Log | Model::ShareGroup | Model::Stream);
        match (dot.again, is_square) {
            (true, _) => self.painter.circle(at, size, self.paper(), Stroke::new(1.8, hue)),
            (false, true) => {
                self.painter.rect_filled(Rect::from_center_size(at, Vec2::splat(1.8 * size)), CornerRadius::ZERO, hue)
            }
            (false, false) => self.painter.circle_filled(at, size, hue),
        };
        if self.selection.message == Some(dot.message) {
            self.halo(at, size + 4.0);
        }
        self.spots.push((Rect::from_center_size(at, Vec2::splat(2.5 * size)), dot.message));
    }

    fn client(&mut self, id: ClientId, at: Pos2) {
        let client = &self.lane.timeline.view().clients[id.index()];
        let radius = self.layout.radius;
        let is_selected = self.selection.node == Some(Node::Client(id));
        let width = if is_selected { 3.2 } else { 1.6 };
        let fill = if client.working_on.is_some() { self.tint() } else { self.paper() };
        self.painter.circle(at, radius, fill, Stroke::new(width, self.ink()));
        if !client.connected {
            let arm = radius * 0.55;
            let cross = Stroke::new((radius / 6.0).max(1.5), self.ink());
            self.painter.line_segment([at - Vec2::splat(arm), at + Vec2::splat(arm)], cross);
            self.painter.line_segment([at + vec2(-arm, arm), at + vec2(arm, -arm)], cross);
        } else if client.paused {
            for side in [-1.0, 1.0] {
                let bar =
                    Rect::from_center_size(at + vec2(side * radius * 0.28, 0.0), vec2(radius * 0.26, radius * 0.9));
                self.painter.rect_filled(bar, 1.0, self.ink());
            }
        } else if radius >= 9.0 {
            let text = self.short_name(id);
            self.painter.text(
                at,
                Align2::CENTER_CENTER,
                text,
                style::bold((radius * 0.8).clamp(9.0, 14.0)),
                self.ink(),
            );
        }
        let factor = f64::from(client.speed.get()) / 1e6;
        let below = match (client.connected, client.paused, client.held()) {
            (false, ..) => "down".to_string(),
            (true, true, _) => "paused".to_string(),
            _ if factor != 1.0 => format!("{factor}x slow"),
            (.., 0) => String::new(),
            (.., held) => format!("has {}", grouped(held)),
        };
        // Where there are two columns, words would run into the neighbour.
        let is_beside = |other: &Pos2| other.x > at.x + radius && (other.y - at.y).abs() < radius;
        let is_free = !self.layout.clients.iter().any(|(_, other)| is_beside(other))
            && at.x + radius + 40.0 < self.layout.rect.right();
        if radius >= 13.0 && is_free && !below.is_empty() {
            let is_producer = matches!(self.lane.header.clients[id.index()].role, ClientRole::Producer);
            let (at, align) = match is_producer {
                true => (at + vec2(0.0, radius + 1.0), Align2::CENTER_TOP),
                false => (at + vec2(radius + 4.0, 0.0), Align2::LEFT_CENTER),
            };
            self.painter.text(at, align, below, style::regular(style::SMALL), self.muted());
        }
        if let Some(message) = client.working_on {
            if self.selection.message == Some(message) {
                self.halo(at, radius + 4.0);
            }
            self.spots.push((Rect::from_center_size(at, Vec2::splat(radius * 0.7)), message));
        }
    }

    fn tint(&self) -> Color32 {
        style::colour(self.palette.panel.mixed(self.palette.of(self.look()), 22))
    }

    /// `P1`, `2`: the letter of its role and its number.
    fn short_name(&self, id: ClientId) -> String {
        let info = &self.lane.header.clients[id.index()];
        let number = info.name.rsplit('/').next().unwrap_or_default();
        match info.role {
            ClientRole::Producer => format!("P{number}"),
            ClientRole::Consumer(_) => format!("C{number}"),
        }
    }
}

/// The first places of a set, each with the mark.
fn first_places(set: &PlaceSet, count: usize, mark: bool) -> Vec<(u64, bool)> {
    set.runs().flat_map(|(from, until)| from..until).take(count).map(|place| (place, mark)).collect()
}
