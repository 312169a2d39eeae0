//! What a tenant decides for itself.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use domain::calendar::{Calendar, TimeBound, WeekStart, Zone};
use domain::limits::{QUERY_TIME_MAX, RETENTION_DAYS_MAX, SETTINGS_BODY_BYTES_MAX, TENANT_LATENESS_SEC_MAX};
use domain::tenant::TenantScope;
use domain::time::Timestamp;
use pipeline::SettingsChange;
use ports::catalog::TenantSettings;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::ask::{calendar, ready};
use crate::extract::{Document, IfMatch, NoParameters, Parameters, ReadScope, WEEK_STARTS, WriteScope, etag};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{SettingsRefusals, TenantRefusals};
use crate::shape::given;
use crate::state::ApiState;

/// What a tenant has decided.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Settings)]
pub(crate) struct SettingsBody {
    /// IANA name of the zone that days are counted in.
    #[schema(example = "Europe/Berlin")]
    timezone: String,
    /// The zone that was asked for, while the days are still being counted in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, nullable = false, example = "Asia/Kolkata")]
    timezone_pending: Option<String>,
    /// The day that weeks begin on: `monday`, `sunday` or `saturday`.
    #[schema(value_type = String, example = "monday")]
    week_start: WeekStart,
    /// How old an event may be on arrival, in seconds; 0: any age, null: as the server is set.
    #[schema(minimum = 0, maximum = 3_155_760_000_u64, format = Int64)]
    max_lateness_sec: Option<u32>,
    /// The earliest time that an event may have; null: as the server is set. A date, or a time without an
    /// offset, is of the tenant's zone.
    #[schema(value_type = Option<String>, format = DateTime)]
    min_time: Option<Timestamp>,
    /// For how many days raw events are kept; 0: for ever, null: as the server is set.
    #[schema(minimum = 0, maximum = 36_525)]
    retention_days: Option<u32>,
    /// Raw events before this are no longer shown, and gone or about to be; null: all are kept.
    #[schema(read_only, value_type = Option<String>, format = DateTime)]
    kept_since: Option<Timestamp>,
    /// What retention drops after a wait, since it is new or shorter; a longer `retention_days` keeps it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(read_only, nullable = false)]
    retention_pending: Option<RetentionPending>,
    /// The version of what the tenant has decided, also the ETag: a number that is another one for other settings, and
    /// does not grow.
    #[schema(read_only)]
    version: u64,
}

/// What retention drops after a wait.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RetentionPending)]
pub(crate) struct RetentionPending {
    /// Raw events before this will go.
    #[schema(value_type = String, format = DateTime)]
    before: Timestamp,
    /// After so many more seconds in which the server runs.
    #[schema(minimum = 0)]
    due_in_sec: u64,
}

/// A change of settings; a field that is given is `Some`, also when it is null.
#[derive(Debug, Deserialize, ToSchema)]
#[schema(as = SettingsChange)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChangedSettings {
    /// IANA name of the zone that days are counted in.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, example = "Europe/Berlin")]
    timezone: Option<Value>,
    /// The day that weeks begin on: `monday`, `sunday` or `saturday`.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, nullable = false, pattern = "^(monday|sunday|saturday)$")]
    week_start: Option<Value>,
    /// How old an event may be on arrival, in seconds; 0: any age, null: as the server is set.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 3_155_760_000_u64, format = Int64)]
    max_lateness_sec: Option<Value>,
    /// The earliest time that an event may have, not after the present; null: as the server is set.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = DateTime)]
    min_time: Option<Value>,
    /// For how many days raw events are kept; 0: for ever, null: as the server is set.
    #[serde(default, deserialize_with = "given")]
    #[schema(value_type = Option<u32>, minimum = 0, maximum = 36_525)]
    retention_days: Option<Value>,
}

impl SettingsBody {
    fn of(api: &ApiState, scope: &TenantScope) -> Self {
        let settings = &api.settings;
        // Before what it is of: should they change meanwhile, a change of this version is refused.
        let version = settings.version(scope);
        // First, since a zone is applied before it is no longer pending.
        let pending = settings.pending_zone(scope);
        let calendar = settings.calendar(scope);
        let pending = pending.filter(|zone| *zone != calendar.zone);
        let TenantSettings { max_lateness_sec, min_time, retention_days, .. } = settings.get(scope).settings;
        let notice = settings.retention(scope);
        let waiting =
            |(before, due_in): (Timestamp, Duration)| RetentionPending { before, due_in_sec: due_in.as_secs() };
        Self {
            timezone: calendar.zone.name().to_owned(),
            timezone_pending: pending.map(|zone| zone.name().to_owned()),
            week_start: calendar.week_start,
            max_lateness_sec,
            min_time,
            retention_days,
            kept_since: notice.kept_since,
            retention_pending: notice.waiting.map(waiting),
            version,
        }
    }

    /// As it is answered.
    fn answer(self) -> Response {
        (etag(self.version), Json(self)).into_response()
    }
}

