//! The one gate between requests and the work that they cause. A request is admitted once, for the
//! class of its work, and tenants take turns: however much of one tenant waits, the work of another
//! waits for one piece of it at most (I6). Below the gate adapters schedule nothing; what the server
//! does of itself uses the ports directly and needs no permit.

mod class;
mod limiter;
mod fair;

use std::sync::Arc;

use ports::active_users::ActiveUsers;
use ports::analytics::Analytics;
use ports::queries::Queries;
use ports::reports::Reports;

pub use class::{ClassBounds, WorkClass};
pub use fair::Fair;
pub use limiter::{ClassLoad, FairLimiter, FairPermit};

/// What requests may ask of what is stored, each question admitted once.
#[derive(Debug, Clone)]
pub struct Questions {
    /// Events, windows and customers.
    pub reports: Fair<dyn Reports>,
    /// Sums over a range of time.
    pub analytics: Fair<dyn Analytics>,
    /// Who was active when.
    pub active_users: Fair<dyn ActiveUsers>,
    /// Structured queries.
    pub queries: Fair<dyn Queries>,
    /// For work that begins before a port is asked, or ends after it has answered.
    pub limiter: FairLimiter,
}

impl Questions {
    /// The questions that `store` answers, behind `limiter`.
    pub fn of<S>(store: &Arc<S>, limiter: &FairLimiter) -> Self
    where
        S: Reports + Analytics + ActiveUsers + Queries + 'static,
    {
        let limiter = limiter.clone();
        Self {
            reports: Fair::new(store.clone(), limiter.clone()),
            analytics: Fair::new(store.clone(), limiter.clone()),
            active_users: Fair::new(store.clone(), limiter.clone()),
            queries: Fair::new(store.clone(), limiter.clone()),
            limiter,
        }
    }
}
