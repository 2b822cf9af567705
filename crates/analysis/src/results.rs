//! What a run came to. Plain data: made once at the end of a run, read by tables, files, charts and expectations.

use core::ops::{Index, IndexMut};

use brokerlab_event::{ApplicationId, ClientId, Duration, FaultId, Guarantee, KeyId, MessageId, Party, Time};

use crate::Histogram;

/// What became of a message for an application. Every message that was offered has exactly one fate for each
/// application; where several would fit, the one that stands first here is it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Fate {
    /// The application finished the work on it, once or more often.
    Processed,
    /// The application does not want this message.
    NotWanted,
    /// It is stored for the application and still to be had, or in the hands of a connected consumer, whatever
    /// happened to it before.
    InBacklog,
    /// A queue that serves the application gave it up, and a queue that does not took it as a dead letter. One that
    /// came back to the application since counts by what happened then.
    DeadLettered,
    /// It was given up before the application had processed it, by a policy (retention, purge, time to live, limit of
    /// length or of deliveries) or because a consumer rejected it, and nobody took it as a dead letter; or no queue
    /// of the application was bound that would take it.
    DroppedByPolicy,
    /// A broadcast found nobody of the application connected.
    Missed,
    /// It was settled or passed over without being processed: acknowledged before the work, taken by another
    /// application that shares the queue, committed before the work, or before the start of a group.
    Skipped,
    /// The broker confirmed it, and nobody counted at the end what the broker still held.
    Unknown,
    /// The broker confirmed it, and it is gone without a reason that anybody chose.
    Lost,
    /// The broker refused it, or a queue of the application did; the sender was told where it asked for confirms.
    Refused,
    /// No queue was bound that would take it, and it was returned to the sender.
    Returned,
    /// It was sent, no confirm came, and the application never processed it.
    Unconfirmed,
    /// The producer never came to send it.
    NotSent,
}

impl Fate {
    /// Every fate, in order of precedence.
    pub const ALL: [Fate; 13] = [
        Fate::Processed,
        Fate::NotWanted,
        Fate::InBacklog,
        Fate::DeadLettered,
        Fate::DroppedByPolicy,
        Fate::Missed,
        Fate::Skipped,
        Fate::Unknown,
        Fate::Lost,
        Fate::Refused,
        Fate::Returned,
        Fate::Unconfirmed,
        Fate::NotSent,
    ];

    /// The name used in files: a column of `summary.csv` and a value in `messages.csv`.
    pub fn name(self) -> &'static str {
        match self {
            Fate::Processed => "processed",
            Fate::NotWanted => "not_wanted",
            Fate::InBacklog => "in_backlog",
            Fate::DeadLettered => "dead_lettered",
            Fate::DroppedByPolicy => "dropped_by_policy",
            Fate::Missed => "missed",
            Fate::Skipped => "skipped",
            Fate::Unknown => "unknown",
            Fate::Lost => "lost",
            Fate::Refused => "refused",
            Fate::Returned => "returned",
            Fate::Unconfirmed => "unconfirmed",
            Fate::NotSent => "not_sent",
        }
    }
}

/// How many messages met each fate. Indexed by [`Fate`].
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct FateCounts([u64; Fate::ALL.len()]);

impl FateCounts {
    /// All of them together: what was offered.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }

    /// Every fate with its count, in order of precedence.
    pub fn iter(&self) -> impl Iterator<Item = (Fate, u64)> + '_ {
        Fate::ALL.into_iter().zip(self.0)
    }

    /// Adds the counts of another application.
    pub fn add(&mut self, other: &FateCounts) {
        for (own, their) in self.0.iter_mut().zip(other.0) {
            *own += their;
        }
    }
}

impl Index<Fate> for FateCounts {
    type Output = u64;
    #[inline]
    fn index(&self, fate: Fate) -> &u64 {
        &self.0[fate as usize]
    }
}

impl IndexMut<Fate> for FateCounts {
    #[inline]
    fn index_mut(&mut self, fate: Fate) -> &mut u64 {
        &mut self.0[fate as usize]
    }
}

/// A stretch of a message's way. Every stretch begins at the *intended* send time, so that a stalled producer
/// does not hide the waiting of the messages that it could not send.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
#[repr(u8)]
pub enum Stage {
    /// Until the broker's first confirm reached the producer.
    Confirm,
    /// Until the message first reached a consumer of the application.
    Deliver,
    /// Until a consumer of the application first finished the work.
    Process,
}

