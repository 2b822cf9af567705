//! Time travel restores the very state that the events lead to.

mod histories;

use brokerlab_analysis::{Analysis, ContentView, NotableKind, Options, Timeline, View};
use brokerlab_event::{Bytes, Event, EventLog, MessageId, Observer, Offset, Record, StoreId, Stream, Time, below};
use histories::{SHAPES, Shape, World, header};

const STEPS: u64 = 30_000;

fn long_history(shape: Shape) -> EventLog {
    let random = Stream::new(11, "steps");
    let mut world = World::new(shape);
    for step in 0..STEPS {
        let bits = random.at(step);
        world.step(bits as u8, (bits >> 8) as u8, (bits >> 16) as u8);
    }
    world.end()
}

fn folded(shape: Shape, records: &[Record]) -> View {
    let mut view = View::new(&header(shape));
    for record in records {
        view.observe(record.time, record.event());
    }
    view
}

#[test]
fn every_way_to_a_moment_leads_to_the_same_state() {
    for shape in SHAPES {
        let log = long_history(shape);
        let mut timeline = Timeline::new(&header(shape), log.clone());
        assert!(timeline.keyframe_bytes() > 0, "the history is long enough for keyframes");
        assert!(timeline.keyframe_bytes() <= size_of_val(log.records()));
        let random = Stream::new(5, "moments");
        for draw in 0..60 {
            let position = below(random.at(draw), log.len() as u64 + 1) as usize;
            let expected = folded(shape, &log.records()[..position]);
            assert_eq!(*timeline.seek_position(position), expected, "{shape:?} at {position}");
            if let Some(record) = timeline.next_event() {
                assert_eq!(record, log.records()[position]);
                assert_eq!(timeline.previous_event(), Some(record));
                assert_eq!(*timeline.view(), expected, "there and back again");
            }
        }
    }
}

#[test]
fn seeking_a_time_includes_what_happened_then() {
    let log = long_history(Shape::Log);
    let mut timeline = Timeline::new(&header(Shape::Log), log.clone());
    let record = log.records()[log.len() / 2];
    let before = log.records().iter().filter(|other| other.time <= record.time).count();
    timeline.seek(record.time);
    assert_eq!(timeline.position(), before);
    timeline.seek(Time::MAX);
    assert_eq!((timeline.position(), timeline.next_event()), (log.len(), None));
    timeline.seek_position(0);
    assert_eq!((timeline.previous_event(), timeline.view()), (None, &View::new(&header(Shape::Log))));
}

#[test]
fn notables_are_visited_in_both_directions() {
    let mut timeline = Timeline::new(&header(Shape::Retries), long_history(Shape::Retries));
    let all = timeline.notables().to_vec();
    let kinds = [
        NotableKind::Crashed,
        NotableKind::Redelivery,
        NotableKind::Duplicate,
        NotableKind::OutOfOrder,
        NotableKind::NotAccepted,
        NotableKind::Dropped,
        NotableKind::DeadLettered,
        NotableKind::Failed,
        NotableKind::ChannelClosed,
        NotableKind::Blocked,
        NotableKind::QueueDeleted,
    ];
    for kind in kinds {
        assert!(all.iter().any(|notable| notable.kind == kind), "{kind:?}");
    }
    for expected in &all[..50] {
        assert_eq!(timeline.next_notable().as_ref(), Some(expected));
        assert_eq!(timeline.position(), expected.index + 1);
    }
    for expected in all[..49].iter().rev() {
        assert_eq!(timeline.previous_notable().as_ref(), Some(expected));
    }
    assert_eq!(timeline.previous_notable(), None);
}

