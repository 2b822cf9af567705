//! Paints a lane.

use brokerlab_lab::analysis::ContentView;
use brokerlab_lab::event::{ClientId, ClientRole, Event, MessageId, Model, Offset, Record, StoreId};
use brokerlab_lab::reporting::{Look, Palette, grouped};
use eframe::egui::{Align2, Color32, CornerRadius, Painter, Pos2, Rect, Shape, Stroke, StrokeKind, Ui, Vec2, vec2};

use super::layout::Layout;
use super::traffic::{self, Dot};
use super::{Node, Selection};
use crate::bench::Lane;
use crate::player::Player;
use crate::style;

/// For how long, in seconds of the person who looks, an arrival shows.
const TRAIL: f64 = 0.25;

/// What a lane is painted on.
pub(super) struct Canvas<'a> {
    pub(super) painter: Painter,
    pub(super) palette: Palette,
    pub(super) lane: &'a Lane,
    pub(super) layout: &'a Layout,
    pub(super) selection: Selection,
    pub(super) index: usize,
    /// Where the pointer is.
    pub(super) pointer: Option<Pos2>,
    /// Where the message lies that is followed.
    pub(super) followed: Vec<(StoreId, Offset)>,
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
        let pointer = ui.ctx().pointer_latest_pos();
        Canvas { painter, palette, lane, layout, selection: *selection, index, pointer, followed, spots: Vec::new() }
    }

    pub(super) fn ink(&self) -> Color32 {
        style::colour(self.palette.text)
    }

    pub(super) fn muted(&self) -> Color32 {
        style::colour(self.palette.muted)
    }

    pub(super) fn paper(&self) -> Color32 {
        style::colour(self.palette.panel)
    }

    pub(super) fn hue(&self) -> Color32 {
        style::colour(self.palette.of(self.lane.look))
    }

    fn look(&self) -> Look {
        self.lane.look
    }

    pub(super) fn paint(&mut self, player: &Player, motion: bool) {
        let edge = Stroke::new(1.0, style::colour(self.palette.grid));
        self.painter.rect(self.layout.rect, 6.0, self.paper(), edge, StrokeKind::Inside);
        self.edges();
        let is_down = super::is_broker_down(self.lane);
        let wall = if is_down { Stroke::NONE } else { Stroke::new(1.6, self.ink()) };
        self.painter.rect(self.layout.broker, 5.0, self.paper(), wall, StrokeKind::Inside);
        self.wires();
        self.exchanges();
        self.stores();
        if is_down {
            self.broker_down();
        }
        self.applications();
        if motion {
            let trail = (TRAIL * player.factor() * 1e9) as u64;
            let dots = traffic::dots(self.lane, player.time, trail);
            dots.iter().rev().for_each(|dot| self.dot(dot));
        }
        let clients = self.layout.clients.clone();
        clients.iter().for_each(|(client, at)| self.client(*client, *at));
    }

    /// What is on the disk of a broker that is down nobody can have: it fades behind a wall with gaps.
    fn broker_down(&self) {
        let rect = self.layout.broker;
        self.painter.rect_filled(rect, 5.0, self.paper().gamma_multiply(0.72));
        let corners = [rect.left_top(), rect.right_top(), rect.right_bottom(), rect.left_bottom(), rect.left_top()];
        self.painter.extend(Shape::dashed_line(&corners, Stroke::new(1.6, self.ink()), 6.0, 5.0));
        let font = style::bold(style::NORMAL);
        let galley = self.painter.layout_no_wrap("broker down".to_string(), font, self.ink());
        let (arm, gap) = (5.0, 8.0);
        let place = Rect::from_center_size(rect.center(), galley.size() + vec2(2.0 * arm + gap, 0.0));
        self.painter.rect_filled(place.expand2(vec2(8.0, 4.0)), 4.0, self.paper());
        let (at, cross) = (place.left_center() + vec2(arm, 0.0), Stroke::new(2.0, self.ink()));
        self.painter.line_segment([at - Vec2::splat(arm), at + Vec2::splat(arm)], cross);
        self.painter.line_segment([at + vec2(-arm, arm), at + vec2(arm, -arm)], cross);
        self.painter.galley(place.left_top() + vec2(2.0 * arm + gap, 0.0), galley, self.ink());
    }

    /// The name of each application above its consumers; it says when its group redistributes its partitions.
    fn applications(&self) {
        for (id, rect) in &self.layout.applications {
            let state = &self.lane.timeline.view().applications[id.index()];
            let name = &self.lane.header.applications[id.index()].name;
            if self.selection.node == Some(Node::Application(*id)) {
                let fill = style::colour(self.palette.span);
                self.painter.rect(*rect, 3.0, fill, Stroke::new(1.5, self.ink()), StrokeKind::Inside);
            }
            let text = if state.rebalancing { format!("{name}: rebalancing") } else { name.clone() };
            let galley = style::elided(&self.painter, &text, style::bold(style::SMALL), self.ink(), rect.width() - 4.0);
            let place = Align2::RIGHT_CENTER.anchor_size(rect.right_center() - vec2(2.0, 0.0), galley.size());
            if self.selection.node != Some(Node::Application(*id)) {
                // Lines to consumers further down pass behind the name.
                self.painter.rect_filled(place.expand2(vec2(2.0, 0.0)), 2.0, self.paper());
            }
            self.painter.galley(place.min, galley, self.ink());
        }
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
                ClientRole::Producer => vec![self.layout.door(self.lane, None, true)],
                ClientRole::Consumer(application) => {
                    let reads = |store: &StoreId| match &view.stores[store.index()].content {
                        ContentView::Partition { groups, shares, .. } if shares.is_empty() => {
                            groups[application.index()].owner == Some(*client)
                        }
                        _ => self.lane.header.stores[store.index()].applications.contains(&application),
                    };
                    let shown = self.layout.stores.iter().map(|(store, _)| *store);
                    let doors: Vec<Pos2> =
                        shown.filter(reads).map(|store| self.layout.door(self.lane, Some(store), false)).collect();
                    // Who reads what is not shown, or nothing, stands before the closed wall.
                    let hides = self.layout.hidden > 0 || self.lane.header.stores.is_empty();
                    if doors.is_empty() && hides { vec![self.layout.door(self.lane, None, false)] } else { doors }
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

    pub(super) fn halo(&self, at: Pos2, radius: f32) {
        self.painter.circle_stroke(at, radius, Stroke::new(2.4, self.ink()));
    }

    /// A message under way, or just arrived: the fainter the longer ago.
    fn dot(&mut self, dot: &Dot) {
        let Some(client) = self.layout.client(dot.client) else { return };
        let door = self.layout.door(self.lane, dot.store, dot.inward);
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
        // What has arrived fades; where the message is now says what has it.
        if self.selection.message == Some(dot.message) && dot.age == 0.0 {
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
                false => {
                    let is_followed = client.working_on.is_some() && client.working_on == self.selection.message;
                    (at + vec2(radius + if is_followed { 9.0 } else { 4.0 }, 0.0), Align2::LEFT_CENTER)
                }
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

    pub(super) fn tint(&self) -> Color32 {
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
