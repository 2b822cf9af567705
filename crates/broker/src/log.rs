//! The one store: an append-only sequence with segments, epochs and watermarks. Queues, partitions and their
//! replicas all keep their entries in a [`Log`].
//!
//! Three watermarks say how safe an entry is: *end* (appended, in the memory of the process) ≥ *written* (in the
//! page cache, which survives the process) ≥ *flushed* (on stable storage, which survives the power). The node
//! asks the driver for [`Effect::Write`](crate::Effect::Write) and [`Effect::Flush`](crate::Effect::Flush) and
//! moves the marks when the driver reports back; what [`Log::crash`] keeps follows from them alone.

use std::collections::VecDeque;

use brokerlab_event::{Offset, Time};

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
}

/// Entries that are deleted together.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment<E> {
    base: u64,
    entries: Vec<E>,
    /// How many of them are known to be needed no more.
    released: usize,
    bytes: u64,
    /// When the first entry was appended.
    created: Time,
    /// Timestamp of the first entry.
    first_timestamp: Time,
    /// Largest timestamp of any entry.
    max_timestamp: Time,
}

impl<E> Segment<E> {
    fn new(base: u64, entries: Vec<E>, created: Time) -> Segment<E> {
        let (first_timestamp, max_timestamp) = (Time::ZERO, Time::ZERO);
        Segment { base, entries, released: 0, bytes: 0, created, first_timestamp, max_timestamp }
    }

    /// Offset of its first entry (or, while it is empty, of the entry that will come first).
    pub fn base(&self) -> Offset {
        Offset::new(self.base)
    }

    /// Offset after its last entry.
    pub fn end(&self) -> Offset {
        Offset::new(self.base + self.entries.len() as u64)
    }

    /// Size of its entries in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Its entries, the first of them at [`Segment::base`].
    #[inline]
    pub fn entries(&self) -> &[E] {
        &self.entries
    }

    /// How many entries it holds.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where it holds none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// When its first entry was appended, or when it was rolled.
    pub fn created(&self) -> Time {
        self.created
    }

    /// Timestamp of its first entry.
    pub fn first_timestamp(&self) -> Option<Time> {
        (!self.entries.is_empty()).then_some(self.first_timestamp)
    }

    /// Largest timestamp in it.
    pub fn max_timestamp(&self) -> Option<Time> {
        (!self.entries.is_empty()).then_some(self.max_timestamp)
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
    /// Leader epoch and the offset at which it began, oldest first.
    epochs: Vec<(u32, u64)>,
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
            epochs: Vec::new(),
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
        let full = std::mem::replace(&mut self.active, next);
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
        segment.entries.get((offset - segment.base) as usize)
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
        segment.entries.get_mut((offset - segment.base) as usize)
    }