impl Stage {
    /// Every stage.
    pub const ALL: [Stage; 3] = [Stage::Confirm, Stage::Deliver, Stage::Process];

    /// The name used in files.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Confirm => "publish_to_confirm",
            Stage::Deliver => "publish_to_deliver",
            Stage::Process => "publish_to_process",
        }
    }
}

/// What went wrong with queues, messages and channels. Those of an application are of the queues that serve it and
/// of its consumers; the total is of all queues and clients, each counted once.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Incidents {
    /// Dead letters that another queue took; a message that dies often counts as often.
    pub dead_letters: u64,
    /// Copies whose time to live was over.
    pub expired: u64,
    /// Copies that a queue dropped because it was at its limit of length.
    pub overflowed: u64,
    /// Copies that a queue gave up because they were returned too often.
    pub delivery_limit: u64,
    /// Copies that a queue declined.
    pub declined: u64,
    /// Attempts to process a message that failed.
    pub failed: u64,
    /// Channels that the broker closed because of an error.
    pub channel_errors: u64,
    /// Queues that were deleted or had been unused for too long.
    pub queue_deletions: u64,
    /// Connections that broke while the process at their end went on.
    pub connections_lost: u64,
    /// Messages that were handed to the network again. Of producers, so there is no figure of an application.
    pub sent_again: u64,
    /// Messages whose producer was told that no confirm had come in time. Of producers, too.
    pub sends_expired: u64,
    /// Records that consumers of a log wrote to a retry topic, to try them again later.
    pub set_aside: u64,
    /// Times that a consumer of a log was to read where the partition holds nothing (any more), and was sent elsewhere
    /// by its reset policy.
    pub position_resets: u64,
    /// Consumers that ended because they had no position to read from, and no policy to choose one.
    pub stranded: u64,
    /// Times that a group was without members for so long that its committed offsets were forgotten.
    pub offsets_forgotten: u64,
    /// Records that a partition had already when they came again.
    pub deduplicated: u64,
    /// Records whose transaction was aborted.
    pub aborted: u64,
    /// Messages that the application processed although they were aborted, and never confirmed in another transaction:
    /// it acted on what never came to be.
    pub dirty_reads: u64,
}

/// Channels that the broker closed with one reply code.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChannelErrors {
    /// The AMQP reply code.
    pub code: u16,
    /// How many.
    pub count: u64,
}

/// How long producers were held up, each producer's time added to the others'.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct BlockedTime {
    /// Because its queues held more than its memory watermark allows.
    pub memory: Duration,
    /// Because more of what the producer had sent waited to be written than its credit allows.
    pub credit: Duration,
    /// Because their own buffers were full.
    pub buffer: Duration,
}

impl BlockedTime {
    /// For whatever reason.
    pub fn sum(&self) -> Duration {
        self.memory + self.credit + self.buffer
    }
}

/// The figures of one application, or of all together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Summary {
    /// Messages that the demand asked to be sent. The same for every application, whether or not it wants them.
    pub offered: u64,
    /// Messages that were handed to the network at least once.
    pub sent: u64,
    /// Messages that a confirm came for.
    pub confirmed: u64,
    /// Answers that reached the senders.
    pub replied: u64,
    /// The fates. For one application they sum to `offered`; in the total to `offered` times the number of
    /// applications.
    pub fates: FateCounts,
    /// Deliveries of any kind.
    pub deliveries: u64,
    /// Deliveries that the broker marked as made before.
    pub redeliveries: u64,
    /// Processings after the first of the same message by the same application.
    pub duplicates: u64,
    /// Those of them that followed because somebody sent the group back in its partitions: work repeated on purpose.
    pub replayed: u64,
    /// First processings at or after the end of the warm-up.
    pub processed_after_warm_up: u64,
    /// The time from the end of the warm-up to the end of the run.
    pub measured: Duration,
    /// Latencies by [`Stage`] of the messages that were to be sent at or after the end of the warm-up.
    pub latency: [Histogram; Stage::ALL.len()],
    /// The most messages that waited for the application at any moment: for queues what they store, ready and
    /// unacknowledged; for a log the records from the group's position (one after the last it processed, moved by
    /// every assignment) to the end of the log. In the total: the maximum of the sum.
    pub backlog_max: u64,
    /// The most messages stored at any moment in the stores that serve the application (in the total: in all).
    pub stored_messages_max: u64,
    /// The most bytes stored at any moment in the stores that serve the application (in the total: in all).
    pub stored_bytes_max: u64,
    /// First processings of a message after a later message of the same key. Duplicates, messages without a key and
    /// messages that the application does not want do not count.
    pub key_order_violations: u64,
    /// Keys with at least one violation. In the total: the sum over the applications.
    pub keys_out_of_order: u64,
    /// The longest time without any processing while there was a backlog. In the total: the longest of any
    /// application.
    pub longest_stall: Duration,
    /// How often the group began to redistribute its partitions.
    pub rebalances: u64,
    /// How long the group was between the begin and the completion of a rebalance, all in all.
    pub rebalancing: Duration,
    /// How long partitions had no consumer of the application that reads them, each partition's time added to the
    /// others': before the first assignment, during rebalances, and after an owner died. Nothing where partitions have
    /// no owners.
    pub unread: Option<Duration>,
    /// What went wrong.
    pub incidents: Incidents,
    /// How long producers were blocked; the same for every application.
    pub blocked: BlockedTime,
}

