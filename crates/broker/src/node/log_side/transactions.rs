//! Producer ids and transactions on a node: requests to the coordinator, and the markers that it wants written.

use std::collections::{BTreeMap, VecDeque};

use brokerlab_event::{ApplicationId, ClientId, Duration, Event, NodeId, Observer, Offset, StoreId, Time};

use super::hosted::Hosted;
use super::{Context, LogSide};
use crate::config::{Deployment, TransactionVersion};
use crate::message::{Address, Effect, LogError, Message, TransactionalCommitError};
use crate::producer_state::CompletedTransaction;
use crate::record::BatchProducer;
use crate::transaction::{DurableCoordinator, Instance, MarkerWanted, TransactionCoordinator, TransactionalId};

/// How long a producer may be silent before a partition forgets it (`producer.id.expiration.ms`).
const PRODUCER_EXPIRATION: Duration = Duration::from_secs(86_400);

/// How often partitions look for such producers (`producer.id.expiration.check.interval.ms`).
const EXPIRATION_INTERVAL: Duration = Duration::from_secs(600);

/// The coordinator of a node, with the markers that are on their way.
#[derive(Clone, Debug)]
pub(super) struct Transactions {
    coordinator: TransactionCoordinator,
    wanted: Vec<MarkerWanted>,
    /// By partition: transactions whose marker is safe once everything below an offset is.
    pending: BTreeMap<StoreId, VecDeque<(Offset, TransactionalId)>>,
    /// Markers are wanted from before the node came up.
    resume_at: Option<Time>,
    /// When producers that have been silent are forgotten; from the first one on that numbers its records.
    expire_at: Option<Time>,
}

impl Transactions {
    pub fn new(node: NodeId, deployment: &Deployment) -> Transactions {
        let version = deployment.profile.log.transactions;
        let (number, coordinators) = (u32::from(node.get()), u32::from(deployment.nodes));
        Transactions {
            coordinator: TransactionCoordinator::new(version, number, coordinators),
            wanted: Vec::new(),
            pending: BTreeMap::new(),
            resume_at: None,
            expire_at: None,
        }
    }

    pub fn crash(self) -> DurableCoordinator {
        self.coordinator.crash()
    }

    /// The coordinator comes back. Some producer may have left its numbers in the partitions, and some marker may be
    /// missing there.
    pub fn recover<P: Clone>(&mut self, now: Time, durable: DurableCoordinator, partitions: &[Hosted<P>]) {
        self.coordinator = TransactionCoordinator::recover(durable, &mut self.wanted);
        for hosted in partitions.iter().filter(|hosted| hosted.is_led()) {
            let producers = hosted.log.producers();
            for (producer, _) in producers.open_transactions() {
                let (epoch, _) = producers.last_sequence(producer).expect("it has a transaction here");
                self.coordinator.reopened(hosted.store, (producer, epoch), &mut self.wanted);
            }
        }
        self.resume_at = (!self.wanted.is_empty()).then_some(now);
        self.expire_at = Some(now.saturating_add(EXPIRATION_INTERVAL));
    }

    /// Whether an open transaction says how far a group has read in a partition.
    pub fn has_pending_offset(&self, group: ApplicationId, store: StoreId) -> bool {
        self.coordinator.has_pending_offset(group, store)
    }

