//! Who was active on which day, from raw events in order of tenant and time, and from what is kept of those that were
//! erased: in memory are the days around one time.

use std::collections::BTreeMap;

use domain::calendar::{Day, Days, Zone};
use domain::users::{UserNumber, UserSet};
use futures::TryStreamExt;
use ports::verification::VerifySummary;
use postgres::Failure;
use sqlx::Row as _;

use super::moment::Moment;
use super::report::{Report, Subject, VerifiedTenant};
use super::stored::Stored;
use crate::fold::{AUDIENCE_ALL, AUDIENCE_PROJECT, AUDIENCE_TYPE};
use crate::types::Instant;

/// Where clocks go back over midnight, a time may be on the day before once more.
const DAYS_BACK: i32 = 1;

/// Tenant, day, audience and its name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct UserDayKey(i32, i32, i16, String);

impl Subject for UserDayKey {
    fn tenant_no(&self) -> i32 {
        self.0
    }

    fn is_whole(&self, tenant: &VerifiedTenant) -> bool {
        tenant.has_all() || tenant.is_whole_from(tenant.calendar.start_of(Day::from_number(self.1)))
    }

    fn name(&self) -> String {
        let day = Day::from_number(self.1);
        match self.2 {
            AUDIENCE_ALL => format!("users on {day}"),
            AUDIENCE_PROJECT => format!("users of project {:?} on {day}", self.3),
            AUDIENCE_TYPE => format!("users of type {:?} on {day}", self.3),
            other => format!("users of audience {other} {:?} on {day}", self.3),
        }
    }

    fn count(summary: &mut VerifySummary) -> Option<&mut u64> {
        Some(&mut summary.user_days)
    }
}

/// Users of a day, told by the first of them.
#[derive(PartialEq)]
struct ActiveSet(UserSet);

impl std::fmt::Debug for ActiveSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let first: Vec<_> = self.0.iter().take(10).map(|user| user.0).collect();
        write!(f, "{} users: {first:?}", self.0.len())
    }
}

/// The days that may get more users, of one tenant.
struct OpenDays {
    tenant_no: i32,
    days: Days<'static>,
    sets: BTreeMap<UserDayKey, ActiveSet>,
}

impl OpenDays {
    fn of(tenant_no: i32, report: &Report<'_>) -> Self {
        let zone = report.tenants.get(&tenant_no).map(|tenant| tenant.calendar.zone.clone());
        Self { tenant_no, days: zone.unwrap_or_else(Zone::utc).into_days(), sets: BTreeMap::new() }
    }

    fn add(&mut self, day: i32, project: Option<&str>, kind: &str, user: UserNumber) {
        let audiences = [(AUDIENCE_ALL, ""), (AUDIENCE_PROJECT, project.unwrap_or("")), (AUDIENCE_TYPE, kind)];
        for (audience, name) in audiences {
            self.set(UserDayKey(self.tenant_no, day, audience, name.to_owned())).insert(user);
        }
    }

    fn set(&mut self, key: UserDayKey) -> &mut UserSet {
        &mut self.sets.entry(key).or_insert_with(|| ActiveSet(UserSet::default())).0
    }

    /// Compares the days before one.
    async fn close(
        &mut self,
        before: i32,
        stored: &mut Stored<'_, UserDayKey, ActiveSet>,
        report: &mut Report<'_>,
    ) -> Result<(), sqlx::Error> {
        while let Some(first) = self.sets.first_entry().filter(|first| first.key().1 < before) {
            let (key, users) = first.remove_entry();
            stored.compare(&key, &users, report).await?;
        }
        Ok(())
    }
}

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_stored) = (moment.reader().await?, moment.reader().await?);
    let sql = "SELECT tenant_no, day, audience, name, array_agg(bits) FROM \
               (SELECT tenant_no, day, audience, name, bits FROM user_days UNION ALL \
               SELECT d.tenant_no, u.day, u.audience, u.name COLLATE \"C\", u.bits FROM user_day_deltas d, \
               unnest(d.days, d.audiences, d.names, d.bits) u(day, audience, name, bits)) kept \
               GROUP BY tenant_no, day, audience, name ORDER BY tenant_no, day, audience, name";
    let mut stored = Stored::<UserDayKey, ActiveSet>::open(of_stored.on(), sql.to_owned(), |row| {
        let key = UserDayKey(row.try_get(0)?, row.try_get(1)?, row.try_get(2)?, row.try_get(3)?);
        let mut all = UserSet::default();
        for bits in row.try_get::<Vec<Vec<u8>>, _>(4)? {
            all.merge(&UserSet::from_bytes(&bits).map_err(|why| sqlx::Error::Decode(why.into()))?);
        }
        Ok((key, ActiveSet(all)))
    });
    // What is kept of a day comes before all events that are counted on it, whatever the zone.
    let sql = "SELECT tenant_no, time, user_no, project, kind, NULL::int2 AS audience, NULL::int4 AS day, \
               NULL::bytea AS bits FROM usage_events WHERE user_no IS NOT NULL \
               UNION ALL SELECT tenant_no, timestamptz '1970-01-01 00:00:00+00' + (day - 1) * interval '24 hours', NULL, \
               NULL, name, audience, day, bits FROM erased_user_days ORDER BY 1, 2";
    let mut rows = sqlx::query(sql).fetch(of_raw.on());
    let mut open = OpenDays::of(0, report);
    while let Some(row) = rows.try_next().await? {
        let (tenant_no, Instant(time)): (i32, _) = (row.try_get(0)?, row.try_get(1)?);
        if tenant_no != open.tenant_no {
            open.close(i32::MAX, &mut stored, report).await?;
            open = OpenDays::of(tenant_no, report);
        }
        if let Some(bits) = row.try_get::<Option<&[u8]>, _>(7)? {
            let key = UserDayKey(tenant_no, row.try_get(6)?, row.try_get(5)?, row.try_get(4)?);
            open.set(key).merge(&UserSet::from_bytes(bits).map_err(|why| sqlx::Error::Decode(why.into()))?);
            continue;
        }
        let day = open.days.day_of(time).number();
        open.close(day.saturating_sub(DAYS_BACK), &mut stored, report).await?;
        let user = UserNumber(row.try_get::<i32, _>(2)?.cast_unsigned());
        open.add(day, row.try_get(3)?, row.try_get(4)?, user);
    }
    drop(rows);
    open.close(i32::MAX, &mut stored, report).await?;
    stored.finish(report).await?;
    of_raw.end().await?;
    of_stored.end().await
}
