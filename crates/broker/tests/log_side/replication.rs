//! Copies of a partition: what leader and followers tell each other, what a controller decides when nodes go down, and
//! what is lost then.

use brokerlab_broker::Address;
use brokerlab_broker::config::Acks;
use brokerlab_broker::log::Crash;
use brokerlab_broker::message::LogError;
use brokerlab_event::{Event, Generator};

use crate::cluster::{Cluster, node};
use crate::rig::secs;

/// Nobody has asked for more than this long after a node was started again: its former session, and what it waits
/// between attempts.
const SETTLED: u64 = 30;

fn between(from: usize, to: usize) -> (Address, Address) {
    (Address::Node(node(from)), Address::Node(node(to)))
}

#[test]
fn a_record_is_confirmed_by_the_followers_next_fetch() {
    let mut cluster = Cluster::new(2, 1);
    cluster.carry_all();
    let first = cluster.produce(0, Acks::All);
    assert_eq!((cluster.marks(0), cluster.marks(1)), ((1, 0), (0, 0)), "the leader has it, alone");
    cluster.carry(between(0, 1));
    assert_eq!((cluster.marks(0), cluster.marks(1)), ((1, 0), (1, 0)), "both have it, and the leader does not know");
    assert!(!cluster.answers.contains_key(&first));
    cluster.carry(between(1, 0));
    assert_eq!((cluster.marks(0), cluster.marks(1)), ((1, 1), (1, 0)), "the next fetch said so");
    assert!(cluster.answers[&first].is_ok());
    cluster.produce(0, Acks::All);
    cluster.carry_all();
    let (leader, follower) = (cluster.marks(0), cluster.marks(1));
    assert_eq!((leader, follower), ((2, 2), (2, 1)), "followers learn of the high watermark a round trip later");
}

#[test]
fn a_follower_catches_up_after_it_was_away() {
    for kind in [Crash::Process, Crash::Power, Crash::Disk] {
        let mut cluster = Cluster::new(2, 1);
        cluster.carry_all();
        cluster.produce(0, Acks::All);
        cluster.produce(0, Acks::All);
        cluster.carry_all().crash(1, kind).restart(1);
        let third = cluster.produce(0, Acks::All);
        cluster.run(secs(1));
        assert!(!cluster.answers.contains_key(&third), "it still counts as in sync");
        cluster.run(secs(SETTLED));
        assert_eq!((cluster.contents(0), cluster.contents(1)), (vec![0, 1, 2], vec![0, 1, 2]), "{kind:?}");
        assert_eq!(cluster.in_sync(), [0, 1], "{kind:?}");
        assert!(cluster.answers[&third].is_ok(), "{kind:?}");
    }
}

#[test]
fn what_only_the_leader_has_is_lost_with_it_though_it_was_confirmed() {
    for kind in [Crash::Process, Crash::Power, Crash::Disk] {
        let mut cluster = Cluster::new(2, 1);
        cluster.carry_all();
        let both = cluster.produce(0, Acks::Leader);
        cluster.carry_all();
        let alone = cluster.produce(0, Acks::Leader);
        assert!(cluster.answers[&both].is_ok() && cluster.answers[&alone].is_ok());
        cluster.crash(0, kind).run(secs(8));
        assert_eq!(cluster.leader(), Some(0), "its session has not ended");
        cluster.run(secs(2));
        assert_eq!(cluster.leader(), Some(1));
        assert_eq!(cluster.contents(1), [0]);
        let later = cluster.produce(1, Acks::All);
        cluster.restart(0).run(secs(SETTLED));
        assert!(cluster.answers[&later].is_ok());
        assert_eq!(
            (cluster.contents(0), cluster.contents(1)),
            (vec![0, 2], vec![0, 2]),
            "{kind:?}: it gives up its own"
        );
        let cut = |event: &&Event| matches!(event, Event::LeaderElected { end, .. } if end.get() == 1);
        assert_eq!(cluster.seen.0.iter().filter(cut).count(), 1);
    }
}

#[test]
fn what_all_in_sync_have_outlives_the_leader() {
    let mut cluster = Cluster::new(3, 2);
    cluster.carry_all();
    let first = cluster.produce(0, Acks::All);
    cluster.carry_all();
    assert!(cluster.answers[&first].is_ok());
    cluster.crash(0, Crash::Disk).run(secs(10));
    assert_eq!((cluster.leader(), cluster.in_sync()), (Some(1), vec![1, 2]));
    let second = cluster.produce(1, Acks::All);
    cluster.restart(0).run(secs(SETTLED));
    assert!(cluster.answers[&second].is_ok());
    for index in 0..3 {
        assert_eq!(cluster.contents(index), [0, 1], "node {index}");
    }
    assert_eq!(cluster.in_sync(), [0, 1, 2]);
}

