//! What each consumer does over time.

use brokerlab_event::{ClientId, ClientRole, Event, EventLog, RunHeader, Time};

/// What a consumer does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Doing {
    /// It works on a message.
    Working = 0,
    /// It is there and has nothing to do.
    Waiting = 1,
    /// It has nothing to do while its group redistributes its partitions.
    Rebalancing = 2,
    /// It stands still.
    Paused = 3,
    /// It is not running, or has no connection and nothing left to work on.
    Down = 4,
}

impl Doing {
    /// Everything that a consumer can do.
    pub const ALL: [Doing; 5] = [Doing::Working, Doing::Waiting, Doing::Rebalancing, Doing::Paused, Doing::Down];

    /// A word for it.
    pub fn word(self) -> &'static str {
        match self {
            Doing::Working => "working",
            Doing::Waiting => "waiting",
            Doing::Rebalancing => "rebalancing",
            Doing::Paused => "paused",
            Doing::Down => "down",
        }
    }
}

/// What a consumer does from the start of a run to its end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Track {
    client: ClientId,
    /// When it begins something else, and what; the first at the start. One number holds both, the time in front.
    changes: Vec<u64>,
    end: Time,
}

/// Low bits that say what is done.
const KIND: u32 = 3;

fn packed(time: Time, doing: Doing) -> u64 {
    time.as_nanos() << KIND | doing as u64
}

fn time_of(change: u64) -> u64 {
    change >> KIND
}

fn doing_of(change: u64) -> Doing {
    Doing::ALL[(change & ((1 << KIND) - 1)) as usize]
}

impl Track {
    /// Whose it is.
    pub fn client(&self) -> ClientId {
        self.client
    }

    /// What the consumer does at a time.
    pub fn at(&self, time: Time) -> Doing {
        doing_of(self.changes[self.change_before(time.as_nanos())])
    }

    /// When it begins something else, and what, from the change before a stretch of time to its end.
    pub fn changes(&self, from: Time, until: Time) -> impl Iterator<Item = (Time, Doing)> + '_ {
        let own = self.changes[self.change_before(from.as_nanos())..].iter();
        let own = own.map(|change| (Time::from_nanos(time_of(*change)), doing_of(*change)));
        own.take_while(move |(time, _)| *time <= until)
    }

    /// A stretch of time in so many equal parts: for each of them which part of it the consumer spends with what, in the
    /// order of [`Doing::ALL`]. Nothing is spent after the end of the run.
    pub fn shares(&self, from: Time, until: Time, parts: usize) -> Vec<[f32; 5]> {
        let (from, until) = (from.as_nanos(), until.as_nanos());
        let mut shares = vec![[0.0; 5]; parts];
        if until <= from || parts == 0 {
            return shares;
        }
        let length = (until - from) as f64 / parts as f64;
        let last = until.min(self.end.as_nanos());
        let changes = &self.changes[self.change_before(from)..];
        for (index, change) in changes.iter().enumerate() {
            let begin = time_of(*change).max(from);
            let end = changes.get(index + 1).map_or(last, |next| time_of(*next)).min(last);
            if time_of(*change) >= last {
                break;
            }
            // Where it begins and ends, counted in parts.
            let (begin, end) = ((begin - from) as f64 / length, end.saturating_sub(from) as f64 / length);
            let mut at = begin;
            while at < end {
                let part = (at as usize).min(parts - 1);
                let stop = if part + 1 == parts { end } else { end.min((part + 1) as f64) };
                shares[part][doing_of(*change) as usize] += (stop - at) as f32;
                at = stop;
            }
        }
        shares
    }

    /// The place of the last change that is no later; the first is at the start of the run.
    fn change_before(&self, nanos: u64) -> usize {
        self.changes.partition_point(|change| time_of(*change) <= nanos).saturating_sub(1)
    }
}

