//! The consumers of a partition of which one at a time is active.

use brokerlab_event::ClientId;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Status {
    Waiting,
    Active,
    /// It was told that it is not to go on, and has not answered.
    SteppingDown,
}

/// What a consumer is to be told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ConsumerTurn {
    /// It is its turn.
    Activate(ClientId),
    /// It is somebody else's turn once it has answered.
    StepDown(ClientId),
}

/// The consumers of one partition under one name, in the order in which they came (RabbitMQ's coordinator of single
/// active consumers).
///
/// Of a stream the first is active for as long as it stays. Of a super stream it is the one whose place among them is
/// the number of the partition modulo how many they are, so that partitions spread over the consumers; the active one
/// steps down, and says so, before another takes over.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SingleActive {
    partition: Option<u32>,
    consumers: Vec<(ClientId, Status)>,
}

impl SingleActive {
    /// Nobody reads the stream, or this partition of a super stream.
    pub fn new(partition: Option<u32>) -> SingleActive {
        SingleActive { partition, consumers: Vec::new() }
    }

    /// The consumer whose turn it is.
    pub fn active(&self) -> Option<ClientId> {
        self.with(Status::Active)
    }

    /// True where it is nobody's turn because somebody has still to answer.
    pub fn is_handing_over(&self) -> bool {
        self.with(Status::SteppingDown).is_some()
    }

    fn with(&self, status: Status) -> Option<ClientId> {
        self.consumers.iter().find(|(_, own)| *own == status).map(|(client, _)| *client)
    }

    /// The one who should be active.
    fn chosen(&self) -> Option<usize> {
        let number = self.partition.unwrap_or(0) as usize;
        number.checked_rem(self.consumers.len())
    }

    /// A consumer comes.
    pub fn join(&mut self, client: ClientId) -> Option<ConsumerTurn> {
        self.consumers.push((client, Status::Waiting));
        self.look_again()
    }

    /// A consumer is gone.
    pub fn leave(&mut self, client: ClientId) -> Option<ConsumerTurn> {
        self.consumers.retain(|(own, _)| *own != client);
        self.look_again()
    }

    /// A consumer has stepped down.
    pub fn stepped_down(&mut self, client: ClientId) -> Option<ConsumerTurn> {
        let own = self.consumers.iter_mut().find(|(own, status)| *own == client && *status == Status::SteppingDown)?;
        own.1 = Status::Waiting;
        self.look_again()
    }

    fn look_again(&mut self) -> Option<ConsumerTurn> {
        // Only consumers of super streams are moved about.
        if self.is_handing_over() || (self.partition.is_none() && self.active().is_some()) {
            return None;
        }
        let chosen = self.chosen()?;
        match self.active() {
            None => {
                self.consumers[chosen].1 = Status::Active;
                Some(ConsumerTurn::Activate(self.consumers[chosen].0))
            }
            Some(active) if active == self.consumers[chosen].0 => None,
            Some(active) => {
                let own = self.consumers.iter_mut().find(|(own, _)| *own == active).expect("it is one of them");
                own.1 = Status::SteppingDown;
                Some(ConsumerTurn::StepDown(active))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every sequence of six comings, goings and answers of three consumers: at most one is active, nobody is while one
    /// steps down, and when nobody does it is the right one.
    #[test]
    fn one_at_a_time_is_active_and_in_the_end_the_right_one() {
        for partition in [None, Some(0), Some(1), Some(2)] {
            let mut reached = vec![SingleActive::new(partition)];
            for _ in 0..6 {
                reached = reached.iter().flat_map(next_states).collect();
                reached.iter().for_each(|state| check(state, partition));
            }
            // Of the first partition it is always the first consumer, who stays as long as he is there.
            let moves = partition.is_some_and(|partition| partition > 0);
            assert_eq!(reached.iter().any(SingleActive::is_handing_over), moves);
        }
    }

    fn next_states(state: &SingleActive) -> Vec<SingleActive> {
        let mut next = Vec::new();
        for client in (0..3).map(ClientId::new) {
            let mut changed = state.clone();
            let was_active = changed.active();
            let is_there = changed.consumers.iter().any(|(own, _)| *own == client);
            let turn = if is_there { changed.leave(client) } else { changed.join(client) };
            if let Some(ConsumerTurn::StepDown(told)) = turn {
                assert_eq!(was_active, Some(told), "only who is active is told to step down");
            }
            next.push(changed);
            let mut answered = state.clone();
            if answered.stepped_down(client).is_some() {
                next.push(answered);
            }
        }
        next
    }

    fn check(state: &SingleActive, partition: Option<u32>) {
        let of = |status| state.consumers.iter().filter(|(_, own)| *own == status).count();
        let busy = of(Status::Active) + of(Status::SteppingDown);
        assert_eq!(busy, usize::from(!state.consumers.is_empty()), "{state:?}");
        if let (Some(partition), Some(active)) = (partition, state.active()) {
            let right = state.consumers[partition as usize % state.consumers.len()].0;
            assert_eq!(active, right, "{state:?}");
        }
    }

    #[test]
    fn the_consumer_of_a_stream_stays_until_it_goes() {
        let [first, second] = [0, 1].map(ClientId::new);
        let mut group = SingleActive::new(None);
        assert_eq!(group.join(first), Some(ConsumerTurn::Activate(first)));
        assert_eq!(group.join(second), None);
        assert_eq!(group.leave(first), Some(ConsumerTurn::Activate(second)));
        assert_eq!(group.join(first), None, "who comes back waits");
    }

    #[test]
    fn partitions_of_a_super_stream_spread_as_consumers_come() {
        let [first, second] = [0, 1].map(ClientId::new);
        let mut group = SingleActive::new(Some(1));
        assert_eq!(group.join(first), Some(ConsumerTurn::Activate(first)));
        assert_eq!(group.join(second), Some(ConsumerTurn::StepDown(first)));
        assert_eq!((group.active(), group.is_handing_over()), (None, true));
        assert_eq!(group.stepped_down(first), Some(ConsumerTurn::Activate(second)));
        assert_eq!(group.leave(second), Some(ConsumerTurn::Activate(first)));
    }
}
