//! Access tokens: JWTs (RFC 7519) signed with Ed25519, valid for 15 minutes, with exactly the claims `iss`, `aud`,
//! `sub` (the user), `sid` (the session), `iat`, `nbf` and `exp`. One key signs; keys of before verify until the
//! last token they signed has expired.
//!
//! Of a token's head only the name of the key is believed, and only as a name to look up. A token says that it was
//! issued, not that its session still runs: that is for the caller to know.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use domain::limits::{TOKEN_BYTES_MAX, TOKEN_KEYS_MAX, TOKENS_REMEMBERED_MAX};
use domain::time::{MICROS_PER_SECOND, Timestamp};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use parking_lot::RwLock;
use quick_cache::sync::Cache;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::jose::{self, KEY_ID_BYTES_MAX, LEEWAY_S, Validity, seconds};
use crate::random::{self, NoRandomness};
use crate::text::{base64url, from_base64url};

pub use crate::jose::TokenError;

/// How long a token is valid, in seconds.
pub const ACCESS_TOKEN_S: i64 = 15 * 60;

/// Bytes of an Ed25519 seed, and of a public key.
const KEY_BYTES: usize = 32;
/// What a token's head says it is.
const TOKEN_TYPE: &str = "JWT";

/// The key is none that tokens can be signed or verified with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTokenKey {
    /// Its name.
    #[error("the name of a token key has 1 to {KEY_ID_BYTES_MAX} letters, digits, hyphens or underscores")]
    Name,
    /// Its bytes.
    #[error("a token key is a seed of {KEY_BYTES} bytes")]
    Seed,
    /// Two keys of one name.
    #[error("two token keys have the same name")]
    Twice,
    /// More than may be.
    #[error("there are at most {TOKEN_KEYS_MAX} token keys")]
    Many,
}

/// A key that signs tokens; its seed is wiped when dropped.
pub struct TokenKey {
    seed: Zeroizing<[u8; KEY_BYTES]>,
    public: PublicTokenKey,
}

impl TokenKey {
    /// A new key. Its name is made from it, so that no two keys have the same.
    ///
    /// # Errors
    /// [`NoRandomness`] when the operating system gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let seed = Zeroizing::new(random::bytes::<KEY_BYTES>()?);
        let public = public_key(&seed).ok_or(NoRandomness)?;
        let kid = base64url(&blake3::hash(&public).as_bytes()[..12]);
        Ok(Self { seed, public: PublicTokenKey { kid, bytes: public, retired_at: None } })
    }

    /// The key that was stored as its name and its seed.
    ///
    /// # Errors
    /// [`InvalidTokenKey`] when the name or the seed is none.
    pub fn from_seed(kid: &str, seed: &[u8]) -> Result<Self, InvalidTokenKey> {
        let seed = Zeroizing::new(<[u8; KEY_BYTES]>::try_from(seed).map_err(|_| InvalidTokenKey::Seed)?);
        let public = public_key(&seed).ok_or(InvalidTokenKey::Seed)?;
        Ok(Self { seed, public: PublicTokenKey::new(kid, public)? })
    }

    /// The seed, to be wrapped and stored.
    pub fn seed(&self) -> &[u8; KEY_BYTES] {
        &self.seed
    }

    /// What verifies its tokens.
    pub fn public(&self) -> &PublicTokenKey {
        &self.public
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("kid", &self.public.kid).finish_non_exhaustive()
    }
}

fn public_key(seed: &[u8; KEY_BYTES]) -> Option<[u8; KEY_BYTES]> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok()?.public_key().as_ref().try_into().ok()
}

/// The half of a key that verifies tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicTokenKey {
    kid: String,
    bytes: [u8; KEY_BYTES],
    retired_at: Option<Timestamp>,
}

impl PublicTokenKey {
    /// The key that was stored as its name and its bytes.
    ///
    /// # Errors
    /// [`InvalidTokenKey::Name`] when the name is none.
    pub fn new(kid: &str, bytes: [u8; KEY_BYTES]) -> Result<Self, InvalidTokenKey> {
        let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        if !(1..=KEY_ID_BYTES_MAX).contains(&kid.len()) || !kid.bytes().all(is_allowed) {
            return Err(InvalidTokenKey::Name);
        }
        Ok(Self { kid: kid.to_owned(), bytes, retired_at: None })
    }

    /// This key once it signs no more, which has been so since `at`.
    #[must_use]
    pub fn retired(mut self, at: Timestamp) -> Self {
        self.retired_at = Some(at);
        self
    }

