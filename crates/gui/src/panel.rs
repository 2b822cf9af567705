//! The panel at the side: values to change, what is selected, what was expected.

use brokerlab_lab::event::{Event, MessageId, Record};
use eframe::egui::{self, Button, Grid, RichText, ScrollArea, TextEdit, Ui};

use crate::app::App;
use crate::bench::Lane;
use crate::document::Edit;
use crate::stage::{Node, facts, name};
use crate::style;

/// What the panel shows.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Tab {
    /// The question and what was expected.
    #[default]
    Story,
    /// Values to change.
    Controls,
    /// What is selected.
    Inspector,
}

impl App {
    /// Shows the panel.
    pub(crate) fn panel(&mut self, ui: &mut Ui) {
        ui.horizontal(|ui| {
            for (tab, name) in [(Tab::Story, "Story"), (Tab::Controls, "What if"), (Tab::Inspector, "Inspector")] {
                if ui.add(Button::selectable(self.tab == tab, name).frame_when_inactive(true)).clicked() {
                    self.tab = tab;
                }
            }
        });
        ui.separator();
        ScrollArea::vertical().auto_shrink(false).id_salt(self.tab as u8).show(ui, |ui| match self.tab {
            Tab::Story => self.story(ui),
            Tab::Controls => self.controls(ui),
            Tab::Inspector => self.inspector(ui),
        });
    }

    fn story(&mut self, ui: &mut Ui) {
        let Some(finished) = &self.finished else { return };
        let meta = &finished.outcome.report.meta;
        ui.label(style::title(&meta.title));
        if !meta.question.is_empty() {
            ui.label(style::strong(&meta.question));
        }
        if !meta.expectations.is_empty() {
            ui.add_space(4.0);
            ui.label(style::strong("Expected"));
            for expectation in &meta.expectations {
                let word = if expectation.holds { "holds" } else { "fails" };
                ui.horizontal_wrapped(|ui| {
                    ui.label(RichText::new(word).font(style::bold(style::SMALL + 1.0)));
                    ui.label(
                        RichText::new(format!("{} ({})", expectation.text, expectation.found)).size(style::SMALL + 1.0),
                    );
                });
            }
        }
        egui::CollapsingHeader::new("The answer").show(ui, |ui| {
            ui.label(if meta.explanation.is_empty() { "The scenario gives none." } else { &meta.explanation });
        });
    }

    fn controls(&mut self, ui: &mut Ui) {
        ui.label("Change a value and press Enter: everything is run again, and the run before stays as a faint line.");
        ui.horizontal(|ui| {
            let (undo, redo) = self.document.as_ref().map_or((false, false), |d| (d.can_undo(), d.can_redo()));
            if ui.add_enabled(undo, Button::new("Undo")).on_hover_text("Ctrl+Z").clicked() {
                self.command(ui.ctx(), crate::keys::Command::Undo);
            }
            if ui.add_enabled(redo, Button::new("Redo")).on_hover_text("Ctrl+Y").clicked() {
                self.command(ui.ctx(), crate::keys::Command::Redo);
            }
        });
        let find = TextEdit::singleline(&mut self.filter)
            .hint_text("find a value, such as prefetch")
            .desired_width(f32::INFINITY);
        ui.add(find).widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, "Find a value"));
        let needle = self.filter.to_lowercase();
        let mut changed = None;
        let mut part = String::new();
        for (value, text) in self.values.iter_mut() {
            if !value.path.to_lowercase().contains(&needle) {
                continue;
            }
            let (head, name) = value.path.rsplit_once('.').unwrap_or(("run", &value.path));
            if head != part {
                part = head.to_string();
                ui.add_space(4.0);
                ui.label(style::strong(head));
            }
            ui.horizontal(|ui| {
                let width = ui.available_width() * 0.5;
                ui.add_sized([width, 20.0], egui::Label::new(name).truncate()).on_hover_text(value.doc);
                let response =
                    ui.add_enabled(self.job.is_none(), TextEdit::singleline(text).desired_width(f32::INFINITY));
                let label = value.path.clone();
                response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::TextInput, true, &label));
                let is_done = response.lost_focus() && ui.input(|input| input.key_pressed(egui::Key::Enter));
                if is_done && *text != value.value {
                    changed = Some((value.path.clone(), text.clone()));
                }
            });
        }
        if let Some((path, value)) = changed {
            self.edit(ui.ctx(), Edit::Set { path, value }, None);
        }
    }

    fn inspector(&mut self, ui: &mut Ui) {
        let Some(finished) = &self.finished else { return };
        if self.selection.node.is_none() && self.selection.message.is_none() {
            ui.label("Click on a client, an application, an exchange or the name of a store to see its state, and on a message to follow it.");
        }
        for (index, lane) in finished.lanes.iter().enumerate() {
            let Some(node) = self.selection.node else { break };
            if node.is_everywhere() || self.selection.lane == index {
                let palette = style::palette(ui.ctx());
                ui.horizontal(|ui| {
                    let (rect, _) = ui.allocate_exact_size(egui::Vec2::splat(13.0), egui::Sense::empty());
                    style::mark(ui.painter(), &palette, lane.look, rect.center(), 5.0);
                    ui.label(style::strong(format!("{} in {}", name(lane, node), lane.header.contender)));
                });
                if let Some(message) = state(ui, lane, node) {
                    self.selection.message = Some(message);
                }
                ui.add_space(6.0);
            }
        }
        let Some(message) = self.selection.message else { return };
        ui.separator();
        ui.label(style::strong(format!("Message {message}")));
        for (index, lane) in finished.lanes.iter().enumerate() {
            let key = (message, index);
            let life = self.lives.entry(key).or_insert_with(|| lane.life(message));
            ui.label(style::strong(&lane.header.contender));
            Grid::new(("life", index)).num_columns(2).spacing([10.0, 2.0]).show(ui, |ui| {
                for record in life.iter() {
                    let passed = record.time <= self.player.time;
                    let text = RichText::new(format!("{:.4} s", record.time.as_nanos() as f64 / 1e9)).monospace();
                    let what = RichText::new(told(lane, record)).size(style::SMALL + 1.0);
                    ui.label(if passed { text } else { text.weak() });
                    ui.label(if passed { what } else { what.weak() });
                    ui.end_row();
                }
            });
        }
    }
}

