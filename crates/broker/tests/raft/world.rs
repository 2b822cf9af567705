//! Some members, the connections between them, their disks, and somebody who remembers what was ever agreed to.

use std::collections::{BTreeMap, VecDeque};

use brokerlab_broker::log::Crash;
use brokerlab_broker::raft::{Body, Command, DurableMember, EntryKind, LogEnd, Member, Message, Output};
use brokerlab_event::{Duration, NodeId, Offset, Stream, Time};

/// What the members agree on: a number to be remembered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Remember(pub u64);

impl Command for Remember {
    fn bytes(&self) -> u64 {
        8
    }
}

/// What they remember, with the places in the log.
pub type Memory = Vec<(u64, u64)>;
pub type Talk = Message<Remember, Memory>;
type Whole = Member<Remember, Memory>;

/// A way to spoil what a member says.
pub type Spoil = fn(&World, usize, &mut Talk);

/// A member, or what is left of it.
#[derive(Clone, Debug)]
pub enum Seat {
    Up(Box<Whole>),
    Down(Box<DurableMember<Remember, Memory>>),
}

pub struct World {
    pub now: Time,
    pub seats: Vec<Seat>,
    /// Messages under way from one to another.
    pub links: BTreeMap<(usize, usize), VecDeque<Talk>>,
    /// What disks are writing.
    pub disks: Vec<VecDeque<Offset>>,
    /// Connections that are broken, both ways.
    pub broken: Vec<(usize, usize)>,
    /// Every entry that was ever applied, by place.
    agreed: BTreeMap<u64, (Time, EntryKind<Remember>)>,
    /// Who has led in each term.
    leaders: BTreeMap<u32, usize>,
    pub spoil: Option<Spoil>,
}

pub fn node(index: usize) -> NodeId {
    NodeId::new(index as u16)
}

impl World {
    pub fn new(size: usize, seed: u64) -> World {
        let members: Vec<NodeId> = (0..size).map(node).collect();
        let seat = |index| {
            Seat::Up(Box::new(Member::new(node(index), members.clone(), Vec::new(), Stream::new(seed, "raft"))))
        };
        World {
            now: Time::ZERO,
            seats: (0..size).map(seat).collect(),
            links: BTreeMap::new(),
            disks: vec![VecDeque::new(); size],
            broken: Vec::new(),
            agreed: BTreeMap::new(),
            leaders: BTreeMap::new(),
            spoil: None,
        }
    }

    pub fn up(&self, index: usize) -> Option<&Whole> {
        match &self.seats[index] {
            Seat::Up(member) => Some(member),
            Seat::Down(_) => None,
        }
    }

    /// Whoever leads in the latest term.
    pub fn leader(&self) -> Option<usize> {
        let leaders = (0..self.seats.len()).filter(|index| self.up(*index).is_some_and(Member::is_leader));
        leaders.max_by_key(|index| self.up(*index).map(Member::term))
    }

    /// One member does something, and what follows is looked at.
    pub fn call(&mut self, index: usize, deed: impl FnOnce(&mut Whole, Time, &mut Vec<Output<Remember, Memory>>)) {
        let Seat::Up(member) = &mut self.seats[index] else { return };
        let mut out = Vec::new();
        deed(member, self.now, &mut out);
        while let Some((at, entry)) = member.next_committed() {
            if let EntryKind::Command(Remember(value)) = entry.kind {
                member.state.push((at.get(), value));
            }
            let found = (entry.time, entry.kind);
            let known = self.agreed.entry(at.get()).or_insert_with(|| found.clone());
            assert_eq!(*known, found, "all members apply the same at {}", at.get());
        }
        if member.is_leader() {
            let before = self.leaders.insert(member.term(), index);
            assert!(before.is_none_or(|other| other == index), "one leader in term {}", member.term());
            self.assert_complete(index);
        }
        for output in out {
            match output {
                Output::Flush(until) => self.disks[index].push_back(until),
                Output::Send(to, mut message) => {
                    if let Some(spoil) = self.spoil {
                        spoil(self, index, &mut message);
                    }
                    let to = to.index();
                    if self.is_connected(index, to) && self.up(to).is_some() {
                        self.links.entry((index, to)).or_default().push_back(message);
                    }
                }
            }
        }
    }

