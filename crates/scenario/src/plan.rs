//! Compiles a scenario and one of its contenders into plain data that drivers run.

use std::sync::Arc;

use brokerlab_broker::config::*;
use brokerlab_broker::properties::FieldTable;
use brokerlab_event::{
    ApplicationId, ApplicationInfo, ClientId, ClientInfo, ClientRole, FaultInfo, Kinds, Model, NodeId, RunHeader,
    StoreId, StoreInfo, StoreKind, Stream, Time, WorkLaw,
};

use crate::demand::{Demand, key_table};
use crate::promises::promises;
use crate::scenario::{
    Contender, FaultPlan, LogOptions, ModelOptions, Network, PublishOptions, QueueOptions, Scenario,
};

/// Everything that a driver needs to run one contender of a scenario.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What is known before the run.
    pub header: RunHeader,
    /// Nodes with what they host, and clients.
    pub deployment: Deployment,
    /// The messages; each contender of a scenario gets the same.
    pub demand: Demand,
    /// The faults in the order of the scenario; a [`FaultId`](brokerlab_event::FaultId) is an index into them.
    pub faults: Vec<FaultPlan>,
    /// The network.
    pub network: Network,
    /// The clients that connect later than at the start, in the order of their ids.
    pub starts: Vec<(ClientId, Time)>,
}

/// The node that hosts everything.
const NODE: fn() -> NodeId = || NodeId::new(0);

/// Compiles a scenario for one of its contenders.
///
/// # Panics
/// Panics where the contender is not one of the scenario's.
pub fn compile(scenario: &Scenario, contender: usize) -> Plan {
    let contender = &scenario.contenders[contender];
    let builder = Builder::new(scenario, contender);
    let (deployment, stores) = builder.build();
    let demand = Demand::new(&scenario.demand, scenario.seed);
    let header = RunHeader {
        title: scenario.title.clone(),
        contender: contender.name.clone(),
        model: contender.options.model(),
        seed: scenario.seed,
        demand_digest: demand.digest(),
        horizon: Time::ZERO + scenario.duration,
        warm_up: Time::ZERO + scenario.warm_up,
        kinds: Kinds::default(),
        applications: scenario.demand.applications.iter().map(|a| ApplicationInfo::new(a.name.clone())).collect(),
        clients: clients(scenario),
        stores,
        faults: scenario
            .faults
            .iter()
            .map(|fault| FaultInfo { name: scenario.fault_name(fault), start: fault.at, end: fault.until })
            .collect(),
        keys: key_table(&scenario.demand),
        promises: promises(scenario, contender),
    };
    let starts = deployment
        .consumers
        .iter()
        .map(|consumer| (consumer.client, scenario.demand.applications[consumer.application.index()].joins))
        .filter(|(_, joins)| *joins > Time::ZERO)
        .collect();
    Plan { header, deployment, demand, faults: scenario.faults.clone(), network: scenario.network, starts }
}

fn clients(scenario: &Scenario) -> Vec<ClientInfo> {
    let producers = (0..scenario.demand.producers).map(|_| ClientRole::Producer);
    let consumers = scenario.demand.applications.iter().enumerate().flat_map(|(index, application)| {
        (0..application.consumers).map(move |_| ClientRole::Consumer(ApplicationId::new(index as u16)))
    });
    producers
        .chain(consumers)
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
}

