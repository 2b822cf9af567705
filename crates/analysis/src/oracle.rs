//! Judges a whole run by definition: for every message and application it looks through all events. Slow, simple,
//! and on purpose without anything in common with the streaming judges beside the result types, so that the two
//! can be held against each other in tests.

use std::collections::BTreeMap;

use brokerlab_event::{
    ApplicationId, ClientId, Duration, Event, KeyId, MessageId, Outcome, Record, Removal, RunHeader, StoreId, StoreKind,
};

use crate::Fate;

/// What the oracle finds for one application.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Findings {
    /// The fate of every message that was offered, in the order of their numbers.
    pub fates: Vec<(MessageId, Fate)>,
    /// Processings after the first of a message.
    pub duplicates: u64,
    /// Those of them that somebody asked for.
    pub replayed: u64,
    /// Deliveries marked as made before.
    pub redeliveries: u64,
    /// First processings of a message after a later message of its key, among those that the application wants.
    pub key_order_violations: u64,
    /// How long partitions had no owner among its consumers, each partition's time added to the others'.
    pub unread: Duration,
    /// Messages that were processed, and aborted and never confirmed.
    pub dirty_reads: u64,
}

impl Findings {
    /// How many messages met this fate.
    pub fn count(&self, fate: Fate) -> u64 {
        self.fates.iter().filter(|(_, own)| *own == fate).count() as u64
    }
}

/// What happened to the application in this run, whose driver made a census.
pub fn findings(header: &RunHeader, records: &[Record], application: ApplicationId) -> Findings {
    let events = records.iter().map(Record::event).collect();
    let run = Run { header, events, application };
    let mut offered: Vec<MessageId> = run
        .events()
        .filter_map(|event| match *event {
            Event::Offered { message, .. } => Some(message),
            _ => None,
        })
        .collect();
    offered.sort();
    let processings = run.processings();
    let redelivered = |event: &&Event| match **event {
        Event::Delivered { consumer, redelivered, .. } => redelivered && run.is_own(consumer),
        _ => false,
    };
    Findings {
        fates: offered.iter().map(|&message| (message, run.fate(message, &processings))).collect(),
        duplicates: (0..processings.len()).filter(|&n| processings[..n].contains(&processings[n])).count() as u64,
        replayed: run.replayed(),
        redeliveries: run.events().filter(redelivered).count() as u64,
        key_order_violations: run.violations(&processings),
        unread: run.unread(records),
        dirty_reads: offered.iter().filter(|message| run.is_dirty(**message) && processings.contains(message)).count()
            as u64,
    }
}

/// Where a message was stored in a partition, and which event removed it there, for which cause.
struct Place {
    store: StoreId,
    offset: u64,
    /// Which event stored it.
    stored: usize,
    trim: Option<(usize, Removal)>,
}

struct Run<'a> {
    header: &'a RunHeader,
    events: Vec<Event>,
    application: ApplicationId,
}

