//! What happens seldom: clients that come and go, groups, retention, faults, and the census.

use brokerlab_event::{ClientId, Event, MessageId, Offset, Removal, StoreId, Time};

use super::{Analysis, Client};
use crate::ledger::state;
use crate::{ChannelErrors, FaultHit, Incidents};

impl Analysis {
    #[cold]
    #[inline(never)]
    pub(super) fn observe_rare(&mut self, time: Time, event: Event) {
        match event {
            Event::Refused { message, .. } => self.ledger.refused(message),
            Event::Returned { message, .. } => self.ledger.returned(message),
            Event::Unrouted { message } => self.ledger.unrouted(message),
            Event::Replied { .. } => self.replied += 1,
            Event::Missed { message, application } => self.ledger.missed(message, application.index()),
            Event::Assigned { consumer, store, offset, .. } => self.assigned(time, consumer, store, offset.get()),
            Event::Revoked { consumer, store, .. } => self.disowned(time, consumer, store),
            Event::PositionReset { consumer, store, offset } => {
                self.note_of_client(consumer, |incidents| incidents.position_resets += 1);
                self.continued(time, consumer, store, offset.get());
            }
            Event::SetAside { message, consumer, store, offset, target } => {
                self.set_aside(time, message, consumer, (store, offset.get()), target);
            }
            Event::Sought { consumer, store, offset } => self.sought(time, consumer, store, offset.get()),
            Event::Stranded { consumer, .. } => self.note_of_client(consumer, |incidents| incidents.stranded += 1),
            Event::OffsetsForgotten { application } => {
                self.incidents.offsets_forgotten += 1;
                self.tallies[application.index()].incidents.offsets_forgotten += 1;
            }
            Event::PartitionAdded { store } => {
                for &application in &self.stores[store.index()].applications {
                    self.unread.iter_mut().for_each(|unread| unread[usize::from(application)].add(time));
                }
            }
            Event::Connected { client } => self.client_changed(client, |client| client.connected = true),
            Event::Disconnected { client, .. } => self.disconnected(time, client),
            Event::Paused { client } => self.client_changed(client, |client| client.paused = true),
            Event::Resumed { client } => self.client_changed(client, |client| client.paused = false),
            Event::FaultStarted { fault, target } => {
                self.faults.push(FaultHit { fault, target, started: time, ended: None });
            }
            Event::FaultEnded { fault, target } => {
                let hits = |hit: &&mut FaultHit| (hit.fault, hit.target, hit.ended) == (fault, target, None);
                if let Some(hit) = self.faults.iter_mut().rev().find(hits) {
                    hit.ended = Some(time);
                }
            }
            Event::DeadLettered { message, store, target } => self.dead_lettered(message, store, target),
            Event::Declined { message, store, .. } => {
                self.note_of_store(store, |incidents| incidents.declined += 1);
                for &application in &self.stores[store.index()].applications {
                    self.ledger.mark(message, usize::from(application), state::DECLINED);
                }
            }
            Event::QueueDeleted { store } => self.note_of_store(store, |incidents| incidents.queue_deletions += 1),
            Event::ConnectionLost { client } => {
                self.note_of_client(client, |incidents| incidents.connections_lost += 1);
                self.client_changed(client, |client| client.connected = false);
                self.give_back(client);
            }
            Event::Reconnected { client } => self.client_changed(client, |client| client.connected = true),
            Event::Deduplicated { store, .. } => self.note_of_store(store, |incidents| incidents.deduplicated += 1),
            Event::Aborted { message, store, offset } => {
                if !self.ledger.was_confirmed(message) {
                    self.aborted.insert(message);
                }
                self.note_of_store(store, |incidents| incidents.aborted += 1);
                self.stores[store.index()].partition.iter_mut().for_each(|partition| partition.abort(offset));
            }
            Event::SendExpired { .. } => self.incidents.sends_expired += 1,
            Event::ChannelClosed { client, code } => self.channel_closed(client, code.get()),
            Event::Failed { consumer, .. } => self.note_of_client(consumer, |incidents| incidents.failed += 1),
            Event::Blocked { client, cause } => self.blocking.set(time, client.index(), Some(cause)),
            Event::Unblocked { client } => self.blocking.set(time, client.index(), None),
            Event::Truncated { store, end } | Event::LeaderElected { store, end, .. } => {
                self.truncated(time, store, end.get())
            }
            Event::Trimmed { store, until, cause } => self.trimmed(time, store, until.get(), cause),
            Event::ShareStarted { store, application, offset } => {
                self.share_started(time, store, application.index(), offset.get());
            }
            Event::RebalanceStarted { application, .. } => {
                let tally = &mut self.tallies[application.index()];
                tally.rebalances += 1;
                tally.rebalancing_since.get_or_insert(time);
            }
            Event::RebalanceCompleted { application, .. } => {
                let tally = &mut self.tallies[application.index()];
                if let Some(since) = tally.rebalancing_since.take() {
                    tally.rebalancing = tally.rebalancing + (time - since);
                }
            }
            Event::Remaining { message, application } => {
                self.ledger.remains(message, application.index());
            }
            Event::RemainingRange { store, application, from, until } => {
                if let Some(partition) = &mut self.stores[store.index()].partition {
                    // Where the group would go on: what lies before it will never be read.
                    let group = &mut partition.groups[application.index()];
                    group.passed = group.passed.max(from.get());
                    for record in partition.range(from.get(), until.get()) {
                        self.ledger.remains(record.message, application.index());
                    }
                }
            }
            _ => {}
        }
    }

