//! Sums: windows, customers, live counters.

use std::collections::BTreeMap;

use domain::access::record::CustomerProfile;
use domain::aggregate::{Aggregate, Slice, TokenClasses};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use ports::reports::{Customer, CustomerUsage, Window};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

/// The usage of one customer in one window.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Window)]
pub(crate) struct WindowBody {
    /// First instant of the window.
    #[schema(value_type = String, format = DateTime)]
    window_start: Timestamp,
    /// First instant after the window.
    #[schema(value_type = String, format = DateTime)]
    window_end: Timestamp,
    /// The tenant that the window belongs to.
    tenant_id: String,
    /// The customer; null stands for all events without one.
    customer_id: Option<String>,
    /// `open`: events in time may still be applied, whatever the revision. `closed`: all are, and none came
    /// late. `revised`: all are, and some came late.
    #[schema(value_type = String)]
    state: domain::window::WindowState,
    /// 1, and one more for each late event, also while the window is open.
    revision: u64,
    /// Sums over the events of the customer in the window.
    aggregations: AggregationsBody,
}

impl WindowBody {
    pub(crate) fn new(scope: &TenantScope, window: Window) -> Self {
        Self {
            window_start: window.start,
            window_end: window.end,
            tenant_id: scope.tenant().to_string(),
            customer_id: named(window.customer),
            state: window.state,
            revision: window.revision,
            aggregations: window.aggregate.into(),
        }
    }
}

/// Sums over events.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Aggregations)]
pub(crate) struct AggregationsBody {
    /// Number of events.
    total_calls: u64,
    /// Number of all tokens.
    total_tokens: u64,
    /// Number of input tokens.
    total_input_tokens: u64,
    /// Number of output tokens.
    total_output_tokens: u64,
    /// Input and output tokens in five classes of which none holds tokens of another. Tokens of events that
    /// told only their number are in none, so that the classes may be fewer than `totalTokens` together.
    #[serde(rename = "tokens_by_class")]
    tokens_by_class: TokenClassesBody,
    /// Mean latency in milliseconds over the events that carried one; null when none did.
    #[serde(serialize_with = "super::millis")]
    avg_latency_ms: Option<f64>,
    /// Calls and tokens by API endpoint.
    by_endpoint: BTreeMap<String, SliceBody>,
    /// Calls and tokens by model.
    by_model: BTreeMap<String, SliceBody>,
}

impl From<Aggregate> for AggregationsBody {
    fn from(sums: Aggregate) -> Self {
        let slices = |of: BTreeMap<String, Slice>| of.into_iter().map(|(name, slice)| (name, slice.into())).collect();
        Self {
            total_calls: sums.totals.calls,
            total_tokens: sums.totals.tokens,
            total_input_tokens: sums.totals.input_tokens,
            total_output_tokens: sums.totals.output_tokens,
            tokens_by_class: sums.totals.token_classes().into(),
            avg_latency_ms: sums.totals.avg_latency_ms(),
            by_endpoint: slices(sums.by_endpoint),
            by_model: slices(sums.by_model),
        }
    }
}

/// Tokens by class.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = TokenClasses)]
struct TokenClassesBody {
    /// Input tokens that neither came from a cache nor went into one.
    input: u64,
    /// Input tokens that a cache answered.
    cache_read: u64,
    /// Input tokens that were put into a cache.
    cache_write: u64,
    /// Output tokens that are no reasoning.
    output: u64,
    /// Output tokens that are reasoning.
    reasoning: u64,
}

impl From<TokenClasses> for TokenClassesBody {
    fn from(classes: TokenClasses) -> Self {
        let TokenClasses { input, cache_read, cache_write, output, reasoning } = classes;
        Self { input, cache_read, cache_write, output, reasoning }
    }
}

/// One slice of a breakdown.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Slice)]
struct SliceBody {
    /// Number of events.
    calls: u64,
    /// Number of all tokens.
    tokens: u64,
}

impl From<Slice> for SliceBody {
    fn from(slice: Slice) -> Self {
        Self { calls: slice.calls, tokens: slice.tokens }
    }
}

/// A customer, who exists from its first event on.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Customer)]
pub(crate) struct CustomerBody {
    /// The customer's id, as in paths and filters.
    id: String,
    /// The tenant that the customer belongs to.
    tenant: String,
    /// The tenant's own id of the customer.
    external_id: String,
    /// The display name; null until one is set.
    name: Option<String>,
    /// Free attributes, a JSON object; empty until some are set.
    #[schema(value_type = Object)]
    attributes: Box<RawValue>,
    /// The version of name and attributes, also the ETag; 0 before they are set.
    profile_version: u64,
    /// When its first event was received.
    #[schema(value_type = String, format = DateTime)]
    created: Timestamp,
    /// When its latest event was received.
    #[schema(value_type = String, format = DateTime)]
    updated: Timestamp,
    /// Sums over all events of the customer.
    totals: AggregationsBody,
}

impl CustomerBody {
    /// A customer, and what is kept about it beside the events.
    pub(crate) fn new(scope: &TenantScope, customer: Customer, profile: Option<CustomerProfile>) -> Self {
        let profile_version = profile.as_ref().map_or(0, |profile| profile.versioned.version);
        let (name, attributes) =
            profile.map_or_else(|| (None, "{}".to_owned()), |known| (known.name, known.attributes));
        Self {
            id: customer.id.clone(),
            tenant: scope.tenant().to_string(),
            external_id: customer.id,
            name,
            attributes: RawValue::from_string(attributes).unwrap_or_else(|_| RawValue::NULL.to_owned()),
            profile_version,
            created: customer.created,
            updated: customer.updated,
            totals: customer.total.into(),
        }
    }
}

/// The live counters of one customer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Usage)]
pub(crate) struct UsageBody {
    /// The customer's id.
    customer: String,
    /// The window that holds the present.
    current_window: WindowBody,
    /// Since the start of the day, in the tenant's zone.
    today: AggregationsBody,
    /// Sums over all events of the customer.
    total: AggregationsBody,
}

impl UsageBody {
    pub(crate) fn new(scope: &TenantScope, usage: CustomerUsage) -> Self {
        Self {
            customer: usage.customer.id,
            current_window: WindowBody::new(scope, usage.current_window),
            today: usage.day.into(),
            total: usage.customer.total.into(),
        }
    }
}

fn named(customer: String) -> Option<String> {
    (!customer.is_empty()).then_some(customer)
}

#[cfg(test)]
mod tests {
    use domain::aggregate::Totals;
    use serde_json::json;

    use super::*;

    #[test]
    fn tokens_are_told_by_class() -> serde_json::Result<()> {
        let totals = Totals {
            calls: 2,
            tokens: 180,
            input_tokens: 100,
            output_tokens: 50,
            cache_read_tokens: 60,
            cache_write_tokens: 30,
            reasoning_tokens: 20,
            ..Totals::default()
        };
        let body = AggregationsBody::from(Aggregate { totals, ..Aggregate::default() });
        let classes = json!({"input": 10, "cache_read": 60, "cache_write": 30, "output": 30, "reasoning": 20});
        assert_eq!(serde_json::to_value(body)?["tokens_by_class"], classes, "30 tokens are of no class");
        Ok(())
    }
}
