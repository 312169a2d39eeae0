//! The exact sum of numbers. The same in whatever order they come and however they are divided among parts:
//! what decides whether it can be told, the places that its numbers take and whether all are known to the
//! last digit, does not depend on the order either (I3).

use super::number::{Number, digits, power};
use super::wide::{LIMB, LIMB_DIGITS, Wide};
use crate::limits::{QUERY_NUMBER_DIGITS_MAX, QUERY_SUM_PLACES_MAX};

/// A result that has too many digits to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overflow;

/// Numbers added up. The sum has a scale of its own, the last place of the finest number, and 77 digits: 57
/// for the numbers and 20 for how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sum {
    sum: Wide,
    count: u64,
    /// The last place of any number but 0, as a power of ten: the scale.
    last: i32,
    /// The first place of any number but 0.
    first: i32,
    /// Some number is not exact, or there are too many places between the first and the last.
    is_beyond: bool,
}

impl Default for Sum {
    fn default() -> Self {
        Self { sum: Wide::default(), count: 0, last: i32::MAX, first: i32::MIN, is_beyond: false }
    }
}

impl Sum {
    /// Bytes of [`Sum::bytes`].
    pub const BYTES: usize = 49;

    /// Adds a number.
    pub fn add(&mut self, number: Number) {
        let (mantissa, exponent) = number.parts();
        self.is_beyond |= !number.is_exact();
        self.add_scaled(mantissa, i32::from(exponent));
    }

    /// Adds `mantissa` · 10^`exponent`, of at most 38 digits.
    pub fn add_scaled(&mut self, mantissa: i128, exponent: i32) {
        self.count += 1;
        if mantissa == 0 || self.is_beyond {
            return;
        }
        let magnitude = mantissa.unsigned_abs();
        if exponent == self.last && magnitude < power((self.first - self.last + 1).unsigned_abs().min(38)) {
            self.sum = self.sum.plus(Wide::from(mantissa));
            return;
        }
        let first = exponent + digits(magnitude).cast_signed() - 1;
        if self.reach(exponent, first) {
            self.sum = self.sum.plus(Wide::from(mantissa).times_tens(exponent.abs_diff(self.last)));
        }
    }

    /// Adds a number as often as it is there.
    pub fn add_times(&mut self, number: Number, times: u64) {
        let (mantissa, exponent) = number.parts();
        self.count += times;
        self.is_beyond |= times > 0 && !number.is_exact();
        if times == 0 || mantissa == 0 || self.is_beyond {
            return;
        }
        let exponent = i32::from(exponent);
        if self.reach(exponent, exponent + digits(mantissa.unsigned_abs()).cast_signed() - 1) {
            let all = Wide::from(mantissa).times(times);
            self.sum = self.sum.plus(all.times_tens(exponent.abs_diff(self.last)));
        }
    }

    /// The sum of `count` exact numbers that are together `mantissa` · 10^`exponent`. The one furthest from 0 is
    /// `furthest`, either way, and the finest has its last place at `last`, as a power of ten, not above `exponent`.
    pub fn of_many(count: u64, (mantissa, exponent): (i128, i32), furthest: Number, last: i32) -> Self {
        let (furthest, above) = furthest.parts();
        let mut sum = Self { count, ..Self::default() };
        let first = i32::from(above) + digits(furthest.unsigned_abs()).cast_signed() - 1;
        if furthest != 0 && sum.reach(last, first) {
            sum.sum = Wide::from(mantissa).times_tens(exponent.abs_diff(last));
        }
        sum
    }

