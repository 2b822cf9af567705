//! A consumer of a group, working as Kafka's clients do: it learns of a rebalance by heartbeat, and acts on it at its
//! next poll, after the work on what the last poll returned.

mod committing;
mod fetching;
mod leaders;
mod refreshing;
mod retrying;
mod session;
mod share;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use brokerlab_event::{
    ApplicationId, ClientId, Departure, Duration, Event, FailureLaw, Observer, Offset, StoreId, Time,
};

use self::leaders::{Leader, Link};
use super::Worker;
use super::reading::{AutoCommit, InHand, Owned};
use crate::config::{CommitPolicy, ConsumerConfig, ConsumerKind, GroupMemberConfig};
use crate::message::{FetchPosition, FetchedPartition, GroupError, Member, Message, Outbox, Position};

/// Where a membership stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Membership {
    /// The process is down.
    Down,
    /// It waits for the join to complete.
    Joining,
    /// It waits for its assignment.
    Syncing,
    /// It waits to be told where to start reading.
    Positioning,
    /// It reads.
    Active,
}

/// What the application does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It stands in a poll that has nothing to return.
    Polling,
    /// It works on the front of the batch.
    Working,
    /// It waits for this commit to be acknowledged.
    Committing { correlation: u32 },
    /// It waits for the front of the batch to be stored elsewhere, with this request.
    SettingAside { correlation: u32, target: StoreId },
}

/// Why the membership must begin anew at the next poll.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Rejoin {
    /// The group is being rebalanced: the partitions are still its own until it joins again.
    Rebalance,
    /// Its generation is over: the partitions are somebody else's.
    Lost,
    /// The coordinator does not know it any more.
    Expelled,
}

/// A consumer on the log side.
#[derive(Clone, Debug)]
pub struct GroupMember<P> {
    client: ClientId,
    name: Arc<str>,
    application: ApplicationId,
    /// The first is with its coordinator.
    links: Vec<Link>,
    /// Who leads which partition; nothing where there is one node only.
    leaders: BTreeMap<StoreId, Leader>,
    /// What the coordinator has told of partitions whose leaders have still to be asked.
    told: BTreeMap<StoreId, Position>,
    config: GroupMemberConfig,
    failures: Option<FailureLaw>,
    worker: Worker,
    membership: Membership,
    phase: Phase,
    /// Which of this client's memberships it is; grows with every start and every expulsion.
    incarnation: u32,
    /// The first membership of this process.
    born: u32,
    generation: u32,
    owned: Vec<Owned<P>>,
    /// Where a partition was found last among them: what is said of others mostly comes in their order.
    recent: usize,
    /// Given to it, and not read before the broker has told from where.
    awaited: Vec<StoreId>,
    /// What the coordinator has given it, until a poll takes note of that.
    assignment: Option<Vec<StoreId>>,
    /// What it owned before it gave everything back.
    had: Vec<StoreId>,
    /// Partitions with records that no poll has returned, in the order in which they came.
    buffered: VecDeque<StoreId>,
    /// What the last poll returned and the application has not done.
    batch: VecDeque<InHand>,
    /// How often the front of the batch has failed.
    attempts: u32,
    /// When a record may be returned that is to be tried again, of those that are here.
    due_at: Option<Time>,
    rejoin: Option<Rejoin>,
    /// The group was sent elsewhere; its next poll asks where.
    asks_where: bool,
    /// A partition that may not be read anywhere; its next poll throws.
    stranded: Option<StoreId>,
    correlation: u32,
    /// Memory of the last fetch request.
    positions: Vec<FetchPosition>,
    /// Memory of the last answer to one.
    spare: Vec<FetchedPartition<P>>,
    /// Memory of the last commit; there is nothing in it.
    offsets: Vec<(StoreId, Offset)>,
    next_heartbeat: Option<Time>,
    /// With automatic commits, while it reads.
    automatic: Option<AutoCommit>,
    last_poll: Time,
    /// It has been too long between polls and has left its group.
    has_left: bool,
    /// When another connection is tried.
    reconnect_at: Option<Time>,
    /// When it asks which partitions there are.
    refresh_at: Option<Time>,
    /// The partitions of the first topic as it has dealt them out, while it leads the group.
    dealt: Option<Vec<StoreId>>,
    /// When it asks once more where to start, because an open transaction was about to say something else.
    ask_again_at: Option<Time>,
}

