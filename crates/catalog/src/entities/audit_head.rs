//! The last entry of each chain, noted apart from the entries: that the newest are missing shows.

use domain::access::audit::AuditHead;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, unsigned};

use super::columns::hash;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "audit_head")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) chain: String,
    pub(crate) seq: i64,
    pub(crate) hash: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a chain's head.
    pub(crate) fn new(chain: String, head: AuditHead) -> Result<Self, Failure> {
        Ok(Self { chain, seq: signed("seq", head.seq)?, hash: head.hash.to_vec() })
    }

    /// The head as it is stored.
    pub(crate) fn head(&self) -> Result<AuditHead, Failure> {
        Ok(AuditHead { seq: unsigned("seq", self.seq)?, hash: hash("hash", &self.hash)? })
    }
}
