//! Checks settings against each other and against what is possible. Each refusal begins with the
//! name of the setting.

use std::net::{SocketAddr, ToSocketAddrs};
use std::num::NonZeroUsize;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use api::CacheTimes;
use domain::limits::{CLOCK_DRIFT_US_MAX, LIVE_RETENTION_SEC_MAX, Limits, RECORD_EVENTS_MAX, RETENTION_DAYS_MAX};
use domain::rate::ServerRates;
use domain::tenant::{Keyring, TenantId};
use domain::time::Timestamp;
use domain::window::WindowRule;
use journal::JournalOptions;
use ledger_embedded::LedgerOptions;
use live::LiveOptions;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::checked::{Config, LogConfig, LogFormat, Profile};
use super::error::ConfigError;
use super::settings::Settings;
use super::{access, postgres, rates, reach};
use crate::assemble::EngineOptions;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
const DAY_MS: u64 = 24 * 3_600 * 1_000;
/// The largest `retention_delay_sec`: thirty days.
const RETENTION_DELAY_SEC_MAX: u64 = 30 * 24 * 3_600;
/// The largest `clock_drift_max_sec`.
const CLOCK_DRIFT_SEC_MAX: u64 = CLOCK_DRIFT_US_MAX.unsigned_abs() / 1_000_000;
/// A hundred years, in seconds.
const CENTURY_SEC: u64 = 36_525 * 24 * 3_600;

/// The configuration that `settings` stand for.
pub(super) fn check(settings: Settings) -> Result<Config, ConfigError> {
    let profile = profile(&settings.profile)?;
    let listen = listen(&settings.listen)?;
    let rule = rule(&settings)?;
    let limits = Limits { rates: rates::rates(profile, &settings)?, ..limits(&settings)? };
    let cache = cache(&settings)?;
    let engine = EngineOptions {
        clock_drift_us_max: limits.clock_drift_us_max,
        ledger: ledger(&settings, rule)?,
        journal: journal(&settings)?,
        live: live(&settings)?,
        postgres: postgres::postgres(profile, &settings)?,
    };
    let web = reach::web(&settings)?;
    Ok(Config {
        profile,
        access: access::access(profile, &listen, &web, &settings)?,
        web,
        tls: reach::tls(&settings)?,
        keyring: keyring(profile, &listen, &settings.api_keys)?,
        log: log(profile, &settings)?,
        worker_threads: NonZeroUsize::new(number("worker_threads", settings.worker_threads, 0..=1_024)?),
        data: data(settings.data)?,
        listen,
        limits,
        cache,
        engine,
    })
}

fn refusal(name: &str, why: impl std::fmt::Display) -> ConfigError {
    ConfigError::new(format!("{name} {why}"))
}

