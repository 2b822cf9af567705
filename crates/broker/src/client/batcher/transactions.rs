//! The transactions of a producer, and the application that begins and ends them (KIP-98, KIP-890).
//!
//! The application knows that a message counts only once its transaction is committed, so that is when it is confirmed.
//! While it waits for the end of a transaction, or for its producer id at the start, it sends nothing: what the demand
//! asks for meanwhile waits with it.

use std::collections::VecDeque;

use brokerlab_event::{Departure, Duration, Event, MessageId, Observer, Refusal, Time};

use super::accumulator::Batch;
use super::sequences::{OutOfOrder, Sequences};
use super::{Batcher, Link};
use crate::config::{TransactionConfig, TransactionVersion};
use crate::message::{Envelope, LogError, Message, Outbox};
use crate::transaction::{Instance, TransactionalId};

/// How long a client waits before it asks again for partitions to be added while its last transaction is still being
/// completed: not as long as after other errors, because that is soon over.
const ADD_BACKOFF: Duration = Duration::from_millis(20);

/// Where the application stands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// Its next message begins a transaction.
    Idle,
    /// It sends.
    Open,
    /// It waits until everything is stored and the transaction is committed.
    Committing,
    /// It waits until the transaction is aborted.
    Aborting,
    /// It has ended, because it was shut out.
    Over,
}

/// What a producer asks the coordinator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Request {
    /// For an id and an epoch.
    Init,
    /// To let partitions take part.
    Add,
    /// To end the transaction.
    End { committed: bool },
}

/// A request whose answer is awaited; there is one at a time.
#[derive(Clone, Copy, Debug)]
struct Asked {
    correlation: u32,
    request: Request,
    sent: Time,
}

/// What a transactional producer knows of its transactions.
#[derive(Clone, Debug)]
pub(super) struct Transactions<P> {
    config: TransactionConfig,
    id: TransactionalId,
    phase: Phase,
    /// How many it has begun, also before restarts.
    begun: u64,
    /// When the application ends the open one, whatever has come until then.
    ends_at: Option<Time>,
    /// How many messages the application has put into the open one.
    count: u32,
    /// Those of them that were not refused by themselves, in order.
    records: Vec<Envelope<P>>,
    /// What the demand has asked for while the application waits.
    held: VecDeque<Envelope<P>>,
    /// With version 1: which partitions take part.
    added: Vec<bool>,
    /// With version 1: which are to take part and may do so already.
    adding: Vec<u32>,
    /// The coordinator may know of the transaction.
    is_known: bool,
    /// Something that was sent in this epoch may be missing: it must be over before the next transaction.
    needs_epoch: bool,
    asked: Option<Asked>,
    /// The coordinator is not asked before.
    ask_at: Option<Time>,
}

impl<P> Transactions<P> {
    pub fn new(config: TransactionConfig, lanes: usize) -> Transactions<P> {
        Transactions {
            config,
            id: config.id,
            phase: Phase::Idle,
            begun: 0,
            ends_at: None,
            count: 0,
            records: Vec::new(),
            held: VecDeque::new(),
            added: vec![false; lanes],
            adding: Vec::new(),
            is_known: false,
            needs_epoch: false,
            asked: None,
            ask_at: None,
        }
    }

    /// The process is gone. What it was in the middle of stays open at the coordinator.
    fn clear(&mut self) {
        *self = Transactions {
            id: TransactionalId(self.id.0 + self.config.id_step),
            begun: self.begun,
            ..Transactions::new(self.config, self.added.len())
        };
    }

    /// True where the application calls `send()` as soon as there is something to send.
    fn takes_records(&self) -> bool {
        matches!(self.phase, Phase::Idle | Phase::Open) && !self.needs_epoch
    }

    /// Whether a batch may be sent to a partition: with version 1 it must take part.
    #[inline]
    pub fn may_send_to(&self, lane: u32) -> bool {
        self.config.version == TransactionVersion::V2 || self.added[lane as usize]
    }

    /// There are so many partitions now; the new ones do not take part yet.
    pub fn extend_to(&mut self, lanes: usize) {
        self.added.resize(lanes.max(self.added.len()), false);
    }

