//! What queues do as time passes, and how they come and go.

use brokerlab_event::{Bytes, ClientId, Duration, Event, Observer, Removal, StoreId};

use super::QueueSide;
use super::hosted::HostedQueue;
use crate::channel::ChannelState;
use crate::config::Lifetime;
use crate::message::{Address, Channel, Message, ReplyCode};
use crate::node::Context;

/// How often a broker before 4.3 looks for overdue deliveries.
pub(super) const SCAN_INTERVAL: Duration = Duration::from_secs(60);

/// What a queue waits for, each with a deadline of its own.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Timer {
    /// The message at its head expires.
    Head,
    /// It has been unused for too long.
    Unused,
    /// Dead letters that it keeps are tried again.
    Letters,
    /// Its group has to elect somebody.
    Election,
}

impl Timer {
    pub const KINDS: u32 = 4;

    pub fn number(self, queue: usize) -> u32 {
        queue as u32 * Timer::KINDS + self as u32
    }

    pub fn of_number(number: u32) -> (Timer, usize) {
        let kinds = [Timer::Head, Timer::Unused, Timer::Letters, Timer::Election];
        let timer = kinds[(number % Timer::KINDS) as usize];
        (timer, (number / Timer::KINDS) as usize)
    }
}

impl<P: Clone> QueueSide<P> {
    /// Does what is due.
    pub fn handle_timeout<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        while let Some(number) = self.timers.pop_due(context.now) {
            if number == self.scan_number() {
                self.scan_channels(context);
                continue;
            }
            if number == self.round_number() {
                self.look_round(context);
                continue;
            }
            match Timer::of_number(number) {
                (Timer::Head, index) if self.is_replicated(index) => self.tick(index, context),
                (Timer::Head, index) => self.expire(index, context),
                (Timer::Letters, index) => self.retry_dead_letters(index, context),
                (Timer::Unused, index) => self.delete_queue(index, context),
                (Timer::Election, index) => self.elect(index, context),
            }
            self.bury(context);
        }
        if self.memory.blocks_somebody() {
            self.read_on(context);
        }
    }

    /// The number of the timer that looks for overdue deliveries on channels, behind those of the queues.
    pub(super) fn scan_number(&self) -> u32 {
        self.queues.len() as u32 * Timer::KINDS
    }

    /// That of the timer by which nodes show themselves to each other.
    pub(super) fn round_number(&self) -> u32 {
        self.scan_number() + 1
    }

    /// Closes channels with a delivery that was not settled in time.
    fn scan_channels<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        let Some(timeout) = self.profile.channel_timeout else { return };
        let overdue = |channel: &&ChannelState| {
            channel.oldest_delivery().is_some_and(|at| at.saturating_add(timeout) <= context.now)
        };
        let channels = self.connections.iter().enumerate().flat_map(|(number, connection)| {
            let client = ClientId::new(number as u32);
            connection.channels.iter().filter(overdue).map(move |channel| (client, channel.number))
        });
        for (client, channel) in channels.collect::<Vec<_>>() {
            self.fail_channel(client, channel, ReplyCode::PreconditionFailed, context);
        }
        self.bury(context);
        self.timers.set(self.scan_number(), context.now.saturating_add(SCAN_INTERVAL));
    }

    /// Gives up what has expired at the head of a queue, and waits for the next to expire.
    #[inline(never)]
    pub(super) fn expire<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let next = self.queues[index].expire(&mut self.dead, &mut self.memory, context);
        self.timers.set_or_clear(Timer::Head.number(index), next);
    }

    /// The queue is in use at this moment; from now on, unless it has a consumer, it is not.
    pub(super) fn used<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let hosted = &self.queues[index];
        let Some(expires) = hosted.config.expires else { return };
        let number = Timer::Unused.number(index);
        if hosted.consumers.is_empty() && !self.has_consumers(index) {
            self.timers.set(number, context.now.saturating_add(expires));
        } else {
            self.timers.clear(number);
        }
    }

    /// A consumer has gone.
    pub(super) fn consumer_gone<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let hosted = &self.queues[index];
        let unused = hosted.consumers.is_empty() && !self.has_consumers(index);
        if hosted.config.lifetime == Lifetime::AutoDelete && unused && hosted.had_consumers {
            self.delete_queue(index, context);
        } else {
            self.used(index, context);
        }
    }

    /// Makes sure that a queue is there.
    pub(super) fn declare<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.place(store) else {
            return self.fail_channel(client, channel, ReplyCode::NotFound, context);
        };
        if !self.queues[index].config.is_open_to(client) {
            return self.fail_channel(client, channel, ReplyCode::ResourceLocked, context);
        }
        let hosted = &mut self.queues[index];
        if !hosted.exists {
            hosted.exists = true;
            self.router.add_queue(store, hosted.config.name);
            for binding in &hosted.bindings {
                // An exchange may have deleted itself meanwhile; its bindings are gone with it.
                let _ = self.router.bind(binding);
            }
        }
        if !self.is_replicated(index) {
            self.used(index, context); // a new declaration does not renew a quorum queue
        }
    }

    /// True where a channel has a consumer at this quorum queue.
    fn has_consumers(&self, index: usize) -> bool {
        let hosted = &self.queues[index];
        let at = |channel: &ChannelState| channel.consumers.iter().any(|(_, store, _)| *store == hosted.config.store);
        hosted.replica.is_some() && self.connections.iter().any(|connection| connection.channels.iter().any(at))
    }

    pub(super) fn delete<O: Observer>(
        &mut self,
        client: ClientId,
        channel: Channel,
        store: StoreId,
        context: &mut Context<'_, P, O>,
    ) {
        match self.usable(client, store) {
            Ok(index) => self.delete_queue(index, context),
            Err(code) => self.fail_channel(client, channel, code, context),
        }
    }

    /// Deletes a queue with all that is in it. Nothing of it is dead-lettered. What waits for a confirm is confirmed:
    /// the queue had taken it.
    pub(super) fn delete_queue<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let store = self.queues[index].config.store;
        self.router.remove_queue(store);
        self.timers.clear(Timer::Head.number(index));
        self.timers.clear(Timer::Unused.number(index));
        self.timers.clear(Timer::Letters.number(index));
        for (offset, publication) in self.queues[index].messages() {
            let (message, size) = (publication.envelope.message, Bytes::new(publication.envelope.size));
            self.memory.held -= u64::from(size.get());
            context.observe(Event::Removed { message, store, offset, size, cause: Removal::Purged });
        }
        context.observe(Event::QueueDeleted { store });
        for (number, connection) in self.connections.iter_mut().enumerate() {
            for channel in &mut connection.channels {
                // Their places begin anew when the queue is declared again.
                channel.disown(|delivery| delivery.store == store);
                for (tag, ..) in channel.consumers.extract_if(.., |(_, queue, _)| *queue == store) {
                    let client = Address::Client(ClientId::new(number as u32));
                    context.send(client, Message::ConsumerCancelled { channel: channel.number, tag });
                }
            }
        }
        let HostedQueue { config, bindings, .. } = &self.queues[index];
        let replica = self.queues[index].replica.as_ref().map(|replica| Box::new(replica.emptied()));
        let empty = HostedQueue { exists: false, ..HostedQueue::new(config.clone(), bindings.clone(), replica) };
        let gone = core::mem::replace(&mut self.queues[index], empty);
        let unanswered = gone.replica.into_iter().flat_map(|replica| replica.unanswered());
        let unflushed = gone.unflushed.iter().map(|&(_, client, waiting)| (client, waiting));
        for (client, waiting) in unflushed.chain(unanswered) {
            self.written(client, waiting, context);
        }
    }

    /// Deletes the queues that belonged to a connection.
    pub(super) fn delete_exclusive<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        for index in 0..self.queues.len() {
            let hosted = &self.queues[index];
            if hosted.exists && hosted.config.lifetime == Lifetime::Exclusive(client) {
                self.delete_queue(index, context);
            }
        }
    }
}
