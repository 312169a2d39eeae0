//! Sums against big integers, in every order and division.

#![expect(clippy::unwrap_used, reason = "tests")]

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

/// Places behind the point that the oracle holds.
const PLACES: u32 = 60;

fn ten(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// Digits without trailing zeros, the power of ten of the last, and whether it is negative.
fn significant(value: &BigInt) -> (String, i64, bool) {
    let text = value.magnitude().to_string();
    let digits = text.trim_end_matches('0');
    let zeros = i64::try_from(text.len() - digits.len()).unwrap();
    (digits.to_owned(), zeros - i64::from(PLACES), *value < BigInt::from(0))
}

/// The cell of an exact value.
fn cell(value: &BigInt) -> Result<Number, Overflow> {
    let (digits, exponent, is_negative) = significant(value);
    if digits.is_empty() {
        return Ok(Number::default());
    }
    let sign = if is_negative { "-" } else { "" };
    if digits.len() > 28 { Err(Overflow) } else { Ok(Number::parse(&format!("{sign}{digits}e{exponent}")).unwrap()) }
}

/// The quotient to 28 digits, half to even.
fn rounded_quotient(value: &BigInt, count: u64) -> Result<Number, Overflow> {
    let count = BigInt::from(count);
    for cut in 0..=PLACES + 40 {
        // The quotient in units of 10^(cut - 60), with twice what is left over.
        let unit = &count * ten(cut);
        let magnitude = BigInt::from(value.magnitude().clone()) * ten(40);
        let (mut quotient, rest) = (&magnitude / &unit, &magnitude % &unit);
        let twice: BigInt = rest * 2;
        if twice > unit || (twice == unit && &quotient % 2 == BigInt::from(1)) {
            quotient += 1;
        }
        if quotient.to_string().trim_end_matches('0').len() <= 28 {
            let sign = if *value < BigInt::from(0) { "-" } else { "" };
            let exponent = i64::from(cut) - i64::from(PLACES) - 40;
            return Ok(Number::parse(&format!("{sign}{quotient}e{exponent}")).unwrap());
        }
    }
    Err(Overflow)
}

/// Numbers of up to 28 digits between 10^-25 and 10^28, as mantissa and places.
fn numbers() -> impl Strategy<Value = (i128, u32)> {
    let end = 10_i128.pow(28);
    let small = (-100_000_i128..100_000, 0_u32..5);
    let wide = (-(end - 1)..end, 0_u32..=25);
    let near = (0_u32..28, -3_i128..4, 0_u32..=25, any::<bool>()).prop_map(|(tens, near, places, is_negative)| {
        let value = 10_i128.pow(tens) + near;
        (if is_negative { -value } else { value }, places)
    });
    prop_oneof![4 => small, 2 => wide, 3 => near]
}

fn sum_of(numbers: &[Number]) -> Sum {
    let mut sum = Sum::default();
    numbers.iter().for_each(|number| sum.add(*number));
    sum
}

/// What a sum answers, if it is one of any values.
type Answer = Option<Result<Number, Overflow>>;

/// What was added up without a word about how.
fn answers(sum: &Sum) -> (Answer, Answer) {
    (sum.total(), sum.mean())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_500, ..ProptestConfig::default() })]

    #[test]
    fn i3_a_sum_is_the_big_integers(drawn in proptest::collection::vec(numbers(), 1..40)) {
        let exact: BigInt = drawn.iter().map(|(mantissa, places)| BigInt::from(*mantissa) * ten(PLACES - places)).sum();
        let numbers: Vec<Number> =
            drawn.iter().map(|(mantissa, places)| Number::new(*mantissa, -i64::from(*places)).unwrap()).collect();
        let sum = sum_of(&numbers);
        prop_assert_eq!(sum.total(), Some(cell(&exact)));
        prop_assert_eq!(sum.mean(), Some(rounded_quotient(&exact, numbers.len() as u64)));
    }

    #[test]
    fn i3_neither_order_nor_division_matters(
        drawn in proptest::collection::vec((numbers(), -60_i64..60), 1..30),
        order in proptest::collection::vec(any::<usize>(), 0..60),
        cuts in proptest::collection::vec(any::<usize>(), 0..6),
        from_left in any::<bool>(),
    ) {
        // Also numbers that take too many places together.
        let numbers: Vec<Number> = drawn
            .iter()
            .map(|((mantissa, places), shift)| Number::new(*mantissa, shift - i64::from(*places)).unwrap())
            .collect();
        let whole = answers(&sum_of(&numbers));
        let mut shuffled = numbers;
        for (at, other) in order.iter().enumerate() {
            let len = shuffled.len();
            shuffled.swap(at % len, other % len);
        }
        prop_assert_eq!(answers(&sum_of(&shuffled)), whole);
        let (mut parts, mut rest) = (Vec::new(), &shuffled[..]);
        for cut in cuts {
            let (part, others) = rest.split_at(cut % (rest.len() + 1));
            parts.push(sum_of(part));
            rest = others;
        }
        parts.push(sum_of(rest));
        let carried: Vec<Sum> = parts.iter().map(|part| Sum::of_bytes(&part.bytes()).unwrap()).collect();
        prop_assert_eq!(&carried, &parts);
        let merge = |mut left: Sum, right: &Sum| {
            left.merge(right);
            left
        };
        let merged = if from_left {
            carried.iter().fold(Sum::default(), merge)
        } else {
            carried.iter().rev().fold(Sum::default(), |right, left| merge(*left, &right))
        };
        prop_assert_eq!(answers(&merged), whole);
    }

    #[test]
    fn i3_numbers_that_are_there_often_are_added_as_often(
        drawn in proptest::collection::vec(((numbers(), -60_i64..60), 0_u64..5), 1..20),
    ) {
        let number = |((mantissa, places), shift): ((i128, u32), i64)| {
            Number::new(mantissa, shift - i64::from(places)).unwrap()
        };
        let (mut often, mut one_by_one) = (Sum::default(), Sum::default());
        for (drawn, times) in drawn {
            often.add_times(number(drawn), times);
            (0..times).for_each(|_| one_by_one.add(number(drawn)));
        }
        prop_assert_eq!(answers(&often), answers(&one_by_one));
    }

    #[test]
    fn i3_numbers_added_up_elsewhere_are_those_added_here(
        drawn in proptest::collection::vec((-99_999_999_i128..99_999_999, 0_u32..8), 1..20),
        beside in proptest::collection::vec((numbers(), -60_i64..60), 0..3),
    ) {
        let numbers: Vec<Number> =
            drawn.iter().map(|(mantissa, places)| Number::new(*mantissa, -i64::from(*places)).unwrap()).collect();
        let all: i128 = drawn.iter().map(|(mantissa, places)| mantissa * 10_i128.pow(8 - places)).sum();
        let furthest = numbers.iter().copied().max_by_key(|number| Number::new(number.parts().0.abs(), number.parts().1.into()));
        let last = numbers.iter().filter(|number| number.parts().0 != 0).map(|number| number.parts().1).min();
        // As it is written without zeros at its end.
        let zeros = (0..8).take_while(|zeros| all % 10_i128.pow(zeros + 1) == 0).count();
        let together = (all / 10_i128.pow(u32::try_from(zeros).unwrap()), i32::try_from(zeros).unwrap() - 8);
        let count = numbers.len() as u64;
        let mut sum = Sum::of_many(count, together, furthest.unwrap(), last.unwrap_or(0).into());
        let mut one_by_one = sum_of(&numbers);
        prop_assert_eq!(answers(&sum), answers(&one_by_one));
        for ((mantissa, places), shift) in beside {
            let number = Number::new(mantissa, shift - i64::from(places)).unwrap();
            sum.add(number);
            one_by_one.add(number);
        }
        prop_assert_eq!(answers(&sum), answers(&one_by_one));
    }

    #[test]
    fn between_two_numbers_is_linear(left in numbers(), right in numbers(), hundredths in 0_u8..100) {
        let [low, high] = [left, right].map(|(mantissa, places)| BigInt::from(mantissa) * ten(PLACES - 2 - places));
        let exact = low * (100 - hundredths) + high * hundredths;
        let [low, high] = [left, right].map(|(mantissa, places)| Number::new(mantissa, -i64::from(places)).unwrap());
        prop_assert_eq!(between(low, high, hundredths), cell(&exact));
    }
}

