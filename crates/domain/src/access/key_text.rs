//! The text of an API key. It can be recognised in a log or a repository, found by its public part, and told from a
//! mistyped one before anything is looked up.
//!
//! ```text
//! nm_<live|test>_<12 characters: id><30 characters: secret><6 characters: checksum>
//!               _ between id and secret
//! ```
//!
//! All characters are letters and digits. The checksum is the CRC-32 (IEEE 802.3) of all before it, in base 62, most
//! significant digit first, digits before upper case before lower case. The secret holds 178 bits.

use std::fmt;

use super::ids::{ID_CHARS, KeyId};

/// What every key begins with that this server has made.
pub const KEY_PREFIX: &str = "nm_";
/// Characters of the secret.
pub const SECRET_CHARS: usize = 30;
const CHECKSUM_CHARS: usize = 6;
/// The digits of base 62, least first: no sign that a double click would stop at.
pub const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// What a key was made for; a word for people and for programs that look for leaked keys. Both kinds count alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// For use in production.
    Live,
    /// For tests.
    Test,
}

impl KeyPurpose {
    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Test => "test",
        }
    }

    /// The purpose of this name.
    pub fn parse(name: &str) -> Option<Self> {
        [Self::Live, Self::Test].into_iter().find(|purpose| purpose.name() == name)
    }
}

/// A key whose text is whole. Whether it opens anything is another question.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyText {
    text: String,
    id: KeyId,
}

/// The text is no key of this server: it is cut, mistyped or invented.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the API key is not whole: its checksum does not fit")]
pub struct InvalidKeyText;

impl KeyText {
    /// The key of these parts. The secret has to be [`SECRET_CHARS`] letters and digits that nobody can guess.
    ///
    /// # Errors
    /// [`InvalidKeyText`] when the secret has another form.
    pub fn compose(purpose: KeyPurpose, id: KeyId, secret: &str) -> Result<Self, InvalidKeyText> {
        if secret.len() != SECRET_CHARS || !secret.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
            return Err(InvalidKeyText);
        }
        let mut text = format!("{KEY_PREFIX}{}_{id}_{secret}", purpose.name());
        let checksum = checksum(&text);
        text.extend(checksum.iter().map(|digit| char::from(*digit)));
        Ok(Self { text, id })
    }

    /// Reads a key.
    ///
    /// # Errors
    /// [`InvalidKeyText`] when its form or its checksum is wrong.
    pub fn parse(text: &str) -> Result<Self, InvalidKeyText> {
        let id = parts(text).and_then(|id| KeyId::parse(id).ok()).ok_or(InvalidKeyText)?;
        Ok(Self { text: text.to_owned(), id })
    }

    /// The id of a key's text, without a copy of it.
    ///
    /// # Errors
    /// [`InvalidKeyText`] when its form or its checksum is wrong.
    pub fn id_of(text: &str) -> Result<KeyId, InvalidKeyText> {
        parts(text).and_then(|id| KeyId::parse(id).ok()).ok_or(InvalidKeyText)
    }

    /// The public part.
    pub fn id(&self) -> KeyId {
        self.id
    }

    /// The whole text, a secret.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

/// The id in the text of a key, if the text is whole.
fn parts(text: &str) -> Option<&str> {
    let rest = text.strip_prefix(KEY_PREFIX)?;
    let rest = rest.strip_prefix("live_").or_else(|| rest.strip_prefix("test_"))?;
    let (id, secret) = rest.split_once('_')?;
    let is_whole = id.len() == ID_CHARS
        && secret.len() == SECRET_CHARS + CHECKSUM_CHARS
        && secret.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let (before, last) = text.split_at_checked(text.len().checked_sub(CHECKSUM_CHARS)?)?;
    (is_whole && checksum(before) == last.as_bytes()).then_some(id)
}

fn checksum(text: &str) -> [u8; CHECKSUM_CHARS] {
    let mut rest = crc32fast::hash(text.as_bytes());
    let mut digits = [b'0'; CHECKSUM_CHARS];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62[(rest % 62) as usize];
        rest /= 62;
    }
    digits
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyText").field("id", &self.id).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "nm_live_Ab3Ab3Ab3Ab3_0123456789abcdefghijABCDEFGHIJ";

    fn key() -> Option<KeyText> {
        let id = KeyId::parse("Ab3Ab3Ab3Ab3").ok()?;
        KeyText::compose(KeyPurpose::Live, id, "0123456789abcdefghijABCDEFGHIJ").ok()
    }

    #[test]
    fn a_key_is_read_as_it_was_composed() {
        let key = key();
        let text = key.as_ref().map(|key| key.expose().to_owned()).unwrap_or_default();
        assert!(text.starts_with(KEY) && text.len() == KEY.len() + 6, "{text}");
        assert_eq!(KeyText::parse(&text).ok(), key);
        assert_eq!(KeyText::id_of(&text).map(|id| id.to_string()).as_deref(), Ok("Ab3Ab3Ab3Ab3"));
        // The checksum by another implementation: binascii.crc32 of Python, written in base 62.
        assert_eq!(&text[KEY.len()..], "3Pkf1N");
    }

    #[test]
    fn a_key_that_differs_in_one_character_is_no_key() {
        let text = key().map(|key| key.expose().to_owned()).unwrap_or_default();
        for at in 0..text.len() {
            for other in ["0", "z", "_", "-"] {
                let mut changed = text.clone();
                changed.replace_range(at..=at, other);
                assert_eq!(KeyText::parse(&changed).is_ok(), changed == text, "{changed}");
            }
            assert_eq!(KeyText::id_of(&text[..at]), Err(InvalidKeyText));
        }
        assert_eq!(KeyText::id_of(&format!("{text}0")), Err(InvalidKeyText));
        assert_eq!(KeyText::id_of("nm_ö"), Err(InvalidKeyText));
    }
}
