//! The live view: a sliding window over the last seconds, enriched with reference data when read.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use domain::reference::ReferenceTable;
use domain::tenant::{TenantId, TenantScope};
use domain::time::Timestamp;

use crate::PortError;

/// What the live view keeps of a counted event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveEvent<'e> {
    /// When it happened; it counts in that second, whenever it arrives.
    pub time: Timestamp,
    /// Who acted.
    pub user: Option<&'e str>,
}

/// What happened in the last seconds, enriched with one generation of the reference table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LiveWindow {
    /// Events.
    pub events: u64,
    /// Distinct users.
    pub unique_users: u64,
    /// Events of users that the reference table does not hold, and events without a user.
    pub unknown: u64,
    /// Attribute → value → events. A user without the attribute is in none of its values.
    pub by: BTreeMap<String, BTreeMap<String, u64>>,
    /// The generation of the reference table; 0 without one.
    pub generation: u64,
    /// The numbers are not complete, because memory ran short: the first second of the window is older
    /// than what is still kept, or some users found no room and count as unknown.
    pub is_incomplete: bool,
}

/// Counts in seconds; forgets what is older than its retention. Not durable: a view begins empty and is
/// filled from the ledger's recent events, then by the worker with what it applies.
#[async_trait]
pub trait Live: Send + Sync + std::fmt::Debug {
    /// How many seconds are kept, hence the longest window.
    fn retention_sec(&self) -> u32;

    /// Counts events that have just been applied, as of `now`. Those older than the retention are
    /// ignored. Counts again what it is handed again, so the caller hands each event over at most once
    /// and never repeats a call that failed: events may be missing until the next start, which rebuilds
    /// the view from the ledger, but none is counted twice.
    ///
    /// # Errors
    /// When some or all of them could not be counted; what is stored elsewhere is not affected.
    async fn record(&self, tenant: &TenantId, now: Timestamp, events: &[LiveEvent<'_>]) -> Result<(), PortError>;

    /// The window of the `seconds` seconds that end with the one that `now` lies in. Events stamped
    /// later than `now`'s second count when their second comes. Work that outlives the future of the call keeps
    /// what is held for it ([`crate::held`]).
    ///
    /// # Errors
    /// When the counts cannot be read.
    async fn window(&self, scope: &TenantScope, now: Timestamp, seconds: u32) -> Result<LiveWindow, PortError>;

    /// From now on windows are enriched with this table. Readers see the table before or this one,
    /// never a mix, and are not blocked for longer than a window takes. A generation at or below
    /// the one in use changes nothing.
    ///
    /// # Errors
    /// When it could not be taken over.
    async fn set_reference(&self, tenant: &TenantId, table: Arc<ReferenceTable>) -> Result<(), PortError>;

    /// Memory taken, about, in bytes.
    fn bytes(&self) -> u64;
}
