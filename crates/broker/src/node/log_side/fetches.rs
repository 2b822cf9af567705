//! Fetches that wait until there is enough to answer them with.

use brokerlab_event::{ClientId, Time};

use crate::config::{FetchLimits, Isolation};
use crate::deadlines::Deadlines;
use crate::message::{FetchPosition, FetchedPartition};

/// A fetch that waits.
#[derive(Clone, Debug)]
pub(super) struct WaitingFetch<P> {
    pub correlation: u32,
    pub isolation: Isolation,
    pub positions: Vec<FetchPosition>,
    /// Memory for the answer.
    pub spare: Vec<FetchedPartition<P>>,
    /// Bytes that are there for it.
    pub available: u64,
}

/// At most one waiting fetch for each client. Which clients may wait for a partition is noted at the partition, so
/// that an append looks only at those.
#[derive(Clone, Debug)]
pub(super) struct Fetches<P> {
    by_client: Vec<Option<WaitingFetch<P>>>,
    deadlines: Deadlines,
}

impl<P> Default for Fetches<P> {
    fn default() -> Fetches<P> {
        Fetches { by_client: Vec::new(), deadlines: Deadlines::default() }
    }
}

impl<P> Fetches<P> {
    /// Lets a fetch wait, instead of any other of this client.
    #[inline]
    pub fn wait(&mut self, now: Time, client: ClientId, fetch: WaitingFetch<P>, limits: &FetchLimits) {
        if client.index() >= self.by_client.len() {
            self.by_client.resize_with(client.index() + 1, || None);
        }
        self.by_client[client.index()] = Some(fetch);
        self.deadlines.set(client.get(), now.saturating_add(limits.max_wait));
    }

    /// True where a fetch of this client waits.
    #[inline]
    pub fn waits(&self, client: ClientId) -> bool {
        self.by_client.get(client.index()).is_some_and(Option::is_some)
    }

    /// The waiting fetch of a client.
    #[inline]
    pub fn of(&mut self, client: ClientId) -> Option<&mut WaitingFetch<P>> {
        self.by_client.get_mut(client.index())?.as_mut()
    }

    /// Ends the wait of a client.
    #[inline]
    pub fn take(&mut self, client: ClientId) -> Option<WaitingFetch<P>> {
        let fetch = self.by_client.get_mut(client.index())?.take();
        if fetch.is_some() {
            self.deadlines.clear(client.get());
        }
        fetch
    }

    /// A fetch that has waited long enough.
    pub fn pop_due(&mut self, now: Time) -> Option<(ClientId, WaitingFetch<P>)> {
        while let Some(number) = self.deadlines.pop_due(now) {
            if let Some(fetch) = self.by_client[number as usize].take() {
                return Some((ClientId::new(number), fetch));
            }
        }
        None
    }

    /// When the next one may have.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.deadlines.next()
    }
}
