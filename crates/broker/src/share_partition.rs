//! A partition as a share group reads it: which records are with whom, which are done with, and which wait.
//!
//! The rules are those of Kafka's share partitions (KIP-932; renewal KIP-1222; strict limits KIP-1206). Every record
//! from the start offset on is available, acquired by a member for the time of its lock, acknowledged, or archived.
//! Records that were fetched together are kept together as one batch, and within a batch neighbours of the same state
//! as one run, so memory follows the differences between records, not their number. Neither topics nor the records
//! themselves are known here: the caller fetches and tells which offsets there are.

use std::collections::BTreeMap;

use brokerlab_event::{ClientId, Duration, Offset, Time};

use crate::message::Member;

mod batch;

pub use batch::RecordState;
use batch::{Batch, Run};

/// The rules of a share group.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShareRules {
    /// How long a member may hold a record (`group.share.record.lock.duration.ms`, default 30 s).
    pub lock_duration: Duration,
    /// A record that was acquired this often is archived instead of becoming available again
    /// (`group.share.delivery.count.limit`, default 5).
    pub delivery_count_limit: u32,
    /// Records between the start offset and the last one acquired, beyond which nothing new is acquired
    /// (`group.share.partition.max.record.locks`, default 2000).
    pub max_record_locks: u32,
    /// How the limit of a fetch is meant.
    pub acquire_mode: AcquireMode,
}

impl Default for ShareRules {
    fn default() -> ShareRules {
        ShareRules {
            lock_duration: Duration::from_secs(30),
            delivery_count_limit: 5,
            max_record_locks: 2000,
            acquire_mode: AcquireMode::BatchOptimized,
        }
    }
}

/// How the limit of records of a fetch is meant (`share.acquire.mode`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AcquireMode {
    /// Whole batches of the producer: a fetch may get more than it asked for.
    BatchOptimized,
    /// Never more than was asked for.
    RecordLimit,
}

/// What a member says of a record that it has acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Acknowledgement {
    /// Done.
    Accept,
    /// Not done; somebody else may try, or the same member again.
    Release,
    /// Nobody can do it.
    Reject,
    /// There is no record at this offset.
    Gap,
    /// Still at work: the lock begins anew.
    Renew,
}

/// What a member says of some offsets: the same of all, or of each its own.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acknowledged {
    /// The first offset.
    pub first: Offset,
    /// The last offset.
    pub last: Offset,
    /// One for all offsets, or one for each.
    pub kinds: Vec<Acknowledgement>,
}

/// Why an acknowledgement was refused (Kafka protocol guide, error codes 121 and 42).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ShareError {
    /// A record is not acquired by this member.
    InvalidRecordState,
    /// It speaks of records that nobody has fetched, or not in a way that makes sense.
    InvalidRequest,
}

/// Records that a member has acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Acquired {
    /// The first offset.
    pub first: Offset,
    /// The last offset.
    pub last: Offset,
    /// How often they have been acquired, this time included.
    pub delivery_count: u32,
}

/// What became of records that were acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Change {
    /// The first offset.
    pub first: Offset,
    /// The last offset.
    pub last: Offset,
    /// What they are now.
    pub to: Turn,
}

/// What a record turns into that is no longer acquired.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It waits for somebody again.
    Available,
    /// It was accepted.
    Accepted,
    /// It was rejected.
    Rejected,
    /// It had been delivered too often to become available again.
    Exhausted,
    /// There is no such record, or not any more.
    Gone,
}

/// A partition as one share group reads it.
#[derive(Clone, PartialEq, Debug)]
pub struct SharePartition {
    rules: ShareRules,
    /// Everything below is done with.
    start: u64,
    /// The last offset that was ever acquired; where nothing is in flight, the next one to acquire.
    end: u64,
    /// By first offset. Batches leave at the front only, once all of their records are done with.
    batches: BTreeMap<u64, Batch>,
    /// How many records in flight are available.
    available: u64,
    /// No lock ends earlier.
    earliest_lock: Time,
}

