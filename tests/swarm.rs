//! Small random scenarios, run through every model: whatever the demand, the options and the faults, the books
//! balance, the streaming judges agree with an oracle that judges by definition, promises hold, and a second run
//! is the same run.
//!
//! A failure prints its seed and the scenario. `BROKERLAB_SWARM_SEED=N cargo test --test main swarm` runs that one
//! alone; `BROKERLAB_SWARM=N` runs more of them.

use std::fmt::Write;

use brokerlab_analysis::{Fate, Judgement, oracle};
use brokerlab_event::{ApplicationId, Generator};
use brokerlab_lab::{Keep, Run, run_contender};
use brokerlab_scenario::{Scenario, Source};

const SEEDS: u64 = 150;

struct Writer {
    chance: Generator,
    text: String,
}

impl Writer {
    fn below(&mut self, bound: u64) -> u64 {
        self.chance.below(bound)
    }

    fn one_of<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len() as u64) as usize]
    }

    fn line(&mut self, line: std::fmt::Arguments) {
        writeln!(self.text, "{line}").expect("writing to a string works");
    }

    fn demand(&mut self) -> Vec<(String, u64)> {
        let producers = 1 + self.below(3);
        let rate = 5 + self.below(40);
        let arrivals = self.one_of(&["\"poisson\"", "\"constant\"", "{ on = \"1s\", off = \"2s\" }"]);
        let keys = self.one_of(&["", "keys = { count = 5 }", "keys = { count = 50, distribution = \"zipf\" }"]);
        let size = self.one_of(&["\"100B\"", "{ distribution = \"exponential\", mean = \"2KiB\" }"]);
        self.line(format_args!(
            "[demand]\nproducers = {producers}\nrate = \"{rate}/s\"\narrivals = {arrivals}\n{keys}"
        ));
        self.line(format_args!("size = {size}\nuntil = \"9s\""));
        let mut applications = Vec::new();
        for number in 0..1 + self.below(3) {
            let (name, consumers) = (format!("app{number}"), 1 + self.below(4));
            let mean = 5 + self.below(100);
            let law = self.one_of(&["exponential", "constant"]);
            let joins = self.one_of(&["0s", "0s", "0s", "3s"]);
            let answer = self.one_of(&["true", "false"]);
            self.line(format_args!(
                "[[demand.application]]\nname = \"{name}\"\nconsumers = {consumers}\njoins = \"{joins}\""
            ));
            self.line(format_args!("answer = {answer}\nwork = {{ distribution = \"{law}\", mean = \"{mean}ms\" }}"));
            applications.push((name, consumers));
        }
        applications
    }

    fn contenders(&mut self) {
        let prefetch = self.one_of(&["0", "1", "3", "50"]);
        let ack = self.one_of(&["manual", "manual", "automatic"]);
        let queues = self.one_of(&["shared", "each"]);
        let durable = self.one_of(&["true", "false"]);
        let window = self.one_of(&["1", "5", "1000"]);
        self.line(format_args!(
            "[[contender]]\nname = \"queue\"\nmodel = \"queue\"\nprefetch = {prefetch}\nack = \"{ack}\"\nqueues = \"{queues}\"\n\
             durable = {durable}\nmax_unconfirmed = {window}"
        ));
        let confirms = self.one_of(&["true", "false"]);
        self.line(format_args!(
            "[[contender]]\nname = \"fanout\"\nmodel = \"fanout\"\nprefetch = 5\nconfirms = {confirms}"
        ));
        self.line(format_args!("[[contender]]\nname = \"broadcast\"\nmodel = \"broadcast\"\nconfirms = {confirms}"));
        let partitions = 1 + self.below(6);
        let acks = self.one_of(&["all", "leader", "none"]);
        let linger = self.one_of(&["0s", "5ms", "200ms"]);
        let commit = self.one_of(&["{ every = \"2s\" }", "\"after-batch\"", "\"after-each\"", "\"before-work\""]);
        let poll = self.one_of(&["1", "10", "500"]);
        let reset = self.one_of(&["earliest", "earliest", "latest"]);
        let retention = self.one_of(&["none", "none", "4s"]);
        let delay = self.one_of(&["0s", "500ms"]);
        let protocol = self.one_of(&[
            "",
            "assignors = \"roundrobin\"",
            "assignors = \"sticky\"",
            "assignors = \"cooperative-sticky\"",
            "group_protocol = \"consumer\"",
            "group_protocol = \"consumer\"\nremote_assignor = \"range\"",
        ]);
        let is_static = self.one_of(&["false", "false", "true"]);
        let isolation = self.one_of(&["read_uncommitted", "read_committed"]);
        let transactions = match (acks, self.below(2)) {
            ("all", 0) => {
                let (every, aborts) = (100 + self.below(1500), self.one_of(&["0.0", "0.3"]));
                let id = self.one_of(&["stable", "random"]);
                let fenced = self.one_of(&["end", "restart"]);
                format!(
                    "transaction_timeout = \"2s\"\ntransactions = {{ messages = 20, every = \"{every}ms\", \
                     abort = {aborts}, transactional_id = \"{id}\", on_fenced = \"{fenced}\" }}"
                )
            }
            _ => String::new(),
        };
        self.line(format_args!(
            "[[contender]]\nname = \"log\"\nmodel = \"log\"\npartitions = {partitions}\nacks = \"{acks}\"\nlinger = \"{linger}\"\n\
             commit = {commit}\nmax_poll_records = {poll}\nreset = \"{reset}\"\nretention_time = \"{retention}\"\n\
             segment_bytes = \"8KiB\"\nretention_check_interval = \"1s\"\nsession_timeout = \"3s\"\n\
             heartbeat_interval = \"1s\"\ninitial_rebalance_delay = \"{delay}\"\nmax_poll_interval = \"5s\"\n\
             {protocol}\nstatic_members = {is_static}\nisolation = \"{isolation}\"\n{transactions}"
        ));
        let mode = self.one_of(&["batch-optimized", "record-limit"]);
        let acknowledge = self.one_of(&[
            "\"implicit\"",
            "\"explicit\"",
            "\"explicit\"\nrenew = true",
            "\"explicit\"\non_failure = \"reject\"",
        ]);
        let lock = self.one_of(&["1s", "3s", "30s"]);
        let locks = self.one_of(&["10", "2000"]);
        self.line(format_args!(
            "[[contender]]\nname = \"share\"\nmodel = \"share-group\"\npartitions = {partitions}\nacks = \"{acks}\"\nlinger = \"{linger}\"\n\
             max_poll_records = {poll}\nreset = \"{reset}\"\nretention_time = \"{retention}\"\nsegment_bytes = \"8KiB\"\n\
             retention_check_interval = \"1s\"\nsession_timeout = \"3s\"\nheartbeat_interval = \"1s\"\n\
             acquire_mode = \"{mode}\"\nacknowledge = {acknowledge}\nrecord_lock_duration = \"{lock}\"\nmax_record_locks = {locks}"
        ));
    }

    fn faults(&mut self, applications: &[(String, u64)]) {
        for _ in 0..self.below(4) {
            let (name, consumers) = applications[self.below(applications.len() as u64) as usize].clone();
            let at = 1 + self.below(8);
            let lasts = self.one_of(&["for = \"2s\"", "for = \"500ms\"", "for = \"4s\"", ""]);
            let number = 1 + self.below(consumers);
            let deed = self.one_of(&["crash", "crash", "pause", "slow", "leave", "producer", "replace"]);
            let fault = match deed {
                "producer" => "crash = \"producer/1\"".to_string(),
                "replace" => "replace = \"producer/1\"".to_string(),
                "slow" => format!("slow = \"{name}/{number}\"\nfactor = 5"),
                _ if self.below(4) == 0 => format!("{deed} = {{ role = \"most-unsettled\", of = \"{name}\" }}"),
                _ if self.below(5) == 0 => format!("{deed} = \"{name}\""),
                _ => format!("{deed} = \"{name}/{number}\""),
            };
            self.line(format_args!("[[fault]]\nat = \"{at}s\"\n{fault}\n{lasts}"));
        }
    }
}