impl Summary {
    /// Messages that the application wants, did not process, and cannot have any more.
    pub fn not_processed(&self) -> u64 {
        let other = [Fate::Processed, Fate::InBacklog, Fate::NotWanted];
        self.fates.sum() - other.iter().map(|&fate| self.fates[fate]).sum::<u64>()
    }

    /// Messages processed a second after the warm-up, duplicates not counted; nothing where no time was measured.
    pub fn throughput(&self) -> Option<f64> {
        let seconds = self.measured.as_secs_f64();
        (seconds > 0.0).then(|| self.processed_after_warm_up as f64 / seconds)
    }

    /// The latencies of a stage.
    pub fn latency(&self, stage: Stage) -> &Histogram {
        &self.latency[stage as usize]
    }
}

/// A processing out of the order of its key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct OutOfOrder {
    /// When the message was processed.
    pub time: Time,
    /// Its key.
    pub key: KeyId,
    /// The message.
    pub message: MessageId,
    /// The latest message of the key that was processed before it. How far back it came is the difference of the
    /// two numbers.
    pub overtaken_by: MessageId,
}

/// What the run was for one application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ApplicationResults {
    /// Its figures.
    pub summary: Summary,
    /// The first violations of key order, in order of time, bounded by the options.
    pub out_of_order: Vec<OutOfOrder>,
    /// Its column of the time series; as many bins as [`Series::bins`].
    pub bins: Vec<ApplicationBin>,
    /// Its figures for each kind of message; empty where there is one kind only.
    pub kinds: Vec<KindResults>,
}

/// What became of the messages of one kind for one application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KindResults {
    /// Messages processed.
    pub processed: u64,
    /// From the intended send time to the end of the work, of messages offered after the warm-up.
    pub latency: Histogram,
}

/// What happened in one bin of the time series, over all applications. Counts are of the bin; levels are at its
/// end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Bin {
    /// Messages offered.
    pub offered: u64,
    /// Messages handed to the network, every attempt counted.
    pub sent: u64,
    /// Messages confirmed.
    pub confirmed: u64,
    /// Messages stored, every copy in every queue or partition counted.
    pub stored_messages: u64,
    /// Bytes stored.
    pub stored_bytes: u64,
    /// Different messages stored.
    pub stored_distinct: u64,
    /// How long producers were blocked, each producer's time added to the others'.
    pub blocked: Duration,
}

impl Bin {
    /// How many times a stored message is stored on average; nothing where nothing is stored.
    pub fn copies(&self) -> Option<f64> {
        (self.stored_distinct > 0).then(|| self.stored_messages as f64 / self.stored_distinct as f64)
    }
}

/// What happened in one bin of the time series for one application. Counts are of the bin; levels are at its end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ApplicationBin {
    /// Deliveries.
    pub delivered: u64,
    /// First processings.
    pub processed: u64,
    /// Processings after the first.
    pub duplicates: u64,
    /// Messages waiting, as in [`Summary::backlog_max`].
    pub backlog: u64,
    /// The backlog in time: how long ago the oldest message of the backlog arrived if messages leave in the order
    /// in which they came, from the arrivals per bin and therefore to the precision of a bin.
    pub backlog_age: Duration,
    /// Messages delivered and not settled; for a log, delivered and not processed.
    pub in_flight: u64,
    /// Consumers that are connected and not paused.
    pub consumers_up: u32,
    /// How long partitions had nobody who reads them, as in [`Summary::unread`], within the bin.
    pub unread: Option<Duration>,
}

