//! A replica of a partition: a log with the rules of a topic for rolling, reading and retention.

use std::collections::VecDeque;

use brokerlab_event::{Duration, KeyId, Offset, Removal, Time};

use crate::cleaner::{Cleaner, Dirt, Pass, PassLimits};
use crate::config::{CompactionConfig, Isolation, TopicConfig};
use crate::log::{Crash, DurableLog, Entry, EpochEnd, Log, Segment};
use crate::message::{Envelope, LogError};
use crate::producer_state::{Checked, CompletedTransaction, EndMarker, ProducerState};
use crate::record::{Batch, BatchProducer, Record};

/// The rules of a topic for one partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PartitionRules {
    /// Largest size of a batch in bytes.
    pub max_message_bytes: u32,
    /// Largest size of a segment in bytes.
    pub segment_bytes: u64,
    /// Largest span of record time in a segment.
    pub segment_time: Duration,
    /// Age after which segments are deleted.
    pub retention_time: Option<Duration>,
    /// Size that the log is cut back to.
    pub retention_bytes: Option<u64>,
    /// How it is compacted, if it is.
    pub compaction: Option<CompactionConfig>,
    /// Records that claim to come from further ahead than this are refused (`message.timestamp.after.max.ms`).
    pub timestamp_ahead_max: Duration,
}

impl Default for PartitionRules {
    /// Batches of 1 MiB and their overhead, segments of 1 GiB and 7 days, retention by 7 days, no compaction, times up to an hour ahead.
    fn default() -> PartitionRules {
        let week = Duration::from_secs(7 * 24 * 3600);
        PartitionRules {
            max_message_bytes: (1 << 20) + 12,
            segment_bytes: 1 << 30,
            segment_time: week,
            retention_time: Some(week),
            retention_bytes: None,
            compaction: None,
            timestamp_ahead_max: Duration::from_secs(3600),
        }
    }
}

impl From<&TopicConfig> for PartitionRules {
    fn from(topic: &TopicConfig) -> PartitionRules {
        PartitionRules {
            max_message_bytes: topic.max_message_bytes,
            segment_bytes: topic.segment_bytes,
            segment_time: topic.segment_time,
            retention_time: topic.retention_time,
            retention_bytes: topic.retention_bytes,
            compaction: topic.compaction,
            ..PartitionRules::default()
        }
    }
}

impl PartitionRules {
    /// Largest span of record time in a segment. A segment is closed early enough for its records to be compacted
    /// before the largest lag is over.
    fn segment_span(&self) -> Duration {
        let max_lag = self.compaction.and_then(|compaction| compaction.max_lag);
        max_lag.map_or(self.segment_time, |lag| lag.min(self.segment_time))
    }

    /// Why a batch is refused, if it is.
    fn refusal<P>(&self, records: &[Envelope<P>], bytes: u64, now: Time) -> Option<LogError> {
        if bytes > u64::from(self.max_message_bytes) {
            return Some(LogError::TooLarge);
        }
        if bytes > self.segment_bytes {
            return Some(LogError::LargerThanSegment);
        }
        let latest = now.saturating_add(self.timestamp_ahead_max);
        if records.iter().any(|record| record.timestamp > latest) {
            return Some(LogError::InvalidTimestamp);
        }
        let is_unkeyed = |record: &Envelope<P>| record.key == KeyId::NONE;
        (self.compaction.is_some() && records.iter().any(is_unkeyed)).then_some(LogError::InvalidRecord)
    }
}

/// What an append did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Appended {
    /// Offset of the first record.
    pub first: Offset,
    /// Offset after the last record.
    pub end: Offset,
    /// A new segment began with the batch.
    pub rolled: bool,
    /// Nothing was appended: the batch was there already.
    pub is_duplicate: bool,
    /// A transaction of its producer began with the batch.
    pub begins_transaction: bool,
}

/// What a reader is given.
#[derive(Clone, PartialEq, Debug)]
pub struct Fetched<P> {
    /// Messages with their offsets, in order.
    pub records: Vec<(Offset, Envelope<P>)>,
    /// Where to go on: everything below has been looked at.
    pub next: Offset,
}

/// A record is never quite without size on the wire, and a first one must not be taken for none.
#[inline]
fn wire_size<P>(record: &Record<P>) -> u64 {
    record.bytes().max(1)
}

