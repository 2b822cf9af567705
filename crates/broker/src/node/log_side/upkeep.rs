//! What a node does to its partitions of its own accord: retention, compaction, and flushes by the clock.
//!
//! Both take no virtual time, and what they delete counts as gone at once. Real brokers keep the files of deleted
//! segments for another minute (`file.delete.delay.ms`), in which nobody can read them any more.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use brokerlab_event::{Bytes, Duration, Event, Observer, Removal, Time};

use super::{Context, LogSide};
use crate::cleaner::Cleaner;
use crate::config::{CompactionConfig, TopicConfig};
use crate::message::Effect;
use crate::partition::PartitionLog;

/// The periodic retention of one topic.
#[derive(Clone, Debug)]
struct RetentionTask {
    every: Duration,
    next: Time,
    /// Places of its partitions.
    partitions: Vec<u32>,
}

/// The compaction of this node's partitions, by one cleaner for all of them: the dirtiest log first.
#[derive(Clone, Debug)]
struct CleaningTask {
    backoff: Duration,
    next: Time,
    /// Places of the partitions that are compacted.
    partitions: Vec<u32>,
    cleaner: Cleaner,
}

/// A partition that is dirty enough, by its index among those that are compacted. The dirtiest is the greatest, and of
/// equally dirty ones the first.
#[derive(Debug)]
struct Dirty {
    ratio: f64,
    index: usize,
}

impl Ord for Dirty {
    fn cmp(&self, other: &Dirty) -> Ordering {
        self.ratio.total_cmp(&other.ratio).then(other.index.cmp(&self.index))
    }
}

