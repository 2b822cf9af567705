//! Where every message is, told by effects alone, held against what the queue itself says.

use std::collections::BTreeMap;

use brokerlab_broker::quorum::*;
use brokerlab_event::Offset;

#[derive(Clone, Default, Debug)]
pub struct Ledger {
    places: BTreeMap<Offset, Whereabouts>,
    /// How many messages there have been.
    pub taken: u64,
    /// How many are gone for good.
    pub gone: u64,
    /// What came back, in the order in which it became ready again.
    returned: Vec<Offset>,
    /// What is to be delivered after that, where there are no priorities.
    fresh: Vec<Offset>,
}

use Whereabouts::{DeadLetter, Delayed, Held, Ready, Returned};

impl Ledger {
    /// Writes an effect down.
    ///
    /// # Panics
    /// Panics where the message is not where this could happen to it.
    pub fn note<P>(&mut self, effect: &Effect<P>) {
        match effect {
            Effect::Enqueued { position, .. } => {
                assert_eq!(position.get(), self.taken, "places are dense");
                self.taken += 1;
                self.places.insert(*position, Ready);
                self.fresh.push(*position);
            }
            Effect::Delivered { delivery, .. } | Effect::GetAnswered { delivery: Some(delivery), .. } => {
                let to = if delivery.settled { None } else { Some(Held) };
                self.go(delivery.position, &[Ready, Returned], to);
            }
            Effect::Acked { position, .. } => self.go(*position, &[Held], None),
            Effect::Returned { position, to, .. } => match to {
                Return::First => {
                    self.go(*position, &[Held], Some(Returned));
                    self.returned.push(*position);
                }
                Return::Last => {
                    self.go(*position, &[Held], Some(Ready));
                    self.fresh.push(*position);
                }
                Return::Until(_) => self.go(*position, &[Held], Some(Delayed)),
            },
            Effect::Ready { position } => {
                self.go(*position, &[Delayed], Some(Returned));
                self.returned.push(*position);
            }
            Effect::Dropped { position, .. } => self.go(*position, &[Ready, Returned, Held], None),
            Effect::Discarded { position, .. } => self.go(*position, &[Ready, Returned, Held], Some(DeadLetter)),
            Effect::DeadLettered(letter) => match letter.number {
                None => self.go(letter.position, &[Ready, Returned, Held], None),
                Some(_) => self.go(letter.position, &[DeadLetter], Some(DeadLetter)),
            },
            Effect::DeadLetterSettled { position, .. } => self.go(*position, &[DeadLetter], None),
            Effect::Removed { position, .. } => {
                self.go(*position, &[Ready, Returned, Delayed, Held, DeadLetter], None);
            }
            _ => {}
        }
    }

    fn go(&mut self, position: Offset, from: &[Whereabouts], to: Option<Whereabouts>) {
        let place = self.places.remove(&position);
        assert!(place.is_some_and(|place| from.contains(&place)), "{position} is {place:?}, not one of {from:?}");
        self.returned.retain(|other| *other != position);
        self.fresh.retain(|other| *other != position);
        match to {
            Some(to) => {
                self.places.insert(position, to);
            }
            None => self.gone += 1,
        }
    }

    /// The message that is delivered next, where there are no priorities.
    pub fn next(&self) -> Option<Offset> {
        self.returned.first().or(self.fresh.first()).copied()
    }

    /// Every message is in exactly one place, and the queue says so too.
    pub fn check<P>(&self, queue: &QuorumQueue<P>) {
        let census = queue.census().into_iter().map(|(position, (place, _))| (position, place));
        assert!(census.eq(self.places.clone()), "{:?} is not {:?}", queue.census().keys(), self.places);
        assert_eq!(self.gone + self.places.len() as u64, self.taken);
        let ready = self.places.values().filter(|place| matches!(place, Ready | Returned)).count();
        assert_eq!((queue.ready(), queue.ready_messages().count()), (ready as u64, ready));
        assert_eq!(queue.held().count(), self.places.values().filter(|place| **place == Held).count());
    }
}
