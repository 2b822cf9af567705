//! Elections.

use brokerlab_event::{NodeId, Time};

use super::{BROADCAST, Body, Command, LogEnd, Member, Out, Role};

impl<C: Command, S: Clone> Member<C, S> {
    /// The connection with another member's node has ended.
    pub fn lost(&mut self, now: Time, node: NodeId) {
        self.cut_off(node);
        if self.leader == Some(node) {
            self.leader = None;
            self.election_within(now, BROADCAST, 6 * BROADCAST);
        }
    }

    /// Nothing has been heard of another member's node for a while.
    pub fn suspected(&mut self, now: Time, node: NodeId) {
        self.cut_off(node);
        if self.leader == Some(node) {
            self.election_after_poll(now);
        }
    }

    /// Nothing is sent there, and nothing kept for it, until it is heard of again.
    fn cut_off(&mut self, node: NodeId) {
        self.unreachable.insert(node);
        if let Role::Leader { peers } = &mut self.role {
            peers.iter_mut().filter(|peer| peer.node == node).for_each(|peer| peer.lost());
        }
    }

    /// Another member's node is heard of, after it was lost or suspected.
    pub fn heard_again(&mut self, node: NodeId, out: &mut Out<C, S>) {
        self.unreachable.remove(&node);
        if self.is_leader() {
            self.look_at(node, out);
        } else if self.leader == Some(node) {
            self.election_at = None;
        }
    }

    /// Somebody is in a later term: whoever led in this one does no more.
    pub(super) fn enter_term(&mut self, now: Time, term: u32) {
        (self.term, self.voted_for) = (term, None);
        self.follow(now, None);
    }

    /// Follows somebody, or waits for somebody to follow.
    pub(super) fn follow(&mut self, now: Time, leader: Option<NodeId>) {
        if self.leader != leader || self.is_leader() {
            self.verified = self.applied.end;
        }
        (self.role, self.leader) = (Role::Follower, leader);
        match leader {
            Some(_) => self.election_at = None,
            None => self.election_after_poll(now),
        }
    }

    /// Asks the others whether they would vote for it; they may also know of a leader.
    pub(super) fn ask_for_election(&mut self, now: Time, out: &mut Out<C, S>) {
        if self.is_leader() {
            return;
        }
        self.round += 1;
        (self.role, self.leader) = (Role::PreCandidate { votes: Vec::new() }, None);
        self.election_after_poll(now);
        let (round, log) = (self.round, self.log_end());
        for other in self.others().collect::<Vec<_>>() {
            self.send(other, Body::PreVote { round, log }, out);
        }
        self.count_pre_vote(now, self.node, out);
    }

    pub(super) fn pre_vote_asked(
        &mut self,
        now: Time,
        from: NodeId,
        (term, round, log): (u32, u64, LogEnd),
        out: &mut Out<C, S>,
    ) {
        if self.is_leader() {
            return self.look_at(from, out); // which shows it that there is a leader
        }
        let granted = !self.is_blank && term == self.term && log >= self.log_end();
        if !granted && self.leader != Some(from) {
            // Somebody whose log goes further may have to stand.
            self.election_after_poll(now);
        }
        self.send(from, Body::PreVoteAnswer { round, granted }, out);
    }

    pub(super) fn pre_vote_answered(
        &mut self,
        now: Time,
        from: NodeId,
        (term, round, granted): (u32, u64, bool),
        out: &mut Out<C, S>,
    ) {
        if granted && term == self.term && round == self.round {
            self.count_pre_vote(now, from, out);
        }
    }

    fn count_pre_vote(&mut self, now: Time, from: NodeId, out: &mut Out<C, S>) {
        let majority = self.majority();
        if let Role::PreCandidate { votes } = &mut self.role
            && !self.is_blank
            && !votes.contains(&from)
        {
            votes.push(from);
            if votes.len() >= majority {
                self.stand(now, out);
            }
        }
    }

    /// Stands for election in a term of its own.
    fn stand(&mut self, now: Time, out: &mut Out<C, S>) {
        self.term += 1;
        self.voted_for = Some(self.node);
        self.role = Role::Candidate { votes: vec![self.node] };
        self.election_after_poll(now);
        let log = self.log_end();
        for other in self.others().collect::<Vec<_>>() {
            self.send(other, Body::Vote { log }, out);
        }
    }

    pub(super) fn vote_asked(&mut self, now: Time, from: NodeId, (term, log): (u32, LogEnd), out: &mut Out<C, S>) {
        let is_free = self.voted_for.is_none_or(|other| other == from);
        let granted = !self.is_blank && term == self.term && is_free && log >= self.log_end();
        if granted {
            self.voted_for = Some(from);
            self.election_after_poll(now);
        }
        self.send(from, Body::VoteAnswer { granted }, out);
    }

    pub(super) fn vote_answered(&mut self, now: Time, from: NodeId, term: u32, granted: bool, out: &mut Out<C, S>) {
        let majority = self.majority();
        if let Role::Candidate { votes } = &mut self.role
            && granted
            && term == self.term
            && !votes.contains(&from)
        {
            votes.push(from);
            if votes.len() >= majority {
                self.win(now, out);
            }
        }
    }
}
