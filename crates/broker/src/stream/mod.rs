//! What makes a stream of a partition: how it is cut back, what its publishers have published, and where its readers
//! are.
//!
//! A stream is a log like any other: chunks are the batches of its publishers, and a message's offset is its place.
//! Left out: the offsets that the broker's own notes take in the log of a real stream.

mod single_active;

use std::collections::BTreeMap;

use brokerlab_event::{ClientId, Duration, MessageId, Offset, Removal, Time};

use crate::config::{ReaderName, StreamOffset};
use crate::log::Segment;
use crate::partition::{PartitionLog, Retained};
use crate::record::Record;

pub use single_active::{ConsumerTurn, SingleActive};

/// A segment holds no more chunks than this, however small they are.
pub const SEGMENT_CHUNKS: u32 = 256_000;

/// What is kept of a stream.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StreamRules {
    /// Segments whose latest chunk is older than this are deleted (`x-max-age`). `None`: never.
    pub max_age: Option<Duration>,
    /// Size in bytes that a stream is cut back to (`x-max-length-bytes`). `None`: never.
    pub max_length_bytes: Option<u64>,
    /// A segment that has reached this size in bytes is closed (`x-stream-max-segment-size-bytes`, default 500 MB).
    pub max_segment_size_bytes: u64,
}

impl Default for StreamRules {
    fn default() -> StreamRules {
        StreamRules { max_age: None, max_length_bytes: None, max_segment_size_bytes: 500_000_000 }
    }
}

impl<P: Clone> PartitionLog<P> {
    /// Deletes the oldest segments of a stream: first by size, where the newest that fit together stay, then by age.
    /// The segment that is being written always stays, and counts against the size. Looked at whenever a segment
    /// begins, and only then.
    pub fn cut_back(&mut self, rules: &StreamRules, now: Time) -> Retained {
        let mut done = Retained::default();
        if let Some(limit) = rules.max_length_bytes {
            let mut left = Some(limit);
            // From the newest on: what fits, up to the first that does not.
            let fits = |segment: &&Segment<Record<P>>| {
                left = left.and_then(|left| left.checked_sub(segment.bytes()));
                left.is_some()
            };
            let kept = self.log().segments().rev().take_while(fits).count();
            let mut excess = self.log().segment_count() - kept;
            let deleted = self.delete_prefix(now, &mut done, |_, is_active| {
                let goes = !is_active && excess > 0;
                excess = excess.saturating_sub(1);
                goes
            });
            if deleted {
                done.trimmed.push((self.log().start(), Removal::RetentionSize));
            }
        }
        if let Some(limit) = rules.max_age {
            let is_old = |latest: Time| now.saturating_since(latest) > limit;
            let rule = |segment: &Segment<Record<P>>, is_active: bool| {
                !is_active && segment.max_timestamp().is_some_and(is_old)
            };
            if self.delete_prefix(now, &mut done, rule) {
                done.trimmed.push((self.log().start(), Removal::RetentionTime));
            }
        }
        done
    }

    /// Where a reader of a stream begins that asks for this.
    pub fn stream_offset(&self, from: StreamOffset, now: Time) -> Offset {
        let (start, next) = (self.log().start(), self.high_watermark());
        let at = |time: Time| self.offset_at(time).max(start);
        match from {
            StreamOffset::First => start,
            StreamOffset::Last => self.last_chunk().unwrap_or(next),
            StreamOffset::Next => next,
            StreamOffset::Offset(offset) => offset.max(start).min(next),
            StreamOffset::Time(time) => at(time),
            StreamOffset::Interval(age) => at(Time::ZERO + now.saturating_since(Time::ZERO + age)),
        }
    }

    /// Where the last chunk that readers may see begins.
    fn last_chunk(&self) -> Option<Offset> {
        let until = self.high_watermark();
        let begun = |segment: &Segment<Record<P>>| {
            let chunks = self.log().entries_from(segment.base()).take_while(|(offset, _)| *offset < until);
            chunks.filter(|(_, record)| record.flags.begins_batch()).last().map(|(offset, _)| offset)
        };
        self.log().segments().rev().find_map(begun)
    }

    /// The rest of the chunk at an offset, as far as readers may see it.
    pub fn chunk(&self, from: Offset) -> impl Iterator<Item = (Offset, &Record<P>)> {
        let until = self.high_watermark();
        let entries = self.log().entries_from(from).take_while(move |(offset, _)| *offset < until);
        entries.enumerate().take_while(|(index, (_, record))| *index == 0 || !record.flags.begins_batch()).map(|e| e.1)
    }
}

/// What the broker notes beside the messages of a stream: the last publishing id of each named publisher, and the
/// offsets that readers have stored. The publishing id of a message is its number.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Tracking {
    /// The last message of each publisher, and where it is.
    published: BTreeMap<ClientId, (MessageId, Offset)>,
    /// Where each reader goes on: behind the last message that it has done, or where it was sent.
    stored: BTreeMap<ReaderName, Offset>,
}

impl Tracking {
    /// Where the latest message of a publisher is, if this one is no later: it counts as published already.
    pub fn duplicate(&self, publisher: ClientId, message: MessageId) -> Option<Offset> {
        self.published.get(&publisher).filter(|(last, _)| message <= *last).map(|(_, offset)| *offset)
    }

    /// A publisher's message was stored.
    pub fn published(&mut self, publisher: ClientId, message: MessageId, offset: Offset) {
        self.published.insert(publisher, (message, offset));
    }

    /// Where a reader goes on.
    pub fn stored(&self, reader: ReaderName) -> Option<Offset> {
        self.stored.get(&reader).copied()
    }

    /// A reader goes on here.
    pub fn store(&mut self, reader: ReaderName, next: Offset) {
        self.stored.insert(reader, next);
    }

    /// Finds out anew what publishers have published: what is noted counts only where it is too old to be in the log.
    pub fn recover<P: Clone>(&mut self, log: &PartitionLog<P>) {
        self.published.retain(|_, (_, offset)| *offset < log.log().start());
        for (offset, record) in log.log().entries_from(log.log().start()) {
            self.published.insert(record.sender, (record.message, offset));
        }
    }
}
