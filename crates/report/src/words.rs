//! Figures as people say them. Units are chosen for reading; files keep one unit a column.

use crate::number::{decimal, grouped, percent};

/// `12 of 4,832 (0.2%)`.
pub(crate) fn share_of(part: u64, whole: u64) -> String {
    format!("{} of {} ({})", grouped(part), grouped(whole), percent(part, whole))
}

/// The binary unit in which a number of bytes is best read, and its size.
pub(crate) fn bytes_unit(bytes: u64) -> (&'static str, u64) {
    match bytes {
        0..10_240 => ("bytes", 1),
        10_240..1_048_576 => ("KiB", 1 << 10),
        1_048_576..1_073_741_824 => ("MiB", 1 << 20),
        _ => ("GiB", 1 << 30),
    }
}

/// `41.2 KiB`.
pub(crate) fn bytes(count: u64) -> String {
    let (unit, size) = bytes_unit(count);
    if size == 1 {
        return format!("{} {unit}", grouped(count));
    }
    let tenths = ((u128::from(count) * 10 + u128::from(size) / 2) / u128::from(size)) as u64;
    format!("{}.{} {unit}", grouped(tenths / 10), tenths % 10)
}

/// Nanoseconds in three digits or so: `0.42 ms`, `61 ms`, `6.28 s`, `1,204 s`.
pub(crate) fn human_millis(nanos: u64) -> String {
    const MS: u64 = 1_000_000;
    let (unit, size) = if nanos < 1_000 * MS { ("ms", MS) } else { ("s", 1_000 * MS) };
    let places = match nanos / size {
        0..10 => 2,
        10..100 => 1,
        _ => 0,
    };
    let digits = (u128::from(nanos) * 10_u128.pow(places) + u128::from(size) / 2) / u128::from(size);
    let text = decimal(digits as u64, places);
    match places {
        0 => format!("{} {unit}", grouped(digits as u64)),
        _ => format!("{text} {unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_read_well() {
        assert_eq!(bytes(4_947_968), "4.7 MiB");
        assert_eq!(bytes(900), "900 bytes");
        assert_eq!(bytes(20 << 20), "20.0 MiB");
        assert_eq!(human_millis(420_000), "0.42 ms");
        assert_eq!(human_millis(61_234_567), "61.2 ms");
        assert_eq!(human_millis(999_999_999), "1,000 ms");
        assert_eq!(human_millis(6_276_000_000), "6.28 s");
        assert_eq!(human_millis(1_204_400_000_000), "1,204 s");
        assert_eq!(share_of(12, 4_832), "12 of 4,832 (0.2%)");
    }
}
