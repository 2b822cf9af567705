//! Random commands, on every kind of queue: held against the reference and against the ledger, and applied again.

use brokerlab_broker::quorum::*;
use brokerlab_event::{ClientId, Duration, NodeId, Time};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

use crate::ledger::Ledger;
use crate::reference::Reference;
use crate::rig::{at_home, consumer, publication, session, show};

/// What is asked, still without what depends on the state.
#[derive(Clone, Debug)]
enum Request {
    Publish {
        size: u32,
        priority: Option<u8>,
        ttl: Option<u64>,
    },
    PublishAs {
        session: u32,
        back: u64,
    },
    RegisterSession(u32),
    Start {
        number: u32,
        options: ConsumerOptions,
    },
    Cancel(u32),
    Down(u32),
    DownPublisher(u32),
    DownNode(u16),
    ReturnAll,
    /// Some of what a holder of messages holds, picked by number, and perhaps something that it does not.
    Settle {
        holder: usize,
        picks: Vec<usize>,
        settlement: Settlement,
    },
    Get {
        number: u32,
        options: ConsumerOptions,
    },
    Purge,
    Delete,
    SettleDeadLetters(Vec<u64>),
    RestartDeadLettering,
    Advance(u64),
}

fn milliseconds(range: std::ops::Range<u64>) -> impl Strategy<Value = Duration> {
    range.prop_map(Duration::from_millis)
}

fn configs() -> impl Strategy<Value = QuorumConfig> {
    let retry = (select(vec![RetryKind::All, RetryKind::Failed, RetryKind::Returned]), 1..10u64, 5..20u64);
    let retry = retry.prop_map(|(kind, min, max)| {
        let (min, max) = (Duration::from_millis(min), Duration::from_millis(max));
        DelayedRetry { kind, min, max }
    });
    let rules = (
        select(vec![Version::V3_13, Version::V4_0, Version::V4_3, Version::V4_3]),
        select(vec![None, Some(0), Some(2), Some(20)]),
        prop::option::weighted(0.3, milliseconds(0..20)),
        any::<bool>(),
        prop::option::weighted(0.3, retry),
    );
    let limits = (
        prop::option::weighted(0.4, 0..6u64),
        prop::option::weighted(0.2, 0..20u64),
        select(vec![Overflow::DropHead, Overflow::RejectPublish]),
        select(vec![DeadLettering::Disabled, DeadLettering::AtMostOnce, DeadLettering::AtLeastOnce]),
    );
    (rules, limits).prop_map(|(rules, (max_length, max_bytes, overflow, dead_lettering))| {
        let (version, delivery_limit, message_ttl, single_active_consumer, delayed_retry) = rules;
        let single_active_consumer = single_active_consumer && delivery_limit != Some(20);
        QuorumConfig {
            version,
            delivery_limit,
            message_ttl,
            max_length,
            max_bytes,
            overflow,
            dead_lettering,
            single_active_consumer,
            delayed_retry,
        }
    })
}

fn options() -> impl Strategy<Value = ConsumerOptions> {
    let timeout = prop::option::weighted(0.3, milliseconds(1..15));
    let options = (0..4u32, -1..2i32, prop::bool::weighted(0.1), timeout);
    options.prop_map(|(prefetch, priority, auto_ack, timeout)| ConsumerOptions {
        prefetch,
        priority,
        auto_ack,
        timeout,
    })
}

fn settlements() -> impl Strategy<Value = Settlement> {
    let modified = |delivery_failed, undeliverable_here| Settlement::Modified { delivery_failed, undeliverable_here };
    select(vec![
        Settlement::Ack,
        Settlement::NackRequeue,
        Settlement::RejectRequeue,
        Settlement::RejectRequeue,
        Settlement::Discard,
        modified(false, false),
        modified(true, false),
        modified(false, true),
        modified(true, true),
    ])
}

fn requests() -> impl Strategy<Value = Vec<Request>> {
    let priority = prop::option::weighted(0.4, select(vec![0, 3, 4, 5, 9, 31, 200]));
    let ttl = prop::option::weighted(0.3, 0..20u64);
    let settle = (0..6usize, vec(0..6usize, 1..4), settlements());
    let request = prop_oneof![
        6 => (0..8u32, priority, ttl).prop_map(|(size, priority, ttl)| Request::Publish { size, priority, ttl }),
        2 => (0..2u32, 0..4u64).prop_map(|(session, back)| Request::PublishAs { session, back }),
        1 => (0..3u32).prop_map(Request::RegisterSession),
        4 => (0..4u32, options()).prop_map(|(number, options)| Request::Start { number, options }),
        1 => (0..4u32).prop_map(Request::Cancel),
        1 => (0..4u32).prop_map(Request::Down),
        1 => (0..3u32).prop_map(Request::DownPublisher),
        1 => (0..2u16).prop_map(Request::DownNode),
        1 => Just(Request::ReturnAll),
        10 => settle.prop_map(|(holder, picks, settlement)| Request::Settle { holder, picks, settlement }),
        2 => (0..4u32, options()).prop_map(|(number, options)| Request::Get { number, options }),
        1 => Just(Request::Purge),
        1 => vec(0..30u64, 1..5).prop_map(Request::SettleDeadLetters),
        1 => Just(Request::RestartDeadLettering),
        5 => (0..12u64).prop_map(Request::Advance),
    ];
    (vec(request, 1..80), prop::bool::weighted(0.1)).prop_map(|(mut requests, delete)| {
        if delete {
            requests.insert(requests.len() / 2, Request::Delete);
        }
        requests
    })
}

