//! What happens to whom, and when.

use std::borrow::Cow;

use brokerlab_event::{ApplicationId, BROKER, ClientId, Millionths, NodeId, Time};

use crate::scenario::Scenario;

/// How partitions are named: `partition/1`.
pub(crate) const PARTITION: &str = "partition";

/// A fault: what happens to whom, and when. Its id is its place in the scenario.
#[derive(Clone, PartialEq, Debug)]
pub struct FaultPlan {
    /// When it begins.
    pub at: Time,
    /// When it ends by itself: the crashed client is started again, the paused one resumes, the slow one is
    /// restored, the one that left connects again. `None`: never.
    pub until: Option<Time>,
    /// The one contender that it hits, by its index. `None`: it hits each of them.
    pub contender: Option<usize>,
    /// What happens.
    pub action: FaultAction,
    /// To whom.
    pub target: Target,
}

/// What happens in a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FaultAction {
    /// The process of a client or of a broker node dies: its connections are reset, and what it had in memory is gone.
    Crash,
    /// The machine of a broker node loses its power: what is not on its disk is gone, and nobody is told.
    PowerOff,
    /// A broker node goes down, and its disk is lost.
    LoseDisk,
    /// The client does nothing, not even a heartbeat, and keeps its memory.
    Pause,
    /// The client's work takes this many millionths of its normal time.
    Slow(Millionths),
    /// The client disconnects in an orderly way.
    Leave,
    /// The client's connection breaks, and what is under way on it is lost. Until the fault ends no other can be made.
    Reset,
    /// The producer stands still and is thought dead. Another process takes its place at once: it sends what the first
    /// has seen no confirm of, and from then on whatever the demand asks of the first, which goes on with what it has
    /// when the fault ends.
    Replace,
}

/// Whom a fault hits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// This client.
    Client(ClientId),
    /// All consumers of this application.
    Application(ApplicationId),
    /// All producers.
    Producers,
    /// This broker node.
    Node(NodeId),
    /// The broker node that has this role at the time of the fault. Queues have no followers, and the node that they
    /// are on leads each. Nobody is hit where no node has the role.
    NodeRole {
        /// The role.
        role: NodeRole,
        /// Of which partition.
        of: PartitionChoice,
    },
    /// The consumer of this application that has this role at the time of the fault; among equals the one with
    /// the lowest number.
    Role {
        /// The role.
        role: Role,
        /// The application.
        application: ApplicationId,
    },
}

/// A role among the nodes that have a copy of a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NodeRole {
    /// It leads.
    Leader,
    /// It follows, is up and in sync; among several the one with the lowest number.
    FollowerInSync,
}

/// One of the partitions of a log or a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PartitionChoice {
    /// The one with this number, counted from 1.
    Number(u32),
    /// The one that has most of the records of the key of which there are most; where messages have no keys, the one
    /// with most records. Ties go to the lowest number.
    HottestKey,
}

impl Target {
    /// It is a broker node, or the role of one.
    pub(crate) fn is_node(self) -> bool {
        matches!(self, Target::Node(_) | Target::NodeRole { .. })
    }
}

/// A role among the consumers of an application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Role {
    /// The one that holds the most messages delivered and not settled (on a log: fetched and not processed).
    MostUnsettled,
    /// The one that holds the fewest.
    LeastUnsettled,
    /// The first that is up.
    Any,
}

impl Scenario {
    /// Whether the connection of a producer is reset.
    pub(crate) fn resets_producers(&self) -> bool {
        let is_reset = |fault: &&FaultPlan| fault.action == FaultAction::Reset;
        self.crashes_broker()
            || self.faults.iter().filter(is_reset).any(|fault| match fault.target {
                Target::Client(client) => client.get() < self.demand.producers,
                Target::Producers => true,
                Target::Application(_) | Target::Role { .. } | Target::Node(_) | Target::NodeRole { .. } => false,
            })
    }

    /// Whether a broker node goes down.
    pub(crate) fn crashes_broker(&self) -> bool {
        self.faults.iter().any(|fault| fault.target.is_node())
    }

    /// Whether a broker node loses its power.
    pub(crate) fn loses_power(&self) -> bool {
        self.faults.iter().any(|fault| fault.action == FaultAction::PowerOff)
    }

    /// Whether a broker node loses its disk.
    pub(crate) fn loses_disk(&self) -> bool {
        self.faults.iter().any(|fault| fault.action == FaultAction::LoseDisk)
    }

