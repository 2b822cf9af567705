//! What a log takes of memory.

use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::{Batch, Envelope};
use brokerlab_event::{ClientId, Duration, KeyId, MessageId, Time};

/// A record of the simulation may take this many bytes.
const PER_RECORD: u64 = 48;

fn batch(first: u64, now: Time) -> Batch<()> {
    let record = |number| Envelope {
        message: MessageId::new(number),
        key: KeyId::NONE,
        size: 100,
        timestamp: now,
        sender: ClientId::new(0),
        tombstone: false,
        payload: (),
    };
    (first..first + 100).map(record).collect::<Vec<_>>().into()
}

/// Appends as many records as are asked for, one hundred a second.
fn append(log: &mut PartitionLog<()>, records: u64) {
    for _ in 0..records / 100 {
        let end = log.log().end();
        let now = Time::ZERO + Duration::from_secs(end.get() / 100);
        log.append(batch(end.get(), now), now).expect("it fits");
        log.mark_written(log.log().end());
        log.advance_high_watermark(log.log().end());
    }
}

#[test]
fn a_record_takes_48_bytes_at_most() {
    for segment_bytes in [1 << 30, 100 * 7_000] {
        let rules = PartitionRules { segment_bytes, retention_time: None, ..PartitionRules::default() };
        let mut log = PartitionLog::new(rules);
        // What is set aside for the first few thousand does not count.
        append(&mut log, 10_000);
        while log.log().len() < 300_000 {
            append(&mut log, 3_700);
            let (memory, most) = (log.log().memory() as u64, PER_RECORD * log.log().len());
            assert!(memory <= most, "{memory} bytes for {} records", log.log().len());
        }
    }
}

#[test]
fn what_retention_has_dropped_takes_nothing() {
    let rules = PartitionRules {
        segment_bytes: 100 * 5_000,
        retention_time: Some(Duration::from_secs(100)),
        ..PartitionRules::default()
    };
    let mut log = PartitionLog::new(rules);
    append(&mut log, 200_000);
    log.retain(Time::ZERO + Duration::from_secs(2_000));
    let (kept, memory) = (log.log().len(), log.log().memory() as u64);
    assert!((10_000..20_000).contains(&kept), "{kept} are young enough, or lie in a segment with such");
    // The memory of two segments that are gone waits for those to come.
    assert!(memory <= PER_RECORD * (kept + 2 * 5_000), "{memory} bytes for {kept} records");
    log.retain(Time::ZERO + Duration::from_secs(3_000));
    assert_eq!((log.log().len(), log.log().memory()), (0, 0));
    append(&mut log, 100);
    assert_eq!(log.log().len(), 100, "and it goes on");
}
