//! Compaction: of every key a log keeps at least the latest record.
//!
//! A pass notes the latest offset of every key in the *dirty* part of a log (what no pass has looked at yet) and
//! then writes the log anew up to there, without the records that a later one of their key has replaced. Offsets
//! and order stay as they are, so gaps appear. A tombstone goes, too, once readers had time to see it; data of
//! aborted transactions goes at once, and the end of a transaction once nothing else is left of it. The last batch of
//! every active producer stays, empty if need be, because its sequence number must survive.
//!
//! The rules are those of Kafka's log cleaner (`LogCleaner`, `LogCleanerManager`).

mod batches;
mod transactions;

use brokerlab_event::{KeyId, Offset, Time};

pub use self::batches::{BatchSpan, batches};
use self::transactions::Producers;
use crate::config::CompactionConfig;
use crate::log::{Log, Segment};
use crate::record::{Record, RecordFlags, RecordKind};

/// How much of a log a pass could look at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Dirt {
    /// Nothing from here on has been looked at by a pass.
    pub first_dirty: Offset,
    /// A pass ends before this offset.
    pub first_uncleanable: Offset,
    /// Size of what passes have looked at, in bytes.
    pub clean_bytes: u64,
    /// Size of what a pass would look at for the first time, in bytes.
    pub cleanable_bytes: u64,
    /// Some of it has waited for longer than the largest lag allows.
    pub is_overdue: bool,
}

impl Dirt {
    /// The part of the log that is dirty, from 0 to 1.
    pub fn ratio(&self) -> f64 {
        let all = self.clean_bytes + self.cleanable_bytes;
        if all == 0 { 0.0 } else { self.cleanable_bytes as f64 / all as f64 }
    }

    /// True where the log is dirtier than this ratio (in millionths), or a pass is overdue. Exactly as dirty is not
    /// enough.
    pub fn is_eligible(&self, min_cleanable_dirty_ratio: u32) -> bool {
        let all = u128::from(self.clean_bytes + self.cleanable_bytes);
        let above = u128::from(self.cleanable_bytes) * 1_000_000 > u128::from(min_cleanable_dirty_ratio) * all;
        self.cleanable_bytes > 0 && (above || self.is_overdue)
    }
}

/// What a pass may do, apart from what the log itself says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PassLimits {
    /// Nothing from here on has been looked at.
    pub first_dirty: Offset,
    /// The pass ends before this offset.
    pub first_uncleanable: Offset,
    /// Segments are merged up to this size in bytes.
    pub segment_bytes: u64,
}

/// What a pass did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pass {
    /// Everything below has been looked at now.
    pub first_dirty: Offset,
    /// Everything below was written anew, to stable storage.
    pub rewritten: Offset,
    /// How many messages it removed.
    pub removed: u64,
}

/// The map of a cleaner from keys to their latest offsets. It serves one pass after the other, on whichever log, and
/// keeps its memory: eight bytes for each key of the run, whose ids are dense.
#[derive(Clone, Debug)]
pub struct Cleaner {
    /// The offset after the latest record of each key that is in the map; 0 for the others.
    latest: Vec<u64>,
    /// The keys in the map.
    keys: Vec<KeyId>,
    max_keys: usize,
}

impl Default for Cleaner {
    /// With the room of the default buffer: 128 MiB (`log.cleaner.dedupe.buffer.size`) of entries of 24 bytes, filled
    /// to nine tenths (`log.cleaner.io.buffer.load.factor`).
    fn default() -> Cleaner {
        Cleaner::new((128 << 20) / 24 * 9 / 10)
    }
}

impl Cleaner {
    /// A cleaner whose map holds this many keys; a pass ends where they do not suffice.
    pub fn new(max_keys: usize) -> Cleaner {
        Cleaner { latest: Vec::new(), keys: Vec::new(), max_keys }
    }

