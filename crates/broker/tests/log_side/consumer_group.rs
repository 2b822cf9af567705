//! The coordinator of the newer protocol: the way of members to their target, epochs, static members, and every short
//! history of two members and three partitions.

use std::sync::Arc;

use brokerlab_broker::assignor::ServerAssignor;
use brokerlab_broker::group::{ConsumerGroup, GroupAnswer, GroupTimes, JOIN, LEAVE, LEAVE_STATIC};
use brokerlab_broker::message::{GroupError, Member, MemberMetadata};
use brokerlab_event::{ClientId, Duration, Offset, StoreId, Time};

use crate::rig::secs;

const TIMES: GroupTimes = GroupTimes {
    session: secs(10),
    rebalance: secs(30),
    initial_delay: Duration::ZERO,
    offsets_retention: secs(604_800),
};

fn at(secs: u64) -> Time {
    Time::ZERO + Duration::from_secs(secs)
}

fn member(number: u32, incarnation: u32) -> Member {
    Member { client: ClientId::new(number), incarnation }
}

fn stores(numbers: &[u32]) -> Vec<StoreId> {
    numbers.iter().copied().map(StoreId::new).collect()
}

fn metadata(number: u32, is_static: bool) -> Arc<MemberMetadata> {
    let name: Arc<str> = format!("m{number}").into();
    let instance = is_static.then(|| Arc::clone(&name));
    Arc::new(MemberMetadata { name, instance, assignors: Vec::new(), owned: Vec::new(), generation: None })
}

fn group() -> ConsumerGroup {
    let topics: Arc<[Vec<StoreId>]> = Arc::from([stores(&[0, 1, 2])]);
    ConsumerGroup::new(TIMES, ServerAssignor::Uniform, topics)
}

type Beaten = Result<(u32, Option<Vec<StoreId>>), GroupError>;

/// Sends a heartbeat; the answer, and whether a rebalance began or ended.
fn beat(
    group: &mut ConsumerGroup,
    now: Time,
    member: Member,
    epoch: i32,
    metadata: Option<Arc<MemberMetadata>>,
    owned: Option<&[u32]>,
) -> (Option<Beaten>, Vec<&'static str>) {
    let mut answers = Vec::new();
    let owned = owned.map(stores);
    group.heartbeat(now, member, epoch, metadata, owned.as_deref(), &mut answers);
    let (mut beaten, mut told) = (None, Vec::new());
    for answer in answers {
        match answer {
            GroupAnswer::Beaten { result, .. } => beaten = Some(result),
            GroupAnswer::Started { .. } => told.push("started"),
            GroupAnswer::Completed { .. } => told.push("completed"),
            other => panic!("{other:?} belongs to the classic protocol"),
        }
    }
    (beaten, told)
}

fn given(epoch: u32, share: &[u32]) -> Option<Beaten> {
    Some(Ok((epoch, Some(stores(share)))))
}

#[test]
fn a_partition_moves_only_after_it_was_given_up() {
    let mut group = group();
    let (one, two) = (member(1, 1), member(2, 1));
    assert_eq!(beat(&mut group, at(0), one, JOIN, Some(metadata(1, false)), None), (given(1, &[0, 1, 2]), vec![]));
    // The second one waits for what the first has to give up; the first goes on with the rest.
    let joined = beat(&mut group, at(1), two, JOIN, Some(metadata(2, false)), None);
    assert_eq!(joined, (given(2, &[]), vec!["started"]));
    assert_eq!(beat(&mut group, at(2), one, 1, None, None), (given(1, &[0, 1]), vec![]));
    assert_eq!(group.holder(StoreId::new(2)), Some(one));
    assert_eq!(beat(&mut group, at(3), two, 2, None, None), (Some(Ok((2, None))), vec![]));
    assert_eq!(beat(&mut group, at(4), one, 1, None, Some(&[0, 1])).0, given(2, &[0, 1]));
    assert_eq!(beat(&mut group, at(5), two, 2, None, None), (given(2, &[2]), vec!["completed"]));
    assert!(group.is_stable());
    // What leaves is free at once.
    assert_eq!(beat(&mut group, at(6), two, LEAVE, None, None), (None, vec!["started"]));
    assert_eq!(beat(&mut group, at(7), one, 2, None, None), (given(3, &[0, 1, 2]), vec!["completed"]));
}

