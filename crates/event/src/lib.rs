//! The events of a run and what stands beside them: the meeting point of everything that *writes* events (the
//! broker engine and its drivers) and everything that *reads* them (metrics, verdicts, charts).
//!
//! An event is small, `Copy` and in the past tense; it carries ids. The [`RunHeader`] gives them names. What is
//! not in the event stream did not happen.
//!
//! ```
//! use brokerlab_event::{ClientId, Event, EventLog, Fingerprint, MessageId, Observer, Time};
//!
//! let mut observers = (EventLog::default(), Fingerprint::default());
//! let confirmed = Event::Confirmed { message: MessageId::new(0), producer: ClientId::new(0) };
//! observers.observe(Time::from_nanos(1_000), confirmed);
//!
//! let (log, fingerprint) = observers;
//! assert_eq!(log.records()[0].event(), confirmed);
//! assert_eq!(fingerprint.events(), 1);
//! ```
//!
//! - [`Event`], [`Record`]: what happened and when. [`RunHeader`]: names, topology, promises.
//! - [`Observer`]: a fold over events. [`EventLog`] keeps them, [`Fingerprint`] digests them.
//! - [`Time`], [`Duration`]: whole nanoseconds. [`Generator`], [`Stream`], [`Distribution`]: portable chance.

mod event;
mod fingerprint;
mod header;
mod ids;
mod logarithm;
mod observer;
mod random;
mod time;

pub use event::{Blockage, Bytes, Count, Departure, Event, Millionths, Outcome, Record, Refusal, Removal, Scope};
pub use fingerprint::{Fingerprint, Mixer};
pub use header::{
    ApplicationInfo, BROKER, ClientInfo, ClientRole, FaultInfo, Guarantee, KeyTable, Kinds, Model, Promise, RunHeader,
    StoreInfo, StoreKind,
};
pub use ids::{ApplicationId, ClientId, FaultId, KeyId, MessageId, NodeId, Offset, Party, StoreId};
pub use observer::{EventLog, Observer};
pub use random::{Distribution, FailureLaw, Generator, KindLaw, Stream, WorkLaw, below, exponential, unit};
pub use time::{Duration, Time};
