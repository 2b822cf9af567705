//! Sets of whole numbers that come in long runs.

use std::collections::BTreeMap;

/// A set of numbers, kept as disjoint runs: a million numbers in a row cost as much as one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IntervalSet {
    /// First number of each run to the first number after it; runs neither touch nor overlap.
    runs: BTreeMap<u64, u64>,
}

impl IntervalSet {
    /// True where the number is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.run_before(number).is_some_and(|(_, end)| number < end)
    }

    /// Adds a number; true where it was not there.
    pub fn insert(&mut self, number: u64) -> bool {
        let before = self.run_before(number);
        if before.is_some_and(|(_, end)| number < end) {
            return false;
        }
        let start = match before {
            Some((start, end)) if end == number => start,
            _ => number,
        };
        let end = self.runs.remove(&(number + 1)).unwrap_or(number + 1);
        self.runs.insert(start, end);
        true
    }

    /// Takes a number out; true where it was there.
    pub fn remove(&mut self, number: u64) -> bool {
        let Some((start, end)) = self.run_before(number).filter(|&(_, end)| number < end) else { return false };
        if start == number {
            self.runs.remove(&start);
        } else {
            self.runs.insert(start, number);
        }
        if number + 1 < end {
            self.runs.insert(number + 1, end);
        }
        true
    }

    /// The least number.
    pub fn first(&self) -> Option<u64> {
        self.runs.first_key_value().map(|(&start, _)| start)
    }

    /// The runs in order: the first number of each, and the first after it.
    pub fn runs(&self) -> impl Iterator<Item = (u64, u64)> + '_ {
        self.runs.iter().map(|(&start, &end)| (start, end))
    }

    /// How many runs there are: what the set costs.
    pub fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// True where there are no numbers.
    pub fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    fn run_before(&self, number: u64) -> Option<(u64, u64)> {
        self.runs.range(..=number).next_back().map(|(&start, &end)| (start, end))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn behaves_as_a_plain_set_and_keeps_few_runs() {
        let (mut ours, mut plain) = (IntervalSet::default(), BTreeSet::new());
        let mut state = 1_u64;
        for _ in 0..20_000 {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let number = (state >> 40) % 64;
            if state >> 63 == 0 {
                assert_eq!(ours.insert(number), plain.insert(number));
            } else {
                assert_eq!(ours.remove(number), plain.remove(&number));
            }
            let listed: Vec<u64> = ours.runs().flat_map(|(start, end)| start..end).collect();
            assert_eq!(listed, plain.iter().copied().collect::<Vec<_>>());
            assert!(ours.runs().zip(ours.runs().skip(1)).all(|(a, b)| a.1 < b.0), "runs that touch are one");
            assert_eq!(ours.contains(number), plain.contains(&number));
            assert_eq!(ours.first(), plain.first().copied());
        }
    }
}
