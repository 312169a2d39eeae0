//! What is left when the raw events of an erasure are gone: dead letters, messages that nobody has fetched, names of
//! users of whom no event is left, the sums of a customer, and of a whole tenant its zone and its counts.

use std::collections::{BTreeMap, BTreeSet};

use domain::erasure::SubjectKind;
use domain::position::{Position, Seq};
use domain::users::UserSet;
use postgres::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::Erasing;
use super::gone::{COLUMNS, Row};
use super::step::Step;
use crate::fold::AUDIENCE_ALL;
use crate::ledger::PostgresLedger;
use crate::stored_erasures::{RemovedRows, count_removed};
use crate::sums::{self, CustomerSum, Customers};
use crate::transaction::OwnTransaction;
use crate::types::{signed, unsigned};

impl PostgresLedger {
    pub(super) async fn remove_leftovers(&self, erasing: &Erasing) -> Result<(), Failure> {
        let is_customer = erasing.stored.erasure.kind == SubjectKind::Customer;
        // Most of the looking is done while events are applied.
        let mut nameless =
            if is_customer { self.users_without_events(erasing.tenant_no).await? } else { Nameless::default() };
        let mut step = Step::begin(self).await?;
        let dead_letters = empty_letters(&mut step, erasing).await?;
        let mut removed = RemovedRows { dead_letters, ..RemovedRows::default() };
        match erasing.stored.erasure.kind {
            SubjectKind::User => {}
            SubjectKind::Customer => {
                remove_customer_sums(&mut step, erasing).await?;
                nameless.look(step.on(), erasing.tenant_no).await?;
                removed.users = forget_names(step.on(), erasing.tenant_no, &nameless.users).await?;
                step.note_touched(&["customers", "users"]).await?;
            }
            SubjectKind::Workspace => forget_tenant(step.on(), erasing.tenant_no).await?,
        }
        forget_messages(&mut step, erasing).await?;
        let stored = &erasing.stored.erasure;
        count_removed(step.on(), &stored.id, removed, &stored.zone).await?;
        step.commit_and_forget().await
    }

    /// The users of erased events that no event is left of, up to the last record of one moment.
    async fn users_without_events(&self, tenant_no: i32) -> Result<Nameless, Failure> {
        let mut reading = OwnTransaction::begin_reading(self.worker.acquire().await?).await?;
        let on = reading.on();
        let sql = "SELECT d.bits FROM erased_user_days d WHERE d.tenant_no = $1 AND d.audience = $2";
        let mut users = UserSet::default();
        for row in sqlx::query(sql).bind(tenant_no).bind(AUDIENCE_ALL).fetch_all(&mut *on).await? {
            let bits: &[u8] = row.try_get(0)?;
            users.merge(&UserSet::from_bytes(bits).map_err(|why| sqlx::Error::Decode(why.into()))?);
        }
        let sql = "SELECT b.record_no FROM tenants t JOIN buckets b ON b.bucket = t.bucket WHERE t.tenant_no = $1";
        let record: i64 = sqlx::query_scalar(sql).bind(tenant_no).fetch_one(&mut *on).await?;
        let mut nameless =
            Nameless { users: users.iter().map(|user| user.0.cast_signed()).collect(), looked: Seq::ZERO };
        nameless.look(on, tenant_no).await?;
        reading.end().await?;
        nameless.looked = Seq(unsigned(record));
        Ok(nameless)
    }
}

/// Users that have no event in the records up to one.
#[derive(Debug, Default)]
struct Nameless {
    users: Vec<i32>,
    looked: Seq,
}

impl Nameless {
    /// Takes those out that have events in later records.
    async fn look(&mut self, on: &mut PgConnection, tenant_no: i32) -> Result<(), Failure> {
        if self.users.is_empty() {
            return Ok(());
        }
        sqlx::raw_sql("SET LOCAL statement_timeout = 0").execute(&mut *on).await?;
        let sql =
            "SELECT DISTINCT user_no FROM usage_events WHERE tenant_no = $1 AND position >= $2 AND user_no = ANY($3)";
        let from = Position::new(self.looked.next(), 0).bits().cast_signed();
        let query = sqlx::query_scalar::<_, i32>(sql).bind(tenant_no).bind(from).bind(&self.users);
        let named: BTreeSet<_> = query.fetch_all(on).await?.into_iter().collect();
        self.users.retain(|user| !named.contains(user));
        Ok(())
    }
}

