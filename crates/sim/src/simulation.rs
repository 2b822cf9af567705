//! The loop: virtual time jumps from one due thing to the next, and within an instant effects are carried out
//! first in, first out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use brokerlab_broker::config::{BatcherConfig, Deployment, Partitioner, ProducerKind};
use brokerlab_broker::node::Durable;
use brokerlab_broker::partitioner::KeyHash;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{
    Bytes, ClientId, ClientInfo, ClientRole, Event, NodeId, Observer, Party, RunHeader, StoreId, Time,
};
use brokerlab_scenario::{Addition, Arrival, Demand, FaultPlan, Plan, SeekPlan};

use crate::agenda::{Agenda, Slot};
use crate::autoscaler::Autoscaler;
use crate::client::Client;
use crate::cluster::{Call, Cluster};
use crate::network::{Connections, Flight, Network};

/// One run of one contender, at some moment. Everything in it is plain data: a clone goes its own way from here,
/// which is what exploring alternatives means.
///
/// Observers are passed in and see every event in order; they never change what happens.
#[derive(Clone, Debug)]
pub struct Simulation {
    pub(crate) now: Time,
    horizon: Time,
    finished: bool,
    pub(crate) agenda: Agenda,
    pub(crate) out: Box<Outbox<()>>,
    /// Where effects are carried out. Lent out meanwhile; there is nothing in it between steps.
    round: Option<Box<Outbox<()>>>,
    pub(crate) network: Network,
    pub(crate) clients: Vec<Process>,
    pub(crate) nodes: Vec<Host>,
    /// What only several nodes have.
    pub(crate) cluster: Option<Box<Cluster>>,
    pub(crate) deployment: Arc<Deployment>,
    demand: Demand,
    next_arrival: Option<Arrival>,
    pub(crate) faults: Vec<FaultPlan>,
    pub(crate) timetable: Vec<Turn>,
    pub(crate) additions: Vec<Addition>,
    next_turn: usize,
    pub(crate) autoscalers: Vec<Autoscaler>,
    /// Clients that have tried to connect and were not let in, and by whom: nothing that they say there is heard.
    pub(crate) refused: BTreeSet<(ClientId, NodeId)>,
    /// Clients whose node has lost its power, and who do not know it yet, each with the time since when nobody has
    /// acknowledged what it sends, if it does.
    pub(crate) stale: BTreeMap<(ClientId, NodeId), Option<Time>>,
    /// When which of them notices, in which incarnation of its connection.
    pub(crate) silent: BTreeSet<(Time, ClientId, NodeId, u32)>,
    /// Who takes the place of whom, and does so now.
    pub(crate) stand_ins: Vec<StandIn>,
    /// Whom each fault hit, by fault.
    pub(crate) hit: Vec<Vec<Party>>,
    /// What somebody wanted to do to a broker that is down.
    pub(crate) postponed: Vec<Deed>,
    #[cfg(feature = "sabotage")]
    pub(crate) saboteur: Option<crate::sabotage::Saboteur>,
}

/// A client with everything that is looked up when it is its turn.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    pub machine: Client,
    /// The earliest entry that the agenda has for it.
    scheduled: Time,
    pub connections: Connections,
    /// It is to be up, unless a fault keeps it down: its time to connect has come.
    pub is_due: bool,
    /// Messages for it while it stands still, in order of arrival; `None` while it does not.
    pub stopped: Option<VecDeque<Flight>>,
    pub role: ClientRole,
}

/// A process that takes the place of a producer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct StandIn {
    pub replaced: ClientId,
    pub client: ClientId,
    /// From now on the demand asks it.
    pub is_active: bool,
}

/// A node, likewise.
#[derive(Clone, Debug)]
pub(crate) struct Host {
    /// Nothing while it is down.
    pub machine: Option<Node<()>>,
    /// What its disk has kept, while it is down.
    pub durable: Option<Durable<()>>,
    /// How often it has gone down.
    pub incarnation: u32,
    scheduled: Time,
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
    Seek(SeekPlan),
    AddPartitions(usize),
}

