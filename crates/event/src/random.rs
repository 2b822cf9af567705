//! Chance that is the same everywhere: a named portable generator, counter-based hashing, and samplers that use
//! `libm` by name or a logarithm of their own. The platform's own `ln` and `exp` differ in their last bits from system to system, so they
//! must not come near a result.

use crate::Duration;
use crate::fingerprint::Mixer;
use crate::logarithm::negative_logarithm;

/// SplitMix64 (Steele, Lea, Flood 2014): one step, which also serves to turn a counter into a well-mixed number.
#[inline]
fn split_mix(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Xoshiro256++ 1.0 (Blackman and Vigna), seeded by SplitMix64. Equal draws on every platform, for ever: held
/// against `rand_xoshiro` in a test.
///
/// ```
/// use brokerlab_event::Generator;
/// let (mut a, mut b) = (Generator::new(42, "arrivals"), Generator::new(42, "arrivals"));
/// assert_eq!(a.next_u64(), b.next_u64());
/// assert_ne!(a.next_u64(), Generator::new(42, "jitter").next_u64());
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Generator {
    state: [u64; 4],
}

impl Generator {
    /// The generator of one purpose. Streams of different names are independent, so adding one does not disturb
    /// another.
    pub fn new(seed: u64, stream: &str) -> Generator {
        Generator::from_seed(Stream::new(seed, stream).base)
    }

    /// The generator whose state is drawn from this number by SplitMix64, as `rand_xoshiro` does it.
    pub fn from_seed(seed: u64) -> Generator {
        let step = |n: u64| split_mix(seed.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
        Generator { state: [step(0), step(1), step(2), step(3)] }
    }

    /// The next 64 random bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// A number in [0, 1) with 53 random bits.
    #[inline]
    pub fn unit(&mut self) -> f64 {
        unit(self.next_u64())
    }

    /// An exponential variate of mean 1, by inversion: exactly one draw each.
    #[inline]
    pub fn exponential(&mut self) -> f64 {
        exponential(self.next_u64())
    }

    /// A whole number below `bound`, without bias worth speaking of (less than 2⁻³² for bounds below 2³²).
    ///
    /// # Panics
    /// Panics where `bound` is zero.
    #[inline]
    pub fn below(&mut self, bound: u64) -> u64 {
        below(self.next_u64(), bound)
    }
}

/// The generator behind the traits of `rand`, so that its adaptors work on it.
impl rand_core::TryRng for Generator {
    type Error = core::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok((self.next_u64() >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(Generator::next_u64(self))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&Generator::next_u64(self).to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Random bits as a pure function of (seed, stream, counters): the same message gets the same bits on every
/// attempt, for whichever consumer, in every contender.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stream {
    base: u64,
}

impl Stream {
    /// The stream of this name under this seed.
    pub fn new(seed: u64, name: &str) -> Stream {
        let mut mixer = Mixer::new(seed);
        mixer.mix_bytes(name.as_bytes());
        Stream { base: mixer.digest() }
    }

    /// A stream within this one, told apart by a number (an application, say).
    pub fn within(self, number: u64) -> Stream {
        Stream { base: split_mix(self.base ^ split_mix(number)) }
    }

    /// 64 random bits for this counter.
    #[inline]
    pub fn at(self, counter: u64) -> u64 {
        split_mix(self.base ^ split_mix(counter))
    }
}

/// A number in [0, 1) from 64 random bits.
#[inline]
pub fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 * (1.0 / (1_u64 << 53) as f64)
}

/// An exponential variate of mean 1 from 64 random bits; never infinite.
#[inline]
pub fn exponential(bits: u64) -> f64 {
    negative_logarithm((1 << 53) - (bits >> 11))
}

/// A whole number below `bound` from 64 random bits (Lemire's multiplication).
///
/// # Panics
/// Panics where `bound` is zero.
#[inline]
pub fn below(bits: u64, bound: u64) -> u64 {
    assert!(bound > 0, "a number below zero does not exist");
    ((u128::from(bits) * u128::from(bound)) >> 64) as u64
}

/// A normal variate (mean 0, deviation 1) from 64 random bits, by Box and Muller's transform of its halves.
fn normal(bits: u64) -> f64 {
    let radius = libm::sqrt(2.0 * exponential(bits));
    let angle = unit(split_mix(bits)) * core::f64::consts::TAU;
    radius * libm::cos(angle)
}

/// A law of sizes or times. Every law draws from 64 bits of a [`Stream`], so a value belongs to its message.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Distribution {
    /// Always the same.
    Constant(f64),
    /// Memoryless.
    Exponential {
        /// Mean.
        mean: f64,
    },
    /// The sum of `shape` exponentials: less variable than one.
    Erlang {
        /// Mean of the sum.
        mean: f64,
        /// How many, 1 to 1000.
        shape: u32,
    },
    /// Long-tailed.
    Lognormal {
        /// Mean (not the median).
        mean: f64,
        /// Standard deviation of the logarithm.
        sigma: f64,
    },
    /// `low` or, with this chance, `high`.
    Bimodal {
        /// The usual value.
        low: f64,
        /// The other value.
        high: f64,
        /// Chance of the other value, 0 to 1.
        chance: f64,
    },
    /// Anything in a range, equally likely.
    Uniform {
        /// Least value.
        low: f64,
        /// Greatest value.
        high: f64,
    },
}

impl Distribution {
    /// True where zero is not just possible but likely: again and again.
    pub fn is_often_zero(&self) -> bool {
        match *self {
            Distribution::Constant(value) => value == 0.0,
            Distribution::Bimodal { low, high, .. } => low == 0.0 || high == 0.0,
            Distribution::Uniform { high, .. } => high == 0.0,
            Distribution::Exponential { mean } | Distribution::Erlang { mean, .. } => mean == 0.0,
            Distribution::Lognormal { mean, .. } => mean == 0.0,
        }
    }

    /// The variate that these random bits stand for. Never negative where the parameters are not.
    #[inline]
    pub fn sample(&self, bits: u64) -> f64 {
        match *self {
            Distribution::Constant(value) => value,
            Distribution::Exponential { mean } => mean * exponential(bits),
            Distribution::Erlang { mean, shape } => {
                let mut state = bits;
                let mut sum = 0.0;
                for _ in 0..shape {
                    sum += exponential(state);
                    state = split_mix(state);
                }
                mean * sum / f64::from(shape)
            }
            Distribution::Lognormal { mean, sigma } => mean * libm::exp(sigma * normal(bits) - sigma * sigma / 2.0),
            Distribution::Bimodal { low, high, chance } => {
                if unit(bits) < chance {
                    high
                } else {
                    low
                }
            }
            Distribution::Uniform { low, high } => low + (high - low) * unit(bits),
        }
    }

    /// The mean of the law.
    pub fn mean(&self) -> f64 {
        match *self {
            Distribution::Constant(value) => value,
            Distribution::Exponential { mean }
            | Distribution::Erlang { mean, .. }
            | Distribution::Lognormal { mean, .. } => mean,
            Distribution::Bimodal { low, high, chance } => low + (high - low) * chance,
            Distribution::Uniform { low, high } => (low + high) / 2.0,
        }
    }
}

/// Work per message: a law of seconds and the stream that ties its values to messages.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct WorkLaw {
    /// The law, in seconds.
    pub distribution: Distribution,
    /// The stream of the application.
    pub stream: Stream,
}

impl WorkLaw {
    /// The work that this message is, at normal speed.
    #[inline]
    pub fn of(&self, message: crate::MessageId) -> Duration {
        Duration::from_secs_f64(self.distribution.sample(self.stream.at(message.get())))
    }
}

/// On which messages the work of an application fails. Like the work itself it hangs on the message, not on the
/// consumer or the broker, so that all contenders meet the same failures.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FailureLaw {
    /// How many in a million messages fail at every attempt.
    pub poison: u32,
    /// How many in a million attempts at the other messages fail.
    pub transient: u32,
    /// The stream of the application.
    pub stream: Stream,
}

