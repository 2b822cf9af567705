//! Offsets of groups in transactions: what was read and what was sent because of it count together, or not at all.

use std::sync::Arc;

use brokerlab_broker::assignor::ServerAssignor;
use brokerlab_broker::config::{GroupConfig, GroupProtocol, TransactionVersion};
use brokerlab_broker::message::{GroupError, LogError, Member, MemberMetadata, Position, TransactionalCommitError};
use brokerlab_broker::transaction::Instance;
use brokerlab_broker::{Message, Node};
use brokerlab_event::{ApplicationId, ClientId, NodeId, Offset};

use crate::rig::secs;
use crate::transactions::{ID, Rig, client, rig, store};

fn group() -> ApplicationId {
    ApplicationId::new(0)
}

fn member(client: u32) -> Member {
    Member { client: ClientId::new(client), incarnation: 1 }
}

/// A node with a group that reads both partitions.
fn rig_with_group(version: TransactionVersion) -> Rig {
    let mut rig = rig(version);
    rig.deployment.groups = vec![GroupConfig {
        application: group(),
        node: NodeId::new(0),
        partitions: vec![store(0), store(1)],
        session_timeout: secs(45),
        rebalance_timeout: secs(300),
        initial_rebalance_delay: secs(0),
        offsets_retention: secs(7 * 86_400),
        protocol: GroupProtocol::Consumer(ServerAssignor::Uniform),
    }];
    rig.node = Node::new(NodeId::new(0), &rig.deployment);
    rig
}

/// A member joins; its epoch.
fn join(rig: &mut Rig) -> u32 {
    let metadata = MemberMetadata {
        name: Arc::from("reader/1"),
        instance: None,
        assignors: Vec::new(),
        owned: Vec::new(),
        generation: None,
    };
    beat(rig, 0, Some(Arc::new(metadata))).expect("it may join")
}

fn beat(rig: &mut Rig, epoch: i32, metadata: Option<Arc<MemberMetadata>>) -> Result<u32, GroupError> {
    let (group, member, owned) = (group(), member(client().get()), Some(Vec::new()).filter(|_| epoch == 0));
    match rig.ask(Message::GroupHeartbeat { group, member, epoch, metadata, owned }) {
        Message::GroupHeartbeatAnswer { result, .. } => result.map(|(epoch, _)| epoch),
        other => panic!("{other:?}"),
    }
}

fn commit(rig: &mut Rig, producer: Instance, generation: u32, offset: u64) -> Result<(), TransactionalCommitError> {
    let (correlation, transactional, group, member) = (0, ID, group(), member(client().get()));
    let offsets = vec![(store(0), Offset::new(offset))];
    let request = Message::CommitOffsetsInTransaction {
        correlation,
        transactional,
        producer,
        group,
        member,
        generation,
        offsets,
    };
    match rig.ask(request) {
        Message::OffsetsCommittedInTransaction { result, .. } => result,
        other => panic!("{other:?}"),
    }
}

/// What the group has committed in the first partition, and whether a transaction may change it.
fn committed(rig: &mut Rig) -> (Option<u64>, bool) {
    match rig.ask(Message::FindPositions { group: group(), stores: vec![store(0)], time: None }) {
        Message::Positions { positions, .. } => {
            let Position { committed, is_unstable, .. } = positions[0];
            (committed.map(Offset::get), is_unstable)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn offsets_count_with_the_transaction_or_not_at_all() {
    for version in [TransactionVersion::V1, TransactionVersion::V2] {
        for commits in [true, false] {
            let mut rig = rig_with_group(version);
            let generation = join(&mut rig);
            let producer = rig.init(None).unwrap();
            if version == TransactionVersion::V1 {
                let early = commit(&mut rig, producer, generation, 5);
                assert_eq!(early, Err(TransactionalCommitError::Producer(LogError::InvalidTransactionState)));
                let (correlation, transactional, group) = (0, ID, group());
                let request = Message::AddOffsetsToTransaction { correlation, transactional, producer, group };
                assert!(matches!(rig.ask(request), Message::PartitionsAdded { result: Ok(()), .. }));
            }
            assert_eq!(commit(&mut rig, producer, generation, 5), Ok(()));
            assert_eq!(commit(&mut rig, producer, generation, 7), Ok(()), "the last one counts");
            assert_eq!(committed(&mut rig), (None, true), "{version:?}: nobody knows before the transaction ends");
            // Neither is forgotten when the node goes down.
            rig.crash();
            assert_eq!(committed(&mut rig), (None, true));
            rig.end(producer, commits).unwrap();
            assert_eq!(committed(&mut rig), (commits.then_some(7), false), "{version:?}");
        }
    }
}

#[test]
fn who_is_no_member_any_more_must_not_say_how_far_was_read() {
    let mut rig = rig_with_group(TransactionVersion::V2);
    let generation = join(&mut rig);
    let producer = rig.init(None).unwrap();
    let stale = commit(&mut rig, producer, generation + 1, 5);
    assert_eq!(stale, Err(TransactionalCommitError::Group(GroupError::StaleMemberEpoch)));
    rig.wait(secs(46));
    let gone = commit(&mut rig, producer, generation, 5);
    assert!(matches!(gone, Err(TransactionalCommitError::Group(_))), "its session is over: {gone:?}");
    assert_eq!(committed(&mut rig), (None, false));
}

#[test]
fn a_producer_that_was_shut_out_must_not_either() {
    let mut rig = rig_with_group(TransactionVersion::V2);
    let generation = join(&mut rig);
    let old = rig.init(None).unwrap();
    assert_eq!(commit(&mut rig, old, generation, 5), Ok(()));
    // Its successor aborts what it left open.
    let new = rig.init(None).or_else(|_| rig.init(None)).unwrap();
    assert_eq!(committed(&mut rig), (None, false));
    let late = commit(&mut rig, old, generation, 6);
    assert_eq!(late, Err(TransactionalCommitError::Producer(LogError::ProducerFenced)));
    assert_eq!(commit(&mut rig, new, generation, 9), Ok(()));
    rig.end(new, true).unwrap();
    assert_eq!(committed(&mut rig), (Some(9), false));
}

#[test]
fn offsets_of_a_transaction_that_takes_too_long_are_dropped() {
    let mut rig = rig_with_group(TransactionVersion::V2);
    let generation = join(&mut rig);
    let producer = rig.init(None).unwrap();
    assert_eq!(commit(&mut rig, producer, generation, 5), Ok(()));
    for _ in 0..7 {
        rig.wait(secs(10));
        assert_eq!(beat(&mut rig, generation as i32, None), Ok(generation));
    }
    assert_eq!(committed(&mut rig), (None, false));
    assert_eq!(rig.end(producer, true), Err(LogError::ProducerFenced));
}
