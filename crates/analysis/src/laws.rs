//! What must hold at every event of a partition, whatever happens: not a guarantee that a configuration makes, but
//! what a log and a group are.

use brokerlab_event::{
    ApplicationId, ClientId, Count, Event, Model, Observer, Offset, RunHeader, StoreId, StoreKind, Time,
};

/// Holds every event of a run against the laws of a partitioned log, and panics at the first that breaks one:
/// offsets are given out without a gap and never twice (a leader that takes over tells what it has, where compaction or
/// retention may have left gaps); the start of a log only moves on, and never past its end;
/// nobody is given, processes, or commits what never lay before the end; a mark on a record (removed, aborted, archived)
/// is put on one that was stored; and no generation of a group gives a partition to two members. (Two may hold one at
/// the same time: who is cut off learns later that the group went on without it.)
///
/// ```
/// use brokerlab_analysis::Laws;
/// use brokerlab_event::{Event, Offset, Observer, StoreId, Time};
/// # use brokerlab_event::{Bytes, MessageId};
/// let (message, store, size) = (MessageId::new(0), StoreId::new(0), Bytes::new(100));
/// let mut laws = Laws::of_partitions([true]);
/// laws.observe(Time::ZERO, Event::Stored { message, store, offset: Offset::new(0), size });
/// let twice = std::panic::catch_unwind(move || {
///     laws.observe(Time::ZERO, Event::Stored { message, store, offset: Offset::new(0), size });
/// });
/// assert!(twice.is_err());
/// ```
#[derive(Clone, Debug)]
pub struct Laws {
    /// By store; `None` where it is no partition.
    partitions: Vec<Option<Extent>>,
    /// By client: the application whose consumer group it is a member of.
    groups: Vec<Option<ApplicationId>>,
    /// By store.
    owners: Vec<Vec<Owner>>,
    /// The latest generation of any group.
    latest: u16,
    /// Up to here a number may stand for two generations.
    repeated: u16,
}

/// A member of a group that was given a partition and has not heard of losing it.
#[derive(Clone, Copy, Debug)]
struct Owner {
    consumer: ClientId,
    generation: Count,
}

/// Where a log begins and ends.
#[derive(Clone, Copy, Default, Debug)]
struct Extent {
    start: u64,
    end: u64,
    /// The furthest that it ever ended. Whoever holds a record that the log has lost goes on with it.
    furthest: u64,
    /// When a leader began that may have gaps, which nothing was appended to since.
    elected: Option<Time>,
}

impl Laws {
    /// The laws for the stores of this run.
    pub fn new(header: &RunHeader) -> Laws {
        let partitions = header.stores.iter().map(|store| matches!(store.kind, StoreKind::Partition { .. }));
        let mut laws = Laws::of_partitions(partitions);
        // Consumers of streams and share groups have no generations of a group.
        if header.model == Model::Log {
            laws.groups =
                (0..header.clients.len() as u32).map(|client| header.application_of(ClientId::new(client))).collect();
        }
        laws
    }

    /// The laws for stores of which these are partitions.
    pub fn of_partitions(partitions: impl IntoIterator<Item = bool>) -> Laws {
        let partitions: Vec<_> = partitions.into_iter().map(|is_one| is_one.then(Extent::default)).collect();
        let owners = vec![Vec::new(); partitions.len()];
        Laws { owners, partitions, groups: Vec::new(), latest: 0, repeated: 0 }
    }

    fn group(&self, client: ClientId) -> Option<ApplicationId> {
        self.groups.get(client.index()).copied().flatten()
    }

    fn assigned(&mut self, consumer: ClientId, store: StoreId, generation: Count, context: &dyn std::fmt::Debug) {
        let Some(group) = self.group(consumer) else { return };
        let groups = &self.groups;
        let owners = &mut self.owners[store.index()];
        owners.retain(|owner| owner.consumer != consumer);
        for owner in owners.iter().filter(|owner| groups[owner.consumer.index()] == Some(group)) {
            let is_one = owner.generation == generation && generation.get() > self.repeated;
            assert!(!is_one, "{owner:?} has it: {context:?}");
        }
        owners.push(Owner { consumer, generation });
        self.latest = self.latest.max(generation.get());
    }

    fn gone(&mut self, client: ClientId) {
        if self.group(client).is_some() {
            self.owners.iter_mut().for_each(|owners| owners.retain(|owner| owner.consumer != client));
        }
    }

    fn appended(&mut self, now: Time, store: StoreId, offset: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = &mut self.partitions[store.index()] {
            let is_next = offset.get() == extent.end || (offset.get() > extent.end && extent.elected.is_some());
            assert!(is_next, "the next record has offset {}: {context:?}", extent.end);
            extent.elected = extent.elected.filter(|elected| *elected == now);
            extent.end = offset.get() + 1;
            extent.furthest = extent.furthest.max(extent.end);
        }
    }

