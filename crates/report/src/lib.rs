//! Presents the figures of a run: CSV files, a comparison table, sentences, plots and one HTML page, all made from
//! the same rows. A plot is plain data, a [`PlotSpec`]; the same data becomes SVG and PNG, with an
//! embedded font and without anything of the machine, so the bytes are the same everywhere.
//!
//! ```
//! use brokerlab_event::Model;
//! use brokerlab_report::{Axis, Body, Chart, Draw, Options, PlotSpec, Scale, Series, looks};
//!
//! let axis = |label: &str, unit: &str| Axis {
//!     label: label.into(), unit: unit.into(), scale: Scale::Linear, range: None,
//! };
//! let series = Series {
//!     name: "queue".into(),
//!     look: looks(&[Model::Queue])[0],
//!     draw: Draw::Steps,
//!     points: vec![(0.0, 3.0), (10.0, 250.0), (20.0, 4.0)],
//!     band: Vec::new(),
//! };
//! let chart = Chart {
//!     heading: String::new(), x: axis("virtual time", "s"), y: axis("backlog", "messages"),
//!     series: vec![series], spans: Vec::new(), guides: Vec::new(), inset: None, empty: String::new(),
//! };
//! let plot = PlotSpec {
//!     name: "backlog".into(),
//!     title: "The backlog peaks at ten seconds".into(),
//!     subtitle: "How much work piles up?".into(),
//!     body: Body::Charts(vec![chart]),
//!     note: "Modelled, not measured".into(),
//! };
//! let svg = plot.svg(&Options::default());
//! assert!(svg.contains("backlog (messages)"));
//! assert_eq!(svg, plot.svg(&Options::default()));
//! ```
//!
//! - [`Report`]: a run as rows, made from results or read from a folder. It gives the files, the plots, the
//!   comparison table, [`Sentence`]s and the HTML page. [`write_folder`] writes files complete or not at all.
//! - [`columns`]: every column of every CSV file with its unit and meaning; [`table`]: rows to CSV and back.
//! - [`PlotSpec`] and what it consists of; [`Options`] for size, theme and greyscale.
//! - [`looks`]: which colour and mark a contender has in every plot of a run.
//! - [`grouped`], [`percent`], [`decimal`]: numbers for people and files.

mod chart;
pub mod columns;
mod folder;
mod json;
mod lettering;
mod matrix;
mod number;
mod page;
mod paint;
mod palette;
mod plots;
mod render;
mod report;
#[cfg(test)]
mod samples;
mod scene;
mod sentences;
mod spec;
pub mod table;
mod targets;
mod terminal;
mod theory;
mod words;

pub use columns::columns_markdown;
pub use folder::{File, FolderError, Format, write_folder};
pub use json::FORMAT;
pub use lettering::{BOLD as FONT_BOLD, REGULAR as FONT_REGULAR};
pub use number::{decimal, grouped, parse_decimal, percent};
pub use paint::rgb_png;
pub use palette::{Look, Mark, Palette, Rgb, Theme, looks};
pub use render::Options;
pub use report::{ContenderMeta, Expectation, Meta, Report, TheoryMeta};
pub use sentences::{Part, Sentence};
pub use spec::{
    Axis, Body, Chart, Draw, Guide, Inset, MAX_MARKS, MAX_POINTS, Matrix, MatrixRow, PlotSpec, Scale, Series, Span,
    thinned,
};
pub use targets::TargetTable;
