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

    /// Which leader wrote the entry at this offset; `None` where that was before any that is known.
    pub fn at(&self, offset: Offset) -> Option<u32> {
        let begun = self.entries.partition_point(|(_, from)| *from <= offset.get());
        begun.checked_sub(1).map(|place| self.entries[place].0)
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

    /// Which epochs the entries of a range are of: each with its first offset there.
    pub fn within(&self, range: std::ops::Range<Offset>) -> Vec<(u32, Offset)> {
        let before = self.entries.partition_point(|(_, from)| *from <= range.start.get());
        let of_range =
            self.entries.iter().skip(before.saturating_sub(1)).take_while(|(_, from)| *from < range.end.get());
        of_range.map(|(epoch, from)| (*epoch, Offset::new(*from).max(range.start))).collect()
    }

    /// How far two logs hold the same, of which this one ends at `log_end` and the other at `other_end`: up to the last
    /// entry that the same leader wrote in both.
    pub fn common_end(&self, log_end: Offset, other: &Epochs, other_end: Offset) -> Offset {
        let whole = |end| Offset::ZERO..end;
        let (own, other) = (self.within(whole(log_end)), other.within(whole(other_end)));
        let end_in =
            |entries: &[(u32, Offset)], place: usize, end| entries.get(place + 1).map_or(end, |(_, next)| *next);
        let shared = own.iter().enumerate().rev().find_map(|(place, (epoch, from))| {
            let there = other.iter().position(|(other, _)| other == epoch)?;
            let end = end_in(&own, place, log_end).min(end_in(&other, there, other_end));
            (end > *from).then_some(end)
        });
        shared.unwrap_or(Offset::ZERO)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_agree_up_to_the_last_entry_that_one_leader_wrote_in_both() {
        let at = Offset::new;
        let of = |entries: &[(u32, u64)]| Epochs::from_iter(entries.iter().map(|(epoch, from)| (*epoch, at(*from))));
        let common = |own: &[(u32, u64)], end, other: &[(u32, u64)], other_end| {
            let (own, other) = (of(own), of(other));
            let there = own.common_end(at(end), &other, at(other_end));
            assert_eq!(other.common_end(at(other_end), &own, at(end)), there, "it does not matter who asks");
            there.get()
        };
        assert_eq!(common(&[(1, 0)], 5, &[(1, 0)], 5), 5, "the same");
        assert_eq!(common(&[(1, 0)], 5, &[(1, 0)], 3), 3, "one is longer");
        assert_eq!(common(&[(1, 0), (2, 3)], 6, &[(1, 0)], 8), 3, "each went its own way");
        assert_eq!(common(&[(1, 0), (2, 3)], 6, &[(1, 0), (3, 5)], 8), 3, "each with a leader of its own");
        assert_eq!(common(&[(1, 0), (2, 3)], 3, &[(1, 0), (2, 3)], 6), 3, "a leader that has written nothing yet");
        assert_eq!(common(&[(1, 0)], 0, &[(1, 0)], 4), 0, "nothing yet");
        assert_eq!(common(&[(1, 0), (2, 2), (4, 6)], 9, &[(1, 0), (2, 2), (4, 6)], 7), 7, "several leaders");
        assert_eq!(common(&[(3, 4)], 9, &[(1, 0), (3, 4)], 7), 7, "one has lost its beginning");
        assert_eq!(common(&[], 0, &[(1, 0)], 7), 0, "one is new");
    }
}
