//! Merging segments. Neighbours of one level become one of the next, so that readers and dedup face
//! few files however long the product runs. Events keep every row that retention still shows, and no other; a segment in
//! which much is hidden is written again by itself. Partial aggregates of one key become one row; ids become one run. One
//! manifest commit swaps the parts for the whole.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use domain::time::Timestamp;
use parquet::errors::ParquetError;
use ports::erasures::ErasureStage;
use ports::manifest::{Commit, FileKind, FileMeta, SegmentMeta};
use ports::{ErrorKind, PortError};

use crate::core::Core;
use crate::dedup::{IdRecord, IdRun, IdRunWriter};
use crate::merge::{Merge, PendingRows, ResidualStream, Run, SumPart, SumStream};
use crate::segment::events::{self, EventKeys};
use crate::segment::residuals::{self, ResidualBuilder};
use crate::segment::row_writer::RowWriter;
use crate::segment::sorted::SortedRows;
use crate::segment::sums::{self, SumBuilder};
use crate::segment::{Segment, SegmentDir, SegmentFile, corrupt, file_name, io_error, segment_id};
use crate::state::Floors;

/// Free space that a merge leaves to the journal and to flushes, in bytes.
const SPACE_LEFT_BYTES: u64 = 256 << 20;
/// Rows written at once.
const BATCH_ROWS: usize = 8_192;

impl Core {
    /// Merges one group of segments after another until none is due, then writes those again in which much is hidden.
    pub(crate) async fn merge_due(&self) -> Result<(), PortError> {
        let _merging = self.merging.lock().await;
        loop {
            let (segments, erased) = {
                let state = self.state.read();
                (Arc::clone(&state.segments), state.erasures.at(ErasureStage::Removing))
            };
            // What an erasure covers must not be mixed with what came later.
            let covering =
                |part: &Segment| erased.iter().filter(|stored| part.meta().last_seq <= stored.erasure.through).count();
            let limits = (self.options.compact_fan_in.max(2), self.options.segment_rows_max);
            let parts = match due(&segments, limits, covering) {
                Some(parts) => parts,
                None => match self.hiding_much(&segments)? {
                    // It can wait, and what retention drops must not wait for it.
                    Some(one) if self.has_space_for(std::slice::from_ref(one)).is_ok() => std::slice::from_ref(one),
                    _ => return Ok(()),
                },
            };
            if !self.merge(parts).await? {
                return Ok(());
            }
            // An erasure waits for one merge at most, and one that cannot be made does not stop them.
            if self.state.read().erasures.is_removing() || self.stopping.load(Ordering::Acquire) {
                return Ok(());
            }
        }
    }

    /// Merges these; says whether it did, or gave way to an erasure.
    async fn merge(&self, parts: &[Arc<Segment>]) -> Result<bool, PortError> {
        self.has_space_for(parts)?;
        let floors = Arc::clone(&self.state.read().floors);
        let meta = match write_merged(self, parts, &floors).inspect_err(|_| self.delete_unfinished(parts)) {
            Err(why) if why.kind() == ErrorKind::TimedOut => return Ok(false),
            written => written?,
        };
        self.merge_gave_way.store(false, Ordering::Release);
        let removed: Vec<_> = parts.iter().map(|part| part.meta().id.clone()).collect();
        let commit = Commit { add: vec![meta.clone()], remove: removed.clone(), ..Commit::default() };
        fail::fail_point!("merge::before_commit");
        self.manifest.commit(&commit).await?;
        fail::fail_point!("merge::after_commit");
        let merged = Arc::new(self.dir.open(meta, false)?);
        {
            let mut state = self.state.write();
            let segments = Arc::make_mut(&mut state.segments);
            let at = segments.iter().position(|segment| removed.contains(&segment.meta().id)).unwrap_or(segments.len());
            segments.retain(|segment| !removed.contains(&segment.meta().id));
            segments.insert(at, merged);
        }
        self.delete(parts.iter().flat_map(|part| &part.meta().files));
        Ok(true)
    }

    /// Ends a merge for an erasure that was asked for since somebody looked for one, which is quicker; but not two merges in
    /// a row.
    ///
    /// # Errors
    /// `TimedOut` when it is to end.
    fn check_merge(&self) -> Result<(), PortError> {
        fail::fail_point!("merge::between_batches");
        let is_asked = self.merge_gives_way.load(Ordering::Acquire);
        if !is_asked || self.merge_gave_way.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        Err(PortError::new(ErrorKind::TimedOut, "merge segments: an erasure comes first"))
    }

    /// What is written anew needs as much space as its parts until they are deleted, and must leave the flush its own.
    pub(crate) fn has_space_for(&self, parts: &[Arc<Segment>]) -> Result<(), PortError> {
        let files = parts.iter().flat_map(|part| &part.meta().files);
        let needed = files.map(|file| file.bytes).sum::<u64>() + SPACE_LEFT_BYTES;
        let free = self.dir.vfs.free_bytes(&self.dir.path).map_err(|why| io_error("ask for free space".into(), why))?;
        if free < needed {
            let message = format!("write {} segments anew: {free} bytes are free and {needed} needed", parts.len());
            return Err(PortError::new(ErrorKind::Full, message));
        }
        Ok(())
    }

