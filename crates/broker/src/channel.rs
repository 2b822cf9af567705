//! The broker's side of a channel: delivery tags, what is unsettled, and how far publishes are numbered.

use std::collections::VecDeque;

use brokerlab_event::{Offset, StoreId, Time};

use crate::dispatch::Place;
use crate::message::{Channel, ConsumerTag, DeliveryTag};
use crate::ring::Ring;

/// A delivery that was not settled yet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Unsettled {
    /// The queue it came from.
    pub store: StoreId,
    /// Its place there.
    pub offset: Offset,
    /// The consumer it went to; nothing for the answer to a get.
    pub consumer: Option<Place>,
}

impl Unsettled {
    /// It went to a consumer of a classic queue: the limit that the consumers of a channel share is about those only.
    #[inline]
    fn is_pushed(&self) -> bool {
        self.consumer.is_some()
    }
}

/// A channel of a client's connection.
#[derive(Clone, Debug)]
pub struct ChannelState {
    /// Its number.
    pub number: Channel,
    /// Prefetch for consumers that start later; 0 for none.
    pub prefetch: u32,
    /// Limit that all consumers of the channel share; 0 for none.
    pub shared_prefetch: u32,
    /// Number of the last publish, once confirms were asked for.
    pub published: Option<u64>,
    /// Consumers on the channel: tag, queue, and place there where it is a classic queue.
    pub consumers: Vec<(ConsumerTag, StoreId, Option<Place>)>,
    /// Quorum queues that it ever asked for messages: they are told of its end, as something for it may be under way.
    pub replicated: Vec<StoreId>,
    /// The tag of the front of `unsettled`.
    oldest: DeliveryTag,
    /// Deliveries by tag; settled ones in the middle are empty.
    unsettled: Ring<Option<Unsettled>>,
    /// When each of them was delivered, where somebody watches that.
    delivered: VecDeque<Time>,
    /// How many of them count against the shared limit.
    outstanding: u32,
}

impl ChannelState {
    /// A channel that was just opened.
    pub fn new(number: Channel) -> ChannelState {
        ChannelState {
            number,
            prefetch: 0,
            shared_prefetch: 0,
            published: None,
            consumers: Vec::new(),
            replicated: Vec::new(),
            oldest: 1,
            unsettled: Ring::default(),
            delivered: VecDeque::new(),
            outstanding: 0,
        }
    }

    /// Remembers a quorum queue that messages may come from.
    pub fn expects_from(&mut self, store: StoreId) {
        if !self.replicated.contains(&store) {
            self.replicated.push(store);
        }
    }

    /// Numbers a delivery that needs settling. Tags count from 1; get and deliver share them.
    #[inline(always)]
    pub fn deliver(&mut self, delivery: Unsettled) -> DeliveryTag {
        self.unsettled.push_back(Some(delivery));
        self.outstanding += u32::from(delivery.is_pushed());
        self.oldest + self.unsettled.len() as u64 - 1
    }

    /// Numbers a delivery that is settled as it is sent.
    #[inline]
    pub fn deliver_settled(&mut self) -> DeliveryTag {
        if self.unsettled.is_empty() {
            self.oldest += 1;
            return self.oldest - 1;
        }
        self.unsettled.push_back(None);
        self.oldest + self.unsettled.len() as u64 - 1
    }

    /// Remembers the time of the latest deliveries.
    pub fn stamp(&mut self, now: Time) {
        self.delivered.resize(self.unsettled.len(), now);
    }

    /// When the oldest delivery that is not settled was made, where that is watched.
    pub fn oldest_delivery(&self) -> Option<Time> {
        self.delivered.front().copied()
    }

    /// Takes one delivery out; nothing where the tag is unknown or settled already.
    #[inline(always)]
    pub fn settle(&mut self, tag: DeliveryTag) -> Option<Unsettled> {
        let index = usize::try_from(tag.checked_sub(self.oldest)?).ok()?;
        let place = self.unsettled.get_mut(index)?;
        let delivery = (*place)?;
        *place = None;
        self.outstanding -= u32::from(delivery.is_pushed());
        self.forget_settled();
        Some(delivery)
    }

