//! `--set path=value`.

use brokerlab_broker::config::TransactionVersion;
use brokerlab_scenario::{ModelOptions, Scenario, Source};

const TEXT: &str = r#"# A comment at the top.
format = 1
title = "t"
duration = "60s"            # a minute

[demand]
rate = "40/s"               # all together
keys = { count = 10 }

[[demand.application]]
name = "billing"
work = "60ms"

[[contender]]
name = "queue"
model = "queue"
prefetch = 10               # a few

[[fault]]
at = "10s"
crash = "billing"
"#;

fn source() -> Source {
    Source::new("test.toml", TEXT)
}

fn parse(settings: &[&str]) -> Result<Scenario, String> {
    let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
    Scenario::parse(&source(), &settings).map_err(|error| error.to_string())
}

fn error(setting: &str) -> String {
    parse(&[setting]).expect_err("the setting is refused")
}

#[test]
fn settings_reach_every_place_and_keep_comments() {
    let settings = [
        "demand.rate=80/s",
        "contender.queue.prefetch = 1",
        "contender.0.ack=\"automatic\"",
        "fault.0.at=20s",
        "demand.keys.distribution=zipf",
        "network.latency=1ms",
        "demand.application.billing.consumers=4",
    ];
    let scenario = parse(&settings).expect("the settings are valid");
    let ModelOptions::Queue(options) = &scenario.contenders[0].options else { panic!("it is a queue") };
    let consumer = &options.topology.consumers[0];
    assert_eq!((consumer.count, consumer.prefetch, consumer.automatic_ack), (4, 1, true));
    assert_eq!(scenario.faults[0].at.as_secs_f64(), 20.0);
    assert_eq!(scenario.network.latency.as_millis_f64(), 1.0);
    assert_eq!(scenario.demand.applications[0].consumers, 4);
    insta::assert_snapshot!("settings-applied", scenario.text());
}

#[test]
fn wrong_settings_are_told_by_their_path() {
    let messages: Vec<String> = [
        "demand.rate",
        "demand..rate=1/s",
        "demand.rate=fast",
        "demand.rat=80/s",
        "demnad.rate=80/s",
        "contender.quue.prefetch=1",
        "contender.queue.prefetch=-1",
        "contender.queue.partitions=3",
        "contender.queue=3",
        "contender=3",
        "duration.x=3",
        "fault.3.at=1s",
        "fault.0.at=2h",
        "demand.keys.count=0",
        "demand.keys={ count = 0 }",
    ]
    .into_iter()
    .map(error)
    .collect();
    insta::assert_snapshot!("settings-refused", messages.join("\n"));
}

/// Values of every kind that most options cannot have.
const NONSENSE: &[&str] = &[
    "-1",
    "0",
    "9223372036854775807",
    "1e308",
    "nan",
    "true",
    "\"\"",
    "\"x\"",
    "\"0s\"",
    "\"1e18s\"",
    "[]",
    "{}",
    "[[]]",
    "[{}]",
    "\"1e9/s\"",
    "none",
    "\"../..\"",
    "{ distribution = \"uniform\" }",
    "2020-01-01",
];

#[test]
fn nonsense_anywhere_is_an_error_and_no_panic() {
    let text = parse(&[]).expect("it is valid").resolved();
    let resolved = Source::new("test.toml", text.clone());
    let mut table = String::new();
    let mut refused = 0;
    for line in text.lines() {
        if line.starts_with('[') {
            table = line.trim_matches(['[', ']']).to_string();
            let list = line.starts_with("[[");
            table = if list { format!("{table}.0.") } else { format!("{table}.") };
        } else if let Some((key, _)) = line.split_once(" = ") {
            for value in NONSENSE {
                let setting = format!("{table}{key}={value}");
                refused += usize::from(Scenario::parse(&resolved, &[setting]).is_err());
            }
        }
    }
    assert!(refused > 300, "only {refused} were refused");
}

#[test]
fn a_file_cut_anywhere_is_an_error_and_no_panic() {
    let text = parse(&[]).expect("it is valid").resolved();
    for (at, _) in text.char_indices() {
        let cut = Source::new("test.toml", &text[..at]);
        let _ = Scenario::parse(&cut, &[]).map_err(|error| error.to_string());
    }
    let lines: Vec<&str> = text.lines().collect();
    for left_out in 0..lines.len() {
        let rest: Vec<&str> =
            lines.iter().enumerate().filter(|(at, _)| *at != left_out).map(|(_, line)| *line).collect();
        let _ = Scenario::parse(&Source::new("test.toml", rest.join("\n")), &[]).map_err(|error| error.to_string());
    }
}

