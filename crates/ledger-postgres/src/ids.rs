//! The ids of a bucket: those that are known, and new ones. Written and read in its partition, where they are unique.

use domain::dedup::IdHash;
use domain::payload::{HashRule, PayloadHash};
use domain::position::Position;
use hashbrown::HashMap;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::batch::Record;
use crate::copy::Rows;
use crate::decide::NewId;
use crate::tenants::Tenants;
use crate::types::Uuid;

/// Bytes of one row, about.
const ROW_BYTES: usize = 110;

/// What was counted under each of these ids, as far as anything was.
pub(crate) async fn known(
    on: &mut PgConnection,
    bucket: i16,
    hashes: impl Iterator<Item = IdHash>,
) -> Result<HashMap<IdHash, PayloadHash>, Failure> {
    // In the order of the index.
    let mut hashes: Vec<_> = hashes.map(|hash| Uuid(hash.0)).collect();
    hashes.sort_unstable();
    hashes.dedup();
    let sql = format!("SELECT id_hash, payload_hash, hash_rule FROM event_ids_{bucket} WHERE id_hash = ANY($1)");
    let found = sqlx::query(AssertSqlSafe(sql)).bind(&hashes).fetch_all(on).await?;
    let known = |row: &PgRow| Ok((IdHash(row.try_get::<Uuid, _>(0)?.0), payload(row, 1)?));
    found.iter().map(known).collect()
}

/// The payload hash in the column `at` and its rule in the one behind it.
pub(crate) fn payload(row: &PgRow, at: usize) -> Result<PayloadHash, sqlx::Error> {
    let (hash, rule): (i64, i16) = (row.try_get(at)?, row.try_get(at + 1)?);
    let rule = u8::try_from(rule).ok().and_then(HashRule::of_code);
    let rule = rule.ok_or_else(|| sqlx::Error::Decode("a payload hash of no known rule".into()))?;
    Ok(PayloadHash { rule, hash: hash.cast_unsigned() })
}

/// Adds new ids. One that is there already takes the transaction back.
pub(crate) async fn add(
    on: &mut PgConnection,
    bucket: i16,
    records: &[Record<'_>],
    tenants: &Tenants,
    new: &[NewId],
) -> Result<(), Failure> {
    let mut sorted: Vec<_> = new.iter().collect();
    sorted.sort_unstable_by_key(|id| id.hash);
    let mut rows = Rows::new(8, sorted.len() * ROW_BYTES);
    for NewId { hash, payload, record, event } in sorted {
        let record = &records[*record];
        let time = event.map_or(record.times.received_at, |event| record.events[event].0.time);
        rows.row()
            .uuid(Uuid(hash.0))
            .i64(position(record, event.unwrap_or(0)))
            .i64(payload.hash.cast_signed())
            .instant(time)
            .instant(record.times.received_at)
            .i32(tenants.no(&record.tenant)?)
            .i16(bucket)
            .i16(payload.rule.code().into());
    }
    let columns = "id_hash, position, payload_hash, time, received_at, tenant_no, bucket, hash_rule";
    rows.copy(on, &format!("event_ids_{bucket} ({columns})")).await
}

/// The position of an event, as it is stored.
pub(crate) fn position(record: &Record<'_>, index: usize) -> i64 {
    // A record has no more events than an index can tell.
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    Position::new(record.seq, index).bits().cast_signed()
}
