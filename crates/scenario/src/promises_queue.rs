//! What a configuration of exchanges and queues cannot promise an application, and why.

use brokerlab_broker::config::{
    ConsumerKind, Deployment, Lifetime, OnFailure, Overflow, ProducerConfig, ProducerKind, QueueConfig,
    QueueConsumerConfig, QueueKind,
};
use brokerlab_broker::quorum::{UNLIMITED_PREFETCH, Version};
use brokerlab_event::{Duration, Guarantee, StoreInfo};

use crate::fault::FaultAction;
use crate::promises::{Case, DISK_LOST, FIRST_COPY_GONE, REPLACED, REPUBLISHED, longest};
use crate::routes::Routes;

/// The part of a deployment that an application's messages go through.
pub(crate) struct Way<'a> {
    deployment: &'a Deployment,
    /// What its consumers are told.
    consumers: Vec<&'a QueueConsumerConfig>,
    /// The queues that they consume.
    read: Vec<&'a QueueConfig>,
    /// Other queues that messages for it may wait in.
    waiting: Vec<&'a QueueConfig>,
    /// Others consume the same queues.
    shared: bool,
    /// Some kind that it wants is routed to none of its queues.
    unrouted: bool,
    /// Some kind that it wants is routed to several of its queues.
    doubled: bool,
    /// Dead letters of queues that others consume come to its own.
    inherits: bool,
    /// What its queues give up comes back to them.
    comes_back: bool,
}

