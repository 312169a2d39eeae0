//! E-mail addresses as the names of accounts. No mail is sent: what matters is that two spellings of one address
//! that differ in case, or in how a letter with an accent is put together, are one account.

use std::fmt;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

/// Longest address, in bytes (RFC 5321 allows no longer path).
const EMAIL_BYTES_MAX: usize = 254;

/// An e-mail address: one `@` with something on both sides, no white space, at most 254 bytes.
#[derive(Clone)]
pub struct Email {
    text: Arc<str>,
    folded: Arc<str>,
}

/// The text is no e-mail address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an e-mail address reads name@domain, without spaces, in at most {EMAIL_BYTES_MAX} bytes")]
pub struct InvalidEmail;

impl Email {
    /// Reads an address; white space around it is left out.
    ///
    /// # Errors
    /// [`InvalidEmail`] when it is none.
    pub fn parse(text: &str) -> Result<Self, InvalidEmail> {
        let text = text.trim();
        let (name, domain) = text.rsplit_once('@').ok_or(InvalidEmail)?;
        let refused = |c: char| c.is_whitespace() || c.is_control() || c == '@';
        let is_sane = !name.is_empty() && !domain.is_empty() && !name.contains(refused) && !domain.contains(refused);
        if !is_sane || text.len() > EMAIL_BYTES_MAX {
            return Err(InvalidEmail);
        }
        // Small letters of composed ones need not be composed.
        let small = text.nfc().collect::<String>().to_lowercase();
        Ok(Self { text: text.into(), folded: small.nfc().collect::<String>().into() })
    }

    /// The address as it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The address by which accounts are told apart.
    pub fn folded(&self) -> &str {
        &self.folded
    }
}

impl PartialEq for Email {
    fn eq(&self, other: &Self) -> bool {
        self.folded == other.folded
    }
}

impl Eq for Email {}

impl fmt::Debug for Email {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_in_two_cases_is_one_account() {
        let parse = |text: &str| Email::parse(text);
        assert_eq!(parse(" Ann@Example.COM "), parse("ann@example.com"));
        assert_eq!(parse("Ärger@example.com"), parse("ärger@EXAMPLE.com"));
        assert_ne!(parse("a@b.c"), parse("b@b.c"));
        assert_eq!(parse("Ann@Example.com").map(|email| email.as_str().to_owned()).as_deref(), Ok("Ann@Example.com"));
    }

    /// Found in November 2026: the same name typed on two systems was two accounts.
    #[test]
    fn one_address_composed_and_decomposed_is_one_account() {
        let parse = |text: &str| Email::parse(text).map(|email| email.folded().to_owned());
        let spellings =
            ["zo\u{eb}@b\u{fc}ro.example", "zoe\u{308}@bu\u{308}ro.example", "ZOE\u{308}@B\u{dc}RO.example"];
        for spelling in spellings {
            assert_eq!(parse(spelling).as_deref(), Ok("zo\u{eb}@b\u{fc}ro.example"), "{spelling:?}");
        }
        assert_ne!(parse("zo\u{eb}@b.example"), parse("zoe@b.example"));
        // A capital whose small letter is two characters: folding what is folded changes nothing.
        for text in ["\u{130}@b.example", "\u{3a3}\u{3a3}@b.example", "\u{1e9e}@b.example", "\u{212a}@b.example"] {
            let folded = parse(text);
            assert_eq!(folded.as_deref().map(parse), Ok(folded.clone()), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.com", "a".repeat(4096));
        for text in ["", "@", "a@", "@b", "a b@c", "a@b@c", "a\0@b", "a@b\u{7f}", &long] {
            assert_eq!(Email::parse(text), Err(InvalidEmail), "{text:?}");
        }
    }
}