/// How long it waits before it connects again (`reconnect.backoff.ms`).
pub(super) const RECONNECT_BACKOFF: Duration = Duration::from_millis(50);

/// How long it waits before it asks again for a committed offset that is about to change (`retry.backoff.ms`).
const RETRY_BACKOFF: Duration = Duration::from_millis(100);

impl<P: Clone> GroupMember<P> {
    /// A consumer that is down.
    ///
    /// # Panics
    /// Panics where the configuration is that of a subscriber.
    pub fn new(config: &ConsumerConfig) -> GroupMember<P> {
        let ConsumerKind::Group(own) = &config.kind else {
            panic!("a subscriber is pushed to; it is another machine");
        };
        GroupMember {
            client: config.client,
            name: config.name.clone(),
            application: config.application,
            links: vec![Link::new(config.node)],
            leaders: BTreeMap::new(),
            told: BTreeMap::new(),
            config: own.clone(),
            failures: config.failures,
            worker: Worker::new(config.client, config.work),
            membership: Membership::Down,
            phase: Phase::Polling,
            incarnation: 0,
            born: 0,
            generation: 0,
            owned: Vec::new(),
            recent: 0,
            awaited: Vec::new(),
            assignment: None,
            had: Vec::new(),
            buffered: VecDeque::new(),
            batch: VecDeque::new(),
            attempts: 0,
            due_at: None,
            rejoin: None,
            asks_where: false,
            stranded: None,
            correlation: 0,
            positions: Vec::new(),
            spare: Vec::new(),
            offsets: Vec::new(),
            next_heartbeat: None,
            automatic: None,
            last_poll: Time::ZERO,
            has_left: false,
            reconnect_at: None,
            refresh_at: None,
            dealt: None,
            ask_again_at: None,
        }
    }

    fn member(&self) -> Member {
        Member { client: self.client, incarnation: self.incarnation }
    }

    #[inline]
    fn send(&self, message: Message<P>, out: &mut Outbox<P>) {
        self.send_to(0, message, out);
    }

