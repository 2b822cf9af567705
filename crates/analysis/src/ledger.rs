//! The fate of every message for every application, in memory that follows what is in motion.

use std::collections::BTreeMap;

use brokerlab_event::{KeyId, MessageId, Time};

use crate::{Fate, FateCounts, PlaceSet};

/// Facts about a message.
mod flag {
    /// Several of the facts below.
    pub type Flags = u32;
    pub const OFFERED: Flags = 1;
    pub const SENT: Flags = 2;
    pub const CONFIRMED: Flags = 4;
    pub const REFUSED: Flags = 8;
    pub const RETURNED: Flags = 16;
    pub const UNROUTED: Flags = 32;
    /// A partition stores it or has stored it.
    pub const LOGGED: Flags = 64;
    /// Counted among the entries that may be retired.
    pub const FINAL: Flags = 128;
    /// The first record of it went with the end of its partition, and none came since.
    pub const TORN_OFF: Flags = 256;
}

/// Facts about a message and an application.
pub(crate) mod state {
    /// Several of the facts below.
    pub type Facts = u16;
    pub const DELIVERED: Facts = 1;
    pub const PROCESSED: Facts = 2;
    /// A policy removed it, or a consumer rejected it, since it was last stored for the application.
    pub const DROPPED: Facts = 4;
    pub const MISSED: Facts = 8;
    /// Settled, or passed over by the group.
    pub const SETTLED: Facts = 16;
    /// Still to be had, by the census.
    pub const REMAINS: Facts = 32;
    /// A queue that serves the application has stored it.
    pub const STORED: Facts = 64;
    /// A queue that serves the application gave it up to one that does not, since it was last stored for the
    /// application.
    pub const DEAD: Facts = 128;
    /// A queue that serves the application declined it.
    pub const DECLINED: Facts = 256;
    /// The application does not want it. It is never among the open ones.
    pub const UNWANTED: Facts = 512;
}

use flag::Flags;
use state::Facts;

/// What is known of a message. Kept small: logs hold one for each record that a group has still to read.
#[derive(Clone, Copy, Default)]
struct Entry {
    intended: u64,
    key: KeyId,
    /// Copies in queues. Partitions do not count: their records outlive what anybody asks of them.
    copies: u16,
    /// Applications that may still process it for the first time.
    open: u16,
    /// As wide as what is loaded to look at it: a narrow field is read together with its neighbour, and that has to wait
    /// where one of them has just been written.
    flags: Flags,
    /// The state of the first application; of most runs the only one.
    first: Facts,
}

/// All that is known of a message.
struct Row<'a> {
    entry: &'a mut Entry,
    /// The states of the other applications: one after another, from here on.
    others: &'a mut [Facts],
    place: usize,
}

impl Row<'_> {
    /// The state of an application.
    #[inline(always)]
    fn own(&mut self, application: usize) -> &mut Facts {
        match application.checked_sub(1) {
            None => &mut self.entry.first,
            Some(other) => &mut self.others[self.place + other],
        }
    }

    /// Changes the states of these applications. Most queues serve the first, alone.
    #[inline(always)]
    fn each(&mut self, applications: &[u16], change: impl Fn(&mut Facts)) {
        match applications {
            [0] => change(&mut self.entry.first),
            _ => applications.iter().for_each(|application| change(self.own(usize::from(*application)))),
        }
    }
}

const _: () = assert!(size_of::<Entry>() <= 24, "an entry of the ledger stays small");

/// What processing a message meant.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Processing {
    /// The first time for this application.
    First,
    /// The first time, but of a message that the application does not want, or so late that its send time and key are
    /// forgotten: it says nothing of latency and order.
    Aside,
    /// A duplicate.
    Again,
}

