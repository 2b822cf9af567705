//! What faults and operators do to clients and nodes.

use std::collections::VecDeque;

use brokerlab_broker::Node;
use brokerlab_broker::log::Crash;
use brokerlab_broker::{Address, Envelope, Message};
use brokerlab_event::{
    ApplicationId, ClientId, ClientRole, Duration, Event, FaultId, Millionths, NodeId, Observer, Party, Time,
};
use brokerlab_scenario::{Addition, FaultAction, FaultPlan, SeekPlan};

use crate::cluster::Call;
use crate::network::Flight;
use crate::simulation::{Process, Simulation};

/// How often a client of a queue or a stream sends a heartbeat: half of RabbitMQ's default `heartbeat` of 60 s.
pub(crate) const HEARTBEAT: Duration = Duration::from_secs(30);

impl Simulation {
    /// The client is to be up from now on, unless a fault keeps it down.
    pub(crate) fn first_start(&mut self, client: ClientId, observer: &mut impl Observer) {
        self.clients[client.index()].is_due = true;
        self.start(client, observer);
    }

    fn start(&mut self, client: ClientId, observer: &mut impl Observer) {
        let waits = !self.clients[client.index()].is_due || self.holds(client, keeps_down);
        if waits || self.clients[client.index()].connections.is_up() {
            return;
        }
        let process = &mut self.clients[client.index()];
        process.connections.open();
        process.machine.start(self.now, &mut self.out, observer);
        self.reschedule(client);
    }

    /// The client is not to be up any more, and leaves in good order.
    pub(crate) fn stop(&mut self, client: ClientId, observer: &mut impl Observer) {
        self.clients[client.index()].is_due = false;
        self.leave(client, observer);
    }

    pub(crate) fn begin_fault(&mut self, fault: usize, observer: &mut impl Observer) {
        let targets = self.resolve(fault);
        for target in targets {
            self.hit[fault].push(target);
            observer.observe(self.now, Event::FaultStarted { fault: FaultId::new(fault as u16), target });
            let client = match target {
                Party::Client(client) => client,
                Party::Node(node) if self.faults[fault].action == FaultAction::Leave => {
                    self.stop_node(node, observer);
                    continue;
                }
                Party::Node(node) => {
                    let kind = match self.faults[fault].action {
                        FaultAction::PowerOff => Crash::Power,
                        FaultAction::LoseDisk => Crash::Disk,
                        _ => Crash::Process,
                    };
                    self.crash_node(node, kind, observer);
                    continue;
                }
            };
            match self.faults[fault].action {
                FaultAction::PowerOff | FaultAction::LoseDisk => unreachable!("validated: these are for brokers"),
                FaultAction::Crash => self.crash(client, observer),
                FaultAction::Leave => self.leave(client, observer),
                FaultAction::Pause => self.pause(client, observer),
                FaultAction::Reset => self.reset(client, observer),
                FaultAction::Replace => self.replace(client, observer),
                FaultAction::Slow(factor) => {
                    self.clients[client.index()].machine.set_speed(self.now, factor, observer);
                }
            }
        }
    }

    pub(crate) fn end_fault(&mut self, fault: usize, observer: &mut impl Observer) {
        for target in self.hit[fault].clone() {
            match target {
                Party::Client(client) => self.restore(client, self.faults[fault].action, observer),
                Party::Node(node) => self.start_node(node, observer),
            }
            observer.observe(self.now, Event::FaultEnded { fault: FaultId::new(fault as u16), target });
        }
    }

    fn restore(&mut self, client: ClientId, from: FaultAction, observer: &mut impl Observer) {
        match from {
            FaultAction::PowerOff | FaultAction::LoseDisk => unreachable!("validated: these are for brokers"),
            FaultAction::Crash | FaultAction::Leave => self.start(client, observer),
            FaultAction::Pause | FaultAction::Replace if self.holds(client, stands_still) => {}
            FaultAction::Pause | FaultAction::Replace => self.resume(client, observer),
            // The client has been trying to connect all the time.
            FaultAction::Reset => {}
            FaultAction::Slow(_) => {
                let speed = self.speed(client);
                self.clients[client.index()].machine.set_speed(self.now, speed, observer);
            }
        }
    }

