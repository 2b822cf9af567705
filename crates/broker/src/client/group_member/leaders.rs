//! The part of a group member that finds the leaders of its partitions, and keeps a connection with each.

use brokerlab_event::{Event, NodeId, Observer, StoreId, Time};

use super::{GroupMember, Phase, RECONNECT_BACKOFF, RETRY_BACKOFF};
use crate::message::{Address, Message, Outbox, PartitionLeader, Position};

/// A connection with a node, and what is awaited on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Link {
    pub node: NodeId,
    /// It broke, and there is no other yet.
    pub is_cut_off: bool,
    /// When another is tried.
    pub reconnect_at: Option<Time>,
    /// The fetch that is awaited.
    pub fetching: Option<u32>,
}

impl Link {
    pub fn new(node: NodeId) -> Link {
        Link { node, is_cut_off: false, reconnect_at: None, fetching: None }
    }
}

/// Who leads a partition.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Leader {
    /// The place of the connection with it, if anybody is known to lead.
    place: Option<usize>,
    epoch: u32,
}

impl<P: Clone> GroupMember<P> {
    /// True where it has a connection with this node, or believes so. With its coordinator it always tries to have one.
    pub fn is_connected_to(&self, node: NodeId) -> bool {
        let is_it = |link: &Link| link.node == node && !(link.is_cut_off && link.reconnect_at.is_some());
        self.links[0].node == node || self.links[1..].iter().any(is_it)
    }

    /// Without a connection nothing is sent; what was asked is asked again on the next one.
    #[inline]
    pub(super) fn send_to(&self, link: usize, message: Message<P>, out: &mut Outbox<P>) {
        let Link { node, is_cut_off, .. } = self.links[link];
        if !is_cut_off {
            out.send(Address::Client(self.client), Address::Node(node), message);
        }
    }

    /// The place of the connection with whoever leads a partition, as far as is known.
    #[inline]
    pub(super) fn leader_of(&self, store: StoreId) -> Option<usize> {
        if self.config.is_cluster { self.leaders.get(&store)?.place } else { Some(0) }
    }

    /// The node that was thought to lead a partition does not.
    #[cold]
    pub(super) fn forget_leader(&mut self, store: StoreId, now: Time) {
        if let Some(leader) = self.leaders.get_mut(&store) {
            leader.place = None;
            self.refresh_soon(now);
        }
    }

    /// Somebody else may lead a partition: asks again, after a while.
    fn refresh_soon(&mut self, now: Time) {
        if self.config.is_cluster {
            let soon = now.saturating_add(RETRY_BACKOFF);
            self.refresh_at = Some(self.refresh_at.map_or(soon, |at| at.min(soon)));
        }
    }

    /// The partitions of which it should know the leaders.
    pub(super) fn followed(&self) -> impl Iterator<Item = StoreId> {
        self.told.keys().copied().chain(self.owned.iter().map(|owned| owned.store))
    }

    /// One of those that nobody leads, as far as it knows.
    pub(super) fn without_leader(&self) -> Option<StoreId> {
        self.followed().find(|store| self.leader_of(*store).is_none())
    }

    /// Takes note of who leads, connects to those, and asks them what has waited for that.
    pub(super) fn learn_leaders(&mut self, now: Time, partitions: &[PartitionLeader], out: &mut Outbox<P>) {
        for news in partitions {
            let known = self.leaders.get(&news.store).copied().unwrap_or_default();
            if news.epoch >= known.epoch {
                let place = news.leader.map(|node| self.connect_to(node, out));
                self.leaders.insert(news.store, Leader { place, epoch: news.epoch });
            }
        }
        for place in 1..self.links.len() {
            if self.links[place].is_cut_off && !self.is_needed(place) {
                self.links[place].reconnect_at = None;
                self.note_reconnect();
            }
        }
        if self.without_leader().is_some() {
            self.refresh_soon(now);
        }
        self.ask_leaders(now, out);
        self.find_ends(out);
        self.fetch(out);
    }

    /// The coordinator is there, or somebody who leads.
    fn is_needed(&self, place: usize) -> bool {
        place == 0 || self.leaders.values().any(|leader| leader.place == Some(place))
    }

    fn connect_to(&mut self, node: NodeId, out: &mut Outbox<P>) -> usize {
        let found = self.links.iter().position(|link| link.node == node);
        let place = found.unwrap_or_else(|| {
            self.links.push(Link { is_cut_off: true, ..Link::new(node) });
            self.links.len() - 1
        });
        let link = &mut self.links[place];
        if link.is_cut_off && link.reconnect_at.is_none() {
            link.is_cut_off = false;
            self.send_to(place, Message::Connect, out);
        }
        place
    }

