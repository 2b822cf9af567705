//! The time that is looked at, and how it moves. It is a view of finished runs: nothing is computed when it moves.

use brokerlab_lab::analysis::NotableKind;
use brokerlab_lab::event::Time;

use crate::bench::Lane;

/// The slowest and the fastest speed, as powers of two.
pub const SPEEDS: core::ops::RangeInclusive<i8> = -4..=8;

/// The time that is looked at.
#[derive(Clone, PartialEq, Debug)]
pub struct Player {
    /// When.
    pub time: Time,
    /// It runs.
    pub playing: bool,
    /// How many seconds of virtual time a second shows, as a power of two.
    speed: i8,
    /// What is left of a nanosecond.
    rest: f64,
}

impl Default for Player {
    fn default() -> Player {
        Player { time: Time::ZERO, playing: false, speed: 0, rest: 0.0 }
    }
}

impl Player {
    /// How many seconds of virtual time a second shows.
    pub fn factor(&self) -> f64 {
        2f64.powi(i32::from(self.speed))
    }

    /// The speed in words: `1/4x`, `16x`.
    pub fn speed_text(&self) -> String {
        speed_text(self.speed)
    }

    /// The speed as a power of two.
    pub fn speed(&self) -> i8 {
        self.speed
    }

    /// Another speed.
    pub fn set_speed(&mut self, speed: i8) {
        self.speed = speed.clamp(*SPEEDS.start(), *SPEEDS.end());
    }

    /// Goes to a time, as far as the runs go, and shows it on every lane.
    pub fn seek(&mut self, time: Time, lanes: &mut [Lane]) {
        let horizon = lanes.first().map_or(Time::ZERO, |lane| lane.header.horizon);
        self.time = time.min(horizon);
        for lane in lanes {
            lane.timeline.seek(self.time);
        }
    }

    /// Moves by seconds, back or forth.
    pub fn shift(&mut self, seconds: f64, lanes: &mut [Lane]) {
        let nanos = (self.time.as_nanos() as f64 + seconds * 1e9).max(0.0);
        self.seek(Time::from_nanos(nanos as u64), lanes);
    }

    /// So much real time has passed.
    pub fn tick(&mut self, seconds: f64, lanes: &mut [Lane]) {
        if !self.playing {
            return;
        }
        let nanos = seconds * 1e9 * self.factor() + self.rest;
        self.rest = nanos.fract();
        let horizon = lanes.first().map_or(Time::ZERO, |lane| lane.header.horizon);
        self.seek(Time::from_nanos(self.time.as_nanos().saturating_add(nanos as u64)), lanes);
        self.playing = self.time < horizon;
    }

    /// Plays, from the start again where the end is reached, or stands still.
    pub fn toggle(&mut self, lanes: &mut [Lane]) {
        self.playing = !self.playing;
        if self.playing && lanes.first().is_some_and(|lane| self.time >= lane.header.horizon) {
            self.seek(Time::ZERO, lanes);
        }
    }

    /// Goes one event forth: the earliest that any lane has yet to come, of equal ones that of the first lane.
    pub fn step(&mut self, lanes: &mut [Lane]) {
        self.playing = false;
        let next = |lane: &Lane| Some(lane.timeline.log().records().get(lane.timeline.position())?.time);
        let earliest = lanes.iter().enumerate().filter_map(|(index, lane)| Some((next(lane)?, index))).min();
        if let Some((time, index)) = earliest {
            lanes[index].timeline.next_event();
            self.time = time;
        }
    }

    /// Takes the event back that [`Player::step`] came to last.
    pub fn step_back(&mut self, lanes: &mut [Lane]) {
        self.playing = false;
        let last = |lane: &Lane| lane.timeline.last_event().map(|record| record.time);
        let latest = lanes.iter().enumerate().filter_map(|(index, lane)| Some((last(lane)?, index))).max();
        if let Some((_, index)) = latest {
            lanes[index].timeline.previous_event();
            self.time = lanes.iter().filter_map(last).max().unwrap_or(Time::ZERO);
        }
    }

    /// Goes to the moment of the next thing that stands out in any lane, and tells what it is and in which lane.
    pub fn next_notable(&mut self, lanes: &mut [Lane]) -> Option<(NotableKind, usize)> {
        self.playing = false;
        let found = lanes.iter().enumerate().filter_map(|(index, lane)| {
            let notables = lane.timeline.notables();
            let next = notables.get(notables.partition_point(|notable| notable.time <= self.time))?;
            Some((next.time, index, next.kind))
        });
        let (time, index, kind) = found.min_by_key(|(time, index, _)| (*time, *index))?;
        self.seek(time, lanes);
        Some((kind, index))
    }

