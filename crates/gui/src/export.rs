//! Writes what is on the screen into files: plots, tables, the scenario with its pokes, a picture of the window.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use brokerlab_lab::reporting::{Options, Theme};
use brokerlab_lab::{Keep, write};
use eframe::egui::{self, Grid, TextEdit, Ui};

use crate::app::ask::Asked;
use crate::app::{App, Window};
use crate::{platform, style};

/// What is asked of an export.
#[derive(Clone, PartialEq, Debug)]
pub struct Export {
    /// The folder that it goes to.
    pub folder: String,
    /// Size of plots in pixels.
    pub size: (u32, u32),
    /// Dark plots.
    pub dark: bool,
    /// Plots as SVG and PNG.
    pub plots: bool,
    /// A picture of the window.
    pub window: bool,
    /// Where the scenario is saved by itself.
    pub file: String,
}

impl Default for Export {
    fn default() -> Export {
        let (folder, file) = ("out".to_string(), String::new());
        Export { folder, size: (1280, 720), dark: false, plots: true, window: true, file }
    }
}

impl App {
    /// Shows the export, where it is open.
    pub(crate) fn export_window(&mut self, ui: &mut Ui) {
        if self.window != Some(Window::Export) {
            return;
        }
        let mut open = true;
        egui::Window::new("Export").open(&mut open).collapsible(false).default_width(470.0).show(ui.ctx(), |ui| {
            let export = &mut self.export;
            Grid::new("export").num_columns(2).spacing([12.0, 8.0]).show(ui, |ui| {
                let label = ui.label("Folder");
                ui.add(TextEdit::singleline(&mut export.folder).desired_width(300.0)).labelled_by(label.id);
                ui.end_row();
                ui.label("Plots");
                ui.horizontal(|ui| {
                    ui.checkbox(&mut export.plots, "SVG and PNG");
                    ui.add(egui::DragValue::new(&mut export.size.0).range(320..=8192).suffix(" px wide"));
                    ui.add(egui::DragValue::new(&mut export.size.1).range(240..=8192).suffix(" px high"));
                    ui.checkbox(&mut export.dark, "dark");
                });
                ui.end_row();
                ui.label("Window");
                ui.checkbox(&mut export.window, "a picture of it, window.png");
                ui.end_row();
            });
            ui.label("Tables, the scenario with its pokes, and the page always go with them.");
            if ui.add_enabled(self.finished.is_some(), egui::Button::new(style::strong("Write the folder"))).clicked() {
                self.write_folder(ui.ctx());
            }
            ui.separator();
            ui.horizontal(|ui| {
                let label = ui.label("Scenario file");
                ui.add(TextEdit::singleline(&mut self.export.file).desired_width(260.0)).labelled_by(label.id);
                if ui.button("Save").clicked() {
                    let path = PathBuf::from(self.export.file.trim());
                    self.save_to(path);
                }
                if ui.add_enabled(self.can_ask(), egui::Button::new("Browse")).clicked() {
                    self.ask(ui.ctx(), Asked::Save);
                }
            });
            ui.separator();
            ui.label("The command that makes this run again:");
            let command = self.shell_command();
            ui.horizontal_wrapped(|ui| {
                ui.monospace(&command);
            });
            if ui.button("Copy").clicked() {
                ui.ctx().copy_text(command);
            }
        });
        if !open {
            self.window = None;
        }
    }

    /// The command line that reproduces what is on the screen.
    pub fn shell_command(&self) -> String {
        let Some(finished) = &self.finished else { return String::new() };
        finished.experiment.command(Keep { messages: false, events: false })
    }

    /// Writes the folder of the run, as `brokerlab run --out` does, aside.
    pub(crate) fn write_folder(&mut self, ctx: &egui::Context) {
        let Some(finished) = &self.finished else { return };
        let export = self.export.clone();
        let theme = if export.dark { Theme::Dark } else { Theme::Light };
        let options = Options { width: export.size.0, height: export.size.1, theme, greyscale: false };
        let folder = finished.experiment.folder(&PathBuf::from(export.folder.trim()));
        let (experiment, outcome) = (finished.experiment.clone(), finished.outcome.clone());
        let (told, repaint, picture) = (self.told.clone(), ctx.clone(), folder.join("window.png"));
        platform::spawn(move || {
            let plots = export.plots.then_some(&options);
            // Where nothing can be written, nobody has to wait for the plots to hear it.
            let writable = platform::make_folder(&folder)
                .map_err(|error| format!("nothing can be written to {}: {error}", folder.display()));
            let written = writable.and_then(|()| {
                let files = experiment.files(&outcome, plots).map_err(|error| error.to_string())?;
                write(&folder, &files).map_err(|error| error.to_string())?;
                Ok(format!("{} files are in {}", files.len(), folder.display()))
            });
            say(&told, written);
            repaint.request_repaint();
        });
        if export.window {
            // The picture is that of the window, not of what was opened to ask for it.
            self.window = None;
            let (told, repaint) = (self.told.clone(), ctx.clone());
            ctx.request_repaint();
            ctx.request_screenshot(move |image| {
                if let Err(error) = save_picture(&image, &picture) {
                    say(&told, Err(format!("{} cannot be written: {error}", picture.display())));
                }
                repaint.request_repaint();
            });
        }
    }

    /// Saves the scenario with its pokes.
    pub(crate) fn save_to(&mut self, path: PathBuf) {
        let Some(document) = &mut self.document else { return };
        if path.as_os_str().is_empty() {
            return self.complain("say where to save the scenario: a path such as my.toml".into());
        }
        let written = document.text().map_err(|error| error.to_string()).and_then(|text| {
            platform::write(&path, text.as_bytes())
                .map_err(|error| format!("{} cannot be written: {error}", path.display()))
        });
        match written {
            Ok(()) => {
                document.mark_saved();
                self.tell(format!("saved to {}", path.display()));
            }
            Err(error) => self.complain(error),
        }
    }
}

fn say(told: &Mutex<Vec<Result<String, String>>>, what: Result<String, String>) {
    told.lock().expect("nobody panics while holding it").push(what);
}

fn save_picture(image: &Arc<egui::ColorImage>, path: &std::path::Path) -> std::io::Result<()> {
    let pixels: Vec<u8> = image.pixels.iter().flat_map(|pixel| [pixel.r(), pixel.g(), pixel.b()]).collect();
    let [width, height] = image.size;
    let bytes = brokerlab_lab::reporting::rgb_png(&pixels, (width as u32, height as u32));
    platform::write(path, &bytes)
}
