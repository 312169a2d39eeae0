//! Entries of the audit log. The hash of each covers it and all before it in its chain; the chain of the server has
//! an empty name. Those of format 1 have all their texts here; of later ones the detail is a row of its own, and here is
//! its hash.

use domain::access::audit::{AuditDetail, AuditDraft, AuditEntry, AuditHead, split_target};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, unsigned};

use super::audit_detail;
use super::columns::{hash, workspace, workspace_text};

/// All texts are in the chain.
const WHOLE: i64 = 1;
/// The detail stands apart.
const APART: i64 = 2;

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
    pub(crate) format: i64,
    pub(crate) detail_hash: Option<Vec<u8>>,
    /// The entry about the erasure by which the detail went.
    pub(crate) erased_by: Option<i64>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {
    /// What it tells in detail.
    #[sea_orm(
        belongs_to = "audit_detail::Entity",
        from = "(Column::Chain, Column::Seq)",
        to = "(audit_detail::Column::Chain, audit_detail::Column::Seq)"
    )]
    Detail,
}

impl Related<audit_detail::Entity> for Entity {
    fn to() -> RelationDef {
        Relation::Detail.def()
    }
}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The rows of an entry whose detail stands apart.
    pub(crate) fn new(entry: AuditEntry) -> Result<(Self, audit_detail::Model), Failure> {
        let detail_hash = entry.detail_hash();
        let AuditEntry { seq, draft, detail, hash } = entry;
        let AuditDetail::Apart(salt) = detail else {
            return Err(Failure::unacceptable("the audit entry has no detail of its own"));
        };
        let (chain, seq) = (workspace_text(draft.workspace.as_ref()), signed("seq", seq)?);
        let detail = audit_detail::Model::new(chain.clone(), seq, &salt, &draft);
        let entry = Self {
            chain,
            seq,
            at_us: draft.at.micros(),
            actor: draft.actor,
            action: draft.action,
            target: split_target(&draft.target).0.to_owned(),
            before: None,
            after: None,
            address: None,
            request_id: None,
            hash: hash.to_vec(),
            format: APART,
            detail_hash: detail_hash.map(Into::into),
            erased_by: None,
        };
        Ok((entry, detail))
    }

    /// The head of the chain that ends with it.
    pub(crate) fn head(&self) -> Result<AuditHead, Failure> {
        Ok(AuditHead { seq: unsigned("seq", self.seq)?, hash: hash("hash", &self.hash)? })
    }

    /// The entry as it is stored, with its detail; whether it follows the one before shows only next to that.
    pub(crate) fn into_entry(self, detail: Option<audit_detail::Model>) -> Result<AuditEntry, Failure> {
        let AuditHead { seq, hash: own_hash } = self.head()?;
        let mut draft = AuditDraft {
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
        let detail = match (self.format, detail, self.detail_hash, self.erased_by) {
            (WHOLE, None, None, None) => AuditDetail::InChain,
            (APART, Some(detail), Some(_), None) => AuditDetail::Apart(detail.add_to(&mut draft)?),
            (APART, None, Some(known), Some(by)) => {
                AuditDetail::Erased { hash: hash("detail_hash", &known)?, by: unsigned("erased_by", by)? }
            }
            // Whoever reads the log has to see the rest of it; verification tells that this is not there.
            (APART, None, Some(known), None) => AuditDetail::Missing { hash: hash("detail_hash", &known)? },
            _ => return Err(Failure::corrupt(format!("audit entry {seq} has a detail that does not belong to it"))),
        };
        Ok(AuditEntry { seq, draft, detail, hash: own_hash })
    }
}
