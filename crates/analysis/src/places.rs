//! Sets of places in a store that cost next to nothing to copy.

use std::collections::VecDeque;
use std::sync::Arc;

const BITS: u64 = 4096;
const WORDS: usize = (BITS / 64) as usize;

/// A set of whole numbers between a moving start and a moving end: the places of a queue, or the messages in
/// somebody's hands. Stretches of 4096 numbers that are all there or all missing take no memory of their own, and
/// the others are shared between copies until one of them changes. So copying the set of a million waiting
/// messages copies a few hundred pointers, whatever the pattern of gaps.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct PlaceSet {
    /// The number of the first chunk; chunk `c` holds the numbers from `4096 * c`.
    first: u64,
    /// Neither the first nor the last is empty.
    chunks: VecDeque<Chunk>,
    count: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Chunk {
    Empty,
    Full,
    Mixed(Arc<Bits>),
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Bits {
    words: [u64; WORDS],
    count: u32,
}

impl PlaceSet {
    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// True where there are none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// True where the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        match self.chunk(number / BITS) {
            Chunk::Empty => false,
            Chunk::Full => true,
            Chunk::Mixed(bits) => bits.words[word(number)] & bit(number) != 0,
        }
    }

    /// Adds a number; true where it was not there.
    pub fn insert(&mut self, number: u64) -> bool {
        if self.contains(number) {
            return false;
        }
        self.reach(number / BITS);
        let chunk = &mut self.chunks[(number / BITS - self.first) as usize];
        let bits = chunk.bits();
        bits.words[word(number)] |= bit(number);
        bits.count += 1;
        if u64::from(bits.count) == BITS {
            *chunk = Chunk::Full;
        }
        self.count += 1;
        true
    }

    /// Takes a number out; true where it was there.
    pub fn remove(&mut self, number: u64) -> bool {
        if !self.contains(number) {
            return false;
        }
        let chunk = &mut self.chunks[(number / BITS - self.first) as usize];
        let bits = chunk.bits();
        bits.words[word(number)] &= !bit(number);
        bits.count -= 1;
        if bits.count == 0 {
            *chunk = Chunk::Empty;
        }
        self.count -= 1;
        self.trim();
        true
    }

    /// Takes out every number from this one on, and tells how many there were.
    pub fn cut(&mut self, from: u64) -> u64 {
        let beyond: Vec<u64> = self.runs().flat_map(|(first, end)| first.max(from)..end.max(from)).collect();
        beyond.iter().for_each(|number| _ = self.remove(*number));
        beyond.len() as u64
    }

    /// The least number.
    pub fn first(&self) -> Option<u64> {
        self.runs().next().map(|(start, _)| start)
    }

    /// The runs of consecutive numbers in order: the first of each, and the first after it.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        let end = (self.first + self.chunks.len() as u64) * BITS;
        let mut at = self.first * BITS;
        core::iter::from_fn(move || {
            let start = self.next_change(at, end, true);
            at = self.next_change(start, end, false);
            (start < end).then_some((start, at))
        })
    }

    /// Bytes that this copy takes beyond those that it shares with another.
    pub(crate) fn weight_beyond(&self, other: &PlaceSet) -> usize {
        let own = |(index, chunk): (usize, &Chunk)| match (chunk, other.chunk(self.first + index as u64)) {
            (Chunk::Mixed(bits), Chunk::Mixed(theirs)) if Arc::ptr_eq(bits, theirs) => 0,
            (Chunk::Mixed(_), _) => size_of::<Bits>() + 16,
            _ => 0,
        };
        self.chunks.len() * size_of::<Chunk>() + self.chunks.iter().enumerate().map(own).sum::<usize>()
    }

    /// The first number from `at` on whose membership is as wanted, or `end`.
    fn next_change(&self, mut at: u64, end: u64, wanted: bool) -> u64 {
        while at < end {
            let step = match self.chunk(at / BITS) {
                Chunk::Full if wanted => return at,
                Chunk::Empty if !wanted => return at,
                Chunk::Full | Chunk::Empty => BITS - at % BITS,
                Chunk::Mixed(bits) => {
                    let word = bits.words[word(at)];
                    let word = (if wanted { word } else { !word }) >> (at % 64);
                    if word != 0 {
                        return at + u64::from(word.trailing_zeros());
                    }
                    64 - at % 64
                }
            };
            at += step;
        }
        end
    }

    fn chunk(&self, number: u64) -> &Chunk {
        let index = number.wrapping_sub(self.first);
        if index < self.chunks.len() as u64 { &self.chunks[index as usize] } else { &Chunk::Empty }
    }

    fn reach(&mut self, chunk: u64) {
        if self.chunks.is_empty() {
            self.first = chunk;
        }
        while chunk < self.first {
            self.chunks.push_front(Chunk::Empty);
            self.first -= 1;
        }
        while chunk >= self.first + self.chunks.len() as u64 {
            self.chunks.push_back(Chunk::Empty);
        }
    }

    fn trim(&mut self) {
        while let Some(Chunk::Empty) = self.chunks.front() {
            self.chunks.pop_front();
            self.first += 1;
        }
        while let Some(Chunk::Empty) = self.chunks.back() {
            self.chunks.pop_back();
        }
        if self.chunks.is_empty() {
            self.first = 0;
        }
    }
}

