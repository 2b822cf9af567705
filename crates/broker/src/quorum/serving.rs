//! Messages go out: whose turn it is, who is the single active consumer, and what expires before it gets there.

use super::command::{ConsumerKey, ConsumerOptions, Delivery, Effect, Session};
use super::config::Version;
use super::consumers::{Consumer, Number, Status};
use super::ready::Message;
use super::{DeathReason, QuorumQueue};

impl<P: Clone> QuorumQueue<P> {
    /// Starts a consumer. One that is there already, maybe only for what it holds, goes on with the new options.
    pub(super) fn register(&mut self, key: ConsumerKey, options: ConsumerOptions, effects: &mut Vec<Effect<P>>) {
        let number = match self.consumers.find(key) {
            Some(number) => {
                self.consumers.get_mut(number).merge(options);
                number
            }
            None => {
                self.consumers.insert(self.applied, Consumer::new(key, options));
                self.applied
            }
        };
        self.consumers.queue(number);
        self.activate_next(effects);
        self.serve(effects);
    }

    /// Stops a consumer, which keeps what it holds.
    pub(super) fn cancel(&mut self, key: ConsumerKey, effects: &mut Vec<Effect<P>>) {
        let Some(number) = self.consumers.find(key) else { return };
        if self.consumers.active == Some(number) {
            self.consumers.active = None;
        }
        let consumer = self.consumers.get_mut(number);
        consumer.status = Status::Leaving;
        consumer.credit = 0;
        if consumer.held.is_empty() {
            self.consumers.remove(number);
        }
        self.activate_next(effects);
        self.serve(effects);
    }

    /// A channel is gone: what its consumers hold is returned as failed.
    pub(super) fn down(&mut self, session: Session, effects: &mut Vec<Effect<P>>) {
        self.sessions.remove(session);
        for number in self.consumers.of_session(session) {
            self.return_all(number, effects);
            self.consumers.remove(number);
        }
        self.activate_next(effects);
        self.serve(effects);
    }

    /// Chooses the single active consumer where there is none. One of higher priority takes over from it, but only
    /// once it holds nothing, and it gets nothing until then.
    pub(super) fn activate_next(&mut self, effects: &mut Vec<Effect<P>>) {
        if !self.consumers.single() {
            return;
        }
        let by_priority = self.config.version != Version::V3_13;
        let mut waiting = self.consumers.waiting(by_priority).into_iter();
        let Some(next) = waiting.find(|number| self.consumers.get(*number).overdue.is_empty()) else { return };
        if let Some(active) = self.consumers.active {
            let priority = self.consumers.get(next).options.priority;
            let current = self.consumers.get_mut(active);
            if !by_priority || priority <= current.options.priority {
                return;
            }
            if !current.held.is_empty() {
                current.status = Status::Quiescing;
                return;
            }
            self.deactivate(active, effects);
        }
        self.consumers.active = Some(next);
        effects.push(Effect::ConsumerActivated(self.consumers.get(next).key));
        self.consumers.queue(next);
    }

    /// Sends the single active consumer back among those that wait.
    pub(super) fn deactivate(&mut self, number: Number, effects: &mut Vec<Effect<P>>) {
        self.consumers.active = None;
        let consumer = self.consumers.get_mut(number);
        if consumer.wants() {
            consumer.status = Status::Up;
            effects.push(Effect::ConsumerDeactivated(consumer.key));
        }
    }

    /// A consumer holds less than before: it may take more, make way, or be done.
    pub(super) fn reconsider(&mut self, number: Number, effects: &mut Vec<Effect<P>>) {
        let consumer = self.consumers.get(number);
        match consumer.status {
            Status::Leaving if consumer.held.is_empty() => self.consumers.remove(number),
            Status::Quiescing if consumer.held.is_empty() => self.deactivate(number, effects),
            _ => self.consumers.queue(number),
        }
    }

    /// What follows every command: messages go to consumers, dead letters on their way, and limits are enforced.
    pub(super) fn serve(&mut self, effects: &mut Vec<Effect<P>>) {
        loop {
            self.expire_next(effects);
            if self.ready.len() == 0 {
                break;
            }
            let Some(number) = self.consumers.pop() else { break };
            if self.consumers.serviceable(number) {
                self.deliver_next(number, effects);
            }
        }
        self.backlog.hand_out(effects);
        self.limit(effects);
    }

    /// Takes expired messages out where they would be next. Where one is, all other heads are looked at too.
    fn expire_next(&mut self, effects: &mut Vec<Effect<P>>) {
        while self.ready.first().is_some_and(|message| message.expired(self.now)) {
            while let Some(message) = self.ready.pop_expired_anywhere(self.now) {
                self.give_up(DeathReason::Expired, message, effects);
            }
        }
    }

    fn deliver_next(&mut self, number: Number, effects: &mut Vec<Effect<P>>) {
        let message = self.ready.pop().expect("a message was there a moment ago");
        let consumer = self.consumers.get(number).key;
        let delivery = self.hand_over(number, message);
        effects.push(Effect::Delivered { consumer, delivery });
        self.consumers.queue(number);
    }

    /// Gives a message to a consumer: to keep, or for good where it settles automatically.
    fn hand_over(&mut self, number: Number, message: Message<P>) -> Delivery<P> {
        let now = self.now;
        let consumer = self.consumers.get_mut(number);
        let (position, delivery_count, acquired_count) =
            (message.position, message.delivery_count, message.acquired_count);
        let settled = consumer.options.auto_ack;
        let publication = if settled { None } else { Some(message.publication.clone()) };
        let (number, publication) = match publication {
            None => (consumer.skip_delivery(), message.publication),
            Some(publication) => {
                let (number, deadline) = consumer.take(message, now);
                self.consumers.expect_settlement(deadline);
                (number, publication)
            }
        };
        Delivery { number, position, publication, delivery_count, acquired_count, settled }
    }

    /// Answers a request for one message. Who asks becomes a consumer for as long as it holds the answer.
    pub(super) fn answer_get(&mut self, key: ConsumerKey, options: ConsumerOptions, effects: &mut Vec<Effect<P>>) {
        if self.consumers.single() {
            return effects.push(Effect::GetRefused { consumer: key });
        }
        self.expire_next(effects);
        let known = self.consumers.find(key).is_some();
        let message = if known { None } else { self.ready.pop() };
        let delivery = message.map(|message| {
            let number = self.applied;
            self.consumers.insert(number, Consumer::for_one(key, options));
            let delivery = self.hand_over(number, message);
            if options.auto_ack {
                self.consumers.remove(number);
            }
            delivery
        });
        effects.push(Effect::GetAnswered { consumer: key, delivery, ready: self.ready.len() });
        self.backlog.hand_out(effects);
        self.limit(effects);
    }
}
