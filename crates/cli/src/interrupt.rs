//! Ctrl-C: the program ends at once, but never between the first and the last file of a folder.

use std::sync::{Mutex, PoisonError};

/// Held while files are written.
static WRITING: Mutex<()> = Mutex::new(());

/// What a shell expects of a program that was interrupted.
const INTERRUPTED: i32 = 130;

/// Ends the program on Ctrl-C as soon as no files are being written.
pub fn watch() {
    let set = ctrlc::set_handler(|| {
        let _nothing_is_half_written = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
        std::process::exit(INTERRUPTED);
    });
    // Without a handler the system ends the program as it always does, which is better than not starting it.
    let _ = set;
}

/// Does something that must not be left half done.
pub fn undisturbed<T>(write: impl FnOnce() -> T) -> T {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    write()
}
