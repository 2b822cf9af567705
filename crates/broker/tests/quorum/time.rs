//! Expiry, the retry of returned messages, and deliveries that take too long.

use brokerlab_broker::quorum::*;
use brokerlab_event::{Duration, Time};

use crate::rig::Rig;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn with_ttl(millis: u64) -> QuorumConfig {
    QuorumConfig { message_ttl: Some(ms(millis)), ..QuorumConfig::default() }
}

#[test]
fn a_message_expires_at_its_deadline_not_before() {
    let mut rig = Rig::new(with_ttl(10));
    rig.publish(1);
    assert_eq!(rig.queue.next_timeout(), Some(Time::ZERO.saturating_add(ms(10))));
    assert_eq!((rig.advance(9), rig.advance(1)), (String::new(), "drop0:expired".into()));
}

#[test]
fn the_smaller_of_two_times_to_live_counts_and_zero_is_a_millisecond() {
    let mut rig = Rig::new(with_ttl(10));
    rig.publish_with(1, Some(1), Some(3));
    rig.publish_with(1, Some(2), Some(30));
    rig.publish_with(1, Some(3), Some(0));
    assert_eq!(rig.advance(0), "");
    assert_eq!(rig.advance(1), "drop2:expired");
    assert_eq!(rig.advance(2), "drop0:expired");
    assert_eq!(rig.advance(7), "drop1:expired");
}

#[test]
fn a_message_expires_only_at_the_head_of_its_level() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(1);
    rig.publish_with(1, None, Some(5));
    rig.publish_with(1, Some(9), None);
    rig.publish_with(1, Some(9), Some(5));
    rig.publish_with(1, Some(1), Some(5));
    assert_eq!(rig.advance(50), "drop4:expired");
    assert_eq!((rig.get(1, true), rig.get(1, true)), ("got2!".into(), "drop3:expired got0!".into()));
    assert_eq!((rig.get(1, true), rig.queue.ready()), ("drop1:expired none".into(), 0));
}

#[test]
fn a_held_message_expires_when_it_comes_back() {
    let mut rig = Rig::new(with_ttl(10));
    rig.publish(2);
    rig.consume(1, 2);
    assert_eq!(rig.advance(10), "");
    assert_eq!(rig.reject(1, &[1, 0]), "back1 back0 drop1:expired drop0:expired");
}

#[test]
fn what_came_back_expires_at_its_own_head() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish_with(1, None, None);
    rig.publish_with(1, None, Some(5));
    rig.publish_with(1, Some(9), Some(5));
    rig.consume(1, 2);
    rig.cancel(1);
    assert_eq!(rig.nack(1, &[1, 0]), "back0 back2");
    assert_eq!(rig.advance(5), "drop1:expired", "the head of a level expires though returned ones come first");
    assert_eq!(rig.drain(), "got0a1! drop2:expired none");
}

fn delayed(kind: RetryKind) -> QuorumConfig {
    let retry = DelayedRetry { kind, min: ms(10), max: ms(25) };
    QuorumConfig { delayed_retry: Some(retry), ..QuorumConfig::default() }
}

#[test]
fn a_retry_waits_longer_with_every_failure_up_to_a_limit() {
    let mut rig = Rig::new(delayed(RetryKind::Failed));
    rig.publish(2);
    rig.consume(1, 1);
    assert_eq!(rig.reject(1, &[0]), "wait0@10 1>c1.1");
    assert_eq!(rig.nack(1, &[1]), "back1 1>c1.2a1", "it did not fail");
    assert_eq!(rig.ack(1, &[2]), "ack1");
    assert_eq!(rig.advance(10), "ready0 0>c1.3d1a1");
    assert_eq!(rig.reject(1, &[3]), "wait0@30");
    assert_eq!(rig.advance(20), "ready0 0>c1.4d2a2");
    assert_eq!(rig.reject(1, &[4]), "wait0@55");
}

#[test]
fn which_returns_wait() {
    for (kind, on_nack, on_reject) in [
        (RetryKind::All, "wait0@10", "wait0@10"),
        (RetryKind::Failed, "back0 0>c1.1a1", "wait0@10"),
        (RetryKind::Returned, "wait0@10", "back0 0>c1.1d1a1"),
    ] {
        for (settlement, expected) in [(Settlement::NackRequeue, on_nack), (Settlement::RejectRequeue, on_reject)] {
            let mut rig = Rig::new(delayed(kind));
            rig.publish(1);
            rig.consume(1, 1);
            assert_eq!(rig.settle(1, &[0], settlement), expected, "{kind:?}");
        }
    }
}

#[test]
fn what_waits_counts_towards_limits_and_is_purged() {
    let mut rig = Rig::new(QuorumConfig { max_length: Some(1), ..delayed(RetryKind::All) });
    rig.publish(1);
    rig.consume(1, 1);
    rig.cancel(1);
    rig.nack(1, &[0]);
    assert_eq!((rig.queue.ready(), rig.publish(1)), (0, "in1 drop1:maxlen".into()));
    assert_eq!(rig.apply(Command::Purge), "gone0 purged=1");
    assert_eq!(rig.queue.next_timeout(), None);
}

fn patient(rig: &mut Rig, number: u32, prefetch: u32) -> String {
    let timeout = Some(ms(100));
    rig.consume_with(number, ConsumerOptions { prefetch, timeout, ..ConsumerOptions::default() })
}

#[test]
fn a_delivery_that_takes_too_long_comes_back_and_its_consumer_gets_nothing_until_it_settles() {
    let mut rig = Rig::new(QuorumConfig::default());
    patient(&mut rig, 1, 2);
    rig.publish(1);
    rig.advance(50);
    rig.publish(1);
    assert_eq!(rig.advance(50), "back0 c1:overdue[0]");
    assert_eq!(rig.publish(1), "in2");
    assert_eq!(rig.ack(1, &[1]), "ack1", "what it settles in time does not help");
    assert_eq!(rig.ack(1, &[0]), "0>c1.2a1 2>c1.3");
}

#[test]
fn others_get_what_took_too_long() {
    let mut rig = Rig::new(QuorumConfig::default());
    patient(&mut rig, 1, 2);
    rig.publish(1);
    rig.consume(2, 1);
    assert_eq!(rig.advance(100), "back0 c1:overdue[0] 0>c2.0a1");
    assert_eq!(rig.down(1), "");
}

#[test]
fn deliveries_settled_in_time_are_looked_for_in_vain_once() {
    let mut rig = Rig::new(QuorumConfig::default());
    patient(&mut rig, 1, 2);
    rig.publish(1);
    rig.ack(1, &[0]);
    assert_eq!((rig.advance(100), rig.queue.next_timeout()), (String::new(), None));
}

#[test]
fn time_never_goes_back() {
    let mut rig = Rig::new(with_ttl(10));
    rig.advance(100);
    rig.publish(1);
    rig.now = Time::ZERO;
    rig.publish(1);
    assert_eq!(rig.queue.next_timeout(), Some(Time::ZERO.saturating_add(ms(110))));
}