    /// What the coordinator has told of partitions that others lead is of use only with what those know of their logs.
    /// Tells what is complete, and asks for the rest.
    pub(super) fn complete(&mut self, now: Time, positions: Vec<Position>, out: &mut Outbox<P>) -> Vec<Position> {
        let (mut complete, known) = (Vec::new(), self.told.len());
        for position in positions {
            match (position.is_coordinated, position.is_led) {
                (true, true) => complete.push(position),
                (true, false) => {
                    // Whoever was asked about it the last time has not answered, or does not lead.
                    if self.told.insert(position.store, position).is_some() {
                        self.refresh_soon(now);
                    }
                }
                // It is the answer of a leader, perhaps to a question that was asked twice.
                (false, _) => complete.extend(self.told.remove(&position.store).map(|told| Position {
                    committed: told.committed,
                    sought: told.sought,
                    is_unstable: told.is_unstable,
                    is_coordinated: true,
                    ..position
                })),
            }
        }
        if self.told.len() > known {
            self.ask_leaders(now, out);
        }
        if !self.told.is_empty() {
            self.ask_again(now);
        }
        complete
    }

    /// Who did not get an answer that helps asks again, after a while.
    pub(super) fn ask_again(&mut self, now: Time) {
        self.ask_again_at = Some(now.saturating_add(RETRY_BACKOFF));
    }

    /// Asks at once for leaders that it has never heard of.
    pub(super) fn look_for_leaders(&mut self, now: Time, out: &mut Outbox<P>) {
        let is_new = |store: &StoreId| !self.leaders.contains_key(store);
        if self.config.is_cluster && self.followed().any(|store| is_new(&store)) {
            self.refresh(now, out);
        }
    }

    /// Asks leaders for what only they know.
    fn ask_leaders(&self, now: Time, out: &mut Outbox<P>) {
        for place in 0..self.links.len() {
            let led = self.told.keys().copied().filter(|store| self.leader_of(*store) == Some(place));
            let stores: Vec<StoreId> = led.collect();
            if !stores.is_empty() {
                let (group, time) = (self.application, self.config.reset.time(now));
                self.send_to(place, Message::FindPositions { group, stores, time }, out);
            }
        }
    }

    /// True where this is the answer to a fetch that is awaited: the leader is asked for more then.
    #[inline]
    pub(super) fn is_awaited(&mut self, correlation: u32) -> bool {
        // Where there is one node, it is the first.
        let place = match self.links[0].fetching == Some(correlation) {
            true => Some(0),
            false => self.links.iter().position(|link| link.fetching == Some(correlation)),
        };
        place.map(|place| self.links[place].fetching = None).is_some()
    }

    fn note_reconnect(&mut self) {
        self.reconnect_at = self.links.iter().filter_map(|link| link.reconnect_at).min();
    }

    /// Tries other connections where it is time.
    #[cold]
    pub(super) fn reconnect(&mut self, now: Time, out: &mut Outbox<P>) {
        for link in &mut self.links {
            if link.reconnect_at.take_if(|at| *at <= now).is_some() {
                out.send(Address::Client(self.client), Address::Node(link.node), Message::Connect);
            }
        }
        self.note_reconnect();
    }

    /// A connection broke, or could not be made.
    pub(super) fn cut_off<O: Observer>(&mut self, now: Time, node: NodeId, observer: &mut O) {
        let Some(place) = self.links.iter().position(|link| link.node == node) else { return };
        let is_needed = self.is_needed(place);
        let link = &mut self.links[place];
        let was_up = !link.is_cut_off;
        link.is_cut_off = true;
        link.reconnect_at = is_needed.then(|| now.saturating_add(RECONNECT_BACKOFF));
        if place > 0 {
            link.fetching = None;
        }
        self.note_reconnect();
        if was_up && self.links.iter().all(|link| link.is_cut_off) {
            observer.observe(now, Event::ConnectionLost { client: self.client });
        }
        if is_needed {
            self.refresh_soon(now);
        }
    }

    /// A connection that was lost is there again.
    pub(super) fn restored<O: Observer>(&mut self, now: Time, node: NodeId, out: &mut Outbox<P>, observer: &mut O) {
        let Some(place) = self.links.iter().position(|link| link.node == node) else { return };
        if self.links.iter().all(|link| link.is_cut_off) {
            observer.observe(now, Event::Reconnected { client: self.client });
        }
        self.links[place].is_cut_off = false;
        if place == 0 {
            return self.reconnected(now, out, observer);
        }
        self.ask_leaders(now, out);
        self.find_ends(out);
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        } else {
            self.fetch(out);
        }
    }
}
