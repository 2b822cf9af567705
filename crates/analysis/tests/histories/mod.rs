//! Histories that a broker could have written: a toy broker driven by random choices. It knows just enough to
//! write only what is legal (nothing is processed that was not delivered, what a dead consumer held is gone), and
//! does as it pleases otherwise: it loses, repeats, reorders, commits before the work.

use brokerlab_event::{
    ApplicationId, ApplicationInfo, Blockage, Bytes, ClientId, ClientInfo, ClientRole, Count, Departure, Event,
    EventLog, KeyId, KeyTable, KindLaw, Kinds, MessageId, Model, Observer, Offset, Outcome, Refusal, Removal,
    RunHeader, StoreId, StoreInfo, StoreKind, Stream, Time,
};

pub const APPLICATIONS: usize = 2;
const CONSUMERS_EACH: usize = 2;
const KEYS: u32 = 3;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Shape {
    SharedQueue,
    Fanout,
    Broadcast,
    Log,
    /// A queue for each application, with retries: the queue `later` serves nobody and leads back; `parking` serves
    /// the second application as well as its own queue does.
    Retries,
}

pub const SHAPES: [Shape; 5] = [Shape::SharedQueue, Shape::Fanout, Shape::Broadcast, Shape::Log, Shape::Retries];

/// The stores of the retries.
const WORK: usize = 0;
const LATER: usize = 1;
const PARKING: usize = 2;
const OTHER: usize = 3;

/// One producer, two applications of two consumers each, and the stores of the shape.
pub fn header(shape: Shape) -> RunHeader {
    let application = |n: usize| ApplicationId::new(n as u16);
    let mut clients = vec![ClientInfo { name: "producer/1".into(), role: ClientRole::Producer }];
    for n in 0..APPLICATIONS {
        for number in 1..=CONSUMERS_EACH {
            clients.push(ClientInfo { name: format!("app{n}/{number}"), role: ClientRole::Consumer(application(n)) });
        }
    }
    let all: Vec<ApplicationId> = (0..APPLICATIONS).map(application).collect();
    let store = |name: &str, kind, applications: &[ApplicationId]| StoreInfo {
        name: name.into(),
        kind,
        applications: applications.to_vec(),
        comes_later: false,
    };
    let stores = match shape {
        Shape::SharedQueue => vec![store("work", StoreKind::Queue, &all)],
        Shape::Fanout => all.iter().map(|&a| store("own", StoreKind::Queue, &[a])).collect(),
        Shape::Broadcast => Vec::new(),
        Shape::Retries => vec![
            store("work", StoreKind::Queue, &all[..1]),
            store("later", StoreKind::Queue, &[]),
            store("parking", StoreKind::Queue, &all[1..]),
            store("other", StoreKind::Queue, &all[1..]),
        ],
        Shape::Log => (0..2).map(|index| store("log", StoreKind::Partition { index }, &all)).collect(),
    };
    let mut keys = KeyTable::default();
    for key in 0..KEYS {
        keys.push(&[key as u8]);
    }
    RunHeader {
        title: "history".into(),
        contender: format!("{shape:?}"),
        model: if shape == Shape::Log { Model::Log } else { Model::Queue },
        seed: 0,
        demand_digest: 0,
        horizon: Time::from_nanos(1_000_000),
        warm_up: Time::ZERO,
        applications: all.iter().map(|id| application_info(shape, *id)).collect(),
        clients,
        stores,
        faults: Vec::new(),
        keys,
        kinds: Kinds { names: Vec::new(), law: KindLaw::new([1, 1], Stream::new(1, "kinds")) },
        promises: Vec::new(),
    }
}

/// Where the queues are apart, the second application wants messages of the second kind only.
fn application_info(shape: Shape, id: ApplicationId) -> ApplicationInfo {
    let picky = id.index() == 1 && shape != Shape::SharedQueue;
    ApplicationInfo { name: id.to_string(), wants: picky.then(|| vec![false, true]) }
}

#[derive(Clone, Copy)]
struct Held {
    message: MessageId,
    store: StoreId,
    offset: u64,
    /// The delivery settled itself, or the store is a log: nobody has to say anything about it.
    settled: bool,
}

