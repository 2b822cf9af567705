//! Swarms of random scenarios: see `brokerlab_swarm`. A failure prints the command that replays it.

use brokerlab_swarm::{Kind, hunt};

/// How many of each kind run: together some seconds of an optimised build.
const MIXED: u64 = 40;
const LOGS: u64 = 200;
const CLUSTERS: u64 = 400;
const QUORUMS: u64 = 300;

fn holds(kind: Kind, seeds: u64) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    if let Some(find) = hunt(kind, 0..seeds, threads, || ()) {
        let (name, seed) = (kind.name(), find.seed);
        panic!("{}\nreplay: cargo run --release -- swarm --kind {name} --from {seed} --seeds 1", find.message);
    }
}

#[test]
fn small_random_scenarios_balance_their_books() {
    holds(Kind::Mixed, MIXED);
}

#[test]
fn random_logs_with_failures_seeks_and_resets_balance_their_books() {
    holds(Kind::Logs, LOGS);
}

#[test]
fn random_clusters_whose_nodes_go_down_balance_their_books() {
    holds(Kind::Clusters, CLUSTERS);
}

#[test]
fn random_quorum_queues_whose_nodes_go_down_balance_their_books() {
    holds(Kind::Quorums, QUORUMS);
}
