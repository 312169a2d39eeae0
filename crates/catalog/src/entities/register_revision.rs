//! How many commits the register has seen, in one row.

use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal};

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "register_revision")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The id of the only row.
    pub(crate) const ID: i64 = 1;

    /// The row.
    pub(crate) fn new(revision: i64) -> Self {
        Self { id: Self::ID, revision, seal: Seal::default().int(Self::ID).int(revision).value() }
    }

    /// The revision, if it is what was written.
    pub(crate) fn read(row: Option<Self>) -> Result<i64, Failure> {
        match row {
            Some(row) if row == Self::new(row.revision) => Ok(row.revision),
            Some(_) => Err(Failure::corrupt("the revision of the register is damaged")),
            None => Err(Failure::corrupt("the revision of the register is missing")),
        }
    }
}
