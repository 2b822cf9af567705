//! Messages under way. A connection delivers in order and dies with the process at its end.

use brokerlab_broker::{Address, Message};
use brokerlab_event::{ClientId, Duration, Time};

/// A message under way.
#[derive(Clone, Debug)]
pub(crate) struct Flight {
    pub from: Address,
    pub to: Address,
    pub message: Message<()>,
    /// The incarnation of the client's process at one end of the connection.
    pub incarnation: u32,
}

/// What the network knows of a client's connection.
#[derive(Clone, Copy, Debug, Default)]
struct Connection {
    /// The process that runs now, or ran last; 0 before the first.
    incarnation: u32,
    up: bool,
    /// It is up and does not stand still.
    listens: bool,
    /// The process that the broker believes to be talking to.
    seen_by_broker: u32,
}

/// Every connection, and what is on its way.
#[derive(Clone, Debug)]
pub(crate) struct Network {
    latency: Duration,
    connections: Vec<Connection>,
    flights: Vec<Option<Flight>>,
    free: Vec<u32>,
}

impl Network {
    pub fn new(latency: Duration, clients: usize) -> Network {
        Network { latency, connections: vec![Connection::default(); clients], flights: Vec::new(), free: Vec::new() }
    }

    /// When a message that is sent now arrives. The latency is the same for all, so no message overtakes another
    /// on its connection.
    #[inline]
    pub fn arrival(&self, now: Time) -> Time {
        now.saturating_add(self.latency)
    }

    #[inline]
    pub fn is_instant(&self) -> bool {
        self.latency.is_zero()
    }

    #[inline]
    pub fn is_up(&self, client: ClientId) -> bool {
        self.connections[client.index()].up
    }

    /// A new process of this client starts.
    pub fn open(&mut self, client: ClientId) {
        let connection = &mut self.connections[client.index()];
        connection.up = true;
        connection.listens = true;
        connection.incarnation += 1;
    }

    /// The process of this client stands still.
    pub fn stand_still(&mut self, client: ClientId) {
        self.connections[client.index()].listens = false;
    }

    /// The process of this client goes on.
    pub fn go_on(&mut self, client: ClientId) {
        self.connections[client.index()].listens = true;
    }

    /// The process of this client ends.
    pub fn close(&mut self, client: ClientId) {
        let connection = &mut self.connections[client.index()];
        (connection.up, connection.listens) = (false, false);
    }

    /// The incarnation that a message on this connection belongs to, when it is sent now.
    #[inline]
    pub fn incarnation(&self, from: Address, to: Address) -> u32 {
        match (from, to) {
            (Address::Client(client), _) => self.connections[client.index()].incarnation,
            (_, Address::Client(client)) => self.connections[client.index()].seen_by_broker,
            _ => 0,
        }
    }

    /// True where the process that a message is meant for still runs.
    #[inline]
    pub fn reaches(&self, client: ClientId, incarnation: u32) -> bool {
        let connection = &self.connections[client.index()];
        connection.up && connection.incarnation == incarnation
    }

    /// True where, besides, it does not stand still: nearly always.
    #[inline]
    pub fn takes(&self, client: ClientId, incarnation: u32) -> bool {
        let connection = &self.connections[client.index()];
        connection.listens && connection.incarnation == incarnation
    }

    /// The broker learns of a new process by its first message.
    #[inline]
    pub fn connected(&mut self, client: ClientId, incarnation: u32) {
        self.connections[client.index()].seen_by_broker = incarnation;
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

    /// The message at this place has arrived.
    #[inline]
    pub fn arrive(&mut self, place: u32) -> Flight {
        self.free.push(place);
        self.flights[place as usize].take().expect("a flight arrives once")
    }
}
