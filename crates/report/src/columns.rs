//! Every column of every CSV file, with its unit and meaning: the one place where they are declared.

use core::fmt::Write;

use brokerlab_analysis::Fate;

use crate::table::{Millis, Row, Seconds, Thousandths, table};

/// Stands in the column `application` of rows that hold all applications together.
pub const ALL: &str = "(all)";

table! { SummaryRow, "summary.csv",
    "One row for each contender and application, and one for all applications of the contender together.";
    contender: String, "", "Name of the contender.";
    model: String, "", "Its model: queue, fanout, broadcast or log.";
    application: String, "", "Name of the application, or `(all)`.";
    offered: u64, "messages", "Messages that the demand asked to be sent; in a row of all applications, times their number. The fates sum to it.";
    sent: u64, "messages", "Messages that were handed to the network at least once.";
    confirmed: u64, "messages", "Messages whose producer received a confirm.";
    replied: u64, "messages", "Answers that reached producers; a message that several applications answer has several.";
    processed: u64, "messages", "Fate: the application finished the work on it, once or more often.";
    dead_lettered: u64, "messages", "Fate: a queue of the application gave it up, and one that does not serve it took it as a dead letter.";
    dropped_by_policy: u64, "messages", "Fate: given up before it was processed (by retention, purge, time to live or a limit, rejected by a consumer, or for want of a binding), and nobody took it as a dead letter.";
    missed: u64, "messages", "Fate: a broadcast found nobody of the application connected.";
    skipped: u64, "messages", "Fate: settled or passed over without being processed (acknowledged or committed before the work, taken by another application, or before the start of a group).";
    lost: u64, "messages", "Fate: confirmed, and gone without a reason that anybody chose.";
    in_backlog: u64, "messages", "Fate: stored and still to be had when the run ended, or in the hands of a connected consumer.";
    refused: u64, "messages", "Fate: the broker or a queue of the application refused it; the sender was told where it asked for confirms.";
    returned: u64, "messages", "Fate: no queue would take it, and it was returned to the sender.";
    unconfirmed: u64, "messages", "Fate: sent, never confirmed, and never processed.";
    not_sent: u64, "messages", "Fate: the producer never came to send it.";
    not_wanted: u64, "messages", "Fate: the application does not want this message.";
    unknown: u64, "messages", "Fate: confirmed, and nobody counted at the end what the broker still held.";
    deliveries: u64, "deliveries", "Deliveries of any kind.";
    redeliveries: u64, "deliveries", "Deliveries that the broker marked as made before.";
    duplicates: u64, "processings", "Processings after the first of the same message by the same application.";
    throughput_per_s: Option<Thousandths>, "messages/s", "Messages processed a second after the warm-up, duplicates not counted.";
    latency_ms_mean: Option<Millis>, "ms", "Mean time from the intended send time to the end of the work.";
    latency_ms_p50: Option<Millis>, "ms", "Half of the messages were processed within this time from their intended send time.";
    latency_ms_p90: Option<Millis>, "ms", "90 % were.";
    latency_ms_p95: Option<Millis>, "ms", "95 % were.";
    latency_ms_p99: Option<Millis>, "ms", "99 % were.";
    latency_ms_p99_9: Option<Millis>, "ms", "99.9 % were.";
    latency_ms_max: Option<Millis>, "ms", "All were.";
    backlog_max: u64, "messages", "The most messages that waited for the application at any moment.";
    stored_messages_max: u64, "messages", "The most messages stored at any moment in the stores that serve the application, every copy counted.";
    stored_bytes_max: u64, "bytes", "The most bytes stored there at any moment.";
    key_order_violations: u64, "messages", "Messages first processed after a later message of the same key.";
    keys_out_of_order: u64, "keys", "Keys with at least one such message.";
    longest_stall_s: Seconds, "s", "The longest time without any processing while messages waited.";
    rebalances: u64, "rebalances", "How often the group began to redistribute its partitions. Where the broker assigns (KIP-848), a change that is complete with one heartbeat, because no consumer has to give up a partition first, is none.";
    rebalancing_s: Seconds, "s", "How long the group spent rebalancing, all in all.";
    not_processed: u64, "messages", "Messages that the application wants, did not process, and cannot have any more: every fate but processed, in_backlog and not_wanted.";
    dead_letters: u64, "dead letters", "Dead letters that another queue took from a queue of the application (in a row of all applications: from any queue, each counted once, as for all that follow).";
    expired: u64, "copies", "Copies whose time to live was over.";
    overflowed: u64, "copies", "Copies that a queue dropped because it was at its limit of length.";
    delivery_limit: u64, "copies", "Copies that a queue gave up because they were returned too often.";
    declined: u64, "copies", "Copies that a queue declined.";
    failed: u64, "attempts", "Attempts to process a message that failed.";
    channel_errors: u64, "channels", "Channels of consumers (in a row of all applications: of any client) that the broker closed because of an error; channel_errors.csv has the codes.";
    queue_deletions: u64, "queues", "Queues that were deleted or had been unused for too long.";
    connections_lost: u64, "connections", "Connections of consumers (in a row of all applications: of any client) that broke while the process went on.";
    sent_again: u64, "messages", "Messages that were handed to the network again, each time counted; only in a row of all applications.";
    sends_expired: u64, "messages", "Messages whose producer was told that no confirm had come in time; only in a row of all applications.";
    deduplicated: u64, "records", "Records that a partition had already when they came again, and did not store twice.";
    aborted: u64, "records", "Records whose transaction was aborted.";
    blocked_memory_s: Seconds, "s", "How long the broker did not read from producers because of its memory alarm, each producer's time added to the others'; the same in every row of a contender.";
    blocked_credit_s: Seconds, "s", "The same for want of credit.";
    blocked_buffer_s: Seconds, "s", "The same because their own buffers were full.";
    blocked_share: Option<crate::table::Decimal<4>>, "%", "Both together as a share of the time of all producers.";
    replayed: u64, "processings", "Those of the duplicates that followed because somebody sent the group back in its partitions.";
    position_resets: u64, "resets", "Times that a consumer of a log was to read where the partition holds nothing (any more), and was sent elsewhere by its reset policy; or that it went back to the end of a log which has lost what it had read.";
    stranded: u64, "consumers", "Consumers that ended because they had no position to read from, and no reset policy to choose one.";
    set_aside: u64, "records", "Records that consumers of a log wrote to a retry topic, to try them again later.";
    offsets_forgotten: u64, "groups", "Times that a group was without members for so long that its committed offsets were forgotten.";
    unread_s: Option<Seconds>, "s", "How long partitions had no consumer that read them (before the first assignment, during rebalances, after an owner died), each partition's time added to the others'; empty where partitions have no owners.";
    dirty_reads: u64, "messages", "Messages that the application processed although they were aborted, and never confirmed in another transaction.";
}

