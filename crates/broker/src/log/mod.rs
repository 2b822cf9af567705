//! The one store: an append-only sequence with segments, epochs and watermarks. Queues, partitions and their
//! replicas all keep their entries in a [`Log`].
//!
//! Three watermarks say how safe an entry is: *end* (appended, in the memory of the process) ≥ *written* (in the
//! page cache, which survives the process) ≥ *flushed* (on stable storage, which survives the power). The node
//! asks the driver for [`Effect::Write`](crate::Effect::Write) and [`Effect::Flush`](crate::Effect::Flush) and
//! moves the marks when the driver reports back; what [`Log::crash`] keeps follows from them alone.

mod epochs;
mod segment;

use std::collections::VecDeque;

use brokerlab_event::{Offset, Time};

pub use self::epochs::{EpochEnd, Epochs};
use self::segment::SegmentEntries;
pub use self::segment::{Place, Segment};

/// How a node goes down.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Crash {
    /// The process dies; the page cache survives.
    Process,
    /// The machine loses power; what was not flushed is gone.
    Power,
    /// The disk is lost with everything on it.
    Disk,
}

/// What a log must know of an entry.
pub trait Entry {
    /// Size that it takes in the store, in bytes.
    fn bytes(&self) -> u64;
    /// The time stamped on it.
    fn timestamp(&self) -> Time;
    /// Whether readers are given it.
    #[inline(always)]
    fn is_message(&self) -> bool {
        true
    }
}

/// An append-only sequence of entries, numbered from 0. Entries that are needed no more can leave gaps behind.
#[derive(Clone, PartialEq, Debug)]
pub struct Log<E> {
    /// The segments before the active one, oldest first.
    older: VecDeque<Segment<E>>,
    /// The segment that is being appended to.
    active: Segment<E>,
    /// Emptied segments, whose memory the next roll takes.
    spare: Vec<Vec<E>>,
    start: u64,
    written: u64,
    flushed: u64,
    bytes: u64,
    epochs: Epochs,
}

/// Entries of a log from some offset on, with their offsets.
#[derive(Clone, Debug)]
pub struct Entries<'a, E> {
    log: &'a Log<E>,
    from: u64,
    next_segment: usize,
    entries: SegmentEntries<'a, E>,
}

impl<'a, E: Entry> Iterator for Entries<'a, E> {
    type Item = (Offset, &'a E);

    #[inline(always)]
    fn next(&mut self) -> Option<(Offset, &'a E)> {
        match self.entries.next() {
            Some(entry) => Some(entry),
            None => self.next_of_another_segment(),
        }
    }
}

impl<'a, E: Entry> Entries<'a, E> {
    #[inline(never)]
    fn next_of_another_segment(&mut self) -> Option<(Offset, &'a E)> {
        while self.next_segment < self.log.segment_count() {
            self.entries = self.log.segment(self.next_segment).entries_from(self.from);
            self.next_segment += 1;
            if let Some(entry) = self.entries.next() {
                return Some(entry);
            }
        }
        None
    }
}

/// What is left of a log when its node has gone down. Only [`Log::recover`] makes a log of it again, so nothing
/// that did not survive can be reached.
#[derive(Clone, PartialEq, Debug)]
pub struct DurableLog<E>(Log<E>);

impl<E: Entry> Default for Log<E> {
    fn default() -> Self {
        Log::starting_at(Offset::ZERO, Time::ZERO)
    }
}

impl<E: Entry> Log<E> {
    /// An empty log whose first entry will have this offset.
    pub fn starting_at(start: Offset, now: Time) -> Log<E> {
        let start = start.get();
        let active = Segment::new(start, Vec::new(), now);
        Log {
            older: VecDeque::new(),
            active,
            spare: Vec::new(),
            start,
            written: start,
            flushed: start,
            bytes: 0,
            epochs: Epochs::default(),
        }
    }

    /// The first offset that can be read.
    #[inline]
    pub fn start(&self) -> Offset {
        Offset::new(self.start)
    }

    /// The offset that the next entry will get.
    #[inline]
    pub fn end(&self) -> Offset {
        Offset::new(self.end_number())
    }

    #[inline]
    fn end_number(&self) -> u64 {
        self.active.base + self.active.entries.len() as u64
    }

    /// Everything below is in the page cache.
    pub fn written(&self) -> Offset {
        Offset::new(self.written)
    }

    /// Everything below is on stable storage.
    pub fn flushed(&self) -> Offset {
        Offset::new(self.flushed)
    }

