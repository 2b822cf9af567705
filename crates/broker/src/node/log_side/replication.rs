//! Copies of partitions on other nodes: a follower asks for what comes after its end, and thereby says what it
//! has. The leader learns that a record is replicated only from the follower's next fetch.

use brokerlab_event::{Duration, NodeId, Observer, Offset, StoreId, Time};

use super::hosted::{Asking, Copying, Role};
use super::{Context, LogSide};
use crate::message::{Address, Effect, Message, ReplicaAnswer};

/// How long a follower waits before it asks again after its connection broke or its leader would not answer
/// (`replica.fetch.backoff.ms`).
const BACKOFF: Duration = Duration::from_secs(1);

impl<P: Clone + Default> LogSide<P> {
    /// Asks for all partitions that this node keeps a copy of and does not wait for already.
    pub(super) fn ask_leaders<O: Observer>(&mut self, context: &mut Context<'_, P, O>) {
        for place in 0..self.partitions.len() {
            self.ask_leader(place, context);
        }
    }

    /// A follower asks for what comes next, unless it has asked, or does not know whom.
    pub(super) fn ask_leader<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let Role::Follower { leader: Some(leader), copying: copying @ Copying::Idle } = &mut hosted.role else {
            return;
        };
        *copying = Copying::Asked;
        let (store, epoch, log) = (hosted.store, hosted.log.epoch(), hosted.log.log());
        let (offset, last_epoch) = (log.end(), log.epochs().latest());
        context.send(Address::Node(*leader), Message::ReplicaFetch { store, epoch, offset, last_epoch });
    }

    /// A follower asks, which says that it has everything below.
    pub(super) fn replica_fetch<O: Observer>(
        &mut self,
        node: NodeId,
        store: StoreId,
        epoch: u32,
        (offset, last_epoch): (Offset, Option<u32>),
        context: &mut Context<'_, P, O>,
    ) {
        let led = self.led(store).filter(|place| self.partitions[*place].log.epoch() == epoch);
        let Some(place) = led else {
            let (answer, high_watermark) = (ReplicaAnswer::Refused, Offset::ZERO);
            let refused = Message::ReplicaFetched { store, epoch, answer, high_watermark };
            return context.send(Address::Node(node), refused);
        };
        let hosted = &mut self.partitions[place];
        let asking = Asking { node, offset, last_epoch };
        let diverges = matches!(hosted.answer_replica(&asking, 1), Some(ReplicaAnswer::Diverging(_)));
        let (leader_end, high_watermark) = (hosted.log.log().written(), hosted.log.high_watermark());
        let Role::Leader(leader) = &mut hosted.role else { return };
        let mut joins = false;
        // Before a follower has given up what this leader does not have, its end says nothing.
        if !diverges {
            joins = leader.replicas.fetched(node, offset.min(leader_end), leader_end, high_watermark, context.now);
        }
        leader.asking.retain(|asking| asking.node != node);
        leader.asking.push(asking);
        if joins {
            self.propose_in_sync(place, context);
        }
        self.advanced(place, context);
    }

    /// Answers the followers that wait and can be told something: records, or where they went astray. A high
    /// watermark alone is no reason; it goes with the next records.
    pub(super) fn feed_followers<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let Role::Leader(leader) = &mut hosted.role else { return };
        if leader.asking.is_empty() {
            return;
        }
        let (store, epoch, high_watermark) = (hosted.store, hosted.log.epoch(), hosted.log.high_watermark());
        let mut waiting = Vec::new();
        for asking in std::mem::take(&mut leader.asking) {
            match hosted.answer_replica(&asking, self.limits.max_partition_bytes) {
                Some(answer) => {
                    let message = Message::ReplicaFetched { store, epoch, answer, high_watermark };
                    context.send(Address::Node(asking.node), message);
                }
                None => waiting.push(asking),
            }
        }
        if let Role::Leader(leader) = &mut hosted.role {
            leader.asking = waiting;
        }
    }

    /// The leader has answered: the follower appends, and asks for more once the records are in the page cache.
    pub(super) fn replica_fetched<O: Observer>(
        &mut self,
        store: StoreId,
        epoch: u32,
        answer: ReplicaAnswer<P>,
        high_watermark: Offset,
        context: &mut Context<'_, P, O>,
    ) {
        let Some(place) = self.place(store) else { return };
        let hosted = &mut self.partitions[place];
        if epoch != hosted.log.epoch() {
            return; // of a former leader
        }
        let Role::Follower { copying, .. } = &mut hosted.role else { return };
        *copying = Copying::Idle;
        match answer {
            ReplicaAnswer::Refused => self.ask_again_after(context.now),
            ReplicaAnswer::Diverging(end) => {
                hosted.log.agree(end, context.now);
                self.ask_leader(place, context);
            }
            ReplicaAnswer::Copied { offset, records } => {
                *copying = Copying::Writing;
                let until = hosted.log.copy(offset, records, context.now);
                hosted.log.advance_high_watermark(high_watermark);
                context.out.push(Effect::Write { node: context.node, store, until });
            }
        }
    }

    /// What a follower was sent is in its page cache.
    pub(super) fn copied<O: Observer>(&mut self, place: usize, context: &mut Context<'_, P, O>) {
        let hosted = &mut self.partitions[place];
        let is_written = hosted.log.log().written() >= hosted.log.log().end();
        if let Role::Follower { copying: copying @ Copying::Writing, .. } = &mut hosted.role
            && is_written
        {
            *copying = Copying::Idle;
            self.ask_leader(place, context);
        }
    }

    fn ask_again_after(&mut self, now: Time) {
        let at = now.saturating_add(BACKOFF);
        self.replicate_at = Some(self.replicate_at.map_or(at, |other| other.min(at)));
    }

    /// The connection to another node broke: a leader forgets what that node asked for, a follower asks again.
    pub(super) fn forget_node(&mut self, node: NodeId, now: Time) {
        let mut asks_again = false;
        for hosted in &mut self.partitions {
            match &mut hosted.role {
                Role::Leader(leader) => leader.asking.retain(|asking| asking.node != node),
                Role::Follower { leader, copying: copying @ Copying::Asked } if *leader == Some(node) => {
                    (*copying, asks_again) = (Copying::Idle, true);
                }
                Role::Follower { .. } => {}
            }
        }
        if asks_again {
            self.ask_again_after(now);
        }
    }
}
