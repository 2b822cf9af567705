//! The part of a group member that fetches records, and hands them to the application.

use brokerlab_event::{Count, Event, Observer, StoreId, Time};

use super::{GroupMember, Phase, Rejoin};
use crate::client::reading::{Lost, Owned};
use crate::config::OffsetReset;
use crate::message::{Address, Effect, FetchPosition, FetchedPartition, LogError, Message, Outbox};

/// Memory for more records than this is given back.
const MOST_SPARE: usize = 4096;

/// Where a partition stands among those that are owned, if it does. Whatever is said of several comes in their order, so
/// that the next one stands behind the last.
pub(super) fn place_of<P>(owned: &[Owned<P>], recent: usize, store: StoreId) -> Option<usize> {
    let (before, behind) = owned.split_at(recent.min(owned.len()));
    let is_it = |owned: &Owned<P>| owned.store == store;
    let found = behind.iter().position(is_it).map(|place| place + before.len());
    found.or_else(|| before.iter().position(is_it))
}

impl<P: Clone> GroupMember<P> {
    /// Takes records out of the buffers, partition by partition as they came.
    pub(super) fn take_batch<O: Observer>(&mut self, now: Time, observer: &mut O) {
        let most = self.config.max_poll_records as usize;
        let mut index = 0;
        self.due_at = None;
        while self.batch.len() < most
            && let Some(store) = self.buffered.get(index)
        {
            let place = place_of(&self.owned, self.recent, *store).expect("what is buffered is owned");
            self.recent = place;
            let owned = &mut self.owned[place];
            let due = match owned.due(now) {
                Ok(due) => due,
                Err(at) => {
                    self.due_at = Some(self.due_at.map_or(at, |other| other.min(at)));
                    index += 1;
                    continue;
                }
            };
            if let Some((offset, count)) = owned.poll(due.min(most - self.batch.len()), &mut self.batch) {
                let (store, count) = (owned.store, Count::saturating(count as u64));
                observer.observe(now, Event::Polled { consumer: self.client, store, offset, count });
            }
            if !owned.has_unpolled() {
                self.buffered.remove(index);
            }
        }
    }

    /// Asks for records of the partitions that have none left to return; one request at a time of each leader.
    #[inline]
    pub(super) fn fetch(&mut self, out: &mut Outbox<P>) {
        if self.config.is_cluster {
            return (0..self.links.len()).for_each(|link| self.fetch_from(link, out));
        }
        self.fetch_from(0, out);
    }

    #[inline]
    fn fetch_from(&mut self, link: usize, out: &mut Outbox<P>) {
        if self.links[link].fetching.is_some() {
            return;
        }
        let stops = if self.keeps_reading() { self.rejoin > Some(Rejoin::Rebalance) } else { self.rejoin.is_some() };
        if stops || self.links[link].is_cut_off || !self.reads() {
            return;
        }
        let mut positions = std::mem::take(&mut self.positions);
        positions.clear();
        if self.config.is_cluster {
            let led = self.owned.iter().filter(|owned| self.leader_of(owned.store) == Some(link));
            positions.extend(led.filter_map(Owned::wanted));
        } else {
            positions.extend(self.owned.iter().filter_map(Owned::wanted));
        }
        if positions.is_empty() {
            self.positions = positions;
            return;
        }
        self.correlation = self.correlation.wrapping_add(1);
        self.links[link].fetching = Some(self.correlation);
        let (from, to) = (Address::Client(self.client), Address::Node(self.links[link].node));
        let place = out.place();
        place.fill(Effect::Send {
            from,
            to,
            message: Message::Fetch {
                correlation: self.correlation,
                isolation: self.config.isolation,
                positions,
                spare: std::mem::take(&mut self.spare),
            },
        });
    }

    pub(super) fn fetched<O: Observer>(
        &mut self,
        now: Time,
        partitions: &mut Vec<FetchedPartition<P>>,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let mut lost = Vec::new();
        for FetchedPartition { store, records, next, .. } in partitions.iter_mut() {
            let (store, next) = (*store, *next);
            let Some(place) = place_of(&self.owned, self.recent, store) else { continue };
            self.recent = place;
            let owned = &mut self.owned[place];
            if owned.lost.is_some() {
                continue;
            }
            match records {
                Ok(records) => {
                    for (offset, record) in records.iter() {
                        let (message, consumer, offset) = (record.message, self.client, *offset);
                        let redelivered = false;
                        observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered });
                    }
                    owned.fetched(records, next);
                    if owned.has_unpolled() {
                        self.buffered.push_back(store);
                    }
                }
                Err(LogError::OffsetOutOfRange) => {
                    owned.lose(Lost::OutOfRange);
                    lost.push(store);
                }
                Err(LogError::FencedLeaderEpoch) => owned.lost = Some(Lost::Fenced),
                Err(LogError::NotLeader) => self.forget_leader(store, now),
                // The others are said of batches only.
                Err(_) => {}
            }
        }
        partitions.retain(|spare| spare.records.as_ref().is_ok_and(|records| records.capacity() <= MOST_SPARE));
        std::mem::swap(&mut self.spare, partitions);
        if !lost.is_empty() {
            self.find_positions(lost, self.config.reset.time(now), out);
        }
        self.find_ends(out);
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        }
    }

    /// Asks whether the leaders that have changed have what was read before.
    pub(super) fn find_ends(&self, out: &mut Outbox<P>) {
        if self.owned.iter().all(|owned| owned.lost != Some(Lost::Fenced)) {
            return; // nearly always
        }
        for link in 0..self.links.len() {
            let fenced = self.owned.iter().filter(|owned| owned.lost == Some(Lost::Fenced));
            let led = fenced.filter(|owned| self.leader_of(owned.store) == Some(link));
            let positions: Vec<FetchPosition> = led.map(Owned::fetch_position).collect();
            if !positions.is_empty() {
                self.send_to(link, Message::FindEpochEnds { positions }, out);
            }
        }
    }

    /// Goes on where it was, or where the log ends that has lost its end. Without a policy for positions that are not
    /// there the application is to decide, and there is none that does.
    pub(super) fn learn_ends<O: Observer>(
        &mut self,
        now: Time,
        ends: &[FetchPosition],
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        for &FetchPosition { store, epoch, offset: end } in ends {
            let Some(place) = place_of(&self.owned, self.recent, store) else { continue };
            let owned = &mut self.owned[place];
            if owned.lost != Some(Lost::Fenced) {
                continue;
            }
            let Some(offset) = owned.learn_end(epoch, end) else { continue };
            if self.config.reset == OffsetReset::None {
                self.stranded = Some(store);
                continue;
            }
            owned.seek(offset);
            observer.observe(now, Event::PositionReset { consumer: self.client, store, offset });
        }
        if self.config.is_cluster && self.owned.iter().any(|owned| owned.lost == Some(Lost::Fenced)) {
            self.ask_again(now); // a leader that has just been elected may not know it yet
        }
        if self.phase == Phase::Polling {
            self.poll(now, out, observer);
        } else {
            self.fetch(out);
        }
    }
}
