//! Every setting: its name, default, unit and meaning, once. The command line, the environment, the
//! file, `--help` and the table in `docs/operations.md` all come from here.

use api::CacheTimes;
use domain::limits::Limits;
use journal::JournalOptions;
use ledger_embedded::LedgerOptions;
use live::LiveOptions;
use serde::{Deserialize, Deserializer, Serialize};

/// What the environment variables of all settings begin with.
pub(super) const VARIABLE_PREFIX: &str = "NILOMETER_";
/// The data folder when none is named.
pub(crate) const DATA_DEFAULT: &str = "./nilometer-data";

/// What a limit is that the profile decides on.
pub(super) const AUTO: &str = "auto";

/// All settings, with their defaults as [`Default`]. A number is a whole number in the unit that its
/// name ends with; 0 stands for "none" where [`SETTINGS`] says so.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Settings {
    pub(crate) data: String,
    pub(crate) listen: String,
    pub(crate) profile: String,
    pub(crate) api_keys: String,
    pub(crate) postgres_url: String,
    pub(crate) postgres_worker_url: String,
    pub(crate) postgres_owner_url: String,
    pub(crate) postgres_replica_url: String,
    pub(crate) tls_cert_file: String,
    pub(crate) tls_key_file: String,
    pub(crate) master_key_file: String,
    pub(crate) metrics_token_file: String,
    pub(crate) jwt_issuer: String,
    pub(crate) jwt_audience: String,
    pub(crate) jwt_jwks_file: String,
    pub(crate) jwt_workspace_claim: String,
    pub(crate) jwt_role_claim: String,
    pub(crate) public_url: String,
    pub(crate) base_path: String,
    pub(crate) cors_origins: String,
    pub(crate) trusted_proxies: String,
    pub(crate) log_format: String,
    pub(crate) log_level: String,
    pub(crate) worker_threads: u64,
    pub(crate) window_length_sec: u64,
    pub(crate) window_grace_sec: u64,
    pub(crate) retention_days: u64,
    pub(crate) retention_delay_sec: u64,
    pub(crate) flush_rows: u64,
    pub(crate) flush_bytes: u64,
    pub(crate) flush_age_ms: u64,
    pub(crate) journal_segment_bytes: u64,
    pub(crate) disk_reserve_bytes: u64,
    pub(crate) body_bytes_max: u64,
    pub(crate) decoded_bytes_max: u64,
    pub(crate) batch_events_max: u64,
    pub(crate) properties_bytes_max: u64,
    pub(crate) json_depth_max: u64,
    pub(crate) min_time: String,
    pub(crate) future_sec_max: u64,
    pub(crate) max_lateness_sec: u64,
    pub(crate) clock_drift_max_sec: u64,
    pub(crate) endpoints_max: u64,
    pub(crate) types_max: u64,
    pub(crate) models_max: u64,
    pub(crate) projects_max: u64,
    pub(crate) backlog_bytes_max: u64,
    pub(crate) live_retention_sec: u64,
    pub(crate) live_bytes_max: u64,
    pub(crate) connections_max: u64,
    pub(crate) header_timeout_ms: u64,
    pub(crate) body_timeout_ms: u64,
    pub(crate) idle_timeout_ms: u64,
    pub(crate) wait_applied_ms_max: u64,
    #[serde(deserialize_with = "number_or_word")]
    pub(crate) address_requests_per_min: String,
    #[serde(deserialize_with = "number_or_word")]
    pub(crate) key_requests_per_sec: String,
    #[serde(deserialize_with = "number_or_word")]
    pub(crate) workspace_requests_per_sec: String,
    #[serde(deserialize_with = "number_or_word")]
    pub(crate) workspace_events_per_sec: String,
    pub(crate) cache_summary_ms: u64,
    pub(crate) cache_series_ms: u64,
}

/// A limit is a number or a word; in the file a number may stand as one.
fn number_or_word<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Limit {
        Number(i64),
        Word(String),
    }
    Ok(match Limit::deserialize(from)? {
        Limit::Number(number) => number.to_string(),
        Limit::Word(word) => word,
    })
}

