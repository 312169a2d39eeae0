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
use caller::Credential;
use event_bucket::{Charge, EventBucket};
use quota::Quota;
use request_bucket::RequestBucket;

pub(crate) use caller::Network;
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

/// What was counted of a batch: nothing where there is no limit.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct EventCharge(Option<(TenantId, Charge)>);

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
        self.request(&self.addresses, network, Quota { scope: RateScope::Address, rate }, Some(rate))
    }

    /// Refuses a request of an address that has no more without a valid credential. Counts nothing: whether its credential
    /// is valid is not known yet.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn check_address(&self, address: Option<IpAddr>) -> Result<(), RateRefusal> {
        // Where none pass without a credential, those still do that have one.
        let Some(rate) = self.server.address_requests_per_min.filter(|rate| rate.get() > 0) else { return Ok(()) };
        let (network, now) = (address.map_or(Network::UNKNOWN, Network::of), self.clock.monotonic());
        let quota = Quota { scope: RateScope::Address, rate };
        match self.addresses.look(&network, now, |bucket| bucket.check(now)) {
            Some(Err(empty)) => Err(self.refused(quota, &network, empty)),
            Some(Ok(())) | None => Ok(()),
        }
    }

    /// Counts a request with a credential, which has a limit of its own or else the server's. Signatures are counted by
    /// address too: who sends a captured request again from elsewhere uses up nothing of its owner's.
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
        self.request(&self.credentials, credential, Quota { scope: RateScope::Key, rate }, self.server.key_requests)
    }

    /// Counts a request of a workspace, which has a limit of its own or else the server's.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn workspace(&self, tenant: &TenantId, own: Option<Rate>) -> Result<Option<RateStanding>, RateRefusal> {
        let Some(rate) = own.or(self.server.workspace_requests) else { return Ok(None) };
        let quota = Quota { scope: RateScope::Workspace, rate };
        self.request(&self.workspaces, tenant.clone(), quota, self.server.workspace_requests)
    }

    /// Refuses a request with events while its workspace's count of events is in debt. Counts nothing.
    ///
    /// # Errors
    /// [`RateRefusal`].
    pub fn check_events(&self, tenant: &TenantId, own: Option<Rate>) -> Result<Option<RateStanding>, RateRefusal> {
        let left = self.of_events(tenant, own, |bucket, now| bucket.check(now))?;
        Ok(left.map(|(quota, left)| RateStanding::new(quota, left)))
    }

    /// Counts the events of a batch, all or none.
    ///
    /// # Errors
    /// [`RateRefusal`] when the count is in debt already.
    pub fn events(&self, tenant: &TenantId, own: Option<Rate>, events: usize) -> Result<EventCharge, RateRefusal> {
        let taken = self.of_events(tenant, own, |bucket, now| bucket.take(events, now))?;
        Ok(EventCharge(taken.map(|(_, charge)| (tenant.clone(), charge))))
    }

    /// Gives back what was counted of a batch that was not taken, as far as it has not come back by itself.
    pub fn give_back(&self, EventCharge(charge): EventCharge) {
        let Some((tenant, charge)) = charge else { return };
        let now = self.clock.monotonic();
        self.events.look(&tenant, now, |bucket| {
            bucket.give_back(charge, now);
            Ok::<(), Duration>(())
        });
    }

    /// How the count of events of a workspace stands. Counts nothing.
    pub fn events_standing(&self, tenant: &TenantId, own: Option<Rate>) -> Option<RateStanding> {
        let left = self.of_events(tenant, own, |bucket, now| Ok(bucket.left(now)));
        left.ok().flatten().map(|(quota, left)| RateStanding::new(quota, left))
    }

    fn of_events<T>(
        &self,
        tenant: &TenantId,
        own: Option<Rate>,
        run: impl FnOnce(&mut EventBucket, Duration) -> Result<T, Duration>,
    ) -> Result<Option<(Quota, T)>, RateRefusal> {
        let Some(rate) = own.or(self.server.workspace_events) else { return Ok(None) };
        let quota = Quota { scope: RateScope::Events, rate };
        let now = self.clock.monotonic();
        let quotas = (quota, self.server.workspace_events.map(|rate| Quota { rate, ..quota }));
        let told = self.run(&self.events, tenant, quotas, now, EventBucket::new, |bucket| run(bucket, now))?;
        Ok(Some((quota, told)))
    }

    fn request<K: Hash + Eq + Clone + fmt::Display>(
        &self,
        buckets: &Buckets<K, RequestBucket>,
        key: K,
        quota: Quota,
        of_server: Option<Rate>,
    ) -> Result<Option<RateStanding>, RateRefusal> {
        let quotas = (quota, of_server.map(|rate| Quota { rate, ..quota }));
        let make = |quota| RequestBucket::new(quota, Arc::clone(&self.clock));
        let left = self.run(buckets, &key, quotas, self.clock.monotonic(), make, RequestBucket::take)?;
        Ok(Some(RateStanding::new(quota, left)))
    }

    fn run<K: Hash + Eq + Clone + fmt::Display, B: Bucket, T>(
        &self,
        buckets: &Buckets<K, B>,
        key: &K,
        quotas: (Quota, Option<Quota>),
        now: Duration,
        make: impl FnOnce(Quota) -> B,
        run: impl FnOnce(&mut B) -> Result<T, Duration>,
    ) -> Result<T, RateRefusal> {
        buckets.run(key.clone(), quotas, now, make, run).map_err(|empty| self.refused(quotas.0, key, empty))
    }

    /// Counts a refusal, and says it in the log, at most once a minute each.
    fn refused(&self, quota: Quota, key: &impl fmt::Display, Empty { wait, is_told }: Empty) -> RateRefusal {
        self.metrics.rate_limited(quota.scope.name());
        let refusal = RateRefusal::new(quota, wait);
        if is_told {
            let (scope, limit, retry_after_s) = (quota.scope.name(), quota.rate.get(), refusal.retry_after_s);
            tracing::warn!(scope, caller = %key, limit, retry_after_s, "requests are refused, over the limit");
        }
        refusal
    }
}

#[cfg(test)]
mod tests;
