//! Where members read: reset policies, seeks, offsets that are forgotten, and how much a fetch brings.

use brokerlab_broker::client::GroupMember;
use brokerlab_broker::config::{CommitPolicy, FetchLimits, OffsetReset, RetryConfig, RetryTopic, SeekTo};
use brokerlab_event::{Event, FailureLaw, Offset, StoreId, Stream, Time};

use crate::rig::{Plan, Rig, ms, secs};

fn one_partition() -> Plan {
    Plan { partitions: 1, members: 1, work: ms(10), ..Plan::default() }
}

/// One member that has read its partition since the third second.
fn reading(plan: &Plan) -> Rig {
    let mut rig = plan.rig();
    rig.start(1).run(ms(3100));
    rig
}

fn delivered(rig: &Rig) -> Vec<u64> {
    let offset = |event| match event {
        Event::Delivered { offset, .. } => Some(offset.get()),
        _ => None,
    };
    rig.events.records().iter().filter_map(|record| offset(record.event())).collect()
}

#[test]
fn without_a_policy_a_consumer_that_has_no_position_throws_and_is_gone() {
    let mut plan = one_partition();
    plan.member.reset = OffsetReset::None;
    let mut rig = reading(&plan);
    rig.offer(1, 1).run(secs(5));
    assert_eq!((rig.count("Stranded"), rig.count("Disconnected"), rig.count("Delivered")), (1, 1, 0));
    assert!(rig.members[0].next_timeout().is_none(), "a process that has ended does nothing");
    // What would have ended it again finds nobody.
    rig.crash(1);
    assert_eq!(rig.count("Disconnected"), 1);
}

#[test]
fn whom_retention_overtook_goes_on_as_its_policy_says_once_it_has_done_what_it_holds() {
    let policies = [(OffsetReset::Earliest, 1, 0), (OffsetReset::Latest, 1, 0), (OffsetReset::None, 0, 1)];
    for (reset, resets, stranded) in policies {
        let mut plan = Plan { retention_time: Some(secs(5)), segment_bytes: 300, ..one_partition() };
        plan.member.max_poll_records = 1;
        let mut rig = reading(&plan);
        // The group has its offsets from a policy that lets it begin.
        plan.member.reset = reset;
        rig.offer(3, 1).run(secs(10)).leave(1);
        rig.members[0] = GroupMember::new(&plan.deployment().consumers[0]);
        rig.start(1).run(secs(5)).pause(1).offer(6, 1).run(secs(60)).resume(1).run(secs(1));
        // The first of the six was on its way when it stood still.
        assert_eq!(rig.processed(), [1, 1, 1, 1, 0, 0, 0, 0, 0], "{reset:?}");
        assert_eq!((rig.count("PositionReset"), rig.count("Stranded")), (resets, stranded), "{reset:?}");
    }
}

#[test]
fn a_group_may_begin_with_what_is_not_too_old() {
    let mut plan = one_partition();
    plan.member.reset = OffsetReset::ByDuration(secs(10));
    let mut rig = plan.rig();
    rig.offer(2, 1).run(secs(5)).offer(2, 1).run(secs(5)).start(1).run(secs(5)).offer(1, 1).run(secs(5));
    // The member learns at 13 s where to begin: with what was sent since 3 s.
    assert_eq!(rig.processed(), [0, 0, 1, 1, 1]);
    let assigned = rig.events.records().iter().find_map(|record| match record.event() {
        Event::Assigned { offset, .. } => Some(offset),
        _ => None,
    });
    assert_eq!(assigned, Some(Offset::new(2)));
}

#[test]
fn who_is_sent_back_reads_again_and_commits_where_it_is() {
    let mut plan = one_partition();
    plan.member.commit = CommitPolicy::AfterBatch;
    let mut rig = reading(&plan);
    rig.offer(2, 1).run(secs(1)).offer(2, 1).run(secs(1));
    rig.seek(SeekTo::Time(Time::ZERO + secs(4))).run(secs(1));
    assert_eq!(delivered(&rig), [0, 1, 2, 3, 2, 3]);
    let sought = "5.1s Committed  consumer: c1, store: s0, offset: @2\n";
    assert!(rig.story(&["Committed"]).contains(sought), "{}", rig.story(&["Committed"]));
    rig.seek(SeekTo::Offset(Offset::new(3))).run(secs(1)).seek(SeekTo::Offset(Offset::new(99))).run(secs(1));
    rig.seek(SeekTo::Latest).offer(1, 1).run(secs(1));
    assert_eq!(delivered(&rig), [0, 1, 2, 3, 2, 3, 3, 4]);
}

