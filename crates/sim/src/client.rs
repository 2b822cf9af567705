//! The client machines behind one type, so that the simulation can keep them in a row.

use brokerlab_broker::client::{Publisher, PublisherConfig, Subscriber};
use brokerlab_broker::config::{ConsumerConfig, ConsumerKind, ProducerConfig, ProducerKind};
use brokerlab_broker::{Address, Message, Outbox};
use brokerlab_event::{Millionths, Observer, Time};

/// A client of any kind.
#[derive(Clone, Debug)]
pub(crate) enum Client {
    Publisher(Publisher<()>),
    Subscriber(Subscriber),
}

impl Client {
    pub fn producer(config: &ProducerConfig, _header: &brokerlab_event::RunHeader) -> Client {
        match config.kind {
            ProducerKind::Publisher { exchange, routing_key, confirms, mandatory, max_unconfirmed } => {
                let own = PublisherConfig { exchange, routing_key, confirms, mandatory, max_unconfirmed };
                Client::Publisher(Publisher::new(config.client, config.node, own))
            }
            ProducerKind::Batcher { .. } => todo!(),
        }
    }

    pub fn consumer(config: &ConsumerConfig) -> Client {
        match &config.kind {
            ConsumerKind::Queue { .. } | ConsumerKind::Broadcast { .. } => Client::Subscriber(Subscriber::new(config)),
            ConsumerKind::Group(_) => todo!(),
        }
    }

    pub fn start<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.start(now, out, observer),
            Client::Subscriber(client) => client.start(now, out, observer),
        }
    }

    pub fn crash<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.crash(now, observer),
            Client::Subscriber(client) => client.crash(now, observer),
        }
    }

    pub fn leave<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.leave(now, out, observer),
            Client::Subscriber(client) => client.leave(now, out, observer),
        }
    }

    pub fn pause<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.pause(now, observer),
            Client::Subscriber(client) => client.pause(now, observer),
        }
    }

    pub fn resume<O: Observer>(&mut self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(client) => client.resume(now, observer),
            Client::Subscriber(client) => client.resume(now, observer),
        }
    }

    /// Producers do no work, so only consumers have a speed.
    pub fn set_speed<O: Observer>(&mut self, now: Time, factor: Millionths, observer: &mut O) {
        match self {
            Client::Publisher(_) => unreachable!("validated: only consumers can be slowed"),
            Client::Subscriber(client) => client.set_speed(now, factor, observer),
        }
    }

    #[inline]
    pub fn handle_message<O: Observer>(
        &mut self,
        now: Time,
        _from: Address,
        message: Message<()>,
        out: &mut Outbox<()>,
        observer: &mut O,
    ) {
        match self {
            Client::Publisher(client) => client.handle_message(now, message, out, observer),
            Client::Subscriber(client) => client.handle_message(now, message, observer),
        }
    }

    #[inline]
    pub fn handle_timeout<O: Observer>(&mut self, now: Time, out: &mut Outbox<()>, observer: &mut O) {
        match self {
            Client::Publisher(_) => {}
            Client::Subscriber(client) => client.handle_timeout(now, out, observer),
        }
    }

    #[inline]
    pub fn next_timeout(&self) -> Option<Time> {
        match self {
            Client::Publisher(_) => None,
            Client::Subscriber(client) => client.next_timeout(),
        }
    }

    /// How many messages a consumer holds that are not done; nothing for producers.
    pub fn unsettled(&self) -> u64 {
        match self {
            Client::Publisher(_) => 0,
            Client::Subscriber(client) => client.unsettled(),
        }
    }

    pub fn census<O: Observer>(&self, now: Time, observer: &mut O) {
        match self {
            Client::Publisher(_) => {}
            Client::Subscriber(client) => client.census(now, observer),
        }
    }
}