    /// Of a partition; a delivery past all stores is from none.
    fn extent(&self, store: StoreId) -> Option<Extent> {
        self.partitions.get(store.index()).copied().flatten()
    }

    fn below_furthest(&self, store: StoreId, offset: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = self.extent(store) {
            assert!(offset.get() < extent.furthest, "the log never went beyond {}: {context:?}", extent.furthest);
        }
    }

    fn up_to_furthest(&self, store: StoreId, offset: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = self.extent(store) {
            assert!(offset.get() <= extent.furthest, "the log never went beyond {}: {context:?}", extent.furthest);
        }
    }

    fn below_end(&self, store: StoreId, offset: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = self.extent(store) {
            assert!(offset.get() < extent.end, "the log ends at {}: {context:?}", extent.end);
        }
    }

    fn up_to_end(&self, store: StoreId, offset: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = self.extent(store) {
            assert!(offset.get() <= extent.end, "the log ends at {}: {context:?}", extent.end);
        }
    }

    fn truncated(&mut self, store: StoreId, end: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = &mut self.partitions[store.index()] {
            assert!(end.get() < extent.end, "the log ends at {}: {context:?}", extent.end);
            (extent.end, extent.start) = (end.get(), extent.start.min(end.get()));
        }
    }

    fn trimmed(&mut self, store: StoreId, until: Offset, context: &dyn std::fmt::Debug) {
        if let Some(extent) = &mut self.partitions[store.index()] {
            let until = until.get();
            assert!(until > extent.start && until <= extent.end, "the log is {extent:?}: {context:?}");
            extent.start = until;
        }
    }
}

