//! A segment: the immutable files of one flush, or of several merged. Rows of all tenants, sorted so
//! that one customer's rows stand together; the manifest alone says which segments count.

mod blob;
pub(crate) mod columns;
pub(crate) mod events;
mod file;
pub(crate) mod grain;
mod group_writer;
mod lacking;
mod layout;
mod numbers;
pub(crate) mod residuals;
pub(crate) mod row_writer;
pub(crate) mod sorted;
pub(crate) mod sums;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::position::Seq;
use domain::tenant::TenantScope;
use domain::time::{MICROS_PER_HOUR, TimeRange};
use ports::manifest::{FileKind, FileMeta, SegmentMeta};
use ports::{ErrorKind, PortError};
use vfs::{TEMPORARY_SUFFIX, Vfs};

pub(crate) use blob::slices as blob_slices;
pub(crate) use file::{
    Batches, Chunks, KeyRange, Morsel, Pages, ParquetFile, RowId, SegmentFile, ViewBatches, corrupt, encode_error,
    io_error,
};
pub(crate) use group_writer::GroupWriter;

use crate::dedup::IdRun;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    meta: SegmentMeta,
    events: Option<ParquetFile>,
    sums: ParquetFile,
    ids: IdRun,
    residuals: Option<ParquetFile>,
}

impl Segment {
    /// Opens the files of a segment, each checked against the manifest: length, and with `deep` the
    /// hash of every byte.
    pub(crate) fn open(vfs: &dyn Vfs, dir: &Path, meta: SegmentMeta, deep: bool) -> Result<Self, PortError> {
        let file = |kind| meta.files.iter().find(|file| file.kind == kind);
        let open = |file: &FileMeta| open_checked(vfs, dir, file, deep);
        let events = file(FileKind::Events)
            .map(|file| {
                ParquetFile::open(open(file)?, &events::KEYS, &events::schema()).map_err(|why| corrupt(&file.name, why))
            })
            .transpose()?;
        if events.as_ref().is_some_and(|events| !events.has_column(events::USER_NUMBER)) {
            let message = format!("open segment {}: an earlier version wrote it, without numbers of users", meta.id);
            return Err(PortError::new(ErrorKind::Conflict, message));
        }
        let sums = required(&meta, file(FileKind::Windows))?;
        let sums =
            ParquetFile::open(open(sums)?, &sums::KEYS, &sums::schema()).map_err(|why| corrupt(&sums.name, why))?;
        let ids = required(&meta, file(FileKind::Ids))?;
        let ids = IdRun::open(open(ids)?).map_err(|why| corrupt(&ids.name, why))?;
        let residuals = file(FileKind::Residuals).map(|file| {
            ParquetFile::open(open(file)?, &residuals::KEYS, &residuals::schema())
                .map_err(|why| corrupt(&file.name, why))
        });
        let residuals = residuals.transpose()?;
        Ok(Self { meta, events, sums, ids, residuals })
    }

    /// What the manifest says of it.
    pub(crate) fn meta(&self) -> &SegmentMeta {
        &self.meta
    }

    /// Its raw events, unless retention has dropped them.
    pub(crate) fn events(&self) -> Option<&ParquetFile> {
        self.events.as_ref()
    }

    /// Its partial aggregates.
    pub(crate) fn sums(&self) -> &ParquetFile {
        &self.sums
    }

    /// Its ids.
    pub(crate) fn ids(&self) -> &IdRun {
        &self.ids
    }

    /// Its residuals, if it lost events to an erasure.
    pub(crate) fn residuals(&self) -> Option<&ParquetFile> {
        self.residuals.as_ref()
    }

    /// How often it was written anew since it was flushed or merged.
    pub(crate) fn rewrites(&self) -> u32 {
        let written = self.meta.id.rsplit_once(REWRITTEN).and_then(|(_, number)| number.parse().ok());
        written.unwrap_or(0)
    }

    /// The names of its files.
    pub(crate) fn file_names(&self) -> impl Iterator<Item = &str> {
        self.meta.files.iter().map(|file| file.name.as_str())
    }

    /// Rows of one kind.
    pub(crate) fn rows(&self, kind: FileKind) -> u64 {
        self.meta.files.iter().filter(|file| file.kind == kind).map(|file| file.rows).sum()
    }

