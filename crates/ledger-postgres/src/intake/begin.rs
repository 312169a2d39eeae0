//! The beginning of a move: the ledger, the bucket, the numbers of the tenants, and what else is known of them at once.

use std::time::Duration;

use domain::dedup::IdHasher;
use domain::tenant::TenantId;
use domain::time::{MICROS_PER_SECOND, Timestamp};
use domain::window::WindowRule;
use hashbrown::HashMap;
use ports::moving::{MoveStage, MovedLedger, MovedTenant};
use ports::{ErrorKind, PortError};
use postgres::{Failure, Login, PostgresLimits, check, connect};
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgPool};
use tokio::task::JoinHandle;

use super::hold::Hold;
use super::taking::{Intake, TakenTenant};
use crate::copy::Rows;
use crate::fences::SCHEMA;
use crate::identity::identity;
use crate::schema::schema;
use crate::transaction::OwnTransaction;
use crate::types::{Instant, Uuid, signed, unsigned};
use crate::users::code;

/// One to write, one to keep the buckets, one to compare.
const CONNECTIONS: u32 = 3;

/// How far a move is.
struct Begun {
    shift: u64,
    stage: MoveStage,
    taken: u64,
}

impl Intake {
    /// Begins a move, or goes on with the one of the same ledger.
    ///
    /// # Errors
    /// `Conflict` when one of the tenants is here already, the ledger here has other windows, a server works
    /// in the database, or what is moved has changed since the move began. `Unacceptable` when the schema is not the one of this
    /// program or the worker's login may do less or more than it is to. Otherwise when the server cannot be reached.
    pub async fn open(worker_url: &str, ledger: &MovedLedger, tenants: &[MovedTenant]) -> Result<Self, PortError> {
        let opened = open(worker_url, ledger, tenants).await;
        opened.map_err(|failure| failure.during("begin to move into PostgreSQL"))
    }
}

async fn open(worker_url: &str, ledger: &MovedLedger, tenants: &[MovedTenant]) -> Result<Intake, Failure> {
    let no_end = Duration::ZERO;
    let limits =
        PostgresLimits { connections: CONNECTIONS, statement: no_end, idle: no_end, ..PostgresLimits::default() };
    let pool = connect(worker_url, &limits, SCHEMA, &[]).await?;
    check(&pool, &schema(), Login::Worker).await?;
    fix_identity(&mut *pool.acquire().await?, ledger).await?;
    let folder = Uuid(IdHasher::new(&ledger.key).of_tenant(&TenantId::server()).hash("move").0);
    let hold = Hold::take(OwnTransaction::begin(&pool).await?, folder).await?;
    let begun = begin(&pool, hold, folder, ledger, tenants).await;
    let Begun { shift, stage, taken } = match begun {
        Ok(begun) => begun,
        Err(failure) => {
            // Others need not wait for the end of the lease; if that cannot be said, they do.
            let _ = hold.release(&mut *pool.acquire().await?).await;
            return Err(failure);
        }
    };
    let numbers = numbers(&mut *pool.acquire().await?, tenants).await?;
    let floor = |moved: &&MovedTenant| moved.retention.as_ref().map_or(ledger.floor, |own| own.floor) > Timestamp::MIN;
    let losers = tenants.iter().filter(floor).filter_map(|moved| numbers.get(&moved.tenant).copied()).collect();
    let closed = "SELECT min(closed_through) FROM buckets";
    let closed = sqlx::query(closed).fetch_one(&mut *pool.acquire().await?).await?;
    let Instant(closed_through) = closed.try_get(0)?;
    let (renewing, ledger) = (keep(pool.clone(), hold), ledger.clone());
    Ok(Intake { pool, hold, folder, ledger, shift, closed_through, tenants: numbers, losers, stage, taken, renewing })
}

