//! Coordinators of consumer groups: [`Group`] for Kafka's classic protocol, in which members join in rounds and one
//! of them deals out the partitions, and [`ConsumerGroup`] for the newer one (KIP-848), in which the coordinator
//! does, and each member moves towards its share by itself.

mod classic;
mod consumer;
mod members;
mod offsets;

use std::sync::Arc;

use brokerlab_event::{Duration, StoreId};

pub use classic::{DurableGroup, Group, GroupState};
pub use consumer::{ConsumerGroup, DurableConsumerGroup, JOIN, LEAVE, LEAVE_STATIC};

use crate::assignor::Assignor;
use crate::config::GroupConfig;
use crate::message::{GroupError, Member, MemberMetadata};

/// The times that a coordinator waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct GroupTimes {
    /// A member that is silent for this long is removed.
    pub session: Duration,
    /// How long a rebalance waits for members to join again, or for one to give up a partition.
    pub rebalance: Duration,
    /// How long the first join of an empty group waits for others; only the classic protocol waits.
    pub initial_delay: Duration,
    /// How long the group keeps its offsets once it is empty.
    pub offsets_retention: Duration,
}

impl From<&GroupConfig> for GroupTimes {
    fn from(config: &GroupConfig) -> GroupTimes {
        GroupTimes {
            session: config.session_timeout,
            rebalance: config.rebalance_timeout,
            initial_delay: config.initial_rebalance_delay,
            offsets_retention: config.offsets_retention,
        }
    }
}

/// What a coordinator says to members, and what it tells of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum GroupAnswer {
    /// The join of a member is complete (classic protocol).
    Joined {
        /// The member.
        member: Member,
        /// The new generation.
        generation: u32,
        /// The strategy that all members know.
        assignor: Assignor,
        /// For the leader, where it is to deal out partitions: everybody. For others: empty.
        members: Vec<(Member, Arc<MemberMetadata>)>,
    },
    /// The member cannot be one, or not any more.
    Refused {
        /// The member.
        member: Member,
        /// Why.
        error: GroupError,
    },
    /// The assignment of a member, or why there is none (classic protocol).
    Synced {
        /// The member.
        member: Member,
        /// The generation that it asked about.
        generation: u32,
        /// What it gets.
        result: Result<Vec<StoreId>, GroupError>,
    },
    /// The answer to a heartbeat (newer protocol).
    Beaten {
        /// The member.
        member: Member,
        /// Its epoch, and what it should own where that is news.
        result: Result<(u32, Option<Vec<StoreId>>), GroupError>,
    },
    /// A rebalance began; this generation ends.
    Started {
        /// The generation that ends.
        generation: u32,
    },
    /// The group is stable again, or empty.
    Completed {
        /// The generation that begins.
        generation: u32,
        /// How many members it has.
        members: usize,
    },
    /// It has been empty for so long that its offsets are forgotten.
    OffsetsForgotten,
}
