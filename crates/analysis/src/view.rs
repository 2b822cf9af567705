//! The state of every entity at a moment of a run, as far as events tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use brokerlab_event::{
    ApplicationId, Blockage, Bytes, ClientId, ClientRole, Event, FaultId, MessageId, Millionths, Model, NodeId,
    Observer, Offset, Outcome, Party, RunHeader, StoreId, StoreInfo, StoreKind, Time,
};

use crate::PlaceSet;

/// A client.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClientView {
    /// The application it works for; nothing for producers.
    pub application: Option<ApplicationId>,
    /// It is running and has a connection.
    pub connected: bool,
    /// It stands still.
    pub paused: bool,
    /// How long its work takes, as a factor of the usual time.
    pub speed: Millionths,
    /// The message that it works on.
    pub working_on: Option<MessageId>,
    /// What it has in hand: delivered, and neither processed nor given back. Per store the places there; what came
    /// from a broadcast stands under [`StoreId::MAX`] with the numbers of the messages.
    pub holds: BTreeMap<StoreId, PlaceSet>,
    /// Deliveries from queues that it has not settled.
    pub unsettled: u64,
    /// Why the broker does not read from it, where it does not.
    pub blocked: Option<Blockage>,
    /// Its last work failed: on which message, and where that came from. It may be tried again.
    pub failed: Option<(MessageId, StoreId, Offset)>,
}

impl ClientView {
    /// How many messages it has in hand.
    pub fn held(&self) -> u64 {
        self.holds.values().map(PlaceSet::len).sum()
    }

    fn hold(&mut self, message: MessageId, store: StoreId, offset: Offset) {
        self.holds.entry(store).or_default().insert(place(message, store, offset));
    }

    /// Work begins. What failed before it was passed over, unless this is the next attempt at it.
    fn started(&mut self, message: MessageId) {
        self.working_on = Some(message);
        if let Some((failed, store, offset)) = self.failed.take()
            && failed != message
        {
            self.release(failed, store, offset);
        }
    }

    /// The broker has taken back what was not settled. Work in hand goes on, but belongs to nobody's queue any more.
    fn lost_channel(&mut self) {
        self.holds.clear();
        (self.unsettled, self.failed) = (0, None);
    }

    fn release(&mut self, message: MessageId, store: StoreId, offset: Offset) {
        if let Some(places) = self.holds.get_mut(&store) {
            places.remove(place(message, store, offset));
            if places.is_empty() {
                self.holds.remove(&store);
            }
        }
    }
}

fn place(message: MessageId, store: StoreId, offset: Offset) -> u64 {
    if store == StoreId::MAX { message.get() } else { offset.get() }
}

/// A queue or a partition.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StoreView {
    /// One after the last place that was ever filled; a queue that was deleted begins anew.
    pub end: u64,
    /// It is not there: it was deleted, and nothing has been stored in it since, or it has not been added yet.
    pub absent: bool,
    /// Messages stored.
    pub messages: u64,
    /// Bytes stored. A partition that drops part of a segment is taken to drop bytes in proportion.
    pub bytes: u64,
    /// What depends on its kind.
    pub content: ContentView,
}

/// What a store holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ContentView {
    /// A queue: each place is in at most one of the sets; in none, it is gone.
    Queue {
        /// Ready and never delivered.
        fresh: PlaceSet,
        /// Ready again after a delivery that came to nothing.
        returned: PlaceSet,
        /// Delivered and not settled.
        unacked: PlaceSet,
    },
    /// A partition: everything from `start` to the end.
    Partition {
        /// The first offset that is kept.
        start: u64,
        /// What compaction has taken out, from the start on.
        compacted: PlaceSet,
        /// First offset and bytes of each segment.
        segments: VecDeque<(u64, u64)>,
        /// The first offset of each open transaction, in order: readers of committed data get no further than the
        /// first of them.
        open: Vec<u64>,
        /// The offsets of markers that are kept, in order: each ends a transaction, and holds no message.
        markers: VecDeque<u64>,
        /// The groups, one for each application of the run.
        groups: Vec<GroupView>,
        /// What share groups do beyond that, likewise; empty where there are none.
        shares: Vec<ShareView>,
    },
}

