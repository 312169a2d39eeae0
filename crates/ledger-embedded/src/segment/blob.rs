//! A breakdown as bytes: per slice the name and its two counts. Order carries no meaning.
//!
//! ```text
//! slice   name len varint, bytes | calls varint | tokens varint
//! ```
//! Varints are LEB128 of 64 bits in two's complement, so that a count below 0 has a form, ten bytes long. This
//! program neither writes nor reads one.

use std::collections::BTreeMap;

use domain::aggregate::{Slice, merge_slice};

/// Appends one slice.
pub(crate) fn push(out: &mut Vec<u8>, name: &str, slice: &Slice) {
    put(out, name.len() as u64);
    out.extend_from_slice(name.as_bytes());
    put(out, slice.calls);
    put(out, slice.tokens);
}

/// Adds every slice of `bytes`; `None` when the bytes are no breakdown.
pub(crate) fn merge_into(slices: &mut BTreeMap<String, Slice>, mut bytes: &[u8]) -> Option<()> {
    while !bytes.is_empty() {
        let len = usize::try_from(take(&mut bytes)?).ok()?;
        let name = std::str::from_utf8(bytes.get(..len)?).ok()?;
        bytes = &bytes[len..];
        let slice = Slice { calls: take_count(&mut bytes)?, tokens: take_count(&mut bytes)? };
        merge_slice(slices, name, &slice);
    }
    Some(())
}

/// The slices of a breakdown; `None` when the bytes are no breakdown.
pub(crate) fn slices(bytes: &[u8]) -> Option<BTreeMap<String, Slice>> {
    let mut slices = BTreeMap::new();
    merge_into(&mut slices, bytes)?;
    Some(slices)
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    loop {
        let low = value.to_le_bytes()[0] & 0x7f;
        value >>= 7;
        if value == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// A count that is not below 0.
fn take_count(bytes: &mut &[u8]) -> Option<u64> {
    take(bytes).filter(|count| i64::try_from(*count).is_ok())
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        let part = u64::from(byte & 0x7f);
        if part.checked_shl(shift)? >> shift != part {
            return None;
        }
        value |= part << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn gives_back_what_was_pushed(
            slices in proptest::collection::btree_map(".{0,20}", (0..=i64::MAX, 0..=i64::MAX), 0..20),
        ) {
            let slices: BTreeMap<_, _> = slices
                .into_iter()
                .map(|(name, (calls, tokens))| {
                    (name, Slice { calls: calls.unsigned_abs(), tokens: tokens.unsigned_abs() })
                })
                .collect();
            let mut bytes = Vec::new();
            slices.iter().for_each(|(name, slice)| push(&mut bytes, name, slice));
            let mut found = BTreeMap::new();
            prop_assert_eq!(merge_into(&mut found, &bytes), Some(()));
            prop_assert_eq!(found, slices);
        }

        /// It stands for a part of a sum, and would be read as none.
        #[test]
        fn a_count_below_0_is_refused(count in i64::MIN..0) {
            let mut bytes = Vec::new();
            push(&mut bytes, "a", &Slice { calls: 1, tokens: count.cast_unsigned() });
            prop_assert_eq!(slices(&bytes), None);
        }

        #[test]
        fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = merge_into(&mut BTreeMap::new(), &bytes);
        }
    }
}
