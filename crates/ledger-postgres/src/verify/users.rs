//! Users as raw events give them: who has which number, in the order of first appearance. Both in order of tenant and
//! number.

use domain::invariant::Invariant;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::moment::Moment;
use super::report::Report;
use crate::types::Uuid;

/// A user as it is stored. Without a name it was erased.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StoredUser {
    place: (i32, i32),
    hash: Option<Uuid>,
    name: Option<String>,
}

/// All users in order, each looked at by itself as it passes.
struct StoredUsers<'c> {
    rows: BoxStream<'c, Result<PgRow, sqlx::Error>>,
    ahead: Option<StoredUser>,
    /// The tenant whose users pass, and how many of them have.
    passed: Option<(i32, i32)>,
}

impl<'c> StoredUsers<'c> {
    fn open(on: &'c mut PgConnection) -> Self {
        let sql = "SELECT tenant_no, user_no, name_hash, name FROM users ORDER BY tenant_no, user_no";
        Self { rows: sqlx::query(sql).fetch(on), ahead: None, passed: None }
    }

    async fn next_if(
        &mut self,
        is_wanted: impl FnOnce((i32, i32)) -> bool,
        report: &mut Report<'_>,
    ) -> Result<Option<StoredUser>, sqlx::Error> {
        if self.ahead.is_none()
            && let Some(row) = self.rows.try_next().await?
        {
            let place = (row.try_get(0)?, row.try_get(1)?);
            let user = StoredUser { place, hash: row.try_get(2)?, name: row.try_get(3)? };
            self.pass(&user, report);
            self.ahead = Some(user);
        }
        Ok(self.ahead.take_if(|user| is_wanted(user.place)))
    }

    fn pass(&mut self, user: &StoredUser, report: &mut Report<'_>) {
        let (tenant_no, number) = user.place;
        let before = self.passed.filter(|(of, _)| *of == tenant_no).map_or(0, |(_, passed)| passed);
        self.passed = Some((tenant_no, before + 1));
        report.summary.users += 1;
        if number != before {
            let subject = report.name(tenant_no, &format!("user {before}"));
            report.differs(Invariant::OneTruth, subject, "a user".to_owned(), format!("the next is {number}"));
            self.passed = Some((tenant_no, number + 1));
        }
        let Some(tenant) = report.tenants.get(&tenant_no) else { return };
        let expected = user.name.as_deref().map(|name| Uuid(tenant.hasher.hash(name).0));
        if user.hash != expected {
            let subject = report.name(tenant_no, &format!("user {number} hash of the name"));
            report.differs(Invariant::OneTruth, subject, format!("{expected:?}"), format!("{:?}", user.hash));
        }
    }
}

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_users) = (moment.reader().await?, moment.reader().await?);
    let mut stored = StoredUsers::open(of_users.on());
    let sql = "SELECT tenant_no, user_no, user_name, min(position) FROM usage_events \
               WHERE user_no IS NOT NULL OR user_name IS NOT NULL \
               GROUP BY tenant_no, user_no, user_name ORDER BY tenant_no, user_no, user_name";
    let mut rows = sqlx::query(sql).fetch(of_raw.on());
    let (mut user, mut first): (Option<StoredUser>, Option<(i32, i64)>) = (None, None);
    while let Some(row) = rows.try_next().await? {
        let (tenant_no, number, name): (i32, Option<i32>, Option<&str>) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        let Some(place) = number.map(|number| (tenant_no, number)) else {
            let subject = report.name(tenant_no, &format!("number of user {name:?} in events"));
            report.differs(Invariant::OneTruth, subject, "a number".to_owned(), "none".to_owned());
            continue;
        };
        if user.as_ref().is_none_or(|user| user.place != place) {
            while let Some(unseen) = stored.next_if(|at| at < place, report).await? {
                check_unseen(&unseen, report);
            }
            user = stored.next_if(|at| at == place, report).await?;
            check_order(&mut first, (tenant_no, row.try_get(3)?), place.1, report);
        }
        let found = user.as_ref().and_then(|user| user.name.as_deref());
        if found != name {
            let subject = report.name(tenant_no, &format!("user {}", place.1));
            report.differs(Invariant::OneTruth, subject, format!("{name:?}"), format!("{found:?}"));
        }
    }
    drop(rows);
    while let Some(unseen) = stored.next_if(|_| true, report).await? {
        check_unseen(&unseen, report);
    }
    drop(stored);
    compare_counts(of_users.on(), report).await?;
    of_raw.end().await?;
    of_users.end().await
}

/// While no event has gone, numbers are those of first appearance.
fn check_order(last: &mut Option<(i32, i64)>, first: (i32, i64), number: i32, report: &mut Report<'_>) {
    let before = last.replace(first).filter(|before| before.0 == first.0);
    let has_all = report.tenants.get(&first.0).is_some_and(|tenant| tenant.has_every());
    if has_all && before.is_some_and(|before| before.1 >= first.1) {
        let subject = report.name(first.0, &format!("user {number}"));
        let expected = "a first event behind that of the one before".to_owned();
        report.differs(Invariant::OneTruth, subject, expected, format!("position {}", first.1));
    }
}

/// A user of no event: its name was erased, or retention may have dropped its events.
fn check_unseen(user: &StoredUser, report: &mut Report<'_>) {
    let (tenant_no, number) = user.place;
    let has_all = report.tenants.get(&tenant_no).is_none_or(|tenant| tenant.has_every());
    if has_all && user.name.is_some() {
        let subject = report.name(tenant_no, &format!("user {number}"));
        report.differs(Invariant::NoPhantom, subject, "nobody".to_owned(), format!("{:?}", user.name));
    }
}

/// Each tenant knows how many users it has.
async fn compare_counts(on: &mut PgConnection, report: &mut Report<'_>) -> Result<(), Failure> {
    let sql = "SELECT t.tenant_no, (SELECT count(*) FROM users u WHERE u.tenant_no = t.tenant_no) FROM tenants t \
               ORDER BY t.tenant_no";
    for row in sqlx::query(sql).fetch_all(on).await? {
        let (tenant_no, expected): (i32, i64) = (row.try_get(0)?, row.try_get(1)?);
        let Some(found) = report.tenants.get(&tenant_no).map(|tenant| i64::from(tenant.users)) else { continue };
        if found != expected {
            let subject = report.name(tenant_no, "number of users");
            report.differs(Invariant::OneTruth, subject, expected.to_string(), found.to_string());
        }
    }
    Ok(())
}
