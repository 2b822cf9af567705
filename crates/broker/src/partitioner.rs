//! Which partition a record goes to: by the bytes of its key, or sticky where it has none.

use std::sync::Arc;

use brokerlab_event::{Generator, KeyId, KeyTable};

/// Kafka's murmur2 with its fixed seed.
pub fn murmur2(data: &[u8]) -> u32 {
    const MULTIPLIER: u32 = 0x5bd1_e995;
    let mut hash: u32 = 0x9747_b28c ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in words.by_ref() {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]).wrapping_mul(MULTIPLIER);
        k ^= k >> 24;
        hash = hash.wrapping_mul(MULTIPLIER) ^ k.wrapping_mul(MULTIPLIER);
    }
    let rest = words.remainder();
    if !rest.is_empty() {
        for (place, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * place);
        }
        hash = hash.wrapping_mul(MULTIPLIER);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(MULTIPLIER);
    hash ^ (hash >> 15)
}

/// The partition of a key among this many. All partitions count, whether they can be reached or not; adding one
/// moves keys.
pub fn partition_of_key(key: &[u8], partitions: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % partitions
}

/// The partition of every key of a table, computed once and shared by all producers.
pub fn placement(keys: &KeyTable, partitions: u32) -> Arc<[u32]> {
    (0..keys.len()).map(|key| partition_of_key(keys.bytes(KeyId::new(key as u32)), partitions)).collect()
}

/// Where records without a key go: to one partition until a batch's worth of bytes has gone there, so that batches
/// fill up, and then to another, chosen evenly.
#[derive(Clone, Debug)]
pub struct Sticky {
    partitions: u32,
    batch_bytes: u32,
    current: u32,
    produced: u64,
    generator: Generator,
}

impl Sticky {
    /// Begins on a partition drawn from the generator.
    pub fn new(partitions: u32, batch_bytes: u32, mut generator: Generator) -> Sticky {
        let current = generator.below(u64::from(partitions)) as u32;
        Sticky { partitions, batch_bytes, current, produced: 0, generator }
    }

    /// Where the next record goes.
    pub fn current(&self) -> u32 {
        self.current
    }

    /// Takes note that a record without a key went to the current partition, and moves on where that is due: after
    /// a batch's worth of bytes once no batch there is half full, or else after twice as much. True if it moved on.
    pub fn appended(&mut self, bytes: u32, batches_are_full: bool) -> bool {
        self.produced += u64::from(bytes);
        let enough = u64::from(self.batch_bytes);
        let switch = self.produced >= 2 * enough || (self.produced >= enough && batches_are_full);
        if switch {
            self.current = self.generator.below(u64::from(self.partitions)) as u32;
            self.produced = 0;
        }
        switch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_placement_knows_every_key() {
        let mut keys = KeyTable::default();
        keys.push(b"foobar");
        keys.push(b"");
        assert_eq!(*placement(&keys, 100), [66, partition_of_key(b"", 100)]);
    }

    #[test]
    fn sticky_choices_are_even_in_the_long_run() {
        let mut sticky = Sticky::new(4, 100, Generator::new(1, "sticky"));
        let mut counts = [0_u32; 4];
        for _ in 0..4000 {
            counts[sticky.current() as usize] += 1;
            assert!(sticky.appended(100, true));
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
