//! Rollups of hours and days, from raw events in order of tenant and time: in memory is what one day has.

use std::collections::BTreeMap;

use domain::aggregate::Totals;
use domain::rollup::hour_of;
use domain::time::{MICROS_PER_DAY, Timestamp};
use futures::TryStreamExt;
use ports::verification::VerifySummary;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use super::moment::Moment;
use super::raw::{Addend, addends};
use super::report::{Report, Subject, VerifiedTenant};
use super::stored::Stored;
use crate::sums::{Grain, Rollups, SumTable, values};
use crate::types::Instant;

/// Tenant, start, project and type of a rollup of one grain.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct RollupKey<const GRAIN: u8>(i32, Timestamp, String, String);

const HOUR: u8 = Grain::Hour as u8;
const DAY: u8 = Grain::Day as u8;

impl<const GRAIN: u8> Subject for RollupKey<GRAIN> {
    fn tenant_no(&self) -> i32 {
        self.0
    }

    fn is_whole(&self, tenant: &VerifiedTenant) -> bool {
        tenant.is_whole_from(self.1)
    }

    fn name(&self) -> String {
        let grain = if GRAIN == HOUR { "hour" } else { "day" };
        format!("rollup of project {:?} type {:?} {grain} {}", self.2, self.3, self.1)
    }

    fn count(summary: &mut VerifySummary) -> Option<&mut u64> {
        (GRAIN == HOUR).then_some(&mut summary.rollups)
    }
}

/// The sums of one span of a tenant, and the stored ones.
struct Spans<'c, const GRAIN: u8> {
    open: BTreeMap<RollupKey<GRAIN>, Totals>,
    stored: Stored<'c, RollupKey<GRAIN>, Totals>,
}

impl<'c, const GRAIN: u8> Spans<'c, GRAIN> {
    fn open(on: &'c mut PgConnection) -> Self {
        let sql = format!(
            "SELECT t.tenant_no, t.start, t.project, t.kind, {} FROM rollups t WHERE t.grain = {GRAIN} \
             ORDER BY t.tenant_no, t.start, t.project, t.kind",
            values::<Rollups>()
        );
        let stored = Stored::open(on, sql, |row| {
            let Instant(start) = row.try_get(1)?;
            Ok((RollupKey(row.try_get(0)?, start, row.try_get(2)?, row.try_get(3)?), Rollups::read(row, 4)?))
        });
        Self { open: BTreeMap::new(), stored }
    }

    async fn add(&mut self, one: &Addend<'_>, start: Timestamp, report: &mut Report<'_>) -> Result<(), sqlx::Error> {
        if self.open.first_key_value().is_some_and(|(key, _)| (key.0, key.1) != (one.tenant_no, start)) {
            self.close(report).await?;
        }
        let (project, kind) = (one.project.unwrap_or("").to_owned(), one.kind.to_owned());
        self.open.entry(RollupKey(one.tenant_no, start, project, kind)).or_default().merge(&one.totals);
        Ok(())
    }

    async fn close(&mut self, report: &mut Report<'_>) -> Result<(), sqlx::Error> {
        while let Some((key, sum)) = self.open.pop_first() {
            self.stored.compare(&key, &sum, report).await?;
        }
        Ok(())
    }

    async fn finish(mut self, report: &mut Report<'_>) -> Result<(), sqlx::Error> {
        self.close(report).await?;
        self.stored.finish(report).await
    }
}

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_hours, mut of_days) =
        (moment.reader().await?, moment.reader().await?, moment.reader().await?);
    let mut hours = Spans::<HOUR>::open(of_hours.on());
    let mut days = Spans::<DAY>::open(of_days.on());
    let mut rows = addends(of_raw.on(), "tenant_no, time");
    while let Some(row) = rows.try_next().await? {
        let one = Addend::of(&row)?;
        hours.add(&one, hour_of(one.time), report).await?;
        days.add(&one, one.time.floor_to(MICROS_PER_DAY), report).await?;
    }
    drop(rows);
    hours.finish(report).await?;
    days.finish(report).await?;
    for reader in [of_raw, of_hours, of_days] {
        reader.end().await?;
    }
    Ok(())
}
