//! Small random scenarios, and judges that must agree about each of them.
//!
//! A seed makes a scenario: a demand, contenders with options of all kinds, and faults. Whatever they are, the books
//! balance (each message has one fate for each application), the streaming judges agree with an oracle that judges by
//! definition, laws and promises hold, and a second run is the same run. Who finds a seed that breaks one of these has
//! found a fault in the engine, in a judge, or in a promise. That the judges bite is shown by saboteurs, who spoil
//! messages on their way: `tests/saboteurs.rs`.
//!
//! ```
//! use brokerlab_swarm::{Kind, judge};
//!
//! assert!(Kind::Clusters.scenario(7).contains("[cluster]"));
//! judge(Kind::Clusters, 7); // panics where anything does not hold
//! ```

mod contenders;
mod hunt;
mod judge;
mod texts;
mod writer;

pub use hunt::{Find, hunt};
pub use judge::{judge, judge_prepared};

/// What the scenarios of a swarm are about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// One contender of every model under one demand.
    Mixed,
    /// Logs and streams whose consumers fail, set records aside, are sent elsewhere, and lose their connections.
    Logs,
    /// Logs with copies on several nodes, which go down and come back.
    Clusters,
    /// Quorum queues with members on several nodes, which go down and come back.
    Quorums,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 4] = [Kind::Mixed, Kind::Logs, Kind::Clusters, Kind::Quorums];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Mixed => "mixed",
            Kind::Logs => "logs",
            Kind::Clusters => "clusters",
            Kind::Quorums => "quorums",
        }
    }

    /// The text of the scenario that a seed makes.
    pub fn scenario(self, seed: u64) -> String {
        match self {
            Kind::Mixed => texts::mixed(seed),
            Kind::Logs => texts::logs(seed),
            Kind::Clusters => texts::clusters(seed),
            Kind::Quorums => texts::quorums(seed),
        }
    }
}
