//! The quorum queue again, without any care for speed: one list of all messages, each with where it is, and a search
//! through all of it for every question. It says what it does in the words of the rig.

use std::collections::BTreeSet;

use brokerlab_broker::properties::DeathReason;
use brokerlab_broker::quorum::*;

mod consumers;

const MS: u64 = 1_000_000;

#[derive(Clone, Copy, PartialEq, Debug)]
enum At {
    /// By level, in line.
    Fresh(u8),
    Back,
    Waits(u64),
    Held(usize, u64, u64),
    Kept(DeathReason),
    UnderWay(DeathReason, u64),
    Gone,
}

#[derive(Clone, Debug)]
struct Message {
    at: At,
    /// When it came to where it is, among all such moves.
    since: u64,
    age: u64,
    size: u64,
    deadline: u64,
    failed: u32,
    acquired: u32,
}

#[derive(Clone, Debug)]
struct Consumer {
    key: ConsumerKey,
    options: ConsumerOptions,
    here: bool,
    wants: bool,
    quiescing: bool,
    credit: u32,
    next: u64,
    overdue: Vec<u64>,
    /// Since when it stands in line, and in which.
    queued: Option<(i32, u64)>,
}

impl Consumer {
    fn limit(&self) -> u32 {
        if self.options.prefetch == 0 { 2000 } else { self.options.prefetch }
    }
}

pub struct Reference {
    config: QuorumConfig,
    messages: Vec<Message>,
    consumers: Vec<Consumer>,
    /// Channel, next number, stopped.
    sessions: Vec<(Session, u64, bool)>,
    active: Option<usize>,
    turn: u32,
    letters: u64,
    moves: u64,
    now: u64,
    index: u64,
    words: Vec<String>,
}

impl Reference {
    pub fn new(config: QuorumConfig) -> Reference {
        let (messages, consumers, sessions, words) = (vec![], vec![], vec![], vec![]);
        let (active, turn, letters, moves, now, index) = (None, 0, 0, 0, 0, 0);
        Reference { config, messages, consumers, sessions, active, turn, letters, moves, now, index, words }
    }

    pub fn apply(&mut self, index: u64, now: u64, command: &Command<u64>) -> String {
        (self.index, self.now) = (index, self.now.max(now));
        match command {
            Command::RegisterSession(session) => {
                self.session(*session);
                if self.config.overflow == Overflow::RejectPublish && self.over() {
                    self.stop(true);
                }
            }
            Command::Enqueue { publication, sequence } => self.enqueue(publication, *sequence),
            Command::Register { consumer, options } => self.register(*consumer, *options),
            Command::Cancel { consumer } => self.cancel(*consumer),
            Command::Down(session) => self.down(*session),
            Command::NodeDown { node, starts } => {
                let of_consumers = self.consumers.iter().filter(|own| own.here).map(|own| own.key.session);
                let all: BTreeSet<Session> = of_consumers.chain(self.sessions.iter().map(|(own, ..)| *own)).collect();
                let gone = |session: &Session| session.home.node == *node && session.home.start < *starts;
                all.into_iter().filter(gone).for_each(|session| self.down(session));
            }
            Command::ReturnAll => {
                for number in 0..self.consumers.len() {
                    for (place, _, _) in self.held(number) {
                        self.return_one(number, place, false);
                    }
                    if self.consumers[number].here {
                        self.reconsider(number);
                    }
                }
                self.activate();
            }
            Command::Settle { consumer, deliveries, settlement } => self.settle(*consumer, deliveries, *settlement),
            Command::Get { consumer, options } => self.get(*consumer, *options),
            Command::Purge => self.purge(),
            Command::SettleDeadLetters { numbers } => {
                for number in numbers {
                    let under_way = |at: At| matches!(at, At::UnderWay(_, own) if own == *number);
                    if let Some(place) = self.messages.iter().position(|message| under_way(message.at)) {
                        self.go(place, At::Gone);
                        self.words.push(format!("done{place}"));
                    }
                }
                self.serve();
            }
            Command::RestartDeadLettering => {
                // Whatever is under way is older than whatever waits: it keeps its moment, so it goes first.
                for message in &mut self.messages {
                    if let At::UnderWay(reason, _) = message.at {
                        message.at = At::Kept(reason);
                    }
                }
                self.serve();
            }
            Command::Tick => self.tick(),
            Command::Delete => self.delete(),
        }
        std::mem::take(&mut self.words).join(" ")
    }