/// The records from the position of a share group on that are not simply waiting for the first time.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShareView {
    /// Ready again after a delivery that came to nothing.
    pub released: PlaceSet,
    /// Delivered, and neither released nor archived.
    pub acquired: PlaceSet,
    /// The group is done with them.
    pub archived: PlaceSet,
}

impl ShareView {
    fn weight_beyond(&self, other: &ShareView) -> usize {
        self.released.weight_beyond(&other.released)
            + self.acquired.weight_beyond(&other.acquired)
            + self.archived.weight_beyond(&other.archived)
    }

    fn delivered(&mut self, offset: u64) {
        if !self.archived.contains(offset) {
            self.released.remove(offset);
            self.acquired.insert(offset);
        }
    }

    fn released(&mut self, offset: u64) {
        self.acquired.remove(offset);
        self.released.insert(offset);
    }

    /// The group is done with an offset. Returns its position, which moves over everything that it is done with.
    fn archived(&mut self, offset: u64, position: u64) -> u64 {
        self.acquired.remove(offset);
        self.released.remove(offset);
        if offset >= position {
            self.archived.insert(offset);
        }
        self.pass_archived(position)
    }

    fn pass_archived(&mut self, mut position: u64) -> u64 {
        while self.archived.remove(position) {
            position += 1;
        }
        position
    }

    /// There is nothing from this offset on any more.
    fn cut(&mut self, end: u64) {
        for set in [&mut self.released, &mut self.acquired, &mut self.archived] {
            set.cut(end);
        }
    }

    /// There is nothing below this offset any more. Returns the position of the group.
    fn trimmed(&mut self, until: u64) -> u64 {
        for set in [&mut self.released, &mut self.acquired, &mut self.archived] {
            while let Some(first) = set.first().filter(|first| *first < until) {
                set.remove(first);
            }
        }
        self.pass_archived(until)
    }
}

/// Where the group of an application is in a partition.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct GroupView {
    /// The consumer that reads it.
    pub owner: Option<ClientId>,
    /// The committed offset.
    pub committed: Option<u64>,
    /// One after the last record processed; an assignment moves it, back or forth.
    pub position: u64,
    /// One after the last record delivered to the owner.
    pub delivered: u64,
}

/// What is counted for an application, and the state of its group.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ApplicationView {
    /// Deliveries.
    pub delivered: u64,
    /// Deliveries marked as made before.
    pub redelivered: u64,
    /// Processings, duplicates included.
    pub processed: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Broadcasts that found nobody.
    pub missed: u64,
    /// Its group redistributes its partitions.
    pub rebalancing: bool,
    /// The generation of its group.
    pub generation: u16,
}

/// What is counted over the whole run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CountersView {
    /// Messages offered.
    pub offered: u64,
    /// Attempts to send.
    pub sent: u64,
    /// Confirms.
    pub confirmed: u64,
    /// Messages refused.
    pub refused: u64,
    /// Messages whose producer waited in vain for a confirm.
    pub sends_expired: u64,
    /// Records that a partition had already when they came again.
    pub deduplicated: u64,
    /// Records whose transaction was aborted.
    pub aborted: u64,
    /// Messages returned.
    pub returned: u64,
    /// Messages dropped for want of a queue.
    pub unrouted: u64,
    /// Answers that reached senders.
    pub replied: u64,
    /// Copies that queues declined.
    pub declined: u64,
    /// Dead letters that queues took.
    pub dead_letters: u64,
    /// Channels that the broker closed.
    pub channel_errors: u64,
}

/// The state of every entity after some events of a run: a fold over events, equal for equal events. A copy shares
/// what has not changed since, so it costs little also where a million messages wait.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct View {
    /// The time of the last event.
    pub time: Time,
    /// How many events led here.
    pub events: u64,
    /// The clients, as in the header.
    pub clients: Vec<Arc<ClientView>>,
    /// The stores, as in the header.
    pub stores: Vec<Arc<StoreView>>,
    /// The applications, as in the header.
    pub applications: Vec<ApplicationView>,
    /// Counters over all.
    pub counters: CountersView,
    /// Faults that are on, and whom each hits.
    pub faults: Vec<(FaultId, Party)>,
    /// Broker nodes that are down.
    pub nodes_down: BTreeSet<NodeId>,
}

