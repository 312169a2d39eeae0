//! Counting a tenant's days again, in another zone. Most events are counted while batches are applied; then the writer
//! stands still for those that came meanwhile, and one transaction replaces the days. Who reads sees days of the old zone
//! or of the new one.

use std::collections::BTreeMap;

use domain::calendar::{Days, Zone};
use domain::position::{Position, Seq};
use domain::tenant::TenantScope;
use domain::time::TimeRange;
use domain::users::{UserNumber, UserSet};
use futures::TryStreamExt;
use ports::PortError;
use ports::active_users::VersionedZone;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::apply::Writer;
use crate::floor::refuse_dropped;
use crate::fold::{AUDIENCE_ALL, AUDIENCE_PROJECT, AUDIENCE_TYPE};
use crate::ledger::PostgresLedger;
use crate::scoped::Scoped;
use crate::sums::{self, UserDayKey, UserDays};
use crate::transaction::OwnTransaction;
use crate::types::{Instant, signed, unsigned};
use crate::unanswered::Unanswered;
use crate::upkeep::CHUNK_BITS;

const WHAT: &str = "count users again";
/// All events of a tenant are read; whoever waits for that may leave.
const NO_TIMEOUT: &str = "SET LOCAL statement_timeout = 0";

/// Applies the wanted zone. Dropped before the commit, it changes nothing.
pub(crate) async fn recount(
    ledger: &PostgresLedger,
    scope: &TenantScope,
    wanted: &VersionedZone,
) -> Result<(), PortError> {
    if applied(ledger, scope).has(wanted)? {
        return Ok(());
    }
    let _alone = ledger.recounting.lock().await;
    let mut counted = Counted::new(wanted.zone.clone());
    if let Some(mut scoped) = ledger.scoped(scope).await.map_err(|failure| failure.during(WHAT))? {
        let found = counted.go_on(&mut scoped).await;
        if found.is_err() {
            scoped.leave_rest();
        }
        scoped.end().await;
        found.map_err(|why| why.during(WHAT))?;
    }
    let mut writer = ledger.writer.lock().await;
    ledger.told(writer.settle(&ledger.worker, &ledger.state).await, "read how far the ledger in PostgreSQL is")?;
    if applied(ledger, scope).has(wanted)? {
        return Ok(());
    }
    writer.unsettle();
    let changed = change(&mut writer, ledger, scope, wanted, counted).await;
    // Whether it counts is asked in any case: what is kept of days is of the zone before.
    ledger.told(writer.settle(&ledger.worker, &ledger.state).await, "read how far the ledger in PostgreSQL is")?;
    match ledger.told(changed, WHAT) {
        Err(_) if ledger.state.read().zones.get(scope.tenant()) == Some(wanted) => Ok(()),
        told => told,
    }
}

fn applied(ledger: &PostgresLedger, scope: &TenantScope) -> VersionedZone {
    ledger.state.read().zones.get(scope.tenant()).cloned().unwrap_or_default()
}

/// Counts what came meanwhile and replaces the days.
async fn change(
    writer: &mut Writer,
    ledger: &PostgresLedger,
    scope: &TenantScope,
    wanted: &VersionedZone,
    mut counted: Counted,
) -> Result<(), Failure> {
    let mut transaction = OwnTransaction::begin(&ledger.worker).await?;
    let on = transaction.on();
    writer.enter(on).await?;
    sqlx::raw_sql(NO_TIMEOUT).execute(&mut *on).await?;
    let no = writer.resolve(on, scope.tenant()).await?;
    counted.add(on, no).await?;
    counted.add_erased(on, no).await?;
    for table in ["DELETE FROM user_days WHERE tenant_no = $1", "DELETE FROM user_day_deltas WHERE tenant_no = $1"] {
        sqlx::query(table).bind(no).execute(&mut *on).await?;
    }
    sums::add::<UserDays>(on, &mut writer.leaves, &mut writer.seen.user_days, counted.pages(no)).await?;
    let set = "UPDATE tenants SET zone = $2, zone_version = $3 WHERE tenant_no = $1";
    let (name, version) = (wanted.zone.name(), signed(wanted.version));
    sqlx::query(set).bind(no).bind(name).bind(version).execute(&mut *on).await?;
    transaction.commit().await
}

/// Days counted from the records up to one, by audience, name, day and chunk.
#[derive(Debug)]
struct Counted {
    days: Days<'static>,
    sets: BTreeMap<(i16, String, i32, i32), UserSet>,
    through: Seq,
}

impl Counted {
    fn new(zone: Zone) -> Self {
        Self { days: zone.into_days(), sets: BTreeMap::new(), through: Seq::ZERO }
    }

    /// Counts all that one moment has.
    async fn go_on(&mut self, scoped: &mut Scoped) -> Result<(), Unanswered> {
        refuse_dropped(scoped, None, &[TimeRange::ALL]).await?;
        sqlx::raw_sql(NO_TIMEOUT).execute(scoped.on()).await?;
        let sql = "SELECT b.record_no FROM tenants t JOIN buckets b ON b.bucket = t.bucket WHERE t.tenant_no = $1";
        let no = scoped.tenant.no;
        let through: i64 = sqlx::query_scalar(sql).bind(no).fetch_one(scoped.on()).await?;
        self.add(scoped.on(), no).await?;
        self.through = Seq(unsigned(through));
        Ok(())
    }

    /// Counts the events of later records.
    async fn add(&mut self, on: &mut PgConnection, no: i32) -> Result<(), sqlx::Error> {
        let sql = "SELECT time, user_no, project, kind FROM usage_events \
                   WHERE tenant_no = $1 AND position >= $2 AND user_no IS NOT NULL";
        let from = Position::new(self.through.next(), 0).bits().cast_signed();
        let mut rows = sqlx::query(sql).bind(no).bind(from).fetch(on);
        while let Some(row) = rows.try_next().await? {
            let (Instant(time), user) = (row.try_get(0)?, row.try_get::<i32, _>(1)?);
            let day = self.days.day_of(time).number();
            let user = UserNumber(user.cast_unsigned());
            let chunk = (user.0 >> CHUNK_BITS).cast_signed();
            let (project, kind) = (row.try_get::<Option<&str>, _>(2)?.unwrap_or(""), row.try_get::<&str, _>(3)?);
            for (audience, name) in [(AUDIENCE_ALL, ""), (AUDIENCE_PROJECT, project), (AUDIENCE_TYPE, kind)] {
                self.sets.entry((audience, name.to_owned(), day, chunk)).or_default().insert(user);
            }
        }
        Ok(())
    }

    /// Adds who was active by erased events, of which only days of an earlier zone are known: they stay, as an estimate.
    async fn add_erased(&mut self, on: &mut PgConnection, no: i32) -> Result<(), Failure> {
        let sql = "SELECT audience, name, day, chunk, bits FROM erased_user_days WHERE tenant_no = $1";
        for row in sqlx::query(sql).bind(no).fetch_all(on).await? {
            let key = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
            let users = UserSet::from_bytes(row.try_get(4)?).map_err(|why| sqlx::Error::Decode(why.into()))?;
            self.sets.entry(key).or_default().merge(&users);
        }
        Ok(())
    }

    /// What is to be stored for the tenant of this number.
    fn pages(self, no: i32) -> BTreeMap<UserDayKey, UserSet> {
        let page = |((audience, name, day, chunk), users)| ((no, audience, name, day, chunk), users);
        self.sets.into_iter().map(page).collect()
    }
}
