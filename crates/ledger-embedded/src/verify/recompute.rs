//! The raw side of verification: reads all events once in order of (tenant, customer, time), so that
//! windows, hours and totals are complete one after another and can be compared as they pass.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use domain::aggregate::Totals;
use domain::event::{EventId, EventView, IdScheme};
use domain::invariant::Invariant;
use domain::record::ReceiptTimes;
use domain::rollup::{RollupKey, hour_of};
use domain::tenant::TenantId;
use domain::time::Timestamp;
use domain::window::WindowRule;
use parquet::errors::{ParquetError, Result};

use super::received::RawReceived;
use super::report::{Report, Stored};
use super::users::RawUsers;
use crate::dedup::IdHasher;
use crate::memtable::{Partial, SumNumbers};
use crate::merge::{Merge, ResidualStream, Sum};
use crate::segment::Segment;
use crate::segment::columns::{Columns, text_at, time_at, user_at};
use crate::segment::events::{
    CACHE_READ, CACHE_WRITE, EventKey, EventKeys, ID_SCHEME, REASONING, USER_NUMBER, WATERMARK, usage_at,
};
use crate::segment::grain::Grain;
use crate::segment::residuals::{self, Cell, ERASED};
use crate::segment::sorted::SortedRows;

/// What recomputation reads of an event.
const COLUMNS: [&str; 21] = [
    "tenant",
    "customer",
    "time",
    "position",
    "received_at",
    "id",
    "type",
    "project",
    "endpoint",
    "tokens",
    "input_tokens",
    "output_tokens",
    "latency_us",
    "model",
    "user",
    USER_NUMBER,
    CACHE_READ,
    CACHE_WRITE,
    REASONING,
    ID_SCHEME,
    WATERMARK,
];

/// All aggregates computed again from raw events, compared with what is stored.
pub(super) struct Recompute<'r, 'd> {
    segments: &'r [Arc<Segment>],
    hasher: &'r IdHasher,
    rule: WindowRule,
    /// In order of [`Grain::ALL`].
    stored: Vec<Stored>,
    open: [Option<Sum>; 3],
    rollups: BTreeMap<RollupKey, Totals>,
    erased: BTreeMap<TenantId, u64>,
    /// Raw events of tenants that have all of theirs.
    whole: u64,
    received: &'r mut RawReceived,
    users: &'r mut RawUsers,
    report: &'r mut Report<'d>,
}

/// What is compared with the manifest.
pub(super) struct Recomputed {
    pub(super) rollups: BTreeMap<RollupKey, Totals>,
    /// How many events residuals count.
    pub(super) erased: BTreeMap<TenantId, u64>,
}

impl<'r, 'd> Recompute<'r, 'd> {
    pub(super) fn new(
        segments: &'r [Arc<Segment>],
        hasher: &'r IdHasher,
        rule: WindowRule,
        stored: Vec<Stored>,
        (users, received): (&'r mut RawUsers, &'r mut RawReceived),
        report: &'r mut Report<'d>,
    ) -> Self {
        let (open, rollups, erased) = ([None, None, None], BTreeMap::new(), BTreeMap::new());
        Self { segments, hasher, rule, stored, open, rollups, erased, whole: 0, received, users, report }
    }

    /// Compares all sums and ids; returns what else is recomputed. Residuals come between the events, in the order
    /// of both.
    pub(super) fn run(mut self) -> Result<Recomputed> {
        let files = self.segments.iter().filter_map(|segment| segment.events()).map(|file| file.scan(&COLUMNS));
        let mut merge = Merge::<EventKeys>::open(files.collect::<Result<Vec<_>>>()?)?;
        let mut residuals = ResidualStream::open(self.segments)?;
        let mut ahead = residuals.next_cell()?;
        while let Some(run) = merge.next_run()? {
            for row in run.rows {
                let key = run.columns.key(row);
                while let Some((cell, numbers)) =
                    ahead.take_if(|(cell, _)| (cell.key().tenant, cell.key().customer, cell.start) <= order_of(&key))
                {
                    self.residual(&cell, &numbers)?;
                    ahead = residuals.next_cell()?;
                }
                self.event(&run.batch, row, &key)?;
            }
        }
        while let Some((cell, numbers)) = ahead {
            self.residual(&cell, &numbers)?;
            ahead = residuals.next_cell()?;
        }
        for grain in 0..Grain::ALL.len() {
            self.close(grain)?;
            while self.stored[grain].peek()?.is_some() {
                let left = self.stored[grain].ahead.take();
                self.report.unexpected(left);
            }
        }
        self.compare_counts()?;
        Ok(Recomputed { rollups: self.rollups, erased: self.erased })
    }

    /// Takes in what is left of events that were erased.
    fn residual(&mut self, cell: &Cell, numbers: &SumNumbers) -> Result<()> {
        let key = cell.key();
        let tenant = TenantId::parse(key.tenant).map_err(|why| ParquetError::General(why.to_string()))?;
        if key.customer != ERASED {
            for (at, grain) in Grain::ALL.into_iter().enumerate() {
                let partial = self.sum_at(at, grain, (key.tenant, key.customer, key.start))?;
                partial.first_received = partial.first_received.min(numbers.first_received);
                partial.last_received = partial.last_received.max(numbers.last_received);
                residuals::fold_into(&mut partial.aggregate, &key, &numbers.totals);
            }
        }
        *self.erased.entry(tenant.clone()).or_default() += numbers.totals.calls;
        let (project, kind) = (key.project.to_owned(), key.kind.to_owned());
        let rollup = RollupKey { tenant, project, kind, hour: hour_of(key.start) };
        self.rollups.entry(rollup).or_default().merge(&numbers.totals);
        Ok(())
    }

