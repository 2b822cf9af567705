//! A cluster of nodes and their controller, with every message between them in the story's hands. Disks answer at
//! once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use brokerlab_broker::chronicle::{Chronicle, Watch};
use brokerlab_broker::config::{Acks, Deployment};
use brokerlab_broker::controller::Controller;
use brokerlab_broker::log::Crash;
use brokerlab_broker::message::LogError;
use brokerlab_broker::node::Durable;
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox};
use brokerlab_event::{ClientId, Duration, Event, KeyId, MessageId, NodeId, Observer, Offset, StoreId, Time};

use crate::rig::Plan;

/// The partition.
pub fn store() -> StoreId {
    StoreId::new(0)
}

fn client() -> ClientId {
    ClientId::new(0)
}

pub fn node(index: usize) -> NodeId {
    NodeId::new(index as u16)
}

enum Host {
    Up(Box<Node<()>>),
    Down(Box<Durable<()>>),
}

/// What happened to the partition.
#[derive(Default)]
pub struct Seen(pub Vec<Event>);

impl Observer for Seen {
    fn observe(&mut self, _: Time, event: Event) {
        self.0.push(event);
    }
}

pub struct Cluster {
    pub now: Time,
    deployment: Deployment,
    hosts: Vec<Option<Host>>,
    controller: Controller,
    out: Outbox<()>,
    /// Under way, by sender and receiver: connections keep their order, and nothing more.
    pub wires: BTreeMap<(Address, Address), VecDeque<Message<()>>>,
    /// What was produced, by correlation: what the producer was told.
    pub answers: BTreeMap<u32, Result<Offset, LogError>>,
    sent: u32,
    /// What no more than its leader was to have.
    pub careless: BTreeSet<u32>,
    /// Connections on which nothing arrives.
    pub cut: BTreeSet<(Address, Address)>,
    chronicle: Chronicle,
    pub seen: Seen,
}

impl Cluster {
    /// So many nodes, each with a copy of the one partition, so many of which have to be in sync.
    pub fn new(nodes: u16, min_in_sync: u32) -> Cluster {
        let mut deployment = Plan { partitions: 1, nodes, members: 0, ..Plan::default() }.deployment();
        deployment.topics[0].replication.replicas.min_in_sync = min_in_sync;
        let hosts = (0..deployment.nodes).map(|id| Some(Host::Up(Box::new(Node::new(NodeId::new(id), &deployment)))));
        let mut cluster = Cluster {
            now: Time::ZERO,
            hosts: hosts.collect(),
            controller: Controller::new(&deployment),
            chronicle: Chronicle::new(&deployment),
            deployment,
            out: Outbox::default(),
            wires: BTreeMap::new(),
            answers: BTreeMap::new(),
            sent: 0,
            careless: BTreeSet::new(),
            cut: BTreeSet::new(),
            seen: Seen::default(),
        };
        cluster.wake();
        cluster
    }

    /// Whoever is there may lead, where nobody in sync is.
    pub fn with_unclean_elections(mut self) -> Cluster {
        self.deployment.topics[0].replication.unclean_election = true;
        self.controller = Controller::new(&self.deployment);
        self
    }

    pub fn node(&self, index: usize) -> Option<&Node<()>> {
        match self.hosts[index].as_ref().expect("nobody is between two states") {
            Host::Up(node) => Some(node),
            Host::Down(_) => None,
        }
    }

