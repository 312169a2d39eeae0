//! The events and sums of a customer, window by window. A window that later events have added to is added up anew from
//! these, which are all there: retention waits for erasures.

use std::collections::BTreeMap;

use domain::aggregate::Aggregate;
use domain::erasure::ERASED_CUSTOMER;
use domain::position::Position;
use domain::time::Timestamp;
use postgres::Failure;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};

use super::Erasing;
use super::gone::{COLUMNS, Gone, Row};
use super::step::Step;
use crate::ledger::PostgresLedger;
use crate::stored_erasures::note_unscrubbed;
use crate::sums::{self, Windows};
use crate::types::{Instant, unsigned};

/// Windows that one step removes.
const WINDOWS_MAX: i64 = 1_000;
/// Events that one step removes, unless one window has more.
const EVENTS_MAX: u64 = 2_000;

impl PostgresLedger {
    pub(super) async fn remove_customer(&self, erasing: &Erasing) -> Result<(), Failure> {
        let mut from = Timestamp::MIN;
        loop {
            let mut step = Step::begin(self).await?;
            let Some(last) = last_window(step.on(), erasing, from).await? else { return step.end().await };
            let end = self.rule.end_of(last);
            let (rule, hasher) = (self.rule, step.hasher(erasing)?);
            let mut gone = Gone::begin(step.on(), erasing.tenant_no, hasher, rule).await?;
            let span = (Instant(from), Instant(end));
            remove_events(step.on(), erasing, span, &mut gone).await?;
            remove_sums(step.on(), erasing, span).await?;
            let later = self.later_windows(step.on(), erasing, span).await?;
            let (on, writer) = step.parts();
            sums::add::<Windows>(on, &mut writer.leaves, &mut writer.seen.windows, later).await?;
            let changed = gone.store(&mut step, erasing).await?;
            step.commit(changed).await?;
            from = end;
        }
    }

    /// The windows of events that came after the request.
    async fn later_windows<'e>(
        &self,
        on: &mut PgConnection,
        erasing: &'e Erasing,
        (from, to): (Instant, Instant),
    ) -> Result<BTreeMap<(i32, &'e str, Timestamp), Aggregate>, Failure> {
        let (no, customer) = (erasing.tenant_no, erasing.subject());
        let sql = format!(
            "SELECT {COLUMNS} FROM usage_events e WHERE e.tenant_no = $1 AND e.customer = $2 AND e.time >= $3 \
             AND e.time < $4"
        );
        let mut windows: BTreeMap<_, Aggregate> = BTreeMap::new();
        let query = sqlx::query(AssertSqlSafe(sql)).bind(no).bind(customer).bind(from).bind(to);
        for row in query.fetch_all(on).await? {
            let row = Row::of(&row)?;
            let key = (no, customer, self.rule.start_of(row.event.time));
            windows.entry(key).or_default().fold(&row.event, row.is_late);
        }
        Ok(windows)
    }
}

/// The last of the next windows that one step removes.
async fn last_window(on: &mut PgConnection, erasing: &Erasing, from: Timestamp) -> Result<Option<Timestamp>, Failure> {
    let sql = "SELECT window_start, calls FROM aggregation_windows WHERE tenant_no = $1 AND customer = $2 \
               AND window_start >= $3 ORDER BY window_start LIMIT $4";
    let query = sqlx::query(sql).bind(erasing.tenant_no).bind(erasing.subject()).bind(Instant(from)).bind(WINDOWS_MAX);
    let (mut last, mut events) = (None, 0_u64);
    for row in query.fetch_all(on).await? {
        events = events.saturating_add(unsigned(row.try_get(1)?));
        if events > EVENTS_MAX && last.is_some() {
            break;
        }
        let Instant(start) = row.try_get(0)?;
        last = Some(start);
    }
    Ok(last)
}

async fn remove_events(
    on: &mut PgConnection,
    erasing: &Erasing,
    (from, to): (Instant, Instant),
    gone: &mut Gone,
) -> Result<(), Failure> {
    let sql = format!(
        "DELETE FROM usage_events e WHERE e.tenant_no = $1 AND e.customer = $2 AND e.time >= $3 AND e.time < $4 \
         AND e.position <= $5 RETURNING {COLUMNS}"
    );
    let through = Position::new(erasing.stored.erasure.through, u16::MAX).bits().cast_signed();
    let query = sqlx::query(AssertSqlSafe(sql)).bind(erasing.tenant_no).bind(erasing.subject());
    for row in query.bind(from).bind(to).bind(through).fetch_all(on).await? {
        gone.add(&Row::of(&row)?, ERASED_CUSTOMER);
    }
    Ok(())
}

/// Removes windows, and the customer's name from what earlier erasures have left.
async fn remove_sums(on: &mut PgConnection, erasing: &Erasing, (from, to): (Instant, Instant)) -> Result<(), Failure> {
    let (no, customer) = (erasing.tenant_no, erasing.subject());
    let windows = "WITH gone AS (DELETE FROM aggregation_windows w WHERE w.tenant_no = $1 AND w.customer = $2 \
                   AND w.window_start >= $3 AND w.window_start < $4 RETURNING w.tableoid) \
                   SELECT DISTINCT tableoid::regclass::text FROM gone";
    let query = sqlx::query_scalar::<_, String>(windows).bind(no).bind(customer).bind(from).bind(to);
    let mut touched = query.fetch_all(&mut *on).await?;
    let residuals =
        "UPDATE residuals SET customer = $5 WHERE tenant_no = $1 AND customer = $2 AND start >= $3 AND start < $4";
    let query = sqlx::query(residuals).bind(no).bind(customer).bind(from).bind(to).bind(ERASED_CUSTOMER);
    if query.execute(&mut *on).await?.rows_affected() > 0 {
        touched.push("residuals".to_owned());
    }
    note_unscrubbed(on, &touched).await
}
