//! What the versions do differently.

use brokerlab_broker::quorum::*;

use crate::rig::{Rig, consumer};

fn rig(version: Version, delivery_limit: Option<u32>) -> Rig {
    Rig::new(QuorumConfig { version, delivery_limit, ..QuorumConfig::default() })
}

fn publish_levels(rig: &mut Rig, priorities: &[Option<u8>]) {
    for priority in priorities {
        rig.publish_with(1, *priority, None);
    }
}

#[test]
fn levels_by_version() {
    let priorities = [None, Some(5), Some(200), Some(31), Some(4), Some(0)];
    let table = [
        (Version::V3_13, "got0! got1! got2! got3! got4! got5!"),
        (Version::V4_0, "got1! got2! got0! got3! got4! got5!"),
        (Version::V4_3, "got2! got3! got1! got0! got4! got5!"),
    ];
    for (version, expected) in table {
        let mut rig = rig(version, None);
        publish_levels(&mut rig, &priorities);
        assert_eq!(rig.drain(), expected, "{version:?}");
    }
}

#[test]
fn of_two_levels_every_third_message_is_a_normal_one_unless_the_high_one_is_older() {
    let mut both = rig(Version::V4_0, None);
    publish_levels(&mut both, &[Some(9), Some(9), Some(9), None, None, Some(9)]);
    assert_eq!(both.drain(), "got0! got1! got2! got5! got3! got4!");

    let mut normal_older = rig(Version::V4_0, None);
    publish_levels(&mut normal_older, &[None, None, Some(9), Some(9), Some(9), Some(9)]);
    assert_eq!(normal_older.drain(), "got2! got3! got0! got4! got5! got1!");
}

#[test]
fn before_4_3_every_return_counts_against_the_limit() {
    for (version, expected) in [
        (Version::V3_13, "back0 0>c1.1d1a1 drop0:delivery_limit"),
        (Version::V4_0, "back0 0>c1.1a1 drop0:delivery_limit"),
        (Version::V4_3, "back0 0>c1.1a1 back0 0>c1.2a2"),
    ] {
        let mut rig = rig(version, Some(1));
        rig.publish(1);
        rig.consume(1, 1);
        let words = [rig.nack(1, &[0]), rig.nack(1, &[1])].join(" ");
        assert_eq!(words, expected, "{version:?}");
    }
}

#[test]
fn before_4_3_a_rejected_message_is_handed_back_like_any_other() {
    for (version, expected) in
        [(Version::V3_13, "last0 1>c1.1"), (Version::V4_0, "last0 1>c1.1"), (Version::V4_3, "back0 0>c1.1d1a1")]
    {
        let mut rig = rig(version, None);
        rig.publish(2);
        rig.consume(1, 1);
        assert_eq!(rig.reject(1, &[0]), expected, "{version:?}");
    }
}

#[test]
fn before_4_3_only_the_next_message_expires() {
    for (version, expected) in [(Version::V4_0, ""), (Version::V4_3, "drop1:expired")] {
        let mut rig = rig(version, None);
        rig.publish_with(1, Some(9), None);
        rig.publish_with(1, None, Some(5));
        assert_eq!(rig.advance(5), expected, "{version:?}");
        assert_eq!(rig.get(1, true), "got0!");
        assert_eq!((rig.advance(0) + &rig.get(1, true)).replace("drop1:expired", ""), "none", "{version:?}");
    }
}

#[test]
fn in_3_13_nobody_displaces_the_active_consumer_and_those_that_wait_stand_in_line() {
    let config = QuorumConfig { version: Version::V3_13, single_active_consumer: true, ..QuorumConfig::default() };
    let mut rig = Rig::new(config);
    rig.consume_at(1, 1, 0);
    assert_eq!(rig.consume_at(2, 1, 1), "");
    assert_eq!(rig.consume_at(3, 1, 9), "");
    assert_eq!(rig.queue.waiting_consumers(), [consumer(2), consumer(3)]);
    assert_eq!(rig.cancel(1), "c2:active");
}
