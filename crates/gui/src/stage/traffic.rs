//! Which messages are on the way, and which have just arrived.

use brokerlab_lab::event::{ClientId, Event, MessageId, StoreId, Time};

use crate::bench::Lane;

/// At most so many dots are drawn in a lane.
pub(super) const MOST_DOTS: usize = 300;

/// A message on its way between a client and the broker, or just arrived.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Dot {
    /// Which.
    pub message: MessageId,
    /// Its producer, or its consumer.
    pub client: ClientId,
    /// The store that it comes from, where that is known.
    pub store: Option<StoreId>,
    /// To the broker; otherwise to a consumer.
    pub inward: bool,
    /// How much of the way it has come: 1 is there.
    pub way: f32,
    /// How long ago it arrived, as a part of the time for which it shows: 0 on its way.
    pub age: f32,
    /// The delivery was marked as made before.
    pub again: bool,
}

/// What moves at a time, the newest first. What arrived shows for `trail` nanoseconds more, where it arrived.
pub(super) fn dots(lane: &Lane, now: Time, trail: u64) -> Vec<Dot> {
    let mut dots = Vec::new();
    let latency = lane.latency.as_nanos().max(1);
    let records = lane.timeline.log().records();
    let position = lane.timeline.position();
    // Deliveries that arrive later than now and left before.
    for record in records[position..].iter().take_while(|record| record.time.as_nanos() < now.as_nanos() + latency) {
        if let Event::Delivered { message, consumer, store, redelivered, .. } = record.event() {
            let left = record.time.as_nanos() - now.as_nanos();
            let way = 1.0 - left as f32 / latency as f32;
            dots.push(Dot {
                message,
                client: consumer,
                store: stored(lane, store),
                inward: false,
                way,
                age: 0.0,
                again: redelivered,
            });
        }
        if dots.len() >= MOST_DOTS {
            return dots;
        }
    }
    let shown = latency + trail;
    for record in records[..position].iter().rev() {
        let passed = now.as_nanos().saturating_sub(record.time.as_nanos());
        if passed > shown || dots.len() >= MOST_DOTS {
            break;
        }
        let after = |passed: u64| passed as f32 / trail.max(1) as f32;
        match record.event() {
            Event::Sent { message, producer, .. } => {
                let way = (passed as f32 / latency as f32).min(1.0);
                let age = after(passed.saturating_sub(latency));
                dots.push(Dot { message, client: producer, store: None, inward: true, way, age, again: false });
            }
            Event::Delivered { message, consumer, store, redelivered, .. } if passed <= trail => {
                let store = stored(lane, store);
                dots.push(Dot {
                    message,
                    client: consumer,
                    store,
                    inward: false,
                    way: 1.0,
                    age: after(passed),
                    again: redelivered,
                });
            }
            _ => {}
        }
    }
    dots
}

fn stored(lane: &Lane, store: StoreId) -> Option<StoreId> {
    (store.index() < lane.header.stores.len()).then_some(store)
}
