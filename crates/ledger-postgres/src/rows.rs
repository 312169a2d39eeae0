//! Rows that are only added: raw events, and what became of records.

use domain::position::RecordId;
use domain::tenant::TenantId;
use domain::window::WindowRule;
use ports::ledger::Outcome;
use postgres::Failure;
use sqlx::postgres::PgConnection;

use crate::batch::Record;
use crate::copy::Rows;
use crate::fold::FreshEvent;
use crate::ids::position;
use crate::properties;
use crate::tenants::Tenants;
use crate::types::Uuid;

/// Bytes of an event's row beside its texts, about.
const EVENT_BYTES: usize = 320;
/// The columns that events are written in.
pub(crate) const EVENT_COLUMNS: &str = "position, time, received_at, tokens, input_tokens, output_tokens, latency_us, \
                             cache_read_tokens, cache_write_tokens, reasoning_tokens, tenant_no, user_no, bucket, \
                             id_scheme, is_late, id, kind, project, customer, user_name, endpoint, model, properties, \
                             properties_raw";

/// Where commits that leave receipts are told.
pub(crate) const RECEIPTS_CHANNEL: &str = "nilometer_receipts";

/// Where [`event_rows`] go.
pub(crate) fn events_table() -> String {
    format!("usage_events ({EVENT_COLUMNS})")
}

/// Raw events as rows of the columns [`EVENT_COLUMNS`], with their tenants' numbers, in the order of the index by customer.
pub(crate) fn event_rows(
    events: &[FreshEvent<'_>],
    number: impl Fn(&TenantId) -> Result<i32, Failure>,
    rule: WindowRule,
) -> Result<Rows, Failure> {
    let mut sorted = Vec::with_capacity(events.len());
    for fresh in events {
        sorted.push((number(&fresh.record.tenant)?, fresh));
    }
    sorted.sort_by_key(|(no, fresh)| (*no, fresh.event().customer, fresh.event().time));
    let mut rows = Rows::new(24, events.len() * EVENT_BYTES);
    for (no, fresh) in sorted {
        let (event, usage) = (fresh.event(), &fresh.event().usage);
        let properties = event.properties.map(properties::stored);
        rows.row()
            .i64(position(fresh.record, fresh.index))
            .instant(event.time)
            .instant(fresh.record.times.received_at)
            .number_or_null(usage.tokens)
            .number_or_null(usage.input_tokens)
            .number_or_null(usage.output_tokens)
            .number_or_null(usage.latency_us)
            .number_or_null(usage.cache_read_tokens)
            .number_or_null(usage.cache_write_tokens)
            .number_or_null(usage.reasoning_tokens)
            .i32(no)
            .i32_or_null(fresh.user.map(|user| user.0.cast_signed()))
            .i16(fresh.record.bucket)
            .i16(event.id_scheme.code().into())
            .boolean(fresh.is_late(rule))
            .text(event.id)
            .text(event.kind)
            .text_or_null(event.project)
            .text_or_null(event.customer)
            .text_or_null(event.user)
            .text_or_null(event.endpoint)
            .text_or_null(usage.model)
            .json_or_null(properties.as_ref().and_then(|stored| stored.json.as_deref()))
            .bytes(properties.as_ref().and_then(|stored| stored.raw.as_deref()).map(str::as_bytes));
    }
    Ok(rows)
}

/// Notes what became of records.
pub(crate) async fn add_receipts(
    on: &mut PgConnection,
    records: &[Record<'_>],
    outcomes: &[Vec<Outcome>],
    tenants: &Tenants,
) -> Result<(), Failure> {
    // The server's clock, by which receipts end.
    let (ids, mut nos, mut accepted, mut duplicates, mut codes) =
        (records.iter().map(|record| uuid(record.id)).collect::<Vec<_>>(), vec![], vec![], vec![], vec![]);
    for (record, outcomes) in records.iter().zip(outcomes) {
        let count = |wanted: &[Outcome]| {
            let count = outcomes.iter().filter(|outcome| wanted.contains(outcome)).count();
            i32::try_from(count).unwrap_or(i32::MAX)
        };
        nos.push(tenants.no(&record.tenant)?);
        accepted.push(count(&[Outcome::Fresh]));
        duplicates.push(count(&[Outcome::Duplicate, Outcome::Mismatch, Outcome::Erased]));
        codes.push(outcomes.iter().map(|outcome| code(*outcome)).collect::<Vec<u8>>());
    }
    let sql = "WITH added AS (INSERT INTO receipts (applied_at, record_id, tenant_no, accepted, duplicates, outcomes) \
               SELECT clock_timestamp(), * FROM unnest($1::uuid[], $2::int4[], $3::int4[], $4::int4[], $5::bytea[])) \
               SELECT pg_notify($6, '')";
    sqlx::query(sql)
        .bind(ids)
        .bind(nos)
        .bind(accepted)
        .bind(duplicates)
        .bind(codes)
        .bind(RECEIPTS_CHANNEL)
        .execute(on)
        .await?;
    Ok(())
}

/// Notes that a record became a dead letter, and why.
pub(crate) async fn add_dead_receipt(
    on: &mut PgConnection,
    id: Uuid,
    tenant_no: Option<i32>,
    reason: &str,
) -> Result<(), Failure> {
    let sql = "WITH added AS (INSERT INTO receipts \
               (applied_at, record_id, tenant_no, accepted, duplicates, dead_reason, outcomes) \
               VALUES (clock_timestamp(), $1, $2, 0, 0, $3, '')) SELECT pg_notify($4, '')";
    sqlx::query(sql).bind(id).bind(tenant_no).bind(reason).bind(RECEIPTS_CHANNEL).execute(on).await?;
    Ok(())
}

/// A record's id as it is stored.
pub(crate) const fn uuid(id: RecordId) -> Uuid {
    Uuid(id.bits())
}

/// The outcome of a number in `receipts.outcomes`.
pub(crate) const fn outcome_of(code: u8) -> Option<Outcome> {
    Some(match code {
        0 => Outcome::Fresh,
        1 => Outcome::Duplicate,
        2 => Outcome::Mismatch,
        3 => Outcome::Erased,
        4 => Outcome::Refused,
        _ => return None,
    })
}

/// The number of an outcome in `receipts.outcomes`.
const fn code(outcome: Outcome) -> u8 {
    match outcome {
        Outcome::Fresh => 0,
        Outcome::Duplicate => 1,
        Outcome::Mismatch => 2,
        Outcome::Erased => 3,
        Outcome::Refused => 4,
    }
}
