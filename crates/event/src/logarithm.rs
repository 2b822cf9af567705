//! The logarithm behind exponential variates. A run draws two for each message, so it is made for them: from a
//! table, without a division, and only from operations that IEEE 754 rounds in one way (`+`, `-`, `*` and
//! conversions of integers), so it has the same bits on every platform.

/// Into how many intervals the table divides the mantissa.
const INTERVALS: usize = 1 << INTERVAL_BITS;
const INTERVAL_BITS: u32 = 6;
/// Bits of a mantissa, without the leading one.
const MANTISSA_BITS: u32 = 52;
/// Bits of a mantissa within an interval.
const WITHIN_BITS: u32 = MANTISSA_BITS - INTERVAL_BITS;
/// What is added to exponents of the base in the format.
const BIAS: u64 = 1023;
/// Random bits of a variate.
const DRAWN_BITS: u32 = 53;

/// The middle of an interval.
#[derive(Clone, Copy)]
struct Middle {
    /// The bits of its reciprocal, with the bias of the exponent added once more.
    reciprocal: u64,
    /// Its logarithm, rounded down to a multiple of 2⁻⁴⁷, so that sums with whole multiples of [`LN_2`]'s first part
    /// are exact.
    logarithm: f64,
    /// The rest of the logarithm.
    rest: f64,
}

/// The logarithm of 2, in two parts likewise.
const LN_2: (f64, f64) = in_two_parts(INTERVALS as u128);

static MIDDLES: [Middle; INTERVALS] = middles();

const fn middles() -> [Middle; INTERVALS] {
    let mut middles = [Middle { reciprocal: 0, logarithm: 0.0, rest: 0.0 }; INTERVALS];
    let mut number = 0;
    while number < INTERVALS {
        let reciprocal = INTERVALS as f64 / (INTERVALS + number) as f64;
        let (logarithm, rest) = in_two_parts(number as u128);
        middles[number] = Middle { reciprocal: reciprocal.to_bits() + (BIAS << MANTISSA_BITS), logarithm, rest };
        number += 1;
    }
    middles
}

/// ln(1 + n/64) = 2 artanh(n / (128 + n)), by its series in whole multiples of 2⁻⁹⁰.
const fn in_two_parts(number: u128) -> (f64, f64) {
    const UNIT_BITS: u32 = 90;
    const FIRST_PART_BITS: u32 = 47;
    let below = 2 * INTERVALS as u128 + number;
    let mut power = (number << (UNIT_BITS + 1)) / below;
    let mut sum = 0;
    let mut order = 1;
    while power > 0 {
        sum += power / order;
        power = power * (number * number) / (below * below);
        order += 2;
    }
    let first = sum >> (UNIT_BITS - FIRST_PART_BITS);
    let rest = sum - (first << (UNIT_BITS - FIRST_PART_BITS));
    (first as f64 / (1_u128 << FIRST_PART_BITS) as f64, rest as f64 / (1_u128 << UNIT_BITS) as f64)
}

/// -ln(n / 2⁵³) for n from 1 to 2⁵³, closer than 0.6 units in the last place.
///
/// With x the next middle of an interval below or above n, -ln n = -ln x - ln(1 - r), where r = (x - n) / x is at most
/// 1/128 on either side, so that seven terms of the series are enough. The difference is exact, and so is the sum of
/// the first parts; whatever is rounded is small beside the result.
#[inline]
pub(crate) fn negative_logarithm(n: u64) -> f64 {
    debug_assert!((1..=1 << DRAWN_BITS).contains(&n), "{n} stands for no share of 1");
    let value = n as i64 as f64;
    let nearest = value.to_bits() + (1 << (WITHIN_BITS - 1));
    let exponent = nearest >> MANTISSA_BITS;
    let middle = &MIDDLES[(nearest >> WITHIN_BITS) as usize % INTERVALS];
    let x = f64::from_bits(nearest >> WITHIN_BITS << WITHIN_BITS);
    let r = (x - value) * f64::from_bits(middle.reciprocal - (exponent << MANTISSA_BITS));
    let halvings = (BIAS + u64::from(DRAWN_BITS) - exponent) as i64 as f64;
    let first = halvings * LN_2.0 - middle.logarithm;
    let rest = halvings * LN_2.1 - middle.rest;
    let square = r * r;
    let terms = (1.0 / 2.0 + r * (1.0 / 3.0))
        + square * ((1.0 / 4.0 + r * (1.0 / 5.0)) + square * (1.0 / 6.0 + r * (1.0 / 7.0)));
    first + (r + (rest + square * terms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Generator;

    const ONE: u64 = 1 << DRAWN_BITS;

    /// How far off it is, in units of the last place of libm's answer, which is itself less than one off.
    fn error(n: u64) -> f64 {
        let expected = -libm::log(n as f64 / ONE as f64);
        let unit = f64::from_bits(expected.to_bits() + 1) - expected;
        (negative_logarithm(n) - expected).abs() / unit
    }

    #[test]
    fn it_is_libms_logarithm_to_one_unit_in_the_last_place() {
        let mut generator = Generator::from_seed(1);
        let uniform = (0..500_000).map(|_| (generator.next_u64() >> 11) + 1);
        let mut generator = Generator::from_seed(2);
        // Near 0, where the result is large, and near 1, where it is small.
        let small = (0..500_000).map(|_| ((generator.next_u64() >> 11) >> generator.below(53)) + 1);
        let mut generator = Generator::from_seed(3);
        let great = (0..500_000).map(|_| ONE - 1 - ((generator.next_u64() >> 12) >> generator.below(52)));
        let mut equal = 0;
        for n in uniform.chain(small).chain(great) {
            assert!(error(n) <= 1.0, "{n}: {} units", error(n));
            equal += u32::from(error(n) == 0.0);
        }
        assert!(equal > 1_300_000, "{equal} of 1,500,000 are equal");
    }

    #[test]
    fn it_is_right_at_the_ends_and_where_intervals_meet() {
        assert_eq!(negative_logarithm(ONE), 0.0);
        assert_eq!(negative_logarithm(ONE - 1), 1.0 / ONE as f64, "no place of a small result is lost");
        assert_eq!(negative_logarithm(1), 53.0 * core::f64::consts::LN_2);
        for exponent in WITHIN_BITS..DRAWN_BITS {
            // Middles and ends of intervals are odd and even multiples of half an interval.
            let half = 1 << (exponent - INTERVAL_BITS - 1).min(exponent);
            for place in 0..2 * INTERVALS as u64 {
                let n = (1_u64 << exponent) + place * half;
                for near in n - 1..=n + 1 {
                    assert!(error(near) <= 1.0, "{near}: {} units", error(near));
                }
            }
        }
    }

    #[test]
    fn the_table_holds_logarithms() {
        for (number, middle) in MIDDLES.iter().enumerate() {
            let expected = libm::log(1.0 + number as f64 / INTERVALS as f64);
            assert!((middle.logarithm + middle.rest - expected).abs() < 2e-16, "{number}");
        }
        assert_eq!(LN_2.0 + LN_2.1, core::f64::consts::LN_2);
    }
}