impl Run<'_> {
    fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter()
    }

    fn is_own(&self, client: ClientId) -> bool {
        self.header.application_of(client) == Some(self.application)
    }

    /// The messages that the application processed, in order, duplicates included.
    fn processings(&self) -> Vec<MessageId> {
        self.events()
            .filter_map(|event| match *event {
                Event::Processed { message, consumer, .. } if self.is_own(consumer) => Some(message),
                _ => None,
            })
            .collect()
    }

    /// Repeated processings of what the group was last sent back over: of a record that lies beyond the place that it
    /// was sent to, and beyond all that it has processed there since, and that is no further than it had ever come.
    fn replayed(&self) -> u64 {
        let processed = |events: &[Event], store: StoreId| {
            let furthest = events.iter().filter_map(|event| match *event {
                Event::Processed { consumer, store: s, offset, .. } if s == store && self.is_own(consumer) => {
                    Some(offset.get() + 1)
                }
                _ => None,
            });
            furthest.max().unwrap_or(0)
        };
        let is_replayed = |n: &usize| {
            let Event::Processed { message, consumer, store, offset } = self.events[*n] else { return false };
            let is_repeated = self.events[..*n].iter().any(|event| match *event {
                Event::Processed { message: m, consumer, .. } => m == message && self.is_own(consumer),
                _ => false,
            });
            let sent_back = self.events[..*n].iter().enumerate().rev().find_map(|(index, event)| match *event {
                Event::Sought { consumer, store: s, offset } if s == store && self.is_own(consumer) => {
                    Some((index, offset.get()))
                }
                _ => None,
            });
            let Some((index, to)) = sent_back else { return false };
            let from = to.max(processed(&self.events[index..*n], store));
            let until = processed(&self.events[..index], store);
            self.is_own(consumer) && is_repeated && (from..until).contains(&offset.get())
        };
        (0..self.events.len()).filter(is_replayed).count() as u64
    }

    fn violations(&self, processings: &[MessageId]) -> u64 {
        let offered = |event: &Event| match *event {
            Event::Offered { message, key, .. } => Some((message, key)),
            _ => None,
        };
        let keys: BTreeMap<MessageId, KeyId> = self.events().filter_map(offered).collect();
        let key_of = |wanted: MessageId| keys.get(&wanted).and_then(|key| key.some());
        let wanted = |message: &MessageId| self.header.wants(self.application, *message);
        let processings: Vec<MessageId> = processings.iter().copied().filter(wanted).collect();
        let violates = |n: usize| {
            let (message, earlier) = (processings[n], &processings[..n]);
            let key = key_of(message);
            let overtaken = earlier.iter().any(|&other| other > message && key.is_some() && key_of(other) == key);
            overtaken && !earlier.contains(&message)
        };
        (0..processings.len()).filter(|&n| violates(n)).count() as u64
    }

    /// Between each two events: how many partitions have no owner, times how long that is.
    fn unread(&self, records: &[Record]) -> Duration {
        let partitions = (0..self.header.stores.len() as u32).map(StoreId::new);
        let partitions = partitions.filter(|store| !self.is_queue(*store) && self.is_served_by(*store));
        let is_told = |event: &Event| {
            matches!(event, Event::Assigned { .. } | Event::Revoked { .. } | Event::Disconnected { .. })
        };
        let told: Vec<(usize, Event)> =
            self.events().copied().enumerate().filter(|(_, event)| is_told(event)).collect();
        let has_owner = |wanted: StoreId, before: usize| {
            let told = &told[..told.partition_point(|(index, _)| *index < before)];
            let assigned = told.iter().enumerate().rev().find_map(|(place, (_, event))| match *event {
                Event::Assigned { consumer, store, .. } if store == wanted && self.is_own(consumer) => {
                    Some((place, consumer))
                }
                _ => None,
            });
            assigned.is_some_and(|(place, owner)| {
                !told[place..].iter().any(|(_, event)| match *event {
                    Event::Revoked { consumer, store, .. } => (consumer, store) == (owner, wanted),
                    Event::Disconnected { client, .. } => client == owner,
                    _ => false,
                })
            })
        };
        // One that comes later waits for nobody before.
        let is_there = |wanted: StoreId, before: usize| {
            let added = |event: &Event| *event == Event::PartitionAdded { store: wanted };
            !self.header.stores[wanted.index()].comes_later || self.events[..before].iter().any(added)
        };
        let of_partition = |store: StoreId| -> u64 {
            let gaps = records.windows(2).enumerate().map(|(index, pair)| (index + 1, pair[1].time - pair[0].time));
            let idle =
                gaps.filter(|(before, gap)| !gap.is_zero() && is_there(store, *before) && !has_owner(store, *before));
            idle.map(|(_, gap)| gap.as_nanos()).sum()
        };
        let before = records.first().map_or(0, |first| first.time.as_nanos());
        let early = |store: StoreId| if is_there(store, 0) { before } else { 0 };
        Duration::from_nanos(partitions.map(|store| early(store) + of_partition(store)).sum())
    }

    /// It was aborted, and its sender never told that it counts.
    fn is_dirty(&self, wanted: MessageId) -> bool {
        let aborted = self.events().any(|event| matches!(*event, Event::Aborted { message, .. } if message == wanted));
        aborted && !self.events().any(|event| matches!(*event, Event::Confirmed { message, .. } if message == wanted))
    }

    fn fate(&self, message: MessageId, processings: &[MessageId]) -> Fate {
        if processings.contains(&message) {
            return Fate::Processed;
        }
        let [mut sent, mut confirmed, mut refused, mut returned, mut unrouted, mut declined, mut tells] = [false; 7];
        for event in self.events() {
            match *event {
                Event::Sent { message: m, .. } => sent |= m == message,
                Event::Confirmed { message: m, .. } => confirmed |= m == message,
                Event::Refused { message: m, .. } => refused |= m == message,
                Event::Returned { message: m, .. } => returned |= m == message,
                Event::Unrouted { message: m } => unrouted |= m == message,
                Event::Declined { message: m, store, .. } => declined |= m == message && self.is_served_by(store),
                Event::Stored { .. } => tells = true,
                _ => {}
            }
        }
        let taken_over = confirmed && !returned;
        // Where the driver tells of storage, what no store of the application took was not meant to reach it.
        let reached = !tells || self.reached(message);
        if !self.header.wants(self.application, message) {
            Fate::NotWanted
        } else if self.remains(message) {
            Fate::InBacklog
        } else if self.was_dead_lettered(message) {
            Fate::DeadLettered
        } else if self.was_dropped(message) || (unrouted && !returned) {
            Fate::DroppedByPolicy
        } else if self.was_missed(message) {
            Fate::Missed
        } else if self.was_skipped(message) {
            Fate::Skipped
        } else if taken_over && reached {
            Fate::Lost
        } else if refused || declined {
            Fate::Refused
        } else if taken_over {
            Fate::DroppedByPolicy
        } else if returned {
            Fate::Returned
        } else if sent {
            Fate::Unconfirmed
        } else {
            Fate::NotSent
        }
    }

    fn is_served_by(&self, store: StoreId) -> bool {
        self.header.served_by(store).contains(&self.application)
    }

    fn is_queue(&self, store: StoreId) -> bool {
        self.header.stores[store.index()].kind == StoreKind::Queue
    }

    /// A queue of the application or any partition stored it, or a consumer of the application got it.
    fn reached(&self, wanted: MessageId) -> bool {
        self.events().any(|event| match *event {
            Event::Stored { message, store, .. } => {
                message == wanted && (!self.is_queue(store) || self.is_served_by(store))
            }
            Event::Delivered { message, consumer, .. } => message == wanted && self.is_own(consumer),
            _ => false,
        })
    }

    /// The events after the last time that a queue of the application stored the message: all of them where none did.
    fn since_last_stored(&self, wanted: MessageId) -> &[Event] {
        let stored = |event: &Event| match *event {
            Event::Stored { message, store, .. } => {
                message == wanted && self.is_queue(store) && self.is_served_by(store)
            }
            _ => false,
        };
        let last = self.events.iter().rposition(stored);
        &self.events[last.map_or(0, |index| index + 1)..]
    }

    fn was_dead_lettered(&self, wanted: MessageId) -> bool {
        self.since_last_stored(wanted).iter().any(|event| match *event {
            Event::DeadLettered { message, store, target } => {
                message == wanted && self.is_served_by(store) && !self.is_served_by(target)
            }
            _ => false,
        }) || self.events().any(|event| match *event {
            Event::SetAside { message, consumer, target, .. } => {
                message == wanted && self.is_own(consumer) && !self.is_served_by(target)
            }
            _ => false,
        })
    }

    fn was_missed(&self, wanted: MessageId) -> bool {
        self.events().any(|event| match *event {
            Event::Missed { message, application } => message == wanted && application == self.application,
            _ => false,
        })
    }

    /// Every place of a partition where the message was stored: partition, offset, and where in the run the
    /// record was removed, with the cause.
    fn places(&self, wanted: MessageId) -> Vec<Place> {
        let mut places = Vec::new();
        for (index, event) in self.events().enumerate() {
            let Event::Stored { message, store, offset, .. } = *event else { continue };
            let in_partition = matches!(self.header.stores[store.index()].kind, StoreKind::Partition { .. });
            if message == wanted && in_partition && self.header.served_by(store).contains(&self.application) {
                let trim = self.events().enumerate().skip(index).find_map(|(later, event)| match *event {
                    Event::Trimmed { store: s, until, cause } if s == store && until > offset => Some((later, cause)),
                    Event::Truncated { store: s, end } | Event::LeaderElected { store: s, end, .. }
                        if s == store && end <= offset =>
                    {
                        Some((later, Removal::NodeLost))
                    }
                    Event::Removed { store: s, offset: place, cause, .. } if s == store && place == offset => {
                        Some((later, cause))
                    }
                    _ => None,
                });
                places.push(Place { store, offset: offset.get(), stored: index, trim });
            }
        }
        places
    }

    /// Those that the application could pass over: a record that was aborted counts as one only if the message was
    /// delivered before the record was trimmed, because readers of committed data are never given it.
    fn places_to_be_had(&self, wanted: MessageId) -> Vec<Place> {
        let is_to_be_had = |place: &Place| {
            let before = place.trim.map_or(self.events.len(), |(at, _)| at);
            let delivered = self.events().take(before).any(|event| match *event {
                Event::Delivered { message, consumer, .. } => message == wanted && self.is_own(consumer),
                _ => false,
            });
            let aborted = self.events[place.stored..before].iter().any(|event| match *event {
                Event::Aborted { store, offset, .. } => (store, offset.get()) == (place.store, place.offset),
                _ => false,
            });
            delivered || !aborted
        };
        self.places(wanted).into_iter().filter(is_to_be_had).collect()
    }

    /// The group of the application committed beyond the place, was set beyond it or is done with it, in this part of
    /// the run, or would go on beyond it.
    fn passed(&self, store: StoreId, offset: u64, before: usize) -> bool {
        // What a group had passed before the end was lost says nothing of what was stored there since.
        let lost = |event: &Event| match *event {
            Event::Truncated { store: s, end } | Event::LeaderElected { store: s, end, .. } => {
                s == store && end.get() <= offset
            }
            _ => false,
        };
        let since = self.events[..before].iter().rposition(lost).unwrap_or(0);
        self.events[since..before].iter().any(|event| match *event {
            Event::Committed { consumer, store: s, offset: to }
            | Event::PositionReset { consumer, store: s, offset: to }
            | Event::Sought { consumer, store: s, offset: to }
            | Event::Assigned { consumer, store: s, offset: to, .. } => {
                s == store && to.get() > offset && self.is_own(consumer)
            }
            Event::RemainingRange { store: s, application, from: to, .. }
            | Event::ShareStarted { store: s, application, offset: to } => {
                s == store && to.get() > offset && application == self.application
            }
            Event::Archived { store: s, application, offset: at, .. } => {
                s == store && at.get() == offset && application == self.application
            }
            _ => false,
        })
    }

    fn was_dropped(&self, wanted: MessageId) -> bool {
        let from_queue = self.since_last_stored(wanted).iter().any(|event| match *event {
            Event::Removed { message, store, cause, .. } => {
                let chosen = !matches!(cause, Removal::Acked | Removal::AutoAcked | Removal::NodeLost);
                message == wanted && chosen && self.is_queue(store) && self.is_served_by(store)
            }
            Event::Settled { message, consumer, outcome, .. } => {
                message == wanted && outcome == Outcome::Reject && self.is_own(consumer)
            }
            Event::Archived { message, application, cause, .. } => {
                message == wanted && cause != Removal::Acked && application == self.application
            }
            _ => false,
        });
        let by_policy = |cause| {
            use Removal::{Compacted, Purged, RetentionSize, RetentionTime};
            matches!(cause, RetentionTime | RetentionSize | Purged | Compacted)
        };
        let from_log = self.places_to_be_had(wanted).into_iter().any(|Place { store, offset, trim, .. }| {
            trim.is_some_and(|(at, cause)| by_policy(cause) && !self.passed(store, offset, at))
        });
        from_queue || from_log
    }

    fn was_skipped(&self, wanted: MessageId) -> bool {
        let settled = self.events().any(|event| match *event {
            Event::Settled { message, consumer, outcome, .. } => {
                let settles = matches!(outcome, Outcome::Ack | Outcome::Automatic);
                message == wanted && settles && self.is_own(consumer)
            }
            Event::Removed { message, store, cause, .. } => {
                let settles = matches!(cause, Removal::Acked | Removal::AutoAcked);
                message == wanted && settles && self.is_served_by(store)
            }
            _ => false,
        });
        let passed = self.places_to_be_had(wanted).into_iter().any(|Place { store, offset, trim, .. }| {
            self.passed(store, offset, trim.map_or(self.events.len(), |(at, _)| at))
        });
        settled || passed
    }

    fn remains(&self, wanted: MessageId) -> bool {
        let counted = self.events().any(|event| match *event {
            Event::Remaining { message, application } => message == wanted && application == self.application,
            _ => false,
        });
        let in_range = self.places(wanted).into_iter().any(|Place { store: place, offset, trim, .. }| {
            // A log that has lost its disk begins again at the first offset, where other records were before.
            trim.is_none()
                && self.events().any(|event| match *event {
                    Event::RemainingRange { store, application, from, until } => {
                        let range = from.get()..until.get();
                        store == place && application == self.application && range.contains(&offset)
                    }
                    _ => false,
                })
        });
        counted || in_range
    }
}
