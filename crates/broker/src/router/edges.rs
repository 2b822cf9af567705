//! The literal edges of a trie in one hash table. It is only ever asked for one edge, never walked through, so the
//! order of its slots reaches nothing. A tree map would make every step dearer the more patterns there are.

use super::keys::Word;

/// Children by parent and word: open addressing with linear probing, at most half full.
#[derive(Clone, Debug, Default)]
pub(super) struct Edges {
    /// A power of two, or none at all. An empty slot has no child.
    slots: Vec<Slot>,
    used: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    parent: u32,
    word: u32,
    child: Option<u32>,
}

const SLOTS_MIN: usize = 8;

impl Edges {
    /// Where the search for an edge begins: the upper bits of a product, which depend on all bits of the edge.
    fn home(&self, parent: u32, word: u32) -> usize {
        let product = (u64::from(parent) << 32 | u64::from(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (product >> (64 - self.slots.len().trailing_zeros())) as usize
    }

    fn after(&self, place: usize) -> usize {
        (place + 1) & (self.slots.len() - 1)
    }

    /// The slot of an edge, or the empty one where it would go. There is one, since half the slots are empty.
    fn find(&self, parent: u32, word: u32) -> usize {
        let mut place = self.home(parent, word);
        while let Slot { parent: other, word: own, child: Some(_) } = self.slots[place]
            && (other, own) != (parent, word)
        {
            place = self.after(place);
        }
        place
    }

    pub fn child(&self, parent: u32, Word(word): Word) -> Option<u32> {
        if self.used == 0 { None } else { self.slots[self.find(parent, word)].child }
    }

    /// Adds an edge that is not there.
    pub fn insert(&mut self, parent: u32, Word(word): Word, child: u32) {
        self.used += 1;
        if self.used * 2 > self.slots.len() {
            let slots = vec![Slot::default(); (self.slots.len() * 2).max(SLOTS_MIN)];
            for slot in std::mem::replace(&mut self.slots, slots) {
                if slot.child.is_some() {
                    self.put(slot);
                }
            }
        }
        self.put(Slot { parent, word, child: Some(child) });
    }

    fn put(&mut self, slot: Slot) {
        let place = self.find(slot.parent, slot.word);
        self.slots[place] = slot;
    }

    /// Takes out an edge that is there, and puts those behind it anew, which may have been looking for its slot.
    pub fn remove(&mut self, parent: u32, Word(word): Word) {
        self.used -= 1;
        let mut place = self.find(parent, word);
        self.slots[place] = Slot::default();
        place = self.after(place);
        while self.slots[place].child.is_some() {
            let slot = std::mem::take(&mut self.slots[place]);
            self.put(slot);
            place = self.after(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn like_a_tree_map(steps in proptest::collection::vec((0..12_u32, 0..12_u32), 0..600)) {
            let (mut edges, mut model) = (Edges::default(), BTreeMap::new());
            for (step, edge) in (0..).zip(steps) {
                match model.remove(&edge) {
                    Some(_) => edges.remove(edge.0, Word(edge.1)),
                    None => {
                        edges.insert(edge.0, Word(edge.1), step);
                        model.insert(edge, step);
                    }
                }
            }
            for edge in (0..12).flat_map(|parent| (0..12).map(move |word| (parent, word))) {
                prop_assert_eq!(edges.child(edge.0, Word(edge.1)), model.get(&edge).copied());
            }
        }
    }
}
