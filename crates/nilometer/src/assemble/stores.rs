//! Opens the two SQLite files of a data folder, `manifest.sqlite` and `catalog.sqlite`, and moves the catalog of
//! an older folder out of the one into the other.
//!
//! ```text
//! manifest     catalog      found
//! none         none         a new folder: the catalog is made first, so a manifest never stands without one
//! none         some         a new folder that a crash left so; or a lost manifest, which the journal notices
//! format 2     none, some   an older folder: the catalog is made anew from the manifest, which then is marked
//! format 3     some         the usual
//! format 3     none         refused: a new one would lose every tenant's settings and reference tables
//! ```

use std::path::Path;
use std::sync::Arc;

use anyhow::bail;
pub(crate) use catalog::CatalogAsItLies;
use catalog::SqliteCatalog;
use domain::access::record::Record;
use manifest::{Format2Manifest, OpenedManifest, SqliteManifest};

use crate::folder::{CATALOG_FILE, MANIFEST_FILE};

/// Both files, open.
#[derive(Debug, Clone)]
pub(super) struct Stores {
    pub(super) manifest: Arc<SqliteManifest>,
    pub(super) catalog: Arc<SqliteCatalog>,
}

impl Stores {
    /// Opens the files in the folder `data`, which this process holds.
    pub(super) async fn open(data: &Path) -> anyhow::Result<Self> {
        let (manifest, catalog) = (data.join(MANIFEST_FILE), data.join(CATALOG_FILE));
        let (manifest, catalog) = if SqliteManifest::exists(&manifest).await? {
            let manifest = match SqliteManifest::open_any(&manifest).await? {
                OpenedManifest::Current(manifest) => manifest,
                OpenedManifest::Format2(old) => move_catalog(old, &catalog).await?,
            };
            if !SqliteCatalog::exists(&catalog).await? {
                bail!("{} is missing: {MANIFEST_FILE} says that there was one; restore both", catalog.display());
            }
            (manifest, SqliteCatalog::open(&catalog).await?)
        } else {
            let catalog = SqliteCatalog::open_or_create(&catalog).await?;
            (SqliteManifest::open(&manifest).await?, catalog)
        };
        Ok(Self { manifest: Arc::new(manifest), catalog: Arc::new(catalog) })
    }

    /// Closes both files, tidily.
    pub(super) async fn close(&self) -> anyhow::Result<()> {
        self.catalog.close().await?;
        Ok(self.manifest.close().await?)
    }
}

/// Hands out the register of the folder `data`, which no process holds, as it lies there. Changes nothing.
pub(crate) async fn read_register(
    data: &Path,
    take: &mut (dyn FnMut(Record) + Send),
) -> anyhow::Result<CatalogAsItLies> {
    Ok(SqliteCatalog::read_as_it_lies(&data.join(CATALOG_FILE), take).await?)
}

/// Makes the catalog's file from the tables in the manifest, in place of one that a crash of this has left, and
/// then marks the manifest. Killed before the mark, it all happens again at the next start.
async fn move_catalog(old: Format2Manifest, catalog: &Path) -> anyhow::Result<SqliteManifest> {
    tracing::info!("moving the catalog of an older folder into {CATALOG_FILE}");
    let zones = old.zones().await?;
    SqliteCatalog::create_from_manifest(catalog, old.path(), &zones).await?;
    Ok(old.without_catalog().await?)
}