    /// Takes out everything up to and including a tag, oldest first; tag 0 stands for all. Nothing where the tag
    /// itself is unknown or settled already.
    pub fn settle_until(&mut self, tag: DeliveryTag) -> Option<Vec<Unsettled>> {
        let count = match tag {
            0 => self.unsettled.len(),
            _ => {
                let index = usize::try_from(tag.checked_sub(self.oldest)?).ok()?;
                (*self.unsettled.get_mut(index)?)?;
                index + 1
            }
        };
        let taken: Vec<Unsettled> = self.unsettled.iter().take(count).copied().flatten().collect();
        self.unsettled.drop_front(count);
        self.delivered.drain(..count.min(self.delivered.len()));
        self.oldest += count as u64;
        self.outstanding -= taken.iter().filter(|delivery| delivery.is_pushed()).count() as u32;
        self.forget_settled();
        Some(taken)
    }

    /// Deliveries whose queue is gone, or has taken them back by itself: their tags stay, and settling them has no
    /// effect any more.
    pub fn disown(&mut self, is_gone: impl Fn(&Unsettled) -> bool) {
        self.unsettled.for_each_mut(|place| {
            if let Some(delivery) = place.as_mut().filter(|delivery| is_gone(delivery)) {
                delivery.store = StoreId::MAX;
            }
        });
    }

    #[inline(always)]
    fn forget_settled(&mut self) {
        while let Some(None) = self.unsettled.front() {
            self.unsettled.drop_front(1);
            if !self.delivered.is_empty() {
                self.delivered.pop_front();
            }
            self.oldest += 1;
        }
    }

    /// True while the limit that all consumers share is reached.
    #[inline]
    pub fn is_blocked(&self) -> bool {
        self.shared_prefetch > 0 && self.outstanding >= self.shared_prefetch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unsettled(offset: u64) -> Unsettled {
        Unsettled { store: StoreId::new(0), offset: Offset::new(offset), consumer: None }
    }

    #[test]
    fn tags_count_from_one_and_settle_once() {
        let mut channel = ChannelState::new(1);
        assert_eq!(channel.deliver_settled(), 1);
        assert_eq!(
            (channel.deliver(unsettled(5)), channel.deliver_settled(), channel.deliver(unsettled(6))),
            (2, 3, 4)
        );
        assert_eq!(channel.settle(3), None, "settled as it was sent");
        assert_eq!(channel.settle(4), Some(unsettled(6)));
        assert_eq!(channel.settle(4), None);
        assert_eq!(channel.settle(2), Some(unsettled(5)));
        assert_eq!(channel.deliver(unsettled(7)), 5);
        assert_eq!((channel.settle(9), channel.settle(0)), (None, None));
    }

    #[test]
    fn the_oldest_delivery_that_is_not_settled_is_watched() {
        let (mut channel, at) = (ChannelState::new(1), Time::from_nanos);
        for time in 1..=4 {
            channel.deliver(unsettled(time));
            channel.stamp(at(time));
        }
        channel.settle(2);
        assert_eq!(channel.oldest_delivery(), Some(at(1)));
        channel.settle(1);
        assert_eq!(channel.oldest_delivery(), Some(at(3)));
        channel.settle_until(0);
        assert_eq!(channel.oldest_delivery(), None);
    }

    #[test]
    fn multiple_covers_all_outstanding_up_to_the_tag() {
        let mut channel = ChannelState::new(1);
        for offset in 1..=5 {
            channel.deliver(unsettled(offset));
        }
        channel.settle(2);
        assert_eq!(channel.settle_until(2), None, "that tag is settled");
        assert_eq!(channel.settle_until(3), Some(vec![unsettled(1), unsettled(3)]));
        assert_eq!(channel.settle_until(0), Some(vec![unsettled(4), unsettled(5)]));
        assert_eq!(channel.settle_until(0), Some(vec![]));
    }
}
