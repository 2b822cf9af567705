//! The controller of a cluster: which nodes are there, and who leads each partition.

use brokerlab_event::{NodeId, StoreId, Time};

use crate::config::{BrokerSessions, Deployment, ReplicationConfig};
use crate::message::{Address, Message, Outbox, PartitionState};
use crate::replication::{Change, Election, Registration};

/// Which start of a node the cluster begins with.
pub(crate) const FIRST_INCARNATION: u32 = 1;

/// The controller of a cluster, as a state machine of its own that does not crash: the quorum of controllers that
/// real clusters have, and its log, are left out.
///
/// A node counts for as long as it is heard from (`broker.session.timeout.ms`). A node that was started again is let in
/// once the session of its former process is over, so that no leader ever comes back with a shorter log and leads on.
/// Where nodes come and go, or a leader proposes others in sync, [`Registration::after`] says who leads from then on, and
/// every node is told.
#[derive(Clone, Debug)]
pub struct Controller {
    timing: BrokerSessions,
    sessions: Vec<Session>,
    partitions: Vec<Controlled>,
    /// From the number of a store to its place among the partitions.
    places: Vec<Option<usize>>,
    /// When partitions are given back to their preferred leaders, while somebody else leads one.
    balance_at: Option<Time>,
}

/// What is known of a node.
#[derive(Clone, Copy, Debug)]
struct Session {
    incarnation: u32,
    /// When it ends unless the node is heard from before. Nothing while the node is fenced off: it leads nothing and is
    /// in sync with nobody.
    expires: Option<Time>,
    /// It has been let go: it has told everybody what it has, and nothing of that is lost.
    left: bool,
}

#[derive(Clone, Debug)]
struct Controlled {
    store: StoreId,
    registration: Registration,
    replication: ReplicationConfig,
}

impl Controlled {
    fn state(&self) -> PartitionState {
        let Registration { replicas, in_sync, leader, leader_epoch, .. } = self.registration.clone();
        PartitionState { store: self.store, replicas, in_sync, leader, epoch: leader_epoch }
    }

    /// Applies a change. True if anything is news to the nodes.
    fn change(&mut self, change: &Change<'_>, election: Election) -> bool {
        let before = self.state();
        let unclean = self.replication.unclean_election && election == Election::Online;
        let election = if unclean { Election::Unclean } else { election };
        self.registration = self.registration.after(change, election, &self.replication.election()).0;
        self.state() != before
    }
}

impl Controller {
    /// The controller of a cluster whose nodes have all just been started, and whose copies are all in sync.
    pub fn new(deployment: &Deployment) -> Controller {
        let timing = deployment.broker_sessions;
        let expires = Some(Time::ZERO.saturating_add(timing.timeout));
        let sessions =
            vec![Session { incarnation: FIRST_INCARNATION, expires, left: false }; usize::from(deployment.nodes)];
        let mut controller =
            Controller { timing, sessions, partitions: Vec::new(), places: Vec::new(), balance_at: None };
        for topic in deployment.topics.iter().cloned().chain(deployment.streams.iter().map(|stream| stream.topic())) {
            controller.add_partitions(topic.replication, 0, &topic.partitions);
        }
        controller
    }

    /// Partitions of a topic, the first of them numbered like this in it.
    fn add_partitions(&mut self, replication: ReplicationConfig, number: u32, stores: &[StoreId]) {
        for (number, store) in (number..).zip(stores) {
            let replicas: Vec<NodeId> = replication.replicas(number).collect();
            let registration = Registration {
                in_sync: replicas.clone(),
                leader: replicas.first().copied(),
                leader_epoch: 1,
                eligible: Vec::new(),
                last_known_leader: None,
                replicas,
            };
            self.places.resize(self.places.len().max(store.index() + 1), None);
            self.places[store.index()] = Some(self.partitions.len());
            self.partitions.push(Controlled { store: *store, registration, replication });
        }
    }