    /// The entries from this offset on (or from the start, where that is later), with their offsets.
    pub fn entries_from(&self, from: Offset) -> impl Iterator<Item = (Offset, &E)> {
        let from = from.get().max(self.start);
        let first = if self.active.base <= from { self.older.len() } else { self.older_index(from).unwrap_or(0) };
        self.older.range(first..).chain(std::iter::once(&self.active)).flat_map(move |segment| {
            let skip = from.saturating_sub(segment.base) as usize;
            let base = segment.base;
            let entries = segment.entries.iter().enumerate().skip(skip);
            entries.map(move |(index, entry)| (Offset::new(base + index as u64), entry))
        })
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
            self.active.released = 0;
            self.active.entries.clear();
        }
    }

    #[inline(never)]
    fn drop_trimmed(&mut self) {
        while let Some(oldest) = self.older.front()
            && oldest.base + oldest.entries.len() as u64 <= self.start
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
        let active = &mut self.active;
        let keep = (end - active.base) as usize;
        if keep < active.entries.len() {
            let cut: u64 = active.entries.drain(keep..).map(|entry| entry.bytes()).sum();
            active.bytes -= cut;
            // Which of those that are left are needed no more is not known.
            active.released = 0;
            self.bytes -= cut;
            active.max_timestamp = active.entries.iter().map(Entry::timestamp).max().unwrap_or_default();
        }
        if self.end_number() < end {
            // The end lies in a gap. Offsets are never used again.
            self.skip_to(Offset::new(end), self.active.created);
        }
        self.written = self.written.min(end);
        self.flushed = self.flushed.min(end);
        while self.epochs.last().is_some_and(|(_, from)| *from >= end) {
            self.epochs.pop();
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
        if self.latest_epoch().is_none_or(|latest| latest < epoch) {
            self.epochs.push((epoch, self.end_number()));
        }
    }

    /// The epoch of the last leader whose entries are here.
    pub fn latest_epoch(&self) -> Option<u32> {
        self.epochs.last().map(|(epoch, _)| *epoch)
    }

    /// Where this epoch ended: the offset at which the next one began, or the end of the log.
    pub fn end_of_epoch(&self, epoch: u32) -> Offset {
        let next = self.epochs.iter().find(|(other, _)| *other > epoch);
        next.map_or(self.end(), |(_, from)| Offset::new(*from))
    }

    /// What survives when the node goes down now.
    pub fn crash(mut self, kind: Crash) -> DurableLog<E> {
        match kind {
            Crash::Process => self.truncate(Offset::new(self.written)),
            Crash::Power => self.truncate(Offset::new(self.flushed)),
            Crash::Disk => self = Log::default(),
        }
        // A restarted process finds on its disk what survived: all of it is durable from now on.
        self.flushed = self.end_number();
        self.written = self.flushed;
        DurableLog(self)
    }

    /// The log of a node that comes back.
    pub fn recover(durable: DurableLog<E>) -> Log<E> {
        durable.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Entry for u64 {
        fn bytes(&self) -> u64 {
            10
        }
        fn timestamp(&self) -> Time {
            Time::from_nanos(*self)
        }
    }

    fn log(entries: std::ops::Range<u64>) -> Log<u64> {
        let mut log = Log::starting_at(Offset::new(entries.start), Time::ZERO);
        for entry in entries {
            log.append(entry, Time::from_nanos(entry));
        }
        log
    }

    fn contents(log: &Log<u64>) -> Vec<u64> {
        log.entries_from(Offset::ZERO).map(|(_, entry)| *entry).collect()
    }

    #[test]
    fn offsets_are_dense_and_entries_are_found_in_every_segment() {
        let mut log = log(0..3);
        log.roll(Time::ZERO);
        log.roll(Time::ZERO);
        for entry in 3..8 {
            assert_eq!(log.append(entry, Time::ZERO).get(), entry);
            log.roll(Time::ZERO);
        }
        assert_eq!(log.segment_count(), 7, "rolling an empty segment does nothing");
        for offset in 0..8 {
            assert_eq!(log.entry(Offset::new(offset)), Some(&offset));
        }
        assert_eq!(log.entry(Offset::new(8)), None);
        assert_eq!(log.entries_from(Offset::new(4)).map(|(o, e)| (o.get(), *e)).next(), Some((4, 4)));
        assert_eq!((log.len(), log.bytes()), (8, 80));
    }

    #[test]
    fn trimming_deletes_whole_segments_and_moves_the_start() {
        let mut log = log(0..3);
        log.roll(Time::ZERO);
        log.append(3, Time::ZERO);
        log.trim(Offset::new(2));
        assert_eq!((log.start().get(), log.bytes(), contents(&log)), (2, 40, vec![2, 3]));
        log.trim(Offset::new(3));
        assert_eq!((log.segment_count(), log.bytes()), (1, 10));
        log.trim(Offset::new(99));
        assert_eq!((log.start(), log.end(), log.bytes()), (Offset::new(4), Offset::new(4), 0));
        assert_eq!(log.append(4, Time::ZERO), Offset::new(4), "offsets are never used again");
    }

    #[test]
    fn a_segment_of_which_nothing_is_needed_goes_and_its_offsets_are_not_used_again() {
        let mut log = Log::default();
        for entry in 0..12 {
            if entry % 3 == 0 {
                log.roll(Time::ZERO);
            }
            log.append(entry, Time::ZERO);
        }
        for offset in [3, 5, 4, 7, 8, 9, 10, 11] {
            log.release(Offset::new(offset));
        }
        assert_eq!((log.segment_count(), log.bytes()), (3, 90));
        log.roll(Time::ZERO);
        assert_eq!((log.segment_count(), log.bytes(), contents(&log)), (3, 60, vec![0, 1, 2, 6, 7, 8]));
        let after = |offset| log.after_gap(Offset::new(offset)).get();
        assert_eq!([0, 2, 3, 5, 6, 8, 9, 12].map(after), [0, 2, 6, 6, 6, 8, 12, 12]);
        assert_eq!((log.entry(Offset::new(4)), log.entries_from(Offset::new(4)).count()), (None, 3));
        for end in [5, 10] {
            let mut cut = log.clone();
            cut.truncate(Offset::new(end));
            assert_eq!((cut.end().get(), cut.append(99, Time::ZERO).get()), (end, end));
        }
        log.trim(Offset::new(6));
        assert_eq!(contents(&log), [6, 7, 8]);
    }

    #[test]
    fn what_survives_follows_from_the_watermarks() {
        let mut log = log(0..9);
        log.mark_flushed(Offset::new(3));
        log.mark_written(Offset::new(6));
        for (kind, survives) in [(Crash::Process, 6), (Crash::Power, 3), (Crash::Disk, 0)] {
            let recovered = Log::recover(log.clone().crash(kind));
            assert_eq!(contents(&recovered), (0..survives).collect::<Vec<_>>(), "{kind:?}");
            assert_eq!(recovered.flushed(), recovered.end());
        }
    }

    #[test]
    fn truncation_takes_epochs_with_it() {
        let mut log = Log::default();
        log.begin_epoch(1);
        for entry in 0..3 {
            log.append(entry, Time::ZERO);
        }
        log.begin_epoch(4);
        log.append(3, Time::ZERO);
        log.begin_epoch(4);
        assert_eq!(log.latest_epoch(), Some(4));
        log.truncate(Offset::new(3));
        assert_eq!((log.latest_epoch(), contents(&log)), (Some(1), vec![0, 1, 2]));
        log.truncate(Offset::ZERO);
        assert_eq!((log.latest_epoch(), log.bytes()), (None, 0));
    }
}
