//! The desktop lab: a scenario is run through all its contenders aside, and what is on the screen is a view of the
//! finished runs at a time that can be played, scrubbed and stepped.
//!
//! A poke (kill, slow or pause somebody at a time) is an edit of the scenario like any other: the runs are made anew,
//! everything before the poke stays as it was, and it can be undone, saved and run headless.
//!
//! | module | what it is |
//! |---|---|
//! | [`app`] | the window: which screen shows, keys, dialogs |
//! | [`document`] | the scenario as it lies open: where it came from, and the edits made to it |
//! | [`mod@bench`] | runs of a document, made aside, and what is kept of them |
//! | [`player`] | the time that is looked at, and how it moves |
//! | `stage`, `charts`, `drawn`, `percentiles`, `matrix`, `gantt`, `table`, `scrubber`, `panel` | the parts of the Compare screen |
//! | `export`, `help`, `start` | the other screens |
//! | [`platform`] | threads, clocks and files: the one module that a build for the web replaces |

pub mod app;
pub mod bench;
mod charts;
pub mod document;
mod drawn;
mod export;
mod gantt;
mod help;
pub mod keys;
mod matrix;
mod panel;
mod percentiles;
pub mod platform;
pub mod player;
mod scrubber;
pub mod settings;
mod stage;
mod start;
mod style;
mod table;
mod transport;

pub use app::App;