    #[cold]
    pub(super) fn note_unwanted(&mut self, message: MessageId) {
        let Some(wants) = &self.wants else { return };
        for application in wants.unwanted(message) {
            self.ledger.unwanted(message, application.index());
        }
    }

    /// Counts something that happened to a queue: once in all, and for each application that it serves.
    fn note_of_store(&mut self, store: StoreId, count: impl Fn(&mut Incidents)) {
        count(&mut self.incidents);
        for &application in &self.stores[store.index()].applications {
            count(&mut self.tallies[usize::from(application)].incidents);
        }
    }

    /// Counts something that happened to a client: once in all, and for its application.
    fn note_of_client(&mut self, client: ClientId, count: impl Fn(&mut Incidents)) {
        count(&mut self.incidents);
        if let Some(application) = self.application_of(client) {
            count(&mut self.tallies[application].incidents);
        }
    }

    #[cold]
    pub(super) fn note_given_up(&mut self, store: StoreId, cause: Removal) {
        self.note_of_store(store, |incidents| match cause {
            Removal::Expired => incidents.expired += 1,
            Removal::MaxLength => incidents.overflowed += 1,
            Removal::DeliveryLimit => incidents.delivery_limit += 1,
            _ => {}
        });
    }

    /// The share group of an application has given up a record.
    #[cold]
    pub(super) fn note_archived(&mut self, message: MessageId, application: usize, cause: Removal) {
        self.ledger.mark(message, application, state::DROPPED);
        if cause == Removal::DeliveryLimit {
            self.incidents.delivery_limit += 1;
            self.tallies[application].incidents.delivery_limit += 1;
        }
    }

