//! A member of a Raft group: which of several nodes leads, and what all of them have agreed to.
//!
//! The rules are those of [Raft](https://raft.github.io/raft.pdf) as RabbitMQ's library
//! [Ra](https://github.com/rabbitmq/ra) keeps them: a leader sends its log to the others, whatever a majority has on its
//! disks is committed, and a majority must have voted for a leader whose log is no shorter than theirs. There are no
//! heartbeats: whoever owns the member says who is out of reach ([`Member::lost`]) or seems to be
//! ([`Member::suspected`]), and before an election somebody asks whether there is reason for one (the pre-vote of the
//! [thesis](https://github.com/ongardie/dissertation), section 9.6).
//!
//! A member hosts the state that all agree on, and its owner applies to it what [`Member::next_committed`] gives out.
//! What was applied is durable, so the state is also the snapshot of the log up to there, and the log keeps only what
//! was not applied and what followers within reach still lack. A follower that lacks more is sent the state.
//!
//! A member that has lost its disk has forgotten whom it voted for and what it has confirmed. It counts for nothing, in
//! elections and commits, until the others have agreed without it to [readmit](EntryKind::Readmit) it.
//!
//! ```
//! use brokerlab_broker::raft::{Command, Member, Output};
//! use brokerlab_event::{NodeId, Stream, Time};
//! # #[derive(Clone, PartialEq, Debug)]
//! struct Add(u64);
//! impl Command for Add {
//!     fn bytes(&self) -> u64 { 8 }
//! }
//! // A group of one agrees with itself as soon as its disk has written.
//! let only = NodeId::new(0);
//! let mut member: Member<Add, u64> = Member::new(only, vec![only], 0, Stream::new(1, "elections"));
//! let mut out = Vec::new();
//! member.submit(Time::ZERO, Add(5), &mut out);
//! let Some(Output::Flush(until)) = out.pop() else { panic!("it asks its disk") };
//! member.flushed(until, &mut out);
//! while let Some((_, entry)) = member.next_committed() {
//!     if let brokerlab_broker::raft::EntryKind::Command(Add(more)) = entry.kind {
//!         member.state += more;
//!     }
//! }
//! assert_eq!(member.state, 5);
//! ```
//!
//! Left out: members that join or leave for good, and a leader that hands over on purpose. Terms and votes count as
//! durable at once.

mod electing;
mod following;
mod leading;

use std::collections::BTreeSet;

use brokerlab_event::{Duration, NodeId, Offset, Stream, Time, below};

use self::leading::Peer;
use crate::log::{Crash, DurableLog, Log};

/// The time within which a message is expected to reach everybody (Ra's `broadcast_time`); delays of elections are
/// multiples of it.
const BROADCAST: u64 = 100;

/// How often nodes look who of the others has not been heard of (`raft.adaptive_failure_detector.poll_interval`).
pub const POLL_INTERVAL: Duration = Duration::from_secs(1);

/// The term of a group's first leader.
const FIRST_TERM: u32 = 1;

/// What can be agreed to.
pub trait Command: Clone {
    /// Size that it takes in the log, in bytes.
    fn bytes(&self) -> u64;
}

/// An entry of the log.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry<C> {
    /// When its leader appended it.
    pub time: Time,
    /// What it says.
    pub kind: EntryKind<C>,
}

/// What an entry says.
#[derive(Clone, PartialEq, Debug)]
pub enum EntryKind<C> {
    /// A command for the state.
    Command(C),
    /// A leader begins: with this it also commits what others have left behind.
    Begin,
    /// This member, which has lost its disk, has caught up and counts again.
    Readmit(NodeId),
}

impl<C: Command> crate::log::Entry for Entry<C> {
    fn bytes(&self) -> u64 {
        match &self.kind {
            EntryKind::Command(command) => command.bytes(),
            EntryKind::Begin | EntryKind::Readmit(_) => 0,
        }
    }
    fn timestamp(&self) -> Time {
        self.time
    }
}

