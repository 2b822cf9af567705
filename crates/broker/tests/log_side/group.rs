//! The coordinator of a group: what it answers in each state, and every short history of two members.

use std::sync::Arc;

use brokerlab_broker::assignor::Assignor;
use brokerlab_broker::group::{Group, GroupAnswer, GroupState, GroupTimes};
use brokerlab_broker::message::{GroupError, Member, MemberMetadata};
use brokerlab_event::{ClientId, Duration, Offset, StoreId, Time};

use crate::rig::secs;

const TIMES: GroupTimes =
    GroupTimes { session: secs(10), rebalance: secs(60), initial_delay: secs(3), offsets_retention: secs(604_800) };

fn at(secs: u64) -> Time {
    Time::ZERO + Duration::from_secs(secs)
}

fn member(number: u32) -> Member {
    Member { client: ClientId::new(number), incarnation: 1 }
}

fn stores(numbers: &[u32]) -> Vec<StoreId> {
    numbers.iter().copied().map(StoreId::new).collect()
}

fn metadata(number: u32) -> Arc<MemberMetadata> {
    let name = format!("m{number}-1").into();
    let assignors = vec![Assignor::Range];
    Arc::new(MemberMetadata { name, instance: None, assignors, owned: Vec::new(), generation: None })
}

/// A group with what it has said since it was last asked.
#[derive(Clone)]
struct Desk {
    group: Group,
    answers: Vec<GroupAnswer>,
}

impl Desk {
    fn new(times: GroupTimes) -> Desk {
        Desk { group: Group::new(times), answers: Vec::new() }
    }

    fn join(&mut self, now: Time, number: u32) -> &mut Desk {
        self.group.join(now, member(number), metadata(number), &mut self.answers);
        self
    }

    fn sync(&mut self, now: Time, number: u32, generation: u32, shares: &[(u32, &[u32])]) -> &mut Desk {
        let assignment = shares.iter().map(|(number, share)| (member(*number), stores(share))).collect();
        self.group.sync(now, member(number), generation, assignment, &mut self.answers);
        self
    }

    fn leave(&mut self, now: Time, number: u32) -> &mut Desk {
        self.group.leave(now, member(number), &mut self.answers);
        self
    }

    fn tick(&mut self, now: Time) -> &mut Desk {
        self.group.handle_timeout(now, &mut self.answers);
        self
    }

    /// What it has said, briefly.
    fn said(&mut self) -> String {
        let say = |answer: GroupAnswer| match answer {
            GroupAnswer::Joined { member, generation, members, .. } => {
                let members: Vec<u32> = members.iter().map(|(member, _)| member.client.get()).collect();
                format!("joined {} g{generation} {members:?}", member.client.get())
            }
            GroupAnswer::Synced { member, result: Ok(share), .. } => {
                format!("synced {} {:?}", member.client.get(), share.iter().map(|s| s.get()).collect::<Vec<_>>())
            }
            GroupAnswer::Synced { member, result: Err(error), .. } => {
                format!("synced {} {error:?}", member.client.get())
            }
            GroupAnswer::Refused { member, error } => format!("refused {} {error:?}", member.client.get()),
            GroupAnswer::Beaten { .. } => panic!("that is the other protocol"),
            GroupAnswer::Started { generation } => format!("started g{generation}"),
            GroupAnswer::Completed { generation, members } => format!("completed g{generation} of {members}"),
            GroupAnswer::OffsetsForgotten => "offsets forgotten".to_string(),
        };
        self.answers.drain(..).map(say).collect::<Vec<_>>().join(", ")
    }

    /// Two members that have their shares since the third second: generation 1.
    fn stable() -> Desk {
        let mut desk = Desk::new(TIMES);
        desk.join(at(0), 1).join(at(0), 2).tick(at(3)).tick(at(6));
        desk.sync(at(6), 2, 1, &[]).sync(at(6), 1, 1, &[(1, &[0]), (2, &[1])]);
        assert_eq!(desk.group.state(), GroupState::Stable);
        desk.answers.clear();
        desk
    }

    fn preparing() -> Desk {
        let mut desk = Desk::stable();
        desk.join(at(7), 3);
        assert_eq!((desk.group.state(), desk.said().as_str()), (GroupState::PreparingRebalance, "started g1"));
        desk
    }

    fn completing() -> Desk {
        let mut desk = Desk::preparing();
        desk.join(at(7), 1).join(at(7), 2);
        assert_eq!(desk.group.state(), GroupState::CompletingRebalance);
        desk.answers.clear();
        desk
    }
}

