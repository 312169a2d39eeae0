//! What retention remembers from one look at the time to the next.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use domain::retention::RetentionWait;
use domain::tenant::TenantId;
use ports::manifest::TenantRetention;

use crate::state::Floors;

/// How much of a wait a crash may forget.
pub(crate) const WAIT_STORED_EVERY: Duration = Duration::from_secs(600);

/// Where retention stands between two looks.
#[derive(Debug)]
pub(crate) struct RetentionRun {
    /// When the last look was, on the monotonic clock.
    pub(crate) looked: Option<Duration>,
    pub(crate) wait: RetentionWait,
    /// The wait as the manifest has it.
    pub(crate) stored: RetentionWait,
    /// Whether what is due at the first look goes without a wait.
    pub(crate) now: bool,
    /// Whether this run has looked and done what came of it, so that `wait` is its own.
    pub(crate) is_settled: bool,
    /// The tenants that keep their events for another time.
    pub(crate) tenants: TenantRun,
    /// The segments that need not be written again for what is hidden in them.
    pub(crate) looked_at: LookedAt,
}

impl RetentionRun {
    pub(crate) fn new(stored: RetentionWait, now: bool, tenants: TenantRun) -> Self {
        Self { looked: None, wait: stored, stored, now, is_settled: false, tenants, looked_at: LookedAt::default() }
    }
}

/// What is known of the retention of tenants between two looks.
#[derive(Debug, Default)]
pub(crate) struct TenantRun {
    /// For how many days tenants keep their raw events, 0 for ever; who is not here follows the server.
    pub(crate) days: HashMap<TenantId, u32>,
    /// What is waited for, and that as the manifest has it.
    pub(crate) waits: HashMap<TenantId, (RetentionWait, RetentionWait)>,
    /// The tenants with rows in a segment, by the name of the segment.
    pub(crate) in_segments: HashMap<String, Arc<[TenantId]>>,
}

impl TenantRun {
    pub(crate) fn new(days: HashMap<TenantId, u32>, stored: &[TenantRetention]) -> Self {
        let waits = stored.iter().map(|one| (one.tenant.clone(), (one.wait, one.wait))).collect();
        Self { days, waits, in_segments: HashMap::new() }
    }

    /// Forgets a tenant of which everything is erased.
    pub(crate) fn forget(&mut self, tenant: &TenantId) {
        self.days.remove(tenant);
        self.waits.remove(tenant);
    }

    /// What a tenant waits for.
    pub(crate) fn wait_of(&self, tenant: &TenantId) -> RetentionWait {
        self.waits.get(tenant).map_or(RetentionWait::NONE, |(wait, _)| *wait)
    }

    /// What the manifest does not know yet of waits.
    pub(crate) fn unstored(&self, floors: &Floors) -> Vec<TenantRetention> {
        let changed = self.waits.iter().filter(|(_, (wait, stored))| wait != stored);
        let one = |(tenant, (wait, _)): (&TenantId, &(RetentionWait, RetentionWait))| {
            let floor = *floors.own.get(tenant)?;
            Some(TenantRetention { tenant: tenant.clone(), floor, wait: *wait })
        };
        changed.filter_map(one).collect()
    }
}

/// The segments in which not much is hidden by some floors.
#[derive(Debug, Default)]
pub(crate) struct LookedAt {
    floors: Option<Arc<Floors>>,
    segments: HashSet<String>,
}

impl LookedAt {
    /// Whether a segment was looked at with these floors.
    pub(crate) fn contains(&self, floors: &Arc<Floors>, segment: &str) -> bool {
        self.floors.as_ref().is_some_and(|known| Arc::ptr_eq(known, floors)) && self.segments.contains(segment)
    }

    /// Notes that a segment was looked at.
    pub(crate) fn insert(&mut self, floors: &Arc<Floors>, segment: &str) {
        if self.floors.as_ref().is_none_or(|known| !Arc::ptr_eq(known, floors)) {
            *self = Self { floors: Some(Arc::clone(floors)), segments: HashSet::new() };
        }
        self.segments.insert(segment.to_owned());
    }
}