table! { TimeseriesRow, "timeseries.csv",
    "One row for each contender, application and bin of time, and one for all applications together. Rates are of the bin, levels are at its end.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application, or `(all)`.";
    time_s: Seconds, "s", "When the bin begins, in virtual time.";
    length_s: Seconds, "s", "How long the bin is.";
    offered_per_s: Option<Thousandths>, "messages/s", "Messages offered; only in rows of all applications.";
    sent_per_s: Option<Thousandths>, "messages/s", "Messages handed to the network, every attempt counted; only in rows of all applications.";
    confirmed_per_s: Option<Thousandths>, "messages/s", "Messages confirmed; only in rows of all applications.";
    delivered_per_s: Thousandths, "deliveries/s", "Deliveries to consumers.";
    processed_per_s: Thousandths, "messages/s", "Messages processed for the first time.";
    duplicates_per_s: Thousandths, "processings/s", "Processings after the first.";
    backlog: u64, "messages", "Messages waiting: stored and not yet settled in a queue, or between a group's position and the end of the log.";
    backlog_s: Seconds, "s", "How long ago the oldest waiting message arrived, to the precision of a bin; for all applications the longest.";
    in_flight: u64, "messages", "Messages delivered and not yet settled; for a log, delivered and not yet processed.";
    stored_messages: Option<u64>, "messages", "Messages stored, every copy counted; only in rows of all applications.";
    stored_bytes: Option<u64>, "bytes", "Bytes stored; only in rows of all applications.";
    copies: Option<Thousandths>, "copies", "How many times a stored message is stored on average; only in rows of all applications, empty where nothing is stored.";
    consumers_up: u64, "consumers", "Consumers that are connected and not paused.";
    blocked_s: Option<Seconds>, "s", "How long the broker did not read from producers, each producer's time added to the others'; only in rows of all applications.";
    unread_partitions: Option<Thousandths>, "partitions", "Partitions that no consumer of the application read, on average over the bin; for all applications the sum. Empty where partitions have no owners.";
}

