//! One fold over the events of a run that yields its results.

mod rare;

use std::collections::BTreeSet;

use brokerlab_event::{
    ApplicationId, Bytes, ClientId, Duration, Event, KeyId, KindLaw, MessageId, Model, Observer, Offset, Outcome,
    Promise, Removal, RunHeader, StoreId, Time,
};

use crate::blocking::Blocking;
use crate::histogram::Recorder;
use crate::kinds::KindTallies;
use crate::ledger::{Ledger, Processing, state};
use crate::levels::{Backlog, Storage, Totals};
use crate::order::KeyOrder;
use crate::ownership::Unread;
use crate::series::{Levels, SeriesRecorder};
use crate::stores::{GroupPlace, LogRecord, Partition, Store, stores_of};
use crate::table::MessageTable;
use crate::{ChannelErrors, FaultHit, Incidents};

/// What an analysis keeps, and how much.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Options {
    /// Keep a row for each message and application.
    pub messages: bool,
    /// The driver tells at the end of the run what is still to be had. Without it, what was confirmed and not
    /// seen again is unknown, never lost.
    pub census: bool,
    /// The most violations of key order that are kept with their time and place, per application.
    pub out_of_order_max: usize,
    /// How many of the latest messages are kept together before those that are done with are taken out from
    /// among those that are not: a matter of memory and speed. As many are kept while the run has not seen its
    /// first confirm, so that a first confirm, or a repeated attempt for want of one, finds its message.
    pub window: u64,
    /// The most bins that the time series has up to the horizon.
    pub bins_max: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { messages: false, census: true, out_of_order_max: 5_000, window: 1 << 16, bins_max: 600 }
    }
}

/// What is counted for an application.
#[derive(Clone)]
pub(crate) struct Tally {
    pub backlog: Backlog,
    pub storage: Storage,
    pub in_flight: u64,
    pub consumers_up: u32,
    pub deliveries: u64,
    pub redeliveries: u64,
    pub duplicates: u64,
    pub replayed: u64,
    pub processed_after_warm_up: u64,
    pub to_deliver: Recorder,
    pub to_process: Recorder,
    pub order: KeyOrder,
    pub rebalances: u64,
    pub rebalancing: Duration,
    pub rebalancing_since: Option<Time>,
    pub incidents: Incidents,
}

/// A client as far as the figures need it.
#[derive(Clone, Copy)]
struct Client {
    /// Nothing for producers.
    application: Option<u16>,
    connected: bool,
    paused: bool,
    /// Deliveries from queues that it has not settled.
    unsettled: u64,
}

/// Which application wants which messages.
#[derive(Clone)]
struct Wants {
    law: KindLaw,
    /// For each application the kinds that it wants; nothing where it wants all.
    applications: Vec<Option<Vec<bool>>>,
}

/// Reads the events of a run: fates, metrics, time series and verdicts in one fold. [`finish`](Analysis::finish)
/// gives the [`Results`](crate::Results).
///
/// Its memory follows the messages in motion, not the length of the run, except that a log costs a few bytes for
/// each record that is kept and [`Options::messages`] a row for each message and application.
#[derive(Clone)]
pub struct Analysis {
    pub(crate) options: Options,
    pub(crate) warm_up: Time,
    pub(crate) promises: Vec<Promise>,
    pub(crate) events: u64,
    pub(crate) sent: u64,
    pub(crate) confirmed: u64,
    pub(crate) replied: u64,
    pub(crate) to_confirm: Recorder,
    pub(crate) ledger: Ledger,
    /// Nothing where every application wants every message.
    wants: Option<Wants>,
    /// Records of partitions are settled one by one, as messages of queues are.
    shares: bool,
    clients: Vec<Client>,
    pub(crate) stores: Vec<Store>,
    /// Nothing where one application has everything: its own figures are those of all then.
    totals: Option<Totals>,
    distinct: u64,
    pub(crate) tallies: Vec<Tally>,
    /// Where messages are of several kinds.
    pub(crate) kinds: Option<KindTallies>,
    pub(crate) series: SeriesRecorder,
    pub(crate) faults: Vec<FaultHit>,
    /// Of all queues and clients.
    pub(crate) incidents: Incidents,
    /// By reply code.
    /// Messages that were aborted and not confirmed, neither before nor since.
    pub(crate) aborted: BTreeSet<MessageId>,
    pub(crate) channel_errors: Vec<ChannelErrors>,
    pub(crate) blocking: Blocking,
    /// By application, where partitions have owners.
    pub(crate) unread: Option<Vec<Unread>>,
    pub(crate) table: Option<MessageTable>,
}