fn number(text: &str) -> Number {
    Number::parse(text).unwrap()
}

fn total(texts: &[&str]) -> String {
    let sum = sum_of(&texts.iter().map(|text| number(text)).collect::<Vec<_>>());
    match sum.total() {
        None => "none".to_owned(),
        Some(Ok(number)) => number.to_string(),
        Some(Err(Overflow)) => "overflow".to_owned(),
    }
}

#[test]
fn sums_are_exact_or_not_told() {
    for (texts, expected) in [
        (vec![], "none"),
        (vec!["9007199254740993", "1", "-5"], "9007199254740989"),
        (vec!["0.1", "0.2", "0.3", "-0.6"], "0"),
        (vec!["9e27", "9e27", "-9e27"], "9000000000000000000000000000"),
        (vec!["9e27", "-9e27", "9e27"], "9000000000000000000000000000"),
        (vec!["9e27", "1e27"], "1e28"),
        (vec!["1e-20", "1e15"], "overflow"),
        (vec!["1e-20", "1e15", "-1e15"], "1e-20"),
        (vec!["1e400", "-1e400"], "0"),
        (vec!["1e400"], "1e400"),
        (vec!["1e400", "1", "-1e400"], "overflow"),
        (vec!["9e9999", "9e9999"], "overflow"),
        (vec!["1e10000", "-1e10000"], "overflow"),
        (vec!["0.12345678901234567890123456789"], "overflow"),
        (vec!["-0", "0.0"], "0"),
    ] {
        assert_eq!(total(&texts), expected, "{texts:?}");
    }
}

