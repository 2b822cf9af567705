//! What an idempotent producer does about its numbers when batches are refused and answers are lost, told by hand what
//! the broker answers.

use std::sync::Arc;

use brokerlab_broker::client::Batcher;
use brokerlab_broker::config::{BatcherConfig, ProducerConfig, ProducerKind};
use brokerlab_broker::message::LogError;
use brokerlab_broker::record::ProducerId;
use brokerlab_broker::{Effect, Envelope, Message, Outbox};
use brokerlab_event::{
    ClientId, Duration, Event, EventLog, Generator, KeyId, MessageId, NodeId, Offset, Refusal, StoreId, Time,
};

use crate::rig::secs;

/// A producer of one partition that sends every record by itself and at once.
struct Hand {
    producer: Batcher<()>,
    out: Outbox<()>,
    events: EventLog,
    now: Time,
}

/// A batch as it left: its correlation, epoch and first sequence number, and its message.
type Sent = (u32, u16, u32, u64);

impl Hand {
    fn new() -> Hand {
        Hand::with(Duration::ZERO, 10)
    }

    fn with(linger: Duration, batch_bytes: u32) -> Hand {
        let own = BatcherConfig { linger, batch_bytes, ..BatcherConfig::new(vec![StoreId::new(0)]) };
        let config =
            ProducerConfig { client: ClientId::new(0), node: NodeId::new(0), kind: ProducerKind::Batcher(own) };
        let chance = |name| Generator::new(1, name);
        let producer = Batcher::new(&config, Arc::from([]), chance("partitions"), chance("jitter"));
        let mut hand = Hand { producer, out: Outbox::default(), events: EventLog::default(), now: Time::ZERO };
        hand.producer.start(hand.now, &mut hand.out, &mut hand.events);
        hand.give_id();
        hand
    }

    fn tell(&mut self, message: Message<()>) -> &mut Hand {
        self.producer.handle_message(self.now, message, &mut self.out, &mut self.events);
        self
    }

    /// Answers the request for an id that has left.
    fn give_id(&mut self) {
        while let Some(effect) = self.out.pop() {
            if let Effect::Send { message: Message::InitProducerId { correlation, .. }, .. } = effect {
                self.tell(Message::ProducerIdAssigned { correlation, result: Ok((ProducerId::new(7), 0)) });
            }
        }
    }

    fn offer(&mut self, message: u64) {
        let (sender, key, timestamp) = (ClientId::new(0), KeyId::NONE, self.now);
        let message = MessageId::new(message);
        let envelope = Envelope { message, key, size: 10, timestamp, sender, tombstone: false, payload: () };
        self.tell(Message::Offer { kind: 0, envelope });
    }

    fn answer(&mut self, (correlation, ..): Sent, result: Result<Offset, LogError>) {
        self.tell(Message::Produced { store: StoreId::new(0), correlation, result });
    }

    /// The batches that have left since it was last asked.
    fn sent(&mut self) -> Vec<Sent> {
        let mut sent = Vec::new();
        while let Some(effect) = self.out.pop() {
            if let Effect::Send { message: Message::Produce { correlation, batch, .. }, .. } = effect {
                let producer = batch.producer.expect("it is idempotent");
                sent.push((correlation, producer.epoch, producer.sequence, batch.records[0].message.get()));
            }
        }
        sent
    }

    fn reconnect(&mut self) {
        self.tell(Message::ConnectionBroken { node: NodeId::new(0) });
        self.wait();
        self.tell(Message::ConnectionRestored { node: NodeId::new(0) });
        self.wait();
    }

    fn wait(&mut self) {
        let until = self.now + secs(2);
        while let Some(due) = self.producer.next_timeout().filter(|due| *due <= until) {
            self.now = self.now.max(due);
            self.producer.handle_timeout(self.now, &mut self.out, &mut self.events);
        }
        self.now = until;
    }

    fn confirmed(&self) -> Vec<u64> {
        let found = self.events.records().iter().filter_map(|record| match record.event() {
            Event::Confirmed { message, .. } => Some(message.get()),
            _ => None,
        });
        found.collect()
    }
}

/// The first of two batches under way is refused, and the connection breaks before the second is answered.
fn refused_and_lost() -> (Hand, Sent) {
    let mut hand = Hand::new();
    hand.offer(0);
    hand.offer(1);
    let sent = hand.sent();
    assert_eq!(sent.iter().map(|(_, epoch, sequence, _)| (*epoch, *sequence)).collect::<Vec<_>>(), [(0, 0), (0, 1)]);
    hand.answer(sent[0], Err(LogError::TooLarge));
    hand.offer(2);
    assert_eq!(hand.sent(), [], "what is under way is answered before the numbers begin anew");
    hand.reconnect();
    let again = hand.sent();
    assert_eq!(again.len(), 1);
    (hand, again[0])
}

