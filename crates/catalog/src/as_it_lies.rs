//! Reading the register of a catalog that no process has open, without changing anything: no step of the schema is applied,
//! and SQLite puts nothing beside the file.

use std::path::Path;

use domain::access::record::Record;
use ports::PortError;
use ports::register::Revision;
use sqlite::FileAsItLies;

use crate::migrations::Migrations;
use crate::register::load_pages;
use crate::sqlite_catalog::SqliteCatalog;

/// What is known of a catalog that was read as it lies on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CatalogAsItLies {
    /// Its records were handed out.
    Read {
        /// Whether later changes are in its write-ahead log, as after a crash: they were not.
        has_log: bool,
    },
    /// It has a format of before, which the next start brings up to the newest one. Nothing was handed out.
    Older {
        /// The format that it has.
        format: usize,
        /// The newest one.
        newest: usize,
    },
}

impl SqliteCatalog {
    /// Hands out the register in the file at `path` as it lies there, and changes nothing, neither in the file nor beside
    /// it. No process may have it open.
    ///
    /// # Errors
    /// `Corrupt` when the file is damaged or missing, `Unacceptable` when a newer program has written it, `Unavailable`
    /// when it cannot be read.
    pub async fn read_as_it_lies(
        path: &Path,
        take: &mut (dyn FnMut(Record) + Send),
    ) -> Result<CatalogAsItLies, PortError> {
        let file = FileAsItLies::open::<Migrations>(path).await?;
        let (format, newest) = file.formats();
        let read = async {
            if format < newest {
                return Ok(CatalogAsItLies::Older { format, newest });
            }
            load_pages(&file.snapshot().await?, Revision::default(), take).await?;
            Ok(CatalogAsItLies::Read { has_log: file.has_log() })
        };
        let read = read.await.map_err(|failure| file.failed("read the register in", failure));
        file.close().await?;
        read
    }
}