#[test]
fn too_few_in_sync_take_no_record_that_all_are_to_have() {
    let mut cluster = Cluster::new(2, 2);
    cluster.carry_all().crash(1, Crash::Process);
    let pending = cluster.produce(0, Acks::All);
    cluster.run(secs(10));
    assert_eq!(cluster.in_sync(), [0]);
    assert!(!cluster.answers.contains_key(&pending), "the high watermark stands still");
    let refused = cluster.produce(0, Acks::All);
    assert_eq!(cluster.answers[&refused], Err(LogError::NotEnoughReplicas));
    let careless = cluster.produce(0, Acks::Leader);
    assert!(cluster.answers[&careless].is_ok());
    cluster.restart(1).run(secs(SETTLED));
    assert!(cluster.answers[&pending].is_ok());
    assert_eq!((cluster.contents(0), cluster.contents(1)), (vec![0, 2], vec![0, 2]));
}

#[test]
fn a_follower_that_is_cut_off_leaves_the_ones_in_sync_after_its_lag() {
    let mut cluster = Cluster::new(2, 1);
    cluster.carry_all();
    let pending = cluster.produce(0, Acks::All);
    // The follower shows the controller that it is there, and nothing of what its leader says reaches it.
    cluster.cut.insert(between(0, 1));
    cluster.wires.clear();
    cluster.run(secs(29));
    assert_eq!(cluster.in_sync(), [0, 1]);
    assert!(!cluster.answers.contains_key(&pending));
    cluster.run(secs(17));
    assert_eq!(cluster.in_sync(), [0], "it lags by more than 30 s, which is looked at every 15 s");
    assert!(cluster.answers[&pending].is_ok());
}

#[test]
fn an_old_leader_that_nobody_told_goes_on_and_loses_what_it_took() {
    let mut cluster = Cluster::new(2, 1);
    cluster.carry_all();
    let (it, controller) = (Address::Node(node(0)), Address::Controller);
    cluster.cut.extend([(it, controller), (controller, it)]);
    cluster.run(secs(10));
    assert_eq!(cluster.leader(), Some(1));
    let (old, new) = (cluster.produce(0, Acks::Leader), cluster.produce(1, Acks::Leader));
    assert!(cluster.answers[&old].is_ok() && cluster.answers[&new].is_ok(), "both think that they lead");
    cluster.cut.clear();
    cluster.run(secs(SETTLED));
    assert_eq!((cluster.contents(0), cluster.contents(1)), (vec![1], vec![1]));
    let refused = cluster.produce(0, Acks::Leader);
    assert_eq!(cluster.answers[&refused], Err(LogError::NotLeader));
}

#[test]
fn a_leader_that_is_stopped_hands_over_and_gets_its_partition_back() {
    let mut cluster = Cluster::new(3, 2);
    cluster.carry_all();
    let first = cluster.produce(0, Acks::All);
    cluster.carry_all();
    cluster.stop(0);
    assert_eq!((cluster.leader(), cluster.in_sync()), (Some(1), vec![1, 2]), "at once");
    let second = cluster.produce(1, Acks::All);
    cluster.carry_all();
    assert!(cluster.answers[&first].is_ok() && cluster.answers[&second].is_ok());
    cluster.restart(0).run(secs(1));
    assert_eq!((cluster.leader(), cluster.in_sync()), (Some(1), vec![0, 1, 2]), "it need not wait for its session");
    cluster.run(secs(310));
    assert_eq!(cluster.leader(), Some(0), "partitions are given back every 5 minutes");
    let third = cluster.produce(0, Acks::All);
    cluster.run(secs(1));
    assert!(cluster.answers[&third].is_ok());
    for index in 0..3 {
        assert_eq!(cluster.contents(index), [0, 1, 2], "node {index}");
    }
}

