//! Numbers against big integers.

#![expect(clippy::unwrap_used, reason = "tests")]

use num_bigint::BigInt;
use proptest::prelude::*;

use super::*;

fn parse(text: &str) -> Option<Number> {
    Number::parse(text)
}

fn shown(text: &str) -> String {
    parse(text).unwrap().to_string()
}

/// The number times 10^`places`, which must make it whole.
fn scaled(text: &str, places: u32) -> BigInt {
    let (number, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits: BigInt = format!("{whole}{fraction}").parse().unwrap();
    let tens = exponent.parse::<i64>().unwrap() + i64::from(places) - i64::try_from(fraction.len()).unwrap();
    digits * BigInt::from(10).pow(u32::try_from(tens).unwrap())
}

/// Texts of numbers with up to `digits` digits, written in many ways.
fn texts(digits: usize) -> impl Strategy<Value = String> {
    let part = move |least: usize| proptest::string::string_regex(&format!("[0-9]{{{least},{}}}", digits / 2)).unwrap();
    let whole = part(1).prop_map(|digits| {
        let digits = digits.trim_start_matches('0');
        if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
    });
    (any::<bool>(), whole, proptest::option::of(part(1)), proptest::option::of(-20_i32..20)).prop_map(
        |(is_negative, whole, fraction, exponent)| {
            let sign = if is_negative { "-" } else { "" };
            let fraction = fraction.map(|fraction| format!(".{fraction}")).unwrap_or_default();
            let exponent = exponent.map(|exponent| format!("e{exponent}")).unwrap_or_default();
            format!("{sign}{whole}{fraction}{exponent}")
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn numbers_order_as_big_integers_do(left in texts(28), right in texts(28)) {
        let numbers = [&left, &right].map(|text| parse(text).unwrap());
        let order = scaled(&left, 40).cmp(&scaled(&right, 40));
        prop_assert_eq!(numbers[0].cmp(&numbers[1]), order);
        prop_assert_eq!(numbers[0].rank().cmp(&numbers[1].rank()), order);
        prop_assert_eq!(numbers[0] == numbers[1], order == Ordering::Equal, "one number has one form");
    }

    #[test]
    fn what_is_written_is_what_was_read(text in texts(28)) {
        let number = parse(&text).unwrap();
        prop_assert!(number.is_exact());
        prop_assert_eq!(scaled(&number.to_string(), 40), scaled(&text, 40));
        prop_assert_eq!(parse(&number.to_string()), Some(number));
        prop_assert_eq!(Number::of_rank(number.rank()), number);
        prop_assert_eq!(Number::of_bits(number.bits() | 1), number);
    }

    #[test]
    fn numbers_of_any_length_compare_with_exact_ones(long in texts(70), short in texts(28)) {
        let (long_number, short_number) = (parse(&long).unwrap(), parse(&short).unwrap());
        let order = scaled(&long, 60).cmp(&scaled(&short, 60));
        prop_assert_eq!(long_number.cmp(&short_number), order, "{} {}", long, short);
        prop_assert_eq!(Number::of_bits(long_number.bits()).rank(), long_number.rank());
    }

    #[test]
    fn a_floor_is_the_big_integers(text in texts(28), places in 0_u32..5) {
        let tens = BigInt::from(10).pow(40 - places);
        let exact = scaled(&text, 40);
        let mut floor = &exact / &tens;
        if &floor * &tens > exact {
            floor -= 1;
        }
        let is_whole = &floor * &tens == exact;
        let fits = i64::try_from(&floor).ok();
        let end = if exact < BigInt::from(0) { i64::MIN } else { i64::MAX };
        let expected = (fits.unwrap_or(end), is_whole && fits.is_some());
        prop_assert_eq!(parse(&text).unwrap().floor(places.cast_signed()), expected);
    }

    #[test]
    fn any_text_is_a_number_of_json_or_none(text in "[-+0-9.eE ]{0,8}") {
        let is_json = || {
            let unsigned = text.strip_prefix('-').unwrap_or(&text);
            let (number, exponent) = match unsigned.split_once(['e', 'E']) {
                Some((number, exponent)) => (number, exponent.strip_prefix(['-', '+']).unwrap_or(exponent)),
                None => (unsigned, "0"),
            };
            let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
            let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
            digits(whole) && (whole == "0" || !whole.starts_with('0')) && digits(fraction) && digits(exponent)
        };
        prop_assert_eq!(parse(&text).is_some(), is_json());
    }
}

#[test]
fn all_digits_are_written() {
    for (text, written) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.00e5", "0"),
        ("0e999999999999999999999", "0"),
        ("9007199254740993", "9007199254740993"),
        ("1500.00", "1500"),
        ("1.5e3", "1500"),
        ("1.5E+3", "1500"),
        ("-12.50", "-12.5"),
        ("0.1", "0.1"),
        ("0.0000001", "0.0000001"),
        ("0.00000001", "1e-8"),
        ("-0.000000012", "-1.2e-8"),
        ("1e27", "1000000000000000000000000000"),
        ("1e28", "1e28"),
        ("12345e40", "1.2345e44"),
        ("1e400", "1e400"),
        ("1e-9999", "1e-9999"),
    ] {
        assert_eq!(shown(text), written, "{text}");
    }
}

#[test]
fn numbers_that_are_not_held_are_between_their_neighbours() {
    let long = "1.0000000000000000000000000001";
    assert!(parse(long).is_some_and(|number| !number.is_exact()) && parse("1") < parse(long));
    assert!(parse(long) < parse("1.000000000000000000000000001") && parse(&format!("-{long}")) < parse("-1"));
    assert_eq!(parse(&format!("1{}", "0".repeat(100))), parse("1e100"), "zeros are no digits");
    assert_eq!(parse(&format!("1.5{}", "0".repeat(100))), parse("1.5"));
    for (beyond, within) in [("1e10000", "9e9999"), ("1e99999999999999999999", "9e9999")] {
        assert!(parse(beyond) > parse(within) && parse(&format!("-{beyond}")) < parse(&format!("-{within}")));
        assert!(parse(beyond).is_some_and(|number| !number.is_exact()));
    }
    assert!(parse("1e-10000") > parse("0") && parse("1e-10000") < parse("1e-9999"));
    assert!(parse("-1e-99999999999999999999") < parse("0"));
    assert_eq!(Number::new(10_i128.pow(28) + 1, 0), None);
    assert_eq!(Number::new(10_i128.pow(30), -30), parse("1"));
}
