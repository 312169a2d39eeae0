//! A ledger that is asked in the simplest way: each answer is made here of all rows of the tenant, as a superuser reads
//! them. So the suites of the port look at what is stored, table by table.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use async_trait::async_trait;
use domain::admit::Dimension;
use domain::aggregate::{Aggregate, Slice, Totals};
use domain::event::{EventId, IdScheme, Usage};
use domain::position::{EventPosition, Position, Seq};
use domain::rollup::hour_of;
use domain::series::{SeriesPoint, SeriesQuery};
use domain::tenant::{TenantId, TenantScope};
use domain::time::{TimeRange, Timestamp};
use domain::window::{WindowRule, revision};
use ledger_postgres::PostgresLedger;
use parking_lot::Mutex;
use ports::analytics::{Analytics, Summary};
use ports::journal::Delivery;
use ports::ledger::{AppliedRecords, Ledger, LedgerStats, Received, Sighting};
use ports::reports::{
    Customer, CustomerUsage, EventCursor, EventFilter, EventQuery, Order, Page, Reports, StoredEvent, Window,
    WindowQuery,
};
use ports::{ErrorKind, PortError};
use sqlx::postgres::{PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, Row as _};

/// The columns of sums.
const TOTALS: &str = "calls, tokens, input_tokens, output_tokens, latency_us, latency_calls, late, cache_read_tokens, \
                      cache_write_tokens, reasoning_tokens";

/// A ledger with what is stored in it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) ledger: Arc<PostgresLedger>,
    rule: WindowRule,
    rows: PgPool,
    /// What was read of a tenant when the ledger stood at a record, so that each page is not read anew.
    read: Mutex<HashMap<(TenantId, Seq), Arc<Stored>>>,
}

/// All that is stored of a tenant.
#[derive(Debug)]
struct Stored {
    events: Vec<StoredEvent>,
    windows: BTreeMap<(String, Timestamp), Aggregate>,
    customers: BTreeMap<String, Customer>,
    /// By hour, project and type.
    hours: Vec<(Timestamp, Vec<String>, Totals)>,
}

impl Asked {
    pub(crate) fn new(ledger: Arc<PostgresLedger>, superuser_url: &str, rule: WindowRule) -> Result<Self, sqlx::Error> {
        let rows = PgPoolOptions::new().max_connections(1).connect_lazy(superuser_url)?;
        Ok(Self { ledger, rule, rows, read: Mutex::default() })
    }

    /// The rows that a statement with the tenant as its only argument gives.
    async fn ask(&self, scope: &TenantScope, sql: &str) -> Result<Vec<PgRow>, sqlx::Error> {
        let sql = sql
            .replace("OF_TENANT", "tenant_no = (SELECT tenant_no FROM nilometer_ledger.tenants WHERE tenant_id = $1)");
        sqlx::query(AssertSqlSafe(sql)).bind(scope.tenant().as_str()).fetch_all(&self.rows).await
    }

    async fn stored(&self, scope: &TenantScope) -> Result<Arc<Stored>, PortError> {
        let key = (scope.tenant().clone(), self.ledger.cursor());
        if let Some(stored) = self.read.lock().get(&key) {
            return Ok(Arc::clone(stored));
        }
        let read = async {
            let (events, windows) = (self.all_events(scope).await?, self.all_windows(scope).await?);
            let (customers, hours) = (self.all_customers(scope).await?, self.all_hours(scope).await?);
            Ok(Arc::new(Stored { events, windows, customers, hours }))
        };
        let stored = read.await.map_err(unreadable)?;
        self.read.lock().insert(key, Arc::clone(&stored));
        Ok(stored)
    }

    async fn all_hours(&self, scope: &TenantScope) -> Result<Vec<(Timestamp, Vec<String>, Totals)>, sqlx::Error> {
        let start = micros("start");
        let sql = format!(
            "SELECT {start}, project, kind, {TOTALS} FROM nilometer_ledger.rollups WHERE OF_TENANT AND grain = 0 \
             ORDER BY start, project, kind"
        );
        let hour = |row: &PgRow| Ok((instant(row, 0)?, vec![row.try_get(1)?, row.try_get(2)?], totals(row, 3)?));
        self.ask(scope, &sql).await?.iter().map(hour).collect()
    }

    async fn all_events(&self, scope: &TenantScope) -> Result<Vec<StoredEvent>, sqlx::Error> {
        let sql = format!(
            "SELECT position, {}, {}, id, id_scheme, kind, project, customer, user_name, endpoint, model, \
             coalesce(convert_from(properties_raw, 'UTF8'), properties::text), tokens, input_tokens, output_tokens, \
             latency_us, cache_read_tokens, cache_write_tokens, reasoning_tokens \
             FROM nilometer_ledger.usage_events WHERE OF_TENANT",
            micros("time"),
            micros("received_at")
        );
        self.ask(scope, &sql).await?.iter().map(event).collect()
    }

