//! Partitions that are added to a topic in use: who hears of them when, and what becomes of records meanwhile.

use brokerlab_broker::Node;
use brokerlab_broker::assignor::ServerAssignor;
use brokerlab_broker::config::{GroupProtocol, OffsetReset};
use brokerlab_broker::log::Crash;
use brokerlab_event::{ClientId, Event, KeyId};

use crate::rig::{Plan, Rig, ms, secs};

/// Two partitions, two members, and a look at the metadata every 20 s.
fn plan() -> Plan {
    let mut plan = Plan { work: ms(10), ..Plan::default() };
    plan.member.metadata_max_age = Some(secs(20));
    plan
}

/// Where the records of four keys are stored that are offered now.
fn offer_four(rig: &mut Rig) -> Vec<u32> {
    let before = rig.events.len();
    (0..4).for_each(|key| rig.offer_with(KeyId::new(key), 100));
    rig.run(ms(1));
    let stored = rig.events.records()[before..].iter().filter_map(|record| match record.event() {
        Event::Stored { store, .. } => Some(store.get()),
        _ => None,
    });
    stored.collect()
}

/// Who was given each of four partitions last, and when.
fn owners(rig: &Rig) -> Vec<Option<(u64, ClientId)>> {
    let mut owners = vec![None; 4];
    for record in rig.events.records() {
        if let Event::Assigned { consumer, store, .. } = record.event() {
            owners[store.index()] = Some((record.time.as_nanos() / 1_000_000_000, consumer));
        }
    }
    owners
}

#[test]
fn the_producer_and_the_leader_hear_of_partitions_with_their_next_look() {
    let mut rig = plan().rig();
    rig.start(1).start(2).run(secs(8)).add_partitions(2..4).run(secs(11));
    assert_eq!(rig.count("PartitionAdded"), 2);
    assert_eq!(offer_four(&mut rig), [0, 1, 0, 1], "nobody has looked since");
    assert_eq!(rig.count("RebalanceStarted"), 1);
    rig.run(secs(4));
    assert_eq!(offer_four(&mut rig), [0, 1, 2, 3], "with four partitions the keys 2 and 3 have others");
    rig.run(secs(2));
    assert_eq!(rig.count("RebalanceCompleted"), 2);
    let owners = owners(&rig);
    assert!(owners.iter().all(|owner| owner.is_some_and(|(at, _)| (20..24).contains(&at))), "{owners:?}");
    assert_eq!(owners[0].map(|own| own.1), owners[1].map(|own| own.1), "range deals neighbours to one");
    assert_ne!(owners[0].map(|own| own.1), owners[2].map(|own| own.1));
    assert_eq!(rig.processed(), [1; 8]);
}

#[test]
fn a_coordinator_that_assigns_gives_new_partitions_out_with_the_next_heartbeats() {
    let mut plan = plan();
    plan.protocol = GroupProtocol::Consumer(ServerAssignor::Uniform);
    plan.member.assignors = Vec::new();
    let mut rig = plan.rig();
    rig.start(1).start(2).run(secs(8));
    let before = owners(&rig);
    rig.add_partitions(2..4).run(secs(2));
    let after = owners(&rig);
    assert_eq!(after[..2], before[..2], "what does not move is kept");
    assert!(after[2..].iter().all(|owner| owner.is_some_and(|(at, _)| (8..10).contains(&at))), "{after:?}");
    assert_ne!(after[2].map(|own| own.1), after[3].map(|own| own.1));
}

#[test]
fn what_is_written_before_the_group_has_heard_is_read_only_from_the_earliest() {
    for (reset, expected) in [(OffsetReset::Earliest, [1, 1, 1, 1]), (OffsetReset::Latest, [1, 1, 0, 0])] {
        let mut plan = plan();
        plan.member.reset = reset;
        let mut rig = plan.rig();
        // The producer looks at 20 s, the members at 25 s.
        rig.run(secs(5)).start(1).start(2).run(secs(10)).add_partitions(2..4).run(secs(6));
        assert_eq!(offer_four(&mut rig), [0, 1, 2, 3]);
        rig.run(secs(10));
        assert_eq!(rig.processed(), expected, "{reset:?}");
    }
}

#[test]
fn added_partitions_are_there_again_when_the_node_comes_back() {
    let plan = plan();
    let mut rig = plan.rig();
    rig.start(1).start(2).run(secs(8)).add_partitions(2..4).run(secs(15));
    assert_eq!(offer_four(&mut rig), [0, 1, 2, 3]);
    let node = rig.nodes.remove(0);
    rig.nodes.push(Node::recover(rig.now, node.crash(rig.now, Crash::Process, &mut ()), &plan.deployment()));
    assert_eq!(offer_four(&mut rig), [0, 1, 2, 3]);
    let stored = rig.events.records().iter().filter_map(|record| match record.event() {
        Event::Stored { offset, .. } => Some(offset.get()),
        _ => None,
    });
    assert_eq!(stored.collect::<Vec<_>>(), [0, 0, 0, 0, 1, 1, 1, 1], "behind what they had before");
    rig.run(secs(20));
    assert!(rig.processed().iter().all(|count| *count >= 1), "{:?}", rig.processed());
}
