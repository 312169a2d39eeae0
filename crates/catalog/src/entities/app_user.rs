//! People. No two have one address but for its case and the form of its accents.

use domain::access::ids::UserId;
use domain::access::record::{Record, User, UserStatus};
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed};

use super::columns::{email, parsed, text, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "app_user")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) email_folded: String,
    pub(crate) name: String,
    pub(crate) password_hash: Option<String>,
    pub(crate) status: String,
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
    type Record = User;

    fn new(record: &User, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            id: record.id.to_string(),
            email: record.email.as_str().to_owned(),
            email_folded: record.email.folded().to_owned(),
            name: record.name.clone(),
            password_hash: text(record.password_hash.as_ref()),
            status: record.status.name().to_owned(),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = User {
            id: parsed("id", UserId::parse(&self.id).ok())?,
            email: email(&self.email)?,
            name: self.name,
            password_hash: self.password_hash.map(Into::into),
            status: parsed("status", UserStatus::parse(&self.status))?,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::User(record))
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
