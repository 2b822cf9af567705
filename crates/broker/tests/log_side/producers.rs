//! What a partition remembers of its producers, against a naive reference that looks through the whole history of
//! the partition for every question.

use brokerlab_broker::Envelope;
use brokerlab_broker::log::{Crash, EpochEnd};
use brokerlab_broker::message::LogError;
use brokerlab_broker::partition::{PartitionLog, PartitionRules};
use brokerlab_broker::producer_state::{Checked, EndMarker, ProducerState};
use brokerlab_broker::record::{Batch, BatchProducer, MAX_SEQUENCE, ProducerId, sequence_after};
use brokerlab_event::{ClientId, Duration, Generator, KeyId, MessageId, Offset, Time};

/// What somebody asks of a partition.
#[derive(Clone, Copy, Debug)]
enum Request {
    Append(BatchProducer, u32),
    End(EndMarker),
    /// Everything is replicated.
    Replicate,
}

/// What happened, with the offset.
#[derive(Clone, Copy, Debug)]
enum Happened {
    Appended(BatchProducer, u32, u64),
    Ended(EndMarker, u64),
}

impl Happened {
    fn producer(&self) -> (ProducerId, u16) {
        match self {
            Happened::Appended(producer, _, _) => (producer.id, producer.epoch),
            Happened::Ended(marker, _) => (marker.producer, marker.epoch),
        }
    }
}

/// The reference: a history and nothing else.
#[derive(Clone, Default)]
struct History {
    happened: Vec<Happened>,
    end: u64,
    high_watermark: u64,
}

impl History {
    fn of(&self, producer: ProducerId) -> impl DoubleEndedIterator<Item = &Happened> {
        self.happened.iter().filter(move |happened| happened.producer().0 == producer)
    }

    fn epoch(&self, producer: ProducerId) -> Option<u16> {
        self.of(producer).next_back().map(|happened| happened.producer().1)
    }

    /// Batches since the producer came to its epoch, newest first.
    fn batches(&self, producer: ProducerId) -> Vec<(u32, u32, u64)> {
        let epoch = self.epoch(producer);
        let current = self.of(producer).rev().take_while(|happened| Some(happened.producer().1) == epoch);
        let batches = current.filter_map(|happened| match happened {
            Happened::Appended(batch, count, offset) => Some((batch.sequence, *count, *offset)),
            Happened::Ended(..) => None,
        });
        batches.collect()
    }

    /// The first offset of the open transaction.
    fn open(&self, producer: ProducerId) -> Option<u64> {
        self.of(producer).fold(None, |open, happened| match happened {
            Happened::Appended(batch, _, offset) if batch.transactional => open.or(Some(*offset)),
            Happened::Appended(..) => open,
            Happened::Ended(..) => None,
        })
    }

    fn check(&self, producer: &BatchProducer, count: u32) -> Result<Checked, LogError> {
        let Some(epoch) = self.epoch(producer.id) else { return Ok(Checked::Next) };
        let batches = self.batches(producer.id);
        let same = |batch: &&(u32, u32, u64)| (batch.0, batch.1) == (producer.sequence, count);
        if epoch == producer.epoch
            && let Some((_, _, offset)) = batches.iter().take(5).find(same)
        {
            return Ok(Checked::Duplicate(Offset::new(*offset)));
        }
        if producer.epoch < epoch {
            return Err(LogError::InvalidProducerEpoch);
        }
        let after = |(first, count, _): &(u32, u32, u64)| ((u64::from(*first) + u64::from(*count)) % (1 << 31)) as u32;
        let expected = batches.first().filter(|_| epoch == producer.epoch).map_or(0, after);
        if producer.sequence != expected {
            return Err(LogError::OutOfOrderSequence);
        }
        if self.open(producer.id).is_some() && !producer.transactional {
            return Err(LogError::InvalidTransactionState);
        }
        Ok(Checked::Next)
    }