/// A queue in step with a reference and a ledger.
struct Bench {
    queue: QuorumQueue<u64>,
    reference: Reference,
    ledger: Ledger,
    now: Time,
    index: u64,
    sequences: [u64; 2],
    /// Everything that was applied.
    log: Vec<(u64, Time, Command<u64>)>,
    effects: Vec<Effect<u64>>,
}

impl Bench {
    fn new(config: QuorumConfig) -> Bench {
        Bench {
            queue: QuorumQueue::new(config.clone()),
            reference: Reference::new(config),
            ledger: Ledger::default(),
            now: Time::ZERO,
            index: 0,
            sequences: [1; 2],
            log: vec![],
            effects: vec![],
        }
    }

    fn apply(&mut self, command: Command<u64>) {
        // Indices of commands that are not the queue's own are missing in its log.
        self.index += 1 + self.index % 2;
        self.log.push((self.index, self.now, command.clone()));
        let expected = self.reference.apply(self.index, self.now.as_nanos(), &command);
        let mut effects = Vec::new();
        self.queue.apply(self.index, self.now, command.clone(), &mut effects);
        // A reference that goes through all messages says how many it removed, not one by one.
        let purged = matches!(command, Command::Purge);
        let told = effects.iter().filter(|effect| match effect {
            Effect::Removed { .. } => false,
            Effect::DeadLetterSettled { .. } => !purged,
            _ => true,
        });
        let found = told.map(show).collect::<Vec<_>>().join(" ");
        assert_eq!(found, expected, "{command:?}");
        effects.iter().for_each(|effect| self.ledger.note(effect));
        self.ledger.check(&self.queue);
        self.check_timeout();
        self.effects.extend(effects);
    }

    fn check_timeout(&self) {
        let (found, due) = (self.queue.next_timeout().map(Time::as_nanos), self.reference.next_timeout());
        assert!(found.unwrap_or(u64::MAX) <= due.unwrap_or(u64::MAX), "{found:?} is later than {due:?}");
    }

    fn command(&mut self, request: Request) -> Option<Command<u64>> {
        Some(match request {
            Request::Publish { size, priority, ttl } => {
                Command::Enqueue { publication: publication(self.ledger.taken, size, priority, ttl), sequence: None }
            }
            Request::PublishAs { session: number, back } => {
                // Mostly the next number, sometimes an earlier one or one too many.
                let next = &mut self.sequences[number as usize];
                let sequence = (*next + u64::from(back == 3)).saturating_sub(u64::from(back == 2));
                *next += u64::from(back < 2);
                let publication = publication(self.ledger.taken, 1, None, None);
                Command::Enqueue { publication, sequence: Some((session(number), sequence)) }
            }
            Request::RegisterSession(number) => Command::RegisterSession(session(number)),
            Request::Start { number, options } => Command::Register { consumer: consumer(number), options },
            Request::Cancel(number) => Command::Cancel { consumer: consumer(number) },
            Request::Down(number) => Command::Down(consumer(number).session),
            Request::DownPublisher(number) => {
                if let Some(next) = self.sequences.get_mut(number as usize) {
                    *next = 1;
                }
                Command::Down(session(number))
            }
            Request::DownNode(node) => {
                // All that publish are connected with the first.
                if node == 0 {
                    self.sequences = [1; 2];
                }
                Command::NodeDown { node: NodeId::new(node), starts: Home::default().start + 1 }
            }
            Request::ReturnAll => Command::ReturnAll,
            Request::Settle { holder, picks, settlement } => {
                let held: Vec<_> = self.queue.held().map(|(key, delivery, ..)| (key, delivery)).collect();
                let consumer = held.get(holder % held.len().max(1))?.0;
                let own: Vec<_> = held.iter().filter(|(key, _)| *key == consumer).map(|(_, number)| *number).collect();
                let pick = |pick: usize| own.get(pick).copied().unwrap_or(pick as u64);
                Command::Settle { consumer, deliveries: picks.into_iter().map(pick).collect(), settlement }
            }
            Request::Get { number, options } => {
                Command::Get { consumer: at_home(ConsumerKey::get(ClientId::new(number), 1, self.index)), options }
            }
            Request::Purge => Command::Purge,
            Request::Delete => {
                self.sequences = [1; 2];
                Command::Delete
            }
            Request::SettleDeadLetters(numbers) => Command::SettleDeadLetters { numbers },
            Request::RestartDeadLettering => Command::RestartDeadLettering,
            Request::Advance(_) => Command::Tick,
        })
    }

    fn run(&mut self, requests: Vec<Request>) {
        for request in requests {
            if let Request::Advance(ms) = request {
                self.advance(ms);
            } else if let Some(command) = self.command(request) {
                self.apply(command);
            }
        }
    }

    fn advance(&mut self, ms: u64) {
        let end = self.now.saturating_add(Duration::from_millis(ms));
        let mut ticks = 0;
        while let Some(due) = self.queue.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.apply(Command::Tick);
            ticks += 1;
            assert!(ticks < 1_000, "the queue wants to be told the time again and again");
        }
        self.now = end;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_queue_does_what_the_reference_does(config in configs(), requests in requests()) {
        Bench::new(config).run(requests);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// A member that applies the log from its beginning, or goes on from a copy, comes to the same state, and tells
    /// the same on the way.
    #[test]
    fn the_same_commands_give_the_same_state(config in configs(), requests in requests(), cut in 0..80usize) {
        let mut bench = Bench::new(config.clone());
        bench.run(requests);
        let mut replay = QuorumQueue::new(config);
        let mut effects = Vec::new();
        for (number, (index, time, command)) in bench.log.iter().enumerate() {
            if number == cut {
                replay = replay.clone();
            }
            replay.apply(*index, *time, command.clone(), &mut effects);
        }
        prop_assert_eq!(&replay, &bench.queue);
        prop_assert_eq!(effects, bench.effects);
    }
}