/// How far a log goes: its end, and the term of the last entry before it (0 where there is none). Of two logs the one
/// with the later term is ahead, and of those with the same term the longer one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct LogEnd {
    /// The term of the last entry.
    pub term: u32,
    /// The place behind it.
    pub end: Offset,
}

/// What members say to each other. Each message carries its sender's term.
#[derive(Clone, PartialEq, Debug)]
pub struct Message<C, S> {
    /// The term.
    pub term: u32,
    /// What is said.
    pub body: Body<C, S>,
}

/// What is said.
#[derive(Clone, PartialEq, Debug)]
pub enum Body<C, S> {
    /// Would you vote for me?
    PreVote {
        /// Which of the candidate's questions it is.
        round: u64,
        /// The candidate's log.
        log: LogEnd,
    },
    /// The answer.
    PreVoteAnswer {
        /// From the question.
        round: u64,
        /// Yes.
        granted: bool,
    },
    /// Vote for me.
    Vote {
        /// The candidate's log.
        log: LogEnd,
    },
    /// The answer.
    VoteAnswer {
        /// The vote is given.
        granted: bool,
    },
    /// Leader → follower: append these.
    Append {
        /// What they follow upon.
        after: LogEnd,
        /// The entries, each with the term that it is of.
        entries: Vec<(u32, Entry<C>)>,
        /// Everything below is committed.
        commit: Offset,
    },
    /// Follower → leader, about [`Body::Append`] and [`Body::Install`].
    Appended {
        /// The follower's log agrees with what was sent. Otherwise the leader is to send what comes at and after `end`.
        agrees: bool,
        /// Everything below agrees, and is on the follower's disk.
        end: Offset,
        /// It has lost its disk, and does not count.
        is_blank: bool,
    },
    /// Leader → follower: take over the state, because the log does not reach back to what you lack.
    Install {
        /// How far it goes.
        upto: LogEnd,
        /// The state.
        state: S,
    },
}

/// What a member wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Output<C, S> {
    /// Carry a message. Messages of one connection arrive in the order in which they were sent.
    Send(NodeId, Message<C, S>),
    /// Make the log below this place durable, then report [`Member::flushed`].
    Flush(Offset),
}

/// Outputs, in order.
pub type Out<C, S> = Vec<Output<C, S>>;

/// What a member is to its group at present.
#[derive(Clone, PartialEq, Debug)]
enum Role {
    /// Waits for a leader, or follows one.
    Follower,
    /// Asks whether an election would be won.
    PreCandidate { votes: Vec<NodeId> },
    /// Stands for election.
    Candidate { votes: Vec<NodeId> },
    /// Leads, and keeps account of the others.
    Leader { peers: Vec<Peer> },
}

/// One member of a group; `C` are commands, `S` is the state.
#[derive(Clone, Debug)]
pub struct Member<C, S> {
    /// What the group has agreed to so far, as far as this member has applied it.
    pub state: S,
    node: NodeId,
    /// Everybody, this member included.
    members: Vec<NodeId>,
    term: u32,
    voted_for: Option<NodeId>,
    is_blank: bool,
    log: Log<Entry<C>>,
    /// Everything below was applied to the state.
    applied: LogEnd,
    /// Everything below is known to be committed.
    commit: Offset,
    /// Followers: everything below is as the leader has it.
    verified: Offset,
    leader: Option<NodeId>,
    role: Role,
    /// Members that are out of reach, or seem to be.
    unreachable: BTreeSet<NodeId>,
    /// A flush is under way, and what is below this place when it is done is on the disk.
    flushing: Option<Offset>,
    /// When it asks for an election.
    election_at: Option<Time>,
    chance: Stream,
    draws: u64,
    /// Number of the latest pre-vote.
    round: u64,
}

/// What is left of a member when its node has gone down.
#[derive(Clone, Debug)]
pub struct DurableMember<C, S> {
    state: S,
    node: NodeId,
    members: Vec<NodeId>,
    term: u32,
    voted_for: Option<NodeId>,
    is_blank: bool,
    log: DurableLog<Entry<C>>,
    applied: LogEnd,
    chance: Stream,
    draws: u64,
}

