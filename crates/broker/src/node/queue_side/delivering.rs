//! Delivering: who gets the next message, and what becomes of one that was settled.

use std::collections::BTreeMap;

use brokerlab_event::{Bytes, ClientId, Event, Observer, Offset, Removal};

use super::QueueSide;
use super::lifetimes::Timer;
use crate::channel::Unsettled;
use crate::message::{Address, Channel, Effect, Message, ReplyCode};
use crate::node::Context;
use crate::properties::DeathReason;

/// How deliveries are settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settlement {
    /// Done.
    Ack,
    /// Not done, and nobody's fault.
    Requeue,
    /// Not done: the attempt has failed, or its consumer has.
    Return,
    /// Not done, and not wanted back.
    Reject,
}

impl<P: Clone> QueueSide<P> {
    /// Hands out messages while there is one and somebody who can take it. What has expired is not handed out.
    #[inline]
    pub(super) fn dispatch<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        if self.queues[index].queue.expires() {
            self.expire(index, context);
        }
        if self.queues[index].queue.ready() > 0 {
            self.hand_out(index, context);
        }
    }

    /// The same where the head has not expired, or has just arrived: a message whose time to live is nothing still
    /// reaches a consumer that waits for it.
    #[inline(never)]
    pub(super) fn hand_out<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        let store = hosted.config.store;
        while hosted.queue.ready() > 0 {
            let Some((place, subscriber)) = hosted.consumers.turn() else { return };
            let channels = &mut self.connections[subscriber.client.index()].channels;
            let channel = channels.iter_mut().find(|channel| channel.number == subscriber.channel);
            let channel = channel.expect("a channel that ends takes its consumers with it");
            if channel.is_blocked() && !subscriber.auto_ack {
                hosted.consumers.skip(place);
                continue; // it enters the ring again when its channel settles something
            }
            let (offset, entry) = hosted.queue.deliver_entry().expect("a message is ready");
            let tag = match subscriber.auto_ack {
                true => channel.deliver_settled(),
                false => channel.deliver(Unsettled { store, offset, consumer: Some(place) }),
            };
            let (from, to) = (Address::Node(context.node), Address::Client(subscriber.client));
            let effect = context.out.place();
            let message = Message::Deliver {
                channel: subscriber.channel,
                consumer: subscriber.tag,
                tag,
                redelivered: entry.redelivered,
                delivery_count: 0,
                store,
                offset,
                publication: entry.publication.clone(),
            };
            effect.fill(Effect::Send { from, to, message });
            if self.profile.channel_timeout.is_some() {
                channel.stamp(context.now);
            }
            hosted.consumers.delivered(place);
            if subscriber.auto_ack {
                let (message, size) = hosted.queue.settle(offset);
                self.memory.held -= u64::from(size);
                let (size, cause) = (Bytes::new(size), Removal::AutoAcked);
                context.observe(Event::Removed { message, store, offset, size, cause });
            }
            if hosted.queue.expires() {
                let next = hosted.expire(&mut self.dead, &mut self.memory, context);
                self.timers.set_or_clear(Timer::Head.number(index), next);
            }
        }
    }

    /// What most settlements are. The rest of them must not cost these anything.
    #[inline(never)]
    pub(super) fn acknowledge<O: Observer>(
        &mut self,
        client: ClientId,
        number: Channel,
        tag: u64,
        context: &mut Context<'_, P, O>,
    ) {
        let channel = self.channel(client, number);
        if channel.is_blocked() {
            return self.settle(client, number, tag, false, Settlement::Ack, context);
        }
        let Some(delivery) = channel.settle(tag) else {
            return self.fail_channel(client, number, ReplyCode::PreconditionFailed, context);
        };
        self.settle_single(delivery, Settlement::Ack, context);
    }

    #[inline(never)]
    pub(super) fn settle<O: Observer>(
        &mut self,
        client: ClientId,
        number: Channel,
        tag: u64,
        multiple: bool,
        how: Settlement,
        context: &mut Context<'_, P, O>,
    ) {
        let channel = self.channel(client, number);
        let was_blocked = channel.is_blocked();
        if multiple {
            let Some(deliveries) = channel.settle_until(tag) else {
                return self.fail_channel(client, number, ReplyCode::PreconditionFailed, context);
            };
            self.settle_all(deliveries, how, context);
        } else {
            let Some(delivery) = channel.settle(tag) else {
                return self.fail_channel(client, number, ReplyCode::PreconditionFailed, context);
            };
            self.settle_single(delivery, how, context);
        }
        if was_blocked {
            self.unblock(client, number, context);
        }
    }

    /// Settles a delivery, then hands out what has become ready.
    #[inline(always)]
    fn settle_single<O: Observer>(&mut self, delivery: Unsettled, how: Settlement, context: &mut Context<'_, P, O>) {
        match self.hosted(delivery.store) {
            Some(index) if self.is_replicated(index) => {
                self.submit_settlement(index, &[delivery.offset], how, context);
            }
            Some(index) => {
                self.settle_one(index, delivery, how, context);
                self.after_settling(index, how, context);
            }
            None => {} // its queue is gone
        }
    }

    /// Settles deliveries in their order, then hands out what has become ready.
    pub(super) fn settle_all<O: Observer>(
        &mut self,
        all: Vec<Unsettled>,
        how: Settlement,
        context: &mut Context<'_, P, O>,
    ) {
        // Each queue with what it gets back, in the order in which the first delivery of each stands.
        let mut touched: Vec<(usize, Vec<Offset>)> = Vec::new();
        let mut places: BTreeMap<usize, usize> = BTreeMap::new();
        for delivery in all {
            let Some(index) = self.hosted(delivery.store) else { continue }; // its queue is gone
            let place = *places.entry(index).or_insert_with(|| {
                touched.push((index, Vec::new()));
                touched.len() - 1
            });
            if self.is_replicated(index) {
                touched[place].1.push(delivery.offset);
            } else {
                self.settle_one(index, delivery, how, context);
            }
        }
        for (index, places) in touched {
            if self.is_replicated(index) {
                self.submit_settlement(index, &places, how, context);
            } else {
                self.after_settling(index, how, context);
            }
        }
    }

    #[inline(always)]
    fn settle_one<O: Observer>(
        &mut self,
        index: usize,
        delivery: Unsettled,
        how: Settlement,
        context: &mut Context<'_, P, O>,
    ) {
        let Unsettled { store, offset, consumer } = delivery;
        let hosted = &mut self.queues[index];
        match how {
            Settlement::Ack => {
                let (message, size) = hosted.queue.settle(offset);
                self.memory.held -= u64::from(size);
                let (size, cause) = (Bytes::new(size), Removal::Acked);
                context.observe(Event::Removed { message, store, offset, size, cause });
            }
            Settlement::Requeue | Settlement::Return => {
                let message = hosted.queue.requeue(offset);
                context.observe(Event::Requeued { message, store, offset });
            }
            Settlement::Reject => {
                let entry = hosted.queue.entry(offset).expect("what is held is not settled");
                let publication = entry.publication.clone();
                let (message, size) = hosted.queue.settle(offset);
                self.memory.held -= u64::from(size);
                let (size, cause) = (Bytes::new(size), Removal::Rejected);
                context.observe(Event::Removed { message, store, offset, size, cause });
                hosted.bequeath(publication, DeathReason::Rejected, &mut self.dead);
            }
        }
        if let Some(place) = consumer {
            hosted.consumers.settled(place);
        }
    }

    /// What came back may make the queue too long, or have expired meanwhile; then it is handed out.
    #[inline(always)]
    fn after_settling<O: Observer>(&mut self, index: usize, how: Settlement, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.queues[index];
        if hosted.limited && matches!(how, Settlement::Requeue | Settlement::Return) {
            hosted.enforce_limits(&mut self.dead, &mut self.memory, context);
        }
        self.dispatch(index, context);
    }

    /// The shared limit of a channel is no longer reached: its consumers can take messages again.
    pub(super) fn unblock<O: Observer>(&mut self, client: ClientId, channel: Channel, context: &mut Context<'_, P, O>) {
        for (_, store, place) in self.channel(client, channel).consumers.clone() {
            let Some(place) = place else { continue };
            let index = self.hosted(store).expect("a queue that goes takes its consumers with it");
            self.queues[index].consumers.unblock(place);
            self.dispatch(index, context);
        }
    }
}
