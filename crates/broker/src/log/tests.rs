use super::*;

impl Entry for u64 {
    fn bytes(&self) -> u64 {
        10
    }
    fn timestamp(&self) -> Time {
        Time::from_nanos(*self)
    }
}

fn log(entries: std::ops::Range<u64>) -> Log<u64> {
    let mut log = Log::starting_at(Offset::new(entries.start), Time::ZERO);
    for entry in entries {
        log.append(entry, Time::from_nanos(entry));
    }
    log
}

fn contents(log: &Log<u64>) -> Vec<u64> {
    log.entries_from(Offset::ZERO).map(|(_, entry)| *entry).collect()
}

#[test]
fn offsets_are_dense_and_entries_are_found_in_every_segment() {
    let mut log = log(0..3);
    log.roll(Time::ZERO);
    log.roll(Time::ZERO);
    for entry in 3..8 {
        assert_eq!(log.append(entry, Time::ZERO).get(), entry);
        log.roll(Time::ZERO);
    }
    assert_eq!(log.segment_count(), 7, "rolling an empty segment does nothing");
    for offset in 0..8 {
        assert_eq!(log.entry(Offset::new(offset)), Some(&offset));
    }
    assert_eq!(log.entry(Offset::new(8)), None);
    assert_eq!(log.entries_from(Offset::new(4)).map(|(o, e)| (o.get(), *e)).next(), Some((4, 4)));
    assert_eq!((log.len(), log.bytes()), (8, 80));
}

#[test]
fn trimming_deletes_whole_segments_and_moves_the_start() {
    let mut log = log(0..3);
    log.roll(Time::ZERO);
    log.append(3, Time::ZERO);
    log.trim(Offset::new(2));
    assert_eq!((log.start().get(), log.bytes(), contents(&log)), (2, 40, vec![2, 3]));
    log.trim(Offset::new(3));
    assert_eq!((log.segment_count(), log.bytes()), (1, 10));
    log.trim(Offset::new(99));
    assert_eq!((log.start(), log.end(), log.bytes()), (Offset::new(4), Offset::new(4), 0));
    assert_eq!(log.append(4, Time::ZERO), Offset::new(4), "offsets are never used again");
}

#[test]
fn a_segment_of_which_nothing_is_needed_goes_and_its_offsets_are_not_used_again() {
    let mut log = Log::default();
    for entry in 0..12 {
        if entry % 3 == 0 {
            log.roll(Time::ZERO);
        }
        log.append(entry, Time::ZERO);
    }
    for offset in [3, 5, 4, 7, 8, 9, 10, 11] {
        log.release(Offset::new(offset));
    }
    assert_eq!((log.segment_count(), log.bytes()), (3, 90));
    log.roll(Time::ZERO);
    assert_eq!((log.segment_count(), log.bytes(), contents(&log)), (3, 60, vec![0, 1, 2, 6, 7, 8]));
    let after = |offset| log.after_gap(Offset::new(offset)).get();
    assert_eq!([0, 2, 3, 5, 6, 8, 9, 12].map(after), [0, 2, 6, 6, 6, 8, 12, 12]);
    assert_eq!((log.entry(Offset::new(4)), log.entries_from(Offset::new(4)).count()), (None, 3));
    for end in [5, 10] {
        let mut cut = log.clone();
        cut.truncate(Offset::new(end));
        assert_eq!((cut.end().get(), cut.append(99, Time::ZERO).get()), (end, end));
    }
    log.trim(Offset::new(6));
    assert_eq!(contents(&log), [6, 7, 8]);
}

#[test]
fn what_survives_follows_from_the_watermarks() {
    let mut log = log(0..9);
    log.mark_flushed(Offset::new(3));
    log.mark_written(Offset::new(6));
    for (kind, survives, flushed) in [(Crash::Process, 6, 3), (Crash::Power, 3, 3), (Crash::Disk, 0, 0)] {
        let recovered = Log::recover(log.clone().crash(kind));
        assert_eq!(contents(&recovered), (0..survives).collect::<Vec<_>>(), "{kind:?}");
        assert_eq!((recovered.written(), recovered.flushed().get()), (recovered.end(), flushed), "{kind:?}");
    }
}

#[test]
fn truncation_takes_epochs_with_it() {
    let mut log = Log::default();
    log.begin_epoch(1);
    for entry in 0..3 {
        log.append(entry, Time::ZERO);
    }
    log.begin_epoch(4);
    log.append(3, Time::ZERO);
    log.begin_epoch(4);
    assert_eq!(log.epochs().latest(), Some(4));
    log.truncate(Offset::new(3));
    assert_eq!((log.epochs().latest(), contents(&log)), (Some(1), vec![0, 1, 2]));
    log.truncate(Offset::ZERO);
    assert_eq!((log.epochs().latest(), log.bytes()), (None, 0));
}

#[test]
fn a_log_ends_where_compaction_has_left_nothing() {
    let mut log = log(0..3);
    log.roll(Time::ZERO);
    log.append(3, Time::ZERO);
    log.replace_before(Offset::new(3), Vec::new());
    log.truncate(Offset::new(1));
    assert_eq!((log.start(), log.end().get(), log.bytes()), (Offset::ZERO, 1, 0));
    assert_eq!((log.append(9, Time::ZERO).get(), contents(&log)), (1, vec![9]));
}