    /// A node goes down in good order. In a cluster others lead first what it leads.
    fn stop_node(&mut self, node: NodeId, observer: &mut impl Observer) {
        match self.cluster {
            Some(_) => self.call_in_cluster(node, observer, Call::PrepareToStop),
            None if self.nodes[node.index()].machine.is_some() => self.crash_node(node, Crash::Process, observer),
            None => {}
        }
    }

    /// A node goes down. Where its process dies, or its disk, the operating system ends every connection with it; a
    /// machine without power says nothing.
    pub(crate) fn crash_node(&mut self, node: NodeId, kind: Crash, observer: &mut impl Observer) {
        let host = &mut self.nodes[node.index()];
        let Some(machine) = host.machine.take() else {
            let durable = host.durable.take().expect("a node that is down has left something behind");
            host.durable = Some(durable.crash(self.now, kind, &self.deployment, observer));
            return;
        };
        let durable = self.crash_machine(machine, node, kind, observer);
        let host = &mut self.nodes[node.index()];
        host.durable = Some(durable);
        host.incarnation += 1;
        for client in self.connected_to(node) {
            match kind {
                Crash::Power if !self.refused.contains(&(client, node)) => {
                    self.stale.insert((client, node), None);
                    let patience = self.clients[client.index()].machine.patience();
                    self.notice_later(client, node, patience);
                }
                Crash::Power => {}
                Crash::Process | Crash::Disk => self.cut_off(client, node, observer),
            }
        }
        if kind != Crash::Power {
            self.cut_off_nodes(node, observer);
        }
    }

    /// Clients that are up and have a connection with a node, or believe so.
    fn connected_to(&self, node: NodeId) -> Vec<ClientId> {
        let is_connected = |process: &Process| process.connections.is_up() && process.machine.is_connected_to(node);
        let clients = (0..).zip(&self.clients).filter(|(_, process)| is_connected(process));
        clients.map(|(client, _)| ClientId::new(client)).collect()
    }

    /// The nodes that a client has a connection with, or believes so.
    fn nodes_of(&self, client: ClientId) -> Vec<NodeId> {
        let nodes = (0..self.nodes.len() as u16).map(NodeId::new);
        nodes.filter(|node| self.clients[client.index()].machine.is_connected_to(*node)).collect()
    }

    /// The client will notice that nobody is there any more, unless it does so before.
    fn notice_later(&mut self, client: ClientId, node: NodeId, after: Duration) {
        let incarnation = self.clients[client.index()].connections.incarnation(node);
        let at = self.now.saturating_add(after);
        self.silent.insert((at, client, node, incarnation));
        self.schedule_silence(at);
    }

    /// Whoever has waited for too long gives its connection up.
    pub(crate) fn notice_silence(&mut self, observer: &mut impl Observer) {
        while let Some(&(at, client, node, incarnation)) = self.silent.first()
            && at <= self.now
        {
            self.silent.pop_first();
            let is_same = self.clients[client.index()].connections.incarnation(node) == incarnation;
            if is_same && self.stale.contains_key(&(client, node)) {
                self.cut_off(client, node, observer);
            }
        }
    }

    /// What a client sends on a connection that only it believes in: nobody is there, or somebody who does not know of
    /// it and says so.
    #[cold]
    pub(crate) fn is_unheard(&mut self, client: ClientId, node: NodeId, message: &Message<()>) -> bool {
        let Some(unacknowledged) = self.stale.get_mut(&(client, node)) else {
            return self.refused.contains(&(client, node));
        };
        // Behind what was sent before, and is sent again and again, nothing else leaves.
        if unacknowledged.is_none() && !matches!(message, Message::ConnectionLost | Message::Disconnect) {
            *unacknowledged = Some(self.now);
            if self.nodes[node.index()].machine.is_some() {
                self.notice_later(client, node, self.network.latency());
            }
        }
        true
    }

    /// The node is started again, unless another fault keeps it down.
    pub(crate) fn start_node(&mut self, node: NodeId, observer: &mut impl Observer) {
        if self.holding(Party::Node(node)).next().is_some() {
            return;
        }
        let Some(durable) = self.nodes[node.index()].durable.take() else { return };
        observer.observe(self.now, Event::NodeUp { node });
        self.nodes[node.index()].machine = Some(Node::recover(self.now, durable, &self.deployment));
        self.schedule_node(node.index());
        for ((client, _), since) in self.stale.clone().into_iter().filter(|((_, other), _)| *other == node) {
            if let Some(since) = since {
                self.notice_later(client, node, next_retransmission(since, self.now) + self.network.latency());
            }
        }
        // Who sends nothing but heartbeats is told by the next of them.
        for (at, client, _, incarnation) in self.silent.clone().into_iter().filter(|silent| silent.2 == node) {
            let heartbeat = Time::ZERO + at.saturating_since(Time::ZERO + HEARTBEAT);
            if heartbeat > self.now {
                self.silent.insert((heartbeat, client, node, incarnation));
                self.schedule_silence(heartbeat);
            }
        }
        // Where its machine had no power, other nodes learn of that now at the latest.
        self.cut_off_nodes(node, observer);
        if !self.is_any_node_down() {
            for deed in std::mem::take(&mut self.postponed) {
                self.carry_out_deed(deed, observer);
            }
        }
    }