impl PartialOrd for Dirty {
    fn partial_cmp(&self, other: &Dirty) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Dirty {
    fn eq(&self, other: &Dirty) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Dirty {}

/// The periodic flushes of one topic.
#[derive(Clone, Debug)]
struct FlushTask {
    every: Duration,
    next: Time,
    /// Places of its partitions.
    partitions: Vec<u32>,
}

/// What is done at its time.
#[derive(Clone, Default, Debug)]
pub(super) struct Upkeep {
    retention: Vec<RetentionTask>,
    flushes: Vec<FlushTask>,
    cleaning: Option<Box<CleaningTask>>,
}

impl Upkeep {
    /// Takes care of the partitions of a topic, at these places.
    pub fn add(&mut self, topic: &TopicConfig, places: std::ops::Range<u32>) {
        if topic.retention_time.is_some() || topic.retention_bytes.is_some() {
            let every = topic.retention_check_interval;
            let next = Time::ZERO.saturating_add(every);
            self.retention.push(RetentionTask { every, next, partitions: places.clone().collect() });
        }
        if let Some(every) = topic.flush.interval {
            let next = Time::ZERO.saturating_add(every);
            self.flushes.push(FlushTask { every, next, partitions: places.clone().collect() });
        }
        if let Some(compaction) = topic.compaction {
            let (backoff, cleaner) = (compaction.cleaner_backoff, Cleaner::default());
            let next = Time::ZERO.saturating_add(backoff);
            let task = || Box::new(CleaningTask { backoff, next, partitions: Vec::new(), cleaner });
            self.cleaning.get_or_insert_with(task).partitions.extend(places);
        }
    }

    /// Takes care of the partitions at these places as of the one beside, which is of the same topic.
    pub fn add_beside(&mut self, beside: u32, places: std::ops::Range<u32>) {
        let retained = self.retention.iter_mut().map(|task| &mut task.partitions);
        let cleaned = self.cleaning.iter_mut().map(|task| &mut task.partitions);
        let flushed = self.flushes.iter_mut().map(|task| &mut task.partitions);
        for partitions in retained.chain(cleaned).chain(flushed).filter(|partitions| partitions.contains(&beside)) {
            partitions.extend(places.clone());
        }
    }

    /// A node that comes back begins its intervals anew.
    pub fn restart(&mut self, now: Time) {
        for task in &mut self.retention {
            task.next = now.saturating_add(task.every);
        }
        for task in &mut self.flushes {
            task.next = now.saturating_add(task.every);
        }
        if let Some(task) = &mut self.cleaning {
            task.next = now.saturating_add(task.backoff);
        }
    }

    /// When something is due next. There are a few topics at most, whose tasks are looked through.
    #[inline]
    pub fn next_timeout(&self) -> Time {
        let cleaning = self.cleaning.as_ref().map_or(Time::MAX, |task| task.next);
        let retention = self.retention.iter().map(|task| task.next);
        retention.chain(self.flushes.iter().map(|task| task.next)).fold(cleaning, Time::min)
    }
}

impl<P: Clone + Default> LogSide<P> {
    /// Does what is due.
    pub(super) fn keep_up<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        for task in 0..self.upkeep.retention.len() {
            if self.upkeep.retention[task].next <= context.now {
                self.retain(task, context);
            }
        }
        for task in self.upkeep.flushes.iter_mut().filter(|task| task.next <= context.now) {
            task.next = context.now.saturating_add(task.every);
            for hosted in task.partitions.iter().map(|place| &self.partitions[*place as usize]) {
                let (log, node, store) = (hosted.log.log(), context.node, hosted.store);
                if !log.is_flushed() {
                    context.out.push(Effect::Flush { node, store, until: log.end() });
                }
            }
        }
        if let Some(mut task) = self.upkeep.cleaning.take() {
            if task.next <= context.now {
                self.clean(&mut task, context);
                task.next = context.now.saturating_add(task.backoff);
            }
            self.upkeep.cleaning = Some(task);
        }
    }

    fn retain<O: Observer>(&mut self, task: usize, context: &mut Context<'_, P, O>) {
        let RetentionTask { every, next, partitions } = &mut self.upkeep.retention[task];
        *next = context.now.saturating_add(*every);
        let mut trims = false;
        for place in partitions {
            let hosted = &mut self.partitions[*place as usize];
            let done = hosted.log.retain(context.now);
            // Events speak of a partition, not of its copies.
            if !hosted.is_led() {
                continue;
            }
            let store = hosted.store;
            trims |= !done.trimmed.is_empty();
            if let Some(offset) = done.rolled {
                context.observe(Event::SegmentRolled { store, offset });
            }
            for (until, cause) in done.trimmed {
                context.observe(Event::Trimmed { store, until, cause });
            }
        }
        if trims {
            self.look_everywhere();
        }
    }

    /// Compacts partitions as long as any is dirty enough, always the one of which the largest part is dirty. Nothing
    /// is written meanwhile, so that only the dirt of a log that was just cleaned has to be measured anew.
    fn clean<O: Observer>(&mut self, task: &mut CleaningTask, context: &mut Context<'_, P, O>) {
        let CleaningTask { partitions, cleaner, .. } = task;
        let measured =
            partitions.iter().enumerate().filter_map(|(index, place)| self.dirty(index, *place, context.now));
        let mut dirty: BinaryHeap<Dirty> = measured.collect();
        while let Some(Dirty { index, .. }) = dirty.pop() {
            let place = partitions[index];
            if !self.clean_log(place, cleaner, context) {
                return;
            }
            dirty.extend(self.dirty(index, place, context.now));
        }
    }

    /// How dirty a partition is, if it is dirty enough to be compacted.
    fn dirty(&self, index: usize, place: u32, now: Time) -> Option<Dirty> {
        let (log, compaction) = self.compacted(place);
        let dirt = log.dirt(&compaction, now);
        dirt.is_eligible(compaction.min_cleanable_dirty_ratio).then(|| Dirty { ratio: dirt.ratio(), index })
    }

    fn compacted(&self, place: u32) -> (&PartitionLog<P>, CompactionConfig) {
        let log = &self.partitions[place as usize].log;
        (log, log.rules().compaction.expect("only compacted partitions are in the list"))
    }

    /// Compacts a partition. False where there was nothing to do.
    fn clean_log<O: Observer>(&mut self, place: u32, cleaner: &mut Cleaner, context: &mut Context<'_, P, O>) -> bool {
        let (_, compaction) = self.compacted(place);
        let hosted = &mut self.partitions[place as usize];
        let (store, is_led, flushed) = (hosted.store, hosted.is_led(), hosted.log.log().flushed());
        let pass = hosted.log.clean(cleaner, &compaction, context.now, |offset, record| {
            if is_led {
                let (message, size, cause) = (record.message, Bytes::new(record.size), Removal::Compacted);
                context.observe(Event::Removed { message, store, offset, size, cause });
            }
        });
        // The cleaner makes durable what it has written before it drops the old segments.
        let (node, offset) = (context.node, hosted.log.log().flushed());
        if offset > flushed && is_led {
            context.observe(Event::Flushed { node, store, offset });
        }
        pass.is_some()
    }
}
