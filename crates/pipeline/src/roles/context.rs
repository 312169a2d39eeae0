//! State shared by the roles of one process: progress, in-flight requests, failure and stop signals. Roles
//! in processes of their own share none of it.

use std::sync::Arc;

use domain::limits::Limits;
use domain::position::{EventPosition, Seq};
use domain::window::WindowRule;
use ports::clock::Clock;
use ports::ledger::Ledger;

use crate::failure::FatalError;
use crate::gate::FairLimiter;
use crate::inflight::InFlight;
use crate::live::Announcements;
use crate::names::KnownNames;
use crate::quotas::Quotas;
use crate::rate_limits::RateLimits;
use crate::receipts::Receipts;
use crate::shares::BacklogShares;
use crate::stop::Stop;
use crate::telemetry::Metrics;

/// What every role of one process works with.
#[derive(Debug)]
pub(crate) struct RoleContext {
    pub(crate) ledger: Arc<dyn Ledger>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) limits: Limits,
    pub(crate) rule: WindowRule,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) limiter: FairLimiter,
    /// Why the process must end with an error.
    pub(crate) failure: FatalError,
    /// Ends all roles.
    pub(crate) stop: Stop,
    /// What the worker has applied.
    pub(crate) receipts: Arc<Receipts>,
    /// Requests that have been stamped and not settled, which windows wait for.
    pub(crate) in_flight: Arc<InFlight>,
    /// Whose the records are that wait to be applied.
    pub(crate) backlog: Arc<BacklogShares>,
    /// Whether they are applied in this process.
    pub(crate) applies: bool,
    /// How much may come in of whom.
    pub(crate) rate_limits: Arc<RateLimits>,
    /// Names that tenants use.
    pub(crate) names: Arc<KnownNames>,
    /// What is used of quotas, where events are taken.
    pub(crate) quotas: Option<Arc<Quotas>>,
    /// Late windows, which the worker notes and the live view announces.
    pub(crate) announcements: Arc<Announcements>,
    /// Where the ledger stood before the worker started: what comes later, the worker hands to the live view.
    pub(crate) applied_at_start: EventPosition,
    /// The last record that was durable at the start and that the worker of this process has to apply
    /// before answers are whole; without a worker, the last one applied.
    pub(crate) replay_until: Seq,
}
