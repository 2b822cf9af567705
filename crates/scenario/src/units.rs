//! Numbers with units, as people write them: `250ms`, `40/s`, `16KiB`.

use brokerlab_event::Duration;

const TIMES: &[(&str, f64)] =
    &[("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("min", 60e9), ("h", 3_600e9), ("d", 86_400e9)];

const SIZES: &[(&str, f64)] = &[
    ("B", 1.0),
    ("kB", 1e3),
    ("KiB", 1_024.0),
    ("MB", 1e6),
    ("MiB", 1_048_576.0),
    ("GB", 1e9),
    ("GiB", 1_073_741_824.0),
    ("TiB", 1_099_511_627_776.0),
];

const RATES: &[(&str, f64)] = &[("/s", 1.0), ("/min", 1.0 / 60.0), ("/h", 1.0 / 3_600.0), ("/d", 1.0 / 86_400.0)];

/// What a duration looks like.
pub(crate) const DURATION: &str = "a duration such as \"250ms\" (units: ns, us, ms, s, min, h, d)";
/// What a size looks like.
pub(crate) const SIZE: &str = "a size such as \"1KiB\" (units: B, kB, KiB, MB, MiB, GB, GiB, TiB)";
/// What a rate looks like.
pub(crate) const RATE: &str = "a rate such as \"40/s\" (units: /s, /min, /h, /d)";

/// The number before a unit times what the unit stands for. The error says what is wrong in a clause.
fn parse(text: &str, units: &[(&str, f64)]) -> Result<f64, String> {
    let text = text.trim();
    // No unit begins with an e, so one before a digit or a sign is that of a power of ten.
    let exponent = |at: usize| {
        text[at..].starts_with(['e', 'E'])
            && text[at + 1..].starts_with(|c: char| c.is_ascii_digit() || "+-".contains(c))
    };
    let numeric = |at: usize, c: char| c.is_ascii_digit() || "+-._".contains(c) || exponent(at);
    let split = text.char_indices().find(|(at, c)| !numeric(*at, *c)).map_or(text.len(), |(at, _)| at);
    let (number, unit) = (text[..split].replace('_', ""), text[split..].trim());
    let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
    if number.is_empty() {
        return Err("it begins with no number".to_string());
    }
    let number: f64 = number.parse().map_err(|_| format!("\"{number}\" is not a number"))?;
    match units.iter().find(|(name, _)| *name == unit) {
        Some((_, factor)) => Ok(number * factor),
        None if unit.is_empty() => Err(format!("it has no unit (units: {})", names.join(", "))),
        None => {
            // A lone m is a minute in most people's minds, though a millisecond is as near in letters.
            let minute = (unit == "m").then_some("min").filter(|minute| names.contains(minute));
            let hint = minute.or_else(|| crate::suggest::closest(unit, names.iter().copied()));
            let hint = hint.map(|name| format!("; did you mean \"{name}\"?")).unwrap_or_default();
            Err(format!("the unit \"{unit}\" is unknown (units: {}){hint}", names.join(", ")))
        }
    }
}

/// A duration, from zero.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let nanos = parse(text, TIMES)?;
    if nanos < 0.0 {
        return Err("it is negative".to_string());
    }
    if nanos >= 9e18 {
        return Err("it is longer than 285 years".to_string());
    }
    Ok(Duration::from_nanos(libm::round(nanos) as u64))
}

/// A number of bytes, from zero.
pub(crate) fn size(text: &str) -> Result<u64, String> {
    let bytes = parse(text, SIZES)?;
    if bytes < 0.0 {
        return Err("it is negative".to_string());
    }
    if bytes >= 9e15 {
        return Err("it is more than 8000 TiB".to_string());
    }
    Ok(libm::round(bytes) as u64)
}

/// Events a second, from zero.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    let rate = parse(text, RATES)?;
    if rate < 0.0 {
        return Err("it is negative".to_string());
    }
    if rate > 1e9 {
        return Err("it is more than 1000000000/s".to_string());
    }
    Ok(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read_exactly() {
        assert_eq!(duration("1.5s"), Ok(Duration::from_millis(1_500)));
        assert_eq!(duration("250 us"), Ok(Duration::from_micros(250)));
        assert_eq!(duration("7d"), Ok(Duration::from_secs(604_800)));
        assert_eq!(size("16KiB"), Ok(16_384));
        assert_eq!(size("1_000B"), Ok(1_000));
        assert_eq!(rate("40/s"), Ok(40.0));
        assert_eq!(rate("120/min"), Ok(2.0));
    }

    #[test]
    fn wrong_units_are_told() {
        assert_eq!(duration("5sec").unwrap_err(), "the unit \"sec\" is unknown (units: ns, us, ms, s, min, h, d)");
        assert!(duration("5").unwrap_err().contains("no unit"));
        assert!(duration("-5s").unwrap_err().contains("negative"));
        assert!(size("1kib").unwrap_err().contains("did you mean \"KiB\"?"));
        assert!(rate("inf/s").is_err());
        assert!(rate("1.2.3/s").unwrap_err().contains("not a number"));
    }
}