impl View {
    /// Before the first event.
    pub fn new(header: &RunHeader) -> View {
        let client = |role: ClientRole| ClientView {
            application: match role {
                ClientRole::Consumer(application) => Some(application),
                ClientRole::Producer => None,
            },
            connected: false,
            paused: false,
            speed: Millionths::ONE,
            working_on: None,
            holds: BTreeMap::new(),
            unsettled: 0,
            blocked: None,
            failed: None,
        };
        let content = |kind| match kind {
            StoreKind::Queue => ContentView::Queue {
                fresh: PlaceSet::default(),
                returned: PlaceSet::default(),
                unacked: PlaceSet::default(),
            },
            StoreKind::Partition { .. } => ContentView::Partition {
                start: 0,
                compacted: PlaceSet::default(),
                segments: VecDeque::from([(0, 0)]),
                open: Vec::new(),
                markers: VecDeque::new(),
                groups: vec![GroupView::default(); header.applications.len()],
                shares: match header.model {
                    Model::ShareGroup => vec![ShareView::default(); header.applications.len()],
                    _ => Vec::new(),
                },
            },
        };
        let store = |info: &StoreInfo| StoreView {
            end: 0,
            absent: info.comes_later,
            messages: 0,
            bytes: 0,
            content: content(info.kind),
        };
        View {
            time: Time::ZERO,
            events: 0,
            clients: header.clients.iter().map(|info| Arc::new(client(info.role))).collect(),
            stores: header.stores.iter().map(|info| Arc::new(store(info))).collect(),
            applications: vec![ApplicationView::default(); header.applications.len()],
            counters: CountersView::default(),
            faults: Vec::new(),
            nodes_down: BTreeSet::new(),
        }
    }

    fn client(&mut self, client: ClientId) -> &mut ClientView {
        Arc::make_mut(&mut self.clients[client.index()])
    }

    /// Nothing for a broadcast, which has no store.
    fn store(&mut self, store: StoreId) -> Option<&mut StoreView> {
        self.stores.get_mut(store.index()).map(Arc::make_mut)
    }

    fn application(&mut self, consumer: ClientId) -> Option<&mut ApplicationView> {
        let application = self.clients[consumer.index()].application?;
        self.applications.get_mut(application.index())
    }

    fn group(&mut self, consumer: ClientId, store: StoreId) -> Option<&mut GroupView> {
        let application = self.clients[consumer.index()].application?;
        match &mut self.store(store)?.content {
            ContentView::Partition { groups, .. } => groups.get_mut(application.index()),
            ContentView::Queue { .. } => None,
        }
    }

    /// A store whose consumers settle each message: a queue, or a partition that share groups read.
    fn is_settled_singly(&self, store: StoreId) -> bool {
        match self.stores.get(store.index()).map(|store| &store.content) {
            Some(ContentView::Queue { .. }) => true,
            Some(ContentView::Partition { shares, .. }) => !shares.is_empty(),
            None => false,
        }
    }

    /// What the share group of an application does in a partition, and its position there.
    fn share(&mut self, application: ApplicationId, store: StoreId) -> Option<(&mut ShareView, &mut u64)> {
        match &mut self.store(store)?.content {
            ContentView::Partition { groups, shares, .. } => {
                Some((shares.get_mut(application.index())?, &mut groups[application.index()].position))
            }
            ContentView::Queue { .. } => None,
        }
    }

    /// Bytes that this copy takes beyond those that it shares with another of the same run.
    pub(crate) fn weight_beyond(&self, other: &View) -> usize {
        let pointers = (self.clients.len() + self.stores.len()) * size_of::<usize>();
        let small = size_of_val(&*self.applications) + size_of_val(&*self.faults);
        let clients = self.clients.iter().zip(&other.clients).filter(|(own, their)| !Arc::ptr_eq(own, their));
        let stores = self.stores.iter().zip(&other.stores).filter(|(own, their)| !Arc::ptr_eq(own, their));
        size_of::<View>()
            + pointers
            + small
            + clients.map(|(own, their)| own.weight_beyond(their)).sum::<usize>()
            + stores.map(|(own, their)| own.weight_beyond(their)).sum::<usize>()
    }
}

