//! What entries of the audit log tell in detail, each with the salt of the hash that the entry has of it. A row goes when
//! what it tells is erased.

use domain::access::audit::{AuditDraft, SALT_BYTES, split_target};
use sea_orm::entity::prelude::*;
use sqlite::Failure;

use super::columns::parsed;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_detail")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) chain: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) salt: Vec<u8>,
    /// The whole target, where the entry has its kind alone.
    pub(crate) target: Option<String>,
    pub(crate) before: Option<String>,
    pub(crate) after: Option<String>,
    pub(crate) address: Option<String>,
    pub(crate) request_id: Option<String>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of what a draft tells in detail.
    pub(crate) fn new(chain: String, seq: i64, salt: &[u8; SALT_BYTES], draft: &AuditDraft) -> Self {
        let AuditDraft { target, before, after, address, request_id, .. } = draft.clone();
        let target = split_target(&target).1.map(str::to_owned);
        Self { chain, seq, salt: salt.to_vec(), target, before, after, address, request_id }
    }

    /// Adds what it tells to the draft; returns its salt.
    pub(crate) fn add_to(self, draft: &mut AuditDraft) -> Result<[u8; SALT_BYTES], Failure> {
        let Self { salt, target, before, after, address, request_id, .. } = self;
        if let Some(target) = target {
            draft.target = target;
        }
        (draft.before, draft.after, draft.address, draft.request_id) = (before, after, address, request_id);
        parsed("salt", salt.try_into().ok())
    }
}