/// One entry for each message in motion: a ring indexed by message number. Its front is retired as soon as the
/// fates there cannot change; messages that take much longer than their neighbours move to a map, so that they
/// do not hold up the ring. A message that is in neither was processed by every application (or missed by it or not
/// wanted, which is remembered in sets), therefore a late duplicate of it is still known as one.
#[derive(Clone)]
pub(crate) struct Ledger {
    applications: usize,
    /// How many there are besides the first.
    others: usize,
    /// The option of this name.
    window: u64,
    entries: Vec<Entry>,
    /// One for each message and application but the first, beside `entries`.
    states: Vec<Facts>,
    base: u64,
    end: u64,
    /// Entries of the ring that are final and wait for the front.
    finals: u64,
    stragglers: BTreeMap<u64, (Entry, Box<[Facts]>)>,
    /// What must be known of a message before it can be final; a confirm only once there are any.
    needed: Flags,
    offered: u64,
    /// Retired messages that every application had processed; nearly all are. Below zero where a few of those
    /// counted one by one came back.
    retired_by_all: i64,
    /// The other retired messages, per application.
    retired: Vec<FateCounts>,
    retired_unconfirmed: PlaceSet,
    retired_missed: Vec<PlaceSet>,
    retired_unwanted: Vec<PlaceSet>,
    /// The fate of each message and application, where somebody wants to know it.
    kept: Option<Vec<Fate>>,
}

impl Ledger {
    pub fn new(applications: usize, window: u64, keep: bool) -> Ledger {
        const CAPACITY: usize = 1024;
        Ledger {
            applications,
            others: applications.saturating_sub(1),
            window,
            entries: vec![Entry::default(); CAPACITY],
            states: vec![0; CAPACITY * applications.saturating_sub(1)],
            base: 0,
            end: 0,
            finals: 0,
            stragglers: BTreeMap::new(),
            needed: flag::OFFERED | flag::SENT,
            offered: 0,
            retired_by_all: 0,
            retired: vec![FateCounts::default(); applications],
            retired_unconfirmed: PlaceSet::default(),
            retired_missed: vec![PlaceSet::default(); applications],
            retired_unwanted: vec![PlaceSet::default(); applications],
            kept: keep.then(Vec::new),
        }
    }

    pub fn offered_count(&self) -> u64 {
        self.offered
    }

    #[inline(always)]
    pub fn offered(&mut self, message: MessageId, time: Time, key: KeyId) {
        // Nearly always the next one, and there is room for it.
        let id = message.get();
        if id == self.end && self.applications == 1 && id - self.base < self.entries.len() as u64 {
            let (intended, open) = (time.as_nanos(), self.applications as u16);
            let index = id as usize & (self.entries.len() - 1);
            self.entries[index] = Entry { intended, key, open, flags: flag::OFFERED, ..Entry::default() };
            self.end += 1;
            self.offered += 1;
            return;
        }
        let first = self.touch(message, |row| {
            let entry = &mut *row.entry;
            let first = entry.flags & flag::OFFERED == 0;
            if first {
                (entry.intended, entry.key) = (time.as_nanos(), key);
            }
            entry.flags |= flag::OFFERED;
            first
        });
        assert_eq!(first, Some(true), "{message} was offered twice");
        self.offered += 1;
    }

    /// The application does not want the message, which was offered just now: nobody waits for what becomes of it.
    #[cold]
    pub fn unwanted(&mut self, message: MessageId, application: usize) {
        self.touch(message, |row| {
            row.entry.open -= 1;
            *row.own(application) |= state::UNWANTED;
        });
    }

    /// True for the first time.
    #[inline]
    pub fn sent(&mut self, message: MessageId) -> bool {
        self.raise(message, flag::SENT)
    }

    pub fn refused(&mut self, message: MessageId) {
        self.raise(message, flag::REFUSED);
    }

    pub fn returned(&mut self, message: MessageId) {
        self.raise(message, flag::RETURNED);
    }

    pub fn unrouted(&mut self, message: MessageId) {
        self.raise(message, flag::UNROUTED);
    }

    #[inline]
    fn raise(&mut self, message: MessageId, flag: Flags) -> bool {
        let Some(row) = self.find(message) else { return false };
        let first = row.entry.flags & flag == 0;
        row.entry.flags |= flag;
        first
    }

    /// For the first confirm of a message: `Some`, with the intended send time unless that is forgotten.
    #[inline]
    pub fn confirmed(&mut self, message: MessageId) -> Option<Option<Time>> {
        self.needed |= flag::CONFIRMED;
        let found = self.touch(message, |row| {
            let entry = &mut *row.entry;
            let first = entry.flags & flag::CONFIRMED == 0;
            entry.flags |= flag::CONFIRMED;
            first.then_some(Time::from_nanos(entry.intended))
        });
        match found {
            Some(first) => first.map(Some),
            None => self.retired_unconfirmed.remove(message.get()).then_some(None),
        }
    }

