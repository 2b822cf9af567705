//! What a broker of classic queues does, written down as naively as it can be: every question is answered by looking
//! at everything.
//!
//! Ties that brokers leave open go by registration: a message that several queues get reaches them in the order of
//! their numbers, what several consumers of a channel wait for reaches them in the order in which they started, and
//! queues that get messages back at once serve their consumers in the order in which the first of each was delivered.
//! Dead letters are published when a request has had all its other effects.

mod queues;
mod routing;

use std::collections::VecDeque;
use std::sync::Arc;

use brokerlab_broker::config::{DeadLetterConfig, Overflow};
use brokerlab_broker::message::{Channel, ConsumerTag, DeliveryTag, ReplyCode};
use brokerlab_broker::properties::{Death, DeathReason, Properties};
use brokerlab_broker::{Message, Publication};
use brokerlab_event::{ClientId, Offset, Refusal, StoreId, Time};

use self::queues::{Consumer, Copy, Queue};
use crate::rig::Topology;

/// A delivery that is not settled.
#[derive(Clone, Debug)]
struct Unsettled {
    tag: DeliveryTag,
    queue: usize,
    copy: Copy,
    /// Nothing for the answer to a get.
    consumer: Option<usize>,
}

#[derive(Clone, Debug)]
struct ChannelModel {
    client: ClientId,
    number: Channel,
    prefetch: u32,
    shared_prefetch: u32,
    published: Option<u64>,
    delivered: DeliveryTag,
    unsettled: Vec<Unsettled>,
    /// In the order in which they started: queue, number there, tag.
    consumers: Vec<(usize, usize, ConsumerTag)>,
}

