//! What a partition remembers of producers that number their records: enough to recognise what it has already, to
//! refuse gaps and producers of the past, and to know which transactions are open in it.
//!
//! A producer has an id, an epoch, and a sequence number for each record, which counts on from batch to batch. The
//! rules are those of Kafka's idempotent producer and transactions (KIP-98; `producer.id.expiration.ms`, KIP-854):
//! a batch is looked for among the last five first, then its epoch is checked, then its sequence; a batch that is
//! refused changes nothing.

use std::collections::VecDeque;

use brokerlab_event::{Duration, Offset, Time};

use crate::message::LogError;
use crate::record::{BatchProducer, MAX_SEQUENCE, ProducerId, Record, RecordKind, sequence_after};

/// How many batches of a producer are remembered; more of them must not be in flight at once.
pub const BATCHES_KEPT: usize = 5;

/// What is to be done with a batch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Checked {
    /// It comes next: append it.
    Next,
    /// It is in the log already, from this offset on: acknowledge it with that.
    Duplicate(Offset),
}

/// The end of a transaction, as its coordinator writes it into each partition that took part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndMarker {
    /// The producer.
    pub producer: ProducerId,
    /// The epoch from which on the producer may write. A coordinator that fences a producer, or that speaks version 2
    /// of the protocol (KIP-890), writes one more than the epoch of the transaction.
    pub epoch: u16,
    /// How often the coordinator's partition has changed hands: markers of a former coordinator are refused.
    pub coordinator_epoch: u32,
    /// The records are valid; otherwise nobody who reads committed data sees them.
    pub committed: bool,
}

/// A transaction that a marker has ended, in one partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CompletedTransaction {
    /// Whose it was.
    pub producer: ProducerId,
    /// The offset of its first record here.
    pub first: Offset,
    /// The offset of its marker.
    pub last: Offset,
    /// Whether it counts.
    pub committed: bool,
    /// Everything below was decided when it ended: the first offset of the earliest transaction that was still open,
    /// otherwise the one after the marker. How far the log is replicated makes no difference to it.
    pub decided_below: Offset,
}

/// A batch that is remembered.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct KeptBatch {
    first_sequence: u32,
    last_sequence: u32,
    offset: u64,
}

/// What is remembered of one producer.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Entry {
    producer: ProducerId,
    epoch: u16,
    /// How many of `batches` are in use.
    kept: u8,
    /// Where the newest of them is.
    newest: u8,
    /// The epoch of the coordinator that wrote its last marker.
    coordinator: Option<u32>,
    /// Latest timestamp of its last batch or marker.
    timestamp: Time,
    /// The first offset of its open transaction.
    transaction: Option<Offset>,
    /// A ring.
    batches: [KeptBatch; BATCHES_KEPT],
}

impl Entry {
    fn new(producer: ProducerId, epoch: u16) -> Entry {
        Entry {
            producer,
            epoch,
            kept: 0,
            newest: 0,
            coordinator: None,
            timestamp: Time::ZERO,
            transaction: None,
            batches: [KeptBatch::default(); BATCHES_KEPT],
        }
    }

    /// The newest batch of this epoch.
    #[inline]
    fn newest(&self) -> Option<&KeptBatch> {
        (self.kept > 0).then(|| &self.batches[usize::from(self.newest)])
    }

    /// The sequence number that comes next within the epoch.
    #[inline]
    fn next_sequence(&self) -> u32 {
        self.newest().map_or(0, |batch| sequence_after(batch.last_sequence, 1))
    }

    /// The ring holds its batches in its first places until it is full, so they can be looked through as they lie.
    fn duplicate(&self, first_sequence: u32, last_sequence: u32) -> Option<Offset> {
        let same = |batch: &&KeptBatch| batch.first_sequence == first_sequence && batch.last_sequence == last_sequence;
        self.batches[..usize::from(self.kept)].iter().find(same).map(|batch| Offset::new(batch.offset))
    }