    /// The intended send time where this is the first delivery to an application that wants the message.
    #[inline]
    pub fn delivered(&mut self, message: MessageId, application: usize) -> Option<Time> {
        let mut row = self.find(message)?;
        let own = row.own(application);
        if is_closed_as_missed(*own) {
            return self.delivered_after_all(message, application);
        }
        let first = *own & (state::DELIVERED | state::UNWANTED) == 0;
        *own |= state::DELIVERED;
        first.then_some(Time::from_nanos(row.entry.intended))
    }

    /// A broadcast had missed the application, and a repeated attempt reaches it: it may process the message now.
    #[cold]
    fn delivered_after_all(&mut self, message: MessageId, application: usize) -> Option<Time> {
        self.touch(message, |row| {
            row.entry.open += 1;
            *row.own(application) |= state::DELIVERED;
            Time::from_nanos(row.entry.intended)
        })
    }

    /// What this processing means; where it is the first, also the intended send time and the key.
    #[inline]
    pub fn processed(&mut self, message: MessageId, application: usize) -> (Processing, Time, KeyId) {
        let found = self.touch(message, |row| {
            let facts = (Time::from_nanos(row.entry.intended), row.entry.key);
            let own = *row.own(application);
            if own & state::PROCESSED != 0 {
                return (Processing::Again, facts.0, facts.1);
            }
            *row.own(application) |= state::PROCESSED;
            if own & state::UNWANTED != 0 {
                return (Processing::Aside, facts.0, facts.1);
            }
            if !is_closed_as_missed(own) {
                row.entry.open -= 1;
            }
            (Processing::First, facts.0, facts.1)
        });
        found.unwrap_or_else(|| (self.processed_after_retirement(message, application), Time::ZERO, KeyId::NONE))
    }

    /// Nearly always a duplicate. Only where a broadcast missed the application, and a repeated attempt reached
    /// it after all, or where the application did not want it, is it the first time.
    #[cold]
    fn processed_after_retirement(&mut self, message: MessageId, application: usize) -> Processing {
        let id = message.get();
        let before = if self.retired_missed[application].remove(id) {
            Fate::Missed
        } else if self.retired_unwanted[application].remove(id) {
            Fate::NotWanted
        } else {
            return Processing::Again;
        };
        self.change_retired(message, application, before, Fate::Processed);
        Processing::Aside
    }

    fn change_retired(&mut self, message: MessageId, application: usize, before: Fate, after: Fate) {
        self.retired[application][before] -= 1;
        self.retired[application][after] += 1;
        keep(&mut self.kept, message.index() * self.applications + application, after);
    }

    #[inline]
    pub fn missed(&mut self, message: MessageId, application: usize) {
        self.touch(message, |row| {
            let open = state::MISSED | state::PROCESSED | state::DELIVERED | state::UNWANTED;
            if *row.own(application) & open == 0 {
                row.entry.open -= 1;
            }
            *row.own(application) |= state::MISSED;
        });
    }

    /// Marks a message for an application.
    #[inline]
    pub fn mark(&mut self, message: MessageId, application: usize, bits: Facts) {
        if let Some(mut row) = self.find(message) {
            *row.own(application) |= bits;
        }
    }

    /// Whether the application got the message at some time.
    pub fn was_delivered(&mut self, message: MessageId, application: usize) -> bool {
        self.find(message).is_none_or(|mut row| *row.own(application) & state::DELIVERED != 0)
    }

    /// Whether a confirm has come for the message.
    pub fn was_confirmed(&mut self, message: MessageId) -> bool {
        match self.find(message) {
            Some(row) => row.entry.flags & flag::CONFIRMED != 0,
            None => !self.retired_unconfirmed.contains(message.get()),
        }
    }

    /// Whether the application has processed the message. Those that are retired it has, if nothing else is known.
    pub fn was_processed(&mut self, message: MessageId, application: usize) -> bool {
        let id = message.get();
        match self.find(message) {
            Some(mut row) => *row.own(application) & state::PROCESSED != 0,
            None => !self.retired_missed[application].contains(id) && !self.retired_unwanted[application].contains(id),
        }
    }

