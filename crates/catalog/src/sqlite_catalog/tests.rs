//! What a refused change leaves.

use super::*;

use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use sea_orm::{EntityTrait, IntoActiveModel};

use crate::entities::tenant;

/// As an "e-mail already taken" will be.
#[tokio::test]
async fn what_is_taken_already_is_a_conflict_and_writes_go_on() -> Result<(), Box<dyn std::error::Error>> {
    let folder = tempfile::tempdir()?;
    let catalog = SqliteCatalog::open_or_create(&folder.path().join("catalog.sqlite")).await?;
    let row = tenant::Model { id: "acme".to_owned(), name: String::new(), active: true, created_us: 0, updated_us: 0 };
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
    catalog.store_settings(&scope, &TenantSettings::default(), Timestamp::MIN).await?;
    assert_eq!(catalog.tenants().await?.len(), 1);
    Ok(())
}
