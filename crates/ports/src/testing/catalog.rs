//! The memory twin of the catalog, the reference tables, the register and the audit log, and the suites that it and
//! every adapter run. The twin is the oracle: plain maps under one lock. It keeps what a disk would keep, so that [`MemoryCatalog::reopen`]
//! plays a restart, and it fails on demand as a disk would.

mod conformance;
mod records;
mod register;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use domain::access::audit::{
    AuditDetail, AuditDraft, AuditEntry, AuditHead, Cause, ERASURE_ACTION, SALT_BYTES, WORKSPACE_ERASURE_ACTION,
};
use domain::access::erased_details::{DETAILS_ERASURE_ACTION, ErasedDetails};
use domain::access::record::{Record, Workspace};
use domain::quota::{CarriedPeriods, QuotaKey, VersionedQuota};
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use parking_lot::Mutex;

use super::manifest::FaultPoint;
use crate::active_users::VersionedZone;
use crate::catalog::{Catalog, TenantSettings};
use crate::references::References;
use crate::register::{AuditLog, Register};
use crate::{ErrorKind, PortError};
use records::{Records, conflict};

pub use conformance::{
    audit_conformance, audit_fault_conformance, catalog_conformance, references_conformance, register_conformance,
};

/// All that one catalog keeps.
pub trait WholeCatalog: Catalog + References + Register + AuditLog {}

impl<T: Catalog + References + Register + AuditLog> WholeCatalog for T {}

/// A catalog, store of reference tables, register and audit log in memory. Others that are opened from it by
/// [`MemoryCatalog::reopen`] share what is stored.
#[derive(Debug, Default)]
pub struct MemoryCatalog {
    disk: Arc<Mutex<Disk>>,
    process: Mutex<Process>,
}

/// What survives a restart.
#[derive(Debug, Default, Clone)]
struct Disk {
    records: Records,
    audit: BTreeMap<Option<TenantId>, Vec<AuditEntry>>,
    settings: BTreeMap<TenantId, TenantSettings>,
    wanted_zones: BTreeMap<TenantId, VersionedZone>,
    carried: BTreeMap<TenantId, CarriedPeriods>,
    quotas: BTreeMap<(TenantId, QuotaKey), VersionedQuota>,
    references: BTreeMap<TenantId, Arc<ReferenceTable>>,
}

/// What does not.
#[derive(Debug, Default)]
struct Process {
    fault: Option<FaultPoint>,
    poisoned: bool,
    calls: u64,
    scrubs: u64,
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

