//! Where a scenario's text comes from, and where the files that it names are looked for.

use std::path::{Path, PathBuf};

use crate::library;
use crate::problem::{Excerpt, Place, Problem, ScenarioError};

/// The text of a scenario with the name that messages call it by.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Source {
    name: String,
    text: String,
    files: Files,
}

/// Where the files that a scenario names are.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Files {
    /// In this folder, or below it.
    Folder(PathBuf),
    /// In the program itself.
    Bundled,
}

impl Source {
    /// A scenario from memory. Files that it names are looked for in the current folder.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Source {
        Source { name: name.into(), text: text.into(), files: Files::Folder(PathBuf::new()) }
    }

    /// Reads a scenario file. Files that it names are looked for in its folder.
    pub fn open(path: &Path) -> Result<Source, ScenarioError> {
        let name = path.display().to_string();
        let whole = |message: String| Problem { place: Place::File(name.clone()), message, excerpt: None };
        let bytes =
            std::fs::read(path).map_err(|error| whole(format!("the scenario cannot be read: {}", plain(&error))))?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let good = String::from_utf8_lossy(&error.as_bytes()[..at]).into_owned();
            let place = Excerpt::of(&good, at..at);
            let message = format!("the scenario is not UTF-8: found the byte 0x{:02x}", error.as_bytes()[at]);
            Problem {
                place: Place::Line { file: name.clone(), line: place.line, column: place.column },
                message,
                excerpt: None,
            }
        })?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        Ok(Source { name, text, files: Files::Folder(folder) })
    }

    /// A scenario of the [library](crate::library), if there is one of this name.
    pub fn bundled(name: &str) -> Option<Source> {
        let text = library::scenario(name)?;
        Some(Source { name: format!("{name}.toml"), text: text.to_string(), files: Files::Bundled })
    }

    /// The same text with files looked for among those of the program before the current folder: for what was
    /// written from a bundled scenario.
    pub fn with_bundled_files(mut self) -> Source {
        self.files = Files::Bundled;
        self
    }

    /// The same place with another text.
    pub(crate) fn with_text(&self, text: String) -> Source {
        Source { text, ..self.clone() }
    }

    /// What messages call it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A file that the scenario names: what messages call it, and its bytes.
    pub fn file(&self, name: &str) -> Result<(String, Vec<u8>), String> {
        match &self.files {
            Files::Bundled => {
                let bytes = library::asset(name).ok_or_else(|| {
                    let names: Vec<&str> = library::ASSETS.iter().map(|(name, _)| *name).collect();
                    format!("it is not among the bundled files ({})", names.join(", "))
                })?;
                Ok((name.to_string(), bytes.to_vec()))
            }
            Files::Folder(folder) => {
                let path = folder.join(name);
                let bytes = std::fs::read(&path).map_err(|error| plain(&error))?;
                Ok((path.display().to_string(), bytes))
            }
        }
    }
}

/// The usual errors without the numbers of the operating system.
fn plain(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_string(),
        std::io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_string(),
        _ => error.to_string(),
    }
}
