//! Judges that nobody has seen refuse anything prove nothing: here each of several saboteurs breaks one thing that the
//! engine does right, and the swarm must find it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use brokerlab_broker::config::Acks;
use brokerlab_broker::{Address, Message};
use brokerlab_event::Offset;
use brokerlab_sim::Spoil;
use brokerlab_swarm::{Kind, judge_prepared};

/// Within so many seeds a saboteur is found.
const SEEDS: u64 = 2_000;

/// The first seed with which a saboteur is found.
fn found(kind: Kind, spoil: Spoil) -> Option<u64> {
    let holds = |seed| catch_unwind(AssertUnwindSafe(|| judge_prepared(kind, seed, &|it| it.sabotage(spoil)))).is_ok();
    (0..SEEDS).find(|seed| !holds(*seed))
}

fn is_found(kind: Kind, spoil: Spoil) {
    match found(kind, spoil) {
        Some(seed) => println!("found with seed {seed} of {}", kind.name()),
        None => panic!("nobody notices, in {SEEDS} scenarios of {}", kind.name()),
    }
}

#[test]
fn who_spoils_nothing_is_not_found() {
    for kind in Kind::ALL {
        judge_prepared(kind, 0, &|it| it.sabotage(|_, _, _, _| true));
    }
}

#[test]
fn records_that_are_confirmed_before_they_are_replicated() {
    is_found(Kind::Clusters, |_, _, _, message| {
        if let Message::Produce { acks: acks @ Acks::All, .. } = message {
            *acks = Acks::Leader;
        }
        true
    });
}

#[test]
fn a_high_watermark_that_is_ahead() {
    is_found(Kind::Clusters, |_, from, _, message| {
        // What the leader hears is that everybody has everything, and what it sends does not arrive.
        match message {
            Message::ReplicaFetch { offset, .. } => *offset = Offset::new(u64::from(u32::MAX)),
            Message::ReplicaFetched { .. } => return !matches!(from, Address::Node(_)),
            _ => {}
        }
        true
    });
}

#[test]
fn repetitions_that_are_not_recognised() {
    is_found(Kind::Clusters, |_, _, _, message| {
        if let Message::Produce { batch, .. } = message {
            batch.producer = None;
        }
        true
    });
}

#[test]
fn refusals_that_are_told_as_confirms() {
    is_found(Kind::Clusters, |_, _, _, message| {
        if let Message::Produced { result, .. } = message
            && result.is_err()
        {
            *result = Ok(Offset::ZERO);
        }
        true
    });
}

#[test]
fn groups_whose_commits_are_one_ahead() {
    is_found(Kind::Logs, |_, _, _, message| {
        if let Message::CommitOffsets { offsets, .. } = message {
            offsets.iter_mut().for_each(|(_, offset)| *offset = offset.next());
        }
        true
    });
}

#[test]
fn a_record_that_is_left_out_of_what_is_fetched() {
    is_found(Kind::Logs, |chance, _, _, message| {
        if let Message::Fetched { partitions, .. } = message
            && let Some(Ok(records)) = partitions.first_mut().map(|first| &mut first.records)
            && records.len() > 1
            && chance.below(10) == 0
        {
            records.remove(0);
        }
        true
    });
}

#[test]
fn records_that_change_places() {
    is_found(Kind::Logs, |_, _, _, message| {
        if let Message::Fetched { partitions, .. } = message
            && let Some(Ok(records)) = partitions.first_mut().map(|first| &mut first.records)
        {
            records.reverse();
        }
        true
    });
}

#[test]
fn messages_that_are_not_requeued() {
    is_found(Kind::Mixed, |_, _, _, message| {
        if let &mut Message::Nack { channel, tag, multiple, requeue: true } = message {
            *message = Message::Ack { channel, tag, multiple };
        } else if let &mut Message::Reject { channel, tag, requeue: true } = message {
            *message = Message::Ack { channel, tag, multiple: false };
        }
        true
    });
}

#[test]
fn an_ack_that_settles_more_than_was_done() {
    is_found(Kind::Mixed, |_, _, _, message| {
        if let Message::Ack { tag, multiple, .. } = message {
            (*tag, *multiple) = (Default::default(), true);
        }
        true
    });
}

#[test]
fn deliveries_that_are_settled_as_they_are_sent() {
    is_found(Kind::Mixed, |_, _, _, message| {
        if let Message::Consume { auto_ack, .. } = message {
            *auto_ack = true;
        }
        true
    });
}
