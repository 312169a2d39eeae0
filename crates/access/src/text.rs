//! Bytes as text and back, strictly: one text for each sequence of bytes, and nothing else is read.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// The text of bytes in the alphabet of base64 for addresses, without padding.
pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Appends such a text.
pub(crate) fn push_base64url(bytes: &[u8], text: &mut String) {
    URL_SAFE_NO_PAD.encode_string(bytes, text);
}

/// The bytes of such a text, if it is the text of exactly `N`.
pub(crate) fn from_base64url<const N: usize>(text: &str) -> Option<[u8; N]> {
    let mut bytes = [0; N];
    let length = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
    (length == N).then_some(bytes)
}

/// The bytes of such a text, however many.
pub(crate) fn from_base64url_any(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// Lower-case hexadecimal digits, two for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from(b"0123456789abcdef"[usize::from(nibble & 15)]);
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(*byte)]).collect()
}

/// The bytes of hexadecimal digits in either case, if they are exactly `N`.
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() || pairs.len() != N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(bytes)
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// A number in decimal as it is printed: no sign, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    let is_printed = text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
    if is_printed { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_text_for_each_sequence_of_bytes() {
        assert_eq!(hex(&[0, 0x1f, 0xa0]), "001fa0");
        assert_eq!(from_hex::<3>("001FA0"), Some([0, 0x1f, 0xa0]));
        for text in ["001fa", "001fa00", "001fa000", "001fg0", "+01fa0", "é0000"] {
            assert_eq!(from_hex::<3>(text), None, "{text}");
        }
        assert_eq!(from_base64url::<2>("_-8"), Some([0xff, 0xef]));
        for text in ["_-9", "_-8=", "/+8", "_-", "_-8A", ""] {
            assert_eq!(from_base64url::<2>(text), None, "{text}");
        }
        assert_eq!((decimal("0"), decimal("18446744073709551615")), (Some(0), Some(u64::MAX)));
        for text in ["", "00", "01", "+1", "-1", "1 ", "18446744073709551616", "1_0"] {
            assert_eq!(decimal(text), None, "{text}");
        }
    }
}
