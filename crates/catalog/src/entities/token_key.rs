//! Keys that access tokens are signed with.

use domain::access::record::{Record, TokenKeyRecord};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed};

use super::columns::{instant, micros, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "token_key")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) kid: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) retired_us: Option<i64>,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = TokenKeyRecord;

    fn new(record: &TokenKeyRecord, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            kid: record.kid.clone(),
            wrapped: record.wrapped.to_vec(),
            retired_us: micros(record.retired),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = TokenKeyRecord {
            kid: self.kid,
            wrapped: self.wrapped.into(),
            retired: instant(self.retired_us),
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::TokenKey(record))
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn seal(&self) -> Option<i64> {
        Some(self.seal)
    }

    fn set_seal(&mut self, seal: i64) {
        self.seal = seal;
    }
}