/// The consumers of a run, each with what it does over time.
///
/// The state follows from what clients do and from what their groups do, by the same rules as
/// [`View`](crate::View) has for a moment.
pub fn tracks(header: &RunHeader, log: &EventLog) -> Vec<Track> {
    let mut states: Vec<Option<State>> = header.clients.iter().map(|client| State::new(client.role)).collect();
    for record in log.records() {
        let changed = match record.event() {
            Event::RebalanceStarted { application, .. } => Some((application, true)),
            Event::RebalanceCompleted { application, .. } => Some((application, false)),
            event => {
                if let Some(client) = client_of(event)
                    && let Some(state) = &mut states[client.index()]
                {
                    state.observe(event);
                    state.note(record.time);
                }
                None
            }
        };
        if let Some((application, rebalancing)) = changed {
            for state in states.iter_mut().flatten().filter(|state| state.role == ClientRole::Consumer(application)) {
                state.rebalancing = rebalancing;
                state.note(record.time);
            }
        }
    }
    let own = |(index, state): (usize, Option<State>)| {
        Some(Track { client: ClientId::new(index as u32), changes: state?.changes, end: header.horizon })
    };
    states.into_iter().enumerate().filter_map(own).collect()
}

/// Whom an event that changes what a consumer does is about.
fn client_of(event: Event) -> Option<ClientId> {
    match event {
        Event::Started { consumer, .. } | Event::Processed { consumer, .. } | Event::Failed { consumer, .. } => {
            Some(consumer)
        }
        Event::Connected { client }
        | Event::Disconnected { client, .. }
        | Event::ConnectionLost { client }
        | Event::Reconnected { client }
        | Event::Paused { client }
        | Event::Resumed { client } => Some(client),
        _ => None,
    }
}

/// What is known of a consumer while its events are read.
struct State {
    role: ClientRole,
    connected: bool,
    paused: bool,
    working: bool,
    rebalancing: bool,
    changes: Vec<u64>,
}

impl State {
    fn new(role: ClientRole) -> Option<State> {
        let changes = vec![packed(Time::ZERO, Doing::Down)];
        let is_consumer = matches!(role, ClientRole::Consumer(_));
        is_consumer.then_some(State {
            role,
            connected: false,
            paused: false,
            working: false,
            rebalancing: false,
            changes,
        })
    }

    fn observe(&mut self, event: Event) {
        match event {
            Event::Started { .. } => self.working = true,
            Event::Processed { .. } | Event::Failed { .. } => self.working = false,
            Event::Connected { .. } | Event::Reconnected { .. } => self.connected = true,
            // What it works on it works on to the end.
            Event::ConnectionLost { .. } => self.connected = false,
            Event::Disconnected { .. } => (self.connected, self.paused, self.working) = (false, false, false),
            Event::Paused { .. } => self.paused = true,
            Event::Resumed { .. } => self.paused = false,
            _ => {}
        }
    }

    fn doing(&self) -> Doing {
        match *self {
            State { paused: true, .. } => Doing::Paused,
            State { working: true, .. } => Doing::Working,
            State { connected: false, .. } => Doing::Down,
            State { rebalancing: true, .. } => Doing::Rebalancing,
            _ => Doing::Waiting,
        }
    }

