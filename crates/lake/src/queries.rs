//! Structured queries.

use async_trait::async_trait;
use domain::query::Query;
use domain::tenant::TenantScope;
use ports::queries::{Queries, QueryAnswer};
use ports::{ErrorKind, PortError};

use crate::lake::Lake;

#[async_trait]
impl Queries for Lake {
    async fn query(&self, _: &TenantScope, _: &Query) -> Result<QueryAnswer, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }
}