    fn call(&mut self, index: usize, act: impl FnOnce(&mut Node<()>, Time, &mut Outbox<()>, &mut Watch<'_>)) {
        let Some(Host::Up(machine)) = &mut self.hosts[index] else { return };
        act(machine, self.now, &mut self.out, &mut self.chronicle.watch(node(index), &mut self.seen));
        self.chronicle.settle(self.now, machine, &mut self.seen);
    }

    fn tell(&mut self, to: Address, from: Address, message: Message<()>) {
        match to {
            Address::Node(id) => {
                self.call(id.index(), |node, now, out, seen| node.handle_message(now, from, message, out, seen));
            }
            Address::Controller => self.controller.handle_message(self.now, from, message, &mut self.out),
            Address::Client(_) => {
                if let Message::Produced { correlation, result, .. } = message {
                    self.answers.insert(correlation, result);
                }
            }
            Address::Demand | Address::Disk => panic!("nobody writes to {to:?}"),
        }
        self.settle();
    }

    fn settle(&mut self) {
        while let Some(effect) = self.out.pop() {
            match effect {
                Effect::Send { from, to, message } if matches!(to, Address::Client(_)) => self.tell(to, from, message),
                Effect::Send { from, to, .. } if self.cut.contains(&(from, to)) => {}
                Effect::Send { from, to, message } => self.wires.entry((from, to)).or_default().push_back(message),
                Effect::Write { node, store, until } => {
                    self.tell(Address::Node(node), Address::Disk, Message::Written { store, until });
                }
                Effect::Flush { .. } => panic!("the log side leaves flushing to the operating system"),
            }
        }
    }

    /// Everybody does what is due.
    pub fn wake(&mut self) {
        for index in 0..self.hosts.len() {
            if self.node(index).and_then(Node::next_timeout).is_some_and(|at| at <= self.now) {
                self.call(index, |node, now, out, seen| node.handle_timeout(now, out, seen));
                self.settle();
            }
        }
        if self.controller.next_timeout().is_some_and(|at| at <= self.now) {
            self.controller.handle_timeout(self.now, &mut self.out);
            self.settle();
        }
    }

    fn next_timeout(&self) -> Option<Time> {
        let nodes = (0..self.hosts.len()).filter_map(|index| self.node(index)?.next_timeout());
        nodes.chain(self.controller.next_timeout()).min()
    }

    /// Carries the oldest message of a connection.
    pub fn carry(&mut self, wire: (Address, Address)) {
        let message = self.wires.get_mut(&wire).and_then(VecDeque::pop_front).expect("a message is under way");
        self.tell(wire.1, wire.0, message);
    }

    /// Connections on which something is under way.
    pub fn busy(&self) -> Vec<(Address, Address)> {
        self.wires.iter().filter(|(_, queue)| !queue.is_empty()).map(|(wire, _)| *wire).collect()
    }

    /// Carries messages until none is left.
    pub fn carry_all(&mut self) -> &mut Cluster {
        let mut carried = 0;
        while let Some(wire) = self.busy().first() {
            self.carry(*wire);
            carried += 1;
            assert!(carried < 10_000, "nobody comes to rest: {:?}", self.wires);
        }
        self
    }

    /// Lets time pass; messages take none.
    pub fn run(&mut self, duration: Duration) -> &mut Cluster {
        let until = self.now + duration;
        self.carry_all();
        while let Some(at) = self.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.wake();
            self.carry_all();
        }
        self.now = until;
        self
    }

    /// Sends a record to a node; tells its number.
    pub fn produce(&mut self, to: usize, acks: Acks) -> u32 {
        let (message, timestamp) = (MessageId::new(u64::from(self.sent)), self.now);
        let envelope =
            Envelope { message, key: KeyId::NONE, size: 1, timestamp, sender: client(), tombstone: false, payload: () };
        let correlation = self.sent;
        self.sent += 1;
        if acks != Acks::All {
            self.careless.insert(correlation);
        }
        let produce = Message::Produce { store: store(), correlation, acks, batch: vec![envelope].into() };
        self.tell(Address::Node(node(to)), Address::Client(client()), produce);
        correlation
    }

    /// A node goes down. Its connections break, and with them goes what is under way there.
    pub fn crash(&mut self, index: usize, kind: Crash) -> &mut Cluster {
        let Some(Host::Up(host)) = self.hosts[index].take() else { panic!("it is up") };
        let durable = host.crash(self.now, kind, &mut self.chronicle.watch(node(index), &mut self.seen));
        self.hosts[index] = Some(Host::Down(Box::new(durable)));
        let gone = Address::Node(node(index));
        self.wires.retain(|(from, to), _| *from != gone && *to != gone);
        for other in (0..self.hosts.len()).filter(|other| *other != index) {
            self.tell(Address::Node(node(other)), gone, Message::ConnectionLost);
        }
        self
    }

    /// Somebody wants a node to go down in good order.
    pub fn stop(&mut self, index: usize) -> &mut Cluster {
        self.call(index, |node, now, out, seen| node.prepare_to_stop(now, out, seen));
        self.settle();
        self.carry_all();
        assert!(self.node(index).is_some_and(Node::may_stop), "the controller has let it go");
        self.crash(index, Crash::Process)
    }

    pub fn restart(&mut self, index: usize) -> &mut Cluster {
        let Some(Host::Down(durable)) = self.hosts[index].take() else { panic!("it is down") };
        let host = Node::recover(self.now, *durable, &self.deployment);
        self.hosts[index] = Some(Host::Up(Box::new(host)));
        self.wake();
        self
    }

    /// Who leads, by what the controller has decided.
    pub fn leader(&self) -> Option<usize> {
        self.controller.partition(store()).expect("there is one").leader.map(NodeId::index)
    }

    /// Who is in sync, by what the controller has decided.
    pub fn in_sync(&self) -> Vec<usize> {
        let state = self.controller.partition(store()).expect("there is one");
        state.in_sync.into_iter().map(NodeId::index).collect()
    }

    /// Log end and high watermark of a node that is up.
    pub fn marks(&self, index: usize) -> (u64, u64) {
        let partition = self.node(index).and_then(|node| node.partition(store())).expect("it is up and has a copy");
        (partition.log().end().get(), partition.high_watermark().get())
    }

    /// The records of a node that is up.
    pub fn contents(&self, index: usize) -> Vec<u64> {
        let partition = self.node(index).and_then(|node| node.partition(store())).expect("it is up and has a copy");
        partition.log().entries_from(Offset::ZERO).map(|(_, record)| record.message.get()).collect()
    }
}
