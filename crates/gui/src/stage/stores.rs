//! Paints what a broker holds: queues as circles, partitions as rows of cells.

use std::collections::VecDeque;

use brokerlab_lab::analysis::{ContentView, GroupView, PlaceSet, ShareView, StoreView};
use brokerlab_lab::event::{Offset, StoreId};
use brokerlab_lab::reporting::grouped;
use eframe::egui::{Align2, CornerRadius, Rect, Shape, Stroke, StrokeKind, Vec2, pos2, vec2};

use super::Node;
use super::paint::Canvas;
use crate::style;

/// How far apart the messages of a queue stand.
const GRID: f32 = 9.0;
/// Room for the number of those that are not drawn.
const MORE: f32 = 14.0;
/// The narrowest cell of a partition that is still one.
const CELL: f32 = 6.0;

/// What is not the same for all offsets of a partition.
struct Special<'a> {
    compacted: &'a PlaceSet,
    markers: &'a VecDeque<u64>,
    shares: &'a [ShareView],
    /// Where the first open transaction begins.
    open: Option<u64>,
}

/// How a cell of a partition is drawn.
enum Cell {
    /// Compaction has taken it out.
    Compacted,
    /// It ends a transaction and holds no message.
    Marker,
    /// Everybody is done with it.
    Done,
    /// Somebody has yet to read it.
    Waiting,
    /// A consumer of a share group has it.
    Locked,
    /// It was given back.
    Again,
}

impl Special<'_> {
    fn state(&self, offset: u64, read: u64) -> Cell {
        if self.compacted.contains(offset) {
            Cell::Compacted
        } else if self.markers.binary_search(&offset).is_ok() {
            Cell::Marker
        } else if offset < read {
            Cell::Done
        } else if self.shares.is_empty() {
            Cell::Waiting
        } else if self.shares.iter().all(|share| share.archived.contains(offset)) {
            Cell::Done
        } else if self.shares.iter().any(|share| share.acquired.contains(offset)) {
            Cell::Locked
        } else if self.shares.iter().any(|share| share.released.contains(offset)) {
            Cell::Again
        } else {
            Cell::Waiting
        }
    }
}

/// Why there is nothing to be seen of a queue or a partition, in a word.
pub(super) fn absence(store: &StoreView) -> Option<&'static str> {
    store.absent.then_some(match store.content {
        ContentView::Queue { .. } => "deleted",
        ContentView::Partition { .. } => "not there yet",
    })
}

