//! Deadlines of many things that mostly move into the future, such as sessions that every heartbeat prolongs.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;

use brokerlab_event::Time;

/// At most one deadline for each of a dense range of numbers. Moving a deadline back costs nothing: the heap holds
/// an entry for the earlier time, which is looked at when that time comes. [`Deadlines::next`] may therefore be
/// too early, never too late, and whoever is called in vain simply finds nothing due.
#[derive(Clone, Default, Debug)]
pub struct Deadlines {
    /// By number: when it is due, or [`Time::MAX`].
    due: Vec<Time>,
    /// By number: the time of its entry in the heap, or [`Time::MAX`].
    queued: Vec<Time>,
    /// Time and number, packed so that one comparison of whole numbers orders them.
    heap: BinaryHeap<Reverse<u128>>,
}

impl Deadlines {
    /// Sets or moves a deadline.
    #[inline]
    pub fn set(&mut self, number: u32, at: Time) {
        let index = number as usize;
        if index >= self.due.len() {
            self.due.resize(index + 1, Time::MAX);
            self.queued.resize(index + 1, Time::MAX);
        }
        self.due[index] = at;
        if at < self.queued[index] {
            self.queued[index] = at;
            self.heap.push(Reverse(pack(at, number)));
        }
    }

    /// Takes a deadline away.
    #[inline]
    pub fn clear(&mut self, number: u32) {
        if let Some(due) = self.due.get_mut(number as usize) {
            *due = Time::MAX;
        }
    }

    /// Sets, moves or takes away a deadline.
    #[inline]
    pub fn set_or_clear(&mut self, number: u32, at: Option<Time>) {
        match at {
            Some(at) => self.set(number, at),
            None => self.clear(number),
        }
    }

    /// When to look again; not later than the first deadline.
    #[inline]
    pub fn next(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| unpack(*entry).0)
    }

    /// Takes a deadline that has come, the earliest first and among equals the lowest number.
    pub fn pop_due(&mut self, now: Time) -> Option<u32> {
        while let Some(mut first) = self.heap.peek_mut() {
            let (at, number) = unpack(first.0);
            if at > now {
                return None;
            }
            let index = number as usize;
            if self.queued[index] != at {
                PeekMut::pop(first);
                continue;
            }
            let due = self.due[index];
            if now < due && due < Time::MAX {
                // It was moved back: its entry goes where it belongs.
                self.queued[index] = due;
                *first = Reverse(pack(due, number));
                continue;
            }
            PeekMut::pop(first);
            self.queued[index] = Time::MAX;
            if due <= now {
                self.due[index] = Time::MAX;
                return Some(number);
            }
        }
        None
    }
}

#[inline]
fn pack(at: Time, number: u32) -> u128 {
    u128::from(at.as_nanos()) << 32 | u128::from(number)
}

#[inline]
fn unpack(entry: u128) -> (Time, u32) {
    (Time::from_nanos((entry >> 32) as u64), entry as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(nanos: u64) -> Time {
        Time::from_nanos(nanos)
    }

    #[test]
    fn deadlines_come_in_order_however_they_were_moved() {
        let mut deadlines = Deadlines::default();
        deadlines.set(0, at(5));
        deadlines.set(1, at(9));
        deadlines.set(2, at(7));
        deadlines.set(0, at(8));
        deadlines.set(1, at(6));
        deadlines.clear(2);
        assert_eq!(deadlines.next(), Some(at(5)), "early, so that prolonging costs nothing");
        assert_eq!(deadlines.pop_due(at(5)), None);
        assert_eq!(deadlines.pop_due(at(10)), Some(1));
        assert_eq!(deadlines.pop_due(at(10)), Some(0));
        assert_eq!(deadlines.pop_due(at(10)), None);
        assert_eq!(deadlines.next(), None);
    }
}