    /// Adds what another has.
    pub fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.is_beyond |= other.is_beyond;
        if other.first >= other.last && !self.is_beyond && self.reach(other.last, other.first) {
            self.sum = self.sum.plus(other.sum.times_tens(other.last.abs_diff(self.last)));
        }
    }

    /// Makes room for numbers of these places; says whether there is.
    fn reach(&mut self, last: i32, first: i32) -> bool {
        let tens = if self.last == i32::MAX { 0 } else { self.last.saturating_sub(last).max(0) };
        (self.last, self.first) = (self.last.min(last), self.first.max(first));
        self.is_beyond = self.first - self.last >= QUERY_SUM_PLACES_MAX;
        if !self.is_beyond {
            self.sum = self.sum.times_tens(tens.unsigned_abs());
        }
        !self.is_beyond
    }

    /// The sum; `None` of nothing.
    ///
    /// # Errors
    /// It has too many digits.
    pub fn total(&self) -> Option<Result<Number, Overflow>> {
        (self.count > 0).then(|| self.exact_total())
    }

    fn exact_total(&self) -> Result<Number, Overflow> {
        if self.is_beyond {
            return Err(Overflow);
        }
        let scale = if self.last == i32::MAX { 0 } else { i64::from(self.last) };
        if let Some(sum) = self.sum.narrow() {
            return Number::new(sum, scale).ok_or(Overflow);
        }
        let mut quotient = Quotient::default();
        quotient.take_all(&self.sum.limbs(), 1);
        quotient.exact(self.sum.is_negative(), scale)
    }

    /// The mean, rounded to 28 digits, half to even; `None` of nothing.
    ///
    /// # Errors
    /// It cannot be told: [`Sum`] says when.
    pub fn mean(&self) -> Option<Result<Number, Overflow>> {
        if self.count == 0 {
            return None;
        }
        if self.is_beyond {
            return Some(Err(Overflow));
        }
        let scale = if self.last == i32::MAX { 0 } else { i64::from(self.last) };
        let mut quotient = Quotient::default();
        quotient.take_all(&self.sum.limbs(), self.count);
        // One digit more than the answer has, of which the rounding is told with what is left.
        while quotient.digits.len() <= QUERY_NUMBER_DIGITS_MAX as usize && quotient.rest > 0 {
            quotient.take(0, self.count);
            quotient.places += i64::from(LIMB_DIGITS);
        }
        Some(quotient.rounded(self.sum.is_negative(), scale))
    }

    /// All that it is, for [`Sum::of_bytes`].
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..32].copy_from_slice(&self.sum.bytes());
        bytes[32..40].copy_from_slice(&self.count.to_le_bytes());
        bytes[40..44].copy_from_slice(&self.last.to_le_bytes());
        bytes[44..48].copy_from_slice(&self.first.to_le_bytes());
        bytes[48] = u8::from(self.is_beyond);
        bytes
    }

    /// The sum of such bytes; `None` of others.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (sum, rest) = bytes.split_first_chunk()?;
        let (count, rest) = rest.split_first_chunk()?;
        let (last, rest) = rest.split_first_chunk()?;
        let (first, rest) = rest.split_first_chunk()?;
        Some(Self {
            sum: Wide::of_bytes(sum),
            count: u64::from_le_bytes(*count),
            last: i32::from_le_bytes(*last),
            first: i32::from_le_bytes(*first),
            is_beyond: *rest.first()? != 0,
        })
    }
}

/// The number at `hundredths` of the way from one number to another.
///
/// # Errors
/// It has too many digits.
pub fn between(low: Number, high: Number, hundredths: u8) -> Result<Number, Overflow> {
    if !low.is_exact() || !high.is_exact() {
        return Err(Overflow);
    }
    let mut sum = Sum::default();
    for (number, weight) in [(low, 100 - i128::from(hundredths)), (high, i128::from(hundredths))] {
        let (mantissa, exponent) = number.parts();
        sum.add_scaled(mantissa * weight, i32::from(exponent) - 2);
    }
    sum.exact_total()
}

/// Long division, limb by limb.
#[derive(Debug, Default)]
struct Quotient {
    /// The digits so far, without leading zeros.
    digits: Vec<u8>,
    rest: u64,
    /// How many of the digits stand behind the last place of what is divided.
    places: i64,
}

impl Quotient {
    fn take_all(&mut self, limbs: &[u64], divisor: u64) {
        limbs.iter().for_each(|limb| self.take(*limb, divisor));
    }

    fn take(&mut self, limb: u64, divisor: u64) {
        let value = u128::from(self.rest) * u128::from(LIMB) + u128::from(limb);
        let (quotient, rest) = (value / u128::from(divisor), value % u128::from(divisor));
        self.rest = u64::try_from(rest).unwrap_or_default();
        for place in (0..LIMB_DIGITS).rev() {
            let digit = u8::try_from(quotient / power(place) % 10).unwrap_or_default();
            if digit > 0 || !self.digits.is_empty() {
                self.digits.push(digit);
            }
        }
    }

    /// The number of these digits, all of them.
    fn exact(&self, is_negative: bool, scale: i64) -> Result<Number, Overflow> {
        let zeros = self.digits.iter().rev().take_while(|digit| **digit == 0).count();
        let kept = self.digits.len() - zeros;
        if kept > QUERY_NUMBER_DIGITS_MAX as usize {
            return Err(Overflow);
        }
        let exponent = scale - self.places + i64::try_from(zeros).unwrap_or_default();
        Number::new(signed(is_negative, value_of(&self.digits[..kept])), exponent).ok_or(Overflow)
    }

    fn rounded(&self, is_negative: bool, scale: i64) -> Result<Number, Overflow> {
        let Some((kept, cut)) = self.digits.split_at_checked(QUERY_NUMBER_DIGITS_MAX as usize) else {
            return self.exact(is_negative, scale);
        };
        let Some((next, further)) = cut.split_first() else { return self.exact(is_negative, scale) };
        let mut value = value_of(kept);
        let has_more = self.rest > 0 || further.iter().any(|digit| *digit > 0);
        let is_up = *next > 5 || (*next == 5 && (has_more || value % 2 == 1));
        value += i128::from(is_up);
        let exponent = scale - self.places + i64::try_from(cut.len()).unwrap_or_default();
        Number::new(signed(is_negative, value), exponent).ok_or(Overflow)
    }
}

fn value_of(digits: &[u8]) -> i128 {
    digits.iter().fold(0, |value, digit| value * 10 + i128::from(*digit))
}

const fn signed(is_negative: bool, value: i128) -> i128 {
    if is_negative { -value } else { value }
}

#[cfg(test)]
mod tests;
