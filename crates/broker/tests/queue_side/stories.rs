//! Queues that come and go, fill up, hold publishers up, and are replicated: what their clients are told.

use brokerlab_broker::config::*;
use brokerlab_broker::log::Crash;
use brokerlab_broker::properties::Properties;
use brokerlab_broker::{Message, Publication};
use brokerlab_event::{Blockage, ClientId, Duration, Event, StoreId};

use crate::rig::{Rig, Topology, ms};

const CHANNEL: u16 = 1;

fn quorum(config: &mut QueueConfig) {
    config.kind = QueueKind::Quorum(QuorumOptions::default());
}

fn inspect(rig: &mut Rig, queue: StoreId) -> String {
    rig.ask(9, Message::InspectQueue { channel: CHANNEL, queue })
}

fn get(rig: &mut Rig, queue: StoreId) -> String {
    rig.ask(9, Message::Get { channel: CHANNEL, queue, auto_ack: true })
}

fn ack(rig: &mut Rig, client: u32, tag: u64) -> String {
    rig.ask(client, Message::Ack { channel: CHANNEL, tag, multiple: false })
}

fn reject(rig: &mut Rig, client: u32, tag: u64, requeue: bool) -> String {
    rig.ask(client, Message::Reject { channel: CHANNEL, tag, requeue })
}

#[test]
fn an_unused_queue_expires_and_can_be_declared_again() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |config| config.expires = Some(ms(300)));
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.advance(ms(200));
    assert_eq!(
        rig.ask(9, Message::Get { channel: CHANNEL, queue, auto_ack: false }),
        "c9.1 got #1 m0 from work, 0 left"
    );
    rig.advance(ms(299));
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 0 consumers", "the get was a use, looking is none");
    rig.advance(ms(1));
    assert!(matches!(rig.events().last(), Some(Event::QueueDeleted { .. })));
    assert_eq!(inspect(&mut rig, queue), "c9.1 error 404");
    assert_eq!(rig.publish(0, "", "work", None), "c0.1 return of m1 312");
    assert_eq!(rig.ask(1, Message::DeclareQueue { channel: CHANNEL, queue }), "");
    assert_eq!(rig.publish(0, "", "work", None), "");
    assert_eq!(rig.consume(1, queue, 0), "c1.1 delivery #1 of m2 from work to 0", "a new queue, a new beginning");
    rig.advance(ms(10_000));
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 1 consumers");
}

#[test]
fn an_automatic_queue_goes_with_its_last_consumer_and_an_exclusive_one_with_its_owner() {
    let mut topology = Topology::default();
    let auto = topology.queue("auto", |config| config.lifetime = Lifetime::AutoDelete);
    let own = topology.queue("own", |config| config.lifetime = Lifetime::Exclusive(ClientId::new(1)));
    let mut rig = Rig::new(topology);
    assert_eq!(inspect(&mut rig, auto), "c9.1 0 ready, 0 consumers", "while it never had a consumer, it stays");
    rig.consume(1, auto, 0);
    rig.consume(2, auto, 0);
    rig.ask(2, Message::Cancel { channel: CHANNEL, tag: 0 });
    assert_eq!(inspect(&mut rig, auto), "c9.1 0 ready, 1 consumers");
    assert_eq!(inspect(&mut rig, own), "c9.1 error 405");
    assert_eq!(get(&mut rig, own), "c9.1 error 405");
    assert_eq!(rig.consume(1, own, 0), "");
    rig.ask(1, Message::ConnectionLost);
    assert_eq!(inspect(&mut rig, auto), "c9.1 error 404");
    assert_eq!(inspect(&mut rig, own), "c9.1 error 404");
}

#[test]
fn deleting_a_queue_cancels_its_consumers_and_confirms_what_it_had_taken() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    rig.slow_disk = true;
    rig.ask(0, Message::ConfirmSelect { channel: CHANNEL });
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    let told = rig.ask(9, Message::DeleteQueue { channel: CHANNEL, queue });
    assert_eq!(told, "c1.1 cancelled 0; c0.1 ack 1");
    assert_eq!(rig.flush(), "");
    // What was delivered belongs to nobody any more, also when a queue of this name is there again.
    rig.ask(0, Message::DeclareQueue { channel: CHANNEL, queue });
    rig.publish(0, "", "work", None);
    assert_eq!(ack(&mut rig, 1, 1), "", "settling what is gone does no harm");
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers");
}

