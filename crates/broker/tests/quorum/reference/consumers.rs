//! The consumers of the reference, and what comes back from them.

use brokerlab_broker::properties::DeathReason;
use brokerlab_broker::quorum::*;

use super::{At, Consumer, MS, Message, Reference};

impl Reference {
    pub(super) fn name(&self, number: usize) -> String {
        let key = self.consumers[number].key;
        let letter = if matches!(key.receiver, Receiver::Get(_)) { 'g' } else { 'c' };
        format!("{letter}{}", key.session.client.get())
    }

    pub(super) fn find(&self, key: ConsumerKey) -> Option<usize> {
        self.consumers.iter().position(|consumer| consumer.here && consumer.key == key)
    }

    pub(super) fn add(&mut self, key: ConsumerKey, options: ConsumerOptions) -> usize {
        let (here, wants, quiescing, credit, next) = (true, false, false, 0, 0);
        let (overdue, queued) = (vec![], None);
        self.consumers.push(Consumer { key, options, here, wants, quiescing, credit, next, overdue, queued });
        self.consumers.len() - 1
    }

    pub(super) fn register(&mut self, key: ConsumerKey, options: ConsumerOptions) {
        let number = self.find(key).unwrap_or_else(|| self.add(key, options));
        let held = self.held(number).len() as u32;
        let consumer = &mut self.consumers[number];
        (consumer.options, consumer.wants, consumer.quiescing) = (options, true, false);
        consumer.overdue.clear();
        consumer.credit = consumer.limit().saturating_sub(held);
        self.queue(number);
        self.activate();
        self.serve();
    }

    pub(super) fn remove(&mut self, number: usize) {
        (self.consumers[number].here, self.consumers[number].wants) = (false, false);
        self.consumers[number].queued = None;
        self.active = self.active.filter(|active| *active != number);
    }

    pub(super) fn cancel(&mut self, key: ConsumerKey) {
        let Some(number) = self.find(key) else { return };
        self.active = self.active.filter(|active| *active != number);
        let consumer = &mut self.consumers[number];
        (consumer.wants, consumer.quiescing, consumer.credit) = (false, false, 0);
        self.reconsider(number);
        self.activate();
        self.serve();
    }

    pub(super) fn down(&mut self, session: Session) {
        self.sessions.retain(|(own, ..)| *own != session);
        let own = |consumer: &Consumer| consumer.here && consumer.key.session == session;
        let get = |number: &usize| matches!(self.consumers[*number].key.receiver, Receiver::Get(_));
        let mut numbers: Vec<_> = (0..self.consumers.len()).filter(|number| own(&self.consumers[*number])).collect();
        numbers.sort_by_key(get);
        for number in numbers {
            for (place, _, _) in self.held(number) {
                self.return_one(number, place, true);
            }
            self.remove(number);
        }
        self.activate();
        self.serve();
    }

    pub(super) fn can_take(&self, number: usize) -> bool {
        let consumer = &self.consumers[number];
        let may = !self.config.single_active_consumer || self.active == Some(number);
        let room = consumer.credit > 0 || consumer.options.auto_ack;
        may && room && consumer.wants && !consumer.quiescing && consumer.overdue.is_empty()
    }

    pub(super) fn queue(&mut self, number: usize) {
        if self.can_take(number) && self.consumers[number].queued.is_none() {
            self.moves += 1;
            self.consumers[number].queued = Some((self.consumers[number].options.priority, self.moves));
        }
    }

    pub(super) fn waiting(&self) -> Vec<usize> {
        let waits = |number: &usize| self.consumers[*number].wants && self.active != Some(*number);
        let mut waiting: Vec<_> = (0..self.consumers.len()).filter(waits).collect();
        if self.config.version != Version::V3_13 {
            waiting.sort_by_key(|number| {
                let consumer = &self.consumers[*number];
                (!consumer.overdue.is_empty(), -consumer.options.priority, -i64::from(consumer.credit))
            });
        }
        waiting
    }

    pub(super) fn activate(&mut self) {
        if !self.config.single_active_consumer {
            return;
        }
        let able = |number: &usize| self.consumers[*number].overdue.is_empty();
        let Some(next) = self.waiting().into_iter().find(able) else { return };
        if let Some(active) = self.active {
            let higher = self.consumers[next].options.priority > self.consumers[active].options.priority;
            if self.config.version == Version::V3_13 || !higher {
                return;
            }
            if !self.held(active).is_empty() {
                self.consumers[active].quiescing = true;
                return;
            }
            self.deactivate(active);
        }
        self.active = Some(next);
        self.words.push(format!("{}:active", self.name(next)));
        self.queue(next);
    }

