//! What the analysis costs a message that goes through one queue: nine events.

mod runs;

use brokerlab_analysis::{Analysis, Options};
use brokerlab_event::{Duration, Time};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const MESSAGES: u64 = 100_000;
const WAITING: u64 = 5;

fn fold(criterion: &mut Criterion) {
    let header = runs::header(1);
    let mut group = criterion.benchmark_group("fold");
    group.throughput(Throughput::Elements(MESSAGES));
    group.bench_function("a message through a queue", |bencher| {
        bencher.iter(|| {
            let mut analysis = Analysis::new(&header, Options::default());
            for number in 0..MESSAGES + WAITING {
                if number < MESSAGES {
                    runs::arrive(&mut analysis, number * 1_000, number);
                }
                if number >= WAITING {
                    runs::deliver(&mut analysis, number * 1_000 + 10, number - WAITING, 0);
                    runs::complete(&mut analysis, number * 1_000 + 900, number - WAITING, 0);
                }
            }
            analysis.finish(Time::ZERO + Duration::from_micros(MESSAGES + WAITING)).total.offered
        });
    });
    group.finish();
}

criterion_group!(benches, fold);
criterion_main!(benches);
