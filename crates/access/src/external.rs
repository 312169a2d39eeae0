//! Tokens of another issuer: a customer's own sign-in. Its keys are a JWK set (RFC 7517) from a file; nothing is
//! fetched. Says who the issuer says it is, in which workspace and with which role; what that permits is not decided
//! here.
//!
//! The algorithm is that of the key: RS256, ES256 or EdDSA with Ed25519. Keys for other uses or algorithms are passed
//! over, but a symmetric key makes the whole set wrong, since whoever verifies with it could issue as well.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use domain::limits::{TOKEN_BYTES_MAX, TOKEN_KEY_SET_BYTES_MAX, TOKEN_KEYS_MAX, TOKENS_REMEMBERED_MAX};
use domain::time::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, Validation, decode};
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::Value;

use crate::jose::{self, KEY_ID_BYTES_MAX, TokenError, Validity};
use crate::text::{from_base64url, from_base64url_any};

/// Shortest modulus of an RSA key, in bytes.
const RSA_BYTES_MIN: usize = 256;
/// Longest modulus of an RSA key, in bytes.
const RSA_BYTES_MAX: usize = 1_024;
/// Longest exponent of an RSA key, in bytes.
const RSA_EXPONENT_BYTES_MAX: usize = 4;

/// Whose tokens are taken, and where they say what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIssuer {
    /// `iss`, exactly as it stands in the tokens.
    pub issuer: String,
    /// `aud`, or one of its values.
    pub audience: String,
    /// The issuer's keys: a JWK set.
    pub jwks: String,
    /// The claim with the workspace.
    pub workspace_claim: String,
    /// The claim with the role.
    pub role_claim: String,
}

/// What a valid token of another issuer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExternalIdentity {
    /// Who it is, by a name of the issuer's.
    pub subject: String,
    /// The text of the workspace's claim.
    pub workspace: String,
    /// The text of the role's claim.
    pub role: String,
}

/// Why the keys of an issuer cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeySet {
    /// No JWK set at all.
    #[error("the key set is no JWK set: {0}")]
    Form(String),
    /// More than is read.
    #[error("the key set has more than {TOKEN_KEY_SET_BYTES_MAX} bytes or {TOKEN_KEYS_MAX} keys")]
    Large,
    /// A secret, which would let whoever verifies issue tokens.
    #[error("key {0} of the key set is symmetric (kty oct); a key set has public keys only")]
    Symmetric(String),
    /// A private key, which has no place here.
    #[error("key {0} of the key set is a private key; a key set has public keys only")]
    Private(String),
    /// A key that tokens cannot name.
    #[error("key {0} of the key set has no kid of 1 to {KEY_ID_BYTES_MAX} bytes")]
    Nameless(String),
    /// Two keys of one name.
    #[error("two keys of the key set have the kid {0}")]
    Twice(String),
    /// The numbers of a key are not those of its type.
    #[error("key {0} of the key set is no key of its type, or an RSA key of less than 2,048 bits")]
    Unusable(String),
    /// Nothing to verify with.
    #[error("the key set has no key for signatures by RS256, ES256 or EdDSA (Ed25519)")]
    Empty,
}

/// Verifies tokens of one other issuer, and remembers those it has verified. Its keys stay as they are.
pub struct ExternalVerifier {
    issuer: String,
    workspace_claim: String,
    role_claim: String,
    keys: HashMap<String, Key>,
    /// By the hash of the token: to look one up tells nothing of another.
    verified: Cache<[u8; 32], Arc<Verified>>,
}

struct Verified {
    identity: ExternalIdentity,
    validity: Validity,
}

struct Key {
    decoding: DecodingKey,
    validation: Validation,
}

impl ExternalVerifier {
    /// Reads the keys of an issuer.
    ///
    /// # Errors
    /// [`InvalidKeySet`], one sentence for the operator.
    pub fn new(config: &ExternalIssuer) -> Result<Self, InvalidKeySet> {
        jose::install();
        if config.jwks.len() > TOKEN_KEY_SET_BYTES_MAX {
            return Err(InvalidKeySet::Large);
        }
        let set: KeySet = serde_json::from_str(&config.jwks).map_err(|why| InvalidKeySet::Form(why.to_string()))?;
        if set.keys.len() > TOKEN_KEYS_MAX {
            return Err(InvalidKeySet::Large);
        }
        let mut keys = HashMap::new();
        for (place, jwk) in set.keys.iter().enumerate() {
            let name = jwk.kid.clone().unwrap_or_else(|| format!("number {}", place + 1));
            let Some((algorithm, decoding)) = jwk.read(&name)? else { continue };
            if jwk.kid.is_none() || name.is_empty() || name.len() > KEY_ID_BYTES_MAX {
                return Err(InvalidKeySet::Nameless(name));
            }
            let key = Key { decoding, validation: validation(algorithm, config) };
            if keys.insert(name.clone(), key).is_some() {
                return Err(InvalidKeySet::Twice(name));
            }
        }
        if keys.is_empty() {
            return Err(InvalidKeySet::Empty);
        }
        Ok(Self {
            issuer: config.issuer.clone(),
            workspace_claim: config.workspace_claim.clone(),
            role_claim: config.role_claim.clone(),
            keys,
            verified: Cache::new(TOKENS_REMEMBERED_MAX),
        })
    }

