//! A queue on a node: the component, its consumers, and the confirms that wait for its disk.

use std::collections::VecDeque;

use brokerlab_event::{Bytes, ClientId, Duration, Event, Observer, Offset, Removal, Time};

use super::confirming::Waiting;
use super::flow::Memory;
use super::replicated::Replica;
use crate::config::{BindingConfig, Lifetime, Overflow, QueueConfig};
use crate::dead_letter::DeadLetter;
use crate::dispatch::ConsumerRing;
use crate::log::Crash;
use crate::message::{Effect, Publication};
use crate::node::Context;
use crate::properties::DeathReason;
use crate::queue::{AtCrash, ClassicQueue};
use crate::quorum::{QuorumQueue, Whereabouts};
use crate::ring::Ring;

/// A queue with its consumers and the confirms that wait for its disk.
#[derive(Clone, Debug)]
pub(super) struct HostedQueue<P> {
    pub config: QueueConfig,
    /// False once it was deleted or has expired. It can be declared again.
    pub exists: bool,
    /// The bindings that lead to it, for when it is declared again.
    pub bindings: Vec<BindingConfig>,
    pub queue: ClassicQueue<P>,
    pub consumers: ConsumerRing,
    /// It had a consumer, so that it may be deleted with its last.
    pub had_consumers: bool,
    /// Publishes that wait to be written: whose, and whom to tell.
    pub unflushed: Ring<(Offset, ClientId, Waiting)>,
    pub flushing: bool,
    /// It has a limit of length.
    pub limited: bool,
    /// The member of its group, where it is a quorum queue; then nothing above is in use.
    pub replica: Option<Box<Replica<P>>>,
}

impl<P: Clone> HostedQueue<P> {
    pub fn new(config: QueueConfig, bindings: Vec<BindingConfig>, replica: Option<Box<Replica<P>>>) -> HostedQueue<P> {
        HostedQueue {
            queue: ClassicQueue::new(config.max_priority),
            consumers: ConsumerRing::new(config.single_active_consumer),
            had_consumers: false,
            unflushed: Ring::default(),
            flushing: false,
            limited: config.max_length.is_some() || config.max_bytes.is_some(),
            exists: true,
            replica,
            bindings,
            config,
        }
    }

    /// Asks for everything to be flushed, unless a flush is under way: what arrives meanwhile shares the next.
    #[inline(always)]
    pub fn flush<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if !self.flushing && !self.queue.log().is_flushed() {
            self.flushing = true;
            let until = self.queue.log().end();
            context.out.place().fill(Effect::Flush { node: context.node, store: self.config.store, until });
        }
    }

    /// When a message that arrives now expires: after its own time to live or the queue's, whichever is shorter.
    #[inline(never)]
    pub fn deadline(&self, publication: &Publication<P>, now: Time) -> Option<Time> {
        let properties = publication.properties.as_ref();
        let own = properties.and_then(|properties| parse_expiration(properties.expiration.as_deref()?).ok());
        let ttl = self.config.message_ttl.into_iter().chain(own).min()?;
        Some(now.saturating_add(ttl))
    }

    /// True where this much more would be too much.
    #[inline(never)]
    pub fn would_overflow(&self, size: u32) -> bool {
        self.config.overflow != Overflow::DropHead
            && self.is_over(self.queue.ready() + 1, self.queue.ready_bytes() + u64::from(size))
    }

    fn is_over(&self, length: u64, bytes: u64) -> bool {
        self.config.max_length.is_some_and(|max| length > max) || self.config.max_bytes.is_some_and(|max| bytes > max)
    }

    /// Gives up messages at the head until the queue is within its limits.
    #[inline(never)]
    pub fn enforce_limits<O: Observer>(
        &mut self,
        dead: &mut VecDeque<DeadLetter<P>>,
        memory: &mut Memory,
        context: &mut Context<'_, P, O>,
    ) {
        if self.config.overflow != Overflow::DropHead {
            return;
        }
        while self.is_over(self.queue.ready(), self.queue.ready_bytes()) {
            self.give_up_head(DeathReason::MaxLength, dead, memory, context);
        }
    }

    /// Gives up what has expired at the head. Tells when the next look is due.
    #[inline(never)]
    pub fn expire<O: Observer>(
        &mut self,
        dead: &mut VecDeque<DeadLetter<P>>,
        memory: &mut Memory,
        context: &mut Context<'_, P, O>,
    ) -> Option<Time> {
        loop {
            let deadline = self.queue.head_deadline()?;
            if deadline > context.now {
                return Some(deadline);
            }
            self.give_up_head(DeathReason::Expired, dead, memory, context);
        }
    }

    /// Tells what becomes of its messages when the node goes down now. A quorum queue keeps whatever it was told of, as
    /// long as its disk stays.
    pub fn tell_crash<O: Observer>(&self, kind: Crash, context: &mut Context<'_, P, O>) {
        let (store, is_durable) = (self.config.store, self.config.is_durable());
        if !self.exists {
            return;
        }
        if let Some(replica) = &self.replica {
            if !replica.is_alone() {
                return; // the others have it
            }
            let gone = if kind == Crash::Disk { self.messages() } else { Vec::new() };
            for (offset, publication) in gone {
                let (message, size) = (publication.envelope.message, Bytes::new(publication.envelope.size));
                context.observe(Event::Removed { message, store, offset, size, cause: Removal::NodeLost });
            }
            return;
        }
        for (offset, publication, becomes) in self.queue.at_crash(kind) {
            let (message, size) = (publication.envelope.message, Bytes::new(publication.envelope.size));
            match becomes {
                AtCrash::Kept if is_durable => {}
                AtCrash::Returned if is_durable => context.observe(Event::Requeued { message, store, offset }),
                _ => context.observe(Event::Removed { message, store, offset, size, cause: Removal::NodeLost }),
            }
        }
    }

    fn give_up_head<O: Observer>(
        &mut self,
        reason: DeathReason,
        dead: &mut VecDeque<DeadLetter<P>>,
        memory: &mut Memory,
        context: &mut Context<'_, P, O>,
    ) {
        let Some((offset, publication)) = self.queue.drop_head() else { return };
        let (message, size) = (publication.envelope.message, Bytes::new(publication.envelope.size));
        let (store, cause) = (self.config.store, removal(reason));
        memory.held -= u64::from(size.get());
        context.observe(Event::Removed { message, store, offset, size, cause });
        self.bequeath(publication, reason, dead);
    }

    /// Hands a message that the queue has given up to its dead-letter exchange, if it has one.
    pub fn bequeath(&self, publication: Publication<P>, reason: DeathReason, dead: &mut VecDeque<DeadLetter<P>>) {
        if self.config.dead_letter.is_some() {
            dead.push_back(DeadLetter { publication, queue: self.config.store, reason, number: None });
        }
    }
}