#[test]
fn the_first_rebalance_waits_in_turns_for_as_long_as_somebody_joins() {
    let mut desk = Desk::new(GroupTimes { rebalance: secs(8), ..TIMES });
    desk.join(at(0), 1);
    assert_eq!(desk.group.next_timeout(), Some(at(3)));
    desk.join(at(2), 2).tick(at(3));
    assert_eq!((desk.said().as_str(), desk.group.next_timeout()), ("started g0", Some(at(6))));
    desk.join(at(5), 3).tick(at(6));
    // The third turn ends with the rebalance timeout, whoever joins meanwhile.
    assert_eq!((desk.said().as_str(), desk.group.next_timeout()), ("", Some(at(8))));
    desk.join(at(7), 4).tick(at(8));
    assert_eq!(desk.said(), "joined 1 g1 [1, 2, 3, 4], joined 2 g1 [], joined 3 g1 [], joined 4 g1 []");
}

#[test]
fn what_a_request_does_in_each_state() {
    type Start = fn() -> Desk;
    type Step = fn(&mut Desk) -> &mut Desk;
    let (stable, preparing, completing): (Start, Start, Start) = (Desk::stable, Desk::preparing, Desk::completing);
    let cases: [(&str, Start, Step, GroupState, &str); 16] = [
        // A new member starts a rebalance, or joins the one that is being prepared.
        ("new", stable, |d| d.join(at(8), 4), GroupState::PreparingRebalance, "started g1"),
        ("new", preparing, |d| d.join(at(8), 4), GroupState::PreparingRebalance, ""),
        ("new", completing, |d| d.join(at(8), 4), GroupState::PreparingRebalance, "started g2"),
        // A member that asks again for nothing new gets the same answer; a leader that joins again rebalances.
        ("again", stable, |d| d.join(at(8), 2), GroupState::Stable, "joined 2 g1 []"),
        ("leader", stable, |d| d.join(at(8), 1), GroupState::PreparingRebalance, "started g1"),
        ("again", completing, |d| d.join(at(8), 2), GroupState::CompletingRebalance, "joined 2 g2 []"),
        ("leader", completing, |d| d.join(at(8), 1), GroupState::CompletingRebalance, "joined 1 g2 [1, 2, 3]"),
        // Shares.
        ("sync", stable, |d| d.sync(at(8), 2, 1, &[]), GroupState::Stable, "synced 2 [1]"),
        ("old", stable, |d| d.sync(at(8), 2, 0, &[]), GroupState::Stable, "synced 2 IllegalGeneration"),
        ("who", stable, |d| d.sync(at(8), 9, 1, &[]), GroupState::Stable, "synced 9 UnknownMember"),
        (
            "sync",
            preparing,
            |d| d.sync(at(8), 2, 1, &[]),
            GroupState::PreparingRebalance,
            "synced 2 RebalanceInProgress",
        ),
        (
            "early and late",
            completing,
            |d| d.sync(at(8), 2, 2, &[]).sync(at(8), 1, 2, &[(2, &[0, 1])]).sync(at(8), 3, 2, &[]),
            GroupState::Stable,
            "completed g2 of 3, synced 1 [], synced 2 [0, 1], synced 3 []",
        ),
        // Whoever waits for a share when the rebalance begins anew is told to join again.
        (
            "interrupted",
            completing,
            |d| d.sync(at(8), 2, 2, &[]).leave(at(8), 3),
            GroupState::PreparingRebalance,
            "synced 2 RebalanceInProgress, started g2",
        ),
        // Leaving; the last one that was waited for.
        (
            "leave",
            preparing,
            |d| d.join(at(8), 1).leave(at(8), 2),
            GroupState::CompletingRebalance,
            "joined 1 g2 [1, 3], joined 3 g2 []",
        ),
        // The session of one that does not join again ends: nobody waits until the rebalance timeout for it.
        (
            "silent",
            preparing,
            |d| d.join(at(8), 1).tick(at(16)),
            GroupState::CompletingRebalance,
            "joined 1 g2 [1, 3], joined 3 g2 []",
        ),
        ("silence", stable, |d| d.tick(at(16)), GroupState::Empty, "started g1, completed g2 of 0"),
    ];
    for (name, start, step, state, said) in cases {
        let mut desk = start();
        let from = desk.group.state();
        step(&mut desk);
        assert_eq!((desk.group.state(), desk.said().as_str()), (state, said), "{name} in {from:?}");
    }
}

