//! Exact deduplication: (tenant, event id) → 128-bit keyed hash → first sighting. The hash is keyed
//! with a secret of the folder, so no client can make two ids collide (ADR 0005). Ids that are not
//! flushed stand in the memtable, flushed ones in sorted runs with a filter each; both are exact.

mod run;

use std::hash::Hasher;

use domain::event::{EventId, IdScheme};
use domain::payload::PayloadHash;
use domain::position::Position;
use domain::tenant::TenantId;
use siphasher::sip128::{Hasher128, SipHasher13};

pub(crate) use run::{IdLookup, IdRecord, IdRun, IdRunWriter};

/// Hash of a tenant's event id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct IdHash(pub(crate) u128);

/// The first sighting of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FirstSeen {
    /// Where it stands in the journal.
    pub(crate) position: Position,
    /// Hash of what the client sent.
    pub(crate) payload: PayloadHash,
}

/// Hashes ids with the folder's secret.
#[derive(Debug, Clone)]
pub(crate) struct IdHasher {
    keyed: SipHasher13,
}

impl IdHasher {
    pub(crate) fn new(key: &[u8; 16]) -> Self {
        Self { keyed: SipHasher13::new_with_key(key) }
    }

    /// A hasher for the ids of one tenant. The tenant's length goes first, so that no tenant's id
    /// can continue into another's (I5).
    pub(crate) fn of_tenant(&self, tenant: &TenantId) -> TenantIdHasher {
        let mut keyed = self.keyed;
        keyed.write_usize(tenant.as_str().len());
        keyed.write(tenant.as_str().as_bytes());
        TenantIdHasher { keyed }
    }
}

/// Hashes the ids of one tenant.
#[derive(Debug, Clone)]
pub(crate) struct TenantIdHasher {
    keyed: SipHasher13,
}

impl TenantIdHasher {
    /// The hash of a name or of a client's own id.
    pub(crate) fn hash(&self, id: &str) -> IdHash {
        self.hash_id(EventId::native(id))
    }

    /// The hash of an id. A byte that no text holds stands before the scheme, so that no native id can
    /// equal one of another scheme.
    pub(crate) fn hash_id(&self, id: EventId<'_>) -> IdHash {
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
