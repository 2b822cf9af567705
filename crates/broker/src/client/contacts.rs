//! Which node a client of the queue side is connected with, and when it tries which next.

use brokerlab_event::{Duration, NodeId, Time};

/// How long a client waits before it connects again: the interval of the Java client's network recovery.
pub(super) const RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// The nodes that a client may be connected with, in the order in which it tries them: its own first. After each wait it
/// goes through all of them until one lets it in.
#[derive(Clone, Debug)]
pub(super) struct Contacts {
    own: NodeId,
    /// How many nodes it knows, and of how many there are.
    known: u16,
    /// Which of them it is connected with, or tries.
    current: u16,
    is_cut_off: bool,
    retry_at: Option<Time>,
}

impl Contacts {
    /// A client that knows so many nodes, numbered from 0 to the last, and is to be connected with this one.
    pub fn new(own: NodeId, known: u16) -> Contacts {
        Contacts { own, known: known.max(1), current: 0, is_cut_off: false, retry_at: None }
    }

    /// The node that it is connected with, or tries.
    #[inline]
    pub fn node(&self) -> NodeId {
        if self.current == 0 { self.own } else { self.other() }
    }

    #[cold]
    fn other(&self) -> NodeId {
        NodeId::new((self.own.get() + self.current) % self.known)
    }

    /// There is no connection.
    #[inline]
    pub fn is_cut_off(&self) -> bool {
        self.is_cut_off
    }

    /// The connection broke, or could not be made. True where there was one.
    pub fn broken(&mut self, now: Time) -> bool {
        let had_one = !std::mem::replace(&mut self.is_cut_off, true);
        self.current = if had_one { 0 } else { (self.current + 1) % self.known };
        let wait = if self.current == 0 { RECONNECT_DELAY } else { Duration::ZERO };
        self.retry_at = Some(now.saturating_add(wait));
        had_one
    }

    /// A node has let it in.
    pub fn restored(&mut self) {
        self.is_cut_off = false;
    }

    /// It is to try again now.
    #[inline]
    pub fn is_due(&mut self, now: Time) -> bool {
        self.retry_at.take_if(|at| *at <= now).is_some()
    }

    /// When it tries again.
    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        self.retry_at
    }

    /// The process is gone.
    pub fn forget(&mut self) {
        *self = Contacts::new(self.own, self.known);
    }
}
