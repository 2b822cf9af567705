//! What a producer has gathered: batches for each partition, and the memory that they take until they are done with.

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_event::{Duration, Generator, MessageId, StoreId, Time};

use crate::config::{BatcherConfig, Partitioner};
use crate::message::Envelope;
use crate::partitioner::{LoadTable, Sticky};
use crate::record::sequence_after;

/// Records that travel together to one partition.
#[derive(Clone, Debug)]
pub(super) struct Batch<P> {
    pub records: Vec<Envelope<P>>,
    /// Size of the bodies.
    pub bytes: u32,
    /// What it takes of the producer's memory.
    memory: u64,
    /// When its first record was appended.
    pub created: Time,
    /// How often it was sent.
    pub attempts: u32,
    /// How often its records were sent before, in a larger batch that the broker refused.
    pub attempts_before: u32,
    /// Not to be sent before this: it failed, and the producer backs off.
    pub retry_at: Time,
    /// Number of its first record, once an idempotent producer has sent it.
    pub sequence: Option<u32>,
    /// It was given another number than the one it was sent with first.
    pub is_renumbered: bool,
    /// Nobody has answered that it is stored, or that it is not: its connection was lost, or its leader resigned.
    pub is_unknown: bool,
    /// Nothing more is added to it.
    is_closed: bool,
    /// It is a part of a batch that the broker refused for its size.
    is_split: bool,
}

impl<P> Batch<P> {
    fn is_full(&self, batch_bytes: u32) -> bool {
        self.is_closed || self.bytes >= batch_bytes
    }

    /// The batch in parts. The first time each is as large as a batch may be; a part that is refused again is halved,
    /// unless it has a record that is larger than that. Parts count as if they had never been sent, and are as old as the
    /// whole. (`ProducerBatch.split`, `RecordAccumulator.splitAndReenqueue` of Kafka's Java client.)
    pub fn split(&mut self, batch_bytes: u32) -> Vec<Batch<P>> {
        let largest = self.records.iter().map(|record| record.size).max().unwrap_or(0);
        let limit = if self.is_split { largest.max(self.bytes / 2) } else { batch_bytes };
        let mut sequence = self.sequence;
        let mut parts: Vec<Batch<P>> = Vec::new();
        for record in self.records.drain(..) {
            match parts.last_mut().filter(|part| part.bytes.saturating_add(record.size) <= limit) {
                Some(part) => {
                    part.bytes += record.size;
                    part.records.push(record);
                }
                None => {
                    let part = Batch {
                        bytes: record.size,
                        records: vec![record],
                        memory: 0, // Kafka's client does not count it either
                        created: self.created,
                        attempts: 0,
                        attempts_before: self.attempts_before + self.attempts,
                        retry_at: Time::ZERO,
                        sequence,
                        is_renumbered: false,
                        is_unknown: false,
                        is_closed: true,
                        is_split: true,
                    };
                    parts.push(part);
                }
            }
            sequence = sequence.map(|sequence| sequence_after(sequence, 1));
        }
        parts
    }

    /// What its records are messages of.
    pub fn messages(&self) -> impl Iterator<Item = MessageId> + '_ {
        self.records.iter().map(|record| record.message)
    }
}

/// Batches for one partition that are not under way.
#[derive(Clone, Debug)]
pub(super) struct Lane<P> {
    pub store: StoreId,
    /// In the order in which they are to be sent; records are added to the last.
    pub batches: VecDeque<Batch<P>>,
    /// It had a batch before.
    is_known: bool,
}

impl<P> Lane<P> {
    fn new(store: &StoreId) -> Lane<P> {
        Lane { store: *store, batches: VecDeque::new(), is_known: false }
    }
}

/// What became of a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Gathered {
    /// It is in a batch.
    Taken,
    /// There is no memory for another batch, or others wait for it already.
    Waits,
}

/// The batches of all partitions.
#[derive(Clone, Debug)]
pub(super) struct Accumulator<P> {
    pub lanes: Vec<Lane<P>>,
    /// Lanes with batches, in the order in which they are served.
    pub occupied: VecDeque<u32>,
    linger: Duration,
    batch_bytes: u32,
    partitioner: Partitioner,
    hashes: Arc<[u32]>,
    /// Counts records where partitions take turns.
    turn: u32,
    sticky: Sticky,
    adaptive: bool,
    loads: LoadTable,
    /// How many lanes had a batch before.
    known: usize,
    /// Batches in the lanes.
    queued: usize,
    /// Memory that no batch takes.
    free: u64,
    /// Records whose senders wait for memory.
    waiting: VecDeque<Envelope<P>>,
    /// The earliest moment at which a batch may be worth sending. It may turn out too early, never too late.
    pub ready_at: Time,
    /// Batches do not wait for company: somebody waits for all of them.
    pub flushes: bool,
    /// Memory of batches that are done with.
    spare: Vec<Vec<Envelope<P>>>,
}

