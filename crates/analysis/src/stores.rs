//! Queues and partitions as far as events tell of them: what a partition still holds, and where its groups are.

use core::ops::Range;
use std::collections::VecDeque;

use brokerlab_event::{Bytes, ClientId, MessageId, Offset, RunHeader, StoreInfo, StoreKind};

use crate::PlaceSet;

/// A record of a partition.
#[derive(Clone, Copy)]
pub(crate) struct LogRecord {
    /// [`MessageId::MAX`] where an offset holds no message.
    pub message: MessageId,
    pub size: Bytes,
    /// The message was stored before, so this is another copy of it.
    pub extra: bool,
    /// Its transaction was aborted.
    pub aborted: bool,
}

/// A record as it is kept: there is one for each record of a log, so it stays small.
#[derive(Clone, Copy)]
struct Packed([u8; 10]);

impl LogRecord {
    fn none() -> LogRecord {
        LogRecord { message: MessageId::MAX, size: Bytes::new(0), extra: true, aborted: false }
    }

    #[inline]
    fn pack(self) -> Packed {
        let [a, b, c, d, e, ..] = self.message.get().to_le_bytes();
        let [f, g, h, i] = self.size.get().to_le_bytes();
        Packed([a, b, c, d, e, f, g, h, i, u8::from(self.extra) | u8::from(self.aborted) << 1])
    }
}

impl Packed {
    #[inline]
    fn unpack(self) -> LogRecord {
        let Packed([a, b, c, d, e, f, g, h, i, flags]) = self;
        let message = MessageId::new(u64::from_le_bytes([a, b, c, d, e, 0, 0, 0]));
        let size = Bytes::new(u32::from_le_bytes([f, g, h, i]));
        LogRecord { message, size, extra: flags & 1 != 0, aborted: flags & 2 != 0 }
    }
}

/// Where the group of an application is in a partition.
#[derive(Clone, Default)]
pub(crate) struct GroupPlace {
    /// The furthest that it ever committed or was assigned, of what is there: what lies below and is not processed was
    /// passed over.
    pub passed: u64,
    /// One after the last record processed; an assignment moves it, back or forth. Of a share group: everything below
    /// is done with.
    pub position: u64,
    /// One after the last record delivered since the assignment.
    pub delivered: u64,
    /// One after the furthest record that it ever processed.
    pub furthest: u64,
    /// What it was asked to read again, as far as it has not done so.
    pub replay: Range<u64>,
    pub owner: Option<ClientId>,
    /// What a share group is done with from the position on.
    pub archived: PlaceSet,
}

impl GroupPlace {
    pub fn in_flight(&self) -> u64 {
        self.delivered.saturating_sub(self.position)
    }

    /// It has processed this record; true where that was of what it was asked to read again. Each record of it counts
    /// once: who reads it a third time, because he began anew, does so unasked.
    #[inline]
    pub fn processed(&mut self, offset: u64) -> bool {
        self.furthest = self.furthest.max(offset + 1);
        let replayed = self.replay.contains(&offset);
        self.replay.start = self.replay.start.max(offset + 1);
        replayed
    }

    /// How many records up to the end the group has still to do.
    pub fn backlog(&self, end: u64) -> u64 {
        end.saturating_sub(self.position) - self.archived.len()
    }

    /// Whether the group is done with an offset, or was set beyond it.
    pub fn is_beyond(&self, offset: u64) -> bool {
        offset < self.passed || self.archived.contains(offset)
    }

    /// A share group is done with an offset.
    pub fn archive(&mut self, offset: u64) {
        if offset >= self.position {
            self.archived.insert(offset);
        }
        self.pass_archived();
    }

    /// Nothing below this position is there any more for the group, which may be done with what follows.
    pub fn set_beyond(&mut self, position: u64) {
        while let Some(first) = self.archived.first().filter(|first| *first < position) {
            self.archived.remove(first);
        }
        self.position = position;
        self.pass_archived();
    }

    /// Nothing is there any more from this end on: whoever had passed it stands at it, and holds nothing beyond.
    pub fn cut(&mut self, end: u64) {
        self.passed = self.passed.min(end);
        self.position = self.position.min(end);
        self.delivered = self.delivered.min(end);
        self.archived.cut(end);
    }