    fn check_marker(&self, marker: &EndMarker) -> Result<(), LogError> {
        if self.epoch(marker.producer).is_some_and(|epoch| marker.epoch < epoch) {
            return Err(LogError::InvalidProducerEpoch);
        }
        let last = self.of(marker.producer).rev().find_map(|happened| match happened {
            Happened::Ended(marker, _) => Some(marker.coordinator_epoch),
            Happened::Appended(..) => None,
        });
        if last.is_some_and(|last| marker.coordinator_epoch < last) {
            return Err(LogError::CoordinatorFenced);
        }
        Ok(())
    }

    fn fates(&self) -> Vec<Fate> {
        let mut fates = Vec::new();
        for (index, happened) in self.happened.iter().enumerate() {
            let Happened::Appended(batch, count, first) = happened else { continue };
            if !batch.transactional {
                continue;
            }
            let end = self.happened[index..].iter().find_map(|later| match later {
                Happened::Ended(marker, offset) if marker.producer == batch.id => Some((marker.committed, *offset)),
                _ => None,
            });
            fates.extend((*first..first + u64::from(*count)).map(|offset| (offset, batch.id, end)));
        }
        fates
    }

    fn first_unstable(&self) -> Option<u64> {
        let holds = |end: &Option<(bool, u64)>| end.is_none_or(|(_, marker)| marker >= self.high_watermark);
        self.fates().iter().filter(|(_, _, end)| holds(end)).map(|(offset, _, _)| *offset).min()
    }
}

/// Of a record in a transaction: its offset, its producer, and whether the marker that ended it commits, with the
/// marker's offset.
type Fate = (u64, ProducerId, Option<(bool, u64)>);

/// Both, side by side.
#[derive(Clone, Default)]
struct Pair {
    history: History,
    state: ProducerState,
}

impl Pair {
    fn request(&mut self, request: Request) {
        let first = self.history.end;
        match request {
            Request::Append(producer, count) => {
                let expected = self.history.check(&producer, count);
                assert_eq!(self.state.check(&producer, count), expected, "{request:?}");
                if expected == Ok(Checked::Next) {
                    let was_open = self.history.open(producer.id).is_some();
                    let begins = self.state.append(&producer, count, Offset::new(first), Time::ZERO);
                    assert_eq!(begins, producer.transactional && !was_open);
                    self.history.happened.push(Happened::Appended(producer, count, first));
                    self.history.end += u64::from(count);
                }
            }
            Request::End(marker) => {
                let expected = self.history.check_marker(&marker);
                assert_eq!(self.state.check_marker(&marker), expected, "{request:?}");
                if expected.is_ok() {
                    self.end(&marker);
                }
            }
            Request::Replicate => {
                self.history.high_watermark = self.history.end;
                self.state.replicated(Offset::new(self.history.end));
            }
        }
        self.compare();
    }

    fn end(&mut self, marker: &EndMarker) {
        let offset = self.history.end;
        let began = self.history.open(marker.producer);
        let completed = self.state.end(marker, Offset::new(offset), Time::ZERO);
        self.history.happened.push(Happened::Ended(*marker, offset));
        self.history.end += 1;
        assert_eq!(completed.map(|completed| completed.first.get()), began);
        if let Some(completed) = completed {
            let open = self.history.fates().into_iter().filter(|(_, _, end)| end.is_none());
            let decided = open.map(|(offset, _, _)| offset).min().unwrap_or(offset + 1);
            assert_eq!((completed.last.get(), completed.decided_below.get()), (offset, decided));
        }
    }

    fn compare(&self) {
        let unstable = self.state.first_unstable().map(Offset::get);
        assert_eq!(unstable, self.history.first_unstable(), "{:?}", self.history.happened);
        for (offset, producer, end) in self.history.fates() {
            let aborted = end.is_some_and(|(committed, _)| !committed);
            let found = self.state.is_aborted(producer, Offset::new(offset));
            assert_eq!(found, aborted, "{offset} of {:?}", self.history.happened);
        }
    }
}

