//! Signed requests: `Nilometer-Signature: t=<unix>,k=<id>,v1=<hex>`, where `v1` is HMAC-SHA256 under the bytes of
//! the secret of
//!
//! ```text
//! <t>\n<method>\n<path with query>\n<lower-case hex SHA-256 of the body as sent>
//! ```
//!
//! and a secret is `nms_<id>_<32 bytes in base64url>`. The body is hashed as it was sent, before any decompression.
//! Whether the same request came before is not decided here: [`SignatureHeader::event_id`] gives its events the
//! same ids again.

use std::fmt;

use domain::limits::{SIGNATURE_AGE_S_MAX, SIGNATURE_AHEAD_S_MAX};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use ring::{digest, hmac};
use zeroize::Zeroizing;

use crate::random::{self, NoRandomness};
use crate::text::{base64url, decimal, from_base64url, from_hex, hex};

/// Begins the text of a secret.
const SECRET_PREFIX: &str = "nms_";
/// Begins the id of an event without one in a signed request.
const EVENT_ID_PREFIX: &str = "sig_";
/// Letters and digits of the id of a secret.
const KEY_ID_CHARS: usize = 12;
/// Bytes of a secret, and of a signature.
const SECRET_BYTES: usize = 32;
/// Longest header: a time of 20 digits, an id and a signature.
const HEADER_BYTES_MAX: usize = 128;

/// What a client signs its requests with; its bytes are wiped when dropped.
pub struct SigningSecret {
    id: String,
    bytes: Zeroizing<[u8; SECRET_BYTES]>,
}

impl SigningSecret {
    /// A new secret.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self { id: random::base62(KEY_ID_CHARS)?, bytes: Zeroizing::new(random::bytes()?) })
    }

    /// The secret that was stored as an id and bytes.
    ///
    /// # Errors
    /// [`InvalidSecret`] when either has another length or other characters.
    pub fn from_parts(id: &str, bytes: &[u8]) -> Result<Self, InvalidSecret> {
        let bytes = bytes.try_into().map_err(|_| InvalidSecret)?;
        let id = if is_key_id(id) { id.to_owned() } else { return Err(InvalidSecret) };
        Ok(Self { id, bytes: Zeroizing::new(bytes) })
    }

    /// Reads the text that a client was given.
    ///
    /// # Errors
    /// [`InvalidSecret`], which repeats nothing of the text.
    pub fn parse(text: &str) -> Result<Self, InvalidSecret> {
        let (id, bytes) =
            text.strip_prefix(SECRET_PREFIX).and_then(|rest| rest.split_once('_')).ok_or(InvalidSecret)?;
        let bytes = from_base64url::<SECRET_BYTES>(bytes).map(Zeroizing::new).ok_or(InvalidSecret)?;
        Self::from_parts(id, &*bytes)
    }

    /// The text to give to a client.
    pub fn to_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!("{SECRET_PREFIX}{}_{}", self.id, base64url(&*self.bytes)))
    }

    /// Its id, which is no secret.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Its 32 bytes, to be wrapped and stored.
    pub fn bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.bytes
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningSecret").field("id", &self.id).finish_non_exhaustive()
    }
}

/// The text is no signing secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a signing secret reads nms_, its id of 12 letters and digits, _, and 43 characters of base64url")]
pub struct InvalidSecret;

/// What a request says of its signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignatureHeader {
    at_s: u64,
    key_id: String,
    signature: [u8; 32],
}

impl SignatureHeader {
    /// Reads the header: its three fields in any order, each once, nothing else and no space.
    ///
    /// # Errors
    /// [`InvalidSignatureHeader`], one sentence that can be shown to the client.
    pub fn parse(text: &str) -> Result<Self, InvalidSignatureHeader> {
        if text.len() > HEADER_BYTES_MAX {
            return Err(InvalidSignatureHeader::Long);
        }
        let (mut at_s, mut key_id, mut signature) = (None, None, None);
        for field in text.split(',') {
            let (name, value) = field.split_once('=').ok_or(InvalidSignatureHeader::Field)?;
            let is_repeated = match name {
                "t" => at_s.replace(decimal(value).ok_or(InvalidSignatureHeader::Time)?).is_some(),
                "k" if is_key_id(value) => key_id.replace(value.to_owned()).is_some(),
                "k" => return Err(InvalidSignatureHeader::KeyId),
                "v1" => signature.replace(from_hex(value).ok_or(InvalidSignatureHeader::Signature)?).is_some(),
                _ => return Err(InvalidSignatureHeader::Field),
            };
            if is_repeated {
                return Err(InvalidSignatureHeader::Repeated);
            }
        }
        match (at_s, key_id, signature) {
            (Some(at_s), Some(key_id), Some(signature)) => Ok(Self { at_s, key_id, signature }),
            (None, _, _) => Err(InvalidSignatureHeader::Missing("t")),
            (_, None, _) => Err(InvalidSignatureHeader::Missing("k")),
            (_, _, None) => Err(InvalidSignatureHeader::Missing("v1")),
        }
    }

