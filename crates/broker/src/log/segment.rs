//! Entries that are deleted together, dense as they were appended or with the gaps that compaction leaves.

use std::slice;

use brokerlab_event::{Offset, Time};

use super::Entry;

/// Where an entry of a compacted segment stood when it was appended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its offset.
    pub offset: Offset,
    /// Offset of the first entry of its batch, which may be gone.
    pub batch: Offset,
}

/// From this many entries on, memory grows a step at a time.
const GROWS_IN_STEPS: usize = 4096;

/// How much memory is set aside at most for so many entries. Of a large segment no more than a fifth is set aside in
/// advance: a log may hold records by the million.
fn room(length: usize) -> usize {
    if length < GROWS_IN_STEPS { (2 * length).max(4) } else { length + length / 5 }
}

/// Makes room for more entries.
#[cold]
#[inline(never)]
pub(super) fn grow<E>(entries: &mut Vec<E>) {
    let length = entries.len();
    entries.reserve_exact(room(length) - length);
}

/// Gives back what was set aside in vain, because the memory served a larger segment before.
pub(super) fn shrink<E>(entries: &mut Vec<E>) {
    if entries.capacity() > room(entries.len()) {
        entries.shrink_to(room(entries.len()));
    }
}

/// Entries that are deleted together.
#[derive(Clone, PartialEq, Debug)]
pub struct Segment<E> {
    pub(super) base: u64,
    pub(super) entries: Vec<E>,
    /// How many of them are known to be needed no more.
    pub(super) released: usize,
    /// How many of them no reader is given.
    pub(super) others: usize,
    pub(super) bytes: u64,
    /// When the first entry was appended.
    pub(super) created: Time,
    /// Timestamp of the first entry.
    pub(super) first_timestamp: Time,
    /// Largest timestamp of any entry.
    pub(super) max_timestamp: Time,
    /// Where the entries stand, unless they stand one behind the other from the base on.
    gaps: Option<Box<Gaps>>,
}

/// Where the entries of a compacted segment stand: eight bytes for each.
#[derive(Clone, PartialEq, Debug)]
struct Gaps {
    /// For each entry its offset and that of its batch, from the base of the segment.
    places: Vec<(u32, u32)>,
    /// Offset after the last one that the segment stands for.
    end: u64,
    /// When entries may be dropped that are kept for a while (tombstones and ends of transactions). An element holds
    /// for the batches from its own on, up to the next element; it means nothing to batches without such entries.
    horizons: Vec<(u32, Option<Time>)>,
}

impl<E> Segment<E> {
    pub(super) fn new(base: u64, entries: Vec<E>, created: Time) -> Segment<E> {
        let (first_timestamp, max_timestamp) = (Time::ZERO, Time::ZERO);
        let (released, others, bytes, gaps) = (0, 0, 0, None);
        Segment { base, entries, released, others, bytes, created, first_timestamp, max_timestamp, gaps }
    }

    /// Offset of its first entry (or, while it is empty, of the entry that will come first).
    pub fn base(&self) -> Offset {
        Offset::new(self.base)
    }

    /// Offset after its last entry, or after the gap behind that.
    pub fn end(&self) -> Offset {
        Offset::new(self.end_number())
    }

    #[inline]
    pub(super) fn end_number(&self) -> u64 {
        self.gaps.as_ref().map_or(self.base + self.entries.len() as u64, |gaps| gaps.end)
    }

    /// Size of its entries in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Memory that is set aside for its entries, and for where they stand.
    pub(super) fn memory(&self) -> usize {
        let places = self.gaps.as_ref().map_or(0, |gaps| gaps.places.capacity() * size_of::<(u32, u32)>());
        self.entries.capacity() * size_of::<E>() + places
    }

    /// Its entries, in order.
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

    /// True where compaction has written it.
    #[inline]
    pub fn is_compacted(&self) -> bool {
        self.gaps.is_some()
    }

    /// Where its entry of this index stands, if compaction has written the segment.
    pub fn compacted_place(&self, index: usize) -> Option<Place> {
        let (offset, batch) = self.gaps.as_ref()?.places[index];
        let at = |delta: u32| Offset::new(self.base + u64::from(delta));
        Some(Place { offset: at(offset), batch: at(batch) })
    }

    /// From when on the tombstones or the end of a transaction of this batch may be dropped, if a pass of the
    /// compaction has already said so.
    pub fn delete_horizon(&self, batch: Offset) -> Option<Time> {
        let horizons = &self.gaps.as_ref()?.horizons;
        let delta = (batch.get() - self.base) as u32;
        let index = horizons.partition_point(|(from, _)| *from <= delta);
        horizons[..index].last()?.1
    }

