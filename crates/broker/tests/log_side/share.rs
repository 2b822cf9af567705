//! Share groups: stories of a node and its members, and a long random run of a share partition against a model that
//! keeps an entry for each record.

use std::collections::BTreeMap;

use brokerlab_broker::client::ShareConsumer;
use brokerlab_broker::config::{
    Acks, ConsumerConfig, ConsumerKind, Deployment, OffsetReset, OnShareFailure, ShareAcknowledge, ShareConsumerConfig,
    ShareGroupConfig,
};
use brokerlab_broker::log::Crash;
use brokerlab_broker::message::Member;
use brokerlab_broker::record::Batch;
use brokerlab_broker::share_partition::{
    Acknowledged, Acknowledgement, AcquireMode, Acquired, RecordState, ShareError, SharePartition, ShareRules,
};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{
    ApplicationId, ClientId, Distribution, Duration, Event, EventLog, FailureLaw, Generator, KeyId, MessageId, NodeId,
    Offset, Removal, StoreId, Stream, Time, WorkLaw,
};

use crate::rig::{Plan, ms, secs};

const NODE: fn() -> NodeId = || NodeId::new(0);
const BILLING: fn() -> ApplicationId = || ApplicationId::new(0);

/// What a story may choose.
#[derive(Clone, Copy)]
struct Choice {
    members: u32,
    rules: ShareRules,
    member: ShareConsumerConfig,
    poison: u32,
}

impl Default for Choice {
    fn default() -> Choice {
        let rules = ShareRules { acquire_mode: AcquireMode::RecordLimit, ..ShareRules::default() };
        let member = ShareConsumerConfig {
            heartbeat_interval: secs(5),
            max_poll_records: 2,
            acknowledge: ShareAcknowledge::Explicit(OnShareFailure::Release),
            renew_every: None,
        };
        Choice { members: 2, rules, member, poison: 0 }
    }
}

/// One partition on one node, written to directly, and members that are joined to it without delay.
struct Rig {
    now: Time,
    deployment: Deployment,
    node: Node<()>,
    members: Vec<(ShareConsumer, bool)>,
    events: EventLog,
    out: Outbox<()>,
    stored: u64,
}

impl Choice {
    fn rig(self) -> Rig {
        let mut deployment = Plan { partitions: 1, members: 0, ..Plan::default() }.deployment();
        deployment.groups.clear();
        deployment.share_groups.push(ShareGroupConfig {
            application: BILLING(),
            node: NODE(),
            partitions: vec![StoreId::new(0)],
            session_timeout: secs(45),
            rules: self.rules,
            reset: OffsetReset::Earliest,
        });
        let failures = FailureLaw { poison: self.poison, transient: 0, stream: Stream::new(1, "failures") };
        let config = |number: u32| ConsumerConfig {
            client: ClientId::new(number),
            name: "billing".into(),
            application: BILLING(),
            node: NODE(),
            work: WorkLaw { distribution: Distribution::Constant(1.0), stream: Stream::new(1, "work") },
            failures: (self.poison > 0).then_some(failures),
            answers: false,
            kind: ConsumerKind::Share(self.member),
        };
        deployment.consumers = (1..=self.members).map(config).collect();
        let members = deployment.consumers.iter().map(|config| (ShareConsumer::new(config), false)).collect();
        let node = Node::new(NODE(), &deployment);
        let (events, out) = (EventLog::default(), Outbox::default());
        Rig { now: Time::ZERO, deployment, node, members, events, out, stored: 0 }
    }
}

impl Rig {
    /// Appends this many records as one batch.
    fn store(&mut self, count: u64) -> &mut Rig {
        let producer = ClientId::new(0);
        let envelope = |number| Envelope {
            message: MessageId::new(number),
            key: KeyId::NONE,
            size: 100,
            timestamp: self.now,
            sender: producer,
            tombstone: false,
            payload: (),
        };
        let batch = Batch::from((self.stored..self.stored + count).map(envelope).collect::<Vec<_>>());
        self.stored += count;
        let produce = Message::Produce { store: StoreId::new(0), correlation: 0, acks: Acks::Leader, batch };
        self.hand_to_node(Address::Client(producer), produce);
        self.settle();
        self
    }

