//! Raw events and entries of ids, as rows.

use domain::payload::HashRule;
use domain::position::{Position, Seq};
use domain::time::Timestamp;
use hashbrown::HashSet;
use ports::PortError;
use ports::moving::{MoveStage, MovedEvent, MovedId};
use postgres::Failure;
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::taking::{Intake, TakenTenant};
use crate::copy::Rows;
use crate::properties;
use crate::rows::EVENT_COLUMNS;
use crate::tenants::NOBODY;
use crate::types::{Uuid, signed};

/// What is known of the entry of an id.
#[derive(Clone, Copy)]
struct Entry {
    hash: Uuid,
    position: i64,
    payload_hash: i64,
    rule: HashRule,
    time: Option<Timestamp>,
    received_at: Option<Timestamp>,
    tenant_no: i32,
    bucket: i16,
}

impl Intake {
    /// Takes in raw events, with the entries of their ids.
    ///
    /// # Errors
    /// When the server cannot be reached; whether they count is unknown then, here and in all that follow.
    pub async fn take_events(&mut self, events: &[MovedEvent]) -> Result<(), PortError> {
        let taken = async {
            let (rows, entries) = (self.event_rows(events)?, self.entries_of_events(events)?);
            let mut transaction = self.begin(MoveStage::Events).await?;
            let on = transaction.on();
            rows.copy(on, &format!("usage_events ({EVENT_COLUMNS})")).await?;
            add_entries(on, &entries).await?;
            let sql = "UPDATE buckets b SET events = events + k.count FROM (SELECT bucket, count(*) \
                       FROM unnest($1::int2[]) bucket GROUP BY bucket) k WHERE b.bucket = k.bucket";
            let buckets: Vec<_> = entries.iter().map(|entry| entry.bucket).collect();
            sqlx::query(sql).bind(buckets).execute(on).await?;
            self.end(transaction, events.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move events into PostgreSQL"))
    }

    /// Takes in entries of ids, but for those that are there.
    ///
    /// # Errors
    /// As [`Intake::take_events`].
    pub async fn take_ids(&mut self, ids: &[MovedId]) -> Result<(), PortError> {
        let taken = async {
            let mut entries = Vec::with_capacity(ids.len());
            for id in ids {
                self.add_entries_of(id, &mut entries)?;
            }
            entries.sort_unstable_by_key(|entry| (entry.bucket, entry.hash));
            entries.dedup_by_key(|entry| (entry.bucket, entry.hash));
            let mut new = Vec::new();
            for of_bucket in entries.chunk_by(|one, next| one.bucket == next.bucket) {
                let known = known(&mut *self.pool.acquire().await?, of_bucket).await?;
                new.extend(of_bucket.iter().filter(|entry| !known.contains(&entry.hash)).copied());
            }
            if new.is_empty() {
                return Ok(());
            }
            let mut transaction = self.begin(MoveStage::Ids).await?;
            add_entries(transaction.on(), &new).await?;
            self.end(transaction, new.len() as u64).await
        };
        taken.await.map_err(|failure: Failure| failure.during("move ids into PostgreSQL"))
    }

    /// A position among those of the bucket.
    pub(super) fn position(&self, position: Position) -> i64 {
        let moved = (self.shift << 16).saturating_add(position.bits());
        signed(moved)
    }

    fn event_rows(&self, events: &[MovedEvent]) -> Result<Rows, Failure> {
        let mut rows = Rows::new(24, 0);
        for moved in events {
            let (event, tenant) = (&moved.event, self.of(&moved.tenant)?);
            let properties = event.properties.as_deref().map(properties::stored);
            rows.row()
                .i64(self.position(moved.position))
                .instant(event.time)
                .instant(event.received_at)
                .number_or_null(event.tokens)
                .number_or_null(event.input_tokens)
                .number_or_null(event.output_tokens)
                .number_or_null(event.latency_us)
                .number_or_null(event.cache_read_tokens)
                .number_or_null(event.cache_write_tokens)
                .number_or_null(event.reasoning_tokens)
                .i32(tenant.no)
                .i32_or_null(moved.user.map(|user| user.0.cast_signed()))
                .i16(tenant.bucket)
                .i16(event.id_scheme.code().into())
                .boolean(moved.is_late)
                .text(&event.id)
                .text(&event.kind)
                .text_or_null(event.project.as_deref())
                .text_or_null(event.customer.as_deref())
                .text_or_null(event.user.as_deref())
                .text_or_null(event.endpoint.as_deref())
                .text_or_null(event.model.as_deref())
                .json_or_null(properties.as_ref().and_then(|stored| stored.json.as_deref()))
                .bytes(properties.as_ref().and_then(|stored| stored.raw.as_deref()).map(str::as_bytes));
        }
        Ok(rows)
    }

    fn entries_of_events(&self, events: &[MovedEvent]) -> Result<Vec<Entry>, Failure> {
        let entry = |moved: &MovedEvent| {
            let TakenTenant { no: tenant_no, bucket } = self.of(&moved.tenant)?;
            Ok(Entry {
                hash: Uuid(moved.hash.0),
                position: self.position(moved.position),
                payload_hash: moved.payload.hash.cast_signed(),
                rule: moved.payload.rule,
                time: Some(moved.event.time),
                received_at: Some(moved.event.received_at),
                tenant_no,
                bucket,
            })
        };
        events.iter().map(entry).collect()
    }

    /// Adds the entry of an id. Of whom nobody can tell whose it is, one is in each bucket in which its tenant may be: there
    /// dedup finds it.
    fn add_entries_of(&self, id: &MovedId, to: &mut Vec<Entry>) -> Result<(), Failure> {
        let is_erased = id.payload.rule.is_erased();
        let entry = Entry {
            hash: Uuid(id.hash.0),
            position: if id.position.seq() == Seq::ZERO { 0 } else { self.position(id.position) },
            // Whose it was stands in a column here.
            payload_hash: if is_erased { 0 } else { id.payload.hash.cast_signed() },
            rule: id.payload.rule,
            // The time of a request's key is that of its receipt; an event that is gone has none.
            time: id.received_at.filter(|_| id.payload.rule.is_of_requests()),
            received_at: id.received_at,
            tenant_no: NOBODY,
            bucket: 0,
        };
        let owner = id.tenant.as_ref().map(|tenant| self.of(tenant)).transpose()?;
        match (owner.as_ref(), &*self.losers) {
            (Some(owner), _) | (None, [owner]) => {
                let TakenTenant { no: tenant_no, bucket } = *owner;
                to.push(Entry { tenant_no, bucket, ..entry });
            }
            (None, []) => to.extend((0..self.hold.buckets.get()).map(|no| Entry { bucket: no.cast_signed(), ..entry })),
            (None, losers) => to.extend(losers.iter().map(|loser| Entry { bucket: loser.bucket, ..entry })),
        }
        Ok(())
    }
}

/// Which of the entries of one bucket are there.
async fn known(on: &mut PgConnection, entries: &[Entry]) -> Result<HashSet<Uuid>, Failure> {
    let Some(bucket) = entries.first().map(|entry| entry.bucket) else { return Ok(HashSet::new()) };
    let hashes: Vec<_> = entries.iter().map(|entry| entry.hash).collect();
    let known = format!("SELECT id_hash FROM event_ids_{bucket} WHERE id_hash = ANY($1)");
    let known: Vec<Uuid> = sqlx::query_scalar(AssertSqlSafe(known)).bind(hashes).fetch_all(on).await?;
    Ok(known.into_iter().collect())
}

/// Adds entries that are not there, bucket by bucket in the order of their index.
async fn add_entries(on: &mut PgConnection, entries: &[Entry]) -> Result<(), Failure> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_unstable_by_key(|entry| (entry.bucket, entry.hash));
    for of_bucket in sorted.chunk_by(|one, next| one.bucket == next.bucket) {
        let Some(bucket) = of_bucket.first().map(|entry| entry.bucket) else { continue };
        let mut rows = Rows::new(8, 0);
        for entry in of_bucket {
            rows.row()
                .uuid(entry.hash)
                .i64(entry.position)
                .i64(entry.payload_hash)
                .instant_or_never(entry.time)
                .instant_or_never(entry.received_at)
                .i32(entry.tenant_no)
                .i16(bucket)
                .i16(entry.rule.code().into());
        }
        let columns = "id_hash, position, payload_hash, time, received_at, tenant_no, bucket, hash_rule";
        rows.copy(on, &format!("event_ids_{bucket} ({columns})")).await?;
    }
    Ok(())
}
