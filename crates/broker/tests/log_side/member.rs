//! A member that is told one thing at a time: what it does with each answer, however the answers are ordered.

use brokerlab_broker::assignor::ServerAssignor;
use brokerlab_broker::client::GroupMember;
use brokerlab_broker::config::{CommitPolicy, GroupProtocol, OffsetReset};
use brokerlab_broker::message::{FetchPosition, FetchedPartition, GroupError, LogError, Member, Position};
use brokerlab_broker::{Address, Effect, Envelope, Message, Outbox};
use brokerlab_event::{ApplicationId, ClientId, Event, EventLog, KeyId, MessageId, Offset, StoreId, Time};

use crate::rig::{Plan, ms};

/// Request, epoch, and partitions with their offsets.
type Commit = (u32, u32, Vec<(StoreId, Offset)>);

const ME: fn() -> Member = || Member { client: ClientId::new(1), incarnation: 1 };

/// A member of a group in which the broker assigns. It commits before its work, and has read a record of each of two
/// partitions at epoch 1; the commit of these is on its way.
struct Story {
    member: GroupMember<()>,
    out: Outbox<()>,
    events: EventLog,
}

impl Story {
    fn committing() -> Story {
        let mut plan = Plan { protocol: GroupProtocol::Consumer(ServerAssignor::Uniform), ..Plan::default() };
        plan.member.assignors = Vec::new();
        plan.member.commit = CommitPolicy::BeforeBatch;
        plan.member.max_poll_records = 1;
        let member = GroupMember::new(&plan.deployment().consumers[0]);
        let mut story = Story { member, out: Outbox::default(), events: EventLog::default() };
        story.member.start(Time::ZERO, &mut story.out, &mut story.events);
        story.hear(beaten(Ok((1, Some(vec![StoreId::new(0), StoreId::new(1)])))));
        story.hear(Message::Positions {
            group: ApplicationId::new(0),
            positions: [0, 1].map(|store| position(StoreId::new(store))).to_vec(),
        });
        let Some(Message::Fetch { correlation, positions, .. }) = story.asked().pop() else {
            panic!("it fetches");
        };
        let partitions = [0, 1].map(|store| fetched(StoreId::new(store)));
        story.hear(Message::Fetched { correlation, partitions: partitions.to_vec(), positions });
        story
    }

    fn hear(&mut self, message: Message<()>) {
        self.member.handle_message(Time::ZERO, message, &mut self.out, &mut self.events);
    }

    /// What it has asked the broker since.
    fn asked(&mut self) -> Vec<Message<()>> {
        let sent = std::iter::from_fn(|| self.out.pop()).map(|effect| match effect {
            Effect::Send { to: Address::Node(_), message, .. } => message,
            other => panic!("a client sends to its broker only, not {other:?}"),
        });
        sent.collect()
    }

    /// The commits among that.
    fn commits(&mut self) -> Vec<Commit> {
        let commits = self.asked().into_iter().filter_map(|message| match message {
            Message::CommitOffsets { correlation, generation, offsets, .. } => Some((correlation, generation, offsets)),
            _ => None,
        });
        commits.collect()
    }

    fn answer(&mut self, commit: &Commit, result: Result<(), GroupError>) {
        let (correlation, generation, offsets) = commit.clone();
        let (group, member) = (ApplicationId::new(0), ME());
        self.hear(Message::OffsetsCommitted { correlation, group, member, generation, offsets, result });
    }

    fn started(&self) -> usize {
        self.events.records().iter().filter(|record| matches!(record.event(), Event::Started { .. })).count()
    }
}

fn beaten(result: Result<(u32, Option<Vec<StoreId>>), GroupError>) -> Message<()> {
    Message::GroupHeartbeatAnswer { group: ApplicationId::new(0), member: ME(), result }
}

fn position(store: StoreId) -> Position {
    Position {
        store,
        committed: None,
        sought: false,
        is_unstable: false,
        is_coordinated: true,
        is_led: true,
        epoch: 1,
        log_start: Offset::ZERO,
        log_end: Offset::new(2),
        high_watermark: Offset::new(2),
        at_time: Offset::new(2),
    }
}

fn fetched(store: StoreId) -> FetchedPartition<()> {
    let record = |offset: u64| Envelope {
        message: MessageId::new(2 * offset + u64::from(store.get())),
        key: KeyId::NONE,
        size: 100,
        timestamp: Time::ZERO,
        sender: ClientId::new(0),
        tombstone: false,
        payload: (),
    };
    let records = vec![(Offset::ZERO, record(0)), (Offset::new(1), record(1))];
    FetchedPartition { store, records: Ok(records), high_watermark: Offset::new(2), next: Offset::new(2) }
}