    pub(crate) fn is_any_node_down(&self) -> bool {
        self.nodes.iter().any(|host| host.machine.is_none())
    }

    /// Somebody sends the consumers of an application to another place in the log.
    pub(crate) fn seek(&mut self, seek: SeekPlan, observer: &mut impl Observer) {
        for index in 0..self.nodes.len() {
            let machine = self.nodes[index].machine.as_mut();
            machine.into_iter().for_each(|node| node.seek(self.now, seek.application, seek.to));
            self.schedule_node(index);
        }
        for client in self.consumers_of(seek.application).collect::<Vec<_>>() {
            self.clients[client.index()].machine.ask_where(self.now, &mut self.out, observer);
            self.reschedule(client);
        }
    }

    /// Somebody adds partitions to the topic.
    pub(crate) fn add_partitions(&mut self, addition: usize, observer: &mut impl Observer) {
        let Addition { beside, stores, .. } = &self.additions[addition];
        for node in self.nodes.iter_mut().filter_map(|host| host.machine.as_mut()) {
            node.add_partitions(self.now, *beside, stores, &mut self.out, observer);
        }
        (0..self.nodes.len()).for_each(|index| self.schedule_node(index));
    }

    pub(crate) fn consumers_of(&self, wanted: ApplicationId) -> impl Iterator<Item = ClientId> {
        let clients = (0..self.clients.len() as u32).map(ClientId::new);
        clients.filter(move |client| self.clients[client.index()].role == ClientRole::Consumer(wanted))
    }

    /// The faults that have hit a client or a node and are not over. Faults may overlap, and one that ends must not end what
    /// another still does.
    fn holding(&self, target: Party) -> impl Iterator<Item = &FaultPlan> {
        let hits = self.faults.iter().zip(&self.hit);
        hits.filter(move |(fault, hit)| {
            // Whoever is hit is hit in the order of numbers.
            fault.until.is_none_or(|until| until > self.now) && hit.binary_search(&target).is_ok()
        })
        .map(|(fault, _)| fault)
    }

    fn holds(&self, client: ClientId, kind: impl Fn(FaultAction) -> bool) -> bool {
        self.holding(Party::Client(client)).any(|fault| kind(fault.action))
    }

    /// Of several faults that slow a client the one that began last counts.
    fn speed(&self, client: ClientId) -> Millionths {
        let slow = self.holding(Party::Client(client)).filter_map(|fault| match fault.action {
            FaultAction::Slow(factor) => Some((fault.at, factor)),
            _ => None,
        });
        slow.max_by_key(|(at, _)| *at).map_or(Millionths::ONE, |(_, factor)| factor)
    }

    /// The process dies at once, and its connections with it; the broker learns of it behind what was under way.
    fn crash(&mut self, client: ClientId, observer: &mut impl Observer) {
        if !self.clients[client.index()].connections.is_up() {
            return;
        }
        let connected = self.nodes_of(client);
        self.clients[client.index()].machine.crash(self.now, observer);
        for node in connected {
            self.out.send(Address::Client(client), Address::Node(node), Message::ConnectionLost);
        }
        self.gone(client, observer);
    }

    /// The connection breaks, and the process goes on. It learns at once, the broker a little later; what either has
    /// sent meanwhile is lost.
    fn reset(&mut self, client: ClientId, observer: &mut impl Observer) {
        if !self.clients[client.index()].connections.is_up() {
            return;
        }
        for node in self.nodes_of(client) {
            self.out.send(Address::Client(client), Address::Node(node), Message::ConnectionLost);
            self.cut_off(client, node, observer);
        }
    }