    /// What is decided about a partition; nothing where there is no such partition.
    pub fn partition(&self, store: StoreId) -> Option<PartitionState> {
        let place = self.places.get(store.index()).copied().flatten()?;
        Some(self.partitions[place].state())
    }

    /// The nodes that count.
    fn alive(&self) -> Vec<NodeId> {
        let up = (0..).zip(&self.sessions).filter(|(_, session)| session.expires.is_some());
        up.map(|(node, _)| NodeId::new(node)).collect()
    }

    /// Handles one message of a node.
    pub fn handle_message<P>(&mut self, now: Time, from: Address, message: Message<P>, out: &mut Outbox<P>) {
        let Address::Node(node) = from else { return };
        match message {
            Message::BrokerHeartbeat { incarnation, wants_to_stop: true } => self.let_go(node, incarnation, out),
            Message::BrokerHeartbeat { incarnation, .. } => self.heartbeat(now, node, incarnation, out),
            Message::AlterInSync { store, epoch, in_sync } => self.alter_in_sync(node, store, epoch, &in_sync, out),
            _ => {}
        }
        self.note_balance(now);
    }

    fn heartbeat<P>(&mut self, now: Time, node: NodeId, incarnation: u32, out: &mut Outbox<P>) {
        let expires = now.saturating_add(self.timing.timeout);
        let session = &mut self.sessions[node.index()];
        let is_same = session.incarnation == incarnation;
        let is_fenced = session.expires.is_none();
        // Who has been let go does not come back.
        let is_registered = if is_fenced { !(is_same && session.left) } else { is_same };
        let answer = Message::BrokerHeartbeatAnswer { incarnation, is_registered, may_stop: false };
        out.send(Address::Controller, Address::Node(node), answer);
        if !is_registered {
            return;
        }
        let has_all = is_same || session.left;
        *session = Session { incarnation, expires: Some(expires), left: false };
        if is_fenced {
            self.let_in(node, has_all, out);
        }
    }

    /// A node wants to go down. Others lead from now on, where any can, and it counts no more; so the next process of it
    /// is let in at once.
    fn let_go<P>(&mut self, node: NodeId, incarnation: u32, out: &mut Outbox<P>) {
        let session = &mut self.sessions[node.index()];
        if session.incarnation != incarnation {
            return;
        }
        let was_there = session.expires.take().is_some();
        session.left = true;
        if was_there {
            self.fence_off(node, out);
        }
        let answer = Message::BrokerHeartbeatAnswer { incarnation, is_registered: true, may_stop: true };
        out.send(Address::Controller, Address::Node(node), answer);
    }

    /// Notes when to look for partitions that are not led by whom they should be, if there are any.
    fn note_balance(&mut self, now: Time) {
        let Some(interval) = self.timing.balance_interval else { return };
        let is_elsewhere = |own: &Controlled| own.registration.leader != own.registration.replicas.first().copied();
        match self.partitions.iter().any(is_elsewhere) {
            true => self.balance_at = self.balance_at.or(Some(now.saturating_add(interval))),
            false => self.balance_at = None,
        }
    }

    /// Gives partitions back to their preferred leaders, where those are in sync.
    fn balance<P>(&mut self, out: &mut Outbox<P>) {
        let alive = self.alive();
        let mut changed = Vec::new();
        for (place, partition) in self.partitions.iter_mut().enumerate() {
            let in_sync = partition.registration.in_sync.clone();
            let change = Change { in_sync: &in_sync, alive: &alive, unclean_shutdown: &[] };
            if partition.change(&change, Election::Preferred) {
                changed.push(place);
            }
        }
        if !changed.is_empty() {
            self.publish(&changed, alive, out);
        }
    }