#[test]
fn heartbeats_and_commits_are_answered_by_state_and_generation() {
    let offsets = [(StoreId::new(0), Offset::new(5))];
    type Answer = Result<(), GroupError>;
    let cases: [(Desk, u32, u32, Answer, Answer); 6] = [
        (Desk::stable(), 1, 1, Ok(()), Ok(())),
        (Desk::stable(), 1, 0, Err(GroupError::IllegalGeneration), Err(GroupError::IllegalGeneration)),
        (Desk::stable(), 9, 1, Err(GroupError::UnknownMember), Err(GroupError::UnknownMember)),
        // The generation that ends may still commit, until the next one is made.
        (Desk::preparing(), 1, 1, Err(GroupError::RebalanceInProgress), Ok(())),
        (Desk::completing(), 1, 2, Ok(()), Err(GroupError::RebalanceInProgress)),
        (Desk::completing(), 1, 1, Err(GroupError::IllegalGeneration), Err(GroupError::IllegalGeneration)),
    ];
    for (mut desk, number, generation, heartbeat, commit) in cases {
        let state = desk.group.state();
        assert_eq!(desk.group.heartbeat(at(8), member(number), generation), heartbeat, "{state:?}");
        assert_eq!(desk.group.commit(at(8), member(number), generation, &offsets), commit, "{state:?}");
        let stored = commit.is_ok().then_some(Offset::new(5));
        assert_eq!(desk.group.committed(StoreId::new(0)), stored, "{state:?}");
    }
}

#[test]
fn a_coordinator_that_comes_back_knows_the_group_as_it_was_when_it_was_stable_last() {
    let offsets = [(StoreId::new(0), Offset::new(5))];
    for mut desk in [Desk::stable(), Desk::preparing(), Desk::completing()] {
        let before = (desk.group.state(), desk.group.generation());
        let committed = desk.group.commit(at(8), member(1), 1, &offsets).is_ok();
        let mut group = Group::recover(at(100), desk.group.crash());
        assert_eq!((group.state(), group.generation()), (GroupState::Stable, 1), "{before:?}");
        assert_eq!(group.committed(StoreId::new(0)), committed.then_some(Offset::new(5)));
        // What was made of the group since is forgotten: whoever goes by it joins again.
        assert_eq!(group.heartbeat(at(101), member(1), 2), Err(GroupError::IllegalGeneration));
        assert_eq!(group.heartbeat(at(101), member(1), 1), Ok(()));
        let mut answers = Vec::new();
        group.sync(at(101), member(1), 1, Vec::new(), &mut answers);
        let [GroupAnswer::Synced { result: Ok(stores), .. }] = answers.as_slice() else { panic!("{answers:?}") };
        assert!(!stores.is_empty(), "it has what it had");
        // Sessions begin when the coordinator is back.
        group.handle_timeout(at(109), &mut answers);
        assert_eq!(group.heartbeat(at(109), member(1), 1), Ok(()));
    }
    let empty = Group::recover(at(8), Group::new(TIMES).crash());
    assert_eq!((empty.state(), empty.generation(), empty.next_timeout()), (GroupState::Empty, 0, None));
}

/// What a member believes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Belief {
    Out,
    Joining,
    Joined { generation: u32, leads: bool },
    Syncing { generation: u32, leads: bool },
    Reading { generation: u32 },
}

/// Every short history of two members and the clock, against what must always hold.
#[derive(Clone)]
struct History {
    desk: Desk,
    now: Time,
    beliefs: [Belief; 2],
    path: Vec<&'static str>,
}

impl History {
    fn steps(&self) -> Vec<(&'static str, usize)> {
        let mut steps = vec![("second", 0), ("session", 0)];
        for (index, belief) in self.beliefs.iter().enumerate() {
            match belief {
                Belief::Out => steps.push(("join", index)),
                Belief::Joining | Belief::Syncing { .. } => steps.push(("leave", index)),
                Belief::Joined { .. } => steps.extend([("sync", index), ("leave", index)]),
                Belief::Reading { .. } => steps.extend([("heartbeat", index), ("leave", index)]),
            }
        }
        steps
    }