impl Simulation {
    /// The run that a plan describes, before anything has happened.
    pub fn new(plan: &Plan) -> Simulation {
        let deployment = &plan.deployment;
        let hashes = key_hashes(plan);
        let seed = plan.header.seed;
        let producers =
            deployment.producers.iter().map(|config| (config.client, Client::producer(config, &hashes, seed)));
        let consumers = deployment.consumers.iter().map(|config| (config.client, Client::consumer(config)));
        let mut machines: Vec<(ClientId, Client)> = producers.chain(consumers).collect();
        machines.sort_by_key(|(client, _)| *client);
        let machines = machines.into_iter().map(|(_, machine)| machine);
        let stand_in = |&(replaced, client): &(ClientId, ClientId)| StandIn { replaced, client, is_active: false };
        let process = |(machine, info): (Client, &ClientInfo)| Process {
            connections: Connections::new(deployment.nodes, machine.roams()),
            machine,
            scheduled: Time::MAX,
            is_due: false,
            stopped: None,
            role: info.role,
        };
        let host = |id| {
            let machine = Some(Node::new(NodeId::new(id), deployment));
            Host { machine, durable: None, incarnation: 0, scheduled: Time::MAX }
        };
        let mut simulation = Simulation {
            now: Time::ZERO,
            horizon: plan.header.horizon,
            finished: false,
            agenda: Agenda::default(),
            out: Box::default(),
            round: Some(Box::default()),
            network: Network::new(plan.network.latency),
            clients: machines.zip(&plan.header.clients).map(process).collect(),
            stand_ins: plan.stand_ins.iter().map(stand_in).collect(),
            nodes: (0..deployment.nodes).map(host).collect(),
            cluster: (deployment.nodes > 1).then(|| Box::new(Cluster::new(deployment))),
            deployment: Arc::new(deployment.clone()),
            demand: plan.demand.clone(),
            next_arrival: None,
            hit: vec![Vec::new(); plan.faults.len()],
            postponed: Vec::new(),
            #[cfg(feature = "sabotage")]
            saboteur: None,
            refused: BTreeSet::new(),
            stale: BTreeMap::new(),
            silent: BTreeSet::new(),
            timetable: timetable(plan),
            additions: plan.additions.clone(),
            faults: plan.faults.clone(),
            next_turn: 0,
            autoscalers: plan.autoscalers.iter().map(|own| Autoscaler::new(plan, own)).collect(),
        };
        simulation.schedule_turn();
        simulation.schedule_arrival();
        for node in 0..simulation.nodes.len() {
            simulation.schedule_node(node);
        }
        simulation.schedule_controller();
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

    /// The agenda's slots: clients, nodes, the next arrival, the next turn, the next silence that is noticed, the
    /// controller, then flights.
    #[inline]
    pub(crate) fn machines(&self) -> Slot {
        (self.clients.len() + self.nodes.len()) as Slot
    }

    #[inline]
    fn take_turn(&mut self, time: Time, slot: Slot, observer: &mut impl Observer) {
        self.now = time;
        if (slot as usize) < self.clients.len() {
            self.wake_client(slot as usize, observer);
        } else {
            match slot - self.clients.len() as Slot {
                node if (node as usize) < self.nodes.len() => self.wake_node(node as usize, observer),
                beyond => match beyond - self.nodes.len() as Slot {
                    0 => self.arrive(observer),
                    1 => self.turn(observer),
                    2 => self.notice_silence(observer),
                    3 => self.wake_controller(observer),
                    flight => {
                        if let Some(flight) = self.network.arrive(flight - 4) {
                            self.deliver(flight, observer);
                        }
                    }
                },
            }
        }
        self.drain(observer);
    }

    /// Carries out effects until none is left.
    #[inline]
    pub(crate) fn drain(&mut self, observer: &mut impl Observer) {
        let mut round = self.round.take().expect("effects are carried out one round at a time");
        while let Some(effects) = round.next_round(&mut self.out) {
            for effect in effects {
                self.carry_out(effect, observer);
            }
        }
        self.round = Some(round);
    }

    #[inline(always)]
    fn carry_out(&mut self, effect: &mut Effect<()>, observer: &mut impl Observer) {
        match effect {
            Effect::Send { from, to, message } if self.network.is_instant() => {
                let (from, to) = (*from, *to);
                self.hand_over(from, to, None, message, observer);
            }
            Effect::Send { from, to, message } => {
                let (from, to, message) = (*from, *to, message.take());
                let incarnation = self.incarnation(from, to);
                let place = self.network.depart(Flight { from, to, message, incarnation });
                self.agenda.push(self.network.arrival(self.now), self.machines() + 4 + place);
            }
            // Disks take no time yet.
            &mut Effect::Write { node, store, until } => {
                if self.cluster.is_some() {
                    return self.call_in_cluster(node, observer, Call::Written(store, until));
                }
                let Some(machine) = &mut self.nodes[node.index()].machine else { return };
                machine.handle_written(self.now, store, until, &mut self.out, observer);
                self.schedule_node(node.index());
            }
            &mut Effect::Flush { node, store, until } => {
                if self.cluster.is_some() {
                    return self.call_in_cluster(node, observer, Call::Flushed(store, until));
                }
                let Some(machine) = &mut self.nodes[node.index()].machine else { return };
                machine.handle_flushed(self.now, store, until, &mut self.out, observer);
            }
        }
    }

    /// The connection that a message is sent on now.
    #[inline]
    fn incarnation(&self, from: Address, to: Address) -> u32 {
        match (from, to) {
            (Address::Client(client), Address::Node(node)) => {
                self.clients[client.index()].connections.incarnation(node)
            }
            (_, Address::Client(client)) => self.clients[client.index()].connections.heard_from(from),
            _ => self.incarnation_between(from, to),
        }
    }

    #[inline(never)]
    pub(crate) fn deliver(&mut self, flight: Flight, observer: &mut impl Observer) {
        let Flight { from, to, mut message, incarnation } = flight;
        self.hand_over(from, to, Some(incarnation), &mut message, observer);
    }

    /// Messages are large beside what is done about them, so they are handled where they are. One that was sent
    /// earlier tells its incarnation.
    #[inline(always)]
    fn hand_over(
        &mut self,
        from: Address,
        to: Address,
        sent: Option<u32>,
        message: &mut Message<()>,
        observer: &mut impl Observer,
    ) {
        #[cfg(feature = "sabotage")]
        if self.saboteur.as_mut().is_some_and(|own| !own.lets_through(from, to, message)) {
            return;
        }
        match to {
            Address::Client(client) => {
                let process = &mut self.clients[client.index()];
                // Clients hear from the broker, or of the demand.
                let (incarnation, is_taken) = process.connections.takes(from, sent);
                if !is_taken {
                    return self.hold(client, Flight { from, to, message: message.take(), incarnation }, observer);
                }
                let next = process.machine.handle(self.now, message, &mut self.out, observer);
                process.schedule(next, client.get(), self.now, &mut self.agenda);
            }
            Address::Node(node) => {
                if let (Address::Client(client), Message::Connect) = (from, &*message) {
                    let connections = &mut self.clients[client.index()].connections;
                    let incarnation = sent.unwrap_or(connections.incarnation(node));
                    let again = connections.connect(node, incarnation);
                    if !self.lets_in(client, node, again) {
                        return;
                    }
                } else if (!self.refused.is_empty() || !self.stale.is_empty())
                    && matches!(from, Address::Client(own) if self.is_unheard(own, node, message))
                {
                    return;
                }
                if self.cluster.is_some() {
                    if !self.is_lost_between(from, to, sent) {
                        self.call_in_cluster(node, observer, Call::Message(from, message));
                    }
                    return;
                }
                let slot = self.clients.len() as Slot + Slot::from(node.get());
                let host = &mut self.nodes[node.index()];
                let Some(machine) = &mut host.machine else { return };
                machine.handle(self.now, from, message, &mut self.out, observer);
                host.schedule(slot, self.now, &mut self.agenda);
            }
            Address::Controller => self.tell_controller(from, sent, message),
            Address::Demand | Address::Disk => unreachable!("nobody writes to {to:?}"),
        }
    }

    /// Keeps a message for a client that stands still, unless the process that it was meant for is gone.
    #[cold]
    fn hold(&mut self, client: ClientId, flight: Flight, observer: &mut impl Observer) {
        let process = &mut self.clients[client.index()];
        if !process.connections.reaches(flight.from, flight.incarnation) {
            return self.undeliverable(client, &flight.message, observer);
        }
        process.stopped.as_mut().expect("a client that is up and takes nothing stands still").push_back(flight);
    }

    /// The process that a message was meant for is gone. A queue or a log still has what it sent, or has settled
    /// it; a broadcast has nothing more.
    #[cold]
    pub(crate) fn undeliverable(&self, client: ClientId, message: &Message<()>, observer: &mut impl Observer) {
        let ClientRole::Consumer(application) = self.clients[client.index()].role else { return };
        if let Message::Deliver { store: StoreId::MAX, publication, .. } = message {
            observer.observe(self.now, Event::Missed { message: publication.envelope.message, application });
        }
    }

    /// Schedules a client anew after something has happened to it.
    pub(crate) fn reschedule(&mut self, client: ClientId) {
        let process = &mut self.clients[client.index()];
        let timeout = if process.stopped.is_some() { None } else { process.machine.next_timeout() };
        process.schedule(timeout, client.get(), self.now, &mut self.agenda);
    }

    #[inline]
    pub(crate) fn schedule_node(&mut self, node: usize) {
        let slot = (self.clients.len() + node) as Slot;
        self.nodes[node].schedule(slot, self.now, &mut self.agenda);
    }

    #[inline]
    fn wake_client(&mut self, index: usize, observer: &mut impl Observer) {
        let process = &mut self.clients[index];
        if process.scheduled > self.now {
            return; // an earlier entry has served this client already
        }
        process.scheduled = Time::MAX;
        if process.stopped.is_none() {
            let next = process.machine.handle_timeout(self.now, &mut self.out, observer);
            process.schedule(next, index as Slot, self.now, &mut self.agenda);
        }
    }

    #[inline(never)]
    fn wake_node(&mut self, index: usize, observer: &mut impl Observer) {
        let host = &mut self.nodes[index];
        if host.scheduled > self.now {
            return;
        }
        host.scheduled = Time::MAX;
        if self.cluster.is_some() {
            return self.call_in_cluster(NodeId::new(index as u16), observer, Call::Timeout);
        }
        if let Some(machine) = &mut host.machine
            && machine.next_timeout().is_some_and(|due| due <= self.now)
        {
            machine.handle_timeout(self.now, &mut self.out, observer);
        }
        self.schedule_node(index);
    }

    fn schedule_arrival(&mut self) {
        self.next_arrival = self.demand.next();
        if let Some(arrival) = &self.next_arrival {
            self.agenda.push(arrival.time, self.machines());
        }
    }

    /// The demand asks a producer to send.
    #[inline]
    fn arrive(&mut self, observer: &mut impl Observer) {
        let arrival = self.next_arrival.take().expect("an arrival is due");
        let Arrival { time, message, producer, key, size, kind, tombstone } = arrival;
        observer.observe(self.now, Event::Offered { message, producer, key, size: Bytes::new(size) });
        self.schedule_arrival();
        let stand_in = self.stand_ins.iter().find(|stand_in| stand_in.is_active && stand_in.replaced == producer);
        let sender = stand_in.map_or(producer, |stand_in| stand_in.client);
        let envelope = Envelope { message, key, size, timestamp: time, sender, tombstone, payload: () };
        let (from, to) = (Address::Demand, Address::Client(sender));
        let mut offer = Message::Offer { kind, envelope };
        self.hand_over(from, to, None, &mut offer, observer);
        std::mem::forget(offer); // it holds no memory
    }

    fn schedule_turn(&mut self) {
        let turn = self.timetable.get(self.next_turn).map(|turn| turn.at);
        let look = self.autoscalers.iter().map(Autoscaler::next).min();
        if let Some(at) = turn.into_iter().chain(look).min() {
            self.agenda.push(at, self.machines() + 1);
        }
    }

    pub(crate) fn schedule_silence(&mut self, at: Time) {
        self.agenda.push(at, self.machines() + 2);
    }

    fn turn(&mut self, observer: &mut impl Observer) {
        match self.timetable.get(self.next_turn).filter(|turn| turn.at <= self.now) {
            Some(&Turn { deed, .. }) => {
                self.next_turn += 1;
                self.carry_out_deed(deed, observer);
            }
            None => self.autoscale(observer),
        }
        self.schedule_turn();
    }

    pub(crate) fn carry_out_deed(&mut self, deed: Deed, observer: &mut impl Observer) {
        match deed {
            Deed::Start(client) => self.first_start(client, observer),
            Deed::BeginFault(fault) => self.begin_fault(fault, observer),
            Deed::EndFault(fault) => self.end_fault(fault, observer),
            // Whoever finds the broker down tries again once it is back.
            Deed::Seek(_) | Deed::AddPartitions(_) if self.is_any_node_down() => self.postponed.push(deed),
            Deed::Seek(seek) => self.seek(seek, observer),
            Deed::AddPartitions(addition) => self.add_partitions(addition, observer),
        }
    }

    /// Takes the census: everybody tells what is still to be had.
    fn finish(&mut self, header: &RunHeader, observer: &mut impl Observer) {
        if self.finished {
            return;
        }
        self.finished = true;
        self.now = self.horizon;
        self.census_of_nodes(header, observer);
        for client in self.clients.iter().filter(|client| client.connections.is_up()) {
            client.machine.census(self.now, observer);
        }
        let waiting = self.clients.iter().flat_map(|client| &client.stopped).flatten();
        for flight in self.network.under_way().chain(waiting) {
            self.census_of_flight(flight, observer);
        }
    }

    /// What a node that is down has on its disk is still to be had: it can be started again.
    fn census_of_nodes(&self, header: &RunHeader, observer: &mut impl Observer) {
        let node = |host: &'_ Host| match (&host.machine, &host.durable) {
            (Some(_), _) => None,
            (None, Some(durable)) => Some(Node::recover(self.now, durable.clone(), &self.deployment)),
            (None, None) => unreachable!("a node that is down has left something behind"),
        };
        let recovered: Vec<Option<Node<()>>> = self.nodes.iter().map(node).collect();
        let nodes =
            self.nodes.iter().zip(&recovered).filter_map(|(host, node)| host.machine.as_ref().or(node.as_ref()));
        let nodes: Vec<&Node<()>> = nodes.collect();
        let logs = match &self.cluster {
            Some(cluster) => cluster.logs(&nodes),
            None => nodes[0].partitions().collect(),
        };
        for node in &nodes {
            let speaks_for = self.cluster.as_ref().map_or_else(Vec::new, |own| own.queues_told_by(node.id(), &nodes));
            node.census(self.now, header, &logs, &speaks_for, observer);
        }
    }

