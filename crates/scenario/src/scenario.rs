//! A scenario as typed values: what a valid file says, with every default filled in.

use std::sync::Arc;

use brokerlab_broker::config::{
    BatcherConfig, BrokerSessions, CompactionConfig, FetchLimits, FlushPolicy, GroupMemberConfig, GroupProtocol,
    LogProfile, OffsetReset, Profile, SeekTo, ShareConsumerConfig, StreamConsumerConfig, StreamPublisherConfig,
};
use brokerlab_broker::properties::Properties;
use brokerlab_broker::replication::ReplicaRules;
use brokerlab_broker::share_partition::ShareRules;
use brokerlab_broker::stream::StreamRules;
use brokerlab_event::{ApplicationId, ClientId, Distribution, Duration, KindLaw, Millionths, Model, Stream, Time};

use crate::expect::{Expectation, Flip};
use crate::fault::FaultPlan;
use crate::topology::Topology;
use crate::trace::Trace;

/// A scenario: one demand, the contenders that serve it, the faults that hit them, and what is expected.
#[derive(Clone, PartialEq, Debug)]
pub struct Scenario {
    /// Its title.
    pub title: String,
    /// The question that it answers.
    pub question: Option<String>,
    /// The answer in at most 150 words.
    pub explanation: Option<String>,
    /// How long a run lasts.
    pub duration: Duration,
    /// The seed.
    pub seed: u64,
    /// How much of the beginning is left out of latencies and throughput.
    pub warm_up: Duration,
    /// The name of the plot that decides the question: one of [`PLOTS`].
    pub plot: Option<String>,
    /// The network.
    pub network: Network,
    /// The brokers.
    pub cluster: ClusterSpec,
    /// Who sends what, when, and who needs it.
    pub demand: DemandSpec,
    /// The brokers that are compared, in the order of the file.
    pub contenders: Vec<Contender>,
    /// The faults, in the order of the file.
    pub faults: Vec<FaultPlan>,
    /// What must come true.
    pub expectations: Vec<Expectation>,
    /// The one change that flips the outcome.
    pub flip: Option<Flip>,
    /// The text that the scenario was read from, with every setting applied.
    pub(crate) text: String,
}

/// The plots that a scenario may name as the one that decides its question.
pub const PLOTS: &[&str] =
    &["throughput", "backlog", "backlog-age", "storage", "latency", "ordering", "delivery", "rebalances"];

/// The network between clients and nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    /// How long a message takes, each way.
    pub latency: Duration,
}

/// The broker nodes that each contender has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClusterSpec {
    /// How many there are; at least 1.
    pub nodes: u16,
    /// How they and their controller find out about each other.
    pub sessions: BrokerSessions,
}

/// Who sends what, when, and who needs it.
#[derive(Clone, PartialEq, Debug)]
pub struct DemandSpec {
    /// How many producers there are.
    pub producers: u32,
    /// When messages are to be sent.
    pub arrivals: Arrivals,
    /// How messages get their keys; nothing where they have none. A trace brings its own.
    pub keys: Option<Keys>,
    /// The law of the sizes in bytes; used where a trace brings none.
    pub size: Distribution,
    /// When producers stop.
    pub until: Time,
    /// The kinds of messages; where there are none, all messages are of one kind without a name.
    pub kinds: Vec<MessageKind>,
    /// Who needs the messages.
    pub applications: Vec<Application>,
}

impl DemandSpec {
    /// Of which kind each message is.
    pub fn kind_law(&self, seed: u64) -> KindLaw {
        match self.kinds.as_slice() {
            [] => KindLaw::default(),
            kinds => KindLaw::new(kinds.iter().map(|kind| kind.share), Stream::new(seed, "kinds")),
        }
    }
}

/// A kind of messages.
#[derive(Clone, PartialEq, Debug)]
pub struct MessageKind {
    /// Its name, which is its routing key as well.
    pub name: String,
    /// Its share in millionths; only proportions count.
    pub share: u64,
    /// The law of the sizes of its messages, where it has one of its own.
    pub size: Option<Distribution>,
    /// The properties of its messages.
    pub properties: Properties,
    /// Its messages say that their keys are no more.
    pub tombstone: bool,
}