#[derive(Clone, Copy)]
struct Stored {
    message: MessageId,
    offset: u64,
    delivered: u32,
    in_hands: bool,
}

#[derive(Default)]
struct Store {
    content: Vec<Stored>,
    next: u64,
    start: u64,
    /// Per application: committed offset, position, owner.
    groups: Vec<(Option<u64>, u64, Option<usize>)>,
}

pub struct World {
    shape: Shape,
    now: u64,
    offered: u64,
    waiting: Vec<MessageId>,
    unconfirmed: Vec<MessageId>,
    stores: Vec<Store>,
    connected: Vec<bool>,
    held: Vec<Vec<Held>>,
    blocked: bool,
    pub log: EventLog,
}

fn client(consumer: usize) -> ClientId {
    ClientId::new(1 + consumer as u32)
}

fn application(consumer: usize) -> usize {
    consumer / CONSUMERS_EACH
}

impl World {
    pub fn new(shape: Shape) -> World {
        let stores = header(shape).stores.len();
        let groups = || vec![(None, 0, None); APPLICATIONS];
        World {
            shape,
            now: 0,
            offered: 0,
            waiting: Vec::new(),
            unconfirmed: Vec::new(),
            stores: (0..stores).map(|_| Store { groups: groups(), ..Store::default() }).collect(),
            connected: vec![false; APPLICATIONS * CONSUMERS_EACH],
            held: vec![Vec::new(); APPLICATIONS * CONSUMERS_EACH],
            blocked: false,
            log: EventLog::default(),
        }
    }

    fn write(&mut self, event: Event) {
        self.log.observe(Time::from_nanos(self.now), event);
    }

    /// One random step: `what` chooses the kind, `who` the entity, `how` the manner.
    pub fn step(&mut self, what: u8, who: u8, how: u8) {
        self.now += u64::from(how % 4);
        let consumer = usize::from(who) % self.connected.len();
        match what % 27 {
            0..=2 => self.offer(who),
            3..=5 => self.send(who, how),
            6 | 7 => self.confirm(who),
            8..=10 => self.deliver(consumer, who, how),
            11..=13 => self.process(consumer, how),
            14 => self.settle(consumer, how),
            15 => self.come_or_go(consumer, how),
            16 => self.remove(who, how),
            17 => self.commit(consumer, how),
            18 => self.assign(consumer, who, how),
            19 => self.go_elsewhere(consumer, who, how),
            20 => self.fail(consumer, how),
            21 => self.close_channel(consumer, how),
            22 if self.shape == Shape::Log => self.abort(who, how),
            22 => self.delete_queue(who, how),
            23 => self.block_or_unblock(how),
            24 | 25 => self.give_up(who, how),
            26 => self.settle(consumer, how),
            _ => self.settle(consumer, 0),
        }
    }

    fn offer(&mut self, who: u8) {
        let message = MessageId::new(self.offered);
        self.offered += 1;
        let key = if u32::from(who) % (KEYS + 1) == KEYS { KeyId::NONE } else { KeyId::new(u32::from(who) % KEYS) };
        self.write(Event::Offered { message, producer: ClientId::new(0), key, size: Bytes::new(100) });
        self.waiting.push(message);
    }

    /// Sends a waiting message, or an unconfirmed one again; it is stored, refused, returned, lost or dropped.
    fn send(&mut self, who: u8, how: u8) {
        let again = how % 8 == 7 && !self.unconfirmed.is_empty();
        let message = if again {
            self.unconfirmed[usize::from(who) % self.unconfirmed.len()]
        } else if self.waiting.is_empty() {
            return;
        } else {
            self.waiting.remove(0)
        };
        let producer = ClientId::new(0);
        self.write(Event::Sent { message, producer, attempt: Count::new(1 + u16::from(again)) });
        match how / 8 {
            0 => self.write(Event::Refused { message, producer, reason: Refusal::Full }),
            1 => {
                self.write(Event::Unrouted { message });
                self.unconfirmed.push(message);
            }
            2 => {
                self.write(Event::Unrouted { message });
                self.write(Event::Returned { message, producer });
                self.unconfirmed.push(message);
            }
            3 => self.unconfirmed.push(message),
            _ => {
                self.accept(message, who, how);
                self.unconfirmed.push(message);
            }
        }
    }

