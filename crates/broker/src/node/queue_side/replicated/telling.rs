//! What becomes of it at the channels of this node when a quorum queue has done something.

use brokerlab_event::{Bytes, Event, NodeId, Observer, Removal, StoreId};

use super::super::QueueSide;
use super::super::hosted::removal;
use crate::channel::Unsettled;
use crate::dead_letter::DeadLetter;
use crate::message::{Address, Message, ReplyCode, Told};
use crate::node::Context;
use crate::quorum::{self, ConsumerKey, Delivery, DeliveryNumber, Receiver, Session};

impl<P: Clone> QueueSide<P> {
    /// The event's word for what has happened to a message.
    pub(super) fn event_of(&self, index: usize, effect: &quorum::Effect<P>) -> Option<Event> {
        use quorum::Effect::*;
        let store = self.queues[index].config.store;
        let removed = |message, size, offset, cause| {
            Some(Event::Removed { message, store, offset, size: Bytes::new(size), cause })
        };
        match *effect {
            Enqueued { position, message, size, .. } => {
                Some(Event::Stored { message, store, offset: position, size: Bytes::new(size) })
            }
            Acked { position, message, size, .. } => removed(message, size, position, Removal::Acked),
            Returned { position, message, .. } => Some(Event::Requeued { message, store, offset: position }),
            Dropped { position, message, size, reason } | Discarded { position, message, size, reason } => {
                removed(message, size, position, removal(reason))
            }
            DeadLettered(quorum::DeadLetter { number: None, position, reason, ref publication, .. }) => {
                removed(publication.envelope.message, publication.envelope.size, position, removal(reason))
            }
            Removed { position, message, size } => removed(message, size, position, Removal::Purged),
            Delivered { ref delivery, .. } | GetAnswered { delivery: Some(ref delivery), .. } if delivery.settled => {
                let envelope = &delivery.publication.envelope;
                removed(envelope.message, envelope.size, delivery.position, Removal::AutoAcked)
            }
            _ => None,
        }
    }

    /// The leader of a group tells what it has done for the channels of this node. Of another leader than the present one
    /// nothing is heard.
    pub(in super::super) fn hear_leader<O: Observer>(
        &mut self,
        leader: NodeId,
        store: StoreId,
        (term, told): (u32, Vec<Told<P>>),
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else { return };
        for told in told {
            let agent = &self.replica(index).agent;
            if (agent.leader, agent.term) == (Some(leader), term) {
                self.hear(index, told, context);
            }
        }
        self.read_on_if_blocked(context);
    }

    pub(super) fn hear<O: Observer>(&mut self, index: usize, told: Told<P>, context: &mut Context<'_, P, O>) {
        use quorum::Effect::*;
        let effect = match told {
            Told::Carried(number) => return self.carried_out(index, number, context),
            Told::Effect(effect) => effect,
        };
        match effect {
            Delivered { consumer, delivery } => self.pass_on(index, consumer, delivery, context),
            GetAnswered { consumer, delivery, ready } => self.answer_get(index, consumer, delivery, ready, context),
            GetRefused { consumer: ConsumerKey { session: Session { client, channel, .. }, .. } } => {
                self.fail_channel(client, channel, ReplyCode::ResourceLocked, context);
            }
            DeadLettered(quorum::DeadLetter { number, reason, publication, .. }) => {
                let queue = self.queues[index].config.store;
                self.dead.push_back(DeadLetter { publication, queue, reason, number });
            }
            PublishingStopped(session) => {
                self.replica(index).agent.stopped.insert(session);
            }
            PublishingResumed(session) => {
                self.replica(index).agent.stopped.remove(&session);
            }
            ConsumerTimedOut { consumer, deliveries } => self.timed_out(index, consumer, &deliveries, context),
            _ => {}
        }
    }

    /// Everything up to this order is done.
    fn carried_out<O: Observer>(&mut self, index: usize, number: u64, context: &mut Context<'_, P, O>) {
        while let Some(order) = self.replica(index).agent.unanswered.pop_front_if(|order| order.number <= number) {
            if let Some((client, waiting)) = order.publish {
                self.written(client, waiting, context);
            }
        }
    }

    fn pass_on<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: Delivery<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let ConsumerKey { session: Session { client, channel, .. }, receiver } = consumer;
        let Receiver::Subscription(tag) = receiver else { return };
        let Some(delivery_tag) = self.number_delivery(index, consumer, &delivery, context) else { return };
        let Delivery { position, publication, delivery_count, acquired_count, .. } = delivery;
        let store = self.queues[index].config.store;
        let message = Message::Deliver {
            channel,
            consumer: tag,
            tag: delivery_tag,
            redelivered: acquired_count > 0,
            delivery_count,
            store,
            offset: position,
            publication,
        };
        context.send(Address::Client(client), message);
    }

    fn answer_get<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: Option<Delivery<P>>,
        ready: u64,
        context: &mut Context<'_, P, O>,
    ) {
        let Session { client, channel, .. } = consumer.session;
        let found = delivery.and_then(|delivery| {
            let tag = self.number_delivery(index, consumer, &delivery, context)?;
            Some((tag, delivery.redelivered(), delivery.position, delivery.publication))
        });
        let store = self.queues[index].config.store;
        context.send(Address::Client(client), Message::GetAnswer { channel, store, found, ready });
    }

    /// Gives a delivery its tag on the channel. Nothing where the channel has ended: the queue will be told so, and
    /// return it.
    fn number_delivery<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        delivery: &Delivery<P>,
        context: &mut Context<'_, P, O>,
    ) -> Option<u64> {
        let (store, offset) = (self.queues[index].config.store, delivery.position);
        let Session { client, channel, .. } = consumer.session;
        let channels = &mut self.connections.get_mut(client.index())?.channels;
        let channel = channels.iter_mut().find(|known| known.number == channel)?;
        if !delivery.settled {
            let replica = self.queues[index].replica.as_mut().expect("only quorum queues tell this");
            replica.agent.held.insert(offset, (consumer, delivery.number));
        }
        Some(match delivery.settled {
            true => channel.deliver_settled(),
            false => {
                let tag = channel.deliver(Unsettled { store, offset, consumer: None });
                if self.profile.channel_timeout.is_some() {
                    channel.stamp(context.now);
                }
                tag
            }
        })
    }

    /// A consumer did not settle in time: these deliveries are back in the queue, and it is cancelled.
    fn timed_out<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        deliveries: &[DeliveryNumber],
        context: &mut Context<'_, P, O>,
    ) {
        let ConsumerKey { session: Session { client, channel, .. }, receiver } = consumer;
        let Receiver::Subscription(tag) = receiver else { return };
        let store = self.queues[index].config.store;
        let held = &mut self.queues[index].replica.as_mut().expect("only quorum queues tell this").agent.held;
        held.retain(|_, (holder, number)| *holder != consumer || !deliveries.contains(number));
        let channels = self.connections.get_mut(client.index()).map(|connection| &mut connection.channels);
        let state = channels.into_iter().flatten().find(|known| known.number == channel);
        if let Some(state) = state {
            state.consumers.retain(|(other, ..)| *other != tag);
            state.disown(|delivery| delivery.store == store && !held.contains_key(&delivery.offset));
        }
        self.submit_cancel(index, consumer, context);
        context.send(Address::Client(client), Message::ConsumerCancelled { channel, tag });
    }
}