    async fn all_windows(&self, scope: &TenantScope) -> Result<BTreeMap<(String, Timestamp), Aggregate>, sqlx::Error> {
        let start = micros("window_start");
        let sql = format!(
            "SELECT customer, {start}, aggregation_data::text, {TOTALS} FROM nilometer_ledger.aggregation_windows \
             WHERE OF_TENANT"
        );
        let window = |row: &PgRow| Ok(((row.try_get(0)?, instant(row, 1)?), aggregate(row, 2)?));
        self.ask(scope, &sql).await?.iter().map(window).collect()
    }

    async fn all_customers(&self, scope: &TenantScope) -> Result<BTreeMap<String, Customer>, sqlx::Error> {
        let (created, updated) = (micros("first_received"), micros("last_received"));
        let sql = format!(
            "SELECT customer, {created}, {updated}, aggregation_data::text, {TOTALS} FROM nilometer_ledger.customers \
             WHERE OF_TENANT"
        );
        let customer = |row: &PgRow| {
            let id: String = row.try_get(0)?;
            let (created, updated, total) = (instant(row, 1)?, instant(row, 2)?, aggregate(row, 3)?);
            Ok((id.clone(), Customer { id, created, updated, total }))
        };
        self.ask(scope, &sql).await?.iter().map(customer).collect()
    }

    fn window(&self, customer: &str, start: Timestamp, aggregate: Aggregate) -> Window {
        let late = aggregate.totals.late;
        Window {
            customer: customer.to_owned(),
            start,
            end: self.rule.end_of(start),
            state: self.rule.state(start, late, self.ledger.closed_through()),
            revision: revision(late),
            aggregate,
        }
    }
}

/// An instant as the number that it is.
fn micros(column: &str) -> String {
    format!("(extract(epoch FROM {column}) * 1000000)::int8")
}

fn instant(row: &PgRow, at: usize) -> Result<Timestamp, sqlx::Error> {
    row.try_get(at).map(Timestamp::from_micros)
}

fn number(row: &PgRow, at: usize) -> Result<Option<u64>, sqlx::Error> {
    Ok(row.try_get::<Option<i64>, _>(at)?.map(i64::unsigned_abs))
}

fn totals(row: &PgRow, at: usize) -> Result<Totals, sqlx::Error> {
    let sum = |part: usize| number(row, at + part).map(Option::unwrap_or_default);
    Ok(Totals {
        calls: sum(0)?,
        tokens: sum(1)?,
        input_tokens: sum(2)?,
        output_tokens: sum(3)?,
        latency_us: sum(4)?,
        latency_calls: sum(5)?,
        late: sum(6)?,
        cache_read_tokens: sum(7)?,
        cache_write_tokens: sum(8)?,
        reasoning_tokens: sum(9)?,
    })
}

/// Breakdowns at `at`, and totals behind them.
fn aggregate(row: &PgRow, at: usize) -> Result<Aggregate, sqlx::Error> {
    let text: Option<String> = row.try_get(at)?;
    let data = text.map(|text| serde_json::from_str::<serde_json::Value>(&text)).transpose();
    let data = data.map_err(|why| sqlx::Error::Decode(why.into()))?.unwrap_or_default();
    let slices = |dimension: &str| -> BTreeMap<String, Slice> {
        let named = data.get(dimension).and_then(|slices| slices.as_object());
        let number =
            |pair: &serde_json::Value, at: usize| pair.get(at).and_then(serde_json::Value::as_u64).unwrap_or(0);
        let slice = |(name, pair): (&String, &serde_json::Value)| {
            (name.clone(), Slice { calls: number(pair, 0), tokens: number(pair, 1) })
        };
        named.into_iter().flatten().map(slice).collect()
    };
    Ok(Aggregate { totals: totals(row, at + 1)?, by_endpoint: slices("endpoint"), by_model: slices("model") })
}

