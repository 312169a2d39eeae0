//! Accounts: some of them, and what one did in a window of time.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::Response;
use domain::limits::ACCOUNT_ROWS_MAX;
use domain::time::{MICROS_PER_DAY, TimeRange, Timestamp};
use ports::analytics::Analytics;
use serde::Deserialize;
use utoipa::IntoParams;

use crate::ask::{answer, calendar, within_time};
use crate::cache::{self, CacheDirectives, CacheKey};
use crate::extract::{Bounds, Id, Parameters, ReadScope, number, one_of, zone};
use crate::problem::{Problem, ProblemKind};
use crate::routes::docs::{ListRefusals, OneRangeRefusals};
use crate::shape::{AccountSampleBody, AccountSummaryBody};
use crate::state::ApiState;

/// Rows when the request names no limit.
const ROWS_DEFAULT: usize = 10;
/// The windows that have a name, with their days before the present.
const WINDOWS: [(&str, (&str, i64)); 2] = [("last_24h", ("last_24h", 1)), ("last_7d", ("last_7d", 7))];

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SampleParameters {
    /// Most accounts: 1 to 100, 10 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 10)]
    limit: Option<String>,
}

/// Some accounts
///
/// The first in order of id. An account exists from its first event on.
#[utoipa::path(
    get, path = "/accounts/sample", tag = "usage", operation_id = "account_sample", params(SampleParameters),
    responses((status = 200, description = "The ids of the accounts", body = AccountSampleBody), ListRefusals),
)]
pub(crate) async fn sample(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Parameters(parameters): Parameters<SampleParameters>,
) -> Result<Json<AccountSampleBody>, Problem> {
    let limit = number("limit", parameters.limit.as_deref(), ROWS_DEFAULT, 1..=ACCOUNT_ROWS_MAX)?;
    let page = answer(&api, |reports| reports.customers(&scope, None, limit)).await?;
    Ok(Json(AccountSampleBody { account_ids: page.rows.into_iter().map(|customer| customer.id).collect() }))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct SummaryParameters {
    /// `last_24h` or `last_7d`, up to the present; `last_24h` if nothing is given.
    #[param(pattern = "^(last_24h|last_7d)$", example = "last_24h")]
    window: Option<String>,
    /// Instead of `window`: from this day or time on.
    from: Option<String>,
    /// With `from`: up to and with this day, or before this time; the present without it.
    to: Option<String>,
    /// IANA name of the zone that dates and times without an offset are of; the tenant's own without it.
    tz: Option<String>,
    /// Most users: 1 to 100, 10 if not given.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 10)]
    top: Option<String>,
}

/// The range of a summary: a named window or given bounds.
#[derive(Debug, Clone, Copy)]
enum SummaryRange {
    Last { name: &'static str, days: i64 },
    Custom { from: Timestamp, to: Option<Timestamp> },
}

impl SummaryParameters {
    fn window(&self, api: &ApiState, scope: &domain::tenant::TenantScope) -> Result<SummaryRange, Problem> {
        let bounds = Bounds::read(self.from.as_deref(), self.to.as_deref())?;
        let zone = zone(self.tz.as_deref())?;
        let named = one_of("window", self.window.as_deref(), &WINDOWS)?;
        if !bounds.has_from() && bounds.has_to() {
            return Err(Problem::parameter("from", "'from' is needed with 'to'"));
        }
        if !bounds.has_from() {
            let (name, days) = named.unwrap_or(WINDOWS[0].1);
            return Ok(SummaryRange::Last { name, days });
        }
        if named.is_some() {
            return Err(Problem::parameter("window", "'window' cannot be given together with 'from'"));
        }
        let now = after(api.pipeline.clock().now());
        let default = TimeRange::new(Timestamp::MIN, now).unwrap_or(TimeRange::ALL);
        let range = bounds.range(&calendar(api, scope, zone), default)?;
        Ok(SummaryRange::Custom { from: range.from(), to: bounds.has_to().then_some(range.to()) })
    }
}

impl SummaryRange {
    /// The range of the window at `now`, and the range to show if it has no name.
    fn range(self, now: Timestamp) -> (TimeRange, Option<TimeRange>) {
        let (from, to) = match self {
            Self::Last { days, .. } => (now.plus_micros(-days * MICROS_PER_DAY), after(now)),
            Self::Custom { from, to } => (from, to.unwrap_or(after(now))),
        };
        let range = TimeRange::new(from, to.max(from)).unwrap_or(TimeRange::ALL);
        (range, matches!(self, Self::Custom { .. }).then_some(range))
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Last { name, .. } => name,
            Self::Custom { .. } => "custom",
        }
    }

    /// The part of the cache key that tells windows apart.
    fn key(self) -> (&'static str, Option<Timestamp>, Option<Timestamp>) {
        match self {
            Self::Last { name, .. } => (name, None, None),
            Self::Custom { from, to } => ("custom", Some(from), to),
        }
    }
}

/// The end of a range that takes in `instant`.
const fn after(instant: Timestamp) -> Timestamp {
    instant.plus_micros(1)
}

/// Summarize an account
///
/// Events by type, and the users with most events. The window is exact to the microsecond. The answer
/// may be a minute old (setting `cache_summary_ms`), as `Age` says; `Cache-Control: no-cache` asks for a
/// new one.
#[utoipa::path(
    get, path = "/accounts/{id}/summary", tag = "usage", operation_id = "account_summary",
    params(("id" = String, Path, description = "The account's id, percent-encoded"), SummaryParameters),
    responses((status = 200, description = "The summary", body = AccountSummaryBody), OneRangeRefusals),
)]
pub(crate) async fn summary(
    State(api): State<Arc<ApiState>>,
    ReadScope(scope): ReadScope,
    Id(account): Id,
    Parameters(parameters): Parameters<SummaryParameters>,
    directives: CacheDirectives,
) -> Result<Response, Problem> {
    let top = number("top", parameters.top.as_deref(), ROWS_DEFAULT, 1..=ACCOUNT_ROWS_MAX)?;
    let generation = api.settings.get(&scope).generation;
    let erased = api.erasures.generation(&scope);
    let window = parameters.window(&api, &scope)?;
    let key = CacheKey::new(scope.tenant(), generation, &("summary", erased, &account, window.key(), top))?;
    let clock = api.pipeline.clock();
    let make = async {
        let (range, custom) = window.range(clock.now());
        let summary = api.reads.analytics.summary(&scope, &account, range, top).await;
        let range_field = if custom.is_some() { "from" } else { "window" };
        let refused = |why| {
            Problem::from(why).at_if(ProblemKind::Gone, range_field).at_if(ProblemKind::QueryTooLarge, range_field)
        };
        let summary = summary.map_err(refused)?;
        let summary = summary
            .ok_or_else(|| Problem::new(ProblemKind::NotFound, "no event of this account is applied").at("id"))?;
        cache::body(&AccountSummaryBody::new(account.clone(), window.name(), custom, summary))
    };
    within_time(&api, api.cache.answer(key, api.cache.times.summary, directives, clock, make)).await
}
