//! The one row, if there is any, that says what retention will drop after a wait.

use std::time::Duration;

use domain::retention::RetentionWait;
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, Seal, unsigned};

/// The only row's key.
const ID: i64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "retention_wait")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: i64,
    pub(crate) floor_us: i64,
    pub(crate) waited_us: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Model {
    /// The row of `wait`.
    pub(crate) fn new(wait: &RetentionWait) -> Self {
        let waited_us = i64::try_from(wait.waited.as_micros()).unwrap_or(i64::MAX);
        let row = Self { id: ID, floor_us: wait.floor.micros(), waited_us, seal: 0 };
        Self { seal: row.expected_seal(), ..row }
    }

    /// What it says, if it is what was written.
    pub(crate) fn into_wait(self) -> Result<RetentionWait, Failure> {
        if self.seal != self.expected_seal() {
            return Err(Failure::corrupt("the seal of its row about retention is broken"));
        }
        let waited = Duration::from_micros(unsigned("waited_us", self.waited_us)?);
        Ok(RetentionWait { floor: Timestamp::from_micros(self.floor_us), waited })
    }

    fn expected_seal(&self) -> i64 {
        [self.id, self.floor_us, self.waited_us].into_iter().fold(Seal::default(), Seal::int).value()
    }
}
