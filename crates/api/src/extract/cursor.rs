//! Paging cursors: opaque to clients, checked on return. A cursor is only a place in a listing, so
//! one that was made up can skip rows but never reach another tenant's.

use std::fmt::Write;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::problem::Problem;

/// Longest cursor, in characters; the longest name and a position fit.
const CURSOR_CHARS_MAX: usize = 4_096;

/// The cursor of `listing` that stands after `place`: the hex digits of a JSON text that begins
/// with the listing's name, so that one listing's cursor is garbage to another.
pub(crate) fn next_cursor<T: Serialize>(listing: &str, place: &T) -> Option<String> {
    let text = serde_json::to_vec(&(listing, place)).ok()?;
    let mut cursor = String::with_capacity(text.len() * 2);
    for byte in text {
        let _ = write!(cursor, "{byte:02x}");
    }
    Some(cursor)
}

/// The place that a client's `cursor` of `listing` stands for.
pub(crate) fn read_cursor<T: DeserializeOwned>(listing: &str, cursor: Option<&str>) -> Result<Option<T>, Problem> {
    let Some(cursor) = cursor else { return Ok(None) };
    let place = decode(cursor).and_then(|text| serde_json::from_slice::<(String, T)>(&text).ok());
    match place {
        Some((name, place)) if name == listing => Ok(Some(place)),
        _ => Err(Problem::parameter("cursor", "'cursor' is not the next_cursor of an earlier page of this listing")),
    }
}

fn decode(cursor: &str) -> Option<Vec<u8>> {
    if cursor.len() > CURSOR_CHARS_MAX {
        return None;
    }
    let digits: Option<Vec<u8>> = cursor.chars().map(|digit| digit.to_digit(16)?.try_into().ok()).collect();
    let (pairs, rest) = digits.as_ref()?.as_chunks::<2>();
    rest.is_empty().then(|| pairs.iter().map(|[high, low]| high << 4 | low).collect())
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests")]

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_comes_back_as_it_went(customer in ".{0,64}", start in any::<i64>()) {
            let cursor = next_cursor("windows", &(&customer, start)).unwrap();
            let back: Option<(String, i64)> = read_cursor("windows", Some(&cursor)).unwrap();
            prop_assert_eq!(back, Some((customer, start)));
            prop_assert!(read_cursor::<(String, i64)>("customers", Some(&cursor)).is_err());
        }

        #[test]
        fn garbage_is_refused(cursor in ".{0,64}") {
            prop_assert!(read_cursor::<(i64, u64)>("events", Some(&cursor)).is_err());
        }
    }
}
