//! What workspaces encrypt of the properties of their events: a line for each path, which begins with
//! how it is bound and whether it is in use. No path has a line break in it.

use domain::access::record::{EncryptionRules, Record};
use domain::encryption::{EncryptedPath, EncryptedPaths};
use domain::query::PropertyPath;
use sea_orm::entity::prelude::*;
use sqlite::{Failure, signed, tenant_id};

use super::columns::{parsed, versioned};
use super::row::Row;

#[derive(Debug, Clone, PartialEq, Eq, DeriveEntityModel)]
#[sea_orm(table_name = "encryption_rules")]
pub(crate) struct Model {
    #[sea_orm(primary_key, auto_increment = false)]
    pub(crate) tenant: String,
    pub(crate) paths: String,
    pub(crate) allows_deterministic: bool,
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
    type Record = EncryptionRules;

    fn new(record: &EncryptionRules, revision: i64) -> Result<Self, Failure> {
        Ok(Self {
            tenant: record.workspace.as_str().to_owned(),
            paths: paths_text(&record.paths),
            allows_deterministic: record.allows_deterministic,
            created_us: record.versioned.created.micros(),
            updated_us: record.versioned.updated.micros(),
            version: signed("version", record.versioned.version)?,
            revision,
            seal: 0,
        })
    }

    fn into_record(self) -> Result<Record, Failure> {
        let record = EncryptionRules {
            workspace: tenant_id(&self.tenant)?,
            paths: parsed("paths", paths_of(&self.paths))?,
            allows_deterministic: self.allows_deterministic,
            versioned: versioned(self.created_us, self.updated_us, self.version)?,
        };
        Ok(Record::Encryption(record))
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

/// How a path stands in its line: how it is bound, and whether it is in use.
const MODES: [(&str, bool, bool); 4] =
    [("b+", false, true), ("b-", false, false), ("d+", true, true), ("d-", true, false)];

fn paths_text(paths: &EncryptedPaths) -> String {
    let line = |path: &EncryptedPath| {
        let mode = MODES.iter().find(|(_, is_deterministic, is_active)| {
            (*is_deterministic, *is_active) == (path.is_deterministic, path.is_active)
        });
        format!("{}{}", mode.map_or("", |(mode, ..)| *mode), path.path)
    };
    paths.all().iter().map(line).collect::<Vec<_>>().join("\n")
}

fn paths_of(text: &str) -> Option<EncryptedPaths> {
    let read = |line: &str| {
        let (mode, path) = line.split_at_checked(2)?;
        let (_, is_deterministic, is_active) = *MODES.iter().find(|(known, ..)| *known == mode)?;
        Some(EncryptedPath { path: PropertyPath::parse(path).ok()?, is_deterministic, is_active })
    };
    text.lines().map(read).collect::<Option<Vec<_>>>().map(EncryptedPaths::stored)
}
