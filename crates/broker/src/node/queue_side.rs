//! The part of a node that hosts exchanges and queues, and the connections of their clients.

mod delivering;
mod publishing;

use std::collections::VecDeque;

use brokerlab_event::{
    ApplicationId, Bytes, ClientId, Event, NodeId, Observer, Offset, Outcome, Removal, RunHeader, StoreId,
};

use self::publishing::{Confirm, Waiting};
use super::Context;
use crate::channel::{ChannelState, Unsettled};
use crate::config::{ConsumerKind, Deployment, ExchangeId, QueueConfig};
use crate::dispatch::{ConsumerRing, Subscription};
use crate::log::Crash;
use crate::message::{Address, Channel, ConsumerTag, Effect, Message, ReplyCode};
use crate::queue::{ClassicQueue, DurableQueue};
use crate::router::Router;

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
    #[inline(always)]
    pub fn handle<O: Observer>(&mut self, from: Address, message: &mut Message<P>, context: &mut Context<'_, P, O>) {
        match from {
            Address::Client(client) => self.handle_client(client, message, context),
            from => unreachable!("{from:?} sends no such message to the queues of a node"),
        }
    }

    #[inline(always)]
    fn handle_client<O: Observer>(
        &mut self,
        client: ClientId,
        message: &mut Message<P>,
        context: &mut Context<'_, P, O>,
    ) {
        match *message {
            Message::Publish { channel, mandatory, ref mut publication } => {
                self.publish(client, channel, mandatory, publication, context);
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
            Message::ConfirmSelect { channel } => {
                // Asking again changes nothing: the numbers go on.
                self.channel(client, channel).published.get_or_insert(0);
            }
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
            let (redelivered, publication) = (entry.redelivered, entry.publication.clone());
            let envelope = &publication.envelope;
            let tag = if auto_ack {
                self.queues[index].queue.settle(offset);
                let (message, size, cause) = (envelope.message, Bytes::new(envelope.size), Removal::AutoAcked);
                context.observe(Event::Removed { message, store, offset, size, cause });
                self.channel(client, channel).deliver_settled()
            } else {
                self.channel(client, channel).deliver(Unsettled { store, offset, consumer: None })
            };
            (tag, redelivered, offset, publication)
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
        self.queues[index].queue.purge(|offset, publication| {
            let envelope = &publication.envelope;
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

    /// Tells which messages are still to be had, and for whom.
    pub fn census<O: Observer>(&self, header: &RunHeader, context: &mut Context<'_, P, O>) {
        for hosted in &self.queues {
            for publication in hosted.queue.messages() {
                for &application in header.served_by(hosted.config.store) {
                    context.observe(Event::Remaining { message: publication.envelope.message, application });
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
            context.out.place().fill(Effect::Flush { node: context.node, store: self.config.store, until });
        }
    }
}
