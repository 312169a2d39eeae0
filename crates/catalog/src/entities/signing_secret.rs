//! Secrets that requests are signed with.

use domain::access::ids::SecretId;
use domain::access::record::{Record, SigningSecret};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{instant, micros, parsed, text, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "signing_secret")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) project: Option<String>,
    pub(crate) name: String,
    pub(crate) wrapped: Vec<u8>,
    pub(crate) expires_us: Option<i64>,
    pub(crate) revoked_us: Option<i64>,
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
    type Record = SigningSecret;

    fn new(record: &SigningSecret, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            id: record.id.to_string(),
            project: text(record.project.as_ref()),
            name: record.name.clone(),
            wrapped: record.wrapped.to_vec(),
            expires_us: micros(record.expires),
            revoked_us: micros(record.revoked),
            created_by: record.created_by.clone(),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = SigningSecret {
            id: parsed("id", SecretId::parse(&self.id).ok())?,
            workspace: tenant_id(&self.tenant)?,
            project: self.project.map(Into::into),
            name: self.name,
            wrapped: self.wrapped.into(),
            expires: instant(self.expires_us),
            revoked: instant(self.revoked_us),
            created_by: self.created_by,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::SigningSecret(record))
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