    fn accept(&mut self, message: MessageId, who: u8, how: u8) {
        let stores = match self.shape {
            Shape::Broadcast => return self.broadcast(message),
            Shape::SharedQueue => vec![0],
            Shape::Retries => [&[WORK, OTHER][..], &[WORK], &[LATER], &[OTHER]][usize::from(who) % 4].to_vec(),
            Shape::Fanout => (0..APPLICATIONS).collect(),
            Shape::Log => vec![usize::from(who) % self.stores.len()],
        };
        for (number, index) in stores.into_iter().enumerate() {
            if self.shape != Shape::Log && (how >> number).is_multiple_of(8) {
                let reason = Refusal::Full;
                self.write(Event::Declined { message, store: StoreId::new(index as u32), reason });
                if self.shape == Shape::Retries && who.is_multiple_of(3) {
                    self.dead_letter(message, index, PARKING);
                }
            } else {
                self.store(message, index);
            }
        }
    }

    fn store(&mut self, message: MessageId, index: usize) {
        let offset = self.stores[index].next;
        self.stores[index].next += 1;
        self.stores[index].content.push(Stored { message, offset, delivered: 0, in_hands: false });
        let (store, offset, size) = (StoreId::new(index as u32), Offset::new(offset), Bytes::new(110));
        self.write(Event::Stored { message, store, offset, size });
    }

    fn dead_letter(&mut self, message: MessageId, from: usize, to: usize) {
        self.store(message, to);
        let (store, target) = (StoreId::new(from as u32), StoreId::new(to as u32));
        self.write(Event::DeadLettered { message, store, target });
    }

    /// A queue has given a message up; where there are retries, others may take it.
    fn bury(&mut self, message: MessageId, from: usize, who: u8) {
        if self.shape != Shape::Retries {
            return;
        }
        let choices: [&[usize]; 5] = match from {
            WORK => [&[LATER], &[PARKING], &[LATER, PARKING], &[], &[LATER]],
            LATER => [&[WORK], &[WORK], &[WORK, OTHER], &[OTHER], &[]],
            _ => [&[], &[LATER], &[PARKING], &[OTHER], &[LATER, WORK]],
        };
        for &to in choices[usize::from(who) % choices.len()] {
            self.dead_letter(message, from, to);
        }
    }

    fn broadcast(&mut self, message: MessageId) {
        for app in 0..APPLICATIONS {
            let connected = (0..self.connected.len()).find(|&c| application(c) == app && self.connected[c]);
            match connected {
                None => self.write(Event::Missed { message, application: ApplicationId::new(app as u16) }),
                Some(consumer) => self.hand_over(consumer, message, StoreId::MAX, 0, false, true),
            }
        }
    }

    fn hand_over(&mut self, consumer: usize, message: MessageId, store: StoreId, at: u64, again: bool, auto: bool) {
        let (offset, consumer_id) = (Offset::new(at), client(consumer));
        self.write(Event::Delivered { message, consumer: consumer_id, store, offset, redelivered: again });
        if auto {
            let outcome = Outcome::Automatic;
            self.write(Event::Settled { message, consumer: consumer_id, store, offset, outcome });
        }
        self.held[consumer].push(Held { message, store, offset: at, settled: auto || self.shape == Shape::Log });
    }

    fn confirm(&mut self, who: u8) {
        if !self.unconfirmed.is_empty() {
            let message = self.unconfirmed[usize::from(who) % self.unconfirmed.len()];
            // A producer does not send again what is confirmed.
            self.unconfirmed.retain(|&other| other != message);
            self.write(Event::Confirmed { message, producer: ClientId::new(0) });
        }
    }

