//! Records that could not be applied.

use domain::position::Seq;
use domain::time::Timestamp;
use ports::manifest::DeadLetter;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id, unsigned};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "dead_letter")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) seq: i64,
    pub(crate) tenant: Option<String>,
    pub(crate) reason: String,
    pub(crate) dead_lettered_at_us: i64,
    pub(crate) payload: Vec<u8>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of a dead letter.
    pub(crate) fn new(letter: &DeadLetter) -> Result<Self, Failure> {
        Ok(Self {
            seq: signed("seq", letter.seq.0)?,
            tenant: letter.tenant.as_ref().map(|tenant| tenant.as_str().to_owned()),
            reason: letter.reason.clone(),
            dead_lettered_at_us: letter.dead_lettered_at.micros(),
            payload: letter.payload.clone(),
        })
    }

    pub(crate) fn into_letter(self) -> Result<DeadLetter, Failure> {
        Ok(DeadLetter {
            seq: unsigned("seq", self.seq).map(Seq)?,
            tenant: self.tenant.as_deref().map(tenant_id).transpose()?,
            reason: self.reason,
            dead_lettered_at: Timestamp::from_micros(self.dead_lettered_at_us),
            payload: self.payload,
        })
    }
}
