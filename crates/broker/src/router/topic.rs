//! The bindings of a topic exchange: a trie over words.

use super::edges::Edges;
use super::keys::Word;
use super::targets::Targets;
use crate::config::Destination;

/// Patterns by their words: a path from the root for each, and at its end where the pattern leads.
///
/// A message walks all paths at once, a word at a time, as the states of an automaton. A path on which some word does
/// not fit is left at that word, and two ways to the same node count once, so the cost grows with the words of the
/// key and the paths that fit so far; neither the bindings that do not fit nor the ways in which several `#` can
/// share out the words matter.
#[derive(Clone, Debug)]
pub(super) struct Trie {
    nodes: Vec<Node>,
    literal: Edges,
    free: Vec<u32>,
}

#[derive(Clone, Debug)]
struct Node {
    parent: u32,
    word: Word,
    star: Option<u32>,
    hash: Option<u32>,
    /// How many children follow by a word that stands for itself.
    literals: u32,
    targets: Targets,
}

/// Memory that walks reuse.
#[derive(Clone, Debug, Default)]
pub(super) struct Walk {
    active: Vec<u32>,
    next: Vec<u32>,
    /// In which step each node was reached last; steps are never reused.
    reached: Vec<u64>,
    step: u64,
}

const ROOT: u32 = 0;

impl Node {
    fn new(parent: u32, word: Word) -> Node {
        Node { parent, word, star: None, hash: None, literals: 0, targets: Targets::default() }
    }

    fn is_idle(&self) -> bool {
        self.star.is_none() && self.hash.is_none() && self.literals == 0 && self.targets.is_empty()
    }
}

impl Trie {
    pub fn new() -> Trie {
        Trie { nodes: vec![Node::new(ROOT, Word::UNKNOWN)], literal: Edges::default(), free: Vec::new() }
    }

    fn child(&self, parent: u32, word: Word) -> Option<u32> {
        match word {
            Word::STAR => self.nodes[parent as usize].star,
            Word::HASH => self.nodes[parent as usize].hash,
            literal => self.literal.child(parent, literal),
        }
    }

    pub fn insert(&mut self, pattern: &[Word], destination: Destination) {
        let mut at = ROOT;
        for &word in pattern {
            at = match self.child(at, word) {
                Some(child) => child,
                None => self.grow(at, word),
            };
        }
        self.nodes[at as usize].targets.insert(destination);
    }

    fn grow(&mut self, parent: u32, word: Word) -> u32 {
        let node = Node::new(parent, word);
        let place = match self.free.pop() {
            Some(place) => {
                self.nodes[place as usize] = node;
                place
            }
            None => {
                self.nodes.push(node);
                self.nodes.len() as u32 - 1
            }
        };
        let parent_node = &mut self.nodes[parent as usize];
        match word {
            Word::STAR => parent_node.star = Some(place),
            Word::HASH => parent_node.hash = Some(place),
            literal => {
                parent_node.literals += 1;
                self.literal.insert(parent, literal, place);
            }
        }
        place
    }

    /// Takes a destination away, and the part of the path that no other pattern needs.
    pub fn remove(&mut self, pattern: &[Word], destination: Destination) {
        let mut at = ROOT;
        for &word in pattern {
            let Some(child) = self.child(at, word) else { return };
            at = child;
        }
        self.nodes[at as usize].targets.remove(destination);
        while at != ROOT && self.nodes[at as usize].is_idle() {
            let Node { parent, word, .. } = self.nodes[at as usize];
            self.cut(parent, word);
            self.free.push(at);
            at = parent;
        }
    }

    /// Takes a child from its parent.
    fn cut(&mut self, parent: u32, word: Word) {
        let node = &mut self.nodes[parent as usize];
        match word {
            Word::STAR => node.star = None,
            Word::HASH => node.hash = None,
            literal => {
                node.literals -= 1;
                self.literal.remove(parent, literal);
            }
        }
    }

    /// Calls `found` with the targets of every pattern that fits these words.
    pub fn search(&self, words: &[Word], walk: &mut Walk, mut found: impl FnMut(&Targets)) {
        if walk.reached.len() < self.nodes.len() {
            walk.reached.resize(self.nodes.len(), 0);
        }
        walk.active.clear();
        walk.step += 1;
        self.reach(ROOT, walk.step, &mut walk.reached, &mut walk.active);
        for &word in words {
            walk.step += 1;
            walk.next.clear();
            for &place in &walk.active {
                let node = &self.nodes[place as usize];
                // The words of a message stand for themselves, `*` and `#` too, and no literal path has these.
                let literal = if node.literals == 0 { None } else { self.literal.child(place, word) };
                let stays = (node.word == Word::HASH).then_some(place);
                for child in [literal, node.star, stays].into_iter().flatten() {
                    self.reach(child, walk.step, &mut walk.reached, &mut walk.next);
                }
            }
            std::mem::swap(&mut walk.active, &mut walk.next);
        }
        for &place in &walk.active {
            found(&self.nodes[place as usize].targets);
        }
    }

    /// Adds a node and those that follow by `#` standing for no word.
    fn reach(&self, place: u32, step: u64, reached: &mut [u64], into: &mut Vec<u32>) {
        let mut place = Some(place);
        while let Some(at) = place
            && reached[at as usize] != step
        {
            reached[at as usize] = step;
            into.push(at);
            place = self.nodes[at as usize].hash;
        }
    }
}