    /// Comes to an epoch; what was remembered of another is of no use any more.
    #[inline]
    fn enter(&mut self, epoch: u16) {
        if self.epoch != epoch {
            (self.epoch, self.kept, self.newest) = (epoch, 0, 0);
        }
    }

    #[inline]
    fn keep(&mut self, batch: KeptBatch) {
        self.newest = if self.kept == 0 { 0 } else { (self.newest + 1) % BATCHES_KEPT as u8 };
        self.kept = (self.kept + 1).min(BATCHES_KEPT as u8);
        self.batches[usize::from(self.newest)] = batch;
    }
}

/// A transaction that is open, or whose marker has not been replicated.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Unstable {
    producer: ProducerId,
    first: Offset,
    /// The offset of its marker, which an open one does not have.
    last: Option<Offset>,
}

/// What one partition remembers of its producers. It can be cloned, and built anew from the records of a log.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct ProducerState {
    /// In order of id. Ids rise, so that a new producer stands at the end; those that are silent for long are dropped.
    entries: Vec<Entry>,
    /// Where the last one was found that was looked for: most batches come from the same few producers.
    recent: usize,
    /// Transactions that hold the last stable offset back, in order of their first offset.
    unstable: VecDeque<Unstable>,
    /// The marker and the first offset of those that have a marker, in order of their markers.
    decided: VecDeque<(Offset, Offset)>,
    /// Aborted transactions, in order of their markers.
    aborted: Vec<CompletedTransaction>,
}

impl ProducerState {
    /// How many producers it knows.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// True where it knows none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The last sequence number of a producer's current epoch, with that epoch. No number where the epoch began with
    /// a marker and has no batch.
    pub fn last_sequence(&self, producer: ProducerId) -> Option<(u16, Option<u32>)> {
        let entry = &self.entries[self.place(producer).ok()?];
        Some((entry.epoch, entry.newest().map(|batch| batch.last_sequence)))
    }

    /// The first offset of the open transaction of a producer.
    pub fn transaction_of(&self, producer: ProducerId) -> Option<Offset> {
        self.entries[self.place(producer).ok()?].transaction
    }

    /// True where the offset belongs to the last record of a producer's newest batch: compaction keeps such records,
    /// so that the sequence is known after the log is read anew.
    pub fn is_last_of_producer(&self, producer: ProducerId, offset: Offset) -> bool {
        let Ok(place) = self.place(producer) else { return false };
        let last = |batch: &KeptBatch| {
            let length = batch.last_sequence.wrapping_sub(batch.first_sequence) & MAX_SEQUENCE;
            Offset::new(batch.offset + u64::from(length))
        };
        self.entries[place].newest().is_some_and(|batch| last(batch) == offset)
    }

    #[inline]
    fn place(&self, producer: ProducerId) -> Result<usize, usize> {
        match self.entries.get(self.recent) {
            Some(entry) if entry.producer == producer => Ok(self.recent),
            _ => self.entries.binary_search_by_key(&producer, |entry| entry.producer),
        }
    }

    /// What is to be done with a batch of this many records. Changes nothing.
    #[inline]
    pub fn check(&self, producer: &BatchProducer, count: u32) -> Result<Checked, LogError> {
        // Without state every sequence is taken: retention may have removed all that the producer ever wrote.
        let Ok(place) = self.place(producer.id) else { return Ok(Checked::Next) };
        let entry = &self.entries[place];
        let continues = producer.epoch == entry.epoch && producer.sequence == entry.next_sequence();
        if !continues && let Some(checked) = Self::check_unexpected(entry, producer, count)? {
            return Ok(checked);
        }
        if entry.transaction.is_some() && !producer.transactional {
            return Err(LogError::InvalidTransactionState);
        }
        Ok(Checked::Next)
    }