    fn event(&mut self, batch: &RecordBatch, row: usize, key: &EventKey<'_>) -> Result<()> {
        let columns = Columns(batch);
        let text = |name: &str| Ok::<_, ParquetError>(text_at(columns.texts(name)?, row));
        let tenant = TenantId::parse(key.tenant).map_err(|why| ParquetError::General(why.to_string()))?;
        let usage = usage_at(columns, row)?;
        let id_scheme = IdScheme::of_code(columns.codes(ID_SCHEME)?.value(row));
        let event = EventView {
            id: columns.texts("id")?.value(row),
            id_scheme: id_scheme.ok_or_else(|| ParquetError::General("an id has an unknown scheme".into()))?,
            time: key.time,
            kind: columns.texts("type")?.value(row),
            project: text("project")?,
            customer: Some(key.customer),
            user: text("user")?,
            endpoint: text("endpoint")?,
            properties: None,
            usage,
        };
        let received_at = Timestamp::from_micros(columns.times("received_at")?.value(row));
        let watermark = time_at(columns.times(WATERMARK)?, row).unwrap_or(received_at);
        let late = self.rule.is_late(event.time, ReceiptTimes { received_at, watermark }.late_from());
        self.report.summary.events += 1;
        self.whole += u64::from(self.report.floors.of(&tenant) == Timestamp::MIN);
        self.received.event(&tenant, &event, key.position, received_at);
        self.check_id(&tenant, &event, key)?;
        for (at, grain) in Grain::ALL.into_iter().enumerate() {
            self.fold(at, grain, key, &event, received_at, late)?;
        }
        let number = user_at(columns.users(USER_NUMBER)?, row);
        self.users.event(&tenant, &event, key.position, number, self.report);
        let (project, kind) = (event.project.unwrap_or("").to_owned(), event.kind.to_owned());
        let rollup = RollupKey { tenant, project, kind, hour: hour_of(event.time) };
        self.rollups.entry(rollup).or_default().merge(&Totals::of(&usage, late));
        Ok(())
    }

    fn fold(
        &mut self,
        at: usize,
        grain: Grain,
        key: &EventKey<'_>,
        event: &EventView<'_>,
        received_at: Timestamp,
        late: bool,
    ) -> Result<()> {
        let partial = self.sum_at(at, grain, (key.tenant, key.customer, event.time))?;
        partial.first_received = partial.first_received.min(received_at);
        partial.last_received = partial.last_received.max(received_at);
        partial.aggregate.fold(event, late);
        Ok(())
    }

    /// The open sum of a grain that a time of a customer belongs to.
    fn sum_at(
        &mut self,
        at: usize,
        grain: Grain,
        (tenant, customer, time): (&str, &str, Timestamp),
    ) -> Result<&mut Partial> {
        let start = grain.start_of(self.rule.start_of(time));
        if self.open[at].as_ref().is_some_and(|sum| sum.key_in_grain() != (tenant, customer, start)) {
            self.close(at)?;
        }
        let sum = self.open[at].get_or_insert_with(|| {
            let (tenant, customer) = (tenant.to_owned(), customer.to_owned());
            Sum { tenant, grain, customer, partial: Partial::empty(start) }
        });
        Ok(&mut sum.partial)
    }

    fn close(&mut self, at: usize) -> Result<()> {
        match self.open[at].take() {
            Some(sum) => self.report.compare(&mut self.stored[at], &sum),
            None => Ok(()),
        }
    }

    /// The id must lead dedup to this very event: another position means that it was counted twice,
    /// none that a retry would be.
    fn check_id(&mut self, tenant: &TenantId, event: &EventView<'_>, key: &EventKey<'_>) -> Result<()> {
        let hash = self.hasher.of_tenant(tenant).hash_id(EventId { scheme: event.id_scheme, text: event.id });
        let mut seen = Vec::new();
        for segment in self.segments {
            seen.extend(segment.ids().find(hash)?.map(|first| first.position));
        }
        if seen != [key.position] {
            let subject = format!("tenant {tenant} event id {:?}", event.id);
            self.report.differs(
                Invariant::NoDoubleCount,
                subject,
                format!("{:?}", [key.position]),
                format!("{seen:?}"),
            );
        }
        Ok(())
    }

    /// Every id is of an event, but for the keys of requests and what was erased: such entries have rules of their own.
    /// Ids and sums outlive raw events, so of a tenant that may have lost some, the sums say how many there were.
    fn compare_counts(&mut self) -> Result<()> {
        if !self.report.counts_ids {
            return Ok(());
        }
        let mut ids = 0;
        for segment in self.segments {
            for record in segment.ids().scan() {
                let rule = record?.seen.payload.rule;
                ids += u64::from(!rule.is_of_requests() && !rule.is_erased());
            }
        }
        let events = self.whole + self.report.summed;
        if ids != events {
            self.report.differs(Invariant::OneTruth, "number of ids".into(), events.to_string(), ids.to_string());
        }
        Ok(())
    }
}

/// The part of an event's key that residuals are ordered by too.
fn order_of<'k>(key: &EventKey<'k>) -> (&'k str, &'k str, Timestamp) {
    (key.tenant, key.customer, key.time)
}