impl ClientView {
    fn weight_beyond(&self, other: &ClientView) -> usize {
        let nothing = PlaceSet::default();
        let holds = |(store, places): (&StoreId, &PlaceSet)| {
            size_of::<(StoreId, PlaceSet)>() + places.weight_beyond(other.holds.get(store).unwrap_or(&nothing))
        };
        size_of::<ClientView>() + self.holds.iter().map(holds).sum::<usize>()
    }
}

impl StoreView {
    fn weight_beyond(&self, other: &StoreView) -> usize {
        use ContentView::{Partition, Queue};
        let content = match (&self.content, &other.content) {
            (
                Queue { fresh, returned, unacked },
                Queue { fresh: their_fresh, returned: their_returned, unacked: their_unacked },
            ) => {
                fresh.weight_beyond(their_fresh)
                    + returned.weight_beyond(their_returned)
                    + unacked.weight_beyond(their_unacked)
            }
            (Partition { segments, open, markers, groups, compacted, shares, .. }, other) => {
                let nothing = (PlaceSet::default(), ShareView::default());
                let (theirs, their_shares) = match other {
                    Partition { compacted, shares, .. } => (compacted, shares.as_slice()),
                    Queue { .. } => (&nothing.0, [].as_slice()),
                };
                let (offsets, gaps) = (open.len() + markers.len(), compacted.weight_beyond(theirs));
                let share = |(index, own): (usize, &ShareView)| {
                    own.weight_beyond(their_shares.get(index).unwrap_or(&nothing.1))
                };
                segments.len() * size_of::<(u64, u64)>()
                    + offsets * size_of::<u64>()
                    + size_of_val(&**groups)
                    + gaps
                    + size_of_val(&**shares)
                    + shares.iter().enumerate().map(share).sum::<usize>()
            }
            (Queue { .. }, Partition { .. }) => 0,
        };
        size_of::<StoreView>() + content
    }

    /// Messages that can be delivered: for a queue those that are ready.
    pub fn ready(&self) -> u64 {
        match &self.content {
            ContentView::Queue { fresh, returned, .. } => fresh.len() + returned.len(),
            ContentView::Partition { .. } => self.messages,
        }
    }

    /// The marker takes a place of its own.
    fn transaction_ended(&mut self, first: u64, marker: u64) {
        self.end = self.end.max(marker + 1);
        if let ContentView::Partition { open, markers, .. } = &mut self.content {
            open.retain(|other| *other != first);
            markers.push_back(marker);
        }
    }

    /// The first place that holds something, or the end.
    pub fn start(&self) -> u64 {
        match &self.content {
            ContentView::Partition { start, .. } => *start,
            ContentView::Queue { fresh, returned, unacked } => {
                [fresh, returned, unacked].into_iter().filter_map(PlaceSet::first).min().unwrap_or(self.end)
            }
        }
    }

    /// The first place that was never delivered, or the end.
    pub fn next_undelivered(&self, application: ApplicationId) -> u64 {
        match &self.content {
            ContentView::Queue { fresh, .. } => fresh.first().unwrap_or(self.end),
            ContentView::Partition { start, groups, .. } => groups[application.index()].delivered.max(*start),
        }
    }

    fn stored(&mut self, offset: u64, size: Bytes) {
        self.end = self.end.max(offset + 1);
        self.absent = false;
        self.messages += 1;
        self.bytes += u64::from(size.get());
        match &mut self.content {
            ContentView::Queue { fresh, .. } => {
                fresh.insert(offset);
            }
            ContentView::Partition { segments, .. } => {
                let last = segments.back_mut().expect("a partition has a segment from the start");
                last.1 += u64::from(size.get());
            }
        }
    }

