//! How a consumer reads a partition: where it starts, what it has fetched, what polls return, and when positions
//! are committed by themselves.

use std::collections::VecDeque;

use brokerlab_event::{Duration, MessageId, Offset, StoreId, Time};

use crate::config::OffsetReset;
use crate::message::{Envelope, FetchPosition, Position};

/// A record in the hands of the application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct InHand {
    /// The message.
    pub message: MessageId,
    /// The partition.
    pub store: StoreId,
    /// Its offset there.
    pub offset: Offset,
}

/// Why a consumer without a reset policy cannot start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NoPosition {
    /// The group has committed no offset for this partition.
    NoOffset,
    /// The committed offset is outside [log start, log end].
    OutOfRange,
}

impl Position {
    /// Where a reader starts: at the committed offset where that is in range, otherwise where the policy says.
    pub fn start(&self, reset: OffsetReset) -> Result<Offset, NoPosition> {
        match self.committed {
            Some(committed) if self.log_start <= committed && committed <= self.log_end => Ok(committed),
            _ => self.reset(reset),
        }
    }

    /// Where a reader starts that has no position in range.
    pub fn reset(&self, reset: OffsetReset) -> Result<Offset, NoPosition> {
        match reset {
            OffsetReset::Earliest => Ok(self.log_start),
            OffsetReset::Latest => Ok(self.high_watermark),
            OffsetReset::ByDuration(_) => Ok(self.at_time),
            OffsetReset::None if self.committed.is_none() => Err(NoPosition::NoOffset),
            OffsetReset::None => Err(NoPosition::OutOfRange),
        }
    }

    /// Where somebody wants the reader to go: what is gone meanwhile is passed over.
    pub fn sought(&self) -> Option<Offset> {
        let committed = self.committed.filter(|_| self.sought)?;
        Some(committed.max(self.log_start).min(self.log_end))
    }
}

impl OffsetReset {
    /// The time whose records the policy begins with, if it goes by time.
    pub fn time(self, now: Time) -> Option<Time> {
        match self {
            OffsetReset::ByDuration(age) => Some(Time::ZERO + now.saturating_since(Time::ZERO + age)),
            _ => None,
        }
    }
}

/// Why a partition is not read for now: the broker has been asked where to go on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Lost {
    /// The position is out of range; the reset policy decides.
    OutOfRange,
    /// Somebody may have sent the group elsewhere.
    Asking,
    /// The leader is another than before, or has been away: whether it has what was read before is asked first.
    Fenced,
}

/// Commits inside polls: each poll asks whether one is due.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AutoCommit {
    every: Duration,
    next: Time,
}

impl AutoCommit {
    /// The interval begins now.
    pub fn new(now: Time, every: Duration) -> AutoCommit {
        AutoCommit { every, next: now.saturating_add(every) }
    }

    /// When the next commit is due.
    pub fn next(&self) -> Time {
        self.next
    }

    /// True where a commit is due; the next interval begins.
    pub fn take_due(&mut self, now: Time) -> bool {
        let due = self.next <= now;
        if due {
            self.next = now.saturating_add(self.every);
        }
        due
    }
}

/// A partition that the member owns.
#[derive(Clone, Debug)]
pub struct Owned<P> {
    /// The partition.
    pub store: StoreId,
    /// The next offset that a poll returns: everything below was returned by earlier polls.
    pub position: Offset,
    /// The next offset to fetch.
    fetch_from: Offset,
    /// The leader epoch that is known.
    pub epoch: u32,
    /// What the broker last acknowledged as committed.
    pub committed: Option<Offset>,
    /// Fetched records; those before `polled` were returned by polls.
    records: Vec<(Offset, Envelope<P>)>,
    polled: usize,
    /// Fetched while the application still works on `records`.
    ahead: Vec<(Offset, Envelope<P>)>,
    /// Why it has no position, where it has none.
    pub lost: Option<Lost>,
    /// Its records are returned no sooner than this after they were written.
    pub delay: Duration,
}

impl<P> Owned<P> {
    /// A partition to be read from here, as its leader of this epoch has said.
    pub fn new(store: StoreId, position: Offset, epoch: u32, committed: Option<Offset>) -> Owned<P> {
        let (records, ahead) = (Vec::new(), Vec::new());
        Owned {
            store,
            position,
            fetch_from: position,
            epoch,
            committed,
            records,
            polled: 0,
            ahead,
            lost: None,
            delay: Duration::ZERO,
        }
    }

