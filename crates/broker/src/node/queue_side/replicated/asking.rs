//! What the clients of this node ask of a quorum queue: each request is an order, numbered, and sent to whoever leads. A
//! node that hears of another leader sends what was not answered again.

use brokerlab_event::{ClientId, Event, NodeId, Observer, Offset, Refusal, StoreId};

use super::super::QueueSide;
use super::super::confirming::Waiting;
use super::super::delivering::Settlement;
use super::{Replica, Unanswered};
use crate::config::{Overflow, QueueKind};
use crate::message::{Address, Message, Publication};
use crate::node::Context;
use crate::quorum::{self, Command, ConsumerKey, ConsumerOptions, DeliveryNumber, Order, Receiver, Session};

impl<P: Clone> QueueSide<P> {
    /// True where this queue is a quorum queue.
    #[inline]
    pub(in super::super) fn is_replicated(&self, index: usize) -> bool {
        self.queues[index].replica.is_some()
    }

    pub(super) fn replica(&mut self, index: usize) -> &mut Replica<P> {
        self.queues[index].replica.as_mut().expect("only quorum queues have replicas")
    }

    /// Asks for something.
    fn order<O: Observer>(&mut self, index: usize, command: Command<P>, context: &mut Context<'_, P, O>) {
        self.order_publish(index, command, None, context);
    }

    fn order_publish<O: Observer>(
        &mut self,
        index: usize,
        command: Command<P>,
        publish: Option<(ClientId, Waiting)>,
        context: &mut Context<'_, P, O>,
    ) {
        let replica = self.replica(index);
        let again = (!replica.is_alone()).then(|| command.clone());
        replica.agent.orders += 1;
        let number = replica.agent.orders;
        replica.agent.unanswered.push_back(Unanswered { number, command: again, publish });
        self.send_order(index, number, command, context);
    }

    /// Passes an order on to the leader. Where none is known it waits until one is.
    fn send_order<O: Observer>(
        &mut self,
        index: usize,
        number: u64,
        command: Command<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let order = Order { origin: Some((self.neighbours.home, number)), command };
        let store = self.queues[index].config.store;
        match self.replica(index).agent.leader {
            Some(leader) if leader == context.node => self.submit(index, order, context),
            Some(leader) => {
                context.send(Address::Node(leader), Message::QuorumOrder { store, order: Box::new(order) });
            }
            None => {}
        }
    }

