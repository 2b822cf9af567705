//! The demand that every contender faces.

use brokerlab_event::Time;
use brokerlab_scenario::{Demand, Scenario, Source};

/// A scenario with this `[demand]`; the application is added.
fn scenario(demand: &str, settings: &[&str]) -> Scenario {
    let text = format!(
        "format = 1\ntitle = \"t\"\nduration = \"100s\"\n[demand]\n{demand}\n[[demand.application]]\nname = \"a\"\n\
         work = \"1ms\"\n[[contender]]\nname = \"queue\"\nmodel = \"queue\"\n"
    );
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    Scenario::parse(&Source::new("test.toml", text), &settings).unwrap_or_else(|error| panic!("{error}"))
}

fn demand(text: &str) -> Demand {
    let scenario = scenario(text, &[]);
    Demand::new(&scenario.demand, scenario.seed)
}

fn count_between(demand: Demand, from: u64, to: u64) -> usize {
    let seconds = |n: u64| Time::from_nanos(n * 1_000_000_000);
    demand.filter(|arrival| (seconds(from)..seconds(to)).contains(&arrival.time)).count()
}

#[test]
fn constant_gaps_are_exact() {
    let times: Vec<u64> = demand("rate = \"40/s\"\narrivals = \"constant\"").map(|a| a.time.as_nanos()).collect();
    assert_eq!(times.len(), 3999, "the 4000th would be sent as the run ends");
    for (index, time) in times.iter().enumerate() {
        assert!(time.abs_diff((index as u64 + 1) * 25_000_000) <= 1, "message {index} at {time}");
    }
}

#[test]
fn poisson_arrivals_have_their_rate_and_their_spread() {
    let gaps: Vec<f64> = {
        let times: Vec<f64> = demand("rate = \"1000/s\"").map(|a| a.time.as_secs_f64()).collect();
        times.windows(2).map(|pair| pair[1] - pair[0]).collect()
    };
    let count = gaps.len() as f64;
    assert!((count - 100_000.0).abs() < 4.0 * 100_000_f64.sqrt(), "{count}");
    let mean = gaps.iter().sum::<f64>() / count;
    let variance = gaps.iter().map(|gap| (gap - mean) * (gap - mean)).sum::<f64>() / count;
    assert!((variance.sqrt() / mean - 1.0).abs() < 0.02, "an exponential deviates by its mean");
}

#[test]
fn a_schedule_repeats_and_bursts_are_silent_between() {
    let schedule =
        "schedule = [[\"100/s\", \"10s\"], [\"0/s\", \"5s\"], [\"1000/s\", \"5s\"]]\narrivals = \"constant\"";
    for round in 0..5 {
        let start = round * 20;
        assert!(count_between(demand(schedule), start, start + 10).abs_diff(1000) <= 1);
        assert_eq!(count_between(demand(schedule), start + 10, start + 15), 0);
        assert!(count_between(demand(schedule), start + 15, start + 20).abs_diff(5000) <= 1);
    }
    let bursts = "rate = \"1000/s\"\narrivals = { on = \"1s\", off = \"4s\", gaps = \"constant\" }";
    assert!(count_between(demand(bursts), 0, 1).abs_diff(1000) <= 1);
    assert_eq!(count_between(demand(bursts), 1, 5), 0);
    assert!(count_between(demand(bursts), 5, 6).abs_diff(1000) <= 1);
}

#[test]
fn times_are_in_order_and_numbers_count_up() {
    let mut last = Time::ZERO;
    for (index, arrival) in demand("rate = \"500/s\"\nproducers = 3").enumerate() {
        assert!(arrival.time >= last);
        assert_eq!(arrival.message.get(), index as u64);
        assert!(arrival.producer.get() < 3);
        last = arrival.time;
    }
}

#[test]
fn producers_stop_when_they_are_told() {
    let last = demand("rate = \"500/s\"\nuntil = \"20s\"").last().expect("there are messages");
    assert!(last.time < Time::from_nanos(20_000_000_000) && last.time > Time::from_nanos(19_000_000_000));
}

#[test]
fn a_key_has_one_producer() {
    let mut owners = [None; 50];
    let mut used = [0; 4];
    for arrival in demand("rate = \"500/s\"\nproducers = 4\nkeys = { count = 50 }") {
        let owner = owners[arrival.key.index()].get_or_insert(arrival.producer);
        assert_eq!(*owner, arrival.producer);
        used[arrival.producer.index()] += 1;
    }
    assert!(used.iter().all(|count| *count > 0), "{used:?}");
}

#[test]
fn zipf_keys_follow_their_law() {
    let mut counts = [0_f64; 100];
    let mut all = 0.0;
    for arrival in demand("rate = \"5000/s\"\nkeys = { count = 100, distribution = \"zipf\", exponent = 1.2 }") {
        counts[arrival.key.index()] += 1.0;
        all += 1.0;
    }
    let weight = |key: usize| libm::pow((key + 1) as f64, -1.2);
    let total: f64 = (0..100).map(weight).sum();
    for (key, count) in counts.into_iter().enumerate() {
        let expected = all * weight(key) / total;
        assert!((count - expected).abs() < 5.0 * expected.sqrt(), "key {key}: {count}, expected {expected}");
    }
}

#[test]
fn sizes_follow_their_law() {
    let constant = demand("rate = \"10/s\"\nsize = \"2KiB\"").map(|a| a.size).collect::<Vec<_>>();
    assert!(constant.iter().all(|size| *size == 2048));
    let law = "rate = \"1000/s\"\nsize = { low = \"100B\", high = \"1KiB\", distribution = \"uniform\" }";
    let sizes: Vec<u32> = demand(law).map(|a| a.size).collect();
    assert!(sizes.iter().all(|size| (100..=1024).contains(size)));
    let mean = sizes.iter().map(|size| f64::from(*size)).sum::<f64>() / sizes.len() as f64;
    assert!((mean - 562.0).abs() < 5.0, "{mean}");
}

#[test]
fn the_digest_is_that_of_the_demand_alone() {
    let text = "rate = \"40/s\"\nkeys = { count = 10 }";
    let digest = |settings: &[&str]| {
        let scenario = scenario(text, settings);
        Demand::new(&scenario.demand, scenario.seed).digest()
    };
    let base = digest(&[]);
    assert_eq!(base, digest(&["contender.queue.prefetch=7", "title=other"]));
    for setting in ["demand.rate=41/s", "demand.keys.count=11", "seed=43", "demand.application.a.work=2ms"] {
        assert_ne!(base, digest(&[setting]), "{setting}");
    }
}

#[test]
fn a_clone_goes_on_from_the_same_place() {
    let mut original = demand("rate = \"40/s\"\nkeys = { count = 10 }");
    original.by_ref().take(100).for_each(drop);
    let clone = original.clone();
    assert_eq!(original.sent(), 100);
    assert!(original.eq(clone));
}