    /// The client learns that its connection with a node has ended; what is under way on it is lost.
    fn cut_off(&mut self, client: ClientId, node: NodeId, observer: &mut impl Observer) {
        self.stale.remove(&(client, node));
        let connections = &mut self.clients[client.index()].connections;
        connections.break_off(node);
        let incarnation = connections.incarnation(node);
        let (from, to) = (Address::Node(node), Address::Client(client));
        self.network.lose(to, from);
        self.deliver(Flight { from, to, message: Message::ConnectionBroken { node }, incarnation }, observer);
    }

    /// Whether a client that connects is let in. One that has tried before, or had another connection, is told.
    #[cold]
    pub(crate) fn lets_in(&mut self, client: ClientId, node: NodeId, again: bool) -> bool {
        self.stale.remove(&(client, node));
        let is_down = self.nodes[node.index()].machine.is_none();
        let refused = is_down || self.holds(client, |action| action == FaultAction::Reset);
        if refused {
            self.refused.insert((client, node));
        } else {
            self.refused.remove(&(client, node));
        }
        if refused || again {
            let answer =
                if refused { Message::ConnectionBroken { node } } else { Message::ConnectionRestored { node } };
            self.out.send(Address::Node(node), Address::Client(client), answer);
        }
        !refused
    }

    fn leave(&mut self, client: ClientId, observer: &mut impl Observer) {
        if !self.clients[client.index()].connections.is_up() {
            return;
        }
        self.clients[client.index()].machine.leave(self.now, &mut self.out, observer);
        self.gone(client, observer);
    }

    /// The process is gone, and with it what had arrived while it stood still.
    fn gone(&mut self, client: ClientId, observer: &mut impl Observer) {
        self.refused.retain(|(other, _)| *other != client);
        self.stale.retain(|(other, _), _| *other != client);
        let process = &mut self.clients[client.index()];
        process.connections.close();
        for flight in process.stopped.take().into_iter().flatten() {
            self.undeliverable(client, &flight.message, observer);
        }
    }

    fn pause(&mut self, client: ClientId, observer: &mut impl Observer) {
        let process = &mut self.clients[client.index()];
        if process.connections.is_up() && process.stopped.is_none() {
            process.stopped = Some(VecDeque::new());
            process.connections.stand_still();
            process.machine.pause(self.now, observer);
        }
    }

    /// The producer stands still, and another process takes its place: one that knows what has been sent without an
    /// answer, as from a table of what is to be sent. A place is taken once.
    fn replace(&mut self, client: ClientId, observer: &mut impl Observer) {
        self.pause(client, observer);
        let waiting = self.stand_ins.iter_mut().find(|stand_in| stand_in.replaced == client && !stand_in.is_active);
        let Some(stand_in) = waiting else { return };
        stand_in.is_active = true;
        let successor = stand_in.client;
        let unconfirmed = self.clients[client.index()].machine.unconfirmed();
        self.first_start(successor, observer);
        for (kind, envelope) in unconfirmed {
            let envelope = Envelope { sender: successor, ..envelope };
            let (from, to, message) = (Address::Demand, Address::Client(successor), Message::Offer { kind, envelope });
            let incarnation = self.clients[successor.index()].connections.heard_from(Address::Demand);
            self.deliver(Flight { from, to, message, incarnation }, observer);
        }
    }

    /// The process goes on with what has arrived meanwhile.
    fn resume(&mut self, client: ClientId, observer: &mut impl Observer) {
        let process = &mut self.clients[client.index()];
        let Some(waiting) = process.stopped.take() else { return };
        process.connections.go_on();
        process.machine.resume(self.now, observer);
        self.reschedule(client);
        for flight in waiting {
            self.deliver(flight, observer);
        }
    }
}

/// How long it is from now until TCP sends again what nobody has acknowledged: it waits 200 ms at first, twice as long
/// each time, and two minutes at most (Linux: `TCP_RTO_MIN`, `TCP_RTO_MAX`).
fn next_retransmission(since: Time, now: Time) -> Duration {
    let (mut at, mut wait) = (since, Duration::from_millis(200));
    while at < now {
        at = at.saturating_add(wait);
        wait = (wait + wait).min(Duration::from_secs(120));
    }
    at - now
}

fn stands_still(action: FaultAction) -> bool {
    matches!(action, FaultAction::Pause | FaultAction::Replace)
}

fn keeps_down(action: FaultAction) -> bool {
    matches!(action, FaultAction::Crash | FaultAction::Leave)
}
