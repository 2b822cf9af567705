//! A partition against a naive one that keeps every record in a list of lists, in seeded random runs.

use brokerlab_broker::Envelope;
use brokerlab_broker::config::Isolation;
use brokerlab_broker::message::LogError;
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_event::{ClientId, Duration, Generator, KeyId, MessageId, Offset, Time};

#[derive(Clone, Copy, PartialEq, Debug)]
struct Naive {
    offset: u64,
    size: u64,
    timestamp: u64,
}

/// Rules and contents, everything counted anew each time. The last segment is the active one.
struct NaiveLog {
    segment_bytes: u64,
    segment_time: u64,
    retention_time: u64,
    retention_bytes: u64,
    segments: Vec<(u64, Vec<Naive>)>,
    start: u64,
    end: u64,
    high_watermark: u64,
}

impl NaiveLog {
    fn bytes(records: &[Naive]) -> u64 {
        records.iter().map(|record| record.size).sum()
    }

    fn append(&mut self, batch: &[(u64, u64)]) -> bool {
        let bytes: u64 = batch.iter().map(|(size, _)| size).sum();
        if bytes > self.segment_bytes {
            return false;
        }
        let (_, active) = self.segments.last().expect("there is one");
        let latest = batch.iter().map(|(_, timestamp)| *timestamp).max().expect("a batch is not empty");
        let full = NaiveLog::bytes(active) + bytes > self.segment_bytes;
        let old = active.first().is_some_and(|first| latest > first.timestamp + self.segment_time);
        if !active.is_empty() && (full || old) {
            self.segments.push((self.end, Vec::new()));
        }
        for (size, timestamp) in batch {
            let record = Naive { offset: self.end, size: *size, timestamp: *timestamp };
            self.segments.last_mut().expect("there is one").1.push(record);
            self.end += 1;
        }
        true
    }

    /// Where a segment ends: where the next begins, or the log ends.
    fn upper(&self, index: usize) -> u64 {
        self.segments.get(index + 1).map_or(self.end, |next| next.0)
    }

    fn drop_while(&mut self, goes: impl Fn(&NaiveLog, usize, u64) -> bool) {
        let mut count = 0;
        let mut dropped = 0;
        while count < self.segments.len() {
            let (_, records) = &self.segments[count];
            let empty_active = count + 1 == self.segments.len() && records.is_empty();
            if empty_active || self.high_watermark < self.upper(count) || !goes(self, count, dropped) {
                break;
            }
            dropped += NaiveLog::bytes(records);
            count += 1;
        }
        if count == self.segments.len() {
            self.segments.push((self.end, Vec::new()));
        }
        self.segments.drain(..count);
        self.start = self.start.max(self.segments[0].0);
    }

    fn retain(&mut self, now: u64) {
        self.drop_while(|log, index, _| index + 1 < log.segments.len() && log.upper(index) <= log.start);
        let total: u64 = self.segments.iter().map(|(_, records)| NaiveLog::bytes(records)).sum();
        if total >= self.retention_bytes {
            self.drop_while(|log, index, dropped| {
                total - log.retention_bytes >= dropped + NaiveLog::bytes(&log.segments[index].1)
            });
        }
        self.drop_while(|log, index, _| {
            log.segments[index].1.iter().all(|record| record.timestamp + log.retention_time < now)
        });
    }

    fn fetch(&self, from: u64, max_bytes: u64) -> Option<Vec<u64>> {
        if from < self.start || from > self.end {
            return None;
        }
        let records = self.segments.iter().flat_map(|(_, records)| records);
        let mut taken = Vec::new();
        let mut bytes = 0;
        for record in records.filter(|record| from <= record.offset && record.offset < self.high_watermark) {
            bytes += record.size;
            if !taken.is_empty() && bytes > max_bytes {
                break;
            }
            taken.push(record.offset);
        }
        Some(taken)
    }
}

fn record(size: u64, timestamp: u64) -> Envelope<()> {
    let (message, sender) = (MessageId::new(0), ClientId::new(0));
    let timestamp = Time::from_nanos(timestamp);
    Envelope { message, key: KeyId::NONE, size: size as u32, timestamp, sender, tombstone: false, payload: () }
}

fn agree(log: &PartitionLog<()>, naive: &NaiveLog, at: &str) {
    let segments: Vec<(u64, u64)> = log.log().segments().map(|s| (s.base().get(), s.bytes())).collect();
    let expected: Vec<(u64, u64)> =
        naive.segments.iter().map(|(base, records)| (*base, NaiveLog::bytes(records))).collect();
    assert_eq!(segments, expected, "{at}");
    let marks = [log.log().start(), log.log().end(), log.high_watermark()].map(Offset::get);
    assert_eq!(marks, [naive.start, naive.end, naive.high_watermark], "{at}");
}

fn run(seed: u64) {
    let mut chance = Generator::new(seed, "reference");
    let mut naive = NaiveLog {
        segment_bytes: 50 + chance.below(200),
        segment_time: chance.below(60),
        retention_time: chance.below(100),
        retention_bytes: chance.below(800),
        segments: vec![(0, Vec::new())],
        start: 0,
        end: 0,
        high_watermark: 0,
    };
    let mut log = PartitionLog::new(PartitionRules {
        segment_bytes: naive.segment_bytes,
        segment_time: Duration::from_nanos(naive.segment_time),
        retention_time: Some(Duration::from_nanos(naive.retention_time)),
        retention_bytes: Some(naive.retention_bytes),
        ..PartitionRules::default()
    });
    let mut now = 0;
    for step in 0..300 {
        let at = format!("seed {seed}, step {step}");
        match chance.below(8) {
            0..3 => {
                let mut one = || (1 + chance.below(60), now + chance.below(20));
                let batch = [one(), one(), one()];
                let batch = &batch[..1 + step % 3];
                let records: Vec<_> = batch.iter().map(|(size, timestamp)| record(*size, *timestamp)).collect();
                let taken = log.append(records.into(), Time::from_nanos(now));
                assert_eq!(taken.is_ok(), naive.append(batch), "{at}");
            }
            3 => now += chance.below(30),
            4 => {
                log.retain(Time::from_nanos(now));
                naive.retain(now);
            }
            5 => {
                let before = chance.below(naive.end + 2);
                let done = log.delete_records(Offset::new(before));
                assert_eq!(done.is_ok(), before <= naive.high_watermark, "{at}");
                if done.is_ok() {
                    naive.start = naive.start.max(before);
                }
            }
            6 => {
                let to = naive.high_watermark + chance.below(6);
                log.advance_high_watermark(Offset::new(to));
                naive.high_watermark = to.min(naive.end);
            }
            _ => {
                let (from, most) = (chance.below(naive.end + 2), chance.below(120));
                let got = log.fetch(Offset::new(from), most as u32, Isolation::ReadUncommitted);
                let got = got.map(|fetched| fetched.records.iter().map(|(offset, _)| offset.get()).collect());
                assert_eq!(got, naive.fetch(from, most).ok_or(LogError::OffsetOutOfRange), "{at}");
            }
        }
        agree(&log, &naive, &at);
    }
}

#[test]
fn a_partition_agrees_with_a_naive_one() {
    for seed in 0..500 {
        run(seed);
    }
}