    /// A leader has everything that was ever agreed to.
    fn assert_complete(&self, index: usize) {
        let Some(leader) = self.up(index) else { return };
        if self.leaders.last_key_value().is_some_and(|(term, _)| *term > leader.term()) {
            return; // it does not know of its successor
        }
        let pending: BTreeMap<u64, &EntryKind<Remember>> =
            leader.pending().map(|(at, entry)| (at.get(), &entry.kind)).collect();
        for (at, (_, kind)) in self.agreed.range(leader.applied().get()..) {
            assert_eq!(
                pending.get(at),
                Some(&kind),
                "the leader of term {} has what was agreed at {at}",
                leader.term()
            );
        }
    }

    pub fn is_connected(&self, a: usize, b: usize) -> bool {
        !self.broken.contains(&(a.min(b), a.max(b)))
    }

    pub fn submit(&mut self, index: usize, value: u64) {
        self.call(index, |member, now, out| {
            if member.is_leader() {
                member.submit(now, Remember(value), out);
            }
        });
    }

    /// The first message from one to another arrives.
    pub fn deliver(&mut self, from: usize, to: usize) {
        let message = self.links.get_mut(&(from, to)).and_then(VecDeque::pop_front);
        if let Some(message) = message {
            self.call(to, |member, now, out| member.handle(now, node(from), message, out));
        }
    }

    /// The disk of a member finishes what it is doing.
    pub fn write(&mut self, index: usize) {
        if let Some(until) = self.disks[index].pop_front() {
            self.call(index, |member, _, out| member.flushed(until, out));
        }
    }

    pub fn crash(&mut self, index: usize, kind: Crash) {
        let Seat::Up(member) = &self.seats[index] else { return };
        let durable = member.as_ref().clone().crash(kind, Vec::new());
        self.seats[index] = Seat::Down(Box::new(durable));
        self.disks[index].clear();
        self.links.retain(|(from, to), _| *from != index && *to != index);
        if kind != Crash::Power {
            self.tell_others(index, |member, now, gone| member.lost(now, gone));
        }
    }

    pub fn restart(&mut self, index: usize) {
        let Seat::Down(durable) = &self.seats[index] else { return };
        self.seats[index] = Seat::Up(Box::new(Member::recover(durable.as_ref().clone(), self.now)));
        self.tell_others(index, |member, now, gone| member.lost(now, gone));
        for other in 0..self.seats.len() {
            if other != index && self.is_connected(index, other) {
                self.call(other, |member, _, out| member.heard_again(node(index), out));
            }
        }
    }

    fn tell_others(&mut self, index: usize, tell: impl Fn(&mut Whole, Time, NodeId)) {
        for other in (0..self.seats.len()).filter(|other| *other != index) {
            self.call(other, |member, now, _| tell(member, now, node(index)));
        }
    }

    /// The connection between two members breaks.
    pub fn part(&mut self, a: usize, b: usize) {
        let pair = (a.min(b), a.max(b));
        if a == b || self.broken.contains(&pair) {
            return;
        }
        self.broken.push(pair);
        self.links.retain(|link, _| *link != (a, b) && *link != (b, a));
        self.call(a, |member, now, _| member.lost(now, node(b)));
        self.call(b, |member, now, _| member.lost(now, node(a)));
    }

    pub fn heal(&mut self, pair: (usize, usize)) {
        self.broken.retain(|other| *other != pair);
        let (a, b) = pair;
        self.call(a, |member, _, out| member.heard_again(node(b), out));
        self.call(b, |member, _, out| member.heard_again(node(a), out));
    }

