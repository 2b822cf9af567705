//! Records that were acquired together: runs of neighbours that are in the same state.

use brokerlab_event::{Offset, Time};

use super::{Acknowledged, Acknowledgement, Acquired, Change, Lock, ShareError, Turn};
use crate::message::Member;

/// The state of a record in a share group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RecordState {
    /// It waits for somebody.
    Available,
    /// A member has it.
    Acquired,
    /// It was accepted.
    Acknowledged,
    /// It was given up.
    Archived,
}

impl RecordState {
    /// Nothing can become of it any more.
    pub fn is_terminal(self) -> bool {
        matches!(self, RecordState::Acknowledged | RecordState::Archived)
    }
}

/// Neighbours in the same state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Run {
    pub first: u64,
    pub state: RecordState,
    /// How often they were acquired.
    pub delivery_count: u32,
    /// Who holds them.
    pub member: Option<Member>,
    /// Until when.
    pub locked_until: Time,
}

impl Run {
    fn is_like(&self, other: &Run) -> bool {
        Run { first: other.first, ..*self } == *other
    }

    fn turn(&mut self, to: RecordState) {
        (self.state, self.member, self.locked_until) = (to, None, Time::ZERO);
    }
}

/// Records that were acquired together at first.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Batch {
    /// Its last offset.
    pub last: u64,
    /// Its records are told of one by one, because they were once not all in the same state.
    is_split: bool,
    runs: Vec<Run>,
}

impl Batch {
    pub fn acquired(first: u64, last: u64, lock: Lock) -> Batch {
        let (state, member, locked_until) = (RecordState::Acquired, Some(lock.member), lock.until);
        Batch { last, is_split: false, runs: vec![Run { first, state, delivery_count: 1, member, locked_until }] }
    }

    fn first(&self) -> u64 {
        self.runs[0].first
    }

    /// The last offset of a run.
    fn last_of(&self, index: usize) -> u64 {
        self.runs.get(index + 1).map_or(self.last, |next| next.first - 1)
    }

