//! Two files, two poisons: a write that fails in one of them stops nothing in the other. Failpoints belong to the
//! process, so these tests run one after the other, by holding a `FailScenario`.

use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use domain::window::WindowRule;
use fail::FailScenario;
use manifest::SqliteManifest;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use ports::manifest::{Commit, Identity, Manifest};

use crate::Outcome;
use crate::place::{Folder, audit, kind};

fn scope() -> TenantScope {
    TenantScope::for_operator(TenantId::default_tenant())
}

fn moved(from: u64, to: u64) -> Commit {
    Commit { cursor: Some((Seq(from), Seq(to))), ..Commit::default() }
}

#[tokio::test]
async fn i8_a_failed_write_poisons_its_own_file_only() -> Outcome {
    let _alone = FailScenario::setup();
    let folder = Folder::new()?;
    let (catalog, manifest) = (folder.catalog().await?, SqliteManifest::open(&folder.manifest()).await?);
    manifest.load(&Identity { key: [7; 16], rule: WindowRule::default() }).await?;
    let decide = async |catalog: &catalog::SqliteCatalog| {
        kind(catalog.store_settings(&scope(), &TenantSettings::default(), &audit(&scope(), Timestamp::MIN)).await)
    };
    assert_eq!(decide(&catalog).await, None);

    fail::cfg("catalog::before_commit", "1*return")?;
    assert_eq!(decide(&catalog).await, Some(ErrorKind::Poisoned));
    assert_eq!(decide(&catalog).await, Some(ErrorKind::Poisoned), "until it is opened again");
    manifest.commit(&moved(0, 1)).await?;
    catalog.settings().await?;

    drop(catalog);
    let catalog = folder.catalog().await?;
    assert_eq!(decide(&catalog).await, None);
    fail::cfg("manifest::before_commit", "1*return")?;
    assert_eq!(kind(manifest.commit(&moved(1, 2)).await), Some(ErrorKind::Poisoned));
    assert_eq!(kind(manifest.commit(&moved(1, 2)).await), Some(ErrorKind::Poisoned));
    assert_eq!(decide(&catalog).await, None);
    Ok(())
}