    /// A batch that does not simply continue its epoch.
    #[cold]
    fn check_unexpected(entry: &Entry, producer: &BatchProducer, count: u32) -> Result<Option<Checked>, LogError> {
        if producer.epoch == entry.epoch {
            let last = sequence_after(producer.sequence, i64::from(count) - 1);
            let duplicate = entry.duplicate(producer.sequence, last);
            return duplicate.map(|offset| Some(Checked::Duplicate(offset))).ok_or(LogError::OutOfOrderSequence);
        }
        if producer.epoch < entry.epoch {
            return Err(LogError::InvalidProducerEpoch);
        }
        if producer.sequence != 0 { Err(LogError::OutOfOrderSequence) } else { Ok(None) }
    }

    /// A batch was appended that [`ProducerState::check`] took, or that the leader took. `timestamp` is the latest of
    /// its records. True where a transaction began with it.
    #[inline]
    pub fn append(&mut self, producer: &BatchProducer, count: u32, first: Offset, timestamp: Time) -> bool {
        let entry = self.entry(producer.id, producer.epoch);
        entry.enter(producer.epoch);
        let last_sequence = sequence_after(producer.sequence, i64::from(count) - 1);
        entry.keep(KeptBatch { first_sequence: producer.sequence, last_sequence, offset: first.get() });
        entry.timestamp = timestamp;
        let begins = producer.transactional && entry.transaction.is_none();
        if begins {
            entry.transaction = Some(first);
            self.unstable.push_back(Unstable { producer: producer.id, first, last: None });
        }
        begins
    }

    #[inline]
    fn entry(&mut self, producer: ProducerId, epoch: u16) -> &mut Entry {
        self.recent = self.place(producer).unwrap_or_else(|place| {
            self.entries.insert(place, Entry::new(producer, epoch));
            place
        });
        &mut self.entries[self.recent]
    }

    /// Whether a marker may be appended.
    pub fn check_marker(&self, marker: &EndMarker) -> Result<(), LogError> {
        let Ok(place) = self.place(marker.producer) else { return Ok(()) };
        let entry = &self.entries[place];
        if marker.epoch < entry.epoch {
            return Err(LogError::InvalidProducerEpoch);
        }
        let is_former = entry.coordinator.is_some_and(|known| marker.coordinator_epoch < known);
        if is_former { Err(LogError::CoordinatorFenced) } else { Ok(()) }
    }

    /// A marker was appended. Returns the transaction that it ended, if the producer had one open here.
    pub fn end(&mut self, marker: &EndMarker, offset: Offset, timestamp: Time) -> Option<CompletedTransaction> {
        let entry = self.entry(marker.producer, marker.epoch);
        entry.enter(marker.epoch);
        entry.coordinator = Some(marker.coordinator_epoch);
        entry.timestamp = timestamp;
        let first = entry.transaction.take()?;
        let place = self.place_of_unstable(first);
        self.unstable[place].last = Some(offset);
        self.decided.push_back((offset, first));
        let decided_below = self.first_undecided().unwrap_or(offset.next());
        let (producer, committed) = (marker.producer, marker.committed);
        let completed = CompletedTransaction { producer, first, last: offset, committed, decided_below };
        if !committed {
            self.aborted.push(completed);
        }
        Some(completed)
    }

    /// Takes up what a record of a log says that is read anew, from its beginning or from where a copy of this state
    /// was kept. Nothing is checked: the leader took it.
    pub fn replay<P>(&mut self, offset: Offset, record: &Record<P>) {
        let Some(producer) = record.producer.some() else { return };
        let epoch = record.producer_epoch;
        if record.kind.is_marker() {
            let (committed, coordinator_epoch) = (record.kind == RecordKind::Commit, record.sequence);
            self.end(&EndMarker { producer, epoch, coordinator_epoch, committed }, offset, record.timestamp);
            return;
        }
        let entry = self.entry(producer, epoch);
        let (place, is_same) = (usize::from(entry.newest), entry.kept > 0 && entry.epoch == epoch);
        let batch = &mut entry.batches[place];
        let distance = record.sequence.wrapping_sub(batch.first_sequence) & MAX_SEQUENCE;
        // Records of one batch stand side by side, also where compaction has taken some of them.
        if is_same && !record.flags.begins_batch() && batch.offset + u64::from(distance) == offset.get() {
            batch.last_sequence = record.sequence;
            entry.timestamp = entry.timestamp.max(record.timestamp);
            return;
        }
        let (sequence, transactional) = (record.sequence, record.flags.is_transactional());
        self.append(&BatchProducer { id: producer, epoch, sequence, transactional }, 1, offset, record.timestamp);
    }

