//! What the events of a run mean: the fate of every message, metrics, time series, verdicts, and travel in time.
//! Everything here is a fold over events, judged against the [`RunHeader`](brokerlab_event::RunHeader); nothing
//! looks into a broker.
//!
//! ```
//! use brokerlab_analysis::{Analysis, Fate, Options, Stage};
//! use brokerlab_event::*;
//!
//! // A queue, a producer, and an application with one consumer.
//! let billing = ApplicationId::new(0);
//! let client = |name: &str, role| ClientInfo { name: name.into(), role };
//! let header = RunHeader {
//!     title: "two messages".into(),
//!     contender: "queue".into(),
//!     model: Model::Queue,
//!     seed: 42,
//!     demand_digest: 0,
//!     horizon: Time::from_nanos(1_000),
//!     warm_up: Time::ZERO,
//!     applications: vec![ApplicationInfo::new("billing")],
//!     clients: vec![client("producer/1", ClientRole::Producer), client("billing/1", ClientRole::Consumer(billing))],
//!     stores: vec![StoreInfo { name: "work".into(), kind: StoreKind::Queue, applications: vec![billing], comes_later: false }],
//!     faults: vec![],
//!     keys: KeyTable::default(),
//!     kinds: Kinds::default(),
//!     promises: vec![],
//! };
//! let (store, offset, size) = (StoreId::new(0), Offset::ZERO, Bytes::new(100));
//! let (producer, consumer) = (ClientId::new(0), ClientId::new(1));
//!
//! // One message is processed, the other is sent and never heard of again.
//! let mut analysis = Analysis::new(&header, Options::default());
//! for (time, message) in [(100, MessageId::new(0)), (200, MessageId::new(1))] {
//!     let time = Time::from_nanos(time);
//!     analysis.observe(time, Event::Offered { message, producer, key: KeyId::NONE, size });
//!     analysis.observe(time, Event::Sent { message, producer, attempt: Count::new(1) });
//! }
//! let message = MessageId::new(0);
//! let redelivered = false;
//! analysis.observe(Time::from_nanos(300), Event::Stored { message, store, offset, size });
//! analysis.observe(Time::from_nanos(300), Event::Delivered { message, consumer, store, offset, redelivered });
//! analysis.observe(Time::from_nanos(450), Event::Processed { message, consumer, store, offset });
//!
//! let results = analysis.finish(header.horizon);
//! assert_eq!(results.total.fates[Fate::Processed], 1);
//! assert_eq!(results.total.fates[Fate::Unconfirmed], 1);
//! assert_eq!(results.total.latency(Stage::Process).maximum(), Some(Duration::from_nanos(350)));
//! ```
//!
//! - [`Analysis`]: the fold that yields [`Results`]. [`Fate`], [`Summary`], [`Series`], [`Verdict`]: their parts.
//! - [`Laws`]: what must hold at every event of a log.
//! - [`Histogram`]: durations, mergeable and the same on every platform.
//! - [`tracks`]: what each consumer does over time.
//! - [`Theory`]: what queueing theory expects, where its assumptions hold.
//! - [`View`]: the state of every entity at a moment. [`Timeline`]: any moment of a run, quickly.
#![cfg_attr(feature = "oracle", doc = "- [`oracle`]: a slow judge by definition, for tests.")]

mod activity;
mod analysis;
mod blocking;
mod finish;
mod histogram;
mod kinds;
mod laws;
mod ledger;
mod levels;
#[cfg(feature = "oracle")]
pub mod oracle;
mod order;
mod ownership;
mod places;
mod results;
mod series;
mod stores;
mod table;
mod theory;
mod timeline;
mod verdict;
mod view;

pub use activity::{Doing, Track, tracks};
pub use analysis::{Analysis, Options};
pub use histogram::{CurvePoint, Histogram};
pub use laws::Laws;
pub use places::PlaceSet;
pub use results::{
    ApplicationBin, ApplicationResults, Bin, BlockedTime, ChannelErrors, Fate, FateCounts, FaultHit, Incidents,
    Judgement, KindResults, MessageRow, OutOfOrder, Results, Series, Stage, Summary, Verdict,
};
pub use theory::Theory;
pub use timeline::{Notable, NotableKind, Timeline};
pub use view::{ApplicationView, ClientView, ContentView, CountersView, GroupView, ShareView, StoreView, View};
