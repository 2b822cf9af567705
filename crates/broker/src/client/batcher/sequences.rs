//! The numbers of an idempotent producer (KIP-98, KIP-360): every record has one in its partition, so that the broker can
//! tell a repetition, and a gap. A gap that nobody can close makes the producer begin a new epoch, and number anew.

use std::collections::VecDeque;

use crate::record::{BatchProducer, ProducerId, sequence_after};
use crate::transaction::Instance;

/// The last epoch of a producer id; a producer that needs another asks for a new id.
const LAST_EPOCH: u16 = i16::MAX as u16;

/// The numbers of one partition.
#[derive(Clone, Debug, Default)]
struct Numbering {
    identity: Option<Instance>,
    next: u32,
    /// The number of the last record that was confirmed.
    confirmed: Option<u32>,
    /// First numbers of the batches that were sent and are not done with, in order.
    open: VecDeque<u32>,
    /// A batch that was sent was given up: whether the broker has it will show with what was sent after it. The number
    /// after its last record.
    unresolved: Option<u32>,
    /// Its numbers have a gap that nobody can close: it is numbered anew as soon as nothing is left that may be stored
    /// under the old ones.
    is_over: bool,
}

/// What is to be done about a batch whose number the broker did not expect.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OutOfOrder {
    /// Another before it failed too and goes first.
    SendAgain,
    /// The gap stays: the partition must be numbered anew.
    NumberAnew,
}

/// The numbers of all partitions.
#[derive(Clone, Debug)]
pub(super) struct Sequences {
    /// Nothing until the broker has given one.
    current: Option<Instance>,
    lanes: Vec<Numbering>,
    /// All batches are parts of transactions.
    transactional: bool,
}

impl Sequences {
    pub fn new(lanes: usize, transactional: bool) -> Sequences {
        Sequences { current: None, lanes: vec![Numbering::default(); lanes], transactional }
    }

    /// There are so many partitions now.
    pub fn extend_to(&mut self, lanes: usize) {
        self.lanes.resize(lanes.max(self.lanes.len()), Numbering::default());
    }

    /// The process died: a new one has another id and knows nothing of the numbers.
    pub fn clear(&mut self) {
        self.current = None;
        self.lanes.fill(Numbering::default());
    }

    /// The broker has given the producer this id and epoch.
    pub fn assigned(&mut self, id: ProducerId, epoch: u16) {
        self.current = Some((id, epoch));
    }

    /// The id and the epoch that the broker has given it last, or that it has moved on to.
    pub fn current(&self) -> Option<Instance> {
        self.current
    }

    /// What is not done with never will be, and what becomes of it is known without its numbers.
    pub fn forget(&mut self) {
        self.lanes.fill(Numbering::default());
    }

    pub fn is_assigned(&self) -> bool {
        self.current.is_some()
    }

    /// True where the first batch of a partition may be sent. One that was sent before must be the first that is open:
    /// while batches are sent again there is one under way. One that was not waits until the fate of what was given up
    /// is known, and until nothing of an older epoch is open. Where a partition is to be numbered anew, nothing is sent
    /// but what may be stored already: that shows only under its old number.
    pub fn may_send(&self, lane: u32, sequence: Option<u32>, is_unknown: bool) -> bool {
        let own = &self.lanes[lane as usize];
        if own.is_over && !is_unknown {
            return false;
        }
        match (sequence, own.open.front()) {
            (Some(sequence), first) => first == Some(&sequence),
            (None, Some(_)) if own.identity != self.current => false,
            (None, _) => own.unresolved.is_none(),
        }
    }

    /// Numbers a batch of so many records that is sent for the first time.
    pub fn number(&mut self, lane: u32, records: usize) -> u32 {
        let own = &mut self.lanes[lane as usize];
        if own.identity != self.current && own.open.is_empty() {
            *own = Numbering { identity: self.current, ..Numbering::default() };
        }
        let sequence = own.next;
        own.next = sequence_after(sequence, records as i64);
        own.open.push_back(sequence);
        sequence
    }

