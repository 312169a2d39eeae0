//! Raw events: a page of them, and one by its id. And why a record was given up.

use domain::event::{EventId, IdScheme};
use domain::position::{EventPosition, Position, Seq};
use futures::TryStreamExt;
use ports::reports::{EventCursor, EventQuery, Order, Page, StoredEvent, cut};
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::select::{Select, rows};
use crate::rows::uuid;
use crate::scoped::Scoped;
use crate::types::{Instant, Uuid, unsigned};
use crate::unanswered::Unanswered;

const COLUMNS: &str = "t.position, t.time, t.received_at, t.id, t.id_scheme, t.kind, t.project, t.customer, t.user_name, \
                       t.endpoint, t.model, coalesce(convert_from(t.properties_raw, 'UTF8'), t.properties::text), \
                       t.tokens, t.input_tokens, t.output_tokens, t.latency_us, t.cache_read_tokens, \
                       t.cache_write_tokens, t.reasoning_tokens";

/// One page, in the order of an index.
pub(super) async fn list(
    scoped: &mut Scoped,
    query: &EventQuery,
) -> Result<Page<StoredEvent, EventCursor>, Unanswered> {
    let no = scoped.tenant.no;
    let mut select = Select::of(COLUMNS, "usage_events", no);
    select.inside("time", query.filter.range).above_floor(no);
    let filter = &query.filter;
    for (column, wanted) in [
        ("customer", &filter.customer),
        ("user_name", &filter.user),
        ("kind", &filter.kind),
        ("endpoint", &filter.endpoint),
        ("project", &filter.project),
    ] {
        if let Some(wanted) = wanted.as_deref().filter(|wanted| column == "customer" || !wanted.is_empty()) {
            select.is_or_none(column, wanted);
        } else if wanted.is_some() {
            // Only customers may be asked for that are none.
            return Ok(Page::default());
        }
    }
    let (before, direction) = match query.order {
        Order::Ascending => (">", "ASC"),
        Order::Descending => ("<", "DESC"),
    };
    if let Some(after) = query.after {
        select.and(&format!(" AND (t.time, t.position) {before} (")).bind_instant(after.time);
        select.and(", ").builder.push_bind(stored_position(after.position));
        select.and(")");
    }
    select.and(&format!(" ORDER BY t.time {direction}, t.position {direction} LIMIT "));
    select.builder.push_bind(rows(query.limit.saturating_add(1)));
    if select.is_impossible {
        return Ok(Page::default());
    }
    let (mut events, mut bytes) = (Vec::new(), 0_usize);
    let mut found = select.builder.build().fetch(scoped.on());
    // What no longer fits is not read, but that there is more.
    while (bytes <= query.bytes_max || events.len() < 2)
        && let Some(row) = found.try_next().await?
    {
        let event = read(&row)?;
        bytes = bytes.saturating_add(event.bytes());
        events.push(event);
    }
    drop(found);
    if bytes > query.bytes_max {
        scoped.leave_rest();
    }
    let more = cut(&mut events, query.limit, query.bytes_max, StoredEvent::bytes);
    let cursor = |last: &StoredEvent| EventCursor { time: last.time, position: last.position };
    let next = events.last().filter(|_| more).map(cursor);
    Ok(Page { rows: events, next })
}

/// The event with this id: that tells where it stands.
pub(super) async fn find(scoped: &mut Scoped, id: EventId<'_>) -> Result<Option<StoredEvent>, Unanswered> {
    let (no, hash) = (scoped.tenant.no, scoped.tenant.hasher.hash_id(id));
    let sql = "SELECT i.position, i.time, i.received_at FROM event_ids i JOIN tenants b ON b.tenant_no = $1 \
               WHERE i.tenant_no = $1 AND i.bucket = b.bucket AND i.id_hash = $2";
    let seen = sqlx::query(sql).bind(no).bind(Uuid(hash.0)).fetch_optional(scoped.on()).await?;
    let Some(seen) = seen else { return Ok(None) };
    let (position, time, received_at): (i64, Instant, Instant) = (seen.try_get(0)?, seen.try_get(1)?, seen.try_get(2)?);
    let mut select = Select::of(COLUMNS, "usage_events", no);
    select.above_floor(no).and(" AND t.time = ").bind_instant(time.0);
    select
        .and(" AND t.received_at = ")
        .bind_instant(received_at.0)
        .and(" AND t.position = ")
        .builder
        .push_bind(position);
    // Of the key of a request there is no event.
    select.is("id", id.text).and(" AND t.id_scheme = ").builder.push_bind(i16::from(id.scheme.code()));
    if select.is_impossible {
        return Ok(None);
    }
    let found = select.builder.build().fetch_optional(scoped.on()).await?;
    Ok(found.as_ref().map(read).transpose()?)
}

/// Why a record was given up, if it was.
pub(super) async fn dead_letter_reason(scoped: &mut Scoped, seq: Seq) -> Result<Option<String>, Unanswered> {
    let sql = "SELECT reason FROM dead_letters WHERE tenant_no = $1 AND record_id = $2 ORDER BY record_no DESC LIMIT 1";
    let no = scoped.tenant.no;
    let found = sqlx::query(sql).bind(no).bind(uuid(seq.into())).fetch_optional(scoped.on()).await?;
    Ok(found.map(|row| row.try_get(0)).transpose()?)
}

/// A place in the order of positions, which need not be that of an event.
fn stored_position(position: EventPosition) -> i64 {
    i64::try_from(u128::from_be_bytes(position.to_bytes())).unwrap_or(i64::MAX)
}

fn read(row: &PgRow) -> Result<StoredEvent, sqlx::Error> {
    let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
    let scheme = u8::try_from(row.try_get::<i16, _>(4)?).ok().and_then(IdScheme::of_code);
    let (Instant(time), Instant(received_at)) = (row.try_get(1)?, row.try_get(2)?);
    Ok(StoredEvent {
        position: Position::from_bits(row.try_get::<i64, _>(0)?.cast_unsigned()).into(),
        time,
        received_at,
        id: row.try_get(3)?,
        id_scheme: scheme.ok_or_else(|| sqlx::Error::Decode("an id of no known scheme".into()))?,
        kind: row.try_get(5)?,
        project: row.try_get(6)?,
        customer: row.try_get(7)?,
        user: row.try_get(8)?,
        endpoint: row.try_get(9)?,
        model: row.try_get(10)?,
        properties: row.try_get(11)?,
        tokens: number(12)?,
        input_tokens: number(13)?,
        output_tokens: number(14)?,
        latency_us: number(15)?,
        cache_read_tokens: number(16)?,
        cache_write_tokens: number(17)?,
        reasoning_tokens: number(18)?,
    })
}
