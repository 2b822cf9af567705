//! What becomes of messages that come back.

use brokerlab_broker::quorum::*;

use crate::rig::{Rig, consumer};

fn unlimited() -> QuorumConfig {
    QuorumConfig { delivery_limit: None, ..QuorumConfig::default() }
}

fn limited(limit: u32) -> QuorumConfig {
    QuorumConfig { delivery_limit: Some(limit), dead_lettering: DeadLettering::AtMostOnce, ..QuorumConfig::default() }
}

#[test]
fn returned_messages_come_in_the_order_of_return_and_before_all_others() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(4);
    assert_eq!(rig.consume(1, 3), "0>c1.0 1>c1.1 2>c1.2");
    assert_eq!(rig.cancel(1), "");
    assert_eq!(rig.nack(1, &[2, 0, 1]), "back2 back0 back1");
    assert_eq!(rig.drain(), "got2a1! got0a1! got1a1! got3!");
}

#[test]
fn a_consumer_that_dies_returns_what_it_holds_in_the_order_of_delivery_and_as_failed() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(3);
    rig.consume(1, 3);
    assert_eq!(rig.down(1), "back0 back1 back2");
    assert_eq!(rig.drain(), "got0d1a1! got1d1a1! got2d1a1!");
}

#[test]
fn what_counts_as_failed() {
    let modified = |delivery_failed| Settlement::Modified { delivery_failed, undeliverable_here: false };
    let table = [
        (Settlement::NackRequeue, "back0 0>c1.1a1"),
        (Settlement::RejectRequeue, "back0 0>c1.1d1a1"),
        (modified(false), "back0 0>c1.1a1"),
        (modified(true), "back0 0>c1.1d1a1"),
        (Settlement::Modified { delivery_failed: true, undeliverable_here: true }, "dlx0:rejected"),
        (Settlement::Discard, "dlx0:rejected"),
        (Settlement::Ack, "ack0"),
    ];
    for (settlement, expected) in table {
        let mut rig = Rig::new(limited(20));
        rig.publish(1);
        rig.consume(1, 1);
        assert_eq!(rig.settle(1, &[0], settlement), expected, "{settlement:?}");
    }
}

#[test]
fn a_message_is_delivered_at_most_once_more_than_the_limit() {
    let mut rig = Rig::new(limited(1));
    rig.publish(2);
    rig.consume(1, 1);
    assert_eq!(rig.reject(1, &[0]), "back0 0>c1.1d1a1");
    assert_eq!(rig.nack(1, &[1]), "back0 0>c1.2d1a2", "handing back is no failure");
    assert_eq!(rig.reject(1, &[2]), "dlx0:delivery_limit 1>c1.3");
}

#[test]
fn without_a_limit_what_is_handed_back_goes_to_the_end_and_what_failed_to_the_front() {
    let mut rig = Rig::new(unlimited());
    rig.publish(3);
    rig.consume(1, 2);
    rig.cancel(1);
    assert_eq!(rig.nack(1, &[1, 0]), "last0 last1", "each as a step of its own, in the order of delivery");
    assert_eq!(rig.drain(), "got2! got0a1! got1a1!");

    let mut rig = Rig::new(unlimited());
    rig.publish(3);
    rig.consume(1, 1);
    assert_eq!(rig.reject(1, &[0]), "back0 0>c1.1d1a1");
    for delivery in 1..100 {
        assert!(rig.reject(1, &[delivery]).starts_with("back0 0>c1."), "it is never given up");
    }
}

#[test]
fn returned_messages_lose_their_priority() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish_with(1, Some(1), None);
    rig.consume(1, 1);
    rig.cancel(1);
    rig.publish_with(1, Some(9), None);
    rig.nack(1, &[0]);
    assert_eq!(rig.drain(), "got0a1! got1!");

    let mut rig = Rig::new(unlimited());
    rig.publish_with(1, Some(9), None);
    rig.consume(1, 1);
    rig.cancel(1);
    rig.publish_with(1, Some(5), None);
    rig.publish_with(1, None, None);
    rig.nack(1, &[0]);
    assert_eq!(rig.drain(), "got1! got2! got0a1!", "to the end of the level of those without a priority");
}

