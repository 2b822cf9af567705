//! The transaction coordinator: gives out producer ids, knows which instance of a producer is the right one, and
//! decides how transactions end.
//!
//! A transaction is decided when its coordinator has noted that it is to be committed or aborted; from then on nothing
//! but the writing of markers is left, one into each partition that took part (KIP-98). What the coordinator knows
//! survives its node, so that a transaction that was decided is completed by whoever coordinates next.
//!
//! A transactional id of a producer outlives its process. Whoever asks for a producer id under it gets the next epoch,
//! which shuts out all earlier instances, and their open transaction is aborted. With version 2 of the protocol
//! (KIP-890) every end of a transaction moves the epoch on, so that not even a late request of the same instance can
//! get into the next transaction.

use std::collections::{BTreeMap, BTreeSet};

use brokerlab_event::{ApplicationId, ClientId, Duration, Offset, StoreId, Time};

use crate::config::TransactionVersion;
use crate::message::LogError;
use crate::producer_state::EndMarker;
use crate::record::ProducerId;

/// The epoch from which on no further one is given out under the same producer id: one more must be left to shut the
/// last instance out.
const EPOCHS_EXHAUSTED: u16 = i16::MAX as u16 - 1;

/// How often a coordinator looks for transactions that have been open too long
/// (`transaction.abort.timed.out.transaction.cleanup.interval.ms`).
const ABORT_INTERVAL: Duration = Duration::from_secs(10);

/// The longest time that a producer may ask for (`transaction.max.timeout.ms`).
pub const MAX_TIMEOUT: Duration = Duration::from_secs(900);

/// How far the current transaction of a transactional id has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TransactionState {
    /// There has been none under this epoch.
    Empty,
    /// Partitions take part.
    Ongoing,
    /// It is decided that it counts; markers are being written.
    PrepareCommit,
    /// It is decided that it does not count; markers are being written.
    PrepareAbort,
    /// It counts, and everybody knows.
    CompleteCommit,
    /// It does not count, and everybody knows.
    CompleteAbort,
}

/// The transactional id of a producer (`transactional.id`): small numbers in place of names.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TransactionalId(pub u32);

impl TransactionalId {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// A producer id with an epoch: one instance of a producer.
pub type Instance = (ProducerId, u16);

/// A marker that must be written where a transaction took part.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MarkerWanted {
    /// Whose transaction it ends.
    pub id: TransactionalId,
    /// Into which partition.
    pub store: StoreId,
    /// What.
    pub marker: EndMarker,
}

/// What is known of a transactional id.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Transaction {
    producer: ProducerId,
    /// The epoch, which nobody has before the first request for an id was answered.
    epoch: Option<u16>,
    /// The epoch before, where the same instance may repeat its last request under it.
    last_epoch: Option<u16>,
    /// The producer id before this one, whose epochs are exhausted.
    last_producer: Option<ProducerId>,
    /// Under which id and epoch the markers of the transaction that was decided last are written.
    marker: Instance,
    /// How it was decided.
    committed: bool,
    timeout: Duration,
    state: TransactionState,
    /// What takes part; while markers are being written, where they are still missing.
    partitions: Vec<StoreId>,
    /// Groups whose offsets take part, with what is to be committed for them: the last one for a partition counts.
    offsets: Vec<GroupOffsets>,
    started: Time,
}

/// How far a group has read, as a transaction says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct GroupOffsets {
    /// The group.
    pub group: ApplicationId,
    /// The member that has read; nobody as long as there are no offsets.
    pub reader: Option<ClientId>,
    /// Partition and next record to read, in the order of the partitions.
    pub offsets: Vec<(StoreId, Offset)>,
}