/// The time series: the run in equal bins.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Series {
    /// The length of a bin.
    pub bin: Duration,
    /// The end of the run, at which the last bin may be cut short.
    pub end: Time,
    /// The bins in order; bin `n` begins at `n` bin lengths.
    pub bins: Vec<Bin>,
}

impl Series {
    /// When a bin begins.
    pub fn start_of(&self, index: usize) -> Time {
        Time::from_nanos(self.bin.as_nanos() * index as u64)
    }

    /// How long a bin is: the bin length, or less for the last.
    pub fn length_of(&self, index: usize) -> Duration {
        let start = self.start_of(index);
        let left = self.end.saturating_since(start);
        if left < self.bin { left } else { self.bin }
    }

    /// A count of the bin as events a second; zero for a bin without length.
    pub fn rate(&self, index: usize, count: u64) -> f64 {
        let seconds = self.length_of(index).as_secs_f64();
        if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
    }
}

/// How a guarantee came out.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Judgement {
    /// No break was seen in this run.
    Held,
    /// It had to hold and did not.
    Broken,
    /// The configuration allows a break, and there was one.
    AllowedAndBroke,
    /// It says nothing here: it is not promised, or no message could have broken it.
    NotApplicable,
    /// What would be needed to judge was not seen.
    Unknown,
}

impl Judgement {
    /// The name used in files and tables.
    pub fn name(self) -> &'static str {
        match self {
            Judgement::Held => "held",
            Judgement::Broken => "broken",
            Judgement::AllowedAndBroke => "allowed to break and broke",
            Judgement::NotApplicable => "not applicable",
            Judgement::Unknown => "unknown",
        }
    }
}

/// How one guarantee came out for one application.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Verdict {
    /// The guarantee.
    pub guarantee: Guarantee,
    /// For whom.
    pub application: ApplicationId,
    /// How it came out.
    pub judgement: Judgement,
    /// How often it was broken: messages, duplicates or violations.
    pub breaks: u64,
    /// The reasons for which the configuration allows a break; empty where it must hold.
    pub allowed: Vec<String>,
}

/// A fault, and whom it hit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FaultHit {
    /// The fault.
    pub fault: FaultId,
    /// The client or node that its target resolved to.
    pub target: Party,
    /// When it began.
    pub started: Time,
    /// When it ended, if it did within the run.
    pub ended: Option<Time>,
}

/// One message for one application: a line of `messages.csv`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRow {
    /// The message.
    pub message: MessageId,
    /// The application.
    pub application: ApplicationId,
    /// Its key, or [`KeyId::NONE`].
    pub key: KeyId,
    /// Size of its body in bytes.
    pub size: u32,
    /// When it was to be sent.
    pub intended: Time,
    /// When it was first sent.
    pub sent: Option<Time>,
    /// When its first confirm came.
    pub confirmed: Option<Time>,
    /// When it first reached a consumer of the application.
    pub delivered: Option<Time>,
    /// When the application first finished the work.
    pub processed: Option<Time>,
    /// How often it was delivered to the application.
    pub deliveries: u32,
    /// How often the application processed it.
    pub processings: u32,
    /// The consumer that processed it first, else the one that it was delivered to last.
    pub consumer: Option<ClientId>,
    /// What became of it.
    pub fate: Fate,
}

/// What a run came to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Results {
    /// When the run ended.
    pub end: Time,
    /// How many events it had.
    pub events: u64,
    /// All applications together.
    pub total: Summary,
    /// Each application, in the order of the header.
    pub applications: Vec<ApplicationResults>,
    /// The time series over all applications.
    pub series: Series,
    /// One verdict for each guarantee and application; applications in the order of the header, guarantees in the
    /// order of [`Guarantee::ALL`].
    pub verdicts: Vec<Verdict>,
    /// Whom the faults hit, in order of time.
    pub faults: Vec<FaultHit>,
    /// The channels that the broker closed, by reply code.
    pub channel_errors: Vec<ChannelErrors>,
    /// One row per message and application, in that order, where the options asked for it.
    pub messages: Option<Vec<MessageRow>>,
}
