//! Where every message is, told by events and deliveries alone: each copy is in exactly one place.

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_broker::Message;
use brokerlab_broker::message::{Channel, DeliveryTag};
use brokerlab_event::{ClientId, Event, MessageId, Offset, Removal, StoreId};

use crate::rig::Rig;

/// Who holds a delivery that is not settled: connection, channel and tag.
pub type Holder = (ClientId, Channel, DeliveryTag);

/// A copy of a message in a queue: it is ready, or somebody holds it.
#[derive(Clone, Debug)]
pub struct Stored {
    pub message: MessageId,
    pub holder: Option<Holder>,
    /// It was delivered before.
    pub delivered: bool,
}

/// All copies by queue and place, and how many there were.
#[derive(Clone, Default, Debug)]
pub struct Ledger {
    pub copies: BTreeMap<(StoreId, Offset), Stored>,
    pub stored: u64,
    pub removed: u64,
    /// The place that the next message of each queue gets at least.
    ends: BTreeMap<StoreId, Offset>,
    /// Settled as it was sent, and the delivery was not seen yet: whether it had been delivered before.
    settled: BTreeMap<(StoreId, Offset), bool>,
}

impl Ledger {
    /// Writes down what happened.
    ///
    /// # Panics
    /// Panics where the copy is not where this can happen to it.
    pub fn note(&mut self, event: &Event) {
        match *event {
            Event::Stored { message, store, offset, .. } => {
                let end = self.ends.entry(store).or_default();
                assert!(offset >= *end, "places are given out once: {event:?}");
                *end = offset.next();
                self.stored += 1;
                self.copies.insert((store, offset), Stored { message, holder: None, delivered: false });
            }
            Event::Removed { message, store, offset, cause, .. } => {
                let gone = self.copies.remove(&(store, offset));
                let gone = gone.unwrap_or_else(|| panic!("nothing is there: {event:?}"));
                assert_eq!(gone.message, message);
                let held = match cause {
                    Removal::Acked | Removal::Rejected => Some(true),
                    Removal::AutoAcked | Removal::Expired | Removal::MaxLength => Some(false),
                    Removal::Purged => None,
                    other => panic!("a queue that lives does not remove because of {other:?}"),
                };
                assert!(held.is_none_or(|held| held == gone.holder.is_some()), "{event:?}: {gone:?}");
                if cause == Removal::AutoAcked {
                    self.settled.insert((store, offset), gone.delivered);
                }
                self.removed += 1;
            }
            Event::Requeued { message, store, offset } => {
                let copy = self.copies.get_mut(&(store, offset)).expect("what comes back is there");
                assert_eq!(copy.message, message);
                assert!(copy.holder.take().is_some(), "nobody had it: {event:?}");
            }
            _ => {}
        }
    }

    /// Writes down what a client was sent. Tells which copy it was, where it was a delivery.
    ///
    /// # Panics
    /// Panics where the copy was not to be had, or where the mark of redelivery is wrong.
    pub fn deliver(&mut self, client: ClientId, message: &Message<()>) -> Option<(StoreId, Offset)> {
        let (channel, tag, redelivered, store, offset, publication) = match message {
            Message::Deliver { channel, tag, redelivered, store, offset, publication, .. } => {
                (*channel, *tag, *redelivered, *store, *offset, publication)
            }
            Message::GetAnswer { channel, store, found: Some((tag, redelivered, offset, publication)), .. } => {
                (*channel, *tag, *redelivered, *store, *offset, publication)
            }
            _ => return None,
        };
        let place = (store, offset);
        let before = match self.settled.remove(&place) {
            Some(before) => before,
            None => {
                let copy = self.copies.get_mut(&place);
                let copy = copy.unwrap_or_else(|| panic!("nothing is there: {message:?}"));
                assert_eq!(copy.message, publication.envelope.message);
                assert_eq!(copy.holder, None, "two hold the same message: {message:?}");
                copy.holder = Some((client, channel, tag));
                core::mem::replace(&mut copy.delivered, true)
            }
        };
        assert_eq!(redelivered, before, "redelivered, if and only if it was delivered before: {message:?}");
        Some(place)
    }

    /// The copies in a queue that nobody holds, in order of place.
    pub fn ready(&self, store: StoreId) -> impl Iterator<Item = (Offset, &Stored)> {
        let own = self.copies.range((store, Offset::ZERO)..).take_while(move |((other, _), _)| *other == store);
        own.filter(|(_, copy)| copy.holder.is_none()).map(|((_, offset), copy)| (*offset, copy))
    }

    /// What somebody holds of a queue, in the order in which it was delivered.
    pub fn held(&self, client: ClientId) -> Vec<DeliveryTag> {
        let holders: BTreeSet<Holder> = self.copies.values().filter_map(|copy| copy.holder).collect();
        holders.into_iter().filter(|(holder, ..)| *holder == client).map(|(.., tag)| tag).collect()
    }

    /// Everything that was stored is there or gone, and the node says so too.
    pub fn check(&self, rig: &Rig) {
        assert_eq!(self.stored, self.removed + self.copies.len() as u64);
        assert!(self.settled.is_empty(), "settled as it was sent, but not sent: {:?}", self.settled);
        let mut census = rig.census();
        let mut known: Vec<_> = self.copies.iter().map(|((store, _), copy)| (*store, copy.message)).collect();
        census.sort_unstable();
        known.sort_unstable();
        assert_eq!(census, known, "the census differs from what the events tell");
    }
}