    /// It has ended for good.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Over
    }

    /// Batches were handed to the network.
    pub fn sent(&mut self) {
        self.is_known = true;
    }

    /// The connection is gone, and with it what was asked.
    pub fn disconnected(&mut self) {
        (self.asked, self.ask_at) = (None, None);
    }

    /// When something is due next, besides what the batches themselves ask for.
    pub fn next_timeout(&self, request_timeout: Duration) -> Option<Time> {
        let answer = self.asked.map(|asked| asked.sent.saturating_add(request_timeout));
        [self.ends_at, self.ask_at, answer].into_iter().flatten().min()
    }

    /// True where an answer was awaited for too long.
    pub fn waits_too_long(&self, now: Time, request_timeout: Duration) -> bool {
        self.asked.is_some_and(|asked| asked.sent.saturating_add(request_timeout) <= now)
    }
}

impl<P: Clone> Batcher<P> {
    /// The messages that the application has not been told anything of, in their order: what another process that
    /// takes its place must send.
    pub fn unconfirmed(&self) -> Vec<Envelope<P>> {
        let under_way = self.in_flight.iter().filter_map(|flight| flight.batch.as_ref());
        let gathered = self.gathered.lanes.iter().flat_map(|lane| &lane.batches);
        let mut all: Vec<Envelope<P>> = under_way
            .chain(gathered)
            .flat_map(|batch| &batch.records)
            .chain(self.gathered.waiting_records())
            .cloned()
            .collect();
        if let Some(own) = &self.transactions {
            all.extend(own.records.iter().chain(&own.held).cloned());
        }
        all.sort_by_key(|record| record.message);
        all.dedup_by_key(|record| record.message);
        all
    }

    /// The application wants to send a message.
    pub(super) fn offered_in_transaction<O: Observer>(&mut self, now: Time, record: Envelope<P>, observer: &mut O) {
        let is_assigned = self.sequences.as_ref().is_some_and(Sequences::is_assigned);
        let own = self.transactions.as_mut().expect("the producer is transactional");
        if own.phase == Phase::Over {
            return;
        }
        if !own.takes_records() || !is_assigned || !own.held.is_empty() {
            return own.held.push_back(record);
        }
        if own.phase == Phase::Idle {
            (own.phase, own.begun) = (Phase::Open, own.begun + 1);
            own.ends_at = own.config.every.map(|every| now.saturating_add(every));
        }
        own.count += 1;
        own.records.push(record.clone());
        let message = record.message;
        if !self.append(now, record, observer) {
            return self.refused_in_transaction(now, message);
        }
        let own = self.transactions.as_ref().expect("it is still there");
        if own.phase == Phase::Open && own.config.messages.is_some_and(|most| own.count >= most) {
            self.end_transaction(now);
        }
    }

    /// The application calls `commitTransaction()`, or `abortTransaction()`.
    fn end_transaction(&mut self, now: Time) {
        let own = self.transactions.as_mut().expect("the producer is transactional");
        own.ends_at = None;
        let aborts = own.config.chance.at(own.begun) % 1_000_000 < u64::from(own.config.aborts);
        if aborts {
            return self.fail_transaction(now);
        }
        own.phase = Phase::Committing;
        self.gathered.flushes = true;
        self.gathered.ready_at = now;
    }

    /// The transaction cannot be committed any more, or is not to be: what has not left yet never does.
    pub(super) fn fail_transaction(&mut self, now: Time) {
        let Some(own) = &mut self.transactions else { return };
        if !matches!(own.phase, Phase::Open | Phase::Committing) {
            return;
        }
        (own.phase, own.ends_at) = (Phase::Aborting, None);
        self.gathered.flushes = false;
        for batch in self.gathered.abandon() {
            own.needs_epoch |= batch.sequence.is_some();
            self.gathered.release(batch);
        }
        self.gathered.ready_at = now;
    }

    /// The transaction is lost: nothing more of it is sent.
    pub(super) fn is_aborting(&self) -> bool {
        self.transactions.as_ref().is_some_and(|own| own.phase == Phase::Aborting)
    }

    /// A call of `send()` has failed, and the transaction with it.
    pub(super) fn refused_in_transaction(&mut self, now: Time, message: MessageId) {
        if self.transactions.is_some() {
            self.forget_records(|other| other == message);
            self.fail_transaction(now);
        }
    }

    fn forget_records(&mut self, is_gone: impl Fn(MessageId) -> bool) {
        let own = self.transactions.as_mut().expect("the producer is transactional");
        own.records.retain(|record| !is_gone(record.message));
    }

