//! Confirms: who is told once every queue has taken a message.

use brokerlab_event::{ClientId, Duration, Observer, Refusal};

use super::QueueSide;
use super::lifetimes::Timer;
use crate::message::{Address, Channel, Effect, Message};
use crate::node::Context;

/// How long a queue that keeps its dead letters waits before it tries again (`dead_letter_worker`, 180 s).
const LETTER_RETRY: Duration = Duration::from_secs(180);

/// Whom to tell when a queue has taken a publish. There is one for every message that waits, and it moves from hand to
/// hand, so it is flat: an enum with fields would be copied through memory each time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    whom: Whom,
    /// That of a publisher.
    channel: Channel,
    /// The client that publishes, the queue that keeps a letter, or the place of a count.
    place: u32,
    /// That of the publish on its channel, or of the letter.
    number: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Whom {
    Nobody,
    /// A publisher.
    Publisher,
    /// A queue that keeps a dead letter until then.
    Letter,
    /// The count of a publish to several queues.
    Count,
}

/// A publish to several queues.
#[derive(Clone, Copy, Debug)]
pub(super) struct SharedConfirm {
    waiting: Waiting,
    /// How many queues have not answered.
    left: u32,
    /// Why one of them has refused it: the publisher is told so, although others have it.
    refused: Option<Refusal>,
}

impl Waiting {
    /// Nobody asked.
    pub const NOBODY: Waiting = Waiting { whom: Whom::Nobody, channel: 0, place: 0, number: 0 };

    /// The queue at this place, about a letter that it keeps.
    pub fn letter(queue: usize, number: u64) -> Waiting {
        Waiting { whom: Whom::Letter, channel: 0, place: queue as u32, number }
    }

    #[inline(always)]
    pub fn is_nobody(self) -> bool {
        self.whom == Whom::Nobody
    }
}

impl<P: Clone> QueueSide<P> {
    /// Numbers a publish, where the channel asked for confirms.
    #[inline(always)]
    pub(super) fn number_publish(&mut self, client: ClientId, channel: Channel) -> Waiting {
        let published = &mut self.channel(client, channel).published;
        *published = published.map(|published| published + 1);
        let whom = if published.is_some() { Whom::Publisher } else { Whom::Nobody };
        Waiting { whom, channel, place: client.get(), number: published.unwrap_or(0) }
    }

    /// Lets several queues answer for one.
    pub(super) fn share(&mut self, waiting: Waiting, queues: usize) -> Waiting {
        if waiting.is_nobody() {
            return waiting;
        }
        let shared = SharedConfirm { waiting, left: queues as u32, refused: None };
        let place = match self.free.pop() {
            Some(place) => {
                self.shared[place as usize] = shared;
                place
            }
            None => {
                self.shared.push(shared);
                self.shared.len() as u32 - 1
            }
        };
        Waiting { whom: Whom::Count, channel: 0, place, number: 0 }
    }

    /// One queue has taken or refused a publish.
    #[inline(always)]
    pub(super) fn answer<O: Observer>(
        &mut self,
        waiting: Waiting,
        result: Result<(), Refusal>,
        context: &mut Context<'_, P, O>,
    ) {
        let Waiting { whom, channel, place, number } = waiting;
        match whom {
            Whom::Publisher => {
                let (from, to) = (Address::Node(context.node), Address::Client(ClientId::new(place)));
                let place = context.out.place();
                place.fill(Effect::Send { from, to, message: Message::Confirm { channel, sequence: number, result } });
            }
            Whom::Nobody => {}
            Whom::Count => self.count_answer(place, result, context),
            Whom::Letter => self.letter_answered(place as usize, number, result.is_ok(), context),
        }
    }

    #[inline(never)]
    fn count_answer<O: Observer>(&mut self, place: u32, result: Result<(), Refusal>, context: &mut Context<'_, P, O>) {
        let shared = &mut self.shared[place as usize];
        shared.left -= 1;
        shared.refused = shared.refused.or(result.err());
        if shared.left == 0 {
            let SharedConfirm { waiting, refused, .. } = *shared;
            self.free.push(place);
            self.answer(waiting, refused.map_or(Ok(()), Err), context);
        }
    }

    /// A dead letter that is kept has reached its targets, or is tried again later.
    #[cold]
    fn letter_answered<O: Observer>(
        &mut self,
        queue: usize,
        number: u64,
        taken: bool,
        context: &mut Context<'_, P, O>,
    ) {
        if taken {
            self.dead_letter_taken(queue, number, context);
        } else if self.queues[queue].exists {
            self.timers.set(Timer::Letters.number(queue), context.now.saturating_add(LETTER_RETRY));
        }
    }

    /// A publish has been written.
    #[inline(always)]
    pub(super) fn written<O: Observer>(&mut self, client: ClientId, waiting: Waiting, context: &mut Context<'_, P, O>) {
        self.refund(client);
        self.answer(waiting, Ok(()), context);
    }
}
