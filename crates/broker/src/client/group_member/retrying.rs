//! The part of a group member that sets records aside on which the work has failed, so that those behind go on.

use brokerlab_event::{Event, Observer, Offset, StoreId, Time};

use super::{GroupMember, InHand, Phase};
use crate::config::Acks;
use crate::message::{Envelope, Message, Outbox};

impl<P: Clone> GroupMember<P> {
    /// How often a record of this partition was tried before it came there.
    pub(super) fn earlier_attempts(&self, store: StoreId) -> u32 {
        let level = self.config.retry.as_ref().map_or(0, |retry| retry.level(store));
        level as u32 * self.config.max_attempts
    }

    /// Has the record that has just failed stored where it waits for its next attempt, or stays for good. It is not
    /// passed over before that is certain. False where there is no such place.
    #[cold]
    pub(super) fn set_aside(&mut self, now: Time, store: StoreId, offset: Offset, out: &mut Outbox<P>) -> bool {
        let Some(target) = self.config.retry.as_ref().and_then(|retry| retry.target(store)) else { return false };
        let owned = self.owned.iter().find(|owned| owned.store == store);
        let Some(record) = owned.and_then(|owned| owned.returned(offset)) else { return false };
        let record = Envelope { timestamp: now, ..record.clone() };
        self.correlation = self.correlation.wrapping_add(1);
        let correlation = self.correlation;
        self.phase = Phase::SettingAside { correlation, target };
        let batch = vec![record].into();
        self.send(Message::Produce { store: target, correlation, acks: Acks::All, batch }, out);
        true
    }

    /// The answer to that. What the broker does not take is passed over: it would not take it again.
    pub(super) fn stored_elsewhere<O: Observer>(
        &mut self,
        now: Time,
        answered: u32,
        is_stored: bool,
        out: &mut Outbox<P>,
        observer: &mut O,
    ) {
        let Phase::SettingAside { correlation, target } = self.phase else { return };
        if correlation != answered {
            return;
        }
        let &InHand { message, store, offset } = self.batch.front().expect("it is about the front of the batch");
        if is_stored {
            let consumer = self.client;
            observer.observe(now, Event::SetAside { message, consumer, store, offset, target });
        }
        self.phase = Phase::Working;
        self.done(now, out, observer);
    }
}
