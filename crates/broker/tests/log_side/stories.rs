//! Stories: what happens to records and members, told by the events.

use brokerlab_broker::config::{Acks, CommitPolicy, FetchLimits, OffsetReset};
use brokerlab_event::{ApplicationId, Event, KeyId, MessageId, Offset, StoreId};

use crate::rig::{Plan, Rig, ms, secs};

const GROUP: &[&str] =
    &["Assigned", "Revoked", "RebalanceStarted", "RebalanceCompleted", "Paused", "Resumed", "Disconnected"];

#[track_caller]
fn check(story: &str, expected: &str) {
    let lines = |text: &str| text.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>();
    assert_eq!(lines(story), lines(expected.trim()), "\n{story}");
}

fn plan(commit: CommitPolicy) -> Plan {
    let mut plan = Plan::default();
    plan.member.commit = commit;
    plan
}

/// Two members that have their partitions, at 7 s.
fn reading(plan: &Plan) -> Rig {
    let mut rig = plan.rig();
    rig.start(1).start(2).run(secs(7));
    rig
}

#[test]
fn a_group_gathers_before_it_starts_and_every_record_arrives_once() {
    let mut rig = reading(&Plan::default());
    rig.offer(4, 2).run(secs(1));
    // The second member came within the delay of the first, so the group waited once more for a third.
    check(
        &rig.story(GROUP),
        "0s RebalanceStarted  application: a0, generation: 0
         6s RebalanceCompleted  application: a0, generation: 1, members: 2
         6s Assigned  consumer: c1, store: s0, offset: @0, generation: 1
         6s Assigned  consumer: c2, store: s1, offset: @0, generation: 1",
    );
    assert_eq!(rig.processed(), [1, 1, 1, 1]);
    for kind in ["Sent", "Stored", "Confirmed", "Delivered", "Started"] {
        assert_eq!(rig.count(kind), 4, "{kind}");
    }
}

