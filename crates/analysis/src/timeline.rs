//! Travel in the time of a run.

use brokerlab_event::{
    ApplicationId, Departure, Event, EventLog, KeyId, MessageId, Observer, Offset, Record, Removal, RunHeader, StoreId,
    Time,
};

use crate::{PlaceSet, View};

/// Keyframes are at least this many events apart: so many are replayed in a fraction of a millisecond.
const SPACING: usize = 2048;

/// Something in a run that one may want to jump to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum NotableKind {
    /// A fault of the scenario began.
    FaultStarted,
    /// A fault of the scenario ended.
    FaultEnded,
    /// A client's process died.
    Crashed,
    /// A group began to redistribute its partitions.
    Rebalance,
    /// A topic got another partition.
    PartitionAdded,
    /// A message was delivered again.
    Redelivery,
    /// An application processed a message again.
    Duplicate,
    /// A message was processed after a later one of its key.
    OutOfOrder,
    /// A broadcast found nobody of an application.
    Missed,
    /// The broker refused, returned or dropped a message that a producer sent, a queue declined it, or no confirm came
    /// in time.
    NotAccepted,
    /// A queue gave messages up (by retention, time to live, a limit), or they went down with their node.
    Dropped,
    /// A queue took a dead letter.
    DeadLettered,
    /// Work on a message failed.
    Failed,
    /// The broker closed a channel because of an error.
    ChannelClosed,
    /// A connection broke.
    ConnectionLost,
    /// A node leads a partition from now on.
    LeaderElected,
    /// A producer was held up.
    Blocked,
    /// A queue was deleted.
    QueueDeleted,
}

/// An event that stands out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Notable {
    /// Its place in the log.
    pub index: usize,
    /// When it happened.
    pub time: Time,
    /// What it is.
    pub kind: NotableKind,
}

/// Where in the log the messages of a store were stored, in the order of their places there. A queue that comes again
/// after it was deleted numbers its places anew, and so does a partition that lost its end, so there is a list for each
/// of its lives.
#[derive(Clone, Default, Debug)]
struct Stored {
    lives: Vec<Life>,
    next: Offset,
}

#[derive(Clone, Default, Debug)]
struct Life {
    /// The place in the log of the event that began it.
    begins: usize,
    stored: Vec<u32>,
}

impl Stored {
    fn push(&mut self, index: usize, offset: Offset) {
        if self.lives.is_empty() || offset < self.next {
            self.lives.push(Life { begins: index, stored: Vec::new() });
        }
        let place = u32::try_from(index).expect("a log in memory has fewer events than 2^32");
        self.lives.last_mut().expect("there is one now").stored.push(place);
        self.next = Offset::new(offset.get() + 1);
    }

    /// From this event on only what lies before this end is there.
    fn truncate(&mut self, log: &EventLog, index: usize, end: Offset) {
        let Some(life) = self.lives.last().filter(|_| end < self.next) else { return };
        let kept = life.stored.partition_point(|place| offset_stored(log, *place) < end);
        let stored = life.stored[..kept].to_vec();
        self.lives.push(Life { begins: index, stored });
        self.next = end;
    }

    /// The list of the life at this moment, or the first.
    fn at(&self, position: usize) -> &[u32] {
        let later = self.lives.partition_point(|life| life.begins < position);
        self.lives.get(later.saturating_sub(1)).map_or(&[], |life| life.stored.as_slice())
    }
}

/// The place in its store of what was stored by this event.
fn offset_stored(log: &EventLog, index: u32) -> Offset {
    match log.records()[index as usize].event() {
        Event::Stored { offset, .. } => offset,
        _ => unreachable!("only places where something was stored are listed"),
    }
}