/// Takes names away; the numbers stay taken.
async fn forget_names(on: &mut PgConnection, tenant_no: i32, users: &[i32]) -> Result<u64, Failure> {
    let sql = "UPDATE users SET name = NULL, name_hash = NULL \
               WHERE tenant_no = $1 AND user_no = ANY($2) AND name_hash IS NOT NULL";
    Ok(sqlx::query(sql).bind(tenant_no).bind(users).execute(on).await?.rows_affected())
}

/// Adds up anew what a customer has ever used, from what came after the request.
async fn remove_customer_sums(step: &mut Step<'_>, erasing: &Erasing) -> Result<(), Failure> {
    let (on, writer) = step.parts();
    let (no, customer) = (erasing.tenant_no, erasing.subject());
    sqlx::query("DELETE FROM customers WHERE tenant_no = $1 AND customer = $2")
        .bind(no)
        .bind(customer)
        .execute(&mut *on)
        .await?;
    let sql = format!("SELECT {COLUMNS} FROM usage_events e WHERE e.tenant_no = $1 AND e.customer = $2");
    let mut later: BTreeMap<_, CustomerSum> = BTreeMap::new();
    for row in sqlx::query(AssertSqlSafe(sql)).bind(no).bind(customer).fetch_all(&mut *on).await? {
        let row = Row::of(&row)?;
        later.entry((no, customer)).or_default().fold(&row.event, &row.numbers());
    }
    sums::add::<Customers>(on, &mut writer.leaves, &mut writer.seen.customers, later).await
}

async fn forget_tenant(on: &mut PgConnection, tenant_no: i32) -> Result<(), Failure> {
    let sql = "UPDATE tenants SET zone = NULL, zone_version = 0, users = 0, raw_floor = l.raw_floor, \
               wait_floor = '-infinity', waited_us = 0, has_own_floor = false FROM ledger l WHERE tenant_no = $1";
    sqlx::query(sql).bind(tenant_no).execute(on).await?;
    Ok(())
}

/// Empties the dead letters that hold anything of the subject; how many.
async fn empty_letters(step: &mut Step<'_>, erasing: &Erasing) -> Result<u64, Failure> {
    let buckets = step.writer.buckets.numbers();
    let sql = "SELECT record_no, tenant_no, payload, bucket FROM dead_letters WHERE bucket = ANY($1) AND record_no <= $2 \
               AND (tenant_no = $3 OR tenant_no IS NULL) AND payload <> ''";
    let through = signed(erasing.stored.erasure.through.0);
    let query = sqlx::query(sql).bind(buckets).bind(through).bind(erasing.tenant_no);
    let mut held: Vec<(i16, i64)> = Vec::new();
    for row in query.fetch_all(step.on()).await? {
        let tenant = row.try_get::<Option<i32>, _>(1)?.map(|_| &erasing.stored.tenant);
        if erasing.stored.is_in(tenant, row.try_get(2)?) {
            held.push((row.try_get(3)?, row.try_get(0)?));
        }
    }
    if held.is_empty() {
        return Ok(0);
    }
    let (buckets, records): (Vec<_>, Vec<_>) = held.into_iter().unzip();
    let sql = "UPDATE dead_letters l SET payload = '' FROM unnest($1::int2[], $2::int8[]) AS k(bucket, record_no) \
               WHERE l.bucket = k.bucket AND l.record_no = k.record_no";
    let emptied = sqlx::query(sql).bind(buckets).bind(records).execute(step.on()).await?.rows_affected();
    step.note_touched(&["dead_letters"]).await?;
    Ok(emptied)
}

/// Removes messages to others that name the subject.
async fn forget_messages(step: &mut Step<'_>, erasing: &Erasing) -> Result<(), Failure> {
    if erasing.subject().is_empty() {
        return Ok(());
    }
    let sql = "DELETE FROM outbox WHERE tenant_no = $1 AND strpos(body::text, to_jsonb($2::text)::text) > 0";
    let query = sqlx::query(sql).bind(erasing.tenant_no).bind(erasing.subject());
    if query.execute(step.on()).await?.rows_affected() > 0 {
        step.note_touched(&["outbox"]).await?;
    }
    Ok(())
}
