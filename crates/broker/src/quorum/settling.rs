//! Messages come back, or are done with.

use brokerlab_event::{Duration, Time};

use super::command::{ConsumerKey, DeliveryNumber, Effect, Return, Settlement};
use super::config::{RetryKind, Version};
use super::consumers::Number;
use super::ready::Message;
use super::{DeathReason, QuorumQueue};

impl<P: Clone> QuorumQueue<P> {
    /// Settles deliveries in the order given. Those that the consumer does not hold are passed over: they may have
    /// been returned meanwhile.
    pub(super) fn settle(
        &mut self,
        key: ConsumerKey,
        deliveries: Vec<DeliveryNumber>,
        settlement: Settlement,
        effects: &mut Vec<Effect<P>>,
    ) {
        let Some(number) = self.consumers.find(key) else { return };
        self.consumers.get_mut(number).answered(&deliveries);
        match settlement {
            Settlement::Ack => self.ack(number, &deliveries, effects),
            Settlement::Discard | Settlement::Modified { undeliverable_here: true, delivery_failed: true } => {
                self.discard(number, &deliveries, true, effects);
            }
            Settlement::Modified { undeliverable_here: true, delivery_failed: false } => {
                self.discard(number, &deliveries, false, effects);
            }
            _ if self.goes_last(settlement) => self.return_last(number, deliveries, effects),
            _ => {
                let failed = self.counts_as_failed(settlement);
                self.return_each(number, &deliveries, failed, effects);
            }
        }
        if self.consumers.contains(number) {
            self.reconsider(number, effects);
        }
        self.activate_next(effects);
        self.serve(effects);
    }

    /// Before 4.3 the queue does not tell a rejected message from one that is handed back.
    fn counts_as_failed(&self, settlement: Settlement) -> bool {
        match settlement {
            Settlement::RejectRequeue => self.config.version == Version::V4_3,
            Settlement::Modified { delivery_failed, .. } => delivery_failed,
            Settlement::Ack | Settlement::NackRequeue | Settlement::Discard => false,
        }
    }

    /// Without a delivery limit what is handed back goes to the end of the queue, so that it cannot block the rest
    /// for ever.
    fn goes_last(&self, settlement: Settlement) -> bool {
        let handed_back = match settlement {
            Settlement::NackRequeue => true,
            Settlement::RejectRequeue => self.config.version != Version::V4_3,
            Settlement::Ack | Settlement::Discard | Settlement::Modified { .. } => false,
        };
        handed_back && self.config.delivery_limit.is_none()
    }

    fn ack(&mut self, number: Number, deliveries: &[DeliveryNumber], effects: &mut Vec<Effect<P>>) {
        for delivery in deliveries {
            let Some(message) = self.take_back(number, *delivery) else { continue };
            effects.push(Effect::Acked {
                consumer: self.consumers.get(number).key,
                number: *delivery,
                position: message.position,
                message: message.publication.envelope.message,
                size: message.publication.envelope.size,
            });
        }
    }

    fn discard(&mut self, number: Number, deliveries: &[DeliveryNumber], failed: bool, effects: &mut Vec<Effect<P>>) {
        for delivery in deliveries {
            let Some(mut message) = self.take_back(number, *delivery) else { continue };
            self.count_return(&mut message, failed);
            self.give_up(DeathReason::Rejected, message, effects);
        }
    }

    /// Takes a message from a consumer, which may get another one for it.
    fn take_back(&mut self, number: Number, delivery: DeliveryNumber) -> Option<Message<P>> {
        let consumer = self.consumers.get_mut(number);
        let held = consumer.held.remove(&delivery)?;
        consumer.refill(1);
        Some(held.message)
    }

    fn count_return(&self, message: &mut Message<P>, failed: bool) {
        message.acquired_count += 1;
        message.delivery_count += u32::from(failed || self.config.version == Version::V3_13);
    }

    pub(super) fn return_each(
        &mut self,
        number: Number,
        deliveries: &[DeliveryNumber],
        failed: bool,
        effects: &mut Vec<Effect<P>>,
    ) {
        for delivery in deliveries {
            let Some(message) = self.take_back(number, *delivery) else { continue };
            self.return_one(number, *delivery, message, failed, effects);
        }
    }