#[test]
fn settling_what_is_not_held_does_nothing() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(2);
    rig.consume(1, 1);
    assert_eq!(rig.ack(1, &[7]), "");
    assert_eq!(rig.ack(2, &[0]), "");
    assert_eq!(rig.ack(1, &[0, 0]), "ack0 1>c1.1");
    assert_eq!(rig.reject(1, &[0]), "");
}

#[test]
fn a_cancelled_consumer_keeps_what_it_holds_and_goes_with_the_last_of_it() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(3);
    rig.consume(1, 2);
    rig.cancel(1);
    assert_eq!((rig.queue.held().count(), rig.queue.consumer_count()), (2, 0));
    assert_eq!(rig.consume(2, 5), "2>c2.0");
    assert_eq!(rig.ack(1, &[1]), "ack1");
    assert_eq!(rig.down(1), "back0 0>c2.1d1a1");
    assert_eq!(rig.consume(1, 1), "", "and starts anew");
}

#[test]
fn a_consumer_that_comes_back_counts_what_it_still_holds() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(4);
    rig.consume(1, 2);
    rig.cancel(1);
    assert_eq!(rig.consume(1, 3), "2>c1.2");
    assert_eq!(rig.ack(1, &[0]), "ack0 3>c1.3");
}

#[test]
fn turns_go_round_within_a_priority_and_higher_ones_come_first() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.consume_at(1, 10, 0);
    rig.consume_at(2, 1, 5);
    rig.consume_at(3, 1, 5);
    rig.consume_at(4, 10, 0);
    let words = rig.publish(5);
    assert_eq!(words, "in0 0>c2.0 in1 1>c3.0 in2 2>c1.0 in3 3>c4.0 in4 4>c1.1");
    rig.ack(2, &[0]);
    assert_eq!(rig.publish(2), "in5 5>c2.1 in6 6>c4.1");
}

#[test]
fn automatic_settlement_needs_no_credit_and_leaves_nothing_behind() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.consume_with(1, ConsumerOptions { prefetch: 1, auto_ack: true, ..ConsumerOptions::default() });
    assert_eq!(rig.publish(3), "in0 0>c1.0! in1 1>c1.1! in2 2>c1.2!");
    assert_eq!((rig.down(1), rig.queue.census().len()), (String::new(), 0));
}

#[test]
fn no_prefetch_means_two_thousand() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(2_001);
    rig.consume(1, 0);
    assert_eq!((rig.queue.held().count(), rig.queue.ready()), (2_000, 1));
}

#[test]
fn a_get_that_is_not_settled_belongs_to_its_channel() {
    let mut rig = Rig::new(QuorumConfig::default());
    assert_eq!(rig.get(1, false), "none");
    rig.publish(2);
    let key = crate::rig::at_home(ConsumerKey::get(consumer(1).session.client, 1, rig.index));
    assert_eq!(rig.get(1, false), "got0");
    assert_eq!(rig.get(1, false), "got1");
    let settlement = Settlement::NackRequeue;
    assert_eq!(rig.apply(Command::Settle { consumer: key, deliveries: vec![0], settlement }), "back0");
    assert_eq!(rig.down(1), "back1");
    assert_eq!(rig.drain(), "got0a1! got1d1a1!");
}

#[test]
fn purging_leaves_what_is_held_and_deleting_leaves_nothing() {
    let mut rig = Rig::new(QuorumConfig::default());
    rig.publish(3);
    rig.consume(1, 1);
    assert_eq!(rig.apply(Command::Purge), "gone1 gone2 purged=2");
    assert_eq!(rig.publish(1), "in3");
    assert_eq!(rig.apply(Command::Delete), "gone3 gone0 deleted=1");
    assert_eq!((rig.queue.census().len(), rig.queue.consumer_count()), (0, 0));
    assert_eq!(rig.ack(1, &[0]), "", "what is still under way finds nothing");
}
