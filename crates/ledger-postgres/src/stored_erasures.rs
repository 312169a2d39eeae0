//! Erasures as rows: what is loaded of them into memory, and what changes in them.

use domain::erasure::{ErasedSoFar, Erasure};
use domain::position::Seq;
use domain::tenant::TenantId;
use ports::erasures::StoredErasure;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::state::KnownTenant;
use crate::types::{Instant, Uuid, erasure_code, erasure_kind, signed, unsigned};

/// The columns of an erasure, in the order of [`read`], with those of its tenant behind them.
const COLUMNS: &str = "e.id, e.kind, e.blocks, e.through, e.requested_at, e.asked_by, e.zone, e.events, e.users, \
                       e.dead_letters, e.finished_at, e.subject, e.subject_hash, t.tenant_id, t.tenant_no, t.id_key";

/// All erasures, in order of request, each with its tenant.
pub(crate) async fn load_erasures(on: &mut PgConnection) -> Result<Vec<(StoredErasure, KnownTenant)>, Failure> {
    let sql = format!("SELECT {COLUMNS} FROM erasures e JOIN tenants t ON t.tenant_no = e.tenant_no ORDER BY e.number");
    sqlx::query(AssertSqlSafe(sql)).fetch_all(on).await?.iter().map(read).collect()
}

/// Where texts of finished erasures may stand still, as the owner has told when it last wrote tables anew.
pub(crate) async fn load_remains(on: &mut PgConnection) -> Result<Vec<String>, Failure> {
    Ok(sqlx::query_scalar("SELECT remains FROM scrub").fetch_optional(on).await?.unwrap_or_default())
}

fn read(row: &PgRow) -> Result<(StoredErasure, KnownTenant), Failure> {
    let id: String = row.try_get(13)?;
    let tenant = TenantId::parse(&id).map_err(|why| sqlx::Error::Decode(why.into()))?;
    let count = |at: usize| row.try_get(at).map(unsigned);
    let (Instant(requested_at), finished_at) = (row.try_get(4)?, row.try_get::<Option<Instant>, _>(10)?);
    let erasure = Erasure {
        id: row.try_get(0)?,
        kind: erasure_kind(row.try_get(1)?)?,
        blocks: row.try_get(2)?,
        through: Seq(count(3)?),
        requested_at,
        by: row.try_get(5)?,
        zone: row.try_get(6)?,
        gone: ErasedSoFar { events: count(7)?, segments: 0, users: count(8)?, dead_letters: count(9)? },
        finished_at: finished_at.map(|Instant(at)| at),
    };
    let known = KnownTenant::new(&tenant, row.try_get(14)?, row.try_get(15)?)?;
    let subject_hash = row.try_get::<Uuid, _>(12)?.0;
    Ok((StoredErasure { tenant, subject: row.try_get(11)?, subject_hash, erasure }, known))
}

/// Adds an erasure that is asked for at this moment. Returns it as it is stored.
pub(crate) async fn add_erasure(
    on: &mut PgConnection,
    tenant_no: i32,
    asked: &StoredErasure,
    user_no: Option<i32>,
) -> Result<(StoredErasure, KnownTenant), Failure> {
    let StoredErasure { subject, subject_hash, erasure, .. } = asked;
    let sql = format!(
        "WITH e AS (INSERT INTO erasures (id, kind, blocks, through, requested_at, asked_by, zone, subject, \
         subject_hash, tenant_no, user_no, users) VALUES ($1, $2, $3, $4, clock_timestamp(), $5, $6, $7, $8, $9, $10, $11) \
         RETURNING *) SELECT {COLUMNS} FROM e JOIN tenants t ON t.tenant_no = e.tenant_no"
    );
    let row = sqlx::query(AssertSqlSafe(sql))
        .bind(&erasure.id)
        .bind(erasure_code(erasure.kind))
        .bind(erasure.blocks)
        .bind(signed(erasure.through.0))
        .bind(&erasure.by)
        .bind(&erasure.zone)
        .bind(subject)
        .bind(Uuid(*subject_hash))
        .bind(tenant_no)
        .bind(user_no)
        .bind(i64::from(user_no.is_some()))
        .fetch_one(on)
        .await?;
    read(&row)
}

/// What an erasure has removed in one step.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct RemovedRows {
    pub(crate) events: u64,
    pub(crate) users: u64,
    pub(crate) dead_letters: u64,
}

/// Counts what one step has removed, on days of the zone of this name. Returns the erasure as it is stored.
pub(crate) async fn count_removed(
    on: &mut PgConnection,
    id: &str,
    removed: RemovedRows,
    zone: &str,
) -> Result<(StoredErasure, KnownTenant), Failure> {
    let sql = format!(
        "WITH e AS (UPDATE erasures SET events = events + $2, users = users + $3, dead_letters = dead_letters + $4, \
         zone = CASE WHEN $2 = 0 THEN zone WHEN events = 0 OR zone = $5 THEN $5 ELSE '' END WHERE id = $1 RETURNING *) \
         SELECT {COLUMNS} FROM e JOIN tenants t ON t.tenant_no = e.tenant_no"
    );
    let RemovedRows { events, users, dead_letters } = removed;
    let query = sqlx::query(AssertSqlSafe(sql)).bind(id).bind(signed(events)).bind(signed(users));
    read(&query.bind(signed(dead_letters)).bind(zone).fetch_one(on).await?)
}

/// Notes that texts of rows that are gone may stand in the files of these tables.
pub(crate) async fn note_unscrubbed(on: &mut PgConnection, tables: &[String]) -> Result<(), Failure> {
    // In one order, since erasures and retention note at the same time.
    let sql = "INSERT INTO unscrubbed (name) SELECT DISTINCT name FROM unnest($1::text[]) name ORDER BY name \
               ON CONFLICT (name) DO UPDATE SET noted_at = clock_timestamp()";
    sqlx::query(sql).bind(tables).execute(on).await?;
    Ok(())
}
