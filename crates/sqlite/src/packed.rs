//! Texts and numbers one after another in one value: a number as LEB128 (seven bits per byte, the
//! lowest first), a text as its length in bytes and its bytes. A row that holds such a value is sealed.

use crate::failure::Failure;

/// Bits of a number in each byte.
const BITS: u32 = 7;
/// Set in every byte of a number but the last.
const MORE: u8 = 0x80;

/// Appends a number.
pub fn put_number(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        // The lowest seven bits fit into a byte.
        let low = (number & usize::from(!MORE)).to_le_bytes()[0];
        number >>= BITS;
        if number == 0 {
            return bytes.push(low);
        }
        bytes.push(low | MORE);
    }
}

/// Appends a text.
pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len());
    bytes.extend_from_slice(text.as_bytes());
}

/// Takes from the front what was appended.
#[derive(Debug)]
pub struct Packed<'a>(pub &'a [u8]);

impl<'a> Packed<'a> {
    /// Whether nothing is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next number.
    ///
    /// # Errors
    /// When the bytes end before it does.
    pub fn number(&mut self) -> Result<usize, Failure> {
        let mut number = 0;
        for shift in (0..usize::BITS).step_by(7) {
            let (&byte, rest) = self.0.split_first().ok_or_else(cut)?;
            self.0 = rest;
            number |= usize::from(byte & !MORE) << shift;
            if byte & MORE == 0 {
                return Ok(number);
            }
        }
        Err(cut())
    }

    /// The next text.
    ///
    /// # Errors
    /// When the bytes end before it does, or are not UTF-8.
    pub fn text(&mut self) -> Result<&'a str, Failure> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(length).ok_or_else(cut)?;
        self.0 = rest;
        std::str::from_utf8(text).map_err(|_| Failure::corrupt("a packed text is not UTF-8"))
    }
}

fn cut() -> Failure {
    Failure::corrupt("a packed value ends too early")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_put_is_taken(texts in proptest::collection::vec(".{0,200}", 0..9), number in any::<usize>()) {
            let mut bytes = Vec::new();
            put_number(&mut bytes, number);
            texts.iter().for_each(|text| put_text(&mut bytes, text));
            let mut packed = Packed(&bytes);
            prop_assert_eq!(packed.number().ok(), Some(number));
            for text in &texts {
                prop_assert_eq!(packed.text().ok(), Some(text.as_str()));
            }
            prop_assert!(packed.is_empty());
        }

        #[test]
        fn any_bytes_end_in_an_answer(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let mut packed = Packed(&bytes);
            while !packed.is_empty() && packed.text().is_ok() {}
        }
    }
}
