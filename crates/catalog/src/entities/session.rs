//! Logins. One that is held by a cookie has its hash, one that is held by tokens the generation of the next.

use domain::access::ids::{SessionId, UserId};
use domain::access::record::{Record, Session, SessionKind};
use domain::time::Timestamp;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, unsigned};

use super::columns::{hash, instant, micros, parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "session")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) user_id: String,
    pub(crate) cookie_hash: Option<Vec<u8>>,
    pub(crate) generation: Option<i64>,
    pub(crate) expires_us: i64,
    pub(crate) ended_us: Option<i64>,
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
    type Record = Session;

    fn new(record: &Session, revision: i64) -> Result<Self, Failure> {
        let (cookie_hash, generation) = match record.kind {
            SessionKind::Cookie(hash) => (Some(hash.to_vec()), None),
            SessionKind::Tokens(generation) => (None, Some(signed("generation", generation)?)),
        };
        Ok(Self {
            id: record.id.to_string(),
            user_id: record.user.to_string(),
            cookie_hash,
            generation,
            expires_us: record.expires.micros(),
            ended_us: micros(record.ended),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let kind = match (&self.cookie_hash, self.generation) {
            (Some(cookie), None) => SessionKind::Cookie(hash("cookie_hash", cookie)?),
            (None, Some(generation)) => SessionKind::Tokens(unsigned("generation", generation)?),
            _ => return Err(Failure::corrupt("a session is held by a cookie or by tokens")),
        };
        let record = Session {
            id: parsed("id", SessionId::parse(&self.id).ok())?,
            user: parsed("user_id", UserId::parse(&self.user_id).ok())?,
            kind,
            expires: Timestamp::from_micros(self.expires_us),
            ended: instant(self.ended_us),
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::Session(record))
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
