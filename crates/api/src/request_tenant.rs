//! The tenant of a request and whether the request changes something, for the layers around its handler:
//! the handler's extractor notes it when it has read the key.

use std::sync::{Arc, OnceLock};

use domain::tenant::TenantId;

/// Whether a request changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// It only reads: its answer may be refused, since asking again does no harm.
    Read,
    /// It changes something: what its answer tells has been done.
    Write,
}

/// The tenant of a request and what the request does, once its handler has read the key.
#[derive(Debug, Clone, Default)]
pub(crate) struct RequestTenant(Arc<OnceLock<(TenantId, Access)>>);

impl RequestTenant {
    /// The tenant, if it is known yet.
    pub(crate) fn tenant(&self) -> Option<&TenantId> {
        self.0.get().map(|(tenant, _)| tenant)
    }

    /// What the request does: a request without a tenant changes nothing.
    pub(crate) fn access(&self) -> Access {
        self.0.get().map_or(Access::Read, |(_, access)| *access)
    }

    /// Notes the tenant of the key, and what the route says that it does.
    pub(crate) fn set(&self, tenant: &TenantId, access: Access) {
        self.0.get_or_init(|| (tenant.clone(), access));
    }
}
