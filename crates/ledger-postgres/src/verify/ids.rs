//! The entry of each id leads dedup to the event itself, and every event has exactly one (I2). Both in order of tenant and
//! position.

use domain::event::{EventId, IdScheme};
use domain::invariant::Invariant;
use domain::payload::HashRule;
use domain::position::Position;
use domain::time::Timestamp;
use futures::TryStreamExt;
use futures::stream::BoxStream;
use postgres::Failure;
use sqlx::Row as _;
use sqlx::postgres::{PgConnection, PgRow};

use super::moment::Moment;
use super::report::Report;
use crate::ids::payload;
use crate::tenants::NOBODY;
use crate::types::{Instant, Uuid};

/// Tenant and position.
type Place = (i32, i64);

/// What dedup knows of an id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    place: Place,
    hash: Uuid,
    rule: HashRule,
    sighting: Sighting,
}

/// How an entry finds its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sighting {
    time: Timestamp,
    received_at: Timestamp,
    bucket: i16,
}

impl Sighting {
    fn of(row: &PgRow, at: usize) -> Result<Self, sqlx::Error> {
        let (Instant(time), Instant(received_at)) = (row.try_get(at)?, row.try_get(at + 1)?);
        Ok(Self { time, received_at, bucket: row.try_get(at + 2)? })
    }
}

/// All entries in order.
struct Entries<'c> {
    rows: BoxStream<'c, Result<PgRow, sqlx::Error>>,
    ahead: Option<Entry>,
}

impl<'c> Entries<'c> {
    fn open(on: &'c mut PgConnection) -> Self {
        let sql = "SELECT tenant_no, position, time, received_at, bucket, id_hash, payload_hash, hash_rule \
                   FROM event_ids ORDER BY tenant_no, position";
        Self { rows: sqlx::query(sql).fetch(on), ahead: None }
    }

    /// The next entry, if it stands where that is asked for.
    async fn next_if(&mut self, is_there: impl FnOnce(Place) -> bool) -> Result<Option<Entry>, sqlx::Error> {
        if self.ahead.is_none()
            && let Some(row) = self.rows.try_next().await?
        {
            let (place, sighting) = ((row.try_get(0)?, row.try_get(1)?), Sighting::of(&row, 2)?);
            self.ahead = Some(Entry { place, hash: row.try_get(5)?, rule: payload(&row, 6)?.rule, sighting });
        }
        Ok(self.ahead.take_if(|entry| is_there(entry.place)))
    }
}

pub(super) async fn compare(moment: &Moment, report: &mut Report<'_>) -> Result<(), Failure> {
    let (mut of_raw, mut of_entries) = (moment.reader().await?, moment.reader().await?);
    let mut entries = Entries::open(of_entries.on());
    let sql = "SELECT tenant_no, position, time, received_at, bucket, id, id_scheme FROM usage_events \
               ORDER BY tenant_no, position";
    let mut rows = sqlx::query(sql).fetch(of_raw.on());
    let mut last: Option<Place> = None;
    while let Some(row) = rows.try_next().await? {
        let place: Place = (row.try_get(0)?, row.try_get(1)?);
        let (id, scheme): (&str, i16) = (row.try_get(5)?, row.try_get(6)?);
        if last.replace(place) == Some(place) {
            let subject = report.name(place.0, &format!("position {}", place_name(place)));
            report.differs(
                Invariant::NoDoubleCount,
                subject,
                "one event".to_owned(),
                format!("event id {id:?} as well"),
            );
            continue;
        }
        while let Some(entry) = entries.next_if(|at| at < place).await? {
            check_alone(&entry, report);
        }
        let mut found = Vec::new();
        while let Some(entry) = entries.next_if(|at| at == place).await? {
            if !entry.rule.is_of_requests() {
                found.push((entry.hash, entry.sighting, entry.rule.is_erased()));
            }
        }
        let Some(tenant) = report.tenants.get(&place.0) else { continue };
        let scheme = u8::try_from(scheme).ok().and_then(IdScheme::of_code).unwrap_or_default();
        let hash = Uuid(tenant.hasher.hash_id(EventId { scheme, text: id }).0);
        let expected = (hash, Sighting { bucket: tenant.bucket, ..Sighting::of(&row, 2)? }, false);
        if found != [expected] || row.try_get::<i16, _>(4)? != tenant.bucket {
            let subject = report.name(place.0, &format!("event id {id:?} at {}", place_name(place)));
            report.differs(Invariant::NoDoubleCount, subject, format!("{:?}", [expected]), format!("{found:?}"));
        }
    }
    drop(rows);
    while let Some(entry) = entries.next_if(|_| true).await? {
        check_alone(&entry, report);
    }
    drop(entries);
    of_raw.end().await?;
    of_entries.end().await
}

/// An entry of which there is no event: of a request that may be repeated, of an event that was erased, or of one that
/// retention may have dropped.
fn check_alone(entry: &Entry, report: &mut Report<'_>) {
    let (tenant_no, _) = entry.place;
    let floor = report.tenants.get(&tenant_no).map_or(Timestamp::MIN, |tenant| tenant.floor);
    let is_gone = tenant_no == NOBODY || entry.sighting.time < floor;
    if is_gone || entry.rule.is_of_requests() || entry.rule.is_erased() {
        return;
    }
    let subject = report.name(tenant_no, &format!("entry of an id at {}", place_name(entry.place)));
    report.differs(Invariant::OneTruth, subject, "an event".to_owned(), "none".to_owned());
}

fn place_name((_, position): Place) -> String {
    let position = position.cast_unsigned();
    format!("record {} index {}", Position::from_bits(position).seq(), position & u64::from(u16::MAX))
}