/// What a follower is sent.
#[derive(Clone, PartialEq, Debug)]
pub struct Copied<P> {
    /// Records with their offsets, in order.
    pub records: Vec<(Offset, Record<P>)>,
    /// Which leaders wrote them: each epoch with the first offset that is of it.
    pub epochs: Vec<(u32, Offset)>,
}

impl<P> Default for Copied<P> {
    fn default() -> Self {
        Copied { records: Vec::new(), epochs: Vec::new() }
    }
}

/// What a pass of the retention did.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Retained {
    /// How many segments were deleted.
    pub segments: usize,
    /// A new segment was begun here, because all others were deleted.
    pub rolled: Option<Offset>,
    /// The new starts of the log, and why they are where they are.
    pub trimmed: Vec<(Offset, Removal)>,
}

/// A replica of a partition.
#[derive(Clone, PartialEq, Debug)]
pub struct PartitionLog<P> {
    log: Log<Record<P>>,
    rules: PartitionRules,
    /// The leader's epoch, which a log without records of it does not know.
    epoch: u32,
    high_watermark: Offset,
    producers: ProducerState,
    snapshots: Snapshots,
    /// No pass of the compaction has looked at what lies here and beyond.
    first_dirty: Offset,
}

/// What was known of producers where some segments begin, oldest first: more than the records that are left can tell.
/// There are at most three: the last at or below the start of the log, which tells of records that are gone, and the
/// last two, from which reading anew goes fast. Behind any other place the records from there on tell the same.
type Snapshots = VecDeque<(Offset, ProducerState)>;

/// How many of the last are kept, as real brokers keep them after a clean shutdown.
const RECENT_SNAPSHOTS: usize = 2;

/// What is left of a partition when its node has gone down.
#[derive(Clone, PartialEq, Debug)]
pub struct DurablePartition<P> {
    log: DurableLog<Record<P>>,
    rules: PartitionRules,
    epoch: u32,
    snapshots: Snapshots,
    /// What snapshots leave out.
    aborted: Vec<CompletedTransaction>,
    first_dirty: Offset,
}

impl<P: Clone> PartitionLog<P> {
    /// An empty partition.
    pub fn new(rules: PartitionRules) -> PartitionLog<P> {
        PartitionLog {
            log: Log::default(),
            rules,
            epoch: 0,
            high_watermark: Offset::ZERO,
            producers: ProducerState::default(),
            snapshots: Snapshots::new(),
            first_dirty: Offset::ZERO,
        }
    }

    /// Its log.
    #[inline]
    pub fn log(&self) -> &Log<Record<P>> {
        &self.log
    }

    /// Consumers may read below this offset: every in-sync replica has it.
    #[inline]
    pub fn high_watermark(&self) -> Offset {
        self.high_watermark
    }

    /// Readers of committed data may read below this offset: everything there is replicated, and it is decided
    /// whether it counts.
    #[inline]
    pub fn last_stable_offset(&self) -> Offset {
        let first_unstable = self.producers.first_unstable();
        first_unstable.map_or(self.high_watermark, |first| first.max(self.log.start()).min(self.high_watermark))
    }

    /// What is known of its producers.
    pub fn producers(&self) -> &ProducerState {
        &self.producers
    }

    /// Forgets producers that have been silent this long.
    pub fn expire_producers(&mut self, now: Time, after: Duration) {
        self.producers.expire(now, after);
        for (_, producers) in &mut self.snapshots {
            producers.expire(now, after);
        }
    }

    /// How many copies it keeps of what was known of producers earlier.
    pub fn snapshots(&self) -> usize {
        self.snapshots.len()
    }

    /// The leader's epoch: a leader that takes over, or comes back, begins a new one.
    pub fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Begins to append under this epoch.
    pub fn begin_epoch(&mut self, epoch: u32) {
        self.epoch = epoch;
        self.log.begin_epoch(epoch);
    }

    /// Appends a batch, in a new segment where it does not fit into the active one by size, or by the time between
    /// the segment's first record and the batch's latest. Exactly full and exactly old enough do not roll.
    pub fn append(&mut self, batch: Batch<P>, now: Time) -> Result<Appended, LogError> {
        let bytes: u64 = batch.records.iter().map(Entry::bytes).sum();
        if let Some(error) = self.rules.refusal(&batch.records, bytes, now) {
            return Err(error);
        }
        let latest = batch.records.iter().map(Entry::timestamp).max().unwrap_or_default();
        let Some(producer) = batch.producer else { return Ok(self.push(batch.into_records(), bytes, latest, now)) };
        self.append_numbered(&producer, batch, bytes, latest, now)
    }

