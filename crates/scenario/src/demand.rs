//! The demand as every driver replays it: who sends which message when, with which key and size. It is a pure
//! function of the scenario's demand and seed; contenders and faults have no part in it.

use std::sync::Arc;

use brokerlab_event::{
    ClientId, Distribution, Duration, Generator, KeyId, KeyTable, KindLaw, MessageId, Mixer, Stream, Time, below, unit,
};

use brokerlab_broker::properties::{FieldValue, Properties};

use crate::scenario::{ArrivalLaw, Arrivals, Autoscale, DemandSpec, Failures};
use crate::trace::Trace;

/// The largest message that a law of sizes gives: what lies above is cut to it.
pub const LARGEST_MESSAGE: u32 = 1 << 30;

/// A message that is to be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Arrival {
    /// When.
    pub time: Time,
    /// Its number, from 0 in the order of time.
    pub message: MessageId,
    /// By whom.
    pub producer: ClientId,
    /// Its key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// The size of its body in bytes.
    pub size: u32,
    /// Its kind, an index.
    pub kind: u16,
    /// It says that its key is no more.
    pub tombstone: bool,
}

/// The messages of a run in the order of their times. Cloning it is cheap, and the clone goes on from the same
/// place.
#[derive(Clone, Debug)]
pub struct Demand {
    next: u64,
    producers: u32,
    placement: Stream,
    key_placement: Stream,
    until: Time,
    clock: Clock,
    keys: KeyLaw,
    key_stream: Stream,
    size: Distribution,
    size_stream: Stream,
    kinds: KindLaw,
    /// The law of sizes of each kind that has one of its own.
    kind_sizes: Arc<[Option<Distribution>]>,
    /// Which kinds are tombstones.
    kind_tombstones: Arc<[bool]>,
    digest: u64,
}

/// Where the times come from.
#[derive(Clone, Debug)]
enum Clock {
    Law(LawClock),
    Trace(Arc<Trace>),
}

/// Unit gaps folded through the rate: a gap of the law is a stretch of *expected messages*, which is walked off
/// through the stretches of constant rate.
#[derive(Clone, Debug)]
struct LawClock {
    law: ArrivalLaw,
    generator: Generator,
    /// The next gap. It is drawn one ahead: that takes long, and nothing has to wait for it then.
    gap: f64,
    schedule: Arc<[(f64, Duration)]>,
    bursts: Option<(Duration, Duration)>,
    /// Which entry of the schedule holds, and when it ends.
    entry: usize,
    entry_end: u64,
    /// Whether a burst is on, and when that ends.
    on: bool,
    on_end: u64,
    /// The stretch of constant rate in which the last message lay.
    start: u64,
    end: u64,
    /// Nanoseconds for each message.
    spacing: f64,
    /// How far into the stretch the last message lay, in nanoseconds, and how many are expected in what is left of
    /// it. Both are kept relative to the stretch so that rounding does not grow with the length of the run.
    place: f64,
    left: f64,
}

impl LawClock {
    fn new(seed: u64, law: ArrivalLaw, schedule: &[(f64, Duration)], bursts: Option<(Duration, Duration)>) -> LawClock {
        let mut clock = LawClock {
            law,
            generator: Generator::new(seed, "arrivals"),
            gap: 0.0,
            schedule: schedule.into(),
            bursts,
            entry: 0,
            entry_end: schedule[0].1.as_nanos(),
            on: true,
            on_end: bursts.map_or(u64::MAX, |(on, _)| on.as_nanos()),
            start: 0,
            end: 0,
            spacing: 0.0,
            place: 0.0,
            left: 0.0,
        };
        clock.enter(0);
        clock.gap = clock.draw();
        clock
    }

    #[inline]
    fn draw(&mut self) -> f64 {
        match self.law {
            ArrivalLaw::Poisson => self.generator.exponential(),
            ArrivalLaw::Constant => 1.0,
        }
    }

    /// Begins the stretch of constant rate at this moment.
    fn enter(&mut self, now: u64) {
        self.start = now;
        self.place = 0.0;
        self.end = self.entry_end.min(self.on_end);
        let rate = if self.on { self.schedule[self.entry].0 * 1e-9 } else { 0.0 };
        self.left = (self.end - self.start) as f64 * rate;
        self.spacing = 1.0 / rate;
    }

