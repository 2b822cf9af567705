//! The loop: virtual time jumps from one due thing to the next, and within an instant effects are carried out
//! first in, first out.

use std::collections::VecDeque;

use brokerlab_broker::partitioner::placement;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{Bytes, ClientId, ClientRole, Event, NodeId, Observer, RunHeader, StoreId, Time};
use brokerlab_scenario::{Arrival, Demand, FaultPlan, Plan};

use crate::agenda::{Agenda, Slot};
use crate::client::Client;
use crate::network::{Flight, Network};

/// One run of one contender, at some moment. Everything in it is plain data: a clone goes its own way from here,
/// which is what exploring alternatives means.
///
/// Observers are passed in and see every event in order; they never change what happens.
#[derive(Clone, Debug)]
pub struct Simulation {
    pub(crate) now: Time,
    horizon: Time,
    finished: bool,
    agenda: Agenda,
    pub(crate) out: Outbox<()>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Client>,
    nodes: Vec<Node<()>>,
    /// For each client, then each node: the earliest entry that the agenda has for it.
    scheduled: Vec<Time>,
    /// Messages for a client that stands still, in order of arrival; `None` while it does not.
    pub(crate) stopped: Vec<Option<VecDeque<Flight>>>,
    demand: Demand,
    next_arrival: Option<Arrival>,
    pub(crate) faults: Vec<FaultPlan>,
    pub(crate) timetable: Vec<Turn>,
    next_turn: usize,
    /// What each client does.
    pub(crate) roles: Vec<ClientRole>,
    /// The clients that are to be up, unless a fault keeps them down: those whose time to connect has come.
    pub(crate) is_due: Vec<bool>,
    /// Whom each fault hit, by fault.
    pub(crate) hit: Vec<Vec<ClientId>>,
}

/// Something that the scenario does to clients at a given time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Turn {
    pub at: Time,
    pub deed: Deed,
}

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Deed {
    Start(ClientId),
    BeginFault(usize),
    EndFault(usize),
}

impl Simulation {
    /// The run that a plan describes, before anything has happened.
    pub fn new(plan: &Plan) -> Simulation {
        let deployment = &plan.deployment;
        let partitions = deployment.topics.iter().map(|topic| topic.partitions.len() as u32).max().unwrap_or(1);
        let placement = placement(&plan.header.keys, partitions);
        let seed = plan.header.seed;
        let producers = deployment.producers.iter().map(|config| Client::producer(config, &placement, seed));
        let consumers = deployment.consumers.iter().map(Client::consumer);
        let clients: Vec<Client> = producers.chain(consumers).collect();
        let nodes: Vec<_> = (0..deployment.nodes).map(|id| Node::new(NodeId::new(id), deployment)).collect();
        let mut simulation = Simulation {
            now: Time::ZERO,
            horizon: plan.header.horizon,
            finished: false,
            agenda: Agenda::default(),
            out: Outbox::default(),
            network: Network::new(plan.network.latency, clients.len()),
            scheduled: vec![Time::MAX; clients.len() + nodes.len()],
            stopped: vec![None; clients.len()],
            clients,
            nodes,
            demand: plan.demand.clone(),
            next_arrival: None,
            roles: plan.header.clients.iter().map(|client| client.role).collect(),
            is_due: vec![false; plan.header.clients.len()],
            hit: vec![Vec::new(); plan.faults.len()],
            timetable: timetable(plan),
            faults: plan.faults.clone(),
            next_turn: 0,
        };
        simulation.schedule_turn();
        simulation.schedule_arrival();
        for node in 0..simulation.nodes.len() {
            simulation.reschedule(simulation.clients.len() + node);
        }
        simulation
    }

    /// The present.
    pub fn now(&self) -> Time {
        self.now
    }

    /// True once the census has been taken.
    pub fn is_finished(&self) -> bool {
        self.finished
    }

    /// Does the next thing that is due, with everything that follows from it in the same instant. False once the
    /// run is over: the last step takes the census.
    pub fn step(&mut self, header: &RunHeader, observer: &mut impl Observer) -> bool {
        let due = self.agenda.pop_until(self.horizon);
        match due {
            Some((time, slot)) => self.take_turn(time, slot, observer),
            None => self.finish(header, observer),
        }
        due.is_some()
    }

    /// Does everything that is due up to and including this moment. The run's end comes only when it is asked for
    /// the horizon or later.
    pub fn run_until(&mut self, until: Time, header: &RunHeader, observer: &mut impl Observer) {
        while let Some((time, slot)) = self.agenda.pop_until(until.min(self.horizon)) {
            self.take_turn(time, slot, observer);
        }
        if until >= self.horizon {
            self.finish(header, observer);
        } else {
            self.now = self.now.max(until);
        }
    }