impl ChannelModel {
    /// Whether the limit that its consumers share is reached. What was asked for by get does not count.
    fn is_blocked(&self) -> bool {
        let pushed = self.unsettled.iter().filter(|delivery| delivery.consumer.is_some()).count();
        self.shared_prefetch > 0 && pushed >= self.shared_prefetch as usize
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum How {
    Ack,
    Requeue,
    Reject,
}

/// A broker with everything that it has told its clients in the latest request.
pub struct Reference {
    topology: Arc<Topology>,
    now: u64,
    pub queues: Vec<Queue>,
    channels: Vec<ChannelModel>,
    /// What was given up: the message, by which queue, and why.
    dead: VecDeque<(Publication<()>, usize, DeathReason)>,
    pub told: Vec<(ClientId, Message<()>)>,
}

impl Reference {
    pub fn new(topology: Arc<Topology>) -> Reference {
        let queues = topology.queues.iter().cloned().map(Queue::new).collect();
        Reference { topology, now: 0, queues, channels: vec![], dead: VecDeque::new(), told: vec![] }
    }

    /// What a client sends.
    pub fn ask(&mut self, client: ClientId, message: Message<()>) {
        self.told.clear();
        if let Err((channel, code)) = self.handle(client, message) {
            self.told.push((client, Message::ChannelError { channel, code }));
            self.close(client, |number| number == channel);
        }
        self.bury();
    }

    /// Time passes up to a moment.
    pub fn advance(&mut self, until: Time) {
        self.told.clear();
        let until = until.as_nanos();
        loop {
            let due = |(index, queue): (usize, &Queue)| Some((queue.head()?.deadline?, index));
            let first = self.queues.iter().enumerate().filter_map(due).min();
            let Some((deadline, index)) = first.filter(|(deadline, _)| *deadline <= until) else { break };
            self.now = self.now.max(deadline);
            self.expire(index);
            self.bury();
        }
        self.now = until;
    }

    fn channel(&mut self, client: ClientId, number: Channel) -> &mut ChannelModel {
        let known = self.channels.iter().position(|channel| (channel.client, channel.number) == (client, number));
        let index = known.unwrap_or_else(|| {
            self.channels.push(ChannelModel {
                client,
                number,
                prefetch: 0,
                shared_prefetch: 0,
                published: None,
                delivered: 0,
                unsettled: vec![],
                consumers: vec![],
            });
            self.channels.len() - 1
        });
        &mut self.channels[index]
    }

    fn find(&self, store: StoreId) -> Result<usize, ReplyCode> {
        if store.index() < self.queues.len() { Ok(store.index()) } else { Err(ReplyCode::NotFound) }
    }

    fn handle(&mut self, client: ClientId, message: Message<()>) -> Result<(), (Channel, ReplyCode)> {
        match message {
            Message::Publish { channel, mandatory, publication } => {
                self.publish(client, channel, mandatory, publication).map_err(|code| (channel, code))
            }
            Message::ConfirmSelect { channel } => {
                self.channel(client, channel).published.get_or_insert(0);
                Ok(())
            }
            Message::Qos { channel, prefetch, global } => {
                self.limit(client, channel, prefetch, global && self.topology.profile.shared_prefetch);
                Ok(())
            }
            Message::Consume { channel, queue, tag, auto_ack, exclusive, priority } => {
                let queue = self.find(queue).map_err(|code| (channel, code))?;
                let config = &self.queues[queue].config;
                let consumers = &self.queues[queue].consumers;
                let alone = consumers.is_empty() && !config.single_active_consumer;
                if consumers.iter().any(|other| other.exclusive) || (exclusive && !alone) {
                    return Err((channel, ReplyCode::AccessRefused));
                }
                let (number, prefetch) = (self.queues[queue].registered, self.channel(client, channel).prefetch);
                let (unsettled, turn) = (0, None);
                self.channel(client, channel).consumers.push((queue, number, tag));
                self.queues[queue].add(Consumer {
                    number,
                    client,
                    channel,
                    tag,
                    auto_ack,
                    exclusive,
                    prefetch,
                    priority,
                    unsettled,
                    turn,
                });
                self.dispatch(queue);
                Ok(())
            }
            Message::Cancel { channel, tag } => {
                let consumers = &mut self.channel(client, channel).consumers;
                let Some(index) = consumers.iter().position(|(.., other)| *other == tag) else { return Ok(()) };
                let (queue, ..) = consumers.remove(index);
                self.queues[queue].remove(client, channel, Some(tag));
                self.dispatch(queue);
                Ok(())
            }
            Message::Get { channel, queue, auto_ack } => {
                let queue = self.find(queue).map_err(|code| (channel, code))?;
                self.get(client, channel, queue, auto_ack);
                Ok(())
            }
            Message::Ack { channel, tag, multiple } => self.settle(client, channel, tag, multiple, How::Ack),
            Message::Nack { channel, tag, multiple, requeue } => {
                self.settle(client, channel, tag, multiple, if requeue { How::Requeue } else { How::Reject })
            }
            Message::Reject { channel, tag, requeue } => {
                self.settle(client, channel, tag, false, if requeue { How::Requeue } else { How::Reject })
            }
            Message::Recover { channel } => self.settle(client, channel, 0, true, How::Requeue),
            Message::Purge { channel, queue } => {
                let queue = self.find(queue).map_err(|code| (channel, code))?;
                self.queues[queue].ready.clear();
                Ok(())
            }
            Message::CloseChannel { channel } => {
                self.close(client, |number| number == channel);
                Ok(())
            }
            Message::ConnectionLost => {
                self.close(client, |_| true);
                Ok(())
            }
            other => panic!("the reference knows nothing of {other:?}"),
        }
    }

    fn limit(&mut self, client: ClientId, channel: Channel, prefetch: u32, shared: bool) {
        let channel = self.channel(client, channel);
        if !shared {
            channel.prefetch = prefetch;
            return;
        }
        let was_blocked = channel.is_blocked();
        channel.shared_prefetch = prefetch;
        if was_blocked && !channel.is_blocked() {
            let number = channel.number;
            self.wake(client, number);
        }
    }

    /// The consumers of a channel that had reached its limit can take messages again.
    fn wake(&mut self, client: ClientId, channel: Channel) {
        for (queue, number, _) in self.channel(client, channel).consumers.clone() {
            self.queues[queue].join(number);
            self.dispatch(queue);
        }
    }

    fn publish(
        &mut self,
        client: ClientId,
        channel: Channel,
        mandatory: bool,
        mut publication: Publication<()>,
    ) -> Result<(), ReplyCode> {
        let exchange = self.topology.exchanges.get(usize::from(publication.exchange.0)).ok_or(ReplyCode::NotFound)?;
        if exchange.internal {
            return Err(ReplyCode::AccessRefused);
        }
        let mut properties = publication.properties.as_deref().cloned().unwrap_or_default();
        if let Some(expiration) = &properties.expiration {
            time_to_live(expiration).ok_or(ReplyCode::PreconditionFailed)?;
        }
        routing::keys_in(&properties.headers, "CC")?;
        properties.blind_copies = routing::keys_in(&properties.headers, "BCC")?;
        properties.headers.remove("BCC");
        let queues = routing::route(&self.topology, publication.exchange, publication.routing_key, &properties);
        publication.properties = publication.properties.map(|_| Arc::new(properties));
        let channel_model = self.channel(client, channel);
        let sequence = channel_model.published.as_mut().map(|published| {
            *published += 1;
            *published
        });
        if queues.is_empty() && mandatory {
            let (code, publication) = (ReplyCode::NoRoute, publication.clone());
            self.told.push((client, Message::Return { channel, code, publication }));
        }
        let mut result = Ok(());
        for queue in queues {
            if !self.enqueue(queue.index(), publication.clone()) {
                result = Err(Refusal::Full);
            }
        }
        if let Some(sequence) = sequence {
            self.told.push((client, Message::Confirm { channel, sequence, result }));
        }
        Ok(())
    }

    /// A queue gets a message. False where it refuses it.
    fn enqueue(&mut self, index: usize, publication: Publication<()>) -> bool {
        let queue = &mut self.queues[index];
        if queue.refuses(publication.envelope.size) {
            if queue.config.overflow == Overflow::RejectPublishDlx {
                self.dead.push_back((publication, index, DeathReason::MaxLength));
            }
            return false;
        }
        let own = publication.properties.as_ref().and_then(|properties| time_to_live(properties.expiration.as_ref()?));
        let ttl = queue.config.message_ttl.map(|ttl| ttl.as_nanos()).into_iter().chain(own).min();
        let deadline = ttl.map(|ttl| self.now + ttl);
        let place = queue.arrived;
        queue.arrived += 1;
        queue.ready.push(Copy { place, publication, deadline, redelivered: false });
        // Whoever waits gets it, even where its time to live is nothing.
        self.hand_out(index);
        self.shorten(index);
        self.expire(index);
        true
    }

    fn shorten(&mut self, index: usize) {
        while self.queues[index].is_too_long() {
            self.give_up(index, DeathReason::MaxLength);
        }
    }

    fn expire(&mut self, index: usize) {
        while self.queues[index].has_expired(self.now) {
            self.give_up(index, DeathReason::Expired);
        }
    }

    fn give_up(&mut self, index: usize, reason: DeathReason) {
        let head = self.queues[index].take_head().expect("there is a message to give up");
        self.dead.push_back((head.publication, index, reason));
    }

    fn dispatch(&mut self, index: usize) {
        self.expire(index);
        self.hand_out(index);
    }

    fn hand_out(&mut self, index: usize) {
        while !self.queues[index].ready.is_empty() {
            let Some(consumer) = self.queues[index].turn().cloned() else { return };
            let Consumer { number, client, channel, tag: consumer_tag, auto_ack, .. } = consumer;
            let taker = self.queues[index].consumer(number).expect("it is its turn");
            taker.turn = None;
            if self.channel(client, channel).is_blocked() && !auto_ack {
                continue;
            }
            let copy = self.queues[index].take_head().expect("a message is ready");
            let (redelivered, publication) = (copy.redelivered, copy.publication.clone());
            let offset = Offset::new(copy.place);
            let tag = self.deliver(client, channel, index, copy, (!auto_ack).then_some(Some(number)));
            let taker = self.queues[index].consumer(number).expect("it is its turn");
            taker.unsettled += u32::from(!auto_ack);
            self.queues[index].join(number);
            let (consumer, delivery_count, store) = (consumer_tag, 0, self.queues[index].config.store);
            let message =
                Message::Deliver { channel, consumer, tag, redelivered, delivery_count, store, offset, publication };
            self.told.push((client, message));
            self.expire(index);
        }
    }

    /// Gives a delivery its tag, and keeps it until it is settled where it has to be, for the consumer or a get.
    fn deliver(
        &mut self,
        client: ClientId,
        channel: Channel,
        queue: usize,
        copy: Copy,
        kept_for: Option<Option<usize>>,
    ) -> DeliveryTag {
        let channel = self.channel(client, channel);
        channel.delivered += 1;
        let tag = channel.delivered;
        if let Some(consumer) = kept_for {
            channel.unsettled.push(Unsettled { tag, queue, copy, consumer });
        }
        tag
    }

    fn get(&mut self, client: ClientId, channel: Channel, index: usize, auto_ack: bool) {
        self.expire(index);
        let found = self.queues[index].take_head().map(|copy| {
            let (place, redelivered) = (Offset::new(copy.place), copy.redelivered);
            let publication = copy.publication.clone();
            let tag = self.deliver(client, channel, index, copy, (!auto_ack).then_some(None));
            (tag, redelivered, place, publication)
        });
        self.expire(index);
        let (store, ready) = (self.queues[index].config.store, self.queues[index].ready.len() as u64);
        self.told.push((client, Message::GetAnswer { channel, store, found, ready }));
    }

    fn settle(
        &mut self,
        client: ClientId,
        number: Channel,
        tag: DeliveryTag,
        multiple: bool,
        how: How,
    ) -> Result<(), (Channel, ReplyCode)> {
        let channel = self.channel(client, number);
        let was_blocked = channel.is_blocked();
        let known = channel.unsettled.iter().any(|delivery| delivery.tag == tag);
        let all = multiple && tag == 0;
        if !known && !all {
            return Err((number, ReplyCode::PreconditionFailed));
        }
        let covered = |other: u64| if multiple { tag == 0 || other <= tag } else { other == tag };
        let settled = channel.unsettled.extract_if(.., |delivery| covered(delivery.tag)).collect();
        self.settle_all(settled, how);
        if was_blocked {
            self.wake(client, number);
        }
        Ok(())
    }

    /// Settles deliveries in their order; then their queues hand out what there is.
    fn settle_all(&mut self, all: Vec<Unsettled>, how: How) {
        let mut touched: Vec<usize> = vec![];
        for Unsettled { queue: index, mut copy, consumer, .. } in all {
            if !touched.contains(&index) {
                touched.push(index);
            }
            match how {
                How::Ack => {}
                How::Requeue => {
                    copy.redelivered = true;
                    self.queues[index].ready.push(copy);
                }
                How::Reject => self.dead.push_back((copy.publication, index, DeathReason::Rejected)),
            }
            if let Some(number) = consumer
                && let Some(consumer) = self.queues[index].consumer(number)
            {
                consumer.unsettled -= 1;
                self.queues[index].join(number);
            }
        }
        for index in touched {
            self.shorten(index);
            self.dispatch(index);
        }
    }

    /// Ends channels of a client: first all their consumers stop, then everything goes back.
    fn close(&mut self, client: ClientId, which: impl Fn(Channel) -> bool) {
        let ends = |channel: &mut ChannelModel| channel.client == client && which(channel.number);
        let ended: Vec<ChannelModel> = self.channels.extract_if(.., ends).collect();
        let consumed: Vec<usize> =
            ended.iter().flat_map(|channel| channel.consumers.iter().map(|(queue, ..)| *queue)).collect();
        for channel in &ended {
            for (queue, _, tag) in &channel.consumers {
                self.queues[*queue].remove(client, channel.number, Some(*tag));
            }
        }
        self.settle_all(ended.into_iter().flat_map(|channel| channel.unsettled).collect(), How::Requeue);
        consumed.into_iter().for_each(|queue| self.dispatch(queue));
    }

    /// Publishes what was given up to the dead-letter exchanges, in order.
    fn bury(&mut self) {
        while let Some((publication, index, reason)) = self.dead.pop_front() {
            let config = &self.queues[index].config;
            let Some(target) = config.dead_letter else { continue };
            let publication = on_record(publication, config.store, reason, &target, self.now);
            let properties = publication.properties.as_deref().expect("a death is on record");
            let queues = routing::route(&self.topology, target.exchange, publication.routing_key, properties);
            for queue in queues {
                if reason == DeathReason::Rejected || !goes_round(properties, queue) {
                    self.enqueue(queue.index(), publication.clone());
                }
            }
        }
    }

    /// Deliveries that are not settled on a channel, by tag.
    pub fn unsettled(&self, client: ClientId, channel: Channel) -> Vec<DeliveryTag> {
        let own = self.channels.iter().filter(|own| (own.client, own.number) == (client, channel));
        own.flat_map(|own| own.unsettled.iter().map(|delivery| delivery.tag)).collect()
    }

    /// Consumers on a channel, by tag.
    pub fn consumers(&self, client: ClientId, channel: Channel) -> Vec<ConsumerTag> {
        let own = self.channels.iter().filter(|own| (own.client, own.number) == (client, channel));
        own.flat_map(|own| own.consumers.iter().map(|(.., tag)| *tag)).collect()
    }
}

/// The nanoseconds in an `expiration`, if it is a number.
fn time_to_live(expiration: &Arc<str>) -> Option<u64> {
    let all_digits = !expiration.is_empty() && expiration.bytes().all(|byte| byte.is_ascii_digit());
    if all_digits { expiration.parse::<u64>().ok().map(|millis| millis * 1_000_000) } else { None }
}

/// A message as it goes to a dead-letter exchange.
fn on_record(
    mut publication: Publication<()>,
    queue: StoreId,
    reason: DeathReason,
    target: &DeadLetterConfig,
    now: u64,
) -> Publication<()> {
    let mut properties = publication.properties.as_deref().cloned().unwrap_or_default();
    let known = properties.deaths.iter().position(|death| death.queue == queue && death.reason == reason);
    let death = match known {
        Some(index) => {
            let death = properties.deaths.remove(index);
            Death { count: death.count + 1, ..death }
        }
        None => Death {
            queue,
            reason,
            count: 1,
            exchange: publication.exchange,
            routing_key: publication.routing_key,
            carbon_copies: routing::keys_in(&properties.headers, "CC").expect("it was looked at when it came"),
            time: Time::from_nanos(now),
            original_expiration: properties.expiration.clone(),
        },
    };
    properties.deaths.insert(0, death);
    properties.expiration = None;
    properties.last_death = Some((queue, reason, publication.exchange));
    properties.first_death = properties.first_death.or(properties.last_death);
    publication.exchange = target.exchange;
    if let Some(key) = target.routing_key {
        publication.routing_key = key;
        properties.headers.remove("CC");
        properties.blind_copies.clear();
    }
    publication.properties = Some(Arc::new(properties));
    publication
}

/// Whether a message has been dead in this queue before, without anybody having rejected it since.
fn goes_round(properties: &Properties, target: StoreId) -> bool {
    let Some(last) = properties.deaths.iter().position(|death| death.queue == target) else { return false };
    properties.deaths[..=last].iter().all(|death| death.reason != DeathReason::Rejected)
}
