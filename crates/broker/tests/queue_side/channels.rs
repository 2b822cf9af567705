//! The channels of a connection: a limit that the consumers of one share, and how several end together.

use brokerlab_broker::Message;
use brokerlab_broker::config::Profile;
use brokerlab_event::StoreId;

use crate::rig::{Rig, Topology};

const CHANNEL: u16 = 1;

/// A queue on a broker that permits shared limits, with so many messages.
fn rig(messages: u32) -> (Rig, StoreId) {
    let mut topology = Topology { profile: Profile::named("rabbit-4.2").expect("a profile"), ..Topology::default() };
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    for _ in 0..messages {
        rig.publish(0, "", "work", None);
    }
    (rig, queue)
}

fn limit(rig: &mut Rig, prefetch: u32) -> String {
    rig.ask(1, Message::Qos { channel: CHANNEL, prefetch, global: true })
}

#[test]
fn raising_a_shared_limit_lets_consumers_go_on_at_once() {
    let (mut rig, queue) = rig(4);
    limit(&mut rig, 1);
    assert_eq!(rig.consume(1, queue, 0), "c1.1 delivery #1 of m0 from work to 0");
    assert_eq!(limit(&mut rig, 2), "c1.1 delivery #2 of m1 from work to 0");
    assert_eq!(limit(&mut rig, 1), "", "what was delivered is not recalled");
    let ack = Message::Ack { channel: CHANNEL, tag: 1, multiple: false };
    assert_eq!(rig.ask(1, ack), "", "the limit is still reached");
    let rest = ["c1.1 delivery #3 of m2 from work to 0", "c1.1 delivery #4 of m3 from work to 0"];
    assert_eq!(limit(&mut rig, 0), rest.join("; "));
}

#[test]
fn what_was_asked_for_does_not_count_against_a_shared_limit() {
    let (mut rig, queue) = rig(3);
    limit(&mut rig, 1);
    let get = Message::Get { channel: CHANNEL, queue, auto_ack: false };
    assert_eq!(rig.ask(1, get.clone()), "c1.1 got #1 m0 from work, 2 left");
    assert_eq!(rig.consume(1, queue, 0), "c1.1 delivery #2 of m1 from work to 0");
    assert_eq!(rig.ask(1, get), "c1.1 got #3 m2 from work, 0 left", "a get is not limited either");
}

#[test]
fn no_channel_of_a_lost_connection_gets_what_another_returns() {
    let (mut rig, queue) = rig(2);
    rig.ask(1, Message::Get { channel: 2, queue, auto_ack: false });
    rig.ask(1, Message::Get { channel: 2, queue, auto_ack: false });
    assert_eq!(rig.consume(1, queue, 1), "");
    assert_eq!(rig.consume(2, queue, 1), "");
    // Not even for a moment: the first channel's consumer stops before the second channel returns what it had.
    assert_eq!(rig.ask(1, Message::ConnectionLost), "c2.1 delivery #1 of m0 from work to 0 (redelivered)");
}