    /// A batch was not stored, or nobody knows. `answer` says why, or that the connection was lost. Gives the batch back
    /// where it is to be sent again.
    pub(super) fn failed_in_transaction<O: Observer>(
        &mut self,
        now: Time,
        lane: u32,
        batch: Batch<P>,
        answer: Option<LogError>,
        observer: &mut O,
    ) -> Option<Batch<P>> {
        let (own, numbers) = (self.transactions.as_mut()?, self.sequences.as_mut()?);
        let sequence = batch.sequence.expect("it was sent");
        let may_repeat = batch.attempts <= self.config.retries && own.phase != Phase::Aborting;
        let is_passing = match answer {
            None => true,
            Some(LogError::OutOfOrderSequence) => {
                numbers.out_of_order(lane, sequence, batch.is_renumbered) == OutOfOrder::SendAgain
            }
            Some(error) => error.is_retriable(),
        };
        if may_repeat && is_passing {
            return Some(batch);
        }
        own.needs_epoch = true;
        numbers.refused(lane, sequence);
        let reason = match answer {
            Some(LogError::TooLarge | LogError::LargerThanSegment) => Some(Refusal::TooLarge),
            Some(LogError::InvalidRecord | LogError::InvalidTimestamp) => Some(Refusal::Invalid),
            _ => None,
        };
        if let Some(reason) = reason {
            let gone: Vec<_> = batch.messages().collect();
            for &message in &gone {
                observer.observe(now, Event::Refused { message, producer: self.client, reason });
            }
            self.forget_records(|message| gone.contains(&message));
        }
        self.gathered.release(batch);
        self.fail_transaction(now);
        None
    }

    /// A batch was too long on its way: the application is told, and the transaction with it fails.
    pub(super) fn expired_in_transaction(&mut self, now: Time) {
        if let Some(own) = &mut self.transactions {
            own.needs_epoch = true;
            self.fail_transaction(now);
        }
    }

