//! Delivering: who gets the next message, and what becomes of one that was settled.

use brokerlab_event::{Bytes, ClientId, Event, Observer, Outcome, Removal};

use super::super::Context;
use super::QueueSide;
use crate::channel::Unsettled;
use crate::message::{Address, Channel, Effect, Message, ReplyCode};

impl<P: Clone> QueueSide<P> {
    /// Hands out messages while there is one and somebody who can take it.
    #[inline]
    pub(super) fn dispatch<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        if self.queues[index].queue.ready() > 0 {
            self.hand_out(index, context);
        }
    }

    #[inline(never)]
    pub(super) fn hand_out<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        let store = hosted.config.store;
        while hosted.queue.ready() > 0 {
            let Some((place, subscriber)) = hosted.consumers.turn() else { return };
            let channels = &mut self.connections[subscriber.client.index()];
            let channel = channels.iter_mut().find(|channel| channel.number == subscriber.channel);
            let channel = channel.expect("a channel that ends takes its consumers with it");
            if channel.is_blocked() && !subscriber.auto_ack {
                hosted.consumers.skip();
                continue; // it enters the ring again when its channel settles something
            }
            let taken = hosted.queue.deliver_with(|entry| (entry.redelivered, entry.publication.clone()));
            let (offset, (redelivered, publication)) = taken.expect("a message is ready");
            let tag = if subscriber.auto_ack {
                let size = Bytes::new(publication.envelope.size);
                hosted.queue.settle(offset);
                let cause = Removal::AutoAcked;
                context.observe(Event::Removed { message: publication.envelope.message, store, offset, size, cause });
                channel.deliver_settled()
            } else {
                channel.deliver(Unsettled { store, offset, consumer: Some(place) })
            };
            hosted.consumers.delivered(place);
            let (channel, consumer) = (subscriber.channel, subscriber.tag);
            let (from, to) = (Address::Node(context.node), Address::Client(subscriber.client));
            let message = Message::Deliver { channel, consumer, tag, redelivered, store, offset, publication };
            context.out.place().fill(Effect::Send { from, to, message });
        }
    }

    pub(super) fn settle<O: Observer>(
        &mut self,
        client: ClientId,
        number: Channel,
        tag: u64,
        multiple: bool,
        outcome: Outcome,
        context: &mut Context<'_, P, O>,
    ) {
        let channel = self.channel(client, number);
        let was_blocked = channel.is_blocked();
        if multiple {
            let Some(deliveries) = channel.settle_until(tag) else {
                return self.fail_channel(client, number, ReplyCode::PreconditionFailed, context);
            };
            self.settle_all(deliveries, outcome, context);
        } else {
            let Some(delivery) = channel.settle(tag) else {
                return self.fail_channel(client, number, ReplyCode::PreconditionFailed, context);
            };
            let index = self.settle_one(delivery, outcome, context);
            self.dispatch(index, context);
        }
        if was_blocked {
            self.unblock(client, number, context);
        }
    }

    /// Settles deliveries in their order, then hands out what has become ready.
    pub(super) fn settle_all<O: Observer>(
        &mut self,
        all: Vec<Unsettled>,
        outcome: Outcome,
        context: &mut Context<'_, P, O>,
    ) {
        let mut touched: Vec<usize> = Vec::new();
        for delivery in all {
            let index = self.settle_one(delivery, outcome, context);
            if !touched.contains(&index) {
                touched.push(index);
            }
        }
        for index in touched {
            self.dispatch(index, context);
        }
    }

    #[inline(always)]
    pub(super) fn settle_one<O: Observer>(
        &mut self,
        delivery: Unsettled,
        outcome: Outcome,
        context: &mut Context<'_, P, O>,
    ) -> usize {
        let Unsettled { store, offset, consumer } = delivery;
        let index = self.hosted(store).expect("deliveries come from queues of this node");
        let hosted = &mut self.queues[index];
        let cause = match outcome {
            Outcome::Requeue => None,
            Outcome::Ack | Outcome::Automatic => Some(Removal::Acked),
            Outcome::Reject => Some(Removal::Rejected),
        };
        match cause {
            Some(cause) => {
                let (message, size) = hosted.queue.settle(offset);
                context.observe(Event::Removed { message, store, offset, size: Bytes::new(size), cause });
            }
            None => {
                let message = hosted.queue.requeue(offset);
                context.observe(Event::Requeued { message, store, offset });
            }
        }
        if let Some(place) = consumer {
            hosted.consumers.settled(place);
        }
        index
    }

    /// The shared limit of a channel is no longer reached: its consumers can take messages again.
    pub(super) fn unblock<O: Observer>(&mut self, client: ClientId, channel: Channel, context: &mut Context<'_, P, O>) {
        for (_, store, place) in self.channel(client, channel).consumers.clone() {
            let index = self.hosted(store).expect("consumers are at queues of this node");
            self.queues[index].consumers.unblock(place);
            self.dispatch(index, context);
        }
    }
}
