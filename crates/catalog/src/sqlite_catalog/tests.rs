//! What a refused change leaves.

use super::*;

use domain::access::audit::Cause;
use domain::access::record::Workspace;
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use sea_orm::{EntityTrait, IntoActiveModel};

use crate::entities::{row, tenant};

/// As an "e-mail already taken" will be.
#[tokio::test]
async fn what_is_taken_already_is_a_conflict_and_writes_go_on() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let catalog = SqliteCatalog::open_or_create(&folder.path().join("catalog.sqlite")).await?;
    let acme = Workspace::new(TenantId::default_tenant(), "Acme", Timestamp::MIN);
    let row = row::sealed::<tenant::Model>(&acme, 0)?;
    let mut told = Vec::new();
    for _ in 0..2 {
        let row = row.clone().into_active_model();
        let insert = async |transaction: &DatabaseTransaction| {
            tenant::Entity::insert(row).exec_without_returning(transaction).await?;
            Ok(())
        };
        told.push(catalog.write("register a tenant in", insert).await.err().map(|error| error.kind()));
    }
    assert_eq!(told, [None, Some(ErrorKind::Conflict)]);
    let scope = TenantScope::for_operator(TenantId::default_tenant());
    let audit = Cause::server().draft(Some(scope.tenant()), Timestamp::MIN, "settings.change", "settings");
    catalog.store_settings(&scope, &TenantSettings::default(), &audit).await?;
    assert_eq!(catalog.tenants().await?.len(), 1);
    Ok(())
}