table! { LatencyRow, "latency.csv",
    "The percentile curve of each contender, application and stage, and of each kind of message where there are several.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application, or `(all)`.";
    kind: String, "", "Name of the kind of messages; empty for all kinds together.";
    stage: String, "", "From the intended send time until the confirm (publish_to_confirm), the first delivery (publish_to_deliver) or the end of the work (publish_to_process).";
    share: crate::table::Decimal<4>, "%", "This share of the messages took at most `latency_ms`.";
    latency_ms: Millis, "ms", "The latency.";
}

table! { OrderingRow, "ordering.csv",
    "The first messages of each contender and application that were processed after a later message of the same key.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application.";
    time_s: Seconds, "s", "When the message was processed, in virtual time.";
    key: String, "", "The key.";
    message: u64, "", "Number of the message, in the order of the intended send times.";
    overtaken_by: u64, "", "Number of the latest message of the key that was processed before it.";
    behind: u64, "messages", "How far behind it came: the difference of the two numbers.";
}

table! { FaultRow, "faults.csv",
    "One row for each contender and fault that began.";
    contender: String, "", "Name of the contender.";
    fault: String, "", "The fault as the scenario names it.";
    target: String, "", "Whom it hit in this contender; `nobody` where its target was not there.";
    from_s: Seconds, "s", "When it began, in virtual time.";
    until_s: Option<Seconds>, "s", "When it ended; empty where it lasted until the end of the run.";
}

table! { TargetRow, "targets.csv",
    "One row for each contender, application, fault and target that it could have hit as well; written on request. Each is a run of its own, in which the fault hits that target.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application.";
    fault: String, "", "The fault as the scenario names it.";
    target: String, "", "Whom it hits in this run.";
    rank: String, "", "best or worst of the targets; empty for those between, and where all are alike.";
    failing: u64, "expectations", "Expectations of the contender that fail in this run.";
    lost: u64, "messages", "Messages that were confirmed, and are gone without a reason that anybody chose.";
    not_processed: u64, "messages", "Messages that the application wants, did not process, and cannot have any more.";
    in_backlog: u64, "messages", "Messages that were still to be had when the run ended.";
    duplicates: u64, "processings", "Processings after the first of the same message.";
    key_order_violations: u64, "messages", "Messages first processed after a later message of the same key.";
    latency_ms_p99: Option<Millis>, "ms", "99 % of the messages were processed within this time.";
    latency_ms_max: Option<Millis>, "ms", "All were.";
    longest_stall_s: Seconds, "s", "The longest time without any processing while messages waited.";
}

table! { ChannelErrorRow, "channel_errors.csv",
    "One row for each contender and reply code with which the broker closed channels.";
    contender: String, "", "Name of the contender.";
    code: u64, "", "The AMQP reply code.";
    name: String, "", "Its name.";
    channels: u64, "channels", "How many channels were closed with it.";
}

table! { VerdictRow, "verdicts.csv",
    "One row for each contender, application and guarantee.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application.";
    guarantee: String, "", "delivery, no-duplicates or key-order.";
    verdict: String, "", "held, broken, allowed to break and broke, not applicable, or unknown.";
    breaks: u64, "breaks", "How often it was broken: messages, duplicates or violations.";
    allowed: String, "", "Why this configuration allows a break; empty where it must hold.";
}

table! { MessageRow, "messages.csv",
    "One row for each contender, message and application; written on request.";
    contender: String, "", "Name of the contender.";
    application: String, "", "Name of the application.";
    message: u64, "", "Number of the message, in the order of the intended send times.";
    key: String, "", "Its key; empty where it has none.";
    size_bytes: u64, "bytes", "Size of its body.";
    intended_s: Seconds, "s", "When it was to be sent, in virtual time.";
    sent_s: Option<Seconds>, "s", "When it was first sent.";
    confirmed_s: Option<Seconds>, "s", "When its first confirm came.";
    delivered_s: Option<Seconds>, "s", "When it first reached a consumer of the application.";
    processed_s: Option<Seconds>, "s", "When the application first finished the work.";
    deliveries: u64, "deliveries", "How often it was delivered to the application.";
    processings: u64, "processings", "How often the application processed it.";
    consumer: String, "", "The consumer that processed it first, else the one that it was delivered to last.";
    fate: String, "", "What became of it: the name of a fate column of summary.csv.";
}