/// When messages are to be sent.
#[derive(Clone, PartialEq, Debug)]
pub enum Arrivals {
    /// By a law, at rates that may change.
    Law {
        /// The law of the gaps.
        law: ArrivalLaw,
        /// Rates, in messages a second by all producers together, and how long each holds. After the last the
        /// first follows again.
        schedule: Vec<(f64, Duration)>,
        /// Bursts: the schedule applies for the first duration, nothing is sent for the second, and so on.
        bursts: Option<(Duration, Duration)>,
    },
    /// When a recording says.
    Trace(Arc<Trace>),
}

/// The law of the gaps between messages.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ArrivalLaw {
    /// Independent of each other: exponential gaps.
    Poisson,
    /// Equal gaps.
    Constant,
}

/// How messages get their keys.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Keys {
    /// How many there are.
    pub count: u32,
    /// The exponent of Zipf's law; nothing where all keys are equally likely.
    pub zipf: Option<f64>,
}

/// Somebody who needs the messages.
#[derive(Clone, PartialEq, Debug)]
pub struct Application {
    /// Its name.
    pub name: String,
    /// How many consumers it has.
    pub consumers: u32,
    /// The law of the work on a message, in seconds.
    pub work: Distribution,
    /// When its consumers connect: a time for all, or one for each.
    pub joins: Vec<Time>,
    /// What starts and stops its consumers, if anything does.
    pub autoscale: Option<Autoscale>,
    /// Whether it needs the messages of each kind. `None`: it needs all.
    pub wants: Option<Vec<bool>>,
    /// On which messages its work fails.
    pub failures: Failures,
    /// It answers the sender when the work on a message is done.
    pub answer: bool,
}

impl Application {
    /// When a consumer of it is to connect, by its number from 0. `None`: when the autoscaler says.
    pub fn start_of(&self, consumer: u32) -> Option<Time> {
        match &self.autoscale {
            Some(autoscale) if consumer >= autoscale.least => None,
            _ => Some(self.joins.get(consumer as usize).copied().unwrap_or(self.joins[0])),
        }
    }
}

/// Starts and stops consumers as the lag demands, as an autoscaler beside a broker does (KEDA's scalers for Kafka and
/// RabbitMQ: `lagThreshold`, `pollingInterval`, and the stabilisation window of Kubernetes' autoscaler).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Autoscale {
    /// How many waiting messages are worth a consumer.
    pub lag: u64,
    /// How many consumers always run.
    pub least: u32,
    /// How often the lag is looked at.
    pub every: Duration,
    /// Consumers are stopped only when for this long no look has asked for more of them.
    pub cooldown: Duration,
}

/// On which messages work fails.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Failures {
    /// How many in a million messages fail at every attempt.
    pub poison: u32,
    /// How many in a million attempts at other messages fail.
    pub transient: u32,
}

/// A broker with its options.
#[derive(Clone, PartialEq, Debug)]
pub struct Contender {
    /// Its name.
    pub name: String,
    /// Its shape and options.
    pub options: ModelOptions,
}

/// The shape of a contender, with the options of that shape.
#[derive(Clone, PartialEq, Debug)]
pub enum ModelOptions {
    /// A point-to-point queue with competing consumers.
    Queue(QueueOptions),
    /// A queue for each application, bound to one exchange.
    Fanout(QueueOptions),
    /// Hands each message to whoever is connected and stores nothing.
    Broadcast(PublishOptions),
    /// A partitioned log with a consumer group for each application.
    Log(Box<LogOptions>),
    /// A partitioned log whose records the consumers of an application share as they would a queue.
    ShareGroup(Box<ShareGroupOptions>),
    /// A log in a queue broker: every application reads it, and one consumer at a time each of its partitions.
    Stream(Box<StreamOptions>),
}

/// Options of queues.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct QueueOptions {
    /// Whose rules hold.
    pub profile: Profile,
    /// Publishers are blocked while queues hold more bytes than this.
    pub memory_watermark: Option<u64>,
    /// How messages are published.
    pub publish: PublishOptions,
    /// Exchanges, queues, bindings and consumers.
    pub topology: Topology,
}

