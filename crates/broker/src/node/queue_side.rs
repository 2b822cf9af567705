//! The part of a node that hosts exchanges and queues, and the connections of their clients.

mod confirming;
mod consuming;
mod delivering;
mod flow;
mod hosted;
mod lifetimes;
mod neighbours;
mod publishing;
mod replicated;

use std::collections::{BTreeSet, VecDeque};

use brokerlab_event::{
    ApplicationId, Bytes, ClientId, Event, NodeId, Observer, Offset, Removal, RunHeader, StoreId, Time,
};

use self::confirming::SharedConfirm;
use self::delivering::Settlement;
use self::flow::{Connection, Memory};
use self::hosted::{HostedQueue, messages_of};
use self::lifetimes::{SCAN_INTERVAL, Timer};
use self::neighbours::Neighbours;
use self::replicated::{DurableReplica, Replica};
use super::Context;
use crate::channel::ChannelState;
use crate::config::{ConsumerKind, Deployment, Destination, ExchangeId, Profile, QueueConfig};
use crate::dead_letter::DeadLetter;
use crate::deadlines::Deadlines;
use crate::dispatch::Subscription;
use crate::log::{Crash, Entry};
use crate::message::{Address, Channel, Message, ReplyCode};
use crate::queue::{ClassicQueue, DurableQueue};
use crate::quorum::{Home, Session};
use crate::raft::LogEnd;
use crate::router::Router;

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
    /// After a restart: the router with what was not durable, which the first client to be back declares again.
    undeclared: Option<Box<Router>>,
    queues: Vec<HostedQueue<P>>,
    /// Index into `queues` by store id.
    index: Vec<Option<u32>>,
    /// By client id.
    connections: Vec<Connection<P>>,
    memory: Memory,
    audiences: Vec<Audience>,
    /// Publishes to several queues; free places have none left.
    shared: Vec<SharedConfirm>,
    free: Vec<u32>,
    /// What queues have given up in the request at hand and nobody has got yet, in order.
    dead: VecDeque<DeadLetter<P>>,
    timers: Deadlines,
    profile: Profile,
    neighbours: Neighbours,
}

/// What is left of a node's queues when it has gone down.
#[derive(Clone, Debug)]
pub struct DurableQueues<P>(Vec<(StoreId, DurableStorage<P>)>);

/// What is left of one queue.
#[derive(Clone, Debug)]
enum DurableStorage<P> {
    Classic(DurableQueue<P>),
    /// Nothing where the node only spoke with the group.
    Quorum(Option<Box<DurableReplica<P>>>),
}

impl<P: Clone> QueueSide<P> {
    /// What the deployment places on this node.
    pub fn new(node: NodeId, deployment: &Deployment) -> QueueSide<P> {
        // A quorum queue with several members can be used at any node.
        let is_here = |queue: &&QueueConfig| queue.node == node || queue.members(deployment.nodes).len() > 1;
        let hosted = deployment.queues.iter().filter(is_here);
        let bindings = |store| {
            let own =
                deployment.bindings.iter().filter(move |binding| binding.destination == Destination::Queue(store));
            own.cloned().collect()
        };
        let queues: Vec<HostedQueue<P>> = hosted
            .map(|config| {
                HostedQueue::new(config.clone(), bindings(config.store), Replica::of(config, node, deployment))
            })
            .collect();
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
        let mut timers = Deadlines::default();
        for (number, queue) in queues.iter().enumerate() {
            if let Some(expires) = queue.config.expires {
                timers.set(Timer::Unused.number(number), Time::ZERO.saturating_add(expires));
            }
        }
        if deployment.profile.channel_timeout.is_some() {
            timers.set(queues.len() as u32 * Timer::KINDS, Time::ZERO.saturating_add(SCAN_INTERVAL));
        }
        QueueSide {
            router: Router::new(deployment),
            undeclared: None,
            queues,
            index,
            connections: Vec::new(),
            memory: Memory::new(deployment.memory_watermark),
            audiences,
            shared: Vec::new(),
            free: Vec::new(),
            dead: VecDeque::new(),
            timers,
            profile: deployment.profile.clone(),
            neighbours: Neighbours::new(Home { node, ..Home::default() }, deployment.nodes, Time::ZERO),
        }
        .shown(Time::ZERO)
    }

