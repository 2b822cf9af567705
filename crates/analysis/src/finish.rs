//! Closes the books of a run.

use brokerlab_event::{ApplicationId, Guarantee, Time};

use crate::analysis::{Analysis, Tally};
use crate::ledger::Seen;
use crate::verdict::{Evidence, judge};
use crate::{ApplicationResults, FateCounts, Results, Stage, Summary, Verdict};

impl Analysis {
    /// The results of the run, which ended at this time.
    ///
    /// # Panics
    /// Panics where the fates of an application do not sum to what was offered.
    pub fn finish(mut self, end: Time) -> Results {
        self.mark_passed_over();
        while self.series.is_due(end) {
            self.close_bin(self.series.next);
        }
        if self.series.has_open_bin(end) {
            self.close_bin(end);
        }
        self.count_dirty_reads();
        let totals = self.totals();
        let seen = Seen { census: self.options.census, storage: totals.storage.messages.max > 0 };
        let common = Summary {
            offered: self.ledger.offered_count(),
            sent: self.sent,
            confirmed: self.confirmed,
            replied: self.replied,
            measured: end.saturating_since(self.warm_up),
            latency: [self.to_confirm.histogram(), Default::default(), Default::default()],
            blocked: self.blocking.until(end),
            ..Summary::default()
        };
        let (fates, kept) = self.ledger.finish(seen);
        let (series, columns) = self.series.finish(end);
        let mut total = Summary {
            backlog_max: totals.backlog.max,
            stored_messages_max: totals.storage.messages.max,
            stored_bytes_max: totals.storage.bytes.max,
            incidents: self.incidents,
            ..common.clone()
        };
        let mut applications = Vec::new();
        let mut verdicts: Vec<Verdict> = Vec::new();
        let mut unread = self.unread.take();
        for (index, ((tally, fates), bins)) in self.tallies.into_iter().zip(fates).zip(columns).enumerate() {
            let application = ApplicationId::new(index as u16);
            let mut summary = summarise(&tally, fates, &common, end);
            summary.unread = unread.as_mut().map(|unread| unread[index].until(end));
            let evidence = Evidence { summary: &summary, keyed: tally.order.keyed };
            let verdict = |guarantee| judge(guarantee, application, &self.promises, &evidence);
            verdicts.extend(Guarantee::ALL.map(verdict));
            add(&mut total, &summary);
            let kinds = self.kinds.as_mut().map(|kinds| kinds.take(index)).unwrap_or_default();
            applications.push(ApplicationResults { summary, out_of_order: tally.order.points, bins, kinds });
        }
        let messages = self.table.map(|table| table.finish(&kept.unwrap_or_default()));
        Results {
            end,
            events: self.events,
            total,
            applications,
            series,
            verdicts,
            faults: self.faults,
            channel_errors: self.channel_errors,
            messages,
        }
    }
}

fn summarise(tally: &Tally, fates: FateCounts, common: &Summary, end: Time) -> Summary {
    let mut summary = Summary {
        fates,
        deliveries: tally.deliveries,
        redeliveries: tally.redeliveries,
        duplicates: tally.duplicates,
        replayed: tally.replayed,
        processed_after_warm_up: tally.processed_after_warm_up,
        backlog_max: tally.backlog.level.max,
        stored_messages_max: tally.storage.messages.max,
        stored_bytes_max: tally.storage.bytes.max,
        key_order_violations: tally.order.violations,
        keys_out_of_order: tally.order.keys,
        longest_stall: tally.backlog.longest_stall(end),
        rebalances: tally.rebalances,
        rebalancing: tally.rebalancing,
        incidents: tally.incidents,
        ..common.clone()
    };
    if let Some(since) = tally.rebalancing_since {
        summary.rebalancing = summary.rebalancing + end.saturating_since(since);
    }
    summary.latency[Stage::Deliver as usize] = tally.to_deliver.histogram();
    summary.latency[Stage::Process as usize] = tally.to_process.histogram();
    summary
}

/// Adds an application to the total. What is counted once for all applications is there already.
fn add(total: &mut Summary, one: &Summary) {
    total.fates.add(&one.fates);
    total.deliveries += one.deliveries;
    total.redeliveries += one.redeliveries;
    total.duplicates += one.duplicates;
    total.replayed += one.replayed;
    total.processed_after_warm_up += one.processed_after_warm_up;
    for stage in [Stage::Deliver, Stage::Process] {
        total.latency[stage as usize].merge(&one.latency[stage as usize]);
    }
    total.key_order_violations += one.key_order_violations;
    total.keys_out_of_order += one.keys_out_of_order;
    total.longest_stall = total.longest_stall.max(one.longest_stall);
    total.rebalances += one.rebalances;
    total.rebalancing = total.rebalancing + one.rebalancing;
    total.unread = one.unread.map(|more| total.unread.unwrap_or_default() + more).or(total.unread);
}
