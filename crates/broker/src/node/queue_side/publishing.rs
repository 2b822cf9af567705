//! Publishing: routing, storing, and dead letters.

use brokerlab_event::{ApplicationId, Bytes, ClientId, Event, Observer, Offset, Refusal, StoreId};

use super::QueueSide;
use super::confirming::Waiting;
use super::hosted::parse_expiration;
use super::lifetimes::Timer;
use crate::config::{ExchangeId, ExchangeKind, Overflow};
use crate::dead_letter::{DeadLetter, is_cycle};
use crate::message::{Address, Channel, Envelope, Message, Publication, ReplyCode};
use crate::node::Context;
use crate::properties::DeathReason;
use crate::quorum::Session;
use crate::router::strip_blind_copies;

/// A larger message is refused (`max_message_size`, in bytes).
const MAX_MESSAGE_SIZE: u32 = 16 << 20;

impl<P: Clone> QueueSide<P> {
    #[inline(never)]
    pub(super) fn publish<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        mandatory: bool,
        publication: &mut Publication<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Publication { exchange, routing_key, .. } = *publication;
        // What most publishes are. The rest must not cost these anything.
        if publication.properties.is_none()
            && publication.envelope.size <= MAX_MESSAGE_SIZE
            && let Some(store) = self.router.only_queue(exchange, routing_key)
        {
            let waiting = self.number_publish(client, channel);
            self.enqueue(store, self.session(client, channel), publication, waiting, context);
        } else {
            self.publish_anywhere(self.session(client, channel), mandatory, publication, context);
        }
    }

    #[inline(never)]
    fn publish_anywhere<O: Observer>(
        &mut self,
        session: Session,
        mandatory: bool,
        publication: &mut Publication<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Session { client, channel, .. } = session;
        let Publication { exchange, routing_key, .. } = *publication;
        let kind = match self.router.admit(exchange) {
            Ok(kind) => kind,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        let too_large = publication.envelope.size > MAX_MESSAGE_SIZE;
        if too_large || (publication.properties.is_some() && !prepare(publication)) {
            return self.fail_channel(client, channel, ReplyCode::PreconditionFailed, context);
        }
        let targets = match self.router.route(exchange, routing_key, publication.properties.as_deref()) {
            Ok(targets) => targets.to_vec(),
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        let waiting = self.number_publish(client, channel);
        if kind == ExchangeKind::Broadcast {
            return self.broadcast(publication, waiting, context);
        }
        if targets.is_empty() {
            return self.unrouted(session, mandatory, publication, waiting, context);
        }
        let shared = if targets.len() > 1 { self.share(waiting, targets.len()) } else { waiting };
        for store in targets {
            self.enqueue(store, session, publication, shared, context);
        }
    }

    /// The channel that dead letters come from. Only what their queue keeps until they have arrived can be refused.
    pub(super) fn dead_letters(&self) -> Session {
        self.session(ClientId::MAX, 0)
    }

    /// No queue takes the message.
    #[inline(never)]
    fn unrouted<O: Observer>(
        &mut self,
        session: Session,
        mandatory: bool,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) {
        context.observe(Event::Unrouted { message: publication.envelope.message });
        if mandatory {
            let (channel, publication) = (session.channel, publication.clone());
            let message = Message::Return { channel, code: ReplyCode::NoRoute, publication };
            context.send(Address::Client(session.client), message);
        }
        self.answer(waiting, Ok(()), context);
    }

    /// Adds a message to a queue and hands it out where somebody waits for it. False where the queue refuses it.
    #[inline(always)]
    fn enqueue<O: Observer>(
        &mut self,
        store: StoreId,
        session: Session,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) -> bool {
        let index = self.hosted(store).expect("the router knows only queues of this node");
        if self.is_replicated(index) {
            return self.submit_publish(index, session, publication, waiting, context);
        }
        let hosted = &mut self.queues[index];
        let Envelope { message, size, sender, .. } = publication.envelope;
        let size = Bytes::new(size);
        if hosted.limited && hosted.would_overflow(size.get()) {
            self.refuse(index, publication, waiting, context);
            return false;
        }
        let (mut deadline, mut persistent) = (None, hosted.config.durable);
        if let Some(properties) = &publication.properties {
            persistent &= !properties.transient;
            deadline = hosted.deadline(publication, context.now);
        } else if hosted.config.message_ttl.is_some() {
            deadline = hosted.deadline(publication, context.now);
        }
        let offset = hosted.queue.enqueue(publication.clone(), deadline, context.now);
        let watched = hosted.limited || hosted.queue.expires();
        self.memory.held += u64::from(size.get());
        context.observe(Event::Stored { message, store, offset, size });
        if persistent {
            hosted.unflushed.push_back((offset, sender, waiting));
            hosted.flush(context);
            self.charge(sender);
        }
        // Nobody waits where other messages do: what is handed out now is this message.
        self.hand_out(index, context);
        if watched {
            self.trim_queue(index, context);
        }
        if !persistent {
            self.answer(waiting, Ok(()), context);
        }
        true
    }

    /// Brings a queue back within its limits, and gives up what has expired at its head.
    #[inline(never)]
    fn trim_queue<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        if hosted.limited {
            hosted.enforce_limits(&mut self.dead, &mut self.memory, context);
        }
        if hosted.queue.expires() {
            let next = hosted.expire(&mut self.dead, &mut self.memory, context);
            self.timers.set_or_clear(Timer::Head.number(index), next);
        }
    }

    #[cold]
    fn refuse<O: Observer>(
        &mut self,
        index: usize,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) {
        let hosted = &self.queues[index];
        let (message, store, reason) = (publication.envelope.message, hosted.config.store, Refusal::Full);
        context.observe(Event::Declined { message, store, reason });
        if hosted.config.overflow == Overflow::RejectPublishDlx {
            hosted.bequeath(publication.clone(), DeathReason::MaxLength, &mut self.dead);
        }
        self.answer(waiting, Err(reason), context);
    }

    /// Publishes what queues have given up to their dead-letter exchanges, in the order in which it was given up.
    #[inline]
    pub(super) fn bury<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if !self.dead.is_empty() {
            self.bury_all(context);
        }
    }

    #[inline(never)]
    fn bury_all<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        while let Some(letter) = self.dead.pop_front() {
            self.dead_letter(letter, context);
        }
    }

    /// At most once: whoever does not take a dead letter at this moment will not get it.
    #[inline(never)]
    fn dead_letter<O: Observer>(&mut self, letter: DeadLetter<P>, context: &mut Context<'_, P, O>) {
        let DeadLetter { queue, reason, number, .. } = letter;
        let index = self.place(queue).expect("dead letters come from queues of this node");
        let Some(target) = self.queues[index].config.dead_letter else { return };
        let publication = letter.address(&target, context.now);
        let properties = publication.properties.as_deref().expect("a dead letter has its deaths on record");
        // An exchange that does not exist takes nothing.
        let routed = self.router.route(target.exchange, publication.routing_key, Some(properties));
        let mut stores = routed.map(<[StoreId]>::to_vec).unwrap_or_default();
        stores.retain(|store| reason == DeathReason::Rejected || !is_cycle(properties, *store));
        let waiting = number.map_or(Waiting::NOBODY, |number| Waiting::letter(index, number));
        if stores.is_empty() {
            return self.answer(waiting, Err(Refusal::NotFound), context);
        }
        let waiting = self.share(waiting, stores.len());
        let message = publication.envelope.message;
        for target in stores {
            if self.enqueue(target, self.dead_letters(), &publication, waiting, context) {
                context.observe(Event::DeadLettered { message, store: queue, target });
            }
        }
    }

    /// The disk reports that everything in a queue below this place is durable.
    #[inline(never)]
    pub fn flushed<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        let Some(index) = self.hosted(store) else { return };
        if self.is_replicated(index) {
            return self.flushed_replica(index, until, context);
        }
        let hosted = &mut self.queues[index];
        hosted.queue.mark_flushed(until);
        hosted.flushing = false;
        hosted.flush(context);
        context.observe(Event::Flushed { node: context.node, store, offset: until });
        // What was settled before it was written is confirmed too.
        let until = hosted.queue.log().flushed();
        while let Some(&(offset, client, waiting)) = self.queues[index].unflushed.front()
            && offset < until
        {
            self.queues[index].unflushed.pop_front();
            self.written(client, waiting, context);
        }
        self.read_on_if_blocked(context);
    }

    #[inline(never)]
    fn flushed_replica<O: Observer>(&mut self, index: usize, until: Offset, context: &mut Context<'_, P, O>) {
        let store = self.queues[index].config.store;
        context.observe(Event::Flushed { node: context.node, store, offset: until });
        self.log_flushed(index, until, context);
        self.read_on_if_blocked(context);
    }

    pub(super) fn subscribe(&mut self, client: ClientId, exchange: ExchangeId, application: ApplicationId) {
        let mut audiences = self.audiences.iter_mut();
        let audience = audiences.find(|a| a.exchange == exchange && a.application == application);
        let audience = audience.expect("an audience for each application of a broadcast");
        audience.subscribers.push_back(client);
    }

    #[inline(never)]
    fn broadcast<O: Observer>(
        &mut self,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) {
        for audience in self.audiences.iter_mut().filter(|audience| audience.exchange == publication.exchange) {
            let Some(client) = audience.subscribers.pop_front() else {
                let (message, application) = (publication.envelope.message, audience.application);
                context.observe(Event::Missed { message, application });
                continue;
            };
            audience.subscribers.push_back(client);
            let message = Message::Deliver {
                channel: 0,
                consumer: 0,
                tag: 0,
                redelivered: false,
                delivery_count: 0,
                store: StoreId::MAX,
                offset: Offset::ZERO,
                publication: publication.clone(),
            };
            context.send(Address::Client(client), message);
        }
        self.answer(waiting, Ok(()), context);
    }
}

/// Looks at the properties of a publish, and takes off what receivers must not see. False where they are wrong.
#[inline(never)]
fn prepare<P>(publication: &mut Publication<P>) -> bool {
    strip_blind_copies(&mut publication.properties);
    let properties = publication.properties.as_ref();
    let expiration = properties.and_then(|properties| properties.expiration.as_deref());
    expiration.is_none_or(|text| parse_expiration(text).is_ok())
}