    /// A node counts again. It is told everything. What it may have lost it is not trusted to have, where eligible
    /// leaders are kept; otherwise the last one in sync leads with what it has.
    fn let_in<P>(&mut self, node: NodeId, has_all: bool, out: &mut Outbox<P>) {
        let alive = self.alive();
        let mut changed = Vec::new();
        for place in 0..self.partitions.len() {
            let partition = &mut self.partitions[place];
            let lost = !has_all && partition.replication.keeps_eligible;
            let unclean: &[NodeId] = if lost { &[node] } else { &[] };
            let in_sync: Vec<NodeId> =
                partition.registration.in_sync.iter().copied().filter(|own| !unclean.contains(own)).collect();
            let change = Change { in_sync: &in_sync, alive: &alive, unclean_shutdown: unclean };
            if partition.change(&change, Election::Online) {
                changed.push(place);
            }
        }
        self.publish(&changed, alive.into_iter().filter(|other| *other != node), out);
        let all: Vec<usize> = (0..self.partitions.len()).collect();
        self.publish(&all, [node], out);
    }

    /// A leader proposes who is in sync. What is decided it is told in any case.
    fn alter_in_sync<P>(&mut self, node: NodeId, store: StoreId, epoch: u32, in_sync: &[NodeId], out: &mut Outbox<P>) {
        let Some(place) = self.places.get(store.index()).copied().flatten() else { return };
        let alive = self.alive();
        let partition = &mut self.partitions[place];
        let Registration { leader, leader_epoch, replicas, .. } = &partition.registration;
        let is_leader = *leader == Some(node) && *leader_epoch == epoch;
        let is_eligible = |other: &NodeId| alive.contains(other) && replicas.contains(other);
        let is_valid = is_leader && in_sync.contains(&node) && in_sync.iter().all(is_eligible);
        let change = Change { in_sync, alive: &alive, unclean_shutdown: &[] };
        match is_valid && partition.change(&change, Election::Online) {
            true => self.publish(&[place], alive, out),
            false => self.publish(&[place], [node], out),
        }
    }

    /// Fences off nodes that were silent for too long, and finds other leaders.
    pub fn handle_timeout<P>(&mut self, now: Time, out: &mut Outbox<P>) {
        for node in (0..self.sessions.len() as u16).map(NodeId::new) {
            if self.sessions[node.index()].expires.take_if(|at| *at <= now).is_some() {
                self.fence_off(node, out);
            }
        }
        if self.balance_at.take_if(|at| *at <= now).is_some() {
            self.balance(out);
        }
        self.note_balance(now);
    }

    fn fence_off<P>(&mut self, node: NodeId, out: &mut Outbox<P>) {
        let alive = self.alive();
        let mut changed = Vec::new();
        for (place, partition) in self.partitions.iter_mut().enumerate() {
            let in_sync: Vec<NodeId> =
                partition.registration.in_sync.iter().copied().filter(|other| *other != node).collect();
            let change = Change { in_sync: &in_sync, alive: &alive, unclean_shutdown: &[] };
            if partition.change(&change, Election::Online) {
                changed.push(place);
            }
        }
        self.publish(&changed, alive, out);
    }

    /// When the next session ends, or partitions are given back. There are a few nodes at most, which are looked through.
    pub fn next_timeout(&self) -> Option<Time> {
        self.sessions.iter().filter_map(|session| session.expires).chain(self.balance_at).min()
    }

    /// Tells nodes what has become of partitions, and who is fenced off.
    fn publish<P>(&self, places: &[usize], to: impl IntoIterator<Item = NodeId>, out: &mut Outbox<P>) {
        let down = (0..).zip(&self.sessions).filter(|(_, session)| session.expires.is_none());
        let fenced: Vec<NodeId> = down.map(|(node, _)| NodeId::new(node)).collect();
        let partitions: Vec<PartitionState> = places.iter().map(|place| self.partitions[*place].state()).collect();
        for node in to {
            let message = Message::PartitionsChanged { partitions: partitions.clone(), fenced: fenced.clone() };
            out.send(Address::Controller, Address::Node(node), message);
        }
    }
}