fn append(id: u32, epoch: u16, sequence: u32, count: u32, transactional: bool) -> Request {
    Request::Append(BatchProducer { id: ProducerId::new(id), epoch, sequence, transactional }, count)
}

fn end(id: u32, epoch: u16, coordinator_epoch: u32, committed: bool) -> Request {
    Request::End(EndMarker { producer: ProducerId::new(id), epoch, coordinator_epoch, committed })
}

/// Every request that could make a difference early in the life of two producers.
fn requests() -> Vec<Request> {
    let mut requests = vec![Request::Replicate];
    for id in [1, 2] {
        for (epoch, sequence) in [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)] {
            requests.extend([true, false].map(|transactional| append(id, epoch, sequence, 1, transactional)));
        }
        requests.push(append(id, 0, 0, 2, true));
        for (epoch, coordinator) in [(0, 0), (0, 1), (1, 0)] {
            requests.extend([true, false].map(|committed| end(id, epoch, coordinator, committed)));
        }
    }
    requests
}

/// Tries every sequence of requests up to a length.
fn explore(pair: &Pair, requests: &[Request], left: usize) -> u64 {
    if left == 0 {
        return 1;
    }
    let next = requests.iter().map(|request| {
        let mut pair = pair.clone();
        pair.request(*request);
        explore(&pair, requests, left - 1)
    });
    next.sum()
}

#[test]
fn every_short_history_of_two_producers() {
    let requests = requests();
    assert_eq!(explore(&Pair::default(), &requests, 3), (requests.len() as u64).pow(3));
}

/// A request that is mostly the right one, and sometimes a little off.
fn likely(pair: &Pair, random: &mut Generator) -> Request {
    let id = 1 + random.below(3) as u32;
    let epoch = pair.history.epoch(ProducerId::new(id)).unwrap_or(0);
    let last = pair.history.batches(ProducerId::new(id)).first().copied();
    let open = pair.history.open(ProducerId::new(id)).is_some();
    let next = last.map_or(0, |(first, count, _)| sequence_after(first, count.into()));
    let count = 1 + random.below(3) as u32;
    match random.below(12) {
        0..=4 => append(id, epoch, next, count, open || random.below(2) == 0),
        5 => last.map_or(Request::Replicate, |(first, count, _)| append(id, epoch, first, count, open)),
        6 => append(id, epoch, sequence_after(next, 1), count, open),
        7 => append(id, epoch + 1, 0, count, true),
        8 => append(id, epoch.saturating_sub(1), next, count, open),
        9 => Request::Replicate,
        10 => end(id, epoch, 0, random.below(2) == 0),
        _ => end(id, epoch + 1, 0, random.below(2) == 0),
    }
}

#[test]
fn long_random_histories_of_three_producers() {
    for seed in 0..40 {
        let (mut pair, mut random) = (Pair::default(), Generator::new(seed, "producers"));
        for _ in 0..120 {
            let request = likely(&pair, &mut random);
            pair.request(request);
        }
    }
}

#[test]
fn sequences_begin_anew_after_the_largest_also_within_a_batch() {
    let mut pair = Pair::default();
    pair.request(append(1, 0, MAX_SEQUENCE - 1, 4, false));
    let producer = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    assert_eq!(pair.state.last_sequence(ProducerId::new(1)), Some((0, Some(1))));
    assert_eq!(pair.state.check(&producer(2), 1), Ok(Checked::Next));
    assert_eq!(pair.state.check(&producer(MAX_SEQUENCE - 1), 4), Ok(Checked::Duplicate(Offset::ZERO)));
    assert!(pair.state.is_last_of_producer(ProducerId::new(1), Offset::new(3)));
    assert!(!pair.state.is_last_of_producer(ProducerId::new(1), Offset::new(2)));
    pair.request(append(1, 0, 2, 1, false));
}

