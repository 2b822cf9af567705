//! Compiles a scenario and one of its contenders into plain data that drivers run.

use std::sync::Arc;

use brokerlab_broker::config::*;
use brokerlab_broker::properties::Properties;
use brokerlab_broker::transaction::TransactionalId;
use brokerlab_event::{
    ApplicationId, ApplicationInfo, ClientId, ClientInfo, ClientRole, FailureLaw, FaultInfo, Kinds, Model, NodeId,
    RunHeader, StoreId, StoreInfo, StoreKind, Stream, Time, WorkLaw,
};

use crate::demand::{Demand, key_table};
use crate::fault::FaultPlan;
use crate::promises::promises;
use crate::routes::Routes;
use crate::scenario::{
    Autoscale, ClusterSpec, Contender, Failures, LogOptions, MessageKind, ModelOptions, MorePartitions, Network,
    PublishOptions, QueueOptions, ReplicationOptions, RetryOptions, Scenario, SeekPlan, ShareGroupOptions,
    StreamOptions, TopicOptions,
};
use crate::topology::{BoundTo, ConsumerSpec, QueueLifetime, QueueSpec, Topology};

/// Everything that a driver needs to run one contender of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is known before the run.
    pub header: RunHeader,
    /// Nodes with what they host, and clients.
    pub deployment: Deployment,
    /// The messages; each contender of a scenario gets the same.
    pub demand: Demand,
    /// The faults that this contender meets, in the order of the scenario; a [`FaultId`](brokerlab_event::FaultId) is an index into them.
    pub faults: Vec<FaultPlan>,
    /// The network.
    pub network: Network,
    /// The clients that connect later than at the start, in the order of their ids.
    /// [`Time::MAX`] is for those that an autoscaler or a fault starts.
    pub starts: Vec<(ClientId, Time)>,
    /// Producers that faults replace, each with the process that takes its place.
    pub stand_ins: Vec<(ClientId, ClientId)>,
    /// What starts and stops the consumers of applications.
    pub autoscalers: Vec<(ApplicationId, Autoscale)>,
    /// Which applications are sent to another place in the log, in the order of the file.
    pub seeks: Vec<SeekPlan>,
    /// The partitions that are added to the topic, in order of time.
    pub additions: Vec<Addition>,
}

/// Partitions that are added to a topic.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Addition {
    /// When.
    pub at: Time,
    /// A partition that is there from the start.
    pub beside: StoreId,
    /// The partitions.
    pub stores: Vec<StoreId>,
}

/// The node that hosts everything that has one copy, and coordinates.
const NODE: fn() -> NodeId = || NodeId::new(0);

