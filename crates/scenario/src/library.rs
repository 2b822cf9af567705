//! The scenarios that come with the program, and the recordings that they use.

/// Every bundled scenario: its name and its text.
pub const SCENARIOS: &[(&str, &str)] = &[("consumer-dies", include_str!("../../../scenarios/consumer-dies.toml"))];

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