fn scenario_text(seed: u64) -> String {
    let mut writer = Writer { chance: Generator::new(seed, "swarm"), text: String::new() };
    let latency = writer.one_of(&["0s", "500us", "50ms"]);
    writer.line(format_args!(
        "format = 1\ntitle = \"swarm {seed}\"\nduration = \"14s\"\nseed = {seed}\nnetwork = {{ latency = \"{latency}\" }}"
    ));
    let applications = writer.demand();
    writer.contenders();
    writer.faults(&applications);
    writer.text
}

/// Whether two judges agree on everything that both judge.
fn agrees_with_the_oracle(run: &Run) {
    let log = run.events.as_ref().expect("events were kept");
    for (index, own) in run.results.applications.iter().enumerate() {
        let truth = oracle::findings(&run.header, log.records(), ApplicationId::new(index as u16));
        for fate in Fate::ALL {
            assert_eq!(own.summary.fates[fate], truth.count(fate), "{}: {}", run.header.contender, fate.name());
        }
        let found =
            (own.summary.duplicates, own.summary.replayed, own.summary.redeliveries, own.summary.key_order_violations);
        let expected = (truth.duplicates, truth.replayed, truth.redeliveries, truth.key_order_violations);
        assert_eq!(found, expected, "{}: duplicates, redeliveries, violations of key order", run.header.contender);
    }
}

fn judge(seed: u64) {
    let text = scenario_text(seed);
    let source = Source::new(format!("swarm-{seed}.toml"), text);
    let scenario = Scenario::parse(&source, &[]).unwrap_or_else(|error| panic!("{error}"));
    let mut digests = Vec::new();
    for contender in 0..scenario.contenders.len() {
        let run = run_contender(&scenario, contender, Keep { events: true, messages: false }, &());
        agrees_with_the_oracle(&run);
        for own in &run.results.applications {
            assert_eq!(own.summary.fates.sum(), own.summary.offered);
            assert_eq!(own.summary.fates[Fate::Lost], 0, "{}: no node went down", run.header.contender);
        }
        for verdict in &run.results.verdicts {
            let what = (verdict.guarantee.name(), verdict.application, verdict.breaks);
            assert_ne!(verdict.judgement, Judgement::Broken, "{}: {what:?}", run.header.contender);
        }
        let again = run_contender(&scenario, contender, Keep::default(), &());
        assert_eq!(run.fingerprint, again.fingerprint, "{}: a second run", run.header.contender);
        assert_eq!(run.results, again.results, "{}: with and without the event log", run.header.contender);
        digests.push((run.header.demand_digest, run.results.total.offered));
    }
    assert!(digests.windows(2).all(|pair| pair[0].0 == pair[1].0), "every contender gets the same demand");
}

#[test]
fn small_random_scenarios_balance_their_books() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    if let Some(seed) = number("BROKERLAB_SWARM_SEED") {
        println!("{}", scenario_text(seed));
        return judge(seed);
    }
    for seed in 0..number("BROKERLAB_SWARM").unwrap_or(SEEDS) {
        if let Err(panic) = std::panic::catch_unwind(|| judge(seed)) {
            eprintln!("replay: BROKERLAB_SWARM_SEED={seed} cargo test --test main swarm -- --nocapture");
            std::panic::resume_unwind(panic);
        }
    }
}