/// Coordinates the transactions of some transactional ids.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TransactionCoordinator {
    version: TransactionVersion,
    /// How often this coordinator has been taken over.
    epoch: u32,
    next_producer: u32,
    /// Several coordinators give out ids by turns, so that none is given out twice.
    producer_step: u32,
    /// By transactional id.
    transactions: Vec<Option<Transaction>>,
    /// The transactional id under which each producer writes.
    by_producer: BTreeMap<ProducerId, TransactionalId>,
    /// Open transactions, with the time at which they are aborted unless they end before.
    open: BTreeSet<(Time, TransactionalId)>,
    /// How many open transactions say how far a group has read in a partition.
    pending: BTreeMap<(ApplicationId, StoreId), u32>,
    /// Offsets of transactions that were committed, until their groups have them.
    decided_offsets: Vec<GroupOffsets>,
}

/// What survives of a coordinator when its node goes down: everything that it has told anybody.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DurableCoordinator(TransactionCoordinator);

impl DurableCoordinator {
    /// No producer id that this one has given out is given out again, whatever else is forgotten: ids come in blocks from
    /// the log of the controllers, which is flushed
    /// ([KIP-730](https://cwiki.apache.org/confluence/display/KAFKA/KIP-730%3A+Producer+ID+generation+in+KRaft+mode)).
    pub fn skip_producers_of(&mut self, latest: &DurableCoordinator) {
        self.0.next_producer = self.0.next_producer.max(latest.0.next_producer);
    }
}

impl TransactionCoordinator {
    /// One that knows nobody: the coordinator of this number out of so many.
    pub fn new(version: TransactionVersion, number: u32, coordinators: u32) -> TransactionCoordinator {
        let (next_producer, producer_step) = (number, coordinators);
        TransactionCoordinator {
            version,
            epoch: 0,
            next_producer,
            producer_step,
            transactions: Vec::new(),
            by_producer: BTreeMap::new(),
            open: BTreeSet::new(),
            pending: BTreeMap::new(),
            decided_offsets: Vec::new(),
        }
    }

    /// The transactional id under which a producer writes, or wrote last.
    pub fn id_of(&self, producer: ProducerId) -> Option<TransactionalId> {
        self.by_producer.get(&producer).copied()
    }

    /// The rules of transactions that hold here.
    pub fn version(&self) -> TransactionVersion {
        self.version
    }

    /// The state of the current transaction of a transactional id.
    pub fn state(&self, id: TransactionalId) -> Option<TransactionState> {
        self.transaction(id).map(|transaction| transaction.state)
    }

    fn transaction(&self, id: TransactionalId) -> Option<&Transaction> {
        self.transactions.get(id.index())?.as_ref()
    }

    fn transaction_mut(&mut self, id: TransactionalId) -> Option<&mut Transaction> {
        self.transactions.get_mut(id.index())?.as_mut()
    }

    fn new_producer(&mut self) -> ProducerId {
        let producer = ProducerId::new(self.next_producer);
        self.next_producer += self.producer_step;
        producer
    }

    /// A producer id for a producer without a transactional id: nobody else has it or ever will.
    pub fn init_idempotent(&mut self) -> Instance {
        (self.new_producer(), 0)
    }