    /// Whether windows that start in `range` may be in it; a window begins at most an hour before
    /// its first event.
    pub(crate) fn overlaps_windows(&self, range: TimeRange) -> bool {
        range.overlaps(self.meta.time_min.plus_micros(-MICROS_PER_HOUR), self.meta.time_max)
    }

    /// Whether events of that time may be in it.
    pub(crate) fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.meta.time_min, self.meta.time_max)
    }
}

fn required<'m>(meta: &SegmentMeta, file: Option<&'m FileMeta>) -> Result<&'m FileMeta, PortError> {
    file.ok_or_else(|| {
        PortError::new(ErrorKind::Corrupt, format!("open segment {}: a file is missing in the manifest", meta.id))
    })
}

fn open_checked(vfs: &dyn Vfs, dir: &Path, meta: &FileMeta, deep: bool) -> Result<Arc<dyn vfs::ReadFile>, PortError> {
    let file = vfs.open_read(&dir.join(&meta.name)).map_err(|why| corrupt(&meta.name, why))?;
    if file.len() != meta.bytes {
        let message = format!("open {}: {} bytes instead of {}", meta.name, file.len(), meta.bytes);
        return Err(PortError::new(ErrorKind::Corrupt, message));
    }
    if deep && file::hash_of(&*file).map_err(|why| corrupt(&meta.name, why))? != meta.blake3 {
        return Err(PortError::new(ErrorKind::Corrupt, format!("open {}: its checksum differs", meta.name)));
    }
    Ok(file)
}

/// Name of the segment of these records at this level; unique, since segments partition the journal.
pub(crate) fn segment_id(first: Seq, last: Seq, level: u32) -> String {
    format!("{:012x}-{:012x}-{level}", first.0, last.0)
}

/// What the name of a segment that was written anew has before its number.
const REWRITTEN: &str = "-r";

/// Name of a segment that takes the place of one whose records and level it has.
pub(crate) fn rewritten_id(meta: &SegmentMeta, number: u32) -> String {
    format!("{}{REWRITTEN}{number}", segment_id(meta.first_seq, meta.last_seq, meta.level))
}

/// Name of a segment's file.
pub(crate) fn file_name(id: &str, kind: FileKind) -> String {
    let extension = if kind == FileKind::Ids { "run" } else { "parquet" };
    format!("{id}.{}.{extension}", kind.as_str())
}

/// Where a segment's files are written.
#[derive(Debug, Clone)]
pub(crate) struct SegmentDir {
    pub(crate) vfs: Arc<dyn Vfs>,
    pub(crate) path: PathBuf,
}

impl SegmentDir {
    /// Begins writing a file of segment `id`.
    pub(crate) fn create(&self, id: &str, kind: FileKind) -> Result<SegmentFile, PortError> {
        let name = file_name(id, kind);
        SegmentFile::create(Arc::clone(&self.vfs), &self.path, name.clone(), kind)
            .map_err(|why| io_error(format!("create {name}"), why))
    }

    /// Deletes all files that are none of these segments': what an interrupted flush, merge, erasure or retention has left,
    /// and what could not be deleted then. Nobody writes a segment meanwhile.
    pub(crate) fn remove_unknown(&self, segments: &[Arc<Segment>]) -> Result<(), PortError> {
        let known: BTreeSet<_> = segments.iter().flat_map(|segment| segment.file_names()).collect();
        let names = self.vfs.list(&self.path).map_err(|why| io_error("list the segments folder".into(), why))?;
        for name in names.iter().filter(|name| !known.contains(name.as_str())) {
            let temporary = name.ends_with(TEMPORARY_SUFFIX);
            tracing::info!(file = %name, temporary, "deleting a segment file that does not count");
            self.vfs.remove(&self.path.join(name)).map_err(|why| io_error(format!("delete {name}"), why))?;
        }
        self.vfs.sync_dir(&self.path).map_err(|why| io_error("sync the segments folder".into(), why))
    }

    /// Opens a segment whose files were just written or checked.
    pub(crate) fn open(&self, meta: SegmentMeta, deep: bool) -> Result<Segment, PortError> {
        Segment::open(&*self.vfs, &self.path, meta, deep)
    }
}

/// Rows of one tenant: the one place where stored rows are narrowed to a tenant (I5).
pub(crate) fn key_range(scope: &TenantScope, range: TimeRange) -> KeyRange<'_> {
    KeyRange { tenant: scope.tenant().as_str(), grain: None, customer: None, from_customer: None, range }
}