    /// The scenario as one of its contenders meets it: without the faults that hit another one alone.
    pub(crate) fn met_by(&self, contender: usize) -> Cow<'_, Scenario> {
        let meets = |fault: &FaultPlan| fault.contender.is_none_or(|only| only == contender);
        if self.faults.iter().all(meets) {
            return Cow::Borrowed(self);
        }
        let mut scenario = self.clone();
        scenario.faults.retain(meets);
        Cow::Owned(scenario)
    }

    /// The producers that are replaced by faults, each with the process that takes its place: their ids come after
    /// those of all other clients.
    pub fn stand_ins(&self) -> Vec<(ClientId, ClientId)> {
        let consumers: u32 = self.demand.applications.iter().map(|application| application.consumers).sum();
        let replaced = self.faults.iter().filter(|fault| fault.action == FaultAction::Replace);
        let mut all: Vec<ClientId> = replaced
            .flat_map(|fault| match fault.target {
                Target::Client(client) => vec![client],
                Target::Producers => (0..self.demand.producers).map(ClientId::new).collect(),
                Target::Application(_) | Target::Role { .. } | Target::Node(_) | Target::NodeRole { .. } => Vec::new(),
            })
            .collect();
        all.sort_unstable();
        all.dedup();
        let first = self.demand.producers + consumers;
        all.into_iter().zip((first..).map(ClientId::new)).collect()
    }

    /// Whom a fault with this target could hit as well: each node for a node or a role of nodes, each consumer of its
    /// application for a consumer or a role of consumers, each producer for a producer. Nothing where there is no
    /// choice.
    pub fn equals(&self, target: Target) -> Vec<Target> {
        let clients =
            |first: u32, count: u32| (first..first + count).map(|id| Target::Client(ClientId::new(id))).collect();
        let consumers = |application: ApplicationId| {
            let count = self.demand.applications[application.index()].consumers;
            clients(self.first_consumer(application).get(), count)
        };
        let all: Vec<Target> = match target {
            Target::Client(client) if client.get() < self.demand.producers => clients(0, self.demand.producers),
            Target::Client(client) => {
                let mut applications = (0..self.demand.applications.len() as u16).map(ApplicationId::new);
                let own = applications.rfind(|application| self.first_consumer(*application) <= client);
                own.map_or(Vec::new(), consumers)
            }
            Target::Role { application, .. } => consumers(application),
            Target::Node(_) | Target::NodeRole { .. } => {
                (0..self.cluster.nodes).map(|node| Target::Node(NodeId::new(node))).collect()
            }
            Target::Application(_) | Target::Producers => Vec::new(),
        };
        if all.len() > 1 { all } else { Vec::new() }
    }

    /// A target in words: `billing/2`.
    pub fn target_name(&self, target: Target) -> String {
        match target {
            Target::Client(client) => self.client_name(client),
            Target::Application(application) => self.demand.applications[application.index()].name.clone(),
            Target::Producers => "all producers".to_string(),
            Target::Node(node) => format!("{BROKER}/{}", node.get() + 1),
            Target::NodeRole { role, of } => {
                let role = match role {
                    NodeRole::Leader => "the leader",
                    NodeRole::FollowerInSync => "a follower in sync",
                };
                match of {
                    PartitionChoice::Number(number) => format!("{role} of {PARTITION}/{number}"),
                    PartitionChoice::HottestKey => format!("{role} of the hottest key's partition"),
                }
            }
            Target::Role { role, application } => {
                let name = &self.demand.applications[application.index()].name;
                match role {
                    Role::MostUnsettled => format!("the consumer of {name} with most unsettled messages"),
                    Role::LeastUnsettled => format!("the consumer of {name} with fewest unsettled messages"),
                    Role::Any => format!("any consumer of {name}"),
                }
            }
        }
    }

    /// A fault in words: `crash billing/2`.
    pub fn fault_name(&self, fault: &FaultPlan) -> String {
        let target = self.target_name(fault.target);
        match fault.action {
            FaultAction::Crash => format!("crash {target}"),
            FaultAction::PowerOff => format!("power off {target}"),
            FaultAction::LoseDisk => format!("lose disk of {target}"),
            FaultAction::Pause => format!("pause {target}"),
            FaultAction::Slow(factor) => format!("slow {target} by {}", f64::from(factor.get()) / 1e6),
            FaultAction::Leave if fault.target.is_node() => format!("stop {target}"),
            FaultAction::Leave => format!("disconnect {target}"),
            FaultAction::Reset => format!("reset the connection of {target}"),
            FaultAction::Replace => format!("replace {target}"),
        }
    }
}