    /// True where everything is on stable storage.
    #[inline]
    pub fn is_flushed(&self) -> bool {
        self.flushed == self.end_number()
    }

    /// How many entries can be read, those in gaps included.
    pub fn len(&self) -> u64 {
        self.end_number() - self.start
    }

    /// True where nothing can be read.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Size of everything in its segments, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that is set aside for entries, in bytes, without what entries hold themselves.
    pub fn memory(&self) -> usize {
        let spare: usize = self.spare.iter().map(|entries| entries.capacity() * size_of::<E>()).sum();
        self.segments().map(Segment::memory).sum::<usize>() + spare
    }

    /// The segments, oldest first. There is always one: the last, which is being appended to.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment<E>> {
        self.older.iter().chain(std::iter::once(&self.active))
    }

    /// How many segments there are.
    pub fn segment_count(&self) -> usize {
        self.older.len() + 1
    }

    /// The segment that is being appended to.
    #[inline]
    pub fn active(&self) -> &Segment<E> {
        &self.active
    }

    /// Appends an entry to the active segment and returns its offset.
    #[inline(always)]
    pub fn append(&mut self, entry: E, now: Time) -> Offset {
        let (bytes, timestamp) = (entry.bytes(), entry.timestamp());
        let active = &mut self.active;
        if active.entries.is_empty() {
            active.created = now;
            active.first_timestamp = timestamp;
            active.max_timestamp = timestamp;
        }
        let offset = active.base + active.entries.len() as u64;
        active.others += usize::from(!entry.is_message());
        if active.entries.len() == active.entries.capacity() {
            segment::grow(&mut active.entries);
        }
        active.entries.push(entry);
        active.bytes += bytes;
        active.max_timestamp = active.max_timestamp.max(timestamp);
        self.bytes += bytes;
        Offset::new(offset)
    }

    /// Begins a new segment at the end. An empty active segment is left as it is.
    pub fn roll(&mut self, now: Time) {
        if self.active.is_empty() {
            return;
        }
        let next = Segment::new(self.end_number(), self.spare.pop().unwrap_or_default(), now);
        let mut full = std::mem::replace(&mut self.active, next);
        segment::shrink(&mut full.entries);
        match full.released == full.len() {
            true => self.forget(full),
            false => self.older.push_back(full),
        }
    }

    /// The entry at this offset is needed no more. A segment that is not the active one and holds nothing else is
    /// deleted: where it was is a gap, in which nothing can be read. Asked once for an offset at most.
    pub fn release(&mut self, offset: Offset) {
        let offset = offset.get();
        if self.active.base <= offset {
            self.active.released += 1;
            return;
        }
        let Some(index) = self.older_index(offset) else { return };
        let segment = &mut self.older[index];
        segment.released += 1;
        if segment.released == segment.len() {
            let gone = self.older.remove(index).expect("it was looked at just now");
            self.forget(gone);
        }
    }

    /// The first offset from here on that does not lie in a gap: that of an entry, or the end.
    pub fn after_gap(&self, offset: Offset) -> Offset {
        let offset = offset.get().max(self.start);
        let next = self.older.partition_point(|segment| segment.end().get() <= offset);
        let base = self.older.get(next).unwrap_or(&self.active).base;
        Offset::new(offset.max(base))
    }

    /// Which of the older segments holds this offset, which lies before the active one.
    #[inline(never)]
    fn older_index(&self, offset: u64) -> Option<usize> {
        if self.older.front()?.base > offset {
            return None;
        }
        // The readers of a queue are at its head, so that is looked at before a search.
        if self.older.get(1).is_none_or(|second| second.base > offset) {
            return Some(0);
        }
        Some(self.older.partition_point(|segment| segment.base <= offset) - 1)
    }

    /// The entry at this offset, if it can be read.
    #[inline]
    pub fn entry(&self, offset: Offset) -> Option<&E> {
        let offset = offset.get();
        if offset < self.start {
            return None;
        }
        if let Some(place) = offset.checked_sub(self.active.base) {
            return self.active.entries.get(place as usize);
        }
        let segment = &self.older[self.older_index(offset)?];
        segment.entries.get(segment.index_of(offset)?)
    }

