//! Messages under way. A connection delivers in order and dies with the process at its end.

use brokerlab_broker::{Address, Message};
use brokerlab_event::{Duration, NodeId, Time};

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub from: Address,
    pub to: Address,
    pub message: Message<()>,
    /// Which of the connections between the two it was sent on.
    pub incarnation: u32,
}

/// What the network knows of a client's process and its connections with nodes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connections {
    up: bool,
    /// It is up and does not stand still.
    listens: bool,
    /// It has one connection at a time, now with one node and then with another.
    roams: bool,
    /// With the first node, which nearly all is about.
    first: Link,
    /// With the others, in order.
    others: Vec<Link>,
}

/// A connection with a node, and those that the client had before.
#[derive(Clone, Copy, Debug, Default)]
struct Link {
    /// The connection that stands now, or stood last; 0 before the first.
    incarnation: u32,
    /// The one that the node believes to be talking on. It learns of a new one by its first message.
    seen_by_node: u32,
    /// The incarnation in which the process began.
    began: u32,
    /// The process has connected before.
    connected: bool,
}

impl Connections {
    /// Of a process that is down, with so many nodes.
    pub fn new(nodes: u16, roams: bool) -> Connections {
        Connections { others: vec![Link::default(); usize::from(nodes) - 1], roams, ..Connections::default() }
    }

    #[inline(always)]
    fn link(&self, node: NodeId) -> &Link {
        if node.index() == 0 { &self.first } else { self.other(node) }
    }

    #[cold]
    fn other(&self, node: NodeId) -> &Link {
        &self.others[node.index() - 1]
    }

    /// That with the first node also stands for what comes from elsewhere.
    #[inline(always)]
    fn link_from(&self, from: Address) -> &Link {
        match from {
            Address::Node(node) => self.link(node),
            _ => &self.first,
        }
    }

    #[inline]
    fn link_mut(&mut self, node: NodeId) -> &mut Link {
        match node.index() {
            0 => &mut self.first,
            index => &mut self.others[index - 1],
        }
    }

    #[inline]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// A new process starts.
    pub fn open(&mut self) {
        (self.up, self.listens) = (true, true);
        for link in std::iter::once(&mut self.first).chain(&mut self.others) {
            link.incarnation += 1;
            (link.began, link.connected) = (link.incarnation, false);
        }
    }

    /// A connection breaks: nothing that was sent on it arrives any more.
    pub fn break_off(&mut self, node: NodeId) {
        self.link_mut(node).incarnation += 1;
    }

    /// A node hears from a process for the first time on a connection. True where this process had another before (if it
    /// roams, with whichever node); one that is gone by now may still be heard from.
    pub fn connect(&mut self, node: NodeId, incarnation: u32) -> bool {
        let elsewhere = self.roams && (self.first.connected || self.others.iter().any(|link| link.connected));
        let link = self.link_mut(node);
        link.seen_by_node = incarnation;
        incarnation >= link.began && (std::mem::replace(&mut link.connected, true) || elsewhere)
    }

    /// The process stands still.
    pub fn stand_still(&mut self) {
        self.listens = false;
    }

    /// The process goes on.
    pub fn go_on(&mut self) {
        self.listens = true;
    }

    /// The process ends.
    pub fn close(&mut self) {
        (self.up, self.listens) = (false, false);
    }

    /// The connection with a node as the client knows it.
    #[inline]
    pub fn incarnation(&self, node: NodeId) -> u32 {
        self.link(node).incarnation
    }

    /// The connection on which somebody speaks to this client now. The demand is always heard.
    #[inline]
    pub fn heard_from(&self, from: Address) -> u32 {
        let link = self.link_from(from);
        if from == Address::Demand { link.incarnation } else { link.seen_by_node }
    }

    /// True where the process that a message from there is meant for still runs, and the connection stands.
    #[inline]
    pub fn reaches(&self, from: Address, incarnation: u32) -> bool {
        self.up && self.link_from(from).incarnation == incarnation
    }

    /// The connection that a message from there was sent on, which tells where it was sent earlier, and whether the
    /// process takes it: it is the one that was meant, and does not stand still. Nearly always it does.
    #[inline(always)]
    pub fn takes(&self, from: Address, sent: Option<u32>) -> (u32, bool) {
        let link = self.link_from(from);
        let incarnation = sent.unwrap_or(if from == Address::Demand { link.incarnation } else { link.seen_by_node });
        (incarnation, self.listens && link.incarnation == incarnation)
    }
}

/// What is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    latency: Duration,
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
}

impl Network {
    pub fn new(latency: Duration) -> Network {
        Network { latency, flights: Vec::new(), free: Vec::new() }
    }

    /// When a message that is sent now arrives. The latency is the same for all, so no message overtakes another
    /// on its connection.
    #[inline]
    pub fn arrival(&self, now: Time) -> Time {
        now.saturating_add(self.latency)
    }

    /// How long a message is on its way.
    pub fn latency(&self) -> Duration {
        self.latency
    }

    #[inline]
    pub fn is_instant(&self) -> bool {
        self.latency.is_zero()
    }

    /// Keeps a message until it arrives.
    #[inline]
    pub fn depart(&mut self, flight: Flight) -> u32 {
        match self.free.pop() {
            Some(place) => {
                self.flights[place as usize] = Some(flight);
                place
            }
            None => {
                self.flights.push(Some(flight));
                self.flights.len() as u32 - 1
            }
        }
    }

    /// Every message that is under way now.
    pub fn under_way(&self) -> impl Iterator<Item = &Flight> {
        self.flights.iter().flatten()
    }

    /// The message at this place has arrived, unless it was lost on its way.
    #[inline]
    pub fn arrive(&mut self, place: u32) -> Option<Flight> {
        self.free.push(place);
        self.flights[place as usize].take()
    }

    /// Whatever is on its way from one to the other is lost.
    pub fn lose(&mut self, from: Address, to: Address) {
        let is_lost = |flight: &Option<Flight>| flight.as_ref().is_some_and(|own| own.from == from && own.to == to);
        self.flights.iter_mut().filter(|flight| is_lost(flight)).for_each(|flight| *flight = None);
    }
}
