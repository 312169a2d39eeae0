//! What a load consists of.

use std::sync::Arc;

use domain::time::Timestamp;

use crate::http::connection::Target;
use crate::schedule::Schedule;
use crate::workload::Workload;

/// What to send, where and how fast.
#[derive(Debug, Clone)]
pub(crate) struct LoadPlan {
    /// The server.
    pub(crate) target: Arc<Target>,
    /// The events.
    pub(crate) workload: Arc<Workload>,
    /// How many connections send them.
    pub(crate) connections: u16,
    /// When.
    pub(crate) schedule: Schedule,
    /// The time at which the run begins, for the events' own times.
    pub(crate) now: Timestamp,
    /// Whether to sample how long an accepted event takes to become visible.
    pub(crate) visibility: bool,
}
