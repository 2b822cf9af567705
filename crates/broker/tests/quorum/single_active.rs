//! One consumer at a time.

use brokerlab_broker::quorum::*;
use brokerlab_event::Duration;

use crate::rig::{Rig, consumer};

fn single() -> Rig {
    Rig::new(QuorumConfig { single_active_consumer: true, ..QuorumConfig::default() })
}

#[test]
fn the_first_is_active_and_the_others_follow_as_they_came() {
    let mut rig = single();
    assert_eq!(rig.consume(1, 1), "c1:active");
    rig.consume(2, 1);
    rig.consume(3, 1);
    assert_eq!(rig.queue.waiting_consumers(), [consumer(2), consumer(3)]);
    assert_eq!(rig.publish(2), "in0 0>c1.0 in1", "others get nothing where the active one is busy");
    assert_eq!(rig.cancel(1), "c2:active 1>c2.0", "what the cancelled one holds stays with it");
    assert_eq!(rig.down(2), "back1 c3:active 1>c3.0d1a1");
    assert_eq!(rig.down(1), "back0");
    assert_eq!(rig.cancel(3), "");
    assert_eq!((rig.queue.active_consumer(), rig.get(1, true)), (None, "refused".into()));
}

#[test]
fn a_higher_priority_takes_over_once_the_active_one_holds_nothing() {
    let mut rig = single();
    rig.consume_at(1, 2, 0);
    rig.publish(2);
    assert_eq!(rig.consume_at(2, 2, 1), "");
    assert_eq!(rig.publish(1), "in2", "the one that has to make way gets nothing new");
    assert_eq!(rig.ack(1, &[0]), "ack0");
    assert_eq!(rig.reject(1, &[1]), "back1 c1:waits c2:active 1>c2.0d1a1 2>c2.1");
    assert_eq!(rig.queue.waiting_consumers(), [consumer(1)]);
    assert_eq!(rig.consume_at(3, 2, 1), "", "an equal one does not");
    assert_eq!(rig.down(2), "back1 back2 c3:active 1>c3.0d2a2 2>c3.1d1a1");
}

#[test]
fn an_idle_active_one_makes_way_at_once() {
    let mut rig = single();
    rig.consume(1, 1);
    assert_eq!(rig.consume_at(2, 1, 7), "c1:waits c2:active");
}

#[test]
fn the_one_that_made_way_comes_back_where_the_other_has_gone_meanwhile() {
    let mut rig = single();
    rig.consume(1, 1);
    rig.publish(2);
    rig.consume_at(2, 1, 1);
    rig.cancel(2);
    assert_eq!(rig.ack(1, &[0]), "ack0 c1:waits c1:active 1>c1.1");
}

#[test]
fn among_those_that_wait_priority_decides_then_credit() {
    let mut rig = single();
    rig.consume_at(1, 1, 9);
    rig.consume_at(2, 1, 0);
    rig.consume_at(3, 5, 0);
    rig.consume_at(4, 1, 3);
    assert_eq!(rig.queue.waiting_consumers(), [consumer(4), consumer(3), consumer(2)]);
}

#[test]
fn a_cancelled_one_that_comes_back_waits_its_turn_with_what_it_holds() {
    let mut rig = single();
    rig.consume(1, 2);
    rig.publish(1);
    rig.consume(2, 1);
    assert_eq!(rig.cancel(1), "c2:active");
    assert_eq!(rig.consume(1, 2), "");
    assert_eq!(rig.queue.waiting_consumers(), [consumer(1)]);
    assert_eq!(rig.down(2), "c1:active");
    assert_eq!(rig.publish(2), "in1 1>c1.1 in2");
    assert_eq!(rig.ack(1, &[0]), "ack0 2>c1.2");
}

#[test]
fn one_that_took_too_long_waits_behind_all_others_until_it_settles() {
    let mut rig = single();
    let timeout = Some(Duration::from_millis(10));
    rig.consume_with(1, ConsumerOptions { prefetch: 1, priority: 5, timeout, ..ConsumerOptions::default() });
    rig.publish(1);
    rig.consume(2, 1);
    assert_eq!(rig.advance(10), "back0 c1:overdue[0] c1:waits c2:active 0>c2.0a1");
    assert_eq!(rig.ack(2, &[0]), "ack0");
    assert_eq!(rig.ack(1, &[0]), "c2:waits c1:active", "it may take part again, and its priority counts");
}
