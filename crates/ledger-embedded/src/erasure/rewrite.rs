//! Writing a segment anew without what is to go. Events go and leave their sums as residuals; sums of an erased
//! customer go; of ids only the hash stays, so that a late repetition is told. Files that lose nothing are kept.

use std::io::Write;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::Totals;
use domain::erasure::cell_us;
use domain::payload::PayloadHash;
use domain::position::{Position, Seq};
use domain::record::ReceiptTimes;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::window::WindowRule;
use hashbrown::HashMap;
use parquet::errors::{ParquetError, Result as ParquetResult};
use ports::active_users::VersionedZone;
use ports::manifest::{Activity, FileKind, FileMeta, SegmentMeta};
use ports::{ErrorKind, PortError};
use roaring::RoaringTreemap;

use super::targets::Targets;
use crate::activity::Recount;
use crate::core::Core;
use crate::dedup::{FirstSeen, IdRecord, IdRunWriter};
use crate::memtable::SumNumbers;
use crate::merge::{Merge, PendingRows, Run};
use crate::segment::columns::{Columns, text_at, time_at, user_at};
use crate::segment::events::{self, EventKeys, USER_NUMBER, WATERMARK, usage_at};
use crate::segment::residuals::{self, Cells, ERASED, ResidualBuilder, ResidualKey, ResidualRows};
use crate::segment::row_writer::RowWriter;
use crate::segment::sorted::SortedRows;
use crate::segment::sums::{self, SumBuilder, SumRows};
use crate::segment::{GroupWriter, Segment, corrupt, file_name, io_error, rewritten_id};
use crate::state::zone_of;

/// Rows built in memory before they are encoded.
const BATCH_ROWS: usize = 8_192;

/// A segment that was written anew.
#[derive(Debug)]
pub(super) struct Rewritten {
    /// The new one; `None` when nothing at all is left.
    pub(super) meta: Option<SegmentMeta>,
    /// Who was active by the events that went.
    pub(super) activity: Vec<Activity>,
    /// How many events went, by erasure.
    pub(super) events: Vec<u64>,
}

/// What went.
struct Gone {
    cells: Cells,
    users: HashMap<TenantId, Recount>,
    events: Vec<u64>,
    /// Where the events stood whose ids stay, by tenant.
    positions: HashMap<String, Positions>,
    /// The records of tenants that go whole.
    records: RoaringTreemap,
}

/// A set of positions, compressed. The number of the event stands before that of its record here: then neighbours are
/// close, whether records have one event each or many.
#[derive(Debug, Default)]
struct Positions(RoaringTreemap);

impl Positions {
    fn insert(&mut self, position: Position) {
        self.0.insert(position.bits().rotate_right(16));
    }

    fn contains(&self, position: Position) -> bool {
        self.0.contains(position.bits().rotate_right(16))
    }
}

/// Writes a segment anew; `number` makes its name new.
pub(super) fn rewrite(
    core: &Core,
    segment: &Arc<Segment>,
    targets: &Targets<'_>,
    number: u32,
    zones: &HashMap<TenantId, VersionedZone>,
) -> Result<Rewritten, PortError> {
    let id = rewritten_id(segment.meta(), number);
    let unreadable = |why: ParquetError| corrupt(&segment.meta().id, why);
    let mut gone = Gone {
        cells: Cells::default(),
        users: HashMap::new(),
        events: vec![0; targets.erasures],
        positions: HashMap::new(),
        records: RoaringTreemap::new(),
    };
    let writer = Rewrite { core, segment, targets, id: &id };
    let mut files = Vec::new();
    if segment.events().is_some() {
        files.push(writer.events(&mut gone, zones)?);
    }
    files.push(if targets.take_customers() { writer.sums()? } else { kept_file(segment, FileKind::Windows) });
    files.push(writer.ids(&gone)?);
    writer.keep_residuals(&mut gone.cells).map_err(unreadable)?;
    if !gone.cells.is_empty() {
        files.push(writer.residuals(&gone.cells)?);
    }
    let activity = gone.users.iter().flat_map(|(tenant, users)| users.activity(tenant)).collect();
    let is_left = files.iter().any(|file: &FileMeta| file.rows > 0);
    let SegmentMeta { level, first_seq, last_seq, time_min, time_max, .. } = *segment.meta();
    let meta = is_left.then(|| SegmentMeta { id: id.clone(), level, first_seq, last_seq, time_min, time_max, files });
    if meta.is_none() {
        core.delete_unfinished_rewrite(segment, number);
    }
    Ok(Rewritten { meta, activity, events: gone.events })
}

