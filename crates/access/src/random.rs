//! Randomness of the operating system, for keys, salts, nonces and ids. Has no state and no fallback: where the
//! system gives none, nothing is made.

use domain::access::key_text::BASE62;
use ring::rand::{SecureRandom, SystemRandom};

/// The bytes below it are as many of each letter: four times 62.
const FAIR_BYTES: u8 = 248;

/// The operating system gave no randomness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the operating system gave no randomness")]
pub struct NoRandomness;

/// As many random bytes.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn bytes<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut filled = [0; N];
    SystemRandom::new().fill(&mut filled).map_err(|_| NoRandomness)?;
    Ok(filled)
}

/// A random text of as many letters and digits, each as likely as any other: 5.95 bits each.
///
/// # Errors
/// [`NoRandomness`] when the operating system gives none.
pub fn base62(chars: usize) -> Result<String, NoRandomness> {
    let mut text = String::with_capacity(chars);
    while text.len() < chars {
        let fair = bytes::<32>()?.into_iter().filter(|byte| *byte < FAIR_BYTES);
        text.extend(fair.take(chars - text.len()).map(|byte| char::from(BASE62[usize::from(byte % 62)])));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use std::collections::HashSet;

    use super::*;

    #[test]
    fn texts_have_their_length_and_all_letters_and_repeat_never() {
        let texts: Vec<_> = (0..500).map(|_| base62(12).unwrap()).collect();
        assert!(texts.iter().all(|text| text.len() == 12 && text.bytes().all(|byte| BASE62.contains(&byte))));
        assert_eq!(texts.iter().collect::<HashSet<_>>().len(), texts.len());
        assert_eq!(texts.concat().bytes().collect::<HashSet<_>>().len(), 62, "6,000 letters miss one of 62");
        assert_eq!(base62(0).unwrap(), "");
        assert_ne!(bytes::<32>().unwrap(), bytes::<32>().unwrap());
    }
}