    /// Goes on to the next stretch.
    fn advance(&mut self) {
        let now = self.end;
        if self.entry_end == now {
            self.entry = (self.entry + 1) % self.schedule.len();
            self.entry_end = now.saturating_add(self.schedule[self.entry].1.as_nanos());
        }
        if self.on_end == now
            && let Some((on, off)) = self.bursts
        {
            self.on = !self.on;
            self.on_end = now.saturating_add(if self.on { on } else { off }.as_nanos());
        }
        self.enter(now);
    }

    /// The time of the next message, or nothing if it is not before the end.
    #[inline]
    fn next(&mut self, until: u64) -> Option<u64> {
        let mut gap = self.gap;
        self.gap = self.draw();
        loop {
            if gap < self.left {
                self.left -= gap;
                self.place += gap * self.spacing;
                // Rounding must not carry a message past the stretch whose rate brought it.
                let time = (self.start + self.place as u64).min(self.end - 1);
                return (time < until).then_some(time);
            }
            gap -= self.left;
            if self.end >= until {
                return None;
            }
            self.advance();
        }
    }
}

/// Where the keys come from.
#[derive(Clone, Debug)]
enum KeyLaw {
    None,
    Uniform(u32),
    Zipf(Arc<Zipf>),
}

/// Zipf's law by inversion: key number `k` has a weight of (k + 1) to the power of minus the exponent. A guide
/// table tells for each of as many equal slices of chance where to begin to look, so that a look-up takes two
/// steps on average however many keys there are.
#[derive(Debug)]
struct Zipf {
    cumulative: Vec<f64>,
    guide: Vec<u32>,
}

impl Zipf {
    fn new(count: u32, exponent: f64) -> Zipf {
        let mut cumulative = Vec::with_capacity(count as usize);
        let mut sum = 0.0;
        for rank in 1..=count {
            sum += libm::pow(f64::from(rank), -exponent);
            cumulative.push(sum);
        }
        cumulative.iter_mut().for_each(|value| *value /= sum);
        let mut guide = Vec::with_capacity(count as usize);
        let mut key = 0;
        for slice in 0..count {
            while cumulative[key as usize] <= f64::from(slice) / f64::from(count) && key + 1 < count {
                key += 1;
            }
            guide.push(key);
        }
        Zipf { cumulative, guide }
    }

    #[inline]
    fn key(&self, bits: u64) -> u32 {
        let chance = unit(bits);
        let last = self.cumulative.len() - 1;
        let slice = ((chance * self.cumulative.len() as f64) as usize).min(last);
        let mut key = self.guide[slice] as usize;
        while self.cumulative[key] <= chance && key < last {
            key += 1;
        }
        key as u32
    }
}

impl Demand {
    /// The demand of this description under this seed.
    pub fn new(spec: &DemandSpec, seed: u64) -> Demand {
        let clock = match &spec.arrivals {
            Arrivals::Law { law, schedule, bursts } => Clock::Law(LawClock::new(seed, *law, schedule, *bursts)),
            Arrivals::Trace(trace) => Clock::Trace(Arc::clone(trace)),
        };
        let keys = match spec.keys {
            None => KeyLaw::None,
            Some(keys) => match keys.zipf {
                None => KeyLaw::Uniform(keys.count),
                Some(exponent) => KeyLaw::Zipf(Arc::new(Zipf::new(keys.count, exponent))),
            },
        };
        Demand {
            next: 0,
            producers: spec.producers,
            placement: Stream::new(seed, "placement"),
            key_placement: Stream::new(seed, "placement").within(1),
            until: spec.until,
            clock,
            keys,
            key_stream: Stream::new(seed, "keys"),
            size: spec.size,
            size_stream: Stream::new(seed, "sizes"),
            kinds: spec.kind_law(seed),
            kind_sizes: spec.kinds.iter().map(|kind| kind.size).collect(),
            kind_tombstones: spec.kinds.iter().map(|kind| kind.tombstone).collect(),
            digest: digest(spec, seed),
        }
    }

    /// A digest of everything that decides the demand: who sends what when, and who needs it with how much work.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// How many messages it has sent so far.
    pub fn sent(&self) -> u64 {
        self.next
    }

    /// The size that the law gives a message.
    #[inline]
    fn drawn_size(&self, message: u64, kind: u16) -> u32 {
        let own = self.kind_sizes.get(usize::from(kind)).copied().flatten();
        let size = match own.unwrap_or(self.size) {
            Distribution::Constant(size) => size,
            law => libm::round(law.sample(self.size_stream.at(message))),
        };
        (size as u32).clamp(1, LARGEST_MESSAGE)
    }
}

impl Iterator for Demand {
    type Item = Arrival;