#[test]
fn above_the_watermark_publishers_are_not_read_and_consumers_go_on() {
    let mut topology = Topology { memory_watermark: Some(25), ..Topology::default() };
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    rig.ask(0, Message::ConfirmSelect { channel: CHANNEL });
    rig.publish(0, "", "work", None);
    rig.publish(0, "", "work", None);
    // The publish that raises the alarm is still taken.
    assert_eq!(rig.publish(0, "", "work", None), "c0 blocked; c0.1 ack 3");
    let client = ClientId::new(0);
    assert!(rig.events().contains(&Event::Blocked { client, cause: Blockage::Memory }));
    assert_eq!(rig.publish(0, "", "work", None), "", "not read, not refused");
    assert_eq!(inspect(&mut rig, queue), "c9.1 3 ready, 0 consumers");
    // As soon as there is room, what waited is read.
    assert_eq!(get(&mut rig, queue), "c9.1 got #1 m0 from work, 2 left; c0 unblocked; c0 blocked; c0.1 ack 4");
    rig.publish(0, "", "work", None);
    rig.ask(0, Message::ConnectionLost);
    assert!(rig.events().contains(&Event::Unblocked { client }));
    get(&mut rig, queue);
    assert_eq!(inspect(&mut rig, queue), "c9.1 2 ready, 0 consumers", "what was not read is lost with its connection");
}

#[test]
fn a_publisher_runs_out_of_credit_while_the_disk_is_slow() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    rig.slow_disk = true;
    for _ in 0..450 {
        assert_eq!(rig.publish(0, "", "work", None), "", "flow is not told to clients");
    }
    assert_eq!(inspect(&mut rig, queue), "c9.1 400 ready, 0 consumers");
    rig.flush();
    assert!(rig.events().contains(&Event::Unblocked { client: ClientId::new(0) }));
    assert_eq!(inspect(&mut rig, queue), "c9.1 450 ready, 0 consumers");
}

#[test]
fn older_brokers_close_a_channel_whose_delivery_is_not_settled_in_time() {
    for (profile, expected) in [("rabbit-4.2", "c1.1 error 406"), ("rabbit-4.3", "")] {
        let profile = Profile::named(profile).unwrap();
        let mut topology = Topology { profile, ..Topology::default() };
        let queue = topology.queue("work", |_| {});
        let mut rig = Rig::new(topology);
        rig.publish(0, "", "work", None);
        rig.consume(1, queue, 1);
        assert_eq!(rig.advance(Duration::from_secs(30 * 60 - 1)), "");
        assert_eq!(rig.advance(Duration::from_secs(60)), expected);
        let ready = if expected.is_empty() { 0 } else { 1 };
        assert!(inspect(&mut rig, queue).starts_with(&format!("c9.1 {ready} ready")));
    }
}

#[test]
fn a_quorum_queue_confirms_what_is_committed_and_keeps_it() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", quorum);
    let mut rig = Rig::new(topology);
    rig.slow_disk = true;
    rig.ask(0, Message::ConfirmSelect { channel: CHANNEL });
    rig.publish(0, "", "work", None);
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 0 consumers", "not committed, not there");
    assert_eq!(rig.flush(), "c0.1 ack 1");
    rig.publish(0, "", "work", None);
    rig.crash(Crash::Power);
    rig.advance(ms(1));
    rig.flush();
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers", "what was not flushed is lost");
    rig.publish(0, "", "work", None);
    rig.crash(Crash::Disk);
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 0 consumers");
}

#[test]
fn a_node_that_comes_back_returns_what_consumers_held() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", quorum);
    let mut rig = Rig::new(topology);
    for _ in 0..2 {
        rig.publish(0, "", "work", None);
    }
    assert_eq!(rig.consume(1, queue, 1), "c1.1 delivery #1 of m0 from work to 0");
    rig.crash(Crash::Process);
    rig.advance(ms(1));
    let delivered =
        "c2.1 delivery #1 of m0 from work to 0 (redelivered, failed 1); c2.1 delivery #2 of m1 from work to 0";
    assert_eq!(rig.consume(2, queue, 0), delivered);
    assert_eq!(rig.ask(2, Message::Ack { channel: CHANNEL, tag: 2, multiple: true }), "");
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 1 consumers");
}