/// Compiles a scenario for one of its contenders.
///
/// # Panics
/// Panics where the contender is not one of the scenario's.
pub fn compile(scenario: &Scenario, contender: usize) -> Plan {
    let scenario = &*scenario.met_by(contender);
    let contender = &scenario.contenders[contender];
    let builder = Builder::new(scenario, contender);
    let (deployment, stores) = builder.build();
    let demand = Demand::new(&scenario.demand, scenario.seed);
    let promises = promises(scenario, contender, &deployment, &stores);
    let header = RunHeader {
        title: scenario.title.clone(),
        contender: contender.name.clone(),
        model: contender.options.model(),
        seed: scenario.seed,
        demand_digest: demand.digest(),
        horizon: Time::ZERO + scenario.duration,
        warm_up: Time::ZERO + scenario.warm_up,
        kinds: Kinds {
            names: scenario.demand.kinds.iter().map(|kind| kind.name.clone()).collect(),
            law: scenario.demand.kind_law(scenario.seed),
        },
        applications: scenario
            .demand
            .applications
            .iter()
            .map(|application| ApplicationInfo { name: application.name.clone(), wants: application.wants.clone() })
            .collect(),
        clients: clients(scenario),
        stores,
        faults: scenario
            .faults
            .iter()
            .map(|fault| FaultInfo { name: scenario.fault_name(fault), start: fault.at, end: fault.until })
            .collect(),
        keys: key_table(&scenario.demand),
        promises,
    };
    let starts = scenario.demand.applications.iter().enumerate().flat_map(|(index, application)| {
        let first = scenario.first_consumer(ApplicationId::new(index as u16));
        (0..application.consumers)
            .map(move |number| (ClientId::new(first.get() + number), application.start_of(number).unwrap_or(Time::MAX)))
    });
    let stand_ins = scenario.stand_ins();
    // Who takes the place of another starts when a fault says so.
    let waiting = stand_ins.iter().map(|(_, stand_in)| (*stand_in, Time::MAX));
    let starts = starts.filter(|(_, joins)| *joins > Time::ZERO).chain(waiting).collect();
    let autoscalers = scenario
        .demand
        .applications
        .iter()
        .enumerate()
        .filter_map(|(index, application)| Some((ApplicationId::new(index as u16), application.autoscale?)));
    let autoscalers = autoscalers.collect();
    let seeks = match &contender.options {
        ModelOptions::Log(options) => options.seeks.clone(),
        ModelOptions::Stream(options) => options.seeks.clone(),
        _ => Vec::new(),
    };
    let (faults, network) = (scenario.faults.clone(), scenario.network);
    let additions = contender.options.topic().map_or(Vec::new(), |topic| additions(&header.stores, topic));
    Plan { header, deployment, demand, faults, network, starts, stand_ins, autoscalers, seeks, additions }
}

/// The stores that come later are in the order in which they come.
fn additions(stores: &[StoreInfo], topic: &TopicOptions) -> Vec<Addition> {
    let mut later = (0..).zip(stores).filter(|(_, store)| store.comes_later).map(|(number, _)| StoreId::new(number));
    let mut before = topic.partitions;
    let mut addition = |more: &MorePartitions| {
        let count = more.to - core::mem::replace(&mut before, more.to);
        Addition { at: more.at, beside: StoreId::new(0), stores: later.by_ref().take(count as usize).collect() }
    };
    topic.additions.iter().map(&mut addition).collect()
}

fn clients(scenario: &Scenario) -> Vec<ClientInfo> {
    let producers = (0..scenario.demand.producers).map(|_| ClientRole::Producer);
    let consumers = scenario.demand.applications.iter().enumerate().flat_map(|(index, application)| {
        (0..application.consumers).map(move |_| ClientRole::Consumer(ApplicationId::new(index as u16)))
    });
    let stand_ins = scenario.stand_ins().into_iter().map(|_| ClientRole::Producer);
    producers
        .chain(consumers)
        .chain(stand_ins)
        .enumerate()
        .map(|(id, role)| ClientInfo { name: scenario.client_name(ClientId::new(id as u32)), role })
        .collect()
}

/// Builds the deployment of a contender.
struct Builder<'a> {
    scenario: &'a Scenario,
    contender: &'a Contender,
    deployment: Deployment,
    stores: Vec<StoreInfo>,
    /// With how many nodes clients of queues may connect.
    doors: u16,
}