impl<P: Clone> Accumulator<P> {
    pub fn new(config: &BatcherConfig, hashes: Arc<[u32]>, generator: Generator) -> Accumulator<P> {
        let lanes: Vec<Lane<P>> = config.partitions.iter().map(Lane::new).collect();
        Accumulator {
            occupied: VecDeque::new(),
            linger: config.linger,
            batch_bytes: config.batch_bytes,
            partitioner: config.partitioner,
            hashes,
            turn: 0,
            sticky: Sticky::new(lanes.len() as u32, config.batch_bytes, generator),
            adaptive: config.adaptive,
            loads: LoadTable::default(),
            known: 0,
            queued: 0,
            free: config.buffer_bytes,
            waiting: VecDeque::new(),
            ready_at: Time::MAX,
            flushes: false,
            spare: Vec::new(),
            lanes,
        }
    }

    /// The topic has these partitions, those that are known first.
    pub fn learn_partitions(&mut self, stores: &[StoreId]) {
        let known = self.lanes.len();
        self.lanes.extend(stores.iter().skip(known).map(Lane::new));
        self.sticky.set_partitions(self.lanes.len() as u32);
    }

    /// Forgets everything that was gathered. What is said of partitions without a key stays as it is.
    pub fn clear(&mut self, buffer_bytes: u64) {
        for lane in self.occupied.drain(..) {
            self.lanes[lane as usize].batches.clear();
        }
        self.waiting.clear();
        (self.queued, self.free, self.ready_at) = (0, buffer_bytes, Time::MAX);
    }

    /// Takes a record, unless it has to wait for memory.
    #[inline]
    pub fn gather(&mut self, now: Time, record: Envelope<P>) -> Gathered {
        if !self.waiting.is_empty() {
            self.waiting.push_back(record);
            return Gathered::Waits;
        }
        let Some(record) = self.append(now, record) else { return Gathered::Taken };
        // Whoever waits for memory makes every batch worth sending.
        self.ready_at = now;
        self.waiting.push_back(record);
        Gathered::Waits
    }

    /// Takes those that wait, as far as there is memory again. True where nobody waits any more.
    pub fn gather_waiting(&mut self, now: Time) -> bool {
        while let Some(record) = self.waiting.pop_front() {
            if let Some(record) = self.append(now, record) {
                self.waiting.push_front(record);
                return false;
            }
        }
        true
    }

    /// The record that has waited longest is given up.
    pub fn give_up_waiting(&mut self) -> Option<MessageId> {
        self.waiting.pop_front().map(|record| record.message)
    }

    /// Gives up everything that was gathered; the memory of the batches is the caller's to release.
    pub fn abandon(&mut self) -> Vec<Batch<P>> {
        let lanes = &mut self.lanes;
        let batches =
            self.occupied.drain(..).flat_map(|lane| lanes[lane as usize].batches.drain(..).collect::<Vec<_>>());
        let batches: Vec<_> = batches.collect();
        self.queued -= batches.len();
        self.waiting.clear();
        batches
    }

    /// Nothing is gathered, and nobody waits for memory.
    pub fn is_empty(&self) -> bool {
        self.occupied.is_empty() && self.waiting.is_empty()
    }

    /// Records whose senders wait for memory.
    pub fn waiting_records(&self) -> impl Iterator<Item = &Envelope<P>> {
        self.waiting.iter()
    }

