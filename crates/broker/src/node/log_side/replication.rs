//! Copies of partitions on other nodes: a follower asks for what comes after its end, and thereby says what it
//! has. The leader learns that a record is replicated only from the follower's next fetch.

use brokerlab_event::{Duration, NodeId, Observer, Offset, StoreId, Time};

use super::hosted::{Asking, Role};
use super::{Context, LogSide};
use crate::message::{Address, Effect, Message};
use crate::record::Record;

/// How long a follower waits before it asks again after its connection broke (`replica.fetch.backoff.ms`).
const BACKOFF: Duration = Duration::from_secs(1);

impl<P: Clone + Default> LogSide<P> {
    /// Asks for all partitions that this node keeps a copy of.
    pub(super) fn ask_leaders<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        for place in 0..self.partitions.len() {
            if let Role::Follower { leader } = self.partitions[place].role {
                self.ask_leader(place, leader, context);
            }
        }
    }

    pub(super) fn ask_leader<O: Observer>(&self, place: usize, leader: NodeId, context: &mut Context<'_, P, O>) {
        let hosted = &self.partitions[place];
        let (store, offset, epoch) = (hosted.store, hosted.log.log().end(), hosted.log.epoch());
        context.send(Address::Node(leader), Message::ReplicaFetch { store, offset, epoch });
    }

    /// A follower asks, which says that it has everything below.
    pub(super) fn replica_fetch<O: Observer>(
        &mut self,
        node: NodeId,
        store: StoreId,
        offset: Offset,
        epoch: u32,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(place) = self.led(store) else { return };
        let hosted = &mut self.partitions[place];
        let leader_epoch = hosted.log.epoch();
        // Before a follower has come to the leader's epoch, what it holds may not be what the leader holds.
        let agreed = if epoch < leader_epoch { offset.min(hosted.log.log().end_of_epoch(epoch)) } else { offset };
        let (leader_end, high_watermark) = (hosted.log.log().written(), hosted.log.high_watermark());
        let Role::Leader(leader) = &mut hosted.role else { return };
        leader.replicas.fetched(node, agreed.min(leader_end), leader_end, high_watermark, context.now);
        leader.asking.retain(|asking| asking.node != node);
        leader.asking.push(Asking { node, offset, epoch });
        self.advanced(place, context);
    }

    /// Answers the followers that wait and can be told something: records, or where they went astray. A high
    /// watermark alone is no reason; it goes with the next records.
    pub(super) fn feed_followers<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let Role::Leader(leader) = &mut hosted.role else { return };
        let leader_epoch = hosted.log.epoch();
        for asking in std::mem::take(&mut leader.asking) {
            let (offset, records) =
                hosted.replica_records(asking.offset, asking.epoch, self.limits.max_partition_bytes);
            if records.is_empty() && offset == asking.offset && asking.epoch == leader_epoch {
                let Role::Leader(leader) = &mut hosted.role else { return };
                leader.asking.push(asking);
                continue;
            }
            let (store, high_watermark) = (hosted.store, hosted.log.high_watermark());
            let message = Message::ReplicaFetched { store, epoch: leader_epoch, offset, records, high_watermark };
            context.send(Address::Node(asking.node), message);
        }
    }

    /// The leader has answered: appends, and asks for more once the records are in the page cache.
    pub(super) fn replica_fetched<O: Observer>(
        &mut self,
        store: StoreId,
        epoch: u32,
        offset: Offset,
        records: Vec<(Offset, Record<P>)>,
        high_watermark: Offset,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(place) = self.place(store) else { return };
        let hosted = &mut self.partitions[place];
        let Role::Follower { leader } = hosted.role else { return };
        if epoch < hosted.log.epoch() {
            return;
        }
        let nothing_new = records.is_empty();
        let until = hosted.log.follow(epoch, offset, records, context.now);
        hosted.log.advance_high_watermark(high_watermark);
        if nothing_new {
            self.ask_leader(place, leader, context);
        } else {
            context.out.push(Effect::Write { node: context.node, store, until });
        }
    }

    /// The connection to another node broke: a leader forgets what that node asked for, a follower asks again.
    pub(super) fn forget_node(&mut self, node: NodeId, now: Time) {
        for hosted in &mut self.partitions {
            match &mut hosted.role {
                Role::Leader(leader) => leader.asking.retain(|asking| asking.node != node),
                Role::Follower { leader } if *leader == node => {
                    self.replicate_at = Some(now.saturating_add(BACKOFF));
                }
                Role::Follower { .. } => {}
            }
        }
    }
}
