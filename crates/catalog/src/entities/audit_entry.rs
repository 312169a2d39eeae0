//! Entries of the audit log. The hash of each covers it and all before it in its chain; the chain of the server has
//! an empty name.

use domain::access::audit::{AuditDraft, AuditEntry};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, unsigned};

use super::columns::{hash, workspace, workspace_text};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_entry")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) chain: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) at_us: i64,
    pub(crate) actor: String,
    pub(crate) action: String,
    pub(crate) target: String,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) request_id: Option<String>,
    pub(crate) hash: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of an entry.
    pub(crate) fn new(entry: AuditEntry) -> Result<Self, Failure> {
        let AuditEntry { seq, draft, hash } = entry;
        Ok(Self {
            chain: workspace_text(draft.workspace.as_ref()),
            seq: signed("seq", seq)?,
            at_us: draft.at.micros(),
            actor: draft.actor,
            action: draft.action,
            target: draft.target,
            before: draft.before,
            after: draft.after,
            address: draft.address,
            request_id: draft.request_id,
            hash: hash.to_vec(),
        })
    }

    /// The entry as it is stored; whether it follows the one before shows only next to that.
    pub(crate) fn into_entry(self) -> Result<AuditEntry, Failure> {
        let draft = AuditDraft {
            workspace: workspace(&self.chain)?,
            at: Timestamp::from_micros(self.at_us),
            actor: self.actor,
            action: self.action,
            target: self.target,
            before: self.before,
            after: self.after,
            address: self.address,
            request_id: self.request_id,
        };
        Ok(AuditEntry { seq: unsigned("seq", self.seq)?, draft, hash: hash("hash", &self.hash)? })
    }
}
