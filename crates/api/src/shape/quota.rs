//! Quotas as JSON, and where they stand.

use domain::quota::{Measure, QuotaPeriod, VersionedQuota};
use domain::time::Timestamp;
use pipeline::QuotaState;
use serde::Serialize;
use utoipa::ToSchema;

/// A quota.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Quota)]
pub(crate) struct QuotaBody {
    /// The customer whose events count; null: the whole workspace.
    customer: Option<String>,
    /// `events`, `tokens` or `calls` (events that name an endpoint or a model).
    #[schema(value_type = String, example = "events")]
    measure: Measure,
    /// `day` or `month`.
    #[schema(value_type = String, example = "month")]
    period: QuotaPeriod,
    /// How much may be used.
    limit: u64,
    /// Whether an event that would go over the limit is refused.
    hard: bool,
    /// Counts its changes.
    version: u64,
}

impl QuotaBody {
    /// A quota that has not been removed.
    pub(crate) fn of(quota: &VersionedQuota) -> Option<Self> {
        let (terms, key) = (quota.terms?, quota.key.clone());
        Some(Self {
            customer: key.customer,
            measure: key.measure,
            period: key.period,
            limit: terms.limit,
            hard: terms.is_hard,
            version: quota.version,
        })
    }
}

/// Where a quota stands.
#[derive(Debug, Clone, Serialize, ToSchema)]
#[schema(as = QuotaState)]
pub(crate) struct QuotaStateBody {
    /// The customer whose events count; null: the whole workspace.
    customer: Option<String>,
    /// `events`, `tokens` or `calls` (events that name an endpoint or a model).
    #[schema(value_type = String, example = "events")]
    measure: Measure,
    /// `day` or `month`.
    #[schema(value_type = String, example = "month")]
    period: QuotaPeriod,
    /// How much may be used.
    limit: u64,
    /// Whether an event that would go over the limit is refused.
    hard: bool,
    /// How much is used in the period under way, events on their way into the counts included.
    used: u64,
    /// How much is left of it.
    left: u64,
    /// Whether more is used than the limit: it is a soft one, or was lowered.
    exceeded: bool,
    /// When the period began.
    #[schema(value_type = String, format = DateTime)]
    from: Timestamp,
    /// When it ends, and all is left again.
    #[schema(value_type = String, format = DateTime)]
    to: Timestamp,
}

impl QuotaStateBody {
    pub(crate) fn new(state: &QuotaState) -> Self {
        let (quota, left) = (&state.quota, state.left());
        Self {
            customer: quota.key.customer.clone(),
            measure: quota.key.measure,
            period: quota.key.period,
            limit: quota.limit,
            hard: quota.is_hard,
            used: state.used,
            left,
            exceeded: state.used > quota.limit,
            from: state.range.from(),
            to: state.range.to(),
        }
    }
}