#[test]
fn who_works_finishes_its_batch_before_it_goes_elsewhere() {
    let mut rig = reading(&Plan { linger: ms(1), ..one_partition() });
    rig.offer(5, 1).run(ms(15)).seek(SeekTo::Earliest).run(secs(1));
    assert_eq!(delivered(&rig), [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]);
    assert_eq!(rig.processed(), [2, 2, 2, 2, 2]);
    // Who is down goes there when it is back.
    rig.leave(1).seek(SeekTo::Offset(Offset::new(4))).run(secs(1)).start(1).run(secs(5));
    assert_eq!(rig.processed(), [2, 2, 2, 2, 3]);
}

#[test]
fn an_empty_group_forgets_its_offsets_after_a_while() {
    let plan = Plan { offsets_retention: secs(60), ..one_partition() };
    let mut rig = reading(&plan);
    rig.offer(3, 1).run(secs(1)).leave(1).run(secs(50)).start(1).run(secs(60));
    assert_eq!((rig.processed(), rig.count("OffsetsForgotten")), (vec![1, 1, 1], 0));
    rig.leave(1).run(secs(61)).start(1).run(secs(5));
    assert_eq!((rig.processed(), rig.count("OffsetsForgotten")), (vec![2, 2, 2], 1));
}

#[test]
fn a_fetch_brings_no_more_than_it_may_but_always_a_record() {
    // A member is busy, so that records wait; then it fetches from both partitions.
    let arrivals = |max_bytes| {
        let fetch = FetchLimits { max_bytes, ..FetchLimits::default() };
        let mut rig = Plan { partitions: 2, members: 1, fetch, ..Plan::default() }.rig();
        rig.offer(8, 2).run(secs(1)).start(1).run(secs(3)).run(ms(50));
        delivered(&rig).len()
    };
    assert_eq!(arrivals(1 << 20), 8, "both partitions at once");
    assert_eq!(arrivals(600), 4 + 2 + 2, "the second gets what the first leaves, and the next fetch brings the rest");
    assert_eq!(arrivals(1), 1 + 1, "a record each, as one fetch follows the other");
}

#[test]
fn who_does_not_wait_for_its_commits_goes_on_at_once() {
    for (commit, waits) in
        [(CommitPolicy::AfterEach, 3), (CommitPolicy::AfterEachAsync, 3), (CommitPolicy::AfterBatchAsync, 1)]
    {
        let mut plan = Plan { linger: ms(1), ..one_partition() };
        plan.member.commit = commit;
        let mut rig = reading(&plan);
        rig.offer(3, 1).run(secs(1));
        assert_eq!((rig.processed(), rig.count("Committed")), (vec![1, 1, 1], waits), "{commit:?}");
    }
}

#[test]
fn what_fails_is_tried_again_later_and_ends_as_a_dead_letter_while_the_rest_goes_on() {
    let topic = |number, delay| RetryTopic { delay, partitions: vec![StoreId::new(number)] };
    let mut plan = Plan { linger: ms(1), ..one_partition() };
    plan.failures = Some(FailureLaw { poison: 1_000_000, transient: 0, stream: Stream::new(1, "failures") });
    plan.member.max_attempts = 1;
    plan.member.commit = CommitPolicy::AfterEach;
    plan.member.retry =
        Some(RetryConfig { topics: vec![topic(1, secs(2)), topic(2, secs(4))], dead_letters: vec![StoreId::new(3)] });
    let mut rig = reading(&plan);
    rig.offer(2, 1).run(secs(20));
    let told = rig.story(&["SetAside"]).replace("consumer: c1, ", "").replace("SetAside  ", "");
    let expected = "3.111s message: m0, store: s0, offset: @0, target: s1
                    3.121s message: m1, store: s0, offset: @1, target: s1
                    5.121s message: m0, store: s1, offset: @0, target: s2
                    5.131s message: m1, store: s1, offset: @1, target: s2
                    9.131s message: m0, store: s2, offset: @0, target: s3
                    9.141s message: m1, store: s2, offset: @1, target: s3
";
    assert_eq!(told, expected.replace("                    ", ""));
    // Each is committed where it was read, once the copy is safe.
    assert_eq!((rig.count("Failed"), rig.count("Committed"), rig.processed()), (6, 6, vec![0, 0]));
}
