//! An exact decimal number as queries read, compare and answer it. Refuses to round: of a number with more
//! digits than it holds it knows the first ones and that there are more, which is enough to compare it with
//! any exact one and never enough to show it.

use std::cmp::Ordering;
use std::fmt;

use crate::limits::{QUERY_NUMBER_DIGITS_MAX, QUERY_NUMBER_EXPONENT_MAX};

/// Powers of ten that 128 bits hold.
const POWERS: [u128; 39] = {
    let mut powers = [1; 39];
    let mut at = 1;
    while at < powers.len() {
        powers[at] = powers[at - 1] * 10;
        at += 1;
    }
    powers
};
/// The least number with more digits than are held.
const MANTISSA_END: u128 = power(QUERY_NUMBER_DIGITS_MAX);
/// Makes exponents of ranks positive.
const RANK_BIAS: i128 = 1 << 14;
/// Bits of a rank below its exponent: a mantissa of 28 digits, and whether there are more.
const RANK_MANTISSA_BITS: u32 = 95;

/// A power of ten, up to 38.
pub(super) const fn power(exponent: u32) -> u128 {
    POWERS[exponent as usize]
}

/// How many decimal digits there are; none of 0.
pub(super) fn digits(magnitude: u128) -> u32 {
    match u64::try_from(magnitude) {
        Ok(small) => small.checked_ilog10().map_or(0, |log| log + 1),
        Err(_) => magnitude.ilog10() + 1,
    }
}

/// `mantissa` · 10^`exponent`. One number has one form: whole numbers of up to 28 digits have the exponent 0,
/// all others no trailing zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Number {
    mantissa: i128,
    exponent: i16,
    /// The number is further from 0 than this, by less than its last digit.
    has_more: bool,
}