    /// Appends a batch whose records are numbered, unless it is there already.
    fn append_numbered(
        &mut self,
        producer: &BatchProducer,
        batch: Batch<P>,
        bytes: u64,
        latest: Time,
        now: Time,
    ) -> Result<Appended, LogError> {
        let count = batch.records.len() as u32;
        if let Checked::Duplicate(first) = self.producers.check(producer, count)? {
            let end = Offset::new(first.get() + u64::from(count));
            return Ok(Appended { first, end, rolled: false, is_duplicate: true, begins_transaction: false });
        }
        let appended = self.push(batch.into_records(), bytes, latest, now);
        let begins_transaction = self.producers.append(producer, count, appended.first, latest);
        Ok(Appended { begins_transaction, ..appended })
    }

    /// Appends the end of a transaction, which is a batch of its own. Returns the transaction, if there was one here.
    pub fn append_marker(
        &mut self,
        marker: &EndMarker,
        now: Time,
    ) -> Result<(Appended, Option<CompletedTransaction>), LogError>
    where
        P: Default,
    {
        self.producers.check_marker(marker)?;
        let record = Record::marker(marker, now);
        let bytes = record.bytes();
        let appended = self.push([record], bytes, now, now);
        Ok((appended, self.producers.end(marker, appended.first, now)))
    }

    /// Appends records of this size and latest time stamp to the segment that they fit into.
    fn push(&mut self, records: impl IntoIterator<Item = Record<P>>, bytes: u64, latest: Time, now: Time) -> Appended {
        let active = self.log.active();
        let span = self.rules.segment_span();
        let full = active.bytes() > self.rules.segment_bytes - bytes;
        let old = |first: Time| latest.saturating_since(first) > span;
        let rolled = full || active.first_timestamp().is_some_and(old);
        if rolled {
            self.roll(now);
        }
        let first = self.log.end();
        for record in records {
            self.log.append(record, now);
        }
        Appended { first, end: self.log.end(), rolled, is_duplicate: false, begins_transaction: false }
    }

    /// Begins a new segment. False where the active one is empty.
    pub fn roll(&mut self, now: Time) -> bool {
        let rolls = !self.log.active().is_empty();
        if rolls && !self.producers.is_empty() {
            self.snapshots.push_back((self.log.end(), self.producers.snapshot()));
            let keeps_first = self.snapshots[0].0 <= self.log.start();
            if self.snapshots.len() > RECENT_SNAPSHOTS + usize::from(keeps_first) {
                self.snapshots.remove(usize::from(keeps_first));
            }
        }
        self.log.roll(now);
        rolls
    }

    /// Finds out anew what is known of producers: from the last snapshot of what is left, and the records after it.
    fn replay_producers(&mut self) {
        let end = self.log.end();
        while self.snapshots.pop_back_if(|(offset, _)| *offset > end).is_some() {}
        let aborted = self.producers.take_aborted();
        let (from, mut producers) = self.snapshots.back().cloned().unwrap_or_default();
        producers.restore_aborted(aborted, from);
        for (offset, record) in self.log.entries_from(from.max(self.log.start())) {
            producers.replay(offset, record);
        }
        producers.trim(self.log.start());
        self.producers = producers;
    }

    /// The log has a new start: what tells only of records before it is not needed any more.
    fn trim_producers(&mut self) {
        let start = self.log.start();
        self.producers.trim(start);
        while self.snapshots.get(1).is_some_and(|(offset, _)| *offset <= start) {
            self.snapshots.pop_front();
        }
    }

    /// The driver has copied everything below this offset into the page cache.
    #[inline]
    pub fn mark_written(&mut self, until: Offset) {
        self.log.mark_written(until);
    }

    /// The driver has made everything below this offset durable.
    pub fn mark_flushed(&mut self, until: Offset) {
        self.log.mark_flushed(until);
    }

    /// Moves the high watermark up to this offset, but not past the end. It never goes back. True if it moved.
    #[inline]
    pub fn advance_high_watermark(&mut self, to: Offset) -> bool {
        let to = to.min(self.log.end());
        let moves = to > self.high_watermark;
        if moves {
            self.high_watermark = to;
            self.producers.replicated(to);
        }
        moves
    }