/// A new ledger gets the folder's secret and windows; an old one must have the same windows.
async fn fix_identity(on: &mut PgConnection, ledger: &MovedLedger) -> Result<(), Failure> {
    let told = |rule: WindowRule| [rule.length_us(), rule.grace_us()].map(|us| us / MICROS_PER_SECOND);
    let seconds = told(ledger.rule).map(|seconds| i32::try_from(seconds).unwrap_or(i32::MAX));
    let fix =
        "INSERT INTO ledger (id, secret_key, window_sec, grace_sec) VALUES (1, $1, $2, $3) ON CONFLICT DO NOTHING";
    let [length, grace] = seconds;
    sqlx::query(fix).bind(ledger.key.as_slice()).bind(length).bind(grace).execute(&mut *on).await?;
    let found = identity(on).await?.map(|identity| told(identity.rule));
    if found == Some(told(ledger.rule)) {
        return Ok(());
    }
    let [found_length, found_grace] = found.unwrap_or_default();
    Err(conflict(format!(
        "the windows of the folder have {length} s and a grace of {grace} s, those of the database {found_length} s and \
         {found_grace} s"
    )))
}

/// Keeps the buckets while nothing is written. Lost, what is written next is refused.
fn keep(pool: PgPool, hold: Hold) -> JoinHandle<()> {
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Hold::renewal()).await;
            let renewed = async { hold.renew(&mut *pool.acquire().await?).await };
            if let Err(failure) = renewed.await {
                tracing::warn!(%failure, "failed to renew the lease of the buckets");
            }
        }
    })
}

/// How far the move is; a new one begins with the tenants.
async fn begin(
    pool: &PgPool,
    hold: Hold,
    folder: Uuid,
    ledger: &MovedLedger,
    tenants: &[MovedTenant],
) -> Result<Begun, Failure> {
    let mut transaction = OwnTransaction::begin(pool).await?;
    let on = transaction.on();
    hold.renew(on).await?;
    let sql = "SELECT fingerprint, record_shift, taken, stage FROM moves WHERE folder = $1 FOR UPDATE";
    if let Some(row) = sqlx::query(sql).bind(folder).fetch_optional(&mut *on).await? {
        if row.try_get::<Uuid, _>(0)? != Uuid(ledger.fingerprint) {
            let reason =
                "a part of this folder was moved, and the folder was changed since; move it into another database";
            return Err(conflict(reason.to_owned()));
        }
        let stage = u8::try_from(row.try_get::<i16, _>(3)?).ok().and_then(MoveStage::of_code);
        let newer = || Failure::unacceptable("a newer program has begun this move; go on with that");
        return Ok(Begun {
            shift: unsigned(row.try_get(1)?),
            stage: stage.ok_or_else(newer)?,
            taken: unsigned(row.try_get(2)?),
        });
    }
    let shift: i64 = sqlx::query_scalar("SELECT max(record_no) FROM buckets").fetch_one(&mut *on).await?;
    let note = "INSERT INTO moves (folder, fingerprint, record_shift) VALUES ($1, $2, $3)";
    sqlx::query(note).bind(folder).bind(Uuid(ledger.fingerprint)).bind(shift).execute(&mut *on).await?;
    add_floor(on, ledger.floor).await?;
    add_tenants(on, hold, ledger, tenants, shift).await?;
    let numbers = numbers(on, tenants).await?;
    add_names(on, tenants, &numbers).await?;
    // The numbers of the records that are moved are taken: those of the next records follow them.
    let sql = "UPDATE buckets SET record_no = $1, holds_former_ids = holds_former_ids OR $2, \
               closed_through = greatest(closed_through, $3)";
    let bound = sqlx::query(sql).bind(shift.saturating_add(signed(ledger.last.0))).bind(ledger.holds_former_ids);
    bound.bind(Instant(ledger.closed_through)).execute(&mut *on).await?;
    transaction.commit().await?;
    Ok(Begun { shift: unsigned(shift), stage: MoveStage::Events, taken: 0 })
}

fn conflict(reason: String) -> Failure {
    Failure::Refused { kind: ErrorKind::Conflict, reason }
}

