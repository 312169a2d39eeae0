//! Checks texts: their length and what they hold.

use crate::rejection::{RejectCode, Rejection};

pub(super) fn optional<'c>(field: &str, text: Option<&'c str>, bytes_max: usize) -> Result<Option<&'c str>, Rejection> {
    text.map(|text| checked_text(field, text, bytes_max)).transpose()
}

pub(super) fn checked_text<'c>(field: &str, text: &'c str, bytes_max: usize) -> Result<&'c str, Rejection> {
    if text.is_empty() {
        return Err(Rejection::of(RejectCode::InvalidValue, field, "must not be empty"));
    }
    if text.len() > bytes_max {
        return Err(Rejection::of(RejectCode::TooLong, field, format!("longer than {bytes_max} bytes")));
    }
    // Only these bytes begin a control character; nearly no text has one, and bytes are looked at many at once.
    let perhaps = text.bytes().fold(false, |found, byte| found | byte.is_ascii_control() | (byte == 0xC2));
    if perhaps && text.chars().any(char::is_control) {
        return Err(Rejection::of(RejectCode::InvalidValue, field, "must not hold control characters"));
    }
    Ok(text)
}
