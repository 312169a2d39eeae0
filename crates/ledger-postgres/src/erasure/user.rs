//! The events of a user, who is known by the number that the request has taken the name from.

use domain::time::Timestamp;
use postgres::Failure;
use sqlx::{AssertSqlSafe, Row as _};

use super::Erasing;
use super::gone::{COLUMNS, Gone, Row};
use super::step::Step;
use crate::ledger::PostgresLedger;
use crate::types::Instant;

/// Events that are looked at in one statement.
const LOOKED_MAX: i64 = 20_000;
/// Events that one step removes.
const REMOVED_MAX: usize = 2_000;

/// Where an event stands: its time, position and receive time.
type Place = (Instant, i64, Instant);

impl PostgresLedger {
    pub(super) async fn remove_user(&self, erasing: &Erasing) -> Result<(), Failure> {
        let Some(user_no) = erasing.user_no else { return Ok(()) };
        let mut after = Some((Instant(Timestamp::MIN), i64::MIN));
        while let Some(from) = after {
            let (found, last) = self.look_for_user(erasing.tenant_no, user_no, from).await?;
            for places in found.chunks(REMOVED_MAX) {
                self.remove_events_of_user(erasing, user_no, places).await?;
            }
            after = last;
        }
        Ok(())
    }

    /// The user's events among the next ones of the tenant, and the last of those that were looked at, if any were.
    async fn look_for_user(
        &self,
        tenant_no: i32,
        user_no: i32,
        (time, position): (Instant, i64),
    ) -> Result<(Vec<Place>, Option<(Instant, i64)>), Failure> {
        let sql = "WITH looked AS MATERIALIZED (SELECT e.time, e.position, e.received_at, e.user_no FROM usage_events e \
                   WHERE e.tenant_no = $1 AND (e.time, e.position) > ($2, $3) ORDER BY e.time, e.position LIMIT $4) \
                   (SELECT time, position, received_at, false FROM looked WHERE user_no = $5) UNION ALL \
                   (SELECT time, position, received_at, true FROM looked ORDER BY time DESC, position DESC LIMIT 1)";
        let query = sqlx::query(sql).bind(tenant_no).bind(time).bind(position).bind(LOOKED_MAX).bind(user_no);
        let (mut found, mut last) = (Vec::new(), None);
        for row in query.fetch_all(&mut *self.worker.acquire().await?).await? {
            let (time, position) = (row.try_get(0)?, row.try_get(1)?);
            match row.try_get(3)? {
                true => last = Some((time, position)),
                false => found.push((time, position, row.try_get(2)?)),
            }
        }
        Ok((found, last))
    }

    async fn remove_events_of_user(&self, erasing: &Erasing, user_no: i32, places: &[Place]) -> Result<(), Failure> {
        let sql = format!(
            "DELETE FROM usage_events e USING unnest($2::timestamptz[], $3::int8[], $4::timestamptz[]) \
             AS k(time, position, received_at) WHERE e.tenant_no = $1 AND e.user_no = $5 AND e.time = k.time \
             AND e.position = k.position AND e.received_at = k.received_at RETURNING {COLUMNS}"
        );
        let mut step = Step::begin(self).await?;
        let (rule, hasher) = (self.rule, step.hasher(erasing)?);
        let mut gone = Gone::begin(step.on(), erasing.tenant_no, hasher, rule).await?;
        let query = sqlx::query(AssertSqlSafe(sql)).bind(erasing.tenant_no);
        let query = query.bind(places.iter().map(|place| place.0).collect::<Vec<_>>());
        let query = query.bind(places.iter().map(|place| place.1).collect::<Vec<_>>());
        let query = query.bind(places.iter().map(|place| place.2).collect::<Vec<_>>()).bind(user_no);
        for row in query.fetch_all(step.on()).await? {
            let row = Row::of(&row)?;
            gone.add(&row, row.event.customer.unwrap_or_default());
        }
        let changed = gone.store(&mut step, erasing).await?;
        step.commit(changed).await
    }
}