impl Observer for Laws {
    fn observe(&mut self, now: Time, event: Event) {
        match event {
            Event::Truncated { store, end } => self.truncated(store, end, &event),
            Event::LeaderElected { store, end, .. } => {
                self.up_to_end(store, end, &event);
                if self.extent(store).is_some_and(|extent| end.get() < extent.end) {
                    self.truncated(store, end, &event);
                }
                if let Some(extent) = &mut self.partitions[store.index()] {
                    extent.elected = Some(now);
                }
            }
            Event::Stored { store, offset, .. } | Event::TransactionEnded { store, offset, .. } => {
                self.appended(now, store, offset, &event);
            }
            Event::Trimmed { store, until, .. } => self.trimmed(store, until, &event),
            Event::Assigned { consumer, store, generation, .. } => self.assigned(consumer, store, generation, &event),
            Event::Revoked { consumer, store, .. } => {
                self.owners[store.index()].retain(|owner| owner.consumer != consumer);
            }
            Event::Disconnected { client, .. } => self.gone(client),
            // A coordinator that has lost what it knew of a group counts its generations anew, and a member may still hear
            // of one that came before.
            Event::NodeDown { .. } => {
                self.repeated = self.latest;
                self.owners.iter_mut().for_each(Vec::clear);
            }
            Event::Delivered { store, offset, .. }
            | Event::Processed { store, offset, .. }
            | Event::Settled { store, offset, .. } => self.below_furthest(store, offset, &event),
            Event::Committed { store, offset, .. } => self.up_to_furthest(store, offset, &event),
            Event::Removed { store, offset, .. }
            | Event::Aborted { store, offset, .. }
            | Event::Released { store, offset, .. }
            | Event::Archived { store, offset, .. } => self.below_end(store, offset, &event),
            Event::Flushed { store, offset, .. }
            | Event::ShareStarted { store, offset, .. }
            | Event::RemainingRange { store, until: offset, .. } => self.up_to_end(store, offset, &event),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_event::{
        ApplicationInfo, Bytes, ClientInfo, ClientRole, Departure, KeyTable, Kinds, MessageId, NodeId, Removal,
        StoreInfo,
    };

    fn store() -> StoreId {
        StoreId::new(1)
    }

    fn stored(offset: u64) -> Event {
        Event::Stored { message: MessageId::new(0), store: store(), offset: Offset::new(offset), size: Bytes::new(1) }
    }

    fn trimmed(until: u64) -> Event {
        Event::Trimmed { store: store(), until: Offset::new(until), cause: Removal::RetentionTime }
    }

    fn committed(offset: u64) -> Event {
        Event::Committed { consumer: ClientId::new(0), store: store(), offset: Offset::new(offset) }
    }

    fn delivered(offset: u64) -> Event {
        let (message, consumer) = (MessageId::new(0), ClientId::new(0));
        Event::Delivered { message, consumer, store: store(), offset: Offset::new(offset), redelivered: false }
    }

    fn truncated(end: u64) -> Event {
        Event::Truncated { store: store(), end: Offset::new(end) }
    }

    fn removed(offset: u64) -> Event {
        let (message, size, cause) = (MessageId::new(0), Bytes::new(1), Removal::Compacted);
        Event::Removed { message, store: store(), offset: Offset::new(offset), size, cause }
    }

    /// Whether this history of a store is accepted, where it is a partition and where it is none.
    fn holds(partition: bool, history: &[Event]) -> bool {
        let mut laws = Laws::of_partitions([!partition, partition]);
        let history = history.to_vec();
        std::panic::catch_unwind(move || history.into_iter().for_each(|event| laws.observe(Time::ZERO, event))).is_ok()
    }

    #[test]
    fn a_log_keeps_its_laws_and_breaks_are_found() {
        let full = [stored(0), stored(1), delivered(1), committed(2), trimmed(1), stored(2)];
        assert!(holds(true, &full));
        assert!(holds(true, &[stored(0), stored(1), truncated(1), stored(1)]), "a lost end is written anew");
        let in_hand = [stored(0), stored(1), truncated(0), delivered(1), committed(2)];
        assert!(holds(true, &in_hand), "what was read before it was lost");
        let node = NodeId::new(1);
        let elected = |end| Event::LeaderElected { store: store(), node, end: Offset::new(end) };
        assert!(
            holds(true, &[stored(0), stored(1), elected(1), stored(2), stored(4)]),
            "a leader tells what it has left"
        );
        let broken: [&[Event]; 12] = [
            &[stored(0), elected(1), stored(0)],
            &[stored(0), elected(2)],
            &[stored(1)],
            &[stored(0), stored(0)],
            &[stored(0), stored(2)],
            &[stored(0), delivered(1)],
            &[stored(0), committed(2)],
            &[stored(0), trimmed(2)],
            &[stored(0), trimmed(1), trimmed(1)],
            &[stored(0), truncated(1)],
            &[stored(0), stored(1), truncated(0), delivered(2)],
            &[stored(0), stored(1), truncated(1), removed(1)],
        ];
        for history in broken {
            assert!(!holds(true, history), "{history:?}");
            assert!(holds(false, history), "a queue keeps other laws: {history:?}");
        }
    }

    #[test]
    fn a_generation_gives_a_partition_to_one_member() {
        let header = header_of_three();
        let keeps = |history: &[Event]| {
            let mut laws = Laws::new(&header);
            let history = history.to_vec();
            std::panic::catch_unwind(move || history.into_iter().for_each(|event| laws.observe(Time::ZERO, event)))
                .is_ok()
        };
        let assigned = |consumer, generation| Event::Assigned {
            consumer: ClientId::new(consumer),
            store: StoreId::new(0),
            offset: Offset::ZERO,
            generation: Count::new(generation),
        };
        let (consumer, store, cause) = (ClientId::new(0), StoreId::new(0), Departure::Crashed);
        let revoked = Event::Revoked { consumer, store, generation: Count::new(1) };
        let gone = Event::Disconnected { client: consumer, cause };
        assert!(!keeps(&[assigned(0, 2), assigned(1, 2)]));
        assert!(
            keeps(&[assigned(0, 2), assigned(1, 1)]),
            "the second was cut off, and hears of an old generation late"
        );
        assert!(keeps(&[assigned(0, 1), assigned(1, 2)]), "the first may not have heard");
        assert!(keeps(&[assigned(0, 2), revoked, assigned(1, 2)]));
        assert!(keeps(&[assigned(0, 2), gone, assigned(1, 2)]));
        let down = Event::NodeDown { node: NodeId::new(0) };
        assert!(keeps(&[assigned(0, 2), down, assigned(1, 1)]), "it may have lost its power");
        assert!(keeps(&[assigned(0, 2), assigned(0, 2)]), "the same again, after a seek");
        assert!(keeps(&[assigned(0, 1), assigned(2, 1)]), "that one is of another group");
    }

    /// Three consumers, the last of them of another application.
    fn header_of_three() -> RunHeader {
        let client =
            |name: &str, of| ClientInfo { name: name.into(), role: ClientRole::Consumer(ApplicationId::new(of)) };
        let kind = StoreKind::Partition { index: 0 };
        let applications = vec![ApplicationId::new(0), ApplicationId::new(1)];
        RunHeader {
            title: "three consumers".into(),
            contender: "log".into(),
            model: Model::Log,
            seed: 1,
            demand_digest: 0,
            horizon: Time::MAX,
            warm_up: Time::ZERO,
            applications: vec![ApplicationInfo::new("a"), ApplicationInfo::new("b")],
            clients: vec![client("a/1", 0), client("a/2", 0), client("b/1", 1)],
            stores: vec![StoreInfo { name: "events-0".into(), kind, applications, comes_later: false }],
            faults: vec![],
            keys: KeyTable::default(),
            kinds: Kinds::default(),
            promises: vec![],
        }
    }
}
