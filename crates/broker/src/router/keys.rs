//! The keys that a router knows, with the words that they consist of.

use std::collections::BTreeMap;
use std::ops::Range;

use crate::config::RoutingKey;

/// An interned word of a key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Word(pub u32);

impl Word {
    /// The word `*`, which stands for one word in a pattern.
    pub const STAR: Word = Word(0);
    /// The word `#`, which stands for any number of words in a pattern.
    pub const HASH: Word = Word(1);
    /// A word that stands in no key of the table, and so in no pattern.
    pub const UNKNOWN: Word = Word(u32::MAX);
}

/// All interned keys.
#[derive(Debug)]
pub(super) struct Keys {
    texts: Vec<String>,
    by_text: BTreeMap<String, RoutingKey>,
    by_word: BTreeMap<String, Word>,
    words: Vec<Word>,
    /// Where the words of each key stand.
    spans: Vec<Range<usize>>,
}

/// The words of a key. The empty key has none; neighbouring dots have an empty word between them.
fn split(key: &str) -> impl Iterator<Item = &str> {
    key.split('.').filter(move |_| !key.is_empty())
}

impl Keys {
    pub fn new(texts: &[String]) -> Keys {
        let by_word = BTreeMap::from([("*".to_string(), Word::STAR), ("#".to_string(), Word::HASH)]);
        let by_text = BTreeMap::new();
        let mut keys = Keys { texts: texts.to_vec(), by_text, by_word, words: Vec::new(), spans: Vec::new() };
        for (index, text) in texts.iter().enumerate() {
            let earlier = keys.by_text.insert(text.clone(), RoutingKey(index as u32));
            assert!(earlier.is_none(), "the routing key {text:?} stands twice in the table");
            let start = keys.words.len();
            for word in split(text) {
                let next = Word(keys.by_word.len() as u32);
                keys.words.push(*keys.by_word.entry(word.to_string()).or_insert(next));
            }
            keys.spans.push(start..keys.words.len());
        }
        keys
    }

    /// The text of a key.
    pub fn text(&self, key: RoutingKey) -> Option<&str> {
        self.texts.get(key.0 as usize).map(String::as_str)
    }

    /// The words of a key. Of a key outside the table nothing is known but that nobody has bound anything under it.
    pub fn words(&self, key: RoutingKey) -> &[Word] {
        self.spans.get(key.0 as usize).map_or(&[Word::UNKNOWN], |span| &self.words[span.clone()])
    }
}

/// The keys that one message is routed by, which may be texts that nobody has interned.
#[derive(Clone, Debug, Default)]
pub(super) struct MessageKeys {
    interned: Vec<RoutingKey>,
    /// The words of the other keys, one after the other, and where each ends.
    words: Vec<Word>,
    ends: Vec<usize>,
}

impl MessageKeys {
    pub fn clear(&mut self) {
        self.interned.clear();
        self.words.clear();
        self.ends.clear();
    }

    pub fn push(&mut self, key: RoutingKey) {
        if !self.interned.contains(&key) {
            self.interned.push(key);
        }
    }

    pub fn push_text(&mut self, text: &str, keys: &Keys) {
        match keys.by_text.get(text) {
            Some(&key) => self.push(key),
            None => {
                let word = |word| keys.by_word.get(word).copied().unwrap_or(Word::UNKNOWN);
                self.words.extend(split(text).map(word));
                self.ends.push(self.words.len());
            }
        }
    }

    /// The keys that something can be bound under.
    pub fn interned(&self) -> impl Iterator<Item = RoutingKey> {
        self.interned.iter().copied()
    }

    /// The words of every key.
    pub fn words<'a>(&'a self, keys: &'a Keys) -> impl Iterator<Item = &'a [Word]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let others = starts.zip(&self.ends).map(|(start, &end)| &self.words[start..end]);
        self.interned.iter().map(|&key| keys.words(key)).chain(others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_split_at_dots() {
        let words = |key: &str| split(key).map(str::to_string).collect::<Vec<_>>();
        assert!(words("").is_empty());
        assert_eq!(words("a"), ["a"]);
        assert_eq!(words("a..b"), ["a", "", "b"]);
        assert_eq!(words("."), ["", ""]);
    }

    #[test]
    fn texts_that_nobody_interned_have_words_too() {
        let keys = Keys::new(&["a.b".into(), "*".into()]);
        let mut message = MessageKeys::default();
        for text in ["a.b", "b.c", "", "*.a", "a.b"] {
            message.push_text(text, &keys);
        }
        let (a, b) = (Word(2), Word(3));
        let words: Vec<&[Word]> = message.words(&keys).collect();
        assert_eq!(words, [&[a, b][..], &[b, Word::UNKNOWN], &[], &[Word::STAR, a]]);
        assert_eq!(message.interned().collect::<Vec<_>>(), [RoutingKey(0)]);
    }

    #[test]
    #[should_panic(expected = "stands twice")]
    fn a_key_is_interned_once() {
        Keys::new(&["a".into(), "a".into()]);
    }
}
