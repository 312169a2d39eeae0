//! Moves the catalog out of a manifest of format 2. The new file is filled beside its place, read back, and
//! renamed into its place: killed at any step it begins again, and what counts until the manifest is marked is
//! the manifest.

use std::path::Path;

use domain::calendar::Zone;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use ports::active_users::VersionedZone;
use sea_orm::{
    ConnectionTrait, DatabaseConnection, DbBackend, EntityTrait, IntoActiveModel, Statement, TransactionTrait,
};
use sqlite::{Draft, Failure};

use crate::entities::{reference_table, tenant, tenant_settings, wanted_zone};
use crate::migrations::Migrations;

/// What a zone that was set before zones had versions gets; the manifest's upgrade gives it the same.
const FIRST_VERSION: u64 = 1;

/// The tables that are copied, checksums included; a tenant had none.
const COPIES: &str = "\
INSERT INTO tenant (id, name, status, created_us, updated_us)
    SELECT id, name, CASE WHEN active THEN 'active' ELSE 'suspended' END, created_us, updated_us FROM manifest.tenant;
INSERT INTO tenant_settings (tenant, week_start, max_lateness_sec, updated_us, seal)
    SELECT tenant, week_start, max_lateness_sec, updated_us, seal FROM manifest.tenant_settings;
INSERT INTO reference_table (tenant, generation, ts_us, seal, body)
    SELECT tenant, generation, ts_us, seal, body FROM manifest.reference_table;";

/// Makes the catalog at `path` from the manifest's tables and the zones that it counts days in.
pub(crate) async fn copy(path: &Path, manifest: &Path, zones: &[(TenantId, Zone)]) -> Result<(), Failure> {
    fail::fail_point!("upgrade::before_copy");
    let draft = Draft::begin::<Migrations>(path).await?;
    fill(draft.writer(), manifest, zones).await?;
    check(draft.writer()).await?;
    draft.finish().await?;
    fail::fail_point!("upgrade::before_publish");
    draft.publish(path).await?;
    fail::fail_point!("upgrade::after_publish");
    Ok(())
}

async fn fill(draft: &DatabaseConnection, manifest: &Path, zones: &[(TenantId, Zone)]) -> Result<(), Failure> {
    let Some(manifest) = manifest.to_str() else {
        return Err(Failure::unacceptable("the path of the data folder is not UTF-8"));
    };
    let attach = "ATTACH DATABASE ? AS manifest";
    draft.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, attach, [manifest.into()])).await?;
    let transaction = draft.begin().await?;
    transaction.execute_unprepared(COPIES).await?;
    for (tenant, zone) in zones {
        let wanted = VersionedZone { zone: zone.clone(), version: FIRST_VERSION };
        let row = wanted_zone::Model::new(tenant, &wanted, Timestamp::MIN)?.into_active_model();
        wanted_zone::Entity::insert(row).exec_without_returning(&transaction).await?;
    }
    transaction.commit().await?;
    draft.execute_unprepared("DETACH DATABASE manifest").await?;
    Ok(())
}

/// Reads everything back: a damaged row is told now, while the old file is still as it was.
async fn check(draft: &DatabaseConnection) -> Result<(), Failure> {
    for row in tenant::Entity::find().all(draft).await? {
        row.into_workspace()?;
    }
    for row in tenant_settings::Entity::find().all(draft).await? {
        row.into_settings()?;
    }
    for row in wanted_zone::Entity::find().all(draft).await? {
        row.into_zone()?;
    }
    for row in reference_table::Entity::find().all(draft).await? {
        row.into_table()?;
    }
    Ok(())
}
