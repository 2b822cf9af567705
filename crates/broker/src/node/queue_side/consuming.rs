//! Consumers that come and go, and clients that fetch single messages.

use brokerlab_event::{Bytes, ClientId, Event, Observer, Removal, StoreId};

use super::QueueSide;
use crate::channel::{ChannelState, Unsettled};
use crate::dispatch::Subscription;
use crate::message::{Address, Channel, ConsumerTag, Message, ReplyCode};
use crate::node::Context;
use crate::quorum::{ConsumerKey, ConsumerOptions, Receiver};

impl<P: Clone> QueueSide<P> {
    pub(super) fn get<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        auto_ack: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let index = match self.usable(client, store) {
            Ok(index) => index,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        if self.is_replicated(index) {
            self.channel(client, channel).expects_from(store);
            self.submit_get(index, self.session(client, channel), auto_ack, context);
            return self.used(index, context);
        }
        self.expire(index, context);
        let found = self.queues[index].queue.deliver().map(|offset| {
            let queue = &mut self.queues[index].queue;
            let entry = queue.entry(offset).expect("it was just taken for delivery");
            let (redelivered, publication) = (entry.redelivered, entry.publication.clone());
            let tag = if auto_ack {
                let (message, size) = queue.settle(offset);
                self.memory.held -= u64::from(size);
                let (size, cause) = (Bytes::new(size), Removal::AutoAcked);
                context.observe(Event::Removed { message, store, offset, size, cause });
                self.channel(client, channel).deliver_settled()
            } else {
                self.channel(client, channel).deliver(Unsettled { store, offset, consumer: None })
            };
            (tag, redelivered, offset, publication)
        });
        if self.profile.channel_timeout.is_some() {
            self.channel(client, channel).stamp(context.now);
        }
        self.expire(index, context);
        self.used(index, context);
        let ready = self.queues[index].queue.ready();
        context.send(Address::Client(client), Message::GetAnswer { channel, store, found, ready });
    }

    /// Sets the limit that the consumers of a channel share. Those that had come up against it go on where it is higher
    /// now.
    pub(super) fn share_prefetch<O: Observer>(
        &mut self,
        client: ClientId,
        number: Channel,
        prefetch: u32,
        context: &mut Context<'_, P, O>,
    ) {
        let channel = self.channel(client, number);
        let was_blocked = channel.is_blocked();
        channel.shared_prefetch = prefetch;
        if was_blocked && !channel.is_blocked() {
            self.unblock(client, number, context);
        }
    }

    pub(super) fn consume<O: Observer>(
        &mut self,
        mut subscription: Subscription,
        store: StoreId,
        exclusive: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let Subscription { client, channel, tag, .. } = subscription;
        let index = match self.may_consume(client, store, tag, exclusive) {
            Ok(index) => index,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        subscription.prefetch = self.channel(client, channel).prefetch;
        self.queues[index].had_consumers = true;
        if self.is_replicated(index) {
            if self.channel(client, channel).shared_prefetch > 0 {
                return self.fail_channel(client, channel, ReplyCode::NotImplemented, context);
            }
            self.channel(client, channel).consumers.push((tag, store, None));
            self.channel(client, channel).expects_from(store);
            self.used(index, context);
            let Subscription { prefetch, priority, auto_ack, .. } = subscription;
            let options = ConsumerOptions { prefetch, priority, auto_ack, timeout: None };
            return self.submit_consumer(index, self.subscription(client, channel, tag), options, context);
        }
        let hosted = &mut self.queues[index];
        let place = match exclusive {
            true => hosted.consumers.add_exclusive(subscription),
            false => hosted.consumers.add(subscription),
        };
        self.channel(client, channel).consumers.push((tag, store, Some(place)));
        self.used(index, context);
        self.dispatch(index, context);
    }

    fn subscription(&self, client: ClientId, channel: Channel, tag: ConsumerTag) -> ConsumerKey {
        ConsumerKey { session: self.session(client, channel), receiver: Receiver::Subscription(tag) }
    }

    /// The queue, unless the consumer is refused.
    fn may_consume(
        &self,
        client: ClientId,
        store: StoreId,
        tag: ConsumerTag,
        exclusive: bool,
    ) -> Result<usize, ReplyCode> {
        let index = self.usable(client, store)?;
        let in_use = |channel: &ChannelState| channel.consumers.iter().any(|(other, ..)| *other == tag);
        if self.connections.get(client.index()).is_some_and(|connection| connection.channels.iter().any(in_use)) {
            return Err(ReplyCode::NotAllowed);
        }
        let hosted = &self.queues[index];
        let alone = hosted.consumers.is_empty() && !hosted.config.single_active_consumer;
        // A quorum queue does not look at the flag, except that a single active consumer cannot be exclusive.
        let exclusive = exclusive && (hosted.replica.is_none() || hosted.config.single_active_consumer);
        if hosted.consumers.is_exclusive() || (exclusive && !alone) {
            return Err(ReplyCode::AccessRefused);
        }
        Ok(index)
    }

    pub(super) fn cancel<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        tag: ConsumerTag,
        context: &mut Context<'_, P, O>,
    ) {
        let consumers = &mut self.channel(client, channel).consumers;
        let Some(position) = consumers.iter().position(|(other, ..)| *other == tag) else { return };
        let (_, store, place) = consumers.remove(position);
        let index = self.hosted(store).expect("a queue that goes takes its consumers with it");
        match place {
            Some(place) => self.queues[index].consumers.remove(place),
            None => self.submit_cancel(index, self.subscription(client, channel, tag), context),
        }
        self.consumer_gone(index, context);
        if self.hosted(store).is_some() {
            self.dispatch(index, context); // a single active consumer may have a successor
        }
    }
}
