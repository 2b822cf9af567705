//! What a stream promises, and the reasons for which it may not keep it.

use brokerlab_broker::config::{SeekTo, StreamOffset};
use brokerlab_event::Guarantee;

use crate::fault::FaultAction;
use crate::promises::{Case, DISK_LOST, FIRST_COPY_GONE, POWER_LOST, REPLACED};
use crate::scenario::StreamOptions;

impl Case<'_> {
    pub(crate) fn stream(&self, guarantee: Guarantee, options: &StreamOptions) -> Vec<&'static str> {
        let consumer = &options.consumer;
        let several = self.spec.consumers > 1;
        let by_turns = several && consumer.single_active_consumer;
        // Partitions of a super stream go over whenever a consumer comes or goes.
        let goes_over = by_turns && options.partitions > 1;
        let dies = self.hit(|action| matches!(action, FaultAction::Crash | FaultAction::Reset));
        let restarts = dies || self.hit(|action| action == FaultAction::Leave);
        let fails = self.spec.failures.poison > 0 || self.spec.failures.transient > 0;
        let begins_late = consumer.from != StreamOffset::First;
        let forgets = options.rules.max_length_bytes.is_some()
            || options.rules.max_age.is_some_and(|age| age < self.scenario.duration);
        let seeks = options.seeks.iter().filter(|seek| seek.application == self.application);
        let (is_sent, jumps) = (seeks.clone().count() > 0, seeks.clone().any(|seek| seek.to != SeekTo::Earliest));
        let gives_up = fails && consumer.max_attempts > 0;
        let sends_again = self.scenario.resets_producers() && !options.publisher.deduplication;
        let goes = self.scenario.loses_power() || self.scenario.loses_disk();
        let begins_anew = consumer.tracking.is_none() && (restarts || goes_over);
        let reasons: &[(bool, &'static str)] = match guarantee {
            Guarantee::Delivery => &[
                (self.scenario.loses_power(), POWER_LOST),
                (self.scenario.loses_disk(), DISK_LOST),
                (begins_late, "a consumer without a stored offset passes over earlier messages"),
                (forgets, "retention removes messages whether or not they were read"),
                (gives_up, "a message on which work has failed too often is passed over"),
                (jumps, "the consumers are told to go on elsewhere in the stream"),
            ],
            Guarantee::NoDuplicates => &[
                (sends_again, "what is not confirmed when the connection breaks is published again and stored twice"),
                (self.repeats(), REPLACED),
                (several && !consumer.single_active_consumer, "each consumer reads the whole stream"),
                (dies && consumer.tracking.is_some(), "work after the last stored offset is done again"),
                (begins_anew, "a consumer without a stored offset begins anew"),
                (goes_over, "work in hand when a partition goes over to another consumer is done again"),
                (is_sent, "work in hand when the consumers are sent elsewhere is done again"),
            ],
            Guarantee::KeyOrder => &[
                (
                    several && !consumer.single_active_consumer,
                    "consumers that all read the whole stream overtake each other",
                ),
                (by_turns && forgets, "a former consumer may finish old work after the next one went on"),
                (
                    begins_late && (begins_anew || by_turns),
                    "a consumer without a stored offset may begin before or behind where another was",
                ),
                (
                    jumps || (is_sent && begins_late),
                    "consumers that are sent back read what they had passed over after what lies behind it",
                ),
                ((sends_again || self.repeats()) && (forgets || gives_up || goes), FIRST_COPY_GONE),
            ],
        };
        let mut reasons: Vec<_> = reasons.iter().filter(|(holds, _)| *holds).map(|(_, reason)| *reason).collect();
        if guarantee == Guarantee::NoDuplicates {
            reasons.extend(self.repeats_with_broker());
        }
        reasons
    }
}