#[test]
fn the_sixth_batch_back_is_not_known_any_more() {
    let mut pair = Pair::default();
    for sequence in 0..6 {
        pair.request(append(1, 0, sequence, 1, false));
    }
    let repeated = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    assert_eq!(pair.state.check(&repeated(0), 1), Err(LogError::OutOfOrderSequence));
    for sequence in 1..6 {
        let offset = Offset::new(u64::from(sequence));
        assert_eq!(pair.state.check(&repeated(sequence), 1), Ok(Checked::Duplicate(offset)));
    }
}

#[test]
fn silent_producers_are_forgotten_unless_their_transaction_is_open() {
    let mut pair = Pair::default();
    pair.request(append(1, 0, 0, 1, false));
    pair.request(append(2, 0, 0, 1, true));
    let day = Duration::from_secs(86_400);
    pair.state.expire(Time::ZERO + Duration::from_millis(86_399_999), day);
    assert_eq!(pair.state.len(), 2);
    pair.state.expire(Time::ZERO + day, day);
    assert_eq!((pair.state.len(), pair.state.transaction_of(ProducerId::new(2))), (1, Some(Offset::new(1))));
    // A repeat of what was forgotten is stored a second time.
    let late = BatchProducer { id: ProducerId::new(1), epoch: 0, sequence: 0, transactional: false };
    assert_eq!(pair.state.check(&late, 1), Ok(Checked::Next));
}

#[test]
fn aborted_transactions_are_forgotten_with_their_records() {
    let mut pair = Pair::default();
    for _ in 0..3 {
        let next = pair.history.batches(ProducerId::new(1)).first().map_or(0, |batch| batch.0 + 1);
        pair.request(append(1, 0, next, 1, true));
        pair.request(end(1, 0, 0, false));
    }
    assert_eq!(pair.state.aborted().len(), 3);
    pair.state.trim(Offset::new(3));
    assert_eq!(pair.state.aborted().len(), 2, "the marker at 3 is still there");
    assert_eq!(pair.state.first_unstable(), Some(Offset::new(2)), "the log's start is no sign of replication");
}

fn batch(producer: BatchProducer, count: u32) -> Batch<()> {
    let (message, key, sender) = (MessageId::new(0), KeyId::NONE, ClientId::new(0));
    let record = Envelope { message, key, size: 10, timestamp: Time::ZERO, sender, tombstone: false, payload: () };
    Batch { producer: Some(producer), records: vec![record; count as usize] }
}

fn partition() -> PartitionLog<()> {
    let (segment_bytes, segment_time) = (100, Duration::from_secs(3600));
    let retention_time = Some(Duration::from_secs(3600));
    PartitionLog::new(PartitionRules { segment_bytes, segment_time, retention_time, ..PartitionRules::default() })
}

/// What can be asked of a partition about its producers.
fn answers(log: &PartitionLog<()>) -> impl PartialEq + std::fmt::Debug + use<> {
    let producers = log.producers();
    let of = |id| (producers.last_sequence(ProducerId::new(id)), producers.transaction_of(ProducerId::new(id)));
    let requests = (1..=3).flat_map(|id| (0..3).flat_map(move |epoch| (0..40).map(move |from| (id, epoch, from))));
    let checks = requests.flat_map(|(id, epoch, sequence)| {
        [1, 2, 3].map(|count| {
            let (id, transactional) = (ProducerId::new(id), true);
            producers.check(&BatchProducer { id, epoch, sequence, transactional }, count)
        })
    });
    let checks: Vec<_> = checks.collect();
    ([1, 2, 3].map(of), checks, producers.aborted().to_vec(), log.last_stable_offset())
}

#[test]
fn what_is_known_of_producers_is_read_anew_from_the_log_after_a_crash() {
    for seed in 0..30 {
        let (mut pair, mut random, mut log) = (Pair::default(), Generator::new(seed, "replay"), partition());
        for _ in 0..60 {
            let request = likely(&pair, &mut random);
            pair.request(request);
            match request {
                Request::Append(producer, count) => drop(log.append(batch(producer, count), Time::ZERO)),
                Request::End(marker) => drop(log.append_marker(&marker, Time::ZERO)),
                Request::Replicate => {}
            }
            let end = log.log().end();
            log.mark_written(end);
            log.advance_high_watermark(end);
        }
        let before = answers(&log);
        let mut recovered = PartitionLog::recover(log.crash(Crash::Process));
        recovered.advance_high_watermark(recovered.log().end());
        assert_eq!(answers(&recovered), before, "seed {seed}");
    }
}