impl Number {
    /// A number as JSON writes it, and nothing else: no space, no leading zero, no `+`.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        let (is_negative, unsigned) = match bytes {
            [b'-', rest @ ..] => (true, rest),
            _ => (false, bytes),
        };
        let (value, whole) = fold(0, unsigned, FOLDED_MAX);
        if whole == 0 || (whole > 1 && unsigned[0] == b'0') {
            return None;
        }
        if whole == unsigned.len() {
            return Some(Self::signed(is_negative, u128::from(value), 0));
        }
        if unsigned[whole] == b'.' {
            let fraction = &unsigned[whole + 1..];
            let (mut value, mut places) = fold(value, fraction, FOLDED_MAX - whole);
            if places > 0 && places == fraction.len() {
                while places > 0 && value.is_multiple_of(10) {
                    (value, places) = (value / 10, places - 1);
                }
                let exponent = i16::try_from(places).map_or(0, |places| -places);
                return Some(Self::signed(is_negative, u128::from(value), exponent));
            }
        }
        Literal::split(unsigned).map(|literal| literal.number(is_negative))
    }

    /// `mantissa` · 10^`exponent`; `None` when it has too many digits, or is too large or too small.
    pub fn new(mantissa: i128, exponent: i64) -> Option<Self> {
        let (magnitude, exponent) = stripped(mantissa.unsigned_abs(), exponent);
        let digits = digits(magnitude);
        let first = exponent + i64::from(digits) - 1;
        if digits > QUERY_NUMBER_DIGITS_MAX || first.abs() > QUERY_NUMBER_EXPONENT_MAX {
            return None;
        }
        Some(Self::canonical(mantissa < 0, magnitude, exponent, digits))
    }

    /// A number of a magnitude without trailing zeros, unless it is whole.
    fn canonical(is_negative: bool, magnitude: u128, exponent: i64, digits: u32) -> Self {
        match u32::try_from(exponent) {
            Ok(zeros) if zeros + digits <= QUERY_NUMBER_DIGITS_MAX => {
                Self::signed(is_negative, magnitude * power(zeros), 0)
            }
            _ => Self::signed(is_negative, magnitude, i16::try_from(exponent).unwrap_or_default()),
        }
    }

    fn signed(is_negative: bool, magnitude: u128, exponent: i16) -> Self {
        let magnitude = magnitude.cast_signed();
        Self { mantissa: if is_negative { -magnitude } else { magnitude }, exponent, has_more: false }
    }

    /// Whether all of its digits are held.
    pub const fn is_exact(self) -> bool {
        !self.has_more
    }

    /// The digits as a whole number, and the power of ten that they are multiplied with.
    pub const fn parts(self) -> (i128, i16) {
        (self.mantissa, self.exponent)
    }

    /// An integer of 111 bits that orders as the numbers do, and is the same for the same number.
    pub fn rank(self) -> i128 {
        let magnitude = self.mantissa.unsigned_abs();
        if magnitude == 0 {
            return 0;
        }
        let digits = digits(magnitude);
        let first = i128::from(self.exponent) + i128::from(digits) - 1;
        let mantissa = magnitude * power(QUERY_NUMBER_DIGITS_MAX - digits);
        let rank =
            ((first + RANK_BIAS) << RANK_MANTISSA_BITS) | (mantissa << 1).cast_signed() | i128::from(self.has_more);
        if self.mantissa < 0 { -rank } else { rank }
    }

    /// The exact number of a rank.
    pub fn of_rank(rank: i128) -> Self {
        let bits = rank.unsigned_abs();
        let mantissa = (bits & ((1 << RANK_MANTISSA_BITS) - 1)) >> 1;
        let first = (bits >> RANK_MANTISSA_BITS).cast_signed() - RANK_BIAS;
        let last = i64::try_from(first).unwrap_or_default() - i64::from(QUERY_NUMBER_DIGITS_MAX) + 1;
        let signed = if rank < 0 { -mantissa.cast_signed() } else { mantissa.cast_signed() };
        if signed == 0 { Self::default() } else { Self::new(signed, last).unwrap_or_default() }
    }

    /// All that it is in 128 bits, of which the lowest is 0.
    pub fn bits(self) -> i128 {
        (self.mantissa << 32) | (i128::from(self.exponent.cast_unsigned()) << 16) | (i128::from(self.has_more) << 1)
    }

    /// The number of such bits; the lowest is ignored.
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "16 of its bits are the exponent")]
    pub const fn of_bits(bits: i128) -> Self {
        Self { mantissa: bits >> 32, exponent: ((bits >> 16) as u16).cast_signed(), has_more: bits & 2 != 0 }
    }

    /// The greatest whole number that is not above it times 10^`places`, held at the ends of 64 bits, and
    /// whether it is just that.
    pub fn floor(self, places: i32) -> (i64, bool) {
        let end = if self.mantissa < 0 { i64::MIN } else { i64::MAX };
        let shift = i32::from(self.exponent) + places;
        let factor = POWERS.get(shift.unsigned_abs() as usize).and_then(|power| i128::try_from(*power).ok());
        let (floor, is_whole) = match (shift >= 0, factor) {
            (true, Some(factor)) => match self.mantissa.checked_mul(factor) {
                Some(product) => (product, true),
                None => return (end, false),
            },
            (true, None) if self.mantissa != 0 => return (end, false),
            (false, Some(factor)) => (self.mantissa.div_euclid(factor), self.mantissa % factor == 0),
            (_, None) => (if self.mantissa < 0 { -1 } else { 0 }, self.mantissa == 0),
        };
        i64::try_from(floor).map_or((end, false), |floor| (floor, is_whole))
    }
}

/// Digits that 64 bits hold whatever they are.
const FOLDED_MAX: usize = 18;

/// Takes up to `digits_max` digits on, and says how many there were.
fn fold(mut value: u64, bytes: &[u8], digits_max: usize) -> (u64, usize) {
    let mut count = 0;
    while let Some(byte) = bytes.get(count).filter(|byte| count < digits_max && byte.is_ascii_digit()) {
        value = value * 10 + u64::from(byte - b'0');
        count += 1;
    }
    (value, count)
}

/// Without trailing zeros behind the point, or any if it has too many digits to be whole.
fn stripped(mut magnitude: u128, mut exponent: i64) -> (u128, i64) {
    if magnitude == 0 {
        return (0, 0);
    }
    if exponent == 0 && magnitude < MANTISSA_END {
        return (magnitude, 0);
    }
    for step in [16, 8, 4, 2, 1] {
        while magnitude.is_multiple_of(power(step)) {
            (magnitude, exponent) = (magnitude / power(step), exponent + i64::from(step));
        }
    }
    (magnitude, exponent)
}

/// A number of any length, in its parts.
struct Literal<'t> {
    whole: &'t [u8],
    fraction: &'t [u8],
    exponent: i64,
}

