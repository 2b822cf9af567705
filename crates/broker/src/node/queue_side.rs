//! The part of a node that hosts exchanges and queues, and the connections of their clients.

use std::collections::VecDeque;

use brokerlab_event::{
    ApplicationId, Bytes, ClientId, Event, NodeId, Observer, Offset, Outcome, Removal, RunHeader, StoreId,
};

use super::Context;
use crate::channel::{ChannelState, Unsettled};
use crate::config::{ConsumerKind, Deployment, ExchangeId, ExchangeKind, QueueConfig, RoutingKey};
use crate::dispatch::{ConsumerRing, Subscription};
use crate::log::Crash;
use crate::message::{Address, Channel, ConsumerTag, Effect, Envelope, Message, ReplyCode};
use crate::queue::{ClassicQueue, DurableQueue};
use crate::router::Router;

/// A publish that some queue has still to take.
#[derive(Clone, Copy, Debug)]
struct Confirm {
    client: ClientId,
    channel: Channel,
    sequence: u64,
}

/// Whom to tell when a queue has taken a publish: the publisher, or the count of a publish to several queues.
#[derive(Clone, Copy, Debug)]
enum Waiting {
    Single(Confirm),
    Shared(u32),
}

/// A queue with its consumers and the confirms that wait for its disk.
#[derive(Clone, Debug)]
struct HostedQueue<P> {
    config: QueueConfig,
    queue: ClassicQueue<P>,
    consumers: ConsumerRing,
    unflushed: VecDeque<(Offset, Waiting)>,
    flushing: bool,
}

/// The subscribers of a broadcast that stand for one application; each message goes to one of them.
#[derive(Clone, Debug)]
struct Audience {
    exchange: ExchangeId,
    application: ApplicationId,
    subscribers: VecDeque<ClientId>,
}

/// Exchanges, queues and connections.
#[derive(Clone, Debug)]
pub struct QueueSide<P> {
    router: Router,
    queues: Vec<HostedQueue<P>>,
    /// Index into `queues` by store id.
    index: Vec<Option<u32>>,
    /// Channels by client id.
    connections: Vec<Vec<ChannelState>>,
    audiences: Vec<Audience>,
    /// Publishes to several queues, with how many have still to take them; free places have none.
    shared: Vec<(Confirm, u32)>,
    free: Vec<u32>,
}

/// What is left of a node's queues when it has gone down.
#[derive(Clone, Debug)]
pub struct DurableQueues<P>(Vec<(StoreId, DurableQueue<P>)>);

impl<P: Clone> QueueSide<P> {
    /// What the deployment places on this node.
    pub fn new(node: NodeId, deployment: &Deployment) -> QueueSide<P> {
        let hosted = deployment.queues.iter().filter(|queue| queue.node == node);
        let queues: Vec<HostedQueue<P>> = hosted.map(|config| HostedQueue::new(config.clone())).collect();
        let mut index = vec![None; queues.iter().map(|queue| queue.config.store.index() + 1).max().unwrap_or(0)];
        for (number, queue) in queues.iter().enumerate() {
            index[queue.config.store.index()] = Some(number as u32);
        }
        let mut audiences: Vec<Audience> = Vec::new();
        for consumer in deployment.consumers.iter().filter(|consumer| consumer.node == node) {
            if let ConsumerKind::Broadcast { exchange } = consumer.kind
                && !audiences.iter().any(|a| a.exchange == exchange && a.application == consumer.application)
            {
                let application = consumer.application;
                audiences.push(Audience { exchange, application, subscribers: VecDeque::new() });
            }
        }
        QueueSide {
            router: Router::new(deployment),
            queues,
            index,
            connections: Vec::new(),
            audiences,
            shared: Vec::new(),
            free: Vec::new(),
        }
    }

    /// Handles a request of a client or the end of a connection.
    pub fn handle<O: Observer>(&mut self, from: Address, message: Message<P>, context: &mut Context<'_, P, O>) {
        match from {
            Address::Client(client) => self.handle_client(client, message, context),
            from => unreachable!("{from:?} sends no such message to the queues of a node"),
        }
    }