    fn take(&mut self, step: &'static str, index: usize) {
        self.path.push(step);
        let number = index as u32 + 1;
        match (step, self.beliefs[index]) {
            ("second", _) => self.pass(secs(4)),
            ("session", _) => self.pass(secs(11)),
            ("join", _) => {
                self.beliefs[index] = Belief::Joining;
                self.desk.join(self.now, number);
            }
            ("leave", _) => {
                self.beliefs[index] = Belief::Out;
                self.desk.leave(self.now, number);
            }
            ("sync", Belief::Joined { generation, leads }) => {
                self.beliefs[index] = Belief::Syncing { generation, leads };
                let shares: &[(u32, &[u32])] = if leads { &[(1, &[0]), (2, &[1])] } else { &[] };
                self.desk.sync(self.now, number, generation, shares);
            }
            ("heartbeat", Belief::Reading { generation }) => {
                if self.desk.group.heartbeat(self.now, member(number), generation).is_err() {
                    self.beliefs[index] = Belief::Joining;
                    self.desk.join(self.now, number);
                }
            }
            other => panic!("no such step: {other:?}"),
        }
        self.hear();
        self.check();
    }

    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(next) = self.desk.group.next_timeout().filter(|next| *next <= until) {
            self.now = self.now.max(next);
            self.desk.tick(self.now);
            self.hear();
        }
        self.now = until;
    }

    /// Members take note of what they are told; nobody may be told what it does not wait for.
    fn hear(&mut self) {
        for answer in std::mem::take(&mut self.desk.answers) {
            match answer {
                GroupAnswer::Joined { member, generation, members, .. } => {
                    let belief = &mut self.beliefs[member.client.index() - 1];
                    assert_eq!(*belief, Belief::Joining, "{:?}", self.path);
                    *belief = Belief::Joined { generation, leads: !members.is_empty() };
                }
                GroupAnswer::Synced { member, generation, result } => {
                    let index = member.client.index() - 1;
                    let waits = matches!(self.beliefs[index], Belief::Syncing { generation: g, .. } if g == generation);
                    assert!(waits, "{:?}", self.path);
                    self.beliefs[index] = match result {
                        Ok(share) => {
                            assert_eq!(share, stores(&[index as u32]), "{:?}", self.path);
                            Belief::Reading { generation }
                        }
                        Err(_) => Belief::Joining,
                    };
                    if self.beliefs[index] == Belief::Joining {
                        self.desk.join(self.now, member.client.get());
                    }
                }
                GroupAnswer::Started { .. } | GroupAnswer::Completed { .. } | GroupAnswer::OffsetsForgotten => {}
                other => panic!("{other:?} after {:?}", self.path),
            }
        }
        if !self.desk.answers.is_empty() {
            self.hear();
        }
    }

    fn check(&self) {
        let group = &self.desk.group;
        let known: Vec<Member> = group.members().collect();
        for (index, belief) in self.beliefs.iter().enumerate() {
            let is_known = known.contains(&member(index as u32 + 1));
            let path = &self.path;
            match belief {
                Belief::Out => assert!(!is_known, "{path:?}"),
                // Whoever waits for an answer is remembered: it would wait for ever otherwise.
                Belief::Joining | Belief::Syncing { .. } => assert!(is_known, "{path:?}"),
                Belief::Joined { generation, .. } | Belief::Reading { generation } => {
                    assert!(*generation <= group.generation(), "{path:?}");
                }
            }
        }
        // The other way round does not hold: a first rebalance waits on, though its only member has left.
        assert!(group.state() != GroupState::Empty || known.is_empty(), "{:?}", self.path);
    }

    /// From here on everybody does what it should: the group must come to rest with both.
    fn settle(mut self) {
        for _ in 0..20 {
            for index in 0..2 {
                let step = match self.beliefs[index] {
                    Belief::Out => "join",
                    Belief::Joined { .. } => "sync",
                    Belief::Reading { .. } => "heartbeat",
                    Belief::Joining | Belief::Syncing { .. } => continue,
                };
                self.take(step, index);
            }
            self.pass(secs(4));
        }
        let generation = self.desk.group.generation();
        assert_eq!(self.beliefs, [Belief::Reading { generation }; 2], "{:?}", self.path);
        assert_eq!(self.desk.group.state(), GroupState::Stable, "{:?}", self.path);
    }
}

#[test]
fn no_short_history_of_two_members_leaves_anybody_waiting() {
    fn explore(history: &History, depth: u32, count: &mut u64) {
        if depth == 0 {
            *count += 1;
            return history.clone().settle();
        }
        for (step, index) in history.steps() {
            let mut next = history.clone();
            next.take(step, index);
            explore(&next, depth - 1, count);
        }
    }
    let beginning = History { desk: Desk::new(TIMES), now: Time::ZERO, beliefs: [Belief::Out; 2], path: Vec::new() };
    let mut count = 0;
    explore(&beginning, 7, &mut count);
    assert!(count > 10_000, "only {count} histories");
}