    /// The next thing that happens by itself.
    pub fn next_timeout(&self) -> Option<u64> {
        let waits = self.messages.iter().filter_map(|message| match message.at {
            At::Waits(until) => Some(until),
            At::Held(_, _, deadline) => Some(deadline),
            _ => None,
        });
        let heads = self.heads().into_iter().map(|place| self.messages[place].deadline);
        waits.chain(heads).filter(|time| *time < u64::MAX).min()
    }

    fn in_place(&self, wanted: impl Fn(At) -> bool) -> Vec<usize> {
        let mut found: Vec<_> = (0..self.messages.len()).filter(|place| wanted(self.messages[*place].at)).collect();
        found.sort_by_key(|place| self.messages[*place].since);
        found
    }

    fn ready(&self) -> usize {
        self.in_place(|at| matches!(at, At::Back | At::Fresh(_))).len()
    }

    fn go(&mut self, place: usize, at: At) {
        self.moves += 1;
        (self.messages[place].at, self.messages[place].since) = (at, self.moves);
    }

    /// The first of what came back and of every level from the highest: those that are looked at for expiry.
    fn heads(&self) -> Vec<usize> {
        if self.config.version != Version::V4_3 {
            return self.next().into_iter().collect();
        }
        let level = |level| self.in_place(|at| at == At::Fresh(level)).first().copied();
        let back = self.in_place(|at| at == At::Back).first().copied();
        back.into_iter().chain((0..=31).rev().filter_map(level)).collect()
    }

    /// What is delivered next.
    fn next(&self) -> Option<usize> {
        if let Some(place) = self.in_place(|at| at == At::Back).first() {
            return Some(*place);
        }
        let head = |level| self.in_place(|at| at == At::Fresh(level)).first().copied();
        match (self.config.version, head(0), head(1)) {
            (Version::V4_0, Some(normal), Some(high)) if self.turn == 2 => {
                Some(if self.messages[high].age < self.messages[normal].age { high } else { normal })
            }
            _ => (0..=31).rev().find_map(head),
        }
    }

    /// It is taken by its turn, which counts where there are two levels.
    fn took(&mut self, place: usize) {
        if matches!(self.messages[place].at, At::Fresh(_)) {
            self.turn = (self.turn + 1) % 3;
        }
    }

    fn expired(&self, place: usize) -> bool {
        self.messages[place].deadline <= self.now
    }

    fn expire_heads(&mut self) {
        while let Some(place) = self.heads().into_iter().find(|place| self.expired(*place)) {
            if self.config.version != Version::V4_3 {
                self.took(place);
            }
            self.give_up(place, DeathReason::Expired);
        }
    }

    fn expire_next(&mut self) {
        while self.next().is_some_and(|place| self.expired(place)) {
            self.expire_heads();
        }
    }

    fn give_up(&mut self, place: usize, reason: DeathReason) {
        let word = reason.word();
        match (self.config.dead_lettering, self.config.overflow) {
            (DeadLettering::Disabled, _) => self.words.push(format!("drop{place}:{word}")),
            (DeadLettering::AtLeastOnce, Overflow::RejectPublish) => {
                self.words.push(format!("kept{place}:{word}"));
                return self.go(place, At::Kept(reason));
            }
            _ => self.words.push(format!("dlx{place}:{word}")),
        }
        self.go(place, At::Gone);
    }