    #[inline]
    fn handle_client<O: Observer>(&mut self, client: ClientId, message: Message<P>, context: &mut Context<'_, P, O>) {
        match message {
            Message::Publish { channel, exchange, routing_key, mandatory, envelope } => {
                self.publish(client, channel, exchange, routing_key, mandatory, envelope, context);
            }
            Message::Ack { channel, tag, multiple } => {
                self.settle(client, channel, tag, multiple, Outcome::Ack, context);
            }
            Message::Nack { channel, tag, multiple, requeue } => {
                let outcome = if requeue { Outcome::Requeue } else { Outcome::Reject };
                self.settle(client, channel, tag, multiple, outcome, context);
            }
            Message::Recover { channel } => self.settle(client, channel, 0, true, Outcome::Requeue, context),
            Message::Get { channel, queue, auto_ack } => self.get(client, channel, queue, auto_ack, context),
            Message::Consume { channel, queue, tag, auto_ack } => {
                self.consume(client, channel, queue, tag, auto_ack, context);
            }
            Message::Subscribe { exchange, application } => self.subscribe(client, exchange, application),
            Message::Cancel { channel, tag } => self.cancel(client, channel, tag),
            Message::Purge { channel, queue } => self.purge(client, channel, queue, context),
            Message::InspectQueue { channel, queue } => self.inspect(client, channel, queue, context),
            Message::ConfirmSelect { channel } => self.channel(client, channel).published = Some(0),
            Message::Qos { channel, prefetch, global } => {
                let channel = self.channel(client, channel);
                *(if global { &mut channel.shared_prefetch } else { &mut channel.prefetch }) = prefetch;
            }
            Message::CloseChannel { channel } => self.close_channel(client, channel, context),
            Message::Reply { to, message } => {
                context.send(Address::Client(to), Message::Reply { to, message });
            }
            Message::Connect => {}
            Message::Disconnect | Message::ConnectionLost => self.disconnected(client, context),
            _ => unreachable!("a client sends no such message to the queues of a node"),
        }
    }

    /// The channel, opened at first use.
    #[inline(always)]
    fn channel(&mut self, client: ClientId, number: Channel) -> &mut ChannelState {
        let channels = self.connections.get(client.index()).map_or(&[][..], Vec::as_slice);
        match channels.iter().position(|channel| channel.number == number) {
            Some(index) => &mut self.connections[client.index()][index],
            None => self.open_channel(client, number),
        }
    }

    #[cold]
    fn open_channel(&mut self, client: ClientId, number: Channel) -> &mut ChannelState {
        if client.index() >= self.connections.len() {
            self.connections.resize_with(client.index() + 1, Vec::new);
        }
        let channels = &mut self.connections[client.index()];
        channels.push(ChannelState::new(number));
        channels.last_mut().expect("it was just pushed")
    }

    #[inline]
    fn hosted(&self, store: StoreId) -> Option<usize> {
        self.index.get(store.index()).copied().flatten().map(|index| index as usize)
    }