    fn deliver(&mut self, consumer: usize, who: u8, how: u8) {
        if !self.connected[consumer] || self.stores.is_empty() {
            return;
        }
        let own = application(consumer);
        let index = match self.shape {
            Shape::Fanout => own,
            Shape::Retries => {
                if own == 0 {
                    WORK
                } else {
                    [PARKING, OTHER][usize::from(who / 16) % 2]
                }
            }
            _ => usize::from(who / 16) % self.stores.len(),
        };
        let store = StoreId::new(index as u32);
        if self.shape == Shape::Log {
            let (_, position, owner) = self.stores[index].groups[own];
            let position = position.max(self.stores[index].start);
            if owner == Some(consumer)
                && let Some(record) = self.stores[index].content.iter().find(|r| r.offset >= position).copied()
            {
                self.stores[index].groups[own].1 = record.offset + 1;
                self.hand_over(consumer, record.message, store, record.offset, false, false);
            }
            return;
        }
        let auto = how.is_multiple_of(5);
        let Some(place) = self.stores[index].content.iter().position(|stored| !stored.in_hands) else { return };
        let stored = &mut self.stores[index].content[place];
        stored.in_hands = true;
        stored.delivered += 1;
        let Stored { message, offset, delivered, .. } = *stored;
        self.hand_over(consumer, message, store, offset, delivered > 1, auto);
        if auto {
            self.take_out(index, place, Removal::AutoAcked);
        }
    }

    fn take_out(&mut self, index: usize, place: usize, cause: Removal) {
        let Stored { message, offset, .. } = self.stores[index].content.remove(place);
        let (store, offset, size) = (StoreId::new(index as u32), Offset::new(offset), Bytes::new(110));
        self.write(Event::Removed { message, store, offset, size, cause });
    }

    fn process(&mut self, consumer: usize, how: u8) {
        if self.held[consumer].is_empty() {
            return;
        }
        let place = usize::from(how) % self.held[consumer].len();
        let Held { message, store, offset, settled } = self.held[consumer][place];
        self.write(Event::Processed { message, consumer: client(consumer), store, offset: Offset::new(offset) });
        if settled {
            self.held[consumer].remove(place);
        }
    }

    fn settle(&mut self, consumer: usize, how: u8) {
        let Some(place) = self.held[consumer].iter().position(|held| !held.settled) else { return };
        let Held { message, store, offset, .. } = self.held[consumer].remove(place);
        let outcome = [Outcome::Ack, Outcome::Requeue, Outcome::Reject][usize::from(how) % 3];
        let (consumer, at) = (client(consumer), Offset::new(offset));
        self.write(Event::Settled { message, consumer, store, offset: at, outcome });
        // The queue may have dropped it meanwhile; then nobody is told.
        let Some(place) =
            self.stores[store.index()].content.iter().position(|s| (s.offset, s.message) == (offset, message))
        else {
            return;
        };
        match outcome {
            Outcome::Requeue => self.requeue(store.index(), place),
            Outcome::Reject => {
                self.take_out(store.index(), place, Removal::Rejected);
                self.bury(message, store.index(), how / 3);
            }
            _ => self.take_out(store.index(), place, Removal::Acked),
        }
    }

    fn requeue(&mut self, index: usize, place: usize) {
        let stored = &mut self.stores[index].content[place];
        stored.in_hands = false;
        let (message, offset) = (stored.message, Offset::new(stored.offset));
        self.write(Event::Requeued { message, store: StoreId::new(index as u32), offset });
    }

    fn come_or_go(&mut self, consumer: usize, how: u8) {
        if !self.connected[consumer] {
            self.connected[consumer] = true;
            return self.write(Event::Connected { client: client(consumer) });
        }
        if !how.is_multiple_of(3) {
            return;
        }
        self.connected[consumer] = false;
        let held = core::mem::take(&mut self.held[consumer]);
        self.write(Event::Disconnected { client: client(consumer), cause: Departure::Crashed });
        self.give_back(held);
        for store in &mut self.stores {
            for group in store.groups.iter_mut().filter(|group| group.2 == Some(consumer)) {
                group.2 = None;
            }
        }
    }

    fn give_back(&mut self, held: Vec<Held>) {
        for held in held.into_iter().filter(|held| !held.settled) {
            let index = held.store.index();
            let is_it = |stored: &Stored| (stored.offset, stored.message) == (held.offset, held.message);
            if let Some(place) = self.stores[index].content.iter().position(is_it) {
                self.requeue(index, place);
            }
        }
    }

