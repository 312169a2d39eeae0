//! Projects of workspaces.

use domain::access::record::{Project, Record};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::versioned;
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "project")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_removed: bool,
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
    type Record = Project;

    fn new(record: &Project, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            id: record.id.as_ref().to_owned(),
            name: record.name.clone(),
            is_removed: record.is_removed,
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = Project {
            workspace: tenant_id(&self.tenant)?,
            id: self.id.into(),
            name: self.name,
            is_removed: self.is_removed,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::Project(record))
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
