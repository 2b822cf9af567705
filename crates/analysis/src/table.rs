//! One row per message and application. Costs memory for every message, so it is kept only when asked for.

use brokerlab_event::{ApplicationId, Bytes, ClientId, KeyId, MessageId, Time};

use crate::{Fate, MessageRow};

/// The rows, and where each consumer belongs.
#[derive(Clone)]
pub(crate) struct MessageTable {
    applications: usize,
    /// Indexed by client; nothing for producers.
    application_of: Vec<Option<usize>>,
    rows: Vec<Option<MessageRow>>,
}

impl MessageTable {
    pub fn new(applications: usize, application_of: Vec<Option<usize>>) -> MessageTable {
        MessageTable { applications, application_of, rows: Vec::new() }
    }

    #[cold]
    pub fn offered(&mut self, time: Time, message: MessageId, key: KeyId, size: Bytes) {
        let first = message.index() * self.applications;
        if self.rows.len() < first + self.applications {
            self.rows.resize(first + self.applications, None);
        }
        for application in 0..self.applications {
            self.rows[first + application] = Some(MessageRow {
                message,
                application: ApplicationId::new(application as u16),
                key,
                size: size.get(),
                intended: time,
                sent: None,
                confirmed: None,
                delivered: None,
                processed: None,
                deliveries: 0,
                processings: 0,
                consumer: None,
                fate: Fate::NotSent,
            });
        }
    }

    #[cold]
    pub fn sent(&mut self, time: Time, message: MessageId) {
        self.of_message(message, |row| row.sent = row.sent.or(Some(time)));
    }

    #[cold]
    pub fn confirmed(&mut self, time: Time, message: MessageId) {
        self.of_message(message, |row| row.confirmed = row.confirmed.or(Some(time)));
    }

    #[cold]
    pub fn delivered(&mut self, time: Time, message: MessageId, consumer: ClientId) {
        self.of_consumer(message, consumer, |row| {
            row.deliveries += 1;
            row.delivered = row.delivered.or(Some(time));
            if row.processed.is_none() {
                row.consumer = Some(consumer);
            }
        });
    }

    #[cold]
    pub fn processed(&mut self, time: Time, message: MessageId, consumer: ClientId) {
        self.of_consumer(message, consumer, |row| {
            row.processings += 1;
            if row.processed.is_none() {
                (row.processed, row.consumer) = (Some(time), Some(consumer));
            }
        });
    }

    fn of_message(&mut self, message: MessageId, change: impl Fn(&mut MessageRow)) {
        let first = message.index() * self.applications;
        let rows = self.rows.get_mut(first..first + self.applications).unwrap_or_default();
        rows.iter_mut().flatten().for_each(change);
    }

    fn of_consumer(&mut self, message: MessageId, consumer: ClientId, change: impl Fn(&mut MessageRow)) {
        let Some(application) = self.application_of[consumer.index()] else { return };
        let index = message.index() * self.applications + application;
        self.rows.get_mut(index).into_iter().flatten().for_each(change);
    }

    /// The rows with the fates that the ledger found.
    pub fn finish(self, fates: &[Fate]) -> Vec<MessageRow> {
        let with_fate = |(row, fate): (Option<MessageRow>, &Fate)| row.map(|row| MessageRow { fate: *fate, ..row });
        self.rows.into_iter().zip(fates).filter_map(with_fate).collect()
    }
}