    /// A producer asks for its id and epoch (`InitProducerId`). `known` is what it was before, where it asks only to
    /// move on after an error. Its open transaction, or that of an earlier instance, is aborted first, and it must ask
    /// again afterwards ([`LogError::ConcurrentTransactions`]).
    pub fn init(
        &mut self,
        id: TransactionalId,
        timeout: Duration,
        known: Option<Instance>,
        wanted: &mut Vec<MarkerWanted>,
    ) -> Result<Instance, LogError> {
        if timeout.is_zero() || timeout > MAX_TIMEOUT {
            return Err(LogError::InvalidTransactionTimeout);
        }
        if self.transaction(id).is_none() {
            let producer = self.new_producer();
            if self.transactions.len() <= id.index() {
                self.transactions.resize(id.index() + 1, None);
            }
            self.transactions[id.index()] = Some(Transaction::new(producer, timeout));
            self.by_producer.insert(producer, id);
        }
        let transaction = self.transaction(id).expect("made just now");
        if !known.is_none_or(|known| transaction.may_be(known)) {
            return Err(LogError::ProducerFenced);
        }
        match transaction.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(LogError::ConcurrentTransactions),
            TransactionState::Ongoing => {
                self.fence(id, wanted);
                Err(LogError::ConcurrentTransactions)
            }
            _ => self.next_instance(id, timeout, known),
        }
    }

    /// The next epoch, or a new producer id where there is none left.
    fn next_instance(
        &mut self,
        id: TransactionalId,
        timeout: Duration,
        known: Option<Instance>,
    ) -> Result<Instance, LogError> {
        let transaction = self.transaction(id).expect("the caller has it");
        let (producer, epoch) = (transaction.producer, transaction.epoch);
        let is_current = known.is_none_or(|(_, known)| Some(known) == epoch);
        if epoch.is_some_and(|epoch| epoch >= EPOCHS_EXHAUSTED) && is_current {
            let next = self.new_producer();
            let transaction = self.transaction_mut(id).expect("it was there just now");
            transaction.last_producer = Some(producer);
            transaction.begin_epoch(next, 0, known.and(epoch), timeout);
            self.by_producer.remove(&producer);
            self.by_producer.insert(next, id);
            return Ok((next, 0));
        }
        let transaction = self.transaction_mut(id).expect("it was there just now");
        match (known, epoch) {
            (Some((_, known)), Some(epoch)) if known != epoch => {
                // The answer to an earlier request was lost: it is given once more.
                if transaction.last_epoch == Some(known) {
                    Ok((producer, epoch))
                } else {
                    Err(LogError::ProducerFenced)
                }
            }
            (known, epoch) => {
                let next = epoch.map_or(0, |epoch| epoch + 1);
                transaction.begin_epoch(producer, next, known.and(epoch), timeout);
                Ok((producer, next))
            }
        }
    }

    /// Aborts an open transaction under the next epoch, which shuts its producer out.
    fn fence(&mut self, id: TransactionalId, wanted: &mut Vec<MarkerWanted>) {
        let transaction = self.transaction_mut(id).expect("the caller has it");
        transaction.epoch = transaction.epoch.map(|epoch| epoch + 1);
        transaction.last_epoch = None;
        self.decide(id, false, wanted);
    }

    /// Partitions take part from now on (`AddPartitionsToTxn`; with version 2 the partition asks for this itself when
    /// a batch comes).
    pub fn add(
        &mut self,
        now: Time,
        id: TransactionalId,
        instance: Instance,
        partitions: Vec<StoreId>,
    ) -> Result<(), LogError> {
        let transaction = self.transaction_mut(id).ok_or(LogError::InvalidProducerIdMapping)?;
        transaction.check(instance)?;
        match transaction.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => {
                return Err(LogError::ConcurrentTransactions);
            }
            TransactionState::Ongoing => {}
            _ => {
                (transaction.state, transaction.started) = (TransactionState::Ongoing, now);
                let abort_at = transaction.abort_at();
                self.open.extend(abort_at.map(|at| (at, id)));
            }
        }
        let transaction = self.transaction_mut(id).expect("it was looked at just now");
        for store in partitions {
            if !transaction.partitions.contains(&store) {
                transaction.partitions.push(store);
            }
        }
        Ok(())
    }

    /// The offsets of a group take part from now on (`AddOffsetsToTxn`; with version 2 that comes with the offsets
    /// themselves).
    pub fn add_group(
        &mut self,
        now: Time,
        id: TransactionalId,
        instance: Instance,
        group: ApplicationId,
    ) -> Result<(), LogError> {
        self.add(now, id, instance, Vec::new())?;
        let transaction = self.transaction_mut(id).expect("something was added to it just now");
        if !transaction.offsets.iter().any(|own| own.group == group) {
            transaction.offsets.push(GroupOffsets { group, reader: None, offsets: Vec::new() });
        }
        Ok(())
    }

    /// The transaction says how far a group has read (`TxnOffsetCommit`). Nobody is told so before it is committed, and
    /// nobody ever where it is aborted.
    pub fn commit_offsets(
        &mut self,
        now: Time,
        id: TransactionalId,
        instance: Instance,
        (group, reader): (ApplicationId, ClientId),
        offsets: &[(StoreId, Offset)],
    ) -> Result<(), LogError> {
        if self.version == TransactionVersion::V2 {
            self.add_group(now, id, instance, group)?;
        }
        let (transactions, pending) = (&mut self.transactions, &mut self.pending);
        let transaction = transactions.get_mut(id.index()).and_then(Option::as_mut);
        let transaction = transaction.ok_or(LogError::InvalidProducerIdMapping)?;
        transaction.check(instance)?;
        let own = transaction.offsets.iter_mut().find(|own| own.group == group);
        let own = own.ok_or(LogError::InvalidTransactionState)?;
        own.reader = Some(reader);
        for (store, offset) in offsets {
            match own.offsets.binary_search_by_key(store, |(other, _)| *other) {
                Ok(place) => own.offsets[place].1 = *offset,
                Err(place) => {
                    own.offsets.insert(place, (*store, *offset));
                    *pending.entry((group, *store)).or_default() += 1;
                }
            }
        }
        Ok(())
    }

    /// Whether an open transaction says how far a group has read in a partition.
    pub fn has_pending_offset(&self, group: ApplicationId, store: StoreId) -> bool {
        self.pending.contains_key(&(group, store))
    }

    /// The offsets of transactions that were committed since this was last asked, in order.
    pub fn take_decided_offsets(&mut self) -> Vec<GroupOffsets> {
        std::mem::take(&mut self.decided_offsets)
    }

    /// Whether a partition takes part in the open transaction of this producer.
    pub fn verify(&self, id: TransactionalId, instance: Instance, store: StoreId) -> Result<(), LogError> {
        let transaction = self.transaction(id).ok_or(LogError::InvalidProducerIdMapping)?;
        transaction.check(instance)?;
        match transaction.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => Err(LogError::ConcurrentTransactions),
            TransactionState::Ongoing if transaction.partitions.contains(&store) => Ok(()),
            _ => Err(LogError::TransactionAbortable),
        }
    }

    /// A producer ends its transaction (`EndTxn`). Returns under which epoch it goes on.
    pub fn end(
        &mut self,
        id: TransactionalId,
        instance: Instance,
        committed: bool,
        wanted: &mut Vec<MarkerWanted>,
    ) -> Result<Instance, LogError> {
        use TransactionState::{CompleteAbort, CompleteCommit, Empty, Ongoing, PrepareAbort, PrepareCommit};
        let version = self.version;
        let transaction = self.transaction(id).ok_or(LogError::InvalidProducerIdMapping)?;
        let current = (transaction.producer, transaction.epoch.unwrap_or_default());
        let is_repeated = transaction.is_repeated(instance) && version == TransactionVersion::V2;
        if transaction.producer != instance.0 && !is_repeated {
            return Err(LogError::InvalidProducerIdMapping);
        }
        let is_valid = match (version, transaction.state) {
            (TransactionVersion::V1, _) | (TransactionVersion::V2, Empty | Ongoing) => current == instance,
            (TransactionVersion::V2, _) => is_repeated,
        };
        match transaction.state {
            // With version 2 an abort is always possible, also of a transaction in which nothing took part: a request
            // of it may still be under way, and the next epoch shuts it out.
            Empty | CompleteAbort | CompleteCommit
                if version == TransactionVersion::V2 && !committed && current == instance =>
            {
                self.decide_next_epoch(id, false, wanted)
            }
            _ if !is_valid => Err(LogError::ProducerFenced),
            Ongoing => self.decide_next_epoch(id, committed, wanted),
            CompleteCommit if committed => Ok(current),
            CompleteAbort if !committed => Ok(current),
            PrepareCommit if committed => Err(LogError::ConcurrentTransactions),
            PrepareAbort if !committed => Err(LogError::ConcurrentTransactions),
            _ => Err(LogError::InvalidTransactionState),
        }
    }

    /// Decides a transaction for its producer, which goes on under the epoch that is returned.
    fn decide_next_epoch(
        &mut self,
        id: TransactionalId,
        committed: bool,
        wanted: &mut Vec<MarkerWanted>,
    ) -> Result<Instance, LogError> {
        let moves_on = self.version == TransactionVersion::V2;
        let is_exhausted = self.transaction(id).is_some_and(|t| t.epoch.is_some_and(|epoch| epoch >= EPOCHS_EXHAUSTED));
        let next_producer = (moves_on && is_exhausted).then(|| self.new_producer());
        let transaction = self.transaction_mut(id).expect("the caller has it");
        if moves_on {
            transaction.last_epoch = transaction.epoch;
            transaction.epoch = transaction.epoch.map(|epoch| epoch + 1);
        }
        self.decide(id, committed, wanted);
        let transaction = self.transaction_mut(id).expect("the caller has it");
        if let Some(next) = next_producer {
            let former = transaction.producer;
            transaction.last_producer = Some(former);
            (transaction.producer, transaction.epoch) = (next, Some(0));
            self.by_producer.remove(&former);
            self.by_producer.insert(next, id);
            return Ok((next, 0));
        }
        Ok((transaction.producer, transaction.epoch.unwrap_or_default()))
    }

    /// From here on the transaction counts, or does not, whatever happens.
    fn decide(&mut self, id: TransactionalId, committed: bool, wanted: &mut Vec<MarkerWanted>) {
        let transaction = self.transaction_mut(id).expect("the caller has it");
        let (prepared, complete) = match committed {
            true => (TransactionState::PrepareCommit, TransactionState::CompleteCommit),
            false => (TransactionState::PrepareAbort, TransactionState::CompleteAbort),
        };
        transaction.marker = (transaction.producer, transaction.epoch.unwrap_or_default());
        transaction.committed = committed;
        let offsets = std::mem::take(&mut transaction.offsets);
        let abort_at = transaction.abort_at();
        transaction.state = if transaction.partitions.is_empty() { complete } else { prepared };
        if let Some(at) = abort_at {
            self.open.remove(&(at, id));
        }
        self.forget_pending(&offsets);
        if committed {
            self.decided_offsets.extend(offsets);
        }
        self.want_markers(id, wanted);
    }

    /// A transaction is decided that said this of how far groups have read.
    fn forget_pending(&mut self, offsets: &[GroupOffsets]) {
        for key in offsets.iter().flat_map(|own| own.offsets.iter().map(|(store, _)| (own.group, *store))) {
            let count = self.pending.get_mut(&key).expect("it was noted when it was said");
            *count -= 1;
            if *count == 0 {
                self.pending.remove(&key);
            }
        }
    }

    /// Asks for the markers that are still missing.
    fn want_markers(&self, id: TransactionalId, wanted: &mut Vec<MarkerWanted>) {
        let Some(transaction) = self.transaction(id) else { return };
        let committed = match transaction.state {
            TransactionState::PrepareCommit => true,
            TransactionState::PrepareAbort => false,
            _ => return,
        };
        let (producer, epoch) = transaction.marker;
        let marker = EndMarker { producer, epoch, coordinator_epoch: self.epoch, committed };
        wanted.extend(transaction.partitions.iter().map(|store| MarkerWanted { id, store: *store, marker }));
    }

    /// A partition has come back with an open transaction of this producer. Where it was decided before, its marker is
    /// gone, with the power of the machine that had it: it is asked for once more. Of a decision before the last one
    /// nobody knows any more how it was, and such a transaction is aborted.
    pub fn reopened(&self, store: StoreId, producer: Instance, wanted: &mut Vec<MarkerWanted>) {
        let Some(id) = self.id_of(producer.0) else { return };
        let transaction = self.transaction(id).expect("it was found just now");
        let takes_part = transaction.partitions.contains(&store);
        let is_decided = match transaction.state {
            TransactionState::PrepareCommit | TransactionState::PrepareAbort => !takes_part,
            TransactionState::Ongoing => !takes_part || transaction.epoch != Some(producer.1),
            _ => true,
        };
        if !is_decided {
            return;
        }
        let (ended, epoch) = transaction.marker;
        let moved_on = u16::from(self.version == TransactionVersion::V2);
        let is_last = (ended, epoch) == (producer.0, producer.1 + moved_on);
        let (committed, epoch) = (transaction.committed && is_last, epoch.max(producer.1));
        let marker = EndMarker { producer: producer.0, epoch, coordinator_epoch: self.epoch, committed };
        wanted.push(MarkerWanted { id, store, marker });
    }

    /// A marker has been written and is safe. True where it was the last one: the transaction is complete.
    pub fn marker_written(&mut self, id: TransactionalId, store: StoreId) -> bool {
        let Some(transaction) = self.transaction_mut(id) else { return false };
        let complete = match transaction.state {
            TransactionState::PrepareCommit => TransactionState::CompleteCommit,
            TransactionState::PrepareAbort => TransactionState::CompleteAbort,
            _ => return false,
        };
        transaction.partitions.retain(|other| *other != store);
        let is_last = transaction.partitions.is_empty();
        if is_last {
            transaction.state = complete;
        }
        is_last
    }

    /// Aborts transactions that have been open for longer than their producers asked for, and shuts these out.
    pub fn handle_timeout(&mut self, now: Time, wanted: &mut Vec<MarkerWanted>) {
        let due = self.open.iter().take_while(|(at, _)| *at <= now);
        let mut due: Vec<TransactionalId> = due.map(|(_, id)| *id).collect();
        due.sort_unstable();
        for id in due {
            self.fence(id, wanted);
        }
    }

    /// When the next transaction is aborted unless it ends before.
    pub fn next_timeout(&self) -> Option<Time> {
        self.open.first().map(|(at, _)| *at)
    }

    /// What is left when the node goes down.
    pub fn crash(self) -> DurableCoordinator {
        DurableCoordinator(self)
    }

    /// Takes over: asks once more for all markers that are missing, which may have been written all the same. A second
    /// marker does nothing.
    pub fn recover(durable: DurableCoordinator, wanted: &mut Vec<MarkerWanted>) -> TransactionCoordinator {
        let mut coordinator = durable.0;
        coordinator.epoch += 1;
        for index in 0..coordinator.transactions.len() {
            coordinator.want_markers(TransactionalId(index as u32), wanted);
        }
        coordinator
    }
}

