//! The ids of people, keys, sessions and the like: twelve letters and digits, chosen at random, so that an id says
//! nothing about how many there are.

use std::fmt;

/// Characters of an id.
pub const ID_CHARS: usize = 12;

/// The text is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an id has {ID_CHARS} letters and digits")]
pub struct InvalidId;

/// Reads the letters and digits of an id.
fn parse(text: &str) -> Result<[u8; ID_CHARS], InvalidId> {
    let bytes: [u8; ID_CHARS] = text.as_bytes().try_into().map_err(|_| InvalidId)?;
    if bytes.iter().all(u8::is_ascii_alphanumeric) { Ok(bytes) } else { Err(InvalidId) }
}

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name([u8; ID_CHARS]);

        impl $name {
            /// The first in order.
            pub const LEAST: Self = Self([0; ID_CHARS]);

            /// Reads an id.
            ///
            /// # Errors
            /// [`InvalidId`] unless it is twelve letters and digits.
            pub fn parse(text: &str) -> Result<Self, InvalidId> {
                parse(text).map(Self)
            }

            /// Its text.
            pub fn as_str(&self) -> &str {
                std::str::from_utf8(&self.0).unwrap_or_default()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

id!(
    /// The id of a person.
    UserId
);
id!(
    /// The public part of an API key, by which it is found.
    KeyId
);
id!(
    /// The id of a signing secret.
    SecretId
);
id!(
    /// The id of an invitation.
    InvitationId
);
id!(
    /// The id of a session.
    SessionId
);

/// The id of a login by a token of the external issuer: a hash of the issuer and of whom it names, under a key of the
/// server, so that who has the id learns neither and confirms no guess.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct ExternalLoginId([u8; 16]);

impl ExternalLoginId {
    /// The id that has this hash.
    pub fn new(hash: [u8; 16]) -> Self {
        Self(hash)
    }
}

impl fmt::Display for ExternalLoginId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_of_an_external_login_has_as_many_digits_whatever_its_hash() {
        let mut hash = [0; 16];
        hash[15] = 0xab;
        assert_eq!(ExternalLoginId::new(hash).to_string(), "000000000000000000000000000000ab");
        assert_eq!(ExternalLoginId::new([0xff; 16]).to_string(), "f".repeat(32));
    }

    #[test]
    fn an_id_is_twelve_letters_and_digits() {
        assert_eq!(UserId::parse("Ab3Ab3Ab3Ab3").map(|id| id.to_string()), Ok("Ab3Ab3Ab3Ab3".to_owned()));
        for text in ["", "Ab3Ab3Ab3Ab", "Ab3Ab3Ab3Ab34", "Ab3Ab3Ab3Ab-", "Ab3Ab3Ab3Aä"] {
            assert_eq!(KeyId::parse(text), Err(InvalidId), "{text}");
        }
    }
}