fn kept_file(segment: &Segment, kind: FileKind) -> FileMeta {
    let found = segment.meta().files.iter().find(|file| file.kind == kind);
    found.cloned().unwrap_or(FileMeta { kind, name: String::new(), bytes: 0, blake3: [0; 32], rows: 0 })
}

impl Core {
    /// Frees at once what was written for nothing.
    pub(super) fn delete_unfinished_rewrite(&self, segment: &Segment, number: u32) {
        let id = rewritten_id(segment.meta(), number);
        for kind in FileKind::ALL {
            let _ = self.dir.vfs.remove(&self.dir.path.join(file_name(&id, kind)));
        }
    }
}

struct Rewrite<'r> {
    core: &'r Core,
    segment: &'r Segment,
    targets: &'r Targets<'r>,
    id: &'r str,
}

impl Rewrite<'_> {
    /// Events that stay; what goes is noted.
    fn events(&self, gone: &mut Gone, zones: &HashMap<TenantId, VersionedZone>) -> Result<FileMeta, PortError> {
        let unreadable = |why: ParquetError| corrupt(&self.segment.meta().id, why);
        let (schema, properties) = (events::schema(), events::properties());
        let dir = &self.core.dir;
        let mut writer = GroupWriter::create(dir, self.id, FileKind::Events, Arc::clone(&schema), properties)?;
        for (file, group) in
            self.segment.events().into_iter().flat_map(|file| (0..file.groups()).map(move |at| (file, at)))
        {
            if !self.targets.touch_events(file, group).map_err(unreadable)?
                && let Some(encoded) = file.encoded_group(group, &schema)
            {
                writer.copy(encoded)?;
                continue;
            }
            let rows = file.scan_group(group, &events::COLUMNS).map_err(unreadable)?;
            let mut rows = Merge::<EventKeys>::open([rows]).map_err(unreadable)?;
            let mut pending = PendingRows::default();
            while let Some(run) = rows.next_run().map_err(unreadable)? {
                self.kept_of(&run, gone, zones).map_err(unreadable)?.into_iter().for_each(|kept| pending.push(kept));
                if pending.is_full() {
                    writer.write(&built(self.id, pending.take())?)?;
                }
            }
            if !pending.is_empty() {
                writer.write(&built(self.id, pending.take())?)?;
            }
            writer.end_group()?;
        }
        writer.finish()
    }

    fn kept_of(
        &self,
        run: &Run<EventKeys>,
        gone: &mut Gone,
        zones: &HashMap<TenantId, VersionedZone>,
    ) -> ParquetResult<Vec<Run<EventKeys>>> {
        let columns = Columns(&run.batch);
        let users = columns.texts("user")?;
        let mut kept: Vec<Run<EventKeys>> = Vec::new();
        for row in run.rows.clone() {
            let key = run.columns.key(row);
            let tenant = self.targets.of(key.tenant);
            if let Some((tenant, at)) =
                tenant.and_then(|tenant| Some((tenant, tenant.removing(key.customer, text_at(users, row))?)))
            {
                gone.events[at] += 1;
                if tenant.whole.is_some() {
                    gone.records.insert(key.position.seq().0);
                } else {
                    gone.positions.entry_ref(key.tenant).or_default().insert(key.position);
                    let customer = if tenant.of_customer(key.customer).is_some() { ERASED } else { key.customer };
                    self.note(&run.batch, row, (key.tenant, customer, key.time), gone, zones)?;
                }
                continue;
            }
            match kept.last_mut() {
                Some(last) if last.rows.end == row => last.rows.end = row + 1,
                _ => kept.push(Run { batch: run.batch.clone(), columns: Arc::clone(&run.columns), rows: row..row + 1 }),
            }
        }
        Ok(kept)
    }

    /// Notes the sums of an event that goes, and that its user was active.
    fn note(
        &self,
        batch: &RecordBatch,
        row: usize,
        (tenant, customer, time): (&str, &str, Timestamp),
        gone: &mut Gone,
        zones: &HashMap<TenantId, VersionedZone>,
    ) -> ParquetResult<()> {
        let columns = Columns(batch);
        let rule = self.core.identity.rule;
        let text = |name: &str| Ok::<_, ParquetError>(text_at(columns.texts(name)?, row).unwrap_or_default());
        let (project, kind) = (text("project")?, columns.texts("type")?.value(row));
        let start = time.floor_to(cell_us(rule));
        let (endpoint, model) = (text("endpoint")?, text("model")?);
        let key = ResidualKey { tenant, customer, start, project, kind, endpoint, model };
        gone.cells.add(&key, &numbers_of(columns, row, time, rule)?);
        if let Some(user) = user_at(columns.users(USER_NUMBER)?, row) {
            let tenant = TenantId::parse(tenant).map_err(|why| ParquetError::General(why.to_string()))?;
            let zone = zone_of(zones, &tenant);
            gone.users.entry(tenant).or_insert_with(|| Recount::new(zone)).add(time, Some(project), kind, user);
        }
        Ok(())
    }

    /// Sums without those of customers that go.
    fn sums(&self) -> Result<FileMeta, PortError> {
        let unreadable = |why: ParquetError| corrupt(&self.segment.meta().id, why);
        let (schema, properties) = (sums::schema(), sums::properties());
        let dir = &self.core.dir;
        let mut writer = GroupWriter::create(dir, self.id, FileKind::Windows, Arc::clone(&schema), properties)?;
        let file = self.segment.sums();
        for group in 0..file.groups() {
            if !self.targets.touch_sums(file, group)
                && let Some(encoded) = file.encoded_group(group, &schema)
            {
                writer.copy(encoded)?;
                continue;
            }
            for batch in file.scan_group(group, &sums::COLUMNS).map_err(unreadable)? {
                let kept = self.kept_sums(&batch.map_err(unreadable)?).map_err(unreadable)?;
                writer.write(&built(self.id, kept)?)?;
            }
            writer.end_group()?;
        }
        writer.finish()
    }

    /// The sums of a batch without those of customers that go.
    fn kept_sums(&self, batch: &RecordBatch) -> ParquetResult<Result<RecordBatch, ArrowError>> {
        let (from, mut kept) = (SumRows::of(batch)?, SumBuilder::default());
        for row in 0..batch.num_rows() {
            let key = from.key(row);
            if self.targets.of(key.tenant).is_none_or(|tenant| tenant.of_customer(key.customer).is_none()) {
                kept.copy(&from, row);
            }
        }
        Ok(kept.finish())
    }

    /// All ids; those of events that go without position and payload, but with the mark of their tenant, those of tenants
    /// that go whole not at all.
    fn ids(&self, gone: &Gone) -> Result<FileMeta, PortError> {
        let run = self.segment.ids();
        let whole = self.targets.whole().map(|tenant| self.mark(tenant)).collect::<Result<Vec<_>, _>>()?;
        let of_tenants = gone.positions.iter().map(|(tenant, positions)| Ok((self.mark(tenant)?, positions)));
        let of_tenants = of_tenants.collect::<Result<Vec<_>, PortError>>()?;
        if of_tenants.is_empty() && whole.is_empty() {
            return Ok(kept_file(self.segment, FileKind::Ids));
        }
        let mark_of = |position: Position| {
            of_tenants.iter().find(|(_, positions)| positions.contains(position)).map(|(mark, _)| *mark)
        };
        let stays = |record: &IdRecord| {
            let FirstSeen { position, payload } = record.seen;
            let was_erased = payload.rule.is_erased() && whole.contains(&payload.hash);
            !was_erased && !gone.records.contains(position.seq().0)
        };
        let write = || -> std::io::Result<(_, u64)> {
            let mut count = run.count();
            for record in run.scan().take(if gone.records.is_empty() && whole.is_empty() { 0 } else { usize::MAX }) {
                count -= u64::from(!stays(&record?));
            }
            let file = self.core.dir.create(self.id, FileKind::Ids).map_err(std::io::Error::other)?;
            let mut writer = IdRunWriter::new(file, count, run.holds_former_ids())?;
            for record in run.scan() {
                let mut record = record?;
                if !stays(&record) {
                    continue;
                }
                let is_event = !record.seen.payload.rule.is_of_requests();
                if is_event && let Some(mark) = mark_of(record.seen.position) {
                    let payload = PayloadHash { hash: mark, ..record.seen.payload.erased() };
                    record.seen = FirstSeen { position: Position::new(Seq::ZERO, 0), payload };
                }
                writer.push(&record)?;
            }
            let mut file = writer.finish()?;
            file.flush()?;
            Ok((file, count))
        };
        let (file, count) = write().map_err(|why| io_error(format!("write the ids of {}", self.id), why))?;
        file.finish(count)
    }

    /// What the ids of a tenant's erased events are marked with in place of a payload's hash, so that they go with it.
    fn mark(&self, tenant: &str) -> Result<u64, PortError> {
        let tenant = TenantId::parse(tenant).map_err(|why| corrupt(&self.segment.meta().id, why))?;
        let hash = self.core.hasher.of_tenant(&tenant).hash("").0;
        Ok(u64::try_from(hash >> 64).unwrap_or_default())
    }

    /// Adds the residuals that the segment has already, without what goes.
    fn keep_residuals(&self, cells: &mut Cells) -> ParquetResult<()> {
        let Some(file) = self.segment.residuals() else { return Ok(()) };
        for batch in file.scan(&residuals::COLUMNS)? {
            let batch = batch?;
            let rows = ResidualRows::of(&batch)?;
            for row in 0..batch.num_rows() {
                let mut key = rows.key(row);
                let tenant = self.targets.of(key.tenant);
                if tenant.is_some_and(|tenant| tenant.whole.is_some()) {
                    continue;
                }
                if tenant.is_some_and(|tenant| tenant.of_customer(key.customer).is_some()) {
                    key.customer = ERASED;
                }
                cells.add(&key, &rows.numbers(row));
            }
        }
        Ok(())
    }

    fn residuals(&self, cells: &Cells) -> Result<FileMeta, PortError> {
        let (schema, properties) = (residuals::schema(), residuals::properties());
        let mut writer = RowWriter::create(&self.core.dir, self.id, FileKind::Residuals, schema, properties)?;
        let mut rows = ResidualBuilder::default();
        for (key, numbers) in cells.sorted() {
            rows.push(&key, numbers);
            if rows.rows() == BATCH_ROWS {
                writer.write(&rows.finish())?;
            }
        }
        writer.write(&rows.finish())?;
        writer.finish()
    }
}