#[test]
fn a_mean_has_28_digits() {
    let mean = |texts: &[&str]| {
        let sum = sum_of(&texts.iter().map(|text| number(text)).collect::<Vec<_>>());
        sum.mean().map(|mean| mean.map(|mean| mean.to_string()))
    };
    let told = |text: &str| Some(Ok(text.to_owned()));
    assert_eq!(mean(&[]), None);
    assert_eq!(mean(&["1", "2"]), told("1.5"));
    assert_eq!(mean(&["1", "0", "0"]), told("0.3333333333333333333333333333"));
    assert_eq!(mean(&["-2", "0", "0"]), told("-0.6666666666666666666666666667"));
    let half = |last: u32| format!("100000000000000000000000000{last}");
    assert_eq!(mean(&[&half(1), &half(2)]), told(&half(2)), "half to even");
    assert_eq!(mean(&[&half(2), &half(3)]), told(&half(2)), "half to even");
    assert_eq!(mean(&["9e27", "9e27"]), told("9000000000000000000000000000"), "the sum has more digits");
    assert_eq!(mean(&["1e60", "1"]), Some(Err(Overflow)));
}

#[test]
fn as_many_as_there_may_be_do_not_wrap() {
    let largest = number("9999999999999999999999999999");
    let finest = number("1e-28");
    let mut sum = sum_of(&[largest, finest]);
    for _ in 0..60 {
        let part = sum;
        sum.merge(&part);
    }
    // 2^60 of either: as many as there may ever be.
    assert_eq!(sum.total(), Some(Err(Overflow)));
    let mut others = sum_of(&[number("-9999999999999999999999999999")]);
    for _ in 0..60 {
        let part = others;
        others.merge(&part);
    }
    sum.merge(&others);
    let expected = Number::new(1 << 60, -28).unwrap();
    assert_eq!(sum.total(), Some(Ok(expected)));
}
