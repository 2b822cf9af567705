//! Publishing: routing, storing, dead letters, and confirms once every queue has taken a message.

use brokerlab_event::{ApplicationId, Bytes, ClientId, Duration, Event, Observer, Offset, Refusal, StoreId};

use super::QueueSide;
use super::hosted::parse_expiration;
use super::lifetimes::Timer;
use crate::config::{ExchangeId, ExchangeKind, Overflow};
use crate::dead_letter::{DeadLetter, is_cycle};
use crate::message::{Address, Channel, Effect, Envelope, Message, Publication, ReplyCode};
use crate::node::Context;
use crate::properties::DeathReason;
use crate::quorum::Session;
use crate::router::strip_blind_copies;

/// Who is told once all queues have taken a message.
#[derive(Clone, Copy, Debug)]
pub(super) enum Confirm {
    /// A publisher: the number of the publish on its channel.
    Publish { client: ClientId, channel: Channel, sequence: u64 },
    /// A queue that keeps a dead letter until then: its place here, and the number of the letter.
    Letter { queue: usize, number: u64 },
}

/// A publish to several queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedConfirm {
    confirm: Confirm,
    /// How many queues have not answered.
    left: u32,
    /// Why one of them has refused it: the publisher is told so, although others have it.
    refused: Option<Refusal>,
}

/// The channel that dead letters come from. Only what their queue keeps until they have arrived can be refused.
pub(super) const DEAD_LETTERS: Session = Session { client: ClientId::MAX, channel: 0 };

/// A larger message is refused (`max_message_size`, in bytes).
const MAX_MESSAGE_SIZE: u32 = 16 << 20;

/// How long a queue that keeps its dead letters waits before it tries again (`dead_letter_worker`, 180 s).
const LETTER_RETRY: Duration = Duration::from_secs(180);

/// Whom to tell when a queue has taken a publish: the publisher, or the count of a publish to several queues.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    Single(Confirm),
    Shared(u32),
}

