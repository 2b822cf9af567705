//! A group that is sent elsewhere: every partition goes there once, whoever owns it by then.

use brokerlab_broker::Node;
use brokerlab_broker::assignor::{Assignor, ServerAssignor};
use brokerlab_broker::config::{CommitPolicy, GroupProtocol, RetryConfig, RetryTopic, SeekTo};
use brokerlab_broker::log::Crash;
use brokerlab_event::{ClientId, Event, FailureLaw, Offset, StoreId, Stream};

use crate::rig::{Plan, Rig, ms, secs};

/// Every protocol.
fn plans() -> [Plan; 3] {
    let eager = || {
        let mut plan = Plan { work: ms(10), ..Plan::default() };
        plan.member.commit = CommitPolicy::AfterBatch;
        plan
    };
    let mut cooperative = eager();
    cooperative.member.assignors = vec![Assignor::CooperativeSticky];
    let mut server_side = Plan { protocol: GroupProtocol::Consumer(ServerAssignor::Uniform), ..eager() };
    server_side.member.assignors = Vec::new();
    [eager(), cooperative, server_side]
}

/// Two partitions with four records each, all read and committed by one member.
fn read_by_one(plan: &Plan) -> Rig {
    let mut rig = plan.rig();
    rig.start(1).run(secs(7)).offer(8, 2).run(secs(5));
    rig
}

/// Who was sent where.
fn sought(rig: &Rig) -> Vec<(u32, u32, u64)> {
    let told = rig.events.records().iter().filter_map(|record| match record.event() {
        Event::Sought { consumer, store, offset } => Some((consumer.get(), store.get(), offset.get())),
        _ => None,
    });
    told.collect()
}

/// Who owns a partition, as members believe.
fn owner(rig: &Rig, store: StoreId) -> Option<ClientId> {
    let mut moves = rig.events.records().iter().filter_map(|record| match record.event() {
        Event::Assigned { consumer, store: own, .. } if own == store => Some(Some(consumer)),
        Event::Revoked { store: own, .. } if own == store => Some(None),
        _ => None,
    });
    moves.next_back().flatten()
}

#[test]
fn who_joins_after_the_replay_does_not_begin_it_again() {
    for plan in plans() {
        let mut rig = read_by_one(&plan);
        rig.seek(SeekTo::Earliest).run(secs(5));
        assert_eq!(sought(&rig), [(1, 0, 0), (1, 1, 0)], "{:?}", plan.protocol);
        rig.start(2).run(secs(60)).offer(2, 2).run(secs(5));
        assert_eq!((rig.processed(), sought(&rig).len()), ([vec![2; 8], vec![1; 2]].concat(), 2));
        assert_ne!(owner(&rig, StoreId::new(0)), owner(&rig, StoreId::new(1)), "both have one by now");
    }
}

#[test]
fn a_partition_whose_owner_dies_before_it_goes_is_replayed_by_the_next() {
    for plan in plans() {
        let mut rig = read_by_one(&plan);
        rig.start(2).run(secs(20));
        let lost = owner(&rig, StoreId::new(1)).expect("somebody owns it").get();
        // It works on a batch, so it does not ask before it dies; the other one does.
        rig.offer(2, 2).seek(SeekTo::Offset(Offset::new(2))).crash(lost).run(secs(60));
        let other = 3 - lost;
        assert_eq!(sought(&rig), [(other, 0, 2), (other, 1, 2)], "{:?}", plan.protocol);
        assert_eq!(rig.processed()[..8], [1, 1, 1, 1, 2, 2, 2, 2], "{:?}", plan.protocol);
    }
}

#[test]
fn a_partition_that_nobody_owns_is_replayed_by_whoever_gets_it() {
    for plan in plans() {
        let mut rig = read_by_one(&plan);
        rig.leave(1).run(secs(10)).seek(SeekTo::Latest).offer(2, 2).seek(SeekTo::Earliest).run(secs(10));
        assert_eq!(sought(&rig), []);
        rig.start(2).start(1).run(secs(60));
        assert_eq!((rig.processed(), sought(&rig).len()), ([vec![2; 8], vec![1; 2]].concat(), 2));
    }
}

#[test]
fn what_is_committed_of_the_old_place_meanwhile_does_not_count() {
    for mut plan in plans() {
        plan.member.commit = CommitPolicy::AfterEach;
        let mut rig = read_by_one(&plan);
        // Three records of each partition are done when it hears of the order, and it commits the fourth before it goes.
        rig.offer(8, 2).run(ms(65)).seek(SeekTo::Offset(Offset::new(4))).run(ms(5)).crash(1).run(secs(20));
        rig.start(1).run(secs(30));
        let all = rig.processed();
        assert_eq!(all[..8], [1; 8], "{:?}", plan.protocol);
        assert!(all[8..].iter().all(|count| *count <= 2) && all[8..].contains(&2), "{all:?}");
        assert_eq!(sought(&rig), [(1, 0, 4), (1, 1, 4)]);
    }
}

#[test]
fn retry_topics_go_with_the_topic_they_serve() {
    for mut plan in plans() {
        plan.failures = Some(FailureLaw { poison: 1_000_000, transient: 0, stream: Stream::new(1, "failures") });
        plan.member.max_attempts = 1;
        plan.member.retry = Some(RetryConfig {
            topics: vec![RetryTopic { delay: secs(2), partitions: vec![StoreId::new(2)] }],
            dead_letters: vec![StoreId::new(3)],
        });
        let mut rig = read_by_one(&plan);
        let failed = rig.count("Failed");
        assert_eq!(failed, 16, "each record twice");
        // What was set aside is read again from the retry topic, and so is what is set aside anew.
        rig.seek(SeekTo::Earliest).run(secs(1)).start(2).run(secs(60));
        assert_eq!(sought(&rig), [(1, 0, 0), (1, 1, 0), (1, 2, 0)], "{:?}", plan.protocol);
        assert_eq!(rig.count("Failed"), failed + 8 + 16, "{:?}", plan.protocol);
    }
}

#[test]
fn a_coordinator_that_comes_back_forgets_offsets_that_nobody_claims() {
    for mut plan in plans() {
        plan.offsets_retention = secs(100);
        for empty in [false, true] {
            let mut rig = read_by_one(&plan);
            if empty {
                rig.leave(1);
            } else {
                rig.crash(1);
            }
            rig.run(secs(1));
            let node = rig.nodes.remove(0);
            rig.nodes.push(Node::recover(rig.now, node.crash(rig.now, Crash::Process, &mut ()), &plan.deployment()));
            // Who was a member is one until the session ends, which begins anew.
            rig.run(if empty { secs(98) } else { secs(98 + 6) });
            assert_eq!(rig.count("OffsetsForgotten"), 0, "{:?}, empty: {empty}", plan.protocol);
            rig.run(secs(3));
            assert_eq!(rig.count("OffsetsForgotten"), 1, "{:?}, empty: {empty}", plan.protocol);
        }
    }
}
