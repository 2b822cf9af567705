//! The lanes: who sends, what the broker holds, who receives.
//!
//! Everything that is drawn follows from the state at the moment. A dot on an edge is a message under way: it left when
//! the log says so and arrives when the log says so.

mod inspect;
mod layout;
mod paint;
mod stores;
mod traffic;
mod wires;

use brokerlab_lab::analysis::ContentView;
use brokerlab_lab::event::{ApplicationId, ClientId, ClientRole, MessageId, Model, Record, StoreId};
use brokerlab_lab::reporting::grouped;
use eframe::egui::{self, Rect, Role, Sense, Ui, Vec2, WidgetInfo};

use crate::bench::Lane;
use crate::player::Player;
use crate::style;
pub use inspect::{describe, facts, name};
use layout::Layout;

/// The room beside the words and the number of a figure.
const GAPS: f32 = 20.0;

/// Somebody or something in a lane that can be looked at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Node {
    /// A producer or a consumer.
    Client(ClientId),
    /// A queue or a partition.
    Store(StoreId),
    /// An exchange, by its place in the wiring of its lane.
    Exchange(usize),
    /// An application, and the group of its consumers.
    Application(ApplicationId),
}

impl Node {
    /// Whether it means the same in every lane: contenders differ in stores and exchanges only.
    pub fn is_everywhere(self) -> bool {
        matches!(self, Node::Client(_) | Node::Application(_))
    }
}

/// What is selected: the same in every lane.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Selection {
    /// Who pokes reach, and whose state the inspector tells. Stores belong to a lane.
    pub node: Option<Node>,
    /// The lane that it was selected in.
    pub lane: usize,
    /// The message that is followed in every lane.
    pub message: Option<MessageId>,
}

/// What the figures above a lane count.
pub struct Counters {
    /// Stored and not delivered yet to everybody who is to have it.
    pub waiting: u64,
    /// Delivered, and neither processed nor given back.
    pub in_hand: u64,
    /// Deliveries.
    pub delivered: u64,
    /// Of these, marked as made before.
    pub redelivered: u64,
    /// Processed again.
    pub repeated: u64,
    /// Refused, dropped or given up.
    pub lost: u64,
}

/// The figures of a lane at the moment.
pub fn counters(lane: &Lane) -> Counters {
    let view = lane.timeline.view();
    let waiting = view.stores.iter().map(|store| match &store.content {
        ContentView::Queue { .. } => store.ready(),
        ContentView::Partition { groups, .. } => (0..groups.len())
            .map(|group| store.end.saturating_sub(store.next_undelivered(ApplicationId::new(group as u16))))
            .sum(),
    });
    Counters {
        waiting: waiting.sum(),
        in_hand: view.clients.iter().map(|client| client.held()).sum(),
        delivered: view.applications.iter().map(|application| application.delivered).sum(),
        redelivered: view.applications.iter().map(|application| application.redelivered).sum(),
        repeated: lane.repeated() as u64,
        lost: lane.lost(),
    }
}

/// What is special about a shape, in a few words.
pub fn rule(model: Model) -> &'static str {
    match model {
        Model::Queue => "push, ack, delete",
        Model::Fanout => "a copy for each queue; push, ack, delete",
        Model::Broadcast => "push to whoever is there, keep nothing",
        Model::Log => "pull, offsets, keep",
        Model::ShareGroup => "pull, lock, acknowledge, keep",
        Model::Stream => "push by credit, offsets, keep",
    }
}

/// How many consumers are up, of how many.
pub fn consumers_up(lane: &Lane) -> (usize, usize) {
    let is_consumer = |role: ClientRole| matches!(role, ClientRole::Consumer(_));
    let clients = lane.header.clients.iter().zip(&lane.timeline.view().clients);
    let consumers: Vec<bool> =
        clients.filter(|(info, _)| is_consumer(info.role)).map(|(_, client)| client.connected).collect();
    (consumers.iter().filter(|up| **up).count(), consumers.len())
}

/// Whether the broker of a lane is down.
pub fn is_broker_down(lane: &Lane) -> bool {
    !lane.timeline.view().nodes_down.is_empty()
}

/// The lane in words, for those who hear it.
pub fn summary(lane: &Lane, player: &Player) -> String {
    let Counters { waiting, in_hand, delivered, redelivered, repeated, lost } = counters(lane);
    let (up, of) = consumers_up(lane);
    format!(
        "{} lane at t = {}: {waiting} waiting, {in_hand} in hand, {delivered} delivered, {redelivered} redelivered, \
         {repeated} repeated, {lost} lost, {up} of {of} consumers up{}",
        lane.header.contender,
        seconds(player),
        if is_broker_down(lane) { ", broker down" } else { "" },
    )
}

/// The time with two places after the point: `24.00 s`.
pub fn seconds(player: &Player) -> String {
    format!("{:.2} s", player.time.as_nanos() as f64 / 1e9)
}

