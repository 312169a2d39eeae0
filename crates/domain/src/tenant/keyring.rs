//! Turns a presented API key into a [`TenantScope`]. Keys are held as hashes and found by their hash, in
//! one step however many there are. What the time of a look-up could tell is about a hash of 256 bits,
//! which leads to no key.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};

use super::{TenantId, TenantScope};

/// Shortest API key, in bytes.
const KEY_BYTES_MIN: usize = 8;
/// Longest API key, in bytes.
const KEY_BYTES_MAX: usize = 512;

/// The keys of all tenants, and what a request without one may do.
#[derive(Debug, Clone, Default)]
pub struct Keyring<S = RandomState> {
    tenants: HashMap<[u8; 32], TenantId, S>,
    anonymous: Option<TenantId>,
}

impl Keyring {
    /// No keys: every request is refused until some are added.
    pub fn new() -> Self {
        Self::default()
    }
}

impl<S: BuildHasher> Keyring<S> {
    /// Gives requests without a key the built-in tenant: the `dev` profile on loopback only.
    #[must_use]
    pub fn with_anonymous_default(mut self) -> Self {
        self.anonymous = Some(TenantId::default_tenant());
        self
    }

    /// Adds `key` for `tenant`.
    ///
    /// # Errors
    /// [`KeyringError`] when the key has an impossible length or belongs to another tenant already.
    pub fn add(&mut self, tenant: TenantId, key: &str) -> Result<(), KeyringError> {
        if !(KEY_BYTES_MIN..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(KeyringError::Length);
        }
        match self.tenants.insert(hash(key), tenant.clone()) {
            Some(other) if other != tenant => Err(KeyringError::Shared),
            _ => Ok(()),
        }
    }

    /// The tenants that have a key or are reachable without one, in order of name.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut all: Vec<_> = self.tenants.values().chain(&self.anonymous).cloned().collect();
        all.sort();
        all.dedup();
        all
    }

    /// The scope that a request with this credential acts in.
    ///
    /// # Errors
    /// [`AuthError`] when there is none.
    pub fn authenticate(&self, presented: Option<&str>) -> Result<TenantScope, AuthError> {
        let Some(key) = presented else {
            let tenant = self.anonymous.clone().ok_or(AuthError::Missing)?;
            return Ok(TenantScope { tenant });
        };
        // Where keys come from the register there are none here, and nothing is hashed for them.
        if self.tenants.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(AuthError::Unknown);
        }
        let known = self.tenants.get(&hash(key));
        known.map(|tenant| TenantScope { tenant: tenant.clone() }).ok_or(AuthError::Unknown)
    }
}

/// Tells the credential of a request from others without being one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CredentialHash([u8; 32]);

impl CredentialHash {
    /// The hash of the key that was presented; that of nothing is all zeros.
    pub fn of(presented: Option<&str>) -> Self {
        Self(presented.map_or([0; 32], hash))
    }

    /// Its first bytes, by which people can tell keys apart.
    pub fn start(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.0;
        [a, b, c, d]
    }

    /// Its bytes.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CredentialHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CredentialHash(secret)")
    }
}

fn hash(key: &str) -> [u8; 32] {
    *blake3::hash(key.as_bytes()).as_bytes()
}

/// Why a key cannot be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// Too short or too long.
    #[error("an API key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes")]
    Length,
    /// Two tenants were given the same key.
    #[error("two tenants share one API key")]
    Shared,
}

/// Why a request has no scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// No credential was presented and none is assumed.
    #[error("no API key: send 'Authorization: Bearer <key>' or 'X-API-Key: <key>'")]
    Missing,
    /// The credential is not known.
    #[error("unknown API key")]
    Unknown,
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;

    /// Counts the look-ups of a map.
    #[derive(Debug, Clone, Default)]
    struct CountingState(RandomState, Rc<Cell<usize>>);

    impl BuildHasher for CountingState {
        type Hasher = <RandomState as BuildHasher>::Hasher;

        fn build_hasher(&self) -> Self::Hasher {
            self.1.set(self.1.get() + 1);
            self.0.build_hasher()
        }
    }

    #[test]
    fn a_key_is_found_by_its_hash_and_not_by_a_scan() {
        let mut keys = Keyring::<CountingState>::default();
        for number in 0..1_000 {
            assert_eq!(keys.add(tenant("a"), &format!("key-of-a-{number}")), Ok(()));
        }
        let lookups = Rc::clone(&keys.tenants.hasher().1);
        lookups.set(0);
        for number in 0..10 {
            assert!(keys.authenticate(Some(&format!("key-of-a-{number}"))).is_ok());
            assert_eq!(keys.authenticate(Some(&format!("key-of-b-{number}"))), Err(AuthError::Unknown));
        }
        assert_eq!(lookups.get(), 20);
    }

    fn tenant(name: &str) -> TenantId {
        TenantId::parse(name).unwrap_or_else(|_| TenantId::default_tenant())
    }

    #[test]
    fn an_empty_keyring_looks_nothing_up() {
        let keys = Keyring::<CountingState>::default();
        assert_eq!(keys.authenticate(Some("key-of-a-1")), Err(AuthError::Unknown));
        assert_eq!(keys.tenants.hasher().1.get(), 0);
    }

    #[test]
    fn a_key_opens_its_own_tenant_only() {
        let mut keys = Keyring::new();
        assert_eq!(keys.add(tenant("a"), "key-of-a-1"), Ok(()));
        assert_eq!(keys.add(tenant("b"), "key-of-b-1"), Ok(()));
        assert_eq!(keys.authenticate(Some("key-of-b-1")).map(|s| s.tenant().clone()), Ok(tenant("b")));
        assert_eq!(keys.authenticate(Some("key-of-c-1")), Err(AuthError::Unknown));
        assert_eq!(keys.authenticate(None), Err(AuthError::Missing));
        assert_eq!(keys.add(tenant("a"), "key-of-b-1"), Err(KeyringError::Shared));
        assert_eq!(keys.add(tenant("a"), "short"), Err(KeyringError::Length));
    }

    #[test]
    fn without_a_key_only_the_dev_profile_has_a_tenant() {
        let keys = Keyring::new().with_anonymous_default();
        assert_eq!(keys.authenticate(None).map(|s| s.tenant().clone()), Ok(TenantId::default_tenant()));
        assert_eq!(keys.authenticate(Some("whatever-key")), Err(AuthError::Unknown));
    }
}
