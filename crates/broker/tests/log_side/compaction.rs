//! Seeded random runs of a partition with cleaner and retention, judged by definition over everything that was ever
//! appended.

use std::collections::BTreeMap;

use brokerlab_broker::cleaner::Cleaner;
use brokerlab_broker::config::{CompactionConfig, Isolation};
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::producer_state::EndMarker;
use brokerlab_broker::record::{BatchProducer, ProducerId, RecordKind};
use brokerlab_broker::{Batch, Envelope, Record};
use brokerlab_event::{ClientId, Duration, Generator, KeyId, MessageId, Offset, Time};

/// What was appended, in the order of offsets, and what is known of its end.
#[derive(Clone, Copy, Debug)]
struct Written {
    record: Record<()>,
    aborted: bool,
    /// When a pass first looked at it.
    looked_at: Option<u64>,
}

const PRODUCERS: usize = 3;
const RETENTION: u64 = 50;
const DELETE_RETENTION: u64 = 40;

struct Run {
    chance: Generator,
    log: PartitionLog<()>,
    cleaner: Cleaner,
    compaction: CompactionConfig,
    history: Vec<Written>,
    now: u64,
    sequences: [u32; PRODUCERS],
    /// Where the open transaction of each producer began.
    open: [Option<u64>; PRODUCERS],
    /// Everything below was removed by retention or on request.
    start: u64,
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut chance = Generator::new(seed, "compaction");
        let compaction = CompactionConfig {
            delete_retention: Duration::from_nanos(DELETE_RETENTION),
            min_lag: Duration::from_nanos(chance.below(2) * chance.below(20)),
            ..CompactionConfig::default()
        };
        let rules = PartitionRules {
            segment_bytes: 40 + chance.below(300),
            retention_time: (chance.below(2) == 0).then_some(Duration::from_nanos(RETENTION)),
            compaction: Some(compaction),
            ..PartitionRules::default()
        };
        let max_keys = if chance.below(2) == 0 { 100 } else { 1 + chance.below(6) as usize };
        Run {
            chance,
            log: PartitionLog::new(rules),
            cleaner: Cleaner::new(max_keys),
            compaction,
            history: Vec::new(),
            now: 0,
            sequences: [0; PRODUCERS],
            open: [None; PRODUCERS],
            start: 0,
        }
    }

    fn time(&self) -> Time {
        Time::from_nanos(self.now)
    }

    fn end(&self) -> u64 {
        self.history.len() as u64
    }

    fn note(&mut self, record: Record<()>) {
        self.history.push(Written { record, aborted: false, looked_at: None });
    }

    fn append(&mut self) {
        let producer = self.chance.below(PRODUCERS as u64 + 1) as usize;
        let records: Vec<Envelope<()>> = (0..1 + self.chance.below(3))
            .map(|index| Envelope {
                message: MessageId::new(self.end() + index),
                key: KeyId::new(self.chance.below(8) as u32),
                size: 1 + self.chance.below(12) as u32,
                timestamp: self.time(),
                sender: ClientId::new(0),
                tombstone: self.chance.below(4) == 0,
                payload: (),
            })
            .collect();
        let count = records.len() as u32;
        let mut batch = Batch::from(records);
        if producer < PRODUCERS {
            // The first producer knows no transactions; the others alternate between open and none.
            let transactional = producer > 0;
            let (id, sequence) = (ProducerId::new(producer as u32), self.sequences[producer]);
            batch.producer = Some(BatchProducer { id, epoch: 0, sequence, transactional });
            self.sequences[producer] += count;
            if transactional {
                self.open[producer].get_or_insert(self.history.len() as u64);
            }
        }
        batch.clone().into_records().for_each(|record| self.note(record));
        let appended = self.log.append(batch, self.time()).expect("it fits");
        assert_eq!(appended.end.get(), self.end(), "offsets are dense");
    }

    fn end_transaction(&mut self) {
        let producer = 1 + self.chance.below(PRODUCERS as u64 - 1) as usize;
        let Some(first) = self.open[producer].take() else { return };
        let commits = self.chance.below(2) == 0;
        let id = ProducerId::new(producer as u32);
        for written in &mut self.history[first as usize..] {
            written.aborted |= !commits && written.record.producer == id;
        }
        let marker = EndMarker { producer: id, epoch: 0, coordinator_epoch: 0, committed: commits };
        self.log.append_marker(&marker, self.time()).expect("it comes from the coordinator");
        self.note(Record::marker(&marker, self.time()));
    }

    /// Nothing of an open transaction is stable.
    fn replicate(&mut self) {
        self.log.mark_written(self.log.log().end());
        let stable = self.open.iter().flatten().min().copied().unwrap_or(self.end());
        self.log.advance_high_watermark(Offset::new(stable));
    }

    fn clean(&mut self) {
        let before = self.log.first_dirty();
        let mut told = Vec::new();
        let compaction = self.compaction;
        let now = self.time();
        let present = self.messages();
        let pass = self.log.clean(&mut self.cleaner, &compaction, now, |offset, _| told.push(offset.get()));
        let Some(pass) = pass else { return };
        assert!(pass.first_dirty > before, "a pass gets on");
        for written in &mut self.history[..pass.first_dirty.get() as usize] {
            written.looked_at.get_or_insert(self.now);
        }
        let after = self.messages();
        let gone: Vec<u64> = present.keys().filter(|offset| !after.contains_key(offset)).copied().collect();
        assert_eq!(told, gone, "it tells of exactly what it removed");
        for offset in gone {
            assert!(self.may_go(offset), "@{offset} was still needed");
        }
        self.judge_clean_part(&after);
    }

    /// The messages that can be read, by offset.
    fn messages(&self) -> BTreeMap<u64, Record<()>> {
        let entries = self.log.log().entries_from(Offset::ZERO);
        entries.filter(|(_, r)| r.kind.is_message()).map(|(offset, record)| (offset.get(), *record)).collect()
    }

    /// A later record of its key, among those that passes have looked at.
    fn is_shadowed(&self, offset: u64) -> bool {
        let key = self.history[offset as usize].record.key;
        let dirty = self.log.first_dirty().get() as usize;
        let later = self.history[..dirty].iter().skip(offset as usize + 1);
        later.filter(|other| other.record.kind.is_message() && !other.aborted).any(|other| other.record.key == key)
    }

    fn may_go(&self, offset: u64) -> bool {
        let written = self.history[offset as usize];
        let over = |at: u64| at + DELETE_RETENTION <= self.now && at < self.now;
        let is_tombstone = written.record.kind == RecordKind::Tombstone;
        written.aborted || self.is_shadowed(offset) || (is_tombstone && written.looked_at.is_some_and(over))
    }

    fn judge_clean_part(&self, after: &BTreeMap<u64, Record<()>>) {
        for (offset, record) in after.range(..self.log.first_dirty().get()) {
            let written = self.history[*offset as usize];
            assert_eq!(record.envelope(), written.record.envelope(), "@{offset} is what it was");
            assert!(!written.aborted && !self.is_shadowed(*offset), "@{offset} is needed no more");
        }
        let present: BTreeMap<u64, Record<()>> =
            self.log.log().entries_from(Offset::ZERO).map(|(offset, record)| (offset.get(), *record)).collect();
        for producer in 0..PRODUCERS {
            let id = ProducerId::new(producer as u32);
            let of = |record: &&Record<()>| record.producer == id && !record.kind.is_marker();
            let last = present.values().rfind(of).map(|record| record.sequence + 1);
            let all = self.history.iter().skip(self.start as usize).map(|written| &written.record);
            if all.clone().any(|record| of(&record)) {
                assert_eq!(last, Some(self.sequences[producer]), "the last sequence number of {id:?} is kept");
            }
            // Data without the end of its transaction would be taken for committed, or for open.
            for (offset, record) in present.iter().filter(|(_, record)| of(record) && producer > 0) {
                let ends = |(at, other): &(usize, &Written)| *at as u64 > *offset && other.record.kind.is_marker();
                let own = |(_, other): &(usize, &Written)| other.record.producer == record.producer;
                let marker = self.history.iter().enumerate().filter(own).find(ends).map(|(at, _)| at as u64);
                assert!(marker.is_none_or(|at| present.contains_key(&at)), "@{offset} has lost its end");
            }
        }
    }

    fn read_anywhere(&mut self) {
        let from = self.chance.below(self.end() + 1);
        let present = self.messages();
        let fetched = self.log.fetch(Offset::new(from), u32::MAX, Isolation::ReadUncommitted);
        let Ok(fetched) = fetched else { return assert!(from < self.start, "@{from} is in range") };
        assert!(from >= self.start, "no record below the log start is served");
        let until = self.log.high_watermark().get();
        let expected: Vec<u64> = present.range(from..until.max(from)).map(|(offset, _)| *offset).collect();
        let found: Vec<u64> = fetched.records.iter().map(|(offset, _)| offset.get()).collect();
        assert_eq!(found, expected, "reading goes on at the next offset that is there");
        assert_eq!(fetched.next.get(), until.max(from));
        assert_eq!(self.log.log().messages_from(Offset::new(from)), present.range(from..).count() as u64);
        for offset in 0..self.end() {
            let kept = self.log.log().entry(Offset::new(offset)).filter(|record| record.kind.is_message());
            assert_eq!(kept, present.get(&offset), "@{offset}");
        }
    }

    fn step(&mut self) {
        match self.chance.below(16) {
            0..6 => self.append(),
            6..8 => self.end_transaction(),
            8 => self.now += self.chance.below(30),
            9 => {
                self.log.roll(self.time());
            }
            10..12 => self.replicate(),
            12..14 => self.clean(),
            14 => {
                self.log.retain(self.time());
                self.start = self.log.log().start().get();
            }
            _ => self.read_anywhere(),
        }
        let bytes: u64 = self.log.log().segments().map(|segment| segment.bytes()).sum();
        assert_eq!(self.log.log().bytes(), bytes);
        assert_eq!(self.log.log().end().get(), self.end());
    }
}