    /// A message on its way to a consumer that runs is still to be had, whether or not a store has it too. One whose
    /// connection broke meanwhile does not arrive any more.
    fn census_of_flight(&self, flight: &Flight, observer: &mut impl Observer) {
        let Address::Client(client) = flight.to else { return };
        let process = &self.clients[client.index()];
        let ClientRole::Consumer(application) = process.role else { return };
        if !process.connections.reaches(flight.from, flight.incarnation) {
            return self.undeliverable(client, &flight.message, observer);
        }
        let mut remains = |message| observer.observe(self.now, Event::Remaining { message, application });
        match &flight.message {
            Message::Deliver { publication, .. } => remains(publication.envelope.message),
            Message::Fetched { partitions, .. } => {
                let records = partitions.iter().flat_map(|partition| partition.records.iter().flatten());
                records.for_each(|(_, envelope)| remains(envelope.message));
            }
            Message::DeliverChunk { messages, .. } => {
                messages.iter().for_each(|(_, envelope)| remains(envelope.message));
            }
            Message::ShareFetched { partitions, .. } => {
                let records = partitions.iter().flat_map(|partition| &partition.records);
                records.for_each(|(_, envelope)| remains(envelope.message));
            }
            _ => {}
        }
    }
}

impl Process {
    /// Makes sure that the agenda has an entry no later than the next timeout. An entry that turns out to be too
    /// early costs one look.
    #[inline]
    fn schedule(&mut self, timeout: Option<Time>, slot: Slot, now: Time, agenda: &mut Agenda) {
        if let Some(next) = timeout
            && next < self.scheduled
        {
            self.scheduled = next;
            agenda.push(next.max(now), slot);
        }
    }
}