#[test]
fn the_last_in_sync_may_be_stopped_and_leads_again() {
    let mut cluster = Cluster::new(2, 1);
    cluster.carry_all();
    cluster.stop(1);
    let alone = cluster.produce(0, Acks::All);
    cluster.carry_all();
    assert!(cluster.answers[&alone].is_ok(), "whoever is fenced off is not waited for, though it had everything");
    cluster.stop(0);
    assert_eq!(cluster.leader(), None, "nobody else has everything");
    cluster.restart(1).run(secs(20));
    assert_eq!(cluster.leader(), None, "it was not in sync");
    cluster.restart(0).run(secs(1));
    assert_eq!(cluster.leader(), Some(0));
    cluster.run(secs(20));
    assert_eq!((cluster.contents(0), cluster.contents(1)), (vec![0], vec![0]));
}

/// What a seed does to three nodes: records are sent to whoever is there, messages are carried in any order that
/// connections allow, nodes go down like this and are started again.
fn wreck(cluster: &mut Cluster, seed: u64, kinds: &[Crash], at_any_time: impl Fn(&Cluster)) {
    let mut chance = Generator::new(seed, "wreck");
    let mut below = |bound: usize| chance.below(bound as u64) as usize;
    let mut up = [true; 3];
    for _ in 0..400 {
        match below(20) {
            0 => {
                let index = below(3);
                match up[index] {
                    true => cluster.crash(index, kinds[below(kinds.len())]),
                    false => cluster.restart(index),
                };
                up[index] = !up[index];
            }
            1..=3 => {
                cluster.now += secs(1 + below(4) as u64);
                cluster.wake();
            }
            4..=6 => {
                let (to, acks) = (below(3), if below(3) == 0 { Acks::Leader } else { Acks::All });
                if up[to] {
                    cluster.produce(to, acks);
                }
            }
            _ => {
                let busy = cluster.busy();
                if !busy.is_empty() {
                    cluster.carry(busy[below(busy.len())]);
                }
            }
        }
        at_any_time(cluster);
    }
    for index in (0..3).filter(|index| !up[*index]) {
        cluster.restart(index);
    }
    cluster.run(secs(120));
    let leader = cluster.leader().unwrap_or_else(|| panic!("seed {seed}: everybody is back, and nobody leads"));
    let last = cluster.produce(leader, Acks::All);
    cluster.run(secs(120));
    assert_eq!(cluster.in_sync(), [0, 1, 2], "seed {seed}");
    assert!(cluster.answers.get(&last).is_some_and(Result::is_ok), "seed {seed}");
}

/// Up to where readers were shown, all copies hold the same.
fn show_the_same(cluster: &Cluster, seed: u64) {
    let nodes: Vec<usize> = (0..3).filter(|index| cluster.node(*index).is_some()).collect();
    for pair in nodes.windows(2) {
        let shown = pair.iter().map(|index| cluster.marks(*index).1).min().expect("there are two") as usize;
        let [one, other] = [pair[0], pair[1]].map(|index| cluster.contents(index)[..shown].to_vec());
        assert_eq!(one, other, "seed {seed}: nodes {pair:?} differ in what readers may see");
    }
}

/// All copies hold what the story says. Tells the records.
fn agrees(cluster: &Cluster, seed: u64) -> Vec<u64> {
    let mut story = Vec::new();
    for event in &cluster.seen.0 {
        match *event {
            Event::Stored { offset, message, .. } => {
                assert_eq!(offset.get(), story.len() as u64, "seed {seed}: offsets are given out without a gap");
                story.push(message.get());
            }
            Event::LeaderElected { end, .. } => story.truncate(end.get() as usize),
            _ => {}
        }
    }
    for index in 0..3 {
        assert_eq!(cluster.contents(index), story, "seed {seed}: node {index} has something else");
    }
    story
}

#[test]
fn nothing_that_enough_replicas_have_is_lost_with_processes() {
    for seed in 0..500 {
        let mut cluster = Cluster::new(3, 2);
        wreck(&mut cluster, seed, &[Crash::Process], |cluster| show_the_same(cluster, seed));
        let records = agrees(&cluster, seed);
        let confirmed = cluster.answers.iter().filter(|(_, result)| result.is_ok()).map(|(number, _)| *number);
        for number in confirmed.filter(|number| !cluster.careless.contains(number)) {
            // Nobody has sent anything twice.
            let copies = records.iter().filter(|own| **own == u64::from(number)).count();
            assert_eq!(copies, 1, "seed {seed}: record {number} was confirmed");
        }
    }
}

#[test]
fn copies_agree_in_the_end_whatever_was_lost() {
    for seed in 0..500 {
        let mut cluster = Cluster::new(3, 1).with_unclean_elections();
        wreck(&mut cluster, seed, &[Crash::Process, Crash::Power, Crash::Disk], |_| ());
        agrees(&cluster, seed);
    }
}