    /// Everything below is replicated: transactions whose marker is there hold nothing back any more.
    #[inline]
    pub fn replicated(&mut self, high_watermark: Offset) {
        while let Some((_, first)) = self.decided.pop_front_if(|(marker, _)| *marker < high_watermark) {
            let place = self.place_of_unstable(first);
            self.unstable.remove(place);
        }
    }

    /// Where a transaction stands that holds the last stable offset back.
    fn place_of_unstable(&self, first: Offset) -> usize {
        self.unstable.partition_point(|unstable| unstable.first < first)
    }

    /// The first offset of the earliest transaction that is open, or whose marker is not known to be replicated.
    #[inline]
    pub fn first_unstable(&self) -> Option<Offset> {
        self.unstable.front().map(|unstable| unstable.first)
    }

    /// The first offset of the earliest transaction that is open.
    pub fn first_undecided(&self) -> Option<Offset> {
        self.unstable.iter().find(|unstable| unstable.last.is_none()).map(|unstable| unstable.first)
    }

    /// Producers with an open transaction, in the order in which their transactions began.
    pub fn open_transactions(&self) -> impl Iterator<Item = (ProducerId, Offset)> {
        let open = self.unstable.iter().filter(|unstable| unstable.last.is_none());
        open.map(|unstable| (unstable.producer, unstable.first))
    }

    /// Aborted transactions, in order of their markers.
    pub fn aborted(&self) -> &[CompletedTransaction] {
        &self.aborted
    }

    /// Whether a record of a transaction has been aborted.
    pub fn is_aborted(&self, producer: ProducerId, offset: Offset) -> bool {
        // Its transaction ended with a later marker; and once everything below some offset beyond is decided, it has
        // ended, so what was aborted still later says nothing about it.
        let begin = self.aborted.partition_point(|transaction| transaction.last <= offset);
        for transaction in &self.aborted[begin..] {
            if transaction.producer == producer {
                return transaction.first <= offset;
            }
            if transaction.decided_below > offset {
                return false;
            }
        }
        false
    }

    /// Forgets producers that have been silent this long, except those with an open transaction.
    pub fn expire(&mut self, now: Time, after: Duration) {
        self.entries.retain(|entry| entry.transaction.is_some() || now.saturating_since(entry.timestamp) < after);
    }

    /// A copy to go on from later, without the list of what was aborted: that only grows behind this moment, so that the
    /// list of a later state tells the same and more.
    pub(crate) fn snapshot(&self) -> ProducerState {
        let ProducerState { entries, recent, unstable, decided, aborted: _ } = self;
        let (entries, unstable, decided) = (entries.clone(), unstable.clone(), decided.clone());
        ProducerState { entries, recent: *recent, unstable, decided, aborted: Vec::new() }
    }

    /// What a copy left out that was made when the log ended here.
    pub(crate) fn restore_aborted(&mut self, mut aborted: Vec<CompletedTransaction>, end: Offset) {
        aborted.truncate(aborted.partition_point(|transaction| transaction.last < end));
        self.aborted = aborted;
    }

    /// The list of what was aborted.
    pub(crate) fn take_aborted(&mut self) -> Vec<CompletedTransaction> {
        std::mem::take(&mut self.aborted)
    }

    /// The log begins here now: what was aborted below is not asked for any more.
    pub fn trim(&mut self, log_start: Offset) {
        let gone = self.aborted.partition_point(|transaction| transaction.last < log_start);
        self.aborted.drain(..gone);
        self.replicated(log_start);
    }
}
