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
    bytes: u64,
    /// When the first entry was appended.
    created: Time,
    /// Timestamp of the first entry.
    first_timestamp: Time,
    /// Largest timestamp of any entry.
    max_timestamp: Time,
}

impl<E> Segment<E> {
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

/// An append-only sequence of entries, numbered from 0 without gaps.
#[derive(Clone, PartialEq, Debug)]
pub struct Log<E> {
    /// Oldest first; never empty; the last is the active one.
    segments: VecDeque<Segment<E>>,
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
        let active = Segment {
            base: start,
            entries: Vec::new(),
            bytes: 0,
            created: now,
            first_timestamp: Time::ZERO,
            max_timestamp: Time::ZERO,
        };
        Log {
            segments: VecDeque::from([active]),
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
        let active = self.active();
        active.base + active.entries.len() as u64
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

    /// How many entries can be read.
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
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &Segment<E>> + ExactSizeIterator {
        self.segments.iter()
    }

    /// The segment that is being appended to.
    #[inline]
    pub fn active(&self) -> &Segment<E> {
        self.segments.back().expect("a log always has an active segment")
    }

    /// Appends an entry to the active segment and returns its offset.
    #[inline]
    pub fn append(&mut self, entry: E, now: Time) -> Offset {
        let (bytes, timestamp) = (entry.bytes(), entry.timestamp());
        let active = self.segments.back_mut().expect("a log always has an active segment");
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
        if self.active().is_empty() {
            return;
        }
        let base = self.end_number();
        let entries = self.spare.pop().unwrap_or_default();
        self.segments.push_back(Segment {
            base,
            entries,
            bytes: 0,
            created: now,
            first_timestamp: Time::ZERO,
            max_timestamp: Time::ZERO,
        });
    }

    /// The segment that holds this offset.
    #[inline(never)]
    fn segment_index(&self, offset: u64) -> Option<usize> {
        let last = self.segments.len() - 1;
        if self.segments[last].base <= offset {
            return Some(last);
        }
        if self.segments[0].base > offset {
            return None;
        }
        // The readers of a queue are at its head, so that is looked at before a search.
        if last == 1 || self.segments[1].base > offset {
            return Some(0);
        }
        Some(self.segments.partition_point(|segment| segment.base <= offset) - 1)
    }

    /// The entry at this offset, if it can be read.
    #[inline]
    pub fn entry(&self, offset: Offset) -> Option<&E> {
        let offset = offset.get();
        if offset < self.start {
            return None;
        }
        let active = self.active();
        if active.base <= offset {
            return active.entries.get((offset - active.base) as usize);
        }
        let segment = &self.segments[self.segment_index(offset)?];
        segment.entries.get((offset - segment.base) as usize)
    }

    /// The entry at this offset, to be changed in place.
    #[inline]
    pub fn entry_mut(&mut self, offset: Offset) -> Option<&mut E> {
        let offset = offset.get();
        if offset < self.start {
            return None;
        }
        let last = self.segments.len() - 1;
        let index = if self.active().base <= offset { last } else { self.segment_index(offset)? };
        let segment = &mut self.segments[index];
        segment.entries.get_mut((offset - segment.base) as usize)
    }

    /// The entries from this offset on (or from the start, where that is later), with their offsets.
    pub fn entries_from(&self, from: Offset) -> impl Iterator<Item = (Offset, &E)> {
        let from = from.get().max(self.start);
        let first = self.segment_index(from).unwrap_or(0);
        self.segments.range(first..).flat_map(move |segment| {
            let skip = from.saturating_sub(segment.base) as usize;
            let base = segment.base;
            let entries = segment.entries.iter().enumerate().skip(skip);
            entries.map(move |(index, entry)| (Offset::new(base + index as u64), entry))
        })
    }

    /// Moves the start up to this offset. Segments that lie wholly below it are deleted, except the active one,
    /// which is emptied in place once everything in it lies below. Their memory serves the next segments.
    #[inline]
    pub fn trim(&mut self, until: Offset) {
        let until = until.get().min(self.end_number());
        self.start = self.start.max(until);
        while self.segments.len() > 1 && self.segments[1].base <= self.start {
            let mut gone = self.segments.pop_front().expect("there are two at least");
            self.bytes -= gone.bytes;
            gone.entries.clear();
            if self.spare.len() < 2 {
                self.spare.push(gone.entries);
            }
        }
        let end = self.end_number();
        if self.start == end && !self.active().is_empty() {
            let active = self.segments.back_mut().expect("a log always has an active segment");
            self.bytes -= active.bytes;
            active.base = end;
            active.bytes = 0;
            active.entries.clear();
        }
        self.written = self.written.max(self.start);
        self.flushed = self.flushed.max(self.start);
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
        assert!(count < self.segments.len(), "the active segment stays; roll first");
        for mut gone in self.segments.drain(..count) {
            self.bytes -= gone.bytes;
            gone.entries.clear();
            if self.spare.len() < 2 {
                self.spare.push(gone.entries);
            }
        }
        self.advance_start(self.segments[0].base());
    }

    /// Drops everything at and after this offset: what a follower does with entries that its leader does not
    /// have, and a node with what did not survive.
    pub fn truncate(&mut self, end: Offset) {
        let end = end.get().max(self.start);
        while self.segments.len() > 1 && self.active().base > end {
            let gone = self.segments.pop_back().expect("there are two at least");
            self.bytes -= gone.bytes;
        }
        let active = self.segments.back_mut().expect("a log always has an active segment");
        let keep = (end - active.base) as usize;
        if keep < active.entries.len() {
            let cut: u64 = active.entries.drain(keep..).map(|entry| entry.bytes()).sum();
            active.bytes -= cut;
            self.bytes -= cut;
            active.max_timestamp = active.entries.iter().map(Entry::timestamp).max().unwrap_or_default();
        }
        self.written = self.written.min(end);
        self.flushed = self.flushed.min(end);
        while self.epochs.last().is_some_and(|(_, from)| *from >= end) {
            self.epochs.pop();
        }
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
        assert_eq!(log.segments().len(), 7, "rolling an empty segment does nothing");
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
        assert_eq!((log.segments().len(), log.bytes()), (1, 10));
        log.trim(Offset::new(99));
        assert_eq!((log.start(), log.end(), log.bytes()), (Offset::new(4), Offset::new(4), 0));
        assert_eq!(log.append(4, Time::ZERO), Offset::new(4), "offsets are never used again");
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
