//! What a partition keeps of a message, and what a producer sends: records in batches.

use std::mem::size_of;

use brokerlab_event::{ClientId, KeyId, MessageId, Time};

use crate::log::Entry;
use crate::message::Envelope;
use crate::producer_state::EndMarker;

/// The number that a broker gave to a producer so that repeated batches can be told (`producer.id`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ProducerId(u32);

impl ProducerId {
    /// What stands where a producer has none.
    pub const NONE: ProducerId = ProducerId(u32::MAX);

    /// The id of this number.
    ///
    /// # Panics
    /// Panics where the number is that of [`ProducerId::NONE`].
    pub fn new(number: u32) -> ProducerId {
        assert!(number != u32::MAX, "this number stands for no producer id");
        ProducerId(number)
    }

    /// The number.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The id, unless this is [`ProducerId::NONE`].
    pub fn some(self) -> Option<ProducerId> {
        (self != ProducerId::NONE).then_some(self)
    }
}

/// What a record is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RecordKind {
    /// A message.
    Data,
    /// A message without a value: compaction forgets its key.
    Tombstone,
    /// The end of a transaction that holds.
    Commit,
    /// The end of a transaction that never was.
    Abort,
    /// No record, but the end of a batch whose last record compaction has taken: it keeps the offset and the
    /// sequence number at which the batch ended.
    Remnant,
}

impl RecordKind {
    /// True for what consumers may see.
    #[inline]
    pub fn is_message(self) -> bool {
        matches!(self, RecordKind::Data | RecordKind::Tombstone)
    }

    /// True for the end of a transaction.
    #[inline]
    pub fn is_marker(self) -> bool {
        matches!(self, RecordKind::Commit | RecordKind::Abort)
    }
}

/// Yes and no about a record, in one byte.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct RecordFlags(u8);

impl RecordFlags {
    const TRANSACTIONAL: u8 = 1;
    const BEGINS_BATCH: u8 = 2;

    /// Flags of a record that belongs to a transaction or does not, and is the first of its batch or is not.
    #[inline]
    pub fn new(transactional: bool, begins_batch: bool) -> RecordFlags {
        let transactional = if transactional { RecordFlags::TRANSACTIONAL } else { 0 };
        let begins_batch = if begins_batch { RecordFlags::BEGINS_BATCH } else { 0 };
        RecordFlags(transactional | begins_batch)
    }

    /// It belongs to a transaction.
    #[inline]
    pub fn is_transactional(self) -> bool {
        self.0 & RecordFlags::TRANSACTIONAL != 0
    }

    /// It is the first of its batch.
    #[inline]
    pub fn begins_batch(self) -> bool {
        self.0 & RecordFlags::BEGINS_BATCH != 0
    }
}

/// What a partition keeps of a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Record<P> {
    /// The message, or [`MessageId::MAX`] where `kind` is no message.
    pub message: MessageId,
    /// The time that its producer stamped on it.
    pub timestamp: Time,
    /// Its key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// Size of the value in bytes.
    pub size: u32,
    /// Its sender.
    pub sender: ClientId,
    /// The producer id, or [`ProducerId::NONE`].
    pub producer: ProducerId,
    /// Its number among the producer's records in this partition. Without a producer id it means nothing; of the end
    /// of a transaction it is the coordinator's epoch.
    pub sequence: u32,
    /// The epoch of the producer id: which of its instances.
    pub producer_epoch: u16,
    /// What it is.
    pub kind: RecordKind,
    /// What else is known of it.
    pub flags: RecordFlags,
    /// The value.
    pub payload: P,
}

/// A simulated log holds one of these for every message, so they are small.
const _: () = assert!(size_of::<Record<()>>() <= 40);

impl<P> Entry for Record<P> {
    #[inline]
    fn bytes(&self) -> u64 {
        u64::from(self.size)
    }
    #[inline]
    fn timestamp(&self) -> Time {
        self.timestamp
    }
    #[inline]
    fn is_message(&self) -> bool {
        self.kind.is_message()
    }
}

impl<P: Clone> Record<P> {
    /// The message as it is sent to consumers.
    #[inline]
    pub fn envelope(&self) -> Envelope<P> {
        Envelope {
            message: self.message,
            key: self.key,
            size: self.size,
            timestamp: self.timestamp,
            sender: self.sender,
            tombstone: self.kind == RecordKind::Tombstone,
            payload: self.payload.clone(),
        }
    }
}