    /// The census found it: the application can still have it.
    pub fn remains(&mut self, message: MessageId, application: usize) {
        if let Some(mut row) = self.find(message) {
            *row.own(application) |= state::REMAINS;
        } else if self.retired_missed[application].remove(message.get()) {
            // A broadcast had missed the application, and a repeated attempt is on its way when the run ends.
            self.change_retired(message, application, Fate::Missed, Fate::InBacklog);
        }
    }

    /// A copy came into a queue that serves these applications; true where it is the only one. What became of
    /// earlier copies there counts no more.
    #[inline]
    pub fn queued(&mut self, message: MessageId, applications: &[u16]) -> bool {
        let first = self.touch(message, |row| {
            row.each(applications, |own| *own = (*own | state::STORED) & !(state::DROPPED | state::DEAD));
            row.entry.copies = row.entry.copies.saturating_add(1);
            row.entry.copies == 1
        });
        first.unwrap_or_else(|| self.queued_after_retirement(message))
    }

    /// A repeated attempt can come when everybody is done with the message. Its new copy is watched as a straggler.
    #[cold]
    fn queued_after_retirement(&mut self, message: MessageId) -> bool {
        let id = message.get();
        let mut flags = flag::OFFERED | flag::SENT;
        if !self.retired_unconfirmed.remove(id) {
            flags |= flag::CONFIRMED;
        }
        let mut states = vec![state::PROCESSED | state::DELIVERED; self.applications];
        for (application, own) in states.iter_mut().enumerate() {
            if self.retired_missed[application].remove(id) {
                *own = state::MISSED;
            } else if self.retired_unwanted[application].remove(id) {
                *own = state::UNWANTED;
            }
        }
        if states.iter().any(|own| own & state::PROCESSED == 0) {
            for (counts, &own) in self.retired.iter_mut().zip(&states) {
                counts[fate(flags, own, Seen::ALL)] -= 1;
            }
        } else {
            self.retired_by_all -= 1;
        }
        let (first, others) = states.split_first().unwrap_or((&0, &[]));
        let entry = Entry { intended: 0, key: KeyId::NONE, copies: 1, open: 0, flags, first: *first };
        self.stragglers.insert(id, (entry, others.into()));
        true
    }

    /// A copy left a queue that serves these applications; true where it was the last.
    #[inline]
    pub fn dequeued(&mut self, message: MessageId, applications: &[u16], bits: Facts) -> bool {
        let last = self.touch(message, |row| {
            row.each(applications, |own| *own |= bits);
            row.entry.copies = row.entry.copies.saturating_sub(1);
            row.entry.copies == 0
        });
        last.unwrap_or(false)
    }

    /// A record came into a partition; true where the message was not in one before, or is there no more.
    #[inline]
    pub fn logged(&mut self, message: MessageId) -> bool {
        let Some(row) = self.find(message) else { return false };
        let first = row.entry.flags & (flag::LOGGED | flag::TORN_OFF) != flag::LOGGED;
        row.entry.flags = (row.entry.flags | flag::LOGGED) & !flag::TORN_OFF;
        first
    }

    /// The first record of a message went with the end of its partition.
    #[cold]
    pub fn torn_off(&mut self, message: MessageId) {
        self.raise(message, flag::TORN_OFF);
    }

