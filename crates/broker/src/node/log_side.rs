//! The part of a node that hosts partitions and coordinates groups.

use std::marker::PhantomData;

use brokerlab_event::{NodeId, Observer, Time};

use super::Context;
use crate::config::Deployment;
use crate::message::{Address, Message};

/// Partitions, waiting fetches, and the groups that this node coordinates.
#[derive(Clone, Debug)]
pub struct LogSide<P> {
    payload: PhantomData<P>,
}

impl<P: Clone> LogSide<P> {
    /// What the deployment places on this node.
    pub fn new(_node: NodeId, _deployment: &Deployment) -> LogSide<P> {
        LogSide { payload: PhantomData }
    }

    /// Handles a request of a client, a report of the disk, or the loss of a connection.
    pub fn handle<O: Observer>(&mut self, _from: Address, _message: Message<P>, _context: &mut Context<'_, P, O>) {}

    /// Does what is due: waiting fetches, session timeouts, rebalances, retention.
    pub fn handle_timeout<O: Observer>(&mut self, _context: &mut Context<'_, P, O>) {}

    /// When the next of these is due.
    pub fn next_timeout(&self) -> Option<Time> {
        None
    }

    /// Tells what each group has still to read.
    pub fn census<O: Observer>(&self, _context: &mut Context<'_, P, O>) {}
}
