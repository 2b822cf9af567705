//! Threads, clocks and files: everything that a build for the web does another way.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Does something aside.
pub fn spawn(work: impl FnOnce() + Send + 'static) {
    std::thread::spawn(work);
}

/// How many things can be done at once.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// When a file was changed last, where that can be known.
pub fn changed(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|file| file.modified()).ok()
}

/// Reads a text.
pub fn read(path: &Path) -> io::Result<String> {
    fs::read_to_string(path)
}

/// Writes a file completely or not at all, and makes the folders that it lies in.
pub fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(".part");
    let part = path.with_file_name(name);
    let written = fs::write(&part, bytes).and_then(|()| fs::rename(&part, path));
    if written.is_err() {
        // It may not be there at all.
        let _ = fs::remove_file(&part);
    }
    written
}

/// Where settings are kept: `BROKERLAB_CONFIG`, or the user's folder of settings. `None` where there is none.
pub fn settings_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(folder("HOME")?.join(".config"));
    let base = folder("BROKERLAB_CONFIG")
        .or_else(|| Some(folder("XDG_CONFIG_HOME").or_else(|| folder("APPDATA")).or_else(home)?.join("brokerlab")))?;
    Some(base.join("settings.toml"))
}

/// Asks for a file to open. `None` where nothing was chosen, or nothing can ask.
pub fn ask_for_scenario() -> Option<PathBuf> {
    rfd::FileDialog::new().add_filter("scenario", &["toml"]).pick_file()
}

/// Asks where to save a scenario.
pub fn ask_where_to_save(name: &str) -> Option<PathBuf> {
    rfd::FileDialog::new().add_filter("scenario", &["toml"]).set_file_name(name).save_file()
}
