//! A node with clients and a disk, driven by hand, that writes down what each client is told.
//!
//! ```text
//! let mut topology = Topology::default();
//! let work = topology.queue("work", |config| config.max_length = Some(1));
//! let mut rig = Rig::new(topology);
//! assert_eq!(rig.publish(0, "", "work", None), "");
//! assert_eq!(rig.ask(1, Message::Get { channel: 1, queue: work, auto_ack: false }), "c1.1 got #1 m0 from work, 0 left");
//! ```

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_broker::config::*;
use brokerlab_broker::log::Crash;
use brokerlab_broker::properties::{FieldTable, Properties};
use brokerlab_broker::{Address, Effect, Envelope, Message, Node, Outbox, Publication};
use brokerlab_event::{
    ApplicationId, ClientId, Duration, Event, KeyId, KeyTable, Kinds, MessageId, Model, NodeId, Observer, Offset,
    RunHeader, StoreId, StoreInfo, StoreKind, Time,
};

pub const fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Exchanges, queues and bindings by name. The default exchange is there from the beginning.
#[derive(Clone, Debug)]
pub struct Topology {
    pub profile: Profile,
    pub keys: Vec<String>,
    pub exchanges: Vec<ExchangeConfig>,
    pub queues: Vec<QueueConfig>,
    pub bindings: Vec<BindingConfig>,
    pub memory_watermark: Option<u64>,
}

impl Default for Topology {
    fn default() -> Topology {
        let exchanges = vec![ExchangeConfig::new("", ExchangeKind::Direct)];
        Topology {
            profile: Profile::default(),
            keys: vec![],
            exchanges,
            queues: vec![],
            bindings: vec![],
            memory_watermark: None,
        }
    }
}

impl Topology {
    /// The number of a routing key, which is added to the table where it is new.
    pub fn key(&mut self, text: &str) -> RoutingKey {
        let known = self.keys.iter().position(|known| known == text);
        RoutingKey(known.unwrap_or_else(|| {
            self.keys.push(text.into());
            self.keys.len() - 1
        }) as u32)
    }

    /// Adds a durable classic queue and changes what is to be different about it.
    pub fn queue(&mut self, name: &str, change: impl FnOnce(&mut QueueConfig)) -> StoreId {
        let store = StoreId::new(self.queues.len() as u32);
        let mut config = QueueConfig::new(store, NodeId::new(0), self.key(name));
        change(&mut config);
        self.queues.push(config);
        store
    }

    pub fn exchange(&mut self, name: &str, kind: ExchangeKind) -> ExchangeId {
        self.exchanges.push(ExchangeConfig::new(name, kind));
        ExchangeId(self.exchanges.len() as u16 - 1)
    }

    pub fn bind(&mut self, exchange: ExchangeId, destination: Destination, key: &str, arguments: FieldTable) {
        let key = self.key(key);
        self.bindings.push(BindingConfig { exchange, destination, key, arguments });
    }

    fn deployment(&self) -> Deployment {
        Deployment {
            model: Model::Queue,
            nodes: 1,
            seed: 1,
            broker_sessions: BrokerSessions::default(),
            profile: self.profile.clone(),
            routing_keys: self.keys.clone(),
            exchanges: self.exchanges.clone(),
            queues: self.queues.clone(),
            memory_watermark: self.memory_watermark,
            page_cache: None,
            bindings: self.bindings.clone(),
            topics: vec![],
            groups: vec![],
            share_groups: vec![],
            streams: vec![],
            fetch: FetchLimits::default(),
            producers: vec![],
            consumers: vec![],
        }
    }
}

impl Topology {
    /// A header in which every queue serves an application of its own number, so that a census tells queues apart.
    fn header(&self) -> RunHeader {
        let store = |config: &QueueConfig| StoreInfo {
            name: self.keys[config.name.0 as usize].clone(),
            kind: StoreKind::Queue,
            applications: vec![ApplicationId::new(config.store.get() as u16)],
            comes_later: false,
        };
        RunHeader {
            title: String::new(),
            contender: String::new(),
            model: Model::Queue,
            seed: 0,
            demand_digest: 0,
            horizon: Time::MAX,
            warm_up: Time::ZERO,
            kinds: Kinds::default(),
            applications: vec![],
            clients: vec![],
            stores: self.queues.iter().map(store).collect(),
            faults: vec![],
            keys: KeyTable::default(),
            promises: vec![],
        }
    }
}