    #[inline]
    fn take_turn(&mut self, time: Time, slot: Slot, observer: &mut impl Observer) {
        self.now = time;
        let machines = self.scheduled.len() as u32;
        if slot < machines {
            self.wake(slot as usize, observer);
        } else if slot == machines {
            self.arrive(observer);
        } else if slot == machines + 1 {
            self.turn(observer);
        } else {
            let flight = self.network.arrive(slot - machines - 2);
            self.deliver(flight, observer);
        }
        self.drain(observer);
    }

    /// Carries out effects until none is left.
    #[inline]
    pub(crate) fn drain(&mut self, observer: &mut impl Observer) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { from, to, message } => {
                    let incarnation = self.network.incarnation(from, to);
                    if self.network.is_instant() {
                        self.hand_over(from, to, incarnation, message, observer);
                    } else {
                        let place = self.network.depart(Flight { from, to, message, incarnation });
                        self.agenda.push(self.network.arrival(self.now), self.scheduled.len() as u32 + 2 + place);
                    }
                }
                // Disks take no time yet.
                Effect::Write { node, store, until } => {
                    let index = node.index();
                    self.nodes[index].handle_written(self.now, store, until, &mut self.out, observer);
                    self.schedule(self.clients.len() + index, self.nodes[index].next_timeout());
                }
                Effect::Flush { node, store, until } => {
                    self.nodes[node.index()].handle_flushed(self.now, store, until, &mut self.out, observer);
                }
            }
        }
    }

    #[inline(never)]
    pub(crate) fn deliver(&mut self, flight: Flight, observer: &mut impl Observer) {
        let Flight { from, to, message, incarnation } = flight;
        self.hand_over(from, to, incarnation, message, observer);
    }

    /// Messages are large beside what is done about them, so this is inlined where they come from and saves copies.
    #[inline(always)]
    fn hand_over(
        &mut self,
        from: Address,
        to: Address,
        incarnation: u32,
        message: Message<()>,
        observer: &mut impl Observer,
    ) {
        match to {
            Address::Client(client) => {
                if !self.network.takes(client, incarnation) {
                    return self.hold(client, Flight { from, to, message, incarnation }, observer);
                }
                let index = client.index();
                let next = self.clients[index].handle_message(self.now, message, &mut self.out, observer);
                self.schedule(index, next);
            }
            Address::Node(node) => {
                if let (Address::Client(client), Message::Connect) = (from, &message) {
                    self.network.connected(client, incarnation);
                }
                let index = node.index();
                self.nodes[index].handle_message(self.now, from, message, &mut self.out, observer);
                self.schedule(self.clients.len() + index, self.nodes[index].next_timeout());
            }
            Address::Demand | Address::Disk => unreachable!("nobody writes to the demand or a disk"),
        }
    }

    /// Keeps a message for a client that stands still, unless the process that it was meant for is gone.
    #[cold]
    fn hold(&mut self, client: ClientId, flight: Flight, observer: &mut impl Observer) {
        if !self.network.reaches(client, flight.incarnation) {
            return self.undeliverable(client, &flight.message, observer);
        }
        let waiting =
            self.stopped[client.index()].as_mut().expect("a client that is up and takes nothing stands still");
        waiting.push_back(flight);
    }

    /// The process that a message was meant for is gone. A queue or a log still has what it sent, or has settled
    /// it; a broadcast has nothing more.
    #[cold]
    pub(crate) fn undeliverable(&mut self, client: ClientId, message: &Message<()>, observer: &mut impl Observer) {
        let ClientRole::Consumer(application) = self.roles[client.index()] else { return };
        if let Message::Deliver { store: StoreId::MAX, publication, .. } = message {
            observer.observe(self.now, Event::Missed { message: publication.envelope.message, application });
        }
    }

    #[inline]
    fn next_timeout(&self, machine: usize) -> Option<Time> {
        match machine.checked_sub(self.clients.len()) {
            None if self.stopped[machine].is_some() => None,
            None => self.clients[machine].next_timeout(),
            Some(node) => self.nodes[node].next_timeout(),
        }
    }

    /// Schedules a machine anew after something has happened to it.
    #[inline]
    pub(crate) fn reschedule(&mut self, machine: usize) {
        self.schedule(machine, self.next_timeout(machine));
    }

    /// Makes sure that the agenda has an entry no later than the machine's next timeout. An entry that turns out
    /// to be too early costs one look.
    #[inline]
    fn schedule(&mut self, machine: usize, timeout: Option<Time>) {
        if let Some(next) = timeout
            && next < self.scheduled[machine]
        {
            self.scheduled[machine] = next;
            self.agenda.push(next.max(self.now), machine as Slot);
        }
    }

    #[inline]
    fn wake(&mut self, machine: usize, observer: &mut impl Observer) {
        if self.scheduled[machine] > self.now {
            return; // an earlier entry has served this machine already
        }
        self.scheduled[machine] = Time::MAX;
        let next = match machine.checked_sub(self.clients.len()) {
            None if self.stopped[machine].is_some() => None,
            None => self.clients[machine].handle_timeout(self.now, &mut self.out, observer),
            Some(node) => {
                if self.nodes[node].next_timeout().is_some_and(|due| due <= self.now) {
                    self.nodes[node].handle_timeout(self.now, &mut self.out, observer);
                }
                self.nodes[node].next_timeout()
            }
        };
        self.schedule(machine, next);
    }

    fn schedule_arrival(&mut self) {
        self.next_arrival = self.demand.next();
        if let Some(arrival) = &self.next_arrival {
            self.agenda.push(arrival.time, self.scheduled.len() as u32);
        }
    }

    /// The demand asks a producer to send.
    #[inline]
    fn arrive(&mut self, observer: &mut impl Observer) {
        let arrival = self.next_arrival.take().expect("an arrival is due");
        let Arrival { time, message, producer, key, size } = arrival;
        observer.observe(self.now, Event::Offered { message, producer, key, size: Bytes::new(size) });
        self.schedule_arrival();
        let envelope = Envelope { message, key, size, timestamp: time, sender: producer, payload: () };
        let incarnation = self.network.incarnation(Address::Client(producer), Address::Demand);
        let (from, to) = (Address::Demand, Address::Client(producer));
        self.hand_over(from, to, incarnation, Message::Offer(envelope), observer);
    }

    fn schedule_turn(&mut self) {
        if let Some(turn) = self.timetable.get(self.next_turn) {
            self.agenda.push(turn.at, self.scheduled.len() as u32 + 1);
        }
    }

    fn turn(&mut self, observer: &mut impl Observer) {
        let turn = self.timetable[self.next_turn];
        self.next_turn += 1;
        match turn.deed {
            Deed::Start(client) => self.first_start(client, observer),
            Deed::BeginFault(fault) => self.begin_fault(fault, observer),
            Deed::EndFault(fault) => self.end_fault(fault, observer),
        }
        self.schedule_turn();
    }

    /// Takes the census: everybody tells what is still to be had.
    fn finish(&mut self, header: &RunHeader, observer: &mut impl Observer) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.now = self.horizon;
        for node in &self.nodes {
            node.census(self.now, header, observer);
        }
        for (index, client) in self.clients.iter().enumerate() {
            if self.network.is_up(ClientId::new(index as u32)) {
                client.census(self.now, observer);
            }
        }
        let waiting = self.stopped.iter().flatten().flatten();
        for flight in self.network.under_way().chain(waiting) {
            self.census_of_flight(flight, observer);
        }
    }

    /// A message on its way to a consumer that runs is still to be had, whether or not a store has it too.
    fn census_of_flight(&self, flight: &Flight, observer: &mut impl Observer) {
        let Address::Client(client) = flight.to else { return };
        let ClientRole::Consumer(application) = self.roles[client.index()] else { return };
        if !self.network.reaches(client, flight.incarnation) {
            return;
        }
        let mut remains = |message| observer.observe(self.now, Event::Remaining { message, application });
        match &flight.message {
            Message::Deliver { publication, .. } => remains(publication.envelope.message),
            Message::Fetched { partitions, .. } => {
                let records = partitions.iter().flat_map(|partition| partition.records.iter().flatten());
                records.for_each(|(_, envelope)| remains(envelope.message));
            }
            _ => {}
        }
    }
}

/// Starts and faults in order of time; at one moment: ends of faults, starts, then beginnings, each in the order
/// of the scenario.
fn timetable(plan: &Plan) -> Vec<Turn> {
    let ends = plan.faults.iter().enumerate().filter_map(|(n, f)| Some(Turn { at: f.until?, deed: Deed::EndFault(n) }));
    let late = |client| plan.starts.binary_search_by_key(&client, |(late, _)| *late).ok();
    let start_of = |client| late(client).map_or(Time::ZERO, |found| plan.starts[found].1);
    let clients = (0..plan.header.clients.len() as u32).map(ClientId::new);
    let starts = clients.map(|client| Turn { at: start_of(client), deed: Deed::Start(client) });
    let begins = plan.faults.iter().enumerate().map(|(n, f)| Turn { at: f.at, deed: Deed::BeginFault(n) });
    let mut turns: Vec<Turn> = ends.chain(starts).chain(begins).collect();
    turns.sort_by_key(|turn| turn.at);
    turns
}