#[test]
fn epochs_fence() {
    let mut group = group();
    let one = member(1, 1);
    beat(&mut group, at(0), one, JOIN, Some(metadata(1, false)), None);
    let fenced = |answer: (Option<Beaten>, Vec<&str>)| answer.0 == Some(Err(GroupError::FencedMemberEpoch));
    assert!(fenced(beat(&mut group, at(1), one, 7, None, None)));
    // An answer that was lost is forgiven, as long as it owns nothing that it was not given.
    assert_eq!(beat(&mut group, at(1), one, 0, None, Some(&[0])).0, given(1, &[0, 1, 2]));
    assert!(fenced(beat(&mut group, at(1), one, 0, None, None)));
    let offsets = [(StoreId::new(0), Offset::new(5))];
    assert_eq!(group.commit(one, 0, &offsets), Err(GroupError::StaleMemberEpoch));
    assert_eq!(group.commit(member(2, 1), 1, &offsets), Err(GroupError::UnknownMember));
    assert_eq!((group.commit(one, 1, &offsets), group.committed(StoreId::new(0))), (Ok(()), Some(Offset::new(5))));
    let mut answers = Vec::new();
    group.handle_timeout(at(11), &mut answers);
    assert_eq!(beat(&mut group, at(11), one, 1, None, None).0, Some(Err(GroupError::UnknownMember)));
    let group = ConsumerGroup::recover(at(20), group.crash());
    assert_eq!((group.epoch(), group.committed(StoreId::new(0))), (2, Some(Offset::new(5))));
    // Members stay what they were, and their sessions begin anew.
    let mut group = self::group();
    beat(&mut group, at(0), one, JOIN, Some(metadata(1, false)), None);
    let mut group = ConsumerGroup::recover(at(100), group.crash());
    group.handle_timeout(at(101), &mut answers);
    assert_eq!(beat(&mut group, at(101), one, 1, None, None), (Some(Ok((1, None))), vec![]));
}

#[test]
fn a_static_member_that_left_comes_back_to_what_it_had() {
    let mut group = group();
    let (old, new, two) = (member(1, 1), member(1, 2), member(2, 1));
    beat(&mut group, at(0), old, JOIN, Some(metadata(1, true)), None);
    beat(&mut group, at(0), two, JOIN, Some(metadata(2, false)), None);
    beat(&mut group, at(1), old, 1, None, None);
    beat(&mut group, at(1), old, 1, None, Some(&[0, 1]));
    assert_eq!(beat(&mut group, at(1), two, 2, None, None), (given(2, &[2]), vec!["completed"]));
    let again = beat(&mut group, at(2), new, JOIN, Some(metadata(1, true)), None);
    assert_eq!(again.0, Some(Err(GroupError::UnreleasedInstance)), "the other is alive as far as anybody knows");
    assert_eq!(beat(&mut group, at(3), old, LEAVE_STATIC, None, None), (None, vec![]));
    let again = beat(&mut group, at(4), new, JOIN, Some(metadata(1, true)), None);
    assert_eq!(again, (given(2, &[0, 1]), vec![]), "and nobody else notices");
    assert_eq!(beat(&mut group, at(5), old, 2, None, None).0, Some(Err(GroupError::FencedInstance)));
    assert_eq!(beat(&mut group, at(5), two, 2, None, None), (Some(Ok((2, None))), vec![]));
}

#[test]
fn who_does_not_give_up_in_time_is_removed() {
    let mut group = group();
    let (one, two) = (member(1, 1), member(2, 1));
    beat(&mut group, at(0), one, JOIN, Some(metadata(1, false)), None);
    beat(&mut group, at(1), two, JOIN, Some(metadata(2, false)), None);
    for second in (2..32).step_by(5) {
        beat(&mut group, at(second), one, 1, None, None);
        beat(&mut group, at(second), two, 2, None, None);
    }
    let mut answers = Vec::new();
    group.handle_timeout(at(32), &mut answers);
    assert_eq!(group.members().collect::<Vec<_>>(), [two]);
    assert_eq!(beat(&mut group, at(33), two, 2, None, None), (given(3, &[0, 1, 2]), vec!["completed"]));
}

/// What a member believes.
#[derive(Clone, Default)]
struct Belief {
    incarnation: u32,
    epoch: Option<u32>,
    owned: Vec<StoreId>,
    /// What it was told to own, before it has acted on that.
    assignment: Option<Vec<StoreId>>,
}

/// Every short history of two members and the clock.
#[derive(Clone)]
struct History {
    group: ConsumerGroup,
    now: Time,
    beliefs: [Belief; 2],
    path: Vec<(&'static str, usize)>,
}

const STEPS: [&str; 6] = ["join", "beat", "act", "commit", "crash", "leave"];

impl History {
    fn allows(&self, step: &str, index: usize) -> bool {
        let belief = &self.beliefs[index];
        match step {
            "join" => belief.epoch.is_none(),
            "act" => belief.assignment.is_some(),
            _ => belief.epoch.is_some(),
        }
    }

