//! How events reach whoever reads them.

use crate::{Event, Offset, Record, StoreId, Time};

/// Folds over events. Observers do no I/O, take no locks and format nothing; they are dispatched statically and
/// compose as tuples.
pub trait Observer {
    /// Takes note of one event. Times never go back.
    fn observe(&mut self, time: Time, event: Event);

    /// Whether what an entry of a queue's replicated log has done is news. Every member of the queue's group tells it, and
    /// whoever watches several of them says no from the second time on.
    fn is_news(&mut self, store: StoreId, place: Offset) -> bool {
        let _ = (store, place);
        true
    }
}

/// Sees nothing, at no cost.
impl Observer for () {
    #[inline(always)]
    fn observe(&mut self, _: Time, _: Event) {}
}

impl<O: Observer> Observer for &mut O {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        (**self).observe(time, event);
    }
    fn is_news(&mut self, store: StoreId, place: Offset) -> bool {
        (**self).is_news(store, place)
    }
}

/// Sees what there is somebody to see.
impl<O: Observer> Observer for Option<O> {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        if let Some(observer) = self {
            observer.observe(time, event);
        }
    }
}

impl<A: Observer, B: Observer> Observer for (A, B) {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        self.0.observe(time, event);
        self.1.observe(time, event);
    }
}

impl<A: Observer, B: Observer, C: Observer> Observer for (A, B, C) {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        self.0.observe(time, event);
        self.1.observe(time, event);
        self.2.observe(time, event);
    }
}

/// Every event of a run, in order.
#[derive(Clone, Default, PartialEq, Eq, Debug)]
pub struct EventLog {
    records: Vec<Record>,
}

impl EventLog {
    /// The records in order.
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// True where nothing happened.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// Passes every record to an observer, in order.
    pub fn replay(&self, observer: &mut impl Observer) {
        for record in &self.records {
            observer.observe(record.time, record.event());
        }
    }
}

impl Observer for EventLog {
    #[inline]
    fn observe(&mut self, time: Time, event: Event) {
        debug_assert!(self.records.last().is_none_or(|last| last.time <= time), "time went back");
        self.records.push(Record::new(time, event));
    }
}
