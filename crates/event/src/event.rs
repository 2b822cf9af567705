//! What happened: the one vocabulary that drivers write and everything else reads.

use crate::{ApplicationId, ClientId, Duration, FaultId, KeyId, MessageId, NodeId, Offset, Party, StoreId, Time};

/// Who can know that an event happened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scope {
    /// Seen by producers and consumers (or decided by the scenario). Every driver supplies these; systems are
    /// compared on them.
    Client,
    /// Seen only inside our own broker engine.
    Broker,
}

/// Why a copy of a message left a store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Removal {
    /// A consumer acknowledged it.
    Acked = 0,
    /// Settled when it was sent to a consumer with automatic acknowledgement.
    AutoAcked = 1,
    /// A consumer rejected it.
    Rejected = 2,
    /// Retention by time.
    RetentionTime = 3,
    /// Retention by size.
    RetentionSize = 4,
    /// The queue was purged or deleted.
    Purged = 5,
    /// It was in memory only, or not yet flushed, when its node went down.
    NodeLost = 6,
    /// Its time to live was over.
    Expired = 7,
    /// The queue was at its limit of length.
    MaxLength = 8,
    /// It was returned too often.
    DeliveryLimit = 9,
    /// A later record of its key had taken its place, or said that the key is no more.
    Compacted = 10,
}

/// What a consumer said of a delivered message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Outcome {
    /// Done: the broker may forget it.
    Ack = 0,
    /// Give it to somebody, maybe me, again.
    Requeue = 1,
    /// Never give it to anybody again.
    Reject = 2,
    /// Nothing was said: the delivery itself settled it (automatic acknowledgement, broadcast).
    Automatic = 3,
}

/// Why a producer is held up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Blockage {
    /// Its queues hold more than its memory watermark allows.
    Memory = 0,
    /// More of what the producer sent waits to be written than its credit allows.
    Credit = 1,
    /// The producer's own buffer is full: too much of what it gathered is not confirmed.
    Buffer = 2,
}

/// Why a client is gone.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Departure {
    /// Its process died; what it held is lost to it.
    Crashed = 0,
    /// It left in good order: settled what its library settles, returned the rest.
    Left = 1,
}

/// Why the broker refused a message.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Refusal {
    /// The target does not exist (any more).
    NotFound = 0,
    /// Larger than the broker, the topic or the producer's buffer allows.
    TooLarge = 1,
    /// The queue is full and its overflow rule is to refuse.
    Full = 2,
    /// The producer's buffer was full for longer than the producer waits.
    Timeout = 3,
    /// Not as the target asks for: without a key for a compacted topic, or from too far in the future.
    Invalid = 4,
    /// The transaction that it was a part of was aborted, by the application or because something in it failed.
    Aborted = 5,
    /// Another process has taken over the transactional id, or the transaction took too long: the producer is shut out.
    Fenced = 6,
}

/// A value that an event carries, with its place in the packed form.
trait Field: Copy {
    /// Bits that the packed form gives to this field.
    const BITS: u32;
    fn bits(self) -> u64;
    fn from_bits(bits: u64) -> Self;
}

macro_rules! fields {
    ($($name:ty: $bits:literal, $number:ty;)*) => {$(
        impl Field for $name {
            const BITS: u32 = $bits;
            #[inline(always)]
            fn bits(self) -> u64 {
                u64::from(self.get())
            }
            fn from_bits(bits: u64) -> Self {
                <$name>::new(bits as $number)
            }
        }
    )*};
}

fields! {
    MessageId: 40, u64;
    Offset: 40, u64;
    ClientId: 24, u32;
    StoreId: 24, u32;
    ApplicationId: 16, u16;
    FaultId: 16, u16;
    NodeId: 16, u16;
    KeyId: 32, u32;
    Bytes: 32, u32;
    Count: 16, u16;
    Millionths: 32, u32;
}

/// Kinds, each a byte in the packed form.
macro_rules! kinds {
    ($($name:ident { $($variant:ident),* })*) => {$(
        impl Field for $name {
            const BITS: u32 = 8;
            #[inline(always)]
            fn bits(self) -> u64 {
                self as u64
            }
            fn from_bits(bits: u64) -> Self {
                let known = [$($name::$variant),*].into_iter().find(|kind| kind.bits() == bits);
                known.expect("only a kind is packed as one")
            }
        }
    )*};
}