/// The events of a run with a moment in it, and the state at that moment. Keyframes make any moment quick to
/// reach; all of them together never take more memory than the events.
///
/// ```
/// # use brokerlab_event::{ClientId, ClientInfo, ClientRole, Event, EventLog, KeyTable, Kinds, Model, Observer, RunHeader, Time};
/// use brokerlab_analysis::Timeline;
/// # let header = RunHeader {
/// #     title: String::new(), contender: String::new(), model: Model::Queue, seed: 1, demand_digest: 0,
/// #     horizon: Time::from_nanos(10), warm_up: Time::ZERO, applications: vec![],
/// #     clients: vec![ClientInfo { name: "producer/1".into(), role: ClientRole::Producer }],
/// #     stores: vec![], faults: vec![], keys: KeyTable::default(), kinds: Kinds::default(), promises: vec![],
/// # };
/// let mut log = EventLog::default();
/// log.observe(Time::from_nanos(5), Event::Connected { client: ClientId::new(0) });
///
/// let mut timeline = Timeline::new(&header, log);
/// timeline.seek(Time::from_nanos(4));
/// assert!(!timeline.view().clients[0].connected);
/// assert_eq!(timeline.next_event().map(|record| record.time), Some(Time::from_nanos(5)));
/// assert!(timeline.view().clients[0].connected);
/// ```
#[derive(Clone, Debug)]
pub struct Timeline {
    log: EventLog,
    /// The state after so many events; the first is the empty one.
    keyframes: Vec<View>,
    keyframe_bytes: usize,
    notables: Vec<Notable>,
    stored: Vec<Stored>,
    view: View,
}

impl Timeline {
    /// Reads the log once and stands at the start of the run.
    pub fn new(header: &RunHeader, log: EventLog) -> Timeline {
        let mut view = View::new(header);
        let mut keyframes = vec![view.clone()];
        let (mut keyframe_bytes, mut next) = (0, SPACING);
        let mut finder = NotableFinder::new(header);
        let mut stored = vec![Stored::default(); header.stores.len()];
        for (index, record) in log.records().iter().enumerate() {
            if index == next {
                let weight = view.weight_beyond(&keyframes[keyframes.len() - 1]);
                if keyframe_bytes + weight <= index * size_of::<Record>() {
                    keyframe_bytes += weight;
                    keyframes.push(view.clone());
                }
                next = index + SPACING;
            }
            view.observe(record.time, record.event());
            finder.observe(index, record);
            match record.event() {
                Event::Stored { store, offset, .. } => stored[store.index()].push(index, offset),
                Event::Truncated { store, end } | Event::LeaderElected { store, end, .. } => {
                    stored[store.index()].truncate(&log, index, end);
                }
                _ => {}
            }
        }
        let view = keyframes[0].clone();
        Timeline { log, keyframes, keyframe_bytes, notables: finder.notables, stored, view }
    }

    /// The state at the moment.
    pub fn view(&self) -> &View {
        &self.view
    }

    /// How many events lie before the moment.
    pub fn position(&self) -> usize {
        self.view.events as usize
    }

    /// The events.
    pub fn log(&self) -> &EventLog {
        &self.log
    }

    /// The last event before the moment.
    pub fn last_event(&self) -> Option<Record> {
        let before = self.position().checked_sub(1)?;
        Some(self.log.records()[before])
    }

    /// Everything that stands out, in order.
    pub fn notables(&self) -> &[Notable] {
        &self.notables
    }

    /// Bytes that the keyframes take beyond the empty one at the start; never more than the events.
    pub fn keyframe_bytes(&self) -> usize {
        self.keyframe_bytes
    }

    /// The message at a place of a store; where a queue was deleted and came again, at the place as it is numbered
    /// at the moment.
    pub fn message_at(&self, store: StoreId, offset: Offset) -> Option<MessageId> {
        let places = self.stored.get(store.index())?.at(self.position());
        let found = places.binary_search_by_key(&offset, |&index| offset_stored(&self.log, index));
        match self.log.records()[places[found.ok()?] as usize].event() {
            Event::Stored { message, .. } => Some(message),
            _ => None,
        }
    }

    /// Goes to the moment after the last event that happened at or before this time.
    pub fn seek(&mut self, time: Time) -> &View {
        let position = self.log.records().partition_point(|record| record.time <= time);
        self.seek_position(position)
    }

    /// Goes to the moment after so many events, or to the end.
    pub fn seek_position(&mut self, position: usize) -> &View {
        let position = position.min(self.log.len());
        let after = self.keyframes.partition_point(|keyframe| keyframe.events as usize <= position);
        let keyframe = &self.keyframes[after - 1];
        // From where one stands it may be nearer than from the keyframe.
        if self.position() > position || (self.position() as u64) < keyframe.events {
            self.view.clone_from(keyframe);
        }
        for record in &self.log.records()[self.position()..position] {
            self.view.observe(record.time, record.event());
        }
        &self.view
    }

    /// Goes one event forth, and tells which it was; nothing at the end.
    pub fn next_event(&mut self) -> Option<Record> {
        let record = *self.log.records().get(self.position())?;
        self.view.observe(record.time, record.event());
        Some(record)
    }

