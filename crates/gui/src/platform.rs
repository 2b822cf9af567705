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

/// Makes a folder with those that it lies in; fine where it is there already.
pub fn make_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Where settings are kept: `BROKERLAB_CONFIG`, or the user's folder of settings. `None` where there is none.
pub fn settings_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || Some(folder("HOME")?.join(".config"));
    let base = folder("BROKERLAB_CONFIG")
        .or_else(|| Some(folder("XDG_CONFIG_HOME").or_else(|| folder("APPDATA")).or_else(home)?.join("brokerlab")))?;
    Some(base.join("settings.toml"))
}

/// What a file dialog answers: `None` where nothing was chosen, or nothing can ask.
pub type Chosen = Option<PathBuf>;

/// Asks for a file to open. The window goes on meanwhile; `answer` is called from another thread.
pub fn ask_for_scenario(answer: impl FnOnce(Chosen) + Send + 'static) {
    let dialog = rfd::AsyncFileDialog::new().add_filter("scenario", &["toml"]).pick_file();
    spawn(move || answer(pollster::block_on(dialog).map(|file| file.path().to_path_buf())));
}

/// Asks where to save a scenario. The window goes on meanwhile; `answer` is called from another thread.
pub fn ask_where_to_save(name: &str, answer: impl FnOnce(Chosen) + Send + 'static) {
    let dialog = rfd::AsyncFileDialog::new().add_filter("scenario", &["toml"]).set_file_name(name).save_file();
    spawn(move || answer(pollster::block_on(dialog).map(|file| file.path().to_path_buf())));
}
