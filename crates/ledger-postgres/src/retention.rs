//! Dropping raw events that are older than the operator, or a tenant for itself, keeps. A floor moves first, durably, and
//! every read looks at it; then rows go. A partition of which nobody is shown anything goes whole, which the owner's login
//! does (see [`crate::maintain`]); rows in others are deleted here, some thousand at a time. One process decides, whoever
//! has the lease, by `domain::retention`, and never while the time is in doubt. Nothing goes while an erasure removes
//! events, which may have to add up anew what came later.

use std::time::Duration;

use domain::retention::{RetentionStep, RetentionWait};
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_HOUR, Timestamp};
use ports::PortError;
use ports::clock::Clock;
use postgres::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};

use crate::leases;
use crate::ledger::PostgresLedger;
use crate::retention_run::{Doomed, Standing, load_standings, look_at, server_standing, standing};
use crate::stored_erasures::note_unscrubbed;
use crate::tenants::{self, NewTenants};
use crate::transaction::OwnTransaction;
use crate::types::{Instant, signed, unsigned};

const WHAT: &str = "drop raw events that are too old in PostgreSQL";
/// What the lease is called.
const LEASE: &str = "retention";
/// Rows that one transaction deletes.
const ROWS_MAX: i64 = 5_000;

/// A tenant that has, or had, a retention of its own.
#[derive(Debug)]
struct OwnFloor {
    id: TenantId,
    no: i32,
    standing: Standing,
    is_new: bool,
}

impl PostgresLedger {
    /// Moves floors when that is due, and deletes what lies before them.
    pub(crate) async fn retain_due(&self, clock: &dyn Clock) -> Result<(), PortError> {
        if clock.doubt().is_some() {
            return Ok(());
        }
        let (now, passed) = (clock.now(), self.retention.lock().look(clock.monotonic()));
        self.told(self.retain(now, passed).await, WHAT)
    }

    async fn retain(&self, now: Timestamp, passed: (Duration, Duration)) -> Result<(), Failure> {
        // Before a connection is had, since whoever applies may have the writer and wait for one.
        let key = self.writer.lock().await.key;
        let mut connection = self.worker.acquire().await?;
        let is_mine = leases::take(&mut connection, LEASE, self.node).await?;
        if is_mine {
            self.number_own(&mut connection, &key).await?;
            self.move_own_floors(&mut connection, now, passed).await?;
            self.move_server_floor(&mut connection, now, passed).await?;
        }
        let (server, own) = load_standings(&mut connection).await?;
        drop(connection);
        self.retention.lock().settle(server, own, is_mine);
        if is_mine { self.delete_hidden().await } else { Ok(()) }
    }

    /// Sees to it that tenants with a retention of their own have a number, also before their first event.
    async fn number_own(&self, on: &mut PgConnection, key: &[u8; 16]) -> Result<(), Failure> {
        let mut wanted = self.retention.lock().with_own_days();
        if wanted.is_empty() {
            return Ok(());
        }
        wanted.sort_unstable();
        tenants::add(on, wanted.iter(), NewTenants { buckets: self.count, key }).await
    }

    async fn own_floors(&self, on: &mut PgConnection) -> Result<Vec<OwnFloor>, Failure> {
        let sql = "SELECT raw_floor, wait_floor, waited_us, tenant_no, tenant_id, has_own_floor FROM tenants \
                   WHERE has_own_floor OR tenant_id = ANY($1) ORDER BY tenant_no";
        let wanted = self.retention.lock().with_own_days();
        let wanted: Vec<_> = wanted.iter().map(TenantId::as_str).collect();
        let mut own = Vec::new();
        for row in sqlx::query(sql).bind(wanted).fetch_all(on).await? {
            let id = TenantId::parse(row.try_get(4)?).map_err(|why| sqlx::Error::Decode(why.into()))?;
            let is_new = !row.try_get::<bool, _>(5)?;
            let mut standing = standing(&row)?;
            if is_new {
                standing.wait = RetentionWait::NONE;
            }
            own.push(OwnFloor { id, no: row.try_get(3)?, standing, is_new });
        }
        Ok(own)
    }