    /// Finds what is known of a message, to note what cannot make it final. Nothing for retired messages.
    #[inline(always)]
    fn find(&mut self, message: MessageId) -> Option<Row<'_>> {
        let id = message.get();
        if id >= self.end {
            self.extend_to(id);
        }
        if id < self.base {
            return self.stragglers.get_mut(&id).map(|(entry, others)| Row { entry, others, place: 0 });
        }
        let index = id as usize & (self.entries.len() - 1);
        let place = index * self.others;
        Some(Row { entry: &mut self.entries[index], others: &mut self.states, place })
    }

    /// Finds the entry of a message, changes it and looks whether it became final. Nothing for retired messages.
    #[inline(always)]
    fn touch<R>(&mut self, message: MessageId, change: impl FnOnce(&mut Row<'_>) -> R) -> Option<R> {
        let id = message.get();
        if id >= self.end {
            self.extend_to(id);
        }
        if id < self.base {
            return self.touch_straggler(id, change);
        }
        let index = id as usize & (self.entries.len() - 1);
        let place = index * self.others;
        let mut row = Row { entry: &mut self.entries[index], others: &mut self.states, place };
        let result = change(&mut row);
        let is_final = is_final(row.entry, self.needed);
        let was_final = row.entry.flags & flag::FINAL != 0;
        if is_final || was_final {
            self.turned(id, index, is_final, was_final);
        }
        Some(result)
    }

    /// An entry is final, or was.
    #[inline(never)]
    fn turned(&mut self, id: u64, index: usize, is_final: bool, was_final: bool) {
        // Nearly always the oldest turns final, and the next is not.
        if is_final && !was_final && id == self.base && self.may_retire() {
            self.retire_from_ring(index);
            let next = self.base as usize & (self.entries.len() - 1);
            let length = self.end - self.base;
            if length > self.window || (length > 0 && self::is_final(&self.entries[next], self.needed)) {
                self.retire_front();
            }
            return;
        }
        if is_final != was_final {
            self.entries[index].flags ^= flag::FINAL;
            self.finals = if is_final { self.finals + 1 } else { self.finals - 1 };
        }
        if is_final && (!was_final || id == self.base) {
            self.retire_front();
        }
    }

    #[cold]
    fn touch_straggler<R>(&mut self, id: u64, change: impl FnOnce(&mut Row<'_>) -> R) -> Option<R> {
        let (entry, others) = self.stragglers.get_mut(&id)?;
        let result = change(&mut Row { entry, others, place: 0 });
        if is_final(entry, self.needed) {
            let (entry, others) = self.stragglers.remove(&id).expect("it was found just now");
            self.retire(id, &entry, &others);
        }
        Some(result)
    }

    /// Makes room up to this message. The numbers between come in a moment or never; they hold no fate until
    /// they are offered.
    #[inline(never)]
    fn extend_to(&mut self, id: u64) {
        while self.end <= id {
            if self.end - self.base == self.entries.len() as u64 {
                self.grow();
            }
            let index = self.end as usize & (self.entries.len() - 1);
            self.entries[index] = Entry { key: KeyId::NONE, open: self.applications as u16, ..Entry::default() };
            self.states[index * self.others..][..self.others].fill(0);
            self.end += 1;
        }
    }

    #[cold]
    fn grow(&mut self) {
        let (old, new) = (self.entries.len(), self.entries.len() * 2);
        let mut entries = vec![Entry::default(); new];
        let mut states = vec![0; new * self.others];
        for id in self.base..self.end {
            let (from, to) = (id as usize & (old - 1), id as usize & (new - 1));
            entries[to] = self.entries[from];
            states[to * self.others..][..self.others]
                .copy_from_slice(&self.states[from * self.others..][..self.others]);
        }
        (self.entries, self.states) = (entries, states);
    }

    /// While no confirm has been seen, a window is kept.
    #[inline]
    fn may_retire(&self) -> bool {
        self.needed & flag::CONFIRMED != 0 || self.end - self.base >= self.window
    }

    #[inline(never)]
    fn retire_front(&mut self) {
        if !self.may_retire() {
            return;
        }
        while self.base < self.end {
            let index = self.base as usize & (self.entries.len() - 1);
            // Not the flag: what was final before the first confirm of the run is not any more.
            if !is_final(&self.entries[index], self.needed) {
                break;
            }
            self.retire_from_ring(index);
        }
        let length = self.end - self.base;
        if length > self.window && self.finals >= length - length / 4 {
            self.move_stragglers(length / 2);
        }
    }

    #[inline(always)]
    fn retire_from_ring(&mut self, index: usize) {
        let entry = &self.entries[index];
        self.finals -= u64::from(entry.flags & flag::FINAL != 0);
        // Nearly all: nothing is left to be noted of them.
        if self.kept.is_none()
            && entry.flags & flag::CONFIRMED != 0
            && all_processed(entry, &self.states[index * self.others..][..self.others])
        {
            self.retired_by_all += 1;
        } else {
            self.retire_noted(index);
        }
        self.base += 1;
    }

    #[inline(never)]
    fn retire_noted(&mut self, index: usize) {
        // The states are lent out while the counts change.
        let (entry, states) = (self.entries[index], core::mem::take(&mut self.states));
        self.retire(self.base, &entry, &states[index * self.others..][..self.others]);
        self.states = states;
    }

    /// Most of the ring is final, and its front is not: the few that are not move out of the older half.
    #[cold]
    fn move_stragglers(&mut self, count: u64) {
        for _ in 0..count {
            let index = self.base as usize & (self.entries.len() - 1);
            let entry = self.entries[index];
            if is_final(&entry, self.needed) {
                self.retire_from_ring(index);
            } else {
                if entry.flags & flag::FINAL != 0 {
                    self.finals -= 1;
                }
                let states = &self.states[index * self.others..][..self.others];
                let entry = Entry { flags: entry.flags & !flag::FINAL, ..entry };
                self.stragglers.insert(self.base, (entry, states.into()));
                self.base += 1;
            }
        }
    }

    fn retire(&mut self, id: u64, entry: &Entry, others: &[Facts]) {
        if entry.flags & flag::CONFIRMED == 0 {
            self.retired_unconfirmed.insert(id);
        }
        if self.kept.is_none() && all_processed(entry, others) {
            self.retired_by_all += 1;
            return;
        }
        for (application, own) in states_of(entry, others).take(self.applications).enumerate() {
            let fate = fate(entry.flags, own, Seen::ALL);
            self.retired[application][fate] += 1;
            match fate {
                Fate::Missed => _ = self.retired_missed[application].insert(id),
                Fate::NotWanted => _ = self.retired_unwanted[application].insert(id),
                _ => {}
            }
            keep(&mut self.kept, id as usize * self.applications + application, fate);
        }
    }

    /// The fates per application at the end of the run, and of each message where that was asked for.
    ///
    /// # Panics
    /// Panics where the fates of an application do not sum to what was offered: the books must balance.
    pub fn finish(self, seen: Seen) -> (Vec<FateCounts>, Option<Vec<Fate>>) {
        let Ledger {
            applications, others: stride, entries, states, base, end, mut retired, mut kept, stragglers, ..
        } = self;
        for counts in &mut retired {
            counts[Fate::Processed] = counts[Fate::Processed].wrapping_add_signed(self.retired_by_all);
        }
        let mut close = |id: u64, entry: &Entry, others: &[Facts]| {
            if entry.flags & flag::OFFERED == 0 {
                return;
            }
            for (application, own) in states_of(entry, others).take(applications).enumerate() {
                let fate = fate(entry.flags, own, seen);
                retired[application][fate] += 1;
                keep(&mut kept, id as usize * applications + application, fate);
            }
        };
        for (id, (entry, states)) in &stragglers {
            close(*id, entry, states);
        }
        for id in base..end {
            let index = id as usize & (entries.len() - 1);
            close(id, &entries[index], &states[index * stride..][..stride]);
        }
        for counts in &retired {
            assert_eq!(counts.sum(), self.offered, "every message that was offered has exactly one fate");
        }
        (retired, kept)
    }
}

/// True where no event that may still come can change a fate or a count.
#[inline(always)]
fn is_final(entry: &Entry, needed: Flags) -> bool {
    entry.open | entry.copies == 0 && entry.flags & needed == needed
}

#[inline]
fn all_processed(entry: &Entry, others: &[Facts]) -> bool {
    entry.first & state::PROCESSED != 0 && others.iter().all(|own| own & state::PROCESSED != 0)
}

/// The state of each application.
fn states_of(entry: &Entry, others: &[Facts]) -> impl Iterator<Item = Facts> {
    core::iter::once(entry.first).chain(others.iter().copied())
}

/// An application that was missed has nothing in hand to process, unless a repeated attempt reached it.
#[inline(always)]
fn is_closed_as_missed(own: Facts) -> bool {
    own & (state::MISSED | state::DELIVERED | state::PROCESSED | state::UNWANTED) == state::MISSED
}

fn keep(kept: &mut Option<Vec<Fate>>, index: usize, fate: Fate) {
    if let Some(kept) = kept {
        if kept.len() <= index {
            kept.resize(index + 1, Fate::NotSent);
        }
        kept[index] = fate;
    }
}

/// What the driver of a run could tell.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    /// What is still to be had at the end. Otherwise nobody knows what the broker still holds, so what was confirmed
    /// and not seen again is unknown.
    pub census: bool,
    /// What the broker stores. Otherwise nobody knows which queues took a message.
    pub storage: bool,
}

