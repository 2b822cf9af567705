//! The client machines behind one type, so that the simulation can keep them in a row.

use std::sync::Arc;

use brokerlab_broker::client::{
    Batcher, GroupMember, Publisher, PublisherConfig, ShareConsumer, StreamConsumer, StreamPublisher, Subscriber,
    Worker,
};
use brokerlab_broker::config::{ConsumerConfig, ConsumerKind, ProducerConfig, ProducerKind};
use brokerlab_broker::{Envelope, Message, Outbox};
use brokerlab_event::{Duration, Generator, Millionths, NodeId, Observer, Time};

use crate::fault::HEARTBEAT;

/// A client of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Publisher(Publisher<()>),
    Batcher(Batcher<()>),
    Subscriber(Subscriber),
    Member(GroupMember<()>),
    Sharer(ShareConsumer),
    StreamPublisher(StreamPublisher<()>),
    StreamConsumer(StreamConsumer),
}

impl Client {
    /// A producer. `hashes` are those of the keys; a producer that chooses at random draws from a
    /// generator of its own.
    pub fn producer(config: &ProducerConfig, hashes: &Arc<[u32]>, seed: u64) -> Client {
        match config.kind {
            ProducerKind::Publisher {
                exchange,
                ref addresses,
                confirms,
                mandatory,
                max_unconfirmed,
                republish,
                nodes,
            } => {
                let addresses = Arc::clone(addresses);
                let own =
                    PublisherConfig { exchange, addresses, confirms, mandatory, max_unconfirmed, republish, nodes };
                Client::Publisher(Publisher::new(config.client, config.node, own))
            }
            ProducerKind::Stream(_) => Client::StreamPublisher(StreamPublisher::new(config, Arc::clone(hashes))),
            ProducerKind::Batcher(_) => {
                let of =
                    |purpose: &str| Generator::new(seed, &format!("{purpose} of producer {}", config.client.get()));
                Client::Batcher(Batcher::new(config, Arc::clone(hashes), of("partitions"), of("jitter")))
            }
        }
    }