    /// One pass over a log. Tells of every message that it removes. Nothing where nothing is dirty, or the map has
    /// room for no key at all.
    pub fn clean<P: Clone>(
        &mut self,
        log: &mut Log<Record<P>>,
        limits: PassLimits,
        config: &CompactionConfig,
        now: Time,
        mut removed: impl FnMut(Offset, &Record<P>),
    ) -> Option<Pass> {
        if limits.first_uncleanable <= limits.first_dirty {
            return None;
        }
        let producers = Producers::of(log, now, config.producer_id_expiration);
        let first_dirty = self.map_latest(log, limits, producers.clone())?;
        let mut count = 0;
        let mut tell = |offset: Offset, record: &Record<P>| {
            count += 1;
            removed(offset, record);
        };
        let mut rewriting = Rewriting {
            latest: &self.latest,
            start: log.start(),
            until: first_dirty,
            upper_bound: limits.first_uncleanable,
            now,
            horizon: now.saturating_add(config.delete_retention),
            producers,
            removed: &mut tell,
            kept: Vec::new(),
        };
        let (segments, rewritten) = rewriting.rewrite(log, limits.segment_bytes);
        log.replace_before(rewritten, segments);
        log.mark_flushed(rewritten);
        Some(Pass { first_dirty, rewritten, removed: count })
    }

    /// Notes the latest offset of every key in the dirty part. Returns the offset up to which there was room.
    fn map_latest<P: Clone>(
        &mut self,
        log: &Log<Record<P>>,
        limits: PassLimits,
        mut producers: Producers,
    ) -> Option<Offset> {
        for key in self.keys.drain(..) {
            self.latest[key.index()] = 0;
        }
        let (from, until) = (limits.first_dirty, limits.first_uncleanable);
        let mut mapped = None;
        for segment in log.segments().filter(|segment| from < segment.end() && segment.base() < until) {
            for batch in batches(segment) {
                let aborted = producers.is_aborted(&segment.entries()[batch.entries.start], batch.base);
                for index in batch.entries.clone() {
                    let (record, offset) = (&segment.entries()[index], batch.offset(segment, index));
                    if offset < from || offset >= until || aborted || !record.kind.is_message() {
                        continue;
                    }
                    let Some(key) = record.key.some() else { continue };
                    if self.keys.len() == self.max_keys {
                        return mapped;
                    }
                    self.map(key, offset);
                    mapped = Some(offset.next());
                }
                if batch.end > from && batch.end <= until {
                    mapped = Some(batch.end);
                }
            }
        }
        Some(until)
    }

    #[inline]
    fn map(&mut self, key: KeyId, offset: Offset) {
        if key.index() >= self.latest.len() {
            self.latest.resize(key.index() + 1, 0);
        }
        let latest = &mut self.latest[key.index()];
        if *latest == 0 {
            self.keys.push(key);
        }
        *latest = offset.get() + 1;
    }
}

/// Writing a log anew.
struct Rewriting<'a, P> {
    latest: &'a [u64],
    /// The start of the log; what lies below nobody can read any more.
    start: Offset,
    /// Everything from here on stays.
    until: Offset,
    /// Where the pass had to end at the latest. The batch before it stays, empty if need be, so that the pass leaves
    /// its mark.
    upper_bound: Offset,
    now: Time,
    /// When what is kept for a while from now on may go.
    horizon: Time,
    producers: Producers,
    removed: &'a mut dyn FnMut(Offset, &Record<P>),
    /// What stays of a batch; kept for its memory.
    kept: Vec<(Offset, Record<P>)>,
}

