//! The round robin assignor.

use brokerlab_event::StoreId;

use super::{Subscriber, in_order};

/// All partitions, topic by topic, dealt in turn to members in the order of their ids' bytes, static members first.
/// Members that do not read a topic are passed over.
///
/// The answer has one entry for each member, in the order of `members`.
pub fn round_robin(topics: &[Vec<StoreId>], members: &[Subscriber<'_>]) -> Vec<Vec<StoreId>> {
    let order = in_order(members);
    let mut reads = vec![vec![false; topics.len()]; members.len()];
    for (member, subscriber) in members.iter().enumerate() {
        for topic in subscriber.topics {
            reads[member][*topic] = true;
        }
    }
    let mut assignment = vec![Vec::new(); members.len()];
    let mut turn = 0;
    for (topic, partitions) in topics.iter().enumerate() {
        if !reads.iter().any(|topics| topics[topic]) {
            continue;
        }
        for store in partitions {
            while !reads[order[turn]][topic] {
                turn = (turn + 1) % order.len();
            }
            assignment[order[turn]].push(*store);
            turn = (turn + 1) % order.len();
        }
    }
    assignment
}