    /// Its name, `kid` in the head of its tokens.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The bare operation under every verification of a token, prepared so that it can be repeated and timed: whether
    /// this key signed the token. `None` when the text is no token.
    pub fn bare_verification<'a>(&'a self, token: &'a str) -> Option<impl Fn() -> bool + 'a> {
        let (message, signature) = token.rsplit_once('.')?;
        let signature = from_base64url::<64>(signature)?;
        Some(move || UnparsedPublicKey::new(&ED25519, &self.bytes).verify(message.as_bytes(), &signature).is_ok())
    }

    /// Whether a token of it may still be valid.
    fn is_in_use(&self, now: Timestamp) -> bool {
        self.retired_at.is_none_or(|at| seconds(now) < seconds(at).saturating_add(ACCESS_TOKEN_S + LEEWAY_S))
    }
}

/// Who issues tokens, and for whom they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenNames {
    /// `iss`.
    pub issuer: String,
    /// `aud`.
    pub audience: String,
}

/// A token, and when it ends.
#[derive(Clone, PartialEq, Eq)]
pub struct IssuedToken {
    /// What the client sends.
    pub text: String,
    /// From when it is not valid.
    pub expires_at: Timestamp,
}

impl fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuedToken").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Signs tokens.
#[derive(Debug)]
pub struct TokenIssuer {
    names: TokenNames,
    header: Header,
    key: EncodingKey,
}

impl TokenIssuer {
    /// Signs with this key.
    pub fn new(names: TokenNames, key: &TokenKey) -> Self {
        jose::install();
        let header = Header { kid: Some(key.public.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        Self { names, header, key: EncodingKey::from_ed_der(&*key.seed) }
    }

    /// A token for a session of a user.
    ///
    /// # Errors
    /// [`TokenError::Invalid`] when the ids are so long that no one would take the token, [`TokenError::Refused`]
    /// when it cannot be signed.
    pub fn issue(&self, user_id: &str, session_id: &str, now: Timestamp) -> Result<IssuedToken, TokenError> {
        let now_s = seconds(now);
        let claims = Claims {
            iss: self.names.issuer.clone(),
            aud: self.names.audience.clone(),
            sub: user_id.to_owned(),
            sid: session_id.to_owned(),
            iat: now_s,
            nbf: now_s,
            exp: now_s.saturating_add(ACCESS_TOKEN_S),
        };
        let text = encode(&self.header, &claims, &self.key).map_err(TokenError::Refused)?;
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        Ok(IssuedToken { text, expires_at: instant(claims.exp) })
    }
}

/// What a valid token says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    /// Whose it is.
    pub user_id: String,
    /// In which session it was issued.
    pub session_id: String,
    /// When it was issued.
    pub issued_at: Timestamp,
    /// From when it is not valid.
    pub expires_at: Timestamp,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    sid: String,
    iat: i64,
    nbf: i64,
    exp: i64,
}

/// Verifies tokens, and remembers those it has verified.
#[derive(Debug)]
pub struct TokenVerifier {
    validation: Validation,
    keys: RwLock<Arc<Keys>>,
    /// By the hash of the token: to look one up tells nothing of another.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

type Keys = HashMap<String, Key>;

#[derive(Debug)]
struct Key {
    public: PublicTokenKey,
    decoding: DecodingKey,
}

#[derive(Debug)]
struct Verified {
    token: Arc<AccessToken>,
    validity: Validity,
    kid: String,
    key: [u8; KEY_BYTES],
}

impl TokenVerifier {
    /// Takes tokens of these names under any of these keys.
    ///
    /// # Errors
    /// [`InvalidTokenKey`] when two keys have one name, or there are more than may be.
    pub fn new(names: &TokenNames, keys: &[PublicTokenKey]) -> Result<Self, InvalidTokenKey> {
        jose::install();
        let mut validation = Validation::new(Algorithm::EdDSA);
        validation.set_issuer(&[&names.issuer]);
        validation.set_audience(&[&names.audience]);
        validation.set_required_spec_claims(&["exp", "nbf", "iss", "aud", "sub"]);
        // It would ask the machine for the time; it is compared here.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        let verified = Cache::new(TOKENS_REMEMBERED_MAX);
        Ok(Self { validation, keys: RwLock::new(Arc::new(by_name(keys)?)), verified })
    }

    /// Takes these keys from now on, and no others: tokens of keys that are gone are no longer valid.
    ///
    /// # Errors
    /// [`InvalidTokenKey`] when two keys have one name, or there are more than may be; the keys stay as they were.
    pub fn replace_keys(&self, keys: &[PublicTokenKey]) -> Result<(), InvalidTokenKey> {
        *self.keys.write() = Arc::new(by_name(keys)?);
        Ok(())
    }

