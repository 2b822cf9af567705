//! What a log says of its producers: how their transactions ended, and which batch of each is the last.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use brokerlab_event::{Duration, Offset, Time};

use super::batches::batches;
use crate::log::Log;
use crate::record::{ProducerId, Record, RecordKind};

/// The last that a log holds of a producer.
#[derive(Clone, Copy, Debug)]
struct Last {
    epoch: u16,
    /// Offset after the last batch of data of this epoch, if there is one.
    data_end: Option<Offset>,
    timestamp: Time,
}

/// The producers with an id, as a pass over their log meets them from the beginning on.
#[derive(Clone, Default, Debug)]
pub(super) struct Producers {
    /// The ends of transactions that the pass has still to come by: offset, and whether the transaction was aborted.
    ends: BTreeMap<ProducerId, VecDeque<(Offset, bool)>>,
    last: BTreeMap<ProducerId, Last>,
    /// Producers of whose transaction the pass has seen data.
    seen: BTreeSet<ProducerId>,
}

impl Producers {
    /// What the log says. A producer that has been silent for as long as `expiration` is not active any more.
    pub fn of<P>(log: &Log<Record<P>>, now: Time, expiration: Duration) -> Producers {
        let mut producers = Producers::default();
        for segment in log.segments() {
            for batch in batches(segment) {
                producers.note(&segment.entries()[batch.entries.end - 1], batch.end);
            }
        }
        producers.last.retain(|_, last| now.saturating_since(last.timestamp) < expiration);
        producers
    }

    fn note<P>(&mut self, record: &Record<P>, end: Offset) {
        let Some(id) = record.producer.some() else { return };
        let Record { producer_epoch: epoch, timestamp, .. } = *record;
        let last = self.last.entry(id).or_insert(Last { epoch, data_end: None, timestamp });
        if epoch > last.epoch {
            *last = Last { epoch, data_end: None, timestamp };
        }
        last.timestamp = last.timestamp.max(timestamp);
        if record.kind.is_marker() {
            let place = Offset::new(end.get() - 1);
            self.ends.entry(id).or_default().push_back((place, record.kind == RecordKind::Abort));
        } else {
            last.data_end = Some(end);
        }
    }

    /// True where the batch that begins here belongs to an aborted transaction. Asked in the order of the log.
    pub fn is_aborted<P>(&mut self, record: &Record<P>, at: Offset) -> bool {
        if !record.flags.is_transactional() || record.kind.is_marker() {
            return false;
        }
        let Some(ends) = self.ends.get_mut(&record.producer) else { return false };
        while ends.pop_front_if(|(end, _)| *end < at).is_some() {}
        ends.front().is_some_and(|(_, aborted)| *aborted)
    }

    /// The pass reads a batch. True where nothing in it is of use any more: data of an aborted transaction, or the
    /// end of a transaction of which nothing else is left.
    pub fn read<P>(&mut self, record: &Record<P>, at: Offset) -> bool {
        if record.kind.is_marker() {
            return !self.seen.remove(&record.producer);
        }
        if record.flags.is_transactional() {
            self.seen.insert(record.producer);
        }
        self.is_aborted(record, at)
    }

    /// True where the state of an active producer would be lost with the batch that ends here.
    pub fn is_last_of<P>(&self, record: &Record<P>, end: Offset) -> bool {
        let Some(last) = record.producer.some().and_then(|id| self.last.get(&id)) else { return false };
        match last.data_end {
            Some(data_end) => data_end == end,
            None => record.kind.is_marker() && record.producer_epoch == last.epoch,
        }
    }
}
