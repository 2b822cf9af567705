//! What can be asked of a quorum queue, and what it tells.

use brokerlab_event::{ClientId, Duration, MessageId, NodeId, Offset, Time};

use crate::controller::FIRST_INCARNATION;
use crate::message::{Channel, ConsumerTag, DeliveryTag, Publication};
use crate::properties::DeathReason;

/// A node through which channels speak with the queue, in one of its lives.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Home {
    /// The node.
    pub node: NodeId,
    /// Which start of it.
    pub start: u32,
}

impl Default for Home {
    /// The first start of the first node.
    fn default() -> Home {
        Home { node: NodeId::new(0), start: FIRST_INCARNATION }
    }
}

/// A channel of a connection: it publishes, consumes, and dies as one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Session {
    /// The connection.
    pub client: ClientId,
    /// The channel.
    pub channel: Channel,
    /// Where the connection ends.
    pub home: Home,
}

impl Session {
    /// A channel of a connection with a node that is alone.
    pub fn new(client: ClientId, channel: Channel) -> Session {
        Session { client, channel, home: Home::default() }
    }
}

/// Somebody who gets messages of the queue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct ConsumerKey {
    /// The channel.
    pub session: Session,
    /// Which of those that the channel has.
    pub receiver: Receiver,
}

/// What a channel may receive by.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Receiver {
    /// A subscription.
    Subscription(ConsumerTag),
    /// One request for one message, named by the delivery tag that its answer will have.
    Get(DeliveryTag),
}

impl ConsumerKey {
    /// The key of a subscription at a node that is alone.
    pub fn subscription(client: ClientId, channel: Channel, tag: ConsumerTag) -> ConsumerKey {
        ConsumerKey { session: Session::new(client, channel), receiver: Receiver::Subscription(tag) }
    }

    /// The key of a request for one message at such a node.
    pub fn get(client: ClientId, channel: Channel, tag: DeliveryTag) -> ConsumerKey {
        ConsumerKey { session: Session::new(client, channel), receiver: Receiver::Get(tag) }
    }
}

/// What a consumer asks for.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct ConsumerOptions {
    /// At most this many unsettled; 0 for [`UNLIMITED_PREFETCH`](super::UNLIMITED_PREFETCH).
    pub prefetch: u32,
    /// Consumers of a higher priority are served first.
    pub priority: i32,
    /// Deliveries are settled as they are sent.
    pub auto_ack: bool,
    /// A delivery that is not settled for this long is returned; `None` for never.
    pub timeout: Option<Duration>,
}

/// Number of a delivery within its consumer, from 0.
pub type DeliveryNumber = u64;

/// What a consumer says of deliveries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Settlement {
    /// Done.
    Ack,
    /// Not done, through no fault of the message (`basic.nack` with requeue, AMQP 1.0 `released`).
    NackRequeue,
    /// Failed, but may be tried again (`basic.reject` with requeue).
    RejectRequeue,
    /// Failed for good (requeue = false).
    Discard,
    /// AMQP 1.0 `modified`.
    Modified {
        /// The delivery counts as failed.
        delivery_failed: bool,
        /// The message is given up.
        undeliverable_here: bool,
    },
}

/// What is asked of the queue.
#[derive(Clone, PartialEq, Debug)]
pub enum Command<P> {
    /// A channel is about to publish. It is told to stop where the queue is over its limits.
    RegisterSession(Session),
    /// Add a message.
    Enqueue {
        /// The message.
        publication: Publication<P>,
        /// The channel and its number of this message, from 1, by which a channel's own retries are recognised.
        sequence: Option<(Session, u64)>,
    },
    /// Start a consumer, or change one.
    Register {
        /// Who.
        consumer: ConsumerKey,
        /// What it asks for.
        options: ConsumerOptions,
    },
    /// Stop a consumer. What it holds stays with it.
    Cancel {
        /// Who.
        consumer: ConsumerKey,
    },
    /// A channel is closed or dead. What its consumers hold is returned and counts as failed.
    Down(Session),
    /// A node is out of reach, or was started anew: the channels of its lives before this one are dead.
    NodeDown {
        /// The node.
        node: NodeId,
        /// The first of its lives that is not over.
        starts: u32,
    },
    /// Another leader has begun, and nobody knows which deliveries of the one before have arrived. All are returned,
    /// through no fault of their own; with the next command they are delivered again.
    ReturnAll,
    /// Settle deliveries, in this order.
    Settle {
        /// Who.
        consumer: ConsumerKey,
        /// Which.
        deliveries: Vec<DeliveryNumber>,
        /// How.
        settlement: Settlement,
    },
    /// Ask for one message.
    Get {
        /// Who, by a key that is not in use.
        consumer: ConsumerKey,
        /// How; prefetch and priority mean nothing here.
        options: ConsumerOptions,
    },
    /// Remove everything that nobody holds.
    Purge,
    /// The targets of these dead letters have confirmed them.
    SettleDeadLetters {
        /// Their numbers.
        numbers: Vec<u64>,
    },
    /// Whoever carried the dead letters has started anew: hand out again what was not settled.
    RestartDeadLettering,
    /// Look what has come due.
    Tick,
    /// Remove everything and everybody.
    Delete,
}