/// What is left of a share partition when its node has gone down: acquisitions are not written down.
#[derive(Clone, PartialEq, Debug)]
pub struct DurableShare {
    start: u64,
    end: u64,
    batches: BTreeMap<u64, Batch>,
}

impl SharePartition {
    /// A partition of which nothing was acquired, to be read from here on.
    pub fn new(rules: ShareRules, start: Offset) -> SharePartition {
        let start = start.get();
        let (batches, earliest_lock) = (BTreeMap::new(), Time::MAX);
        SharePartition { rules, start, end: start, batches, available: 0, earliest_lock }
    }

    /// The first offset that is not done with.
    pub fn start(&self) -> Offset {
        Offset::new(self.start)
    }

    /// The last offset that was acquired; where nothing is in flight, the next one to acquire.
    pub fn end(&self) -> Offset {
        Offset::new(self.end)
    }

    /// The offset after all that was ever acquired.
    pub fn first_untouched(&self) -> Offset {
        let known = self.batches.last_key_value().map_or(self.end, |(_, batch)| batch.last + 1);
        Offset::new(known.max(self.start))
    }

    /// Where the next fetch begins: at the first available record, or after everything that was acquired.
    pub fn next_fetch_offset(&self) -> Offset {
        let nothing_left = self.batches.last_key_value().is_none_or(|(_, batch)| self.start > batch.last);
        if nothing_left {
            return Offset::new(self.end);
        }
        let first = if self.available == 0 { None } else { self.first_available() };
        Offset::new(first.unwrap_or(self.end + 1))
    }

    fn first_available(&self) -> Option<u64> {
        self.batches
            .values()
            .find_map(|batch| batch.runs().find(|(run, _)| run.state == RecordState::Available))
            .map(|(run, _)| run.first)
    }

    /// Whether a fetch may acquire anything: what was released always, new records only within the limit.
    pub fn can_acquire(&self) -> bool {
        if self.next_fetch_offset().get() != self.end + 1 {
            return true;
        }
        let locked = if self.batches.is_empty() { 0 } else { self.end - self.start + 1 };
        locked < u64::from(self.rules.max_record_locks)
    }