#[test]
fn a_poison_message_is_given_up_when_it_has_failed_too_often() {
    let mut topology = Topology::default();
    let grave = topology.queue("grave", |_| {});
    let key = topology.key("grave");
    let queue = topology.queue("work", |config| {
        config.kind = QueueKind::Quorum(QuorumOptions { delivery_limit: Some(2), ..QuorumOptions::default() });
        config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(key) });
    });
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    for tag in 1..=2 {
        let again = format!("c1.1 delivery #{} of m0 from work to 1 (redelivered, failed {tag})", tag + 1);
        assert_eq!(reject(&mut rig, 1, tag, true), again);
    }
    assert_eq!(reject(&mut rig, 1, 3, true), "");
    let got = get(&mut rig, grave);
    assert_eq!(got, "c9.1 got #1 m0 from grave (delivery_limit 1 in work of /work, now /grave), 0 left");
}

#[test]
fn returns_come_first_and_a_lost_connection_returns_in_order_of_delivery() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", quorum);
    let mut rig = Rig::new(topology);
    for _ in 0..4 {
        rig.publish(0, "", "work", None);
    }
    rig.consume(1, queue, 3);
    reject(&mut rig, 1, 2, true);
    rig.ask(1, Message::ConnectionLost);
    let order: Vec<String> = (0..4).map(|_| get(&mut rig, queue)).collect();
    let messages: Vec<&str> =
        order.iter().map(|told| told.split(' ').find(|word| word.starts_with('m')).unwrap()).collect();
    // The rejected message came back first and was delivered again, behind those that were still held.
    assert_eq!(messages, ["m0", "m2", "m1", "m3"]);
}

#[test]
fn a_quorum_queue_over_its_limit_has_channels_refuse_until_there_is_room() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |config| {
        quorum(config);
        config.max_length = Some(5);
        config.overflow = Overflow::RejectPublish;
    });
    let mut rig = Rig::new(topology);
    rig.ask(0, Message::ConfirmSelect { channel: CHANNEL });
    let told: Vec<String> = (0..8).map(|_| rig.publish(0, "", "work", None)).collect();
    assert_eq!(told[5], "c0.1 ack 6", "it reacts when it is over the limit");
    assert_eq!((told[6].as_str(), told[7].as_str()), ("c0.1 nack 7", "c0.1 nack 8"));
    get(&mut rig, queue);
    assert_eq!(rig.publish(0, "", "work", None), "c0.1 nack 9");
    get(&mut rig, queue);
    assert_eq!(rig.publish(0, "", "work", None), "c0.1 ack 10", "at four fifths it takes messages again");
}

#[test]
fn dead_letters_that_nobody_takes_are_kept_and_tried_again() {
    let mut topology = Topology::default();
    let key = topology.key("grave");
    let grave = topology.queue("grave", |config| {
        config.max_length = Some(1);
        config.overflow = Overflow::RejectPublish;
    });
    let queue = topology.queue("work", |config| {
        config.kind = QueueKind::Quorum(QuorumOptions { at_least_once: true, ..QuorumOptions::default() });
        config.overflow = Overflow::RejectPublish;
        config.max_length = Some(100);
        config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(key) });
    });
    let mut rig = Rig::new(topology);
    for _ in 0..2 {
        rig.publish(0, "", "work", None);
    }
    rig.consume(1, queue, 2);
    reject(&mut rig, 1, 1, false);
    reject(&mut rig, 1, 2, false);
    assert_eq!(inspect(&mut rig, grave), "c9.1 1 ready, 0 consumers", "the second was refused");
    assert!(get(&mut rig, grave).contains("m0"));
    rig.advance(Duration::from_secs(180));
    assert!(get(&mut rig, grave).contains("m1"), "and is tried again");
    rig.advance(Duration::from_secs(1_000));
    assert_eq!(inspect(&mut rig, grave), "c9.1 0 ready, 0 consumers", "what was taken is not sent twice");
}

#[test]
fn a_delivery_that_is_not_settled_in_time_goes_back_and_its_consumer_is_cancelled() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |config| {
        let consumer_timeout = Some(Duration::from_secs(60));
        config.kind = QueueKind::Quorum(QuorumOptions { consumer_timeout, ..QuorumOptions::default() });
    });
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    assert_eq!(rig.advance(Duration::from_secs(60)), "c1.1 cancelled 0");
    let told = rig.consume(2, queue, 1);
    assert_eq!(told, "c2.1 delivery #1 of m0 from work to 0 (redelivered)", "which does not count as a failure");
}

