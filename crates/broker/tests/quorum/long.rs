//! Long queues: no step looks at all of it. If one did, these would not end.

use brokerlab_broker::quorum::*;
use brokerlab_event::Duration;

use crate::rig::Rig;

const MESSAGES: u32 = 300_000;

#[test]
fn every_message_fails_once_and_is_settled_at_the_second_attempt() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(MESSAGES);
    rig.consume(1, 1);
    for number in 0..u64::from(MESSAGES) {
        assert!(rig.reject(1, &[2 * number]).starts_with("back"));
        assert!(rig.ack(1, &[2 * number + 1]).starts_with("ack"));
    }
    assert_eq!((rig.queue.ready(), rig.queue.census().len()), (0, 0));
}

#[test]
fn handing_back_to_the_end_of_a_long_queue_again_and_again() {
    let mut rig = Rig::new(QuorumConfig { delivery_limit: None, ..QuorumConfig::default() });
    rig.publish(MESSAGES);
    rig.consume(1, 1);
    for number in 0..u64::from(MESSAGES) {
        assert!(rig.nack(1, &[number]).starts_with("last"));
    }
    assert_eq!(rig.queue.held().map(|(_, _, position, _)| position.get()).collect::<Vec<_>>(), [0], "once round");
}

#[test]
fn a_long_queue_whose_messages_expire_one_by_one() {
    let mut rig = Rig::new(QuorumConfig { message_ttl: Some(Duration::from_millis(500)), ..QuorumConfig::default() });
    for _ in 0..MESSAGES {
        rig.publish(1);
        rig.advance(1);
        assert!(rig.queue.ready() <= 500);
    }
    assert_eq!(rig.queue.ready(), 499);
    rig.now = rig.now.saturating_add(Duration::from_secs(1));
    assert_eq!(rig.apply(Command::Tick).matches("expired").count(), 499);
}

#[test]
fn a_long_queue_whose_messages_wait_for_their_retry() {
    let retry = DelayedRetry { kind: RetryKind::All, min: Duration::from_secs(1), max: Duration::from_secs(1) };
    let mut rig = Rig::new(QuorumConfig { delayed_retry: Some(retry), ..QuorumConfig::default() });
    rig.publish(MESSAGES);
    rig.consume(1, 1);
    for number in 0..u64::from(MESSAGES) {
        assert!(rig.reject(1, &[number]).starts_with("wait"));
    }
    assert_eq!(rig.advance(1_000).matches("ready").count(), MESSAGES as usize);
}
