//! Every window and every customer of the folder against what the database has of it, also where raw events are gone.

use std::collections::VecDeque;
use std::fmt::Debug;
use std::io::Write;

use domain::tenant::TenantId;
use ledger_embedded::LedgerParts;
use ledger_postgres::Intake;
use ports::PortError;
use ports::moving::{MovedSum, MovedTenant};
use ports::reports::{Customer, Window};

/// Rows that are read at once.
const ROWS_AT_ONCE: u32 = 5_000;

/// What was compared.
#[derive(Debug, Default)]
pub(super) struct Compared {
    pub(super) windows: u64,
    pub(super) customers: u64,
    pub(super) differences: u64,
}

/// Prints each difference.
pub(super) async fn compare(parts: &LedgerParts, tenants: &[MovedTenant], intake: &Intake) -> anyhow::Result<Compared> {
    let mut compared = Compared::default();
    let (rule, closed_through) = (parts.ledger().rule, intake.closed_through());
    let mut windows = Folder::new(parts.windows()?);
    for moved in tenants {
        let mut found = Pages::default();
        loop {
            let expected = windows.next_of(&moved.tenant)?;
            let expected = expected.map(|sum| Window::of(rule, closed_through, sum.customer, sum.start, sum.aggregate));
            let last = |last: &Window| (last.customer.clone(), last.start);
            let found = found
                .next(last, async |after| {
                    let after = after.as_ref().map(|(customer, start)| (customer.as_str(), *start));
                    intake.windows_after(&moved.tenant, after, ROWS_AT_ONCE).await
                })
                .await?;
            if !compared.add("window", &moved.tenant, expected.as_ref(), found.as_ref())? {
                break;
            }
            compared.windows += 1;
        }
    }
    let mut customers = Folder::new(parts.customers()?);
    for moved in tenants {
        let mut found = Pages::default();
        loop {
            let expected = customers.next_of(&moved.tenant)?.map(|sum| Customer {
                id: sum.customer,
                created: sum.received.0,
                updated: sum.received.1,
                total: sum.aggregate,
            });
            let last = |last: &Customer| last.id.clone();
            let found = found
                .next(last, async |after| intake.customers_after(&moved.tenant, after.as_deref(), ROWS_AT_ONCE).await)
                .await?;
            if !compared.add("customer", &moved.tenant, expected.as_ref(), found.as_ref())? {
                break;
            }
            compared.customers += 1;
        }
    }
    Ok(compared)
}

impl Compared {
    /// Compares the next of both; none of either is the end. One that is missing makes others behind it differ too, and
    /// the first of them is told.
    fn add<T: PartialEq + Debug>(
        &mut self,
        what: &str,
        tenant: &TenantId,
        expected: Option<&T>,
        found: Option<&T>,
    ) -> std::io::Result<bool> {
        if expected != found {
            self.differences += 1;
            let show = |row: Option<&T>| row.map_or_else(|| "nothing".to_owned(), |row| format!("{row:?}"));
            let (expected, found) = (show(expected), show(found));
            writeln!(std::io::stdout(), "tenant {tenant} {what}: the folder has {expected}, the database {found}")?;
            return Ok(false);
        }
        Ok(expected.is_some())
    }
}

/// Sums of the folder, by tenant.
struct Folder {
    sums: ledger_embedded::SumParts,
    ahead: Option<MovedSum>,
}

impl Folder {
    fn new(sums: ledger_embedded::SumParts) -> Self {
        Self { sums, ahead: None }
    }

    /// The next sum of a tenant. What is left of tenants before it was told of.
    fn next_of(&mut self, tenant: &TenantId) -> Result<Option<MovedSum>, PortError> {
        loop {
            if self.ahead.is_none() {
                self.ahead = self.sums.next_sum()?;
            }
            match &self.ahead {
                Some(ahead) if ahead.tenant < *tenant => self.ahead = None,
                Some(ahead) if ahead.tenant == *tenant => return Ok(self.ahead.take()),
                _ => return Ok(None),
            }
        }
    }
}

/// Rows of the database, page by page.
struct Pages<T, C> {
    rows: VecDeque<T>,
    after: Option<C>,
    is_over: bool,
}

impl<T, C> Default for Pages<T, C> {
    fn default() -> Self {
        Self { rows: VecDeque::new(), after: None, is_over: false }
    }
}

impl<T, C> Pages<T, C> {
    async fn next(
        &mut self,
        cursor: impl Fn(&T) -> C,
        read: impl AsyncFn(&Option<C>) -> Result<Vec<T>, PortError>,
    ) -> Result<Option<T>, PortError> {
        if self.rows.is_empty() && !self.is_over {
            self.rows = read(&self.after).await?.into();
            self.is_over = self.rows.is_empty();
            self.after = self.rows.back().map(cursor);
        }
        Ok(self.rows.pop_front())
    }
}
