//! The bar at the top: how time moves, who is poked, and everything that opens something.

use brokerlab_lab::event::{ClientRole, Time};
use eframe::egui::{self, Align, Button, ComboBox, Layout, Ui};

use crate::app::{App, Window};
use crate::document::{BROKER, Edit, Poke, PokeAction};
use crate::keys::Command;
use crate::player::{SPEEDS, speed_text};
use crate::stage::{Node, seconds};
use crate::style;

impl App {
    /// Shows the bar.
    pub(crate) fn transport(&mut self, ui: &mut Ui) {
        let is_narrow = ui.available_width() < 1150.0;
        ui.horizontal(|ui| {
            let is_ready = self.finished.is_some();
            ui.add_enabled_ui(is_ready, |ui| {
                self.button(ui, "Start", "to the start (Home)", Command::Start);
                self.button(ui, "Back", "one event back (Ctrl+Left)", Command::StepBack);
                let label = if self.player.playing { "Pause" } else { "Play" };
                let button = Button::new(egui::RichText::new(label).font(style::bold(style::NORMAL)))
                    .min_size(egui::vec2(58.0, 0.0));
                if ui.add(button).on_hover_text("Space").clicked() {
                    self.command(ui.ctx(), Command::Toggle);
                }
                self.button(ui, "Step", "one event forth (Ctrl+Right)", Command::Step);
                self.button(ui, "Jump", "to the next fault or anomaly (-)", Command::NextNotable);
            });
            self.speeds(ui);
            ui.label(egui::RichText::new(format!("t = {}", seconds(&self.player))).monospace().size(style::NORMAL));
            if !is_narrow {
                ui.separator();
                self.pokes(ui);
            }
            ui.with_layout(Layout::right_to_left(Align::Center), |ui| {
                self.button(ui, "Help", "every key (?)", Command::Help);
                self.button(ui, "Theme", "light or dark (T)", Command::Theme);
                self.button(ui, "Export", "plots, tables, pictures (Ctrl+E)", Command::Export);
                self.button(ui, "Open", "another scenario (Ctrl+O)", Command::Open);
            });
        });
        if is_narrow {
            ui.horizontal(|ui| self.pokes(ui));
        }
    }

    fn button(&mut self, ui: &mut Ui, label: &str, hint: &str, command: Command) {
        if ui.button(label).on_hover_text(hint).clicked() {
            self.command(ui.ctx(), command);
        }
    }

