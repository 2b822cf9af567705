//! Messages under way. A connection delivers in order and dies with the process at its end.

use brokerlab_broker::{Address, Message};
use brokerlab_event::{Duration, Time};

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
pub(crate) struct Connection {
    /// The process that runs now, or ran last; 0 before the first.
    pub incarnation: u32,
    /// The process that the broker believes to be talking to. It learns of a new one by its first message.
    pub seen_by_broker: u32,
    up: bool,
    /// It is up and does not stand still.
    listens: bool,
    /// The incarnation in which the process began.
    began: u32,
    /// The process has connected before.
    connected: bool,
}

impl Connection {
    #[inline]
    pub fn is_up(&self) -> bool {
        self.up
    }

    /// A new process starts.
    pub fn open(&mut self) {
        (self.up, self.listens, self.connected) = (true, true, false);
        self.incarnation += 1;
        self.began = self.incarnation;
    }

    /// The connection breaks: nothing that was sent on it arrives any more.
    pub fn break_off(&mut self) {
        self.incarnation += 1;
    }

    /// The broker hears from a process for the first time on a connection. True where this process had another before;
    /// one that is gone by now may still be heard from.
    pub fn connect(&mut self, incarnation: u32) -> bool {
        self.seen_by_broker = incarnation;
        incarnation >= self.began && std::mem::replace(&mut self.connected, true)
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

    /// The process that somebody means who sends to this client now.
    #[inline]
    pub fn heard_from(&self, from: Address) -> u32 {
        if from == Address::Demand { self.incarnation } else { self.seen_by_broker }
    }

    /// True where the process that a message is meant for still runs.
    #[inline]
    pub fn reaches(&self, incarnation: u32) -> bool {
        self.up && self.incarnation == incarnation
    }

    /// True where, besides, it does not stand still: nearly always.
    #[inline]
    pub fn takes(&self, incarnation: u32) -> bool {
        self.listens && self.incarnation == incarnation
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

    /// Whatever is on its way from there is lost.
    pub fn lose_from(&mut self, address: Address) {
        for flight in self.flights.iter_mut().filter(|flight| flight.as_ref().is_some_and(|own| own.from == address)) {
            *flight = None;
        }
    }
}