    /// Where there is a group, its nodes show themselves to each other, at first at this time.
    fn shown(mut self, at: Time) -> QueueSide<P> {
        if self.queues.iter().any(|hosted| hosted.replica.as_ref().is_some_and(|own| !own.is_alone())) {
            self.timers.set(self.round_number(), at);
        }
        self
    }

    /// When something is due next.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    /// Handles a request of a client or the end of a connection.
    #[inline(always)]
    pub fn handle<O: Observer>(&mut self, from: Address, message: &mut Message<P>, context: &mut Context<'_, P, O>) {
        let Address::Client(client) = from else { unreachable!("{from:?} sends no such message to a node's queues") };
        if self.memory.blocks_somebody() {
            return self.handle_while_blocking(client, message, context);
        }
        self.handle_client(client, message, context);
    }

    #[inline(never)]
    fn handle_while_blocking<O: Observer>(
        &mut self,
        client: ClientId,
        message: &mut Message<P>,
        context: &mut Context<'_, P, O>,
    ) {
        if !self.keep_unread(client, message) {
            self.handle_client(client, message, context);
            self.read_on(context);
        }
    }

    /// What queues are asked most, each by a call of its own, so that the rest does not cost it anything.
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
                self.hold_up(client, context);
            }
            Message::Ack { channel, tag, multiple: false } => self.acknowledge(client, channel, tag, context),
            _ => self.handle_seldom(client, message, context),
        }
        self.bury(context);
    }

    #[inline(never)]
    fn handle_seldom<O: Observer>(
        &mut self,
        client: ClientId,
        message: &mut Message<P>,
        context: &mut Context<'_, P, O>,
    ) {
        match *message {
            Message::Ack { channel, tag, multiple } => {
                self.settle(client, channel, tag, multiple, Settlement::Ack, context);
            }
            Message::Nack { channel, tag, multiple, requeue } => {
                let how = if requeue { Settlement::Requeue } else { Settlement::Reject };
                self.settle(client, channel, tag, multiple, how, context);
            }
            Message::Reject { channel, tag, requeue } => {
                let how = if requeue { Settlement::Return } else { Settlement::Reject };
                self.settle(client, channel, tag, false, how, context);
            }
            Message::Recover { channel } => self.settle(client, channel, 0, true, Settlement::Requeue, context),
            Message::Get { channel, queue, auto_ack } => self.get(client, channel, queue, auto_ack, context),
            Message::Consume { channel, queue, tag, auto_ack, exclusive, priority } => {
                let mut subscription = Subscription::new(client, channel, tag, auto_ack, 0);
                subscription.priority = priority;
                self.consume(subscription, queue, exclusive, context);
            }
            Message::DeclareQueue { channel, queue } => self.declare(client, channel, queue, context),
            Message::DeleteQueue { channel, queue } => self.delete(client, channel, queue, context),
            Message::Subscribe { exchange, application } => self.subscribe(client, exchange, application),
            Message::Cancel { channel, tag } => self.cancel(client, channel, tag, context),
            Message::Purge { channel, queue } => self.purge(client, channel, queue, context),
            Message::InspectQueue { channel, queue } => self.inspect(client, channel, queue, context),
            Message::ConfirmSelect { channel } => {
                // Asking again changes nothing: the numbers go on.
                self.channel(client, channel).published.get_or_insert(0);
            }
            Message::Qos { channel, prefetch, global } => {
                if global && self.profile.shared_prefetch {
                    self.share_prefetch(client, channel, prefetch, context);
                } else {
                    self.channel(client, channel).prefetch = prefetch;
                }
            }
            Message::CloseChannel { channel } => self.close_channel(client, channel, context),
            Message::Reply { to, message } => {
                context.send(Address::Client(to), Message::Reply { to, message });
            }
            Message::Connect => self.declare_again(context.now),
            Message::Disconnect | Message::ConnectionLost => self.disconnected(client, context),
            _ => unreachable!("a client sends no such message to the queues of a node"),
        }
    }

    /// A channel of a connection with this node.
    fn session(&self, client: ClientId, channel: Channel) -> Session {
        Session { client, channel, home: self.neighbours.home }
    }

    /// The channel, opened at first use.
    #[inline(always)]
    fn channel(&mut self, client: ClientId, number: Channel) -> &mut ChannelState {
        let channels = self.connections.get(client.index()).map_or(&[][..], |connection| &connection.channels);
        match channels.iter().position(|channel| channel.number == number) {
            Some(index) => &mut self.connections[client.index()].channels[index],
            None => self.open_channel(client, number),
        }
    }

    #[cold]
    fn open_channel(&mut self, client: ClientId, number: Channel) -> &mut ChannelState {
        let channels = &mut self.connection(client).channels;
        channels.push(ChannelState::new(number));
        channels.last_mut().expect("it was just pushed")
    }

    /// Where the queue is kept, whether or not it exists at present.
    #[inline]
    fn place(&self, store: StoreId) -> Option<usize> {
        self.index.get(store.index()).copied().flatten().map(|index| index as usize)
    }

    /// Where the queue is kept, if it exists.
    #[inline]
    fn hosted(&self, store: StoreId) -> Option<usize> {
        self.place(store).filter(|index| self.queues[*index].exists)
    }

    /// The queue, if it exists and this client may use it.
    fn usable(&self, client: ClientId, store: StoreId) -> Result<usize, ReplyCode> {
        let index = self.hosted(store).ok_or(ReplyCode::NotFound)?;
        let open = self.queues[index].config.is_open_to(client);
        if open { Ok(index) } else { Err(ReplyCode::ResourceLocked) }
    }

    fn purge<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        context: &mut Context<'_, P, O>,
    ) {
        let index = match self.usable(client, store) {
            Ok(index) => index,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        if self.is_replicated(index) {
            return self.submit_purge(index, context);
        }
        self.queues[index].queue.purge(|offset, publication| {
            let envelope = &publication.envelope;
            let (message, size) = (envelope.message, Bytes::new(envelope.size));
            self.memory.held -= u64::from(size.get());
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
        let index = match self.usable(client, store) {
            Ok(index) => index,
            Err(code) => return self.fail_channel(client, channel, code, context),
        };
        let (ready, consumers) = (self.queues[index].ready(), self.queues[index].consumer_count());
        context.send(Address::Client(client), Message::QueueState { channel, ready, consumers });
    }

    #[cold]
    #[inline(never)]
    fn fail_channel<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        code: ReplyCode,
        context: &mut Context<'_, P, O>,
    ) {
        context.send(Address::Client(client), Message::ChannelError { channel, code });
        self.close_channel(client, channel, context);
        if code.ends_connection() {
            self.close_connection(client, context);
        }
    }

    /// Ends a channel.
    fn close_channel<O: Observer>(&mut self, client: ClientId, number: Channel, context: &mut Context<'_, P, O>) {
        let channels = &mut self.connection(client).channels;
        let Some(position) = channels.iter().position(|channel| channel.number == number) else { return };
        let channel = channels.remove(position);
        self.end_channels(client, vec![channel], context);
    }

    /// Ends channels: all their consumers stop, then everything unsettled goes back, the oldest delivery of each first.
    /// So none of them gets what another returns.
    #[inline(never)]
    fn end_channels<O: Observer>(
        &mut self,
        client: ClientId,
        mut channels: Vec<ChannelState>,
        context: &mut Context<'_, P, O>,
    ) {
        for (_, store, place) in channels.iter().flat_map(|channel| &channel.consumers) {
            let index = self.hosted(*store).expect("a queue that goes takes its consumers with it");
            if let Some(place) = place {
                self.queues[index].consumers.remove(*place);
            }
        }
        let mut returned = Vec::new();
        // A quorum queue is told of a channel's end, and itself knows what to return.
        let mut told = BTreeSet::new();
        for channel in &mut channels {
            let session = self.session(client, channel.number);
            let mut unsettled = channel.settle_until(0).expect("tag 0 covers whatever there is");
            let stores = unsettled.iter().map(|delivery| delivery.store);
            let stores = stores.chain(channel.replicated.iter().copied());
            let known = stores.filter_map(|store| self.hosted(store)).chain(self.published_to(session));
            told.extend(known.filter(|index| self.is_replicated(*index)).map(|index| (session, index)));
            unsettled.retain(|delivery| self.hosted(delivery.store).is_some_and(|index| !self.is_replicated(index)));
            returned.append(&mut unsettled);
        }
        self.settle_all(returned, Settlement::Return, context);
        for (session, index) in told {
            self.submit_down(index, session, context);
        }
        for (_, store, _) in channels.into_iter().flat_map(|channel| channel.consumers) {
            if let Some(index) = self.hosted(store) {
                self.consumer_gone(index, context);
                // A single active consumer may have a successor, for whom messages are ready.
                self.dispatch(index, context);
            }
        }
    }

    fn disconnected<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        for audience in &mut self.audiences {
            audience.subscribers.retain(|subscriber| *subscriber != client);
        }
        self.close_connection(client, context);
        self.forget_connection(client, context);
    }

    /// Ends all channels of a connection, and the queues that belong to it.
    fn close_connection<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        let channels = core::mem::take(&mut self.connection(client).channels);
        self.end_channels(client, channels, context);
        self.delete_exclusive(client, context);
    }

    /// True where clients of a queue are served here.
    pub fn leads(&self, queue: StoreId) -> bool {
        self.hosted(queue).is_some_and(|index| self.queues[index].is_served_here())
    }

    /// How far the log of a quorum queue's member goes that is here.
    pub fn quorum_log_end(&self, queue: StoreId) -> Option<LogEnd> {
        self.queues[self.hosted(queue)?].replica.as_ref()?.log_end()
    }

    /// How many messages are ready in a queue that is served here.
    pub fn ready(&self, queue: StoreId) -> u64 {
        let hosted = self.queues.iter().find(|hosted| hosted.config.store == queue);
        hosted.filter(|hosted| hosted.is_served_here()).map_or(0, HostedQueue::ready)
    }

    /// Tells which messages are still to be had, and for whom.
    pub fn census<O: Observer>(
        &self,
        header: &RunHeader,
        speaks_for: &[(StoreId, Offset)],
        context: &mut Context<'_, P, O>,
    ) {
        for hosted in &self.queues {
            let store = hosted.config.store;
            let messages = match &hosted.replica {
                Some(replica) if !replica.is_alone() => {
                    let told = speaks_for.iter().find(|(queue, _)| *queue == store).map(|(_, told)| *told);
                    let queue = told.and_then(|told| replica.queue_at(told));
                    queue.map_or_else(Vec::new, |queue| {
                        messages_of(&queue).map(|(_, own)| own.envelope.message).collect()
                    })
                }
                _ => hosted.messages().into_iter().map(|(_, own)| own.envelope.message).collect(),
            };
            for message in messages {
                for &application in header.served_by(store) {
                    context.observe(Event::Remaining { message, application });
                }
            }
        }
    }

    /// What survives when the node goes down now: the durable queues, and, as they were declared, the durable exchanges.
    pub fn crash<O: Observer>(self, kind: Crash, context: &mut Context<'_, P, O>) -> DurableQueues<P> {
        self.memory.blocked().for_each(|client| context.observe(Event::Unblocked { client }));
        self.queues.iter().for_each(|hosted| hosted.tell_crash(kind, context));
        let durable = self.queues.into_iter().filter(|hosted| hosted.exists && hosted.config.is_durable());
        let storage = |hosted: HostedQueue<P>| match hosted.replica {
            None => DurableStorage::Classic(hosted.queue.crash(kind)),
            Some(replica) => DurableStorage::Quorum(replica.crash(kind).map(Box::new)),
        };
        DurableQueues(durable.map(|hosted| (hosted.config.store, storage(hosted))).collect())
    }

    /// The queues of a node that comes back. What is not durable is there again once a client has connected.
    pub fn recover(home: Home, deployment: &Deployment, now: Time, durable: DurableQueues<P>) -> QueueSide<P> {
        let mut side = QueueSide::new(home.node, deployment);
        side.neighbours = Neighbours::new(home, deployment.nodes, now);
        let kept: BTreeSet<StoreId> = durable.0.iter().map(|(store, _)| *store).collect();
        let mut declared = Box::new(side.router.clone());
        for hosted in &mut side.queues {
            let store = hosted.config.store;
            hosted.exists = kept.contains(&store);
            if !hosted.exists {
                side.router.remove_queue(store);
            }
            if !hosted.exists && !hosted.is_declared_again() {
                declared.remove_queue(store);
            }
        }
        for (index, exchange) in deployment.exchanges.iter().enumerate() {
            if !exchange.durable {
                side.router.remove_exchange(ExchangeId(index as u16));
            }
        }
        side.undeclared = Some(declared);
        // What was unused before the node went down begins anew.
        for (index, hosted) in side.queues.iter().enumerate() {
            let expires = hosted.config.expires.filter(|_| hosted.exists);
            let number = Timer::Unused.number(index);
            side.timers.set_or_clear(number, expires.map(|expires| now.saturating_add(expires)));
        }
        if side.profile.channel_timeout.is_some() {
            side.timers.set(side.scan_number(), now.saturating_add(SCAN_INTERVAL));
        }
        for (store, queue) in durable.0 {
            let index = side.hosted(store).expect("the deployment places this queue here, as it did before");
            let hosted = &mut side.queues[index];
            let next = match queue {
                DurableStorage::Classic(queue) => {
                    hosted.queue = ClassicQueue::recover(queue, hosted.config.max_priority);
                    hosted.queue.head_deadline()
                }
                DurableStorage::Quorum(replica) => {
                    hosted.replica = Some(Box::new(Replica::recover(replica.map(|replica| *replica), now)));
                    let (first, election) = side.first_turn(index, now);
                    side.timers.set_or_clear(Timer::Election.number(index), election);
                    first
                }
            };
            let hosted = &side.queues[index];
            let sizes = hosted.messages().into_iter().map(|(_, publication)| publication.bytes());
            side.memory.held += sizes.sum::<u64>();
            side.timers.set_or_clear(Timer::Head.number(index), next);
        }
        side.shown(now)
    }

    /// Clients declare what they use when they connect, and their libraries what they had declared before ("topology
    /// recovery"): the first that is back after a restart brings back everything that was not durable, empty, but for
    /// queues that belong to another connection.
    fn declare_again(&mut self, now: Time) {
        let Some(router) = self.undeclared.take() else { return };
        self.router = *router;
        for (index, hosted) in self.queues.iter_mut().enumerate().filter(|(_, hosted)| hosted.is_declared_again()) {
            hosted.exists = true;
            let expiry = hosted.config.expires.map(|expires| now.saturating_add(expires));
            self.timers.set_or_clear(Timer::Unused.number(index), expiry);
        }
    }
}
