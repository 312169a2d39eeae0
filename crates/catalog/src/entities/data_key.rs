//! The keys that workspaces encrypt properties with, each encrypted with the master key.

use domain::access::record::{DataKeyRecord, Record};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{instant, micros, parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "data_key")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) number: i64,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) destroyed_us: Option<i64>,
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
    type Record = DataKeyRecord;

    fn new(record: &DataKeyRecord, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            number: i64::from(record.number),
            wrapped: record.wrapped.to_vec(),
            destroyed_us: micros(record.destroyed),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = DataKeyRecord {
            workspace: tenant_id(&self.tenant)?,
            number: parsed("number", u32::try_from(self.number).ok())?,
            wrapped: self.wrapped.into(),
            destroyed: instant(self.destroyed_us),
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::DataKey(record))
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