kinds! {
    Removal { Acked, AutoAcked, Rejected, RetentionTime, RetentionSize, Purged, NodeLost, Expired, MaxLength, DeliveryLimit, Compacted }
    Outcome { Ack, Requeue, Reject, Automatic }
    Departure { Crashed, Left }
    Refusal { NotFound, TooLarge, Full, Timeout, Invalid, Aborted, Fenced }
    Blockage { Memory, Credit, Buffer }
}

/// A client is packed as it is alone; a node has the highest bit set, which no run has clients enough to need.
impl Field for Party {
    const BITS: u32 = <ClientId as Field>::BITS;
    #[inline(always)]
    fn bits(self) -> u64 {
        match self {
            Party::Client(client) => client.bits(),
            Party::Node(node) => node.bits() | Party::NODE,
        }
    }
    fn from_bits(bits: u64) -> Self {
        match bits & Party::NODE {
            0 => Party::Client(ClientId::from_bits(bits)),
            _ => Party::Node(NodeId::from_bits(bits ^ Party::NODE)),
        }
    }
}

impl Party {
    const NODE: u64 = 1 << (<ClientId as Field>::BITS - 1);
}

impl Field for bool {
    const BITS: u32 = 8;
    #[inline(always)]
    fn bits(self) -> u64 {
        u64::from(self)
    }
    fn from_bits(bits: u64) -> Self {
        bits != 0
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $wide:ty) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct $name($wide);

        impl $name {
            /// Holds this number.
            #[inline]
            pub const fn new(number: $wide) -> $name {
                $name(number)
            }

            /// The number.
            #[inline]
            pub const fn get(self) -> $wide {
                self.0
            }
        }

        impl core::fmt::Debug for $name {
            fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
                write!(f, "{}", self.get())
            }
        }
    };
}

number!(
    /// A size in bytes.
    Bytes, u32
);
number!(
    /// A small count: attempts, deliveries, generations (which saturate).
    Count, u16
);
number!(
    /// A factor in millionths.
    Millionths, u32
);

impl Count {
    /// Holds the number, or the largest that fits.
    #[inline]
    pub fn saturating(number: u64) -> Count {
        Count::new(number.min(u64::from(u16::MAX)) as u16)
    }
}

