//! The figures of one process, in the Prometheus text format. Nothing here is global: code
//! that counts is handed a [`Metrics`]. No label is a text of a client: the metrics can be read without a
//! key (I5), and the number of series is bounded (I6).

mod gauges;
mod tally;

use domain::admit::{TYPE_OF_CALL, TYPE_OF_OTHER};
use domain::rate::RateScope;
use domain::rejection::RejectCode;
use domain::time::Timestamp;
use domain::warning::WarningCode;
use parking_lot::RwLock;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use gauges::PortCollector;
pub(crate) use gauges::PortGauges;
pub(crate) use tally::Tally;

/// The labels of all errors for which a request is refused as a whole.
pub(crate) const ERROR_REASONS: [&str; 12] = [
    "malformed",
    "unsupported_media_type",
    "unsupported_encoding",
    "too_large",
    "overloaded",
    "rate_limited",
    "clock_unsure",
    "disk_full",
    "request_running",
    "idempotency_key_reused",
    "replaying",
    "unavailable",
];

/// The content type of [`Metrics::encode`].
pub const METRICS_CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The label of every event type that a client chose, and of unusual methods.
const OTHER: &str = "other";
/// Why requests are refused before any route sees them.
const HEAD_REFUSALS: [&str; 5] = ["malformed", "too_large", "unknown_coding", "unknown_version", "no_room"];
/// The type of an event that was rejected, whatever it says it is.
const UNKNOWN_TYPE: &str = "unknown";
/// Upper bounds of latency buckets, in seconds.
const LATENCY_BUCKETS: [f64; 14] =
    [0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    event_type: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ScopeLabel {
    scope: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CodeLabel {
    code: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    method: &'static str,
    endpoint: String,
    status_code: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    endpoint: String,
}

/// All metrics of one process.
#[derive(Debug)]
pub struct Metrics {
    registry: RwLock<Registry>,
    ports: RwLock<Option<Arc<PortGauges>>>,
    received: Family<TypeLabel, Counter>,
    ingested: Family<TypeLabel, Counter>,
    duplicates: Counter,
    mismatches: Counter,
    failed: Family<ReasonLabel, Counter>,
    warned: Family<CodeLabel, Counter>,
    over_soft_quota: Counter,
    requests_replayed: Counter,
    ingestion_seconds: Histogram,
    requests: Family<RequestLabels, Counter>,
    request_seconds: Family<RouteLabels, Histogram, fn() -> Histogram>,
    appends: Counter,
    appended_bytes: Counter,
    append_seconds: Histogram,
    visible_seconds: Histogram,
    apply_lag_seconds: Gauge<f64, AtomicU64>,
    apply_retries: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    heads_refused: Family<ReasonLabel, Counter>,
    catalog_poisoned: Gauge,
    register_unknown_seconds: Gauge<f64, AtomicU64>,
    rate_limited: Family<ScopeLabel, Counter>,
    values_unreadable: Counter,
    connections_open: Gauge,
    connections_closed_idle: Counter,
    connections_refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Fresh metrics, all zero.
    pub fn new() -> Self {
        let metrics = Self {
            registry: RwLock::default(),
            ports: RwLock::default(),
            received: Family::default(),
            ingested: Family::default(),
            duplicates: Counter::default(),
            mismatches: Counter::default(),
            failed: Family::default(),
            warned: Family::default(),
            over_soft_quota: Counter::default(),
            requests_replayed: Counter::default(),
            ingestion_seconds: latency_histogram(),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(latency_histogram),
            appends: Counter::default(),
            appended_bytes: Counter::default(),
            append_seconds: latency_histogram(),
            visible_seconds: latency_histogram(),
            apply_lag_seconds: Gauge::default(),
            apply_retries: Counter::default(),
            cache_hits: Counter::default(),
            cache_misses: Counter::default(),
            heads_refused: Family::default(),
            catalog_poisoned: Gauge::default(),
            register_unknown_seconds: Gauge::default(),
            rate_limited: Family::default(),
            values_unreadable: Counter::default(),
            connections_open: Gauge::default(),
            connections_closed_idle: Counter::default(),
            connections_refused: Counter::default(),
        };
        metrics.register();
        metrics.show_zeros();
        metrics
    }

    /// Makes every series whose label is known beforehand, so that the first event is an increase and not a
    /// series that begins with one. Each is dropped at once: the family is locked while it is held.
    fn show_zeros(&self) {
        for event_type in [TYPE_OF_CALL, TYPE_OF_OTHER, OTHER] {
            drop(self.received.get_or_create(&TypeLabel { event_type }));
            drop(self.ingested.get_or_create(&TypeLabel { event_type }));
        }
        drop(self.received.get_or_create(&TypeLabel { event_type: UNKNOWN_TYPE }));
        let strict = WarningCode::ALL.iter().filter(|code| code.is_strict()).map(|code| code.as_str());
        for reason in RejectCode::ALL.iter().map(|code| code.as_str()).chain(ERROR_REASONS).chain(strict) {
            drop(self.failed.get_or_create(&ReasonLabel { reason }));
        }
        for reason in HEAD_REFUSALS {
            drop(self.heads_refused.get_or_create(&ReasonLabel { reason }));
        }
        for scope in RateScope::ALL {
            drop(self.rate_limited.get_or_create(&ScopeLabel { scope: scope.name() }));
        }
        for code in WarningCode::ALL {
            drop(self.warned.get_or_create(&CodeLabel { code: code.as_str() }));
        }
    }

    /// Gives each metric its name; the text format appends `_total` to those of counters.
    fn register(&self) {
        let mut registry = self.registry.write();
        let r = &mut *registry;
        r.register("events_received", "Events found in request bodies", self.received.clone());
        r.register("events_ingested", "Events counted", self.ingested.clone());
        r.register("events_duplicate", "Events whose id was counted before", self.duplicates.clone());
        r.register("events_payload_mismatch", "Duplicates with another payload", self.mismatches.clone());
        r.register("events_failed", "Events, or unreadable bodies, not taken", self.failed.clone());
        r.register("events_warned", "Warnings on events that were taken", self.warned.clone());
        r.register("quota_soft_exceeded", "Events that went over a soft quota", self.over_soft_quota.clone());
        r.register("ingest_requests_replayed", "Repeated requests answered as before", self.requests_replayed.clone());
        r.register("ingestion_duration_seconds", "Body to verdicts", self.ingestion_seconds.clone());
        r.register("api_requests", "Requests answered", self.requests.clone());
        r.register("api_request_duration_seconds", "Request to answer", self.request_seconds.clone());
        r.register("journal_appends", "Records made durable", self.appends.clone());
        r.register("journal_appended_bytes", "Bytes of those records", self.appended_bytes.clone());
        r.register("journal_append_duration_seconds", "Append to durable", self.append_seconds.clone());
        r.register("accepted_to_visible_seconds", "Receipt to visible in queries", self.visible_seconds.clone());
        r.register("apply_lag_seconds", "Age of the record applied last, 0 when idle", self.apply_lag_seconds.clone());
        r.register("apply_retries", "Attempts to apply that failed", self.apply_retries.clone());
        r.register("answer_cache_hits", "Answers that were given again", self.cache_hits.clone());
        r.register("answer_cache_misses", "Answers made that may be given again", self.cache_misses.clone());
        r.register("request_heads_refused", "Requests refused before any route saw them", self.heads_refused.clone());
        r.register(
            "catalog_poisoned",
            "Whether keys, people and settings cannot be changed before a restart",
            self.catalog_poisoned.clone(),
        );
        r.register(
            "register_unknown_seconds",
            "For how long the changes of other processes are not known",
            self.register_unknown_seconds.clone(),
        );
        r.register(
            "rate_limit_exceeded",
            "Requests refused for their number or that of events",
            self.rate_limited.clone(),
        );
        r.register(
            "encrypted_values_unreadable",
            "Encrypted values of events that did not open when they were read",
            self.values_unreadable.clone(),
        );
        r.register("connections_open", "Connections that are open", self.connections_open.clone());
        r.register(
            "connections_closed_idle",
            "Connections closed with no request under way, to make room",
            self.connections_closed_idle.clone(),
        );
        r.register("connections_refused", "Connections closed for want of room", self.connections_refused.clone());
    }

    /// The metrics in the Prometheus text format; see [`METRICS_CONTENT_TYPE`].
    pub async fn encode(&self) -> String {
        let ports = self.ports.read().clone();
        if let Some(ports) = ports {
            ports.refresh().await;
        }
        self.text()
    }

    fn text(&self) -> String {
        let mut out = String::new();
        // Cannot fail: writing to a string does not.
        let _ = text::encode(&mut out, &self.registry.read());
        out
    }

    /// Counts one answered request. `endpoint` is the matched route, never the path as sent.
    pub fn request(&self, method: &str, endpoint: &str, status: u16, seconds: f64) {
        let method = known_method(method);
        let endpoint = endpoint.to_owned();
        let labels = RequestLabels { method, endpoint: endpoint.clone(), status_code: status };
        self.requests.get_or_create(&labels).inc();
        self.request_seconds.get_or_create(&RouteLabels { method, endpoint }).observe(seconds);
    }

    /// Counts an answer that may be cached, as found in the cache or as made.
    pub fn cacheable(&self, was_cached: bool) {
        if was_cached { &self.cache_hits } else { &self.cache_misses }.inc();
    }

    /// Counts a request that was refused before any route saw it.
    pub fn head_refused(&self, reason: &'static str) {
        self.heads_refused.get_or_create(&ReasonLabel { reason }).inc();
    }

    /// Sets what is known of the register: for how long the changes of others are not, and whether it takes none.
    pub fn register_state(&self, unknown_for: Duration, is_poisoned: bool) {
        self.register_unknown_seconds.set(unknown_for.as_secs_f64());
        self.catalog_poisoned.set(i64::from(is_poisoned));
    }

    /// Counts a request that was refused because more came than may.
    pub(crate) fn rate_limited(&self, scope: &'static str) {
        self.rate_limited.get_or_create(&ScopeLabel { scope }).inc();
    }

    /// Counts encrypted values that did not open when an event was read.
    pub fn values_unreadable(&self, count: usize) {
        self.values_unreadable.inc_by(count as u64);
    }

    /// Sets how many connections are open.
    pub fn connections_open(&self, count: usize) {
        self.connections_open.set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Counts connections that were closed to make room.
    pub fn connections_closed_idle(&self, count: usize) {
        self.connections_closed_idle.inc_by(count as u64);
    }

    /// Counts a connection that was closed for want of room.
    pub fn connection_refused(&self) {
        self.connections_refused.inc();
    }

    /// Adds the gauges that are read off the ports whenever the metrics are.
    pub(crate) fn observe_ports(&self, gauges: PortGauges) {
        let gauges = Arc::new(gauges);
        self.registry.write().register_collector(Box::new(PortCollector(Arc::clone(&gauges))));
        *self.ports.write() = Some(gauges);
    }

    pub(crate) fn received(&self, by_type: &Tally<'_>, rejected: u64) {
        for (kind, count) in by_type.counts() {
            self.received.get_or_create(&type_label(kind)).inc_by(count);
        }
        if rejected > 0 {
            self.received.get_or_create(&TypeLabel { event_type: UNKNOWN_TYPE }).inc_by(rejected);
        }
    }

    pub(crate) fn ingested(&self, by_type: &Tally<'_>) {
        for (kind, count) in by_type.counts() {
            self.ingested.get_or_create(&type_label(kind)).inc_by(count);
        }
    }

    pub(crate) fn duplicate(&self, mismatch: bool) {
        self.duplicates.inc();
        if mismatch {
            self.mismatches.inc();
        }
    }

    pub(crate) fn failed(&self, reason: &'static str, count: u64) {
        self.failed.get_or_create(&ReasonLabel { reason }).inc_by(count);
    }

    pub(crate) fn request_replayed(&self) {
        self.requests_replayed.inc();
    }

    pub(crate) fn over_soft_quota(&self, count: u64) {
        self.over_soft_quota.inc_by(count);
    }

    pub(crate) fn warned(&self, code: WarningCode, count: u64) {
        self.warned.get_or_create(&CodeLabel { code: code.as_str() }).inc_by(count);
    }

    pub(crate) fn ingestion(&self, took: Duration) {
        self.ingestion_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn appended(&self, bytes: usize, took: Duration) {
        self.appends.inc();
        self.appended_bytes.inc_by(bytes as u64);
        self.append_seconds.observe(took.as_secs_f64());
    }

    /// By the receive time in the journal, which another process may have stamped: a clock that is set
    /// in between shows here.
    pub(crate) fn visible(&self, received_at: Timestamp, now: Timestamp) {
        let seconds = seconds(received_at, now);
        self.visible_seconds.observe(seconds);
        self.apply_lag_seconds.set(seconds);
    }

    pub(crate) fn apply_idle(&self) {
        self.apply_lag_seconds.set(0.0);
    }

    pub(crate) fn apply_retry(&self) {
        self.apply_retries.inc();
    }
}

/// Only the types that events without one get have a series of their own.
fn type_label(kind: &str) -> TypeLabel {
    let known = [TYPE_OF_CALL, TYPE_OF_OTHER].into_iter().find(|known| *known == kind);
    TypeLabel { event_type: known.unwrap_or(OTHER) }
}

fn latency_histogram() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

/// Seconds from `from` to `to`; 0 when the clock was set back in between.
fn seconds(from: Timestamp, to: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "durations are far below 2^53 microseconds")]
    let micros = (to.micros() - from.micros()).max(0) as f64;
    micros / 1e6
}

fn known_method(method: &str) -> &'static str {
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"]
        .into_iter()
        .find(|known| *known == method)
        .unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(metrics: &Metrics, name: &str) -> Vec<String> {
        metrics.text().lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect()
    }

    #[test]
    fn names_are_the_documented_ones() {
        let metrics = Metrics::new();
        let mut types = Tally::default();
        types.add("api_call");
        metrics.received(&types, 2);
        metrics.ingested(&types);
        metrics.duplicate(true);
        metrics.failed("invalid_time", 3);
        metrics.ingestion(Duration::from_micros(1_500));
        metrics.request("GET", "/v1/events", 200, 0.25);
        metrics.cacheable(true);
        for line in [
            "events_received_total{event_type=\"api_call\"} 1",
            "events_received_total{event_type=\"unknown\"} 2",
            "events_ingested_total{event_type=\"api_call\"} 1",
            "events_duplicate_total 1",
            "events_payload_mismatch_total 1",
            "events_failed_total{reason=\"invalid_time\"} 3",
            "ingest_requests_replayed_total 0",
            "ingestion_duration_seconds_count 1",
            "ingestion_duration_seconds_bucket{le=\"0.002\"} 1",
            "api_requests_total{method=\"GET\",endpoint=\"/v1/events\",status_code=\"200\"} 1",
            "api_request_duration_seconds_count{method=\"GET\",endpoint=\"/v1/events\"} 1",
            "journal_appends_total 0",
            "journal_appended_bytes_total 0",
            "accepted_to_visible_seconds_count 0",
            "apply_lag_seconds 0.0",
            "answer_cache_hits_total 1",
            "answer_cache_misses_total 0",
            "encrypted_values_unreadable_total 0",
        ] {
            assert_eq!(lines(&metrics, line), [line], "{}", metrics.text());
        }
    }

    #[test]
    fn series_with_known_labels_are_there_before_their_first_value() {
        let metrics = Metrics::new();
        for line in [
            "events_received_total{event_type=\"api_call\"} 0",
            "events_ingested_total{event_type=\"custom\"} 0",
            "events_failed_total{reason=\"conflicting_fields\"} 0",
            "events_failed_total{reason=\"clock_unsure\"} 0",
            "events_failed_total{reason=\"time_not_read\"} 0",
            "events_warned_total{code=\"time_not_read\"} 0",
        ] {
            assert_eq!(lines(&metrics, line), [line]);
        }
    }

    #[test]
    fn i5_i6_no_label_is_a_text_of_a_client() {
        let metrics = Metrics::new();
        let kinds: Vec<String> = (0..150).map(|n| format!("type-{n}")).collect();
        let mut types = Tally::default();
        kinds.iter().for_each(|kind| types.add(kind));
        types.add("custom");
        metrics.received(&types, 0);
        metrics.ingested(&types);
        let mut received = lines(&metrics, "events_received_total");
        received.sort_unstable();
        let series = [("api_call", 0), ("custom", 1), ("other", 150), ("unknown", 0)];
        let series = series.map(|(kind, count)| format!("events_received_total{{event_type=\"{kind}\"}} {count}"));
        assert_eq!(received, series);
        assert!(!metrics.text().contains("type-"), "{}", metrics.text());
        metrics.request("BREW", "/healthz", 405, 0.0);
        metrics.request("STEEP", "/healthz", 405, 0.0);
        assert_eq!(lines(&metrics, "api_requests_total").len(), 1);
    }
}