    /// Before the server's floor moves: from then on it is no longer that of a tenant with its own.
    async fn move_own_floors(
        &self,
        on: &mut PgConnection,
        now: Timestamp,
        passed: (Duration, Duration),
    ) -> Result<(), Failure> {
        for OwnFloor { id, no, standing, is_new } in self.own_floors(on).await? {
            let look = look_at(standing, self.retention.lock().target(&id, now), passed);
            let next = match look.step() {
                RetentionStep::Keep => Standing { wait: RetentionWait::NONE, ..standing },
                RetentionStep::Drop(floor) => Standing { floor, wait: RetentionWait::NONE },
                RetentionStep::Wait(wait) if has_between(on, Some(no), standing.floor, wait.floor).await? => {
                    Standing { wait, ..standing }
                }
                // No further than was looked: what lies beyond waits for itself.
                RetentionStep::Wait(wait) => {
                    Standing { floor: wait.floor.floor_to(MICROS_PER_HOUR), wait: RetentionWait::NONE }
                }
            };
            // Looking takes a while, in which the tenant may have been told that it keeps its events.
            let may = next.floor <= self.retention.lock().target(&id, now).max(standing.floor);
            if !may || (next == standing && !is_new) {
                continue;
            }
            let sql = "UPDATE tenants SET raw_floor = greatest(raw_floor, $2), wait_floor = $3, waited_us = $4, \
                       has_own_floor = true WHERE tenant_no = $1";
            let query = sqlx::query(sql).bind(no).bind(Instant(next.floor)).bind(Instant(next.wait.floor));
            query.bind(micros(next.wait.waited)).execute(&mut *on).await?;
            tell(Some(&id), &standing, &next);
        }
        Ok(())
    }

    /// Moves the floor of everybody without one of its own.
    async fn move_server_floor(
        &self,
        on: &mut PgConnection,
        now: Timestamp,
        passed: (Duration, Duration),
    ) -> Result<(), Failure> {
        let standing = server_standing(on).await?;
        let target = self.retention.lock().server_target(now);
        let look = look_at(standing, target.unwrap_or(Timestamp::MIN), passed);
        let next = match look.step() {
            RetentionStep::Keep => Standing { wait: RetentionWait::NONE, ..standing },
            RetentionStep::Drop(floor) => Standing { floor, wait: RetentionWait::NONE },
            RetentionStep::Wait(wait) if has_between(on, None, standing.floor, wait.floor).await? => {
                Standing { wait, ..standing }
            }
            RetentionStep::Wait(wait) => {
                Standing { floor: wait.floor.floor_to(MICROS_PER_HOUR), wait: RetentionWait::NONE }
            }
        };
        let is_waiting = next.wait.floor > next.floor;
        let doomed = if is_waiting { Some(doomed(on, next.wait.floor).await?) } else { None };
        if next != standing && !self.store_server(on, next).await? {
            // A tenant has chosen its own meanwhile: the next look decides anew.
            return Ok(());
        }
        self.retention.lock().note_doomed(doomed);
        tell(None, &standing, &next);
        Ok(())
    }

    /// Whether it is stored: not when a tenant that has just chosen its own retention has no floor of its own yet.
    async fn store_server(&self, on: &mut PgConnection, next: Standing) -> Result<bool, Failure> {
        let mut transaction = on.begin().await?;
        let sql = "UPDATE ledger SET raw_floor = greatest(raw_floor, $1), wait_floor = $2, waited_us = $3";
        let query = sqlx::query(sql).bind(Instant(next.floor)).bind(Instant(next.wait.floor));
        query.bind(micros(next.wait.waited)).execute(&mut *transaction).await?;
        // In the order in which the worker changes tenants.
        let sql = "UPDATE tenants SET raw_floor = $1 WHERE tenant_no IN (SELECT tenant_no FROM tenants \
                   WHERE NOT has_own_floor AND raw_floor < $1 ORDER BY tenant_no FOR NO KEY UPDATE)";
        sqlx::query(sql).bind(Instant(next.floor)).execute(&mut *transaction).await?;
        let own: Vec<String> = sqlx::query_scalar("SELECT tenant_id FROM tenants WHERE has_own_floor")
            .fetch_all(&mut *transaction)
            .await?;
        if !self.retention.lock().are_known(&own) {
            transaction.rollback().await?;
            return Ok(false);
        }
        transaction.commit().await?;
        Ok(true)
    }

    /// Deletes hidden rows of partitions that have others as well.
    async fn delete_hidden(&self) -> Result<(), Failure> {
        let mut connection = self.worker.acquire().await?;
        if !is_free_to_drop(&mut connection).await? {
            return Ok(());
        }
        let leaves =
            "SELECT inhrelid::regclass::text FROM pg_inherits WHERE inhparent = 'usage_events'::regclass ORDER BY 1";
        let leaves: Vec<String> = sqlx::query_scalar(leaves).fetch_all(&mut *connection).await?;
        drop(connection);
        for leaf in leaves {
            for tenant_no in self.hidden_in(&leaf).await? {
                while self.delete_some(&leaf, tenant_no).await? == ROWS_MAX.unsigned_abs() {}
            }
        }
        Ok(())
    }