    /// How many records wait for memory.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    #[inline]
    pub fn is_exhausted(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The partition that a record goes to, and whether that was chosen without regard to its key.
    #[inline]
    fn choose(&mut self, record: &Envelope<P>) -> (u32, bool) {
        let partitions = self.lanes.len() as u32;
        match (self.partitioner, record.key.some()) {
            (Partitioner::ByKey(_), Some(key)) => (self.hashes[key.index()] % partitions, false),
            (Partitioner::RoundRobin, _) => {
                let index = self.turn % partitions;
                self.turn = self.turn.wrapping_add(1);
                (index, false)
            }
            (Partitioner::ByKey(_) | Partitioner::Sticky, _) => {
                let current = &self.lanes[self.sticky.current() as usize];
                let all_full = current.batches.back().is_none_or(|batch| batch.is_full(self.batch_bytes));
                if self.sticky.is_enough(all_full) {
                    self.move_on();
                }
                (self.sticky.current(), true)
            }
        }
    }

    /// Adds a record to the last batch of its partition, or to a new one where it does not fit. Gives it back where
    /// there is no memory for that.
    #[inline]
    fn append(&mut self, now: Time, record: Envelope<P>) -> Option<Envelope<P>> {
        let (index, is_sticky) = self.choose(&record);
        let size = record.size;
        let lane = &mut self.lanes[index as usize];
        let last = lane.batches.back_mut().filter(|batch| !batch.is_closed);
        let is_full = match last {
            Some(batch) if batch.bytes.saturating_add(size) <= self.batch_bytes => {
                batch.records.push(record);
                batch.bytes += size;
                batch.bytes >= self.batch_bytes
            }
            last => {
                let memory = u64::from(self.batch_bytes.max(size));
                if memory > self.free {
                    return Some(record);
                }
                if let Some(last) = last {
                    last.is_closed = true;
                }
                self.begin(now, index, record, memory);
                size >= self.batch_bytes || self.lanes[index as usize].batches.len() > 1
            }
        };
        if is_full {
            self.ready_at = self.ready_at.min(now);
        }
        if is_sticky && self.sticky.appended(size, size >= self.batch_bytes || self.is_last_full(index)) {
            self.move_on();
        }
        None
    }

    fn is_last_full(&self, index: u32) -> bool {
        self.lanes[index as usize].batches.back().is_none_or(|batch| batch.is_full(self.batch_bytes))
    }

    fn begin(&mut self, now: Time, index: u32, record: Envelope<P>, memory: u64) {
        let mut records = self.spare.pop().unwrap_or_default();
        let bytes = record.size;
        records.push(record);
        self.free -= memory;
        self.queued += 1;
        let lane = &mut self.lanes[index as usize];
        if lane.batches.is_empty() {
            self.occupied.push_back(index);
            self.ready_at = self.ready_at.min(now.saturating_add(self.linger));
        }
        self.known += usize::from(!std::mem::replace(&mut lane.is_known, true));
        let (created, retry_at) = (now, Time::ZERO);
        lane.batches.push_back(Batch {
            records,
            bytes,
            memory,
            created,
            attempts: 0,
            attempts_before: 0,
            retry_at,
            sequence: None,
            is_renumbered: false,
            is_unknown: false,
            is_closed: false,
            is_split: false,
        });
    }

    /// Turns to another partition for records without a key. The batch that was just filled does not count among those
    /// that wait: it is about to leave. Until every partition has had a batch, all are equally likely.
    #[cold]
    fn move_on(&mut self) {
        let current = self.sticky.current();
        let all = self.lanes.len();
        self.loads.clear();
        if self.adaptive && self.queued > 1 && self.known == all {
            let length = |(index, lane): (u32, &Lane<P>)| {
                (index, (lane.batches.len() as u32).saturating_sub(u32::from(index == current)))
            };
            self.loads.weigh((0..).zip(&self.lanes).map(length), all);
        }
        self.sticky.move_on(&self.loads);
    }

    /// Takes the first batch of a lane, to be sent.
    pub fn take(&mut self, lane: u32) -> Batch<P> {
        let mut batch = self.lanes[lane as usize].batches.pop_front().expect("an occupied lane has a batch");
        batch.is_closed = true;
        self.queued -= 1;
        batch
    }

    /// Puts a batch back to this place of its lane, to be sent again.
    pub fn put_back(&mut self, index: u32, place: usize, batch: Batch<P>) {
        let lane = &mut self.lanes[index as usize];
        if lane.batches.is_empty() {
            self.occupied.push_back(index);
        }
        self.ready_at = self.ready_at.min(batch.retry_at);
        self.queued += 1;
        lane.batches.insert(place, batch);
    }

    /// A batch is done with: its memory can be used again.
    pub fn release(&mut self, mut batch: Batch<P>) {
        self.free += batch.memory;
        batch.records.clear();
        self.spare.push(batch.records);
    }

    /// When the first batch of a lane is worth sending: once it is full, has others behind it, or has lingered; and not
    /// before the producer has backed off.
    pub fn lane_ready_at(&self, lane: u32) -> Time {
        let batches = &self.lanes[lane as usize].batches;
        let Some(first) = batches.front() else { return Time::MAX };
        if first.attempts > 0 {
            first.retry_at
        } else if batches.len() > 1 || first.is_full(self.batch_bytes) || self.is_exhausted() || self.flushes {
            Time::ZERO
        } else {
            first.created.saturating_add(self.linger)
        }
    }

    /// Works out anew when a batch is worth sending, among lanes whose first batch the producer may send as it is
    /// numbered. True where there are others.
    pub fn settle_ready_at(&mut self, may_send: impl Fn(u32, &Batch<P>) -> bool) -> bool {
        let (mut ready_at, mut holds_back) = (Time::MAX, false);
        for &lane in &self.occupied {
            let first = self.lanes[lane as usize].batches.front().expect("an occupied lane has a batch");
            match may_send(lane, first) {
                true => ready_at = ready_at.min(self.lane_ready_at(lane)),
                false => holds_back = true,
            }
        }
        self.ready_at = ready_at;
        holds_back
    }

    /// Takes the batches that are older than this, in order of their lanes. Also tells when the oldest of the others was
    /// begun.
    pub fn take_old(&mut self, now: Time, age: Duration) -> (Vec<(u32, Batch<P>)>, Option<Time>) {
        let (mut old, mut oldest) = (Vec::new(), None::<Time>);
        let lanes = &mut self.lanes;
        self.occupied.retain(|index| {
            let batches = &mut lanes[*index as usize].batches;
            // One that was sent again may stand behind a younger one.
            let is_old = |batch: &Batch<P>| batch.created.saturating_add(age) <= now;
            let (gone, kept): (VecDeque<_>, VecDeque<_>) = std::mem::take(batches).into_iter().partition(is_old);
            *batches = kept;
            old.extend(gone.into_iter().map(|batch| (*index, batch)));
            let left = batches.iter().map(|batch| batch.created).min();
            oldest = [oldest, left].into_iter().flatten().min();
            !batches.is_empty()
        });
        self.queued -= old.len();
        (old, oldest)
    }
}