impl<'t> Literal<'t> {
    fn split(unsigned: &'t [u8]) -> Option<Self> {
        let are_digits = |bytes: &[u8]| !bytes.is_empty() && bytes.iter().all(u8::is_ascii_digit);
        let (number, exponent) = match unsigned.iter().position(|byte| matches!(byte, b'e' | b'E')) {
            Some(at) => (&unsigned[..at], Some(&unsigned[at + 1..])),
            None => (unsigned, None),
        };
        let (whole, fraction) = match number.iter().position(|byte| *byte == b'.') {
            Some(at) => (&number[..at], Some(&number[at + 1..])),
            None => (number, None),
        };
        let is_number = are_digits(whole) && (whole.len() == 1 || whole[0] != b'0') && fraction.is_none_or(are_digits);
        let exponent = match exponent {
            None => Some(0),
            Some([b'-', digits @ ..]) if are_digits(digits) => Some(-saturated(digits)),
            Some([b'+', digits @ ..] | digits) if are_digits(digits) => Some(saturated(digits)),
            Some(_) => None,
        };
        exponent.filter(|_| is_number).map(|exponent| Self { whole, fraction: fraction.unwrap_or_default(), exponent })
    }

    fn number(&self, is_negative: bool) -> Number {
        let all = || self.whole.iter().chain(self.fraction);
        let count = self.whole.len() + self.fraction.len();
        let leading = all().take_while(|digit| **digit == b'0').count();
        let trailing = all().rev().take_while(|digit| **digit == b'0').count();
        let Some(significant) = count.checked_sub(leading + trailing).filter(|count| *count > 0) else {
            return Number::default();
        };
        let kept = significant.min(QUERY_NUMBER_DIGITS_MAX as usize);
        let mantissa =
            all().skip(leading).take(kept).fold(0_u128, |value, digit| value * 10 + u128::from(digit - b'0'));
        let places = |count: usize| i64::try_from(count).unwrap_or(i64::MAX / 4);
        let last = self.exponent - places(self.fraction.len()) + places(count - leading - kept);
        let first = last + places(kept) - 1;
        let (mantissa, last, has_more) = if first > QUERY_NUMBER_EXPONENT_MAX {
            (MANTISSA_END - 1, QUERY_NUMBER_EXPONENT_MAX + 2 - i64::from(QUERY_NUMBER_DIGITS_MAX), true)
        } else if first < -QUERY_NUMBER_EXPONENT_MAX {
            (MANTISSA_END / 10, -QUERY_NUMBER_EXPONENT_MAX - i64::from(QUERY_NUMBER_DIGITS_MAX), true)
        } else {
            (mantissa, last, kept < significant)
        };
        if has_more {
            let exponent = i16::try_from(last).unwrap_or_default();
            return Number { has_more, ..Number::signed(is_negative, mantissa, exponent) };
        }
        Number::canonical(is_negative, mantissa, last, digits(mantissa))
    }
}

fn saturated(digits: &[u8]) -> i64 {
    digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(i64::MAX / 100))
}

impl From<i64> for Number {
    fn from(whole: i64) -> Self {
        Self { mantissa: i128::from(whole), exponent: 0, has_more: false }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        if self.exponent == other.exponent && self.is_exact() && other.is_exact() {
            return self.mantissa.cmp(&other.mantissa);
        }
        self.rank().cmp(&other.rank())
    }
}

/// A number as JSON writes it: with all its digits, from 10^28 on and below 10^-7 with an exponent.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.exponent == 0 {
            return write!(f, "{}", self.mantissa);
        }
        if self.mantissa < 0 {
            f.write_str("-")?;
        }
        let digits = self.mantissa.unsigned_abs().to_string();
        let first = i32::from(self.exponent) + i32::try_from(digits.len()).unwrap_or_default() - 1;
        if self.exponent < 0 && first >= -7 {
            let places = usize::from(self.exponent.unsigned_abs());
            let padded = format!("{digits:0>width$}", width = places + 1);
            let (whole, fraction) = padded.split_at(padded.len() - places);
            return write!(f, "{whole}.{fraction}");
        }
        match digits.split_at(1) {
            (first_digit, "") => write!(f, "{first_digit}e{first}"),
            (first_digit, rest) => write!(f, "{first_digit}.{rest}e{first}"),
        }
    }
}

#[cfg(test)]
mod tests;