/// Rows as they are to be written.
fn built(id: &str, rows: Result<RecordBatch, ArrowError>) -> Result<RecordBatch, PortError> {
    rows.map_err(|why| PortError::new(ErrorKind::Unavailable, format!("build rows of {id}")).because(why))
}

/// The sums of one event.
fn numbers_of(columns: Columns<'_>, row: usize, time: Timestamp, rule: WindowRule) -> ParquetResult<SumNumbers> {
    let received_at = Timestamp::from_micros(columns.times("received_at")?.value(row));
    let watermark = time_at(columns.times(WATERMARK)?, row).unwrap_or(received_at);
    let late = rule.is_late(time, ReceiptTimes { received_at, watermark }.late_from());
    let totals = Totals::of(&usage_at(columns, row)?, late);
    Ok(SumNumbers { totals, first_received: received_at, last_received: received_at })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Found in November 2026: the positions of all events that go were a table of numbers.
    #[test]
    fn i6_positions_take_little_whether_records_have_one_event_or_many() {
        for (records, events) in [(100_000_u64, 1_u16), (100, 1_000)] {
            let mut positions = Positions::default();
            let all = || (1..=records).flat_map(|seq| (0..events).map(move |index| Position::new(Seq(seq), index)));
            all().for_each(|position| positions.insert(position));
            assert_eq!(positions.0.len(), 100_000);
            assert!(all().all(|position| positions.contains(position)));
            assert!(!positions.contains(Position::new(Seq(records + 1), 0)));
            assert!(!positions.contains(Position::new(Seq(1), events)));
            let bytes = positions.0.serialized_size();
            assert!(bytes < 300_000, "{bytes} bytes for {records} records");
        }
    }
}