#[test]
fn a_path_that_ends_with_a_plus_adds_an_entry_to_a_list() {
    let added = [r#"fault+={ at = "20s", for = "5s", crash = "billing/1", contender = "queue" }"#];
    let scenario = parse(&added).expect("the fault is valid");
    assert_eq!(scenario.faults.len(), 2);
    assert_eq!((scenario.faults[1].at.as_secs_f64(), scenario.faults[1].contender), (20.0, Some(0)));
    assert!(scenario.text().contains("[[fault]]\nat = \"20s\""), "{}", scenario.text());
    assert!(scenario.text().contains("# a few"), "comments are kept");
    // It counts from where the list begins, and can be added to a list that is not there yet, or one within braces.
    let other = parse(&["demand.kind+={ name = \"orders\", share = 1.0 }"]).expect("the kind is valid");
    assert_eq!(other.demand.kinds.len(), 1);
    let text =
        TEXT.replace("[[fault]]\nat = \"10s\"\ncrash = \"billing\"", "").replace("duration", "fault = []\nduration");
    let scenario = Scenario::parse(&Source::new("test.toml", text), &added.map(String::from)).expect("it is valid");
    assert_eq!(scenario.faults.len(), 1);
}

#[test]
fn what_cannot_be_added_is_told() {
    let wrong = error("fault+=crash");
    assert!(wrong.contains("adds a table to a list"), "{wrong}");
    let wrong = error("demand+={ rate = 1 }");
    assert!(wrong.contains("demand is not a list of tables"), "{wrong}");
    let wrong = error("contender.lag.seek+={ at = \"1s\" }");
    assert!(wrong.contains("contender has no entry \"lag\""), "{wrong}");
    let wrong = error(r#"fault+={ at = "20s", crash = "biling/1" }"#);
    assert!(wrong.contains("--set fault.1") && wrong.contains("did you mean \"billing"), "{wrong}");
}

#[test]
fn a_fault_of_one_contender_is_met_by_that_one_alone() {
    let text = format!("{TEXT}contender = \"queue\"\n\n[[contender]]\nname = \"other\"\nmodel = \"queue\"\n");
    let scenario = Scenario::parse(&Source::new("test.toml", text), &[]).expect("it is valid");
    let faults = |contender| brokerlab_scenario::compile(&scenario, contender).faults.len();
    assert_eq!((faults(0), faults(1)), (1, 0));
}

#[test]
fn an_older_profile_of_a_log_brings_its_own_rules_and_defaults() {
    let linger = |settings: &[&str]| {
        let text = TEXT.replace("model = \"queue\"\nprefetch = 10               # a few", "model = \"log\"");
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        let scenario = Scenario::parse(&Source::new("log.toml", text), &settings).expect("the settings are valid");
        let topic = scenario.contenders[0].options.topic().expect("it is a log");
        let again = Scenario::parse(&Source::new("again.toml", scenario.resolved()), &[]).expect("it reads again");
        assert_eq!(again.contenders, scenario.contenders, "every default is written out");
        (topic.producer.linger.as_millis_f64(), topic.profile.transactions)
    };
    assert_eq!(linger(&[]), (5.0, TransactionVersion::V2));
    assert_eq!(linger(&["contender.queue.profile=kafka-4.0"]), (5.0, TransactionVersion::V2));
    assert_eq!(linger(&["contender.queue.profile=kafka-3.9"]), (0.0, TransactionVersion::V1));
    let told = ["contender.queue.profile=kafka-3.9", "contender.queue.linger=7ms"];
    assert_eq!(linger(&told), (7.0, TransactionVersion::V1));
}

#[test]
fn a_share_group_of_4_0_holds_fewer_records_where_nothing_is_said() {
    let locks = |settings: &[&str]| {
        let text = TEXT.replace("model = \"queue\"\nprefetch = 10               # a few", "model = \"share-group\"");
        let settings: Vec<String> = settings.iter().map(|setting| setting.to_string()).collect();
        let scenario = Scenario::parse(&Source::new("share.toml", text), &settings).expect("the settings are valid");
        let again = Scenario::parse(&Source::new("again.toml", scenario.resolved()), &[]).expect("it reads again");
        assert_eq!(again.contenders, scenario.contenders, "every default is written out");
        match &scenario.contenders[0].options {
            ModelOptions::ShareGroup(options) => options.rules.max_record_locks,
            other => panic!("it is a share group, not {other:?}"),
        }
    };
    assert_eq!(locks(&[]), 2000);
    assert_eq!(locks(&["contender.queue.profile=kafka-4.1"]), 2000);
    assert_eq!(locks(&["contender.queue.profile=kafka-4.0"]), 200);
    assert_eq!(locks(&["contender.queue.profile=kafka-4.0", "contender.queue.max_record_locks=300"]), 300);
}
