//! A node's place in its cluster: it shows the controller that it is there.

use brokerlab_event::{Duration, Observer, Time};

use super::Context;
use crate::config::{BrokerSessions, Deployment};
use crate::message::{Address, Message};

/// How long a node waits before it tries again to register, at first; twice as long each time, up to the timeout of a
/// session.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// A node of a cluster. A node that is alone has no controller to show anything.
#[derive(Clone, Debug)]
pub(super) struct Membership {
    timing: BrokerSessions,
    /// Which start of the node it is.
    pub incarnation: u32,
    is_registered: bool,
    /// It goes down as soon as it may.
    stops: bool,
    may_stop: bool,
    retry: Duration,
    next: Option<Time>,
}

impl Membership {
    /// A node that has just been started for the first time, and that the controller knows of.
    pub fn new(incarnation: u32, deployment: &Deployment) -> Membership {
        let timing = deployment.broker_sessions;
        let next = (deployment.nodes > 1).then(|| Time::ZERO.saturating_add(timing.heartbeat_interval));
        let (stops, may_stop) = (false, false);
        Membership { timing, incarnation, is_registered: true, stops, may_stop, retry: FIRST_RETRY, next }
    }

    /// The next process of a node, which has still to be let in.
    pub fn recover(now: Time, before: u32, deployment: &Deployment) -> Membership {
        let blank = Membership::new(before + 1, deployment);
        let next = blank.next.map(|_| now);
        Membership { is_registered: next.is_none(), next, ..blank }
    }

    /// The controller counts this process.
    pub fn is_registered(&self) -> bool {
        self.is_registered
    }

    /// When it shows itself next.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.next
    }

    pub fn handle_timeout<P, O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if self.next.is_none_or(|at| at > context.now) {
            return;
        }
        let wait = if self.is_registered { self.timing.heartbeat_interval } else { self.retry };
        if !self.is_registered {
            self.retry = (self.retry + self.retry).min(self.timing.timeout);
        }
        self.next = Some(context.now.saturating_add(wait));
        self.beat(context);
    }

    fn beat<P, O: Observer>(&self, context: &mut Context<'_, P, O>) {
        let (incarnation, wants_to_stop) = (self.incarnation, self.stops);
        context.send(Address::Controller, Message::BrokerHeartbeat { incarnation, wants_to_stop });
    }

    /// It goes down as soon as the controller lets it, and tells it so at once.
    pub fn prepare_to_stop<P, O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        self.stops = true;
        self.beat(context);
    }

    pub fn may_stop(&self) -> bool {
        self.stops && self.may_stop
    }

    pub fn answered(&mut self, incarnation: u32, is_registered: bool, may_stop: bool, now: Time) {
        if incarnation != self.incarnation {
            return;
        }
        self.may_stop |= may_stop;
        if is_registered == self.is_registered {
            return;
        }
        (self.is_registered, self.retry) = (is_registered, FIRST_RETRY);
        let wait = if is_registered { self.timing.heartbeat_interval } else { self.retry };
        self.next = Some(now.saturating_add(wait));
    }
}