    /// What a token says, if it is valid now. One that was verified before costs a look-up; its time and its key
    /// are checked all the same.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        if let Some(known) = self.verified.get(&hash) {
            let keys = Arc::clone(&self.keys.read());
            if keys.get(&known.kid).is_some_and(|key| key.public.bytes == known.key) {
                return known.check(&keys, now);
            }
            self.verified.remove(&hash);
        }
        let verified = Arc::new(self.read(token)?);
        // Remembered before its time is checked: a token that is not valid yet will be.
        self.verified.insert(hash, Arc::clone(&verified));
        verified.check(&self.keys.read(), now)
    }

    /// As [`TokenVerifier::verify`], without looking up or remembering the token.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify_anew(&self, token: &str, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        self.read(token)?.check(&self.keys.read(), now)
    }

    /// The keys that verify tokens, as a JWK set (RFC 7517, RFC 8037) in order of name: a JSON text for other
    /// services.
    pub fn jwks(&self, now: Timestamp) -> String {
        let keys = Arc::clone(&self.keys.read());
        let mut in_use: Vec<_> = keys.values().map(|key| &key.public).filter(|key| key.is_in_use(now)).collect();
        in_use.sort_by(|one, other| one.kid.cmp(&other.kid));
        let in_use: Vec<_> = in_use.into_iter().map(Jwk::of).collect();
        serde_json::json!({ "keys": in_use }).to_string()
    }

    /// Everything but the time.
    fn read(&self, token: &str) -> Result<Verified, TokenError> {
        let kid = jose::key_id(token)?;
        let keys = Arc::clone(&self.keys.read());
        let key = keys.get(&kid).ok_or(TokenError::UnknownKey)?;
        let read = decode::<Claims>(token, &key.decoding, &self.validation).map_err(TokenError::Refused)?;
        if read.header.typ.as_deref() != Some(TOKEN_TYPE) {
            return Err(TokenError::Invalid("it is of another type"));
        }
        let claims = read.claims;
        if claims.exp.saturating_sub(claims.iat) > ACCESS_TOKEN_S {
            return Err(TokenError::Invalid("it is valid for too long"));
        }
        let validity = Validity { issued_s: Some(claims.iat), from_s: Some(claims.nbf), until_s: claims.exp };
        let token = Arc::new(AccessToken {
            user_id: claims.sub,
            session_id: claims.sid,
            issued_at: instant(claims.iat),
            expires_at: instant(claims.exp),
        });
        Ok(Verified { token, validity, kid, key: key.public.bytes })
    }
}

impl Verified {
    /// Whether the token is valid now, and so is its key.
    fn check(&self, keys: &Keys, now: Timestamp) -> Result<Arc<AccessToken>, TokenError> {
        let key = keys.get(&self.kid).filter(|key| key.public.bytes == self.key).ok_or(TokenError::UnknownKey)?;
        if !key.public.is_in_use(now) {
            return Err(TokenError::UnknownKey);
        }
        let retired_s = key.public.retired_at.map(seconds);
        let is_of_before = |retired_s: i64| self.validity.issued_s.is_some_and(|at_s| at_s <= retired_s);
        if !retired_s.is_none_or(is_of_before) {
            return Err(TokenError::UnknownKey);
        }
        self.validity.check(now)?;
        Ok(Arc::clone(&self.token))
    }
}

#[derive(Serialize)]
struct Jwk<'a> {
    kty: &'static str,
    crv: &'static str,
    alg: &'static str,
    #[serde(rename = "use")]
    usage: &'static str,
    kid: &'a str,
    x: String,
}

impl<'a> Jwk<'a> {
    fn of(key: &'a PublicTokenKey) -> Self {
        Self { kty: "OKP", crv: "Ed25519", alg: "EdDSA", usage: "sig", kid: &key.kid, x: base64url(&key.bytes) }
    }
}

fn by_name(keys: &[PublicTokenKey]) -> Result<Keys, InvalidTokenKey> {
    if keys.len() > TOKEN_KEYS_MAX {
        return Err(InvalidTokenKey::Many);
    }
    let mut named = Keys::with_capacity(keys.len());
    for public in keys {
        let key = Key { public: public.clone(), decoding: DecodingKey::from_ed_der(&public.bytes) };
        if named.insert(public.kid.clone(), key).is_some() {
            return Err(InvalidTokenKey::Twice);
        }
    }
    Ok(named)
}

fn instant(seconds: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(MICROS_PER_SECOND))
}

#[cfg(test)]
mod tests;