    /// Every offset in flight or kept beside one that is, with its state and how often it was acquired.
    pub fn in_flight(&self) -> impl Iterator<Item = (Offset, RecordState, u32)> + '_ {
        let each = |(run, last): (&Run, u64)| {
            let (state, count) = (run.state, run.delivery_count);
            (run.first..=last).map(move |offset| (Offset::new(offset), state, count))
        };
        self.batches.values().flat_map(Batch::runs).flat_map(each)
    }

    /// The ranges of records that were acquired before and are not done with.
    pub fn unfinished(&self) -> impl Iterator<Item = (Offset, Offset)> + '_ {
        let open = |run: &Run| matches!(run.state, RecordState::Available | RecordState::Acquired);
        let runs = self.batches.values().flat_map(Batch::runs).filter(move |(run, _)| open(run));
        let from_start = runs.map(|(run, last)| (run.first.max(self.start), last));
        from_start.filter(|(first, last)| first <= last).map(|(first, last)| (Offset::new(first), Offset::new(last)))
    }

    /// Gives a member what is available of these batches, which a fetch has found; nothing of what others hold.
    /// The first and the last offset of each are named, in their order.
    pub fn acquire(&mut self, now: Time, member: Member, most: u32, found: &[(Offset, Offset)]) -> Vec<Acquired> {
        let mut acquired = Vec::new();
        let (Some((first, _)), Some((_, last)), 1..) = (found.first(), found.last(), most) else { return acquired };
        let (first, last, most) = (first.get(), last.get(), u64::from(most));
        let lock = Lock { member, until: now.saturating_add(self.rules.lock_duration) };
        let around = self.batches.range(..=first).next_back().filter(|(_, batch)| batch.last >= first);
        let floor = around.map_or(first, |(key, _)| *key);
        let (mut count, mut known_until, mut released) = (0, None, 0);
        let strict = self.rules.acquire_mode == AcquireMode::RecordLimit;
        for batch in self.batches.range_mut(floor..=last).map(|(_, batch)| batch) {
            known_until = Some(batch.last);
            if count < most {
                let limit = if strict { most - count } else { u64::MAX };
                let got = batch.acquire(first, last, limit, lock, &mut acquired);
                count += got;
                released += got;
            }
        }
        self.available -= released;
        let fresh = known_until.map_or(first, |known| known + 1);
        if count < most && fresh <= last {
            self.acquire_fresh((fresh, last), most - count, found, lock, &mut acquired);
        }
        if !acquired.is_empty() {
            self.earliest_lock = self.earliest_lock.min(lock.until);
        }
        acquired
    }

    /// Acquires records that nobody had before.
    fn acquire_fresh(
        &mut self,
        (first, last): (u64, u64),
        most: u64,
        found: &[(Offset, Offset)],
        lock: Lock,
        acquired: &mut Vec<Acquired>,
    ) {
        // The batch that was fetched may begin with records that are done with and forgotten.
        let first = if self.batches.is_empty() { first.max(self.end) } else { first };
        let wanted = first.saturating_add(most - 1);
        let last = if wanted >= last {
            last
        } else if self.rules.acquire_mode == AcquireMode::RecordLimit {
            wanted
        } else {
            let around = found.iter().find(|(from, to)| from.get() <= wanted && wanted <= to.get());
            around.map_or(wanted, |(_, to)| to.get())
        };
        if last < first {
            return;
        }
        self.batches.insert(first, Batch::acquired(first, last, lock));
        if self.batches.first_key_value().is_some_and(|(key, _)| *key == first) {
            self.start = first;
        }
        self.end = last;
        acquired.push(Acquired { first: Offset::new(first), last: Offset::new(last), delivery_count: 1 });
    }

    /// Takes a member's word on records that it holds: on all, or where anything is wrong on none of them.
    pub fn acknowledge(
        &mut self,
        now: Time,
        member: Member,
        acknowledged: &[Acknowledged],
    ) -> Result<Vec<Change>, ShareError> {
        let mut changes = Vec::new();
        let (mut before, available) = (Vec::new(), self.available);
        for batch in acknowledged {
            if let Err(error) = self.acknowledge_batch(now, member, batch, &mut before, &mut changes) {
                for (key, runs) in before.into_iter().rev() {
                    self.batches.get_mut(&key).expect("nothing was removed meanwhile").restore(runs);
                }
                self.available = available;
                return Err(error);
            }
        }
        self.forget_finished();
        Ok(changes)
    }

    fn acknowledge_batch(
        &mut self,
        now: Time,
        member: Member,
        acknowledged: &Acknowledged,
        before: &mut Vec<(u64, Vec<Run>)>,
        changes: &mut Vec<Change>,
    ) -> Result<(), ShareError> {
        let (first, last) = (acknowledged.first.get(), acknowledged.last.get());
        let kinds = &acknowledged.kinds;
        let makes_sense = first <= last && (kinds.len() == 1 || kinds.len() as u64 == last - first + 1);
        if !makes_sense {
            return Err(ShareError::InvalidRequest);
        }
        if last < self.start {
            return Ok(());
        }
        let floor = self.floor_of(first, last)?;
        let furthest = self.batches.range(floor..=last).next_back().map_or(0, |(_, batch)| batch.last);
        if furthest < last {
            return Err(ShareError::InvalidRequest);
        }
        let (start, limit) = (self.start, self.rules.delivery_count_limit);
        let lock = Lock { member, until: now.saturating_add(self.rules.lock_duration) };
        for (key, batch) in self.batches.range_mut(floor..=last) {
            if batch.last < start || batch.last < first {
                continue;
            }
            before.push((*key, batch.copy_of_runs()));
            self.available += batch.acknowledge(acknowledged, start, limit, lock, changes)?;
        }
        Ok(())
    }

    /// The first batch that these offsets touch, or that the start offset touches where it lies among them.
    fn floor_of(&self, first: u64, last: u64) -> Result<u64, ShareError> {
        let floor = |offset: u64| self.batches.range(..=offset).next_back().map(|(key, _)| *key);
        let moved = first < self.start && self.start <= last;
        floor(first).or_else(|| if moved { floor(self.start) } else { None }).ok_or(ShareError::InvalidRecordState)
    }

    /// A member is gone: what it holds becomes available at once.
    pub fn release_member(&mut self, member: Member) -> Vec<Change> {
        self.release(|run| run.member == Some(member))
    }

    /// The connection of a client is gone: what it holds becomes available at once, whoever it was then.
    pub fn release_client(&mut self, client: ClientId) -> Vec<Change> {
        self.release(|run| run.member.is_some_and(|member| member.client == client))
    }

    /// Releases what was held for too long.
    pub fn handle_timeout(&mut self, now: Time) -> Vec<Change> {
        if now < self.earliest_lock {
            return Vec::new();
        }
        let changes = self.release(|run| run.locked_until <= now);
        let held = self.batches.values().flat_map(Batch::runs).filter(|(run, _)| run.state == RecordState::Acquired);
        self.earliest_lock = held.map(|(run, _)| run.locked_until).min().unwrap_or(Time::MAX);
        changes
    }

    /// When a lock may end: not later than the first that does.
    pub fn next_timeout(&self) -> Option<Time> {
        (self.earliest_lock < Time::MAX).then_some(self.earliest_lock)
    }

    fn release(&mut self, which: impl Fn(&Run) -> bool) -> Vec<Change> {
        let mut changes = Vec::new();
        for batch in self.batches.values_mut() {
            self.available += batch.release(&which, self.start, self.rules.delivery_count_limit, &mut changes);
        }
        if !changes.is_empty() {
            self.forget_finished();
        }
        changes
    }

    /// The log now begins here: what lies below and is not held by anybody is archived.
    pub fn log_start_moved(&mut self, to: Offset) {
        let to = to.get();
        if to <= self.start {
            return;
        }
        if self.batches.is_empty() {
            (self.start, self.end) = (to, to);
            return;
        }
        for batch in self.batches.range_mut(..to).map(|(_, batch)| batch) {
            self.available -= batch.archive_available(to);
        }
        self.start = to;
        self.end = self.end.max(to);
    }

    /// Moves the start offset over everything that is done with, and forgets the batches that end before it.
    fn forget_finished(&mut self) {
        let Some(done) = self.finished_prefix().filter(|done| *done >= self.start) else { return };
        while let Some(entry) = self.batches.first_entry()
            && entry.get().last <= done
        {
            entry.remove();
        }
        match self.batches.first_key_value() {
            None => (self.start, self.end) = (done + 1, done + 1),
            Some((first, _)) => self.start = (*first).max(done + 1),
        }
    }

    /// The last offset of those that are done with from the front on.
    fn finished_prefix(&self) -> Option<u64> {
        let runs = self.batches.values().flat_map(Batch::runs);
        runs.take_while(|(run, _)| run.state.is_terminal()).last().map(|(_, last)| last)
    }

    /// What survives when the node goes down: what members were told is written down, acquisitions are not. Their
    /// records are available again, and were not counted.
    pub fn crash(self) -> DurableShare {
        let SharePartition { start, end, mut batches, .. } = self;
        batches.values_mut().for_each(Batch::forget_acquisitions);
        DurableShare { start, end, batches }
    }

    /// The share partition of a node that comes back, whose log now ends here: it may have lost records.
    pub fn recover(durable: DurableShare, rules: ShareRules, log_end: Offset) -> SharePartition {
        let DurableShare { start, end, mut batches } = durable;
        let log_end = log_end.get();
        batches.retain(|first, _| *first < log_end);
        if let Some(mut last) = batches.last_entry() {
            last.get_mut().truncate(log_end);
        }
        let end = match batches.last_key_value() {
            Some((_, batch)) => batch.last,
            None => end.min(log_end),
        };
        let start = start.min(log_end);
        let available = batches.values().map(Batch::count_available).sum();
        let mut recovered = SharePartition { rules, start, end, batches, available, earliest_lock: Time::MAX };
        recovered.forget_finished();
        recovered
    }
}

/// Who holds records, and until when.
#[derive(Clone, Copy, Debug)]
struct Lock {
    member: Member,
    until: Time,
}
