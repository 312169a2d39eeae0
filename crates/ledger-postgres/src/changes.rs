//! What changes a bucket besides batches of events: a record that is given up, and a customer that is counted by receive
//! time from now on. Each is a transaction behind the fence.

use domain::position::Seq;
use domain::record::RecordView;
use domain::tenant::TenantId;
use parking_lot::RwLock;
use ports::journal::Delivery;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgPool};

use crate::apply::Writer;
use crate::rows::uuid;
use crate::state::State;
use crate::tenants::NewTenants;
use crate::transaction::OwnTransaction;
use crate::types::signed;

/// Puts a record among the dead letters and moves the cursor behind it.
pub(crate) async fn dead_letter(
    writer: &mut Writer,
    pool: &PgPool,
    state: &RwLock<State>,
    delivery: &Delivery,
    reason: &str,
) -> Result<(), Failure> {
    let seq = Seq::of_record(delivery.id);
    writer.unsettle();
    let mut transaction = OwnTransaction::begin(pool).await?;
    let on = transaction.on();
    writer.enter(on).await?;
    let tenant = RecordView::parse(&delivery.payload).ok().map(|record| record.tenant().clone());
    let no = match &tenant {
        Some(tenant) => Some(resolve(writer, on, tenant).await?),
        None => None,
    };
    // No column takes U+0000.
    let reason = reason.replace('\0', " ");
    let keep = "INSERT INTO dead_letters (bucket, record_no, record_id, dead_lettered_at, tenant_no, reason, payload) \
                VALUES ($1, $2, $3, clock_timestamp(), $4, $5, $6)";
    let (bucket, id) = (writer.bucket.no, uuid(delivery.id));
    let keep = sqlx::query(keep).bind(bucket).bind(signed(seq.0)).bind(id).bind(no).bind(&reason);
    keep.bind(&delivery.payload[..]).execute(&mut *on).await?;
    let tell = "INSERT INTO receipts (applied_at, record_id, tenant_no, accepted, duplicates, dead_reason, outcomes) \
                VALUES (clock_timestamp(), $1, $2, 0, 0, $3, '')";
    sqlx::query(tell).bind(id).bind(no).bind(&reason).execute(&mut *on).await?;
    let mut to = writer.progress;
    (to.cursor, to.dead_letters) = (seq, to.dead_letters + 1);
    writer.bucket.advance(on, writer.progress.cursor, &to, id).await?;
    transaction.commit().await?;
    writer.settled_at(to, state);
    Ok(())
}

/// Counts a customer by receive time, with what its raw events have brought so far.
pub(crate) async fn meter_customer(
    writer: &mut Writer,
    pool: &PgPool,
    state: &RwLock<State>,
    tenant: &TenantId,
    customer: &str,
) -> Result<(), Failure> {
    writer.unsettle();
    let mut transaction = OwnTransaction::begin(pool).await?;
    let on = transaction.on();
    writer.enter(on).await?;
    let no = resolve(writer, on, tenant).await?;
    let add = "INSERT INTO metered_customers (tenant_no, customer) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    let is_new = sqlx::query(add).bind(no).bind(customer).execute(&mut *on).await?.rows_affected() == 1;
    if is_new {
        // Amounts of events are added up as they are everywhere: whole numbers that stop at the end.
        let count = "INSERT INTO received (tenant_no, start, customer, events, tokens, calls, version) \
                     SELECT tenant_no, date_bin('15 minutes', received_at, '1970-01-01 00:00:00+00') AS quarter, \
                     customer, count(*), least(coalesce(sum(tokens), 0), 9223372036854775807)::int8, \
                     count(*) FILTER (WHERE endpoint IS NOT NULL OR model IS NOT NULL), 1 \
                     FROM usage_events WHERE tenant_no = $1 AND customer = $2 GROUP BY tenant_no, quarter, customer";
        sqlx::query(count).bind(no).bind(customer).execute(&mut *on).await?;
    }
    transaction.commit().await?;
    writer.tenants.get_mut(tenant)?.metered.insert(customer.to_owned());
    let progress = writer.progress;
    writer.settled_at(progress, state);
    Ok(())
}

async fn resolve(writer: &mut Writer, on: &mut PgConnection, tenant: &TenantId) -> Result<i32, Failure> {
    let key = writer.key;
    let new = NewTenants { bucket: writer.bucket.no, key: &key };
    writer.tenants.resolve(on, std::iter::once(tenant), new).await?;
    writer.tenants.no(tenant)
}
