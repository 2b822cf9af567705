//! Which partition a record goes to: by the bytes of its key, or sticky where it has none.
//!
//! The rules of the Java client's built-in partitioner (KIP-480, KIP-794), and the hashes that librdkafka puts keys
//! through: with those, two clients of one topic disagree about where a key belongs.

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

/// The CRC-32 of IEEE 802.3, bit by bit: keys are hashed once in a run.
fn crc32(data: &[u8]) -> u32 {
    const REVERSED_POLYNOMIAL: u32 = 0xedb8_8320;
    let step = |crc: u32| (crc >> 1) ^ (REVERSED_POLYNOMIAL & (crc & 1).wrapping_neg());
    !data.iter().fold(!0, |crc: u32, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

/// Fowler, Noll and Vo's hash 1a of 32 bits.
fn fnv1a(data: &[u8]) -> u32 {
    data.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// MurmurHash3 of 32 bits with the seed of RabbitMQ's stream clients.
fn murmur3(data: &[u8]) -> u32 {
    const SEED: u32 = 104_729;
    let scramble = |k: u32| k.wrapping_mul(0xcc9e_2d51).rotate_left(15).wrapping_mul(0x1b87_3593);
    let mut words = data.chunks_exact(4);
    let mut hash = SEED;
    for word in words.by_ref() {
        hash ^= scramble(u32::from_le_bytes([word[0], word[1], word[2], word[3]]));
        hash = hash.rotate_left(13).wrapping_mul(5).wrapping_add(0xe654_6b64);
    }
    let rest = words.remainder();
    let place = |word: u32, (place, byte): (usize, &u8)| word | u32::from(*byte) << (8 * place);
    hash ^= scramble(rest.iter().enumerate().fold(0, place));
    hash ^= data.len() as u32;
    hash = (hash ^ hash >> 16).wrapping_mul(0x85eb_ca6b);
    hash = (hash ^ hash >> 13).wrapping_mul(0xc2b2_ae35);
    hash ^ hash >> 16
}

/// How a client hashes keys.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum KeyHash {
    /// murmur2 without its sign bit: the Java client, and librdkafka's `murmur2` and `murmur2_random`.
    #[default]
    Murmur2,
    /// CRC-32: librdkafka's `consistent` and `consistent_random`, its default.
    Crc32,
    /// MurmurHash3: RabbitMQ's stream clients, for the partitions of a super stream.
    Murmur3,
    /// FNV-1a read as a signed number, without its sign: librdkafka's `fnv1a` and `fnv1a_random`.
    Fnv1a,
}

impl KeyHash {
    /// The hash of a key, of which the client takes the remainder.
    pub fn of(self, key: &[u8]) -> u32 {
        match self {
            KeyHash::Murmur2 => murmur2(key) & 0x7fff_ffff,
            KeyHash::Crc32 => crc32(key),
            KeyHash::Murmur3 => murmur3(key),
            KeyHash::Fnv1a => (fnv1a(key) as i32).unsigned_abs(),
        }
    }

    /// The partition of a key among this many. All partitions count, whether they can be reached or not; adding one
    /// moves keys.
    pub fn partition(self, key: &[u8], partitions: u32) -> u32 {
        self.of(key) % partitions
    }

    /// The hash of every key of a table, computed once and shared by all producers.
    pub fn table(self, keys: &KeyTable) -> Arc<[u32]> {
        (0..keys.len()).map(|key| self.of(keys.bytes(KeyId::new(key as u32)))).collect()
    }
}

/// How likely each partition is to be chosen next: the shorter its queue of batches, the likelier. Without weights all
/// partitions are equally likely.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LoadTable {
    /// The weights of the partitions, each added to those before it.
    cumulative: Vec<u64>,
    partitions: Vec<u32>,
}

impl LoadTable {
    /// Weighs the partitions that may be chosen, each given with the length of its queue: the longest queue + 1 - its
    /// own. No weights are needed where all queues are equally long and no partition is left out, or where there are
    /// fewer than two partitions in all.
    pub fn weigh(&mut self, queues: impl IntoIterator<Item = (u32, u32)>, all: usize) {
        self.clear();
        for (partition, length) in queues {
            self.partitions.push(partition);
            self.cumulative.push(u64::from(length));
        }
        let longest = self.cumulative.iter().max().copied().unwrap_or(0);
        let equal = self.cumulative.iter().all(|length| *length == longest);
        if all < 2 || (equal && self.partitions.len() == all) {
            return self.clear();
        }
        let mut sum = 0;
        for weight in &mut self.cumulative {
            sum += longest + 1 - *weight;
            *weight = sum;
        }
    }

    /// Forgets the weights.
    pub fn clear(&mut self) {
        self.cumulative.clear();
        self.partitions.clear();
    }

    /// The partitions with their cumulative weights, in the order in which they were given. Empty where all are equally
    /// likely.
    pub fn weights(&self) -> impl Iterator<Item = (u32, u64)> + '_ {
        self.partitions.iter().copied().zip(self.cumulative.iter().copied())
    }

    /// The partition that a random number stands for; nothing where all are equally likely.
    pub fn pick(&self, random: u64) -> Option<u32> {
        self.pick_with(|| random)
    }

    fn pick_with(&self, random: impl FnOnce() -> u64) -> Option<u32> {
        let sum = self.cumulative.last()?;
        let place = random() % sum;
        Some(self.partitions[self.cumulative.partition_point(|sum| *sum <= place)])
    }
}

