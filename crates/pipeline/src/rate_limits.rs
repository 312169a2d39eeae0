//! How much may come in of whom: requests of an address that shows no valid credential, requests with a credential,
//! requests of a workspace, and events of a workspace. Requests are counted before their body is read, events when it
//! was parsed and before the journal.
//!
//! A count of events may go into debt by one batch, and has to be above zero before one is taken: so every batch that
//! may be sent at all passes in the end, and over any time no more come in than the rate gives, the burst and one
//! batch. In debt, requests with events are refused before their body is read.
//!
//! Time is the clock's reading that never steps back, so setting the machine's clock shuts nobody out and lets nobody
//! in. Counts are in memory, of one process, and bounded.

mod quota;
mod buckets;
mod caller;
mod event_bucket;
mod request_bucket;

use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use domain::access::principal::Subject;
use domain::limits::{RATE_ADDRESSES_MAX, RATE_CALLERS_MAX};
use domain::rate::{Rate, RateScope, ServerRates};
use domain::tenant::TenantId;
use ports::clock::Clock;

use crate::telemetry::Metrics;
use buckets::{Bucket, Buckets, Empty};
use caller::{Credential, Network};
use event_bucket::EventBucket;
use quota::{Left, Quota};
use request_bucket::RequestBucket;

pub use quota::{RateRefusal, RateStanding};

/// The counts of one process.
pub struct RateLimits {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    server: ServerRates,
    addresses: Buckets<Network, RequestBucket>,
    credentials: Buckets<Credential, RequestBucket>,
    workspaces: Buckets<TenantId, RequestBucket>,
    events: Buckets<TenantId, EventBucket>,
}

impl fmt::Debug for RateLimits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimits").field("server", &self.server).finish_non_exhaustive()
    }
}

impl RateLimits {
    /// Counts that begin now. The limits of `server` hold where none is handed in.
    pub fn new(server: ServerRates, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        Self {
            clock,
            metrics,
            server,
            addresses: Buckets::new(RATE_ADDRESSES_MAX),
            credentials: Buckets::new(RATE_CALLERS_MAX),
            workspaces: Buckets::new(RATE_CALLERS_MAX),
            events: Buckets::new(RATE_CALLERS_MAX),
        }
    }

    /// Counts a request without a valid credential. `None` stands for requests that are not limited.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn address(&self, address: Option<IpAddr>) -> Result<Option<RateStanding>, RateRefusal> {
        let Some(rate) = self.server.address_requests_per_min else { return Ok(None) };
        let network = address.map_or(Network::UNKNOWN, Network::of);
        self.request(&self.addresses, network, Quota { scope: RateScope::Address, rate })
    }

    /// Counts a request with a credential, which has a limit of its own or else the server's. A signature is not known
    /// to fit before the body is there, so it is counted by address too.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn credential(
        &self,
        subject: &Subject,
        address: Option<IpAddr>,
        own: Option<Rate>,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        let (Some(rate), Some(credential)) = (own.or(self.server.key_requests), Credential::of(subject, address))
        else {
            return Ok(None);
        };
        self.request(&self.credentials, credential, Quota { scope: RateScope::Key, rate })
    }

    /// Counts a request of a workspace, which has a limit of its own or else the server's.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn workspace(&self, tenant: &TenantId, own: Option<Rate>) -> Result<Option<RateStanding>, RateRefusal> {
        let Some(rate) = own.or(self.server.workspace_requests) else { return Ok(None) };
        self.request(&self.workspaces, tenant.clone(), Quota { scope: RateScope::Workspace, rate })
    }

    /// Refuses a request with events while its workspace's count of events is in debt. Counts nothing.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn check_events(&self, tenant: &TenantId, own: Option<Rate>) -> Result<Option<RateStanding>, RateRefusal> {
        self.of_events(tenant, own, |bucket, now| bucket.check(now))
    }

    /// Counts the events of a batch, all or none.
    ///
    /// # Errors
    /// [`RateRefusal`] when the count is in debt already.
    pub fn events(
        &self,
        tenant: &TenantId,
        own: Option<Rate>,
        events: usize,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        self.of_events(tenant, own, |bucket, now| bucket.take(events, now))
    }

    /// How the count of events of a workspace stands. Counts nothing.
    pub fn events_standing(&self, tenant: &TenantId, own: Option<Rate>) -> Option<RateStanding> {
        let standing = self.of_events(tenant, own, |bucket, now| Ok(bucket.left(now)));
        standing.unwrap_or_default()
    }

    fn of_events(
        &self,
        tenant: &TenantId,
        own: Option<Rate>,
        run: impl FnOnce(&mut EventBucket, Duration) -> Result<Left, Duration>,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        let Some(rate) = own.or(self.server.workspace_events) else { return Ok(None) };
        let quota = Quota { scope: RateScope::Events, rate };
        let now = self.clock.monotonic();
        self.run(&self.events, tenant.clone(), quota, now, || EventBucket::new(quota), |bucket| run(bucket, now))
    }

    fn request<K: Hash + Eq + Clone + fmt::Display>(
        &self,
        buckets: &Buckets<K, RequestBucket>,
        key: K,
        quota: Quota,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        let make = || RequestBucket::new(quota, Arc::clone(&self.clock));
        self.run(buckets, key, quota, self.clock.monotonic(), make, RequestBucket::take)
    }

    fn run<K: Hash + Eq + Clone + fmt::Display, B: Bucket>(
        &self,
        buckets: &Buckets<K, B>,
        key: K,
        quota: Quota,
        now: Duration,
        make: impl FnOnce() -> B,
        run: impl FnOnce(&mut B) -> Result<Left, Duration>,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        match buckets.run(key.clone(), quota, now, make, run) {
            Ok(left) => Ok(Some(RateStanding::new(quota, left))),
            Err(Empty { wait, is_told }) => {
                self.metrics.rate_limited(quota.scope.name());
                let refusal = RateRefusal::new(quota, wait);
                if is_told {
                    // At most once a minute each.
                    let (scope, limit, retry_after_s) = (quota.scope.name(), quota.rate.get(), refusal.retry_after_s);
                    tracing::warn!(scope, caller = %key, limit, retry_after_s, "requests are refused, over the limit");
                }
                Err(refusal)
            }
        }
    }
}

#[cfg(test)]
mod tests;