    fn pass_archived(&mut self) {
        while self.archived.remove(self.position) {
            self.position += 1;
            self.passed = self.passed.max(self.position);
        }
    }
}

/// A partition.
#[derive(Clone, Default)]
pub(crate) struct Partition {
    pub start: u64,
    records: VecDeque<Packed>,
    /// Indexed by application.
    pub groups: Vec<GroupPlace>,
}

impl Partition {
    pub fn end(&self) -> u64 {
        self.start + self.records.len() as u64
    }

    /// True where it holds nothing.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Appends at this offset. Offsets that were passed over hold no message.
    #[inline]
    pub fn append(&mut self, offset: Offset, record: LogRecord) {
        let offset = offset.get();
        if self.records.is_empty() {
            self.start = self.start.max(offset);
        }
        while self.end() < offset {
            self.records.push_back(LogRecord::none().pack());
        }
        assert_eq!(self.end(), offset, "a partition grows at its end");
        self.records.push_back(record.pack());
    }

    /// The transaction of the record at this offset was aborted.
    pub fn abort(&mut self, offset: Offset) {
        let index = offset.get().checked_sub(self.start);
        if let Some(packed) = index.and_then(|index| self.records.get_mut(index as usize)) {
            *packed = LogRecord { aborted: true, ..packed.unpack() }.pack();
        }
    }

    pub fn pop(&mut self) -> Option<(u64, LogRecord)> {
        let record = self.records.pop_front()?.unpack();
        self.start += 1;
        Some((self.start - 1, record))
    }

    /// Takes the latest record away where it lies at this end or beyond.
    pub fn pop_beyond(&mut self, end: u64) -> Option<(u64, LogRecord)> {
        if self.records.is_empty() {
            // The first record that it held may have lain further on: what was before that holds no message.
            self.start = self.start.min(end);
        }
        let is_beyond = self.end() > end;
        let record = self.records.pop_back_if(|_| is_beyond)?.unpack();
        Some((self.end(), record))
    }

    /// Takes a record out, and leaves a gap.
    pub fn remove(&mut self, offset: u64) -> Option<LogRecord> {
        let place = self.records.get_mut(offset.checked_sub(self.start)? as usize)?;
        let record = std::mem::replace(place, LogRecord::none().pack()).unpack();
        (record.message != MessageId::MAX).then_some(record)
    }

    /// The records from one offset up to another, as far as they are there.
    pub fn range(&self, from: u64, until: u64) -> impl Iterator<Item = LogRecord> + '_ {
        let index = |offset: u64| (offset.clamp(self.start, self.end()) - self.start) as usize;
        let (from, until) = (index(from), index(until));
        self.records
            .range(from..until.max(from))
            .map(|record| record.unpack())
            .filter(|record| record.message != MessageId::MAX)
    }
}

/// A queue or a partition.
#[derive(Clone)]
pub(crate) struct Store {
    /// The applications that it serves.
    pub applications: Vec<u16>,
    /// Nothing for a queue.
    pub partition: Option<Partition>,
}

pub(crate) fn stores_of(header: &RunHeader) -> Vec<Store> {
    header.stores.iter().map(|info| store_of(info, header.applications.len())).collect()
}

fn store_of(info: &StoreInfo, applications: usize) -> Store {
    let partition = match info.kind {
        StoreKind::Queue => None,
        StoreKind::Partition { .. } => {
            Some(Partition { groups: vec![GroupPlace::default(); applications], ..Partition::default() })
        }
    };
    Store { applications: info.applications.iter().map(|application| application.get()).collect(), partition }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_share_group_is_done_with_stays_so_when_the_log_is_trimmed_up_to_it() {
        let mut group = GroupPlace::default();
        group.archive(13);
        group.set_beyond(13);
        assert_eq!((group.position, group.archived.len()), (14, 0));
        assert!(group.is_beyond(13), "it does not count as dropped once it is trimmed itself");
        assert!(!group.is_beyond(14));
    }
}
