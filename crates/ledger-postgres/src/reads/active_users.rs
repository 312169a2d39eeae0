//! Who was active when. Whole days of the tenant's own zone are kept as sets of users, as rows of days and as what
//! batches have added since; both are united here. Everything else is counted from raw events.

use std::collections::{BTreeMap, BTreeSet};

use domain::calendar::{Calendar, Day, DayRange, Interval, Period, WeekStart};
use domain::series::Spans;
use domain::time::TimeRange;
use domain::users::{UserNumber, UserSet};
use futures::TryStreamExt;
use ports::active_users::{ActiveUsersPlan, ActiveUsersQuery};
use sqlx::Row as _;

use super::select::{Select, span_of};
use crate::floor::refuse_dropped;
use crate::fold::{AUDIENCE_ALL, AUDIENCE_PROJECT, AUDIENCE_TYPE};
use crate::scoped::Scoped;
use crate::state;
use crate::types::Instant;
use crate::unanswered::Unanswered;

type ByDay = BTreeMap<Day, UserSet>;

/// Per day with activity, the users that were active.
pub(super) async fn active_users(scoped: &mut Scoped, query: &ActiveUsersQuery) -> Result<ByDay, Unanswered> {
    let sql = "SELECT zone, zone_version FROM tenants WHERE tenant_no = $1";
    let own = sqlx::query(sql).bind(scoped.tenant.no).fetch_one(scoped.on()).await?;
    let plan = ActiveUsersPlan::of(query, &state::zone(&own, 0)?.zone);
    let mut found = ByDay::new();
    if let Some(days) = plan.kept {
        add_kept(scoped, query, days, &mut found).await?;
    }
    refuse_dropped(scoped, None, &plan.raw).await?;
    for range in plan.raw {
        add_raw(scoped, query, range, plan.kept, &mut found).await?;
    }
    if query.named_only {
        let nameless = nameless(scoped).await?;
        found.values_mut().for_each(|users| users.remove(&nameless));
        found.retain(|_, users| !users.is_empty());
    }
    Ok(found)
}

/// What of the kept sets answers a query that does not ask for a project and a type together.
fn audience(query: &ActiveUsersQuery) -> (i16, &str) {
    match (&query.project, &query.kind) {
        (Some(project), _) => (AUDIENCE_PROJECT, project),
        (None, Some(kind)) => (AUDIENCE_TYPE, kind),
        (None, None) => (AUDIENCE_ALL, ""),
    }
}

async fn add_kept(
    scoped: &mut Scoped,
    query: &ActiveUsersQuery,
    days: DayRange,
    to: &mut ByDay,
) -> Result<(), Unanswered> {
    let (audience, name) = audience(query);
    if name.contains('\0') {
        return Ok(());
    }
    let sql = "SELECT day, bits FROM user_days \
               WHERE tenant_no = $1 AND audience = $2 AND name = $3 AND day >= $4 AND day <= $5 \
               UNION ALL SELECT u.day, u.bits FROM user_day_deltas d, \
               unnest(d.days, d.audiences, d.names, d.bits) u(day, audience, name, bits) \
               WHERE d.tenant_no = $1 AND u.audience = $2 AND u.name = $3 AND u.day >= $4 AND u.day <= $5";
    let kept = sqlx::query(sql).bind(scoped.tenant.no).bind(audience).bind(name);
    let mut rows = kept.bind(days.first.number()).bind(days.last.number()).fetch(scoped.on());
    while let Some(row) = rows.try_next().await? {
        let bits: &[u8] = row.try_get(1)?;
        let users = UserSet::from_bytes(bits).map_err(|why| sqlx::Error::Decode(why.into()))?;
        to.entry(Day::from_number(row.try_get(0)?)).or_default().merge(&users);
    }
    Ok(())
}

/// Adds the users of raw events, but on the days `but`. The server tells each user once for a short span that lies in one
/// day, and the events of other spans one by one.
async fn add_raw(
    scoped: &mut Scoped,
    query: &ActiveUsersQuery,
    range: TimeRange,
    but: Option<DayRange>,
    to: &mut ByDay,
) -> Result<(), Unanswered> {
    let calendar = Calendar { zone: query.zone.clone(), week_start: WeekStart::Monday };
    let mut spans = Spans::short(range, &calendar, Interval::Days(Period::Day));
    let mut days = calendar.days();
    let (start, no) = (span_of("t.time", &spans), scoped.tenant.no);
    let mut others = BTreeSet::new();
    for (time, is_last) in [(start.as_str(), false), ("t.time", true)] {
        let ranges = if is_last { spans.ranges(&others) } else { vec![range] };
        if ranges.is_empty() {
            continue;
        }
        let mut select = Select::inside_any(&format!("{time}, t.user_no"), "usage_events", no, "time", &ranges);
        select.and(" AND t.user_no IS NOT NULL");
        if let Some(project) = &query.project {
            select.is_or_none("project", project);
        }
        if let Some(kind) = &query.kind {
            select.is("kind", kind);
        }
        if select.is_impossible {
            return Ok(());
        }
        let mut select = select.grouped("1, 2");
        let mut rows = select.builder.build().fetch(scoped.on());
        while let Some(row) = rows.try_next().await? {
            let (Instant(time), user) = (row.try_get(0)?, row.try_get::<i32, _>(1)?);
            if !is_last && !spans.is_whole(time) {
                others.insert(time);
                continue;
            }
            let day = days.day_of(time);
            if but.is_none_or(|but| !but.contains(day)) {
                to.entry(day).or_default().insert(UserNumber(user.cast_unsigned()));
            }
        }
    }
    Ok(())
}

/// The users whose names were erased.
async fn nameless(scoped: &mut Scoped) -> Result<UserSet, Unanswered> {
    let sql = "SELECT user_no FROM users WHERE tenant_no = $1 AND name IS NULL";
    let rows = sqlx::query_scalar::<_, i32>(sql).bind(scoped.tenant.no).fetch_all(scoped.on()).await?;
    Ok(rows.into_iter().map(|user| UserNumber(user.cast_unsigned())).collect())
}
