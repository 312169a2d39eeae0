//! The master key of an installation: what is secret at rest is wrapped under it, and what has to be recognised
//! without being kept has its code under it. Each use has a key of its own, derived from this one, so that what
//! one use reveals helps with no other. Prints itself nowhere but in [`MasterKey::to_text`].
//!
//! A wrapped secret is one byte for the format (1), twelve of nonce, and the secret under AES-256-GCM-SIV
//! (RFC 8452) with its 16 bytes of tag; purpose and id are authenticated with it. The same nonce twice reveals
//! only whether the same secret was wrapped for the same row.

use std::fmt;

use aes_gcm_siv::aead::{Aead, Payload};
use aes_gcm_siv::{AesGcmSiv, KeyInit};
use domain::access::ids::ExternalLoginId;
use domain::limits::WRAPPED_SECRET_BYTES_MAX;
use zeroize::Zeroizing;

use crate::random::{self, NoRandomness};
use crate::text::{from_hex, hex};

/// The cipher of all secrets and values, which wipes its keys when it is dropped.
pub(crate) type Aes256GcmSiv = AesGcmSiv<aes::Aes256>;

const KEY_BYTES: usize = 32;
/// Bytes of the hash by which a login of another issuer is known.
const EXTERNAL_LOGIN_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
/// The only format there is.
const FORMAT: u8 = 1;

/// 32 bytes from which every other key of an installation is derived; wiped when dropped.
pub struct MasterKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    of_foreign_keys: Zeroizing<[u8; KEY_BYTES]>,
    of_refresh_tokens: Zeroizing<[u8; KEY_BYTES]>,
    of_external_logins: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// A new key, from the randomness of the operating system.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self::of(Zeroizing::new(random::bytes()?)))
    }

    /// Reads a key: 64 hexadecimal digits, with space around them or not.
    ///
    /// # Errors
    /// [`InvalidMasterKey`], which says what is wrong and repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Self, InvalidMasterKey> {
        let digits = text.trim();
        let found = digits.chars().count();
        if found != 2 * KEY_BYTES {
            return Err(InvalidMasterKey::Length { found });
        }
        from_hex(digits).map(|bytes| Self::of(Zeroizing::new(bytes))).ok_or(InvalidMasterKey::Digits)
    }

    fn of(bytes: Zeroizing<[u8; KEY_BYTES]>) -> Self {
        let derive = |context: &str| Zeroizing::new(blake3::derive_key(context, &*bytes));
        Self {
            of_foreign_keys: derive("nilometer access 2026 hashes of keys from elsewhere"),
            of_refresh_tokens: derive("nilometer access 2026 codes of refresh tokens"),
            of_external_logins: derive("nilometer access 2026 ids of external logins"),
            bytes,
        }
    }

    /// The key as [`MasterKey::parse`] reads it.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(hex(&*self.bytes))
    }

    /// Encrypts a secret for the row `id` of `purpose`, a constant of the code. The nonce is random, or at least
    /// never the same twice.
    ///
    /// # Errors
    /// [`WrapError::Length`] when the secret is longer than 64 KiB.
    pub fn wrap(&self, purpose: &str, id: &str, secret: &[u8], nonce: [u8; NONCE_BYTES]) -> Result<Vec<u8>, WrapError> {
        if secret.len() > WRAPPED_SECRET_BYTES_MAX {
            return Err(WrapError::Length);
        }
        let bound = bound_to(purpose, id);
        let encrypted = self
            .cipher(purpose)
            .encrypt(&nonce.into(), Payload { msg: secret, aad: &bound })
            .map_err(|_| WrapError::Length)?;
        let mut wrapped = Vec::with_capacity(1 + NONCE_BYTES + encrypted.len());
        wrapped.push(FORMAT);
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(&encrypted);
        Ok(wrapped)
    }

    /// Decrypts what [`MasterKey::wrap`] made of a secret for the same row of the same purpose.
    ///
    /// # Errors
    /// [`WrapError::Format`] when a later version wrote it, [`WrapError::Sealed`] when it was wrapped under
    /// another key or for another row, or is not what was written.
    pub fn unwrap(&self, purpose: &str, id: &str, wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrapError> {
        let (format, rest) = wrapped.split_first().ok_or(WrapError::Sealed)?;
        if *format != FORMAT {
            return Err(WrapError::Format { found: *format });
        }
        let (nonce, encrypted) = rest.split_first_chunk::<NONCE_BYTES>().ok_or(WrapError::Sealed)?;
        let bound = bound_to(purpose, id);
        let opened = self.cipher(purpose).decrypt(&(*nonce).into(), Payload { msg: encrypted, aad: &bound });
        opened.map(Zeroizing::new).map_err(|_| WrapError::Sealed)
    }

    /// The hash under which a key that was made elsewhere is kept: such a key may be guessable, and without the
    /// master key its hash tells no guess from another.
    pub fn hash_foreign_key(&self, key: &str) -> [u8; 32] {
        *blake3::keyed_hash(&self.of_foreign_keys, key.as_bytes()).as_bytes()
    }

    /// The code in the refresh token of one generation of a session.
    pub(crate) fn refresh_mac(&self, session_id: &str, generation: u64) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_keyed(&self.of_refresh_tokens);
        // The number has a fixed width and stands first, so that no two pairs are the same bytes.
        hasher.update(&generation.to_le_bytes()).update(session_id.as_bytes());
        *hasher.finalize().as_bytes()
    }

    /// What a login is known by that another issuer vouches for. Its own name for who it is may be an e-mail address, and
    /// what is kept for ever is not to have that.
    pub(crate) fn external_login_id(&self, issuer: &str, subject: &str) -> ExternalLoginId {
        let mut hasher = blake3::Hasher::new_keyed(&self.of_external_logins);
        // The length keeps the two texts apart.
        let length = u64::try_from(issuer.len()).unwrap_or(u64::MAX);
        hasher.update(&length.to_le_bytes()).update(issuer.as_bytes()).update(subject.as_bytes());
        let mut id = [0; EXTERNAL_LOGIN_BYTES];
        hasher.finalize_xof().fill(&mut id);
        ExternalLoginId::new(id)
    }

    fn cipher(&self, purpose: &str) -> Aes256GcmSiv {
        let context = format!("nilometer access 2026 wrapped secrets of {purpose}");
        let key = Zeroizing::new(blake3::derive_key(&context, &*self.bytes));
        Aes256GcmSiv::new(&(*key).into())
    }
}

