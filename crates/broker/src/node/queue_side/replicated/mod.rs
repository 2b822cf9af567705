//! Quorum queues on a node. What clients ask becomes orders for the group's leader ([`asking`]); what the group agrees on
//! is carried out by every member ([`group`]), and what that means to the channels of this node it is told by the leader
//! ([`telling`]). A node may have a part in all of it: its own channels, a member, and the leader.

mod asking;
mod group;
mod telling;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use brokerlab_event::{ClientId, NodeId, Offset, Stream, Time};

use super::confirming::Waiting;
use crate::config::{Deployment, Overflow, QueueConfig, QueueKind};
use crate::log::Crash;
use crate::quorum::{
    self, Agreed, Command, ConsumerKey, DeadLettering, DeliveryNumber, DurableGroupMember, GroupMember, Order,
    QuorumConfig, QuorumQueue, Session,
};
use crate::raft::{self, Member, Out};

/// What a node has of a quorum queue.
#[derive(Clone, Debug)]
pub(super) struct Replica<P> {
    /// The member of its group that is here, if one is.
    member: Option<Box<GroupMember<P>>>,
    /// The term in which this member leads and has taken over.
    taken_over: Option<u32>,
    /// It leads, and has asked the queue to look what has come due. It does not ask again before that is done.
    ticks: bool,
    /// What it wants done is put here.
    out: Out<Order<P>, Agreed<P>>,
    agent: Agent<P>,
}

/// Speaks for the channels of this node.
#[derive(Clone, Debug)]
struct Agent<P> {
    /// Who leads the group, as far as is known here, and since which term.
    leader: Option<NodeId>,
    term: u32,
    /// Number of the last order.
    orders: u64,
    /// Orders that were not answered, in order.
    unanswered: VecDeque<Unanswered<P>>,
    /// Who of this node holds the message at a place, and by which number.
    held: BTreeMap<Offset, (ConsumerKey, DeliveryNumber)>,
    /// Channels that have published here, where the queue may tell them to stop.
    publishers: BTreeSet<Session>,
    /// Those that it has told.
    stopped: BTreeSet<Session>,
    gets: u64,
}

/// An order that was not answered.
#[derive(Clone, Debug)]
struct Unanswered<P> {
    number: u64,
    /// To be sent again to the next leader. A group of one has none.
    command: Option<Command<P>>,
    /// Of a publish: whose it is, and whom to tell.
    publish: Option<(ClientId, Waiting)>,
}

/// What is left of a replica when its node has gone down.
pub type DurableReplica<P> = DurableGroupMember<P>;

impl<P: Clone> Replica<P> {
    /// What a node has of a queue that has just been declared; nothing where the queue is a classic one.
    pub fn of(config: &QueueConfig, node: NodeId, deployment: &Deployment) -> Option<Box<Replica<P>>> {
        let agreed = Agreed::new(Self::rules(config, deployment)?);
        let members = config.members(deployment.nodes);
        let leader = members[0];
        let chance = Stream::new(deployment.seed, "elections").within(u64::from(config.store.get()));
        let member = members.contains(&node).then(|| Box::new(Member::new(node, members, agreed, chance)));
        let taken_over = member.as_ref().filter(|member| member.is_leader()).map(|member| member.term());
        Some(Box::new(Replica { member, taken_over, ticks: false, out: Vec::new(), agent: Agent::new(Some(leader)) }))
    }

    fn rules(config: &QueueConfig, deployment: &Deployment) -> Option<QuorumConfig> {
        let QueueKind::Quorum(options) = config.kind else { return None };
        let dead_lettering = match config.dead_letter {
            None => DeadLettering::Disabled,
            Some(_) if options.at_least_once => DeadLettering::AtLeastOnce,
            Some(_) => DeadLettering::AtMostOnce,
        };
        Some(QuorumConfig {
            version: deployment.profile.quorum,
            delivery_limit: options.delivery_limit,
            message_ttl: config.message_ttl,
            max_length: config.max_length,
            max_bytes: config.max_bytes,
            overflow: match config.overflow {
                Overflow::DropHead => quorum::Overflow::DropHead,
                Overflow::RejectPublish | Overflow::RejectPublishDlx => quorum::Overflow::RejectPublish,
            },
            dead_lettering,
            single_active_consumer: config.single_active_consumer,
            delayed_retry: options.delayed_retry,
        })
    }

    /// What survives when the node goes down now, where it has a member.
    pub fn crash(self, kind: Crash) -> Option<DurableReplica<P>> {
        let member = self.member?;
        let blank = Agreed::new(member.state.queue.config().clone());
        Some(member.crash(kind, blank))
    }

    /// What a node has that comes back. Without a member it waits to hear who leads.
    pub fn recover(durable: Option<DurableReplica<P>>, now: Time) -> Replica<P> {
        let member = durable.map(|durable| Box::new(Member::recover(durable, now)));
        let leader = member.as_ref().and_then(|member| member.leader());
        Replica { member, taken_over: None, ticks: false, out: Vec::new(), agent: Agent::new(leader) }
    }

    /// The queue as the member that is here has it.
    pub fn queue(&self) -> Option<&QuorumQueue<P>> {
        self.member.as_ref().map(|member| &member.state.queue)
    }

    /// The whole group is here.
    pub fn is_alone(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.group_size() == 1)
    }

    /// How far the log of the member goes that is here, unless it has lost what it had.
    pub fn log_end(&self) -> Option<raft::LogEnd> {
        self.member.as_ref().filter(|member| !member.is_blank()).map(|member| member.log_end())
    }

    /// The queue after everything in the log before this place.
    pub fn queue_at(&self, end: Offset) -> Option<QuorumQueue<P>> {
        let member = self.member.as_ref()?;
        let mut agreed = member.state.clone();
        for (at, entry) in member.pending().take_while(|(at, _)| *at < end) {
            if let raft::EntryKind::Command(order) = &entry.kind {
                agreed.apply(at.get() + 1, entry.time, order.clone(), &mut Vec::new());
            }
        }
        Some(agreed.queue)
    }

    /// The publishes that were not answered, each with its client.
    pub fn unanswered(self) -> impl Iterator<Item = (ClientId, Waiting)> {
        self.agent.unanswered.into_iter().filter_map(|order| order.publish)
    }

    /// The term that the member here is in.
    fn term(&self) -> u32 {
        self.member.as_ref().map_or(0, |member| member.term())
    }

    /// What is left when the queue is deleted where the whole group is here.
    pub fn emptied(&self) -> Replica<P> {
        let Some(member) = &self.member else { return Replica::recover(None, Time::ZERO) };
        let durable = member.as_ref().clone().crash(Crash::Disk, Agreed::new(member.state.queue.config().clone()));
        let emptied = Replica::recover(Some(durable), Time::ZERO);
        let taken_over = Some(emptied.term());
        Replica { taken_over, ..emptied }
    }

    /// True where this member leads and has taken over.
    pub fn serves(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.is_leader() && self.taken_over == Some(member.term()))
    }
}

impl<P> Agent<P> {
    fn new(leader: Option<NodeId>) -> Agent<P> {
        Agent {
            leader,
            term: 1,
            orders: 0,
            unanswered: VecDeque::new(),
            held: BTreeMap::new(),
            publishers: BTreeSet::new(),
            stopped: BTreeSet::new(),
            gets: 0,
        }
    }
}
