//! Numbers for people and files: exact decimals from integers, thousands separators, and round ticks.

use crate::spec::{Axis, Scale};

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// `parts` of `whole` as a percentage with one decimal; `<0.1 %` rather than a zero that is none, and never
/// `100.0 %` for less than all.
pub fn percent(parts: u64, whole: u64) -> String {
    if whole == 0 {
        return "–".to_owned();
    }
    let tenths = (u128::from(parts) * 2_000 / u128::from(whole)).div_ceil(2) as u64;
    match tenths {
        0 if parts > 0 => "<0.1%".to_owned(),
        1_000.. if parts < whole => ">99.9%".to_owned(),
        _ if tenths.is_multiple_of(10) => format!("{}%", tenths / 10),
        _ => format!("{}.{}%", tenths / 10, tenths % 10),
    }
}

/// `value` divided by ten to the `places`, exact, without trailing zeros.
pub fn decimal(value: u64, places: u32) -> String {
    let unit = 10_u64.pow(places);
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let fraction = format!("{rest:0width$}", width = places as usize);
    format!("{whole}.{}", fraction.trim_end_matches('0'))
}

/// The inverse of [`decimal`]; `None` for anything that it does not write.
pub fn parse_decimal(text: &str, places: u32) -> Option<u64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let plain = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !plain(whole) || !plain(fraction) || fraction.len() > places as usize {
        return None;
    }
    let missing = 10_u64.pow(places - fraction.len() as u32);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u64>().ok()? };
    whole.parse::<u64>().ok()?.checked_mul(10_u64.pow(places))?.checked_add(fraction * missing)
}

/// A tick: where, and what is written there.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Tick {
    pub at: f64,
    pub label: String,
}

/// The range of an axis that holds these values, widened to whole steps where it is not given.
pub(crate) fn range(axis: &Axis, values: impl Iterator<Item = f64>, steps: usize) -> (f64, f64) {
    if let Some(range) = axis.range {
        return range;
    }
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for value in values.filter(|value| value.is_finite()) {
        (low, high) = (low.min(value), high.max(value));
    }
    match axis.scale {
        _ if low > high => (if axis.scale == Scale::Log { 0.1 } else { 0.0 }, 1.0),
        Scale::Linear => {
            // Zero belongs to every scale of counts and rates; cutting it off exaggerates differences.
            let (low, high) = (low.min(0.0), if high > low.min(0.0) { high } else { low + 1.0 });
            let step = step(high - low, steps);
            (libm::floor(low / step) * step, libm::ceil(high / step - 1e-9) * step)
        }
        Scale::Log => {
            let low = low.max(1e-6);
            let high = high.max(low * 2.0);
            (round_log(low, false), round_log(high, true))
        }
    }
}

/// The nearest 1, 2 or 5 times a power of ten, at or beyond a value.
fn round_log(value: f64, up: bool) -> f64 {
    let power = ten_to(libm::floor(libm::log10(value)) as i32);
    let digits = [1.0, 2.0, 5.0, 10.0];
    let found = match up {
        true => digits.iter().find(|digit| *digit * power >= value * (1.0 - 1e-9)),
        false => digits.iter().rev().find(|digit| *digit * power <= value * (1.0 + 1e-9)),
    };
    found.map_or(value, |digit| digit * power)
}

fn ten_to(power: i32) -> f64 {
    let size = (0..power.unsigned_abs()).fold(1.0, |size, _| size * 10.0);
    if power < 0 { 1.0 / size } else { size }
}

/// The smallest of 1, 2, 2.5, 5 × 10ⁿ that needs at most `steps` steps for `span`.
fn step(span: f64, steps: usize) -> f64 {
    let raw = span / steps as f64;
    let power = ten_to(libm::floor(libm::log10(raw)) as i32);
    let nice = [1.0, 2.0, 2.5, 5.0, 10.0].iter().find(|digit| *digit * power >= raw * (1.0 - 1e-9));
    nice.map_or(10.0 * power, |digit| digit * power)
}

