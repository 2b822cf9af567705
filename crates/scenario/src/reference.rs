//! The options of the format as a list, for people. Made from the table of options that reading uses.

use core::fmt;

use crate::expect::METRICS;
use crate::options::{CONTENDERS, Kind, MODELS, Opt, ROLE, ROOT, SIZE_LAW, Spec, WORK_LAW};
use crate::suggest::did_you_mean;

/// The options of one table of the format.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Section {
    /// Where the table stands, as a path: `demand.application`, `contender.log`, or `scenario` for the whole file.
    pub path: String,
    /// What messages call it.
    pub title: &'static str,
    /// Its options, in the order of the format.
    pub options: Vec<OptionInfo>,
}

/// One option.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OptionInfo {
    /// Its key.
    pub name: &'static str,
    /// What its value may be, as a phrase after "must be".
    pub values: String,
    /// Its default in TOML, where it has one.
    pub default: Option<&'static str>,
    /// It has to be there.
    pub required: bool,
    /// What it means, in a sentence or two.
    pub meaning: String,
}

/// There is no section of this name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UnknownSection {
    name: String,
    suggestion: String,
}

impl fmt::Display for UnknownSection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the format has no section \"{}\"{}", self.name, self.suggestion)
    }
}

impl core::error::Error for UnknownSection {}

/// Every section of the format: the whole file first, then the tables within in the order of the format. A table that
/// can stand in several places is listed once.
///
/// ```
/// let sections = brokerlab_scenario::sections();
/// let log = sections.iter().find(|section| section.path == "contender.log").unwrap();
/// assert!(log.options.iter().any(|option| option.name == "partitions" && option.default == Some("1")));
/// ```
pub fn sections() -> Vec<Section> {
    let mut walk = Walk { sections: Vec::new(), seen: Vec::new() };
    walk.visit("scenario".to_string(), &ROOT);
    walk.sections
}

/// The sections of this path, or whose path ends in this name; with what lies below them.
pub fn sections_of(name: &str) -> Result<Vec<Section>, UnknownSection> {
    let all = sections();
    let below = |path: &str, top: &str| path == top || path.strip_prefix(top).is_some_and(|rest| rest.starts_with('.'));
    let last = |path: &str| path.rsplit('.').next().is_some_and(|last| last == name);
    let exact = all.iter().any(|section| section.path == name);
    let tops: Vec<&str> = all
        .iter()
        .map(|section| section.path.as_str())
        .filter(|path| if exact { *path == name } else { last(path) })
        .collect();
    if tops.is_empty() {
        let names =
            all.iter().flat_map(|section| [section.path.as_str(), section.path.rsplit('.').next().unwrap_or("")]);
        return Err(UnknownSection { name: name.to_string(), suggestion: did_you_mean(name, names) });
    }
    Ok(all.iter().filter(|section| tops.iter().any(|top| below(&section.path, top))).cloned().collect())
}

struct Walk {
    sections: Vec<Section>,
    seen: Vec<*const Spec>,
}

impl Walk {
    fn visit(&mut self, path: String, spec: &'static Spec) {
        if self.seen.contains(&core::ptr::from_ref(spec)) {
            return;
        }
        self.seen.push(spec);
        let mut options: Vec<OptionInfo> = spec.options.iter().map(described).collect();
        if spec.title == "[[expect]]" {
            options.extend(METRICS.iter().map(|metric| OptionInfo {
                name: metric.name,
                values: "a value or a comparison such as \">= 50\", \"< 200ms\", \"0..5\", \"= queue\"".to_string(),
                default: None,
                required: false,
                meaning: format!("Of this metric: {}.", metric.meaning),
            }));
        }
        self.sections.push(Section { path: path.clone(), title: spec.title, options });
        let at = |name: &str| if path == "scenario" { name.to_string() } else { format!("{path}.{name}") };
        for option in spec.options {
            match option.kind {
                Kind::Table(within) | Kind::Tables(within) | Kind::ChoiceOr(_, within) => {
                    self.visit(at(option.name), within);
                }
                Kind::Contenders => {
                    for (model, contender) in MODELS.iter().zip(&CONTENDERS) {
                        self.visit(at(&format!("{}.{model}", option.name)), contender);
                    }
                }
                Kind::WorkLaw => self.visit(at(option.name), &WORK_LAW),
                Kind::SizeLaw => self.visit(at(option.name), &SIZE_LAW),
                Kind::Target => self.visit(at("target"), &ROLE),
                _ => {}
            }
        }
    }
}

fn described(option: &Opt) -> OptionInfo {
    let Opt { name, ref kind, default, required, doc } = *option;
    OptionInfo { name, values: kind.describe(), default, required, meaning: doc.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_is_listed_once_and_can_be_asked_for() {
        let all = sections();
        let mut paths: Vec<&str> = all.iter().map(|section| section.path.as_str()).collect();
        assert_eq!(paths[0], "scenario");
        for path in ["demand.application", "demand.application.autoscale", "contender.log", "fault.target", "flip"] {
            assert!(paths.contains(&path), "{path}");
        }
        paths.sort_unstable();
        paths.dedup();
        assert_eq!(paths.len(), all.len());
        assert!(all.iter().all(|section| section.options.iter().all(|option| !option.meaning.is_empty())));
    }

    #[test]
    fn a_section_is_found_by_its_path_or_by_its_last_name() {
        let paths =
            |name| sections_of(name).map(|found| found.into_iter().map(|section| section.path).collect::<Vec<_>>());
        assert_eq!(paths("contender.broadcast"), Ok(vec!["contender.broadcast".to_string()]));
        assert_eq!(paths("autoscale"), Ok(vec!["demand.application.autoscale".to_string()]));
        assert!(paths("demand").expect("it is there").contains(&"demand.application".to_string()));
        let error = paths("aplication").expect_err("it is misspelt").to_string();
        assert_eq!(error, "the format has no section \"aplication\"; did you mean \"application\"?");
    }
}