/// What is known of a node, line by line. Returns the message that was clicked on, where one was.
fn state(ui: &mut Ui, lane: &Lane, node: Node) -> Option<MessageId> {
    let mut followed = None;
    Grid::new(("state", &lane.header.contender)).num_columns(2).striped(true).spacing([10.0, 3.0]).show(ui, |ui| {
        for fact in facts(lane, node) {
            ui.label(RichText::new(fact.word).size(style::SMALL + 1.0).weak());
            let value = RichText::new(fact.value).size(style::SMALL + 1.0);
            match fact.message {
                Some(message) => {
                    if ui.link(value).on_hover_text("follow it").clicked() {
                        followed = Some(message);
                    }
                }
                None => {
                    ui.add(egui::Label::new(value).wrap());
                }
            }
            ui.end_row();
        }
    });
    followed
}

/// An event of a message in words.
fn told(lane: &Lane, record: &Record) -> String {
    let client = |id: brokerlab_lab::event::ClientId| lane.header.clients[id.index()].name.clone();
    let store = |id: brokerlab_lab::event::StoreId| {
        lane.header.stores.get(id.index()).map_or("nowhere".to_string(), |info| info.name.clone())
    };
    match record.event() {
        Event::Offered { .. } => "is to be sent".into(),
        Event::Sent { producer, attempt, .. } if attempt.get() > 1 => {
            format!("{} sends it again", client(producer))
        }
        Event::Sent { producer, .. } => format!("{} sends it", client(producer)),
        Event::Stored { store: id, offset, .. } => format!("stored in {} at {offset}", store(id)),
        Event::Confirmed { .. } => "confirmed to the producer".into(),
        Event::Delivered { consumer, redelivered: true, .. } => format!("delivered again, to {}", client(consumer)),
        Event::Delivered { consumer, .. } => format!("delivered to {}", client(consumer)),
        Event::Started { consumer, .. } => format!("{} begins the work", client(consumer)),
        Event::Processed { consumer, .. } => format!("{} has done the work", client(consumer)),
        Event::Failed { consumer, .. } => format!("{} fails at it", client(consumer)),
        Event::Requeued { store: id, .. } => format!("ready again in {}", store(id)),
        Event::Removed { store: id, .. } => format!("gone from {}", store(id)),
        Event::DeadLettered { .. } => "becomes a dead letter".into(),
        Event::Refused { .. } => "refused".into(),
        Event::Returned { .. } => "returned to the producer".into(),
        Event::Replied { .. } => "its answer reaches the sender".into(),
        other => words(&format!("{other:?}")),
    }
}

/// `SetAside { .. }` as `set aside`.
fn words(debug: &str) -> String {
    let name: String = debug.chars().take_while(|letter| letter.is_alphanumeric()).collect();
    let mut text = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() && !text.is_empty() {
            text.push(' ');
        }
        text.extend(letter.to_lowercase());
    }
    text
}