    /// Notes what it does from now on. What takes no time leaves no trace: work that follows work is one stretch.
    fn note(&mut self, now: Time) {
        let doing = self.doing();
        if self.changes.last().is_some_and(|last| time_of(*last) == now.as_nanos()) {
            self.changes.pop();
        }
        if self.changes.last().is_none_or(|last| doing_of(*last) != doing) {
            self.changes.push(packed(now, doing));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use brokerlab_event::{
        ApplicationId, ApplicationInfo, ClientInfo, Count, Departure, KeyTable, Kinds, MessageId, Model, Observer,
        Offset, StoreId,
    };

    fn seconds(seconds: u64) -> Time {
        Time::from_nanos(seconds * 1_000_000_000)
    }

    fn header() -> RunHeader {
        let client = |name: &str, role| ClientInfo { name: name.into(), role };
        let consumer = ClientRole::Consumer(ApplicationId::new(0));
        RunHeader {
            title: "days of a consumer".into(),
            contender: "log".into(),
            model: Model::Log,
            seed: 1,
            demand_digest: 0,
            horizon: seconds(100),
            warm_up: Time::ZERO,
            applications: vec![ApplicationInfo::new("billing")],
            clients: vec![client("producer/1", ClientRole::Producer), client("billing/1", consumer)],
            stores: vec![],
            faults: vec![],
            keys: KeyTable::default(),
            kinds: Kinds::default(),
            promises: vec![],
        }
    }

    fn track(events: &[(u64, Event)]) -> Track {
        let mut log = EventLog::default();
        events.iter().for_each(|(time, event)| log.observe(seconds(*time), *event));
        tracks(&header(), &log).pop().expect("there is a consumer")
    }

    /// Twenty seconds of each state but one, and two pieces of work that follow each other.
    fn day() -> Track {
        let (client, application) = (ClientId::new(1), ApplicationId::new(0));
        let started = |message| Event::Started { message: MessageId::new(message), consumer: client };
        let processed = |message| Event::Processed {
            message: MessageId::new(message),
            consumer: client,
            store: StoreId::new(0),
            offset: Offset::ZERO,
        };
        let (generation, members) = (Count::new(1), Count::new(1));
        track(&[
            (20, Event::Connected { client }),
            (40, started(1)),
            (50, processed(1)),
            (50, started(2)),
            (60, processed(2)),
            (60, Event::RebalanceStarted { application, generation }),
            (70, Event::RebalanceCompleted { application, generation, members }),
            (70, Event::Paused { client }),
            (80, Event::Resumed { client }),
            (90, Event::Disconnected { client, cause: Departure::Crashed }),
        ])
    }

    #[test]
    fn a_consumer_is_in_one_state_at_any_time() {
        let day = day();
        let words: Vec<(u64, &str)> = day
            .changes(Time::ZERO, seconds(100))
            .map(|(time, doing)| (time.as_nanos() / 1_000_000_000, doing.word()))
            .collect();
        let expected = [
            (0, "down"),
            (20, "waiting"),
            (40, "working"),
            (60, "rebalancing"),
            (70, "paused"),
            (80, "waiting"),
            (90, "down"),
        ];
        assert_eq!(words, expected);
        assert_eq!(day.at(seconds(59)), Doing::Working);
        assert_eq!(day.changes(seconds(45), seconds(65)).count(), 2, "from the change before");
    }

    #[test]
    fn shares_add_up_and_stop_with_the_run() {
        let day = day();
        for (from, until, parts) in [(0, 100, 1), (0, 100, 10), (0, 100, 7), (35, 62, 500), (40, 41, 3)] {
            let shares = day.shares(seconds(from), seconds(until), parts);
            assert_eq!(shares.len(), parts);
            assert!(shares.iter().all(|share| (share.iter().sum::<f32>() - 1.0).abs() < 1e-3), "{shares:?}");
        }
        let whole = day.shares(Time::ZERO, seconds(100), 1)[0];
        for (found, expected) in whole.iter().zip([0.2, 0.3, 0.1, 0.1, 0.3]) {
            assert!((found - expected).abs() < 1e-6, "{whole:?}");
        }
        let after = day.shares(seconds(90), seconds(110), 2);
        assert_eq!((after[0][Doing::Down as usize], after[1]), (1.0, [0.0; 5]));
        assert_eq!(day.shares(seconds(5), seconds(5), 2), [[0.0; 5]; 2]);
    }

    #[test]
    fn who_is_cut_off_works_to_the_end() {
        let client = ClientId::new(1);
        let track = track(&[
            (10, Event::Connected { client }),
            (20, Event::Started { message: MessageId::new(1), consumer: client }),
            (25, Event::ConnectionLost { client }),
            (
                30,
                Event::Failed {
                    message: MessageId::new(1),
                    consumer: client,
                    store: StoreId::new(0),
                    offset: Offset::ZERO,
                },
            ),
            (40, Event::Reconnected { client }),
        ]);
        let at = |time| track.at(seconds(time));
        assert_eq!([at(26), at(35), at(45)], [Doing::Working, Doing::Down, Doing::Waiting]);
    }
}