    /// Work comes to nothing: what the delivery had not settled is requeued or rejected.
    fn fail(&mut self, consumer: usize, how: u8) {
        let Some(Held { message, store, offset, settled }) = self.held[consumer].first().copied() else { return };
        if self.shape == Shape::Log {
            return;
        }
        self.write(Event::Failed { message, consumer: client(consumer), store, offset: Offset::new(offset) });
        if settled {
            self.held[consumer].remove(0);
        } else if !how.is_multiple_of(4) {
            self.settle(consumer, 1 + how % 2 + 3 * (how / 4));
        }
    }

    /// The broker takes back what is not settled; the work in hand goes on, all else in hand is forgotten.
    fn close_channel(&mut self, consumer: usize, how: u8) {
        if !self.connected[consumer] || matches!(self.shape, Shape::Log | Shape::Broadcast) || how % 2 == 1 {
            return;
        }
        let mut held = core::mem::take(&mut self.held[consumer]);
        self.give_back(held.clone());
        self.write(Event::ChannelClosed { client: client(consumer), code: Count::new(406) });
        held.truncate(1);
        self.held[consumer] = held.into_iter().map(|held| Held { settled: true, ..held }).collect();
    }

    /// A queue goes with all that is in it, and comes again at once, numbering its places anew.
    fn delete_queue(&mut self, who: u8, how: u8) {
        if matches!(self.shape, Shape::Log | Shape::Broadcast) || !how.is_multiple_of(16) {
            return;
        }
        let index = usize::from(who) % self.stores.len();
        while !self.stores[index].content.is_empty() {
            self.take_out(index, 0, Removal::Purged);
        }
        self.write(Event::QueueDeleted { store: StoreId::new(index as u32) });
        self.stores[index].next = 0;
    }

    fn block_or_unblock(&mut self, how: u8) {
        let (client, cause) =
            (ClientId::new(0), [Blockage::Memory, Blockage::Credit, Blockage::Buffer][usize::from(how) % 3]);
        self.write(if self.blocked { Event::Unblocked { client } } else { Event::Blocked { client, cause } });
        self.blocked = !self.blocked;
    }

    /// A queue gives up what is ready at its head.
    fn give_up(&mut self, who: u8, how: u8) {
        if matches!(self.shape, Shape::Log | Shape::Broadcast) {
            return;
        }
        let index = usize::from(who) % self.stores.len();
        let cause = [Removal::Expired, Removal::MaxLength, Removal::DeliveryLimit][usize::from(how) % 3];
        let Some(place) = self.stores[index].content.iter().position(|stored| !stored.in_hands) else { return };
        let message = self.stores[index].content[place].message;
        self.take_out(index, place, cause);
        self.bury(message, index, how / 3);
    }

    /// A policy or an accident takes something out of a store.
    fn remove(&mut self, who: u8, how: u8) {
        if self.stores.is_empty() {
            return;
        }
        let index = usize::from(who) % self.stores.len();
        let cause = [Removal::RetentionTime, Removal::RetentionSize, Removal::NodeLost][usize::from(how) % 3];
        if self.stores[index].content.is_empty() {
            return;
        }
        if self.shape == Shape::Log && how.is_multiple_of(8) {
            self.lose_end(index, how / 8);
        } else if self.shape == Shape::Log && how & 4 != 0 {
            let place = usize::from(how / 8) % self.stores[index].content.len();
            self.take_out(index, place, Removal::Compacted);
        } else if self.shape == Shape::Log {
            let until = self.stores[index].content[0].offset + 1 + u64::from(how % 2);
            let until = until.min(self.stores[index].next);
            self.stores[index].content.retain(|record| record.offset >= until);
            self.stores[index].start = until;
            self.write(Event::Trimmed { store: StoreId::new(index as u32), until: Offset::new(until), cause });
        } else {
            self.take_out(index, 0, cause);
        }
    }

    /// A partition loses its end. Groups may have been there already.
    fn lose_end(&mut self, index: usize, how: u8) {
        let Store { content, next, start, .. } = &mut self.stores[index];
        if next == start {
            return;
        }
        let end = *start + u64::from(how) % (*next - *start);
        content.retain(|record| record.offset < end);
        *next = end;
        self.write(Event::Truncated { store: StoreId::new(index as u32), end: Offset::new(end) });
    }

