//! What a machine asks of its driver.

use brokerlab_event::{NodeId, Offset, StoreId};

use crate::message::{Address, Message};

/// Something that a machine wants done.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect<P> {
    /// Carry a message. Messages of one connection arrive in the order in which they were sent.
    Send {
        /// From whom.
        from: Address,
        /// To whom.
        to: Address,
        /// What.
        message: Message<P>,
    },
    /// Copy the store's entries below `until` into the page cache, then report [`Message::Written`].
    Write {
        /// The node that asks.
        node: NodeId,
        /// The store.
        store: StoreId,
        /// The first place that is not asked for.
        until: Offset,
    },
    /// Make the store's entries below `until` durable, then report [`Message::Flushed`].
    Flush {
        /// The node that asks.
        node: NodeId,
        /// The store.
        store: StoreId,
        /// The first place that is not asked for.
        until: Offset,
    },
}

impl<P> Effect<P> {
    /// Something that nobody wants done: it stands in places that are not in use.
    const SPENT: Effect<P> = Effect::Send { from: Address::Demand, to: Address::Demand, message: Message::Connect };

    /// Whether it may hold memory of its own; see [`Message::owns_memory`].
    #[inline(always)]
    fn owns_memory(&self) -> bool {
        matches!(self, Effect::Send { message, .. } if message.owns_memory())
    }
}

/// What machines want done, first in, first out. The driver owns it, passes it to every handler and drains it;
/// effects that take no time are carried out in the order in which they were pushed, within the same instant.
///
/// Effects are large beside what is done about them, so the places that hold them are used again and again: effects
/// are written into their places, and a driver that is in a hurry reads them there, a round at a time
/// ([`Outbox::next_round`]).
#[derive(Clone, Debug)]
pub struct Outbox<P> {
    /// Those from `taken` up to `pushed` are still to be done, the others are spent.
    places: Vec<Effect<P>>,
    taken: usize,
    pushed: usize,
    /// Something that was pushed may hold memory of its own, which is to be given back once it is spent. Spent places
    /// hold none otherwise.
    owns_memory: bool,
}

/// Where an effect is to be written.
#[must_use = "a place that is not filled holds an effect that nobody wants"]
pub struct EffectPlace<'a, P> {
    effect: &'a mut Effect<P>,
    owns_memory: &'a mut bool,
}

impl<P> EffectPlace<'_, P> {
    /// Writes the effect. What stands in the place holds no memory, so it need not be dropped.
    #[inline(always)]
    pub fn fill(self, effect: Effect<P>) {
        *self.owns_memory |= effect.owns_memory();
        std::mem::forget(std::mem::replace(self.effect, effect));
    }
}

impl<P> Default for Outbox<P> {
    fn default() -> Self {
        Outbox { places: Vec::new(), taken: 0, pushed: 0, owns_memory: false }
    }
}

impl<P> Outbox<P> {
    /// Asks for a message to be carried.
    #[inline]
    pub fn send(&mut self, from: Address, to: Address, message: Message<P>) {
        self.push(Effect::Send { from, to, message });
    }

    /// Asks for something else to be done.
    #[inline]
    pub fn push(&mut self, effect: Effect<P>) {
        self.place().fill(effect);
    }

    /// The place of the next effect, which must be filled at once. To ask for it first and to make the effect
    /// afterwards saves copying the effect.
    #[inline(always)]
    pub fn place(&mut self) -> EffectPlace<'_, P> {
        if self.pushed == self.places.len() {
            self.grow();
        }
        let effect = &mut self.places[self.pushed];
        self.pushed += 1;
        EffectPlace { effect, owns_memory: &mut self.owns_memory }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self) {
        self.places.push(Effect::SPENT);
    }

    /// The next thing to do.
    #[inline]
    pub fn pop(&mut self) -> Option<Effect<P>> {
        if self.taken == self.pushed {
            (self.taken, self.pushed) = (0, 0);
            return None;
        }
        self.taken += 1;
        Some(std::mem::replace(&mut self.places[self.taken - 1], Effect::SPENT))
    }

    /// Changes places with the outbox that handlers push to, once everything in this one is done. What is pushed
    /// while a round is carried out comes after it, so the order is that of pushing. Nothing where nothing is left.
    #[inline]
    pub fn next_round<'a>(self: &'a mut Box<Self>, pushed_to: &mut Box<Outbox<P>>) -> Option<&'a mut [Effect<P>]> {
        if pushed_to.is_empty() {
            return None;
        }
        if self.owns_memory {
            self.give_back();
        }
        (self.taken, self.pushed) = (0, 0);
        std::mem::swap(self, pushed_to);
        self.places.get_mut(self.taken..self.pushed)
    }

    /// True where nothing is left to do.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.taken == self.pushed
    }

    /// Gives back the memory that spent effects hold.
    #[inline(never)]
    fn give_back(&mut self) {
        self.owns_memory = false;
        let spent = self.places.iter_mut().take(self.pushed);
        spent.filter(|effect| effect.owns_memory()).for_each(|effect| *effect = Effect::SPENT);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use brokerlab_event::{ApplicationId, ClientId};

    use super::*;
    use crate::assignor::Assignor;
    use crate::message::{Member, MemberMetadata};

    fn flush(number: u64) -> Effect<()> {
        Effect::Flush { node: NodeId::new(0), store: StoreId::new(0), until: Offset::new(number) }
    }

    #[test]
    fn what_was_pushed_first_comes_first_one_by_one_and_in_rounds() {
        let mut out: Outbox<()> = Outbox::default();
        let (mut pushed, mut popped) = (0, 0);
        for round in 0..100 {
            for _ in 0..round {
                out.push(flush(pushed));
                pushed += 1;
            }
            for _ in 0..round / 2 {
                assert_eq!(out.pop(), Some(flush(popped)));
                popped += 1;
            }
        }
        let (mut out, mut round) = (Box::new(out), Box::default());
        let mut more = 3;
        while let Some(effects) = Outbox::next_round(&mut round, &mut out) {
            for effect in effects {
                assert_eq!(*effect, flush(popped));
                popped += 1;
                if more > 0 {
                    more -= 1;
                    out.push(flush(pushed));
                    pushed += 1;
                }
            }
        }
        assert_eq!((popped, out.pop()), (pushed, None));
    }

    #[test]
    fn a_spent_place_gives_back_what_it_held() {
        let metadata = MemberMetadata {
            name: "member".into(),
            instance: None,
            assignors: vec![Assignor::Range],
            owned: Vec::new(),
            generation: None,
        };
        let metadata = Arc::new(metadata);
        let (group, member) = (ApplicationId::new(0), Member { client: ClientId::new(0), incarnation: 1 });
        let (mut out, mut round): (Box<Outbox<()>>, Box<Outbox<()>>) = Default::default();
        for _ in 0..4 {
            let message = Message::JoinGroup { group, member, metadata: Arc::clone(&metadata) };
            out.send(Address::Demand, Address::Disk, message);
            assert_eq!(round.next_round(&mut out).map(|effects| effects.len()), Some(1));
        }
        assert_eq!(Arc::strong_count(&metadata), 2, "besides this one, that of the last round");
    }
}
