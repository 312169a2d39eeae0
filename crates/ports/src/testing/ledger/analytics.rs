//! Sums over a range of time.

use crate::analytics::{Analytics, Summary};
use crate::{ErrorKind, PortError};
use async_trait::async_trait;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::TenantScope;
use domain::time::TimeRange;

use super::MemoryLedger;

#[async_trait]
impl Analytics for MemoryLedger {
    async fn top_types(
        &self,
        _: &TenantScope,
        _: TimeRange,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }

    async fn summary(&self, _: &TenantScope, _: &str, _: TimeRange, _: usize) -> Result<Option<Summary>, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }

    async fn series(&self, _: &TenantScope, _: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        Err(PortError::new(ErrorKind::Unavailable, "PLACEHOLDER"))
    }
}