    /// Frees at once what a failed merge has written.
    fn delete_unfinished(&self, parts: &[Arc<Segment>]) {
        for name in merged_id(parts).iter().flat_map(|id| FileKind::ALL.map(|kind| file_name(id, kind))) {
            let _ = self.dir.vfs.remove(&self.dir.path.join(name));
        }
    }

    /// Deletes files that no longer count. Readers that hold them open go on; what cannot be deleted
    /// now is deleted at the next start.
    pub(crate) fn delete<'f>(&self, files: impl IntoIterator<Item = &'f FileMeta>) {
        for file in files {
            if let Err(why) = self.dir.vfs.remove(&self.dir.path.join(&file.name)) {
                tracing::warn!(file = %file.name, error = %why, "failed to delete a merged segment file");
            }
        }
    }
}

/// The oldest `fan_in` neighbours of one level, or as many of them as stay within `rows_max` together.
/// Segments with and without raw events are not mixed, nor those that erasures under way cover differently.
fn due(
    segments: &[Arc<Segment>],
    (fan_in, rows_max): (usize, u64),
    covering: impl Fn(&Segment) -> usize,
) -> Option<&[Arc<Segment>]> {
    let alike = |left: &Arc<Segment>, right: &Arc<Segment>| {
        left.meta().level == right.meta().level
            && left.events().is_some() == right.events().is_some()
            && covering(left) == covering(right)
    };
    let groups = segments.chunk_by(alike).flat_map(|run| run.windows(fan_in));
    groups.map(|group| &group[..fitting(group, rows_max)]).find(|group| group.len() > 1)
}

/// How many of the first segments stay within `rows_max` together.
fn fitting(group: &[Arc<Segment>], rows_max: u64) -> usize {
    let mut rows = 0;
    group
        .iter()
        .take_while(|part| {
            rows += part.rows(FileKind::Ids);
            rows <= rows_max
        })
        .count()
}

fn write_merged(core: &Core, parts: &[Arc<Segment>], floors: &Floors) -> Result<SegmentMeta, PortError> {
    let missing = || PortError::new(ErrorKind::Conflict, "merge no segments");
    let (first, last) = parts.first().zip(parts.last()).ok_or_else(missing)?;
    let (first_seq, last_seq, level) = (first.meta().first_seq, last.meta().last_seq, first.meta().level + 1);
    let id = merged_id(parts).ok_or_else(missing)?;
    let mut files = Vec::new();
    if parts.iter().all(|part| part.events().is_some()) {
        files.extend(merge_events(core, &id, parts, floors)?);
    }
    files.push(merge_sums(core, &id, parts)?);
    files.push(merge_ids(&core.dir, &id, parts)?);
    files.extend(merge_residuals(&core.dir, &id, parts)?);
    let time_min = parts.iter().map(|part| part.meta().time_min).min().ok_or_else(missing)?;
    let time_max = parts.iter().map(|part| part.meta().time_max).max().ok_or_else(missing)?;
    Ok(SegmentMeta { id, level, first_seq, last_seq, time_min, time_max, files })
}

fn merged_id(parts: &[Arc<Segment>]) -> Option<String> {
    let (first, last) = (parts.first()?.meta(), parts.last()?.meta());
    Some(segment_id(first.first_seq, last.last_seq, first.level + 1))
}

/// Leaves out what lies before the floors of tenants; nothing when that is all.
fn merge_events(core: &Core, id: &str, parts: &[Arc<Segment>], floors: &Floors) -> Result<Option<FileMeta>, PortError> {
    let unreadable = |why: ParquetError| corrupt(id, why);
    let files = parts.iter().filter_map(|part| part.events()).map(|file| file.scan(&events::COLUMNS));
    let files = files.collect::<Result<Vec<_>, _>>().map_err(unreadable)?;
    let mut merge = Merge::<EventKeys>::open(files).map_err(unreadable)?;
    let mut writer = RowWriter::create(&core.dir, id, FileKind::Events, events::schema(), events::properties())?;
    let mut pending = PendingRows::default();
    let floors = MergeFloors::of(floors);
    while let Some(run) = merge.next_run().map_err(unreadable)? {
        for kept in kept_of(run, &floors) {
            pending.push(kept);
        }
        if pending.is_full() {
            core.check_merge()?;
            writer.write(&pending.take())?;
        }
    }
    if !pending.is_empty() {
        writer.write(&pending.take())?;
    }
    let written = writer.finish()?;
    if written.rows > 0 {
        return Ok(Some(written));
    }
    core.dir
        .vfs
        .remove(&core.dir.path.join(&written.name))
        .map_err(|why| io_error(format!("delete {}", written.name), why))?;
    Ok(None)
}

