//! What lies in the future: a heap of packed keys.

use brokerlab_event::Time;

const SEQUENCE_BITS: u32 = 40;
const SLOT_BITS: u32 = 24;

/// Whose turn it is at some moment: a number that only the simulation interprets.
pub type Slot = u32;

/// The future, in order of time; what is due at the same time comes in the order in which it was scheduled.
///
/// An entry is one `u128`: 64 bits of time, 40 of sequence, 24 of slot. Taking the first entry leaves a hole at
/// the root, which the next entry to be scheduled fills: most events schedule one other, so this saves a sift. It is
/// a plain binary heap; that of the standard library offers the hole only with detours.
#[derive(Clone, Debug, Default)]
pub struct Agenda {
    /// No entry is before the one at half its place.
    heap: Vec<u128>,
    sequence: u64,
    root_is_hole: bool,
}

impl Agenda {
    /// Schedules a slot.
    ///
    /// # Panics
    /// Panics past 2⁴⁰ entries over a run or for a slot past 2²⁴; scenarios that could get there are refused.
    #[inline]
    pub fn push(&mut self, time: Time, slot: Slot) {
        assert!(self.sequence < 1 << SEQUENCE_BITS, "more than 2^40 events in a run");
        assert!(slot < 1 << SLOT_BITS, "more than 2^24 things in flight");
        let low = self.sequence << SLOT_BITS | u64::from(slot);
        let entry = u128::from(time.as_nanos()) << 64 | u128::from(low);
        self.sequence += 1;
        if self.root_is_hole {
            self.root_is_hole = false;
            self.sink(entry);
        } else {
            self.rise(entry);
        }
    }

    /// Takes the first entry, unless it lies after `limit`.
    #[inline]
    pub fn pop_until(&mut self, limit: Time) -> Option<(Time, Slot)> {
        if self.root_is_hole {
            self.close_hole();
        }
        let entry = *self.heap.first()?;
        let time = Time::from_nanos((entry >> 64) as u64);
        if time > limit {
            return None;
        }
        self.root_is_hole = true;
        Some((time, entry as u32 & ((1 << SLOT_BITS) - 1)))
    }

    /// The last entry fills the hole at the root.
    fn close_hole(&mut self) {
        self.root_is_hole = false;
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.sink(last);
        }
    }

    /// Puts an entry into the hole at the root, and lets it sink until nothing below comes before it.
    #[inline]
    fn sink(&mut self, entry: u128) {
        let heap = self.heap.as_mut_slice();
        let mut hole = 0;
        loop {
            let mut below = 2 * hole + 1;
            if below + 1 < heap.len() && heap[below + 1] < heap[below] {
                below += 1;
            }
            match heap.get(below) {
                Some(&first) if first < entry => heap[hole] = first,
                _ => break,
            }
            hole = below;
        }
        heap[hole] = entry;
    }

    /// Adds an entry at the end, and lets it rise until nothing above comes after it.
    #[inline]
    fn rise(&mut self, entry: u128) {
        let mut hole = self.heap.len();
        self.heap.push(entry);
        while hole > 0 {
            let above = (hole - 1) / 2;
            if self.heap[above] <= entry {
                break;
            }
            self.heap[hole] = self.heap[above];
            hole = above;
        }
        self.heap[hole] = entry;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_event::Generator;

    #[test]
    fn entries_come_in_order_of_time_then_of_scheduling() {
        let mut agenda = Agenda::default();
        let mut generator = Generator::from_seed(7);
        let mut expected: Vec<(u64, u64, u32)> = Vec::new();
        let mut number = 0;
        for round in 0..2_000 {
            // Pushes and pops in random turns, with many ties, against a list that is searched.
            for _ in 0..generator.below(3) {
                let (time, slot) = (round + generator.below(20), generator.below(1 << 24) as u32);
                agenda.push(Time::from_nanos(time), slot);
                expected.push((time, number, slot));
                number += 1;
            }
            if generator.below(2) == 0 {
                expected.sort_unstable();
                let first = expected.first().copied().filter(|first| first.0 <= round + 5);
                let popped = agenda.pop_until(Time::from_nanos(round + 5)).map(|(time, slot)| (time.as_nanos(), slot));
                assert_eq!(popped, first.map(|(time, _, slot)| (time, slot)));
                if first.is_some() {
                    expected.remove(0);
                }
            }
        }
    }
}
