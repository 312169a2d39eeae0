//! Two files, two poisons: a write that fails in one of them stops nothing in the other. Failpoints belong to the
//! process, so these tests run one after the other, by holding a `FailScenario`.

use std::fs;
use std::path::Path;

use domain::access::record::{CustomerProfile, Record};
use domain::erasure::Subject;
use domain::position::Seq;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use domain::window::WindowRule;
use fail::FailScenario;
use manifest::SqliteManifest;
use ports::ErrorKind;
use ports::catalog::{Catalog, TenantSettings};
use ports::manifest::{Commit, Identity, Manifest};
use ports::register::{Register, RegisterCommit};

use crate::Outcome;
use crate::place::{Folder, audit, kind};
use crate::records::profile;

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

/// The files beside `file`, and itself, that hold a text.
#[expect(clippy::disallowed_methods, reason = "the small files of a test")]
fn holding(file: &Path, text: &str) -> Result<Vec<String>, Box<dyn std::error::Error>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(file.parent().ok_or("no folder")?)? {
        let path = entry?.path();
        if fs::read(&path)?.windows(text.len()).any(|part| part == text.as_bytes()) {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}

/// Found in November 2026: killed between the two, it was never scrubbed, since the next start found no row to remove.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the files as a process that is killed leaves them")]
async fn a_workspace_whose_rows_are_gone_and_whose_file_is_not_scrubbed_is_scrubbed_at_the_next_start() -> Outcome {
    const TEXT: &str = "nAmE-5q1Xw8Lr";
    let _alone = FailScenario::setup();
    let (folder, killed) = (Folder::new()?, Folder::new()?);
    let catalog = folder.catalog().await?;
    let of = scope();
    let customer = CustomerProfile { customer: TEXT.to_owned(), ..profile(of.tenant()) };
    let records = vec![Record::Customer(customer)];
    catalog.commit(&RegisterCommit { records, ..RegisterCommit::default() }).await?;
    fail::cfg("catalog::after_commit", "1*return")?;
    assert_eq!(kind(catalog.forget_workspace(&of).await), Some(ErrorKind::Poisoned));
    for suffix in ["", "-wal"] {
        let name = |folder: &Folder| format!("{}{suffix}", folder.file().display());
        fs::copy(name(&folder), name(&killed))?;
    }
    assert_ne!(holding(&killed.file(), TEXT)?, [""; 0], "the row is gone, its bytes are not");
    let catalog = killed.catalog().await?;
    catalog.forget_workspace(&of).await?;
    assert_eq!(holding(&killed.file(), TEXT)?, [""; 0]);
    Ok(())
}

/// Whoever forgets a customer scrubs later, for many at once; who ends a workspace first does it for both.
#[tokio::test]
async fn what_is_forgotten_of_a_customer_is_owed_a_scrub() -> Outcome {
    const TEXT: &str = "nAmE-7t2Ka4Vd";
    let (_alone, folder) = (FailScenario::setup(), Folder::new()?);
    let of = scope();
    let catalog = folder.catalog().await?;
    let customer = CustomerProfile { customer: TEXT.to_owned(), ..profile(of.tenant()) };
    let records = vec![Record::Customer(customer)];
    catalog.commit(&RegisterCommit { records, ..RegisterCommit::default() }).await?;
    catalog.forget(&of, &Subject::Customer(TEXT.to_owned()), "1").await?;
    assert_ne!(holding(&folder.file(), TEXT)?, [""; 0], "the row is gone, its bytes are not");
    // No row of it is there.
    catalog.forget_workspace(&TenantScope::for_operator(TenantId::parse("other")?)).await?;
    assert_eq!(holding(&folder.file(), TEXT)?, [""; 0]);
    Ok(())
}