/// Where records without a key go: to one partition until a batch's worth of bytes has gone there, so that batches
/// fill up, and then to another, chosen evenly or by the lengths of their queues.
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
    #[inline]
    pub fn current(&self) -> u32 {
        self.current
    }

    /// From now on there are this many partitions to choose from.
    pub fn set_partitions(&mut self, partitions: u32) {
        self.partitions = partitions;
    }

    /// Takes note that a record without a key went to the current partition. True where it is time to move on: after a
    /// batch's worth of bytes once no batch there is half full, or else after twice as much.
    #[inline]
    pub fn appended(&mut self, bytes: u32, batches_are_full: bool) -> bool {
        self.produced += u64::from(bytes);
        self.is_enough(batches_are_full)
    }

    /// True where it is time to move on although nothing more was appended: a batch that was half full is complete.
    #[inline]
    pub fn is_enough(&self, batches_are_full: bool) -> bool {
        let enough = u64::from(self.batch_bytes);
        self.produced >= 2 * enough || (self.produced >= enough && batches_are_full)
    }

    /// Moves on to a partition that the generator draws with these weights. It can be the same again.
    pub fn move_on(&mut self, loads: &LoadTable) {
        self.current = match loads.pick_with(|| self.generator.next_u64()) {
            Some(partition) => partition,
            None => self.generator.below(u64::from(self.partitions)) as u32,
        };
        self.produced = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_hashes_in_its_own_way() {
        let mut keys = KeyTable::default();
        keys.push(b"foobar");
        keys.push(b"");
        let cases = [
            (KeyHash::Murmur2, [1_357_151_166, 275_646_681]),
            (KeyHash::Crc32, [0x9ef6_1f95, 0]),
            (KeyHash::Murmur3, [0x5887_2bdc, 0xc675_7d56]),
            (KeyHash::Fnv1a, [0x4063_0698, 0x7ee3_623b]),
        ];
        for (hash, expected) in cases {
            assert_eq!(*hash.table(&keys), expected, "{hash:?}");
            assert_eq!(hash.partition(b"foobar", 100), expected[0] % 100);
        }
    }

    #[test]
    fn sticky_choices_are_even_in_the_long_run() {
        let mut sticky = Sticky::new(4, 100, Generator::new(1, "sticky"));
        let mut counts = [0_u32; 4];
        for _ in 0..4000 {
            counts[sticky.current() as usize] += 1;
            assert!(sticky.appended(100, true));
            sticky.move_on(&LoadTable::default());
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn shorter_queues_are_chosen_in_proportion() {
        let mut loads = LoadTable::default();
        loads.weigh([(0, 3), (1, 0), (2, 3)], 3);
        let mut sticky = Sticky::new(3, 100, Generator::new(1, "sticky"));
        let mut counts = [0_u32; 3];
        for _ in 0..6000 {
            sticky.move_on(&loads);
            counts[sticky.current() as usize] += 1;
        }
        assert!((880..1120).contains(&counts[0]) && (3850..4150).contains(&counts[1]), "1 : 4 : 1, {counts:?}");
    }

    #[test]
    fn a_batch_that_was_half_full_holds_the_switch_until_it_is_complete() {
        let mut sticky = Sticky::new(2, 100, Generator::new(1, "sticky"));
        assert!(!sticky.appended(150, false));
        assert!(!sticky.is_enough(false) && sticky.is_enough(true));
    }
}
