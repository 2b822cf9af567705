//! Runs to measure with: one producer, one queue, some consumers.

use brokerlab_event::{
    ApplicationId, ApplicationInfo, Bytes, ClientId, ClientInfo, ClientRole, Count, Event, KeyId, KeyTable, Kinds,
    MessageId, Model, Observer, Offset, Outcome, Removal, RunHeader, StoreId, StoreInfo, StoreKind, Time,
};

/// One queue that this many consumers of one application share.
pub fn header(consumers: usize) -> RunHeader {
    let application = ApplicationId::new(0);
    let mut clients = vec![ClientInfo { name: "producer/1".into(), role: ClientRole::Producer }];
    for number in 1..=consumers {
        clients.push(ClientInfo { name: format!("work/{number}"), role: ClientRole::Consumer(application) });
    }
    RunHeader {
        title: "bench".into(),
        contender: "queue".into(),
        model: Model::Queue,
        seed: 0,
        demand_digest: 0,
        horizon: Time::from_nanos(100_000_000_000),
        warm_up: Time::ZERO,
        applications: vec![ApplicationInfo::new("work")],
        clients,
        stores: vec![StoreInfo {
            name: "work".into(),
            kind: StoreKind::Queue,
            applications: vec![application],
            comes_later: false,
        }],
        faults: Vec::new(),
        keys: KeyTable::default(),
        kinds: Kinds::default(),
        promises: Vec::new(),
    }
}

/// Offers and stores a message: four events.
pub fn arrive(observer: &mut impl Observer, now: u64, number: u64) {
    let (now, message, producer) = (Time::from_nanos(now), MessageId::new(number), ClientId::new(0));
    let size = Bytes::new(1024);
    observer.observe(now, Event::Offered { message, producer, key: KeyId::NONE, size });
    observer.observe(now, Event::Sent { message, producer, attempt: Count::new(1) });
    observer.observe(now, Event::Stored { message, store: StoreId::new(0), offset: Offset::new(number), size });
    observer.observe(now, Event::Confirmed { message, producer });
}

/// Delivers a message to a consumer.
pub fn deliver(observer: &mut impl Observer, now: u64, number: u64, consumer: u32) {
    let (now, message, consumer) = (Time::from_nanos(now), MessageId::new(number), ClientId::new(1 + consumer));
    let (store, offset) = (StoreId::new(0), Offset::new(number));
    observer.observe(now, Event::Delivered { message, consumer, store, offset, redelivered: false });
    observer.observe(now, Event::Started { message, consumer });
}

/// Processes and acknowledges it.
pub fn complete(observer: &mut impl Observer, now: u64, number: u64, consumer: u32) {
    let (now, message, consumer) = (Time::from_nanos(now), MessageId::new(number), ClientId::new(1 + consumer));
    let (store, offset, size) = (StoreId::new(0), Offset::new(number), Bytes::new(1024));
    observer.observe(now, Event::Processed { message, consumer, store, offset });
    observer.observe(now, Event::Settled { message, consumer, store, offset, outcome: Outcome::Ack });
    observer.observe(now, Event::Removed { message, store, offset, size, cause: Removal::Acked });
}