/// Where an event is emitted its kind is known, so this is inlined there and leaves one direct call with the fields
/// in registers.
impl Observer for Analysis {
    #[inline(always)]
    fn observe(&mut self, time: Time, event: Event) {
        if time >= self.series.next {
            self.close_bins(time);
        }
        self.events += 1;
        match event {
            Event::Offered { message, key, size, .. } => self.offered(time, message, key, size),
            Event::Sent { message, attempt, .. } => self.sent(time, message, attempt.get() > 1),
            Event::Confirmed { message, .. } => self.confirmed(time, message),
            Event::Delivered { message, consumer, store, offset, redelivered } => {
                self.delivered(time, message, consumer, (store, offset), redelivered);
            }
            Event::Processed { message, consumer, store, offset } => {
                self.processed(time, message, consumer, (store, offset));
            }
            Event::Settled { message, consumer, store, outcome, .. } => {
                self.settled(message, consumer, store, outcome);
            }
            Event::Stored { message, store, offset, size } => self.stored(time, message, (store, offset), size),
            Event::Removed { store, offset, cause: Removal::Compacted, .. } => self.compacted(store, offset),
            Event::Removed { message, store, size, cause, .. } => self.removed(time, message, store, size, cause),
            Event::Committed { consumer, store, offset } => self.committed(consumer, store, offset),
            Event::Archived { message, store, offset, application, cause } => {
                self.archived(time, message, (store, offset), application.index(), cause);
            }
            Event::Started { .. } | Event::Polled { .. } | Event::Requeued { .. } | Event::Flushed { .. } => {}
            rare => self.observe_rare(time, rare),
        }
    }
}

impl Analysis {
    /// Ready for the first event of the run that this header describes.
    pub fn new(header: &RunHeader, options: Options) -> Analysis {
        let applications = header.applications.len();
        let application_of = |client: usize| header.application_of(ClientId::new(client as u32));
        let client = |index: usize| Client {
            application: application_of(index).map(|application| application.get()),
            connected: false,
            paused: false,
            unsettled: 0,
        };
        let tally = || Tally::new(header.keys.len(), options.out_of_order_max);
        let indices = || (0..header.clients.len()).map(|index| application_of(index).map(|id| id.index())).collect();
        let stores = stores_of(header);
        let one_has_all = applications == 1 && stores.iter().all(|store| store.applications == [0]);
        Analysis {
            options,
            warm_up: header.warm_up,
            promises: header.promises.clone(),
            events: 0,
            sent: 0,
            confirmed: 0,
            replied: 0,
            to_confirm: Recorder::default(),
            ledger: Ledger::new(applications, options.window, options.messages),
            wants: (!header.all_want_everything()).then(|| Wants::of(header)),
            shares: header.model == Model::ShareGroup,
            clients: (0..header.clients.len()).map(client).collect(),
            totals: (!one_has_all).then(Totals::default),
            stores,
            distinct: 0,
            tallies: (0..applications).map(|_| tally()).collect(),
            kinds: KindTallies::new(header),
            series: SeriesRecorder::new(header.horizon, options.bins_max, applications),
            faults: Vec::new(),
            incidents: Incidents::default(),
            aborted: BTreeSet::new(),
            channel_errors: Vec::new(),
            blocking: Blocking::new(header.clients.len()),
            unread: Unread::of(header),
            table: options.messages.then(|| MessageTable::new(applications, indices())),
        }
    }

