//! Virtual time: whole nanoseconds since the start of a run.

use core::fmt;
use core::ops::{Add, AddAssign, Sub};

/// A moment in a run, in whole nanoseconds since its start. A run may last 584 years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(u64);

/// A length of time in whole nanoseconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(u64);

impl Time {
    /// The start of the run.
    pub const ZERO: Time = Time(0);
    /// Later than every moment of a run; stands for "never".
    pub const MAX: Time = Time(u64::MAX);

    /// The moment this many nanoseconds after the start.
    pub const fn from_nanos(nanos: u64) -> Time {
        Time(nanos)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds since the start, for display only: results are computed in nanoseconds.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// The time from `earlier` to this moment, or zero where `earlier` is later.
    pub const fn saturating_since(self, earlier: Time) -> Duration {
        Duration(self.0.saturating_sub(earlier.0))
    }

    /// The moment `by` later, or [`Time::MAX`] where that is past the end of time.
    pub const fn saturating_add(self, by: Duration) -> Time {
        Time(self.0.saturating_add(by.0))
    }
}

impl Duration {
    /// No time at all.
    pub const ZERO: Duration = Duration(0);
    /// The longest duration; stands for "without limit".
    pub const MAX: Duration = Duration(u64::MAX);

    /// This many nanoseconds.
    pub const fn from_nanos(nanos: u64) -> Duration {
        Duration(nanos)
    }

    /// This many microseconds.
    pub const fn from_micros(micros: u64) -> Duration {
        Duration(micros * 1_000)
    }

    /// This many milliseconds.
    pub const fn from_millis(millis: u64) -> Duration {
        Duration(millis * 1_000_000)
    }

    /// This many seconds.
    pub const fn from_secs(secs: u64) -> Duration {
        Duration(secs * 1_000_000_000)
    }

    /// This many seconds, rounded to the nearest nanosecond and clamped to what a duration can hold.
    /// A negative or undefined value becomes zero.
    #[inline]
    pub fn from_secs_f64(secs: f64) -> Duration {
        let nanos = secs * 1e9;
        // Processors convert signed integers at once, others by detours.
        let whole = nanos as i64;
        if (0..i64::MAX).contains(&whole) {
            return Duration(whole as u64 + u64::from(nanos - whole as f64 >= 0.5));
        }
        Duration(nanos as u64)
    }

    /// Nanoseconds.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// Seconds, for display and statistics.
    pub fn as_secs_f64(self) -> f64 {
        self.0 as f64 / 1e9
    }

    /// Milliseconds, for display and statistics.
    pub fn as_millis_f64(self) -> f64 {
        self.0 as f64 / 1e6
    }

    /// True for [`Duration::ZERO`].
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The sum, or [`Duration::MAX`].
    pub const fn saturating_add(self, other: Duration) -> Duration {
        Duration(self.0.saturating_add(other.0))
    }

    /// This duration times `parts` per million, rounded down; the way speeds are applied without floats.
    pub const fn per_million(self, parts: u64) -> Duration {
        match self.0.checked_mul(parts) {
            Some(product) => Duration(product / 1_000_000),
            None => {
                let product = self.0 as u128 * parts as u128 / 1_000_000;
                Duration(if product > u64::MAX as u128 { u64::MAX } else { product as u64 })
            }
        }
    }
}

impl Add<Duration> for Time {
    type Output = Time;
    fn add(self, by: Duration) -> Time {
        Time(self.0 + by.0)
    }
}

impl AddAssign<Duration> for Time {
    fn add_assign(&mut self, by: Duration) {
        self.0 += by.0;
    }
}

impl Sub for Time {
    type Output = Duration;
    fn sub(self, earlier: Time) -> Duration {
        Duration(self.0 - earlier.0)
    }
}

impl Add for Duration {
    type Output = Duration;
    fn add(self, other: Duration) -> Duration {
        Duration(self.0 + other.0)
    }
}

impl fmt::Debug for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exact and readable: `1.5s`, `20ms`, `37ns`.
impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Time::MAX { f.write_str("never") } else { Duration(self.0).fmt(f) }
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Exact and readable: the largest unit in which it has at most nine decimals, trailing zeros left out.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, name) = match self.0 {
            0 => return f.write_str("0s"),
            1..1_000 => (1, "ns"),
            1_000..1_000_000 => (1_000, "us"),
            1_000_000..1_000_000_000 => (1_000_000, "ms"),
            _ => (1_000_000_000, "s"),
        };
        write!(f, "{}", self.0 / unit)?;
        let mut rest = self.0 % unit;
        if rest > 0 {
            f.write_str(".")?;
            let mut place = unit / 10;
            while rest > 0 {
                write!(f, "{}", rest / place)?;
                rest %= place;
                place /= 10;
            }
        }
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_print_exactly_and_briefly() {
        let cases = [
            (0, "0s"),
            (37, "37ns"),
            (1_500, "1.5us"),
            (20_000_000, "20ms"),
            (1_000_000_001, "1.000000001s"),
            (90_000_000_000, "90s"),
        ];
        for (nanos, text) in cases {
            assert_eq!(Duration::from_nanos(nanos).to_string(), text);
        }
        assert_eq!(Time::MAX.to_string(), "never");
    }

    #[test]
    fn seconds_round_to_the_nearest_nanosecond_and_clamp() {
        assert_eq!(Duration::from_secs_f64(1.000_000_000_4), Duration::from_secs(1));
        assert_eq!(Duration::from_secs_f64(0.000_000_000_5), Duration::from_nanos(1));
        assert_eq!(Duration::from_secs_f64(-1.0), Duration::ZERO);
        assert_eq!(Duration::from_secs_f64(f64::NAN), Duration::ZERO);
        assert_eq!(Duration::from_secs_f64(1e10), Duration::from_nanos(10_000_000_000_000_000_000));
        assert_eq!(Duration::from_secs_f64(f64::INFINITY), Duration::MAX);
    }

    #[test]
    fn a_speed_scales_without_floats() {
        assert_eq!(Duration::from_secs(2).per_million(250_000), Duration::from_millis(500));
        assert_eq!(Duration::MAX.per_million(2_000_000), Duration::MAX);
    }
}