#[test]
fn what_may_be_stored_is_sent_again_under_its_old_number() {
    let (mut hand, again) = refused_and_lost();
    let (_, epoch, sequence, message) = again;
    // A broker that knows nothing of the producer takes any number, so the second batch may be there: only under this
    // number does the broker see that it has it.
    assert_eq!((epoch, sequence, message), (0, 1, 1));
    hand.answer(again, Ok(Offset::ZERO));
    let next = hand.sent();
    assert_eq!(next.iter().map(|sent| (sent.1, sent.2, sent.3)).collect::<Vec<_>>(), [(1, 0, 2)]);
    hand.answer(next[0], Ok(Offset::new(1)));
    assert_eq!(hand.confirmed(), [1, 2]);
}

#[test]
fn what_is_not_stored_gets_a_new_number() {
    let (mut hand, again) = refused_and_lost();
    hand.answer(again, Err(LogError::OutOfOrderSequence));
    hand.wait();
    let next = hand.sent();
    assert_eq!(next.iter().map(|sent| (sent.1, sent.2, sent.3)).collect::<Vec<_>>(), [(1, 0, 1), (1, 1, 2)]);
    hand.answer(next[0], Ok(Offset::ZERO));
    hand.answer(next[1], Ok(Offset::new(1)));
    assert_eq!(hand.confirmed(), [1, 2]);
}

#[test]
fn an_answer_of_a_node_that_does_not_lead_tells_nothing_about_what_may_be_stored() {
    let (mut hand, again) = refused_and_lost();
    let mut last = again;
    for error in [LogError::NotLeader, LogError::NotEnoughReplicas, LogError::NotEnoughReplicasAfterAppend] {
        hand.answer(last, Err(error));
        hand.wait();
        last = hand.sent()[0];
        assert_eq!((last.1, last.2, last.3), (0, 1, 1), "after {error:?}");
    }
    hand.answer(last, Ok(Offset::ZERO));
    assert_eq!(hand.sent().iter().map(|sent| (sent.1, sent.2, sent.3)).collect::<Vec<_>>(), [(1, 0, 2)]);
}

#[test]
fn batches_that_follow_a_refused_one_wait_for_each_other() {
    let mut hand = Hand::new();
    (0..4).for_each(|message| hand.offer(message));
    let sent = hand.sent();
    assert_eq!(sent.len(), 4);
    hand.answer(sent[0], Err(LogError::TooLarge));
    for (place, sent) in sent[1..].iter().enumerate() {
        hand.wait();
        assert_eq!(hand.sent(), [], "{place} of three are answered");
        hand.answer(*sent, Err(LogError::OutOfOrderSequence));
    }
    for message in 1..4 {
        hand.wait();
        let next = hand.sent();
        let expected = (1, message as u32 - 1, message);
        assert_eq!((next[0].1, next[0].2, next[0].3), expected, "one at a time, in their order");
        hand.answer(next[0], Ok(Offset::new(message)));
    }
    assert_eq!(hand.confirmed(), [1, 2, 3]);
}

#[test]
fn a_batch_that_is_too_large_goes_again_in_parts_under_the_numbers_of_its_records() {
    let mut hand = Hand::with(secs(1), 40);
    (0..5).for_each(|message| hand.offer(message));
    let whole = hand.sent()[0];
    assert_eq!((whole.2, whole.3), (0, 0), "four of ten bytes each fill a batch");
    hand.answer(whole, Err(LogError::TooLarge));
    let as_before = hand.sent();
    assert_eq!(as_before.len(), 1, "a batch may be as large as this, so it is tried once more");
    assert_eq!((as_before[0].2, as_before[0].3), (0, 0));
    hand.answer(as_before[0], Err(LogError::TooLarge));
    let mut stored = 0;
    for (sequence, message) in [(0, 0), (2, 2)] {
        let half = hand.sent();
        assert_eq!(half.iter().map(|sent| (sent.2, sent.3)).collect::<Vec<_>>(), [(sequence, message)], "in order");
        hand.answer(half[0], Ok(Offset::new(stored)));
        stored += 2;
    }
    hand.wait();
    let last = hand.sent();
    assert_eq!((last[0].1, last[0].2, last[0].3), (0, 4, 4), "in the same epoch");
    hand.answer(last[0], Err(LogError::TooLarge));
    assert_eq!(hand.confirmed(), [0, 1, 2, 3]);
    let events = hand.events.records();
    let refused =
        |event: Event| matches!(event, Event::Refused { message, reason: Refusal::TooLarge, .. } if message.get() == 4);
    assert!(events.iter().any(|record| refused(record.event())), "a record by itself has no parts");
    let attempts = events.iter().filter_map(|record| match record.event() {
        Event::Sent { message, attempt, .. } if message.get() == 3 => Some(attempt.get()),
        _ => None,
    });
    assert_eq!(attempts.collect::<Vec<_>>(), [1, 2, 3]);
}