/// Read the settings
#[utoipa::path(
    get, path = "/v1/settings", tag = "settings", operation_id = "settings",
    responses((status = 200, description = "The tenant's settings", body = SettingsBody, headers(("ETag" = String, description = "Its version"))), TenantRefusals),
)]
pub(crate) async fn read(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    _: Parameters<NoParameters>,
) -> Response {
    SettingsBody::of(&api, &scope).answer()
}

/// Change the settings
///
/// Fields that are not given stay as they are. Another time zone has the days of all users counted anew
/// from raw events, and is refused when retention has dropped some of them. Until that is done, and after a
/// failure or a restart, answers are of the zone before, and `timezone_pending` names the one to come.
#[utoipa::path(
    patch, path = "/v1/settings", tag = "settings", operation_id = "change_settings", params(IfMatch),
    request_body = ChangedSettings,
    responses((status = 200, description = "The settings as they are now", body = SettingsBody, headers(("ETag" = String, description = "Its version"))), SettingsRefusals),
)]
pub(crate) async fn change(
    State(api): State<Arc<ApiState>>,
    WriteScope { scope, by }: WriteScope,
    _: Parameters<NoParameters>,
    IfMatch(expected): IfMatch,
    Document(fields): Document<ChangedSettings, SETTINGS_BODY_BYTES_MAX>,
) -> Result<Response, Problem> {
    let zone = fields.timezone.as_ref().map(timezone).transpose()?;
    let (calendar, now) = (calendar(&api, &scope, zone.clone()), api.pipeline.clock().now());
    let change = SettingsChange {
        expected,
        zone,
        week_start: fields.week_start.as_ref().map(week_start).transpose()?,
        max_lateness_sec: fields.max_lateness_sec.as_ref().map(max_lateness_sec).transpose()?,
        min_time: fields.min_time.as_ref().map(|value| min_time(value, &calendar, now)).transpose()?,
        retention_days: fields.retention_days.as_ref().map(retention_days).transpose()?,
    };
    ready(&api)?;
    let settings = Arc::clone(&api.settings);
    // A task of its own: a client that goes away must not leave half a change.
    let changing = tokio::spawn({
        let scope = scope.clone();
        async move { settings.change(&scope, &change, &by.cause).await }
    });
    match tokio::time::timeout(QUERY_TIME_MAX, changing).await {
        Ok(Ok(changed)) => changed.map_err(|why| Problem::from(why).at_if(ProblemKind::Gone, "timezone"))?,
        Ok(Err(_)) => return Err(Problem::internal("the change of settings panicked")),
        Err(_) => {
            return Err(Problem::new(
                ProblemKind::Unavailable,
                "the change is still being made; read the settings later",
            ));
        }
    }
    Ok(SettingsBody::of(&api, &scope).answer())
}

fn timezone(value: &Value) -> Result<Zone, Problem> {
    let zone = value.as_str().and_then(|name| Zone::parse(name).ok());
    zone.ok_or_else(|| {
        Problem::parameter("timezone", "'timezone' must be a time zone of the IANA database, as in Europe/Berlin")
    })
}

fn week_start(value: &Value) -> Result<WeekStart, Problem> {
    let known = WEEK_STARTS.iter().find(|(word, _)| value.as_str() == Some(*word));
    known
        .map(|(_, start)| *start)
        .ok_or_else(|| Problem::parameter("week_start", "'week_start' must be monday or sunday or saturday"))
}

/// A time of the future would refuse every event, and is refused itself.
fn min_time(value: &Value, calendar: &Calendar, now: Timestamp) -> Result<Option<Timestamp>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let time = value.as_str().and_then(|text| TimeBound::parse(text).ok()).map(|bound| bound.start(calendar));
    time.filter(|time| *time <= now).map(Some).ok_or_else(|| {
        let detail = "'min_time' must be null, a date (YYYY-MM-DD) or a time in RFC 3339, not after the present";
        Problem::parameter("min_time", detail)
    })
}

fn retention_days(value: &Value) -> Result<Option<u32>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let days = value.as_u64().and_then(|days| u32::try_from(days).ok());
    days.filter(|days| *days <= RETENTION_DAYS_MAX).map(Some).ok_or_else(|| {
        let detail = format!("'retention_days' must be null or a whole number from 0 to {RETENTION_DAYS_MAX}");
        Problem::parameter("retention_days", detail)
    })
}

fn max_lateness_sec(value: &Value) -> Result<Option<u32>, Problem> {
    if value.is_null() {
        return Ok(None);
    }
    let seconds = value.as_u64().and_then(|seconds| u32::try_from(seconds).ok());
    match seconds.filter(|seconds| *seconds <= TENANT_LATENESS_SEC_MAX) {
        Some(seconds) => Ok(Some(seconds)),
        None => {
            let detail =
                format!("'max_lateness_sec' must be null or a whole number from 0 to {TENANT_LATENESS_SEC_MAX}");
            Err(Problem::parameter("max_lateness_sec", detail))
        }
    }
}