    /// Goes on at another position, without the records that were fetched from the old one.
    pub fn seek(&mut self, position: Offset) {
        (self.position, self.fetch_from, self.lost) = (position, position, None);
        self.drop_fetched();
    }

    /// Has no position until the broker has answered, and drops what was fetched from the old one.
    pub fn lose(&mut self, why: Lost) {
        self.lost = Some(why);
        self.drop_fetched();
    }

    fn drop_fetched(&mut self) {
        self.records.clear();
        self.ahead.clear();
        self.polled = 0;
    }

    /// Where to fetch from, if nothing is left that a poll could return.
    #[inline]
    pub fn wanted(&self) -> Option<FetchPosition> {
        (self.lost.is_none() && !self.has_unpolled()).then_some(self.fetch_position())
    }

    /// Where it would fetch from.
    #[inline]
    pub fn fetch_position(&self) -> FetchPosition {
        FetchPosition { store: self.store, epoch: self.epoch, offset: self.fetch_from }
    }

    /// The leader has said that it is of this epoch now, and where the last known one ended with it. Where that lies
    /// before what was read, this is where to go on.
    pub fn learn_end(&mut self, epoch: u32, end: Offset) -> Option<Offset> {
        (self.epoch, self.lost) = (epoch, None);
        (end < self.fetch_from).then_some(end)
    }

    /// True where fetched records wait for a poll.
    #[inline]
    pub fn has_unpolled(&self) -> bool {
        self.polled < self.records.len() || !self.ahead.is_empty()
    }

    /// Takes what a fetch brought, which has looked at everything before `next`. Memory that is not needed any more is
    /// left in its place.
    #[inline]
    pub fn fetched(&mut self, records: &mut Vec<(Offset, Envelope<P>)>, next: Offset) {
        self.fetch_from = next;
        if !records.is_empty() {
            std::mem::swap(&mut self.ahead, records);
            records.clear();
        } else if !self.has_unpolled() {
            // There was nothing to see up to there, and nothing that a poll has still to return before.
            self.position = next;
        }
    }

    /// Hands up to this many records to the application; they join `batch`. How many, and where they begin.
    #[inline]
    pub fn poll(&mut self, most: usize, batch: &mut VecDeque<InHand>) -> Option<(Offset, usize)> {
        if self.polled == self.records.len() {
            std::mem::swap(&mut self.records, &mut self.ahead);
            self.ahead.clear();
            self.polled = 0;
        }
        let count = most.min(self.records.len() - self.polled);
        let returned = &self.records[self.polled..self.polled + count];
        let (first, last) = (returned.first()?.0, returned.last()?.0);
        let store = self.store;
        batch.extend(returned.iter().map(|(offset, record)| InHand {
            message: record.message,
            store,
            offset: *offset,
        }));
        self.polled += count;
        // Behind the last record there may be offsets without one.
        self.position = if self.has_unpolled() { last.next() } else { self.fetch_from };
        Some((first, count))
    }

    /// Fetched records that no poll has returned.
    fn waiting(&self) -> impl Iterator<Item = &Envelope<P>> {
        self.records[self.polled..].iter().chain(&self.ahead).map(|(_, record)| record)
    }

    /// How many records polls may return now, and when the next one may be returned where none may.
    #[inline]
    pub fn due(&self, now: Time) -> Result<usize, Time> {
        if self.delay.is_zero() {
            return Ok(usize::MAX);
        }
        let due_at = |record: &Envelope<P>| record.timestamp.saturating_add(self.delay);
        match self.waiting().take_while(|record| due_at(record) <= now).count() {
            0 => Err(self.waiting().next().map_or(Time::MAX, due_at)),
            count => Ok(count),
        }
    }

    /// A record that the last poll returned.
    pub fn returned(&self, offset: Offset) -> Option<&Envelope<P>> {
        let returned = &self.records[..self.polled];
        returned.binary_search_by_key(&offset, |(own, _)| *own).ok().map(|index| &returned[index].1)
    }

    /// What was fetched and not yet returned by a poll.
    pub fn unpolled(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.records[self.polled..].iter().chain(&self.ahead).map(|(_, record)| record.message)
    }
}
