//! Counts again, once at the start, the recent events that were applied before it. What the journal
//! still holds is replayed through the worker; the two are distinguished by their positions, so nothing is
//! counted twice. The live view counts what it is handed at most once, so a page whose call failed is
//! not handed over again. What it reads needs no permit of the gate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::position::EventPosition;
use domain::tenant::{TenantId, TenantScope};
use domain::time::{MICROS_PER_SECOND, TimeRange, Timestamp};
use ports::PortError;
use ports::catalog::Catalog;
use ports::clock::Clock;
use ports::live::{Live, LiveEvent};
use ports::reports::{EventFilter, EventQuery, Order, Reports};

use super::status::LiveStatus;
use crate::failure::error_chain;
use crate::references::ReferenceTables;
use crate::stop::StopSignal;

/// Events read at once.
const PAGE_EVENTS: usize = 10_000;
/// Bytes after which fewer are.
const PAGE_BYTES: usize = 128 << 20;
/// Wait before another attempt.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// The task that counts again, and what it works on.
#[derive(Debug)]
pub(crate) struct Rebuild {
    pub(crate) live: Arc<dyn Live>,
    pub(crate) reports: Arc<dyn Reports>,
    pub(crate) catalog: Arc<dyn Catalog>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tables: ReferenceTables,
    pub(crate) status: Arc<LiveStatus>,
    /// Events at or before it were applied before the start.
    pub(crate) applied: EventPosition,
    /// How far ahead of the clock an event may lie, in microseconds.
    pub(crate) future_us_max: i64,
}

impl Rebuild {
    /// Loads the reference tables, then reads the recent events, tenant by tenant.
    pub(crate) async fn run(self, mut stop: StopSignal) {
        tokio::select! {
            biased;
            () = stop.ended() => {}
            () = self.rebuild() => self.status.rebuilt.store(true, Ordering::Release),
        }
    }

    async fn rebuild(&self) {
        fail::fail_point!("live::before_rebuild");
        while let Err(error) = self.tables.load().await {
            self.pause("the reference tables were not loaded", &error).await;
        }
        let tenants = loop {
            match self.catalog.tenants().await {
                Ok(tenants) => break tenants,
                Err(error) => self.pause("the tenants were not read", &error).await,
            }
        };
        for tenant in tenants {
            self.tenant(&tenant.id).await;
        }
    }

    async fn pause(&self, what: &str, error: &PortError) {
        tracing::warn!(error = error_chain(error), "{what}; trying again");
        self.clock.sleep(RETRY_WAIT).await;
    }

    async fn tenant(&self, tenant: &TenantId) {
        let scope = TenantScope::for_operator(tenant.clone());
        let now = self.clock.now();
        let from = now.plus_micros(-i64::from(self.live.retention_sec()) * MICROS_PER_SECOND);
        let to = now.plus_micros(self.future_us_max);
        let range = TimeRange::new(from, to).unwrap_or(TimeRange::ALL);
        let filter = EventFilter { range, ..EventFilter::default() };
        let mut query =
            EventQuery { filter, order: Order::Ascending, after: None, limit: PAGE_EVENTS, bytes_max: PAGE_BYTES };
        loop {
            match self.page(&scope, &query).await {
                Ok(None) => return,
                Ok(next) => query.after = next,
                Err(error) => self.pause("recent events were not read", &error).await,
            }
        }
    }

    /// Counts one page; returns where the next one begins.
    async fn page(
        &self,
        scope: &TenantScope,
        query: &EventQuery,
    ) -> Result<Option<ports::reports::EventCursor>, PortError> {
        let page = self.reports.events(scope, query).await?;
        let before = page.rows.iter().filter(|event| event.position <= self.applied);
        let events: Vec<_> = before.map(|event| LiveEvent { time: event.time, user: event.user.as_deref() }).collect();
        let now: Timestamp = self.clock.now();
        if let Err(error) = self.live.record(scope.tenant(), now, &events).await {
            tracing::warn!(error = error_chain(&error), events = events.len(), "events are missing in the live view");
        }
        Ok(page.next)
    }
}
