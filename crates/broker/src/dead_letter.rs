//! Dead letters: what is written on a message that a queue gives up, and when writing goes round in a circle.
//!
//! The rules are those of RabbitMQ 4 (guide "Dead Letter Exchanges"): one entry for each queue and reason, the most
//! recent first.

use std::sync::Arc;

use brokerlab_event::{StoreId, Time};

use crate::config::DeadLetterConfig;
use crate::message::Publication;
use crate::properties::{Death, DeathReason, Properties};
use crate::router::carbon_copies;

/// A message that a queue has given up and that its dead-letter exchange gets.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter<P> {
    /// The message as the queue held it.
    pub publication: Publication<P>,
    /// The queue.
    pub queue: StoreId,
    /// Why.
    pub reason: DeathReason,
    /// The queue keeps it under this number until all targets have it; nothing where it is gone already.
    pub number: Option<u64>,
}

impl<P: Clone> DeadLetter<P> {
    /// The message as it is published to the dead-letter exchange: with the death on record, without its time to
    /// live, and under the queue's key for dead letters where there is one. Otherwise it keeps its own keys.
    pub fn address(self, target: &DeadLetterConfig, now: Time) -> Publication<P> {
        let DeadLetter { mut publication, queue, reason, .. } = self;
        let mut properties = publication.properties.as_deref().cloned().unwrap_or_default();
        let carbon_copies = carbon_copies(&properties);
        record(
            &mut properties,
            Death {
                queue,
                reason,
                count: 1,
                exchange: publication.exchange,
                routing_key: publication.routing_key,
                carbon_copies,
                time: now,
                original_expiration: None,
            },
        );
        publication.exchange = target.exchange;
        if let Some(routing_key) = target.routing_key {
            publication.routing_key = routing_key;
            properties.headers.remove("CC");
            properties.blind_copies.clear();
        }
        publication.properties = Some(Arc::new(properties));
        publication
    }
}

/// Puts a death on record. One that happened before for the same queue and reason moves to the front and counts
/// one more; its exchange and keys stay those of the first time.
fn record(properties: &mut Properties, mut death: Death) {
    let expiration = properties.expiration.take();
    let Death { queue, reason, exchange, .. } = death;
    properties.first_death.get_or_insert((queue, reason, exchange));
    properties.last_death = Some((queue, reason, exchange));
    let known = properties.deaths.iter().position(|known| (known.queue, known.reason) == (queue, reason));
    match known {
        Some(index) => {
            death = properties.deaths.remove(index);
            death.count += 1;
        }
        None => death.original_expiration = expiration,
    }
    properties.deaths.insert(0, death);
}

/// True where a dead letter must not be given to this queue: it has died there before, and since then in no place
/// because a consumer rejected it. The current death is on record already.
pub fn is_cycle(properties: &Properties, target: StoreId) -> bool {
    let deaths = &properties.deaths;
    let Some(last_time) = deaths.iter().position(|death| death.queue == target) else { return false };
    !deaths[..=last_time].iter().any(|death| death.reason == DeathReason::Rejected)
}
