//! Quotas, and the periods that changes of a zone carry on.

use domain::quota::{CarriedPeriods, VersionedQuota};
use domain::tenant::TenantId;
use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, QueryFilter};
use sqlite::Failure;

use crate::entities::{quota, quota_calendar};

/// The quotas in some rows, in order of tenant and key.
pub(crate) fn quotas_of(rows: Vec<quota::Model>) -> Result<Vec<(TenantId, VersionedQuota)>, Failure> {
    use quota::Model;
    let mut quotas = rows.into_iter().map(Model::into_quota).collect::<Result<Vec<_>, _>>()?;
    quotas.sort_by(|(left, of_left), (right, of_right)| (left, &of_left.key).cmp(&(right, &of_right.key)));
    Ok(quotas)
}

/// Replaces a tenant's carried periods.
pub(crate) async fn carry(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
    carried: &CarriedPeriods,
) -> Result<(), Failure> {
    use quota_calendar::{Column, Entity, Model};
    let changed = [Column::DayFromUs, Column::DayToUs, Column::MonthFromUs, Column::MonthToUs, Column::Seal];
    let newest_stays = OnConflict::column(Column::Tenant).update_columns(changed).to_owned();
    let row = Model::new(tenant, carried).into_active_model();
    Entity::insert_many([row]).on_conflict(newest_stays).exec_without_returning(transaction).await?;
    Ok(())
}

/// Leaves no quota of a customer.
pub(crate) async fn forget_customer(
    transaction: &DatabaseTransaction,
    tenant: &TenantId,
    customer: &str,
) -> Result<(), Failure> {
    use quota::{Column, Entity};
    let mine = Entity::delete_many().filter(Column::Tenant.eq(tenant.as_str()));
    mine.filter(Column::Customer.eq(customer)).exec(transaction).await?;
    Ok(())
}

/// Replaces a quota by its next version.
pub(crate) async fn replace(transaction: &DatabaseTransaction, row: quota::Model) -> Result<(), Failure> {
    use quota::{Column, Entity};
    let of_key = Entity::find()
        .filter(Column::Tenant.eq(&row.tenant))
        .filter(Column::Customer.eq(&row.customer))
        .filter(Column::Measure.eq(&row.measure))
        .filter(Column::Period.eq(&row.period));
    let stored = of_key.one(transaction).await?.map_or(0, |stored| stored.version);
    if stored.checked_add(1) != Some(row.version) {
        return Err(Failure::conflict(format!("version {} of it does not follow {stored}", row.version)));
    }
    let key = [Column::Tenant, Column::Customer, Column::Measure, Column::Period];
    let changed = [Column::LimitMax, Column::IsHard, Column::Version, Column::UpdatedUs, Column::Seal];
    let newest_stays = OnConflict::columns(key).update_columns(changed).to_owned();
    let insert = Entity::insert_many([row.into_active_model()]).on_conflict(newest_stays);
    insert.exec_without_returning(transaction).await?;
    Ok(())
}