#[test]
fn what_is_known_of_producers_takes_the_memory_of_a_few_copies() {
    // A segment for each record, which nothing ever removes: what is kept besides the records must not grow with them.
    let rules = PartitionRules { segment_bytes: 10, retention_time: None, ..PartitionRules::default() };
    let mut log = PartitionLog::new(rules);
    for sequence in 0..200 {
        let producer = BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
        log.append(batch(producer, 1), Time::ZERO).unwrap();
        assert!(log.snapshots() <= 3);
    }
    log.mark_written(Offset::new(150));
    let mut recovered = PartitionLog::recover(log.crash(Crash::Process));
    let repeated = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    let told = recovered.append(batch(repeated(146), 1), Time::ZERO).unwrap();
    assert!(told.is_duplicate, "read anew from the records, where the copies are of later");
    assert!(!recovered.append(batch(repeated(150), 1), Time::ZERO).unwrap().is_duplicate);
}

#[test]
fn what_is_known_of_producers_outlives_their_records() {
    let mut log = partition();
    let producer = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    for sequence in 0..10 {
        log.append(batch(producer(sequence), 1), Time::ZERO).unwrap();
    }
    let end = log.log().end();
    log.mark_written(end);
    log.advance_high_watermark(end);
    log.retain(Time::ZERO + Duration::from_secs(7200));
    assert!(log.log().is_empty());
    let mut recovered = PartitionLog::recover(log.crash(Crash::Process));
    let repeated = recovered.append(batch(producer(9), 1), Time::ZERO).unwrap();
    assert!(repeated.is_duplicate && repeated.first == Offset::new(9));
    assert!(recovered.append(batch(producer(11), 1), Time::ZERO).is_err());
}

#[test]
fn a_copy_knows_batches_that_are_sent_again_however_little_is_copied_at_once() {
    let (mut log, mut copy) = (partition(), partition());
    let producer = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    for sequence in [0, 3, 4] {
        log.append(batch(producer(sequence), if sequence == 0 { 3 } else { 1 }), Time::ZERO).unwrap();
    }
    let mut ends = Vec::new();
    while copy.log().end() < log.log().end() {
        let (from, until) = (copy.log().end(), log.log().end());
        ends.push(copy.copy(from, log.records(from, until, 1), Time::ZERO).get());
        // The leader may be gone at any time, and the copy takes its place.
        assert!(copy.clone().append(batch(producer(0), 3), Time::ZERO).unwrap().is_duplicate, "up to {ends:?}");
    }
    assert_eq!(ends, [3, 4, 5], "whole batches");
    let all = log.records(Offset::ZERO, log.log().end(), u32::MAX);
    assert_eq!(partition().copy(Offset::ZERO, all, Time::ZERO).get(), 5);
}

#[test]
fn a_copy_begins_anew_where_its_leader_says_that_nothing_is_left_to_agree_on() {
    let mut copy = partition();
    copy.begin_epoch(1);
    let producer = |sequence| BatchProducer { id: ProducerId::new(1), epoch: 0, sequence, transactional: false };
    for sequence in 0..4 {
        copy.append(batch(producer(sequence), 1), Time::ZERO).unwrap();
    }
    copy.advance_high_watermark(Offset::new(4));
    copy.delete_records(Offset::new(3)).unwrap();
    // The leader has lost its disk.
    copy.agree(EpochEnd { epoch: 1, end: Offset::ZERO }, Time::ZERO);
    assert_eq!(
        (copy.log().start(), copy.log().end(), copy.high_watermark()),
        (Offset::ZERO, Offset::ZERO, Offset::ZERO)
    );
    assert!(!copy.append(batch(producer(3), 1), Time::ZERO).unwrap().is_duplicate);
}
