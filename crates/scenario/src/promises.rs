//! What a configuration promises. A guarantee that a configuration cannot give is not broken when it fails:
//! the reasons stand here, derived from the options and the faults.

use brokerlab_broker::config::{Acks, BatcherConfig, CommitPolicy, Deployment, OffsetReset, Partitioner, SeekTo};
use brokerlab_event::{ApplicationId, Distribution, Duration, Guarantee, Promise, StoreInfo};

use crate::fault::{FaultAction, Target};
use crate::promises_queue::Way;
use crate::routes::Routes;
use crate::scenario::{
    Application, Contender, LogOptions, ModelOptions, ReplicationOptions, RetryOptions, Scenario, TopicOptions,
};

/// One promise for each application and guarantee.
pub(crate) fn promises(
    scenario: &Scenario,
    contender: &Contender,
    deployment: &Deployment,
    stores: &[StoreInfo],
) -> Vec<Promise> {
    let routes = (!deployment.queues.is_empty()).then(|| Routes::of(deployment));
    let mut promises = Vec::new();
    for index in 0..scenario.demand.applications.len() {
        let application = ApplicationId::new(index as u16);
        let case = Case { scenario, application, spec: &scenario.demand.applications[index] };
        for guarantee in Guarantee::ALL {
            let allowed = match &contender.options {
                ModelOptions::Queue(_) | ModelOptions::Fanout(_) => {
                    let way = Way::of(&case, deployment, stores, routes.as_ref().expect("these models have queues"));
                    way.allowed(&case, guarantee)
                }
                ModelOptions::Broadcast(options) => case.broadcast(guarantee, options.confirms),
                ModelOptions::Log(options) => case.log(guarantee, options),
                ModelOptions::ShareGroup(options) => case.share_group(guarantee, options),
                ModelOptions::Stream(options) => case.stream(guarantee, options),
            };
            let allowed = allowed.into_iter().map(str::to_string).collect();
            promises.push(Promise { guarantee, application, allowed });
        }
    }
    promises
}

/// Why a message may be published twice whose confirm may have been lost.
pub(crate) const REPUBLISHED: &str = "what was not confirmed when its connection broke is published again";
/// Why a log breaks its promises that leaves it to the operating system when its records reach the disk.
pub(crate) const POWER_LOST: &str = "what is not flushed is lost with the power";
/// Why nothing is left of a queue or a log.
pub(crate) const DISK_LOST: &str = "a disk that is lost keeps nothing";

/// Why a log loses what it has confirmed where a leader confirms alone.
const LEADER_ALONE: &str = "a leader that dies takes with it what it has confirmed before its followers had it";
/// The same where the leader may be the only one in sync.
const LAST_IN_SYNC: &str = "with one copy in sync a leader confirms alone";
/// Why a log loses what readers have seen already.
const UNCLEAN: &str = "somebody may lead who was not in sync";

/// Why messages of a producer that was replaced may be there twice.
pub(crate) const REPLACED: &str =
    "a process that takes the place of another sends again what that had seen no answer to";

/// Why keys may get out of order where messages may be stored twice, and the first copy may not be processed.
pub(crate) const FIRST_COPY_GONE: &str =
    "of a message that is stored twice the first copy may be gone or given up, and the second lies behind later ones";

/// Why keys may get out of order where a topic gets more partitions.
pub(crate) const KEYS_MOVE: &str = "partitions are added, and keys move away from where their earlier records wait";

/// One application under the faults of the scenario.
pub(crate) struct Case<'a> {
    pub scenario: &'a Scenario,
    pub application: ApplicationId,
    pub spec: &'a Application,
}