    /// Somebody leads the group now, and has told whom of this node the queue does not take publishes from. Deliveries of
    /// the leader before are void, and what it has not answered is asked of the new one.
    pub(in super::super) fn follow_leader<O: Observer>(
        &mut self,
        leader: NodeId,
        store: StoreId,
        (term, stopped): (u32, Vec<Session>),
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store).filter(|index| self.is_replicated(*index)) else { return };
        let agent = &mut self.replica(index).agent;
        if term < agent.term {
            return;
        }
        (agent.leader, agent.term) = (Some(leader), term);
        agent.stopped = stopped.into_iter().collect();
        agent.held.clear();
        let again = agent.unanswered.iter().filter_map(|order| Some((order.number, order.command.clone()?)));
        let again: Vec<_> = again.collect();
        let channels = self.connections.iter_mut().flat_map(|connection| &mut connection.channels);
        channels.for_each(|channel| channel.disown(|delivery| delivery.store == store));
        for (number, command) in again {
            self.send_order(index, number, command, context);
        }
    }

    /// Adds a message, unless its channel was told to stop. False where the message is refused.
    #[inline(never)]
    pub(in super::super) fn submit_publish<O: Observer>(
        &mut self,
        index: usize,
        session: Session,
        publication: &Publication<P>,
        waiting: Waiting,
        context: &mut Context<'_, P, O>,
    ) -> bool {
        let (store, overflow) = (self.queues[index].config.store, self.queues[index].config.overflow);
        // Dead letters that nobody keeps are not held up: they would be lost.
        let is_letter = session == self.dead_letters() && waiting.is_nobody();
        let agent = &mut self.replica(index).agent;
        if !is_letter && agent.stopped.contains(&session) {
            let message = publication.envelope.message;
            context.observe(Event::Declined { message, store, reason: Refusal::Full });
            self.answer(waiting, Err(Refusal::Full), context);
            return false;
        }
        if !is_letter && overflow != Overflow::DropHead && agent.publishers.insert(session) {
            self.order(index, Command::RegisterSession(session), context);
        }
        let command = Command::Enqueue { publication: publication.clone(), sequence: None };
        self.order_publish(index, command, Some((session.client, waiting)), context);
        self.charge(session.client);
        true
    }

    /// Starts a consumer.
    pub(in super::super) fn submit_consumer<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        options: ConsumerOptions,
        context: &mut Context<'_, P, O>,
    ) {
        let QueueKind::Quorum(quorum) = self.queues[index].config.kind else { return };
        let watches = self.profile.channel_timeout.is_none();
        let timeout = quorum.consumer_timeout.filter(|_| watches);
        let options = ConsumerOptions { timeout, ..options };
        self.order(index, Command::Register { consumer, options }, context);
    }

    pub(in super::super) fn submit_cancel<O: Observer>(
        &mut self,
        index: usize,
        consumer: ConsumerKey,
        context: &mut Context<'_, P, O>,
    ) {
        self.order(index, Command::Cancel { consumer }, context);
    }

    pub(in super::super) fn submit_purge<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        self.order(index, Command::Purge, context);
    }

    pub(in super::super) fn submit_get<O: Observer>(
        &mut self,
        index: usize,
        session: Session,
        auto_ack: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let agent = &mut self.replica(index).agent;
        agent.gets += 1;
        let consumer = ConsumerKey { session, receiver: Receiver::Get(agent.gets) };
        let options = ConsumerOptions { auto_ack, ..ConsumerOptions::default() };
        self.order(index, Command::Get { consumer, options }, context);
    }

    /// A channel has ended: tells the queue if it has to do with it.
    pub(in super::super) fn submit_down<O: Observer>(
        &mut self,
        index: usize,
        session: Session,
        context: &mut Context<'_, P, O>,
    ) {
        let agent = &mut self.replica(index).agent;
        agent.publishers.remove(&session);
        agent.stopped.remove(&session);
        agent.held.retain(|_, (consumer, _)| consumer.session != session);
        self.order(index, Command::Down(session), context);
    }

    /// The quorum queues that a channel has published to.
    pub(in super::super) fn published_to(&self, session: Session) -> impl Iterator<Item = usize> {
        let replicas =
            self.queues.iter().enumerate().filter_map(|(index, hosted)| Some((index, hosted.replica.as_ref()?)));
        replicas.filter(move |(_, replica)| replica.agent.publishers.contains(&session)).map(|(index, _)| index)
    }

    /// Settles deliveries of one quorum queue, in this order: an order for each consumer that they went to.
    #[inline(never)]
    pub(in super::super) fn submit_settlement<O: Observer>(
        &mut self,
        index: usize,
        places: &[Offset],
        how: Settlement,
        context: &mut Context<'_, P, O>,
    ) {
        let agent = &mut self.replica(index).agent;
        let mut by_consumer: Vec<(ConsumerKey, Vec<DeliveryNumber>)> = Vec::new();
        for (key, number) in places.iter().filter_map(|place| agent.held.remove(place)) {
            match by_consumer.iter_mut().find(|(known, _)| *known == key) {
                Some((_, numbers)) => numbers.push(number),
                None => by_consumer.push((key, vec![number])),
            }
        }
        let settlement = match how {
            Settlement::Ack => quorum::Settlement::Ack,
            Settlement::Requeue => quorum::Settlement::NackRequeue,
            Settlement::Return => quorum::Settlement::RejectRequeue,
            Settlement::Reject => quorum::Settlement::Discard,
        };
        for (consumer, deliveries) in by_consumer {
            self.order(index, Command::Settle { consumer, deliveries, settlement }, context);
        }
    }

    /// A dead letter that is kept has reached all its targets.
    pub(in super::super) fn dead_letter_taken<O: Observer>(
        &mut self,
        index: usize,
        number: u64,
        context: &mut Context<'_, P, O>,
    ) {
        if self.queues[index].exists {
            self.order(index, Command::SettleDeadLetters { numbers: vec![number] }, context);
        }
    }

    /// Dead letters that found nobody, or were refused, are tried again.
    pub(in super::super) fn retry_dead_letters<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        if self.queues[index].exists {
            self.order(index, Command::RestartDeadLettering, context);
        }
    }
}