/// The story of the group from here on; what came before is the same in every story.
fn since_7s(rig: &Rig, kinds: &[&str]) -> String {
    rig.story(kinds)
        .lines()
        .skip_while(|line| line.starts_with('0') || line.starts_with("6s"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// How many times the first member's records, and the second's, were processed.
fn by_partition(rig: &Rig) -> [Vec<u32>; 2] {
    let all = rig.processed();
    [0, 1].map(|partition| all.iter().skip(partition).step_by(2).copied().collect())
}

#[test]
fn a_crash_is_noticed_when_the_session_ends_and_uncommitted_work_is_done_again() {
    let mut rig = reading(&Plan::default());
    rig.offer(20, 2).run(ms(350)).crash(1).run(secs(30));
    check(
        &since_7s(&rig, GROUP),
        "7.35s Disconnected  client: c1, cause: Crashed
         13s RebalanceStarted  application: a0, generation: 1
         13s Revoked  consumer: c2, store: s1, generation: 1
         13s RebalanceCompleted  application: a0, generation: 2, members: 1
         13s Assigned  consumer: c2, store: s0, offset: @0, generation: 2
         13s Assigned  consumer: c2, store: s1, offset: @10, generation: 2",
    );
    assert_eq!(by_partition(&rig), [vec![2, 2, 2, 1, 1, 1, 1, 1, 1, 1], vec![1; 10]]);
}

#[test]
fn a_member_that_comes_back_is_a_new_member_and_the_rebalance_waits_for_the_old_one() {
    let mut rig = reading(&Plan::default());
    rig.offer(20, 2).run(ms(350)).crash(1).run(secs(1)).start(1).run(secs(30));
    check(
        &since_7s(&rig, GROUP),
        "7.35s Disconnected  client: c1, cause: Crashed
         8.35s RebalanceStarted  application: a0, generation: 1
         9s Revoked  consumer: c2, store: s1, generation: 1
         13s RebalanceCompleted  application: a0, generation: 2, members: 2
         13s Assigned  consumer: c1, store: s0, offset: @0, generation: 2
         13s Assigned  consumer: c2, store: s1, offset: @10, generation: 2",
    );
    assert_eq!(by_partition(&rig), [vec![2, 2, 2, 1, 1, 1, 1, 1, 1, 1], vec![1; 10]]);
}

#[test]
fn a_member_that_leaves_commits_what_it_has_done() {
    let mut rig = reading(&Plan::default());
    rig.offer(20, 2).run(ms(350)).leave(1).run(secs(30));
    check(
        &since_7s(&rig, GROUP),
        "7.35s Revoked  consumer: c1, store: s0, generation: 1
         7.35s Disconnected  client: c1, cause: Left
         7.35s RebalanceStarted  application: a0, generation: 1
         8s Revoked  consumer: c2, store: s1, generation: 1
         8s RebalanceCompleted  application: a0, generation: 2, members: 1
         8s Assigned  consumer: c2, store: s0, offset: @3, generation: 2
         8s Assigned  consumer: c2, store: s1, offset: @10, generation: 2",
    );
    assert_eq!(rig.processed(), [1; 20]);
}

#[test]
fn a_paused_member_loses_its_partitions_works_on_unknowingly_and_joins_again() {
    let mut rig = reading(&Plan::default());
    rig.offer(20, 2).run(ms(350)).pause(1).run(secs(10)).resume(1).run(secs(30));
    check(
        &since_7s(&rig, GROUP),
        "7.35s Paused  client: c1
         13s RebalanceStarted  application: a0, generation: 1
         13s Revoked  consumer: c2, store: s1, generation: 1
         13s RebalanceCompleted  application: a0, generation: 2, members: 1
         13s Assigned  consumer: c2, store: s0, offset: @0, generation: 2
         13s Assigned  consumer: c2, store: s1, offset: @10, generation: 2
         17.35s Resumed  client: c1
         18s Revoked  consumer: c1, store: s0, generation: 1
         18s RebalanceStarted  application: a0, generation: 2
         18s Revoked  consumer: c2, store: s0, generation: 2
         18s Revoked  consumer: c2, store: s1, generation: 2
         18s RebalanceCompleted  application: a0, generation: 3, members: 2
         18s Assigned  consumer: c1, store: s0, offset: @10, generation: 3
         18s Assigned  consumer: c2, store: s1, offset: @10, generation: 3",
    );
    assert_eq!(by_partition(&rig), [vec![2; 10], vec![1; 10]]);
}

#[test]
fn a_member_that_works_too_long_on_a_batch_is_out_of_its_group_and_comes_back_after_it() {
    let mut plan = Plan { partitions: 1, members: 1, work: ms(600), ..Plan::default() };
    plan.member.max_poll_interval = secs(2);
    plan.member.commit = CommitPolicy::AfterBatch;
    let mut rig = plan.rig();
    rig.start(1).run(secs(7)).offer(6, 1).run(secs(8)).leave(1);
    check(
        &rig.story(GROUP),
        "0s RebalanceStarted  application: a0, generation: 0
         3s RebalanceCompleted  application: a0, generation: 1, members: 1
         3s Assigned  consumer: c1, store: s0, offset: @0, generation: 1
         10.2s RebalanceStarted  application: a0, generation: 1
         10.2s RebalanceCompleted  application: a0, generation: 2, members: 0
         10.6s Revoked  consumer: c1, store: s0, generation: 1
         10.6s RebalanceStarted  application: a0, generation: 2
         13.6s RebalanceCompleted  application: a0, generation: 3, members: 1
         13.6s Assigned  consumer: c1, store: s0, offset: @2, generation: 3
         15s Revoked  consumer: c1, store: s0, generation: 3
         15s Disconnected  client: c1, cause: Left
         15s RebalanceStarted  application: a0, generation: 3
         15s RebalanceCompleted  application: a0, generation: 4, members: 0",
    );
}

/// What a crash in the middle of a batch of eight (after three records, of which two came alone) does.
#[test]
fn when_offsets_are_committed_decides_what_a_crash_repeats_or_skips() {
    let cases = [
        (CommitPolicy::Automatic { every: secs(5) }, [2, 2, 2, 1, 1, 1, 1, 1, 1, 1]),
        (CommitPolicy::Automatic { every: ms(1150) }, [1, 1, 2, 1, 1, 1, 1, 1, 1, 1]),
        (CommitPolicy::AfterBatch, [1, 1, 2, 1, 1, 1, 1, 1, 1, 1]),
        (CommitPolicy::AfterEach, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]),
        (CommitPolicy::BeforeBatch, [1, 1, 1, 0, 0, 0, 0, 0, 0, 0]),
    ];
    for (commit, expected) in cases {
        let mut rig = reading(&plan(commit));
        rig.offer(20, 2).run(ms(350)).crash(1).run(secs(30));
        assert_eq!(by_partition(&rig), [expected.to_vec(), vec![1; 10]], "{commit:?}");
    }
}

#[test]
fn confirms_come_once_the_record_is_written_unless_none_are_wanted() {
    for (acks, confirmed) in [(Acks::None, 0), (Acks::Leader, 5), (Acks::All, 5)] {
        let mut rig = Plan { acks, ..Plan::default() }.rig();
        rig.offer(5, 2);
        assert_eq!((rig.count("Sent"), rig.count("Stored"), rig.count("Confirmed")), (5, 5, confirmed), "{acks:?}");
    }
}

#[test]
fn retention_takes_what_is_old_even_from_under_the_last_segment() {
    let mut rig = Plan { retention_time: Some(secs(20)), segment_bytes: 300, ..Plan::default() }.rig();
    rig.offer(4, 1).run(secs(15)).offer(1, 1).run(secs(60));
    check(
        &rig.story(&["Trimmed", "SegmentRolled"]),
        "0s SegmentRolled  store: s0, offset: @3
         30s Trimmed  store: s0, until: @3, cause: RetentionTime
         40s SegmentRolled  store: s0, offset: @5
         40s Trimmed  store: s0, until: @5, cause: RetentionTime",
    );
}

#[test]
fn a_group_that_comes_late_starts_where_its_policy_says() {
    for (reset, processed) in [(OffsetReset::Earliest, [1, 1, 1, 1]), (OffsetReset::Latest, [0, 0, 1, 1])] {
        let mut plan = Plan::default();
        plan.member.reset = reset;
        let mut rig = plan.rig();
        rig.offer(2, 2).run(secs(1)).start(1).run(secs(5)).offer(2, 2).run(secs(5));
        assert_eq!(rig.processed(), processed, "{reset:?}");
    }
}

#[test]
fn a_fetch_waits_for_enough_bytes_or_long_enough() {
    let fetch = FetchLimits { min_bytes: 250, ..FetchLimits::default() };
    let mut rig = Plan { fetch, members: 1, ..Plan::default() }.rig();
    rig.start(1).run(ms(3100)).offer(2, 2).run(ms(50)).offer(1, 2).run(secs(1));
    rig.run(ms(100)).offer(1, 2).run(secs(1));
    check(
        &rig.story(&["Delivered"]),
        "3.15s Delivered  message: m0, consumer: c1, store: s0, offset: @0, redelivered: false
         3.15s Delivered  message: m2, consumer: c1, store: s0, offset: @1, redelivered: false
         3.15s Delivered  message: m1, consumer: c1, store: s1, offset: @0, redelivered: false
         4.65s Delivered  message: m3, consumer: c1, store: s1, offset: @1, redelivered: false",
    );
}

#[test]
fn batches_fill_or_linger() {
    let mut rig = Plan { linger: ms(5), ..Plan::default() }.rig();
    rig.offer(3, 1).run(ms(3)).offer(1, 1).run(ms(10));
    // Two hundred bytes do not fit beside nine hundred, and a thousand fill a batch: a request takes what there is for
    // each partition.
    rig.offer_with(KeyId::new(0), 900);
    rig.offer_with(KeyId::new(0), 200);
    rig.offer_with(KeyId::new(1), 1000);
    rig.run(ms(10));
    check(
        &rig.story(&["Sent"]),
        "5ms Sent  message: m0, producer: c0, attempt: 1
         5ms Sent  message: m1, producer: c0, attempt: 1
         5ms Sent  message: m2, producer: c0, attempt: 1
         5ms Sent  message: m3, producer: c0, attempt: 1
         13ms Sent  message: m4, producer: c0, attempt: 1
         13ms Sent  message: m5, producer: c0, attempt: 1
         13ms Sent  message: m6, producer: c0, attempt: 1",
    );
}

#[test]
fn the_census_tells_what_the_group_has_still_to_read_and_what_members_hold() {
    let mut rig = reading(&Plan::default());
    rig.offer(6, 2).run(ms(150));
    let application = ApplicationId::new(0);
    let range = |store, from, until| Event::RemainingRange {
        store: StoreId::new(store),
        application,
        from: Offset::new(from),
        until: Offset::new(until),
    };
    let held = |message| Event::Remaining { message: MessageId::new(message), application };
    // Nothing is committed yet. The first records are done, the second in hand, the third fetched.
    let expected = [range(0, 0, 3), range(1, 0, 3), held(2), held(4), held(3), held(5)];
    assert_eq!(rig.census(), expected);
    rig.run(secs(10));
    assert_eq!(rig.census(), [range(0, 3, 3), range(1, 3, 3)]);
}