#[test]
fn quorum_queues_refuse_what_they_do_not_know() {
    let mut topology = Topology { profile: Profile::named("rabbit-4.2").unwrap(), ..Topology::default() };
    let single = topology.queue("single", |config| {
        quorum(config);
        config.single_active_consumer = true;
    });
    let mut rig = Rig::new(topology);
    assert_eq!(get(&mut rig, single), "c9.1 error 405");
    rig.ask(1, Message::Qos { channel: CHANNEL, prefetch: 5, global: true });
    let consume = |exclusive| {
        let (channel, queue, tag, auto_ack, priority) = (CHANNEL, single, 0, false, 0);
        Message::Consume { channel, queue, tag, auto_ack, exclusive, priority }
    };
    assert_eq!(rig.ask(1, consume(false)), "c1.1 error 540");
    assert_eq!(rig.ask(2, consume(true)), "c2.1 error 403");
}

#[test]
fn an_error_of_the_connection_ends_all_its_channels() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |_| {});
    let own = topology.queue("own", |config| config.lifetime = Lifetime::Exclusive(ClientId::new(1)));
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    let consume = |channel| {
        let (tag, auto_ack, exclusive, priority) = (0, false, false, 0);
        Message::Consume { channel, queue, tag, auto_ack, exclusive, priority }
    };
    assert_eq!(rig.ask(1, consume(2)), "c1.2 error 530", "the tag is in use on another channel");
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers");
    assert_eq!(rig.ask(1, Message::InspectQueue { channel: CHANNEL, queue: own }), "c1.1 error 404");
}

#[test]
fn a_message_larger_than_16_mib_is_refused() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    for (size, told) in [(16 << 20, ""), ((16 << 20) + 1, "c0.1 error 406")] {
        let (exchange, routing_key, envelope) = (ExchangeId::DEFAULT, RoutingKey(0), rig.envelope(0, size));
        let publication = Publication { envelope, exchange, routing_key, properties: None };
        assert_eq!(rig.ask(0, Message::Publish { channel: CHANNEL, mandatory: false, publication }), told);
    }
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers");
}

#[test]
fn the_highest_priority_waits_for_the_single_active_consumer_to_be_done() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", |config| {
        quorum(config);
        config.single_active_consumer = true;
    });
    let mut rig = Rig::new(topology);
    rig.consume(1, queue, 10);
    rig.publish(0, "", "work", None);
    let (channel, tag, auto_ack, exclusive, priority) = (CHANNEL, 0, false, false, 5);
    assert_eq!(rig.ask(2, Message::Consume { channel, queue, tag, auto_ack, exclusive, priority }), "");
    assert_eq!(rig.publish(0, "", "work", None), "", "the active one makes way and gets nothing new");
    assert_eq!(ack(&mut rig, 1, 1), "c2.1 delivery #1 of m1 from work to 0");
}

#[test]
fn a_message_of_its_own_time_to_live_expires_in_a_quorum_queue_too() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", quorum);
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", Some(Properties { expiration: Some("100".into()), ..Properties::default() }));
    rig.advance(ms(99));
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers");
    rig.advance(ms(1));
    assert_eq!(inspect(&mut rig, queue), "c9.1 0 ready, 0 consumers");
}

#[test]
fn a_publisher_that_leaves_while_it_is_held_up_does_not_take_the_next_with_it() {
    let mut topology = Topology { memory_watermark: Some(5), ..Topology::default() };
    let queue = topology.queue("work", |_| {});
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.ask(0, Message::Disconnect);
    rig.ask(0, Message::Connect);
    rig.publish(0, "", "work", None);
    get(&mut rig, queue);
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers", "what the next has sent is read after its end");
}

#[test]
fn dead_letters_reach_a_full_quorum_queue_that_refuses_publishers() {
    let mut topology = Topology::default();
    let key = topology.key("grave");
    let grave = topology.queue("grave", |config| {
        quorum(config);
        config.max_length = Some(2);
        config.overflow = Overflow::RejectPublish;
    });
    topology.queue("work", |config| {
        config.message_ttl = Some(ms(1));
        config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(key) });
    });
    let mut rig = Rig::new(topology);
    for _ in 0..6 {
        rig.publish(0, "", "work", None);
        rig.advance(ms(2));
    }
    assert_eq!(inspect(&mut rig, grave), "c9.1 6 ready, 0 consumers");
}