    /// Everything that takes no time of its own.
    pub fn settle(&mut self) {
        loop {
            let link = self.links.iter().find(|(_, queue)| !queue.is_empty()).map(|(link, _)| *link);
            let disk = self.disks.iter().position(|disk| !disk.is_empty());
            match (link, disk) {
                (_, Some(index)) => self.write(index),
                (Some((from, to)), None) => self.deliver(from, to),
                (None, None) => return,
            }
        }
    }

    /// Time goes on to the next thing that is due.
    pub fn wait(&mut self) -> bool {
        let due = (0..self.seats.len()).filter_map(|index| Some((self.up(index)?.next_timeout()?, index))).min();
        let Some((at, index)) = due else { return false };
        self.now = self.now.max(at);
        self.call(index, |member, now, out| member.handle_timeout(now, out));
        true
    }

    /// All of that for so long.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now.saturating_add(time);
        self.settle();
        while (0..self.seats.len()).any(|n| self.up(n).and_then(Member::next_timeout).is_some_and(|at| at <= until)) {
            self.wait();
            self.settle();
        }
        self.now = until;
    }

    /// What a member remembers.
    pub fn memory(&self, index: usize) -> Vec<u64> {
        self.up(index).map(|member| member.state.iter().map(|(_, value)| *value).collect()).unwrap_or_default()
    }

    /// Everything is whole again: somebody leads, and what is asked is agreed to by all. A group of which a majority has
    /// lost its disks has nobody left to decide.
    pub fn assert_recovers(&mut self) {
        (0..self.seats.len()).for_each(|index| self.restart(index));
        self.broken.clear();
        let size = self.seats.len();
        let pairs = (0..size).flat_map(|a| (0..size).map(move |b| (a, b))).filter(|(a, b)| a != b);
        pairs.for_each(|(a, b)| self.call(a, |member, _, out| member.heard_again(node(b), out)));
        self.run_for(Duration::from_secs(30));
        let blank = (0..self.seats.len()).filter(|index| self.up(*index).is_some_and(Member::is_blank)).count();
        if blank > (self.seats.len() - 1) / 2 {
            return;
        }
        let leader = self.leader().expect("somebody leads");
        self.submit(leader, u64::MAX);
        self.run_for(Duration::from_secs(30));
        for index in 0..self.seats.len() {
            assert_eq!(self.memory(index).last(), Some(&u64::MAX), "member {index} has what was agreed last");
            assert_eq!(self.memory(index), self.memory(leader));
            assert!(!self.up(index).is_some_and(Member::is_blank), "member {index} counts again");
        }
    }
}

/// Claims a log that no other is ahead of.
pub fn boasts(_: &World, _: usize, message: &mut Talk) {
    if let Body::Vote { log } | Body::PreVote { log, .. } = &mut message.body {
        *log = LogEnd { term: u32::MAX, end: Offset::new(1 << 30) };
    }
}

/// Gives its vote to everybody.
pub fn votes_twice(_: &World, _: usize, message: &mut Talk) {
    if let Body::VoteAnswer { granted } = &mut message.body {
        *granted = true;
    }
}

/// Confirms what its disk does not have yet.
pub fn confirms_early(world: &World, index: usize, message: &mut Talk) {
    if let Body::Appended { agrees: true, end, .. } = &mut message.body {
        *end = world.up(index).map_or(*end, |member| member.log_end().end);
    }
}

/// Says nothing of a disk that is lost.
pub fn hides_its_loss(_: &World, _: usize, message: &mut Talk) {
    if let Body::Appended { is_blank, .. } = &mut message.body {
        *is_blank = false;
    }
}

/// Tells of commits that are none.
pub fn commits_early(_: &World, _: usize, message: &mut Talk) {
    if let Body::Append { after, entries, commit } = &mut message.body {
        *commit = Offset::new(after.end.get() + entries.len() as u64);
    }
}