impl<C: Command, S: Clone> Member<C, S> {
    /// A member of a group that has just been formed. The first of the members leads, and all know it.
    pub fn new(node: NodeId, members: Vec<NodeId>, state: S, chance: Stream) -> Member<C, S> {
        let start = Offset::ZERO;
        let leads = members[0] == node;
        let mut member = Member {
            state,
            node,
            term: FIRST_TERM,
            voted_for: Some(members[0]),
            is_blank: false,
            log: Log::default(),
            applied: LogEnd { term: 0, end: start },
            commit: start,
            verified: start,
            leader: Some(members[0]),
            role: Role::Follower,
            unreachable: BTreeSet::new(),
            flushing: None,
            election_at: None,
            chance: chance.within(u64::from(node.get())),
            draws: 0,
            round: 0,
            members,
        };
        if leads {
            member.lead();
        }
        member
    }

    /// What survives when the node goes down now. Where the disk is lost, the group's first state is left.
    pub fn crash(self, kind: Crash, blank: S) -> DurableMember<C, S> {
        let Member { node, members, chance, draws, .. } = self;
        let log = self.log.crash(kind);
        if kind == Crash::Disk {
            let applied = LogEnd { term: 0, end: Offset::ZERO };
            // Who is alone has nobody to be readmitted by.
            let is_blank = members.len() > 1;
            let (term, voted_for, state) = (0, None, blank);
            return DurableMember { state, node, members, term, voted_for, is_blank, log, applied, chance, draws };
        }
        let Member { state, term, voted_for, is_blank, applied, .. } = self;
        DurableMember { state, node, members, term, voted_for, is_blank, log, applied, chance, draws }
    }

    /// The member of a node that comes back: a follower that knows of no leader. One that is alone leads at once.
    pub fn recover(durable: DurableMember<C, S>, now: Time) -> Member<C, S> {
        let DurableMember { state, node, members, term, voted_for, is_blank, log, applied, chance, draws } = durable;
        let mut member = Member {
            state,
            node,
            members,
            term: term.max(FIRST_TERM),
            voted_for,
            is_blank,
            log: Log::recover(log),
            applied,
            commit: applied.end,
            verified: applied.end,
            leader: None,
            role: Role::Follower,
            unreachable: BTreeSet::new(),
            flushing: None,
            election_at: None,
            chance,
            draws,
            round: draws,
        };
        match member.members.len() {
            1 => member.lead(),
            _ => member.election_within(now, BROADCAST, 5 * BROADCAST),
        }
        member
    }

    /// Handles what another member says.
    pub fn handle(&mut self, now: Time, from: NodeId, message: Message<C, S>, out: &mut Out<C, S>) {
        let Message { term, body } = message;
        if term > self.term {
            self.enter_term(now, term);
        }
        match body {
            Body::PreVote { round, log } => self.pre_vote_asked(now, from, (term, round, log), out),
            Body::PreVoteAnswer { round, granted } => self.pre_vote_answered(now, from, (term, round, granted), out),
            Body::Vote { log } => self.vote_asked(now, from, (term, log), out),
            Body::VoteAnswer { granted } => self.vote_answered(now, from, term, granted, out),
            Body::Append { after, entries, commit } => self.append(now, from, (term, after, commit), entries, out),
            Body::Appended { agrees, end, is_blank } if term == self.term => {
                self.appended(now, from, (agrees, end, is_blank), out);
            }
            Body::Appended { .. } => {}
            Body::Install { upto, state } => self.install(now, from, (term, upto), state, out),
        }
    }

    /// The disk has everything in the log below this place.
    pub fn flushed(&mut self, until: Offset, out: &mut Out<C, S>) {
        let holds = self.flushing.take().map_or(until, |holds| holds.min(until));
        self.log.mark_flushed(holds);
        self.flush(out);
        match self.role {
            Role::Leader { .. } => self.advance_commit(out),
            _ => self.confirm(out),
        }
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Time, out: &mut Out<C, S>) {
        if self.election_at.take_if(|at| *at <= now).is_some() {
            self.ask_for_election(now, out);
        }
    }

