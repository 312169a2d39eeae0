//! The one gate between requests and the work that they cause. A request is admitted once, for the
//! class of its work, and tenants take turns: however much of one tenant waits, the work of another
//! waits for one piece of it at most (I6). The permit goes with the work and ends with it, also when
//! the request was given up before. Below the gate adapters schedule nothing. What the server does of
//! itself for all tenants uses the ports directly and needs no permit; what it does for one (a change of
//! its zone that is made again, the ticks of its live streams) has that tenant's.

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