impl Default for Settings {
    fn default() -> Self {
        let (limits, ledger, journal) = (Limits::default(), LedgerOptions::default(), JournalOptions::default());
        let cache = CacheTimes::default();
        let live = LiveOptions::default();
        let millis = |duration: std::time::Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let seconds = |micros: i64| micros.unsigned_abs() / 1_000_000;
        Self {
            data: DATA_DEFAULT.to_owned(),
            listen: "127.0.0.1:8080".to_owned(),
            profile: "dev".to_owned(),
            api_keys: String::new(),
            postgres_url: String::new(),
            postgres_worker_url: String::new(),
            postgres_owner_url: String::new(),
            postgres_replica_url: String::new(),
            tls_cert_file: String::new(),
            tls_key_file: String::new(),
            master_key_file: String::new(),
            metrics_token_file: String::new(),
            jwt_issuer: String::new(),
            jwt_audience: String::new(),
            jwt_jwks_file: String::new(),
            jwt_workspace_claim: "workspace".to_owned(),
            jwt_role_claim: "role".to_owned(),
            public_url: String::new(),
            base_path: String::new(),
            cors_origins: String::new(),
            trusted_proxies: String::new(),
            log_format: "auto".to_owned(),
            log_level: "info".to_owned(),
            worker_threads: 0,
            window_length_sec: seconds(ledger.rule.length_us()),
            window_grace_sec: seconds(ledger.rule.grace_us()),
            retention_days: ledger.retention_days.map_or(0, u64::from),
            retention_delay_sec: ledger.retention_delay.as_secs(),
            flush_rows: ledger.flush_rows as u64,
            flush_bytes: ledger.flush_bytes as u64,
            flush_age_ms: millis(ledger.flush_age),
            journal_segment_bytes: journal.segment_bytes,
            disk_reserve_bytes: journal.reserve_bytes,
            body_bytes_max: limits.body_bytes_max as u64,
            decoded_bytes_max: limits.decoded_bytes_max as u64,
            batch_events_max: limits.batch_events_max as u64,
            properties_bytes_max: limits.properties_bytes_max as u64,
            json_depth_max: limits.json_depth_max as u64,
            min_time: limits.time_min.to_string(),
            future_sec_max: seconds(limits.future_us_max),
            max_lateness_sec: limits.lateness_us_max.map_or(0, seconds),
            clock_drift_max_sec: seconds(limits.clock_drift_us_max),
            endpoints_max: limits.endpoints_max as u64,
            types_max: limits.types_max as u64,
            models_max: limits.models_max as u64,
            projects_max: limits.projects_max as u64,
            backlog_bytes_max: limits.backlog_bytes_max as u64,
            live_retention_sec: u64::from(live.retention_sec),
            live_bytes_max: live.bytes_max as u64,
            connections_max: limits.connections_max as u64,
            header_timeout_ms: millis(limits.header_timeout),
            body_timeout_ms: millis(limits.body_timeout),
            idle_timeout_ms: millis(limits.idle_timeout),
            wait_applied_ms_max: millis(limits.wait_applied_max),
            address_requests_per_min: AUTO.to_owned(),
            key_requests_per_sec: AUTO.to_owned(),
            workspace_requests_per_sec: AUTO.to_owned(),
            workspace_events_per_sec: AUTO.to_owned(),
            cache_summary_ms: millis(cache.summary),
            cache_series_ms: millis(cache.series),
        }
    }
}

/// What a setting is called and what it means.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Setting {
    /// Its name in the file; `--kebab-case` as a flag, `NILOMETER_UPPER_CASE` in the environment.
    pub(crate) name: &'static str,
    /// What a value is: a unit, or a kind of text.
    pub(crate) unit: &'static str,
    /// What it decides.
    pub(crate) help: &'static str,
}

/// The environment variable of the setting `name`.
pub(super) fn variable(name: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", name.to_ascii_uppercase())
}

const fn setting(name: &'static str, unit: &'static str, help: &'static str) -> Setting {
    Setting { name, unit, help }
}

