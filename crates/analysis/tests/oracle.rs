//! The streaming analysis against an oracle that judges by definition, on random histories.

mod histories;

use brokerlab_analysis::{Analysis, Fate, Options, Results, oracle};
use brokerlab_event::{ApplicationId, EventLog, Observer, RunHeader, Time};
use histories::{APPLICATIONS, SHAPES, Shape, World, header};
use proptest::prelude::*;

fn history(shape: Shape, steps: &[(u8, u8, u8)]) -> EventLog {
    let mut world = World::new(shape);
    for &(what, who, how) in steps {
        world.step(what, who, how);
    }
    world.end()
}

fn analysed(header: &RunHeader, log: &EventLog, window: u64) -> Results {
    let mut analysis = Analysis::new(header, Options { messages: true, window, ..Options::default() });
    log.replay(&mut analysis);
    analysis.finish(log.records().last().map_or(Time::ZERO, |record| record.time))
}

fn story(log: &EventLog) -> String {
    log.records().iter().map(|record| format!("\n{:?}", record.event())).collect()
}

fn compare(shape: Shape, log: &EventLog, window: u64) {
    let header = header(shape);
    let results = analysed(&header, log, window);
    let rows = results.messages.as_ref().expect("the options ask for rows");
    for (index, own) in results.applications.iter().enumerate() {
        let application = ApplicationId::new(index as u16);
        let truth = oracle::findings(&header, log.records(), application);
        let of_rows = rows.iter().filter(|row| row.application == application);
        let fates: Vec<_> = of_rows.clone().map(|row| (row.message, row.fate)).collect();
        assert_eq!(fates, truth.fates, "{shape:?}, {application}: {}", story(log));
        for fate in Fate::ALL {
            assert_eq!(own.summary.fates[fate], truth.count(fate), "{fate:?}");
        }
        assert_eq!(own.summary.duplicates, truth.duplicates, "{}", story(log));
        assert_eq!(own.summary.replayed, truth.replayed, "{}", story(log));
        assert_eq!(own.summary.redeliveries, truth.redeliveries);
        let unread = (shape == Shape::Log).then_some(truth.unread);
        assert_eq!(own.summary.unread, unread, "{}", story(log));
        assert_eq!(own.summary.key_order_violations, truth.key_order_violations, "{}", story(log));
        assert_eq!(own.summary.incidents.dirty_reads, truth.dirty_reads, "{}", story(log));
        let duplicates: u32 = of_rows.map(|row| row.processings.saturating_sub(1)).sum();
        assert_eq!(u64::from(duplicates), truth.duplicates);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn streaming_agrees_with_the_definition(
        shape in proptest::sample::select(&SHAPES),
        window in proptest::sample::select(&[0, 4, 1 << 16]),
        steps in proptest::collection::vec(any::<(u8, u8, u8)>(), 0..220),
    ) {
        // A broadcast that nobody confirms relies on the window, which is therefore never this small.
        let window = if shape == Shape::Broadcast { Options::default().window } else { window };
        compare(shape, &history(shape, &steps), window);
    }
}

/// At any moment of a run the fates sum to what was offered: `finish` asserts it.
#[test]
fn the_books_balance_after_every_event() {
    let random = brokerlab_event::Stream::new(2, "books");
    for (case, shape) in SHAPES.into_iter().enumerate() {
        let draw = |step: u64| random.within(case as u64).at(step);
        let steps: Vec<_> = (0..400).map(|n| (draw(n) as u8, (draw(n) >> 8) as u8, (draw(n) >> 16) as u8)).collect();
        let mut analysis = Analysis::new(&header(shape), Options { window: 0, ..Options::default() });
        let mut offered = 0;
        for record in history(shape, &steps).records() {
            analysis.observe(record.time, record.event());
            offered += u64::from(record.event().name() == "Offered");
            let results = analysis.clone().finish(record.time);
            assert_eq!(results.total.fates.sum(), offered * APPLICATIONS as u64);
        }
    }
}

/// The random histories are worth nothing if they never come to what they are to check.
#[test]
fn histories_meet_every_fate_and_every_anomaly() {
    let mut state = 7_u64;
    let mut random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 56) as u8
    };
    let (mut seen, mut duplicates, mut redeliveries, mut violations) = (vec![0; Fate::ALL.len()], 0, 0, 0);
    for shape in SHAPES {
        for _ in 0..40 {
            let steps: Vec<_> = (0..300).map(|_| (random(), random(), random())).collect();
            let results = analysed(&header(shape), &history(shape, &steps), 0);
            assert_eq!(results.applications.len(), APPLICATIONS);
            for (count, (_, more)) in seen.iter_mut().zip(results.total.fates.iter()) {
                *count += more;
            }
            duplicates += results.total.duplicates;
            redeliveries += results.total.redeliveries;
            violations += results.total.key_order_violations;
        }
    }
    for (fate, count) in Fate::ALL.into_iter().zip(seen) {
        // These histories have a census.
        assert_eq!(count == 0, fate == Fate::Unknown, "{fate:?}: {count}");
    }
    assert!(duplicates > 50 && redeliveries > 50 && violations > 50, "{duplicates} {redeliveries} {violations}");
}
