//! What is remembered from one start to the next.

use std::path::{Path, PathBuf};

use eframe::egui::{Context, ThemePreference, Vec2};
use serde::{Deserialize, Serialize};

use crate::{platform, style};

/// How many files are remembered.
const RECENT: usize = 8;

/// What is remembered.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Light, dark, or as the system has it.
    pub theme: ThemeChoice,
    /// In colours or in greys.
    pub tones: Tones,
    /// Whether messages are seen moving.
    pub motion: Motion,
    /// How large everything is; 1 is usual.
    pub zoom: f32,
    /// How many plots show.
    pub plots: Plots,
    /// Whether the panel at the side shows.
    pub panel: bool,
    /// The scenarios opened last, the newest first.
    pub recent: Vec<String>,
}

/// Light, dark, or as the system has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ThemeChoice {
    /// As the system has it.
    #[default]
    System,
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
}

/// How systems are told apart, besides by their marks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tones {
    /// By colours that those who see fewer of them can tell apart, too.
    #[default]
    Colours,
    /// By greys, for a projector or a printer that has no others.
    Greys,
}

/// Whether messages are seen moving.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Motion {
    /// Dots travel.
    #[default]
    Full,
    /// Only figures change.
    None,
}

/// How many plots show.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Plots {
    /// Four where there is room for them, or else two.
    #[default]
    Fitting,
    /// Two, side by side.
    Two,
    /// Four, in two rows.
    Four,
}

impl Plots {
    /// In how many rows they stand, where they share this room with the lanes.
    pub fn rows(self, room: Vec2) -> usize {
        match self {
            Plots::Two => 1,
            Plots::Four => 2,
            // Less than that is too little to read four.
            Plots::Fitting => 1 + usize::from(room.x >= 1_000.0 && room.y >= 840.0),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        let (theme, tones, motion, plots) = Default::default();
        Settings { theme, tones, motion, zoom: 1.0, plots, panel: true, recent: Vec::new() }
    }
}

impl Settings {
    /// Reads what was remembered. Where that cannot be understood, there is a text that says so, and everything is as
    /// at first; the file is left alone until something is changed.
    pub fn load(file: Option<&Path>) -> (Settings, Option<String>) {
        let Some(file) = file.filter(|file| file.exists()) else { return (Settings::default(), None) };
        let wrong = |error: String| {
            let text = format!("the settings in {} are left aside: {error}", file.display());
            (Settings::default(), Some(text))
        };
        match platform::read(file) {
            Err(error) => wrong(error.to_string()),
            Ok(text) => match toml::from_str::<Settings>(&text) {
                Err(error) => wrong(error.message().to_string()),
                Ok(mut settings) => {
                    settings.zoom = if settings.zoom.is_finite() { settings.zoom.clamp(0.5, 3.0) } else { 1.0 };
                    settings.recent.truncate(RECENT);
                    (settings, None)
                }
            },
        }
    }

    /// Remembers. What went wrong, where something did.
    pub fn save(&self, file: Option<&Path>) -> Option<String> {
        let file = file?;
        let text = toml::to_string(self).expect("settings are plain values");
        let error = platform::write(file, text.as_bytes()).err()?;
        Some(format!("the settings cannot be written to {}: {error}", file.display()))
    }

    /// A scenario was opened.
    pub fn opened(&mut self, origin: &str) {
        let path = PathBuf::from(origin);
        // A path is to be found again from another folder, too.
        let name = std::path::absolute(&path).ok().filter(|_| path.exists());
        let name = name.map_or(origin.to_string(), |path| path.display().to_string());
        self.recent.retain(|known| *known != name);
        self.recent.insert(0, name);
        self.recent.truncate(RECENT);
    }

    /// Has the window look so.
    pub fn apply(&self, ctx: &Context) {
        ctx.set_theme(match self.theme {
            ThemeChoice::System => ThemePreference::System,
            ThemeChoice::Light => ThemePreference::Light,
            ThemeChoice::Dark => ThemePreference::Dark,
        });
        style::set_greys(ctx, self.tones == Tones::Greys);
        ctx.set_zoom_factor(self.zoom);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_comes_back_and_what_is_corrupt_is_told() {
        let folder = tempfile::tempdir().expect("there is room for a folder");
        let file = folder.path().join("deep/settings.toml");
        assert_eq!(Settings::load(Some(&file)), (Settings::default(), None));
        let mut settings = Settings { theme: ThemeChoice::Dark, zoom: 1.5, ..Settings::default() };
        for number in 0..12 {
            settings.opened(&format!("scenario-{number}"));
        }
        settings.opened("scenario-7");
        assert_eq!(settings.save(Some(&file)), None);
        let (read, told) = Settings::load(Some(&file));
        assert_eq!((read.theme, read.zoom, told), (ThemeChoice::Dark, 1.5, None));
        assert_eq!((read.recent.len(), read.recent[0].as_str()), (RECENT, "scenario-7"));
        std::fs::write(&file, "theme = 7").expect("the file can be written");
        let (read, told) = Settings::load(Some(&file));
        assert_eq!(read, Settings::default());
        assert!(told.is_some_and(|told| told.contains("settings.toml")));
        assert!(settings.save(Some(Path::new("/proc/nowhere/settings.toml"))).is_some());
    }
}