impl<'a> Builder<'a> {
    fn new(scenario: &'a Scenario, contender: &'a Contender) -> Builder<'a> {
        let default_exchange = ExchangeConfig::new("", ExchangeKind::Direct);
        let deployment = Deployment {
            model: contender.options.model(),
            nodes: scenario.cluster.nodes,
            seed: scenario.seed,
            broker_sessions: scenario.cluster.sessions,
            profile: Profile::default(),
            routing_keys: Vec::new(),
            exchanges: vec![default_exchange],
            queues: Vec::new(),
            memory_watermark: None,
            page_cache: scenario.loses_power().then(PageCacheConfig::default),
            bindings: Vec::new(),
            topics: Vec::new(),
            groups: Vec::new(),
            share_groups: Vec::new(),
            streams: Vec::new(),
            fetch: FetchLimits::default(),
            producers: Vec::new(),
            consumers: Vec::new(),
        };
        Builder { scenario, contender, deployment, stores: Vec::new(), doors: 1 }
    }

    fn build(mut self) -> (Deployment, Vec<StoreInfo>) {
        match &self.contender.options {
            ModelOptions::Queue(options) | ModelOptions::Fanout(options) => self.queue_side(options),
            ModelOptions::Broadcast(options) => self.broadcast(*options),
            ModelOptions::Log(options) => self.log(options),
            ModelOptions::ShareGroup(options) => self.share_group(options),
            ModelOptions::Stream(options) => self.stream(options),
        }
        (self.deployment, self.stores)
    }

    fn applications(&self) -> impl Iterator<Item = ApplicationId> + use<> {
        (0..self.scenario.demand.applications.len()).map(|index| ApplicationId::new(index as u16))
    }

    fn routing_key(&mut self, name: &str) -> RoutingKey {
        let keys = &mut self.deployment.routing_keys;
        let known = keys.iter().position(|key| key == name).unwrap_or_else(|| {
            keys.push(name.to_string());
            keys.len() - 1
        });
        RoutingKey(known as u32)
    }

    fn exchange(&mut self, name: &str, kind: ExchangeKind) -> ExchangeId {
        self.deployment.exchanges.push(ExchangeConfig::new(name, kind));
        ExchangeId((self.deployment.exchanges.len() - 1) as u16)
    }

    fn queue_side(&mut self, options: &QueueOptions) {
        let topology = &options.topology;
        self.deployment.profile = options.profile.clone();
        self.deployment.memory_watermark = options.memory_watermark;
        self.deployment.exchanges = topology.exchanges.clone();
        if topology.is_spread(self.scenario.cluster.nodes) {
            self.doors = self.scenario.cluster.nodes;
        }
        for (index, queue) in topology.queues.iter().enumerate() {
            self.queue(index, queue, topology);
        }
        for binding in &topology.bindings {
            let key = self.routing_key(&binding.key);
            self.deployment.bindings.push(BindingConfig {
                exchange: binding.source,
                destination: match binding.destination {
                    BoundTo::Queue(index) => Destination::Queue(StoreId::new(index as u32)),
                    BoundTo::Exchange(exchange) => Destination::Exchange(exchange),
                },
                key,
                arguments: binding.arguments.clone(),
            });
        }
        let addresses = self.addresses(topology.routing_key.as_deref());
        self.publishers(topology.publish_to, addresses, options.publish);
        for application in self.applications() {
            let kinds = topology.consumers_of(application).map(|spec| queue_consumer(spec, self.doors));
            let kinds: Vec<ConsumerKind> = kinds.collect();
            self.consumers(application, |index| kinds[index as usize].clone());
        }
        let served = Routes::of(&self.deployment).served(topology);
        for (store, served) in self.stores.iter_mut().zip(served) {
            store.applications = served;
        }
    }

    fn queue(&mut self, index: usize, spec: &QueueSpec, topology: &Topology) {
        let store = StoreId::new(index as u32);
        self.stores.push(StoreInfo {
            name: spec.name.clone(),
            kind: StoreKind::Queue,
            applications: Vec::new(),
            comes_later: false,
        });
        let name = self.routing_key(&spec.name);
        let dead_letter = spec.dead_letter.as_ref().map(|spec| DeadLetterConfig {
            exchange: spec.exchange,
            routing_key: spec.routing_key.as_deref().map(|key| self.routing_key(key)),
        });
        let lifetime = match spec.lifetime {
            QueueLifetime::Permanent => Lifetime::Permanent,
            QueueLifetime::AutoDelete => Lifetime::AutoDelete,
            QueueLifetime::Exclusive => Lifetime::Exclusive(self.only_consumer(index, topology)),
        };
        self.deployment.queues.push(QueueConfig {
            store,
            node: NODE(),
            name,
            kind: spec.kind,
            durable: spec.durable,
            lifetime,
            expires: spec.expires,
            message_ttl: spec.message_ttl,
            max_length: spec.max_length,
            max_bytes: spec.max_bytes,
            overflow: spec.overflow,
            dead_letter,
            max_priority: spec.max_priority,
            single_active_consumer: spec.single_active_consumer,
        });
    }

    /// The client that an exclusive queue belongs to.
    fn only_consumer(&self, queue: usize, topology: &Topology) -> ClientId {
        let number = |application: ApplicationId| topology.consumers_of(application).position(|own| own.queue == queue);
        let mut clients = self.applications().filter_map(|application| {
            number(application).map(|number| self.scenario.first_consumer(application).get() + number as u32)
        });
        ClientId::new(clients.next().expect("validated: an exclusive queue has one consumer"))
    }

    /// How messages of each kind are addressed: by one key, or by the names of the kinds.
    fn addresses(&mut self, routing_key: Option<&str>) -> Arc<[PublishAddress]> {
        let kinds = &self.scenario.demand.kinds;
        if kinds.is_empty() {
            let routing_key = self.routing_key(routing_key.unwrap_or_default());
            return Arc::from([PublishAddress { routing_key, properties: None }]);
        }
        let address = |kind: &MessageKind| {
            let plain = kind.properties == Properties::default();
            let routing_key = self.routing_key(routing_key.unwrap_or(&kind.name));
            PublishAddress { routing_key, properties: (!plain).then(|| Arc::new(kind.properties.clone())) }
        };
        kinds.iter().map(address).collect()
    }

    fn broadcast(&mut self, publish: PublishOptions) {
        let exchange = self.exchange("events", ExchangeKind::Broadcast);
        let addresses = self.addresses(Some("events"));
        self.publishers(exchange, addresses, publish);
        for application in self.applications() {
            self.consumers(application, |_| ConsumerKind::Broadcast { exchange });
        }
    }

    /// The topic and its producers, by the rules of the topic's broker.
    fn written_topic(&mut self, options: &TopicOptions) -> Vec<StoreId> {
        self.deployment.profile.log = options.profile.clone();
        let all: Vec<ApplicationId> = self.applications().collect();
        let partitions: Vec<StoreId> = (0..options.partitions).map(StoreId::new).collect();
        self.stores.extend((0..options.partitions).map(|index| StoreInfo {
            name: format!("events-{index}"),
            kind: StoreKind::Partition { index },
            applications: all.clone(),
            comes_later: false,
        }));
        self.topic(partitions.clone(), options);
        let (producer, seed) = (&options.producer, self.scenario.seed);
        let version = self.deployment.profile.log.transactions;
        let every = self.scenario.demand.producers + self.scenario.stand_ins().len() as u32;
        let transactions = |process: u32, producer: u32| {
            options.transactions.map(|own| TransactionConfig {
                id: TransactionalId(if own.stable_id { producer } else { process }),
                id_step: if own.stable_id { 0 } else { every },
                messages: own.messages,
                every: own.every,
                timeout: own.timeout,
                aborts: own.aborts,
                chance: Stream::new(seed, "aborted transactions").within(u64::from(producer)),
                restarts: own.restarts,
                version,
            })
        };
        let cluster = self.scenario.cluster;
        self.producers(|process, of| {
            let (partitions, transactions) = (partitions.clone(), transactions(process, of));
            let (metadata_max_age, is_cluster) = (options.metadata(&cluster), options.is_spread(&cluster));
            let own = BatcherConfig { partitions, transactions, metadata_max_age, is_cluster, ..producer.clone() };
            ProducerKind::Batcher(own)
        });
        partitions
    }

    fn log(&mut self, options: &LogOptions) {
        let partitions = self.written_topic(&options.topic);
        self.deployment.fetch = options.fetch;
        for application in self.applications() {
            let retry = options.retry.map(|retry| self.retry_topics(application, retry, &options.topic));
            let retried = retry.iter().flat_map(|retry| &retry.topics).flat_map(|topic| &topic.partitions);
            let partitions = partitions.iter().chain(retried).copied().collect();
            self.deployment.groups.push(GroupConfig {
                application,
                node: NODE(),
                partitions,
                session_timeout: options.session_timeout,
                // A member that joins may take as long as it may take between polls.
                rebalance_timeout: options.member.max_poll_interval,
                initial_rebalance_delay: options.initial_rebalance_delay,
                offsets_retention: options.offsets_retention,
                protocol: options.protocol,
            });
            let cluster = self.scenario.cluster;
            let metadata_max_age = options.topic.metadata(&cluster);
            let is_cluster = options.topic.is_spread(&cluster);
            let member = GroupMemberConfig { retry, metadata_max_age, is_cluster, ..options.member.clone() };
            self.consumers(application, |_| ConsumerKind::Group(member.clone()));
        }
        self.later_partitions(&options.topic);
    }

    /// The partitions that the topic gets later. Their numbers come after those of all that is there from the start.
    fn later_partitions(&mut self, options: &TopicOptions) {
        let all: Vec<ApplicationId> = self.applications().collect();
        let last = options.additions.last().map_or(options.partitions, |more| more.to);
        self.stores.extend((options.partitions..last).map(|index| StoreInfo {
            name: format!("events-{index}"),
            kind: StoreKind::Partition { index },
            applications: all.clone(),
            comes_later: true,
        }));
    }

    fn topic(&mut self, partitions: Vec<StoreId>, options: &TopicOptions) {
        self.deployment.topics.push(TopicConfig {
            partitions,
            replication: replication(&self.scenario.cluster, options.replication),
            max_message_bytes: options.max_message_bytes,
            segment_bytes: options.segment_bytes,
            segment_time: options.segment_time,
            retention_time: options.retention_time,
            retention_bytes: options.retention_bytes,
            retention_check_interval: options.retention_check_interval,
            compaction: options.compaction,
            flush: options.flush,
        });
    }

    /// The topics in which records of an application wait for another attempt, and where they end.
    fn retry_topics(&mut self, application: ApplicationId, retry: RetryOptions, options: &TopicOptions) -> RetryConfig {
        let name = self.scenario.demand.applications[application.index()].name.clone();
        let mut delay = retry.delay;
        let mut topics = Vec::new();
        for number in 1..retry.attempts {
            let store = self.one_partition(format!("{name}-retry-{number}"), vec![application], options);
            topics.push(RetryTopic { delay, partitions: vec![store] });
            delay = retry.multiplier.of(delay);
        }
        let dead_letters = retry.dead_letter.then(|| self.one_partition(format!("{name}-dlt"), Vec::new(), options));
        RetryConfig { topics, dead_letters: dead_letters.into_iter().collect() }
    }

    fn one_partition(&mut self, name: String, applications: Vec<ApplicationId>, options: &TopicOptions) -> StoreId {
        let store = StoreId::new(self.stores.len() as u32);
        self.stores.push(StoreInfo { name, kind: StoreKind::Partition { index: 0 }, applications, comes_later: false });
        self.topic(vec![store], options);
        store
    }

    fn share_group(&mut self, options: &ShareGroupOptions) {
        let partitions = self.written_topic(&options.topic);
        self.deployment.fetch = options.fetch;
        for application in self.applications() {
            self.deployment.share_groups.push(ShareGroupConfig {
                application,
                node: NODE(),
                partitions: partitions.clone(),
                session_timeout: options.session_timeout,
                rules: options.rules,
                reset: options.reset,
            });
            self.consumers(application, |_| ConsumerKind::Share(options.member));
        }
        self.later_partitions(&options.topic);
    }

    fn stream(&mut self, options: &StreamOptions) {
        let all: Vec<ApplicationId> = self.applications().collect();
        let partitions: Vec<StoreId> = (0..options.partitions).map(StoreId::new).collect();
        let is_super = options.partitions > 1;
        self.stores.extend((0..options.partitions).map(|index| StoreInfo {
            name: if is_super { format!("events-{index}") } else { "events".to_string() },
            kind: StoreKind::Partition { index },
            applications: all.clone(),
            comes_later: false,
        }));
        let rules = options.rules;
        self.deployment.streams.push(StreamConfig { partitions: partitions.clone(), is_super, node: NODE(), rules });
        let publisher = StreamPublisherConfig { partitions: partitions.clone(), ..options.publisher.clone() };
        self.producers(|_, _| ProducerKind::Stream(publisher.clone()));
        let consumer = StreamConsumerConfig { partitions, ..options.consumer.clone() };
        for application in all {
            self.consumers(application, |_| ConsumerKind::Stream(consumer.clone()));
        }
    }

    fn publishers(&mut self, exchange: ExchangeId, addresses: Arc<[PublishAddress]>, publish: PublishOptions) {
        let PublishOptions { confirms, mandatory, max_unconfirmed } = publish;
        // Copies are kept only where a connection can break: otherwise nobody could ask for them.
        let republish = confirms && (self.scenario.resets_producers() || !self.scenario.stand_ins().is_empty());
        let nodes = self.doors;
        self.producers(|_, _| ProducerKind::Publisher {
            exchange,
            addresses: Arc::clone(&addresses),
            confirms,
            mandatory,
            max_unconfirmed,
            republish,
            nodes,
        });
    }

    /// The node that one of several clients connects with, as a load balancer deals them out.
    fn door(&self, number: u32) -> NodeId {
        NodeId::new((number % u32::from(self.doors)) as u16)
    }

    /// The producers and those that take their places, each of the kind that its number asks for, and that of the
    /// producer that it is or replaces.
    fn producers(&mut self, kind: impl Fn(u32, u32) -> ProducerKind) {
        let count = self.scenario.demand.producers;
        let own = (0..count).map(|id| (ClientId::new(id), id, id));
        let stand_ins = self.scenario.stand_ins().into_iter().zip(count..);
        let stand_ins = stand_ins.map(|((replaced, client), process)| (client, process, replaced.get()));
        let producers = own.chain(stand_ins).map(|(client, process, producer)| ProducerConfig {
            client,
            node: self.door(process),
            kind: kind(process, producer),
        });
        let producers: Vec<_> = producers.collect();
        self.deployment.producers.extend(producers);
    }

    fn consumers(&mut self, application: ApplicationId, kind: impl Fn(u32) -> ConsumerKind) {
        let spec = &self.scenario.demand.applications[application.index()];
        let first = self.scenario.first_consumer(application).get();
        let stream = Stream::new(self.scenario.seed, "work").within(u64::from(application.get()));
        let failures = FailureLaw {
            poison: spec.failures.poison,
            transient: spec.failures.transient,
            stream: Stream::new(self.scenario.seed, "failures").within(u64::from(application.get())),
        };
        for index in 0..spec.consumers {
            self.deployment.consumers.push(ConsumerConfig {
                client: ClientId::new(first + index),
                name: Arc::from(format!("{}/{}", spec.name, index + 1)),
                application,
                node: self.door(index),
                work: WorkLaw { distribution: spec.work, stream },
                failures: (spec.failures != Failures::default()).then_some(failures),
                // A log and a broadcast have no way back to the sender.
                answers: spec.answer && matches!(self.deployment.model, Model::Queue | Model::Fanout),
                kind: kind(index),
            });
        }
    }
}

/// Where the partitions of a topic are: dealt out in turn, the first one beside the node that coordinates.
fn replication(cluster: &ClusterSpec, options: Option<ReplicationOptions>) -> ReplicationConfig {
    let Some(ReplicationOptions { replicas, rules, unclean_election }) = options else {
        return ReplicationConfig::single(NODE());
    };
    let single = ReplicationConfig::single(NodeId::new(1 % cluster.nodes));
    ReplicationConfig { nodes: cluster.nodes, copies: replicas, replicas: rules, unclean_election, ..single }
}

fn queue_consumer(spec: &ConsumerSpec, nodes: u16) -> ConsumerKind {
    ConsumerKind::Queue(QueueConsumerConfig {
        queue: StoreId::new(spec.queue as u32),
        prefetch: spec.prefetch,
        auto_ack: spec.automatic_ack,
        exclusive: spec.exclusive,
        priority: spec.priority,
        on_failure: spec.on_failure,
        nodes,
    })
}