impl<P: Clone> Rewriting<'_, P> {
    /// Segments in place of those that begin before the end of the pass, and where the last of these ends.
    fn rewrite(&mut self, log: &Log<Record<P>>, segment_bytes: u64) -> (Vec<Segment<Record<P>>>, Offset) {
        let (mut written, mut rewritten) = (Vec::new(), log.start());
        let mut open: Option<Segment<Record<P>>> = None;
        // The size of what went into the open segment, before the pass: that is what decides about merging.
        let mut read_bytes = 0;
        let (older, until) = (log.segment_count() - 1, self.until);
        for segment in log.segments().take(older).filter(|segment| segment.base() < until) {
            let merges = |open: &Segment<Record<P>>| {
                let span = segment.end().get() - open.base().get();
                read_bytes + segment.bytes() <= segment_bytes && span <= u64::from(u32::MAX)
            };
            if !open.as_ref().is_some_and(merges) {
                close(open.take(), rewritten, &mut written);
                read_bytes = 0;
            }
            read_bytes += segment.bytes();
            let into = open.get_or_insert_with(|| Segment::compacted(segment.base(), segment.created()));
            for batch in batches(segment) {
                self.rewrite_batch(segment, &batch, into);
            }
            rewritten = segment.end();
        }
        close(open, rewritten, &mut written);
        (written, rewritten)
    }

    fn rewrite_batch(&mut self, segment: &Segment<Record<P>>, batch: &BatchSpan, into: &mut Segment<Record<P>>) {
        let last = &segment.entries()[batch.entries.end - 1];
        let is_marker = last.kind.is_marker();
        let before = segment.delete_horizon(batch.base);
        let is_over = before.is_some_and(|horizon| horizon <= self.now);
        let discardable = self.producers.read(last, batch.base);
        let discarded = discardable && (is_over || !is_marker);
        self.kept.clear();
        let mut has_tombstone = false;
        for index in batch.entries.clone() {
            let (offset, record) = (batch.offset(segment, index), &segment.entries()[index]);
            let stays = self.until <= offset || (!discarded && self.stays(offset, record, is_over));
            if stays {
                has_tombstone |= record.kind == RecordKind::Tombstone;
                self.kept.push((offset, record.clone()));
            } else if record.kind.is_message() && self.start <= offset {
                (self.removed)(offset, record);
            }
        }
        let end_is_kept = self.kept.last().is_some_and(|(offset, _)| offset.next() == batch.end);
        let is_last = self.producers.is_last_of(last, batch.end);
        if !end_is_kept && (!self.kept.is_empty() || is_last || batch.end == self.upper_bound) {
            let last_offset = Offset::new(batch.end.get() - 1);
            self.kept.push((last_offset, remnant(last)));
        }
        if let Some((_, first)) = self.kept.first_mut() {
            first.flags = RecordFlags::new(first.flags.is_transactional(), true);
        }
        let is_looked_at = batch.end <= self.until;
        let waits = has_tombstone || (is_marker && discardable);
        let horizon = before.or((waits && is_looked_at).then_some(self.horizon));
        let may_wait = (has_tombstone || is_marker) && !self.kept.is_empty();
        into.keep(self.kept.drain(..), batch.base, may_wait.then_some(horizon));
    }

    /// Whether a record that is not discarded with its whole batch stays.
    fn stays(&self, offset: Offset, record: &Record<P>, horizon_is_over: bool) -> bool {
        match record.kind {
            RecordKind::Commit | RecordKind::Abort => true,
            RecordKind::Remnant => false,
            RecordKind::Tombstone if horizon_is_over => false,
            RecordKind::Data | RecordKind::Tombstone => record.key.some().is_some_and(|key| {
                let latest = self.latest.get(key.index()).copied().unwrap_or(0);
                latest <= offset.get() + 1
            }),
        }
    }
}

/// A segment is complete, if anything is left for it to hold.
fn close<P>(open: Option<Segment<Record<P>>>, end: Offset, written: &mut Vec<Segment<Record<P>>>) {
    if let Some(mut segment) = open
        && !segment.is_empty()
    {
        segment.finish(end);
        written.push(segment);
    }
}

/// What is left of a batch whose last record is gone.
fn remnant<P: Clone>(last: &Record<P>) -> Record<P> {
    // An empty end of a transaction says nothing any more; an empty batch of data still is part of its transaction.
    let transactional = last.flags.is_transactional() && !last.kind.is_marker();
    Record {
        message: brokerlab_event::MessageId::MAX,
        key: KeyId::NONE,
        size: 0,
        kind: RecordKind::Remnant,
        flags: RecordFlags::new(transactional, false),
        ..last.clone()
    }
}
