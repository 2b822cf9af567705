//! Holding publishers up: the memory alarm, and credit for what waits to be written.
//!
//! A blocked connection is not read. What its client has sent waits in order; nothing is refused.

use std::collections::VecDeque;

use brokerlab_event::{Blockage, ClientId, Event, Observer};

use super::QueueSide;
use crate::channel::ChannelState;
use crate::message::{Address, Message};
use crate::node::Context;

/// How much of a connection's publishes may wait to be written (RabbitMQ's `credit_flow_default_credit`).
const CREDIT: u32 = 400;
/// A connection out of credit is read again when no more than this waits.
const RESUME_AT: u32 = 200;

/// A client's connection.
#[derive(Clone, Debug)]
pub(super) struct Connection<P> {
    pub channels: Vec<ChannelState>,
    /// Publishes that wait to be written.
    unwritten: u32,
    blocked: Option<Blockage>,
    /// What came while it was blocked.
    unread: VecDeque<Message<P>>,
}

impl<P> Default for Connection<P> {
    fn default() -> Self {
        Connection { channels: Vec::new(), unwritten: 0, blocked: None, unread: VecDeque::new() }
    }
}

/// What the node knows of its memory.
#[derive(Clone, Debug)]
pub(super) struct Memory {
    /// Bytes in the bodies of all messages in queues.
    pub held: u64,
    /// Above this publishers are blocked.
    pub watermark: u64,
    /// Connections that are not read, in the order in which they were blocked.
    blocked: Vec<ClientId>,
}

impl Memory {
    pub fn new(watermark: Option<u64>) -> Memory {
        Memory { held: 0, watermark: watermark.unwrap_or(u64::MAX), blocked: Vec::new() }
    }

    /// The connections that are not read.
    pub fn blocked(&self) -> impl Iterator<Item = ClientId> {
        self.blocked.iter().copied()
    }

    /// True where some connection is not read.
    #[inline]
    pub fn blocks_somebody(&self) -> bool {
        !self.blocked.is_empty()
    }
}

impl<P: Clone> QueueSide<P> {
    #[inline(always)]
    pub(super) fn connection(&mut self, client: ClientId) -> &mut Connection<P> {
        if client.index() >= self.connections.len() {
            self.connections.resize_with(client.index() + 1, Connection::default);
        }
        &mut self.connections[client.index()]
    }

    /// Keeps a message for later where its connection is not read. A lost connection takes its messages with it.
    #[cold]
    pub(super) fn keep_unread(&mut self, client: ClientId, message: &mut Message<P>) -> bool {
        let connection = self.connection(client);
        if connection.blocked.is_none() {
            return false;
        }
        if matches!(message, Message::ConnectionLost) {
            connection.unread.clear();
            return false;
        }
        connection.unread.push_back(message.take());
        true
    }

    /// A publish of this connection waits to be written.
    #[inline]
    pub(super) fn charge(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(client.index()) {
            connection.unwritten += 1;
        }
    }

    /// A publish of this connection has been written.
    #[inline]
    pub(super) fn refund(&mut self, client: ClientId) {
        if let Some(connection) = self.connections.get_mut(client.index()) {
            connection.unwritten = connection.unwritten.saturating_sub(1);
        }
    }

    /// After a publish: stops reading from its connection where the alarm is on or its credit is spent.
    #[inline]
    pub(super) fn hold_up<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        let alarm = self.memory.held > self.memory.watermark;
        let unwritten = self.connections.get(client.index()).map_or(0, |connection| connection.unwritten);
        if alarm || unwritten >= CREDIT {
            self.block(client, if alarm { Blockage::Memory } else { Blockage::Credit }, context);
        }
    }

    #[cold]
    fn block<O: Observer>(&mut self, client: ClientId, cause: Blockage, context: &mut Context<'_, P, O>) {
        if self.connection(client).blocked.replace(cause).is_some() {
            return;
        }
        self.memory.blocked.push(client);
        context.observe(Event::Blocked { client, cause });
        if cause == Blockage::Memory {
            context.send(Address::Client(client), Message::ConnectionBlocked);
        }
    }

    /// Reads again from connections that nothing holds up any more.
    #[inline]
    pub(super) fn read_on_if_blocked<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if self.memory.blocks_somebody() {
            self.read_on(context);
        }
    }

    /// Reads again from connections that nothing holds up any more, in the order in which they were blocked.
    #[cold]
    pub(super) fn read_on<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        let alarm = self.memory.held > self.memory.watermark;
        for client in core::mem::take(&mut self.memory.blocked) {
            let connection = self.connection(client);
            let free = match connection.blocked {
                Some(Blockage::Memory) => !alarm,
                Some(Blockage::Credit) => connection.unwritten <= RESUME_AT,
                // A producer's own buffer is no matter of its connection.
                Some(Blockage::Buffer) | None => continue,
            };
            if free {
                self.unblock_connection(client, context);
            } else {
                self.memory.blocked.push(client);
            }
        }
    }

    fn unblock_connection<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        if let Some(cause) = self.connection(client).blocked.take() {
            context.observe(Event::Unblocked { client });
            if cause == Blockage::Memory {
                context.send(Address::Client(client), Message::ConnectionUnblocked);
            }
        }
        while self.connection(client).blocked.is_none()
            && let Some(mut message) = self.connection(client).unread.pop_front()
        {
            self.handle_client(client, &mut message, context);
        }
    }

    /// The connection has ended; the next one of this client begins with nothing held against it.
    pub(super) fn forget_connection<O: Observer>(&mut self, client: ClientId, context: &mut Context<'_, P, O>) {
        let connection = self.connection(client);
        connection.unwritten = 0;
        if connection.blocked.take().is_some() {
            self.memory.blocked.retain(|other| *other != client);
            context.observe(Event::Unblocked { client });
        }
    }
}