    fn hand_to_node(&mut self, from: Address, message: Message<()>) {
        self.node.handle_message(self.now, from, message, &mut self.out, &mut self.events);
    }

    fn start(&mut self, number: usize) -> &mut Rig {
        let (member, is_up) = &mut self.members[number - 1];
        *is_up = true;
        member.start(self.now, &mut self.out, &mut self.events);
        self.settle();
        self
    }

    fn crash(&mut self, number: usize) -> &mut Rig {
        let (member, is_up) = &mut self.members[number - 1];
        *is_up = false;
        member.crash(self.now, &mut self.events);
        self.hand_to_node(Address::Client(ClientId::new(number as u32)), Message::ConnectionLost);
        self.settle();
        self
    }

    fn leave(&mut self, number: usize) -> &mut Rig {
        let (member, is_up) = &mut self.members[number - 1];
        member.leave(self.now, &mut self.out, &mut self.events);
        *is_up = false;
        self.settle();
        self
    }

    fn pause(&mut self, number: usize) -> &mut Rig {
        self.members[number - 1].0.worker().pause(self.now, &mut self.events);
        self
    }

    /// The broker's process dies and comes back; its page cache survives.
    fn crash_node(&mut self) -> &mut Rig {
        let node = std::mem::replace(&mut self.node, Node::new(NODE(), &self.deployment));
        self.node = Node::recover(self.now, node.crash(self.now, Crash::Process, &mut self.events), &self.deployment);
        for (member, is_up) in &mut self.members {
            if *is_up {
                member.handle(
                    self.now,
                    &mut Message::ConnectionBroken { node: NodeId::new(0) },
                    &mut self.out,
                    &mut self.events,
                );
            }
        }
        self.settle();
        self
    }

    fn settle(&mut self) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { from, to: Address::Node(_), message } => {
                    let connects = message == Message::Connect;
                    self.hand_to_node(from, message);
                    // Whose connection broke is told that there is another; who connects for the first time knows.
                    if let (true, Address::Client(client)) = (connects, from) {
                        let (member, _) = &mut self.members[client.index() - 1];
                        member.handle(
                            self.now,
                            &mut Message::ConnectionRestored { node: NodeId::new(0) },
                            &mut self.out,
                            &mut self.events,
                        );
                    }
                }
                Effect::Send { to: Address::Client(client), mut message, .. } => {
                    let member = self.members.get_mut(client.index().wrapping_sub(1));
                    if let Some((member, true)) = member {
                        member.handle(self.now, &mut message, &mut self.out, &mut self.events);
                    }
                }
                Effect::Write { store, until, .. } => {
                    self.hand_to_node(Address::Disk, Message::Written { store, until })
                }
                other => panic!("nobody wants {other:?} here"),
            }
        }
    }

    fn run(&mut self, duration: Duration) -> &mut Rig {
        let until = self.now + duration;
        for _ in 0..100_000 {
            let members =
                self.members.iter().filter(|(_, is_up)| *is_up).filter_map(|(member, _)| member.next_timeout());
            let Some(at) = members.chain(self.node.next_timeout()).min().filter(|at| *at <= until) else {
                self.now = until;
                return self;
            };
            self.now = self.now.max(at);
            self.node.handle_timeout(self.now, &mut self.out, &mut self.events);
            for (member, _) in self.members.iter_mut().filter(|(_, is_up)| *is_up) {
                if member.next_timeout().is_some_and(|at| at <= self.now) {
                    member.handle_timeout(self.now, &mut self.out, &mut self.events);
                }
            }
            self.settle();
        }
        panic!("a hundred thousand timeouts within {duration}: something does not move on");
    }

    /// How often each record was processed.
    fn processed(&self) -> Vec<u32> {
        let mut counts = vec![0; self.stored as usize];
        for record in self.events.records() {
            if let Event::Processed { message, .. } = record.event() {
                counts[message.index()] += 1;
            }
        }
        counts
    }

    /// How many records the group is done with for this reason.
    fn archived(&self, wanted: Removal) -> usize {
        let records = self.events.records().iter();
        records.filter(|record| matches!(record.event(), Event::Archived { cause, .. } if cause == wanted)).count()
    }

    fn count(&self, kind: &str) -> usize {
        self.events.records().iter().filter(|record| record.event().name() == kind).count()
    }
}

