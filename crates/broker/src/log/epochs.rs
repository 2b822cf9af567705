//! Which leader wrote what: where each leader epoch began in a log.

use brokerlab_event::Offset;

/// The leader epochs of a log, each with the offset at which it began. Two logs that have this in common up to some
/// point hold the same records up to there, which is how a follower finds out what it has to give up
/// ([KIP-101](https://cwiki.apache.org/confluence/display/KAFKA/KIP-101+-+Alter+Replication+Protocol+to+use+Leader+Epoch+rather+than+High+Watermark+for+Truncation),
/// [KIP-279](https://cwiki.apache.org/confluence/display/KAFKA/KIP-279%3A+Fix+log+divergence+between+leader+and+follower+after+fast+leader+fail+over)).
///
/// ```
/// use brokerlab_broker::log::{EpochEnd, Epochs};
/// use brokerlab_event::Offset;
/// let at = Offset::new;
/// // The leader of epoch 1 began at offset 8, and so the records of epoch 0 end there.
/// let leader = Epochs::from_iter([(0, at(0)), (1, at(8))]);
/// assert_eq!(leader.end_of(0, at(11)), Some(EpochEnd { epoch: 0, end: at(8) }));
/// // A follower that has ten records of epoch 0 gives up two.
/// let follower = Epochs::from_iter([(0, at(0))]);
/// assert_eq!(follower.agreed_end(at(10), EpochEnd { epoch: 0, end: at(8) }), (at(8), true));
/// ```
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Epochs {
    /// Oldest first; both parts rise.
    entries: Vec<(u32, u64)>,
}

/// What a log answers to the question where an epoch ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EpochEnd {
    /// The latest epoch that is not later than the one asked for, or that one itself where all are later.
    pub epoch: u32,
    /// One after its last record.
    pub end: Offset,
}

impl Epochs {
    /// A leader of this epoch starts to append here. An epoch that is not later than all known ones changes nothing.
    pub fn begin(&mut self, epoch: u32, at: Offset) {
        if self.latest().is_none_or(|latest| latest < epoch) {
            self.entries.push((epoch, at.get()));
        }
    }

    /// The epoch of the last leader.
    #[inline]
    pub fn latest(&self) -> Option<u32> {
        self.entries.last().map(|(epoch, _)| *epoch)
    }

    /// Where this epoch ended in a log that ends at `log_end`; `None` where nothing is known of an epoch as late.
    pub fn end_of(&self, epoch: u32, log_end: Offset) -> Option<EpochEnd> {
        let known = self.entries.partition_point(|(own, _)| *own <= epoch);
        let floor = known.checked_sub(1).map(|place| self.entries[place].0);
        match self.entries.get(known) {
            Some((_, next)) => Some(EpochEnd { epoch: floor.unwrap_or(epoch), end: Offset::new(*next) }),
            None => floor.filter(|own| *own == epoch).map(|epoch| EpochEnd { epoch, end: log_end }),
        }
    }

    /// A follower whose log ends at `log_end` has asked its leader about its latest epoch and was answered this: how
    /// much of its log it keeps, and whether it now agrees with the leader. Where it does not, it asks again about the
    /// epoch that is its latest then.
    pub fn agreed_end(&self, log_end: Offset, answer: EpochEnd) -> (Offset, bool) {
        match self.end_of(answer.epoch, log_end) {
            None => (answer.end.min(log_end), true),
            Some(own) if own.epoch == answer.epoch => (own.end.min(answer.end).min(log_end), true),
            // The leader has named an epoch that this log does not have.
            Some(own) => (own.end.min(log_end), false),
        }
    }

    /// Nothing is left from here on.
    pub fn truncate(&mut self, end: Offset) {
        while self.entries.last().is_some_and(|(_, from)| *from >= end.get()) {
            self.entries.pop();
        }
    }
}

/// From epochs and the offsets at which they began, oldest first. Those that do not rise are left out.
impl FromIterator<(u32, Offset)> for Epochs {
    fn from_iter<I: IntoIterator<Item = (u32, Offset)>>(entries: I) -> Epochs {
        let mut epochs = Epochs::default();
        entries.into_iter().for_each(|(epoch, at)| epochs.begin(epoch, at));
        epochs
    }
}
