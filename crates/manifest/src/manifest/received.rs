//! What was received, in quarters of an hour; and the customers of whom that is counted apart.

use std::collections::BTreeMap;
use std::iter::repeat_n;

use domain::position::Seq;
use domain::quota::Amounts;
use domain::tenant::TenantId;
use domain::time::{TimeRange, Timestamp};
use ports::manifest::ReceivedSum;
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryOrder, QueryResult, Statement, Value,
};
use sqlite::{Failure, unsigned};

use super::insert::{insert, length_of_next};
use super::rollups::saturating_sum;
use crate::entities::{metered_customer, received_after};

/// The tables that have rows of tenants.
pub(super) const TABLES: [&str; 2] = ["received", "metered_customer"];
/// The columns that are sums.
const SUMS: [&str; 3] = ["events", "tokens", "calls"];
/// Columns of a row: its key and its sums.
const COLUMNS: usize = 3 + SUMS.len();

/// Adds to the stored sums.
pub(super) async fn add(transaction: &DatabaseTransaction, received: &[ReceivedSum]) -> Result<(), Failure> {
    // In order of key, each key once.
    let mut sums: BTreeMap<(&TenantId, Timestamp, &str), Amounts> = BTreeMap::new();
    for sum in received {
        sums.entry((&sum.tenant, sum.start, &sum.customer)).or_default().add(&sum.amounts);
    }
    let added = SUMS.map(|sum| format!("{sum} = {}", saturating_sum(sum))).join(", ");
    let mut rows = sums.into_iter();
    while rows.len() > 0 {
        let length = length_of_next(rows.len());
        let values: Vec<Value> = rows.by_ref().take(length).flat_map(|(key, amounts)| row(key, &amounts)).collect();
        let one = format!("({})", repeat_n("?", COLUMNS).collect::<Vec<_>>().join(", "));
        let all = repeat_n(one.as_str(), length).collect::<Vec<_>>().join(", ");
        // What is pasted into the text are constants of this file; everything else is bound.
        let sql = format!(
            "INSERT INTO received (tenant, quarter_us, customer, {}) VALUES {all} ON CONFLICT (tenant, quarter_us, \
             customer) DO UPDATE SET {added}",
            SUMS.join(", ")
        );
        transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    }
    Ok(())
}

fn row((tenant, start, customer): (&TenantId, Timestamp, &str), amounts: &Amounts) -> [Value; COLUMNS] {
    let sum = |value: u64| Value::from(i64::try_from(value).unwrap_or(i64::MAX));
    let Amounts { events, tokens, calls } = *amounts;
    [tenant.as_str().into(), start.micros().into(), customer.into(), sum(events), sum(tokens), sum(calls)]
}

/// Leaves nothing of what customers brought, and that they are counted apart.
pub(super) async fn erase_customers(
    transaction: &DatabaseTransaction,
    customers: &[(TenantId, String)],
) -> Result<(), Failure> {
    for (tenant, customer) in customers {
        for table in TABLES {
            let sql = format!("DELETE FROM {table} WHERE tenant = ? AND customer = ?");
            let values: [Value; 2] = [tenant.as_str().into(), customer.as_str().into()];
            transaction.execute_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
        }
    }
    Ok(())
}

/// One tenant's sums of the quarters that begin inside `range`, in order of (start, customer).
pub(super) async fn read(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    range: TimeRange,
) -> Result<Vec<ReceivedSum>, Failure> {
    let sql = format!(
        "SELECT quarter_us, customer, {} FROM received WHERE tenant = ? AND quarter_us >= ? AND quarter_us < ? ORDER BY \
         quarter_us, customer",
        SUMS.join(", ")
    );
    let values: [Value; 3] = [of.as_str().into(), range.from().micros().into(), range.to().micros().into()];
    let rows = snapshot.query_all_raw(Statement::from_sql_and_values(DbBackend::Sqlite, sql, values)).await?;
    rows.iter().map(|row| sum(of, row)).collect()
}

fn sum(of: &TenantId, row: &QueryResult) -> Result<ReceivedSum, Failure> {
    let number = |at: usize| unsigned(SUMS[at], row.try_get_by_index(2 + at)?);
    Ok(ReceivedSum {
        tenant: of.clone(),
        start: Timestamp::from_micros(row.try_get_by_index(0)?),
        customer: row.try_get_by_index(1)?,
        amounts: Amounts { events: number(0)?, tokens: number(1)?, calls: number(2)? },
    })
}

/// Has customers counted apart.
pub(super) async fn meter(transaction: &DatabaseTransaction, customers: &[(TenantId, String)]) -> Result<(), Failure> {
    use metered_customer::{Column, Model};
    let known_stay = OnConflict::columns([Column::Tenant, Column::Customer]).do_nothing().to_owned();
    insert(transaction, customers.iter().map(Model::new).collect(), &known_stay).await
}

/// The customers that are counted apart, in order of tenant and customer.
pub(super) async fn metered(snapshot: &impl ConnectionTrait) -> Result<Vec<(TenantId, String)>, Failure> {
    use metered_customer::{Column, Entity, Model};
    let rows = Entity::find().order_by_asc(Column::Tenant).order_by_asc(Column::Customer).all(snapshot).await?;
    rows.into_iter().map(Model::into_customer).collect()
}

/// The last record of which nothing is counted.
pub(super) async fn after(snapshot: &impl ConnectionTrait) -> Result<Seq, Failure> {
    let row = received_after::Entity::find().one(snapshot).await?;
    row.map_or(Ok(Seq::ZERO), |row| Ok(Seq(unsigned("seq", row.seq)?)))
}
