//! Manifests of format 2, which held the catalog's tables as well. The catalog is copied into a file of its
//! own first; then one transaction of this file drops the tables and marks it as of format 3, which says that
//! the catalog's file exists. Killed before that commit, it all begins again.

use std::path::Path;

use domain::calendar::Zone;
use domain::tenant::TenantId;
use ports::PortError;
use sea_orm_migration::MigratorTrait;
use sqlite::{Failure, PreparedFile};

use crate::entities::tenant_users;
use crate::migrations::{CATALOG_APART, Migrations};
use crate::sqlite_manifest::SqliteManifest;

/// A manifest of format 2 that holds the catalog's tables.
#[derive(Debug)]
pub struct Format2Manifest {
    pub(crate) file: PreparedFile,
}

impl Format2Manifest {
    /// The file as one of format 2; gives it back when it is newer.
    pub(crate) async fn from_file(file: PreparedFile) -> Result<Result<Self, PreparedFile>, PortError> {
        match apply_earlier_steps(&file).await {
            Ok(true) => Ok(Ok(Self { file })),
            Ok(false) => Ok(Err(file)),
            Err(failure) => Err(file.failed("open the manifest", failure)),
        }
    }

    /// Where the file is: the tables `tenant`, `tenant_settings` and `reference_table` in it are the catalog's.
    pub fn path(&self) -> &Path {
        self.file.path()
    }

    /// The zones of the tenants that have set one.
    ///
    /// # Errors
    /// `Corrupt` or `Unavailable` when they cannot be read.
    pub async fn zones(&self) -> Result<Vec<(TenantId, Zone)>, PortError> {
        let zones = tenant_users::zones_of_format_2(self.file.writer()).await;
        zones.map_err(|failure| self.file.failed("read the zones of tenants in", failure))
    }

    /// Marks that the catalog has its own file, and drops its tables here. Durable on return.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged, `Full` or `Unavailable` when it cannot be written; nothing has
    /// changed.
    pub async fn without_catalog(self) -> Result<SqliteManifest, PortError> {
        let file = self.file.migrate::<Migrations>().await?;
        fail::fail_point!("upgrade::after_commit");
        Ok(SqliteManifest { file })
    }
}

/// Brings an old schema up to where the catalog moves out; whether it still has to.
async fn apply_earlier_steps(file: &PreparedFile) -> Result<bool, Failure> {
    let pending = Migrations::get_pending_migrations(file.writer()).await?;
    let earlier = pending.iter().position(|step| step.name() == CATALOG_APART);
    if let Some(earlier) = earlier.and_then(|steps| u32::try_from(steps).ok()).filter(|steps| *steps > 0) {
        Migrations::up(file.writer(), Some(earlier)).await?;
    }
    Ok(earlier.is_some())
}