impl Host {
    #[inline]
    fn schedule(&mut self, slot: Slot, now: Time, agenda: &mut Agenda) {
        if let Some(machine) = &self.machine
            && let Some(next) = machine.next_timeout()
            && next < self.scheduled
        {
            self.scheduled = next;
            agenda.push(next.max(now), slot);
        }
    }
}

/// The hash of every key as the producers take it, which they share.
fn key_hashes(plan: &Plan) -> Arc<[u32]> {
    let by_key = plan.deployment.producers.iter().find_map(|producer| match &producer.kind {
        ProducerKind::Batcher(BatcherConfig { partitioner: Partitioner::ByKey(hash), .. }) => Some(*hash),
        ProducerKind::Stream(_) => Some(KeyHash::Murmur3),
        _ => None,
    });
    by_key.map_or_else(|| Arc::from([]), |hash| hash.table(&plan.header.keys))
}

/// Starts, faults and seeks in order of time; at one moment: ends of faults, starts, beginnings, ends of what took no
/// time, then seeks, then partitions that are added, each in the order of the scenario.
fn timetable(plan: &Plan) -> Vec<Turn> {
    let ends = plan
        .faults
        .iter()
        .enumerate()
        .filter_map(|(n, f)| Some((f.at, Turn { at: f.until?, deed: Deed::EndFault(n) })));
    let (instants, ends): (Vec<_>, Vec<_>) = ends.partition(|(began, end)| end.at == *began);
    let turns_of = |ends: Vec<(Time, Turn)>| ends.into_iter().map(|(_, turn)| turn);
    let late = |client| plan.starts.binary_search_by_key(&client, |(late, _)| *late).ok();
    let start_of = |client| late(client).map_or(Time::ZERO, |found| plan.starts[found].1);
    let clients = (0..plan.header.clients.len() as u32).map(ClientId::new);
    let starts = clients.map(|client| Turn { at: start_of(client), deed: Deed::Start(client) });
    let starts = starts.filter(|turn| turn.at < Time::MAX);
    let begins = plan.faults.iter().enumerate().map(|(n, f)| Turn { at: f.at, deed: Deed::BeginFault(n) });
    let seeks = plan.seeks.iter().map(|seek| Turn { at: seek.at, deed: Deed::Seek(*seek) });
    let additions = plan.additions.iter().enumerate();
    let additions = additions.map(|(n, addition)| Turn { at: addition.at, deed: Deed::AddPartitions(n) });
    let instants = turns_of(instants);
    let mut turns: Vec<Turn> =
        turns_of(ends).chain(starts).chain(begins).chain(instants).chain(seeks).chain(additions).collect();
    turns.sort_by_key(|turn| turn.at);
    turns
}