impl<'a> Way<'a> {
    pub(crate) fn of(case: &Case<'_>, deployment: &'a Deployment, stores: &[StoreInfo], routes: &Routes) -> Way<'a> {
        let told = |consumer: &'a brokerlab_broker::config::ConsumerConfig| match &consumer.kind {
            ConsumerKind::Queue(told) => Some((consumer.application, told)),
            ConsumerKind::Broadcast { .. }
            | ConsumerKind::Group(_)
            | ConsumerKind::Share(_)
            | ConsumerKind::Stream(_) => None,
        };
        let everybody: Vec<_> = deployment.consumers.iter().filter_map(told).collect();
        let own = |application| application == case.application;
        let consumers: Vec<_> = everybody.iter().filter(|(a, _)| own(*a)).map(|(_, told)| *told).collect();
        let reads = |queue: usize| consumers.iter().any(|told| told.queue.index() == queue);
        let serves = |queue: usize| stores[queue].applications.contains(&case.application);
        let of_others = |queue: usize| everybody.iter().any(|(a, told)| !own(*a) && told.queue.index() == queue);
        let arrivals = routes.first.iter().enumerate().filter(|(kind, _)| case.wants(*kind));
        let counts: Vec<usize> = arrivals.map(|(_, to)| to.iter().filter(|queue| serves(**queue)).count()).collect();
        let queues = || deployment.queues.iter().enumerate();
        Way {
            deployment,
            read: queues().filter(|(index, _)| reads(*index)).map(|(_, queue)| queue).collect(),
            waiting: queues().filter(|(index, _)| serves(*index) && !reads(*index)).map(|(_, queue)| queue).collect(),
            shared: (0..deployment.queues.len()).any(|queue| reads(queue) && of_others(queue)),
            unrouted: counts.contains(&0),
            doubled: counts.iter().any(|count| *count > 1),
            inherits: routes.steps.iter().any(|(from, to)| of_others(*from) && !reads(*from) && serves(*to)),
            comes_back: routes.steps.iter().any(|(from, to)| reads(*from) && serves(*to)),
            consumers,
        }
    }

    /// The reasons for which a guarantee may be broken.
    pub(crate) fn allowed(&self, case: &Case<'_>, guarantee: Guarantee) -> Vec<&'static str> {
        let reasons = match guarantee {
            Guarantee::Delivery => self.losses(case),
            Guarantee::NoDuplicates => self.repeats(case),
            Guarantee::KeyOrder => self.disorder(case),
        };
        reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason).collect()
    }

    /// Why a confirmed message may never be processed, nor be still to be had.
    fn losses(&self, case: &Case<'_>) -> Vec<(bool, &'static str)> {
        let kinds_of = || case.scenario.demand.kinds.iter().enumerate();
        let ttl = kinds_of().any(|(kind, own)| case.wants(kind) && own.properties.expiration.is_some());
        let expire = |queue: &QueueConfig| ttl || queue.message_ttl.is_some();
        let limited = |queue: &QueueConfig| queue.max_length.is_some() || queue.max_bytes.is_some();
        let drops = |queue: &QueueConfig| limited(queue) && queue.overflow == Overflow::DropHead;
        let transient = kinds_of().any(|(kind, own)| case.wants(kind) && own.properties.transient);
        let in_memory = |queue: &QueueConfig| !queue.is_durable() || (transient && queue.kind == QueueKind::Classic);
        let passing = |queue: &QueueConfig| queue.expires.is_some() || queue.lifetime != Lifetime::Permanent;
        let rejects = self.consumers.iter().any(|told| told.on_failure == OnFailure::Reject && !told.auto_ack);
        vec![
            (self.shared, "a shared queue gives each message to one application only"),
            (
                self.consumers.iter().any(|told| told.auto_ack),
                "a message counts as settled when it is sent to a consumer",
            ),
            (self.unrouted, "not every kind of messages is routed to a queue of the application"),
            // In a queue that nobody consumes messages wait until they expire: that is its purpose.
            (self.read.iter().any(|queue| expire(queue)), "messages expire"),
            (self.queues().any(drops), "a queue at its limit of length drops what it should deliver next"),
            (self.queues().any(passing), "a queue may go with the messages in it"),
            (
                case.scenario.crashes_broker() && self.queues().any(in_memory),
                "what a queue keeps in memory only goes with its node",
            ),
            (case.scenario.loses_disk(), DISK_LOST),
            (rejects && fails(case) && !self.comes_back, "messages on which the work fails are rejected"),
            (self.gives_up(case), "a message that comes back too often is given up at the delivery limit"),
        ]
    }

    /// Why a message may be processed more than once.
    fn repeats(&self, case: &Case<'_>) -> Vec<(bool, &'static str)> {
        let manual = self.consumers.iter().any(|told| !told.auto_ack);
        let gone = case.hit(|action| matches!(action, FaultAction::Crash | FaultAction::Leave | FaultAction::Reset));
        vec![
            (manual && gone, "work that was not acknowledged is done again"),
            (manual && self.times_out(case), "a delivery that is unsettled for too long is taken back"),
            (case.scenario.resets_producers() && self.republishes(), REPUBLISHED),
            (self.publishes_for_another(case), REPLACED),
            (self.doubled, "several queues of the application get the same message"),
            (self.inherits, "dead letters of others come to its queues as well"),
        ]
    }

    /// Why messages of one key may be processed out of order.
    fn disorder(&self, case: &Case<'_>) -> Vec<(bool, &'static str)> {
        let alone = |queue: &&QueueConfig| queue.single_active_consumer;
        let competing = self.shared || case.spec.consumers > 1 && !self.read.iter().all(alone);
        let kinds = &case.scenario.demand.kinds;
        let priorities = kinds.iter().any(|kind| kind.properties.priority != kinds[0].properties.priority);
        let levels = |queue: &QueueConfig| match queue.kind {
            QueueKind::Classic => queue.max_priority.is_some(),
            QueueKind::Quorum(_) => self.deployment.profile.quorum != Version::V3_13,
        };
        // One message at a time comes back to its place before the next is handed out.
        let in_place = self.consumers.iter().all(|told| told.prefetch == 1 && told.on_failure != OnFailure::Reject)
            && self.read.iter().all(|queue| queue.kind == QueueKind::Classic);
        let retries = |queue: &QueueConfig| match queue.kind {
            QueueKind::Quorum(options) => options.delayed_retry.is_some(),
            QueueKind::Classic => false,
        };
        let keeps = self.consumers.iter().any(|told| told.auto_ack) && case.hit(|action| action == FaultAction::Reset);
        vec![
            (competing, "competing consumers overtake each other"),
            (
                case.spec.consumers > 1 && keeps,
                "a consumer without a connection still works on what was settled when it was sent, while another goes on",
            ),
            (kinds.len() > 1 && self.read.len() > 1, "messages of one key go through several queues"),
            (priorities && self.queues().any(levels), "messages of higher priority overtake others"),
            (fails(case) && !in_place, "a message on which the work fails is done again after later ones"),
            (self.comes_back || !self.waiting.is_empty(), "a dead letter that comes back is behind later messages"),
            (
                case.spec.consumers > 1 && case.scenario.loses_power(),
                "a consumer that does not know yet that its node is gone works on what another has been given",
            ),
            (self.queues().any(retries), "messages that come back wait while others go on"),
            (
                case.spec.consumers > 1 && self.times_out(case),
                "what is taken back from a slow consumer goes to another while it still works on it",
            ),
            (self.repeats_copies(case) && self.losses(case).iter().any(|(holds, _)| *holds), FIRST_COPY_GONE),
        ]
    }

    /// Whether the queues may get a message twice.
    fn repeats_copies(&self, case: &Case<'_>) -> bool {
        self.republishes() && case.scenario.resets_producers() || self.publishes_for_another(case)
    }

    /// Whether what the process that takes another's place publishes may be published by that one as well: what it was
    /// not confirmed, or had waiting for a connection.
    fn publishes_for_another(&self, case: &Case<'_>) -> bool {
        !case.scenario.stand_ins().is_empty() && (self.republishes() || case.scenario.resets_producers())
    }

    fn republishes(&self) -> bool {
        let republishes = |producer: &ProducerConfig| match producer.kind {
            ProducerKind::Publisher { republish, .. } => republish,
            ProducerKind::Batcher(_) | ProducerKind::Stream(_) => false,
        };
        self.deployment.producers.iter().any(republishes)
    }

    fn queues(&self) -> impl Iterator<Item = &QueueConfig> {
        self.read.iter().chain(&self.waiting).copied()
    }

    /// Whether a delivery limit may be reached: by failures that count, or by consumers that go.
    fn gives_up(&self, case: &Case<'_>) -> bool {
        let limited = |queue: &&QueueConfig| match queue.kind {
            QueueKind::Quorum(options) => options.delivery_limit.is_some(),
            QueueKind::Classic => false,
        };
        let counts = self.deployment.profile.quorum != Version::V4_3
            || self.consumers.iter().any(|told| told.on_failure == OnFailure::Return);
        let gone = case.hit(|action| matches!(action, FaultAction::Crash | FaultAction::Leave | FaultAction::Reset));
        self.read.iter().any(limited) && (fails(case) && counts || gone)
    }

    /// Whether a delivery may stay unsettled longer than its queue lets it.
    fn times_out(&self, case: &Case<'_>) -> bool {
        let timeouts = self.read.iter().filter_map(|queue| match queue.kind {
            QueueKind::Quorum(options) => options.consumer_timeout,
            QueueKind::Classic => None,
        });
        let Some(shortest) = timeouts.min() else { return false };
        let windows = self.consumers.iter().map(|told| match told.prefetch {
            0 => UNLIMITED_PREFETCH,
            prefetch => prefetch.min(UNLIMITED_PREFETCH),
        });
        let away = windows.map(|window| longest(&case.spec.work, window)).fold(0.0, f64::max);
        let slowed = case.hit(|action| matches!(action, FaultAction::Pause | FaultAction::Slow(_)));
        slowed || Duration::from_secs_f64(away) >= shortest
    }
}

/// Whether work on some message may fail.
fn fails(case: &Case<'_>) -> bool {
    case.spec.failures.poison > 0 || case.spec.failures.transient > 0
}