    fn tick(&mut self) {
        let mut due: Vec<_> = (0..self.messages.len())
            .filter_map(|place| match self.messages[place].at {
                At::Waits(until) if until <= self.now => Some((until, self.messages[place].age, place)),
                _ => None,
            })
            .collect();
        due.sort_unstable();
        for (_, _, place) in due {
            self.go(place, At::Back);
            self.words.push(format!("ready{place}"));
        }
        self.expire_heads();
        for number in 0..self.consumers.len() {
            self.return_overdue(number);
        }
        self.activate();
        self.serve();
    }

    fn return_overdue(&mut self, number: usize) {
        let late: Vec<_> = self.held(number).into_iter().filter(|(_, _, deadline)| *deadline <= self.now).collect();
        if late.is_empty() {
            return;
        }
        for (place, _, _) in &late {
            self.return_one(number, *place, false);
        }
        let deliveries: Vec<_> = late.iter().map(|(_, delivery, _)| *delivery).collect();
        self.words.push(format!("{}:overdue{deliveries:?}", self.name(number)));
        self.consumers[number].overdue.extend(deliveries);
        if self.active == Some(number) {
            self.deactivate(number);
        }
        self.reconsider(number);
    }

    /// Place, delivery and deadline of what a consumer holds, by delivery.
    fn held(&self, number: usize) -> Vec<(usize, u64, u64)> {
        let held = |place: usize| match self.messages[place].at {
            At::Held(own, delivery, deadline) if own == number => Some((place, delivery, deadline)),
            _ => None,
        };
        let mut held: Vec<_> = (0..self.messages.len()).filter_map(held).collect();
        held.sort_by_key(|(_, delivery, _)| *delivery);
        held
    }

    fn session(&mut self, session: Session) -> usize {
        self.sessions.iter().position(|(own, ..)| *own == session).unwrap_or_else(|| {
            self.sessions.push((session, 1, false));
            self.sessions.len() - 1
        })
    }

    fn enqueue(&mut self, publication: &brokerlab_broker::Publication<u64>, sequence: Option<(Session, u64)>) {
        let mut word = format!("in{}", self.messages.len());
        if let Some((session, number)) = sequence {
            let own = self.session(session);
            if number != self.sessions[own].1 {
                let word = if number < self.sessions[own].1 { "again" } else { "gap" };
                return self.words.push(format!("{word}#{number}"));
            }
            self.sessions[own].1 += 1;
            word += &format!("#{number}");
        }
        let properties = publication.properties.as_ref().expect("the rig always gives some");
        let own = properties.expiration.as_ref().map(|text| text.parse::<u64>().expect("a number") * MS);
        let ttl = own.into_iter().chain(self.config.message_ttl.map(|ttl| ttl.as_nanos())).min();
        let priority = properties.priority.unwrap_or(4);
        let level = match self.config.version {
            Version::V3_13 => 0,
            Version::V4_0 => u8::from(priority > 4),
            Version::V4_3 => priority.min(31),
        };
        self.moves += 1;
        self.messages.push(Message {
            at: At::Fresh(level),
            since: self.moves,
            age: self.index,
            size: u64::from(publication.envelope.size),
            deadline: ttl.map_or(u64::MAX, |ttl| self.now + if ttl == 0 { MS } else { ttl }),
            failed: 0,
            acquired: 0,
        });
        self.words.push(word);
        self.serve();
    }

    fn deliver(&mut self, number: usize, place: usize) -> String {
        self.took(place);
        let consumer = &mut self.consumers[number];
        let delivery = consumer.next;
        consumer.next += 1;
        let settled = consumer.options.auto_ack;
        let deadline = consumer.options.timeout.map_or(u64::MAX, |timeout| self.now + timeout.as_nanos());
        consumer.credit = if settled { consumer.credit } else { consumer.credit.saturating_sub(1) };
        self.go(place, if settled { At::Gone } else { At::Held(number, delivery, deadline) });
        let message = &self.messages[place];
        let count = |letter, count| if count > 0 { format!("{letter}{count}") } else { String::new() };
        let counts = count('d', message.failed) + &count('a', message.acquired) + if settled { "!" } else { "" };
        match self.consumers[number].key.receiver {
            Receiver::Get(_) => format!("got{place}{counts}"),
            Receiver::Subscription(_) => format!("{place}>{}.{delivery}{counts}", self.name(number)),
        }
    }