    /// The tenants with hidden rows in a partition, unless it goes whole.
    async fn hidden_in(&self, leaf: &str) -> Result<Vec<i32>, Failure> {
        let mut connection = self.worker.acquire().await?;
        if !leaf.ends_with("_default") && !shows_any(&mut connection, leaf).await? {
            return Ok(Vec::new());
        }
        let sql = format!(
            "SELECT t.tenant_no FROM tenants t WHERE t.raw_floor > '-infinity' AND EXISTS \
             (SELECT FROM {leaf} e WHERE e.tenant_no = t.tenant_no AND e.time < t.raw_floor) ORDER BY 1"
        );
        Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_all(&mut *connection).await?)
    }

    async fn delete_some(&self, leaf: &str, tenant_no: i32) -> Result<u64, Failure> {
        let sql = format!(
            "DELETE FROM {leaf} WHERE ctid = ANY (ARRAY(SELECT e.ctid FROM {leaf} e WHERE e.tenant_no = $1 \
             AND e.time < (SELECT raw_floor FROM tenants WHERE tenant_no = $1) ORDER BY e.time LIMIT $2))"
        );
        let mut transaction = OwnTransaction::begin(&self.worker).await?;
        if !leases::take(transaction.on(), LEASE, self.node).await? || !is_free_to_drop(transaction.on()).await? {
            transaction.end().await?;
            return Ok(0);
        }
        let query = sqlx::query(AssertSqlSafe(sql)).bind(tenant_no).bind(ROWS_MAX);
        let gone = query.execute(transaction.on()).await?.rows_affected();
        note_unscrubbed(transaction.on(), &[leaf.to_owned()]).await?;
        transaction.commit().await?;
        Ok(gone)
    }
}

/// Whether no erasure removes events.
async fn is_free_to_drop(on: &mut PgConnection) -> Result<bool, Failure> {
    let sql = "SELECT NOT EXISTS (SELECT FROM erasures WHERE subject IS NOT NULL)";
    Ok(sqlx::query_scalar(sql).fetch_one(on).await?)
}

/// Whether any tenant is shown anything of a partition.
async fn shows_any(on: &mut PgConnection, leaf: &str) -> Result<bool, Failure> {
    let sql = format!(
        "SELECT EXISTS (SELECT FROM tenants t WHERE EXISTS \
         (SELECT FROM {leaf} e WHERE e.tenant_no = t.tenant_no AND e.time >= t.raw_floor))"
    );
    Ok(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(on).await?)
}

fn micros(waited: Duration) -> i64 {
    signed(u64::try_from(waited.as_micros()).unwrap_or(u64::MAX))
}

/// Whether there are raw events between two floors, of a tenant or of all that follow the server.
async fn has_between(
    on: &mut PgConnection,
    tenant_no: Option<i32>,
    from: Timestamp,
    to: Timestamp,
) -> Result<bool, Failure> {
    let sql = "SELECT EXISTS (SELECT FROM tenants t WHERE (t.tenant_no = $1 OR ($1 IS NULL AND NOT t.has_own_floor)) \
               AND EXISTS (SELECT FROM usage_events e WHERE e.tenant_no = t.tenant_no AND e.time >= $2 AND e.time < $3))";
    Ok(sqlx::query_scalar(sql).bind(tenant_no).bind(Instant(from)).bind(Instant(to)).fetch_one(on).await?)
}

/// What the server's floor will hide when it is there.
async fn doomed(on: &mut PgConnection, floor: Timestamp) -> Result<Doomed, Failure> {
    let sql = "SELECT count(*), min(e.time) FROM usage_events e JOIN tenants t ON t.tenant_no = e.tenant_no \
               WHERE NOT t.has_own_floor AND e.time >= t.raw_floor AND e.time < $1";
    let row = sqlx::query(sql).bind(Instant(floor)).fetch_one(on).await?;
    let oldest: Option<Instant> = row.try_get(1)?;
    Ok(Doomed { events: unsigned(row.try_get(0)?), oldest: oldest.map(|Instant(at)| at) })
}

/// Says in the log what a look came to, when it is more than the passing of time.
fn tell(tenant: Option<&TenantId>, before: &Standing, next: &Standing) {
    let tenant = tenant.map(tracing::field::display);
    let was_waiting = before.wait.floor > before.floor;
    if next.wait.floor > next.floor && !was_waiting {
        tracing::warn!(
            tenant, before = %next.wait.floor,
            "retention is new or shorter, or the clock is ahead: raw events will be dropped after a wait; a longer \
             retention keeps them"
        );
    } else if next.floor > before.floor.plus_micros(MICROS_PER_HOUR) {
        tracing::warn!(tenant, before = %next.floor, "retention has dropped raw events");
    }
}
