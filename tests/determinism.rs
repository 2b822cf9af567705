//! The same identity gives the same fingerprint: whatever else is kept, however many threads, alone or not. That it
//! stays the same from one version to the next is held by the library's stored fingerprints, also for the release build.

use brokerlab_event::Fingerprint;
use brokerlab_lab::{Experiment, Keep, Outcome, Request};

fn open(scenario: &str, change: impl FnOnce(&mut Request)) -> Experiment {
    let mut request = Request { scenario: scenario.to_string(), ..Request::default() };
    change(&mut request);
    Experiment::open(request).unwrap_or_else(|error| panic!("{error}"))
}

/// Contender, what clients saw, everything.
fn fingerprints(outcome: &Outcome) -> Vec<(String, u64, u64)> {
    let digests =
        |run: &brokerlab_lab::Run| (run.header.contender.clone(), run.fingerprint.client(), run.fingerprint.full());
    outcome.runs.iter().map(digests).collect()
}

#[test]
fn what_is_kept_and_how_many_threads_run_changes_nothing() {
    let experiment = open("consumer-dies", |_| {});
    let plain = experiment.run_on(1, Keep::default(), &());
    let kept = experiment.run_on(4, Keep { messages: true, events: true }, &());
    assert_eq!(fingerprints(&plain), fingerprints(&kept));
    assert_eq!(fingerprints(&plain), fingerprints(&experiment.run_on(1, Keep::default(), &())), "and once more");
    for (one, other) in plain.runs.iter().zip(&kept.runs) {
        assert_eq!(one.results.applications, other.results.applications);
        let mut again = Fingerprint::default();
        other.events.as_ref().expect("events were to be kept").replay(&mut again);
        assert_eq!(again, other.fingerprint, "the log holds what the fingerprint digested");
    }
}

#[test]
fn a_contender_alone_is_the_contender_beside_others() {
    let all = fingerprints(&open("consumer-dies", |_| {}).run(Keep::default(), &()));
    assert!(all.len() >= 3);
    for contender in &all {
        let alone = open("consumer-dies", |request| request.contenders = vec![contender.0.clone()]);
        assert_eq!(fingerprints(&alone.run(Keep::default(), &())), std::slice::from_ref(contender));
    }
}

#[test]
fn another_identity_is_another_fingerprint() {
    let run = |change: fn(&mut Request)| fingerprints(&open("consumer-dies", change).run(Keep::default(), &()));
    let base = run(|_| {});
    let changes: [fn(&mut Request); 3] = [
        |request| request.seed = Some(7),
        |request| request.settings = vec!["fault.0.at=31s".to_string()],
        |request| request.settings = vec!["network.latency=501us".to_string()],
    ];
    for change in changes {
        for (one, other) in base.iter().zip(run(change)) {
            assert_eq!(one.0, other.0);
            assert_ne!((one.1, one.2), (other.1, other.2));
        }
    }
}