    pub fn next_timeout(&self) -> Option<Time> {
        let coordinator = self.coordinator.next_timeout();
        [coordinator, self.resume_at, self.expire_at].into_iter().flatten().min()
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// Handles a request to the coordinator.
    pub(super) fn handle_transaction<O: Observer>(
        &mut self,
        client: ClientId,
        request: Message<P>,
        context: &mut Context<'_, P, O>,
    ) {
        let Transactions { coordinator, wanted, expire_at, .. } = &mut self.transactions;
        let answer = match request {
            Message::InitProducerId { correlation, transactional, timeout, known } => {
                expire_at.get_or_insert(context.now.saturating_add(EXPIRATION_INTERVAL));
                let result = match transactional {
                    None => Ok(coordinator.init_idempotent()),
                    Some(id) => coordinator.init(id, timeout, known, wanted),
                };
                Message::ProducerIdAssigned { correlation, result }
            }
            Message::AddPartitionsToTransaction { correlation, transactional, producer, stores } => {
                let result = self.add_partitions(context.now, transactional, producer, stores);
                Message::PartitionsAdded { correlation, result }
            }
            Message::AddOffsetsToTransaction { correlation, transactional, producer, group } => {
                let result = coordinator.add_group(context.now, transactional, producer, group);
                Message::PartitionsAdded { correlation, result }
            }
            Message::CommitOffsetsInTransaction {
                correlation,
                transactional,
                producer,
                group,
                member,
                generation,
                offsets,
            } => {
                let may_commit = self.groups.may_commit(context.now, group, member, generation);
                let result = may_commit.map_err(TransactionalCommitError::Group).and_then(|()| {
                    let reader = (group, member.client);
                    let taken = coordinator.commit_offsets(context.now, transactional, producer, reader, &offsets);
                    taken.map_err(TransactionalCommitError::Producer)
                });
                Message::OffsetsCommittedInTransaction { correlation, result }
            }
            Message::EndTransaction { correlation, transactional, producer, committed } => {
                let result = coordinator.end(transactional, producer, committed, wanted);
                Message::TransactionEnded { correlation, result }
            }
            _ => return,
        };
        context.send(Address::Client(client), answer);
        self.write_markers(context);
    }

    fn add_partitions(
        &mut self,
        now: Time,
        id: TransactionalId,
        producer: Instance,
        stores: Vec<StoreId>,
    ) -> Result<(), LogError> {
        if stores.iter().any(|store| self.led(*store).is_none()) {
            return Err(LogError::NotLeader);
        }
        self.transactions.coordinator.add(now, id, producer, stores)
    }

    /// Whether a batch belongs to an open transaction, as it says. With version 2 a partition joins the transaction by
    /// being written to.
    #[inline(never)]
    pub(super) fn check_transactional(
        &mut self,
        now: Time,
        store: StoreId,
        producer: &BatchProducer,
    ) -> Result<(), LogError> {
        let coordinator = &mut self.transactions.coordinator;
        let instance = (producer.id, producer.epoch);
        let id = coordinator.id_of(producer.id).ok_or(LogError::InvalidProducerIdMapping)?;
        let checked = match coordinator.version() {
            TransactionVersion::V1 => coordinator.verify(id, instance, store),
            TransactionVersion::V2 => coordinator.add(now, id, instance, vec![store]),
        };
        self.note_rare_due();
        // The client may move on from an epoch that is over, which it could not from being fenced.
        checked.map_err(|error| match error {
            LogError::ProducerFenced => LogError::InvalidProducerEpoch,
            error => error,
        })
    }

    /// Writes the markers that the coordinator wants.
    pub(super) fn write_markers<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        // The marker in the log of committed offsets: group and transaction have their coordinators on one node, and
        // neither forgets anything, so it is there at once.
        for decided in self.transactions.coordinator.take_decided_offsets() {
            self.groups.commit_decided(&decided);
        }
        let mut wanted = std::mem::take(&mut self.transactions.wanted);
        for marker in wanted.drain(..) {
            self.write_marker(marker, context);
        }
        self.transactions.wanted = wanted;
    }

    fn write_marker<O: Observer>(&mut self, wanted: MarkerWanted, context: &mut Context<'_, P, O>) {
        let MarkerWanted { id, store, marker } = wanted;
        let place = self.led(store).expect("only partitions that are led here take part");
        let Ok((appended, completed)) = self.partitions[place].log.append_marker(&marker, context.now) else {
            // A later marker of the same producer is there already, so this one has nothing left to end.
            self.transactions.coordinator.marker_written(id, store);
            return;
        };
        if appended.rolled {
            context.observe(Event::SegmentRolled { store, offset: appended.first });
        }
        match completed {
            Some(completed) => self.tell_end(place, completed, context),
            // It took part, and nothing of it was stored there: the marker takes an offset all the same.
            None => {
                let (offset, committed) = (appended.first, marker.committed);
                context.observe(Event::TransactionEnded { store, first: offset, offset, committed });
            }
        }
        self.transactions.await_marker(store, appended.end, id);
        context.out.push(Effect::Write { node: context.node, store, until: appended.end });
    }

    fn tell_end<O: Observer>(
        &mut self,
        place: usize,
        completed: CompletedTransaction,
        context: &mut Context<'_, P, O>,
    ) {
        let CompletedTransaction { producer, first, last, committed, .. } = completed;
        let hosted = &self.partitions[place];
        let store = hosted.store;
        if !committed {
            let records = hosted.log.log().entries_from(first).take_while(|(offset, _)| *offset < last);
            for (offset, record) in records.filter(|(_, record)| record.producer == producer) {
                context.observe(Event::Aborted { message: record.message, store, offset });
            }
        }
        context.observe(Event::TransactionEnded { store, first, offset: last, committed });
    }

    /// More of a partition is safe: its markers may be.
    pub(super) fn markers_safe(&mut self, place: usize) {
        let (store, safe) = (self.partitions[place].store, self.partitions[place].log.high_watermark());
        let Transactions { coordinator, pending, .. } = &mut self.transactions;
        let Some(markers) = pending.get_mut(&store) else { return };
        while let Some((_, id)) = markers.pop_front_if(|(until, _)| *until <= safe) {
            coordinator.marker_written(id, store);
        }
        if markers.is_empty() {
            pending.remove(&store);
        }
    }

    /// Does what is due: markers from before a crash, transactions that were open too long, silent producers.
    pub(super) fn transactions_timeout<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        let Transactions { coordinator, wanted, resume_at, expire_at, .. } = &mut self.transactions;
        resume_at.take_if(|at| *at <= context.now);
        coordinator.handle_timeout(context.now, wanted);
        if expire_at.is_some_and(|at| at <= context.now) {
            *expire_at = Some(context.now.saturating_add(EXPIRATION_INTERVAL));
            for hosted in &mut self.partitions {
                hosted.log.expire_producers(context.now, PRODUCER_EXPIRATION);
            }
        }
        self.write_markers(context);
    }
}

impl Transactions {
    fn await_marker(&mut self, store: StoreId, until: Offset, id: TransactionalId) {
        self.pending.entry(store).or_default().push_back((until, id));
    }
}
