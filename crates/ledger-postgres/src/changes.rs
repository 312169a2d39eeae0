//! What changes buckets besides batches of events: a record that is given up, windows that close, and a customer that is
//! counted by receive time from now on. Each is a transaction behind the fence.

use domain::position::Seq;
use domain::record::RecordView;
use domain::tenant::TenantId;
use domain::time::Timestamp;
use parking_lot::RwLock;
use ports::journal::Delivery;
use postgres::Failure;
use sqlx::postgres::PgPool;

use crate::apply::Writer;
use crate::rows::{add_dead_receipt, uuid};
use crate::state::State;
use crate::transaction::OwnTransaction;
use crate::types::signed;

/// Puts the next record among the dead letters and moves the cursors behind it. One of which nobody can tell whose it is
/// is in bucket 0.
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
    let tenant = tenant_of(delivery);
    let (bucket, no) = match &tenant {
        Some(tenant) => (writer.buckets.of(tenant), Some(writer.resolve(on, tenant).await?)),
        None => (0, None),
    };
    let number = writer.buckets.number().next();
    // No column takes U+0000.
    let reason = reason.replace('\0', " ");
    let keep = "INSERT INTO dead_letters (bucket, record_no, record_id, dead_lettered_at, tenant_no, reason, payload) \
                VALUES ($1, $2, $3, clock_timestamp(), $4, $5, $6)";
    let id = uuid(delivery.id);
    let keep = sqlx::query(keep).bind(bucket).bind(signed(number.0)).bind(id).bind(no).bind(&reason);
    keep.bind(&delivery.payload[..]).execute(&mut *on).await?;
    add_dead_receipt(on, id, no, &reason).await?;
    writer.attempts.delete(on, std::iter::once((bucket, delivery.id))).await?;
    let mut to = writer.buckets.moved(seq, number);
    if let Some(at) = to.get_mut(&bucket) {
        at.dead_letters += 1;
    }
    writer.buckets.advance(on, &to, id).await?;
    transaction.commit().await?;
    writer.buckets.advanced(&to);
    writer.attempts.forget_one(delivery.id);
    writer.passed(seq, state);
    Ok(())
}

/// Whose events a record has, if that can be read.
pub(crate) fn tenant_of(delivery: &Delivery) -> Option<TenantId> {
    RecordView::parse(&delivery.payload).ok().map(|record| record.tenant().clone())
}

/// Moves up to when windows are closed, later or, if `back` says so, earlier.
pub(crate) async fn close_windows(
    writer: &mut Writer,
    pool: &PgPool,
    state: &RwLock<State>,
    to: Timestamp,
    back: bool,
) -> Result<(), Failure> {
    writer.unsettle();
    let mut transaction = OwnTransaction::begin(pool).await?;
    writer.enter(transaction.on()).await?;
    let moved = writer.buckets.close(transaction.on(), to, back).await?;
    transaction.commit().await?;
    writer.buckets.advanced(&moved);
    writer.settled(state);
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
    let no = writer.resolve(on, tenant).await?;
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
    writer.settled(state);
    Ok(())
}