#[test]
fn more_consumers_than_partitions_share_the_records_of_one() {
    let mut rig = Choice { members: 4, ..Choice::default() }.rig();
    for number in 1..=4 {
        rig.start(number);
    }
    rig.store(40).run(secs(11));
    assert_eq!(rig.processed(), vec![1; 40], "four at a time, a second each");
    assert_eq!(rig.archived(Removal::Acked), 40);
    assert_eq!(rig.node.lag(BILLING(), |_| None), 0);
}

#[test]
fn records_of_a_consumer_that_crashes_or_leaves_go_to_another_at_once() {
    let mut rig = Choice::default().rig();
    rig.start(1).store(2).run(ms(500)).crash(1);
    assert_eq!(rig.count("Released"), 2);
    rig.start(2).run(secs(3));
    assert_eq!(rig.processed(), [1, 1]);
    rig.store(2).run(ms(1500)).leave(2);
    assert_eq!(rig.archived(Removal::Acked), 3, "what it had done it has told");
    rig.start(1).run(secs(2));
    assert_eq!(rig.processed(), [1, 1, 1, 1]);
}

#[test]
fn whoever_holds_records_gives_them_back_with_its_connection_though_its_session_is_over() {
    let rules = ShareRules { lock_duration: secs(300), ..Choice::default().rules };
    let mut rig = Choice { rules, ..Choice::default() }.rig();
    rig.start(1).store(2).pause(1).run(secs(60));
    assert_eq!(rig.count("Released"), 0);
    rig.crash(1);
    assert_eq!(rig.count("Released"), 2);
}

#[test]
fn the_records_of_a_consumer_that_stands_still_come_back_when_their_lock_ends() {
    let mut rig = Choice::default().rig();
    rig.start(1).store(2).pause(1).start(2).run(secs(29));
    assert_eq!(rig.count("Released"), 0);
    rig.run(secs(4));
    assert_eq!(rig.processed(), [1, 1], "by the other one");
}

#[test]
fn a_record_on_which_work_fails_is_given_up_after_five_deliveries() {
    let mut rig = Choice { poison: 1_000_000, ..Choice::default() }.rig();
    rig.start(1).store(3).run(secs(60));
    assert_eq!((rig.count("Failed"), rig.archived(Removal::DeliveryLimit)), (15, 3));
    assert_eq!(rig.node.lag(BILLING(), |_| None), 0);

    let member = ShareConsumerConfig { acknowledge: ShareAcknowledge::Implicit, ..Choice::default().member };
    let mut rig = Choice { poison: 1_000_000, member, ..Choice::default() }.rig();
    rig.start(1).store(3).run(secs(60));
    assert_eq!((rig.count("Failed"), rig.archived(Removal::Acked)), (3, 3), "nobody said that it had failed");

    let acknowledge = ShareAcknowledge::Explicit(OnShareFailure::Reject);
    let member = ShareConsumerConfig { acknowledge, ..Choice::default().member };
    let mut rig = Choice { poison: 1_000_000, member, ..Choice::default() }.rig();
    rig.start(1).store(3).run(secs(60));
    assert_eq!((rig.count("Failed"), rig.archived(Removal::Rejected)), (3, 3));
}

