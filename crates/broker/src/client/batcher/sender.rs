//! The sender of a producer: takes batches, awaits answers, and tries again.

use std::collections::VecDeque;

use brokerlab_event::{Count, Duration, Event, Generator, Observer, Refusal, Time};

use super::Batcher;
use super::accumulator::Batch;
use super::connections::Link;
use super::sequences::{OutOfOrder, Sequences};
use super::transactions::Transactions;
use crate::config::Acks;
use crate::message::{LogError, Message, Outbox};
use crate::record;

/// A request: one batch each of some partitions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Request {
    pub sent: Time,
    /// How many of its batches are not answered.
    pub left: u32,
}

/// A batch whose answer is awaited.
#[derive(Clone, Debug)]
pub(super) struct InFlight<P> {
    correlation: u32,
    /// The place of the connection that it was sent on.
    connection: usize,
    request: u32,
    lane: u32,
    /// Nothing once the application was told that its time is over.
    pub batch: Option<Batch<P>>,
}

/// How long to wait before the next attempt: the first time this long, twice as long each time until the longest, and
/// each time a fifth more or less, so that clients that failed together do not come back together (KIP-580).
fn backoff(first: Duration, longest: Duration, failures: u32, jitter: &mut Generator) -> Duration {
    let doubled = first.as_nanos().saturating_mul(1_u64.checked_shl(failures).unwrap_or(u64::MAX));
    let millionths = 800_000 + jitter.below(400_001);
    Duration::from_nanos(doubled.min(longest.as_nanos())).per_million(millionths).min(longest)
}

/// True where a batch may leave as it is numbered, and as far as its transaction has come.
#[inline]
fn is_allowed<P: Clone>(
    numbers: Option<&Sequences>,
    transactions: Option<&Transactions<P>>,
    lane: u32,
    batch: &Batch<P>,
) -> bool {
    numbers.is_none_or(|own| own.may_send(lane, batch.sequence, batch.is_unknown))
        && transactions.is_none_or(|own| own.may_send_to(lane))
}

/// How soon a lost connection is tried again (`reconnect.backoff.ms`, `reconnect.backoff.max.ms`).
const RECONNECT_FIRST: Duration = Duration::from_millis(50);
const RECONNECT_LONGEST: Duration = Duration::from_secs(1);

impl<P: Clone> Batcher<P> {
    /// True where another request may leave, if there is anything to send.
    #[inline]
    pub(super) fn may_send(&self) -> bool {
        let limit = self.config.max_in_flight as usize;
        self.connections.iter().any(|connection| connection.may_send(limit))
            && self.sequences.as_ref().is_none_or(Sequences::is_assigned)
    }