    fn speeds(&mut self, ui: &mut Ui) {
        let combo = ComboBox::from_id_salt("speed").selected_text(self.player.speed_text()).width(58.0);
        let response = combo.show_ui(ui, |ui| {
            for speed in SPEEDS {
                if ui.selectable_label(self.player.speed() == speed, speed_text(speed)).clicked() {
                    self.player.set_speed(speed);
                }
            }
        });
        let label = format!("Speed {}", self.player.speed_text());
        response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, &label));
    }

    fn pokes(&mut self, ui: &mut Ui) {
        let Some(target) = self.target() else { return };
        let is_producer = target.starts_with("producer/");
        let at = self.player.time;
        let hint = format!("{target}: click on a client in a lane to choose another");
        ui.label(style::strong(style::shortened(&target, 16))).on_hover_text(hint);
        for action in PokeAction::ALL {
            let usable = self.job.is_none() && (action.is_for_producers() || !is_producer);
            let verb = if self.poke_on(action, &target, at).is_some() { action.undoing() } else { action.verb() };
            let button = ui.add_enabled(usable, Button::new(verb));
            let label = format!("{verb} {target}");
            button.widget_info(|| egui::WidgetInfo::labeled(egui::Role::Button, usable, &label));
            let hint = format!("{label} now, at t = {}: the runs are made anew from here", seconds(&self.player));
            if button.on_hover_text(hint).clicked() {
                self.poke(ui.ctx(), action);
            }
        }
        let is_down = self.poke_on(PokeAction::Kill, BROKER, at).is_some();
        let verb = if is_down { "Start broker" } else { "Kill broker" };
        let button = ui.add_enabled(self.job.is_none(), Button::new(verb));
        if button.on_hover_text(format!("{verb} now, at t = {}: key X", seconds(&self.player))).clicked() {
            self.poke_at(ui.ctx(), PokeAction::Kill, BROKER.to_string());
        }
        let names: Vec<String> = self.lane_names();
        if names.len() > 1 {
            let chosen = self.reach.clone().unwrap_or("in each".to_string());
            let combo = ComboBox::from_id_salt("reach").selected_text(chosen.clone()).width(80.0);
            let response = combo.show_ui(ui, |ui| {
                ui.selectable_value(&mut self.reach, None, "in each");
                for name in names {
                    ui.selectable_value(&mut self.reach, Some(name.clone()), format!("only in {name}"));
                }
            });
            let label = format!("Pokes apply to: {chosen}");
            response.response.widget_info(|| egui::WidgetInfo::labeled(egui::Role::ComboBox, true, &label));
        }
    }

    /// The names of the contenders.
    pub(crate) fn lane_names(&self) -> Vec<String> {
        let lanes = self.finished.iter().flat_map(|finished| &finished.lanes);
        lanes.map(|lane| lane.header.contender.clone()).collect()
    }

    /// Who is poked: who is selected, or else the second consumer, or the first where there is but one.
    pub(crate) fn target(&self) -> Option<String> {
        let lane = self.finished.as_ref()?.lanes.first()?;
        if let Some(Node::Client(client)) = self.selection.node {
            return lane.header.clients.get(client.index()).map(|info| info.name.clone());
        }
        let consumers = lane.header.clients.iter().filter(|info| matches!(info.role, ClientRole::Consumer(_)));
        let names: Vec<&String> = consumers.map(|info| &info.name).take(2).collect();
        names.last().map(|name| name.to_string())
    }

    /// The poke of this kind that holds for somebody at a time, by its place among all.
    fn poke_on(&self, action: PokeAction, target: &str, at: Time) -> Option<usize> {
        let pokes = self.document.as_ref()?.pokes();
        let holds = |poke: &Poke| {
            poke.action == action
                && poke.target == target
                && poke.contender == self.reach
                && poke.is_on(at, self.reach.as_deref())
        };
        pokes.iter().rposition(holds)
    }

    /// Pokes the target now, or ends what it does to him.
    pub(crate) fn poke(&mut self, ctx: &egui::Context, action: PokeAction) {
        if let Some(target) = self.target() {
            self.poke_at(ctx, action, target);
        }
    }

    /// Pokes somebody.
    pub(crate) fn poke_at(&mut self, ctx: &egui::Context, action: PokeAction, target: String) {
        if self.job.is_some() || self.finished.is_none() {
            return;
        }
        if target.starts_with("producer/") && !action.is_for_producers() {
            return self.tell(format!("{} is for consumers: the demand says when producers send", action.verb()));
        }
        // A round time reads better, in the file too; what came before it has been seen already.
        let at = Time::from_nanos(self.player.time.as_nanos().next_multiple_of(1_000_000));
        if self.finished.as_ref().is_some_and(|finished| at >= finished.horizon()) {
            return self.tell("the run is over: go back to a time at which something can still happen".into());
        }
        let edit = match self.poke_on(action, &target, at) {
            Some(poke) if self.document.as_ref().is_some_and(|document| document.pokes()[poke].at < at) => {
                Edit::Restore { poke, at }
            }
            // It has only just begun: that is the same as if it had not been.
            Some(_) => return self.command(ctx, Command::Undo),
            None => Edit::Poke(Poke { action, target, at, until: None, contender: self.reach.clone() }),
        };
        if let Some(finished) = &mut self.finished {
            self.player.seek(at, &mut finished.lanes);
        }
        self.edit(ctx, edit, Some(at));
    }

    /// Opens or closes a window.
    pub(crate) fn open_window(&mut self, window: Window) {
        self.window = if self.window == Some(window) { None } else { Some(window) };
    }
}