#[test]
fn locks_end_under_a_consumer_that_takes_too_much_unless_it_renews_them() {
    let patient = ShareConsumerConfig { max_poll_records: 50, ..Choice::default().member };
    let mut rig = Choice { member: patient, ..Choice::default() }.rig();
    rig.store(50).start(1).start(2).run(secs(120));
    assert!(rig.processed().iter().any(|count| *count > 1), "both have worked on the same records");

    let renewing = ShareConsumerConfig { renew_every: Some(secs(15)), ..patient };
    let mut rig = Choice { member: renewing, ..Choice::default() }.rig();
    rig.store(50).start(1).start(2).run(secs(120));
    assert_eq!(rig.processed(), vec![1; 50]);
}

#[test]
fn what_was_acknowledged_survives_the_broker_and_what_was_acquired_is_free_again() {
    let mut rig = Choice::default().rig();
    rig.start(1).store(6).run(ms(2500)).crash_node();
    assert_eq!(rig.archived(Removal::Acked), 2);
    rig.run(secs(10));
    let processed = rig.processed();
    assert_eq!(processed[..2], [1, 1], "nobody gets again what was accepted before");
    assert!(processed.iter().all(|count| *count >= 1));
    assert_eq!(rig.archived(Removal::Acked), 6);
}

/// A record in the model.
#[derive(Clone, Copy, PartialEq, Debug)]
struct Own {
    state: RecordState,
    count: u32,
    member: Option<Member>,
    until: Time,
}

/// What a share partition does, by an entry for each record.
#[derive(Default)]
struct Model(BTreeMap<u64, Own>);

impl Model {
    fn acquired(&mut self, now: Time, rules: &ShareRules, member: Member, acquired: &[Acquired]) {
        for own in acquired {
            for offset in own.first.get()..=own.last.get() {
                let fresh = Own { state: RecordState::Available, count: 0, member: None, until: Time::ZERO };
                let record = self.0.entry(offset).or_insert(fresh);
                assert_eq!(record.state, RecordState::Available, "{offset} was nobody's");
                assert_eq!(record.count + 1, own.delivery_count);
                let until = now + rules.lock_duration;
                *record = Own { state: RecordState::Acquired, count: own.delivery_count, member: Some(member), until };
            }
        }
    }

    fn settle(&mut self, offset: u64, rules: &ShareRules, now: Time, kind: Acknowledgement) {
        let record = self.0.get_mut(&offset).expect("it is held");
        let state = match kind {
            Acknowledgement::Renew => {
                record.until = now + rules.lock_duration;
                return;
            }
            Acknowledgement::Accept => RecordState::Acknowledged,
            Acknowledgement::Release if record.count < rules.delivery_count_limit => RecordState::Available,
            _ => RecordState::Archived,
        };
        *record = Own { state, member: None, until: Time::ZERO, ..*record };
    }

    fn release(&mut self, rules: &ShareRules, now: Time, which: impl Fn(&Own) -> bool) {
        let held = |own: &Own| own.state == RecordState::Acquired && which(own);
        let offsets: Vec<u64> = self.0.iter().filter(|(_, own)| held(own)).map(|(offset, _)| *offset).collect();
        offsets.into_iter().for_each(|offset| self.settle(offset, rules, now, Acknowledgement::Release));
    }

    /// What an acknowledgement does, if it is right as a whole.
    fn acknowledge(&mut self, now: Time, rules: &ShareRules, member: Member, said: &[Acknowledged]) -> bool {
        let mut seen = Vec::new();
        for said in said {
            for offset in said.first.get()..=said.last.get() {
                let kind = said.kinds[((offset - said.first.get()) as usize).min(said.kinds.len() - 1)];
                let held = |own: &Own| own.state == RecordState::Acquired && own.member == Some(member);
                let again = seen.iter().any(|(other, kind)| *other == offset && *kind != Acknowledgement::Renew);
                if !self.0.get(&offset).is_some_and(held) || again {
                    return false;
                }
                seen.push((offset, kind));
            }
        }
        seen.into_iter().for_each(|(offset, kind)| self.settle(offset, rules, now, kind));
        true
    }

    fn start(&self) -> u64 {
        self.0.iter().find(|(_, own)| !own.state.is_terminal()).map_or(self.0.len() as u64, |(offset, _)| *offset)
    }
}