    fn removed(&mut self, offset: u64, size: Bytes) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(u64::from(size.get()));
        match &mut self.content {
            ContentView::Queue { fresh, returned, unacked } => {
                let _was_somewhere = unacked.remove(offset) || fresh.remove(offset) || returned.remove(offset);
            }
            ContentView::Partition { segments, compacted, .. } => {
                compacted.insert(offset);
                let after = segments.partition_point(|(first, _)| *first <= offset);
                if let Some((_, bytes)) = after.checked_sub(1).and_then(|index| segments.get_mut(index)) {
                    *bytes = bytes.saturating_sub(u64::from(size.get()));
                }
            }
        }
    }

    fn delivered(&mut self, offset: u64) {
        if let ContentView::Queue { fresh, returned, unacked } = &mut self.content
            && (fresh.remove(offset) || returned.remove(offset))
        {
            unacked.insert(offset);
        }
    }

    fn requeued(&mut self, offset: u64) {
        if let ContentView::Queue { fresh, returned, unacked } = &mut self.content
            && (unacked.remove(offset) || fresh.remove(offset))
        {
            returned.insert(offset);
        }
    }

    /// Of a segment that is cut in two, each record counts as large as the average.
    fn truncated(&mut self, cut: u64) {
        let ContentView::Partition { start, compacted, segments, groups, shares, markers, open } = &mut self.content
        else {
            return;
        };
        let old = self.end;
        self.end = old.min(cut.max(*start));
        let mut gone = old - self.end;
        while markers.pop_back_if(|marker| *marker >= cut).is_some() {
            gone -= 1;
        }
        open.retain(|first| *first < cut);
        gone = gone.saturating_sub(compacted.cut(cut));
        self.messages = self.messages.saturating_sub(gone);
        let mut segment_end = old;
        while let Some((first, bytes)) = segments.back_mut()
            && segment_end > self.end
        {
            let (kept, all) = (self.end.saturating_sub(*first), segment_end - *first);
            let bytes_kept = (u128::from(*bytes) * u128::from(kept) / u128::from(all.max(1))) as u64;
            self.bytes -= *bytes - bytes_kept;
            (*bytes, segment_end) = (bytes_kept, *first);
            if *first > self.end && segments.len() > 1 {
                segments.pop_back();
            }
        }
        for group in groups.iter_mut() {
            group.position = group.position.min(self.end);
            group.delivered = group.delivered.min(self.end);
        }
        shares.iter_mut().for_each(|share| share.cut(cut));
    }

    fn trimmed(&mut self, until: u64) {
        let ContentView::Partition { start, compacted, segments, groups, shares, markers, .. } = &mut self.content
        else {
            return;
        };
        let end = self.end;
        while let Some(&(first, bytes)) = segments.front() {
            let segment_end = segments.get(1).map_or(end, |next| next.0);
            if segment_end <= until && segments.len() > 1 {
                segments.pop_front();
                self.bytes -= bytes;
                continue;
            }
            let first = first.max(*start);
            let (gone, all) = (until.clamp(first, segment_end.max(first)) - first, segment_end.saturating_sub(first));
            if gone > 0 {
                let bytes_gone = (u128::from(bytes) * u128::from(gone) / u128::from(all)) as u64;
                self.bytes -= bytes_gone;
                segments[0] = (until, bytes - bytes_gone);
            }
            break;
        }
        let mut gone = until.min(end).saturating_sub(*start);
        while markers.pop_front_if(|marker| *marker < until).is_some() {
            gone -= 1;
        }
        while let Some(gap) = compacted.first().filter(|gap| *gap < until) {
            compacted.remove(gap);
            gone = gone.saturating_sub(1);
        }
        self.messages = self.messages.saturating_sub(gone);
        *start = until.max(*start);
        self.end = end.max(until);
        for (index, group) in groups.iter_mut().enumerate() {
            let until = group.position.max(until);
            group.position = shares.get_mut(index).map_or(until, |share| share.trimmed(until));
        }
    }
}