    /// Goes one event back, and tells which was undone; nothing at the start.
    pub fn previous_event(&mut self) -> Option<Record> {
        let undone = self.last_event()?;
        self.seek_position(self.position() - 1);
        Some(undone)
    }

    /// Goes to the moment after the next event that stands out.
    pub fn next_notable(&mut self) -> Option<Notable> {
        let position = self.position();
        let found = *self.notables.get(self.notables.partition_point(|notable| notable.index < position))?;
        self.seek_position(found.index + 1);
        Some(found)
    }

    /// Goes back to the moment after the event that stands out before the one that led here.
    pub fn previous_notable(&mut self) -> Option<Notable> {
        let position = self.position();
        let before = self.notables.partition_point(|notable| notable.index + 1 < position).checked_sub(1)?;
        let found = self.notables[before];
        self.seek_position(found.index + 1);
        Some(found)
    }
}

/// Finds what stands out. An event is listed once, under the first kind that fits.
struct NotableFinder<'a> {
    header: &'a RunHeader,
    keys: Vec<KeyId>,
    /// Per application.
    processed: Vec<PlaceSet>,
    /// Per application and key: one more than the latest message processed.
    latest: Vec<Vec<u64>>,
    notables: Vec<Notable>,
}

impl NotableFinder<'_> {
    fn new(header: &RunHeader) -> NotableFinder<'_> {
        let applications = header.applications.len();
        NotableFinder {
            header,
            keys: Vec::new(),
            processed: vec![PlaceSet::default(); applications],
            latest: vec![vec![0; header.keys.len()]; applications],
            notables: Vec::new(),
        }
    }

    fn observe(&mut self, index: usize, record: &Record) {
        if let Event::Offered { message, key, .. } = record.event() {
            let length = self.keys.len().max(message.index() + 1);
            self.keys.resize(length, KeyId::NONE);
            self.keys[message.index()] = key;
        }
        if let Some(kind) = self.kind_of(record.event()) {
            self.notables.push(Notable { index, time: record.time, kind });
        }
    }

    fn kind_of(&mut self, event: Event) -> Option<NotableKind> {
        match event {
            Event::FaultStarted { .. } => Some(NotableKind::FaultStarted),
            Event::FaultEnded { .. } => Some(NotableKind::FaultEnded),
            Event::Disconnected { cause: Departure::Crashed, .. } => Some(NotableKind::Crashed),
            Event::RebalanceStarted { .. } => Some(NotableKind::Rebalance),
            Event::PartitionAdded { .. } => Some(NotableKind::PartitionAdded),
            Event::Delivered { redelivered: true, .. } => Some(NotableKind::Redelivery),
            Event::Missed { .. } => Some(NotableKind::Missed),
            Event::Refused { .. }
            | Event::SendExpired { .. }
            | Event::Returned { .. }
            | Event::Unrouted { .. }
            | Event::Declined { .. } => Some(NotableKind::NotAccepted),
            Event::DeadLettered { .. } => Some(NotableKind::DeadLettered),
            Event::Failed { .. } => Some(NotableKind::Failed),
            Event::ChannelClosed { .. } => Some(NotableKind::ChannelClosed),
            Event::ConnectionLost { .. } => Some(NotableKind::ConnectionLost),
            Event::Blocked { .. } => Some(NotableKind::Blocked),
            Event::QueueDeleted { .. } => Some(NotableKind::QueueDeleted),
            Event::Trimmed { .. } | Event::Truncated { .. } => Some(NotableKind::Dropped),
            Event::LeaderElected { .. } => Some(NotableKind::LeaderElected),
            Event::Removed { cause, .. } => match cause {
                // Compaction takes records all the time; that is what it is for.
                Removal::Acked | Removal::AutoAcked | Removal::Rejected | Removal::Compacted => None,
                _ => Some(NotableKind::Dropped),
            },
            Event::Processed { message, consumer, .. } => {
                let application = self.header.application_of(consumer)?.index();
                if !self.processed[application].insert(message.get()) {
                    return Some(NotableKind::Duplicate);
                }
                if !self.header.wants(ApplicationId::new(application as u16), message) {
                    return None;
                }
                let key = self.keys.get(message.index())?.some()?;
                let latest = &mut self.latest[application][key.index()];
                let before = core::mem::replace(latest, (*latest).max(message.get() + 1));
                (before > message.get()).then_some(NotableKind::OutOfOrder)
            }
            _ => None,
        }
    }
}