/// Shows a lane in the space that is there, and takes clicks on what is in it.
///
/// `title` shows its name; `life` is what befalls the message that is followed.
pub fn show(
    ui: &mut Ui,
    title: impl FnOnce(&mut Ui),
    (index, lane, life): (usize, &Lane, &[Record]),
    player: &Player,
    motion: bool,
    selection: &mut Selection,
) {
    heading(ui, lane, title);
    let size = Vec2::new(ui.available_width(), ui.available_height().max(90.0));
    let (rect, response) = ui.allocate_exact_size(size, Sense::click());
    let name = summary(lane, player);
    response.widget_info(|| WidgetInfo::labeled(Role::Image, true, &name));
    if !ui.is_rect_visible(rect) {
        return;
    }
    let layout = Layout::new(lane, rect);
    let mut scene = paint::Canvas::new(ui, (index, lane, life), &layout, selection);
    scene.paint(player, motion);
    let spots = scene.spots;
    if let Some(at) = response.clicked().then(|| response.interact_pointer_pos()).flatten() {
        let near = |rect: &Rect| rect.expand(3.0).contains(at);
        selection.message = spots.iter().rev().find(|(rect, _)| near(rect)).map(|(_, message)| *message);
    }
    nodes(ui, lane, &layout, index, selection);
}

fn heading(ui: &mut Ui, lane: &Lane, title: impl FnOnce(&mut Ui)) {
    let palette = style::palette(ui.ctx());
    ui.horizontal(|ui| {
        let (rect, _) = ui.allocate_exact_size(Vec2::new(14.0, 25.0), Sense::empty());
        style::mark(ui.painter(), &palette, lane.look, rect.center(), 6.0);
        title(ui);
        ui.add(egui::Label::new(rule(lane.header.model)).truncate());
    });
    figures(ui, &counters(lane));
}

/// The figures in one line. Where it is too narrow, those go first that say least.
fn figures(ui: &mut Ui, counters: &Counters) {
    let Counters { waiting, in_hand, delivered, redelivered, repeated, lost } = *counters;
    let mut figures = vec![
        ("waiting", waiting),
        ("in hand", in_hand),
        ("delivered", delivered),
        ("redelivered", redelivered),
        ("repeated", repeated),
        ("lost", lost),
    ];
    let width = |(name, figure): &(&str, u64)| {
        let wide = |text: String, font| ui.painter().layout_no_wrap(text, font, egui::Color32::BLACK).size().x;
        wide(name.to_string(), style::regular(style::SMALL + 1.0))
            + wide(grouped(*figure), style::bold(style::NORMAL))
            + GAPS
    };
    let room = ui.available_width();
    for name in ["in hand", "repeated", "redelivered", "lost"] {
        if figures.iter().map(width).sum::<f32>() > room {
            figures.retain(|(own, figure)| *own != name || (*figure > 0 && name != "in hand"));
        }
    }
    ui.horizontal(|ui| {
        ui.spacing_mut().item_spacing.x = 5.0;
        for (name, figure) in figures {
            ui.label(egui::RichText::new(name).size(style::SMALL + 1.0).weak());
            ui.add(egui::Label::new(style::strong(grouped(figure))).truncate());
            ui.add_space(GAPS - 15.0);
        }
    });
}

/// Every node is a button for those who use keys or listen; the picture is painted already.
fn nodes(ui: &mut Ui, lane: &Lane, layout: &Layout, index: usize, selection: &mut Selection) {
    let palette = style::palette(ui.ctx());
    let clients = layout
        .clients
        .iter()
        .map(|(client, at)| (Node::Client(*client), Rect::from_center_size(*at, Vec2::splat(2.0 * layout.radius))));
    let stores = layout.stores.iter().map(|(store, rect)| (Node::Store(*store), layout.title_of(*rect)));
    let exchanges = layout.exchanges.iter().map(|(index, rect)| (Node::Exchange(*index), *rect));
    let applications = layout.applications.iter().map(|(id, rect)| (Node::Application(*id), *rect));
    for (node, rect) in clients.chain(applications).chain(exchanges).chain(stores) {
        let response = ui.interact(rect, ui.scope_id().with((index, id(node))), Sense::click());
        let name = describe(lane, node);
        response.widget_info(|| WidgetInfo::labeled(Role::Button, true, &name));
        if response.clicked() {
            let node = Some(node).filter(|node| selection.node != Some(*node));
            (selection.node, selection.lane) = (node, index);
        }
        if response.has_focus() {
            let stroke = egui::Stroke::new(2.0, style::colour(palette.text));
            ui.painter().rect_stroke(rect.expand(3.0), 4.0, stroke, egui::StrokeKind::Outside);
        }
        response.on_hover_text(name);
    }
}

fn id(node: Node) -> (u8, u64) {
    match node {
        Node::Client(client) => (0, client.index() as u64),
        Node::Store(store) => (1, store.index() as u64),
        Node::Exchange(exchange) => (2, exchange as u64),
        Node::Application(application) => (3, application.index() as u64),
    }
}
