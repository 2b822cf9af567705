//! A broker node: hosts queues and partitions, and talks to clients, other nodes and its disk. It only composes
//! the pure components; what a request does is decided in them.

mod log_side;

use brokerlab_event::{NodeId, Observer, Time};

use crate::config::Deployment;
use crate::message::{Address, Message, Outbox};

pub use log_side::LogSide;

/// What a handler needs of its surroundings.
pub struct Context<'a, P, O> {
    /// The present.
    pub now: Time,
    /// The node.
    pub node: NodeId,
    /// What it wants done.
    pub out: &'a mut Outbox<P>,
    /// Who sees what happens.
    pub observer: &'a mut O,
}

impl<P, O: Observer> Context<'_, P, O> {
    /// Answers or pushes to a client.
    #[inline]
    pub fn send(&mut self, to: Address, message: Message<P>) {
        self.out.send(Address::Node(self.node), to, message);
    }

    /// Tells what happened.
    #[inline]
    pub fn observe(&mut self, event: brokerlab_event::Event) {
        self.observer.observe(self.now, event);
    }
}

/// A broker node.
#[derive(Clone, Debug)]
pub struct Node<P> {
    id: NodeId,
    log_side: LogSide<P>,
}

impl<P: Clone> Node<P> {
    /// A node that hosts its part of the deployment.
    pub fn new(id: NodeId, deployment: &Deployment) -> Node<P> {
        Node { id, log_side: LogSide::new(id, deployment) }
    }

    /// Handles one message.
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        from: Address,
        message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let mut context = Context { now, node: self.id, out, observer };
        self.log_side.handle(from, message, &mut context);
    }
}