/// The events of a request.
#[derive(Clone, Default, Debug)]
struct Events(Vec<Event>);

impl Observer for Events {
    fn observe(&mut self, _: Time, event: Event) {
        self.0.push(event);
    }
}

/// The node. Its disk answers at once, unless [`Rig::slow_disk`] makes it wait for [`Rig::flush`].
#[derive(Clone)]
pub struct Rig {
    pub topology: Arc<Topology>,
    pub now: Time,
    pub slow_disk: bool,
    node: Node<()>,
    header: Arc<RunHeader>,
    /// What the disk was asked for and has not done.
    asked: VecDeque<(StoreId, Offset)>,
    /// How many messages were published: the number of the next.
    pub published: u64,
    events: Events,
    /// What clients were sent in the latest request, in order.
    pub sent: Vec<(ClientId, Message<()>)>,
}

impl Rig {
    pub fn new(topology: Topology) -> Rig {
        Rig {
            node: Node::new(NodeId::new(0), &topology.deployment()),
            header: Arc::new(topology.header()),
            topology: Arc::new(topology),
            now: Time::ZERO,
            slow_disk: false,
            asked: VecDeque::new(),
            published: 0,
            events: Events::default(),
            sent: vec![],
        }
    }

    /// What happened in the latest request.
    pub fn events(&self) -> &[Event] {
        &self.events.0
    }

    /// A client sends something. Tells what clients are told, one after the other.
    pub fn ask(&mut self, client: u32, message: Message<()>) -> String {
        self.begin();
        let mut out = Outbox::default();
        let from = Address::Client(ClientId::new(client));
        self.node.handle_message(self.now, from, message, &mut out, &mut self.events);
        self.drain(out);
        self.told()
    }

    /// A client publishes the next message on its channel 1, of 10 bytes and mandatory.
    pub fn publish(&mut self, client: u32, exchange: &str, key: &str, properties: Option<Properties>) -> String {
        let exchange = self.topology.exchanges.iter().position(|config| config.name == exchange);
        let key = self.topology.keys.iter().position(|known| known == key);
        let publication = Publication {
            envelope: self.envelope(client, 10),
            exchange: ExchangeId(exchange.map_or(u16::MAX, |index| index as u16)),
            routing_key: RoutingKey(key.map_or(u32::MAX, |index| index as u32)),
            properties: properties.map(Arc::new),
        };
        self.ask(client, Message::Publish { channel: 1, mandatory: true, publication })
    }

    /// The envelope of the next message.
    pub fn envelope(&mut self, client: u32, size: u32) -> Envelope<()> {
        self.published += 1;
        Envelope {
            message: MessageId::new(self.published - 1),
            key: KeyId::NONE,
            size,
            timestamp: self.now,
            sender: ClientId::new(client),
            tombstone: false,
            payload: (),
        }
    }

    /// A client consumes from a queue on its channel 1, under the number of the queue as its tag. Prefetch 0 is
    /// unlimited.
    pub fn consume(&mut self, client: u32, queue: StoreId, prefetch: u32) -> String {
        let channel = 1;
        let told = self.ask(client, Message::Qos { channel, prefetch, global: false });
        assert_eq!(told, "");
        let (tag, auto_ack, exclusive, priority) = (queue.get(), false, false, 0);
        self.ask(client, Message::Consume { channel, queue, tag, auto_ack, exclusive, priority })
    }

    /// The disk does what it was asked for, and what it is asked for meanwhile.
    pub fn flush(&mut self) -> String {
        self.begin();
        while let Some((store, until)) = self.asked.pop_front() {
            let mut out = Outbox::default();
            self.node.handle_flushed(self.now, store, until, &mut out, &mut self.events);
            self.drain(out);
        }
        self.told()
    }

