//! Writing a segment anew without what is to go. Events go and leave their sums as residuals; sums of an erased
//! customer go; of ids only the hash stays, so that a late repetition is told. Files that lose nothing are kept.

use std::io::Write;
use std::sync::Arc;

use arrow::error::ArrowError;
use arrow::record_batch::RecordBatch;
use domain::aggregate::Totals;
use domain::event::Usage;
use domain::position::{Position, Seq};
use domain::record::ReceiptTimes;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::window::WindowRule;
use hashbrown::{HashMap, HashSet};
use parquet::errors::{ParquetError, Result as ParquetResult};
use ports::active_users::VersionedZone;
use ports::manifest::{Activity, FileKind, FileMeta, SegmentMeta};
use ports::{ErrorKind, PortError};

use super::targets::Targets;
use crate::activity::Recount;
use crate::compact::PendingRows;
use crate::core::Core;
use crate::dedup::{FirstSeen, IdRecord, IdRunWriter};
use crate::flush::RowWriter;
use crate::memtable::SumNumbers;
use crate::merge::{Merge, Run};
use crate::segment::columns::{Columns, count_at, text_at, time_at, user_at};
use crate::segment::events::{self, CACHE_READ, CACHE_WRITE, EventKeys, REASONING, USER_NUMBER, WATERMARK};
use crate::segment::residuals::{self, Cell, Cells, ERASED, ResidualBuilder, ResidualRows};
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
    /// The positions of events, and the records of tenants that go whole.
    positions: HashSet<u64>,
    records: HashSet<Seq>,
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
        cells: Cells::new(),
        users: HashMap::new(),
        events: vec![0; targets.erasures],
        positions: HashSet::new(),
        records: HashSet::new(),
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
                gone.positions.insert(key.position.bits());
                if tenant.whole.is_some() {
                    gone.records.insert(key.position.seq());
                } else {
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
        let cell = Cell {
            tenant: tenant.to_owned(),
            customer: customer.to_owned(),
            start: time.floor_to(residuals::cell_us(rule)),
            project: project.to_owned(),
            kind: kind.to_owned(),
            endpoint: text("endpoint")?.to_owned(),
            model: text("model")?.to_owned(),
        };
        residuals::add(&mut gone.cells, cell, &numbers_of(columns, row, time, rule)?);
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

    /// All ids; those of events that go without position and payload, those of tenants that go whole not at all.
    fn ids(&self, gone: &Gone) -> Result<FileMeta, PortError> {
        let run = self.segment.ids();
        if gone.positions.is_empty() {
            return Ok(kept_file(self.segment, FileKind::Ids));
        }
        let stays = |record: &IdRecord| !gone.records.contains(&record.seen.position.seq());
        let write = || -> std::io::Result<(_, u64)> {
            let mut count = run.count();
            for record in run.scan().take(if gone.records.is_empty() { 0 } else { usize::MAX }) {
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
                if is_event && gone.positions.contains(&record.seen.position.bits()) {
                    let (position, payload) = (Position::new(Seq::ZERO, 0), record.seen.payload.erased());
                    record.seen = FirstSeen { position, payload };
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

    /// Adds the residuals that the segment has already, without what goes.
    fn keep_residuals(&self, cells: &mut Cells) -> ParquetResult<()> {
        let Some(file) = self.segment.residuals() else { return Ok(()) };
        for batch in file.scan(&residuals::COLUMNS)? {
            let batch = batch?;
            let rows = ResidualRows::of(&batch)?;
            for row in 0..batch.num_rows() {
                let mut cell = Cell::from(rows.key(row));
                let tenant = self.targets.of(&cell.tenant);
                if tenant.is_some_and(|tenant| tenant.whole.is_some()) {
                    continue;
                }
                if tenant.is_some_and(|tenant| tenant.of_customer(&cell.customer).is_some()) {
                    cell.customer = ERASED.to_owned();
                }
                residuals::add(cells, cell, &rows.numbers(row));
            }
        }
        Ok(())
    }

    fn residuals(&self, cells: &Cells) -> Result<FileMeta, PortError> {
        let (schema, properties) = (residuals::schema(), residuals::properties());
        let mut writer = RowWriter::create(&self.core.dir, self.id, FileKind::Residuals, schema, properties)?;
        let mut rows = ResidualBuilder::default();
        for (cell, numbers) in cells {
            rows.push(&cell.key(), numbers);
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
    let count = |name: &str| Ok::<_, ParquetError>(count_at(columns.numbers(name)?, row));
    let usage = Usage {
        tokens: count("tokens")?,
        input_tokens: count("input_tokens")?,
        output_tokens: count("output_tokens")?,
        latency_us: count("latency_us")?,
        model: None,
        cache_read_tokens: count(CACHE_READ)?,
        cache_write_tokens: count(CACHE_WRITE)?,
        reasoning_tokens: count(REASONING)?,
    };
    let received_at = Timestamp::from_micros(columns.times("received_at")?.value(row));
    let watermark = time_at(columns.times(WATERMARK)?, row).unwrap_or(received_at);
    let late = rule.is_late(time, ReceiptTimes { received_at, watermark }.late_from());
    let totals = Totals::of(&usage, late);
    Ok(SumNumbers { totals, first_received: received_at, last_received: received_at })
}
