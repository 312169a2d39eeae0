//! Tenant-level hourly rollups: events and tokens per project, type and hour.

use crate::aggregate::Totals;
use crate::tenant::TenantId;
use crate::time::{MICROS_PER_HOUR, Timestamp};

/// What one rollup counts. Begins with the tenant, like every key (I5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RollupKey {
    /// Whose events.
    pub tenant: TenantId,
    /// The project, empty for events without one.
    pub project: String,
    /// The event type.
    pub kind: String,
    /// First instant of the hour, in UTC.
    pub hour: Timestamp,
}

/// Start of the hour that `time` lies in.
pub fn hour_of(time: Timestamp) -> Timestamp {
    time.floor_to(MICROS_PER_HOUR)
}

/// One rollup, or what is to be added to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rollup {
    /// What it counts.
    pub key: RollupKey,
    /// The sums.
    pub totals: Totals,
}
