//! Standard output and standard error: what is a terminal, how wide it is, and what happens when it is gone.

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

/// Whether the reader of the results wants colours: a terminal can show them, and nobody said no.
pub fn colours() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value: std::ffi::OsString| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|terminal| terminal == "dumb");
    io::stdout().is_terminal() && !set("NO_COLOR") && !dumb
}

/// How many letters fit into a line of results.
pub fn columns() -> usize {
    match terminal_size::terminal_size() {
        Some((terminal_size::Width(columns), _)) if io::stdout().is_terminal() => usize::from(columns),
        _ => USUAL_COLUMNS,
    }
}
