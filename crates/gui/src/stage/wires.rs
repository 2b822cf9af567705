//! Paints exchanges, and the ways on which messages go on within the broker.

use brokerlab_lab::scenario::{Wire, WireEnd, WireKind};
use eframe::egui::epaint::CubicBezierShape;
use eframe::egui::{Align2, Color32, Pos2, Rect, Shape, Stroke, StrokeKind, pos2, vec2};

use super::Node;
use super::paint::Canvas;
use crate::style;

/// How long the head of an arrow is.
const HEAD: f32 = 6.0;

impl Canvas<'_> {
    /// Bindings as lines with their keys, dead letters as dashed ones with the mark of dead letters.
    pub(super) fn wires(&self) {
        let solid = Stroke::new(1.2, self.muted().gamma_multiply(0.8));
        for wire in &self.lane.wiring.wires {
            let (Some(from), Some(to)) = (self.room_of(wire.from), self.room_of(wire.to)) else { continue };
            let emphasis = self.is_selected_end(wire);
            let stroke = if emphasis { Stroke::new(2.0, self.ink()) } else { solid };
            match (wire.from, wire.to, wire.kind) {
                (WireEnd::Store(_), WireEnd::Store(_), _) => self.bend(from, to, stroke),
                (WireEnd::Store(_), WireEnd::Exchange(_), _) => {
                    let start = pos2(from.left(), from.bottom() - from.height() * 0.25);
                    let end = to.right_center() + vec2(0.0, if start.y < to.center().y { -6.0 } else { 6.0 });
                    self.dashed(&[start, end], stroke);
                }
                (_, WireEnd::Exchange(_), kind) => {
                    let (start, end) = match from.center().y < to.center().y {
                        true => (from.center_bottom(), to.center_top()),
                        false => (from.center_top(), to.center_bottom()),
                    };
                    match kind {
                        WireKind::Alternate => self.dashed(&[start, end], stroke),
                        _ => self.arrow(start, end, stroke),
                    }
                }
                _ => {
                    self.arrow(from.right_center(), to.left_center(), stroke);
                    self.key(&wire.key, from.right_center(), to.left_center());
                }
            }
        }
    }

    fn is_selected_end(&self, wire: &Wire) -> bool {
        let node = |end: WireEnd| match end {
            WireEnd::Exchange(index) => Node::Exchange(index),
            WireEnd::Store(store) => Node::Store(store),
        };
        self.selection.lane == self.index
            && self.selection.node.is_some_and(|own| own == node(wire.from) || own == node(wire.to))
    }

    fn room_of(&self, end: WireEnd) -> Option<Rect> {
        match end {
            WireEnd::Exchange(index) => self.layout.exchanges.iter().find(|(own, _)| *own == index).map(|(_, r)| *r),
            WireEnd::Store(store) => self.layout.stores.iter().find(|(own, _)| *own == store).map(|(_, rect)| *rect),
        }
    }

    fn arrow(&self, from: Pos2, to: Pos2, stroke: Stroke) {
        self.painter.line_segment([from, to], stroke);
        self.arrow_head(from, to, stroke.color);
    }

    fn arrow_head(&self, from: Pos2, to: Pos2, colour: Color32) {
        let along = (to - from).normalized() * HEAD;
        let across = along.rot90() * 0.45;
        let points = vec![to, to - along + across, to - along - across];
        self.painter.add(Shape::convex_polygon(points, colour, Stroke::NONE));
    }

    /// A way of dead letters: dashed, with a hollow diamond in the middle.
    fn dashed(&self, points: &[Pos2], stroke: Stroke) {
        self.painter.extend(Shape::dashed_line(points, stroke, 4.0, 3.0));
        if let [.., before, last] = points {
            self.arrow_head(*before, *last, stroke.color);
        }
        let middle = match points.len() {
            2 => points[0] + (points[1] - points[0]) * 0.5,
            count => points[count / 2],
        };
        let corner = |x: f32, y: f32| middle + vec2(x, y) * 4.5;
        let diamond = vec![corner(0.0, -1.0), corner(1.0, 0.0), corner(0.0, 1.0), corner(-1.0, 0.0)];
        self.painter.add(Shape::convex_polygon(diamond, self.paper(), Stroke::new(1.5, self.hue())));
    }

    /// From a queue to another, in a bend through the room at the left of both.
    fn bend(&self, from: Rect, to: Rect, stroke: Stroke) {
        let part = |rect: Rect, share: f32| pos2(rect.left(), rect.top() + rect.height() * share);
        // Those that go down keep out of the way of those that go up.
        let (start, end) = match from.top() < to.top() {
            true => (part(from, 0.8), part(to, 0.35)),
            false => (part(from, 0.65), part(to, 0.2)),
        };
        let out = vec2(if from.top() < to.top() { -18.0 } else { -28.0 }, 0.0);
        let curve = CubicBezierShape::from_points_stroke(
            [start, start + out, end + out, end],
            false,
            Color32::TRANSPARENT,
            Stroke::NONE,
        );
        self.dashed(&curve.flatten(Some(0.3)), stroke);
    }

    /// The key of a binding, on its line, where there is room for it.
    fn key(&self, key: &str, from: Pos2, to: Pos2) {
        let width = to.x - from.x - HEAD - 6.0;
        if key.is_empty() || width < 20.0 {
            return;
        }
        let galley = style::elided(&self.painter, key, style::regular(style::SMALL), self.ink(), width);
        let room = Rect::from_center_size(from + (to - from) * 0.5 - vec2(HEAD / 2.0, 0.0), galley.size());
        self.painter.rect_filled(room.expand2(vec2(2.0, 0.0)), 0.0, self.paper());
        self.painter.galley(room.min, galley, self.ink());
    }

    /// Exchanges: a name, and how it chooses.
    pub(super) fn exchanges(&self) {
        for (index, rect) in &self.layout.exchanges {
            let info = &self.lane.wiring.exchanges[*index];
            let is_selected = self.selection.node == Some(Node::Exchange(*index)) && self.selection.lane == self.index;
            let width = if is_selected { 3.0 } else { 1.4 };
            let fill = style::colour(self.palette.span);
            self.painter.rect(*rect, rect.height() / 2.0, fill, Stroke::new(width, self.ink()), StrokeKind::Inside);
            let room = rect.width() - 14.0;
            let (small, muted) = (style::regular(style::SMALL), self.muted());
            let name = style::elided(&self.painter, &info.name, style::bold(style::SMALL), self.ink(), room);
            let kind = style::elided(&self.painter, info.kind, small, muted, room);
            if rect.height() >= 30.0 {
                let top = rect.center() - vec2(name.size().x / 2.0, name.size().y - 1.0);
                self.painter.galley(top, name, self.ink());
                self.painter.galley(rect.center() - vec2(kind.size().x / 2.0, 1.0), kind, muted);
            } else {
                self.painter.galley(
                    Align2::CENTER_CENTER.anchor_size(rect.center(), name.size()).min,
                    name,
                    self.ink(),
                );
            }
        }
    }
}
