//! Reads the whole manifest, and refuses one that lost a row or changed one.

use std::collections::HashMap;

use domain::position::Seq;
use domain::retention::RetentionWait;
use domain::time::Timestamp;
use ports::manifest::{ManifestState, Name, SegmentMeta, TenantRetention};
use sea_orm::{ConnectionTrait, EntityTrait, PaginatorTrait, QueryOrder};
use sqlite::Failure;

use super::{erasures, received, users};
use crate::entities::{dead_letter, meta, name, retention_wait, segment, segment_file, tenant_retention, tenant_users};

/// The last record in the segments; 0 when the manifest was never set up.
pub(super) async fn cursor(snapshot: &impl ConnectionTrait) -> Result<Seq, Failure> {
    match meta::Entity::find().one(snapshot).await? {
        Some(meta) => meta.verified()?.cursor(),
        None => Ok(Seq::ZERO),
    }
}

/// Everything in the manifest; `None` when it was never set up.
pub(super) async fn read(snapshot: &impl ConnectionTrait) -> Result<Option<ManifestState>, Failure> {
    let segments = segments(snapshot).await?;
    let Some(meta) = meta::Entity::find().one(snapshot).await? else {
        let lost = !segments.is_empty() || tenant_users::Entity::find().count(snapshot).await? > 0;
        return if lost { Err(Failure::corrupt("its meta row is gone")) } else { Ok(None) };
    };
    let meta = meta.verified()?;
    let known = users::read(snapshot).await?;
    Ok(Some(ManifestState {
        identity: meta.identity()?,
        segments,
        cursor: meta.cursor()?,
        closed_through: Timestamp::from_micros(meta.closed_through_us),
        retention_floor: Timestamp::from_micros(meta.retention_floor_us),
        retention_wait: retention_wait(snapshot).await?,
        tenant_retention: tenant_retention(snapshot).await?,
        received_after: received::after(snapshot).await?,
        metered: received::metered(snapshot).await?,
        names: names(snapshot).await?,
        dead_letters: dead_letter::Entity::find().count(snapshot).await?,
        users: known.users,
        zones: known.zones,
        erasures: erasures::read(snapshot).await?,
    }))
}

async fn segments(snapshot: &impl ConnectionTrait) -> Result<Vec<SegmentMeta>, Failure> {
    let mut files: HashMap<String, Vec<segment_file::Model>> = HashMap::new();
    for file in segment_file::Entity::find().all(snapshot).await? {
        files.entry(file.segment_id.clone()).or_default().push(file);
    }
    let rows = segment::Entity::find().order_by_asc(segment::Column::FirstSeq).order_by_asc(segment::Column::Id);
    let mut segments = Vec::new();
    for row in rows.all(snapshot).await? {
        let files = files.remove(&row.id).unwrap_or_default();
        segments.push(row.into_segment(files)?);
    }
    match files.into_keys().next() {
        Some(orphan) => Err(Failure::corrupt(format!("segment {orphan:?} is gone, but not its files"))),
        None => Ok(segments),
    }
}

async fn retention_wait(snapshot: &impl ConnectionTrait) -> Result<RetentionWait, Failure> {
    let row = retention_wait::Entity::find().one(snapshot).await?;
    row.map_or(Ok(RetentionWait::NONE), retention_wait::Model::into_wait)
}

async fn tenant_retention(snapshot: &impl ConnectionTrait) -> Result<Vec<TenantRetention>, Failure> {
    let rows = tenant_retention::Entity::find().order_by_asc(tenant_retention::Column::Tenant).all(snapshot).await?;
    rows.into_iter().map(tenant_retention::Model::into_retention).collect()
}

async fn names(snapshot: &impl ConnectionTrait) -> Result<Vec<Name>, Failure> {
    let rows = name::Entity::find().all(snapshot).await?;
    let mut names = rows.into_iter().map(name::Model::into_name).collect::<Result<Vec<_>, _>>()?;
    names.sort();
    Ok(names)
}
