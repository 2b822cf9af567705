//! The member of a quorum queue's group that a node has: it talks to the others, applies what all have agreed on, and
//! where it leads it sees to what nobody asks for.

use std::collections::BTreeMap;

use brokerlab_event::{Event, NodeId, Observer, Offset, StoreId, Time};

use super::super::QueueSide;
use super::super::lifetimes::Timer;
use crate::message::{Address, Effect, Message, Told};
use crate::node::Context;
use crate::quorum::{self, Agreed, Command, GroupMember, GroupMessage, Order, Reception};
use crate::raft::{Body, Entry, EntryKind, Out, Output};

impl<P: Clone> QueueSide<P> {
    /// The member of a group that is here does something, and what it wants is passed on.
    fn with_member<O: Observer>(
        &mut self,
        index: usize,
        context: &mut Context<'_, P, O>,
        deed: impl FnOnce(&mut GroupMember<P>, &mut Out<Order<P>, Agreed<P>>),
    ) {
        let store = self.queues[index].config.store;
        let replica = self.replica(index);
        let Some(member) = &mut replica.member else { return };
        deed(member, &mut replica.out);
        let election = member.next_timeout();
        for output in replica.out.drain(..) {
            match output {
                Output::Flush(until) => context.out.push(Effect::Flush { node: context.node, store, until }),
                Output::Send(to, message) => {
                    let message = Message::QuorumGroup { store, message: Box::new(message) };
                    context.send(Address::Node(to), message);
                }
            }
        }
        self.timers.set_or_clear(Timer::Election.number(index), election);
    }

    /// Appends an order, where the member that is here leads. It is carried out once the group has agreed.
    pub(super) fn submit<O: Observer>(&mut self, index: usize, order: Order<P>, context: &mut Context<'_, P, O>) {
        let now = context.now;
        self.with_member(index, context, |member, out| {
            if member.is_leader() {
                member.submit(now, order, out);
            }
        });
    }

    fn submit_own<O: Observer>(&mut self, index: usize, command: Command<P>, context: &mut Context<'_, P, O>) {
        self.submit(index, Order { origin: None, command }, context);
    }

    /// A node asks for something. One that takes this one for the leader by mistake will hear of the real one.
    pub(in super::super) fn take_order<O: Observer>(
        &mut self,
        store: StoreId,
        order: Order<P>,
        context: &mut Context<'_, P, O>,
    ) {
        if let Some(index) = self.hosted(store) {
            self.submit(index, order, context);
        }
    }

    /// Another member says something.
    pub(in super::super) fn member_spoke<O: Observer>(
        &mut self,
        from: NodeId,
        store: StoreId,
        message: GroupMessage<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(index) = self.hosted(store) else { return };
        let replaces = matches!(message.body, Body::Install { .. });
        let before = if replaces { self.bytes_held(index) } else { 0 };
        let now = context.now;
        self.with_member(index, context, |member, out| member.handle(now, from, message, out));
        if replaces {
            self.memory.held = self.memory.held - before + self.bytes_held(index);
        }
        self.apply_agreed(index, context);
    }

    fn bytes_held(&self, index: usize) -> u64 {
        self.queues[index].messages().into_iter().map(|(_, publication)| u64::from(publication.envelope.size)).sum()
    }

    /// The disk has the log of a member up to this place.
    pub(in super::super) fn log_flushed<O: Observer>(
        &mut self,
        index: usize,
        until: Offset,
        context: &mut Context<'_, P, O>,
    ) {
        self.with_member(index, context, |member, out| member.flushed(until, out));
        self.apply_agreed(index, context);
        self.bury(context);
    }