/// Options of publishing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PublishOptions {
    /// The broker confirms messages.
    pub confirms: bool,
    /// How many messages of a producer may be unconfirmed before it holds back.
    pub max_unconfirmed: u32,
    /// Messages that no queue takes are returned.
    pub mandatory: bool,
}

/// Options of a log.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LogOptions {
    /// The topic.
    pub topic: TopicOptions,
    /// A member of a group that is silent for this long is removed.
    pub session_timeout: Duration,
    /// How long the first join of an empty group waits for others.
    pub initial_rebalance_delay: Duration,
    /// How groups give out partitions.
    pub protocol: GroupProtocol,
    /// What the members of groups do.
    pub member: GroupMemberConfig,
    /// How much a fetch waits for and returns.
    pub fetch: FetchLimits,
    /// What becomes of records on which work fails. `None`: they are passed over.
    pub retry: Option<RetryOptions>,
    /// How long a group without members keeps its committed offsets.
    pub offsets_retention: Duration,
    /// Who is sent to another place in the log, and when.
    pub seeks: Vec<SeekPlan>,
}

/// Options of a log that share groups read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShareGroupOptions {
    /// The topic.
    pub topic: TopicOptions,
    /// A member of a group that is silent for this long is removed.
    pub session_timeout: Duration,
    /// What the members of groups do.
    pub member: ShareConsumerConfig,
    /// What groups do with records.
    pub rules: ShareRules,
    /// Where a group begins to read.
    pub reset: OffsetReset,
    /// How much a fetch waits for and returns.
    pub fetch: FetchLimits,
}

/// Options of a stream or a super stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamOptions {
    /// How many partitions there are: 1 for a stream, more for a super stream.
    pub partitions: u32,
    /// What producers do. It names no partitions: those are the stream's.
    pub publisher: StreamPublisherConfig,
    /// What is kept.
    pub rules: StreamRules,
    /// What consumers do, for the same partitions.
    pub consumer: StreamConsumerConfig,
    /// Who is sent to another place in the stream, and when.
    pub seeks: Vec<SeekPlan>,
}

/// Options of a topic and of those who write it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TopicOptions {
    /// Whose rules hold.
    pub profile: LogProfile,
    /// How many partitions there are.
    pub partitions: u32,
    /// What producers do. It names no partitions: those are the topic's.
    pub producer: BatcherConfig,
    /// How producers put what they send into transactions, if they do.
    pub transactions: Option<TransactionOptions>,
    /// Largest size of a batch in bytes.
    pub max_message_bytes: u32,
    /// Largest size of a segment.
    pub segment_bytes: u64,
    /// Largest age of a segment.
    pub segment_time: Duration,
    /// Records older than this are dropped.
    pub retention_time: Option<Duration>,
    /// Size that a partition is cut back to.
    pub retention_bytes: Option<u64>,
    /// How often retention is looked at.
    pub retention_check_interval: Duration,
    /// When the broker flushes what it has written.
    pub flush: FlushPolicy,
    /// How it is compacted, if it is. Where that is all, there is no retention.
    pub compaction: Option<CompactionConfig>,
    /// When it gets more partitions, in order of time.
    pub additions: Vec<MorePartitions>,
    /// How often producers and members of groups ask which partitions there are, and who leads them.
    pub metadata_max_age: Duration,
    /// The copies of each partition. `None`: one, where everything is that is not dealt out.
    pub replication: Option<ReplicationOptions>,
}

/// The copies of each partition of a topic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ReplicationOptions {
    /// How many there are; at least 1, and no more than nodes.
    pub replicas: u16,
    /// When a copy is in sync, and how many have to be.
    pub rules: ReplicaRules,
    /// Where nobody in sync is left, somebody else leads.
    pub unclean_election: bool,
}

impl TopicOptions {
    /// How often clients ask which partitions there are, and who leads them, where the answer may be another than
    /// before.
    pub(crate) fn metadata(&self, cluster: &ClusterSpec) -> Option<Duration> {
        (!self.additions.is_empty() || self.is_spread(cluster)).then_some(self.metadata_max_age)
    }

    /// Whether its partitions are led by several nodes.
    pub(crate) fn is_spread(&self, cluster: &ClusterSpec) -> bool {
        self.replication.is_some() && cluster.nodes > 1
    }
}