impl Seen {
    const ALL: Seen = Seen { census: true, storage: true };
}

/// The order of precedence.
fn fate(flags: Flags, own: Facts, seen: Seen) -> Fate {
    let is = |flag: Flags| flags & flag != 0;
    let has = |facts: Facts| own & facts != 0;
    let reached = !seen.storage || is(flag::LOGGED) || has(state::STORED | state::DELIVERED);
    // A message that was returned is confirmed as well: the broker has done with it what it could.
    let taken_over = is(flag::CONFIRMED) && !is(flag::RETURNED);
    if has(state::PROCESSED) {
        Fate::Processed
    } else if has(state::UNWANTED) {
        Fate::NotWanted
    } else if has(state::REMAINS) {
        Fate::InBacklog
    } else if has(state::DEAD) {
        Fate::DeadLettered
    } else if has(state::DROPPED) || (is(flag::UNROUTED) && !is(flag::RETURNED)) {
        Fate::DroppedByPolicy
    } else if has(state::MISSED) {
        Fate::Missed
    } else if has(state::SETTLED) {
        Fate::Skipped
    } else if taken_over && !seen.census {
        Fate::Unknown
    } else if taken_over && reached {
        Fate::Lost
    } else if is(flag::REFUSED) || has(state::DECLINED) {
        Fate::Refused
    } else if taken_over {
        Fate::DroppedByPolicy
    } else if is(flag::RETURNED) {
        Fate::Returned
    } else if is(flag::SENT) {
        Fate::Unconfirmed
    } else {
        Fate::NotSent
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NONE: KeyId = KeyId::NONE;

    /// Through one queue in order, a few at a time.
    fn pass(ledger: &mut Ledger, number: u64, confirm: bool) {
        let message = MessageId::new(number);
        ledger.offered(message, Time::from_nanos(number), NONE);
        ledger.sent(message);
        ledger.queued(message, &[0]);
        if confirm {
            ledger.confirmed(message);
        }
        ledger.delivered(message, 0);
        ledger.processed(message, 0);
        ledger.dequeued(message, &[0], state::SETTLED);
    }

    #[test]
    fn memory_follows_the_messages_in_motion() {
        let mut ledger = Ledger::new(1, 1 << 10, false);
        for number in 0..300_000 {
            pass(&mut ledger, number, true);
        }
        assert_eq!((ledger.entries.len(), ledger.base), (1024, 300_000), "nothing is in motion");
    }

    #[test]
    fn without_confirms_the_window_bounds_the_ring() {
        let mut ledger = Ledger::new(1, 1 << 10, false);
        for number in 0..300_000 {
            pass(&mut ledger, number, false);
        }
        assert!(ledger.entries.len() <= 2048);
        assert!(ledger.confirmed(MessageId::new(7)).is_some(), "a confirm that is late still counts");
        assert!(ledger.confirmed(MessageId::new(7)).is_none(), "but once");
    }

    #[test]
    fn stragglers_do_not_hold_up_the_ring_and_keep_their_fates() {
        let mut ledger = Ledger::new(1, 1 << 10, false);
        for number in 0..300_000 {
            if number % 10_000 == 0 {
                ledger.offered(MessageId::new(number), Time::ZERO, NONE);
                ledger.sent(MessageId::new(number));
            } else {
                pass(&mut ledger, number, true);
            }
        }
        assert!(ledger.entries.len() <= 4096);
        assert!(ledger.stragglers.len() >= 29);
        let late = ledger.processed(MessageId::new(10_000), 0);
        assert_eq!(late.0, Processing::First);
        assert_eq!(ledger.processed(MessageId::new(10_001), 0).0, Processing::Again, "a duplicate long after");
        let (fates, _) = ledger.finish(Seen::ALL);
        assert_eq!((fates[0][Fate::Processed], fates[0][Fate::Unconfirmed]), (299_971, 29));
    }
}