    /// When something is due next.
    pub fn next_timeout(&self) -> Option<Time> {
        self.election_at
    }

    /// The next entry that is committed and was not given out, with its place in the log. Its owner applies it to the
    /// state before it does anything else with this member.
    pub fn next_committed(&mut self) -> Option<(Offset, Entry<C>)> {
        let at = self.applied.end;
        // Only what survives a loss of power is applied, because the state is the snapshot.
        if at >= self.commit.min(self.log.flushed()) {
            return None;
        }
        let entry = self.log.entry(at).expect("what is committed and was not applied is in the log").clone();
        self.applied = LogEnd { term: self.term_below(at.next()), end: at.next() };
        if matches!(entry.kind, EntryKind::Readmit(node) if node == self.node) {
            self.is_blank = false;
        }
        self.trim();
        Some((at, entry))
    }

    /// The log keeps what was not applied, and what followers within reach still lack.
    fn trim(&mut self) {
        let lacking = match &self.role {
            Role::Leader { peers } => peers.iter().filter(|peer| peer.is_within_reach()).map(|peer| peer.matched).min(),
            _ => None,
        };
        self.log.trim(lacking.map_or(self.applied.end, |lacking| lacking.min(self.applied.end)));
    }

    /// Who this member follows, or itself where it leads. Nobody where it does not know.
    pub fn leader(&self) -> Option<NodeId> {
        self.leader
    }

    /// True while it leads, as far as it knows.
    pub fn is_leader(&self) -> bool {
        matches!(self.role, Role::Leader { .. })
    }

    /// How many members the group has.
    pub fn group_size(&self) -> usize {
        self.members.len()
    }

    /// The latest term that it has heard of.
    pub fn term(&self) -> u32 {
        self.term
    }

    /// How far its log goes.
    pub fn log_end(&self) -> LogEnd {
        LogEnd { term: self.term_below(self.log.end()), end: self.log.end() }
    }

    /// Everything below was applied to the state.
    pub fn applied(&self) -> Offset {
        self.applied.end
    }

    /// What is in its log, and was not applied to the state.
    pub fn pending(&self) -> impl Iterator<Item = (Offset, &Entry<C>)> {
        self.log.entries_from(self.applied.end)
    }

    /// True where it has lost its disk and was not readmitted since.
    pub fn is_blank(&self) -> bool {
        self.is_blank
    }

    /// The term of the last entry before this place.
    fn term_below(&self, end: Offset) -> u32 {
        if end == self.applied.end {
            return self.applied.term;
        }
        match end.get().checked_sub(1) {
            Some(last) => self.log.epochs().at(Offset::new(last)).unwrap_or(0),
            None => 0,
        }
    }

    fn majority(&self) -> usize {
        self.members.len() / 2 + 1
    }

    fn others(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.members.iter().copied().filter(|member| *member != self.node)
    }

    fn send(&self, to: NodeId, body: Body<C, S>, out: &mut Out<C, S>) {
        out.push(Output::Send(to, Message { term: self.term, body }));
    }

    fn flush(&mut self, out: &mut Out<C, S>) {
        if self.flushing.is_none() && !self.log.is_flushed() {
            self.flushing = Some(self.log.end());
            out.push(Output::Flush(self.log.end()));
        }
    }

    /// Asks for an election after some time between these, in milliseconds, unless it is to do so already.
    fn election_within(&mut self, now: Time, least: u64, most: u64) {
        if self.election_at.is_none() {
            self.draws += 1;
            let millis = least + below(self.chance.at(self.draws), most - least + 1);
            self.election_at = Some(now.saturating_add(Duration::from_nanos(millis * 1_000_000)));
        }
    }

    /// The same, once somebody who was taken for dead by mistake has had the time to show it.
    fn election_after_poll(&mut self, now: Time) {
        let poll = POLL_INTERVAL.as_nanos() / 1_000_000;
        self.election_within(now, poll, poll + 10 * BROADCAST);
    }
}