    /// Does what is due of the transaction, and asks the coordinator for whatever comes next.
    pub(super) fn coordinate<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let Some(own) = &mut self.transactions else { return };
        if own.ends_at.is_some_and(|at| at <= now) {
            self.end_transaction(now);
        }
        while let Some(request) = self.next_request(now) {
            match request {
                // It has never heard of this transaction.
                Request::End { committed } if !self.transactions.as_ref().is_some_and(|own| own.is_known) => {
                    self.finish_transaction(now, committed, observer);
                    self.release_held(now, observer);
                }
                request => return self.ask(now, request, out),
            }
        }
    }

    /// What is to be asked of the coordinator.
    fn next_request(&mut self, now: Time) -> Option<Request> {
        let (own, numbers) = (self.transactions.as_mut()?, self.sequences.as_ref()?);
        if self.connections[0].link != Link::Up || own.asked.is_some() || own.is_over() {
            return None;
        }
        own.ask_at.take_if(|at| *at <= now);
        if own.ask_at.is_some() {
            return None;
        }
        if !numbers.is_assigned() || (own.needs_epoch && own.phase == Phase::Idle) {
            return Some(Request::Init);
        }
        if own.config.version == TransactionVersion::V1 {
            for &lane in &self.gathered.occupied {
                if !own.added[lane as usize] && !own.adding.contains(&lane) {
                    own.adding.push(lane);
                }
            }
            if !own.adding.is_empty() {
                return Some(Request::Add);
            }
        }
        let is_empty = self.in_flight.is_empty() && self.gathered.is_empty();
        match own.phase {
            Phase::Committing if is_empty => Some(Request::End { committed: true }),
            Phase::Aborting if is_empty => Some(Request::End { committed: false }),
            _ => None,
        }
    }

    fn ask(&mut self, now: Time, request: Request, out: &mut Outbox<P>) {
        let correlation = self.correlation;
        self.correlation = correlation.wrapping_add(1);
        let own = self.transactions.as_mut().expect("the producer is transactional");
        own.asked = Some(Asked { correlation, request, sent: now });
        let transactional = own.id;
        let current = self.sequences.as_ref().and_then(Sequences::current);
        let known = || current.expect("there is no transaction without an id");
        let message = match request {
            Request::Init => {
                let (transactional, timeout) = (Some(transactional), own.config.timeout);
                Message::InitProducerId { correlation, transactional, timeout, known: current }
            }
            Request::Add => {
                own.is_known = true;
                let stores = own.adding.iter().map(|lane| self.gathered.lanes[*lane as usize].store).collect();
                Message::AddPartitionsToTransaction { correlation, transactional, producer: known(), stores }
            }
            Request::End { committed } => {
                Message::EndTransaction { correlation, transactional, producer: known(), committed }
            }
        };
        self.send(message, out);
    }

    /// The coordinator answers.
    pub(super) fn coordinator_answered<O: Observer>(
        &mut self,
        now: Time,
        correlation: u32,
        result: Result<Option<Instance>, LogError>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let Some(own) = &mut self.transactions else { return };
        let Some(Asked { request, .. }) = own.asked.take_if(|asked| asked.correlation == correlation) else { return };
        self.connections[0].lost = 0;
        match (request, result) {
            (Request::Add, Ok(_)) => {
                for lane in own.adding.drain(..) {
                    own.added[lane as usize] = true;
                }
                self.gathered.ready_at = now;
            }
            (_, Ok(identity)) => {
                self.enter_epoch(identity.expect("the coordinator says under which id and epoch to go on"));
                if let Request::End { committed } = request {
                    self.finish_transaction(now, committed, observer);
                }
            }
            (Request::Add, Err(LogError::ConcurrentTransactions)) => {
                own.ask_at = Some(now.saturating_add(ADD_BACKOFF));
            }
            (_, Err(error)) if error.is_retriable() => {
                own.ask_at = Some(now.saturating_add(self.config.retry_backoff));
            }
            (_, Err(_)) => self.shut_out(now, out, observer),
        }
        self.release_held(now, observer);
    }

    /// The producer goes on under this id and epoch, where numbers begin anew if they are others than before.
    fn enter_epoch(&mut self, (id, epoch): Instance) {
        let own = self.transactions.as_mut().expect("the producer is transactional");
        let numbers = self.sequences.as_mut().expect("transactions need numbers");
        if numbers.current() != Some((id, epoch)) {
            numbers.forget();
            own.needs_epoch = false;
        }
        numbers.assigned(id, epoch);
    }

    /// The transaction has ended, and the application knows.
    fn finish_transaction<O: Observer>(&mut self, now: Time, committed: bool, observer: &mut O) {
        let producer = self.client;
        let own = self.transactions.as_mut().expect("the producer is transactional");
        for message in own.records.drain(..).map(|record| record.message) {
            observer.observe(
                now,
                match committed {
                    true => Event::Confirmed { message, producer },
                    false => Event::Refused { message, producer, reason: Refusal::Aborted },
                },
            );
        }
        own.added.fill(false);
        (own.phase, own.count, own.is_known) = (Phase::Idle, 0, false);
        self.gathered.flushes = false;
    }

    /// The application goes on with what has waited for the end of a transaction.
    fn release_held<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let is_assigned = self.sequences.as_ref().is_some_and(Sequences::is_assigned);
        let mut held = match &mut self.transactions {
            Some(own) if is_assigned && own.takes_records() => std::mem::take(&mut own.held),
            _ => return,
        };
        while self.transactions.as_ref().is_some_and(|own| own.takes_records())
            && let Some(record) = held.pop_front()
        {
            self.offered_in_transaction(now, record, observer);
        }
        self.transactions.as_mut().expect("it is still there").held = held;
    }

    /// Nothing that the producer sends is taken any more: somebody else has its id, or its transaction took too long and
    /// was aborted. The application closes it, and ends or begins anew.
    #[cold]
    fn shut_out<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let producer = self.client;
        let own = self.transactions.as_mut().expect("the producer is transactional");
        let restarts = own.config.restarts;
        let (records, held) = (std::mem::take(&mut own.records), std::mem::take(&mut own.held));
        for message in records.into_iter().map(|record| record.message) {
            observer.observe(now, Event::Refused { message, producer, reason: Refusal::Fenced });
        }
        if !restarts {
            self.send(Message::Disconnect, out);
        }
        self.abandon(now, observer);
        let own = self.transactions.as_mut().expect("it is still there");
        if restarts {
            own.held = held;
        } else {
            own.phase = Phase::Over;
            observer.observe(now, Event::Disconnected { client: producer, cause: Departure::Left });
        }
    }

    /// The process ends in good order: a transaction that is open is aborted, as when a producer is closed.
    pub(super) fn leave_transaction<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        let Some(own) = &self.transactions else { return };
        if own.asked.is_some_and(|asked| matches!(asked.request, Request::End { .. })) {
            return; // how it ends nobody will know here
        }
        self.fail_transaction(now);
        let Some(own) = &self.transactions else { return };
        if own.phase == Phase::Aborting && own.is_known && self.connections[0].link == Link::Up {
            self.ask(now, Request::End { committed: false }, out);
        }
        self.finish_transaction(now, false, observer);
    }

    /// Nothing is left of the transaction in this process.
    pub(super) fn clear_transactions(&mut self) {
        self.gathered.flushes = false;
        if let Some(own) = &mut self.transactions {
            own.clear();
        }
    }
}
