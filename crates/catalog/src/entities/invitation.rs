//! Invitations to workspaces.

use domain::access::ids::InvitationId;
use domain::access::record::{Invitation, Record};
use domain::access::rights::Role;
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{email, hash, instant, micros, parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "invitation")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) role: String,
    pub(crate) token_hash: Vec<u8>,
    pub(crate) expires_us: i64,
    pub(crate) closed_us: Option<i64>,
    pub(crate) created_by: String,
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
    type Record = Invitation;

    fn new(record: &Invitation, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            id: record.id.to_string(),
            email: record.email.as_str().to_owned(),
            role: record.role.name().to_owned(),
            token_hash: record.token_hash.to_vec(),
            expires_us: record.expires.micros(),
            closed_us: micros(record.closed),
            created_by: record.created_by.clone(),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = Invitation {
            id: parsed("id", InvitationId::parse(&self.id).ok())?,
            workspace: tenant_id(&self.tenant)?,
            email: email(&self.email)?,
            role: parsed("role", Role::parse(&self.role))?,
            token_hash: hash("token_hash", &self.token_hash)?,
            expires: Timestamp::from_micros(self.expires_us),
            closed: instant(self.closed_us),
            created_by: self.created_by,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::Invitation(record))
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