/// The floor of the tenants that have none of their own is the folder's, if nobody has any here.
async fn add_floor(on: &mut PgConnection, floor: Timestamp) -> Result<(), Failure> {
    let sql = "UPDATE ledger SET raw_floor = $1 WHERE NOT EXISTS (SELECT FROM tenants)";
    if floor > Timestamp::MIN {
        sqlx::query(sql).bind(Instant(floor)).execute(on).await?;
    }
    Ok(())
}

/// Numbers the tenants, none of which may be there.
async fn add_tenants(
    on: &mut PgConnection,
    hold: Hold,
    ledger: &MovedLedger,
    tenants: &[MovedTenant],
    shift: i64,
) -> Result<(), Failure> {
    let ids: Vec<_> = tenants.iter().map(|moved| moved.tenant.as_str()).collect();
    let there = "SELECT tenant_id FROM tenants WHERE tenant_id = ANY($1) ORDER BY tenant_id";
    let there: Vec<String> = sqlx::query_scalar(there).bind(&ids).fetch_all(&mut *on).await?;
    if !there.is_empty() {
        let reason = format!("there is a tenant {} in the database, and tenants are not merged", there.join(", "));
        return Err(conflict(reason));
    }
    let later = |instant: Timestamp| Some(instant).filter(|instant| *instant > Timestamp::MIN);
    let mut rows = Rows::new(11, 0);
    for moved in tenants {
        let own = moved.retention.as_ref();
        let has_zone = moved.zone.version > 0;
        rows.row()
            .text(moved.tenant.as_str())
            .i16(hold.buckets.bucket_of(&moved.tenant).cast_signed())
            .i32(i32::try_from(moved.users).unwrap_or(i32::MAX))
            .i64(signed(moved.zone.version))
            .instant_or_never(later(own.map_or(ledger.floor, |own| own.floor)))
            .instant_or_never(own.and_then(|own| later(own.wait.floor)))
            .i64(own.map_or(0, |own| i64::try_from(own.wait.waited.as_micros()).unwrap_or(i64::MAX)))
            .boolean(own.is_some())
            .i64(if ledger.received_after.0 == 0 { 0 } else { shift.saturating_add(signed(ledger.received_after.0)) })
            .bytes(Some(&ledger.key))
            .text_or_null(has_zone.then(|| moved.zone.zone.name()));
    }
    let columns = "tenant_id, bucket, users, zone_version, raw_floor, wait_floor, waited_us, has_own_floor, \
                   received_after, id_key, zone";
    rows.copy(on, &format!("tenants ({columns})")).await
}

/// Adds the names that tenants use, and the customers that are counted by receive time.
async fn add_names(
    on: &mut PgConnection,
    tenants: &[MovedTenant],
    numbers: &HashMap<TenantId, TakenTenant>,
) -> Result<(), Failure> {
    let (mut names, mut metered) = (Rows::new(3, 0), Rows::new(2, 0));
    for moved in tenants {
        let Some(TakenTenant { no, .. }) = numbers.get(&moved.tenant).copied() else { continue };
        for (dimension, name) in &moved.names {
            names.row().i32(no).i16(code(*dimension)).text(name);
        }
        for customer in &moved.metered {
            metered.row().i32(no).text(customer);
        }
    }
    names.copy(on, "names (tenant_no, dimension, name)").await?;
    metered.copy(on, "metered_customers (tenant_no, customer)").await
}

async fn numbers(on: &mut PgConnection, tenants: &[MovedTenant]) -> Result<HashMap<TenantId, TakenTenant>, Failure> {
    let ids: Vec<_> = tenants.iter().map(|moved| moved.tenant.as_str()).collect();
    let sql = "SELECT tenant_id, tenant_no, bucket FROM tenants WHERE tenant_id = ANY($1)";
    let mut numbers = HashMap::new();
    for row in sqlx::query(sql).bind(ids).fetch_all(on).await? {
        if let Ok(tenant) = TenantId::parse(row.try_get(0)?) {
            numbers.insert(tenant, TakenTenant { no: row.try_get(1)?, bucket: row.try_get(2)? });
        }
    }
    Ok(numbers)
}
