//! A group of many members that are rebalanced, with the clients that do their part of it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

use brokerlab_broker::assignor::{Assignor, ServerAssignor};
use brokerlab_broker::client::GroupMember;
use brokerlab_broker::config::*;
use brokerlab_broker::{Address, Effect, Node, Outbox};
use brokerlab_event::{
    ApplicationId, ClientId, Distribution, Duration, Event, NodeId, Observer, StoreId, Stream, Time, WorkLaw,
};

use crate::deployment;

/// How partitions are given out, and how members say what they know.
pub const PROTOCOLS: [(&str, &[Assignor], GroupProtocol); 3] = [
    ("eager, range", &[Assignor::Range], GroupProtocol::Classic),
    ("cooperative, sticky", &[Assignor::CooperativeSticky], GroupProtocol::Classic),
    ("by the coordinator, uniform", &[], GroupProtocol::Consumer(ServerAssignor::Uniform)),
];

/// Who owns how many partitions.
#[derive(Default)]
struct Owned {
    by_member: Vec<usize>,
    partitions: usize,
    owners: usize,
}

impl Observer for Owned {
    fn observe(&mut self, _time: Time, event: Event) {
        match event {
            Event::Assigned { consumer, .. } => {
                let own = &mut self.by_member[consumer.index()];
                self.owners += usize::from(*own == 0);
                *own += 1;
                self.partitions += 1;
            }
            Event::Revoked { consumer, .. } => {
                let own = &mut self.by_member[consumer.index()];
                *own -= 1;
                self.owners -= usize::from(*own == 0);
                self.partitions -= 1;
            }
            _ => {}
        }
    }
}

/// The coordinator and the members, joined by a network that takes no time.
struct Bench {
    now: Time,
    node: Node<()>,
    members: Vec<GroupMember<()>>,
    out: Outbox<()>,
    owned: Owned,
    /// Time and number of the machine: members in their order, then the node.
    agenda: BinaryHeap<Reverse<(Time, usize)>>,
}

fn member(number: u32, assignors: &[Assignor]) -> ConsumerConfig {
    let member = GroupMemberConfig {
        assignors: assignors.to_vec(),
        is_static: false,
        heartbeat_interval: Duration::from_secs(3),
        max_poll_records: 500,
        max_poll_interval: Duration::from_secs(300),
        reset: OffsetReset::Earliest,
        commit: CommitPolicy::Automatic { every: Duration::from_secs(5) },
        max_attempts: 1,
        retry: None,
        isolation: Isolation::ReadUncommitted,
        metadata_max_age: None,
        is_cluster: false,
    };
    ConsumerConfig {
        client: ClientId::new(number),
        name: format!("member-{number}").into(),
        application: ApplicationId::new(0),
        node: NodeId::new(0),
        work: WorkLaw { distribution: Distribution::Constant(0.0), stream: Stream::new(1, "work") },
        failures: None,
        answers: false,
        kind: ConsumerKind::Group(member),
    }
}

impl Bench {
    /// A group with a partition for each member, of which none has joined.
    fn new(members: u32, assignors: &[Assignor], protocol: GroupProtocol) -> Bench {
        let mut deployment = deployment(members, FetchLimits::default());
        deployment.fetch.max_wait = Duration::from_secs(3600);
        deployment.groups.push(GroupConfig {
            application: ApplicationId::new(0),
            node: NodeId::new(0),
            partitions: (0..members).map(StoreId::new).collect(),
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            initial_rebalance_delay: Duration::from_secs(3),
            offsets_retention: Duration::from_secs(604_800),
            protocol,
        });
        let members: Vec<_> = (0..members).map(|number| GroupMember::new(&member(number, assignors))).collect();
        let (node, out, agenda) = (Node::new(NodeId::new(0), &deployment), Outbox::default(), BinaryHeap::new());
        let owned = Owned { by_member: vec![0; members.len()], ..Owned::default() };
        Bench { now: Time::ZERO, node, members, out, owned, agenda }
    }

    fn start(&mut self, number: usize) {
        self.members[number].start(self.now, &mut self.out, &mut self.owned);
        self.carry_out();
        self.schedule(number);
    }

    fn schedule(&mut self, machine: usize) {
        let member = self.members.get(machine).map(GroupMember::next_timeout);
        if let Some(at) = member.unwrap_or_else(|| self.node.next_timeout()) {
            self.agenda.push(Reverse((at, machine)));
        }
    }

    fn carry_out(&mut self) {
        let before = self.node.next_timeout();
        while let Some(effect) = self.out.pop() {
            let Effect::Send { from, to, message } = effect else { continue };
            match to {
                Address::Client(client) => {
                    let member = &mut self.members[client.index()];
                    let before = member.next_timeout();
                    member.handle_message(self.now, message, &mut self.out, &mut self.owned);
                    if member.next_timeout() != before {
                        self.schedule(client.index());
                    }
                }
                _ => self.node.handle_message(self.now, from, message, &mut self.out, &mut self.owned),
            }
        }
        if self.node.next_timeout() != before {
            self.schedule(self.members.len());
        }
    }

    /// Goes on until every partition has an owner, and every member that was started has a partition.
    fn settle(&mut self, started: usize) {
        while self.owned.partitions < self.members.len() || self.owned.owners < started {
            let Reverse((at, machine)) = self.agenda.pop().expect("members send heartbeats");
            self.now = self.now.max(at);
            match self.members.get_mut(machine) {
                Some(member) if member.next_timeout().is_some_and(|due| due <= self.now) => {
                    member.handle_timeout(self.now, &mut self.out, &mut self.owned);
                }
                None if self.node.next_timeout().is_some_and(|due| due <= self.now) => {
                    self.node.handle_timeout(self.now, &mut self.out, &mut self.owned);
                }
                _ => continue,
            }
            self.carry_out();
            self.schedule(machine);
        }
    }
}

/// All but one join, then the last: milliseconds for each of the two.
pub fn rebalance(members: u32, assignors: &[Assignor], protocol: GroupProtocol) -> [f64; 2] {
    let mut bench = Bench::new(members, assignors, protocol);
    let millis = |since: Instant| since.elapsed().as_secs_f64() * 1e3;
    let since = Instant::now();
    for number in 0..members as usize - 1 {
        bench.start(number);
    }
    bench.settle(members as usize - 1);
    let all = millis(since);
    let since = Instant::now();
    bench.start(members as usize - 1);
    bench.settle(members as usize);
    [all, millis(since)]
}