impl Case<'_> {
    fn broadcast(&self, guarantee: Guarantee, confirms: bool) -> Vec<&'static str> {
        let reasons: &[(bool, &'static str)] = match guarantee {
            Guarantee::Delivery => &[(true, "a broadcast stores nothing: who is not connected misses it")],
            Guarantee::KeyOrder => &[(self.spec.consumers > 1, "competing consumers overtake each other")],
            Guarantee::NoDuplicates => {
                &[(confirms && self.scenario.resets_producers(), REPUBLISHED), (self.repeats(), REPLACED)]
            }
        };
        reasons.iter().filter(|(holds, _)| *holds).map(|(_, reason)| *reason).collect()
    }

    fn log(&self, guarantee: Guarantee, options: &LogOptions) -> Vec<&'static str> {
        let before_work = options.member.commit == CommitPolicy::BeforeBatch;
        let mut reasons = Vec::new();
        match guarantee {
            Guarantee::Delivery => {
                if before_work {
                    reasons.push("positions are committed before the work");
                }
                match options.member.reset {
                    OffsetReset::Earliest | OffsetReset::None => {}
                    OffsetReset::Latest => {
                        reasons.push("a group without a committed position starts after the latest record");
                    }
                    OffsetReset::ByDuration(_) => {
                        reasons.push("a group without a committed position passes over older records");
                    }
                }
                if self.seeks(options).any(|to| to != SeekTo::Earliest) {
                    reasons.push("the group is told to go on elsewhere in the log");
                }
                if self.forgets(&options.topic) {
                    reasons.push("retention removes records whether or not they were read");
                }
                if options.topic.compaction.is_some() {
                    reasons.push("compaction keeps the latest record of each key, whether or not the others were read");
                }
                reasons.extend(self.losses_with_broker(self.is_flushed(&options.topic)));
                reasons.extend(self.losses_with_leader(&options.topic));
                if self.fails() && options.member.max_attempts > 0 {
                    reasons.push(match options.retry {
                        Some(RetryOptions { dead_letter: true, .. }) => {
                            "a record on which work has failed too often becomes a dead letter"
                        }
                        _ => "a record on which work has failed too often is passed over",
                    });
                }
            }
            Guarantee::NoDuplicates => {
                if self.sends_again(&options.topic) {
                    reasons.push("a batch whose answer was lost is sent again and stored twice");
                }
                if self.repeats() {
                    reasons.push(REPLACED);
                }
                reasons.extend(self.repeats_with_broker());
                if self.elects_uncleanly(&options.topic) {
                    reasons.push(UNCLEAN);
                }
                if !before_work && self.moves(options) {
                    reasons.push("work after the last commit is done again by the next owner of the partition");
                }
                if options.retry.is_some() && self.fails() && self.hit(|action| action == FaultAction::Reset) {
                    reasons.push(
                        "a record that is set aside for a later try is set aside again where the answer was lost",
                    );
                }
                if options.retry.is_some() && self.fails() && self.seeks(options).next().is_some() {
                    reasons.push("a record that is read again fails again, and is set aside for a later try again");
                }
                if self.forgets(&options.topic) && self.copies(&options.topic).is_some_and(|copies| copies.replicas > 1)
                {
                    reasons.push("a reader whose position is gone is sent to the oldest record, and another leader has older ones");
                }
                if options.offsets_retention < self.scenario.duration {
                    reasons.push("a group that is away for too long is sent back to where its reset policy says");
                }
            }
            // Unless keys are ignored, each has one partition, and a partition one owner at a time. An owner that was
            // thought dead repeats only what the next owner does as well, unless its records counted as done or
            // are no longer there for the next owner.
            Guarantee::KeyOrder => {
                if !options.topic.additions.is_empty() {
                    reasons.push(KEYS_MOVE);
                }
                if self.lands_behind(&options.topic) {
                    reasons.push("a batch that is sent again lands behind later ones");
                }
                if self.scatters(&options.topic) {
                    reasons.push("records of one key go to several partitions");
                }
                if options.retry.is_some() {
                    reasons.push("a record that is tried again later is overtaken by those behind it");
                }
                let goes = self.scenario.loses_power() || self.scenario.loses_disk();
                let goes = goes || self.losses_with_leader(&options.topic).is_some();
                let removes = self.forgets(&options.topic) || options.topic.compaction.is_some() || goes;
                let gives_up = before_work || (self.fails() && options.member.max_attempts > 0);
                // What one process gives up while a broker is away the other may still send.
                let refuses = self.repeats() && self.scenario.crashes_broker();
                if refuses || ((self.sends_again(&options.topic) || self.repeats()) && (removes || gives_up)) {
                    reasons.push(FIRST_COPY_GONE);
                }
                // Where nothing is committed yet, the next owner may begin behind what the former one has in hand.
                let jumps = matches!(options.member.reset, OffsetReset::Latest | OffsetReset::ByDuration(_));
                if (before_work || removes || jumps) && self.moves(options) {
                    reasons.push("a former owner may finish old work after the next owner of the partition went on");
                }
                // Who begins at the oldest record and is only ever sent back there has read all before what he has read.
                let is_sent = self.seeks(options).next().is_some();
                if self.seeks(options).any(|to| to != SeekTo::Earliest) || (is_sent && jumps) {
                    reasons.push("a group that is sent back reads what it had passed over after what lies behind it");
                }
            }
        }
        reasons
    }

    /// Why what a log has confirmed may go with its broker.
    pub(crate) fn losses_with_broker(&self, is_flushed: bool) -> impl Iterator<Item = &'static str> {
        let power = (self.scenario.loses_power() && !is_flushed).then_some(POWER_LOST);
        power.into_iter().chain(self.scenario.loses_disk().then_some(DISK_LOST))
    }

    /// Why what a log has confirmed may go where another node becomes the leader.
    fn losses_with_leader(&self, options: &TopicOptions) -> Option<&'static str> {
        let ReplicationOptions { replicas, rules, .. } = self.copies(options)?;
        match () {
            () if replicas == 1 => None,
            () if options.producer.acks != Acks::All => Some(LEADER_ALONE),
            () if self.elects_uncleanly(options) => Some(UNCLEAN),
            () if rules.min_in_sync == 1 => Some(LAST_IN_SYNC),
            () => None,
        }
    }

    /// The copies of partitions, where leaders may change.
    fn copies(&self, options: &TopicOptions) -> Option<ReplicationOptions> {
        let changes = self.scenario.crashes_broker() && options.is_spread(&self.scenario.cluster);
        options.replication.filter(|_| changes)
    }

    /// Whether somebody may become the leader who does not have what readers have seen.
    fn elects_uncleanly(&self, options: &TopicOptions) -> bool {
        self.copies(options).is_some_and(|copies| copies.unclean_election && copies.replicas > 1)
    }

    /// Why a log that its broker has lost the end of may give messages out again: whoever has read what is lost reads
    /// it once more if its producer sends it again, and what groups have noted is lost as well.
    pub(crate) fn repeats_with_broker(&self) -> impl Iterator<Item = &'static str> {
        let loses = self.scenario.loses_power() || self.scenario.loses_disk();
        loses
            .then_some("what had not reached the disk, how far it was read included, is sent and read again")
            .into_iter()
    }

    /// Whether everything that a topic has confirmed is on the disk. The coordinator of transactions flushes nothing.
    pub(crate) fn is_flushed(&self, options: &TopicOptions) -> bool {
        let BatcherConfig { acks, ref transactions, .. } = options.producer;
        options.flush.messages == Some(1) && acks != Acks::None && transactions.is_none()
    }

    /// Whether work on records may fail.
    fn fails(&self) -> bool {
        self.spec.failures.poison > 0 || self.spec.failures.transient > 0
    }

    /// Where the application is sent.
    fn seeks<'o>(&self, options: &'o LogOptions) -> impl Iterator<Item = SeekTo> + use<'o> {
        let application = self.application;
        options.seeks.iter().filter(move |seek| seek.application == application).map(|seek| seek.to)
    }

    /// Whether batches may be sent again by producers that do not number them.
    pub(crate) fn sends_again(&self, options: &TopicOptions) -> bool {
        let BatcherConfig { acks, idempotence, retries, request_timeout, .. } = options.producer;
        let repeats = acks != Acks::None && retries > 0 && !idempotence;
        // An answer that takes longer than the producer waits for it is as good as lost.
        let round_trip = self.scenario.network.latency.as_nanos().saturating_mul(2);
        repeats && (self.scenario.resets_producers() || round_trip >= request_timeout.as_nanos())
    }

    /// Whether a batch that is sent again may land behind later ones, which were under way: because its connection
    /// broke, or because it was refused: too large, not led by the node that got it, or with too few in sync. Numbers do
    /// not help where it is the first of its producer: a partition that knows nothing of a producer takes whatever
    /// number comes first.
    pub(crate) fn lands_behind(&self, options: &TopicOptions) -> bool {
        let producer = &options.producer;
        let splits = producer.batch_bytes > options.max_message_bytes;
        let is_refused = producer.retries > 0 && self.copies(options).is_some();
        (self.sends_again(options) || splits || is_refused) && producer.max_in_flight > 1
    }

    /// Whether a process may send again what another has sent, or still will. A transactional id that both have makes
    /// that harmless for readers of committed data, unless the first died after it had asked for the commit.
    pub(crate) fn repeats(&self) -> bool {
        !self.scenario.stand_ins().is_empty()
    }

    /// Whether records of one key may go to several partitions.
    pub(crate) fn scatters(&self, options: &TopicOptions) -> bool {
        options.partitions > 1 && !matches!(options.producer.partitioner, Partitioner::ByKey(_))
    }

    /// Whether retention may remove records within the run.
    pub(crate) fn forgets(&self, options: &TopicOptions) -> bool {
        let aged = options.retention_time.is_some_and(|time| time < self.scenario.duration);
        aged || options.retention_bytes.is_some()
    }

    /// Whether partitions may move from one consumer to another.
    fn moves(&self, options: &LogOptions) -> bool {
        let records = options.member.max_poll_records;
        // Between two polls lie the work of a whole batch and the commits that it waits for.
        let commits = match options.member.commit {
            CommitPolicy::Automatic { .. } | CommitPolicy::AfterBatchAsync | CommitPolicy::AfterEachAsync => 0,
            CommitPolicy::AfterBatch | CommitPolicy::BeforeBatch => 1,
            CommitPolicy::AfterEach => records,
        };
        let waiting = 2.0 * self.scenario.network.latency.as_secs_f64() * f64::from(commits);
        let away = longest(&self.spec.work, records) + waiting;
        let joins_later = self.spec.joins.iter().any(|joins| *joins != self.spec.joins[0]);
        // A cooperative rebalance commits automatically before it begins, and the work goes on until partitions are
        // handed over, which may happen whenever consumers do not all join in one round.
        let hands_over = self.spec.consumers > 1
            && options.member.is_cooperative()
            && matches!(options.member.commit, CommitPolicy::Automatic { .. });
        let moves = joins_later || hands_over || self.hit(|_| true);
        // Partitions that are added are dealt out in another rebalance.
        let grows = !options.topic.additions.is_empty();
        Duration::from_secs_f64(away) >= options.member.max_poll_interval || moves || grows
    }

    /// Whether the application needs the messages of this kind.
    pub(crate) fn wants(&self, kind: usize) -> bool {
        self.spec.wants.as_ref().is_none_or(|wanted| wanted[kind])
    }

    /// Whether a fault of this kind may hit a consumer of the application. An autoscaler lets consumers leave, too, and
    /// a broker that goes down breaks their connections.
    pub(crate) fn hit(&self, kind: impl Fn(FaultAction) -> bool) -> bool {
        if self.spec.autoscale.is_some() && kind(FaultAction::Leave) {
            return true;
        }
        let first = self.scenario.first_consumer(self.application).get();
        let own = first..first + self.spec.consumers;
        if self.scenario.crashes_broker() && kind(FaultAction::Reset) {
            return true;
        }
        self.scenario.faults.iter().filter(|fault| kind(fault.action)).any(|fault| match fault.target {
            Target::Client(client) => own.contains(&client.get()),
            Target::Application(application) | Target::Role { application, .. } => application == self.application,
            Target::Producers | Target::Node(_) | Target::NodeRole { .. } => false,
        })
    }
}

/// How long the work on this many messages may take, in seconds: longer only by a chance that no run meets. One of
/// them may take as long as any of 10¹⁷ does, and the sum of the others stray nine standard deviations from its mean.
pub(crate) fn longest(work: &Distribution, messages: u32) -> f64 {
    let mean = work.mean();
    let (longest, deviation) = match *work {
        Distribution::Constant(work) => (work, 0.0),
        // An Erlang law with as many phases varies less than this, never more.
        Distribution::Exponential { .. } | Distribution::Erlang { .. } => (40.0 * mean, mean),
        Distribution::Lognormal { sigma, .. } => {
            let variance = libm::exp(sigma * sigma) - 1.0;
            (mean * libm::exp(8.5 * sigma - sigma * sigma / 2.0), mean * libm::sqrt(variance))
        }
        Distribution::Bimodal { low, high, chance } => {
            (low.max(high), (high - low).abs() * libm::sqrt(chance * (1.0 - chance)))
        }
        Distribution::Uniform { low, high } => (high, (high - low) / libm::sqrt(12.0)),
    };
    let others = f64::from(messages - 1);
    longest + others * mean + 9.0 * libm::sqrt(others) * deviation
}
