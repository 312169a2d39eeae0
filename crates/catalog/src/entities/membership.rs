//! Who is a member of which workspace, and who was.

use domain::access::ids::UserId;
use domain::access::record::{Membership, Record};
use domain::access::rights::Role;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "membership")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: String,
    pub(crate) role: Option<String>,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
    /// Nothing in rows of an earlier schema.
    pub(crate) decrypts: Option<bool>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = Membership;

    fn new(record: &Membership, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            user_id: record.user.to_string(),
            role: record.role.map(|role| role.name().to_owned()),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
            decrypts: record.decrypts.then_some(true),
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let role = self.role.map(|role| parsed("role", Role::parse(&role))).transpose()?;
        let record = Membership {
            workspace: tenant_id(&self.tenant)?,
            user: parsed("user_id", UserId::parse(&self.user_id).ok())?,
            role,
            decrypts: self.decrypts == Some(true),
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::Membership(record))
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
