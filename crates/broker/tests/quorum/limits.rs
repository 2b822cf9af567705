//! Length limits, stopped publishers, dead letters that are kept, and retries of channels.

use brokerlab_broker::quorum::*;

use crate::rig::{Rig, session};

fn rejecting(max_length: u64) -> QuorumConfig {
    QuorumConfig {
        max_length: Some(max_length),
        overflow: Overflow::RejectPublish,
        dead_lettering: DeadLettering::AtLeastOnce,
        ..QuorumConfig::default()
    }
}

#[test]
fn the_head_is_dropped_where_there_are_too_many() {
    let mut rig = Rig::new(QuorumConfig { max_length: Some(2), ..QuorumConfig::default() });
    assert_eq!(rig.publish(3), "in0 in1 in2 drop0:maxlen");
    rig.consume(1, 1);
    rig.cancel(1);
    assert_eq!(rig.publish(1), "in3");
    assert_eq!(rig.nack(1, &[0]), "back1 drop1:maxlen", "what came back is the head");
}

#[test]
fn the_highest_level_is_dropped_first() {
    let mut rig = Rig::new(QuorumConfig { max_length: Some(1), ..QuorumConfig::default() });
    rig.publish_with(1, Some(1), None);
    assert_eq!(rig.publish_with(1, Some(9), None), "in1 drop1:maxlen");
}

#[test]
fn bytes_are_counted_too() {
    let mut rig = Rig::new(QuorumConfig { max_bytes: Some(10), ..QuorumConfig::default() });
    assert_eq!(rig.publish_with(10, None, None), "in0");
    assert_eq!(rig.publish_with(4, None, None), "in1 drop0:maxlen");
    assert_eq!((rig.publish_with(6, None, None), rig.queue.bytes()), ("in2".into(), 10));
    assert_eq!(rig.publish_with(11, None, None), "in3 drop1:maxlen drop2:maxlen drop3:maxlen");
}

#[test]
fn a_queue_of_length_zero_hands_over_and_keeps_nothing() {
    let mut rig = Rig::new(QuorumConfig { max_length: Some(0), ..QuorumConfig::default() });
    rig.consume(1, 1);
    assert_eq!(rig.publish(2), "in0 0>c1.0 in1 drop1:maxlen");
}

#[test]
fn publishers_stop_above_the_limit_and_go_on_at_four_fifths() {
    let mut rig = Rig::new(rejecting(5));
    for number in 1..=5 {
        assert_eq!(rig.publish_as(0, number), format!("in{}#{number}", number - 1));
    }
    assert_eq!(rig.publish_as(0, 6), "in5#6 stopc0", "the one that is too many is accepted");
    assert_eq!(rig.publish_as(1, 1), "in6#1 stopc1", "as is what is under way");
    assert_eq!(rig.apply(Command::RegisterSession(session(2))), "stopc2");
    rig.consume(1, 2);
    assert_eq!(rig.ack(1, &[]), "");
    assert_eq!((rig.queue.ready(), rig.queue.publishing_stopped(session(0))), (5, true));
    assert_eq!(rig.apply(Command::RegisterSession(session(3))), "", "between the limits it may start");
    assert_eq!(rig.get(1, true), "got2! goc0 goc1 goc2");
    assert!(!rig.queue.publishing_stopped(session(0)));
    assert_eq!(rig.apply(Command::Down(session(1))), "");
}

#[test]
fn a_stopped_channel_that_dies_takes_nothing_with_it() {
    let mut rig = Rig::new(rejecting(0));
    assert_eq!(rig.publish_as(0, 1), "in0#1 stopc0");
    assert_eq!(rig.apply(Command::Down(session(0))), "");
    assert_eq!(rig.publish_as(1, 1), "in1#1 stopc1", "the next one is told");
    assert_eq!(rig.apply(Command::Purge), "gone0 gone1 purged=2 goc1");
}

#[test]
fn purging_lets_publishers_go_on() {
    let mut rig = Rig::new(rejecting(0));
    assert_eq!(rig.publish_as(0, 1), "in0#1 stopc0");
    assert_eq!(rig.apply(Command::Purge), "gone0 purged=1 goc0");
}

#[test]
fn a_channel_that_publishes_again_is_recognised() {
    let mut rig = Rig::new(QuorumConfig::default());
    assert_eq!(rig.publish_as(0, 1), "in0#1");
    assert_eq!(rig.publish_as(0, 1), "again#1");
    assert_eq!(rig.publish_as(0, 3), "gap#3");
    assert_eq!(rig.publish_as(1, 1), "in1#1");
    assert_eq!(rig.publish_as(0, 2), "in2#2");
    rig.apply(Command::Down(session(0)));
    assert_eq!(rig.publish_as(0, 1), "in3#1", "a new channel of this number begins anew");
}

#[test]
fn dead_letters_are_kept_and_counted_until_they_are_settled() {
    let mut rig = Rig::new(rejecting(2));
    assert_eq!(rig.publish_as(0, 1), "in0#1");
    rig.publish_as(0, 2);
    rig.consume(1, 2);
    assert_eq!(rig.discard(1, &[0]), "kept0:rejected dlx0:rejected#0");
    assert_eq!(rig.discard(1, &[1]), "kept1:rejected dlx1:rejected#1");
    rig.cancel(1);
    assert_eq!(rig.publish_as(0, 3), "in2#3 stopc0");
    assert_eq!(rig.apply(Command::SettleDeadLetters { numbers: vec![1] }), "done1");
    assert_eq!(rig.apply(Command::SettleDeadLetters { numbers: vec![1, 0] }), "done0 goc0");
}

#[test]
fn so_many_dead_letters_are_under_way_at_once_and_come_again_in_order() {
    let mut rig = Rig::new(rejecting(100));
    rig.publish(40);
    rig.consume(1, 40);
    let words = rig.discard(1, &(0..40).collect::<Vec<_>>());
    assert_eq!(words.matches("dlx").count(), DEAD_LETTER_PREFETCH);
    assert_eq!(
        rig.apply(Command::SettleDeadLetters { numbers: vec![0, 5] }),
        "done0 done5 dlx32:rejected#32 dlx33:rejected#33"
    );
    let words = rig.apply(Command::RestartDeadLettering);
    assert!(words.starts_with("dlx1:rejected#34 dlx2:rejected#35 dlx3:rejected#36 dlx4:rejected#37 dlx6:rejected#38"));
    assert_eq!(rig.apply(Command::SettleDeadLetters { numbers: vec![1] }), "", "numbers are not used again");
    let words = rig.apply(Command::Purge);
    assert!(words.ends_with("purged=38") && rig.queue.census().is_empty());
}

#[test]
fn at_least_once_falls_back_where_the_head_is_dropped() {
    let config = QuorumConfig { overflow: Overflow::DropHead, ..rejecting(1) };
    assert_eq!(Rig::new(config).publish(2), "in0 in1 dlx0:maxlen");
}