fn event(row: &PgRow) -> Result<StoredEvent, sqlx::Error> {
    let scheme = u8::try_from(row.try_get::<i16, _>(4)?).ok().and_then(IdScheme::of_code);
    Ok(StoredEvent {
        position: Position::from_bits(row.try_get::<i64, _>(0)?.unsigned_abs()).into(),
        time: instant(row, 1)?,
        received_at: instant(row, 2)?,
        id: row.try_get(3)?,
        id_scheme: scheme.ok_or(sqlx::Error::RowNotFound)?,
        kind: row.try_get(5)?,
        project: row.try_get(6)?,
        customer: row.try_get(7)?,
        user: row.try_get(8)?,
        endpoint: row.try_get(9)?,
        model: row.try_get(10)?,
        properties: row.try_get(11)?,
        tokens: number(row, 12)?,
        input_tokens: number(row, 13)?,
        output_tokens: number(row, 14)?,
        latency_us: number(row, 15)?,
        cache_read_tokens: number(row, 16)?,
        cache_write_tokens: number(row, 17)?,
        reasoning_tokens: number(row, 18)?,
    })
}

fn matches(event: &StoredEvent, filter: &EventFilter) -> bool {
    let is = |wanted: &Option<String>, found: Option<&str>| {
        wanted.as_deref().is_none_or(|wanted| wanted == found.unwrap_or_default())
    };
    filter.range.contains(event.time)
        && is(&filter.customer, event.customer.as_deref())
        && is(&filter.user, event.user.as_deref())
        && is(&filter.kind, Some(&event.kind))
        && is(&filter.endpoint, event.endpoint.as_deref())
        && is(&filter.project, event.project.as_deref())
}

fn page<T, C>(rows: impl Iterator<Item = T>, limit: usize, cursor: impl Fn(&T) -> C) -> Page<T, C> {
    let mut rows: Vec<T> = rows.collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = if more { rows.last().map(cursor) } else { None };
    Page { rows, next }
}

fn unreadable(why: sqlx::Error) -> PortError {
    PortError::new(ErrorKind::Unavailable, "read rows").because(why)
}

