//! The few texts an event is patched with, written straight into the request's bytes: numbers,
//! instants, ids. Allocates nothing per event.

use domain::time::{MICROS_PER_DAY, Timestamp};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// Appends `value` in decimal.
pub(crate) fn push_decimal(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0_u8; 20];
    let mut rest = value;
    let mut start = digits.len();
    loop {
        start -= 1;
        digits[start] = digit(rest % 10);
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[start..]);
}

/// Overwrites `place` with `value` in decimal, padded with zeros, its highest digits cut when
/// `place` is too short.
pub(crate) fn put_digits(place: &mut [u8], value: u64) {
    let mut rest = value;
    for byte in place.iter_mut().rev() {
        *byte = digit(rest % 10);
        rest /= 10;
    }
}

/// Appends the lowest `nibbles` hexadecimal digits of `value`.
pub(crate) fn push_hex(out: &mut Vec<u8>, value: u64, nibbles: u32) {
    for nibble in (0..nibbles).rev() {
        let index = (value >> (nibble * 4)) & 0xf;
        out.push(HEX[usize::try_from(index).unwrap_or(0)]);
    }
}

/// Appends the id of event `number` of a run: the shape of a UUID, with the entropy of one, so that
/// ids cost the server what real ones do. Different numbers give different ids.
pub(crate) fn push_event_id(out: &mut Vec<u8>, run: u32, number: u64) {
    let unique = scramble(number);
    let filler = scramble(unique);
    push_hex(out, u64::from(run), 8);
    out.push(b'-');
    push_hex(out, unique >> 48, 4);
    out.extend_from_slice(b"-4");
    push_hex(out, unique >> 36, 3);
    out.extend_from_slice(b"-8");
    push_hex(out, unique >> 24, 3);
    out.push(b'-');
    push_hex(out, unique, 6);
    push_hex(out, filler, 6);
}

/// The finaliser of splitmix64 (Steele, Lea and Flood, 2014): one-to-one on 64 bits.
fn scramble(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Writes instants as RFC 3339 with milliseconds. The dates of the days a run touches are made
/// once; only the time of day is written per event.
#[derive(Debug, Clone)]
pub(crate) struct InstantTexts {
    first_day: i64,
    days: Vec<Vec<u8>>,
}

impl InstantTexts {
    /// Prepares all days from `first` to `last`.
    pub(crate) fn new(first: Timestamp, last: Timestamp) -> Self {
        let first_day = first.micros().div_euclid(MICROS_PER_DAY);
        let last_day = last.micros().div_euclid(MICROS_PER_DAY);
        let days = (first_day..=last_day)
            .map(|day| {
                let text = Timestamp::from_micros(day * MICROS_PER_DAY).to_string();
                text.split_inclusive('T').next().unwrap_or_default().as_bytes().to_vec()
            })
            .collect();
        Self { first_day, days }
    }

    /// Appends `instant`, cut to milliseconds.
    pub(crate) fn push(&self, out: &mut Vec<u8>, instant: Timestamp) {
        let day = instant.micros().div_euclid(MICROS_PER_DAY);
        let date = usize::try_from(day - self.first_day).ok().and_then(|index| self.days.get(index));
        let Some(date) = date else {
            out.extend_from_slice(instant.to_string().as_bytes());
            return;
        };
        let millis = u64::try_from(instant.micros().rem_euclid(MICROS_PER_DAY) / 1_000).unwrap_or(0);
        let mut time = *b"00:00:00.000Z";
        put_digits(&mut time[0..2], millis / 3_600_000);
        put_digits(&mut time[3..5], millis / 60_000 % 60);
        put_digits(&mut time[6..8], millis / 1_000 % 60);
        put_digits(&mut time[9..12], millis % 1_000);
        out.extend_from_slice(date);
        out.extend_from_slice(&time);
    }
}

/// The digit `value`, which is below ten.
fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed test may panic")]

    use std::collections::HashSet;

    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        write(&mut out);
        String::from_utf8(out).unwrap()
    }

    proptest! {
        #[test]
        fn numbers_are_written_as_the_standard_library_writes_them(value: u64) {
            prop_assert_eq!(text(|out| push_decimal(out, value)), value.to_string());
            prop_assert_eq!(text(|out| push_hex(out, value, 16)), format!("{value:016x}"));
        }

        #[test]
        fn instants_read_back_to_the_millisecond(micros in 0_i64..4_000_000_000_000_000, prepared: bool) {
            let instant = Timestamp::from_micros(micros);
            let texts = InstantTexts::new(instant, if prepared { instant } else { instant.plus_micros(-1) });
            let read = Timestamp::parse(&text(|out| texts.push(out, instant))).unwrap();
            prop_assert_eq!(read.micros() / 1_000, micros / 1_000);
        }
    }

    #[test]
    fn ids_have_the_shape_of_a_uuid_and_never_repeat() {
        let ids: HashSet<String> = (0..100_000).map(|number| text(|out| push_event_id(out, 7, number))).collect();
        assert_eq!(ids.len(), 100_000);
        for id in ids.iter().take(100) {
            let lengths: Vec<usize> = id.split('-').map(str::len).collect();
            assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
        }
    }
}
