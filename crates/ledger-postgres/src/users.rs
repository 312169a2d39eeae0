//! Users as numbers, who was active on which day, and names. What is known to be stored already is kept in memory, so
//! that it is not written again; whatever a transaction has added is to be forgotten when that did not count.

use domain::admit::Dimension;
use domain::dedup::IdHash;
use domain::limits::{LEDGER_USER_DAYS_KEPT_MAX, LEDGER_USERS_KEPT_MAX};
use domain::tenant::TenantId;
use domain::users::{UserNumber, UserSet};
use hashbrown::{HashMap, HashSet};
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::copy::{Rows, miscounted};
use crate::fold::Folded;
use crate::tenants::Tenants;
use crate::types::Uuid;

/// Bytes of a row, about.
const ROW_BYTES: usize = 96;

/// What is known to be stored.
#[derive(Debug, Default)]
pub(crate) struct KnownUsers {
    numbers: HashMap<IdHash, i32>,
    /// By tenant, audience, name and day.
    days: HashMap<(i32, i16, String, i32), UserSet>,
    names: HashSet<(i32, Dimension, String)>,
}

/// A user of an event, in the order of events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EventUser<'b> {
    pub(crate) tenant: &'b TenantId,
    pub(crate) hash: IdHash,
    pub(crate) name: &'b str,
}

impl KnownUsers {
    /// The numbers of users. Those that have none get the next ones, in the order of events.
    pub(crate) async fn number(
        &mut self,
        on: &mut PgConnection,
        tenants: &mut Tenants,
        users: &[EventUser<'_>],
    ) -> Result<Vec<UserNumber>, Failure> {
        if self.numbers.len() > LEDGER_USERS_KEPT_MAX {
            self.numbers.clear();
        }
        self.load(on, tenants, users).await?;
        let mut rows = Rows::new(4, 0);
        let mut added: HashMap<i32, (i32, i32)> = HashMap::new();
        for user in users {
            if self.numbers.contains_key(&user.hash) {
                continue;
            }
            let tenant = tenants.get_mut(user.tenant)?;
            let number = tenant.users;
            tenant.users += 1;
            added.entry(tenant.no).or_insert((number, 0)).1 = tenant.users;
            self.numbers.insert(user.hash, number);
            rows.row().i32(tenant.no).i32(number).uuid(Uuid(user.hash.0)).text(user.name);
        }
        rows.copy(on, "users (tenant_no, user_no, name_hash, name)").await?;
        let mut added: Vec<_> = added.into_iter().map(|(no, (from, to))| (no, from, to)).collect();
        added.sort_unstable();
        count(on, &added).await?;
        // All of them are known by now.
        let number = |user: &EventUser<'_>| Some(UserNumber(self.numbers.get(&user.hash)?.cast_unsigned()));
        Ok(users.iter().map(number).collect::<Option<_>>().unwrap_or_default())
    }

    async fn load(&mut self, on: &mut PgConnection, tenants: &Tenants, users: &[EventUser<'_>]) -> Result<(), Failure> {
        let mut missing = Vec::new();
        for user in users.iter().filter(|user| !self.numbers.contains_key(&user.hash)) {
            missing.push((tenants.no(user.tenant)?, Uuid(user.hash.0)));
        }
        missing.sort_unstable();
        missing.dedup();
        if missing.is_empty() {
            return Ok(());
        }
        let (numbers, hashes): (Vec<_>, Vec<_>) = missing.into_iter().unzip();
        let sql = "SELECT u.name_hash, u.user_no FROM unnest($1::int4[], $2::uuid[]) k(tenant_no, name_hash) \
                   JOIN users u ON u.tenant_no = k.tenant_no AND u.name_hash = k.name_hash";
        for row in sqlx::query(sql).bind(numbers).bind(hashes).fetch_all(on).await? {
            self.numbers.insert(IdHash(row.try_get::<Uuid, _>(0)?.0), row.try_get(1)?);
        }
        Ok(())
    }

    /// Adds who was active, as far as that is not known. Returns how many rows that took.
    pub(crate) async fn add_days(
        &mut self,
        on: &mut PgConnection,
        bucket: i16,
        folded: &Folded<'_>,
    ) -> Result<u64, Failure> {
        if self.days.len() > LEDGER_USER_DAYS_KEPT_MAX {
            self.days.clear();
        }
        let mut rows = Rows::new(6, folded.user_days.len() * ROW_BYTES);
        for ((tenant, audience, name, day), users) in &folded.user_days {
            let known = self.days.entry((*tenant, *audience, (*name).to_owned(), *day)).or_default();
            let mut new = users.clone();
            new.remove(known);
            if !new.is_empty() {
                known.merge(&new);
                rows.row().i32(*tenant).i32(*day).i16(bucket).i16(*audience).text(name).bytes(Some(&new.to_bytes()));
            }
        }
        let count = rows.count();
        rows.copy(on, "user_day_deltas (tenant_no, day, bucket, audience, name, bits)").await?;
        Ok(count)
    }

    /// Adds names that are not known, and returns them.
    pub(crate) async fn add_names<'b>(
        &mut self,
        on: &mut PgConnection,
        folded: &Folded<'b>,
    ) -> Result<Vec<(i32, Dimension, &'b str)>, Failure> {
        let is_new = |name: &(i32, Dimension, &str)| !self.names.contains(&(name.0, name.1, name.2.to_owned()));
        let new: Vec<_> = folded.names.iter().copied().filter(is_new).collect();
        if new.is_empty() {
            return Ok(new);
        }
        let (tenants, dimensions): (Vec<_>, Vec<_>) = new.iter().map(|name| (name.0, code(name.1))).unzip();
        let names: Vec<_> = new.iter().map(|name| name.2).collect();
        let sql = "INSERT INTO names (tenant_no, dimension, name) SELECT * FROM unnest($1::int4[], $2::int2[], $3::text[]) \
                   ON CONFLICT DO NOTHING";
        sqlx::query(sql).bind(tenants).bind(dimensions).bind(names).execute(on).await?;
        self.names.extend(new.iter().map(|name| (name.0, name.1, name.2.to_owned())));
        Ok(new)
    }
}

/// Notes how many users tenants have: of each its number, how many it had, and how many it has.
async fn count(on: &mut PgConnection, added: &[(i32, i32, i32)]) -> Result<(), Failure> {
    if added.is_empty() {
        return Ok(());
    }
    let column = |part: fn(&(i32, i32, i32)) -> i32| added.iter().map(part).collect::<Vec<_>>();
    let (tenants, before, after) = (column(|one| one.0), column(|one| one.1), column(|one| one.2));
    let sql = "UPDATE tenants t SET users = k.after FROM unnest($1::int4[], $2::int4[], $3::int4[]) \
               AS k(tenant_no, before, after) WHERE t.tenant_no = k.tenant_no AND t.users = k.before";
    let changed = sqlx::query(sql).bind(tenants).bind(before).bind(after).execute(on).await?.rows_affected();
    if changed == added.len() as u64 { Ok(()) } else { Err(miscounted("tenants", changed, added.len() as u64)) }
}

/// The number of a dimension in `names`.
pub(crate) const fn code(dimension: Dimension) -> i16 {
    match dimension {
        Dimension::Type => 0,
        Dimension::Endpoint => 1,
        Dimension::Model => 2,
        Dimension::Project => 3,
    }
}
