//! Requests that made something; each is stored once and forgotten when it expires.

use domain::access::record::{Creation, Record};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::Failure;

use super::columns::{hash, workspace, workspace_text};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "creation")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) key_hash: Vec<u8>,
    pub(crate) body_hash: Vec<u8>,
    pub(crate) tenant: String,
    pub(crate) made: String,
    pub(crate) created_us: i64,
    pub(crate) expires_us: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = Creation;

    fn new(record: &Creation, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            key_hash: record.key_hash.to_vec(),
            body_hash: record.body_hash.to_vec(),
            tenant: workspace_text(record.workspace.as_ref()),
            made: record.made.clone(),
            created_us: record.created.micros(),
            expires_us: record.expires.micros(),
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = Creation {
            key_hash: hash("key_hash", &self.key_hash)?,
            body_hash: hash("body_hash", &self.body_hash)?,
            workspace: workspace(&self.tenant)?,
            made: self.made,
            created: Timestamp::from_micros(self.created_us),
            expires: Timestamp::from_micros(self.expires_us),
        };
        Ok(Record::Creation(record))
    }

    fn version(&self) -> i64 {
        1
    }

    fn seal(&self) -> Option<i64> {
        Some(self.seal)
    }

    fn set_seal(&mut self, seal: i64) {
        self.seal = seal;
    }
}