    /// True where a reader may ask for this offset. The end counts, and it is the end of the log that counts, not
    /// the high watermark: a reader above that simply waits.
    #[inline]
    pub fn is_in_range(&self, offset: Offset) -> bool {
        self.log.start() <= offset && offset <= self.log.end()
    }

    /// Whether a record of this log belongs to a transaction that was aborted.
    pub fn is_aborted(&self, offset: Offset, record: &Record<P>) -> bool {
        let in_transaction = record.flags.is_transactional() && record.kind.is_message();
        in_transaction && self.producers.is_aborted(record.producer, offset)
    }

    /// How far such a reader may read.
    #[inline]
    pub fn readable_until(&self, isolation: Isolation) -> Offset {
        match isolation {
            Isolation::ReadUncommitted => self.high_watermark,
            Isolation::ReadCommitted => self.last_stable_offset(),
        }
    }

    /// Messages from this offset on, as far as such a reader may read and within a size; the first always fits.
    pub fn fetch(&self, from: Offset, max_bytes: u32, isolation: Isolation) -> Result<Fetched<P>, LogError> {
        let mut records = Vec::new();
        let next = self.fetch_into(&mut records, from, max_bytes, isolation)?;
        Ok(Fetched { records, next })
    }

    /// The same behind what is there already. Returns where to go on.
    #[inline]
    pub fn fetch_into(
        &self,
        records: &mut Vec<(Offset, Envelope<P>)>,
        from: Offset,
        max_bytes: u32,
        isolation: Isolation,
    ) -> Result<Offset, LogError> {
        if !self.is_in_range(from) {
            return Err(LogError::OffsetOutOfRange);
        }
        let until = self.readable_until(isolation);
        let committed_only = isolation == Isolation::ReadCommitted && !self.producers.aborted().is_empty();
        let before = records.len();
        let mut next = until.max(from);
        let mut size = 0_u64;
        for (offset, record) in self.log.entries_from(from) {
            if offset >= until {
                break;
            }
            let bytes = wire_size(record);
            if size > 0 && size + bytes > u64::from(max_bytes) {
                next = offset;
                break;
            }
            size += bytes;
            let is_hidden = committed_only && self.is_aborted(offset, record);
            if record.kind.is_message() && !is_hidden {
                records.push((offset, record.envelope()));
            }
        }
        let readable = self.log.start().max(from)..until;
        debug_assert!(records.iter().skip(before).all(|(offset, _)| readable.contains(offset)), "beyond {readable:?}");
        Ok(next)
    }

    /// Everything that the log holds of a range: whole batches within a size; the first always fits. Half of a batch
    /// would not be recognised where it is sent again.
    pub fn records(&self, from: Offset, until: Offset, max_bytes: u32) -> Copied<P> {
        if from >= until {
            return Copied::default();
        }
        let (mut records, mut size, mut whole) = (Vec::new(), 0_u64, 0);
        for (offset, record) in self.log.entries_from(from).take_while(|(offset, _)| *offset < until) {
            if record.flags.begins_batch() {
                whole = records.len();
            }
            let is_full = size + wire_size(record) > u64::from(max_bytes);
            if is_full && whole > 0 {
                records.truncate(whole);
                break;
            }
            size += wire_size(record);
            records.push((offset, record.clone()));
        }
        let end = records.last().map_or(from, |(offset, _)| offset.next());
        Copied { records, epochs: self.log.epochs().within(from..end) }
    }

    /// Where the records of a time begin: the first record stamped with it or later, in the oldest segment that has
    /// one. The high watermark where there is none below it.
    pub fn offset_at(&self, time: Time) -> Offset {
        let segment = self.log.segments().find(|segment| segment.max_timestamp().is_some_and(|latest| latest >= time));
        let from = segment.map_or(self.log.end(), Segment::base);
        let mut found = self.log.entries_from(from).filter(|(_, record)| record.timestamp() >= time);
        found.next().map_or(self.high_watermark, |(offset, _)| offset.min(self.high_watermark))
    }

    /// Size of the records of a range; counting stops once this many bytes are there.
    pub fn size_between(&self, from: Offset, until: Offset, enough: u64) -> u64 {
        if from >= until {
            return 0;
        }
        let mut size = 0;
        for (offset, record) in self.log.entries_from(from) {
            if offset >= until || size >= enough {
                break;
            }
            size += wire_size(record);
        }
        size
    }