    fn take(&mut self, step: &'static str, index: usize) {
        self.path.push((step, index));
        let number = index as u32 + 1;
        let Belief { incarnation, epoch, .. } = self.beliefs[index];
        match step {
            "join" => {
                self.beliefs[index].incarnation += 1;
                self.say(index, JOIN, Some(metadata(number, false)), None);
            }
            "beat" => self.say(index, epoch.expect("it is in") as i32, None, None),
            "act" => {
                let share = self.beliefs[index].assignment.take().expect("it has been told");
                self.beliefs[index].owned.clone_from(&share);
                self.say(index, epoch.expect("it is in") as i32, None, Some(share));
            }
            "commit" => {
                // One of the generation before is refused, whatever has happened.
                let (member, epoch) = (member(number, incarnation), epoch.expect("it is in"));
                let offsets = [(StoreId::new(0), Offset::new(u64::from(number)))];
                let stale = self.group.commit(member, epoch + 1, &offsets);
                assert!(stale.is_err(), "{:?}", self.path);
                let before = self.group.committed(StoreId::new(0));
                if self.group.commit(member, epoch, &offsets).is_err() {
                    assert_eq!(self.group.committed(StoreId::new(0)), before, "{:?}", self.path);
                }
            }
            "crash" => self.beliefs[index] = Belief { incarnation, ..Belief::default() },
            "leave" => {
                self.say(index, LEAVE, None, None);
                self.beliefs[index] = Belief { incarnation, ..Belief::default() };
            }
            "second" => self.now += secs(4),
            _ => self.now += secs(11),
        }
        let mut answers = Vec::new();
        self.group.handle_timeout(self.now, &mut answers);
        self.check();
    }

    fn say(&mut self, index: usize, epoch: i32, metadata: Option<Arc<MemberMetadata>>, owned: Option<Vec<StoreId>>) {
        let own = member(index as u32 + 1, self.beliefs[index].incarnation);
        let mut answers = Vec::new();
        self.group.heartbeat(self.now, own, epoch, metadata, owned.as_deref(), &mut answers);
        for answer in answers {
            let belief = &mut self.beliefs[index];
            match answer {
                GroupAnswer::Beaten { result: Ok((epoch, assignment)), .. } => {
                    belief.epoch = Some(epoch);
                    belief.assignment = assignment.or(belief.assignment.take());
                }
                GroupAnswer::Beaten { result: Err(_), .. } => {
                    *belief = Belief { incarnation: belief.incarnation, ..Belief::default() };
                }
                _ => {}
            }
        }
    }

    /// Whatever members that the coordinator knows own, the coordinator believes that it is theirs: so a partition has
    /// at most one owner.
    fn check(&self) {
        let known: Vec<Member> = self.group.members().collect();
        for (index, belief) in self.beliefs.iter().enumerate() {
            let own = member(index as u32 + 1, belief.incarnation);
            for store in belief.owned.iter().filter(|_| known.contains(&own)) {
                assert_eq!(self.group.holder(*store), Some(own), "{store:?} after {:?}", self.path);
            }
        }
    }

    /// From here on everybody does what it should: each partition gets exactly one owner.
    fn settle(mut self) {
        for _ in 0..8 {
            for index in 0..2 {
                for step in ["join", "beat", "act"] {
                    if self.allows(step, index) {
                        self.take(step, index);
                    }
                }
            }
            self.take("second", 0);
        }
        assert!(self.group.is_stable(), "{:?}", self.path);
        let mut owned: Vec<StoreId> = self.beliefs.iter().flat_map(|belief| belief.owned.clone()).collect();
        owned.sort_unstable();
        assert_eq!(owned, stores(&[0, 1, 2]), "{:?}", self.path);
    }
}

#[test]
fn no_short_history_gives_a_partition_two_owners_or_leaves_it_without() {
    fn explore(history: &History, depth: u32, count: &mut u64) {
        if depth == 0 {
            *count += 1;
            return history.clone().settle();
        }
        let mut step = |step, index| {
            let mut next = history.clone();
            next.take(step, index);
            explore(&next, depth - 1, count);
        };
        step("second", 0);
        step("session", 0);
        for index in 0..2 {
            for name in STEPS.iter().filter(|name| history.allows(name, index)) {
                step(name, index);
            }
        }
    }
    let beginning = History { group: group(), now: Time::ZERO, beliefs: Default::default(), path: Vec::new() };
    let mut count = 0;
    explore(&beginning, 5, &mut count);
    assert!(count > 5_000, "only {count} histories");
}
