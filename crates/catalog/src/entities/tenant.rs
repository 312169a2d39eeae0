//! Workspaces. The oldest rows have no checksum until they are changed.

use domain::access::record::{Record, Workspace, WorkspaceStatus};
use domain::rate::WorkspaceRates;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{parsed, rate, stored_rate, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "tenant")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) created_us: i64,
    pub(crate) updated_us: i64,
    pub(crate) status: String,
    pub(crate) audits_reads: bool,
    pub(crate) takes_external_tokens: bool,
    pub(crate) version: i64,
    pub(crate) revision: i64,
    pub(crate) seal: Option<i64>,
    pub(crate) requests_per_sec: Option<i64>,
    pub(crate) events_per_sec: Option<i64>,
}

#[derive(Debug, Clone, Copy, EnumIter, DeriveRelation)]
pub(crate) enum Relation {}

impl ActiveModelBehavior for ActiveModel {}

impl Row for Model {
    type Record = Workspace;

    fn new(record: &Workspace, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            id: record.id.as_str().to_owned(),
            name: record.name.clone(),
            status: record.status.name().to_owned(),
            audits_reads: record.audits_reads,
            takes_external_tokens: record.takes_external_tokens,
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: None,
            requests_per_sec: stored_rate(record.rates.requests),
            events_per_sec: stored_rate(record.rates.events),
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        self.workspace().map(Record::Workspace)
    }

    fn version(&self) -> i64 {
        self.version
    }

    fn seal(&self) -> Option<i64> {
        self.seal
    }

    fn set_seal(&mut self, seal: i64) {
        self.seal = Some(seal);
    }

    /// What a catalog of format 2 held.
    fn may_be_unsealed(&self) -> bool {
        self.revision == 0 && self.version == 1
    }
}

impl Model {
    /// The workspace, if it is what was written.
    pub(crate) fn into_workspace(self) -> Result<Workspace, Failure> {
        self.check()?;
        self.workspace()
    }

    fn workspace(self) -> Result<Workspace, Failure> {
        Ok(Workspace {
            id: tenant_id(&self.id)?,
            status: parsed("status", WorkspaceStatus::parse(&self.status))?,
            audits_reads: self.audits_reads,
            takes_external_tokens: self.takes_external_tokens,
            rates: WorkspaceRates {
                requests: rate("requests_per_sec", self.requests_per_sec)?,
                events: rate("events_per_sec", self.events_per_sec)?,
            },
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
            name: self.name,
        })
    }
}
