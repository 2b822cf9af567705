//! Random seeks in runs of more than two million events, where a million messages wait in the queue or, the worst
//! that consumers can do, lie unsettled in the hands of three consumers in turn.

mod runs;

use brokerlab_analysis::Timeline;
use brokerlab_event::{EventLog, Stream, below};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

const MESSAGES: u64 = 1_100_000;

fn waiting() -> EventLog {
    let mut log = EventLog::default();
    for number in 0..MESSAGES {
        runs::arrive(&mut log, number * 1_000, number);
        if number % 20 == 0 {
            runs::deliver(&mut log, number * 1_000, number / 20, 0);
            runs::complete(&mut log, number * 1_000, number / 20, 0);
        }
    }
    log
}

fn hoarded() -> EventLog {
    let mut log = EventLog::default();
    for number in 0..MESSAGES {
        runs::arrive(&mut log, number * 1_000, number);
        runs::deliver(&mut log, number * 1_000, number, (number % 3) as u32);
        if number % 20 == 0 {
            runs::complete(&mut log, number * 1_000, number / 20, (number / 20 % 3) as u32);
        }
    }
    log
}

fn seek(criterion: &mut Criterion) {
    for (name, log) in [("a million wait", waiting()), ("a million in hands", hoarded())] {
        let events = log.len() as u64;
        let mut timeline = Timeline::new(&runs::header(3), log);
        println!("{name}: {events} events, keyframes take {} bytes", timeline.keyframe_bytes());
        let random = Stream::new(1, "seek");
        let mut draw = 0;
        let mut position = || {
            draw += 1;
            below(random.at(draw), events) as usize
        };
        criterion.bench_function(&format!("random seek, {name}"), |bencher| {
            bencher.iter_batched(
                &mut position,
                |position| timeline.seek_position(position).events,
                BatchSize::SmallInput,
            );
        });
        timeline.seek_position(events as usize);
        criterion.bench_function(&format!("previous event, {name}"), |bencher| {
            bencher.iter(|| timeline.previous_event());
        });
    }
}

criterion_group!(benches, seek);
criterion_main!(benches);