    #[inline]
    fn next(&mut self) -> Option<Arrival> {
        let number = self.next;
        let (time, key, size) = match &mut self.clock {
            Clock::Law(clock) => {
                let time = clock.next(self.until.as_nanos())?;
                let key = match &self.keys {
                    KeyLaw::None => KeyId::NONE,
                    KeyLaw::Uniform(count) => KeyId::new(below(self.key_stream.at(number), u64::from(*count)) as u32),
                    KeyLaw::Zipf(zipf) => KeyId::new(zipf.key(self.key_stream.at(number))),
                };
                (Time::from_nanos(time), key, None)
            }
            Clock::Trace(trace) => {
                let row = trace.rows().get(number as usize).filter(|row| row.time < self.until)?;
                (row.time, row.key, row.size)
            }
        };
        let kind = self.kinds.of(MessageId::new(number));
        let size = size.unwrap_or_else(|| self.drawn_size(number, kind));
        // One key has one producer, so that the order in which its messages were to be sent is an order that a
        // broker can keep.
        let producer = match (self.producers, key.some()) {
            (1, _) => 0,
            (count, Some(key)) => below(self.key_placement.at(u64::from(key.get())), u64::from(count)),
            (count, None) => below(self.placement.at(number), u64::from(count)),
        };
        let producer = ClientId::new(producer as u32);
        let tombstone = self.kind_tombstones.get(usize::from(kind)).copied().unwrap_or(false);
        self.next += 1;
        Some(Arrival { time, message: MessageId::new(number), producer, key, size, kind, tombstone })
    }
}

/// The key bytes of a demand: the strings of the trace, else `key-000000` and so on.
pub(crate) fn key_table(spec: &DemandSpec) -> KeyTable {
    if let Arrivals::Trace(trace) = &spec.arrivals {
        return trace.keys().clone();
    }
    let mut table = KeyTable::default();
    for number in 0..spec.keys.map_or(0, |keys| keys.count) {
        table.push(format!("key-{number:06}").as_bytes());
    }
    table
}

/// How many messages are to be expected: those of the schedule, or of its highest rate for as long as bursts are
/// on, whichever are fewer. It serves to refuse what is too much, so it rather errs upwards.
pub(crate) fn expected_messages(spec: &DemandSpec) -> f64 {
    let (schedule, bursts) = match &spec.arrivals {
        Arrivals::Trace(trace) => return trace.rows().len() as f64,
        Arrivals::Law { schedule, bursts, .. } => (schedule, bursts),
    };
    let until = spec.until.as_secs_f64();
    let round: f64 = schedule.iter().map(|(_, hold)| hold.as_secs_f64()).sum();
    let rounds = libm::floor(until / round);
    let mut rest = until - rounds * round;
    let mut scheduled = 0.0;
    let mut highest: f64 = 0.0;
    for (rate, hold) in schedule {
        let hold = hold.as_secs_f64();
        scheduled += rate * (rounds * hold + hold.min(rest));
        rest = (rest - hold).max(0.0);
        highest = highest.max(*rate);
    }
    let on_for = bursts.map_or(until, |(on, off)| {
        let (on, round) = (on.as_secs_f64(), on.as_secs_f64() + off.as_secs_f64());
        let rounds = libm::floor(until / round);
        rounds * on + (until - rounds * round).min(on)
    });
    scheduled.min(highest * on_for)
}

fn mix_law(mixer: &mut Mixer, law: &Distribution) {
    let (tag, parameters) = match *law {
        Distribution::Constant(value) => (0, [value, 0.0, 0.0]),
        Distribution::Exponential { mean } => (1, [mean, 0.0, 0.0]),
        Distribution::Erlang { mean, shape } => (2, [mean, f64::from(shape), 0.0]),
        Distribution::Lognormal { mean, sigma } => (3, [mean, sigma, 0.0]),
        Distribution::Bimodal { low, high, chance } => (4, [low, high, chance]),
        Distribution::Uniform { low, high } => (5, [low, high, 0.0]),
    };
    mixer.mix(tag);
    parameters.iter().for_each(|parameter| mixer.mix(parameter.to_bits()));
}