    /// Its runs, each with its last offset.
    pub fn runs(&self) -> impl Iterator<Item = (&Run, u64)> + '_ {
        self.runs.iter().enumerate().map(|(index, run)| (run, self.last_of(index)))
    }

    pub fn count_available(&self) -> u64 {
        let available = self.runs().filter(|(run, _)| run.state == RecordState::Available);
        available.map(|(run, last)| last - run.first + 1).sum()
    }

    /// The places of the runs that lie in a range, which begins and ends with runs of their own.
    fn cut_out(&mut self, from: u64, to: u64) -> std::ops::Range<usize> {
        let from = self.cut(from.max(self.first()));
        let to = if to >= self.last { self.runs.len() } else { self.cut(to + 1) };
        from..to
    }

    /// Lets a run begin at an offset of the batch; its place.
    fn cut(&mut self, offset: u64) -> usize {
        match self.runs.binary_search_by_key(&offset, |run| run.first) {
            Ok(index) => index,
            Err(index) => {
                let run = Run { first: offset, ..self.runs[index - 1] };
                self.runs.insert(index, run);
                index
            }
        }
    }

    fn join(&mut self) {
        self.runs.dedup_by(|later, earlier| earlier.is_like(later));
    }

    /// Acquires what is available from one offset to another. Returns how many that were.
    pub fn acquire(&mut self, first: u64, last: u64, most: u64, lock: Lock, acquired: &mut Vec<Acquired>) -> u64 {
        let is_whole = first <= self.first() && self.last <= last && self.last - self.first() < most;
        if !is_whole && !self.is_split {
            if self.runs[0].state != RecordState::Available {
                return 0;
            }
            self.is_split = true;
        }
        let mut count = 0;
        let mut index = self.cut(first.clamp(self.first(), self.last));
        while index < self.runs.len() && self.runs[index].first <= last && count < most {
            if self.runs[index].state == RecordState::Available {
                let until = self.last_of(index).min(last).min(self.runs[index].first.saturating_add(most - count - 1));
                if until < self.last_of(index) {
                    self.cut(until + 1);
                }
                count += self.acquire_run(index, lock, acquired);
            }
            index += 1;
        }
        self.join();
        count
    }

    fn acquire_run(&mut self, index: usize, lock: Lock, acquired: &mut Vec<Acquired>) -> u64 {
        let last = self.last_of(index);
        let run = &mut self.runs[index];
        run.delivery_count += 1;
        (run.state, run.member, run.locked_until) = (RecordState::Acquired, Some(lock.member), lock.until);
        let (first, delivery_count) = (run.first, run.delivery_count);
        let range =
            |first: u64, last: u64| Acquired { first: Offset::new(first), last: Offset::new(last), delivery_count };
        if self.is_split {
            acquired.extend((first..=last).map(|offset| range(offset, offset)));
        } else {
            acquired.push(range(first, last));
        }
        last - first + 1
    }

    pub fn copy_of_runs(&self) -> Vec<Run> {
        self.runs.clone()
    }

    /// Takes back an acknowledgement. That its records are told of one by one stays.
    pub fn restore(&mut self, runs: Vec<Run>) {
        self.runs = runs;
    }

    /// Takes a member's word on those of its records that are not below the start. Returns how many became available.
    pub fn acknowledge(
        &mut self,
        acknowledged: &Acknowledged,
        start: u64,
        limit: u32,
        lock: Lock,
        changes: &mut Vec<Change>,
    ) -> Result<u64, ShareError> {
        let (first, last) = (acknowledged.first.get(), acknowledged.last.get());
        let is_held = |run: &Run| run.state == RecordState::Acquired && run.member == Some(lock.member);
        let is_whole = first <= self.first() && self.last <= last && self.first() >= start;
        if !self.is_split && !is_held(&self.runs[0]) {
            return Err(ShareError::InvalidRecordState);
        }
        self.is_split |= !is_whole || acknowledged.kinds.len() > 1;
        let from = first.max(start).max(self.first());
        let mut available = 0;
        for (offset, to, kind) in pieces(acknowledged, from, last.min(self.last)) {
            for index in self.cut_out(offset, to) {
                if !is_held(&self.runs[index]) {
                    return Err(ShareError::InvalidRecordState);
                }
                available += self.settle(index, kind, limit, lock, changes);
            }
        }
        self.join();
        Ok(available)
    }

    /// Does with a run what its holder says. Returns how many records became available.
    fn settle(
        &mut self,
        index: usize,
        kind: Acknowledgement,
        limit: u32,
        lock: Lock,
        changes: &mut Vec<Change>,
    ) -> u64 {
        let last = self.last_of(index);
        let run = &mut self.runs[index];
        let to = match kind {
            Acknowledgement::Renew => {
                run.locked_until = lock.until;
                return 0;
            }
            Acknowledgement::Accept => Turn::Accepted,
            Acknowledgement::Reject => Turn::Rejected,
            Acknowledgement::Gap => Turn::Gone,
            Acknowledgement::Release if run.delivery_count >= limit => Turn::Exhausted,
            Acknowledgement::Release => Turn::Available,
        };
        run.turn(match to {
            Turn::Available => RecordState::Available,
            Turn::Accepted => RecordState::Acknowledged,
            Turn::Rejected | Turn::Exhausted | Turn::Gone => RecordState::Archived,
        });
        changes.push(Change { first: Offset::new(run.first), last: Offset::new(last), to });
        if to == Turn::Available { last - run.first + 1 } else { 0 }
    }

    /// Takes back what some hold. What lies below the start is gone from the log. Returns how many became available.
    pub fn release(&mut self, which: impl Fn(&Run) -> bool, start: u64, limit: u32, changes: &mut Vec<Change>) -> u64 {
        let is_held = |run: &Run| run.state == RecordState::Acquired && which(run);
        if !self.runs.iter().any(is_held) {
            return 0;
        }
        if self.first() < start && start <= self.last {
            self.is_split = true;
            self.cut(start);
        }
        let mut available = 0;
        for index in 0..self.runs.len() {
            if !is_held(&self.runs[index]) {
                continue;
            }
            let last = self.last_of(index);
            let run = &mut self.runs[index];
            let to = match () {
                () if run.first < start => Turn::Gone,
                () if run.delivery_count >= limit => Turn::Exhausted,
                () => Turn::Available,
            };
            run.turn(if to == Turn::Available { RecordState::Available } else { RecordState::Archived });
            changes.push(Change { first: Offset::new(run.first), last: Offset::new(last), to });
            available += if to == Turn::Available { last - run.first + 1 } else { 0 };
        }
        self.join();
        available
    }

    /// Archives what is available below an offset. Returns how many records those were.
    pub fn archive_available(&mut self, below: u64) -> u64 {
        let is_available = |run: &&mut Run| run.state == RecordState::Available;
        if self.last >= below && self.first() < below && (self.is_split || self.runs[0].state == RecordState::Available)
        {
            self.is_split = true;
            self.cut(below);
        }
        let before = self.count_available();
        self.runs.iter_mut().filter(|run| run.first < below).filter(is_available).for_each(|run| {
            run.turn(RecordState::Archived);
        });
        let archived = before - self.count_available();
        self.join();
        archived
    }

    /// Records that are held are available, and were never given to those who hold them.
    pub fn forget_acquisitions(&mut self) {
        for run in self.runs.iter_mut().filter(|run| run.state == RecordState::Acquired) {
            run.turn(RecordState::Available);
            run.delivery_count -= 1;
        }
        self.join();
        self.is_split |= self.runs.len() > 1;
    }

    /// Forgets the records from an offset on, of which some lie below.
    pub fn truncate(&mut self, end: u64) {
        self.runs.retain(|run| run.first < end);
        self.last = self.last.min(end - 1);
    }
}

/// What is said of the offsets of a range, in pieces of which the same is said.
fn pieces(acknowledged: &Acknowledged, from: u64, to: u64) -> impl Iterator<Item = (u64, u64, Acknowledgement)> + '_ {
    let (first, kinds) = (acknowledged.first.get(), acknowledged.kinds.as_slice());
    let mut next = from;
    std::iter::from_fn(move || {
        if next > to {
            return None;
        }
        let piece = match kinds {
            [all] => (next, to, *all),
            each => {
                let own = &each[(next - first) as usize..=(to - first) as usize];
                let same = own.iter().take_while(|kind| **kind == own[0]).count() as u64;
                (next, next + same - 1, own[0])
            }
        };
        next = piece.1 + 1;
        Some(piece)
    })
}
