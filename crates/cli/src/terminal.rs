//! Standard output and standard error: what is a terminal, how wide it is, and what happens when it is gone.

use std::ffi::OsStr;
use std::io::{self, ErrorKind, IsTerminal, Write};

use anyhow::Context;

/// Lines are this long where nobody knows how wide the reader's screen is.
const USUAL_COLUMNS: usize = 100;

/// Prints results. That the reader has seen enough and closed the pipe is no failure.
pub fn print(text: &str) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error).context("cannot write to standard output"),
        _ => Ok(()),
    }
}

/// Says something about the work. Where nobody listens, nothing is lost.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

/// Whether the reader of the results wants colours.
pub fn colours() -> bool {
    let variable = |name| std::env::var_os(name).unwrap_or_default();
    wants_colours(io::stdout().is_terminal(), &variable("NO_COLOR"), &variable("TERM"))
}

/// A terminal can show them, and nobody said no.
fn wants_colours(is_terminal: bool, no_color: &OsStr, terminal: &OsStr) -> bool {
    is_terminal && no_color.is_empty() && terminal != "dumb"
}

/// How many letters fit into a line of results.
pub fn columns() -> usize {
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(columns), _)) if io::stdout().is_terminal() => usize::from(columns),
        _ => USUAL_COLUMNS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_of_people_who_want_them() {
        let wants = |is_terminal, no_color: &str, terminal: &str| {
            wants_colours(is_terminal, OsStr::new(no_color), OsStr::new(terminal))
        };
        assert!(wants(true, "", "xterm-256color"));
        assert!(!wants(true, "1", "xterm-256color"));
        assert!(!wants(true, "", "dumb"));
        assert!(!wants(false, "", "xterm-256color"));
    }
}
