//! Raw events that go: what they leave behind.

use std::collections::{BTreeMap, BTreeSet};

use domain::aggregate::{SumNumbers, Totals};
use domain::calendar::{Days, Zone};
use domain::dedup::TenantIdHasher;
use domain::erasure::cell_us;
use domain::event::{EventId, EventView, IdScheme, Usage};
use domain::payload::HashRule;
use domain::time::Timestamp;
use domain::users::{UserNumber, UserSet};
use domain::window::WindowRule;
use ports::erasures::StoredErasure;
use postgres::Failure;
use sqlx::postgres::{PgConnection, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

use super::Erasing;
use super::step::Step;
use crate::fold::{AUDIENCE_ALL, AUDIENCE_PROJECT, AUDIENCE_TYPE};
use crate::state::{KnownTenant, zone};
use crate::stored_erasures::{RemovedRows, count_removed, note_unscrubbed};
use crate::sums::{self, Cell, ErasedUserDays, UserDayKey, add_residuals};
use crate::types::{Instant, Uuid, unsigned};
use crate::upkeep::CHUNK_BITS;

/// The columns of the event `e` that sums are made of, in the order of [`Row::of`], and its partition.
pub(super) const COLUMNS: &str = "e.time, e.received_at, e.is_late, e.id_scheme, e.id, e.kind, e.project, e.customer, \
                                  e.endpoint, e.model, e.user_no, e.tokens, e.input_tokens, e.output_tokens, \
                                  e.latency_us, e.cache_read_tokens, e.cache_write_tokens, e.reasoning_tokens, \
                                  e.tableoid::regclass::text";

/// An event of which no more is read than sums are made of.
pub(super) struct Row<'r> {
    pub(super) event: EventView<'r>,
    pub(super) received_at: Timestamp,
    pub(super) is_late: bool,
    user: Option<i32>,
    leaf: &'r str,
}

impl<'r> Row<'r> {
    /// Reads [`COLUMNS`].
    pub(super) fn of(row: &'r PgRow) -> Result<Self, sqlx::Error> {
        let number = |at: usize| Ok::<_, sqlx::Error>(row.try_get::<Option<i64>, _>(at)?.map(unsigned));
        let scheme = u8::try_from(row.try_get::<i16, _>(3)?).ok().and_then(IdScheme::of_code);
        let (Instant(time), Instant(received_at)) = (row.try_get(0)?, row.try_get(1)?);
        let usage = Usage {
            tokens: number(11)?,
            input_tokens: number(12)?,
            output_tokens: number(13)?,
            latency_us: number(14)?,
            model: row.try_get(9)?,
            cache_read_tokens: number(15)?,
            cache_write_tokens: number(16)?,
            reasoning_tokens: number(17)?,
        };
        let event = EventView {
            id: row.try_get(4)?,
            id_scheme: scheme.ok_or_else(|| sqlx::Error::Decode("an id of no known scheme".into()))?,
            time,
            kind: row.try_get(5)?,
            project: row.try_get(6)?,
            customer: row.try_get(7)?,
            user: None,
            endpoint: row.try_get(8)?,
            properties: None,
            usage,
        };
        Ok(Self { event, received_at, is_late: row.try_get(2)?, user: row.try_get(10)?, leaf: row.try_get(18)? })
    }

    pub(super) fn numbers(&self) -> SumNumbers {
        let totals = Totals::of(&self.event.usage, self.is_late);
        SumNumbers { totals, first_received: self.received_at, last_received: self.received_at }
    }
}

/// What the events of one step leave behind.
pub(super) struct Gone {
    tenant: KnownTenant,
    cell_us: i64,
    zone: Zone,
    days: Days<'static>,
    events: u64,
    cells: BTreeMap<Cell, SumNumbers>,
    users: BTreeMap<UserDayKey, UserSet>,
    ids: Vec<Uuid>,
    leaves: BTreeSet<String>,
}