/// `value` when it lies within `range`.
fn number<T: TryFrom<u64>>(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<T, ConfigError> {
    let inside = range.contains(&value).then(|| T::try_from(value).ok()).flatten();
    inside.ok_or_else(|| refusal(name, format!("must be {} to {}, is {value}", range.start(), range.end())))
}

fn millis(name: &str, value: u64, range: RangeInclusive<u64>) -> Result<Duration, ConfigError> {
    number(name, value, range).map(Duration::from_millis)
}

fn profile(text: &str) -> Result<Profile, ConfigError> {
    match text {
        "dev" => Ok(Profile::Dev),
        "test" => Ok(Profile::Test),
        "prod" => Ok(Profile::Prod),
        other => Err(refusal("profile", format!("must be dev, test or prod, is '{other}'"))),
    }
}

fn data(text: String) -> Result<PathBuf, ConfigError> {
    if text.is_empty() { Err(refusal("data", "must not be empty")) } else { Ok(text.into()) }
}

fn listen(text: &str) -> Result<Vec<SocketAddr>, ConfigError> {
    let found = text.to_socket_addrs().map_err(|why| refusal("listen", format!("'{text}' is no HOST:PORT: {why}")))?;
    let addresses: Vec<_> = found.collect();
    if addresses.is_empty() { Err(refusal("listen", format!("'{text}' has no address"))) } else { Ok(addresses) }
}

/// The keys of `tenant:key,tenant:key`, and whether a request may come without one.
fn keyring(profile: Profile, listen: &[SocketAddr], keys: &str) -> Result<Keyring, ConfigError> {
    let mut keyring = Keyring::new();
    let pairs: Vec<_> = keys.split(',').map(str::trim).filter(|pair| !pair.is_empty()).collect();
    for (at, pair) in pairs.iter().enumerate() {
        // The pair itself is a secret and is not shown.
        let refused = |why: &dyn std::fmt::Display| refusal("api_keys", format!("entry {}: {why}", at + 1));
        let (tenant, key) = pair.split_once(':').ok_or_else(|| refused(&"must read tenant:key"))?;
        let tenant = TenantId::parse(tenant).map_err(|why| refused(&why))?;
        keyring.add(tenant, key).map_err(|why| refused(&why))?;
    }
    let loopback = listen.iter().all(|address| address.ip().is_loopback());
    match (profile, pairs.is_empty()) {
        (Profile::Dev, _) if loopback => Ok(keyring.with_anonymous_default()),
        (Profile::Dev, true) => {
            let why = "must be set: 'listen' is not a loopback address; with keys from `nilometer admin create-key` \
                       alone, run profile prod";
            Err(refusal("api_keys", why))
        }
        _ => Ok(keyring),
    }
}

fn log(profile: Profile, settings: &Settings) -> Result<LogConfig, ConfigError> {
    let format = match (settings.log_format.as_str(), profile) {
        ("json", _) | ("auto", Profile::Prod) => LogFormat::Json,
        ("human" | "auto", _) => LogFormat::Human,
        (other, _) => return Err(refusal("log_format", format!("must be auto, human or json, is '{other}'"))),
    };
    EnvFilter::try_new(&settings.log_level).map_err(|why| refusal("log_level", why))?;
    // A lone word that is no level would be read as the name of a module, and silence all others.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    if !settings.log_level.split(',').any(|part| is_level(part.trim())) && !settings.log_level.contains('=') {
        return Err(refusal("log_level", "no such level: error, warn, info, debug, trace or off"));
    }
    Ok(LogConfig { format, level: settings.log_level.clone() })
}

fn rule(settings: &Settings) -> Result<WindowRule, ConfigError> {
    let length_sec = number("window_length_sec", settings.window_length_sec, 1..=3_600)?;
    let grace_sec = number("window_grace_sec", settings.window_grace_sec, 0..=3_600)?;
    WindowRule::new(length_sec, grace_sec)
        .map_err(|why| refusal("window_length_sec", format!("is {length_sec}: {why}")))
}