    /// The transaction of a record is aborted; the marker takes an offset.
    fn abort(&mut self, who: u8, how: u8) {
        let index = usize::from(who) % self.stores.len();
        let Store { content, next, .. } = &mut self.stores[index];
        let Some(record) = content.get(usize::from(how) % content.len().max(1)) else { return };
        let (store, first, marker) = (StoreId::new(index as u32), Offset::new(record.offset), Offset::new(*next));
        let message = record.message;
        *next += 1;
        self.write(Event::Aborted { message, store, offset: first });
        self.write(Event::TransactionEnded { store, first, offset: marker, committed: false });
    }

    /// Commits the position: what is delivered, whether or not it is processed.
    fn commit(&mut self, consumer: usize, how: u8) {
        for index in 0..self.stores.len() {
            let group = &mut self.stores[index].groups[application(consumer)];
            if self.shape == Shape::Log && group.2 == Some(consumer) {
                let offset = group.1.saturating_sub(u64::from(how % 2));
                group.0 = Some(offset);
                let (consumer, store) = (client(consumer), StoreId::new(index as u32));
                self.write(Event::Committed { consumer, store, offset: Offset::new(offset) });
            }
        }
    }

    /// Gives a partition to this consumer, from the committed offset, else from one of the ends.
    fn assign(&mut self, consumer: usize, who: u8, how: u8) {
        if self.shape != Shape::Log || !self.connected[consumer] {
            return;
        }
        let index = usize::from(who / 16) % self.stores.len();
        let store = StoreId::new(index as u32);
        let Store { start, next, .. } = self.stores[index];
        let group = &mut self.stores[index].groups[application(consumer)];
        let reset = if how.is_multiple_of(2) { start } else { next };
        let from = group.0.filter(|&committed| committed >= start).unwrap_or(reset);
        let before = group.2.replace(consumer);
        group.1 = from;
        let generation = Count::new(1);
        if let Some(before) = before {
            // Half of the former owners drop what they hold; the others go on with it, and cause duplicates.
            if how % 4 < 2 {
                self.held[before].retain(|held| held.store != store);
            }
            self.write(Event::Revoked { consumer: client(before), store, generation });
        }
        self.write(Event::Assigned { consumer: client(consumer), store, offset: Offset::new(from), generation });
    }

    /// Sends the owner of a partition to another place in it, as its reset policy or somebody says.
    fn go_elsewhere(&mut self, consumer: usize, who: u8, how: u8) {
        if self.shape != Shape::Log {
            return;
        }
        let index = usize::from(who / 16) % self.stores.len();
        let Store { start, next, .. } = self.stores[index];
        let group = &mut self.stores[index].groups[application(consumer)];
        if group.2 != Some(consumer) {
            return;
        }
        let to = start + u64::from(how) % (next - start + 1);
        (group.0, group.1) = (Some(to), to);
        let (number, store, offset) = (consumer, StoreId::new(index as u32), Offset::new(to));
        self.held[number].retain(|held| held.store != store);
        let consumer = client(number);
        let sought = how.is_multiple_of(2);
        self.write(match sought {
            true => Event::Sought { consumer, store, offset },
            false => Event::PositionReset { consumer, store, offset },
        });
    }

    /// The census.
    pub fn end(mut self) -> EventLog {
        for consumer in 0..self.connected.len() {
            for held in self.held[consumer].clone() {
                let application = ApplicationId::new(application(consumer) as u16);
                self.write(Event::Remaining { message: held.message, application });
            }
        }
        for index in 0..self.stores.len() {
            for application in 0..APPLICATIONS {
                let id = ApplicationId::new(application as u16);
                let serves = header(self.shape).stores[index].applications.contains(&id);
                let Store { start, next, .. } = self.stores[index];
                if self.shape == Shape::Log {
                    let (committed, position, owner) = self.stores[index].groups[application];
                    let unread = if owner.is_some() { position } else { start };
                    let from = Offset::new(committed.unwrap_or(unread).max(start));
                    let until = Offset::new(next);
                    let store = StoreId::new(index as u32);
                    self.write(Event::RemainingRange { store, application: id, from, until });
                } else if serves {
                    for stored in self.stores[index].content.clone() {
                        self.write(Event::Remaining { message: stored.message, application: id });
                    }
                }
            }
        }
        self.log
    }
}
