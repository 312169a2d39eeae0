//! The one gate between requests and the work that they cause. A request is admitted once, for the
//! class of its work, and tenants take turns: however much of one tenant waits, the work of another
//! waits for one piece of it at most (I6). Below the gate adapters schedule nothing; what the server
//! does of itself, such as announcements and the rebuild of the live view, uses the ports directly and
//! needs no permit. The windows of live streams are work of requests: each takes a permit of class `Live`.

mod class;
mod limiter;
mod gated;

use std::sync::Arc;

use ports::active_users::ActiveUsers;
use ports::analytics::Analytics;
use ports::queries::Queries;
use ports::reports::Reports;

pub use class::{ClassBounds, WorkClass};
pub use gated::Gated;
pub use limiter::{ClassLoad, FairLimiter, FairPermit};

/// The ports that requests read, each behind the gate.
#[derive(Debug, Clone)]
pub struct ReadPorts {
    /// Events, windows and customers.
    pub reports: Gated<dyn Reports>,
    /// Sums over a range of time.
    pub analytics: Gated<dyn Analytics>,
    /// Who was active when.
    pub active_users: Gated<dyn ActiveUsers>,
    /// Structured queries.
    pub queries: Gated<dyn Queries>,
    /// For work that begins before a port is asked, or ends after it has answered.
    pub limiter: FairLimiter,
}

impl ReadPorts {
    /// The ports of `store`, behind `limiter`.
    pub fn of<S>(store: &Arc<S>, limiter: &FairLimiter) -> Self
    where
        S: Reports + Analytics + ActiveUsers + Queries + 'static,
    {
        let limiter = limiter.clone();
        Self {
            reports: Gated::new(store.clone(), limiter.clone()),
            analytics: Gated::new(store.clone(), limiter.clone()),
            active_users: Gated::new(store.clone(), limiter.clone()),
            queries: Gated::new(store.clone(), limiter.clone()),
            limiter,
        }
    }
}