impl<P: Clone> QueueSide<P> {
    #[inline(always)]
    pub(super) fn publish<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        mandatory: bool,
        publication: &mut Publication<P>,
        context: &mut Context<'_, P, O>,
    ) {
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
            Ok(targets) => Targets::of(targets),
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        let confirm = self.number_publish(client, channel);
        if kind == ExchangeKind::Broadcast {
            self.broadcast(publication, context);
            return confirm.into_iter().for_each(|confirm| self.answer(confirm, Ok(()), context));
        }
        match targets {
            Targets::None => {
                context.observe(Event::Unrouted { message: publication.envelope.message });
                if mandatory {
                    let publication = publication.clone();
                    let message = Message::Return { channel, code: ReplyCode::NoRoute, publication };
                    context.send(Address::Client(client), message);
                }
                confirm.into_iter().for_each(|confirm| self.answer(confirm, Ok(()), context));
            }
            Targets::One(store) => {
                let session = Session { client, channel };
                self.enqueue(store, session, publication, confirm.map(Waiting::Single), context);
            }
            Targets::Several(stores) => {
                self.copy_to(stores, Session { client, channel }, publication, confirm, context)
            }
        }
    }

    #[inline(never)]
    fn copy_to<O: Observer>(
        &mut self,
        stores: Vec<StoreId>,
        session: Session,
        publication: &Publication<P>,
        confirm: Option<Confirm>,
        context: &mut Context<'_, P, O>,
    ) {
        let shared = confirm.map(|confirm| Waiting::Shared(self.share(confirm, stores.len() as u32)));
        for store in stores {
            self.enqueue(store, session, publication, shared, context);
        }
    }

    /// The number of a publish, where the channel asked for confirms.
    #[inline]
    fn number_publish(&mut self, client: ClientId, channel: Channel) -> Option<Confirm> {
        let published = self.channel(client, channel).published.as_mut()?;
        *published += 1;
        Some(Confirm::Publish { client, channel, sequence: *published })
    }

    fn share(&mut self, confirm: Confirm, left: u32) -> u32 {
        let shared = SharedConfirm { confirm, left, refused: None };
        match self.free.pop() {
            Some(place) => {
                self.shared[place as usize] = shared;
                place
            }
            None => {
                self.shared.push(shared);
                self.shared.len() as u32 - 1
            }
        }
    }

    /// One queue has taken a publish.
    #[inline(always)]
    pub(super) fn taken<O: Observer>(&mut self, waiting: Waiting, context: &mut Context<'_, P, O>) {
        match waiting {
            Waiting::Single(confirm) => self.answer(confirm, Ok(()), context),
            Waiting::Shared(place) => self.answered(place, None, context),
        }
    }

    /// One queue has refused a publish.
    pub(super) fn refused<O: Observer>(&mut self, waiting: Waiting, reason: Refusal, context: &mut Context<'_, P, O>) {
        match waiting {
            Waiting::Single(confirm) => self.answer(confirm, Err(reason), context),
            Waiting::Shared(place) => self.answered(place, Some(reason), context),
        }
    }

    fn answered<O: Observer>(&mut self, place: u32, refused: Option<Refusal>, context: &mut Context<'_, P, O>) {
        let shared = &mut self.shared[place as usize];
        shared.left -= 1;
        shared.refused = shared.refused.or(refused);
        if shared.left == 0 {
            let SharedConfirm { confirm, refused, .. } = *shared;
            self.free.push(place);
            self.answer(confirm, refused.map_or(Ok(()), Err), context);
        }
    }

    /// All queues have answered.
    #[inline(always)]
    fn answer<O: Observer>(&mut self, confirm: Confirm, result: Result<(), Refusal>, context: &mut Context<'_, P, O>) {
        match confirm {
            Confirm::Publish { client, channel, sequence } => {
                let (from, to) = (Address::Node(context.node), Address::Client(client));
                let effect = context.out.place();
                let message = Message::Confirm { channel, sequence, result };
                effect.fill(Effect::Send { from, to, message });
            }
            Confirm::Letter { queue, number } => self.letter_answered(queue, number, result.is_ok(), context),
        }
    }

    /// A dead letter that is kept has reached its targets, or is tried again later.
    #[cold]
    fn letter_answered<O: Observer>(
        &mut self,
        queue: usize,
        number: u64,
        taken: bool,
        context: &mut Context<'_, P, O>,
    ) {
        if taken {
            self.dead_letter_taken(queue, number, context);
        } else if self.queues[queue].exists {
            self.timers.set(Timer::Letters.number(queue), context.now.saturating_add(LETTER_RETRY));
        }
    }

    /// Adds a message to a queue and hands it out where somebody waits for it. False where the queue refuses it.
    #[inline(always)]
    fn enqueue<O: Observer>(
        &mut self,
        store: StoreId,
        session: Session,
        publication: &Publication<P>,
        waiting: Option<Waiting>,
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
        self.memory.held += u64::from(size.get());
        context.observe(Event::Stored { message, store, offset, size });
        if persistent {
            hosted.unflushed.push_back((offset, sender, waiting));
            hosted.flush(context);
            self.charge(sender);
        }
        // Nobody waits where other messages do: what is handed out now is this message.
        self.hand_out(index, context);
        self.trim_queue(index, context);
        if let (false, Some(waiting)) = (persistent, waiting) {
            self.taken(waiting, context);
        }
        true
    }

    /// Brings a queue back within its limits, and gives up what has expired at its head.
    #[inline]
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
        waiting: Option<Waiting>,
        context: &mut Context<'_, P, O>,
    ) {
        let hosted = &self.queues[index];
        let (message, store, reason) = (publication.envelope.message, hosted.config.store, Refusal::Full);
        context.observe(Event::Declined { message, store, reason });
        if hosted.config.overflow == Overflow::RejectPublishDlx {
            hosted.bequeath(publication.clone(), DeathReason::MaxLength, &mut self.dead);
        }
        if let Some(waiting) = waiting {
            self.refused(waiting, reason, context);
        }
    }

    /// Publishes what queues have given up to their dead-letter exchanges, in the order in which it was given up.
    #[inline]
    pub(super) fn bury<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
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
        let confirm = number.map(|number| Confirm::Letter { queue: index, number });
        if let (true, Some(confirm)) = (stores.is_empty(), confirm) {
            return self.answer(confirm, Err(Refusal::NotFound), context);
        }
        let waiting = confirm.map(|confirm| Waiting::Shared(self.share(confirm, stores.len() as u32)));
        let message = publication.envelope.message;
        for target in stores {
            if self.enqueue(target, DEAD_LETTERS, &publication, waiting, context) {
                context.observe(Event::DeadLettered { message, store: queue, target });
            }
        }
    }

    /// The disk reports that everything in a queue below this place is durable.
    #[inline(always)]
    pub fn flushed<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        let Some(index) = self.hosted(store) else { return };
        if self.is_replicated(index) {
            context.observe(Event::Flushed { node: context.node, store, offset: until });
            self.committed(index, until, context);
            return self.read_on_if_blocked(context);
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

    /// A publish has been written.
    #[inline(always)]
    pub(super) fn written<O: Observer>(
        &mut self,
        client: ClientId,
        waiting: Option<Waiting>,
        context: &mut Context<'_, P, O>,
    ) {
        self.refund(client);
        if let Some(waiting) = waiting {
            self.taken(waiting, context);
        }
    }

    pub(super) fn subscribe(&mut self, client: ClientId, exchange: ExchangeId, application: ApplicationId) {
        let mut audiences = self.audiences.iter_mut();
        let audience = audiences.find(|a| a.exchange == exchange && a.application == application);
        let audience = audience.expect("an audience for each application of a broadcast");
        audience.subscribers.push_back(client);
    }

    fn broadcast<O: Observer>(&mut self, publication: &Publication<P>, context: &mut Context<'_, P, O>) {
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

/// The queues that a message goes to, taken out of the router.
enum Targets {
    None,
    One(StoreId),
    Several(Vec<StoreId>),
}

impl Targets {
    #[inline]
    fn of(stores: &[StoreId]) -> Targets {
        match *stores {
            [] => Targets::None,
            [single] => Targets::One(single),
            ref several => Targets::Several(several.to_vec()),
        }
    }
}