impl Chunk {
    /// Its bits, made its own and not shared, in order to change them.
    fn bits(&mut self) -> &mut Bits {
        match self {
            Chunk::Empty => *self = Chunk::Mixed(Arc::new(Bits { words: [0; WORDS], count: 0 })),
            Chunk::Full => *self = Chunk::Mixed(Arc::new(Bits { words: [u64::MAX; WORDS], count: BITS as u32 })),
            Chunk::Mixed(_) => {}
        }
        match self {
            Chunk::Mixed(bits) => Arc::make_mut(bits),
            _ => unreachable!("it was made mixed just now"),
        }
    }
}

fn word(number: u64) -> usize {
    (number % BITS / 64) as usize
}

fn bit(number: u64) -> u64 {
    1 << (number % 64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn behaves_as_a_plain_set() {
        let (mut ours, mut plain) = (PlaceSet::default(), BTreeSet::new());
        let mut state = 1_u64;
        for step in 0..60_000_u64 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 40) % 9_000 + step / 10;
            let number = if state & 1 == 0 { number } else { number / 3000 * 3000 };
            if state >> 63 == 0 {
                assert_eq!(ours.insert(number), plain.insert(number));
            } else {
                assert_eq!(ours.remove(number), plain.remove(&number));
            }
            assert_eq!(ours.len(), plain.len() as u64);
            if step % 1_000 == 0 {
                let listed: Vec<u64> = ours.runs().flat_map(|(start, end)| start..end).collect();
                assert_eq!(listed, plain.iter().copied().collect::<Vec<_>>());
                assert_eq!(ours.first(), plain.first().copied());
            }
        }
        for number in plain {
            assert!(ours.remove(number));
        }
        assert_eq!(ours, PlaceSet::default(), "what is empty is equal to what is new");
    }

    #[test]
    fn a_million_in_a_row_weigh_little_and_gaps_are_shared() {
        let mut every_other = PlaceSet::default();
        let mut all = PlaceSet::default();
        for number in 0..1_000_000 {
            all.insert(number);
            if number % 2 == 0 {
                every_other.insert(number);
            }
        }
        assert!(all.weight_beyond(&PlaceSet::default()) < 8_000);
        assert!(every_other.weight_beyond(&PlaceSet::default()) > 100_000);
        let mut copy = every_other.clone();
        copy.insert(500_001);
        assert!(copy.weight_beyond(&every_other) < 8_000, "one chunk changed, the others are shared");
        assert!(!every_other.contains(500_001));
    }
}