impl<P: Default> Record<P> {
    /// The end of a transaction. It takes an offset and no space.
    pub fn marker(marker: &EndMarker, now: Time) -> Record<P> {
        Record {
            message: MessageId::MAX,
            timestamp: now,
            key: KeyId::NONE,
            size: 0,
            sender: ClientId::MAX,
            producer: marker.producer,
            sequence: marker.coordinator_epoch,
            producer_epoch: marker.epoch,
            kind: if marker.committed { RecordKind::Commit } else { RecordKind::Abort },
            flags: RecordFlags::new(true, true),
            payload: P::default(),
        }
    }
}

/// Who sent a batch, where it can be told from its repetition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BatchProducer {
    /// The producer id.
    pub id: ProducerId,
    /// Its epoch.
    pub epoch: u16,
    /// Number of the batch's first record among the producer's records in this partition.
    pub sequence: u32,
    /// The batch belongs to the producer's open transaction.
    pub transactional: bool,
}

/// Records that are appended together or not at all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch<P> {
    /// The idempotent or transactional producer, if it is one.
    pub producer: Option<BatchProducer>,
    /// The messages, in order.
    pub records: Vec<Envelope<P>>,
}

impl<P> From<Vec<Envelope<P>>> for Batch<P> {
    /// A batch of a producer without an id.
    fn from(records: Vec<Envelope<P>>) -> Batch<P> {
        Batch { producer: None, records }
    }
}

/// Sequence numbers go up to here, and then on from 0.
pub const MAX_SEQUENCE: u32 = i32::MAX as u32;

/// The sequence number this many records after (or, where it is negative, before) another.
#[inline]
pub fn sequence_after(sequence: u32, count: i64) -> u32 {
    (i64::from(sequence) + count).rem_euclid(i64::from(MAX_SEQUENCE) + 1) as u32
}

impl<P> Batch<P> {
    /// The records as a partition keeps them.
    pub fn into_records(self) -> impl ExactSizeIterator<Item = Record<P>> {
        let none = BatchProducer { id: ProducerId::NONE, epoch: 0, sequence: 0, transactional: false };
        let BatchProducer { id, epoch, sequence, transactional } = self.producer.unwrap_or(none);
        self.records.into_iter().enumerate().map(move |(index, envelope)| Record {
            message: envelope.message,
            timestamp: envelope.timestamp,
            key: envelope.key,
            size: envelope.size,
            sender: envelope.sender,
            producer: id,
            sequence: sequence_after(sequence, index as i64),
            producer_epoch: epoch,
            kind: if envelope.tombstone { RecordKind::Tombstone } else { RecordKind::Data },
            flags: RecordFlags::new(transactional, index == 0),
            payload: envelope.payload,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_keeps_what_its_batch_said() {
        let envelope = |number: u64| Envelope {
            message: MessageId::new(number),
            key: KeyId::new(3),
            size: 10,
            timestamp: Time::from_nanos(5),
            sender: ClientId::new(1),
            tombstone: number == 1,
            payload: (),
        };
        let producer = BatchProducer { id: ProducerId::new(7), epoch: 2, sequence: MAX_SEQUENCE, transactional: true };
        let records: Vec<Record<()>> =
            Batch { producer: Some(producer), records: vec![envelope(0), envelope(1)] }.into_records().collect();
        assert_eq!([records[0].envelope(), records[1].envelope()], [envelope(0), envelope(1)]);
        assert_eq!([records[0].sequence, records[1].sequence], [MAX_SEQUENCE, 0], "after the last comes 0");
        assert_eq!(records.iter().map(|r| r.flags.begins_batch()).collect::<Vec<_>>(), [true, false]);
        assert!(records.iter().all(|r| r.flags.is_transactional() && r.producer.some() == Some(producer.id)));
        assert_eq!(sequence_after(0, -1), MAX_SEQUENCE);
        let plain: Vec<Record<()>> = Batch::from(vec![envelope(0)]).into_records().collect();
        assert_eq!((plain[0].producer.some(), plain[0].flags.is_transactional()), (None, false));
    }
}