impl<'a> Builder<'a> {
    fn new(scenario: &'a Scenario, contender: &'a Contender) -> Builder<'a> {
        let default_exchange = ExchangeConfig::new("", ExchangeKind::Direct);
        let deployment = Deployment {
            model: contender.options.model(),
            nodes: 1,
            profile: Profile::default(),
            routing_keys: Vec::new(),
            exchanges: vec![default_exchange],
            queues: Vec::new(),
            memory_watermark: None,
            bindings: Vec::new(),
            topics: Vec::new(),
            groups: Vec::new(),
            fetch: FetchLimits::default(),
            producers: Vec::new(),
            consumers: Vec::new(),
        };
        Builder { scenario, contender, deployment, stores: Vec::new() }
    }

    fn build(mut self) -> (Deployment, Vec<StoreInfo>) {
        match &self.contender.options {
            ModelOptions::Queue { each: false, options } => self.shared_queue(options),
            ModelOptions::Queue { each: true, options } => self.queue_each(options, ExchangeKind::Direct),
            ModelOptions::Fanout(options) => self.queue_each(options, ExchangeKind::Fanout),
            ModelOptions::Broadcast(options) => self.broadcast(*options),
            ModelOptions::Log(options) => self.log(options),
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

    fn queue(&mut self, name: &str, applications: Vec<ApplicationId>, options: &QueueOptions) -> (StoreId, RoutingKey) {
        let store = StoreId::new(self.stores.len() as u32);
        self.stores.push(StoreInfo { name: name.to_string(), kind: StoreKind::Queue, applications });
        let name = self.routing_key(name);
        self.deployment.queues.push(QueueConfig { durable: options.durable, ..QueueConfig::new(store, NODE(), name) });
        (store, name)
    }

    /// One queue on the default exchange; the consumers of all applications compete for its messages.
    fn shared_queue(&mut self, options: &QueueOptions) {
        let (queue, key) = self.queue("work", self.applications().collect(), options);
        self.publishers(ExchangeId::DEFAULT, key, options.publish);
        for application in self.applications() {
            self.consumers(application, |_| ConsumerKind::Queue(queue_consumer(queue, options)));
        }
    }

    /// A queue for each application, all bound to one exchange: a copy of every message for each.
    fn queue_each(&mut self, options: &QueueOptions, kind: ExchangeKind) {
        let name = if kind == ExchangeKind::Fanout { "events" } else { "work" };
        let exchange = self.exchange(name, kind);
        let key = self.routing_key(name);
        for application in self.applications() {
            let name = self.scenario.demand.applications[application.index()].name.clone();
            let (queue, _) = self.queue(&name, vec![application], options);
            self.deployment.bindings.push(BindingConfig {
                exchange,
                destination: Destination::Queue(queue),
                key,
                arguments: FieldTable::default(),
            });
            self.consumers(application, |_| ConsumerKind::Queue(queue_consumer(queue, options)));
        }
        self.publishers(exchange, key, options.publish);
    }

    fn broadcast(&mut self, publish: PublishOptions) {
        let exchange = self.exchange("events", ExchangeKind::Broadcast);
        let key = self.routing_key("events");
        self.publishers(exchange, key, publish);
        for application in self.applications() {
            self.consumers(application, |_| ConsumerKind::Broadcast { exchange });
        }
    }

    fn log(&mut self, options: &LogOptions) {
        let all: Vec<ApplicationId> = self.applications().collect();
        let partitions: Vec<StoreId> = (0..options.partitions).map(StoreId::new).collect();
        self.stores.extend((0..options.partitions).map(|index| StoreInfo {
            name: format!("events-{index}"),
            kind: StoreKind::Partition { index },
            applications: all.clone(),
        }));
        self.deployment.topics.push(TopicConfig {
            partitions: partitions.clone(),
            node: NODE(),
            followers: Vec::new(),
            segment_bytes: options.segment_bytes,
            segment_time: options.segment_time,
            retention_time: options.retention_time,
            retention_bytes: options.retention_bytes,
            retention_check_interval: options.retention_check_interval,
        });
        self.deployment.fetch = options.fetch;
        let kind = ProducerKind::Batcher {
            partitions: partitions.clone(),
            acks: options.acks,
            linger: options.linger,
            batch_bytes: options.batch_size,
            max_in_flight: options.max_in_flight,
        };
        self.producers(kind);
        for application in all {
            self.deployment.groups.push(GroupConfig {
                application,
                node: NODE(),
                partitions: partitions.clone(),
                session_timeout: options.session_timeout,
                // A member that joins may take as long as it may take between polls.
                rebalance_timeout: options.member.max_poll_interval,
                initial_rebalance_delay: options.initial_rebalance_delay,
            });
            self.consumers(application, |_| ConsumerKind::Group(options.member.clone()));
        }
    }

    fn publishers(&mut self, exchange: ExchangeId, routing_key: RoutingKey, publish: PublishOptions) {
        let PublishOptions { confirms, mandatory, max_unconfirmed } = publish;
        let addresses = Arc::from([PublishAddress { routing_key, properties: None }]);
        self.producers(ProducerKind::Publisher { exchange, addresses, confirms, mandatory, max_unconfirmed });
    }

    fn producers(&mut self, kind: ProducerKind) {
        let producers = (0..self.scenario.demand.producers).map(|id| ProducerConfig {
            client: ClientId::new(id),
            node: NODE(),
            kind: kind.clone(),
        });
        self.deployment.producers.extend(producers);
    }

    fn consumers(&mut self, application: ApplicationId, kind: impl Fn(u32) -> ConsumerKind) {
        let spec = &self.scenario.demand.applications[application.index()];
        let first = self.scenario.first_consumer(application).get();
        let stream = Stream::new(self.scenario.seed, "work").within(u64::from(application.get()));
        for index in 0..spec.consumers {
            self.deployment.consumers.push(ConsumerConfig {
                client: ClientId::new(first + index),
                name: Arc::from(format!("{}/{}", spec.name, index + 1)),
                application,
                node: NODE(),
                work: WorkLaw { distribution: spec.work, stream },
                failures: None,
                // A log and a broadcast have no way back to the sender.
                answers: spec.answer && matches!(self.deployment.model, Model::Queue | Model::Fanout),
                kind: kind(index),
            });
        }
    }
}

fn queue_consumer(queue: StoreId, options: &QueueOptions) -> QueueConsumerConfig {
    QueueConsumerConfig {
        queue,
        prefetch: options.prefetch,
        auto_ack: options.automatic_ack,
        exclusive: false,
        priority: 0,
        on_failure: OnFailure::Requeue,
    }
}