    /// Moves the start of the log up on request. Segments are left to the next retention pass.
    pub fn delete_records(&mut self, before: Offset) -> Result<(), LogError> {
        if before > self.high_watermark {
            return Err(LogError::OffsetOutOfRange);
        }
        self.log.advance_start(before);
        self.trim_producers();
        Ok(())
    }

    /// One pass of the retention: segments below the start of the log, then by size, then by time. Each is a prefix
    /// that ends with the first segment that must stay. The active segment may go too; a new one is begun before.
    pub fn retain(&mut self, now: Time) -> Retained {
        let mut done = Retained::default();
        let start = self.log.start();
        // The active segment has no next one whose base could be at or below the start of the log.
        self.delete_prefix(now, &mut done, |segment, is_active| !is_active && segment.end() <= start);
        if let Some(limit) = self.rules.retention_bytes
            && self.log.bytes() >= limit
        {
            let mut excess = self.log.bytes() - limit;
            let deleted = self.delete_prefix(now, &mut done, |segment, _| {
                let goes = segment.bytes() <= excess;
                excess -= if goes { segment.bytes() } else { 0 };
                goes
            });
            if deleted {
                done.trimmed.push((self.log.start(), Removal::RetentionSize));
            }
        }
        if let Some(limit) = self.rules.retention_time {
            let is_old = |latest: Time| now.saturating_since(latest) > limit;
            if self.delete_prefix(now, &mut done, |segment, _| segment.max_timestamp().is_some_and(is_old)) {
                done.trimmed.push((self.log.start(), Removal::RetentionTime));
            }
        }
        done
    }

    /// Deletes the oldest segments for as long as the rule says so and they lie below the high watermark. An empty
    /// active segment always stays.
    pub(crate) fn delete_prefix(
        &mut self,
        now: Time,
        done: &mut Retained,
        mut rule: impl FnMut(&Segment<Record<P>>, bool) -> bool,
    ) -> bool {
        let all = self.log.segment_count();
        let mut count = 0;
        for (index, segment) in self.log.segments().enumerate() {
            let is_active = index + 1 == all;
            let stays = (is_active && segment.is_empty()) || self.high_watermark < segment.end();
            if stays || !rule(segment, is_active) {
                break;
            }
            count += 1;
        }
        if count == all {
            self.roll(now);
            done.rolled = Some(self.log.end());
        }
        self.log.drop_segments(count);
        done.segments += count;
        if count > 0 {
            self.trim_producers();
        }
        count > 0
    }

    /// The rules of its topic.
    pub fn rules(&self) -> &PartitionRules {
        &self.rules
    }

    /// How much of it a pass of the compaction could look at now.
    pub fn dirt(&self, compaction: &CompactionConfig, now: Time) -> Dirt {
        let first_dirty = self.first_dirty();
        let older = || self.log.segments().take(self.log.segment_count() - 1);
        let dirty = || older().filter(|segment| segment.end() > first_dirty);
        // A segment with a record that is younger than the smallest lag waits, and so do all after it.
        let is_young = |segment: &&Segment<Record<P>>| {
            let age = segment.max_timestamp().map(|latest| now.saturating_since(latest));
            !compaction.min_lag.is_zero() && age.is_some_and(|age| age < compaction.min_lag)
        };
        let young = dirty().find(is_young).map_or(Offset::MAX, Segment::base);
        let bound = self.log.active().base().min(self.last_stable_offset()).min(young);
        let first_uncleanable = bound.max(first_dirty);
        let is_late = |segment: &Segment<Record<P>>| {
            let age = segment.first_timestamp().map(|first| now.saturating_since(first));
            compaction.max_lag.zip(age).is_some_and(|(most, age)| age > most)
        };
        Dirt {
            first_dirty,
            first_uncleanable,
            clean_bytes: self.bytes_between(Offset::ZERO, first_dirty),
            cleanable_bytes: self.bytes_between(first_dirty, first_uncleanable),
            is_overdue: dirty().any(is_late),
        }
    }

    /// Size of what the log holds of a range. Whole segments are not looked into.
    fn bytes_between(&self, from: Offset, until: Offset) -> u64 {
        let of = |segment: &Segment<Record<P>>| {
            if from <= segment.base() && segment.end() <= until {
                return segment.bytes();
            }
            if segment.end() <= from || until <= segment.base() {
                return 0;
            }
            let own = self.log.entries_from(from.max(segment.base()));
            own.take_while(|(offset, _)| *offset < until.min(segment.end())).map(|(_, record)| record.bytes()).sum()
        };
        self.log.segments().map(of).sum()
    }

