//! Whether the messages of a key are processed in the order in which they were to be sent.

use brokerlab_event::{KeyId, MessageId, Time};

use crate::OutOfOrder;

/// The latest message processed of each key, for one application.
#[derive(Clone)]
pub(crate) struct KeyOrder {
    /// Indexed by key; one more than the number of the message, zero for none.
    latest: Vec<u64>,
    /// One bit a key: it has been out of order.
    broken: Vec<u64>,
    points_max: usize,
    pub points: Vec<OutOfOrder>,
    pub violations: u64,
    pub keys: u64,
    pub keyed: u64,
}

impl KeyOrder {
    pub fn new(keys: usize, points_max: usize) -> KeyOrder {
        let broken = vec![0; keys.div_ceil(64)];
        KeyOrder { latest: vec![0; keys], broken, points_max, points: Vec::new(), violations: 0, keys: 0, keyed: 0 }
    }

    /// The first processing of a message.
    #[inline]
    pub fn processed(&mut self, time: Time, key: KeyId, message: MessageId) {
        let Some(key) = key.some() else { return };
        self.keyed += 1;
        let latest = &mut self.latest[key.index()];
        let mark = message.get() + 1;
        if mark > *latest {
            *latest = mark;
        } else {
            let overtaken_by = MessageId::new(*latest - 1);
            self.note(OutOfOrder { time, key, message, overtaken_by });
        }
    }

    #[cold]
    fn note(&mut self, point: OutOfOrder) {
        self.violations += 1;
        let (word, bit) = (point.key.index() / 64, 1 << (point.key.index() % 64));
        self.keys += u64::from(self.broken[word] & bit == 0);
        self.broken[word] |= bit;
        if self.points.len() < self.points_max {
            self.points.push(point);
        }
    }
}
