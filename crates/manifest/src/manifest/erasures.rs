//! What erasures change: their own rows, who was active by what they erased, names of users, dead letters, and all of
//! a tenant.

use std::collections::BTreeMap;

use domain::tenant::TenantId;
use domain::users::UserSet;
use ports::manifest::{Activity, Commit, StoredErasure};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait,
    IntoActiveModel, QueryFilter, QueryOrder, Statement,
};
use sqlite::{Failure, signed};

use super::{received, rollups, users};
use crate::entities::activity::{RowKey, key};
use crate::entities::{
    activity, dead_letter, erased_activity, erasure, name, tenant_retention, tenant_users, user_page,
};

/// Leaves nothing of tenants but their erasures.
pub(super) async fn erase_tenants(transaction: &DatabaseTransaction, tenants: &[TenantId]) -> Result<(), Failure> {
    for tenant in tenants {
        let tenant = tenant.as_str();
        for table in [rollups::HOURS, rollups::DAYS].map(|grain| grain.table).into_iter().chain(received::TABLES) {
            let sql = format!("DELETE FROM {table} WHERE tenant = ?");
            let delete = Statement::from_sql_and_values(DbBackend::Sqlite, sql, [tenant.into()]);
            transaction.execute_raw(delete).await?;
        }
        name::Entity::delete_many().filter(name::Column::Tenant.eq(tenant)).exec(transaction).await?;
        activity::Entity::delete_many().filter(activity::Column::Tenant.eq(tenant)).exec(transaction).await?;
        let erased = erased_activity::Column::Tenant.eq(tenant);
        erased_activity::Entity::delete_many().filter(erased).exec(transaction).await?;
        user_page::Entity::delete_many().filter(user_page::Column::Tenant.eq(tenant)).exec(transaction).await?;
        tenant_users::Entity::delete_by_id(tenant).exec(transaction).await?;
        tenant_retention::Entity::delete_by_id(tenant).exec(transaction).await?;
        dead_letter::Entity::delete_many().filter(dead_letter::Column::Tenant.eq(tenant)).exec(transaction).await?;
    }
    Ok(())
}

/// Makes all that a change says of erasures.
pub(super) async fn apply(transaction: &DatabaseTransaction, commit: &Commit) -> Result<(), Failure> {
    for stored in &commit.erasures {
        let known = erasure::Entity::find().filter(erasure::Column::Id.eq(&stored.erasure.id)).one(transaction).await?;
        match known {
            Some(known) => {
                let row = erasure::Model::new(known.number, stored)?;
                row.into_active_model().reset_all().update(transaction).await?;
            }
            None => {
                let last = erasure::Entity::find().order_by_desc(erasure::Column::Number).one(transaction).await?;
                let row = erasure::Model::new(last.map_or(1, |last| last.number + 1), stored)?;
                erasure::Entity::insert(row.into_active_model()).exec_without_returning(transaction).await?;
            }
        }
    }
    for (tenant, numbers) in &commit.erased_users {
        users::erase(transaction, tenant, numbers).await?;
    }
    add_activity(transaction, &commit.erased_activity).await?;
    for seq in &commit.emptied_letters {
        let row = dead_letter::Entity::find_by_id(signed("seq", seq.0)?).one(transaction).await?;
        if let Some(row) = row {
            let emptied = dead_letter::Model { payload: Vec::new(), reason: String::new(), ..row };
            emptied.into_active_model().reset_all().update(transaction).await?;
        }
    }
    Ok(())
}

async fn add_activity(transaction: &DatabaseTransaction, activity: &[Activity]) -> Result<(), Failure> {
    let mut sets: BTreeMap<RowKey, UserSet> = BTreeMap::new();
    for Activity { tenant, filter, day, users } in activity {
        sets.entry(key(tenant, filter, *day)).or_default().merge(users);
    }
    let newest_stays = OnConflict::columns([
        erased_activity::Column::Tenant,
        erased_activity::Column::Audience,
        erased_activity::Column::Name,
        erased_activity::Column::Day,
    ])
    .update_columns([erased_activity::Column::Seal, erased_activity::Column::Users])
    .to_owned();
    for (key, mut users) in sets {
        let id = (key.0.clone(), key.1.to_owned(), key.2.clone(), key.3);
        if let Some(known) = erased_activity::Entity::find_by_id(id).one(transaction).await? {
            users.merge(&known.into_activity()?.2);
        }
        let row = erased_activity::Model::new(key, &users).into_active_model();
        let insert = erased_activity::Entity::insert_many([row]).on_conflict(newest_stays.clone());
        insert.exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// All erasures, in order of request.
pub(super) async fn read(snapshot: &impl ConnectionTrait) -> Result<Vec<StoredErasure>, Failure> {
    let rows = erasure::Entity::find().order_by_asc(erasure::Column::Number).all(snapshot).await?;
    rows.into_iter().map(erasure::Model::into_erasure).collect()
}

/// Who was active by erased events.
pub(super) async fn activity_of(snapshot: &impl ConnectionTrait, of: &TenantId) -> Result<Vec<Activity>, Failure> {
    use erased_activity::{Column, Entity};
    let rows = Entity::find().filter(Column::Tenant.eq(of.as_str())).all(snapshot).await?;
    let activity = |row: erased_activity::Model| {
        let (filter, day, users) = row.into_activity()?;
        Ok(Activity { tenant: of.clone(), filter, day, users })
    };
    let mut found = rows.into_iter().map(activity).collect::<Result<Vec<_>, Failure>>()?;
    found.sort_by(|left, right| (&left.filter, left.day).cmp(&(&right.filter, right.day)));
    Ok(found)
}

/// The dead letters of a tenant, and those that are nobody's.
pub(super) async fn letters(
    snapshot: &impl ConnectionTrait,
    of: &TenantId,
) -> Result<Vec<dead_letter::Model>, Failure> {
    use dead_letter::{Column, Entity};
    let mine = Condition::any().add(Column::Tenant.eq(of.as_str())).add(Column::Tenant.is_null());
    Ok(Entity::find().filter(mine).order_by_asc(Column::Seq).all(snapshot).await?)
}