    /// The index of the entry at this offset, which lies at or after the base.
    #[inline]
    pub(super) fn index_of(&self, offset: u64) -> Option<usize> {
        let delta = offset - self.base;
        match &self.gaps {
            None => Some(delta as usize),
            Some(gaps) => gaps.places.binary_search_by_key(&delta, |(offset, _)| u64::from(*offset)).ok(),
        }
    }

    /// The entries from this offset on, with their offsets.
    #[inline]
    pub(super) fn entries_from(&self, from: u64) -> SegmentEntries<'_, E> {
        let delta = from.saturating_sub(self.base);
        let Some(gaps) = &self.gaps else {
            let skip = (delta as usize).min(self.entries.len());
            let entries = self.entries[skip..].iter();
            return SegmentEntries { entries, next: self.base + skip as u64, places: None };
        };
        let skip = gaps.places.partition_point(|(offset, _)| u64::from(*offset) < delta);
        let places = Some(gaps.places[skip..].iter());
        SegmentEntries { entries: self.entries[skip..].iter(), next: self.base, places }
    }
}

/// Some of the entries of a segment, with their offsets.
#[derive(Clone, Debug)]
pub(super) struct SegmentEntries<'a, E> {
    entries: slice::Iter<'a, E>,
    /// The offset of the next one; of a compacted segment: its base.
    next: u64,
    /// Where they stand, in a compacted segment.
    places: Option<slice::Iter<'a, (u32, u32)>>,
}

impl<'a, E> Iterator for SegmentEntries<'a, E> {
    type Item = (Offset, &'a E);

    #[inline(always)]
    fn next(&mut self) -> Option<(Offset, &'a E)> {
        let entry = self.entries.next()?;
        let offset = match &mut self.places {
            None => {
                self.next += 1;
                self.next - 1
            }
            Some(places) => self.next + u64::from(places.next()?.0),
        };
        Some((Offset::new(offset), entry))
    }
}

impl<E: Entry> Segment<E> {
    /// An empty segment that compaction fills, in place of others that begin here.
    pub fn compacted(base: Offset, created: Time) -> Segment<E> {
        let gaps = Gaps { places: Vec::new(), end: base.get(), horizons: Vec::new() };
        Segment { gaps: Some(Box::new(gaps)), ..Segment::new(base.get(), Vec::new(), created) }
    }

    /// Adds what compaction keeps of a batch, with its delete horizon where it has one or may have one later.
    ///
    /// # Panics
    /// Panics where the segment was not written by compaction, or an entry lies 2^32 offsets behind its base.
    pub fn keep(
        &mut self,
        entries: impl IntoIterator<Item = (Offset, E)>,
        batch: Offset,
        horizon: Option<Option<Time>>,
    ) {
        let gaps = self.gaps.as_mut().expect("only a compacted segment has gaps");
        let delta = |offset: Offset| {
            u32::try_from(offset.get() - self.base).expect("segments are merged only as far as their offsets fit")
        };
        for (offset, entry) in entries {
            if self.entries.is_empty() {
                self.first_timestamp = entry.timestamp();
            }
            self.max_timestamp = self.max_timestamp.max(entry.timestamp());
            self.bytes += entry.bytes();
            self.others += usize::from(!entry.is_message());
            gaps.places.push((delta(offset), delta(batch)));
            gaps.end = offset.get() + 1;
            self.entries.push(entry);
        }
        if let Some(horizon) = horizon
            && gaps.horizons.last().is_none_or(|(_, last)| *last != horizon)
        {
            gaps.horizons.push((delta(batch), horizon));
        }
    }

    /// Gives back the memory that was set aside for more entries, and stands for all offsets up to this one.
    pub fn finish(&mut self, end: Offset) {
        self.entries.shrink_to_fit();
        let gaps = self.gaps.as_mut().expect("only a compacted segment is written to its end");
        gaps.places.shrink_to_fit();
        gaps.horizons.shrink_to_fit();
        gaps.end = end.get();
    }

    /// How many entries at or behind this offset readers are given.
    pub(super) fn messages_from(&self, from: u64) -> usize {
        match (from <= self.base, self.others) {
            (true, others) => self.entries.len() - others,
            (false, _) => self.entries_from(from).filter(|(_, entry)| entry.is_message()).count(),
        }
    }

    /// Drops everything at and after this offset from a compacted segment.
    pub(super) fn truncate(&mut self, end: u64) {
        let keep = self.gaps.as_ref().map_or(self.entries.len(), |gaps| {
            gaps.places.partition_point(|(offset, _)| self.base + u64::from(*offset) < end)
        });
        self.entries.truncate(keep);
        self.bytes = self.entries.iter().map(Entry::bytes).sum();
        self.others = self.entries.iter().filter(|entry| !entry.is_message()).count();
        self.max_timestamp = self.entries.iter().map(Entry::timestamp).max().unwrap_or_default();
        if let Some(gaps) = &mut self.gaps {
            gaps.places.truncate(keep);
            gaps.end = gaps.end.min(end);
        }
    }
}