/// At most about `steps` labelled ticks within a range.
pub(crate) fn ticks(axis: &Axis, (low, high): (f64, f64), steps: usize) -> Vec<Tick> {
    match axis.scale {
        Scale::Linear => {
            let step = step(high - low, steps);
            let first = libm::ceil(low / step - 1e-9) as i64;
            let last = libm::floor(high / step + 1e-9) as i64;
            (first..=last).map(|n| Tick { at: n as f64 * step, label: label(n as f64 * step, step) }).collect()
        }
        Scale::Log => {
            let decades = libm::log10(high / low);
            let digits: &[f64] = if decades <= 3.0 && steps >= 6 { &[1.0, 2.0, 5.0] } else { &[1.0] };
            let (first, last) = (libm::floor(libm::log10(low)) as i32, libm::ceil(libm::log10(high)) as i32);
            (first..=last)
                .flat_map(|power| digits.iter().map(move |digit| digit * ten_to(power)))
                .filter(|at| *at >= low * (1.0 - 1e-9) && *at <= high * (1.0 + 1e-9))
                .map(|at| Tick { at, label: label(at, at) })
                .collect()
        }
    }
}

/// A tick's number: as many decimals as the step needs, separators up to 99,999 and `k`, `M`, `G` from there.
fn label(value: f64, step: f64) -> String {
    let size = libm::fabs(value);
    for (unit, letter) in [(1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if size >= unit && (size >= 1e5 || step >= 1e5) {
            return format!("{}{letter}", trimmed(value / unit, step / unit));
        }
    }
    trimmed(value, step)
}

fn trimmed(value: f64, step: f64) -> String {
    let mut places = 0;
    let mut scaled = step;
    // Rounding noise of a step such as 0.30000000000000004 must not show.
    while places < 6 && libm::fabs(scaled - libm::round(scaled)) > 1e-6 * scaled {
        scaled *= 10.0;
        places += 1;
    }
    let size = libm::round(libm::fabs(value) * ten_to(places)) as u64;
    let unit = 10_u64.pow(places as u32);
    let sign = if value < 0.0 && size > 0 { "−" } else { "" };
    let fraction = match places {
        0 => String::new(),
        _ => format!(".{:0width$}", size % unit, width = places as usize),
    };
    format!("{sign}{}{fraction}", grouped(size / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn axis(scale: Scale) -> Axis {
        Axis { label: "x".into(), unit: "s".into(), scale, range: None }
    }

    fn labels(scale: Scale, values: &[f64]) -> String {
        let axis = axis(scale);
        let range = range(&axis, values.iter().copied(), 6);
        ticks(&axis, range, 6).into_iter().map(|tick| tick.label).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn ticks_are_round_and_readable() {
        assert_eq!(labels(Scale::Linear, &[0.0, 118.0]), "0 20 40 60 80 100 120");
        assert_eq!(labels(Scale::Linear, &[0.0, 4_832.0]), "0 1,000 2,000 3,000 4,000 5,000");
        assert_eq!(labels(Scale::Linear, &[0.0, 0.9]), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(Scale::Linear, &[0.0, 1_200_000.0]), "0 200k 400k 600k 800k 1.0M 1.2M");
        assert_eq!(labels(Scale::Log, &[3.0, 900.0]), "2 5 10 20 50 100 200 500 1,000");
        assert_eq!(labels(Scale::Log, &[0.02, 90_000.0]), "0.1 1 10 100 1,000 10,000 100k");
        assert_eq!(labels(Scale::Linear, &[]), "0.0 0.2 0.4 0.6 0.8 1.0");
        assert_eq!(labels(Scale::Linear, &[0.0, 0.0]), "0.0 0.2 0.4 0.6 0.8 1.0");
    }

    #[test]
    fn decimals_are_exact_both_ways() {
        for (value, text) in [(0, "0"), (1_500, "1.5"), (1_001, "1.001"), (2_000, "2"), (7, "0.007")] {
            assert_eq!(decimal(value, 3), text);
            assert_eq!(parse_decimal(text, 3), Some(value));
        }
        assert_eq!(parse_decimal("1.2345", 3), None);
        assert_eq!(parse_decimal("-1", 3), None);
        assert_eq!(parse_decimal(".5", 3), None);
    }

    #[test]
    fn shares_never_round_to_nothing_or_all() {
        assert_eq!(percent(1, 1_000_000), "<0.1%");
        assert_eq!(percent(999_999, 1_000_000), ">99.9%");
        assert_eq!(percent(1, 3), "33.3%");
        assert_eq!(percent(5, 5), "100%");
        assert_eq!(percent(0, 0), "–");
        assert_eq!(grouped(1_234_567), "1,234,567");
    }
}
