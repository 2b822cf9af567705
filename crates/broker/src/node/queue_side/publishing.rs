//! Publishing: routing, storing, and confirms once every queue has taken a message.

use brokerlab_event::{ApplicationId, Bytes, ClientId, Event, Observer, Offset, StoreId};

use super::super::Context;
use super::QueueSide;
use crate::config::{ExchangeId, ExchangeKind};
use crate::message::{Address, Channel, Effect, Message, Publication, ReplyCode};
use crate::router::strip_blind_copies;

/// A publish that some queue has still to take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Confirm {
    client: ClientId,
    channel: Channel,
    sequence: u64,
}

/// Whom to tell when a queue has taken a publish: the publisher, or the count of a publish to several queues.
#[derive(Clone, Copy, Debug)]
pub(super) enum Waiting {
    Single(Confirm),
    Shared(u32),
}

impl<P: Clone> QueueSide<P> {
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
        let confirm = self.number_publish(client, channel);
        if kind == ExchangeKind::Broadcast {
            self.broadcast(publication, context);
            return confirm.into_iter().for_each(|confirm| confirm.send(context));
        }
        let queues = match self.router.route(exchange, routing_key, publication.properties.as_deref()) {
            Ok(queues) => queues,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        strip_blind_copies(&mut publication.properties);
        match *queues {
            [] => {
                context.observe(Event::Unrouted { message: publication.envelope.message });
                if mandatory {
                    let publication = publication.clone();
                    let message = Message::Return { channel, code: ReplyCode::NoRoute, publication };
                    context.send(Address::Client(client), message);
                }
                confirm.into_iter().for_each(|confirm| confirm.send(context));
            }
            [single] => self.enqueue(single, publication, confirm.map(Waiting::Single), context),
            ref several => {
                let several = several.to_vec();
                self.copy_to(several, publication, confirm, context);
            }
        }
    }

    #[inline(never)]
    pub(super) fn copy_to<O: Observer>(
        &mut self,
        stores: Vec<StoreId>,
        publication: &Publication<P>,
        confirm: Option<Confirm>,
        context: &mut Context<'_, P, O>,
    ) {
        let shared = confirm.map(|confirm| Waiting::Shared(self.share(confirm, stores.len() as u32)));
        for store in stores {
            self.enqueue(store, publication, shared, context);
        }
    }

    /// The number of a publish, where the channel asked for confirms.
    #[inline]
    pub(super) fn number_publish(&mut self, client: ClientId, channel: Channel) -> Option<Confirm> {
        let published = self.channel(client, channel).published.as_mut()?;
        *published += 1;
        Some(Confirm { client, channel, sequence: *published })
    }

    pub(super) fn share(&mut self, confirm: Confirm, targets: u32) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.shared[place as usize] = (confirm, targets);
                place
            }
            None => {
                self.shared.push((confirm, targets));
                self.shared.len() as u32 - 1
            }
        }
    }

    /// One queue has taken a publish.
    #[inline(always)]
    pub(super) fn taken<O: Observer>(&mut self, waiting: Waiting, context: &mut Context<'_, P, O>) {
        match waiting {
            Waiting::Single(confirm) => confirm.send(context),
            Waiting::Shared(place) => {
                let (confirm, left) = &mut self.shared[place as usize];
                *left -= 1;
                if *left == 0 {
                    confirm.send(context);
                    self.free.push(place);
                }
            }
        }
    }

    #[inline(always)]
    pub(super) fn enqueue<O: Observer>(
        &mut self,
        store: StoreId,
        publication: &Publication<P>,
        waiting: Option<Waiting>,
        context: &mut Context<'_, P, O>,
    ) {
        let index = self.hosted(store).expect("the router knows only queues of this node");
        let hosted = &mut self.queues[index];
        let (message, size) = (publication.envelope.message, Bytes::new(publication.envelope.size));
        let offset = hosted.queue.enqueue(publication.clone(), context.now);
        context.observe(Event::Stored { message, store, offset, size });
        if hosted.config.durable {
            if let Some(waiting) = waiting {
                hosted.unflushed.push_back((offset, waiting));
            }
            hosted.flush(context);
        }
        let durable = hosted.config.durable;
        self.dispatch(index, context);
        if let (false, Some(waiting)) = (durable, waiting) {
            self.taken(waiting, context);
        }
    }

    /// The disk reports that everything in a queue below this place is durable.
    pub fn flushed<O: Observer>(&mut self, store: StoreId, until: Offset, context: &mut Context<'_, P, O>) {
        let index = self.hosted(store).expect("the disk answers for queues of this node");
        let hosted = &mut self.queues[index];
        hosted.queue.mark_flushed(until);
        hosted.flushing = false;
        hosted.flush(context);
        context.observe(Event::Flushed { node: context.node, store, offset: until });
        while let Some(&(offset, waiting)) = self.queues[index].unflushed.front()
            && offset < until
        {
            self.queues[index].unflushed.pop_front();
            self.taken(waiting, context);
        }
    }

    pub(super) fn subscribe(&mut self, client: ClientId, exchange: ExchangeId, application: ApplicationId) {
        let mut audiences = self.audiences.iter_mut();
        let audience = audiences.find(|a| a.exchange == exchange && a.application == application);
        let audience = audience.expect("an audience for each application of a broadcast");
        audience.subscribers.push_back(client);
    }

    pub(super) fn broadcast<O: Observer>(&mut self, publication: &Publication<P>, context: &mut Context<'_, P, O>) {
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
                store: StoreId::MAX,
                offset: Offset::ZERO,
                publication: publication.clone(),
            };
            context.send(Address::Client(client), message);
        }
    }
}

impl Confirm {
    fn send<P, O: Observer>(&self, context: &mut Context<'_, P, O>) {
        let Confirm { client, channel, sequence } = *self;
        let (from, to) = (Address::Node(context.node), Address::Client(client));
        let message = Message::Confirm { channel, sequence, result: Ok(()) };
        context.out.place().fill(Effect::Send { from, to, message });
    }
}
