//! What followers do.

use brokerlab_event::{NodeId, Offset, Time};

use super::{Body, Command, Entry, LogEnd, Member, Out};

impl<C: Command, S: Clone> Member<C, S> {
    /// A leader sends entries.
    pub(super) fn append(
        &mut self,
        now: Time,
        from: NodeId,
        (term, after, commit): (u32, LogEnd, Offset),
        entries: Vec<(u32, Entry<C>)>,
        out: &mut Out<C, S>,
    ) {
        if term < self.term {
            return self.answer(from, false, self.applied.end, out); // it learns of this term
        }
        self.follow(now, Some(from));
        if after.end > self.log.end() {
            return self.answer(from, false, self.log.end(), out);
        }
        if after.end > self.applied.end && self.term_below(after.end) != after.term {
            // What was applied is as the leader has it; what of the rest is, need not be known.
            return self.answer(from, false, self.applied.end, out);
        }
        let mut at = after.end;
        for (term, entry) in entries {
            self.take(at, term, entry, now);
            at = at.next();
        }
        self.verified = self.verified.max(at);
        self.commit = self.commit.max(commit.min(self.verified));
        self.flush(out);
        if self.flushing.is_none() {
            self.confirm(out);
        }
    }

    /// Takes an entry, unless it has it. One of another leader gives way, with all behind it.
    fn take(&mut self, at: Offset, term: u32, entry: Entry<C>, now: Time) {
        if at < self.applied.end || (at < self.log.end() && self.log.epochs().at(at) == Some(term)) {
            return;
        }
        assert!(at >= self.commit, "what is committed is never replaced");
        self.cut(at);
        self.log.begin_epoch(term);
        self.log.append(entry, now);
    }

    /// Gives up what comes at and after this place. Whatever the disk is writing there at present is something else
    /// than what comes next.
    fn cut(&mut self, at: Offset) {
        self.log.truncate(at);
        self.flushing = self.flushing.map(|until| until.min(at));
    }

    /// Tells the leader what is on the disk.
    pub(super) fn confirm(&mut self, out: &mut Out<C, S>) {
        if let Some(leader) = self.leader {
            let end = self.verified.min(self.log.flushed());
            self.answer(leader, true, end, out);
        }
    }

    fn answer(&self, to: NodeId, agrees: bool, end: Offset, out: &mut Out<C, S>) {
        self.send(to, Body::Appended { agrees, end, is_blank: self.is_blank }, out);
    }

    /// A leader sends its state, and what was known before is of no use any more.
    pub(super) fn install(
        &mut self,
        now: Time,
        from: NodeId,
        (term, upto): (u32, LogEnd),
        state: S,
        out: &mut Out<C, S>,
    ) {
        if term < self.term {
            return self.answer(from, false, self.applied.end, out);
        }
        self.follow(now, Some(from));
        if upto.end > self.applied.end {
            let agrees = upto.end <= self.log.end() && self.term_below(upto.end) == upto.term;
            if !agrees {
                self.cut(self.log.start());
                self.log.skip_to(upto.end, now);
            }
            self.log.trim(upto.end);
            (self.state, self.applied) = (state, upto);
            self.commit = self.commit.max(upto.end);
        }
        self.verified = self.verified.max(upto.end);
        self.confirm(out);
    }
}