    #[allow(clippy::too_many_arguments)]
    fn publish<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        exchange: ExchangeId,
        key: RoutingKey,
        mandatory: bool,
        envelope: Envelope<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(kind) = self.router.kind(exchange) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        let confirm = self.number_publish(client, channel);
        if kind == ExchangeKind::Broadcast {
            self.broadcast(exchange, &envelope, context);
            return confirm.into_iter().for_each(|confirm| confirm.send(context));
        }
        match *self.router.route(exchange, key) {
            [] => {
                context.observe(Event::Unrouted { message: envelope.message });
                if mandatory {
                    let message = Message::Return { channel, code: ReplyCode::NoRoute, envelope };
                    context.send(Address::Client(client), message);
                }
                confirm.into_iter().for_each(|confirm| confirm.send(context));
            }
            [single] => self.enqueue(single, envelope, confirm.map(Waiting::Single), context),
            ref several => self.copy_to(several.to_vec(), envelope, confirm, context),
        }
    }

    #[inline(never)]
    fn copy_to<O: Observer>(
        &mut self,
        stores: Vec<StoreId>,
        envelope: Envelope<P>,
        confirm: Option<Confirm>,
        context: &mut Context<'_, P, O>,
    ) {
        let shared = confirm.map(|confirm| Waiting::Shared(self.share(confirm, stores.len() as u32)));
        for store in stores {
            self.enqueue(store, envelope.clone(), shared, context);
        }
    }

    /// The number of a publish, where the channel asked for confirms.
    #[inline]
    fn number_publish(&mut self, client: ClientId, channel: Channel) -> Option<Confirm> {
        let published = self.channel(client, channel).published.as_mut()?;
        *published += 1;
        Some(Confirm { client, channel, sequence: *published })
    }

    fn share(&mut self, confirm: Confirm, targets: u32) -> u32 {
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
    fn taken<O: Observer>(&mut self, waiting: Waiting, context: &mut Context<'_, P, O>) {
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
    fn enqueue<O: Observer>(
        &mut self,
        store: StoreId,
        envelope: Envelope<P>,
        waiting: Option<Waiting>,
        context: &mut Context<'_, P, O>,
    ) {
        let index = self.hosted(store).expect("the router knows only queues of this node");
        let hosted = &mut self.queues[index];
        let (message, size) = (envelope.message, Bytes::new(envelope.size));
        let offset = hosted.queue.enqueue(envelope, context.now);
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

    /// Hands out messages while there is one and somebody who can take it.
    #[inline]
    fn dispatch<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        if self.queues[index].queue.ready() > 0 {
            self.hand_out(index, context);
        }
    }

    #[inline(never)]
    fn hand_out<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
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
            let taken = hosted.queue.deliver_with(|entry| (entry.redelivered, entry.envelope.clone()));
            let (offset, (redelivered, envelope)) = taken.expect("a message is ready");
            let tag = if subscriber.auto_ack {
                let size = Bytes::new(envelope.size);
                hosted.queue.settle(offset);
                let cause = Removal::AutoAcked;
                context.observe(Event::Removed { message: envelope.message, store, offset, size, cause });
                channel.deliver_settled()
            } else {
                channel.deliver(Unsettled { store, offset, consumer: Some(place) })
            };
            hosted.consumers.delivered(place);
            let (channel, consumer) = (subscriber.channel, subscriber.tag);
            let message = Message::Deliver { channel, consumer, tag, redelivered, store, offset, envelope };
            context.send(Address::Client(subscriber.client), message);
        }
    }

    fn settle<O: Observer>(
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
    fn settle_all<O: Observer>(&mut self, all: Vec<Unsettled>, outcome: Outcome, context: &mut Context<'_, P, O>) {
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
    fn settle_one<O: Observer>(
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
    fn unblock<O: Observer>(&mut self, client: ClientId, channel: Channel, context: &mut Context<'_, P, O>) {
        for (_, store, place) in self.channel(client, channel).consumers.clone() {
            let index = self.hosted(store).expect("consumers are at queues of this node");
            self.queues[index].consumers.unblock(place);
            self.dispatch(index, context);
        }
    }

    fn get<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        auto_ack: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        let found = self.queues[index].queue.deliver().map(|offset| {
            let entry = self.queues[index].queue.entry(offset).expect("it was just taken for delivery");
            let (redelivered, envelope) = (entry.redelivered, entry.envelope.clone());
            let tag = if auto_ack {
                self.queues[index].queue.settle(offset);
                let (message, size, cause) = (envelope.message, Bytes::new(envelope.size), Removal::AutoAcked);
                context.observe(Event::Removed { message, store, offset, size, cause });
                self.channel(client, channel).deliver_settled()
            } else {
                self.channel(client, channel).deliver(Unsettled { store, offset, consumer: None })
            };
            (tag, redelivered, offset, envelope)
        });
        let ready = self.queues[index].queue.ready();
        context.send(Address::Client(client), Message::GetAnswer { channel, store, found, ready });
    }

    fn consume<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        tag: ConsumerTag,
        auto_ack: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        let prefetch = self.channel(client, channel).prefetch;
        let in_use = |channel: &ChannelState| channel.consumers.iter().any(|(other, ..)| *other == tag);
        if self.connections[client.index()].iter().any(in_use) {
            return self.fail_channel(client, channel, ReplyCode::NotAllowed, context);
        }
        let place = self.queues[index].consumers.add(Subscription::new(client, channel, tag, auto_ack, prefetch));
        self.channel(client, channel).consumers.push((tag, store, place));
        self.dispatch(index, context);
    }

    fn cancel(&mut self, client: ClientId, channel: Channel, tag: ConsumerTag) {
        let consumers = &mut self.channel(client, channel).consumers;
        if let Some(position) = consumers.iter().position(|(other, ..)| *other == tag) {
            let (_, store, place) = consumers.remove(position);
            let index = self.hosted(store).expect("consumers are at queues of this node");
            self.queues[index].consumers.remove(place);
        }
    }

    fn purge<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        self.queues[index].queue.purge(|offset, envelope| {
            let (message, size) = (envelope.message, Bytes::new(envelope.size));
            context.observe(Event::Removed { message, store, offset, size, cause: Removal::Purged });
        });
    }

    fn inspect<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        let (ready, consumers) = (self.queues[index].queue.ready(), self.queues[index].consumers.len());
        context.send(Address::Client(client), Message::QueueState { channel, ready, consumers });
    }

    fn fail_channel<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        code: ReplyCode,
        context: &mut Context<'_, P, O>,
    ) {
        context.send(Address::Client(client), Message::ChannelError { channel, code });
        self.close_channel(client, channel, context);
    }

    /// Ends a channel: its consumers stop, then everything unsettled goes back, oldest delivery first.
    fn close_channel<O: Observer>(&mut self, client: ClientId, number: Channel, context: &mut Context<'_, P, O>) {
        let Some(channels) = self.connections.get_mut(client.index()) else { return };
        let Some(position) = channels.iter().position(|channel| channel.number == number) else { return };
        let mut channel = channels.remove(position);
        for (_, store, place) in &channel.consumers {
            let index = self.hosted(*store).expect("consumers are at queues of this node");
            self.queues[index].consumers.remove(*place);
        }
        let unsettled = channel.settle_until(0).expect("tag 0 covers whatever there is");
        self.settle_all(unsettled, Outcome::Requeue, context);
    }

    fn disconnected<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        for audience in &mut self.audiences {
            audience.subscribers.retain(|subscriber| *subscriber != client);
        }
        let last = |side: &Self| side.connections.get(client.index())?.last().map(|channel| channel.number);
        while let Some(channel) = last(self) {
            self.close_channel(client, channel, context);
        }
    }

    fn subscribe(&mut self, client: ClientId, exchange: ExchangeId, application: ApplicationId) {
        let mut audiences = self.audiences.iter_mut();
        let audience = audiences.find(|a| a.exchange == exchange && a.application == application);
        let audience = audience.expect("an audience for each application of a broadcast");
        audience.subscribers.push_back(client);
    }

    fn broadcast<O: Observer>(
        &mut self,
        exchange: ExchangeId,
        envelope: &Envelope<P>,
        context: &mut Context<'_, P, O>,
    ) {
        for audience in self.audiences.iter_mut().filter(|audience| audience.exchange == exchange) {
            let Some(client) = audience.subscribers.pop_front() else {
                let (message, application) = (envelope.message, audience.application);
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
                envelope: envelope.clone(),
            };
            context.send(Address::Client(client), message);
        }
    }

    /// Tells which messages are still to be had, and for whom.
    pub fn census<O: Observer>(&self, header: &RunHeader, context: &mut Context<'_, P, O>) {
        for hosted in &self.queues {
            for envelope in hosted.queue.messages() {
                for &application in header.served_by(hosted.config.store) {
                    context.observe(Event::Remaining { message: envelope.message, application });
                }
            }
        }
    }

    /// What survives when the node goes down now: the durable queues.
    pub fn crash(self, kind: Crash) -> DurableQueues<P> {
        let durable = self.queues.into_iter().filter(|hosted| hosted.config.durable);
        DurableQueues(durable.map(|hosted| (hosted.config.store, hosted.queue.crash(kind))).collect())
    }

    /// The queues of a node that comes back.
    pub fn recover(node: NodeId, deployment: &Deployment, durable: DurableQueues<P>) -> QueueSide<P> {
        let mut side = QueueSide::new(node, deployment);
        for (store, queue) in durable.0 {
            let index = side.hosted(store).expect("the deployment places this queue here, as it did before");
            side.queues[index].queue = ClassicQueue::recover(queue);
        }
        side
    }
}

impl Confirm {
    fn send<P, O: Observer>(&self, context: &mut Context<'_, P, O>) {
        let Confirm { client, channel, sequence } = *self;
        context.send(Address::Client(client), Message::Confirm { channel, sequence, result: Ok(()) });
    }
}

impl<P> HostedQueue<P> {
    fn new(config: QueueConfig) -> HostedQueue<P> {
        HostedQueue {
            config,
            queue: ClassicQueue::default(),
            consumers: ConsumerRing::default(),
            unflushed: VecDeque::new(),
            flushing: false,
        }
    }

    /// Asks for everything to be flushed, unless a flush is under way: what arrives meanwhile shares the next.
    #[inline]
    fn flush<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if !self.flushing && !self.queue.log().is_flushed() {
            self.flushing = true;
            let until = self.queue.log().end();
            context.out.push(Effect::Flush { node: context.node, store: self.config.store, until });
        }
    }
}
