//! The twin as a register and an audit log.

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, AuditEntry, AuditFilter, AuditHead, erasure_target};
use domain::access::ids::KeyId;
use domain::access::record::{CustomerProfile, Record};
use domain::erasure::Subject;
use domain::limits::PAGE_BYTES_MAX;
use domain::quota::QuotaKey;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use super::MemoryCatalog;
use crate::PortError;
use crate::register::{AuditLog, Register, RegisterCommit, Revision};

#[async_trait]
impl Register for MemoryCatalog {
    async fn load(&self, after: Revision, take: &mut (dyn FnMut(Record) + Send)) -> Result<Revision, PortError> {
        let (changed, revision) = {
            let disk = self.read();
            let is_record = |record: &&Record| !matches!(record, Record::Customer(_));
            (disk.records.since(after).filter(is_record).cloned().collect::<Vec<_>>(), disk.records.revision())
        };
        changed.into_iter().for_each(take);
        Ok(revision)
    }

    async fn commit(&self, commit: &RegisterCommit) -> Result<Revision, PortError> {
        let mut revision = Revision::default();
        self.write(|disk| {
            revision = disk.records.begin();
            commit.removals.iter().for_each(|removal| disk.records.remove(removal));
            commit.records.iter().try_for_each(|record| disk.records.store(record))?;
            commit.audit.iter().for_each(|draft| disk.log(draft));
            Ok(())
        })?;
        Ok(revision)
    }

    async fn touch_keys(&self, used: &[(KeyId, Timestamp)]) -> Result<(), PortError> {
        self.write(|disk| {
            used.iter().for_each(|(key, used)| disk.records.touch(*key, *used));
            Ok(())
        })
    }

    fn poisoned(&self) -> Option<String> {
        self.process.lock().poisoned.then(|| "an earlier write failed".to_owned())
    }

    async fn forget(&self, scope: &TenantScope, subject: &Subject, id: &str) -> Result<(), PortError> {
        self.write(|disk| {
            if let Subject::Customer(customer) = subject {
                disk.records.forget_customer(scope.tenant(), customer);
                let is_its = |key: &QuotaKey| key.customer.as_ref() == Some(customer);
                disk.quotas.retain(|(of, key), _| of != scope.tenant() || !is_its(key));
            }
            if *subject != Subject::Workspace {
                let takes = |draft: &AuditDraft| draft.may_tell_of(subject);
                disk.erase_details(Some(scope.tenant()), Some(&erasure_target(id)), takes);
            }
            Ok(())
        })
    }

    async fn forget_workspace(&self, scope: &TenantScope) -> Result<(), PortError> {
        self.write(|disk| {
            let tenant = scope.tenant();
            disk.records.forget_workspace(tenant);
            disk.settings.remove(tenant);
            disk.wanted_zones.remove(tenant);
            disk.carried.remove(tenant);
            disk.quotas.retain(|(of, _), _| of != tenant);
            disk.references.remove(tenant);
            disk.erase_details(Some(tenant), None, |_| true);
            let by = format!("workspace:{tenant}");
            disk.erase_details(None, Some(&by), |draft| draft.tells_of_workspace(tenant));
            Ok(())
        })
    }

    async fn scrub(&self) -> Result<(), PortError> {
        self.write(|_| Ok(()))?;
        self.process.lock().scrubs += 1;
        Ok(())
    }

    async fn customer_profiles(
        &self,
        scope: &TenantScope,
        customers: &[String],
    ) -> Result<Vec<CustomerProfile>, PortError> {
        let profile = |record: &Record| match record {
            Record::Customer(it) if it.workspace == *scope.tenant() && customers.contains(&it.customer) => {
                Some(it.clone())
            }
            _ => None,
        };
        Ok(self.read().records.since(Revision(0)).filter_map(profile).collect())
    }
}

#[async_trait]
impl AuditLog for MemoryCatalog {
    async fn audit_entries(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        Ok(self.newest(Some(scope.tenant()), filter, limit))
    }

    async fn server_audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, PortError> {
        Ok(self.newest(None, filter, limit))
    }

    async fn audit_heads(&self) -> Result<Vec<(Option<TenantId>, AuditHead)>, PortError> {
        let disk = self.read();
        let head = |chain: &Vec<AuditEntry>| chain.last().map_or_else(AuditHead::default, AuditEntry::head);
        Ok(disk.audit.iter().map(|(workspace, chain)| (workspace.clone(), head(chain))).collect())
    }

    async fn audit_chain(
        &self,
        workspace: Option<&TenantId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError> {
        let disk = self.read();
        let chain = disk.audit.get(&workspace.cloned()).into_iter().flatten();
        Ok(chain.filter(|entry| entry.seq > after).take(limit).cloned().collect())
    }
}

impl MemoryCatalog {
    fn newest(&self, workspace: Option<&TenantId>, filter: &AuditFilter, limit: usize) -> Vec<AuditEntry> {
        let disk = self.read();
        let chain = disk.audit.get(&workspace.cloned()).into_iter().flatten();
        let mut bytes = 0;
        let fitting = chain.rev().filter(|entry| filter.takes(entry)).take(limit).take_while(|entry| {
            let has_room = bytes < PAGE_BYTES_MAX;
            bytes += entry.bytes();
            has_room
        });
        fitting.cloned().collect()
    }
}
