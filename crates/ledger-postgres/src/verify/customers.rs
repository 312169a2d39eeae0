//! Windows and customers, from raw events in order of tenant, customer and time: each is whole before the next begins.

use domain::aggregate::Aggregate;
use domain::erasure::ERASED_CUSTOMER;
use domain::invariant::Invariant;
use domain::time::Timestamp;
use domain::window::WindowRule;
use futures::TryStreamExt;
use ports::verification::VerifySummary;
use postgres::Failure;
use sqlx::Row as _;

use super::moment::Moment;
use super::raw::{Addend, addends};
use super::report::{Report, Subject, VerifiedTenant};
use super::stored::Stored;
use crate::sums::{CustomerSum, Customers, SumTable, Windows, values};
use crate::types::Instant;

/// Tenant, whether it stands for events without a customer, which come last, and the customer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct CustomerKey(i32, bool, String);

/// The customer, and the start of the window.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct WindowKey(CustomerKey, Timestamp);

impl CustomerKey {
    fn new(tenant_no: i32, customer: Option<&str>) -> Self {
        let customer = customer.unwrap_or("");
        Self(tenant_no, customer.is_empty(), customer.to_owned())
    }

    fn is_of(&self, one: &Addend<'_>) -> bool {
        self.0 == one.tenant_no && self.2 == one.customer.unwrap_or("")
    }
}

impl Subject for CustomerKey {
    fn tenant_no(&self) -> i32 {
        self.0
    }

    fn is_whole(&self, tenant: &VerifiedTenant) -> bool {
        tenant.has_all()
    }

    fn name(&self) -> String {
        format!("customer {:?}", self.2)
    }

    fn count(summary: &mut VerifySummary) -> Option<&mut u64> {
        Some(&mut summary.customers)
    }
}

impl Subject for WindowKey {
    fn tenant_no(&self) -> i32 {
        self.0.0
    }

    fn is_whole(&self, tenant: &VerifiedTenant) -> bool {
        tenant.is_whole_from(self.1)
    }

    fn name(&self) -> String {
        format!("customer {:?} window {}", self.0.2, self.1)
    }

    fn count(summary: &mut VerifySummary) -> Option<&mut u64> {
        Some(&mut summary.windows)
    }
}

pub(super) async fn compare(moment: &Moment, rule: WindowRule, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_windows, mut of_customers) =
        (moment.reader().await?, moment.reader().await?, moment.reader().await?);
    let sql = format!(
        "SELECT t.tenant_no, t.customer, t.window_start, {} FROM aggregation_windows t \
         ORDER BY t.tenant_no, nullif(t.customer, ''), t.window_start",
        values::<Windows>()
    );
    let mut windows = Stored::<WindowKey, Aggregate>::open(of_windows.on(), sql, |row| {
        let Instant(start) = row.try_get(2)?;
        Ok((WindowKey(CustomerKey::new(row.try_get(0)?, row.try_get(1)?), start), Windows::read(row, 3)?))
    });
    let sql = format!(
        "SELECT t.tenant_no, t.customer, {} FROM customers t ORDER BY t.tenant_no, nullif(t.customer, '')",
        values::<Customers>()
    );
    let mut customers = Stored::<CustomerKey, CustomerSum>::open(of_customers.on(), sql, |row| {
        Ok((CustomerKey::new(row.try_get(0)?, row.try_get(1)?), Customers::read(row, 2)?))
    });
    let mut rows = addends(of_raw.on(), "tenant_no, customer, time");
    let mut window: Option<(WindowKey, Aggregate)> = None;
    let mut customer: Option<(CustomerKey, CustomerSum)> = None;
    while let Some(row) = rows.try_next().await? {
        let one = Addend::of(&row)?;
        report.summary.events += u64::from(one.is_event);
        if one.customer == Some(ERASED_CUSTOMER) {
            // Nobody has a window of that.
            continue;
        }
        check_lateness(&one, rule, report);
        let start = rule.start_of(one.time);
        if let Some((key, sum)) = window.take_if(|(key, _)| !key.0.is_of(&one) || key.1 != start) {
            windows.compare(&key, &sum, report).await?;
        }
        if let Some((key, sum)) = customer.take_if(|(key, _)| !key.is_of(&one)) {
            customers.compare(&key, &sum, report).await?;
        }
        let key = || CustomerKey::new(one.tenant_no, one.customer);
        let aggregate = one.aggregate();
        window.get_or_insert_with(|| (WindowKey(key(), start), Aggregate::default())).1.merge(&aggregate);
        let (_, sum) = customer.get_or_insert_with(|| (key(), CustomerSum::default()));
        Customers::merge(sum, &CustomerSum::of(aggregate, one.received));
    }
    drop(rows);
    if let Some((key, sum)) = window {
        windows.compare(&key, &sum, report).await?;
    }
    if let Some((key, sum)) = customer {
        customers.compare(&key, &sum, report).await?;
    }
    windows.finish(report).await?;
    customers.finish(report).await?;
    for reader in [of_raw, of_windows, of_customers] {
        reader.end().await?;
    }
    Ok(())
}

/// An event that was received after the grace of its window is late, whatever else may make one late.
fn check_lateness(one: &Addend<'_>, rule: WindowRule, report: &mut Report<'_>) {
    if !one.is_event || one.totals.late > 0 || !rule.is_late(one.time, one.received.0) {
        return;
    }
    let what = format!("customer {:?} event of {}", one.customer.unwrap_or(""), one.time);
    let subject = report.name(one.tenant_no, &what);
    report.differs(Invariant::OneTruth, subject, "a late event".to_owned(), "one in time".to_owned());
}
