//! The ids of the buckets: those that are known, and new ones. Written and read in the partition of each, where they are unique.
//! Only ids that may be known are read, and those of events that are refused if they are not. What then goes in as new is refused by the index if it is not, and the batch is
//! decided again with all of its ids read.

use std::collections::BTreeMap;

use domain::dedup::IdHash;
use domain::event::EventView;
use domain::payload::{HashRule, PayloadHash};
use domain::position::Position;
use hashbrown::HashMap;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use crate::batch::Record;
use crate::copy::{Rows, copy_all, copy_if_new};
use crate::decide::{Decided, NewId, RecordHashes, decide};
use crate::seen::Seen;
use crate::tenants::Tenants;
use crate::types::Uuid;

/// Bytes of one row, about.
const ROW_BYTES: usize = 110;

/// What a batch is made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deciding<'r> {
    pub(crate) records: &'r [Record<'r>],
    pub(crate) hashes: &'r [RecordHashes],
    pub(crate) tenants: &'r Tenants,
}

/// Decides what becomes of a batch, and adds its new ids. Also returns what `prepare` makes of it while the server adds
/// them, which is called again if it was decided again.
pub(crate) async fn add_new<P>(
    on: &mut PgConnection,
    deciding: Deciding<'_>,
    seen: &mut Seen,
    prepare: impl Fn(&Decided) -> Result<P, Failure>,
) -> Result<(Decided, P), Failure> {
    let Deciding { records, hashes, tenants } = deciding;
    let is_refused = |record: &Record<'_>, event: &EventView<'_>| {
        tenants.get(&record.tenant).is_ok_and(|tenant| tenant.refuses(event.customer, event.user))
    };
    if seen.is_trusted() {
        let suspects = |record: &Record<'_>, hashes: &RecordHashes| {
            let seen = hashes.all().filter(|hash| seen.has(hash)).collect::<Vec<_>>();
            // No index says of an event that is refused that it is known.
            let events = record.events.iter().zip(hashes.of_events());
            let refused = events.filter(|((event, _), _)| is_refused(record, event)).map(|(_, hash)| hash);
            seen.into_iter().chain(hashes.formers()).chain(refused).collect()
        };
        let decided = decide(records, hashes, known(on, deciding, suspects).await?, is_refused);
        if let Some(prepared) = copy_if_new(on, rows(deciding, &decided.new)?, || prepare(&decided)).await? {
            decided.new.iter().for_each(|id| seen.add(&id.hash));
            return Ok((decided, prepared));
        }
    }
    let known = known(on, deciding, |_, hashes| hashes.all().collect()).await?;
    seen.judge(known.keys().all(|hash| seen.has(hash)));
    known.keys().for_each(|hash| seen.add(hash));
    let decided = decide(records, hashes, known, is_refused);
    let prepared = copy_all(on, rows(deciding, &decided.new)?, || prepare(&decided)).await?;
    decided.new.iter().for_each(|id| seen.add(&id.hash));
    Ok((decided, prepared))
}

/// What was counted under those ids of each record that `wanted` says, as far as anything was.
async fn known(
    on: &mut PgConnection,
    deciding: Deciding<'_>,
    wanted: impl Fn(&Record<'_>, &RecordHashes) -> Vec<IdHash>,
) -> Result<HashMap<IdHash, PayloadHash>, Failure> {
    let mut by_bucket = BTreeMap::<i16, Vec<Uuid>>::new();
    for (record, hashes) in deciding.records.iter().zip(deciding.hashes) {
        let wanted = wanted(record, hashes).into_iter().map(|hash| Uuid(hash.0));
        by_bucket.entry(record.bucket).or_default().extend(wanted);
    }
    let mut known = HashMap::new();
    for (bucket, mut hashes) in by_bucket.into_iter().filter(|(_, hashes)| !hashes.is_empty()) {
        // In the order of the index.
        hashes.sort_unstable();
        hashes.dedup();
        let sql = format!("SELECT id_hash, payload_hash, hash_rule FROM event_ids_{bucket} WHERE id_hash = ANY($1)");
        for row in sqlx::query(AssertSqlSafe(sql)).bind(&hashes).fetch_all(&mut *on).await? {
            known.insert(IdHash(row.try_get::<Uuid, _>(0)?.0), payload(&row, 1)?);
        }
    }
    Ok(known)
}

/// The payload hash in the column `at` and its rule in the one behind it.
pub(crate) fn payload(row: &PgRow, at: usize) -> Result<PayloadHash, sqlx::Error> {
    let (hash, rule): (i64, i16) = (row.try_get(at)?, row.try_get(at + 1)?);
    let rule = u8::try_from(rule).ok().and_then(HashRule::of_code);
    let rule = rule.ok_or_else(|| sqlx::Error::Decode("a payload hash of no known rule".into()))?;
    Ok(PayloadHash { rule, hash: hash.cast_unsigned() })
}

/// New ids, by bucket in the order of its index, and where they go.
fn rows(deciding: Deciding<'_>, new: &[NewId]) -> Result<Vec<(Rows, String)>, Failure> {
    const COLUMNS: &str = "id_hash, position, payload_hash, time, received_at, tenant_no, bucket, hash_rule";
    let Deciding { records, tenants, .. } = deciding;
    let mut sorted: Vec<_> = new.iter().collect();
    sorted.sort_unstable_by_key(|id| id.hash);
    let mut by_bucket = BTreeMap::<i16, Rows>::new();
    for NewId { hash, payload, record, event } in sorted {
        let record = &records[*record];
        let time = event.map_or(record.times.received_at, |event| record.events[event].0.time);
        let rows = by_bucket.entry(record.bucket).or_insert_with(|| Rows::new(8, new.len() * ROW_BYTES));
        rows.row()
            .uuid(Uuid(hash.0))
            .i64(position(record, event.unwrap_or(0)))
            .i64(payload.hash.cast_signed())
            .instant(time)
            .instant(record.times.received_at)
            .i32(tenants.no(&record.tenant)?)
            .i16(record.bucket)
            .i16(payload.rule.code().into());
    }
    let of_bucket = |(bucket, rows)| (rows, format!("event_ids_{bucket} ({COLUMNS})"));
    Ok(by_bucket.into_iter().map(of_bucket).collect())
}

/// The position of an event, as it is stored.
pub(crate) fn position(record: &Record<'_>, index: usize) -> i64 {
    // A record has no more events than an index can tell.
    let index = u16::try_from(index).unwrap_or(u16::MAX);
    Position::new(record.number, index).bits().cast_signed()
}