    /// The id of the secret that the request says it is signed with.
    pub fn key_id(&self) -> &str {
        &self.key_id
    }

    /// Whether the signature is as recent as it has to be: at most 300 seconds old and 30 ahead.
    ///
    /// # Errors
    /// [`SignatureTimeError`], one sentence that can be shown to the client.
    pub fn check_time(&self, now: Timestamp) -> Result<(), SignatureTimeError> {
        let at_us = i128::from(self.at_s) * i128::from(MICROS_PER_SECOND);
        let age_us = i128::from(now.micros()) - at_us;
        if age_us > i128::from(SIGNATURE_AGE_S_MAX * MICROS_PER_SECOND) {
            return Err(SignatureTimeError::Old);
        }
        if -age_us > i128::from(SIGNATURE_AHEAD_S_MAX * MICROS_PER_SECOND) {
            return Err(SignatureTimeError::Ahead);
        }
        Ok(())
    }

    /// Whether the secret signed this very request, told in constant time. `target` is path and query as they stand
    /// in the request line, `body` what was sent, compressed or not.
    ///
    /// # Errors
    /// [`WrongSignature`], whatever it is that differs.
    pub fn verify(
        &self,
        secret: &SigningSecret,
        method: &str,
        target: &str,
        body: &[u8],
    ) -> Result<(), WrongSignature> {
        let signed = signed_text(self.at_s, method, target, body).ok_or(WrongSignature)?;
        let key = hmac::Key::new(hmac::HMAC_SHA256, &*secret.bytes);
        let is_key = self.key_id == secret.id;
        let verified = hmac::verify(&key, signed.as_bytes(), &self.signature);
        verified.ok().filter(|()| is_key).ok_or(WrongSignature)
    }

    /// The id of the event at `index` of this request when it has none of its own: the same for the same signed
    /// request, and for nothing else. At most 64 characters.
    pub fn event_id(&self, index: usize) -> String {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        let mut hasher = blake3::Hasher::new_derive_key("nilometer access 2026 ids of events of signed requests");
        hasher.update(&index.to_le_bytes()).update(&self.signature).update(self.key_id.as_bytes());
        format!("{EVENT_ID_PREFIX}{}", base64url(hasher.finalize().as_bytes()))
    }
}

impl fmt::Display for SignatureHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t={},k={},v1={}", self.at_s, self.key_id, hex(&self.signature))
    }
}

/// Signs a request as a client does, at a whole second; before 1970 it is that of 1970.
///
/// # Errors
/// [`WrongSignature`] when the method or the target has a line break, which no request has.
pub fn sign(
    secret: &SigningSecret,
    at: Timestamp,
    method: &str,
    target: &str,
    body: &[u8],
) -> Result<SignatureHeader, WrongSignature> {
    let at_s = u64::try_from(at.micros().div_euclid(MICROS_PER_SECOND)).unwrap_or(0);
    let signed = signed_text(at_s, method, target, body).ok_or(WrongSignature)?;
    let key = hmac::Key::new(hmac::HMAC_SHA256, &*secret.bytes);
    let signature = hmac::sign(&key, signed.as_bytes()).as_ref().try_into().map_err(|_| WrongSignature)?;
    Ok(SignatureHeader { at_s, key_id: secret.id.clone(), signature })
}

/// What is signed; none if a line break in a part would make two requests the same text.
fn signed_text(at_s: u64, method: &str, target: &str, body: &[u8]) -> Option<String> {
    if method.contains('\n') || target.contains('\n') {
        return None;
    }
    let body = hex(digest::digest(&digest::SHA256, body).as_ref());
    Some(format!("{at_s}\n{method}\n{target}\n{body}"))
}

fn is_key_id(text: &str) -> bool {
    text.len() == KEY_ID_CHARS && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Why the header cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidSignatureHeader {
    /// Longer than any is.
    #[error("a signature header has at most {HEADER_BYTES_MAX} bytes")]
    Long,
    /// A field that is none of the three, or no field.
    #[error("a signature header has the fields t=, k= and v1=, with commas between them and no space")]
    Field,
    /// A field twice.
    #[error("each field of a signature header stands once")]
    Repeated,
    /// A field is not there.
    #[error("the signature header lacks {0}=")]
    Missing(&'static str),
    /// The time is no number of seconds.
    #[error("t= is the time of signing in whole seconds since 1970")]
    Time,
    /// The id is none.
    #[error("k= is the id of the signing secret: 12 letters and digits")]
    KeyId,
    /// The signature is none.
    #[error("v1= is the signature: 64 hexadecimal digits")]
    Signature,
}

/// Why a signature is not of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureTimeError {
    /// Signed too long ago.
    #[error("the signature is older than {SIGNATURE_AGE_S_MAX} seconds")]
    Old,
    /// Signed in what is the future here.
    #[error("the signature is more than {SIGNATURE_AHEAD_S_MAX} seconds ahead; check the clock")]
    Ahead,
}

/// The signature is not that of this request under this secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the signature is not that of this request")]
pub struct WrongSignature;

#[cfg(test)]
mod tests;
