//! Where messages of each kind go: asked of the broker's own router, once, when a scenario is compiled.

use std::collections::BTreeSet;

use brokerlab_broker::config::{Deployment, ProducerKind, RoutingKey};
use brokerlab_broker::router::Router;
use brokerlab_event::ApplicationId;

use crate::topology::Topology;

/// The queues that messages come to. Queues are indices.
pub(crate) struct Routes {
    /// By kind: where its messages go at first.
    pub first: Vec<BTreeSet<usize>>,
    /// From which queue to which dead letters go.
    pub steps: BTreeSet<(usize, usize)>,
}

impl Routes {
    pub(crate) fn of(deployment: &Deployment) -> Routes {
        let mut routes = Routes { first: Vec::new(), steps: BTreeSet::new() };
        let producer = deployment.producers.first().map(|producer| &producer.kind);
        let Some(ProducerKind::Publisher { exchange, addresses, .. }) = producer else { return routes };
        let mut router = Router::new(deployment);
        for address in addresses.iter() {
            let properties = address.properties.as_deref();
            let mut first = BTreeSet::new();
            let mut seen: BTreeSet<(usize, RoutingKey)> = BTreeSet::new();
            let mut ahead = vec![(None, *exchange, address.routing_key)];
            while let Some((from, exchange, key)) = ahead.pop() {
                // An exchange that takes nothing from publishers has been refused, and one without targets has none.
                let targets = router.route(exchange, key, properties).unwrap_or_default();
                for queue in targets.iter().map(|store| store.index()) {
                    match from {
                        None => _ = first.insert(queue),
                        Some(from) => _ = routes.steps.insert((from, queue)),
                    }
                    if let Some(next) = deployment.queues[queue].dead_letter
                        && seen.insert((queue, key))
                    {
                        ahead.push((Some(queue), next.exchange, next.routing_key.unwrap_or(key)));
                    }
                }
            }
            routes.first.push(first);
        }
        routes
    }

    /// For whom a message in each queue is still to be had: for the applications that consume it. A queue that nobody
    /// consumes, such as one in which messages wait before they are tried again, serves those whom its dead letters
    /// come to; one that keeps its messages for good serves nobody.
    pub(crate) fn served(&self, topology: &Topology) -> Vec<Vec<ApplicationId>> {
        let mut served: Vec<BTreeSet<ApplicationId>> = vec![BTreeSet::new(); topology.queues.len()];
        for consumer in &topology.consumers {
            served[consumer.queue].insert(consumer.application);
        }
        let unread: Vec<bool> = served.iter().map(BTreeSet::is_empty).collect();
        // Each round carries what is known one queue further back, until nothing is new.
        let mut grows = true;
        while grows {
            grows = false;
            for (from, to) in self.steps.iter().filter(|(from, _)| unread[*from]) {
                let new: Vec<ApplicationId> = served[*to].difference(&served[*from]).copied().collect();
                grows |= !new.is_empty();
                served[*from].extend(new);
            }
        }
        let told = topology.queues.iter().map(|queue| queue.serves.clone());
        told.zip(served).map(|(told, found)| told.unwrap_or_else(|| found.into_iter().collect())).collect()
    }
}
