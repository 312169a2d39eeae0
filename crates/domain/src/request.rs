//! The key with which a client makes a whole request safe to repeat, and what is made of it with the
//! folder's secret: the name under which the request is remembered, the hash of its body, and ids for those
//! of its events that have none. Neither the key nor the credential is stored.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128, SipHasher13 as WideHasher};

use crate::limits::IDEMPOTENCY_KEY_BYTES_MAX;
use crate::payload::{HashRule, PayloadHash};
use crate::tenant::{CredentialHash, TenantId};

/// A client's key for one request. Two requests have the same only when they came to the same route with
/// the same credential.
#[derive(Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    credential: CredentialHash,
    route: String,
    key: String,
}

impl fmt::Debug for IdempotencyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdempotencyKey").field("route", &self.route).finish_non_exhaustive()
    }
}

/// The text is no key of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, without spaces")]
pub struct InvalidIdempotencyKey;

impl IdempotencyKey {
    /// The key `key` of a request to `route`.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] when the key is empty, too long, or holds anything but visible ASCII.
    pub fn new(credential: CredentialHash, route: &str, key: &[u8]) -> Result<Self, InvalidIdempotencyKey> {
        Ok(Self { credential, route: route.to_owned(), key: Self::check(key)?.to_owned() })
    }

    /// The text of a key, if it may be one.
    ///
    /// # Errors
    /// [`InvalidIdempotencyKey`] when it is empty, too long, or holds anything but visible ASCII.
    pub fn check(key: &[u8]) -> Result<&str, InvalidIdempotencyKey> {
        let fits = (1..=IDEMPOTENCY_KEY_BYTES_MAX).contains(&key.len()) && key.iter().all(u8::is_ascii_graphic);
        std::str::from_utf8(key).ok().filter(|_| fits).ok_or(InvalidIdempotencyKey)
    }
}

/// Names requests, hashes their bodies and numbers their events, all with the secret of one folder.
#[derive(Clone, Copy)]
pub struct RequestHasher {
    names: WideHasher,
    ids: WideHasher,
    bodies: SipHasher13,
}

impl fmt::Debug for RequestHasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RequestHasher(secret)")
    }
}

impl RequestHasher {
    /// A hasher with this secret.
    pub fn new(secret: &[u8; 16]) -> Self {
        let wide = |purpose: &[u8; 8]| {
            let mut keyed = WideHasher::new_with_key(secret);
            keyed.write(purpose);
            keyed
        };
        let mut bodies = SipHasher13::new_with_key(secret);
        bodies.write(b"request\0");
        Self { names: wide(b"request\0"), ids: wide(b"inreq\0\0\0"), bodies }
    }

    /// The text under which the request is remembered: 32 hexadecimal digits, which nobody can guess or lead
    /// back to the key.
    pub fn name(&self, tenant: &TenantId, key: &IdempotencyKey) -> String {
        let mut keyed = self.names;
        for part in [tenant.as_str().as_bytes(), key.credential.bytes(), key.route.as_bytes(), key.key.as_bytes()] {
            keyed.write_u64(part.len() as u64);
            keyed.write(part);
        }
        format!("{:032x}", keyed.finish128().as_u128())
    }

    /// The hash of a decoded body. Its media type says how it is read, so it counts; parameters do not.
    pub fn body(&self, content_type: Option<&str>, body: &[u8]) -> PayloadHash {
        let media = content_type.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        let mut keyed = self.bodies;
        keyed.write_u64(media.len() as u64);
        keyed.write(media.to_ascii_lowercase().as_bytes());
        keyed.write(body);
        PayloadHash { rule: HashRule::RequestBody, hash: keyed.finish() }
    }

    /// The id of the event at `index` in the body of the request with this name, if the client gave it none.
    /// The client cannot foresee it; sent again as an id, it is that very event.
    pub fn event_id(&self, name: &str, index: usize) -> String {
        let mut keyed = self.ids;
        keyed.write(name.as_bytes());
        keyed.write_u64(index as u64);
        format!("ik_{:032x}", keyed.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::panic, reason = "tests")]

    use super::*;

    fn key(credential: &str, route: &str, key: &str) -> IdempotencyKey {
        IdempotencyKey::new(CredentialHash::of(Some(credential)), route, key.as_bytes()).unwrap_or_else(|why| {
            panic!("{key:?}: {why}");
        })
    }

    #[test]
    fn tenant_credential_route_key_and_secret_all_count_and_no_part_runs_into_the_next() {
        let hasher = RequestHasher::new(&[7; 16]);
        let [one, two] =
            ["one", "two"].map(|name| TenantId::parse(name).unwrap_or_else(|_| TenantId::default_tenant()));
        let name = hasher.name(&one, &key("credential", "/v1/events", "k"));
        assert_eq!(name, hasher.name(&one, &key("credential", "/v1/events", "k")));
        assert_eq!(name.len(), 32);
        for other in [
            hasher.name(&two, &key("credential", "/v1/events", "k")),
            hasher.name(&one, &key("another-one", "/v1/events", "k")),
            hasher.name(&one, &key("credential", "/v1/ingest", "k")),
            hasher.name(&one, &key("credential", "/v1/events", "K")),
            hasher.name(&one, &key("credential", "/v1/event", "sk")),
            RequestHasher::new(&[8; 16]).name(&one, &key("credential", "/v1/events", "k")),
        ] {
            assert_ne!(name, other);
        }
        let anonymous = IdempotencyKey { credential: CredentialHash::of(None), ..key("credential", "/v1/events", "k") };
        assert_ne!(name, hasher.name(&one, &anonymous));
    }

    #[test]
    fn a_key_has_1_to_255_visible_ascii_characters() {
        let parse = |key: &[u8]| IdempotencyKey::new(CredentialHash::of(None), "/", key).is_ok();
        for good in [&b"a"[..], b"!~", &[b'x'; 255], b"\"quoted\"", b"0b6c1f0e-6c0d-4f0e-9a52-3f6f0d1f2a11"] {
            assert!(parse(good), "{good:?}");
        }
        for bad in [&b""[..], &[b'x'; 256], b"a b", b" a", b"\t", b"\x7f", "\u{e4}".as_bytes(), b"\xff"] {
            assert!(!parse(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_body_is_its_bytes_and_its_media_type() {
        let hasher = RequestHasher::new(&[7; 16]);
        let body = |media, bytes: &str| hasher.body(media, bytes.as_bytes());
        assert_eq!(body(Some("application/json"), "{}"), body(Some("Application/JSON; charset=utf-8"), "{}"));
        assert_ne!(body(Some("application/json"), "{}"), body(Some("application/x-ndjson"), "{}"));
        assert_ne!(body(Some("application/json"), "{}"), body(None, "{}"));
        assert_ne!(body(None, "{}"), body(None, "{} "));
    }

    #[test]
    fn events_of_one_request_have_ids_of_their_own() {
        let hasher = RequestHasher::new(&[7; 16]);
        assert_eq!(hasher.event_id("a", 0), hasher.event_id("a", 0));
        assert_ne!(hasher.event_id("a", 0), hasher.event_id("a", 1));
        assert_ne!(hasher.event_id("a", 0), hasher.event_id("b", 0));
    }
}
