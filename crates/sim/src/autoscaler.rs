//! What starts and stops the consumers of an application as its lag demands: somebody beside the broker who looks at
//! the lag now and then, as autoscalers do.

use std::collections::VecDeque;

use brokerlab_broker::config::ConsumerKind;
use brokerlab_event::{ApplicationId, ClientId, ClientRole, Observer, StoreId, Time};
use brokerlab_scenario::{Autoscale, Plan};

use crate::simulation::Simulation;

/// The autoscaler of one application.
#[derive(Clone, Debug)]
pub(crate) struct Autoscaler {
    application: ApplicationId,
    rules: Autoscale,
    /// The consumers, in the order in which they are started.
    consumers: Vec<ClientId>,
    /// The queues that they consume, each once; none on a log.
    queues: Vec<StoreId>,
    next: Time,
    /// What recent looks asked for: each entry is the most that any look since its time has.
    recent: VecDeque<(Time, usize)>,
}

impl Autoscaler {
    pub fn new(plan: &Plan, (application, rules): &(ApplicationId, Autoscale)) -> Autoscaler {
        let mut queues: Vec<StoreId> = Vec::new();
        for consumer in plan.deployment.consumers.iter().filter(|consumer| consumer.application == *application) {
            if let ConsumerKind::Queue(config) = &consumer.kind
                && !queues.contains(&config.queue)
            {
                queues.push(config.queue);
            }
        }
        Autoscaler {
            application: *application,
            rules: *rules,
            consumers: plan.header.consumers_of(*application).collect(),
            queues,
            next: Time::ZERO.saturating_add(rules.every),
            recent: VecDeque::new(),
        }
    }

    /// When it looks next.
    pub fn next(&self) -> Time {
        self.next
    }

    /// How many consumers are to run, now that this much waits: as many as the lag asks for, but not fewer than any
    /// look within the cooldown asked for.
    fn wanted(&mut self, now: Time, lag: u64) -> usize {
        let asked = lag.div_ceil(self.rules.lag).min(self.consumers.len() as u64) as usize;
        let asked = asked.max(self.rules.least as usize);
        // Whoever asked for no more than this one counts no longer.
        while self.recent.back().is_some_and(|(_, before)| *before <= asked) {
            self.recent.pop_back();
        }
        self.recent.push_back((now, asked));
        while self.recent.front().is_some_and(|(at, _)| now - *at > self.rules.cooldown) {
            self.recent.pop_front();
        }
        self.recent.front().expect("this look is among them").1
    }
}

impl Simulation {
    /// The autoscalers that are due look at the lag. Of the consumers those with the lowest numbers run.
    pub(crate) fn autoscale(&mut self, observer: &mut impl Observer) {
        for index in 0..self.autoscalers.len() {
            let own = &self.autoscalers[index];
            if own.next > self.now {
                continue;
            }
            let (lag, now) = (self.lag(own), self.now);
            let own = &mut self.autoscalers[index];
            own.next = now.saturating_add(own.rules.every);
            let Some(lag) = lag else { continue };
            let wanted = own.wanted(now, lag);
            let consumers = own.consumers.clone();
            for (number, client) in consumers.into_iter().enumerate() {
                match (number < wanted, self.clients[client.index()].is_due) {
                    (true, false) => self.first_start(client, observer),
                    (false, true) => self.stop(client, observer),
                    _ => {}
                }
            }
        }
    }

    /// What an application has still to do: what is ready in its queues or unread on its log, and what its consumers
    /// hold of a queue. Nobody knows while a node is down.
    fn lag(&self, autoscaler: &Autoscaler) -> Option<u64> {
        let nodes: Vec<_> = self.nodes.iter().map(|host| host.machine.as_ref()).collect::<Option<_>>()?;
        let nodes = nodes.into_iter();
        if autoscaler.queues.is_empty() {
            let log = |store| match &self.cluster {
                Some(cluster) => {
                    self.nodes[cluster.chronicle.leader(store)?.index()].machine.as_ref()?.partition(store)
                }
                None => self.nodes[0].machine.as_ref()?.partition(store),
            };
            return Some(nodes.map(|node| node.lag(autoscaler.application, log)).sum());
        }
        let ready: u64 = nodes.map(|node| autoscaler.queues.iter().map(|queue| node.ready(*queue)).sum::<u64>()).sum();
        let is_own = |role: ClientRole| role == ClientRole::Consumer(autoscaler.application);
        let own = self.clients.iter().filter(|process| is_own(process.role) && process.connections.is_up());
        Some(ready + own.map(|process| process.machine.unsettled()).sum::<u64>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_event::Duration;

    fn autoscaler(cooldown: u64) -> Autoscaler {
        let rules =
            Autoscale { lag: 10, least: 2, every: Duration::from_secs(1), cooldown: Duration::from_secs(cooldown) };
        let consumers = (0..5).map(ClientId::new).collect();
        let (application, queues) = (ApplicationId::new(0), Vec::new());
        Autoscaler { application, rules, consumers, queues, next: Time::ZERO, recent: VecDeque::new() }
    }

    #[test]
    fn more_run_at_once_and_fewer_only_after_the_cooldown() {
        let mut scaler = autoscaler(3);
        let lags = [0, 31, 100, 5, 5, 25, 5, 5, 5, 5, 5];
        let wanted: Vec<usize> =
            (0..).zip(lags).map(|(second, lag)| scaler.wanted(Time::ZERO + Duration::from_secs(second), lag)).collect();
        assert_eq!(wanted, [2, 4, 5, 5, 5, 5, 3, 3, 3, 2, 2]);
        assert!(scaler.recent.len() <= 4, "what no longer counts is forgotten");
    }

    #[test]
    fn without_a_cooldown_it_follows_the_lag() {
        let mut scaler = autoscaler(0);
        let wanted = [100, 0, 21, 20].map(|lag| scaler.wanted(Time::ZERO, lag));
        assert_eq!(wanted[0], 5, "all of them, and no more");
        let mut scaler = autoscaler(0);
        let wanted: Vec<usize> = (0..)
            .zip([100, 0, 21, 20])
            .map(|(second, lag)| scaler.wanted(Time::ZERO + Duration::from_secs(second), lag))
            .collect();
        assert_eq!(wanted, [5, 2, 3, 2]);
    }
}