    /// A share group begins to read here. Where that is before a place that it had reached, because its node has lost
    /// what it knew, what it was done with counts as done all the same.
    fn share_started(&mut self, time: Time, store: StoreId, application: usize, offset: u64) {
        self.move_group(time, store, application, offset);
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let group = &mut partition.groups[application];
            group.passed = group.passed.max(offset);
        }
    }

    /// What was unsettled on the channel the broker has taken back.
    fn channel_closed(&mut self, client: ClientId, code: u16) {
        self.note_of_client(client, |incidents| incidents.channel_errors += 1);
        match self.channel_errors.binary_search_by_key(&code, |errors| errors.code) {
            Ok(index) => self.channel_errors[index].count += 1,
            Err(index) => self.channel_errors.insert(index, ChannelErrors { code, count: 1 }),
        }
        self.give_back(client);
    }

    /// Nothing that was delivered to the client will be settled any more.
    fn give_back(&mut self, client: ClientId) {
        if let Some(application) = self.application_of(client) {
            let unsettled = core::mem::take(&mut self.clients[client.index()].unsettled);
            self.tallies[application].in_flight -= unsettled;
        }
    }

    /// The message is a dead letter for the applications that the queue it left serves, unless the one that took
    /// it serves them as well.
    fn dead_lettered(&mut self, message: MessageId, store: StoreId, target: StoreId) {
        self.note_of_store(store, |incidents| incidents.dead_letters += 1);
        let (left, taken) = (&self.stores[store.index()].applications, &self.stores[target.index()].applications);
        for application in left.iter().filter(|application| !taken.contains(application)) {
            self.ledger.mark(message, usize::from(*application), state::DEAD);
        }
    }

    /// The group is done with the record here. Where it does not read the partition that took it, that was the last
    /// that it sees of it.
    fn set_aside(
        &mut self,
        time: Time,
        message: MessageId,
        consumer: ClientId,
        (store, offset): (StoreId, u64),
        target: StoreId,
    ) {
        let Some(application) = self.application_of(consumer) else { return };
        if self.stores[target.index()].applications.contains(&(application as u16)) {
            self.note_of_client(consumer, |incidents| incidents.set_aside += 1);
        } else {
            self.note_of_client(consumer, |incidents| incidents.dead_letters += 1);
            self.ledger.mark(message, application, state::DEAD);
        }
        if let Some(partition) = &self.stores[store.index()].partition {
            let position = partition.groups[application].position.max(offset + 1);
            self.move_group(time, store, application, position);
        }
    }

    fn assigned(&mut self, time: Time, consumer: ClientId, store: StoreId, offset: u64) {
        self.take_in_hand(consumer, store);
        self.continued(time, consumer, store, offset);
        let Some(application) = self.application_of(consumer) else { return };
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let before = partition.groups[application].owner.replace(consumer);
            if before.is_none()
                && let Some(unread) = &mut self.unread
            {
                unread[application].take(time);
            }
        }
    }

    /// The group goes on from here, wherever it was before, without what it held in hand.
    fn continued(&mut self, time: Time, consumer: ClientId, store: StoreId, offset: u64) {
        let Some(application) = self.application_of(consumer) else { return };
        self.move_group(time, store, application, offset);
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let group = &mut partition.groups[application];
            self.tallies[application].in_flight -= group.in_flight();
            group.delivered = group.position;
            group.passed = group.passed.max(offset);
        }
    }

    /// Somebody asked the group to go here: what it processed beyond is replayed, where it comes there again.
    fn sought(&mut self, time: Time, consumer: ClientId, store: StoreId, offset: u64) {
        let Some(application) = self.application_of(consumer) else { return };
        self.continued(time, consumer, store, offset);
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let group = &mut partition.groups[application];
            group.replay = offset..group.furthest;
        }
    }

    /// What the owner held in hand of the partition it will not process, or nobody will count it as in flight.
    fn take_in_hand(&mut self, consumer: ClientId, store: StoreId) {
        let Some(application) = self.application_of(consumer) else { return };
        if let Some(partition) = &mut self.stores[store.index()].partition {
            let group = &mut partition.groups[application];
            self.tallies[application].in_flight -= group.in_flight();
            group.delivered = group.position;
        }
    }

    /// The partition has no owner any more, unless another consumer has taken it over meanwhile.
    fn disowned(&mut self, time: Time, consumer: ClientId, store: StoreId) {
        let Some(application) = self.application_of(consumer) else { return };
        let Some(partition) = &mut self.stores[store.index()].partition else { return };
        if partition.groups[application].owner.take_if(|owner| *owner == consumer).is_some() {
            if let Some(unread) = &mut self.unread {
                unread[application].add(time);
            }
            self.take_in_hand(consumer, store);
        }
    }

    fn disconnected(&mut self, time: Time, client: ClientId) {
        self.client_changed(client, |client| (client.connected, client.paused) = (false, false));
        self.give_back(client);
        let Some(application) = self.application_of(client) else { return };
        for index in 0..self.stores.len() {
            let partition = self.stores[index].partition.as_ref();
            if partition.is_some_and(|partition| partition.groups[application].owner == Some(client)) {
                self.disowned(time, client, StoreId::new(index as u32));
            }
        }
    }

    fn client_changed(&mut self, client: ClientId, change: impl Fn(&mut Client)) {
        let client = &mut self.clients[client.index()];
        let up = |client: &Client| u32::from(client.connected && !client.paused);
        let before = up(client);
        change(client);
        if let Some(application) = client.application {
            let consumers_up = &mut self.tallies[usize::from(application)].consumers_up;
            *consumers_up = *consumers_up + up(client) - before;
        }
    }

    /// What a group had not reached was dropped; what it had passed over without processing it was skipped.
    fn trimmed(&mut self, time: Time, store_id: StoreId, until: u64, cause: Removal) {
        let dropped = match cause {
            Removal::RetentionTime | Removal::RetentionSize | Removal::Purged => state::DROPPED,
            _ => 0,
        };
        let (mut messages, mut bytes) = (0, 0);
        let store = &mut self.stores[store_id.index()];
        let Some(partition) = &mut store.partition else { return };
        while partition.start < until
            && let Some((offset, record)) = partition.pop()
        {
            if record.message == MessageId::MAX {
                continue;
            }
            messages += 1;
            bytes += u64::from(record.size.get());
            self.distinct -= u64::from(!record.extra && self.distinct > 0);
            for &application in &store.applications {
                let application = usize::from(application);
                if record.aborted && !self.ledger.was_delivered(record.message, application) {
                    continue;
                }
                let passed = partition.groups[application].is_beyond(offset);
                self.ledger.mark(record.message, application, if passed { state::SETTLED } else { dropped });
            }
        }
        partition.start = partition.start.max(until);
        if let Some(totals) = &mut self.totals {
            totals.storage.take(messages, bytes);
        }
        for application in store.applications.clone() {
            let application = usize::from(application);
            self.tallies[application].storage.take(messages, bytes);
            let Some(partition) = &self.stores[store_id.index()].partition else { return };
            let position = partition.groups[application].position.max(until);
            self.move_group(time, store_id, application, position);
        }
    }

    /// The end of a partition is gone. What a group had passed over without processing it was skipped all the same.
    fn truncated(&mut self, time: Time, store_id: StoreId, end: u64) {
        let store = &mut self.stores[store_id.index()];
        let Some(partition) = &mut store.partition else { return };
        let (mut messages, mut bytes) = (0, 0);
        let mut unread = vec![0; store.applications.len()];
        while let Some((offset, record)) = partition.pop_beyond(end) {
            for (&application, unread) in store.applications.iter().zip(&mut unread) {
                let group = &partition.groups[usize::from(application)];
                *unread += u64::from(offset >= group.position && !group.archived.contains(offset));
                let is_given = !record.aborted || self.ledger.was_delivered(record.message, usize::from(application));
                if record.message != MessageId::MAX && group.is_beyond(offset) && is_given {
                    self.ledger.mark(record.message, usize::from(application), state::SETTLED);
                }
            }
            if record.message == MessageId::MAX {
                continue;
            }
            messages += 1;
            bytes += u64::from(record.size.get());
            if !record.extra {
                self.ledger.torn_off(record.message);
                self.distinct -= u64::from(self.distinct > 0);
            }
        }
        for (application, unread) in store.applications.clone().into_iter().zip(unread) {
            let tally = &mut self.tallies[usize::from(application)];
            tally.storage.take(messages, bytes);
            tally.backlog.shrink(time, unread);
            let group = &mut partition.groups[usize::from(application)];
            let in_flight = group.in_flight();
            group.cut(end);
            tally.in_flight = tally.in_flight + group.in_flight() - in_flight;
            self.totals.iter_mut().for_each(|totals| totals.backlog.take(unread));
        }
        self.totals.iter_mut().for_each(|totals| totals.storage.take(messages, bytes));
    }

    /// A record gave way to a later one of its key: dropped for the groups that had not reached it, passed over by the
    /// others. The lag of a group counts offsets, so it stays as it is.
    #[cold]
    pub(super) fn compacted(&mut self, store: StoreId, offset: Offset) {
        let store = &mut self.stores[store.index()];
        let Some(partition) = &mut store.partition else { return };
        let Some(record) = partition.remove(offset.get()) else { return };
        let bytes = u64::from(record.size.get());
        if let Some(totals) = &mut self.totals {
            totals.storage.take(1, bytes);
        }
        self.distinct -= u64::from(!record.extra && self.distinct > 0);
        for &application in &store.applications {
            let application = usize::from(application);
            self.tallies[application].storage.take(1, bytes);
            if record.aborted && !self.ledger.was_delivered(record.message, application) {
                continue;
            }
            let passed = partition.groups[application].passed > offset.get();
            self.ledger.mark(record.message, application, if passed { state::SETTLED } else { state::DROPPED });
        }
    }

    /// What was aborted, and the application has processed.
    pub(crate) fn count_dirty_reads(&mut self) {
        for message in &self.aborted {
            for (application, tally) in self.tallies.iter_mut().enumerate() {
                let is_dirty = u64::from(self.ledger.was_processed(*message, application));
                tally.incidents.dirty_reads += is_dirty;
                self.incidents.dirty_reads += is_dirty;
            }
        }
    }

    /// What groups passed over in the records that are still there, and nobody processed.
    pub(crate) fn mark_passed_over(&mut self) {
        for store in &self.stores {
            let Some(partition) = &store.partition else { continue };
            for &application in &store.applications {
                let application = usize::from(application);
                for record in partition.range(partition.start, partition.groups[application].passed) {
                    // An aborted record is passed over because nobody who reads committed data is given it.
                    if record.aborted && !self.ledger.was_delivered(record.message, application) {
                        continue;
                    }
                    self.ledger.mark(record.message, application, state::SETTLED);
                }
            }
        }
    }
}