impl Observer for View {
    fn observe(&mut self, time: Time, event: Event) {
        self.time = time;
        self.events += 1;
        match event {
            Event::Offered { .. } => self.counters.offered += 1,
            Event::Sent { .. } => self.counters.sent += 1,
            Event::Confirmed { .. } => self.counters.confirmed += 1,
            Event::Refused { .. } => self.counters.refused += 1,
            Event::Returned { .. } => self.counters.returned += 1,
            Event::Unrouted { .. } => self.counters.unrouted += 1,
            Event::Replied { .. } => self.counters.replied += 1,
            Event::Delivered { message, consumer, store, offset, redelivered } => {
                self.delivered(message, consumer, store, offset, redelivered);
            }
            Event::Started { message, consumer } => self.client(consumer).started(message),
            Event::Processed { message, consumer, store, offset } => {
                let client = self.client(consumer);
                client.working_on = client.working_on.filter(|&other| other != message);
                client.release(message, store, offset);
                if !self.is_settled_singly(store)
                    && let Some(group) = self.group(consumer, store)
                {
                    group.position = group.position.max(offset.get() + 1);
                }
                self.application(consumer).into_iter().for_each(|own| own.processed += 1);
            }
            Event::Settled { message, consumer, store, offset, outcome } => {
                let of_queue = self.is_settled_singly(store);
                let client = self.client(consumer);
                client.unsettled = client.unsettled.saturating_sub(u64::from(of_queue));
                if matches!(outcome, Outcome::Requeue | Outcome::Reject) {
                    client.release(message, store, offset);
                }
            }
            Event::Stored { store, offset, size, .. } => {
                self.store(store).into_iter().for_each(|own| own.stored(offset.get(), size));
            }
            Event::Removed { store, offset, size, .. } => {
                self.store(store).into_iter().for_each(|own| own.removed(offset.get(), size));
            }
            Event::Requeued { store, offset, .. } => {
                self.store(store).into_iter().for_each(|own| own.requeued(offset.get()));
            }
            rare => self.observe_rare(rare),
        }
    }
}

impl View {
    fn delivered(&mut self, message: MessageId, consumer: ClientId, store: StoreId, offset: Offset, redelivered: bool) {
        let of_queue = self.is_settled_singly(store);
        let client = self.client(consumer);
        client.hold(message, store, offset);
        client.unsettled += u64::from(of_queue);
        if let Some(application) = self.clients[consumer.index()].application
            && let Some((share, _)) = self.share(application, store)
        {
            share.delivered(offset.get());
        }
        if let Some(group) = self.group(consumer, store) {
            group.delivered = group.delivered.max(offset.get() + 1);
        } else if let Some(store) = self.store(store) {
            store.delivered(offset.get());
        }
        if let Some(application) = self.application(consumer) {
            application.delivered += 1;
            application.redelivered += u64::from(redelivered);
        }
    }

    fn observe_rare(&mut self, event: Event) {
        match event {
            Event::Connected { client } => self.client(client).connected = true,
            Event::Disconnected { client, .. } => self.disconnected(client),
            Event::Paused { client } => self.client(client).paused = true,
            Event::Resumed { client } => self.client(client).paused = false,
            Event::SpeedChanged { client, factor } => self.client(client).speed = factor,
            Event::FaultStarted { fault, target } => self.faults.push((fault, target)),
            Event::FaultEnded { fault, target } => self.faults.retain(|&other| other != (fault, target)),
            Event::NodeDown { node } => {
                self.nodes_down.insert(node);
            }
            Event::NodeUp { node } => {
                self.nodes_down.remove(&node);
            }
            Event::DeadLettered { .. } => self.counters.dead_letters += 1,
            Event::Declined { .. } => self.counters.declined += 1,
            Event::QueueDeleted { store } => {
                self.store(store).into_iter().for_each(|own| (own.end, own.absent) = (0, true));
            }
            Event::PartitionAdded { store } => self.store(store).into_iter().for_each(|own| own.absent = false),
            Event::ChannelClosed { client, .. } => {
                self.counters.channel_errors += 1;
                self.client(client).lost_channel();
            }
            Event::ConnectionLost { client } => self.connection_lost(client),
            Event::Reconnected { client } => self.client(client).connected = true,
            Event::SendExpired { .. } => self.counters.sends_expired += 1,
            Event::Blocked { client, cause } => self.client(client).blocked = Some(cause),
            Event::Unblocked { client } => self.client(client).blocked = None,
            Event::Failed { message, consumer, store, offset } => self.failed(message, consumer, store, offset),
            Event::Committed { consumer, store, offset } => {
                self.group(consumer, store).into_iter().for_each(|group| group.committed = Some(offset.get()));
            }
            Event::SetAside { message, consumer, store, offset, .. } => {
                let client = self.client(consumer);
                client.failed = None;
                client.release(message, store, offset);
                if let Some(group) = self.group(consumer, store) {
                    group.position = group.position.max(offset.get() + 1);
                }
            }
            Event::PositionReset { consumer, store, offset } | Event::Sought { consumer, store, offset } => {
                self.client(consumer).holds.remove(&store);
                if let Some(group) = self.group(consumer, store) {
                    (group.position, group.delivered) = (offset.get(), offset.get());
                }
            }
            Event::Assigned { consumer, store, offset, .. } => {
                if let Some(group) = self.group(consumer, store) {
                    let at = offset.get();
                    (group.owner, group.position, group.delivered) = (Some(consumer), at, at);
                }
            }
            Event::Revoked { consumer, store, .. } => {
                self.client(consumer).holds.remove(&store);
                self.disown(consumer, store);
            }
            Event::Trimmed { store, until, .. } => {
                self.store(store).into_iter().for_each(|own| own.trimmed(until.get()));
            }
            Event::Truncated { store, end } | Event::LeaderElected { store, end, .. } => {
                self.store(store).into_iter().for_each(|own| own.truncated(end.get()));
            }
            Event::SegmentRolled { store, offset } => {
                if let Some(StoreView { content: ContentView::Partition { segments, .. }, .. }) = self.store(store) {
                    segments.push_back((offset.get(), 0));
                }
            }
            Event::TransactionOpened { store, offset, .. } => {
                if let Some(StoreView { content: ContentView::Partition { open, .. }, .. }) = self.store(store) {
                    open.push(offset.get());
                }
            }
            Event::TransactionEnded { store, first, offset, .. } => {
                if let Some(own) = self.store(store) {
                    own.transaction_ended(first.get(), offset.get());
                }
            }
            Event::Deduplicated { .. } => self.counters.deduplicated += 1,
            Event::Aborted { .. } => self.counters.aborted += 1,
            Event::ShareStarted { store, application, offset } => {
                self.share(application, store).into_iter().for_each(|(_, position)| *position = offset.get());
            }
            Event::Released { store, offset, application, .. } => {
                self.share(application, store).into_iter().for_each(|(share, _)| share.released(offset.get()));
            }
            Event::Archived { store, offset, application, .. } => {
                if let Some((share, position)) = self.share(application, store) {
                    *position = share.archived(offset.get(), *position);
                }
            }
            Event::Missed { application, .. } => self.applications[application.index()].missed += 1,
            Event::RebalanceStarted { application, .. } => self.applications[application.index()].rebalancing = true,
            Event::RebalanceCompleted { application, generation, .. } => {
                let own = &mut self.applications[application.index()];
                (own.rebalancing, own.generation) = (false, generation.get());
            }
            _ => {}
        }
    }

