//! What is a count: a whole number from 0 to the limit, in quotes or not, however it is written.
//! Nothing goes through a float, so a fraction is never lost by rounding.

use domain::admit::whole;
use domain::limits::TOKENS_MAX;

use crate::json::{self, JsonKind};

/// The count that a value is, `None` when it is `null` or an empty text; an error when it is anything else.
pub(super) fn count(value: JsonKind<'_>) -> Result<Option<u64>, ()> {
    let number = match value {
        JsonKind::Null => return Ok(None),
        JsonKind::Number(number) => whole(number),
        JsonKind::Text(string) => match json::unescape(string).ok_or(())? {
            text if text.is_empty() => return Ok(None),
            text => whole(&text),
        },
        JsonKind::Bool | JsonKind::Array(_) | JsonKind::Object(_) => None,
    };
    number.filter(|number| *number <= TOKENS_MAX).map(Some).ok_or(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Result<Option<u64>, ()> {
        count(JsonKind::of(value))
    }

    #[test]
    fn a_whole_number_is_one_however_it_is_written() {
        for (value, number) in [
            ("0", 0),
            ("-0", 0),
            ("-0.0", 0),
            ("12", 12),
            ("12.0", 12),
            ("12.000", 12),
            ("1.2e1", 12),
            ("1.2E+1", 12),
            ("120e-1", 12),
            ("0.12e2", 12),
            ("0.0012e4", 12),
            ("0e99", 0),
            ("0e-99", 0),
            (r#""12""#, 12),
            (r#""12.0""#, 12),
            (r#""\u0031""#, 1),
            ("1000000000000", TOKENS_MAX),
            ("1e12", TOKENS_MAX),
            ("1000000000000.0", TOKENS_MAX),
        ] {
            assert_eq!(read(value), Ok(Some(number)), "{value}");
        }
        for absent in ["null", r#""""#] {
            assert_eq!(read(absent), Ok(None), "{absent}");
        }
    }

    #[test]
    fn nothing_else_is_a_count() {
        for value in [
            "-1",
            "-1.0",
            "1.5",
            "12.0000000000000000000000000001",
            "999999999999.0000001",
            "1e-1",
            "12e-1",
            "1000000000001",
            "1000000000000.1",
            "1e13",
            "1e999999999",
            "1e99999999999",
            "18446744073709551616",
            "99999999999999999999999999999999999999",
            "true",
            "false",
            "[]",
            "[1]",
            "{}",
            r#"{"a":1}"#,
            r#""twelve""#,
            r#""12 ""#,
            r#"" 12""#,
            r#""1,200""#,
            r#""0x12""#,
            r#""1_0""#,
            r#""-""#,
            r#"".5""#,
            r#""5.""#,
            r#""1e""#,
            r#""e1""#,
            r#""--1""#,
            r#""1.2.3""#,
            r#""NaN""#,
            r#""inf""#,
            r#""infinity""#,
            r#""\ud800""#,
            r#""١٢""#,
        ] {
            assert_eq!(read(value), Err(()), "{value}");
        }
    }
}