    #[inline]
    fn offered(&mut self, time: Time, message: MessageId, key: KeyId, size: Bytes) {
        if let Some(table) = &mut self.table {
            table.offered(time, message, key, size);
        }
        self.series.open.offered += 1;
        self.ledger.offered(message, time, key);
        if self.wants.is_some() {
            self.note_unwanted(message);
        }
    }

    #[inline(never)]
    fn sent(&mut self, time: Time, message: MessageId, again: bool) {
        if let Some(table) = &mut self.table {
            table.sent(time, message);
        }
        self.series.open.sent += 1;
        self.incidents.sent_again += u64::from(again);
        self.sent += u64::from(self.ledger.sent(message));
    }

    #[inline(never)]
    fn confirmed(&mut self, time: Time, message: MessageId) {
        if let Some(table) = &mut self.table {
            table.confirmed(time, message);
        }
        if !self.aborted.is_empty() {
            self.aborted.remove(&message);
        }
        let Some(intended) = self.ledger.confirmed(message) else { return };
        self.confirmed += 1;
        self.series.open.confirmed += 1;
        if let Some(intended) = intended
            && intended >= self.warm_up
        {
            self.to_confirm.record(time.saturating_since(intended));
        }
    }

    #[inline(never)]
    fn delivered(
        &mut self,
        time: Time,
        message: MessageId,
        consumer: ClientId,
        (store, offset): (StoreId, Offset),
        redelivered: bool,
    ) {
        let Some(application) = self.application_of(consumer) else { return };
        if let Some(table) = &mut self.table {
            table.delivered(time, message, consumer);
        }
        let tally = &mut self.tallies[application];
        tally.deliveries += 1;
        tally.redeliveries += u64::from(redelivered);
        self.series.open_applications[application].delivered += 1;
        if let Some(intended) = self.ledger.delivered(message, application)
            && intended >= self.warm_up
        {
            tally.to_deliver.record(time.saturating_since(intended));
        }
        match self.stores.get_mut(store.index()).and_then(|store| store.partition.as_mut()) {
            Some(partition) if !self.shares => {
                let until = partition.end().min(offset.get() + 1);
                let group = &mut partition.groups[application];
                let before = group.in_flight();
                group.delivered = group.delivered.max(until);
                tally.in_flight += group.in_flight() - before;
            }
            _ => {
                self.clients[consumer.index()].unsettled += 1;
                tally.in_flight += 1;
            }
        }
    }

    #[inline(never)]
    fn processed(&mut self, time: Time, message: MessageId, consumer: ClientId, (store, offset): (StoreId, Offset)) {
        let Some(application) = self.application_of(consumer) else { return };
        if let Some(table) = &mut self.table {
            table.processed(time, message, consumer);
        }
        let tally = &mut self.tallies[application];
        let bin = &mut self.series.open_applications[application];
        let (processing, intended, key) = self.ledger.processed(message, application);
        if processing == Processing::First {
            tally.order.processed(time, key, message);
            if intended >= self.warm_up {
                tally.to_process.record(time.saturating_since(intended));
            }
            if let Some(kinds) = &mut self.kinds {
                let latency = (intended >= self.warm_up).then(|| time.saturating_since(intended));
                kinds.processed(message, application, latency);
            }
        }
        if processing == Processing::Again {
            tally.duplicates += 1;
            bin.duplicates += 1;
        } else {
            bin.processed += 1;
            tally.processed_after_warm_up += u64::from(time >= self.warm_up);
        }
        tally.backlog.progress(time);
        if let Some(partition) = self.stores.get_mut(store.index()).and_then(|store| store.partition.as_mut())
            && !self.shares
        {
            let group = &mut partition.groups[application];
            let replayed = group.processed(offset.get());
            tally.replayed += u64::from(replayed && processing == Processing::Again);
            let position = group.position.max(offset.get() + 1);
            self.move_group(time, store, application, position);
        }
    }