/// Declares the event enum once and derives everything that must never disagree with it: the names, the scopes
/// and the packed form that fingerprints are taken of. The numbers are part of the format: never reuse one.
macro_rules! events {
    ($($(#[$doc:meta])* $number:literal $scope:ident $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty),* $(,)?
    })*) => {
        /// One thing that happened, in the past tense. Which client, store or message is meant is said by ids;
        /// their names stand in the [`RunHeader`](crate::RunHeader).
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Event {
            $($(#[$doc])* $name { $($(#[$field_doc])* $field: $type),* }),*
        }

        impl Event {
            /// The name of every kind of event, in the order of their numbers.
            pub const NAMES: &[&str] = &[$(stringify!($name)),*];

            /// The number of this kind of event; fixed for ever.
            #[inline(always)]
            pub fn number(&self) -> u8 {
                match self { $(Event::$name { .. } => $number),* }
            }

            /// The name of this kind of event.
            pub fn name(&self) -> &'static str {
                match self { $(Event::$name { .. } => stringify!($name)),* }
            }

            /// Who can know of it.
            #[inline(always)]
            pub fn scope(&self) -> Scope {
                match self { $(Event::$name { .. } => Scope::$scope),* }
            }

            /// The packed form: the number, then the fields in order; a field that does not fit into what is left
            /// of a word begins the next. It is the same on every platform and is what
            /// [`Fingerprint`](crate::Fingerprint) digests.
            #[inline(always)]
            pub fn words(&self) -> [u64; 3] {
                match *self {
                    $(Event::$name { $($field),* } => {
                        #[allow(unused_mut)]
                        let mut packer = Packer { first: $number, second: 0, third: 0, word: 0, used: 8 };
                        $(packer.push($field);)*
                        [packer.first, packer.second, packer.third]
                    }),*
                }
            }

            /// The event of a packed form.
            fn from_words(words: [u64; 3]) -> Event {
                match words[0] as u8 {
                    $($number => {
                        #[allow(unused_mut, unused_variables)]
                        let mut unpacker = Unpacker { words, word: 0, used: 8 };
                        Event::$name { $($field: unpacker.pull()),* }
                    })*
                    number => unreachable!("no event has the number {number}"),
                }
            }
        }
    };
}

/// Lays fields side by side. Widths are constants, so where the kind of event is known nothing but shifts is left. The
/// words are fields of their own, because an array would be kept in memory wherever its index is not seen through.
struct Packer {
    first: u64,
    second: u64,
    third: u64,
    word: u32,
    used: u32,
}

impl Packer {
    #[inline(always)]
    fn push<F: Field>(&mut self, field: F) {
        if self.used + F::BITS > 64 {
            (self.word, self.used) = (self.word + 1, 0);
        }
        let bits = field.bits() << self.used;
        match self.word {
            0 => self.first |= bits,
            1 => self.second |= bits,
            _ => self.third |= bits,
        }
        self.used += F::BITS;
    }
}

/// The reverse.
struct Unpacker {
    words: [u64; 3],
    word: usize,
    used: u32,
}

impl Unpacker {
    #[inline(always)]
    fn pull<F: Field>(&mut self) -> F {
        if self.used + F::BITS > 64 {
            (self.word, self.used) = (self.word + 1, 0);
        }
        let bits = self.words[self.word] >> self.used & (u64::MAX >> (64 - F::BITS));
        self.used += F::BITS;
        F::from_bits(bits)
    }
}

events! {
    // The demand and the producer's side.

    /// The demand asked for this message to be sent. The record's time is the *intended* send time, from which
    /// every latency counts, whether or not the producer could send then.
    0 Client Offered {
        /// The message.
        message: MessageId,
        /// The producer that should send it.
        producer: ClientId,
        /// Its key, or [`KeyId::NONE`].
        key: KeyId,
        /// Size of its body in bytes.
        size: Bytes,
    }
    /// The producer handed it to the network.
    1 Client Sent {
        /// The message.
        message: MessageId,
        /// The producer.
        producer: ClientId,
        /// 1 for the first time, 2 for the first retry, …
        attempt: Count,
    }
    /// The broker's confirm reached the producer.
    2 Client Confirmed {
        /// The message.
        message: MessageId,
        /// The producer.
        producer: ClientId,
    }
    /// The producer was told that the message was not taken, by the broker or by its own client library.
    3 Client Refused {
        /// The message.
        message: MessageId,
        /// The producer.
        producer: ClientId,
        /// Why.
        reason: Refusal,
    }
    /// The broker returned the message because no queue is bound that would take it.
    4 Client Returned {
        /// The message.
        message: MessageId,
        /// The producer.
        producer: ClientId,
    }
    /// The answer of the application that processed the message reached the sender.
    5 Client Replied {
        /// The message that was answered.
        message: MessageId,
        /// Its sender.
        producer: ClientId,
    }

    // The consumer's side.

    /// The message reached a consumer's client library (pushed, or returned by a fetch).
    6 Client Delivered {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
        /// The queue or partition it came from; [`StoreId::MAX`] from a broadcast, which stores nothing.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// The broker says that it was delivered before.
        redelivered: bool,
    }
    /// The consumer began the work on the message.
    7 Client Started {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
    }
    /// The consumer finished the work: its effect has happened.
    8 Client Processed {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
        /// Where it came from.
        store: StoreId,
        /// Its place there.
        offset: Offset,
    }
    /// The consumer told the broker what to do with its delivery (or the delivery itself settled it).
    9 Client Settled {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
        /// Where it came from.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// What was said.
        outcome: Outcome,
    }
    /// One call of poll returned these records of one partition to the application.
    10 Client Polled {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// Offset of the first record returned.
        offset: Offset,
        /// How many.
        count: Count,
    }
    /// The broker acknowledged a committed offset of the consumer's group: the *next* record to read.
    11 Client Committed {
        /// The consumer that committed.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// The committed offset.
        offset: Offset,
    }
    /// The consumer now owns the partition and will start reading there.
    12 Client Assigned {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// The first offset it will read.
        offset: Offset,
        /// The generation of the group.
        generation: Count,
    }
    /// The consumer no longer owns the partition.
    13 Client Revoked {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// The generation it owned it in.
        generation: Count,
    }
    /// The client is running and has opened its connection. Every client begins as down.
    14 Client Connected {
        /// The client.
        client: ClientId,
    }
    /// The client is gone. What a consumer held in hand it will not process.
    15 Client Disconnected {
        /// The client.
        client: ClientId,
        /// Why.
        cause: Departure,
    }
    /// The client stands still: it neither works nor answers, and its connection stays open.
    16 Client Paused {
        /// The client.
        client: ClientId,
    }
    /// The client goes on.
    17 Client Resumed {
        /// The client.
        client: ClientId,
    }
    /// The consumer's work takes this many millionths of its usual time from now on (1000000 restores it).
    18 Client SpeedChanged {
        /// The consumer.
        client: ClientId,
        /// The factor.
        factor: Millionths,
    }
    /// A fault of the scenario began; it hits this client or node.
    19 Client FaultStarted {
        /// The fault.
        fault: FaultId,
        /// What its target resolved to in this contender.
        target: Party,
    }
    /// A fault of the scenario ended.
    20 Client FaultEnded {
        /// The fault.
        fault: FaultId,
        /// What its target resolved to in this contender.
        target: Party,
    }

    // Inside the broker.

    /// A copy of the message was stored: at the end of a queue or of a partition.
    21 Broker Stored {
        /// The message.
        message: MessageId,
        /// The queue or partition.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// Bytes that it takes.
        size: Bytes,
    }
    /// A copy of the message left its store.
    22 Broker Removed {
        /// The message.
        message: MessageId,
        /// The queue.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// Bytes that it took.
        size: Bytes,
        /// Why.
        cause: Removal,
    }
    /// A delivered message is ready for delivery again, at its old place.
    23 Broker Requeued {
        /// The message.
        message: MessageId,
        /// The queue.
        store: StoreId,
        /// Its place there.
        offset: Offset,
    }
    /// A partition dropped its oldest records: everything below `until`, from the earlier start of the log.
    24 Broker Trimmed {
        /// The partition.
        store: StoreId,
        /// The new start of the log.
        until: Offset,
        /// Why.
        cause: Removal,
    }
    /// A partition began a new segment at this offset.
    25 Broker SegmentRolled {
        /// The partition.
        store: StoreId,
        /// The first offset of the new segment.
        offset: Offset,
    }
    /// A broadcast found nobody of this application connected, or the one that it was sent to was gone when it
    /// arrived.
    26 Broker Missed {
        /// The message.
        message: MessageId,
        /// The application that did not get it.
        application: ApplicationId,
    }
    /// A message matched no queue and was dropped.
    27 Broker Unrouted {
        /// The message.
        message: MessageId,
    }
    /// Everything below this place of the store is on stable storage of this node.
    28 Broker Flushed {
        /// The node.
        node: NodeId,
        /// The store.
        store: StoreId,
        /// The first place that is not.
        offset: Offset,
    }
    /// The consumer group of this application began to redistribute its partitions; its members stop reading
    /// when they learn of it.
    29 Broker RebalanceStarted {
        /// The application that the group serves.
        application: ApplicationId,
        /// The generation that ends.
        generation: Count,
    }
    /// The group of this application is stable again.
    30 Broker RebalanceCompleted {
        /// The application that the group serves.
        application: ApplicationId,
        /// The generation that begins.
        generation: Count,
        /// How many members it has.
        members: Count,
    }

    // The census at the end of a run: what is still to be had. Every driver supplies it.

    /// At the end of the run this message is still stored for the application (ready or delivered and not
    /// settled), or still in the hands of a connected consumer.
    31 Client Remaining {
        /// The message.
        message: MessageId,
        /// The application that would still get it.
        application: ApplicationId,
    }
    /// At the end of the run the partition still holds these records, and the application's group has not read
    /// them: `from` is its committed offset (or where it would start), `until` is the end of the log. What lies
    /// before `from` it will never read. Told of every group and partition, also where nothing is left.
    32 Client RemainingRange {
        /// The partition.
        store: StoreId,
        /// The application whose group would still read them.
        application: ApplicationId,
        /// The first offset still to be read.
        from: Offset,
        /// The first offset that does not exist yet.
        until: Offset,
    }

    // Queues that give messages up, and brokers that hold producers up.

    /// A queue gave the message up, and another took it as a dead letter; told of each queue that did.
    33 Broker DeadLettered {
        /// The message.
        message: MessageId,
        /// The queue that gave it up.
        store: StoreId,
        /// The queue that took it; it can be the same.
        target: StoreId,
    }
    /// A queue did not take a message that was routed to it.
    34 Broker Declined {
        /// The message.
        message: MessageId,
        /// The queue.
        store: StoreId,
        /// Why.
        reason: Refusal,
    }
    /// A queue was deleted, or had not been used for too long.
    35 Broker QueueDeleted {
        /// The queue.
        store: StoreId,
    }
    /// The broker closed the channel of a client because of an error, and everything unsettled on it was returned.
    36 Client ChannelClosed {
        /// The client.
        client: ClientId,
        /// The AMQP reply code.
        code: Count,
    }
    /// The broker has stopped reading from this producer, or the producer's own buffer is full.
    37 Broker Blocked {
        /// The producer.
        client: ClientId,
        /// Why.
        cause: Blockage,
    }
    /// The producer can send again.
    38 Broker Unblocked {
        /// The producer.
        client: ClientId,
    }
    /// A consumer gave up its work on the message: it can do nothing with it, or not now.
    39 Client Failed {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
        /// Where it came from.
        store: StoreId,
        /// Its place there.
        offset: Offset,
    }

    // Producers that number their records, and their transactions.

    /// The broker recognised a batch that was in the partition already; nothing was stored.
    40 Broker Deduplicated {
        /// The message.
        message: MessageId,
        /// The partition.
        store: StoreId,
        /// Its place there.
        offset: Offset,
    }
    /// A transaction began to write to a partition: readers of committed data get no further than here until it ends.
    41 Broker TransactionOpened {
        /// The partition.
        store: StoreId,
        /// The offset of its first record there.
        offset: Offset,
        /// The producer.
        producer: ClientId,
    }
    /// The marker that ends a transaction was written to a partition.
    42 Broker TransactionEnded {
        /// The partition.
        store: StoreId,
        /// The offset of the transaction's first record there.
        first: Offset,
        /// The offset of the marker.
        offset: Offset,
        /// Its records count.
        committed: bool,
    }
    /// The transaction of a record was aborted: the record stays where it is, and readers of committed data never see
    /// it.
    43 Broker Aborted {
        /// The message.
        message: MessageId,
        /// The partition.
        store: StoreId,
        /// Its place there.
        offset: Offset,
    }

    // Connections that break, and producers that give up waiting.

    /// The client's connection broke, and what was under way on it is lost. The process goes on.
    44 Client ConnectionLost {
        /// The client.
        client: ClientId,
    }
    /// The client has a connection again.
    45 Client Reconnected {
        /// The client.
        client: ClientId,
    }
    /// The producer was told that no confirm came in time and that its client library tries no longer. Whether the
    /// message was stored, nobody knows.
    46 Client SendExpired {
        /// The message.
        message: MessageId,
        /// The producer.
        producer: ClientId,
    }

    // Where consumers of a log read.

    /// The consumer was to read at a place that the partition does not hold (any more); its reset policy has chosen
    /// another.
    47 Client PositionReset {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// Where it goes on.
        offset: Offset,
    }
    /// The consumer has no place to read from, and no reset policy to choose one: its application ends with an
    /// exception.
    48 Client Stranded {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
    }
    /// The group of this application was without members for so long that its committed offsets are forgotten.
    49 Broker OffsetsForgotten {
        /// The application that the group serves.
        application: ApplicationId,
    }
    /// The consumer went to another place in the partition, as somebody asked it to.
    50 Client Sought {
        /// The consumer.
        consumer: ClientId,
        /// The partition.
        store: StoreId,
        /// The next record that it reads.
        offset: Offset,
    }
    /// The consumer gave up its work on the message for now, and had a copy of it written to another partition: for a
    /// later attempt, or, where its application does not read that one, as a dead letter.
    51 Client SetAside {
        /// The message.
        message: MessageId,
        /// The consumer.
        consumer: ClientId,
        /// Where it came from.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// The partition that took the copy.
        target: StoreId,
    }

    // Share groups: queues on a log.

    /// The share group of this application begins to read a partition here; what lies below it will never read.
    52 Broker ShareStarted {
        /// The partition.
        store: StoreId,
        /// The application that the group serves.
        application: ApplicationId,
        /// The first offset that it reads.
        offset: Offset,
    }
    /// A record that a member of a share group had acquired waits for somebody of the group again.
    53 Broker Released {
        /// The message.
        message: MessageId,
        /// The partition.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// The application that the group serves.
        application: ApplicationId,
    }
    /// A share group is done with a record, which stays in its partition: nobody of the group will get it again.
    54 Broker Archived {
        /// The message.
        message: MessageId,
        /// The partition.
        store: StoreId,
        /// Its place there.
        offset: Offset,
        /// The application that the group serves.
        application: ApplicationId,
        /// Why.
        cause: Removal,
    }

    // Topics that change, and nodes that go down.

    /// Somebody added this partition to its topic: from now on records may be written to it.
    55 Broker PartitionAdded {
        /// The partition.
        store: StoreId,
    }
    /// The process of a broker node is gone, and nothing that it hosts can be reached. What its disk does not keep of
    /// queues is told as removed.
    56 Broker NodeDown {
        /// The node.
        node: NodeId,
    }
    /// A node is back with what its disk has kept.
    57 Broker NodeUp {
        /// The node.
        node: NodeId,
    }
    /// The end of a partition is gone, with all that was stored there: its node lost it, or was followed by one that
    /// never had it. What is stored next takes the same offsets.
    58 Broker Truncated {
        /// The partition.
        store: StoreId,
        /// Where it ends now.
        end: Offset,
    }
    /// Another node leads a partition, or the same one again. What the former leader had beyond the place up to which
    /// both hold the same is gone. What the new one has there is stored next.
    59 Broker LeaderElected {
        /// The partition.
        store: StoreId,
        /// The node.
        node: NodeId,
        /// One after the last record that its log has in common with the former leader's.
        end: Offset,
    }
}

/// An event and when it happened: the unit of an [`EventLog`](crate::EventLog). The event is kept in its packed form,
/// because a log holds millions of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Record {
    /// When.
    pub time: Time,
    words: [u64; 3],
}