    /// Sends requests for as long as something is worth sending and may be sent.
    #[inline]
    pub(super) fn send_ready<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        while self.gathered.ready_at <= now && self.may_send() {
            let limit = self.config.max_in_flight as usize;
            self.settle_ready_at(limit);
            if self.gathered.ready_at > now {
                return;
            }
            self.send_requests(now, now, limit, out, observer);
            self.settle_ready_at(limit);
        }
    }

    /// `limit`: how many requests may be under way on a connection.
    fn settle_ready_at(&mut self, limit: usize) {
        let (sequences, transactions) = (self.sequences.as_ref(), self.transactions.as_deref());
        let (leaders, connections) = (&self.leaders, &self.connections);
        let may_send = |lane, batch: &Batch<P>| {
            let is_open = |place: usize| connections[place].may_send(limit);
            is_allowed(sequences, transactions, lane, batch)
                // With one connection nothing is looked at while nothing may be sent there.
                && (leaders.is_empty() || leaders[lane as usize].place.is_some_and(is_open))
        };
        self.holds_back = self.gathered.settle_ready_at(may_send);
    }

    /// Sends a request on each connection that there is something for.
    fn send_requests<O: Observer>(
        &mut self,
        now: Time,
        due: Time,
        limit: usize,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        for connection in 0..self.connections.len() {
            if self.connections[connection].may_send(limit) {
                self.send_request(now, connection, due, out, observer);
            }
        }
    }

    /// Sends everything that is not under way, whatever the limits.
    pub(super) fn flush<O: Observer>(&mut self, now: Time, out: &mut Outbox<P>, observer: &mut O) {
        self.gathered.gather_waiting(now);
        self.settle_ready_at(usize::MAX);
        while self.gathered.ready_at < Time::MAX {
            self.send_requests(now, Time::MAX, usize::MAX, out, observer);
            self.settle_ready_at(usize::MAX);
        }
    }

    /// Sends the first batch of every partition on this connection that backs off no longer than until `due`, as far as
    /// they fit into a request. Those that do not fit are first in the next.
    fn send_request<O: Observer>(
        &mut self,
        now: Time,
        connection: usize,
        due: Time,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let (mut bytes, mut count) = (0_u64, 0);
        for _ in 0..self.gathered.occupied.len() {
            let lane = self.gathered.occupied[0];
            let first = self.gathered.lanes[lane as usize].batches.front().expect("an occupied lane has a batch");
            let is_here = self.connection_of(lane) == Some(connection);
            if first.retry_at > due
                || !is_here
                || !is_allowed(self.sequences.as_ref(), self.transactions.as_deref(), lane, first)
            {
                self.gathered.occupied.rotate_left(1);
                continue;
            }
            bytes += u64::from(first.bytes);
            if count > 0 && bytes > u64::from(self.config.max_request_bytes) {
                break;
            }
            let batch = self.gathered.take(lane);
            self.gathered.occupied.pop_front();
            if !self.gathered.lanes[lane as usize].batches.is_empty() {
                self.gathered.occupied.push_back(lane);
            }
            self.send_batch(now, connection, lane, batch, out, observer);
            count += 1;
        }
        if let Some(own) = &mut self.transactions {
            own.sent();
        }
        if self.config.acks != Acks::None && count > 0 {
            let connection = &mut self.connections[connection];
            connection.requests.push_back(Request { sent: now, left: count });
            connection.next_request = connection.next_request.wrapping_add(1);
        }
    }

    fn send_batch<O: Observer>(
        &mut self,
        now: Time,
        connection: usize,
        lane: u32,
        mut batch: Batch<P>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        batch.attempts += 1;
        let attempt = Count::saturating(u64::from(batch.attempts_before + batch.attempts));
        for message in batch.messages() {
            observer.observe(now, Event::Sent { message, producer: self.client, attempt });
        }
        let (correlation, acks) = (self.correlation, self.config.acks);
        self.correlation = correlation.wrapping_add(1);
        let store = self.gathered.lanes[lane as usize].store;
        // The producer keeps the records until it knows what became of them.
        let records = batch.records.clone();
        let producer = self.sequences.as_mut().map(|own| {
            let sequence = *batch.sequence.get_or_insert_with(|| own.number(lane, records.len()));
            own.producer(lane, sequence)
        });
        if acks == Acks::None {
            self.gathered.release(batch);
        } else {
            let request = self.connections[connection].next_request;
            self.in_flight.push_back(InFlight { correlation, connection, request, lane, batch: Some(batch) });
        }
        let batch = record::Batch { producer, records };
        self.send_to(connection, Message::Produce { store, correlation, acks, batch }, out);
    }

    /// Takes an answer; one to a request that was given up means nothing.
    pub(super) fn answered<O: Observer>(
        &mut self,
        now: Time,
        correlation: u32,
        error: Option<LogError>,
        observer: &mut O,
    ) {
        let Some(place) = self.in_flight.iter().position(|flight| flight.correlation == correlation) else { return };
        let InFlight { connection, request, lane, batch, .. } = self.in_flight.remove(place).expect("found just now");
        self.connections[connection].request_answered(request);
        if error == Some(LogError::NotLeader) {
            self.refresh_soon(now);
        }
        if self.holds_back {
            // Which batches may be sent is looked at again.
            self.gathered.ready_at = now;
        }
        let Some(mut batch) = batch else { return self.number_anew() };
        batch.is_unknown = match error {
            // A leader that resigns may have stored it, and others have not looked.
            Some(LogError::NotLeader | LogError::NotEnoughReplicasAfterAppend) => true,
            Some(LogError::NotEnoughReplicas) => batch.is_unknown,
            _ => false,
        };
        match error {
            None => {
                // What is part of a transaction counts only once that is committed.
                if self.transactions.is_none() {
                    for message in batch.messages() {
                        observer.observe(now, Event::Confirmed { message, producer: self.client });
                    }
                }
                if let (Some(own), Some(sequence)) = (&mut self.sequences, batch.sequence) {
                    own.confirmed(lane, sequence, batch.records.len());
                }
                self.gathered.release(batch);
                self.close_gap(lane);
            }
            Some(LogError::TooLarge) if batch.records.len() > 1 && !self.is_aborting() => self.split(lane, batch),
            error if self.transactions.is_some() => {
                if let Some(batch) = self.failed_in_transaction(now, lane, batch, error, observer) {
                    self.try_again(now, lane, batch);
                }
            }
            Some(LogError::OutOfOrderSequence) if batch.attempts <= self.config.retries => {
                self.came_out_of_order(now, lane, batch);
            }
            Some(error) if error.is_retriable() && batch.attempts <= self.config.retries => {
                self.try_again(now, lane, batch);
            }
            Some(error) => self.refused(now, lane, batch, error, observer),
        }
        self.number_anew();
    }

    /// The broker takes no batch as large as this one: it is sent again at once in parts, under the numbers that its
    /// records had.
    #[cold]
    fn split(&mut self, lane: u32, mut batch: Batch<P>) {
        let parts = batch.split(self.config.batch_bytes);
        if let (Some(own), Some(sequence)) = (&mut self.sequences, batch.sequence) {
            own.split(lane, sequence, parts.iter().filter_map(|part| part.sequence));
        }
        self.gathered.release(batch);
        // The last goes to its place first, so that the others come before it.
        for part in parts.into_iter().rev() {
            let place = self.place_of(lane, &part);
            self.gathered.put_back(lane, place, part);
        }
    }

    /// The broker expected another number than that of this batch, which is sent again under the same or another.
    #[cold]
    fn came_out_of_order(&mut self, now: Time, lane: u32, batch: Batch<P>) {
        let verdict = match (&self.sequences, batch.sequence) {
            (Some(own), Some(sequence)) => own.out_of_order(lane, sequence, batch.is_renumbered),
            _ => unreachable!("the numbers of a batch without any are in order"),
        };
        self.try_again(now, lane, batch);
        if verdict == OutOfOrder::NumberAnew {
            self.begin_epoch(lane);
        }
    }

    /// Numbers a partition anew where a batch that was given up has left a gap that nothing closes.
    #[inline]
    fn close_gap(&mut self, lane: u32) {
        if self.transactions.is_none()
            && let Some(own) = &mut self.sequences
            && own.is_gap_left(lane)
        {
            self.begin_epoch(lane);
        }
    }

    #[cold]
    fn begin_epoch(&mut self, lane: u32) {
        if let Some(own) = &mut self.sequences {
            own.end_numbering(lane);
            self.renumbers = true;
        }
    }

    /// Numbers those partitions anew that are to be and of which nothing is left that may be stored under an old number:
    /// what is under way is answered first, and what was lost with a connection is sent once more as it was.
    #[inline]
    fn number_anew(&mut self) {
        if self.renumbers {
            self.begin_epoch_where_answered(false);
        }
    }

    /// `has_new_id`: the producer has just got another id, and needs no other epoch.
    #[cold]
    pub(super) fn begin_epoch_where_answered(&mut self, has_new_id: bool) {
        let Some(own) = &mut self.sequences else { return };
        let is_answered = |lane: &u32| {
            let first = self.gathered.lanes[*lane as usize].batches.front();
            let is_under_way = self.in_flight.iter().any(|flight| flight.lane == *lane && flight.batch.is_some());
            !is_under_way && first.is_none_or(|batch| !batch.is_unknown)
        };
        let answered: Vec<u32> = own.ended().filter(is_answered).collect();
        if answered.is_empty() || !(has_new_id || own.begin_epoch()) {
            return; // either answers are awaited, or another id
        }
        for lane in answered {
            own.begin_anew(lane);
            // Whatever was sent is back in its lane, before what was not, in order.
            for batch in self.gathered.lanes[lane as usize].batches.iter_mut().filter(|batch| batch.sequence.is_some())
            {
                batch.sequence = Some(own.number(lane, batch.records.len()));
                batch.is_renumbered = true;
            }
        }
        self.renumbers = own.ended().next().is_some();
        self.gathered.ready_at = Time::ZERO;
    }

    fn refused<O: Observer>(&mut self, now: Time, lane: u32, batch: Batch<P>, error: LogError, observer: &mut O) {
        let reason = match error {
            LogError::TooLarge | LogError::LargerThanSegment => Refusal::TooLarge,
            LogError::InvalidRecord | LogError::InvalidTimestamp => Refusal::Invalid,
            _ => Refusal::NotFound,
        };
        for message in batch.messages() {
            observer.observe(now, Event::Refused { message, producer: self.client, reason });
        }
        if let (Some(own), Some(sequence)) = (&mut self.sequences, batch.sequence) {
            own.refused(lane, sequence);
            self.begin_epoch(lane);
        }
        self.gathered.release(batch);
    }

    /// Tells the application that a batch's time is over, or that it was tried often enough.
    fn give_up_batch<O: Observer>(&mut self, now: Time, lane: u32, batch: Batch<P>, observer: &mut O) {
        for message in batch.messages() {
            observer.observe(now, Event::SendExpired { message, producer: self.client });
        }
        if let (Some(own), Some(sequence)) = (&mut self.sequences, batch.sequence) {
            own.given_up(lane, sequence, batch.records.len());
        }
        self.gathered.release(batch);
        if self.transactions.is_some() {
            return self.expired_in_transaction(now);
        }
        self.close_gap(lane);
    }

    /// Puts a batch before those of its partition that were not sent, to be sent after a while. Those of an idempotent
    /// producer keep their order.
    fn try_again(&mut self, now: Time, lane: u32, mut batch: Batch<P>) {
        let (first, longest) = (self.config.retry_backoff, self.config.retry_backoff_max);
        batch.retry_at = now.saturating_add(backoff(first, longest, batch.attempts - 1, &mut self.jitter));
        let (place, is_unknown) = (self.place_of(lane, &batch), batch.is_unknown && batch.sequence.is_some());
        self.gathered.put_back(lane, place, batch);
        if let Some(first) = self.gathered.lanes[lane as usize].batches.front_mut() {
            // It shows only once those before it are answered as well.
            first.is_unknown |= is_unknown;
        }
    }

    /// Where a batch that was sent belongs among those of its partition that are not under way.
    fn place_of(&self, lane: u32, batch: &Batch<P>) -> usize {
        let (Some(own), Some(sequence)) = (&self.sequences, batch.sequence) else { return 0 };
        let place = own.place(lane, sequence);
        let is_before = |other: &&Batch<P>| other.sequence.is_some_and(|other| own.place(lane, other) < place);
        self.gathered.lanes[lane as usize].batches.iter().take_while(is_before).count()
    }

    /// The connection is gone. Of what was under way nobody knows whether it arrived: it is sent again, each batch to
    /// the front of its partition in turn, so that several of one partition change places.
    #[cold]
    pub(super) fn disconnected<O: Observer>(&mut self, now: Time, place: usize, observer: &mut O) {
        self.asked = None;
        if let Some(own) = self.transactions.as_mut().filter(|_| place == 0) {
            own.disconnected();
        }
        let is_needed = self.is_needed(place);
        let connection = &mut self.connections[place];
        let was_up = connection.link == Link::Up;
        let wait = backoff(RECONNECT_FIRST, RECONNECT_LONGEST, connection.lost, &mut self.jitter);
        connection.lost += 1;
        connection.link = if is_needed { Link::Broken(now.saturating_add(wait)) } else { Link::Unused };
        connection.requests.clear();
        // With a connection left it is not cut off.
        if was_up && self.any_connection().is_none() {
            observer.observe(now, Event::ConnectionLost { client: self.client });
        }
        if is_needed {
            self.refresh_soon(now);
        }
        let (gone, left) = std::mem::take(&mut self.in_flight).into_iter().partition(|own| own.connection == place);
        self.in_flight = left;
        let gone: VecDeque<InFlight<P>> = gone;
        for InFlight { lane, batch, .. } in gone {
            let Some(mut batch) = batch else { continue };
            batch.is_unknown = true;
            if self.transactions.is_some() {
                if let Some(batch) = self.failed_in_transaction(now, lane, batch, None, observer) {
                    self.try_again(now, lane, batch);
                }
            } else if batch.attempts <= self.config.retries {
                self.try_again(now, lane, batch);
            } else {
                self.give_up_batch(now, lane, batch, observer);
            }
        }
        self.number_anew();
    }

    /// Gives up every batch that was begun too long ago.
    #[cold]
    pub(super) fn expire<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let timeout = self.config.delivery_timeout;
        let mut oldest = None::<Time>;
        let mut expired = Vec::new();
        for flight in &mut self.in_flight {
            match flight.batch.take_if(|batch| batch.created.saturating_add(timeout) <= now) {
                Some(batch) => expired.push((flight.lane, batch)),
                None => oldest = [oldest, flight.batch.as_ref().map(|batch| batch.created)].into_iter().flatten().min(),
            }
        }
        let (queued, oldest_queued) = self.gathered.take_old(now, timeout);
        for (lane, batch) in expired.into_iter().chain(queued) {
            self.give_up_batch(now, lane, batch, observer);
        }
        self.number_anew();
        let oldest = [oldest, oldest_queued].into_iter().flatten().min();
        self.expiry = oldest.map(|created| created.saturating_add(timeout));
    }
}