impl FailureLaw {
    /// True where this attempt at the message fails. Attempts count from 0.
    pub fn fails(&self, message: crate::MessageId, attempt: u32) -> bool {
        const MILLION: u64 = 1_000_000;
        let draws = self.stream.within(message.get());
        let is_poison = below(draws.at(u64::MAX), MILLION) < u64::from(self.poison);
        is_poison || below(draws.at(u64::from(attempt)), MILLION) < u64::from(self.transient)
    }
}

/// Of which kind a message is. Like the work on it, that hangs on the message alone, so that every contender meets
/// the same messages and whoever reads events can tell a message's kind from its id.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindLaw {
    /// The weights of the kinds, each added to those before it.
    cumulative: std::sync::Arc<[u64]>,
    stream: Stream,
}

impl KindLaw {
    /// The law by which kinds come in proportion to their weights, at most 65,536 of them.
    ///
    /// # Panics
    /// Panics where all weights together are zero: some kind there must be.
    pub fn new(weights: impl IntoIterator<Item = u64>, stream: Stream) -> KindLaw {
        let sums = weights.into_iter().scan(0_u64, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let cumulative: std::sync::Arc<[u64]> = sums.collect();
        assert!(cumulative.last().is_some_and(|sum| *sum > 0), "a message is of some kind");
        KindLaw { cumulative, stream }
    }

    /// How many kinds there are.
    pub fn count(&self) -> usize {
        self.cumulative.len()
    }

    /// The kind of this message, an index.
    #[inline]
    pub fn of(&self, message: crate::MessageId) -> u16 {
        match *self.cumulative {
            [_] => 0,
            [.., sum] => {
                let place = below(self.stream.at(message.get()), sum);
                self.cumulative.partition_point(|end| *end <= place) as u16
            }
            [] => unreachable!("there is at least one kind"),
        }
    }
}

/// Of one kind are all messages unless a scenario says otherwise.
impl Default for KindLaw {
    fn default() -> Self {
        KindLaw::new([1], Stream::new(0, "kinds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_core::{Rng, SeedableRng};

    #[test]
    fn the_generator_is_rand_xoshiros_xoshiro256plusplus() {
        for seed in [0, 1, 42, u64::MAX] {
            let mut ours = Generator::from_seed(seed);
            let mut theirs = rand_xoshiro::Xoshiro256PlusPlus::seed_from_u64(seed);
            for _ in 0..1000 {
                assert_eq!(ours.next_u64(), theirs.next_u64());
            }
        }
    }

    #[test]
    fn poison_fails_at_every_attempt_and_the_rest_at_some() {
        let law = FailureLaw { poison: 100_000, transient: 200_000, stream: Stream::new(7, "failures") };
        let message = crate::MessageId::new;
        let always = (0..10_000).filter(|id| (0..40).all(|attempt| law.fails(message(*id), attempt))).count();
        let first = (0..10_000).filter(|id| law.fails(message(*id), 0)).count();
        assert!((900..1_100).contains(&always), "{always}");
        assert!((2_650..2_950).contains(&first), "0.1 + 0.9 * 0.2 of 10,000: {first}");
    }

    #[test]
    fn kinds_come_in_proportion_to_their_weights() {
        let law = KindLaw::new([3, 0, 1], Stream::new(7, "kinds"));
        let mut counts = [0; 3];
        for id in 0..40_000 {
            counts[usize::from(law.of(crate::MessageId::new(id)))] += 1;
        }
        assert!((29_600..30_400).contains(&counts[0]), "{counts:?}");
        assert_eq!((counts[1], law.count()), (0, 3));
        assert_eq!(KindLaw::default().of(crate::MessageId::new(99)), 0);
    }

    #[test]
    fn first_draws_are_golden() {
        let mut generator = Generator::new(42, "golden");
        let draws: Vec<String> = (0..3).map(|_| format!("{:016x}", generator.next_u64())).collect();
        assert_eq!(draws.join(" "), "8f4484114e103da0 bf022113da9e29fa 21e400a871eb392d");
        let laws = [
            Distribution::Constant(2.0),
            Distribution::Exponential { mean: 2.0 },
            Distribution::Erlang { mean: 2.0, shape: 3 },
            Distribution::Lognormal { mean: 2.0, sigma: 0.5 },
            Distribution::Bimodal { low: 1.0, high: 11.0, chance: 0.1 },
            Distribution::Uniform { low: 1.0, high: 3.0 },
        ];
        let stream = Stream::new(42, "work").within(1);
        let bits: Vec<String> = laws.iter().map(|law| format!("{:016x}", law.sample(stream.at(7)).to_bits())).collect();
        assert_eq!(
            bits.join(" "),
            "4000000000000000 3fd416a200b36174 3fdac0b0e5088944 3ffeaa37de50318d 3ff0000000000000 3ff4a5d9606cc90c"
        );
    }

    #[test]
    fn laws_have_their_means_and_deviations() {
        let cases = [
            (Distribution::Exponential { mean: 2.0 }, 2.0),
            (Distribution::Erlang { mean: 2.0, shape: 4 }, 1.0),
            (Distribution::Lognormal { mean: 2.0, sigma: 0.5 }, 2.0 * (libm::exp(0.25) - 1.0).sqrt()),
            (Distribution::Bimodal { low: 1.0, high: 11.0, chance: 0.1 }, 3.0),
            (Distribution::Uniform { low: 1.0, high: 3.0 }, 1.0 / 3.0_f64.sqrt()),
        ];
        let stream = Stream::new(7, "moments");
        for (law, deviation) in cases {
            let count = 400_000_u64;
            let values: Vec<f64> = (0..count).map(|n| law.sample(stream.at(n))).collect();
            let mean = values.iter().sum::<f64>() / count as f64;
            let variance = values.iter().map(|v| (v - mean) * (v - mean)).sum::<f64>() / count as f64;
            // Four standard errors of the mean; the deviation within 2 %.
            assert!((mean - law.mean()).abs() < 4.0 * deviation / (count as f64).sqrt(), "{law:?}: mean {mean}");
            assert!((variance.sqrt() / deviation - 1.0).abs() < 0.02, "{law:?}: deviation {}", variance.sqrt());
        }
    }

    #[test]
    fn streams_and_counters_are_told_apart() {
        let (a, b) = (Stream::new(1, "a"), Stream::new(1, "b"));
        assert_ne!(a.at(0), b.at(0));
        assert_ne!(a.at(0), a.at(1));
        assert_ne!(a.within(0).at(0), a.within(1).at(0));
        assert_ne!(a.at(0), Stream::new(2, "a").at(0));
    }
}