    /// Goes back to the moment of the thing before that stood out.
    pub fn previous_notable(&mut self, lanes: &mut [Lane]) -> Option<(NotableKind, usize)> {
        self.playing = false;
        let found = lanes.iter().enumerate().filter_map(|(index, lane)| {
            let notables = lane.timeline.notables();
            let before = notables.partition_point(|notable| notable.time < self.time).checked_sub(1)?;
            Some((notables[before].time, index, notables[before].kind))
        });
        let (time, index, kind) = found.max_by_key(|(time, index, _)| (*time, core::cmp::Reverse(*index)))?;
        self.seek(time, lanes);
        Some((kind, index))
    }
}

/// A time as people write it: `90`, `12.5s`, `250ms`, `1m`, `1m30s`, `1:30`, `2h`. `None` where it is none.
pub fn time_of(text: &str) -> Option<Time> {
    let text = text.trim();
    let seconds = match text.split_once(':') {
        Some((minutes, seconds)) => 60.0 * number(minutes)? + number(seconds).filter(|seconds| *seconds < 60.0)?,
        None => {
            let mut sum = 0.0;
            let mut rest = text;
            while !rest.is_empty() {
                let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(rest.len());
                let (value, after) = rest.split_at(digits);
                let letters = after.find(|letter: char| !letter.is_ascii_alphabetic()).unwrap_or(after.len());
                let (unit, after) = after.split_at(letters);
                let size = match unit {
                    "h" => 3600.0,
                    "m" | "min" => 60.0,
                    "" | "s" => 1.0,
                    "ms" => 1e-3,
                    "us" => 1e-6,
                    "ns" => 1e-9,
                    _ => return None,
                };
                sum += number(value)? * size;
                rest = after.trim_start();
            }
            (!text.is_empty()).then_some(sum)?
        }
    };
    Some(Time::from_nanos((seconds * 1e9).round() as u64))
}

fn number(text: &str) -> Option<f64> {
    text.trim().parse::<f64>().ok().filter(|number| number.is_finite() && (0.0..1e9).contains(number))
}

/// A speed in words.
pub fn speed_text(speed: i8) -> String {
    match speed {
        0.. => format!("{}x", 1u32 << speed),
        _ => format!("1/{}x", 1u32 << -speed),
    }
}

/// What stands out, in words.
pub fn notable_text(kind: NotableKind) -> &'static str {
    match kind {
        NotableKind::FaultStarted => "a fault begins",
        NotableKind::FaultEnded => "a fault ends",
        NotableKind::Crashed => "somebody crashes",
        NotableKind::Rebalance => "a group redistributes its partitions",
        NotableKind::PartitionAdded => "a topic gets another partition",
        NotableKind::Redelivery => "a message is delivered again",
        NotableKind::Duplicate => "a message is processed again",
        NotableKind::OutOfOrder => "a message is overtaken within its key",
        NotableKind::Missed => "a message finds nobody",
        NotableKind::NotAccepted => "a message is not taken",
        NotableKind::Dropped => "a message is dropped",
        NotableKind::DeadLettered => "a message becomes a dead letter",
        NotableKind::Failed => "work on a message fails",
        NotableKind::ChannelClosed => "the broker closes a channel",
        NotableKind::ConnectionLost => "a connection breaks",
        NotableKind::LeaderElected => "a partition gets a leader",
        NotableKind::Blocked => "a producer is held up",
        NotableKind::QueueDeleted => "a queue is deleted",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        let nanos = |text| time_of(text).map(Time::as_nanos);
        let second = 1_000_000_000;
        for (text, seconds) in
            [("90", 90), ("12s", 12), ("1m", 60), ("1m30s", 90), ("1m 30s", 90), ("1:30", 90), ("2h", 7200)]
        {
            assert_eq!(nanos(text), Some(seconds * second), "{text}");
        }
        assert_eq!(nanos(" 12.5s "), Some(12_500_000_000));
        assert_eq!(nanos("250ms"), Some(250_000_000));
        for text in ["", "s", "-1", "1x", "soon", "1:99", "1..2", "nan", "inf"] {
            assert_eq!(nanos(text), None, "{text}");
        }
    }
}