impl Transaction {
    fn new(producer: ProducerId, timeout: Duration) -> Transaction {
        Transaction {
            producer,
            epoch: None,
            last_epoch: None,
            last_producer: None,
            marker: (producer, 0),
            committed: false,
            timeout,
            state: TransactionState::Empty,
            partitions: Vec::new(),
            offsets: Vec::new(),
            started: Time::ZERO,
        }
    }

    /// Whether somebody who was this before may go on under this id; the epoch is looked at later.
    fn may_be(&self, (producer, epoch): Instance) -> bool {
        self.epoch.is_none()
            || producer == self.producer
            || (Some(producer) == self.last_producer && epoch >= EPOCHS_EXHAUSTED)
    }

    fn begin_epoch(&mut self, producer: ProducerId, epoch: u16, last_epoch: Option<u16>, timeout: Duration) {
        (self.producer, self.epoch, self.last_epoch) = (producer, Some(epoch), last_epoch);
        (self.state, self.timeout) = (TransactionState::Empty, timeout);
    }

    fn check(&self, (producer, epoch): Instance) -> Result<(), LogError> {
        if self.producer != producer {
            return Err(LogError::InvalidProducerIdMapping);
        }
        if self.epoch != Some(epoch) { Err(LogError::ProducerFenced) } else { Ok(()) }
    }

    /// Whether somebody repeats the request that moved the epoch on. One that was shut out does not.
    fn is_repeated(&self, (producer, epoch): Instance) -> bool {
        self.last_epoch == Some(epoch) && (self.producer == producer || self.last_producer == Some(producer))
    }

    /// When it is aborted: coordinators look only so often, and a transaction may take exactly its time.
    fn abort_at(&self) -> Option<Time> {
        (self.state == TransactionState::Ongoing).then(|| {
            let interval = ABORT_INTERVAL.as_nanos();
            let over = self.started.saturating_add(self.timeout).as_nanos();
            Time::from_nanos((over / interval + 1).saturating_mul(interval))
        })
    }
}