    /// The entry at this offset, to be changed in place.
    #[inline]
    pub fn entry_mut(&mut self, offset: Offset) -> Option<&mut E> {
        let offset = offset.get();
        if offset < self.start {
            return None;
        }
        if let Some(place) = offset.checked_sub(self.active.base) {
            return self.active.entries.get_mut(place as usize);
        }
        let index = self.older_index(offset)?;
        let segment = &mut self.older[index];
        let place = segment.index_of(offset)?;
        segment.entries.get_mut(place)
    }

    /// The entries from this offset on (or from the start, where that is later), with their offsets.
    #[inline]
    pub fn entries_from(&self, from: Offset) -> Entries<'_, E> {
        let from = from.get().max(self.start);
        // Most readers are at the end.
        let first = if self.active.base <= from { self.older.len() } else { self.older_index(from).unwrap_or(0) };
        let entries = self.segment(first).entries_from(from);
        Entries { log: self, from, next_segment: first + 1, entries }
    }

    /// The segment of this index, of which the last one is active.
    #[inline]
    fn segment(&self, index: usize) -> &Segment<E> {
        self.older.get(index).unwrap_or(&self.active)
    }

    /// How many entries at or behind this offset readers are given. Whole segments are not looked into.
    pub fn messages_from(&self, from: Offset) -> u64 {
        let from = from.get().max(self.start);
        let segments = self.segments().rev().take_while(|segment| segment.end_number() > from);
        segments.map(|segment| segment.messages_from(from) as u64).sum()
    }

    /// Moves the start up to this offset. Segments that lie wholly below it are deleted, except the active one,
    /// which is emptied in place once everything in it lies below. Their memory serves the next segments.
    #[inline(always)]
    pub fn trim(&mut self, until: Offset) {
        let end = self.end_number();
        self.start = self.start.max(until.get().min(end));
        self.written = self.written.max(self.start);
        self.flushed = self.flushed.max(self.start);
        if !self.older.is_empty() {
            self.drop_trimmed();
        }
        if self.start == end {
            self.bytes -= self.active.bytes;
            self.active.base = end;
            self.active.bytes = 0;
            (self.active.released, self.active.others) = (0, 0);
            self.active.entries.clear();
        }
    }

    #[inline(never)]
    fn drop_trimmed(&mut self) {
        while let Some(oldest) = self.older.front()
            && oldest.end_number() <= self.start
        {
            let gone = self.older.pop_front().expect("it was looked at just now");
            self.forget(gone);
        }
    }

    /// A segment is deleted; its memory serves another.
    fn forget(&mut self, mut gone: Segment<E>) {
        self.bytes -= gone.bytes;
        gone.entries.clear();
        if self.spare.len() < 2 {
            self.spare.push(gone.entries);
        }
    }

    /// Moves the start up to this offset and deletes nothing: a log may hold segments that nobody can read any
    /// more until its retention comes round to them.
    pub fn advance_start(&mut self, until: Offset) {
        self.start = self.start.max(until.get().min(self.end_number()));
        self.written = self.written.max(self.start);
        self.flushed = self.flushed.max(self.start);
    }

    /// Deletes this many of the oldest segments, and moves the start to the first that is left.
    ///
    /// # Panics
    /// Panics where that would be all of them: there is always a segment to append to.
    pub fn drop_segments(&mut self, count: usize) {
        assert!(count < self.segment_count(), "the active segment stays; roll first");
        for _ in 0..count {
            let gone = self.older.pop_front().expect("there are more than are to be deleted");
            self.forget(gone);
        }
        self.advance_start(self.older.front().unwrap_or(&self.active).base());
        if self.older.is_empty() && self.active.is_empty() {
            // Nothing is left, and nobody knows how much will come.
            self.spare.clear();
            self.active.entries = Vec::new();
        }
    }

    /// Drops everything at and after this offset: what a follower does with entries that its leader does not
    /// have, and a node with what did not survive.
    pub fn truncate(&mut self, end: Offset) {
        let end = end.get().max(self.start);
        while self.active.base > end
            && let Some(last) = self.older.pop_back()
        {
            self.bytes -= self.active.bytes;
            self.active = last;
        }
        if self.active.base > end {
            // Compaction has left nothing of what came before.
            self.bytes -= self.active.bytes;
            self.active = Segment::new(end, Vec::new(), self.active.created);
        }
        if self.active.is_compacted() {
            self.cut_compacted(end);
        }
        let active = &mut self.active;
        let keep = (end - active.base) as usize;
        if keep < active.entries.len() {
            let cut: u64 = active.entries.drain(keep..).map(|entry| entry.bytes()).sum();
            active.bytes -= cut;
            // Which of those that are left are needed no more is not known.
            active.released = 0;
            active.others = active.entries.iter().filter(|entry| !entry.is_message()).count();
            self.bytes -= cut;
            active.max_timestamp = active.entries.iter().map(Entry::timestamp).max().unwrap_or_default();
        }
        if self.end_number() < end {
            // The end lies in a gap. Offsets are never used again.
            self.skip_to(Offset::new(end), self.active.created);
        }
        self.written = self.written.min(end);
        self.flushed = self.flushed.min(end);
        self.epochs.truncate(Offset::new(end));
    }

    /// The segment in which the log is to end was compacted: what is left of it stays as it is, and a new segment is
    /// begun behind it.
    #[cold]
    fn cut_compacted(&mut self, end: u64) {
        let next = Segment::new(end, Vec::new(), self.active.created);
        let mut cut = std::mem::replace(&mut self.active, next);
        self.bytes -= cut.bytes;
        cut.truncate(end);
        self.bytes += cut.bytes;
        if !cut.is_empty() {
            self.older.push_back(cut);
        }
    }

    /// Puts these segments in the place of the oldest ones up to this offset, where one begins. They may hold fewer
    /// entries, and even be fewer; what they leave out is a gap.
    ///
    /// # Panics
    /// Panics where the segments overlap or lie beyond that offset.
    pub fn replace_before(&mut self, until: Offset, segments: Vec<Segment<E>>) {
        let until = until.get();
        let count = self.older.partition_point(|segment| segment.base < until);
        for old in self.older.drain(..count) {
            self.bytes -= old.bytes;
        }
        let mut end = until;
        for segment in segments.into_iter().rev() {
            assert!(segment.end_number() <= end, "segments do not overlap");
            end = segment.base;
            self.bytes += segment.bytes;
            self.older.push_front(segment);
        }
    }

    /// Leaves out the offsets before this one, in which nothing will ever be read. The next entry gets it.
    ///
    /// # Panics
    /// Panics where the log goes on beyond it already.
    pub fn skip_to(&mut self, offset: Offset, now: Time) {
        assert!(self.end() <= offset, "offsets that are in use cannot be left out");
        self.roll(now);
        self.active.base = offset.get();
    }

    /// The driver has copied everything below this offset into the page cache.
    #[inline]
    pub fn mark_written(&mut self, until: Offset) {
        self.written = self.written.max(until.get().min(self.end_number()));
    }

    /// The driver has made everything below this offset durable.
    #[inline]
    pub fn mark_flushed(&mut self, until: Offset) {
        self.mark_written(until);
        self.flushed = self.flushed.max(until.get().min(self.end_number()));
    }

    /// A leader of this epoch starts to append here. An epoch that is known already changes nothing.
    pub fn begin_epoch(&mut self, epoch: u32) {
        self.epochs.begin(epoch, self.end());
    }

    /// The entries from this offset on are of this epoch: what a follower learns of the leader's log.
    pub fn note_epoch(&mut self, epoch: u32, from: Offset) {
        self.epochs.begin(epoch, from);
    }

    /// Which leaders' entries are here.
    pub fn epochs(&self) -> &Epochs {
        &self.epochs
    }

    /// Where what a follower may have from this epoch ended: the offset at which the next one began, or the end of the
    /// log.
    pub fn end_of_epoch(&self, epoch: u32) -> Offset {
        self.epochs.end_of(epoch, self.end()).map_or(self.end(), |answer| answer.end)
    }

    /// The end of what survives when the node goes down now.
    pub fn kept_by(&self, kind: Crash) -> Offset {
        match kind {
            Crash::Process => Offset::new(self.written),
            Crash::Power => Offset::new(self.flushed),
            Crash::Disk => Offset::ZERO,
        }
    }

    /// What survives when the node goes down now.
    pub fn crash(mut self, kind: Crash) -> DurableLog<E> {
        match kind {
            Crash::Process | Crash::Power => self.truncate(self.kept_by(kind)),
            Crash::Disk => self = Log::default(),
        }
        self.written = self.end_number();
        // What a machine finds on its disk that was without power is durable; the page cache outlives a process only.
        if kind != Crash::Process {
            self.flushed = self.written;
        }
        DurableLog(self)
    }

    /// The log of a node that comes back.
    pub fn recover(durable: DurableLog<E>) -> Log<E> {
        durable.0
    }
}

#[cfg(test)]
mod tests;
