//! Whose data it is. A [`TenantScope`] is the only way to reach tenant data (I5). For a request
//! authentication makes it; [`TenantScope::for_operator`] makes one only at the places that the rule
//! about it in `xtask tidy` lists.

mod keyring;

use std::fmt;
use std::sync::Arc;

pub use keyring::{AuthError, CredentialHash, Keyring, KeyringError};

use crate::limits::NAME_BYTES_MAX;

/// The name of a tenant: 1 to 256 bytes of printable text without spaces, `:`, `,` or `/`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TenantId(Arc<str>);

impl TenantId {
    /// The tenant that the `dev` profile gives a request without a key.
    pub fn default_tenant() -> Self {
        Self(Arc::from("default"))
    }

    /// Whose turn it is where tenants take turns and the operator of the server asks. No tenant can be called so.
    pub fn server() -> Self {
        Self(Arc::from("server:"))
    }

    /// Reads a tenant's name.
    ///
    /// # Errors
    /// A sentence that says what a name may be.
    pub fn parse(text: &str) -> Result<Self, InvalidTenant> {
        let allowed = |c: char| !c.is_whitespace() && !c.is_control() && !matches!(c, ':' | ',' | '/');
        if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.chars().all(allowed) {
            return Err(InvalidTenant);
        }
        Ok(Self(Arc::from(text)))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The text is no tenant name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a tenant name has 1 to {NAME_BYTES_MAX} bytes without spaces, control characters, ':', ',' or '/'")]
pub struct InvalidTenant;

/// The right to read and write one tenant's data, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TenantScope {
    tenant: TenantId,
}

impl TenantScope {
    /// The scope of the one who holds the data folder itself: commands on a stopped server, its verification,
    /// recounts in the background, and tests. `xtask tidy` lists the places of this call and keeps it out of
    /// everything that answers requests.
    pub fn for_operator(tenant: TenantId) -> Self {
        Self { tenant }
    }

    /// The scope that a credential opens; only authentication calls it.
    pub(crate) fn granted(tenant: TenantId) -> Self {
        Self { tenant }
    }

    /// The tenant.
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }
}