impl Record {
    /// Packs an event.
    #[inline(always)]
    pub fn new(time: Time, event: Event) -> Record {
        Record { time, words: event.words() }
    }

    /// What happened.
    pub fn event(&self) -> Event {
        Event::from_words(self.words)
    }
}

impl core::fmt::Debug for Record {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Record").field("time", &self.time).field("event", &self.event()).finish()
    }
}

const _: () = assert!(size_of::<Record>() <= 32, "a record of an event takes at most 32 bytes");

impl Millionths {
    /// No change of speed.
    pub const ONE: Millionths = Millionths(1_000_000);

    /// The duration scaled by this factor.
    #[inline]
    pub fn of(self, duration: Duration) -> Duration {
        if self == Millionths::ONE {
            return duration;
        }
        duration.per_million(u64::from(self.get()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_order_of_declaration() {
        let event = Event::LeaderElected { store: StoreId::new(0), node: NodeId::new(0), end: Offset::ZERO };
        assert_eq!(Event::NAMES[event.number() as usize], event.name());
        assert_eq!(Event::NAMES.len() as u8, event.number() + 1);
    }

    #[test]
    fn the_packed_form_keeps_every_bit_of_every_field() {
        let event = Event::Removed {
            message: MessageId::new(0x12_3456_789a),
            store: StoreId::new(0xab_cdef),
            offset: Offset::new(0xfe_dcba_9876),
            size: Bytes::new(0x0bad_cafe),
            cause: Removal::RetentionSize,
        };
        let [a, b, c] = event.words();
        assert_eq!(a, 22 | 0x12_3456_789a << 8);
        assert_eq!(b, 0xab_cdef | 0xfe_dcba_9876 << 24);
        assert_eq!(c, 0x0bad_cafe | 4 << 32);
        assert_eq!(Record::new(Time::ZERO, event).event(), event);
        let (fault, client, node) = (FaultId::new(0x1234), ClientId::new(0x45_6789), NodeId::new(0xffff));
        for target in [Party::Client(client), Party::Node(node)] {
            let event = Event::FaultStarted { fault, target };
            assert_eq!(Record::new(Time::ZERO, event).event(), event);
        }
    }
}
