//! The memory twin of the catalog and the reference tables, and the suites that it and every adapter run. The twin
//! is the oracle: plain maps under one lock. It keeps what a disk would keep, so that [`MemoryCatalog::reopen`]
//! plays a restart, and it fails on demand as a disk would.

mod conformance;

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::Mutex;

use super::manifest::FaultPoint;
use crate::active_users::VersionedZone;
use crate::catalog::{Catalog, Tenant, TenantSettings};
use crate::references::References;
use crate::{ErrorKind, PortError};

pub use conformance::{catalog_conformance, references_conformance};

/// A catalog and store of reference tables in memory.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    disk: Arc<Mutex<Disk>>,
    process: Mutex<Process>,
}

/// What survives a restart.
#[derive(Debug, Default)]
struct Disk {
    tenants: BTreeMap<TenantId, Tenant>,
    settings: BTreeMap<TenantId, TenantSettings>,
    wanted_zones: BTreeMap<TenantId, VersionedZone>,
    references: BTreeMap<TenantId, Arc<ReferenceTable>>,
}

/// What does not.
#[derive(Debug, Default)]
struct Process {
    fault: Option<FaultPoint>,
    poisoned: bool,
    calls: u64,
}

impl MemoryCatalog {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// This store after a restart: what was stored is there, and it takes writes again.
    #[must_use]
    pub fn reopen(&self) -> Self {
        Self { disk: Arc::clone(&self.disk), process: Mutex::default() }
    }

    /// How often this process has asked the store for anything.
    pub fn calls(&self) -> u64 {
        self.process.lock().calls
    }

    /// Lets the next write fail there, once.
    pub fn fail_next(&self, point: FaultPoint) {
        self.process.lock().fault = Some(point);
    }

    /// Runs one write, which changes all or nothing, with the faults asked for.
    fn write(&self, change: impl FnOnce(&mut Disk) -> Result<(), PortError>) -> Result<(), PortError> {
        let mut process = self.process.lock();
        process.calls += 1;
        if process.poisoned {
            return Err(PortError::new(ErrorKind::Poisoned, "write to the catalog: an earlier write failed"));
        }
        let Some(fault) = process.fault.take() else { return change(&mut self.disk.lock()) };
        if fault == FaultPoint::AfterCommit {
            change(&mut self.disk.lock())?;
        }
        process.poisoned = fault != FaultPoint::DiskFull;
        let kind = if process.poisoned { ErrorKind::Poisoned } else { ErrorKind::Full };
        Err(PortError::new(kind, format!("write to the catalog: injected {fault:?}")))
    }

    /// What a restart would find, read once more.
    fn read(&self) -> parking_lot::MutexGuard<'_, Disk> {
        self.process.lock().calls += 1;
        self.disk.lock()
    }
}

fn conflict(reason: &str) -> PortError {
    PortError::new(ErrorKind::Conflict, format!("write to the catalog: {reason}"))
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp) -> Result<(), PortError> {
        self.write(|disk| {
            for id in tenants {
                let new = || Tenant {
                    id: id.clone(),
                    name: id.as_str().to_owned(),
                    active: true,
                    created: now,
                    updated: now,
                };
                disk.tenants.entry(id.clone()).or_insert_with(new);
            }
            Ok(())
        })
    }

    async fn tenants(&self) -> Result<Vec<Tenant>, PortError> {
        Ok(self.read().tenants.values().cloned().collect())
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        Ok(self.read().settings.iter().map(|(tenant, settings)| (tenant.clone(), *settings)).collect())
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        _: Timestamp,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            disk.settings.insert(scope.tenant().clone(), *settings);
            Ok(())
        })
    }

    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError> {
        let disk = self.read();
        Ok(disk.wanted_zones.iter().map(|(tenant, wanted)| (tenant.clone(), wanted.clone())).collect())
    }

    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        _: Timestamp,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            let stored = disk.wanted_zones.get(scope.tenant()).map_or(0, |stored| stored.version);
            if wanted.version <= stored {
                return Err(conflict("a later zone is wanted"));
            }
            disk.wanted_zones.insert(scope.tenant().clone(), wanted.clone());
            Ok(())
        })
    }
}

#[async_trait]
impl References for MemoryCatalog {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError> {
        let disk = self.read();
        Ok(disk.references.iter().map(|(tenant, table)| (tenant.clone(), table.clone())).collect())
    }

    async fn store_reference(&self, scope: &TenantScope, table: &Arc<ReferenceTable>) -> Result<(), PortError> {
        self.write(|disk| {
            let stored = disk.references.get(scope.tenant()).map_or(0, |stored| stored.generation);
            if stored.checked_add(1) != Some(table.generation) {
                return Err(conflict("the reference table has another generation"));
            }
            disk.references.insert(scope.tenant().clone(), Arc::clone(table));
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
