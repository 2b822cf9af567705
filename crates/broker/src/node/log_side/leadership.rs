//! Who leads the partitions of a cluster, as the controller says: this node takes over and resigns, and proposes who
//! is in sync.

use brokerlab_event::{Event, NodeId, Observer, StoreId, Time};

use super::hosted::{Leader, Role};
use super::{Context, LogSide};
use crate::message::{Address, LogError, Message, PartitionLeader, PartitionState};

impl<P: Clone + Default> LogSide<P> {
    /// The controller has told who leads partitions now.
    pub(super) fn partitions_changed<O: Observer>(
        &mut self,
        partitions: &[PartitionState],
        context: &mut Context<'_, P, O>,
    ) {
        for state in partitions {
            let PartitionState { store, leader, epoch, .. } = *state;
            self.learn_leader(PartitionLeader { store, leader, epoch });
            let Some(place) = self.place(state.store) else { continue };
            let hosted = &mut self.partitions[place];
            if state.epoch < hosted.log.epoch() {
                continue; // it was overtaken
            }
            let is_known = hosted.log.epoch() == state.epoch;
            match &mut hosted.role {
                Role::Leader(leader) if is_known && state.leader == Some(context.node) => {
                    let before: Vec<NodeId> = leader.replicas.in_sync().collect();
                    leader.has_proposed = false;
                    leader.replicas.set_in_sync(&state.in_sync);
                    let is_news = !leader.replicas.in_sync().eq(before);
                    self.advanced(place, context);
                    if is_news {
                        // Others may have caught up while this was being decided.
                        self.let_join(place, context);
                    }
                }
                _ if state.leader == Some(context.node) => self.lead(place, state, context),
                _ => self.follow(place, state, context),
            }
        }
    }

    /// The controller has told on whom it counts no more. Leaders do not wait for those to have what they had.
    pub(super) fn nodes_changed<O: Observer>(&mut self, fenced: Vec<NodeId>, context: &mut Context<'_, P, O>) {
        if fenced == self.fenced {
            return;
        }
        self.fenced = fenced;
        for place in 0..self.partitions.len() {
            if let Role::Leader(leader) = &mut self.partitions[place].role {
                leader.replicas.set_fenced(&self.fenced);
                self.advanced(place, context);
                // Whoever counts again may have asked already.
                self.let_join(place, context);
            }
        }
    }

    /// Takes note of who leads a partition, whether or not there is a copy here.
    pub(super) fn learn_leader(&mut self, news: PartitionLeader) {
        let index = news.store.index();
        self.leaders.resize(self.leaders.len().max(index + 1), None);
        if self.leaders[index].is_none_or(|known| known.epoch <= news.epoch) {
            self.leaders[index] = Some(news);
        }
    }

    /// The partitions of a topic, with who leads each as far as is known here.
    pub(super) fn leaders_of(&self, store: StoreId, node: NodeId) -> Vec<PartitionLeader> {
        let known = |store: StoreId| self.leaders.get(store.index()).copied().flatten();
        let leader = |store| match self.is_controlled {
            true => known(store).unwrap_or(PartitionLeader { store, leader: None, epoch: 0 }),
            false => PartitionLeader { store, leader: Some(node), epoch: 0 },
        };
        self.partitions_of(store).into_iter().map(leader).collect()
    }

    /// The node leads a partition from now on, and begins to append under a new epoch.
    fn lead<O: Observer>(&mut self, place: usize, state: &PartitionState, context: &mut Context<'_, P, O>) {
        let (node, now) = (context.node, context.now);
        let hosted = &mut self.partitions[place];
        let followers = state.replicas.iter().filter(|replica| **replica != node);
        let followers: Vec<_> = followers.map(|replica| (*replica, state.in_sync.contains(replica))).collect();
        let end = hosted.log.log().end();
        hosted.log.begin_epoch(state.epoch);
        let mut leader = Leader::new(hosted.rules, &followers, end, now);
        leader.replicas.set_fenced(&self.fenced);
        hosted.role = Role::Leader(leader);
        context.observe(Event::LeaderElected { store: hosted.store, node, end });
        if !followers.is_empty() && self.in_sync_check_at.is_none() {
            self.in_sync_check_at = Some(now.saturating_add(self.partitions[place].rules.check_interval()));
        }
        self.advanced(place, context);
    }

    /// Another node leads a partition, or nobody does. Who waits for this node is told to look for the leader.
    fn follow<O: Observer>(&mut self, place: usize, state: &PartitionState, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        if let Role::Follower { leader, .. } = &hosted.role
            && *leader == state.leader
            && hosted.log.epoch() == state.epoch
        {
            return;
        }
        hosted.log.follow(state.epoch);
        hosted.role = Role::follower(state.leader);
        let store = hosted.store;
        let waiting = hosted.until_written.drain(..).chain(hosted.until_replicated.drain(..));
        for ack in waiting {
            let message = Message::Produced { store, correlation: ack.correlation, result: Err(LogError::NotLeader) };
            context.send(Address::Client(ack.client), message);
        }
        for reader in std::mem::take(&mut self.partitions[place].readers) {
            let waits = self.fetches.of(reader).is_some_and(|fetch| fetch.positions.iter().any(|at| at.store == store));
            if waits && let Some(fetch) = self.fetches.take(reader) {
                self.answer(reader, fetch, context);
            }
        }
        self.ask_leader(place, context);
    }

    /// Proposes those that wait for something new, and so have all that there is, where they are not in sync.
    fn let_join<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let (end, high_watermark) = (hosted.log.log().written(), hosted.log.high_watermark());
        let Role::Leader(leader) = &mut hosted.role else { return };
        let mut joins = false;
        for asking in &leader.asking {
            joins |= leader.replicas.fetched(asking.node, asking.offset, end, high_watermark, context.now);
        }
        if joins {
            self.propose_in_sync(place, context);
        }
    }

    /// Proposes the followers that are in sync or may join them, and leaves out those that lag.
    pub(super) fn propose_in_sync<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let (end, now) = (hosted.log.log().written(), context.now);
        let Role::Leader(leader) = &mut hosted.role else { return };
        if leader.has_proposed {
            return;
        }
        let lagging: Vec<NodeId> = leader.replicas.lagging(end, now).collect();
        let followers = leader.replicas.in_sync().chain(leader.replicas.joining());
        let followers = followers.filter(|node| !lagging.contains(node));
        let mut in_sync: Vec<NodeId> = std::iter::once(context.node).chain(followers).collect();
        in_sync.sort_unstable();
        leader.has_proposed = true;
        let (store, epoch) = (hosted.store, hosted.log.epoch());
        context.send(Address::Controller, Message::AlterInSync { store, epoch, in_sync });
    }

    /// Looks whether followers lag, or may join after all, twice in the time that they may lag
    /// (`replica.lag.time.max.ms`).
    pub(super) fn check_in_sync<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        if self.in_sync_check_at.is_none_or(|at| at > context.now) {
            return;
        }
        self.in_sync_check_at = None;
        for place in 0..self.partitions.len() {
            let hosted = &self.partitions[place];
            let Role::Leader(leader) = &hosted.role else { continue };
            let interval = hosted.rules.check_interval();
            if leader.replicas.lagging(hosted.log.log().written(), context.now).next().is_some() {
                self.propose_in_sync(place, context);
            }
            self.let_join(place, context);
            let Role::Leader(leader) = &self.partitions[place].role else { continue };
            if leader.replicas.has_followers() {
                let at = context.now.saturating_add(interval);
                self.in_sync_check_at = Some(self.in_sync_check_at.map_or(at, |other: Time| other.min(at)));
            }
        }
    }
}
