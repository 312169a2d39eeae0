//! The live view in memory.

use std::sync::Arc;

use async_trait::async_trait;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use ports::PortError;
use ports::live::{Live, LiveEvent, LiveWindow};

/// See the module.
#[derive(Debug)]
pub struct MemoryLive {
    retention_sec: u32,
}

impl MemoryLive {
    /// An empty view that keeps `retention_sec` seconds.
    pub fn new(retention_sec: u32) -> Self {
        Self { retention_sec }
    }
}

#[async_trait]
impl Live for MemoryLive {
    fn retention_sec(&self) -> u32 {
        self.retention_sec
    }

    async fn record(&self, _: &TenantId, _: Timestamp, _: &[LiveEvent<'_>]) -> Result<(), PortError> {
        Ok(())
    }

    async fn window(&self, _: &TenantScope, _: Timestamp, _: u32) -> Result<LiveWindow, PortError> {
        Err(PortError::new(ports::ErrorKind::Unavailable, "PLACEHOLDER"))
    }

    async fn set_reference(&self, _: &TenantId, _: Arc<ReferenceTable>) -> Result<(), PortError> {
        Ok(())
    }

    fn bytes(&self) -> u64 {
        0
    }
}
