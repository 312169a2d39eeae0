//! Structured queries.

use crate::queries::{Queries, QueryAnswer};
use crate::{ErrorKind, PortError};
use async_trait::async_trait;
use domain::query::Query;
use domain::tenant::TenantScope;

use super::MemoryLedger;

#[async_trait]
impl Queries for MemoryLedger {
    async fn query(&self, _: &TenantScope, _: &Query) -> Result<QueryAnswer, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }
}
