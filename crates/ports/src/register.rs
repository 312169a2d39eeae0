//! The register of workspaces, people and keys, and the audit log of its changes.

use std::fmt::Debug;

use async_trait::async_trait;
use domain::access::audit::{AuditDraft, AuditEntry, AuditFilter, AuditHead};
#[cfg(doc)]
use domain::access::erased_details::ErasedDetails;
use domain::access::ids::KeyId;
use domain::access::record::{CustomerProfile, Record};
use domain::access::removal::Removal;
use domain::erasure::Subject;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::PortError;

/// Counts the commits of a register; 0 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Revision(pub u64);

/// Records that change or go, and what the audit log says about it: all of it counts, or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RegisterCommit {
    /// The records as they are to be.
    pub records: Vec<Record>,
    /// The records that are to be removed, before the others are stored.
    pub removals: Vec<Removal>,
    /// The entries to be added, in order.
    pub audit: Vec<AuditDraft>,
}

/// The register. Each process keeps its records in memory and asks at least every
/// [`domain::limits::REGISTER_STALENESS_MAX`] for what others have changed: what one process has revoked is refused
/// by all after that time.
#[async_trait]
pub trait Register: Send + Sync + Debug {
    /// Hands over the records that have changed since `after`, as of one moment, which is returned. All records since
    /// the beginning; of a record that changed twice the last. Profiles of customers are left out.
    ///
    /// # Errors
    /// When the store cannot be read, `Corrupt` when a record is not what was written. Some records may have been
    /// handed over.
    async fn load(&self, after: Revision, take: &mut (dyn FnMut(Record) + Send)) -> Result<Revision, PortError>;

    /// Stores records in their order, each of which takes the place of the one with the same key, with the audit entries
    /// about them. Of the times when a key was last used, here and in [`Register::touch_keys`], the later stays. What
    /// is to be removed and is not there, or of another version, is passed over. Durable on return, with the revision
    /// that they have. Nobody is told of rows that are gone: each process forgets by itself what has ended, and the
    /// first version of a reset of a password takes the place of one that had expired when it was made.
    ///
    /// # Errors
    /// `Conflict` when a record is not the next version of the one stored, a creation is known and has not expired
    /// when the new one was made, two people would have one e-mail address but for its case, two registered keys
    /// that were not revoked one hash, or two workspaces a key, signing secret or invitation of one id; nothing has
    /// changed. Otherwise when the store cannot be written.
    async fn commit(&self, commit: &RegisterCommit) -> Result<Revision, PortError>;

    /// Notes when keys were last used; the later time stays. Changes neither versions nor the revision, and leaves
    /// unknown keys out.
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn touch_keys(&self, used: &[(KeyId, Timestamp)]) -> Result<(), PortError>;

    /// Why nothing can be written any more before the store is opened again, if that is so. Answered from memory.
    fn poisoned(&self) -> Option<String>;

    /// Leaves nothing in the store of whom the erasure of this id is about: of a customer the profile and the quotas go, and
    /// of all entries of the workspace's log what they may tell of the subject in detail ([`AuditDraft::may_tell_of`]),
    /// erased by the last entry there about this erasure, and told by a further entry ([`ErasedDetails`]); where
    /// there is none about this erasure, details stay. Of the whole workspace
    /// nothing goes yet: see [`Register::forget_workspace`]. What has gone may still stand in the files of the store: see
    /// [`Register::scrub`].
    ///
    /// # Errors
    /// When the store cannot be written.
    async fn forget(&self, scope: &TenantScope, subject: &Subject, id: &str) -> Result<(), PortError>;

    /// Leaves nothing of a workspace in the files of the store but the workspace itself, whose id is never given again,
    /// and its audit log without details, erased by the last entry of that log about an erasure: none comes after it.
    /// Details of the server's log about it go as well, erased by the entry there about its erasure. Where there is no such
    /// entry, they stay. Processes that have its records in memory keep them.
    ///
    /// # Errors
    /// As [`Register::forget`].
    async fn forget_workspace(&self, scope: &TenantScope) -> Result<(), PortError>;

    /// Leaves nothing in the files of the store of what was forgotten. Takes as long as writing them anew, and all that
    /// changes the store waits meanwhile. Of a store whose files are a server's that is for who owns them.
    ///
    /// # Errors
    /// `Full` without space to write them anew, otherwise when the store cannot be written; try again.
    async fn scrub(&self) -> Result<(), PortError>;

    /// The profiles of those of `customers` that have one, in order of id.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn customer_profiles(
        &self,
        scope: &TenantScope,
        customers: &[String],
    ) -> Result<Vec<CustomerProfile>, PortError>;
}

/// The audit log as it is read. It is written with the changes that it tells of.
#[async_trait]
pub trait AuditLog: Send + Sync + Debug {
    /// At most `limit` entries of a workspace's log that fit the filter, the newest first. The last one is that with
    /// which their texts take [`domain::limits::PAGE_BYTES_MAX`] bytes, if there are so many; no more are held.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn audit_entries(
        &self,
        scope: &TenantScope,
        filter: &AuditFilter,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError>;

    /// At most `limit` entries of the server's own log that fit the filter, the newest first, and no more bytes than
    /// [`AuditLog::audit_entries`] gives.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn server_audit_entries(&self, filter: &AuditFilter, limit: usize) -> Result<Vec<AuditEntry>, PortError>;

    /// The chains, each with its last entry as it was noted apart from the entries; `None` is that of the server.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn audit_heads(&self) -> Result<Vec<(Option<TenantId>, AuditHead)>, PortError>;

    /// At most `limit` entries of one chain with a higher number than `after`, the oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    async fn audit_chain(
        &self,
        workspace: Option<&TenantId>,
        after: u64,
        limit: usize,
    ) -> Result<Vec<AuditEntry>, PortError>;
}