/// The event's word for a death.
pub(super) fn removal(reason: DeathReason) -> Removal {
    match reason {
        DeathReason::Rejected => Removal::Rejected,
        DeathReason::Expired => Removal::Expired,
        DeathReason::MaxLength => Removal::MaxLength,
        DeathReason::DeliveryLimit => Removal::DeliveryLimit,
    }
}

impl<P: Clone> HostedQueue<P> {
    /// True where any client declares it again that connects to a node that was down: one that is not durable, and of
    /// no connection of its own.
    pub fn is_declared_again(&self) -> bool {
        !self.config.durable && !matches!(self.config.lifetime, Lifetime::Exclusive(_))
    }

    /// Messages that could be delivered now.
    pub fn ready(&self) -> u64 {
        self.replica.as_ref().map_or(self.queue.ready(), |replica| replica.queue().map_or(0, QuorumQueue::ready))
    }

    /// Consumers, those that wait included.
    pub fn consumer_count(&self) -> u32 {
        let replicated = |replica: &Replica<P>| replica.queue().map_or(0, QuorumQueue::consumer_count);
        self.replica.as_ref().map_or(self.consumers.len(), |replica| replicated(replica))
    }

    /// True where clients are served: with a quorum queue, at the node that leads.
    pub fn is_served_here(&self) -> bool {
        self.replica.as_ref().is_none_or(|replica| replica.serves())
    }

    /// Every message that it has, by place.
    pub fn messages(&self) -> Vec<(Offset, &Publication<P>)> {
        match &self.replica {
            None => self.queue.messages().collect(),
            Some(replica) => replica.queue().into_iter().flat_map(messages_of).collect(),
        }
    }
}

/// Every message that a quorum queue has, by place. Those that were given up are somewhere else.
pub(super) fn messages_of<P: Clone>(queue: &QuorumQueue<P>) -> impl Iterator<Item = (Offset, &Publication<P>)> {
    let kept = queue.census().into_iter().filter(|(_, (whereabouts, _))| *whereabouts != Whereabouts::DeadLetter);
    kept.map(|(offset, (_, publication))| (offset, publication))
}

/// The `expiration` property: a decimal number of milliseconds, not below zero.
pub(super) fn parse_expiration(text: &str) -> Result<Duration, ()> {
    let millis: u32 = text.parse().map_err(|_| ())?;
    Ok(Duration::from_millis(u64::from(millis)))
}
