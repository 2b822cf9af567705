//! What the figures mean, told on one partition that two applications read.

use brokerlab_analysis::{Analysis, Fate, FaultHit, Judgement, Options, Results};
use brokerlab_event::*;

const BILLING: u16 = 0;
const AUDIT: u16 = 1;
/// The first and the second consumer of billing, and audit's.
const FIRST: u32 = 1;
const SECOND: u32 = 2;
const READER: u32 = 3;

fn header() -> RunHeader {
    let application = ApplicationId::new;
    let client = |role| ClientInfo { name: String::new(), role };
    let promise = |guarantee, allowed: &[&str]| Promise {
        guarantee,
        application: application(BILLING),
        allowed: allowed.iter().map(|&reason| reason.into()).collect(),
    };
    RunHeader {
        title: "story".into(),
        contender: "log".into(),
        model: Model::Log,
        seed: 0,
        demand_digest: 0,
        horizon: Time::from_nanos(1_000),
        warm_up: Time::from_nanos(20),
        applications: ["billing", "audit"].map(ApplicationInfo::new).into(),
        clients: vec![
            client(ClientRole::Producer),
            client(ClientRole::Consumer(application(BILLING))),
            client(ClientRole::Consumer(application(BILLING))),
            client(ClientRole::Consumer(application(AUDIT))),
        ],
        stores: vec![StoreInfo {
            name: "log-0".into(),
            kind: StoreKind::Partition { index: 0 },
            applications: vec![application(BILLING), application(AUDIT)],
            comes_later: false,
        }],
        faults: vec![FaultInfo { name: "crash billing/1".into(), start: Time::from_nanos(300), end: None }],
        keys: KeyTable::default(),
        kinds: Kinds::default(),
        promises: vec![
            promise(Guarantee::Delivery, &[]),
            promise(Guarantee::NoDuplicates, &["commits follow the work"]),
            promise(Guarantee::KeyOrder, &[]),
        ],
    }
}

struct Story(Analysis);

impl Story {
    fn at(&mut self, time: u64, event: Event) {
        self.0.observe(Time::from_nanos(time), event);
    }

    fn append(&mut self, time: u64, number: u64) {
        let (message, producer, size) = (MessageId::new(number), ClientId::new(0), Bytes::new(10));
        self.at(time, Event::Offered { message, producer, key: KeyId::NONE, size });
        self.at(time, Event::Sent { message, producer, attempt: Count::new(1) });
        self.at(time, Event::Stored { message, store: StoreId::new(0), offset: Offset::new(number), size });
        self.at(time, Event::Confirmed { message, producer });
    }

    fn deliver(&mut self, time: u64, number: u64, consumer: u32) {
        let (message, offset) = (MessageId::new(number), Offset::new(number));
        let (consumer, store) = (ClientId::new(consumer), StoreId::new(0));
        self.at(time, Event::Delivered { message, consumer, store, offset, redelivered: false });
    }

    fn process(&mut self, time: u64, number: u64, consumer: u32) {
        let (message, offset) = (MessageId::new(number), Offset::new(number));
        let (consumer, store) = (ClientId::new(consumer), StoreId::new(0));
        self.at(time, Event::Processed { message, consumer, store, offset });
    }

    fn assign(&mut self, time: u64, offset: u64, consumer: u32) {
        let (consumer, store, offset) = (ClientId::new(consumer), StoreId::new(0), Offset::new(offset));
        self.at(time, Event::Assigned { consumer, store, offset, generation: Count::new(1) });
    }

    fn commit(&mut self, time: u64, offset: u64, consumer: u32) {
        let (consumer, store, offset) = (ClientId::new(consumer), StoreId::new(0), Offset::new(offset));
        self.at(time, Event::Committed { consumer, store, offset });
    }