    #[inline(never)]
    fn settled(&mut self, message: MessageId, consumer: ClientId, store: StoreId, outcome: Outcome) {
        let Some(application) = self.application_of(consumer) else { return };
        match outcome {
            Outcome::Requeue => {}
            Outcome::Reject => self.ledger.mark(message, application, state::DROPPED),
            Outcome::Ack | Outcome::Automatic => self.ledger.mark(message, application, state::SETTLED),
        }
        let of_partition =
            !self.shares && self.stores.get(store.index()).is_some_and(|store| store.partition.is_some());
        let unsettled = &mut self.clients[consumer.index()].unsettled;
        if !of_partition && *unsettled > 0 {
            *unsettled -= 1;
            self.tallies[application].in_flight -= 1;
        }
    }

    #[inline(never)]
    fn stored(&mut self, time: Time, message: MessageId, (store, offset): (StoreId, Offset), size: Bytes) {
        self.pass_markers(time, store, offset.get());
        let store = &mut self.stores[store.index()];
        let first = match &mut store.partition {
            None => self.ledger.queued(message, &store.applications),
            Some(partition) => {
                let first = self.ledger.logged(message);
                partition.append(offset, LogRecord { message, size, extra: !first, aborted: false });
                first
            }
        };
        self.distinct += u64::from(first);
        let bytes = u64::from(size.get());
        if let Some(totals) = &mut self.totals {
            totals.storage.add(bytes);
            totals.backlog.add(store.applications.len() as u64);
        }
        for &application in &store.applications {
            let tally = &mut self.tallies[usize::from(application)];
            tally.storage.add(bytes);
            tally.backlog.arrive(time);
        }
    }

    /// The ends of transactions take offsets, which groups have to read past like any other.
    #[inline]
    fn pass_markers(&mut self, time: Time, store: StoreId, offset: u64) {
        let Store { applications, partition: Some(partition) } = &self.stores[store.index()] else { return };
        let end = partition.end();
        if end >= offset || partition.is_empty() {
            return;
        }
        for &application in applications {
            let application = usize::from(application);
            let count = offset.saturating_sub(partition.groups[application].position.max(end));
            self.tallies[application].backlog.grow(time, count);
            self.totals.iter_mut().for_each(|totals| totals.backlog.add(count));
        }
    }

    #[inline(never)]
    fn removed(&mut self, time: Time, message: MessageId, store: StoreId, size: Bytes, cause: Removal) {
        let bits = match cause {
            Removal::Acked | Removal::AutoAcked => state::SETTLED,
            Removal::Rejected | Removal::RetentionTime | Removal::RetentionSize | Removal::Purged => state::DROPPED,
            Removal::Expired | Removal::MaxLength | Removal::DeliveryLimit => {
                self.note_given_up(store, cause);
                state::DROPPED
            }
            // What compaction takes from a partition was looked at before.
            Removal::NodeLost | Removal::Compacted => 0,
        };
        let store = &self.stores[store.index()];
        let last = self.ledger.dequeued(message, &store.applications, bits);
        self.distinct -= u64::from(last && self.distinct > 0);
        let bytes = u64::from(size.get());
        if let Some(totals) = &mut self.totals {
            totals.storage.take(1, bytes);
            totals.backlog.take(store.applications.len() as u64);
        }
        for &application in &store.applications {
            let tally = &mut self.tallies[usize::from(application)];
            tally.storage.take(1, bytes);
            tally.backlog.shrink(time, 1);
        }
    }

