//! Names of ids for deduplication: (tenant, scheme, id) → a keyed hash of 128 bits. The hash is keyed with a secret of
//! the ledger, so no client can make two ids collide (ADR 0005). A hash is what both ledgers know an id by.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use crate::event::{EventId, IdScheme};
use crate::tenant::TenantId;

/// Hash of a tenant's event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct IdHash(
    /// The hash.
    pub u128,
);

/// Hashes ids with one secret.
#[derive(Debug, Clone)]
pub struct IdHasher {
    keyed: SipHasher13,
}

impl IdHasher {
    /// A hasher with this secret.
    pub fn new(key: &[u8; 16]) -> Self {
        Self { keyed: SipHasher13::new_with_key(key) }
    }

    /// A hasher for the ids of one tenant. The tenant's length goes first, so that no tenant's id
    /// can continue into another's (I5).
    pub fn of_tenant(&self, tenant: &TenantId) -> TenantIdHasher {
        let mut keyed = self.keyed;
        keyed.write_usize(tenant.as_str().len());
        keyed.write(tenant.as_str().as_bytes());
        TenantIdHasher { keyed }
    }
}

/// Hashes the ids of one tenant.
#[derive(Debug, Clone)]
pub struct TenantIdHasher {
    keyed: SipHasher13,
}

impl TenantIdHasher {
    /// The hash of a name or of a client's own id.
    pub fn hash(&self, id: &str) -> IdHash {
        self.hash_id(EventId::native(id))
    }

    /// The hash of an id. A byte that no text holds stands before the scheme, so that no native id can
    /// equal one of another scheme.
    pub fn hash_id(&self, id: EventId<'_>) -> IdHash {
        let mut keyed = self.keyed;
        if id.scheme != IdScheme::Native {
            keyed.write(&[0xFF, id.scheme.code()]);
        }
        keyed.write(id.text.as_bytes());
        IdHash(keyed.finish128().as_u128())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_of_different_tenants_differ() {
        let hasher = IdHasher::new(&[7; 16]);
        let of = |tenant: &str, id: &str| TenantId::parse(tenant).ok().map(|t| hasher.of_tenant(&t).hash(id));
        assert_eq!(of("a", "x"), of("a", "x"));
        assert_ne!(of("a", "x"), of("b", "x"), "I5: one id, two tenants");
        assert_ne!(of("ab", "c"), of("a", "bc"), "I5: the boundary counts");
        let other = IdHasher::new(&[8; 16]);
        let same = TenantId::parse("a").ok().map(|t| other.of_tenant(&t).hash("x"));
        assert_ne!(of("a", "x"), same, "the secret counts");
    }
}