    /// Ten records; billing's first consumer processes four, commits six and dies; the group is set back to two,
    /// and the second consumer goes on from there but gives up on four and five. Retention then takes the first eight, of which audit has read none.
    fn told() -> Results {
        let mut story = Story(Analysis::new(&header(), Options { bins_max: 10, ..Options::default() }));
        let application = ApplicationId::new(BILLING);
        for consumer in [FIRST, SECOND, READER] {
            story.at(0, Event::Connected { client: ClientId::new(consumer) });
        }
        story.assign(0, 0, FIRST);
        for number in 0..10 {
            story.append(10 * number + 5, number);
        }
        for number in 0..6 {
            story.deliver(110, number, FIRST);
        }
        for number in 0..4 {
            story.process(150 + 10 * number, number, FIRST);
        }
        story.commit(190, 6, FIRST);
        let (fault, client) = (FaultId::new(0), ClientId::new(FIRST));
        story.at(300, Event::FaultStarted { fault, target: Party::Client(client) });
        story.at(300, Event::Disconnected { client, cause: Departure::Crashed });
        story.at(310, Event::RebalanceStarted { application, generation: Count::new(1) });
        story.at(350, Event::RebalanceCompleted { application, generation: Count::new(2), members: Count::new(1) });
        story.assign(350, 2, SECOND);
        for number in 2..=6 {
            story.deliver(360, number, SECOND);
        }
        for number in [2, 3, 6] {
            story.process(410 + number, number, SECOND);
        }
        let (store, until) = (StoreId::new(0), Offset::new(8));
        story.at(700, Event::Trimmed { store, until, cause: Removal::RetentionTime });
        for (application, from) in [(BILLING, 8), (AUDIT, 8)] {
            let (from, until) = (Offset::new(from), Offset::new(10));
            let application = ApplicationId::new(application);
            story.at(1_000, Event::RemainingRange { store, application, from, until });
        }
        story.0.finish(Time::from_nanos(1_000))
    }
}

#[test]
fn fates_tell_processed_skipped_and_dropped_apart() {
    let results = Story::told();
    let [billing, audit] = &results.applications[..] else { panic!("two applications") };
    let fates = |counts: &brokerlab_analysis::FateCounts| -> Vec<(Fate, u64)> {
        counts.iter().filter(|(_, count)| *count > 0).collect()
    };
    // Four and five were committed and never processed; seven was neither when retention took it.
    assert_eq!(
        fates(&billing.summary.fates),
        [(Fate::Processed, 5), (Fate::InBacklog, 2), (Fate::DroppedByPolicy, 1), (Fate::Skipped, 2)]
    );
    assert_eq!(fates(&audit.summary.fates), [(Fate::InBacklog, 2), (Fate::DroppedByPolicy, 8)]);
    assert_eq!(results.total.fates.sum(), 20);
}

#[test]
fn figures_count_from_their_definitions() {
    let results = Story::told();
    let billing = &results.applications[usize::from(BILLING)].summary;
    assert_eq!((billing.deliveries, billing.redeliveries, billing.duplicates), (11, 0, 2));
    assert_eq!(billing.processed_after_warm_up, 5);
    assert_eq!((billing.rebalances, billing.rebalancing), (1, Duration::from_nanos(40)));
    assert_eq!((billing.stored_messages_max, billing.stored_bytes_max), (10, 100));
    // Messages 0 and 1 were to be sent before the end of the warm-up; the last of the other three took 351 ns.
    let latency = billing.latency(brokerlab_analysis::Stage::Process);
    assert_eq!((latency.count(), latency.maximum()), (3, Some(Duration::from_nanos(351))));
    // From the last processing, of message 6, to the end: two records are left.
    assert_eq!(billing.longest_stall, Duration::from_nanos(1_000 - 416));
    assert_eq!(results.total.backlog_max, 20, "nobody had processed anything when the last came");
    let hit = FaultHit {
        fault: FaultId::new(0),
        target: Party::Client(ClientId::new(FIRST)),
        started: Time::from_nanos(300),
        ended: None,
    };
    assert_eq!(results.faults, [hit]);
}

