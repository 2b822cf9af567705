//! What can go wrong from outside: everything else is a bug.

use brokerlab_report::FolderError;
use brokerlab_scenario::ScenarioError;

/// Why an experiment could not be opened, or its folder not be written or read.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// Something is wrong with a scenario or a setting.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// There is neither a bundled scenario nor a file of this name.
    #[error(
        "there is no scenario \"{name}\"{hint}\n`brokerlab list` shows those that come with the program; a file is named with its ending, like my.toml"
    )]
    UnknownScenario {
        /// The name.
        name: String,
        /// The closest name, as a half-sentence.
        hint: String,
    },
    /// The scenario has no such contender.
    #[error("{scenario} has no contender \"{name}\"; it has {known}{hint}")]
    UnknownContender {
        /// The scenario.
        scenario: String,
        /// The name.
        name: String,
        /// The names that it has.
        known: String,
        /// The closest name, as a half-sentence.
        hint: String,
    },
    /// The scenario names no change that flips its outcome.
    #[error("{scenario} has no [flip]: it names no change that flips its outcome")]
    NoFlip {
        /// The scenario.
        scenario: String,
    },
    /// The expectation that a flip breaks cannot be judged without a contender that was left out.
    #[error("the flip of {scenario} shows on contender \"{contender}\", which was left out")]
    FlipNotJudged {
        /// The scenario.
        scenario: String,
        /// The contender that is needed.
        contender: String,
    },
    /// No fault of the scenario could hit anybody else.
    #[error("{scenario} has no fault that could hit somebody else: --every-target asks for one")]
    NoOtherTarget {
        /// The scenario.
        scenario: String,
    },
    /// Two scenarios would write into one folder.
    #[error(
        "two scenarios are called \"{name}\" and would write into the same folder; run them one by one with different --out"
    )]
    SameName {
        /// The name of both.
        name: String,
    },
    /// The folder could not be written or read.
    #[error(transparent)]
    Folder(#[from] FolderError),
}
