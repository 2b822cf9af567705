//! The scenarios that come with the program, and the recordings that they use.

/// A scenario of the folder `scenarios`, by its name.
macro_rules! bundled {
    ($name:literal) => {
        ($name, include_str!(concat!("../../../scenarios/", $name, ".toml")))
    };
}

/// Every bundled scenario: its name and its text. The first is the one that runs unasked; the others stand in the
/// order in which a reader may want to meet them.
pub const SCENARIOS: &[(&str, &str)] = &[
    bundled!("consumer-dies"),
    bundled!("one-receiver-or-many"),
    bundled!("late-receiver"),
    bundled!("request-reply"),
    bundled!("architecture"),
    bundled!("scaling"),
    bundled!("autoscaling"),
    bundled!("retention"),
    bundled!("multiple-consumers"),
    bundled!("ordering"),
    bundled!("slow-consumer"),
    bundled!("burst"),
    bundled!("catch-up"),
    bundled!("replay"),
    bundled!("stream"),
    bundled!("fleet-tracking"),
    bundled!("acknowledge-early"),
    bundled!("commit-interval"),
    bundled!("long-pause"),
    bundled!("rebalance-storm"),
    bundled!("adding-partitions"),
    bundled!("hot-key"),
    bundled!("idempotence"),
    bundled!("open-transaction"),
    bundled!("zombie-producer"),
    bundled!("broker-restarts"),
    bundled!("power-loss"),
    bundled!("leader-dies-acks-1"),
    bundled!("quorum-or-classic"),
    bundled!("rolling-restart"),
    bundled!("retention-overtakes"),
    bundled!("latest-values"),
    bundled!("topic-routing"),
    bundled!("automatic-ack"),
    bundled!("single-active-consumer"),
    bundled!("super-stream"),
    bundled!("retries"),
    bundled!("share-group"),
    bundled!("share-group-locks"),
    bundled!("poison-message"),
    bundled!("guarantees"),
    bundled!("priority-inversion"),
    bundled!("ttl-head"),
    bundled!("length-limit"),
];

/// Every bundled recording: its name, as a bundled scenario names it, and its bytes.
pub const ASSETS: &[(&str, &[u8])] =
    &[("../assets/flights-2013-thanksgiving.csv", include_bytes!("../../../assets/flights-2013-thanksgiving.csv"))];

/// The text of the bundled scenario of this name.
pub fn scenario(name: &str) -> Option<&'static str> {
    SCENARIOS.iter().find(|(own, _)| *own == name).map(|(_, text)| *text)
}

/// The bytes of a bundled recording. Its folder does not matter: a scenario says `../assets/flights.csv` so that
/// it finds the file when it is read from the source tree.
pub fn asset(file: &str) -> Option<&'static [u8]> {
    let last = |path: &str| path.rsplit('/').next().map(str::to_string);
    ASSETS.iter().find(|(own, _)| last(own) == last(file)).map(|(_, bytes)| *bytes)
}