    /// The process starts, connects and joins its group.
    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        observer.observe(now, Event::Connected { client: self.client });
        self.send(Message::Connect, out);
        self.incarnation += 1;
        self.born = self.incarnation;
        self.last_poll = now;
        self.generation = 0;
        self.refresh(now, out);
        self.join(now, out);
    }

    /// The process dies with what it holds. Its group learns of that when its session ends.
    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        if self.membership == Membership::Down {
            return; // an exception has ended it before
        }
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Crashed });
    }

    /// The process ends in good order. It stops where it stands, goes back to the first record that it has not
    /// done, and closes: with automatic commits, that position is committed.
    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.membership == Membership::Down {
            return; // an exception has ended it before
        }
        while let Some(InHand { store, offset, .. }) = self.batch.pop_back() {
            if let Some(owned) = self.owned.iter_mut().find(|owned| owned.store == store) {
                owned.position = offset;
            }
        }
        if self.is_automatic() && self.rejoin < Some(Rejoin::Lost) {
            self.commit_positions(out);
        }
        if !self.has_left {
            self.say_goodbye(out);
        }
        (0..self.links.len()).for_each(|link| self.send_to(link, Message::Disconnect, out));
        self.revoke(now, observer);
        self.stop();
        observer.observe(now, Event::Disconnected { client: self.client, cause: Departure::Left });
    }

    fn stop(&mut self) {
        self.worker.abandon();
        self.owned.clear();
        self.buffered.clear();
        self.batch.clear();
        self.membership = Membership::Down;
        self.phase = Phase::Polling;
        (self.rejoin, self.stranded, self.has_left) = (None, None, false);
        self.links = vec![Link::new(self.links[0].node)];
        self.leaders.clear();
        self.told.clear();
        (self.next_heartbeat, self.automatic, self.due_at, self.assignment) = (None, None, None, None);
        self.awaited.clear();
        self.had.clear();
        (self.asks_where, self.ask_again_at) = (false, None);
        (self.reconnect_at, self.refresh_at, self.dealt) = (None, None, None);
    }

    /// The process, to be paused or slowed. While it stands still it sends no heartbeats either; once it goes on,
    /// whatever has become due meanwhile is done at once.
    pub fn worker(&mut self) -> &mut Worker {
        &mut self.worker
    }

    /// The group was [sent elsewhere](crate::Node::seek). The application asks where to, of every partition that it
    /// owns, with its next poll, and commits the new positions at once. One that is down will be told when it is given
    /// partitions.
    pub fn ask_where<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.asks_where = self.membership != Membership::Down;
        if self.membership == Membership::Active && self.phase == Phase::Polling && !self.worker.is_paused() {
            self.poll(now, out, observer);
        }
    }

    /// How many messages it holds that are not done.
    pub fn unsettled(&self) -> u64 {
        let fetched: usize = self.owned.iter().map(|owned| owned.unpolled().count()).sum();
        (self.batch.len() + fetched) as u64
    }

    /// At the end of a run: tells what it holds.
    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        let fetched = self.owned.iter().flat_map(Owned::unpolled);
        for message in self.batch.iter().map(|in_hand| in_hand.message).chain(fetched) {
            observer.observe(now, Event::Remaining { message, application: self.application });
        }
    }

    /// Handles one message.
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        mut message: Message<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        self.handle(now, &mut message, out, observer);
    }

    /// Handles one message where it is. What is left of it means nothing.
    #[inline]
    pub fn handle<O: Observer>(&mut self, now: Time, message: &mut Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        if self.membership == Membership::Down {
            return;
        }
        match message {
            Message::Fetched { correlation, partitions, positions } => {
                if self.is_awaited(*correlation) {
                    std::mem::swap(&mut self.positions, positions);
                    self.fetched(now, partitions, out, observer);
                }
            }
            // Good news.
            Message::HeartbeatAnswer { result: Ok(()), .. } => {}
            seldom => self.handle_seldom(now, seldom.take(), out, observer),
        }
    }

    /// What comes with a rebalance, a commit or an error.
    #[inline(never)]
    fn handle_seldom<O: Observer>(&mut self, now: Time, message: Message<P>, out: &mut Outbox<P>, observer: &mut O) {
        match message {
            Message::OffsetsCommitted { correlation, member, generation, offsets, result, .. }
                if member.incarnation >= self.born =>
            {
                // An epoch may have changed since, and the commit is still about what is its own.
                let is_current = generation == self.generation || self.is_assigned_by_coordinator();
                let is_current = is_current && member == self.member();
                let waits = self.phase == Phase::Committing { correlation };
                match result {
                    Ok(()) => self.committed(now, offsets, is_current, waits, out, observer),
                    // By now it knows the epoch that counts.
                    Err(GroupError::StaleMemberEpoch) if is_current && waits && generation != self.generation => {
                        let correlation = self.commit(offsets, out);
                        self.phase = Phase::Committing { correlation };
                    }
                    Err(error) if is_current => self.not_committed(now, error, waits, out, observer),
                    Err(_) => {}
                }
            }
            Message::HeartbeatAnswer { member, generation, result: Err(error), .. }
                if member == self.member() && generation == self.generation =>
            {
                self.turned_away(now, error, out, observer);
            }
            Message::Joined { member, generation, assignor, members, topics, .. }
                if member == self.member() && self.membership == Membership::Joining =>
            {
                self.joined(now, generation, assignor, &members, &topics, out);
            }
            Message::JoinRefused { member, .. } if member == self.member() => self.give_up(now, out, observer),
            Message::GroupHeartbeatAnswer { member, result, .. } if member == self.member() && !self.has_left => {
                self.beaten(now, result, out, observer);
            }
            Message::Synced { member, generation, result, .. }
                if member == self.member()
                    && generation == self.generation
                    && self.membership == Membership::Syncing =>
            {
                self.synced(now, result, out, observer);
            }
            Message::Produced { correlation, result, .. } => {
                self.stored_elsewhere(now, correlation, result.is_ok(), out, observer)
            }
            Message::Partitions { partitions } => self.learn_partitions(now, &partitions, out, observer),
            Message::EpochEnds { ends } => self.learn_ends(now, &ends, out, observer),
            Message::Positions { positions, .. } => {
                let positions = self.complete(now, positions, out);
                self.positioned(now, &positions, out, observer);
                self.look_for_leaders(now, out);
            }
            Message::ConnectionBroken { node } => self.cut_off(now, node, observer),
            Message::ConnectionRestored { node } => self.restored(now, node, out, observer),
            // Answers to what is no longer asked.
            _ => {}
        }
    }

    /// Does what is due: finishes work, sends heartbeats, commits while it waits, leaves after too long a time.
    #[inline]
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.worker.is_paused() {
            return;
        }
        if self.reconnect_at.is_some_and(|at| at <= now) {
            self.reconnect(now, out);
        }
        if self.refresh_at.is_some_and(|at| at <= now) {
            self.refresh(now, out);
        }
        if self.ask_again_at.take_if(|at| *at <= now).is_some() {
            if !self.awaited.is_empty() {
                self.find_positions(self.awaited.clone(), self.config.reset.time(now), out);
            }
            if self.config.is_cluster {
                self.find_lost(now, out);
                self.find_ends(out);
            }
        }
        if self.poll_deadline().is_some_and(|at| at <= now) {
            self.leave_after_too_long(out);
        }
        if self.next_heartbeat.is_some_and(|at| at <= now) {
            self.show_life(now, out);
        }
        // Work that takes no time is done at once, one record after the other.
        while self.worker.finish(now) {
            self.worked(now, out, observer);
        }
        if self.idle_commit().is_some_and(|at| at <= now) {
            self.poll(now, out, observer);
        }
    }

    /// When the next of these is due.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        if self.worker.is_paused() {
            return None;
        }
        let or_never = |at: Option<Time>| at.unwrap_or(Time::MAX);
        let of_phase = if self.phase == Phase::Polling { self.idle_commit() } else { self.poll_deadline() };
        let next = or_never(self.worker.done_at())
            .min(or_never(self.next_heartbeat))
            .min(or_never(self.reconnect_at))
            .min(or_never(self.refresh_at))
            .min(or_never(self.ask_again_at))
            .min(or_never(of_phase));
        (next < Time::MAX).then_some(next)
    }

    /// A poll that waits commits automatically from time to time, and returns what becomes due; otherwise the next
    /// poll does.
    fn idle_commit(&self) -> Option<Time> {
        let polls = self.membership == Membership::Active && self.phase == Phase::Polling;
        let commit = self.automatic.map(|automatic| automatic.next());
        if polls { [commit, self.due_at].into_iter().flatten().min() } else { None }
    }

    /// When the application has been away from its poll for too long.
    fn poll_deadline(&self) -> Option<Time> {
        let away = self.phase != Phase::Polling && !self.has_left;
        away.then(|| self.last_poll.saturating_add(self.config.max_poll_interval))
    }

    fn show_life(&mut self, now: Time, out: &mut Outbox<P>) {
        if self.is_assigned_by_coordinator() {
            return self.beat(now, None, out);
        }
        self.next_heartbeat = Some(now.saturating_add(self.config.heartbeat_interval));
        let (group, member, generation) = (self.application, self.member(), self.generation);
        self.send(Message::Heartbeat { group, member, generation }, out);
    }

    /// Whether it may read what it owns.
    fn reads(&self) -> bool {
        match self.membership {
            Membership::Active => true,
            Membership::Down => false,
            Membership::Joining | Membership::Syncing | Membership::Positioning => self.keeps_reading(),
        }
    }

    /// The application asks for records: first a rebalance is joined and what is due committed; then what is
    /// there is returned, while the next fetch is under way.
    fn poll<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.last_poll = now;
        self.phase = Phase::Polling;
        if let Some(store) = self.stranded {
            return self.strand(now, store, out, observer);
        }
        if self.assignment.is_some() {
            self.take_assignment(now, out, observer);
        }
        if self.rejoin.is_some() {
            self.join_again(now, out, observer);
        }
        if !self.reads() {
            return;
        }
        let may_commit = self.may_commit();
        // While the broker is still asked where to go on, the answer is waited for first.
        let knows = || self.awaited.is_empty() && self.owned.iter().all(|owned| owned.lost.is_none());
        if self.asks_where && may_commit && knows() {
            self.begin_seek(now, out);
        }
        if may_commit && self.automatic.as_mut().is_some_and(|automatic| automatic.take_due(now)) {
            self.commit_positions(out);
        }
        if self.config.commit == CommitPolicy::BeforeBatch && !may_commit {
            return self.fetch(out);
        }
        self.take_batch(now, observer);
        self.fetch(out);
        if self.batch.is_empty() {
            return;
        }
        let commits = self.config.commit == CommitPolicy::BeforeBatch;
        match if commits { self.commit_positions(out) } else { None } {
            Some(correlation) => self.phase = Phase::Committing { correlation },
            None => self.begin(now, observer),
        }
    }

    /// Begins the work on the front of the batch.
    #[inline]
    fn begin<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let front = self.batch.front().expect("the caller looked");
        self.phase = Phase::Working;
        self.attempts = 0;
        self.worker.begin(now, front.message, observer);
    }

    /// The work on the front of the batch has failed. True where it is tried again, and what is behind it waits.
    #[cold]
    fn failed<O: Observer>(&mut self, now: Time, observer: &mut O) -> bool {
        let &InHand { message, store, offset } = self.batch.front().expect("work in hand is about the front");
        observer.observe(now, Event::Failed { message, consumer: self.client, store, offset });
        self.attempts += 1;
        let again = self.config.max_attempts == 0 || self.attempts < self.config.max_attempts;
        if again {
            self.worker.begin(now, message, observer);
        }
        again
    }

    /// A record is done.
    #[inline]
    fn worked<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let front = self.batch.front().expect("work in hand is about the front of the batch");
        let InHand { message, store, offset } = *front;
        let attempt = self.attempts + self.earlier_attempts(store);
        let fails = self.failures.is_some_and(|law| law.fails(message, attempt));
        if fails && (self.failed(now, observer) || self.set_aside(now, store, offset, out)) {
            return;
        }
        if !fails {
            observer.observe(now, Event::Processed { message, consumer: self.client, store, offset });
        }
        self.done(now, out, observer);
    }

    /// The application is done with the front of the batch, one way or another.
    #[inline]
    fn done<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let done = self.batch.pop_front().expect("the caller was at the front of the batch");
        let InHand { store, offset, .. } = done;
        let commit = match self.config.commit {
            // What is not committed now, later commits cover.
            CommitPolicy::AfterEach | CommitPolicy::AfterEachAsync if self.may_commit() => {
                let mut offsets = std::mem::take(&mut self.offsets);
                offsets.push((store, offset.next()));
                Some(self.commit(offsets, out))
            }
            CommitPolicy::AfterBatch | CommitPolicy::AfterBatchAsync if self.batch.is_empty() => {
                self.commit_positions(out)
            }
            _ => None,
        };
        let waits = matches!(self.config.commit, CommitPolicy::AfterEach | CommitPolicy::AfterBatch);
        match commit.filter(|_| waits) {
            Some(correlation) => self.phase = Phase::Committing { correlation },
            None => self.go_on(now, out, observer),
        }
    }

    /// The next record of the batch, or the next poll.
    #[inline]
    fn go_on<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        if self.batch.is_empty() {
            self.poll(now, out, observer);
        } else {
            self.begin(now, observer);
        }
    }
}