    #[inline(never)]
    fn committed(&mut self, consumer: ClientId, store: StoreId, offset: Offset) {
        let Some(application) = self.application_of(consumer) else { return };
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let group = &mut partition.groups[application];
            group.passed = group.passed.max(offset.get());
        }
    }

    /// The share group of an application is done with a record.
    #[inline(never)]
    fn archived(
        &mut self,
        time: Time,
        message: MessageId,
        (store, offset): (StoreId, Offset),
        application: usize,
        cause: Removal,
    ) {
        if cause == Removal::Acked {
            self.ledger.mark(message, application, state::SETTLED);
        } else {
            self.note_archived(message, application, cause);
        }
        self.change_group(time, store, application, |group| group.archive(offset.get()));
    }

    /// Moves the group of an application in a partition. A group may be sent beyond an end that lies further back than
    /// it did; what is stored there meanwhile it has before it until it reads on.
    #[inline]
    fn move_group(&mut self, time: Time, store: StoreId, application: usize, position: u64) {
        let end = self.stores[store.index()].partition.as_ref().map_or(position, Partition::end);
        self.change_group(time, store, application, |group| group.set_beyond(position.min(end)));
    }

    /// Changes where the group of an application is in a partition; its backlog is what it has to do up to the end.
    #[inline]
    fn change_group(&mut self, time: Time, store: StoreId, application: usize, change: impl FnOnce(&mut GroupPlace)) {
        let Some(partition) = &mut self.stores[store.index()].partition else { return };
        let end = partition.end();
        let group = &mut partition.groups[application];
        let tally = &mut self.tallies[application];
        let (old, in_flight) = (group.backlog(end), group.in_flight());
        change(group);
        let new = group.backlog(end);
        tally.in_flight = tally.in_flight + group.in_flight() - in_flight;
        if new > old {
            tally.backlog.grow(time, new - old);
        } else {
            tally.backlog.shrink(time, old - new);
        }
        match &mut self.totals {
            Some(totals) if new > old => totals.backlog.add(new - old),
            Some(totals) => totals.backlog.take(old - new),
            None => {}
        }
    }

    /// What all applications together have, and had at most.
    pub(crate) fn totals(&self) -> Totals {
        let of_one = |tally: &Tally| Totals { storage: tally.storage, backlog: tally.backlog.level };
        self.totals.unwrap_or_else(|| of_one(&self.tallies[0]))
    }

    #[inline]
    fn application_of(&self, client: ClientId) -> Option<usize> {
        self.clients[client.index()].application.map(usize::from)
    }

    #[cold]
    fn close_bins(&mut self, time: Time) {
        while self.series.is_due(time) {
            self.close_bin(self.series.next);
        }
    }

    pub(crate) fn close_bin(&mut self, end: Time) {
        let storage = self.totals().storage;
        let open = &mut self.series.open;
        open.stored_messages = storage.messages.now;
        open.stored_bytes = storage.bytes.now;
        open.stored_distinct = self.distinct;
        open.blocked = self.blocking.since_last(end);
        let (tallies, unread) = (&self.tallies, &mut self.unread);
        self.series.close(|application| {
            let tally = &tallies[application];
            Levels {
                backlog: tally.backlog.level.now,
                arrived: tally.backlog.arrived,
                in_flight: tally.in_flight,
                consumers_up: tally.consumers_up,
                unread: unread.as_mut().map(|unread| unread[application].since_last(end)),
            }
        });
    }
}

impl Wants {
    fn of(header: &RunHeader) -> Wants {
        let applications = header.applications.iter().map(|application| application.wants.clone()).collect();
        Wants { law: header.kinds.law.clone(), applications }
    }

    fn unwanted(&self, message: MessageId) -> impl Iterator<Item = ApplicationId> + '_ {
        let kind = usize::from(self.law.of(message));
        let wanted = move |wants: &Option<Vec<bool>>| wants.as_ref().is_none_or(|wants| wants[kind]);
        let applications = self.applications.iter().enumerate().filter(move |(_, wants)| !wanted(wants));
        applications.map(|(index, _)| ApplicationId::new(index as u16))
    }
}

impl Tally {
    fn new(keys: usize, out_of_order_max: usize) -> Tally {
        Tally {
            backlog: Backlog::default(),
            storage: Storage::default(),
            in_flight: 0,
            consumers_up: 0,
            deliveries: 0,
            redeliveries: 0,
            duplicates: 0,
            replayed: 0,
            processed_after_warm_up: 0,
            to_deliver: Recorder::default(),
            to_process: Recorder::default(),
            order: KeyOrder::new(keys, out_of_order_max),
            rebalances: 0,
            rebalancing: Duration::ZERO,
            rebalancing_since: None,
            incidents: Incidents::default(),
        }
    }
}
