//! API keys; those of the operator have an empty tenant. When a key was last used is written without a new
//! version.

use domain::access::address::AddressRange;
use domain::access::ids::KeyId;
use domain::access::key_text::KeyPurpose;
use domain::access::record::{ApiKey, KeyOrigin, Record};
use domain::access::rights::KeyScopes;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed};

use super::columns::{hash, instant, micros, parsed, rate, stored_rate, text, versioned, workspace, workspace_text};
use super::row::Row;

/// The origin of a key that was made elsewhere; the others say what they are for.
const REGISTERED: &str = "registered";

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "api_key")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) origin: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) project: Option<String>,
    pub(crate) name: String,
    pub(crate) scopes: i64,
    pub(crate) expires_us: Option<i64>,
    pub(crate) addresses: String,
    pub(crate) revoked_us: Option<i64>,
    pub(crate) last_used_us: Option<i64>,
    pub(crate) created_by: String,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) seal: i64,
    pub(crate) requests_per_sec: Option<i64>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = ApiKey;

    fn new(record: &ApiKey, revision: i64) -> Result<Self, Failure> {
        let origin = match record.origin {
            KeyOrigin::Made(purpose) => purpose.name(),
            KeyOrigin::Registered => REGISTERED,
        };
        let addresses: Vec<_> = record.addresses.iter().map(ToString::to_string).collect();
        Ok(Self {
            tenant: workspace_text(record.workspace.as_ref()),
            id: record.id.to_string(),
            origin: origin.to_owned(),
            hash: record.hash.to_vec(),
            project: text(record.project.as_ref()),
            name: record.name.clone(),
            scopes: record.scopes.bits().into(),
            expires_us: micros(record.expires),
            addresses: addresses.join(" "),
            revoked_us: micros(record.revoked),
            last_used_us: micros(record.last_used),
            created_by: record.created_by.clone(),
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
            requests_per_sec: stored_rate(record.rate),
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let origin = match self.origin.as_str() {
            REGISTERED => KeyOrigin::Registered,
            purpose => KeyOrigin::Made(parsed("origin", KeyPurpose::parse(purpose))?),
        };
        let scopes = u8::try_from(self.scopes).ok().and_then(KeyScopes::from_bits);
        let addresses = self.addresses.split_terminator(' ').map(|range| AddressRange::parse(range).ok());
        let record = ApiKey {
            id: parsed("id", KeyId::parse(&self.id).ok())?,
            origin,
            hash: hash("hash", &self.hash)?,
            workspace: workspace(&self.tenant)?,
            project: self.project.map(Into::into),
            name: self.name,
            scopes: parsed("scopes", scopes)?,
            expires: instant(self.expires_us),
            addresses: parsed("addresses", addresses.collect())?,
            rate: rate("requests_per_sec", self.requests_per_sec)?,
            revoked: instant(self.revoked_us),
            last_used: instant(self.last_used_us),
            created_by: self.created_by,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::ApiKey(record))
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
