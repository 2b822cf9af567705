//! Which ready message is next.

use std::collections::{BTreeSet, VecDeque};

use brokerlab_event::Offset;

/// The order of the ready messages of a queue.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum ReadyOrder {
    /// First in, first out.
    Arrival(Arrival),
    /// The highest level first, first in first out within one.
    Priority(Levels),
}

/// First in, first out. Messages that were never delivered are all those from `fresh` on, so that nothing has to
/// be kept for each of them.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Arrival {
    /// No message at or after this position was ever delivered.
    pub fresh: Offset,
    /// Ready messages before `fresh`: those that came back.
    pub returned: BTreeSet<Offset>,
}

/// Levels of priority.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Levels {
    levels: Vec<Level>,
    /// A bit for each level that holds something.
    occupied: [u64; 4],
}

/// A level: what was never delivered in the order of arrival, and what came back in the order of position.
#[derive(Clone, PartialEq, Debug, Default)]
struct Level {
    fresh: VecDeque<Offset>,
    returned: BTreeSet<Offset>,
}

impl Levels {
    pub fn new(max_priority: u8) -> Levels {
        Levels { levels: vec![Level::default(); usize::from(max_priority) + 1], occupied: [0; 4] }
    }

    /// The level that a message of this priority belongs to.
    pub fn level(&self, priority: Option<u8>) -> usize {
        usize::from(priority.unwrap_or(0)).min(self.levels.len() - 1)
    }

    fn highest(&self) -> Option<usize> {
        let word = self.occupied.iter().rposition(|word| *word != 0)?;
        Some(word * 64 + 63 - self.occupied[word].leading_zeros() as usize)
    }

    pub fn add(&mut self, level: usize, offset: Offset) {
        self.levels[level].fresh.push_back(offset);
        self.occupied[level / 64] |= 1 << (level % 64);
    }

    pub fn put_back(&mut self, level: usize, offset: Offset) {
        self.levels[level].returned.insert(offset);
        self.occupied[level / 64] |= 1 << (level % 64);
    }

    pub fn head(&self) -> Option<Offset> {
        let level = &self.levels[self.highest()?];
        // What came back had been taken from the front, so it lies before everything that was not.
        level.returned.first().or(level.fresh.front()).copied()
    }

    pub fn take(&mut self) -> Option<Offset> {
        let number = self.highest()?;
        let level = &mut self.levels[number];
        let offset = level.returned.pop_first().or_else(|| level.fresh.pop_front());
        if level.returned.is_empty() && level.fresh.is_empty() {
            self.occupied[number / 64] &= !(1 << (number % 64));
        }
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_level_is_served_first_and_what_came_back_before_the_rest_of_its_level() {
        let mut levels = Levels::new(255);
        let at = Offset::new;
        assert_eq!((levels.level(None), levels.level(Some(7)), Levels::new(3).level(Some(9))), (0, 7, 3));
        for (level, offset) in [(0, 0), (255, 1), (63, 2), (64, 3), (255, 4)] {
            levels.add(level, at(offset));
        }
        assert_eq!((levels.take(), levels.take()), (Some(at(1)), Some(at(4))));
        levels.put_back(255, at(4));
        levels.add(255, at(5));
        levels.put_back(255, at(1));
        let mut order = Vec::new();
        while let Some(head) = levels.head() {
            assert_eq!(levels.take(), Some(head));
            order.push(head.get());
        }
        assert_eq!(order, [1, 4, 5, 3, 2, 0]);
    }
}