    /// A pass of the compaction over everything that it can look at now, however little. Tells of every message
    /// that it removes.
    pub fn clean(
        &mut self,
        cleaner: &mut Cleaner,
        compaction: &CompactionConfig,
        now: Time,
        removed: impl FnMut(Offset, &Record<P>),
    ) -> Option<Pass> {
        let Dirt { first_dirty, first_uncleanable, .. } = self.dirt(compaction, now);
        let limits = PassLimits { first_dirty, first_uncleanable, segment_bytes: self.rules.segment_bytes };
        let pass = cleaner.clean(&mut self.log, limits, compaction, now, removed)?;
        self.first_dirty = pass.first_dirty;
        Some(pass)
    }

    /// No pass of the compaction has looked at what lies here and beyond.
    pub fn first_dirty(&self) -> Offset {
        self.first_dirty.max(self.log.start())
    }

    /// The leader of this epoch is another node.
    pub fn follow(&mut self, epoch: u32) {
        self.epoch = epoch;
    }

    /// A follower's leader has said where it thinks an epoch ended: what the leader does not have is given up.
    pub fn agree(&mut self, answer: EpochEnd, now: Time) {
        let (end, _) = self.log.epochs().agreed_end(self.log.end(), answer);
        if end < self.log.start() {
            // A leader that has lost its disk, say, counts from where nothing is left here.
            return self.begin_anew(end, now);
        }
        let is_shorter = end < self.log.end();
        // Even where nothing goes: an epoch may have begun at the end in which this node led and wrote nothing.
        self.log.truncate(end);
        if !is_shorter {
            return;
        }
        self.high_watermark = self.high_watermark.min(self.log.end());
        self.first_dirty = self.first_dirty.min(self.log.end());
        self.replay_producers();
    }

    /// Nothing that is here counts.
    fn begin_anew(&mut self, start: Offset, now: Time) {
        self.log = Log::starting_at(start, now);
        (self.high_watermark, self.first_dirty) = (start, start);
        (self.producers, self.snapshots) = Default::default();
    }

    /// A follower appends what its leader has sent it from this offset on. Returns the offset that the next fetch asks
    /// for.
    pub fn copy(&mut self, offset: Offset, copied: Copied<P>, now: Time) -> Offset {
        if offset > self.log.end() {
            // The leader has deleted what comes next here, so the copy begins anew where the leader begins.
            self.begin_anew(offset, now);
        }
        let mut epochs = copied.epochs.into_iter().peekable();
        for (offset, record) in copied.records {
            if offset > self.log.end() {
                // Compaction has left a gap at the leader, and offsets are the same in every copy.
                self.log.skip_to(offset, now);
            }
            while let Some((epoch, from)) = epochs.next_if(|(_, from)| *from <= offset) {
                self.log.note_epoch(epoch, from);
            }
            let (bytes, timestamp) = (record.bytes(), record.timestamp);
            let told = record.clone();
            let appended = self.push([record], bytes, timestamp, now);
            self.producers.replay(appended.first, &told);
        }
        self.log.end()
    }

    /// What survives when the node goes down now.
    pub fn crash(self, kind: Crash) -> DurablePartition<P> {
        let PartitionLog { log, rules, epoch, mut producers, snapshots, first_dirty, .. } = self;
        let aborted = producers.take_aborted();
        DurablePartition { log: log.crash(kind), rules, epoch, snapshots, aborted, first_dirty }
    }

    /// The partition of a node that comes back. The epoch is what the cluster's controller remembers. Its high
    /// watermark is known to be no lower than the start of the log, and nothing more: the leader tells, or a leader
    /// works it out.
    pub fn recover(durable: DurablePartition<P>) -> PartitionLog<P> {
        let log = Log::recover(durable.log);
        let high_watermark = log.start();
        let first_dirty = durable.first_dirty.min(log.end());
        let DurablePartition { rules, epoch, snapshots, aborted, .. } = durable;
        let mut producers = ProducerState::default();
        producers.restore_aborted(aborted, log.end());
        let mut partition = PartitionLog { log, rules, epoch, high_watermark, producers, snapshots, first_dirty };
        partition.replay_producers();
        partition
    }
}
