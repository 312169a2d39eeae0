//! The live view in memory: a [`Timeline`] per tenant, and one bound for the memory of all. When it is
//! reached, the tenant that takes most drops its oldest seconds, so that a large one does not push the
//! others out; its windows then say that they are incomplete.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};

use async_trait::async_trait;
use domain::limits::LIVE_USERS_MAX;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use ports::live::{Live, LiveEvent, LiveWindow};
use ports::{ErrorKind, PortError, held};

use crate::enrichment::{EnrichmentIndex, UNKNOWN};
use crate::timeline::Timeline;

/// Names copied under one lock while a new reference table is indexed.
const NAMES_AT_ONCE: usize = 4_096;

/// How much is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveOptions {
    /// Seconds, hence the longest window.
    pub retention_sec: u32,
    /// Memory of all tenants together, in bytes; above it the oldest seconds are dropped. Reference
    /// tables are not in it.
    pub bytes_max: usize,
    /// Users of one tenant within the retention. Events of further ones count as unknown, and windows
    /// with such events as incomplete.
    pub slots_max: usize,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self { retention_sec: 1_800, bytes_max: 256 << 20, slots_max: LIVE_USERS_MAX }
    }
}

/// The live view of all tenants, in memory.
#[derive(Debug)]
pub struct MemoryLive {
    options: LiveOptions,
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    bytes: AtomicUsize,
    /// The minute in which the timelines of all tenants were last advanced.
    advanced: AtomicI64,
}

#[derive(Debug)]
struct Tenant {
    timeline: Mutex<Timeline>,
    /// Memory of the timeline after its last change.
    bytes: AtomicUsize,
    /// Held while a reference table is indexed.
    preparing: Mutex<()>,
}

impl MemoryLive {
    /// An empty view that keeps `retention_sec` seconds, within the default memory.
    pub fn new(retention_sec: u32) -> Self {
        Self::with(LiveOptions { retention_sec, ..LiveOptions::default() })
    }

    /// An empty view.
    pub fn with(options: LiveOptions) -> Self {
        Self { options, tenants: RwLock::default(), bytes: AtomicUsize::new(0), advanced: AtomicI64::new(i64::MIN) }
    }

    fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.tenants.read().get(id) {
            return Arc::clone(tenant);
        }
        let mut tenants = self.tenants.write();
        let made = || {
            let timeline = Timeline::new(self.options.retention_sec, self.options.slots_max);
            Arc::new(Tenant { timeline: Mutex::new(timeline), bytes: AtomicUsize::new(0), preparing: Mutex::default() })
        };
        Arc::clone(tenants.entry(id.clone()).or_insert_with(made))
    }

    /// Changes a timeline and notes its memory.
    fn change<T>(&self, tenant: &Tenant, change: impl FnOnce(&mut Timeline) -> T) -> T {
        let mut timeline = tenant.timeline.lock();
        let result = change(&mut timeline);
        let after = timeline.bytes();
        let before = tenant.bytes.swap(after, Ordering::Relaxed);
        // Wraps around when less is taken, as it should: both are one addition modulo 2^64.
        self.bytes.fetch_add(after.wrapping_sub(before), Ordering::Relaxed);
        result
    }

    /// Lets time pass for tenants without events too, once a minute.
    fn advance_all(&self, now: i64) {
        let minute = now.div_euclid(60);
        if self.advanced.swap(minute, Ordering::Relaxed) != minute {
            let all: Vec<_> = self.tenants.read().values().cloned().collect();
            all.iter().for_each(|tenant| self.change(tenant, |timeline| timeline.advance(now)));
        }
    }

    /// Drops the oldest seconds of the tenant that takes most memory, until the bound holds.
    fn keep_within_bound(&self, now: i64) {
        while self.bytes.load(Ordering::Relaxed) > self.options.bytes_max {
            let largest = {
                let tenants = self.tenants.read();
                tenants.values().max_by_key(|tenant| tenant.bytes.load(Ordering::Relaxed)).cloned()
            };
            let Some(largest) = largest else { return };
            let dropped = self.change(&largest, |timeline| {
                timeline.advance(now);
                timeline.forget_oldest()
            });
            if !dropped {
                return;
            }
        }
    }
}

#[async_trait]
impl Live for MemoryLive {
    fn retention_sec(&self) -> u32 {
        self.options.retention_sec
    }

    async fn record(&self, tenant: &TenantId, now: Timestamp, events: &[LiveEvent<'_>]) -> Result<(), PortError> {
        let now = second(now);
        let tenant = self.tenant(tenant);
        self.change(&tenant, |timeline| timeline.record(now, events));
        self.advance_all(now);
        self.keep_within_bound(now);
        Ok(())
    }

    async fn window(&self, scope: &TenantScope, now: Timestamp, seconds: u32) -> Result<LiveWindow, PortError> {
        let tenant = self.tenants.read().get(scope.tenant()).cloned();
        let Some(tenant) = tenant else { return Ok(LiveWindow::default()) };
        // How many windows are added up at once, and whose, is decided above this crate.
        let held = held::current();
        let now = second(now);
        let from = now.saturating_sub(i64::from(seconds)).saturating_add(1);
        let adding = tokio::task::spawn_blocking(move || {
            let plan = tenant.timeline.lock().plan(from, now);
            let sums = plan.sum();
            let window = LiveWindow {
                events: sums.events,
                unique_users: sums.unique_users,
                unknown: sums.unknown,
                by: sums.index.by_attribute(&sums.by_combination),
                generation: sums.index.generation(),
                is_incomplete: sums.is_incomplete,
            };
            drop(held);
            window
        });
        adding.await.map_err(|why| PortError::new(ErrorKind::Unavailable, "add up the live window").because(why))
    }

    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError> {
        let tenant = self.tenant(tenant);
        let preparing = tokio::task::spawn_blocking(move || prepare(&tenant, &table));
        preparing
            .await
            .map_err(|why| PortError::new(ErrorKind::Unavailable, "take over the reference table").because(why))
    }

    fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed) as u64
    }
}

/// Indexes a table beside the one in use, then replaces that. The timeline is locked only to copy some
/// names and for the swap.
fn prepare(tenant: &Tenant, table: &Arc<ReferenceTable>) {
    let _alone = tenant.preparing.lock();
    if tenant.timeline.lock().generation() >= table.generation {
        return;
    }
    let index = Arc::new(EnrichmentIndex::build(Arc::clone(table)));
    let by_user: HashMap<&str, u32> = index.users().collect();
    let mut combinations = Vec::new();
    tenant.timeline.lock().begin_index();
    loop {
        let names = tenant.timeline.lock().names(combinations.len(), NAMES_AT_ONCE);
        if names.is_empty() {
            break;
        }
        let number = |name: &Option<Arc<str>>| name.as_deref().and_then(|name| by_user.get(name)).copied();
        combinations.extend(names.iter().map(|name| number(name).unwrap_or(UNKNOWN)));
    }
    drop(by_user);
    let before = tenant.timeline.lock().finish_index(index, combinations);
    drop(before);
}

fn second(at: Timestamp) -> i64 {
    at.micros().div_euclid(1_000_000)
}