/// Floors by the names of tenants as rows have them.
struct MergeFloors<'f> {
    server: Timestamp,
    own: HashMap<&'f str, Timestamp>,
    hide_any: bool,
}

impl<'f> MergeFloors<'f> {
    fn of(floors: &'f Floors) -> Self {
        let own = floors.own.iter().map(|(tenant, floor)| (tenant.as_str(), *floor)).collect();
        Self { server: floors.server, own, hide_any: floors.hide_any() }
    }
}

/// The rows of a run that retention still shows.
fn kept_of(run: Run<EventKeys>, floors: &MergeFloors<'_>) -> Vec<Run<EventKeys>> {
    let is_kept = |row: usize| {
        let key = run.columns.key(row);
        key.time >= floors.own.get(key.tenant).copied().unwrap_or(floors.server)
    };
    if !floors.hide_any {
        return vec![run];
    }
    let mut kept: Vec<Run<EventKeys>> = Vec::new();
    for row in run.rows.clone().filter(|row| is_kept(*row)) {
        match kept.last_mut() {
            Some(last) if last.rows.end == row => last.rows.end = row + 1,
            _ => kept.push(Run { batch: run.batch.clone(), columns: Arc::clone(&run.columns), rows: row..row + 1 }),
        }
    }
    kept
}

fn merge_sums(core: &Core, id: &str, parts: &[Arc<Segment>]) -> Result<FileMeta, PortError> {
    let unreadable = |why: ParquetError| corrupt(id, why);
    let mut writer = RowWriter::create(&core.dir, id, FileKind::Windows, sums::schema(), sums::properties())?;
    let mut rows = SumBuilder::default();
    let mut stream = SumStream::open(parts, None).map_err(unreadable)?;
    while let Some(part) = stream.next_part().map_err(unreadable)? {
        match part {
            SumPart::Row(from, row) => rows.copy(&from, row),
            SumPart::Sum(sum) => rows.push_partial(&sum.key(), &sum.partial),
        }
        if rows.rows() == BATCH_ROWS {
            core.check_merge()?;
            writer.write(&rows.finish())?;
        }
    }
    writer.write(&rows.finish())?;
    writer.finish()
}

/// Residuals of one key become one row; no file when no part has any.
fn merge_residuals(dir: &SegmentDir, id: &str, parts: &[Arc<Segment>]) -> Result<Option<FileMeta>, PortError> {
    if parts.iter().all(|part| part.residuals().is_none()) {
        return Ok(None);
    }
    let unreadable = |why: ParquetError| corrupt(id, why);
    let mut stream = ResidualStream::open(parts).map_err(unreadable)?;
    let (schema, properties) = (residuals::schema(), residuals::properties());
    let mut writer = RowWriter::create(dir, id, FileKind::Residuals, schema, properties)?;
    let mut rows = ResidualBuilder::default();
    while let Some((cell, numbers)) = stream.next_cell().map_err(unreadable)? {
        rows.push(&cell.key(), &numbers);
        if rows.rows() == BATCH_ROWS {
            writer.write(&rows.finish())?;
        }
    }
    writer.write(&rows.finish())?;
    writer.finish().map(Some)
}

fn merge_ids(dir: &SegmentDir, id: &str, parts: &[Arc<Segment>]) -> Result<FileMeta, PortError> {
    let count: u64 = parts.iter().map(|part| part.ids().count()).sum();
    let file = dir.create(id, FileKind::Ids)?;
    let runs: Vec<_> = parts.iter().map(|part| part.ids()).collect();
    let merged = merge_runs(&runs, count, file).map_err(|why| io_error(format!("merge the ids of {id}"), why))?;
    merged.finish(count)
}

/// Ids are unique across runs, so merging keeps every record.
fn merge_runs(runs: &[&IdRun], count: u64, file: SegmentFile) -> std::io::Result<SegmentFile> {
    let mut writer = IdRunWriter::new(file, count, runs.iter().any(|run| run.holds_former_ids()))?;
    let mut scans: Vec<_> = runs.iter().map(|run| run.scan().peekable()).collect();
    loop {
        let mut least: Option<(usize, IdRecord)> = None;
        for (at, scan) in scans.iter_mut().enumerate() {
            match scan.peek() {
                Some(Ok(record)) if least.is_none_or(|(_, known)| record.hash < known.hash) => {
                    least = Some((at, *record))
                }
                Some(Err(_)) => {
                    return Err(scan.next().and_then(Result::err).unwrap_or_else(|| std::io::Error::other("id run")));
                }
                _ => {}
            }
        }
        let Some((at, record)) = least else { break };
        scans[at].next();
        writer.push(&record)?;
    }
    let mut file = writer.finish()?;
    file.flush()?;
    Ok(file)
}
