//! The batches of a segment.

use std::ops::Range;

use brokerlab_event::Offset;

use crate::log::Segment;
use crate::record::Record;

/// A batch, as far as it is in a segment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct BatchSpan {
    /// Offset of its first record, which may be gone.
    pub base: Offset,
    /// Offset after its last record.
    pub end: Offset,
    /// The indexes of its entries in the segment.
    pub entries: Range<usize>,
}

impl BatchSpan {
    /// The offset of one of its entries.
    #[inline]
    pub fn offset<P>(&self, segment: &Segment<Record<P>>, index: usize) -> Offset {
        offset_at(segment, index)
    }
}

#[inline]
fn offset_at<P>(segment: &Segment<Record<P>>, index: usize) -> Offset {
    let dense = || Offset::new(segment.base().get() + index as u64);
    segment.compacted_place(index).map_or_else(dense, |place| place.offset)
}

/// The batches of a segment, in order. Appending never splits a batch over segments.
pub fn batches<P>(segment: &Segment<Record<P>>) -> impl Iterator<Item = BatchSpan> + '_ {
    let mut next = 0;
    std::iter::from_fn(move || {
        let start = next;
        let entries = segment.entries();
        if start == entries.len() {
            return None;
        }
        let place = segment.compacted_place(start);
        let base = place.map_or_else(|| offset_at(segment, start), |place| place.batch);
        let belongs = |index: usize| match segment.compacted_place(index) {
            Some(place) => place.batch == base,
            None => !entries[index].flags.begins_batch(),
        };
        next = (start + 1..entries.len()).find(|index| !belongs(*index)).unwrap_or(entries.len());
        Some(BatchSpan { base, end: offset_at(segment, next - 1).next(), entries: start..next })
    })
}
