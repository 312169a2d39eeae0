//! What a request asks about one tenant: ids that were counted before, and what was received. Read with the application's
//! login, in the scope of the tenant.

use domain::dedup::IdHash;
use domain::event::EventId;
use domain::position::Position;
use domain::quota::{Amounts, quarter_of};
use domain::time::TimeRange;
use hashbrown::HashMap;
use ports::ledger::{Received, Sighting};
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::PgConnection;

use crate::ids::payload;
use crate::scoped::Scoped;
use crate::types::{Instant, Uuid, unsigned};

/// Per id the earlier sighting, in the order of `ids`.
pub(crate) async fn sightings(
    scoped: &mut Scoped,
    bucket: i16,
    ids: &[EventId<'_>],
) -> Result<Vec<Option<Sighting>>, Failure> {
    let hashes: Vec<_> = ids.iter().map(|id| scoped.tenant.hasher.hash_id(*id)).collect();
    let mut sorted: Vec<_> = hashes.iter().map(|hash| Uuid(hash.0)).collect();
    sorted.sort_unstable();
    sorted.dedup();
    let sql = "SELECT id_hash, payload_hash, hash_rule, position FROM event_ids \
               WHERE bucket = $1 AND id_hash = ANY($2) AND tenant_no = $3";
    let no = scoped.tenant.no;
    let rows = sqlx::query(sql).bind(bucket).bind(sorted).bind(no).fetch_all(scoped.on()).await?;
    let mut found = HashMap::with_capacity(rows.len());
    for row in rows {
        let position = Position::from_bits(row.try_get::<i64, _>(3)?.cast_unsigned());
        let sighting = Sighting { seq: position.seq(), payload: payload(&row, 1)? };
        found.insert(IdHash(row.try_get::<Uuid, _>(0)?.0), sighting);
    }
    Ok(hashes.iter().map(|hash| found.get(hash).copied()).collect())
}

/// What was received in the quarters that begin inside `range`.
pub(crate) async fn received(on: &mut PgConnection, tenant_no: i32, range: TimeRange) -> Result<Received, Failure> {
    let (from, to) = (Instant(quarter_of(range.from())), Instant(quarter_of(range.to())));
    let sql = "SELECT customer, events, tokens, calls FROM received \
               WHERE tenant_no = $1 AND start >= $2 AND start < $3";
    let mut received = Received::default();
    for row in sqlx::query(sql).bind(tenant_no).bind(from).bind(to).fetch_all(on).await? {
        let number = |at: usize| row.try_get(at).map(unsigned);
        let amounts = Amounts { events: number(1)?, tokens: number(2)?, calls: number(3)? };
        received.add(row.try_get(0)?, &amounts);
    }
    Ok(received)
}