/// A topic gets more partitions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MorePartitions {
    /// When.
    pub at: Time,
    /// How many it has from then on.
    pub to: u32,
}

/// How producers put what they send into transactions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct TransactionOptions {
    /// One ends after this many messages.
    pub messages: Option<u32>,
    /// One ends this long after its first message.
    pub every: Option<Duration>,
    /// How many in a million are aborted.
    pub aborts: u32,
    /// The broker aborts one that is open for longer.
    pub timeout: Duration,
    /// A process has the transactional id of the one whose place it takes.
    pub stable_id: bool,
    /// An application whose producer was shut out goes on with a new one.
    pub restarts: bool,
}

/// Retry topics and a dead-letter topic for each application.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RetryOptions {
    /// How many topics a record is tried in, the first included.
    pub attempts: u32,
    /// How long a record waits in the first retry topic.
    pub delay: Duration,
    /// How much longer it waits in each further one.
    pub multiplier: Millionths,
    /// What fails in the last of them is kept as a dead letter; otherwise it is passed over.
    pub dead_letter: bool,
}

/// The consumers of an application are sent to another place in the log.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SeekPlan {
    /// When.
    pub at: Time,
    /// The application.
    pub application: ApplicationId,
    /// Where to, in every partition.
    pub to: SeekTo,
}

impl ModelOptions {
    /// The topic of a log.
    pub fn topic(&self) -> Option<&TopicOptions> {
        match self {
            ModelOptions::Log(options) => Some(&options.topic),
            ModelOptions::ShareGroup(options) => Some(&options.topic),
            ModelOptions::Queue(_) | ModelOptions::Fanout(_) | ModelOptions::Broadcast(_) | ModelOptions::Stream(_) => {
                None
            }
        }
    }

    /// The shape.
    pub fn model(&self) -> Model {
        match self {
            ModelOptions::Queue(_) => Model::Queue,
            ModelOptions::Fanout(_) => Model::Fanout,
            ModelOptions::Broadcast(_) => Model::Broadcast,
            ModelOptions::Log(_) => Model::Log,
            ModelOptions::ShareGroup(_) => Model::ShareGroup,
            ModelOptions::Stream(_) => Model::Stream,
        }
    }

    /// How many partitions there are at the start; nothing where there are queues.
    pub(crate) fn partitions(&self) -> Option<u32> {
        match self {
            ModelOptions::Log(options) => Some(options.topic.partitions),
            ModelOptions::ShareGroup(options) => Some(options.topic.partitions),
            ModelOptions::Stream(options) => Some(options.partitions),
            ModelOptions::Queue(_) | ModelOptions::Fanout(_) | ModelOptions::Broadcast(_) => None,
        }
    }
}

impl Scenario {
    /// The contender of this name.
    pub fn contender(&self, name: &str) -> Option<&Contender> {
        self.contenders.iter().find(|contender| contender.name == name)
    }

    /// How many messages there will be, on the average over all seeds.
    pub fn expected_messages(&self) -> f64 {
        crate::demand::expected_messages(&self.demand)
    }

    /// The first client of an application. Producers come first, then the consumers of each application in turn:
    /// the same ids in every contender.
    pub fn first_consumer(&self, application: ApplicationId) -> ClientId {
        let before: u32 = self.demand.applications[..application.index()].iter().map(|a| a.consumers).sum();
        ClientId::new(self.demand.producers + before)
    }

    /// The name of a client: `producer/1`, `billing/2`, and `producer/1-replacement` for who takes the place of another.
    pub fn client_name(&self, client: ClientId) -> String {
        let mut number = client.get();
        if number < self.demand.producers {
            return format!("producer/{}", number + 1);
        }
        number -= self.demand.producers;
        for application in &self.demand.applications {
            if number < application.consumers {
                return format!("{}/{}", application.name, number + 1);
            }
            number -= application.consumers;
        }
        match self.stand_ins().get(number as usize) {
            Some((replaced, _)) => format!("{}-replacement", self.client_name(*replaced)),
            None => unreachable!("client {client} is not one of the scenario's"),
        }
    }
}