/// All settings, in the order in which they are shown.
pub(crate) const SETTINGS: &[Setting] = &[
    setting("data", "DIR", "Folder that holds all state; made when it is not there"),
    setting("listen", "HOST:PORT", "Address to listen on; port 0 takes a free one"),
    setting("profile", "dev|test|prod", "dev: on a loopback address a request without a key acts as tenant 'default'"),
    setting("api_keys", "TENANT:KEY,…", "API keys, each with its tenant; a key has 8 to 512 bytes"),
    setting(
        "postgres_url",
        "URL",
        "Keep all but the journal in this PostgreSQL: login of the application; in dev a superuser's is enough",
    ),
    setting("postgres_worker_url", "URL", "Login there that applies events"),
    setting("postgres_owner_url", "URL", "Login there that owns the tables; with it a start brings them up to date"),
    setting("postgres_replica_url", "URL", "A server that follows it, login of the application: answers what it can"),
    setting(
        "tls_cert_file",
        "FILE",
        "Certificates for TLS in PEM, the server's own first; read again when they change",
    ),
    setting("tls_key_file", "FILE", "Private key of that certificate, in PEM; set both or neither"),
    setting(
        "master_key_file",
        "FILE",
        "Key that stored secrets are encrypted with: 64 hexadecimal digits; if not set, master.key in the folder",
    ),
    setting("metrics_token_file", "FILE", "Token that opens /metrics; in prod it takes this or a key of the operator"),
    setting("jwt_issuer", "TEXT", "Take access tokens of this issuer (iss) too, in workspaces that allow it"),
    setting("jwt_audience", "TEXT", "Who such tokens must be for (aud)"),
    setting("jwt_jwks_file", "FILE", "Public keys of that issuer, a JWK set"),
    setting("jwt_workspace_claim", "NAME", "Claim that names the workspace"),
    setting("jwt_role_claim", "NAME", "Claim that names the role: viewer, member, admin or owner"),
    setting("public_url", "URL", "Where clients find the server, as https://meter.example.com"),
    setting("base_path", "PATH", "Path that all routes lie below, as /meter; probes and metrics stay at the root, too"),
    setting("cors_origins", "ORIGIN,…", "Origins whose pages may come with a key, as https://app.example.com"),
    setting("trusted_proxies", "ADDRESS,…", "Addresses or ranges (10.0.0.0/8) whose forwarded headers are believed"),
    setting("log_format", "auto|human|json", "How log lines look; auto is json in profile prod, human otherwise"),
    setting("log_level", "LEVEL", "Which log lines are written: error, warn, info, debug (each request) or a filter"),
    setting("worker_threads", "THREADS", "Threads that answer requests; 0: one per core"),
    setting("window_length_sec", "SECONDS", "Length of a usage window; divides an hour; fixed with a new data folder"),
    setting("window_grace_sec", "SECONDS", "How long after its end a window takes events as in time; fixed likewise"),
    setting("retention_days", "DAYS", "How long raw events are kept; windows and rollups stay; 0: for ever"),
    setting(
        "retention_delay_sec",
        "SECONDS",
        "How long a new or shorter retention_days waits before it drops anything; 0: not at all",
    ),
    setting("flush_rows", "EVENTS", "Events in memory that start a flush"),
    setting("flush_bytes", "BYTES", "Bytes of events in memory that start a flush"),
    setting("flush_age_ms", "MILLISECONDS", "Age of the oldest event in memory that starts a flush"),
    setting("journal_segment_bytes", "BYTES", "Size at which a journal file is followed by the next"),
    setting("disk_reserve_bytes", "BYTES", "Free disk space below which writes get 507, so that flushes still fit"),
    setting("body_bytes_max", "BYTES", "Largest request body as sent"),
    setting("decoded_bytes_max", "BYTES", "Largest request body after decompression"),
    setting("batch_events_max", "EVENTS", "Most events in one request"),
    setting("properties_bytes_max", "BYTES", "Largest properties of one event, as JSON"),
    setting("json_depth_max", "LEVELS", "Deepest nesting of a JSON body"),
    setting("min_time", "TIME", "Earliest time an event may have (date or RFC 3339); cohorts ignore days before it"),
    setting("future_sec_max", "SECONDS", "How far in the future an event's time may lie"),
    setting("max_lateness_sec", "SECONDS", "How old an event may be on arrival; 0: any age"),
    setting(
        "clock_drift_max_sec",
        "SECONDS",
        "How far the clock may be off the trusted time; beyond it writes get 503 until it is believed",
    ),
    setting("endpoints_max", "NAMES", "Most distinct endpoints of one tenant"),
    setting("types_max", "NAMES", "Most distinct event types of one tenant"),
    setting("models_max", "NAMES", "Most distinct models of one tenant"),
    setting("projects_max", "NAMES", "Most distinct projects of one tenant"),
    setting("backlog_bytes_max", "BYTES", "Most bytes accepted but not yet applied; above it writes get 503"),
    setting("live_retention_sec", "SECONDS", "How far the live view reaches back: its longest window"),
    setting("live_bytes_max", "BYTES", "Memory of the live view; above it the oldest seconds are dropped"),
    setting(
        "connections_max",
        "CONNECTIONS",
        "Most connections open at once; those with nothing to do make room for more",
    ),
    setting("header_timeout_ms", "MILLISECONDS", "Longest wait for the head of a request, from its first byte"),
    setting("body_timeout_ms", "MILLISECONDS", "Longest wait for the body of a request"),
    setting("idle_timeout_ms", "MILLISECONDS", "Longest silence on a connection between two requests"),
    setting("wait_applied_ms_max", "MILLISECONDS", "Longest that ?wait=applied holds a request"),
    setting(
        "address_requests_per_min",
        "auto|none|N",
        "Requests a minute of one address without a valid credential; auto: 500 in profile prod",
    ),
    setting("key_requests_per_sec", "auto|none|N", "Requests a second with one credential; auto: 1000 in profile prod"),
    setting("workspace_requests_per_sec", "auto|none|N", "Requests a second of one workspace; auto: none"),
    setting(
        "workspace_events_per_sec",
        "auto|none|N",
        "Events a second of one workspace; auto: 100000 in profile prod",
    ),
    setting("cache_summary_ms", "MILLISECONDS", "How long an account's summary is given again; 0: never"),
    setting("cache_series_ms", "MILLISECONDS", "How long a series over a range that is over is given again; 0: never"),
];