    /// Returns everything that anybody holds.
    pub(super) fn return_everything(&mut self, effects: &mut Vec<Effect<P>>) {
        let holders: Vec<Number> = self.consumers.iter().map(|(number, _)| number).collect();
        for number in holders {
            let held: Vec<_> = self.consumers.get(number).held.keys().copied().collect();
            self.return_each(number, &held, false, effects);
            if self.consumers.contains(number) {
                self.reconsider(number, effects);
            }
        }
        self.activate_next(effects);
    }

    /// Returns everything that a consumer holds, which is as good as dead, in the order of delivery.
    pub(super) fn return_all(&mut self, number: Number, effects: &mut Vec<Effect<P>>) {
        let held: Vec<_> = self.consumers.get(number).held.keys().copied().collect();
        self.return_each(number, &held, true, effects);
    }

    fn return_one(
        &mut self,
        number: Number,
        delivery: DeliveryNumber,
        mut message: Message<P>,
        failed: bool,
        effects: &mut Vec<Effect<P>>,
    ) {
        self.count_return(&mut message, failed);
        let counted = match self.config.version {
            Version::V3_13 | Version::V4_3 => message.delivery_count,
            Version::V4_0 => message.acquired_count,
        };
        if self.config.delivery_limit.is_some_and(|limit| counted > limit) {
            return self.give_up(DeathReason::DeliveryLimit, message, effects);
        }
        let retry = self.retry_at(&message, failed);
        let to = retry.map_or(Return::First, Return::Until);
        effects.push(self.returned(number, delivery, &message, to));
        match retry {
            Some(until) => self.ready.delay(until, message),
            None => self.ready.push_returned(message),
        }
    }

    fn returned(&self, number: Number, delivery: DeliveryNumber, message: &Message<P>, to: Return) -> Effect<P> {
        let (position, id) = (message.position, message.publication.envelope.message);
        Effect::Returned { consumer: self.consumers.get(number).key, number: delivery, position, message: id, to }
    }

    /// When a returned message may be delivered again, where it has to wait.
    fn retry_at(&self, message: &Message<P>, failed: bool) -> Option<Time> {
        let retry = self.config.delayed_retry.filter(|retry| match retry.kind {
            RetryKind::All => true,
            RetryKind::Failed => failed,
            RetryKind::Returned => !failed,
        })?;
        let count = u64::from(message.delivery_count.max(1));
        let delay = retry.min.as_nanos().saturating_mul(count).min(retry.max.as_nanos());
        Some(self.now.saturating_add(Duration::from_nanos(delay)))
    }

    /// Puts messages to the end of the queue, each as a step of its own, in the order of delivery.
    fn return_last(&mut self, number: Number, mut deliveries: Vec<DeliveryNumber>, effects: &mut Vec<Effect<P>>) {
        deliveries.sort_unstable();
        for delivery in deliveries {
            if !self.consumers.contains(number) {
                return;
            }
            let Some(mut message) = self.take_back(number, delivery) else { continue };
            self.count_return(&mut message, false);
            message.age = self.applied;
            effects.push(self.returned(number, delivery, &message, Return::Last));
            self.ready.push_last(message);
            self.reconsider(number, effects);
            self.activate_next(effects);
            self.serve(effects);
        }
    }

    /// Returns deliveries that took too long. Their consumer gets nothing until it has settled them after all.
    pub(super) fn return_overdue(&mut self, effects: &mut Vec<Effect<P>>) {
        for (number, deliveries) in self.consumers.overdue(self.now) {
            self.return_each(number, &deliveries, false, effects);
            let consumer = self.consumers.get_mut(number);
            consumer.overdue.extend(&deliveries);
            effects.push(Effect::ConsumerTimedOut { consumer: consumer.key, deliveries });
            if self.consumers.active == Some(number) {
                self.deactivate(number, effects);
            }
            self.reconsider(number, effects);
        }
        self.consumers.refresh_deadline();
        self.activate_next(effects);
    }
}