#[test]
fn who_is_to_start_where_a_transaction_may_set_another_offset_waits_for_its_end() {
    let mut plan = Plan { protocol: GroupProtocol::Consumer(ServerAssignor::Uniform), ..Plan::default() };
    plan.member.assignors = Vec::new();
    let member = GroupMember::new(&plan.deployment().consumers[0]);
    let mut story = Story { member, out: Outbox::default(), events: EventLog::default() };
    story.member.start(Time::ZERO, &mut story.out, &mut story.events);
    story.hear(beaten(Ok((1, Some(vec![StoreId::new(0), StoreId::new(1)])))));
    let positions = |is_unstable| Message::Positions {
        group: ApplicationId::new(0),
        positions: vec![position(StoreId::new(0)), Position { is_unstable, ..position(StoreId::new(1)) }],
    };
    let reads = |story: &mut Story| -> Vec<StoreId> {
        let fetches = story.asked().into_iter().filter_map(|message| match message {
            Message::Fetch { positions, .. } => Some(positions.into_iter().map(|position| position.store)),
            _ => None,
        });
        fetches.flatten().collect()
    };
    story.asked();
    story.hear(positions(true));
    assert_eq!(reads(&mut story), [StoreId::new(0)], "the other one it reads meanwhile");

    let soon = Time::ZERO + ms(100);
    assert_eq!(story.member.next_timeout(), Some(soon));
    story.member.handle_timeout(soon, &mut story.out, &mut story.events);
    let asked = story.asked();
    assert!(
        matches!(&asked[..], [Message::FindPositions { stores, .. }] if stores[..] == [StoreId::new(1)]),
        "{asked:?}"
    );
    story.hear(positions(false));
    let assigned = story.events.records().iter().filter(|record| matches!(record.event(), Event::Assigned { .. }));
    assert_eq!(assigned.count(), 2);
}

#[test]
fn work_begins_with_the_answer_to_its_own_commit_and_no_other() {
    let mut story = Story::committing();
    let first = story.commits().pop().expect("it commits before it works");
    story.answer(&(first.0 + 1, 1, vec![(StoreId::new(1), Offset::new(7))]), Ok(()));
    assert_eq!(story.started(), 0, "that was about something else");
    story.answer(&first, Ok(()));
    assert_eq!(story.started(), 1);
}

#[test]
fn a_commit_of_an_epoch_that_is_over_is_sent_again_under_the_next_one() {
    let mut story = Story::committing();
    let first = story.commits().pop().expect("it commits before it works");
    story.hear(beaten(Ok((2, None))));
    story.answer(&first, Err(GroupError::StaleMemberEpoch));
    let second = story.commits().pop().expect("it tries again");
    assert_eq!((second.1, &second.2), (2, &first.2));
    story.answer(&second, Ok(()));
    assert_eq!(story.started(), 1);
}

#[test]
fn who_is_fenced_off_while_it_waits_for_a_commit_joins_again_instead_of_committing_for_ever() {
    let mut story = Story::committing();
    let first = story.commits().pop().expect("it commits before it works");
    story.hear(beaten(Err(GroupError::FencedMemberEpoch)));
    assert!(story.asked().is_empty(), "it acts on that with its next poll");
    story.answer(&first, Err(GroupError::StaleMemberEpoch));
    let asked = story.asked();
    assert!(matches!(asked[..], [Message::GroupHeartbeat { epoch: 0, .. }]), "{asked:?}");
    assert_eq!(story.started(), 0);
}

/// A member that reads partition 0 from offset 2, in epoch 1, and is told that the epoch is another by now.
fn fenced(reset: OffsetReset) -> Story {
    let mut plan = Plan { protocol: GroupProtocol::Consumer(ServerAssignor::Uniform), ..Plan::default() };
    (plan.member.assignors, plan.member.reset) = (Vec::new(), reset);
    let member = GroupMember::new(&plan.deployment().consumers[0]);
    let mut story = Story { member, out: Outbox::default(), events: EventLog::default() };
    story.member.start(Time::ZERO, &mut story.out, &mut story.events);
    story.hear(beaten(Ok((1, Some(vec![StoreId::new(0)])))));
    let position = Position { committed: Some(Offset::new(2)), ..position(StoreId::new(0)) };
    story.hear(Message::Positions { group: ApplicationId::new(0), positions: vec![position] });
    let Some(Message::Fetch { correlation, positions, .. }) = story.asked().pop() else { panic!("it fetches") };
    let records = Err(LogError::FencedLeaderEpoch);
    let partition =
        FetchedPartition { store: StoreId::new(0), records, high_watermark: Offset::ZERO, next: Offset::new(2) };
    story.hear(Message::Fetched { correlation, partitions: vec![partition], positions });
    assert_eq!(story.asked(), [Message::FindEpochEnds { positions: vec![at(1, 2)] }]);
    story
}

fn at(epoch: u32, offset: u64) -> FetchPosition {
    FetchPosition { store: StoreId::new(0), epoch, offset: Offset::new(offset) }
}

#[test]
fn a_reader_asks_a_leader_that_has_changed_whether_it_has_what_was_read() {
    for (end, goes_on) in [(2, 2), (7, 2), (1, 1), (0, 0)] {
        let mut story = fenced(OffsetReset::Latest);
        story.hear(Message::EpochEnds { ends: vec![at(3, end)] });
        let Some(Message::Fetch { positions, .. }) = story.asked().pop() else { panic!("it goes on") };
        assert_eq!(positions, [at(3, goes_on)], "the epoch ended at {end}");
        let resets = story.events.records().iter().filter(|record| record.event().name() == "PositionReset").count();
        assert_eq!(resets, usize::from(goes_on < 2), "the epoch ended at {end}");
    }
}

#[test]
fn a_reader_that_may_not_be_reset_ends_where_the_log_has_lost_what_it_read() {
    let mut story = fenced(OffsetReset::None);
    story.hear(Message::EpochEnds { ends: vec![at(3, 1)] });
    let names: Vec<&str> = story.events.records().iter().map(|record| record.event().name()).collect();
    assert!(names.ends_with(&["Stranded", "Revoked", "Disconnected"]), "{names:?}");
}
