//! Windows and customers: pages of them, and what one customer has used.

use domain::aggregate::Aggregate;
use domain::limits::PAGE_BYTES_MAX;
use domain::time::{TimeRange, Timestamp};
use domain::window::{WindowRule, WindowState};
use futures::TryStreamExt;
use ports::reports::{Customer, CustomerUsage, Page, Window, WindowQuery, cut};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::select::{Select, rows};
use crate::scoped::Scoped;
use crate::sums::{Customers, SumTable, Windows, values};
use crate::types::Instant;
use crate::unanswered::Unanswered;

/// Up to when the windows of the tenant's bucket are closed.
async fn closed_through(scoped: &mut Scoped) -> Result<Timestamp, Unanswered> {
    let sql = "SELECT b.closed_through FROM tenants t JOIN buckets b ON b.bucket = t.bucket WHERE t.tenant_no = $1";
    let no = scoped.tenant.no;
    let Instant(closed_through) = sqlx::query(sql).bind(no).fetch_one(scoped.on()).await?.try_get(0)?;
    Ok(closed_through)
}

/// One page in order of (customer, start).
pub(super) async fn list_windows(
    scoped: &mut Scoped,
    rule: WindowRule,
    query: &WindowQuery,
) -> Result<Page<Window, (String, Timestamp)>, Unanswered> {
    let closed_through = closed_through(scoped).await?;
    let columns = format!("t.customer, t.window_start, {}", values::<Windows>());
    let mut select = Select::of(&columns, "aggregation_windows", scoped.tenant.no);
    select.inside("window_start", query.range);
    if let Some(customer) = &query.customer {
        select.is("customer", customer);
    }
    if let Some(state) = query.state {
        let open_from = rule.open_from(closed_through);
        let (is_open, late) = match state {
            WindowState::Open => (">=", ""),
            WindowState::Closed => ("<", " AND coalesce(t.late, 0) = 0"),
            WindowState::Revised => ("<", " AND t.late > 0"),
        };
        select.and(&format!(" AND t.window_start {is_open} ")).bind_instant(open_from).and(late);
    }
    if let Some((customer, start)) = &query.after {
        select.and(" AND (t.customer, t.window_start) > (").bind_text(customer);
        select.and(", ").bind_instant(*start).and(")");
    }
    select.and(" ORDER BY t.customer, t.window_start LIMIT ");
    select.builder.push_bind(rows(query.limit.saturating_add(1)));
    let read = |row: &PgRow| -> Result<Window, sqlx::Error> {
        let Instant(start) = row.try_get(1)?;
        Ok(Window::of(rule, closed_through, row.try_get(0)?, start, Windows::read(row, 2)?))
    };
    let mut windows = some(scoped, select, read, Window::bytes).await?;
    let more = cut(&mut windows, query.limit, PAGE_BYTES_MAX, Window::bytes);
    let next = windows.last().filter(|_| more).map(|last| (last.customer.clone(), last.start));
    Ok(Page { rows: windows, next })
}

/// One page in order of name.
pub(super) async fn list_customers(
    scoped: &mut Scoped,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<Customer, String>, Unanswered> {
    let columns = format!("t.customer, {}", values::<Customers>());
    let mut select = Select::of(&columns, "customers", scoped.tenant.no);
    // Events without a customer stand under the empty name, which is before every other.
    select.and(" AND t.customer > ").bind_text(after.unwrap_or_default());
    select.and(" ORDER BY t.customer LIMIT ").builder.push_bind(rows(limit.saturating_add(1)));
    let read =
        |row: &PgRow| -> Result<Customer, sqlx::Error> { Ok(Customers::read(row, 1)?.into_customer(row.try_get(0)?)) };
    let mut customers = some(scoped, select, read, Customer::bytes).await?;
    let more = cut(&mut customers, limit, PAGE_BYTES_MAX, Customer::bytes);
    let next = customers.last().filter(|_| more).map(|last| last.id.clone());
    Ok(Page { rows: customers, next })
}

/// The rows of a statement, as many as an answer may have, and one more.
async fn some<T>(
    scoped: &mut Scoped,
    mut select: Select,
    read: impl Fn(&PgRow) -> Result<T, sqlx::Error>,
    bytes_of: impl Fn(&T) -> usize,
) -> Result<Vec<T>, Unanswered> {
    let (mut rows, mut bytes) = (Vec::new(), 0);
    if select.is_impossible {
        return Ok(rows);
    }
    let mut found = select.builder.build().fetch(scoped.on());
    while (bytes <= PAGE_BYTES_MAX || rows.len() < 2)
        && let Some(row) = found.try_next().await?
    {
        let row = read(&row)?;
        bytes += bytes_of(&row);
        rows.push(row);
    }
    drop(found);
    if bytes > PAGE_BYTES_MAX {
        scoped.leave_rest();
    }
    Ok(rows)
}

/// What a customer has used: in the window of `now`, on a day, and ever. None before its first event.
pub(super) async fn usage(
    scoped: &mut Scoped,
    rule: WindowRule,
    customer: &str,
    now: Timestamp,
    day: TimeRange,
) -> Result<Option<CustomerUsage>, Unanswered> {
    let mut select = Select::of(&values::<Customers>(), "customers", scoped.tenant.no);
    select.is("customer", customer);
    if select.is_impossible {
        return Ok(None);
    }
    let found = select.builder.build().fetch_optional(scoped.on()).await?;
    let Some(found) = found.map(|row| Customers::read(&row, 0)).transpose()? else { return Ok(None) };
    let closed_through = closed_through(scoped).await?;
    let start = rule.start_of(now);
    let current = TimeRange::new(start, start.plus_micros(1)).unwrap_or(TimeRange::ALL);
    let current = sum_windows(scoped, customer, current).await?;
    Ok(Some(CustomerUsage {
        current_window: Window::of(rule, closed_through, customer.to_owned(), start, current),
        day: sum_windows(scoped, customer, day).await?,
        customer: found.into_customer(customer.to_owned()),
    }))
}

/// The sum of a customer's windows that begin in a range.
async fn sum_windows(scoped: &mut Scoped, customer: &str, range: TimeRange) -> Result<Aggregate, Unanswered> {
    let mut select = Select::of(&values::<Windows>(), "aggregation_windows", scoped.tenant.no);
    select.is("customer", customer).inside("window_start", range);
    let mut sum = Aggregate::default();
    let mut found = select.builder.build().fetch(scoped.on());
    while let Some(row) = found.try_next().await? {
        sum.merge(&Windows::read(&row, 0)?);
    }
    Ok(sum)
}
