//! The statements of one commit. The first that finds something else than the change believes ends
//! it, and the caller takes all of them back.

use std::collections::BTreeSet;

use ports::manifest::{Commit, FileKind, Name, SegmentMeta, TenantRetention};
use sea_orm::sea_query::OnConflict;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, DatabaseTransaction, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter,
    QuerySelect,
};
use sqlite::Failure;

use super::insert::insert;
use super::{activity, erasures, received, rollups, users};
use crate::entities::{meta, name, retention_wait, segment, segment_file, tenant_retention};

/// Makes every change of `commit` inside `transaction`.
pub(super) async fn apply(transaction: &DatabaseTransaction, commit: &Commit) -> Result<(), Failure> {
    move_marks(transaction, commit).await?;
    erasures::erase_tenants(transaction, &commit.erased_tenants).await?;
    received::erase_customers(transaction, &commit.erased_customers).await?;
    keep_tenants(transaction, &commit.tenant_retention).await?;
    check_stored(transaction, commit).await?;
    forget_events(transaction, &commit.forget_events).await?;
    add_segments(transaction, &commit.add).await?;
    remove_segments(transaction, &commit.remove).await?;
    rollups::add(transaction, &commit.rollups).await?;
    received::add(transaction, &commit.received).await?;
    received::meter(transaction, &commit.metered).await?;
    add_names(transaction, &commit.names).await?;
    users::add(transaction, &commit.users).await?;
    if let Some((tenant, applied)) = &commit.zone {
        users::set_zone(transaction, tenant, applied).await?;
        activity::forget(transaction, tenant).await?;
    }
    activity::add(transaction, &commit.activity).await?;
    erasures::apply(transaction, commit).await
}

async fn move_marks(transaction: &DatabaseTransaction, commit: &Commit) -> Result<(), Failure> {
    let stored = meta::Entity::find().one(transaction).await?;
    let stored = stored.ok_or_else(|| Failure::conflict("it was never loaded"))?.verified()?;
    let mut moved = stored.clone();
    if let Some((from, to)) = commit.cursor {
        let at = stored.cursor()?;
        if at != from {
            return Err(Failure::conflict(format!("its cursor is {at}, not {from}")));
        }
        moved.set_cursor(to)?;
    }
    if let Some(after) = commit.reopen_after {
        moved.closed_through_us = moved.closed_through_us.min(after.micros());
    }
    if let Some(through) = commit.closed_through {
        moved.closed_through_us = moved.closed_through_us.max(through.micros());
    }
    if let Some(floor) = commit.retention_floor {
        moved.retention_floor_us = moved.retention_floor_us.max(floor.micros());
    }
    if let Some(wait) = &commit.retention_wait {
        let row = retention_wait::Model::new(wait);
        retention_wait::Entity::delete_many().exec(transaction).await?;
        retention_wait::Entity::insert(row.into_active_model()).exec_without_returning(transaction).await?;
    }
    if moved != stored {
        moved.sealed().into_active_model().reset_all().update(transaction).await?;
    }
    Ok(())
}

async fn keep_tenants(transaction: &DatabaseTransaction, tenants: &[TenantRetention]) -> Result<(), Failure> {
    for one in tenants {
        let stored = tenant_retention::Entity::find_by_id(one.tenant.as_str()).one(transaction).await?;
        let stored = stored.map(tenant_retention::Model::into_retention).transpose()?;
        let floor = stored.map_or(one.floor, |stored| stored.floor.max(one.floor));
        let row = tenant_retention::Model::new(&TenantRetention { floor, ..one.clone() });
        tenant_retention::Entity::delete_by_id(one.tenant.as_str()).exec(transaction).await?;
        tenant_retention::Entity::insert(row.into_active_model()).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Every segment to remove or to thin out must be stored, and can be removed once only.
async fn check_stored(transaction: &DatabaseTransaction, commit: &Commit) -> Result<(), Failure> {
    let removed: BTreeSet<_> = commit.remove.iter().collect();
    if removed.len() != commit.remove.len() {
        return Err(Failure::conflict("a segment is to be removed twice"));
    }
    let mut missing: BTreeSet<_> = removed.into_iter().chain(&commit.forget_events).cloned().collect();
    if missing.is_empty() {
        return Ok(());
    }
    let stored = segment::Entity::find()
        .select_only()
        .column(segment::Column::Id)
        .filter(segment::Column::Id.is_in(&missing))
        .into_tuple::<String>();
    for id in stored.all(transaction).await? {
        missing.remove(&id);
    }
    match missing.pop_first() {
        Some(id) => Err(Failure::conflict(format!("segment {id:?} is not stored"))),
        None => Ok(()),
    }
}

async fn forget_events(transaction: &DatabaseTransaction, ids: &[String]) -> Result<(), Failure> {
    for id in ids {
        let Some(row) = segment::Entity::find_by_id(id).one(transaction).await? else { continue };
        let files =
            segment_file::Entity::find().filter(segment_file::Column::SegmentId.eq(id)).all(transaction).await?;
        let (events, kept): (Vec<_>, Vec<_>) =
            files.into_iter().partition(|file| file.kind == FileKind::Events.as_str());
        row.sealed(&kept).into_active_model().reset_all().update(transaction).await?;
        for file in events {
            file.delete(transaction).await?;
        }
    }
    Ok(())
}

async fn add_segments(transaction: &DatabaseTransaction, segments: &[SegmentMeta]) -> Result<(), Failure> {
    for segment in segments {
        // One that is stored already violates the key, which is a conflict.
        let files = segment.files.iter().map(|file| segment_file::Model::new(&segment.id, file));
        let files = files.collect::<Result<Vec<_>, _>>()?;
        let row = segment::Model::new(segment, &files)?.into_active_model();
        segment::Entity::insert(row).exec_without_returning(transaction).await?;
        let files = files.into_iter().map(IntoActiveModel::into_active_model);
        segment_file::Entity::insert_many(files).exec_without_returning(transaction).await?;
    }
    Ok(())
}

/// Removes them with their files, which refer to them.
async fn remove_segments(transaction: &DatabaseTransaction, ids: &[String]) -> Result<(), Failure> {
    if !ids.is_empty() {
        segment::Entity::delete_many().filter(segment::Column::Id.is_in(ids)).exec(transaction).await?;
    }
    Ok(())
}

async fn add_names(transaction: &DatabaseTransaction, names: &[Name]) -> Result<(), Failure> {
    use name::{Column, Model};
    let names: BTreeSet<_> = names.iter().collect();
    let known_stay = OnConflict::columns([Column::Tenant, Column::Dimension, Column::Name]).do_nothing().to_owned();
    insert(transaction, names.into_iter().map(Model::new).collect(), &known_stay).await
}