#[test]
fn series_show_levels_at_the_end_of_each_bin() {
    let results = Story::told();
    assert_eq!(results.series.bin, Duration::from_nanos(100));
    assert_eq!(results.series.bins.len(), 10, "the census at the very end belongs to the last bin");
    let bins = &results.applications[usize::from(BILLING)].bins;
    let backlog: Vec<u64> = bins.iter().map(|bin| bin.backlog).collect();
    assert_eq!(backlog, [10, 6, 6, 8, 3, 3, 3, 2, 2, 2], "set back to two, then on to seven, then cut at eight");
    let in_flight: Vec<u64> = bins.iter().map(|bin| bin.in_flight).collect();
    assert_eq!(in_flight, [0, 2, 2, 5, 0, 0, 0, 0, 0, 0]);
    let up: Vec<u32> = bins.iter().map(|bin| bin.consumers_up).collect();
    assert_eq!(up[..4], [2, 2, 2, 1]);
    let stored: Vec<u64> = results.series.bins.iter().map(|bin| bin.stored_messages).collect();
    assert_eq!((stored[0], stored[6], stored[7]), (10, 10, 2));
    assert_eq!(results.series.bins[0].copies(), Some(1.0));
    assert_eq!(bins.iter().map(|bin| bin.processed).sum::<u64>(), 5);
    assert_eq!(bins.iter().map(|bin| bin.duplicates).sum::<u64>(), 2);
}

#[test]
fn verdicts_follow_the_promises() {
    let verdicts: Vec<_> = Story::told().verdicts.iter().map(|v| (v.guarantee, v.judgement, v.breaks)).collect();
    assert_eq!(
        verdicts[..3],
        [
            (Guarantee::Delivery, Judgement::Broken, 3),
            (Guarantee::NoDuplicates, Judgement::AllowedAndBroke, 2),
            (Guarantee::KeyOrder, Judgement::NotApplicable, 0),
        ]
    );
    assert!(verdicts[3..].iter().all(|verdict| verdict.1 == Judgement::NotApplicable), "audit is promised nothing");
}

#[test]
fn without_a_census_what_is_not_seen_is_unknown() {
    let mut story = Story(Analysis::new(&header(), Options { census: false, ..Options::default() }));
    story.append(5, 0);
    let results = story.0.finish(Time::from_nanos(1_000));
    assert_eq!(results.total.fates[Fate::Unknown], 2);
    assert_eq!(results.verdicts[0].judgement, Judgement::Unknown);
}

#[test]
fn each_kind_of_message_has_its_own_figures() {
    let mut header = header();
    header.kinds =
        Kinds { names: vec!["urgent".into(), "bulk".into()], law: KindLaw::new([1, 3], Stream::new(1, "kinds")) };
    let mut analysis = Analysis::new(&header, Options::default());
    let kind = |number| usize::from(header.kinds.law.of(MessageId::new(number)));
    let (producer, consumer, store) = (ClientId::new(0), ClientId::new(1), StoreId::new(0));
    let mut expected = [(0, 0); 2];
    let at = Time::from_nanos;
    for number in 0..200 {
        let (message, offset, key, size) = (MessageId::new(number), Offset::new(number), KeyId::NONE, Bytes::new(1));
        analysis.observe(at(100), Event::Offered { message, producer, key, size });
        analysis.observe(at(100), Event::Sent { message, producer, attempt: Count::new(1) });
        analysis.observe(at(100), Event::Stored { message, store, offset, size });
    }
    for (late, expected) in expected.iter_mut().enumerate() {
        let latency = 10 + late as u64 * 100;
        for number in (0..200).filter(|number| kind(*number) == late) {
            let (message, offset) = (MessageId::new(number), Offset::new(number));
            analysis.observe(at(100 + latency), Event::Processed { message, consumer, store, offset });
            *expected = (expected.0 + 1, latency);
        }
    }
    let results = analysis.finish(Time::from_nanos(1_000));
    let billing = &results.applications[usize::from(BILLING)].kinds;
    for (found, (processed, latency)) in billing.iter().zip(expected) {
        assert_eq!((found.processed, found.latency.maximum()), (processed, Some(Duration::from_nanos(latency))));
    }
    assert!(expected[0].0 > 20 && expected[1].0 > 100 && billing.len() == 2);
    let audit = &results.applications[usize::from(AUDIT)].kinds;
    assert!(audit.iter().all(|kind| kind.processed == 0), "the other application has processed nothing");
}