    /// Somebody has to be elected.
    pub(in super::super) fn elect<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let now = context.now;
        self.with_member(index, context, |member, out| member.handle_timeout(now, out));
        self.apply_agreed(index, context);
    }

    /// Something is due in the queue.
    pub(in super::super) fn tick<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let replica = self.replica(index);
        if replica.serves() {
            self.submit_tick(index, context);
        } else if replica.is_alone() {
            // It leads as soon as it is back.
            self.take_over(index, context);
        }
    }

    fn submit_tick<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        self.replica(index).ticks = true;
        self.submit_own(index, Command::Tick, context);
    }

    /// Carries out what the group has agreed on.
    fn apply_agreed<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let mut answers = Answers::new();
        while let Some((at, entry)) = self.replica(index).member.as_mut().and_then(|member| member.next_committed()) {
            self.apply(index, at, entry, &mut answers, context);
        }
        let replica = self.replica(index);
        let (serves, queue) = (replica.serves(), replica.queue());
        let next = queue.and_then(|queue| queue.next_timeout()).filter(|_| serves && !replica.ticks);
        let (store, term) = (self.queues[index].config.store, self.replica(index).term());
        self.timers.set_or_clear(Timer::Head.number(index), next);
        for (node, told) in answers {
            context.send(Address::Node(node), Message::QuorumTold { store, term, told });
        }
    }

    fn apply<O: Observer>(
        &mut self,
        index: usize,
        at: Offset,
        entry: Entry<Order<P>>,
        answers: &mut Answers<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let store = self.queues[index].config.store;
        let replica = self.queues[index].replica.as_mut().expect("only quorum queues have replicas");
        let is_news = replica.is_alone() || context.observer.is_news(store, at);
        let serves = replica.serves();
        let member = replica.member.as_mut().expect("somebody has applied it");
        let begins = matches!(entry.kind, EntryKind::Begin);
        let order = match entry.kind {
            EntryKind::Begin => Order { origin: None, command: Command::ReturnAll },
            EntryKind::Command(order) => order,
            EntryKind::Readmit(_) => return,
        };
        if matches!(order.command, Command::Tick) {
            replica.ticks = false;
        }
        let mut effects = Vec::new();
        let origin = order.origin.filter(|_| serves);
        let reception = member.state.apply(at.get() + 1, entry.time, order, &mut effects);
        let leads = member.is_leader();
        let mut answer = match (origin, reception) {
            (Some((home, number)), Reception::Done | Reception::Repeated) => Some((home.node, number)),
            _ => None,
        };
        for effect in effects {
            let stored = matches!(effect, quorum::Effect::Enqueued { .. });
            self.note(index, &effect, is_news, context);
            if serves {
                self.direct(index, effect, answers, context);
            }
            // A message is confirmed before it is handed out.
            if stored && let Some((node, number)) = answer.take() {
                self.tell(index, node, Told::Carried(number), answers, context);
            }
        }
        if let Some((node, number)) = answer {
            self.tell(index, node, Told::Carried(number), answers, context);
        }
        if begins && leads {
            self.take_over(index, context);
        }
    }

    /// Passes on what channels are to hear of.
    fn direct<O: Observer>(
        &mut self,
        index: usize,
        effect: quorum::Effect<P>,
        answers: &mut Answers<P>,
        context: &mut Context<'_, P, O>,
    ) {
        use quorum::Effect::*;
        let home = match &effect {
            Delivered { consumer, .. }
            | GetAnswered { consumer, .. }
            | GetRefused { consumer }
            | ConsumerTimedOut { consumer, .. } => consumer.session.home,
            PublishingStopped(session) | PublishingResumed(session) => session.home,
            DeadLettered(_) => self.neighbours.home,
            _ => return,
        };
        // Those of earlier lives of a node hear nothing.
        if self.neighbours.lives_over(home.node) <= home.start {
            self.tell(index, home.node, Told::Effect(effect), answers, context);
        }
    }

    /// Tells a node something, which may be this one.
    fn tell<O: Observer>(
        &mut self,
        index: usize,
        node: NodeId,
        told: Told<P>,
        answers: &mut Answers<P>,
        context: &mut Context<'_, P, O>,
    ) {
        if node == context.node {
            self.hear(index, told, context);
        } else {
            answers.entry(node).or_default().push(told);
        }
    }

    /// The member that is here leads from now on: whoever is gone is dead to the queue, what became of dead letters that
    /// were under way nobody knows, and all nodes are told.
    fn take_over<O: Observer>(&mut self, index: usize, context: &mut Context<'_, P, O>) {
        let replica = self.replica(index);
        let member = replica.member.as_ref().expect("only members lead");
        replica.taken_over = Some(member.term());
        let homes = member.state.queue.sessions().into_iter().map(|session| session.home);
        let mut homes: Vec<_> = homes.collect();
        homes.dedup();
        homes.retain(|home| home.start < self.neighbours.lives_over(home.node));
        let mut nodes: Vec<NodeId> = homes.iter().map(|home| home.node).collect();
        nodes.sort_unstable();
        nodes.dedup();
        for node in nodes {
            let starts = self.neighbours.lives_over(node);
            self.submit_own(index, Command::NodeDown { node, starts }, context);
        }
        self.submit_own(index, Command::RestartDeadLettering, context);
        self.submit_tick(index, context);
        for node in self.neighbours.others().chain([context.node]).collect::<Vec<_>>() {
            self.announce(index, node, context);
        }
    }

    /// Tells a node that the member which is here leads.
    fn announce<O: Observer>(&mut self, index: usize, node: NodeId, context: &mut Context<'_, P, O>) {
        let store = self.queues[index].config.store;
        let replica = self.replica(index);
        let term = replica.term();
        let queue = replica.queue().expect("only members lead");
        let sessions = queue.sessions().into_iter();
        let stopped = sessions.filter(|own| own.home.node == node && queue.publishing_stopped(*own)).collect();
        if node == context.node {
            self.follow_leader(node, store, (term, stopped), context);
        } else {
            context.send(Address::Node(node), Message::QuorumLeads { store, term, stopped });
        }
    }

    /// The quorum queues that have members on other nodes.
    fn groups(&self) -> Vec<usize> {
        let groups = self.queues.iter().enumerate();
        let groups = groups.filter(|(_, hosted)| hosted.replica.as_ref().is_some_and(|own| !own.is_alone()));
        groups.map(|(index, _)| index).collect()
    }

    /// The connection with another node has ended: whoever was connected there is dead to the queues that are led here.
    pub(in super::super) fn node_is_lost<O: Observer>(&mut self, node: NodeId, context: &mut Context<'_, P, O>) {
        let now = context.now;
        for index in self.groups() {
            self.with_member(index, context, |member, _| member.lost(now, node));
            let agent = &mut self.replica(index).agent;
            agent.leader = agent.leader.filter(|leader| *leader != node);
            self.bury_node(index, node, context);
        }
    }

    /// Nothing has been heard of another node for too long.
    pub(in super::super) fn node_is_suspected<O: Observer>(&mut self, node: NodeId, context: &mut Context<'_, P, O>) {
        let now = context.now;
        for index in self.groups() {
            self.with_member(index, context, |member, _| member.suspected(now, node));
            self.bury_node(index, node, context);
        }
    }

    fn bury_node<O: Observer>(&mut self, index: usize, node: NodeId, context: &mut Context<'_, P, O>) {
        if self.replica(index).serves() {
            let starts = self.neighbours.lives_over(node);
            self.submit_own(index, Command::NodeDown { node, starts }, context);
        }
    }

    /// Another node is there again.
    pub(in super::super) fn node_is_back<O: Observer>(&mut self, node: NodeId, context: &mut Context<'_, P, O>) {
        for index in self.groups() {
            self.with_member(index, context, |member, out| member.heard_again(node, out));
            if self.replica(index).serves() {
                self.announce(index, node, context);
            }
        }
    }

    /// When a member that has come back has its first turn.
    pub(in super::super) fn first_turn(&self, index: usize, now: Time) -> (Option<Time>, Option<Time>) {
        let replica = self.queues[index].replica.as_ref().expect("only quorum queues have replicas");
        let Some(member) = &replica.member else { return (None, None) };
        (member.is_leader().then_some(now), member.next_timeout())
    }

    /// Tells what has happened to the queue, where nobody else has, and accounts for it.
    fn note<O: Observer>(
        &mut self,
        index: usize,
        effect: &quorum::Effect<P>,
        is_news: bool,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(event) = self.event_of(index, effect) else { return };
        match event {
            Event::Stored { size, .. } => self.memory.held += u64::from(size.get()),
            Event::Removed { size, .. } => self.memory.held -= u64::from(size.get()),
            _ => {}
        }
        if let Event::Removed { offset, .. } | Event::Requeued { offset, .. } = event {
            self.replica(index).agent.held.remove(&offset);
        }
        if is_news {
            context.observe(event);
        }
    }
}

/// What other nodes are told of, each in order.
type Answers<P> = BTreeMap<NodeId, Vec<Told<P>>>;