    pub fn consumer(config: &ConsumerConfig) -> Client {
        match &config.kind {
            ConsumerKind::Queue(_) | ConsumerKind::Broadcast { .. } => Client::Subscriber(Subscriber::new(config)),
            ConsumerKind::Group(_) => Client::Member(GroupMember::new(config)),
            ConsumerKind::Share(_) => Client::Sharer(ShareConsumer::new(config)),
            ConsumerKind::Stream(_) => Client::StreamConsumer(StreamConsumer::new(config)),
        }
    }

    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.start(now, out, observer),
            Client::Batcher(client) => client.start(now, out, observer),
            Client::Subscriber(client) => client.start(now, out, observer),
            Client::Member(client) => client.start(now, out, observer),
            Client::Sharer(client) => client.start(now, out, observer),
            Client::StreamPublisher(client) => client.start(now, out, observer),
            Client::StreamConsumer(client) => client.start(now, out, observer),
        }
    }

    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.crash(now, observer),
            Client::Batcher(client) => client.crash(now, observer),
            Client::Subscriber(client) => client.crash(now, observer),
            Client::Member(client) => client.crash(now, observer),
            Client::Sharer(client) => client.crash(now, observer),
            Client::StreamPublisher(client) => client.crash(now, observer),
            Client::StreamConsumer(client) => client.crash(now, observer),
        }
    }

    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.leave(now, out, observer),
            Client::Batcher(client) => client.leave(now, out, observer),
            Client::Subscriber(client) => client.leave(now, out, observer),
            Client::Member(client) => client.leave(now, out, observer),
            Client::Sharer(client) => client.leave(now, out, observer),
            Client::StreamPublisher(client) => client.leave(now, out, observer),
            Client::StreamConsumer(client) => client.leave(now, out, observer),
        }
    }

    pub fn pause<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.pause(now, observer),
            Client::Batcher(client) => client.pause(now, observer),
            Client::StreamPublisher(client) => client.pause(now, observer),
            consumer => consumer.worker().pause(now, observer),
        }
    }

    pub fn resume<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.resume(now, observer),
            Client::Batcher(client) => client.resume(now, observer),
            Client::StreamPublisher(client) => client.resume(now, observer),
            consumer => consumer.worker().resume(now, observer),
        }
    }

    /// Producers do no work, so only consumers have a speed.
    pub fn set_speed<O: Observer>(&mut self, now: Time, factor: Millionths, observer: &mut O) {
        self.worker().set_speed(now, factor, observer);
    }

    /// The part of a consumer that works.
    fn worker(&mut self) -> &mut Worker {
        match self {
            Client::Publisher(_) | Client::Batcher(_) | Client::StreamPublisher(_) => {
                unreachable!("validated: producers do no work")
            }
            Client::Subscriber(client) => client.worker(),
            Client::Member(client) => client.worker(),
            Client::Sharer(client) => client.worker(),
            Client::StreamConsumer(client) => client.worker(),
        }
    }

    /// Only a log or a stream can be read elsewhere.
    pub fn ask_where<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Member(client) => client.ask_where(now, out, observer),
            Client::StreamConsumer(client) => client.ask_where(out),
            _ => unreachable!("validated: only consumers of logs and streams can be sent elsewhere"),
        }
    }

    /// Handles one message and tells when the client has something to do next.
    #[inline(always)]
    pub fn handle<O: Observer>(
        &mut self,
        now: Time,
        message: &mut Message<()>,
        out: &mut Outbox<()>,
        observer: &mut O,
    ) -> Option<Time> {
        match self {
            Client::Publisher(client) => {
                client.handle(now, message, out, observer);
                client.next_timeout()
            }
            Client::Subscriber(client) => {
                client.handle(now, message, observer);
                client.next_timeout()
            }
            _ => self.handle_log_client(now, message, out, observer),
        }
    }

    /// How long it takes to notice that nobody answers any more. AMQP and stream clients miss two heartbeats; Kafka's
    /// give up a request (`request.timeout.ms`).
    pub fn patience(&self) -> Duration {
        match self {
            Client::Publisher(_) | Client::Subscriber(_) | Client::StreamPublisher(_) | Client::StreamConsumer(_) => {
                HEARTBEAT + HEARTBEAT
            }
            Client::Batcher(client) => client.request_timeout(),
            Client::Member(_) | Client::Sharer(_) => Duration::from_secs(30),
        }
    }

    /// True where it has a connection with this node, or believes so. Those that do not look for leaders have one with the
    /// first.
    pub fn is_connected_to(&self, node: NodeId) -> bool {
        match self {
            Client::Batcher(client) => client.is_connected_to(node),
            Client::Member(client) => client.is_connected_to(node),
            Client::Publisher(client) => client.node() == node,
            Client::Subscriber(client) => client.node() == node,
            _ => node == NodeId::new(0),
        }
    }

    /// True where it has one connection at a time, now with one node and then with another.
    pub fn roams(&self) -> bool {
        matches!(self, Client::Publisher(_) | Client::Subscriber(_))
    }

    /// The clients of logs, apart from those of queues, so that their code is not among what the others run through.
    #[inline(never)]
    fn handle_log_client<O: Observer>(
        &mut self,
        now: Time,
        message: &mut Message<()>,
        out: &mut Outbox<()>,
        observer: &mut O,
    ) -> Option<Time> {
        match self {
            Client::Batcher(client) => client.handle_message(now, message.take(), out, observer),
            Client::Member(client) => client.handle(now, message, out, observer),
            Client::Sharer(client) => client.handle(now, message, out, observer),
            Client::StreamPublisher(client) => client.handle(now, message, out, observer),
            Client::StreamConsumer(client) => client.handle(now, message, out, observer),
            Client::Publisher(_) | Client::Subscriber(_) => unreachable!("these are clients of queues"),
        }
        self.next_timeout()
    }

    /// Does what is due, if anything is, and tells when the client has something to do next.
    #[inline(always)]
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) -> Option<Time> {
        let due = |at: Option<Time>| at.is_some_and(|at| at <= now);
        match self {
            Client::Publisher(client) => {
                client.handle_timeout(now, out);
                return client.next_timeout();
            }
            Client::Subscriber(client) => {
                client.handle_timeout(now, out, observer);
                return client.next_timeout();
            }
            Client::Batcher(client) if due(client.next_timeout()) => client.handle_timeout(now, out, observer),
            Client::Member(client) if due(client.next_timeout()) => client.handle_timeout(now, out, observer),
            Client::Sharer(client) if due(client.next_timeout()) => client.handle_timeout(now, out, observer),
            Client::StreamPublisher(client) if due(client.next_timeout()) => client.handle_timeout(now, out, observer),
            Client::StreamConsumer(client) if due(client.next_timeout()) => client.handle_timeout(now, out, observer),
            _ => {}
        }
        self.next_timeout()
    }

    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        match self {
            Client::Publisher(client) => client.next_timeout(),
            Client::Batcher(client) => client.next_timeout(),
            Client::Subscriber(client) => client.next_timeout(),
            Client::Member(client) => client.next_timeout(),
            Client::Sharer(client) => client.next_timeout(),
            Client::StreamPublisher(client) => client.next_timeout(),
            Client::StreamConsumer(client) => client.next_timeout(),
        }
    }

    /// What a producer has been told nothing of, with the kind of each message where that counts.
    pub fn unconfirmed(&self) -> Vec<(u16, Envelope<()>)> {
        match self {
            Client::Publisher(client) => client.unconfirmed(),
            Client::Batcher(client) => client.unconfirmed().into_iter().map(|envelope| (0, envelope)).collect(),
            Client::StreamPublisher(client) => client.unconfirmed().into_iter().map(|envelope| (0, envelope)).collect(),
            Client::Subscriber(_) | Client::Member(_) | Client::Sharer(_) | Client::StreamConsumer(_) => Vec::new(),
        }
    }

    /// How many messages a consumer holds that are not done; nothing for producers.
    pub fn unsettled(&self) -> u64 {
        match self {
            Client::Publisher(_) | Client::Batcher(_) | Client::StreamPublisher(_) => 0,
            Client::Subscriber(client) => client.unsettled(),
            Client::Member(client) => client.unsettled(),
            Client::Sharer(client) => client.unsettled(),
            Client::StreamConsumer(client) => client.unsettled(),
        }
    }

    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(_) | Client::Batcher(_) | Client::StreamPublisher(_) => {}
            Client::Subscriber(client) => client.census(now, observer),
            Client::Member(client) => client.census(now, observer),
            Client::Sharer(client) => client.census(now, observer),
            Client::StreamConsumer(client) => client.census(now, observer),
        }
    }
}