/// What kinds there are, who wants them, and whose work fails. Demands that say nothing of it have the digest that
/// they had before there were kinds.
fn mix_kinds(mixer: &mut Mixer, spec: &DemandSpec) {
    for kind in &spec.kinds {
        mixer.mix_bytes(kind.name.as_bytes());
        mixer.mix(kind.share);
        if let Some(law) = &kind.size {
            mix_law(mixer, law);
        }
        let Properties { priority, expiration, transient, headers, .. } = &kind.properties;
        mixer.mix(priority.map_or(u64::MAX, u64::from));
        mixer.mix_bytes(expiration.as_deref().unwrap_or("none").as_bytes());
        mixer.mix(u64::from(*transient));
        if kind.tombstone {
            mixer.mix_bytes(b"tombstone");
        }
        for (name, value) in headers.iter() {
            mixer.mix_bytes(name.as_bytes());
            mix_field(mixer, value);
        }
    }
    for (index, application) in spec.applications.iter().enumerate() {
        for (kind, _) in application.wants.iter().flatten().enumerate().filter(|(_, wanted)| **wanted) {
            mixer.mix(index as u64);
            mixer.mix(kind as u64);
        }
        if application.failures != Failures::default() {
            mixer.mix(index as u64);
            mixer.mix(u64::from(application.failures.poison));
            mixer.mix(u64::from(application.failures.transient));
        }
    }
}

fn mix_field(mixer: &mut Mixer, value: &FieldValue) {
    match value {
        FieldValue::Void => mixer.mix(0),
        FieldValue::Bool(flag) => mixer.mix(1 + u64::from(*flag)),
        FieldValue::Integer(number) => {
            mixer.mix(3);
            mixer.mix(*number as u64);
        }
        FieldValue::Text(text) => mixer.mix_bytes(text.as_bytes()),
        FieldValue::Array(values) => values.iter().for_each(|value| mix_field(mixer, value)),
    }
}

/// The digest names every parameter in a fixed order, so that equal demands have equal digests whatever else the
/// file says.
fn digest(spec: &DemandSpec, seed: u64) -> u64 {
    let mut mixer = Mixer::new(0xde3a_4d00);
    mixer.mix(seed);
    mixer.mix(u64::from(spec.producers));
    mixer.mix(spec.until.as_nanos());
    match &spec.arrivals {
        Arrivals::Law { law, schedule, bursts } => {
            mixer.mix(match law {
                ArrivalLaw::Poisson => 1,
                ArrivalLaw::Constant => 2,
            });
            mixer.mix(schedule.len() as u64);
            for (rate, hold) in schedule {
                mixer.mix(rate.to_bits());
                mixer.mix(hold.as_nanos());
            }
            let (on, off) = bursts.unwrap_or_default();
            mixer.mix(on.as_nanos());
            mixer.mix(off.as_nanos());
        }
        Arrivals::Trace(trace) => {
            mixer.mix(3);
            mixer.mix(trace.digest());
        }
    }
    mixer.mix(spec.keys.map_or(0, |keys| u64::from(keys.count)));
    mixer.mix(spec.keys.and_then(|keys| keys.zipf).map_or(u64::MAX, f64::to_bits));
    mix_law(&mut mixer, &spec.size);
    for application in &spec.applications {
        mixer.mix_bytes(application.name.as_bytes());
        mixer.mix(u64::from(application.consumers));
        for joins in &application.joins {
            mixer.mix(joins.as_nanos());
        }
        if let Some(Autoscale { lag, least, every, cooldown }) = application.autoscale {
            for part in [lag, u64::from(least), every.as_nanos(), cooldown.as_nanos()] {
                mixer.mix(part);
            }
        }
        mixer.mix(u64::from(application.answer));
        mix_law(&mut mixer, &application.work);
    }
    mix_kinds(&mut mixer, spec);
    mixer.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(schedule: &[(f64, u64)], bursts: Option<(u64, u64)>, until: u64) -> f64 {
        let seconds = Duration::from_secs;
        let schedule = schedule.iter().map(|(rate, hold)| (*rate, seconds(*hold))).collect();
        let bursts = bursts.map(|(on, off)| (seconds(on), seconds(off)));
        expected_messages(&DemandSpec {
            producers: 1,
            arrivals: Arrivals::Law { law: ArrivalLaw::Poisson, schedule, bursts },
            keys: None,
            size: Distribution::Constant(1.0),
            until: Time::ZERO + seconds(until),
            kinds: Vec::new(),
            applications: Vec::new(),
        })
    }

    #[test]
    fn what_is_too_much_is_seen_wherever_it_lies_in_the_schedule() {
        assert_eq!(expected(&[(10.0, 3_600)], None, 100), 1_000.0);
        assert_eq!(expected(&[(10.0, 10), (100.0, 10)], None, 50), 2.0 * 1_100.0 + 100.0);
        assert_eq!(expected(&[(10.0, 3_600)], Some((1, 4)), 100), 200.0);
        assert_eq!(expected(&[(10.0, 3_600)], Some((100, 1_000_000)), 100), 1_000.0);
    }
}
