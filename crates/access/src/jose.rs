//! What tokens of one's own and of others have in common: the head is asked for nothing but the name of the key,
//! times are compared with the time that is handed in, and signatures are ring's.
//!
//! jsonwebtoken takes its cryptography from a provider of the whole process. This one knows Ed25519, RS256 and
//! ES256 and nothing else: what is not here cannot be asked for by the head of a token.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::limits::TOKEN_BYTES_MAX;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use jsonwebtoken::crypto::{CryptoProvider, JwtSigner, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::{ErrorKind, Result};
use jsonwebtoken::signature::{Error, Signer, Verifier};
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, DecodingKeyKind, EncodingKey};
use ring::signature::{self, Ed25519KeyPair, RsaPublicKeyComponents, UnparsedPublicKey};
use serde::Deserialize;

/// How far clocks of issuer and verifier may be apart, in seconds.
pub(crate) const LEEWAY_S: i64 = 30;
/// Longest name of a key, in bytes.
pub(crate) const KEY_ID_BYTES_MAX: usize = 128;
/// Longest head of a token as it stands in it, in bytes.
const HEAD_BYTES_MAX: usize = 2_048;

/// Why a token is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// It was one, and its time is over: a new one has to be got.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// It names no key, or none that is in use.
    #[error("the token names no key that is in use here")]
    UnknownKey,
    /// It is not one of this issuer for this audience.
    #[error("the token is not valid here: {0}")]
    Invalid(&'static str),
    /// Its form, its signature or its claims are wrong.
    #[error("the token is not valid here")]
    Refused(#[source] jsonwebtoken::errors::Error),
}

/// When a token is valid, in seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Validity {
    /// When it was issued, if it says so.
    pub(crate) issued_s: Option<i64>,
    /// From when it is valid, if it says so.
    pub(crate) from_s: Option<i64>,
    /// From when it is not.
    pub(crate) until_s: i64,
}

impl Validity {
    /// Whether a token is valid now, clocks being a little apart.
    pub(crate) fn check(&self, now: Timestamp) -> std::result::Result<(), TokenError> {
        let now_s = seconds(now);
        if now_s >= self.until_s.saturating_add(LEEWAY_S) {
            return Err(TokenError::Expired);
        }
        let is_ahead = |at_s: i64| at_s > now_s.saturating_add(LEEWAY_S);
        if self.from_s.is_some_and(is_ahead) || self.issued_s.is_some_and(is_ahead) {
            return Err(TokenError::NotYet);
        }
        Ok(())
    }
}

/// Whole seconds since 1970.
pub(crate) fn seconds(at: Timestamp) -> i64 {
    at.micros().div_euclid(MICROS_PER_SECOND)
}

/// The name of the key in a token's head, which is all that is believed of it.
pub(crate) fn key_id(token: &str) -> std::result::Result<String, TokenError> {
    #[derive(Deserialize)]
    struct Head {
        kid: String,
    }
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid("it is too long"));
    }
    let (head, _) = token.split_once('.').ok_or(TokenError::Invalid("it has not three parts"))?;
    if head.len() > HEAD_BYTES_MAX {
        return Err(TokenError::Invalid("its head is too long"));
    }
    let head = URL_SAFE_NO_PAD.decode(head).map_err(|_| TokenError::Invalid("its head is not base64url"))?;
    let head: Head = serde_json::from_slice(&head).map_err(|_| TokenError::Invalid("its head names no key"))?;
    if head.kid.is_empty() || head.kid.len() > KEY_ID_BYTES_MAX {
        return Err(TokenError::UnknownKey);
    }
    Ok(head.kid)
}

/// Makes ring the cryptography of tokens in this process. To be called before anything is signed or verified.
pub(crate) fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: signer,
        verifier_factory: verifier,
        // These serve only the making of JWKs from private keys, which nothing here does.
        key_utils: KeyUtils::new_unimplemented(),
    };
    if CryptoProvider::try_get_default().is_none() && PROVIDER.install_default().is_err() {
        tracing::debug!("the cryptography of tokens was installed meanwhile");
    }
}

/// Signs with the seed of an Ed25519 key, which is what an encoding key holds here.
fn signer(algorithm: &Algorithm, key: &EncodingKey) -> Result<Box<dyn JwtSigner>> {
    if *algorithm != Algorithm::EdDSA || key.family() != AlgorithmFamily::Ed {
        return Err(ErrorKind::UnsupportedAlgorithm.into());
    }
    let pair = Ed25519KeyPair::from_seed_unchecked(key.as_bytes()).map_err(|_| ErrorKind::InvalidEddsaKey)?;
    Ok(Box::new(Ed25519Signer(pair)))
}

struct Ed25519Signer(Ed25519KeyPair);

impl Signer<Vec<u8>> for Ed25519Signer {
    fn try_sign(&self, message: &[u8]) -> std::result::Result<Vec<u8>, Error> {
        Ok(self.0.sign(message).as_ref().to_vec())
    }
}

impl JwtSigner for Ed25519Signer {
    fn algorithm(&self) -> Algorithm {
        Algorithm::EdDSA
    }
}

/// The algorithm of the head has to be that of the key.
fn verifier(algorithm: &Algorithm, key: &DecodingKey) -> Result<Box<dyn JwtVerifier>> {
    let is_family = algorithm.family() == key.family();
    let verifier = match (algorithm, key.kind()) {
        (Algorithm::EdDSA, DecodingKeyKind::SecretOrDer(point)) => RingVerifier::Ed25519(point.clone()),
        (Algorithm::ES256, DecodingKeyKind::SecretOrDer(point)) => RingVerifier::P256(point.clone()),
        (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
            RingVerifier::Rsa(RsaPublicKeyComponents { n: n.clone(), e: e.clone() })
        }
        _ => return Err(ErrorKind::UnsupportedAlgorithm.into()),
    };
    if is_family { Ok(Box::new(verifier)) } else { Err(ErrorKind::UnsupportedAlgorithm.into()) }
}

enum RingVerifier {
    Ed25519(Vec<u8>),
    P256(Vec<u8>),
    Rsa(RsaPublicKeyComponents<Vec<u8>>),
}

impl Verifier<Vec<u8>> for RingVerifier {
    fn verify(&self, message: &[u8], signature: &Vec<u8>) -> std::result::Result<(), Error> {
        let verified = match self {
            Self::Ed25519(point) => UnparsedPublicKey::new(&signature::ED25519, point).verify(message, signature),
            Self::P256(point) => {
                UnparsedPublicKey::new(&signature::ECDSA_P256_SHA256_FIXED, point).verify(message, signature)
            }
            Self::Rsa(key) => key.verify(&signature::RSA_PKCS1_2048_8192_SHA256, message, signature),
        };
        verified.map_err(|_| Error::new())
    }
}

impl JwtVerifier for RingVerifier {
    fn algorithm(&self) -> Algorithm {
        match self {
            Self::Ed25519(_) => Algorithm::EdDSA,
            Self::P256(_) => Algorithm::ES256,
            Self::Rsa(_) => Algorithm::RS256,
        }
    }
}