    /// A queue gets the message back, if it does not forget it; from a log it is tried again, or passed over.
    fn failed(&mut self, message: MessageId, consumer: ClientId, store: StoreId, offset: Offset) {
        let of_log = self.stores.get(store.index()).is_some() && !self.is_settled_singly(store);
        let client = self.client(consumer);
        client.working_on = client.working_on.filter(|&other| other != message);
        if of_log {
            client.failed = Some((message, store, offset));
        } else {
            client.release(message, store, offset);
        }
        self.application(consumer).into_iter().for_each(|own| own.failed += 1);
    }

    fn disown(&mut self, consumer: ClientId, store: StoreId) {
        if let Some(group) = self.group(consumer, store)
            && group.owner == Some(consumer)
        {
            (group.owner, group.delivered) = (None, group.position);
        }
    }

    /// The queues have back what was delivered. What was read of a log stays in hand.
    fn connection_lost(&mut self, client: ClientId) {
        let stores = &self.stores;
        let is_queue = |store: &StoreId| match stores.get(store.index()) {
            Some(store) => matches!(store.content, ContentView::Queue { .. }),
            None => true,
        };
        let from_queues = self.clients[client.index()].holds.keys().any(is_queue);
        let own = self.client(client);
        own.connected = false;
        if from_queues {
            own.lost_channel();
        }
    }

    fn disconnected(&mut self, client: ClientId) {
        let own = self.client(client);
        (own.connected, own.paused, own.working_on, own.unsettled) = (false, false, None, 0);
        own.holds.clear();
        own.failed = None;
        let Some(application) = own.application else { return };
        let owned = |store: &Arc<StoreView>| match &store.content {
            ContentView::Partition { groups, .. } => groups[application.index()].owner == Some(client),
            ContentView::Queue { .. } => false,
        };
        let stores: Vec<usize> = (0..self.stores.len()).filter(|&index| owned(&self.stores[index])).collect();
        for index in stores {
            self.disown(client, StoreId::new(index as u32));
        }
    }
}
