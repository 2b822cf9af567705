//! Scenarios to start from.

/// A commented scenario to start from, with the files that it names.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Template {
    /// Its name.
    pub name: &'static str,
    /// What it is for, as a phrase.
    pub about: &'static str,
    /// The scenario.
    pub text: &'static str,
    /// Files that belong beside it: names and contents.
    pub files: &'static [(&'static str, &'static str)],
}

/// Every template; the first is the default.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "minimal",
        about: "one queue, one application: the least that runs",
        text: include_str!("../templates/minimal.toml"),
        files: &[],
    },
    Template {
        name: "compare",
        about: "the same demand on a queue, a fan-out, a broadcast and a log, with a fault and expectations",
        text: include_str!("../templates/compare.toml"),
        files: &[],
    },
    Template {
        name: "trace",
        about: "a recording in a CSV file as demand",
        text: include_str!("../templates/trace.toml"),
        files: &[("orders.csv", include_str!("../templates/orders.csv"))],
    },
];

/// The template of this name.
pub fn template(name: &str) -> Option<&'static Template> {
    TEMPLATES.iter().find(|template| template.name == name)
}