/// Two folds that share no code agree on what is stored, what is counted and how often something went wrong.
#[test]
fn the_view_agrees_with_the_analysis() {
    for shape in SHAPES {
        let (header, log) = (header(shape), long_history(shape));
        let mut analysis = Analysis::new(&header, Options::default());
        log.replay(&mut analysis);
        let end = log.records().last().map_or(Time::ZERO, |record| record.time);
        let results = analysis.finish(end);
        let timeline = Timeline::new(&header, log.clone());
        let view = folded(shape, log.records());
        let last = results.series.bins.last().expect("a run has a bin");
        assert_eq!(view.stores.iter().map(|store| store.messages).sum::<u64>(), last.stored_messages);
        assert_eq!(view.counters.offered, results.total.offered);
        assert_eq!(view.applications.iter().map(|own| own.delivered).sum::<u64>(), results.total.deliveries);
        let count = |kind| timeline.notables().iter().filter(|notable| notable.kind == kind).count() as u64;
        assert_eq!(count(NotableKind::Redelivery), results.total.redeliveries);
        assert_eq!(count(NotableKind::Duplicate), results.total.duplicates);
        assert_eq!(count(NotableKind::OutOfOrder), results.total.key_order_violations);
        let incidents = results.total.incidents;
        assert_eq!(count(NotableKind::DeadLettered), incidents.dead_letters);
        assert_eq!(count(NotableKind::Failed), incidents.failed);
        assert_eq!(count(NotableKind::ChannelClosed), incidents.channel_errors);
        assert_eq!(count(NotableKind::QueueDeleted), incidents.queue_deletions);
        assert_eq!(view.counters.dead_letters, incidents.dead_letters);
        assert_eq!(view.counters.declined, incidents.declined);
        assert_eq!(view.counters.aborted, incidents.aborted);
        assert_eq!(view.counters.channel_errors, incidents.channel_errors);
        assert_eq!(view.applications.iter().map(|own| own.failed).sum::<u64>(), incidents.failed);
        if shape != Shape::Log {
            let in_flight: u64 = results.applications.iter().map(|own| own.bins[own.bins.len() - 1].in_flight).sum();
            assert_eq!(view.clients.iter().map(|client| client.unsettled).sum::<u64>(), in_flight);
        }
        let processed: u64 = results.applications.iter().flat_map(|own| &own.bins).map(|bin| bin.processed).sum();
        let all = processed + results.total.duplicates;
        assert_eq!(view.applications.iter().map(|own| own.processed).sum::<u64>(), all);
        assert!(results.series.bins.len() <= 601);
    }
}

#[test]
fn the_message_at_a_place_is_the_one_that_was_stored_there() {
    let mut timeline = Timeline::new(&header(Shape::SharedQueue), long_history(Shape::SharedQueue));
    let view = timeline.seek_position(20_000).clone();
    let ContentView::Queue { fresh, returned, unacked } = &view.stores[0].content else { panic!("it is a queue") };
    assert_eq!(fresh.len() + returned.len() + unacked.len(), view.stores[0].messages);
    let place = Offset::new(view.stores[0].start());
    let message = timeline.message_at(StoreId::new(0), place).expect("something is stored there");
    assert!(message.get() < view.counters.offered);
    assert_eq!(timeline.message_at(StoreId::new(0), Offset::new(1 << 30)), None);

    // A queue that comes again numbers its places anew; which message is meant depends on the moment.
    let log = timeline.log().clone();
    let mut at_place = None;
    for (index, record) in log.records().iter().enumerate().take(5_000) {
        match record.event() {
            Event::Stored { message, offset, .. } if offset == Offset::ZERO => at_place = Some(message),
            _ => {}
        }
        if index % 50 == 0 && at_place.is_some() {
            timeline.seek_position(index + 1);
            assert_eq!(timeline.message_at(StoreId::new(0), Offset::ZERO), at_place, "at {index}");
        }
    }
}

#[test]
fn a_partition_that_lost_its_end_has_other_messages_there_afterwards() {
    let store = StoreId::new(0);
    let mut log = EventLog::default();
    let mut at = |time, event| log.observe(Time::from_nanos(time), event);
    let stored = |message, offset| {
        let (message, offset) = (MessageId::new(message), Offset::new(offset));
        Event::Stored { message, store, offset, size: Bytes::new(100) }
    };
    for number in 0..4 {
        at(number, stored(number, number));
    }
    at(10, Event::Truncated { store, end: Offset::new(2) });
    at(20, stored(7, 2));
    let mut timeline = Timeline::new(&header(Shape::Log), log);

    let message_at = |timeline: &mut Timeline, time, offset| {
        timeline.seek(Time::from_nanos(time));
        timeline.message_at(store, Offset::new(offset)).map(MessageId::get)
    };
    assert_eq!(message_at(&mut timeline, 9, 2), Some(2));
    assert_eq!(message_at(&mut timeline, 10, 1), Some(1), "what lies before the cut stays");
    assert_eq!((message_at(&mut timeline, 20, 2), message_at(&mut timeline, 20, 3)), (Some(7), None));
    let sizes = |view: &View| (view.stores[0].end, view.stores[0].messages, view.stores[0].bytes);
    assert_eq!(sizes(timeline.seek(Time::from_nanos(9))), (4, 4, 400));
    assert_eq!(sizes(timeline.seek(Time::from_nanos(10))), (2, 2, 200));
    assert_eq!(sizes(timeline.seek(Time::from_nanos(20))), (3, 3, 300));
    assert_eq!(timeline.notables().iter().map(|notable| notable.kind).collect::<Vec<_>>(), [NotableKind::Dropped]);
}