#[async_trait]
impl Reports for Asked {
    async fn events(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Page<StoredEvent, EventCursor>, PortError> {
        let cursor = |event: &StoredEvent| EventCursor { time: event.time, position: event.position };
        let mut events = self.stored(scope).await?.events.clone();
        events.retain(|event| matches(event, &query.filter));
        events.sort_by_key(cursor);
        if query.order == Order::Descending {
            events.reverse();
        }
        let follows = |event: &StoredEvent| match (query.after, query.order) {
            (None, _) => true,
            (Some(after), Order::Ascending) => cursor(event) > after,
            (Some(after), Order::Descending) => cursor(event) < after,
        };
        Ok(page(events.into_iter().filter(follows), query.limit, cursor))
    }

    async fn event(&self, scope: &TenantScope, id: EventId<'_>) -> Result<Option<StoredEvent>, PortError> {
        let stored = self.stored(scope).await?;
        Ok(stored.events.iter().find(|event| event.id == id.text && event.id_scheme == id.scheme).cloned())
    }

    async fn windows(
        &self,
        scope: &TenantScope,
        query: &WindowQuery,
    ) -> Result<Page<Window, (String, Timestamp)>, PortError> {
        let stored = self.stored(scope).await?;
        let windows = stored
            .windows
            .clone()
            .into_iter()
            .filter(|(key, _)| query.after.as_ref().is_none_or(|after| key > after))
            .map(|((customer, start), aggregate)| self.window(&customer, start, aggregate))
            .filter(|window| query.customer.as_ref().is_none_or(|customer| *customer == window.customer))
            .filter(|window| query.range.contains(window.start))
            .filter(|window| query.state.is_none_or(|state| state == window.state));
        Ok(page(windows, query.limit, |window| (window.customer.clone(), window.start)))
    }

    async fn customers(
        &self,
        scope: &TenantScope,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<Customer, String>, PortError> {
        let customers = self.stored(scope).await?.customers.clone().into_values();
        let named = customers.filter(|customer| !customer.id.is_empty());
        let asked = named.filter(|customer| after.is_none_or(|after| customer.id.as_str() > after));
        Ok(page(asked, limit, |customer| customer.id.clone()))
    }

    async fn usage(
        &self,
        scope: &TenantScope,
        customer: &str,
        now: Timestamp,
        day: TimeRange,
    ) -> Result<Option<CustomerUsage>, PortError> {
        let stored = self.stored(scope).await?;
        let Some(found) = stored.customers.get(customer).cloned() else { return Ok(None) };
        let start = self.rule.start_of(now);
        let (mut current, mut sum) = (Aggregate::default(), Aggregate::default());
        for ((_, at), aggregate) in stored.windows.iter().filter(|((of, _), _)| of == customer) {
            if *at == start {
                current.merge(aggregate);
            }
            if day.contains(*at) {
                sum.merge(aggregate);
            }
        }
        Ok(Some(CustomerUsage { current_window: self.window(customer, start, current), day: sum, customer: found }))
    }

    async fn dead_letter_reason(&self, scope: &TenantScope, seq: Seq) -> Result<Option<String>, PortError> {
        let sql = format!("SELECT reason FROM nilometer_ledger.dead_letters WHERE OF_TENANT AND record_no = {seq}");
        let rows = self.ask(scope, &sql).await.map_err(unreadable)?;
        rows.first().map(|row| row.try_get(0)).transpose().map_err(unreadable)
    }
}

/// Only the sums of hours are asked for: those by project and type.
#[async_trait]
impl Analytics for Asked {
    async fn top_types(
        &self,
        _: &TenantScope,
        _: TimeRange,
        _: Option<&str>,
        _: usize,
    ) -> Result<Vec<(String, u64)>, PortError> {
        Err(PortError::new(ErrorKind::Unacceptable, "answer this here"))
    }

    async fn summary(&self, _: &TenantScope, _: &str, _: TimeRange, _: usize) -> Result<Option<Summary>, PortError> {
        Err(PortError::new(ErrorKind::Unacceptable, "answer this here"))
    }

    async fn series(&self, scope: &TenantScope, query: &SeriesQuery) -> Result<Vec<SeriesPoint>, PortError> {
        let stored = self.stored(scope).await?;
        let point = |(start, group, totals): &(Timestamp, Vec<String>, Totals)| {
            let (group, totals) = (group.clone(), query.metric.part_of(totals));
            SeriesPoint { start: *start, is_others: false, group, totals, users: 0 }
        };
        if query.range == TimeRange::ALL {
            return Ok(stored.hours.iter().map(point).collect());
        }
        // Of parts of hours nothing but events tells.
        let mut hours: BTreeMap<(Timestamp, Vec<String>), Totals> = BTreeMap::new();
        for event in stored.events.iter().filter(|event| query.range.contains(event.time)) {
            let usage = Usage {
                tokens: event.tokens,
                input_tokens: event.input_tokens,
                output_tokens: event.output_tokens,
                latency_us: event.latency_us,
                cache_read_tokens: event.cache_read_tokens,
                cache_write_tokens: event.cache_write_tokens,
                reasoning_tokens: event.reasoning_tokens,
                model: None,
            };
            let group = vec![event.project.clone().unwrap_or_default(), event.kind.clone()];
            hours.entry((hour_of(event.time), group)).or_default().merge(&Totals::of(&usage, false));
        }
        Ok(hours.into_iter().map(|((start, group), totals)| point(&(start, group, totals))).collect())
    }
}

#[async_trait]
impl Ledger for Asked {
    fn cursor(&self) -> Seq {
        self.ledger.cursor()
    }

    fn applied(&self) -> Seq {
        self.ledger.applied()
    }

    async fn apply(&self, deliveries: &[Delivery]) -> AppliedRecords {
        self.ledger.apply(deliveries).await
    }

    async fn dead_letter(&self, delivery: &Delivery, reason: &str) -> Result<(), PortError> {
        self.ledger.dead_letter(delivery, reason).await
    }

    async fn seen(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Vec<Option<Sighting>> {
        self.ledger.seen(scope, ids).await
    }

    fn holds_former_ids(&self) -> bool {
        self.ledger.holds_former_ids()
    }

    async fn seen_exactly(&self, scope: &TenantScope, ids: &[EventId<'_>]) -> Result<Vec<Option<Sighting>>, PortError> {
        self.ledger.seen_exactly(scope, ids).await
    }

    fn applied_position(&self) -> EventPosition {
        self.ledger.applied_position()
    }

    async fn close_through(&self, through: Timestamp) -> Result<(), PortError> {
        self.ledger.close_through(through).await
    }

    async fn reopen_after(&self, closed: Timestamp) -> Result<(), PortError> {
        self.ledger.reopen_after(closed).await
    }

    fn closed_through(&self) -> Timestamp {
        self.ledger.closed_through()
    }

    async fn flush(&self) -> Result<Seq, PortError> {
        self.ledger.flush().await
    }

    fn names(&self) -> Vec<(TenantId, Dimension, String)> {
        self.ledger.names()
    }

    async fn received(&self, scope: &TenantScope, range: TimeRange) -> Result<Received, PortError> {
        self.ledger.received(scope, range).await
    }

    async fn meter_customer(&self, scope: &TenantScope, customer: &str) -> Result<(), PortError> {
        self.ledger.meter_customer(scope, customer).await
    }

    fn stats(&self) -> LedgerStats {
        self.ledger.stats()
    }
}