fn limits(settings: &Settings) -> Result<Limits, ConfigError> {
    let s = settings;
    let names = 1..=1_000_000;
    let lateness_sec: i64 = number("max_lateness_sec", s.max_lateness_sec, 0..=CENTURY_SEC)?;
    let clock_drift_sec: i64 = number("clock_drift_max_sec", s.clock_drift_max_sec, 1..=CLOCK_DRIFT_SEC_MAX)?;
    let future_sec: i64 = number("future_sec_max", s.future_sec_max, 0..=CENTURY_SEC)?;
    let time_min = Timestamp::parse(&s.min_time).map_err(|why| refusal("min_time", format!("is {why}")))?;
    let limits = Limits {
        body_bytes_max: number("body_bytes_max", s.body_bytes_max, KIB..=GIB)?,
        decoded_bytes_max: number("decoded_bytes_max", s.decoded_bytes_max, KIB..=GIB)?,
        batch_events_max: number("batch_events_max", s.batch_events_max, 1..=RECORD_EVENTS_MAX as u64)?,
        properties_bytes_max: number("properties_bytes_max", s.properties_bytes_max, 2..=16 * MIB)?,
        json_depth_max: number("json_depth_max", s.json_depth_max, 4..=128)?,
        time_min,
        future_us_max: future_sec * 1_000_000,
        lateness_us_max: (lateness_sec > 0).then_some(lateness_sec * 1_000_000),
        clock_drift_us_max: clock_drift_sec * 1_000_000,
        endpoints_max: number("endpoints_max", s.endpoints_max, names.clone())?,
        types_max: number("types_max", s.types_max, names.clone())?,
        models_max: number("models_max", s.models_max, names.clone())?,
        projects_max: number("projects_max", s.projects_max, names)?,
        backlog_bytes_max: number("backlog_bytes_max", s.backlog_bytes_max, MIB..=16 * GIB)?,
        header_timeout: millis("header_timeout_ms", s.header_timeout_ms, 1..=DAY_MS)?,
        body_timeout: millis("body_timeout_ms", s.body_timeout_ms, 1..=DAY_MS)?,
        idle_timeout: millis("idle_timeout_ms", s.idle_timeout_ms, 1..=DAY_MS)?,
        connections_max: number("connections_max", s.connections_max, 1..=1_000_000)?,
        wait_applied_max: millis("wait_applied_ms_max", s.wait_applied_ms_max, 1..=DAY_MS)?,
        rates: ServerRates::default(),
    };
    if limits.decoded_bytes_max < limits.body_bytes_max {
        return Err(refusal("decoded_bytes_max", "must not be below body_bytes_max"));
    }
    if limits.backlog_bytes_max < limits.decoded_bytes_max {
        return Err(refusal("backlog_bytes_max", "must not be below decoded_bytes_max"));
    }
    Ok(limits)
}

fn cache(settings: &Settings) -> Result<CacheTimes, ConfigError> {
    Ok(CacheTimes {
        summary: millis("cache_summary_ms", settings.cache_summary_ms, 0..=DAY_MS)?,
        series: millis("cache_series_ms", settings.cache_series_ms, 0..=DAY_MS)?,
    })
}

fn ledger(settings: &Settings, rule: WindowRule) -> Result<LedgerOptions, ConfigError> {
    let retention_days = number("retention_days", settings.retention_days, 0..=u64::from(RETENTION_DAYS_MAX))?;
    Ok(LedgerOptions {
        flush_rows: number("flush_rows", settings.flush_rows, 1..=100_000_000)?,
        flush_bytes: number("flush_bytes", settings.flush_bytes, KIB..=64 * GIB)?,
        flush_age: millis("flush_age_ms", settings.flush_age_ms, 1..=DAY_MS)?,
        retention_days: (retention_days > 0).then_some(retention_days),
        retention_delay: Duration::from_secs(number(
            "retention_delay_sec",
            settings.retention_delay_sec,
            0..=RETENTION_DELAY_SEC_MAX,
        )?),
        rule,
        ..LedgerOptions::default()
    })
}

fn journal(settings: &Settings) -> Result<JournalOptions, ConfigError> {
    Ok(JournalOptions {
        segment_bytes: number("journal_segment_bytes", settings.journal_segment_bytes, MIB..=4 * GIB)?,
        reserve_bytes: number("disk_reserve_bytes", settings.disk_reserve_bytes, 0..=1_024 * GIB)?,
        backlog_bytes_max: number("backlog_bytes_max", settings.backlog_bytes_max, MIB..=16 * GIB)?,
        ..JournalOptions::default()
    })
}

fn live(settings: &Settings) -> Result<LiveOptions, ConfigError> {
    let longest = u64::from(LIVE_RETENTION_SEC_MAX);
    Ok(LiveOptions {
        retention_sec: number("live_retention_sec", settings.live_retention_sec, 1..=longest)?,
        bytes_max: number("live_bytes_max", settings.live_bytes_max, MIB..=64 * GIB)?,
        ..LiveOptions::default()
    })
}