    /// True where the disk has something to do.
    pub fn is_asked_to_flush(&self) -> bool {
        !self.asked.is_empty()
    }

    /// Time passes, and what is due meanwhile happens.
    pub fn advance(&mut self, duration: Duration) -> String {
        self.begin();
        let end = self.now.saturating_add(duration);
        let mut wakes = 0;
        while let Some(due) = self.node.next_timeout().filter(|due| *due <= end) {
            self.now = self.now.max(due);
            let mut out = Outbox::default();
            self.node.handle_timeout(self.now, &mut out, &mut self.events);
            self.drain(out);
            wakes += 1;
            assert!(wakes < 10_000, "the node wants to be told the time again and again");
        }
        self.now = end;
        self.told()
    }

    /// The node goes down and comes back at once with what its disk has done. Its clients have to start anew.
    pub fn crash(&mut self, kind: Crash) {
        self.begin();
        self.asked.clear();
        let durable = self.node.clone().crash(self.now, kind, &mut ());
        self.node = Node::recover(self.now, durable, &self.topology.deployment());
    }

    /// The census: which messages each queue still has, in no particular order.
    pub fn census(&self) -> Vec<(StoreId, MessageId)> {
        let mut remaining = Events::default();
        self.node.census(self.now, &self.header, &[], &[], &mut remaining);
        let kept = remaining.0.iter().map(|event| match event {
            Event::Remaining { message, application } => (StoreId::new(u32::from(application.get())), *message),
            other => panic!("a census of queues tells of {other:?}"),
        });
        kept.collect()
    }

    fn begin(&mut self) {
        self.events.0.clear();
        self.sent.clear();
    }

    fn drain(&mut self, mut out: Outbox<()>) {
        while let Some(effect) = out.pop() {
            match effect {
                Effect::Send { to: Address::Client(client), message, .. } => self.sent.push((client, message)),
                Effect::Flush { store, until, .. } if self.slow_disk => self.asked.push_back((store, until)),
                Effect::Flush { store, until, .. } => {
                    self.node.handle_flushed(self.now, store, until, &mut out, &mut self.events);
                }
                other => panic!("a node of queues does not ask for {other:?}"),
            }
        }
    }

    /// What clients were told in the latest request.
    pub fn told(&self) -> String {
        let told = self.sent.iter().map(|(client, message)| self.topology.show(client.get(), message));
        told.collect::<Vec<_>>().join("; ")
    }
}

impl Topology {
    fn queue_name(&self, store: StoreId) -> &str {
        self.queues.get(store.index()).map_or("?", |config| &self.keys[config.name.0 as usize])
    }

    /// What a client sees of a message, for example `c1.2 delivery #3 of m0 from work to 7 (redelivered)`: to client 1
    /// on channel 2, with tag 3, message 0, for consumer 7.
    pub fn show(&self, client: u32, message: &Message<()>) -> String {
        match message {
            Message::Deliver { channel, consumer, tag, redelivered, delivery_count, store, publication, .. } => {
                let mut marks = self.marks(*redelivered, publication);
                if *delivery_count > 0 {
                    marks.push(format!("failed {delivery_count}"));
                }
                let (queue, message) = (self.queue_name(*store), publication.envelope.message.get());
                format!("c{client}.{channel} delivery #{tag} of m{message} from {queue} to {consumer}{}", list(&marks))
            }
            Message::GetAnswer { channel, store, found: None, .. } => {
                format!("c{client}.{channel} got nothing from {}", self.queue_name(*store))
            }
            Message::GetAnswer { channel, store, found: Some((tag, redelivered, _, publication)), ready } => {
                let marks = list(&self.marks(*redelivered, publication));
                let (queue, message) = (self.queue_name(*store), publication.envelope.message.get());
                format!("c{client}.{channel} got #{tag} m{message} from {queue}{marks}, {ready} left")
            }
            Message::Confirm { channel, sequence, result } => {
                format!("c{client}.{channel} {} {sequence}", if result.is_ok() { "ack" } else { "nack" })
            }
            Message::Return { channel, code, publication } => {
                let message = publication.envelope.message.get();
                format!("c{client}.{channel} return of m{message} {}", *code as u16)
            }
            Message::QueueState { channel, ready, consumers } => {
                format!("c{client}.{channel} {ready} ready, {consumers} consumers")
            }
            Message::ChannelError { channel, code } => format!("c{client}.{channel} error {}", *code as u16),
            Message::ConsumerCancelled { channel, tag } => format!("c{client}.{channel} cancelled {tag}"),
            Message::ConnectionBlocked => format!("c{client} blocked"),
            Message::ConnectionUnblocked => format!("c{client} unblocked"),
            other => panic!("no node sends {other:?} to a client of queues"),
        }
    }

