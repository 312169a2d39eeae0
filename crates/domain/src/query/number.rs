//! A number as a query compares it. Whole numbers of 64 bits are exact, where a double would take
//! neighbours beyond 2^53 for one; every other number is a double.

use std::cmp::Ordering;

/// Below this, doubles that are whole are held exactly by an `i128` too.
const WHOLE_MAX: f64 = (1_u128 << 100) as f64;
/// More than twice the greatest distance of a whole number to its double.
const REST_SPAN: i128 = 1 << 12;

/// A double, and what the number has beyond it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Number {
    double: f64,
    /// At most 1,024 either way: half the distance of doubles below 2^64.
    rest: i16,
}

impl Number {
    /// A number as JSON writes it. Whole are those without fraction and exponent from `i64::MIN` to
    /// `u64::MAX`. `None` for other texts and beyond a double.
    pub fn parse(literal: &str) -> Option<Self> {
        if let Ok(whole) = literal.parse::<i64>() {
            return Some(whole.into());
        }
        if let Ok(whole) = literal.parse::<u64>() {
            return Some(whole.into());
        }
        literal.parse::<f64>().ok().filter(|number| number.is_finite()).map(Self::from)
    }

    /// The nearest double; zero without its sign.
    pub const fn double(self) -> f64 {
        self.double
    }

    /// Whether it is neither infinite nor no number.
    pub const fn is_finite(self) -> bool {
        self.double.is_finite()
    }

    /// The number itself, if it is whole and below 2^100.
    #[expect(clippy::cast_possible_truncation, reason = "a whole number that fits")]
    pub fn whole(self) -> Option<i128> {
        let is_whole = self.double.fract() == 0.0 && self.double.abs() < WHOLE_MAX;
        is_whole.then(|| self.double as i128 + i128::from(self.rest))
    }

    /// An integer of 76 bits that orders as the numbers do, and is the same for the same number.
    pub const fn rank(self) -> i128 {
        let bits = self.double.to_bits().cast_signed();
        // Of negative doubles the greater bits mean the lesser number.
        let ordered = bits ^ ((bits >> 63).cast_unsigned() >> 1).cast_signed();
        ordered as i128 * REST_SPAN + self.rest as i128
    }

    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "the rest is what was lost")]
    const fn of_whole(whole: i128) -> Self {
        let double = whole as f64;
        Self { double, rest: (whole - double as i128) as i16 }
    }
}

impl From<f64> for Number {
    fn from(double: f64) -> Self {
        Self { double: double + 0.0, rest: 0 }
    }
}

impl From<i64> for Number {
    fn from(whole: i64) -> Self {
        Self::of_whole(i128::from(whole))
    }
}

impl From<u64> for Number {
    fn from(whole: u64) -> Self {
        Self::of_whole(i128::from(whole))
    }
}

impl PartialEq for Number {
    fn eq(&self, other: &Self) -> bool {
        self.partial_cmp(other) == Some(Ordering::Equal)
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        let doubles = self.double.partial_cmp(&other.double)?;
        Some(doubles.then(self.rest.cmp(&other.rest)))
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    /// Around powers of two, where doubles change their distance.
    fn wholes() -> impl Strategy<Value = i128> {
        let near = (0_u32..=64, -2_000_i128..2_000, any::<bool>())
            .prop_map(|(power, near, negative)| ((1_i128 << power) + near) * if negative { -1 } else { 1 });
        near.prop_map(|whole| whole.clamp(i128::from(i64::MIN), i128::from(u64::MAX)))
    }

    proptest! {
        #[test]
        fn whole_numbers_of_64_bits_compare_exactly(left in wholes(), right in wholes()) {
            let parse = |whole: i128| Number::parse(&whole.to_string()).unwrap();
            let numbers = (parse(left), parse(right));
            prop_assert_eq!(numbers.0.partial_cmp(&numbers.1), Some(left.cmp(&right)));
            prop_assert_eq!(numbers.0.rank().cmp(&numbers.1.rank()), left.cmp(&right));
            prop_assert_eq!(numbers.0.whole(), Some(left));
        }

        #[test]
        fn ranks_order_as_the_numbers_do(left in any::<f64>(), right in any::<f64>(), whole in wholes()) {
            let whole = Number::parse(&whole.to_string()).unwrap();
            for (left, right) in [(left.into(), right.into()), (left.into(), whole), (left.into(), Number::from(whole.double()))] {
                if let Some(order) = Number::partial_cmp(&left, &right) {
                    prop_assert_eq!(left.rank().cmp(&right.rank()), order, "{:?} {:?}", left, right);
                }
            }
        }
    }

    #[test]
    fn a_fraction_or_an_exponent_makes_a_double() {
        let parse = |text: &str| Number::parse(text);
        assert_eq!(parse("9007199254740993.0"), parse("9007199254740992"));
        assert_eq!(parse("18446744073709551616"), Some(Number::from(18_446_744_073_709_551_616.0)));
        assert!(parse("18446744073709551615") < parse("18446744073709551616"));
        assert_eq!((parse("-0"), parse("-0.0")), (parse("0"), parse("0")));
        assert_eq!((parse("1e400"), parse("true"), parse("")), (None, None, None));
    }
}
