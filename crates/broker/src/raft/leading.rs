//! What leaders do.

use brokerlab_event::{NodeId, Offset, Time};

use super::{Body, Command, Entry, EntryKind, FIRST_TERM, LogEnd, Member, Out, Role};

/// At most so many entries go with one message (Ra's `max_append_entries_rpc_batch_size`).
const BATCH: usize = 128;

/// What a leader knows of another member.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Peer {
    pub node: NodeId,
    /// Everything below is on its disk.
    pub matched: Offset,
    /// The next entry that it is to be sent.
    next: Offset,
    /// What it was last told of the commit.
    told: Offset,
    contact: Contact,
    is_blank: bool,
    /// An entry that readmits it was appended here.
    readmitted_at: Option<Offset>,
}

/// How a leader stands with another member.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Contact {
    /// Out of reach.
    Lost,
    /// It was asked where its log agrees with the leader's, and nothing is sent before it has answered.
    Probing,
    /// Entries are sent as they come.
    Streaming,
}

impl Peer {
    fn new(node: NodeId, next: Offset) -> Peer {
        let (matched, told) = (Offset::ZERO, Offset::ZERO);
        Peer { node, matched, next, told, contact: Contact::Probing, is_blank: false, readmitted_at: None }
    }

    pub fn lost(&mut self) {
        self.contact = Contact::Lost;
    }

    pub fn is_within_reach(&self) -> bool {
        self.contact != Contact::Lost
    }
}

impl<C: Command, S: Clone> Member<C, S> {
    /// Leads from now on, in the present term.
    pub(super) fn lead(&mut self) {
        let end = self.log.end();
        let peer = |other| {
            let mut peer = Peer::new(other, end);
            if self.unreachable.contains(&other) {
                peer.lost();
            } else if end == Offset::ZERO && self.term == FIRST_TERM {
                peer.contact = Contact::Streaming; // a group that has just been formed agrees on nothing
            }
            peer
        };
        let peers = self.others().map(peer).collect();
        (self.role, self.leader, self.election_at) = (Role::Leader { peers }, Some(self.node), None);
        self.log.begin_epoch(self.term);
    }

    /// Has been elected.
    pub(super) fn win(&mut self, now: Time, out: &mut Out<C, S>) {
        self.lead();
        self.log.append(Entry { time: now, kind: EntryKind::Begin }, now);
        self.flush(out);
        for other in self.others().filter(|other| !self.unreachable.contains(other)).collect::<Vec<_>>() {
            self.look_at(other, out);
        }
    }

    /// Appends a command, where this member leads. It is committed once a majority has it.
    pub fn submit(&mut self, now: Time, command: C, out: &mut Out<C, S>) {
        self.append_own(now, EntryKind::Command(command), out);
    }

    fn append_own(&mut self, now: Time, kind: EntryKind<C>, out: &mut Out<C, S>) {
        assert!(self.is_leader(), "only leaders append");
        self.log.append(Entry { time: now, kind }, now);
        self.flush(out);
        for peer in 0..self.members.len() - 1 {
            self.stream(peer, out);
        }
    }

    /// Sends what a follower lacks, if it takes part.
    fn stream(&mut self, peer: usize, out: &mut Out<C, S>) {
        loop {
            let Role::Leader { peers } = &self.role else { return };
            let Peer { contact, next, told, .. } = peers[peer];
            if contact != Contact::Streaming || (next >= self.log.end() && told >= self.commit) {
                return;
            }
            self.send_log(peer, out);
        }
    }

    /// Sends the next entries, or none, or the state where the log does not reach back so far.
    fn send_log(&mut self, peer: usize, out: &mut Out<C, S>) {
        let commit = self.commit;
        let Role::Leader { peers } = &mut self.role else { return };
        let Peer { node, next, .. } = peers[peer];
        if next < self.log.start() {
            let upto = self.applied;
            (peers[peer].next, peers[peer].contact) = (upto.end, Contact::Probing);
            let state = self.state.clone();
            return self.send(node, Body::Install { upto, state }, out);
        }
        let epochs = self.log.epochs();
        let entries = self.log.entries_from(next).take(BATCH);
        let entries = entries.map(|(at, entry)| (epochs.at(at).expect("every entry has a term"), entry.clone()));
        let entries: Vec<_> = entries.collect();
        (peers[peer].next, peers[peer].told) = (Offset::new(next.get() + entries.len() as u64), commit);
        let after = LogEnd { term: self.term_below(next), end: next };
        self.send(node, Body::Append { after, entries, commit }, out);
    }

    /// Somebody may have lost touch: shows it that there is a leader, and asks how far it is.
    pub(super) fn look_at(&mut self, node: NodeId, out: &mut Out<C, S>) {
        self.unreachable.remove(&node);
        let end = self.log.end();
        let Role::Leader { peers } = &mut self.role else { return };
        let Some(place) = peers.iter().position(|peer| peer.node == node) else { return };
        peers[place] = Peer { is_blank: peers[place].is_blank, ..Peer::new(node, end) };
        self.send_log(place, out);
    }

    /// A follower has answered.
    pub(super) fn appended(
        &mut self,
        now: Time,
        from: NodeId,
        (agrees, end, is_blank): (bool, Offset, bool),
        out: &mut Out<C, S>,
    ) {
        let Role::Leader { peers } = &mut self.role else { return };
        let Some(place) = peers.iter().position(|peer| peer.node == from) else { return };
        let peer = &mut peers[place];
        if peer.contact == Contact::Lost {
            return;
        }
        peer.is_blank = is_blank;
        if !agrees {
            (peer.contact, peer.next) = (Contact::Probing, end.min(peer.next));
            return self.send_log(place, out);
        }
        peer.contact = Contact::Streaming;
        peer.matched = peer.matched.max(end);
        self.readmit(now, place, out);
        self.advance_commit(out);
        self.stream(place, out);
    }

    /// Lets a member count again that has lost its disk, once it has caught up.
    fn readmit(&mut self, now: Time, place: usize, out: &mut Out<C, S>) {
        let (commit, end) = (self.commit, self.log.end());
        let Role::Leader { peers } = &mut self.role else { return };
        let peer = &mut peers[place];
        if !peer.is_blank {
            peer.readmitted_at = None;
        } else if peer.readmitted_at.is_none() && peer.matched >= commit {
            peer.readmitted_at = Some(end);
            let node = peer.node;
            self.append_own(now, EntryKind::Readmit(node), out);
        }
    }

    /// Whatever a majority has on its disks is committed, as soon as an entry of this term is among it.
    pub(super) fn advance_commit(&mut self, out: &mut Out<C, S>) {
        let Role::Leader { peers } = &self.role else { return };
        let of_peers = peers.iter().filter(|peer| !peer.is_blank).map(|peer| peer.matched);
        let mut ends: Vec<Offset> = of_peers.chain([self.log.flushed()]).collect();
        ends.sort_unstable_by(|a, b| b.cmp(a));
        let Some(&end) = ends.get(self.majority() - 1) else { return };
        if end > self.commit && self.term_below(end) == self.term {
            self.commit = end;
            for peer in 0..self.members.len() - 1 {
                self.stream(peer, out);
            }
        }
    }
}