    /// What else a receiver sees: whether it is a second try, and what dead-lettering has done to the message.
    fn marks(&self, redelivered: bool, publication: &Publication<()>) -> Vec<String> {
        let mut marks = vec![];
        if redelivered {
            marks.push("redelivered".into());
        }
        let Some(properties) = publication.properties.as_deref() else { return marks };
        if let Some(expiration) = &properties.expiration {
            marks.push(format!("expiration {expiration}"));
        }
        marks.extend(properties.headers.iter().map(|(name, _)| name.to_string()));
        for death in &properties.deaths {
            let (queue, word) = (self.queue_name(death.queue), death.reason.word());
            marks.push(format!(
                "{word} {} in {queue} of {}",
                death.count,
                self.address(death.exchange, death.routing_key)
            ));
        }
        if !properties.deaths.is_empty() {
            marks.push(format!("now {}", self.address(publication.exchange, publication.routing_key)));
        }
        marks
    }

    fn address(&self, exchange: ExchangeId, key: RoutingKey) -> String {
        let exchange = self.exchanges.get(usize::from(exchange.0)).map_or("?", |config| &config.name);
        format!("{exchange}/{}", self.keys.get(key.0 as usize).map_or("?", String::as_str))
    }
}

fn list(marks: &[String]) -> String {
    if marks.is_empty() { String::new() } else { format!(" ({})", marks.join(", ")) }
}

#[test]
fn confirms_wait_for_a_slow_disk_and_what_it_has_done_survives() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    rig.slow_disk = true;
    rig.ask(0, Message::ConfirmSelect { channel: 1 });
    assert_eq!(rig.publish(0, "", "work", None), "");
    assert_eq!(rig.publish(0, "", "work", None), "");
    assert_eq!(rig.flush(), "c0.1 ack 1; c0.1 ack 2");
    assert_eq!(rig.publish(0, "", "nowhere", None), "c0.1 return of m2 312; c0.1 ack 3");
    rig.publish(0, "", "work", None);
    assert_eq!(rig.consume(1, queue, 1), "c1.1 delivery #1 of m0 from work to 0");
    rig.crash(Crash::Power);
    let deliveries = ["c1.1 delivery #1 of m0 from work to 0 (redelivered)", "c1.1 delivery #2 of m1 from work to 0"];
    assert_eq!(rig.consume(1, queue, 0), deliveries.join("; "));
}

#[test]
fn a_dead_letter_tells_where_it_died() {
    let mut topology = Topology::default();
    let graves = topology.exchange("graves", ExchangeKind::Fanout);
    topology.queue("work", |config| {
        config.message_ttl = Some(ms(5));
        config.dead_letter = Some(DeadLetterConfig { exchange: graves, routing_key: None });
    });
    let grave = topology.queue("grave", |_| {});
    topology.bind(graves, Destination::Queue(grave), "", FieldTable::default());
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    assert!(matches!(rig.events()[0], Event::Stored { .. }));
    rig.advance(ms(5));
    let got = rig.ask(1, Message::Get { channel: 1, queue: grave, auto_ack: true });
    assert_eq!(got, "c1.1 got #1 m0 from grave (expired 1 in work of /work, now graves/work), 0 left");
}