/// The row that a wrapped secret belongs to; the length keeps the two texts apart.
fn bound_to(purpose: &str, id: &str) -> Vec<u8> {
    let length = u64::try_from(purpose.len()).unwrap_or(u64::MAX);
    [&[FORMAT], length.to_le_bytes().as_slice(), purpose.as_bytes(), id.as_bytes()].concat()
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey")
    }
}

/// The text is no master key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidMasterKey {
    /// Too few characters or too many.
    #[error("a master key has 64 hexadecimal digits, and this text {found} characters")]
    Length {
        /// How many there are, but for the space around them.
        found: usize,
    },
    /// Something else than digits.
    #[error("a master key has hexadecimal digits only: 0 to 9 and a to f")]
    Digits,
}

/// Why a secret was not wrapped or does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WrapError {
    /// Longer than any secret is.
    #[error("a secret has at most {WRAPPED_SECRET_BYTES_MAX} bytes")]
    Length,
    /// A later version of the program wrote it.
    #[error("the wrapped secret has format {found}, and this version reads {FORMAT}")]
    Format {
        /// Its first byte.
        found: u8,
    },
    /// Another master key, another row, or other bytes than were written.
    #[error("the wrapped secret does not open with this master key at this place")]
    Sealed,
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "tests fail loudly")]

    use super::*;

    const TEXT: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

    fn key() -> MasterKey {
        MasterKey::parse(TEXT).unwrap()
    }

    #[test]
    fn reads_what_it_prints_and_says_what_is_wrong_with_the_rest() {
        assert_eq!(*MasterKey::parse(&format!("  {}\n", TEXT.to_uppercase())).unwrap().to_text(), TEXT);
        for (text, error) in [
            ("", InvalidMasterKey::Length { found: 0 }),
            (&TEXT[1..], InvalidMasterKey::Length { found: 63 }),
            (&TEXT.replace('0', "é"), InvalidMasterKey::Digits),
            (&TEXT.replace("1f", "1 "), InvalidMasterKey::Length { found: 63 }),
            (&TEXT.replace("1e", "+e"), InvalidMasterKey::Digits),
        ] {
            assert_eq!(MasterKey::parse(text).unwrap_err(), error, "{text}");
        }
        assert_ne!(MasterKey::generate().unwrap().to_text(), MasterKey::generate().unwrap().to_text());
        assert_eq!(format!("{:?}", key()), "MasterKey");
    }

    #[test]
    fn a_wrapped_secret_opens_at_its_place_alone() {
        let wrapped = key().wrap("signing secret", "a1", b"the secret", [7; 12]).unwrap();
        assert_eq!(wrapped.len(), 1 + 12 + 10 + 16);
        assert_eq!(&**key().unwrap("signing secret", "a1", &wrapped).unwrap(), b"the secret");
        for (purpose, id) in [("signing secret", "a2"), ("token key", "a1"), ("signing secreta", "1"), ("", "")] {
            assert_eq!(key().unwrap(purpose, id, &wrapped), Err(WrapError::Sealed), "{purpose}, {id}");
        }
        let other = MasterKey::parse(&TEXT.replace("1f", "1e")).unwrap();
        assert_eq!(other.unwrap("signing secret", "a1", &wrapped), Err(WrapError::Sealed));
    }

    #[test]
    fn a_changed_byte_anywhere_is_noticed() {
        let wrapped = key().wrap("p", "i", b"secret", [7; 12]).unwrap();
        for at in 0..wrapped.len() {
            let mut changed = wrapped.clone();
            changed[at] ^= 1;
            let expected = if at == 0 { WrapError::Format { found: 0 } } else { WrapError::Sealed };
            assert_eq!(key().unwrap("p", "i", &changed), Err(expected), "{at}");
            assert!(key().unwrap("p", "i", &wrapped[..at]).is_err(), "{at}");
        }
    }

    #[test]
    fn any_length_up_to_the_limit_is_wrapped() {
        for length in [0, 1, WRAPPED_SECRET_BYTES_MAX] {
            let wrapped = key().wrap("p", "i", &vec![1; length], [0; 12]).unwrap();
            assert_eq!(key().unwrap("p", "i", &wrapped).unwrap().len(), length);
        }
        let long = vec![1; WRAPPED_SECRET_BYTES_MAX + 1];
        assert_eq!(key().wrap("p", "i", &long, [0; 12]), Err(WrapError::Length));
    }

    #[test]
    fn a_login_of_another_issuer_has_one_id_and_no_other_login_has_it() {
        let id = |issuer: &str, subject: &str| key().external_login_id(issuer, subject).to_string();
        let kim = id("https://id.example", "kim@acme.example");
        assert_eq!((kim.len(), kim.contains("kim")), (32, false), "{kim}");
        assert_eq!(id("https://id.example", "kim@acme.example"), kim, "after a restart as well");
        assert_ne!(id("https://id.example", "tom@acme.example"), kim);
        assert_ne!(id("https://other.example", "kim@acme.example"), kim);
        assert_ne!(id("https://id.examplek", "im@acme.example"), kim, "where one text ends and the next begins");
        let other = MasterKey::parse(&TEXT.replace("1f", "1e")).unwrap();
        let of_other = other.external_login_id("https://id.example", "kim@acme.example").to_string();
        assert_ne!(of_other, kim, "without the key nobody confirms a guess");
    }

    /// What is on disk stays readable: neither the format nor the derivation of keys may change. The values were
    /// computed by other implementations of BLAKE3 and AES-GCM-SIV.
    #[test]
    fn what_was_written_once_still_opens() {
        assert_eq!(hex(&key().wrap("p", "i", b"secret", [7; 12]).unwrap()), WRAPPED);
        assert_eq!(hex(&key().hash_foreign_key("legacy-key")), FOREIGN);
        assert_eq!(hex(&key().refresh_mac("s1", 2)), REFRESH);
        assert_eq!(key().external_login_id("https://id.example", "kim").to_string(), EXTERNAL);
    }

    const WRAPPED: &str = "010707070707070707070707079ddcd48a19059026a0f2d438517d6782c350ea03cfa2";
    const FOREIGN: &str = "40424bceb802f8d4760cf343bfa85faf031159d107a91b95b595d7a43df93948";
    const EXTERNAL: &str = "c7ea7f6cf31f9bedac84e4f014db2ef2";
    const REFRESH: &str = "b9f5ea305b37c0c898e25b9d2f19c5e6f3f87d3c312bc7486170ad7562077381";
}
