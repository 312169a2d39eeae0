//! Users as numbers, who was active on which day, and names. What is known to be stored already is kept in memory, so
//! that it is not written again; whatever a transaction has added is to be forgotten when that did not count.

use std::collections::BTreeMap;

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
use crate::types::{BYTEA, INT2, INT4, TEXT, Uuid};

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

/// Numbers of users, in the order of events.
#[derive(Debug)]
pub(crate) struct Numbered<'b> {
    pub(crate) numbers: Vec<UserNumber>,
    /// Those that had none.
    new: Vec<(EventUser<'b>, i32)>,
}

impl KnownUsers {
    /// The numbers of users, all of whom have been loaded. Those that have none get the next ones, in the order of events.
    pub(crate) fn number<'b>(&self, tenants: &Tenants, users: &[EventUser<'b>]) -> Result<Numbered<'b>, Failure> {
        let mut numbered = Numbered { numbers: Vec::with_capacity(users.len()), new: Vec::new() };
        let (mut added, mut next) = (HashMap::new(), HashMap::new());
        for user in users {
            let known = self.numbers.get(&user.hash).or_else(|| added.get(&user.hash)).copied();
            let number = match known {
                Some(number) => number,
                None => {
                    let tenant = tenants.get(user.tenant)?;
                    let next = next.entry(tenant.no).or_insert(tenant.users);
                    let number = *next;
                    *next += 1;
                    added.insert(user.hash, number);
                    numbered.new.push((*user, number));
                    number
                }
            };
            numbered.numbers.push(UserNumber(number.cast_unsigned()));
        }
        Ok(numbered)
    }

    /// Stores the users that got numbers.
    pub(crate) async fn store(
        &mut self,
        on: &mut PgConnection,
        tenants: &mut Tenants,
        numbered: &Numbered<'_>,
    ) -> Result<(), Failure> {
        let mut rows = Rows::new(4, numbered.new.len() * ROW_BYTES);
        let mut added: BTreeMap<i32, (i32, i32)> = BTreeMap::new();
        for (user, number) in &numbered.new {
            let tenant = tenants.get_mut(user.tenant)?;
            tenant.users = number + 1;
            added.entry(tenant.no).or_insert((*number, 0)).1 = tenant.users;
            self.numbers.insert(user.hash, *number);
            rows.row().i32(tenant.no).i32(*number).uuid(Uuid(user.hash.0)).text(user.name);
        }
        rows.copy(on, "users (tenant_no, user_no, name_hash, name)").await?;
        let added: Vec<_> = added.into_iter().map(|(no, (from, to))| (no, from, to)).collect();
        count(on, &added).await
    }

    /// Sees to it that the numbers of users are known, of those that have one.
    pub(crate) async fn load(
        &mut self,
        on: &mut PgConnection,
        tenants: &Tenants,
        users: &[EventUser<'_>],
    ) -> Result<(), Failure> {
        if self.numbers.len() > LEDGER_USERS_KEPT_MAX {
            self.numbers.clear();
        }
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

    /// Adds who was active, as far as that is not known. Returns the tenants that got a row by that.
    pub(crate) async fn add_days(
        &mut self,
        on: &mut PgConnection,
        tenants: &Tenants,
        folded: &Folded<'_>,
    ) -> Result<Vec<i32>, Failure> {
        if self.days.len() > LEDGER_USER_DAYS_KEPT_MAX {
            self.days.clear();
        }
        let mut added = BTreeMap::<i32, Vec<_>>::new();
        for ((tenant, audience, name, day), users) in &folded.user_days {
            let known = self.days.entry((*tenant, *audience, (*name).to_owned(), *day)).or_default();
            let mut new = users.clone();
            new.remove(known);
            if !new.is_empty() {
                known.merge(&new);
                added.entry(*tenant).or_default().push((*day, *audience, *name, new.to_bytes()));
            }
        }
        let mut rows = Rows::new(6, folded.user_days.len() * ROW_BYTES);
        for (tenant, sets) in &added {
            rows.row()
                .i32(*tenant)
                .i16(tenants.bucket(*tenant)?)
                .array(INT4, sets.iter().map(|(day, ..)| day.to_be_bytes()))
                .array(INT2, sets.iter().map(|(_, audience, ..)| audience.to_be_bytes()))
                .array(TEXT, sets.iter().map(|(_, _, name, _)| name))
                .array(BYTEA, sets.iter().map(|(.., bits)| bits));
        }
        rows.copy(on, "user_day_deltas (tenant_no, bucket, days, audiences, names, bits)").await?;
        Ok(added.into_keys().collect())
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