/// Where a returned message went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Return {
    /// Among the returned messages, which are delivered before all others.
    First,
    /// To the end of the queue, as if it were new: a nack in a queue without a delivery limit.
    Last,
    /// Waits until this time.
    Until(Time),
}

/// A message on its way to a consumer.
#[derive(Clone, PartialEq, Debug)]
pub struct Delivery<P> {
    /// Its number.
    pub number: DeliveryNumber,
    /// The message's place.
    pub position: Offset,
    /// The message.
    pub publication: Publication<P>,
    /// Earlier deliveries that failed (`x-delivery-count`).
    pub delivery_count: u32,
    /// Earlier deliveries (`x-acquired-count`).
    pub acquired_count: u32,
    /// It is settled, and the message is gone.
    pub settled: bool,
}

impl<P> Delivery<P> {
    /// It was delivered before.
    pub fn redelivered(&self) -> bool {
        self.acquired_count > 0
    }
}

/// A message on its way to the dead letter exchange.
#[derive(Clone, PartialEq, Debug)]
pub struct DeadLetter<P> {
    /// To be settled by this number once its targets have it. `None` where the message is gone.
    pub number: Option<u64>,
    /// The message's place.
    pub position: Offset,
    /// Why it was given up.
    pub reason: DeathReason,
    /// The message.
    pub publication: Publication<P>,
    /// Deliveries that failed.
    pub delivery_count: u32,
    /// Deliveries.
    pub acquired_count: u32,
}

/// What the queue did. Every change of a message's state is told once, in the order in which it happened.
#[derive(Clone, PartialEq, Debug)]
pub enum Effect<P> {
    /// A message is in the queue.
    Enqueued {
        /// Its place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Bytes in its body.
        size: u32,
        /// The channel that waits for a confirm, and its number there.
        sequence: Option<(Session, u64)>,
    },
    /// The queue has this message already; to be confirmed like the first time.
    Repeated {
        /// The channel, and its number there.
        sequence: (Session, u64),
    },
    /// A message before this one is missing; it was not taken.
    OutOfSequence {
        /// The channel, and its number there.
        sequence: (Session, u64),
    },
    /// The channel must refuse publishes to this queue.
    PublishingStopped(Session),
    /// The channel may publish again.
    PublishingResumed(Session),
    /// A message goes to a consumer.
    Delivered {
        /// Who.
        consumer: ConsumerKey,
        /// What.
        delivery: Delivery<P>,
    },
    /// The answer to [`Command::Get`].
    GetAnswered {
        /// Who asked.
        consumer: ConsumerKey,
        /// The message, if there is one.
        delivery: Option<Delivery<P>>,
        /// How many are ready after it.
        ready: u64,
    },
    /// [`Command::Get`] is refused on a queue with a single active consumer.
    GetRefused {
        /// Who asked.
        consumer: ConsumerKey,
    },
    /// A consumer is done with a message, which is gone.
    Acked {
        /// Who.
        consumer: ConsumerKey,
        /// The delivery.
        number: DeliveryNumber,
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Bytes in its body.
        size: u32,
    },
    /// A message is back from a consumer.
    Returned {
        /// From whom.
        consumer: ConsumerKey,
        /// The delivery.
        number: DeliveryNumber,
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Where it went.
        to: Return,
    },
    /// A message that waited after its return can be delivered.
    Ready {
        /// The message's place.
        position: Offset,
    },
    /// A message was given up and is gone, as nothing takes dead letters.
    Dropped {
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Bytes in its body.
        size: u32,
        /// Why.
        reason: DeathReason,
    },
    /// A message was given up and is kept until it has reached the targets of dead letters.
    Discarded {
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Bytes in its body.
        size: u32,
        /// Why.
        reason: DeathReason,
    },
    /// A message goes to the dead letter exchange: given up just now, or kept and its turn has come.
    DeadLettered(DeadLetter<P>),
    /// A dead letter has reached its targets and is gone.
    DeadLetterSettled {
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
    },
    /// A message was purged, or deleted with its queue.
    Removed {
        /// The message's place.
        position: Offset,
        /// The message.
        message: MessageId,
        /// Bytes in its body.
        size: u32,
    },
    /// The answer to [`Command::Purge`]: how many were removed.
    Purged {
        /// How many.
        count: u64,
    },
    /// The answer to [`Command::Delete`]: how many were ready.
    Deleted {
        /// How many.
        ready: u64,
    },
    /// A consumer is the single active one now.
    ConsumerActivated(ConsumerKey),
    /// A consumer was the single active one and waits now.
    ConsumerDeactivated(ConsumerKey),
    /// These deliveries were not settled in time and were returned; the consumer gets nothing until it settles them
    /// or goes.
    ConsumerTimedOut {
        /// Who.
        consumer: ConsumerKey,
        /// The deliveries.
        deliveries: Vec<DeliveryNumber>,
    },
}
