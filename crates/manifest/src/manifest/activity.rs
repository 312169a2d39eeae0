//! Who was active on which day. Adding is read, unite, write, inside the commit's transaction; what
//! adds no new user is not written.

use std::collections::{BTreeMap, HashMap};

use domain::calendar::{Day, DayRange};
use domain::tenant::TenantId;
use domain::users::UserSet;
use ports::manifest::{Activity, ActivityFilter};
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder};
use sqlite::Failure;

use super::insert::insert;
use crate::entities::activity::{self, Column, Entity, Model, RowKey};

/// Rows read and written at once. A set of a million users has about 128 KB.
const ROWS_MAX: usize = 64;

/// Adds users to those active.
pub(super) async fn add(transaction: &DatabaseTransaction, activity: &[Activity]) -> Result<(), Failure> {
    // In order of key, each key once: neighbours lie on the same pages.
    let mut sets: BTreeMap<RowKey, Vec<&UserSet>> = BTreeMap::new();
    for Activity { tenant, filter, day, users } in activity {
        sets.entry(activity::key(tenant, filter, *day)).or_default().push(users);
    }
    let newest_stays = OnConflict::columns([Column::Tenant, Column::Audience, Column::Name, Column::Day])
        .update_columns([Column::Seal, Column::Users])
        .to_owned();
    let mut sets = sets.into_iter();
    while sets.len() > 0 {
        let batch: Vec<_> = sets.by_ref().take(ROWS_MAX).collect();
        let mut stored = stored(transaction, batch.iter().map(|(key, _)| key)).await?;
        let mut rows = Vec::new();
        for (key, new) in batch {
            let before = stored.remove(&key);
            let known = before.as_ref().map(UserSet::len);
            let mut users = before.unwrap_or_default();
            new.into_iter().for_each(|new| users.merge(new));
            if known != Some(users.len()) {
                rows.push(Model::new(key, &users));
            }
        }
        insert(transaction, rows, &newest_stays).await?;
    }
    Ok(())
}

/// Drops all activity of a tenant.
pub(super) async fn forget(transaction: &DatabaseTransaction, of: &TenantId) -> Result<(), Failure> {
    Entity::delete_many().filter(Column::Tenant.eq(of.as_str())).exec(transaction).await?;
    Ok(())
}

/// The rows of who was active on these days, in order of day.
pub(super) async fn rows(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
    filter: &ActivityFilter,
    days: DayRange,
) -> Result<Vec<Model>, Failure> {
    let (kind, name) = activity::columns(filter);
    let rows = Entity::find()
        .filter(Column::Tenant.eq(of.as_str()))
        .filter(Column::Audience.eq(kind))
        .filter(Column::Name.eq(name))
        .filter(Column::Day.between(days.first.number(), days.last.number()))
        .order_by_asc(Column::Day);
    Ok(rows.all(snapshot).await?)
}

/// Who was active on each day.
pub(super) fn unpack(rows: Vec<Model>) -> Result<Vec<(Day, UserSet)>, Failure> {
    rows.into_iter().map(Model::into_users).collect()
}

/// What is stored under these keys. SQLite finds each alternative by the whole key; of a list of
/// tuples it would use a part of it only.
async fn stored(
    transaction: &DatabaseTransaction,
    keys: impl Iterator<Item = &RowKey>,
) -> Result<HashMap<RowKey, UserSet>, Failure> {
    let (mut any, mut kinds) = (Condition::any(), HashMap::new());
    for (tenant, audience, name, day) in keys {
        kinds.insert((*audience).to_owned(), *audience);
        let this = Condition::all()
            .add(Column::Tenant.eq(tenant))
            .add(Column::Audience.eq(*audience))
            .add(Column::Name.eq(name))
            .add(Column::Day.eq(*day));
        any = any.add(this);
    }
    let mut stored = HashMap::new();
    for row in Entity::find().filter(any).all(transaction).await? {
        let key = (row.tenant.clone(), row.audience.clone(), row.name.clone(), row.day);
        let users = row.into_users()?.1;
        let (tenant, audience, name, day) = key;
        if let Some(kind) = kinds.get(&audience) {
            stored.insert((tenant, *kind, name, day), users);
        }
    }
    Ok(stored)
}
