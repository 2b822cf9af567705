//! What the operating system of a node does with what logs have written: it keeps it in its page cache, and writes it to
//! the disk in its own time. Besides partitions it holds what a broker notes in topics of its own (offsets, transactions,
//! share groups): that is kept here as it stood each time the operating system looked.

use std::collections::VecDeque;

use brokerlab_event::{Offset, Time};

use super::groups::DurableGroupCoordinator;
use super::share::DurableShareGroup;
use super::{Context, LogSide};
use crate::config::PageCacheConfig;
use crate::log::Crash;
use crate::message::Effect;
use crate::stream::Tracking;
use crate::transaction::DurableCoordinator;

/// What a broker notes in topics of its own.
#[derive(Clone, Debug)]
pub(super) struct Notes {
    pub groups: Vec<DurableGroupCoordinator>,
    pub transactions: DurableCoordinator,
    pub shares: Vec<DurableShareGroup>,
    pub streams: Vec<Tracking>,
}

/// How things stood when the operating system looked.
#[derive(Clone, Debug)]
pub(super) struct Look {
    at: Time,
    /// The end of each partition, by place.
    ends: Vec<Offset>,
    notes: Notes,
}

/// The page cache of a node. It is the operating system's, and outlives the process of the broker.
#[derive(Clone, Debug)]
pub(super) struct PageCache {
    config: Option<PageCacheConfig>,
    next: Time,
    /// What is not written back yet.
    looks: VecDeque<Look>,
    /// What the broker noted, as it is on the disk.
    on_disk: Notes,
    /// What it notes at the start.
    blank: Notes,
}

impl PageCache {
    /// Of a node that has noted nothing yet.
    pub fn new(config: Option<PageCacheConfig>, blank: Notes) -> PageCache {
        let next = config.map_or(Time::MAX, |config| Time::ZERO.saturating_add(config.every));
        PageCache { config, next, looks: VecDeque::new(), on_disk: blank.clone(), blank }
    }

    /// Whether anything is ever written back.
    #[inline]
    pub fn is_modelled(&self) -> bool {
        self.config.is_some()
    }

    /// What is left of it when the node goes down, with what the broker has noted there.
    pub fn crash(mut self, kind: Crash, latest: Look) -> (PageCache, Notes) {
        match kind {
            Crash::Process => {
                let notes = latest.notes.clone();
                self.looks.push_back(latest);
                return (self, notes);
            }
            Crash::Power => {}
            Crash::Disk => self.on_disk = self.blank.clone(),
        }
        self.looks.clear();
        let mut notes = self.on_disk.clone();
        notes.transactions.skip_producers_of(&latest.notes.transactions);
        (self, notes)
    }

    /// What was in the page cache for long enough by now.
    fn pop_old(&mut self, now: Time) -> Option<Look> {
        let age = self.config?.age;
        self.looks.pop_front_if(|look| look.at.saturating_add(age) <= now)
    }

    /// When the operating system looks next.
    #[inline]
    pub fn next_timeout(&self) -> Time {
        self.next
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// How things stand now.
    pub(super) fn look(&self, now: Time) -> Look {
        let ends = self.partitions.iter().map(|hosted| hosted.log.log().written()).collect();
        let notes = Notes {
            groups: self.groups.clone().crash(),
            transactions: self.transactions.clone().crash(),
            shares: self.shares.clone().crash(),
            streams: self.streams.clone().crash(),
        };
        Look { at: now, ends, notes }
    }

    /// The operating system looks what has been in the page cache for long enough, and writes it.
    pub(super) fn write_back<O>(&mut self, context: &mut Context<'_, P, O>) {
        let Some(config) = self.page_cache.config.filter(|_| self.page_cache.next <= context.now) else { return };
        self.page_cache.next = context.now.saturating_add(config.every);
        let look = self.look(context.now);
        self.page_cache.looks.push_back(look);
        while let Some(look) = self.page_cache.pop_old(context.now) {
            self.page_cache.on_disk = look.notes;
            for (hosted, until) in self.partitions.iter().zip(look.ends) {
                if hosted.log.log().flushed() < until {
                    context.out.push(Effect::Flush { node: context.node, store: hosted.store, until });
                }
            }
        }
    }

    /// The broker is back on a machine that has written on meanwhile.
    pub(super) fn recover_page_cache(&mut self, now: Time, page_cache: PageCache) {
        self.page_cache = page_cache;
        while let Some(look) = self.page_cache.pop_old(now) {
            self.page_cache.on_disk = look.notes;
            for (hosted, until) in self.partitions.iter_mut().zip(look.ends) {
                hosted.log.mark_flushed(until);
            }
        }
        if let Some(config) = self.page_cache.config {
            self.page_cache.next = now.saturating_add(config.every);
        }
    }
}
