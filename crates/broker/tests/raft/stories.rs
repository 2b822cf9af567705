//! What happens to a group in a few well-known situations.

use brokerlab_broker::log::Crash;
use brokerlab_broker::raft::Member;
use brokerlab_event::{Duration, Time};

use crate::world::World;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn what_a_majority_has_on_its_disks_is_agreed_to_one_round_trip_later() {
    let mut world = World::new(3, 1);
    world.submit(0, 7);
    world.write(0);
    world.deliver(0, 1);
    assert!(world.memory(0).is_empty(), "only one disk has it");
    world.write(1);
    assert!(world.memory(0).is_empty(), "the leader does not know yet");
    world.deliver(1, 0);
    assert_eq!(world.memory(0), [7]);
    assert!(world.memory(1).is_empty(), "a follower learns of it with the next message");
    world.deliver(0, 1);
    assert_eq!(world.memory(1), [7]);
    assert!(world.memory(2).is_empty());
}

#[test]
fn a_group_without_anything_to_do_says_nothing() {
    let mut world = World::new(3, 1);
    world.submit(0, 1);
    world.run_for(seconds(3600));
    assert!((0..3).all(|index| world.up(index).is_some_and(|member| member.next_timeout().is_none())));
}

#[test]
fn a_leader_that_dies_is_succeeded_within_a_second_and_nothing_is_lost() {
    for seed in 0..50 {
        let mut world = World::new(3, seed);
        (0..10).for_each(|value| world.submit(0, value));
        world.settle();
        world.crash(0, Crash::Process);
        world.run_for(seconds(1));
        let leader = world.leader().expect("somebody leads");
        assert!(leader != 0 && world.memory(leader) == (0..10).collect::<Vec<_>>(), "seed {seed}");
    }
}

#[test]
fn a_leader_without_power_is_missed_only_when_somebody_suspects_it() {
    let mut world = World::new(3, 4);
    world.crash(0, Crash::Power);
    world.run_for(seconds(60));
    assert_eq!(world.leader(), None);
    for other in 1..3 {
        world.call(other, |member, now, _| member.suspected(now, crate::world::node(0)));
    }
    world.run_for(seconds(3));
    assert!(world.leader().is_some());
}

#[test]
fn the_smaller_part_agrees_on_nothing_and_gives_up_what_it_took() {
    let mut world = World::new(5, 2);
    world.submit(0, 1);
    world.settle();
    for (a, b) in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (1, 4)] {
        world.part(a, b);
    }
    world.submit(0, 2); // by a leader that has one follower left
    world.run_for(seconds(10));
    let leader = world.leader().expect("the larger part elects somebody");
    assert!(leader >= 2);
    world.submit(leader, 3);
    world.run_for(seconds(1));
    assert_eq!((world.memory(0), world.memory(leader)), (vec![1], vec![1, 3]));
    world.assert_recovers();
    assert_eq!(world.memory(0), [1, 3, u64::MAX]);
}

#[test]
fn with_two_of_five_down_the_group_goes_on_and_with_three_it_stands_still() {
    let mut world = World::new(5, 3);
    world.crash(0, Crash::Process);
    world.crash(1, Crash::Process);
    world.run_for(seconds(10));
    let leader = world.leader().expect("three of five are enough");
    world.submit(leader, 1);
    world.run_for(seconds(1));
    assert_eq!(world.memory(leader), [1]);
    let third = (2..5).find(|index| *index != leader).expect("there are three");
    world.crash(third, Crash::Process);
    world.submit(leader, 2);
    world.run_for(seconds(60));
    assert_eq!(world.memory(leader), [1]);
    world.restart(third);
    world.run_for(seconds(10));
    assert_eq!(world.memory(world.leader().expect("three of five are enough")), [1, 2]);
}

#[test]
fn a_member_that_was_away_for_long_is_sent_the_state() {
    let mut world = World::new(3, 5);
    world.crash(2, Crash::Process);
    for value in 0..1000 {
        world.submit(0, value);
        world.settle();
    }
    let leader = world.up(0).expect("it is up");
    assert_eq!(leader.pending().count(), 0);
    world.restart(2);
    let installs = world.links[&(0, 2)].len();
    world.settle();
    assert_eq!((installs, world.memory(2)), (1, (0..1000).collect()));
}

#[test]
fn a_lost_disk_counts_again_once_the_others_have_agreed_to_it() {
    let mut world = World::new(3, 6);
    world.submit(0, 1);
    world.settle();
    world.crash(2, Crash::Disk);
    world.crash(1, Crash::Process);
    world.restart(2);
    world.submit(0, 2);
    world.run_for(seconds(30));
    assert_eq!(world.memory(0), [1], "one member and one that has forgotten everything are no majority");
    assert!(world.up(2).is_some_and(Member::is_blank));
    world.restart(1);
    world.run_for(seconds(30));
    assert!(world.up(2).is_some_and(|member| !member.is_blank()));
    world.crash(1, Crash::Process);
    world.submit(world.leader().expect("it still leads"), 3);
    world.run_for(seconds(30));
    assert_eq!((world.memory(0), world.memory(2)), (vec![1, 2, 3], vec![1, 2, 3]));
}

#[test]
fn a_member_alone_leads_from_the_start_and_after_every_restart() {
    let mut world = World::new(1, 7);
    world.submit(0, 1);
    world.settle();
    world.crash(0, Crash::Power);
    world.restart(0);
    world.submit(0, 2);
    world.settle();
    assert_eq!((world.memory(0), world.now), (vec![1, 2], Time::ZERO));
}
