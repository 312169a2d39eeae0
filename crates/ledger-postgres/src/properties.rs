//! The properties of an event as JSONB, for queries. What JSONB refuses, `\u0000` and halves of surrogate pairs, or
//! would change or expand, numbers beyond ±1e±400 or with more digits than that, stands in the text alone. The text is
//! also kept where JSONB writes an equal number otherwise, as 1e2 and -0: queries tell numbers as they were written.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

/// Digits of the longest number that becomes JSONB, and its greatest exponent.
const NUMBER_MAX: usize = 400;

/// Properties as they are stored.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct StoredProperties {
    /// The text of what becomes JSONB.
    pub(crate) json: Option<String>,
    /// The whole text, unless the JSONB has all of it, with numbers as they were written.
    pub(crate) raw: Option<String>,
}

/// Divides the text of a JSON object.
pub(crate) fn stored(properties: &str) -> StoredProperties {
    if let Some(is_alike) = fits(properties) {
        let raw = (!is_alike).then(|| properties.to_owned());
        return StoredProperties { json: Some(properties.to_owned()), raw };
    }
    // Members whose names or values do not fit are left out; of equal names the last one counts.
    let members = BTreeMap::<String, Box<RawValue>>::deserialize(&mut serde_json::Deserializer::from_str(properties));
    let json = members.ok().and_then(|mut members| {
        members.retain(|name, value| !name.contains('\0') && fits(value.get()).is_some());
        serde_json::to_string(&members).ok()
    });
    StoredProperties { json, raw: Some(properties.to_owned()) }
}

/// Whether all numbers of a JSON text are written alike in JSONB, if all of the text becomes JSONB that is equal to it.
fn fits(json: &str) -> Option<bool> {
    let (mut rest, mut is_alike) = (json.as_bytes(), true);
    while let Some((first, behind)) = rest.split_first() {
        rest = match first {
            b'"' => string_fits(behind)?,
            b'-' | b'0'..=b'9' => {
                let end = rest.iter().position(|byte| !matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'));
                let (number, behind) = rest.split_at(end.unwrap_or(rest.len()));
                if !number_fits(number) {
                    return None;
                }
                is_alike &= is_written_alike(number);
                behind
            }
            _ => behind,
        };
    }
    Some(is_alike)
}

/// Whether JSONB writes a number that fits as it is written here: it has no exponent, and is no negative 0.
fn is_written_alike(number: &[u8]) -> bool {
    let has_exponent = number.iter().any(|byte| matches!(byte, b'e' | b'E'));
    let is_negative_zero = number.starts_with(b"-") && number.iter().all(|byte| matches!(byte, b'-' | b'0' | b'.'));
    !has_exponent && !is_negative_zero
}

/// What stands behind a string of which the first quote is gone; none if it does not fit.
fn string_fits(mut rest: &[u8]) -> Option<&[u8]> {
    loop {
        let at = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        rest = &rest[at..];
        if rest[0] == b'"' {
            return Some(&rest[1..]);
        }
        if rest.get(1) != Some(&b'u') {
            rest = rest.get(2..)?;
            continue;
        }
        let first = escape(rest)?;
        rest = &rest[6..];
        match first {
            0 | 0xDC00..=0xDFFF => return None,
            0xD800..=0xDBFF => {
                if !matches!(escape(rest), Some(0xDC00..=0xDFFF)) {
                    return None;
                }
                rest = &rest[6..];
            }
            _ => {}
        }
    }
}

/// The number that `\uXXXX` at the beginning stands for.
fn escape(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

fn number_fits(number: &[u8]) -> bool {
    let at = number.iter().position(|byte| matches!(byte, b'e' | b'E')).unwrap_or(number.len());
    let (digits, exponent) = number.split_at(at);
    let exponent = exponent.get(1..).unwrap_or_default();
    let exponent = if exponent.is_empty() { Some(0) } else { exponent_of(exponent) };
    // Digits and exponent together say how far it reaches in either direction.
    exponent.is_some_and(|exponent| digits.len() + exponent <= NUMBER_MAX)
}

fn exponent_of(text: &[u8]) -> Option<usize> {
    let digits = text.strip_prefix(b"-").or_else(|| text.strip_prefix(b"+")).unwrap_or(text);
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_jsonb_takes_as_it_is_stands_there_alone() {
        for json in [
            "{}",
            r#"{"a": 1, "a": 2}"#,
            r#"{"a": "\\u0000 \" \ud83d\ude00 é"}"#,
            r#"{"a": -0.50, "1e5 -0": "3e7", "b": [1000, true, null, {"c": 0}]}"#,
        ] {
            assert_eq!(stored(json), StoredProperties { json: Some(json.to_owned()), raw: None });
        }
    }

    #[test]
    fn numbers_that_jsonb_writes_otherwise_are_kept_as_a_text_too() {
        for json in [r#"{"a": -1.5e-300, "b": [1e99]}"#, r#"{"a": 1E2}"#, r#"{"a": -0}"#, r#"{"a": [-0.0]}"#] {
            assert_eq!(stored(json), StoredProperties { json: Some(json.to_owned()), raw: Some(json.to_owned()) });
        }
    }

    #[test]
    fn members_that_jsonb_refuses_or_expands_are_left_out_and_the_text_is_kept() {
        for (member, long) in [
            (r#""x": "\u0000""#, ""),
            (r#""x\u0000": 1"#, ""),
            (r#""x": ["\ud83d"]"#, ""),
            (r#""x": "\ud83d\u0041""#, ""),
            (r#""x": "\ude00""#, ""),
            (r#""x": {"y": 1e401}"#, ""),
            (r#""x": 1E-131000"#, ""),
            (r#""x": 1e99999999999999999999999"#, ""),
            (r#""x": 0."#, "1"),
        ] {
            let json = format!(r#"{{"a": 1, {member}{}, "b": "two"}}"#, long.repeat(500));
            let expected = StoredProperties { json: Some(r#"{"a":1,"b":"two"}"#.to_owned()), raw: Some(json.clone()) };
            assert_eq!(stored(&json), expected);
        }
    }
}