    /// What a batch with this number says of its producer.
    pub fn producer(&self, lane: u32, sequence: u32) -> BatchProducer {
        let (id, epoch) = self.lanes[lane as usize].identity.expect("a numbered batch has a numbering");
        BatchProducer { id, epoch, sequence, transactional: self.transactional }
    }

    /// The place of a batch among the open ones of its partition.
    pub fn place(&self, lane: u32, sequence: u32) -> usize {
        let open = &self.lanes[lane as usize].open;
        open.iter().position(|other| *other == sequence).expect("a batch that is not done with is open")
    }

    fn close(&mut self, lane: u32, sequence: u32) {
        let place = self.place(lane, sequence);
        self.lanes[lane as usize].open.remove(place);
    }

    /// A batch of so many records is confirmed.
    pub fn confirmed(&mut self, lane: u32, sequence: u32, records: usize) {
        self.close(lane, sequence);
        self.lanes[lane as usize].confirmed = Some(sequence_after(sequence, records as i64 - 1));
    }

    /// A batch of so many records was given up, and may have been stored.
    pub fn given_up(&mut self, lane: u32, sequence: u32, records: usize) {
        self.close(lane, sequence);
        self.lanes[lane as usize].unresolved = Some(sequence_after(sequence, records as i64));
    }

    /// A batch is replaced by its parts, which begin with these numbers.
    pub fn split(&mut self, lane: u32, sequence: u32, parts: impl Iterator<Item = u32>) {
        let place = self.place(lane, sequence);
        let open = &mut self.lanes[lane as usize].open;
        let behind = open.split_off(place);
        open.extend(parts);
        open.extend(behind.into_iter().skip(1));
    }

    /// A batch was refused for good: its numbers are not used.
    pub fn refused(&mut self, lane: u32, sequence: u32) {
        self.close(lane, sequence);
    }

    /// What to do about a batch whose number was not expected.
    pub fn out_of_order(&self, lane: u32, sequence: u32, is_renumbered: bool) -> OutOfOrder {
        let own = &self.lanes[lane as usize];
        let is_next = sequence == own.confirmed.map_or(0, |last| sequence_after(last, 1));
        match own.unresolved {
            None if is_renumbered || !is_next => OutOfOrder::SendAgain,
            None => OutOfOrder::NumberAnew,
            Some(after) if after == sequence => OutOfOrder::NumberAnew,
            Some(_) => OutOfOrder::SendAgain,
        }
    }

    /// Looks whether the fate of what was given up is known by now. True where a gap stays.
    pub fn is_gap_left(&mut self, lane: u32) -> bool {
        let own = &mut self.lanes[lane as usize];
        if own.unresolved.is_none() || !own.open.is_empty() {
            return false;
        }
        own.unresolved = None;
        own.next != own.confirmed.map_or(0, |last| sequence_after(last, 1))
    }

    /// A partition is to be numbered anew.
    pub fn end_numbering(&mut self, lane: u32) {
        self.lanes[lane as usize].is_over = true;
    }

    /// The partitions that are to be numbered anew.
    pub fn ended(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.lanes).filter(|(_, own)| own.is_over).map(|(lane, _)| lane)
    }

    /// Begins a new epoch. False where those of the id are used up: the producer must ask for another id.
    pub fn begin_epoch(&mut self) -> bool {
        self.current = self.current.filter(|(_, epoch)| *epoch < LAST_EPOCH).map(|(id, epoch)| (id, epoch + 1));
        self.current.is_some()
    }

    /// Numbers a partition anew under the present id and epoch: for every open batch, in order, the caller asks for its
    /// new [number](Sequences::number).
    pub fn begin_anew(&mut self, lane: u32) {
        self.lanes[lane as usize] = Numbering { identity: self.current, ..Numbering::default() };
    }
}