    /// Whose tokens it verifies.
    pub(crate) fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Who a token says it is, if it is valid now. One that was verified before costs a look-up; its time is checked
    /// all the same.
    ///
    /// # Errors
    /// [`TokenError`].
    pub fn verify(&self, token: &str, now: Timestamp) -> Result<ExternalIdentity, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Invalid("it is too long"));
        }
        let hash = *blake3::hash(token.as_bytes()).as_bytes();
        let verified = match self.verified.get(&hash) {
            Some(known) => known,
            None => {
                let read = Arc::new(self.read(token)?);
                // Remembered before its time is checked: a token that is not valid yet will be.
                self.verified.insert(hash, Arc::clone(&read));
                read
            }
        };
        verified.validity.check(now)?;
        Ok(verified.identity.clone())
    }

    /// Everything but the time.
    fn read(&self, token: &str) -> Result<Verified, TokenError> {
        let key = self.keys.get(&jose::key_id(token)?).ok_or(TokenError::UnknownKey)?;
        let read = decode::<Claims>(token, &key.decoding, &key.validation).map_err(TokenError::Refused)?;
        let claims = read.claims.0;
        let text = |name: &str, otherwise| match claims.get(name) {
            Some(Value::String(text)) if !text.is_empty() => Ok(text.clone()),
            _ => Err(TokenError::Invalid(otherwise)),
        };
        // jsonwebtoken also takes a list with the issuer in it.
        if text("iss", "it names no issuer")? != self.issuer {
            return Err(TokenError::Invalid("it is of another issuer"));
        }
        let until_s = time(&claims, "exp")?.ok_or(TokenError::Invalid("it has no end"))?;
        let identity = ExternalIdentity {
            subject: text("sub", "it names no subject")?,
            workspace: text(&self.workspace_claim, "it names no workspace")?,
            role: text(&self.role_claim, "it names no role")?,
        };
        let validity = Validity { issued_s: time(&claims, "iat")?, from_s: time(&claims, "nbf")?, until_s };
        Ok(Verified { identity, validity })
    }
}

impl fmt::Debug for ExternalVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalVerifier").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

fn validation(algorithm: Algorithm, config: &ExternalIssuer) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.set_issuer(&[&config.issuer]);
    validation.set_audience(&[&config.audience]);
    // `exp` is required by what reads it here, as a time may have a fraction.
    validation.set_required_spec_claims(&["iss", "aud", "sub"]);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation
}

/// A time of the claims in whole seconds, rounded down, if it is there. A number with a fraction is one (RFC 7519).
fn time(claims: &HashMap<String, Value>, name: &str) -> Result<Option<i64>, TokenError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_i64().or_else(|| {
        let whole = value.as_f64()?.floor();
        #[expect(clippy::cast_possible_truncation, reason = "below 2^53, where every whole number is exact")]
        (whole.abs() < 9e15).then_some(whole as i64)
    });
    whole.map(Some).ok_or(TokenError::Invalid("one of its times is none"))
}

/// The claims of a token, each once.
struct Claims(HashMap<String, Value>);

impl<'de> Deserialize<'de> for Claims {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Once;
        impl<'de> Visitor<'de> for Once {
            type Value = Claims;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("claims")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Claims, A::Error> {
                let mut claims = HashMap::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    if claims.insert(name, value).is_some() {
                        return Err(A::Error::custom("a claim stands twice"));
                    }
                }
                Ok(Claims(claims))
            }
        }
        deserializer.deserialize_map(Once)
    }
}

#[derive(Deserialize)]
struct KeySet {
    keys: Vec<Jwk>,
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    d: Option<serde::de::IgnoredAny>,
}

impl Jwk {
    /// The key, if it is one for signatures by an algorithm that is known here.
    fn read(&self, name: &str) -> Result<Option<(Algorithm, DecodingKey)>, InvalidKeySet> {
        if self.kty == "oct" {
            return Err(InvalidKeySet::Symmetric(name.to_owned()));
        }
        if self.d.is_some() {
            return Err(InvalidKeySet::Private(name.to_owned()));
        }
        if self.usage.as_deref().is_some_and(|usage| usage != "sig") {
            return Ok(None);
        }
        let is_alg = |own: &[&str]| self.alg.as_deref().is_none_or(|alg| own.contains(&alg));
        let (algorithm, key) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) if is_alg(&["RS256"]) => (Algorithm::RS256, self.rsa()),
            ("EC", Some("P-256")) if is_alg(&["ES256"]) => (Algorithm::ES256, self.p256()),
            ("OKP", Some("Ed25519")) if is_alg(&["EdDSA", "Ed25519"]) => (Algorithm::EdDSA, self.ed25519()),
            _ => return Ok(None),
        };
        key.map(|key| Some((algorithm, key))).ok_or_else(|| InvalidKeySet::Unusable(name.to_owned()))
    }

    fn rsa(&self) -> Option<DecodingKey> {
        let number = |text: &Option<String>| {
            let bytes = from_base64url_any(text.as_deref()?)?;
            // Some libraries write a sign before the number.
            Some(bytes.into_iter().skip_while(|byte| *byte == 0).collect::<Vec<u8>>())
        };
        let (n, e) = (number(&self.n)?, number(&self.e)?);
        let is_sized = (RSA_BYTES_MIN..=RSA_BYTES_MAX).contains(&n.len()) && n.first().is_some_and(|top| *top >= 128);
        let is_odd = e.last().is_some_and(|low| low % 2 == 1) && e != [1];
        (is_sized && is_odd && e.len() <= RSA_EXPONENT_BYTES_MAX).then(|| DecodingKey::from_rsa_raw_components(&n, &e))
    }

    fn p256(&self) -> Option<DecodingKey> {
        let (x, y) = (from_base64url::<32>(self.x.as_deref()?)?, from_base64url::<32>(self.y.as_deref()?)?);
        Some(DecodingKey::from_ec_der(&[&[4], x.as_slice(), &y].concat()))
    }

    fn ed25519(&self) -> Option<DecodingKey> {
        from_base64url::<32>(self.x.as_deref()?).map(|x| DecodingKey::from_ed_der(&x))
    }
}

#[cfg(test)]
mod tests;