fn random_run(seed: u64) {
    let mut chance = Generator::new(seed, "share");
    let acquire_mode = [AcquireMode::BatchOptimized, AcquireMode::RecordLimit][chance.below(2) as usize];
    let rules = ShareRules { lock_duration: secs(5), delivery_count_limit: 3, max_record_locks: 30, acquire_mode };
    let mut partition = SharePartition::new(rules, Offset::ZERO);
    let (mut model, mut now) = (Model::default(), Time::ZERO);
    let kinds = {
        use Acknowledgement::{Accept, Gap, Reject, Release, Renew};
        [Accept, Accept, Accept, Release, Release, Reject, Gap, Renew]
    };
    for _ in 0..300 {
        let member = Member { client: ClientId::new(chance.below(3) as u32), incarnation: 1 };
        match chance.below(10) {
            0..4 if partition.can_acquire() => {
                let first = partition.next_fetch_offset().get();
                // Batches of five, of which the first may have been begun.
                let batch = |from: u64| (Offset::new(from), Offset::new(from / 5 * 5 + 4));
                let found = [batch(first), batch((first / 5 + 1) * 5)];
                let acquired = partition.acquire(now, member, 1 + chance.below(9) as u32, &found);
                assert!(!acquired.is_empty(), "there was something to be had");
                model.acquired(now, &rules, member, &acquired);
            }
            0..8 => {
                let mut said = Vec::new();
                for _ in 0..=chance.below(2) {
                    let (first, length) = (model.start() + chance.below(10), 1 + chance.below(4));
                    let each = if chance.below(2) == 0 { 1 } else { length };
                    let kinds = (0..each).map(|_| kinds[chance.below(8) as usize]).collect();
                    said.push(Acknowledged { first: Offset::new(first), last: Offset::new(first + length - 1), kinds });
                }
                let before = partition.in_flight().collect::<Vec<_>>();
                match partition.acknowledge(now, member, &said) {
                    Ok(_) => assert!(model.acknowledge(now, &rules, member, &said), "{said:?}"),
                    Err(ShareError::InvalidRecordState | ShareError::InvalidRequest) => {
                        assert_eq!(before, partition.in_flight().collect::<Vec<_>>(), "all or nothing");
                        assert!(!model.acknowledge(now, &rules, member, &said), "{said:?}");
                    }
                }
            }
            8 => {
                partition.release_member(member);
                model.release(&rules, now, |own| own.member == Some(member));
            }
            _ => {
                now += ms(chance.below(3000));
                partition.handle_timeout(now);
                model.release(&rules, now, |own| own.until <= now);
            }
        }
        agree(&partition, &model, &rules);
    }
}

/// Nothing else may be seen of a share partition than of the model.
fn agree(partition: &SharePartition, model: &Model, rules: &ShareRules) {
    assert_eq!(partition.start().get(), model.start(), "the start moves over everything that is done with");
    for (offset, state, count) in partition.in_flight() {
        let own = model.0[&offset.get()];
        assert_eq!((own.state, own.count), (state, count), "{offset:?}");
        assert!(count <= rules.delivery_count_limit);
    }
    let open = |own: &Own| !own.state.is_terminal();
    let unfinished: u64 = partition.unfinished().map(|(first, last)| last.get() - first.get() + 1).sum();
    assert_eq!(unfinished, model.0.values().filter(|own| open(own)).count() as u64);
    let available = model.0.iter().find(|(_, own)| own.state == RecordState::Available);
    let next = available.map_or(model.0.len() as u64, |(offset, _)| *offset);
    assert_eq!(partition.next_fetch_offset().get(), next);
    assert_eq!(partition.first_untouched().get(), model.0.len() as u64);
}

#[test]
fn random_histories_are_those_of_a_model_that_keeps_every_record() {
    for seed in 0..200 {
        if let Err(panic) = std::panic::catch_unwind(|| random_run(seed)) {
            eprintln!("seed {seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
