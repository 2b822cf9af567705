//! Messages that were given up and are kept until the targets of dead letters have them.

use std::collections::BTreeMap;

use super::command::{DeadLetter, Effect};
use super::config::DEAD_LETTER_PREFETCH;
use super::ready::{Fifo, Message};
use crate::log::Entry;
use crate::properties::DeathReason;

/// A message with the reason for which it was given up.
#[derive(Clone, PartialEq, Debug)]
struct Dead<P> {
    reason: DeathReason,
    message: Message<P>,
}

/// The backlog of dead letters: those that wait, and those that are under way.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Backlog<P> {
    waiting: Fifo<Dead<P>>,
    under_way: BTreeMap<u64, Dead<P>>,
    next: u64,
    bytes: u64,
}

impl<P> Default for Backlog<P> {
    fn default() -> Self {
        Backlog { waiting: Fifo::default(), under_way: BTreeMap::new(), next: 0, bytes: 0 }
    }
}

impl<P> Backlog<P> {
    /// How many there are.
    pub fn len(&self) -> u64 {
        (self.waiting.len() + self.under_way.len()) as u64
    }

    /// The bytes of all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Adds a message that was given up.
    pub fn push(&mut self, reason: DeathReason, message: Message<P>) {
        self.bytes += message.bytes();
        self.waiting.push(Dead { reason, message });
    }

    /// Deletes dead letters that have reached their targets.
    pub fn settle(&mut self, numbers: &[u64], effects: &mut Vec<Effect<P>>) {
        for number in numbers {
            let Some(Dead { message, .. }) = self.under_way.remove(number) else { continue };
            self.bytes -= message.bytes();
            effects.push(Effect::DeadLetterSettled {
                position: message.position,
                message: message.publication.envelope.message,
            });
        }
    }

    /// Puts what is under way back to the front, in the order in which it was given up.
    pub fn restart(&mut self) {
        for (_, dead) in std::mem::take(&mut self.under_way).into_iter().rev() {
            self.waiting.push_first(dead);
        }
    }

    /// Takes everything.
    pub fn drain(&mut self, mut gone: impl FnMut(Message<P>)) -> u64 {
        let count = self.len();
        std::mem::take(&mut self.under_way).into_values().for_each(|dead| gone(dead.message));
        while let Some(dead) = self.waiting.pop() {
            gone(dead.message);
        }
        self.bytes = 0;
        count
    }

    /// What is kept, in the order in which it was given up.
    pub fn iter(&self) -> impl Iterator<Item = &Message<P>> {
        self.under_way.values().chain(self.waiting.iter()).map(|dead| &dead.message)
    }
}

impl<P: Clone> Backlog<P> {
    /// Sends as many on their way as may be.
    pub fn hand_out(&mut self, effects: &mut Vec<Effect<P>>) {
        while self.under_way.len() < DEAD_LETTER_PREFETCH {
            let Some(dead) = self.waiting.pop() else { return };
            let number = self.next;
            self.next += 1;
            effects.push(Effect::DeadLettered(letter(dead.reason, Some(number), dead.message.clone())));
            self.under_way.insert(number, dead);
        }
    }
}

/// The dead letter that a message becomes.
pub(super) fn letter<P>(reason: DeathReason, number: Option<u64>, message: Message<P>) -> DeadLetter<P> {
    DeadLetter {
        number,
        position: message.position,
        reason,
        publication: message.publication,
        delivery_count: message.delivery_count,
        acquired_count: message.acquired_count,
    }
}