impl SummaryRow {
    /// The column of a fate.
    pub fn fate(&self, fate: Fate) -> u64 {
        match fate {
            Fate::Processed => self.processed,
            Fate::DeadLettered => self.dead_lettered,
            Fate::DroppedByPolicy => self.dropped_by_policy,
            Fate::Missed => self.missed,
            Fate::Skipped => self.skipped,
            Fate::Lost => self.lost,
            Fate::InBacklog => self.in_backlog,
            Fate::Refused => self.refused,
            Fate::Returned => self.returned,
            Fate::Unconfirmed => self.unconfirmed,
            Fate::NotSent => self.not_sent,
            Fate::NotWanted => self.not_wanted,
            Fate::Unknown => self.unknown,
        }
    }
}

/// The documentation of every file and column, in Markdown.
pub fn columns_markdown() -> String {
    let mut text = String::from(
        "# The CSV files of a run\n\nUTF-8, comma-separated, one line of headings. Times are virtual. An empty cell \
         means that there is no such value, never zero. Columns keep their meaning; new ones are added at the end.\n",
    );
    file::<SummaryRow>(&mut text);
    file::<TimeseriesRow>(&mut text);
    file::<LatencyRow>(&mut text);
    file::<OrderingRow>(&mut text);
    file::<FaultRow>(&mut text);
    file::<TargetRow>(&mut text);
    file::<ChannelErrorRow>(&mut text);
    file::<VerdictRow>(&mut text);
    file::<MessageRow>(&mut text);
    text
}

fn file<R: Row>(text: &mut String) {
    let expect = "writing into a string does not fail";
    write!(text, "\n## {}\n\n{}\n\n| column | unit | meaning |\n|---|---|---|\n", R::FILE, R::ABOUT).expect(expect);
    for column in R::COLUMNS {
        writeln!(text, "| `{}` | {} | {} |", column.name, column.unit, column.meaning).expect(expect);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::table::{read_csv, write_csv};

    #[test]
    fn the_page_on_columns_is_up_to_date() {
        let page = include_str!("../columns.md");
        assert_eq!(
            page,
            columns_markdown(),
            "run `cargo run -p brokerlab-report --example columns > crates/report/columns.md`"
        );
    }

    #[test]
    fn every_fate_has_its_column_and_every_measure_its_unit() {
        for fate in Fate::ALL {
            assert!(SummaryRow::COLUMNS.iter().any(|column| column.name == fate.name()), "{}", fate.name());
        }
        for column in SummaryRow::COLUMNS.iter().chain(TimeseriesRow::COLUMNS) {
            let text = ["contender", "model", "application"].contains(&column.name);
            assert_eq!(column.unit.is_empty(), text, "{}", column.name);
        }
    }

    #[test]
    fn rows_survive_the_file_whatever_their_names_hold() {
        let row = FaultRow {
            contender: "queue, \"the\" fast\none".into(),
            fault: "crash billing/2".into(),
            target: "billing/2".into(),
            from_s: crate::table::Decimal(30_000_000_001),
            until_s: None,
        };
        let text = write_csv(std::slice::from_ref(&row));
        assert!(String::from_utf8_lossy(&text).contains("30.000000001,\n"));
        assert_eq!(read_csv::<FaultRow>(&text).expect("our own file"), [row]);
    }

    #[test]
    fn a_file_that_is_not_ours_is_refused_with_its_place() {
        let error = |text: &str| read_csv::<FaultRow>(text.as_bytes()).expect_err("it is refused").to_string();
        let head = "contender,fault,target,from_s,until_s\n";
        assert_eq!(
            error("contender,fault\n"),
            "faults.csv: expected the columns contender, fault, target, from_s, until_s, found contender, fault"
        );
        assert_eq!(
            error(&format!("{head}queue,crash,billing/2,30,\nqueue,crash,billing/2,soon,\n")),
            "faults.csv, line 3: from_s cannot be \"soon\""
        );
        assert!(error(&format!("{head}queue,crash\n")).starts_with("faults.csv: "));
    }
}