impl Canvas<'_> {
    pub(super) fn stores(&mut self) {
        if self.lane.header.stores.is_empty() {
            let at = self.layout.broker.center_bottom() - vec2(0.0, 8.0);
            let text = "keeps nothing";
            self.painter.text(at, Align2::CENTER_BOTTOM, text, style::regular(style::NORMAL), self.muted());
        }
        let view = self.lane.timeline.view();
        for (id, rect) in self.layout.stores.clone() {
            let store = &view.stores[id.index()];
            if matches!(store.content, ContentView::Queue { .. }) {
                // An empty queue is seen, too.
                let edge = Stroke::new(1.0, self.muted().gamma_multiply(0.6));
                self.painter.rect_stroke(rect.expand2(vec2(3.0, 1.0)), 3.0, edge, StrokeKind::Inside);
            }
            self.store_title(id, store, rect);
            let room = self.layout.content_of(rect);
            if let Some(word) = absence(store) {
                let font = style::regular(style::SMALL);
                self.painter.text(room.center(), Align2::CENTER_CENTER, word, font, self.muted());
                continue;
            }
            match &store.content {
                ContentView::Queue { fresh, returned, .. } => self.queue(id, (fresh, returned), room),
                ContentView::Partition { start, groups, compacted, shares, open, markers, .. } => {
                    let special = Special { compacted, markers, shares, open: open.first().copied() };
                    self.partition((id, store.end), *start, &special, groups, room);
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
        let is_slim = title.width() < rect.width();
        let at = if is_slim { title.left_center() } else { title.left_top() + vec2(2.0, 0.0) };
        let align = if is_slim { Align2::LEFT_CENTER } else { Align2::LEFT_TOP };
        let figure = match &store.content {
            ContentView::Queue { unacked, .. } if !unacked.is_empty() => {
                format!("{} ready, {} out", grouped(store.ready()), grouped(unacked.len()))
            }
            ContentView::Queue { .. } => format!("{} ready", grouped(store.ready())),
            ContentView::Partition { .. } => format!("{} kept", grouped(store.messages)),
        };
        // Where the name and the figure do not fit, the figure is left to the panel.
        let figure = self.painter.layout_no_wrap(figure, font.clone(), self.muted());
        let shows_figure = !is_slim && title.width() > figure.size().x + 44.0;
        let room = title.width() - 4.0 - if shows_figure { figure.size().x + 8.0 } else { 0.0 };
        let ink = if store.absent { self.muted() } else { self.ink() };
        let galley = match &store.content {
            // Partitions differ in how their names end.
            ContentView::Partition { .. } => style::end_of(&self.painter, name, font, ink, room),
            ContentView::Queue { .. } => style::elided(&self.painter, name, font, ink, room),
        };
        self.painter.galley(align.anchor_size(at, galley.size()).min, galley, ink);
        if shows_figure {
            let at = title.right_top() - vec2(2.0 + figure.size().x, 0.0);
            self.painter.galley(at, figure, self.muted());
        }
    }

    /// Waiting messages in the order in which they came, the first at the right, where consumers are.
    fn queue(&mut self, id: StoreId, (fresh, returned): (&PlaceSet, &PlaceSet), room: Rect) {
        let columns = (room.width() / GRID).floor().max(1.0) as usize;
        let rows = (room.height() / GRID).floor().max(1.0) as usize;
        let waiting = fresh.len() + returned.len();
        let all = (columns * rows) as u64;
        // How many more there are stands below those that are drawn.
        let above = ((room.height() - MORE) / GRID).floor().max(1.0) as usize;
        let fits = if waiting > all { (above * columns) as u64 } else { all };
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
        start: u64,
        special: &Special<'_>,
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
                match special.state(offset, read) {
                    Cell::Compacted => {
                        self.painter.hline(cell.x_range(), cell.center().y, Stroke::new(1.0, self.muted()));
                        continue;
                    }
                    Cell::Marker => {
                        self.painter.vline(cell.center().x, cell.y_range(), Stroke::new(1.0, self.muted()));
                        continue;
                    }
                    Cell::Done => self.painter.rect_stroke(cell, CornerRadius::ZERO, outline, StrokeKind::Inside),
                    Cell::Waiting => self.painter.rect_filled(cell, CornerRadius::ZERO, hue),
                    Cell::Locked => {
                        self.painter.rect(cell, CornerRadius::ZERO, self.tint(), outline, StrokeKind::Inside)
                    }
                    Cell::Again => {
                        self.painter.rect(cell, CornerRadius::ZERO, self.paper(), outline, StrokeKind::Inside);
                        self.painter.circle_filled(cell.center(), cell.width() * 0.35, hue)
                    }
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
        if let Some(open) = special.open.filter(|open| *open >= first) {
            // Readers of committed data come no further than this.
            let ends = [pos2(at(open), room.top() - 4.0), pos2(at(open), room.bottom() + 4.0)];
            self.painter.extend(Shape::dashed_line(&ends, Stroke::new(1.6, self.ink()), 3.0, 2.0));
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
        if self.pointer.is_some_and(|at| rect.expand(3.0).contains(at))
            && let Some(message) = self.lane.timeline.message_at(store, offset)
        {
            self.spots.push((rect, message));
        }
    }
}

/// The first places of a set, each with the mark.
fn first_places(set: &PlaceSet, count: usize, mark: bool) -> Vec<(u64, bool)> {
    set.runs().flat_map(|(from, until)| from..until).take(count).map(|place| (place, mark)).collect()
}