    fn serve(&mut self) {
        loop {
            self.expire_next();
            let Some(place) = self.next() else { break };
            let line = |number: &usize| self.consumers[*number].queued.map(|(priority, since)| (-priority, since));
            let Some(number) = (0..self.consumers.len()).filter(|n| line(n).is_some()).min_by_key(line) else { break };
            self.consumers[number].queued = None;
            if self.can_take(number) {
                let word = self.deliver(number, place);
                self.words.push(word);
                self.queue(number);
            }
        }
        self.after();
    }

    fn after(&mut self) {
        while self.in_place(|at| matches!(at, At::UnderWay(..))).len() < 32 {
            let kept = self.in_place(|at| matches!(at, At::Kept(_)));
            let Some(place) = kept.first().copied() else { break };
            let At::Kept(reason) = self.messages[place].at else { unreachable!("that was asked for") };
            self.messages[place].at = At::UnderWay(reason, self.letters);
            self.words.push(format!("dlx{place}:{}#{}", reason.word(), self.letters));
            self.letters += 1;
        }
        match self.config.overflow {
            Overflow::DropHead => {
                while self.over() {
                    let Some(place) = self.next() else { break };
                    self.took(place);
                    self.give_up(place, DeathReason::MaxLength);
                }
            }
            Overflow::RejectPublish if self.over() => self.stop(true),
            Overflow::RejectPublish => {
                let (length, bytes) = self.counted();
                let below = |max: Option<u64>, count| max.is_none_or(|max| count as f64 <= (max as f64 * 0.8).floor());
                if below(self.config.max_length, length) && below(self.config.max_bytes, bytes) {
                    self.stop(false);
                }
            }
        }
    }

    fn counted(&self) -> (u64, u64) {
        let counted = self.in_place(|at| !matches!(at, At::Held(..) | At::Gone));
        (counted.len() as u64, counted.into_iter().map(|place| self.messages[place].size).sum())
    }

    fn over(&self) -> bool {
        let (length, bytes) = self.counted();
        self.config.max_length.is_some_and(|max| length > max) || self.config.max_bytes.is_some_and(|max| bytes > max)
    }

    fn stop(&mut self, stop: bool) {
        let word = if stop { "stop" } else { "go" };
        let mut told: Vec<_> = self.sessions.iter_mut().filter(|(.., stopped)| *stopped != stop).collect();
        told.sort_by_key(|(session, ..)| *session);
        for (session, _, stopped) in told {
            *stopped = stop;
            self.words.push(format!("{word}{}", session.client));
        }
    }

    fn get(&mut self, key: ConsumerKey, options: ConsumerOptions) {
        if self.config.single_active_consumer {
            return self.words.push("refused".into());
        }
        self.expire_next();
        let word = match self.next() {
            Some(place) => {
                let number = self.add(key, options);
                let word = self.deliver(number, place);
                if options.auto_ack {
                    self.remove(number);
                }
                word
            }
            None => "none".into(),
        };
        self.words.push(word);
        self.after();
    }

    fn purge(&mut self) {
        let gone = self.in_place(|at| !matches!(at, At::Held(..) | At::Gone));
        self.words.push(format!("purged={}", gone.len()));
        gone.into_iter().for_each(|place| self.go(place, At::Gone));
        self.turn = 0;
        self.after();
    }

    fn delete(&mut self) {
        self.words.push(format!("deleted={}", self.ready()));
        self.messages.iter_mut().for_each(|message| message.at = At::Gone);
        (0..self.consumers.len()).for_each(|number| self.remove(number));
        self.sessions.clear();
        self.turn = 0;
    }
}
