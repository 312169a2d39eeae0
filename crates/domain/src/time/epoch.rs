//! Epoch numbers with a fraction or an exponent, read digit by digit: a double holds the microseconds of
//! seconds since 1970 only in part, and not at all what is larger. The size of the number tells its unit, as it
//! does for whole numbers.

/// Digits before the point of the largest seconds, milliseconds and microseconds.
const SECONDS_DIGITS: i64 = 11;
const MILLIS_DIGITS: i64 = 14;
const MICROS_DIGITS: i64 = 17;
/// Digits of the microseconds of any year up to 9999, and of no number that an `i64` cannot hold.
const RESULT_DIGITS_MAX: i64 = 18;

/// The microseconds since the epoch that a JSON number stands for, rounded down; those of no year, if they are
/// too many. `None` when it is no number.
pub(super) fn micros_of_decimal(number: &str) -> Option<i64> {
    let (is_negative, number) = number.strip_prefix('-').map_or((false, number), |rest| (true, rest));
    let (mantissa, exponent) = number.split_once(['e', 'E']).unwrap_or((number, "0"));
    let exponent: i64 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = || whole.bytes().chain(fraction.bytes());
    if digits().next().is_none() || !digits().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let zeros = digits().take_while(|digit| *digit == b'0').count();
    if zeros == whole.len() + fraction.len() {
        return Some(0);
    }
    let signed = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
    let before_point = exponent.saturating_add(signed(whole.len()).saturating_sub(signed(zeros)));
    let units = [(SECONDS_DIGITS, 6), (MILLIS_DIGITS, 3), (MICROS_DIGITS, 0)];
    let unit = units.into_iter().find(|(digits_max, _)| before_point <= *digits_max);
    let to_micros = unit.map_or(-3, |(_, to_micros)| to_micros);
    let length = before_point.saturating_add(to_micros);
    if length > RESULT_DIGITS_MAX {
        return Some(if is_negative { i64::MIN } else { i64::MAX });
    }
    let length = usize::try_from(length).unwrap_or(0);
    let mut rest = digits().skip(zeros);
    let head = rest.by_ref().chain(std::iter::repeat(b'0')).take(length);
    let micros = head.fold(0, |sum, digit| sum * 10 + i64::from(digit - b'0'));
    let has_rest = rest.any(|digit| digit != b'0');
    Some(if is_negative { -micros - i64::from(has_rest) } else { micros })
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_digit_counts_and_parts_are_rounded_down() {
        for (number, micros) in [
            ("1431857103.123456", 1_431_857_103_123_456),
            ("1431857103.1234569999999999999999", 1_431_857_103_123_456),
            ("1.431857103123456789e9", 1_431_857_103_123_456),
            ("14318571031234567890e-10", 1_431_857_103_123_456),
            ("1431857103123.456789", 1_431_857_103_123_456),
            ("1431857103123456.789", 1_431_857_103_123_456),
            ("1.431857103123456789E+18", 1_431_857_103_123_456),
            ("0.000001", 1),
            ("0.0000009", 0),
            ("-0.0000009", -1),
            ("-0.000001", -1),
            ("-1.5", -1_500_000),
            ("-1431857103.1234561", -1_431_857_103_123_457),
            ("0e999", 0),
            ("-0.0", 0),
            ("1e-400", 0),
            ("99999999999.9999999", 99_999_999_999_999_999),
            ("1e11", 100_000_000_000_000),
        ] {
            assert_eq!(micros_of_decimal(number), Some(micros), "{number}");
        }
        for number in ["", "-", ".", "e5", "1e", "1e5x", "1.2.3", "--1", "0x10", "nan", "inf", "1_000.0", "１.5"] {
            assert_eq!(micros_of_decimal(number), None, "{number}");
        }
        for number in ["1e400", "-1e400", "1e23", "99999999999999999999999.5"] {
            let beyond = if number.starts_with('-') { i64::MIN } else { i64::MAX };
            assert_eq!(micros_of_decimal(number), Some(beyond), "{number}");
        }
    }

    proptest! {
        /// The oracle is a quotient of big integers.
        #[test]
        fn any_decimal_is_the_floor_of_its_quotient(
            whole in -99_999_999_999_999_999_i64..100_000_000_000_000_000,
            fraction in 0_i128..1_000_000_000,
        ) {
            let sign = if whole < 0 { "-" } else { "" };
            let text = format!("{sign}{}.{fraction:09}", whole.unsigned_abs());
            let size = i128::from(whole.unsigned_abs());
            let unit = match size {
                0..100_000_000_000 => 1_000_000,
                100_000_000_000..100_000_000_000_000 => 1_000,
                _ => 1,
            };
            let nanos = (size * 1_000_000_000 + fraction) * if whole < 0 { -1 } else { 1 };
            let micros = i64::try_from((nanos * unit).div_euclid(1_000_000_000)).unwrap();
            prop_assert_eq!(micros_of_decimal(&text), Some(micros), "{}", text);
            prop_assert_eq!(micros_of_decimal(&format!("{}e-9", text.replace('.', ""))), Some(micros), "{}", text);
        }
    }
}