#[test]
fn a_node_that_comes_back_renews_leases_and_restarts_dead_letters() {
    let mut topology = Topology::default();
    let key = topology.key("grave");
    let grave = topology.queue("grave", |_| {});
    let queue = topology.queue("work", |config| {
        config.kind = QueueKind::Quorum(QuorumOptions { at_least_once: true, ..QuorumOptions::default() });
        config.overflow = Overflow::RejectPublish;
        config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(key) });
    });
    let leased = topology.queue("leased", |config| config.expires = Some(ms(500)));
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    rig.consume(1, leased, 1);
    rig.advance(ms(10_000));
    rig.slow_disk = true;
    reject(&mut rig, 1, 1, false);
    rig.flush();
    // The letter is under way: its queue keeps it, and the target has not flushed it when the power goes.
    rig.crash(Crash::Power);
    rig.advance(ms(499));
    rig.flush();
    rig.advance(ms(0));
    rig.flush();
    assert!(inspect(&mut rig, grave).starts_with("c9.1 1 ready"), "{}", inspect(&mut rig, grave));
    assert_eq!(inspect(&mut rig, leased), "c9.1 0 ready, 0 consumers");
}

#[test]
fn a_quorum_queue_learns_of_a_channel_that_ends_before_its_requests_are_committed() {
    let mut topology = Topology::default();
    let queue = topology.queue("work", quorum);
    let mut rig = Rig::new(topology);
    rig.consume(1, queue, 1);
    rig.slow_disk = true;
    rig.publish(0, "", "work", None);
    rig.ask(1, Message::Cancel { channel: CHANNEL, tag: 0 });
    rig.ask(1, Message::Disconnect);
    rig.flush();
    assert_eq!(inspect(&mut rig, queue), "c9.1 1 ready, 0 consumers");
}

#[test]
fn purging_a_queue_that_keeps_its_dead_letters_counts_them_once() {
    let mut topology = Topology { memory_watermark: Some(100), ..Topology::default() };
    let nowhere = topology.key("nowhere");
    let queue = topology.queue("work", |config| {
        config.kind = QueueKind::Quorum(QuorumOptions { at_least_once: true, ..QuorumOptions::default() });
        config.overflow = Overflow::RejectPublish;
        config.dead_letter = Some(DeadLetterConfig { exchange: ExchangeId::DEFAULT, routing_key: Some(nowhere) });
    });
    let mut rig = Rig::new(topology);
    rig.publish(0, "", "work", None);
    rig.consume(1, queue, 1);
    reject(&mut rig, 1, 1, false);
    rig.ask(9, Message::Purge { channel: CHANNEL, queue });
    assert!(!rig.publish(0, "", "work", None).contains("blocked"));
}

#[test]
fn what_was_not_durable_is_there_again_once_somebody_has_connected_to_a_restarted_node() {
    let mut topology = Topology::default();
    let kept = topology.queue("kept", |_| {});
    let fleeting = topology.queue("fleeting", |config| config.durable = false);
    let own = topology.queue("own", |config| config.lifetime = Lifetime::Exclusive(ClientId::new(1)));
    let exchange = topology.exchange("e", ExchangeKind::Fanout);
    topology.exchanges[usize::from(exchange.0)].durable = false;
    topology.bind(exchange, Destination::Queue(kept), "", Default::default());
    topology.bind(exchange, Destination::Queue(fleeting), "", Default::default());
    let mut rig = Rig::new(topology);
    rig.publish(0, "e", "", None);
    rig.crash(Crash::Process);
    assert_eq!(inspect(&mut rig, kept), "c9.1 1 ready, 0 consumers");
    assert_eq!(inspect(&mut rig, fleeting), "c9.1 error 404");
    assert_eq!(rig.publish(0, "e", "", None), "c0.1 error 404");
    rig.ask(0, Message::Connect);
    assert_eq!(rig.publish(0, "e", "", None), "", "with its bindings");
    assert_eq!(inspect(&mut rig, kept), "c9.1 2 ready, 0 consumers");
    assert_eq!(inspect(&mut rig, fleeting), "c9.1 1 ready, 0 consumers", "what was in it is gone");
    let open = |rig: &mut Rig| rig.ask(1, Message::InspectQueue { channel: CHANNEL, queue: own });
    assert_eq!(open(&mut rig), "c1.1 error 404", "only its owner brings it back");
    rig.ask(1, Message::DeclareQueue { channel: CHANNEL, queue: own });
    assert_eq!(open(&mut rig), "c1.1 0 ready, 0 consumers");
}