impl Gone {
    /// Nothing yet, of days of the tenant's zone at this moment.
    pub(super) async fn begin(
        on: &mut PgConnection,
        tenant_no: i32,
        hasher: TenantIdHasher,
        rule: WindowRule,
    ) -> Result<Self, Failure> {
        let own = sqlx::query("SELECT zone, zone_version FROM tenants WHERE tenant_no = $1");
        let zone = zone(&own.bind(tenant_no).fetch_one(on).await?, 0)?.zone;
        let days = zone.clone().into_days();
        Ok(Self {
            tenant: KnownTenant { no: tenant_no, hasher },
            cell_us: cell_us(rule),
            zone,
            days,
            events: 0,
            cells: BTreeMap::new(),
            users: BTreeMap::new(),
            ids: Vec::new(),
            leaves: BTreeSet::new(),
        })
    }

    /// Adds an event that went, whose sums stay under this customer.
    pub(super) fn add(&mut self, row: &Row<'_>, customer: &str) {
        let Row { event, .. } = row;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let cell = Cell {
            start: event.time.floor_to(self.cell_us),
            customer: customer.to_owned(),
            project: text(event.project),
            kind: event.kind.to_owned(),
            endpoint: text(event.endpoint),
            model: text(event.usage.model),
        };
        self.cells.entry(cell).or_default().merge(&row.numbers());
        if let Some(user) = row.user {
            let day = self.days.day_of(event.time).number();
            let user = UserNumber(user.cast_unsigned());
            let chunk = (user.0 >> CHUNK_BITS).cast_signed();
            for (audience, name) in
                [(AUDIENCE_ALL, ""), (AUDIENCE_PROJECT, event.project.unwrap_or("")), (AUDIENCE_TYPE, event.kind)]
            {
                let key = (self.tenant.no, audience, name.to_owned(), day, chunk);
                self.users.entry(key).or_default().insert(user);
            }
        }
        self.ids.push(Uuid(self.tenant.hasher.hash_id(EventId { scheme: event.id_scheme, text: event.id }).0));
        if !self.leaves.contains(row.leaf) {
            self.leaves.insert(row.leaf.to_owned());
        }
        self.events += 1;
    }

    /// Stores it, and returns the erasure as it is then.
    pub(super) async fn store(
        mut self,
        step: &mut Step<'_>,
        erasing: &Erasing,
    ) -> Result<(StoredErasure, KnownTenant), Failure> {
        let bucket = step.writer.buckets.of(&erasing.stored.tenant);
        add_residuals(step.on(), self.tenant.no, &self.cells).await?;
        let users = std::mem::take(&mut self.users);
        let (on, writer) = step.parts();
        sums::add::<ErasedUserDays>(on, &mut writer.leaves, &mut writer.seen.erased_user_days, users).await?;
        self.forget_ids(step.on(), bucket).await?;
        let leaves: Vec<_> = std::mem::take(&mut self.leaves).into_iter().collect();
        note_unscrubbed(step.on(), &leaves).await?;
        let removed = RemovedRows { events: self.events, ..RemovedRows::default() };
        count_removed(step.on(), &erasing.stored.erasure.id, removed, self.zone.name()).await
    }

    /// Leaves nothing of ids but their hash, so that a late repetition is told.
    async fn forget_ids(&mut self, on: &mut PgConnection, bucket: i16) -> Result<(), Failure> {
        self.ids.sort_unstable();
        let (first, erased_first) = (HashRule::EncodedBody.code(), HashRule::ErasedFirst.code());
        let sql = format!(
            "UPDATE event_ids_{bucket} SET position = 0, payload_hash = 0, time = '-infinity', received_at = '-infinity', \
             hash_rule = CASE WHEN hash_rule IN ({first}, {erased_first}) THEN {erased_first} ELSE {} END \
             WHERE id_hash = ANY($1) AND tenant_no = $2",
            HashRule::Erased.code()
        );
        sqlx::query(AssertSqlSafe(sql)).bind(&self.ids).bind(self.tenant.no).execute(on).await?;
        Ok(())
    }
}
