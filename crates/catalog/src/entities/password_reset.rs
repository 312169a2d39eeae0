//! The open reset of a person's password.

use domain::access::ids::UserId;
use domain::access::record::{PasswordReset, Record};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed};

use super::columns::{hash, instant, micros, parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "password_reset")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) user_id: String,
    pub(crate) token_hash: Vec<u8>,
    pub(crate) expires_us: i64,
    pub(crate) closed_us: Option<i64>,
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
    type Record = PasswordReset;

    fn new(record: &PasswordReset, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            user_id: record.user.to_string(),
            token_hash: record.token_hash.to_vec(),
            expires_us: record.expires.micros(),
            closed_us: micros(record.closed),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = PasswordReset {
            user: parsed("user_id", UserId::parse(&self.user_id).ok())?,
            token_hash: hash("token_hash", &self.token_hash)?,
            expires: Timestamp::from_micros(self.expires_us),
            closed: instant(self.closed_us),
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::PasswordReset(record))
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