#[test]
fn compaction_keeps_what_is_needed_and_nothing_else() {
    for seed in 0..200 {
        let mut run = Run::new(seed);
        for step in 0..200 {
            let before = format!("seed {seed}, step {step}");
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| run.step()));
            assert!(outcome.is_ok(), "{before}");
        }
    }
}

#[test]
fn a_compacted_topic_refuses_records_without_a_key_and_any_topic_times_far_ahead() {
    use brokerlab_broker::message::LogError;
    let rules = PartitionRules { compaction: Some(CompactionConfig::default()), ..PartitionRules::default() };
    let mut log: PartitionLog<()> = PartitionLog::new(rules);
    let record = |key, timestamp| {
        let (message, sender) = (MessageId::new(0), ClientId::new(0));
        Batch::from(vec![Envelope { message, key, size: 1, timestamp, sender, tombstone: false, payload: () }])
    };
    let (now, hour) = (Time::from_nanos(5), Duration::from_secs(3600));
    assert_eq!(log.append(record(KeyId::NONE, now), now), Err(LogError::InvalidRecord));
    let ahead = Time::from_nanos(6) + hour;
    assert_eq!(log.append(record(KeyId::new(0), ahead), now), Err(LogError::InvalidTimestamp));
    assert!(log.append(record(KeyId::new(0), now + hour), now).is_ok(), "an hour ahead is allowed");
}
