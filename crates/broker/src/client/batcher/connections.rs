//! A producer's connections: one with each node that leads a partition which it writes to.

use std::collections::VecDeque;

use brokerlab_event::{Duration, Event, NodeId, Observer, Time};

use super::Batcher;
use super::sender::Request;
use crate::message::{Message, Outbox, PartitionLeader};

/// Where a producer's connection stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Link {
    /// Nobody needs it.
    Unused,
    Up,
    /// It broke; another is tried then.
    Broken(Time),
    /// Another is being tried.
    Connecting,
}

/// A connection with a node, and what is under way on it.
#[derive(Clone, Debug)]
pub(super) struct Connection {
    pub node: NodeId,
    pub link: Link,
    /// Requests that are not answered, or not in full, in the order of their numbers.
    pub requests: VecDeque<Request>,
    /// The number of the next request.
    pub next_request: u32,
    /// How many connections were lost since the last answer.
    pub lost: u32,
}

impl Connection {
    pub fn new(node: NodeId) -> Connection {
        Connection { node, link: Link::Up, requests: VecDeque::new(), next_request: 0, lost: 0 }
    }

    /// True where another request may leave.
    #[inline]
    pub fn may_send(&self, max_in_flight: usize) -> bool {
        self.requests.len() < max_in_flight && self.link == Link::Up
    }

    /// When a request has waited for too long, or the connection is tried again.
    #[inline]
    pub fn next_timeout(&self, timeout: Duration) -> Option<Time> {
        let request = self.requests.front().map(|request| request.sent.saturating_add(timeout));
        let reconnect = if let Link::Broken(at) = self.link { Some(at) } else { None };
        [request, reconnect].into_iter().flatten().min()
    }

    pub fn waits_too_long(&self, now: Time, timeout: Duration) -> bool {
        self.requests.front().is_some_and(|request| request.sent.saturating_add(timeout) <= now)
    }

    /// One batch less is awaited of a request. It is over once none is.
    pub fn request_answered(&mut self, number: u32) {
        self.lost = 0;
        let oldest = self.next_request.wrapping_sub(self.requests.len() as u32);
        self.requests[number.wrapping_sub(oldest) as usize].left -= 1;
        while self.requests.front().is_some_and(|request| request.left == 0) {
            self.requests.pop_front();
        }
    }
}

impl<P: Clone> Batcher<P> {
    /// True where it has a connection with this node, or believes so. With the first it always tries to have one.
    pub fn is_connected_to(&self, node: NodeId) -> bool {
        let own = self.connections.iter().position(|connection| connection.node == node);
        own.is_some_and(|place| place == 0 || matches!(self.connections[place].link, Link::Up | Link::Connecting))
    }

    pub(super) fn connection_with(&self, node: NodeId) -> Option<usize> {
        self.connections.iter().position(|connection| connection.node == node)
    }

    /// The connection with whoever leads a partition, as far as is known.
    #[inline]
    pub(super) fn connection_of(&self, lane: u32) -> Option<usize> {
        if self.leaders.is_empty() { Some(0) } else { self.leaders[lane as usize].place }
    }

    /// The first connection that stands, which is as good as any for questions that every node can answer.
    pub(super) fn any_connection(&self) -> Option<usize> {
        self.connections.iter().position(|connection| connection.link == Link::Up)
    }

    /// Forgets who leads, as a process does that has just been started.
    pub(super) fn forget_leaders(&mut self) {
        self.connections.truncate(1);
        let lanes = if self.config.is_cluster { self.gathered.lanes.len() } else { 0 };
        self.leaders.clear();
        self.leaders.resize(lanes, Leader::default());
    }

    /// The topic has these partitions: from now on records go to all of them, and keys to others than before. In a
    /// cluster each goes to its leader, with whom a connection is made where there is none.
    pub(super) fn learn_partitions<O: Observer>(
        &mut self,
        now: Time,
        partitions: &[PartitionLeader],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let stores: Vec<_> = partitions.iter().map(|partition| partition.store).collect();
        self.gathered.learn_partitions(&stores);
        let lanes = self.gathered.lanes.len();
        if let Some(sequences) = &mut self.sequences {
            sequences.extend_to(lanes);
        }
        if let Some(transactions) = &mut self.transactions {
            transactions.extend_to(lanes);
        }
        if !self.config.is_cluster {
            return;
        }
        self.leaders.resize(lanes, Leader::default());
        for (lane, news) in partitions.iter().enumerate() {
            if news.epoch < self.leaders[lane].epoch {
                continue;
            }
            let place = news.leader.map(|node| self.connect_to(node, out));
            self.leaders[lane] = Leader { place, epoch: news.epoch };
        }
        for place in 1..self.connections.len() {
            if !self.is_needed(place) && self.connections[place].link != Link::Up {
                self.connections[place].link = Link::Unused;
            }
        }
        if self.leaders.iter().any(|leader| leader.place.is_none()) {
            self.refresh_soon(now);
        }
        self.gathered.ready_at = now;
        self.send_ready(now, out, observer);
    }

    /// The first node answers questions, and others lead.
    pub(super) fn is_needed(&self, place: usize) -> bool {
        place == 0 || self.leaders.iter().any(|leader| leader.place == Some(place))
    }

    fn connect_to(&mut self, node: NodeId, out: &mut Outbox<P>) -> usize {
        let place = self.connection_with(node).unwrap_or_else(|| {
            self.connections.push(Connection { link: Link::Unused, ..Connection::new(node) });
            self.connections.len() - 1
        });
        if self.connections[place].link == Link::Unused {
            self.connections[place].link = Link::Up;
            self.send_to(place, Message::Connect, out);
        }
        place
    }

    /// A connection that was lost is there again.
    pub(super) fn reconnected<O: Observer>(&mut self, now: Time, node: NodeId, out: &mut Outbox<P>, observer: &mut O) {
        let Some(place) = self.connection_with(node) else { return };
        if self.any_connection().is_none() {
            observer.observe(now, Event::Reconnected { client: self.client });
        }
        self.connections[place].link = Link::Up;
        if self.holds_back {
            self.gathered.ready_at = now;
        }
        self.refresh(now, out);
        self.ask_for_id(out);
        self.send_ready(now, out, observer);
    }
}

/// Who leads a partition.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Leader {
    /// The place of the connection with it, if anybody is known to lead.
    pub place: Option<usize>,
    epoch: u32,
}
