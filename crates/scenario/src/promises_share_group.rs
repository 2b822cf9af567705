//! What a share group promises, and the reasons for which it may not keep it.

use brokerlab_broker::config::{OffsetReset, OnShareFailure, ShareAcknowledge};
use brokerlab_broker::share_partition::AcquireMode;
use brokerlab_event::{Duration, Guarantee};

use crate::promises::{Case, DISK_LOST, KEYS_MOVE, POWER_LOST, REPLACED, longest};
use crate::scenario::ShareGroupOptions;

impl Case<'_> {
    pub(crate) fn share_group(&self, guarantee: Guarantee, options: &ShareGroupOptions) -> Vec<&'static str> {
        let fails = self.spec.failures.poison > 0 || self.spec.failures.transient > 0;
        let acknowledge = options.member.acknowledge;
        let releases = fails && acknowledge == ShareAcknowledge::Explicit(OnShareFailure::Release);
        let comes_back = self.locks_end(options) || self.hit(|_| true);
        let loses_end = self.scenario.loses_power() || self.scenario.loses_disk();
        let is_flushed = self.is_flushed(&options.topic);
        let reasons: &[(bool, &'static str)] = match guarantee {
            Guarantee::Delivery => &[
                (self.scenario.loses_power() && !is_flushed, POWER_LOST),
                (self.scenario.loses_disk(), DISK_LOST),
                (
                    fails && acknowledge == ShareAcknowledge::Implicit,
                    "implicit acknowledgement accepts records on which work has failed",
                ),
                (releases, "a record on which work has failed too often is given up"),
                (
                    fails && acknowledge == ShareAcknowledge::Explicit(OnShareFailure::Reject),
                    "a rejected record is given up",
                ),
                (comes_back, "a record that has come back from consumers too often is given up"),
                (options.reset != OffsetReset::Earliest, "a new share group passes over earlier records"),
                (self.forgets(&options.topic), "retention removes records whether or not they were read"),
            ],
            Guarantee::NoDuplicates => &[
                (comes_back, "work on a record whose lock has ended, or whose consumer has gone, is done again"),
                (self.sends_again(&options.topic), "a batch whose answer was lost is sent again and stored twice"),
                (self.repeats(), REPLACED),
            ],
            Guarantee::KeyOrder => &[
                (self.spec.consumers > 1, "competing consumers overtake each other"),
                (self.lands_behind(&options.topic), "a batch that is sent again lands behind later ones"),
                (!options.topic.additions.is_empty(), KEYS_MOVE),
                (self.scatters(&options.topic), "records of one key go to several partitions"),
                (releases || comes_back || loses_end, "records that come back are delivered after later ones"),
            ],
        };
        let mut reasons: Vec<_> = reasons.iter().filter(|(holds, _)| *holds).map(|(_, reason)| *reason).collect();
        if guarantee == Guarantee::NoDuplicates {
            reasons.extend(self.repeats_with_broker());
        }
        reasons
    }

    /// Whether the work on what a poll returns may take longer than the locks last.
    fn locks_end(&self, options: &ShareGroupOptions) -> bool {
        let latency = self.scenario.network.latency;
        // A lock runs from the moment the broker gives the record out: the answer takes one latency, the renewal another.
        if options.member.renew_every.is_some_and(|every| every + latency + latency < options.rules.lock_duration) {
            return false;
        }
        // The last batch is taken whole, and may be of records of a byte each.
        let rounding = match options.rules.acquire_mode {
            AcquireMode::BatchOptimized => options.topic.producer.batch_bytes,
            AcquireMode::RecordLimit => 0,
        };
        let records = options.member.max_poll_records.saturating_add(rounding);
        let away = longest(&self.spec.work, records) + 2.0 * latency.as_secs_f64();
        Duration::from_secs_f64(away) >= options.rules.lock_duration
    }
}