    pub(super) fn deactivate(&mut self, number: usize) {
        self.active = None;
        self.consumers[number].quiescing = false;
        self.words.push(format!("{}:waits", self.name(number)));
    }

    pub(super) fn reconsider(&mut self, number: usize) {
        let empty = self.held(number).is_empty();
        match &self.consumers[number] {
            consumer if !consumer.wants && empty => self.remove(number),
            consumer if consumer.quiescing && empty => self.deactivate(number),
            _ => self.queue(number),
        }
    }

    pub(super) fn settle(&mut self, key: ConsumerKey, deliveries: &[u64], settlement: Settlement) {
        let Some(number) = self.find(key) else { return };
        self.consumers[number].overdue.retain(|delivery| !deliveries.contains(delivery));
        let old = self.config.version != Version::V4_3;
        let mut deliveries = deliveries.to_vec();
        let last = settlement == Settlement::NackRequeue || (settlement == Settlement::RejectRequeue && old);
        let last = last && self.config.delivery_limit.is_none();
        if last {
            deliveries.sort_unstable();
        }
        for delivery in deliveries {
            let Some((place, ..)) = self.held(number).into_iter().find(|(_, own, _)| *own == delivery) else {
                continue;
            };
            match settlement {
                Settlement::Ack => {
                    self.go(place, At::Gone);
                    self.words.push(format!("ack{place}"));
                    self.refill(number);
                }
                _ if last => self.return_last(number, place),
                Settlement::NackRequeue => self.return_one(number, place, false),
                Settlement::RejectRequeue => self.return_one(number, place, !old),
                Settlement::Modified { delivery_failed, undeliverable_here: false } => {
                    self.return_one(number, place, delivery_failed);
                }
                Settlement::Modified { delivery_failed, undeliverable_here: true } => {
                    self.discard(number, place, delivery_failed);
                }
                Settlement::Discard => self.discard(number, place, true),
            }
        }
        if self.consumers[number].here {
            self.reconsider(number);
        }
        self.activate();
        self.serve();
    }

    pub(super) fn refill(&mut self, number: usize) {
        let consumer = &mut self.consumers[number];
        if consumer.wants {
            consumer.credit = consumer.limit().min(consumer.credit + 1);
        }
    }

    pub(super) fn count(&mut self, place: usize, failed: bool) {
        self.messages[place].acquired += 1;
        self.messages[place].failed += u32::from(failed || self.config.version == Version::V3_13);
    }

    pub(super) fn discard(&mut self, number: usize, place: usize, failed: bool) {
        self.count(place, failed);
        self.give_up(place, DeathReason::Rejected);
        self.refill(number);
    }

    pub(super) fn return_last(&mut self, number: usize, place: usize) {
        self.count(place, false);
        self.messages[place].age = self.index;
        self.go(place, At::Fresh(if self.config.version == Version::V4_3 { 4 } else { 0 }));
        self.words.push(format!("last{place}"));
        self.refill(number);
        self.reconsider(number);
        self.activate();
        self.serve();
    }

    pub(super) fn return_one(&mut self, number: usize, place: usize, failed: bool) {
        self.count(place, failed);
        self.refill(number);
        let Message { failed: failures, acquired, .. } = self.messages[place];
        let counted = if self.config.version == Version::V4_0 { acquired } else { failures };
        if self.config.delivery_limit.is_some_and(|limit| counted > limit) {
            return self.give_up(place, DeathReason::DeliveryLimit);
        }
        let waits = self.config.delayed_retry.filter(|retry| match retry.kind {
            RetryKind::All => true,
            RetryKind::Failed => failed,
            RetryKind::Returned => !failed,
        });
        match waits {
            Some(DelayedRetry { min, max, .. }) => {
                let delay = (min.as_nanos() * u64::from(failures.max(1))).min(max.as_nanos());
                self.go(place, At::Waits(self.now + delay));
                self.words.push(format!("wait{place}@{}", (self.now + delay) / MS));
            }
            None => {
                self.go(place, At::Back);
                self.words.push(format!("back{place}"));
            }
        }
    }
}