    /// A store of its own that holds what this one holds.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self { disk: Arc::new(Mutex::new(self.disk.lock().clone())), process: Mutex::default() }
    }

    /// How often this process has asked the store for anything.
    pub fn calls(&self) -> u64 {
        self.process.lock().calls
    }

    /// How often this process has had the files of the store written anew.
    pub fn scrubs(&self) -> u64 {
        self.process.lock().scrubs
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
        let mut disk = self.disk.lock();
        let mut next = disk.clone();
        change(&mut next)?;
        let Some(fault) = process.fault.take() else {
            *disk = next;
            return Ok(());
        };
        if fault == FaultPoint::AfterCommit {
            *disk = next;
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

impl Disk {
    /// Adds an entry to the log that it is for.
    fn log(&mut self, draft: &AuditDraft) {
        let chain = self.audit.entry(draft.workspace.clone()).or_default();
        let head = chain.last().map_or_else(AuditHead::default, AuditEntry::head);
        // Another one for each, which is enough for a twin.
        let mut salt = [0; SALT_BYTES];
        salt[..8].copy_from_slice(&head.seq.to_le_bytes());
        chain.push(AuditEntry::after(head, draft.clone(), salt));
    }

    /// Erases details of a log by its last entry about an erasure.
    fn erase_details(&mut self, of: Option<&TenantId>, target: Option<&str>, takes: impl Fn(&AuditDraft) -> bool) {
        let Some(chain) = self.audit.get_mut(&of.cloned()) else { return };
        let action = if of.is_some() { ERASURE_ACTION } else { WORKSPACE_ERASURE_ACTION };
        let is_it = |draft: &AuditDraft| draft.action == action && target.is_none_or(|target| draft.target == target);
        let by = chain.iter().rev().find(|entry| is_it(&entry.draft)).map(|by| (by.seq, by.draft.at));
        let Some((by, at)) = by else { return };
        let has_detail = |entry: &&mut AuditEntry| matches!(entry.detail, AuditDetail::Apart(_));
        let mut any = false;
        for entry in chain.iter_mut().filter(has_detail).filter(|entry| takes(&entry.draft)) {
            *entry = entry.clone().erased(by);
            any = true;
        }
        if any {
            let mut erased = ErasedDetails::default();
            let is_its = |entry: &&AuditEntry| matches!(entry.detail, AuditDetail::Erased { by: of, .. } if of == by);
            let told = |entry: &&AuditEntry| entry.draft.action == DETAILS_ERASURE_ACTION;
            let gone = chain.iter().filter(is_its).filter(|entry| !told(entry));
            gone.for_each(|entry| erased.add(entry.seq));
            self.log(&erased.draft(of, at, by));
            let last = self.audit.get_mut(&of.cloned()).and_then(|chain| chain.last_mut());
            last.into_iter().for_each(|last| *last = last.clone().erased(by));
        }
    }

    /// Adds an entry about a change of one tenant's, which it has to be for.
    fn log_of(&mut self, scope: &TenantScope, draft: &AuditDraft) -> Result<(), PortError> {
        if draft.workspace.as_ref() != Some(scope.tenant()) {
            let context = "write to the catalog: the audit entry is for another log";
            return Err(PortError::new(ErrorKind::Unacceptable, context));
        }
        self.log(draft);
        Ok(())
    }
}

#[async_trait]
impl Catalog for MemoryCatalog {
    async fn ensure_tenants(&self, tenants: &[TenantId], now: Timestamp, cause: &Cause) -> Result<(), PortError> {
        self.write(|disk| {
            let is_new = |id: &&TenantId| !disk.records.has_workspace(id);
            let new: BTreeSet<_> = tenants.iter().filter(is_new).cloned().collect();
            if !new.is_empty() {
                disk.records.begin();
            }
            for id in new {
                cause.drafts_of_new_workspace(&id, now).iter().for_each(|draft| disk.log(draft));
                let name = id.as_str().to_owned();
                disk.records.store(&Record::Workspace(Workspace::new(id, name, now)))?;
            }
            Ok(())
        })
    }

    async fn tenants(&self) -> Result<Vec<Workspace>, PortError> {
        Ok(self.read().records.workspaces())
    }

    async fn settings(&self) -> Result<Vec<(TenantId, TenantSettings)>, PortError> {
        Ok(self.read().settings.iter().map(|(tenant, settings)| (tenant.clone(), *settings)).collect())
    }

    async fn store_settings(
        &self,
        scope: &TenantScope,
        settings: &TenantSettings,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            disk.settings.insert(scope.tenant().clone(), *settings);
            disk.log_of(scope, audit)
        })
    }

    async fn wanted_zones(&self) -> Result<Vec<(TenantId, VersionedZone)>, PortError> {
        let disk = self.read();
        Ok(disk.wanted_zones.iter().map(|(tenant, wanted)| (tenant.clone(), wanted.clone())).collect())
    }

    async fn carried_periods(&self) -> Result<Vec<(TenantId, CarriedPeriods)>, PortError> {
        Ok(self.read().carried.iter().map(|(tenant, carried)| (tenant.clone(), *carried)).collect())
    }

    async fn quotas(&self) -> Result<Vec<(TenantId, VersionedQuota)>, PortError> {
        Ok(self.read().quotas.iter().map(|((tenant, _), quota)| (tenant.clone(), quota.clone())).collect())
    }

    async fn store_quota(
        &self,
        scope: &TenantScope,
        quota: &VersionedQuota,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            let key = (scope.tenant().clone(), quota.key.clone());
            if disk.quotas.get(&key).map_or(0, |stored| stored.version) + 1 != quota.version {
                return Err(conflict("the quota has another version"));
            }
            disk.quotas.insert(key, quota.clone());
            disk.log_of(scope, audit)
        })
    }

    async fn store_wanted_zone(
        &self,
        scope: &TenantScope,
        wanted: &VersionedZone,
        carried: &CarriedPeriods,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            let stored = disk.wanted_zones.get(scope.tenant()).map_or(0, |stored| stored.version);
            if wanted.version <= stored {
                return Err(conflict("a later zone is wanted"));
            }
            disk.wanted_zones.insert(scope.tenant().clone(), wanted.clone());
            disk.carried.insert(scope.tenant().clone(), *carried);
            disk.log_of(scope, audit)
        })
    }
}

#[async_trait]
impl References for MemoryCatalog {
    async fn reference_tables(&self) -> Result<Vec<(TenantId, Arc<ReferenceTable>)>, PortError> {
        let disk = self.read();
        Ok(disk.references.iter().map(|(tenant, table)| (tenant.clone(), table.clone())).collect())
    }

    async fn store_reference(
        &self,
        scope: &TenantScope,
        table: &Arc<ReferenceTable>,
        audit: &AuditDraft,
    ) -> Result<(), PortError> {
        self.write(|disk| {
            let stored = disk.references.get(scope.tenant()).map_or(0, |stored| stored.generation);
            if stored.checked_add(1) != Some(table.generation) {
                return Err(conflict("the reference table has another generation"));
            }
            disk.references.insert(scope.tenant().clone(), Arc::clone(table));
            disk.log_of(scope, audit)
        })
    }
}

#[cfg(test)]
mod tests;
